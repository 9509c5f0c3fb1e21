//! Ion Hash 1.0 with SHA-256 (amazon-ion.github.io/ion-hash, "Ion Hash specification").
//!
//! `H(v) = SHA-256(s(v))`, where `s` writes a value between a begin and an end marker after a byte of type and
//! qualifier. A struct stands as the sorted hashes of its fields, so their order does not count.
//!
//! All of `s` is written into one buffer that serves as a stack: a field is written at its end, hashed, and cut off
//! again, so that a whole document takes one buffer, one list of field hashes and no allocation once both are warm.

use super::decode::{Item, Reader, at, read_bare, read_stream};
use super::encode::{null_byte, write_decimal_body, write_decimal_parts, write_timestamp_body};
use super::symbols::{Dictionary, Names};
use super::{BinaryError, BinaryProblem, IonType, Limits, Symbol, SymbolLookup, Value};
use crate::Hash;

const BEGIN: u8 = 0x0B;
const END: u8 = 0x0E;
const ESCAPE: u8 = 0x0C;

const INT: u8 = 0x20;
const MINUS_INT: u8 = 0x30;
const FLOAT: u8 = 0x40;
const DECIMAL: u8 = 0x50;
const TIMESTAMP: u8 = 0x60;
const SYMBOL: u8 = 0x70;
const SYMBOL_WITHOUT_TEXT: u8 = 0x71;
const STRING: u8 = 0x80;
const CLOB: u8 = 0x90;
const BLOB: u8 = 0xA0;
const LIST: u8 = 0xB0;
const SEXP: u8 = 0xC0;
const STRUCT: u8 = 0xD0;
const ANNOTATED: u8 = 0xE0;

/// What a kept buffer may hold between values; one large document must not be paid for for ever.
const KEPT_BYTES: usize = 256 << 10;

/// A hasher begins with room for so many bytes and so many fields, which is enough for most documents: grown from nothing,
/// it is copied half a dozen times.
const BUFFER_BYTES: usize = 512;
const FIELDS: usize = 16;

/// The hash of a value.
pub fn ion_hash(value: &Value) -> Hash {
    Hasher::new().value(value)
}

/// The hash of a string, `IH(text)`.
pub fn ion_hash_string(text: &str) -> Hash {
    Hasher::new().string(text)
}

/// The hash of the one value in an Ion binary stream, without building the value. Equals
/// `ion_hash(&decode(bytes, limits)?)`.
pub fn ion_hash_binary(bytes: &[u8], limits: &Limits) -> Result<Hash, BinaryError> {
    Hasher::new().binary(bytes, limits)
}

/// Hashes values one after the other with the same memory.
#[derive(Debug)]
pub struct Hasher {
    /// `s` of what is being hashed; the fields of open structs stand at its end.
    buffer: Vec<u8>,
    /// Hashes of the fields of all open structs.
    fields: Vec<Hash>,
    scratch: Vec<u8>,
}

impl Default for Hasher {
    fn default() -> Self {
        Hasher::new()
    }
}

impl Hasher {
    pub fn new() -> Self {
        Hasher { buffer: Vec::with_capacity(BUFFER_BYTES), fields: Vec::new(), scratch: Vec::new() }
    }

    /// The hash of a value. Uses stack in proportion to the value's depth, which readers limit.
    pub fn value(&mut self, value: &Value) -> Hash {
        self.start();
        self.put(value);
        self.finish()
    }

    /// The hash of a struct with a blob as one field more; of anything else, that of the value.
    pub fn value_with(&mut self, value: &Value, more: Option<(&str, &[u8])>) -> Hash {
        let (Value::Struct(s), Some((name, blob))) = (value, more) else { return self.value(value) };
        self.start();
        self.put_struct(|fields| {
            for (name, value) in &s.fields {
                fields.symbol_field(name, value);
            }
            fields.blob_field(name, blob);
        });
        self.finish()
    }

    /// The hash of a string.
    pub fn string(&mut self, text: &str) -> Hash {
        self.start();
        self.put_bytes(STRING, text.as_bytes());
        self.finish()
    }

    /// The hash of the one value in an Ion binary stream.
    pub fn binary(&mut self, bytes: &[u8], limits: &Limits) -> Result<Hash, BinaryError> {
        let mut found = None;
        read_stream(bytes, limits, |reader, table, item| {
            if found.is_some() {
                return Err(at(item.start, BinaryProblem::SecondValue));
            }
            self.start();
            self.put_item(reader, table, item, 0)?;
            found = Some(self.finish());
            Ok(())
        })?;
        found.ok_or(at(bytes.len(), BinaryProblem::NoValue))
    }

