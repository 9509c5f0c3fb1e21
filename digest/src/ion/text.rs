//! Ion text, reading (Ion 1.0 specification, "Text encoding").
//!
//! One pass over the bytes; recursion ends at [`Limits::depth_max`]. Numbers and timestamps are read in `scalar.rs`,
//! quoted text in `quoted.rs`.

use super::quoted::Quote;
use super::symbols::{LocalTable, Names, Resolved, is_symbol_table};
use super::{
    Annotated, DEPTH_CAP, EXPANSION_MAX, Int, IonType, Limits, Struct, Symbol, SymbolTableError, Text, Value, scalar,
};

/// Why a text is not Ion that is accepted here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Ion text, line {line}, column {column}: {problem}")]
pub struct TextError {
    pub problem: TextProblem,
    /// Bytes from the start of the text.
    pub offset: usize,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextProblem {
    #[error("no value; exactly one was expected")]
    NoValue,
    #[error("a second value; exactly one was expected")]
    SecondValue,
    #[error("the text ends here; expected {0}")]
    End(&'static str),
    #[error("found {found:?}; expected {expected}")]
    Unexpected { found: char, expected: &'static str },
    #[error("{0:?} is not a number")]
    Number(String),
    #[error("integer or coefficient of more than {max} digits", max = Int::DIGITS_MAX)]
    LongInt,
    #[error("exponent beyond {min} to {max}", min = i32::MIN, max = i32::MAX)]
    Exponent,
    #[error("{text:?} is not a timestamp: {why}")]
    Timestamp { text: String, why: String },
    #[error("no such escape sequence here")]
    Escape,
    #[error("control character {0:?} must be escaped")]
    Control(char),
    #[error("blob: not Base64 with padding")]
    Base64,
    #[error("clob: only ASCII characters and escapes up to \\xFF")]
    Clob,
    #[error("{0} is a keyword; write '{0}' for the symbol")]
    Keyword(&'static str),
    #[error("null.{0} is not a type")]
    NullType(String),
    #[error("symbol {0} is not in the symbol table")]
    Symbol(String),
    #[error(transparent)]
    SymbolTable(#[from] SymbolTableError),
    #[error("version {0} is not supported; write $ion_1_0")]
    Version(String),
    #[error("larger than {0} bytes")]
    TooLarge(usize),
    #[error("more than {0} values inside each other")]
    TooDeep(usize),
    #[error("more than {0} values")]
    TooMany(usize),
    #[error("its symbols written out are longer than {0} bytes")]
    TooLong(usize),
}

/// An error before its line and column are known.
pub(super) type Raw<T> = Result<T, (usize, TextProblem)>;

/// Reads a text that holds exactly one value.
pub fn parse(text: &str, limits: &Limits) -> Result<Value, TextError> {
    let mut found = None;
    read(text, limits, |value, at| {
        if found.replace(value).is_some() {
            return Err((at, TextProblem::SecondValue));
        }
        Ok(())
    })?;
    found.ok_or_else(|| locate(text, (text.len(), TextProblem::NoValue)))
}

/// Reads every value of a text.
pub fn parse_many(text: &str, limits: &Limits) -> Result<Vec<Value>, TextError> {
    let mut found = Vec::new();
    read(text, limits, |value, _| {
        found.push(value);
        Ok(())
    })?;
    Ok(found)
}

fn read(text: &str, limits: &Limits, use_value: impl FnMut(Value, usize) -> Raw<()>) -> Result<(), TextError> {
    if text.len() > limits.bytes_max {
        return Err(locate(text, (0, TextProblem::TooLarge(limits.bytes_max))));
    }
    let mut parser =
        Parser { text, bytes: text.as_bytes(), at: 0, limits, values: 0, written_out: 0, table: LocalTable::default() };
    parser.top_level(use_value).map_err(|e| locate(text, e))
}

fn locate(text: &str, (offset, problem): (usize, TextProblem)) -> TextError {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    TextError { problem, offset, line, column }
}

pub(super) struct Parser<'a> {
    pub text: &'a str,
    pub bytes: &'a [u8],
    pub at: usize,
    limits: &'a Limits,
    values: usize,
    /// Bytes that symbols would have which were written as numbers.
    written_out: usize,
    table: LocalTable,
}

/// A symbol as it was written.
enum Name<'a> {
    /// Without quotes.
    Identifier(&'a str),
    Quoted(Symbol),
}

impl<'a> Parser<'a> {
    fn top_level(&mut self, mut use_value: impl FnMut(Value, usize) -> Raw<()>) -> Raw<()> {
        loop {
            self.skip_space()?;
            let start = self.at;
            if start == self.bytes.len() {
                return Ok(());
            }
            if self.version_marker()? {
                self.table.reset();
                continue;
            }
            let value = self.value(0, false)?;
            if is_symbol_table(&value) {
                self.table.apply(&value, self.limits.values_max).map_err(|e| (start, e.into()))?;
            } else {
                use_value(value, start)?;
            }
        }
    }

    /// Takes an unquoted, unannotated `$ion_1_0`.
    fn version_marker(&mut self) -> Raw<bool> {
        let start = self.at;
        let word = self.peek_identifier();
        let is_version = |digits: &str| {
            digits.split_once('_').is_some_and(|(major, minor)| scalar::all_digits(major) && scalar::all_digits(minor))
        };
        if !word.strip_prefix("$ion_").is_some_and(is_version) {
            return Ok(false);
        }
        self.at += word.len();
        if self.take_double_colon()? {
            self.at = start;
            return Ok(false);
        }
        if word != "$ion_1_0" {
            return Err((start, TextProblem::Version(shortened(word))));
        }
        Ok(true)
    }

    /// The value that starts here, its annotations first. Recursion: once per container.
    fn value(&mut self, depth: usize, in_sexp: bool) -> Raw<Value> {
        let mut annotations = Vec::new();
        let start = self.at;
        let value = loop {
            self.skip_space()?;
            let name_at = self.at;
            let Some(name) = self.name()? else {
                break None;
            };
            if self.take_double_colon()? {
                self.count(name_at)?;
                annotations.push(self.symbol_of(name, name_at)?);
                continue;
            }
            break Some(self.symbol_value(name, name_at)?);
        };
        self.count(start)?;
        if !annotations.is_empty() {
            self.check_depth(depth)?;
        }
        let inside = depth + usize::from(!annotations.is_empty());
        let value = match value {
            Some(value) => value,
            None => self.other_value(inside, in_sexp)?,
        };
        if annotations.is_empty() {
            return Ok(value);
        }
        Ok(Value::Annotated(Box::new(Annotated { annotations, value })))
    }

    /// A value that does not begin like a symbol.
    fn other_value(&mut self, depth: usize, in_sexp: bool) -> Raw<Value> {
        match self.peek() {
            Some(b'"') => Ok(Value::String(self.short_string()?)),
            Some(b'\'') => Ok(Value::String(self.long_string()?)),
            Some(b'[') => self.list(depth),
            Some(b'(') => self.sexp(depth),
            Some(b'{') if self.bytes[self.at..].starts_with(b"{{") => self.lob(),
            Some(b'{') => self.structure(depth),
            Some(b'0'..=b'9') => self.number(),
            Some(b'-') if matches!(self.bytes.get(self.at + 1), Some(b'0'..=b'9')) => self.number(),
            Some(b'+' | b'-') if self.take_infinity() => {
                let minus = self.bytes[self.at - 4] == b'-';
                Ok(Value::Float(if minus { f64::NEG_INFINITY } else { f64::INFINITY }))
            }
            Some(b) if in_sexp && is_operator(b) => Ok(self.operator()),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn list(&mut self, depth: usize) -> Raw<Value> {
        self.check_depth(depth)?;
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip_space()?;
            if self.take(b']') {
                return Ok(Value::List(items));
            }
            items.push(self.value(depth + 1, false)?);
            self.skip_space()?;
            if !self.take(b',') && self.peek() != Some(b']') {
                return Err(self.unexpected("',' or ']'"));
            }
        }
    }

    fn sexp(&mut self, depth: usize) -> Raw<Value> {
        self.check_depth(depth)?;
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip_space()?;
            if self.take(b')') {
                return Ok(Value::Sexp(items));
            }
            items.push(self.value(depth + 1, true)?);
        }
    }

    fn structure(&mut self, depth: usize) -> Raw<Value> {
        self.check_depth(depth)?;
        self.at += 1;
        let mut fields = Vec::new();
        loop {
            self.skip_space()?;
            if self.take(b'}') {
                return Ok(Value::Struct(Struct { fields }));
            }
            let name = self.field_name()?;
            self.skip_space()?;
            if !self.take(b':') {
                return Err(self.unexpected("':' after a field name"));
            }
            fields.push((name, self.value(depth + 1, false)?));
            self.skip_space()?;
            if !self.take(b',') && self.peek() != Some(b'}') {
                return Err(self.unexpected("',' or '}'"));
            }
        }
    }

    fn field_name(&mut self) -> Raw<Symbol> {
        let start = self.at;
        if let Some(name) = self.name()? {
            return self.symbol_of(name, start);
        }
        match self.peek() {
            Some(b'"') => Ok(Symbol::new(self.short_string()?)),
            Some(b'\'') => Ok(Symbol::new(self.long_string()?)),
            _ => Err(self.unexpected("a field name or '}'")),
        }
    }

    /// An identifier or a quoted symbol, if one starts here.
    fn name(&mut self) -> Raw<Option<Name<'a>>> {
        match self.peek() {
            Some(b'\'') if !self.bytes[self.at..].starts_with(b"'''") => {
                self.at += 1;
                let text = self.quoted_text(Quote::Single)?;
                Ok(Some(Name::Quoted(Symbol::new(text))))
            }
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$') => {
                let word = self.peek_identifier();
                self.at += word.len();
                Ok(Some(Name::Identifier(word)))
            }
            _ => Ok(None),
        }
    }

    /// A name used as annotation or field name.
    fn symbol_of(&mut self, name: Name<'_>, start: usize) -> Raw<Symbol> {
        match name {
            Name::Quoted(symbol) => Ok(symbol),
            Name::Identifier(word) => match keyword(word) {
                Some(keyword) => Err((start, TextProblem::Keyword(keyword))),
                None => self.identifier_symbol(word, start),
            },
        }
    }

    /// A name used as a value: a keyword or a symbol.
    fn symbol_value(&mut self, name: Name<'_>, start: usize) -> Raw<Value> {
        let word = match name {
            Name::Quoted(symbol) => return Ok(Value::Symbol(symbol)),
            Name::Identifier(word) => word,
        };
        match word {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "nan" => Ok(Value::Float(f64::NAN)),
            "null" if self.peek() == Some(b'.') => {
                self.at += 1;
                let name = self.peek_identifier();
                let null = null_type(name).ok_or_else(|| (start, TextProblem::NullType(shortened(name))))?;
                self.at += name.len();
                Ok(Value::Null(null))
            }
            "null" => Ok(Value::NULL),
            _ => self.identifier_symbol(word, start).map(Value::Symbol),
        }
    }

    /// `$10` is a number in the symbol table, everything else stands for itself.
    fn identifier_symbol(&mut self, word: &str, start: usize) -> Raw<Symbol> {
        let Some(digits) = word.strip_prefix('$').filter(|d| scalar::all_digits(d)) else {
            return Ok(Symbol::from(word));
        };
        let undefined = || (start, TextProblem::Symbol(shortened(word)));
        match self.table.resolve(digits.parse().map_err(|_| undefined())?) {
            Resolved::Text(text) => {
                self.written_out += text.len();
                let max = self.limits.bytes_max.saturating_mul(EXPANSION_MAX);
                if self.written_out > max {
                    return Err((start, TextProblem::TooLong(max)));
                }
                Ok(Symbol::new(text.clone()))
            }
            Resolved::NoText => Ok(Symbol::UNKNOWN),
            Resolved::Undefined => Err(undefined()),
        }
    }

    /// Digits, and all that may follow them in a number or a timestamp.
    fn number(&mut self) -> Raw<Value> {
        let start = self.at;
        let belongs = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'+' | b'-' | b':');
        let length = self.bytes[start..].iter().position(|b| !belongs(b)).unwrap_or(self.bytes.len() - start);
        self.at += length;
        if !self.at_stop() {
            return Err(self.unexpected("the end of the number"));
        }
        scalar::parse_number(&self.text[start..self.at]).map_err(|problem| (start, problem))
    }

    fn take_infinity(&mut self) -> bool {
        let start = self.at;
        if self.bytes[start + 1..].starts_with(b"inf") {
            self.at += 4;
            if self.at_stop() {
                return true;
            }
            self.at = start;
        }
        false
    }

    /// The longest run of operator characters, up to a comment.
    fn operator(&mut self) -> Value {
        let start = self.at;
        while let Some(b) = self.peek() {
            if !is_operator(b) || self.at_comment() {
                break;
            }
            self.at += 1;
        }
        Value::Symbol(Symbol::from(&self.text[start..self.at]))
    }

    fn peek_identifier(&self) -> &'a str {
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        let belongs = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$');
        let length = rest.iter().position(|b| !belongs(b)).unwrap_or(rest.len());
        if rest.first().is_some_and(u8::is_ascii_digit) {
            return "";
        }
        &self.text[self.at..self.at + length]
    }

