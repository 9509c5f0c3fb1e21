//! `index/manifest`: which runs there are, up to which position they know the journal, and which journal that is
//! (docs/format.md, "Index files"). Written under another name, synced and renamed, so there is always one whole.
//!
//! The hash of the block leaf that stands before the position binds the index to this history: a manifest of another
//! ledger, or of a journal that has since been restored to another history, does not fit and is dropped.

use std::path::Path;

use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::id::Id;
use ledgerstone_journal::env::{Storage, read_file, write_whole};

use super::delta::{Facts, IndexFacts};
use super::run::RunName;
use crate::index::IndexError;

/// The manifest's name in the index's directory.
pub const MANIFEST: &str = "manifest";
pub const TEMPORARY: &str = "manifest.tmp";

const MAGIC: [u8; 8] = *b"LSINDX\0\x01";
const BYTES_MAX: u64 = 256 << 20;
const HASH_BYTES: usize = 32;

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub ledger: Id,
    /// H of the block leaf (or genesis leaf) that stands just before the position.
    pub leaf: Hash,
    pub facts: Facts,
    /// The oldest first.
    pub runs: Vec<RunName>,
}

impl Manifest {
    /// Reads the manifest; `None` if there is none.
    pub fn read(storage: &dyn Storage, dir: &Path) -> Result<Option<Manifest>, IndexError> {
        let path = dir.join(MANIFEST);
        let bytes = match read_file(storage, &path, BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(IndexError::file(&path, "read it", &error)),
        };
        let damage = |what| IndexError::damaged(&path, 0, what);
        let (body, sum) = bytes.split_last_chunk::<HASH_BYTES>().ok_or_else(|| damage("the file is too short"))?;
        if Hash::sha256(&[body]).0 != *sum {
            return Err(damage("the file is not what was written"));
        }
        let body = body.strip_prefix(&MAGIC).ok_or_else(|| damage("it is of another format"))?;
        decode(body).map(Some).ok_or_else(|| damage("the file contradicts itself"))
    }

    /// Writes the manifest in the place of the one before. The names of its runs must be durable.
    pub fn store(&self, storage: &dyn Storage, dir: &Path) -> Result<(), IndexError> {
        let (path, temporary) = (dir.join(MANIFEST), dir.join(TEMPORARY));
        let mut bytes = MAGIC.to_vec();
        self.encode(&mut bytes);
        let sum = Hash::sha256(&[&bytes]);
        bytes.extend_from_slice(&sum.0);
        write_whole(storage, &temporary, &bytes).map_err(|error| IndexError::file(&temporary, "write it", &error))?;
        storage.rename(&temporary, &path).map_err(|error| IndexError::file(&path, "rename it", &error))?;
        storage.sync_dir(dir).map_err(|error| IndexError::file(dir, "sync it", &error))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let Facts { position, counts, indexes, purge, notes } = &self.facts;
        out.extend_from_slice(&self.ledger.0);
        out.extend_from_slice(&position.to_be_bytes());
        out.extend_from_slice(&self.leaf.0);
        out.push(u8::from(*purge));
        put_number(self.runs.len() as u64, out);
        for RunName { number, nonce, length, entries } in &self.runs {
            [number, nonce, length, entries].into_iter().for_each(|n| put_number(*n, out));
        }
        let mut counts: Vec<(&Id, &u64)> = counts.iter().collect();
        counts.sort_unstable();
        put_number(counts.len() as u64, out);
        for (table, count) in counts {
            out.extend_from_slice(&table.0);
            put_number(*count, out);
        }
        put_number(indexes.len() as u64, out);
        for (index, IndexFacts { table, complete }) in indexes {
            out.extend_from_slice(&index.0);
            out.extend_from_slice(&table.0);
            out.push(u8::from(*complete));
        }
        put_number(notes.len() as u64, out);
        out.extend_from_slice(notes);
    }
}

fn put_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn decode(bytes: &[u8]) -> Option<Manifest> {
    let mut reader = Reader(bytes);
    let ledger = Id(reader.array()?);
    let position = reader.number()?;
    let leaf = Hash(reader.array()?);
    let purge = reader.flag()?;
    let runs = reader.list(32, |r| {
        Some(RunName { number: r.number()?, nonce: r.number()?, length: r.number()?, entries: r.number()? })
    })?;
    let counts = reader.list(24, |r| Some((Id(r.array()?), r.number()?)))?.into_iter().collect();
    let indexes = reader
        .list(33, |r| Some((Id(r.array()?), IndexFacts { table: Id(r.array()?), complete: r.flag()? })))?
        .into_iter()
        .collect();
    let length = usize::try_from(reader.number()?).ok()?;
    let (notes, rest) = reader.0.split_at_checked(length)?;
    let facts = Facts { position, counts, indexes, purge, notes: notes.to_vec() };
    rest.is_empty().then_some(Manifest { ledger, leaf, facts, runs })
}

/// Reads what was encoded, from front to back.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn flag(&mut self) -> Option<bool> {
        self.array::<1>().map(|[flag]| flag != 0)
    }

    fn list<T>(&mut self, item_bytes: usize, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.number()?).ok()?;
        // No more than there can be, before memory is taken.
        if count > self.0.len() / item_bytes {
            return None;
        }
        (0..count).map(|_| item(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledgerstone_journal::env::{MemoryStorage, OpenMode};

    #[test]
    fn a_manifest_reads_back_and_no_changed_byte_does() {
        let storage = MemoryStorage::new();
        let dir = Path::new("/index");
        storage.create_dir_all(dir).unwrap();
        assert_eq!(Manifest::read(&storage, dir), Ok(None));
        let manifest = Manifest {
            ledger: Id([1; 16]),
            leaf: Hash([2; 32]),
            facts: Facts {
                position: 99,
                counts: [(Id([3; 16]), 4), (Id([2; 16]), 0)].into(),
                indexes: [(Id([5; 16]), IndexFacts { table: Id([3; 16]), complete: true })].into(),
                purge: true,
                notes: b"notes".to_vec(),
            },
            runs: vec![RunName { number: 1, nonce: 2, length: 3, entries: 4 }],
        };
        manifest.store(&storage, dir).unwrap();
        manifest.store(&storage, dir).unwrap();
        assert_eq!(Manifest::read(&storage, dir), Ok(Some(manifest)));
        let file = storage.open(&dir.join(MANIFEST), OpenMode::Write).unwrap();
        for at in 0..file.len().unwrap() {
            let mut byte = [0];
            file.read_at(&mut byte, at).unwrap();
            file.write_at(&[byte[0] ^ 1], at).unwrap();
            assert!(Manifest::read(&storage, dir).is_err(), "byte {at}");
            file.write_at(&byte, at).unwrap();
        }
        assert!(decode(&[0; 80]).is_none());
    }
}
