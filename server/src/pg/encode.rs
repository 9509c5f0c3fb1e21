//! Values as PostgreSQL sends and receives them, text and binary (PostgreSQL's `*send` and `*recv` functions).

use std::fmt::Write as _;
use std::io::Write as _;

use ledgerstone_digest::ion::{Decimal, Int, Value};
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::types::SqlType;
use ledgerstone_query::value::{datetime, text, time_of_day};

use super::types;

/// 2000-01-01 in days and microseconds after 1970-01-01: PostgreSQL's zero.
const EPOCH_DAYS: i64 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS * 86_400_000_000;
/// Elements of a binary array parameter.
const ARRAY_ELEMENTS_MAX: usize = 1 << 20;

/// Appends the text form.
pub fn write_text(value: &Value, ty: &SqlType, out: &mut Vec<u8>) {
    match (ty, value) {
        // What most rows are made of needs no intermediate string.
        (SqlType::Text | SqlType::Varchar(_) | SqlType::Name | SqlType::Uuid, Value::String(text)) => {
            out.extend_from_slice(text.as_bytes());
        }
        (
            SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Oid | SqlType::Reg(_),
            Value::Int(Int::Small(number)),
        ) => {
            let _ = write!(out, "{number}");
        }
        (SqlType::Bool, Value::Bool(flag)) => out.push(if *flag { b't' } else { b'f' }),
        _ => text::write(value, ty, out),
    }
}

/// Appends the binary form. A value that is not of its column's type is an error, never other bytes.
pub fn write_binary(value: &Value, ty: &SqlType, out: &mut Vec<u8>) -> Result<(), QueryError> {
    match (ty, value) {
        (SqlType::Bool, Value::Bool(flag)) => out.push(u8::from(*flag)),
        (SqlType::Int2, _) => put_int::<i16, 2>(value, ty, out, i16::to_be_bytes)?,
        (SqlType::Int4, _) => put_int::<i32, 4>(value, ty, out, i32::to_be_bytes)?,
        (SqlType::Oid | SqlType::Reg(_), _) => put_int::<u32, 4>(value, ty, out, u32::to_be_bytes)?,
        (SqlType::Int8, _) => put_int::<i64, 8>(value, ty, out, i64::to_be_bytes)?,
        (SqlType::Float4, Value::Float(number)) => out.extend_from_slice(&(*number as f32).to_be_bytes()),
        (SqlType::Float8, Value::Float(number)) => out.extend_from_slice(&number.to_be_bytes()),
        (SqlType::Numeric { .. }, Value::Decimal(decimal)) => put_numeric(decimal, out)?,
        (SqlType::Numeric { .. }, Value::Int(int)) => put_numeric(&Decimal::new(int.clone(), 0), out)?,
        (SqlType::Bytea, Value::Blob(bytes) | Value::Clob(bytes)) => out.extend_from_slice(bytes),
        (SqlType::Date, Value::Timestamp(date)) => {
            let days = i32::try_from(datetime::to_days(date) - EPOCH_DAYS).map_err(|_| mismatch(value, ty))?;
            out.extend_from_slice(&days.to_be_bytes());
        }
        (SqlType::Timestamp | SqlType::TimestampTz, Value::Timestamp(time)) => {
            out.extend_from_slice(&(datetime::to_micros(time) - EPOCH_MICROS).to_be_bytes());
        }
        (SqlType::Interval, _) => {
            let interval = datetime::Interval::from_value(value).ok_or_else(|| mismatch(value, ty))?;
            out.extend_from_slice(&interval.micros.to_be_bytes());
            out.extend_from_slice(&interval.days.to_be_bytes());
            out.extend_from_slice(&interval.months.to_be_bytes());
        }
        (SqlType::Time, Value::String(time)) => out.extend_from_slice(&time_of_day::micros_of(time)?.to_be_bytes()),
        (SqlType::Uuid, Value::String(uuid)) => {
            let bytes = text::from_hex(&uuid.replace('-', "")).filter(|bytes| bytes.len() == 16);
            out.extend_from_slice(&bytes.ok_or_else(|| mismatch(value, ty))?);
        }
        (SqlType::Jsonb | SqlType::Ion, _) => {
            out.push(1);
            write_text(value, ty, out);
        }
        (SqlType::Array(element), Value::List(items)) => put_array(items, element, 1, out)?,
        // Their numbering begins at 0 (PostgreSQL's int2vector and oidvector).
        (SqlType::Int2Vector, Value::List(items)) => put_array(items, &SqlType::Int2, 0, out)?,
        (SqlType::OidVector, Value::List(items)) => put_array(items, &SqlType::Oid, 0, out)?,
        (SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Name | SqlType::Json | SqlType::Void, _) => {
            write_text(value, ty, out);
        }
        _ => return Err(mismatch(value, ty)),
    }
    Ok(())
}

