//! Full verification: every block of a ledger re-derived from its values, from the genesis on (docs/format.md,
//! "Full verification").
//!
//! The one place for these rules: the journal's files and whatever else holds whole blocks drive it, block by block in
//! order. It computes metadata, commitments, leaves, QLDB's hashes and the tree itself, compares what is stored with
//! that, and counts what nobody can compute again.

mod prepare;

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::block::{BlockError, Fields, RedactionInfo, TransactionInfo, hash_value, native_time, read_hash, refuse};
use crate::checkpoint::{Checkpoint, ledger_id_of};
use crate::hash::Hash;
use crate::id::Id;
use crate::ion::{self, Int, Limits, Struct, Value};
use crate::leaf::{Blind, BlockLeaf, BlockOpening, GenesisLeaf, Leaf, RevisionLeaf};
use crate::note::VerifierKey;
use crate::qldb::{self, ImportedBlock, ImportedRevision};
use crate::rotation::{KeyChain, RotationProblem, RotationRecord};
use crate::tree::{self, Frontier};
use crate::validity::{Validator, Violation};

use prepare::Says;
pub use prepare::{Gathered, Heading, Listing, PreparedBlock, PreparedRevision, Preparer};

/// A block, as it is stored.
#[derive(Debug, Clone)]
pub struct FullBlock<'a> {
    /// The strand.
    pub strand: Id,
    /// The block's number.
    pub number: u64,
    /// The transaction.
    pub transaction_id: Id,
    /// The block's time.
    pub time_ms: i64,
    /// The block leaf's blind.
    pub blind: Blind,
    /// The revisions in order.
    pub revisions: &'a [FullRevision<'a>],
    /// transactionInfo.
    pub transaction_info: &'a TransactionInfo,
    /// IH(originInfo), of the value as it is stored: the struct is open.
    pub origin_info_hash: Hash,
    /// redactionInfo.
    pub redaction_info: Option<&'a RedactionInfo>,
    /// The block hash, where it is stored.
    pub block_hash: Option<Hash>,
    /// What it has beside if it was imported.
    pub imported: Option<&'a ImportedBlock>,
}

/// A revision, as it is stored.
#[derive(Debug, Clone)]
pub struct FullRevision<'a> {
    /// The table.
    pub table_id: Id,
    /// The document.
    pub document_id: Id,
    /// The version.
    pub version: u64,
    /// The position that it supersedes.
    pub supersedes: Option<u64>,
    /// The leaf's blind.
    pub blind: Blind,
    /// The data, or what is left of it.
    pub data: FullData<'a>,
    /// What it has beside if it was imported.
    pub imported: Option<ImportedRevision>,
}

/// The data of a revision.
#[derive(Debug, Clone)]
pub enum FullData<'a> {
    /// The document. Always so for the tables of the system, whose contents are read here.
    Value(&'a Value),
    /// The document is there, and the caller has computed its Ion Hash (perhaps on another thread) and checked it with
    /// [`check_data`](crate::verifier::check_data) or [`DataNames`](crate::verifier::DataNames).
    Hashed(Hash),
    /// Only IH(data) is there.
    Missing(Hash),
    /// A deletion.
    Deleted,
}

/// What full verification found, when it found nothing wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FullReport {
    /// Leaves in the tree.
    pub size: u64,
    /// Its root.
    pub root: Option<Hash>,
    /// Blocks.
    pub blocks: u64,
    /// The hash of the newest block.
    pub block_hash: Option<Hash>,
    /// QLDB's digest over all blocks.
    pub qldb_digest: Option<Hash>,
    /// Revisions, deletions included.
    pub revisions: u64,
    /// Deletions.
    pub deleted: u64,
    /// Revisions whose data was redacted, with its record.
    pub redacted: u64,
    /// Blocks that were imported.
    pub imported_blocks: u64,
    /// Imported revisions of which only QLDB's hash is known.
    pub opaque: u64,
    /// Records that name a revision whose data is still there, or that never was. Who can look at blocks again tells the
    /// two apart with [`Sought`]: one is a redaction that is not finished, the other is false.
    pub redactions_open: Vec<OpenRedaction>,
    /// Leaves of kinds that this version does not know.
    pub other_leaves: u64,
    /// Statements.
    pub statements: u64,
    /// Statements whose digest is not that of the text alone: with parameters, which are not kept.
    pub digests_not_recomputed: u64,
    /// Statements whose text was redacted.
    pub texts_redacted: u64,
    /// How often a block lists documents of a table under a name that no definition gives the table, and the first such
    /// block. Names in transactionInfo are the server's word; leaves and commitments go by ids.
    pub names_unproved: u64,
    /// The first such block.
    pub first_name_unproved: Option<u64>,
    /// Checkpoints that were compared.
    pub checkpoints: u64,
    /// Rotations of the key, in order. Each follows from the one before; that the old key agreed shows only its signature
    /// under the checkpoint of that size ([`hands_over`](crate::rotation::hands_over)), for the caller to check.
    pub rotations: Vec<Rotation>,
}

