//! The frame of one revision (docs/format.md, "Frames"): read by itself, with its block's head beside it.

use std::sync::Arc;

use ledgerstone_digest::ion::{Hasher, Limits, Value, decode_with, encode_with_more};
use ledgerstone_digest::qldb::{DeletionForm, ImportedRevision};
use ledgerstone_digest::verifier::{Broken, DataNames};
use ledgerstone_digest::{Hash, Id};

use super::{BlockHead, Frame, FrameKind, put_frame};
use crate::dictionary::{Dictionary, Texts};
use crate::wire::{Reader, WireError, put_varint};

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

const DELETED: u8 = 1;
const REDACTED: u8 = 2;
const SUPERSEDES: u8 = 4;
const REVISION_IMPORTED: u8 = 8;
const OPAQUE: u8 = 16;
const DELETED_AS_NULL: u8 = 32;
const DELETED_AS_NOTHING: u8 = 64;

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
                .binary_with(bytes, texts, &Limits::STORED)
                .map(Some)
                .map_err(|e| WireError(format!("the document cannot be decoded: {e}"))),
            _ => Ok(None),
        }
    }

    /// IH of the document in these bytes, which must be one that a revision may hold.
    pub(crate) fn hash_checked(bytes: &[u8], texts: &Texts, hasher: &mut Hasher) -> Result<Hash, WireError> {
        let mut names = DataNames::default();
        let (hash, is_struct) = hasher
            .document_with(bytes, texts, &Limits::STORED, &mut |name| names.see(name))
            .map_err(|e| WireError(format!("the document cannot be decoded: {e}")))?;
        let checked = if is_struct { names.check() } else { Err(Broken::Data) };
        checked.map(|()| hash).map_err(|e| WireError(e.to_string()))
    }

    /// The document, if it is still there.
    pub(crate) fn data(&self, texts: &Texts) -> Result<Option<Value>, WireError> {
        match &self.content {
            Content::Data(bytes) => decode_with(bytes, texts, &Limits::STORED)
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
    /// Their values, which are not built where they are in memory already.
    Known(&'h mut Known<'h>),
}

/// The document of the revision at a position, if it is at hand, with its salt or without.
pub type Known<'k> = dyn FnMut(u64) -> Option<Arc<Value>> + 'k;

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
