//! FROM: what each source is, and the columns it brings into scope.

use std::sync::Arc;

use ledgerstone_digest::ion::Value;

use super::Binder;
use super::plan::{Access, At, DocPart, Ex, Source, TableSource, ViewPlan};
use super::query::{CteName, renamed};
use super::row::presence_slot;
use super::scope::{Column, Item};
use super::types::CastContext;
use super::walk::own_slots;
use crate::ast::{Alias, AsOf, Expr, ExprKind, From, JoinKind, Name, PathStep, Span, TableName};
use crate::catalogue::Table;
use crate::error::{QueryError, Result, SqlState};
use crate::exec::slots_of;
use crate::function::table;
use crate::permission::Action;
use crate::types::SqlType;

/// FROM with names resolved, not yet in an order of execution.
#[derive(Debug)]
pub(crate) enum Tree {
    Leaf(Leaf),
    Join { kind: JoinKind, left: Box<Tree>, right: Box<Tree>, on: Vec<Ex> },
}

#[derive(Debug)]
pub(crate) struct Leaf {
    pub source: Source,
    pub label: Arc<str>,
    pub slots: Vec<u32>,
    /// Slots of sources before it that it needs.
    pub needs: Vec<u32>,
}

impl Tree {
    pub fn slots(&self) -> Vec<u32> {
        match self {
            Tree::Leaf(leaf) => leaf.slots.clone(),
            Tree::Join { left, right, .. } => left.slots().into_iter().chain(right.slots()).collect(),
        }
    }
}