/// A rotation of the key, as the tree has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// What it says.
    pub record: RotationRecord,
    /// The position of its revision.
    pub position: u64,
    /// The block's number.
    pub block: u64,
}

/// A record of a redaction for which no missing data was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenRedaction {
    /// The record's position.
    pub position: u64,
    /// The block that it names.
    pub block: u64,
    /// The table.
    pub table_id: Id,
    /// The document.
    pub document_id: Id,
    /// The version.
    pub version: u64,
}

/// Looks among leaves, in any order, for the revisions that records of redactions name.
#[derive(Debug, Clone, Default)]
pub struct Sought(HashMap<RevisionKey, OpenRedaction>);

impl Sought {
    /// One more to look for.
    pub fn record(&mut self, record: OpenRedaction) {
        let first = self.0.entry(record.key()).or_insert(record);
        if record.position < first.position {
            *first = record;
        }
    }

    /// A leaf.
    pub fn see(&mut self, leaf: &RevisionLeaf) {
        if !self.0.is_empty() {
            self.0.remove(&(leaf.block, leaf.table_id, leaf.document_id, leaf.version));
        }
    }

    /// The records whose revisions were not seen, by position.
    pub fn missing(self) -> Vec<OpenRedaction> {
        let mut missing: Vec<OpenRedaction> = self.0.into_values().collect();
        missing.sort_unstable_by_key(|record| record.position);
        missing
    }

    /// Nothing is looked for any more.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl OpenRedaction {
    pub(crate) fn new(position: u64, (block, table_id, document_id, version): RevisionKey) -> Self {
        OpenRedaction { position, block, table_id, document_id, version }
    }

    fn key(&self) -> RevisionKey {
        (self.block, self.table_id, self.document_id, self.version)
    }
}

impl fmt::Display for OpenRedaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OpenRedaction { position, block, table_id, document_id, version } = self;
        write!(
            f,
            "the record of a redaction at position {position} names version {version} of document {document_id} of \
             table {table_id} in block {block}, where no such revision stands"
        )
    }
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A rule of the tree.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The genesis record.
    #[error("genesis: {0}")]
    Genesis(String),
    /// A block.
    #[error("block {number} (leaf at position {position}): {text}")]
    Block {
        /// The block's number.
        number: u64,
        /// The position of its leaf.
        position: u64,
        /// What is wrong.
        text: String,
    },
    /// A revision.
    #[error("block {block}, revision at position {position} (document {document}, version {version}): {text}")]
    Revision {
        /// The block's number.
        block: u64,
        /// The revision's position.
        position: u64,
        /// The document.
        document: Id,
        /// The version.
        version: u64,
        /// What is wrong.
        text: String,
    },
    /// A checkpoint of another tree.
    #[error("the checkpoint of size {size} says root {expected}, the leaves have {found}")]
    Root {
        /// The checkpoint's size.
        size: u64,
        /// Its root.
        expected: Hash,
        /// The root of the leaves.
        found: Hash,
    },
    /// A checkpoint of a size that the tree does not stop at.
    #[error("the checkpoint of size {size} is not of a block boundary: block {block} goes on over it")]
    InsideBlock {
        /// The checkpoint's size.
        size: u64,
        /// The block.
        block: u64,
    },
    /// A checkpoint beyond the end.
    #[error("the checkpoint has size {size}, but only {found} leaves are there: the end is missing")]
    Beyond {
        /// The checkpoint's size.
        size: u64,
        /// The leaves that are there.
        found: u64,
    },
    /// A checkpoint of another ledger.
    #[error("the checkpoint is of {found}, the ledger is {expected}")]
    Origin {
        /// The ledger.
        expected: String,
        /// Whose the checkpoint is.
        found: String,
    },
}

