//! The table that rows go to: what is made of a row, and the types that are guessed for a table that is made.

use ledgerstone_digest::ion::{Int, Struct, Symbol, Value};
use ledgerstone_query::types::SqlType;
use ledgerstone_query::value::{datetime, ion_type_name, json, text};

use super::source::{Cells, Row, Trouble};
use crate::flight::read_value;

/// A table: names and types of its columns; none of one that takes documents as they are.
pub struct Described {
    pub columns: Vec<(String, SqlType)>,
}

/// What rows are made into.
pub struct Target {
    columns: Vec<(Symbol, SqlType)>,
    map: Vec<(String, String)>,
    skip: Vec<String>,
}

impl Target {
    pub fn new(described: Described, map: Vec<(String, String)>, skip: Vec<String>) -> Target {
        let columns = described.columns.into_iter().map(|(name, ty)| (Symbol::new(name), ty)).collect();
        Target { columns, map, skip }
    }

    /// The document of a row.
    pub fn document(&self, row: Row) -> Result<Value, Trouble> {
        let place = row.place;
        let made = match row.cells {
            Cells::Texts(names, texts) => self.of_texts(&names, texts),
            Cells::Document(value) => self.of_document(value),
            Cells::Arrow(batch, row) => self.of_arrow(&batch, row),
        };
        made.map(Value::Struct).map_err(|trouble| trouble.at(place))
    }

    fn of_texts(&self, names: &[String], texts: Vec<Option<String>>) -> Result<Struct, Trouble> {
        let mut fields = Vec::with_capacity(texts.len());
        for (name, written) in names.iter().zip(texts) {
            let Some((column, ty)) = self.column(name)? else { continue };
            // NULL is an absent field.
            let Some(written) = written else { continue };
            let value = match ty {
                None => Value::string(written),
                Some(ty) => read_text(&written, ty).map_err(|trouble| trouble.column(name).text(&written))?,
            };
            fields.push((column, stored(value, ty)));
        }
        Ok(Struct { fields })
    }

    fn of_document(&self, value: Value) -> Result<Struct, Trouble> {
        let Value::Struct(document) = value else {
            let what = format!("an Ion {} is no row", ion_type_name(&value));
            let shown = ledgerstone_digest::ion::to_text(&value);
            return Err(Trouble::new(what).text(&shown).help("A row is an object, a struct in Ion."));
        };
        if self.columns.is_empty() && self.map.is_empty() && self.skip.is_empty() {
            return Ok(document);
        }
        let mut fields = Vec::with_capacity(document.len());
        for (symbol, value) in document.fields {
            let name = symbol.text().ok_or_else(|| Trouble::new("a field has no known name"))?;
            let Some((column, ty)) = self.column(name)? else { continue };
            let value = match ty {
                None => value,
                Some(_) if value.is_null() => continue,
                Some(ty) => {
                    let shown = || ledgerstone_digest::ion::to_text(&value);
                    read_json(&value, ty).map_err(|trouble| trouble.column(name).text(&shown()))?
                }
            };
            fields.push((column, stored(value, ty)));
        }
        Ok(Struct { fields })
    }

    fn of_arrow(&self, batch: &arrow::array::RecordBatch, row: usize) -> Result<Struct, Trouble> {
        let mut fields = Vec::with_capacity(batch.num_columns());
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let Some((column, ty)) = self.column(field.name())? else { continue };
            let value = read_value(array, row, ty.unwrap_or(&SqlType::Ion))
                .map_err(|error| Trouble::of(&error).column(field.name()))?;
            if let Some(value) = value {
                fields.push((column, stored(value, ty)));
            }
        }
        Ok(Struct { fields })
    }

    /// What a field is called in the table, and its type there if it has one; `None`: it is left out.
    fn column(&self, field: &str) -> Result<Option<(Symbol, Option<&SqlType>)>, Trouble> {
        if self.skip.iter().any(|name| name == field) {
            return Ok(None);
        }
        let name = self.map.iter().find(|(from, _)| from == field).map_or(field, |(_, to)| to.as_str());
        if self.columns.is_empty() {
            return Ok(Some((Symbol::new(name), None)));
        }
        match self.columns.iter().find(|(column, _)| column.text() == Some(name)) {
            Some((column, ty)) => Ok(Some((column.clone(), Some(ty)))),
            None => {
                let all: Vec<&str> = self.columns.iter().filter_map(|(name, _)| name.text()).collect();
                let what = format!("the table has no column {name}");
                let help = format!("It has {}. Use --map {field}=COLUMN, or --skip {field}.", all.join(", "));
                Err(Trouble::new(what).help(help))
            }
        }
    }
}

