//! The values of one expression over the rows of a batch: typed arrays where all of them have one exact form, and the
//! values themselves otherwise. What a vector gives back is what a document holds, to the last digit.

use std::sync::Arc;

use arrow::array::types::Int32Type;
use arrow::array::{
    Array, AsArray, BinaryArray, BooleanArray, DictionaryArray, Float64Array, Int64Array, PrimitiveArray, StringArray,
    UInt32Array,
};
use arrow::array::{ArrayRef, Decimal128Array};
use arrow::compute;
use ledgerstone_digest::ion::{Decimal, Int, Value};
use num_bigint::BigInt;

use super::Stop;
use super::column::{time_of, unscaled};
use crate::bind::plan::Datum;
use crate::value::numeric;

/// Which values a typed vector holds, and how they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Bool,
    Int,
    /// Decimals with this many digits after the point.
    Decimal(u8),
    Float,
    Text,
    /// Times written one way (`column::shape`).
    Time(u8),
    Bytes,
}

/// Values of an expression, one per row.
#[derive(Debug, Clone)]
pub(super) enum Vector {
    /// The same in every row.
    Same(Datum, usize),
    Bool(BooleanArray),
    Int(Int64Array),
    /// Coefficients that fit in 64 bits, and the scale.
    Decimal(Int64Array, u8),
    Wide(Decimal128Array, u8),
    Float(Float64Array),
    Text(StringArray),
    /// Texts by their numbers in a dictionary.
    Words(DictionaryArray<Int32Type>),
    /// Microseconds since 1970, and how they are written.
    Time(Int64Array, u8),
    Bytes(BinaryArray),
    Values(Arc<Vec<Datum>>),
}

impl Vector {
    pub fn len(&self) -> usize {
        match self {
            Vector::Same(_, rows) => *rows,
            Vector::Values(values) => values.len(),
            Vector::Bool(a) => a.len(),
            Vector::Int(a) | Vector::Decimal(a, _) | Vector::Time(a, _) => a.len(),
            Vector::Wide(a, _) => a.len(),
            Vector::Float(a) => a.len(),
            Vector::Text(a) => a.len(),
            Vector::Words(a) => a.len(),
            Vector::Bytes(a) => a.len(),
        }
    }

    /// Bytes that it takes, roughly.
    pub fn bytes(&self) -> usize {
        match self {
            Vector::Same(..) => 0,
            Vector::Values(values) => crate::exec::bytes_of_row(values),
            Vector::Bool(a) => a.get_array_memory_size(),
            Vector::Int(a) | Vector::Decimal(a, _) | Vector::Time(a, _) => a.get_array_memory_size(),
            Vector::Wide(a, _) => a.get_array_memory_size(),
            Vector::Float(a) => a.get_array_memory_size(),
            Vector::Text(a) => a.get_array_memory_size(),
            Vector::Words(a) => a.get_array_memory_size(),
            Vector::Bytes(a) => a.get_array_memory_size(),
        }
    }

    /// The form of its values; `None` if it has no single one, or holds nothing but nulls.
    pub fn form(&self) -> Option<Form> {
        match self {
            Vector::Same(value, _) => value.as_ref().and_then(form_of),
            Vector::Values(_) => None,
            Vector::Bool(_) => Some(Form::Bool),
            Vector::Int(_) => Some(Form::Int),
            Vector::Decimal(_, scale) | Vector::Wide(_, scale) => Some(Form::Decimal(*scale)),
            Vector::Float(_) => Some(Form::Float),
            Vector::Text(_) | Vector::Words(_) => Some(Form::Text),
            Vector::Time(_, shape) => Some(Form::Time(*shape)),
            Vector::Bytes(_) => Some(Form::Bytes),
        }
    }

