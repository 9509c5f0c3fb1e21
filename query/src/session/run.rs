//! Running statements: texts with several, prepared ones, and what is run again after a conflict.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use ledgerstone_digest::Id;
use ledgerstone_digest::ion::{Struct, Value};

use super::response::{Response, RowStream, command_tag};
use super::{
    Cancel, CancelReason, Dialect, Door, Open, Prepared, RERUNS_MAX, Session, SessionInfo, TransactionStatus, Work,
    failed_transaction, now_ms,
};
use crate::Parsed;
use crate::ast::Statement;
use crate::bind::plan::{Plan, ResultColumn};
use crate::bind::{self, PlanContext};
use crate::error::{QueryError, SqlState};
use crate::exec::{self, Outcome};
use crate::plan_cache::PlanCache;
use crate::transaction::{Again, NotedText, Transaction};
use crate::types::SqlType;
use crate::work::Held;

/// A text whose statements are run one after another.
pub struct Batch {
    text: Arc<str>,
    statements: Arc<[Parsed]>,
    next: usize,
}

/// One statement and what belongs to it.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    /// The whole text, which spans refer to.
    pub text: &'a Arc<str>,
    pub parsed: &'a Parsed,
    pub dialect: Dialect,
    pub parameters: &'a [Option<Value>],
    pub types: &'a [Option<SqlType>],
    /// The text is this statement alone, so its plan may be kept under it.
    pub alone: bool,
    /// What the client was told of the statement when it was prepared, if it reads the answer by that.
    pub told: Option<&'a Prepared>,
}

impl Job<'_> {
    /// The statement's own text.
    pub fn own_text(&self) -> &str {
        let span = self.parsed.text;
        self.text.get(span.start as usize..span.end as usize).unwrap_or(self.text)
    }

    /// The same as a block notes it.
    pub fn noted(&self) -> &NotedText {
        self.parsed.noted.of(|| match self.own_text() {
            own if own.len() == self.text.len() => Arc::clone(self.text),
            own => own.into(),
        })
    }
}

impl Batch {
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// No statement at all.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }
}

impl Session {
    /// Parses a text of any number of statements.
    pub fn batch(&mut self, text: impl Into<Arc<str>>) -> Result<Batch, QueryError> {
        let text = text.into();
        let statements = self.parse(self.info.dialect, &text).inspect_err(|_| self.fail())?;
        Ok(Batch { text, statements, next: 0 })
    }

    /// Runs the next statement of a batch; `None` after the last. Statements of a text that holds several commit
    /// together, at its end.
    pub async fn next(&mut self, batch: &mut Batch) -> Result<Option<Response>, QueryError> {
        let Some(parsed) = batch.statements.get(batch.next) else {
            return self.sync().await.map(|()| None);
        };
        batch.next += 1;
        let alone = batch.statements.len() == 1;
        let (text, dialect) = (&batch.text, self.info.dialect);
        let job = Job { text, parsed, dialect, parameters: &[], types: &[], alone, told: None };
        if parsed.parameters > 0 {
            self.fail();
            return Err(QueryError::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1")
                .hint("Parameters need the extended protocol (a prepared statement)."));
        }
        let last = batch.next == batch.statements.len();
        let answer = self.run_job(job, alone).await?;
        // The answer of the last statement says that everything is durable. A COPY goes on; its end commits.
        if last && !matches!(answer, Response::CopyIn(_)) {
            self.sync().await?;
        }
        Ok(Some(answer))
    }

