//! Errors of Flight SQL: gRPC statuses as the other services give them, and since drivers show nothing but the message, all
//! that PostgreSQL would say in it.

use ledgerstone_query::error::QueryError;
use tonic::Status;

use crate::grpc;

/// The longest message: peers refuse long headers, and three bytes may be needed for one.
const MESSAGE_BYTES_MAX: usize = 2_000;

/// An error of a statement with this text.
pub fn of_query(error: &QueryError, text: &str) -> Status {
    let status = grpc::of_query(error, text);
    let mut message = format!("{} (SQLSTATE {}", status.message(), error.code.as_str());
    if let Some(position) = error.position(text) {
        message.push_str(&format!(", at character {position}"));
    }
    message.push(')');
    for (name, part) in [("Detail", &error.detail), ("Hint", &error.hint)] {
        if let Some(part) = part
            && message.len() + part.len() < MESSAGE_BYTES_MAX
        {
            message.push_str(&format!("\n{name}: {part}"));
        }
    }
    Status::with_metadata(status.code(), message, status.metadata().clone())
}

/// An error that is not about a statement's text.
pub fn of_error(error: QueryError) -> Status {
    of_query(&QueryError { span: None, ..error }, "")
}

/// A status of gRPC's services with all of it in the message; one that has it there already stays as it is.
pub fn told(status: Status) -> Status {
    let state = status.metadata().get(grpc::SQLSTATE_KEY).and_then(|state| state.to_str().ok());
    let Some(state) = state.filter(|_| !status.message().contains("(SQLSTATE ")) else { return status };
    let mut message = format!("{} (SQLSTATE {state})", status.message());
    let hint = status.metadata().get_bin(grpc::HINT_KEY).and_then(|hint| hint.to_bytes().ok());
    if let Some(hint) = hint.as_deref().and_then(|hint| std::str::from_utf8(hint).ok()) {
        message.push_str(&format!("\nHint: {hint}"));
    }
    Status::with_metadata(status.code(), message, status.metadata().clone())
}

#[cfg(test)]
mod tests {
    use ledgerstone_query::ast::Span;
    use ledgerstone_query::error::SqlState;

    use super::*;

    #[test]
    fn the_message_has_all_that_a_driver_would_not_show_otherwise() {
        let error = QueryError::new(SqlState::UNDEFINED_TABLE, "relation \"tt\" does not exist")
            .hint("Did you mean \"t\"?")
            .at(Span { start: 14, end: 16 });
        let status = of_query(&error, "SELECT * FROM tt");
        assert_eq!(
            status.message(),
            "relation \"tt\" does not exist (SQLSTATE 42P01, at character 15)\nHint: Did you mean \"t\"?"
        );
        assert_eq!(status.code(), tonic::Code::NotFound);
        assert_eq!(status.metadata().get("ledgerstone-sqlstate").unwrap(), "42P01");
        assert_eq!(told(status.clone()).message(), status.message());
        assert_eq!(
            told(grpc::of_query(&error, "")).message().lines().next().unwrap(),
            "relation \"tt\" does not exist (SQLSTATE 42P01)"
        );
    }
}
