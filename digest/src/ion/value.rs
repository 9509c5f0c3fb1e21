//! Ion values in memory (Ion 1.0 specification, "Data model").

use std::sync::Arc;

use num_bigint::BigInt;
/// The text of a string: up to 23 bytes are kept where it stands, longer ones are shared.
pub use smol_str::SmolStr as Text;

use super::Hasher;
use crate::Hash;

/// One Ion value. Two values are equal here when the Ion data model says they are: `1.0` and `1.00` differ,
/// `0e0` and `-0e0` differ, every NaN is the same NaN, and struct fields compare as a bag.
#[derive(Debug, Clone)]
pub enum Value {
    /// `null` is `Null(IonType::Null)`; `null.int` is `Null(IonType::Int)`.
    Null(IonType),
    Bool(bool),
    Int(Int),
    Float(f64),
    Decimal(Decimal),
    Timestamp(Timestamp),
    Symbol(Symbol),
    String(Text),
    Clob(Arc<[u8]>),
    Blob(Arc<[u8]>),
    List(Vec<Value>),
    Sexp(Vec<Value>),
    Struct(Struct),
    /// A value with one or more annotations. The inner value is never `Annotated` itself.
    Annotated(Box<Annotated>),
}

/// A value and its annotations, outermost first.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotated {
    pub annotations: Vec<Symbol>,
    pub value: Value,
}

/// The types of the Ion data model, in the order of the specification's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IonType {
    Null,
    Bool,
    Int,
    Float,
    Decimal,
    Timestamp,
    Symbol,
    String,
    Clob,
    Blob,
    List,
    Sexp,
    Struct,
}

/// An integer of any size. `Big` never holds what fits `Small`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Int {
    Small(i64),
    Big(Arc<BigInt>),
}

/// `coefficient × 10^exponent`. Scale is kept: `1.0` is (10, -1), `1.00` is (100, -2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal {
    pub(super) coefficient: Int,
    pub(super) exponent: i32,
    /// The coefficient is zero and its sign is minus.
    pub(super) negative_zero: bool,
}

/// A symbol: text, or the symbol whose text is not known (`$0`). Fields have one each: short ones are kept in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(Option<Text>);

/// Fields in the order they were written; names may repeat.
#[derive(Debug, Clone, Default)]
pub struct Struct {
    pub fields: Vec<(Symbol, Value)>,
}

/// How far a timestamp goes. `Second` also carries fraction digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    Year,
    Month,
    Day,
    Minute,
    Second,
}

/// A point in time as written: precision, fraction digits and offset are part of the value.
/// The fields are local time at `offset_minutes` (Ion text shows them so).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Timestamp {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    /// What stands after the second's point.
    pub fraction: Fraction,
    pub precision: Precision,
    /// Minutes east of UTC; `None` is the unknown offset `-00:00` (always so for year, month and day precision).
    pub offset_minutes: Option<i16>,
}

/// Digits after a second's point, as a decimal fraction. Kept as bytes: a `u128` would align every [`Value`] to 16
/// bytes and make it twice as large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fraction {
    coefficient: [u8; 16],
    digits: u8,
}

/// Why fields do not make a timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a timestamp: {0}")]
pub struct TimestampError(pub String);

impl Fraction {
    /// No digits.
    pub const NONE: Fraction = Fraction::new(0, 0);

    /// `coefficient` with this many digits, zeros in front included: (5, 3) is `.005`.
    pub const fn new(coefficient: u128, digits: u8) -> Self {
        Fraction { coefficient: coefficient.to_le_bytes(), digits }
    }

    /// Coefficient and number of digits.
    pub const fn parts(self) -> (u128, u8) {
        (u128::from_le_bytes(self.coefficient), self.digits)
    }

    pub const fn coefficient(self) -> u128 {
        self.parts().0
    }

    pub const fn digits(self) -> u8 {
        self.digits
    }
}

impl Symbol {
    /// The symbol whose text is not known.
    pub const UNKNOWN: Symbol = Symbol(None);

    pub fn new(text: impl Into<Text>) -> Self {
        Symbol(Some(text.into()))
    }

    /// The text, or `None` for `$0`.
    pub fn text(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The text as it is kept, or `None` for `$0`.
    pub fn kept(&self) -> Option<&Text> {
        self.0.as_ref()
    }
}

impl From<&str> for Symbol {
    fn from(text: &str) -> Self {
        Symbol::new(text)
    }
}

impl From<&Arc<str>> for Symbol {
    /// A name that many values have. Only one that is too long to be kept in each of them is shared: whoever makes and drops
    /// values would otherwise wait for others that count the same references.
    fn from(text: &Arc<str>) -> Self {
        if text.len() <= Text::INLINE_CAP { Symbol::new(&**text) } else { Symbol::new(Arc::clone(text)) }
    }
}

impl Struct {
    /// A struct of these fields, in this order.
    pub fn from_fields<N: Into<Symbol>>(fields: impl IntoIterator<Item = (N, Value)>) -> Self {
        Struct { fields: fields.into_iter().map(|(n, v)| (n.into(), v)).collect() }
    }