/// What the genesis says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenesisFacts {
    /// The ledger's origin.
    pub origin: String,
    /// The key it began with.
    pub log_key: VerifierKey,
    /// The old ledger's last checkpoint, if this one continues one.
    pub continues: Option<String>,
    /// What was imported, if the ledger began with an import.
    pub import: Option<ImportFacts>,
}

/// What the genesis of an imported ledger says of the import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportFacts {
    /// How many blocks were imported: the number of the first one made here.
    pub first_native_block: u64,
    /// The hash of the last imported block.
    pub previous_block_hash: Hash,
    /// QLDB's digest that the export was compared with, if there was one.
    pub digest: Option<Hash>,
    /// When, in milliseconds since 1970 UTC.
    pub time_ms: i64,
}

/// What was derived of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedBlock {
    /// The leaves: revisions, then the block.
    pub leaves: Vec<Leaf>,
    /// What the block leaf commits to.
    pub opening: BlockOpening,
}

/// Block, table, document, version.
pub(crate) type RevisionKey = (u64, Id, Id, u64);

/// A block that was found to continue what came before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedBlock {
    /// Its leaf.
    pub leaf: BlockLeaf,
    /// H(the leaf's entry), which the next block's leaf commits to.
    pub leaf_entry_hash: Hash,
    /// What the block leaf commits to.
    pub opening: BlockOpening,
}

/// Takes the genesis, then blocks in order, and says what does not hold.
pub struct FullVerifier {
    validator: Validator,
    frontier: Frontier,
    digest: DotFrontier,
    preparer: Preparer,
    genesis: Option<GenesisFacts>,
    strand: Option<Id>,
    previous_leaf: Option<Hash>,
    previous_block_hash: Option<Hash>,
    /// Ascending by size; those below the frontier's size have been compared.
    checkpoints: Vec<Checkpoint>,
    redactions: Redactions,
    names: Names,
    keys: Option<KeyChain>,
    /// Rotations in the block that comes.
    rotating: Vec<Rotation>,
    report: FullReport,
}

/// What tables are called.
#[derive(Debug, Default)]
struct Names {
    tables: HashMap<Id, Box<str>>,
    /// What tables were called before the block that comes gave them another name, or another name again.
    before: Vec<(Id, Box<str>)>,
}

impl Names {
    fn give(&mut self, table: Id, name: &str) {
        if let Some(before) = self.tables.insert(table, name.into()) {
            self.before.push((table, before));
        }
    }

    fn has(&self, table: &Id, name: &str) -> bool {
        let before = self.before.iter().any(|(id, before)| id == table && **before == *name);
        before || self.tables.get(table).is_some_and(|current| **current == *name)
    }

    fn end_block(&mut self) {
        self.before.clear();
    }
}

/// Data and texts that are missing, and the records that say why.
#[derive(Debug, Default)]
struct Redactions {
    /// (block, table, document, version) → position, for data without a record so far, and where its record is said to stand.
    missing: HashMap<RevisionKey, (u64, Option<u64>)>,
    /// Blocks with redacted texts → the position of their leaf.
    texts: HashMap<u64, u64>,
    /// Blocks that records name.
    blocks: HashSet<u64>,
    /// What imported blocks name.
    before_import: HashSet<RevisionKey>,
}

impl FullVerifier {
    /// Will compare the tree with these checkpoints, whose signatures the caller has checked.
    pub fn new(mut checkpoints: Vec<Checkpoint>) -> Self {
        checkpoints.sort_by_key(|checkpoint| checkpoint.size);
        FullVerifier {
            validator: Validator::new(),
            frontier: Frontier::new(),
            digest: DotFrontier::default(),
            preparer: Preparer::default(),
            genesis: None,
            strand: None,
            previous_leaf: None,
            previous_block_hash: None,
            checkpoints,
            redactions: Redactions::default(),
            names: Names::default(),
            keys: None,
            rotating: Vec::new(),
            report: FullReport::default(),
        }
    }

