//! Conversion between types: PostgreSQL's casts between SQL types, and PartiQL's strict CAST between Ion's.
//! Whether a cast is allowed at all, and where, is the binder's business ([`crate::bind`]); here it is carried out.

use ledgerstone_digest::ion::{Decimal, Int, IonType, Precision, Symbol, Text, Value};

use super::datetime::{self, Interval};
use super::decimal;
use super::numeric::{self, Num};
use super::{ion_type_name, json, text};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;

/// Carries out a cast. `from` is the static type, if there is one; `now_micros` is for `'now'::timestamptz`.
pub fn cast(value: Datum, from: Option<&SqlType>, to: &SqlType, explicit: bool, now_micros: i64) -> Result<Datum> {
    let Some(value) = value else { return Ok(None) };
    let dynamic = matches!(from, Some(SqlType::Ion));
    let value = match value {
        Value::Annotated(inner) if *to != SqlType::Ion => inner.value,
        other => other,
    };
    if let Value::Null(_) = value {
        return match (from, to) {
            (_, SqlType::Ion | SqlType::Jsonb) => Ok(Some(value)),
            (_, SqlType::Json) => Ok(Some(Value::string("null"))),
            (Some(SqlType::Jsonb), t) if t.is_text() => Ok(Some(Value::string("null"))),
            (Some(SqlType::Jsonb), t) => {
                Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, format!("cannot cast jsonb null to type {t}")))
            }
            _ => Ok(None),
        };
    }
    let from_jsonb = matches!(from, Some(SqlType::Jsonb | SqlType::Json));
    if let (Value::String(s), false) = (&value, from_jsonb && !to.is_text())
        && !matches!(to, SqlType::Ion)
        && !matches!((from, to), (Some(SqlType::Jsonb), t) if t.is_text())
        && !(dynamic && matches!(to, SqlType::Jsonb))
    {
        return from_text(s.clone(), from, to, explicit, now_micros).map(Some);
    }
    if from_jsonb && jsonb_mismatch(&value, to) {
        return Err(QueryError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("cannot cast jsonb {} to type {to}", json_type_name(&value)),
        ));
    }
    let out = match to {
        SqlType::Ion => value,
        SqlType::Bool => to_bool(value)?,
        SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Oid | SqlType::Reg(_) => to_int(value, to)?,
        SqlType::Float4 | SqlType::Float8 => to_float(value, to)?,
        SqlType::Numeric { .. } => to_numeric(&value, to)?,
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Name => {
            fit_text(Text::from(to_text(&value, from)), to, explicit)?
        }
        SqlType::Date | SqlType::Timestamp | SqlType::TimestampTz => to_time(value, to)?,
        SqlType::Time => {
            let micros = match (&value, Interval::from_value(&value)) {
                (Value::Timestamp(t), _) => datetime::to_micros(t),
                (_, Some(interval)) => interval.micros,
                _ => return Err(cannot(&value, to)),
            };
            Value::string(super::time_of_day::format(micros.rem_euclid(datetime::MICROS_PER_DAY)))
        }
        SqlType::Interval if Interval::from_value(&value).is_some() => value,
        SqlType::Bytea if matches!(value, Value::Blob(_)) => value,
        SqlType::Jsonb => match (from, value) {
            (Some(SqlType::Json), Value::String(s)) => json::parse(&s, true)?,
            (_, value) => json::canonical(value),
        },
        SqlType::Json => match (from, value) {
            (Some(SqlType::Json), value @ Value::String(_)) => value,
            (_, value) => Value::string(json::print(&value)),
        },
        SqlType::Array(of) => match value {
            Value::List(items) => Value::List(cast_items(items, from, of, explicit, now_micros)?),
            other => return Err(cannot(&other, to)),
        },
        _ => return Err(cannot(&value, to)),
    };
    Ok(Some(out))
}

fn cast_items(
    items: Vec<Value>,
    from: Option<&SqlType>,
    of: &SqlType,
    explicit: bool,
    now_micros: i64,
) -> Result<Vec<Value>> {
    let element = match from {
        Some(SqlType::Array(e)) => Some(&**e),
        _ => None,
    };
    items
        .into_iter()
        .map(|item| match item {
            Value::List(inner) if !matches!(of, SqlType::Ion | SqlType::Jsonb) => {
                Ok(Value::List(cast_items(inner, from, of, explicit, now_micros)?))
            }
            Value::Null(_) => Ok(Value::NULL),
            item => Ok(cast(Some(item), element, of, explicit, now_micros)?.unwrap_or(Value::NULL)),
        })
        .collect()
}

