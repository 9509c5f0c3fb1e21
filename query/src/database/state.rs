//! What transactions, the sequencer and the publisher of one ledger share: catalogues, rows, recent writes, open
//! snapshots, counters and the cache of revisions. All of it derived from the journal.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;
use ledgerstone_digest::redaction::RedactionRecord;
use ledgerstone_journal::{BlockEnds, Committed, Data, Publish, PublishedBlock, PublishedRevision, ReadError};

use super::cache::RevisionCache;
use super::counters::Counters;
use super::histories::HistoryCache;
use super::notes::Notes;
use super::second_chance::Kept;
use crate::catalogue::{Catalogue, IndexStatus, Table, system_tables};
use crate::error::{QueryError, Result, SqlState};
use crate::index::{AskedKeys, Before, DiskRows, IndexError, Key, NewRow, Rows};
use crate::transaction::conflict::RecentWrites;
use crate::transaction::payload::{Payload, Write};
use crate::transaction::{Doc, shown};

/// Shared by everything that works on one ledger.
pub struct State {
    pub rows: Arc<DiskRows>,
    pub recent: Mutex<RecentWrites>,
    pub cache: RevisionCache,
    pub histories: HistoryCache,
    /// Catalogues and the snapshot each holds from, ascending; never empty.
    catalogues: RwLock<VecDeque<(u64, Arc<Catalogue>)>>,
    snapshots: Mutex<BTreeMap<u64, u32>>,
    /// The end of the newest block taken in, and of the one before it: the snapshot readers see lies between.
    published: AtomicU64,
    published_before: AtomicU64,
    /// The newest block's time.
    newest_time_ms: AtomicI64,
    identities: Mutex<Counters>,
    ids: Mutex<u128>,
    /// Positions whose redaction is recorded.
    redacted: RwLock<HashSet<u64>>,
    /// Snapshots up to this one show a redacted revision as the current one, and cannot any more.
    redacted_to: AtomicU64,
    /// Where the newest record of a redaction stands; 0 if there is none.
    newest_redaction: AtomicU64,
    /// Unique indexes in which two documents were found with one key.
    duplicates: Mutex<HashSet<Id>>,
    /// Held while a block is taken in.
    taking_in: Mutex<()>,
    /// Conflicts over documents were met lately: for so many transactions still, what is pending is noted, and statements
    /// come with the means to be run again.
    hot: AtomicU32,
    run_again: AtomicU64,
}

/// Records of redactions looked at at a time.
const RECORDS_AT_ONCE: usize = 1_024;
/// See [`State::is_hot`].
const HOT_TRANSACTIONS: u32 = 2_000;

/// What a block is taken in with beside itself: what the journal says of before.
#[derive(Clone, Copy)]
pub struct Past<'a> {
    /// The data of a revision; nothing if it was redacted.
    pub data: &'a dyn Fn(u64) -> Result<Option<Arc<Value>>, IndexError>,
    /// The position behind a block.
    pub block_end: &'a dyn Fn(u64) -> Result<u64, IndexError>,
}

/// Where a redacted revision stands, and its document's next one, if that is older than the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redacted {
    pub position: u64,
    pub successor: Option<u64>,
}

/// A snapshot that somebody reads, or is to be judged by: then what has been written since is kept until nobody holds it.
pub struct OpenSnapshot {
    /// Where it is kept. Who only reads is never judged, and what it reads never goes.
    kept_in: Option<Arc<State>>,
    at: u64,
}

impl OpenSnapshot {
    pub fn at(&self) -> u64 {
        self.at
    }
}

impl fmt::Debug for OpenSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenSnapshot({})", self.at)
    }
}

impl Drop for OpenSnapshot {
    fn drop(&mut self) {
        let Some(state) = &self.kept_in else { return };
        let mut snapshots = lock(&state.snapshots);
        if let Some(count) = snapshots.get_mut(&self.at) {
            *count -= 1;
            if *count == 0 {
                snapshots.remove(&self.at);
            }
        }
    }
}

