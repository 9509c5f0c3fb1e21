//! Queries: WITH, VALUES and set operations, with ORDER BY, LIMIT and OFFSET around them.

use std::sync::Arc;

use ledgerstone_digest::ion::{Int, Value};

use super::Binder;
use super::call::sort_key;
use super::expr::in_order;
use super::plan::{At, DistinctPlan, Ex, QueryBody, QueryPlan, SelectPlan, SortExpr, SortKey};
use super::scope::Level;
use super::types::{CastContext, Typed, unify};
use super::untyped::{typed_as, untyped_items};
use crate::ast::{Expr, ExprKind, Name, OrderBy, Projection, Query, SetExpr, SetOp, Span};
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;

/// A result column: name and type.
pub(crate) type OutputColumn = (Arc<str>, SqlType);
type Bound = (QueryPlan, Vec<OutputColumn>);

/// A WITH name in scope.
#[derive(Debug, Clone)]
pub(crate) struct CteName {
    pub name: Arc<str>,
    pub id: usize,
    pub columns: Vec<OutputColumn>,
    /// It is a query, or a change with RETURNING.
    pub gives_rows: bool,
    /// How many levels were around the query it belongs to, and which of their slots it reads.
    pub levels: usize,
    pub outer: Vec<At>,
}

impl Binder<'_> {
    /// A query inside a statement: its plan and columns. It becomes a level of its own.
    pub fn subquery(&mut self, query: &Query) -> Result<(QueryPlan, Vec<OutputColumn>)> {
        self.not_kept(|| "subquery".to_owned()).map_err(|error| error.at(query.span))?;
        self.subqueries += 1;
        let read = self.working_read.len();
        let bound = self.query(query)?;
        let step = self.working_read.get(read).and_then(|id| self.ctes.get(*id)).map(|cte| cte.name.clone());
        match step {
            // What is not correlated is computed once, and not for each step.
            Some(name) => Err(QueryError::new(
                SqlState::INVALID_RECURSION,
                format!("recursive reference to query \"{name}\" must not appear within a subquery"),
            )
            .at(query.span)
            .hint("Put the subquery in FROM.")),
            None => Ok(bound),
        }
    }

    pub fn query(&mut self, query: &Query) -> Result<(QueryPlan, Vec<OutputColumn>)> {
        self.within_with(&query.with, query.recursive, |binder| binder.query_without_with(query))
    }

    fn query_without_with(&mut self, query: &Query) -> Result<(QueryPlan, Vec<OutputColumn>)> {
        let (body, columns, mut outer) = match &query.body {
            SetExpr::Select(select) => {
                let limited = std::mem::replace(&mut self.limited, query.limit.is_some());
                let bound = self.select(select, &query.order_by);
                self.limited = limited;
                let (plan, columns, outer) = bound?;
                (QueryBody::Select(Box::new(plan)), columns, outer)
            }
            other => {
                let (mut plan, columns) = self.set_expr(other)?;
                let order = self.order_by_columns(&query.order_by, &columns)?;
                let outer = std::mem::take(&mut plan.outer);
                let body = match plan {
                    QueryPlan { body, limit: None, offset: None, .. } if order.is_empty() => body,
                    QueryPlan {
                        body: QueryBody::Set { op, all, left, right, left_casts, right_casts, order: o },
                        limit: None,
                        offset: None,
                        ..
                    } if o.is_empty() => QueryBody::Set { op, all, left, right, left_casts, right_casts, order },
                    QueryPlan { body: QueryBody::Values { rows, order: o }, limit: None, offset: None, .. }
                        if o.is_empty() =>
                    {
                        QueryBody::Values { rows, order }
                    }
                    mut plan => {
                        plan.outer.clone_from(&outer);
                        QueryBody::Nested { query: Box::new(plan), order }
                    }
                };
                (body, columns, outer)
            }
        };
        // LIMIT and OFFSET see only the levels around the query.
        self.levels.push(Level { clause: "LIMIT", ..Level::default() });
        let bounds = (self.row_count(query.limit.as_ref(), "LIMIT"), self.row_count(query.offset.as_ref(), "OFFSET"));
        if let Some(level) = self.levels.pop() {
            merge_outer(&mut outer, level.outer);
        }
        let (mut body, arity) = (body, columns.len());
        let ties = query.ties.then(|| tie_keys(&mut body));
        let plan = QueryPlan { body, limit: bounds.0?, ties, offset: bounds.1?, arity, outer };
        Ok((plan, columns))
    }

    fn row_count(&mut self, e: Option<&Expr>, clause: &str) -> Result<Option<Ex>> {
        let Some(e) = e else { return Ok(None) };
        let bound = self.expr(e)?;
        if !self.partiql
            && let Some(ty) = &bound.ty
            && !ty.is_number()
            && *ty != SqlType::Ion
        {
            return Err(QueryError::new(
                SqlState::DATATYPE_MISMATCH,
                format!("argument of {clause} must be type bigint, not type {ty}"),
            )
            .at(e.span));
        }
        Ok(Some(self.coerce(bound, &SqlType::Int8, CastContext::Assignment, e.span)?))
    }

    pub(super) fn set_expr(&mut self, body: &SetExpr) -> Result<(QueryPlan, Vec<OutputColumn>)> {
        match body {
            SetExpr::Select(select) => {
                let (plan, columns, outer) = self.select(select, &[])?;
                Ok((plain(QueryBody::Select(Box::new(plan)), columns.len(), outer), columns))
            }
            SetExpr::Query(query) => self.query(query),
            SetExpr::Values { rows, span } => self.values(rows, *span),
            SetExpr::Operation { op, all, left, right } => self.set_operation(*op, *all, left, right),
            SetExpr::Expr(e) => {
                // PartiQL: a bare expression; a collection gives its elements.
                self.levels.push(Level { clause: "VALUES", ..Level::default() });
                let bound = self.any(e);
                let level = self.levels.pop().unwrap_or_default();
                let mut level_plan = SelectPlan { width: 1, ..empty_select() };
                level_plan.from = Some(super::plan::Node::Source(Box::new(super::plan::SourceNode {
                    input: None,
                    source: super::plan::Source::Collection { expr: bound?, slot: 0, at: None },
                    filter: vec![],
                    outer: false,
                    label: Arc::from("expression"),
                })));
                level_plan.output = vec![Ex::slot(0)];
                let columns = vec![(Arc::from("_1"), SqlType::Ion)];
                Ok((plain(QueryBody::Select(Box::new(level_plan)), 1, level.outer), columns))
            }
        }
    }

    fn values(&mut self, rows: &[Vec<Expr>], span: Span) -> Result<(QueryPlan, Vec<OutputColumn>)> {
        self.values_as(rows, span, None)
    }

    /// VALUES; for an INSERT each column is converted to its target's type, `None` in a target being DEFAULT's place.
    pub(super) fn values_as(
        &mut self,
        rows: &[Vec<Expr>],
        span: Span,
        targets: Option<&[SqlType]>,
    ) -> Result<(QueryPlan, Vec<OutputColumn>)> {
        self.levels.push(Level { clause: "VALUES", ..Level::default() });
        let bound = self.value_rows(rows, span, targets);
        let level = self.levels.pop().unwrap_or_default();
        let (rows, types) = bound?;
        let columns: Vec<OutputColumn> =
            types.into_iter().enumerate().map(|(i, t)| (Arc::from(format!("column{}", i + 1)), t)).collect();
        Ok((plain(QueryBody::Values { rows, order: vec![] }, columns.len(), level.outer), columns))
    }

    fn value_rows(
        &mut self,
        rows: &[Vec<Expr>],
        span: Span,
        targets: Option<&[SqlType]>,
    ) -> Result<(Vec<Vec<Ex>>, Vec<SqlType>)> {
        let width = rows.first().map_or(0, Vec::len);
        if let Some(row) = rows.iter().find(|r| r.len() != width) {
            let at = row.first().map_or(span, |e| e.span);
            return Err(QueryError::syntax("VALUES lists must all be the same length", at));
        }
        let mut bound: Vec<Vec<(Typed, Span)>> = Vec::with_capacity(rows.len());
        for row in rows {
            bound.push(row.iter().map(|e| Ok((self.expr(e)?, e.span))).collect::<Result<_>>()?);
        }
        let mut types = Vec::with_capacity(width);
        for i in 0..width {
            let column: Vec<Option<SqlType>> =
                bound.iter().filter_map(|r| r.get(i)).map(|(t, _)| t.ty.clone()).collect();
            types.push(match targets.and_then(|t| t.get(i)) {
                Some(ty) => ty.clone(),
                None if self.partiql => SqlType::Ion,
                None => unify(&column).ok_or_else(|| {
                    QueryError::new(SqlState::DATATYPE_MISMATCH, "VALUES types cannot be matched").at(span)
                })?,
            });
        }
        let context = if targets.is_some() { CastContext::Assignment } else { CastContext::Implicit };
        let mut out = Vec::with_capacity(bound.len());
        for row in bound {
            let mut exprs = Vec::with_capacity(row.len());
            for ((value, span), ty) in row.into_iter().zip(&types) {
                exprs.push(self.assigned(value, ty, context, span)?);
            }
            out.push(exprs);
        }
        Ok((out, types))
    }

    /// A value as a column of this type takes it; document values are converted when they are there.
    pub(super) fn assigned(&mut self, value: Typed, ty: &SqlType, context: CastContext, span: Span) -> Result<Ex> {
        if value.is_ion() && *ty != SqlType::Ion && context == CastContext::Assignment {
            let from = Some(SqlType::Ion);
            return Ok(Ex::Cast { expr: Box::new(value.ex), from, to: ty.clone(), explicit: false });
        }
        self.coerce(value, ty, context, span)
    }

    fn set_operation(
        &mut self,
        op: SetOp,
        all: bool,
        left: &SetExpr,
        right: &SetExpr,
    ) -> Result<(QueryPlan, Vec<OutputColumn>)> {
        let ((left, left_columns), (right, right_columns)) = self.set_sides(left, right)?;
        let name = match op {
            SetOp::Union => "UNION",
            SetOp::Intersect => "INTERSECT",
            SetOp::Except => "EXCEPT",
        };
        if left_columns.len() != right_columns.len() {
            return Err(QueryError::new(
                SqlState::SYNTAX_ERROR,
                format!("each {name} query must have the same number of columns"),
            ));
        }
        let mut columns = Vec::with_capacity(left_columns.len());
        for ((column, a), (_, b)) in left_columns.iter().zip(&right_columns) {
            let null_like = |q: &QueryPlan, t: &SqlType| is_untyped(q, t, columns.len());
            let types = match (null_like(&left, a), null_like(&right, b)) {
                (true, false) => vec![Some(b.clone())],
                (false, true) => vec![Some(a.clone())],
                _ => vec![Some(a.clone()), Some(b.clone())],
            };
            let ty = unify(&types).ok_or_else(|| {
                QueryError::new(SqlState::DATATYPE_MISMATCH, format!("{name} types {a} and {b} cannot be matched"))
            })?;
            columns.push((column.clone(), ty));
        }
        let left_casts = self.casts(&left_columns, &columns);
        let right_casts = self.casts(&right_columns, &columns);
        let mut outer = left.outer.clone();
        merge_outer(&mut outer, right.outer.clone());
        let body = QueryBody::Set {
            op,
            all,
            left: Box::new(left),
            right: Box::new(right),
            left_casts,
            right_casts,
            order: vec![],
        };
        Ok((plain(body, columns.len(), outer), columns))
    }

    /// Both sides of a set operation, the literals and parameters of each with the types of the columns beside them.
    fn set_sides(&mut self, left: &SetExpr, right: &SetExpr) -> Result<(Bound, Bound)> {
        let (of_left, of_right) = (untyped_items(left), untyped_items(right));
        // Two that stand beside each other are text.
        let only =
            |these: &[usize], others: &[usize]| these.iter().copied().filter(|at| !others.contains(at)).collect();
        let (only_left, only_right): (Vec<usize>, Vec<usize>) = (only(&of_left, &of_right), only(&of_right, &of_left));
        if self.partiql || only_left.is_empty() && only_right.is_empty() {
            return Ok((self.set_expr(left)?, self.set_expr(right)?));
        }
        if only_right.is_empty() {
            let right = self.set_expr(right)?;
            return Ok((self.set_side(left, &only_left, &right)?, right));
        }
        let first = self.set_expr(left)?;
        let right = self.set_side(right, &only_right, &first)?;
        Ok(if only_left.is_empty() { (first, right) } else { (self.set_side(left, &only_left, &right)?, right) })
    }

    fn set_side(&mut self, body: &SetExpr, untyped: &[usize], beside: &Bound) -> Result<Bound> {
        let types: Vec<SqlType> = beside.1.iter().map(|(_, ty)| ty.clone()).collect();
        // A document value takes any type.
        let typed = |at: &usize| types.get(*at).is_some_and(|ty| !matches!(ty, SqlType::Ion | SqlType::Text));
        let untyped: Vec<usize> = untyped.iter().copied().filter(typed).collect();
        self.set_expr(typed_as(body, &untyped, &types).as_ref().unwrap_or(body))
    }

    pub(super) fn casts(&self, from: &[OutputColumn], to: &[OutputColumn]) -> Option<Vec<Ex>> {
        if self.partiql || from.iter().zip(to).all(|((_, a), (_, b))| a == b) {
            return None;
        }
        let cast = |(i, ((_, a), (_, b))): (usize, (&OutputColumn, &OutputColumn))| {
            let slot = Ex::slot(i as u32);
            if a == b {
                return slot;
            }
            Ex::Cast { expr: Box::new(slot), from: Some(a.clone()), to: b.clone(), explicit: false }
        };
        Some(from.iter().zip(to).enumerate().map(cast).collect())
    }

    /// ORDER BY of a set operation or VALUES: output columns by name or number only.
    fn order_by_columns(&mut self, order: &[OrderBy], columns: &[OutputColumn]) -> Result<Vec<SortKey>> {
        order
            .iter()
            .map(|o| {
                let at = match &o.expr.kind {
                    ExprKind::Literal(Value::Int(Int::Small(n))) => {
                        Some(self.ordinal(*n, columns.len(), o.expr.span)?)
                    }
                    ExprKind::Name(name) => columns.iter().position(|(c, _)| *c == name.text),
                    _ => None,
                };
                match at {
                    Some(at) if columns.get(at).is_some_and(|(_, ty)| *ty == SqlType::Jsonb) && !self.partiql => {
                        Ok(sort_key(SortExpr::Expr(in_order(Ex::slot(at as u32), &SqlType::Jsonb)), o))
                    }
                    Some(at) => Ok(sort_key(SortExpr::Output(at), o)),
                    None => Err(QueryError::new(
                        SqlState::FEATURE_NOT_SUPPORTED,
                        "invalid UNION/INTERSECT/EXCEPT ORDER BY clause",
                    )
                    .detail("Only result column names can be used, not expressions or functions.")
                    .hint("Add the expression/function to every SELECT, or move the UNION into a FROM clause.")
                    .at(o.expr.span)),
                }
            })
            .collect()
    }

    pub(super) fn ordinal(&self, n: i64, columns: usize, span: Span) -> Result<usize> {
        usize::try_from(n - 1).ok().filter(|i| *i < columns).ok_or_else(|| {
            QueryError::new(SqlState::INVALID_COLUMN_REFERENCE, format!("ORDER BY position {n} is not in select list"))
                .at(span)
        })
    }

    /// PartiQL: a query that returns structs of one field, as that field's values.
    pub(super) fn first_field(&self, mut plan: QueryPlan, query: &Query) -> QueryPlan {
        if is_value_query(query) {
            return plan;
        }
        if let QueryBody::Select(select) = &mut plan.body
            && let Some(output) = select.output.first_mut()
        {
            let value = match output {
                Ex::Struct(fields) => fields.first().map(|(_, v)| v.clone()),
                _ => None,
            };
            if let Some(value) = value {
                *output = value;
            }
        }
        plan
    }
}

