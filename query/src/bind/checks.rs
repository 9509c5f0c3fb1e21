//! Defaults and check constraints of a table, which the catalogue keeps as texts, bound for what writes its rows.

use std::sync::Arc;

use super::Binder;
use super::plan::{Ex, TableChecks};
use super::scope::Level;
use crate::ast::{Expr, Projection, SelectItem, SetExpr, Span, Statement};
use crate::catalogue::{Column, Table};
use crate::error::{QueryError, Result};

impl Binder<'_> {
    /// Defaults and check constraints of a table, parsed from the catalogue and bound.
    pub(super) fn table_checks(&mut self, table: &Arc<Table>) -> Result<Arc<TableChecks>> {
        let mut checks = TableChecks { defaults: vec![], checks: vec![] };
        if !table.is_declared() {
            return Ok(Arc::new(checks));
        }
        // The catalogue's texts are SQL, whatever the statement is.
        let (partiql, levels) = (std::mem::replace(&mut self.partiql, false), std::mem::take(&mut self.levels));
        let bound = self.bind_checks(table, &mut checks);
        self.partiql = partiql;
        self.levels = levels;
        bound.map(|()| Arc::new(checks))
    }

    fn bind_checks(&mut self, table: &Arc<Table>, checks: &mut TableChecks) -> Result<()> {
        self.levels.push(Level { clause: "DEFAULT", ..Level::default() });
        for column in &table.columns {
            let default = self.default_of(column)?;
            checks.defaults.push(default);
        }
        self.levels.pop();
        if table.checks.is_empty() {
            return Ok(());
        }
        self.levels.push(Level { width: 1, clause: "CHECK", ..Level::default() });
        let item = self.row_item(table, 0, &table.name)?;
        self.level().items.push(item);
        for check in &table.checks {
            let e = parse_expression(&check.text)?;
            let bound = self.expr(&e).and_then(|b| self.condition(b, "CHECK", Span::default()));
            let ex = bound.map_err(|e| stored_text("check constraint", &check.name, e))?;
            checks.checks.push((check.name.clone(), ex));
        }
        self.levels.pop();
        Ok(())
    }

    pub(super) fn default_of(&mut self, column: &Column) -> Result<Option<Ex>> {
        let Some(text) = &column.default_text else { return Ok(None) };
        let e = parse_expression(text)?;
        let bound = self.expr(&e).and_then(|b| self.column_value(b, column, Span::default()));
        bound.map(Some).map_err(|e| stored_text("default of column", &column.name, e))
    }
}

/// An error in a text the catalogue keeps has no place in the statement.
pub(super) fn stored_text(what: &str, name: &str, mut error: QueryError) -> QueryError {
    error.span = None;
    error.detail(format!("It is in the {what} \"{name}\"."))
}

/// An expression the catalogue keeps as text.
pub(crate) fn parse_expression(text: &str) -> Result<Expr> {
    let parsed = crate::sql::parse(&format!("SELECT {text}"))?;
    let statement = parsed.into_iter().next().map(|p| p.statement);
    if let Some(Statement::Query(query)) = statement
        && let SetExpr::Select(select) = query.body
        && let Projection::Items(items) = select.projection
        && let Some(SelectItem::Expr { expr, .. }) = items.into_iter().next()
    {
        return Ok(expr);
    }
    Err(QueryError::internal(format!("\"{text}\" is no expression")))
}
