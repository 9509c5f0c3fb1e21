//! Rows without duplicates, in the order in which they first came. What does not fit in memory is put off: rows whose key
//! is not known yet go to the disk, and are gone through again when the others are done, as often as it takes.

use std::collections::HashSet;

use super::query::row_key;
use super::run::{Flow, Run};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result};
use crate::index::Key;
use crate::work::{Share, SpillFile, is_short, pack, unpack};

/// What is read at a time of rows that were put off.
pub(super) const READ_BYTES: usize = 64 << 10;

pub(super) struct Distinct<'r, 'a> {
    run: &'r Run<'a>,
    share: Share<'r>,
    seen: HashSet<Key>,
    later: Option<SpillFile>,
}

/// Whether a row is one of its kind.
pub(super) enum Seen {
    First,
    Before,
    /// Not known yet: [`Distinct::put_off`] takes it.
    Later,
}

impl<'r, 'a> Distinct<'r, 'a> {
    pub fn new(run: &'r Run<'a>) -> Self {
        Distinct { run, share: run.share(), seen: HashSet::new(), later: None }
    }

    pub fn see(&mut self, key: Key) -> Result<Seen> {
        if self.seen.contains(&key) {
            return Ok(Seen::Before);
        }
        if self.later.is_some() {
            return Ok(Seen::Later);
        }
        match self.share.charge_half(key.len() + 64) {
            Ok(()) => {
                self.seen.insert(key);
                Ok(Seen::First)
            }
            Err(error) if is_short(&error) && !self.seen.is_empty() => {
                self.later = Some(self.run.spill_file()?);
                Ok(Seen::Later)
            }
            Err(error) => Err(error),
        }
    }

    pub fn put_off(&mut self, values: Vec<Datum>) -> Result<()> {
        match &mut self.later {
            Some(file) => file.push(&pack(values)),
            None => Err(QueryError::internal("a row was put off for no reason")),
        }
    }

    /// Hands over, once each, the rows that were put off: so many values, the first of which are the key.
    pub fn settle(
        mut self,
        count: usize,
        key_count: usize,
        pass: &mut dyn FnMut(Vec<Datum>) -> Result<Flow>,
    ) -> Result<()> {
        while let Some(mut file) = self.later.take() {
            self.seen.clear();
            self.share.release_all();
            file.flush()?;
            let mut cursor = file.records(0, file.end(), READ_BYTES);
            while let Some(record) = cursor.next(&file)? {
                self.run.tick()?;
                let values = unpack(record, count).map_err(QueryError::internal)?;
                match self.see(row_key(values.get(..key_count).unwrap_or_default()))? {
                    Seen::Before => {}
                    Seen::Later => self.put_off(values)?,
                    Seen::First => {
                        if pass(values)? == Flow::Stop {
                            return Ok(());
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
