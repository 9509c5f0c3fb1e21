//! INSERT, UPDATE and DELETE bound: targets, values brought to the columns' types, and RETURNING.

use std::sync::Arc;

use super::Binder;
use super::checks::stored_text;
use super::from::{Rows, Tree};
use super::identity::{all_default, always_at_path, destinations, leave_uncomputed, without_identities};
use super::plan::{
    At, Body, ChangePlan, ConflictPlan, DeletePlan, Ex, InsertPlan, InsertRows, Node, Source, Step, UpdatePlan,
};
use super::query::{OutputColumn, conjuncts, plain};
use super::scope::{Item, Level, closest};
use super::types::{CastContext, Typed};
use super::untyped::{typed_as, untyped_items};
use crate::ast::{
    Alias, Assignment, Change, Delete, Expr, ExprKind, From, Insert, InsertSource, Name, OnConflict, Overriding,
    PathStep, Query, SelectItem, SetExpr, Span, TableName, Update,
};
use crate::catalogue::{Column, Index, PathStep as IndexStep, Table};
use crate::error::{QueryError, Result, SqlState};
use crate::permission::Action;
use crate::types::SqlType;

pub(super) type Bound = (Body, Option<Vec<OutputColumn>>);
type Returning = (Option<Vec<Ex>>, Option<Vec<OutputColumn>>);

