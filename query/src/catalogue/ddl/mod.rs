//! DDL: definitions as revisions in system tables, made by ordinary transactions (DESIGN section 7).
//!
//! A definition is seen by its own transaction at once and by others when it commits; transactions that worked with the
//! old one conflict. An index made on a table that has documents is `BUILDING` when its transaction commits and is filled
//! before the commit answers.

mod alter;
mod comment;
mod evaluate;
mod like;
mod retype;
mod sequence;
mod table;

use std::collections::BTreeSet;
use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;

use super::{Catalogue, Index, IndexStatus, PathStep, SALT_FIELD, Table, TableStatus, path_text, system_tables};
use crate::ast::{self, CreateIndex, Expr, ExprKind, Name, Statement, TableName};
use crate::error::{QueryError, Result, SqlState};
use crate::session::{Dialect, SessionInfo};
use crate::transaction::Transaction;

pub(crate) use alter::count_on_from;
pub(crate) use sequence::meant_by;
pub use table::create_table;

/// The longest name of a table, column or index, in characters.
pub const NAME_CHARACTERS_MAX: usize = 128;
/// The most columns of a declared table, as in PostgreSQL.
pub const COLUMNS_MAX: usize = 1600;
/// The most indexes of a table; each costs memory and time on every write.
pub const INDEXES_MAX: usize = 64;
/// The most paths in one index.
pub const INDEX_PATHS_MAX: usize = 32;
/// The longest comment: a table's definition, with those of all its columns, is to fit into a document.
pub const COMMENT_BYTES_MAX: usize = 8192;
/// The most steps in one path.
const PATH_STEPS_MAX: usize = 32;

/// What a DDL statement did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DdlOutcome {
    /// The command tag: `CREATE TABLE`.
    pub tag: &'static str,
    /// The table made, dropped, brought back or indexed; `None` if `IF [NOT] EXISTS` left nothing to do.
    pub table_id: Option<Id>,
    /// How many rows a CREATE TABLE AS has put into its table, which is its tag: `SELECT 3`.
    pub rows: Option<u64>,
    /// Said to the client as a NOTICE, e.g. that the table exists already.
    pub notice: Option<String>,
}

/// Runs CREATE, DROP, UNDROP and ALTER of tables and indexes, and COMMENT, inside a transaction; seen by it at once, by others when it
/// commits. What it reads and computes is read and computed by `info`'s user, with their rights and within their time.
pub fn apply(tx: &mut Transaction, statement: &Statement, dialect: Dialect, info: &SessionInfo) -> Result<DdlOutcome> {
    if tx.is_read_only() {
        return Err(QueryError::new(
            SqlState::READ_ONLY_TRANSACTION,
            "cannot change definitions in a read-only transaction",
        ));
    }
    match statement {
        Statement::CreateTable(create) => table::create(tx, create, dialect, info),
        Statement::DropTable { names, if_exists } => table::drop_tables(tx, names, *if_exists, info),
        Statement::UndropTable { table_id } => table::undrop(tx, table_id),
        Statement::CreateIndex(create) => create_index(tx, create, info),
        Statement::DropIndex { names, on, if_exists } => drop_indexes(tx, names, on.as_ref(), *if_exists, info),
        Statement::AlterTable { table, if_exists, action } => alter::alter(tx, table, *if_exists, action, info),
        Statement::Comment(said) => comment::comment(tx, said, info),
        Statement::Sequence(said) => sequence::sequence(tx, said, info),
        _ => Err(QueryError::unsupported("this statement as a definition")),
    }
}

impl DdlOutcome {
    fn of(tag: &'static str) -> DdlOutcome {
        DdlOutcome { tag, table_id: None, rows: None, notice: None }
    }

    fn done(tag: &'static str, table: Id) -> DdlOutcome {
        DdlOutcome { table_id: Some(table), ..DdlOutcome::of(tag) }
    }

    fn nothing(tag: &'static str, notice: String) -> DdlOutcome {
        DdlOutcome { notice: Some(notice), ..DdlOutcome::of(tag) }
    }
}

/// The name of a table in the one schema there is.
pub fn table_name(name: &TableName) -> Result<&Arc<str>> {
    match &name.schema {
        Some(schema) if &*schema.text != "public" => {
            Err(QueryError::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{}\" does not exist", schema.text))
                .hint("Tables stand in the one schema, public.")
                .at(schema.span))
        }
        _ => Ok(&name.name.text),
    }
}

/// The active table of this name, or 42P01 with a hint at names that differ only in case.
pub(crate) fn existing_table(tx: &Transaction, name: &TableName, info: &SessionInfo) -> Result<Arc<Table>> {
    let text = table_name(name)?;
    match tx.table(text)? {
        Some(table) => Ok(table),
        None => Err(no_such_table(tx, text, info).at(name.name.span)),
    }
}

