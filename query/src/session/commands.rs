//! Statements about the session and the server rather than about documents: SET, SHOW, savepoints, databases, EXPLAIN.

use std::sync::Arc;
use std::time::Instant;

use ledgerstone_digest::ion::Value;

use super::response::{Response, RowStream};
use super::run::Job;
use super::{Mark, Session, SettingError, Settings, Trace, Work, commit_report};
use crate::ast::{Alias, Delete, Expr, ExprKind, From, PathStep, SetValue, Statement, TableName};
use crate::bind::plan::{Plan, ResultColumn};
use crate::catalogue::ddl::existing_table;
use crate::error::{QueryError, SqlState};
use crate::exec::Row;
use crate::permission::{Action, Resource};
use crate::transaction::{Savepoint, Transaction, View};
use crate::types::SqlType;

impl Session {
    pub(super) fn set(&mut self, name: &str, value: &SetValue, local: bool) -> Result<Response, QueryError> {
        let text = match value {
            SetValue::Default => None,
            SetValue::Values(values) => Some(values.iter().map(setting_text).collect::<Vec<_>>().join(", ")),
        };
        match (name.to_ascii_lowercase().as_str(), text.as_deref()) {
            // Every level is honoured by the strictest.
            ("transaction_isolation" | "transaction isolation level", Some(level)) => {
                self.info.settings.clone().set("default_transaction_isolation", level).map_err(refused)?;
            }
            ("transaction_read_only", Some(flag)) => self.set_read_only(flag)?,
            ("session_authorization" | "role", None | Some("none")) => {}
            (_, text) => self.change_setting(local, |settings, base| match text {
                Some(text) => settings.set(name, text),
                None => settings.reset(name, base),
            })?,
        }
        Ok(Response::Done { tag: "SET".to_owned() })
    }

    /// SET TRANSACTION, and with `session` SET SESSION CHARACTERISTICS AS TRANSACTION.
    pub(super) fn set_transaction(
        &mut self,
        session: bool,
        isolation: Option<&'static str>,
        read_only: Option<bool>,
    ) -> Result<Response, QueryError> {
        let flag = read_only.map(|on| if on { "on" } else { "off" });
        if session {
            self.change_setting(false, |settings, _| {
                isolation.map_or(Ok(()), |level| settings.set("default_transaction_isolation", level))?;
                flag.map_or(Ok(()), |flag| settings.set("default_transaction_read_only", flag))
            })?;
        } else if !matches!(self.work, Work::Explicit(_)) {
            self.notice("WARNING", "25P01", "SET TRANSACTION can only be used in transaction blocks");
        } else if let Some(flag) = flag {
            // The level asked for changes nothing: every transaction is serializable.
            self.set_read_only(flag)?;
        }
        Ok(Response::Done { tag: "SET".to_owned() })
    }

    /// What `set_config` asked for in the statement that has just ended.
    pub(super) fn grant_wishes(&mut self) -> Result<(), QueryError> {
        let mut wishes = self.info.wishes.take();
        // What is local to a statement that is a transaction of its own has ended with it.
        wishes.retain(|wish| !wish.local || !matches!(self.work, Work::Idle));
        if wishes.is_empty() {
            return Ok(());
        }
        let all = wishes.iter().map(|wish| (&*wish.name, &*wish.value));
        let lasting = wishes.iter().filter(|wish| !wish.local).map(|wish| (&*wish.name, &*wish.value));
        let mut settings = self.info.settings.clone();
        settings.set_all(all).map_err(refused)?;
        self.token_in_time(&settings)?;
        if let Work::Explicit(open) | Work::Implicit(open) = &mut self.work
            && (open.settings_after.is_some() || wishes.iter().any(|wish| wish.local))
        {
            let mut after = open.settings_after.as_ref().unwrap_or(&self.info.settings).clone();
            after.set_all(lasting).map_err(refused)?;
            open.settings_after = Some(after);
        }
        self.info.settings = settings;
        self.follow_settings();
        Ok(())
    }

    pub(super) fn reset(&mut self, name: Option<&str>) -> Result<Response, QueryError> {
        self.change_setting(false, |settings, base| match name {
            Some(name) => settings.reset(name, base),
            None => {
                *settings = base.clone();
                Ok(())
            }
        })?;
        Ok(Response::Done { tag: "RESET".to_owned() })
    }

