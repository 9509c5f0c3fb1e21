//! Rows as values, `(a, b)` or a source's name: compared item by item, each pair made comparable as if it stood alone, and
//! NULL if all items are.

use std::sync::Arc;

use super::Binder;
use super::from::Tree;
use super::plan::{Comparison, Ex, Node, QueryBody, QueryPlan, SelectPlan, SortExpr, Source, SourceNode};
use super::query::{empty_select, plain};
use super::types::Typed;
use crate::ast::{Expr, Span};
use crate::error::{QueryError, Result, SqlState};
use crate::exec::slots_of;
use crate::types::SqlType;

impl Binder<'_> {
    pub(super) fn row(&mut self, items: &[Expr]) -> Result<Typed> {
        let mut row = Vec::with_capacity(items.len());
        for item in items {
            row.push((self.expr(item)?, item.span));
        }
        let values = row.iter().map(|(item, _)| item.ex.clone()).collect();
        // An untyped item takes its type from what it is compared with, so none is given one here.
        Ok(Typed { row, ..Typed::new(Ex::Row(values), SqlType::Ion) })
    }

    /// `IS NULL` holds if every item is NULL, and `IS NOT NULL` if none is: of some rows neither does.
    pub(super) fn is_null(&mut self, value: Typed, negated: bool, span: Span) -> Result<Ex> {
        let is_null = |ex| Ex::IsNull { expr: Box::new(ex), negated };
        if is_row(&value) && !self.partiql {
            return Ok(Ex::And(value.row.into_iter().map(|(item, _)| is_null(item.ex)).collect()));
        }
        Ok(is_null(self.settle(value, span)?.0))
    }

    /// SQL's comparison of rows, if both are rows; `None` if neither is.
    pub(super) fn compare_rows(
        &mut self,
        op: Comparison,
        a: &Typed,
        b: &Typed,
        spans: (Span, Span),
    ) -> Result<Option<Ex>> {
        let Some(pairs) = self.row_pairs(a, b, op.symbol(), spans)? else { return Ok(None) };
        let strict = match op {
            Comparison::Eq | Comparison::NotEq => {
                let parts = pairs.iter().map(|pair| self.compare_pair(op, pair)).collect::<Result<_>>()?;
                return Ok(Some(if op == Comparison::Eq { Ex::And(parts) } else { Ex::Or(parts) }));
            }
            Comparison::LtEq | Comparison::Lt => Comparison::Lt,
            Comparison::GtEq | Comparison::Gt => Comparison::Gt,
        };
        let mut result: Option<Ex> = None;
        for pair in pairs.iter().rev() {
            result = Some(match result {
                None => self.compare_pair(op, pair)?,
                Some(rest) => {
                    let equal = Ex::And(vec![self.compare_pair(Comparison::Eq, pair)?, rest]);
                    Ex::Or(vec![self.compare_pair(strict, pair)?, equal])
                }
            });
        }
        Ok(result)
    }

    fn compare_pair(&mut self, op: Comparison, ((x, x_span), (y, y_span)): &(Part, Part)) -> Result<Ex> {
        self.compare(op, x.clone(), y.clone(), (*x_span, *y_span))
    }

    /// `IS DISTINCT FROM` of rows, if both are rows; `None` if neither is.
    pub(super) fn distinct_rows(
        &mut self,
        a: &Typed,
        b: &Typed,
        negated: bool,
        spans: (Span, Span),
    ) -> Result<Option<Ex>> {
        let Some(pairs) = self.row_pairs(a, b, "IS DISTINCT FROM", spans)? else { return Ok(None) };
        let mut parts = Vec::with_capacity(pairs.len());
        for ((x, x_span), (y, y_span)) in pairs {
            parts.push(self.distinct_from(x, y, negated, (x_span, y_span))?);
        }
        Ok(Some(if negated { Ex::And(parts) } else { Ex::Or(parts) }))
    }

    fn row_pairs(
        &self,
        a: &Typed,
        b: &Typed,
        operator: &str,
        spans: (Span, Span),
    ) -> Result<Option<Vec<(Part, Part)>>> {
        let wrong = |code, why: String| Err(QueryError::new(code, why).at(spans.0.to(spans.1)));
        if !is_row(a) && !is_row(b) {
            return Ok(None);
        }
        if is_row(a) && is_row(b) {
            // Two sources' rows are compared as values: NULL equals NULL there.
            if ![a, b].iter().any(|side| matches!(side.ex, Ex::Row(_))) {
                return Ok(None);
            }
            if a.row.len() != b.row.len() {
                return wrong(SqlState::SYNTAX_ERROR, "unequal number of entries in row expressions".to_owned());
            }
            if a.row.is_empty() {
                return wrong(SqlState::FEATURE_NOT_SUPPORTED, "cannot compare rows of zero length".to_owned());
            }
            return Ok(Some(a.row.iter().cloned().zip(b.row.iter().cloned()).collect()));
        }
        // A document's value may be a list of as many items.
        let other = if is_row(a) { b } else { a };
        if other.is_ion() || other.ex == Ex::NULL {
            return Ok(None);
        }
        let shown = |side: &Typed| match &side.ty {
            _ if is_row(side) => "record".to_owned(),
            Some(ty) => ty.to_string(),
            None => "unknown".to_owned(),
        };
        wrong(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {} {operator} {}", shown(a), shown(b)))
            .map_err(|error| error.hint("Compare a row with a row of as many items."))
    }
}

