//! How far identity columns have counted, by table and column: those of all transactions, and those of one.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ledgerstone_digest::id::Id;

/// The highest value that each column has had or given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters(pub BTreeMap<(Id, Arc<str>), i64>);

impl Counters {
    /// The next value from a range, above all that were given and above `known`; nothing if there is none left.
    pub fn next(&mut self, table: Id, column: &Arc<str>, known: i64, range: &RangeInclusive<i64>) -> Option<i64> {
        let highest = self.0.entry((table, column.clone())).or_insert(0);
        let next = known.max(*highest).checked_add(1)?.max(*range.start());
        range.contains(&next).then(|| {
            *highest = next;
            next
        })
    }

    /// Says that a column has a value, or has given it.
    pub fn note(&mut self, table: Id, column: &Arc<str>, given: i64) {
        let highest = self.0.entry((table, column.clone())).or_insert(0);
        *highest = given.max(*highest);
    }

    /// 0 if it has had and given none.
    pub fn highest(&self, table: Id, column: &Arc<str>) -> i64 {
        self.0.get(&(table, column.clone())).copied().unwrap_or(0)
    }
}
