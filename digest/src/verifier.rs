//! The offline verifier: from a receipt to a statement about *this* ledger, table, document, version and content, or
//! to a refusal that says which link is missing (docs/format.md, "Receipts").
//!
//! What is trusted comes from outside, never from the receipt: the ledger's keys with the sizes they may sign, the
//! witness policy, the newest checkpoint the reader has pinned, and what the reader expects.

use std::collections::HashMap;
use std::sync::Arc;

use crate::block::{Metadata, TransactionInfo};
use crate::checkpoint::{Checkpoint, CheckpointError, UnverifiedCheckpoint};
use crate::hash::Hash;
use crate::id::Id;
use crate::ion::{self, Value};
use crate::leaf::{self, BlockLeaf, RevisionLeaf};
use crate::note::{Cosignature, KeyKind, VerifierKey};
use crate::qldb;
use crate::receipt::{Content, OpenedBlock, Receipt, ReceiptRevision, RedactionPart, RevisionOpening};
use crate::redaction::RedactionRecord;
pub use crate::refusal::{Broken, Refusal};
use crate::tree;

/// What the reader trusts.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// The ledger's keys; a key is of the ledger whose origin is its name.
    pub keys: Vec<TrustedKey>,
    /// Whose cosignatures are asked for.
    pub witnesses: WitnessPolicy,
    /// The newest checkpoint that the reader has kept.
    pub pinned: Option<Checkpoint>,
    /// The consistency proof between the pinned checkpoint and the receipt's, whichever is older. Needed when their
    /// sizes differ.
    pub consistency: Option<Vec<Hash>>,
}

impl Trust {
    /// Trust in one key for all sizes, with no witnesses and nothing pinned.
    pub fn in_key(key: VerifierKey) -> Self {
        Trust { keys: vec![TrustedKey::always(key)], ..Trust::default() }
    }
}

/// A ledger's key and the sizes it may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    /// The key.
    pub key: VerifierKey,
    /// The first size it may sign.
    pub size_min: u64,
    /// The last size it may sign.
    pub size_max: u64,
}

impl TrustedKey {
    /// A key that may sign every size.
    pub fn always(key: VerifierKey) -> Self {
        TrustedKey { key, size_min: 1, size_max: u64::MAX }
    }
}

/// How many of these witnesses must have cosigned. A checkpoint is called witnessed when at least one has, and at
/// least as many as required.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WitnessPolicy {
    /// 0: cosignatures are checked and reported, none is required.
    pub required: usize,
    /// The witnesses' cosignature keys.
    pub witnesses: Vec<VerifierKey>,
}

/// What the reader expects the receipt to be about. The first three are always compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// The ledger.
    pub origin: String,
    /// The table.
    pub table_id: Id,
    /// The document.
    pub document_id: Id,
    /// The version; `None` if any will do, which one is in the verdict.
    pub version: Option<u64>,
    /// The content; `None` if any will do, it is in the verdict.
    pub content: Option<ExpectedContent>,
}

/// The content that a revision should have.
#[derive(Debug, Clone, PartialEq)]
pub enum ExpectedContent {
    /// This Ion value.
    Value(Value),
    /// A value with this Ion Hash.
    Hash(Hash),
}

/// What was shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// How much of the revision was shown.
    pub kind: VerdictKind,
    /// The cosignatures that hold.
    pub cosignatures: Vec<Cosignature>,
    /// The witness policy names somebody, and enough of them have cosigned.
    pub witnessed: bool,
    /// The revision existed at import. Its earlier time is vouched for only by a QLDB digest, if the reader holds one.
    pub imported: bool,
    /// The table.
    pub table_id: Id,
    /// The document.
    pub document_id: Id,
    /// The version.
    pub version: u64,
    /// The position of the revision before.
    pub supersedes: Option<u64>,
    /// The revision's position.
    pub position: u64,
    /// IH(data); none for a deletion.
    pub data_hash: Option<Hash>,
    /// The data, when the verdict is [`VerdictKind::Verified`].
    pub data: Option<Arc<Value>>,
    /// The transaction around it.
    pub block: BlockStatement,
    /// The checkpoint that it was shown under. Pin it if it is larger than what is pinned.
    pub checkpoint: Checkpoint,
    /// What in the receipt nothing vouches for; no statement above rests on it.
    pub unauthenticated: Vec<Unauthenticated>,
}

