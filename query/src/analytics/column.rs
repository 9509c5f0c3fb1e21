//! Values as Arrow columns and back (DESIGN section 7, "Two executors, one meaning"). A column takes only values that come
//! back exactly as they went in: one type, one scale, one way of writing times. Anything else refuses the column, and the
//! statement runs in the document executor.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder, new_null_array,
};
use arrow::array::{
    BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, TimeUnit};
use ledgerstone_digest::ion::{Decimal, Int, Timestamp, Value};
use num_bigint::BigInt;

use crate::bind::plan::Datum;
use crate::columns::COEFFICIENT_MAX;
pub(super) use crate::columns::{DIGITS, time_of, time_shape as shape, unscaled};
use crate::value::{datetime, numeric};

/// Magnitude up to which 2³¹ summands cannot leave a Decimal128.
pub(super) const SUMMAND_MAX: u128 = 1 << 95;

/// What a column is for: it decides which values it can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Compared for equality or order, and given back.
    Key,
    /// Numbers to add up.
    Sum,
    /// Booleans to combine.
    Truth,
    /// Only whether there is a value.
    Present,
    /// Bytes the engine only carries.
    Carried,
}

/// The type of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Int,
    Decimal(i8),
    Float,
    Text,
    Time,
    Bytes,
}

/// Takes values and makes arrays of them, one per batch.
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    role: Role,
    kind: Option<Kind>,
    /// Sums: the values are ints (held with scale 0).
    ints: Option<bool>,
    shapes: u8,
    open: Open,
    sealed: Vec<Sealed>,
    bytes: usize,
}

#[derive(Debug)]
enum Sealed {
    Nulls(usize),
    Array(ArrayRef),
}

#[derive(Debug)]
enum Open {
    Nulls(usize),
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Decimal(Decimal128Builder),
    Float(Float64Builder),
    Text(StringBuilder),
    Time(TimestampMicrosecondBuilder),
    Bytes(BinaryBuilder),
}

/// A finished column: the arrays of its batches, and what turns them back into values.
#[derive(Debug)]
pub(super) struct Column {
    pub data_type: DataType,
    pub arrays: Vec<ArrayRef>,
    pub reader: Reader,
    /// It holds nothing but nulls, so its type is arbitrary.
    pub empty: bool,
}

/// Turns places of an array back into values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader {
    ints: bool,
    shape: u8,
}

impl ColumnBuilder {
    pub fn new(role: Role) -> Self {
        let shapes = shape::ALL.iter().fold(0, |all, s| all | s);
        ColumnBuilder { role, kind: None, ints: None, shapes, open: Open::Nulls(0), sealed: Vec::new(), bytes: 0 }
    }

    /// Bytes of text and binary taken since the last array was sealed.
    pub fn open_bytes(&self) -> usize {
        self.bytes
    }

    /// Takes one value; `false`: it does not fit exactly, and the column is no longer usable.
    #[must_use]
    pub fn push(&mut self, datum: Option<&Value>) -> bool {
        let Some(value) = datum else {
            self.push_null();
            return true;
        };
        match (self.role, value) {
            (Role::Present, _) => self.push_bool(true),
            (Role::Carried, Value::Blob(bytes)) => self.push_bytes(bytes),
            (Role::Truth | Role::Key, Value::Bool(b)) => self.push_bool(*b),
            (Role::Key, Value::Int(Int::Small(i))) => self.push_int(*i),
            (Role::Sum, Value::Int(Int::Small(i))) => self.push_decimal(i128::from(*i), 0, true),
            (Role::Key | Role::Sum, Value::Decimal(d)) => self.push_number(d),
            (Role::Key, Value::Float(f)) => self.push_float(*f),
            (Role::Key, Value::String(text)) => self.push_text(text),
            (Role::Key, Value::Blob(bytes)) => self.push_bytes(bytes),
            (Role::Key, Value::Timestamp(t)) => self.push_time(t),
            _ => false,
        }
    }

    /// Ends the array of this batch; returns its size in memory.
    pub fn seal(&mut self) -> usize {
        self.bytes = 0;
        let sealed = match &mut self.open {
            Open::Nulls(n) => Sealed::Nulls(std::mem::take(n)),
            Open::Bool(b) => Sealed::Array(Arc::new(b.finish())),
            Open::Int(b) => Sealed::Array(Arc::new(b.finish())),
            Open::Decimal(b) => Sealed::Array(Arc::new(b.finish())),
            Open::Float(b) => Sealed::Array(Arc::new(b.finish())),
            Open::Text(b) => Sealed::Array(Arc::new(b.finish())),
            Open::Time(b) => Sealed::Array(Arc::new(b.finish())),
            Open::Bytes(b) => Sealed::Array(Arc::new(b.finish())),
        };
        let size = match &sealed {
            Sealed::Nulls(_) => 0,
            Sealed::Array(array) => array.get_array_memory_size(),
        };
        self.sealed.push(sealed);
        size
    }

