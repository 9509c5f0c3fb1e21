//! CSV (RFC 4180): fields with a delimiter between, in double quotes if need be.

use std::path::Path;
use std::sync::Arc;

use ledgerstone_query::types::SqlType;

use super::source::{Blocks, Cells, Place, Row, Source, Trouble, VALUE_BYTES_MAX};

/// How a file is written.
#[derive(Debug, Clone)]
pub struct Format {
    pub delimiter: u8,
    pub null: String,
    pub header: bool,
    /// In place of the header's names.
    pub names: Vec<String>,
}

/// The fields of a row, and the line in which it begins.
type Record = (Vec<Option<String>>, u64);

pub struct Csv {
    blocks: Blocks,
    format: Format,
    /// Of the row that is read next.
    line: u64,
    names: Option<Arc<[String]>>,
}

impl Csv {
    pub fn open(path: &Path, format: Format) -> Result<Csv, Trouble> {
        Csv::of(Blocks::open(path)?, format)
    }

    fn of(blocks: Blocks, format: Format) -> Result<Csv, Trouble> {
        let mut csv = Csv { blocks, format, line: 1, names: None };
        // A mark that the file is UTF-8.
        if csv.blocks.peek()? == Some(0xEF) {
            let mark = [csv.blocks.next()?, csv.blocks.next()?, csv.blocks.next()?];
            if mark != [Some(0xEF), Some(0xBB), Some(0xBF)] {
                return Err(Trouble::new("the file is not UTF-8").at(Place::Line(1)));
            }
        }
        let header = match csv.format.header {
            true => csv.record()?.map(|(fields, _)| fields),
            false => None,
        };
        let header = header.map(|fields| fields.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>());
        let names = if csv.format.names.is_empty() { header } else { Some(csv.format.names.clone()) };
        if let Some(names) = &names {
            for (at, name) in names.iter().enumerate() {
                if name.is_empty() {
                    let what = format!("column {} of the first line has no name", at + 1);
                    return Err(Trouble::new(what).help("Give --names, or --no-header if the first line is a row."));
                }
                if names[..at].contains(name) {
                    return Err(Trouble::new(format!("two columns are called {name}")).help("Give other --names."));
                }
            }
        }
        csv.names = names.map(Arc::from);
        Ok(csv)
    }

    /// Names of columns: those of the file, or of the table in its order.
    fn names(&mut self, fields: usize) -> Arc<[String]> {
        let names = self.names.get_or_insert_with(|| (1..=fields).map(|n| format!("column{n}")).collect());
        Arc::clone(names)
    }

    /// The fields of the next line that is not empty, and its number.
    fn record(&mut self) -> Result<Option<Record>, Trouble> {
        loop {
            let line = self.line;
            if self.blocks.peek()?.is_none() {
                return Ok(None);
            }
            let mut fields = Vec::new();
            let mut bytes = 0;
            loop {
                let (field, last) = self.field(line, &mut bytes)?;
                fields.push(field);
                if last {
                    break;
                }
            }
            self.line += 1;
            // A line of nothing but its end is no row, unless rows have one column, of which it may be the value.
            let is_empty = match fields.as_slice() {
                [None] => self.format.null.is_empty(),
                [Some(text)] => text.is_empty(),
                _ => false,
            };
            // Quotes would be more.
            let is_empty = is_empty && bytes <= "\r\n".len();
            if !is_empty || self.names.as_ref().is_some_and(|names| names.len() == 1) {
                return Ok(Some((fields, line)));
            }
        }
    }

    /// One field, and whether it ends its line.
    fn field(&mut self, line: u64, row_bytes: &mut usize) -> Result<(Option<String>, bool), Trouble> {
        let mut bytes = Vec::new();
        let mut was_quoted = false;
        let last = loop {
            *row_bytes += 1;
            if *row_bytes > VALUE_BYTES_MAX {
                let what = format!("a row is longer than {} MiB", VALUE_BYTES_MAX >> 20);
                return Err(Trouble::new(what).at(Place::Line(line)).help("Is a closing quote missing?"));
            }
            match self.blocks.next()? {
                None | Some(b'\n') => break true,
                Some(b'\r') if self.blocks.peek()? == Some(b'\n') => {}
                Some(byte) if byte == self.format.delimiter => break false,
                Some(b'"') if bytes.is_empty() && !was_quoted => {
                    was_quoted = true;
                    self.quoted(line, &mut bytes, row_bytes)?;
                }
                Some(byte) if was_quoted => {
                    let what = format!("{:?} stands behind a closing quote", char::from(byte));
                    return Err(Trouble::new(what).at(Place::Line(line)).help("A quote inside of quotes is doubled."));
                }
                Some(byte) => bytes.push(byte),
            }
        };
        let text = String::from_utf8(bytes).map_err(|error| {
            let shown = String::from_utf8_lossy(error.as_bytes()).into_owned();
            Trouble::new("a field is not UTF-8")
                .at(Place::Line(line))
                .text(&shown)
                .help("Convert the file first (iconv).")
        })?;
        if text.contains('\0') {
            return Err(Trouble::new("a field has a zero byte").at(Place::Line(line)).text(&text));
        }
        Ok((if !was_quoted && text == self.format.null { None } else { Some(text) }, last))
    }