/// How much of a revision was shown.
#[derive(Debug, Clone, PartialEq)]
pub enum VerdictKind {
    /// Metadata and data.
    Verified,
    /// Metadata and the hash of data; nobody says why data is not there.
    Withheld,
    /// Metadata and the hash of data, and the record of the redaction.
    Redacted {
        /// Who redacted what.
        record: RedactionRecord,
        /// Where the record stands.
        position: u64,
        /// When it was written, as the server says.
        time_ms: i64,
    },
    /// The document was deleted by this revision.
    Deleted,
}

/// What is shown of the transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockStatement {
    /// The strand.
    pub strand: Id,
    /// The block's number.
    pub number: u64,
    /// The block leaf's position.
    pub position: u64,
    /// The transaction.
    pub transaction_id: Id,
    /// Its time, as the server says.
    pub time_ms: i64,
    /// How many revisions it made.
    pub revisions: u32,
    /// QLDB's block hash, if the block was opened.
    pub block_hash: Option<Hash>,
    /// transactionInfo, if shown.
    pub transaction_info: Option<Value>,
    /// originInfo, if shown.
    pub origin_info: Option<Value>,
    /// redactionInfo, if shown.
    pub redaction_info: Option<Value>,
}

/// A part of a receipt that nothing vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unauthenticated {
    /// A signature line by a key that the reader does not know.
    Signature {
        /// The name it bears.
        name: String,
    },
}

/// What a transaction's receipt shows.
#[derive(Debug, Clone, PartialEq)]
pub struct TransactionVerdict {
    /// The transaction.
    pub block: BlockStatement,
    /// Its revisions in order.
    pub revisions: Vec<ShownRevision>,
    /// The cosignatures that hold.
    pub cosignatures: Vec<Cosignature>,
    /// Enough witnesses have cosigned.
    pub witnessed: bool,
    /// Imported from QLDB.
    pub imported: bool,
    /// The checkpoint that it was shown under.
    pub checkpoint: Checkpoint,
    /// What nothing vouches for.
    pub unauthenticated: Vec<Unauthenticated>,
}

/// One revision of a transaction's receipt.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownRevision {
    /// Its position.
    pub position: u64,
    /// Its leaf.
    pub leaf: RevisionLeaf,
    /// How much was shown; `None` when only the leaf was.
    pub kind: Option<VerdictKind>,
    /// IH(data), if shown.
    pub data_hash: Option<Hash>,
    /// The data, if shown.
    pub data: Option<Arc<Value>>,
}

/// Checks a receipt of one revision.
pub fn verify(receipt: &Receipt, trust: &Trust, expectation: &Expectation) -> Result<Verdict, Refusal> {
    let head = verify_head(&receipt.checkpoint, trust, &expectation.origin)?;
    let [revision] = receipt.revisions.as_slice() else {
        return Err(Refusal::Revisions { expected: 1, found: receipt.revisions.len() as u64 });
    };
    let block = check_leaves(receipt, &head.checkpoint)?;
    let content = check_opening(revision, &receipt.block_leaf)?.ok_or(broken(revision.position, Broken::NotOpened))?;
    let kind = judge(revision, &content, &mut Records::of(receipt, &head.checkpoint), true)?;
    let leaf = &revision.leaf;
    check_expectation(leaf, content.data_hash, expectation)?;
    Ok(Verdict {
        kind,
        witnessed: head.witnessed,
        cosignatures: head.cosignatures,
        imported: leaf.imported,
        table_id: leaf.table_id,
        document_id: leaf.document_id,
        version: leaf.version,
        supersedes: leaf.supersedes,
        position: revision.position,
        data_hash: content.data_hash,
        data: content.data,
        block,
        checkpoint: head.checkpoint,
        unauthenticated: head.unauthenticated,
    })
}

