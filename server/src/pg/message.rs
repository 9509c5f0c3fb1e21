//! Messages to a PostgreSQL client, written into one buffer that goes out in one piece.

use ledgerstone_query::error::QueryError;
use ledgerstone_query::session::write_tag;

/// Bytes not yet sent. Rows go straight into it: no message is built twice.
#[derive(Debug, Default)]
pub struct Outbound {
    bytes: Vec<u8>,
}

/// The status byte of ReadyForQuery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Idle,
    InTransaction,
    Failed,
}

/// One column of a RowDescription.
#[derive(Debug, Clone)]
pub struct Field<'a> {
    pub name: &'a str,
    /// The table and the number of the column there, or zeros.
    pub table: u32,
    pub column: i16,
    pub oid: u32,
    pub size: i16,
    pub modifier: i32,
    pub binary: bool,
}

impl Outbound {
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// After sending; keeps a small buffer, gives a large one back.
    pub fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > 256 << 10 {
            self.bytes.shrink_to(16 << 10);
        }
    }

    /// Gives the buffer back while the connection idles.
    pub fn release(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > 4 << 10 {
            self.bytes = Vec::new();
        }
    }

    /// Forgets what was written after `len` (an execution that is run again).
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// A raw byte: the answer to a TLS request.
    pub fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// A whole message; `body` appends its fields.
    pub fn message(&mut self, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.push(kind);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        body(&mut self.bytes);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    pub fn empty(&mut self, kind: u8) {
        self.bytes.extend_from_slice(&[kind, 0, 0, 0, 4]);
    }

    pub fn authentication(&mut self, code: i32, payload: &[u8]) {
        self.message(b'R', |body| {
            body.extend_from_slice(&code.to_be_bytes());
            body.extend_from_slice(payload);
        });
    }

    pub fn parameter_status(&mut self, name: &str, value: &str) {
        self.message(b'S', |body| {
            put_text(body, name);
            put_text(body, value);
        });
    }

    pub fn backend_key(&mut self, process_id: i32, secret: [u8; 4]) {
        self.message(b'K', |body| {
            body.extend_from_slice(&process_id.to_be_bytes());
            body.extend_from_slice(&secret);
        });
    }

    pub fn negotiate_version(&mut self, minor: i32, unknown: &[&str]) {
        self.message(b'v', |body| {
            body.extend_from_slice(&minor.to_be_bytes());
            body.extend_from_slice(&(unknown.len() as i32).to_be_bytes());
            for name in unknown {
                put_text(body, name);
            }
        });
    }

    pub fn ready(&mut self, status: Status) {
        let status = match status {
            Status::Idle => b'I',
            Status::InTransaction => b'T',
            Status::Failed => b'E',
        };
        self.message(b'Z', |body| body.push(status));
    }

    pub fn command_complete(&mut self, tag: &str) {
        self.message(b'C', |body| put_text(body, tag));
    }

    /// The tag of a command that has so many rows ([`write_tag`]).
    pub fn rows_complete(&mut self, command: &str, rows: u64) {
        self.message(b'C', |body| {
            let _ = write_tag(body, command, rows);
            body.push(0);
        });
    }

    pub fn parameter_description(&mut self, oids: &[u32]) {
        self.message(b't', |body| {
            body.extend_from_slice(&(oids.len() as u16).to_be_bytes());
            for oid in oids {
                body.extend_from_slice(&oid.to_be_bytes());
            }
        });
    }

    pub fn row_description<'a>(&mut self, fields: impl ExactSizeIterator<Item = Field<'a>>) {
        self.message(b'T', |body| {
            body.extend_from_slice(&(fields.len() as u16).to_be_bytes());
            for field in fields {
                put_text(body, field.name);
                body.extend_from_slice(&field.table.to_be_bytes());
                body.extend_from_slice(&field.column.to_be_bytes());
                body.extend_from_slice(&field.oid.to_be_bytes());
                body.extend_from_slice(&field.size.to_be_bytes());
                body.extend_from_slice(&field.modifier.to_be_bytes());
                body.extend_from_slice(&i16::from(field.binary).to_be_bytes());
            }
        });
    }

    /// CopyInResponse (`G`) or CopyOutResponse (`H`).
    pub fn copy_response(&mut self, kind: u8, columns: usize, binary: bool) {
        self.message(kind, |body| {
            body.push(u8::from(binary));
            body.extend_from_slice(&(columns as u16).to_be_bytes());
            for _ in 0..columns {
                body.extend_from_slice(&[0, u8::from(binary)]);
            }
        });
    }

    /// An error of a statement; the position is in characters of `text`, from 1.
    pub fn error(&mut self, error: &QueryError, text: &str, severity: &str) {
        self.message(b'E', |body| {
            notice_fields(body, severity, error.code.0, &error.message);
            if let Some(detail) = &error.detail {
                notice_field(body, b'D', detail);
            }
            if let Some(hint) = &error.hint {
                notice_field(body, b'H', hint);
            }
            // A span of zeros is a place that is not known.
            let known = error.span.is_some_and(|span| span.end > 0);
            if let Some(position) = error.position(text).filter(|_| known && !text.is_empty()) {
                notice_field(body, b'P', &position.to_string());
            }
            if let Some(about) = &error.about {
                notice_field(body, b's', "public");
                notice_field(body, b't', &about.table);
                for (code, name) in [(b'c', &about.column), (b'n', &about.constraint)] {
                    if let Some(name) = name {
                        notice_field(body, code, name);
                    }
                }
            }
            body.push(0);
        });
    }

    /// An error of the connection, after which it is closed.
    pub fn fatal(&mut self, code: &str, message: &str, hint: Option<&str>) {
        self.message(b'E', |body| {
            notice_fields(body, "FATAL", code, message);
            if let Some(hint) = hint {
                notice_field(body, b'H', hint);
            }
            body.push(0);
        });
    }

    /// A warning or notice beside the answer.
    pub fn notice(&mut self, severity: &str, code: &str, message: &str) {
        self.message(b'N', |body| {
            notice_fields(body, severity, code, message);
            body.push(0);
        });
    }

    /// A DataRow whose columns `columns` appends.
    pub fn data_row(&mut self, count: usize, columns: impl FnOnce(&mut Vec<u8>)) {
        self.message(b'D', |body| {
            body.extend_from_slice(&(count as u16).to_be_bytes());
            columns(body);
        });
    }
}

