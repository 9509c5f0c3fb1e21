//! A revision as a transaction sees it, and the views it can be seen in.

use std::hint::black_box;
use std::sync::Arc;

use ledgerstone_digest::block::Metadata;
use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Struct, Symbol, Value};
use ledgerstone_journal::Data;

use crate::catalogue::SALT_FIELD;
use crate::error::{QueryError, Result};

/// One revision of a document.
#[derive(Debug, Clone)]
pub struct Doc {
    pub table_id: Id,
    pub id: Id,
    /// `u64::MAX` for this transaction's own write.
    pub position: u64,
    pub version: u64,
    /// Its block's number; `u64::MAX` for this transaction's own write.
    pub block: u64,
    pub tx_time_ms: i64,
    pub tx_id: Id,
    /// The position of the revision it supersedes.
    pub supersedes: Option<u64>,
    /// The position that superseded it, as seen at the view it was read in; only `history` fills it in.
    pub successor: Option<u64>,
    /// The document without its salt. `None`: a deletion, or redacted (then `data_hash` is there).
    pub data: Option<Arc<Value>>,
    /// The salt of a salted table's revision.
    pub salt: Option<Salt>,
    /// IH(data) of a redacted revision.
    pub data_hash: Option<Hash>,
}

/// Which revisions a read sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// The snapshot, with this transaction's own writes.
    #[default]
    Current,
    /// What was current at this position (at most the snapshot), without this transaction's own writes.
    AsOf(u64),
}

impl Doc {
    /// The position of a revision that has none yet.
    pub const UNCOMMITTED: u64 = u64::MAX;

    /// Its fields; none of a deletion, of what is redacted, and of a document that is no struct.
    pub fn fields(&self) -> &[(Symbol, Value)] {
        self.data.as_deref().and_then(Value::as_struct).map_or(&[], |fields| &fields.fields)
    }

    /// Looks at the beginnings of documents that are about to be shown one after the other, and of what is in them. Revisions of
    /// one document lie far apart in memory; looked at together, they are waited for together.
    pub fn look_ahead(docs: &[Arc<Doc>]) {
        let begins = |(name, value): &(Symbol, Value)| name.text().map_or(0, str::len) + usize::from(value.is_null());
        let inside = |value: &Value| match value {
            Value::Struct(inner) => inner.fields.first().map_or(0, begins),
            Value::List(items) => items.first().map_or(0, |item| usize::from(item.is_null())),
            _ => 0,
        };
        let deeper = |value: &Value| match value {
            Value::Struct(inner) => inner.fields.iter().map(|(_, value)| inside(value)).sum(),
            Value::List(items) => items.first().map_or(0, inside),
            _ => 0,
        };
        let of_all = |look: &dyn Fn(&(Symbol, Value)) -> usize| {
            black_box(docs.iter().map(|doc| doc.fields().iter().map(look).sum::<usize>()).sum::<usize>());
        };
        black_box(docs.iter().map(|doc| doc.fields().first().map_or(0, begins)).sum::<usize>());
        of_all(&begins);
        of_all(&|(_, value)| inside(value));
        of_all(&|(_, value)| deeper(value));
    }

    /// Written by this transaction and not committed yet.
    pub fn is_uncommitted(&self) -> bool {
        self.position == Doc::UNCOMMITTED
    }

    /// A last revision without data.
    pub fn is_deletion(&self) -> bool {
        self.data.is_none() && self.data_hash.is_none()
    }

    pub fn metadata(&self) -> Metadata {
        Metadata { id: self.id, version: self.version, tx_time_ms: self.tx_time_ms, tx_id: self.tx_id }
    }

    /// The data as hashed: with the salt, if there is one. What the committed view and receipts show.
    pub fn committed_data(&self) -> Option<Arc<Value>> {
        match (&self.data, &self.salt) {
            (Some(data), Some(salt)) => Some(Arc::new(with_salt(data, salt))),
            (data, _) => data.clone(),
        }
    }
}

/// A document with its salt as last field.
pub(crate) fn with_salt(data: &Value, salt: &Salt) -> Value {
    match data {
        Value::Struct(s) => {
            let mut fields = Vec::with_capacity(s.fields.len() + 1);
            fields.extend_from_slice(&s.fields);
            fields.push((Symbol::from(SALT_FIELD), Value::Blob(Arc::from(salt.bytes()))));
            Value::Struct(Struct { fields })
        }
        other => other.clone(),
    }
}

/// The salt of a salted table's revision. Those made here are kept in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Salt {
    Short([u8; 16]),
    Other(Arc<[u8]>),
}

impl Salt {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Salt::Short(bytes) => bytes,
            Salt::Other(bytes) => bytes,
        }
    }

    /// The memory that it takes beside itself, in bytes.
    pub(crate) fn bytes_beside(&self) -> usize {
        match self {
            Salt::Short(_) => 0,
            Salt::Other(bytes) => bytes.len() + 16,
        }
    }
}

impl From<&Arc<[u8]>> for Salt {
    fn from(bytes: &Arc<[u8]>) -> Salt {
        <[u8; 16]>::try_from(&**bytes).map_or_else(|_| Salt::Other(Arc::clone(bytes)), Salt::Short)
    }
}

/// A document that was written, as views show it, and its salt if that is known yet.
pub(crate) fn shown(data: &Data) -> Result<(Arc<Value>, Option<Salt>)> {
    let unreadable = |error| QueryError::internal(format!("a document that was encoded cannot be read: {error}"));
    data.value().map(without_salt).map_err(unreadable)
}

/// Takes the salt out of stored data, which is copied only if there is one and somebody else has the data too.
pub(crate) fn without_salt(mut data: Arc<Value>) -> (Arc<Value>, Option<Salt>) {
    let salted = data.as_struct().and_then(|s| s.get(SALT_FIELD));
    let Some(Value::Blob(salt)) = salted else { return (data, None) };
    let salt = Salt::from(salt);
    let is_shown = |(name, _): &(Symbol, Value)| name.text() != Some(SALT_FIELD);
    if let Some(Value::Struct(own)) = Arc::get_mut(&mut data) {
        own.fields.retain(is_shown);
    } else if let Value::Struct(shared) = &*data {
        let fields = shared.fields.iter().filter(|field| is_shown(field)).cloned().collect();
        data = Arc::new(Value::Struct(Struct { fields }));
    }
    (data, Some(salt))
}
