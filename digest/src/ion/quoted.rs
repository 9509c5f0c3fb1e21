//! Ion text: strings, quoted symbols, clobs and blobs, with their escapes.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::text::{Parser, Raw, TextProblem};
use super::{Text, Value};

/// What closes a quoted text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quote {
    Double,
    Single,
    /// `'''`, which may hold line ends.
    Long,
}

impl Parser<'_> {
    /// The text up to the closing quote; the opening one has been taken.
    pub fn quoted_text(&mut self, quote: Quote) -> Raw<Text> {
        let start = self.at;
        let mut bytes = Vec::new();
        self.quoted(quote, false, &mut bytes)?;
        into_text(bytes, start)
    }

    /// `'''one''' '''two'''`: the segments together.
    pub fn long_string(&mut self) -> Raw<Text> {
        let start = self.at;
        let mut bytes = Vec::new();
        while self.bytes[self.at..].starts_with(b"'''") {
            self.at += 3;
            self.quoted(Quote::Long, false, &mut bytes)?;
            self.skip_space()?;
        }
        into_text(bytes, start)
    }

    /// `{{ Base64 }}`, `{{ "clob" }}` or `{{ '''clob''' }}`. Comments do not exist inside.
    pub fn lob(&mut self) -> Raw<Value> {
        self.at += 2;
        self.skip_white();
        let mut bytes = Vec::new();
        let is_clob = match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.quoted(Quote::Double, true, &mut bytes)?;
                self.skip_white();
                true
            }
            Some(b'\'') => {
                while self.bytes[self.at..].starts_with(b"'''") {
                    self.at += 3;
                    self.quoted(Quote::Long, true, &mut bytes)?;
                    self.skip_white();
                }
                true
            }
            _ => false,
        };
        let start = self.at;
        if !is_clob {
            while let Some(b) = self.peek().filter(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=')) {
                bytes.push(b);
                self.at += 1;
                self.skip_white();
            }
        }
        if !self.bytes[self.at..].starts_with(b"}}") {
            return Err(self.unexpected("'}}'"));
        }
        self.at += 2;
        if is_clob {
            return Ok(Value::Clob(Arc::from(bytes)));
        }
        let decoded = STANDARD.decode(&bytes).map_err(|_| (start, TextProblem::Base64))?;
        Ok(Value::Blob(Arc::from(decoded)))
    }

    fn skip_white(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C) = self.peek() {
            self.at += 1;
        }
    }

    /// One quoted segment, its escapes resolved.
    fn quoted(&mut self, quote: Quote, clob: bool, out: &mut Vec<u8>) -> Raw<()> {
        loop {
            let Some(b) = self.peek() else {
                return Err(self.unexpected("the closing quote"));
            };
            let closes = match quote {
                Quote::Double => b == b'"',
                Quote::Single => b == b'\'',
                Quote::Long => self.bytes[self.at..].starts_with(b"'''"),
            };
            if closes {
                self.at += if quote == Quote::Long { 3 } else { 1 };
                return Ok(());
            }
            match b {
                b'\\' => self.escape(clob, out)?,
                b'\r' if quote == Quote::Long => {
                    // Every line end reads as a line feed.
                    self.at += 1;
                    self.take(b'\n');
                    out.push(b'\n');
                }
                b'\n' if quote == Quote::Long => self.copy(b, out),
                b'\t' | 0x0B | 0x0C => self.copy(b, out),
                0..=0x1F => return Err((self.at, TextProblem::Control(char::from(b)))),
                0x7F.. if clob => return Err((self.at, TextProblem::Clob)),
                _ => self.copy(b, out),
            }
        }
    }

    fn copy(&mut self, b: u8, out: &mut Vec<u8>) {
        out.push(b);
        self.at += 1;
    }

    /// An escape sequence; `at` is on its backslash.
    fn escape(&mut self, clob: bool, out: &mut Vec<u8>) -> Raw<()> {
        let start = self.at;
        let Some(letter) = self.bytes.get(start + 1).copied() else {
            return Err((start, TextProblem::End("an escape sequence")));
        };
        self.at += 2;
        let simple = match letter {
            b'0' => 0,
            b'a' => 0x07,
            b'b' => 0x08,
            b't' => b'\t',
            b'n' => b'\n',
            b'f' => 0x0C,
            b'r' => b'\r',
            b'v' => 0x0B,
            b'"' | b'\'' | b'?' | b'\\' | b'/' => letter,
            // An escaped line end is no character at all.
            b'\n' => return Ok(()),
            b'\r' => {
                self.take(b'\n');
                return Ok(());
            }
            b'x' => {
                let number = self.hex(start, 2)?;
                if clob {
                    out.push(number as u8);
                    return Ok(());
                }
                return push_char(number, start, out);
            }
            b'u' if !clob => return self.utf16(start, out),
            b'U' if !clob => {
                let number = self.hex(start, 8)?;
                return push_char(number, start, out);
            }
            _ => return Err((start, TextProblem::Escape)),
        };
        out.push(simple);
        Ok(())
    }

    /// `\uHHHH`; two of them if the first is the first half of a pair.
    fn utf16(&mut self, start: usize, out: &mut Vec<u8>) -> Raw<()> {
        let first = self.hex(start, 4)?;
        if !(0xD800..0xDC00).contains(&first) {
            return push_char(first, start, out);
        }
        if !self.bytes[self.at..].starts_with(b"\\u") {
            return Err((start, TextProblem::Escape));
        }
        self.at += 2;
        let second = self.hex(start, 4)?;
        if !(0xDC00..0xE000).contains(&second) {
            return Err((start, TextProblem::Escape));
        }
        push_char(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00), start, out)
    }

    fn hex(&mut self, start: usize, digits: usize) -> Raw<u32> {
        let mut number = 0;
        for _ in 0..digits {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            number = number << 4 | digit.ok_or((start, TextProblem::Escape))?;
            self.at += 1;
        }
        Ok(number)
    }
}

fn push_char(number: u32, start: usize, out: &mut Vec<u8>) -> Raw<()> {
    let c = char::from_u32(number).ok_or((start, TextProblem::Escape))?;
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(())
}

fn into_text(bytes: Vec<u8>, start: usize) -> Raw<Text> {
    // Whole characters were copied from text, so this does not fail.
    Text::from_utf8(&bytes).map_err(|_| (start, TextProblem::Escape))
}