    /// All sealed arrays, of one type.
    pub fn finish(self) -> Column {
        let data_type = data_type(self.kind.unwrap_or(match self.role {
            Role::Key => Kind::Int,
            Role::Sum => Kind::Decimal(0),
            Role::Truth | Role::Present => Kind::Bool,
            Role::Carried => Kind::Bytes,
        }));
        let shape = shape::ALL.into_iter().find(|s| self.shapes & s != 0).unwrap_or(shape::DAY);
        let mut column = Column {
            empty: self.kind.is_none(),
            reader: Reader { ints: self.ints.unwrap_or(true), shape },
            arrays: Vec::new(),
            data_type,
        };
        for sealed in self.sealed {
            column.arrays.push(match sealed {
                Sealed::Nulls(n) => new_null_array(&column.data_type, n),
                Sealed::Array(array) => array,
            });
        }
        column
    }

    fn push_null(&mut self) {
        match &mut self.open {
            Open::Nulls(n) => *n += 1,
            Open::Bool(b) => b.append_null(),
            Open::Int(b) => b.append_null(),
            Open::Decimal(b) => b.append_null(),
            Open::Float(b) => b.append_null(),
            Open::Text(b) => b.append_null(),
            Open::Time(b) => b.append_null(),
            Open::Bytes(b) => b.append_null(),
        }
    }

    /// Sets the type at the first value; later ones must agree.
    fn typed(&mut self, kind: Kind) -> bool {
        if self.kind.is_none() {
            self.kind = Some(kind);
            let nulls = match self.open {
                Open::Nulls(n) => n,
                _ => 0,
            };
            self.open = match kind {
                Kind::Bool => Open::Bool(BooleanBuilder::new()),
                Kind::Int => Open::Int(Int64Builder::new()),
                Kind::Decimal(_) => Open::Decimal(Decimal128Builder::new().with_data_type(data_type(kind))),
                Kind::Float => Open::Float(Float64Builder::new()),
                Kind::Text => Open::Text(StringBuilder::new()),
                Kind::Time => Open::Time(TimestampMicrosecondBuilder::new()),
                Kind::Bytes => Open::Bytes(BinaryBuilder::new()),
            };
            for _ in 0..nulls {
                self.push_null();
            }
        }
        self.kind == Some(kind)
    }

    fn push_bool(&mut self, value: bool) -> bool {
        let fits = self.typed(Kind::Bool);
        if let Open::Bool(b) = &mut self.open {
            b.append_value(value);
        }
        fits
    }

    fn push_int(&mut self, value: i64) -> bool {
        let fits = self.typed(Kind::Int);
        if let Open::Int(b) = &mut self.open {
            b.append_value(value);
        }
        fits
    }

    fn push_number(&mut self, d: &Decimal) -> bool {
        match unscaled(d) {
            Some((coefficient, scale)) => self.push_decimal(coefficient, scale, false),
            None => false,
        }
    }

    fn push_decimal(&mut self, coefficient: i128, scale: i8, int: bool) -> bool {
        let most = if self.role == Role::Sum { SUMMAND_MAX } else { COEFFICIENT_MAX };
        if coefficient.unsigned_abs() > most || *self.ints.get_or_insert(int) != int {
            return false;
        }
        let fits = self.typed(Kind::Decimal(scale));
        if let Open::Decimal(b) = &mut self.open {
            b.append_value(coefficient);
        }
        fits
    }

    /// NaN and the negative zero are equal to what is written otherwise here, and not there; the engine's min of a group
    /// of infinities is the largest finite float.
    fn push_float(&mut self, value: f64) -> bool {
        if !value.is_finite() || value == 0.0 && value.is_sign_negative() {
            return false;
        }
        let fits = self.typed(Kind::Float);
        if let Open::Float(b) = &mut self.open {
            b.append_value(value);
        }
        fits
    }

    fn push_text(&mut self, text: &str) -> bool {
        let fits = self.typed(Kind::Text);
        if let Open::Text(b) = &mut self.open {
            b.append_value(text);
        }
        self.bytes += text.len();
        fits
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> bool {
        let fits = self.typed(Kind::Bytes);
        if let Open::Bytes(b) = &mut self.open {
            b.append_value(bytes);
        }
        self.bytes += bytes.len();
        fits
    }

    fn push_time(&mut self, t: &Timestamp) -> bool {
        let micros = datetime::to_micros(t);
        self.shapes = shape::ALL
            .into_iter()
            .filter(|s| self.shapes & s != 0 && time_of(micros, *s).as_ref() == Some(t))
            .fold(0, |all, s| all | s);
        let fits = self.shapes != 0 && self.typed(Kind::Time);
        if let Open::Time(b) = &mut self.open {
            b.append_value(micros);
        }
        fits
    }
}

impl Reader {
    /// `ints`: what is held as a decimal is an integer; `shape`: how times are written.
    pub fn new(ints: bool, shape: u8) -> Reader {
        Reader { ints, shape }
    }

