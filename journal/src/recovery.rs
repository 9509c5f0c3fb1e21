//! Creating a ledger, and opening one after whatever happened to it (docs/format.md, "Recovery").
//!
//! Opening may cut the last batch, if it is torn, if nothing follows it, and if what remains reaches the recorded
//! checkpoint; everything else that is not what was written is refused with file and offset, and nothing is changed.
//! What was cut is zeroed and synced before anything is appended, so opening again finds the same.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledgerstone_digest::full::{GenesisFacts, ImportFacts, check_genesis};
use ledgerstone_digest::ion::{Hasher, Struct, Value, encode};
use ledgerstone_digest::note::{SigningKey, VerifierKey};
use ledgerstone_digest::rotation::{KeyChain, RotationRecord};
use ledgerstone_digest::tree::leaf_hash;
use ledgerstone_digest::{Hash, Id};

use crate::backup;
use crate::batch::{begin_batch, finish_batch};
use crate::checkpoint::{self, CheckpointError, Due, Leaves, Notary, Recorded, Signers};
use crate::derive::BlockHasher;
use crate::dictionary::Texts;
use crate::encoded::Data;
use crate::env::{EntryKind, Env, File, Lock, OpenMode, Storage, write_all_at};
use crate::error::{CreateError, Damage, FileError, Help, OpenError, ReadError};
use crate::frame::{BlockHead, Contents, FrameKind, Genesis, put_frame};
use crate::keyring::Keys;
use crate::keys::KeyError;
use crate::mutation::{self, Mutation};
use crate::reader::{Journal, Segment, genesis_leaf};
use crate::redaction::{self, REDACTION_FILE, new_segment};
use crate::reserve;
use crate::rotation;
use crate::scan::{ScanError, Scanned, SegmentFile, Tail as FileTail};
use crate::segment::{
    Chain, FIRST_SEGMENT_BYTES, JOURNAL_DIR, NEXT_SEGMENT, PAGE_BYTES, SEGMENT_BYTES, SEGMENT_BYTES_MAX, SegmentHeader,
    segment_number, segment_path,
};
use crate::sequencer::{STAGED_ABOVE_BYTES, SequencerOptions, Tail};
use crate::stored::StoredRevision;
use crate::transaction::{BlockEnds as _, Committed, PublishedBlock, PublishedRevision};
use crate::writer::{prepare, zero};

/// The file that the process holding a ledger has locked.
pub const LOCK_FILE: &str = "lock";

/// What a new ledger is.
#[derive(Debug)]
pub struct CreateOptions {
    /// A fresh random id, never used before: the end of the origin.
    pub ledger: Id,
    /// The start of the origin: a host name, perhaps with a path.
    pub origin_prefix: String,
    /// The ledger's key; its name is the origin.
    pub key: SigningKey,
    /// The final checkpoint note of the ledger that this one continues.
    pub continues: Option<String>,
    /// The blocks of a QLDB ledger that come before its own.
    pub import: Option<Import>,
    pub first_segment_bytes: u64,
}

/// What a new ledger begins with if it is not empty.
#[derive(Debug, Clone)]
pub struct Import {
    /// The strand of the blocks, which goes on.
    pub strand: Id,
    pub facts: ImportFacts,
}

/// How a ledger is opened.
#[derive(Debug)]
pub struct OpenOptions {
    /// Where the ledger's keys are; the journal says which of them is in force.
    pub keys: Keys,
    /// Length of the segments made from now on.
    pub segment_bytes: u64,
    /// Transactions whose revisions take more are written ahead in staged frames.
    pub staged_above_bytes: usize,
    /// Revisions in one transaction.
    pub transaction_revisions_max: u64,
    /// Transactions that wait for the sequencer before those who submit more have to wait.
    pub queue_max: usize,
    /// Run the sequencer, the writer and the signing task in threads of their own. Without, everything happens in
    /// [`crate::Ledger::drive`], in the same order every time.
    pub threads: bool,
}

