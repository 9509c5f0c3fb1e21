//! Frames: what batches are made of (docs/format.md, "Frames").
//!
//! A frame is a kind, a length, a checksum and a payload. A block is a head frame followed by one frame per revision,
//! so that one revision is read with two small reads, each checked; a transaction too large for one batch has its
//! revisions in staged frames written ahead, and its head, then a commit frame, names them with their hashes.

use std::sync::Arc;

use ledgerstone_digest::block::{OriginInfo, RedactedRevision, RedactionInfo, StatementInfo, StatementText};
use ledgerstone_digest::ion::{Hasher, Limits, SymbolLookup, SymbolTable, Value, decode_with, encode_with_more};
use ledgerstone_digest::qldb::{DeletionForm, ImportedBlock, ImportedRevision};
use ledgerstone_digest::verifier::{Broken, DataNames};
use ledgerstone_digest::{Hash, Id};

use crate::dictionary::{Dictionary, Texts};
use crate::transaction::Listed;
use crate::wire::{Reader, WireError, put_counted, put_varint, unzigzag, zigzag};

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    Genesis = 1,
    Dictionary = 2,
    /// The head of a block whose revisions follow.
    Block = 3,
    Revision = 4,
    /// Revisions written ahead of their block.
    Staged = 5,
    /// The head of a block whose revisions are staged.
    Commit = 6,
}

/// A frame found in the bytes of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub kind: FrameKind,
    pub payload: &'a [u8],
    /// Bytes of the whole frame.
    pub length: usize,
}

/// The genesis of a ledger: leaf 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    pub ledger: Id,
    pub strand: Id,
    pub created_ms: i64,
    /// One Ion binary struct, hashed as these bytes.
    pub record: Vec<u8>,
}

/// A block without its revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockHead {
    pub number: u64,
    /// The position of the block's leaf.
    pub position: u64,
    pub revisions: u32,
    pub time_ms: i64,
    pub tx_id: Id,
    pub blind: [u8; 16],
    pub block_hash: Hash,
    /// H(previous block's leaf entry); `None` (zeros as stored) in block 0. Kept because deriving it would mean reading every block.
    pub previous_leaf: Option<Hash>,
    pub statements: Vec<StatementInfo>,
    pub origin: OriginInfo,
    pub redaction: Option<RedactionInfo>,
    /// What revisions have in common, by the number they name.
    pub groups: Vec<Group>,
    /// Where the revisions are, if they were written ahead.
    pub staged: Vec<StagedRef>,
    /// What it has beside if it was imported.
    pub imported: Option<Box<ImportedHead>>,
}

/// What an imported block's head has beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedHead {
    pub block: ImportedBlock,
    /// The latest time of this block and those before it: QLDB's times may go back, and look-ups by time must not.
    pub time_max_ms: i64,
}

/// The table of some revisions of a block and how transactionInfo lists them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Group {
    pub table_id: Id,
    pub listed: Option<Listed>,
}

/// A staged frame as its commit frame names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StagedRef {
    pub segment: u64,
    pub offset: u32,
    pub revisions: u32,
    /// H of the whole frame as stored.
    pub hash: Hash,
}

/// A revision as its frame holds it; the rest is in its block's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionFrame<'a> {
    pub group: u32,
    /// How many positions ahead its block's leaf stands: at least 1.
    pub to_block: u32,
    pub document_id: Id,
    pub version: u64,
    pub supersedes: Option<u64>,
    pub blind: [u8; 16],
    pub content: Content<'a>,
    /// What it has beside if it was imported.
    pub imported: Option<ImportedRevision>,
}

/// What is left of a revision's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<'a> {
    Deleted,
    /// Imported, and nothing but its QLDB hash is known.
    Opaque,
    /// What stays of data that was redacted.
    Redacted {
        /// IH(data).
        data_hash: Hash,
        /// The position of the redaction's record; 0 if it was redacted before it was imported.
        record: u64,
    },
    /// An Ion binary value whose symbols are numbers of the segment's dictionary.
    Data(&'a [u8]),
}

/// A staged frame's payload.
pub struct Staged<'a> {
    pub tx_id: Id,
    pub ordinal: u32,
    pub revisions: u32,
    /// Revision frames, one behind the other.
    pub frames: &'a [u8],
}

/// No frame head is longer: kind, length, checksum.
pub const FRAME_HEAD_BYTES_MAX: usize = 1 + 5 + 4;

