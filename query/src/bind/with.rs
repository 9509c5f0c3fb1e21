//! WITH: common tables, recursive ones too.

use std::sync::Arc;

use super::Binder;
use super::plan::{Cte, CteRows, QueryBody};
use super::query::{CteName, plain, renamed};
use crate::ast::{CommonRows, CommonTable, ExprKind, Name, Query, SetExpr, SetOp, Statement};
use crate::error::{QueryError, Result, SqlState};

impl Binder<'_> {
    /// Binds what stands behind a WITH, which knows its names.
    pub(super) fn within_with<T>(
        &mut self,
        with: &[CommonTable],
        recursive: bool,
        bind: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        for (at, table) in with.iter().enumerate() {
            if with.iter().take(at).any(|other| other.name.text == table.name.text) {
                let message = format!("WITH query name \"{}\" specified more than once", table.name.text);
                return Err(QueryError::new(SqlState::DUPLICATE_ALIAS, message).at(table.name.span));
            }
        }
        if recursive {
            return self.within_recursive(with, bind);
        }
        let named = self.cte_names.len();
        for table in with {
            // Of the query it belongs to it sees nothing, of those around that one all: their levels are there already.
            let name = self.common_table_alone(table, false)?;
            self.cte_names.push(name);
        }
        let bound = bind(self);
        self.cte_names.truncate(named);
        bound
    }

    /// Refuses the name of a change in WITH RECURSIVE inside of it.
    pub(super) fn not_itself(&self, name: &Name) -> Result<()> {
        match self.changing.contains(&name.text) {
            true => {
                let message = format!("recursive query \"{}\" must not contain data-modifying statements", name.text);
                Err(QueryError::new(SqlState::INVALID_RECURSION, message).at(name.span))
            }
            false => Ok(()),
        }
    }

    pub(super) fn common_table_alone(&mut self, table: &CommonTable, recursive: bool) -> Result<CteName> {
        let name = table.name.text.clone();
        let query = match &table.rows {
            CommonRows::Change(change) => return self.changing_table(table, recursive, change),
            CommonRows::Query(query) => query,
        };
        if recursive
            && let SetExpr::Operation { op: SetOp::Union, all, left, right } = &query.body
            && mentions(right, &name)
        {
            return self.recursive_table(table, query, *all, left, right);
        }
        let read = self.working_read.len();
        let (query, columns) = self.query(query)?;
        let columns = renamed(columns, &table.columns)?;
        let id = self.ctes.len();
        let follows = self.follows_steps(id, read);
        let (levels, outer) = (self.levels.len(), query.outer.clone());
        let cte = CteName { name: name.clone(), id, columns, gives_rows: true, levels, outer };
        let outside = follows || !cte.outer.is_empty();
        self.ctes.push(Cte { name, rows: CteRows::Query(Arc::new(query)), outside, reads: 0 });
        Ok(cte)
    }

    /// An INSERT, UPDATE or DELETE, and the rows of its RETURNING.
    fn changing_table(&mut self, table: &CommonTable, recursive: bool, change: &Statement) -> Result<CteName> {
        self.changing.extend(recursive.then(|| table.name.text.clone()));
        let (body, columns) = self.statement(change)?;
        self.changing.clear();
        let name = table.name.text.clone();
        let gives_rows = columns.is_some();
        let columns = renamed(columns.unwrap_or_default(), &table.columns)?;
        let id = self.ctes.len();
        self.ctes.push(Cte { name: name.clone(), rows: CteRows::Change(body), outside: false, reads: 0 });
        Ok(CteName { name, id, columns, gives_rows, levels: self.levels.len(), outer: vec![] })
    }

    /// Whether a common table reads one that changes from step to step, so that it changes as well: what was read since then.
    fn follows_steps(&mut self, id: usize, read: usize) -> bool {
        let follows = self.working_read.len() > read;
        self.working.extend(follows.then_some(id));
        follows
    }

    fn recursive_table(
        &mut self,
        table: &CommonTable,
        query: &Query,
        all: bool,
        left: &SetExpr,
        right: &SetExpr,
    ) -> Result<CteName> {
        let name = table.name.text.clone();
        let read = self.working_read.len();
        if !query.order_by.is_empty() || query.limit.is_some() {
            return Err(QueryError::unsupported("ORDER BY or LIMIT in a recursive query").at(query.span));
        }
        let (base, columns) = self.set_expr(left)?;
        let columns = renamed(columns, &table.columns)?;
        let id = self.ctes.len();
        let (levels, mut outer) = (self.levels.len(), base.outer.clone());
        let rows = CteRows::Query(Arc::new(base));
        self.ctes.push(Cte { name: name.clone(), rows, outside: false, reads: 0 });
        let gives_rows = true;
        let mut cte = CteName { name: name.clone(), id, columns: columns.clone(), gives_rows, levels, outer: vec![] };
        self.cte_names.push(cte.clone());
        let working = self.working.len();
        self.working.push(id);
        let step = self.set_expr(right);
        self.working.truncate(working);
        self.cte_names.pop();
        // Inside another recursive term: what it reads of that one's tables, which are all older than its own.
        self.working_read.retain(|at| *at < id);
        let follows = self.follows_steps(id, read);
        let (mut step, step_columns) = step?;
        let read_outside = step.outer.clone();
        if step_columns.len() != columns.len() {
            return Err(QueryError::new(
                SqlState::SYNTAX_ERROR,
                "each UNION query must have the same number of columns",
            )
            .at(table.name.span));
        }
        for (i, ((column, a), (_, b))) in columns.iter().zip(&step_columns).enumerate() {
            if !self.partiql && !crate::function::same_kind(a, b) && crate::function::implicit_cost(b, a).is_none() {
                return Err(QueryError::new(
                    SqlState::DATATYPE_MISMATCH,
                    format!(
                        "recursive query \"{name}\" column {} has type {a} in non-recursive term but type {b} overall",
                        i + 1
                    ),
                )
                .at(table.name.span)
                .hint(format!(
                    "Cast the output of the non-recursive term to the correct type (column \"{column}\")."
                )));
            }
        }
        if let Some(casts) = self.casts(&step_columns, &columns) {
            step = plain(
                QueryBody::Set {
                    op: SetOp::Union,
                    all: true,
                    left: Box::new(step),
                    right: Box::new(plain(QueryBody::Values { rows: vec![], order: vec![] }, columns.len(), vec![])),
                    left_casts: Some(casts),
                    right_casts: None,
                    order: vec![],
                },
                columns.len(),
                read_outside.clone(),
            );
        }
        super::query::merge_outer(&mut outer, read_outside);
        if let Some(cte) = self.ctes.get_mut(id)
            && let CteRows::Query(base) = &cte.rows
        {
            cte.rows = CteRows::Recursive { base: Arc::clone(base), step: Arc::new(step), all };
            cte.outside = follows || !outer.is_empty();
        }
        cte.outer = outer;
        Ok(cte)
    }
}

/// Whether a set expression ranges over a table of this name.
fn mentions(body: &SetExpr, name: &str) -> bool {
    fn from(f: &crate::ast::From, name: &str) -> bool {
        use crate::ast::From;
        match f {
            From::Path { path, .. } => matches!(&path.kind, ExprKind::Name(n) if &*n.text == name),
            From::Subquery { query, .. } => within(query, name),
            From::Join { left, right, .. } => from(left, name) || from(right, name),
            _ => false,
        }
    }
    /// A common table of its own may read it, or take its name.
    fn within(query: &Query, name: &str) -> bool {
        let reads = |table: &CommonTable| matches!(&table.rows, CommonRows::Query(query) if within(query, name));
        query.with.iter().any(reads)
            || !query.with.iter().any(|table| &*table.name.text == name) && mentions(&query.body, name)
    }
    match body {
        SetExpr::Select(select) => select.from.iter().any(|f| from(f, name)),
        SetExpr::Query(query) => within(query, name),
        SetExpr::Operation { left, right, .. } => mentions(left, name) || mentions(right, name),
        _ => false,
    }
}
