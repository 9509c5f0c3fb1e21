//! Transactions: a snapshot, a read set, own writes on top, validation when they commit (DESIGN section 7).

pub(crate) mod bulk;
mod commit;
pub mod conflict;
mod counters;
mod doc;
mod overlay;
pub(crate) mod payload;
mod pending;
mod read;
pub mod read_set;
pub(crate) mod redact;
mod rotate;
mod rules;
pub mod strict;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledgerstone_digest::Hash;
use ledgerstone_digest::block::{RedactionInfo, StatementInfo, StatementText};
use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Hasher, Value, ion_hash_string};
use ledgerstone_digest::qldb::statement_digest_of;
use ledgerstone_journal::Data;

pub(crate) use commit::{block_on, commit_error};
pub use doc::{Doc, View};
pub(crate) use doc::{Salt, shown, without_salt};
pub use read::{Docs, Most};

use crate::catalogue::{Catalogue, Index, Table, TableStatus, system_tables};
use crate::database::counters::Counters;
use crate::database::state::OpenSnapshot;
use crate::database::{Database, TOKEN_BYTES_MAX};
use crate::error::{QueryError, Result, SqlState};
use crate::index::{IndexError, Key, Rows};
use overlay::{Overlay, OverlayView};
pub(crate) use payload::Again;
use read_set::ReadSet;
use rules::{check_document_rules, check_keys};
use strict::Strict;

/// A statement's text and its hash, as blocks note them.
#[derive(Debug, Clone)]
pub(crate) struct NotedText {
    text: Arc<str>,
    /// `IH(text)`.
    hash: Hash,
}

impl NotedText {
    pub fn of(text: Arc<str>) -> NotedText {
        let hash = ion_hash_string(&text);
        NotedText { text, hash }
    }

    /// The statement digest with these parameters.
    pub fn digest(&self, params: &[Value]) -> Hash {
        match params {
            [] => self.hash,
            _ => statement_digest_of(&mut Hasher::new(), self.hash, params),
        }
    }
}

/// One transaction. Reads take `&self` and record what they read; iterators own what they need, so several can be
/// open at once and outlive the borrow. They see the writes made before they were created, and none made after.
///
/// Dropping it forgets it.
pub struct Transaction {
    shared: Arc<Shared>,
    id: Id,
    read_only: bool,
    validate_reads: bool,
    user: Option<Arc<str>>,
    door: Cow<'static, str>,
    client_token: Option<Arc<str>>,
    overlay: Overlay,
    /// The snapshot's catalogue, then one more for each own definition.
    catalogues: Vec<Arc<Catalogue>>,
    /// Tables whose definition this transaction changes, and names it gives or takes away.
    definitions: BTreeSet<Id>,
    names: BTreeSet<Arc<str>>,
    statements: Vec<StatementInfo>,
    redaction: Option<RedactionInfo>,
    /// QLDB's own limits hold.
    strict: Option<Strict>,
    /// Where the running statement's writes begin.
    statement_mark: usize,
    /// Own writes as the running statement is to read them, if not as they are.
    held: Option<OverlayView>,
    /// What the sequencer does if it meets a conflict.
    again: Option<Again>,
    /// How far identity columns have counted whose counter this transaction has changed.
    counters: Mutex<Counters>,
    /// Where the running statement wants columns to count on from.
    counts_from: Mutex<Counters>,
}

/// What iterators keep of a transaction.
pub(crate) struct Shared {
    pub database: Arc<Database>,
    snapshot: Arc<OpenSnapshot>,
    pub started_ms: i64,
    reads: Mutex<ReadSet>,
    /// Somebody may come to judge what it has read.
    notes_reads: AtomicBool,
    /// Documents visited so far, each time anew.
    visited: AtomicU64,
    /// It runs on the sequencer's thread and reads documents as pending transactions leave them.
    on_pending: bool,
}

/// A place in a transaction to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Savepoint {
    writes: usize,
    catalogues: usize,
}

impl Savepoint {
    /// Before the first write.
    pub const BEGINNING: Savepoint = Savepoint { writes: 0, catalogues: 1 };
}

