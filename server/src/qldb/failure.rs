//! Errors as drivers and SDKs tell them apart: by the header `x-amzn-ErrorType` and the body's `__type`, and never with a
//! member `Code`, which some SDKs would take for the name.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use ledgerstone_digest::Id;
use ledgerstone_query::error::{QueryError, SqlState};

/// A command or an operation that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    status: StatusCode,
    name: &'static str,
    pub(super) message: String,
    /// The control API: what of the request is wrong.
    pub(super) parameter: Option<&'static str>,
    /// The control API: the type and the name of what the request is about.
    resource: Option<(&'static str, String)>,
}

impl Failure {
    fn new(status: StatusCode, name: &'static str, message: impl Into<String>) -> Failure {
        Failure { status, name, message: message.into(), parameter: None, resource: None }
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

    /// The control API: a request that no state of the ledger would make right.
    pub fn invalid_parameter(parameter: &'static str, message: impl Into<String>) -> Failure {
        let failure = Failure::new(StatusCode::BAD_REQUEST, "InvalidParameterException", message);
        Failure { parameter: Some(parameter), ..failure }
    }

    pub fn not_found(kind: &'static str, name: &str, message: impl Into<String>) -> Failure {
        Failure::about(StatusCode::NOT_FOUND, "ResourceNotFoundException", (kind, name), message)
    }

    pub fn already_exists(kind: &'static str, name: &str, message: impl Into<String>) -> Failure {
        Failure::about(StatusCode::CONFLICT, "ResourceAlreadyExistsException", (kind, name), message)
    }

    pub fn in_use(kind: &'static str, name: &str, message: impl Into<String>) -> Failure {
        Failure::about(StatusCode::CONFLICT, "ResourceInUseException", (kind, name), message)
    }

    pub fn precondition_not_met(kind: &'static str, name: &str, message: impl Into<String>) -> Failure {
        Failure::about(StatusCode::PRECONDITION_FAILED, "ResourcePreconditionNotMetException", (kind, name), message)
    }

    pub fn too_many(kind: &'static str, message: impl Into<String>) -> Failure {
        Failure::about(StatusCode::BAD_REQUEST, "LimitExceededException", (kind, ""), message)
    }

    fn about(
        status: StatusCode,
        name: &'static str,
        resource: (&'static str, &str),
        message: impl Into<String>,
    ) -> Failure {
        let resource = Some((resource.0, resource.1.to_owned()));
        Failure { resource, ..Failure::new(status, name, message) }
    }

    pub fn no_such_operation(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, "UnknownOperationException", message)
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
        let mut body = serde_json::json!({ "__type": self.name, "Message": self.message });
        if let Some(parameter) = self.parameter {
            body["ParameterName"] = parameter.into();
        }
        if let Some((kind, name)) = &self.resource {
            body["ResourceType"] = (*kind).into();
            body["ResourceName"] = name.as_str().into();
        }
        super::respond(self.status, Some(self.name), request_id, body.to_string())
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Failure {
        let message = message(&error);
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

/// What a policy does not allow.
pub fn denied(error: &QueryError) -> Failure {
    Failure::unauthorized("AccessDeniedException", message(error))
}

/// All that an error says.
pub fn message(error: &QueryError) -> String {
    let mut message = error.message.clone();
    for more in [&error.detail, &error.hint].into_iter().flatten() {
        message.push_str("; ");
        message.push_str(more);
    }
    message
}
