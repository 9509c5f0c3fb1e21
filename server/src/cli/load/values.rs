//! JSON and Ion text: values one after another, each found by its brackets before it is parsed, so that no more than one is
//! in memory.

use std::path::Path;

use ledgerstone_digest::ion::{self, Value};
use ledgerstone_query::types::SqlType;
use ledgerstone_query::value::json;

use super::source::{Blocks, Cells, Place, Row, Source, Trouble, VALUE_BYTES_MAX};

/// How the values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Json,
    IonText,
}

pub struct Values {
    blocks: Blocks,
    form: Form,
    line: u64,
    /// In a JSON array of objects.
    in_array: bool,
    started: bool,
    ended: bool,
}

impl Values {
    pub fn open(path: &Path, form: Form) -> Result<Values, Trouble> {
        Ok(Values::of(Blocks::open(path)?, form))
    }

    fn of(blocks: Blocks, form: Form) -> Values {
        Values { blocks, form, line: 1, in_array: false, started: false, ended: false }
    }

    /// The text of the next value and the line it begins in.
    fn piece(&mut self) -> Result<Option<(Vec<u8>, u64)>, Trouble> {
        let mut text = Vec::new();
        if self.ended {
            return self.only_spaces();
        }
        let Some(mut line) = self.begin()? else { return Ok(None) };
        let mut depth = 0_u32;
        loop {
            if text.len() >= VALUE_BYTES_MAX {
                let what = format!("a value is longer than {} MiB", VALUE_BYTES_MAX >> 20);
                return Err(Trouble::new(what).at(Place::Line(line)).help("Is a closing bracket or quote missing?"));
            }
            // A value without brackets ends with its line in JSON; in Ion it belongs to what follows, as comments and
            // annotations do.
            if depth == 0 && !text.is_empty() {
                match (self.form, self.blocks.peek()?) {
                    (_, None) | (Form::Json, Some(b'\n' | b',' | b']')) => break,
                    _ => {}
                }
            }
            let Some(byte) = self.take(&mut text)? else {
                let what = "the file ends inside a value";
                return Err(Trouble::new(what).at(Place::Line(line)).text(&String::from_utf8_lossy(&text)));
            };
            match byte {
                b'"' => self.quoted(&mut text, b'"', line)?,
                b'\'' if self.form == Form::IonText => self.apostrophes(&mut text, line)?,
                b'/' if self.form == Form::IonText => self.comment(&mut text, line)?,
                b'{' if self.form == Form::IonText && self.blocks.peek()? == Some(b'{') => {
                    if depth == 0 {
                        line = self.line;
                    }
                    self.lob(&mut text, line)?;
                    if depth == 0 {
                        break;
                    }
                }
                b'{' | b'[' | b'(' => {
                    if depth == 0 {
                        line = self.line;
                    }
                    depth += 1;
                }
                b'}' | b']' | b')' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 && byte == b'}' {
                        break;
                    }
                }
                _ => {}
            }
        }
        Ok(Some((text, line)))
    }

    /// Goes to the next value, and gives its line.
    fn begin(&mut self) -> Result<Option<u64>, Trouble> {
        loop {
            match self.blocks.peek()? {
                None if self.in_array => {
                    return Err(Trouble::new("the file ends inside of its array").at(Place::Line(self.line)));
                }
                None => return Ok(None),
                Some(b' ' | b'\t' | b'\r' | b'\n') => {
                    let byte = self.blocks.next()?;
                    self.line += u64::from(byte == Some(b'\n'));
                }
                Some(0xEF) if !self.started => {
                    for _ in 0..3 {
                        self.blocks.next()?;
                    }
                    self.started = true;
                }
                Some(b'[') if self.form == Form::Json && !self.in_array && self.line_is_first() => {
                    self.blocks.next()?;
                    self.in_array = true;
                    self.started = true;
                }
                Some(b',') if self.in_array => {
                    self.blocks.next()?;
                }
                Some(b']') if self.in_array => {
                    self.blocks.next()?;
                    (self.in_array, self.ended) = (false, true);
                    return self.only_spaces();
                }
                Some(_) => {
                    self.started = true;
                    return Ok(Some(self.line));
                }
            }
        }
    }

    fn line_is_first(&self) -> bool {
        !self.started
    }

    /// Behind the array nothing may stand.
    fn only_spaces<T>(&mut self) -> Result<Option<T>, Trouble> {
        while let Some(byte) = self.blocks.next()? {
            if !byte.is_ascii_whitespace() {
                return Err(Trouble::new("something stands behind the array").at(Place::Line(self.line)));
            }
            self.line += u64::from(byte == b'\n');
        }
        Ok(None)
    }

    fn take(&mut self, text: &mut Vec<u8>) -> Result<Option<u8>, Trouble> {
        let byte = self.blocks.next()?;
        if let Some(byte) = byte {
            self.line += u64::from(byte == b'\n');
            text.push(byte);
        }
        Ok(byte)
    }

    /// Up to the quote that closes.
    fn quoted(&mut self, text: &mut Vec<u8>, quote: u8, line: u64) -> Result<(), Trouble> {
        loop {
            match self.inside(text, line)? {
                b'\\' => {
                    self.inside(text, line)?;
                }
                byte if byte == quote => return Ok(()),
                _ => {}
            }
        }
    }

    /// A quoted symbol, or a long string in threefold apostrophes.
    fn apostrophes(&mut self, text: &mut Vec<u8>, line: u64) -> Result<(), Trouble> {
        if self.blocks.peek()? != Some(b'\'') {
            return self.quoted(text, b'\'', line);
        }
        self.inside(text, line)?;
        if self.blocks.peek()? != Some(b'\'') {
            return Ok(());
        }
        self.inside(text, line)?;
        let mut closing = 0;
        while closing < 3 {
            match self.inside(text, line)? {
                b'\\' => {
                    self.inside(text, line)?;
                    closing = 0;
                }
                b'\'' => closing += 1,
                _ => closing = 0,
            }
        }
        Ok(())
    }

    /// A blob or a clob, whose first brace was taken. There are no comments in it: a slash is a digit of base 64.
    fn lob(&mut self, text: &mut Vec<u8>, line: u64) -> Result<(), Trouble> {
        self.inside(text, line)?;
        loop {
            match self.inside(text, line)? {
                b'"' => self.quoted(text, b'"', line)?,
                b'\'' => self.apostrophes(text, line)?,
                b'}' if self.blocks.peek()? == Some(b'}') => return self.inside(text, line).map(drop),
                _ => {}
            }
        }
    }

    fn comment(&mut self, text: &mut Vec<u8>, line: u64) -> Result<(), Trouble> {
        match self.blocks.peek()? {
            Some(b'/') => {
                while !matches!(self.blocks.peek()?, None | Some(b'\n')) {
                    self.inside(text, line)?;
                }
            }
            Some(b'*') => {
                self.inside(text, line)?;
                let mut star = false;
                loop {
                    match self.inside(text, line)? {
                        b'/' if star => break,
                        byte => star = byte == b'*',
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A byte of a value that does not end yet.
    fn inside(&mut self, text: &mut Vec<u8>, line: u64) -> Result<u8, Trouble> {
        if text.len() >= VALUE_BYTES_MAX {
            let what = format!("a value is longer than {} MiB", VALUE_BYTES_MAX >> 20);
            return Err(Trouble::new(what).at(Place::Line(line)).help("Is a closing quote missing?"));
        }
        self.take(text)?.ok_or_else(|| {
            Trouble::new("the file ends inside a value").at(Place::Line(line)).text(&String::from_utf8_lossy(text))
        })
    }

    /// The values of a piece: one, or none of a comment.
    fn parse(&self, text: &[u8], line: u64) -> Result<Vec<Value>, Trouble> {
        let wrong = |trouble: Trouble| trouble.at(Place::Line(line)).text(&String::from_utf8_lossy(text));
        let text = std::str::from_utf8(text).map_err(|_| wrong(Trouble::new("the value is not UTF-8")))?;
        match self.form {
            Form::Json => Ok(vec![json::parse(text, false).map_err(|error| wrong(Trouble::of(&error)))?]),
            Form::IonText => ion::parse_many(text, &ion::Limits::DOCUMENT)
                .map_err(|error| wrong(Trouble::new(format!("it is no Ion value: {error}")))),
        }
    }
}

impl Source for Values {
    fn next(&mut self) -> Result<Option<Row>, Trouble> {
        loop {
            let Some((text, line)) = self.piece()? else { return Ok(None) };
            let place = Place::Line(line);
            let mut values = self.parse(&text, line)?;
            return match (values.pop(), values.is_empty()) {
                (Some(value), true) => Ok(Some(Row { place, cells: Cells::Document(value) })),
                // A comment at the end, or a marker.
                (None, _) if !has_table(&text) => continue,
                (None, _) => {
                    let what = "a symbol table in Ion text is not read";
                    Err(Trouble::new(what)
                        .at(place)
                        .help("Write the file with names of fields as text, or as Ion binary."))
                }
                (Some(_), false) => {
                    let what = "a value stands before a struct, and is none";
                    Err(Trouble::new(what).at(place).text(&String::from_utf8_lossy(&text)))
                }
            };
        }
    }

    fn columns(&mut self) -> Result<Option<Vec<(String, SqlType)>>, Trouble> {
        // Documents: the table has no columns.
        Ok(Some(Vec::new()))
    }

    fn bytes_read(&self) -> u64 {
        self.blocks.bytes_read()
    }
}

fn has_table(text: &[u8]) -> bool {
    const NAME: &[u8] = b"$ion_symbol_table";
    text.windows(NAME.len()).any(|part| part == NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str, form: Form) -> Result<Vec<String>, String> {
        let mut values = Values::of(Blocks::of(text.as_bytes()), form);
        let mut all = Vec::new();
        while let Some(row) = values.next().map_err(|trouble| trouble.to_string())? {
            let Cells::Document(value) = row.cells else { panic!("no document") };
            all.push(format!("{} {}", row.place, ion::to_text(&value)));
        }
        Ok(all)
    }

    #[test]
    fn objects_are_found_in_lines_in_arrays_and_without_either() {
        let expected = ["line 1 {a:1}", "line 2 {b:\"}\\\"{\"}"];
        assert_eq!(read("{\"a\": 1}\n{\"b\": \"}\\\"{\"}\n", Form::Json).unwrap(), expected);
        assert_eq!(read("[{\"a\": 1},\n{\"b\": \"}\\\"{\"}]\n", Form::Json).unwrap(), expected);
        assert_eq!(read("{\"a\": 1}{\"b\": 2.50}", Form::Json).unwrap(), ["line 1 {a:1}", "line 1 {b:2.50}"]);
        assert_eq!(read("[]", Form::Json).unwrap(), [""; 0]);
        assert_eq!(read(" \n", Form::Json).unwrap(), [""; 0]);
    }

    #[test]
    fn ion_has_comments_symbols_and_long_strings() {
        let text = "// {\n$ion_1_0\n{a: '''x}''' '''y''', 'b}': {{aGk=}}, c: (d) /* } */ }\nq::\n{e: '}'}\n// end {";
        let rows = read(text, Form::IonText).unwrap();
        assert_eq!(rows, ["line 3 {a:\"x}y\",'b}':{{aGk=}},c:(d)}", "line 5 q::{e:'}'}"]);
        let rows = read("{a: {{ab//cQ==}}}\n{b: {{\"}} // \"}}}\n{d: 1}", Form::IonText).unwrap();
        assert_eq!(rows, ["line 1 {a:{{ab//cQ==}}}", "line 2 {b:{{\"}} // \"}}}", "line 3 {d:1}"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, form, expected) in [
            ("{\"a\": 1}\n{\"a\": ", Form::Json, ", line 2: the file ends inside a value"),
            ("{\"a\": 1}\n{\"a\": nul}", Form::Json, ", line 2: invalid input syntax for type json"),
            ("[{\"a\": 1}\n", Form::Json, ", line 2: the file ends inside of its array"),
            ("[{\"a\": 1}] x", Form::Json, ", line 1: something stands behind the array"),
            ("{a: 1} {a: 2d}", Form::IonText, ", line 1: it is no Ion value"),
            ("{a: \"x", Form::IonText, ", line 1: the file ends inside a value"),
        ] {
            let error = read(text, form).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_not_followed() {
        let deep: &'static str =
            Box::leak(format!("{{\"a\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000)).into_boxed_str());
        assert!(read(deep, Form::Json).unwrap_err().starts_with(", line 1: "));
        assert!(read(deep, Form::IonText).unwrap_err().starts_with(", line 1: "));
    }
}
