//! Histories read lately: the revisions of a document as bytes, one behind the other. What is read of a history is read in one
//! order and shown at once, and most of it is not asked for alone; in one piece it takes a fraction of the memory that as many
//! revisions take in the cache of revisions, and none of them is waited for by itself.
//!
//! The row index says which revisions a document has; what is kept here answers for those that it holds at the beginning.
//! Revisions never change, so that nothing is ever stale; only a redaction throws its document's history away.

use std::collections::hash_map::RandomState;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ledgerstone_digest::Hash;
use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Interner, Limits, Struct, Symbol, Text, Value, decode_with, encode_with};

use super::cache::{beside, bytes_of_doc, name_bytes};
use super::second_chance::{CacheKey, Kept, SecondChance};
use crate::error::{QueryError, Result};
use crate::transaction::{Doc, Salt};

/// Shorter ones are read revision by revision.
const REVISIONS_MIN: usize = 4;
/// Ones whose documents take more memory are not kept: they are read from the journal.
const DOCS_BYTES_MAX: usize = 512 << 10;

pub struct HistoryCache {
    histories: SecondChance<Id, Arc<History>, RandomState>,
    /// How often one was thrown away.
    thrown: AtomicU64,
}

/// The first revisions of a document. Of each only those fields are kept that differ from the one before.
#[derive(Debug)]
pub struct History {
    table_id: Id,
    id: Id,
    revisions: Box<[Revision]>,
    /// The names of fields that documents have, in order: mostly one list for all of them.
    shapes: Vec<Arc<[Symbol]>>,
    changes: Box<[Change]>,
    /// The values of the changes, one behind the other.
    bytes: Box<[u8]>,
    /// The names inside of them.
    texts: Vec<Text>,
    /// What its documents take when they are decoded.
    docs_bytes: usize,
}

#[derive(Debug)]
struct Revision {
    position: u64,
    version: u64,
    block: u64,
    tx_time_ms: i64,
    tx_id: Id,
    supersedes: Option<u64>,
    /// The document's shape; it has no data if there is none.
    shape: Option<u32>,
    /// Where its changes end.
    changes_end: u32,
    salt: Option<Salt>,
    data_hash: Option<Box<Hash>>,
}

/// A field that is another one than in the revision before, or there was none of this shape just before.
#[derive(Debug, Clone, Copy)]
struct Change {
    field: u32,
    /// Where its value ends.
    end: u32,
}

/// When it was asked what is kept: what is read from then on may be put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked(u64);

impl CacheKey for Id {
    fn shard(&self) -> usize {
        usize::from(self.0[15])
    }
}

impl HistoryCache {
    pub fn new(bytes_max: usize) -> HistoryCache {
        HistoryCache { histories: SecondChance::new(bytes_max), thrown: AtomicU64::new(0) }
    }

    /// What is kept of a document's history.
    pub fn get(&self, table_id: Id, id: Id) -> (Option<Arc<History>>, Asked) {
        let asked = Asked(self.thrown.load(Ordering::Acquire));
        let found = self.histories.get(&id).map(|(history, _)| history);
        (found.filter(|history| history.table_id == table_id), asked)
    }

    /// Whether to keep a history of so many revisions, of which so many are kept already: the first ones.
    pub fn wants(revisions: usize, kept: usize) -> bool {
        // One that grows is written anew now and then, so it takes a share of what reading it takes.
        revisions >= REVISIONS_MIN && (revisions - kept) * 4 >= revisions
    }

    /// Keeps a history in place of what was kept of it, unless one was thrown away since it was asked for: it may be this one.
    pub fn put(&self, docs: &[Arc<Doc>], asked: Asked) {
        let Some(history) = History::of(docs) else { return };
        let (id, bytes) = (history.id, history.memory_bytes());
        let may_still = || Asked(self.thrown.load(Ordering::Acquire)) == asked;
        self.histories.put(id, Arc::new(history), bytes, Kept::Sparingly, may_still);
    }

    /// Throws away what is kept of a document, and what was read of it and not put in yet.
    pub fn throw_away(&self, id: Id) {
        self.thrown.fetch_add(1, Ordering::AcqRel);
        self.histories.remove(&id);
    }
}

