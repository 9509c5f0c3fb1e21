//! Doors for fuzzing to what this crate reads from disk and keeps to itself: bytes in, nothing out, assertions inside.
//!
//! Not part of the API: a feature that only the tests turn on, since making the parsers public would promise them.

use std::path::Path;

use ledgerstone_digest::Hash;
use ledgerstone_digest::Id;
use ledgerstone_digest::ion::{Hasher, ion_hash};

use crate::batch::{BATCH_BYTES_MAX, begin_batch, finish_batch};
use crate::dictionary::Texts;
use crate::env::{MemoryStorage, OpenMode, Storage, write_all_at};
use crate::frame::{BlockHead, Frame, FrameKind, Genesis, RevisionFrame, Staged, put_frame, read_frame};
use crate::scan::SegmentFile;
use crate::segment::{Chain, JOURNAL_DIR, PAGE_BYTES, SegmentHeader, segment_path};
use crate::slots;

const KINDS: [FrameKind; 6] = [
    FrameKind::Genesis,
    FrameKind::Dictionary,
    FrameKind::Block,
    FrameKind::Revision,
    FrameKind::Staged,
    FrameKind::Commit,
];

/// The body of a batch: frames behind each other. Their checksums are made right first, or nearly every change would
/// end at them.
pub fn frames(bytes: &[u8]) {
    let bytes = with_checksums(bytes);
    let (mut texts, mut at) = (Texts::default(), 0);
    while let Ok(frame) = read_frame(&bytes[at..]) {
        assert!(frame.length > 0 && at + frame.length <= bytes.len(), "a frame ends inside its bytes");
        one_frame(&frame, &mut texts);
        at += frame.length;
    }
}

/// A segment file as recovery reads it: first these bytes as the whole file, then as the body of a sound batch in it.
pub fn segment(bytes: &[u8]) {
    scan(bytes);
    let body = with_checksums(bytes);
    if body.len() > BATCH_BYTES_MAX.min(1 << 20) {
        return;
    }
    let nonce = [7; 16];
    let mut batch = Vec::new();
    begin_batch(&mut batch);
    batch.extend_from_slice(&body);
    finish_batch(&mut batch, &nonce, 0, 0);
    // The ledger that the body's genesis names, so that it is not refused for that.
    let ledger = read_frame(&body).ok().and_then(|frame| Genesis::decode(frame.payload).ok());
    let header = SegmentHeader {
        ledger: ledger.map_or(Id::ZERO, |genesis| genesis.ledger),
        number: 0,
        length: 2 * PAGE_BYTES + batch.len() as u64,
        packed: false,
        nonce,
        chain: Chain::EMPTY,
    };
    let mut file = header.encode();
    file.extend_from_slice(&batch);
    file.resize(header.length as usize, 0);
    scan(&file);
}

/// The two slots of a checkpoint file, with either magic.
pub fn checkpoint_slots(bytes: &[u8]) {
    for magic in [crate::checkpoint::CHECKPOINT_MAGIC, *bytes.first_chunk().unwrap_or(&[0; 8])] {
        let slots = slots::inspect(bytes, magic);
        if let Some((_, payload)) = slots::newest(&slots) {
            assert!(payload.len() <= slots::PAYLOAD_BYTES_MAX);
        }
    }
}

fn scan(file: &[u8]) {
    let storage = MemoryStorage::new();
    let (dir, path) = (Path::new("l"), segment_path(Path::new("l"), 0));
    let directory = dir.join(JOURNAL_DIR);
    storage.create_dir_all(&directory).expect("memory has directories");
    let made = storage.open(&path, OpenMode::CreateNew).expect("memory has files");
    write_all_at(&*made, file, 0).expect("memory has room");
    let Ok(segment) = SegmentFile::open(&storage, dir, 0, OpenMode::Read) else { return };
    let Ok(scanned) = segment.scan(&[]) else { return };
    assert!(scanned.end >= PAGE_BYTES && scanned.end <= segment.header.length);
    assert!(scanned.chain.next_batch >= segment.header.chain.next_batch);
    let _ = segment.tail(scanned.end, scanned.chain.next_batch);
}

/// Whatever looks like frames, with the checksums that they should have; the rest is kept.
pub fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    while let Some((kind, after)) = rest.split_first() {
        let Some(kind) = KINDS.into_iter().find(|k| *k as u8 == *kind) else { break };
        let mut reader = crate::wire::Reader::new(after);
        let Ok(length) = reader.varint32("length") else { break };
        let Ok(_) = reader.u32("checksum") else { break };
        let left = reader.left();
        // A length that goes beyond the end means all that is left.
        let Ok(payload) = reader.bytes((length as usize).min(left), "payload") else { break };
        put_frame(&mut out, kind, payload);
        rest = &after[after.len() - reader.left()..];
    }
    out.extend_from_slice(rest);
    out
}

fn one_frame(frame: &Frame<'_>, texts: &mut Texts) {
    match frame.kind {
        FrameKind::Genesis => {
            if let Ok(genesis) = Genesis::decode(frame.payload) {
                assert_eq!(genesis.encode(), frame.payload, "a genesis has one encoding");
            }
        }
        FrameKind::Dictionary => drop(texts.read_frame(frame.payload)),
        FrameKind::Block | FrameKind::Commit => {
            if let Ok(head) = BlockHead::decode(frame, texts) {
                assert!(head.position >= u64::from(head.revisions));
                for (ordinal, _) in head.staged.iter().enumerate().take(4) {
                    let _ = Staged::of_block(frame.payload, &head, ordinal);
                }
            }
        }
        FrameKind::Revision => {
            if let Ok(revision) = RevisionFrame::decode(frame.payload) {
                document(&revision, texts);
            }
        }
        FrameKind::Staged => {
            if let Ok(staged) = Staged::decode(frame.payload) {
                let mut at = 0;
                while let Ok(inner) = read_frame(&staged.frames[at..]) {
                    if let Some(revision) =
                        RevisionFrame::decode(inner.payload).ok().filter(|_| inner.kind == FrameKind::Revision)
                    {
                        document(&revision, texts);
                    }
                    at += inner.length;
                }
            }
        }
    }
}

/// What is read and what is hashed without building it are one value.
fn document(revision: &RevisionFrame<'_>, texts: &Texts) {
    let mut hasher = Hasher::new();
    let hashed: Result<Option<Hash>, _> = revision.hash_data(texts, &mut hasher);
    match (revision.data(texts), hashed) {
        (Ok(Some(value)), Ok(Some(hash))) => assert_eq!(ion_hash(&value), hash, "{value:?}"),
        (Ok(None), Ok(None)) | (Err(_), Err(_)) => {}
        (data, hashed) => panic!("one of the readers refuses what the other takes: {data:?}, {hashed:?}"),
    }
}
