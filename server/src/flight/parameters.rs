//! Parameters that a client binds as columns of Arrow. A value of the parameter's own type is taken as it is; any other
//! is read as the type's input function reads its text, as PostgreSQL does with a parameter that comes as text.

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use ledgerstone_digest::ion::{Struct, Value};
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::types::SqlType;
use ledgerstone_query::value::datetime::{self, Interval, MICROS_PER_DAY};
use ledgerstone_query::value::{json, text};

/// Lists and structs inside each other.
const DEPTH_MAX: usize = 16;
/// Elements of one list: some types of Arrow need no bytes for an element.
const ELEMENTS_MAX: usize = 1 << 20;

/// One row of parameters, as many as the statement has.
pub fn row(batch: &RecordBatch, row: usize, types: &[SqlType]) -> Result<Vec<Option<Value>>, QueryError> {
    if batch.num_columns() != types.len() {
        return Err(QueryError::new(
            SqlState("08P01"),
            format!("the statement has {} parameters, and {} were bound", types.len(), batch.num_columns()),
        ));
    }
    let values = batch.columns().iter().zip(types).enumerate();
    let read = |(at, (column, ty)): (usize, (&arrow::array::ArrayRef, &SqlType))| {
        value(column, row, ty).map_err(|error| match error.detail {
            Some(_) => error,
            None => error.detail(format!("It is parameter ${}.", at + 1)),
        })
    };
    values.map(read).collect()
}

/// One value as a parameter or a column of this type.
pub fn value(array: &dyn Array, row: usize, ty: &SqlType) -> Result<Option<Value>, QueryError> {
    at(array, row, ty, 0)
}

/// What a place of an array holds.
enum Found {
    Bool(bool),
    Int(i128),
    Float(f64, String),
    Decimal(String),
    Text(String),
    Bytes(Vec<u8>),
    Days(i64),
    /// Microseconds, and whether they are in UTC.
    Time(i64, bool),
    Interval(Interval),
}

fn at(array: &dyn Array, row: usize, ty: &SqlType, depth: usize) -> Result<Option<Value>, QueryError> {
    if row >= array.len() || array.is_null(row) || *array.data_type() == DataType::Null {
        return Ok(None);
    }
    if depth > DEPTH_MAX {
        let what = format!("a parameter may have {DEPTH_MAX} lists and structs inside each other");
        return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, what));
    }
    match array.data_type() {
        DataType::List(_) => return list(&array.as_list::<i32>().value(row), ty, depth).map(Some),
        DataType::LargeList(_) => return list(&array.as_list::<i64>().value(row), ty, depth).map(Some),
        DataType::FixedSizeList(_, _) => return list(&array.as_fixed_size_list().value(row), ty, depth).map(Some),
        DataType::Struct(fields) => {
            if !is_document(ty) {
                return Err(mismatch(array, ty));
            }
            let mut members = Vec::with_capacity(fields.len());
            for (field, column) in fields.iter().zip(array.as_struct().columns()) {
                members.push((field.name().as_str(), at(column, row, ty, depth + 1)?.unwrap_or(Value::NULL)));
            }
            return Ok(Some(canonical(Value::Struct(Struct::from_fields(members)), ty)));
        }
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let key = match found(dictionary.keys(), row) {
                Some(Found::Int(key)) => usize::try_from(key).ok(),
                _ => None,
            };
            let key = key.ok_or_else(|| mismatch(array, ty))?;
            return at(dictionary.values().as_ref(), key, ty, depth + 1);
        }
        _ => {}
    }
    let found = found(array, row).ok_or_else(|| mismatch(array, ty))?;
    convert(found, array, ty).map(Some)
}

