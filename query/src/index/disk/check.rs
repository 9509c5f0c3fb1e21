//! Reading all of an index that nobody has open: for `ledgerstone doctor`.

use std::path::Path;
use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_journal::Env;

use super::INDEX_DIR;
use super::cache::BlockCache;
use super::manifest::Manifest;
use super::run::Run;
use crate::index::IndexError;

/// What the files of an index come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexReport {
    /// They know the journal up to this position.
    pub position: u64,
    pub runs: u64,
    pub entries: u64,
}

/// Reads every block of the index in a ledger's directory. `None`: there is no index. `progress` is told the bytes read
/// and the bytes there are.
pub fn check_index(
    env: &Env,
    ledger_dir: &Path,
    ledger: Id,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Option<IndexReport>, IndexError> {
    let dir = ledger_dir.join(INDEX_DIR);
    let Some(manifest) = Manifest::read(&*env.storage, &dir)? else { return Ok(None) };
    let damage = |what: &str| IndexError::damaged(&dir.join(super::manifest::MANIFEST), 0, what);
    if manifest.ledger != ledger {
        return Err(damage("it is of another ledger"));
    }
    let total = manifest.runs.iter().map(|run| run.length).sum();
    let (mut read, mut entries) = (0, 0);
    let cache = Arc::new(BlockCache::new(0));
    for name in &manifest.runs {
        let run = Run::open(&*env.storage, &dir, *name, &cache)?;
        let mut cursor = run.cursor(None, false)?;
        let (mut before, mut found) = (Vec::new(), 0);
        while let Some(key) = cursor.key() {
            if found > 0 && *key <= before[..] {
                return Err(IndexError::damaged(run.path(), 0, "its entries are not in order"));
            }
            before.clear();
            before.extend_from_slice(key);
            found += 1;
            cursor.advance()?;
        }
        if found != name.entries {
            return Err(IndexError::damaged(run.path(), 0, "it has another number of entries than the manifest says"));
        }
        (read, entries) = (read + name.length, entries + found);
        progress(read, total);
    }
    Ok(Some(IndexReport { position: manifest.facts.position, runs: manifest.runs.len() as u64, entries }))
}
