//! CREATE, DROP and UNDROP TABLE.

use std::collections::HashSet;
use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;

use super::{
    COLUMNS_MAX, DdlOutcome, NewIndex, Table, TableStatus, add_index, check_name, existing_table, like, put_table,
    table_name,
};
use crate::ast::{ColumnDefinition, CreateTable, Expr, Name, Span, TableConstraint, TableName, TypeName};
use crate::catalogue::{Check, Column, PathStep};
use crate::error::{QueryError, Result, SqlState};
use crate::session::{Dialect, SessionInfo};
use crate::transaction::Transaction;
use crate::types::SqlType;

pub(super) fn create(
    tx: &mut Transaction,
    create: &CreateTable,
    dialect: Dialect,
    info: &SessionInfo,
) -> Result<DdlOutcome> {
    let name = table_name(&create.name)?;
    check_name(&create.name.name, "table")?;
    if tx.relation_exists(name) {
        if create.if_not_exists {
            let tag = if create.as_query.is_some() { "CREATE TABLE AS" } else { "CREATE TABLE" };
            return Ok(DdlOutcome::nothing(tag, format!("relation \"{name}\" already exists, skipping")));
        }
        let message = format!("relation \"{name}\" already exists");
        return Err(QueryError::new(SqlState::DUPLICATE_TABLE, message).at(create.name.name.span));
    }
    let Options { salted, notice } = options(create, dialect)?;
    if let Some(made) = &create.as_query {
        return Ok(DdlOutcome { notice, ..super::evaluate::create_as(tx, create, made, salted, info)? });
    }
    let columns = columns(tx, create, info)?;
    let id = create_table(tx, name.clone(), columns, salted)?;
    for definition in &create.columns {
        add_column_constraints(tx, id, definition, info)?;
    }
    for constraint in &create.constraints {
        add_constraint(tx, id, constraint, info)?;
    }
    for like in &create.likes {
        like::add_the_rest(tx, id, like, info)?;
    }
    super::evaluate::must_take_rows(tx, id, info)?;
    Ok(DdlOutcome { notice, ..DdlOutcome::done("CREATE TABLE", id) })
}

/// The columns that are declared, and those of other tables between them.
fn columns(tx: &mut Transaction, create: &CreateTable, info: &SessionInfo) -> Result<Vec<Column>> {
    let mut columns: Vec<Column> = Vec::with_capacity(create.columns.len());
    let mut push = |column: Column, span: Span| {
        if columns.iter().any(|other| other.name == column.name) {
            let message = format!("column \"{}\" specified more than once", column.name);
            return Err(QueryError::new(SqlState::DUPLICATE_COLUMN, message).at(span));
        }
        columns.push(column);
        Ok(())
    };
    for at in 0..=create.columns.len() {
        for like in create.likes.iter().filter(|like| like.at == at) {
            let span = like.table.name.span;
            like::columns(tx, like, info)?.into_iter().try_for_each(|column| push(column, span))?;
        }
        if let Some(definition) = create.columns.get(at) {
            push(column_of(definition)?, definition.name.span)?;
        }
    }
    Ok(columns)
}

/// Makes a table with these columns (none: schemaless). The name must be free.
pub fn create_table(tx: &mut Transaction, name: Arc<str>, columns: Vec<Column>, salted: bool) -> Result<Id> {
    if columns.len() > COLUMNS_MAX {
        let message = format!("a table has at most {COLUMNS_MAX} columns, not {}", columns.len());
        return Err(QueryError::new(SqlState::TOO_MANY_COLUMNS, message));
    }
    let id = tx.database().new_document_id();
    put_table(
        tx,
        Table {
            id,
            name,
            status: TableStatus::Active,
            columns,
            indexes: Vec::new(),
            checks: Vec::new(),
            comment: None,
            salted,
            defined_at: u64::MAX,
            definition_version: 0,
        },
    )
}

pub(super) fn drop_tables(
    tx: &mut Transaction,
    names: &[TableName],
    if_exists: bool,
    info: &SessionInfo,
) -> Result<DdlOutcome> {
    let mut outcome = DdlOutcome::of("DROP TABLE");
    for name in names {
        let text = table_name(name)?;
        if if_exists && tx.table(text)?.is_none() {
            outcome.notice = Some(format!("table \"{text}\" does not exist, skipping"));
            continue;
        }
        let table = existing_table(tx, name, info)?;
        outcome.table_id = Some(put_table(tx, Table { status: TableStatus::Inactive, ..(*table).clone() })?);
    }
    Ok(outcome)
}