impl History {
    /// Revisions of one document from its first one on; `None` if they are not, or too many bytes.
    fn of(docs: &[Arc<Doc>]) -> Option<History> {
        let first = docs.first()?;
        if docs.iter().any(|doc| (doc.table_id, doc.id) != (first.table_id, first.id)) {
            return None;
        }
        let docs_bytes = docs.iter().map(|doc| bytes_of_doc(doc)).sum();
        if docs_bytes > DOCS_BYTES_MAX {
            return None;
        }
        let mut writer = Writer::default();
        let mut revisions = Vec::with_capacity(docs.len());
        for doc in docs {
            let shape = match doc.data.as_deref() {
                None => writer.add_none(),
                Some(Value::Struct(data)) => Some(writer.add(data)?),
                Some(_) => return None,
            };
            revisions.push(Revision {
                position: doc.position,
                version: doc.version,
                block: doc.block,
                tx_time_ms: doc.tx_time_ms,
                tx_id: doc.tx_id,
                supersedes: doc.supersedes,
                shape,
                changes_end: u32::try_from(writer.changes.len()).ok()?,
                salt: doc.salt.clone(),
                data_hash: doc.data_hash.map(Box::new),
            });
        }
        let mut texts = writer.symbols.into_texts();
        texts.shrink_to_fit();
        writer.shapes.shrink_to_fit();
        Some(History {
            table_id: first.table_id,
            id: first.id,
            revisions: revisions.into(),
            shapes: writer.shapes,
            changes: writer.changes.into(),
            bytes: writer.bytes.into(),
            texts,
            docs_bytes,
        })
    }

    /// How many of these positions, from the first one on, are kept here.
    pub fn holds(&self, positions: &[u64]) -> usize {
        let same = |(revision, position): &(&Revision, &u64)| revision.position == **position;
        self.revisions.iter().zip(positions).take_while(same).count()
    }

    /// What its documents take when they are decoded.
    pub fn docs_bytes(&self) -> usize {
        self.docs_bytes
    }

    /// Its first revisions, so many.
    pub fn docs(&self, count: usize) -> Result<Vec<Arc<Doc>>> {
        let mut docs: Vec<Arc<Doc>> = Vec::with_capacity(count);
        let mut reader = Reader { history: self, changes: 0, bytes: 0, shape: None };
        for revision in self.revisions.iter().take(count) {
            let before = docs.last().and_then(|doc| doc.data.as_ref());
            let data = match revision.shape {
                None => None,
                Some(shape) => Some(reader.read(shape, revision.changes_end, before)?),
            };
            reader.shape = revision.shape;
            docs.push(Arc::new(Doc {
                table_id: self.table_id,
                id: self.id,
                position: revision.position,
                version: revision.version,
                block: revision.block,
                tx_time_ms: revision.tx_time_ms,
                tx_id: revision.tx_id,
                supersedes: revision.supersedes,
                successor: None,
                data,
                salt: revision.salt.clone(),
                data_hash: revision.data_hash.as_deref().copied(),
            }));
        }
        Ok(docs)
    }

    fn memory_bytes(&self) -> usize {
        let beside_it = |revision: &Revision| {
            let salt = revision.salt.as_ref().map_or(0, Salt::bytes_beside);
            salt + revision.data_hash.as_ref().map_or(0, |_| size_of::<Hash>())
        };
        let texts: usize = self.texts.iter().map(|text| size_of::<Text>() + beside(text)).sum();
        let shape = |names: &Arc<[Symbol]>| {
            size_of_val(&**names) + names.iter().map(name_bytes).sum::<usize>() + size_of::<Arc<[Symbol]>>() + 16
        };
        let shapes: usize = self.shapes.iter().map(shape).sum();
        let revisions = size_of_val(&*self.revisions) + self.revisions.iter().map(beside_it).sum::<usize>();
        let changes = size_of_val(&*self.changes) + self.bytes.len();
        // With its entry in the cache.
        size_of::<History>() + texts + shapes + revisions + changes + 128
    }
}

/// Takes documents, one after the other.
#[derive(Default)]
struct Writer {
    symbols: Interner,
    shapes: Vec<Arc<[Symbol]>>,
    changes: Vec<Change>,
    bytes: Vec<u8>,
    /// Where the values of the document before stand.
    last: Vec<Range<usize>>,
    last_shape: Option<u32>,
}