/// A ledger whose journal was found whole, or made whole; nothing runs yet.
pub struct Recovered {
    pub(crate) journal: Arc<Journal>,
    pub(crate) notary: Arc<Notary>,
    pub(crate) lock: Box<dyn Lock>,
    pub(crate) file: Arc<dyn File>,
    pub(crate) tail: Tail,
    pub(crate) texts: Texts,
    pub(crate) sequencer: SequencerOptions,
    pub(crate) options: OpenOptions,
    /// What was cut from the end of the journal, if anything: a batch that was never acknowledged.
    pub cut: Option<Cut>,
}

/// A torn batch that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    pub path: PathBuf,
    /// The first byte that was zeroed.
    pub from: u64,
    /// The first byte behind what was zeroed.
    pub to: u64,
    pub what: String,
}

impl CreateOptions {
    pub fn new(ledger: Id, origin_prefix: &str, key: SigningKey) -> CreateOptions {
        CreateOptions {
            ledger,
            origin_prefix: origin_prefix.to_owned(),
            key,
            continues: None,
            import: None,
            first_segment_bytes: FIRST_SEGMENT_BYTES,
        }
    }
}

impl OpenOptions {
    /// A [`SigningKey`] alone will do for a ledger whose key does not change while it is open.
    pub fn new(keys: impl Into<Keys>) -> OpenOptions {
        OpenOptions {
            keys: keys.into(),
            segment_bytes: SEGMENT_BYTES,
            staged_above_bytes: STAGED_ABOVE_BYTES,
            transaction_revisions_max: 10_000_000,
            queue_max: 16_384,
            threads: true,
        }
    }
}

/// `<prefix>/<ledger id>`: what checkpoints are signed as.
pub fn origin_of(prefix: &str, ledger: Id) -> String {
    format!("{prefix}/{ledger}")
}

pub(crate) fn create(env: &Env, dir: &Path, options: &CreateOptions) -> Result<(), CreateError> {
    let storage = &*env.storage;
    if storage.exists(dir) {
        return Err(CreateError::Exists(dir.to_path_buf()));
    }
    let origin = origin_of(&options.origin_prefix, options.ledger);
    if options.origin_prefix.is_empty() || options.key.name() != origin {
        return Err(CreateError::Origin(options.key.name().to_owned()));
    }
    let genesis = genesis(env, &origin, options);
    let temporary = creating_path(dir);
    let file_error = |path: &Path, action| {
        let path = path.to_path_buf();
        move |source| FileError { path, action, source }
    };
    if storage.exists(&temporary) {
        storage.remove_dir_all(&temporary).map_err(file_error(&temporary, "remove it"))?;
    }
    let journal = temporary.join(JOURNAL_DIR);
    storage.create_dir_all(&journal).map_err(file_error(&journal, "make the directory"))?;
    let path = segment_path(&temporary, 0);
    first_segment(env, &path, &genesis, options.first_segment_bytes).map_err(file_error(&path, "write it"))?;
    let leaf = leaf_hash(&genesis_leaf(&genesis).encode());
    checkpoint::create(storage, &temporary, &origin, leaf, &options.key)
        .map_err(|e| CreateError::Checkpoint(e.to_string()))?;
    storage.sync_dir(&journal).map_err(file_error(&journal, "sync it"))?;
    storage.sync_dir(&temporary).map_err(file_error(&temporary, "sync it"))?;
    storage.rename(&temporary, dir).map_err(file_error(dir, "rename it"))?;
    let parent = dir.parent().unwrap_or(Path::new(""));
    storage.sync_dir(parent).map_err(file_error(parent, "sync it"))?;
    Ok(())
}

fn creating_path(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(".creating");
    dir.with_file_name(name)
}

fn genesis(env: &Env, origin: &str, options: &CreateOptions) -> Genesis {
    let mut fields =
        vec![("origin", Value::string(origin)), ("logKey", Value::string(options.key.verifier().to_string()))];
    if let Some(note) = &options.continues {
        fields.push(("continues", Value::string(note.as_str())));
    }
    if let Some(import) = &options.import {
        fields.push(("import", import.facts.to_value()));
    }
    let random = || Id(env.rng.bytes16());
    Genesis {
        ledger: options.ledger,
        strand: options.import.as_ref().map_or_else(random, |import| import.strand),
        created_ms: env.clock.now_ms(),
        record: encode(&Value::Struct(Struct::from_fields(fields))),
    }
}

