//! Grouping sets: which sets the elements of GROUP BY stand for, and GROUPING(…), which tells them apart.

use std::collections::HashSet;

use super::group::{forms_of, nearest};
use super::plan::{Ex, GroupPlan};
use super::types::Typed;
use super::{Binder, COLUMNS_MAX};
use crate::ast::{Expr, FunctionCall, GroupingElement, Name, Span};
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;

/// PostgreSQL's limits, which bound what a short text can ask for.
const SETS_MAX: usize = 4096;
const CUBE_MAX: usize = 12;
const GROUPING_ARGUMENTS_MAX: usize = 31;

/// The select list as GROUP BY sees it: aliases and expressions.
pub(super) type Aliases<'s> = [(Option<&'s Name>, &'s Expr)];

/// Which of the keys rows are grouped by: one bit for each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct GroupingSet(Vec<u64>);

impl GroupingSet {
    pub fn contains(&self, key: usize) -> bool {
        self.0.get(key / 64).is_some_and(|bits| bits >> (key % 64) & 1 == 1)
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }

    pub fn insert(&mut self, key: usize) {
        let word = key / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (key % 64);
        }
    }

    /// Adds the keys of another one.
    fn extend(&mut self, other: &GroupingSet) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (bits, more) in self.0.iter_mut().zip(&other.0) {
            *bits |= more;
        }
    }
}

impl FromIterator<usize> for GroupingSet {
    fn from_iter<T: IntoIterator<Item = usize>>(keys: T) -> Self {
        let mut set = GroupingSet::default();
        keys.into_iter().for_each(|key| set.insert(key));
        set
    }
}

impl GroupPlan {
    /// Whether rows are grouped in more than one way.
    pub fn has_sets(&self) -> bool {
        self.sets.len() > 1
    }

    /// The keys of every set: what they determine is one value in each group.
    pub(super) fn common_keys(&self) -> Vec<(Ex, u32)> {
        let common = |at: &usize| self.sets.iter().all(|set| set.contains(*at));
        self.keys.iter().enumerate().filter(|(at, _)| common(at)).map(|(_, key)| key.clone()).collect()
    }

    /// Adds keys to every set.
    pub(super) fn add_keys(&mut self, keys: Vec<(Ex, u32)>) {
        let added = self.keys.len()..self.keys.len() + keys.len();
        self.keys.extend(keys);
        self.sets.iter_mut().for_each(|set| added.clone().for_each(|key| set.insert(key)));
    }

    /// What a `GROUPING(…)` is in groups of a set: a bit for each of its keys, the last one's lowest, set where the set
    /// lacks the key.
    pub fn grouping(&self, call: usize, set: usize) -> i64 {
        let (Some((keys, _)), Some(set)) = (self.groupings.get(call), self.sets.get(set)) else { return 0 };
        keys.iter().fold(0, |bits, key| bits << 1 | i64::from(!set.contains(*key)))
    }
}

