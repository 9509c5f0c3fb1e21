//! Ledgers and tables as messages.

use ledgerstone_journal::{ReceiptError, Rotated};
use ledgerstone_protocol::v1;
use ledgerstone_query::catalogue::{Index, Table, TableStatus, path_text};
use ledgerstone_query::database::Database;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::instance::Instance;

use super::execute::commit_address;

/// Every ledger that can be opened; the others are in the log.
pub fn ledgers(instance: &Instance) -> Result<Vec<v1::LedgerDescription>, QueryError> {
    let describe = |name: &str, protected| match instance.ledger(name) {
        Ok(database) => describe(&database, protected).map(Some),
        Err(error) => {
            tracing::warn!(%error, ledger = name, "a ledger cannot be described");
            Ok(None)
        }
    };
    let all = instance.ledgers();
    all.iter().filter_map(|ledger| describe(&ledger.name, ledger.deletion_protection).transpose()).collect()
}

/// One ledger.
pub fn ledger(instance: &Instance, name: &str) -> Result<v1::LedgerDescription, QueryError> {
    let database = instance.ledger(name)?;
    describe(&database, instance.is_protected(name))
}

/// Another signing key for a ledger.
pub fn rotate_key(instance: &Instance, name: &str, user: &str) -> Result<v1::RotateKeyResponse, QueryError> {
    let database = instance.ledger(name)?;
    let Rotated { committed, record, note, unsettled } = database.rotate_key(user, "grpc")?;
    tracing::info!(ledger = name, user, new = %record.new, from = record.from, "the signing key was rotated");
    let unread = |error: ReceiptError| QueryError::new(SqlState::IO_ERROR, error.to_string());
    let receipt = database.ledger().rotations(Some(&record.old)).map_err(unread)?.into_iter().next();
    Ok(v1::RotateKeyResponse {
        commit: Some(commit_address(&committed)),
        old_key: record.old.to_string(),
        new_key: record.new.to_string(),
        from_size: record.from,
        note: note.to_string(),
        receipt: receipt.unwrap_or_default(),
        left: unsettled.unwrap_or_default(),
    })
}

/// Every table of a ledger, dropped ones included.
pub fn tables(database: &Database) -> Vec<v1::TableDescription> {
    database.catalogue().tables().map(|table| describe_table(table)).collect()
}

fn describe(database: &Database, deletion_protection: bool) -> Result<v1::LedgerDescription, QueryError> {
    let ledger = database.ledger();
    let last = ledger.last_block().map_err(|error| QueryError::new(SqlState::IO_ERROR, error.to_string()))?;
    Ok(v1::LedgerDescription {
        name: database.name().to_string(),
        id: ledger.ledger_id().to_string(),
        origin: ledger.origin().to_owned(),
        verifier_key: ledger.vkey().to_string(),
        deletion_protection,
        size: ledger.snapshot(),
        blocks: last.map_or(0, |number| number + 1),
    })
}

fn describe_table(table: &Table) -> v1::TableDescription {
    let columns = table
        .columns
        .iter()
        .map(|column| v1::Column { name: column.name.to_string(), r#type: column.ty.to_string() })
        .collect();
    v1::TableDescription {
        id: table.id.to_string(),
        name: table.name.to_string(),
        active: table.status == TableStatus::Active,
        columns,
        indexes: table.indexes.iter().map(|index| describe_index(index)).collect(),
    }
}

fn describe_index(index: &Index) -> v1::IndexDescription {
    v1::IndexDescription {
        id: index.id.to_string(),
        name: index.name.to_string(),
        paths: index.paths.iter().map(|path| path_text(path)).collect(),
        unique: index.unique,
        status: index.status.text().to_owned(),
    }
}