const DELETED: u8 = 1;
const REDACTED: u8 = 2;
const SUPERSEDES: u8 = 4;
const REVISION_IMPORTED: u8 = 8;
const OPAQUE: u8 = 16;
const DELETED_AS_NULL: u8 = 32;
const DELETED_AS_NOTHING: u8 = 64;
const HAS_REDACTION: u8 = 1;
const HAS_TOKEN: u8 = 2;
const HAS_SIGNATURE: u8 = 4;
const BLOCK_IMPORTED: u8 = 8;
const HAS_TRANSACTION_INFO: u8 = 1;
const HAS_ORIGIN_INFO: u8 = 2;
const TEXT_HERE: u8 = 0;
const TEXT_SHARED: u8 = 1;
const TEXT_REDACTED: u8 = 2;
const NOT_LISTED: u8 = 0;
const LISTED: u8 = 1;
/// Bytes of the smallest revision frame: bounds how many a staged frame can claim.
const REVISION_BYTES_MIN: usize = 41;

/// Appends a frame.
pub(crate) fn put_frame(out: &mut Vec<u8>, kind: FrameKind, payload: &[u8]) {
    let at = out.len();
    out.push(kind as u8);
    put_varint(out, payload.len() as u64);
    let crc = checksum(&out[at..], payload);
    out.extend_from_slice(&crc.to_be_bytes());
    out.extend_from_slice(payload);
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

/// The kind and the length of the whole frame that begins here, from at most [`FRAME_HEAD_BYTES_MAX`] bytes.
pub(crate) fn frame_length(bytes: &[u8]) -> Result<usize, WireError> {
    let mut reader = Reader::new(bytes);
    reader.u8("frame kind")?;
    let payload = reader.varint32("frame length")? as usize;
    Ok(bytes.len() - reader.left() + 4 + payload)
}

/// The frame at the start of `bytes`, its checksum compared.
pub(crate) fn read_frame(bytes: &[u8]) -> Result<Frame<'_>, WireError> {
    let mut reader = Reader::new(bytes);
    let kind = reader.u8("frame kind")?;
    let length = reader.count(1, "frame length")?;
    let head = &bytes[..bytes.len() - reader.left()];
    let stored = reader.u32("frame checksum")?;
    let payload = reader.bytes(length, "frame")?;
    if checksum(head, payload) != stored {
        return Err(WireError("the frame's checksum does not match".to_owned()));
    }
    let kind = match kind {
        1 => FrameKind::Genesis,
        2 => FrameKind::Dictionary,
        3 => FrameKind::Block,
        4 => FrameKind::Revision,
        5 => FrameKind::Staged,
        6 => FrameKind::Commit,
        other => return Err(WireError(format!("frames of kind {other} are unknown"))),
    };
    Ok(Frame { kind, payload, length: bytes.len() - reader.left() })
}

impl Genesis {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48 + self.record.len());
        out.extend_from_slice(&self.ledger.0);
        out.extend_from_slice(&self.strand.0);
        out.extend_from_slice(&self.created_ms.to_be_bytes());
        put_counted(&mut out, &self.record);
        out
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Genesis, WireError> {
        let mut reader = Reader::new(payload);
        let ledger = reader.id("ledger id")?;
        let strand = reader.id("strand id")?;
        let created_ms = reader.i64("creation time")?;
        let record = reader.counted("genesis record")?.to_vec();
        reader.end()?;
        Ok(Genesis { ledger, strand, created_ms, record })
    }
}

impl BlockHead {
    /// The frame this head goes into.
    pub(crate) fn kind(&self) -> FrameKind {
        if self.staged.is_empty() { FrameKind::Block } else { FrameKind::Commit }
    }