impl Shared {
    fn new(database: &Arc<Database>, snapshot: OpenSnapshot, on_pending: bool, notes_reads: bool) -> Arc<Shared> {
        Arc::new(Shared {
            on_pending,
            database: database.clone(),
            snapshot: Arc::new(snapshot),
            started_ms: database.now_ms(),
            reads: Mutex::default(),
            notes_reads: AtomicBool::new(notes_reads),
            visited: AtomicU64::new(0),
        })
    }

    pub(crate) fn snapshot(&self) -> u64 {
        self.snapshot.at()
    }

    pub(crate) fn visit(&self, documents: u64) {
        self.visited.fetch_add(documents, Ordering::Relaxed);
    }

    fn reads(&self) -> MutexGuard<'_, ReadSet> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a read, if reads may come to be judged.
    fn note<T>(&self, read: impl FnOnce(&mut ReadSet) -> T) -> Option<T> {
        self.notes_reads.load(Ordering::Relaxed).then(|| read(&mut self.reads()))
    }

    /// The document as a pending transaction leaves it, if this reads such documents.
    fn pending(&self, table: Id, id: Id) -> Option<Arc<Doc>> {
        if !self.on_pending {
            return None;
        }
        let recent = self.database.state().recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.pending(table, id, self.snapshot()).cloned()
    }
}

impl Transaction {
    /// Starts at the newest snapshot.
    pub fn begin(database: &Arc<Database>, read_only: bool) -> Transaction {
        Transaction::begin_with(database, read_only, false)
    }

    /// Starts on the sequencer's thread, on top of what is pending there.
    pub(crate) fn begin_on_pending(database: &Arc<Database>) -> Transaction {
        Transaction::begin_with(database, false, true)
    }

    fn begin_with(database: &Arc<Database>, read_only: bool, on_pending: bool) -> Transaction {
        let (snapshot, catalogue) = database.open_snapshot(!read_only);
        Transaction {
            shared: Shared::new(database, snapshot, on_pending, !read_only),
            id: Id(database.random16()),
            read_only,
            validate_reads: false,
            user: None,
            door: Cow::Borrowed("embedded"),
            client_token: None,
            overlay: Overlay::default(),
            catalogues: vec![catalogue],
            definitions: BTreeSet::new(),
            names: BTreeSet::new(),
            statements: Vec::new(),
            redaction: None,
            strict: None,
            statement_mark: 0,
            held: None,
            again: None,
            counters: Mutex::default(),
            counts_from: Mutex::default(),
        }
    }

    /// Starts to read at an earlier snapshot, the end of a block.
    pub fn begin_at(database: &Arc<Database>, snapshot: u64) -> Transaction {
        let mut tx = Transaction::begin(database, true);
        let (snapshot, catalogue) = database.state().open_snapshot(|| snapshot);
        tx.shared = Shared::new(database, snapshot, false, false);
        tx.catalogues = vec![catalogue];
        tx
    }

    /// Who does it and through which door: `originInfo`.
    pub fn set_origin(&mut self, user: impl Into<Arc<str>>, door: impl Into<Cow<'static, str>>) {
        self.user = Some(user.into());
        self.door = door.into();
    }