/// `SELECT VALUE …` or a bare expression.
pub(super) fn is_value_query(query: &Query) -> bool {
    match &query.body {
        SetExpr::Select(select) => matches!(select.projection, Projection::Value(_)),
        SetExpr::Query(query) => is_value_query(query),
        SetExpr::Expr(_) => true,
        _ => false,
    }
}

pub(super) fn plain(body: QueryBody, arity: usize, outer: Vec<At>) -> QueryPlan {
    QueryPlan { body, limit: None, ties: None, offset: None, arity, outer }
}

/// What a body is sorted by, as columns of its rows; those of a SELECT get columns for what is in none.
fn tie_keys(body: &mut QueryBody) -> Vec<SortKey> {
    let select = match body {
        QueryBody::Select(select) => select,
        QueryBody::Set { order, .. } | QueryBody::Values { order, .. } | QueryBody::Nested { order, .. } => {
            return order.clone();
        }
    };
    let (order, output) = (&select.order, &mut select.output);
    let column = |key: &SortKey| match &key.expr {
        SortExpr::Output(_) => key.clone(),
        SortExpr::Expr(e) => {
            output.push(e.clone());
            SortKey { expr: SortExpr::Output(output.len() - 1), ..key.clone() }
        }
    };
    order.iter().map(column).collect()
}

