//! ALTER TABLE.
//!
//! Columns are fields of documents, so adding one with a default, dropping and renaming one makes a revision of every
//! document: what the table was like before stays as it was in its history.

use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Struct, Symbol, Value};

use super::evaluate::{default_is_sound, for_every_row, highest, is_violated, must_take_rows};
use super::retype::retyped;
use super::sequence::{bind_announced, is_own_next_value};
use super::table::{add_column_constraints, add_constraint, column_of, identity_type, within_type};
use super::{
    COLUMNS_MAX, DdlOutcome, NewIndex, Table, add_index, check_name, existing_table, no_such_column, put_table,
    remove_index,
};
use crate::ast::{AlterTable, ColumnDefinition, Identity, Name, TableConstraint, TableName};
use crate::catalogue::virtual_tables::sequence_name;
use crate::catalogue::{Column, Index, PathStep};
use crate::error::{QueryError, Result, SqlState};
use crate::session::SessionInfo;
use crate::transaction::{Transaction, View};
use crate::types::SqlType;

const TAG: &str = "ALTER TABLE";

pub(super) fn alter(
    tx: &mut Transaction,
    name: &TableName,
    if_exists: bool,
    action: &AlterTable,
    info: &SessionInfo,
) -> Result<DdlOutcome> {
    let mut table = match existing_table(tx, name, info) {
        Err(error) if if_exists && error.code == SqlState::UNDEFINED_TABLE => {
            let notice = format!("relation \"{}\" does not exist, skipping", name.name.text);
            return Ok(DdlOutcome::nothing(TAG, notice));
        }
        found => found?,
    };
    let actions = match action {
        AlterTable::Several(actions) => actions.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut notices = Vec::new();
    for action in actions {
        notices.extend(change(tx, &table, action, info)?);
        // Renamed or not, as the next one finds it.
        table = tx.table_by_id(table.id)?.ok_or_else(|| QueryError::internal("an altered table is gone"))?;
    }
    must_take_rows(tx, table.id, info)?;
    let notice = (!notices.is_empty()).then(|| notices.join("; "));
    Ok(DdlOutcome { notice, ..DdlOutcome::done(TAG, table.id) })
}

/// One change; what there is to say about it.
fn change(tx: &mut Transaction, table: &Table, action: &AlterTable, info: &SessionInfo) -> Result<Option<String>> {
    let mut notice = None;
    match action {
        AlterTable::AddColumn { column, if_not_exists } => {
            if *if_not_exists && table.column(&column.name.text).is_some() {
                notice = Some(format!(
                    "column \"{}\" of relation \"{}\" already exists, skipping",
                    column.name.text, table.name
                ));
            } else {
                add_column(tx, table, column, info)?;
            }
        }
        AlterTable::DropColumn { name, if_exists } => {
            if *if_exists && table.column(&name.text).is_none() {
                notice =
                    Some(format!("column \"{}\" of relation \"{}\" does not exist, skipping", name.text, table.name));
            } else {
                drop_column(tx, table, name)?;
            }
        }
        AlterTable::RenameTo(new) => rename_table(tx, table, new)?,
        AlterTable::RenameColumn { from, to } => rename_column(tx, table, from, to)?,
        AlterTable::AddConstraint(constraint) => add_constraint_to(tx, table, constraint, info)?,
        AlterTable::DropConstraint { name, if_exists } => notice = drop_constraint(tx, table, name, *if_exists)?,
        AlterTable::SetNotNull(column) => {
            require_present(tx, table, &[column])?;
            change_column(tx, table, column, |c| c.not_null = true)?;
        }
        AlterTable::DropNotNull(column) => {
            not_always_identity(table, column)?;
            let path = vec![PathStep::Field(column.text.clone())];
            if table.primary_key().is_some_and(|k| k.paths.contains(&path)) {
                let message = format!("column \"{}\" is in a primary key", column.text);
                return Err(QueryError::new(SqlState::INVALID_TABLE_DEFINITION, message).at(column.span));
            }
            change_column(tx, table, column, |c| c.not_null = false)?;
        }
        AlterTable::SetDefault { name, default, text } => {
            column(table, name)?;
            not_always_identity(table, name)?;
            // So pg_dump gives a column its sequence back.
            if is_own_next_value(table, column(table, name)?, default) {
                change_column(tx, table, name, |c| c.default_text = None)?;
                return Ok(None);
            }
            if bind_announced(tx, table, name, default, info)? {
                return Ok(None);
            }
            default_is_sound(tx, default, None, info)?;
            change_column(tx, table, name, |c| c.default_text = Some(text.clone()))?;
        }
        AlterTable::DropDefault(name) => {
            not_always_identity(table, name)?;
            change_column(tx, table, name, |c| c.default_text = None)?;
        }
        AlterTable::AddGenerated { name, identity, counts_from, sequence } => {
            notice = add_identity(tx, table, (name, *identity), *counts_from, sequence.as_ref(), info)?;
        }
        AlterTable::SetGenerated { name, identity, counts_from } => {
            set_identity(tx, table, name, *identity, *counts_from)?;
        }
        AlterTable::DropIdentity { name, if_exists } => notice = drop_identity(tx, table, name, *if_exists)?,
        AlterTable::SetType { name, ty: to, using } => {
            let column = column(table, name)?;
            let ty = retyped(tx, table, column, (name, to), using.as_ref())?;
            if column.identity.is_some() {
                within_type("RESTART", column.counts_from, &ty, name)?;
            }
            let precision = SqlType::precision_of(to);
            change_column(tx, table, name, |c| (c.ty, c.precision) = (ty, precision))?;
        }
        AlterTable::Several(_) => return Err(QueryError::internal("a list of changes inside a list")),
    }
    Ok(notice)
}

fn declared_only(table: &Table) -> Result<()> {
    if table.is_declared() {
        return Ok(());
    }
    Err(QueryError::new(SqlState::WRONG_OBJECT_TYPE, format!("table \"{}\" has no declared columns", table.name))
        .hint("Its documents may have any fields; there is no column to add or change."))
}

fn column<'a>(table: &'a Table, name: &Name) -> Result<&'a Column> {
    declared_only(table)?;
    table.column(&name.text).ok_or_else(|| no_such_column(table, &name.text).at(name.span))
}

