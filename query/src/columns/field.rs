//! One field of the documents of a run of rows, as an Arrow array from which every value comes back exactly: typed while
//! all of them are of one type, one scale and one way of writing times, otherwise as Ion (DESIGN section 7, "Columns").

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, BooleanBuilder, Decimal128Array,
    Decimal128Builder, Float64Array, Float64Builder, Int64Array, Int64Builder, StringArray, StringBuilder,
    TimestampMicrosecondArray, TimestampMicrosecondBuilder, UInt32Array, new_null_array,
};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Int32Type, TimeUnit};
use ledgerstone_digest::ion::{self, Decimal, Int, IonType, Timestamp, Value};
use num_bigint::BigInt;

use super::ColumnError;
use crate::value::{datetime, numeric};

/// Digits of a Decimal128.
pub(crate) const DIGITS: u8 = 38;
/// Largest coefficient of 38 digits.
pub(crate) const COEFFICIENT_MAX: u128 = 10_u128.pow(38) - 1;
/// Longer values are left to the journal: an array's offsets have 32 bits.
const VALUE_BYTES_MAX: usize = 128 << 20;

/// What the values of an array are, so that [`Form::value`] gives them back as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Booleans.
    Bool,
    /// Ints of 64 bits.
    Int,
    /// Decimals, all with this many digits behind the point, as `Decimal128`.
    Decimal(i8),
    /// Floats, bit by bit. `plain`: none of them is NaN, an infinity or the negative zero.
    Float { plain: bool },
    /// Strings; symbols are not among them.
    Text,
    /// Microseconds since 1970, UTC; the bits say how all of them may be written ([`time_shape`]).
    Time(u8),
    /// Blobs.
    Bytes,
    /// Anything, each value as Ion binary with its version marker. A slot that is not null may hold a typed null.
    Ion,
}

/// How times are written, as bits of [`Form::Time`]: the lowest bit that is set is how they are given back.
pub mod time_shape {
    /// A day.
    pub const DAY: u8 = 1;
    /// Without an offset.
    pub const LOCAL: u8 = 2;
    /// With offset zero, and as many digits as are needed.
    pub const ZONED: u8 = 4;
    /// With offset zero and three digits.
    pub const MILLIS: u8 = 8;
    /// All of them, the lowest bit first.
    pub const ALL: [u8; 4] = [DAY, LOCAL, ZONED, MILLIS];
}

/// A field over the rows of a batch. A slot of the array is null where the document has no such field, where it is null,
/// and where there is no document.
#[derive(Debug, Clone)]
pub struct FieldColumn {
    /// As many slots as there are rows.
    pub array: ArrayRef,
    /// What they are.
    pub form: Form,
    /// Rows whose document has the field and `null` in it, ascending. In every other row whose slot is null the field is
    /// MISSING.
    pub nulls: Arc<[u32]>,
}

