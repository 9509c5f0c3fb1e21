//! When a tree is valid: rules V1 to V5 over all its leaves, one after the other (docs/format.md, "Leaves").
//!
//! Memory grows with the number of documents, not of leaves: about 100 bytes for each document that ever was, to know
//! its newest revision. Everything else is a few words.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use crate::hash::Hash;
use crate::id::Id;
use crate::leaf::{BlockLeaf, GenesisLeaf, Leaf, POSITION_LIMIT, RevisionLeaf};
use crate::tree::{self, Frontier};

/// One of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Position 0, and no other, is the genesis.
    V1,
    /// Blocks are their revisions and then one block leaf; numbers, strand and times fit.
    V2,
    /// Revisions of a document form one chain.
    V3,
    /// Other kinds stand between blocks only.
    V4,
    /// Leaves are well formed, positions below 2^63.
    V5,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Rule::V1 => "V1 (the genesis leaf, and no other, is at position 0)",
            Rule::V2 => "V2 (a block is its revision leaves and then its block leaf)",
            Rule::V3 => "V3 (the revisions of a document form one chain)",
            Rule::V4 => "V4 (leaves of other kinds stand between blocks)",
            Rule::V5 => "V5 (leaves are well formed)",
        };
        f.pad(text)
    }
}

/// A leaf that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the leaf at position {position} breaks rule {rule}: {text}")]
pub struct Violation {
    /// The leaf's position.
    pub position: u64,
    /// The rule.
    pub rule: Rule,
    /// What is wrong.
    pub text: String,
}

/// The newest revision of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// Its position.
    pub position: u64,
    /// Its version.
    pub version: u64,
    /// It is a deletion.
    pub deleted: bool,
}

/// Checks leaves in their order from position 0 on. After a violation the validator is of no further use.
#[derive(Debug, Clone, Default)]
pub struct Validator {
    /// The position of the next leaf.
    position: u64,
    strand: Option<Id>,
    next_block: u64,
    /// Revision leaves since the last block leaf, and whether they are imported.
    open: u32,
    open_imported: bool,
    /// The latest block time so far, imported or native.
    time_max_ms: Option<i64>,
    native_seen: bool,
    newest: HashMap<(Id, Id), Newest>,
}

impl Validator {
    /// Before the genesis.
    pub fn new() -> Self {
        Validator::default()
    }

    /// The position of the next leaf: how many have been checked.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The number of the next block.
    pub fn next_block(&self) -> u64 {
        self.next_block
    }

    /// True if a tree may be signed at this size.
    pub fn at_boundary(&self) -> bool {
        self.position > 0 && self.open == 0
    }