    /// The hash of one value whose symbols a dictionary numbers, as [`super::encode_with`] wrote it.
    pub fn binary_with(
        &mut self,
        bytes: &[u8],
        symbols: &impl SymbolLookup,
        limits: &Limits,
    ) -> Result<Hash, BinaryError> {
        let (mut reader, item) = read_bare(bytes, limits)?;
        self.start();
        self.put_item(&mut reader, &Dictionary(symbols), item, 0)?;
        Ok(self.finish())
    }

    /// The same of a document, in the same reading of its bytes: gives `see` the name of each of its fields (`None` for
    /// `$0`), and says whether it is a struct at all, annotated or not.
    pub fn document_with(
        &mut self,
        bytes: &[u8],
        symbols: &impl SymbolLookup,
        limits: &Limits,
        see: &mut impl FnMut(Option<&str>),
    ) -> Result<(Hash, bool), BinaryError> {
        let (mut reader, item) = read_bare(bytes, limits)?;
        let names = &Dictionary(symbols);
        self.start();
        let (inner, depth) = if item.code == 14 && !item.is_null() {
            reader.check_depth(0, item)?;
            (self.open_annotations(&mut reader, names, item)?, 1)
        } else {
            (item, 0)
        };
        let is_struct = inner.code == 13 && !inner.is_null();
        if is_struct {
            reader.check_depth(depth, inner)?;
            self.put_fields(&mut reader, names, inner, depth, see)?;
        } else {
            self.put_item(&mut reader, names, inner, depth)?;
        }
        if depth == 1 {
            self.buffer.push(END);
        }
        Ok((self.finish(), is_struct))
    }