impl Form {
    /// The type of the arrays.
    pub fn data_type(self) -> DataType {
        match self {
            Form::Bool => DataType::Boolean,
            Form::Int => DataType::Int64,
            Form::Decimal(scale) => DataType::Decimal128(DIGITS, scale),
            Form::Float { .. } => DataType::Float64,
            Form::Text => DataType::Utf8,
            Form::Time(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
            Form::Bytes | Form::Ion => DataType::Binary,
        }
    }

    /// One form that both are in, with the arrays as they are.
    pub fn join(self, other: Form) -> Option<Form> {
        match (self, other) {
            (a, b) if a == b => Some(a),
            (Form::Float { plain: a }, Form::Float { plain: b }) => Some(Form::Float { plain: a && b }),
            (Form::Time(a), Form::Time(b)) if a & b != 0 => Some(Form::Time(a & b)),
            _ => None,
        }
    }

    /// The value in a slot, exactly as the document has it; `None` if the slot is null.
    pub fn value(self, array: &dyn Array, row: usize) -> Result<Option<Value>, ColumnError> {
        if row >= array.len() {
            return Err(ColumnError::Internal(format!("row {row} of a column of {}", array.len())));
        }
        if array.is_null(row) {
            return Ok(None);
        }
        let any = array.as_any();
        let wrong = || ColumnError::Internal(format!("a column of {self:?} is of type {}", array.data_type()));
        Ok(Some(match self {
            Form::Bool => Value::Bool(any.downcast_ref::<BooleanArray>().ok_or_else(wrong)?.value(row)),
            Form::Int => Value::int(any.downcast_ref::<Int64Array>().ok_or_else(wrong)?.value(row)),
            Form::Decimal(scale) => {
                let array = any.downcast_ref::<Decimal128Array>().ok_or_else(wrong)?;
                let coefficient = numeric::big_to_int(BigInt::from(array.value(row)));
                Value::Decimal(Decimal::new(coefficient, -i32::from(scale)))
            }
            Form::Float { .. } => Value::Float(any.downcast_ref::<Float64Array>().ok_or_else(wrong)?.value(row)),
            Form::Text => match array.as_dictionary_opt::<Int32Type>() {
                Some(words) => {
                    let at = words.key(row).ok_or_else(wrong)?;
                    Value::string(words.values().as_string_opt::<i32>().ok_or_else(wrong)?.value(at))
                }
                None => Value::string(any.downcast_ref::<StringArray>().ok_or_else(wrong)?.value(row)),
            },
            Form::Time(shapes) => {
                let micros = any.downcast_ref::<TimestampMicrosecondArray>().ok_or_else(wrong)?.value(row);
                let shape = time_shape::ALL.into_iter().find(|shape| shapes & shape != 0).ok_or_else(wrong)?;
                Value::Timestamp(time_of(micros, shape).ok_or_else(wrong)?)
            }
            Form::Bytes => Value::blob(any.downcast_ref::<BinaryArray>().ok_or_else(wrong)?.value(row)),
            Form::Ion => {
                let bytes = any.downcast_ref::<BinaryArray>().ok_or_else(wrong)?.value(row);
                ion::decode(bytes, &ion::Limits::DOCUMENT).map_err(|e| ColumnError::Internal(e.to_string()))?
            }
        }))
    }
}

impl FieldColumn {
    /// The value in a row as the document has it: `None` is MISSING, an Ion null is null.
    pub fn value(&self, row: usize) -> Result<Option<Value>, ColumnError> {
        match self.form.value(&*self.array, row)? {
            None if self.is_null(row) => Ok(Some(Value::NULL)),
            other => Ok(other),
        }
    }

    /// Whether the document of this row has the field with `null` in it.
    pub fn is_null(&self, row: usize) -> bool {
        u32::try_from(row).is_ok_and(|row| self.nulls.binary_search(&row).is_ok())
    }

    /// A field that no document has.
    pub fn missing(rows: usize) -> FieldColumn {
        let form = Form::Int;
        FieldColumn { array: new_null_array(&form.data_type(), rows), form, nulls: Arc::new([]) }
    }

    /// One behind the other.
    pub(super) fn concat(parts: &[FieldColumn]) -> Result<FieldColumn, ColumnError> {
        let filled = || parts.iter().filter(|part| part.array.null_count() < part.array.len());
        let mut forms = filled().map(|part| Some(part.form));
        let first = forms.next().unwrap_or(Some(Form::Int));
        let form = forms.fold(first, |all, form| all?.join(form?)).unwrap_or(Form::Ion);
        let (mut arrays, mut nulls, mut before) = (Vec::with_capacity(parts.len()), Vec::new(), 0);
        for part in parts {
            arrays.push(match part.form.join(form) {
                Some(_) => part.array.clone(),
                None if part.array.null_count() == part.array.len() => {
                    new_null_array(&form.data_type(), part.array.len())
                }
                None => part.as_ion()?,
            });
            nulls.extend(part.nulls.iter().map(|row| before + row));
            before += part.array.len() as u32;
        }
        let arrays: Vec<&dyn Array> = arrays.iter().map(|array| &**array).collect();
        Ok(FieldColumn { array: concat(&arrays)?, form, nulls: nulls.into() })
    }

    /// The same without what is in some rows; nothing of that stays in memory.
    pub(super) fn without(&self, rows: &[u32]) -> Result<FieldColumn, ColumnError> {
        let gone = |row: &u32| rows.contains(row);
        let kept: UInt32Array = (0..self.array.len() as u32).map(|row| (!gone(&row)).then_some(row)).collect();
        let nulls = self.nulls.iter().copied().filter(|row| !gone(row)).collect();
        Ok(FieldColumn { array: take(&*self.array, &kept, None)?, form: self.form, nulls })
    }

