//! Identity columns in statements: when a value may be given to one, and DEFAULT, which counts on.

use ledgerstone_digest::ion::Value;

use super::Binder;
use super::checks::parse_expression;
use super::plan::{Ex, QueryBody, QueryPlan, Step};
use crate::ast::{Expr, ExprKind, Name, Overriding, Query, SetExpr, Span};
use crate::catalogue::{Column, Table};
use crate::error::Result;

impl Binder<'_> {
    /// DEFAULT for a column, as an expression.
    pub(super) fn default_expr(&mut self, table: &Table, column: &Column, span: Span) -> Result<Expr> {
        match &column.default_text {
            Some(text) => parse_expression(text),
            None if column.identity.is_some() => {
                let quoted = |name: &str| format!("'{}'", name.replace('\'', "''"));
                let (table, column) = (quoted(&table.name), quoted(&column.name));
                parse_expression(&format!("ledgerstone_next_identity({table}, {column})"))
            }
            None => Ok(Expr { kind: ExprKind::Literal(Value::NULL), span }),
        }
    }
}

/// Where the values of an INSERT go: under OVERRIDING USER VALUE those for identity columns go nowhere. A value for one that is
/// GENERATED ALWAYS is refused unless it is overridden, also where there are no rows; `is_default` says of a column of
/// the values that it is DEFAULT throughout.
pub(super) fn destinations(
    table: &Table,
    targets: &[usize],
    overriding: Option<Overriding>,
    is_default: impl Fn(usize) -> bool,
    place: impl Fn(usize) -> Span,
) -> Result<Vec<Option<usize>>> {
    let destination = |(at, target): (usize, &usize)| match table.columns.get(*target) {
        Some(column) if column.identity.is_some() && overriding == Some(Overriding::User) => Ok(None),
        Some(column) if column.is_always_identity() && overriding.is_none() && !is_default(at) => {
            Err(column.no_value_of_ones_own().hint("Use OVERRIDING SYSTEM VALUE to override.").at(place(at)))
        }
        _ => Ok(Some(*target)),
    };
    targets.iter().enumerate().map(destination).collect()
}

/// Rows of VALUES do not compute what goes nowhere: it could be an error, or count on.
pub(super) fn leave_uncomputed(plan: &mut QueryPlan, destinations: &[Option<usize>]) {
    let QueryBody::Values { rows, .. } = &mut plan.body else { return };
    for (value, destination) in rows.iter_mut().flat_map(|row| row.iter_mut().zip(destinations)) {
        if destination.is_none() {
            *value = Ex::NULL;
        }
    }
}

/// The column GENERATED ALWAYS that a path of an UPDATE begins with, if it begins with one by its name.
pub(super) fn always_at_path<'t>(table: &'t Table, path: &[Step]) -> Option<&'t Column> {
    let Some(Step::Field { name, any_case }) = path.first() else { return None };
    let is_it = |column: &&Column| column.name == *name || *any_case && column.name.eq_ignore_ascii_case(name);
    table.columns.iter().find(is_it).filter(|column| column.is_always_identity())
}

/// Whether every row has DEFAULT here.
pub(super) fn all_default(rows: &[Vec<Expr>], at: usize) -> bool {
    rows.iter().all(|row| row.get(at).is_some_and(|e| matches!(e.kind, ExprKind::Default)))
}

/// VALUES without the identity columns that are DEFAULT in every row, and names for those that are left.
pub(super) fn without_identities(
    table: &Table,
    targets: &mut Vec<usize>,
    rows: &[Vec<Expr>],
    query: &Query,
) -> Option<(Query, Vec<Name>)> {
    let is_left_out = |at: usize, target: usize| {
        table.columns.get(target).is_some_and(|c| c.identity.is_some()) && all_default(rows, at)
    };
    let width = rows.first()?.len();
    let gone: Vec<usize> = (0..width.min(targets.len())).filter(|at| is_left_out(*at, targets[*at])).collect();
    if gone.is_empty() || gone.len() == width || rows.iter().any(|row| row.len() != width) {
        return None;
    }
    let kept = |at: usize| !gone.contains(&at);
    let rows: Vec<Vec<Expr>> = rows
        .iter()
        .map(|row| row.iter().enumerate().filter(|(at, _)| kept(*at)).map(|(_, e)| e.clone()).collect())
        .collect();
    targets.truncate(width);
    let mut at = 0;
    targets.retain(|_| {
        at += 1;
        kept(at - 1)
    });
    let names = targets.iter().filter_map(|target| table.columns.get(*target));
    let names = names.map(|c| Name::exact(c.name.clone(), true, query.span)).collect();
    let span = query.span;
    Some((Query { body: SetExpr::Values { rows, span }, ..query.clone() }, names))
}
