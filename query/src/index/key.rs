//! Index keys: Ion values as bytes whose order, compared as bytes, is the order of the values.
//!
//! The order is total, over all types together (lowest first): booleans, numbers, timestamps, the symbol of unknown
//! text, text (strings and symbols alike, by bytes), bytes (blobs and clobs alike), lists, s-expressions, structs, null
//! (of any type), missing. So nulls sort last, as in PostgreSQL. Inside a type:
//!
//! - Numbers compare by value whatever their type: `1`, `1.00` and `1e0` are one key. A float stands for its shortest
//!   decimal that reads back as the same float, so `0.1e0` equals `0.1`. Infinities lie outside all numbers, NaN is
//!   equal to itself and above everything, as in PostgreSQL. Zeros are all equal.
//! - Timestamps compare by the instant they begin: precision and offset do not count.
//! - Containers compare element by element, a prefix first; structs by their fields sorted by name, then value.
//! - Annotations do not count.
//!
//! [`compare`] is the same order computed on values; tests hold the two against each other.

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

use ledgerstone_digest::ion::{Decimal, Int, Struct, Symbol, Timestamp, Value};

/// The longest key an index holds, in bytes; longer ones are refused with a named error.
pub const KEY_BYTES_MAX: usize = 8 << 10;

/// Containers inside each other that a key follows; deeper ones compare equal from there.
const DEPTH_MAX: u32 = 128;

const TAG_END: u8 = 0x00;
const TAG_BOOL: u8 = 0x08;
const TAG_NUMBER: u8 = 0x10;
const TAG_TIMESTAMP: u8 = 0x18;
const TAG_SYMBOL_UNKNOWN: u8 = 0x1f;
const TAG_TEXT: u8 = 0x20;
const TAG_BYTES: u8 = 0x28;
const TAG_LIST: u8 = 0x30;
const TAG_SEXP: u8 = 0x38;
const TAG_STRUCT: u8 = 0x40;
const TAG_NULL: u8 = 0xf0;
const TAG_MISSING: u8 = 0xf8;