/// Checks a receipt of a whole transaction: all its revision leaves, each as far as it is shown.
/// Compare the verdict's block with the one that a commit answered with.
pub fn verify_transaction(receipt: &Receipt, trust: &Trust, origin: &str) -> Result<TransactionVerdict, Refusal> {
    let head = verify_head(&receipt.checkpoint, trust, origin)?;
    let expected = u64::from(receipt.block_leaf.revisions);
    if receipt.revisions.len() as u64 != expected {
        return Err(Refusal::Revisions { expected, found: receipt.revisions.len() as u64 });
    }
    let block = check_leaves(receipt, &head.checkpoint)?;
    let mut records = Records::of(receipt, &head.checkpoint);
    let mut revisions = Vec::with_capacity(receipt.revisions.len());
    let last = receipt.revisions.len().saturating_sub(1);
    let mut hashes = Vec::new();
    for (number, revision) in receipt.revisions.iter().enumerate() {
        let mut shown =
            ShownRevision { position: revision.position, leaf: revision.leaf, kind: None, data_hash: None, data: None };
        if let Some(content) = check_opening(revision, &receipt.block_leaf)? {
            let kind = judge(revision, &content, &mut records, number == last)?;
            hashes.push(content.revision_hash);
            (shown.kind, shown.data_hash, shown.data) = (Some(kind), content.data_hash, content.data);
        }
        revisions.push(shown);
    }
    if records.unused > 0 {
        return Err(broken(receipt.block_position, Broken::StrayRecord));
    }
    if let Some(opened) = &receipt.block_opening {
        check_revisions_root(receipt, opened, &hashes)?;
    }
    Ok(TransactionVerdict {
        block,
        revisions,
        witnessed: head.witnessed,
        cosignatures: head.cosignatures,
        imported: receipt.block_leaf.imported,
        checkpoint: head.checkpoint,
        unauthenticated: head.unauthenticated,
    })
}

/// A checkpoint that is trusted, and who else has signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The cosignatures that hold.
    pub cosignatures: Vec<Cosignature>,
    /// Enough witnesses have cosigned.
    pub witnessed: bool,
    /// Signature lines of keys that the reader does not know.
    pub unauthenticated: Vec<Unauthenticated>,
}

/// Checks a signed checkpoint of the ledger `origin`: key, size range, witnesses, and the pinned checkpoint.
pub fn verify_head(note: &str, trust: &Trust, origin: &str) -> Result<Head, Refusal> {
    let head = verify_signatures(note, trust, origin)?;
    if let Some(pinned) = &trust.pinned {
        check_pinned(pinned, &head.checkpoint, trust.consistency.as_deref())?;
    }
    Ok(head)
}

/// Moves a pinned checkpoint forward to a newer one of the same ledger, along a consistency proof. `newer` must have
/// been checked with [`verify_signatures`].
pub fn advance(pinned: &Checkpoint, newer: &Checkpoint, proof: &[Hash]) -> Result<Checkpoint, Refusal> {
    if newer.size < pinned.size {
        let range = tree::RangeError::Sizes { older: pinned.size, newer: newer.size };
        return Err(Refusal::Consistency(range.into()));
    }
    check_pinned(pinned, newer, Some(proof))?;
    Ok(newer.clone())
}

/// Checks key, size range and witnesses of a checkpoint, but not whether it agrees with a pinned one: for clients that
/// then fetch the consistency proof and [`advance`].
pub fn verify_signatures(note: &str, trust: &Trust, origin: &str) -> Result<Head, Refusal> {
    let read = UnverifiedCheckpoint::parse(note)?;
    let stated = read.unverified();
    if stated.origin != origin {
        return Err(CheckpointError::Origin { found: stated.origin.clone(), expected: origin.to_owned() }.into());
    }
    let size = stated.size;
    let checkpoint = match signed_within(&read, trust, origin, size) {
        Ok(checkpoint) => checkpoint,
        // That a key has signed what it may not is worth more than that none has signed.
        Err(refusal) => return Err(out_of_range(&read, trust, origin, size).unwrap_or(refusal)),
    };
    let witnesses = distinct(&trust.witnesses.witnesses);
    let cosignatures = read.cosignatures(&witnesses)?;
    let (found, required) = (cosignatures.len(), trust.witnesses.required);
    if found < required {
        return Err(Refusal::Witnesses { found, required });
    }
    let known = |signature: &&crate::note::Signature| {
        trust.keys.iter().filter(|k| (k.size_min..=k.size_max).contains(&size)).any(|k| signature.is_by(&k.key))
            || witnesses.iter().any(|key| signature.is_by(key))
    };
    let unknown = read.note().signatures().iter().filter(|signature| !known(signature));
    let unauthenticated = unknown.map(|s| Unauthenticated::Signature { name: s.name.clone() }).collect();
    Ok(Head { checkpoint, witnessed: found > 0, cosignatures, unauthenticated })
}

