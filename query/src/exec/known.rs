//! What a statement has computed and may need again: rows of subqueries that depend on no row around them, and of WITH
//! queries. A query is one run; a statement that changes documents makes several, which know the same.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use super::result::ResultRows;
use super::run::Row;
use super::with::Growing;
use crate::index::Key;
use crate::work::Held;

/// Rows of an uncorrelated subquery in an expression, and for IN a set of their first columns.
pub(crate) struct Kept {
    pub rows: Vec<Row>,
    pub set: Option<(HashSet<Key>, bool)>,
    /// Their memory, if they outlive the run that has computed them.
    pub _held: Option<Held>,
}

/// By the ids that plans give.
#[derive(Default)]
pub(super) struct Known {
    /// Of subqueries in expressions.
    pub kept: Slots<Kept>,
    /// Of subqueries in FROM.
    pub sources: Slots<ResultRows>,
    /// All rows of a WITH query; of a recursive one, the rows that its step is to read.
    pub ctes: Slots<ResultRows>,
    pub growing: Slots<Growing>,
    /// Runs come and go, and what they computed stays.
    pub outlives_runs: bool,
}

impl Known {
    /// Of a statement that makes several runs.
    pub fn of_several_runs() -> Rc<Known> {
        Rc::new(Known { outlives_runs: true, ..Known::default() })
    }
}

pub(super) struct Slots<T>(RefCell<Vec<Option<Rc<T>>>>);

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots(RefCell::new(Vec::new()))
    }
}

impl<T> Slots<T> {
    pub fn get(&self, id: usize) -> Option<Rc<T>> {
        self.0.borrow().get(id).cloned().flatten()
    }

    pub fn set(&self, id: usize, what: Rc<T>) {
        let mut all = self.0.borrow_mut();
        if all.len() <= id {
            all.resize_with(id + 1, || None);
        }
        if let Some(place) = all.get_mut(id) {
            *place = Some(what);
        }
    }

    pub fn forget(&self, id: usize) {
        if let Some(place) = self.0.borrow_mut().get_mut(id) {
            *place = None;
        }
    }
}
