//! Who may connect: a users file of SCRAM-SHA-256 verifiers as PostgreSQL stores them (RFC 5802, RFC 7677), and the
//! exchange that proves a password without showing it. The exchange itself is pgwire's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledgerstone_digest::Hash;
use pgwire::api::auth::sasl::scram::{
    ScramSecret, ScramServerAuth, ScramServerAuthWaitingForClientFinal, gen_salted_password,
};

use crate::trusted_file::{FileError, Trusted, read_authority};

/// Rounds of a new verifier; PostgreSQL's default.
const ITERATIONS: usize = 4_096;
/// Rounds a verifier in a users file may ask the client for.
const ITERATIONS_MAX: usize = 1_000_000;
/// A users file is never larger.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The users file, read once at start.
pub struct Users {
    verifiers: HashMap<String, Verifier>,
    /// Makes the salt shown for a name that does not exist the same each time it is asked for.
    mock_seed: [u8; 32],
    /// The rounds shown for such a name: those that most names have.
    mock_iterations: usize,
}

#[derive(Clone)]
struct Verifier {
    iterations: usize,
    salt: Vec<u8>,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

/// Why a users file is refused. It never shows what a line contains beyond the name.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    #[error("--users: the users file {0}")]
    File(#[from] FileError),
    #[error(
        "--users {path}, line {line}: {what}; a line is NAME:SCRAM-SHA-256$ROUNDS:SALT$STOREDKEY:SERVERKEY (see `ledgerstone passwd`)"
    )]
    Line { path: PathBuf, line: usize, what: &'static str },
    #[error(
        "--users: the users file {0} names nobody, so nobody could connect; make lines with `ledgerstone passwd NAME`"
    )]
    Empty(PathBuf),
}

/// An exchange that waits for the client's proof.
pub struct Exchange {
    waiting: ScramServerAuthWaitingForClientFinal,
    /// The name has a verifier; otherwise the exchange is only for show.
    known: bool,
}

/// The exchange failed; said to the client as "password authentication failed" whatever the reason.
#[derive(Debug)]
pub struct Refused;

impl Users {
    /// Reads `NAME:VERIFIER` lines; empty lines and lines that start with `#` are skipped.
    pub fn read(path: &Path, mock_seed: [u8; 32]) -> Result<Users, UsersError> {
        let Trusted { text, mode } = read_authority(path, FILE_BYTES_MAX)?;
        if mode & 0o004 != 0 {
            tracing::warn!(
                path = %path.display(),
                mode = format_args!("{mode:04o}"),
                "everybody on this machine can read the users file, and try passwords against the verifiers in it; run: chmod o-r"
            );
        }
        let mut verifiers = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let broken = |what| UsersError::Line { path: path.to_path_buf(), line: number + 1, what };
            let (name, verifier) = line.split_once(':').ok_or_else(|| broken("there is no colon"))?;
            let verifier = Verifier::parse(verifier).ok_or_else(|| broken("the verifier is not one"))?;
            if verifiers.insert(name.to_owned(), verifier).is_some() {
                return Err(broken("the name stands there twice"));
            }
        }
        if verifiers.is_empty() {
            return Err(UsersError::Empty(path.to_path_buf()));
        }
        let mock_iterations = most_common(verifiers.values().map(|verifier: &Verifier| verifier.iterations));
        Ok(Users { verifiers, mock_seed, mock_iterations })
    }

    /// The first of the names, for examples.
    pub fn first_name(&self) -> Option<&str> {
        self.verifiers.keys().min().map(String::as_str)
    }

    /// Answers the client's first message. An unknown name gets an answer that looks like any other.
    pub fn begin(&self, user: &str, client_first: &[u8]) -> Result<(String, Exchange), Refused> {
        let verifier = self.verifiers.get(user);
        let known = verifier.is_some();
        let verifier = verifier.cloned().unwrap_or_else(|| self.mock(user));
        let (answer, waiting) = ScramServerAuth::new()
            .on_client_first_message_with_secret(client_first, verifier.into_secret())
            .map_err(|_| Refused)?;
        Ok((answer, Exchange { waiting, known }))
    }

    /// Whether this is the user's password. A name that does not exist takes as long as one that does.
    pub fn is_password(&self, user: &str, password: &str) -> bool {
        let known = self.verifiers.get(user);
        let verifier = known.cloned().unwrap_or_else(|| self.mock(user));
        let salted = gen_salted_password(password, &verifier.salt, verifier.iterations);
        let secret = ScramSecret::verifier_from_salted_password(verifier.salt, salted, verifier.iterations);
        let ScramSecret::Verifier { stored_key, .. } = secret else { return false };
        // Every byte is looked at, whatever the first ones are.
        let differing = stored_key.iter().zip(&verifier.stored_key).fold(0, |all, (a, b)| all | (a ^ b));
        known.is_some() && differing == 0 && stored_key.len() == verifier.stored_key.len()
    }

    fn mock(&self, user: &str) -> Verifier {
        let salt = Hash::sha256(&[&self.mock_seed, user.as_bytes()]).0;
        Verifier {
            iterations: self.mock_iterations,
            salt: salt[..16].to_vec(),
            stored_key: salt.to_vec(),
            server_key: salt.to_vec(),
        }
    }
}

