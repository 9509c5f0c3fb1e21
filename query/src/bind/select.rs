//! SELECT: its clauses bound in the order they see each other, grouping and windows taken apart, and the select list.

use std::sync::Arc;

use ledgerstone_digest::ion::{Int, Value};

use super::Binder;
use super::call::sort_key;
use super::expr::{in_order, not_in_order};
use super::names::{partiql_name, partiql_row, sql_name};
use super::plan::{At, DistinctPlan, Ex, SelectPlan, SortExpr, SortKey, WindowPlan};
use super::query::{OutputColumn, conjuncts, empty_select};
use super::scope::{Column, Level};
use super::types::Typed;
use crate::ast::{Distinct, Expr, ExprKind, Name, OrderBy, Projection, Select, SelectItem, Span};
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;

/// One item of a select list after `*` has been expanded.
pub(super) struct OutputItem {
    pub name: Arc<str>,
    /// The alias as written, which ORDER BY and GROUP BY may use.
    is_alias: bool,
    pub bound: Typed,
    span: Span,
}

impl Binder<'_> {
    pub(super) fn select(
        &mut self,
        select: &Select,
        order_by: &[OrderBy],
    ) -> Result<(SelectPlan, Vec<OutputColumn>, Vec<At>)> {
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
        let mut group = self.group_keys(&select.group_by, &aliases)?;
        self.level().clause = "SELECT";
        self.level().aggregates = Some(vec![]);
        self.level().windows = Some(vec![]);
        self.level().series_allowed = true;
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
        group.aggregates = self.level().aggregates.take().unwrap_or_default();
        group.groupings = std::mem::take(&mut self.level().groupings);
        let mut windows = self.level().windows.take().unwrap_or_default();
        let mut series = std::mem::take(&mut self.level().series);
        let grouped = !select.group_by.is_empty() || !group.aggregates.is_empty() || having.is_some();
        if grouped {
            let mut places: Vec<(&mut Ex, Span)> =
                items.iter_mut().map(|item| (&mut item.bound.ex, item.span)).collect();
            let own = (having.iter_mut())
                .chain(order.iter_mut().filter_map(sorted_expression))
                .chain(distinct_on(&mut distinct))
                .chain(windows.iter_mut().flat_map(window_expressions))
                .chain(series.iter_mut().flat_map(|(call, _)| &mut call.arguments));
            places.extend(own.map(|e| (e, select.span)));
            // What is computed after grouping reads keys and aggregates only.
            self.place_groups(places, &mut group)?;
            plan.group = Some(group);
        }
        plan.having = having;
        plan.windows = windows;
        plan.series = series;
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
                self.check_columns(items)?;
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
                let mut bound = self.expr(expr)?;
                self.keep_vector(&mut bound);
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
                let partiql = self.partiql;
                let level = self.level();
                let columns = level.starred(0..level.items.len(), partiql);
                self.all_columns(columns, *span, out);
            }
            SelectItem::QualifiedWildcard(e) => {
                let name = match &e.kind {
                    ExprKind::Name(name) => Some(name),
                    ExprKind::Path { base, steps } => match &base.kind {
                        ExprKind::Name(schema) => {
                            let (name, rest) = self.without_schema(schema, steps);
                            rest.is_empty().then_some(name)
                        }
                        _ => None,
                    },
                    _ => None,
                };
                if let Some(name) = name
                    && let Some((0, item)) = self.resolve_alias(name)
                {
                    self.all_columns(item.starred(self.partiql), e.span, out);
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

    /// A vector of the catalogue that is selected as it is stays one.
    fn keep_vector(&mut self, bound: &mut Typed) {
        let Some(array @ SqlType::Array(_)) = &bound.ty else { return };
        let columns = self.level().items.iter().flat_map(|i| &i.columns);
        let mut vectors = columns.filter(|c| matches!(c.ty, SqlType::Int2Vector | SqlType::OidVector));
        if let Some(column) = vectors.find(|c| c.ex == bound.ex && c.ty.clone().in_expressions() == *array) {
            bound.ty = Some(column.ty.clone());
        }
    }

    fn through_keys(&mut self, ex: Ex) -> Ex {
        match self.level().keys.iter().find(|(k, _)| *k == ex) {
            Some((_, slot)) => Ex::slot(*slot),
            None => ex,
        }
    }

    fn all_columns(&mut self, columns: Vec<Column>, span: Span, out: &mut Vec<OutputItem>) {
        for column in columns {
            let bound = Typed::new(self.through_keys(column.ex), column.ty);
            out.push(OutputItem { name: column.name, is_alias: false, bound, span });
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
            let (expr, ty) = match output {
                // PartiQL's rows are one struct: its fields are sorted by their expressions.
                Some(at) if self.partiql => {
                    (SortExpr::Expr(items.get(at).map(|i| i.bound.ex.clone()).unwrap_or(Ex::NULL)), SqlType::Ion)
                }
                Some(at) => (SortExpr::Output(at), type_of(items, at)),
                None => {
                    let bound = self.expr(&o.expr)?;
                    let (e, ty) = self.settle(bound, o.expr.span)?;
                    match items.iter().position(|i| i.bound.ex == e) {
                        Some(at) if !self.partiql => (SortExpr::Output(at), ty),
                        _ => (SortExpr::Expr(e), ty),
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
            let expr = match expr {
                SortExpr::Output(at) if ty == SqlType::Jsonb => {
                    SortExpr::Expr(in_order(items.get(at).map_or(Ex::NULL, |i| i.bound.ex.clone()), &ty))
                }
                SortExpr::Expr(e) if !self.partiql => SortExpr::Expr(in_order(e, &ty)),
                expr => expr,
            };
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
                        SortExpr::Expr(e) => Some(not_in_order(e)),
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
        if columns.len() > super::COLUMNS_MAX { Err(too_many_columns()) } else { Ok(columns) }
    }

    /// Whether the items may be columns, before each of them is bound. PartiQL's are the fields of one value.
    fn check_columns(&self, items: &[SelectItem]) -> Result<()> {
        if self.partiql || items.len() <= super::COLUMNS_MAX { Ok(()) } else { Err(too_many_columns()) }
    }

    /// RETURNING: expressions and their columns over the level being bound.
    pub(super) fn returned_items(&mut self, items: &[SelectItem]) -> Result<(Vec<Ex>, Vec<OutputColumn>)> {
        self.check_columns(items)?;
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

fn too_many_columns() -> QueryError {
    let message = format!("a select list can have at most {} entries", super::COLUMNS_MAX);
    QueryError::new(SqlState::TOO_MANY_COLUMNS, message).hint("Make an array or a jsonb object of them.")
}

fn sorted_expression(key: &mut SortKey) -> Option<&mut Ex> {
    match &mut key.expr {
        SortExpr::Expr(e) => Some(e),
        SortExpr::Output(_) => None,
    }
}

fn distinct_on(distinct: &mut DistinctPlan) -> impl Iterator<Item = &mut Ex> {
    let on = match distinct {
        DistinctPlan::On(on) => Some(on),
        _ => None,
    };
    on.into_iter().flatten()
}

fn window_expressions(window: &mut WindowPlan) -> impl Iterator<Item = &mut Ex> {
    let calls = window.calls.iter_mut().flat_map(|(call, _)| call.arguments.iter_mut().chain(call.filter.as_mut()));
    window.partition.iter_mut().chain(window.order.iter_mut().filter_map(sorted_expression)).chain(calls)
}

/// The type of an output column, if it has one.
fn type_of(items: &[OutputItem], at: usize) -> SqlType {
    items.get(at).and_then(|item| item.bound.ty.clone()).unwrap_or(SqlType::Text)
}