fn first_segment(env: &Env, path: &Path, genesis: &Genesis, length: u64) -> std::io::Result<()> {
    let mut batch = Vec::new();
    begin_batch(&mut batch);
    put_frame(&mut batch, FrameKind::Genesis, &genesis.encode());
    let nonce = env.rng.bytes16();
    finish_batch(&mut batch, &nonce, 0, 0);
    let length =
        length.max(PAGE_BYTES + batch.len() as u64).next_multiple_of(PAGE_BYTES).min(SEGMENT_BYTES_MAX - PAGE_BYTES);
    let header = SegmentHeader { ledger: genesis.ledger, number: 0, length, packed: false, nonce, chain: Chain::EMPTY };
    let file = prepare(&*env.storage, path, length)?;
    write_all_at(&*file, &header.encode(), 0)?;
    write_all_at(&*file, &batch, PAGE_BYTES)?;
    file.sync_data()
}

impl From<ScanError> for OpenError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Damaged(damage) => OpenError::Damaged(damage),
            ScanError::File(error) => OpenError::File(error),
        }
    }
}

/// The segments of a directory, their headers checked against each other.
pub(crate) fn segments(env: &Env, dir: &Path) -> Result<Vec<SegmentFile>, OpenError> {
    let journal = dir.join(JOURNAL_DIR);
    let entries = match env.storage.read_dir(&journal) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(OpenError::NoLedger { path: dir.to_path_buf(), missing: JOURNAL_DIR });
        }
        Err(source) => return Err(FileError { path: journal, action: "list it", source }.into()),
    };
    let mut numbers: Vec<u64> = Vec::new();
    for entry in entries {
        match segment_number(&entry.name) {
            Some(number) if entry.kind == EntryKind::File => numbers.push(number),
            _ if entry.name == NEXT_SEGMENT => {}
            // What packing had written when it was cut short.
            _ if new_segment(&entry.name).is_some() && !env.storage.exists(&dir.join(REDACTION_FILE)) => {}
            _ => {
                let what = "this is not a file of the journal".to_owned();
                return Err(Damage { path: journal.join(&entry.name), offset: 0, what, help: Help::Move }.into());
            }
        }
    }
    let mut segments: Vec<SegmentFile> = Vec::with_capacity(numbers.len());
    for (expected, number) in numbers.iter().enumerate() {
        let path = segment_path(dir, expected as u64);
        if *number != expected as u64 {
            let what = format!("the segment is missing; segment {number} is there");
            return Err(Damage { path, offset: 0, what, help: Help::Restore }.into());
        }
        let segment = SegmentFile::open(&*env.storage, dir, *number, OpenMode::Read)?;
        if let Some(before) = segments.last() {
            follows(&before.header, &segment)?;
        } else if segment.header.chain != Chain::EMPTY {
            return Err(segment.damage(0, "the first segment does not begin with the genesis").into());
        }
        segments.push(segment);
    }
    if segments.is_empty() {
        let what = "the segment is missing".to_owned();
        return Err(Damage { path: segment_path(dir, 0), offset: 0, what, help: Help::Restore }.into());
    }
    Ok(segments)
}

fn follows(before: &SegmentHeader, segment: &SegmentFile) -> Result<(), Damage> {
    let header = &segment.header;
    if header.ledger != before.ledger {
        return Err(segment.damage(
            0,
            format!("the segment belongs to ledger {}, those before it to ledger {}", header.ledger, before.ledger),
        ));
    }
    let (a, b) = (&before.chain, &header.chain);
    if b.next_batch < a.next_batch || b.next_position < a.next_position || b.next_block < a.next_block {
        return Err(segment.damage(0, "the segment begins before the one before it"));
    }
    Ok(())
}

