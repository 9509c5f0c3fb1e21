//! The head of a block: everything of it but its revisions (docs/format.md, "Frames").

use std::sync::Arc;

use ledgerstone_digest::block::{OriginInfo, RedactedRevision, RedactionInfo, StatementInfo, StatementText};
use ledgerstone_digest::ion::{SymbolLookup, SymbolTable};
use ledgerstone_digest::qldb::ImportedBlock;
use ledgerstone_digest::{Hash, Id};

use super::{Content, Frame, FrameKind, RevisionFrame};
use crate::dictionary::{Dictionary, Texts};
use crate::transaction::Listed;
use crate::wire::{Reader, WireError, put_counted, put_varint, unzigzag, zigzag};

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

/// No statement and no group is shorter.
pub(super) const STATEMENT_BYTES_MIN: usize = 34;
pub(super) const GROUP_BYTES_MIN: usize = 17;
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
        let Opening { number, position, revisions, time_ms, tx_id } = read_opening(&mut reader)?;
        let blind = reader.array("blind")?;
        let block_hash = reader.hash("block hash")?;
        let previous_leaf = Some(reader.hash("previous block leaf")?).filter(|hash| number != 0 || *hash != Hash::ZERO);
        if number == 0 && previous_leaf.is_some() {
            return Err(WireError("block 0 names a block before it".to_owned()));
        }
        let count = reader.count(STATEMENT_BYTES_MIN, "number of statements")?;
        let statements: Vec<StatementInfo> =
            (0..count).map(|_| read_statement(&mut reader, time_ms, texts)).collect::<Result<_, _>>()?;
        let (origin, flags) = read_origin(&mut reader, texts)?;
        let redaction = if flags & HAS_REDACTION != 0 { Some(read_redaction(&mut reader)?) } else { None };
        let imported = if flags & BLOCK_IMPORTED != 0 { Some(Box::new(read_imported(&mut reader)?)) } else { None };
        let count = reader.count(GROUP_BYTES_MIN, "number of groups")?;
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
        group.must_fit(revision)?;
        Ok(group)
    }

    /// The time that look-ups by time go by: it never falls from block to block.
    pub fn time_max_ms(&self) -> i64 {
        self.imported.as_ref().map_or(self.time_ms, |imported| imported.time_max_ms)
    }

    /// The position of the first revision, or of the block's leaf if there is none.
    pub fn first_position(&self) -> u64 {
        self.opening().first_position()
    }

    pub(crate) fn opening(&self) -> Opening {
        let BlockHead { number, position, revisions, time_ms, tx_id, .. } = *self;
        Opening { number, position, revisions, time_ms, tx_id }
    }
}

impl Group {
    /// A revision of which only the hash is known is of no table.
    pub(super) fn must_fit(&self, revision: &RevisionFrame<'_>) -> Result<(), WireError> {
        let is_opaque = revision.content == Content::Opaque;
        if is_opaque != (self.table_id == Id::ZERO) || is_opaque && self.listed.is_some() {
            return Err(WireError("only a revision of which nothing but the hash is known is of no table".to_owned()));
        }
        Ok(())
    }
}

/// What a head begins with, and all that a revision has from its block beside its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opening {
    pub number: u64,
    /// The position of the block's leaf.
    pub position: u64,
    pub revisions: u32,
    pub time_ms: i64,
    pub tx_id: Id,
}

impl Opening {
    /// The position of the first revision, or of the block's leaf if there is none.
    pub fn first_position(&self) -> u64 {
        self.position - u64::from(self.revisions)
    }
}

