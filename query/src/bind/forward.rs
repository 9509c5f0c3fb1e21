//! The names of WITH RECURSIVE, each of which may be read before its turn comes: one that has not been bound yet is bound
//! where it is first read, as if that stood at its own place.

use super::query::CteName;
use super::{Binder, deep};
use crate::ast::{CommonTable, DEPTH_MAX, Name};
use crate::error::{QueryError, Result, SqlState};

/// The names of one WITH RECURSIVE, for as long as what stands behind it is bound.
pub(super) struct Forward {
    tables: Vec<CommonTable>,
    bound: Vec<Option<CteName>>,
    /// Those being bound, each for the one before it.
    under_way: Vec<usize>,
    /// Levels and names around the WITH.
    levels: usize,
    names: usize,
}

impl Binder<'_> {
    /// Binds what stands behind a WITH RECURSIVE, which knows its names as they know each other.
    pub(super) fn within_recursive<T>(
        &mut self,
        with: &[CommonTable],
        bind: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let (levels, names) = (self.levels.len(), self.cte_names.len());
        let scope = self.forward.len();
        let bound = with.iter().map(|_| None).collect();
        self.forward.push(Forward { tables: with.to_vec(), bound, under_way: Vec::new(), levels, names });
        let all = (0..with.len()).try_for_each(|at| self.bound_at(scope, at).map(drop));
        let bound = all.and_then(|()| bind(self));
        self.forward.truncate(scope);
        bound
    }

    /// The common table of this name that can be seen from here.
    pub(super) fn common_table_named(&mut self, name: &Name) -> Result<Option<CteName>> {
        let plain = self.cte_names.iter().rposition(|cte| cte.name == name.text);
        for scope in (0..self.forward.len()).rev() {
            let Some(forward) = self.forward.get(scope) else { break };
            if plain.is_some_and(|at| at >= forward.names) {
                break;
            }
            let Some(at) = forward.tables.iter().position(|table| table.name.text == name.text) else { continue };
            if forward.under_way.contains(&at) {
                return Err(refused(name, forward.under_way.last() == Some(&at)));
            }
            return self.bound_at(scope, at).map(Some);
        }
        Ok(plain.and_then(|at| self.cte_names.get(at)).cloned())
    }

    fn bound_at(&mut self, scope: usize, at: usize) -> Result<CteName> {
        let Some(forward) = self.forward.get_mut(scope) else {
            return Err(QueryError::internal("a WITH that is not there"));
        };
        if let Some(Some(bound)) = forward.bound.get(at) {
            return Ok(bound.clone());
        }
        let Some(table) = forward.tables.get(at).cloned() else {
            return Err(QueryError::internal("a WITH query that is not there"));
        };
        if forward.under_way.len() >= DEPTH_MAX {
            let message = format!("more than {DEPTH_MAX} WITH queries each read one that comes later");
            return Err(QueryError::new(SqlState::STATEMENT_TOO_COMPLEX, message)
                .at(table.name.span)
                .hint("Put what is read before what reads it."));
        }
        forward.under_way.push(at);
        let (levels, names) = (forward.levels, forward.names);
        // What lies between the WITH and where this one is read is nothing to it.
        let between = (
            self.levels.split_off(levels.min(self.levels.len())),
            self.cte_names.split_off(names.min(self.cte_names.len())),
            self.forward.split_off(scope + 1),
            (std::mem::take(&mut self.changing), std::mem::take(&mut self.limited)),
        );
        let bound = deep(|| self.common_table_alone(&table, true));
        self.levels.truncate(levels);
        self.levels.extend(between.0);
        self.cte_names.truncate(names);
        self.cte_names.extend(between.1);
        self.forward.truncate(scope + 1);
        self.forward.extend(between.2);
        (self.changing, self.limited) = between.3;
        let bound = bound?;
        if let Some(forward) = self.forward.get_mut(scope) {
            forward.under_way.pop();
            if let Some(place) = forward.bound.get_mut(at) {
                *place = Some(bound.clone());
            }
        }
        Ok(bound)
    }
}

/// Where a query reads itself it is known by what it begins with, so here it does so in another way.
fn refused(name: &Name, itself: bool) -> QueryError {
    match itself {
        true => {
            let message = format!(
                "recursive query \"{}\" does not have the form non-recursive-term UNION [ALL] recursive-term",
                name.text
            );
            QueryError::new(SqlState::INVALID_RECURSION, message)
                .hint("It reads itself in FROM of the second part of a UNION.")
        }
        false => {
            let message = "mutual recursion between WITH items is not implemented";
            QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
        }
    }
    .at(name.span)
}
