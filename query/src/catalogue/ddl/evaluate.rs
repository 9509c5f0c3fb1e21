//! Where a definition needs the executor: defaults for rows that are there, checks over them, and CREATE TABLE AS. Each is
//! run as the statement a user could have written, with the rights and within the time of the one who defines.

use std::sync::Arc;

use ledgerstone_digest::Id;
use ledgerstone_digest::ion::Value;

use super::{DdlOutcome, Table, check_name, table, table_name};
use crate::ast::{
    Alias, AsQuery, CreateTable, Expr, ExprKind, From, Insert, InsertSource, Name, Projection, Query, Select,
    SelectItem, SetExpr, Span, Statement, TableName, TypeName, UnaryOp,
};
use crate::bind::plan::Plan;
use crate::bind::{self, PlanContext, parse_expression};
use crate::catalogue::Column;
use crate::error::{QueryError, Result, SqlState};
use crate::exec::{self, Outcome, storable};
use crate::function::quote_ident;
use crate::session::{Dialect, SessionInfo};
use crate::transaction::Transaction;
use crate::types::SqlType;

/// What PostgreSQL calls a check in its errors.
const CHECK: &str = "check constraint";

/// The value of an expression without columns, as a column of this type, for every document of the table: one may differ from
/// the next.
pub(super) fn for_every_row(
    tx: &mut Transaction,
    table: &Table,
    expr: &Expr,
    (ty, column): (&TypeName, &SqlType),
    info: &SessionInfo,
) -> Result<Vec<Option<Value>>> {
    let query = select(cast(expr, ty), vec![from_table(table, expr.span)], None);
    let value = |row: Vec<Option<Value>>| row.into_iter().next().flatten().filter(|v| !v.is_null());
    let plan = part_of(tx, query, "DEFAULT expression", info)?;
    // It tells nothing of the rows but how many there are.
    permit_others(&plan, table.id, info)?;
    Ok(rows(tx, &plan, info)?.into_iter().map(|row| value(row).map(|v| storable(v, column))).collect())
}

/// Refuses defaults and checks of a table that would make every INSERT and UPDATE fail: they are bound as an INSERT binds them.
pub(super) fn must_take_rows(tx: &mut Transaction, id: Id, info: &SessionInfo) -> Result<()> {
    let Some(table) = tx.table_by_id(id)?.filter(|table| table.is_declared()) else { return Ok(()) };
    let insert = Statement::Insert(Box::new(Insert {
        with: Vec::new(),
        recursive: false,
        table: TableName { schema: None, name: name(&table.name, Span::default()) },
        alias: None,
        columns: Vec::new(),
        overriding: None,
        source: InsertSource::DefaultValues,
        on_conflict: None,
        returning: Vec::new(),
    }));
    let plan = bind::plan(&mut context(tx, info), &insert)?;
    permit_others(&plan, id, info)
}

/// The highest number in a column; nothing if there is none.
pub(super) fn highest(tx: &mut Transaction, table: &Table, column: &Name, info: &SessionInfo) -> Result<Option<i64>> {
    let max = parse_expression(&format!("max({})", quote_ident(&column.text)))?;
    let query = select(max, vec![from_table(table, column.span)], None);
    let plan = bind::plan(&mut context(tx, info), &Statement::Query(Box::new(query)))?;
    // The answer tells of the rows what their reader could ask.
    info.permit_plan(&plan)?;
    let row = rows(tx, &plan, info)?.into_iter().next().unwrap_or_default();
    Ok(row.first().and_then(|value| value.as_ref()?.as_i64()))
}

/// Whether a document of the table makes a check false.
pub(super) fn is_violated(tx: &mut Transaction, table: &Table, check: &Expr, info: &SessionInfo) -> Result<bool> {
    let plan = part_of(tx, violations(table, check), CHECK, info)?;
    // The answer tells of the rows what their reader could ask.
    info.permit_plan(&plan)?;
    Ok(!rows(tx, &plan, info)?.is_empty())
}

/// Refuses a check that names what a declared table does not have, or that is no condition, when it is defined rather
/// than at the first insert.
pub(super) fn check_is_sound(tx: &mut Transaction, table: &Table, check: &Expr, info: &SessionInfo) -> Result<()> {
    let plan = part_of(tx, violations(table, check), CHECK, info)?;
    permit_others(&plan, table.id, info)
}

/// Refuses a default that is no value of its column's type, as far as that is given, or that needs more than itself.
pub(super) fn default_is_sound(
    tx: &mut Transaction,
    default: &Expr,
    ty: Option<&TypeName>,
    info: &SessionInfo,
) -> Result<()> {
    let value = ty.map_or_else(|| default.clone(), |ty| cast(default, ty));
    match part_of(tx, select(value, Vec::new(), None), "DEFAULT expression", info) {
        Err(error) if error.code == SqlState::UNDEFINED_COLUMN => {
            let refused =
                QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, "cannot use column reference in DEFAULT expression");
            Err(QueryError { span: error.span, ..refused })
        }
        bound => info.permit_plan(&*bound?),
    }
}