/// One or more values as bytes. A key of fewer values than its index has is a prefix and means every key that begins so.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// The key of these values; `None` is MISSING.
    pub fn of<'a>(values: impl IntoIterator<Item = Option<&'a Value>>) -> Key {
        let mut out = Vec::with_capacity(32);
        for value in values {
            encode(value, &mut out);
        }
        Key(out.into())
    }

    /// The key of one value.
    pub fn one(value: &Value) -> Key {
        Key::of([Some(value)])
    }

    /// The key of which these are the bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Key {
        Key(bytes.into())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A key as [`Key::as_bytes`] gave it.
    pub(crate) fn from_stored(bytes: &[u8]) -> Key {
        Key(bytes.into())
    }

    /// Whether `other` begins with all of this key.
    pub fn is_prefix_of(&self, other: &Key) -> bool {
        other.0.starts_with(&self.0)
    }

    /// Whether none of its values is null or missing.
    pub fn is_complete(&self) -> bool {
        let mut start = 0;
        let mut complete = true;
        value_ends(&self.0, |end| {
            complete &= !matches!(self.0.get(start), Some(&(TAG_NULL | TAG_MISSING)));
            start = end;
        });
        complete
    }

    /// Longer than an index holds.
    pub fn is_too_long(&self) -> bool {
        self.0.len() > KEY_BYTES_MAX
    }

    /// A key that no encoded key equals: after every key that begins with this one, before every other larger one.
    pub(crate) fn after_prefix(&self) -> Key {
        // No encoded value begins with 0xff, so appending it passes everything this key is a prefix of.
        let mut bytes = self.0.to_vec();
        bytes.push(0xff);
        Key(bytes.into())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(")?;
        for byte in self.0.iter() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// Bounds over values turned into half-open bounds over bytes: an included bound takes in every key it is a prefix of,
/// an excluded one none of them.
pub(crate) fn byte_bounds(low: &Bound<Key>, high: &Bound<Key>) -> (Key, Option<Key>) {
    let low = match low {
        Bound::Unbounded => Key(Arc::from([])),
        Bound::Included(k) => k.clone(),
        Bound::Excluded(k) => k.after_prefix(),
    };
    let high = match high {
        Bound::Unbounded => None,
        Bound::Included(k) => Some(k.after_prefix()),
        Bound::Excluded(k) => Some(k.clone()),
    };
    (low, high)
}

/// Appends the key of one value; `None` is MISSING.
pub fn encode(value: Option<&Value>, out: &mut Vec<u8>) {
    match value {
        None => out.push(TAG_MISSING),
        Some(value) => encode_value(value, out, 0),
    }
}

/// Tells where each value of a key ends. What is no key ends at its end.
pub(crate) fn value_ends(key: &[u8], mut each: impl FnMut(usize)) {
    let mut at = 0;
    while at < key.len() {
        at = match key.get(at..).and_then(|rest| value_length(rest, 0)) {
            Some(length) if length > 0 => (at + length).min(key.len()),
            _ => key.len(),
        };
        each(at);
    }
}

/// How many bytes the first value takes.
fn value_length(key: &[u8], depth: u32) -> Option<usize> {
    let (tag, rest) = key.split_first()?;
    if depth > DEPTH_MAX {
        return Some(1);
    }
    let until = |bytes: &[u8], end: u8| bytes.iter().position(|b| *b == end).map(|at| at + 1);
    Some(match *tag {
        TAG_BOOL => 2,
        TAG_NUMBER => match *rest.first()? {
            sign @ (0x20 | 0x40) => {
                let (exponent, end) = if sign == 0x20 { (!*rest.get(1)?, 0xff) } else { (*rest.get(1)?, 0) };
                let digits = 2 + if matches!(exponent, 0x01 | 0xfe) { 9 } else { 1 };
                digits + until(key.get(digits..)?, end)?
            }
            _ => 2,
        },
        TAG_TIMESTAMP => 9 + until(key.get(9..)?, 0)?,
        TAG_TEXT | TAG_BYTES => 1 + bytes_length(rest)?,
        TAG_LIST | TAG_SEXP => {
            let mut at = 1;
            while *key.get(at)? != TAG_END {
                at += value_length(key.get(at..)?, depth + 1)?;
            }
            at + 1
        }
        TAG_STRUCT => {
            let mut at = 1;
            while *key.get(at)? != TAG_END {
                at += 1 + bytes_length(key.get(at + 1..)?)?;
                at += value_length(key.get(at..)?, depth + 1)?;
            }
            at + 1
        }
        _ => 1,
    })
}

/// How many bytes [`encode_bytes`] made.
fn bytes_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == [0, 1]).map(|at| at + 2)
}

/// The order of keys, computed on the values.
pub fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => compare_values(a, b, 0),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

/// Whether two values are one key: SQL's `=` on anything but nulls.
pub fn equal(a: &Value, b: &Value) -> bool {
    compare_values(a, b, 0) == Ordering::Equal
}

fn tag_of(value: &Value) -> u8 {
    match value.unannotated() {
        Value::Null(_) | Value::Annotated(_) => TAG_NULL,
        Value::Bool(_) => TAG_BOOL,
        Value::Int(_) | Value::Float(_) | Value::Decimal(_) => TAG_NUMBER,
        Value::Timestamp(_) => TAG_TIMESTAMP,
        Value::Symbol(s) if s.text().is_none() => TAG_SYMBOL_UNKNOWN,
        Value::Symbol(_) | Value::String(_) => TAG_TEXT,
        Value::Clob(_) | Value::Blob(_) => TAG_BYTES,
        Value::List(_) => TAG_LIST,
        Value::Sexp(_) => TAG_SEXP,
        Value::Struct(_) => TAG_STRUCT,
    }
}

