//! How a transaction reads: the row index at its snapshot, its own writes on top, and every read recorded.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use ledgerstone_digest::id::Id;

use super::overlay::{OverlayView, Own, TableOverlay};
use super::read_set::RangeRead;
use super::{Doc, Shared, Transaction, View};
use crate::catalogue::{Index, Table};
use crate::error::{QueryError, Result, SqlState};
use crate::index::key::byte_bounds;
use crate::index::{IndexError, Key, KeyAt, KeyRange, RowAt, Rows};

/// Rows fetched from the index under one lock.
const BATCH_MAX: usize = 256;

/// How many revisions are read at once.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    pub revisions: usize,
    /// Those of them that no cache holds. Others of the thread that reads them wait too.
    pub missing: usize,
    /// Bytes of memory of all of them,
    pub bytes: usize,
    /// unless there are no more than these.
    pub few: usize,
}

impl Most {
    /// Where other sessions of the thread wait: no longer than a statement may that makes no room for them.
    pub(crate) const IN_PLACE: Most = Most { revisions: 256, missing: 64, bytes: 512 << 10, few: 16 };
    /// Elsewhere.
    const APART: Most = Most { missing: Most::IN_PLACE.revisions, few: 0, ..Most::IN_PLACE };
}

/// Revisions, one after another. `Send` and independent of the transaction's borrow.
pub struct Docs {
    inner: Box<dyn Iterator<Item = Result<Arc<Doc>>> + Send>,
    shared: Arc<Shared>,
    /// How many there were so far; the transaction hears of them at the end.
    visited: u64,
}

impl Docs {
    fn of(shared: &Arc<Shared>, inner: impl Iterator<Item = Result<Arc<Doc>>> + Send + 'static) -> Docs {
        Docs { inner: Box::new(inner), shared: Arc::clone(shared), visited: 0 }
    }
}

impl Drop for Docs {
    fn drop(&mut self) {
        self.shared.visit(self.visited);
    }
}

impl Iterator for Docs {
    type Item = Result<Arc<Doc>>;

    fn next(&mut self) -> Option<Result<Arc<Doc>>> {
        self.inner.next().inspect(|_| self.visited += 1)
    }
}

/// A transaction read in one view.
pub(super) struct Reader<'a> {
    tx: &'a Transaction,
    at: u64,
    current: bool,
    /// Own writes as they were at one moment, not as they are.
    held: Option<&'a OverlayView>,
}

impl<'a> Reader<'a> {
    pub fn new(tx: &'a Transaction, view: View) -> Result<Reader<'a>> {
        match view {
            View::Current => Ok(Reader { held: tx.held.as_ref(), ..Reader::of_everything_written(tx) }),
            View::AsOf(at) if at <= tx.snapshot() => Ok(Reader { tx, at, current: false, held: None }),
            View::AsOf(at) => Err(QueryError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("position {at} lies after the transaction's snapshot, {}", tx.snapshot()),
            )),
        }
    }

    /// The current view with all own writes, whatever the statement is to read of them.
    pub fn of_everything_written(tx: &'a Transaction) -> Reader<'a> {
        Reader { tx, at: tx.snapshot(), current: true, held: None }
    }

    /// Own writes count, unless the past is being read. The past never changes, so reading it records nothing.
    fn overlay(&self, table: &Table) -> Option<&'a Arc<TableOverlay>> {
        if !self.current {
            return None;
        }
        match self.held.and_then(|held| held.table(&table.id)) {
            Some(held) => held,
            None => self.tx.overlay.table(&table.id),
        }
    }

