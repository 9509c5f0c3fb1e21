//! Joins: what they add to the names in scope, the order sources are read in, and how they are joined: index lookups
//! driven by the rows so far where an index serves, hash joins on equal values otherwise, nested loops for the rest.
//! Conditions go as far down as they can.

use std::ops::Range;

use super::Binder;
use super::access::{Choice, choose};
use super::from::{Leaf, Tree};
use super::plan::{Comparison, Ex, HashJoin, LoopJoin, Node, Source, SourceNode};
use super::query::conjuncts;
use super::row::mark_presence;
use super::scope::{Column, Joined};
use super::types::{CastContext, Typed, unify};
use super::walk::own_slots;
use crate::ast::{From, JoinKind, JoinOn, Name, Span};
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;

impl Binder<'_> {
    pub(super) fn join(&mut self, kind: JoinKind, left: &From, right: &From, on: &JoinOn) -> Result<Tree> {
        let before = self.level().items.len();
        let left_tree = self.bind_source(left)?;
        let middle = self.level().items.len();
        let right_tree = self.bind_source(right)?;
        let sides = (before..middle, middle..self.level().items.len());
        let on = self.join_condition(kind, on, sides.clone())?;
        for (side, nullable) in
            [(sides.0, [JoinKind::Right, JoinKind::Full]), (sides.1, [JoinKind::Left, JoinKind::Full])]
        {
            let items = self.level().items.get_mut(side).unwrap_or_default();
            items.iter_mut().for_each(|item| item.nullable |= nullable.contains(&kind));
        }
        Ok(Tree::Join { kind, left: Box::new(left_tree), right: Box::new(right_tree), on })
    }

    fn join_condition(&mut self, kind: JoinKind, on: &JoinOn, sides: (Range<usize>, Range<usize>)) -> Result<Vec<Ex>> {
        match on {
            JoinOn::None => Ok(vec![]),
            JoinOn::On(e) => {
                // Only the joined sources are visible in ON.
                let outside = std::mem::replace(&mut self.level().first_visible, sides.0.start);
                let bound = self.expr(e).and_then(|b| self.condition(b, "JOIN/ON", e.span));
                self.level().first_visible = outside;
                Ok(conjuncts(bound?))
            }
            JoinOn::Using(names) => self.using(kind, names, sides),
            JoinOn::Natural => {
                let common = self.common_columns(sides.clone());
                self.using(kind, &common, sides)
            }
        }
    }

    fn common_columns(&mut self, (left, right): (Range<usize>, Range<usize>)) -> Vec<Name> {
        let partiql = self.partiql;
        let level = self.level();
        let right = level.starred(right, partiql);
        let mut names: Vec<Name> = Vec::new();
        for column in level.starred(left, partiql) {
            if right.iter().any(|c| c.name == column.name) && !names.iter().any(|n| n.text == column.name) {
                names.push(Name::exact(column.name, true, Span::default()));
            }
        }
        names
    }

    /// JOIN … USING: the columns are equal, and stand once in the result.
    fn using(
        &mut self,
        kind: JoinKind,
        names: &[Name],
        (left, right): (Range<usize>, Range<usize>),
    ) -> Result<Vec<Ex>> {
        let mut on = Vec::with_capacity(names.len());
        let mut merged: Vec<(Name, Ex, SqlType)> = Vec::with_capacity(names.len());
        for name in names {
            if merged.iter().any(|(n, _, _)| n.text == name.text) {
                let message = format!("column name \"{}\" appears more than once in USING clause", name.text);
                return Err(QueryError::new(SqlState::DUPLICATE_COLUMN, message).at(name.span));
            }
            let a = self.join_column(name, left.clone(), "left")?;
            let b = self.join_column(name, right.clone(), "right")?;
            let equal = self.compare(Comparison::Eq, a.clone(), b.clone(), (name.span, name.span))?;
            on.push(equal);
            let (value, ty) = self.merged_column(kind, a, b, name.span)?;
            merged.push((name.clone(), value, ty));
        }
        self.level().joins.push(Joined { left: left.start, right: right.start, end: right.end, merged });
        Ok(on)
    }

    /// The value that two joined columns have in common, where a row has both, and its type.
    fn merged_column(&mut self, kind: JoinKind, a: Typed, b: Typed, span: Span) -> Result<(Ex, SqlType)> {
        if a.is_ion() || b.is_ion() {
            // A document's value is what it is.
            let either = Typed::new(Ex::Coalesce(vec![a.ex.clone(), b.ex.clone()]), SqlType::Ion);
            let value = if kind == JoinKind::Full {
                either
            } else if kind == JoinKind::Right {
                b
            } else {
                a
            };
            return self.settle(value, span);
        }
        let Some(ty) = unify(&[a.ty.clone(), b.ty.clone()]) else {
            return Err(QueryError::new(SqlState::DATATYPE_MISMATCH, "JOIN/USING types cannot be matched").at(span));
        };
        let (converted_a, converted_b) = (a.ty.as_ref() != Some(&ty), b.ty.as_ref() != Some(&ty));
        let x = self.coerce(a, &ty, CastContext::Implicit, span)?;
        let y = self.coerce(b, &ty, CastContext::Implicit, span)?;
        let value = match kind {
            JoinKind::Full => Ex::Coalesce(vec![x, y]),
            JoinKind::Right => y,
            // Both are the same: a column as it is may be looked up in an index.
            JoinKind::Inner if converted_a && !converted_b => y,
            _ => x,
        };
        Ok((value, ty))
    }

    fn join_column(&mut self, name: &Name, sources: Range<usize>, side: &str) -> Result<Typed> {
        let mut found = self.level().named(sources, name).into_iter();
        match (found.next(), found.next()) {
            (Some(Column { ex, ty, .. }), None) => Ok(Typed::new(ex, ty)),
            (Some(_), Some(_)) => Err(QueryError::new(
                SqlState::AMBIGUOUS_COLUMN,
                format!("common column name \"{}\" appears more than once in {side} table", name.text),
            )
            .at(name.span)),
            (None, _) => Err(QueryError::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column \"{}\" specified in USING clause does not exist in {side} table", name.text),
            )
            .at(name.span)),
        }
    }

    /// A plan for FROM, and the conditions that must still be checked above it.
    pub(super) fn plan_from(&mut self, mut trees: Vec<Tree>, filter: Vec<Ex>) -> Result<(Option<Node>, Vec<Ex>)> {
        let presences = std::mem::take(&mut self.level().presences);
        trees.iter_mut().for_each(|tree| mark_presence(tree, &presences));
        let mut conditions: Vec<Ex> = filter.into_iter().flat_map(conjuncts).collect();
        let node = self.plan_trees(trees, &mut conditions)?;
        Ok((node, conditions))
    }

    /// Joins all trees; conditions it could place are taken out of the list.
    fn plan_trees(&mut self, trees: Vec<Tree>, conditions: &mut Vec<Ex>) -> Result<Option<Node>> {
        let mut units: Vec<Tree> = Vec::new();
        for tree in trees {
            flatten(tree, &mut units, conditions);
        }
        let mut bound: Vec<u32> = Vec::new();
        let mut node: Option<Node> = None;
        while !units.is_empty() {
            let at = self.next_unit(&units, &bound, conditions, node.is_some())?;
            let unit = units.remove(at);
            let slots = unit.slots();
            node = Some(self.attach(node, unit, &bound, conditions)?);
            bound.extend(slots);
            if let Some(done) = node.take() {
                node = Some(filtered(done, take_bound(conditions, &bound)));
            }
        }
        Ok(node)
    }

    /// The source to read next: the one that can be looked up most precisely, else the first.
    fn next_unit(&self, units: &[Tree], bound: &[u32], conditions: &[Ex], started: bool) -> Result<usize> {
        let mut best: Option<(u8, usize)> = None;
        for (i, unit) in units.iter().enumerate() {
            let rank = match unit {
                Tree::Leaf(leaf) => {
                    if leaf.needs.iter().any(|s| !bound.contains(s) && !leaf.slots.contains(s)) {
                        continue;
                    }
                    match choose(&leaf.source, conditions, bound) {
                        Some(choice) => choice.rank,
                        None if started && !equal_keys(conditions, bound, &leaf.slots).is_empty() => 4,
                        None => 5,
                    }
                }
                Tree::Join { .. } => 5,
            };
            if best.is_none_or(|(r, _)| rank < r) {
                best = Some((rank, i));
            }
        }
        best.map(|(_, i)| i).ok_or_else(|| {
            QueryError::unsupported("this reference to a source further right in FROM")
                .hint("Put the source it needs before it.")
        })
    }

    fn attach(&mut self, node: Option<Node>, unit: Tree, bound: &[u32], conditions: &mut Vec<Ex>) -> Result<Node> {
        match unit {
            Tree::Leaf(leaf) => {
                let mut known = bound.to_vec();
                known.extend(&leaf.slots);
                let Some(left) = node else {
                    let choice = choose(&leaf.source, conditions, bound);
                    return Ok(source(None, leaf, choice, take_bound(conditions, &known), false));
                };
                let choice = choose(&leaf.source, conditions, bound);
                if !leaf.needs.is_empty() || choice.as_ref().is_some_and(|c| c.dependent) {
                    return Ok(source(Some(left), leaf, choice, take_bound(conditions, &known), false));
                }
                let own = take_bound(conditions, &leaf.slots);
                let slots = leaf.slots.clone();
                let choice = choose(&leaf.source, &own, &[]);
                let right = source(None, leaf, choice, own, false);
                let on = take_bound(conditions, &known);
                Ok(join(JoinKind::Inner, (left, bound), (right, slots), on))
            }
            outer => {
                let slots = outer.slots();
                let right = self.outer_join(outer, conditions)?;
                let Some(left) = node else { return Ok(right) };
                let mut known = bound.to_vec();
                known.extend(&slots);
                let on = take_bound(conditions, &known);
                Ok(join(JoinKind::Inner, (left, bound), (right, slots), on))
            }
        }
    }

    /// LEFT, RIGHT and FULL joins. Conditions of WHERE go only to the side whose rows are all kept.
    fn outer_join(&mut self, tree: Tree, conditions: &mut Vec<Ex>) -> Result<Node> {
        let Tree::Join { kind, left, right, on } = tree else {
            return Err(QueryError::internal("not an outer join"));
        };
        let (kind, left, right) = match kind {
            JoinKind::Right => (JoinKind::Left, right, left),
            other => (other, left, right),
        };
        let left_slots = left.slots();
        let right_slots = right.slots();
        let mut pushed = match kind {
            JoinKind::Full => vec![],
            _ => take_bound(conditions, &left_slots),
        };
        let left_node =
            self.plan_trees(vec![*left], &mut pushed)?.ok_or_else(|| QueryError::internal("an empty join"))?;
        let left_node = filtered(left_node, pushed);
        let mut on = on;
        let leaf = match (*right, kind) {
            (Tree::Leaf(leaf), JoinKind::Left) => leaf,
            (right, kind) => return self.outer_join_tree(kind, (left_node, left_slots), right, on),
        };
        let choice = choose(&leaf.source, &on, &left_slots);
        if !leaf.needs.is_empty() || choice.as_ref().is_some_and(|c| c.dependent) {
            return Ok(source(Some(left_node), leaf, choice, on, true));
        }
        let own = take_bound(&mut on, &leaf.slots);
        let choice = choose(&leaf.source, &own, &[]);
        let right_node = source(None, leaf, choice, own, false);
        Ok(join(kind, (left_node, &left_slots), (right_node, right_slots), on))
    }

    /// As above for a right side that is a join itself.
    fn outer_join_tree(
        &mut self,
        kind: JoinKind,
        left: (Node, Vec<u32>),
        right: Tree,
        mut on: Vec<Ex>,
    ) -> Result<Node> {
        let right_slots = right.slots();
        let mut own = match kind {
            JoinKind::Full => vec![],
            _ => take_bound(&mut on, &right_slots),
        };
        let right_node =
            self.plan_trees(vec![right], &mut own)?.ok_or_else(|| QueryError::internal("an empty join"))?;
        Ok(join(kind, (left.0, &left.1), (filtered(right_node, own), right_slots), on))
    }
}

