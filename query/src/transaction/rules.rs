//! What may be written: documents that every reader takes (CONTRACT section 2), and keys that the row index takes.

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Int, Symbol, Value};

use super::limit_error;
use crate::catalogue::{METADATA_FIELDS, SALT_FIELD, Table};
use crate::database::Limits;
use crate::error::{QueryError, Result, SqlState};
use crate::index::{KEY_BYTES_MAX, Key};

/// What every document must be (CONTRACT section 2). Gives the bytes it may take.
pub(super) fn check_document_rules(value: &Value, limits: &Limits) -> Result<usize> {
    let Value::Struct(fields) = value else {
        return Err(QueryError::new(
            SqlState::DATATYPE_MISMATCH,
            format!("a document is an Ion struct, not {:?}", value.ion_type()),
        ));
    };
    if fields.get(SALT_FIELD).is_some() {
        return Err(QueryError::new(SqlState::RESERVED_NAME, format!("the field name {SALT_FIELD} is reserved")));
    }
    let metadata_only =
        fields.len() == METADATA_FIELDS.len() && METADATA_FIELDS.iter().all(|name| fields.get(name).is_some());
    if metadata_only {
        return Err(QueryError::new(
            SqlState::RESERVED_NAME,
            "a document may not have exactly the fields id, version, txTime and txId: it would read as metadata",
        )
        .hint("Rename one of the fields, or add another."));
    }
    let mut counts = Counts { values: 0, bytes: Counts::AROUND };
    counts.add(value, 0, limits)?;
    Ok(counts.bytes)
}

/// What the row index takes.
pub(super) fn check_keys(table: &Table, keys: &[(Id, Key)]) -> Result<()> {
    let Some((id, key)) = keys.iter().find(|(_, key)| key.is_too_long()) else { return Ok(()) };
    let name = table.index_by_id(id).map_or("", |i| &*i.name);
    Err(limit_error(format!(
        "the key of index \"{name}\" would have {} bytes; at most {} are possible",
        key.len(),
        KEY_BYTES_MAX
    ))
    .hint("Long texts are better not indexed, or indexed by a hash of them."))
}

/// What readers of documents limit ([`ledgerstone_digest::ion::Limits`]): nothing may be stored that they refuse.
struct Counts {
    values: usize,
    bytes: usize,
}

impl Counts {
    /// Version marker, the frame of the symbol table, and the salt that some tables add.
    const AROUND: usize = 80;
    /// A type byte and the longest length, or a symbol's number.
    const HEAD: usize = 5;

    /// At least as many bytes as Ion binary has. `depth`: of containers and annotations around the value.
    fn add(&mut self, value: &Value, depth: usize, limits: &Limits) -> Result<()> {
        let is_container = matches!(value, Value::List(_) | Value::Sexp(_) | Value::Struct(_) | Value::Annotated(_));
        if is_container && depth >= limits.document_depth_max {
            let limit = limits.document_depth_max;
            return Err(limit_error(format!("a document has at most {limit} containers inside each other")));
        }
        self.values += match value {
            Value::Annotated(inner) => inner.annotations.len(),
            _ => 1,
        };
        if self.values > limits.document_values_max {
            return Err(limit_error(format!("a document has at most {} values", limits.document_values_max)));
        }
        let text = |symbol: &Symbol| symbol.text().map_or(0, str::len) + Self::HEAD;
        self.bytes += match value {
            Value::String(s) => s.len() + Self::HEAD,
            Value::Symbol(s) => text(s) + Self::HEAD,
            Value::Clob(b) | Value::Blob(b) => b.len() + Self::HEAD,
            Value::Null(_) | Value::Bool(_) => 1,
            Value::Int(i) => 9 + int_bytes(i)?,
            Value::Decimal(d) => 16 + int_bytes(d.coefficient())?,
            // With as many digits of a second as there may be.
            Value::Timestamp(_) => 32,
            Value::Annotated(inner) => 9 + inner.annotations.iter().map(text).sum::<usize>(),
            _ => 9,
        };
        match value {
            Value::List(items) | Value::Sexp(items) => {
                items.iter().try_for_each(|item| self.add(item, depth + 1, limits))?;
            }
            Value::Struct(fields) => {
                for (name, item) in &fields.fields {
                    self.bytes += text(name);
                    self.add(item, depth + 1, limits)?;
                }
            }
            Value::Annotated(inner) => self.add(&inner.value, depth + 1, limits)?,
            _ => {}
        }
        if self.bytes > limits.document_bytes_max {
            return Err(limit_error(format!("a document has at most {} bytes", limits.document_bytes_max)));
        }
        Ok(())
    }
}

/// Of an integer that does not fit a word.
fn int_bytes(int: &Int) -> Result<usize> {
    let Int::Big(big) = int else { return Ok(0) };
    let bytes = big.bits().div_ceil(8) as usize;
    if bytes <= Int::BYTES_MAX {
        return Ok(bytes);
    }
    let (most, digits) = (Int::BYTES_MAX, Int::DIGITS_MAX);
    Err(QueryError::new(
        SqlState::NUMERIC_OUT_OF_RANGE,
        format!("a number in a document has at most {most} bytes, about {digits} digits, not {bytes} bytes"),
    ))
}
