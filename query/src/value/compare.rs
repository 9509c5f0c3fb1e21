//! How values compare: inside one SQL type (both sides already cast), and by their Ion types where a type is only known
//! at run time. Collation is C: texts compare by their bytes.

use std::cmp::Ordering;

use ledgerstone_digest::ion::{Int, IonType, Value};

use super::datetime::{self, Interval};
use super::decimal;
use crate::index::key;

/// The total order ORDER BY, GROUP BY and typed comparisons use; nulls come last.
pub fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(Int::Small(x)), Value::Int(Int::Small(y))) => x.cmp(y),
        (Value::String(x), Value::String(y)) => x.as_bytes().cmp(y.as_bytes()),
        (Value::Decimal(x), Value::Decimal(y)) => decimal::cmp(x, y),
        (Value::Float(x), Value::Float(y)) => compare_floats(*x, *y),
        (Value::Bool(x), Value::Bool(y)) => x.cmp(y),
        (Value::Timestamp(x), Value::Timestamp(y)) if x.fraction.digits() <= 6 && y.fraction.digits() <= 6 => {
            datetime::to_micros(x).cmp(&datetime::to_micros(y))
        }
        (Value::Sexp(_), Value::Sexp(_)) => match (Interval::from_value(a), Interval::from_value(b)) {
            (Some(x), Some(y)) => x.estimate().cmp(&y.estimate()),
            _ => key::compare(Some(a), Some(b)),
        },
        _ => key::compare(Some(a), Some(b)),
    }
}

/// As [`compare`], with the missing value last.
pub fn compare_data(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => compare(a, b),
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
    }
}

/// NaN equals itself and is above everything; the zeros are equal.
pub fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Whether two values of run-time types may be ordered against each other.
pub fn comparable(a: &Value, b: &Value) -> bool {
    class(a) == class(b)
}

/// Values of one class compare with each other.
fn class(value: &Value) -> u8 {
    match value.ion_type() {
        IonType::Null => 0,
        IonType::Bool => 1,
        IonType::Int | IonType::Float | IonType::Decimal => 2,
        IonType::Timestamp => 3,
        IonType::Symbol | IonType::String => 4,
        IonType::Clob => 5,
        IonType::Blob => 6,
        IonType::List => 7,
        IonType::Sexp => 8,
        IonType::Struct => 9,
    }
}