impl Binder<'_> {
    pub(super) fn insert(&mut self, insert: &Insert) -> Result<Bound> {
        self.within_with(&insert.with, insert.recursive, |binder| binder.insert_without_with(insert))
    }

    fn insert_without_with(&mut self, insert: &Insert) -> Result<Bound> {
        let table = self.writable(&insert.table)?;
        self.changed.push(table.id);
        let source = self.insert_rows(&table, &insert.columns, insert.overriding, &insert.source)?;
        let checks = self.table_checks(&table)?;
        // The level of ON CONFLICT and RETURNING: slot 0 the row, slot 1 what was proposed.
        self.levels.push(Level { width: 2, ..Level::default() });
        let alias = insert.alias.as_ref().map_or(table.name.clone(), |a| a.text.clone());
        let item = self.row_item(&table, 0, &alias)?;
        self.level().items.push(item.clone());
        let conflict = match &insert.on_conflict {
            Some(on) => {
                if on.update.is_some() {
                    self.note_table(&table, Action::Update);
                    self.note_table(&table, Action::Select);
                }
                Some(self.late(|binder| binder.conflict(&table, on))?)
            }
            None => None,
        };
        self.level().items = vec![item];
        if !insert.returning.is_empty() {
            self.note_table(&table, Action::Select);
        }
        let (returning, columns) = self.returning(&insert.returning)?;
        let width = self.level().width as usize;
        self.levels.pop();
        let document_ids = self.partiql && returning.is_none();
        let columns = if document_ids { Some(document_id_columns()) } else { columns };
        let gives_identities = insert.overriding == Some(Overriding::System);
        let plan = InsertPlan { table, source, gives_identities, checks, conflict, returning, width, document_ids };
        Ok((Body::Insert(Box::new(plan)), columns))
    }

    /// What is inserted, for these columns.
    pub(super) fn insert_rows(
        &mut self,
        table: &Arc<Table>,
        columns: &[Name],
        overriding: Option<Overriding>,
        source: &InsertSource,
    ) -> Result<InsertRows> {
        match source {
            InsertSource::DefaultValues => Ok(InsertRows::Defaults),
            InsertSource::Document { expr, single } => {
                self.levels.push(Level { clause: "VALUES", ..Level::default() });
                let bound = self.any(expr);
                self.levels.pop();
                Ok(InsertRows::Documents { expr: bound?, single: *single })
            }
            InsertSource::Query(query) => self.insert_query(table, columns, overriding, query),
        }
    }

    /// COPY: documents from a parameter.
    pub(super) fn insert_parameter(&mut self, table: &Arc<Table>) -> Result<Body> {
        self.note_table(table, Action::Insert);
        let checks = self.table_checks(table)?;
        self.params = vec![Some(SqlType::Ion)];
        Ok(Body::Insert(Box::new(InsertPlan {
            table: table.clone(),
            source: InsertRows::Documents { expr: Ex::Param(0), single: false },
            // As in PostgreSQL, what is copied in brings the values of every column.
            gives_identities: true,
            checks,
            conflict: None,
            returning: None,
            width: 2,
            document_ids: false,
        })))
    }

    fn writable(&mut self, name: &TableName) -> Result<Arc<Table>> {
        self.not_itself(&name.name)?;
        if crate::catalogue::virtual_table(
            name.schema.as_ref().map(|s| s.text.to_ascii_lowercase()).as_deref(),
            &name.name.text.to_ascii_lowercase(),
        )
        .is_some()
        {
            return Err(QueryError::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("\"{}\" cannot be changed by statements", name.name.text),
            )
            .at(name.name.span));
        }
        self.find_table(name, Action::Insert)
    }

    pub(super) fn row_item(&mut self, table: &Arc<Table>, slot: u32, alias: &Arc<str>) -> Result<Item> {
        self.table_item(table, slot, Rows::Documents, alias, &Alias::default(), Span::default())
    }

    fn insert_query(
        &mut self,
        table: &Arc<Table>,
        names: &[Name],
        overriding: Option<Overriding>,
        query: &Query,
    ) -> Result<InsertRows> {
        if self.partiql {
            if !names.is_empty() {
                return Err(QueryError::unsupported("INSERT with a list of columns in PartiQL"));
            }
            return Ok(InsertRows::DocumentQuery(self.query(query)?.0));
        }
        if !table.is_declared() {
            return self.insert_fields(names, query);
        }
        let mut targets = self.insert_targets(table, names)?;
        // An identity column that is DEFAULT in every row gets its values as if it were not named.
        let narrowed = values_of(query).and_then(|(rows, _)| without_identities(table, &mut targets, rows, query));
        let (query, names) = match &narrowed {
            Some((query, names)) => (query, names.as_slice()),
            None => (query, names),
        };
        let types: Vec<SqlType> = targets.iter().filter_map(|t| table.columns.get(*t)).map(|c| c.ty.clone()).collect();
        let (mut plan, width) = match values_of(query) {
            Some((rows, span)) => {
                let rows = self.with_defaults(rows, &targets, table)?;
                let width = rows.first().map_or(0, Vec::len);
                check_width(width, &targets, names, span)?;
                let (plan, columns) = self.values_as(&rows, span, Some(&types))?;
                (plan, columns.len())
            }
            None => {
                let typed = typed_as(&query.body, &untyped_items(&query.body), &types);
                let typed = typed.map(|body| Query { body, ..query.clone() });
                let (plan, columns) = self.query(typed.as_ref().unwrap_or(query))?;
                check_width(columns.len(), &targets, names, query.span)?;
                let width = columns.len();
                (self.cast_columns(plan, columns, &types, query.span)?, width)
            }
        };
        targets.truncate(width);
        let is_default = |at| values_of(query).is_some_and(|(rows, _)| all_default(rows, at));
        let place = |at: usize| names.get(at).map_or(query.span, |name| name.span);
        let columns = destinations(table, &targets, overriding, is_default, place)?;
        leave_uncomputed(&mut plan, &columns);
        Ok(InsertRows::Columns { columns, query: plan })
    }

    /// DEFAULT in a VALUES list stands for the column's default expression.
    fn with_defaults(&mut self, rows: &[Vec<Expr>], targets: &[usize], table: &Table) -> Result<Vec<Vec<Expr>>> {
        let mut out = rows.to_vec();
        for row in &mut out {
            for (e, target) in row.iter_mut().zip(targets) {
                let is_default = matches!(e.kind, ExprKind::Default);
                if !is_default {
                    continue;
                }
                if let Some(column) = table.columns.get(*target) {
                    *e = self.default_expr(table, column, e.span)?;
                }
            }
        }
        Ok(out)
    }

    fn insert_fields(&mut self, names: &[Name], query: &Query) -> Result<InsertRows> {
        let (plan, columns) = self.query(query)?;
        if names.is_empty() {
            let [(_, SqlType::Jsonb | SqlType::Ion | SqlType::Text)] = columns.as_slice() else {
                return Err(QueryError::new(
                    SqlState::SYNTAX_ERROR,
                    "INSERT into a table without columns needs a list of fields or one jsonb value",
                )
                .at(query.span)
                .hint("INSERT INTO t (a, b) VALUES (1, 2), or INSERT INTO t VALUES ('{\"a\": 1}'::jsonb)."));
            };
            let plan = self.cast_columns(plan, columns, &[SqlType::Jsonb], query.span)?;
            return Ok(InsertRows::DocumentQuery(plan));
        }
        if names.len() != columns.len() {
            return Err(wrong_width(columns.len(), names.len(), query.span));
        }
        Ok(InsertRows::Fields { names: names.iter().map(|n| n.written.clone()).collect(), query: plan })
    }

    fn insert_targets(&mut self, table: &Table, names: &[Name]) -> Result<Vec<usize>> {
        if names.is_empty() {
            return Ok((0..table.columns.len()).collect());
        }
        let mut targets = Vec::with_capacity(names.len());
        for name in names {
            let at = column_at(table, name)?;
            if targets.contains(&at) {
                return Err(QueryError::new(
                    SqlState::DUPLICATE_COLUMN,
                    format!("column \"{}\" specified more than once", name.text),
                )
                .at(name.span));
            }
            targets.push(at);
        }
        Ok(targets)
    }

    /// A query's columns brought to these types on the way into a table.
    fn cast_columns(
        &mut self,
        plan: super::plan::QueryPlan,
        columns: Vec<OutputColumn>,
        types: &[SqlType],
        span: Span,
    ) -> Result<super::plan::QueryPlan> {
        let arity = columns.len();
        let mut casts = Vec::with_capacity(arity);
        let mut same = true;
        for (i, ((name, from), to)) in columns.iter().zip(types).enumerate() {
            same &= from == to;
            let value = Typed::new(Ex::slot(i as u32), from.clone());
            casts.push(self.assigned(value, to, CastContext::Assignment, span).map_err(|e| {
                QueryError::new(
                    SqlState::DATATYPE_MISMATCH,
                    format!("column \"{name}\" is of type {to} but expression is of type {from}"),
                )
                .at(span)
                .hint(e.hint.unwrap_or_else(|| "You will need to rewrite or cast the expression.".to_owned()))
            })?);
        }
        if same {
            return Ok(plan);
        }
        let outer = plan.outer.clone();
        let empty = plain(super::plan::QueryBody::Values { rows: vec![], order: vec![] }, arity, vec![]);
        let body = super::plan::QueryBody::Set {
            op: crate::ast::SetOp::Union,
            all: true,
            left: Box::new(plan),
            right: Box::new(empty),
            left_casts: Some(casts),
            right_casts: None,
            order: vec![],
        };
        Ok(plain(body, arity, outer))
    }

    fn conflict(&mut self, table: &Arc<Table>, on: &OnConflict) -> Result<ConflictPlan> {
        let unique: Vec<Arc<Index>> = table.usable_indexes().filter(|i| i.unique).cloned().collect();
        let indexes = if let Some(constraint) = &on.constraint {
            let found = unique.into_iter().find(|i| i.is_constraint() && *i.name == *constraint.text);
            vec![found.ok_or_else(|| {
                QueryError::new(
                    SqlState::UNDEFINED_OBJECT,
                    format!("constraint \"{}\" for table \"{}\" does not exist", constraint.text, table.name),
                )
                .at(constraint.span)
            })?]
        } else if on.target.is_empty() {
            if on.update.is_some() {
                return Err(QueryError::new(
                    SqlState::SYNTAX_ERROR,
                    "ON CONFLICT DO UPDATE requires inference specification or constraint name",
                )
                .hint("For example, ON CONFLICT (column_name)."));
            }
            unique
        } else {
            let wanted = |i: &Index| {
                i.paths.len() == on.target.len()
                    && on.target.iter().all(|n| {
                        i.paths.iter().any(
                            |p| matches!(p.as_slice(), [IndexStep::Field(f)] if **f == *n.text || **f == *n.written),
                        )
                    })
            };
            let found = unique.into_iter().find(|i| wanted(i));
            vec![found.ok_or_else(|| {
                QueryError::new(
                    SqlState::INVALID_COLUMN_REFERENCE,
                    "there is no unique or exclusion constraint matching the ON CONFLICT specification",
                )
                .at(on.target.first().map(|n| n.span).unwrap_or_default())
            })?]
        };
        let Some((assignments, filter)) = &on.update else { return Ok(ConflictPlan { indexes, update: None }) };
        let excluded = self.row_item(table, 1, &Arc::from("excluded"))?;
        // Names without a qualifier are the row's, so those of `excluded` are only there qualified.
        let mut excluded = excluded;
        for column in &mut excluded.columns {
            column.hidden = true;
        }
        excluded.open = false;
        self.level().items.push(excluded);
        let changes = self.assignments(table, assignments, 0)?;
        let filter = match filter {
            Some(e) => {
                let bound = self.expr(e)?;
                Some(self.condition(bound, "WHERE", e.span)?)
            }
            None => None,
        };
        Ok(ConflictPlan { indexes, update: Some((changes, filter)) })
    }

    fn returning(&mut self, items: &[SelectItem]) -> Result<Returning> {
        if items.is_empty() {
            return Ok((None, None));
        }
        self.level().clause = "RETURNING";
        let (exprs, columns) = self.late(|binder| binder.returned_items(items))?;
        Ok((Some(exprs), Some(columns)))
    }

    /// What is computed row by row while documents change.
    fn late<T>(&mut self, bind: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let (subqueries, read) = (self.subqueries, self.read.len());
        let bound = bind(self)?;
        if self.subqueries > subqueries {
            self.reads_late.get_or_insert(read);
        }
        Ok(bound)
    }

    // UPDATE and DELETE

    pub(super) fn update(&mut self, update: &Update) -> Result<Bound> {
        self.within_with(&update.with, update.recursive, |binder| binder.update_without_with(update))
    }

    fn update_without_with(&mut self, update: &Update) -> Result<Bound> {
        self.levels.push(Level::default());
        let (table, slot, trees) = self.target(&update.from)?;
        self.note_table(&table, Action::Update);
        self.level().clause = "UPDATE";
        let mut changes = Vec::with_capacity(update.changes.len());
        for change in &update.changes {
            changes.push(self.change(&table, change, slot)?);
            if let Change::Set(assignment) = change
                && !self.partiql
            {
                refuse_second(&changes, assignment)?;
            }
        }
        if changes.iter().any(|change| matches!(change, ChangePlan::Delete)) {
            self.note_table(&table, Action::Delete);
        }
        let filter = self.where_clause(update.filter.as_ref())?;
        let (returning, columns) = self.returning(&update.returning)?;
        let (from, filter) = self.target_plan(trees, filter)?;
        let width = self.level().width as usize;
        self.levels.pop();
        let checks = self.table_checks(&table)?;
        let document_ids = self.partiql && returning.is_none();
        let columns = if document_ids { Some(document_id_columns()) } else { columns };
        let plan = UpdatePlan { table, slot, width, from, filter, changes, checks, returning, document_ids };
        Ok((Body::Update(Box::new(plan)), columns))
    }

    pub(super) fn delete(&mut self, delete: &Delete) -> Result<Bound> {
        self.within_with(&delete.with, delete.recursive, |binder| binder.delete_without_with(delete))
    }

    fn delete_without_with(&mut self, delete: &Delete) -> Result<Bound> {
        self.levels.push(Level::default());
        let (table, slot, trees) = self.target(&delete.from)?;
        self.note_table(&table, Action::Delete);
        let filter = self.where_clause(delete.filter.as_ref())?;
        let (returning, columns) = self.returning(&delete.returning)?;
        let (from, filter) = self.target_plan(trees, filter)?;
        let width = self.level().width as usize;
        self.levels.pop();
        let document_ids = self.partiql && returning.is_none();
        let columns = if document_ids { Some(document_id_columns()) } else { columns };
        let plan = DeletePlan { table, slot, width, from, filter, returning, document_ids };
        Ok((Body::Delete(Box::new(plan)), columns))
    }

    /// The table that changes, its slot, and all sources.
    pub(super) fn target(&mut self, from: &[From]) -> Result<(Arc<Table>, u32, Vec<Tree>)> {
        self.is_target = true;
        let trees = self.bind_from(from);
        self.is_target = false;
        let trees = trees?;
        if let Some(Tree::Leaf(leaf)) = trees.first()
            && let Source::Table(source) = &leaf.source
            && matches!(source.view, super::plan::ViewPlan::Current)
        {
            let item = self.level().items.iter().find(|item| item.doc == Some(source.slot));
            let is_committed = item.is_some_and(|item| matches!(item.whole, Some(Ex::Doc { .. })));
            if !is_committed {
                self.changed.push(source.table.id);
                return Ok((source.table.clone(), source.slot, trees));
            }
        }
        let span = match from.first() {
            Some(From::Path { path, .. }) => path.span,
            _ => Span::default(),
        };
        Err(QueryError::new(SqlState::WRONG_OBJECT_TYPE, "only the current documents of a table can be changed")
            .at(span))
    }

    fn where_clause(&mut self, filter: Option<&Expr>) -> Result<Vec<Ex>> {
        self.level().clause = "WHERE";
        match filter {
            Some(e) => {
                let bound = self.expr(e)?;
                Ok(conjuncts(self.condition(bound, "WHERE", e.span)?))
            }
            None => Ok(vec![]),
        }
    }

    fn target_plan(&mut self, trees: Vec<Tree>, filter: Vec<Ex>) -> Result<(Node, Vec<Ex>)> {
        let (node, rest) = self.plan_from(trees, filter)?;
        Ok((node.ok_or_else(|| QueryError::internal("nothing to change"))?, rest))
    }

    fn change(&mut self, table: &Arc<Table>, change: &Change, slot: u32) -> Result<ChangePlan> {
        match change {
            Change::Set(assignment) => self.assignment(table, assignment, slot),
            Change::Insert { path, value, at } => {
                let target = self.place_in_document(path, slot)?;
                let value = self.any(value)?;
                not_always(table, &target, path.span)?;
                let at = at.as_ref().map(|e| self.any(e)).transpose()?;
                Ok(ChangePlan::InsertInto { path: target, value, at })
            }
            Change::Remove { path } => {
                let target = self.place_in_document(path, slot)?;
                not_always(table, &target, path.span)?;
                Ok(if target.is_empty() { ChangePlan::Delete } else { ChangePlan::Remove { path: target } })
            }
        }
    }

    /// What SET says, each column once.
    pub(super) fn assignments(
        &mut self,
        table: &Arc<Table>,
        assignments: &[Assignment],
        slot: u32,
    ) -> Result<Vec<ChangePlan>> {
        let mut changes = Vec::with_capacity(assignments.len());
        for assignment in assignments {
            changes.push(self.assignment(table, assignment, slot)?);
            refuse_second(&changes, assignment)?;
        }
        Ok(changes)
    }

    fn assignment(&mut self, table: &Arc<Table>, assignment: &Assignment, slot: u32) -> Result<ChangePlan> {
        let Assignment { target, value } = assignment;
        let path = match (self.partiql, table.is_declared()) {
            (false, true) => self.column_place(table, target, slot)?,
            (false, false) => self.field_place(target, slot)?,
            _ => self.place_in_document(target, slot)?,
        };
        if path.is_empty() {
            return Err(QueryError::unsupported("setting a whole document").at(target.span).hint("Set its fields."));
        }
        // A declared column by itself takes values of its type.
        let column = match path.as_slice() {
            [Step::Field { name, .. }] => table.columns.iter().position(|c| c.name == *name),
            _ => None,
        };
        let is_default = matches!(value.kind, ExprKind::Default);
        if is_default && let Some(declared) = column.and_then(|c| table.columns.get(c)) {
            let default = self.default_expr(table, declared, value.span)?;
            let bound = self.expr(&default).and_then(|bound| self.column_value(bound, declared, value.span));
            let value = bound.map_err(|e| stored_text("default of column", &declared.name, e))?;
            return Ok(ChangePlan::Set { path, value, column });
        }
        let bound = self.expr(value)?;
        let value = match column.and_then(|c| table.columns.get(c)) {
            Some(declared) => self.column_value(bound, declared, value.span).map_err(|e| e.at(value.span))?,
            None => self.settle(bound, value.span)?.0,
        };
        not_always(table, &path, target.span)?;
        Ok(ChangePlan::Set { path, value, column })
    }

    pub(super) fn column_value(&mut self, bound: Typed, column: &Column, span: Span) -> Result<Ex> {
        let from = bound.ty.clone();
        if self.partiql {
            return Ok(bound.ex);
        }
        self.assigned(bound, &column.ty, CastContext::Assignment, span).map_err(|e| match (&from, e.code) {
            (Some(from), SqlState::DATATYPE_MISMATCH) => QueryError::new(
                SqlState::DATATYPE_MISMATCH,
                format!("column \"{}\" is of type {} but expression is of type {from}", column.name, column.ty),
            )
            .at(span)
            .hint("You will need to rewrite or cast the expression."),
            _ => e,
        })
    }

    /// SQL: a declared column, or a place inside a jsonb one.
    fn column_place(&mut self, table: &Table, target: &Expr, slot: u32) -> Result<Vec<Step>> {
        let (name, steps) = match &target.kind {
            ExprKind::Name(name) => (name, &[][..]),
            ExprKind::Path { base, steps } => match &base.kind {
                ExprKind::Name(name) => (name, steps.as_slice()),
                _ => return Err(QueryError::syntax("a column is needed here", target.span)),
            },
            _ => return Err(QueryError::syntax("a column is needed here", target.span)),
        };
        // `SET t.column = …` is no column of t in PostgreSQL; as a kindness the alias is skipped.
        let (name, steps) = match steps.split_first() {
            Some((PathStep::Field(field), rest))
                if column_at(table, name).is_err() && super::scope::same_name(&self.alias_of(slot), name) =>
            {
                (field, rest)
            }
            _ => (name, steps),
        };
        let at = column_at(table, name)?;
        let column = table.columns.get(at).ok_or_else(|| QueryError::internal("no such column"))?;
        if !steps.is_empty() && !matches!(column.ty, SqlType::Jsonb | SqlType::Ion) {
            return Err(QueryError::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("there are no places inside column \"{}\" of type {}", column.name, column.ty),
            )
            .at(target.span));
        }
        let mut path = vec![Step::Field { name: column.name.clone(), any_case: false }];
        path.extend(self.steps(steps)?);
        Ok(path)
    }

    /// What the table whose documents stand in a slot is called here.
    fn alias_of(&mut self, slot: u32) -> Arc<str> {
        let item = self.level().items.iter().find(|item| item.doc == Some(slot));
        item.map(|item| item.alias.clone()).unwrap_or_default()
    }

    /// SQL on a schemaless table: a field, or a place inside one.
    fn field_place(&mut self, target: &Expr, slot: u32) -> Result<Vec<Step>> {
        let alias = self.alias_of(slot);
        match &target.kind {
            ExprKind::Name(name) => Ok(vec![super::field_step(name, false)]),
            ExprKind::Path { base, steps } => {
                let ExprKind::Name(name) = &base.kind else {
                    return Err(QueryError::syntax("a field is needed here", target.span));
                };
                let mut path = Vec::new();
                if !super::scope::same_name(&alias, name) {
                    path.push(super::field_step(name, false));
                }
                path.extend(self.steps(steps)?);
                Ok(path)
            }
            _ => Err(QueryError::syntax("a field is needed here", target.span)),
        }
    }

    /// PartiQL: a place in the document. A variable that ranges over a list inside it stands for its element.
    fn place_in_document(&mut self, target: &Expr, slot: u32) -> Result<Vec<Step>> {
        let (name, steps) = match &target.kind {
            ExprKind::Name(name) | ExprKind::LocalName(name) => (name, &[][..]),
            ExprKind::Path { base, steps } => match &base.kind {
                ExprKind::Name(name) | ExprKind::LocalName(name) => (name, steps.as_slice()),
                _ => return Err(QueryError::syntax("a path into the document is needed here", target.span)),
            },
            _ => return Err(QueryError::syntax("a path into the document is needed here", target.span)),
        };
        if !self.partiql {
            return self.field_place(target, slot);
        }
        let mut path = Vec::new();
        match self.level().items.iter().find(|i| *i.alias == *name.text).cloned() {
            Some(item) if item.doc == Some(slot) => {}
            Some(item) => path = self.element_place(&item, slot, target.span)?,
            None => path.push(super::field_step(name, true)),
        }
        path.extend(self.steps(steps)?);
        Ok(path)
    }

    /// Where the element a variable stands for lies in the document: the list's path and the element's number.
    fn element_place(&mut self, item: &Item, slot: u32, span: Span) -> Result<Vec<Step>> {
        let outside = || {
            QueryError::new(SqlState::WRONG_OBJECT_TYPE, "only places in the table's documents can be changed").at(span)
        };
        let Some(Ex::Slot(at)) = &item.whole else { return Err(outside()) };
        let place = self.element_places.iter().find(|(s, _, _)| *s == at.slot).cloned();
        let (_, expr, number) = place.ok_or_else(outside)?;
        let mut path = match &expr {
            Ex::Field { at, name, any_case } if at.slot == slot => {
                vec![Step::Field { name: name.clone(), any_case: *any_case }]
            }
            Ex::Field { at, name, any_case } => {
                let mut path = self.inner_place(*at, slot, span)?;
                path.push(Step::Field { name: name.clone(), any_case: *any_case });
                path
            }
            Ex::Path { base, steps } => {
                let mut path = match &**base {
                    Ex::Slot(at) if at.slot == slot => vec![],
                    Ex::Slot(at) => self.inner_place(*at, slot, span)?,
                    Ex::Field { at, name, any_case } if at.slot == slot => {
                        vec![Step::Field { name: name.clone(), any_case: *any_case }]
                    }
                    _ => return Err(outside()),
                };
                path.extend(steps.iter().cloned());
                path
            }
            _ => return Err(outside()),
        };
        path.push(Step::Index(Box::new(Ex::slot(number))));
        Ok(path)
    }

    fn inner_place(&mut self, at: At, slot: u32, span: Span) -> Result<Vec<Step>> {
        let whole = Ex::Slot(at);
        let item = self.level().items.iter().find(|i| i.whole.as_ref() == Some(&whole)).cloned();
        match item {
            Some(item) => self.element_place(&item, slot, span),
            None => Err(QueryError::unsupported("changing this place").at(span)),
        }
    }
}

