//! Which queries ask for the one document that a unique key or an id names, or for its revisions in order. They are most
//! of what an application asks, and run by a way of their own ([`crate::exec::point`]), which does without what rows of
//! any number need.

use super::plan::{
    Access, Body, Comparison, DistinctPlan, DocPart, Ex, Node, Plan, QueryBody, SelectPlan, SortExpr, Source,
    TableSource, ViewPlan,
};
use super::walk::walk;
use crate::session::Dialect;

/// What such a query needs to know of itself.
#[derive(Debug)]
pub(crate) struct Point {
    /// What a document that was found has to fulfil, in order.
    pub checks: Vec<Check>,
    /// Those of the columns that are fields are each another one.
    pub distinct_fields: bool,
    /// Some columns are not fields.
    pub computes: bool,
    /// It asks for all revisions, the oldest first or in any order.
    pub history: bool,
    /// What superseded a revision may be looked at.
    pub successors: bool,
}

/// A condition.
#[derive(Debug)]
pub(crate) enum Check {
    /// A place in the document equals a value that it was looked up by.
    Key {
        place: Ex,
        part: usize,
        dynamic: bool,
    },
    Other(Ex),
}

/// The parts of a plan that has a [`Point`].
pub(crate) struct Parts<'p> {
    pub select: &'p SelectPlan,
    pub table: &'p TableSource,
}

impl Point {
    /// `None`: the query is of another kind.
    pub fn of(plan: &Plan) -> Option<Point> {
        let plain = plan.dialect == Dialect::Sql && plan.ctes.is_empty() && plan.reg_columns.is_empty();
        let Parts { select, table } =
            Parts::of(plan).filter(|_| plain && !plan.pace.costly && plan.tables.len() == 1)?;
        let history = match table.view {
            ViewPlan::Current => false,
            ViewPlan::History { from: None, to: None } => true,
            _ => return None,
        };
        let in_order = select.order.is_empty() || select.ordered || history && is_oldest_first(select, table.slot);
        let keys: Vec<&Ex> = match &table.access {
            _ if !in_order => return None,
            Access::Ids(ids) if ids.len() == 1 => Vec::new(),
            Access::Index { index, keys }
                if index.unique && keys.len() == index.paths.len() && keys.iter().all(|part| part.len() == 1) =>
            {
                keys.iter().flatten().collect()
            }
            _ => return None,
        };
        let mut checks = Vec::new();
        let mut node = select.from.as_ref();
        while let Some(Node::Filter { input, filter }) = node {
            checks.splice(0..0, filter.iter().map(|ex| Check::of(ex, &keys)));
            node = Some(input);
        }
        if let Some(Node::Source(source)) = node {
            checks.splice(0..0, source.filter.iter().map(|ex| Check::of(ex, &keys)));
        }
        checks.extend(select.filter.iter().map(|ex| Check::of(ex, &keys)));
        let mut names = Vec::with_capacity(select.output.len());
        let mut distinct_fields = true;
        for (name, _) in select.output.iter().filter_map(|ex| own_field(ex, table.slot)) {
            distinct_fields &= !names.contains(&name);
            names.push(name);
        }
        let others = checks.iter().filter_map(|check| match check {
            Check::Other(ex) => Some(ex),
            Check::Key { .. } => None,
        });
        let successors = select.output.iter().chain(others).any(may_show_successors);
        Some(Point { checks, distinct_fields, computes: names.len() < select.output.len(), history, successors })
    }
}

impl Check {
    fn of(ex: &Ex, keys: &[&Ex]) -> Check {
        let Ex::Compare { op: Comparison::Eq, left, right, dynamic } = ex else { return Check::Other(ex.clone()) };
        // One that is computed anew each time is not compared with what it was at another.
        let part = |value: &Ex| keys.iter().position(|key| **key == *value);
        match (left.as_ref(), part(right)) {
            (Ex::Field { .. }, Some(part)) => Check::Key { place: (**left).clone(), part, dynamic: *dynamic },
            _ => Check::Other(ex.clone()),
        }
    }
}

impl<'p> Parts<'p> {
    pub fn of(plan: &'p Plan) -> Option<Parts<'p>> {
        let Body::Query(query) = &plan.body else { return None };
        let QueryBody::Select(select) = &query.body else { return None };
        let plain = query.limit.is_none()
            && query.offset.is_none()
            && select.group.is_none()
            && select.having.is_none()
            && select.windows.is_empty()
            && select.series.is_empty()
            && matches!(select.distinct, DistinctPlan::No);
        let mut node = select.from.as_ref().filter(|_| plain)?;
        while let Node::Filter { input, .. } = node {
            node = input;
        }
        match node {
            Node::Source(source) if source.input.is_none() && !source.outer => match &source.source {
                Source::Table(table) => Some(Parts { select, table }),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Whether an expression names what superseded a revision. A subquery might.
fn may_show_successors(ex: &Ex) -> bool {
    let mut shows = false;
    walk(&mut ex.clone(), &mut |ex| {
        shows |= matches!(ex, Ex::Doc { part: DocPart::Successor, .. } | Ex::Subquery(_));
        !shows
    });
    shows
}

/// Whether the revisions of one document are wanted in the order they were made in: what else they are to be ordered by
/// does not matter, for no two have the same version.
fn is_oldest_first(select: &SelectPlan, own: u32) -> bool {
    let Some(first) = select.order.first().filter(|key| !key.descending) else { return false };
    let ex = match &first.expr {
        SortExpr::Output(at) => select.output.get(*at),
        SortExpr::Expr(ex) => Some(ex),
    };
    let of_doc = |at: super::plan::At| at.depth == 0 && at.slot == own;
    matches!(ex, Some(Ex::Doc { at, part: DocPart::Version | DocPart::Position | DocPart::Block }) if of_doc(*at))
}

/// The name of a field of this slot's document, and whether it may be written in another case.
pub(crate) fn own_field(ex: &Ex, own: u32) -> Option<(&str, bool)> {
    match ex {
        Ex::Field { at, name, any_case } if at.depth == 0 && at.slot == own => Some((name, *any_case)),
        _ => None,
    }
}