/// What always counts on has no default beside its counter, and no NULL. Columns that are `serial` may get either, so that
/// this cannot be asked of identity columns BY DEFAULT, which are not told from them.
fn not_always_identity(table: &Table, name: &Name) -> Result<()> {
    if !column(table, name)?.is_always_identity() {
        return Ok(());
    }
    let message = format!("column \"{}\" of relation \"{}\" is an identity column", name.text, table.name);
    Err(QueryError::syntax(message, name.span))
}

/// Makes a column count, from above the highest value that it has or has given. What there is to say: its sequence has the name that
/// all have.
pub(super) fn add_identity(
    tx: &mut Transaction,
    table: &Table,
    (name, identity): (&Name, Identity),
    counts_from: Option<i64>,
    sequence: Option<&Name>,
    info: &SessionInfo,
) -> Result<Option<String>> {
    let column = column(table, name)?;
    let refused = |what: &str| Err(not_in_state(format!("{} {what}", written(table, name)), name));
    if !column.not_null {
        return refused("must be declared NOT NULL before identity can be added");
    }
    if column.identity.is_some() {
        return refused("is already an identity column");
    }
    if column.default_text.is_some() {
        return refused("already has a default value");
    }
    identity_type(&column.ty, name)?;
    within_type("START", counts_from, &column.ty, name)?;
    let there = highest(tx, table, name, info)?.unwrap_or(0);
    let Some(above) = least(tx, table, column, there) else { return refused("has no values left to give") };
    let from = counts_from.unwrap_or(1).max(above);
    change_column(tx, table, name, |c| {
        (c.identity, c.counts_from) = (Some(identity), (from > 1).then_some(from));
    })?;
    let known = sequence_name(&table.name, &name.text);
    let other = sequence.filter(|sequence| *sequence.text != *known);
    Ok(other
        .map(|other| format!("the sequence of {} is called \"{known}\", not \"{}\"", written(table, name), other.text)))
}

/// The least value that a column can give when it has given this one; nothing if there is none.
fn least(tx: &Transaction, table: &Table, column: &Column, given: i64) -> Option<i64> {
    let highest = tx.highest_identity(table, column).max(given).max(0);
    let next = highest.checked_add(1)?.max(column.counts_from.unwrap_or(1));
    column.ty.counts_to().is_none_or(|most| next <= most).then_some(next)
}

