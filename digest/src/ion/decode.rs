//! Ion binary 1.0, reading (Ion 1.0 specification, "Binary encoding").
//!
//! Every length is compared with the bytes that remain before anything is done with it, and recursion ends at
//! [`Limits::depth_max`]. The fields of scalars are read here once, for building values and for hashing alike.

use std::borrow::Cow;
use std::sync::Arc;

use super::encode::VERSION_MARKER;
use super::symbols::{Dictionary, LocalTable, Names, Resolved, VERSION_SYMBOL_ID, is_symbol_table};
use super::{
    Annotated, Decimal, EXPANSION_MAX, Fraction, Int, IonType, Limits, Precision, Struct, Symbol, SymbolLookup,
    SymbolTableError, Text, Timestamp, Value,
};

/// Why bytes are not an Ion value that is accepted here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Ion binary, offset {offset}: {problem}")]
pub struct BinaryError {
    pub problem: BinaryProblem,
    /// Where in the bytes.
    pub offset: usize,
}

/// What is wrong with them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BinaryProblem {
    #[error("no value; exactly one was expected")]
    NoValue,
    #[error("a second value; exactly one was expected")]
    SecondValue,
    #[error("starts with no version marker E0 01 00 EA")]
    NoVersionMarker,
    #[error("version {0}.{1} is not supported; write Ion 1.0")]
    Version(u8, u8),
    #[error("the value goes on beyond its end: {needed} bytes announced, {left} left")]
    Length { needed: u64, left: usize },
    #[error("type byte {0:#04x} has no meaning in Ion 1.0")]
    TypeByte(u8),
    #[error("number too large for where it stands")]
    Number,
    #[error("exponent beyond {min} to {max}", min = i32::MIN, max = i32::MAX)]
    Exponent,
    #[error("integer longer than {} bytes", Int::BYTES_MAX)]
    LongInt,
    #[error("minus zero is not an integer")]
    MinusZero,
    #[error("text is not UTF-8")]
    Utf8,
    #[error("timestamp: {0}")]
    Timestamp(String),
    #[error("annotations: {0}")]
    Annotations(&'static str),
    #[error("the fields of an ordered struct are out of order")]
    Order,
    #[error("symbol number {0} is not in the symbol table")]
    Symbol(u64),
    #[error(transparent)]
    SymbolTable(#[from] SymbolTableError),
    #[error("larger than {0} bytes")]
    TooLarge(usize),
    #[error("more than {0} values inside each other")]
    TooDeep(usize),
    #[error("more than {0} values")]
    TooMany(usize),
    #[error("its symbols written out are longer than {0} bytes")]
    TooLong(usize),
}

type Result<T, E = BinaryError> = std::result::Result<T, E>;

/// Reads a stream that holds exactly one value. Padding and local symbol tables may stand before and after it.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Value> {
    let mut found = None;
    read_stream(bytes, limits, |reader, table, item| {
        if found.is_some() {
            return Err(at(item.start, BinaryProblem::SecondValue));
        }
        found = Some(reader.value(table, item, 0)?);
        Ok(())
    })?;
    found.ok_or(at(bytes.len(), BinaryProblem::NoValue))
}

/// Reads every value of a stream.
pub fn decode_many(bytes: &[u8], limits: &Limits) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    read_stream(bytes, limits, |reader, table, item| {
        found.push(reader.value(table, item, 0)?);
        Ok(())
    })?;
    Ok(found)
}

/// Reads one value as [`super::encode_with`] wrote it: no version marker, symbols numbered by a dictionary.
pub fn decode_with(bytes: &[u8], symbols: &impl SymbolLookup, limits: &Limits) -> Result<Value> {
    let (mut reader, item) = read_bare(bytes, limits)?;
    reader.value(&Dictionary(symbols), item, 0)
}

/// The one value in bytes without version marker.
pub(super) fn read_bare<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Reader<'a>, Item)> {
    let mut reader = Reader::new(bytes, limits)?;
    let mut position = 0;
    let Some(item) = reader.next(&mut position, bytes.len())? else {
        return Err(at(position, BinaryProblem::NoValue));
    };
    if reader.next(&mut position, bytes.len())?.is_some() {
        return Err(at(item.end, BinaryProblem::SecondValue));
    }
    Ok((reader, item))
}