/// A value of a type without parts; `None` for types that are not taken.
fn found(array: &dyn Array, row: usize) -> Option<Found> {
    macro_rules! at {
        ($type:ty) => {
            array.as_primitive::<$type>().value(row)
        };
    }
    let int = |value: i128| Some(Found::Int(value));
    match array.data_type() {
        DataType::Boolean => Some(Found::Bool(array.as_boolean().value(row))),
        DataType::Int8 => int(at!(Int8Type).into()),
        DataType::Int16 => int(at!(Int16Type).into()),
        DataType::Int32 => int(at!(Int32Type).into()),
        DataType::Int64 => int(at!(Int64Type).into()),
        DataType::UInt8 => int(at!(UInt8Type).into()),
        DataType::UInt16 => int(at!(UInt16Type).into()),
        DataType::UInt32 => int(at!(UInt32Type).into()),
        DataType::UInt64 => int(at!(UInt64Type).into()),
        DataType::Float32 => {
            let float = at!(Float32Type);
            Some(Found::Float(float.into(), text::format_float4(float)))
        }
        DataType::Float64 => {
            let float = at!(Float64Type);
            Some(Found::Float(float, text::format_float8(float)))
        }
        DataType::Decimal128(_, _) => Some(Found::Decimal(array.as_primitive::<Decimal128Type>().value_as_string(row))),
        DataType::Decimal256(_, _) => Some(Found::Decimal(array.as_primitive::<Decimal256Type>().value_as_string(row))),
        DataType::Utf8 => Some(Found::Text(array.as_string::<i32>().value(row).to_owned())),
        DataType::LargeUtf8 => Some(Found::Text(array.as_string::<i64>().value(row).to_owned())),
        DataType::Utf8View => Some(Found::Text(array.as_string_view().value(row).to_owned())),
        DataType::Binary => Some(Found::Bytes(array.as_binary::<i32>().value(row).to_vec())),
        DataType::LargeBinary => Some(Found::Bytes(array.as_binary::<i64>().value(row).to_vec())),
        DataType::BinaryView => Some(Found::Bytes(array.as_binary_view().value(row).to_vec())),
        DataType::FixedSizeBinary(_) => Some(Found::Bytes(array.as_fixed_size_binary().value(row).to_vec())),
        DataType::Date32 => Some(Found::Days(at!(Date32Type).into())),
        DataType::Date64 => Some(Found::Days(at!(Date64Type).div_euclid(MICROS_PER_DAY / 1_000))),
        DataType::Timestamp(unit, zone) => {
            let micros = match unit {
                TimeUnit::Second => at!(TimestampSecondType).checked_mul(1_000_000)?,
                TimeUnit::Millisecond => at!(TimestampMillisecondType).checked_mul(1_000)?,
                TimeUnit::Microsecond => at!(TimestampMicrosecondType),
                TimeUnit::Nanosecond => round_nanos(at!(TimestampNanosecondType)),
            };
            Some(Found::Time(micros, zone.is_some()))
        }
        DataType::Time32(TimeUnit::Second) => clock(i64::from(at!(Time32SecondType)).checked_mul(1_000_000)?),
        DataType::Time32(TimeUnit::Millisecond) => clock(i64::from(at!(Time32MillisecondType)).checked_mul(1_000)?),
        DataType::Time64(TimeUnit::Microsecond) => clock(at!(Time64MicrosecondType)),
        DataType::Time64(TimeUnit::Nanosecond) => clock(round_nanos(at!(Time64NanosecondType))),
        DataType::Duration(unit) => {
            let micros = match unit {
                TimeUnit::Second => at!(DurationSecondType).checked_mul(1_000_000)?,
                TimeUnit::Millisecond => at!(DurationMillisecondType).checked_mul(1_000)?,
                TimeUnit::Microsecond => at!(DurationMicrosecondType),
                TimeUnit::Nanosecond => round_nanos(at!(DurationNanosecondType)),
            };
            Some(Found::Interval(Interval { months: 0, days: 0, micros }))
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            Some(Found::Interval(Interval { months: at!(IntervalYearMonthType), days: 0, micros: 0 }))
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let interval = at!(IntervalDayTimeType);
            let micros = i64::from(interval.milliseconds) * 1_000;
            Some(Found::Interval(Interval { months: 0, days: interval.days, micros }))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let interval = at!(IntervalMonthDayNanoType);
            let micros = round_nanos(interval.nanoseconds);
            Some(Found::Interval(Interval { months: interval.months, days: interval.days, micros }))
        }
        _ => None,
    }
}

/// A seventh digit and those behind it are rounded, as in a text.
fn round_nanos(nanos: i64) -> i64 {
    let (micros, rest) = (nanos.div_euclid(1_000), nanos.rem_euclid(1_000));
    micros + i64::from(rest >= 500)
}

/// A time of day as its text, which every type that takes one reads.
fn clock(micros: i64) -> Option<Found> {
    if !(0..=MICROS_PER_DAY).contains(&micros) {
        return None;
    }
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    Some(Found::Text(format!("{hours:02}:{minutes:02}:{seconds:02}.{micros:06}")))
}