fn encode_value(value: &Value, out: &mut Vec<u8>, depth: u32) {
    out.push(tag_of(value));
    if depth > DEPTH_MAX {
        return;
    }
    match value.unannotated() {
        Value::Null(_) | Value::Annotated(_) => {}
        Value::Bool(b) => out.push(u8::from(*b)),
        Value::Int(_) | Value::Float(_) | Value::Decimal(_) => Number::of(value.unannotated()).encode(out),
        Value::Timestamp(t) => Instant::of(t).encode(out),
        Value::Symbol(s) => {
            if let Some(text) = s.text() {
                encode_bytes(text.as_bytes(), out);
            }
        }
        Value::String(s) => encode_bytes(s.as_bytes(), out),
        Value::Clob(b) | Value::Blob(b) => encode_bytes(b, out),
        Value::List(items) | Value::Sexp(items) => {
            for item in items {
                encode_value(item, out, depth + 1);
            }
            out.push(TAG_END);
        }
        Value::Struct(fields) => {
            for (name, value) in sorted_fields(fields) {
                out.push(1);
                encode_bytes(name.text().unwrap_or("").as_bytes(), out);
                encode_value(value, out, depth + 1);
            }
            out.push(TAG_END);
        }
    }
}

fn compare_values(a: &Value, b: &Value, depth: u32) -> Ordering {
    let (tag, other) = (tag_of(a), tag_of(b));
    if tag != other || depth > DEPTH_MAX {
        return tag.cmp(&other);
    }
    match (a.unannotated(), b.unannotated()) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(Int::Small(a)), Value::Int(Int::Small(b))) => a.cmp(b),
        (Value::Timestamp(a), Value::Timestamp(b)) => Instant::of(a).cmp(&Instant::of(b)),
        (Value::List(a) | Value::Sexp(a), Value::List(b) | Value::Sexp(b)) => compare_lists(a, b, depth),
        (Value::Struct(a), Value::Struct(b)) => compare_structs(a, b, depth),
        (Value::Clob(a) | Value::Blob(a), Value::Clob(b) | Value::Blob(b)) => a.cmp(b),
        (a, b) if tag == TAG_NUMBER => Number::of(a).cmp(&Number::of(b)),
        (a, b) if tag == TAG_TEXT => a.as_text().unwrap_or("").as_bytes().cmp(b.as_text().unwrap_or("").as_bytes()),
        _ => Ordering::Equal,
    }
}