/// What a directory's genesis says: the ledger's id and strand, and its record. Nothing else is looked at.
pub fn genesis_of(env: &Env, dir: &Path) -> Result<(Id, Id, GenesisFacts), OpenError> {
    let first = SegmentFile::open(&*env.storage, dir, 0, OpenMode::Read)?;
    let genesis = read_genesis(std::slice::from_ref(&first))?;
    Ok((genesis.ledger, genesis.strand, genesis_facts(&genesis)?))
}

/// The journal of a directory that nobody has open, up to its last whole batch, and where its chain ends. What stands behind
/// was never acknowledged.
pub(crate) fn closed(env: &Env, dir: &Path) -> Result<(Journal, Chain), OpenError> {
    let mut segments = segments(env, dir)?;
    let genesis = read_genesis(&segments)?;
    let headers: Vec<_> = segments.iter().map(|segment| segment.header).collect();
    let Some(last) = segments.pop() else {
        return Err(OpenError::NoLedger { path: dir.to_path_buf(), missing: JOURNAL_DIR });
    };
    let scanned = last.scan(&headers)?;
    let active = Segment { file: last, index: std::sync::RwLock::new(scanned.index) };
    Ok((Journal::new(env.clone(), dir, genesis, headers, active), scanned.chain))
}

/// Takes the lock of a directory that holds a ledger, so that no other process has it open.
pub(crate) fn lock(storage: &dyn Storage, dir: &Path) -> Result<Box<dyn Lock>, OpenError> {
    if !storage.exists(&dir.join(JOURNAL_DIR)) {
        return Err(OpenError::NoLedger { path: dir.to_path_buf(), missing: JOURNAL_DIR });
    }
    let path = dir.join(LOCK_FILE);
    storage.lock(&path).map_err(|source| match source.kind() {
        std::io::ErrorKind::WouldBlock => OpenError::Locked(dir.to_path_buf()),
        _ => OpenError::File(FileError { path, action: "lock it", source }),
    })
}

/// The lock of a directory that is only read, if it can be had. What cannot be locked for another reason than that a server
/// has it, such as a copy on a read-only disk, has no server either.
pub(crate) fn lock_to_read(storage: &dyn Storage, dir: &Path) -> Result<Option<Box<dyn Lock>>, OpenError> {
    let path = dir.join(LOCK_FILE);
    match storage.exists(&path).then(|| storage.lock(&path)) {
        Some(Err(error)) if error.kind() == std::io::ErrorKind::WouldBlock => Err(OpenError::Locked(dir.to_path_buf())),
        lock => Ok(lock.and_then(Result::ok)),
    }
}

