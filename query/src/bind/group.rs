//! GROUP BY: the keys, and slots of keys and aggregates in place of their expressions.

use ledgerstone_digest::ion::{Int, Value};

use super::Binder;
use super::grouping::Aliases;
use super::plan::{AggregateCall, Ex, GroupPlan, SortExpr};
use super::walk::{own_slots, walk};
use crate::ast::{Expr, ExprKind, GroupingElement, Name, Span};
use crate::error::{QueryError, Result, SqlState};

impl Binder<'_> {
    /// The keys that GROUP BY names and the sets that it makes of them; without one, all rows are one group.
    pub(super) fn group_keys(&mut self, group_by: &[GroupingElement], aliases: &Aliases<'_>) -> Result<GroupPlan> {
        self.level().clause = "GROUP BY";
        let mut keys = Vec::new();
        let sets = self.grouping_sets(group_by, aliases, &mut keys)?;
        self.level().keys.clone_from(&keys);
        Ok(GroupPlan { keys, sets, aggregates: vec![], groupings: vec![] })
    }

    /// The place of a key among those that there are, to which it may be added.
    pub(super) fn group_key(&mut self, e: &Expr, aliases: &Aliases<'_>, keys: &mut Vec<(Ex, u32)>) -> Result<usize> {
        let target = match &e.kind {
            ExprKind::Literal(Value::Int(Int::Small(n))) => {
                let at = usize::try_from(*n - 1).ok().and_then(|i| aliases.get(i));
                let found = at.map(|(_, e)| *e).ok_or_else(|| {
                    QueryError::new(
                        SqlState::INVALID_COLUMN_REFERENCE,
                        format!("GROUP BY position {n} is not in select list"),
                    )
                    .at(e.span)
                })?;
                self.any(found)?
            }
            // A column of that name comes before an alias.
            ExprKind::Name(name) => match self.any(e) {
                Ok(ex) if !self.only_open_field(name) => ex,
                other => match aliases.iter().find(|(a, _)| a.is_some_and(|a| a.text == name.text)) {
                    Some((_, e)) => self.any(e)?,
                    None => other?,
                },
            },
            _ => self.any(e)?,
        };
        if let Some(at) = keys.iter().position(|(k, _)| *k == target) {
            return Ok(at);
        }
        keys.push((target, self.level().slot()));
        Ok(keys.len() - 1)
    }

    /// The name is no declared column, only a field some schemaless source may have.
    fn only_open_field(&mut self, name: &Name) -> bool {
        !self.level().items.iter().any(|i| i.columns.iter().any(|c| c.name == name.text) || i.alias == name.text)
    }

    /// Puts slots of keys and aggregates in place of their expressions; anything else of the rows is an error (42803),
    /// unless the keys determine it because a primary key is among them.
    pub(super) fn place_groups(&mut self, places: Vec<(&mut Ex, Span)>, group: &mut GroupPlan) -> Result<()> {
        let source_slots = self.source_slots();
        let forms = forms_of(&group.keys);
        let common = group.common_keys();
        for (ex, span) in places {
            let mut extra: Vec<(Ex, u32)> = Vec::new();
            walk(ex, &mut |e| {
                if let Ex::Aggregate(at) = e {
                    if let Some((_, slot)) = group.aggregates.get(*at) {
                        *e = Ex::slot(*slot);
                    }
                    return false;
                }
                if let Some((_, slot)) = group.keys.iter().chain(&forms).find(|(k, _)| k == e) {
                    *e = Ex::slot(*slot);
                    return false;
                }
                true
            });
            if let Some(slot) = own_slots(ex).into_iter().find(|s| source_slots.contains(s)) {
                // GROUP BY the primary key: every column of that table is one value per group.
                walk(ex, &mut |e| {
                    if let Ex::Field { at, .. } | Ex::Doc { at, .. } = e
                        && at.depth == 0
                        && source_slots.contains(&at.slot)
                        && self.determined(at.slot, &common)
                    {
                        let key = e.clone();
                        let place = extra.iter().find(|(k, _)| *k == key).map(|(_, s)| *s);
                        let place = place.unwrap_or_else(|| {
                            let slot = self.level().slot();
                            extra.push((key, slot));
                            slot
                        });
                        *e = Ex::slot(place);
                        return false;
                    }
                    true
                });
                group.add_keys(extra);
                if own_slots(ex).into_iter().any(|s| source_slots.contains(&s)) {
                    return Err(self.ungrouped(ex, slot).at(span));
                }
            }
        }
        Ok(())
    }

    fn source_slots(&mut self) -> Vec<u32> {
        let mut slots = Vec::new();
        for item in &self.level().items {
            slots.extend(item.doc);
            slots.extend(item.presence);
            for column in &item.columns {
                slots.extend(own_slots(&column.ex));
            }
            if let Some(whole) = &item.whole {
                slots.extend(own_slots(whole));
            }
        }
        slots
    }

    fn determined(&self, slot: u32, keys: &[(Ex, u32)]) -> bool {
        let Some(level) = self.levels.last() else { return false };
        let Some(item) = level.items.iter().find(|i| i.doc == Some(slot)) else { return false };
        let Some(primary) = item.table.as_ref().and_then(|t| t.primary_key()) else { return false };
        primary.paths.iter().all(|path| {
            let [crate::catalogue::PathStep::Field(name)] = path.as_slice() else { return false };
            let column = item.columns.iter().find(|c| c.name == *name);
            column.is_some_and(|c| keys.iter().any(|(k, _)| *k == c.ex))
        })
    }

    fn ungrouped(&self, ex: &Ex, slot: u32) -> QueryError {
        let level = self.levels.last();
        let mut name = None;
        walk(&mut ex.clone(), &mut |e| {
            for item in level.map(|l| l.items.as_slice()).unwrap_or_default() {
                if let Some(column) = item.columns.iter().find(|c| c.ex == *e && own_slots(e).contains(&slot)) {
                    name.get_or_insert(format!("{}.{}", item.alias, column.name));
                }
            }
            true
        });
        let name = name.unwrap_or_else(|| "of the row".to_owned());
        QueryError::new(
            SqlState::GROUPING_ERROR,
            format!("column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function"),
        )
    }
}

