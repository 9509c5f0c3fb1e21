//! `EXPLAIN`: the executor, the operators, and the way into each table.

use super::plan::{
    Access, Body, CteRows, DistinctPlan, Ex, GroupPlan, InsertRows, Node, Plan, QueryBody, QueryPlan, SelectPlan,
    Source, TableSource, ViewPlan,
};
use crate::ast::{JoinKind, SetOp};
use crate::session::{Dialect, SessionInfo};
use crate::transaction::Transaction;

/// So many grouping sets are shown of a grouping.
const SETS_SHOWN_MAX: usize = 32;

pub(super) fn lines(plan: &Plan, tx: &Transaction, session: &SessionInfo) -> Vec<String> {
    let mut out = vec!["Executor: documents".to_owned()];
    let partiql = plan.dialect == Dialect::PartiQl;
    let mut writer = Writer { out: &mut out, tx, session, partiql, outermost: true, analytic: None };
    writer.body(&plan.body, 0);
    for cte in &plan.ctes {
        let kind = if matches!(cte.rows, CteRows::Recursive { .. }) { "Recursive WITH" } else { "WITH" };
        writer.line(0, format!("{kind} {}", cte.name));
        match &cte.rows {
            CteRows::Query(query) => writer.query(query, 1),
            CteRows::Recursive { base, step, .. } => {
                writer.query(base, 1);
                writer.query(step, 1);
            }
            CteRows::Change(body) => writer.body(body, 1),
        }
    }
    if let Some(executor) = writer.analytic
        && let Some(first) = out.first_mut()
    {
        *first = format!("Executor: {executor}");
    }
    out
}

struct Writer<'o> {
    out: &'o mut Vec<String>,
    tx: &'o Transaction,
    session: &'o SessionInfo,
    partiql: bool,
    /// Not under a query level whose row it may read.
    outermost: bool,
    /// The other executor that has a part in it.
    analytic: Option<&'static str>,
}

impl Writer<'_> {
    fn line(&mut self, indent: usize, text: impl Into<String>) {
        self.out.push(format!("{}{}", "  ".repeat(indent), text.into()));
    }

    fn body(&mut self, body: &Body, indent: usize) {
        match body {
            Body::Query(query) => self.query(query, indent),
            Body::Insert(insert) => {
                self.line(indent, format!("Insert into {}", insert.table.name));
                match &insert.source {
                    InsertRows::Columns { query, .. }
                    | InsertRows::Fields { query, .. }
                    | InsertRows::DocumentQuery(query) => {
                        self.query(query, indent + 1);
                    }
                    InsertRows::Defaults => self.line(indent + 1, "Defaults"),
                    InsertRows::Documents { .. } => self.line(indent + 1, "Documents"),
                }
            }
            Body::Update(update) => {
                self.line(indent, format!("Update {}", update.table.name));
                self.node(&update.from, indent + 1);
            }
            Body::Delete(delete) => {
                self.line(indent, format!("Delete from {}", delete.table.name));
                self.node(&delete.from, indent + 1);
            }
            Body::Merge(merge) => {
                self.line(indent, format!("Merge into {}", merge.table.name));
                self.node(&merge.from, indent + 1);
            }
        }
    }

    fn query(&mut self, query: &QueryPlan, indent: usize) {
        let mut indent = indent;
        if query.limit.is_some() || query.offset.is_some() {
            self.line(indent, "Limit");
            indent += 1;
        }
        match &query.body {
            QueryBody::Select(select) => self.select(select, query.limit.is_some(), indent),
            QueryBody::Set { op, all, left, right, order, .. } => {
                if !order.is_empty() {
                    self.line(indent, "Sort");
                    indent += 1;
                }
                let name = match op {
                    SetOp::Union => "Union",
                    SetOp::Intersect => "Intersect",
                    SetOp::Except => "Except",
                };
                self.line(indent, format!("{name}{}", if *all { " all" } else { "" }));
                self.query(left, indent + 1);
                self.query(right, indent + 1);
            }
            QueryBody::Values { rows, .. } => self.line(indent, format!("Values ({} rows)", rows.len())),
            QueryBody::Nested { query, order } => {
                if !order.is_empty() {
                    self.line(indent, "Sort");
                    indent += 1;
                }
                self.query(query, indent);
            }
        }
    }

    /// The operators DataFusion would take over of a level.
    #[cfg(feature = "analytics")]
    fn analytic(&mut self, select: &SelectPlan, limited: bool) -> Option<String> {
        let settings = &self.session.settings;
        let found = crate::analytics::describe(select, limited, self.partiql, self.tx, settings);
        let found = found.filter(|_| self.outermost);
        if let Some((executor, _)) = &found {
            self.analytic = Some(executor);
        }
        found.map(|(_, text)| text)
    }

    #[cfg(not(feature = "analytics"))]
    fn analytic(&mut self, _: &SelectPlan, _: bool) -> Option<String> {
        let _ = (self.tx, self.session, self.partiql, self.outermost, self.analytic);
        None
    }

    fn select(&mut self, select: &SelectPlan, limited: bool, indent: usize) {
        let mut indent = indent;
        if let Some(engine) = self.analytic(select, limited) {
            self.line(indent, engine);
            indent += 1;
        }
        let mut step = |writer: &mut Self, text: String| {
            writer.line(indent, text);
            indent += 1;
        };
        if !select.order.is_empty() && !select.ordered {
            step(self, "Sort".to_owned());
        }
        match select.distinct {
            DistinctPlan::No => {}
            DistinctPlan::Yes => step(self, "Distinct".to_owned()),
            DistinctPlan::On(_) => step(self, "Distinct on".to_owned()),
        }
        if !select.windows.is_empty() {
            step(self, format!("Window ({})", select.windows.len()));
        }
        if let Some(group) = &select.group {
            step(self, aggregate_line(group));
        }
        if !select.filter.is_empty() {
            step(self, "Filter".to_owned());
        }
        match &select.from {
            Some(node) => self.node(node, indent),
            None => self.line(indent, "One row"),
        }
    }

    fn node(&mut self, node: &Node, indent: usize) {
        match node {
            Node::Filter { input, .. } => {
                self.line(indent, "Filter");
                self.node(input, indent + 1);
            }
            Node::Source(source) => {
                let Some(input) = &source.input else { return self.source(&source.source, &source.label, indent) };
                let kind = if source.outer { "Left lookup join" } else { "Lookup join" };
                self.line(indent, kind);
                self.node(input, indent + 1);
                self.source(&source.source, &source.label, indent + 1);
            }
            Node::Hash(join) => {
                self.line(indent, format!("Hash join{}", kind(join.kind)));
                self.node(&join.left, indent + 1);
                self.node(&join.right, indent + 1);
            }
            Node::Loop(join) => {
                self.line(indent, format!("Nested loop{}", kind(join.kind)));
                self.node(&join.left, indent + 1);
                self.node(&join.right, indent + 1);
            }
        }
    }

    fn source(&mut self, source: &Source, label: &str, indent: usize) {
        match source {
            Source::Table(table) => self.line(indent, table_line(table, label)),
            Source::Query { query, cache, .. } => {
                self.line(indent, format!("Subquery {label}"));
                let outermost = self.outermost;
                self.outermost &= cache.is_some();
                self.query(query, indent + 1);
                self.outermost = outermost;
            }
            Source::Cte { .. } => self.line(indent, format!("WITH query {label}")),
            Source::Virtual { table, .. } => self.line(indent, format!("Catalogue {}", table.name())),
            Source::Function { .. } => self.line(indent, format!("Function {label}")),
            Source::Changes(changes) => self.line(indent, format!("Changes of {}", changes.table.name)),
            Source::Collection { .. } => self.line(indent, format!("Elements of {label}")),
            Source::Unpivot { .. } => self.line(indent, format!("Fields of {label}")),
        }
    }
}