    /// What stands in quotes, up to the closing one.
    fn quoted(&mut self, line: u64, bytes: &mut Vec<u8>, row_bytes: &mut usize) -> Result<(), Trouble> {
        loop {
            *row_bytes += 1;
            if *row_bytes > VALUE_BYTES_MAX {
                let what = format!("a row is longer than {} MiB", VALUE_BYTES_MAX >> 20);
                return Err(Trouble::new(what).at(Place::Line(line)).help("Is a closing quote missing?"));
            }
            match self.blocks.next()? {
                None => {
                    let what = "a quoted field has no closing quote";
                    let begin: String = String::from_utf8_lossy(bytes).into_owned();
                    return Err(Trouble::new(what).at(Place::Line(line)).text(&begin));
                }
                Some(b'"') if self.blocks.peek()? == Some(b'"') => {
                    self.blocks.next()?;
                    bytes.push(b'"');
                }
                Some(b'"') => return Ok(()),
                Some(byte) => {
                    self.line += u64::from(byte == b'\n');
                    bytes.push(byte);
                }
            }
        }
    }
}

impl Source for Csv {
    fn next(&mut self) -> Result<Option<Row>, Trouble> {
        let Some((fields, line)) = self.record()? else { return Ok(None) };
        let place = Place::Line(line);
        let names = self.names(fields.len());
        if names.len() != fields.len() {
            let what = format!("the line has {} fields, and there are {} columns", fields.len(), names.len());
            let text = fields.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join(",");
            return Err(Trouble::new(what).at(place).text(&text).help("Is --delimiter right?"));
        }
        Ok(Some(Row { place, cells: Cells::Texts(names, fields) }))
    }

    fn columns(&mut self) -> Result<Option<Vec<(String, SqlType)>>, Trouble> {
        Ok(None)
    }

    fn name(&mut self, columns: &[String]) {
        if self.names.is_none() && !columns.is_empty() {
            self.names = Some(Arc::from(columns));
        }
    }

    fn bytes_read(&self) -> u64 {
        self.blocks.bytes_read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places and fields.
    type Read = Vec<(String, Vec<Option<String>>)>;

    fn read(text: &'static [u8], delimiter: u8, null: &str) -> Result<Read, String> {
        let format = Format { delimiter, null: null.to_owned(), header: true, names: Vec::new() };
        let mut csv = Csv::of(Blocks::of(text), format).map_err(|trouble| trouble.to_string())?;
        let mut rows = Vec::new();
        while let Some(row) = csv.next().map_err(|trouble| trouble.to_string())? {
            let Cells::Texts(_, fields) = row.cells else { panic!("no texts") };
            rows.push((row.place.to_string(), fields));
        }
        Ok(rows)
    }

    #[test]
    fn quotes_line_ends_and_nulls_are_read() {
        let some = |text: &str| Some(text.to_owned());
        let rows = read(b"\xEF\xBB\xBFa,b\r\n1,\"x\r\n\"\"y\"\"\"\r\n\r\n,\"\"\n3,z", b',', "").unwrap();
        assert_eq!(rows[0], ("line 2".to_owned(), vec![some("1"), some("x\r\n\"y\"")]));
        assert_eq!(rows[1], ("line 5".to_owned(), vec![None, some("")]));
        assert_eq!(rows[2], ("line 6".to_owned(), vec![some("3"), some("z")]));
        let rows = read(b"a;b\n1;NULL\n\\.;\"NULL\"\n", b';', "NULL").unwrap();
        assert_eq!(rows[0].1, [some("1"), None]);
        assert_eq!(rows[1].1, [some("\\."), some("NULL")]);
        // A line of one column may be any value, and an empty one is a null as it is in COPY.
        let rows = read(b"a\r\n1\r\n\r\n\"\"\r\n2\r\n", b',', "").unwrap();
        let fields: Vec<_> = rows.into_iter().map(|(_, mut fields)| fields.remove(0)).collect();
        assert_eq!(fields, [some("1"), None, some(""), some("2")]);
        let error = read(b"a,b\n\"\"\n", b',', "").unwrap_err();
        assert!(error.contains("the line has 1 fields"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, expected) in [
            (b"a,b\n1,2\n3\n".as_slice(), ", line 3: the line has 1 fields, and there are 2 columns"),
            (b"a,b\n1,\"x", ", line 2: a quoted field has no closing quote"),
            (b"a,b\n1,\"x\"y\n", ", line 2: 'y' stands behind a closing quote"),
            (b"a,b\n1,\xff\n", ", line 2: a field is not UTF-8"),
            (b"a,b\n1,x\0\n", ", line 2: a field has a zero byte"),
            (b"a,a\n", ": two columns are called a"),
            (b"a,\n", ": column 2 of the first line has no name"),
        ] {
            let error = read(text, b',', "").unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