/// Reads a parameter in text form.
pub fn read_text(bytes: &[u8], ty: &SqlType, now_micros: i64) -> Result<Value, QueryError> {
    let text = std::str::from_utf8(bytes).map_err(|_| QueryError::not_utf8(bytes))?;
    if text.contains('\0') {
        return Err(QueryError::zero_byte());
    }
    text::parse(text, ty, now_micros)
}

/// Reads a parameter in binary form.
pub fn read_binary(bytes: &[u8], ty: &SqlType, now_micros: i64) -> Result<Value, QueryError> {
    let invalid = || invalid_binary(ty);
    Ok(match ty {
        SqlType::Bool => match bytes {
            [flag] => Value::Bool(*flag != 0),
            _ => return Err(invalid()),
        },
        SqlType::Int2 => Value::int(i64::from(i16::from_be_bytes(array(bytes, ty)?))),
        SqlType::Int4 => Value::int(i64::from(i32::from_be_bytes(array(bytes, ty)?))),
        SqlType::Oid | SqlType::Reg(_) => Value::int(i64::from(u32::from_be_bytes(array(bytes, ty)?))),
        SqlType::Int8 => Value::int(i64::from_be_bytes(array(bytes, ty)?)),
        SqlType::Float4 => Value::Float(f64::from(f32::from_be_bytes(array(bytes, ty)?))),
        SqlType::Float8 => Value::Float(f64::from_be_bytes(array(bytes, ty)?)),
        SqlType::Numeric { .. } => text::parse(&numeric_text(bytes).ok_or_else(invalid)?, ty, now_micros)?,
        SqlType::Bytea => Value::blob(bytes),
        SqlType::Date => {
            let days = i64::from(i32::from_be_bytes(array(bytes, ty)?));
            Value::Timestamp(datetime::date_from_days(days + EPOCH_DAYS)?)
        }
        SqlType::Timestamp | SqlType::TimestampTz => {
            let micros = i64::from_be_bytes(array(bytes, ty)?);
            let micros = micros.checked_add(EPOCH_MICROS).ok_or_else(invalid)?;
            Value::Timestamp(datetime::from_micros(micros, *ty == SqlType::TimestampTz)?)
        }
        SqlType::Time => {
            let micros = i64::from_be_bytes(array(bytes, ty)?);
            if !(0..=datetime::MICROS_PER_DAY).contains(&micros) {
                return Err(QueryError::new(SqlState::DATETIME_OVERFLOW, "time out of range"));
            }
            Value::string(time_of_day::format(micros))
        }
        SqlType::Interval => {
            let (micros, rest) = bytes.split_first_chunk::<8>().ok_or_else(invalid)?;
            let (days, months) = rest.split_first_chunk::<4>().ok_or_else(invalid)?;
            let interval = datetime::Interval {
                micros: i64::from_be_bytes(*micros),
                days: i32::from_be_bytes(*days),
                months: i32::from_be_bytes(array(months, ty)?),
            };
            interval.to_value()
        }
        SqlType::Uuid => {
            let bytes: [u8; 16] = array(bytes, ty)?;
            let mut uuid = String::with_capacity(36);
            for (at, byte) in bytes.iter().enumerate() {
                if matches!(at, 4 | 6 | 8 | 10) {
                    uuid.push('-');
                }
                let _ = write!(uuid, "{byte:02x}");
            }
            Value::string(uuid)
        }
        SqlType::Jsonb | SqlType::Ion => match bytes.split_first() {
            Some((1, json)) => read_text(json, &SqlType::Jsonb, now_micros)?,
            _ => return Err(invalid()),
        },
        SqlType::Array(element) => read_array(bytes, element, now_micros)?,
        SqlType::Int2Vector => read_array(bytes, &SqlType::Int2, now_micros)?,
        SqlType::OidVector => read_array(bytes, &SqlType::Oid, now_micros)?,
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Name | SqlType::Json | SqlType::Void => {
            read_text(bytes, ty, now_micros)?
        }
    })
}

