//! Which way into a table serves a set of conditions best: document id, index equality, index range, or a scan.

use std::sync::Arc;

use super::Binder;
use super::plan::{Access, Comparison, DocPart, Ex, Node, SelectPlan, SortExpr, Source, Step, TableSource, ViewPlan};
use super::walk::own_slots;
use crate::catalogue::{Index, PathStep};

/// A way into a table.
pub(super) struct Choice {
    pub access: Access,
    /// 0: at most one document; the higher the more.
    pub rank: u8,
    /// It needs values of sources read before.
    pub dependent: bool,
}

/// An end of a range, and whether it belongs to it.
type End = (Ex, bool);

/// The most documents lists of values may be tried for.
const KEYS_MAX: usize = 10_000;

/// The best way into a source, given conditions and the slots known before it.
pub(super) fn choose(source: &Source, conditions: &[Ex], bound: &[u32]) -> Option<Choice> {
    let Source::Table(table) = source else { return None };
    let terms = Terms::of(table, conditions, bound);
    let by_id = terms.by_id();
    if by_id.is_some() {
        return by_id;
    }
    let indexes = table.table.usable_indexes();
    if matches!(table.view, ViewPlan::History { .. }) {
        // Through an index kept since the table's beginning: all documents that ever had the key.
        let whole = indexes.filter(|i| i.from_position == 0).filter_map(|index| terms.by_index(index));
        return whole.filter(|c| matches!(c.access, Access::Index { .. })).min_by_key(|c| c.rank);
    }
    indexes.filter_map(|index| terms.by_index(index)).min_by_key(|c| c.rank)
}

