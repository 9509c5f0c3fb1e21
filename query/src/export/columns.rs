//! Typed columns of an export: which type a field gets, and the value of a typed column from the Ion value.
//!
//! A typed column is a convenience for analytics; the Ion value beside it is what was hashed. Both the writer and the
//! verifier derive the column from that value with [`ColumnKind::derive`], so an edited column cannot pass.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ledgerstone_digest::ion::{Decimal, Int, IonType, Precision, Struct, Text, Timestamp, Value};
use serde::{Deserialize, Serialize};

/// Fields beyond this many per table stay in the Ion value only.
pub const TYPED_COLUMNS_MAX: usize = 512;
/// The digits an Arrow decimal can hold.
const DECIMAL_DIGITS_MAX: u32 = 38;

/// The type of a typed column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ColumnKind {
    Bool,
    /// 64 bits, signed.
    Int,
    Float,
    /// 38 digits with this many after the point.
    Decimal {
        scale: u8,
    },
    Text,
    /// A timestamp of day precision.
    Date,
    /// A timestamp with a known offset and at most six fraction digits, as microseconds UTC.
    TimestampMicros,
    Bytes,
    /// Lists and structs, and fields of mixed types: JSON text, null where JSON has no such value.
    Json,
}

/// A typed column of one table: a top-level field of its documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypedColumn {
    /// The column's name in the Parquet file.
    pub column: String,
    /// The Ion path it is derived from: one top-level field.
    pub path: Vec<String>,
    pub kind: ColumnKind,
}

/// The value of a typed column in one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// The unscaled value; the scale is the column's.
    Decimal(i128),
    Text(Text),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    TimestampMicros(i64),
    Bytes(Arc<[u8]>),
}

impl ColumnKind {
    /// The column's value in a document; null when the field is missing, null, or has no such form.
    pub fn derive(self, document: &Struct, field: &str) -> Cell {
        document.get(field).map_or(Cell::Null, |value| self.of(value))
    }

    /// A field's value in the column. Nothing is cut off to make it fit: what the column cannot hold is null.
    pub fn of(self, value: &Value) -> Cell {
        match (self, value) {
            (_, Value::Null(_)) => Cell::Null,
            (ColumnKind::Bool, Value::Bool(b)) => Cell::Bool(*b),
            (ColumnKind::Int, Value::Int(Int::Small(i))) => Cell::Int(*i),
            (ColumnKind::Float, Value::Float(f)) => Cell::Float(*f),
            (ColumnKind::Decimal { scale }, value) => {
                as_decimal(value).and_then(|d| unscaled(&d, scale)).map_or(Cell::Null, Cell::Decimal)
            }
            (ColumnKind::Text, Value::String(s)) => Cell::Text(s.clone()),
            (ColumnKind::Text, Value::Symbol(s)) => s.kept().map_or(Cell::Null, |s| Cell::Text(s.clone())),
            (ColumnKind::Date, Value::Timestamp(t)) if Seen::timestamp(t) == Seen::Date => {
                Cell::Date((t.epoch_seconds().div_euclid(86_400)) as i32)
            }
            (ColumnKind::TimestampMicros, Value::Timestamp(t)) if Seen::timestamp(t) == Seen::TimestampMicros => {
                Cell::TimestampMicros(t.epoch_micros())
            }
            (ColumnKind::Bytes, Value::Blob(b) | Value::Clob(b)) => Cell::Bytes(b.clone()),
            (ColumnKind::Json, value) => {
                let mut text = String::new();
                if write_json(value, &mut text).is_some() { Cell::Text(text.into()) } else { Cell::Null }
            }
            _ => Cell::Null,
        }
    }
}

impl Cell {
    /// The same to every reader: floats bit by bit, but a NaN is a NaN.
    pub fn same(&self, other: &Cell) -> bool {
        match (self, other) {
            (Cell::Float(a), Cell::Float(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
            (a, b) => a == b,
        }
    }
}

/// Watches the documents of one table and says which columns it gets.
#[derive(Debug, Default)]
pub struct Observer {
    fields: Vec<(Text, Option<Seen>)>,
    places: HashMap<Text, usize>,
}

/// What a field has been so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Bool,
    Int,
    Float,
    /// The most digits before the point, the most after it.
    Decimal {
        whole: u32,
        scale: u32,
    },
    Text,
    Date,
    TimestampMicros,
    Bytes,
    Mixed,
}

impl Observer {
    /// Takes in one revision's data.
    pub fn observe(&mut self, document: &Struct, hidden: &str) {
        for (name, value) in &document.fields {
            let Some(name) = name.kept() else { continue };
            if &**name == hidden {
                continue;
            }
            let place = match self.places.get(name) {
                Some(place) => *place,
                None if self.fields.len() == TYPED_COLUMNS_MAX => continue,
                None => {
                    self.places.insert(name.clone(), self.fields.len());
                    self.fields.push((name.clone(), None));
                    self.fields.len() - 1
                }
            };
            let seen = &mut self.fields[place].1;
            if !matches!(value, Value::Null(_)) {
                let now = Seen::of(value);
                *seen = Some(seen.map_or(now, |before| before.join(now)));
            }
        }
    }

