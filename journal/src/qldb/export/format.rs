//! How a block is written: as Ion text, as Ion binary, or as JSON.

use ledgerstone_digest::ion::{Value, encode, to_json, to_text};

/// By QLDB's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// A value a line, in ASCII: readers are known that take each byte of a text for a character (amazon.ion 0.9.3 for
    /// Python, given bytes).
    #[default]
    IonText,
    /// Each value with its version marker: a stream by itself, and so is what comes of several.
    IonBinary,
    /// JSON Lines. Types are lost on the way, so that its hashes cannot be computed again.
    Json,
}

impl Format {
    pub const ALL: [Format; 3] = [Format::IonText, Format::IonBinary, Format::Json];

    pub fn name(self) -> &'static str {
        match self {
            Format::IonText => "ION_TEXT",
            Format::IonBinary => "ION_BINARY",
            Format::Json => "JSON",
        }
    }

    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// How the names of data objects end.
    pub fn extension(self) -> &'static str {
        match self {
            Format::IonText | Format::IonBinary => "ion",
            Format::Json => "json",
        }
    }

    pub fn write(self, value: &Value, out: &mut Vec<u8>) {
        match self {
            Format::IonText => write_ascii(&to_text(value), out),
            Format::Json => out.extend_from_slice(to_json(value).as_bytes()),
            Format::IonBinary => return out.extend_from_slice(&encode(value)),
        }
        out.push(b'\n');
    }
}

/// Ion text has other characters in strings and quoted symbols alone, where each may be escaped.
fn write_ascii(text: &str, out: &mut Vec<u8>) {
    for c in text.chars() {
        match u32::from(c) {
            code @ ..0x80 => out.push(code as u8),
            code @ ..0x1_0000 => out.extend_from_slice(format!("\\u{code:04x}").as_bytes()),
            code => out.extend_from_slice(format!("\\U{code:08x}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use ledgerstone_digest::ion::{Limits, Struct, decode, parse};

    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same_value() {
        let all: String = (0..0x1_1000).step_by(7).filter_map(char::from_u32).collect();
        let fields = [(all.as_str(), Value::symbol(all.as_str())), ("s", Value::string(all.as_str()))];
        let value = Value::Struct(Struct::from_fields(fields));
        let written = |format: Format| {
            let mut out = Vec::new();
            format.write(&value, &mut out);
            out
        };
        let text = String::from_utf8(written(Format::IonText)).unwrap();
        assert!(text.is_ascii() && text.ends_with('\n') && text.lines().count() == 1);
        assert_eq!(parse(&text, &Limits::DOCUMENT).as_ref(), Ok(&value));
        assert_eq!(decode(&written(Format::IonBinary), &Limits::DOCUMENT).as_ref(), Ok(&value));
    }
}
