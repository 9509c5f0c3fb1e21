//! PostgreSQL's SQL.

use crate::{Parsed, error::QueryError};

/// Parses a text of one or more statements.
pub fn parse(_text: &str) -> Result<Vec<Parsed>, QueryError> {
    Err(QueryError::unsupported("SQL"))
}