    pub(crate) fn encode(&self, dictionary: &mut Dictionary) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        put_varint(&mut out, self.number);
        put_varint(&mut out, self.position);
        put_varint(&mut out, u64::from(self.revisions));
        out.extend_from_slice(&self.time_ms.to_be_bytes());
        out.extend_from_slice(&self.tx_id.0);
        out.extend_from_slice(&self.blind);
        out.extend_from_slice(&self.block_hash.0);
        out.extend_from_slice(&self.previous_leaf.unwrap_or(Hash::ZERO).0);
        put_varint(&mut out, self.statements.len() as u64);
        for statement in &self.statements {
            put_statement(&mut out, statement, self.time_ms, dictionary);
        }
        let flags = if self.redaction.is_some() { HAS_REDACTION } else { 0 }
            | if self.imported.is_some() { BLOCK_IMPORTED } else { 0 };
        put_origin(&mut out, &self.origin, flags, dictionary);
        if let Some(redaction) = &self.redaction {
            put_redaction(&mut out, redaction);
        }
        if let Some(imported) = &self.imported {
            put_imported(&mut out, imported);
        }
        put_varint(&mut out, self.groups.len() as u64);
        for group in &self.groups {
            put_group(&mut out, group, dictionary);
        }
        if !self.staged.is_empty() {
            put_varint(&mut out, self.staged.len() as u64);
            for staged in &self.staged {
                put_varint(&mut out, staged.segment);
                put_varint(&mut out, u64::from(staged.offset));
                put_varint(&mut out, u64::from(staged.revisions));
                out.extend_from_slice(&staged.hash.0);
            }
        }
        out
    }

    pub(crate) fn decode(frame: &Frame<'_>, texts: &Texts) -> Result<BlockHead, WireError> {
        let mut reader = Reader::new(frame.payload);
        let number = reader.varint("block number")?;
        let position = reader.varint("block position")?;
        let revisions = reader.varint32("number of revisions")?;
        if u64::from(revisions) > position {
            return Err(WireError("the block begins before position 0".to_owned()));
        }
        let time_ms = reader.i64("block time")?;
        let tx_id = reader.id("transaction id")?;
        let blind = reader.array("blind")?;
        let block_hash = reader.hash("block hash")?;
        let previous_leaf = Some(reader.hash("previous block leaf")?).filter(|hash| number != 0 || *hash != Hash::ZERO);
        if number == 0 && previous_leaf.is_some() {
            return Err(WireError("block 0 names a block before it".to_owned()));
        }
        let count = reader.count(34, "number of statements")?;
        let statements: Vec<StatementInfo> =
            (0..count).map(|_| read_statement(&mut reader, time_ms, texts)).collect::<Result<_, _>>()?;
        let (origin, flags) = read_origin(&mut reader, texts)?;
        let redaction = if flags & HAS_REDACTION != 0 { Some(read_redaction(&mut reader)?) } else { None };
        let imported = if flags & BLOCK_IMPORTED != 0 { Some(Box::new(read_imported(&mut reader)?)) } else { None };
        let count = reader.count(17, "number of groups")?;
        let groups: Vec<Group> = (0..count).map(|_| read_group(&mut reader, texts)).collect::<Result<_, _>>()?;
        let mut staged = Vec::new();
        if frame.kind == FrameKind::Commit {
            let count = reader.count(35, "number of staged frames")?;
            if count == 0 {
                return Err(WireError("a commit frame names no staged frame".to_owned()));
            }
            for _ in 0..count {
                staged.push(StagedRef {
                    segment: reader.varint("segment")?,
                    offset: reader.varint32("offset")?,
                    revisions: reader.varint32("staged revisions")?,
                    hash: reader.hash("staged hash")?,
                });
            }
            if staged.iter().map(|s| u64::from(s.revisions)).sum::<u64>() != u64::from(revisions) {
                return Err(WireError("the staged frames hold another number of revisions".to_owned()));
            }
        }
        reader.end()?;
        if let Some(imported) = &imported {
            must_be_bound(&imported.block, &statements, &origin, &groups)?;
        }
        Ok(BlockHead {
            number,
            position,
            revisions,
            time_ms,
            tx_id,
            blind,
            block_hash,
            previous_leaf,
            statements,
            origin,
            redaction,
            groups,
            staged,
            imported,
        })
    }

    /// What a revision has in common with others of the block. One of which only the hash is known is of no table.
    pub(crate) fn group_of(&self, revision: &RevisionFrame<'_>) -> Result<&Group, WireError> {
        let group = self.groups.get(revision.group as usize);
        let group = group.ok_or_else(|| WireError(format!("block {} has no group {}", self.number, revision.group)))?;
        let is_opaque = revision.content == Content::Opaque;
        if is_opaque != (group.table_id == Id::ZERO) || is_opaque && group.listed.is_some() {
            return Err(WireError("only a revision of which nothing but the hash is known is of no table".to_owned()));
        }
        Ok(group)
    }

    /// The time that look-ups by time go by: it never falls from block to block.
    pub fn time_max_ms(&self) -> i64 {
        self.imported.as_ref().map_or(self.time_ms, |imported| imported.time_max_ms)
    }

    /// The position of the first revision, or of the block's leaf if there is none.
    pub fn first_position(&self) -> u64 {
        self.position - u64::from(self.revisions)
    }
}

