//! A SHA-256 value: the one hash function of every format in this crate (FIPS 180-4).

use std::fmt;
use std::str::FromStr;

use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

/// What SHA-256 begins with (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
const BLOCK_BYTES: usize = 64;

/// 32 bytes of SHA-256. Shown as 64 lower-case hexadecimal digits.
///
/// The order (`Ord`) is of unsigned bytes from the first to the last; QLDB's `dot` has an order of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

/// Why a text is not a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 hexadecimal digits, not {found}")]
pub struct HashError {
    /// What was found instead, shortened.
    pub found: String,
}

impl Hash {
    /// 32 zero bytes: stands where docs/format.md says "or 32 zeros". It is nobody's SHA-256 that anyone knows.
    pub const ZERO: Hash = Hash([0; 32]);

    /// SHA-256 of the parts, one after the other.
    pub fn sha256(parts: &[&[u8]]) -> Hash {
        if let [whole] = parts {
            return Hash::of(whole);
        }
        // Leaves and nodes of trees: what is so short is put together first.
        let length = parts.iter().map(|part| part.len()).sum();
        let mut together = [0; 2 * BLOCK_BYTES];
        if let Some(together) = together.get_mut(..length) {
            let mut rest = &mut *together;
            for part in parts {
                let (here, behind) = rest.split_at_mut(part.len());
                here.copy_from_slice(part);
                rest = behind;
            }
            return Hash::of(together);
        }
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Hash(hasher.finalize().into())
    }

    /// SHA-256 of bytes that lie together: without what taking them bit by bit costs, which for the short ones that a
    /// ledger hashes most is as much as the hash (FIPS 180-4, 5.1.1 and 6.2).
    pub(crate) fn of(bytes: &[u8]) -> Hash {
        let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        let mut state = INITIAL;
        compress256(&mut state, blocks);
        let mut last = [[0; BLOCK_BYTES]; 2];
        let used = if rest.len() < BLOCK_BYTES - 8 { 1 } else { 2 };
        last[0][..rest.len()].copy_from_slice(rest);
        last[0][rest.len()] = 0x80;
        last[used - 1][BLOCK_BYTES - 8..].copy_from_slice(&(bytes.len() as u64 * 8).to_be_bytes());
        compress256(&mut state, &last[..used]);
        let mut hash = [0; 32];
        for (to, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
            *to = word.to_be_bytes();
        }
        Hash(hash)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A hash of exactly 32 bytes; anything else is `None` (an empty data hash is not a hash).
    pub fn from_slice(bytes: &[u8]) -> Option<Hash> {
        <[u8; 32]>::try_from(bytes).ok().map(Hash)
    }

    /// Hashes a fixed text and compares it with the published result. Call once at start: a wrong SHA-256 back end
    /// must stop the process before it writes anything that lasts.
    pub fn self_test() -> Result<(), SelfTestError> {
        const BLOCKS: &[u8] = b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
        let cases: [(&[u8], &str); 3] = [
            (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (BLOCKS, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"),
        ];
        for (input, expected) in cases {
            let found = Hash::sha256(&[input]).to_string();
            if found != expected {
                return Err(SelfTestError { input: input.len(), expected, found });
            }
        }
        Ok(())
    }
}

/// SHA-256 computed something else than the standard says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "SHA-256 is broken on this machine: {input} bytes hash to {found}, the standard says {expected}; \
     do not run a ledger here"
)]
pub struct SelfTestError {
    input: usize,
    expected: &'static str,
    found: String,
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Hash(bytes)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0u8; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let refuse = || HashError { found: shorten(text) };
        if text.len() != 64 {
            return Err(refuse());
        }
        let mut bytes = [0u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16).ok_or_else(refuse)?;
            let low = char::from(pair[1]).to_digit(16).ok_or_else(refuse)?;
            *byte = (high * 16 + low) as u8;
        }
        Ok(Hash(bytes))
    }
}

/// Text from outside, short enough for an error message.
pub(crate) fn shorten(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_is_the_standard_one() {
        Hash::self_test().unwrap();
    }

    #[test]
    fn hashing_parts_is_hashing_their_concatenation() {
        assert_eq!(Hash::sha256(&[b"a", b"", b"bc"]), Hash::sha256(&[b"abc"]));
    }

    #[test]
    fn every_length_is_hashed_as_the_library_hashes_it() {
        let bytes: Vec<u8> = (0..400_u32).map(|n| (n * 7 + n / 64) as u8).collect();
        for length in 0..bytes.len() {
            let expected: [u8; 32] = Sha256::digest(&bytes[..length]).into();
            assert_eq!(Hash::of(&bytes[..length]).0, expected, "{length} bytes");
            let (one, two) = bytes[..length].split_at(length / 3);
            assert_eq!(Hash::sha256(&[one, &[], two]).0, expected, "{length} bytes in parts");
        }
    }

    #[test]
    fn hexadecimal_text_goes_both_ways() {
        let hash = Hash::sha256(&[b"abc"]);
        assert_eq!(hash.to_string().parse::<Hash>().unwrap(), hash);
        assert_eq!(hash.to_string().to_uppercase().parse::<Hash>().unwrap(), hash);
    }

    #[test]
    fn text_that_is_not_64_digits_is_refused() {
        for text in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32), &"+0".repeat(32)] {
            assert!(text.parse::<Hash>().is_err(), "{text}");
        }
    }
}