    /// The hash of a struct whose fields `write` gives, in any order, without a `Value` for it.
    pub fn structure(&mut self, write: impl FnOnce(&mut FieldWriter<'_>)) -> Hash {
        self.start();
        self.put_struct(write);
        self.finish()
    }

    /// The hash that stands for one field in its struct: `H(s(name) ‖ s(value))`.
    pub fn field(&mut self, name: &str, value: &Value) -> Hash {
        self.start();
        self.put_bytes(SYMBOL, name.as_bytes());
        self.put(value);
        self.finish()
    }

    /// The same of a string.
    pub fn string_field(&mut self, name: &str, text: &str) -> Hash {
        self.start();
        self.put_bytes(SYMBOL, name.as_bytes());
        self.put_bytes(STRING, text.as_bytes());
        self.finish()
    }

    /// The same of a struct whose fields `write` gives.
    pub fn structure_field(&mut self, name: &str, write: impl FnOnce(&mut FieldWriter<'_>)) -> Hash {
        self.start();
        self.put_bytes(SYMBOL, name.as_bytes());
        self.put_struct(write);
        self.finish()
    }

    fn start(&mut self) {
        self.buffer.clear();
        self.fields.clear();
    }

    fn finish(&mut self) -> Hash {
        let hash = Hash::of(&self.buffer);
        if self.buffer.capacity() > KEPT_BYTES {
            self.buffer = Vec::new();
        }
        if self.fields.capacity() > KEPT_BYTES / 32 {
            self.fields = Vec::new();
        }
        hash
    }

    fn put(&mut self, value: &Value) {
        match value {
            Value::Null(t) => self.put_null(*t),
            Value::Bool(b) => self.put_bool(*b),
            Value::Int(i) => {
                self.scratch.clear();
                i.write_magnitude(&mut self.scratch);
                self.put_scratch(if i.is_negative() { MINUS_INT } else { INT });
            }
            Value::Float(f) => self.put_float(*f),
            Value::Decimal(d) => {
                self.scratch.clear();
                write_decimal_body(d, &mut self.scratch);
                self.put_scratch(DECIMAL);
            }
            Value::Timestamp(t) => {
                self.scratch.clear();
                write_timestamp_body(t, &mut self.scratch);
                self.put_scratch(TIMESTAMP);
            }
            Value::Symbol(s) => self.put_symbol(s),
            Value::String(s) => self.put_bytes(STRING, s.as_bytes()),
            Value::Clob(b) => self.put_bytes(CLOB, b),
            Value::Blob(b) => self.put_bytes(BLOB, b),
            Value::List(items) => self.put_sequence(LIST, items),
            Value::Sexp(items) => self.put_sequence(SEXP, items),
            Value::Struct(s) => self.put_struct(|fields| {
                for (name, value) in &s.fields {
                    fields.symbol_field(name, value);
                }
            }),
            Value::Annotated(inner) if inner.annotations.is_empty() => self.put(&inner.value),
            Value::Annotated(inner) => {
                self.buffer.extend_from_slice(&[BEGIN, ANNOTATED]);
                for annotation in &inner.annotations {
                    self.put_symbol(annotation);
                }
                self.put(&inner.value);
                self.buffer.push(END);
            }
        }
    }

    /// The same from binary. Recursion ends at the reader's depth limit.
    fn put_item(
        &mut self,
        reader: &mut Reader<'_>,
        names: &impl Names,
        item: Item,
        depth: usize,
    ) -> Result<(), BinaryError> {
        if item.is_null() {
            self.put_null(item.ion_type());
            return Ok(());
        }
        match item.code {
            1 => self.put_bool(item.low == 1),
            2 | 3 => {
                let magnitude = reader.int(item)?;
                self.put_bytes(if magnitude.negative { MINUS_INT } else { INT }, &magnitude.bytes);
            }
            4 => self.put_float(reader.float(item)?),
            5 => {
                let (exponent, magnitude) = reader.decimal(item)?;
                self.scratch.clear();
                write_decimal_parts(exponent, magnitude.negative, &magnitude.bytes, &mut self.scratch);
                self.put_scratch(DECIMAL);
            }
            6 => {
                let timestamp = reader.timestamp(item)?;
                self.scratch.clear();
                write_timestamp_body(&timestamp, &mut self.scratch);
                self.put_scratch(TIMESTAMP);
            }
            7 => {
                let number = reader.uint(item)?;
                let text = reader.resolve(names, number, item.start)?;
                self.put_symbol_text(text.map(|text| &**text));
            }
            8 => self.put_bytes(STRING, reader.text(item)?.as_bytes()),
            9 => self.put_bytes(CLOB, reader.body(item)),
            10 => self.put_bytes(BLOB, reader.body(item)),
            _ => {
                reader.check_depth(depth, item)?;
                self.put_container(reader, names, item, depth)?;
            }
        }
        Ok(())
    }

    fn put_container(
        &mut self,
        reader: &mut Reader<'_>,
        names: &impl Names,
        item: Item,
        depth: usize,
    ) -> Result<(), BinaryError> {
        let mut position = item.body;
        match item.code {
            11 | 12 => {
                self.buffer.extend_from_slice(&[BEGIN, if item.code == 11 { LIST } else { SEXP }]);
                while let Some(inner) = reader.next(&mut position, item.end)? {
                    self.put_item(reader, names, inner, depth + 1)?;
                }
                self.buffer.push(END);
            }
            13 => self.put_fields(reader, names, item, depth, &mut |_| ())?,
            _ => {
                let inner = self.open_annotations(reader, names, item)?;
                self.put_item(reader, names, inner, depth + 1)?;
                self.buffer.push(END);
            }
        }
        Ok(())
    }

    /// A struct. `see` is given the names of its fields, not those of structs inside.
    fn put_fields(
        &mut self,
        reader: &mut Reader<'_>,
        names: &impl Names,
        item: Item,
        depth: usize,
        see: &mut impl FnMut(Option<&str>),
    ) -> Result<(), BinaryError> {
        let first = self.fields.len();
        let (mut position, mut last) = (item.body, 0);
        while let Some((name, inner)) = reader.next_field(&mut position, item.end)? {
            reader.check_order(item, &mut last, name, inner)?;
            let start = self.buffer.len();
            let text = reader.resolve(names, name, inner.start)?.map(|text| &**text);
            see(text);
            self.put_symbol_text(text);
            self.put_item(reader, names, inner, depth + 1)?;
            self.close_field(start);
        }
        self.close_struct(first);
        Ok(())
    }

    /// The beginning of an annotated value, and the value inside. What it opens is the caller's to end.
    fn open_annotations(
        &mut self,
        reader: &mut Reader<'_>,
        names: &impl Names,
        item: Item,
    ) -> Result<Item, BinaryError> {
        let ((mut number_at, numbers_end), inner) = reader.annotations(item)?;
        self.buffer.extend_from_slice(&[BEGIN, ANNOTATED]);
        while number_at < numbers_end {
            let number = reader.annotation(&mut number_at, numbers_end)?;
            let text = reader.resolve(names, number, item.start)?;
            self.put_symbol_text(text.map(|text| &**text));
        }
        Ok(inner)
    }

    fn put_null(&mut self, t: IonType) {
        self.buffer.extend_from_slice(&[BEGIN, null_byte(t), END]);
    }

    fn put_bool(&mut self, b: bool) {
        self.buffer.extend_from_slice(&[BEGIN, 0x10 | u8::from(b), END]);
    }

    /// Always eight bytes, one NaN, and nothing for plus zero.
    fn put_float(&mut self, f: f64) {
        if f.to_bits() == 0 {
            return self.put_bytes(FLOAT, &[]);
        }
        let bits = if f.is_nan() { 0x7ff8_0000_0000_0000 } else { f.to_bits() };
        self.put_bytes(FLOAT, &bits.to_be_bytes());
    }

    fn put_symbol(&mut self, symbol: &Symbol) {
        self.put_symbol_text(symbol.text());
    }

    fn put_symbol_text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.put_bytes(SYMBOL, text.as_bytes()),
            None => self.put_bytes(SYMBOL_WITHOUT_TEXT, &[]),
        }
    }

