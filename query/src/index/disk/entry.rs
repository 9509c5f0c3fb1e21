//! The entries of the row index as bytes (docs/format.md, "Index files"). One ordered space of keys holds everything:
//!
//! | first byte | then | value |
//! |---|---|---|
//! | 1 | table, document, position | 1 if the revision is a deletion, else 0 |
//! | 2 | table, 0x00, document | the position the document began at; only while it lives |
//! | 3 | table, 0x00, the position it was deleted at, document | the position it began at |
//! | 4 | index, key, 0x00, document | the position the document has the key from; only while it has it |
//! | 5 | index, key, 0x00, the position it lost the key at, document | the position it had it from |
//! | 6 | client token | the number of its block |
//! | 7 | position | 0: the revision there is redacted |
//!
//! So "is alive" is an index like any other, with an empty key. Between key and document stands 0x00, which is below
//! whatever a longer key goes on with, so entries are in the order of (key, document). A newer entry of the same key
//! replaces an older one; an entry without a value takes it away.

use ledgerstone_digest::id::Id;

use super::checksum::hash64;
use crate::index::Key;
use crate::index::key::value_ends;

/// What stands at a key; `None`: nothing, whatever older entries say.
pub type Value = Option<u64>;

pub const REVISION: u8 = 1;
pub const TOKEN: u8 = 6;
pub const REDACTED: u8 = 7;

const ID_BYTES: usize = 16;
/// The space's byte and an id.
const HEAD_BYTES: usize = 1 + ID_BYTES;
const FILTER_SEED: u64 = 0x6c65_6467;

/// Two spaces that belong together: who has a key, and who had it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    current: u8,
    old: u8,
}

/// Documents that live, by table.
pub const LIVE: Kind = Kind { current: 2, old: 3 };
/// Documents by their keys in an index.
pub const KEYS: Kind = Kind { current: 4, old: 5 };

/// Which index: of a table's documents that live, or one that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    pub kind: Kind,
    pub id: Id,
}

impl Place {
    pub fn live(table: Id) -> Place {
        Place { kind: LIVE, id: table }
    }

    pub fn index(index: Id) -> Place {
        Place { kind: KEYS, id: index }
    }

    /// The beginning of all entries that say who has a key.
    pub fn current(&self) -> Vec<u8> {
        head(self.kind.current, self.id)
    }

    /// The beginning of all entries that say who had a key once.
    pub fn old(&self) -> Vec<u8> {
        head(self.kind.old, self.id)
    }

    /// Who has keys that begin with these bytes, from there on.
    pub fn current_from(&self, key: &[u8]) -> Vec<u8> {
        [&self.current(), key].concat()
    }

    pub fn old_from(&self, key: &[u8]) -> Vec<u8> {
        [&self.old(), key].concat()
    }

    /// A document has a key.
    pub fn held(&self, key: &[u8], id: Id) -> Vec<u8> {
        [&self.current()[..], key, &[0], &id.0].concat()
    }

    /// Writes what the key's [`filter_of`] is made of, and with a byte more what the entries of all who have it begin
    /// with. `None`: the buffer is too short.
    pub fn write_held<'b>(&self, key: &[u8], buffer: &'b mut [u8]) -> Option<(&'b [u8], &'b [u8])> {
        let length = HEAD_BYTES + key.len();
        let bytes = buffer.get_mut(..=length)?;
        let (space, rest) = bytes.split_first_mut()?;
        *space = self.kind.current;
        let (id, rest) = rest.split_at_mut_checked(ID_BYTES)?;
        id.copy_from_slice(&self.id.0);
        let (end, place) = rest.split_last_mut()?;
        place.copy_from_slice(key);
        *end = 0;
        let bytes: &[u8] = bytes;
        Some((bytes.get(..length)?, bytes))
    }

    /// A document had a key until `to`.
    pub fn lost(&self, key: &[u8], to: u64, id: Id) -> Vec<u8> {
        [&self.old()[..], key, &[0], &to.to_be_bytes(), &id.0].concat()
    }
}