impl Writer {
    /// A revision without data. What comes behind it is written whole.
    fn add_none(&mut self) -> Option<u32> {
        self.last_shape = None;
        None
    }

    /// The document's shape; `None` if it is all too much.
    fn add(&mut self, data: &Struct) -> Option<u32> {
        let has = |names: &[Symbol]| names.iter().eq(data.fields.iter().map(|(name, _)| name));
        let known = self.shapes.iter().rposition(|names| has(names));
        let shape = known.unwrap_or_else(|| {
            self.shapes.push(data.fields.iter().map(|(name, _)| name.clone()).collect());
            self.shapes.len() - 1
        });
        let shape = u32::try_from(shape).ok()?;
        if self.last_shape.replace(shape) != Some(shape) {
            self.last = vec![0..0; data.fields.len()];
        }
        self.symbols.begin();
        for ((field, (_, value)), last) in (0..).zip(&data.fields).zip(&mut self.last) {
            let start = self.bytes.len();
            encode_with(value, &mut self.symbols, &mut self.bytes);
            // Values are never of no bytes, so that the first one of a field is a change.
            let (before, new) = self.bytes.split_at(start);
            if before.get(last.clone()) == Some(new) {
                self.bytes.truncate(start);
                continue;
            }
            *last = start..self.bytes.len();
            self.changes.push(Change { field, end: u32::try_from(last.end).ok()? });
        }
        Some(shape)
    }
}

/// Where a reader of documents, one after the other, has come to.
struct Reader<'h> {
    history: &'h History,
    changes: usize,
    bytes: usize,
    /// That of the document before.
    shape: Option<u32>,
}

impl Reader<'_> {
    fn read(&mut self, shape: u32, changes_end: u32, before: Option<&Arc<Value>>) -> Result<Arc<Value>> {
        let names = self.history.shapes.get(shape as usize).ok_or_else(|| lost("a shape"))?;
        let changes = self.history.changes.get(self.changes..changes_end as usize).ok_or_else(|| lost("a change"))?;
        self.changes = changes_end as usize;
        let before = before.filter(|_| self.shape == Some(shape));
        if let Some(before) = before
            && changes.is_empty()
        {
            return Ok(Arc::clone(before));
        }
        let before = before.and_then(|before| before.as_struct()).map_or(&[][..], |data| &data.fields);
        let mut changes = changes.iter().peekable();
        let mut fields = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            let value = match changes.next_if(|change| change.field as usize == at) {
                Some(change) => self.value(change.end as usize)?,
                None => before.get(at).map(|(_, value)| value.clone()).ok_or_else(|| lost("a value"))?,
            };
            fields.push((name.clone(), value));
        }
        Ok(Arc::new(Value::Struct(Struct { fields })))
    }

    fn value(&mut self, end: usize) -> Result<Value> {
        let bytes = self.history.bytes.get(self.bytes..end).ok_or_else(|| lost("the bytes of a value"))?;
        self.bytes = end;
        decode_with(bytes, &self.history.texts, &Limits::STORED).map_err(|error| lost(&error.to_string()))
    }
}

fn lost(what: &str) -> QueryError {
    QueryError::internal(format!("a history that was kept cannot be read: {what}"))
}

#[cfg(test)]
mod tests {
    use ledgerstone_digest::ion::{parse, to_text};
    use ledgerstone_journal::env::SeededRng;

    use super::*;

    /// A revision; `None` is a deletion, and an empty text one that was redacted.
    fn doc(position: u64, text: Option<&str>) -> Arc<Doc> {
        let data = text.filter(|text| !text.is_empty());
        Arc::new(Doc {
            table_id: Id([1; 16]),
            id: Id([2; 16]),
            position,
            version: position / 3,
            block: position + 1,
            tx_time_ms: -5,
            tx_id: Id([position as u8; 16]),
            supersedes: position.checked_sub(3),
            successor: None,
            data: data.map(|text| Arc::new(parse(text, &Limits::default()).unwrap())),
            salt: match position % 3 {
                0 => None,
                1 => Some(Salt::Short([position as u8; 16])),
                _ => Some(Salt::Other(vec![7; position as usize % 40].into())),
            },
            data_hash: text.filter(|text| text.is_empty()).map(|_| Hash([9; 32])),
        })
    }

