//! Which query levels DataFusion may take, and as what: a typed list of columns to decode and one operator on top. Only
//! operators proven to give the document executor's answers are here (DESIGN section 7, "known traps"); a level of any
//! other shape has no [`Shape`].

use crate::ast::JoinKind;
use crate::bind::plan::{
    Access, AggregateCall, DistinctPlan, Ex, GroupPlan, HashJoin, Node, SelectPlan, SortExpr, Source, ViewPlan,
};
use crate::bind::slots_read;
use crate::catalogue::Table;
use crate::exec::slots_of;
use crate::function::aggregate::{AggregateKind, Number};

use super::column::Role;

/// Most sources a join may have: their row numbers share one 64 bit word.
const LEAVES_MAX: usize = 4;

/// A query level as DataFusion runs it.
#[derive(Debug)]
pub(super) struct Shape<'p> {
    pub leaves: Vec<Leaf<'p>>,
    pub joins: Joins,
    pub columns: Vec<Want<'p>>,
    pub top: Top<'p>,
}

/// What the document executor decodes into one table of columns.
#[derive(Debug)]
pub(super) struct Leaf<'p> {
    pub from: LeafSource<'p>,
    pub slots: Vec<u32>,
    /// An outer join may put nulls in place of its rows.
    pub nullable: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum LeafSource<'p> {
    /// FROM and WHERE of the level.
    Level,
    Node(&'p Node),
}

/// How the leaves are joined.
#[derive(Debug)]
pub(super) enum Joins {
    Leaf(usize),
    Hash {
        kind: JoinKind,
        left: Box<Joins>,
        right: Box<Joins>,
        /// Pairs of columns.
        keys: Vec<(usize, usize)>,
    },
}

/// A column: computed by the document executor's evaluator over the rows of a leaf.
#[derive(Debug)]
pub(super) struct Want<'p> {
    pub leaf: usize,
    pub role: Role,
    pub what: What<'p>,
}