/// A document that makes a check false.
fn violations(table: &Table, check: &Expr) -> Query {
    let one = Expr { kind: ExprKind::Literal(Value::int(1)), span: check.span };
    let from = from_table(table, check.span);
    let not = ExprKind::Unary { op: UnaryOp::Not, expr: Box::new(check.clone()) };
    let mut query = select(one.clone(), vec![from], Some(Expr { kind: not, span: check.span }));
    query.limit = Some(one);
    query
}

fn from_table(table: &Table, span: Span) -> From {
    let path = Expr { kind: ExprKind::Name(name(&table.name, span)), span };
    From::Path { path, as_of: None, alias: Alias::default() }
}

fn cast(expr: &Expr, ty: &TypeName) -> Expr {
    Expr { kind: ExprKind::Cast { expr: Box::new(expr.clone()), ty: ty.clone() }, span: expr.span }
}

/// `CREATE TABLE t AS query`: the columns are the query's, the documents its rows.
pub(super) fn create_as(
    tx: &mut Transaction,
    create: &CreateTable,
    made: &AsQuery,
    salted: bool,
    info: &SessionInfo,
) -> Result<DdlOutcome> {
    let statement = Statement::Query(Box::new(made.query.clone()));
    let plan = bind::plan(&mut context(tx, info), &statement)?;
    info.permit_plan(&plan)?;
    let columns = columns_of(&plan, made)?;
    let id = table::create_table(tx, table_name(&create.name)?.clone(), columns, salted)?;
    let outcome = DdlOutcome::done("CREATE TABLE AS", id);
    if made.no_data {
        return Ok(outcome);
    }
    // What it changes in its WITH is changed by the statement as a whole.
    let mut query = made.query.clone();
    let (with, recursive) = match query.changes_documents() {
        true => (std::mem::take(&mut query.with), query.recursive),
        false => (Vec::new(), false),
    };
    let insert = Statement::Insert(Box::new(Insert {
        with,
        recursive,
        table: create.name.clone(),
        alias: None,
        columns: Vec::new(),
        overriding: None,
        source: InsertSource::Query(Box::new(query)),
        on_conflict: None,
        returning: Vec::new(),
    }));
    let plan = bind::plan(&mut context(tx, info), &insert)?;
    // Who may make a table may fill it while it is made.
    permit_others(&plan, id, info)?;
    match exec::run(&plan, tx, &[], info)? {
        Outcome::Affected { count, .. } => Ok(DdlOutcome { rows: Some(count), ..outcome }),
        Outcome::Rows { .. } => Err(QueryError::internal("an INSERT answered with rows")),
    }
}

/// The columns of a table that is made of a query, the first of them by the names that are given.
fn columns_of(plan: &Plan, made: &AsQuery) -> Result<Vec<Column>> {
    let found = plan.columns().map_or(&[][..], |c| &c[..]);
    if let Some(surplus) = made.columns.get(found.len()) {
        return Err(QueryError::syntax("too many column names were specified", surplus.span)
            .hint(format!("The query has {} columns.", found.len())));
    }
    let mut columns: Vec<Column> = Vec::with_capacity(found.len());
    for (at, column) in found.iter().enumerate() {
        let name = made.columns.get(at).cloned().unwrap_or_else(|| name(&column.name, made.query.span));
        check_name(&name, "column")?;
        if columns.iter().any(|c| c.name == name.text) {
            let message = format!("column \"{}\" specified more than once", name.text);
            return Err(QueryError::new(SqlState::DUPLICATE_COLUMN, message).at(name.span));
        }
        let ty = if column.ty == SqlType::Void { SqlType::Text } else { column.ty.clone() };
        columns.push(Column {
            name: name.text,
            ty,
            precision: None,
            not_null: false,
            default_text: None,
            identity: None,
            counts_from: None,
            comment: None,
        });
    }
    Ok(columns)
}

fn rows(tx: &mut Transaction, plan: &Plan, info: &SessionInfo) -> Result<Vec<Vec<Option<Value>>>> {
    match exec::run(plan, tx, &[], info)? {
        Outcome::Rows { rows } => rows.all(),
        Outcome::Affected { .. } => Err(QueryError::internal("a query changed something")),
    }
}

/// Binds a query made of an expression that a table is to keep.
fn part_of(tx: &mut Transaction, query: Query, what: &'static str, info: &SessionInfo) -> Result<Arc<Plan>> {
    bind::plan_of_definition(&mut context(tx, info), &Statement::Query(Box::new(query)), what)
}

/// What a plan needs beside the table that is defined, for which the definition itself was permitted.
fn permit_others(plan: &Plan, own: Id, info: &SessionInfo) -> Result<()> {
    info.permit_uses(plan, |table| table.id != own)
}

fn context<'a>(tx: &'a mut Transaction, info: &'a SessionInfo) -> PlanContext<'a> {
    PlanContext { tx, text: "", dialect: Dialect::Sql, parameter_types: &[], session: info }
}

fn name(text: &Arc<str>, span: Span) -> Name {
    Name::exact(text.clone(), true, span)
}

fn select(expr: Expr, from: Vec<From>, filter: Option<Expr>) -> Query {
    let span = expr.span;
    let projection = Projection::Items(vec![SelectItem::Expr { expr, alias: None }]);
    let select = Select { from, filter, ..Select::of(projection, span) };
    Query::of(SetExpr::Select(Box::new(select)), span)
}