/// A value as documents have it: intervals are texts there.
fn stored(value: Value, ty: Option<&SqlType>) -> Value {
    match (ty, datetime::Interval::from_value(&value)) {
        (Some(SqlType::Interval), Some(interval)) => Value::string(datetime::format_interval(interval)),
        _ => value,
    }
}

/// A text as a type reads it.
fn read_text(written: &str, ty: &SqlType) -> Result<Value, Trouble> {
    match ty {
        SqlType::Ion => Ok(Value::string(written)),
        ty => text::parse(written, ty, 0).map_err(|error| Trouble::of(&error)),
    }
}

/// A value of JSON or Ion in a column with a type: one of its own as it is, a number by its digits, a text as the type reads it.
fn read_json(value: &Value, ty: &SqlType) -> Result<Value, Trouble> {
    let mismatch = || {
        let what = format!("an Ion {} cannot be a {ty}", ion_type_name(value));
        Err(Trouble::new(what).help("Write it as a text that the type reads, or give the column another type."))
    };
    match (ty, value) {
        (SqlType::Ion, _) => Ok(value.clone()),
        (SqlType::Jsonb, value) => Ok(json::canonical(value.clone())),
        (SqlType::Json, Value::Struct(_) | Value::List(_)) => read_text(&json::print(value), ty),
        (ty, Value::Int(Int::Small(number))) if ty.is_number() => read_text(&number.to_string(), ty),
        (ty, Value::Int(Int::Big(number))) if ty.is_number() => read_text(&number.to_string(), ty),
        (ty, Value::Decimal(number)) if ty.is_number() => read_text(&text::format_decimal(number), ty),
        (SqlType::Float8, Value::Float(_)) => Ok(value.clone()),
        (ty, Value::Float(number)) if ty.is_number() => read_text(&text::format_float8(*number), ty),
        (SqlType::Array(element), Value::List(items)) => {
            let read = |item: &Value| if item.is_null() { Ok(Value::NULL) } else { read_json(item, element) };
            Ok(Value::List(items.iter().map(read).collect::<Result<_, _>>()?))
        }
        (SqlType::Date, Value::Timestamp(time)) => {
            let days = datetime::date_from_days(datetime::to_days(time)).map_err(|error| Trouble::of(&error))?;
            Ok(Value::Timestamp(days))
        }
        (SqlType::Timestamp | SqlType::TimestampTz, Value::Timestamp(time)) => {
            let made = datetime::from_micros(datetime::to_micros(time), *ty == SqlType::TimestampTz);
            made.map(Value::Timestamp).map_err(|error| Trouble::of(&error))
        }
        (ty, Value::String(written)) => read_text(written, ty),
        (ty, Value::Symbol(symbol)) => symbol.text().map_or_else(mismatch, |written| read_text(written, ty)),
        (ty, value) if ty.accepts(value) => Ok(value.clone()),
        _ => mismatch(),
    }
}

/// Types in the order in which they are tried; a column of nothing but NULLs is text.
const GUESSES: [SqlType; 8] = [
    SqlType::Bool,
    SqlType::Int8,
    SqlType::NUMERIC,
    SqlType::Float8,
    SqlType::Date,
    SqlType::Timestamp,
    SqlType::TimestampTz,
    SqlType::Uuid,
];

/// The columns of a table that takes these rows.
pub fn guess(rows: &[Row]) -> Described {
    let mut columns: Vec<(String, Vec<SqlType>, bool)> = Vec::new();
    for row in rows {
        let Cells::Texts(names, texts) = &row.cells else { continue };
        if columns.is_empty() {
            columns = names.iter().map(|name| (name.clone(), GUESSES.to_vec(), false)).collect();
        }
        for ((_, left, seen), written) in columns.iter_mut().zip(texts) {
            if let Some(written) = written {
                *seen = true;
                left.retain(|ty| is_written_as(written, ty));
            }
        }
    }
    let chosen = |(name, left, seen): (String, Vec<SqlType>, bool)| {
        let ty = if seen { left.into_iter().next() } else { None };
        (name, ty.unwrap_or(SqlType::Text))
    };
    Described { columns: columns.into_iter().map(chosen).collect() }
}