impl State {
    /// With what the rows and their notes say; `catalogue` is that of the rows' position.
    pub fn new(
        (cache_bytes_max, histories_bytes_max): (usize, usize),
        rows: DiskRows,
        catalogue: Catalogue,
    ) -> Result<State> {
        let Notes { last_document, identities, duplicates } = Notes::decode(&rows.notes())?;
        let redacted = rows.redacted()?.into_iter().collect();
        let newest_redaction = AtomicU64::new(newest_redaction(&rows)?.unwrap_or(0));
        Ok(State {
            published: AtomicU64::new(rows.position()),
            published_before: AtomicU64::new(rows.position()),
            rows: Arc::new(rows),
            recent: Mutex::default(),
            cache: RevisionCache::new(cache_bytes_max),
            histories: HistoryCache::new(histories_bytes_max),
            catalogues: RwLock::new(VecDeque::from([(0, Arc::new(catalogue))])),
            snapshots: Mutex::default(),
            newest_time_ms: AtomicI64::new(i64::MIN),
            identities: Mutex::new(identities),
            ids: Mutex::new(last_document),
            redacted: RwLock::new(redacted),
            redacted_to: AtomicU64::new(0),
            newest_redaction,
            duplicates: Mutex::new(duplicates),
            taking_in: Mutex::default(),
            hot: AtomicU32::new(0),
            run_again: AtomicU64::new(0),
        })
    }

    /// The end of the newest block taken in.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// A snapshot opened from now on is at least this.
    pub fn published_before(&self) -> u64 {
        self.published_before.load(Ordering::Acquire)
    }

    /// Whether transactions were in each other's way over single documents lately.
    pub fn is_hot(&self) -> bool {
        self.hot.load(Ordering::Relaxed) > 0
    }

    /// A conflict over a document was met. Called by the sequencer alone.
    pub fn heat_up(&self) {
        self.hot.store(HOT_TRANSACTIONS, Ordering::Relaxed);
    }

    /// Another transaction has passed. Answers whether it was still hot. Called by the sequencer alone.
    pub fn cool_down(&self) -> bool {
        let hot = self.hot.load(Ordering::Relaxed);
        if hot > 0 {
            self.hot.store(hot - 1, Ordering::Relaxed);
        }
        hot > 0
    }

    pub fn note_run_again(&self) {
        self.run_again.fetch_add(1, Ordering::Relaxed);
    }

    /// How many statements the sequencer has run again on pending state.
    pub fn run_again_count(&self) -> u64 {
        self.run_again.load(Ordering::Relaxed)
    }

    /// The newest block's time. Later blocks have it or a later one.
    pub fn newest_time_ms(&self) -> i64 {
        self.newest_time_ms.load(Ordering::Acquire)
    }

    pub fn newest_catalogue(&self) -> Arc<Catalogue> {
        let catalogues = self.catalogues.read().unwrap_or_else(PoisonError::into_inner);
        catalogues.back().map(|(_, c)| c.clone()).unwrap_or_default()
    }

    /// Opens the snapshot that `newest` gives and the catalogue that belongs to it.
    pub fn open_snapshot(self: &Arc<Self>, newest: impl Fn() -> u64) -> (OpenSnapshot, Arc<Catalogue>) {
        let snapshot = {
            let mut snapshots = lock(&self.snapshots);
            let snapshot = newest();
            *snapshots.entry(snapshot).or_default() += 1;
            snapshot
        };
        let catalogues = self.catalogues.read().unwrap_or_else(PoisonError::into_inner);
        let catalogue = at_snapshot(&catalogues, snapshot).or_else(|| catalogues.front().map(|(_, c)| c));
        (OpenSnapshot { kept_in: Some(Arc::clone(self)), at: snapshot }, catalogue.cloned().unwrap_or_default())
    }

    /// The same for somebody who only reads: nothing is kept for it. `None`: its catalogue has gone meanwhile.
    pub fn look_at_snapshot(&self, snapshot: u64) -> Option<(OpenSnapshot, Arc<Catalogue>)> {
        let catalogues = self.catalogues.read().unwrap_or_else(PoisonError::into_inner);
        let catalogue = at_snapshot(&catalogues, snapshot)?.clone();
        Some((OpenSnapshot { kept_in: None, at: snapshot }, catalogue))
    }

    /// The oldest snapshot that is or may yet be opened, and what the row index has surely taken in.
    pub fn oldest_snapshot(&self) -> (u64, u64) {
        let snapshots = lock(&self.snapshots);
        let published = self.published_before.load(Ordering::Acquire);
        (snapshots.keys().next().map_or(published, |s| published.min(*s)), published)
    }

    /// A fresh document id: 48 bits of milliseconds, then random; ids made here ascend, so that documents stand in the
    /// order they were inserted in.
    pub fn new_document_id(&self, now_ms: i64, random: [u8; 16]) -> Id {
        next_document_id(&mut lock(&self.ids), now_ms, random)
    }

