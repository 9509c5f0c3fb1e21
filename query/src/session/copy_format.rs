//! COPY's text and CSV formats (PostgreSQL's documentation, COPY, "File Formats"): bytes to fields and back.
//!
//! Pure functions of bytes. A reader takes input in pieces of any size and keeps at most one unfinished row, whose
//! length is limited.

use std::sync::Arc;

use crate::ast::CopyFormat;
use crate::error::{QueryError, SqlState};

/// A row of COPY input is never longer; checked before more of it is kept.
pub const ROW_BYTES_MAX: usize = 32 << 20;

/// How the fields are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Values as the protocol's binary format has them: the door reads and writes them, and nothing else here holds.
    pub binary: bool,
    pub csv: bool,
    pub header: bool,
    pub delimiter: u8,
    pub null: Arc<str>,
    pub quote: u8,
    pub escape: u8,
}

/// One row: `None` is NULL.
pub type Fields = Vec<Option<String>>;

/// Takes a row as it is written, with the number of its line.
pub type TakeRow<'t> = dyn FnMut(u64, &[u8]) -> Result<(), QueryError> + 't;

/// Splits input into rows.
#[derive(Debug)]
pub struct Reader {
    layout: Layout,
    /// Input not yet part of a whole row.
    pending: Vec<u8>,
    /// How much of `pending` is known to hold no end of row, and whether that point is inside quotes.
    scanned: usize,
    quoted: bool,
    escaped: bool,
    header_pending: bool,
    ended: bool,
    line: u64,
}

impl Layout {
    /// The layout a COPY statement asks for; Parquet is not a stream of rows.
    pub fn of(copy: &crate::ast::Copy) -> Result<Layout, QueryError> {
        let csv = match copy.format {
            CopyFormat::Text | CopyFormat::Binary => false,
            CopyFormat::Csv => true,
            CopyFormat::Parquet => {
                return Err(QueryError::unsupported("COPY in Parquet format through the connection"));
            }
        };
        let odd = |byte: u8| byte == b'\n' || byte == b'\r' || byte >= 0x80 || byte == 0;
        if odd(copy.delimiter) || (csv && (odd(copy.quote) || odd(copy.escape) || copy.quote == copy.delimiter)) {
            return Err(QueryError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "COPY delimiter, quote and escape must be different single ASCII characters, not line ends",
            ));
        }
        if !csv && (copy.delimiter == b'\\' || copy.delimiter.is_ascii_alphanumeric() || copy.delimiter == b'.') {
            return Err(QueryError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("COPY delimiter cannot be \"{}\"", char::from(copy.delimiter)),
            ));
        }
        Ok(Layout {
            binary: copy.format == CopyFormat::Binary,
            csv,
            header: copy.header,
            delimiter: copy.delimiter,
            null: Arc::clone(&copy.null),
            quote: copy.quote,
            escape: copy.escape,
        })
    }

    /// The fields of a row, which is on the line of this number.
    pub fn fields(&self, line: &[u8], number: u64) -> Result<Fields, QueryError> {
        let in_line = |error: QueryError| error.detail(format!("COPY, line {number}."));
        let text = std::str::from_utf8(line).map_err(|_| in_line(QueryError::not_utf8(line)))?;
        if text.contains('\0') {
            return Err(in_line(QueryError::zero_byte()));
        }
        if self.csv { csv_fields(self, text, number) } else { text_fields(self, text, number) }
    }

    /// Appends one row, newline included.
    pub fn write(&self, fields: &[Option<String>], out: &mut Vec<u8>) {
        for (at, field) in fields.iter().enumerate() {
            if at > 0 {
                out.push(self.delimiter);
            }
            match field {
                None => out.extend_from_slice(self.null.as_bytes()),
                Some(text) if self.csv => self.write_csv(text, fields.len() == 1, out),
                Some(text) => self.write_text(text, out),
            }
        }
        out.push(b'\n');
    }

    fn write_csv(&self, text: &str, alone: bool, out: &mut Vec<u8>) {
        let special = |byte: u8| byte == self.delimiter || byte == self.quote || byte == b'\n' || byte == b'\r';
        let quote = text == self.null.as_ref() || (alone && text == "\\.") || text.bytes().any(special);
        if !quote {
            out.extend_from_slice(text.as_bytes());
            return;
        }
        out.push(self.quote);
        for byte in text.bytes() {
            if byte == self.quote || byte == self.escape {
                out.push(self.escape);
            }
            out.push(byte);
        }
        out.push(self.quote);
    }

    fn write_text(&self, text: &str, out: &mut Vec<u8>) {
        for byte in text.bytes() {
            match byte {
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0x08 => out.extend_from_slice(b"\\b"),
                0x0b => out.extend_from_slice(b"\\v"),
                0x0c => out.extend_from_slice(b"\\f"),
                byte if byte == self.delimiter => out.extend_from_slice(&[b'\\', byte]),
                byte => out.push(byte),
            }
        }
    }
}

