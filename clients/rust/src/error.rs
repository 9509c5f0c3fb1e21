//! What can go wrong between a client and a ledger, and what the server says about a statement it refuses.

use std::path::PathBuf;

use ledgerstone_digest::checkpoint::CheckpointError;
use ledgerstone_digest::ion::BinaryError;
use ledgerstone_digest::receipt::ReceiptError;
use ledgerstone_digest::verifier::Refusal;
use tonic::{Code, Status};

/// The result of every call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Status metadata: the SQLSTATE of a refused statement.
pub const SQLSTATE_KEY: &str = "ledgerstone-sqlstate";
/// Status metadata: its detail, UTF-8.
pub const DETAIL_KEY: &str = "ledgerstone-detail-bin";
/// Status metadata: its hint, UTF-8.
pub const HINT_KEY: &str = "ledgerstone-hint-bin";
/// Status metadata: the character of the statement where the error was found, from 1.
pub const POSITION_KEY: &str = "ledgerstone-position";

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is not one.
    #[error("{endpoint} is not the address of a server: {problem}; use http://HOST:PORT")]
    Endpoint {
        /// What was given.
        endpoint: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The server cannot be reached, or the connection broke. What was being asked may have been done.
    #[error("the server cannot be reached: {0}")]
    Unavailable(String),
    /// The statement is refused.
    #[error(transparent)]
    Statement(Box<StatementError>),
    /// Something that the transaction read has changed: run it again ([`crate::Session::transact`] does).
    #[error("the transaction conflicts with another one: {0}")]
    Conflict(Box<StatementError>),
    /// The commit may have happened or not: look with [`crate::Client::find_commit`].
    #[error("it is not known whether the transaction was committed: {0}")]
    OutcomeUnknown(String),
    /// The session was closed, by its idle limit or by a restart. An open transaction of it is rolled back.
    #[error("the session is gone: {0}")]
    SessionGone(String),
    /// The transaction of this handle has been committed or rolled back.
    #[error("the transaction has ended")]
    TransactionEnded,
    /// The transaction was run again as often as allowed.
    #[error("gave up after {attempts} attempts: {last}")]
    RetriesExhausted {
        /// How often it was tried.
        attempts: u32,
        /// Why the last attempt failed.
        last: Box<Error>,
    },
    /// The server refuses the call: a limit, an unknown name, a position outside of the ledger.
    #[error("the server refuses ({code:?}): {message}")]
    Server {
        /// gRPC's code.
        code: Code,
        /// Why.
        message: String,
    },
    /// The server's answer is not one to this question.
    #[error("the server's answer is malformed: {0}")]
    Answer(String),
    /// A value in the server's answer is not Ion.
    #[error("a value in the server's answer is malformed: {0}")]
    Ion(#[from] BinaryError),
    /// The receipt cannot be read.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The proof does not hold. Keep the note: signed, it is evidence.
    #[error("not proved: {refusal}")]
    NotProved {
        /// Which link is missing.
        refusal: Box<Refusal>,
        /// The checkpoint that was shown.
        note: String,
    },
    /// The server's newest checkpoint is older than the pinned one: it was rolled back, or hides what it showed before.
    #[error(
        "the server's newest checkpoint has {size} leaves, fewer than the {pinned} that it has shown before: it was \
         rolled back, or hides something"
    )]
    RolledBack {
        /// The size that is pinned.
        pinned: u64,
        /// The size of the newest checkpoint shown.
        size: u64,
        /// The checkpoint that was shown.
        note: String,
    },
    /// The server gives no proof that two sizes are of one history.
    #[error("the server gives no proof that its trees of {from} and {to} leaves are of one history: {source}")]
    NoConsistency {
        /// The smaller size.
        from: u64,
        /// The larger size.
        to: u64,
        /// What it says instead.
        source: Box<Error>,
    },
    /// What is proved is not what was promised or asked for.
    #[error("{what}: the ledger proves {found}, expected was {expected}")]
    Mismatch {
        /// What differs.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What is proved.
        found: String,
    },
    /// The blocks do not add up to the ledger that the checkpoint signs.
    #[error("the ledger does not verify: {0}")]
    Audit(String),
    /// The file of the pinned checkpoint.
    #[error("{}: {problem}", path.display())]
    Pin {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// A statement that the server refused, as PostgreSQL would say it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (SQLSTATE {sqlstate}){}", hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
pub struct StatementError {
    /// Five characters.
    pub sqlstate: String,
    /// What is wrong.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// The character of the statement where it was found, from 1.
    pub position: Option<u32>,
}

impl Error {
    /// The SQLSTATE, if the error is about a statement.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Error::Statement(error) | Error::Conflict(error) => Some(&error.sqlstate),
            _ => None,
        }
    }

    /// Whether this is proof, or lack of the proof, that the ledger has one history.
    pub fn is_fork(&self) -> bool {
        match self {
            Error::NotProved { refusal, .. } => matches!(**refusal, Refusal::Fork { .. } | Refusal::Consistency(_)),
            Error::RolledBack { .. } | Error::NoConsistency { .. } => true,
            _ => false,
        }
    }

    /// Whether a checkpoint is signed by none of the keys that are trusted.
    pub(crate) fn is_unknown_key(&self) -> bool {
        let Error::NotProved { refusal, .. } = self else { return false };
        matches!(&**refusal, Refusal::Checkpoint(CheckpointError::NotSigned { .. }))
    }

    /// Whether the server was not there to answer.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::SessionGone(_) | Error::OutcomeUnknown(_))
    }

    pub(crate) fn answer(what: impl Into<String>) -> Self {
        Error::Answer(what.into())
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let metadata = status.metadata();
        let ascii = |key: &str| metadata.get(key).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let text = |key: &str| {
            let bytes = metadata.get_bin(key)?.to_bytes().ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let message = status.message().to_owned();
        if let Some(sqlstate) = ascii(SQLSTATE_KEY) {
            let position = ascii(POSITION_KEY).and_then(|text| text.parse().ok());
            match sqlstate.as_str() {
                "08003" => return Error::SessionGone(message),
                "08007" | "40003" => return Error::OutcomeUnknown(message),
                "57P01" | "57P03" => return Error::Unavailable(message),
                _ => {}
            }
            let (detail, hint) = (text(DETAIL_KEY), text(HINT_KEY));
            let error = Box::new(StatementError { sqlstate, message, detail, hint, position });
            return if status.code() == Code::Aborted { Error::Conflict(error) } else { Error::Statement(error) };
        }
        match status.code() {
            // A connection that breaks shows as any of these.
            Code::Unavailable => Error::Unavailable(message),
            Code::Unknown | Code::Cancelled | Code::Internal if std::error::Error::source(&status).is_some() => {
                Error::Unavailable(message)
            }
            code => Error::Server { code, message },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_statement_keeps_its_parts() {
        let mut status = Status::invalid_argument("relation \"personen\" does not exist");
        status.metadata_mut().insert(SQLSTATE_KEY, "42P01".parse().unwrap());
        status.metadata_mut().insert(POSITION_KEY, "15".parse().unwrap());
        status.metadata_mut().insert_bin(HINT_KEY, tonic::metadata::BinaryMetadataValue::from_bytes("très".as_bytes()));
        let Error::Statement(error) = Error::from(status) else { panic!("not a statement's error") };
        assert_eq!((error.sqlstate.as_str(), error.position), ("42P01", Some(15)));
        assert_eq!(error.hint.as_deref(), Some("très"));
        assert!(error.to_string().contains("42P01"));
    }

    #[test]
    fn conflicts_and_lost_servers_are_told_apart() {
        let mut status = Status::aborted("changed");
        status.metadata_mut().insert(SQLSTATE_KEY, "40001".parse().unwrap());
        assert!(matches!(Error::from(status), Error::Conflict(_)));
        let mut status = Status::unavailable("stopping");
        status.metadata_mut().insert(SQLSTATE_KEY, "08007".parse().unwrap());
        assert!(matches!(Error::from(status), Error::OutcomeUnknown(_)));
        assert!(Error::from(Status::unavailable("gone")).is_lost());
        assert!(matches!(Error::from(Status::out_of_range("x")), Error::Server { code: Code::OutOfRange, .. }));
    }
}