pub(super) fn read_opening(reader: &mut Reader<'_>) -> Result<Opening, WireError> {
    let number = reader.varint("block number")?;
    let position = reader.varint("block position")?;
    let revisions = reader.varint32("number of revisions")?;
    if u64::from(revisions) > position {
        return Err(WireError("the block begins before position 0".to_owned()));
    }
    Ok(Opening { number, position, revisions, time_ms: reader.i64("block time")?, tx_id: reader.id("transaction id")? })
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

/// Goes past what [`read_statement`] reads.
pub(super) fn skip_statement(reader: &mut Reader<'_>) -> Result<(), WireError> {
    match reader.u8("statement form")? {
        TEXT_HERE => drop(reader.counted("statement")?),
        TEXT_SHARED => drop(reader.varint32("statement")?),
        TEXT_REDACTED => drop(reader.bytes(32, "statement hash")?),
        other => return Err(WireError(format!("statements of form {other} are unknown"))),
    }
    reader.varint("start time")?;
    reader.bytes(32, "statement digest").map(drop)
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
    let flags = read_flags(reader)?;
    let user = shared(reader, texts, "user")?;
    let door = shared(reader, texts, "door")?;
    let client_token = if flags & HAS_TOKEN != 0 { Some(Arc::from(reader.text("client token")?)) } else { None };
    let signature = if flags & HAS_SIGNATURE != 0 { Some(reader.counted("signature")?.to_vec()) } else { None };
    Ok((OriginInfo { user, door, client_token, signature }, flags))
}

fn read_flags(reader: &mut Reader<'_>) -> Result<u8, WireError> {
    let flags = reader.u8("block flags")?;
    if flags & !(HAS_REDACTION | HAS_TOKEN | HAS_SIGNATURE | BLOCK_IMPORTED) != 0 {
        return Err(WireError(format!("block flags {flags:#04x} are unknown")));
    }
    Ok(flags)
}

/// Goes past what stands between the statements and the groups; false: the block was imported, and it has not.
pub(super) fn skip_to_groups(reader: &mut Reader<'_>) -> Result<bool, WireError> {
    let flags = read_flags(reader)?;
    reader.varint32("user")?;
    reader.varint32("door")?;
    if flags & HAS_TOKEN != 0 {
        reader.counted("client token")?;
    }
    if flags & HAS_SIGNATURE != 0 {
        reader.counted("signature")?;
    }
    if flags & HAS_REDACTION != 0 {
        read_redaction(reader)?;
    }
    Ok(flags & BLOCK_IMPORTED == 0)
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
            for index in listed.statements.iter() {
                put_varint(out, u64::from(*index));
            }
        }
    }
}

pub(super) fn read_group(reader: &mut Reader<'_>, texts: &Texts) -> Result<Group, WireError> {
    let table_id = reader.id("table id")?;
    let listed = match reader.u8("group form")? {
        NOT_LISTED => None,
        LISTED => {
            let table_name = shared(reader, texts, "table name")?;
            let count = reader.count(1, "number of statement indexes")?;
            let statements = (0..count).map(|_| reader.varint32("statement index")).collect::<Result<Vec<_>, _>>()?;
            Some(Listed { table_name, statements: statements.into() })
        }
        other => return Err(WireError(format!("groups of form {other} are unknown"))),
    };
    Ok(Group { table_id, listed })
}

/// Goes past what [`read_group`] reads.
pub(super) fn skip_group(reader: &mut Reader<'_>) -> Result<(), WireError> {
    reader.bytes(16, "table id")?;
    match reader.u8("group form")? {
        NOT_LISTED => {}
        LISTED => {
            reader.varint32("table name")?;
            for _ in 0..reader.count(1, "number of statement indexes")? {
                reader.varint32("statement index")?;
            }
        }
        other => return Err(WireError(format!("groups of form {other} are unknown"))),
    }
    Ok(())
}

fn shared(reader: &mut Reader<'_>, texts: &Texts, what: &str) -> Result<Arc<str>, WireError> {
    let number = reader.varint32(what)?;
    let text = texts.text(number).cloned().map(Arc::from);
    text.ok_or_else(|| WireError(format!("{what}: the dictionary has no entry {number}")))
}
