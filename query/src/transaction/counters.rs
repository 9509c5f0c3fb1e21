//! Values of identity columns, as one transaction takes them.

use std::sync::{MutexGuard, PoisonError};

use super::Transaction;
use crate::catalogue::virtual_tables::sequence_name;
use crate::catalogue::{Column, Table};
use crate::database::counters::Counters;
use crate::error::{QueryError, Result, SqlState};

impl Transaction {
    /// The next value of an identity column. None that a document of the table has had is given again; gaps are normal.
    pub fn next_identity(&self, table: &Table, column: &Column) -> Result<i64> {
        let range = column.counts_from.unwrap_or(1)..=column.ty.counts_to().unwrap_or(i64::MAX);
        let next = match self.counts_apart(table, column) {
            // Whoever writes to the table meanwhile does not commit beside this transaction.
            true => {
                let known = self.highest_identity(table, column);
                self.own_counters().next(table.id, &column.name, known, &range)
            }
            false => self.database().state().counters().next(table.id, &column.name, 0, &range),
        };
        next.ok_or_else(|| {
            let sequence = sequence_name(&table.name, &column.name);
            let message = format!("nextval: reached maximum value of sequence \"{sequence}\" ({})", range.end());
            QueryError::new(SqlState::SEQUENCE_LIMIT_EXCEEDED, message)
        })
    }

    /// The highest value that an identity column has had or given, of whichever transaction; 0 if none.
    pub fn highest_identity(&self, table: &Table, column: &Column) -> i64 {
        self.database().state().counters().highest(table.id, &column.name)
    }

    /// A column is to count on from here, or from further on if it has come there: others are told by its definition, which
    /// changes when the statement has ended ([`Transaction::take_counts_from`]). What it has given may be in no document, and
    /// forgotten after a crash, so it does not stand for the definition.
    pub fn count_on_from(&self, table: &Table, column: &Column, next: i64) {
        if next > column.counts_from.unwrap_or(1) {
            self.counts_from.lock().unwrap_or_else(PoisonError::into_inner).note(table.id, &column.name, next);
        }
    }

    /// Where the statement that has ended wants columns to count on from.
    pub(crate) fn take_counts_from(&mut self) -> Counters {
        std::mem::take(self.counts_from.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells others how far columns that count apart have come: this transaction is about to commit.
    pub(super) fn note_counters(&self) {
        for ((table, column), given) in &self.own_counters().0 {
            self.database().state().counters().note(*table, column, *given);
        }
    }

    /// Whether this transaction has said where the column counts from, which others must not learn before it commits.
    fn counts_apart(&self, table: &Table, column: &Column) -> bool {
        let before = self.catalogues.first().and_then(|catalogue| catalogue.table_by_id(&table.id));
        before.and_then(|table| table.column(&column.name)?.counts_from) != column.counts_from
    }

    fn own_counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
