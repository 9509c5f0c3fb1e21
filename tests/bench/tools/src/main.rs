//! Tools of the benchmarks (`tests/bench/run` calls them):
//!
//!     ledgerstone-bench-tools history DIR --vehicles N --revisions R --together T   makes DIR/data and DIR/keys
//!     ledgerstone-bench-tools limits DIR --seconds S                   what the machine can do, a JSON line each

mod history;
mod limits;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    const USAGE: &str = "usage: history DIR [--vehicles N] [--revisions R] [--together T] | limits DIR [--seconds S]";
    let mut arguments = std::env::args().skip(1);
    let (Some(command), Some(dir)) = (arguments.next(), arguments.next()) else { return Err(USAGE.to_owned()) };
    // What looks like an option is no folder to fill.
    if dir.starts_with('-') {
        return Err(USAGE.to_owned());
    }
    let dir = PathBuf::from(dir);
    let (mut vehicles, mut revisions, mut together, mut seconds) = (1_000_000, 2, 1, 2);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a number"))?;
        let number: u64 = value.parse().map_err(|_| format!("{name}: {value} is not a number"))?;
        match name.as_str() {
            "--vehicles" => vehicles = number.max(1),
            "--revisions" => revisions = number.max(1),
            "--together" => together = number.max(1),
            "--seconds" => seconds = number.max(1),
            _ => return Err(format!("unknown option {name}\n{USAGE}")),
        }
    }
    match command.as_str() {
        "history" => history::make(&dir, vehicles, revisions, together),
        "limits" => limits::measure(&dir, seconds),
        _ => Err(USAGE.to_owned()),
    }
}
