//! Prints the sample registry as an SQL script: `ledgerstone-sample-data [--seed N] [--people N] [--vehicles N] [--changes N]`.

use std::io::Write;
use std::process::ExitCode;

use ledgerstone_sample_data::{Registry, SCHEMA, Scale};

fn main() -> ExitCode {
    match arguments() {
        Ok((seed, scale)) => match print(seed, scale) {
            Ok(()) => ExitCode::SUCCESS,
            // A reader that has seen enough, such as `head`, is no failure.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("cannot write the script: {error}");
                ExitCode::FAILURE
            }
        },
        Err(problem) => {
            eprintln!("{problem}\nusage: [--seed N] [--people N] [--vehicles N] [--changes N]");
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Result<(u64, Scale), String> {
    let (mut seed, mut scale) = (1, Scale::SMALL);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a number"))?;
        let number: u32 = value.parse().map_err(|_| format!("{name}: {value} is not a number"))?;
        match name.as_str() {
            "--seed" => seed = u64::from(number),
            "--people" => scale.people = number,
            "--vehicles" => scale.vehicles = number,
            "--changes" => scale.changes = number,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok((seed, scale))
}

fn print(seed: u64, scale: Scale) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for statement in SCHEMA {
        writeln!(out, "{statement};")?;
    }
    for event in Registry::new(seed, scale) {
        let statements = event.statements();
        if statements.len() > 1 {
            writeln!(out, "BEGIN;\n{};\nCOMMIT;", statements.join(";\n"))?;
        } else {
            writeln!(out, "{};", statements.join(";\n"))?;
        }
    }
    out.flush()
}
