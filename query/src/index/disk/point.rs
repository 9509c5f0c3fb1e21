//! The one document that has a key of a unique index: what nearly every point read asks. It does without the copies that
//! a scan makes. Where more than one source may know the key, or a snapshot is older than what was lost lately, the scan
//! answers ([`Rows::lookup`]).

use std::sync::atomic::Ordering;

use ledgerstone_digest::id::Id;

use super::DiskRows;
use super::entry::{self, Place};
use crate::index::{IndexError, Key, Rows};

/// Longer keys are looked up by a scan.
const KEY_BYTES_MAX: usize = 256;

impl DiskRows {
    /// The document that has this key, whole, at a snapshot, and where it stands then.
    pub fn only(&self, table: Id, index: Id, key: &Key, at: u64) -> Result<Option<(Id, u64)>, IndexError> {
        match self.only_in_one_run(index, key, at).map_err(|error| self.noticed(error))? {
            Some(id) => Ok(self.document(table, id, at)?.map(|position| (id, position))),
            None => {
                let found = self.lookup(table, index, key, at)?;
                Ok(found.into_iter().next().map(|found| (found.id, found.position)))
            }
        }
    }

    /// `None`: a scan has to find out.
    fn only_in_one_run(&self, index: Id, key: &Key, at: u64) -> Result<Option<Id>, IndexError> {
        self.sound()?;
        let place = Place::index(index);
        let mut buffer = [0; KEY_BYTES_MAX];
        let Some((whole, held)) = place.write_held(key.as_bytes(), &mut buffer) else { return Ok(None) };
        let filter = entry::filter_of(whole);
        let cuts = self.cuts.load(Ordering::Acquire);
        let view = {
            let inner = self.read();
            if !inner.facts.indexes.contains_key(&index) {
                return Err(IndexError::Gone(index));
            }
            let (floor, lost) = inner
                .recent
                .get(&place)
                .map_or((self.opened_at, None), |recent| (recent.floor, recent.losses.back().map(|loss| loss.to)));
            // Somebody may have lost it since.
            if at < floor || lost.is_some_and(|to| to >= at) || inner.delta.filter.may_hold(filter) {
                return Ok(None);
            }
            std::sync::Arc::clone(&inner.view)
        };
        let mut runs = view.runs.iter().filter(|run| run.may_hold(filter));
        let (Some(run), None) = (runs.next(), runs.next()) else { return Ok(None) };
        if view.frozen.iter().any(|frozen| frozen.filter.may_hold(filter)) {
            return Ok(None);
        }
        let found = run.only_with(held)?;
        let uncut = self.cuts.load(Ordering::Acquire) == cuts;
        Ok(found.filter(|(_, from)| *from < at && uncut).map(|(id, _)| id))
    }
}