    pub fn get(&self, table: &Table, id: Id) -> Result<Option<Arc<Doc>>> {
        self.tx.shared.visit(1);
        if let Some(own) = self.overlay(table).and_then(|o| o.documents.get(&id)) {
            return own.data.is_some().then(|| self.tx.own_doc(table.id, id, own).map(Arc::new)).transpose();
        }
        if self.current {
            if let Some(pending) = self.tx.shared.pending(table.id, id) {
                return Ok(pending.data.is_some().then_some(pending));
            }
            self.tx.shared.note(|reads| reads.document(table.id, id));
        }
        let position = self.state().rows.document(table.id, id, self.at)?;
        check_not_redacted(&self.tx.shared, self.current)?;
        position.map(|p| self.tx.database().read(p)).transpose()
    }

    pub fn lookup(&self, table: &Table, index: &Index, key: &Key) -> Result<Vec<Arc<Doc>>> {
        self.check_index(table, index)?;
        if self.current {
            self.tx.shared.note(|reads| reads.key(table.id, index.id, key));
        }
        let found = match self.state().rows.lookup(table.id, index.id, key, self.at) {
            Ok(found) => found,
            Err(error) => self.without_index(index, error)?,
        };
        check_not_redacted(&self.tx.shared, self.current)?;
        let overlay = self.overlay(table);
        let mut docs = Vec::with_capacity(found.len());
        let mut found =
            found.into_iter().filter(|f| overlay.is_none_or(|o| !o.documents.contains_key(&f.id))).peekable();
        let mut own = overlay.into_iter().flat_map(|o| o.lookup(&index.id, key)).peekable();
        loop {
            let published = match (found.peek(), own.peek()) {
                (None, None) => {
                    self.tx.shared.visit(docs.len() as u64);
                    return Ok(docs);
                }
                (Some(f), Some((k, id))) => (&f.key, f.id) < (k, *id),
                (found, _) => found.is_some(),
            };
            if published {
                if let Some(row) = found.next() {
                    docs.extend(self.published(table, row.id, row.position)?);
                }
            } else if let Some((_, id)) = own.next()
                && let Some(entry) = overlay.and_then(|o| o.documents.get(id))
            {
                docs.push(Arc::new(self.tx.own_doc(table.id, *id, entry)?));
            }
        }
    }

    /// The one document that has this key, whole, in a unique index.
    pub fn unique(&self, table: &Table, index: &Index, key: &Key) -> Result<Option<Arc<Doc>>> {
        let usable = index.covers(self.at);
        if !usable || self.overlay(table).is_some() || self.tx.shared.on_pending {
            return Ok(self.lookup(table, index, key)?.into_iter().next());
        }
        self.tx.shared.note(|reads| reads.key(table.id, index.id, key));
        let found = self.state().rows.only(table.id, index.id, key, self.at)?;
        check_not_redacted(&self.tx.shared, self.current)?;
        let Some((id, position)) = found else { return Ok(None) };
        self.tx.shared.visit(1);
        self.published(table, id, position)
    }

    pub fn range(
        &self,
        table: &Table,
        index: &Index,
        low: &Bound<Key>,
        high: &Bound<Key>,
        descending: bool,
    ) -> Result<Docs> {
        self.check_index(table, index)?;
        let (low, high) = byte_bounds(low, high);
        let inner = RangeDocs {
            shared: self.tx.shared.clone(),
            tx_id: self.tx.id,
            table: table.id,
            index: index.id,
            own_index: self.is_own_index(index),
            overlay: self.overlay(table).cloned(),
            at: self.at,
            current: self.current,
            range: KeyRange { low, high, descending, after: None },
            batch: VecDeque::new(),
            batch_size: 1,
            published_done: false,
            own_after: None,
            slot: None,
            recorded: None,
            done: false,
        };
        Ok(Docs::of(&self.tx.shared, inner))
    }

    pub fn scan(&self, table: &Table) -> Result<Docs> {
        if self.current {
            self.tx.shared.note(|reads| reads.table(table.id));
        }
        let inner = ScanDocs {
            shared: self.tx.shared.clone(),
            tx_id: self.tx.id,
            table: table.id,
            overlay: self.overlay(table).cloned(),
            at: self.at,
            current: self.current,
            batch: VecDeque::new(),
            after: None,
            own_after: None,
            published_done: false,
        };
        Ok(Docs::of(&self.tx.shared, inner))
    }