/// A column that is GENERATED ALWAYS is set to DEFAULT only.
fn not_always(table: &Table, path: &[Step], span: Span) -> Result<()> {
    match always_at_path(table, path) {
        Some(column) => Err(column.only_default().at(span)),
        None => Ok(()),
    }
}

/// A column is set once: which of two values it is to have nobody has said.
fn refuse_second(changes: &[ChangePlan], assignment: &Assignment) -> Result<()> {
    let column = |change: &ChangePlan| match change {
        ChangePlan::Set { path, .. } => match path.as_slice() {
            [Step::Field { name, .. }] => Some(name.clone()),
            _ => None,
        },
        _ => None,
    };
    let Some((last, before)) = changes.split_last() else { return Ok(()) };
    match column(last) {
        Some(name) if before.iter().any(|change| column(change).as_ref() == Some(&name)) => {
            let message = format!("multiple assignments to same column \"{name}\"");
            Err(QueryError::new(SqlState::SYNTAX_ERROR, message).at(assignment.target.span))
        }
        _ => Ok(()),
    }
}

fn document_id_columns() -> Vec<OutputColumn> {
    vec![(Arc::from("_1"), SqlType::Ion)]
}

/// The rows of a plain VALUES list.
fn values_of(query: &Query) -> Option<(&[Vec<Expr>], Span)> {
    let plain = query.with.is_empty() && query.order_by.is_empty() && query.limit.is_none() && query.offset.is_none();
    match &query.body {
        SetExpr::Values { rows, span } if plain => Some((rows, *span)),
        _ => None,
    }
}

fn check_width(width: usize, targets: &[usize], names: &[Name], span: Span) -> Result<()> {
    if width > targets.len() || !names.is_empty() && width < targets.len() {
        return Err(wrong_width(width, targets.len(), span));
    }
    Ok(())
}

fn wrong_width(values: usize, columns: usize, span: Span) -> QueryError {
    let message = if values > columns {
        "INSERT has more expressions than target columns"
    } else {
        "INSERT has more target columns than expressions"
    };
    QueryError::new(SqlState::SYNTAX_ERROR, message).at(span)
}

fn column_at(table: &Table, name: &Name) -> Result<usize> {
    let found = table.columns.iter().position(|c| super::scope::same_name(&c.name, name));
    found.ok_or_else(|| {
        let error = QueryError::new(
            SqlState::UNDEFINED_COLUMN,
            format!("column \"{}\" of relation \"{}\" does not exist", name.text, table.name),
        )
        .at(name.span);
        match closest(&name.text, table.columns.iter().map(|c| &*c.name)) {
            Some(near) => error.hint(format!("Perhaps you meant the column \"{near}\".")),
            None => error,
        }
    })
}