/// Grouping sets are shown by their keys' names, or numbers where those have none.
fn aggregate_line(group: &GroupPlan) -> String {
    let counts = format!("{} keys, {} aggregates", group.keys.len(), group.aggregates.len());
    if !group.has_sets() {
        return format!("Aggregate ({counts})");
    }
    let name = |(at, (key, _)): (usize, &(Ex, u32))| match key {
        Ex::Field { name, .. } => name.to_string(),
        _ => format!("#{}", at + 1),
    };
    let names: Vec<String> = group.keys.iter().enumerate().map(name).collect();
    let shown = group.sets.iter().take(SETS_SHOWN_MAX).map(|set| {
        let own: Vec<&str> = names.iter().enumerate().filter(|(at, _)| set.contains(*at)).map(|(_, n)| &**n).collect();
        format!("({})", own.join(", "))
    });
    let shown: Vec<String> = shown.collect();
    let more = group.sets.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("Aggregate ({counts}, {} grouping sets: {}{more})", group.sets.len(), shown.join(" "))
}

fn kind(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Left => " (left)",
        JoinKind::Right => " (right)",
        JoinKind::Full => " (full)",
        JoinKind::Inner | JoinKind::Cross => "",
    }
}

fn table_line(table: &TableSource, label: &str) -> String {
    let label = if matches!(table.view, ViewPlan::History { .. }) { &table.table.name } else { label };
    let view = match table.view {
        ViewPlan::Current => "",
        ViewPlan::AsOfTime(_) => " as of a time",
        ViewPlan::AsOfBlock(_) => " as of a block",
        ViewPlan::History { .. } => ", history",
    };
    let way = match &table.access {
        Access::Scan => "Scan".to_owned(),
        Access::Ids(_) | Access::IdList(_) => "Document id lookup".to_owned(),
        Access::Index { index, keys } => {
            let what = if index.primary { "Primary key lookup" } else { "Index lookup" };
            let part = if keys.len() < index.paths.len() { ", prefix" } else { "" };
            format!("{what} using {} ({}{part})", index.name, index.paths_text())
        }
        Access::Range { index, descending, .. } => {
            let direction = if *descending { ", backwards" } else { "" };
            format!("Index range using {} ({}{direction})", index.name, index.paths_text())
        }
    };
    format!("{way} on {label}{view}")
}
