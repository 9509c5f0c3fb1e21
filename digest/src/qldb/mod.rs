//! The hashes that QLDB defined over blocks and revisions, so that its verifiers accept ours (docs/format.md,
//! "QLDB's hashes").
//!
//! `dot` commutes and binds neither order, position nor count. Nothing else in this crate trusts one of these hashes
//! alone: leaves and the tree bind what they leave open.
//!
//! | module | what lives there |
//! |---|---|
//! | `imported` | what imported blocks and revisions have beside what native ones have |
//! | [`journal_block`] | a block as the Ion struct that QLDB hands out |
//! | `parse` | that struct read back |
//! | [`chain`] | exported blocks in a row, every hash computed again |
//! | [`proof`] | QLDB's proofs |
//! | [`stream`] | a block as the records of a journal stream |

pub mod chain;
mod imported;
pub mod journal_block;
mod parse;
pub mod proof;
pub mod stream;

use crate::Hash;
use crate::ion::{Hasher, Value};
pub use imported::{DeletionForm, ImportedBlock, ImportedRevision};
pub use journal_block::{JournalBlock, JournalRevision, ShownContent, ShownRevision, block_address};

/// `a . b`: the hash of the smaller and then the greater, compared as signed bytes from the last byte to the first.
/// The absent side counts for nothing.
pub fn dot(a: Option<Hash>, b: Option<Hash>) -> Option<Hash> {
    match (a, b) {
        (Some(a), Some(b)) => Some(dot2(a, b)),
        (one, None) | (None, one) => one,
    }
}

/// `a . b` of two hashes that are both there.
pub fn dot2(a: Hash, b: Hash) -> Hash {
    let order = a.0.iter().rev().map(|b| *b as i8).cmp(b.0.iter().rev().map(|b| *b as i8));
    let (smaller, greater) = if order.is_lt() { (a, b) } else { (b, a) };
    Hash::sha256(&[&smaller.0, &greater.0])
}

/// Pairs neighbours with `dot`, moves an odd last one up unchanged, and repeats; `None` for no hashes.
pub fn merkle(hashes: &[Hash]) -> Option<Hash> {
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| if let [a, b] = pair { dot2(*a, *b) } else { pair[0] }).collect();
    }
    level.first().copied()
}

/// The hash of a revision from `IH(metadata)` and `IH(data)`, or the data hash that stayed after a redaction;
/// `None` for a deletion.
pub fn revision_hash(metadata: Hash, data: Option<Hash>) -> Hash {
    match data {
        Some(data) => dot2(metadata, data),
        None => metadata,
    }
}

/// The digest of a statement and its parameters, folded with `dot` in order.
pub fn statement_digest(text: &str, parameters: &[Value]) -> Hash {
    statement_digest_with(&mut Hasher::new(), text, parameters)
}

/// The same with a kept hasher.
pub fn statement_digest_with(hasher: &mut Hasher, text: &str, parameters: &[Value]) -> Hash {
    let statement = hasher.string(text);
    statement_digest_of(hasher, statement, parameters)
}

/// The same where `IH(text)` is known.
pub fn statement_digest_of(hasher: &mut Hasher, text_hash: Hash, parameters: &[Value]) -> Hash {
    parameters.iter().fold(text_hash, |digest, p| dot2(digest, hasher.value(p)))
}

/// The entries of a block in their order, and where each stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries {
    pub list: Vec<Hash>,
    /// Index of the root over the revision hashes; `None` if the block has no revision.
    pub revisions: Option<u32>,
    pub transaction_info: Option<u32>,
    pub origin_info: Option<u32>,
    pub redaction_info: Option<u32>,
}

impl Entries {
    /// `[merkle(revision hashes) if any, IH(transactionInfo), IH(originInfo), IH(redactionInfo) if any]`.
    pub fn native(
        revision_hashes: &[Hash],
        transaction_info: Hash,
        origin_info: Hash,
        redaction_info: Option<Hash>,
    ) -> Self {
        let root = merkle(revision_hashes);
        let first = u32::from(root.is_some());
        let list: Vec<Hash> = root.into_iter().chain([transaction_info, origin_info]).chain(redaction_info).collect();
        Entries {
            list,
            revisions: root.map(|_| 0),
            transaction_info: Some(first),
            origin_info: Some(first + 1),
            redaction_info: redaction_info.map(|_| first + 2),
        }
    }