/// When an identity column counts on, and from where.
pub(super) fn set_identity(
    tx: &mut Transaction,
    table: &Table,
    name: &Name,
    identity: Option<Identity>,
    counts_from: Option<i64>,
) -> Result<()> {
    let column = column(table, name)?;
    if column.identity.is_none() {
        return Err(not_in_state(no_identity(table, name), name));
    }
    if identity == Some(Identity::Always) && column.default_text.is_some() {
        return Err(not_in_state(format!("{} already has a default value", written(table, name)), name)
            .hint("Drop its default first: a column that always counts has none."));
    }
    within_type("RESTART", counts_from, &column.ty, name)?;
    let least = least(tx, table, column, 0);
    if let Some(from) = counts_from.filter(|from| least.is_none_or(|least| *from < least)) {
        let message = format!("column \"{}\" cannot count from {from} again", name.text);
        let error = QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(name.span);
        return Err(error.hint(match least {
            Some(least) => {
                format!("Identity values are never given twice: {least} is the least that it can count from.")
            }
            None => "Identity values are never given twice, and it has none left.".to_owned(),
        }));
    }
    change_column(tx, table, name, |c| {
        (c.identity, c.counts_from) = (identity.or(c.identity), counts_from.or(c.counts_from));
    })
}

/// An identity column counts on from here (`setval`), if it is still there.
pub(crate) fn count_on_from(tx: &mut Transaction, table: Id, column: &Arc<str>, from: i64) -> Result<()> {
    let Some(mut table) = tx.table_by_id(table)?.map(|table| Table::clone(&table)) else { return Ok(()) };
    if let Some(column) = table.columns.iter_mut().find(|it| it.name == *column && it.identity.is_some()) {
        column.counts_from = Some(from);
        put_table(tx, table)?;
    }
    Ok(())
}

/// Makes an identity column one no more; what there is to say if it is none. How far it has counted is kept.
fn drop_identity(tx: &mut Transaction, table: &Table, name: &Name, if_exists: bool) -> Result<Option<String>> {
    if column(table, name)?.identity.is_some() {
        return change_column(tx, table, name, |c| c.identity = None).map(|()| None);
    }
    match if_exists {
        true => Ok(Some(format!("{}, skipping", no_identity(table, name)))),
        false => Err(not_in_state(no_identity(table, name), name)),
    }
}

fn not_in_state(message: String, name: &Name) -> QueryError {
    QueryError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).at(name.span)
}

fn written(table: &Table, name: &Name) -> String {
    format!("column \"{}\" of relation \"{}\"", name.text, table.name)
}

fn no_identity(table: &Table, name: &Name) -> String {
    format!("{} is not an identity column", written(table, name))
}

fn change_column(tx: &mut Transaction, table: &Table, name: &Name, change: impl FnOnce(&mut Column)) -> Result<()> {
    column(table, name)?;
    let mut changed = table.clone();
    if let Some(column) = changed.columns.iter_mut().find(|c| c.name == name.text) {
        change(column);
    }
    put_table(tx, changed).map(drop)
}

fn add_column(tx: &mut Transaction, table: &Table, definition: &ColumnDefinition, info: &SessionInfo) -> Result<()> {
    declared_only(table)?;
    if table.column(&definition.name.text).is_some() {
        let message = format!("column \"{}\" of relation \"{}\" already exists", definition.name.text, table.name);
        return Err(QueryError::new(SqlState::DUPLICATE_COLUMN, message).at(definition.name.span));
    }
    if table.columns.len() >= COLUMNS_MAX {
        let message = format!("a table has at most {COLUMNS_MAX} columns");
        return Err(QueryError::new(SqlState::TOO_MANY_COLUMNS, message));
    }
    let column = column_of(definition)?;
    // Before it is computed: an error of a row would tell what is in it.
    if let Some(default) = &definition.default {
        default_is_sound(tx, default, Some(&definition.ty), info)?;
    }
    let mut changed = table.clone();
    changed.columns.push(column.clone());
    let empty = tx.is_empty_table(table)?;
    if !empty {
        fill_column(tx, table, (&column, definition), &changed, info)?;
    } else {
        put_table(tx, changed)?;
    }
    for (check, _, _) in definition.checks.iter().filter(|_| !empty) {
        if is_violated(tx, table, check, info)? {
            let message = format!("check constraint on column \"{}\" is violated by some row", definition.name.text);
            return Err(QueryError::new(SqlState::CHECK_VIOLATION, message).at(check.span));
        }
    }
    add_column_constraints(tx, table.id, definition, info)
}