fn put_int<N: TryFrom<i64>, const BYTES: usize>(
    value: &Value,
    ty: &SqlType,
    out: &mut Vec<u8>,
    bytes: fn(N) -> [u8; BYTES],
) -> Result<(), QueryError> {
    let number = value.as_i64().and_then(|number| N::try_from(number).ok()).ok_or_else(|| mismatch(value, ty))?;
    out.extend_from_slice(&bytes(number));
    Ok(())
}

/// `numeric_send`: base-10,000 digits, the weight of the first, sign, and the scale to show.
fn put_numeric(decimal: &Decimal, out: &mut Vec<u8>) -> Result<(), QueryError> {
    let too_large = || QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, "value overflows numeric format");
    let (negative, mut digits) = match decimal.coefficient() {
        Int::Small(number) => (*number < 0, number.unsigned_abs().to_string()),
        Int::Big(number) => {
            let text = number.to_string();
            (text.starts_with('-'), text.trim_start_matches('-').to_owned())
        }
    };
    let exponent = decimal.exponent();
    if !(-16_383..=131_072).contains(&exponent) {
        return Err(too_large());
    }
    if exponent > 0 {
        digits.extend(std::iter::repeat_n('0', exponent as usize));
    }
    let scale = exponent.min(0).unsigned_abs() as usize;
    if digits.len() <= scale {
        digits.insert_str(0, &"0".repeat(scale + 1 - digits.len()));
    }
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let lead = (4 - whole.len() % 4) % 4;
    let tail = (4 - fraction.len() % 4) % 4;
    let padded = format!("{}{whole}{fraction}{}", "0".repeat(lead), "0".repeat(tail));
    let groups: Vec<i16> = padded
        .as_bytes()
        .chunks(4)
        .map(|group| group.iter().fold(0_i16, |sum, digit| sum * 10 + i16::from(digit - b'0')))
        .collect();
    let first = groups.iter().position(|group| *group != 0).unwrap_or(groups.len());
    let last = groups.iter().rposition(|group| *group != 0).map_or(first, |at| at + 1);
    let kept = groups.get(first..last).unwrap_or_default();
    let weight = if kept.is_empty() { 0 } else { (whole.len() + lead) as i64 / 4 - 1 - first as i64 };
    out.extend_from_slice(&i16::try_from(kept.len()).map_err(|_| too_large())?.to_be_bytes());
    out.extend_from_slice(&i16::try_from(weight).map_err(|_| too_large())?.to_be_bytes());
    out.extend_from_slice(&(if negative && !kept.is_empty() { 0x4000_u16 } else { 0 }).to_be_bytes());
    out.extend_from_slice(&(scale as u16).to_be_bytes());
    for group in kept {
        out.extend_from_slice(&group.to_be_bytes());
    }
    Ok(())
}

