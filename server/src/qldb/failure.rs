//! Errors as the drivers tell them apart: by the header `x-amzn-ErrorType` and the body's `__type`, and never with a member
//! `Code`, which some SDKs would take for the name.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use ledgerstone_digest::Id;
use ledgerstone_query::error::{QueryError, SqlState};

/// A command that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    status: StatusCode,
    name: &'static str,
    message: String,
}

impl Failure {
    fn new(status: StatusCode, name: &'static str, message: impl Into<String>) -> Failure {
        Failure { status, name, message: message.into() }
    }

    /// Not tried again by any driver.
    pub fn bad_request(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "BadRequestException", message)
    }

    /// Drivers take another session and begin anew, unless the message is that of [`Failure::transaction_expired`].
    pub fn invalid_session(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "InvalidSessionException", message)
    }

    /// The words are part of the protocol: drivers do not try again what took too long.
    pub fn transaction_expired(transaction: Id) -> Failure {
        Failure::invalid_session(format!("Transaction {transaction} has expired"))
    }

    pub fn limit_exceeded(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "LimitExceededException", message)
    }

    /// Drivers try again.
    pub fn unavailable(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    }

    pub fn internal(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", message)
    }

    pub fn unknown_operation() -> Failure {
        let what = "this address answers QLDBSession.SendCommand; the request's X-Amz-Target names something else";
        Failure::new(StatusCode::BAD_REQUEST, "UnknownOperationException", what)
    }

    /// Who calls is not known, or not believed.
    pub fn unauthorized(name: &'static str, message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::FORBIDDEN, name, message)
    }

    pub fn response(&self, request_id: &str) -> Response<Body> {
        let body = serde_json::json!({ "__type": self.name, "Message": self.message });
        super::respond(self.status, Some(self.name), request_id, body.to_string())
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Failure {
        let mut message = error.message.clone();
        for more in [&error.detail, &error.hint].into_iter().flatten() {
            message.push_str("; ");
            message.push_str(more);
        }
        match error.code {
            SqlState::SERIALIZATION_FAILURE => Failure::new(StatusCode::BAD_REQUEST, "OccConflictException", message),
            SqlState::SHUTDOWN => Failure::unavailable(message),
            // Nothing was written, and there may be room later.
            SqlState::DISK_FULL => Failure::unavailable(message),
            // What became of a commit is not known: drivers would run the transaction again, and it may stand already.
            _ => Failure::bad_request(message),
        }
    }
}