/// Whether a text is how a value of the type is usually written; input functions take more, such as `1` for true.
fn is_written_as(written: &str, ty: &SqlType) -> bool {
    let digits = written.strip_prefix('-').unwrap_or(written);
    // A number with zeros in front is a code: a zip, a telephone number.
    let is_code = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    let plain = match ty {
        SqlType::Bool => matches!(written, "true" | "false" | "t" | "f" | "TRUE" | "FALSE" | "True" | "False"),
        SqlType::Int8 => !is_code && digits.bytes().all(|byte| byte.is_ascii_digit()),
        SqlType::Numeric { .. } => {
            !is_code && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && !digits.ends_with('.')
        }
        SqlType::Float8 => !is_code && digits.starts_with(|c: char| c.is_ascii_digit()) && !digits.ends_with('.'),
        SqlType::Date => written.len() == 10,
        SqlType::Timestamp => written.len() >= 19 && !has_zone(written),
        SqlType::TimestampTz => written.len() >= 19 && has_zone(written),
        SqlType::Uuid => written.len() == 36,
        _ => false,
    };
    plain && written.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-') && text::parse(written, ty, 0).is_ok()
}

/// Whether `+02` or `Z` and the like stand behind a time.
fn has_zone(written: &str) -> bool {
    let time = written.get(19..).unwrap_or_default();
    time.contains(['+', '-', 'Z', 'z'])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ledgerstone_digest::ion;

    use super::super::source::Place;
    use super::*;

    fn guessed(texts: &[&str]) -> String {
        let names: Arc<[String]> = Arc::from(["c".to_owned()]);
        let row = |text: &&str| {
            let text = Some((*text).to_owned()).filter(|text| text != "NULL");
            Row { place: Place::Line(1), cells: Cells::Texts(Arc::clone(&names), vec![text]) }
        };
        guess(&texts.iter().map(row).collect::<Vec<_>>()).columns[0].1.to_string()
    }

    #[test]
    fn types_are_guessed_from_all_texts_of_a_column() {
        for (texts, expected) in [
            (vec!["true", "false", "NULL"], "boolean"),
            (vec!["1", "-5", "NULL"], "bigint"),
            (vec!["1", "0"], "bigint"),
            (vec!["1", "2.50"], "numeric"),
            (vec!["99999999999999999999"], "numeric"),
            (vec!["1", "1e5"], "double precision"),
            (vec!["01234", "1"], "text"),
            (vec!["2020-01-31"], "date"),
            (vec!["2020-01-31", "2020-13-31"], "text"),
            (vec!["2020-01-31 10:00:00", "2020-01-31T10:00:00.5"], "timestamp without time zone"),
            (vec!["2020-01-31T10:00:00Z", "2020-01-31 10:00:00+02"], "timestamp with time zone"),
            (vec!["00112233-4455-6677-8899-aabbccddeeff"], "uuid"),
            (vec!["NULL"], "text"),
            (vec![""], "text"),
            (vec!["1", "x"], "text"),
        ] {
            assert_eq!(guessed(&texts), expected, "{texts:?}");
        }
    }

    #[test]
    fn values_are_made_into_the_types_of_columns_or_refused_with_their_text() {
        let columns = [
            ("id", "integer"),
            ("m", "numeric(10,2)"),
            ("t", "text"),
            ("d", "date"),
            ("a", "integer[]"),
            ("j", "jsonb"),
            ("i", "interval"),
        ];
        let columns = columns.map(|(name, ty)| (name.to_owned(), SqlType::from_text(ty).unwrap())).to_vec();
        let target = Target::new(Described { columns }, vec![("ID".into(), "id".into())], vec!["x".into()]);
        let of = |text: &str| {
            let value = ion::parse(text, &ion::Limits::DOCUMENT).unwrap();
            let row = Row { place: Place::Line(7), cells: Cells::Document(value) };
            target.document(row).map(|value| ion::to_text(&value)).map_err(|trouble| trouble.to_string())
        };
        let made =
            of("{ID: 5, m: 1.5, t: \"x\", d: \"2020-01-31\", a: [1, null], j: {b: 1}, i: \"26 hours\", x: 9}").unwrap();
        assert_eq!(made, "{id:5,m:1.50,t:\"x\",d:2020-01-31T,a:[1,null],j:{b:1},i:\"26:00:00\"}");
        assert_eq!(of("{id: null, m: \"2\"}").unwrap(), "{m:2.00}");
        for (text, expected) in [
            ("{id: \"abc\"}", ", line 7, column id: invalid input syntax for type integer: \"abc\"; the text is"),
            ("{t: 5}", ", line 7, column t: an Ion int cannot be a text"),
            ("{d: \"2020-02-31\"}", ", line 7, column d: "),
            ("{nix: 5}", ", line 7: the table has no column nix\nIt has id, m, t, d, a, j, i. Use --map nix=COLUMN"),
            ("5", ", line 7: an Ion int is no row"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