impl Reader {
    pub fn new(layout: Layout) -> Self {
        let header_pending = layout.header;
        Reader {
            layout,
            pending: Vec::new(),
            scanned: 0,
            quoted: false,
            escaped: false,
            header_pending,
            ended: false,
            line: 0,
        }
    }

    /// Takes input and hands every row it completes to `row`, as it is written and with the number of its line, from 1:
    /// [`Layout::fields`] splits it.
    pub fn push(&mut self, input: &[u8], row: &mut TakeRow<'_>) -> Result<(), QueryError> {
        if self.ended {
            return Ok(());
        }
        self.pending.extend_from_slice(input);
        let mut start = 0;
        while let Some(end) = self.end_of_row() {
            let line = without_return(self.pending.get(start..end).unwrap_or_default());
            self.line += 1;
            if line == END {
                self.ended = true;
                self.pending.clear();
                return Ok(());
            }
            if !std::mem::take(&mut self.header_pending) {
                row(self.line, line)?;
            }
            start = end + 1;
        }
        self.pending.drain(..start);
        self.scanned -= start;
        if self.pending.len() > ROW_BYTES_MAX {
            return Err(self.broken(format!("a row is longer than {ROW_BYTES_MAX} bytes")));
        }
        Ok(())
    }

    /// The end of the input; a last row without a newline counts.
    pub fn finish(&mut self, row: &mut TakeRow<'_>) -> Result<(), QueryError> {
        if self.ended || self.pending.is_empty() {
            return Ok(());
        }
        if self.quoted {
            return Err(self.broken("a quoted field has no closing quote"));
        }
        let line = std::mem::take(&mut self.pending);
        let line = without_return(&line);
        self.line += 1;
        let is_row = line != END && !std::mem::take(&mut self.header_pending);
        if is_row { row(self.line, line) } else { Ok(()) }
    }

    /// The next newline that ends a row, at or after `scanned`.
    fn end_of_row(&mut self) -> Option<usize> {
        while let Some(byte) = self.pending.get(self.scanned) {
            let at = self.scanned;
            self.scanned += 1;
            if self.layout.csv {
                if self.escaped {
                    self.escaped = false;
                } else if self.quoted && *byte == self.layout.escape && self.layout.escape != self.layout.quote {
                    self.escaped = true;
                } else if *byte == self.layout.quote {
                    // A doubled quote closes and opens again, which comes to the same.
                    self.quoted = !self.quoted;
                } else if *byte == b'\n' && !self.quoted {
                    return Some(at);
                }
            } else if self.escaped {
                self.escaped = false;
            } else if *byte == b'\\' {
                self.escaped = true;
            } else if *byte == b'\n' {
                return Some(at);
            }
        }
        None
    }

    fn broken(&self, what: impl std::fmt::Display) -> QueryError {
        broken(self.line + 1, what)
    }
}

/// The line that ends the input.
const END: &[u8] = b"\\.";

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn broken(line: u64, what: impl std::fmt::Display) -> QueryError {
    QueryError::new(SqlState::BAD_COPY_FORMAT, format!("COPY, line {line}: {what}"))
}