pub(crate) fn open(env: &Env, dir: &Path, options: OpenOptions) -> Result<Recovered, OpenError> {
    let storage = &*env.storage;
    let lock = lock(storage, dir)?;
    let redaction = redaction::recover(storage, dir).map_err(|e| OpenError::Redaction(e.to_string()))?;
    let mut segments = segments(env, dir)?;
    let genesis = read_genesis(&segments)?;
    let facts = genesis_facts(&genesis)?;
    let (first, imported_blocks) = (facts.log_key, facts.import.map_or(0, |import| import.first_native_block));
    let notes = rotation::notes(storage, dir)?;
    let recorded = Recorded::read(storage, dir).map_err(checkpoint_error)?;
    if notes.is_empty() {
        // So no key has handed over, and what is wrong with the only one is said before the journal is read.
        options.keys.find(&first).map_err(key_error)?;
        recorded.check(&KeyChain::new(first.clone())).map_err(checkpoint_error)?;
    }
    let Some(last) = segments.pop() else {
        return Err(OpenError::NoLedger { path: dir.to_path_buf(), missing: JOURNAL_DIR });
    };
    reach_the_disk(storage, dir, &last)?;
    if mutation::is_on(Mutation::CutSyncedBatch) {
        mutation::cut_last_batch(storage, &last)?;
    }
    let headers: Vec<_> = segments.iter().chain([&last]).map(|s| s.header).collect();
    let scanned = last.scan(&headers)?;
    let file_tail = last.tail(scanned.end, scanned.chain.next_batch)?;
    recorded.must_be_reached(scanned.chain.next_position).map_err(|_| OpenError::BehindCheckpoint {
        path: dir.to_path_buf(),
        end: scanned.chain.next_position,
        recorded: recorded.unverified().checkpoint.size,
    })?;
    let Scanned { index, mut chain, end, .. } = scanned;
    let texts = index.texts.clone();
    let ledger = last.header.ledger;
    let (segment, length, nonce) = (last.header.number, last.header.length, last.header.nonce);
    let strand = genesis.strand;
    let active = Segment { file: last.clone(), index: std::sync::RwLock::new(index) };
    let journal = Arc::new(Journal::new(env.clone(), dir, genesis, headers, active));
    if let Some(before) = segment.checked_sub(1) {
        journal.segment(before)?;
    }
    chain.block_leaf = last_block_leaf(&journal, &chain)?;
    if let Some(hash) = chain.block_leaf {
        journal.set_last_leaf(chain.next_position - 1, hash);
    }
    // Room for what follows.
    remove_leftovers(env, dir)?;
    let leaves: Arc<dyn Leaves> = Arc::<Journal>::clone(&journal);
    let mut found = rotation::find(&journal, first, notes, recorded.unverified(), chain.next_position)?;
    let mut recorded = recorded.verify(&found.chain).map_err(checkpoint_error)?;
    if let Some(beyond) = found.beyond(&recorded.signed) {
        recorded.signed = beyond;
    }
    let lost_note = found.lost.take();
    let signers = signers(&journal, &options.keys, found)?;
    let notary = Notary::open(Arc::clone(&env.storage), dir, leaves, recorded, signers, chain.next_position)
        .map_err(checkpoint_error)?;
    // Everything has been looked at: only now may anything be changed.
    let file = storage.open(&last.path, OpenMode::Write).map_err(|e| last.file_error("open it for writing", e))?;
    let cut = cut(&*file, &last, end, file_tail)?;
    if let Some((from, note)) = &lost_note {
        rotation::keep_note(storage, dir, *from, note)?;
    }
    reserve::take(storage, dir);
    if let Some(pending) = redaction
        && let Err(error) = redaction::resume(&journal, &notary, pending, chain.next_block)
    {
        tracing::error!(%error, "a recorded redaction is not carried out yet; the next start tries again");
    }
    let tail = Tail { segment, nonce, length, offset: end, dictionary: texts.len(), chain };
    let sequencer = SequencerOptions {
        ledger,
        strand,
        segment_bytes: options.segment_bytes,
        staged_above_bytes: options.staged_above_bytes,
        revisions_max: options.transaction_revisions_max,
        imported_blocks,
    };
    Ok(Recovered { journal, notary, lock, file, tail, texts, sequencer, options, cut })
}

/// Zeroes a torn batch.
fn cut(file: &dyn File, last: &SegmentFile, from: u64, tail: FileTail) -> Result<Option<Cut>, OpenError> {
    let FileTail::Torn { end, what } = tail else { return Ok(None) };
    zero(file, from, end).map_err(|e| last.file_error("zero its torn end", e))?;
    tracing::warn!(path = %last.path.display(), from, to = end, what, "a torn batch was cut");
    Ok(Some(Cut { path: last.path.clone(), from, to: end, what }))
}

/// Lets the last segment be read as it is on the disk. A process that was killed before its sync returned leaves a batch
/// that would be shown, signed and then lost; one whose sync failed leaves a batch that the system shows and may never
/// have written.
fn reach_the_disk(storage: &dyn Storage, dir: &Path, last: &SegmentFile) -> Result<(), OpenError> {
    let journal = dir.join(JOURNAL_DIR);
    storage.sync_dir(&journal).map_err(|source| FileError { path: journal, action: "sync it", source })?;
    last.file.sync_data().map_err(|e| last.file_error("sync it", e))?;
    last.file.drop_cache().map_err(|e| last.file_error("read it from the disk again", e))?;
    Ok(())
}

