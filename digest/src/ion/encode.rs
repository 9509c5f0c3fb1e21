//! Ion binary 1.0, writing (Ion 1.0 specification, "Binary encoding").
//!
//! A container's length stands before its content, so content is written first, behind one reserved byte, and
//! moved by the few bytes that a longer length needs.

use super::symbols::{Collector, SYMBOL_TABLE_ID, SYMBOLS_ID};
use super::{Decimal, IonType, Precision, Symbol, SymbolTable, Timestamp, Value};

/// The version marker that starts every Ion 1.0 binary stream.
pub(super) const VERSION_MARKER: [u8; 4] = [0xE0, 0x01, 0x00, 0xEA];

/// One value as a complete Ion binary stream: version marker, a local symbol table if the value uses symbols
/// beyond the system's, the value.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut symbols = Collector::default();
    let mut body = Vec::with_capacity(256);
    encode_with(value, &mut symbols, &mut body);
    let mut out = Vec::with_capacity(body.len() + 64);
    out.extend_from_slice(&VERSION_MARKER);
    if !symbols.texts().is_empty() {
        write_symbol_table(&symbols, &mut out);
    }
    out.extend_from_slice(&body);
    out
}

/// Appends one value without version marker or symbol table: its symbols get their numbers from `symbols`, and only
/// a reader that has the same dictionary can read it.
pub fn encode_with(value: &Value, symbols: &mut impl SymbolTable, out: &mut Vec<u8>) {
    match value {
        Value::Null(t) => out.push(null_byte(*t)),
        Value::Bool(b) => out.push(0x10 | u8::from(*b)),
        Value::Int(i) => {
            let at = begin(out);
            i.write_magnitude(out);
            end(out, at, if i.is_negative() { 0x30 } else { 0x20 });
        }
        Value::Float(f) => write_float(*f, out),
        Value::Decimal(d) => {
            let at = begin(out);
            write_decimal_body(d, out);
            end(out, at, 0x50);
        }
        Value::Timestamp(t) => {
            let at = begin(out);
            write_timestamp_body(t, out);
            end(out, at, 0x60);
        }
        Value::Symbol(s) => {
            let number = number_of(s, symbols);
            write_symbol(number, out);
        }
        Value::String(s) => write_bytes(0x80, s.as_bytes(), out),
        Value::Clob(b) => write_bytes(0x90, b, out),
        Value::Blob(b) => write_bytes(0xA0, b, out),
        Value::List(items) => write_sequence(0xB0, items, symbols, out),
        Value::Sexp(items) => write_sequence(0xC0, items, symbols, out),
        Value::Struct(s) => {
            let at = begin(out);
            for (name, value) in &s.fields {
                let number = number_of(name, symbols);
                write_var_uint(u64::from(number), out);
                encode_with(value, symbols, out);
            }
            end(out, at, 0xD0);
        }
        Value::Annotated(inner) if inner.annotations.is_empty() => encode_with(&inner.value, symbols, out),
        Value::Annotated(inner) => {
            let at = begin(out);
            let numbers = begin(out);
            for annotation in &inner.annotations {
                let number = number_of(annotation, symbols);
                write_var_uint(u64::from(number), out);
            }
            end_var_uint(out, numbers);
            encode_with(&inner.value, symbols, out);
            end(out, at, 0xE0);
        }
    }
}

/// [`encode_with`] of a struct with a blob as its last field; of anything else, of the value.
pub fn encode_with_more(value: &Value, more: Option<(&str, &[u8])>, symbols: &mut impl SymbolTable, out: &mut Vec<u8>) {
    let (Value::Struct(s), Some((name, blob))) = (value, more) else { return encode_with(value, symbols, out) };
    let at = begin(out);
    for (name, value) in &s.fields {
        let number = number_of(name, symbols);
        write_var_uint(u64::from(number), out);
        encode_with(value, symbols, out);
    }
    let number = symbols.intern(name);
    write_var_uint(u64::from(number), out);
    let inner = begin(out);
    out.extend_from_slice(blob);
    end(out, inner, 0xA0);
    end(out, at, 0xD0);
}

/// A symbol value by its number.
pub(super) fn write_symbol(number: u32, out: &mut Vec<u8>) {
    let at = begin(out);
    let bytes = number.to_be_bytes();
    let first = bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len());
    out.extend_from_slice(&bytes[first..]);
    end(out, at, 0x70);
}

