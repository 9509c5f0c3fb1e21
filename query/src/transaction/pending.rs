//! Documents as pending transactions leave them (DESIGN section 7, "Transactions"): what a statement that met a conflict
//! reads when the sequencer runs it again. Only small transactions are noted, and only while conflicts are met; a document
//! that was written last by any other is not here, and whoever reads it conflicts as ever.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_journal::Committed;

use super::Doc;
use super::payload::Payload;

/// A transaction with more revisions is not noted.
const REVISIONS_MAX: usize = 64;

/// Documents written by transactions that the row index may not have taken in yet.
#[derive(Debug, Default)]
pub struct PendingDocs {
    docs: HashMap<(Id, Id), Pending>,
    order: VecDeque<(u64, (Id, Id))>,
}

#[derive(Debug)]
struct Pending {
    /// Of the block that wrote it.
    block_position: u64,
    doc: Arc<Doc>,
}

impl PendingDocs {
    /// Notes what a transaction wrote, now that it has its place.
    pub fn take_in(
        &mut self,
        transaction: &ledgerstone_journal::Transaction,
        payload: &Payload,
        committed: &Committed,
    ) {
        if payload.writes.len() > REVISIONS_MAX || payload.writes.len() != transaction.revisions.len() {
            return;
        }
        let revisions = transaction.revisions.iter().zip(&payload.writes).zip(committed.first_position..);
        for ((revision, write), position) in revisions.filter(|((revision, _), _)| !revision.table_id.is_system()) {
            let Ok((data, salt)) = write.shown() else { continue };
            let doc = Doc {
                table_id: write.table,
                id: write.id,
                position,
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
            let block_position = committed.block_position;
            self.docs.insert((write.table, write.id), Pending { block_position, doc: Arc::new(doc) });
            self.order.push_back((block_position, (write.table, write.id)));
        }
    }

    /// The document as the block at `written_at`, its last writer, left it; `None` if that block was not noted. A deletion
    /// is a document without data.
    pub fn get(&self, table: Id, id: Id, written_at: u64) -> Option<&Arc<Doc>> {
        self.docs.get(&(table, id)).filter(|pending| pending.block_position == written_at).map(|pending| &pending.doc)
    }

    /// Forgets what every new snapshot sees: blocks before `published`.
    pub fn forget(&mut self, published: u64) {
        while let Some((block_position, key)) = self.order.front()
            && *block_position < published
        {
            if self.docs.get(key).is_some_and(|pending| pending.block_position == *block_position) {
                self.docs.remove(key);
            }
            self.order.pop_front();
        }
    }

    /// Nothing pending happened.
    pub fn clear(&mut self) {
        self.docs.clear();
        self.order.clear();
    }
}