    fn told(doc: &Doc) -> String {
        let data = doc.data.as_deref().map(to_text);
        format!("{:?} {data:?}", Doc { data: None, ..doc.clone() })
    }

    #[test]
    fn what_is_read_back_is_what_was_put_in() {
        for seed in 0..200 {
            let rng = SeededRng::new(seed);
            let values = [
                "1",
                "1.0",
                "1.00",
                "nan",
                "-0e0",
                "2020-01T",
                "{a: {b: [x, $0], 'long name of a field': {}}}",
                "null.int",
            ];
            let names = ["v", "v", "w", "'a name that is longer than twenty-three bytes'", "$0"];
            let documents: Vec<Arc<Doc>> = (0..rng.below(40))
                .map(|n| {
                    let fields: Vec<String> = (0..rng.below(5))
                        .map(|at| {
                            let name = if rng.one_in(8) { rng.below(5) } else { at };
                            format!("{}: {}", names[name as usize], values[rng.below(8) as usize])
                        })
                        .collect();
                    let text = format!("{{{}}}", fields.join(", "));
                    let text = [Some(&*text), None, Some("")][rng.below(20).min(17) as usize / 8];
                    doc(n * 3 + rng.below(3), text)
                })
                .collect();
            let Some(history) = History::of(&documents) else {
                assert!(documents.is_empty(), "seed {seed}");
                continue;
            };
            let positions: Vec<u64> = documents.iter().map(|doc| doc.position).collect();
            assert_eq!(history.holds(&positions), documents.len(), "seed {seed}");
            let count = rng.below(documents.len() as u64 + 1) as usize;
            let back = history.docs(count).unwrap();
            assert_eq!(back.len(), count);
            for (back, doc) in back.iter().zip(&documents) {
                assert_eq!(told(back), told(doc), "seed {seed}");
            }
        }
    }

    fn documents(count: u64) -> Vec<Arc<Doc>> {
        (0..count).map(|n| doc(n * 3, Some(&format!("{{vin: \"V1\", city: Rome, n: {n}}}")))).collect()
    }

    #[test]
    fn only_what_differs_is_kept_again() {
        let history = History::of(&documents(100)).unwrap();
        assert_eq!((history.shapes.len(), history.changes.len()), (1, 102));
        assert!(history.memory_bytes() * 3 < history.docs_bytes(), "{history:?}");
    }

    #[test]
    fn positions_that_are_other_ones_end_what_is_held() {
        let history = History::of(&documents(5)).unwrap();
        for (positions, held) in
            [(&[0, 3, 6][..], 3), (&[0, 3, 7, 9], 2), (&[1], 0), (&[], 0), (&[0, 3, 6, 9, 12, 15], 5)]
        {
            assert_eq!(history.holds(positions), held, "{positions:?}");
        }
    }

    #[test]
    fn what_was_read_before_a_redaction_is_not_kept_after_it() {
        let cache = HistoryCache::new(1 << 20);
        let (table, id) = (Id([1; 16]), Id([2; 16]));
        let (found, asked) = cache.get(table, id);
        assert!(found.is_none());
        cache.put(&documents(5), asked);
        assert!(cache.get(table, id).0.is_some() && cache.get(Id([3; 16]), id).0.is_none());
        cache.throw_away(id);
        assert!(cache.get(table, id).0.is_none());
        cache.put(&documents(5), asked);
        assert!(cache.get(table, id).0.is_none());
        cache.put(&documents(5), cache.get(table, id).1);
        assert!(cache.get(table, id).0.is_some());
    }

    #[test]
    fn a_history_is_written_anew_when_a_quarter_of_it_is_new() {
        let written: Vec<usize> = (0..100)
            .scan(0, |kept, revisions| {
                let wants = HistoryCache::wants(revisions, *kept);
                if wants {
                    *kept = revisions;
                }
                Some(wants.then_some(revisions))
            })
            .flatten()
            .collect();
        assert_eq!(written, [4, 6, 8, 11, 15, 20, 27, 36, 48, 64, 86]);
        assert!(!HistoryCache::wants(4, 4));
    }

    #[test]
    fn documents_that_take_much_memory_are_not_kept() {
        let long = doc(3, Some(&format!("{{v: \"{}\"}}", "x".repeat(DOCS_BYTES_MAX))));
        assert!(History::of(&[doc(0, Some("{}")), long]).is_none());
    }
}
