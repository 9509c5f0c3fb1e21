//! How a transaction commits: net effects become revisions, are judged on the sequencer's thread, and are published
//! before anybody is told.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use ledgerstone_digest::block::OriginInfo;
use ledgerstone_digest::id::Id;
use ledgerstone_journal::mutation::{self, Mutation};
use ledgerstone_journal::{CommitError, Committed, Data, Listed, NewRevision};

use super::overlay::Own;
use super::payload::{KeyChange, Load, Payload, Write};
use super::{Transaction, body_digest, conflict};
use crate::catalogue::{Catalogue, IndexStatus, Table, system_tables};
use crate::error::{QueryError, Result, SqlState};
use crate::index::Key;

/// Fewer documents are judged one by one.
const LOAD_MIN: usize = 256;

impl Transaction {
    /// Commits. `None`: nothing was written, so there is no block. With a client token that has committed before with the
    /// same statements and parameters, the answer is the first commit's.
    ///
    /// Errors: 40001 ([`QueryError::is_retryable`]) when something read has changed, 23505, limits, and what the journal
    /// says. An index made on a table with documents is built before this answers; if that fails the index's status says
    /// so and the answer is its error, though the transaction has committed.
    pub async fn commit(self) -> Result<Option<Committed>> {
        match self.committed_before()? {
            Some(first) => Ok(Some(first)),
            None => self.commit_first().await,
        }
    }

    /// As [`Transaction::commit`], but one whose client token has committed before is an error that may be retried (40001):
    /// what this one has answered is not in the ledger, and the retry answers as the first commit did.
    pub(crate) async fn commit_or_repeat(self) -> Result<Option<Committed>> {
        match self.committed_before()? {
            Some(_) => Err(conflict::conflict_error("the same client token has committed meanwhile".into())),
            None => self.commit_first().await,
        }
    }

    /// Whether it redacts a revision.
    pub(crate) fn redacts(&self) -> bool {
        self.redaction.is_some()
    }

    async fn commit_first(mut self) -> Result<Option<Committed>> {
        let database = self.database().clone();
        let building = self.building();
        let Some(transaction) = self.prepare()? else {
            self.validate_only()?;
            return Ok(None);
        };
        let submitted = database.log().submit(transaction);
        // What it is judged by went along; nothing else need be kept while the journal works.
        drop(self);
        let committed = submitted.await.map_err(commit_error)?;
        for index in building {
            database.build_index_in_background(index).await?;
        }
        Ok(Some(committed))
    }

    /// As [`Transaction::commit`], blocking this thread.
    pub fn commit_blocking(self) -> Result<Option<Committed>> {
        block_on(self.commit())
    }

    /// The first commit of this client token, if there was one with the same body.
    fn committed_before(&self) -> Result<Option<Committed>> {
        let Some(token) = &self.client_token else { return Ok(None) };
        let digests: Vec<_> = self.statements.iter().map(|s| s.digest).collect();
        self.database().committed_by_token(token, body_digest(&digests))
    }

    fn validate_only(&self) -> Result<()> {
        if !self.validate_reads {
            return Ok(());
        }
        let state = self.database().state();
        let changed = {
            let recent = state.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.changed_since(self.snapshot(), &self.shared.reads())
        };
        match changed {
            Some(changed) => Err(conflict::conflict_error(changed.describe(&state.newest_catalogue()))),
            None => Ok(()),
        }
    }

    /// Indexes made here that still have to be filled.
    fn building(&self) -> Vec<Id> {
        let (Some(before), after) = (self.catalogues.first(), self.catalogue()) else { return Vec::new() };
        let changed = self.definitions.iter().filter_map(|id| after.table_by_id(id));
        let building = changed.flat_map(|t| t.indexes.iter()).filter(|i| i.status == IndexStatus::Building);
        building.filter(|i| before.index(&i.id).is_none()).map(|i| i.id).collect()
    }

    /// The transaction as the journal takes it, or `None` if its net effect is nothing.
    pub(super) fn prepare(&mut self) -> Result<Option<ledgerstone_journal::Transaction>> {
        let catalogue = self.catalogue();
        let mut order: Vec<(bool, u64, Id, Id, Arc<Own>)> = Vec::with_capacity(self.overlay.len());
        for (table, overlay) in self.overlay.tables() {
            for (id, own) in &overlay.documents {
                if own.base.is_some() || own.data.is_some() {
                    // Definitions stand before the documents they govern.
                    order.push((!system_tables::is_definition(table), own.order, *table, *id, own.clone()));
                }
            }
        }
        if order.is_empty() {
            return Ok(None);
        }
        self.note_counters();
        order.sort_unstable_by_key(|(user, order, ..)| (*user, *order));
        let mut payload = Payload {
            snapshot: Arc::clone(&self.shared.snapshot),
            reads: std::mem::take(&mut *self.shared.reads()),
            writes: Vec::with_capacity(order.len()),
            definitions: self.definitions.iter().copied().collect(),
            names: self.names.iter().cloned().collect(),
            unique: Vec::new(),
            load: self.load_of(&order),
            again: self.again.take(),
        };
        if mutation::is_on(Mutation::ForgetRead) {
            payload.reads.documents.clear();
        }
        let mut revisions = Vec::with_capacity(order.len());
        let mut last: Option<Arc<Table>> = None;
        for (_, _, table_id, id, own) in order {
            // What is pending was read where nothing can come between.
            if own.base.as_ref().is_some_and(|base| base.position < self.snapshot()) {
                payload.reads.documents.insert((table_id, id));
            }
            let table = match last.take().filter(|table| table.id == table_id) {
                Some(table) => table,
                None => {
                    let table = table_of(&catalogue, table_id)?;
                    let unique = table.indexes.iter().filter(|i| i.unique && !payload.unique.contains(&i.id));
                    let unique: Vec<Id> = unique.map(|i| i.id).collect();
                    payload.unique.extend(unique);
                    table
                }
            };
            let write = self.write_of(&table, id, own)?;
            revisions.push(revision_of(&table, &write));
            payload.writes.push(write);
            last = Some(table);
        }
        if payload.load.is_none() {
            judge_among_own(&catalogue, &payload)?;
        }
        Ok(Some(ledgerstone_journal::Transaction {
            id: self.id,
            statements: std::mem::take(&mut self.statements),
            revisions,
            origin: OriginInfo {
                user: self.user.clone().unwrap_or_default(),
                door: Arc::from(&*self.door),
                client_token: self.client_token.clone(),
                signature: None,
            },
            redaction: self.redaction.take(),
            rotation: None,
            imported: None,
            payload: Box::new(payload),
        }))
    }

