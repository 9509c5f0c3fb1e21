//! Rows as columns of Arrow, each value exactly, or an error that says which one does not fit.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, BinaryBuilder, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    FixedSizeBinaryBuilder, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray,
    ListArray, RecordBatch, RecordBatchOptions, StringBuilder, TimestampMicrosecondArray, UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, IntervalMonthDayNano, SchemaRef, i256};
use ledgerstone_digest::ion::{Decimal, Int, Value};
use ledgerstone_query::bind::plan::ResultColumn;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::exec::Row;
use ledgerstone_query::types::SqlType;
use ledgerstone_query::value::{datetime, text};

use super::types::data_type;

/// A batch of rows.
pub fn batch(rows: &[Row], columns: &[ResultColumn], schema: &SchemaRef) -> Result<RecordBatch, QueryError> {
    let mut arrays = Vec::with_capacity(columns.len());
    for (at, column) in columns.iter().enumerate() {
        let values: Vec<Option<&Value>> = rows.iter().map(|row| row.get(at).and_then(Option::as_ref)).collect();
        arrays.push(array(&values, &column.ty).map_err(|error| named(error, &column.name))?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options).map_err(QueryError::internal)
}

fn named(error: QueryError, column: &str) -> QueryError {
    match error.detail {
        Some(_) => error,
        None => error.detail(format!("Column \"{column}\" of the result.")),
    }
}

fn array(values: &[Option<&Value>], ty: &SqlType) -> Result<ArrayRef, QueryError> {
    Ok(match (ty, data_type(ty)) {
        (_, DataType::Boolean) => {
            let flag = |value: &Value| if let Value::Bool(flag) = value { Some(*flag) } else { None };
            Arc::new(each(values, ty, flag)?.into_iter().collect::<BooleanArray>())
        }
        (_, DataType::Int16) => Arc::new(each(values, ty, int::<i16>)?.into_iter().collect::<Int16Array>()),
        (_, DataType::Int32) => Arc::new(each(values, ty, int::<i32>)?.into_iter().collect::<Int32Array>()),
        (_, DataType::Int64) => Arc::new(each(values, ty, int::<i64>)?.into_iter().collect::<Int64Array>()),
        (_, DataType::UInt32) => Arc::new(each(values, ty, int::<u32>)?.into_iter().collect::<UInt32Array>()),
        (_, DataType::Float32) => {
            let float = |value: &Value| if let Value::Float(float) = value { Some(*float as f32) } else { None };
            Arc::new(each(values, ty, float)?.into_iter().collect::<Float32Array>())
        }
        (_, DataType::Float64) => {
            let float = |value: &Value| if let Value::Float(float) = value { Some(*float) } else { None };
            Arc::new(each(values, ty, float)?.into_iter().collect::<Float64Array>())
        }
        (_, DataType::Decimal128(precision, scale)) => {
            let coefficient = |value: &Value| coefficient(value, scale)?.parse::<i128>().ok();
            let decimals = each(values, ty, coefficient)?.into_iter().collect::<Decimal128Array>();
            Arc::new(decimals.with_precision_and_scale(precision, scale).map_err(QueryError::internal)?)
        }
        (_, DataType::Decimal256(precision, scale)) => {
            let coefficient = |value: &Value| i256::from_string(&coefficient(value, scale)?);
            let decimals = each(values, ty, coefficient)?.into_iter().collect::<Decimal256Array>();
            Arc::new(decimals.with_precision_and_scale(precision, scale).map_err(QueryError::internal)?)
        }
        (_, DataType::Date32) => {
            let days = |value: &Value| match value {
                Value::Timestamp(date) => i32::try_from(datetime::to_days(date)).ok(),
                _ => None,
            };
            Arc::new(each(values, ty, days)?.into_iter().collect::<Date32Array>())
        }
        (_, DataType::Timestamp(_, zone)) => {
            let micros = |value: &Value| match value {
                Value::Timestamp(time) => Some(datetime::to_micros(time)),
                _ => None,
            };
            let times = each(values, ty, micros)?.into_iter().collect::<TimestampMicrosecondArray>();
            Arc::new(times.with_timezone_opt(zone))
        }
        (_, DataType::Interval(_)) => intervals(values, ty)?,
        (_, DataType::Binary) => {
            let bytes = |value: &Value| match value {
                Value::Blob(bytes) | Value::Clob(bytes) => Some(Arc::clone(bytes)),
                _ => None,
            };
            let mut builder = BinaryBuilder::with_capacity(values.len(), 0);
            for bytes in each(values, ty, bytes)? {
                builder.append_option(bytes);
            }
            Arc::new(builder.finish())
        }
        (_, DataType::FixedSizeBinary(_)) => uuids(values, ty)?,
        (SqlType::Array(element), DataType::List(_)) => lists(values, ty, element)?,
        _ => texts(values, ty),
    })
}

/// What a function makes of every value that is there; a value it makes nothing of is an error.
fn each<T>(
    values: &[Option<&Value>],
    ty: &SqlType,
    make: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<Option<T>>, QueryError> {
    let made = |value: &Option<&Value>| match value {
        None => Ok(None),
        Some(value) => make(value).map(Some).ok_or_else(|| mismatch(value, ty)),
    };
    values.iter().map(made).collect()
}

fn int<N: TryFrom<i64>>(value: &Value) -> Option<N> {
    N::try_from(value.as_i64()?).ok()
}

/// The digits of a number that has this many of them behind the point, or fewer.
fn coefficient(value: &Value, scale: i8) -> Option<String> {
    let decimal = match value {
        Value::Decimal(decimal) => decimal.clone(),
        Value::Int(int) => Decimal::new(int.clone(), 0),
        _ => return None,
    };
    let zeros = usize::try_from(i64::from(decimal.exponent()) + i64::from(scale)).ok()?;
    let mut digits = match decimal.coefficient() {
        Int::Small(number) => number.to_string(),
        Int::Big(number) => number.to_string(),
    };
    // No more than the widest decimal has; anything longer does not parse anyway.
    if digits != "0" {
        digits.extend(std::iter::repeat_n('0', zeros.min(100)));
    }
    Some(digits)
}

/// Arrow counts nanoseconds in 64 bits, SQL microseconds.
fn intervals(values: &[Option<&Value>], ty: &SqlType) -> Result<ArrayRef, QueryError> {
    let mut made = Vec::with_capacity(values.len());
    for interval in each(values, ty, datetime::Interval::from_value)? {
        let Some(interval) = interval else {
            made.push(None);
            continue;
        };
        let nanos = interval.micros.checked_mul(1_000).ok_or_else(|| {
            QueryError::new(
                SqlState::DATETIME_OVERFLOW,
                "an interval has more nanoseconds than fit into 64 bits, as which Arrow has them",
            )
            .hint("Select it as text: CAST(… AS text).")
        })?;
        made.push(Some(IntervalMonthDayNano::new(interval.months, interval.days, nanos)));
    }
    Ok(Arc::new(made.into_iter().collect::<IntervalMonthDayNanoArray>()))
}

fn uuids(values: &[Option<&Value>], ty: &SqlType) -> Result<ArrayRef, QueryError> {
    let bytes = |value: &Value| match value {
        Value::String(uuid) => text::from_hex(&uuid.replace('-', "")).filter(|bytes| bytes.len() == 16),
        _ => None,
    };
    let mut builder = FixedSizeBinaryBuilder::with_capacity(values.len(), 16);
    for bytes in each(values, ty, bytes)? {
        match bytes {
            Some(bytes) => builder.append_value(bytes).map_err(QueryError::internal)?,
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn texts(values: &[Option<&Value>], ty: &SqlType) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(values.len(), 0);
    for value in values {
        match (ty, value) {
            (_, None) => builder.append_null(),
            (SqlType::Text | SqlType::Varchar(_) | SqlType::Name, Some(Value::String(text))) => {
                builder.append_value(text);
            }
            (_, Some(value)) => builder.append_value(text::format(value, ty)),
        }
    }
    Arc::new(builder.finish())
}

/// SQL has one type for every number of dimensions, Arrow one for each: more than one has no place here.
fn lists(values: &[Option<&Value>], ty: &SqlType, element: &SqlType) -> Result<ArrayRef, QueryError> {
    let nested = matches!(element, SqlType::Json | SqlType::Jsonb | SqlType::Ion);
    let (mut items, mut lengths) = (Vec::new(), Vec::with_capacity(values.len()));
    for value in values {
        let before = items.len();
        match value {
            None => {}
            Some(Value::List(list)) => {
                if !nested && list.iter().any(|item| matches!(item, Value::List(_))) {
                    let error = QueryError::unsupported("an array of more than one dimension through this protocol");
                    return Err(error.hint("Select it as text or as jsonb: CAST(… AS text), to_jsonb(…)."));
                }
                items.extend(list.iter().map(|item| (!item.is_null()).then_some(item)));
            }
            Some(value) => return Err(mismatch(value, ty)),
        }
        lengths.push(items.len() - before);
    }
    let DataType::List(field) = data_type(ty) else { return Err(QueryError::internal("a list of another type")) };
    let nulls = NullBuffer::from_iter(values.iter().map(Option::is_some));
    let items = array(&items, element)?;
    if i32::try_from(items.len()).is_err() {
        return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a batch of rows has too many array elements"));
    }
    let list = ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), items, Some(nulls));
    Ok(Arc::new(list.map_err(QueryError::internal)?))
}

fn mismatch(value: &Value, ty: &SqlType) -> QueryError {
    QueryError::new(
        SqlState::DATATYPE_MISMATCH,
        format!("an Ion {:?} does not fit into a column of type {ty}", value.ion_type()),
    )
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray as _;
    use arrow::datatypes::{Decimal128Type, Decimal256Type};

    use super::super::types::schema_of;
    use super::*;

    fn column(texts: &[Option<&str>], ty: &str) -> Result<ArrayRef, QueryError> {
        let ty = SqlType::from_text(ty).unwrap();
        let rows: Vec<Row> =
            texts.iter().map(|text| vec![text.map(|text| text::parse(text, &ty, 0).unwrap())]).collect();
        let columns = [ResultColumn::computed("c", ty)];
        Ok(Arc::clone(batch(&rows, &columns, &schema_of(&columns))?.column(0)))
    }

    #[test]
    fn every_type_has_a_column_of_its_schema() {
        for (ty, values) in [
            ("boolean", vec![Some("t"), None]),
            ("smallint", vec![Some("-32768"), None]),
            ("integer", vec![Some("2147483647")]),
            ("bigint", vec![Some("-9223372036854775808")]),
            ("oid", vec![Some("4294967295")]),
            ("real", vec![Some("1.5"), Some("NaN")]),
            ("double precision", vec![Some("1e300"), Some("-Infinity")]),
            ("numeric", vec![Some("1.50"), Some("123456789012345678901234567890.123")]),
            ("numeric(38,2)", vec![Some("-1.5"), None]),
            ("numeric(76,2)", vec![Some("9e70"), None]),
            ("text", vec![Some("é"), None, Some("")]),
            ("character(5)", vec![Some("ab")]),
            ("date", vec![Some("0001-01-01"), Some("9999-12-31")]),
            ("timestamp without time zone", vec![Some("2020-01-02 03:04:05.678901")]),
            ("timestamp with time zone", vec![Some("2020-01-02 03:04:05+02")]),
            ("interval", vec![Some("1 year 2 days 3.5 seconds")]),
            ("bytea", vec![Some("\\x00ff"), None]),
            ("uuid", vec![Some("00112233-4455-6677-8899-aabbccddeeff"), None]),
            ("jsonb", vec![Some("{\"a\": [1, null]}"), None]),
            ("integer[]", vec![Some("{1,NULL,3}"), None, Some("{}")]),
            ("text[]", vec![Some("{a,\"b c\"}")]),
        ] {
            // `batch` itself checks the arrays against the schema.
            let array = column(&values, ty).unwrap_or_else(|error| panic!("{ty}: {error}"));
            assert_eq!(array.len(), values.len(), "{ty}");
            let nulls = values.iter().filter(|value| value.is_none()).count();
            assert_eq!(array.null_count(), nulls, "{ty}");
        }
    }

    #[test]
    fn decimals_keep_every_digit() {
        let array = column(&[Some("-1.5"), Some("0"), Some("99999.99")], "numeric(38,2)").unwrap();
        assert_eq!(array.as_primitive::<Decimal128Type>().values(), &[-150, 0, 9_999_999]);
        let array = column(&[Some("9e70")], "numeric(76,2)").unwrap();
        let expected = i256::from_string(&format!("9{}", "0".repeat(72))).unwrap();
        assert_eq!(array.as_primitive::<Decimal256Type>().value(0), expected);
    }

    #[test]
    fn what_arrow_cannot_hold_is_refused_by_name() {
        let long = column(&[Some("2562047788 hours")], "interval").unwrap_err();
        assert_eq!(long.code, SqlState::DATETIME_OVERFLOW);
        assert!(long.detail.unwrap().contains("\"c\""));
        let deep = column(&[Some("{{1},{2}}")], "integer[]").unwrap_err();
        assert_eq!(deep.code, SqlState::FEATURE_NOT_SUPPORTED);
    }
}