/// The text of a binary numeric; `None` if the bytes are not one (NaN and infinities are not values here).
fn numeric_text(bytes: &[u8]) -> Option<String> {
    let (header, digits) = bytes.split_first_chunk::<8>()?;
    let word = |at: usize| Some(u16::from_be_bytes([*header.get(at)?, *header.get(at + 1)?]));
    let (count, weight, sign, scale) = (usize::from(word(0)?), word(2)? as i16, word(4)?, usize::from(word(6)?));
    if digits.len() != count * 2 || !matches!(sign, 0 | 0x4000) || scale > 0x3fff {
        return None;
    }
    let group = |at: i32| -> Option<u16> {
        let Ok(at) = usize::try_from(at) else { return Some(0) };
        let Some(pair) = digits.get(at * 2..at * 2 + 2) else { return Some(0) };
        Some(u16::from_be_bytes([*pair.first()?, *pair.get(1)?])).filter(|group| *group < 10_000)
    };
    let weight = i32::from(weight);
    let mut text = String::with_capacity(count * 4 + scale + 4);
    if sign != 0 {
        text.push('-');
    }
    if weight < 0 {
        text.push('0');
    }
    for at in 0..=weight {
        let _ = write!(text, "{:04}", group(at)?);
    }
    if scale > 0 {
        text.push('.');
        let from = text.len();
        let mut at = weight + 1;
        while text.len() - from < scale {
            let _ = write!(text, "{:04}", group(at)?);
            at += 1;
        }
        text.truncate(from + scale);
    }
    Some(text)
}

/// `array_send`, one dimension, or as many as the lists are nested evenly.
fn put_array(items: &[Value], element: &SqlType, first: i32, out: &mut Vec<u8>) -> Result<(), QueryError> {
    let mut dimensions = Vec::new();
    let mut level = items;
    while !items.is_empty() {
        dimensions.push(level.len());
        match level.first() {
            Some(Value::List(inner)) if !matches!(element, SqlType::Jsonb | SqlType::Ion | SqlType::Json) => {
                level = inner
            }
            _ => break,
        }
    }
    let mut leaves = Vec::new();
    flatten(items, &dimensions, &mut leaves)?;
    let nulls = leaves.iter().any(|leaf| leaf.is_null());
    out.extend_from_slice(&(dimensions.len() as i32).to_be_bytes());
    out.extend_from_slice(&i32::from(nulls).to_be_bytes());
    out.extend_from_slice(&types::oid(element).to_be_bytes());
    for length in &dimensions {
        out.extend_from_slice(&(*length as i32).to_be_bytes());
        out.extend_from_slice(&first.to_be_bytes());
    }
    for leaf in leaves {
        super::message::put_column(out, |out| {
            if leaf.is_null() {
                return Ok(false);
            }
            write_binary(leaf, element, out).map(|()| true)
        })?;
    }
    Ok(())
}

fn flatten<'v>(items: &'v [Value], dimensions: &[usize], leaves: &mut Vec<&'v Value>) -> Result<(), QueryError> {
    let uneven =
        || QueryError::new(SqlState::ARRAY_SUBSCRIPT_ERROR, "a list of lists of different lengths is no array");
    match dimensions {
        [] => Ok(()),
        [length] if items.len() == *length => {
            leaves.extend(items);
            Ok(())
        }
        [length, inner @ ..] if items.len() == *length => items.iter().try_for_each(|item| match item {
            Value::List(items) => flatten(items, inner, leaves),
            _ => Err(uneven()),
        }),
        _ => Err(uneven()),
    }
}

