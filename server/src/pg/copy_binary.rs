//! COPY's binary format (PostgreSQL's documentation, COPY, "Binary Format"): a header, rows of values as the protocol's
//! binary format has them, and a trailer.
//!
//! A reader takes input in pieces of any size and keeps at most one unfinished row, whose length is limited.

use ledgerstone_query::bind::plan::ResultColumn;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::exec::Row;
use ledgerstone_query::session::copy_format::ROW_BYTES_MAX;
use ledgerstone_query::types::SqlType;

use super::encode;
use super::message::put_column;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Flags whose meaning a reader must know; none of them is known here.
const CRITICAL_FLAGS: u32 = 0xffff_0000;
/// The longest extension of the header that is passed over.
const EXTENSION_BYTES_MAX: usize = 64 << 10;

/// Appends what comes before the rows.
pub fn write_header(out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[0; 8]);
}

/// Appends a row; on an error the bytes are of no use.
pub fn write_row(row: &Row, columns: &[ResultColumn], out: &mut Vec<u8>) -> Result<(), QueryError> {
    out.extend_from_slice(&(columns.len() as i16).to_be_bytes());
    columns.iter().enumerate().try_for_each(|(at, column)| {
        let value = row.get(at).and_then(Option::as_ref);
        put_column(out, |out| match value {
            Some(value) => encode::write_binary(value, &column.ty, out).map(|()| true),
            None => Ok(false),
        })
    })
}

/// Appends what comes behind the rows.
pub fn write_trailer(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1_i16).to_be_bytes());
}

/// Splits input into rows.
pub struct Reader {
    types: Vec<SqlType>,
    pending: Vec<u8>,
    state: State,
    rows: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Rows,
    /// The trailer has been read.
    Ended,
}

impl Reader {
    pub fn new(types: Vec<SqlType>) -> Reader {
        Reader { types, pending: Vec::new(), state: State::Header, rows: 0 }
    }