    /// The token that makes a retry idempotent; 1 to 200 bytes.
    pub fn set_client_token(&mut self, token: &str) -> Result<()> {
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(QueryError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("a client token has 1 to {TOKEN_BYTES_MAX} bytes, not {}", token.len()),
            ));
        }
        self.client_token = Some(token.into());
        Ok(())
    }

    /// What makes this transaction anew if the sequencer meets a conflict.
    pub(crate) fn set_again(&mut self, again: Again) {
        self.again = Some(again);
    }

    /// Judge the reads at commit even if nothing was written, as the QLDB drivers expect. To be said before the first read.
    pub fn set_validate_reads(&mut self, validate: bool) {
        self.validate_reads = validate;
        self.shared.notes_reads.store(validate || !self.read_only, Ordering::Relaxed);
    }

    /// QLDB's own limits hold from here on.
    pub fn set_strict(&mut self) {
        self.strict = Some(Strict::default());
    }

    pub fn database(&self) -> &Arc<Database> {
        &self.shared.database
    }

    /// The transaction's id, which is also `TXID()`.
    pub fn id(&self) -> Id {
        self.id
    }

    pub fn snapshot(&self) -> u64 {
        self.shared.snapshot()
    }

    /// How many documents it has visited so far, each time anew, and how many changes of documents it has made.
    pub fn visited(&self) -> (u64, u64) {
        (self.shared.visited.load(Ordering::Relaxed), self.overlay.mark() as u64)
    }

    /// When it began: `now()`.
    pub fn started_ms(&self) -> i64 {
        self.shared.started_ms
    }

    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// How many statements were noted.
    pub fn statement_count(&self) -> usize {
        self.statements.len()
    }

    /// Whether anything was written (net effects may still be none).
    pub fn has_writes(&self) -> bool {
        !self.overlay.is_empty()
    }

    /// The catalogue of the snapshot with this transaction's own definitions. Reading it records nothing.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogues.last().cloned().unwrap_or_default()
    }

    /// An active table by name (case matters), recording that its definition, or that there is none, was read.
    pub fn table(&self, name: &str) -> Result<Option<Arc<Table>>> {
        let found = self.catalogue().table(name).cloned();
        self.shared.note(|reads| {
            reads.names.insert(name.into());
            reads.definitions.extend(found.as_ref().map(|table| table.id));
        });
        Ok(found)
    }

    /// An active table by a text: its name as it is, or as a statement writes it, such as `public.person`.
    pub fn table_written(&self, written: &str) -> Result<Option<Arc<Table>>> {
        if let Some(table) = self.table(written)? {
            return Ok(Some(table));
        }
        match crate::function::names_written(written) {
            (Some(schema), _) if schema != "public" => Ok(None),
            (_, name) => self.table(&name),
        }
    }

    /// Any table by id, dropped ones and system tables included: history reads them.
    pub fn table_by_id(&self, id: Id) -> Result<Option<Arc<Table>>> {
        if id.is_system() {
            return Ok(system_tables::system_table(id));
        }
        let found = self.catalogue().table_by_id(&id).cloned();
        if found.is_some() {
            self.shared.note(|reads| reads.definitions.insert(id));
        }
        Ok(found)
    }

    /// Whether these tables are what they were in the published catalogue of that version, without looking at each; if so,
    /// that their definitions were read is recorded.
    pub(crate) fn note_published_definitions(&self, version: u64, tables: &[Arc<Table>]) -> bool {
        let published = matches!(self.catalogues.as_slice(), [published] if published.version == version);
        if published {
            self.shared.note(|reads| {
                reads.definitions.extend(tables.iter().map(|table| table.id).filter(|id| !id.is_system()));
            });
        }
        published
    }

    /// The current revision of a document.
    pub fn get(&self, table: &Table, id: Id, view: View) -> Result<Option<Arc<Doc>>> {
        self.reader(view)?.get(table, id)
    }

    /// The documents with this key, or beginning with it, in order of key and document id.
    pub fn lookup(&self, table: &Table, index: &Index, key: &Key, view: View) -> Result<Vec<Arc<Doc>>> {
        self.reader(view)?.lookup(table, index, key)
    }

    /// The same of current documents, with everything that was written so far, whatever view is held.
    pub(crate) fn lookup_written(&self, table: &Table, index: &Index, key: &Key) -> Result<Vec<Arc<Doc>>> {
        read::Reader::of_everything_written(self).lookup(table, index, key)
    }

    /// From here on own writes to these tables are read as they are now: the parts of a statement do not see each other's
    /// changes. Until [`Transaction::release_view`].
    pub(crate) fn hold_view(&mut self, tables: &[Id]) {
        self.held = Some(self.overlay.view(tables));
    }

    pub(crate) fn release_view(&mut self) {
        self.held = None;
    }

    /// The document that has this key, whole, in a unique index.
    pub(crate) fn unique(&self, table: &Table, index: &Index, key: &Key) -> Result<Option<Arc<Doc>>> {
        self.reader(View::Current)?.unique(table, index, key)
    }

    /// The documents with keys between two bounds, in the order of the index. Only what was taken is recorded as read.
    pub fn range(
        &self,
        table: &Table,
        index: &Index,
        low: Bound<Key>,
        high: Bound<Key>,
        descending: bool,
        view: View,
    ) -> Result<Docs> {
        self.reader(view)?.range(table, index, &low, &high, descending)
    }

    /// The positions between which a history's revisions were active, recorded as read like the history itself.
    #[cfg(feature = "analytics")]
    pub(crate) fn history_between(
        &self,
        table: &Table,
        document: Option<Id>,
        from_ms: Option<i64>,
        to_ms: Option<i64>,
    ) -> Result<(u64, u64)> {
        self.reader(View::Current)?.history_between(table, document, from_ms, to_ms)
    }

    /// Whether it runs on the sequencer's thread, where nothing is to take long.
    #[cfg(feature = "analytics")]
    pub(crate) fn is_on_pending(&self) -> bool {
        self.shared.on_pending
    }

    /// Whether it has changes of its own in a table.
    #[cfg(feature = "analytics")]
    pub(crate) fn has_written(&self, table: Id) -> bool {
        self.overlay.table(&table).is_some_and(|own| !own.documents.is_empty())
    }

    /// Whether what a view shows has not been redacted meanwhile.
    #[cfg(feature = "analytics")]
    pub(crate) fn check_readable(&self, view: View) -> Result<()> {
        read::check_readable(&self.shared, view)
    }

    /// Records that a whole table was read up to the snapshot, by other ways than those here.
    pub(crate) fn note_table_read(&self, table: Id) {
        self.shared.note(|reads| reads.table(table));
    }

    /// All documents, in order of document id (near enough the order of insertion).
    pub fn scan(&self, table: &Table, view: View) -> Result<Docs> {
        self.reader(view)?.scan(table)
    }

    /// All committed revisions that were active at some time in the closed interval, of one document or of all; deletions
    /// and redacted revisions too. `from_ms` absent: from the start; `to_ms` absent: until the snapshot. A `to_ms` in the
    /// future is an error.
    pub fn history(
        &self,
        table: &Table,
        document: Option<Id>,
        from_ms: Option<i64>,
        to_ms: Option<i64>,
    ) -> Result<Docs> {
        self.reader(View::Current)?.history(table, document, from_ms, to_ms)
    }

    /// All committed revisions of a document, as [`Self::history`] gives them, at once; `None` if there are more than `most`.
    /// Only with `successors` do they say what superseded them.
    pub fn revisions_of(&self, table: &Table, id: Id, most: Most, successors: bool) -> Result<Option<Vec<Arc<Doc>>>> {
        self.reader(View::Current)?.revisions_of(table, id, most, successors)
    }

    /// The documents whose committed revisions ever had this key, or one beginning with it, deleted ones included; `None`
    /// if the index does not cover the table's whole history.
    pub fn documents_ever(&self, table: &Table, index: &Index, key: &Key) -> Result<Option<Vec<Id>>> {
        self.reader(View::Current)?.ever(table, index, key)
    }

    /// The revision at a position, whatever its table.
    pub fn revision(&self, position: u64) -> Result<Doc> {
        if position >= self.snapshot() {
            return Err(QueryError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("position {position} is not in the ledger yet: it ends before {}", self.snapshot()),
            ));
        }
        Ok((*self.database().read(position)?).clone())
    }

    /// The view of a time: `View::AsOf` of this. A time in the future is an error.
    pub fn position_at_time(&self, time_ms: i64) -> Result<u64> {
        let position = self.database().position_at_time(time_ms)?;
        if position <= self.snapshot() {
            return Ok(position);
        }
        // Blocks that this transaction cannot see came in time. If it began before that time it is what was so at it.
        if time_ms >= self.started_ms() {
            return Ok(self.snapshot());
        }
        Err(conflict::conflict_error("a block of that time was committed after this transaction began".into()))
    }

    /// The view behind a block: `View::AsOf` of this.
    pub fn position_at_block(&self, block: u64) -> Result<u64> {
        let position = self.database().position_at_block(block)?;
        if position <= self.snapshot() {
            return Ok(position);
        }
        Err(conflict::conflict_error(format!("block {block} was committed after this transaction began")))
    }

    /// Makes a new document. The value must satisfy the table's definition already ([`Table::check_document`]).
    pub fn insert(&mut self, table: &Table, value: Value) -> Result<Doc> {
        let id = self.database().new_document_id();
        self.write(table, id, None, Some(value))
    }

    /// Replaces a document's data by a new revision. `doc` is what was read in this transaction's current view.
    pub fn replace(&mut self, table: &Table, doc: &Doc, value: Value) -> Result<Doc> {
        let base = self.base_of(table, doc)?;
        self.write(table, doc.id, base, Some(value))
    }

    pub fn delete(&mut self, table: &Table, doc: &Doc) -> Result<()> {
        let base = self.base_of(table, doc)?;
        self.write(table, doc.id, base, None).map(drop)
    }

    /// Notes a statement: its text, digest and start time go into the block, if there will be one. Answers its number.
    pub fn begin_statement(&mut self, text: &str, params: &[Value]) -> Result<u32> {
        self.begin_noted(&NotedText::of(text.into()), params)
    }

    /// The same where the hash of the text is known.
    pub(crate) fn begin_noted(&mut self, noted: &NotedText, params: &[Value]) -> Result<u32> {
        let limit = self.database().limits().transaction_statements_max;
        if self.strict.is_some() {
            strict::check_statement(&noted.text, params)?;
        }
        if self.statements.len() >= limit {
            return Err(limit_error(format!("a transaction has at most {limit} statements")));
        }
        self.statement_mark = self.overlay.mark();
        self.statements.push(StatementInfo {
            text: StatementText::Text(noted.text.clone()),
            start_time_ms: self.database().now_ms(),
            digest: noted.digest(params),
        });
        Ok(self.statements.len() as u32 - 1)
    }

    /// Judges the primary key and unique constraints for everything written since `begin_statement`, as far as this
    /// transaction can see. Called after each statement that writes; the last word is at commit.
    pub fn check_unique(&self) -> Result<()> {
        self.check_unique_since(self.statement_mark)
    }

    /// What [`Transaction::check_unique`] has judged need not be judged again: a long statement calls both after each part
    /// of its writes. Later writes are held against earlier ones all the same.
    pub fn checked(&mut self) {
        self.statement_mark = self.overlay.mark();
    }

    pub fn savepoint(&self) -> Savepoint {
        Savepoint { writes: self.overlay.mark(), catalogues: self.catalogues.len() }
    }

    /// Undoes every write since; reads stay recorded, statements stay noted.
    pub fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        if savepoint.writes > self.overlay.mark() || savepoint.catalogues > self.catalogues.len() {
            return Err(QueryError::new(SqlState::INVALID_SAVEPOINT, "the savepoint has been undone already"));
        }
        let definitions_undone = savepoint.catalogues < self.catalogues.len();
        self.overlay.rollback_to(savepoint.writes);
        self.catalogues.truncate(savepoint.catalogues.max(1));
        self.statement_mark = self.statement_mark.min(savepoint.writes);
        if definitions_undone {
            let catalogue = self.catalogue();
            for id in &self.definitions {
                if let Some(table) = catalogue.table_by_id(id) {
                    self.overlay.reindex(table)?;
                }
            }
        }
        Ok(())
    }

    /// Whether a table or an index has this name; recorded.
    pub(crate) fn relation_exists(&self, name: &str) -> bool {
        self.read_name(name);
        let catalogue = self.catalogue();
        catalogue.table(name).is_some() || catalogue.index_by_name(name).is_some()
    }

    pub(crate) fn read_name(&self, name: &str) {
        self.shared.note(|reads| reads.names.insert(name.into()));
    }

    /// This transaction gives or takes away a name.
    pub(crate) fn name_changes(&mut self, name: Arc<str>) {
        self.names.insert(name);
    }

    /// Whether the snapshot holds documents of a table, own writes aside. That there are none is recorded, that there are
    /// some is not: an index is built while others write.
    pub(crate) fn has_published_documents(&self, table: &Table) -> Result<bool> {
        let any = !self.database().state().rows.documents(table.id, None, self.snapshot(), 1)?.is_empty();
        if !any {
            self.shared.note(|reads| reads.table(table.id));
        }
        Ok(any)
    }

    /// The documents this transaction has written to a table.
    pub(crate) fn own_documents(&self, table: &Table) -> Result<Vec<Arc<Value>>> {
        let own = self.overlay.table(&table.id);
        own.into_iter().flat_map(|o| o.documents.values()).filter_map(|own| own.shown().transpose()).collect()
    }

    /// Whether the table has no documents for this transaction, recorded as a read of the whole table.
    pub(crate) fn is_empty_table(&self, table: &Table) -> Result<bool> {
        Ok(self.scan(table, View::Current)?.next().transpose()?.is_none())
    }

    /// Writes a document of a system table under a given id, and takes up the catalogue that results.
    pub(crate) fn define(
        &mut self,
        system: Id,
        id: Id,
        document: Option<Value>,
        catalogue: Catalogue,
        changed: Id,
    ) -> Result<()> {
        let table = system_tables::system_table(system).ok_or_else(|| QueryError::internal("not a system table"))?;
        if self.strict.is_some() {
            strict::check_definition(&self.catalogue(), &catalogue)?;
        }
        let base = match self.overlay.get(&system, &id) {
            Some(_) => None,
            None => self.reader(View::Current)?.get(&table, id)?,
        };
        self.write(&table, id, base, document)?;
        if let Some(table) = catalogue.table_by_id(&changed) {
            self.overlay.reindex(table)?;
            self.names.insert(table.name.clone());
        }
        if let Some(before) = self.catalogue().table_by_id(&changed) {
            self.names.insert(before.name.clone());
        }
        self.definitions.insert(changed);
        self.catalogues.push(Arc::new(catalogue));
        Ok(())
    }

    /// What a `Doc` given back to us stands for: the published revision it replaces, or nothing if it is our own.
    fn base_of(&self, table: &Table, doc: &Doc) -> Result<Option<Arc<Doc>>> {
        if doc.table_id != table.id {
            return Err(QueryError::internal(format!("document {} is not of table {}", doc.id, table.id)));
        }
        if self.overlay.get(&table.id, &doc.id).is_some() {
            return Ok(None);
        }
        if let Some(pending) = self.shared.pending(table.id, doc.id) {
            return match pending.position == doc.position {
                true => Ok(Some(pending)),
                false => Err(QueryError::internal(format!("document {} was not read as it is pending", doc.id))),
            };
        }
        // Writing over anything but the current revision would make two successors.
        match self.database().state().rows.document(table.id, doc.id, self.snapshot())? {
            Some(position) if position == doc.position => {
                // What is shared stays shared: the executor's copy may have been changed.
                Ok(Some(self.database().read(position)?))
            }
            _ => Err(QueryError::internal(format!("document {} was not read in the current view", doc.id))),
        }
    }

    fn write(&mut self, table: &Table, id: Id, base: Option<Arc<Doc>>, value: Option<Value>) -> Result<Doc> {
        self.check_writable(table)?;
        let limits = self.database().limits();
        let document_bytes = value.as_ref().map_or(Ok(0), |value| check_document_rules(value, limits))?;
        let bytes = document_bytes + WRITE_BYTES;
        self.check_room(bytes, self.overlay.get(&table.id, &id).is_none())?;
        if !table.id.is_system() {
            self.shared.note(|reads| reads.definitions.insert(table.id));
            if let Some(strict) = &mut self.strict {
                let overlays = self.overlay.tables().filter(|(id, _)| !id.is_system());
                let changed: usize = overlays.map(|(_, table)| table.documents.len()).sum();
                let again = self.overlay.get(&table.id, &id).is_some();
                strict.check_write(value.as_ref(), changed - usize::from(again))?;
            }
        }
        // The definition in force may be newer than the one the caller holds.
        let newest = self.catalogue();
        let table = newest.table_by_id(&table.id).map_or(table, |t| t);
        let keys = value.as_ref().map(|value| table.keys_of(value)).unwrap_or_default();
        check_keys(table, &keys)?;
        let data = value.map(|value| Data::Value(Arc::new(value)));
        let statement = self.statements.len().checked_sub(1).map(|n| n as u32);
        self.overlay.write(table.id, id, base, (data, bytes), keys, statement);
        match self.overlay.get(&table.id, &id) {
            Some(own) => self.own_doc(table.id, id, own),
            None => Err(QueryError::internal("a write was lost")),
        }
    }

    fn check_writable(&self, table: &Table) -> Result<()> {
        if self.read_only {
            return Err(QueryError::new(SqlState::READ_ONLY_TRANSACTION, "cannot write in a read-only transaction"));
        }
        if table.status == TableStatus::Inactive {
            return Err(QueryError::new(
                SqlState::UNDEFINED_TABLE,
                format!("table \"{}\" has been dropped", table.name),
            ));
        }
        Ok(())
    }

    /// Whether the limits leave room for a write of so many bytes, which is or is not of a document that has none yet.
    fn check_room(&self, bytes: usize, is_first: bool) -> Result<()> {
        let limits = self.database().limits();
        if bytes > limits.transaction_bytes_max.saturating_sub(self.overlay.bytes()) {
            let limit = limits.transaction_bytes_max;
            return Err(limit_error(format!(
                "a transaction writes at most {limit} bytes of documents (transaction_bytes)"
            ))
            .hint("Split it, or start the server with a larger --limit transaction_bytes=N."));
        }
        if is_first && self.overlay.len() >= limits.transaction_documents_max {
            let limit = limits.transaction_documents_max;
            return Err(limit_error(format!("a transaction changes at most {limit} documents"))
                .hint("Change them in several, by ranges of a key; ledgerstone import loads a file in parts that go on where they were broken off."));
        }
        Ok(())
    }

    fn own_doc(&self, table: Id, id: Id, own: &overlay::Own) -> Result<Doc> {
        read::own_doc(&self.shared, self.id, table, id, own)
    }

    fn check_unique_since(&self, mark: usize) -> Result<()> {
        let catalogue = self.catalogue();
        for (table_id, id) in self.overlay.written_since(mark) {
            let (Some(own), Some(table)) = (self.overlay.get(&table_id, &id), catalogue.table_by_id(&table_id)) else {
                continue;
            };
            for index in table.indexes.iter().filter(|i| i.unique) {
                let key = own.keys().iter().find(|(i, key)| *i == index.id && key.is_complete()).map(|(_, key)| key);
                if let Some(key) = key
                    && self.holder_of(table, index, key, id)?.is_some()
                    && let Some(data) = own.shown()?
                {
                    self.shared.note(|reads| reads.key(table.id, index.id, key));
                    return Err(crate::database::unique_violation(&table.name, index, &data));
                }
            }
        }
        Ok(())
    }

    /// Another document that has this key for this transaction.
    fn holder_of(&self, table: &Table, index: &Index, key: &Key, except: Id) -> Result<Option<Id>> {
        let own = self.overlay.table(&table.id);
        let mine = own.and_then(|o| o.lookup(&index.id, key).map(|(_, id)| *id).find(|id| *id != except));
        if mine.is_some() {
            return Ok(mine);
        }
        let found = match self.database().state().rows.lookup(table.id, index.id, key, self.snapshot()) {
            // One that this transaction has made.
            Err(IndexError::Gone(_)) => Vec::new(),
            found => found?,
        };
        let written = |id: &Id| own.is_some_and(|o| o.documents.contains_key(id));
        Ok(found.into_iter().map(|k| k.id).find(|id| *id != except && !written(id)))
    }

    fn reader(&self, view: View) -> Result<read::Reader<'_>> {
        read::Reader::new(self, view)
    }
}

impl QueryError {
    /// A conflict with another transaction: running the transaction again may well succeed.
    pub fn is_retryable(&self) -> bool {
        self.code == SqlState::SERIALIZATION_FAILURE
    }
}

/// The digest of a transaction's body, from the digests of its statements with their parameters: what is compared when a
/// client token is used again.
pub fn body_digest(statements: &[Hash]) -> Hash {
    let parts: Vec<&[u8]> = statements.iter().map(|h| h.0.as_slice()).collect();
    Hash::sha256(&parts)
}

pub(crate) fn limit_error(message: impl Into<String>) -> QueryError {
    QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
}

/// What a write takes in memory beside its document, roughly.
const WRITE_BYTES: usize = 512;