fn checkpoint_error(error: CheckpointError) -> OpenError {
    OpenError::Checkpoint(error.to_string())
}

pub(crate) fn read_genesis(segments: &[SegmentFile]) -> Result<Genesis, OpenError> {
    let Some(first) = segments.first() else { return Err(OpenError::Tree("no segment".to_owned())) };
    let batch = first.batch(PAGE_BYTES, 0)?;
    let genesis = batch.map_err(|what| first.damage(PAGE_BYTES, what)).and_then(|(header, bytes)| {
        let start = crate::batch::BATCH_HEADER_BYTES;
        let body = bytes.get(start..start + header.length as usize).unwrap_or_default();
        let frame = crate::frame::read_frame(body).map_err(|e| first.damage(PAGE_BYTES, e.0))?;
        if frame.kind != FrameKind::Genesis {
            return Err(first.damage(PAGE_BYTES, "the ledger does not begin with its genesis"));
        }
        Genesis::decode(frame.payload).map_err(|e| first.damage(PAGE_BYTES, e.0))
    })?;
    Ok(genesis)
}

/// The key that the genesis names.
pub(crate) fn first_key(genesis: &Genesis) -> Result<VerifierKey, OpenError> {
    Ok(genesis_facts(genesis)?.log_key)
}

fn genesis_facts(genesis: &Genesis) -> Result<GenesisFacts, OpenError> {
    let facts = check_genesis(&genesis_leaf(genesis), &genesis.record);
    facts.map_err(|what| OpenError::Checkpoint(format!("the genesis names no key: {what}")))
}

/// The keys to sign with, as the journal says. Key files take their names, if a rotation had not come that far.
fn signers(journal: &Journal, keys: &Keys, found: rotation::Found) -> Result<Signers, OpenError> {
    let rotation::Found { chain, pending, notes, .. } = found;
    let missing = |which, record: &RotationRecord| {
        let (new, from) = (record.new.to_string(), record.from);
        move |cause| OpenError::RotationKey { new, from, which, cause }
    };
    let current = chain.current();
    let key = match &pending {
        Some(record) => keys.find(current).map_err(missing("old", record))?,
        None => keys.find(current).map_err(key_error)?,
    };
    let due = match pending {
        Some(record) => {
            let key = keys.find(&record.new).map_err(missing("new", &record))?;
            Some(Due { record, key })
        }
        // A copy that is only read does not rename the keys of the ledger that it is a copy of.
        None if backup::is_restored(&journal.env, &journal.dir) => None,
        None => {
            if let Err(error) = keys.settle(current) {
                tracing::warn!(%error, "the file of the key in force has not taken its name; it is found without");
            }
            None
        }
    };
    Ok(Signers { keys: keys.clone(), key, chain, notes, due })
}

fn key_error(error: KeyError) -> OpenError {
    match error {
        KeyError::OtherKey { given, expected } => OpenError::Key { given, expected },
        other => OpenError::Keys(other),
    }
}

/// Removes what an interrupted preparation left behind.
fn remove_leftovers(env: &Env, dir: &Path) -> Result<(), OpenError> {
    let path = dir.join(JOURNAL_DIR).join(NEXT_SEGMENT);
    match env.storage.remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError { path, action: "remove it", source: e }.into())
        }
        _ => Ok(()),
    }
}

/// H(the last block's leaf entry), by deriving that block.
fn last_block_leaf(journal: &Journal, chain: &Chain) -> Result<Option<Hash>, OpenError> {
    let Some(last) = chain.next_block.checked_sub(1) else { return Ok(None) };
    let header = journal.active().file.header;
    if header.chain.next_block == chain.next_block {
        return Ok(header.chain.block_leaf);
    }
    let position = journal.block_position(last)?;
    Ok(Some(journal.block_hashes(position)?.leaf_entry_hash))
}

