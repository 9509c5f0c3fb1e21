//! Rows as JSON and as Ion, by what the server says its columns are: numbers stay numbers, digit by digit.

use ledgerstone_digest::ion::{Limits, Struct, Value, parse, to_text};
use tokio_postgres::types::Type;

/// The one column of a statement that gives whole documents.
const DOCUMENT: &str = "_1";

/// What a column holds, as far as JSON and Ion are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    Integer,
    Decimal,
    Float,
    /// JSON.
    Document,
    Text,
    /// The statement was one of several, and nothing is known of its columns.
    Unknown,
}

impl Kind {
    pub fn of(column: &Type) -> Kind {
        match *column {
            Type::BOOL => Kind::Boolean,
            Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => Kind::Integer,
            Type::NUMERIC => Kind::Decimal,
            Type::FLOAT4 | Type::FLOAT8 => Kind::Float,
            Type::JSON | Type::JSONB => Kind::Document,
            _ => Kind::Text,
        }
    }
}

/// A row as one JSON object. Documents and numbers stay as the server wrote them.
pub fn json(columns: &[String], kinds: &[Kind], row: &[Option<String>]) -> String {
    let cells = cells(kinds, row).map(|(kind, text)| json_cell(kind, text));
    if columns == [DOCUMENT] {
        return cells.collect();
    }
    let fields: Vec<String> =
        columns.iter().zip(cells).map(|(name, value)| format!("{}: {value}", quoted(name))).collect();
    format!("{{{}}}", fields.join(", "))
}

/// A row as an Ion struct.
pub fn ion(columns: &[String], kinds: &[Kind], row: &[Option<String>]) -> String {
    let mut cells = cells(kinds, row).map(|(kind, text)| ion_cell(kind, text));
    if columns == [DOCUMENT] {
        return to_text(&cells.next().unwrap_or(Value::NULL));
    }
    to_text(&Value::Struct(Struct::from_fields(columns.iter().map(String::as_str).zip(cells))))
}

fn cells<'a>(kinds: &'a [Kind], row: &'a [Option<String>]) -> impl Iterator<Item = (Kind, Option<&'a str>)> {
    let known = kinds.iter().copied().chain(std::iter::repeat(Kind::Unknown));
    known.zip(row.iter().map(Option::as_deref))
}

fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

fn json_cell(kind: Kind, text: Option<&str>) -> String {
    let Some(text) = text else { return "null".to_owned() };
    let is_json = || serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let as_it_is = match kind {
        Kind::Boolean => return (text == "t").to_string(),
        // NaN and Infinity are no numbers of JSON.
        Kind::Integer | Kind::Decimal | Kind::Float | Kind::Document => is_json(),
        Kind::Text => false,
        Kind::Unknown => text.starts_with(['{', '[']) && is_json(),
    };
    if as_it_is { text.to_owned() } else { quoted(text) }
}

fn ion_cell(kind: Kind, text: Option<&str>) -> Value {
    let Some(text) = text else { return Value::NULL };
    let parsed = |text: &str| parse(text, &Limits::DOCUMENT).ok();
    let value = match kind {
        Kind::Boolean => Some(Value::Bool(text == "t")),
        Kind::Integer | Kind::Document => parsed(text),
        // An integer's text is a decimal's if a point follows it, and a float's if an exponent does.
        Kind::Decimal if text.contains('.') => parsed(text),
        Kind::Decimal => parsed(&format!("{text}.")),
        Kind::Float => match text {
            "NaN" => parsed("nan"),
            "Infinity" => parsed("+inf"),
            "-Infinity" => parsed("-inf"),
            _ if text.contains('e') => parsed(text),
            _ => parsed(&format!("{text}e0")),
        },
        Kind::Text => None,
        Kind::Unknown if text.starts_with(['{', '[']) => parsed(text),
        Kind::Unknown => None,
    };
    value.unwrap_or_else(|| Value::string(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn row(cells: &[Option<&str>]) -> Vec<Option<String>> {
        cells.iter().map(|cell| cell.map(str::to_owned)).collect()
    }

    #[test]
    fn a_row_of_an_unknown_statement_has_documents_and_texts() {
        let columns = columns(&["a", "doc", "none"]);
        let row = row(&[Some("x\"y"), Some("{\"k\": [1.50, null]}"), None]);
        assert_eq!(json(&columns, &[], &row), r#"{"a": "x\"y", "doc": {"k": [1.50, null]}, "none": null}"#);
        assert_eq!(ion(&columns, &[], &row), "{a:\"x\\\"y\",doc:{k:[1.50,null]},none:null}");
    }

    #[test]
    fn a_whole_document_stands_for_itself() {
        let row = row(&[Some("{\"k\": 1.50}")]);
        assert_eq!(json(&columns(&["_1"]), &[Kind::Document], &row), "{\"k\": 1.50}");
        assert_eq!(ion(&columns(&["_1"]), &[Kind::Document], &row), "{k:1.50}");
    }

    #[test]
    fn numbers_stay_numbers_and_texts_that_look_like_them_stay_texts() {
        use Kind::{Boolean, Decimal, Document, Float, Integer, Text};
        let kinds = [Integer, Decimal, Decimal, Float, Float, Boolean, Text, Text, Document];
        let columns = columns(&["i", "d", "w", "f", "n", "b", "t", "l", "s"]);
        let cells = ["7", "12345678901234567.890", "100", "0.5", "NaN", "t", "7", "[1]", "\"x\""];
        let row = row(&cells.map(Some));
        assert_eq!(
            json(&columns, &kinds, &row),
            r#"{"i": 7, "d": 12345678901234567.890, "w": 100, "f": 0.5, "n": "NaN", "b": true, "t": "7", "l": "[1]", "s": "x"}"#
        );
        assert_eq!(
            ion(&columns, &kinds, &row),
            r#"{i:7,d:12345678901234567.890,w:100.,f:5e-1,n:nan,b:true,t:"7",l:"[1]",s:"x"}"#
        );
    }
}