/// Inner joins and comma lists are one set of sources with one set of conditions.
fn flatten(tree: Tree, units: &mut Vec<Tree>, conditions: &mut Vec<Ex>) {
    match tree {
        Tree::Join { kind: JoinKind::Inner | JoinKind::Cross, left, right, on } => {
            flatten(*left, units, conditions);
            flatten(*right, units, conditions);
            conditions.extend(on);
        }
        other => units.push(other),
    }
}

/// Takes the conditions that read nothing but these slots.
fn take_bound(conditions: &mut Vec<Ex>, slots: &[u32]) -> Vec<Ex> {
    let mut taken = Vec::new();
    let mut kept = Vec::with_capacity(conditions.len());
    for condition in conditions.drain(..) {
        let free = own_slots(&condition).into_iter().all(|s| slots.contains(&s));
        if free { taken.push(condition) } else { kept.push(condition) }
    }
    *conditions = kept;
    taken
}

fn filtered(node: Node, filter: Vec<Ex>) -> Node {
    if filter.is_empty() { node } else { Node::Filter { input: Box::new(node), filter } }
}

fn source(input: Option<Node>, leaf: Leaf, choice: Option<Choice>, filter: Vec<Ex>, outer: bool) -> Node {
    let mut source = leaf.source;
    if let (Source::Table(table), Some(choice)) = (&mut source, choice) {
        table.access = choice.access;
    }
    Node::Source(Box::new(SourceNode { input, source, filter, outer, label: leaf.label }))
}