    fn as_ion(&self) -> Result<ArrayRef, ColumnError> {
        let mut builder = BinaryBuilder::new();
        for row in 0..self.array.len() {
            builder.append_option(self.form.value(&*self.array, row)?.map(|value| ion::encode(&value)));
        }
        Ok(Arc::new(builder.finish()))
    }
}

/// Takes the values of a field, row by row.
#[derive(Debug)]
pub(super) struct FieldBuilder {
    open: Open,
    form: Form,
    /// Slots so far.
    len: usize,
    nulls: Vec<u32>,
    /// About what it takes in memory.
    pub bytes: usize,
    /// Rows that have the field.
    pub present: usize,
}

#[derive(Debug)]
enum Open {
    /// Nothing but nulls.
    Nothing,
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Decimal(Decimal128Builder),
    Float(Float64Builder),
    Text(StringBuilder),
    Time(TimestampMicrosecondBuilder),
    Bytes(BinaryBuilder),
    Ion(BinaryBuilder),
}

impl FieldBuilder {
    pub fn new() -> FieldBuilder {
        FieldBuilder { open: Open::Nothing, form: Form::Int, len: 0, nulls: Vec::new(), bytes: 0, present: 0 }
    }

    /// Takes the value of a row; rows ascend, and those left out have none. A second one of the same row is not looked at,
    /// as a reader of the document does not. `false`: it is too long for a column.
    #[must_use]
    pub fn push(&mut self, row: usize, value: &Value) -> bool {
        if self.len > row {
            return true;
        }
        self.pad(row);
        self.present += 1;
        if let Value::Null(IonType::Null) = value {
            self.nulls.push(row as u32);
            self.pad(row + 1);
            return true;
        }
        if !self.push_typed(value) {
            if !matches!(self.open, Open::Ion(_)) {
                self.degrade();
            }
            let bytes = ion::encode(value);
            if bytes.len() > VALUE_BYTES_MAX {
                return false;
            }
            self.bytes += bytes.len();
            if let Open::Ion(builder) = &mut self.open {
                builder.append_value(bytes);
            }
        }
        self.len = row + 1;
        true
    }

    /// All rows taken, the field over so many.
    pub fn finish(mut self, rows: usize) -> FieldColumn {
        self.pad(rows);
        let form = self.form;
        let array = self.array().unwrap_or_else(|| new_null_array(&form.data_type(), rows));
        FieldColumn { array, form, nulls: self.nulls.into() }
    }

    fn array(&mut self) -> Option<ArrayRef> {
        Some(match &mut self.open {
            Open::Nothing => return None,
            Open::Bool(b) => Arc::new(b.finish()),
            Open::Int(b) => Arc::new(b.finish()),
            Open::Decimal(b) => Arc::new(b.finish()),
            Open::Float(b) => Arc::new(b.finish()),
            Open::Text(b) => Arc::new(b.finish()),
            Open::Time(b) => Arc::new(b.finish()),
            Open::Bytes(b) | Open::Ion(b) => Arc::new(b.finish()),
        })
    }

    /// Nulls up to a row.
    fn pad(&mut self, row: usize) {
        let nulls = row.saturating_sub(self.len);
        if nulls == 0 {
            return;
        }
        match &mut self.open {
            Open::Nothing => {}
            Open::Bool(b) => b.append_nulls(nulls),
            Open::Int(b) => b.append_nulls(nulls),
            Open::Decimal(b) => b.append_nulls(nulls),
            Open::Float(b) => b.append_nulls(nulls),
            Open::Text(b) => (0..nulls).for_each(|_| b.append_null()),
            Open::Time(b) => b.append_nulls(nulls),
            Open::Bytes(b) | Open::Ion(b) => (0..nulls).for_each(|_| b.append_null()),
        }
        self.len = row;
    }

