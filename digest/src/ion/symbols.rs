//! Symbol tables (Ion 1.0 specification, "Symbols"): the system table, local tables of a stream, and the two traits
//! through which a caller keeps its own dictionary, with the simplest one.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{Struct, Symbol, Text, Value};

/// Symbols 1 to 9 of every Ion 1.0 stream.
const SYSTEM: [&str; 9] = [
    "$ion",
    "$ion_1_0",
    "$ion_symbol_table",
    "name",
    "version",
    "imports",
    "symbols",
    "max_id",
    "$ion_shared_symbol_table",
];

/// The first number that a local symbol gets.
pub const FIRST_LOCAL_SYMBOL: u32 = SYSTEM.len() as u32 + 1;

pub(super) const SYMBOL_TABLE: &str = "$ion_symbol_table";
pub(super) const SYMBOL_TABLE_ID: u64 = 3;
pub(super) const SYMBOLS_ID: u64 = 7;
pub(super) const VERSION_SYMBOL_ID: u64 = 2;

static SYSTEM_SHARED: LazyLock<[Text; 9]> = LazyLock::new(|| SYSTEM.map(Text::new_static));

/// Gives numbers to symbol texts while values are encoded. Must give the same text the same number every time and
/// must never give 0, which is the symbol without text.
pub trait SymbolTable {
    fn intern(&mut self, text: &str) -> u32;
}

/// Finds the texts of numbers while values are decoded. Never asked for 0.
pub trait SymbolLookup {
    /// The text, or `None` if the number was never given out: the value is then refused.
    fn text(&self, number: u32) -> Option<&Text>;
}

/// A dictionary for values that are written one after the other; its texts are what reads them. Numbers begin at 1.
#[derive(Debug, Default)]
pub struct Interner {
    texts: Vec<Text>,
    numbers: HashMap<Text, u32>,
    /// The symbol that stood at this place in the value before: most documents of a table have the same, in one order.
    expected: usize,
}

impl Interner {
    /// Another value begins.
    pub fn begin(&mut self) {
        self.expected = 0;
    }

    /// The texts in the order of their numbers.
    pub fn into_texts(self) -> Vec<Text> {
        self.texts
    }
}

impl SymbolTable for Interner {
    fn intern(&mut self, text: &str) -> u32 {
        if self.texts.get(self.expected).is_some_and(|expected| **expected == *text) {
            self.expected += 1;
            return self.expected as u32;
        }
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let text = Text::new(text);
        self.texts.push(text.clone());
        let number = self.texts.len() as u32;
        self.numbers.insert(text, number);
        self.expected = self.texts.len();
        number
    }
}

impl SymbolLookup for Vec<Text> {
    fn text(&self, number: u32) -> Option<&Text> {
        self.get((number as usize).checked_sub(1)?)
    }
}

/// What a symbol number stands for.
pub(super) enum Resolved<'a> {
    Text(&'a Text),
    /// In the table, but its text is not known.
    NoText,
    /// Beyond the table.
    Undefined,
}

/// Resolves numbers for a reader.
pub(super) trait Names {
    fn resolve(&self, number: u64) -> Resolved<'_>;
}

/// A dictionary kept by the caller.
pub(super) struct Dictionary<'a, L: SymbolLookup>(pub &'a L);

impl<L: SymbolLookup> Names for Dictionary<'_, L> {
    fn resolve(&self, number: u64) -> Resolved<'_> {
        if number == 0 {
            return Resolved::NoText;
        }
        match u32::try_from(number).ok().and_then(|n| self.0.text(n)) {
            Some(text) => Resolved::Text(text),
            None => Resolved::Undefined,
        }
    }
}

/// The table of a stream being read: the system table and what the stream added.
#[derive(Default)]
pub(super) struct LocalTable {
    texts: Vec<Option<Text>>,
}

/// Why a struct is not a local symbol table that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SymbolTableError {
    #[error("symbol table imports the shared table {0:?}, and shared tables are not supported; write the symbols out")]
    SharedTable(String),
    #[error("symbol table has the field {0:?} twice")]
    Repeated(&'static str),
    #[error("symbol table holds more than {0} symbols")]
    TooLarge(usize),
}

impl LocalTable {
    /// Back to the system table, as a version marker asks.
    pub fn reset(&mut self) {
        self.texts.clear();
    }

