//! Seeded changes of bytes: what turns a sound input into one that nobody has sent before.

use ledgerstone_journal::env::{Rng, SeededRng};

/// What lengths, types and escapes are made of.
const WORDS: [&[u8]; 21] = [
    b"\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\0\0\0\0\0\0\0\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x8e\x7f\x7f\x7f\xff",
    b"\xee\x7f\x7f\x7f\xff",
    b"\xde\x0f\x7f\x7f\x7f\x7f\xff",
    b"\xe0\x01\0\xea",
    b"\xe7\x81\x83\xd4\x87\xb1\x81",
    b"\xbe\x8f",
    b"\x0e\x90",
    b"\xd1",
    b"\xef",
    b"\xef\xbf\xbf\xc0\x80",
    b"((((((((((((((((",
    b"'\"`{[<",
    b"99999999999999999999",
    b"-1e-2147483649",
    b"\n\n\xe2\x80\x94 ",
];

/// Random numbers, the same for a seed everywhere, and changes made with them.
pub struct Random(SeededRng);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(SeededRng::new(seed))
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0.below(n as u64) as usize
    }

    /// So many bytes at most.
    pub fn bytes(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.below(most + 1)];
        self.0.fill(&mut bytes);
        bytes
    }

    /// One change: a bit, a cut, a piece of this or another input, random bytes, a run of one byte, or a word that lengths
    /// are made of.
    pub fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        let length = self.below(24);
        match self.below(10) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..(at + length).min(bytes.len()))),
            4 => {
                let from = self.below(bytes.len() + 1);
                let piece: Vec<u8> = bytes[from..].iter().copied().take(length).collect();
                bytes.splice(at..at, piece);
            }
            5 => {
                let from = self.below(other.len() + 1);
                bytes.splice(at..at, other[from..].iter().copied().take(length * 4));
            }
            6 => {
                let byte = self.below(256) as u8;
                let times = 1 << self.below(10);
                bytes.splice(at..at, std::iter::repeat_n(byte, times));
            }
            7 => drop(bytes.splice(at..at, self.bytes(6))),
            _ => {
                let word = WORDS[self.below(WORDS.len())];
                let end = (at + self.below(word.len() + 1)).min(bytes.len());
                bytes.splice(at..end, word.iter().copied());
            }
        }
    }

    /// Some changes, with pieces of the input itself.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..1 + self.below(4) {
            let own = bytes.clone();
            self.change(bytes, &own);
        }
    }
}