    /// The value at a place; `Err` if the array is of no type a column has.
    pub fn value(&self, array: &ArrayRef, row: usize) -> Result<Datum, String> {
        if row >= array.len() {
            return Err(format!("row {row} of a column of {}", array.len()));
        }
        if array.is_null(row) {
            return Ok(None);
        }
        let any = array.as_any();
        if let Some(a) = any.downcast_ref::<Int64Array>() {
            return Ok(Some(Value::int(a.value(row))));
        }
        if let Some(a) = any.downcast_ref::<StringArray>() {
            return Ok(Some(Value::string(a.value(row))));
        }
        if let Some(a) = any.downcast_ref::<Decimal128Array>() {
            let int = numeric::big_to_int(BigInt::from(a.value(row)));
            return Ok(Some(match self.ints {
                true => Value::Int(int),
                false => Value::Decimal(Decimal::new(int, -i32::from(a.scale()))),
            }));
        }
        if let Some(a) = any.downcast_ref::<TimestampMicrosecondArray>() {
            let time = time_of(a.value(row), self.shape).ok_or("a time out of range")?;
            return Ok(Some(Value::Timestamp(time)));
        }
        if let Some(a) = any.downcast_ref::<BooleanArray>() {
            return Ok(Some(Value::Bool(a.value(row))));
        }
        if let Some(a) = any.downcast_ref::<Float64Array>() {
            return Ok(Some(Value::Float(a.value(row))));
        }
        match any.downcast_ref::<BinaryArray>() {
            Some(a) => Ok(Some(Value::blob(a.value(row)))),
            None => Err(format!("a column of type {}", array.data_type())),
        }
    }
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Bool => DataType::Boolean,
        Kind::Int => DataType::Int64,
        Kind::Decimal(scale) => DataType::Decimal128(DIGITS, scale),
        Kind::Float => DataType::Float64,
        Kind::Text => DataType::Utf8,
        Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, None),
        Kind::Bytes => DataType::Binary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledgerstone_digest::ion;

    fn back(role: Role, texts: &[&str]) -> Option<Vec<String>> {
        let mut builder = ColumnBuilder::new(role);
        for text in texts {
            let value = ion::parse(text, &ion::Limits::DOCUMENT).unwrap();
            if !builder.push(if *text == "null" { None } else { Some(&value) }) {
                return None;
            }
        }
        builder.seal();
        let column = builder.finish();
        let array = &column.arrays[0];
        let show = |d: Datum| d.map_or("null".to_owned(), |v| ion::to_text(&v));
        Some((0..array.len()).map(|i| show(column.reader.value(array, i).unwrap())).collect())
    }

    #[test]
    fn values_come_back_as_they_went_in_or_not_at_all() {
        for texts in [
            vec!["null", "1", "-9223372036854775808"],
            vec!["1.50", "null", "-0.01"],
            vec!["2020-01-31T", "1969-12-31T"],
            vec!["2020-01-31T10:00:00.5Z", "2020-01-31T10:00:00Z"],
            vec!["2020-01-31T10:00:00.500Z", "2020-01-31T10:00:00.000Z"],
            vec!["\"a\"", "\"\"", "null"],
            vec!["1.5e0", "-2.5e0"],
            vec!["{{AAEC}}", "null"],
            vec!["true", "false"],
        ] {
            let expected: Vec<String> = texts.iter().map(|t| t.to_string()).collect();
            assert_eq!(back(Role::Key, &texts).map(|v| v.join(" ")), Some(expected.join(" ")));
        }
    }

    #[test]
    fn what_would_lose_something_is_refused() {
        for texts in [
            vec!["1.0", "1.00"],
            vec!["1", "1.0"],
            vec!["1", "\"1\""],
            vec!["-0.0"],
            vec!["-0e0"],
            vec!["nan"],
            vec!["+inf"],
            vec!["1d3"],
            vec!["9223372036854775808"],
            vec!["2020-01-31T10:00:00.5Z", "2020-01-31T10:00:00.50Z"],
            vec!["2020-01-31T10:00:00+01:00"],
            vec!["2020-01-31", "2020-01-31T00:00:00Z"],
            vec!["symbol"],
            vec!["null.int", "1", "[]"],
            vec!["a::1"],
        ] {
            assert_eq!(back(Role::Key, &texts), None, "{texts:?}");
        }
        assert_eq!(back(Role::Sum, &["39614081257132168796771975169"]), None);
        assert_eq!(back(Role::Sum, &["1", "1."]), None);
    }
}