    pub fn is_null(&self, row: usize) -> bool {
        match self {
            Vector::Same(value, _) => value.is_none(),
            Vector::Values(values) => values.get(row).is_none_or(Option::is_none),
            Vector::Bool(a) => a.is_null(row),
            Vector::Int(a) | Vector::Decimal(a, _) | Vector::Time(a, _) => a.is_null(row),
            Vector::Wide(a, _) => a.is_null(row),
            Vector::Float(a) => a.is_null(row),
            Vector::Text(a) => a.is_null(row),
            Vector::Words(a) => a.is_null(row),
            Vector::Bytes(a) => a.is_null(row),
        }
    }

    /// The value in a row.
    pub fn value(&self, row: usize) -> Datum {
        if row >= self.len() || self.is_null(row) {
            return None;
        }
        Some(match self {
            Vector::Same(value, _) => return value.clone(),
            Vector::Values(values) => return values.get(row).cloned().flatten(),
            Vector::Bool(a) => Value::Bool(a.value(row)),
            Vector::Int(a) => Value::int(a.value(row)),
            Vector::Decimal(a, scale) => decimal(Int::Small(a.value(row)), *scale),
            Vector::Wide(a, scale) => decimal(numeric::big_to_int(BigInt::from(a.value(row))), *scale),
            Vector::Float(a) => Value::Float(a.value(row)),
            Vector::Text(a) => Value::string(a.value(row)),
            Vector::Words(a) => Value::string(a.values().as_string::<i32>().value(a.keys().value(row) as usize)),
            Vector::Time(a, shape) => Value::Timestamp(time_of(a.value(row), *shape)?),
            Vector::Bytes(a) => Value::blob(a.value(row)),
        })
    }

    /// Only these rows.
    pub fn take(&self, rows: &UInt32Array) -> Result<Vector, Stop> {
        Ok(match self {
            Vector::Same(value, _) => Vector::Same(value.clone(), rows.len()),
            Vector::Values(values) => {
                let of = |row: &u32| values.get(*row as usize).cloned().flatten();
                Vector::Values(Arc::new(rows.values().iter().map(of).collect()))
            }
            Vector::Bool(a) => Vector::Bool(taken(a, rows)?.as_boolean().clone()),
            Vector::Int(a) => Vector::Int(taken(a, rows)?.as_primitive().clone()),
            Vector::Decimal(a, scale) => Vector::Decimal(taken(a, rows)?.as_primitive().clone(), *scale),
            Vector::Wide(a, scale) => Vector::Wide(taken(a, rows)?.as_primitive().clone(), *scale),
            Vector::Float(a) => Vector::Float(taken(a, rows)?.as_primitive().clone()),
            Vector::Text(a) => Vector::Text(taken(a, rows)?.as_string().clone()),
            Vector::Words(a) => Vector::Words(taken(a, rows)?.as_dictionary().clone()),
            Vector::Time(a, shape) => Vector::Time(taken(a, rows)?.as_primitive().clone(), *shape),
            Vector::Bytes(a) => Vector::Bytes(taken(a, rows)?.as_binary().clone()),
        })
    }

    /// A vector of values: a typed one if they all have one form.
    pub fn of(values: Vec<Datum>) -> Vector {
        let mut forms = values.iter().flatten().map(form_of);
        let Some(first) = forms.next() else { return Vector::Same(None, values.len()) };
        let Some(form) = first.filter(|_| forms.all(|f| f == first)) else { return Vector::Values(Arc::new(values)) };
        let values = values.iter().map(Option::as_ref);
        match form {
            Form::Bool => Vector::Bool(values.map(|v| v.and_then(as_bool)).collect()),
            Form::Int => Vector::Int(values.map(|v| v.and_then(Value::as_i64)).collect()),
            Form::Decimal(scale) => narrowed(values.map(|v| v.and_then(coefficient)).collect(), scale),
            Form::Float => Vector::Float(values.map(|v| v.and_then(as_float)).collect()),
            Form::Text => Vector::Text(values.map(|v| v.and_then(Value::as_text)).collect()),
            Form::Time(shape) => Vector::Time(values.map(|v| v.and_then(micros)).collect(), shape),
            Form::Bytes => Vector::Bytes(values.map(|v| v.and_then(as_bytes)).collect()),
        }
    }
}