/// Gives each of a stream's values to `use_value`, with the symbol table in force.
pub(super) fn read_stream<'a>(
    bytes: &'a [u8],
    limits: &Limits,
    mut use_value: impl FnMut(&mut Reader<'a>, &LocalTable, Item) -> Result<()>,
) -> Result<()> {
    let mut reader = Reader::new(bytes, limits)?;
    if bytes.first() != Some(&0xE0) {
        return Err(at(0, BinaryProblem::NoVersionMarker));
    }
    let mut table = LocalTable::default();
    // A symbol `$ion_1_0` beside other values means nothing (as in text); alone it is the value.
    let mut marker_symbol = None;
    let mut values = 0;
    let mut position = 0;
    while position < bytes.len() {
        if bytes[position] == 0xE0 {
            reader.version_marker(position)?;
            table.reset();
            position += VERSION_MARKER.len();
            continue;
        }
        let item = reader.item(position, bytes.len())?;
        position = item.end;
        if item.is_padding() {
            continue;
        }
        let item = reader.counted(item)?;
        if reader.is_symbol_table(item) {
            let start = item.start;
            let value = reader.value(&table, item, 0)?;
            if is_symbol_table(&value) {
                table.apply(&value, limits.values_max).map_err(|e| at(start, e.into()))?;
                continue;
            }
        }
        if item.code == 7 && !item.is_null() && reader.uint(item)? == VERSION_SYMBOL_ID {
            marker_symbol = Some(item);
            continue;
        }
        values += 1;
        use_value(&mut reader, &table, item)?;
    }
    match marker_symbol {
        Some(item) if values == 0 => use_value(&mut reader, &table, item),
        _ => Ok(()),
    }
}

/// One value's place: type, the low half of its type byte, and where its content stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub code: u8,
    pub low: u8,
    /// Of the type byte, for errors.
    pub start: usize,
    /// Of the content.
    pub body: usize,
    pub end: usize,
}

impl Item {
    pub fn is_null(&self) -> bool {
        self.low == 15
    }

    fn is_padding(&self) -> bool {
        self.code == 0 && !self.is_null()
    }

    pub fn ion_type(&self) -> IonType {
        match self.code {
            1 => IonType::Bool,
            2 | 3 => IonType::Int,
            4 => IonType::Float,
            5 => IonType::Decimal,
            6 => IonType::Timestamp,
            7 => IonType::Symbol,
            8 => IonType::String,
            9 => IonType::Clob,
            10 => IonType::Blob,
            11 => IonType::List,
            12 => IonType::Sexp,
            13 => IonType::Struct,
            _ => IonType::Null,
        }
    }
}

/// A decimal's or an integer's digits, without building a number from them.
pub(super) struct Magnitude<'a> {
    pub negative: bool,
    /// Without leading zero bytes.
    pub bytes: Cow<'a, [u8]>,
}