fn from_text(s: Text, from: Option<&SqlType>, to: &SqlType, explicit: bool, now_micros: i64) -> Result<Value> {
    match to {
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Name => {
            // char(n) loses its padding on the way to another text type.
            let s = match from {
                Some(SqlType::Char(_)) if s.ends_with(' ') => Text::new(s.trim_end_matches(' ')),
                _ => s,
            };
            fit_text(s, to, explicit)
        }
        SqlType::Numeric { .. } | SqlType::Bool => text::parse(&s, to, now_micros),
        SqlType::Bytea if from.is_some_and(SqlType::is_text) || from.is_none() => text::parse(&s, to, now_micros),
        _ => text::parse(&s, to, now_micros),
    }
}

/// PostgreSQL casts jsonb to numbers and booleans only from their own kind.
fn jsonb_mismatch(value: &Value, to: &SqlType) -> bool {
    match to {
        SqlType::Bool => !matches!(value, Value::Bool(_)),
        t if t.is_number() => !matches!(value, Value::Int(_) | Value::Decimal(_) | Value::Float(_)),
        _ => false,
    }
}

fn json_type_name(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "boolean",
        Value::Int(_) | Value::Decimal(_) | Value::Float(_) => "numeric",
        Value::List(_) | Value::Sexp(_) => "array",
        Value::Struct(_) => "object",
        _ => "string",
    }
}

/// The error for a value of a run-time type that does not fit.
fn cannot(value: &Value, to: &SqlType) -> QueryError {
    QueryError::new(SqlState::CANNOT_COERCE, format!("cannot cast {} to type {to}", ion_type_name(value)))
}

fn to_bool(value: Value) -> Result<Value> {
    match value {
        Value::Bool(_) => Ok(value),
        Value::Int(i) => Ok(Value::Bool(i != Int::Small(0))),
        other => Err(cannot(&other, &SqlType::Bool)),
    }
}

/// Whether an integer lies in a type's range.
pub fn int_fits(i: i64, ty: &SqlType) -> bool {
    match ty {
        SqlType::Int2 => i16::try_from(i).is_ok(),
        SqlType::Int4 => i32::try_from(i).is_ok(),
        SqlType::Oid | SqlType::Reg(_) => u32::try_from(i).is_ok(),
        _ => true,
    }
}

/// "integer out of range" (22003).
pub fn int_out_of_range(ty: &SqlType) -> QueryError {
    QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, format!("{ty} out of range"))
}

fn to_int(value: Value, to: &SqlType) -> Result<Value> {
    let i = match &value {
        Value::Int(Int::Small(i)) => Some(*i),
        Value::Int(Int::Big(_)) => None,
        Value::Bool(b) => Some(i64::from(*b)),
        Value::Decimal(d) => Num::from_decimal(d)?.to_i64(),
        Value::Float(f) => {
            let rounded = f.round_ties_even();
            (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded).then_some(rounded as i64)
        }
        other => return Err(cannot(other, to)),
    };
    match i.filter(|i| int_fits(*i, to)) {
        Some(i) => Ok(Value::int(i)),
        None => Err(int_out_of_range(to)),
    }
}

fn to_float(value: Value, to: &SqlType) -> Result<Value> {
    let f = match &value {
        Value::Float(f) => *f,
        Value::Int(Int::Small(i)) => *i as f64,
        Value::Int(_) | Value::Decimal(_) => Num::from_value(&value)?.to_f64(),
        other => return Err(cannot(other, to)),
    };
    let narrowed = if *to == SqlType::Float4 { f64::from(f as f32) } else { f };
    if narrowed.is_infinite() && !matches!(value, Value::Float(v) if v.is_infinite()) {
        return Err(QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, "value out of range: overflow"));
    }
    let zero = match &value {
        Value::Float(f) => *f == 0.0,
        other => Num::from_value(other)?.is_zero(),
    };
    if narrowed == 0.0 && !zero {
        return Err(QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, "value out of range: underflow"));
    }
    Ok(Value::Float(narrowed))
}

fn to_numeric(value: &Value, to: &SqlType) -> Result<Value> {
    if let SqlType::Numeric { precision: Some(precision), scale } = to
        && let Ok(scale) = u32::try_from(scale.unwrap_or(0))
        && let Some(fitted) = decimal::fit_in_words(value, u32::from(*precision), scale)
    {
        return Ok(Value::Decimal(fitted));
    }
    fit_numeric(Num::from_value(value).map_err(|_| cannot(value, to))?, to)
}

/// A numeric brought to its column's precision and scale.
pub fn fit_numeric(n: Num, ty: &SqlType) -> Result<Value> {
    match ty {
        SqlType::Numeric { precision: Some(p), scale } => {
            let scale = scale.unwrap_or(0);
            if scale < 0 {
                let rounded = n.round_to(i64::from(scale))?;
                let digits = u32::from(*p) + u32::from(scale.unsigned_abs());
                return Ok(numeric::fit(&rounded, digits, 0)?.to_value());
            }
            Ok(numeric::fit(&n, u32::from(*p), u32::from(scale.unsigned_abs()))?.to_value())
        }
        _ => Ok(n.to_value()),
    }
}