    fn put_sequence(&mut self, kind: u8, items: &[Value]) {
        self.buffer.extend_from_slice(&[BEGIN, kind]);
        for item in items {
            self.put(item);
        }
        self.buffer.push(END);
    }

    fn put_struct(&mut self, write: impl FnOnce(&mut FieldWriter<'_>)) {
        let first = self.fields.len();
        write(&mut FieldWriter { hasher: self });
        self.close_struct(first);
    }

    /// Replaces what was written since `start` by its hash among the fields.
    fn close_field(&mut self, start: usize) {
        if self.fields.capacity() == 0 {
            self.fields.reserve(FIELDS);
        }
        self.fields.push(Hash::of(&self.buffer[start..]));
        self.buffer.truncate(start);
    }

    fn close_struct(&mut self, first: usize) {
        // Their first bytes nearly always tell which comes first.
        let lead = |hash: &Hash| u64::from_be_bytes(*hash.0.first_chunk().unwrap_or(&[0; 8]));
        self.fields[first..].sort_unstable_by(|a, b| lead(a).cmp(&lead(b)).then_with(|| a.cmp(b)));
        self.buffer.extend_from_slice(&[BEGIN, STRUCT]);
        for hash in &self.fields[first..] {
            escape(&hash.0, &mut self.buffer);
        }
        self.buffer.push(END);
        self.fields.truncate(first);
    }

    fn put_scratch(&mut self, kind: u8) {
        self.buffer.extend_from_slice(&[BEGIN, kind]);
        escape(&self.scratch, &mut self.buffer);
        self.buffer.push(END);
    }

    fn put_bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.buffer.extend_from_slice(&[BEGIN, kind]);
        escape(bytes, &mut self.buffer);
        self.buffer.push(END);
    }
}

/// Takes the fields of a struct being hashed.
pub struct FieldWriter<'a> {
    hasher: &'a mut Hasher,
}

impl FieldWriter<'_> {
    pub fn field(&mut self, name: &str, value: &Value) {
        let start = self.name(name);
        self.hasher.put(value);
        self.hasher.close_field(start);
    }

    pub fn string_field(&mut self, name: &str, text: &str) {
        let start = self.name(name);
        self.hasher.put_bytes(STRING, text.as_bytes());
        self.hasher.close_field(start);
    }

    pub fn blob_field(&mut self, name: &str, bytes: &[u8]) {
        let start = self.name(name);
        self.hasher.put_bytes(BLOB, bytes);
        self.hasher.close_field(start);
    }

    /// A field of which only the hash `H(s(name) ‖ s(value))` is known.
    pub fn hashed_field(&mut self, hash: Hash) {
        self.hasher.fields.push(hash);
    }

    /// A field that is a struct itself.
    pub fn struct_field(&mut self, name: &str, write: impl FnOnce(&mut FieldWriter<'_>)) {
        let start = self.name(name);
        self.hasher.put_struct(write);
        self.hasher.close_field(start);
    }

    /// A field that is a list of structs, one for each item.
    pub fn struct_list_field<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut FieldWriter<'_>, T),
    ) {
        let start = self.name(name);
        self.hasher.buffer.extend_from_slice(&[BEGIN, LIST]);
        for item in items {
            self.hasher.put_struct(|fields| write(fields, item));
        }
        self.hasher.buffer.push(END);
        self.hasher.close_field(start);
    }

    fn symbol_field(&mut self, name: &Symbol, value: &Value) {
        let start = self.hasher.buffer.len();
        self.hasher.put_symbol(name);
        self.hasher.put(value);
        self.hasher.close_field(start);
    }

    fn name(&mut self, name: &str) -> usize {
        let start = self.hasher.buffer.len();
        self.hasher.put_bytes(SYMBOL, name.as_bytes());
        start
    }
}

/// Puts an escape byte before each byte that looks like a marker.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    let is_marker = |byte: &u8| matches!(*byte, BEGIN | END | ESCAPE);
    // Most texts have none: looked at without a branch for each byte, which compilers turn into few instructions.
    if !bytes.iter().fold(false, |found, byte| found | is_marker(byte)) {
        out.extend_from_slice(bytes);
        return;
    }
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(is_marker) {
        let (before, marker) = rest.split_at(at);
        out.extend_from_slice(before);
        out.extend_from_slice(&[ESCAPE, marker[0]]);
        rest = &marker[1..];
    }
    out.extend_from_slice(rest);
}
