//! What a revision of the system table `redactions` says (docs/format.md, "Redaction"): which revision lost its data,
//! and by whom. Without such a record, missing data is withheld, not redacted.

use std::sync::Arc;

use crate::id::Id;
use crate::ion::{Int, Struct, Value};

/// The data of one revision in [`Id::REDACTIONS`]:
/// `{block: int, tableId: string, documentId: string, version: int, user: string}`, fields in any order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RedactionRecord {
    /// The number of the block that wrote the redacted revision.
    pub block: u64,
    /// Its table.
    pub table_id: Id,
    /// Its document.
    pub document_id: Id,
    /// Its version.
    pub version: u64,
    /// Who redacted it.
    pub user: Arc<str>,
}

impl RedactionRecord {
    /// The record as data.
    pub fn to_value(&self) -> Value {
        Value::Struct(Struct::from_fields([
            ("block", Value::Int(Int::from(self.block))),
            ("tableId", Value::string(self.table_id.to_string())),
            ("documentId", Value::string(self.document_id.to_string())),
            ("version", Value::Int(Int::from(self.version))),
            ("user", Value::string(self.user.clone())),
        ]))
    }

    /// Reads the record. Other fields may stand beside these, but each of these once. `None` if it is no record.
    pub fn from_value(value: &Value) -> Option<RedactionRecord> {
        let fields = value.as_struct()?;
        let one = |name: &str| {
            let mut found = fields.fields.iter().filter(|(n, _)| n.text() == Some(name)).map(|(_, value)| value);
            found.next().filter(|_| found.next().is_none())
        };
        let int = |name| match one(name) {
            Some(Value::Int(i)) => i.to_u64(),
            _ => None,
        };
        let text = |name| match one(name) {
            Some(Value::String(text)) => Some(text.clone()),
            _ => None,
        };
        Some(RedactionRecord {
            block: int("block")?,
            table_id: text("tableId")?.parse().ok()?,
            document_id: text("documentId")?.parse().ok()?,
            version: int("version")?,
            user: text("user")?.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_nothing_else_is_one() {
        let record = RedactionRecord {
            block: u64::MAX,
            table_id: Id([1; 16]),
            document_id: Id([2; 16]),
            version: 3,
            user: "clerk".into(),
        };
        let value = record.to_value();
        assert_eq!(RedactionRecord::from_value(&value), Some(record));
        let Value::Struct(whole) = value else { unreachable!() };
        for at in 0..whole.fields.len() {
            let mut fewer = whole.clone();
            let field = fewer.fields.remove(at);
            assert_eq!(RedactionRecord::from_value(&Value::Struct(fewer)), None);
            let mut twice = whole.clone();
            twice.fields.push(field);
            assert_eq!(RedactionRecord::from_value(&Value::Struct(twice)), None);
        }
        assert_eq!(RedactionRecord::from_value(&Value::NULL), None);
    }
}