#[derive(Debug)]
pub(super) enum What<'p> {
    Ex(&'p Ex),
    /// Null where the filter does not hold; the filter itself if there is nothing else.
    Filtered {
        ex: Option<&'p Ex>,
        filter: &'p Ex,
    },
    /// Outputs of the level side by side, encoded as Ion.
    Rows(Vec<(usize, &'p Ex)>),
    /// A value of the `Rows` column of the same leaf: what it is sorted by.
    Output(usize),
}

/// The operator on top.
#[derive(Debug)]
pub(super) enum Top<'p> {
    Group {
        keys: Vec<usize>,
        aggregates: Vec<Aggregate<'p>>,
    },
    Distinct {
        keys: Vec<usize>,
    },
    Sort {
        keys: Vec<SortColumn>,
        /// The `Rows` columns.
        rows: Vec<usize>,
        arity: usize,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct SortColumn {
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

#[derive(Debug)]
pub(super) struct Aggregate<'p> {
    pub kind: &'p AggregateKind,
    pub function: Function,
    /// `None`: it counts rows.
    pub column: Option<usize>,
}

/// Functions of the engine with the meaning of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Count,
    CountDistinct,
    Sum,
    /// Sum and count; the division is ours.
    Average,
    Min,
    Max,
    And,
    Or,
}

/// The shape of a level that groups. Several grouping sets are the document executor's.
pub(super) fn group<'p>(select: &'p SelectPlan, group: &'p GroupPlan) -> Option<Shape<'p>> {
    if group.has_sets() {
        return None;
    }
    joined(select, |builder| build_group(builder, group))
}

/// The shape of a level that removes duplicates, or sorts. Its windows, groups and set-returning functions are none.
pub(super) fn rows(select: &SelectPlan) -> Option<Shape<'_>> {
    let plain =
        select.group.is_none() && select.having.is_none() && select.windows.is_empty() && select.series.is_empty();
    if !plain || select.output.is_empty() {
        return None;
    }
    match select.distinct {
        DistinctPlan::Yes if select.order.iter().all(|k| matches!(k.expr, SortExpr::Output(_))) => {
            joined(select, |builder| {
                let keys: Option<Vec<usize>> =
                    select.output.iter().map(|e| builder.want(Role::Key, What::Ex(e), &[e])).collect();
                Some(Top::Distinct { keys: keys? })
            })
        }
        DistinctPlan::No if !select.order.is_empty() && !select.ordered => {
            joined(select, |builder| build_sort(builder, select))
        }
        _ => None,
    }
}

/// Documents of the tables the level scans, as far as one of the operators here would see them.
pub(super) fn scanned(select: &SelectPlan, count: &dyn Fn(&Table) -> usize) -> usize {
    select.from.as_ref().map_or(0, |node| scanned_by(node, count))
}

fn scanned_by(node: &Node, count: &dyn Fn(&Table) -> usize) -> usize {
    match node {
        Node::Filter { input, .. } => scanned_by(input, count),
        Node::Hash(join) => scanned_by(&join.left, count).saturating_add(scanned_by(&join.right, count)),
        // A nested loop is slow in any executor; what it yields is not known.
        Node::Loop(_) => 0,
        Node::Source(source) => match (&source.input, &source.source) {
            (None, Source::Table(table)) if matches!(table.access, Access::Scan) => count(&table.table),
            (Some(input), _) => scanned_by(input, count),
            _ => 0,
        },
    }
}

/// The views it reads, for EXPLAIN.
pub(super) fn leaf_labels(shape: &Shape<'_>, select: &SelectPlan) -> Vec<String> {
    let label = |node: &Node| match node {
        Node::Source(source) => match &source.source {
            Source::Table(t) => match t.view {
                ViewPlan::History { .. } => format!("{} (history)", source.label),
                ViewPlan::AsOfTime(_) | ViewPlan::AsOfBlock(_) => format!("{} (as of)", source.label),
                ViewPlan::Current => source.label.to_string(),
            },
            _ => source.label.to_string(),
        },
        _ => "a filtered source".to_owned(),
    };
    shape
        .leaves
        .iter()
        .map(|leaf| match (leaf.from, &select.from) {
            (LeafSource::Node(node), _) => label(node),
            (LeafSource::Level, Some(node @ Node::Source(_))) => label(node),
            (LeafSource::Level, _) => "joined rows".to_owned(),
        })
        .collect()
}

/// Tries the joins of the level as DataFusion's, and otherwise takes its joined rows as one leaf.
fn joined<'p>(select: &'p SelectPlan, mut top: impl FnMut(&mut Builder<'p>) -> Option<Top<'p>>) -> Option<Shape<'p>> {
    if let (Some(node @ Node::Hash(_)), true) = (&select.from, select.filter.is_empty()) {
        let mut builder = Builder::default();
        if let Some(joins) = builder.joins(node, false)
            && builder.leaves.len() <= LEAVES_MAX
            && let Some(top) = top(&mut builder)
        {
            return Some(Shape { leaves: builder.leaves, joins, columns: builder.columns, top });
        }
    }
    let mut builder = Builder::default();
    builder.leaves.push(Leaf { from: LeafSource::Level, slots: (0..select.width as u32).collect(), nullable: false });
    let top = top(&mut builder)?;
    Some(Shape { leaves: builder.leaves, joins: Joins::Leaf(0), columns: builder.columns, top })
}

#[derive(Default)]
struct Builder<'p> {
    leaves: Vec<Leaf<'p>>,
    columns: Vec<Want<'p>>,
}

impl<'p> Builder<'p> {
    fn joins(&mut self, node: &'p Node, nullable: bool) -> Option<Joins> {
        let Node::Hash(join) = node else {
            self.leaves.push(Leaf { from: LeafSource::Node(node), slots: node_slots(node), nullable });
            return Some(Joins::Leaf(self.leaves.len() - 1));
        };
        let HashJoin { kind, left, right, left_keys, right_keys, residual, .. } = &**join;
        let (left_null, right_null) = match kind {
            JoinKind::Inner => (nullable, nullable),
            JoinKind::Left => (nullable, true),
            JoinKind::Full => (true, true),
            JoinKind::Right | JoinKind::Cross => return None,
        };
        if !residual.is_empty() || left_keys.is_empty() || left_keys.len() != right_keys.len() {
            return None;
        }
        let left = self.joins(left, left_null)?;
        let right = self.joins(right, right_null)?;
        let mut keys = Vec::with_capacity(left_keys.len());
        for (l, r) in left_keys.iter().zip(right_keys) {
            keys.push((self.want(Role::Key, What::Ex(l), &[l])?, self.want(Role::Key, What::Ex(r), &[r])?));
        }
        Some(Joins::Hash { kind: *kind, left: Box::new(left), right: Box::new(right), keys })
    }

    /// Adds a column computed from these expressions; they must read one leaf only.
    fn want(&mut self, role: Role, what: What<'p>, reads: &[&Ex]) -> Option<usize> {
        let leaf = self.leaf_of(reads)?;
        self.columns.push(Want { leaf, role, what });
        Some(self.columns.len() - 1)
    }