pub(super) fn undrop(tx: &mut Transaction, id: &Name) -> Result<DdlOutcome> {
    let parsed: Result<Id, _> = id.text.parse();
    let table = match parsed {
        Ok(parsed) if !parsed.is_system() => tx.table_by_id(parsed)?,
        _ => None,
    };
    let Some(table) = table else {
        let message = format!("there is no table with the id \"{}\"", id.text);
        return Err(QueryError::new(SqlState::UNDEFINED_TABLE, message).at(id.span));
    };
    if table.status == TableStatus::Active {
        let message = format!("table \"{}\" ({}) has not been dropped", table.name, id.text);
        return Err(QueryError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).at(id.span));
    }
    if tx.relation_exists(&table.name) {
        let message = format!("the name \"{}\" has been given to another table", table.name);
        return Err(QueryError::new(SqlState::DUPLICATE_TABLE, message)
            .hint("Rename or drop that one first.")
            .at(id.span));
    }
    let id = put_table(tx, Table { status: TableStatus::Active, ..(*table).clone() })?;
    Ok(DdlOutcome::done("UNDROP TABLE", id))
}

/// A column as declared, its constraints aside.
pub(super) fn column_of(definition: &ColumnDefinition) -> Result<Column> {
    check_name(&definition.name, "column")?;
    let ty = column_type(&definition.name, &definition.ty, definition.identity.is_some())?;
    within_type("START", definition.counts_from, &ty, &definition.name)?;
    Ok(Column {
        name: definition.name.text.clone(),
        ty,
        precision: SqlType::precision_of(&definition.ty),
        not_null: definition.not_null || definition.primary_key || definition.identity.is_some(),
        default_text: definition.default_text.clone(),
        identity: definition.identity,
        counts_from: definition.counts_from,
        comment: None,
    })
}

/// The type of a column, if columns may have it.
pub(super) fn column_type(column: &Name, ty: &TypeName, is_identity: bool) -> Result<SqlType> {
    let parsed = SqlType::parse(ty)?;
    if parsed == SqlType::Void {
        let message = format!("column \"{}\" cannot be of type void", column.text);
        return Err(QueryError::new(SqlState::INVALID_TABLE_DEFINITION, message).at(ty.span));
    }
    if matches!(parsed, SqlType::Reg(_) | SqlType::Int2Vector | SqlType::OidVector) {
        return Err(QueryError::unsupported(format!("a column of type {parsed}"))
            .at(ty.span)
            .hint("Use text for names, or oid."));
    }
    if is_identity {
        identity_type(&parsed, column).map_err(|error| error.at(ty.span))?;
    }
    Ok(parsed)
}

/// Refuses an identity column of a type that does not count.
pub(super) fn identity_type(ty: &SqlType, column: &Name) -> Result<()> {
    if ty.counts_to().is_some() {
        return Ok(());
    }
    let message = "identity column type must be smallint, integer, or bigint";
    Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, message)
        .detail(format!("Column \"{}\" is of type {ty}.", column.text))
        .at(column.span))
}

/// Refuses a first value that its column cannot have.
pub(super) fn within_type(what: &str, from: Option<i64>, ty: &SqlType, column: &Name) -> Result<()> {
    let most = ty.counts_to().unwrap_or(i64::MAX);
    match from.filter(|from| *from > most) {
        Some(from) => {
            let message = format!("{what} value ({from}) cannot be greater than MAXVALUE ({most})");
            Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, message).at(column.span))
        }
        None => Ok(()),
    }
}

/// What a column's definition says beyond its type: primary key, unique, checks.
pub(super) fn add_column_constraints(
    tx: &mut Transaction,
    table: Id,
    definition: &ColumnDefinition,
    info: &SessionInfo,
) -> Result<()> {
    let columns = || vec![definition.name.clone()];
    if definition.primary_key {
        add_constraint(
            tx,
            table,
            &TableConstraint::PrimaryKey { name: definition.primary_key_name.clone(), columns: columns() },
            info,
        )?;
    }
    if definition.unique {
        add_constraint(
            tx,
            table,
            &TableConstraint::Unique { name: definition.unique_name.clone(), columns: columns() },
            info,
        )?;
    }
    for (expr, text, name) in &definition.checks {
        add_check(tx, table, name.as_ref(), Some(&definition.name.text), (expr, text), info)?;
    }
    match &definition.default {
        Some(default) => super::evaluate::default_is_sound(tx, default, Some(&definition.ty), info),
        None => Ok(()),
    }
}

/// A table's constraint.
pub(super) fn add_constraint(
    tx: &mut Transaction,
    id: Id,
    constraint: &TableConstraint,
    info: &SessionInfo,
) -> Result<()> {
    let catalogue = tx.catalogue();
    let Some(table) = catalogue.table_by_id(&id) else {
        return Err(QueryError::internal("a constraint without a table"));
    };
    match constraint {
        TableConstraint::PrimaryKey { name, columns } => {
            if let Some(existing) = table.primary_key() {
                return Err(QueryError::new(
                    SqlState::INVALID_TABLE_DEFINITION,
                    format!("multiple primary keys for table \"{}\" are not allowed", table.name),
                )
                .detail(format!("It has ({}) already.", existing.paths_text())));
            }
            let paths = key_paths(table, columns)?;
            let mut changed = (**table).clone();
            for column in changed.columns.iter_mut().filter(|c| columns.iter().any(|n| n.text == c.name)) {
                column.not_null = true;
            }
            if changed != **table {
                put_table(tx, changed)?;
            }
            let new =
                NewIndex { name: name.clone(), suffix: "pkey", paths, unique: true, primary: true, only_index: false };
            add_index(tx, id, new).map(drop)
        }
        TableConstraint::Unique { name, columns } => {
            let paths = key_paths(table, columns)?;
            let new =
                NewIndex { name: name.clone(), suffix: "key", paths, unique: true, primary: false, only_index: false };
            add_index(tx, id, new).map(drop)
        }
        TableConstraint::Check { name, expr, text } => {
            add_check(tx, id, name.as_ref(), only_column(table, text), (expr, text), info)
        }
    }
}