/// The 42P01 for a name.
fn no_such_table(tx: &Transaction, name: &str, info: &SessionInfo) -> QueryError {
    let error = QueryError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"));
    let catalogue = tx.catalogue();
    let is_seen = |other: &&Arc<str>| catalogue.table(other).is_some_and(|table| info.sees(table));
    match catalogue.similar(name).filter(is_seen) {
        Some(other) => {
            error.hint(format!("There is a table named \"{other}\": put names with capitals in double quotes."))
        }
        None => error,
    }
}

/// Names that users may give: short enough, and not one of ours.
fn check_name(name: &Name, what: &str) -> Result<()> {
    let text = &name.text;
    let length = text.chars().count();
    if length == 0 || length > NAME_CHARACTERS_MAX {
        return Err(QueryError::new(
            SqlState::NAME_TOO_LONG,
            format!("the name of a {what} has 1 to {NAME_CHARACTERS_MAX} characters, not {length}"),
        )
        .at(name.span));
    }
    if text.starts_with("_ql_") || (what == "table" && (&**text == "information_schema" || text.starts_with("pg_"))) {
        return Err(QueryError::new(SqlState::RESERVED_NAME, format!("the name \"{text}\" is reserved")).at(name.span));
    }
    if text.contains('\0') {
        return Err(
            QueryError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "a name cannot hold a zero byte").at(name.span)
        );
    }
    Ok(())
}

/// Writes a table's new definition.
fn put_table(tx: &mut Transaction, table: Table) -> Result<Id> {
    let mut catalogue = (*tx.catalogue()).clone();
    let id = table.id;
    let document = system_tables::table_document(&table);
    catalogue.put_table(Table { defined_at: u64::MAX, ..table });
    tx.define(Id::TABLES, id, Some(document), catalogue, id)?;
    Ok(id)
}

/// Writes a new index's definition.
fn put_index(tx: &mut Transaction, index: Index) -> Result<()> {
    let mut catalogue: Catalogue = (*tx.catalogue()).clone();
    let Some(table) = catalogue.table_by_id(&index.table_id) else {
        return Err(QueryError::internal("an index without a table"));
    };
    if table.indexes.len() >= INDEXES_MAX {
        return Err(QueryError::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("table \"{}\" has {INDEXES_MAX} indexes already", table.name),
        ));
    }
    let mut table = (**table).clone();
    let (id, table_id, name) = (index.id, table.id, index.name.clone());
    let document = system_tables::index_document(&index);
    table.indexes.push(Arc::new(index));
    catalogue.put_table(table);
    tx.define(Id::INDEXES, id, Some(document), catalogue, table_id)?;
    tx.name_changes(name);
    Ok(())
}

/// Writes another definition of an index that there is.
fn change_index(tx: &mut Transaction, table: Id, index: Index) -> Result<()> {
    let mut catalogue = (*tx.catalogue()).clone();
    let Some(old) = catalogue.table_by_id(&table) else {
        return Err(QueryError::internal("an index without a table"));
    };
    let mut changed = (**old).clone();
    let (id, document) = (index.id, system_tables::index_document(&index));
    for old in changed.indexes.iter_mut().filter(|i| i.id == id) {
        *old = Arc::new(index.clone());
    }
    catalogue.put_table(changed);
    tx.define(Id::INDEXES, id, Some(document), catalogue, table)
}

fn remove_index(tx: &mut Transaction, table: Id, index: Id) -> Result<()> {
    let mut catalogue = (*tx.catalogue()).clone();
    let Some(old) = catalogue.table_by_id(&table) else { return Ok(()) };
    let mut table = (**old).clone();
    if let Some(gone) = table.index_by_id(&index) {
        tx.name_changes(gone.name.clone());
    }
    table.indexes.retain(|i| i.id != index);
    let table_id = table.id;
    catalogue.put_table(table);
    tx.define(Id::INDEXES, index, None, catalogue, table_id)
}

/// What an index is to be.
struct NewIndex {
    name: Option<Name>,
    /// Appended to a generated name: `pkey`, `key`, `idx`.
    suffix: &'static str,
    paths: Vec<Vec<PathStep>>,
    unique: bool,
    primary: bool,
    only_index: bool,
}

