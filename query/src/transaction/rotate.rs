//! The record of a key's rotation: one revision of the ledger's document in the system table `keys` (docs/format.md, "Key
//! rotation"). The key itself is made and handed over to by the journal.

use ledgerstone_digest::id::Id;
use ledgerstone_journal::KeyRotation;

use super::{Transaction, View};
use crate::catalogue::system_tables;
use crate::error::{QueryError, Result, SqlState};

impl Transaction {
    /// Makes this the transaction of a rotation, as the journal takes it. It writes nothing else.
    pub(crate) fn rotate_key(&mut self, rotation: &KeyRotation<'_>) -> Result<ledgerstone_journal::Transaction> {
        if self.has_writes() {
            return Err(QueryError::internal("a rotation is alone in its transaction"));
        }
        let table = system_tables::system_table(Id::KEYS)
            .ok_or_else(|| QueryError::internal("the table of keys is unknown"))?;
        let id = self.database().ledger().ledger_id();
        let base = self.reader(View::Current)?.get(&table, id)?;
        if base.as_ref().map_or(0, |base| base.version + 1) != rotation.version() {
            return Err(QueryError::new(
                SqlState::DATA_CORRUPTED,
                "the row index does not know of the key's last rotation",
            )
            .hint("Stop the server and run `ledgerstone doctor` on its directory."));
        }
        // Where it takes effect, the journal fills in.
        self.write(&table, id, base, Some(rotation.keys().record(0).to_value()))?;
        let mut transaction =
            self.prepare()?.ok_or_else(|| QueryError::internal("the record of a rotation was lost"))?;
        transaction.rotation = Some(rotation.keys().clone());
        Ok(transaction)
    }
}