    /// `false`: it does not fit exactly, and nothing was taken.
    fn push_typed(&mut self, value: &Value) -> bool {
        if matches!(self.open, Open::Nothing) {
            let Some((open, form)) = opened_by(value) else { return false };
            let before = std::mem::take(&mut self.len);
            (self.open, self.form) = (open, form);
            self.pad(before);
        }
        match (&mut self.open, value, self.form) {
            (Open::Bool(b), Value::Bool(value), _) => b.append_value(*value),
            (Open::Int(b), Value::Int(Int::Small(value)), _) => b.append_value(*value),
            (Open::Float(b), Value::Float(value), Form::Float { plain }) => {
                let is_plain = value.is_finite() && !(*value == 0.0 && value.is_sign_negative());
                self.form = Form::Float { plain: plain && is_plain };
                // The journal knows one NaN, whichever an expression came to.
                b.append_value(if value.is_nan() { f64::NAN } else { *value });
            }
            (Open::Text(b), Value::String(text), _) if text.len() <= VALUE_BYTES_MAX => {
                self.bytes += text.len();
                b.append_value(text);
            }
            (Open::Bytes(b), Value::Blob(bytes), _) if bytes.len() <= VALUE_BYTES_MAX => {
                self.bytes += bytes.len();
                b.append_value(bytes);
            }
            (Open::Decimal(b), Value::Decimal(d), Form::Decimal(scale)) => match unscaled(d) {
                Some((coefficient, s)) if s == scale => b.append_value(coefficient),
                _ => return false,
            },
            (Open::Time(b), Value::Timestamp(t), Form::Time(shapes)) => {
                let both = shapes_of(t, shapes);
                if both == 0 {
                    return false;
                }
                self.form = Form::Time(both);
                b.append_value(datetime::to_micros(t));
            }
            _ => return false,
        }
        true
    }