/// A hash join if some conditions equate the sides, a loop otherwise.
fn join(
    kind: JoinKind,
    (left, left_slots): (Node, &[u32]),
    (right, right_slots): (Node, Vec<u32>),
    on: Vec<Ex>,
) -> Node {
    let mut left_keys = Vec::new();
    let mut right_keys = Vec::new();
    let mut residual = Vec::new();
    for condition in on {
        match equal_sides(&condition, left_slots, &right_slots) {
            Some((l, r)) => {
                left_keys.push(l);
                right_keys.push(r);
                // Dynamic equality is checked again: a key is coarser than PartiQL's `=`.
                if matches!(condition, Ex::Compare { dynamic: true, .. }) {
                    residual.push(condition);
                }
            }
            None => residual.push(condition),
        }
    }
    if left_keys.is_empty() {
        return Node::Loop(Box::new(LoopJoin { kind, left, right, condition: residual, right_slots }));
    }
    Node::Hash(Box::new(HashJoin { kind, left, right, left_keys, right_keys, residual, right_slots }))
}

fn equal_keys(conditions: &[Ex], left: &[u32], right: &[u32]) -> Vec<(Ex, Ex)> {
    conditions.iter().filter_map(|c| equal_sides(c, left, right)).collect()
}

/// `a = b` with one side of the left sources and the other of the right ones.
fn equal_sides(condition: &Ex, left: &[u32], right: &[u32]) -> Option<(Ex, Ex)> {
    let Ex::Compare { op: Comparison::Eq, left: a, right: b, .. } = condition else { return None };
    let within = |e: &Ex, slots: &[u32]| {
        let own = own_slots(e);
        !own.is_empty() && own.iter().all(|s| slots.contains(s))
    };
    if within(a, left) && within(b, right) {
        return Some(((**a).clone(), (**b).clone()));
    }
    (within(b, left) && within(a, right)).then(|| ((**b).clone(), (**a).clone()))
}