/// Gives every document the new column's default.
fn fill_column(
    tx: &mut Transaction,
    table: &Table,
    (column, definition): (&Column, &ColumnDefinition),
    changed: &Table,
    info: &SessionInfo,
) -> Result<()> {
    let values = match &definition.default {
        Some(default) => for_every_row(tx, table, default, (&definition.ty, &column.ty), info)?,
        None => Vec::new(),
    };
    let some_are_null = values.is_empty() || values.contains(&None);
    if some_are_null && column.identity.is_none() && column.not_null {
        let message = format!("column \"{}\" of relation \"{}\" contains null values", column.name, table.name);
        return Err(QueryError::new(SqlState::NOT_NULL_VIOLATION, message).at(definition.name.span));
    }
    put_table(tx, changed.clone())?;
    if values.iter().all(Option::is_none) && column.identity.is_none() {
        return Ok(());
    }
    let mut values = values.into_iter();
    rewrite(tx, changed, |tx, fields| {
        let value = match values.next().flatten() {
            Some(value) => value,
            None if column.identity.is_some() => Value::int(tx.next_identity(changed, column)?),
            None => return Ok(false),
        };
        fields.fields.push((Symbol::from(&column.name), value));
        Ok(true)
    })
}

fn drop_column(tx: &mut Transaction, table: &Table, name: &Name) -> Result<()> {
    column(table, name)?;
    if table.columns.len() == 1 {
        let message = format!("cannot drop the only column of \"{}\"", table.name);
        return Err(QueryError::new(SqlState::INVALID_TABLE_DEFINITION, message)
            .hint("A table without columns would be schemaless: drop the table instead.")
            .at(name.span));
    }
    no_check_names(table, name)?;
    for index in indexes_of(table, name) {
        remove_index(tx, table.id, index.id)?;
    }
    let mut changed = current(tx, table)?;
    changed.columns.retain(|c| c.name != name.text);
    put_table(tx, changed.clone())?;
    rewrite(tx, &changed, |_, fields| {
        let before = fields.fields.len();
        fields.fields.retain(|(n, _)| n.text() != Some(&name.text));
        Ok(fields.fields.len() != before)
    })
}

fn rename_column(tx: &mut Transaction, table: &Table, from: &Name, to: &Name) -> Result<()> {
    column(table, from)?;
    check_name(to, "column")?;
    if table.column(&to.text).is_some() {
        let message = format!("column \"{}\" of relation \"{}\" already exists", to.text, table.name);
        return Err(QueryError::new(SqlState::DUPLICATE_COLUMN, message).at(to.span));
    }
    no_check_names(table, from)?;
    // An index over the old name would give no key to what is renamed, so it is made anew.
    let indexes = indexes_of(table, from);
    for index in &indexes {
        remove_index(tx, table.id, index.id)?;
    }
    let mut changed = current(tx, table)?;
    for column in changed.columns.iter_mut().filter(|c| c.name == from.text) {
        // Numbers are kept by names, and some may be of documents that are gone. One that has none left stays with its last one.
        if column.ty.counts_to().is_some() {
            let next = tx.highest_identity(table, column).saturating_add(1).max(column.counts_from.unwrap_or(1));
            column.counts_from = (next > 1).then_some(next);
        }
        column.name = to.text.clone();
    }
    put_table(tx, changed.clone())?;
    rewrite(tx, &changed, |_, fields| {
        let mut renamed = false;
        for (name, _) in fields.fields.iter_mut().filter(|(n, _)| n.text() == Some(&from.text)) {
            *name = Symbol::new(to.text.clone());
            renamed = true;
        }
        Ok(renamed)
    })?;
    for index in indexes {
        let mut paths = index.paths.clone();
        for path in &mut paths {
            if let Some(PathStep::Field(first)) = path.first_mut()
                && *first == from.text
            {
                *first = to.text.clone();
            }
        }
        let name = Name { text: index.name.clone(), written: index.name.clone(), quoted: true, span: from.span };
        let Index { unique, primary, only_index, .. } = *index;
        let made =
            add_index(tx, table.id, NewIndex { name: Some(name), suffix: "idx", paths, unique, primary, only_index })?;
        super::comment::keep_comments(tx, made, &index)?;
    }
    Ok(())
}