    /// Changes the settings in force and, unless the change is local to the transaction, those after it.
    fn change_setting(
        &mut self,
        local: bool,
        change: impl Fn(&mut Settings, &Settings) -> Result<(), SettingError>,
    ) -> Result<(), QueryError> {
        if local && matches!(self.work, Work::Idle) {
            self.notice("WARNING", "25P01", "SET LOCAL can only be used in transaction blocks");
            return Ok(());
        }
        let mut settings = self.info.settings.clone();
        change(&mut settings, &self.base).map_err(refused)?;
        self.token_in_time(&settings)?;
        if let Work::Explicit(open) | Work::Implicit(open) = &mut self.work {
            if local && open.settings_after.is_none() {
                open.settings_after = Some(self.info.settings.clone());
            } else if !local && let Some(after) = &mut open.settings_after {
                change(after, &self.base).map_err(refused)?;
            }
        }
        self.info.settings = settings;
        self.follow_settings();
        Ok(())
    }

    /// A transaction has its token from its beginning: one that came later would promise what nobody keeps.
    fn token_in_time(&self, settings: &Settings) -> Result<(), QueryError> {
        let token = settings.client_token();
        let is_other = token.is_some() && token != self.info.settings.client_token();
        match &self.work {
            Work::Explicit(open) | Work::Implicit(open) if is_other && open.tx.is_some() => {
                let message = "ledgerstone.client_token must be set before the transaction's first statement";
                Err(QueryError::new(SqlState::ACTIVE_SQL_TRANSACTION, message))
            }
            _ => Ok(()),
        }
    }

    fn set_read_only(&mut self, flag: &str) -> Result<(), QueryError> {
        let on = matches!(flag, "on" | "true" | "1" | "yes");
        match &mut self.work {
            Work::Explicit(open) if open.tx.is_none() || open.read_only == on => {
                open.read_only = on;
                Ok(())
            }
            Work::Explicit(_) => Err(QueryError::new(
                SqlState::ACTIVE_SQL_TRANSACTION,
                "transaction read-write mode must be set before any query",
            )),
            Work::Idle | Work::Implicit(_) => {
                self.notice("WARNING", "25P01", "SET TRANSACTION can only be used in transaction blocks");
                Ok(())
            }
        }
    }

    /// LOCK: everything in these tables counts as read, so that whoever changes them first makes the other's commit
    /// fail. Nobody waits.
    pub(super) fn lock_tables(&mut self, tables: &[TableName], alone: bool) -> Result<Response, QueryError> {
        if alone && matches!(self.work, Work::Idle) {
            let message = "LOCK TABLE can only be used in transaction blocks";
            return Err(QueryError::new(SqlState::NO_ACTIVE_TRANSACTION, message));
        }
        self.join();
        let (tx, _) = self.take_tx()?;
        let outcome = tables.iter().try_for_each(|name| {
            let table = existing_table(&tx, name, &self.info)?;
            if let Some(permit) = &self.info.permit {
                permit.check_table(Action::Select, &table)?;
            }
            tx.scan(&table, View::Current).map(|_| ())
        });
        if let Some(open) = self.open() {
            open.tx = Some(tx);
        }
        outcome.map(|()| Response::Done { tag: "LOCK TABLE".to_owned() })
    }