impl Leaves for Journal {
    fn leaf_hashes(&self, from: u64, to: u64, enough: u64, each: &mut dyn FnMut(Hash)) -> Result<(), String> {
        let mut position = from;
        if position == 0 && to > 0 {
            each(leaf_hash(&self.genesis_leaf().encode()));
            position = 1;
        }
        let mut hasher = BlockHasher::default();
        let mut previous: Option<Hash> = None;
        let mut of_data = Hasher::new();
        let contents = &mut Contents::Hashes(&mut of_data);
        let read: Result<(), Ended> = self.blocks_between(position, to, contents, &mut |block| {
            let derived = self.derived(&block, &mut hasher)?;
            if previous.is_some() && block.previous_leaf != previous {
                let number = block.number;
                return Err(Ended::Unreadable(format!("block {number} does not name the leaf of the block before it")));
            }
            previous = Some(derived.leaf_entry_hash);
            let skip = position.saturating_sub(block.first_position);
            derived.leaf_hashes.iter().skip(skip as usize).for_each(|hash| each(*hash));
            position = block.position + 1;
            if position - from < enough { Ok(()) } else { Err(Ended::Enough) }
        });
        match read {
            Ok(()) | Err(Ended::Enough) => Ok(()),
            Err(Ended::Unreadable(what)) => Err(what),
        }
    }
}

/// Why no more leaves are derived.
enum Ended {
    Enough,
    Unreadable(String),
}

impl From<ReadError> for Ended {
    fn from(error: ReadError) -> Self {
        Ended::Unreadable(error.to_string())
    }
}

impl Recovered {
    /// Every position before this one is in the journal.
    pub fn end(&self) -> u64 {
        self.tail.chain.next_position
    }

    pub fn ledger_id(&self) -> Id {
        self.sequencer.ledger
    }

    /// The time of the last block.
    pub fn last_time_ms(&self) -> Option<i64> {
        self.tail.chain.last_time_ms
    }

    /// The revision at a position, and the positions of its block, its leaf's included.
    pub fn revision(&self, position: u64) -> Result<(StoredRevision, Range<u64>), ReadError> {
        let revision = self.journal.revision(position)?;
        let head = self.journal.head(revision.block_position)?;
        Ok((revision, head.first_position()..head.position + 1))
    }

    /// The position behind a block.
    pub fn block_end(&self, number: u64) -> Result<u64, ReadError> {
        self.journal.block_end(number)
    }

    /// H of the leaf at any position of the journal that is durable by then.
    pub fn leaf_hashes_by_position(&self) -> Arc<dyn Fn(u64) -> Result<Hash, String> + Send + Sync> {
        let journal = Arc::clone(&self.journal);
        Arc::new(move |position| journal.leaf_entry_hash(position).map_err(|error| error.to_string()))
    }

    /// Gives the revisions from `from_position` on as they were published, in order: every block in one piece, a block
    /// of staged revisions in many, and one that begins before `from_position` without what stands there.
    pub fn replay<E: From<ReadError>>(
        &self,
        from_position: u64,
        each: &mut dyn FnMut(PublishedBlock) -> Result<(), E>,
    ) -> Result<(), E> {
        let strand = self.journal.genesis.strand;
        self.journal.pieces_between(from_position, self.end(), &mut |head, revisions, complete| {
            each(replayed(head, strand, revisions, complete))
        })
    }
}

fn replayed(head: &BlockHead, strand: Id, revisions: Vec<StoredRevision>, complete: bool) -> PublishedBlock {
    let committed = Committed {
        transaction_id: head.tx_id,
        strand,
        block: head.number,
        first_position: head.first_position(),
        revisions: head.revisions,
        block_position: head.position,
        time_ms: head.time_ms,
    };
    // An opaque revision is of no table.
    let revisions = revisions
        .into_iter()
        .filter(|revision| !revision.is_opaque())
        .map(|r| PublishedRevision {
            position: r.position,
            table_id: r.table_id,
            document_id: r.document_id,
            version: r.version,
            supersedes: r.supersedes,
            deleted: r.deleted,
            data: r.data.map(Data::Value),
        })
        .collect();
    PublishedBlock { committed, revisions, complete, payload: None, origin: head.origin.clone() }
}
