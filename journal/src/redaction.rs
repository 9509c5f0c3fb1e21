//! Carrying out a redaction (docs/format.md, "Redaction"): the data of a revision and the texts of its transaction's
//! statements leave the journal; their hashes stay, so that every receipt and digest given before still verifies.
//!
//! The redaction itself is an ordinary transaction with a record in the system table `redactions`. When it is durable,
//! every segment that holds what it names is written again under a temporary name, with a new nonce and a new
//! dictionary that holds only what is still used, and then takes the old one's place. Staged frames that no block names
//! may hold the same documents and go at the same time. The file `redaction` says how far that has come, so a crash at any
//! moment only makes the next start finish it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ledgerstone_digest::block::RedactedRevision;
use ledgerstone_digest::ion::ion_hash;
use ledgerstone_digest::redaction::RedactionRecord;
use ledgerstone_digest::{Hash, Id};

use crate::abandoned::abandoned;
use crate::batch::{BATCH_BYTES_MAX, BATCH_HEADER_BYTES, begin_batch, finish_merged};
use crate::checkpoint::{CheckpointError, Notary};
use crate::dictionary::{Dictionary, Texts};
use crate::env::{Env, File, OpenMode, Storage, is_full, write_all_at};
use crate::error::{CommitError, FileError, ReadError};
use crate::frame::{BlockHead, Content, Frame, FrameKind, RevisionFrame, Staged, put_frame, read_frame};
use crate::offsets;
use crate::reader::Journal;
use crate::scan::{ScanError, SegmentFile};
use crate::segment::{JOURNAL_DIR, PAGE_BYTES, SEGMENT_BYTES_MAX, SegmentHeader, segment_number, segment_path};
use crate::slots::{SlotError, SlotFile};
use crate::stored::{StoredBlock, StoredRevision};
use crate::transaction::{Committed, Transaction};
use crate::wire::WireError;

/// The file that says that a redaction is under way.
pub const REDACTION_FILE: &str = "redaction";
/// Identifies `redaction`.
pub const REDACTION_MAGIC: [u8; 8] = *b"LSREDA\x00\x01";
/// Ends the name of a segment that is written again: `<number>.seg.new`.
pub const NEW_SUFFIX: &str = ".new";

/// Segments are being written again, or nothing was done yet.
const WRITING: u8 = 1;
/// All new segments are whole: they only have to take their names.
const RENAMING: u8 = 2;

/// Why a redaction was not recorded, or is recorded and not carried out yet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedactError {
    /// It was refused; nothing changed.
    #[error("{0}")]
    Refused(String),
    /// Its transaction did not commit; nothing changed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// It is recorded, but the data could not be removed yet; the next start tries again.
    #[error("the redaction is recorded in block {}, but not carried out: {cause}; the next start finishes it", committed.block)]
    Unfinished {
        /// Where it is recorded.
        committed: Committed,
        /// What stood in the way.
        cause: Box<RedactError>,
    },
    /// A read failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// No checkpoint covers its record yet.
    #[error("no checkpoint can be signed over its record: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The file `redaction` failed.
    #[error(transparent)]
    Marker(#[from] SlotError),
}

impl RedactError {
    /// Whether room on the disk would help.
    pub fn is_full(&self) -> bool {
        match self {
            RedactError::File(error) | RedactError::Read(ReadError::File(error)) => is_full(&error.source),
            RedactError::Marker(SlotError::Io { source, .. }) => is_full(source),
            RedactError::Checkpoint(error) => error.is_full(),
            _ => false,
        }
    }
}

impl From<ScanError> for RedactError {
    fn from(error: ScanError) -> Self {
        RedactError::Read(error.into())
    }
}

/// A redaction that was begun: its transaction, and the first block that can hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pending {
    pub tx_id: Id,
    pub from_block: u64,
}

/// Says that this transaction is about to be submitted and must be carried out.
pub(crate) fn begin(storage: &dyn Storage, dir: &Path, pending: Pending) -> Result<(), RedactError> {
    mark(storage, dir, WRITING, pending)
}