    /// The entries of a block: native, or with QLDB's list if it was imported. The error names the part that is not in the
    /// list.
    pub fn of(
        imported: Option<&ImportedBlock>,
        revision_hashes: &[Hash],
        transaction_info: Hash,
        origin_info: Hash,
        redaction_info: Option<Hash>,
    ) -> Result<Self, &'static str> {
        let Some(ImportedBlock { entries, has_transaction_info, has_origin_info }) = imported else {
            return Ok(Entries::native(revision_hashes, transaction_info, origin_info, redaction_info));
        };
        let transaction_info = has_transaction_info.then_some(transaction_info);
        let origin_info = has_origin_info.then_some(origin_info);
        Entries::imported(entries, revision_hashes, transaction_info, origin_info, redaction_info)
    }

    /// The entries of an imported block, each part looked for in QLDB's list; or the name of the part that is not in it.
    /// A part that the block does not have is `None`.
    fn imported(
        list: &[Hash],
        revision_hashes: &[Hash],
        transaction_info: Option<Hash>,
        origin_info: Option<Hash>,
        redaction_info: Option<Hash>,
    ) -> Result<Self, &'static str> {
        let place = |name: &'static str, hash: Option<Hash>| match hash {
            None => Ok(None),
            Some(hash) => list.iter().position(|entry| *entry == hash).map(|at| Some(at as u32)).ok_or(name),
        };
        Ok(Entries {
            revisions: place("the revisions", merkle(revision_hashes))?,
            transaction_info: place("transactionInfo", transaction_info)?,
            origin_info: place("originInfo", origin_info)?,
            redaction_info: place("redactionInfo", redaction_info)?,
            list: list.to_vec(),
        })
    }

    /// `entriesHash`.
    pub fn hash(&self) -> Hash {
        // A native list is never empty: transactionInfo and originInfo are always in it. An empty one of an imported
        // block is refused when it is read.
        entries_hash(&self.list).unwrap_or(Hash::ZERO)
    }
}

/// `merkle(entriesHashList)`; `None` for an empty list.
pub fn entries_hash(list: &[Hash]) -> Option<Hash> {
    merkle(list)
}

/// `entriesHash . previousBlockHash`; block 0 has no previous one.
pub fn block_hash(entries_hash: Hash, previous: Option<Hash>) -> Hash {
    match previous {
        Some(previous) => dot2(entries_hash, previous),
        None => entries_hash,
    }
}

/// QLDB's digest of a ledger: `merkle` over the hashes of blocks 0 to the tip.
pub fn ledger_digest(block_hashes: &[Hash]) -> Option<Hash> {
    merkle(block_hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_compare_signed_and_last_byte_first() {
        let mut low = [0; 32];
        let mut high = [0; 32];
        low[31] = 0x7f;
        high[31] = 0x80;
        let expected = "7035948d9d59da9d6ad20d11b3bc4a1e4c386dbe686fcadb095afb6bb462e6e3";
        assert_eq!(dot2(Hash(low), Hash(high)).to_string(), expected);
        let (mut a, mut b) = ([0; 32], [0; 32]);
        a[0] = 1;
        b[30] = 1;
        let expected = "94c226eb064c1c284983570c4cd4bf1f0ef38a505154883f7080f041d2fad212";
        assert_eq!(dot2(Hash(a), Hash(b)).to_string(), expected);
        assert_eq!(dot2(Hash(b), Hash(a)).to_string(), expected);
    }

    #[test]
    fn an_absent_side_counts_for_nothing() {
        let h = Hash::sha256(&[b"x"]);
        assert_eq!(dot(Some(h), None), Some(h));
        assert_eq!(dot(None, Some(h)), Some(h));
        assert_eq!(dot(None, None), None);
        assert_eq!(merkle(&[]), None);
        assert_eq!(merkle(&[h]), Some(h));
    }

    #[test]
    fn entries_know_their_places() {
        let h = |n: u8| Hash::sha256(&[&[n]]);
        let without = Entries::native(&[], h(1), h(2), None);
        assert_eq!(
            (without.revisions, without.transaction_info, without.origin_info, without.redaction_info),
            (None, Some(0), Some(1), None)
        );
        let with = Entries::native(&[h(3), h(4)], h(1), h(2), Some(h(5)));
        assert_eq!(
            (with.revisions, with.transaction_info, with.origin_info, with.redaction_info),
            (Some(0), Some(1), Some(2), Some(3))
        );
        assert_eq!(with.list, [dot2(h(3), h(4)), h(1), h(2), h(5)]);
    }

    #[test]
    fn entries_of_an_imported_block_are_found_wherever_they_stand() {
        let h = |n: u8| Hash::sha256(&[&[n]]);
        let list = [h(9), dot2(h(3), h(4)), h(8), h(1)];
        let found = Entries::imported(&list, &[h(3), h(4)], Some(h(1)), None, None).unwrap();
        assert_eq!(
            (found.revisions, found.transaction_info, found.origin_info, found.redaction_info),
            (Some(1), Some(3), None, None)
        );
        assert_eq!(Entries::imported(&list, &[h(3)], Some(h(1)), None, None), Err("the revisions"));
        assert_eq!(Entries::imported(&list, &[], Some(h(2)), None, None), Err("transactionInfo"));
    }
}