    /// The positions between which revisions were active, and the read that asking for them is.
    pub fn history_between(
        &self,
        table: &Table,
        document: Option<Id>,
        from_ms: Option<i64>,
        to_ms: Option<i64>,
    ) -> Result<(u64, u64)> {
        let database = self.tx.database();
        let to = match to_ms {
            Some(ms) => self.tx.position_at_time(ms)?,
            None => self.at,
        };
        let from = match from_ms {
            // Nothing has happened after now, so a start in the future is now.
            Some(ms) => database.position_at_time(ms.min(database.now_ms()))?.min(self.at),
            None => 0,
        };
        if from_ms.zip(to_ms).is_some_and(|(from, to)| from > to) {
            return Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, "the interval ends before it starts"));
        }
        // What was active up to a time that blocks have passed can't change any more.
        if to == self.at {
            match document {
                Some(id) => self.tx.shared.note(|reads| reads.document(table.id, id)),
                None => self.tx.shared.note(|reads| reads.table(table.id)),
            };
        }
        Ok((from, to))
    }

    pub fn history(
        &self,
        table: &Table,
        document: Option<Id>,
        from_ms: Option<i64>,
        to_ms: Option<i64>,
    ) -> Result<Docs> {
        let (from, to) = self.history_between(table, document, from_ms, to_ms)?;
        let inner = HistoryDocs {
            shared: self.tx.shared.clone(),
            table: table.id,
            only: document,
            from,
            to,
            ids: VecDeque::new(),
            after: None,
            ids_done: false,
            revisions: VecDeque::new(),
            unread: Vec::new(),
            at_once: VecDeque::new(),
        };
        Ok(Docs::of(&self.tx.shared, inner))
    }

    pub fn revisions_of(&self, table: &Table, id: Id, most: Most, successors: bool) -> Result<Option<Vec<Arc<Doc>>>> {
        self.tx.shared.note(|reads| reads.document(table.id, id));
        let positions = self.state().rows.revisions(table.id, id, self.at)?;
        let Some(mut docs) = self.tx.database().read_history((table.id, id), &positions, most)? else {
            return Ok(None);
        };
        self.tx.shared.visit(positions.len() as u64);
        if successors {
            let following = positions.iter().skip(1).copied().map(Some).chain([None]);
            docs = docs.into_iter().zip(following).map(|(doc, successor)| with_successor(doc, successor)).collect();
        }
        Ok(Some(docs))
    }

    pub fn ever(&self, table: &Table, index: &Index, key: &Key) -> Result<Option<Vec<Id>>> {
        if index.from_position > 0 || !index.covers(self.at) || self.is_own_index(index) {
            return Ok(None);
        }
        self.tx.shared.note(|reads| reads.key(table.id, index.id, key));
        self.state().rows.ever(table.id, index.id, key, self.at).map(Some).map_err(QueryError::from)
    }

    fn state(&self) -> &'a crate::database::State {
        self.tx.database().state()
    }

    /// A document that the index names; `None` if a pending transaction deletes it. Its keys are those of the snapshot:
    /// that no pending transaction changes them is judged with the key that was looked up.
    fn published(&self, table: &Table, id: Id, position: u64) -> Result<Option<Arc<Doc>>> {
        if self.current {
            if let Some(pending) = self.tx.shared.pending(table.id, id) {
                return Ok(pending.data.is_some().then_some(pending));
            }
            self.tx.shared.note(|reads| reads.document(table.id, id));
        }
        let doc = self.tx.database().read(position)?;
        check_not_redacted(&self.tx.shared, self.current)?;
        Ok(Some(doc))
    }

    fn is_own_index(&self, index: &Index) -> bool {
        self.tx.catalogues.first().is_none_or(|c| c.index(&index.id).is_none())
    }

    fn check_index(&self, table: &Table, index: &Index) -> Result<()> {
        if index.table_id != table.id {
            return Err(QueryError::internal(format!("index {} is not of table {}", index.id, table.id)));
        }
        let covered = index.covers(self.at) || (self.current && self.is_own_index(index));
        if !covered {
            return Err(QueryError::internal(format!("index \"{}\" does not cover position {}", index.name, self.at)));
        }
        Ok(())
    }

    fn without_index(&self, index: &Index, error: IndexError) -> Result<Vec<KeyAt>> {
        match error {
            IndexError::Gone(_) if self.is_own_index(index) => Ok(Vec::new()),
            error => Err(error.into()),
        }
    }
}