    /// The genesis leaf and its record, first of all.
    pub fn genesis(&mut self, leaf: &GenesisLeaf, record: &[u8]) -> Result<GenesisFacts, Failure> {
        let facts = check_genesis(leaf, record).map_err(Failure::Genesis)?;
        if let Some(other) = self.checkpoints.iter().find(|c| c.origin != facts.origin) {
            return Err(Failure::Origin { expected: facts.origin, found: other.origin.clone() });
        }
        self.push(&Leaf::Genesis(*leaf))?;
        self.strand = Some(leaf.strand);
        self.genesis = Some(facts.clone());
        self.keys = Some(KeyChain::new(facts.log_key.clone()));
        self.compare_checkpoints(0)?;
        Ok(facts)
    }

    /// The next block: [`Preparer::whole`] and [`FullVerifier::accept`].
    pub fn block(&mut self, block: &FullBlock<'_>) -> Result<DerivedBlock, Failure> {
        let (revisions, prepared) = self.preparer.whole(block, self.frontier.size())?;
        let mut leaves: Vec<Leaf> = revisions.iter().map(|revision| Leaf::Revision(revision.leaf)).collect();
        self.accept_revisions(&revisions, &mut |_, _, _| ())?;
        let listed: HashSet<(Id, &str)> = block
            .transaction_info
            .documents
            .iter()
            .map(|document| (document.table_id, &*document.table_name))
            .collect();
        // Definitions of imported tables, if there are any, are another ledger's.
        let native = listed.into_iter().filter(|_| block.imported.is_none());
        native.for_each(|(table, name)| self.listed_under(table, name));
        let accepted = self.accept(prepared, &mut |_, _, _| ())?;
        leaves.push(Leaf::Block(accepted.leaf));
        Ok(DerivedBlock { leaves, opening: accepted.opening })
    }

