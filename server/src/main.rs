//! The one binary of Ledgerstone: server, command line, and thin adapters from wire protocols to sessions.
#![deny(unsafe_code)]

mod allocator;
mod arn;
mod aws;
mod background;
mod cli;
mod config;
mod flight;
mod following;
mod grpc;
mod http;
mod kinesis;
mod log;
mod machine;
mod metrics;
mod pack;
mod pg;
mod policy;
mod qldb;
mod s3;
mod scrub;
mod sessions;
mod socket;
mod trusted_file;

fn main() -> std::process::ExitCode {
    cli::run()
}