/// Nothing is under way any more.
pub(crate) fn end(storage: &dyn Storage, dir: &Path) -> Result<(), RedactError> {
    let path = dir.join(REDACTION_FILE);
    storage.remove_file(&path).map_err(|e| file_error(&path, "remove it", e))?;
    storage.sync_dir(dir).map_err(|e| file_error(dir, "sync it", e))?;
    Ok(())
}

/// The first thing done to a directory that is opened: finishes renaming, or removes what was written in vain.
/// Returns the redaction that still has to be carried out, if its transaction is in the journal.
pub(crate) fn recover(storage: &dyn Storage, dir: &Path) -> Result<Option<Pending>, RedactError> {
    let path = dir.join(REDACTION_FILE);
    let payload = match SlotFile::open(storage, &path, REDACTION_MAGIC) {
        Ok((_, payload)) => payload,
        Err(SlotError::Missing { .. }) => {
            remove_new(storage, dir)?;
            return Ok(None);
        }
        // Torn when it was made: nothing was submitted yet.
        Err(SlotError::NoValue { .. }) => {
            remove_new(storage, dir)?;
            end(storage, dir)?;
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let marker = payload.split_first_chunk::<25>().map(|(fixed, _)| {
        let (mut tx_id, mut from_block) = ([0; 16], [0; 8]);
        tx_id.copy_from_slice(&fixed[1..17]);
        from_block.copy_from_slice(&fixed[17..]);
        (fixed[0], Pending { tx_id: Id(tx_id), from_block: u64::from_be_bytes(from_block) })
    });
    match marker {
        Some((WRITING, pending)) => {
            remove_new(storage, dir)?;
            Ok(Some(pending))
        }
        Some((RENAMING, _)) => {
            for number in new_segments(storage, dir)? {
                rename_new(storage, dir, number)?;
            }
            sync_journal(storage, dir)?;
            end(storage, dir)?;
            Ok(None)
        }
        _ => Err(RedactError::Refused(format!("{} says nothing that is known", path.display()))),
    }
}

/// Carries out what was begun before a crash, if its transaction had become durable. `blocks` is the number of blocks.
pub(crate) fn resume(journal: &Journal, notary: &Notary, pending: Pending, blocks: u64) -> Result<(), RedactError> {
    for number in pending.from_block..blocks {
        let head = journal.head(journal.block_position(number)?)?;
        if head.tx_id == pending.tx_id {
            return carry_out(journal, notary, number, pending);
        }
    }
    end(&*journal.env.storage, &journal.dir)
}

/// Removes from the journal what the redactions of this durable block name. A checkpoint covers the record first: a disk that
/// has lost it although it said otherwise must not leave data missing without a record.
pub(crate) fn carry_out(journal: &Journal, notary: &Notary, block: u64, pending: Pending) -> Result<(), RedactError> {
    notary.checkpoint_reaching(journal.block_position(block)? + 1)?;
    let plan = plan(journal, block)?;
    // What packing a segment may have left behind is not to be renamed with what is written here.
    remove_new(&*journal.env.storage, &journal.dir)?;
    let storage = &*journal.env.storage;
    let mut moved = Moved::new();
    let headers = journal.headers();
    for (number, segment) in &plan.segments {
        let old = journal.segment(*number)?;
        let next = headers.iter().find(|header| header.number == number + 1).map(|header| header.chain.next_batch);
        Rewriting::new(&journal.env, &journal.dir, &old.file, segment, &mut moved)?.run(next)?;
    }
    sync_journal(storage, &journal.dir)?;
    mark(storage, &journal.dir, RENAMING, pending)?;
    let numbers: Vec<u64> = plan.segments.keys().copied().collect();
    journal.replace(&numbers, None, || -> Result<(), RedactError> {
        for number in &numbers {
            // The old offsets hold no data, but they name places that are gone.
            let _ = storage.remove_file(&offsets::offsets_path(&journal.dir, *number));
            rename_new(storage, &journal.dir, *number)?;
        }
        Ok(())
    })?;
    sync_journal(storage, &journal.dir)?;
    journal.none_abandoned_before.fetch_max(plan.looked_before, Ordering::Relaxed);
    end(storage, &journal.dir)
}

/// What has to change in which segment.
#[derive(Debug, Default)]
struct Plan {
    segments: BTreeMap<u64, SegmentPlan>,
    /// All segments before this one were looked through for staged frames that no block names.
    looked_before: u64,
}

#[derive(Debug, Default)]
struct SegmentPlan {
    /// Position of the revision → position of the record.
    revisions: HashMap<u64, u64>,
    /// Blocks whose statements go.
    blocks: HashSet<u64>,
    /// Transaction of staged frames → the position of its block's leaf.
    staged: HashMap<Id, u64>,
    /// Offsets of staged frames that no block names. They go.
    abandoned: HashSet<u32>,
}

/// Where staged frames have gone: (segment, old offset) → new offset and hash.
type Moved = HashMap<(u64, u32), (u32, Hash)>;

/// Refuses a redaction whose targets are not there, have no data, or are not exactly what its records say.
pub(crate) fn check(journal: &Journal, transaction: &Transaction, blocks: u64) -> Result<(), RedactError> {
    let refuse = |what: String| Err(RedactError::Refused(what));
    let Some(redaction) = transaction.redaction.as_ref().filter(|info| !info.revisions.is_empty()) else {
        return refuse("a redaction names at least one revision".to_owned());
    };
    let mut listed = HashSet::new();
    for target in &redaction.revisions {
        let (document, version, block) = (target.document_id, target.version, target.sequence_no);
        if !listed.insert((block, target.table_id, document, version)) {
            return refuse(format!("version {version} of document {document} is named twice"));
        }
        if block >= blocks || target.strand != journal.genesis.strand {
            return refuse(format!("block {block} of strand {} is not in this ledger", target.strand));
        }
        if target.table_id.is_system() {
            return refuse(format!("revisions of system table {} cannot be redacted", target.table_id));
        }
        let (_, revision) = find(journal, target)?;
        if revision.deleted || revision.redacted {
            let why = if revision.deleted { "is a deletion: it has no data" } else { "is redacted already" };
            return refuse(format!("version {version} of document {document} {why}"));
        }
    }
    let of_system = transaction.revisions.iter().filter(|revision| revision.table_id == Id::REDACTIONS);
    let recorded: HashSet<_> = of_system
        .filter_map(|revision| {
            let data = revision.data.as_ref()?.value().ok()?;
            RedactionRecord::from_value(&data)
        })
        .map(|record| (record.block, record.table_id, record.document_id, record.version))
        .collect();
    match recorded == listed {
        true => Ok(()),
        false => refuse("the records in the table of redactions are not those of redactionInfo".to_owned()),
    }
}

fn find(journal: &Journal, target: &RedactedRevision) -> Result<(BlockHead, StoredRevision), RedactError> {
    let position = journal.block_position(target.sequence_no)?;
    let head = journal.head(position)?;
    for at in head.first_position()..position {
        let revision = journal.revision(at)?;
        if revision.document_id == target.document_id
            && revision.table_id == target.table_id
            && revision.version == target.version
        {
            return Ok((head, revision));
        }
    }
    let (document, version, block) = (target.document_id, target.version, target.sequence_no);
    Err(RedactError::Refused(format!("block {block} holds no version {version} of document {document}")))
}

fn plan(journal: &Journal, block: u64) -> Result<Plan, RedactError> {
    let position = journal.block_position(block)?;
    let recording = journal.raw_block(position)?;
    let mut plan = Plan::default();
    for (record, at) in records(&recording) {
        let target = RedactedRevision {
            strand: recording.strand,
            sequence_no: record.block,
            table_id: record.table_id,
            document_id: record.document_id,
            version: record.version,
        };
        let (head, revision) = find(journal, &target)?;
        let of_head = journal.segment_number_of(head.position)?;
        plan.segments.entry(of_head).or_default().blocks.insert(head.number);
        let (segment, staged) = segment_of_revision(&head, revision.position, of_head);
        let change = plan.segments.entry(segment).or_default();
        change.revisions.insert(revision.position, at);
        if staged {
            change.staged.insert(head.tx_id, head.position);
        }
    }
    plan_abandoned(journal, &recording, &mut plan)?;
    follow_staged(journal, &mut plan)?;
    let active = journal.active().file.header.number;
    match plan.segments.contains_key(&active) {
        true => Err(RedactError::Refused(format!("segment {active} is still being written"))),
        false => Ok(plan),
    }
}

/// The records in a block, with their positions.
fn records(block: &StoredBlock) -> Vec<(RedactionRecord, u64)> {
    let of_system = block.revisions.iter().filter(|revision| revision.table_id == Id::REDACTIONS);
    of_system
        .filter_map(|revision| Some((RedactionRecord::from_value(revision.data.as_deref()?)?, revision.position)))
        .collect()
}

fn segment_of_revision(head: &BlockHead, position: u64, of_head: u64) -> (u64, bool) {
    let mut first = head.first_position();
    for staged in &head.staged {
        first += u64::from(staged.revisions);
        if position < first {
            return (staged.segment, true);
        }
    }
    (of_head, false)
}

/// Whoever loads a large transaction again that was written in part leaves a second copy of each document. Segments are looked
/// through that were full before the recording block had a place: in later ones a transaction may be under way whose commit
/// frame is yet to come.
fn plan_abandoned(journal: &Journal, recording: &StoredBlock, plan: &mut Plan) -> Result<(), RedactError> {
    let head = journal.head(recording.position)?;
    let of_head = journal.segment_number_of(recording.position)?;
    plan.looked_before = head.staged.iter().fold(of_head, |first, staged| first.min(staged.segment));
    let from = journal.none_abandoned_before.load(Ordering::Relaxed);
    for (number, offsets) in abandoned(journal, from..plan.looked_before)? {
        plan.segments.entry(number).or_default().abandoned = offsets;
    }
    Ok(())
}

/// Staged frames that move are named by a commit frame, which may stand in a later segment: in the first block there.
fn follow_staged(journal: &Journal, plan: &mut Plan) -> Result<(), RedactError> {
    let headers = journal.headers();
    let mut queue: BTreeSet<u64> = plan.segments.keys().copied().collect();
    while let Some(number) = queue.pop_first() {
        let Some(next) = headers.iter().find(|header| header.number == number + 1) else { continue };
        // The first block behind the segment: only it can name staged frames at the segment's end.
        let position = match journal.block_from(next.chain.next_position)? {
            Some(position) => position,
            None => continue,
        };
        let head = journal.head(position)?;
        let segment = journal.segment_number_of(position)?;
        if head.staged.iter().any(|staged| staged.segment == number) && !plan.segments.contains_key(&segment) {
            plan.segments.insert(segment, SegmentPlan::default());
            queue.insert(segment);
        }
    }
    Ok(())
}

/// One segment while it is written again.
struct Rewriting<'a> {
    old: &'a SegmentFile,
    plan: &'a SegmentPlan,
    moved: &'a mut Moved,
    path: PathBuf,
    file: Arc<dyn File>,
    nonce: [u8; 16],
    old_texts: Texts,
    dictionary: Dictionary,
    scratch: Vec<u8>,
    /// The batch being laid out, and where it will stand.
    batch: Vec<u8>,
    offset: u64,
}

impl<'a> Rewriting<'a> {
    fn new(
        env: &'a Env,
        dir: &Path,
        old: &'a SegmentFile,
        plan: &'a SegmentPlan,
        moved: &'a mut Moved,
    ) -> Result<Rewriting<'a>, RedactError> {
        let path = new_path(dir, old.header.number);
        let open = env.storage.open(&path, OpenMode::Create).and_then(|file| file.set_len(0).map(|()| file));
        let file = open.map_err(|e| file_error(&path, "make it", e))?;
        Ok(Rewriting {
            old,
            plan,
            moved,
            path,
            file,
            nonce: env.rng.bytes16(),
            old_texts: Texts::default(),
            dictionary: Dictionary::default(),
            scratch: Vec::new(),
            batch: Vec::new(),
            offset: PAGE_BYTES,
        })
    }

    /// `end`: the number of the batch that the next segment begins with. A segment that is damaged, or was read wrong, ends
    /// before; what takes its place would lack the rest.
    fn run(mut self, end: Option<u64>) -> Result<(), RedactError> {
        let mut number = self.old.header.chain.next_batch;
        let mut from = PAGE_BYTES;
        while let Ok((header, bytes)) = self.old.batch(from, number)? {
            begin_batch(&mut self.batch);
            let body = bytes.get(BATCH_HEADER_BYTES..BATCH_HEADER_BYTES + header.length as usize).unwrap_or_default();
            let mut at = 0;
            while at < body.len() {
                let place = from + (BATCH_HEADER_BYTES + at) as u64;
                at += self.unit(place, &body[at..]).map_err(|e| ReadError::from(self.old.damage(place, e.0)))?;
            }
            if self.batch.len() - BATCH_HEADER_BYTES > BATCH_BYTES_MAX {
                return Err(RedactError::Refused(format!("batch {number} would become too long")));
            }
            finish_merged(&mut self.batch, &self.nonce, number, header.merged, header.first_position);
            write_all_at(&*self.file, &self.batch, self.offset).map_err(|e| file_error(&self.path, "write it", e))?;
            self.offset += self.batch.len() as u64;
            number = header.next_number();
            from += header.extent();
        }
        if let Some(end) = end.filter(|end| number != *end) {
            let what = format!("batch {number} cannot be read, the next segment begins with batch {end}");
            return Err(ReadError::from(self.old.damage(from, what)).into());
        }
        self.finish()
    }

    /// The header comes last: what has none is no segment.
    fn finish(self) -> Result<(), RedactError> {
        let length = if self.old.header.packed { self.offset } else { self.old.header.length.max(self.offset) };
        if length >= SEGMENT_BYTES_MAX {
            return Err(RedactError::Refused(format!("segment {} would become too long", self.old.header.number)));
        }
        let header = SegmentHeader { nonce: self.nonce, length, ..self.old.header };
        let written = self.file.set_len(length).and_then(|()| write_all_at(&*self.file, &header.encode(), 0));
        written.and_then(|()| self.file.sync_data()).map_err(|e| file_error(&self.path, "write it", e).into())
    }

    /// One frame of the old segment, a block with its revisions. Returns the bytes used.
    fn unit(&mut self, offset: u64, bytes: &[u8]) -> Result<usize, WireError> {
        let frame = read_frame(bytes)?;
        let mut out = Vec::with_capacity(frame.length + 64);
        let mut used = frame.length;
        match frame.kind {
            FrameKind::Genesis => put_frame(&mut out, FrameKind::Genesis, frame.payload),
            FrameKind::Dictionary => {
                self.old_texts.read_frame(frame.payload)?;
                return Ok(used);
            }
            FrameKind::Block => {
                let head = self.head(&frame, &mut out)?;
                used += self.revisions(head.position, head.revisions, &bytes[frame.length..], &mut out)?;
            }
            FrameKind::Commit => drop(self.head(&frame, &mut out)?),
            FrameKind::Staged if self.plan.abandoned.contains(&(offset as u32)) => return Ok(used),
            FrameKind::Staged => {
                let staged = Staged::decode(frame.payload)?;
                let position = self.plan.staged.get(&staged.tx_id).copied();
                let mut frames = Vec::with_capacity(staged.frames.len());
                self.revisions(position.unwrap_or(u64::MAX), staged.revisions, staged.frames, &mut frames)?;
                Staged { frames: &frames, ..staged }.put(&mut out);
                let hash = Hash::sha256(&[&out]);
                let at = self.append(&out);
                self.moved.insert((self.old.header.number, offset as u32), (at, hash));
                return Ok(used);
            }
            FrameKind::Revision => return Err(WireError("a revision stands outside of a block".to_owned())),
        }
        self.append(&out);
        Ok(used)
    }

    fn head(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<BlockHead, WireError> {
        let mut head = BlockHead::decode(frame, &self.old_texts)?;
        if self.plan.blocks.contains(&head.number) {
            for statement in &mut head.statements {
                statement.text = statement.text.redacted();
            }
        }
        for staged in &mut head.staged {
            if let Some((offset, hash)) = self.moved.get(&(staged.segment, staged.offset)) {
                (staged.offset, staged.hash) = (*offset, *hash);
            }
        }
        put_frame(out, head.kind(), &head.encode(&mut self.dictionary));
        Ok(head)
    }

    /// Revision frames that stand one behind the other; those of the plan lose their data.
    fn revisions(
        &mut self,
        block_position: u64,
        count: u32,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, WireError> {
        let mut at = 0;
        for _ in 0..count {
            let frame = read_frame(bytes.get(at..).unwrap_or_default())?;
            let mut revision = RevisionFrame::decode(frame.payload)?;
            let mut data = revision.data(&self.old_texts)?;
            let position = block_position.checked_sub(u64::from(revision.to_block));
            let record = position.and_then(|position| self.plan.revisions.get(&position));
            if let (Some(record), Some(value)) = (record, &data) {
                revision.content = Content::Redacted { data_hash: ion_hash(value), record: *record };
                data = None;
            }
            revision.put(data.as_ref(), None, &mut self.dictionary, &mut self.scratch, out);
            at += frame.length;
        }
        Ok(at)
    }

    /// Appends what the dictionary has to add, then these frames. Returns their offset in the segment.
    fn append(&mut self, frames: &[u8]) -> u32 {
        let mut entries = Vec::new();
        if !self.dictionary.write_frame(&mut entries).is_empty() {
            put_frame(&mut self.batch, FrameKind::Dictionary, &entries);
        }
        let at = self.offset + self.batch.len() as u64;
        self.batch.extend_from_slice(frames);
        at as u32
    }
}

fn mark(storage: &dyn Storage, dir: &Path, phase: u8, pending: Pending) -> Result<(), RedactError> {
    let mut payload = vec![phase];
    payload.extend_from_slice(&pending.tx_id.0);
    payload.extend_from_slice(&pending.from_block.to_be_bytes());
    let path = dir.join(REDACTION_FILE);
    match SlotFile::open(storage, &path, REDACTION_MAGIC) {
        Ok((mut slots, _)) => slots.store(&payload)?,
        Err(SlotError::Missing { .. } | SlotError::NoValue { .. }) => {
            SlotFile::create(storage, &path, REDACTION_MAGIC, &payload)?;
            storage.sync_dir(dir).map_err(|e| file_error(dir, "sync it", e))?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

pub(crate) fn new_path(dir: &Path, number: u64) -> PathBuf {
    let mut path = segment_path(dir, number).into_os_string();
    path.push(NEW_SUFFIX);
    path.into()
}

/// Segments that were written again and have not taken their place.
fn new_segments(storage: &dyn Storage, dir: &Path) -> Result<Vec<u64>, RedactError> {
    let journal = dir.join(JOURNAL_DIR);
    let entries = storage.read_dir(&journal).map_err(|e| file_error(&journal, "list it", e))?;
    Ok(entries.iter().filter_map(|entry| new_segment(&entry.name)).collect())
}

/// The number of the segment that a file is to take the place of.
pub(crate) fn new_segment(name: &str) -> Option<u64> {
    segment_number(name.strip_suffix(NEW_SUFFIX)?)
}

fn remove_new(storage: &dyn Storage, dir: &Path) -> Result<(), RedactError> {
    if !storage.exists(&dir.join(JOURNAL_DIR)) {
        return Ok(());
    }
    for number in new_segments(storage, dir)? {
        let path = new_path(dir, number);
        storage.remove_file(&path).map_err(|e| file_error(&path, "remove it", e))?;
    }
    Ok(())
}

pub(crate) fn rename_new(storage: &dyn Storage, dir: &Path, number: u64) -> Result<(), FileError> {
    let path = new_path(dir, number);
    storage.rename(&path, &segment_path(dir, number)).map_err(|e| file_error(&path, "rename it", e))
}

pub(crate) fn sync_journal(storage: &dyn Storage, dir: &Path) -> Result<(), FileError> {
    let journal = dir.join(JOURNAL_DIR);
    storage.sync_dir(&journal).map_err(|e| file_error(&journal, "sync it", e))
}

fn file_error(path: &Path, action: &'static str, source: io::Error) -> FileError {
    FileError { path: path.to_owned(), action, source }
}