/// A text brought to its type's length; `explicit` casts cut, others refuse (22001).
pub fn fit_text(s: Text, ty: &SqlType, explicit: bool) -> Result<Value> {
    let (limit, padded) = match ty {
        SqlType::Varchar(Some(n)) => (*n as usize, false),
        SqlType::Char(n) => (*n as usize, true),
        SqlType::Name => (63, false),
        _ => return Ok(Value::String(s)),
    };
    let count = if s.is_ascii() { s.len() } else { s.chars().count() };
    if count > limit {
        let cut = s.char_indices().nth(limit).map_or(s.len(), |(i, _)| i);
        let (kept, rest) = s.split_at(cut);
        if explicit || *ty == SqlType::Name || rest.bytes().all(|b| b == b' ') {
            return Ok(Value::string(kept));
        }
        let shown = match ty {
            SqlType::Char(n) => format!("character({n})"),
            other => other.to_string(),
        };
        return Err(QueryError::new(SqlState::STRING_TOO_LONG, format!("value too long for type {shown}")));
    }
    if padded && count < limit {
        return Ok(Value::string(format!("{s}{}", " ".repeat(limit - count))));
    }
    Ok(Value::String(s))
}

/// The text a cast to text makes.
pub fn to_text(value: &Value, from: Option<&SqlType>) -> String {
    match (from, value) {
        (Some(SqlType::Ion) | None, Value::String(s)) => s.to_string(),
        (Some(SqlType::Ion) | None, Value::Symbol(s)) => s.text().unwrap_or("$0").to_owned(),
        (_, Value::Bool(b)) if !matches!(from, Some(SqlType::Jsonb)) => b.to_string(),
        (Some(SqlType::Ion), v) => text::format_untyped(v),
        (Some(ty), v) => text::format(v, ty),
        (None, v) => text::format_untyped(v),
    }
}

fn to_time(value: Value, to: &SqlType) -> Result<Value> {
    let Value::Timestamp(t) = &value else { return Err(cannot(&value, to)) };
    let is_date = !matches!(t.precision, Precision::Second | Precision::Minute);
    let utc = datetime::to_micros(t);
    Ok(Value::Timestamp(match to {
        SqlType::Date if is_date => datetime::date_from_days(datetime::to_days(t))?,
        SqlType::Date => datetime::date_from_days(utc.div_euclid(datetime::MICROS_PER_DAY))?,
        SqlType::Timestamp => datetime::from_micros(utc, false)?,
        _ => datetime::from_micros(utc, true)?,
    }))
}

/// PartiQL's CAST as QLDB documents it: strict, MISSING and NULL pass through, anything that does not convert is an
/// error. `ty` is the type's name in lower case.
pub fn ion_cast(value: Datum, ty: &str) -> Result<Datum> {
    let Some(value) = value else { return Ok(None) };
    if matches!(ty, "null" | "missing") {
        return match value.is_null() && ty == "null" {
            true => Ok(Some(Value::NULL)),
            false => Err(bad_cast(&value, ty)),
        };
    }
    if value.is_null() {
        return Ok(Some(Value::NULL));
    }
    let inner = value.unannotated().clone();
    let out = match ty {
        "any" | "ion" => Some(value.clone()),
        "bool" | "boolean" => ion_to_bool(&inner),
        "int" | "integer" | "smallint" | "bigint" | "int2" | "int4" | "int8" | "tinyint" => ion_to_int(&inner)?,
        "float" | "real" | "double precision" | "double" | "float4" | "float8" => match &inner {
            Value::Bool(b) => Some(Value::Float(f64::from(u8::from(*b)))),
            Value::Float(_) => Some(inner.clone()),
            Value::Int(_) | Value::Decimal(_) => Some(Value::Float(Num::from_value(&inner)?.to_f64())),
            Value::String(_) | Value::Symbol(_) => {
                inner.as_text().and_then(|t| t.trim().parse().ok()).map(Value::Float)
            }
            _ => None,
        },
        "decimal" | "numeric" | "number" | "dec" => match &inner {
            Value::Bool(b) => Some(Num::from_i64(i64::from(*b)).to_value()),
            Value::Decimal(_) => Some(inner.clone()),
            Value::Int(_) | Value::Float(_) => Some(Num::from_value(&inner)?.to_value()),
            Value::String(_) | Value::Symbol(_) => inner.as_text().and_then(numeric::parse).map(|n| n.to_value()),
            _ => None,
        },
        "string" | "text" | "varchar" | "char" | "character" | "character varying" => {
            ion_text(&inner).map(Value::string)
        }
        "symbol" => ion_text(&inner).map(|t| Value::Symbol(Symbol::new(t))),
        "timestamp" | "date" | "timestamptz" => match &inner {
            Value::Timestamp(_) => Some(inner.clone()),
            Value::String(_) | Value::Symbol(_) => inner.as_text().and_then(parse_ion_timestamp),
            _ => None,
        },
        "clob" => match &inner {
            Value::Blob(b) | Value::Clob(b) => Some(Value::Clob(b.clone())),
            _ => None,
        },
        "blob" | "bytea" => match &inner {
            Value::Blob(b) | Value::Clob(b) => Some(Value::Blob(b.clone())),
            _ => None,
        },
        "list" | "bag" => match &inner {
            Value::List(items) | Value::Sexp(items) => Some(Value::List(items.clone())),
            _ => None,
        },
        "sexp" => match &inner {
            Value::List(items) | Value::Sexp(items) => Some(Value::Sexp(items.clone())),
            _ => None,
        },
        "struct" | "tuple" => matches!(inner, Value::Struct(_)).then(|| inner.clone()),
        other => {
            return Err(QueryError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{other}\" does not exist")));
        }
    };
    out.map(Some).ok_or_else(|| bad_cast(&value, ty))
}