fn rename_table(tx: &mut Transaction, table: &Table, new: &Name) -> Result<()> {
    check_name(new, "table")?;
    if tx.relation_exists(&new.text) {
        let message = format!("relation \"{}\" already exists", new.text);
        return Err(QueryError::new(SqlState::DUPLICATE_TABLE, message).at(new.span));
    }
    put_table(tx, Table { name: new.text.clone(), ..table.clone() }).map(drop)
}

fn add_constraint_to(
    tx: &mut Transaction,
    table: &Table,
    constraint: &TableConstraint,
    info: &SessionInfo,
) -> Result<()> {
    match constraint {
        TableConstraint::PrimaryKey { columns, .. } => {
            declared_only(table)?;
            require_present(tx, table, &columns.iter().collect::<Vec<_>>())?;
        }
        TableConstraint::Unique { .. } => {}
        TableConstraint::Check { expr, .. } => {
            declared_only(table)?;
            if is_violated(tx, table, expr, info)? {
                let message = format!("a check constraint of relation \"{}\" is violated by some row", table.name);
                return Err(QueryError::new(SqlState::CHECK_VIOLATION, message).at(expr.span));
            }
        }
    }
    add_constraint(tx, table.id, constraint, info)
}

fn drop_constraint(tx: &mut Transaction, table: &Table, name: &Name, if_exists: bool) -> Result<Option<String>> {
    if let Some(index) = table.index(&name.text).filter(|i| i.is_constraint()) {
        return remove_index(tx, table.id, index.id).map(|()| None);
    }
    if table.checks.iter().any(|c| c.name == name.text) {
        let mut changed = table.clone();
        changed.checks.retain(|c| c.name != name.text);
        return put_table(tx, changed).map(|_| None);
    }
    let message = format!("constraint \"{}\" of relation \"{}\" does not exist", name.text, table.name);
    match if_exists {
        true => Ok(Some(format!("{message}, skipping"))),
        false => Err(QueryError::new(SqlState::UNDEFINED_OBJECT, message).at(name.span)),
    }
}

/// Every document must have these columns.
fn require_present(tx: &Transaction, table: &Table, names: &[&Name]) -> Result<()> {
    for name in names {
        column(table, name)?;
    }
    for doc in tx.scan(table, View::Current)? {
        let doc = doc?;
        let fields = doc.data.as_deref().and_then(Value::as_struct);
        if let Some(name) = names.iter().find(|n| fields.is_none_or(|f| f.get(&n.text).is_none())) {
            let message = format!("column \"{}\" of relation \"{}\" contains null values", name.text, table.name);
            return Err(QueryError::new(SqlState::NOT_NULL_VIOLATION, message).at(name.span));
        }
    }
    Ok(())
}

/// Makes a revision of every document that `change` says it has changed.
fn rewrite(
    tx: &mut Transaction,
    table: &Table,
    mut change: impl FnMut(&mut Transaction, &mut Struct) -> Result<bool>,
) -> Result<()> {
    for doc in tx.scan(table, View::Current)? {
        let doc = doc?;
        let Some(mut fields) = doc.data.as_deref().and_then(Value::as_struct).cloned() else { continue };
        if change(tx, &mut fields)? {
            tx.replace(table, &doc, Value::Struct(fields))?;
        }
    }
    Ok(())
}

fn indexes_of(table: &Table, column: &Name) -> Vec<Arc<Index>> {
    let begins = |path: &Vec<PathStep>| matches!(path.first(), Some(PathStep::Field(f)) if *f == column.text);
    table.indexes.iter().filter(|i| i.paths.iter().any(begins)).cloned().collect()
}

/// Checks are kept as text, so a column that one may name must not go or change its name.
fn no_check_names(table: &Table, column: &Name) -> Result<()> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let names = |text: &str| text.split(|c: char| !is_word(c)).any(|word| word.eq_ignore_ascii_case(&column.text));
    match table.checks.iter().find(|c| names(&c.text)) {
        Some(check) => Err(QueryError::new(
            SqlState::DEPENDENT_OBJECTS,
            format!("constraint \"{}\" on table \"{}\" depends on column \"{}\"", check.name, table.name, column.text),
        )
        .hint("Drop the constraint first.")
        .at(column.span)),
        None => Ok(()),
    }
}

/// The table as it is now, after changes made in this statement.
fn current(tx: &Transaction, table: &Table) -> Result<Table> {
    match tx.catalogue().table_by_id(&table.id) {
        Some(table) => Ok((**table).clone()),
        None => Err(QueryError::internal(format!("table {} is gone", Id::to_string(&table.id)))),
    }
}
