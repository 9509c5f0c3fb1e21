//! 128-bit ids and their 22 Base62 characters (docs/format.md, "Ids").
//!
//! The text is two 64-bit halves of 11 digits each, most significant first. It is QLDB's form, so ids of imported
//! ledgers keep their text.

use std::fmt;
use std::str::FromStr;

use crate::hash::{Hash, shorten};

/// The id of a ledger, a strand, a table, a document or a transaction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 16]);

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id is 22 Base62 characters (0-9, A-Z, a-z), two numbers below 2^64 of 11 digits each, not {found}")]
pub struct IdError {
    /// What was found instead, shortened.
    pub found: String,
}

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const HALF_LENGTH: usize = 11;
const TEXT_LENGTH: usize = 2 * HALF_LENGTH;

impl Id {
    /// 16 zero bytes: never a table; the table and document of opaque leaves.
    pub const ZERO: Id = Id([0; 16]);

    /// The system table of tables.
    pub const TABLES: Id = Id::system(1);
    /// The system table of indexes.
    pub const INDEXES: Id = Id::system(2);
    /// The system table of redactions.
    pub const REDACTIONS: Id = Id::system(3);
    /// The system table of log keys.
    pub const KEYS: Id = Id::system(4);
    /// The system table of principals.
    pub const PRINCIPALS: Id = Id::system(5);
    /// The system table of what is said of the ledger as a whole.
    pub const LEDGER: Id = Id::system(16);

    /// The id of a system table: 15 zero bytes, then `n`.
    pub const fn system(n: u8) -> Id {
        let mut bytes = [0; 16];
        bytes[15] = n;
        Id(bytes)
    }

    /// True for ids that only system tables have (not for [`Id::ZERO`], which no table has).
    pub fn is_system(&self) -> bool {
        self.0[..15] == [0; 15] && self.0[15] != 0
    }

    /// The id of an imported document, table, transaction or strand: the text decoded or, if it does not have the
    /// form of an id, the first 16 bytes of its SHA-256.
    pub fn from_foreign_text(text: &str) -> Id {
        match text.parse() {
            Ok(id) => id,
            Err(_) => {
                let hash = Hash::sha256(&[text.as_bytes()]);
                let mut bytes = [0; 16];
                bytes.copy_from_slice(&hash.0[..16]);
                Id(bytes)
            }
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// An id of exactly 16 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Id> {
        <[u8; 16]>::try_from(bytes).ok().map(Id)
    }

    /// The 22 characters as bytes, for writers that need no allocation.
    pub fn text_bytes(&self) -> [u8; TEXT_LENGTH] {
        let mut text = [0; TEXT_LENGTH];
        let value = u128::from_be_bytes(self.0);
        write_half((value >> 64) as u64, &mut text[..HALF_LENGTH]);
        write_half(value as u64, &mut text[HALF_LENGTH..]);
        text
    }
}

fn write_half(mut value: u64, text: &mut [u8]) {
    for character in text.iter_mut().rev() {
        *character = DIGITS[(value % 62) as usize];
        value /= 62;
    }
}

fn read_half(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |value, character| {
        let digit = match character {
            b'0'..=b'9' => character - b'0',
            b'A'..=b'Z' => character - b'A' + 10,
            b'a'..=b'z' => character - b'a' + 36,
            _ => return None,
        };
        value.checked_mul(62)?.checked_add(u64::from(digit))
    })
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.text_bytes()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let refuse = || IdError { found: shorten(text) };
        let bytes = text.as_bytes();
        if bytes.len() != TEXT_LENGTH {
            return Err(refuse());
        }
        let high = read_half(&bytes[..HALF_LENGTH]).ok_or_else(refuse)?;
        let low = read_half(&bytes[HALF_LENGTH..]).ok_or_else(refuse)?;
        Ok(Id(((u128::from(high) << 64) | u128::from(low)).to_be_bytes()))
    }
}

impl From<[u8; 16]> for Id {
    fn from(bytes: [u8; 16]) -> Self {
        Id(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_22_characters_and_go_both_ways() {
        for bytes in [[0; 16], [0xff; 16], *b"0123456789abcdef"] {
            let text = Id(bytes).to_string();
            assert_eq!(text.len(), 22);
            assert_eq!(text.parse::<Id>().unwrap(), Id(bytes));
        }
    }

    #[test]
    fn text_above_two_64_bit_halves_is_refused() {
        assert_eq!("LygHa16AHYFLygHa16AHYF".parse::<Id>().unwrap(), Id([0xff; 16]));
        for text in ["LygHa16AHYG0000000000A", "0000000000ALygHa16AHYG", "zzzzzzzzzzzzzzzzzzzzzz"] {
            assert!(text.parse::<Id>().is_err(), "{text}");
        }
    }

    #[test]
    fn text_of_another_form_is_refused() {
        for text in
            ["", "000000000000000000000", "00000000000000000000000", "000000000000000000000-", "é00000000000000000000"]
        {
            assert!(text.parse::<Id>().is_err(), "{text}");
        }
    }

    #[test]
    fn foreign_text_keeps_its_id_or_gets_the_start_of_its_hash() {
        let own = Id(*b"0123456789abcdef");
        assert_eq!(Id::from_foreign_text(&own.to_string()), own);
        assert_eq!(Id::from_foreign_text("abc").0, Hash::sha256(&[b"abc"]).0[..16]);
    }

    #[test]
    fn zero_is_no_system_table() {
        assert!(!Id::ZERO.is_system());
        assert!(Id::system(1).is_system() && Id::system(255).is_system());
        assert!(!Id([1; 16]).is_system());
    }
}
