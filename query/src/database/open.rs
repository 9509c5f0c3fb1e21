//! Opening: what is derived from the journal, from the row index as far as that knows it and by replaying the rest.

use std::path::Path;
use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;
use ledgerstone_journal::recovery::Recovered;
use ledgerstone_journal::{Data, Env, PublishedRevision, ReadError, StoredRevision};

use super::state::{Past, State, contradicts};
use super::{DatabaseOptions, read_error};
use crate::catalogue::{Catalogue, system_tables};
use crate::error::{QueryError, Result};
use crate::index::disk::INDEX_DIR;
use crate::index::{DiskRows, IndexError, Rows};
use crate::transaction::without_salt;

/// Definitions looked for at a time.
const BATCH: usize = 256;

/// Everything that is derived. An index that does not fit the journal is made again.
pub(super) fn derive(
    env: &Env,
    dir: &Path,
    name: &str,
    recovered: &Recovered,
    options: &DatabaseOptions,
) -> Result<Arc<State>> {
    let open = || {
        let leaf = recovered.leaf_hashes_by_position();
        let (rows, dropped) = DiskRows::open(env, dir, recovered.ledger_id(), recovered.end(), options.index, leaf);
        if let Some(why) = dropped {
            tracing::warn!(ledger = name, why, "the row index cannot be used and is made again from the journal");
        }
        rows
    };
    let rows = open();
    let from = rows.position();
    match replay(rows, recovered, options) {
        Err(Failure { error, of_journal: false }) if from > 0 => {
            tracing::warn!(ledger = name, %error, "the row index does not fit the journal and is made again");
            forget(env, dir)?;
            replay(open(), recovered, options).map_err(|failure| failure.error)
        }
        outcome => outcome.map_err(|failure| failure.error),
    }
}

fn forget(env: &Env, dir: &Path) -> Result<()> {
    let path = dir.join(INDEX_DIR);
    match env.storage.remove_dir_all(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(IndexError::file(&path, "remove it", &error).into())
        }
        _ => Ok(()),
    }
}

/// Why deriving failed.
struct Failure {
    error: QueryError,
    /// The journal could not be read, so making the index again would not help.
    of_journal: bool,
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Failure { error: read_error(error), of_journal: true }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        Failure { error, of_journal: false }
    }
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        QueryError::from(error).into()
    }
}

fn replay(rows: DiskRows, recovered: &Recovered, options: &DatabaseOptions) -> Result<Arc<State>, Failure> {
    let from = rows.position();
    let catalogue = definitions(&rows, recovered)?;
    let state = State::new((options.cache_bytes_max, options.histories_bytes_max), rows, catalogue)?;
    let past = Past {
        data: &|position| data_at(recovered, position),
        block_end: &|number| recovered.block_end(number).map_err(contradicts),
    };
    recovered.replay(from, &mut |block| -> Result<(), Failure> { Ok(state.take_in(block, past)?) })?;
    state.opened(recovered.end(), recovered.last_time_ms());
    if state.rows.needs_purge() {
        state.purge_rows();
    }
    Ok(Arc::new(state))
}

/// The catalogue as of the rows' position, from the revisions of the definitions alone.
fn definitions(rows: &DiskRows, recovered: &Recovered) -> Result<Catalogue, Failure> {
    let mut positions = Vec::new();
    for table in [Id::TABLES, Id::INDEXES, Id::LEDGER] {
        let mut after = None;
        loop {
            let ids = rows.all_documents(table, after, BATCH)?;
            let Some(last) = ids.last() else { break };
            after = Some(*last);
            for id in ids {
                positions.append(&mut rows.revisions(table, id, u64::MAX)?);
            }
        }
    }
    positions.sort_unstable();
    let mut catalogue = Catalogue::default();
    for position in positions {
        let (stored, block) = recovered.revision(position)?;
        system_tables::apply(&mut catalogue, &published(stored), block.start, block.end)?;
    }
    Ok(catalogue)
}

fn published(stored: StoredRevision) -> PublishedRevision {
    PublishedRevision {
        position: stored.position,
        table_id: stored.table_id,
        document_id: stored.document_id,
        version: stored.version,
        supersedes: stored.supersedes,
        deleted: stored.deleted,
        data: stored.data.map(Data::Value),
    }
}

fn data_at(recovered: &Recovered, position: u64) -> Result<Option<Arc<Value>>, IndexError> {
    let (stored, _) = recovered.revision(position).map_err(contradicts)?;
    Ok(stored.data.map(|data| without_salt(data).0))
}