    /// The newest revision of every document, in no order: table, document, revision.
    pub fn newest(&self) -> impl Iterator<Item = (Id, Id, Newest)> + '_ {
        self.newest.iter().map(|((table, document), newest)| (*table, *document, *newest))
    }

    /// Reads and checks the next leaf.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Result<Leaf, Violation> {
        let leaf = Leaf::decode(bytes).map_err(|error| self.violation(Rule::V5, error.to_string()))?;
        self.push(&leaf)?;
        Ok(leaf)
    }

    /// Checks the next leaf.
    pub fn push(&mut self, leaf: &Leaf) -> Result<(), Violation> {
        if self.position >= POSITION_LIMIT {
            return Err(self.violation(Rule::V5, "positions are below 2^63".into()));
        }
        match leaf {
            Leaf::Genesis(genesis) => self.genesis(genesis)?,
            _ if self.position == 0 => {
                return Err(self.violation(Rule::V1, format!("it is of kind {}, not the genesis", leaf.kind())));
            }
            Leaf::Revision(revision) => self.revision(revision)?,
            Leaf::Block(block) => self.block(block)?,
            Leaf::Other { kind, .. } if self.open > 0 => {
                let text =
                    format!("kind {kind} stands directly after a revision leaf, inside block {}", self.next_block);
                return Err(self.violation(Rule::V4, text));
            }
            Leaf::Other { .. } => {}
        }
        self.position += 1;
        Ok(())
    }

    /// The end: it must be the end of a block (or of the genesis).
    pub fn finish(&self) -> Result<(), Violation> {
        if self.position == 0 {
            return Err(self.violation(Rule::V1, "there is no leaf at all".into()));
        }
        if self.open > 0 {
            let text = format!("the leaves end inside block {}, after {} of its revisions", self.next_block, self.open);
            return Err(self.violation(Rule::V2, text));
        }
        Ok(())
    }

    fn genesis(&mut self, genesis: &GenesisLeaf) -> Result<(), Violation> {
        if self.position != 0 {
            return Err(self.violation(Rule::V1, "a second genesis leaf".into()));
        }
        self.strand = Some(genesis.strand);
        Ok(())
    }

    fn revision(&mut self, leaf: &RevisionLeaf) -> Result<(), Violation> {
        if leaf.block != self.next_block {
            let text = format!("it names block {}, but stands in block {}", leaf.block, self.next_block);
            return Err(self.violation(Rule::V2, text));
        }
        if self.open > 0 && leaf.imported != self.open_imported {
            return Err(self.violation(Rule::V2, "imported and native revisions in one block".into()));
        }
        if self.open == u32::MAX {
            return Err(self.violation(Rule::V2, "the block has more than 2^32 − 1 revisions".into()));
        }
        if !leaf.opaque {
            self.chain(leaf).map_err(|text| self.violation(Rule::V3, text))?;
        }
        self.open += 1;
        self.open_imported = leaf.imported;
        Ok(())
    }

    /// The document's chain: every revision supersedes the newest one before it. So nothing is superseded twice, and
    /// what is superseded is an earlier leaf of the same table and document.
    fn chain(&mut self, leaf: &RevisionLeaf) -> Result<(), String> {
        let this = Newest { position: self.position, version: leaf.version, deleted: leaf.deleted };
        let mut entry = match self.newest.entry((leaf.table_id, leaf.document_id)) {
            Entry::Vacant(vacant) => {
                if let Some(position) = leaf.supersedes {
                    return Err(format!("it supersedes position {position}, which is no revision of its document"));
                }
                // Of an imported document, earlier revisions may not have been imported.
                if leaf.version != 0 && !leaf.imported {
                    return Err(format!("version {} of a document that has no earlier revision", leaf.version));
                }
                vacant.insert(this);
                return Ok(());
            }
            Entry::Occupied(occupied) => occupied,
        };
        let newest = *entry.get();
        if leaf.version == 0 {
            return Err(format!("version 0 again: the document's newest revision is at position {}", newest.position));
        }
        match leaf.supersedes {
            None => return Err(format!("version {} supersedes nothing", leaf.version)),
            Some(position) if position != newest.position => {
                return Err(format!(
                    "it supersedes position {position}, but the document's newest revision is at {}",
                    newest.position
                ));
            }
            Some(_) => {}
        }
        if newest.deleted {
            return Err(format!("it supersedes the deletion at position {}", newest.position));
        }
        let follows = if leaf.imported {
            newest.version < leaf.version
        } else {
            newest.version.checked_add(1) == Some(leaf.version)
        };
        if !follows {
            return Err(format!("version {} supersedes version {}", leaf.version, newest.version));
        }
        entry.insert(this);
        Ok(())
    }

    fn block(&mut self, leaf: &BlockLeaf) -> Result<(), Violation> {
        let violated = |text: String| Err(Violation { position: self.position, rule: Rule::V2, text });
        if leaf.revisions != self.open {
            return violated(format!("it says {} revisions, {} stand before it", leaf.revisions, self.open));
        }
        // `open` leaves stand between the genesis and here, so this cannot be below 1.
        let first = self.position.saturating_sub(u64::from(self.open));
        if leaf.first != first {
            return violated(format!("it says that its first revision is at {}, not {first}", leaf.first));
        }
        if leaf.block != self.next_block {
            return violated(format!("block {} stands where block {} should", leaf.block, self.next_block));
        }
        if Some(leaf.strand) != self.strand {
            return violated(format!("strand {} is not the ledger's", leaf.strand));
        }
        if self.open > 0 && leaf.imported != self.open_imported {
            return violated("the block and its revisions disagree on whether they are imported".into());
        }
        if leaf.imported && self.native_seen {
            return violated("an imported block stands after a native one".into());
        }
        if !leaf.imported && self.time_max_ms.is_some_and(|latest| leaf.time_ms < latest) {
            return violated(format!("time {} ms is before an earlier block's", leaf.time_ms));
        }
        let Some(next) = self.next_block.checked_add(1) else {
            return violated("no number follows this block's".into());
        };
        self.native_seen |= !leaf.imported;
        self.time_max_ms = self.time_max_ms.max(Some(leaf.time_ms));
        self.next_block = next;
        self.open = 0;
        Ok(())
    }

    fn violation(&self, rule: Rule, text: String) -> Violation {
        Violation { position: self.position, rule, text }
    }
}

/// Leaves in order, checked and added up to a root: what a served tree or an export's bundles are checked with.
#[derive(Debug, Clone, Default)]
pub struct LeafVerifier {
    validator: Validator,
    frontier: Frontier,
}

impl LeafVerifier {
    /// Before the genesis.
    pub fn new() -> Self {
        LeafVerifier::default()
    }