/// Exponent and coefficient; nothing for `0d0`. Ion Hash uses the same bytes.
pub(super) fn write_decimal_body(decimal: &Decimal, out: &mut Vec<u8>) {
    if decimal.exponent() == 0 && decimal.is_zero() && !decimal.is_negative_zero() {
        return;
    }
    write_var_int(i64::from(decimal.exponent()), out);
    let at = out.len();
    decimal.coefficient().write_magnitude(out);
    sign_magnitude(out, at, decimal.is_negative());
}

/// The same from a sign and a magnitude without leading zero bytes.
pub(super) fn write_decimal_parts(exponent: i32, negative: bool, magnitude: &[u8], out: &mut Vec<u8>) {
    if exponent == 0 && !negative && magnitude.is_empty() {
        return;
    }
    write_var_int(i64::from(exponent), out);
    let at = out.len();
    out.extend_from_slice(magnitude);
    sign_magnitude(out, at, negative);
}

/// Offset, then the fields in UTC down to the precision. Ion Hash uses the same bytes.
pub(super) fn write_timestamp_body(t: &Timestamp, out: &mut Vec<u8>) {
    match t.offset_minutes {
        Some(offset) if t.precision >= Precision::Minute => write_var_int(i64::from(offset), out),
        // Minus zero: the offset is not known.
        _ => out.push(0xC0),
    }
    let (year, month, day, hour, minute) = t.utc_fields();
    write_var_uint(u64::from(year), out);
    if t.precision >= Precision::Month {
        out.push(0x80 | month);
    }
    if t.precision >= Precision::Day {
        out.push(0x80 | day);
    }
    if t.precision >= Precision::Minute {
        out.extend_from_slice(&[0x80 | hour, 0x80 | minute]);
    }
    if t.precision == Precision::Second {
        out.push(0x80 | t.second);
        let (coefficient, digits) = t.fraction.parts();
        if digits > 0 {
            write_var_int(-i64::from(digits), out);
            let at = out.len();
            let bytes = coefficient.to_be_bytes();
            out.extend_from_slice(&bytes[(coefficient.leading_zeros() / 8) as usize..]);
            sign_magnitude(out, at, false);
        }
    }
}

pub(super) fn null_byte(t: IonType) -> u8 {
    let code: u8 = match t {
        IonType::Null => 0x0,
        IonType::Bool => 0x1,
        IonType::Int => 0x2,
        IonType::Float => 0x4,
        IonType::Decimal => 0x5,
        IonType::Timestamp => 0x6,
        IonType::Symbol => 0x7,
        IonType::String => 0x8,
        IonType::Clob => 0x9,
        IonType::Blob => 0xA,
        IonType::List => 0xB,
        IonType::Sexp => 0xC,
        IonType::Struct => 0xD,
    };
    code << 4 | 0x0F
}

fn write_symbol_table(symbols: &Collector, out: &mut Vec<u8>) {
    let wrapper = begin(out);
    let numbers = begin(out);
    write_var_uint(SYMBOL_TABLE_ID, out);
    end_var_uint(out, numbers);
    let table = begin(out);
    write_var_uint(SYMBOLS_ID, out);
    let list = begin(out);
    for text in symbols.texts() {
        write_bytes(0x80, text.as_bytes(), out);
    }
    end(out, list, 0xB0);
    end(out, table, 0xD0);
    end(out, wrapper, 0xE0);
}

fn number_of(symbol: &Symbol, symbols: &mut impl SymbolTable) -> u32 {
    symbol.text().map_or(0, |text| symbols.intern(text))
}

fn write_sequence(kind: u8, items: &[Value], symbols: &mut impl SymbolTable, out: &mut Vec<u8>) {
    let at = begin(out);
    for item in items {
        encode_with(item, symbols, out);
    }
    end(out, at, kind);
}

/// Four bytes where they lose nothing.
fn write_float(f: f64, out: &mut Vec<u8>) {
    let narrow = f as f32;
    if f.to_bits() == 0 {
        out.push(0x40);
    } else if f.is_nan() || f64::from(narrow).to_bits() == f.to_bits() {
        out.push(0x44);
        let bits = if f.is_nan() { 0x7fc0_0000 } else { narrow.to_bits() };
        out.extend_from_slice(&bits.to_be_bytes());
    } else {
        out.push(0x48);
        out.extend_from_slice(&f.to_be_bytes());
    }
}

