//! SQL's types as Arrow's (Arrow's Schema.fbs; the keys of columns in FlightSql.proto). Exactly, or as text:
//!
//! | SQL | Arrow |
//! |---|---|
//! | boolean; smallint, integer, bigint; real, double precision | Bool; Int16, Int32, Int64; Float32, Float64 |
//! | numeric(p, s) up to 38, up to 76 digits | Decimal128, Decimal256 |
//! | numeric without a precision, or with more digits | Utf8: every value has a scale of its own |
//! | text, varchar, char, name | Utf8 |
//! | date; timestamp; timestamptz | Date32; Timestamp(µs); Timestamp(µs, "UTC") |
//! | interval | Interval(MonthDayNano) |
//! | bytea | Binary |
//! | uuid | FixedSizeBinary(16), `arrow.uuid` |
//! | json, jsonb, ion | Utf8, `arrow.json` |
//! | an array | List of its element |
//! | oid, regclass and its kin | UInt32 |
//!
//! Each field says in `ledgerstone:type` what it is in SQL.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION};
use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};
use ledgerstone_query::bind::plan::ResultColumn;
use ledgerstone_query::types::SqlType;

/// Metadata of a field: the type in SQL.
const SQL_TYPE: &str = "ledgerstone:type";
/// Where Arrow looks for the name of an extension type.
const EXTENSION_NAME: &str = "ARROW:extension:name";
const EXTENSION_DATA: &str = "ARROW:extension:metadata";
/// Of FlightSql.proto; JDBC's ResultSetMetaData shows them.
const TYPE_NAME: &str = "ARROW:FLIGHT:SQL:TYPE_NAME";
const PRECISION: &str = "ARROW:FLIGHT:SQL:PRECISION";
const SCALE: &str = "ARROW:FLIGHT:SQL:SCALE";

/// The schema of a result.
pub fn schema_of(columns: &[ResultColumn]) -> SchemaRef {
    let fields: Vec<Field> = columns.iter().map(|column| field(&column.name, &column.ty)).collect();
    Arc::new(Schema::new(fields))
}

/// What a client should send for parameters: types that have no value of their own in most clients are asked for as text.
pub fn schema_of_parameters(types: &[SqlType]) -> Schema {
    let asked = |(number, ty): (usize, &SqlType)| {
        let data_type = match data_type(ty) {
            DataType::List(_) | DataType::FixedSizeBinary(_) | DataType::Interval(_) | DataType::UInt32 => {
                DataType::Utf8
            }
            // The JDBC driver writes milliseconds, whatever the unit.
            DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone),
            data_type => data_type,
        };
        let mut metadata = metadata(ty);
        metadata.retain(|key, _| key != EXTENSION_NAME && key != EXTENSION_DATA);
        Field::new(format!("${}", number + 1), data_type, true).with_metadata(metadata)
    };
    Schema::new(types.iter().enumerate().map(asked).collect::<Vec<_>>())
}

/// The type of a column's values.
pub fn data_type(ty: &SqlType) -> DataType {
    match ty {
        SqlType::Bool => DataType::Boolean,
        SqlType::Int2 => DataType::Int16,
        SqlType::Int4 => DataType::Int32,
        SqlType::Int8 => DataType::Int64,
        SqlType::Oid | SqlType::Reg(_) => DataType::UInt32,
        SqlType::Float4 => DataType::Float32,
        SqlType::Float8 => DataType::Float64,
        SqlType::Numeric { precision, scale } => numeric(*precision, *scale),
        SqlType::Date => DataType::Date32,
        SqlType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        SqlType::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        SqlType::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        SqlType::Bytea => DataType::Binary,
        SqlType::Uuid => DataType::FixedSizeBinary(16),
        SqlType::Array(element) => DataType::List(Arc::new(field(Field::LIST_FIELD_DEFAULT_NAME, element))),
        SqlType::Text
        | SqlType::Varchar(_)
        | SqlType::Char(_)
        | SqlType::Name
        // Arrow's has no 24:00:00.
        | SqlType::Time
        | SqlType::Json
        | SqlType::Jsonb
        | SqlType::Ion
        | SqlType::Int2Vector
        | SqlType::OidVector
        | SqlType::Void => DataType::Utf8,
    }
}