    /// Rows read so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes a piece of input and gives the rows that it completes.
    pub fn push(&mut self, input: &[u8], now_micros: i64) -> Result<Vec<Row>, QueryError> {
        self.pending.extend_from_slice(input);
        let mut at = 0;
        let mut rows = Vec::new();
        loop {
            let rest = self.pending.get(at..).unwrap_or_default();
            let taken = match self.state {
                State::Header => header(rest)?,
                State::Ended if rest.is_empty() => None,
                State::Ended => return Err(broken("received copy data after EOF marker")),
                State::Rows => match row(rest, &self.types, self.rows + 1, now_micros)? {
                    Some((length, Some(row))) => {
                        rows.push(row);
                        self.rows += 1;
                        Some(length)
                    }
                    Some((length, None)) => {
                        self.state = State::Ended;
                        Some(length)
                    }
                    None => None,
                },
            };
            match taken {
                Some(length) => {
                    if self.state == State::Header {
                        self.state = State::Rows;
                    }
                    at += length;
                }
                None => break,
            }
        }
        self.pending.drain(..at);
        if self.pending.len() > ROW_BYTES_MAX {
            let message = format!("a row of COPY is longer than {ROW_BYTES_MAX} bytes");
            return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        Ok(rows)
    }

    /// The end of the input, which must not be inside a row. The trailer may be left out.
    pub fn finish(&self) -> Result<(), QueryError> {
        if self.state == State::Header {
            return Err(broken("COPY file signature not recognized"));
        }
        if self.pending.is_empty() { Ok(()) } else { Err(broken("unexpected EOF in COPY data")) }
    }
}

/// How long the header is; `None` if there is not all of it yet.
fn header(input: &[u8]) -> Result<Option<usize>, QueryError> {
    let there = input.len().min(SIGNATURE.len());
    if input.get(..there) != SIGNATURE.get(..there) {
        return Err(broken("COPY file signature not recognized"));
    }
    let fixed = SIGNATURE.len() + 8;
    let (Some(flags), Some(extension)) = (word(input, SIGNATURE.len()), word(input, SIGNATURE.len() + 4)) else {
        return Ok(None);
    };
    if flags & CRITICAL_FLAGS != 0 {
        return Err(broken("unrecognized critical flags in COPY file header"));
    }
    let extension = usize::try_from(extension).ok().filter(|length| *length <= EXTENSION_BYTES_MAX);
    let Some(extension) = extension else { return Err(broken("invalid COPY file header (wrong length)")) };
    Ok((input.len() >= fixed + extension).then_some(fixed + extension))
}

/// A row and its length, or the trailer; `None` if there is not all of it yet.
fn row(
    input: &[u8],
    types: &[SqlType],
    number: u64,
    now_micros: i64,
) -> Result<Option<(usize, Option<Row>)>, QueryError> {
    let Some((count, _)) = input.split_first_chunk::<2>() else { return Ok(None) };
    let count = i16::from_be_bytes(*count);
    if count == -1 {
        return Ok(Some((2, None)));
    }
    if usize::try_from(count).ok() != Some(types.len()) {
        let message = format!("row field count is {count}, expected {}", types.len());
        return Err(broken(message).detail(format!("COPY, line {number}.")));
    }
    // Whole rows only are decoded, so that a long one is not decoded again with each piece.
    let mut at = 2;
    let mut places = Vec::with_capacity(types.len());
    for field in 1..=types.len() {
        let Some(length) = word(input, at) else { return Ok(None) };
        at += 4;
        match length {
            u32::MAX => places.push(None),
            length => {
                let length = length as usize;
                if length > ROW_BYTES_MAX {
                    return Err(broken("invalid field size").detail(format!("COPY, line {number}, field {field}.")));
                }
                places.push(Some(at..at + length));
                at += length;
            }
        }
    }
    if input.len() < at {
        return Ok(None);
    }
    let mut row = Vec::with_capacity(types.len());
    for (field, (place, ty)) in places.into_iter().zip(types).enumerate() {
        let bytes = place.and_then(|place| input.get(place));
        let value = bytes.map(|bytes| encode::read_binary(bytes, ty, now_micros)).transpose();
        row.push(value.map_err(|error| {
            let place = format!("COPY, line {number}, field {}.", field + 1);
            QueryError { span: None, detail: Some(place), ..error }
        })?);
    }
    Ok(Some((at, Some(row))))
}

fn word(input: &[u8], at: usize) -> Option<u32> {
    input.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

fn broken(message: impl Into<String>) -> QueryError {
    QueryError::new(SqlState::BAD_COPY_FORMAT, message)
}

#[cfg(test)]
mod tests {
    use ledgerstone_digest::ion::Value;

    use super::*;

    fn types() -> Vec<SqlType> {
        vec![SqlType::Int4, SqlType::Text]
    }

    fn stream() -> (Vec<Row>, Vec<u8>) {
        let column = |name: &str, ty| ResultColumn::computed(name, ty);
        let columns = [column("a", SqlType::Int4), column("b", SqlType::Text)];
        let rows: Vec<Row> = vec![
            vec![Some(Value::int(1)), Some(Value::string("one"))],
            vec![Some(Value::int(-2)), None],
            vec![None, Some(Value::string(""))],
        ];
        let mut bytes = Vec::new();
        write_header(&mut bytes);
        rows.iter().for_each(|row| write_row(row, &columns, &mut bytes).unwrap());
        write_trailer(&mut bytes);
        (rows, bytes)
    }

    #[test]
    fn what_is_written_reads_back_however_it_is_cut() {
        let (rows, bytes) = stream();
        for piece in 1..bytes.len() {
            let mut reader = Reader::new(types());
            let read: Vec<Row> = bytes.chunks(piece).flat_map(|piece| reader.push(piece, 0).unwrap()).collect();
            reader.finish().unwrap();
            assert_eq!(read, rows, "pieces of {piece}");
        }
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_an_error_and_never_a_panic() {
        let (_, bytes) = stream();
        // Behind the header, each row, and the trailer, which may be left out.
        let whole = [19, 36, 50, 60, bytes.len()];
        for length in 0..bytes.len() {
            let mut reader = Reader::new(types());
            let outcome = reader.push(&bytes[..length], 0).and_then(|_| reader.finish());
            assert_eq!(outcome.is_ok(), whole.contains(&length), "{length}");
        }
        let mut reader = Reader::new(types());
        let more = [&bytes[..], b"x"].concat();
        assert_eq!(reader.push(&more, 0).unwrap_err().message, "received copy data after EOF marker");
        for at in 0..bytes.len() {
            for byte in [0x00, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = byte;
                let mut reader = Reader::new(types());
                let _ = reader.push(&changed, 0).and_then(|_| reader.finish());
            }
        }
    }
}
