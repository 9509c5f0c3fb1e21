//! What the row index keeps for us beside rows, so that opening need not replay the whole journal: the last document id,
//! the counters of identity columns, and unique indexes in which duplicates were found while they were built.

use std::collections::HashSet;
use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Struct, Value, decode, encode};

use super::counters::Counters;
use crate::error::{QueryError, Result, SqlState};

/// The notes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Notes {
    pub last_document: u128,
    pub identities: Counters,
    /// Ids of indexes.
    pub duplicates: HashSet<Id>,
}

impl Notes {
    pub fn encode(&self) -> Vec<u8> {
        let identity = |((table, column), value): (&(Id, Arc<str>), &i64)| {
            Value::List(vec![Value::string(table.to_string()), Value::string(column.clone()), Value::int(*value)])
        };
        let mut duplicates: Vec<_> = self.duplicates.iter().collect();
        duplicates.sort();
        encode(&Value::Struct(Struct::from_fields([
            ("lastDocument", Value::string(Id(self.last_document.to_be_bytes()).to_string())),
            ("identities", Value::List(self.identities.0.iter().map(identity).collect())),
            ("duplicates", Value::List(duplicates.into_iter().map(|id| Value::string(id.to_string())).collect())),
        ])))
    }

    /// Reads notes; no bytes are no notes.
    pub fn decode(bytes: &[u8]) -> Result<Notes> {
        if bytes.is_empty() {
            return Ok(Notes::default());
        }
        let value = decode(bytes, &Default::default()).ok();
        value.as_ref().and_then(read).ok_or_else(|| {
            QueryError::new(SqlState::DATA_CORRUPTED, "the notes that the row index keeps cannot be read")
        })
    }
}

fn read(value: &Value) -> Option<Notes> {
    let notes = value.as_struct()?;
    let id = |value: &Value| value.as_text()?.parse::<Id>().ok();
    let list = |name: &str| match notes.get(name) {
        Some(Value::List(items)) => Some(items),
        _ => None,
    };
    let identity = |item: &Value| match item {
        Value::List(parts) => match &parts[..] {
            [table, Value::String(column), value] => Some(((id(table)?, column.clone().into()), value.as_i64()?)),
            _ => None,
        },
        _ => None,
    };
    Some(Notes {
        last_document: u128::from_be_bytes(id(notes.get("lastDocument")?)?.0),
        identities: Counters(list("identities")?.iter().map(identity).collect::<Option<_>>()?),
        duplicates: list("duplicates")?.iter().map(id).collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_read_back() {
        let notes = Notes {
            last_document: 1 << 100,
            identities: Counters([((Id([1; 16]), "a".into()), -5), ((Id([2; 16]), "b c".into()), i64::MAX)].into()),
            duplicates: HashSet::from([Id([3; 16])]),
        };
        assert_eq!(Notes::decode(&notes.encode()).unwrap(), notes);
        assert_eq!(Notes::decode(&[]).unwrap(), Notes::default());
        assert!(Notes::decode(b"no notes").is_err());
    }
}
