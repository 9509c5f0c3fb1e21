//! Documents that wait for their transaction to commit, as bytes: encoded and hashed when they are written, on whatever
//! threads there are, so that a large transaction holds a fraction of what its values take in memory and its commit has
//! only that left to do which depends on the block.
//!
//! The documents of one [`Encoder`] share their memory. It is free when the last of them is.

use std::sync::Arc;

use ledgerstone_digest::Hash;
use ledgerstone_digest::ion::{
    BinaryError, Hasher, Interner, Limits, SymbolTable, Text, Value, decode_with, encode_with_more, renumber,
};

use crate::transaction::SALT_FIELD;

/// The data of a revision that is to be made.
#[derive(Debug, Clone)]
pub enum Data {
    Value(Arc<Value>),
    /// Encoded, hashed, and with its salt inside, if it has one.
    Encoded(Encoded),
}

/// One document among those of a [`Encoder`].
#[derive(Debug, Clone)]
pub struct Encoded {
    documents: Arc<Documents>,
    at: u32,
}

/// Encodes and hashes documents.
#[derive(Default)]
pub struct Encoder {
    hasher: Hasher,
    symbols: Interner,
    documents: Documents,
}

/// Documents, one behind the other.
#[derive(Debug, Default)]
struct Documents {
    texts: Vec<Text>,
    bytes: Vec<u8>,
    /// Where each ends, and its Ion Hash.
    ends: Vec<(usize, Hash)>,
}

impl Data {
    /// The document, built from its bytes if it is encoded: with its salt then.
    pub fn value(&self) -> Result<Arc<Value>, BinaryError> {
        match self {
            Data::Value(value) => Ok(Arc::clone(value)),
            Data::Encoded(encoded) => encoded.value().map(Arc::new),
        }
    }

    /// Whether it is a struct, as a document must be.
    pub(crate) fn is_struct(&self) -> bool {
        match self {
            Data::Value(value) => value.as_struct().is_some(),
            Data::Encoded(encoded) => encoded.bytes().first().is_some_and(|byte| byte >> 4 == 13 && byte & 15 != 15),
        }
    }

    /// The value, if it is not encoded.
    pub fn as_value(&self) -> Option<&Value> {
        match self {
            Data::Value(value) => Some(value),
            Data::Encoded(_) => None,
        }
    }
}

impl From<Arc<Value>> for Data {
    fn from(value: Arc<Value>) -> Data {
        Data::Value(value)
    }
}

impl From<Encoded> for Data {
    fn from(encoded: Encoded) -> Data {
        Data::Encoded(encoded)
    }
}

impl Encoded {
    /// The Ion Hash of the document with its salt.
    pub fn hash(&self) -> Hash {
        self.documents.ends.get(self.at as usize).map_or(Hash::ZERO, |(_, hash)| *hash)
    }

    /// The document, with its salt.
    pub fn value(&self) -> Result<Value, BinaryError> {
        decode_with(self.bytes(), &self.documents.texts, &Limits::STORED)
    }

    fn bytes(&self) -> &[u8] {
        let end_of = |at: usize| self.documents.ends.get(at).map(|(end, _)| *end);
        let at = self.at as usize;
        let start = at.checked_sub(1).and_then(end_of).unwrap_or(0);
        self.documents.bytes.get(start..end_of(at).unwrap_or(start)).unwrap_or_default()
    }
}

impl Encoder {
    pub fn new() -> Encoder {
        Encoder::default()
    }

    /// Takes a document, a struct. The salt becomes its last field.
    pub fn add(&mut self, document: &Value, salt: Option<&[u8; 16]>) {
        let more = salt.map(|salt| (SALT_FIELD, salt.as_slice()));
        let hash = self.hasher.value_with(document, more);
        self.symbols.begin();
        encode_with_more(document, more, &mut self.symbols, &mut self.documents.bytes);
        self.documents.ends.push((self.documents.bytes.len(), hash));
    }