fn read_array(bytes: &[u8], element: &SqlType, now_micros: i64) -> Result<Value, QueryError> {
    let ty = SqlType::Array(Box::new(element.clone()));
    let invalid = || invalid_binary(&ty);
    let mut rest = bytes;
    let mut word = || -> Option<i32> {
        let (word, after) = rest.split_first_chunk::<4>()?;
        rest = after;
        Some(i32::from_be_bytes(*word))
    };
    let dimensions = word().ok_or_else(invalid)?;
    let _flags = word().ok_or_else(invalid)?;
    let _element = word().ok_or_else(invalid)?;
    let length = match dimensions {
        0 => 0,
        1 => {
            let length = word().ok_or_else(invalid)?;
            let _lower = word().ok_or_else(invalid)?;
            usize::try_from(length).map_err(|_| invalid())?
        }
        _ => return Err(QueryError::unsupported("a binary array parameter of more than one dimension")),
    };
    if length > ARRAY_ELEMENTS_MAX || length > rest.len() / 4 {
        return Err(invalid());
    }
    let mut items = Vec::with_capacity(length);
    for _ in 0..length {
        let (size, after) = rest.split_first_chunk::<4>().ok_or_else(invalid)?;
        match usize::try_from(i32::from_be_bytes(*size)) {
            Err(_) => {
                rest = after;
                items.push(Value::NULL);
            }
            Ok(size) => {
                let (item, after) = after.split_at_checked(size).ok_or_else(invalid)?;
                rest = after;
                items.push(read_binary(item, element, now_micros)?);
            }
        }
    }
    if rest.is_empty() { Ok(Value::List(items)) } else { Err(invalid()) }
}

fn array<const N: usize>(bytes: &[u8], ty: &SqlType) -> Result<[u8; N], QueryError> {
    bytes.try_into().map_err(|_| invalid_binary(ty))
}

fn invalid_binary(ty: &SqlType) -> QueryError {
    QueryError::new(SqlState::INVALID_BINARY_REPRESENTATION, format!("invalid binary value for type {ty}"))
}

fn mismatch(value: &Value, ty: &SqlType) -> QueryError {
    QueryError::new(
        SqlState::DATATYPE_MISMATCH,
        format!("an Ion {:?} cannot be sent as {ty} in binary format", value.ion_type()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taken from `numeric_send` of PostgreSQL 15.
    #[test]
    fn numerics_have_postgresqls_digits() {
        for (text, expected) in [
            ("0", "0000000000000000"),
            ("0.00", "0000000000000002"),
            ("1", "0001000000000000" /* and the digit */),
            ("-12345678901234567.89", ""),
            ("10000", ""),
            ("0.0001", ""),
            ("0.00012345", ""),
            ("1200", ""),
        ] {
            let value = text::parse(text, &SqlType::NUMERIC, 0).unwrap();
            let mut bytes = Vec::new();
            write_binary(&value, &SqlType::NUMERIC, &mut bytes).unwrap();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(hex.starts_with(expected), "{text}: {hex}");
            let back = numeric_text(&bytes).map(|read| text::parse(&read, &SqlType::NUMERIC, 0).unwrap());
            assert_eq!(back, Some(value), "{text}: {hex}");
        }
    }

    #[test]
    fn cut_binary_values_are_errors() {
        let types = [
            SqlType::Bool,
            SqlType::Int8,
            SqlType::NUMERIC,
            SqlType::Date,
            SqlType::TimestampTz,
            SqlType::Interval,
            SqlType::Time,
            SqlType::Uuid,
            SqlType::Jsonb,
            SqlType::Array(Box::new(SqlType::Int4)),
        ];
        for ty in types {
            for length in 0..40 {
                for fill in [0, 1, 0x7f, 0xff] {
                    let _ = read_binary(&vec![fill; length], &ty, 0);
                }
            }
            assert!(read_binary(&[], &ty, 0).is_err(), "{ty}");
        }
    }

    #[test]
    fn an_array_reads_back() {
        let items = Value::List(vec![Value::int(1), Value::NULL, Value::int(-3)]);
        let ty = SqlType::Array(Box::new(SqlType::Int8));
        let mut bytes = Vec::new();
        write_binary(&items, &ty, &mut bytes).unwrap();
        assert_eq!(read_binary(&bytes, &ty, 0).unwrap(), items);
    }
}