    /// The columns, in the order in which their fields were first seen.
    pub fn columns(&self, taken: &[&str]) -> Vec<TypedColumn> {
        let names = column_names(self.fields.iter().map(|(name, _)| &**name), taken);
        let columns = self.fields.iter().zip(names).map(|((name, seen), column)| TypedColumn {
            column,
            path: vec![name.to_string()],
            kind: seen.unwrap_or(Seen::Mixed).kind(),
        });
        columns.collect()
    }
}

/// The names of the columns for these fields. Names that differ in case only, which many readers cannot tell apart, get
/// a number; so do names that are ours.
pub fn column_names<'a>(fields: impl Iterator<Item = &'a str>, taken: &[&str]) -> Vec<String> {
    let mut names: HashSet<String> = taken.iter().map(|t| t.to_ascii_lowercase()).collect();
    let name = |field: &str| {
        let mut column = field.to_owned();
        let mut n = 2;
        while !names.insert(column.to_ascii_lowercase()) {
            column = format!("{field}_{n}");
            n += 1;
        }
        column
    };
    fields.map(name).collect()
}

impl Seen {
    fn of(value: &Value) -> Seen {
        match value {
            Value::Bool(_) => Seen::Bool,
            Value::Int(Int::Small(_)) => Seen::Int,
            Value::Float(_) => Seen::Float,
            Value::Decimal(d) if !d.is_negative_zero() => Seen::decimal(d),
            Value::String(_) => Seen::Text,
            Value::Symbol(s) if s.text().is_some() => Seen::Text,
            Value::Timestamp(t) => Seen::timestamp(t),
            Value::Blob(_) | Value::Clob(_) => Seen::Bytes,
            _ => Seen::Mixed,
        }
    }

    fn decimal(decimal: &Decimal) -> Seen {
        let Some(coefficient) = decimal.coefficient().to_i128() else { return Seen::Mixed };
        let digits = coefficient.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
        let exponent = decimal.exponent();
        let (whole, scale) = if exponent >= 0 {
            (digits.saturating_add(exponent.unsigned_abs()), 0)
        } else {
            (digits.saturating_sub(exponent.unsigned_abs()), exponent.unsigned_abs())
        };
        if whole.saturating_add(scale) > DECIMAL_DIGITS_MAX { Seen::Mixed } else { Seen::Decimal { whole, scale } }
    }

    fn timestamp(timestamp: &Timestamp) -> Seen {
        match timestamp.precision {
            Precision::Day => Seen::Date,
            Precision::Minute | Precision::Second
                if timestamp.offset_minutes.is_some() && timestamp.fraction.digits() <= 6 =>
            {
                Seen::TimestampMicros
            }
            _ => Seen::Mixed,
        }
    }

    fn join(self, other: Seen) -> Seen {
        match (self, other) {
            (a, b) if a == b => a,
            (Seen::Decimal { whole: a, scale: b }, Seen::Decimal { whole: c, scale: d }) => {
                let (whole, scale) = (a.max(c), b.max(d));
                if whole + scale > DECIMAL_DIGITS_MAX { Seen::Mixed } else { Seen::Decimal { whole, scale } }
            }
            // An integer of 64 bits has up to 19 digits.
            (Seen::Int, Seen::Decimal { whole, scale }) | (Seen::Decimal { whole, scale }, Seen::Int) => {
                Seen::Decimal { whole: whole.max(19), scale }.join(Seen::Decimal { whole: 19, scale })
            }
            _ => Seen::Mixed,
        }
    }

    fn kind(self) -> ColumnKind {
        match self {
            Seen::Bool => ColumnKind::Bool,
            Seen::Int => ColumnKind::Int,
            Seen::Float => ColumnKind::Float,
            Seen::Decimal { scale, .. } => ColumnKind::Decimal { scale: scale as u8 },
            Seen::Text => ColumnKind::Text,
            Seen::Date => ColumnKind::Date,
            Seen::TimestampMicros => ColumnKind::TimestampMicros,
            Seen::Bytes => ColumnKind::Bytes,
            Seen::Mixed => ColumnKind::Json,
        }
    }
}

fn as_decimal(value: &Value) -> Option<Decimal> {
    match value {
        // A column of decimals has one zero.
        Value::Decimal(d) if !d.is_negative_zero() => Some(d.clone()),
        Value::Int(i) => Some(Decimal::new(i.clone(), 0)),
        _ => None,
    }
}

/// The coefficient at this scale, if it is exact and has at most 38 digits.
fn unscaled(decimal: &Decimal, scale: u8) -> Option<i128> {
    let shift = i64::from(decimal.exponent()) + i64::from(scale);
    let coefficient = decimal.coefficient().to_i128()?;
    let factor = 10i128.checked_pow(u32::try_from(shift).ok()?)?;
    let unscaled = coefficient.checked_mul(factor)?;
    (unscaled.unsigned_abs() < 10u128.pow(DECIMAL_DIGITS_MAX)).then_some(unscaled)
}

