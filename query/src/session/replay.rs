//! A transaction repeated under a client token that has committed before: nothing is done again, each statement gets the
//! first answer, and the commit is the first one.
//!
//! Statements are held against those of the block, one by one, so that another body is an error at its first difference.
//! Queries see what the first transaction saw before it wrote, and what it had written afterwards.
//!
//! Whoever repeats a statement needs the permissions that it needs now. Its rows are given to the user who has committed it
//! and to nobody else: the first answer is not kept with what the asker may read.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledgerstone_digest::hash::Hash;
use ledgerstone_journal::Committed;

use super::answers::{ANSWER_BYTES_MAX, KeptAnswer, KeptAnswers, row_bytes};
use super::response::{Response, RowStream, command_tag};
use super::run::{Job, is_definition, noted};
use super::{Session, Work};
use crate::ast::{SequenceChange, Statement};
use crate::bind::plan::Plan;
use crate::database::{Database, read_error};
use crate::error::{QueryError, SqlState};
use crate::exec::Outcome;
use crate::transaction::Transaction;

/// What a token has committed, and how far the repetition has come.
pub(super) struct Replay {
    token: Arc<str>,
    committed: Committed,
    /// Who has committed it, as the block says.
    user: Arc<str>,
    /// Digests of the first transaction's statements.
    statements: Vec<Hash>,
    /// Documents of user tables each of them changed, by table.
    changed: Vec<BTreeMap<Arc<str>, u64>>,
    answers: Option<KeptAnswers>,
    at: usize,
    wrote: bool,
}

impl Replay {
    /// `None`: the token has committed nothing yet.
    pub fn of(database: &Database, token: &str) -> Result<Option<Replay>, QueryError> {
        let Some(first) = database.client_token(token)? else { return Ok(None) };
        let block = database.log().read_block(first.committed.block).map_err(read_error)?;
        let mut changed = vec![BTreeMap::new(); block.info.statements.len()];
        for document in &block.info.documents {
            for statement in &document.statements {
                if let Some(tables) = changed.get_mut(*statement as usize) {
                    *tables.entry(Arc::clone(&document.table_name)).or_insert(0) += 1;
                }
            }
        }
        // Rows that hold what has been redacted since are not handed out again.
        let committed = first.committed;
        let redacted = (committed.first_position..committed.block_position).any(|at| database.state().is_redacted(at));
        Ok(Some(Replay {
            token: token.into(),
            committed,
            user: Arc::clone(&block.origin.user),
            statements: block.info.statements.iter().map(|statement| statement.digest).collect(),
            changed,
            answers: database.answers().get(token).filter(|_| !redacted),
            at: 0,
            wrote: false,
        }))
    }

    /// The number of the next statement, which must be the first transaction's.
    fn next(&mut self, job: &Job<'_>) -> Result<usize, QueryError> {
        let digest = job.noted().digest(&noted(job.parameters));
        if self.statements.get(self.at) != Some(&digest) {
            return Err(self.another_body(format!("Statement {} is not the same.", self.at + 1)));
        }
        self.at += 1;
        Ok(self.at - 1)
    }

    /// The first commit, if every statement has been repeated.
    pub fn finish(&self) -> Result<Committed, QueryError> {
        if self.at != self.statements.len() {
            let (first, now) = (self.statements.len(), self.at);
            return Err(self.another_body(format!("It had {first} statements, this one has {now}.")));
        }
        Ok(self.committed)
    }

