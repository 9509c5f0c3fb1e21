//! Errors as gRPC statuses: a code for programs that know gRPC only, and in the metadata what PostgreSQL would say.
//!
//! | metadata | what it is |
//! |---|---|
//! | `ledgerstone-sqlstate` | SQLSTATE |
//! | `ledgerstone-detail-bin`, `ledgerstone-hint-bin` | UTF-8 |
//! | `ledgerstone-position` | the character of the statement, from 1 |

use ledgerstone_journal::{ReadError, ReceiptError};
use ledgerstone_query::error::{QueryError, SqlState};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

pub const SQLSTATE_KEY: &str = "ledgerstone-sqlstate";
const DETAIL_KEY: &str = "ledgerstone-detail-bin";
pub const HINT_KEY: &str = "ledgerstone-hint-bin";
const POSITION_KEY: &str = "ledgerstone-position";
/// Peers refuse long headers, and the message is escaped in its own: three bytes for one at worst.
const TEXT_BYTES_MAX: usize = 1_500;

/// A statement's error; `text` is what its position refers to.
pub fn of_query(error: &QueryError, text: &str) -> Status {
    let mut metadata = MetadataMap::new();
    if let Ok(value) = MetadataValue::try_from(error.code.as_str()) {
        metadata.insert(SQLSTATE_KEY, value);
    }
    for (key, part) in [(DETAIL_KEY, &error.detail), (HINT_KEY, &error.hint)] {
        if let Some(part) = part {
            metadata.insert_bin(key, MetadataValue::from_bytes(shorten(part).as_bytes()));
        }
    }
    if let Some(position) = error.position(text) {
        metadata.insert(POSITION_KEY, MetadataValue::from(position as u64));
    }
    Status::with_metadata(code_of(error.code), shorten(&error.message), metadata)
}

/// An error that is not about a statement's text.
pub fn of_error(error: QueryError) -> Status {
    of_query(&error, "")
}

/// What became of a receipt or a proof.
pub fn of_receipt(error: ReceiptError) -> Status {
    match error {
        ReceiptError::Read(error) => of_read(error),
        ReceiptError::Range(error) => Status::invalid_argument(error.to_string()),
        ReceiptError::NotSigned { .. } => Status::out_of_range(error.to_string()),
        ReceiptError::TreeDamaged(_) => Status::data_loss(error.to_string()),
        other => Status::internal(shorten(&other.to_string())),
    }
}

/// What became of a read from the journal.
pub fn of_read(error: ReadError) -> Status {
    match error {
        ReadError::Beyond { .. } => Status::out_of_range(error.to_string()),
        ReadError::Kind { .. } => Status::invalid_argument(error.to_string()),
        ReadError::Damaged(_) => Status::data_loss(shorten(&error.to_string())),
        other => Status::internal(shorten(&other.to_string())),
    }
}

/// The session is not there, or is somebody else's.
pub fn session_gone() -> Status {
    of_error(
        QueryError::new(SqlState("08003"), "there is no such session")
            .hint("It was idle too long, or the server was restarted: open another one."),
    )
}

fn code_of(state: SqlState) -> Code {
    let text = state.as_str();
    match text {
        "40001" => return Code::Aborted,
        "40003" | "08007" => return Code::Unknown,
        "42501" => return Code::PermissionDenied,
        "42P01" | "42703" | "42704" | "42883" | "3D000" | "3F000" | "08003" => return Code::NotFound,
        "42P04" | "42P07" | "42710" | "23505" => return Code::AlreadyExists,
        "57014" => return Code::Cancelled,
        "57P01" | "57P03" => return Code::Unavailable,
        "XX001" => return Code::DataLoss,
        _ => {}
    }
    match text.get(..2) {
        Some("0A") => Code::Unimplemented,
        Some("22" | "42" | "26" | "34") => Code::InvalidArgument,
        Some("23" | "25" | "2B" | "3B" | "55") => Code::FailedPrecondition,
        Some("53" | "54") => Code::ResourceExhausted,
        _ => Code::Internal,
    }
}

fn shorten(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use ledgerstone_query::ast::Span;

    use super::*;

    #[test]
    fn a_status_says_what_postgresql_would() {
        let error = QueryError::new(SqlState::UNDEFINED_TABLE, "relation \"täble\" does not exist")
            .hint("Did you mean \"table\"?")
            .at(Span { start: 14, end: 19 });
        let status = of_query(&error, "SELECT * FROM täble");
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.metadata().get(SQLSTATE_KEY).unwrap(), "42P01");
        assert_eq!(status.metadata().get(POSITION_KEY).unwrap(), "15");
        let hint = status.metadata().get_bin(HINT_KEY).unwrap().to_bytes().unwrap();
        assert_eq!(&hint[..], b"Did you mean \"table\"?");
    }

    #[test]
    fn conflicts_are_aborted_and_long_texts_cut() {
        let error = QueryError::new(SqlState::SERIALIZATION_FAILURE, "é".repeat(10_000));
        let status = of_error(error);
        assert_eq!(status.code(), Code::Aborted);
        assert!(status.message().len() < 2_000);
    }
}