    /// The first field of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(n, _)| n.text() == Some(name)).map(|(_, v)| v)
    }

    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl Value {
    pub const NULL: Value = Value::Null(IonType::Null);

    pub fn string(text: impl Into<Text>) -> Self {
        Value::String(text.into())
    }

    pub fn symbol(text: impl Into<Text>) -> Self {
        Value::Symbol(Symbol::new(text))
    }

    pub fn int(value: i64) -> Self {
        Value::Int(Int::Small(value))
    }

    pub fn blob(bytes: impl Into<Arc<[u8]>>) -> Self {
        Value::Blob(bytes.into())
    }

    /// The value without its annotations.
    pub fn unannotated(&self) -> &Value {
        match self {
            Value::Annotated(inner) => &inner.value,
            other => other,
        }
    }

    /// The annotations, outermost first; empty if there are none.
    pub fn annotations(&self) -> &[Symbol] {
        match self {
            Value::Annotated(inner) => &inner.annotations,
            _ => &[],
        }
    }

    /// The type; a typed null has the type it names.
    pub fn ion_type(&self) -> IonType {
        match self {
            Value::Null(t) => *t,
            Value::Bool(_) => IonType::Bool,
            Value::Int(_) => IonType::Int,
            Value::Float(_) => IonType::Float,
            Value::Decimal(_) => IonType::Decimal,
            Value::Timestamp(_) => IonType::Timestamp,
            Value::Symbol(_) => IonType::Symbol,
            Value::String(_) => IonType::String,
            Value::Clob(_) => IonType::Clob,
            Value::Blob(_) => IonType::Blob,
            Value::List(_) => IonType::List,
            Value::Sexp(_) => IonType::Sexp,
            Value::Struct(_) => IonType::Struct,
            Value::Annotated(inner) => inner.value.ion_type(),
        }
    }

    /// Null of any type, annotated or not.
    pub fn is_null(&self) -> bool {
        matches!(self.unannotated(), Value::Null(_))
    }

    /// The struct, if the value is an unannotated one.
    pub fn as_struct(&self) -> Option<&Struct> {
        match self {
            Value::Struct(s) => Some(s),
            _ => None,
        }
    }

    /// The text of an unannotated string or symbol.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::String(s) => Some(s),
            Value::Symbol(s) => s.text(),
            _ => None,
        }
    }

    /// The integer, if it is unannotated and fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int(Int::Small(i)) => Some(*i),
            _ => None,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Null(a), Value::Null(b)) => a == b,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
            (Value::Decimal(a), Value::Decimal(b)) => a == b,
            (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::Symbol(a), Value::Symbol(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Clob(a), Value::Clob(b)) | (Value::Blob(a), Value::Blob(b)) => a == b,
            (Value::List(a), Value::List(b)) | (Value::Sexp(a), Value::Sexp(b)) => a == b,
            (Value::Struct(a), Value::Struct(b)) => a == b,
            (Value::Annotated(a), Value::Annotated(b)) => a == b,
            _ => false,
        }
    }
}

impl PartialEq for Struct {
    /// As bags: order does not count, the number of equal fields does.
    fn eq(&self, other: &Self) -> bool {
        if self.fields.len() != other.fields.len() {
            return false;
        }
        let (ours, theirs) = (by_name(&self.fields), by_name(&other.fields));
        if ours.iter().zip(&theirs).any(|(a, b)| a.0 != b.0) {
            return false;
        }
        let mut start = 0;
        while start < ours.len() {
            let name = &ours[start].0;
            let end = start + ours[start..].iter().take_while(|field| field.0 == *name).count();
            let equal = match (&ours[start..end], &theirs[start..end]) {
                ([one], [other]) => one.1 == other.1,
                // Trying every pairing would take time that grows with the power of the depth.
                (several, others) => hashes(several) == hashes(others),
            };
            if !equal {
                return false;
            }
            start = end;
        }
        true
    }
}

fn by_name(fields: &[(Symbol, Value)]) -> Vec<&(Symbol, Value)> {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    sorted
}

/// Ion Hash tells values apart exactly as equality does.
fn hashes(fields: &[&(Symbol, Value)]) -> Vec<Hash> {
    let mut hasher = Hasher::new();
    let mut hashes: Vec<_> = fields.iter().map(|field| hasher.value(&field.1)).collect();
    hashes.sort_unstable();
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structure(fields: &[(&str, Value)]) -> Value {
        Value::Struct(Struct::from_fields(fields.iter().map(|(n, v)| (*n, v.clone()))))
    }

    /// Documents are trees of these: every byte here is paid some twenty times in each.
    #[test]
    fn a_value_takes_32_bytes() {
        assert_eq!((size_of::<Value>(), size_of::<Timestamp>()), (32, 30));
    }

    #[test]
    fn fields_compare_as_a_bag() {
        let (one, two) = (Value::int(1), Value::int(2));
        let is = |a: &[(&str, Value)], b: &[(&str, Value)]| structure(a) == structure(b);
        let (a1, a2, b1) = (("a", one.clone()), ("a", two.clone()), ("b", one));
        assert!(is(&[a1.clone(), b1.clone()], &[b1.clone(), a1.clone()]));
        assert!(is(&[a1.clone(), a2.clone(), a1.clone()], &[a2.clone(), a1.clone(), a1.clone()]));
        assert!(!is(&[a1.clone(), a2.clone(), a1.clone()], &[a2.clone(), a2.clone(), a1.clone()]));
        assert!(!is(std::slice::from_ref(&a1), &[a1.clone(), b1]));
        assert!(!is(&[a1], &[a2]));
    }

    #[test]
    fn repeated_fields_do_not_make_comparing_slow() {
        let grow = |inner: Value| (0..100).fold(inner, |v, _| structure(&[("a", v), ("a", Value::int(0))]));
        assert_eq!(grow(Value::int(1)), grow(Value::int(1)));
        assert_ne!(grow(Value::int(1)), grow(Value::int(2)));
        let wide = |last| Value::Struct(Struct::from_fields((0..50_000i64).map(|i| ("a", Value::int(i % last)))));
        assert_ne!(wide(49_999), wide(50_000));
    }
}