impl Binder<'_> {
    /// The sets that these elements stand for, one of each combined with one of every other; their keys are added.
    pub(super) fn grouping_sets(
        &mut self,
        group_by: &[GroupingElement],
        aliases: &Aliases<'_>,
        keys: &mut Vec<(Ex, u32)>,
    ) -> Result<Vec<GroupingSet>> {
        let mut sets = vec![GroupingSet::default()];
        for element in group_by {
            let of_element = self.sets_of(element, aliases, keys)?;
            if let [only] = of_element.as_slice() {
                sets.iter_mut().for_each(|set| set.extend(only));
                continue;
            }
            not_too_many(sets.len().saturating_mul(of_element.len()), element.span())?;
            let combined = sets.iter().flat_map(|set| {
                of_element.iter().map(move |more| {
                    let mut set = set.clone();
                    set.extend(more);
                    set
                })
            });
            sets = combined.collect();
        }
        if sets.len() > 1 && keys.len() > COLUMNS_MAX {
            let message = format!("grouping sets can have at most {COLUMNS_MAX} different expressions");
            return Err(QueryError::new(SqlState::TOO_MANY_COLUMNS, message).at(span_of(group_by)));
        }
        Ok(sets)
    }

    /// The sets of one element. Elements are no deeper inside each other than expressions.
    fn sets_of(
        &mut self,
        element: &GroupingElement,
        aliases: &Aliases<'_>,
        keys: &mut Vec<(Ex, u32)>,
    ) -> Result<Vec<GroupingSet>> {
        match element {
            GroupingElement::Set(exprs, _) => Ok(vec![self.ordinary_set(exprs, aliases, keys)?]),
            GroupingElement::Rollup(list, span) => {
                not_too_many(list.len() + 1, *span)?;
                let mut sets = vec![GroupingSet::default()];
                let mut set = GroupingSet::default();
                for exprs in list {
                    set.extend(&self.ordinary_set(exprs, aliases, keys)?);
                    sets.push(set.clone());
                }
                sets.reverse();
                Ok(sets)
            }
            GroupingElement::Cube(list, span) => {
                if list.len() > CUBE_MAX {
                    let message = format!("CUBE is limited to {CUBE_MAX} elements");
                    return Err(QueryError::new(SqlState::TOO_MANY_COLUMNS, message)
                        .at(*span)
                        .hint("Several in parentheses count as one."));
                }
                let mut sets = vec![GroupingSet::default()];
                for exprs in list {
                    let more = self.ordinary_set(exprs, aliases, keys)?;
                    let mut with: Vec<GroupingSet> = sets.clone();
                    with.iter_mut().for_each(|set| set.extend(&more));
                    sets.append(&mut with);
                }
                Ok(sets)
            }
            GroupingElement::Sets(elements, span) => {
                let mut sets = Vec::new();
                for element in elements {
                    sets.append(&mut self.sets_of(element, aliases, keys)?);
                    not_too_many(sets.len(), *span)?;
                }
                Ok(sets)
            }
            GroupingElement::Distinct(elements, _) => {
                let mut seen = HashSet::new();
                let mut sets = self.grouping_sets(elements, aliases, keys)?;
                sets.retain(|set| seen.insert(set.clone()));
                Ok(sets)
            }
        }
    }

    fn ordinary_set(
        &mut self,
        exprs: &[Expr],
        aliases: &Aliases<'_>,
        keys: &mut Vec<(Ex, u32)>,
    ) -> Result<GroupingSet> {
        exprs.iter().map(|e| self.group_key(e, aliases, keys)).collect()
    }

    /// `GROUPING(a, b)`: which of its arguments the row's grouping set lacks.
    pub(super) fn grouping_call(&mut self, call: &FunctionCall, span: Span) -> Result<Typed> {
        let plain = !call.star && !call.distinct && call.filter.is_none() && call.over.is_none();
        if !plain || !call.order_by.is_empty() || call.arguments.is_empty() {
            let message = "GROUPING takes expressions of GROUP BY, and nothing else";
            return Err(QueryError::syntax(message, span));
        }
        if call.arguments.len() > GROUPING_ARGUMENTS_MAX {
            let message = format!("GROUPING must have fewer than {} arguments", GROUPING_ARGUMENTS_MAX + 1);
            return Err(QueryError::new(SqlState::TOO_MANY_ARGUMENTS, message).at(span));
        }
        let read: Vec<usize> = self.levels.iter().map(|level| level.outer.len()).collect();
        let arguments = self.grouping_arguments(call)?;
        let depth = usize::from(nearest(arguments.iter()).unwrap_or(0));
        if depth == 0 {
            return self.grouping_here(call, arguments, span).map(|ex| Typed::new(ex, SqlType::Int4));
        }
        // The query that it is about is further out: as for an aggregate of that query, nothing here has read its rows.
        for (level, read) in self.levels.iter_mut().zip(read) {
            level.outer.truncate(read);
        }
        let inner = self.levels.split_off(self.levels.len().saturating_sub(depth));
        let found = self.grouping_arguments(call).and_then(|arguments| self.grouping_here(call, arguments, span));
        self.levels.extend(inner);
        Ok(Typed::new(self.place(found?, depth), SqlType::Int4))
    }

    fn grouping_arguments(&mut self, call: &FunctionCall) -> Result<Vec<Ex>> {
        call.arguments.iter().map(|e| self.any(e)).collect()
    }

    fn grouping_here(&mut self, call: &FunctionCall, arguments: Vec<Ex>, span: Span) -> Result<Ex> {
        let level = self.level();
        let refused = |message: String, span| Err(QueryError::new(SqlState::GROUPING_ERROR, message).at(span));
        if level.in_aggregate {
            return refused("aggregate function calls cannot be nested".to_owned(), span);
        }
        if level.aggregates.is_none() {
            return refused(format!("grouping operations are not allowed in {}", level.clause), span);
        }
        let forms = forms_of(&level.keys);
        let mut places = Vec::with_capacity(arguments.len());
        for (argument, written) in arguments.iter().zip(&call.arguments) {
            let keys = level.keys.iter();
            let slot = keys.clone().chain(&forms).find(|(key, slot)| key == argument || *argument == Ex::slot(*slot));
            let Some(place) = slot.and_then(|(_, slot)| keys.clone().position(|(_, s)| s == slot)) else {
                let message = "arguments to GROUPING must be grouping expressions of the associated query level";
                let error = QueryError::new(SqlState::GROUPING_ERROR, message).at(written.span);
                return Err(error.hint("They are written as in GROUP BY; an alias of the select list is none of them."));
            };
            places.push(place);
        }
        if let Some((_, slot)) = level.groupings.iter().find(|(keys, _)| *keys == places) {
            return Ok(Ex::slot(*slot));
        }
        let slot = level.slot();
        level.groupings.push((places, slot));
        Ok(Ex::slot(slot))
    }
}

fn not_too_many(sets: usize, span: Span) -> Result<()> {
    if sets <= SETS_MAX {
        return Ok(());
    }
    let message = format!("too many grouping sets present (maximum {SETS_MAX})");
    Err(QueryError::new(SqlState::STATEMENT_TOO_COMPLEX, message)
        .at(span)
        .hint("Every element of GROUP BY multiplies the sets of the others: write the sets that are needed in one."))
}

fn span_of(group_by: &[GroupingElement]) -> Span {
    group_by.iter().fold(Span::default(), |span, element| span.to(element.span()))
}
