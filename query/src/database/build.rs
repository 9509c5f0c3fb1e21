//! Filling an index on a table that has documents already, while readers and writers go on.
//!
//! From the block that made the index, the publisher gives it every new revision. What is missing are the keys that
//! documents had when that block was published: they are added here one by one, and then the index goes online by a
//! revision of its definition. It covers every position from that block on; before it, AS OF scans.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_channel::oneshot;
use ledgerstone_digest::id::Id;

use super::Database;
use super::tasks::Break;
use crate::catalogue::{Index, IndexStatus, Table, system_tables};
use crate::error::{QueryError, Result, SqlState};
use crate::index::Rows;
use crate::transaction::Transaction;

/// How many times going online is tried against other definitions of the same table.
const ATTEMPTS_MAX: u32 = 100;

impl Database {
    /// Builds an index beside what else goes on and resolves when it is online, or has failed.
    ///
    /// Boxed, because building an index commits and a commit may wait for an index.
    pub(crate) fn build_index_in_background(
        self: &Arc<Self>,
        index: Id,
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send>> {
        let (done, answer) = oneshot::channel();
        let database = self.clone();
        let task = async move {
            // Nobody may be waiting any more.
            let _ = done.send(database.build_index(index).await);
        };
        let begun = self.tasks.begin("index-build", Box::pin(task));
        Box::pin(async move {
            begun.map_err(|error| {
                QueryError::new(SqlState::INSUFFICIENT_RESOURCES, format!("cannot start a thread: {error}"))
            })?;
            answer.await.unwrap_or_else(|_| Err(QueryError::internal("the building of an index ended early")))
        })
    }

    /// Fills an index and puts it online.
    pub(super) async fn build_index(self: &Arc<Self>, id: Id) -> Result<()> {
        let catalogue = self.catalogue();
        let Some((table, index)) = catalogue.index(&id) else { return Ok(()) };
        let (status, failure) = match self.fill_index(table, index).await {
            Ok(()) if self.state.has_duplicates(id) => (IndexStatus::Failed, Some(duplicates(index))),
            Ok(()) => (IndexStatus::Online, None),
            Err(error) => (IndexStatus::Failed, Some(error)),
        };
        self.set_index_status(id, status, failure.as_ref()).await?;
        // Writers judged before the index went online may have added a duplicate until then.
        if status == IndexStatus::Online && self.state.has_duplicates(id) {
            let failure = duplicates(index);
            self.set_index_status(id, IndexStatus::Failed, Some(&failure)).await?;
            return Err(failure);
        }
        failure.map_or(Ok(()), Err)
    }

    /// Adds the keys that documents had when the index was made.
    pub(super) async fn fill_index(&self, table: &Table, index: &Index) -> Result<()> {
        let rows = &self.state.rows;
        let mut after = None;
        loop {
            let ids = rows.all_documents(table.id, after, self.options.index_build_documents.max(1))?;
            let Some(last) = ids.last() else {
                rows.set_complete(index.id);
                return Ok(());
            };
            after = Some(*last);
            for id in ids {
                let Some(position) = rows.revisions(table.id, id, index.from_position)?.last().copied() else {
                    continue;
                };
                let doc = self.read(position)?;
                let Some(data) = &doc.data else { continue };
                let key = index.key_of(data);
                if key.is_too_long() {
                    return Err(QueryError::new(
                        SqlState::PROGRAM_LIMIT_EXCEEDED,
                        format!("document {id} has a key of {} bytes for index \"{}\"", key.len(), index.name),
                    )
                    .hint(format!("A key has at most {} bytes.", crate::index::KEY_BYTES_MAX)));
                }
                let other = rows.backfill(table.id, index.id, id, index.from_position, position, &key)?;
                if index.unique && other.is_some() && index.key_is_complete(data) {
                    self.state.mark_duplicate(index.id);
                }
            }
            // Nobody may be writing to the table, so nobody else would.
            if rows.is_full() {
                self.state.freeze_rows();
            }
            Break::default().await;
        }
    }

    async fn set_index_status(
        self: &Arc<Self>,
        id: Id,
        status: IndexStatus,
        failure: Option<&QueryError>,
    ) -> Result<()> {
        let mut attempt = 0;
        loop {
            let mut tx = Transaction::begin(self, false);
            tx.set_origin("", "system");
            let mut catalogue = (*tx.catalogue()).clone();
            let Some((table, index)) = catalogue.index(&id) else { return Ok(()) };
            let mut index = (**index).clone();
            index.status = status;
            index.message = failure.map(|f| f.message.as_str().into());
            let document = system_tables::index_document(&index);
            let mut table = (**table).clone();
            let table_id = table.id;
            for old in table.indexes.iter_mut().filter(|i| i.id == id) {
                *old = Arc::new(index.clone());
            }
            catalogue.put_table(table);
            tx.define(Id::INDEXES, id, Some(document), catalogue, table_id)?;
            match tx.commit().await {
                Err(error) if error.is_retryable() && attempt < ATTEMPTS_MAX => attempt += 1,
                other => return other.map(drop),
            }
        }
    }
}

fn duplicates(index: &Index) -> QueryError {
    QueryError::new(SqlState::UNIQUE_VIOLATION, format!("could not create unique index \"{}\"", index.name))
        .detail("Two documents have the same key.")
        .hint(format!(
            "The index stays behind as FAILED and is not used: DROP INDEX \"{}\", mend the documents, and make it again.",
            index.name
        ))
}