impl<'a> RevisionFrame<'a> {
    /// Appends a whole revision frame. `data` is encoded with the dictionary if the content is not given.
    pub(crate) fn put(
        &self,
        data: Option<&Value>,
        more: Option<(&str, &[u8])>,
        dictionary: &mut Dictionary,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        scratch.clear();
        let mut flags = match &self.content {
            Content::Deleted => DELETED,
            Content::Opaque => OPAQUE,
            Content::Redacted { .. } => REDACTED,
            Content::Data(_) => 0,
        };
        if self.supersedes.is_some() {
            flags |= SUPERSEDES;
        }
        if let Some(imported) = &self.imported {
            flags |= REVISION_IMPORTED;
            flags |= match imported.deletion {
                DeletionForm::Metadata => 0,
                DeletionForm::Null => DELETED_AS_NULL,
                DeletionForm::Nothing => DELETED_AS_NOTHING,
            };
        }
        scratch.push(flags);
        put_varint(scratch, u64::from(self.group));
        put_varint(scratch, u64::from(self.to_block));
        scratch.extend_from_slice(&self.document_id.0);
        put_varint(scratch, self.version);
        if let Some(position) = self.supersedes {
            put_varint(scratch, position);
        }
        scratch.extend_from_slice(&self.blind);
        if let Some(imported) = &self.imported {
            scratch.extend_from_slice(&imported.tx_time_ms.to_be_bytes());
            scratch.extend_from_slice(imported.opaque.as_ref().map_or(&[][..], |hash| &hash.0));
        }
        match (&self.content, data) {
            (Content::Deleted | Content::Opaque, _) => {}
            (Content::Redacted { data_hash, record }, _) => {
                scratch.extend_from_slice(&data_hash.0);
                put_varint(scratch, *record);
            }
            (Content::Data(_), Some(value)) => encode_with_more(value, more, dictionary, scratch),
            (Content::Data(bytes), None) => scratch.extend_from_slice(bytes),
        }
        put_frame(out, FrameKind::Revision, scratch);
    }

