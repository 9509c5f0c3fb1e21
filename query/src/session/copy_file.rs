//! `COPY t TO 'name' (FORMAT parquet)`: a verified export of a table, written by the server below its export directory
//! (docs/format.md, "Export").
//!
//! `COPY t` and `COPY (SELECT * FROM t)` are the table's current documents, `COPY (SELECT * FROM history(t))` all its
//! revisions. Other queries are refused: their rows alone could be shown to be in the ledger, not to be complete.

use std::path::PathBuf;
use std::sync::Arc;

use super::response::Response;
use super::run::canceled;
use super::{Session, Work};
use crate::ast::{Alias, Copy, CopyTarget, Distinct, ExprKind, From, Name, Projection, Query, SelectItem, SetExpr};
use crate::catalogue::Table;
use crate::error::{QueryError, SqlState};
use crate::export::manifest::{Manifest, Scope};
use crate::export::{ExportError, ExportOptions, export};
use crate::permission::Action;

/// The longest name of an export.
const NAME_BYTES_MAX: usize = 128;

impl Session {
    pub(super) fn copy_to_file(&mut self, copy: &Copy, file: &str) -> Result<Response, QueryError> {
        if !matches!(self.work, Work::Idle) {
            return Err(QueryError::new(
                SqlState::ACTIVE_SQL_TRANSACTION,
                "COPY to a file of the server cannot run inside a transaction block",
            )
            .hint("An export holds what is committed, at a signed checkpoint."));
        }
        let path = self.export_path(file)?;
        let (table, scope) = self.exported(copy)?;
        if let Some(permit) = &self.info.permit {
            let action = if scope == Scope::History { Action::HistoryFunction } else { Action::Select };
            permit.check_table(action, &table)?;
        }
        let options = ExportOptions { scope, tables: vec![table.id.to_string()], ..ExportOptions::default() };
        let database = Arc::clone(&self.database);
        let cancel = self.info.cancel.clone();
        let mut outcome = Err(ExportError::Cancelled);
        let mut work = || outcome = export(&*database, &path, &options, &mut |_| cancel.reason().is_none());
        self.runtime.long(&mut work);
        let manifest = outcome.map_err(|error| match (&error, self.info.cancel.reason()) {
            (ExportError::Cancelled, Some(reason)) => canceled(reason),
            _ => export_error(&error, file),
        })?;
        let rows = rows_of(&manifest, &table);
        tracing::info!(ledger = %self.info.ledger, user = %self.info.user, name = file, rows, "a table was exported");
        self.notice(
            "NOTICE",
            "00000",
            format!(
                "exported at size {} of {}; verify it: ledgerstone verify {} --key VKEY",
                manifest.size,
                manifest.origin,
                path.display()
            ),
        );
        Ok(Response::Done { tag: format!("COPY {rows}") })
    }

    /// Where an export of this name goes: directly below the export directory, and nothing may be there.
    fn export_path(&self, name: &str) -> Result<PathBuf, QueryError> {
        let Some(directory) = self.instance.as_ref().and_then(|instance| instance.exports()) else {
            return Err(QueryError::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                "this server has no export directory",
            )
            .hint("Start it with --exports DIR; or stop it and run `ledgerstone export`; or use COPY … TO STDOUT."));
        };
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !plain || name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with(['.', '-']) {
            return Err(QueryError::new(SqlState::INVALID_NAME, format!("\"{name}\" cannot be the name of an export"))
                .hint(format!(
                    "A name has 1 to {NAME_BYTES_MAX} letters, digits, points, dashes and underscores, and begins with \
                     none of the last three but an underscore; the export is made directly in the export directory."
                )));
        }
        let path = directory.join(name);
        // Links count as well, wherever they lead.
        if path.symlink_metadata().is_ok() {
            return Err(QueryError::new(SqlState::DUPLICATE_FILE, format!("there is an export \"{name}\" already"))
                .hint("Take another name; exports are never overwritten."));
        }
        Ok(path)
    }

    /// The table, and whether its history or what it holds now is wanted.
    fn exported(&self, copy: &Copy) -> Result<(Arc<Table>, Scope), QueryError> {
        let refused = || {
            QueryError::unsupported("an export of anything but a whole table").hint(
                "Use COPY table, COPY (SELECT * FROM table) or COPY (SELECT * FROM history(table)): only those can be shown \
                 to be complete. Rows of any query come with COPY … TO STDOUT.",
            )
        };
        let (name, scope) = match &copy.target {
            CopyTarget::Table { table, columns } => match &table.schema {
                _ if !columns.is_empty() => return Err(refused().at(table.name.span)),
                Some(schema) if &*schema.text != "public" => return Err(refused().at(schema.span)),
                _ => (&table.name, Scope::Current),
            },
            CopyTarget::Query(query) => whole_table(query).ok_or_else(|| refused().at(query.span))?,
            CopyTarget::Change(_) => return Err(refused()),
        };
        let catalogue = self.database.catalogue();
        let found = catalogue.table(&name.text).or_else(|| catalogue.table(&name.written));
        let table = found.ok_or_else(|| {
            QueryError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{}\" does not exist", name.text))
                .at(name.span)
        })?;
        Ok((Arc::clone(table), scope))
    }
}

/// `SELECT * FROM t` and `SELECT * FROM history(t)`, and nothing else.
fn whole_table(query: &Query) -> Option<(&Name, Scope)> {
    let SetExpr::Select(select) = &query.body else { return None };
    let bare = query.with.is_empty() && query.order_by.is_empty() && query.limit.is_none() && query.offset.is_none();
    let all = matches!(&select.projection, Projection::Items(items) if matches!(&items[..], [SelectItem::Wildcard(_)]));
    let whole = select.filter.is_none()
        && select.group_by.is_empty()
        && select.having.is_none()
        && select.distinct == Distinct::No;
    let unnamed = |alias: &Alias| alias.columns.is_empty() && alias.at.is_none() && alias.by.is_none();
    match &select.from[..] {
        [From::Path { path, as_of: None, alias }] if bare && all && whole && unnamed(alias) => match &path.kind {
            ExprKind::Name(name) => Some((name, Scope::Current)),
            _ => None,
        },
        [From::Function { name, arguments, with_ordinality: false, alias, .. }]
            if bare && all && whole && unnamed(alias) && name.name.text.eq_ignore_ascii_case("history") =>
        {
            match &arguments[..] {
                [argument] => match &argument.kind {
                    ExprKind::Name(name) => Some((name, Scope::History)),
                    _ => None,
                },
                _ => None,
            }
        }
        _ => None,
    }
}

fn rows_of(manifest: &Manifest, table: &Table) -> u64 {
    let id = table.id.to_string();
    manifest.tables.iter().filter(|entry| entry.id == id).map(|entry| entry.rows).sum()
}

fn export_error(error: &ExportError, name: &str) -> QueryError {
    let code = match error {
        ExportError::Exists(_) => SqlState::DUPLICATE_FILE,
        ExportError::NoTable(_) => SqlState::UNDEFINED_TABLE,
        ExportError::Cancelled => SqlState::QUERY_CANCELED,
        ExportError::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => SqlState::DISK_FULL,
        _ => SqlState::IO_ERROR,
    };
    QueryError::new(code, format!("\"{name}\" was not exported: {error}"))
}