    /// Runs a text to its end and collects the answers.
    pub async fn execute(&mut self, text: &str) -> Result<Vec<Response>, QueryError> {
        let mut batch = self.batch(text)?;
        let mut answers = Vec::new();
        while let Some(answer) = self.next(&mut batch).await? {
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Whether a text can be parsed. Other than [`Session::prepare`] it leaves an open transaction as it is.
    pub fn check_syntax(&self, text: &Arc<str>) -> Result<(), QueryError> {
        self.parse(self.info.dialect, text).map(drop)
    }

    /// Parses and binds one statement. The types of parameters may be given, one by one or not at all.
    pub fn prepare(
        &mut self,
        text: impl Into<Arc<str>>,
        types: &[Option<SqlType>],
    ) -> Result<Arc<Prepared>, QueryError> {
        let text = text.into();
        self.prepare_text(&text, types).inspect_err(|_| self.fail())
    }

    /// Runs a prepared statement. `alone`: it is a transaction of its own when none is open; otherwise it joins the
    /// statements sent with it, and [`Session::sync`] commits them.
    pub async fn run(
        &mut self,
        prepared: &Prepared,
        parameters: &[Option<Value>],
        alone: bool,
    ) -> Result<Response, QueryError> {
        let Some(parsed) = prepared.statements.first() else { return Ok(Response::Empty) };
        let parameters = prepared.with_its_nulls(parameters);
        let job = Job {
            text: &prepared.text,
            parsed,
            dialect: prepared.dialect,
            parameters: &parameters,
            types: &prepared.types,
            alone: true,
            // The other doors describe each answer as it is.
            told: (self.info.door == Door::Postgres).then_some(prepared),
        };
        self.run_job(job, alone).await
    }

    async fn run_job(&mut self, job: Job<'_>, alone: bool) -> Result<Response, QueryError> {
        let timeout = match (self.statement_timeout_ms, self.statement_ms_max) {
            (0, most) => most,
            (own, 0) => own,
            (own, most) => own.min(most),
        };
        self.fail_if_unfinished();
        self.unfinished = true;
        self.info.cancel.arm(timeout);
        self.info.statement_time_ms = now_ms();
        self.info.transaction_time_ms = match self.open() {
            Some(open) => open.began_ms,
            None => self.info.statement_time_ms,
        };
        if let Some(place) = &self.place {
            place.begins(self.info.statement_time_ms);
        }
        let mut answer = match self.follow_permissions() {
            Ok(()) => self.dispatch(job, alone).await,
            Err(error) => Err(error),
        };
        match &answer {
            Ok(_) => answer = self.grant_wishes().and(answer),
            Err(_) => drop(self.info.wishes.take()),
        }
        if answer.is_err() {
            self.fail();
        }
        if matches!(self.work, Work::Idle) {
            self.end_transaction_locks();
        }
        if let Some(place) = &self.place {
            place.ended(self.transaction_status());
        }
        self.unfinished = false;
        answer
    }

    async fn dispatch(&mut self, job: Job<'_>, alone: bool) -> Result<Response, QueryError> {
        let statement = &job.parsed.statement;
        if self.transaction_status() == TransactionStatus::Failed && !ends_failure(statement) {
            return Err(failed_transaction());
        }
        if let Statement::Execute { name, arguments } = statement {
            let run = self.execution(job, name, arguments)?;
            let Some(parsed) = run.prepared.statements.first() else { return Ok(Response::Empty) };
            let job = Job {
                text: &run.prepared.text,
                parsed,
                dialect: run.prepared.dialect,
                parameters: &run.parameters,
                types: &run.prepared.types,
                alone: true,
                told: job.told.map(|_| &*run.prepared),
            };
            // Its text is not the one the client has sent, so no place in it means anything there.
            return self.run_documents(job, alone).await.map_err(|error| QueryError { span: None, ..error });
        }
        // What is sent together is one transaction, whose settings go with it if it fails.
        if !alone
            && matches!(statement, Statement::Set { .. } | Statement::SetTransaction { .. } | Statement::Reset { .. })
        {
            self.join();
        }
        match statement {
            Statement::Begin { read_only } => self.begin(*read_only),
            Statement::Commit { chain } => self.commit_command(*chain).await,
            Statement::Rollback { chain } => self.rollback_command(*chain),
            Statement::Savepoint(_) | Statement::ReleaseSavepoint(_) | Statement::RollbackToSavepoint(_) => {
                self.savepoint_command(statement)
            }
            Statement::Set { name, value, local } => self.set(name, value, *local),
            Statement::SetTransaction { session, isolation, read_only } => {
                self.set_transaction(*session, *isolation, *read_only)
            }
            Statement::Reset { name } => self.reset(name.as_deref()),
            Statement::Show { name } => self.show(name),
            Statement::NoOperation { tag } => Ok(Response::Done { tag: (*tag).to_owned() }),
            Statement::Prepare { name, types, statement } => self.prepare_command(job, name, types, *statement),
            Statement::Deallocate { name } => self.deallocate(name.as_ref()),
            Statement::DiscardAll => self.discard_all(),
            Statement::DiscardSequences => {
                self.info.given.forget();
                Ok(Response::Done { tag: "DISCARD SEQUENCES".to_owned() })
            }
            Statement::DeclareCursor(declare) => self.declare(declare, job, alone).await,
            Statement::Fetch { name, direction, moves } => self.fetch(name, *direction, *moves),
            Statement::CloseCursor(name) => self.close_cursor(name.as_ref()),
            Statement::Lock(tables) => self.lock_tables(tables, alone),
            Statement::Maintain { command, tables } => self.maintain(command, tables),
            Statement::CreateDatabase { .. } | Statement::DropDatabase { .. } => self.database_command(statement),
            Statement::Copy(copy) => self.copy(copy, job, alone).await,
            _ => self.run_documents(job, alone).await,
        }
    }

    /// A statement that reads or changes documents or definitions.
    pub(super) async fn run_documents(&mut self, job: Job<'_>, alone: bool) -> Result<Response, QueryError> {
        if alone && matches!(self.work, Work::Idle) {
            return self.autocommit(job).await;
        }
        self.join();
        self.run_in_open(job)
    }

    /// A statement that is a transaction of its own. After a conflict it is run again: only explicit transactions ever
    /// see 40001, or a statement that has lost two hundred times.
    async fn autocommit(&mut self, job: Job<'_>) -> Result<Response, QueryError> {
        let read_only = job.parsed.statement.only_reads() && self.info.door != Door::Qldb
            || self.info.settings.is_on("default_transaction_read_only");
        let mut attempt = 0;
        loop {
            // Asked each time: the first one may have been on its way still.
            if let Some(answer) = self.repeated_alone(&job)? {
                return Ok(answer);
            }
            self.info.wishes.take();
            let mut tx = self.begin_transaction(read_only)?;
            let outcome = match self.run_in(&mut tx, job, false) {
                Ok(answer) if tx.has_writes() || self.info.door == Door::Qldb => {
                    let answers = vec![self.answered.take()];
                    let again = match attempt > 0 || self.database.state().is_hot() {
                        true => self.offer_again(&mut tx, job)?,
                        false => None,
                    };
                    let anew = |answer| again.and_then(Redone::answer).unwrap_or(answer);
                    self.commit(tx, answers).await.map(|()| anew(answer))
                }
                other => other,
            };
            match outcome {
                Err(error) if error.is_retryable() && attempt < RERUNS_MAX => {
                    if let Some(reason) = self.info.cancel.reason() {
                        return Err(canceled(reason));
                    }
                    attempt += 1;
                    self.runtime.pause(attempt).await;
                }
                // What fails now may have been done by the first one in between.
                Err(error) => return self.repeated_alone(&job)?.ok_or(error),
                outcome => return outcome,
            }
        }
    }

    /// Gives a small statement the means to be run again by the sequencer, on pending state, should it meet a conflict there.
    fn offer_again(&mut self, tx: &mut Transaction, job: Job<'_>) -> Result<Option<Redone>, QueryError> {
        let (visited, written) = tx.visited();
        let small = visited <= AGAIN_DOCUMENTS_MAX && written <= AGAIN_DOCUMENTS_MAX;
        let changes = matches!(job.parsed.statement, Statement::Update(_) | Statement::Delete(_));
        if !small || !changes || self.info.door == Door::Qldb || self.info.settings.client_token().is_some() {
            return Ok(None);
        }
        let plan = self.plan(tx, job, false)?;
        // All commits of the ledger wait for what is run there.
        if !plan.is_cheap() {
            return Ok(None);
        }
        let redone = Redone { plan: Arc::clone(&plan), outcome: Arc::default() };
        let (outcome, strict) = (Arc::clone(&redone.outcome), self.strict);
        // What the session is told to stop, or may wait for, is none of the sequencer's business.
        let info = SessionInfo { cancel: Cancel::default(), advisory: None, ..self.info.clone() };
        let (database, text) = (Arc::clone(&self.database), job.noted().clone());
        let parameters = job.parameters.to_vec();
        tx.set_again(Again(Box::new(move || {
            // Past this, because there is more than there was or the disk is slow, the session does it itself.
            info.cancel.arm(AGAIN_MS_MAX);
            let mut tx = Transaction::begin_on_pending(&database);
            tx.set_origin(Arc::clone(&info.user), info.door.name());
            if strict {
                tx.set_strict();
            }
            tx.begin_noted(&text, &noted(&parameters))?;
            let answer = exec::run(&plan, &mut tx, &parameters, &info)?;
            let transaction = tx.prepare_again()?;
            *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
            Ok(transaction)
        })));
        Ok(Some(redone))
    }

    /// In the open transaction, which a conflict ends.
    pub(super) fn run_in_open(&mut self, job: Job<'_>) -> Result<Response, QueryError> {
        if let Some(answer) = self.repeated(job)? {
            return Ok(answer);
        }
        let (mut tx, defines) = self.take_tx()?;
        let answer = self.run_in(&mut tx, job, defines);
        let answered = self.answered.take();
        let defined = is_definition(&job.parsed.statement);
        if let Some(open) = self.open() {
            if answered.is_some() {
                open.answers.resize(tx.statement_count() - 1, None);
                open.answers.push(answered);
            }
            open.tx = Some(tx);
            open.defines |= defined;
        }
        answer
    }

    /// Takes the open transaction out of the session, beginning it if needed; the caller puts it back.
    pub(super) fn take_tx(&mut self) -> Result<(Transaction, bool), QueryError> {
        let (taken, read_only, defines) = match self.open() {
            Some(open) => (open.tx.take(), open.read_only, open.defines),
            None => (None, false, false),
        };
        match taken {
            Some(tx) => Ok((tx, defines)),
            None => Ok((self.begin_transaction(read_only)?, false)),
        }
    }

    /// Runs one statement that reads or writes documents, definitions, or explains itself.
    fn run_in(&mut self, tx: &mut Transaction, job: Job<'_>, defines: bool) -> Result<Response, QueryError> {
        // Of the statement before, if nobody took it.
        self.answered = None;
        match &job.parsed.statement {
            Statement::Explain { analyze, statement } => self.explain(tx, job, statement, *analyze),
            statement if is_definition(statement) => self.define(tx, job),
            Statement::Truncate(tables) => self.truncate(tx, job, tables),
            Statement::Exec { procedure, arguments } => self.exec_procedure(tx, job, procedure, arguments),
            _ => {
                let plan = self.plan(tx, job, defines)?;
                if job.told.is_some_and(|told| !told.describes(&plan)) {
                    return Err(changed_result());
                }
                self.run_plan(tx, job, &plan)
            }
        }
    }

    pub(super) fn run_plan(
        &mut self,
        tx: &mut Transaction,
        job: Job<'_>,
        plan: &Arc<Plan>,
    ) -> Result<Response, QueryError> {
        if !plan.is_read_only() && tx.is_read_only() {
            return Err(QueryError::new(
                SqlState::READ_ONLY_TRANSACTION,
                format!("cannot execute {} in a read-only transaction", plan.command()),
            ));
        }
        if !tx.is_read_only() {
            tx.begin_noted(job.noted(), &noted(job.parameters))?;
        }
        let info = &self.info;
        if let Some(point) = &plan.point
            && self.chooses_executor
            && exec::point::is_here(plan, tx)
            && let Some(found) = exec::point::run(plan, point, tx, job.parameters, info)?
        {
            let columns = plan.columns().cloned().unwrap_or_else(|| Arc::from([]));
            return Ok(Response::Rows { columns, rows: RowStream::of_found(found, plan.command()) });
        }
        let mut outcome = Err(QueryError::internal("a statement was not run"));
        let (visited, _) = tx.visited();
        let mut work = || outcome = exec::run(plan, tx, job.parameters, info);
        if let Some(elapsed) = plan.run_at_its_pace(|work| self.runtime.long(work), &mut work) {
            plan.pace.note(elapsed, tx.visited().0.saturating_sub(visited));
        }
        let outcome = outcome?;
        self.note_answer(plan, &outcome);
        Ok(respond(plan, outcome))
    }

    /// Runs what computes the arguments of another statement.
    pub(super) fn run_small(
        &self,
        plan: &Plan,
        tx: &mut Transaction,
        parameters: &[Option<Value>],
    ) -> Result<Outcome, QueryError> {
        let mut outcome = Err(QueryError::internal("a statement was not run"));
        let mut work = || outcome = exec::run(plan, tx, parameters, &self.info);
        plan.run_at_its_pace(|work| self.runtime.long(work), &mut work);
        outcome
    }

    fn define(&mut self, tx: &mut Transaction, job: Job<'_>) -> Result<Response, QueryError> {
        if tx.is_read_only() {
            return Err(QueryError::new(
                SqlState::READ_ONLY_TRANSACTION,
                "cannot execute a definition in a read-only transaction",
            ));
        }
        self.permit_definition(tx, &job.parsed.statement)?;
        tx.begin_statement(job.own_text(), &[])?;
        let mut outcome = Err(QueryError::internal("a statement was not run"));
        let info = &self.info;
        let mut work = || outcome = crate::catalogue::ddl::apply(tx, &job.parsed.statement, job.dialect, info);
        self.runtime.long(&mut work);
        let outcome = outcome?;
        if let Some(notice) = outcome.notice {
            self.notice("NOTICE", "00000", notice);
        }
        self.note_rows_made(outcome.rows);
        Ok(match (defined_columns(job.dialect, &job.parsed.statement), outcome.table_id, outcome.rows) {
            (Some(columns), Some(table), _) => defined(columns, outcome.tag, table),
            (_, _, Some(rows)) => Response::Done { tag: command_tag("SELECT", rows) },
            _ => Response::Done { tag: outcome.tag.to_owned() },
        })
    }

    /// The plan, from the cache where the catalogue is the published one.
    pub(super) fn plan(&mut self, tx: &mut Transaction, job: Job<'_>, defines: bool) -> Result<Arc<Plan>, QueryError> {
        let shared = job.alone && !defines && !matches!(job.parsed.statement, Statement::Explain { .. });
        let version = tx.catalogue().version;
        let plans: &PlanCache = self.database.plans();
        if shared && let Some(plan) = plans.plan(job.dialect, job.text, version, job.types) {
            self.info.permit_plan(&plan)?;
            return Ok(plan);
        }
        let plan = self.bind(tx, job, &job.parsed.statement)?;
        if shared {
            self.database.plans().keep_plan(job.dialect, job.text, version, job.types, &plan);
        }
        Ok(plan)
    }

    pub(super) fn bind(
        &mut self,
        tx: &mut Transaction,
        job: Job<'_>,
        statement: &Statement,
    ) -> Result<Arc<Plan>, QueryError> {
        let mut context =
            PlanContext { tx, text: job.text, dialect: job.dialect, parameter_types: job.types, session: &self.info };
        let plan = bind::plan(&mut context, statement)?;
        self.info.permit_plan(&plan)?;
        Ok(plan)
    }

    fn parse(&self, dialect: Dialect, text: &Arc<str>) -> Result<Arc<[Parsed]>, QueryError> {
        let plans = self.database.plans();
        if let Some(statements) = plans.statements(dialect, text) {
            return Ok(statements);
        }
        // While it is read. What that may take is limited by itself, not by the limit of a statement.
        let (mut held, mut bytes) = (Held::nothing(self.database.pool()), 0_usize);
        let mut charge = |more| {
            bytes = bytes.saturating_add(more);
            held.grow_to(bytes)
        };
        let statements: Arc<[Parsed]> = match dialect {
            Dialect::Sql => crate::sql::parse_within(text, &mut charge)?,
            Dialect::PartiQl => crate::partiql::parse_within(text, &mut charge)?,
        }
        .into();
        plans.keep_statements(dialect, text, &statements);
        Ok(statements)
    }

    pub(super) fn prepare_text(
        &mut self,
        text: &Arc<str>,
        types: &[Option<SqlType>],
    ) -> Result<Arc<Prepared>, QueryError> {
        self.follow_permissions()?;
        let dialect = self.info.dialect;
        let statements = self.parse(dialect, text)?;
        if statements.len() > 1 {
            return Err(QueryError::new(
                SqlState::SYNTAX_ERROR,
                "cannot insert multiple commands into a prepared statement",
            ));
        }
        let mut prepared = Prepared {
            text: Arc::clone(text),
            dialect,
            statements: Arc::clone(&statements),
            types: types.into(),
            columns: None,
            parameter_types: types.iter().map(|ty| ty.clone().unwrap_or(SqlType::Text)).collect(),
        };
        let Some(parsed) = statements.first() else { return Ok(Arc::new(prepared)) };
        let statement = &parsed.statement;
        let failed = self.transaction_status() == TransactionStatus::Failed;
        if failed && !ends_failure(statement) {
            return Err(failed_transaction());
        }
        let job = Job { text, parsed, dialect, parameters: &[], types: &prepared.types, alone: true, told: None };
        match statement {
            statement if statement.is_query_or_change() => {
                let plan = self.describe_plan(job, statement)?;
                prepared.columns = plan.columns().cloned();
                prepared.parameter_types = plan.parameter_types().to_vec();
            }
            Statement::Explain { statement, .. } => {
                let plan = self.describe_plan(job, statement)?;
                prepared.columns = Some(super::commands::text_columns(&["QUERY PLAN"]));
                prepared.parameter_types = plan.parameter_types().to_vec();
            }
            Statement::Show { name } => prepared.columns = Some(super::commands::show_columns(name)),
            Statement::Execute { .. } | Statement::Fetch { .. } => prepared.columns = self.kept_columns(statement)?,
            // Its query is bound for the types of its parameters.
            Statement::DeclareCursor(declare) => {
                let plan = self.describe_plan(job, &Statement::Query(Box::new(declare.query.clone())))?;
                prepared.parameter_types = plan.parameter_types().to_vec();
            }
            statement => prepared.columns = defined_columns(dialect, statement),
        }
        Ok(Arc::new(prepared))
    }

    /// Binds a statement to learn its columns and parameters.
    fn describe_plan(&mut self, job: Job<'_>, statement: &Statement) -> Result<Arc<Plan>, QueryError> {
        let explained = matches!(job.parsed.statement, Statement::Explain { .. } | Statement::DeclareCursor(_));
        if matches!(self.work, Work::Idle) {
            let mut tx = self.begin_transaction(true)?;
            return if explained { self.bind(&mut tx, job, statement) } else { self.plan(&mut tx, job, false) };
        }
        let (mut tx, defines) = self.take_tx()?;
        let plan = if explained { self.bind(&mut tx, job, statement) } else { self.plan(&mut tx, job, defines) };
        if let Some(open) = self.open() {
            open.tx = Some(tx);
        }
        plan
    }

    pub(super) fn begin(&mut self, read_only: bool) -> Result<Response, QueryError> {
        let read_only = read_only || self.info.settings.is_on("default_transaction_read_only");
        if let Work::Implicit(open) = &self.work
            && (read_only && !open.read_only && open.tx.is_some())
        {
            let message = "a transaction must begin read-only before any query";
            return Err(QueryError::new(SqlState::ACTIVE_SQL_TRANSACTION, message)
                .hint("Send BEGIN READ ONLY before the other statements, or by itself."));
        }
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Idle => {
                self.work = Work::Explicit(Box::new(Open::new(&self.info.settings, read_only)));
            }
            // What was sent before BEGIN in the same text becomes part of the transaction, as in PostgreSQL.
            Work::Implicit(mut open) => {
                open.read_only |= read_only;
                self.work = Work::Explicit(open);
            }
            Work::Explicit(open) => {
                self.work = Work::Explicit(open);
                self.notice("WARNING", "25001", "there is already a transaction in progress");
            }
        }
        Ok(Response::Done { tag: "BEGIN".to_owned() })
    }

    async fn commit_command(&mut self, chain: bool) -> Result<Response, QueryError> {
        let next = self.next_in_chain("COMMIT", chain)?;
        match &self.work {
            Work::Explicit(open) if open.failed => {
                self.roll_back();
                self.begin_next(next);
                return Ok(Response::Done { tag: "ROLLBACK".to_owned() });
            }
            Work::Explicit(_) => {}
            Work::Idle | Work::Implicit(_) => {
                self.notice("WARNING", "25P01", "there is no transaction in progress");
            }
        }
        self.commit_open().await?;
        self.begin_next(next);
        Ok(Response::Done { tag: "COMMIT".to_owned() })
    }

    fn rollback_command(&mut self, chain: bool) -> Result<Response, QueryError> {
        let next = self.next_in_chain("ROLLBACK", chain)?;
        if !matches!(self.work, Work::Explicit(_)) {
            self.notice("WARNING", "25P01", "there is no transaction in progress");
        }
        self.roll_back();
        self.begin_next(next);
        Ok(Response::Done { tag: "ROLLBACK".to_owned() })
    }

    /// With AND CHAIN, whether the next transaction is read only, as this one is.
    fn next_in_chain(&self, command: &str, chain: bool) -> Result<Option<bool>, QueryError> {
        match &self.work {
            _ if !chain => Ok(None),
            Work::Explicit(open) => Ok(Some(open.read_only)),
            Work::Idle | Work::Implicit(_) => {
                let message = format!("{command} AND CHAIN can only be used in transaction blocks");
                Err(QueryError::new(SqlState::NO_ACTIVE_TRANSACTION, message))
            }
        }
    }

    fn begin_next(&mut self, read_only: Option<bool>) {
        if let Some(read_only) = read_only {
            self.work = Work::Explicit(Box::new(Open::new(&self.info.settings, read_only)));
        }
    }
}

/// The error of a statement that was told to stop.
pub fn canceled(reason: CancelReason) -> QueryError {
    match reason {
        CancelReason::Request => QueryError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request"),
        CancelReason::Timeout => {
            QueryError::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout")
        }
        CancelReason::Shutdown => {
            QueryError::new(SqlState::SHUTDOWN, "terminating connection because the server is shutting down")
        }
    }
}

/// In PostgreSQL's words, by which drivers know that they have to prepare the statement again.
fn changed_result() -> QueryError {
    QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, "cached plan must not change result type")
        .hint("A table of the statement was changed after it was prepared: prepare it again.")
}