    /// [`Transaction::prepare`] for the sequencer, which has this in place of what met a conflict.
    pub(crate) fn prepare_again(mut self) -> Result<Option<ledgerstone_journal::Transaction>> {
        self.prepare()
    }

    /// What is written, if it is nothing but documents that were added and judged in number.
    fn load_of(&self, order: &[(bool, u64, Id, Id, Arc<Own>)]) -> Option<Load> {
        if order.len() < LOAD_MIN || !order.iter().all(|(.., own)| own.judged) {
            return None;
        }
        let mut load = Load { tables: Vec::new(), keys: HashMap::new(), documents: order.len() };
        for (table, overlay) in self.overlay.tables().filter(|(_, overlay)| !overlay.documents.is_empty()) {
            load.tables.push(*table);
            load.keys.extend(overlay.keys().iter().map(|(index, keys)| (*index, Arc::clone(keys))));
        }
        Some(load)
    }

    fn write_of(&self, table: &Table, id: Id, own: Arc<Own>) -> Result<Write> {
        let mut changes = Vec::new();
        if let Some(base) = &own.base {
            let old_keys = base.data.as_deref().map(|data| table.keys_of(data)).unwrap_or_default();
            for index in &table.indexes {
                let of = |keys: &[(Id, Key)]| keys.iter().find(|(i, _)| *i == index.id).map(|(_, k)| k.clone());
                let (old, new) = (of(&old_keys), of(own.keys()));
                if old != new {
                    changes.push(KeyChange { index: index.id, old, new });
                }
            }
        }
        let salted = table.salted && matches!(own.data, Some(Data::Value(_)));
        let salt = salted.then(|| Arc::from(self.database().random16().as_slice()));
        Ok(Write { table: table.id, id, own, salt, changes })
    }
}

fn table_of(catalogue: &Catalogue, id: Id) -> Result<Arc<Table>> {
    match catalogue.table_by_id(&id) {
        Some(table) => Ok(table.clone()),
        None => system_tables::system_table(id).ok_or_else(|| QueryError::internal(format!("table {id} is unknown"))),
    }
}

fn revision_of(table: &Table, write: &Write) -> NewRevision {
    let own = &write.own;
    NewRevision {
        table_id: table.id,
        document_id: write.id,
        version: own.version(),
        supersedes: own.base.as_ref().map(|b| b.position),
        // The journal computes it before anything else, on this thread, and on several if there is much to do.
        data_hash: None,
        data: own.data.clone(),
        salt: write.salt.clone(),
        listed: (!table.id.is_system())
            .then(|| Listed { table_name: table.name.clone(), statements: own.statements.clone() }),
    }
}

/// Two own documents with one unique key.
fn judge_among_own(catalogue: &Catalogue, payload: &Payload) -> Result<()> {
    let mut claimed: HashSet<(Id, &Key)> = HashSet::new();
    for write in &payload.writes {
        for (index, key) in payload.claims(write) {
            if !claimed.insert((index, key)) {
                let data = write.shown()?.0;
                return Err(match (catalogue.index(&index), &data) {
                    (Some((table, index)), Some(data)) => crate::database::unique_violation(&table.name, index, data),
                    _ => QueryError::new(SqlState::UNIQUE_VIOLATION, "duplicate key value violates unique constraint"),
                });
            }
        }
    }
    Ok(())
}

/// A journal's refusal as a statement's error.
pub(crate) fn commit_error(error: CommitError) -> QueryError {
    let message = error.to_string();
    match error {
        CommitError::Conflict(detail) => conflict::conflict_error(detail),
        CommitError::Refused(cause) => match cause.downcast::<QueryError>() {
            Ok(error) => *error,
            Err(other) => QueryError::internal(other),
        },
        CommitError::OutcomeUnknown { .. } => QueryError::new(SqlState("08007"), message),
        CommitError::NoSpace { .. } => QueryError::new(SqlState::DISK_FULL, message),
        CommitError::Clock(_) => QueryError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message),
        CommitError::TooLarge { .. } => QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message),
        CommitError::ReadOnly { .. } => QueryError::new(SqlState::READ_ONLY_TRANSACTION, message),
        CommitError::Stopped { .. } => QueryError::new(SqlState::CANNOT_CONNECT_NOW, message),
        _ => QueryError::new(SqlState::IO_ERROR, message),
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
