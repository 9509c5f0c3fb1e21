//! What a session knows of the sequences that it has used: what `currval` and `lastval` tell, and which it has created that are
//! no column's yet.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledgerstone_digest::id::Id;

/// A table's id and its column.
type Key = (Id, Arc<str>);

/// More sequences than that are not announced: they take memory for as long as the session lasts.
const ANNOUNCED_MAX: usize = 10_000;

/// The values that identity columns have given to a session, by column. What a transaction took that was rolled back counts,
/// as in PostgreSQL.
#[derive(Debug, Clone, Default)]
pub struct GivenValues(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Counts statements.
    statement: AtomicU64,
    given: Mutex<Given>,
    /// Where sequences start that were created without an owner, by name.
    announced: Mutex<BTreeMap<Arc<str>, Option<i64>>>,
}

#[derive(Debug, Default)]
struct Given {
    /// With the statement that has taken it.
    values: BTreeMap<Key, (u64, i64)>,
    /// The one that gave a value last.
    last: Option<Key>,
}

impl GivenValues {
    /// Another statement begins.
    pub fn next_statement(&self) {
        self.0.statement.fetch_add(1, Ordering::Relaxed);
    }

    /// A column has given a value. Of those that one statement takes on several threads, the highest is the last.
    pub fn gave(&self, table: Id, column: &Arc<str>, value: i64) {
        let statement = self.statement();
        let mut given = self.given();
        let last = given.last.as_ref().is_some_and(|(id, name)| *id == table && name == column);
        if !last {
            given.last = Some((table, Arc::clone(column)));
        }
        match given.values.get_mut(&(table, Arc::clone(column))) {
            Some((before, known)) if *before == statement => *known = value.max(*known),
            _ => drop(given.values.insert((table, Arc::clone(column)), (statement, value))),
        }
    }

    /// A column counts on behind a value, as if it had given it.
    pub fn set(&self, table: Id, column: &Arc<str>, value: i64) {
        let statement = self.statement();
        self.given().values.insert((table, Arc::clone(column)), (statement, value));
    }

    /// What a column has given last.
    pub fn value(&self, table: Id, column: &Arc<str>) -> Option<i64> {
        self.given().values.get(&(table, Arc::clone(column))).map(|(_, value)| *value)
    }

    /// The column that has given a value last, and what `currval` says of it.
    pub fn last(&self) -> Option<(Id, Arc<str>, i64)> {
        let given = self.given();
        let key = given.last.as_ref()?;
        given.values.get(key).map(|(_, value)| (key.0, Arc::clone(&key.1), *value))
    }

    /// `DISCARD SEQUENCES`.
    pub fn forget(&self) {
        *self.given() = Given::default();
    }

    /// A sequence was created of which it is not said yet what counts with it. False if there are too many.
    pub fn announce(&self, sequence: &Arc<str>, counts_from: Option<i64>) -> bool {
        let mut announced = self.announced();
        if announced.len() >= ANNOUNCED_MAX && !announced.contains_key(sequence) {
            return false;
        }
        announced.insert(Arc::clone(sequence), counts_from);
        true
    }

    /// Where a sequence that was announced starts. A statement may be run again, so it stays: what has become a column's is found
    /// before this is asked.
    pub fn announced_start(&self, sequence: &str) -> Option<Option<i64>> {
        self.announced().get(sequence).copied()
    }

    fn announced(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Option<i64>>> {
        self.0.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn statement(&self) -> u64 {
        self.0.statement.load(Ordering::Relaxed)
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.0.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_is_of_the_column_that_gave_last() {
        let (table, id, other) = (Id([1; 16]), Arc::from("id"), Arc::from("other"));
        let given = GivenValues::default();
        assert_eq!((given.last(), given.value(table, &id)), (None, None));
        given.gave(table, &id, 7);
        given.gave(table, &id, 6);
        given.gave(table, &other, 3);
        assert_eq!(given.value(table, &id), Some(7));
        assert_eq!(given.last(), Some((table, Arc::clone(&other), 3)));
        // What was taken and rolled back is taken for lower ones later.
        given.next_statement();
        given.gave(table, &id, 5);
        assert_eq!(given.value(table, &id), Some(5));
        given.gave(table, &other, 3);
        // Setting one is not giving a value.
        given.set(table, &id, 40);
        assert_eq!(given.last(), Some((table, Arc::clone(&other), 3)));
        given.set(table, &other, 2);
        assert_eq!(given.last(), Some((table, other, 2)));
        given.forget();
        assert_eq!((given.last(), given.value(table, &id)), (None, None));
    }

    #[test]
    fn sequences_that_are_announced_outlive_what_was_given_and_are_bounded() {
        let given = GivenValues::default();
        assert!(given.announce(&Arc::from("s"), Some(7)));
        given.forget();
        assert_eq!((given.announced_start("s"), given.announced_start("other")), (Some(Some(7)), None));
        (1..ANNOUNCED_MAX).for_each(|n| assert!(given.announce(&Arc::from(n.to_string()), None)));
        assert!(!given.announce(&Arc::from("one more"), None) && given.announce(&Arc::from("s"), None));
        assert_eq!(given.announced_start("s"), Some(None));
    }
}