fn key_paths(table: &Table, columns: &[Name]) -> Result<Vec<Vec<PathStep>>> {
    let mut paths: Vec<Vec<PathStep>> = Vec::with_capacity(columns.len());
    for column in columns {
        if table.is_declared() && table.column(&column.text).is_none() {
            let message = format!("column \"{}\" named in key does not exist", column.text);
            return Err(QueryError::new(SqlState::UNDEFINED_COLUMN, message).at(column.span));
        }
        let path = vec![PathStep::Field(column.text.clone())];
        if paths.contains(&path) {
            let message = format!("column \"{}\" appears twice in a key", column.text);
            return Err(QueryError::new(SqlState::DUPLICATE_COLUMN, message).at(column.span));
        }
        paths.push(path);
    }
    if paths.is_empty() || paths.len() > super::INDEX_PATHS_MAX {
        let message = format!("a key has 1 to {} columns, not {}", super::INDEX_PATHS_MAX, paths.len());
        return Err(QueryError::new(SqlState::TOO_MANY_COLUMNS, message));
    }
    Ok(paths)
}

/// The column that is the only one a check names: PostgreSQL puts it into the constraint's name.
fn only_column<'t>(table: &'t Table, check: &str) -> Option<&'t str> {
    let words = check.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_lowercase).collect::<HashSet<_>>();
    let mut named = table.columns.iter().filter(|column| words.contains(&*column.name));
    named.next().filter(|_| named.next().is_none()).map(|column| &*column.name)
}

pub(super) fn add_check(
    tx: &mut Transaction,
    id: Id,
    name: Option<&Name>,
    column: Option<&str>,
    (expr, text): (&Expr, &Arc<str>),
    info: &SessionInfo,
) -> Result<()> {
    let catalogue = tx.catalogue();
    let Some(table) = catalogue.table_by_id(&id) else { return Err(QueryError::internal("a check without a table")) };
    let taken = |wanted: &str| table.checks.iter().any(|c| &*c.name == wanted) || table.index(wanted).is_some();
    let name: Arc<str> = match name {
        Some(name) if taken(&name.text) => {
            let message = format!("constraint \"{}\" for relation \"{}\" already exists", name.text, table.name);
            return Err(QueryError::new(SqlState::DUPLICATE_OBJECT, message).at(name.span));
        }
        Some(name) => {
            check_name(name, "constraint")?;
            name.text.clone()
        }
        None => {
            let stem = match column {
                Some(column) => format!("{}_{column}_check", table.name),
                None => format!("{}_check", table.name),
            };
            let more = (1..).map(|n| format!("{stem}{n}"));
            std::iter::once(stem.clone()).chain(more).find(|n| !taken(n)).unwrap_or(stem).into()
        }
    };
    if table.is_declared() {
        super::evaluate::check_is_sound(tx, table, expr, info)?;
    }
    let mut changed = (**table).clone();
    changed.checks.push(Check { name, text: text.clone(), comment: None });
    put_table(tx, changed).map(drop)
}

/// What PostgreSQL may be told of how a table's files are laid out and kept up. Programs do, `pgbench -i` for one; here there is
/// nothing that it could have an effect on.
const STORAGE_PARAMETERS: [&str; 3] = ["fillfactor", "parallel_workers", "toast_tuple_target"];

/// `WITH (…)` behind CREATE TABLE.
struct Options {
    /// On for tables made in SQL, off for those made in PartiQL (CONTRACT section 5).
    salted: bool,
    notice: Option<String>,
}

fn options(create: &CreateTable, dialect: Dialect) -> Result<Options> {
    let mut options = Options { salted: dialect == Dialect::Sql, notice: None };
    for (name, value) in &create.options {
        match (&**name, value) {
            ("salted", Value::Bool(on)) => options.salted = *on,
            ("salted", _) => {
                let message = "the option salted is true or false";
                return Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
            // QLDB's late versions took tags with a table; they named it in AWS's billing and mean nothing here.
            ("tags", _) if dialect == Dialect::PartiQl => {}
            (other, _)
                if dialect == Dialect::Sql
                    && (STORAGE_PARAMETERS.contains(&other) || other.starts_with("autovacuum_")) =>
            {
                options.notice = Some(format!("\"{other}\" has no effect: the server lays out its files itself"));
            }
            (other, _) => {
                let message = format!("unrecognized parameter \"{other}\"");
                return Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, message).hint("There is one: salted."));
            }
        }
    }
    Ok(options)
}