    /// As many fresh ids as there are random values, ascending.
    pub fn new_document_ids(&self, now_ms: i64, random: &[[u8; 16]]) -> Vec<Id> {
        let mut last = lock(&self.ids);
        random.iter().map(|random| next_document_id(&mut last, now_ms, *random)).collect()
    }

    /// The counters of identity columns.
    pub fn counters(&self) -> MutexGuard<'_, Counters> {
        lock(&self.identities)
    }

    /// Judges the unique keys a transaction wins against who holds them, published or pending.
    pub fn check_unique(&self, recent: &RecentWrites, payload: &Payload) -> Result<()> {
        // Who gives up which key: asked only once a holder is found.
        let released = OnceCell::new();
        let releases = |index: Id, key: &Key, id: Id| {
            let all = released.get_or_init(|| {
                let writes = payload.writes.iter();
                let lost = writes.flat_map(|w| w.lost().map(move |(index, key)| (index, key, w.id)));
                lost.collect::<HashSet<_>>()
            });
            all.contains(&(index, key, id))
        };
        // A load's keys were held against its snapshot: who has one now has taken it since.
        let snapshot = payload.snapshot.at();
        let seen_before = payload.load.is_some() && recent.knows_since(snapshot);
        if let Some(load) = &payload.load
            && load.tables.iter().all(|table| recent.is_untouched(*table, snapshot))
        {
            return Ok(());
        }
        for write in &payload.writes {
            for (index, new) in payload.claims(write) {
                let other = |id: &Id| *id != write.id && !releases(index, new, *id);
                let holder = match recent.holder(index, new) {
                    Some(holder) => holder.filter(other),
                    None if seen_before => None,
                    None => self.rows.holders(write.table, index, new)?.into_iter().find(other),
                };
                if holder.is_some() {
                    return Err(self.unique_violation(write, index));
                }
            }
        }
        Ok(())
    }

    fn unique_violation(&self, write: &Write, index: Id) -> QueryError {
        let catalogue = self.newest_catalogue();
        match (catalogue.index(&index), write.shown()) {
            (Some((table, index)), Ok((Some(data), _))) => unique_violation(&table.name, index, &data),
            _ => QueryError::new(SqlState::UNIQUE_VIOLATION, "duplicate key value violates unique constraint"),
        }
    }

    pub fn mark_duplicate(&self, index: Id) {
        lock(&self.duplicates).insert(index);
    }

    pub fn has_duplicates(&self, index: Id) -> bool {
        lock(&self.duplicates).contains(&index)
    }

    /// Writes what the rows have in memory, and what belongs to it.
    pub fn freeze_rows(&self) {
        let _between_blocks = lock(&self.taking_in);
        self.rows.freeze(self.notes());
    }

    /// Removes the keys of redacted revisions from the files of the index.
    pub fn purge_rows(&self) {
        if let Err(error) = self.rows.purge(&|| self.freeze_rows()) {
            tracing::error!(%error, "keys of redacted revisions are left in the row index; the next start removes them");
        }
    }

    fn notes(&self) -> Vec<u8> {
        let last_document = *lock(&self.ids);
        let (identities, duplicates) = (lock(&self.identities).clone(), lock(&self.duplicates).clone());
        Notes { last_document, identities, duplicates }.encode()
    }

    /// Takes in a durable block, or a piece of one, at opening and while running alike.
    pub fn take_in(&self, block: PublishedBlock, past: Past<'_>) -> Result<()> {
        let _whole = lock(&self.taking_in);
        let committed = block.committed;
        let payload = block.payload.and_then(|p| p.downcast::<Payload>().ok());
        let mut catalogue = self.newest_catalogue();
        // A transaction's definitions stand before its documents, so what follows them is indexed by them.
        if block.revisions.iter().any(|r| system_tables::is_definition(&r.table_id)) {
            let mut next = (*catalogue).clone();
            for revision in block.revisions.iter().filter(|r| system_tables::is_definition(&r.table_id)) {
                let change = system_tables::apply(&mut next, revision, committed.first_position, committed.snapshot())?;
                self.apply_index_change(change, &next);
            }
            catalogue = Arc::new(next);
        }
        for (n, revision) in block.revisions.iter().enumerate() {
            let prepared = payload.as_ref().map(|p| p.writes.get(n).filter(|w| w.id == revision.document_id));
            self.take_in_revision(revision, prepared, &catalogue, &committed, past)?;
            // A large block fills more than one delta, and a start after a crash goes on inside it.
            if self.rows.is_full() {
                self.rows.taken_in(revision.position + 1);
                self.rows.freeze(self.notes());
            }
        }
        if block.complete {
            if let Some(token) = &block.origin.client_token {
                self.rows.add_token(token, committed.block);
            }
            self.rows.taken_in(committed.snapshot());
            self.newest_time_ms.fetch_max(committed.time_ms, Ordering::AcqRel);
        }
        self.publish_catalogue(catalogue, committed.snapshot());
        Ok(())
    }

    /// `prepared`: `None` when the journal is replayed, otherwise what the transaction knew of this revision.
    fn take_in_revision(
        &self,
        revision: &PublishedRevision,
        prepared: Option<Option<&Write>>,
        catalogue: &Catalogue,
        committed: &Committed,
        past: Past<'_>,
    ) -> Result<()> {
        let replaying = prepared.is_none();
        let prepared = prepared.flatten();
        let table = catalogue.table_by_id(&revision.table_id);
        let computed;
        let keys = match (prepared, table, &revision.data) {
            (Some(write), _, _) => write.keys(),
            (None, Some(table), Some(data)) => {
                computed = table.keys_of(&shown(data)?.0);
                &computed
            }
            _ => &[],
        };
        let ask = || keys_before(table, revision, past);
        let before = match (revision.supersedes, prepared) {
            (None, _) => Before::Nothing,
            (Some(_), Some(write)) => Before::Other(write.changes.iter().map(|c| (c.index, c.old.as_ref())).collect()),
            (Some(_), None) => Before::Ask(&ask),
        };
        self.rows.add(&NewRow {
            table: revision.table_id,
            id: revision.document_id,
            position: revision.position,
            deleted: revision.deleted,
            keys,
            before,
        })?;
        if let Some(table) = table {
            self.after_revision(table, revision.document_id, revision.data.as_ref(), keys)?;
        }
        if replaying && revision.supersedes.is_none() {
            self.after_document(revision.document_id, committed.time_ms);
        }
        if revision.table_id == Id::REDACTIONS {
            self.forget_redacted(revision, committed, catalogue, past)?;
        }
        let is_loaded = matches!(revision.data, Some(Data::Encoded(_)));
        if !replaying && !is_loaded && (revision.deleted || revision.data.is_some()) {
            self.remember(revision, prepared, committed)?;
        }
        Ok(())
    }

    /// A revision that has just been published is likely to be read soon, unless it is one of very many.
    fn remember(&self, revision: &PublishedRevision, prepared: Option<&Write>, committed: &Committed) -> Result<()> {
        // What a rotation says of its own place only the journal knew.
        let prepared = prepared.filter(|_| revision.table_id != Id::KEYS);
        let (data, salt) = match (prepared, &revision.data) {
            (Some(write), _) => write.shown()?,
            (None, Some(data)) => {
                let (data, salt) = shown(data)?;
                (Some(data), salt)
            }
            (None, None) => (None, None),
        };
        let doc = Doc {
            table_id: revision.table_id,
            id: revision.document_id,
            position: revision.position,
            version: revision.version,
            block: committed.block,
            tx_time_ms: committed.time_ms,
            tx_id: committed.transaction_id,
            supersedes: revision.supersedes,
            successor: None,
            data,
            salt,
            data_hash: None,
        };
        self.cache.put(Arc::new(doc), Kept::Always);
        Ok(())
    }

    pub fn is_redacted(&self, position: u64) -> bool {
        self.redacted.read().unwrap_or_else(PoisonError::into_inner).contains(&position)
    }

    /// Where the newest record of a redaction stands that was taken in, if there is one.
    pub fn newest_redaction(&self) -> Option<u64> {
        Some(self.newest_redaction.load(Ordering::Acquire)).filter(|position| *position > 0)
    }

    /// Snapshots up to this one cannot be read any more: a revision that is current for them was redacted meanwhile.
    pub fn redacted_to(&self) -> u64 {
        self.redacted_to.load(Ordering::Acquire)
    }

    /// The revision that a record, itself at position `at`, is about: of its document's the one that its block wrote. Not the
    /// one of so many that its version says: what was imported may lack versions.
    pub fn redacted_by(
        &self,
        record: &RedactionRecord,
        at: u64,
        block_end: &dyn Fn(u64) -> Result<u64, IndexError>,
    ) -> Result<Option<Redacted>, IndexError> {
        let end = block_end(record.block)?;
        // Its own block comes after the one that it names.
        if end > at {
            return Ok(None);
        }
        let revisions = self.rows.revisions(record.table_id, record.document_id, at)?;
        let behind = revisions.partition_point(|position| *position < end);
        let Some(position) = behind.checked_sub(1).and_then(|n| revisions.get(n)).copied() else { return Ok(None) };
        let begin = record.block.checked_sub(1).map_or(Ok(0), block_end)?;
        Ok((position >= begin).then(|| Redacted { position, successor: revisions.get(behind).copied() }))
    }

    /// The data that a record says was redacted is handed out no more, whether the journal has erased it yet or not.
    fn forget_redacted(
        &self,
        revision: &PublishedRevision,
        committed: &Committed,
        catalogue: &Catalogue,
        past: Past<'_>,
    ) -> Result<()> {
        self.newest_redaction.fetch_max(revision.position, Ordering::AcqRel);
        let Some(record) = &revision.data else { return Ok(()) };
        let record = RedactionRecord::from_value(&shown(record)?.0).filter(|record| record.block < committed.block);
        let Some(record) = record else { return Ok(()) };
        if let Some(redacted) = self.redacted_by(&record, revision.position, past.block_end)? {
            let position = redacted.position;
            // Before anything goes, so that no transaction sees it go and takes it for what its snapshot says.
            self.redacted_to.fetch_max(redacted.successor.unwrap_or(revision.position), Ordering::AcqRel);
            self.redacted.write().unwrap_or_else(PoisonError::into_inner).insert(position);
            // Whoever redacted it has just read it; knowing its keys saves looking at every one.
            let data = self.cache.get(position).and_then(|(doc, _)| doc.data.clone());
            let table = catalogue.table_by_id(&record.table_id);
            let keys = table.zip(data).map(|(table, data)| table.keys_of(&data));
            self.cache.remove(position);
            self.histories.throw_away(record.document_id);
            self.rows.forget_keys(record.table_id, record.document_id, position, keys.as_deref())?;
        }
        Ok(())
    }

    /// Ids made from now on come after those that were made here before.
    fn after_document(&self, id: Id, time_ms: i64) {
        let number = u128::from_be_bytes(id.0);
        // One that came from elsewhere may lie far ahead.
        if number >> 80 <= time_ms.max(0) as u128 {
            let mut last = lock(&self.ids);
            *last = number.max(*last);
        }
    }

    /// What a definition means for the row index.
    fn apply_index_change(&self, change: system_tables::DefinitionChange, catalogue: &Catalogue) {
        match change {
            system_tables::DefinitionChange::IndexMade { table, index } => {
                let complete = catalogue.index(&index).is_some_and(|(_, index)| {
                    // Made online on a table without documents, it misses none either.
                    index.from_position == 0 || index.status == IndexStatus::Online
                });
                self.rows.add_index(table, index, complete);
            }
            system_tables::DefinitionChange::IndexDropped { table, index } => self.rows.drop_index(table, index),
            system_tables::DefinitionChange::Other => {}
        }
    }

    /// Counters of identity columns, and duplicates in an index that is being built.
    fn after_revision(&self, table: &Table, id: Id, data: Option<&Data>, keys: &[(Id, Key)]) -> Result<()> {
        let Some(data) = data else { return Ok(()) };
        if table.columns.iter().any(|c| c.identity.is_some()) {
            let (data, _) = shown(data)?;
            for column in table.columns.iter().filter(|c| c.identity.is_some()) {
                if let Some(value) = data.as_struct().and_then(|s| s.get(&column.name)).and_then(Value::as_i64) {
                    self.counters().note(table.id, &column.name, value);
                }
            }
        }
        for index in table.indexes.iter().filter(|i| i.unique && i.status == IndexStatus::Building) {
            let key = keys.iter().find(|(i, _)| *i == index.id);
            if let Some((_, key)) = key.filter(|(_, key)| key.is_complete())
                && self.rows.holders(table.id, index.id, key)?.iter().any(|other| *other != id)
            {
                self.mark_duplicate(index.id);
            }
        }
        Ok(())
    }

    fn publish_catalogue(&self, catalogue: Arc<Catalogue>, snapshot: u64) {
        let (oldest, _) = self.oldest_snapshot();
        let mut catalogues = self.catalogues.write().unwrap_or_else(PoisonError::into_inner);
        if catalogues.back().is_none_or(|(_, newest)| newest.version != catalogue.version) {
            catalogues.push_back((snapshot, catalogue));
        }
        while catalogues.get(1).is_some_and(|(from, _)| *from <= oldest) {
            catalogues.pop_front();
        }
        drop(catalogues);
        self.published_before.store(self.published.load(Ordering::Acquire), Ordering::Release);
        self.published.store(snapshot, Ordering::Release);
    }

    /// After opening: everything taken in may be seen.
    pub fn opened(&self, snapshot: u64, last_time_ms: Option<i64>) {
        self.newest_time_ms.store(last_time_ms.unwrap_or(i64::MIN), Ordering::Release);
        self.published.store(snapshot, Ordering::Release);
        self.published_before.store(snapshot, Ordering::Release);
    }
}