    pub(crate) fn decode(payload: &'a [u8]) -> Result<RevisionFrame<'a>, WireError> {
        let mut reader = Reader::new(payload);
        let flags = reader.u8("revision flags")?;
        if !revision_flags_are_known(flags) {
            return Err(WireError(format!("revision flags {flags:#04x} are unknown")));
        }
        let group = reader.varint32("group")?;
        let to_block = reader.varint32("distance to the block")?;
        if to_block == 0 {
            return Err(WireError("a revision stands at its block's position".to_owned()));
        }
        let document_id = reader.id("document id")?;
        let version = reader.varint("version")?;
        let supersedes = if flags & SUPERSEDES != 0 { Some(reader.varint("superseded position")?) } else { None };
        let blind = reader.array("blind")?;
        let imported =
            if flags & REVISION_IMPORTED != 0 { Some(read_imported_revision(&mut reader, flags)?) } else { None };
        let content = if flags & DELETED != 0 {
            Content::Deleted
        } else if flags & OPAQUE != 0 {
            Content::Opaque
        } else if flags & REDACTED != 0 {
            Content::Redacted { data_hash: reader.hash("data hash")?, record: reader.varint("record position")? }
        } else {
            let n = reader.left();
            Content::Data(reader.bytes(n, "data")?)
        };
        reader.end()?;
        let is_bare = document_id == Id::ZERO && version == 0 && imported.is_some_and(|i| i.tx_time_ms == 0);
        if content == Content::Opaque && !is_bare {
            return Err(WireError("a revision of which only the hash is known names a document".to_owned()));
        }
        Ok(RevisionFrame { group, to_block, document_id, version, supersedes, blind, content, imported })
    }

    /// The revision that stands at a position, from its frame.
    pub(crate) fn of_block(frame: &Frame<'a>, head: &BlockHead, position: u64) -> Result<RevisionFrame<'a>, WireError> {
        if frame.kind != FrameKind::Revision {
            return Err(WireError("a revision is missing".to_owned()));
        }
        let revision = RevisionFrame::decode(frame.payload)?;
        if position + u64::from(revision.to_block) != head.position {
            return Err(WireError("the revision belongs to another place".to_owned()));
        }
        if revision.imported.is_some() != head.imported.is_some() {
            return Err(WireError("only one of the revision and its block was imported".to_owned()));
        }
        Ok(revision)
    }

    /// IH of the document, if it is still there.
    pub(crate) fn hash_data(&self, texts: &Texts, hasher: &mut Hasher) -> Result<Option<Hash>, WireError> {
        match &self.content {
            Content::Data(bytes) => hasher
                .binary_with(bytes, texts, &STORED_LIMITS)
                .map(Some)
                .map_err(|e| WireError(format!("the document cannot be decoded: {e}"))),
            _ => Ok(None),
        }
    }

    /// IH of the document in these bytes, which must be one that a revision may hold.
    pub(crate) fn hash_checked(bytes: &[u8], texts: &Texts, hasher: &mut Hasher) -> Result<Hash, WireError> {
        let mut names = DataNames::default();
        let (hash, is_struct) = hasher
            .document_with(bytes, texts, &STORED_LIMITS, &mut |name| names.see(name))
            .map_err(|e| WireError(format!("the document cannot be decoded: {e}")))?;
        let checked = if is_struct { names.check() } else { Err(Broken::Data) };
        checked.map(|()| hash).map_err(|e| WireError(e.to_string()))
    }

    /// The document, if it is still there.
    pub(crate) fn data(&self, texts: &Texts) -> Result<Option<Value>, WireError> {
        match &self.content {
            Content::Data(bytes) => decode_with(bytes, texts, &STORED_LIMITS)
                .map(Some)
                .map_err(|e| WireError(format!("the document cannot be decoded: {e}"))),
            _ => Ok(None),
        }
    }
}

/// What is wanted of documents that are read.
pub(crate) enum Contents<'h> {
    /// Their values.
    Values,
    /// Their hashes alone, computed from the stored bytes without building values, which takes a third of the time.
    Hashes(&'h mut Hasher),
}

/// What was accepted once is read again, whatever the limits are by now.
pub(crate) const STORED_LIMITS: Limits = Limits { bytes_max: 64 << 20, depth_max: 256, values_max: 64 << 20 };

impl<'a> Staged<'a> {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::with_capacity(32 + self.frames.len());
        payload.extend_from_slice(&self.tx_id.0);
        put_varint(&mut payload, u64::from(self.ordinal));
        put_varint(&mut payload, u64::from(self.revisions));
        payload.extend_from_slice(self.frames);
        put_frame(out, FrameKind::Staged, &payload);
    }

    /// A staged frame from all its bytes; a block must have it in this place. Its hash is left to the caller.
    pub(crate) fn of_block(bytes: &'a [u8], head: &BlockHead, ordinal: usize) -> Result<Staged<'a>, WireError> {
        let frame = read_frame(bytes)?;
        let named = head.staged.get(ordinal).filter(|_| frame.kind == FrameKind::Staged);
        let foreign = || WireError(format!("staged frame {ordinal} of block {} belongs elsewhere", head.number));
        let staged = Staged::decode(frame.payload)?;
        match named {
            Some(reference)
                if staged.tx_id == head.tx_id
                    && staged.ordinal as usize == ordinal
                    && staged.revisions == reference.revisions =>
            {
                Ok(staged)
            }
            _ => Err(foreign()),
        }
    }

    pub(crate) fn decode(payload: &'a [u8]) -> Result<Staged<'a>, WireError> {
        let mut reader = Reader::new(payload);
        let tx_id = reader.id("transaction id")?;
        let ordinal = reader.varint32("ordinal")?;
        let revisions = reader.count(REVISION_BYTES_MIN, "number of revisions")? as u32;
        let n = reader.left();
        Ok(Staged { tx_id, ordinal, revisions, frames: reader.bytes(n, "revisions")? })
    }
}

fn put_statement(out: &mut Vec<u8>, statement: &StatementInfo, block_ms: i64, dictionary: &mut Dictionary) {
    match &statement.text {
        StatementText::Text(text) => match dictionary.share_text(text) {
            Some(number) => {
                out.push(TEXT_SHARED);
                put_varint(out, u64::from(number));
            }
            None => {
                out.push(TEXT_HERE);
                put_counted(out, text.as_bytes());
            }
        },
        StatementText::Redacted(hash) => {
            out.push(TEXT_REDACTED);
            out.extend_from_slice(&hash.0);
        }
    }
    put_varint(out, zigzag(statement.start_time_ms.wrapping_sub(block_ms)));
    out.extend_from_slice(&statement.digest.0);
}

fn read_statement(reader: &mut Reader<'_>, block_ms: i64, texts: &Texts) -> Result<StatementInfo, WireError> {
    let text = match reader.u8("statement form")? {
        TEXT_HERE => StatementText::Text(Arc::from(reader.text("statement")?)),
        TEXT_SHARED => StatementText::Text(shared(reader, texts, "statement")?),
        TEXT_REDACTED => StatementText::Redacted(reader.hash("statement hash")?),
        other => return Err(WireError(format!("statements of form {other} are unknown"))),
    };
    let start_time_ms = block_ms.wrapping_add(unzigzag(reader.varint("start time")?));
    let digest = reader.hash("statement digest")?;
    Ok(StatementInfo { text, start_time_ms, digest })
}

fn put_origin(out: &mut Vec<u8>, origin: &OriginInfo, mut flags: u8, dictionary: &mut Dictionary) {
    for (bit, set) in [(HAS_TOKEN, origin.client_token.is_some()), (HAS_SIGNATURE, origin.signature.is_some())] {
        if set {
            flags |= bit;
        }
    }
    out.push(flags);
    put_varint(out, u64::from(dictionary.intern(&origin.user)));
    put_varint(out, u64::from(dictionary.intern(&origin.door)));
    if let Some(token) = &origin.client_token {
        put_counted(out, token.as_bytes());
    }
    if let Some(signature) = &origin.signature {
        put_counted(out, signature);
    }
}

/// originInfo, and the flags of the block.
fn read_origin(reader: &mut Reader<'_>, texts: &Texts) -> Result<(OriginInfo, u8), WireError> {
    let flags = reader.u8("block flags")?;
    if flags & !(HAS_REDACTION | HAS_TOKEN | HAS_SIGNATURE | BLOCK_IMPORTED) != 0 {
        return Err(WireError(format!("block flags {flags:#04x} are unknown")));
    }
    let user = shared(reader, texts, "user")?;
    let door = shared(reader, texts, "door")?;
    let client_token = if flags & HAS_TOKEN != 0 { Some(Arc::from(reader.text("client token")?)) } else { None };
    let signature = if flags & HAS_SIGNATURE != 0 { Some(reader.counted("signature")?.to_vec()) } else { None };
    Ok((OriginInfo { user, door, client_token, signature }, flags))
}

fn put_imported(out: &mut Vec<u8>, imported: &ImportedHead) {
    let ImportedHead { block, time_max_ms } = imported;
    out.push(
        if block.has_transaction_info { HAS_TRANSACTION_INFO } else { 0 }
            | if block.has_origin_info { HAS_ORIGIN_INFO } else { 0 },
    );
    out.extend_from_slice(&time_max_ms.to_be_bytes());
    put_varint(out, block.entries.len() as u64);
    block.entries.iter().for_each(|entry| out.extend_from_slice(&entry.0));
}

fn read_imported(reader: &mut Reader<'_>) -> Result<ImportedHead, WireError> {
    let parts = reader.u8("parts of the block")?;
    if parts & !(HAS_TRANSACTION_INFO | HAS_ORIGIN_INFO) != 0 {
        return Err(WireError(format!("parts {parts:#04x} of an imported block are unknown")));
    }
    let time_max_ms = reader.i64("latest time")?;
    let count = reader.count(32, "number of entries")?;
    if count == 0 {
        return Err(WireError("an imported block has no entry".to_owned()));
    }
    let entries = (0..count).map(|_| reader.hash("entry")).collect::<Result<_, _>>()?;
    let has_transaction_info = parts & HAS_TRANSACTION_INFO != 0;
    let block = ImportedBlock { entries, has_transaction_info, has_origin_info: parts & HAS_ORIGIN_INFO != 0 };
    Ok(ImportedHead { block, time_max_ms })
}

/// No leaf commits to statements and to an origin that the block does not have, so nothing may be said of them.
fn must_be_bound(
    block: &ImportedBlock,
    statements: &[StatementInfo],
    origin: &OriginInfo,
    groups: &[Group],
) -> Result<(), WireError> {
    let says = !statements.is_empty() || groups.iter().any(|group| group.listed.is_some());
    if says && !block.has_transaction_info {
        return Err(WireError("statements stand in an imported block that has no transactionInfo".to_owned()));
    }
    if *origin != OriginInfo::default() && !block.has_origin_info {
        return Err(WireError("an origin stands in an imported block that has no originInfo".to_owned()));
    }
    Ok(())
}

/// At most one of deleted, redacted and opaque; what only imported revisions have, only with them.
fn revision_flags_are_known(flags: u8) -> bool {
    let forms = DELETED_AS_NULL | DELETED_AS_NOTHING;
    let known = DELETED | REDACTED | SUPERSEDES | REVISION_IMPORTED | OPAQUE | forms;
    let of_imported = flags & (OPAQUE | forms) == 0 || flags & REVISION_IMPORTED != 0;
    let of_deleted = match flags & forms {
        0 => true,
        DELETED_AS_NULL | DELETED_AS_NOTHING => flags & DELETED != 0,
        _ => false,
    };
    let follows = flags & OPAQUE == 0 || flags & SUPERSEDES == 0;
    let one = (flags & (DELETED | REDACTED | OPAQUE)).count_ones() <= 1;
    flags & !known == 0 && of_imported && of_deleted && follows && one
}

fn read_imported_revision(reader: &mut Reader<'_>, flags: u8) -> Result<ImportedRevision, WireError> {
    let tx_time_ms = reader.i64("transaction time")?;
    let opaque = if flags & OPAQUE != 0 { Some(reader.hash("revision hash")?) } else { None };
    let deletion = match flags & (DELETED_AS_NULL | DELETED_AS_NOTHING) {
        DELETED_AS_NULL => DeletionForm::Null,
        DELETED_AS_NOTHING => DeletionForm::Nothing,
        _ => DeletionForm::Metadata,
    };
    Ok(ImportedRevision { tx_time_ms, opaque, deletion })
}

fn put_redaction(out: &mut Vec<u8>, redaction: &RedactionInfo) {
    put_varint(out, redaction.revisions.len() as u64);
    for revision in &redaction.revisions {
        out.extend_from_slice(&revision.strand.0);
        put_varint(out, revision.sequence_no);
        out.extend_from_slice(&revision.table_id.0);
        out.extend_from_slice(&revision.document_id.0);
        put_varint(out, revision.version);
    }
}

fn read_redaction(reader: &mut Reader<'_>) -> Result<RedactionInfo, WireError> {
    let count = reader.count(50, "number of redacted revisions")?;
    let mut revisions = Vec::with_capacity(count);
    for _ in 0..count {
        revisions.push(RedactedRevision {
            strand: reader.id("strand")?,
            sequence_no: reader.varint("block number")?,
            table_id: reader.id("table id")?,
            document_id: reader.id("document id")?,
            version: reader.varint("version")?,
        });
    }
    Ok(RedactionInfo { revisions })
}

fn put_group(out: &mut Vec<u8>, group: &Group, dictionary: &mut Dictionary) {
    out.extend_from_slice(&group.table_id.0);
    match &group.listed {
        None => out.push(NOT_LISTED),
        Some(listed) => {
            out.push(LISTED);
            put_varint(out, u64::from(dictionary.intern(&listed.table_name)));
            put_varint(out, listed.statements.len() as u64);
            for index in &listed.statements {
                put_varint(out, u64::from(*index));
            }
        }
    }
}

fn read_group(reader: &mut Reader<'_>, texts: &Texts) -> Result<Group, WireError> {
    let table_id = reader.id("table id")?;
    let listed = match reader.u8("group form")? {
        NOT_LISTED => None,
        LISTED => {
            let table_name = shared(reader, texts, "table name")?;
            let count = reader.count(1, "number of statement indexes")?;
            let statements = (0..count).map(|_| reader.varint32("statement index")).collect::<Result<_, _>>()?;
            Some(Listed { table_name, statements })
        }
        other => return Err(WireError(format!("groups of form {other} are unknown"))),
    };
    Ok(Group { table_id, listed })
}

fn shared(reader: &mut Reader<'_>, texts: &Texts, what: &str) -> Result<Arc<str>, WireError> {
    let number = reader.varint32(what)?;
    texts.text(number).cloned().ok_or_else(|| WireError(format!("{what}: the dictionary has no entry {number}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(block: ImportedBlock) -> BlockHead {
        BlockHead {
            number: 3,
            position: 9,
            revisions: 1,
            time_ms: 5,
            tx_id: Id([1; 16]),
            blind: [2; 16],
            block_hash: Hash([3; 32]),
            previous_leaf: Some(Hash([4; 32])),
            statements: Vec::new(),
            origin: OriginInfo::default(),
            redaction: None,
            groups: vec![Group { table_id: Id::ZERO, listed: None }],
            staged: Vec::new(),
            imported: Some(Box::new(ImportedHead { block, time_max_ms: 5 })),
        }
    }

    fn read(head: &BlockHead) -> Result<BlockHead, WireError> {
        let (mut dictionary, mut texts) = (Dictionary::default(), Texts::default());
        let payload = head.encode(&mut dictionary);
        texts.extend(dictionary.write_frame(&mut Vec::new()));
        BlockHead::decode(&Frame { kind: FrameKind::Block, payload: &payload, length: 0 }, &texts)
    }

    fn opaque() -> RevisionFrame<'static> {
        let opaque = Some(Hash([5; 32]));
        RevisionFrame {
            group: 0,
            to_block: 1,
            document_id: Id::ZERO,
            version: 0,
            supersedes: None,
            blind: [6; 16],
            content: Content::Opaque,
            imported: Some(ImportedRevision { tx_time_ms: 0, opaque, deletion: DeletionForm::default() }),
        }
    }

    fn reread(revision: &RevisionFrame<'_>) -> Result<(), WireError> {
        let mut out = Vec::new();
        revision.put(None, None, &mut Dictionary::default(), &mut Vec::new(), &mut out);
        RevisionFrame::decode(read_frame(&out)?.payload).map(drop)
    }

    #[test]
    fn what_no_leaf_of_an_imported_block_commits_to_is_not_there() {
        let bare = ImportedBlock { entries: vec![Hash::ZERO], has_transaction_info: false, has_origin_info: false };
        let sound = head(bare.clone());
        assert_eq!(read(&sound).unwrap(), sound);
        let text = StatementText::Text("DELETE FROM t".into());
        let statement = StatementInfo { text, start_time_ms: 5, digest: Hash::ZERO };
        let listed = Some(Listed { table_name: "t".into(), statements: Vec::new() });
        let said = [
            BlockHead { statements: vec![statement], ..sound.clone() },
            BlockHead { groups: vec![Group { table_id: Id([9; 16]), listed }], ..sound.clone() },
            BlockHead { origin: OriginInfo { user: "eve".into(), ..OriginInfo::default() }, ..sound.clone() },
        ];
        for mut head in said {
            assert!(read(&head).is_err(), "{head:?}");
            let block = ImportedBlock { has_transaction_info: true, has_origin_info: true, ..bare.clone() };
            head.imported = Some(Box::new(ImportedHead { block, time_max_ms: 5 }));
            assert_eq!(read(&head).unwrap(), head);
        }
    }

    #[test]
    fn a_revision_of_which_only_the_hash_is_known_names_nothing_else() {
        reread(&opaque()).unwrap();
        let timed = opaque().imported.map(|imported| ImportedRevision { tx_time_ms: 1, ..imported });
        for wrong in [
            RevisionFrame { document_id: Id([7; 16]), ..opaque() },
            RevisionFrame { version: 1, ..opaque() },
            RevisionFrame { imported: timed, ..opaque() },
        ] {
            assert!(reread(&wrong).is_err(), "{wrong:?}");
        }
        let bare = ImportedBlock { entries: vec![Hash::ZERO], has_transaction_info: true, has_origin_info: false };
        let mut of = head(bare);
        assert!(of.group_of(&opaque()).is_ok());
        assert!(of.group_of(&RevisionFrame { content: Content::Deleted, ..opaque() }).is_err());
        of.groups[0].table_id = Id([7; 16]);
        assert!(of.group_of(&opaque()).is_err(), "a table");
        of.groups[0] =
            Group { table_id: Id::ZERO, listed: Some(Listed { table_name: "t".into(), statements: vec![] }) };
        assert!(of.group_of(&opaque()).is_err(), "a name");
    }
}