/// Makes an index: online at once if the table is empty, otherwise to be built when the transaction has committed.
fn add_index(tx: &mut Transaction, table: Id, new: NewIndex) -> Result<Id> {
    let catalogue = tx.catalogue();
    let Some(table) = catalogue.table_by_id(&table) else {
        return Err(QueryError::internal("an index without a table"));
    };
    let name = match &new.name {
        Some(name) => {
            check_name(name, "index")?;
            if tx.relation_exists(&name.text) {
                let message = format!("relation \"{}\" already exists", name.text);
                return Err(QueryError::new(SqlState::DUPLICATE_TABLE, message).at(name.span));
            }
            name.text.clone()
        }
        None => free_name(tx, table, &new),
    };
    let building = tx.has_published_documents(table)?;
    let (id, table_id) = (tx.database().new_document_id(), table.id);
    if new.unique && !building {
        check_own_documents(tx, table, &new, &name)?;
    }
    put_index(
        tx,
        Index {
            id,
            table_id,
            name,
            paths: new.paths,
            unique: new.unique,
            primary: new.primary,
            only_index: new.only_index,
            status: if building { IndexStatus::Building } else { IndexStatus::Online },
            comment: None,
            constraint_comment: None,
            message: None,
            from_position: 0,
            definition_version: 0,
            defined_at: u64::MAX,
        },
    )?;
    Ok(id)
}

/// A table whose documents are all this transaction's own: they must be unique already.
fn check_own_documents(tx: &Transaction, table: &Table, new: &NewIndex, name: &Arc<str>) -> Result<()> {
    let index = Index {
        id: Id::ZERO,
        table_id: table.id,
        name: name.clone(),
        paths: new.paths.clone(),
        unique: true,
        primary: new.primary,
        only_index: new.only_index,
        status: IndexStatus::Building,
        comment: None,
        constraint_comment: None,
        message: None,
        from_position: 0,
        definition_version: 0,
        defined_at: u64::MAX,
    };
    let mut seen = BTreeSet::new();
    for data in tx.own_documents(table)? {
        if index.key_is_complete(&data) && !seen.insert(index.key_of(&data)) {
            return Err(crate::database::unique_violation(&table.name, &index, &data));
        }
    }
    Ok(())
}

fn free_name(tx: &Transaction, table: &Table, new: &NewIndex) -> Arc<str> {
    let mut stem = table.name.to_string();
    if new.suffix != "pkey" {
        for path in &new.paths {
            stem.push('_');
            stem.extend(path_text(path).chars().map(|c| if c.is_alphanumeric() { c } else { '_' }));
        }
    }
    let stem: String = stem.chars().take(NAME_CHARACTERS_MAX - 12).collect();
    let first = format!("{stem}_{}", new.suffix);
    let more = (1..).map(|n| format!("{stem}_{}{n}", new.suffix));
    std::iter::once(first).chain(more).find(|name| !tx.relation_exists(name)).unwrap_or(stem).into()
}

fn create_index(tx: &mut Transaction, create: &CreateIndex, info: &SessionInfo) -> Result<DdlOutcome> {
    let table = existing_table(tx, &create.table, info)?;
    if let Some(name) = &create.name
        && create.if_not_exists
        && tx.relation_exists(&name.text)
    {
        let notice = format!("relation \"{}\" already exists, skipping", name.text);
        return Ok(DdlOutcome::nothing("CREATE INDEX", notice));
    }
    if create.columns.len() > INDEX_PATHS_MAX {
        return Err(QueryError::new(
            SqlState::TOO_MANY_COLUMNS,
            format!("an index has at most {INDEX_PATHS_MAX} columns, not {}", create.columns.len()),
        ));
    }
    let paths = create.columns.iter().map(|e| index_path(&table, e)).collect::<Result<Vec<_>>>()?;
    if paths.is_empty() {
        return Err(QueryError::new(SqlState::INVALID_OBJECT_DEFINITION, "an index needs a column"));
    }
    // QLDB has one index per field: asking again is an error there. Unnamed ones are compared by what they cover.
    if create.name.is_none() && table.indexes.iter().any(|i| i.paths == paths && i.unique == create.unique) {
        let error = QueryError::new(
            SqlState::DUPLICATE_OBJECT,
            format!("table \"{}\" has an index on ({}) already", table.name, join_paths(&paths)),
        );
        return if create.if_not_exists {
            Ok(DdlOutcome::nothing("CREATE INDEX", format!("{error}, skipping")))
        } else {
            Err(error)
        };
    }
    let (unique, only_index) = (create.unique, create.unique);
    let new = NewIndex { name: create.name.clone(), suffix: "idx", paths, unique, primary: false, only_index };
    add_index(tx, table.id, new)?;
    Ok(DdlOutcome::done("CREATE INDEX", table.id))
}

/// Makes a table that has its id, its state and its indexes from elsewhere. No rule for names holds: they were given long
/// ago. Says how many of the indexes are none that could be made.
pub(crate) fn restore_table(tx: &mut Transaction, table: Table, indexes: &[CreateIndex]) -> Result<u64> {
    let (id, mut unmade) = (put_table(tx, table)?, 0);
    for create in indexes {
        let Some(table) = tx.catalogue().table_by_id(&id).cloned() else { continue };
        match create.columns.iter().map(|e| index_path(&table, e)).collect::<Result<Vec<_>>>() {
            Ok(paths) => {
                add_index(
                    tx,
                    id,
                    NewIndex { name: None, suffix: "idx", paths, unique: false, primary: false, only_index: false },
                )?;
            }
            Err(_) => unmade += 1,
        }
    }
    Ok(unmade)
}