/// Conditions on one table, sorted by what they say about which place.
struct Terms<'c> {
    equal: Vec<(Target, Vec<&'c Ex>)>,
    ranges: Vec<(Target, Comparison, &'c Ex)>,
    any_of: Vec<(Target, &'c Ex)>,
}

/// What a condition is about: the document's id, or a place in it.
#[derive(PartialEq)]
enum Target {
    Id,
    Path(Vec<(PathStep, bool)>),
}

impl<'c> Terms<'c> {
    fn of(table: &TableSource, conditions: &'c [Ex], bound: &[u32]) -> Self {
        let mut terms = Terms { equal: vec![], ranges: vec![], any_of: vec![] };
        let slot = table.slot;
        let known = |e: &Ex| own_slots(e).into_iter().all(|s| s != slot && bound.contains(&s));
        for condition in conditions {
            match condition {
                Ex::Compare { op, left, right, .. } => {
                    let (target, op, value) = match (target(left, slot), target(right, slot)) {
                        (Some(t), _) if known(right) => (t, *op, right),
                        (_, Some(t)) if known(left) => (t, op.flipped(), left),
                        _ => continue,
                    };
                    match op {
                        Comparison::Eq => terms.equal.push((target, vec![value])),
                        Comparison::NotEq => {}
                        op => terms.ranges.push((target, op, value)),
                    }
                }
                Ex::In { expr, list, negated: false, .. } => {
                    if let Some(t) = target(expr, slot)
                        && list.iter().all(known)
                    {
                        terms.equal.push((t, list.iter().collect()));
                    }
                }
                Ex::Quantified { op: Comparison::Eq, all: false, left, array, .. } => {
                    if let Some(t) = target(left, slot)
                        && known(array)
                    {
                        terms.any_of.push((t, array));
                    }
                }
                _ => {}
            }
        }
        terms
    }

    fn by_id(&self) -> Option<Choice> {
        if let Some((_, values)) = self.equal.iter().filter(|(t, _)| *t == Target::Id).min_by_key(|(_, v)| v.len()) {
            let ids: Vec<Ex> = values.iter().map(|v| (*v).clone()).collect();
            let rank = u8::from(ids.len() > 1);
            let dependent = ids.iter().any(|e| !own_slots(e).is_empty());
            return Some(Choice { access: Access::Ids(ids), rank, dependent });
        }
        let (_, list) = self.any_of.iter().find(|(t, _)| *t == Target::Id)?;
        Some(Choice { access: Access::IdList((*list).clone()), rank: 1, dependent: !own_slots(list).is_empty() })
    }

    fn by_index(&self, index: &Arc<Index>) -> Option<Choice> {
        let mut keys: Vec<Vec<Ex>> = Vec::new();
        let mut combinations = 1;
        for path in &index.paths {
            let equal = self.equal.iter().filter(|(t, _)| t.is(path)).min_by_key(|(_, v)| v.len());
            let Some((_, values)) = equal else { break };
            combinations *= values.len().max(1);
            if combinations > KEYS_MAX {
                break;
            }
            keys.push(values.iter().map(|v| (*v).clone()).collect());
        }
        let single = keys.iter().all(|k| k.len() == 1);
        let next = index.paths.get(keys.len());
        let range =
            next.filter(|_| single).map(|p| self.range(p)).filter(|(low, high)| low.is_some() || high.is_some());
        let dependent_keys = keys.iter().flatten().any(|e| !own_slots(e).is_empty());
        if let Some((low, high)) = range {
            let ends = low.iter().chain(high.iter());
            let dependent = dependent_keys || ends.clone().any(|(e, _)| !own_slots(e).is_empty());
            let rank = if keys.is_empty() { 3 } else { 2 };
            let prefix = keys.into_iter().flatten().collect();
            let access = Access::Range { index: index.clone(), prefix, low, high, descending: false };
            return Some(Choice { access, rank, dependent });
        }
        if keys.is_empty() {
            return None;
        }
        let whole = keys.len() == index.paths.len();
        let rank = match (whole && index.unique, single) {
            (true, true) => 0,
            (true, false) => 1,
            _ => 2,
        };
        Some(Choice { access: Access::Index { index: index.clone(), keys }, rank, dependent: dependent_keys })
    }

    fn range(&self, path: &[PathStep]) -> (Option<End>, Option<End>) {
        let find = |ops: [Comparison; 2]| {
            let hit = self.ranges.iter().find(|(t, op, _)| t.is(path) && ops.contains(op));
            hit.map(|(_, op, e)| ((*e).clone(), matches!(op, Comparison::GtEq | Comparison::LtEq)))
        };
        (find([Comparison::Gt, Comparison::GtEq]), find([Comparison::Lt, Comparison::LtEq]))
    }
}

impl Target {
    fn is(&self, path: &[PathStep]) -> bool {
        let Target::Path(steps) = self else { return false };
        steps.len() == path.len()
            && steps.iter().zip(path).all(|((step, any_case), indexed)| match (step, indexed) {
                (PathStep::Field(a), PathStep::Field(b)) => a == b || *any_case && a.eq_ignore_ascii_case(b),
                (a, b) => a == b,
            })
    }
}

/// The place in the document of this slot that an expression names.
fn target(ex: &Ex, slot: u32) -> Option<Target> {
    match ex {
        Ex::Doc { at, part: DocPart::Id } if at.depth == 0 && at.slot == slot => Some(Target::Id),
        Ex::Field { at, name, any_case } if at.depth == 0 && at.slot == slot => {
            Some(Target::Path(vec![(PathStep::Field(name.clone()), *any_case)]))
        }
        Ex::Path { base, steps } => {
            let mut path = match &**base {
                Ex::Slot(at) | Ex::Doc { at, part: DocPart::Data } if at.depth == 0 && at.slot == slot => vec![],
                base => match target(base, slot)? {
                    Target::Path(path) => path,
                    Target::Id => return None,
                },
            };
            for step in steps {
                path.push(match step {
                    Step::Field { name, any_case } => (PathStep::Field(name.clone()), *any_case),
                    Step::Index(e) => match &**e {
                        Ex::Const(Some(v)) => match (v.as_i64(), v.as_text()) {
                            (Some(i), _) => (PathStep::Element(u32::try_from(i).ok()?), false),
                            (_, Some(name)) => (PathStep::Field(Arc::from(name)), false),
                            _ => return None,
                        },
                        _ => return None,
                    },
                    _ => return None,
                });
            }
            Some(Target::Path(path))
        }
        _ => None,
    }
}

impl Binder<'_> {
    /// ORDER BY that an index answers: rows come in its order, and a LIMIT stops early.
    pub(super) fn use_index_order(&mut self, plan: &mut SelectPlan) {
        let simple = plan.group.is_none()
            && plan.windows.is_empty()
            && plan.series.is_empty()
            && matches!(plan.distinct, super::plan::DistinctPlan::No)
            && !plan.order.is_empty()
            && self.limited;
        if !simple {
            return;
        }
        let mut node = plan.from.as_mut();
        while let Some(Node::Filter { input, .. }) = node {
            node = Some(input);
        }
        let Some(Node::Source(source)) = node else { return };
        if source.input.is_some() {
            return;
        }
        let Source::Table(table) = &mut source.source else { return };
        if !matches!(table.view, ViewPlan::Current) {
            return;
        }
        let Some(first) = plan.order.first() else { return };
        let descending = first.descending;
        let mut paths = Vec::new();
        for key in &plan.order {
            let ex = match &key.expr {
                SortExpr::Output(i) => plan.output.get(*i),
                SortExpr::Expr(e) => Some(e),
            };
            // An index has nulls last, read backwards first.
            match ex.and_then(|e| target(e, table.slot)) {
                Some(t) if key.descending == descending && key.nulls_first == descending => paths.push(t),
                _ => return,
            }
        }
        let ordered_by = |index: &Index, from: usize| {
            paths.len() <= index.paths.len().saturating_sub(from)
                && paths.iter().zip(index.paths.iter().skip(from)).all(|(t, p)| t.is(p))
        };
        let new = match &table.access {
            Access::Scan => {
                let found = table.table.usable_indexes().find(|i| ordered_by(i, 0));
                found.map(|index| Access::Range {
                    index: index.clone(),
                    prefix: vec![],
                    low: None,
                    high: None,
                    descending,
                })
            }
            Access::Range { index, prefix, low, high, .. }
                if ordered_by(index, prefix.len()) || ordered_by(index, 0) && prefix.is_empty() =>
            {
                Some(Access::Range {
                    index: index.clone(),
                    prefix: prefix.clone(),
                    low: low.clone(),
                    high: high.clone(),
                    descending,
                })
            }
            Access::Index { index, keys } if keys.iter().all(|k| k.len() == 1) && ordered_by(index, keys.len()) => {
                Some(Access::Range {
                    index: index.clone(),
                    prefix: keys.iter().flatten().cloned().collect(),
                    low: None,
                    high: None,
                    descending,
                })
            }
            _ => None,
        };
        if let Some(access) = new {
            table.access = access;
            plan.ordered = true;
        }
    }
}
