//! Frames: what batches are made of (docs/format.md, "Frames").
//!
//! A frame is a kind, a length, a checksum and a payload. A block is a head frame followed by one frame per revision,
//! so that one revision is read with its head, each checked; a transaction too large for one batch has its
//! revisions in staged frames written ahead, and its head, then a commit frame, names them with their hashes.

mod block;
mod part;
mod revision;

use ledgerstone_digest::Id;

pub(crate) use block::Opening;
pub use block::{BlockHead, Group, ImportedHead, StagedRef};
pub(crate) use part::HeadPart;
pub(crate) use revision::Contents;
pub use revision::{Content, Known, RevisionFrame};

use crate::wire::{Reader, WireError, put_counted, put_varint};

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

/// Bytes of the smallest revision frame: bounds how many a staged frame can claim.
pub(crate) const REVISION_BYTES_MIN: usize = 41;

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
    Ok(Frame { kind: frame_kind(kind)?, payload, length: bytes.len() - reader.left() })
}

/// The kind that a frame's first byte says.
pub(crate) fn frame_kind(byte: u8) -> Result<FrameKind, WireError> {
    Ok(match byte {
        1 => FrameKind::Genesis,
        2 => FrameKind::Dictionary,
        3 => FrameKind::Block,
        4 => FrameKind::Revision,
        5 => FrameKind::Staged,
        6 => FrameKind::Commit,
        other => return Err(WireError(format!("frames of kind {other} are unknown"))),
    })
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

#[cfg(test)]
mod tests {
    use ledgerstone_digest::Hash;
    use ledgerstone_digest::block::{OriginInfo, StatementInfo, StatementText};
    use ledgerstone_digest::qldb::{DeletionForm, ImportedBlock, ImportedRevision};

    use super::*;
    use crate::dictionary::{Dictionary, Texts};
    use crate::transaction::Listed;

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
        let listed = Some(Listed { table_name: "t".into(), statements: [].into() });
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
            Group { table_id: Id::ZERO, listed: Some(Listed { table_name: "t".into(), statements: [].into() }) };
        assert!(of.group_of(&opaque()).is_err(), "a name");
    }
}