/// Checks the signatures of the keys that may sign this size. Every one that signed must have signed well; one is enough.
fn signed_within(read: &UnverifiedCheckpoint, trust: &Trust, origin: &str, size: u64) -> Result<Checkpoint, Refusal> {
    let mut keys = trust.keys.iter().filter(|k| k.key.name() == origin && (k.size_min..=k.size_max).contains(&size));
    let first = keys.next().ok_or_else(|| Refusal::NoKey { origin: origin.to_owned(), size })?;
    let mut verified: Result<Checkpoint, CheckpointError> = read.verify(&first.key);
    for trusted in keys {
        match (read.verify(&trusted.key), &verified) {
            (Err(CheckpointError::NotSigned { .. }), _) => {}
            (Ok(checkpoint), Err(CheckpointError::NotSigned { .. })) => verified = Ok(checkpoint),
            (Err(error), _) => verified = Err(error),
            (Ok(_), _) => {}
        }
    }
    Ok(verified?)
}

/// A key that has signed a size which it may not sign.
fn out_of_range(read: &UnverifiedCheckpoint, trust: &Trust, origin: &str, size: u64) -> Option<Refusal> {
    let beyond = |k: &&TrustedKey| k.key.name() == origin && !(k.size_min..=k.size_max).contains(&size);
    let signed = |k: &&TrustedKey| read.note().verify(&k.key) == Ok(true);
    let TrustedKey { key, size_min, size_max } = trust.keys.iter().filter(beyond).find(signed)?;
    Some(Refusal::OutOfRange { size, vkey: key.to_string(), size_min: *size_min, size_max: *size_max })
}

/// A key listed twice is one witness.
fn distinct(keys: &[VerifierKey]) -> Vec<VerifierKey> {
    let mut distinct: Vec<VerifierKey> = Vec::with_capacity(keys.len());
    for key in keys.iter().filter(|key| key.kind() == KeyKind::CosignatureV1) {
        if !distinct.iter().any(|known| known.public() == key.public()) {
            distinct.push(key.clone());
        }
    }
    distinct
}

fn check_pinned(pinned: &Checkpoint, found: &Checkpoint, proof: Option<&[Hash]>) -> Result<(), Refusal> {
    if pinned.origin != found.origin {
        return Err(Refusal::PinnedOrigin { pinned: pinned.origin.clone(), expected: found.origin.clone() });
    }
    if pinned.size == found.size {
        if pinned.root == found.root {
            return Ok(());
        }
        let (origin, size) = (found.origin.clone(), found.size);
        return Err(Refusal::Fork { origin, size, pinned: pinned.root, found: found.root });
    }
    let proof = proof.ok_or(Refusal::ConsistencyMissing { pinned: pinned.size, size: found.size })?;
    let (older, newer) = if pinned.size < found.size { (pinned, found) } else { (found, pinned) };
    tree::verify_consistency(older.size, newer.size, &older.root, &newer.root, proof).map_err(Refusal::Consistency)
}

/// Where the leaves stand, which block they are of, that they are in the tree, and what the block commits to.
fn check_leaves(receipt: &Receipt, checkpoint: &Checkpoint) -> Result<BlockStatement, Refusal> {
    let (block, position) = (&receipt.block_leaf, receipt.block_position);
    check_block(&receipt.revisions, block, position)?;
    check_inclusion("the leaves are", &receipt.revisions, block, position, &receipt.proof, checkpoint)?;
    let opened = receipt.block_opening.as_ref();
    if let Some(opened) = opened {
        check_opened_block(opened, block).map_err(|problem| broken(position, problem))?;
    }
    Ok(BlockStatement {
        strand: block.strand,
        number: block.block,
        position,
        transaction_id: block.transaction_id,
        time_ms: block.time_ms,
        revisions: block.revisions,
        block_hash: opened.map(|opened| opened.opening.block_hash),
        transaction_info: opened.and_then(|opened| opened.transaction_info.clone()),
        origin_info: opened.and_then(|opened| opened.origin_info.clone()),
        redaction_info: opened.and_then(|opened| opened.redaction_info.clone()),
    })
}

fn check_block(revisions: &[ReceiptRevision], block: &BlockLeaf, position: u64) -> Result<(), Refusal> {
    if block.first.checked_add(u64::from(block.revisions)) != Some(position) {
        return Err(broken(position, Broken::BlockPosition));
    }
    for revision in revisions {
        if !(block.first..position).contains(&revision.position) {
            return Err(broken(revision.position, Broken::OutsideBlock));
        }
        if revision.leaf.block != block.block {
            return Err(broken(revision.position, Broken::BlockNumber));
        }
        if revision.leaf.imported != block.imported {
            return Err(broken(revision.position, Broken::Imported));
        }
    }
    Ok(())
}