pub(super) fn empty_select() -> SelectPlan {
    SelectPlan {
        width: 0,
        from: None,
        filter: vec![],
        group: None,
        having: None,
        windows: vec![],
        series: vec![],
        output: vec![],
        distinct: DistinctPlan::No,
        order: vec![],
        ordered: false,
    }
}

pub(super) fn merge_outer(into: &mut Vec<At>, more: Vec<At>) {
    for at in more {
        if !into.contains(&at) {
            into.push(at);
        }
    }
}

/// The parts of a condition that must all hold.
pub(super) fn conjuncts(ex: Ex) -> Vec<Ex> {
    match ex {
        Ex::And(parts) => parts.into_iter().flat_map(conjuncts).collect(),
        Ex::Const(Some(Value::Bool(true))) => vec![],
        other => vec![other],
    }
}

/// An output column that is a bare NULL or text literal takes the other side's type.
fn is_untyped(query: &QueryPlan, ty: &SqlType, at: usize) -> bool {
    *ty == SqlType::Text
        && match &query.body {
            QueryBody::Select(s) => matches!(s.output.get(at), Some(Ex::Const(None))),
            QueryBody::Values { rows, .. } => rows.iter().all(|r| matches!(r.get(at), Some(Ex::Const(None)))),
            _ => false,
        }
}

pub(super) fn renamed(columns: Vec<OutputColumn>, names: &[Name]) -> Result<Vec<OutputColumn>> {
    if names.len() > columns.len() {
        let span = names.last().map(|n| n.span).unwrap_or_default();
        return Err(QueryError::new(
            SqlState::INVALID_COLUMN_REFERENCE,
            format!("there are {} columns but {} names for them", columns.len(), names.len()),
        )
        .at(span));
    }
    let given = names.iter().map(|n| Some(n.text.clone())).chain(std::iter::repeat(None));
    Ok(columns.into_iter().zip(given).map(|((name, ty), given)| (given.unwrap_or(name), ty)).collect())
}
