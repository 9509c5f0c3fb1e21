//! The command line. Exit status: 0 it holds, 1 it does not hold, 2 it could not be checked or done.

mod backup;
mod bench;
mod columns;
mod demo;
mod doctor;
mod export;
mod import;
mod load;
mod passwd;
mod report;
mod restore;
mod rotate_key;
mod serve;
mod service;
mod shell;
mod table;
mod terminal;
mod verify;
mod wire;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// An open, verifiable ledger database.
#[derive(Debug, Parser)]
#[command(name = "ledgerstone", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Serve),
    /// Make a line for the users file from a password on standard input.
    Passwd(passwd::Passwd),
    /// Talk to a server.
    Shell(shell::Shell),
    /// Show what a ledger is, from nothing to a verified proof.
    Demo(demo::Demo),
    /// Check a receipt, checkpoints, a data directory or an export.
    Verify(verify::Verify),
    /// Write rows to Parquet, or blocks as QLDB exported them.
    Export(export::Export),
    /// Bring in rows of files, or make a ledger of another system's export.
    Import(import::Import),
    /// Copy a ledger's journal, from a running server too, and verify the copy.
    Backup(backup::Backup),
    /// Make a ledger of a backup again.
    Restore(restore::Restore),
    /// Make another signing key for a ledger; the old one hands over to it.
    RotateKey(rotate_key::RotateKey),
    /// Check and rebuild derived state.
    Doctor(doctor::Doctor),
    /// Measure.
    Bench(bench::Bench),
}

/// Runs the command line.
pub fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(arguments) => arguments.run(),
        Command::Passwd(arguments) => arguments.run(),
        Command::Shell(arguments) => arguments.run(),
        Command::Demo(arguments) => arguments.run(),
        Command::Verify(arguments) => arguments.run(),
        Command::Export(arguments) => arguments.run(),
        Command::Import(arguments) => arguments.run(),
        Command::Backup(arguments) => arguments.run(),
        Command::Restore(arguments) => arguments.run(),
        Command::RotateKey(arguments) => arguments.run(),
        Command::Doctor(arguments) => arguments.run(),
        Command::Bench(arguments) => arguments.run(),
    }
}
