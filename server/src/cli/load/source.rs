//! What a file is to the others: rows, each with its place in the file.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use arrow::array::RecordBatch;
use ledgerstone_digest::ion::Value;
use ledgerstone_query::error::QueryError;
use ledgerstone_query::types::SqlType;

/// A row, a value or a field is never longer; checked before more of it is kept.
pub const VALUE_BYTES_MAX: usize = 16 << 20;
/// Bytes of a text that an error shows.
const SHOWN_CHARACTERS: usize = 60;

/// A file.
pub trait Source {
    /// The next row.
    fn next(&mut self) -> Result<Option<Row>, Trouble>;

    /// Names and types of columns, if the format has types; `None` if rows say more.
    fn columns(&mut self) -> Result<Option<Vec<(String, SqlType)>>, Trouble>;

    /// The table's columns, for a file that does not name its own.
    fn name(&mut self, _columns: &[String]) {}

    /// How far it has been read.
    fn bytes_read(&self) -> u64;
}

/// A row as it stands in the file.
pub struct Row {
    pub place: Place,
    pub cells: Cells,
}

pub enum Cells {
    /// Names, and texts in their order; `None` is NULL.
    Texts(Arc<[String]>, Vec<Option<String>>),
    /// A document.
    Document(Value),
    /// A row of a batch of Arrow.
    Arrow(RecordBatch, usize),
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Line(u64),
    /// Rows of a file without lines, from 1.
    Row(u64),
}

/// What is wrong, where, and what to do.
#[derive(Debug)]
pub struct Trouble {
    place: Option<Place>,
    column: Option<String>,
    text: Option<String>,
    what: String,
    help: Option<String>,
}

impl Trouble {
    pub fn new(what: impl Into<String>) -> Trouble {
        Trouble { place: None, column: None, text: None, what: what.into(), help: None }
    }

    /// What a type's input function says.
    pub fn of(error: &QueryError) -> Trouble {
        let detail = error.detail.as_ref().map_or(String::new(), |detail| format!(" ({detail})"));
        let trouble = Trouble::new(format!("{}{detail}", error.message));
        Trouble { help: error.hint.clone(), ..trouble }
    }

    pub fn at(self, place: Place) -> Trouble {
        Trouble { place: Some(place), ..self }
    }

    pub fn column(self, name: &str) -> Trouble {
        Trouble { column: Some(name.to_owned()), ..self }
    }

    /// The text that is wrong.
    pub fn text(self, text: &str) -> Trouble {
        Trouble { text: Some(text.to_owned()), ..self }
    }

    pub fn help(self, help: impl Into<String>) -> Trouble {
        Trouble { help: Some(help.into()), ..self }
    }

    /// Rather than of a file or of the command.
    pub fn is_of_a_row(&self) -> bool {
        self.place.is_some()
    }
}

/// Behind the name of a file.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, ", {place}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.what)?;
        if let Some(text) = &self.text {
            let shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
            let more = if shown.len() < text.len() { "…" } else { "" };
            write!(f, "; the text is {shown:?}{more}")?;
        }
        match &self.help {
            Some(help) => write!(f, "\n{help}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(line) => write!(f, "line {line}"),
            Place::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// Bytes of a file, a block at a time.
pub struct Blocks {
    file: Box<dyn Read>,
    block: Vec<u8>,
    at: usize,
    read: u64,
}

impl Blocks {
    pub fn open(path: &std::path::Path) -> Result<Blocks, Trouble> {
        let file = std::fs::File::open(path).map_err(|error| Trouble::new(error.to_string()))?;
        Ok(Blocks::of(file))
    }

    pub fn of(file: impl Read + 'static) -> Blocks {
        Blocks { file: Box::new(file), block: Vec::new(), at: 0, read: 0 }
    }

    /// The next byte, which stays.
    pub fn peek(&mut self) -> Result<Option<u8>, Trouble> {
        if self.at == self.block.len() {
            self.block.resize(64 << 10, 0);
            let read = loop {
                match self.file.read(&mut self.block) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    other => break other.map_err(|error| Trouble::new(format!("it cannot be read: {error}")))?,
                }
            };
            self.block.truncate(read);
            self.at = 0;
        }
        Ok(self.block.get(self.at).copied())
    }

    /// The next byte.
    pub fn next(&mut self) -> Result<Option<u8>, Trouble> {
        let byte = self.peek()?;
        if byte.is_some() {
            self.at += 1;
            self.read += 1;
        }
        Ok(byte)
    }

    pub fn bytes_read(&self) -> u64 {
        self.read
    }
}