/// The catalogue that holds at a snapshot.
fn at_snapshot(catalogues: &VecDeque<(u64, Arc<Catalogue>)>, snapshot: u64) -> Option<&Arc<Catalogue>> {
    catalogues.iter().rev().find(|(from, _)| *from <= snapshot).map(|(_, catalogue)| catalogue)
}

/// The publisher's hook.
pub struct Publisher(pub Arc<State>);

impl Publish for Publisher {
    fn publish(&mut self, block: PublishedBlock, before: &dyn BlockEnds) {
        let number = block.committed.block;
        // What was before its revisions came with them.
        let data =
            |position| Err(IndexError::Contradicts(format!("the keys at position {position} did not come along")));
        let past = Past { data: &data, block_end: &|number| before.block_end(number).map_err(contradicts) };
        if let Err(error) = self.0.take_in(block, past) {
            // It is durable, and what is on disk is not touched by this; but answers without it would be wrong.
            self.0.rows.give_up(IndexError::Contradicts(format!("block {number} could not be taken in: {error}")));
        }
    }
}

fn next_document_id(last: &mut u128, now_ms: i64, random: [u8; 16]) -> Id {
    let time = (now_ms.max(0) as u128 & 0xffff_ffff_ffff) << 80;
    let random = u128::from_be_bytes(random);
    let fresh = time | (random >> 48);
    *last = if *last >> 80 >= fresh >> 80 { last.saturating_add(1 + (random & 0xffff_ffff)) } else { fresh };
    Id(last.to_be_bytes())
}