/// JSON text of a value; `None` when JSON has no such value. Decimals keep their digits; timestamps are Ion text.
fn write_json(value: &Value, out: &mut String) -> Option<()> {
    match value {
        Value::Null(IonType::Null) => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(i) => out.push_str(&i.to_bigint().to_string()),
        Value::Float(f) if f.is_finite() => out.push_str(&serde_json::to_string(f).ok()?),
        Value::Decimal(d) => write_json_decimal(d, out)?,
        Value::String(s) => out.push_str(&serde_json::to_string(&**s).ok()?),
        Value::Symbol(s) => out.push_str(&serde_json::to_string(s.text()?).ok()?),
        Value::Timestamp(t) => {
            let text = ledgerstone_digest::ion::to_text(value);
            // Ion allows a day with and without its T; other tools expect it without.
            let text = if t.precision == Precision::Day { text.trim_end_matches('T') } else { &text };
            out.push_str(&serde_json::to_string(text).ok()?);
        }
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(item, out)?;
            }
            out.push(']');
        }
        Value::Struct(fields) => {
            out.push('{');
            let mut names = HashSet::with_capacity(fields.len());
            for (i, (name, field)) in fields.fields.iter().enumerate() {
                let name = name.text()?;
                if !names.insert(name) {
                    return None;
                }
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(name).ok()?);
                out.push(':');
                write_json(field, out)?;
            }
            out.push('}');
        }
        _ => return None,
    }
    Some(())
}

/// Plain digits while that is short, otherwise with an exponent.
fn write_json_decimal(decimal: &Decimal, out: &mut String) -> Option<()> {
    let digits = decimal.coefficient().to_bigint().magnitude().to_string();
    if decimal.is_negative() || decimal.is_negative_zero() {
        out.push('-');
    }
    let exponent = i64::from(decimal.exponent());
    match exponent {
        0 => out.push_str(&digits),
        -64..0 => {
            let point = digits.len() as i64 + exponent;
            if point > 0 {
                let (whole, fraction) = digits.split_at(point as usize);
                out.push_str(&format!("{whole}.{fraction}"));
            } else {
                out.push_str(&format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)));
            }
        }
        _ => out.push_str(&format!("{digits}e{exponent}")),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledgerstone_digest::ion::{Limits, parse};

    fn document(text: &str) -> Struct {
        match parse(text, &Limits::DOCUMENT).expect("test data") {
            Value::Struct(s) => s,
            other => panic!("{other:?}"),
        }
    }

    fn column_of(texts: &[&str]) -> (TypedColumn, Vec<Cell>) {
        let documents: Vec<Struct> = texts.iter().map(|t| document(&format!("{{a: {t}}}"))).collect();
        let mut observer = Observer::default();
        documents.iter().for_each(|d| observer.observe(d, "_ql_salt"));
        let column = observer.columns(&[]).remove(0);
        let cells = documents.iter().map(|d| column.kind.derive(d, "a")).collect();
        (column, cells)
    }

    #[test]
    fn decimals_of_several_scales_share_the_largest() {
        let (column, cells) = column_of(&["1.5", "2.25", "null", "-3."]);
        assert_eq!(column.kind, ColumnKind::Decimal { scale: 2 });
        assert_eq!(cells, [Cell::Decimal(150), Cell::Decimal(225), Cell::Null, Cell::Decimal(-300)]);
    }

    #[test]
    fn integers_and_decimals_become_decimals() {
        let (column, cells) = column_of(&["7", "2.25"]);
        assert_eq!(column.kind, ColumnKind::Decimal { scale: 2 });
        assert_eq!(cells, [Cell::Decimal(700), Cell::Decimal(225)]);
    }

    #[test]
    fn mixed_types_become_json() {
        let (column, cells) = column_of(&["1", "\"x\"", "{b: [1.50, null, 2020-01-01T]}", "{{aGVsbG8=}}"]);
        assert_eq!(column.kind, ColumnKind::Json);
        let text = |t: &str| Cell::Text(t.into());
        assert_eq!(cells, [text("1"), text("\"x\""), text(r#"{"b":[1.50,null,"2020-01-01"]}"#), Cell::Null]);
    }

    #[test]
    fn dates_and_times_are_told_apart() {
        let (column, cells) = column_of(&["2020-01-02T", "1969-12-31T"]);
        assert_eq!((column.kind, &cells[..]), (ColumnKind::Date, &[Cell::Date(18_263), Cell::Date(-1)][..]));
        let (column, cells) = column_of(&["2020-01-01T00:00:01.5Z", "2020-01-01T01:00+01:00"]);
        assert_eq!(column.kind, ColumnKind::TimestampMicros);
        assert_eq!(cells, [Cell::TimestampMicros(1_577_836_801_500_000), Cell::TimestampMicros(1_577_836_800_000_000)]);
    }

    #[test]
    fn names_that_differ_in_case_only_are_numbered() {
        let mut observer = Observer::default();
        observer.observe(&document("{Vin: 1, vin: 2, _ql_position: 3, _ql_salt: 4}"), "_ql_salt");
        let names: Vec<String> = observer.columns(&["_ql_position"]).into_iter().map(|c| c.column).collect();
        assert_eq!(names, ["Vin", "vin_2", "_ql_position_2"]);
    }
}