fn text_fields(layout: &Layout, line: &str, number: u64) -> Result<Fields, QueryError> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let mut end = rest.len();
        let mut escaped = false;
        for (at, byte) in rest.bytes().enumerate() {
            if escaped {
                escaped = false;
            } else if byte == b'\\' {
                escaped = true;
            } else if byte == layout.delimiter {
                end = at;
                break;
            }
        }
        let raw = rest.get(..end).unwrap_or_default();
        fields.push(if raw == layout.null.as_ref() { None } else { Some(unescape(raw, number)?) });
        match rest.get(end + 1..) {
            Some(after) if end < rest.len() => rest = after,
            _ => return Ok(fields),
        }
    }
}

/// Backslash sequences of the text format.
fn unescape(raw: &str, number: u64) -> Result<String, QueryError> {
    if !raw.contains('\\') {
        return Ok(raw.to_owned());
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut input = raw.bytes().peekable();
    while let Some(byte) = input.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match input.next() {
            None => return Err(broken(number, "the line ends inside an escape")),
            Some(b'b') => bytes.push(0x08),
            Some(b'f') => bytes.push(0x0c),
            Some(b'n') => bytes.push(b'\n'),
            Some(b'r') => bytes.push(b'\r'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'v') => bytes.push(0x0b),
            Some(b'x') if input.peek().is_some_and(u8::is_ascii_hexdigit) => {
                bytes.push(digits(&mut input, 16, 2, 0));
            }
            Some(first @ b'0'..=b'7') => bytes.push(digits(&mut input, 8, 2, first - b'0')),
            Some(other) => bytes.push(other),
        }
    }
    let in_line = |error: QueryError| error.detail(format!("An escape in COPY, line {number}."));
    match String::from_utf8(bytes) {
        Ok(text) if text.contains('\0') => Err(in_line(QueryError::zero_byte())),
        Ok(text) => Ok(text),
        Err(error) => Err(in_line(QueryError::not_utf8(error.as_bytes()))),
    }
}

fn digits(input: &mut std::iter::Peekable<std::str::Bytes<'_>>, radix: u32, most: usize, start: u8) -> u8 {
    let mut value = start;
    for _ in 0..most {
        let Some(digit) = input.peek().and_then(|byte| char::from(*byte).to_digit(radix)) else { break };
        value = value.wrapping_mul(radix as u8).wrapping_add(digit as u8);
        input.next();
    }
    value
}

fn csv_fields(layout: &Layout, line: &str, number: u64) -> Result<Fields, QueryError> {
    let mut fields = Vec::with_capacity(16);
    let bytes = line.as_bytes();
    let mut at = 0;
    loop {
        // Delimiter, quote and escape are ASCII, so the pieces stay whole characters.
        let plain = |byte: &u8| *byte == layout.delimiter || *byte == layout.quote;
        let end = bytes.get(at..).unwrap_or_default().iter().position(plain).map_or(bytes.len(), |length| at + length);
        let mut next = end;
        let raw = line.get(at..end).unwrap_or_default();
        if bytes.get(end) == Some(&layout.quote) {
            let (text, after) = quoted_field(layout, line, at, number)?;
            fields.push(Some(text));
            next = after;
        } else {
            fields.push(if raw == layout.null.as_ref() { None } else { Some(raw.to_owned()) });
        }
        if next >= bytes.len() {
            return Ok(fields);
        }
        at = next + 1;
    }
}

