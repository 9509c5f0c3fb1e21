//! Queries: WITH, set operations, SELECT with grouping, windows and ordering; the names and types of result columns.

use std::sync::Arc;

use ledgerstone_digest::ion::{Int, Value};

use super::Binder;
use super::call::sort_key;
use super::plan::{At, DistinctPlan, Ex, GroupPlan, QueryBody, QueryPlan, SelectPlan, SortExpr, SortKey};
use super::scope::{Column, Level};
use super::types::{CastContext, Typed, unify};
use crate::ast::{
    Distinct, Expr, ExprKind, Name, OrderBy, Projection, Query, Select, SelectItem, SetExpr, SetOp, Span,
};
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;

/// A result column: name and type.
pub(crate) type OutputColumn = (Arc<str>, SqlType);

/// A WITH name in scope.
#[derive(Debug, Clone)]
pub(crate) struct CteName {
    pub name: Arc<str>,
    pub id: usize,
    pub columns: Vec<OutputColumn>,
}

/// One item of a select list after `*` has been expanded.
struct OutputItem {
    name: Arc<str>,
    /// The alias as written, which ORDER BY and GROUP BY may use.
    is_alias: bool,
    bound: Typed,
    span: Span,
}

impl Binder<'_> {
    /// A query inside a statement: its plan and columns. It becomes a level of its own.
    pub fn subquery(&mut self, query: &Query) -> Result<(QueryPlan, Vec<OutputColumn>)> {
        self.query(query)
    }

    pub fn query(&mut self, query: &Query) -> Result<(QueryPlan, Vec<OutputColumn>)> {
        let named = self.cte_names.len();
        for table in &query.with {
            self.common_table(table, query.recursive)?;
        }
        let bound = self.query_without_with(query);
        self.cte_names.truncate(named);
        bound
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
        let plan = QueryPlan { body, limit: bounds.0?, offset: bounds.1?, arity: columns.len(), outer };
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
        let (left, left_columns) = self.set_expr(left)?;
        let (right, right_columns) = self.set_expr(right)?;
        if left_columns.len() != right_columns.len() {
            let name = match op {
                SetOp::Union => "UNION",
                SetOp::Intersect => "INTERSECT",
                SetOp::Except => "EXCEPT",
            };
            return Err(QueryError::new(
                SqlState::SYNTAX_ERROR,
                format!("each {name} query must have the same number of columns"),
            ));
        }
        let mut columns = Vec::with_capacity(left_columns.len());
        for ((name, a), (_, b)) in left_columns.iter().zip(&right_columns) {
            let null_like = |q: &QueryPlan, t: &SqlType| is_untyped(q, t, columns.len());
            let types = match (null_like(&left, a), null_like(&right, b)) {
                (true, false) => vec![Some(b.clone())],
                (false, true) => vec![Some(a.clone())],
                _ => vec![Some(a.clone()), Some(b.clone())],
            };
            let ty = unify(&types).ok_or_else(|| {
                QueryError::new(SqlState::DATATYPE_MISMATCH, format!("UNION types {a} and {b} cannot be matched"))
            })?;
            columns.push((name.clone(), ty));
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

    fn ordinal(&self, n: i64, columns: usize, span: Span) -> Result<usize> {
        usize::try_from(n - 1).ok().filter(|i| *i < columns).ok_or_else(|| {
            QueryError::new(SqlState::INVALID_COLUMN_REFERENCE, format!("ORDER BY position {n} is not in select list"))
                .at(span)
        })
    }

    // SELECT

    fn select(&mut self, select: &Select, order_by: &[OrderBy]) -> Result<(SelectPlan, Vec<OutputColumn>, Vec<At>)> {
        self.levels.push(Level::default());
        let bound = self.select_level(select, order_by);
        let level = self.levels.pop().unwrap_or_default();
        let (mut plan, columns) = bound?;
        plan.width = level.width as usize;
        Ok((plan, columns, level.outer))
    }

    fn select_level(&mut self, select: &Select, order_by: &[OrderBy]) -> Result<(SelectPlan, Vec<OutputColumn>)> {
        let tree = self.bind_from(&select.from)?;
        let mut plan = empty_select();
        self.level().clause = "WHERE";
        let filter = match &select.filter {
            Some(e) => {
                let bound = self.expr(e)?;
                conjuncts(self.condition(bound, "WHERE", e.span)?)
            }
            None => vec![],
        };
        for (name, spec) in &select.windows {
            let named = (name.text.clone(), spec.clone());
            self.level().named_windows.push(named);
        }
        let aliases = self.alias_targets(&select.projection);
        let keys = self.group_keys(&select.group_by, &aliases)?;
        self.level().clause = "SELECT";
        self.level().aggregates = Some(vec![]);
        self.level().windows = Some(vec![]);
        self.level().series_allowed = keys.is_empty();
        let mut items = self.projection(&select.projection)?;
        self.level().series_allowed = false;
        let having = match &select.having {
            Some(e) => {
                self.level().clause = "HAVING";
                let windows = self.level().windows.take();
                let bound = self.expr(e)?;
                self.level().windows = windows;
                Some(self.condition(bound, "HAVING", e.span)?)
            }
            None => None,
        };
        self.level().clause = "ORDER BY";
        let mut order = self.order_by(order_by, &items, &select.distinct)?;
        let mut distinct = self.distinct(&select.distinct, &items, &order)?;
        let mut having = having;
        let aggregates = self.level().aggregates.take().unwrap_or_default();
        let mut windows = self.level().windows.take().unwrap_or_default();
        let grouped = !select.group_by.is_empty() || !aggregates.is_empty() || having.is_some();
        if grouped {
            let mut group = GroupPlan { keys, aggregates: vec![] };
            for call in aggregates {
                let slot = self.level().slot();
                group.aggregates.push((call, slot));
            }
            let mut places: Vec<(&mut Ex, Span)> = Vec::new();
            for item in &mut items {
                places.push((&mut item.bound.ex, item.span));
            }
            places.extend(having.iter_mut().map(|h| (h, select.span)));
            for key in &mut order {
                if let SortExpr::Expr(e) = &mut key.expr {
                    places.push((e, select.span));
                }
            }
            if let DistinctPlan::On(on) = &mut distinct {
                places.extend(on.iter_mut().map(|e| (e, select.span)));
            }
            for window in &mut windows {
                places.extend(window.partition.iter_mut().map(|e| (e, select.span)));
                for key in &mut window.order {
                    if let SortExpr::Expr(e) = &mut key.expr {
                        places.push((e, select.span));
                    }
                }
                for (call, _) in &mut window.calls {
                    places.extend(call.arguments.iter_mut().chain(call.filter.as_mut()).map(|e| (e, select.span)));
                }
            }
            let window_slots: Vec<u32> = Vec::new();
            self.place_groups(places, &mut group, &window_slots)?;
            plan.group = Some(group);
        }
        plan.having = having;
        plan.windows = windows;
        plan.series = std::mem::take(&mut self.level().series);
        let (node, rest) = self.plan_from(tree, filter)?;
        plan.from = node;
        plan.filter = rest;
        plan.order = order;
        plan.distinct = distinct;
        let columns = self.outputs(&mut plan, items, &select.projection)?;
        self.use_index_order(&mut plan);
        Ok((plan, columns))
    }

    /// Aliases of the select list and their expressions, which GROUP BY may name.
    fn alias_targets<'s>(&self, projection: &'s Projection) -> Vec<(Option<&'s Name>, &'s Expr)> {
        match projection {
            Projection::Items(items) => items
                .iter()
                .filter_map(|i| match i {
                    SelectItem::Expr { expr, alias } => Some((alias.as_ref(), expr)),
                    _ => None,
                })
                .collect(),
            _ => vec![],
        }
    }

    fn projection(&mut self, projection: &Projection) -> Result<Vec<OutputItem>> {
        match projection {
            Projection::Items(items) => {
                let mut out = Vec::new();
                for item in items {
                    self.select_item(item, &mut out)?;
                }
                Ok(out)
            }
            Projection::Value(e) => {
                let bound = self.expr(e)?;
                Ok(vec![OutputItem { name: Arc::from("_1"), is_alias: false, bound, span: e.span }])
            }
            Projection::Pivot { value, .. } => {
                Err(QueryError::unsupported("PIVOT").at(value.span).hint("Build the struct from a list in the client."))
            }
        }
    }

    fn select_item(&mut self, item: &SelectItem, out: &mut Vec<OutputItem>) -> Result<()> {
        match item {
            SelectItem::Expr { expr, alias } => {
                let bound = self.expr(expr)?;
                let name = match alias {
                    Some(alias) => alias.text.clone(),
                    None if self.partiql => {
                        partiql_name(expr).unwrap_or_else(|| Arc::from(format!("_{}", out.len() + 1)))
                    }
                    None => sql_name(expr),
                };
                out.push(OutputItem { name, is_alias: alias.is_some(), bound, span: expr.span });
            }
            SelectItem::Wildcard(span) => {
                if self.level().items.is_empty() {
                    return Err(QueryError::syntax("SELECT * with no tables specified is not valid", *span));
                }
                let merged = self.level().merged.clone();
                for (name, ex, ty) in &merged {
                    let ex = self.through_keys(ex.clone());
                    out.push(OutputItem {
                        name: name.clone(),
                        is_alias: false,
                        bound: Typed::new(ex, ty.clone()),
                        span: *span,
                    });
                }
                for item in self.level().items.clone() {
                    self.all_columns(&item, &merged, *span, out);
                }
            }
            SelectItem::QualifiedWildcard(e) => {
                if let ExprKind::Name(name) = &e.kind
                    && let Some((0, item)) = self.resolve_alias(name)
                {
                    self.all_columns(&item, &[], e.span, out);
                    return Ok(());
                }
                if !self.partiql {
                    return Err(
                        QueryError::new(SqlState::UNDEFINED_TABLE, "missing FROM-clause entry for table").at(e.span)
                    );
                }
                // `path.*`: merged when the row is built.
                let bound = self.expr(e)?;
                out.push(OutputItem { name: Arc::from("*"), is_alias: false, bound, span: e.span });
            }
        }
        Ok(())
    }

    fn through_keys(&mut self, ex: Ex) -> Ex {
        match self.level().keys.iter().find(|(k, _)| *k == ex) {
            Some((_, slot)) => Ex::slot(*slot),
            None => ex,
        }
    }

    fn all_columns(
        &mut self,
        item: &super::scope::Item,
        merged: &[(Arc<str>, Ex, SqlType)],
        span: Span,
        out: &mut Vec<OutputItem>,
    ) {
        if self.partiql
            && let Some(whole) = &item.whole
        {
            let bound = Typed::new(whole.clone(), SqlType::Ion);
            // The mark tells the row builder to merge the struct's fields.
            out.push(OutputItem { name: Arc::from(format!("*{}", item.alias)), is_alias: false, bound, span });
            return;
        }
        let shown: Vec<&Column> =
            item.columns.iter().filter(|c| !c.hidden && !merged.iter().any(|(n, _, _)| *n == c.name)).collect();
        if shown.is_empty()
            && item.columns.iter().all(|c| c.hidden)
            && let Some(whole) = &item.whole
        {
            let bound = Typed::new(whole.clone(), SqlType::Ion);
            out.push(OutputItem { name: Arc::from("document"), is_alias: false, bound, span });
            return;
        }
        for column in shown {
            let ex = self.through_keys(column.ex.clone());
            let bound = Typed::new(ex, column.ty.clone());
            out.push(OutputItem { name: column.name.clone(), is_alias: false, bound, span });
        }
    }

    fn order_by(&mut self, order: &[OrderBy], items: &[OutputItem], distinct: &Distinct) -> Result<Vec<SortKey>> {
        let mut keys = Vec::with_capacity(order.len());
        for o in order {
            let output = match &o.expr.kind {
                ExprKind::Literal(Value::Int(Int::Small(n))) => Some(self.ordinal(*n, items.len(), o.expr.span)?),
                // An output column's name comes before a column's.
                ExprKind::Name(name) => items
                    .iter()
                    .position(|i| i.name == name.text && (i.is_alias || !self.partiql) && !i.name.starts_with('*')),
                _ => None,
            };
            let expr = match output {
                // PartiQL's rows are one struct: its fields are sorted by their expressions.
                Some(at) if self.partiql => {
                    SortExpr::Expr(items.get(at).map(|i| i.bound.ex.clone()).unwrap_or(Ex::NULL))
                }
                Some(at) => SortExpr::Output(at),
                None => {
                    let e = self.any(&o.expr)?;
                    match items.iter().position(|i| i.bound.ex == e) {
                        Some(at) if !self.partiql => SortExpr::Output(at),
                        _ => SortExpr::Expr(e),
                    }
                }
            };
            if matches!((&expr, distinct), (SortExpr::Expr(_), Distinct::Yes)) && !self.partiql {
                return Err(QueryError::new(
                    SqlState::INVALID_COLUMN_REFERENCE,
                    "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                )
                .at(o.expr.span));
            }
            keys.push(sort_key(expr, o));
        }
        Ok(keys)
    }

    fn distinct(&mut self, distinct: &Distinct, items: &[OutputItem], order: &[SortKey]) -> Result<DistinctPlan> {
        Ok(match distinct {
            Distinct::No => DistinctPlan::No,
            Distinct::Yes => DistinctPlan::Yes,
            Distinct::On(on) => {
                let mut keys = Vec::with_capacity(on.len());
                for e in on {
                    keys.push(match &e.kind {
                        ExprKind::Literal(Value::Int(Int::Small(n))) => {
                            let at = self.ordinal(*n, items.len(), e.span)?;
                            items.get(at).map(|i| i.bound.ex.clone()).unwrap_or(Ex::NULL)
                        }
                        ExprKind::Name(name) => match items.iter().find(|i| i.is_alias && i.name == name.text) {
                            Some(item) => item.bound.ex.clone(),
                            None => self.any(e)?,
                        },
                        _ => self.any(e)?,
                    });
                }
                // The first sort keys must be the ON expressions.
                for key in order.iter().take(keys.len()) {
                    let ex = match &key.expr {
                        SortExpr::Output(i) => items.get(*i).map(|i| &i.bound.ex),
                        SortExpr::Expr(e) => Some(e),
                    };
                    if ex.is_none_or(|e| !keys.contains(e)) {
                        return Err(QueryError::new(
                            SqlState::INVALID_COLUMN_REFERENCE,
                            "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
                        ));
                    }
                }
                DistinctPlan::On(keys)
            }
        })
    }

    /// Output expressions and result columns. PartiQL's rows are one value.
    fn outputs(
        &mut self,
        plan: &mut SelectPlan,
        items: Vec<OutputItem>,
        projection: &Projection,
    ) -> Result<Vec<OutputColumn>> {
        if self.partiql {
            let value = match projection {
                Projection::Items(_) => partiql_row(items),
                _ => items.into_iter().next().map(|i| i.bound.ex).unwrap_or(Ex::NULL),
            };
            plan.output = vec![value];
            return Ok(vec![(Arc::from("_1"), SqlType::Ion)]);
        }
        let mut columns = Vec::with_capacity(items.len());
        for item in items {
            let (ex, ty) = self.settle(item.bound, item.span)?;
            plan.output.push(ex);
            columns.push((item.name, ty));
        }
        if columns.len() > super::COLUMNS_MAX {
            return Err(QueryError::new(
                SqlState::TOO_MANY_COLUMNS,
                format!("a select list can have at most {} entries", super::COLUMNS_MAX),
            ));
        }
        Ok(columns)
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
    QueryPlan { body, limit: None, offset: None, arity, outer }
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

fn merge_outer(into: &mut Vec<At>, more: Vec<At>) {
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

/// PartiQL's row: a struct of the items, with the fields of `*` items side by side.
fn partiql_row(items: Vec<OutputItem>) -> Ex {
    if !items.iter().any(|i| i.name.starts_with('*')) {
        return Ex::Struct(items.into_iter().map(|i| (Ex::text(i.name), i.bound.ex)).collect());
    }
    Ex::Merge(
        items
            .into_iter()
            .map(|i| match i.name.strip_prefix('*') {
                Some("") => (Arc::from("_1"), i.bound.ex),
                Some(alias) => (Arc::from(alias), i.bound.ex),
                None => (i.name.clone(), Ex::Struct(vec![(Ex::text(i.name), i.bound.ex)])),
            })
            .collect(),
    )
}

/// The name PartiQL gives an item without alias: the last name of a path.
fn partiql_name(e: &Expr) -> Option<Arc<str>> {
    match &e.kind {
        ExprKind::Name(name) | ExprKind::LocalName(name) => Some(name.text.clone()),
        ExprKind::Path { steps, .. } => match steps.last() {
            Some(crate::ast::PathStep::Field(name)) => Some(name.text.clone()),
            Some(crate::ast::PathStep::Index(Expr { kind: ExprKind::Literal(Value::String(s)), .. })) => {
                Some(s.clone())
            }
            _ => None,
        },
        _ => None,
    }
}

/// PostgreSQL's `FigureColname`.
fn sql_name(e: &Expr) -> Arc<str> {
    let named = |n: &str| Arc::from(n);
    match &e.kind {
        ExprKind::Name(name) | ExprKind::LocalName(name) => name.text.clone(),
        ExprKind::Path { base, steps } => {
            let field = steps.iter().rev().find_map(|s| match s {
                crate::ast::PathStep::Field(name) => Some(name.text.clone()),
                _ => None,
            });
            field.unwrap_or_else(|| sql_name(base))
        }
        ExprKind::Function(call) => call.name.name.text.clone(),
        ExprKind::Cast { expr, ty } => match &*sql_name(expr) {
            "?column?" => {
                // The type's short name, as in `select '1'::int` giving int4.
                match SqlType::parse(ty) {
                    Ok(ty) => Arc::from(ty.catalogue_name()),
                    Err(_) => ty.name.clone(),
                }
            }
            name => named(name),
        },
        ExprKind::Case { otherwise, .. } => match otherwise.as_deref().map(sql_name) {
            Some(name) if &*name != "?column?" => name,
            _ => named("case"),
        },
        ExprKind::Exists(_) => named("exists"),
        ExprKind::ArraySubquery(_) | ExprKind::List(_) => named("array"),
        ExprKind::Subquery(query) => match &query.body {
            SetExpr::Select(select) => match &select.projection {
                Projection::Items(items) => match items.first() {
                    Some(SelectItem::Expr { alias: Some(alias), .. }) => alias.text.clone(),
                    Some(SelectItem::Expr { expr, .. }) => sql_name(expr),
                    _ => named("?column?"),
                },
                _ => named("?column?"),
            },
            _ => named("?column?"),
        },
        ExprKind::Row(_) => named("row"),
        ExprKind::Extract { .. } => named("extract"),
        ExprKind::Literal(Value::Bool(_)) => named("bool"),
        _ => named("?column?"),
    }
}

impl Binder<'_> {
    /// RETURNING: expressions and their columns over the level being bound.
    pub(super) fn returned_items(&mut self, items: &[SelectItem]) -> Result<(Vec<Ex>, Vec<OutputColumn>)> {
        let mut out = Vec::new();
        for item in items {
            self.select_item(item, &mut out)?;
        }
        if self.partiql {
            return Ok((vec![partiql_row(out)], vec![(Arc::from("_1"), SqlType::Ion)]));
        }
        let mut exprs = Vec::with_capacity(out.len());
        let mut columns = Vec::with_capacity(out.len());
        for item in out {
            let (ex, ty) = self.settle(item.bound, item.span)?;
            exprs.push(ex);
            columns.push((item.name, ty));
        }
        Ok((exprs, columns))
    }
}