/// The key and the document of an entry made by [`Place::held`].
pub fn read_held(entry: &[u8]) -> Option<(&[u8], Id)> {
    let (rest, id) = entry.get(HEAD_BYTES..)?.split_last_chunk::<ID_BYTES>()?;
    Some((rest.strip_suffix(&[0])?, Id(*id)))
}

/// The key, the position it was lost at, and the document of an entry made by [`Place::lost`].
pub fn read_lost(entry: &[u8]) -> Option<(&[u8], u64, Id)> {
    let (rest, id) = entry.get(HEAD_BYTES..)?.split_last_chunk::<ID_BYTES>()?;
    let (rest, to) = rest.split_last_chunk::<8>()?;
    Some((rest.strip_suffix(&[0])?, u64::from_be_bytes(*to), Id(*id)))
}

/// A key as stored.
pub fn key_of(bytes: &[u8]) -> Key {
    Key::from_stored(bytes)
}

/// The revision of a document at a position.
pub fn revision(table: Id, id: Id, position: u64) -> Vec<u8> {
    [&[REVISION][..], &table.0, &id.0, &position.to_be_bytes()].concat()
}

/// The length of what [`revision`] makes.
pub const REVISION_BYTES: usize = HEAD_BYTES + ID_BYTES + 8;
/// How much of it says which document it is.
pub const DOCUMENT_BYTES: usize = HEAD_BYTES + ID_BYTES;

/// The same in place.
pub fn revision_array(table: Id, id: Id, position: u64) -> [u8; REVISION_BYTES] {
    let mut bytes = [0; REVISION_BYTES];
    let parts = [&[REVISION][..], &table.0, &id.0, &position.to_be_bytes()];
    bytes.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
    bytes
}

/// The beginning of all revisions of a document.
pub fn document(table: Id, id: Id) -> Vec<u8> {
    [&[REVISION][..], &table.0, &id.0].concat()
}

/// The beginning of all revisions of a table.
pub fn table(table: Id) -> Vec<u8> {
    head(REVISION, table)
}

/// The document and the position of an entry made by [`revision`].
pub fn read_revision(entry: &[u8]) -> Option<(Id, u64)> {
    let (id, position) = entry.get(HEAD_BYTES..)?.split_first_chunk::<ID_BYTES>()?;
    Some((Id(*id), u64::from_be_bytes(position.try_into().ok()?)))
}

pub fn token(token: &str) -> Vec<u8> {
    [&[TOKEN][..], token.as_bytes()].concat()
}

pub fn redacted(position: u64) -> Vec<u8> {
    [&[REDACTED][..], &position.to_be_bytes()].concat()
}

/// The index that an entry belongs to, if it does to one that was made.
pub fn index_of(entry: &[u8]) -> Option<Id> {
    let (space, rest) = entry.split_first()?;
    (*space == KEYS.current || *space == KEYS.old).then_some(())?;
    rest.first_chunk::<ID_BYTES>().map(|id| Id(*id))
}

/// The first bytes behind everything that begins with these.
pub fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    // Nothing lies behind: no entry begins with 0xff.
    vec![0xff]
}

/// What a filter knows of an entry: a document's revisions by document, keys that are or were held by index and key (and
/// by each first part of a key of several values), tokens whole.
pub fn filtered(entry: &[u8], mut add: impl FnMut(u64)) {
    let key = match entry.first() {
        Some(&REVISION) => return add(hash64(FILTER_SEED, entry.get(..HEAD_BYTES + ID_BYTES).unwrap_or(entry))),
        Some(&TOKEN) => return add(hash64(FILTER_SEED, entry)),
        Some(space) if *space == KEYS.current => read_held(entry).map(|(key, _)| key),
        Some(space) if *space == KEYS.old => read_lost(entry).map(|(key, _, _)| key),
        _ => None,
    };
    let Some(key) = key else { return };
    let whole = entry.get(..HEAD_BYTES + key.len()).unwrap_or(entry);
    value_ends(key, |end| add(hash64(FILTER_SEED, whole.get(..HEAD_BYTES + end).unwrap_or(whole))));
}