impl Exchange {
    /// Checks the client's proof and returns the server's own.
    pub fn finish(&self, client_final: &[u8]) -> Result<String, Refused> {
        let answer = self.waiting.on_client_final_message(client_final).map_err(|_| Refused)?;
        if self.known { Ok(answer) } else { Err(Refused) }
    }
}

fn most_common(all: impl Iterator<Item = usize>) -> usize {
    let mut counts: HashMap<usize, usize> = HashMap::new();
    for number in all {
        *counts.entry(number).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(number, count)| (*count, *number)).map_or(ITERATIONS, |(number, _)| number)
}

/// A line for the users file. The salt must be random.
pub fn users_line(name: &str, password: &str, salt: [u8; 16]) -> String {
    let salted = gen_salted_password(password, &salt, ITERATIONS);
    let secret = ScramSecret::verifier_from_salted_password(salt.to_vec(), salted, ITERATIONS);
    let (stored_key, server_key) = match secret {
        ScramSecret::Verifier { stored_key, server_key, .. } => (stored_key, server_key),
        ScramSecret::SaltedPassword { .. } => (Vec::new(), Vec::new()),
    };
    format!(
        "{name}:SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored_key),
        STANDARD.encode(server_key)
    )
}

impl Verifier {
    /// `SCRAM-SHA-256$ROUNDS:SALT$STOREDKEY:SERVERKEY`.
    fn parse(text: &str) -> Option<Verifier> {
        let rest = text.trim().strip_prefix("SCRAM-SHA-256$")?;
        let (parameters, keys) = rest.split_once('$')?;
        let (iterations, salt) = parameters.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let iterations: usize = iterations.parse().ok()?;
        let verifier = Verifier {
            iterations,
            salt: STANDARD.decode(salt).ok()?,
            stored_key: STANDARD.decode(stored_key).ok()?,
            server_key: STANDARD.decode(server_key).ok()?,
        };
        let sizes = verifier.stored_key.len() == 32 && verifier.server_key.len() == 32 && !verifier.salt.is_empty();
        (sizes && (ITERATIONS..=ITERATIONS_MAX).contains(&iterations)).then_some(verifier)
    }

    fn into_secret(self) -> ScramSecret {
        ScramSecret::Verifier {
            salt: self.salt,
            iterations: self.iterations,
            stored_key: self.stored_key,
            server_key: self.server_key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3: its salt, its password and the proof it expects of the server.
    #[test]
    fn a_verifier_is_what_postgresql_would_store() {
        let salt: [u8; 16] = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().try_into().unwrap();
        let line = users_line("user", "pencil", salt);
        assert_eq!(
            line,
            "user:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
             wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        assert!(Verifier::parse(line.strip_prefix("user:").unwrap()).is_some());
    }

    #[test]
    fn a_broken_users_file_is_refused_without_showing_secrets() {
        let directory = std::env::temp_dir().join(format!("ledgerstone-users-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("users");
        for (text, expected) in [
            ("alice:SCRAM-SHA-256$1:c2FsdA==$c2VjcmV0:c2VjcmV0\n", "line 1"),
            ("# nobody\n", "names nobody"),
            ("alice\n", "no colon"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Users::read(&path, [0; 32]).err().unwrap().to_string();
            assert!(error.contains(expected) && !error.contains("c2VjcmV0"), "{error}");
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
