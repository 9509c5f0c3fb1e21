//! Ion binary: top-level values are found by their lengths (Ion 1.0 specification, "Typed Value Formats") and decoded in groups,
//! together with the symbol tables before them.

use std::collections::VecDeque;
use std::path::Path;

use ledgerstone_digest::ion::{self, Limits, Value};
use ledgerstone_query::types::SqlType;

use super::source::{Blocks, Cells, Place, Row, Source, Trouble, VALUE_BYTES_MAX};

const MARKER: [u8; 4] = [0xE0, 1, 0, 0xEA];
/// Symbol tables since the last version marker.
const TABLES_BYTES_MAX: usize = 16 << 20;
/// About this many bytes of values are decoded together.
const GROUP_BYTES: usize = 1 << 20;

/// Whether a file begins with Ion's version marker.
pub fn is_binary(path: &Path) -> Result<bool, Trouble> {
    let mut blocks = Blocks::open(path)?;
    Ok(blocks.peek()? == Some(MARKER[0]))
}

pub struct Binary {
    blocks: Blocks,
    /// A version marker and the symbol tables behind it.
    tables: Vec<u8>,
    /// The first item of the next group, if it has been read.
    item: Option<Item>,
    decoded: VecDeque<Value>,
    rows: u64,
}

enum Item {
    Marker,
    Table(Vec<u8>),
    Value(Vec<u8>),
}

impl Binary {
    pub fn open(path: &Path) -> Result<Binary, Trouble> {
        Ok(Binary::of(Blocks::open(path)?))
    }

    fn of(blocks: Blocks) -> Binary {
        Binary { blocks, tables: Vec::new(), item: None, decoded: VecDeque::new(), rows: 0 }
    }

    /// Decodes the next values, at least one.
    fn group(&mut self) -> Result<bool, Trouble> {
        let mut values = 0;
        let mut bytes = Vec::new();
        loop {
            let item = match self.item.take() {
                Some(item) => Some(item),
                None => self.read_item()?,
            };
            match item {
                None if values == 0 => return Ok(false),
                None => break,
                Some(Item::Value(value)) => {
                    values += 1;
                    bytes.extend(value);
                    if bytes.len() >= GROUP_BYTES {
                        break;
                    }
                }
                // The values before it are decoded without it.
                Some(item) if values > 0 => {
                    self.item = Some(item);
                    break;
                }
                Some(Item::Marker) => self.tables = MARKER.to_vec(),
                Some(Item::Table(table)) => {
                    self.tables.extend(table);
                    if self.tables.len() > TABLES_BYTES_MAX {
                        let what = format!("the symbol tables are longer than {} MiB", TABLES_BYTES_MAX >> 20);
                        return Err(Trouble::new(what).at(Place::Row(self.rows + 1)));
                    }
                }
            }
        }
        let limits = Limits { bytes_max: TABLES_BYTES_MAX + GROUP_BYTES + VALUE_BYTES_MAX, ..Limits::DOCUMENT };
        let mut all = self.tables.clone();
        all.extend(bytes);
        let decoded = ion::decode_many(&all, &limits)
            .map_err(|error| Trouble::new(format!("it is no Ion: {error}")).at(Place::Row(self.rows + 1)))?;
        if decoded.len() != values {
            let what = format!("{values} values were decoded as {}", decoded.len());
            return Err(Trouble::new(what).at(Place::Row(self.rows + 1)));
        }
        self.decoded.extend(decoded);
        Ok(true)
    }

    /// The next marker, symbol table or value.
    fn read_item(&mut self) -> Result<Option<Item>, Trouble> {
        loop {
            let Some(first) = self.blocks.next()? else { return Ok(None) };
            let mut bytes = vec![first];
            if first == MARKER[0] {
                for expected in &MARKER[1..] {
                    if self.byte(&mut bytes)? != *expected {
                        return Err(self.broken("a version marker that is not that of Ion 1.0"));
                    }
                }
                return Ok(Some(Item::Marker));
            }
            let (code, low) = (first >> 4, first & 15);
            let length = match (code, low) {
                (15, _) => return Err(self.broken("a type that there is not")),
                // Nulls, and booleans, which have their value in the type's byte.
                (_, 15) | (1, _) => 0,
                (_, 14) | (13, 1) => self.var_uint(&mut bytes)?,
                (_, low) => usize::from(low),
            };
            if length > VALUE_BYTES_MAX {
                return Err(self.broken(&format!("a value is longer than {} MiB", VALUE_BYTES_MAX >> 20)));
            }
            let head = bytes.len();
            for _ in 0..length {
                self.byte(&mut bytes)?;
            }
            // Padding.
            if code == 0 && low != 15 {
                continue;
            }
            let is_table = code == 14 && is_table(bytes.get(head..).unwrap_or_default());
            return Ok(Some(if is_table { Item::Table(bytes) } else { Item::Value(bytes) }));
        }
    }