fn compare_lists(a: &[Value], b: &[Value], depth: u32) -> Ordering {
    for (a, b) in a.iter().zip(b) {
        let order = compare_values(a, b, depth + 1);
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

fn compare_structs(a: &Struct, b: &Struct, depth: u32) -> Ordering {
    let (a, b) = (sorted_fields(a), sorted_fields(b));
    for ((name_a, a), (name_b, b)) in a.iter().zip(&b) {
        let names = name_a.text().unwrap_or("").as_bytes().cmp(name_b.text().unwrap_or("").as_bytes());
        let order = names.then_with(|| compare_values(a, b, depth + 1));
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

fn sorted_fields(fields: &Struct) -> Vec<(&Symbol, &Value)> {
    let mut sorted: Vec<(&Symbol, &Value)> = fields.fields.iter().map(|(n, v)| (n, v)).collect();
    sorted.sort_by(|(name_a, a), (name_b, b)| {
        let names = name_a.text().unwrap_or("").as_bytes().cmp(name_b.text().unwrap_or("").as_bytes());
        // Repeated names are rare; only then do the values decide.
        names.then_with(|| compare_values(a, b, DEPTH_MAX - 8))
    });
    sorted
}

/// Bytes so that a prefix sorts first and nothing encoded is a prefix of anything else: 0x00 becomes 0x00 0xff, the end
/// is 0x00 0x01.
fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 1]);
}

/// A number as a sign, a decimal exponent and significant digits without zeros at either end: 0.d₁d₂… × 10^exponent.
#[derive(Debug, PartialEq, Eq)]
enum Number {
    NegativeInfinity,
    Finite { negative: bool, exponent: i64, digits: Vec<u8> },
    Infinity,
    Nan,
}

impl Number {
    fn of(value: &Value) -> Number {
        match value {
            Value::Int(Int::Small(i)) => Number::from_digits(*i < 0, &i.unsigned_abs().to_string(), 0),
            Value::Int(Int::Big(i)) => Number::from_text(&i.to_string(), 0),
            Value::Decimal(d) => Number::of_decimal(d),
            Value::Float(f) => Number::of_float(*f),
            _ => Number::from_digits(false, "0", 0),
        }
    }

    fn of_decimal(decimal: &Decimal) -> Number {
        let exponent = i64::from(decimal.exponent());
        match decimal.coefficient() {
            Int::Small(i) => Number::from_digits(*i < 0, &i.unsigned_abs().to_string(), exponent),
            Int::Big(i) => Number::from_text(&i.to_string(), exponent),
        }
    }

    fn of_float(float: f64) -> Number {
        if float.is_nan() {
            return Number::Nan;
        }
        if float.is_infinite() {
            return if float > 0.0 { Number::Infinity } else { Number::NegativeInfinity };
        }
        // The shortest digits that read back: "1.5e-7".
        let text = format!("{:e}", float.abs());
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent: i64 = exponent.parse().unwrap_or(0);
        Number::from_digits(float < 0.0, &format!("{whole}{fraction}"), exponent - fraction.len() as i64)
    }

    fn from_text(text: &str, exponent: i64) -> Number {
        match text.strip_prefix('-') {
            Some(digits) => Number::from_digits(true, digits, exponent),
            None => Number::from_digits(false, text, exponent),
        }
    }

    /// `digits × 10^exponent`.
    fn from_digits(negative: bool, digits: &str, exponent: i64) -> Number {
        let significant = digits.trim_start_matches('0');
        let exponent = exponent + significant.len() as i64;
        let significant = significant.trim_end_matches('0');
        let zero = significant.is_empty();
        Number::Finite {
            negative: negative && !zero,
            exponent: if zero { 0 } else { exponent },
            digits: significant.bytes().map(|b| b - b'0').collect(),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Number::NegativeInfinity => out.push(0x10),
            Number::Infinity => out.push(0x50),
            Number::Nan => out.push(0x60),
            Number::Finite { digits, .. } if digits.is_empty() => out.push(0x30),
            Number::Finite { negative, exponent, digits } => {
                out.push(if *negative { 0x20 } else { 0x40 });
                let start = out.len();
                encode_exponent(*exponent, out);
                // Two digits in a byte from 0x02 up, so that the end, 0x00, sorts before any digit.
                for pair in digits.chunks(2) {
                    out.push(2 + pair[0] * 10 + pair.get(1).copied().unwrap_or(0));
                }
                out.push(0);
                if *negative {
                    out[start..].iter_mut().for_each(|b| *b = !*b);
                }
            }
        }
    }
}

/// One byte for exponents near zero, nine for the others.
fn encode_exponent(exponent: i64, out: &mut Vec<u8>) {
    match exponent {
        -100..=100 => out.push((0x80 + exponent) as u8),
        e => {
            out.push(if e < 0 { 0x01 } else { 0xfe });
            out.extend_from_slice(&((e as u64) ^ (1 << 63)).to_be_bytes());
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |n: &Number| match n {
            Number::NegativeInfinity => 0,
            Number::Finite { digits, .. } if digits.is_empty() => 2,
            Number::Finite { negative: true, .. } => 1,
            Number::Finite { .. } => 3,
            Number::Infinity => 4,
            Number::Nan => 5,
        };
        match (self, other) {
            (
                Number::Finite { negative: true, exponent: ea, digits: da },
                Number::Finite { negative: true, exponent: eb, digits: db },
            ) => eb.cmp(ea).then_with(|| db.cmp(da)),
            (
                Number::Finite { negative: false, exponent: ea, digits: da },
                Number::Finite { negative: false, exponent: eb, digits: db },
            ) if !da.is_empty() && !db.is_empty() => ea.cmp(eb).then_with(|| da.cmp(db)),
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The instant a timestamp begins: seconds from 1970-01-01 UTC, then fraction digits without trailing zeros.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Instant {
    seconds: i64,
    fraction: Vec<u8>,
}

impl Instant {
    fn of(t: &Timestamp) -> Instant {
        let days = days_from_civil(i64::from(t.year), i64::from(t.month.max(1)), i64::from(t.day.max(1)));
        let of_day = i64::from(t.hour) * 3600 + i64::from(t.minute) * 60 + i64::from(t.second);
        let offset = i64::from(t.offset_minutes.unwrap_or(0)) * 60;
        let (coefficient, digits) = t.fraction.parts();
        let text = if digits == 0 { String::new() } else { format!("{coefficient:0width$}", width = digits as usize) };
        let fraction = text.trim_end_matches('0').bytes().map(|b| b - b'0').collect();
        Instant { seconds: days * 86_400 + of_day - offset, fraction }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&((self.seconds as u64) ^ (1 << 63)).to_be_bytes());
        for digit in &self.fraction {
            out.push(digit + 1);
        }
        out.push(0);
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledgerstone_digest::ion::{Annotated, Fraction, IonType};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_values_of_a_key_can_be_told_apart(values in prop::collection::vec(value(), 1..5)) {
            let mut ends = Vec::new();
            value_ends(Key::of(values.iter().map(Some)).as_bytes(), |end| ends.push(end));
            let expected: Vec<usize> = (1..=values.len()).map(|n| Key::of(values[..n].iter().map(Some)).len()).collect();
            prop_assert_eq!(ends, expected);
        }

        #[test]
        fn what_is_no_key_has_ends_too(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut ends = Vec::new();
            value_ends(&bytes, |end| ends.push(end));
            prop_assert_eq!(ends.last().copied().unwrap_or(0), bytes.len());
        }
    }

    fn number() -> impl Strategy<Value = Value> {
        prop_oneof![
            (-20i64..20).prop_map(Value::int),
            any::<i64>().prop_map(Value::int),
            (-1000i64..1000, -4i32..4).prop_map(|(c, e)| Value::Decimal(Decimal::new(c, e))),
            (any::<i64>(), -400i32..400).prop_map(|(c, e)| Value::Decimal(Decimal::new(c, e))),
            (-40i32..40).prop_map(|n| Value::Float(f64::from(n) / 8.0)),
            any::<f64>().prop_map(Value::Float),
            Just(Value::Float(f64::NAN)),
            Just(Value::Float(f64::INFINITY)),
            Just(Value::Float(f64::NEG_INFINITY)),
            Just(Value::Float(-0.0)),
        ]
    }

    fn timestamp() -> impl Strategy<Value = Value> {
        (-100_000i64..100_000, 0u128..1000, 0u8..4, -3i16..3).prop_map(|(seconds, fraction, digits, offset)| {
            let fraction = (fraction % 10u128.pow(u32::from(digits)), digits);
            let instant = Timestamp::from_epoch_seconds(seconds, Fraction::new(fraction.0, fraction.1)).unwrap();
            Value::Timestamp(instant.at_offset(Some(offset * 60)).unwrap())
        })
    }

    fn text() -> impl Strategy<Value = String> {
        proptest::collection::vec(prop_oneof![Just('\0'), Just('a'), Just('b'), Just('é'), Just('\u{1}')], 0..4)
            .prop_map(|chars| chars.into_iter().collect())
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            number(),
            timestamp(),
            text().prop_map(Value::string),
            text().prop_map(Value::symbol),
            any::<bool>().prop_map(Value::Bool),
            Just(Value::NULL),
            Just(Value::Null(IonType::String)),
            Just(Value::Symbol(Symbol::UNKNOWN)),
            proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255)], 0..4).prop_map(Value::blob),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Sexp),
                proptest::collection::vec((text(), inner.clone()), 0..4).prop_map(|fields| Value::Struct(
                    Struct::from_fields(fields.iter().map(|(n, v)| (n.as_str(), v.clone())))
                )),
                inner.prop_filter("not twice", |v| v.annotations().is_empty()).prop_map(|value| Value::Annotated(
                    Box::new(Annotated { annotations: vec![Symbol::from("a")], value })
                )),
            ]
        })
    }

    /// The decimal expansion as a fraction of big integers: another way to compare finite numbers.
    fn exact(value: &Value) -> Option<(num_bigint::BigInt, i64)> {
        match value {
            Value::Int(i) => Some((i.to_bigint(), 0)),
            Value::Decimal(d) => Some((d.coefficient().to_bigint(), i64::from(d.exponent()))),
            Value::Float(f) if f.is_finite() => {
                let text = format!("{f:e}");
                let (mantissa, exponent) = text.split_once('e').unwrap();
                let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
                let digits: num_bigint::BigInt = format!("{whole}{fraction}").parse().unwrap();
                Some((digits, exponent.parse::<i64>().unwrap() - fraction.len() as i64))
            }
            _ => None,
        }
    }

    fn naive(a: &Value, b: &Value) -> Option<Ordering> {
        let ((a, ea), (b, eb)) = (exact(a)?, exact(b)?);
        let least = ea.min(eb);
        let scaled = |n: num_bigint::BigInt, e: i64| n * num_bigint::BigInt::from(10).pow((e - least) as u32);
        Some(scaled(a, ea).cmp(&scaled(b, eb)))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

        #[test]
        fn bytes_order_as_values_do(a in value(), b in value()) {
            prop_assert_eq!(Key::one(&a).cmp(&Key::one(&b)), compare(Some(&a), Some(&b)));
        }

        #[test]
        fn numbers_order_by_value(a in number(), b in number()) {
            if let Some(order) = naive(&a, &b) {
                prop_assert_eq!(compare(Some(&a), Some(&b)), order);
                prop_assert_eq!(Key::one(&a).cmp(&Key::one(&b)), order);
            }
        }

        #[test]
        fn several_values_order_one_after_another(a in (value(), value()), b in (value(), value())) {
            let order = compare(Some(&a.0), Some(&b.0)).then_with(|| compare(Some(&a.1), Some(&b.1)));
            let (first, second) = (Key::of([Some(&a.0), Some(&a.1)]), Key::of([Some(&b.0), Some(&b.1)]));
            prop_assert_eq!(first.cmp(&second), order);
            let prefix = Key::one(&a.0);
            prop_assert!(prefix.is_prefix_of(&first));
            prop_assert_eq!(prefix.is_prefix_of(&second), equal(&a.0, &b.0));
            prop_assert!(first < prefix.after_prefix());
            if prefix < Key::one(&b.0) {
                prop_assert!(prefix.after_prefix() < second);
            }
        }
    }

    #[test]
    fn equal_numbers_of_any_type_are_one_key() {
        let ones = [
            Value::int(1),
            Value::Decimal(Decimal::new(100i64, -2)),
            Value::Decimal(Decimal::new(1i64, 0)),
            Value::Float(1.0),
        ];
        for one in &ones {
            assert_eq!(Key::one(one), Key::one(&Value::int(1)), "{one:?}");
        }
        assert_eq!(Key::one(&Value::Float(0.1)), Key::one(&Value::Decimal(Decimal::new(1i64, -1))));
        assert_eq!(Key::one(&Value::Float(-0.0)), Key::one(&Value::int(0)));
    }

    #[test]
    fn nulls_come_last_and_missing_after_them() {
        let struct_ = Value::Struct(Struct::default());
        assert!(Key::one(&struct_) < Key::one(&Value::NULL));
        assert!(Key::one(&Value::NULL) < Key::of([None]));
        assert_eq!(Key::one(&Value::NULL), Key::one(&Value::Null(IonType::Int)));
    }

    #[test]
    fn deep_values_neither_overflow_nor_disagree() {
        let deep = |n: usize| (0..n).fold(Value::int(1), |inner, _| Value::List(vec![inner]));
        assert_eq!(Key::one(&deep(500)).cmp(&Key::one(&deep(501))), compare(Some(&deep(500)), Some(&deep(501))));
    }
}