fn check_inclusion(
    part: &'static str,
    revisions: &[ReceiptRevision],
    block: &BlockLeaf,
    position: u64,
    proof: &[Hash],
    checkpoint: &Checkpoint,
) -> Result<(), Refusal> {
    let mut leaves: Vec<(u64, Hash)> =
        revisions.iter().map(|r| (r.position, tree::leaf_hash(&r.leaf.encode()))).collect();
    leaves.push((position, tree::leaf_hash(&block.encode())));
    tree::verify_inclusion(checkpoint.size, &checkpoint.root, &leaves, proof)
        .map_err(|problem| Refusal::Inclusion { part, problem })
}

/// What an opened leaf holds.
struct OpenedContent {
    data_hash: Option<Hash>,
    data: Option<Arc<Value>>,
    revision_hash: Hash,
}

fn check_opening(revision: &ReceiptRevision, block: &BlockLeaf) -> Result<Option<OpenedContent>, Refusal> {
    let Some(opening) = &revision.opening else { return Ok(None) };
    open(&revision.leaf, block, opening).map(Some).map_err(|problem| broken(revision.position, problem))
}

/// Checks that metadata, data and blind are the ones that the leaf commits to, and metadata those of leaf and block.
/// Gives IH(data) (none for deletions) and QLDB's revision hash. Export verification uses it too.
pub fn check_revision(
    leaf: &RevisionLeaf,
    block: &BlockLeaf,
    opening: &RevisionOpening,
) -> Result<(Option<Hash>, Hash), Broken> {
    open(leaf, block, opening).map(|content| (content.data_hash, content.revision_hash))
}

fn open(leaf: &RevisionLeaf, block: &BlockLeaf, opening: &RevisionOpening) -> Result<OpenedContent, Broken> {
    let (metadata, data, data_hash) = match &opening.content {
        Content::Opaque { revision_hash } => {
            if !leaf.opaque {
                return Err(Broken::Flags);
            }
            if leaf.commitment != leaf::opaque_commitment(&opening.blind, revision_hash) {
                return Err(Broken::Commitment);
            }
            return Ok(OpenedContent { data_hash: None, data: None, revision_hash: *revision_hash });
        }
        Content::Data { metadata, data } => {
            check_data(data)?;
            (metadata, Some(data), Some(ion::ion_hash(data)))
        }
        Content::DataHash { metadata, data_hash } => (metadata, None, Some(*data_hash)),
        Content::Deleted { metadata } => (metadata, None, None),
    };
    if leaf.opaque || leaf.deleted != data_hash.is_none() {
        return Err(Broken::Flags);
    }
    let metadata_hash = check_metadata(metadata, leaf, block)?;
    let content = leaf::RevisionContent { blind: opening.blind, metadata_hash, data_hash };
    if leaf.commitment != content.commitment() {
        return Err(Broken::Commitment);
    }
    let revision_hash = qldb::revision_hash(metadata_hash, data_hash);
    Ok(OpenedContent { data_hash, data: data.cloned(), revision_hash })
}

/// Gives IH(metadata).
fn check_metadata(metadata: &Value, leaf: &RevisionLeaf, block: &BlockLeaf) -> Result<Hash, Broken> {
    if !leaf.imported {
        let read = Metadata::from_value(metadata).map_err(|_| Broken::Metadata)?;
        if read.id != leaf.document_id {
            return Err(Broken::DocumentId);
        }
        if read.version != leaf.version {
            return Err(Broken::Version);
        }
        if read.tx_id != block.transaction_id {
            return Err(Broken::TransactionId);
        }
        if read.tx_time_ms != block.time_ms {
            return Err(Broken::Time);
        }
        return Ok(read.ion_hash());
    }
    // QLDB's metadata as it came: ids of any text, a time of any precision that only the QLDB digest vouches for.
    let fields = metadata.as_struct().filter(|fields| fields.len() == 4).ok_or(Broken::Metadata)?;
    let text = |name| match fields.get(name) {
        Some(Value::String(text)) => Ok(Id::from_foreign_text(text)),
        _ => Err(Broken::Metadata),
    };
    let version = match fields.get("version") {
        Some(Value::Int(version)) => version.to_u64().ok_or(Broken::Metadata)?,
        _ => return Err(Broken::Metadata),
    };
    if !matches!(fields.get("txTime"), Some(Value::Timestamp(_))) {
        return Err(Broken::Metadata);
    }
    if text("id")? != leaf.document_id {
        return Err(Broken::DocumentId);
    }
    if version != leaf.version {
        return Err(Broken::Version);
    }
    if text("txId")? != block.transaction_id {
        return Err(Broken::TransactionId);
    }
    Ok(ion::ion_hash(metadata))
}

