//! The one binary of Ledgerstone: server, command line, and thin adapters from wire protocols to sessions.
#![forbid(unsafe_code)]

mod cli;
mod config;
mod grpc;
mod http;
mod log;
mod metrics;
mod pg;
mod scrub;

fn main() -> std::process::ExitCode {
    cli::run()
}