/// Whether a view may still be read: asked after a scan by other ways than those here.
#[cfg(feature = "analytics")]
pub(super) fn check_readable(shared: &Shared, view: View) -> Result<()> {
    check_not_redacted(shared, view == View::Current)
}

/// A snapshot for which a redacted revision is the current one cannot be read any more: what is gone would be missing,
/// which is a wrong answer. Asked after every read.
fn check_not_redacted(shared: &Shared, current: bool) -> Result<()> {
    match current && shared.snapshot() <= shared.database.state().redacted_to() {
        true => Err(super::conflict::conflict_error("what it sees as current has been redacted since it began".into())),
        false => Ok(()),
    }
}

/// A transaction's own write as a revision.
pub(super) fn own_doc(shared: &Shared, tx_id: Id, table_id: Id, id: Id, own: &Own) -> Result<Doc> {
    Ok(Doc {
        table_id,
        id,
        position: Doc::UNCOMMITTED,
        version: own.version(),
        block: u64::MAX,
        tx_time_ms: shared.started_ms,
        tx_id,
        supersedes: own.base.as_ref().map(|b| b.position),
        successor: None,
        data: own.shown()?,
        salt: None,
        data_hash: None,
    })
}

/// What is shared knows no successor; most revisions that are read have none.
fn with_successor(doc: Arc<Doc>, successor: Option<u64>) -> Arc<Doc> {
    if doc.successor == successor { doc } else { Arc::new(Doc { successor, ..(*doc).clone() }) }
}

struct ScanDocs {
    shared: Arc<Shared>,
    tx_id: Id,
    table: Id,
    overlay: Option<Arc<TableOverlay>>,
    at: u64,
    current: bool,
    batch: VecDeque<RowAt>,
    after: Option<Id>,
    own_after: Option<Id>,
    published_done: bool,
}

impl Iterator for ScanDocs {
    type Item = Result<Arc<Doc>>;

    fn next(&mut self) -> Option<Result<Arc<Doc>>> {
        loop {
            if self.batch.is_empty() && !self.published_done {
                let rows = &self.shared.database.state().rows;
                match rows.documents(self.table, self.after, self.at, BATCH_MAX) {
                    Ok(batch) => self.batch = batch.into(),
                    Err(error) => {
                        self.published_done = true;
                        return Some(Err(error.into()));
                    }
                }
                self.published_done = self.batch.is_empty();
                self.after = self.batch.back().map(|r| r.id).or(self.after);
            }
            let own = self.next_own();
            match (self.batch.front().map(|r| r.id), own) {
                (None, None) => return None,
                (Some(id), own) if own.as_ref().is_none_or(|(o, _)| id < *o) => {
                    let row = self.batch.pop_front()?;
                    let doc = self.shared.database.read(row.position);
                    return Some(check_not_redacted(&self.shared, self.current).and(doc));
                }
                (published, Some((id, entry))) => {
                    // Our own write stands in the place of what it replaces.
                    if published == Some(id) {
                        self.batch.pop_front();
                    }
                    self.own_after = Some(id);
                    if entry.data.is_some() {
                        return Some(own_doc(&self.shared, self.tx_id, self.table, id, &entry).map(Arc::new));
                    }
                }
                (Some(_), None) => return None,
            }
        }
    }
}