    fn leaf_of(&self, reads: &[&Ex]) -> Option<usize> {
        let mut slots: Vec<u32> = reads.iter().flat_map(|e| slots_read(e)).collect();
        slots.sort_unstable();
        slots.dedup();
        if slots.is_empty() {
            // A constant must be there on every row.
            return self.leaves.iter().position(|l| !l.nullable);
        }
        self.leaves.iter().position(|l| slots.iter().all(|s| l.slots.contains(s)))
    }
}

fn build_group<'p>(builder: &mut Builder<'p>, group: &'p GroupPlan) -> Option<Top<'p>> {
    let keys: Option<Vec<usize>> = group.keys.iter().map(|(e, _)| builder.want(Role::Key, What::Ex(e), &[e])).collect();
    let aggregates: Option<Vec<Aggregate<'p>>> =
        group.aggregates.iter().map(|(call, _)| aggregate(builder, call)).collect();
    Some(Top::Group { keys: keys?, aggregates: aggregates? })
}

fn aggregate<'p>(builder: &mut Builder<'p>, call: &'p AggregateCall) -> Option<Aggregate<'p>> {
    use AggregateKind::*;
    if !call.order.is_empty() {
        return None;
    }
    let (function, role) = match (&call.kind, call.distinct) {
        (CountStar, false) => (Function::Count, Role::Present),
        (Count, false) => (Function::Count, Role::Present),
        (Count, true) => (Function::CountDistinct, Role::Key),
        (Sum(number), false) if exact(*number) => (Function::Sum, Role::Sum),
        (Avg(number), false) if exact(*number) => (Function::Average, Role::Sum),
        // Of equal values which one does not matter, since a column holds one representation of each.
        (Min, _) => (Function::Min, Role::Key),
        (Max, _) => (Function::Max, Role::Key),
        (BoolAnd, _) => (Function::And, Role::Truth),
        (BoolOr, _) => (Function::Or, Role::Truth),
        _ => return None,
    };
    let (ex, filter) = (call.arguments.first(), call.filter.as_ref());
    if call.arguments.len() > 1 || ex.is_none() != matches!(call.kind, CountStar) {
        return None;
    }
    let column = match (ex, filter) {
        (None, None) => None,
        (Some(ex), None) => Some(builder.want(role, What::Ex(ex), &[ex])?),
        (ex, Some(filter)) => {
            let reads: Vec<&Ex> = ex.into_iter().chain([filter]).collect();
            Some(builder.want(role, What::Filtered { ex, filter }, &reads)?)
        }
    };
    Some(Aggregate { kind: &call.kind, function, column })
}

/// Floats are added in row order by us, in lanes by the engine; intervals are ours alone.
fn exact(number: Number) -> bool {
    matches!(number, Number::Int | Number::Numeric | Number::Dynamic)
}

fn build_sort<'p>(builder: &mut Builder<'p>, select: &'p SelectPlan) -> Option<Top<'p>> {
    let mut by_leaf: Vec<Vec<(usize, &'p Ex)>> = builder.leaves.iter().map(|_| Vec::new()).collect();
    for (i, ex) in select.output.iter().enumerate() {
        by_leaf.get_mut(builder.leaf_of(&[ex])?)?.push((i, ex));
    }
    let mut rows = Vec::new();
    for (leaf, outputs) in by_leaf.into_iter().enumerate().filter(|(_, o)| !o.is_empty()) {
        builder.columns.push(Want { leaf, role: Role::Carried, what: What::Rows(outputs) });
        rows.push(builder.columns.len() - 1);
    }
    let mut keys = Vec::new();
    for key in &select.order {
        let column = match &key.expr {
            SortExpr::Output(i) => builder.want(Role::Key, What::Output(*i), &[select.output.get(*i)?])?,
            SortExpr::Expr(e) => builder.want(Role::Key, What::Ex(e), &[e])?,
        };
        keys.push(SortColumn { column, descending: key.descending, nulls_first: key.nulls_first });
    }
    Some(Top::Sort { keys, rows, arity: select.output.len() })
}

/// Slots the rows of a node have.
fn node_slots(node: &Node) -> Vec<u32> {
    match node {
        Node::Filter { input, .. } => node_slots(input),
        Node::Hash(join) => [node_slots(&join.left), node_slots(&join.right)].concat(),
        Node::Loop(join) => [node_slots(&join.left), node_slots(&join.right)].concat(),
        Node::Source(source) => {
            let mut slots = source.input.as_ref().map_or_else(Vec::new, node_slots);
            slots.extend(slots_of(&source.source));
            slots
        }
    }
}