/// Statements that change the catalogue inside a transaction.
pub(super) fn is_definition(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::CreateTable(_)
            | Statement::DropTable { .. }
            | Statement::UndropTable { .. }
            | Statement::CreateIndex(_)
            | Statement::DropIndex { .. }
            | Statement::AlterTable { .. }
            | Statement::Comment(_)
            | Statement::Sequence(_)
    )
}

/// What a definition answers in PartiQL, as in QLDB: a row with the table's id.
fn defined_columns(dialect: Dialect, statement: &Statement) -> Option<Arc<[ResultColumn]>> {
    let answers = dialect == Dialect::PartiQl && is_definition(statement);
    answers.then(|| Arc::from([ResultColumn::computed("_1", SqlType::Ion)]))
}

fn defined(columns: Arc<[ResultColumn]>, command: &'static str, table: Id) -> Response {
    let row = Value::Struct(Struct::from_fields([("tableId", Value::string(table.to_string()))]));
    Response::Rows { columns, rows: RowStream::of(vec![vec![Some(row)]], command) }
}

/// Parameters as the statement log takes them: NULL is Ion's null.
pub(super) fn noted(parameters: &[Option<Value>]) -> Vec<Value> {
    parameters.iter().map(|value| value.clone().unwrap_or(Value::NULL)).collect()
}