    /// What was taken so far as Ion.
    fn degrade(&mut self) {
        let (form, len) = (self.form, self.len);
        let mut builder = BinaryBuilder::new();
        match self.array() {
            None => (0..len).for_each(|_| builder.append_null()),
            Some(array) => {
                for row in 0..array.len() {
                    // What was put in typed comes back: that is how it was let in.
                    let value = form.value(&*array, row).ok().flatten().map(|value| ion::encode(&value));
                    self.bytes += value.as_ref().map_or(0, Vec::len);
                    builder.append_option(value);
                }
            }
        }
        (self.open, self.form) = (Open::Ion(builder), Form::Ion);
    }
}

/// What the first value makes of a field; `None` if it can be taken as Ion only.
fn opened_by(value: &Value) -> Option<(Open, Form)> {
    Some(match value {
        Value::Bool(_) => (Open::Bool(BooleanBuilder::new()), Form::Bool),
        Value::Int(Int::Small(_)) => (Open::Int(Int64Builder::new()), Form::Int),
        Value::Float(_) => (Open::Float(Float64Builder::new()), Form::Float { plain: true }),
        Value::String(_) => (Open::Text(StringBuilder::new()), Form::Text),
        Value::Blob(_) => (Open::Bytes(BinaryBuilder::new()), Form::Bytes),
        Value::Decimal(d) => {
            let form = Form::Decimal(unscaled(d)?.1);
            (Open::Decimal(Decimal128Builder::new().with_data_type(form.data_type())), form)
        }
        Value::Timestamp(_) => {
            let any = time_shape::ALL.into_iter().fold(0, |all, shape| all | shape);
            (Open::Time(TimestampMicrosecondBuilder::new()), Form::Time(any))
        }
        _ => return None,
    })
}

/// The coefficient and the digits behind the point; `None` if it is not exactly what a `Decimal128` holds.
pub(crate) fn unscaled(d: &Decimal) -> Option<(i128, i8)> {
    if d.is_negative_zero() || !(-i32::from(DIGITS)..=0).contains(&d.exponent()) {
        return None;
    }
    let coefficient = d.coefficient().to_i128().filter(|c| c.unsigned_abs() <= COEFFICIENT_MAX)?;
    Some((coefficient, (-d.exponent()) as i8))
}

/// The ways of writing among these in which the microseconds of this time are this time.
fn shapes_of(t: &Timestamp, among: u8) -> u8 {
    let micros = datetime::to_micros(t);
    let fits = |shape: &u8| among & shape != 0 && time_of(micros, *shape).as_ref() == Some(t);
    time_shape::ALL.into_iter().filter(fits).fold(0, |all, shape| all | shape)
}

/// The time with these microseconds in one way of writing ([`time_shape`]); `None` if it cannot be written so.
pub(crate) fn time_of(micros: i64, shape: u8) -> Option<Timestamp> {
    const DAY: i64 = 86_400_000_000;
    match shape {
        time_shape::DAY if micros % DAY == 0 => datetime::date_from_days(micros.div_euclid(DAY)).ok(),
        time_shape::LOCAL => datetime::from_micros(micros, false).ok(),
        time_shape::ZONED => datetime::from_micros(micros, true).ok(),
        time_shape::MILLIS if micros % 1000 == 0 => datetime::from_millis(micros.div_euclid(1000)).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [&str; 30] = [
        "1",
        "-9223372036854775808",
        "9223372036854775808",
        "1.50",
        "-0.01",
        "1.5",
        "-0.0",
        "1d3",
        "2020-01-31T",
        "2020-01T",
        "2020-01-31T10:00:00.5Z",
        "2020-01-31T10:00:00.500Z",
        "2020-01-31T10:00:00+01:00",
        "2020-01-31T10:00:00-00:00",
        "\"a\"",
        "\"\"",
        "symbol",
        "1.5e0",
        "-0e0",
        "nan",
        "+inf",
        "{{AAEC}}",
        "{{\"clob\"}}",
        "true",
        "null",
        "null.int",
        "[1, {a: 2}]",
        "{a: 1, a: 2}",
        "a::1",
        "99999999999999999999999999999999999999999.9",
    ];

    fn column(values: &[Option<Value>]) -> FieldColumn {
        let mut builder = FieldBuilder::new();
        for (row, value) in values.iter().enumerate() {
            if let Some(value) = value {
                assert!(builder.push(row, value));
                assert!(builder.push(row, &Value::string("a second field of that name")));
            }
        }
        builder.finish(values.len())
    }

    fn same(column: &FieldColumn, values: &[Option<Value>]) {
        let text = |value: &Option<Value>| value.as_ref().map(ion::to_text);
        for (row, value) in values.iter().enumerate() {
            assert_eq!(text(&column.value(row).unwrap()), text(value), "row {row} of {values:?}, {:?}", column.form);
        }
        assert_eq!(column.array.len(), values.len());
    }

    #[test]
    fn every_value_comes_back_exactly_beside_every_other() {
        let values: Vec<Value> = VALUES.iter().map(|t| ion::parse(t, &ion::Limits::DOCUMENT).unwrap()).collect();
        for a in &values {
            for b in &values {
                let first = vec![None, Some(a.clone()), None, Some(a.clone())];
                let second = vec![Some(b.clone()), None];
                let both = [first.clone(), second.clone()].concat();
                same(&column(&both), &both);
                let joined = FieldColumn::concat(&[column(&first), column(&second), column(&[None])]).unwrap();
                same(&joined, &[both.clone(), vec![None]].concat());
                let without = joined.without(&[1, 4]).unwrap();
                same(&without, &[None, None, None, Some(a.clone()), None, None, None]);
            }
        }
    }

    #[test]
    fn uniform_values_are_typed() {
        let form = |texts: &[&str]| {
            let values: Vec<_> = texts.iter().map(|t| Some(ion::parse(t, &ion::Limits::DOCUMENT).unwrap())).collect();
            column(&values).form
        };
        assert_eq!(form(&["1", "null", "2"]), Form::Int);
        assert_eq!(form(&["1.50", "2.00"]), Form::Decimal(2));
        assert_eq!(form(&["1.5", "2.00"]), Form::Ion);
        assert_eq!(form(&["1e0", "2e0"]), Form::Float { plain: true });
        assert_eq!(form(&["1e0", "nan"]), Form::Float { plain: false });
        assert_eq!(form(&["2020-01-31T", "1969-12-31T"]), Form::Time(time_shape::DAY));
        assert_eq!(form(&["2020-01-31T10:00:00.500Z", "2020-01-31T10:00:00.123Z"]), Form::Time(time_shape::MILLIS));
        assert_eq!(form(&["\"a\"", "null"]), Form::Text);
        assert_eq!(form(&["1", "\"a\""]), Form::Ion);
        assert_eq!(form(&["{{AAEC}}"]), Form::Bytes);
    }
}