/// One column: NULL, or whatever `write` appends.
pub fn put_column<E>(body: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<bool, E>) -> Result<(), E> {
    let start = body.len();
    body.extend_from_slice(&[0; 4]);
    let length = if write(body)? { (body.len() - start - 4) as i32 } else { -1 };
    body[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn notice_fields(body: &mut Vec<u8>, severity: &str, code: &str, message: &str) {
    notice_field(body, b'S', severity);
    notice_field(body, b'V', severity);
    notice_field(body, b'C', code);
    notice_field(body, b'M', message);
}

fn notice_field(body: &mut Vec<u8>, kind: u8, text: &str) {
    body.push(kind);
    put_text(body, text);
}

/// A zero-terminated string; a zero inside it ends it, as it would in PostgreSQL.
fn put_text(body: &mut Vec<u8>, text: &str) {
    let end = text.bytes().position(|byte| byte == 0).unwrap_or(text.len());
    body.extend_from_slice(text.as_bytes().get(..end).unwrap_or_default());
    body.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_its_own_length_word() {
        let mut out = Outbound::default();
        out.ready(Status::InTransaction);
        out.command_complete("SELECT 1");
        assert_eq!(out.as_slice(), b"Z\0\0\0\x05TC\0\0\0\x0dSELECT 1\0");
    }

    #[test]
    fn a_zero_in_a_text_cannot_forge_a_field() {
        let mut out = Outbound::default();
        out.fatal("08P01", "one\0Mtwo", None);
        let text = String::from_utf8_lossy(out.as_slice()).into_owned();
        assert!(text.contains("one") && !text.contains("two"));
    }
}