/// A statement that visits or changes more documents is run again by its own session only.
const AGAIN_DOCUMENTS_MAX: u64 = 4;
/// The sequencer gives up running a statement again after so long.
const AGAIN_MS_MAX: u64 = 20;

/// What a statement answered that the sequencer ran again.
struct Redone {
    plan: Arc<Plan>,
    outcome: Arc<Mutex<Option<Outcome>>>,
}

impl Redone {
    /// Its answer, if it was run again.
    fn answer(self) -> Option<Response> {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        outcome.map(|outcome| respond(&self.plan, outcome))
    }
}

/// See [`Prepared::with_its_nulls`].
pub(super) fn with_nulls_of(dialect: Dialect, parameters: &[Option<Value>]) -> Cow<'_, [Option<Value>]> {
    let is_value = |parameter: &Option<Value>| !matches!(parameter, None | Some(Value::Null(_)));
    match dialect {
        _ if parameters.iter().all(is_value) => Cow::Borrowed(parameters),
        Dialect::Sql => parameters.iter().map(|parameter| parameter.clone().filter(|_| is_value(parameter))).collect(),
        Dialect::PartiQl => noted(parameters).into_iter().map(Some).collect(),
    }
}

fn respond(plan: &Plan, outcome: Outcome) -> Response {
    match outcome {
        Outcome::Rows { rows } => {
            let columns = plan.columns().cloned().unwrap_or_else(|| Arc::from([]));
            Response::Rows { columns, rows: RowStream::of_query(rows, plan.command()) }
        }
        Outcome::Affected { command, count, returning, .. } => match (returning, plan.columns()) {
            (Some(rows), Some(columns)) => {
                Response::Rows { columns: Arc::clone(columns), rows: RowStream::of_query(rows, command) }
            }
            _ => Response::Done { tag: command_tag(command, count) },
        },
    }
}

/// What may be asked for in a transaction that has failed: its end, or the way back to before.
fn ends_failure(statement: &Statement) -> bool {
    matches!(statement, Statement::Commit { .. } | Statement::Rollback { .. } | Statement::RollbackToSavepoint(_))
}

#[cfg(test)]
mod tests {
    use ledgerstone_digest::ion::IonType;

    use super::*;

    #[test]
    fn nulls_are_no_values_in_sql_and_keep_their_types_in_partiql() {
        let typed = Some(Value::Null(IonType::Int));
        let given = [None, Some(Value::NULL), typed.clone(), Some(Value::int(1))];
        assert_eq!(*with_nulls_of(Dialect::Sql, &given), [None, None, None, Some(Value::int(1))]);
        let null = Some(Value::NULL);
        assert_eq!(*with_nulls_of(Dialect::PartiQl, &given), [null.clone(), null, typed, Some(Value::int(1))]);
    }
}