/// What [`filtered`] adds for the revisions of a document, and so for its life.
pub fn document_filter(table: Id, id: Id) -> u64 {
    hash64(FILTER_SEED, &document(table, id))
}

/// What [`filtered`] adds for the beginning of an entry that it knows: of a document, or of a key that somebody has.
pub fn filter_of(beginning: &[u8]) -> u64 {
    hash64(FILTER_SEED, beginning)
}

/// What [`filtered`] adds for a token.
pub fn token_filter(token: &[u8]) -> u64 {
    hash64(FILTER_SEED, token)
}

/// What [`filtered`] adds for a key, or the first values of one, that somebody has.
pub fn key_filter(index: Id, key: &[u8]) -> u64 {
    hash64(FILTER_SEED, &Place::index(index).current_from(key))
}

/// What [`filtered`] adds for a key, or the first values of one, that somebody had once.
pub fn lost_filter(index: Id, key: &[u8]) -> u64 {
    hash64(FILTER_SEED, &Place::index(index).old_from(key))
}

fn head(space: u8, id: Id) -> Vec<u8> {
    [&[space][..], &id.0].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledgerstone_digest::ion::Value as Ion;

    #[test]
    fn entries_read_back_and_are_in_the_order_of_key_and_document() {
        let index = Place::index(Id([7; 16]));
        let keys: Vec<Key> = [Ion::int(-3), Ion::int(5), Ion::string(""), Ion::string("a"), Ion::string("a\0b")]
            .iter()
            .map(Key::one)
            .collect();
        let ids = [Id([0; 16]), Id([9; 16]), Id([0xff; 16])];
        let mut before = index.current();
        for key in &keys {
            assert!(before < index.current_from(key.as_bytes()));
            for id in ids {
                let entry = index.held(key.as_bytes(), id);
                assert!(before < entry);
                assert_eq!(read_held(&entry), Some((key.as_bytes(), id)));
                let mut buffer = [0; 64];
                let (whole, held) = index.write_held(key.as_bytes(), &mut buffer).unwrap();
                assert_eq!(
                    (filter_of(whole), entry.strip_suffix(&id.0)),
                    (key_filter(index.id, key.as_bytes()), Some(held))
                );
                assert!(index.write_held(key.as_bytes(), &mut [0; 17]).is_none());
                let lost = index.lost(key.as_bytes(), 77, id);
                assert_eq!(read_lost(&lost), Some((key.as_bytes(), 77, id)));
                assert_eq!((index_of(&entry), index_of(&lost)), (Some(index.id), Some(index.id)));
                before = entry;
            }
            // A bound behind everything that begins with the key lies behind its documents, whatever their ids.
            assert!(before < index.current_from(key.after_prefix().as_bytes()));
        }
        assert!(before < after(&index.current()));
        assert_eq!(read_revision(&revision(Id([1; 16]), Id([2; 16]), 3)), Some((Id([2; 16]), 3)));
        assert_eq!(revision_array(Id([1; 16]), Id([2; 16]), 3)[..], revision(Id([1; 16]), Id([2; 16]), 3));
        assert_eq!(after(&[1, 0xff, 0xff]), [2]);
    }

    #[test]
    fn filters_know_every_first_part_of_a_key() {
        let index = Place::index(Id([7; 16]));
        let values = [Ion::string("x"), Ion::int(-12), Ion::Bool(true)];
        let key = Key::of(values.iter().map(Some));
        let parts: Vec<Key> = (1..=values.len()).map(|n| Key::of(values[..n].iter().map(Some))).collect();
        let mut known = Vec::new();
        filtered(&index.held(key.as_bytes(), Id([1; 16])), |hash| known.push(hash));
        assert!(known.iter().copied().eq(parts.iter().map(|part| key_filter(index.id, part.as_bytes()))));
        known.clear();
        filtered(&index.lost(key.as_bytes(), 7, Id([1; 16])), |hash| known.push(hash));
        assert!(known.iter().copied().eq(parts.iter().map(|part| lost_filter(index.id, part.as_bytes()))));
    }
}