fn join_paths(paths: &[Vec<PathStep>]) -> String {
    paths.iter().map(|p| path_text(p)).collect::<Vec<_>>().join(", ")
}

fn drop_indexes(
    tx: &mut Transaction,
    names: &[Name],
    on: Option<&TableName>,
    if_exists: bool,
    info: &SessionInfo,
) -> Result<DdlOutcome> {
    let mut outcome = DdlOutcome::of("DROP INDEX");
    for name in names {
        let found = match on {
            Some(table) => {
                let table = existing_table(tx, table, info)?;
                let index = table.indexes.iter().find(|i| i.id.to_string() == *name.text || i.name == name.text);
                index.map(|i| (table.clone(), i.clone()))
            }
            None => {
                tx.read_name(&name.text);
                tx.catalogue().index_by_name(&name.text).map(|(t, i)| (t.clone(), i.clone()))
            }
        };
        match found {
            Some((_, index)) if index.primary && index.status != IndexStatus::Failed => {
                return Err(QueryError::new(
                    SqlState::DEPENDENT_OBJECTS,
                    format!("cannot drop index \"{}\": it is the primary key", index.name),
                )
                .hint("Drop the constraint with ALTER TABLE … DROP CONSTRAINT.")
                .at(name.span));
            }
            Some((table, index)) => {
                remove_index(tx, table.id, index.id)?;
                outcome.table_id = Some(table.id);
            }
            None if if_exists => outcome.notice = Some(format!("index \"{}\" does not exist, skipping", name.text)),
            None => {
                let message = format!("index \"{}\" does not exist", name.text);
                return Err(QueryError::new(SqlState::UNDEFINED_OBJECT, message).at(name.span));
            }
        }
    }
    Ok(outcome)
}

/// An indexed expression as a path.
fn index_path(table: &Table, expr: &Expr) -> Result<Vec<PathStep>> {
    let mut path = Vec::new();
    collect_path(expr, table.is_declared(), &mut path, 0)?;
    match path.first() {
        Some(PathStep::Field(name)) => {
            if &**name == SALT_FIELD {
                return Err(
                    QueryError::new(SqlState::RESERVED_NAME, format!("{SALT_FIELD} cannot be indexed")).at(expr.span)
                );
            }
            if table.is_declared() && table.column(name).is_none() {
                return Err(no_such_column(table, name).at(expr.span));
            }
            Ok(path)
        }
        _ => Err(not_a_path(expr)),
    }
}

/// A declared column goes by its folded name, a field of a document by the name as written.
fn collect_path(expr: &Expr, declared: bool, path: &mut Vec<PathStep>, depth: usize) -> Result<()> {
    if depth > PATH_STEPS_MAX {
        return Err(QueryError::new(SqlState::STATEMENT_TOO_COMPLEX, "an indexed path is too long").at(expr.span));
    }
    match &expr.kind {
        ExprKind::Name(name) if declared => path.push(PathStep::Field(name.text.clone())),
        ExprKind::Name(name) => path.push(PathStep::Field(name.written.clone())),
        ExprKind::Path { base, steps } => {
            collect_path(base, declared, path, depth + 1)?;
            for step in steps {
                path.push(match step {
                    ast::PathStep::Field(name) => PathStep::Field(name.written.clone()),
                    ast::PathStep::Index(index) => index_step(index)?,
                    _ => return Err(not_a_path(expr)),
                });
            }
            if path.len() > PATH_STEPS_MAX {
                let message = format!("an indexed path has at most {PATH_STEPS_MAX} steps");
                return Err(QueryError::new(SqlState::STATEMENT_TOO_COMPLEX, message).at(expr.span));
            }
        }
        _ => return Err(not_a_path(expr)),
    }
    Ok(())
}

fn index_step(index: &Expr) -> Result<PathStep> {
    match &index.kind {
        ExprKind::Literal(Value::String(name)) => Ok(PathStep::Field(name.clone().into())),
        ExprKind::Literal(value) => match value.as_i64().and_then(|i| u32::try_from(i).ok()) {
            Some(at) => Ok(PathStep::Element(at)),
            None => Err(not_a_path(index)),
        },
        _ => Err(not_a_path(index)),
    }
}

fn not_a_path(expr: &Expr) -> QueryError {
    QueryError::unsupported("an index on anything but a column or a path such as owner.address.city or list[0]")
        .at(expr.span)
}

fn no_such_column(table: &Table, name: &str) -> QueryError {
    QueryError::new(
        SqlState::UNDEFINED_COLUMN,
        format!("column \"{name}\" of relation \"{}\" does not exist", table.name),
    )
}