    /// ANALYZE and VACUUM, which have nothing to do.
    pub(super) fn maintain(&mut self, command: &'static str, tables: &[TableName]) -> Result<Response, QueryError> {
        if command == "VACUUM" && !matches!(self.work, Work::Idle) {
            let message = "VACUUM cannot run inside a transaction block";
            return Err(QueryError::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
        }
        let idle = matches!(self.work, Work::Idle);
        let tx = if idle { self.begin_transaction(true)? } else { self.take_tx()?.0 };
        let outcome = tables.iter().try_for_each(|name| existing_table(&tx, name, &self.info).map(|_| ()));
        if let Some(open) = self.open() {
            open.tx = Some(tx);
        }
        outcome?;
        self.notice("NOTICE", "00000", format!("{command} has nothing to do: the server maintains its files itself"));
        Ok(Response::Done { tag: command.to_owned() })
    }

    /// TRUNCATE: every document of these tables is deleted. Their history stays.
    pub(super) fn truncate(
        &mut self,
        tx: &mut Transaction,
        job: Job<'_>,
        tables: &[TableName],
    ) -> Result<Response, QueryError> {
        let plans = self.truncation(tx, job, tables)?;
        if tx.is_read_only() {
            let message = "cannot execute TRUNCATE TABLE in a read-only transaction";
            return Err(QueryError::new(SqlState::READ_ONLY_TRANSACTION, message));
        }
        tx.begin_statement(job.own_text(), &[])?;
        let info = &self.info;
        let mut outcome = Ok(());
        let mut work = || {
            outcome = plans.iter().try_for_each(|plan| crate::exec::run(plan, tx, &[], info).map(|_| ()));
        };
        self.runtime.long(&mut work);
        outcome.map(|()| Response::Done { tag: "TRUNCATE TABLE".to_owned() })
    }

    /// TRUNCATE as the deletions that it is.
    pub(super) fn truncation(
        &mut self,
        tx: &mut Transaction,
        job: Job<'_>,
        tables: &[TableName],
    ) -> Result<Vec<Arc<Plan>>, QueryError> {
        let mut plans = Vec::with_capacity(tables.len());
        for name in tables {
            let base = Expr { kind: ExprKind::Name(name.name.clone()), span: name.name.span };
            let path = match &name.schema {
                Some(schema) => Expr {
                    kind: ExprKind::Path {
                        base: Box::new(Expr { kind: ExprKind::Name(schema.clone()), span: schema.span }),
                        steps: vec![PathStep::Field(name.name.clone())],
                    },
                    span: name.name.span,
                },
                None => base,
            };
            let from = vec![From::Path { path, as_of: None, alias: Alias::default() }];
            let delete = Delete { with: Vec::new(), recursive: false, from, filter: None, returning: Vec::new() };
            plans.push(self.bind(tx, job, &Statement::Delete(Box::new(delete)))?);
        }
        Ok(plans)
    }

    pub(super) fn show(&mut self, name: &str) -> Result<Response, QueryError> {
        if name.eq_ignore_ascii_case("all") {
            let rows = self.info.settings.all();
            let rows = rows.map(|p| vec![text(p.name), text(p.value), text(p.about())]).collect();
            return Ok(rows_of(show_columns(name), rows));
        }
        let value = match name.to_ascii_lowercase().as_str() {
            "ledgerstone.last_commit" => self.last_commit().as_ref().map(commit_report).unwrap_or_default(),
            "transaction_read_only" => match &self.work {
                Work::Explicit(open) | Work::Implicit(open) if open.read_only => "on".to_owned(),
                _ => "off".to_owned(),
            },
            own if own.starts_with("ledgerstone.") && self.info.settings.get(own).is_none() => self.show_proof(own)?,
            _ => match self.info.settings.get(name) {
                Some(value) => value.to_owned(),
                None => return Err(refused(SettingError::Unknown(name.to_owned()))),
            },
        };
        Ok(rows_of(show_columns(name), vec![vec![text(&value)]]))
    }

    /// What a verifier wants to know of the ledger.
    fn show_proof(&mut self, name: &str) -> Result<String, QueryError> {
        match name {
            "ledgerstone.ledger" => Ok(self.info.ledger.to_string()),
            "ledgerstone.snapshot" => Ok(self.database.snapshot().to_string()),
            "ledgerstone.checkpoint" => {
                if let Some(permit) = &self.info.permit {
                    permit.check(Action::GetDigest, Resource::Ledger)?;
                }
                crate::function::proof::checkpoint(&self.database)
            }
            "ledgerstone.vkey" => Ok(self.database.ledger().vkey().to_string()),
            "ledgerstone.origin" => Ok(self.database.ledger().origin().to_owned()),
            _ => Err(refused(SettingError::Unknown(name.to_owned())).hint(
                "Of the ledger, SHOW knows ledgerstone.last_commit, .checkpoint, .vkey, .origin, .ledger and .snapshot.",
            )),
        }
    }

    pub(super) fn savepoint_command(&mut self, statement: &Statement) -> Result<Response, QueryError> {
        let settings = self.info.settings.clone();
        let Work::Explicit(open) = &mut self.work else {
            return Err(QueryError::new(
                SqlState::NO_ACTIVE_TRANSACTION,
                "savepoints can only be used in transaction blocks",
            ));
        };
        let find = |open: &super::Open, name: &crate::ast::Name| {
            open.savepoints.iter().rposition(|mark| mark.name == name.text).ok_or_else(|| {
                QueryError::new(SqlState::INVALID_SAVEPOINT, format!("savepoint \"{}\" does not exist", name.text))
                    .at(name.span)
            })
        };
        let tag = match statement {
            Statement::Savepoint(name) => {
                let place = open.tx.as_ref().map_or(Savepoint::BEGINNING, Transaction::savepoint);
                let settings_after = open.settings_after.clone();
                let mark = Mark { name: Arc::clone(&name.text), place, settings, settings_after, bytes: 0 };
                open.savepoints.push(mark.after(open.savepoints.last()).map_err(|error| error.at(name.span))?);
                "SAVEPOINT"
            }
            Statement::ReleaseSavepoint(name) => {
                let at = find(open, name)?;
                open.savepoints.truncate(at);
                self.release_cursors(at);
                "RELEASE"
            }
            Statement::RollbackToSavepoint(name) => {
                let at = find(open, name)?;
                open.savepoints.truncate(at + 1);
                if let Some(mark) = open.savepoints.last() {
                    // What has been read since still counts, and the snapshot stays, also where nothing was read before.
                    if let Some(tx) = &mut open.tx {
                        tx.rollback_to(mark.place)?;
                    }
                    self.info.settings = mark.settings.clone();
                    open.settings_after = mark.settings_after.clone();
                }
                open.failed = false;
                self.roll_back_cursors(at);
                "ROLLBACK"
            }
            _ => return Err(QueryError::internal("not a savepoint statement")),
        };
        self.follow_settings();
        Ok(Response::Done { tag: tag.to_owned() })
    }

    pub(super) fn database_command(&mut self, statement: &Statement) -> Result<Response, QueryError> {
        if !matches!(self.work, Work::Idle) {
            let what = if matches!(statement, Statement::CreateDatabase { .. }) { "CREATE" } else { "DROP" };
            return Err(QueryError::new(
                SqlState::ACTIVE_SQL_TRANSACTION,
                format!("{what} DATABASE cannot run inside a transaction block"),
            ));
        }
        let Some(instance) = self.instance.clone() else {
            return Err(QueryError::unsupported("CREATE DATABASE and DROP DATABASE on a ledger opened by itself"));
        };
        let exists = |name: &str| instance.ledgers().iter().any(|ledger| ledger.name == name);
        match statement {
            Statement::CreateDatabase { name, if_not_exists } => {
                instance.check_operator(&name.text, &self.info.user, Action::CreateLedger)?;
                if exists(&name.text) {
                    let message = format!("database \"{}\" already exists", name.text);
                    if !*if_not_exists {
                        return Err(QueryError::new(SqlState::DUPLICATE_DATABASE, message).at(name.span));
                    }
                    self.notice("NOTICE", "42P04", format!("{message}, skipping"));
                } else {
                    let mut outcome = Ok(());
                    let mut work = || outcome = instance.create_ledger(&name.text, false).map(|_| ());
                    self.runtime.long(&mut work);
                    outcome.map_err(|error| error.at(name.span))?;
                }
                Ok(Response::Done { tag: "CREATE DATABASE".to_owned() })
            }
            Statement::DropDatabase { name, if_exists } => {
                instance.check_operator(&name.text, &self.info.user, Action::DeleteLedger)?;
                if *name.text == *self.info.ledger {
                    return Err(QueryError::new(SqlState::OBJECT_IN_USE, "cannot drop the currently open database")
                        .at(name.span));
                }
                if *if_exists && !exists(&name.text) {
                    self.notice("NOTICE", "00000", format!("database \"{}\" does not exist, skipping", name.text));
                } else {
                    let mut outcome = Ok(());
                    let mut work = || outcome = instance.drop_ledger(&name.text);
                    self.runtime.long(&mut work);
                    outcome.map_err(|error| error.at(name.span))?;
                }
                Ok(Response::Done { tag: "DROP DATABASE".to_owned() })
            }
            _ => Err(QueryError::internal("not a database statement")),
        }
    }

    pub(super) fn explain(
        &mut self,
        tx: &mut Transaction,
        job: Job<'_>,
        statement: &Statement,
        analyze: bool,
    ) -> Result<Response, QueryError> {
        let started = Instant::now();
        let plan = self.bind(tx, job, statement)?;
        let planned = started.elapsed();
        let mut lines = plan.explain_lines(tx, &self.info);
        if analyze {
            let started = Instant::now();
            let trace = Arc::new(Trace::default());
            self.info.trace = Some(Arc::clone(&trace));
            let answer = self.run_plan(tx, job, &plan);
            self.info.trace = None;
            let answer = answer?;
            lines.extend(trace.take());
            let tag = match answer {
                Response::Rows { mut rows, .. } => {
                    while rows.next_chunk()?.is_some() {}
                    rows.tag()
                }
                Response::Done { tag } => tag,
                _ => String::new(),
            };
            lines.push(format!("Result: {tag}"));
            lines.push(format!("Planning Time: {:.3} ms", planned.as_secs_f64() * 1e3));
            lines.push(format!("Execution Time: {:.3} ms", started.elapsed().as_secs_f64() * 1e3));
        }
        let rows = lines.iter().map(|line| vec![text(line)]).collect();
        let columns = text_columns(&["QUERY PLAN"]);
        Ok(Response::Rows { columns, rows: RowStream::of(rows, "EXPLAIN") })
    }
}

/// Columns of type text.
pub(super) fn text_columns(names: &[&str]) -> Arc<[ResultColumn]> {
    names.iter().map(|name| ResultColumn::computed(*name, SqlType::Text)).collect()
}

/// The columns of SHOW.
pub(super) fn show_columns(name: &str) -> Arc<[ResultColumn]> {
    if name.eq_ignore_ascii_case("all") {
        return text_columns(&["name", "setting", "description"]);
    }
    text_columns(&[super::settings::spelling(&name.to_ascii_lowercase())])
}

fn rows_of(columns: Arc<[ResultColumn]>, rows: Vec<Row>) -> Response {
    Response::Rows { columns, rows: RowStream::of(rows, "SHOW") }
}

fn text(text: &str) -> Option<Value> {
    Some(Value::string(text))
}

/// A value of SET as the text it stands for.
fn setting_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        other => crate::value::text::format_untyped(other),
    }
}