/// Data is a struct, and its fields are not exactly those of metadata, so that neither can pass for the other.
pub fn check_data(data: &Value) -> Result<(), Broken> {
    let Value::Struct(fields) = data.unannotated() else { return Err(Broken::Data) };
    let mut names = DataNames::default();
    fields.fields.iter().for_each(|(name, _)| names.see(name.text()));
    names.check()
}

/// The same for who goes through the names of a struct's fields one by one.
#[derive(Debug, Clone, Copy, Default)]
pub struct DataNames {
    fields: usize,
    /// A bit for each name of [`METADATA`].
    seen: u8,
}

impl DataNames {
    /// The next field's name; `None` for `$0`.
    pub fn see(&mut self, name: Option<&str>) {
        self.fields += 1;
        // More fields than metadata has: whatever they are called, it is not metadata.
        if self.fields <= METADATA.len()
            && let Some(at) = METADATA.iter().position(|known| name == Some(known))
        {
            self.seen |= 1 << at;
        }
    }

    /// All fields were seen.
    pub fn check(&self) -> Result<(), Broken> {
        let all = (1 << METADATA.len()) - 1;
        if self.fields == METADATA.len() && self.seen == all { Err(Broken::Data) } else { Ok(()) }
    }
}

const METADATA: [&str; 4] = ["id", "version", "txTime", "txId"];

fn check_opened_block(opened: &OpenedBlock, block: &BlockLeaf) -> Result<(), Broken> {
    let opening = &opened.opening;
    if opening.commitment(&opened.blind) != block.commitment {
        return Err(Broken::BlockCommitment);
    }
    if qldb::entries_hash(&opening.entries) != Some(opening.entries_hash) {
        return Err(Broken::BlockHash("entriesHash"));
    }
    if qldb::block_hash(opening.entries_hash, opening.previous_block_hash) != opening.block_hash {
        return Err(Broken::BlockHash("blockHash"));
    }
    let transaction_info = match &opened.transaction_info {
        // Native blocks may hold redacted texts, which count with the hash of their field.
        Some(value) if !block.imported => {
            Some(TransactionInfo::from_value(value).map_err(|_| Broken::BlockHash("transactionInfo"))?.ion_hash())
        }
        Some(value) => {
            let hash = qldb::chain::transaction_info_hash(value);
            Some(hash.map_err(|_| Broken::BlockHash("transactionInfo"))?)
        }
        None => None,
    };
    let hashes = [
        ("transactionInfo", transaction_info, opening.transaction_info_index),
        ("originInfo", opened.origin_info.as_ref().map(ion::ion_hash), opening.origin_info_index),
        ("redactionInfo", opened.redaction_info.as_ref().map(ion::ion_hash), opening.redaction_info_index),
    ];
    for (name, hash, index) in hashes {
        let Some(hash) = hash else { continue };
        let entry = index.and_then(|index| opening.entries.get(index as usize));
        if entry != Some(&hash) {
            return Err(Broken::BlockHash(name));
        }
    }
    Ok(())
}

/// With every revision opened, the root over their hashes must be the one in the block's entries.
fn check_revisions_root(receipt: &Receipt, opened: &OpenedBlock, hashes: &[Hash]) -> Result<(), Refusal> {
    if hashes.len() != receipt.revisions.len() || receipt.block_leaf.imported {
        return Ok(());
    }
    let opening = &opened.opening;
    let entry = opening.revisions_index.and_then(|index| opening.entries.get(index as usize).copied());
    if entry == qldb::merkle(hashes) {
        return Ok(());
    }
    Err(broken(receipt.block_position, Broken::BlockHash("root of revision hashes")))
}

/// Block, table, document, version.
type NamedRevision = (u64, Id, Id, u64);