    fn another_body(&self, detail: String) -> QueryError {
        QueryError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("client token \"{}\" has been used for another transaction", self.token),
        )
        .detail(format!("It committed block {}. {detail}", self.committed.block))
        .hint("Take a fresh token for every transaction, and the same one only to repeat it.")
    }

    /// What a statement answered that was no query.
    fn first_answer(&mut self, number: usize, statement: &Statement, user: &str) -> Response {
        self.wrote = true;
        match command_of(statement) {
            Some(command) => self.answer(number, command, user),
            None => self.definition(number, statement),
        }
    }

    /// What a statement that changes documents answered; its rows only if they are still kept, and only for their user.
    fn answer(&self, number: usize, command: &'static str, user: &str) -> Response {
        let kept = self.answers.as_ref().and_then(|answers| answers.get(number)).and_then(Option::as_ref);
        match kept {
            Some(KeptAnswer { command, rows: Some((columns, rows)), .. }) if *self.user == *user => {
                Response::Rows { columns: Arc::clone(columns), rows: RowStream::of(rows.to_vec(), command) }
            }
            Some(KeptAnswer { command, count, .. }) => Response::Done { tag: command_tag(command, *count) },
            None => {
                let count = self.changed.get(number).map_or(0, |tables| tables.values().sum());
                Response::Done { tag: command_tag(command, count) }
            }
        }
    }

    /// What a statement that defines answered: the tag of a CREATE TABLE AS counts what the table got.
    fn definition(&self, number: usize, statement: &Statement) -> Response {
        let kept = self.answers.as_ref().and_then(|answers| answers.get(number)).and_then(Option::as_ref);
        let rows = match (kept, statement) {
            (Some(kept), Statement::CreateTable(_)) => Some(kept.count),
            (None, Statement::CreateTable(create)) if create.as_query.as_ref().is_some_and(|made| !made.no_data) => {
                let tables = self.changed.get(number);
                let rows = tables.and_then(|tables| tables.get(&create.name.name.text)).copied();
                // Without rows it may have been there already.
                rows.or((!create.if_not_exists).then_some(0))
            }
            _ => None,
        };
        let tag = rows.map_or_else(|| definition_tag(statement).to_owned(), |rows| command_tag("SELECT", rows));
        Response::Done { tag }
    }
}

impl Session {
    /// A statement that is a transaction of its own, if its token has committed before: the first answer.
    pub(super) fn repeated_alone(&mut self, job: &Job<'_>) -> Result<Option<Response>, QueryError> {
        if job.parsed.statement.only_reads() || matches!(job.parsed.statement, Statement::Explain { .. }) {
            return Ok(None);
        }
        let Some(token) = self.info.settings.client_token() else { return Ok(None) };
        let Some(mut replay) = Replay::of(&self.database, token)? else { return Ok(None) };
        // First of all: how an answer differs tells of the first transaction too.
        self.permit_repetition(*job)?;
        let number = replay.next(job)?;
        let committed = replay.finish()?;
        let answer = replay.first_answer(number, &job.parsed.statement, &self.info.user);
        self.finish_repetition(committed);
        Ok(Some(answer))
    }

    /// A statement of the open transaction, if that repeats one that has committed.
    pub(super) fn repeated(&mut self, job: Job<'_>) -> Result<Option<Response>, QueryError> {
        if matches!(job.parsed.statement, Statement::Explain { .. }) || !self.is_repetition()? {
            return Ok(None);
        }
        self.permit_repetition(job)?;
        if job.parsed.statement.only_reads() {
            let Some(mut tx) = self.repeated_snapshot(&job)? else { return Ok(None) };
            let plan = self.plan(&mut tx, job, true)?;
            return self.run_plan(&mut tx, job, &plan).map(Some);
        }
        let user = Arc::clone(&self.info.user);
        let Some(replay) = self.open().and_then(|open| open.replay.as_mut()) else { return Ok(None) };
        let number = replay.next(&job)?;
        Ok(Some(replay.first_answer(number, &job.parsed.statement, &user)))
    }

    /// What a statement would ask if it were done again.
    fn permit_repetition(&mut self, job: Job<'_>) -> Result<(), QueryError> {
        if self.info.permit.is_none() {
            return Ok(());
        }
        let mut tx = Transaction::begin(&self.database, true);
        match &job.parsed.statement {
            Statement::Truncate(tables) => self.truncation(&mut tx, job, tables).map(drop),
            Statement::Exec { procedure, arguments } => self.redaction(&mut tx, job, procedure, arguments).map(drop),
            statement if is_definition(statement) => {
                self.permit_definition(&tx, statement)?;
                match statement {
                    Statement::CreateTable(create) => match &create.as_query {
                        Some(made) => {
                            let query = Statement::Query(Box::new(made.query.clone()));
                            self.bind(&mut tx, job, &query).map(drop)
                        }
                        None => Ok(()),
                    },
                    _ => Ok(()),
                }
            }
            statement => self.bind(&mut tx, job, statement).map(drop),
        }
    }