fn write_bytes(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.len() < 14 {
        out.push(kind | bytes.len() as u8);
    } else {
        out.push(kind | 14);
        write_var_uint(bytes.len() as u64, out);
    }
    out.extend_from_slice(bytes);
}

/// Reserves the byte that `end` or `end_var_uint` fills.
pub(super) fn begin(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len() - 1
}

/// Closes a value: writes its type and the length of what was written since `begin`.
pub(super) fn end(out: &mut Vec<u8>, at: usize, kind: u8) {
    let length = out.len() - at - 1;
    if length < 14 {
        out[at] = kind | length as u8;
    } else {
        out[at] = kind | 14;
        insert_var_uint(out, at + 1, length);
    }
}

/// Closes a bare length: the reserved byte is its last one.
pub(super) fn end_var_uint(out: &mut Vec<u8>, at: usize) {
    let length = out.len() - at - 1;
    if length < 128 {
        out[at] = 0x80 | length as u8;
    } else {
        out.remove(at);
        insert_var_uint(out, at, length);
    }
}

fn insert_var_uint(out: &mut Vec<u8>, at: usize, number: usize) {
    let (bytes, first) = var_uint_bytes(number as u64);
    out.splice(at..at, bytes[first..].iter().copied());
}

pub(super) fn write_var_uint(number: u64, out: &mut Vec<u8>) {
    let (bytes, first) = var_uint_bytes(number);
    out.extend_from_slice(&bytes[first..]);
}

fn var_uint_bytes(mut number: u64) -> ([u8; 10], usize) {
    let mut bytes = [0u8; 10];
    let mut first = 9;
    bytes[first] = 0x80 | (number & 0x7f) as u8;
    number >>= 7;
    while number > 0 {
        first -= 1;
        bytes[first] = (number & 0x7f) as u8;
        number >>= 7;
    }
    (bytes, first)
}

fn write_var_int(number: i64, out: &mut Vec<u8>) {
    let mut magnitude = number.unsigned_abs();
    let mut bytes = [0u8; 11];
    let mut first = 10;
    while magnitude > 0x3f {
        bytes[first] = (magnitude & 0x7f) as u8;
        magnitude >>= 7;
        first -= 1;
    }
    bytes[first] = magnitude as u8 | if number < 0 { 0x40 } else { 0 };
    bytes[10] |= 0x80;
    out.extend_from_slice(&bytes[first..]);
}

/// Turns the magnitude written at `at` into an Int field: its highest bit is the sign; plus zero is empty.
fn sign_magnitude(out: &mut Vec<u8>, at: usize, negative: bool) {
    let sign = if negative { 0x80 } else { 0 };
    match out.get(at).copied() {
        Some(first) if first & 0x80 == 0 => out[at] = first | sign,
        Some(_) => out.insert(at, sign),
        None if negative => out.push(sign),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ion::{Hasher, Limits, ion_hash, parse};

    #[test]
    fn a_blob_beside_a_struct_is_its_last_field() {
        let name = "_ql_salt";
        for text in
            ["{}", "{a:1,b:{c:[1,{d:\"x\"}]},a:2}", "{'a long name':\"and a text of more than fourteen bytes\"}"]
        {
            let value = parse(text, &Limits::DOCUMENT).unwrap();
            let mut whole = value.clone();
            let Value::Struct(fields) = &mut whole else { panic!("{text}") };
            fields.fields.push((Symbol::from(name), Value::blob([7; 16])));
            let more = Some((name, &[7_u8; 16][..]));
            assert_eq!(Hasher::new().value_with(&value, more), ion_hash(&whole), "{text}");
            let (mut one, mut other) = (Vec::new(), Vec::new());
            encode_with_more(&value, more, &mut Collector::default(), &mut one);
            encode_with(&whole, &mut Collector::default(), &mut other);
            assert_eq!(one, other, "{text}");
        }
        let list = parse("[1]", &Limits::DOCUMENT).unwrap();
        assert_eq!(Hasher::new().value_with(&list, Some((name, &[1]))), ion_hash(&list));
    }
}