    fn var_uint(&mut self, bytes: &mut Vec<u8>) -> Result<usize, Trouble> {
        let mut number = 0_usize;
        loop {
            let byte = self.byte(bytes)?;
            number = number << 7 | usize::from(byte & 0x7f);
            if byte & 0x80 != 0 {
                return Ok(number);
            }
            if number > VALUE_BYTES_MAX {
                return Err(self.broken(&format!("a value is longer than {} MiB", VALUE_BYTES_MAX >> 20)));
            }
        }
    }

    fn byte(&mut self, bytes: &mut Vec<u8>) -> Result<u8, Trouble> {
        let byte = self.blocks.next()?.ok_or_else(|| self.broken("the file ends inside a value"))?;
        bytes.push(byte);
        Ok(byte)
    }

    fn broken(&self, what: &str) -> Trouble {
        let row = self.rows + self.decoded.len() as u64 + 1;
        Trouble::new(format!("{what}, at byte {} of the file", self.blocks.bytes_read())).at(Place::Row(row))
    }
}

/// Whether the inside of an annotation wrapper is a struct whose first annotation is `$ion_symbol_table`, symbol 3.
fn is_table(inside: &[u8]) -> bool {
    let Some((length, rest)) = var_uint(inside) else { return false };
    let Some((first, _)) = var_uint(rest) else { return false };
    let value = rest.get(length..).and_then(<[u8]>::first);
    first == 3 && value.is_some_and(|byte| byte >> 4 == 13 && byte & 15 != 15)
}

/// A number of seven bits a byte, and what follows it.
fn var_uint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.iter().position(|byte| byte & 0x80 != 0)? + 1;
    let (number, rest) = bytes.split_at(end);
    let number =
        number.iter().try_fold(0_usize, |all, byte| all.checked_mul(128)?.checked_add(usize::from(byte & 0x7f)))?;
    Some((number, rest))
}

impl Source for Binary {
    fn next(&mut self) -> Result<Option<Row>, Trouble> {
        if self.decoded.is_empty() && !self.group()? {
            return Ok(None);
        }
        let Some(value) = self.decoded.pop_front() else { return Ok(None) };
        self.rows += 1;
        Ok(Some(Row { place: Place::Row(self.rows), cells: Cells::Document(value) }))
    }

    fn columns(&mut self) -> Result<Option<Vec<(String, SqlType)>>, Trouble> {
        Ok(Some(Vec::new()))
    }

    fn bytes_read(&self) -> u64 {
        self.blocks.bytes_read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: Vec<u8>) -> Result<Vec<String>, String> {
        let mut binary = Binary::of(Blocks::of(std::io::Cursor::new(bytes)));
        let mut all = Vec::new();
        while let Some(row) = binary.next().map_err(|trouble| trouble.to_string())? {
            let Cells::Document(value) = row.cells else { panic!("no document") };
            all.push(ion::to_text(&value));
        }
        Ok(all)
    }

    fn encoded(texts: &[&str]) -> Vec<u8> {
        let values = texts.iter().map(|text| ion::parse(text, &Limits::DOCUMENT).unwrap());
        values.flat_map(|value| ion::encode(&value)).collect()
    }

    #[test]
    fn values_are_found_with_the_tables_before_them() {
        let texts =
            ["{a:1,b:\"x\"}", "{c:[1.50,{a:null.int}]}", "q::{a:{{aGk=}}}", "{long:\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}"];
        assert_eq!(read(encoded(&texts)).unwrap(), texts);
        assert_eq!(read(MARKER.to_vec()).unwrap(), [""; 0]);
    }

    #[test]
    fn a_file_that_is_cut_or_broken_is_refused_at_its_row() {
        let whole = encoded(&["{a:1}", "{b:\"long enough to need a length of its own\"}"]);
        for length in 5..whole.len() {
            let outcome = read(whole[..length].to_vec());
            assert!(outcome.is_ok_and(|rows| rows.len() <= 1) || read(whole[..length].to_vec()).is_err());
        }
        let error = read(whole[..whole.len() - 3].to_vec()).unwrap_err();
        assert!(error.contains("row 2: the file ends inside a value"), "{error}");
        for seed in 0..2_000_u64 {
            let mut changed = whole.clone();
            let at = usize::try_from(seed.wrapping_mul(0x9E37_79B9) % changed.len() as u64).unwrap();
            changed[at] ^= (seed % 255 + 1) as u8;
            // Refused or read; never a panic, never without an end.
            let _ = read(changed);
        }
        let mut long = MARKER.to_vec();
        long.extend([0x8E, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0xff]);
        assert!(read(long).unwrap_err().contains("longer than"));
    }
}