/// Coefficients as 64 bit numbers if all of them are.
pub(super) fn narrowed(coefficients: Vec<Option<i128>>, scale: u8) -> Vector {
    let narrow: Option<Vec<Option<i64>>> =
        coefficients.iter().map(|c| c.map_or(Some(None), |c| i64::try_from(c).ok().map(Some))).collect();
    match narrow {
        Some(narrow) => Vector::Decimal(narrow.into_iter().collect(), scale),
        None => Vector::Wide(PrimitiveArray::from_iter(coefficients), scale),
    }
}

/// The form of a value that a typed vector can hold and give back as it was.
pub(super) fn form_of(value: &Value) -> Option<Form> {
    Some(match value {
        Value::Bool(_) => Form::Bool,
        Value::Int(Int::Small(_)) => Form::Int,
        Value::Decimal(d) => Form::Decimal(unscaled(d)?.1 as u8),
        Value::Float(_) => Form::Float,
        Value::String(_) => Form::Text,
        Value::Timestamp(t) => {
            let micros = crate::value::datetime::to_micros(t);
            let shapes = super::column::shape::ALL;
            Form::Time(shapes.into_iter().rev().find(|s| time_of(micros, *s).as_ref() == Some(t))?)
        }
        Value::Blob(_) => Form::Bytes,
        _ => return None,
    })
}

fn taken(array: &dyn Array, rows: &UInt32Array) -> Result<ArrayRef, Stop> {
    compute::take(array, rows, None).map_err(Stop::engine)
}

fn decimal(coefficient: Int, scale: u8) -> Value {
    Value::Decimal(Decimal::new(coefficient, -i32::from(scale)))
}

fn as_bool(value: &Value) -> Option<bool> {
    if let Value::Bool(b) = value { Some(*b) } else { None }
}

fn as_float(value: &Value) -> Option<f64> {
    if let Value::Float(f) = value { Some(*f) } else { None }
}

fn as_bytes(value: &Value) -> Option<&[u8]> {
    if let Value::Blob(bytes) = value { Some(bytes) } else { None }
}

fn micros(value: &Value) -> Option<i64> {
    if let Value::Timestamp(t) = value { Some(crate::value::datetime::to_micros(t)) } else { None }
}

fn coefficient(value: &Value) -> Option<i128> {
    if let Value::Decimal(d) = value { d.coefficient().to_i128() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledgerstone_digest::ion;

    #[test]
    fn a_vector_gives_back_what_it_was_made_of() {
        for texts in [
            vec!["null", "1", "-9223372036854775808"],
            vec!["1.50", "null", "-0.01", "99999999999999999999999.25"],
            vec!["1.50", "1.5", "-0.0", "1d3"],
            vec!["2020-01-31T", "1969-12-31T"],
            vec!["2020-01-31T10:00:00.5Z", "2020-01-31T10:00:00Z"],
            vec!["2020-01-31T10:00:00.500Z", "2020-01-31T10:00:00.000Z"],
            vec!["2020-01-31T10:00:00.50Z", "2020-01-31T10:00:00+01:00"],
            vec!["\"a\"", "\"\"", "null", "symbol", "[1]", "{a: 1}"],
            vec!["1.5e0", "-0e0", "nan", "+inf"],
            vec!["{{AAEC}}", "null"],
            vec!["true", "false"],
            vec!["a::1", "2"],
        ] {
            let value =
                |t: &&str| if *t == "null" { None } else { Some(ion::parse(t, &ion::Limits::DOCUMENT).unwrap()) };
            let values: Vec<Datum> = texts.iter().map(value).collect();
            let vector = Vector::of(values.clone());
            let back: Vec<Datum> = (0..values.len()).map(|row| vector.value(row)).collect();
            let show = |all: &[Datum]| all.iter().flatten().map(ion::to_text).collect::<Vec<_>>();
            assert_eq!(show(&back), show(&values));
            let some = vector.take(&UInt32Array::from(vec![1, 0])).unwrap();
            assert_eq!(show(&[some.value(0), some.value(1)]), show(&[values[1].clone(), values[0].clone()]));
        }
    }
}