fn is_row(value: &Typed) -> bool {
    matches!(value.ex, Ex::Row(_)) || !value.row.is_empty()
}

/// The slot kept behind a query's columns for whether there is a row.
pub(super) fn presence_slot(source: &Source) -> Option<u32> {
    match source {
        Source::Query { query, first, .. } => Some(*first + query.arity as u32),
        Source::Cte { first, arity, .. } => Some(*first + *arity as u32),
        _ => None,
    }
}

/// Makes the queries whose rows' presence is asked for write it: as a column of theirs, it is missing where a row is.
pub(super) fn mark_presence(tree: &mut Tree, presences: &[u32]) {
    let leaf = match tree {
        Tree::Join { left, right, .. } => {
            mark_presence(left, presences);
            return mark_presence(right, presences);
        }
        Tree::Leaf(leaf) => leaf,
    };
    if !presence_slot(&leaf.source).is_some_and(|slot| presences.contains(&slot)) {
        return;
    }
    match &mut leaf.source {
        Source::Query { query, .. } => {
            if let Some(query) = Arc::get_mut(query) {
                add_true(query);
            }
        }
        Source::Cte { id, first, arity, up } => {
            // Others read the same common table, so the column is added by a query over it.
            let source = Source::Cte { id: *id, first: 0, arity: *arity, up: *up + 1 };
            let node = SourceNode { input: None, source, filter: vec![], outer: false, label: leaf.label.clone() };
            let output = (0..*arity as u32).map(Ex::slot).collect();
            let from = Some(Node::Source(Box::new(node)));
            let select = SelectPlan { width: *arity, from, output, ..empty_select() };
            let mut query = plain(QueryBody::Select(Box::new(select)), *arity, vec![]);
            add_true(&mut query);
            leaf.source = Source::Query { query: Arc::new(query), first: *first, cache: None };
        }
        _ => {}
    }
    leaf.slots = slots_of(&leaf.source);
}

fn add_true(query: &mut QueryPlan) {
    let at = query.arity;
    query.arity += 1;
    // Columns of a SELECT that are only compared stand behind the row's.
    for key in query.ties.iter_mut().flatten() {
        if let SortExpr::Output(column) = &mut key.expr
            && *column >= at
        {
            *column += 1;
        }
    }
    match &mut query.body {
        QueryBody::Select(select) => select.output.insert(at.min(select.output.len()), Ex::TRUE),
        QueryBody::Values { rows, .. } => rows.iter_mut().for_each(|row| row.push(Ex::TRUE)),
        QueryBody::Nested { query, .. } => add_true(query),
        QueryBody::Set { left, right, left_casts, right_casts, .. } => {
            for (side, casts) in [(left, left_casts), (right, right_casts)] {
                match casts {
                    Some(casts) => casts.push(Ex::TRUE),
                    None => add_true(side),
                }
            }
        }
    }
}

/// An item of a row and where it stands.
type Part = (Typed, Span);