impl std::convert::From<SettingError> for QueryError {
    fn from(error: SettingError) -> QueryError {
        refused(error)
    }
}

/// Bytes that the savepoints of a transaction take: half a million and more of them, for there are drivers that set one for
/// each statement and never release it.
const SAVEPOINTS_BYTES_MAX: usize = 64 << 20;

impl Mark {
    /// Set after another one, with which it shares what is the same.
    fn after(mut self, before: Option<&Mark>) -> Result<Mark, QueryError> {
        const SHARED_TEXT_BYTES: usize = 16;
        let mut bytes = before.map_or(0, |before| before.bytes) + size_of::<Mark>();
        match before {
            Some(before) if before.name == self.name => self.name = Arc::clone(&before.name),
            _ => bytes += SHARED_TEXT_BYTES + self.name.len(),
        }
        bytes += self.settings.bytes_beside(before.map(|before| &before.settings));
        bytes += self
            .settings_after
            .as_ref()
            .map_or(0, |after| after.bytes_beside(before.and_then(|before| before.settings_after.as_ref())));
        if bytes > SAVEPOINTS_BYTES_MAX {
            let message = format!("the savepoints of a transaction may have {SAVEPOINTS_BYTES_MAX} bytes together");
            return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
                .hint("RELEASE those that are not needed any more."));
        }
        self.bytes = bytes;
        Ok(self)
    }
}

fn refused(error: SettingError) -> QueryError {
    let code = match &error {
        SettingError::Unknown(_) => SqlState::UNDEFINED_OBJECT,
        SettingError::ReadOnly(_) => SqlState::CANNOT_CHANGE_PARAMETER,
        SettingError::Invalid { .. } => SqlState::INVALID_PARAMETER_VALUE,
        SettingError::TooLong => SqlState::PROGRAM_LIMIT_EXCEEDED,
    };
    let message = error.to_string();
    let query_error = QueryError::new(code, message);
    match error {
        SettingError::Invalid { hint, .. } => query_error.hint(hint),
        SettingError::TooLong => query_error.hint("RESET those that are not needed, or keep long texts in a table."),
        SettingError::Unknown(_) | SettingError::ReadOnly(_) => query_error,
    }
}