impl Binder<'_> {
    pub(super) fn bind_from(&mut self, list: &[From]) -> Result<Vec<Tree>> {
        self.level().clause = "FROM";
        let mut trees = Vec::with_capacity(list.len());
        for from in list {
            trees.push(self.bind_source(from)?);
        }
        self.check_aliases()?;
        Ok(trees)
    }

    fn check_aliases(&mut self) -> Result<()> {
        let items: Vec<(Arc<str>, Span)> = self.level().items.iter().map(|i| (i.alias.clone(), i.span)).collect();
        for (i, (alias, span)) in items.iter().enumerate() {
            if !alias.is_empty() && items.iter().take(i).any(|(a, _)| a == alias) {
                return Err(QueryError::new(
                    SqlState::DUPLICATE_ALIAS,
                    format!("table name \"{alias}\" specified more than once"),
                )
                .at(*span));
            }
        }
        Ok(())
    }

    pub(super) fn bind_source(&mut self, from: &From) -> Result<Tree> {
        match from {
            From::Path { path, as_of, alias } => self.path_source(path, as_of.as_ref(), alias),
            From::Function { name, arguments, with_ordinality, alias, .. } => {
                self.function_source(name, arguments, *with_ordinality, alias)
            }
            From::Subquery { query, lateral, alias } => {
                let hidden = self.level().hidden;
                self.level().hidden = hidden || !lateral && !self.partiql;
                let read = self.working_read.len();
                let bound = self.query(query);
                self.level().hidden = hidden;
                let (plan, columns) = bound?;
                // Its rows are kept unless they depend on rows around it, or on the step that a recursion has come to.
                let changes = plan.is_correlated() || self.working_read.len() > read;
                let cache = if changes { None } else { Some(self.next_id()) };
                let needs = plan.outer.iter().filter(|at| at.depth == 1).map(|at| at.slot).collect();
                // The last slot is for whether there is a row.
                let first = self.level().slots(columns.len() + 1);
                let source = Source::Query { query: Arc::new(plan), first, cache };
                let name = alias.name.as_ref().map_or_else(|| Arc::from(""), |n| n.text.clone());
                if self.partiql {
                    return self.value_source(source, first, alias, name, needs);
                }
                self.column_source(source, first, columns, alias, name, needs)
            }
            From::Unpivot { expr, alias } => {
                let expr = self.any(expr)?;
                let (slot, at) = (self.level().slot(), alias.at.is_some().then(|| self.level().slot()));
                let needs = own_slots(&expr);
                let name = alias.name.as_ref().map_or_else(|| Arc::from(""), |n| n.text.clone());
                self.collection_item(Source::Unpivot { expr, slot, at }, (slot, at), alias, name, needs)
            }
            From::Expr { expr, alias } => {
                let e = self.any(expr)?;
                self.collection(e, alias, Arc::from(""))
            }
            From::Join { kind, left, right, on } => self.join(*kind, left, right, on),
        }
    }

    // Paths: tables, views, CTEs, or lists inside a variable

    fn path_source(&mut self, path: &Expr, as_of: Option<&AsOf>, alias: &Alias) -> Result<Tree> {
        let (first, rest) = match &path.kind {
            ExprKind::Name(name) => (name, &[][..]),
            ExprKind::Path { base, steps } => match &base.kind {
                ExprKind::Name(name) => (name, steps.as_slice()),
                _ => {
                    let e = self.any(path)?;
                    return self.collection(e, alias, Arc::from(""));
                }
            },
            // `@v` is a variable for certain.
            _ => {
                let e = self.any(path)?;
                return self.collection(e, alias, last_name(path));
            }
        };
        if let [PathStep::Field(name)] = rest
            && self.resolve_alias(first).is_none()
        {
            let table = TableName { schema: Some(first.clone()), name: name.clone() };
            return self.named_source(&table, as_of, alias, path.span);
        }
        let is_variable = self.resolve_alias(first).is_some() && (!rest.is_empty() || self.partiql);
        if is_variable || !rest.is_empty() {
            let e = self.any(path)?;
            return self.collection(e, alias, last_name(path));
        }
        self.named_source(&TableName { schema: None, name: first.clone() }, as_of, alias, path.span)
    }

    /// A common table that reads the queries around its own makes every query between depend on them. How many levels
    /// up from here its own query's surroundings begin.
    fn reads_outside(&mut self, cte: &CteName) -> usize {
        for (between, level) in self.levels.iter_mut().skip(cte.levels).enumerate() {
            let seen_from_here = cte.outer.iter().map(|at| At { depth: at.depth + between as u16, slot: at.slot });
            super::query::merge_outer(&mut level.outer, seen_from_here.collect());
        }
        self.levels.len().saturating_sub(cte.levels)
    }

    fn named_source(&mut self, name: &TableName, as_of: Option<&AsOf>, alias: &Alias, span: Span) -> Result<Tree> {
        let is_target = std::mem::take(&mut self.is_target);
        if name.schema.is_none() {
            self.not_itself(&name.name)?;
        }
        if name.schema.is_none()
            && !is_target
            && let Some(cte) = self.common_table_named(&name.name)?
        {
            if !cte.gives_rows {
                let message = format!("WITH query \"{}\" does not have a RETURNING clause", cte.name);
                return Err(QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(name.name.span));
            }
            if let Some(read) = self.ctes.get_mut(cte.id) {
                read.reads += 1;
            }
            let first = self.level().slots(cte.columns.len() + 1);
            let up = self.reads_outside(&cte);
            if self.working.contains(&cte.id) {
                self.working_read.push(cte.id);
            }
            let source = Source::Cte { id: cte.id, first, arity: cte.columns.len(), up };
            if self.partiql {
                return self.value_source(source, first, alias, cte.name, vec![]);
            }
            return self.column_source(source, first, cte.columns, alias, cte.name, vec![]);
        }
        if let Some(found) = self.virtual_table(name) {
            self.reads_catalogue = true;
            let columns = found.columns().iter().map(|(n, t)| (Arc::from(*n), t.clone())).collect::<Vec<_>>();
            let first = self.level().slots(columns.len());
            let oid = found.oid();
            let source = Source::Virtual { table: found, first };
            if self.partiql {
                return self.virtual_value(source, first, columns, alias, name, vec![]);
            }
            let tree = self.column_source(source, first, columns, alias, name.name.text.clone(), vec![])?;
            if let Some(oid) = oid
                && let Some(item) = self.level().items.last_mut()
            {
                // NULL where an outer join has found no row; the first column of these tables never is.
                let missing = Ex::IsNull { expr: Box::new(Ex::slot(first)), negated: false };
                let oid = Ex::Const(Some(Value::int(i64::from(oid))));
                let ex = Ex::Case { whens: vec![(missing, Ex::NULL)], otherwise: Some(Box::new(oid)) };
                item.columns.push(Column::hidden("tableoid", ex, SqlType::Oid));
            }
            return Ok(tree);
        }
        if let Some(base) = committed_name(&name.name) {
            let table = self.find_table(&TableName { schema: name.schema.clone(), name: base }, Action::Select)?;
            let view = self.view(as_of)?;
            return self.table_source(table, view, Rows::Committed, alias, name.name.text.clone(), span);
        }
        let table = self.find_table(name, Action::Select)?;
        let view = self.view(as_of)?;
        self.table_source(table, view, Rows::Documents, alias, name.name.text.clone(), span)
    }

    fn view(&mut self, as_of: Option<&AsOf>) -> Result<ViewPlan> {
        Ok(match as_of {
            None => ViewPlan::Current,
            Some(AsOf::Timestamp(e)) => {
                let bound = self.expr(e)?;
                let is_number = bound.ty.as_ref().is_some_and(SqlType::is_integer);
                let moment = self.coerce(bound, &SqlType::TimestampTz, CastContext::Explicit, e.span);
                ViewPlan::AsOfTime(moment.map_err(|error| match is_number {
                    true => error.hint("A block is named by AS OF BLOCK n."),
                    false => error,
                })?)
            }
            Some(AsOf::Block(e)) => {
                let bound = self.expr(e)?;
                ViewPlan::AsOfBlock(self.coerce(bound, &SqlType::Int8, CastContext::Explicit, e.span)?)
            }
        })
    }

    /// A table by name, noted for the plan with what is done to it; 42P01 with the nearest name if there is none.
    pub(super) fn find_table(&mut self, name: &TableName, action: Action) -> Result<Arc<Table>> {
        if let Some(schema) = &name.schema
            && !matches!(&*schema.text.to_ascii_lowercase(), "public")
        {
            return Err(QueryError::new(
                SqlState::UNDEFINED_TABLE,
                format!("relation \"{}.{}\" does not exist", schema.text, name.name.text),
            )
            .at(schema.span.to(name.name.span)));
        }
        let mut found = self.tx.table(&name.name.text)?;
        if found.is_none() && !name.name.quoted && name.name.written != name.name.text {
            found = self.tx.table(&name.name.written)?;
        }
        match found {
            Some(table) => {
                self.note_table(&table, action);
                Ok(table)
            }
            None => Err(self.no_table(&name.name)),
        }
    }

    pub(super) fn note_table(&mut self, table: &Arc<Table>, action: Action) {
        if !self.uses.iter().any(|(t, a)| t.id == table.id && *a == action) {
            self.uses.push((table.clone(), action));
        }
        if !self.tables.iter().any(|t| t.id == table.id) {
            self.tables.push(table.clone());
        }
    }

    fn no_table(&self, name: &Name) -> QueryError {
        let catalogue = self.tx.catalogue();
        let what = if self.partiql { "no such table:" } else { "relation" };
        let message = match self.partiql {
            true => format!("{what} \"{}\"", name.text),
            false => format!("{what} \"{}\" does not exist", name.text),
        };
        let error = QueryError::new(SqlState::UNDEFINED_TABLE, message).at(name.span);
        // Only what the user may know of is named to them.
        let seen = catalogue.active_tables().filter(|table| self.session.sees(table));
        let names: Vec<Arc<str>> = seen.map(|table| table.name.clone()).collect();
        match super::scope::closest(&name.text, names.iter().map(|n| &**n)) {
            Some(near) => error.hint(format!("Perhaps you meant the table \"{near}\".")),
            None => error,
        }
    }

    fn virtual_table(&self, name: &TableName) -> Option<Arc<dyn crate::catalogue::VirtualTable>> {
        let schema = name.schema.as_ref().map(|s| s.text.to_ascii_lowercase());
        crate::catalogue::virtual_table(schema.as_deref(), &name.name.text.to_ascii_lowercase())
    }

    fn table_source(
        &mut self,
        table: Arc<Table>,
        view: ViewPlan,
        rows: Rows,
        alias: &Alias,
        name: Arc<str>,
        span: Span,
    ) -> Result<Tree> {
        self.read.push(table.id);
        let slot = self.level().slot();
        let mut needs = Vec::new();
        match &view {
            ViewPlan::Current => {}
            ViewPlan::AsOfTime(e) | ViewPlan::AsOfBlock(e) => needs.extend(own_slots(e)),
            ViewPlan::History { from, to } => {
                for e in [from, to].into_iter().flatten() {
                    needs.extend(own_slots(e));
                }
            }
        }
        let alias_name = alias.name.as_ref().map_or(name, |n| n.text.clone());
        let item = self.table_item(&table, slot, rows, &alias_name, alias, span)?;
        self.level().items.push(item);
        if let Some(by) = &alias.by {
            let id = Ex::Doc { at: At { depth: 0, slot }, part: DocPart::Id };
            let ty = if self.partiql { SqlType::Ion } else { SqlType::Text };
            self.variable(by, id, ty);
        }
        if let Some(at) = &alias.at {
            return Err(QueryError::unsupported("AT for a table")
                .at(at.span)
                .hint("AT numbers the elements of a list."));
        }
        let label =
            if *alias_name == *table.name { table.name.clone() } else { format!("{} {alias_name}", table.name).into() };
        let source = Source::Table(Box::new(TableSource { table, slot, view, access: Access::Scan }));
        Ok(Tree::Leaf(Leaf { source, label, slots: vec![slot], needs }))
    }

    /// The columns a table brings into scope.
    pub(super) fn table_item(
        &self,
        table: &Arc<Table>,
        slot: u32,
        rows: Rows,
        alias_name: &Arc<str>,
        alias: &Alias,
        span: Span,
    ) -> Result<Item> {
        let at = At { depth: 0, slot };
        let whole = match rows {
            Rows::Documents => Ex::Slot(at),
            _ => Ex::Doc { at, part: DocPart::Committed },
        };
        let mut item = Item {
            alias: alias_name.clone(),
            columns: vec![],
            whole: Some(whole),
            open: self.partiql || !table.is_declared(),
            table: Some(table.clone()),
            doc: Some(slot),
            span,
            ..Item::default()
        };
        if self.partiql {
            return Ok(item);
        }
        let doc = |part| Ex::Doc { at, part };
        let hide = |mut column: Column, hidden: bool| {
            column.hidden = hidden;
            column
        };
        let committed = [
            ("blockaddress", DocPart::BlockAddress, SqlType::Ion),
            ("hash", DocPart::Hash, SqlType::Bytea),
            ("data", DocPart::Data, SqlType::Ion),
            ("metadata", DocPart::Metadata, SqlType::Ion),
        ];
        if rows == Rows::Committed {
            item.columns.extend(committed.clone().map(|(n, p, t)| Column::new(n, doc(p), t)));
        }
        for (name, part, ty, shown) in METADATA {
            item.columns.push(hide(Column::new(*name, doc(*part), ty.clone()), rows != Rows::History || !shown));
        }
        for column in &table.columns {
            let field = Ex::Field { at, name: column.name.clone(), any_case: false };
            let ex = match &column.ty {
                // Intervals stand in documents as their texts.
                SqlType::Interval => {
                    Ex::Cast { expr: Box::new(field), from: Some(SqlType::Text), to: SqlType::Interval, explicit: true }
                }
                _ => field,
            };
            item.columns.push(hide(Column::new(column.name.clone(), ex, column.ty.clone()), rows == Rows::Committed));
        }
        if rows == Rows::History {
            for (name, part, ty) in committed {
                if !item.columns.iter().any(|c| &*c.name == name) {
                    let shown = name == "data" && !table.is_declared();
                    item.columns.push(hide(Column::new(name, doc(part), ty), !shown));
                }
            }
        }
        if !table.is_declared() && rows == Rows::Documents {
            item.columns.push(Column::hidden("_ql_data", doc(DocPart::Data), SqlType::Ion));
        }
        // Only declared columns of a committed or history row are fields by themselves.
        item.open = !table.is_declared() && rows == Rows::Documents;
        let given: Vec<&Name> = alias.columns.iter().collect();
        for (column, name) in item.columns.iter_mut().filter(|c| !c.hidden).zip(given) {
            column.name = name.text.clone();
        }
        Ok(item)
    }

    /// A variable by itself: BY and AT.
    fn variable(&mut self, name: &Name, ex: Ex, ty: SqlType) {
        let item = Item {
            alias: Arc::from(""),
            columns: vec![Column::hidden(name.text.clone(), ex, ty)],
            span: name.span,
            ..Item::default()
        };
        self.level().items.push(item);
    }

    // Sources whose rows are columns

    pub(super) fn column_source(
        &mut self,
        source: Source,
        first: u32,
        columns: Vec<(Arc<str>, SqlType)>,
        alias: &Alias,
        name: Arc<str>,
        needs: Vec<u32>,
    ) -> Result<Tree> {
        let name = alias.name.as_ref().map_or(name, |n| n.text.clone());
        let span = alias.name.as_ref().map(|n| n.span).unwrap_or_default();
        let columns = renamed(columns, &alias.columns)?;
        let presence = presence_slot(&source);
        let columns = columns
            .into_iter()
            .enumerate()
            .map(|(i, (n, ty))| Column::new(n, Ex::slot(first + i as u32), ty))
            .collect();
        let item = Item { alias: name.clone(), columns, presence, span, ..Item::default() };
        self.level().items.push(item);
        Ok(Tree::Leaf(Leaf { slots: slots_of(&source), source, label: name, needs }))
    }

    /// PartiQL: rows of one value.
    fn value_source(
        &mut self,
        source: Source,
        first: u32,
        alias: &Alias,
        name: Arc<str>,
        needs: Vec<u32>,
    ) -> Result<Tree> {
        let name = alias.name.as_ref().map_or(name, |n| n.text.clone());
        let whole = Some(Ex::slot(first));
        let item = Item {
            alias: name.clone(),
            whole,
            open: true,
            span: alias.name.as_ref().map(|n| n.span).unwrap_or_default(),
            ..Item::default()
        };
        self.level().items.push(item);
        Ok(Tree::Leaf(Leaf { slots: slots_of(&source), source, label: name, needs }))
    }

    /// PartiQL: a virtual table's rows as structs.
    pub(super) fn virtual_value(
        &mut self,
        source: Source,
        first: u32,
        columns: Vec<(Arc<str>, SqlType)>,
        alias: &Alias,
        name: &TableName,
        needs: Vec<u32>,
    ) -> Result<Tree> {
        let fields = columns.iter().enumerate();
        let fields = fields.map(|(i, (n, _))| (Ex::text(n.clone()), Ex::slot(first + i as u32))).collect();
        let alias_name = alias.name.as_ref().map_or_else(|| name.name.text.clone(), |n| n.text.clone());
        let named = columns
            .iter()
            .enumerate()
            .map(|(i, (n, _))| Column::hidden(n.clone(), Ex::slot(first + i as u32), SqlType::Ion));
        let item = Item {
            alias: alias_name.clone(),
            columns: named.collect(),
            whole: Some(Ex::Struct(fields)),
            span: name.name.span,
            ..Item::default()
        };
        self.level().items.push(item);
        Ok(Tree::Leaf(Leaf { slots: slots_of(&source), source, label: alias_name, needs }))
    }

    // Lists

    fn collection(&mut self, expr: Ex, alias: &Alias, name: Arc<str>) -> Result<Tree> {
        let slot = self.level().slot();
        // The number of the element is kept where an UPDATE may need its place.
        let at = (alias.at.is_some() || self.partiql).then(|| self.level().slot());
        if let Some(number) = at {
            self.element_places.push((slot, expr.clone(), number));
        }
        let needs = own_slots(&expr);
        let name = alias.name.as_ref().map_or(name, |n| n.text.clone());
        self.collection_item(Source::Collection { expr, slot, at }, (slot, at), alias, name, needs)
    }

    fn collection_item(
        &mut self,
        source: Source,
        (slot, at): (u32, Option<u32>),
        alias: &Alias,
        name: Arc<str>,
        needs: Vec<u32>,
    ) -> Result<Tree> {
        if let Some(by) = &alias.by {
            return Err(QueryError::unsupported("BY for anything but a table").at(by.span));
        }
        let mut columns = Vec::new();
        if !self.partiql {
            let column = alias.columns.first().map_or_else(|| name.clone(), |n| n.text.clone());
            columns.push(Column::new(column, Ex::slot(slot), SqlType::Ion));
        }
        let item = Item {
            alias: name.clone(),
            columns,
            whole: Some(Ex::slot(slot)),
            open: true,
            span: alias.name.as_ref().map(|n| n.span).unwrap_or_default(),
            ..Item::default()
        };
        self.level().items.push(item);
        if let (Some(name), Some(at)) = (&alias.at, at) {
            self.variable(name, Ex::slot(at), SqlType::Ion);
        }
        Ok(Tree::Leaf(Leaf { slots: slots_of(&source), source, label: name, needs }))
    }

    // Functions

    fn function_source(
        &mut self,
        name: &TableName,
        arguments: &[Expr],
        ordinality: bool,
        alias: &Alias,
    ) -> Result<Tree> {
        let function: Arc<str> = Arc::from(name.name.text.to_ascii_lowercase());
        if &*function == "history" {
            return self.history_source(arguments, alias, name.name.span);
        }
        if matches!(&*function, "diff" | "changes") {
            return self.changes_source(name, arguments, &*function == "diff", alias);
        }
        let (calls, columns) = if table::is_table_function(&function) {
            // `unnest(a, b)`: the elements of several arrays side by side.
            let each =
                if &*function == "unnest" && arguments.len() > 1 && !self.partiql { 1 } else { arguments.len().max(1) };
            let (mut calls, mut columns) = (Vec::new(), Vec::<(Arc<str>, SqlType)>::new());
            for arguments in arguments.chunks(each).chain(arguments.is_empty().then_some(arguments)) {
                let (call, names) = self.table_call(&function, arguments, name.name.span)?;
                calls.push(call);
                columns.extend(names.into_iter().map(|(name, ty)| (Arc::from(name), ty)));
            }
            (calls, columns)
        } else {
            // Any other function is a row of its one value.
            let call = crate::ast::FunctionCall::new(name.clone(), arguments.to_vec());
            let bound = self.function(&call, name.name.span)?;
            let (value, ty) = self.settle(bound, name.name.span)?;
            let call = super::plan::TableCall {
                function: table::TableFunction::Unnest,
                arguments: vec![Ex::List(vec![value])],
                arity: 1,
            };
            (vec![call], vec![(function.clone(), ty)])
        };
        let needs: Vec<u32> = calls.iter().flat_map(|c| c.arguments.iter().flat_map(own_slots)).collect();
        let first = self.level().slots(columns.len());
        let ordinality_slot = ordinality.then(|| self.level().slot());
        let mut columns = columns;
        // A function of one column gives it the alias's name.
        if let ([only], Some(alias_name)) = (columns.as_mut_slice(), &alias.name)
            && alias.columns.is_empty()
            && !function.starts_with("json")
        {
            only.0 = alias_name.text.clone();
        }
        if ordinality {
            columns.push((Arc::from("ordinality"), SqlType::Int8));
        }
        let source = Source::Function { calls, first, ordinality: ordinality_slot };
        if self.partiql {
            return self.value_source(source, first, alias, function, needs);
        }
        self.column_source(source, first, columns, alias, function, needs)
    }

    /// `history(t [, from [, to]])`, the table by name or, as a string, by id or name.
    fn history_source(&mut self, arguments: &[Expr], alias: &Alias, span: Span) -> Result<Tree> {
        let Some((table, times)) = arguments.split_first() else {
            return Err(QueryError::new(
                SqlState::UNDEFINED_FUNCTION,
                "history needs a table: history(t [, from [, to]])",
            )
            .at(span));
        };
        if times.len() > 2 {
            return Err(
                QueryError::new(SqlState::TOO_MANY_ARGUMENTS, "history takes a table and two times at most").at(span)
            );
        }
        let found = self.table_argument(table, "history")?;
        let mut bounds = Vec::new();
        for e in times {
            let bound = self.expr(e)?;
            bounds.push(self.coerce(bound, &SqlType::TimestampTz, CastContext::Explicit, e.span)?);
        }
        let mut bounds = bounds.into_iter();
        let view = ViewPlan::History { from: bounds.next(), to: bounds.next() };
        self.table_source(found, view, Rows::History, alias, Arc::from("history"), span)
    }

    /// The table that a function is about, by name or, as a string, by id or name.
    pub(super) fn table_argument(&mut self, table: &Expr, function: &str) -> Result<Arc<Table>> {
        match &table.kind {
            ExprKind::Name(name) => {
                self.find_table(&TableName { schema: None, name: name.clone() }, Action::HistoryFunction)
            }
            ExprKind::Path { base, steps }
                if let (ExprKind::Name(schema), [PathStep::Field(name)]) = (&base.kind, steps.as_slice()) =>
            {
                let name = TableName { schema: Some(schema.clone()), name: name.clone() };
                self.find_table(&name, Action::HistoryFunction)
            }
            ExprKind::Literal(value) if value.as_text().is_some() => {
                let text = value.as_text().unwrap_or_default();
                self.table_by_text(text, table.span)
            }
            _ => Err(QueryError::new(
                SqlState::UNDEFINED_TABLE,
                format!("{function} needs the name or the id of a table"),
            )
            .at(table.span)),
        }
    }

    fn table_by_text(&mut self, text: &str, span: Span) -> Result<Arc<Table>> {
        let by_id = match text.parse() {
            Ok(id) => self.tx.table_by_id(id)?,
            Err(_) => None,
        };
        let found = match by_id {
            Some(table) => Some(table),
            None => self.tx.table_written(text)?,
        };
        match found {
            Some(table) => {
                self.note_table(&table, Action::HistoryFunction);
                Ok(table)
            }
            None => Err(QueryError::new(
                SqlState::UNDEFINED_TABLE,
                format!("there is no table with the name or id \"{text}\""),
            )
            .at(span)),
        }
    }
}