impl ScanDocs {
    fn next_own(&self) -> Option<(Id, Arc<Own>)> {
        let low = self.own_after.map_or(Bound::Unbounded, Bound::Excluded);
        let (id, own) = self.overlay.as_ref()?.documents.range((low, Bound::Unbounded)).next()?;
        Some((*id, own.clone()))
    }
}

struct RangeDocs {
    shared: Arc<Shared>,
    tx_id: Id,
    table: Id,
    index: Id,
    own_index: bool,
    overlay: Option<Arc<TableOverlay>>,
    at: u64,
    current: bool,
    range: KeyRange,
    batch: VecDeque<KeyAt>,
    batch_size: usize,
    published_done: bool,
    own_after: Option<(Key, Id)>,
    /// Where in the read set this range is recorded, and how far.
    slot: Option<usize>,
    recorded: Option<Key>,
    done: bool,
}

impl Iterator for RangeDocs {
    type Item = Result<Arc<Doc>>;

    fn next(&mut self) -> Option<Result<Arc<Doc>>> {
        loop {
            if let Err(error) = self.fill() {
                self.done = true;
                return Some(Err(error));
            }
            let own = self.next_own();
            let published = self.batch.front();
            let take_published = match (published, &own) {
                _ if self.done => return None,
                (None, None) => {
                    self.record(None);
                    self.done = true;
                    return None;
                }
                (Some(p), Some((key, id))) => match self.range.descending {
                    false => (&p.key, p.id) < (key, *id),
                    true => (&p.key, p.id) > (key, *id),
                },
                (published, _) => published.is_some(),
            };
            if take_published {
                let row = self.batch.pop_front()?;
                self.record(Some(&row.key));
                if self.overlay.as_ref().is_some_and(|o| o.documents.contains_key(&row.id)) {
                    continue;
                }
                if self.current {
                    self.shared.note(|reads| reads.document(self.table, row.id));
                }
                let doc = self.shared.database.read(row.position);
                return Some(check_not_redacted(&self.shared, self.current).and(doc));
            }
            let (key, id) = own?;
            self.record(Some(&key));
            let entry = self.overlay.as_ref().and_then(|o| o.documents.get(&id)).cloned();
            self.own_after = Some((key, id));
            if let Some(entry) = entry {
                return Some(own_doc(&self.shared, self.tx_id, self.table, id, &entry).map(Arc::new));
            }
        }
    }
}

impl RangeDocs {
    /// Batches grow, so that LIMIT 1 costs little and a long range few locks.
    fn fill(&mut self) -> Result<()> {
        if !self.batch.is_empty() || self.published_done || self.done {
            return Ok(());
        }
        let rows = &self.shared.database.state().rows;
        match rows.range(self.table, self.index, &self.range, self.at, self.batch_size) {
            Ok(batch) => self.batch = batch.into(),
            Err(IndexError::Gone(_)) if self.own_index => {}
            Err(error) => return Err(error.into()),
        }
        check_not_redacted(&self.shared, self.current)?;
        self.batch_size = (self.batch_size * 4).min(BATCH_MAX);
        self.published_done = self.batch.is_empty();
        if let Some(last) = self.batch.back() {
            self.range.after = Some((last.key.clone(), last.id));
        }
        Ok(())
    }

    fn next_own(&self) -> Option<(Key, Id)> {
        let KeyRange { low, high, descending, .. } = &self.range;
        let overlay = self.overlay.as_ref()?;
        overlay.next_key(&self.index, low, high.as_ref(), self.own_after.as_ref(), *descending)
    }