/// The records of redactions that a receipt shows. Each is checked once, however many revisions could be what it names.
struct Records<'r> {
    receipt: &'r Receipt,
    checkpoint: &'r Checkpoint,
    /// By the revision that they name. `None` until one is looked for.
    by_revision: Option<HashMap<NamedRevision, (RedactionRecord, &'r RedactionPart)>>,
    /// Records that no revision was in need of so far.
    unused: usize,
}

impl<'r> Records<'r> {
    fn of(receipt: &'r Receipt, checkpoint: &'r Checkpoint) -> Self {
        Records { receipt, checkpoint, by_revision: None, unused: receipt.redactions.len() }
    }

    /// The record of a revision, which is used up.
    fn take(&mut self, leaf: &RevisionLeaf) -> Result<Option<(RedactionRecord, &'r RedactionPart)>, Refusal> {
        let by_revision = match &mut self.by_revision {
            Some(checked) => checked,
            None => {
                let mut checked = HashMap::new();
                for part in &self.receipt.redactions {
                    let record = check_record(part, self.checkpoint)?;
                    let key = (record.block, record.table_id, record.document_id, record.version);
                    checked.entry(key).or_insert((record, part));
                }
                self.by_revision.insert(checked)
            }
        };
        let found = by_revision.remove(&(leaf.block, leaf.table_id, leaf.document_id, leaf.version));
        self.unused -= usize::from(found.is_some());
        Ok(found)
    }
}

/// What the shown parts amount to; takes the redaction record that is used. `last` says that no further revision can
/// use a record, so that one left over is refused.
fn judge(
    revision: &ReceiptRevision,
    content: &OpenedContent,
    records: &mut Records<'_>,
    last: bool,
) -> Result<VerdictKind, Refusal> {
    let mut kind = match (&content.data, content.data_hash) {
        (Some(_), _) => VerdictKind::Verified,
        (None, Some(_)) => VerdictKind::Withheld,
        (None, None) if revision.leaf.deleted => VerdictKind::Deleted,
        (None, None) => VerdictKind::Withheld,
    };
    if kind == VerdictKind::Withheld
        && content.data_hash.is_some()
        && let Some((record, part)) = records.take(&revision.leaf)?
    {
        let position = part.revision.position;
        if position < revision.position {
            return Err(broken(position, Broken::RecordTooEarly));
        }
        kind = VerdictKind::Redacted { record, position, time_ms: part.block_leaf.time_ms };
    }
    if last && records.unused > 0 {
        return Err(broken(revision.position, Broken::StrayRecord));
    }
    Ok(kind)
}

fn check_record(part: &RedactionPart, checkpoint: &Checkpoint) -> Result<RedactionRecord, Refusal> {
    let (revision, block) = (&part.revision, &part.block_leaf);
    let revisions = std::slice::from_ref(revision);
    check_block(revisions, block, part.block_position)?;
    check_inclusion("the record of a redaction is", revisions, block, part.block_position, &part.proof, checkpoint)?;
    let content = check_opening(revision, block)?.ok_or(broken(revision.position, Broken::NotOpened))?;
    let not_a_record = || broken(revision.position, Broken::NotARecord);
    if revision.leaf.table_id != Id::REDACTIONS {
        return Err(not_a_record());
    }
    content.data.as_deref().and_then(RedactionRecord::from_value).ok_or_else(not_a_record)
}

fn check_expectation(leaf: &RevisionLeaf, data_hash: Option<Hash>, expectation: &Expectation) -> Result<(), Refusal> {
    let differs = |what, expected: String, found: String| {
        if expected == found { Ok(()) } else { Err(Refusal::Expectation { what, expected, found }) }
    };
    differs("table", expectation.table_id.to_string(), leaf.table_id.to_string())?;
    differs("document", expectation.document_id.to_string(), leaf.document_id.to_string())?;
    if let Some(version) = expectation.version {
        differs("version", version.to_string(), leaf.version.to_string())?;
    }
    let expected = match &expectation.content {
        None => return Ok(()),
        Some(ExpectedContent::Hash(hash)) => *hash,
        Some(ExpectedContent::Value(value)) => ion::ion_hash(value),
    };
    let found = data_hash.map_or_else(|| "no content".to_owned(), |hash| hash.to_string());
    differs("content with Ion Hash", expected.to_string(), found)
}

fn broken(position: u64, problem: Broken) -> Refusal {
    Refusal::Binding { position, problem }
}
