//! How large a value may be that an expression makes: as large as a document's. What a function makes is measured before
//! it is built, for one that is ten thousand times its arguments would take the memory of the whole server first.

use ledgerstone_digest::ion::{Decimal, Int, Limits, Value};

use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::value::numeric::DIGITS_MAX;
use crate::value::text::format_untyped;

/// The most bytes of text that an expression may make, in one value or in all that are inside it.
pub(crate) const TEXT_BYTES_MAX: usize = Limits::DOCUMENT.bytes_max;
/// The most elements and fields, those inside others included.
pub(crate) const ELEMENTS_MAX: usize = Limits::DOCUMENT.values_max;

/// What a value takes when it is written out. Copies of a text share their memory, but as text each stands for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    bytes: usize,
    elements: usize,
}

impl Size {
    /// Of a value that is within the limits: the others are not walked to their ends.
    pub fn of(value: &Value) -> Result<Size> {
        let mut size = Size::default();
        size.count(value)?;
        Ok(size)
    }

    /// Of so many like it.
    pub fn times(self, count: usize) -> Result<Size> {
        let size = Size { bytes: self.bytes.saturating_mul(count), elements: self.elements.saturating_mul(count) };
        size.within()
    }

    /// Of both together.
    pub fn and(self, other: Size) -> Result<Size> {
        let (bytes, elements) = (self.bytes.saturating_add(other.bytes), self.elements.saturating_add(other.elements));
        Size { bytes, elements }.within()
    }

    fn within(self) -> Result<Size> {
        if self.elements > ELEMENTS_MAX {
            return Err(too_many());
        }
        if self.bytes > TEXT_BYTES_MAX { Err(too_long()) } else { Ok(self) }
    }

    fn count(&mut self, value: &Value) -> Result<()> {
        self.elements += 1;
        match value {
            Value::List(items) | Value::Sexp(items) => {
                for item in items {
                    self.count(item)?;
                }
            }
            Value::Struct(s) => {
                for (name, field) in &s.fields {
                    self.bytes += name.text().map_or(0, str::len);
                    self.count(field)?;
                }
            }
            Value::Annotated(inner) => self.count(&inner.value)?,
            scalar => self.bytes += bytes_of_scalar(scalar),
        }
        self.within().map(|_| ())
    }
}

fn bytes_of_scalar(value: &Value) -> usize {
    let digits = |int: &Int| match int {
        Int::Small(_) => 0,
        // Ten bits are three digits.
        Int::Big(big) => usize::try_from(big.bits() / 3).unwrap_or(usize::MAX),
    };
    let zeros = |d: &Decimal| d.exponent().unsigned_abs().min(DIGITS_MAX) as usize;
    match value {
        Value::String(s) => s.len(),
        Value::Symbol(s) => s.text().map_or(0, str::len),
        Value::Blob(bytes) | Value::Clob(bytes) => bytes.len(),
        Value::Int(int) => digits(int),
        Value::Decimal(d) => digits(d.coefficient()) + zeros(d),
        _ => 0,
    }
}

/// Whether a value is within the limits (54000).
pub(crate) fn check(value: &Value) -> Result<()> {
    match value {
        Value::List(_) | Value::Sexp(_) | Value::Struct(_) | Value::Annotated(_) => Size::of(value).map(|_| ()),
        scalar => check_bytes(bytes_of_scalar(scalar)),
    }
}

/// The same of what an expression came to.
pub(crate) fn checked(datum: Datum) -> Result<Datum> {
    datum.as_ref().map_or(Ok(()), check)?;
    Ok(datum)
}

/// The same of what is to be written out as text: only what has parts can get longer by that.
pub(crate) fn checked_parts(datum: Datum) -> Result<Datum> {
    match datum {
        Some(Value::List(_) | Value::Sexp(_) | Value::Struct(_) | Value::Annotated(_)) => checked(datum),
        other => Ok(other),
    }
}

/// Whether a text may have so many bytes (54000).
pub(crate) fn check_bytes(bytes: usize) -> Result<()> {
    if bytes > TEXT_BYTES_MAX { Err(too_long()) } else { Ok(()) }
}

/// A list of what comes, as long as it is not too long.
pub(crate) fn list(items: impl Iterator<Item = Result<Value>>) -> Result<Datum> {
    values(items).map(|items| Some(Value::List(items)))
}

/// The same as it is.
pub(crate) fn values(items: impl Iterator<Item = Result<Value>>) -> Result<Vec<Value>> {
    let mut list = Vec::new();
    for item in items {
        if list.len() == ELEMENTS_MAX {
            return Err(too_many());
        }
        list.push(item?);
    }
    Ok(list)
}

/// A text that is put together, and refused before it gets too long.
#[derive(Debug, Default)]
pub(crate) struct TextBuilder(String);

impl TextBuilder {
    pub fn push_str(&mut self, text: &str) -> Result<()> {
        check_bytes(self.0.len().saturating_add(text.len()))?;
        self.0.push_str(text);
        Ok(())
    }

    pub fn push(&mut self, c: char) -> Result<()> {
        self.push_str(c.encode_utf8(&mut [0; 4]))
    }

    /// A value as text.
    pub fn push_value(&mut self, value: &Value) -> Result<()> {
        match value {
            Value::String(text) => self.push_str(text),
            other => {
                check(other)?;
                self.push_str(&format_untyped(other))
            }
        }
    }

    pub fn finish(self) -> Result<Datum> {
        super::some_text(self.0)
    }
}

fn too_long() -> QueryError {
    QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("the result would be longer than {TEXT_BYTES_MAX} bytes"))
        .hint("Make it in parts.")
}

fn too_many() -> QueryError {
    let message = format!("the result would have more than {ELEMENTS_MAX} elements");
    QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).hint("Make it in parts.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_a_shared_text_count_each() {
        let text = Value::string("x".repeat(1 << 20));
        assert!(Size::of(&text).unwrap().times(16).is_ok());
        assert!(check(&Value::List(vec![text.clone(); 16])).is_ok());
        let refused = check(&Value::List(vec![text; 17])).unwrap_err();
        assert_eq!(refused.code, SqlState::PROGRAM_LIMIT_EXCEEDED);
    }

    #[test]
    fn elements_count_at_every_depth() {
        let inner = Value::List(vec![Value::int(0); 1 << 11]);
        assert!(check(&Value::List(vec![inner.clone(); 1 << 10])).is_ok());
        assert!(check(&Value::List(vec![inner; 1 << 11])).is_err());
    }

    #[test]
    fn a_number_counts_the_zeros_it_is_written_with() {
        let number = Value::Decimal(Decimal::new(1i64, 131_000));
        assert!(check(&Value::List(vec![number.clone(); 100])).is_ok());
        assert!(check(&Value::List(vec![number; 200])).is_err());
    }
}