    /// Everything up to and including this key has been read; `None`: the whole range.
    fn record(&mut self, key: Option<&Key>) {
        if !self.current || (key.is_some() && self.recorded.as_ref() == key) {
            return;
        }
        self.recorded = key.cloned();
        let KeyRange { low, high, descending, .. } = &self.range;
        let (low, high) = match (key, descending) {
            (None, _) => (low.clone(), high.clone()),
            (Some(key), false) => (low.clone(), Some(key.after_prefix())),
            (Some(key), true) => (key.clone(), high.clone()),
        };
        let read = RangeRead { table: self.table, index: self.index, low, high };
        let slot = self.slot;
        self.slot = self.shared.note(|reads| reads.range(slot, read)).flatten();
    }
}

struct HistoryDocs {
    shared: Arc<Shared>,
    table: Id,
    only: Option<Id>,
    from: u64,
    to: u64,
    ids: VecDeque<Id>,
    after: Option<Id>,
    ids_done: bool,
    /// Positions and successors of the document at hand.
    revisions: VecDeque<(u64, Option<u64>)>,
    /// All positions of the one document whose whole history is wanted, until they are read at once: when the second revision is
    /// asked for, since who wants one may want no more.
    unread: Vec<u64>,
    at_once: VecDeque<Arc<Doc>>,
}

impl Iterator for HistoryDocs {
    type Item = Result<Arc<Doc>>;

    fn next(&mut self) -> Option<Result<Arc<Doc>>> {
        loop {
            if let Some((position, successor)) = self.revisions.pop_front() {
                return Some(self.revision(position).map(|doc| with_successor(doc, successor)));
            }
            let positions = self.next_id().transpose()?.and_then(|id| {
                let rows = &self.shared.database.state().rows;
                rows.revisions(self.table, id, self.shared.snapshot()).map_err(QueryError::from)
            });
            let positions = match positions {
                Ok(positions) => positions,
                Err(error) => {
                    (self.ids_done, self.ids) = (true, VecDeque::new());
                    return Some(Err(error));
                }
            };
            for (n, position) in positions.iter().enumerate() {
                let successor = positions.get(n + 1).copied();
                if *position < self.to && successor.is_none_or(|s| s >= self.from) {
                    self.revisions.push_back((*position, successor));
                }
            }
            if self.only.is_some() && self.revisions.len() == positions.len() {
                self.unread = positions;
            }
        }
    }
}

impl HistoryDocs {
    fn revision(&mut self, position: u64) -> Result<Arc<Doc>> {
        let database = &self.shared.database;
        if let (Some(id), Some(first)) = (self.only, self.unread.first())
            && *first != position
        {
            let positions = std::mem::take(&mut self.unread);
            let docs = database.read_history((self.table, id), &positions, Most::APART)?;
            self.at_once = docs.unwrap_or_default().into();
            // It has been given out.
            self.at_once.pop_front();
        }
        match self.at_once.pop_front() {
            Some(doc) => Ok(doc),
            None => database.read_past(position),
        }
    }

    fn next_id(&mut self) -> Result<Option<Id>> {
        if let Some(only) = self.only {
            return Ok(if std::mem::replace(&mut self.ids_done, true) { None } else { Some(only) });
        }
        if self.ids.is_empty() && !self.ids_done {
            self.ids = self.shared.database.state().rows.all_documents(self.table, self.after, BATCH_MAX)?.into();
            self.ids_done = self.ids.is_empty();
            self.after = self.ids.back().copied();
        }
        Ok(self.ids.pop_front())
    }
}

impl From<IndexError> for QueryError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Gone(_) => {
                super::conflict::conflict_error(format!("{error}: it was dropped after this transaction began"))
            }
            IndexError::Damaged { .. } | IndexError::Contradicts(_) => QueryError::new(
                SqlState::DATA_CORRUPTED,
                error.to_string(),
            )
            .hint(
                "The row index is derived: nothing is lost. Restart the server, which makes it again from the journal, \
                     or run `ledgerstone doctor --rebuild` on the stopped ledger.",
            ),
            IndexError::File { .. } => QueryError::new(SqlState::IO_ERROR, error.to_string()),
        }
    }
}
