//! Functions that return rows: in FROM, or in a select list (PostgreSQL's documentation, 9.25).

use ledgerstone_digest::ion::{Struct, Value};

use super::size::{self, Size};
use super::{Call, Search, pattern};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::types::{Reg, SqlType};
use crate::value::datetime::{self, Interval};
use crate::value::numeric::Num;
use crate::value::{json, text};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFunction {
    GenerateSeriesInt,
    GenerateSeriesNumeric,
    GenerateSeriesTime {
        zoned: bool,
    },
    GenerateSubscripts,
    Unnest,
    /// `_pg_expandarray` of `information_schema`, which pgjdbc asks of: elements and their numbers, or both as one value.
    ExpandArray {
        whole: bool,
    },
    JsonElements {
        text: bool,
    },
    JsonEach {
        text: bool,
    },
    JsonKeys,
    RegexpSplit,
    RegexpMatches,
    StringToTable,
    /// The words that the front end knows.
    Keywords,
    /// No rows: what there are none of here, such as partitions.
    Nothing,
}

/// A table function resolved: argument casts and the columns it returns.
pub struct Resolved {
    pub function: TableFunction,
    pub casts: Vec<Option<SqlType>>,
    pub columns: Vec<(&'static str, SqlType)>,
}

pub fn is_table_function(name: &str) -> bool {
    matches!(
        name,
        "generate_series"
            | "generate_subscripts"
            | "unnest"
            | "_pg_expandarray"
            | "jsonb_array_elements"
            | "json_array_elements"
            | "jsonb_array_elements_text"
            | "json_array_elements_text"
            | "jsonb_each"
            | "json_each"
            | "jsonb_each_text"
            | "json_each_text"
            | "jsonb_object_keys"
            | "json_object_keys"
            | "regexp_split_to_table"
            | "regexp_matches"
            | "string_to_table"
            | "pg_get_keywords"
            | "pg_partition_tree"
            | "pg_partition_ancestors"
            | "pg_options_to_table"
    )
}

/// The table function a call means.
pub fn resolve(name: &str, types: &[Option<SqlType>]) -> Option<Resolved> {
    let first = types.first().cloned().flatten();
    let done = |function, casts, columns| Some(Resolved { function, casts, columns });
    match (name, types.len()) {
        ("generate_series", 2 | 3) => series(types),
        ("generate_subscripts", 2) => done(
            TableFunction::GenerateSubscripts,
            vec![None, Some(SqlType::Int4)],
            vec![("generate_subscripts", SqlType::Int4)],
        ),
        ("unnest", 1) => {
            let of = match first? {
                SqlType::Array(of) => *of,
                SqlType::Ion | SqlType::Jsonb => SqlType::Ion,
                _ => return None,
            };
            done(TableFunction::Unnest, vec![None], vec![("unnest", of)])
        }
        ("_pg_expandarray", 1) => match first? {
            SqlType::Array(of) => {
                done(TableFunction::ExpandArray { whole: false }, vec![None], vec![("x", *of), ("n", SqlType::Int4)])
            }
            _ => None,
        },
        ("jsonb_array_elements" | "json_array_elements", 1) => done(
            TableFunction::JsonElements { text: false },
            vec![Some(SqlType::Jsonb)],
            vec![("value", SqlType::Jsonb)],
        ),
        ("jsonb_array_elements_text" | "json_array_elements_text", 1) => {
            done(TableFunction::JsonElements { text: true }, vec![Some(SqlType::Jsonb)], vec![("value", SqlType::Text)])
        }
        ("jsonb_each" | "json_each", 1) => done(
            TableFunction::JsonEach { text: false },
            vec![Some(SqlType::Jsonb)],
            vec![("key", SqlType::Text), ("value", SqlType::Jsonb)],
        ),
        ("jsonb_each_text" | "json_each_text", 1) => done(
            TableFunction::JsonEach { text: true },
            vec![Some(SqlType::Jsonb)],
            vec![("key", SqlType::Text), ("value", SqlType::Text)],
        ),
        ("jsonb_object_keys" | "json_object_keys", 1) => {
            done(TableFunction::JsonKeys, vec![Some(SqlType::Jsonb)], vec![("jsonb_object_keys", SqlType::Text)])
        }
        ("regexp_split_to_table", 2) => done(
            TableFunction::RegexpSplit,
            vec![Some(SqlType::Text); 2],
            vec![("regexp_split_to_table", SqlType::Text)],
        ),
        ("regexp_matches", 2 | 3) => done(
            TableFunction::RegexpMatches,
            vec![Some(SqlType::Text); types.len()],
            vec![("regexp_matches", SqlType::Array(Box::new(SqlType::Text)))],
        ),
        ("string_to_table", 2) => {
            done(TableFunction::StringToTable, vec![Some(SqlType::Text); 2], vec![("string_to_table", SqlType::Text)])
        }
        ("pg_get_keywords", 0) => {
            let columns = vec![("word", SqlType::Text), ("catcode", SqlType::Text), ("catdesc", SqlType::Text)];
            done(TableFunction::Keywords, vec![], columns)
        }
        ("pg_partition_tree", 1) => {
            let relation = || SqlType::Reg(Reg::Class);
            let columns = vec![
                ("relid", relation()),
                ("parentrelid", relation()),
                ("isleaf", SqlType::Bool),
                ("level", SqlType::Int4),
            ];
            done(TableFunction::Nothing, vec![Some(relation())], columns)
        }
        // Of foreign servers and tables, which there are none of.
        ("pg_options_to_table", 1) => {
            let columns = vec![("option_name", SqlType::Text), ("option_value", SqlType::Text)];
            done(TableFunction::Nothing, vec![Some(SqlType::Array(Box::new(SqlType::Text)))], columns)
        }
        ("pg_partition_ancestors", 1) => {
            let relation = SqlType::Reg(Reg::Class);
            done(TableFunction::Nothing, vec![Some(relation.clone())], vec![("relid", relation)])
        }
        _ => None,
    }
}

fn series(types: &[Option<SqlType>]) -> Option<Resolved> {
    let known: Vec<&SqlType> = types.iter().flatten().collect();
    let bounds: Vec<&SqlType> = types.iter().take(2).flatten().collect();
    let column = |ty: SqlType| vec![("generate_series", ty)];
    if bounds.iter().any(|t| t.is_date_or_time()) {
        let zoned = !bounds.iter().all(|t| **t == SqlType::Timestamp);
        let ty = if zoned { SqlType::TimestampTz } else { SqlType::Timestamp };
        let casts = vec![Some(ty.clone()), Some(ty.clone()), Some(SqlType::Interval)];
        return (types.len() == 3).then(|| Resolved {
            function: TableFunction::GenerateSeriesTime { zoned },
            casts,
            columns: column(ty),
        });
    }
    let ty = if known.iter().any(|t| matches!(t, SqlType::Numeric { .. })) {
        SqlType::NUMERIC
    } else if known.iter().any(|t| **t == SqlType::Int8) {
        SqlType::Int8
    } else if known.iter().all(|t| matches!(t, SqlType::Int4 | SqlType::Int2 | SqlType::Ion)) {
        SqlType::Int4
    } else {
        return None;
    };
    let function = match ty {
        SqlType::Numeric { .. } => TableFunction::GenerateSeriesNumeric,
        _ => TableFunction::GenerateSeriesInt,
    };
    Some(Resolved { function, casts: vec![Some(ty.clone()); types.len()], columns: column(ty) })
}

/// A row of a table function.
pub type FunctionRow = Vec<Datum>;

/// Every word that the parser knows as one, and whether a name may be it.
fn keywords() -> impl Iterator<Item = FunctionRow> {
    use sqlparser::keywords::{ALL_KEYWORDS, ALL_KEYWORDS_INDEX, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_TABLE_ALIAS};
    ALL_KEYWORDS.iter().zip(ALL_KEYWORDS_INDEX).map(|(word, keyword)| {
        let reserved = RESERVED_FOR_COLUMN_ALIAS.contains(keyword) || RESERVED_FOR_TABLE_ALIAS.contains(keyword);
        let (code, about) = if reserved { ("R", "reserved") } else { ("U", "unreserved") };
        vec![Some(Value::string(word.to_ascii_lowercase())), Some(Value::string(code)), Some(Value::string(about))]
    })
}

/// The rows, made one by one.
pub fn rows(
    function: TableFunction,
    arguments: Vec<Datum>,
    call: &Call<'_>,
) -> Result<Box<dyn Iterator<Item = Result<FunctionRow>>>> {
    let none = || Ok(Box::new(std::iter::empty()) as Box<dyn Iterator<Item = Result<FunctionRow>>>);
    let partiql_null = call.partiql && arguments.iter().flatten().any(Value::is_null);
    if partiql_null || arguments.iter().any(Option::is_none) {
        return none();
    }
    if function == TableFunction::Keywords {
        return Ok(Box::new(keywords().map(Ok)));
    }
    let mut values = arguments.into_iter().flatten();
    let Some(first) = values.next() else { return none() };
    let one = |v: Value| Ok(vec![Some(v)]);
    match function {
        TableFunction::Nothing | TableFunction::Keywords => none(),
        TableFunction::GenerateSeriesInt => {
            let stop = values.next().and_then(|v| v.as_i64()).unwrap_or_default();
            let step = values.next().and_then(|v| v.as_i64()).unwrap_or(1);
            int_series(first.as_i64().unwrap_or_default(), stop, step)
        }
        TableFunction::GenerateSeriesNumeric => {
            let stop = Num::from_value(&values.next().unwrap_or(Value::int(0)))?;
            let step = values.next().map_or(Ok(Num::from_i64(1)), |v| Num::from_value(&v))?;
            if step.is_zero() {
                return Err(zero_step());
            }
            let start = Num::from_value(&first)?;
            let scale = start.scale.max(step.scale);
            let down = step.is_negative();
            let mut next = Some(start.round(scale)?);
            Ok(Box::new(std::iter::from_fn(move || {
                let now = next.take()?;
                if if down { now < stop } else { now > stop } {
                    return None;
                }
                next = Some(now.add(&step));
                Some(Ok(vec![Some(now.to_value())]))
            })))
        }
        TableFunction::GenerateSeriesTime { zoned } => {
            let stop = values.next().as_ref().and_then(timestamp_micros).unwrap_or_default();
            let step = values.next().as_ref().and_then(Interval::from_value).unwrap_or_default();
            time_series(timestamp_micros(&first).unwrap_or_default(), stop, step, zoned)
        }
        TableFunction::GenerateSubscripts => match first {
            Value::List(items) => int_series(1, items.len() as i64, 1),
            _ => none(),
        },
        TableFunction::Unnest => {
            let items = match first {
                Value::List(items) | Value::Sexp(items) => flatten(items),
                other => return Err(not_a_list(&other)),
            };
            Ok(Box::new(items.into_iter().map(|v| Ok(vec![(!v.is_null()).then_some(v)]))))
        }
        TableFunction::ExpandArray { whole } => {
            let items = match first {
                Value::List(items) => flatten(items),
                other => return Err(not_a_list(&other)),
            };
            Ok(Box::new(items.into_iter().zip(1..).map(move |(x, n)| {
                let n = Value::int(n);
                Ok(match whole {
                    true => vec![Some(Value::Struct(Struct::from_fields([("x", x), ("n", n)])))],
                    false => vec![(!x.is_null()).then_some(x), Some(n)],
                })
            })))
        }
        TableFunction::JsonElements { text: as_text } => match first {
            Value::List(items) => {
                Ok(Box::new(items.into_iter().map(move |v| Ok(vec![if as_text { json_text(v) } else { Some(v) }]))))
            }
            Value::Struct(_) => Err(json_error("cannot extract elements from an object")),
            _ => Err(json_error("cannot extract elements from a scalar")),
        },
        TableFunction::JsonEach { text: as_text } => match first {
            Value::Struct(s) => Ok(Box::new(s.fields.into_iter().map(move |(name, v)| {
                let name = Value::string(name.text().unwrap_or("$0"));
                Ok(vec![Some(name), if as_text { json_text(v) } else { Some(v) }])
            }))),
            _ => Err(json_error("cannot call jsonb_each on a non-object")),
        },
        TableFunction::JsonKeys => match first {
            Value::Struct(s) => {
                Ok(Box::new(s.fields.into_iter().map(move |(n, _)| one(Value::string(n.text().unwrap_or("$0"))))))
            }
            _ => Err(json_error("cannot call jsonb_object_keys on a scalar")),
        },
        TableFunction::RegexpSplit => {
            let pattern = values.next();
            let pattern = pattern.as_ref().and_then(Value::as_text).unwrap_or_default();
            let search = Search::new(call, pattern, false, first.as_text().unwrap_or_default())?;
            each(search.split().map(|part| part.map(Value::string)))
        }
        TableFunction::RegexpMatches => {
            let pattern = values.next();
            let flags = values.next();
            let flags = flags.as_ref().and_then(Value::as_text).unwrap_or_default();
            let pattern = pattern.as_ref().and_then(Value::as_text).unwrap_or_default();
            let search = Search::new(call, pattern, flags.contains('i'), first.as_text().unwrap_or_default())?;
            let limit = if flags.contains('g') { usize::MAX } else { 1 };
            let mut all = Size::default();
            each(search.all_captures().take(limit).map(|found| {
                let groups = pattern::groups(&found?)?;
                all = all.and(Size::of(&groups)?)?;
                Ok(groups)
            }))
        }
        TableFunction::StringToTable => {
            let by = values.next();
            let by = by.as_ref().and_then(Value::as_text).unwrap_or_default();
            each(first.as_text().unwrap_or_default().split(by).map(|part| Ok(Value::string(part))))
        }
    }
}

/// A row for each, which are made at once, and so no more of them than a list may have.
fn each(values: impl Iterator<Item = Result<Value>>) -> Result<Box<dyn Iterator<Item = Result<FunctionRow>>>> {
    let values = size::values(values)?;
    Ok(Box::new(values.into_iter().map(|value| Ok(vec![Some(value)]))))
}

fn int_series(start: i64, stop: i64, step: i64) -> Result<Box<dyn Iterator<Item = Result<FunctionRow>>>> {
    if step == 0 {
        return Err(zero_step());
    }
    let mut next = Some(start);
    Ok(Box::new(std::iter::from_fn(move || {
        let now = next?;
        if if step > 0 { now > stop } else { now < stop } {
            return None;
        }
        next = now.checked_add(step);
        Some(Ok(vec![Some(Value::int(now))]))
    })))
}

fn time_series(
    start: i64,
    stop: i64,
    step: Interval,
    zoned: bool,
) -> Result<Box<dyn Iterator<Item = Result<FunctionRow>>>> {
    if step.estimate() == 0 {
        return Err(zero_step());
    }
    let down = step.estimate() < 0;
    let mut next = Some(start);
    Ok(Box::new(std::iter::from_fn(move || {
        let now = next?;
        if if down { now < stop } else { now > stop } {
            return None;
        }
        next = datetime::add_interval(now, step).ok();
        Some(datetime::from_micros(now, zoned).map(|t| vec![Some(Value::Timestamp(t))]))
    })))
}

fn timestamp_micros(value: &Value) -> Option<i64> {
    match value {
        Value::Timestamp(t) => Some(datetime::to_micros(t)),
        _ => None,
    }
}

fn flatten(items: Vec<Value>) -> Vec<Value> {
    if !items.iter().any(|i| matches!(i, Value::List(_))) {
        return items;
    }
    items
        .into_iter()
        .flat_map(|i| match i {
            Value::List(inner) => flatten(inner),
            other => vec![other],
        })
        .collect()
}

/// As `->>` shows a JSON value.
pub(crate) fn json_text(value: Value) -> Datum {
    match value {
        Value::Null(_) => None,
        Value::String(_) => Some(value),
        Value::Symbol(s) => s.kept().map(|t| Value::String(t.clone())),
        Value::Timestamp(_) => Some(Value::string(text::format_ion_timestamp(&value))),
        other => Some(Value::string(json::print(&other))),
    }
}

fn not_a_list(value: &Value) -> QueryError {
    QueryError::new(
        SqlState::DATATYPE_MISMATCH,
        format!("a list is needed to range over, not {}", crate::value::ion_type_name(value)),
    )
}

fn json_error(message: &str) -> QueryError {
    QueryError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn zero_step() -> QueryError {
    QueryError::new(SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero")
}