/// A field that has quotes somewhere, and where it ends.
fn quoted_field(layout: &Layout, line: &str, start: usize, number: u64) -> Result<(String, usize), QueryError> {
    let bytes = line.as_bytes();
    let mut field = Vec::with_capacity(128);
    let (mut at, mut quoted) = (start, false);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        if quoted {
            let next = bytes.get(at).filter(|next| **next == layout.quote || **next == layout.escape);
            match next {
                Some(next) if *byte == layout.escape => {
                    field.push(*next);
                    at += 1;
                }
                _ if *byte == layout.quote => quoted = false,
                _ => field.push(*byte),
            }
        } else if *byte == layout.quote {
            quoted = true;
        } else if *byte == layout.delimiter {
            at -= 1;
            break;
        } else {
            field.push(*byte);
        }
    }
    if quoted {
        return Err(broken(number, "a quoted field has no closing quote"));
    }
    let text = String::from_utf8(field).map_err(|_| broken(number, "invalid UTF-8"))?;
    Ok((text, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(csv: bool) -> Layout {
        Layout {
            binary: false,
            csv,
            header: false,
            delimiter: if csv { b',' } else { b'\t' },
            null: Arc::from(if csv { "" } else { "\\N" }),
            quote: b'"',
            escape: b'"',
        }
    }

    fn read(layout: &Layout, input: &[u8], piece: usize) -> Result<Vec<Fields>, QueryError> {
        let mut reader = Reader::new(layout.clone());
        let mut rows = Vec::new();
        let mut keep = |number: u64, line: &[u8]| {
            rows.push(layout.fields(line, number)?);
            Ok(())
        };
        for piece in input.chunks(piece) {
            reader.push(piece, &mut keep)?;
        }
        reader.finish(&mut keep)?;
        Ok(rows)
    }

    fn texts(fields: &[&str]) -> Fields {
        fields.iter().map(|field| (*field != "NULL").then(|| (*field).to_owned())).collect()
    }

    #[test]
    fn rows_are_the_same_however_the_input_is_cut() {
        let csv = b"a,b,c\r\n\"x,\"\"y\"\"\n2\",,\"\"\nlast,\xc3\xa9,z".as_slice();
        let text = b"a\\tb\t\\N\t\\\\\nc\\\nd\t\\x41\\101\te\n\\.\nignored".as_slice();
        let csv_rows = vec![texts(&["a", "b", "c"]), texts(&["x,\"y\"\n2", "NULL", ""]), texts(&["last", "é", "z"])];
        let text_rows = vec![texts(&["a\tb", "NULL", "\\"]), texts(&["c\nd", "AA", "e"])];
        for piece in 1..20 {
            assert_eq!(read(&layout(true), csv, piece).unwrap(), csv_rows, "pieces of {piece}");
            assert_eq!(read(&layout(false), text, piece).unwrap(), text_rows, "pieces of {piece}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut seed = 7_u64;
        for round in 0..500 {
            for csv in [false, true] {
                let layout = layout(csv);
                let fields: Fields = (0..3)
                    .map(|_| {
                        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        let alphabet = ["a", "\\", "\n", "\r", "\t", ",", "\"", "é", "N", ".", "x4", "\u{b}"];
                        let length = (seed >> 60) as usize;
                        if length == 3 {
                            return None;
                        }
                        Some((0..length % 6).map(|i| alphabet[(seed >> (i * 7)) as usize % alphabet.len()]).collect())
                    })
                    .collect();
                let mut bytes = Vec::new();
                layout.write(&fields, &mut bytes);
                assert_eq!(read(&layout, &bytes, 5).unwrap(), [fields], "round {round}, seed {seed}, csv {csv}");
            }
        }
    }

    #[test]
    fn a_header_is_skipped_and_errors_name_the_line() {
        let with_header = Layout { header: true, ..layout(true) };
        assert_eq!(read(&with_header, b"a,b\n1,2\n", 3).unwrap(), [texts(&["1", "2"])]);
        let error = read(&layout(true), b"1,2\n3,\"4\n", 100).unwrap_err();
        assert_eq!(error.code, SqlState::BAD_COPY_FORMAT);
        assert!(error.message.contains("line 2"), "{}", error.message);
        let error = read(&layout(true), b"1\n\xff\n", 100).unwrap_err();
        assert_eq!(error.code, SqlState::CHARACTER_NOT_IN_REPERTOIRE);
    }
}
