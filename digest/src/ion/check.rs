//! Whether a value that was built here, and not read, is one that the readers accept back.

use num_bigint::BigInt;

use super::{DEPTH_CAP, Decimal, Int, Limits, TimestampError, Value};

/// Why a value would be refused when read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsExceeded {
    #[error("more than {0} values inside each other")]
    TooDeep(usize),
    #[error("more than {0} values")]
    TooMany(usize),
    #[error("integer or coefficient longer than {} bytes", Int::BYTES_MAX)]
    LongInt,
    #[error(transparent)]
    Timestamp(#[from] TimestampError),
    #[error("annotations: a value has one or more of them, and the value inside has none of its own")]
    Annotations,
}

/// Checks everything but the encoded length, which its encoder's output shows. What passes can be encoded, hashed
/// and read back; what does not must not be stored.
pub fn check(value: &Value, limits: &Limits) -> Result<(), LimitsExceeded> {
    check_value(value, limits, &mut 0, 0)
}

/// Recursion ends at the depth limit.
fn check_value(value: &Value, limits: &Limits, values: &mut usize, depth: usize) -> Result<(), LimitsExceeded> {
    if !matches!(value, Value::Annotated(_)) {
        count(values, limits)?;
    }
    let depth_max = limits.depth_max.min(DEPTH_CAP);
    let is_container = matches!(value, Value::List(_) | Value::Sexp(_) | Value::Struct(_) | Value::Annotated(_));
    if is_container && depth >= depth_max {
        return Err(LimitsExceeded::TooDeep(depth_max));
    }
    match value {
        Value::Int(i) => check_int(i),
        Value::Decimal(d) => check_int(Decimal::coefficient(d)),
        Value::Timestamp(t) => Ok(t.validate()?),
        Value::List(items) | Value::Sexp(items) => {
            items.iter().try_for_each(|item| check_value(item, limits, values, depth + 1))
        }
        Value::Struct(s) => s.fields.iter().try_for_each(|(_, v)| check_value(v, limits, values, depth + 1)),
        Value::Annotated(inner) => {
            if inner.annotations.is_empty() || matches!(inner.value, Value::Annotated(_)) {
                return Err(LimitsExceeded::Annotations);
            }
            inner.annotations.iter().try_for_each(|_| count(values, limits))?;
            check_value(&inner.value, limits, values, depth + 1)
        }
        _ => Ok(()),
    }
}

fn count(values: &mut usize, limits: &Limits) -> Result<(), LimitsExceeded> {
    *values += 1;
    if *values > limits.values_max { Err(LimitsExceeded::TooMany(limits.values_max)) } else { Ok(()) }
}

fn check_int(int: &Int) -> Result<(), LimitsExceeded> {
    match int {
        Int::Big(i) if BigInt::bits(i) > Int::BYTES_MAX as u64 * 8 => Err(LimitsExceeded::LongInt),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ion::{Annotated, decode, encode, parse};

    fn read(text: &str) -> Value {
        parse(text, &Limits::DOCUMENT).unwrap()
    }

    #[test]
    fn what_passes_is_read_back_and_what_does_not_is_refused() {
        let limits = Limits { bytes_max: 1000, depth_max: 3, values_max: 6 };
        for (text, passes) in [
            ("[[[1]]]", true),
            ("[[[[1]]]]", false),
            ("name::[[1]]", true),
            ("name::[[[1]]]", false),
            ("[1,2,3,4,5]", true),
            ("[1,2,3,4,5,6]", false),
            ("name::name::name::name::name::1", true),
            ("name::name::name::name::name::name::1", false),
        ] {
            let value = read(text);
            assert_eq!(check(&value, &limits).is_ok(), passes, "{text}");
            assert_eq!(parse(text, &limits).is_ok(), passes, "{text}");
            assert_eq!(decode(&encode(&value), &limits).is_ok(), passes, "{text}");
        }
    }

    #[test]
    fn values_that_cannot_be_written_are_found() {
        let long = Int::from(BigInt::from(1) << (Int::BYTES_MAX * 8));
        assert_eq!(check(&Value::Int(long.clone()), &Limits::DOCUMENT), Err(LimitsExceeded::LongInt));
        assert_eq!(check(&Value::Decimal(Decimal::new(long, 0)), &Limits::DOCUMENT), Err(LimitsExceeded::LongInt));
        let Value::Timestamp(mut t) = read("2020-01-01T") else { panic!() };
        t.day = 32;
        assert!(matches!(check(&Value::Timestamp(t), &Limits::DOCUMENT), Err(LimitsExceeded::Timestamp(_))));
        let bare = Value::Annotated(Box::new(Annotated { annotations: vec![], value: Value::NULL }));
        assert_eq!(check(&bare, &Limits::DOCUMENT), Err(LimitsExceeded::Annotations));
    }
}