fn convert(found: Found, array: &dyn Array, ty: &SqlType) -> Result<Value, QueryError> {
    let read = |text: &str| text::parse(text, ty, 0);
    let days = |days: i64| datetime::date_from_days(days).map(Value::Timestamp);
    let time = |micros: i64, zoned: bool| datetime::from_micros(micros, zoned).map(Value::Timestamp);
    Ok(match (found, ty) {
        (Found::Bool(flag), SqlType::Bool | SqlType::Ion | SqlType::Jsonb) => Value::Bool(flag),
        (Found::Bool(flag), _) => read(if flag { "true" } else { "false" })?,
        // JSON's numbers keep their digits.
        (Found::Int(int), SqlType::Ion | SqlType::Jsonb) => json::parse(&int.to_string(), true)?,
        (Found::Int(int), _) => read(&int.to_string())?,
        (Found::Float(float, _), SqlType::Float8 | SqlType::Ion) => Value::Float(float),
        (Found::Float(_, written), SqlType::Jsonb) => json::parse(&written, true)?,
        (Found::Float(_, written), _) => read(&written)?,
        (Found::Decimal(written), SqlType::Ion | SqlType::Jsonb) => text::parse(&written, &SqlType::NUMERIC, 0)?,
        (Found::Decimal(written), _) => read(&written)?,
        (Found::Text(written), _) if written.contains('\0') => return Err(QueryError::zero_byte()),
        (Found::Text(written), _) => read(&written)?,
        (Found::Bytes(bytes), SqlType::Bytea | SqlType::Ion) => Value::blob(bytes),
        (Found::Bytes(bytes), SqlType::Uuid) if bytes.len() == 16 => read(&hex(&bytes))?,
        (Found::Bytes(_), _) => return Err(mismatch(array, ty)),
        (Found::Days(number), SqlType::Date | SqlType::Ion) => days(number)?,
        (Found::Days(number), SqlType::Timestamp | SqlType::TimestampTz) => {
            let micros = number.checked_mul(MICROS_PER_DAY).ok_or_else(datetime::timestamp_overflow)?;
            time(micros, *ty == SqlType::TimestampTz)?
        }
        (Found::Days(number), _) => shown(&days(number)?, &SqlType::Date, ty)?,
        (Found::Time(micros, zoned), SqlType::Ion) => time(micros, zoned)?,
        (Found::Time(micros, _), SqlType::Timestamp) => time(micros, false)?,
        (Found::Time(micros, _), SqlType::TimestampTz) => time(micros, true)?,
        (Found::Time(micros, _), SqlType::Date) => days(micros.div_euclid(MICROS_PER_DAY))?,
        (Found::Time(micros, true), _) => shown(&time(micros, true)?, &SqlType::TimestampTz, ty)?,
        (Found::Time(micros, false), _) => shown(&time(micros, false)?, &SqlType::Timestamp, ty)?,
        (Found::Interval(interval), SqlType::Interval | SqlType::Ion) => interval.to_value(),
        (Found::Interval(interval), _) => shown(&interval.to_value(), &SqlType::Interval, ty)?,
    })
}

/// A value as another type reads its text; in JSON the text is a string.
fn shown(value: &Value, of: &SqlType, ty: &SqlType) -> Result<Value, QueryError> {
    let written = text::format(value, of);
    if *ty == SqlType::Jsonb { Ok(Value::string(written)) } else { text::parse(&written, ty, 0) }
}

fn list(items: &dyn Array, ty: &SqlType, depth: usize) -> Result<Value, QueryError> {
    let element = match ty {
        SqlType::Array(element) => element,
        ty if is_document(ty) => ty,
        _ => return Err(mismatch(items, ty)),
    };
    if items.len() > ELEMENTS_MAX {
        let what = format!("a list has {} elements, and {ELEMENTS_MAX} at most are taken", items.len());
        return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, what));
    }
    let read = |row| at(items, row, element, depth + 1).map(|value| value.unwrap_or(Value::NULL));
    let list = Value::List((0..items.len()).map(read).collect::<Result<_, _>>()?);
    Ok(canonical(list, ty))
}

fn is_document(ty: &SqlType) -> bool {
    matches!(ty, SqlType::Ion | SqlType::Jsonb)
}

