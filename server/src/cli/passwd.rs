//! `ledgerstone passwd NAME`: a line for the users file, so that no password is ever stored.

use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;

use super::terminal::say;
use crate::pg;

#[derive(Debug, clap::Args)]
pub struct Passwd {
    /// The user's name.
    name: String,
}

impl Passwd {
    pub fn run(self) -> ExitCode {
        if self.name.is_empty() || self.name.contains([':', '\n', '\r']) || self.name.starts_with('#') {
            eprintln!("a user name is not empty, has no colon and no line break, and does not start with #");
            return ExitCode::from(2);
        }
        eprint!("Password for {}: ", self.name);
        let _ = std::io::stderr().flush();
        let mut password = String::new();
        if let Err(error) = std::io::stdin().lock().read_line(&mut password) {
            eprintln!("cannot read the password: {error}");
            return ExitCode::from(2);
        }
        let password = password.trim_end_matches(['\n', '\r']);
        if password.is_empty() {
            eprintln!("the password is empty");
            return ExitCode::from(2);
        }
        let mut salt = [0; 16];
        ledgerstone_journal::Env::production().rng.fill(&mut salt);
        say!("{}", pg::users_line(&self.name, password, salt));
        ExitCode::SUCCESS
    }
}