    /// What a query of a repeated transaction reads.
    pub(super) fn repeated_snapshot(&mut self, job: &Job<'_>) -> Result<Option<Transaction>, QueryError> {
        let database = Arc::clone(&self.database);
        let Some(replay) = self.open().and_then(|open| open.replay.as_mut()) else { return Ok(None) };
        replay.next(job)?;
        let committed = replay.committed;
        let snapshot = if replay.wrote { committed.snapshot() } else { committed.first_position };
        Ok(Some(Transaction::begin_at(&database, snapshot)))
    }

    /// Whether the open transaction repeats one that its client token has committed. Asked before its first statement.
    pub(super) fn is_repetition(&mut self) -> Result<bool, QueryError> {
        let token = self.info.settings.client_token().map(str::to_owned);
        let database = Arc::clone(&self.database);
        let (Some(token), Some(open)) = (token, self.open()) else {
            return Ok(self.open().is_some_and(|open| open.replay.is_some()));
        };
        let begun = open.tx.as_ref().is_some_and(|tx| tx.statement_count() > 0);
        if open.replay.is_none() && !begun && !open.read_only {
            open.replay = Replay::of(&database, &token)?;
            if open.replay.is_some() {
                open.tx = None;
            }
        }
        Ok(open.replay.is_some())
    }

    /// The end of a repetition: the session has the first commit, and the token is used up.
    pub(super) fn finish_repetition(&mut self, committed: Committed) {
        self.note_commit(Some(committed));
        self.info.settings.forget_client_token();
        self.notice("NOTICE", "00000", "this client token has committed before: nothing was done again");
    }

    /// Notes what a statement answered, for a retry, if its transaction has a client token.
    pub(super) fn note_answer(&mut self, plan: &Plan, outcome: &Outcome) {
        self.answered = None;
        if self.info.settings.client_token().is_none() {
            return;
        }
        let Outcome::Affected { command, count, returning, .. } = outcome else { return };
        let left = ANSWER_BYTES_MAX.saturating_sub(self.open().map_or(0, |open| open.answer_bytes));
        let mut bytes = 0;
        let rows = returning.as_ref().and_then(|rows| {
            let fits = rows.in_memory()?.all(|row| {
                bytes += row_bytes(row);
                bytes <= left
            });
            Some((Arc::clone(plan.columns()?), rows.in_memory().filter(|_| fits)?.cloned().collect()))
        });
        if let (Some(_), Work::Explicit(open) | Work::Implicit(open)) = (&rows, &mut self.work) {
            open.answer_bytes += bytes;
        }
        self.answered = Some(KeptAnswer { command, count: *count, rows });
    }

    /// The same of a CREATE TABLE AS.
    pub(super) fn note_rows_made(&mut self, rows: Option<u64>) {
        let rows = rows.filter(|_| self.info.settings.client_token().is_some());
        self.answered = rows.map(|count| KeptAnswer { command: "SELECT", count, rows: None });
    }
}

fn command_of(statement: &Statement) -> Option<&'static str> {
    match statement {
        Statement::Query(_) => Some("SELECT"),
        Statement::Insert(_) => Some("INSERT"),
        Statement::Update(_) => Some("UPDATE"),
        Statement::Delete(_) => Some("DELETE"),
        Statement::Merge(_) => Some("MERGE"),
        _ => None,
    }
}

fn definition_tag(statement: &Statement) -> &'static str {
    debug_assert!(is_definition(statement) || matches!(statement, Statement::Exec { .. } | Statement::Truncate(_)));
    match statement {
        Statement::CreateTable(create) if create.as_query.is_some() => "CREATE TABLE AS",
        Statement::CreateTable(_) => "CREATE TABLE",
        Statement::DropTable { .. } => "DROP TABLE",
        Statement::UndropTable { .. } => "UNDROP TABLE",
        Statement::CreateIndex(_) => "CREATE INDEX",
        Statement::DropIndex { .. } => "DROP INDEX",
        Statement::AlterTable { .. } => "ALTER TABLE",
        Statement::Comment(_) => "COMMENT",
        Statement::Sequence(said) => match said.change {
            SequenceChange::Create { .. } => "CREATE SEQUENCE",
            _ => "ALTER SEQUENCE",
        },
        Statement::Truncate(_) => "TRUNCATE TABLE",
        _ => "EXEC",
    }
}