    /// The next revisions of the block that comes, prepared for the position where the leaves end now. `complete` is
    /// given every subtree that is complete with them, as (level, index, root), the leaves themselves (level 0) too.
    pub fn accept_revisions(
        &mut self,
        revisions: &[PreparedRevision],
        complete: &mut dyn FnMut(u8, u64, Hash),
    ) -> Result<(), Failure> {
        for PreparedRevision { leaf, leaf_hash, position, missing, record, opaque, says, .. } in revisions {
            if *position != self.frontier.size() {
                let text = format!("it stands at position {}", self.frontier.size());
                let (block, document, version) = (leaf.block, leaf.document_id, leaf.version);
                return Err(Failure::Revision { block, position: *position, document, version, text });
            }
            self.validator.push(&Leaf::Revision(*leaf))?;
            self.frontier.append_and_store(*leaf_hash, &mut *complete);
            self.report.deleted += u64::from(leaf.deleted);
            self.report.opaque += u64::from(*opaque);
            if *missing {
                let key = (leaf.block, leaf.table_id, leaf.document_id, leaf.version);
                self.redactions.missing.insert(key, (*position, *record));
            }
            match says.as_deref() {
                Some(Says::Redacted(record)) => self.redacted(*position, record, *position)?,
                Some(Says::TableName(name)) => self.names.give(leaf.document_id, name),
                Some(Says::Rotation(record)) => {
                    self.rotating.push(Rotation { record: (**record).clone(), position: *position, block: leaf.block });
                    self.check_key_document(leaf, *position)?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// What stands at the position says that the revision was redacted. `stored` is where the revision should say that its
    /// record stands.
    fn redacted(&mut self, position: u64, record: &RevisionKey, stored: u64) -> Result<(), Failure> {
        if let Some((at, said)) = self.redactions.missing.remove(record) {
            if let Some(said) = said.filter(|said| *said != stored) {
                let &(block, _, document, version) = record;
                let text = format!("it says that the record of its redaction stands at {said}, not at {stored}");
                return Err(Failure::Revision { block, position: at, document, version, text });
            }
            self.report.redacted += 1;
        } else {
            self.report.redactions_open.push(OpenRedaction::new(position, *record));
        }
        self.redactions.blocks.insert(record.0);
        Ok(())
    }

    /// How the block that comes lists documents of a table, once its revisions came. A name that neither was the table's
    /// before the block nor is given to it in the block is counted.
    pub fn listed_under(&mut self, table: Id, name: &str) {
        if !self.names.has(&table, name) {
            self.report.names_unproved += 1;
            self.report.first_name_unproved.get_or_insert(self.validator.next_block());
        }
    }

    /// The next block, all of whose revisions came before.
    pub fn accept(
        &mut self,
        block: PreparedBlock,
        complete: &mut dyn FnMut(u8, u64, Hash),
    ) -> Result<AcceptedBlock, Failure> {
        let position = self.frontier.size();
        let number = block.leaf.block;
        let fail = |text: String| Failure::Block { number, position, text };
        if block.leaf.first.checked_add(u64::from(block.leaf.revisions)) != Some(position) {
            let (first, revisions) = (block.leaf.first, block.leaf.revisions);
            return Err(fail(format!("it is said to begin at position {first} and to have {revisions} revisions")));
        }
        let opening = BlockOpening::new(self.previous_leaf, self.previous_block_hash, block.entries);
        if let Some(stored) = block.block_hash.filter(|stored| *stored != opening.block_hash) {
            return Err(fail(format!("its contents hash to {}, stored is {stored}", opening.block_hash)));
        }
        self.check_import(&block.leaf).map_err(fail)?;
        let leaf = BlockLeaf { commitment: opening.commitment(&block.blind), ..block.leaf };
        let entry = leaf.encode();
        self.validator.push(&Leaf::Block(leaf))?;
        self.frontier.append_and_store(tree::leaf_hash(&entry), &mut *complete);
        let leaf_entry_hash = Hash::sha256(&[&entry]);
        self.previous_leaf = Some(leaf_entry_hash);
        self.previous_block_hash = Some(opening.block_hash);
        self.digest.append(opening.block_hash);
        self.names.end_block();
        self.rotate(&leaf)?;
        for record in &block.redacted {
            // QLDB carried redactions out later, so that one could be asked for twice.
            if self.redactions.before_import.insert(*record) {
                self.redacted(position, record, 0)?;
            }
        }
        if block.texts_redacted > 0 {
            self.redactions.texts.insert(number, position);
        }
        self.report.blocks += 1;
        self.report.imported_blocks += u64::from(leaf.imported);
        self.report.revisions += u64::from(leaf.revisions);
        self.report.statements += block.statements;
        self.report.digests_not_recomputed += block.digests_not_recomputed;
        self.report.texts_redacted += block.texts_redacted;
        self.compare_checkpoints(number)?;
        Ok(AcceptedBlock { leaf, leaf_entry_hash, opening })
    }

    /// Exactly the blocks that the genesis says were imported are, and they end as it says.
    fn check_import(&self, leaf: &BlockLeaf) -> Result<(), String> {
        let import = self.genesis.as_ref().and_then(|genesis| genesis.import.as_ref());
        let first_native = import.map_or(0, |import| import.first_native_block);
        match (leaf.imported, leaf.block < first_native) {
            (true, false) => {
                Err(format!("it is imported; the genesis says that blocks from {first_native} on are not"))
            }
            (false, true) => Err(format!("it is not imported; the genesis says that blocks before {first_native} are")),
            _ if leaf.block == first_native && self.previous_block_hash != import.map(|i| i.previous_block_hash) => {
                Err("the block before is not the last imported one that the genesis names".into())
            }
            _ => Ok(()),
        }
    }

    fn check_key_document(&self, leaf: &RevisionLeaf, position: u64) -> Result<(), Failure> {
        let origin = self.genesis.as_ref().map_or("", |genesis| &genesis.origin);
        match ledger_id_of(origin) == Some(leaf.document_id) {
            true => Ok(()),
            false => {
                let (block, document, version) = (leaf.block, leaf.document_id, leaf.version);
                let problem = RotationProblem::Document { expected: origin.to_owned(), found: document };
                let text = format!("the rotation of the key: {problem}");
                Err(Failure::Revision { block, position, document, version, text })
            }
        }
    }

    /// Rotations in the block that was just accepted: at most one, alone, of the key in force.
    fn rotate(&mut self, leaf: &BlockLeaf) -> Result<(), Failure> {
        let Some(keys) = &mut self.keys else { return Ok(()) };
        for rotation in self.rotating.drain(..) {
            let alone = match leaf.revisions {
                1 => Ok(()),
                several => Err(RotationProblem::NotAlone(several)),
            };
            let rotated = alone.and_then(|()| keys.rotate(&rotation.record, self.frontier.size()));
            if let Err(problem) = rotated {
                let (number, position) = (leaf.block, self.frontier.size().saturating_sub(1));
                let text = format!("the rotation of the key: {problem}");
                return Err(Failure::Block { number, position, text });
            }
            self.report.rotations.push(rotation);
        }
        Ok(())
    }

    /// A leaf of a kind that this version does not know, which stands between blocks.
    pub fn other(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let leaf = Leaf::Other { kind: bytes.first().copied().unwrap_or(0), bytes: bytes.to_vec() };
        if !matches!(Leaf::decode(bytes), Ok(Leaf::Other { .. })) {
            self.validator.push_bytes(bytes)?;
            let block = self.validator.next_block();
            return Err(Failure::Block {
                number: block,
                position: self.frontier.size(),
                text: "a block came as bytes".into(),
            });
        }
        self.push(&leaf)?;
        self.report.other_leaves += 1;
        self.compare_checkpoints(self.validator.next_block())
    }

    /// The tree so far.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The keys in the order that the tree gives them, once the genesis came.
    pub fn keys(&self) -> Option<&KeyChain> {
        self.keys.as_ref()
    }

    /// The rules' state so far: also the newest revision of every document.
    pub fn validator(&self) -> &Validator {
        &self.validator
    }

    /// What has been counted so far.
    pub fn report(&self) -> &FullReport {
        &self.report
    }

    /// The end: no data is missing without a record, and no checkpoint goes beyond the leaves.
    pub fn finish(mut self) -> Result<FullReport, Failure> {
        self.validator.finish()?;
        let size = self.frontier.size();
        if let Some(beyond) = self.checkpoints.iter().find(|checkpoint| checkpoint.size > size) {
            return Err(Failure::Beyond { size: beyond.size, found: size });
        }
        let import = self.genesis.as_ref().and_then(|genesis| genesis.import.as_ref());
        if let Some(import) = import {
            let (found, expected) = (self.report.blocks, import.first_native_block);
            let other_end = found == expected && self.previous_block_hash != Some(import.previous_block_hash);
            if found < expected || other_end {
                let text =
                    format!("the genesis says that {expected} blocks were imported, the last one with another end");
                return Err(Failure::Block { number: found, position: size, text });
            }
        }
        let withheld = self.redactions.missing.iter().min_by_key(|(_, (position, _))| *position);
        if let Some((&(block, _, document, version), &(position, _))) = withheld {
            let text = "its data is missing and no record says that it was redacted: it is withheld".into();
            return Err(Failure::Revision { block, position, document, version, text });
        }
        let texts = &self.redactions.texts;
        let unexplained = texts.iter().filter(|(number, _)| !self.redactions.blocks.contains(number)).min();
        if let Some((&number, &position)) = unexplained {
            let text = "statement texts are missing and no record says that a revision of it was redacted".into();
            return Err(Failure::Block { number, position, text });
        }
        self.report.size = size;
        self.report.root = Some(self.frontier.root());
        self.report.block_hash = self.previous_block_hash;
        self.report.qldb_digest = self.digest.root();
        Ok(self.report)
    }

    fn push(&mut self, leaf: &Leaf) -> Result<(), Failure> {
        self.validator.push(leaf)?;
        self.frontier.append(tree::leaf_hash(&leaf.encode()));
        Ok(())
    }

    fn compare_checkpoints(&mut self, block: u64) -> Result<(), Failure> {
        let size = self.frontier.size();
        let done = self.report.checkpoints as usize;
        for checkpoint in self.checkpoints.iter().skip(done).take_while(|checkpoint| checkpoint.size <= size) {
            if checkpoint.size < size {
                return Err(Failure::InsideBlock { size: checkpoint.size, block });
            }
            let found = self.frontier.root();
            if found != checkpoint.root {
                return Err(Failure::Root { size, expected: checkpoint.root, found });
            }
            self.report.checkpoints += 1;
        }
        Ok(())
    }
}

/// What a genesis leaf and its record say, if they belong together: the record is the one that the leaf names, the origin
/// ends with the ledger's id, and the key is of the origin.
pub fn check_genesis(leaf: &GenesisLeaf, record: &[u8]) -> Result<GenesisFacts, String> {
    const RECORD_LIMITS: Limits = Limits { bytes_max: 1 << 20, depth_max: 8, values_max: 64 };
    if Hash::sha256(&[record]) != leaf.record_hash {
        return Err("the record is not the one that the genesis leaf names".into());
    }
    let value = ion::decode(record, &RECORD_LIMITS).map_err(|error| format!("the record cannot be read: {error}"))?;
    let fields = value.as_struct().ok_or("the record is not a struct")?;
    let text = |name: &str| match fields.get(name) {
        Some(Value::String(text)) => Some(text.to_string()),
        _ => None,
    };
    let origin = text("origin").ok_or("the record has no origin")?;
    if ledger_id_of(&origin) != Some(leaf.ledger_id) {
        return Err(format!("origin {origin} does not end with the ledger's id, {}", leaf.ledger_id));
    }
    let log_key = text("logKey").ok_or("the record has no logKey")?;
    let log_key: VerifierKey = log_key.parse().map_err(|error| format!("logKey: {error}"))?;
    if log_key.name() != origin {
        return Err(format!("logKey is of {}, not of {origin}", log_key.name()));
    }
    let import = fields.get("import").map(read_import).transpose()?;
    Ok(GenesisFacts { origin, log_key, continues: text("continues"), import })
}

impl ImportFacts {
    /// As the genesis record holds it.
    pub fn to_value(&self) -> Value {
        let mut fields = vec![
            ("firstNativeBlock", Value::Int(Int::from(self.first_native_block))),
            ("previousBlockHash", hash_value(&self.previous_block_hash)),
        ];
        fields.extend(self.digest.as_ref().map(|digest| ("digest", hash_value(digest))));
        fields.push(("time", Value::Timestamp(native_time(self.time_ms))));
        Value::Struct(Struct::from_fields(fields))
    }
}

fn read_import(value: &Value) -> Result<ImportFacts, String> {
    let read = || {
        let mut fields = Fields::of(value, "import")?;
        let facts = ImportFacts {
            first_native_block: fields.uint("firstNativeBlock")?,
            previous_block_hash: fields.hash("previousBlockHash")?,
            digest: fields.optional("digest")?.map(|value| read_hash(value, "import.digest")).transpose()?,
            time_ms: fields.time("time")?,
        };
        fields.no_others()?;
        match facts.first_native_block {
            0 => Err(refuse("import.firstNativeBlock", "is 0: nothing was imported")),
            _ => Ok(facts),
        }
    };
    read().map_err(|error: BlockError| format!("the record's {error}"))
}

/// QLDB's digest, kept up block by block: the tree of RFC 6962 with `dot` in place of its node hash.
#[derive(Debug, Clone, Default)]
pub struct DotFrontier {
    count: u64,
    edge: Vec<Hash>,
}

impl DotFrontier {
    /// Adds a block hash.
    pub fn append(&mut self, hash: Hash) {
        let mut hash = hash;
        for _ in 0..self.count.trailing_ones() {
            let Some(left) = self.edge.pop() else { break };
            hash = qldb::dot2(left, hash);
        }
        self.edge.push(hash);
        self.count += 1;
    }

    /// The digest; none without blocks.
    pub fn root(&self) -> Option<Hash> {
        let mut hashes = self.edge.iter().rev();
        let last = *hashes.next()?;
        Some(hashes.fold(last, |right, left| qldb::dot2(*left, right)))
    }
}