    /// Checks the next leaf and adds it to the tree.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Leaf, Violation> {
        let leaf = self.validator.push_bytes(bytes)?;
        self.frontier.append(tree::leaf_hash(bytes));
        Ok(leaf)
    }

    /// The tree so far.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The rules' state so far.
    pub fn validator(&self) -> &Validator {
        &self.validator
    }

    /// The root of all leaves, which must end with a block.
    pub fn finish(&self) -> Result<(u64, Hash), Violation> {
        self.validator.finish()?;
        Ok((self.frontier.size(), self.frontier.root()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaf::{GenesisLeaf, RevisionLeaf};

    const STRAND: Id = Id([2; 16]);
    const TABLE: Id = Id([3; 16]);

    fn genesis() -> Leaf {
        let record_hash = Hash::ZERO;
        Leaf::Genesis(GenesisLeaf { ledger_id: Id([1; 16]), strand: STRAND, created_ms: 0, record_hash })
    }

    fn revision(document: u8, version: u64, block: u64, supersedes: Option<u64>) -> RevisionLeaf {
        RevisionLeaf {
            deleted: false,
            opaque: false,
            imported: false,
            table_id: TABLE,
            document_id: Id([document; 16]),
            version,
            block,
            supersedes,
            commitment: Hash::ZERO,
        }
    }

    fn block(block: u64, first: u64, revisions: u32) -> BlockLeaf {
        BlockLeaf {
            imported: false,
            strand: STRAND,
            block,
            transaction_id: Id([9; 16]),
            time_ms: 1000 + block as i64,
            first,
            revisions,
            commitment: Hash::ZERO,
        }
    }

    /// Genesis; block 0: documents 1 and 2; block 1: document 1 again; a leaf of kind 3; block 2: document 2 deleted.
    fn valid() -> Vec<Leaf> {
        vec![
            genesis(),
            Leaf::Revision(revision(1, 0, 0, None)),
            Leaf::Revision(revision(2, 0, 0, None)),
            Leaf::Block(block(0, 1, 2)),
            Leaf::Revision(revision(1, 1, 1, Some(1))),
            Leaf::Block(block(1, 4, 1)),
            Leaf::Other { kind: 3, bytes: vec![3] },
            Leaf::Revision(RevisionLeaf { deleted: true, ..revision(2, 1, 2, Some(2)) }),
            Leaf::Block(block(2, 7, 1)),
        ]
    }

    fn check(leaves: &[Leaf]) -> Result<(), Violation> {
        let mut validator = Validator::new();
        leaves.iter().try_for_each(|leaf| validator.push_bytes(&leaf.encode()).map(|_| ()))?;
        validator.finish()
    }

    fn with(at: usize, leaf: Leaf) -> Vec<Leaf> {
        let mut leaves = valid();
        leaves[at] = leaf;
        leaves
    }

    fn broken(leaves: &[Leaf]) -> (u64, Rule) {
        let violation = check(leaves).unwrap_err();
        (violation.position, violation.rule)
    }

    #[test]
    fn a_valid_tree_is_valid_at_every_boundary_and_nowhere_else() {
        let leaves = valid();
        for size in 0..=leaves.len() {
            assert_eq!(check(&leaves[..size]).is_ok(), [1, 4, 6, 7, 9].contains(&size), "size {size}");
        }
    }

    #[test]
    fn v1_the_genesis_stands_at_position_0_only() {
        assert_eq!(broken(&[]), (0, Rule::V1));
        assert_eq!(broken(&valid()[1..]), (0, Rule::V1));
        assert_eq!(broken(&with(6, genesis())), (6, Rule::V1));
    }

    #[test]
    fn v2_blocks_are_whole_numbered_and_in_time() {
        let wrong_blocks = [
            BlockLeaf { first: 2, ..block(0, 1, 2) },
            BlockLeaf { revisions: 1, ..block(0, 1, 2) },
            BlockLeaf { revisions: 3, ..block(0, 1, 2) },
            BlockLeaf { first: 0, revisions: 3, ..block(0, 1, 2) },
            BlockLeaf { block: 1, ..block(0, 1, 2) },
            BlockLeaf { strand: Id([8; 16]), ..block(0, 1, 2) },
            BlockLeaf { imported: true, ..block(0, 1, 2) },
        ];
        for wrong in wrong_blocks {
            assert_eq!(broken(&with(3, Leaf::Block(wrong))), (3, Rule::V2), "{wrong:?}");
        }
        assert_eq!(broken(&with(5, Leaf::Block(BlockLeaf { time_ms: 999, ..block(1, 4, 1) }))), (5, Rule::V2));
        assert_eq!(broken(&with(4, Leaf::Revision(revision(1, 1, 2, Some(1))))), (4, Rule::V2));
        assert_eq!(broken(&valid()[..8]), (8, Rule::V2));
        let mut without_block_leaf = valid();
        without_block_leaf.remove(3);
        assert_eq!(broken(&without_block_leaf), (3, Rule::V2));
    }

    #[test]
    fn v3_revisions_of_a_document_form_one_chain() {
        let wrong = [
            revision(1, 0, 1, None),
            revision(1, 0, 1, Some(1)),
            revision(1, 1, 1, None),
            revision(1, 2, 1, Some(1)),
            revision(1, 1, 1, Some(2)),
            revision(1, 1, 1, Some(0)),
            revision(1, 1, 1, Some(3)),
            revision(1, 1, 1, Some(4)),
            revision(1, 1, 1, Some(100)),
            revision(5, 1, 1, Some(1)),
            revision(5, 1, 1, None),
            RevisionLeaf { table_id: Id([7; 16]), ..revision(1, 1, 1, Some(1)) },
        ];
        for wrong in wrong {
            assert_eq!(broken(&with(4, Leaf::Revision(wrong))), (4, Rule::V3), "{wrong:?}");
        }
        let mut superseded_twice = valid();
        superseded_twice[7] = Leaf::Revision(revision(1, 1, 2, Some(1)));
        assert_eq!(broken(&superseded_twice), (7, Rule::V3));
        let mut after_deletion = valid();
        after_deletion.push(Leaf::Revision(revision(2, 2, 3, Some(7))));
        after_deletion.push(Leaf::Block(block(3, 9, 1)));
        assert_eq!(broken(&after_deletion), (9, Rule::V3));
    }

    #[test]
    fn v4_other_kinds_stand_between_blocks() {
        let other = Leaf::Other { kind: 3, bytes: vec![3, 1] };
        let mut inside = valid();
        inside.insert(2, other.clone());
        assert_eq!(broken(&inside), (2, Rule::V4));
        let mut after_genesis = valid()[..1].to_vec();
        after_genesis.extend([other.clone(), other]);
        assert_eq!(check(&after_genesis), Ok(()));
    }

    #[test]
    fn v5_malformed_leaves_are_refused() {
        let mut validator = Validator::new();
        validator.push(&genesis()).unwrap();
        let mut long = revision(1, 0, 0, None).encode().to_vec();
        long.push(0);
        let mut flags = revision(1, 0, 0, None).encode().to_vec();
        flags[1] = 0x80;
        for bytes in [Vec::new(), vec![1], long, flags] {
            let violation = validator.push_bytes(&bytes).unwrap_err();
            assert_eq!((violation.position, violation.rule), (1, Rule::V5));
        }
        let mut full = Validator { position: POSITION_LIMIT, ..Validator::new() };
        assert_eq!(full.push(&Leaf::Other { kind: 3, bytes: vec![3] }).unwrap_err().rule, Rule::V5);
    }

    #[test]
    fn imported_revisions_may_begin_late_skip_versions_and_be_opaque() {
        let imported = |leaf: RevisionLeaf| Leaf::Revision(RevisionLeaf { imported: true, ..leaf });
        let imported_block = |leaf: BlockLeaf| Leaf::Block(BlockLeaf { imported: true, ..leaf });
        let opaque = RevisionLeaf {
            opaque: true,
            imported: true,
            table_id: Id::ZERO,
            document_id: Id::ZERO,
            ..revision(0, 0, 0, None)
        };
        let leaves = vec![
            genesis(),
            imported(revision(1, 5, 0, None)),
            Leaf::Revision(opaque),
            Leaf::Revision(opaque),
            imported_block(BlockLeaf { time_ms: 9000, ..block(0, 1, 3) }),
            imported(revision(1, 8, 1, Some(1))),
            imported_block(block(1, 5, 1)),
            Leaf::Revision(revision(1, 9, 2, Some(5))),
            Leaf::Block(BlockLeaf { time_ms: 9000, ..block(2, 7, 1) }),
        ];
        check(&leaves).unwrap();
        let mut early = leaves.clone();
        early[8] = Leaf::Block(BlockLeaf { time_ms: 8999, ..block(2, 7, 1) });
        assert_eq!(broken(&early), (8, Rule::V2));
        let mut lower = leaves.clone();
        lower[5] = imported(revision(1, 5, 1, Some(1)));
        assert_eq!(broken(&lower), (5, Rule::V3));
        let mut skipping = leaves;
        skipping[7] = Leaf::Revision(revision(1, 10, 2, Some(5)));
        assert_eq!(broken(&skipping), (7, Rule::V3));
    }
}