    /// The documents, in the order in which they were taken.
    pub fn finish(mut self) -> impl ExactSizeIterator<Item = Encoded> {
        self.documents.texts = self.symbols.into_texts();
        self.documents.bytes.shrink_to_fit();
        self.documents.ends.shrink_to_fit();
        let count = self.documents.ends.len() as u32;
        let documents = Arc::new(self.documents);
        (0..count).map(move |at| Encoded { documents: Arc::clone(&documents), at })
    }
}

/// Writes encoded documents with another dictionary. It remembers that one's numbers, so it must not outlive a change of
/// the dictionary other than by new entries.
#[derive(Default)]
pub(crate) struct Renumberer {
    of: Option<Arc<Documents>>,
    /// The new number of each symbol, 0 if it was not asked for yet.
    numbers: Vec<u32>,
}

impl Renumberer {
    /// Appends the document as [`encode_with_more`] would have written it with this dictionary.
    pub fn put(
        &mut self,
        encoded: &Encoded,
        dictionary: &mut impl SymbolTable,
        out: &mut Vec<u8>,
    ) -> Result<(), BinaryError> {
        if !self.of.as_ref().is_some_and(|documents| Arc::ptr_eq(documents, &encoded.documents)) {
            self.of = Some(Arc::clone(&encoded.documents));
            self.numbers = vec![0; encoded.documents.texts.len()];
        }
        let (texts, numbers) = (&encoded.documents.texts, &mut self.numbers);
        let mut number = |old: u32| {
            let at = old as usize - 1;
            match (numbers.get_mut(at), texts.get(at)) {
                (Some(known), Some(text)) => {
                    if *known == 0 {
                        *known = dictionary.intern(text);
                    }
                    *known
                }
                // Encoders give no other numbers.
                _ => 0,
            }
        };
        renumber(encoded.bytes(), &Limits::STORED, &mut number, out)
    }
}

#[cfg(test)]
mod tests {
    use ledgerstone_digest::ion::{Limits, ion_hash, parse};

    use super::*;
    use crate::dictionary::{Dictionary, Texts};

    #[test]
    fn encoded_documents_are_written_as_values_would_be() {
        let texts = [
            "{a: 1, b: {c: sym, a: 2}, d: [e, f]}",
            "{a: 1, b: {c: sym, a: 2}, d: [e, f]}",
            "{b: 1, a: 2}",
            "{}",
            "{g: h::1, a: null}",
        ];
        let values: Vec<Value> = texts.iter().map(|text| parse(text, &Limits::DOCUMENT).unwrap()).collect();
        let salts = [Some([3; 16]), Some([4; 16]), None, None, Some([5; 16])];
        let mut encoder = Encoder::new();
        values.iter().zip(&salts).for_each(|(value, salt)| encoder.add(value, salt.as_ref()));
        let encoded: Vec<Encoded> = encoder.finish().collect();
        let start = || {
            let mut dictionary = Dictionary::resume(Texts::default());
            for text in ["x", "d", "y"] {
                dictionary.intern(text);
            }
            dictionary
        };
        let (mut ours, mut theirs, mut renumberer) = (start(), start(), Renumberer::default());
        for ((value, salt), encoded) in values.iter().zip(&salts).zip(&encoded) {
            let more = salt.as_ref().map(|salt| (SALT_FIELD, salt.as_slice()));
            let (mut expected, mut found) = (Vec::new(), Vec::new());
            encode_with_more(value, more, &mut theirs, &mut expected);
            renumberer.put(encoded, &mut ours, &mut found).unwrap();
            assert_eq!((found, ours.len()), (expected, theirs.len()));
            let whole = encoded.value().unwrap();
            assert_eq!(encoded.hash(), ion_hash(&whole));
            assert_eq!(whole.as_struct().unwrap().get(SALT_FIELD).is_some(), salt.is_some());
        }
    }
}