/// Reads values out of bytes, counting them.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    limits: Limits,
    values: usize,
    /// Bytes of the texts of all symbols so far.
    written_out: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        if bytes.len() > limits.bytes_max {
            return Err(at(0, BinaryProblem::TooLarge(limits.bytes_max)));
        }
        Ok(Reader { bytes, limits: *limits, values: 0, written_out: 0 })
    }

    pub fn body(&self, item: Item) -> &'a [u8] {
        &self.bytes[item.body..item.end]
    }

    /// The next value before `end`, past any padding; `None` at the end.
    pub fn next(&mut self, position: &mut usize, end: usize) -> Result<Option<Item>> {
        while *position < end {
            let item = self.item(*position, end)?;
            *position = item.end;
            if item.is_padding() {
                continue;
            }
            return self.counted(item).map(Some);
        }
        Ok(None)
    }

    /// The next field of a struct, past any padding.
    pub fn next_field(&mut self, position: &mut usize, end: usize) -> Result<Option<(u64, Item)>> {
        while *position < end {
            let name = self.var_uint(position, end)?;
            let item = self.item(*position, end)?;
            *position = item.end;
            if item.is_padding() {
                continue;
            }
            return Ok(Some((name, self.counted(item)?)));
        }
        Ok(None)
    }

    /// How many values a container holds, as far as they can be made out and may be read: memory for them is asked for
    /// once, and no more of it than they take.
    fn count_inside(&self, container: Item, has_names: bool) -> usize {
        let (mut position, mut count) = (container.body, 0);
        let left = self.limits.values_max.saturating_sub(self.values);
        while position < container.end && count < left {
            if has_names && self.var_uint(&mut position, container.end).is_err() {
                break;
            }
            let Ok(item) = self.item(position, container.end) else { break };
            (position, count) = (item.end, count + usize::from(!item.is_padding()));
        }
        count
    }

    /// Refuses what is nested deeper than the limit.
    pub fn check_depth(&self, depth: usize, item: Item) -> Result<()> {
        if depth >= self.limits.depth_max.min(super::DEPTH_CAP) {
            return Err(at(item.start, BinaryProblem::TooDeep(self.limits.depth_max.min(super::DEPTH_CAP))));
        }
        Ok(())
    }

    /// The value at `item`. Recursion: once per container or wrapper, ended by the depth limit.
    fn value(&mut self, names: &impl Names, item: Item, depth: usize) -> Result<Value> {
        if item.is_null() {
            return Ok(Value::Null(item.ion_type()));
        }
        if matches!(item.code, 11..=14) {
            self.check_depth(depth, item)?;
        }
        Ok(match item.code {
            1 => Value::Bool(item.low == 1),
            2 | 3 => {
                let magnitude = self.int(item)?;
                Value::Int(Int::from_sign_magnitude(magnitude.negative, &magnitude.bytes))
            }
            4 => Value::Float(self.float(item)?),
            5 => {
                let (exponent, magnitude) = self.decimal(item)?;
                let int = Int::from_sign_magnitude(false, &magnitude.bytes);
                Value::Decimal(Decimal::from_parts(magnitude.negative, int, exponent))
            }
            6 => Value::Timestamp(self.timestamp(item)?),
            7 => {
                let number = self.uint(item)?;
                Value::Symbol(self.symbol(names, number, item.start)?)
            }
            8 => Value::string(self.text(item)?),
            9 => Value::Clob(Arc::from(self.body(item))),
            10 => Value::Blob(Arc::from(self.body(item))),
            11 => Value::List(self.sequence(names, item, depth)?),
            12 => Value::Sexp(self.sequence(names, item, depth)?),
            13 => self.fields(names, item, depth)?,
            _ => {
                let (annotations, inner) = self.annotations(item)?;
                let mut symbols = Vec::new();
                let mut position = annotations.0;
                while position < annotations.1 {
                    let number = self.annotation(&mut position, annotations.1)?;
                    symbols.push(self.symbol(names, number, item.start)?);
                }
                let value = self.value(names, inner, depth + 1)?;
                Value::Annotated(Box::new(Annotated { annotations: symbols, value }))
            }
        })
    }

    fn sequence(&mut self, names: &impl Names, item: Item, depth: usize) -> Result<Vec<Value>> {
        let mut items = Vec::with_capacity(self.count_inside(item, false));
        let mut position = item.body;
        while let Some(inner) = self.next(&mut position, item.end)? {
            items.push(self.value(names, inner, depth + 1)?);
        }
        Ok(items)
    }

    fn fields(&mut self, names: &impl Names, item: Item, depth: usize) -> Result<Value> {
        let mut fields = Vec::with_capacity(self.count_inside(item, true));
        let mut position = item.body;
        let mut last = 0;
        while let Some((number, inner)) = self.next_field(&mut position, item.end)? {
            self.check_order(item, &mut last, number, inner)?;
            let name = self.symbol(names, number, inner.start)?;
            fields.push((name, self.value(names, inner, depth + 1)?));
        }
        Ok(Value::Struct(Struct { fields }))
    }

    /// The fields of a struct of length code 1 stand in the order of their symbol numbers.
    pub fn check_order(&self, structure: Item, last: &mut u64, number: u64, field: Item) -> Result<()> {
        if structure.low == 1 && number < *last {
            return Err(at(field.start, BinaryProblem::Order));
        }
        *last = number;
        Ok(())
    }

    /// An annotation wrapper: the bounds of its symbol numbers, and the value inside.
    pub fn annotations(&mut self, item: Item) -> Result<((usize, usize), Item)> {
        let refuse = |why| at(item.start, BinaryProblem::Annotations(why));
        let mut position = item.body;
        let length = self.var_uint(&mut position, item.end)?;
        let numbers_end = self.end_of(position, length, item.end)?;
        if length == 0 {
            return Err(refuse("none in the wrapper"));
        }
        if numbers_end == item.end {
            return Err(refuse("no value in the wrapper"));
        }
        let inner = self.item(numbers_end, item.end)?;
        if inner.end != item.end {
            return Err(refuse("the wrapper is longer than its value"));
        }
        if inner.code == 14 || (inner.code == 0 && !inner.is_null()) {
            return Err(refuse("a wrapper holds a value, not a wrapper or padding"));
        }
        // Counted already, as the wrapper.
        Ok(((position, numbers_end), inner))
    }

    /// The next symbol number of a wrapper. Annotations count as values: they take as much memory.
    pub fn annotation(&mut self, position: &mut usize, end: usize) -> Result<u64> {
        self.count(*position)?;
        self.var_uint(position, end)
    }

    pub fn int(&self, item: Item) -> Result<Magnitude<'a>> {
        let bytes = strip(self.body(item));
        if bytes.len() > Int::BYTES_MAX {
            return Err(at(item.start, BinaryProblem::LongInt));
        }
        if item.code == 3 && bytes.is_empty() {
            return Err(at(item.start, BinaryProblem::MinusZero));
        }
        Ok(Magnitude { negative: item.code == 3, bytes: Cow::Borrowed(bytes) })
    }

    pub fn float(&self, item: Item) -> Result<f64> {
        let body = self.body(item);
        if let Ok(bytes) = <[u8; 8]>::try_from(body) {
            Ok(f64::from_be_bytes(bytes))
        } else if let Ok(bytes) = <[u8; 4]>::try_from(body) {
            Ok(f64::from(f32::from_be_bytes(bytes)))
        } else {
            Ok(0.0)
        }
    }

    pub fn decimal(&self, item: Item) -> Result<(i32, Magnitude<'a>)> {
        if item.body == item.end {
            return Ok((0, Magnitude { negative: false, bytes: Cow::Borrowed(&[]) }));
        }
        let mut position = item.body;
        let (exponent, _) = self.var_int(&mut position, item.end)?;
        let exponent = i32::try_from(exponent).map_err(|_| at(item.start, BinaryProblem::Exponent))?;
        let magnitude = sign_magnitude(&self.bytes[position..item.end]);
        if magnitude.bytes.len() > Int::BYTES_MAX {
            return Err(at(item.start, BinaryProblem::LongInt));
        }
        Ok((exponent, magnitude))
    }

    pub fn timestamp(&self, item: Item) -> Result<Timestamp> {
        let refuse = |why: &str| at(item.start, BinaryProblem::Timestamp(why.to_owned()));
        let mut position = item.body;
        let (offset, negative) = self.var_int(&mut position, item.end)?;
        let mut fields = [0u64, 1, 1, 0, 0, 0];
        let mut count = 0;
        while count < fields.len() && position < item.end {
            fields[count] = self.var_uint(&mut position, item.end)?;
            count += 1;
        }
        let precision = match count {
            1 => Precision::Year,
            2 => Precision::Month,
            3 => Precision::Day,
            5 => Precision::Minute,
            6 => Precision::Second,
            _ => return Err(refuse("year missing, or hour without minute")),
        };
        let fraction = if position < item.end { self.fraction(item, position)? } else { Fraction::NONE };
        let narrow = |n: u64| u8::try_from(n).map_err(|_| refuse("field out of range"));
        let utc = Timestamp {
            year: u16::try_from(fields[0]).map_err(|_| refuse("year out of range"))?,
            month: narrow(fields[1])?,
            day: narrow(fields[2])?,
            hour: narrow(fields[3])?,
            minute: narrow(fields[4])?,
            second: narrow(fields[5])?,
            fraction,
            precision,
            offset_minutes: (precision >= Precision::Minute).then_some(0),
        };
        let invalid = |e: super::TimestampError| refuse(&e.0);
        let utc = utc.validated().map_err(invalid)?;
        let unknown = offset == 0 && negative;
        let offset = i16::try_from(offset).map_err(|_| refuse("offset out of range"))?;
        utc.at_offset((!unknown).then_some(offset)).map_err(invalid)
    }

    /// Exponent and coefficient of the part of a second.
    fn fraction(&self, item: Item, mut position: usize) -> Result<Fraction> {
        let refuse = || at(item.start, BinaryProblem::Timestamp("fraction out of range".to_owned()));
        let (exponent, _) = self.var_int(&mut position, item.end)?;
        let magnitude = sign_magnitude(&self.bytes[position..item.end]);
        if magnitude.bytes.len() > 16 || (magnitude.negative && !magnitude.bytes.is_empty()) {
            return Err(refuse());
        }
        let coefficient = magnitude.bytes.iter().fold(0u128, |n, b| n << 8 | u128::from(*b));
        if exponent >= 0 {
            // Whole seconds belong to the seconds field; a zero says nothing.
            return if coefficient == 0 { Ok(Fraction::NONE) } else { Err(refuse()) };
        }
        let digits = exponent.unsigned_abs();
        if digits > 38 {
            return Err(refuse());
        }
        Ok(Fraction::new(coefficient, digits as u8))
    }

    pub fn text(&self, item: Item) -> Result<&'a str> {
        std::str::from_utf8(self.body(item)).map_err(|e| at(item.body + e.valid_up_to(), BinaryProblem::Utf8))
    }

    /// What a symbol's number stands for; its text counts as if it were written here.
    pub fn resolve<'n>(&mut self, names: &'n impl Names, number: u64, offset: usize) -> Result<Option<&'n Text>> {
        match names.resolve(number) {
            Resolved::Text(text) => {
                self.written_out += text.len();
                let max = self.limits.bytes_max.saturating_mul(EXPANSION_MAX);
                if self.written_out > max { Err(at(offset, BinaryProblem::TooLong(max))) } else { Ok(Some(text)) }
            }
            Resolved::NoText => Ok(None),
            Resolved::Undefined => Err(at(offset, BinaryProblem::Symbol(number))),
        }
    }

    fn symbol(&mut self, names: &impl Names, number: u64, offset: usize) -> Result<Symbol> {
        let text = self.resolve(names, number, offset)?;
        Ok(text.map_or(Symbol::UNKNOWN, |text| Symbol::new(text.clone())))
    }

    /// A symbol's number.
    pub fn uint(&self, item: Item) -> Result<u64> {
        let bytes = strip(self.body(item));
        if bytes.len() > 8 {
            return Err(at(item.start, BinaryProblem::Number));
        }
        Ok(bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    pub fn var_uint(&self, position: &mut usize, end: usize) -> Result<u64> {
        let mut number = 0u64;
        loop {
            let byte = self.byte(position, end)?;
            if number >> 57 != 0 {
                return Err(at(*position, BinaryProblem::Number));
            }
            number = number << 7 | u64::from(byte & 0x7f);
            if byte & 0x80 != 0 {
                return Ok(number);
            }
        }
    }

    /// The number, and whether its sign is minus (which minus zero needs).
    fn var_int(&self, position: &mut usize, end: usize) -> Result<(i64, bool)> {
        let first = self.byte(position, end)?;
        let negative = first & 0x40 != 0;
        let mut number = i64::from(first & 0x3f);
        let mut byte = first;
        while byte & 0x80 == 0 {
            byte = self.byte(position, end)?;
            if number >> 55 != 0 {
                return Err(at(*position, BinaryProblem::Number));
            }
            number = number << 7 | i64::from(byte & 0x7f);
        }
        Ok((if negative { -number } else { number }, negative))
    }

    fn byte(&self, position: &mut usize, end: usize) -> Result<u8> {
        match self.bytes.get(*position) {
            Some(byte) if *position < end => {
                *position += 1;
                Ok(*byte)
            }
            _ => Err(at(*position, BinaryProblem::Length { needed: 1, left: 0 })),
        }
    }

    /// The value or padding whose type byte stands at `start`.
    fn item(&self, start: usize, end: usize) -> Result<Item> {
        let mut position = start;
        let byte = self.byte(&mut position, end)?;
        let (code, low) = (byte >> 4, byte & 0x0F);
        let meaningful = match (code, low) {
            (15, _) => false,
            (1, low) => matches!(low, 0 | 1 | 15),
            (4, low) => matches!(low, 0 | 4 | 8 | 15),
            (6, low) => low >= 2,
            (14, low) => (3..15).contains(&low),
            _ => true,
        };
        if !meaningful {
            return Err(at(start, BinaryProblem::TypeByte(byte)));
        }
        let length = match (code, low) {
            (_, 15) | (1, _) => 0,
            (_, 14) => self.var_uint(&mut position, end)?,
            (13, 1) => match self.var_uint(&mut position, end)? {
                // An ordered struct is never empty.
                0 => return Err(at(start, BinaryProblem::TypeByte(byte))),
                length => length,
            },
            (_, low) => u64::from(low),
        };
        let body_end = self.end_of(position, length, end)?;
        Ok(Item { code, low, start, body: position, end: body_end })
    }

    fn end_of(&self, position: usize, length: u64, end: usize) -> Result<usize> {
        let left = end.saturating_sub(position);
        match usize::try_from(length) {
            Ok(length) if length <= left => Ok(position + length),
            _ => Err(at(position, BinaryProblem::Length { needed: length, left })),
        }
    }

    fn counted(&mut self, item: Item) -> Result<Item> {
        self.count(item.start)?;
        Ok(item)
    }

    fn count(&mut self, offset: usize) -> Result<()> {
        self.values += 1;
        if self.values > self.limits.values_max {
            return Err(at(offset, BinaryProblem::TooMany(self.limits.values_max)));
        }
        Ok(())
    }

    fn version_marker(&self, position: usize) -> Result<()> {
        match self.bytes.get(position..position + VERSION_MARKER.len()) {
            Some([_, 1, 0, 0xEA]) => Ok(()),
            Some([_, major, minor, 0xEA]) => Err(at(position, BinaryProblem::Version(*major, *minor))),
            _ => Err(at(position, BinaryProblem::NoVersionMarker)),
        }
    }

    /// Whether the item may be a local symbol table: a wrapper whose first annotation has that symbol's number.
    fn is_symbol_table(&self, item: Item) -> bool {
        let mut position = item.body;
        let table = super::symbols::SYMBOL_TABLE_ID;
        item.code == 14
            && self.var_uint(&mut position, item.end).is_ok()
            && self.var_uint(&mut position, item.end) == Ok(table)
    }
}

pub(super) fn at(offset: usize, problem: BinaryProblem) -> BinaryError {
    BinaryError { problem, offset }
}

fn strip(bytes: &[u8]) -> &[u8] {
    let first = bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len());
    &bytes[first..]
}

/// Takes an Int field apart: its highest bit is the sign.
fn sign_magnitude(field: &[u8]) -> Magnitude<'_> {
    match field.split_first() {
        Some((first, rest)) if first & 0x80 != 0 => {
            let first = first & 0x7f;
            if first == 0 {
                return Magnitude { negative: true, bytes: Cow::Borrowed(strip(rest)) };
            }
            let mut bytes = field.to_vec();
            bytes[0] = first;
            Magnitude { negative: true, bytes: Cow::Owned(bytes) }
        }
        _ => Magnitude { negative: false, bytes: Cow::Borrowed(strip(field)) },
    }
}