fn canonical(value: Value, ty: &SqlType) -> Value {
    if *ty == SqlType::Jsonb { json::canonical(value) } else { value }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mismatch(array: &dyn Array, ty: &SqlType) -> QueryError {
    QueryError::new(
        SqlState::DATATYPE_MISMATCH,
        format!("a value of Arrow's type {} cannot be a value of type {ty}", array.data_type()),
    )
    .hint("Bind another type, or text as the SQL type reads it.")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int64Array,
        ListArray, NullArray, StringArray, StructArray, TimestampMicrosecondArray, TimestampNanosecondArray,
        UInt64Array,
    };
    use ledgerstone_digest::ion;

    use super::*;

    fn read(array: impl Array + 'static, ty: &str) -> Result<String, SqlState> {
        let ty = SqlType::from_text(ty).unwrap();
        match value(&array, 0, &ty) {
            Ok(Some(value)) => Ok(ion::to_text(&value)),
            Ok(None) => Ok("NULL".to_owned()),
            Err(error) => Err(error.code),
        }
    }

    #[test]
    fn a_value_is_read_as_the_parameter_asks() {
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(read(Int64Array::from(vec![5]), "bigint"), ok("5"));
        assert_eq!(read(Int64Array::from(vec![5]), "smallint"), ok("5"));
        assert_eq!(read(Int64Array::from(vec![70_000]), "smallint"), Err(SqlState::NUMERIC_OUT_OF_RANGE));
        assert_eq!(read(Int64Array::from(vec![5]), "text"), ok("\"5\""));
        assert_eq!(read(Int64Array::from(vec![5]), "numeric(5,2)"), ok("5.00"));
        assert_eq!(read(UInt64Array::from(vec![u64::MAX]), "ion"), ok("18446744073709551615"));
        assert_eq!(read(Float64Array::from(vec![0.1]), "numeric"), ok("0.1"));
        assert_eq!(read(Float64Array::from(vec![1.5]), "integer"), Err(SqlState::INVALID_TEXT_REPRESENTATION));
        assert_eq!(read(BooleanArray::from(vec![true]), "boolean"), ok("true"));
        assert_eq!(read(StringArray::from(vec!["{\"b\": 1}"]), "jsonb"), ok("{b:1}"));
        assert_eq!(read(StringArray::from(vec!["x"]), "ion"), ok("\"x\""));
        assert_eq!(read(StringArray::from(vec!["a\0b"]), "text"), Err(SqlState::CHARACTER_NOT_IN_REPERTOIRE));
        assert_eq!(read(BinaryArray::from(vec![b"hi".as_slice()]), "bytea"), ok("{{aGk=}}"));
        assert_eq!(read(BinaryArray::from(vec![b"hi".as_slice()]), "text"), Err(SqlState::DATATYPE_MISMATCH));
        assert_eq!(read(Date32Array::from(vec![18_262]), "date"), ok("2020-01-01T"));
        assert_eq!(read(NullArray::new(1), "date"), ok("NULL"));
        let decimal = Decimal128Array::from(vec![12_345]).with_precision_and_scale(10, 2).unwrap();
        assert_eq!(read(decimal, "numeric(10,2)"), ok("123.45"));
        let second = 1_577_934_245_000_000;
        let zoned = TimestampMicrosecondArray::from(vec![second]).with_timezone("UTC");
        assert_eq!(read(zoned, "timestamp with time zone"), ok("2020-01-02T03:04:05Z"));
        let nanos = TimestampNanosecondArray::from(vec![second * 1_000 + 1_500]);
        assert_eq!(read(nanos, "timestamp without time zone"), ok("2020-01-02T03:04:05.000002-00:00"));
    }

    #[test]
    fn lists_structs_and_dictionaries_are_read_within_limits() {
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1), None])]);
        assert_eq!(read(list.clone(), "integer[]"), Ok("[1,null]".to_owned()));
        assert_eq!(read(list.clone(), "jsonb"), Ok("[1,null]".to_owned()));
        assert_eq!(read(list.clone(), "text"), Err(SqlState::DATATYPE_MISMATCH));
        let member: ArrayRef = Arc::new(list);
        let fields = vec![(Arc::new(arrow::datatypes::Field::new("a", member.data_type().clone(), true)), member)];
        assert_eq!(read(StructArray::from(fields), "ion"), Ok("{a:[1,null]}".to_owned()));
        let dictionary: DictionaryArray<Int8Type> = vec!["x", "y"].into_iter().collect();
        assert_eq!(read(dictionary, "text"), Ok("\"x\"".to_owned()));
        let field = Arc::new(arrow::datatypes::Field::new_list_field(DataType::Null, true));
        let many = arrow::buffer::OffsetBuffer::from_lengths([ELEMENTS_MAX + 1]);
        let many = ListArray::new(field, many, Arc::new(NullArray::new(ELEMENTS_MAX + 1)), None);
        assert_eq!(read(many, "integer[]"), Err(SqlState::PROGRAM_LIMIT_EXCEEDED));
        let mut deep: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        for _ in 0..30 {
            let field = Arc::new(arrow::datatypes::Field::new_list_field(deep.data_type().clone(), true));
            deep = Arc::new(ListArray::new(field, arrow::buffer::OffsetBuffer::from_lengths([1]), deep, None));
        }
        assert_eq!(read(ListArray::from(deep.to_data()), "ion"), Err(SqlState::PROGRAM_LIMIT_EXCEEDED));
    }
}