/// A scale below zero means zeros before the point, one above the precision zeros behind it: both are digits to Arrow.
fn numeric(precision: Option<u16>, scale: Option<i16>) -> DataType {
    let Some(precision) = precision else { return DataType::Utf8 };
    let scale = scale.unwrap_or(0);
    let zeros = u16::try_from(-scale.min(0)).unwrap_or(u16::MAX);
    let digits = precision.saturating_add(zeros).max(u16::try_from(scale).unwrap_or(0));
    match (u8::try_from(digits), i8::try_from(scale.max(0))) {
        (Ok(digits), Ok(scale)) if digits <= DECIMAL128_MAX_PRECISION => DataType::Decimal128(digits, scale),
        (Ok(digits), Ok(scale)) if digits <= DECIMAL256_MAX_PRECISION => DataType::Decimal256(digits, scale),
        _ => DataType::Utf8,
    }
}

fn field(name: &str, ty: &SqlType) -> Field {
    Field::new(name, data_type(ty), true).with_metadata(metadata(ty))
}

fn metadata(ty: &SqlType) -> HashMap<String, String> {
    let mut metadata = HashMap::from([(SQL_TYPE.to_owned(), ty.to_string()), (TYPE_NAME.to_owned(), ty.to_string())]);
    let mut put = |key: &str, value: String| metadata.insert(key.to_owned(), value);
    match ty {
        SqlType::Uuid => {
            put(EXTENSION_NAME, "arrow.uuid".to_owned());
            put(EXTENSION_DATA, String::new());
        }
        SqlType::Json | SqlType::Jsonb | SqlType::Ion => {
            put(EXTENSION_NAME, "arrow.json".to_owned());
            put(EXTENSION_DATA, String::new());
        }
        SqlType::Numeric { precision: Some(precision), scale } => {
            put(PRECISION, precision.to_string());
            put(SCALE, scale.unwrap_or(0).to_string());
        }
        SqlType::Char(length) | SqlType::Varchar(Some(length)) => {
            put(PRECISION, length.to_string());
        }
        _ => {}
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_is_a_decimal_if_all_of_its_values_are() {
        for (text, expected) in [
            ("numeric", DataType::Utf8),
            ("numeric(12,2)", DataType::Decimal128(12, 2)),
            ("numeric(38,38)", DataType::Decimal128(38, 38)),
            ("numeric(5,-2)", DataType::Decimal128(7, 0)),
            ("numeric(3,5)", DataType::Decimal128(5, 5)),
            ("numeric(39,0)", DataType::Decimal256(39, 0)),
            ("numeric(76,10)", DataType::Decimal256(76, 10)),
            ("numeric(77,0)", DataType::Utf8),
            ("numeric(70,-7)", DataType::Utf8),
            ("numeric(10,200)", DataType::Utf8),
        ] {
            assert_eq!(data_type(&SqlType::from_text(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn a_field_says_what_it_is_in_sql() {
        let column = ResultColumn::computed("doc", SqlType::Jsonb);
        let schema = schema_of(&[column]);
        let field = schema.field(0);
        assert_eq!(field.metadata().get(SQL_TYPE).unwrap(), "jsonb");
        assert_eq!(field.metadata().get(EXTENSION_NAME).unwrap(), "arrow.json");
        let asked = schema_of_parameters(&[SqlType::Uuid, SqlType::Int4]);
        assert_eq!((asked.field(0).name().as_str(), asked.field(0).data_type()), ("$1", &DataType::Utf8));
        assert_eq!(asked.field(1).data_type(), &DataType::Int32);
    }
}