    /// Takes over a `$ion_symbol_table::{…}` struct.
    pub fn apply(&mut self, table: &Value, symbols_max: usize) -> Result<(), SymbolTableError> {
        let Value::Struct(fields) = table.unannotated() else {
            // A null symbol table defines nothing.
            self.reset();
            return Ok(());
        };
        let append = match only_field(fields, "imports")? {
            Some(Value::Symbol(s)) => s.text() == Some(SYMBOL_TABLE),
            Some(Value::List(imports)) => {
                imports.iter().try_for_each(refuse_shared)?;
                false
            }
            _ => false,
        };
        if !append {
            self.reset();
        }
        if let Some(Value::List(symbols)) = only_field(fields, "symbols")? {
            if self.texts.len() + symbols.len() > symbols_max {
                return Err(SymbolTableError::TooLarge(symbols_max));
            }
            self.texts.extend(symbols.iter().map(|s| match s {
                Value::String(text) => Some(text.clone()),
                _ => None,
            }));
        }
        Ok(())
    }
}

impl Names for LocalTable {
    fn resolve(&self, number: u64) -> Resolved<'_> {
        if number == 0 {
            return Resolved::NoText;
        }
        let Ok(index) = usize::try_from(number - 1) else {
            return Resolved::Undefined;
        };
        if index < SYSTEM.len() {
            return Resolved::Text(&SYSTEM_SHARED[index]);
        }
        match self.texts.get(index - SYSTEM.len()) {
            Some(Some(text)) => Resolved::Text(text),
            Some(None) => Resolved::NoText,
            None => Resolved::Undefined,
        }
    }
}

/// Whether this top-level value is a local symbol table rather than a user's value.
pub(super) fn is_symbol_table(value: &Value) -> bool {
    value.annotations().first().and_then(Symbol::text) == Some(SYMBOL_TABLE)
        && value.ion_type() == super::IonType::Struct
}

/// Collects the symbols of one value that is written with its own table.
#[derive(Default)]
pub(super) struct Collector {
    texts: Vec<Text>,
    /// Filled only when there are many symbols: for a small document comparing is quicker than hashing.
    numbers: HashMap<Text, u32>,
}

impl Collector {
    const COMPARED: usize = 16;

    pub fn texts(&self) -> &[Text] {
        &self.texts
    }
}

impl SymbolTable for Collector {
    fn intern(&mut self, text: &str) -> u32 {
        if let Some(at) = system_number(text) {
            return at;
        }
        let found = if self.texts.len() <= Self::COMPARED {
            self.texts.iter().position(|t| &**t == text).map(|at| at as u32 + FIRST_LOCAL_SYMBOL)
        } else {
            self.numbers.get(text).copied()
        };
        if let Some(number) = found {
            return number;
        }
        let number = self.texts.len() as u32 + FIRST_LOCAL_SYMBOL;
        self.texts.push(Text::new(text));
        if self.texts.len() > Self::COMPARED {
            if self.numbers.is_empty() {
                self.numbers = self.texts.iter().cloned().zip(FIRST_LOCAL_SYMBOL..).collect();
            } else {
                self.numbers.insert(Text::new(text), number);
            }
        }
        number
    }
}

fn system_number(text: &str) -> Option<u32> {
    // Only these start so: most field names are settled by their first byte.
    if !matches!(text.as_bytes().first(), Some(b'$' | b'n' | b'v' | b'i' | b's' | b'm')) {
        return None;
    }
    SYSTEM.iter().position(|s| *s == text).map(|at| at as u32 + 1)
}

fn only_field<'a>(fields: &'a Struct, name: &'static str) -> Result<Option<&'a Value>, SymbolTableError> {
    let mut found = fields.fields.iter().filter(|(n, _)| n.text() == Some(name)).map(|(_, v)| v);
    let first = found.next();
    if found.next().is_some() {
        return Err(SymbolTableError::Repeated(name));
    }
    Ok(first)
}

/// An import that is not a struct, has no name, or names the system table imports nothing.
fn refuse_shared(import: &Value) -> Result<(), SymbolTableError> {
    match import.as_struct().and_then(|s| s.get("name")) {
        Some(Value::String(name)) if !name.is_empty() && &**name != "$ion" => {
            Err(SymbolTableError::SharedTable(name.chars().take(128).collect()))
        }
        _ => Ok(()),
    }
}