/// How many levels out the nearest column is that an aggregate reads; none if it reads no columns.
pub(super) fn nearest_read(call: &AggregateCall) -> Option<u16> {
    nearest(parts(call))
}

/// The same of expressions.
pub(super) fn nearest<'e>(exs: impl Iterator<Item = &'e Ex>) -> Option<u16> {
    let mut nearest = None;
    let mut see = |depth: u16| nearest = Some(nearest.map_or(depth, |n: u16| n.min(depth)));
    each_within(exs, &mut |e| match e {
        Ex::Slot(at) | Ex::Doc { at, .. } | Ex::Field { at, .. } => see(at.depth),
        Ex::Subquery(sub) => sub.query.outer.iter().for_each(|at| see(at.depth - 1)),
        _ => {}
    });
    nearest
}

pub(super) fn holds_subquery(call: &AggregateCall) -> bool {
    let mut found = false;
    each_within(parts(call), &mut |e| found |= matches!(e, Ex::Subquery(_)));
    found
}

fn parts(call: &AggregateCall) -> impl Iterator<Item = &Ex> {
    let order = call.order.iter().filter_map(|key| match &key.expr {
        SortExpr::Expr(e) => Some(e),
        SortExpr::Output(_) => None,
    });
    call.arguments.iter().chain(&call.filter).chain(order)
}

fn each_within<'e>(exs: impl Iterator<Item = &'e Ex>, visit: &mut dyn FnMut(&Ex)) {
    for ex in exs {
        walk(&mut ex.clone(), &mut |e| {
            visit(e);
            true
        });
    }
}

/// How a key reads where columns in it that are keys by themselves have their slots already: `GROUP BY a, a + b`.
pub(super) fn forms_of(keys: &[(Ex, u32)]) -> Vec<(Ex, u32)> {
    let mut forms = Vec::new();
    for (key, slot) in keys {
        let mut form = key.clone();
        walk(&mut form, &mut |e| match keys.iter().find(|(other, s)| s != slot && other == e) {
            Some((_, other)) => {
                *e = Ex::slot(*other);
                false
            }
            None => true,
        });
        if form != *key {
            forms.push((form, *slot));
        }
    }
    forms
}
