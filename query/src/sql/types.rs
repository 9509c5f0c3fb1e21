//! Types as written: sqlparser's many kinds back to a name, arguments and a number of dimensions.

use sqlparser::ast as sql;

use super::{Converter, names};
use crate::ast::{Span, TypeName};
use crate::error::{QueryError, Result, SqlState};

impl Converter {
    pub(super) fn type_name(&mut self, ty: sql::DataType, span: Span) -> Result<TypeName> {
        let mut array_depth = 0u8;
        let mut element = ty;
        while let sql::DataType::Array(inner) = element {
            element = match inner {
                // A size is written for the reader only; PostgreSQL ignores it too.
                sql::ArrayElemTypeDef::SquareBracket(inner, _) => *inner,
                other => {
                    return Err(QueryError::unsupported(format!("the type {}", sql::DataType::Array(other))).at(span));
                }
            };
            array_depth = array_depth.checked_add(1).filter(|d| *d <= 6).ok_or_else(|| {
                QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "an array may have 6 dimensions").at(span)
            })?;
        }
        let (name, arguments) = base(element, span)?;
        Ok(TypeName { name: name.into(), arguments, array_depth, span })
    }
}

fn base(ty: sql::DataType, span: Span) -> Result<(String, Vec<i64>)> {
    use sql::DataType as T;
    let plain = |name: &str| Ok((name.to_owned(), Vec::new()));
    match ty {
        T::Bool | T::Boolean => plain("bool"),
        T::SmallInt(None) | T::Int2(None) => plain("int2"),
        T::Int(None) | T::Integer(None) | T::Int4(None) => plain("int4"),
        T::BigInt(None) | T::Int8(None) => plain("int8"),
        T::Real | T::Float4 => plain("float4"),
        T::DoublePrecision | T::Float8 => plain("float8"),
        T::Float(info) => Ok(("float".into(), exact(info, span)?)),
        T::Numeric(info) | T::Decimal(info) | T::Dec(info) => Ok(("numeric".into(), exact(info, span)?)),
        T::Text => plain("text"),
        T::Character(length) | T::Char(length) => Ok(("char".into(), characters(length, span)?)),
        T::CharacterVarying(length) | T::CharVarying(length) | T::Varchar(length) => {
            Ok(("varchar".into(), characters(length, span)?))
        }
        T::Date => plain("date"),
        T::Timestamp(precision, zone) => {
            let name = if with_zone(&zone) { "timestamptz" } else { "timestamp" };
            Ok((name.into(), whole(precision, span)?))
        }
        T::Time(precision, zone) => {
            let name = if with_zone(&zone) { "timetz" } else { "time" };
            Ok((name.into(), whole(precision, span)?))
        }
        T::Interval { fields: None, precision } => Ok(("interval".into(), whole(precision, span)?)),
        T::Bytea => plain("bytea"),
        T::JSON => plain("json"),
        T::JSONB => plain("jsonb"),
        T::Uuid => plain("uuid"),
        T::Regclass => plain("regclass"),
        T::Custom(name, modifiers) => custom(name, &modifiers, span),
        other => Err(QueryError::new(
            SqlState::UNDEFINED_OBJECT,
            format!("type \"{}\" does not exist", other.to_string().to_ascii_lowercase()),
        )
        .at(span)),
    }
}

/// A name sqlparser does not know. `"char"` is PostgreSQL's one-byte type of the catalogue: text here.
fn custom(object: sql::ObjectName, modifiers: &[String], span: Span) -> Result<(String, Vec<i64>)> {
    let parts = names(object)?;
    let (name, in_catalogue) = match parts.as_slice() {
        [name] => (name, false),
        [schema, name] if &*schema.text == "pg_catalog" => (name, true),
        _ => {
            let written = parts.iter().map(|p| p.written.to_string()).collect::<Vec<_>>().join(".");
            return Err(
                QueryError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{written}\" does not exist")).at(span)
            );
        }
    };
    let arguments = modifiers
        .iter()
        .map(|m| m.parse::<i64>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| QueryError::syntax("the argument of a type must be a whole number", span))?;
    if &*name.text == "char" && (name.quoted || in_catalogue) {
        return Ok(("text".into(), arguments));
    }
    Ok((name.text.to_string(), arguments))
}

fn with_zone(zone: &sql::TimezoneInfo) -> bool {
    matches!(zone, sql::TimezoneInfo::WithTimeZone | sql::TimezoneInfo::Tz)
}

fn exact(info: sql::ExactNumberInfo, span: Span) -> Result<Vec<i64>> {
    Ok(match info {
        sql::ExactNumberInfo::None => Vec::new(),
        sql::ExactNumberInfo::Precision(p) => whole(Some(p), span)?,
        sql::ExactNumberInfo::PrecisionAndScale(p, s) => vec![small(p, span)?, s],
    })
}

fn characters(length: Option<sql::CharacterLength>, span: Span) -> Result<Vec<i64>> {
    match length {
        None => Ok(Vec::new()),
        Some(sql::CharacterLength::IntegerLength { length, unit: None | Some(sql::CharLengthUnits::Characters) }) => {
            whole(Some(length), span)
        }
        Some(other) => Err(QueryError::unsupported(format!("the length {other}")).at(span)),
    }
}

fn whole(number: Option<u64>, span: Span) -> Result<Vec<i64>> {
    number.map(|n| small(n, span)).transpose().map(|n| n.into_iter().collect())
}

fn small(number: u64, span: Span) -> Result<i64> {
    i64::try_from(number).map_err(|_| {
        QueryError::new(SqlState::INVALID_PARAMETER_VALUE, format!("{number} is too large for a type")).at(span)
    })
}