/// What a table source's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    Documents,
    /// `_ql_committed_t`
    Committed,
    History,
}

/// Metadata as columns: name, part, type, and whether `SELECT * FROM history(t)` shows it.
const METADATA: &[(&str, DocPart, SqlType, bool)] = &[
    ("_ql_id", DocPart::Id, SqlType::Text, true),
    ("_ql_version", DocPart::Version, SqlType::Int8, true),
    ("_ql_txtime", DocPart::TxTime, SqlType::TimestampTz, true),
    ("_ql_txid", DocPart::TxId, SqlType::Text, true),
    ("_ql_block", DocPart::Block, SqlType::Int8, true),
    ("_ql_position", DocPart::Position, SqlType::Int8, true),
    ("_ql_deleted", DocPart::Deleted, SqlType::Bool, true),
    ("_ql_supersedes", DocPart::Supersedes, SqlType::Int8, false),
    ("_ql_successor", DocPart::Successor, SqlType::Int8, false),
    ("_ql_hash", DocPart::Hash, SqlType::Bytea, false),
    ("_ql_data_hash", DocPart::DataHash, SqlType::Bytea, false),
    ("_ql_table_id", DocPart::TableId, SqlType::Text, false),
];

/// `_ql_committed_t` names the committed view of `t`.
fn committed_name(name: &Name) -> Option<Name> {
    let strip = |text: &Arc<str>| -> Option<Arc<str>> {
        let prefix = text.get(..14)?;
        prefix.eq_ignore_ascii_case("_ql_committed_").then(|| text.get(14..).map(Arc::from))?
    };
    Some(Name { text: strip(&name.text)?, written: strip(&name.written)?, quoted: name.quoted, span: name.span })
}

/// What a path is called when it has no alias: its last name.
fn last_name(path: &Expr) -> Arc<str> {
    match &path.kind {
        ExprKind::Name(name) | ExprKind::LocalName(name) => name.text.clone(),
        ExprKind::Path { base, steps } => match steps.last() {
            Some(PathStep::Field(name)) => name.text.clone(),
            _ => last_name(base),
        },
        _ => Arc::from(""),
    }
}