    /// `::` after a symbol, with space before it allowed. Takes nothing if it is not there.
    fn take_double_colon(&mut self) -> Raw<bool> {
        let start = self.at;
        self.skip_space()?;
        if self.bytes[self.at..].starts_with(b"::") {
            self.at += 2;
            return Ok(true);
        }
        self.at = start;
        Ok(false)
    }

    /// Skips white space and comments.
    pub(super) fn skip_space(&mut self) -> Raw<()> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C) => self.at += 1,
                Some(b'/') if self.at_comment() => self.comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn comment(&mut self) -> Raw<()> {
        let start = self.at;
        let rest = &self.bytes[start + 2..];
        if self.bytes[start + 1] == b'/' {
            let length = rest.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(rest.len());
            self.at = start + 2 + length;
            return Ok(());
        }
        match rest.windows(2).position(|pair| pair == b"*/") {
            Some(length) => {
                self.at = start + 2 + length + 2;
                Ok(())
            }
            None => Err((start, TextProblem::End("'*/' after a comment"))),
        }
    }

    fn at_comment(&self) -> bool {
        self.peek() == Some(b'/') && matches!(self.bytes.get(self.at + 1), Some(b'/' | b'*'))
    }

    /// The characters that may follow a number.
    fn at_stop(&self) -> bool {
        match self.peek() {
            None => true,
            Some(b'{' | b'}' | b'[' | b']' | b'(' | b')' | b',' | b'"' | b'\'') => true,
            Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C) => true,
            Some(_) => self.at_comment(),
        }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    pub(super) fn unexpected(&self, expected: &'static str) -> (usize, TextProblem) {
        let problem = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(found) => TextProblem::Unexpected { found, expected },
            None => TextProblem::End(expected),
        };
        (self.at, problem)
    }

    /// Annotations count as values: they take as much memory.
    fn count(&mut self, at: usize) -> Raw<()> {
        self.values += 1;
        if self.values > self.limits.values_max {
            return Err((at, TextProblem::TooMany(self.limits.values_max)));
        }
        Ok(())
    }

    fn check_depth(&self, depth: usize) -> Raw<()> {
        let depth_max = self.limits.depth_max.min(DEPTH_CAP);
        if depth >= depth_max {
            return Err((self.at, TextProblem::TooDeep(depth_max)));
        }
        Ok(())
    }

    fn short_string(&mut self) -> Raw<Text> {
        self.at += 1;
        self.quoted_text(Quote::Double)
    }
}

/// A keyword that must be quoted to be a symbol.
pub(super) fn keyword(word: &str) -> Option<&'static str> {
    ["null", "true", "false", "nan"].into_iter().find(|k| *k == word)
}

/// The names of the types, as in `null.int`.
pub(super) const TYPE_NAMES: [(&str, IonType); 13] = [
    ("null", IonType::Null),
    ("bool", IonType::Bool),
    ("int", IonType::Int),
    ("float", IonType::Float),
    ("decimal", IonType::Decimal),
    ("timestamp", IonType::Timestamp),
    ("symbol", IonType::Symbol),
    ("string", IonType::String),
    ("clob", IonType::Clob),
    ("blob", IonType::Blob),
    ("list", IonType::List),
    ("sexp", IonType::Sexp),
    ("struct", IonType::Struct),
];

/// The characters that make operators in S-expressions.
pub(super) fn is_operator(b: u8) -> bool {
    b"!#%&*+-./;<=>?@^`|~".contains(&b)
}

fn null_type(name: &str) -> Option<IonType> {
    TYPE_NAMES.iter().find(|(n, _)| *n == name).map(|(_, t)| *t)
}

/// What a message quotes of a text that may be long.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}