fn bad_cast(value: &Value, ty: &str) -> QueryError {
    QueryError::new(
        SqlState::CANNOT_COERCE,
        format!("cannot convert {} to {}", ion_type_name(value), ty.to_uppercase()),
    )
}

fn ion_to_bool(value: &Value) -> Option<Value> {
    Some(Value::Bool(match value {
        Value::Bool(b) => *b,
        Value::Int(i) => *i != Int::Small(0),
        Value::Float(f) => *f != 0.0,
        Value::Decimal(d) => *d.coefficient() != Int::Small(0),
        // QLDB: 'true' is true, every other text is false.
        Value::String(_) | Value::Symbol(_) => value.as_text()?.eq_ignore_ascii_case("true"),
        _ => return None,
    }))
}

fn ion_to_int(value: &Value) -> Result<Option<Value>> {
    Ok(match value {
        Value::Bool(b) => Some(Value::int(i64::from(*b))),
        Value::Int(_) => Some(value.clone()),
        Value::Decimal(d) => Some(Value::Int(numeric::big_to_int(Num::from_decimal(d)?.trunc_to(0).coefficient))),
        Value::Float(f) if f.is_finite() => {
            Some(Value::Int(numeric::big_to_int(Num::from_f64(f.trunc())?.trunc_to(0).coefficient)))
        }
        Value::String(_) | Value::Symbol(_) => value
            .as_text()
            .and_then(|t| numeric::parse(t.trim()))
            .filter(|n| n.scale == 0)
            .map(|n| Value::Int(numeric::big_to_int(n.coefficient))),
        _ => None,
    })
}

fn ion_text(value: &Value) -> Option<String> {
    Some(match value {
        Value::String(_) | Value::Symbol(_) => value.as_text()?.to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(_) | Value::Decimal(_) | Value::Float(_) => text::format_untyped(value),
        Value::Timestamp(_) => text::format_ion_timestamp(value),
        _ => return None,
    })
}

/// A text in Ion's timestamp notation.
pub fn parse_ion_timestamp(text: &str) -> Option<Value> {
    let value = ledgerstone_digest::ion::parse(text.trim(), &ledgerstone_digest::ion::Limits::DOCUMENT).ok()?;
    (value.ion_type() == IonType::Timestamp && !value.is_null()).then_some(value)
}

/// An int as a decimal of scale 0.
pub fn int_to_decimal(int: &Int) -> Decimal {
    Decimal::new(int.clone(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partiql_cast_is_strict() {
        assert_eq!(ion_cast(Some(Value::string("a")), "boolean").unwrap(), Some(Value::Bool(false)));
        assert_eq!(ion_cast(Some(Value::string("true")), "boolean").unwrap(), Some(Value::Bool(true)));
        assert_eq!(ion_cast(None, "int").unwrap(), None);
        assert_eq!(ion_cast(Some(Value::Null(IonType::Int)), "string").unwrap(), Some(Value::NULL));
        assert!(ion_cast(Some(Value::string("x")), "int").is_err());
        assert!(ion_cast(Some(Value::int(1)), "missing").is_err());
    }

    #[test]
    fn floats_round_to_even_and_decimals_away_from_zero() {
        let int = |v: Value| cast(Some(v), None, &SqlType::Int4, true, 0).unwrap().unwrap().as_i64().unwrap();
        assert_eq!(int(Value::Float(2.5)), 2);
        assert_eq!(int(numeric::parse("2.5").unwrap().to_value()), 3);
    }
}
