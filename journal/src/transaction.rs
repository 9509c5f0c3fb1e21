//! What goes into the journal and comes out of it: a prepared transaction, the receipt of its commit, and the two
//! hooks through which the query engine takes part in both.

use std::any::Any;
use std::sync::Arc;

use ledgerstone_digest::block::{OriginInfo, RedactionInfo, StatementInfo};
use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::id::Id;
use ledgerstone_digest::note::VerifierKey;
use ledgerstone_digest::qldb::{ImportedBlock, ImportedRevision};
use ledgerstone_digest::rotation::RotationRecord;

use crate::encoded::Data;
use crate::error::{CommitError, ReadError};

/// A transaction ready to be validated and sequenced. At most one revision per document.
pub struct Transaction {
    /// A fresh random id, never used before; the old one of an imported block.
    pub id: Id,
    /// In the order they ran.
    pub statements: Vec<StatementInfo>,
    /// In the order their positions are given. Never empty: what changes nothing takes no block.
    pub revisions: Vec<NewRevision>,
    pub origin: OriginInfo,
    pub redaction: Option<RedactionInfo>,
    /// It rotates the ledger's key: it has one revision, whose data the sequencer writes.
    pub rotation: Option<Rotation>,
    /// It is a block of another ledger, which keeps its number, its time and its hashes.
    pub imported: Option<Box<ImportedTransaction>>,
    /// The query engine's own: read set, keys. Comes back in [`PublishedBlock::payload`].
    pub payload: Box<dyn Any + Send>,
}

/// The key in force and the one that takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    pub old: VerifierKey,
    pub new: VerifierKey,
}

impl Rotation {
    /// Its record, if the block of it ends at this size.
    pub fn record(&self, from: u64) -> RotationRecord {
        RotationRecord { old: self.old.clone(), new: self.new.clone(), from }
    }
}

/// What an imported block has beside.
#[derive(Debug, Clone)]
pub struct ImportedTransaction {
    /// Its number, which must be the next one.
    pub number: u64,
    pub time_ms: i64,
    /// Compared with what follows from its contents.
    pub block_hash: Hash,
    pub block: ImportedBlock,
    /// One for each of the transaction's revisions.
    pub revisions: Vec<ImportedContent>,
}

/// What an imported revision has beside.
#[derive(Debug, Clone, Copy)]
pub struct ImportedContent {
    pub revision: ImportedRevision,
    /// IH(data), if the data was redacted before.
    pub redacted: Option<Hash>,
}

/// The field that makes the hash of a document tell nothing of a document that somebody guesses.
pub const SALT_FIELD: &str = "_ql_salt";

/// A revision to be made.
#[derive(Debug, Clone)]
pub struct NewRevision {
    pub table_id: Id,
    pub document_id: Id,
    /// 0 exactly if it supersedes nothing; otherwise one more than the version it supersedes.
    pub version: u64,
    /// The position of the revision it supersedes.
    pub supersedes: Option<u64>,
    /// A struct; `None` makes the revision a deletion.
    pub data: Option<Data>,
    /// Stored and hashed as the last field of the data, [`SALT_FIELD`]; the data has no such field then. Encoded data has
    /// its salt inside.
    pub salt: Option<Arc<[u8]>>,
    /// The Ion Hash of `data` with its salt, if the caller has it; otherwise it is computed on the submitting thread.
    /// Encoded data has its own.
    /// Whoever changes `data` in [`Sequence::validate`] sets this too, or `None`.
    pub data_hash: Option<Hash>,
    /// How `transactionInfo.documents` lists it; `None` for revisions of system tables.
    pub listed: Option<Listed>,
}

impl NewRevision {
    /// The field that its data has beside what is in `data`.
    pub(crate) fn salt_field(&self) -> Option<(&str, &[u8])> {
        self.salt.as_deref().map(|salt| (SALT_FIELD, salt))
    }

    /// The hash of its data, if that was computed.
    pub(crate) fn known_hash(&self) -> Option<Hash> {
        match &self.data {
            Some(Data::Encoded(encoded)) => Some(encoded.hash()),
            _ => self.data_hash,
        }
    }
}

/// The entry of a document in `transactionInfo.documents`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Listed {
    pub table_name: Arc<str>,
    /// Indexes into [`Transaction::statements`], ascending.
    pub statements: Arc<[u32]>,
}

/// Where a transaction stands in the ledger. It is durable when a caller sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    pub transaction_id: Id,
    pub strand: Id,
    pub block: u64,
    /// The position of its first revision; the others follow.
    pub first_position: u64,
    /// How many revisions.
    pub revisions: u32,
    /// The position of its block leaf, `first_position + revisions`.
    pub block_position: u64,
    pub time_ms: i64,
}

impl Committed {
    /// The snapshot that sees this transaction and nothing after it.
    pub fn snapshot(&self) -> u64 {
        self.block_position + 1
    }
}

/// The query engine's part in giving transactions their order. Called on the sequencer's thread, one at a time.
pub trait Sequence: Send {
    /// Judges the transaction against everything published *and* pending. May change it (a transaction run again on
    /// pending state); nothing is kept if this fails.
    fn validate(&mut self, transaction: &mut Transaction) -> Result<(), CommitError>;
    /// The transaction has its place and is pending: later ones must be judged against it.
    fn sequenced(&mut self, transaction: &Transaction, committed: &Committed);
    /// Everything pending, that is sequenced and not yet published, is lost.
    fn dropped(&mut self);
}

/// The query engine's part in making a durable block visible. Called in the order of blocks, before the snapshot
/// moves and before anybody is told.
pub trait Publish: Send {
    fn publish(&mut self, block: PublishedBlock, before: &dyn BlockEnds);
}

/// Knows where durable blocks end.
pub trait BlockEnds {
    /// The position behind a block.
    fn block_end(&self, number: u64) -> Result<u64, ReadError>;
}

/// Takes every transaction as it comes and shows blocks to nobody: for blocks that were judged before, and for tools.
#[derive(Debug, Clone, Copy)]
pub struct Unjudged;

impl Sequence for Unjudged {
    fn validate(&mut self, _: &mut Transaction) -> Result<(), CommitError> {
        Ok(())
    }

    fn sequenced(&mut self, _: &Transaction, _: &Committed) {}

    fn dropped(&mut self) {}
}

impl Publish for Unjudged {
    fn publish(&mut self, _: PublishedBlock, _: &dyn BlockEnds) {}
}

/// A durable block, or a piece of one that is replayed.
pub struct PublishedBlock {
    pub committed: Committed,
    pub revisions: Vec<PublishedRevision>,
    /// The block ends with these revisions. Always so when it is published.
    pub complete: bool,
    /// What the transaction carried; `None` when the block is replayed from the journal.
    pub payload: Option<Box<dyn Any + Send>>,
    pub origin: OriginInfo,
}

/// A durable revision.
#[derive(Debug, Clone)]
pub struct PublishedRevision {
    pub position: u64,
    pub table_id: Id,
    pub document_id: Id,
    pub version: u64,
    pub supersedes: Option<u64>,
    pub deleted: bool,
    /// `None` if deleted or redacted. Encoded, or read back from the journal, it has its salt.
    pub data: Option<Data>,
}
