//! The dictionary of a segment: symbols, names and repeated texts, each stored once (docs/format.md, "Dictionary
//! frame"). Numbers begin at 1 and follow the order in which the entries stand in the segment; 0 is no text.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher};

use ledgerstone_digest::ion::{SymbolLookup, SymbolTable, Text};

use crate::wire::{Reader, WireError, put_counted, put_varint};

/// Statement texts longer than this are written where they are used.
const SHARED_TEXT_BYTES_MAX: usize = 2048;
/// Texts remembered as seen once.
const SEEN_MAX: usize = 1 << 16;

/// The texts of a segment by number, for readers.
#[derive(Debug, Default, Clone)]
pub struct Texts {
    texts: Vec<Text>,
}

/// The writer's side: finds the numbers of texts and collects what is new.
#[derive(Debug, Default)]
pub struct Dictionary {
    texts: Texts,
    numbers: HashMap<Text, u32>,
    /// How many entries are in frames already.
    written: usize,
    /// Hashes of texts that came once and were written in place.
    seen: HashSet<u64>,
}

impl Texts {
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Adds entries, as [`Dictionary::write_frame`] gave them.
    pub(crate) fn extend(&mut self, new: &[Text]) {
        self.texts.extend_from_slice(new);
    }

    /// Adds the entries of a dictionary frame.
    pub(crate) fn read_frame(&mut self, payload: &[u8]) -> Result<(), WireError> {
        let mut reader = Reader::new(payload);
        let first = reader.varint("first number")?;
        if first != self.texts.len() as u64 + 1 {
            return Err(WireError(format!("dictionary entries from {first} follow {}", self.texts.len())));
        }
        while reader.left() > 0 {
            let text = reader.text("dictionary entry")?;
            if self.texts.len() >= u32::MAX as usize - 1 {
                return Err(WireError("too many dictionary entries".to_owned()));
            }
            self.texts.push(Text::new(text));
        }
        Ok(())
    }
}

impl SymbolLookup for Texts {
    fn text(&self, number: u32) -> Option<&Text> {
        self.texts.get((number as usize).checked_sub(1)?)
    }
}

impl Dictionary {
    /// Goes on with what a segment holds.
    pub fn resume(texts: Texts) -> Dictionary {
        let numbers = texts.texts.iter().cloned().zip(1..).collect();
        Dictionary { written: texts.len(), texts, numbers, seen: HashSet::new() }
    }

    pub fn len(&self) -> usize {
        self.texts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Forgets the entries from number `length + 1` on: what they were made for was not written.
    pub fn truncate(&mut self, length: usize) {
        for text in self.texts.texts.drain(length.min(self.texts.texts.len())..) {
            self.numbers.remove(&text);
        }
        self.written = self.written.min(length);
    }

    /// The number of a statement's text, if it is worth one: short and used before.
    pub fn share_text(&mut self, text: &str) -> Option<u32> {
        if let Some(number) = self.numbers.get(text) {
            return Some(*number);
        }
        if text.len() > SHARED_TEXT_BYTES_MAX {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
        }
        if self.seen.insert(hasher.finish()) { None } else { Some(self.intern(text)) }
    }

    /// How many entries are in frames.
    pub fn written(&self) -> usize {
        self.written
    }

    /// The most bytes that a frame with the entries that are in none yet can take.
    pub fn unwritten_bytes(&self) -> usize {
        let new = self.texts.texts.get(self.written..).unwrap_or_default();
        if new.is_empty() { 0 } else { 16 + new.iter().map(|t| t.len() + 5).sum::<usize>() }
    }

    /// Appends the payload of a frame with the entries that are in none yet, and returns them.
    pub(crate) fn write_frame(&mut self, out: &mut Vec<u8>) -> &[Text] {
        let new = self.texts.texts.get(self.written..).unwrap_or_default();
        if !new.is_empty() {
            put_varint(out, self.written as u64 + 1);
        }
        for text in new {
            put_counted(out, text.as_bytes());
        }
        self.written = self.texts.len();
        new
    }
}

impl SymbolTable for Dictionary {
    fn intern(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let text = Text::new(text);
        self.texts.texts.push(text.clone());
        let number = self.texts.len() as u32;
        self.numbers.insert(text, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_back_under_their_numbers() {
        let mut dictionary = Dictionary::default();
        assert_eq!((dictionary.intern("a"), dictionary.intern("b"), dictionary.intern("a")), (1, 2, 1));
        let (mut first, mut second) = (Vec::new(), Vec::new());
        assert_eq!(dictionary.write_frame(&mut first).len(), 2);
        assert!(dictionary.write_frame(&mut second).is_empty());
        dictionary.intern("c");
        assert_eq!(dictionary.write_frame(&mut second).len(), 1);
        let mut texts = Texts::default();
        assert!(texts.clone().read_frame(&second).is_err());
        texts.read_frame(&first).unwrap();
        texts.read_frame(&second).unwrap();
        assert_eq!(texts.text(3).map(|t| &**t), Some("c"));
        assert_eq!((texts.text(0), texts.text(4)), (None, None));
    }

    #[test]
    fn forgotten_entries_get_their_numbers_anew() {
        let mut dictionary = Dictionary::default();
        dictionary.intern("a");
        dictionary.write_frame(&mut Vec::new());
        dictionary.intern("b");
        dictionary.truncate(1);
        assert_eq!(dictionary.intern("c"), 2);
        let mut out = Vec::new();
        assert_eq!(dictionary.write_frame(&mut out).len(), 1);
        assert_eq!(out, [2, 1, b'c']);
    }

    #[test]
    fn a_text_gets_a_number_when_it_comes_again() {
        let mut dictionary = Dictionary::default();
        assert_eq!(dictionary.share_text("select"), None);
        assert_eq!(dictionary.share_text("select"), Some(1));
        assert_eq!(dictionary.share_text(&"x".repeat(5000)), None);
        assert_eq!(dictionary.share_text(&"x".repeat(5000)), None);
    }
}