/// What the journal cannot say although the index goes by it.
pub fn contradicts(error: ReadError) -> IndexError {
    IndexError::Contradicts(error.to_string())
}

/// The keys that a document had before this revision.
fn keys_before(table: Option<&Arc<Table>>, revision: &PublishedRevision, past: Past<'_>) -> AskedKeys {
    let (Some(table), Some(before)) = (table, revision.supersedes) else { return Ok(Some(Vec::new())) };
    Ok((past.data)(before)?.map(|data| table.keys_of(&data)))
}

/// The error for a second document with a unique key (23505), as PostgreSQL words it.
pub fn unique_violation(table: &Arc<str>, index: &crate::catalogue::Index, document: &Value) -> QueryError {
    let values: Vec<String> = index
        .paths
        .iter()
        .map(|path| crate::catalogue::value_at(document, path).map_or_else(|| "null".into(), short_text))
        .collect();
    QueryError::new(
        SqlState::UNIQUE_VIOLATION,
        format!("duplicate key value violates unique constraint \"{}\"", index.name),
    )
    .detail(format!("Key ({})=({}) already exists.", index.paths_text(), values.join(", ")))
    .about_constraint(table, &index.name)
}

fn short_text(value: &Value) -> String {
    let text = match value.as_text() {
        Some(text) => text.to_owned(),
        None => ledgerstone_digest::ion::to_text(value),
    };
    match text.char_indices().nth(200) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

/// Where the newest record of a redaction stands in the rows, if there is one.
fn newest_redaction(rows: &DiskRows) -> Result<Option<u64>> {
    let (mut newest, mut after) = (None, None);
    loop {
        let some = rows.documents(Id::REDACTIONS, after, u64::MAX, RECORDS_AT_ONCE)?;
        newest = newest.max(some.iter().map(|row| row.position).max());
        match some.last() {
            Some(last) if some.len() == RECORDS_AT_ONCE => after = Some(last.id),
            _ => return Ok(newest),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
