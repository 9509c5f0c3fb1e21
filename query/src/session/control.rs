//! Transactions begun and ended by calls instead of statements, for doors that have messages of their own for them.

use std::sync::Arc;

use ledgerstone_digest::Id;
use ledgerstone_digest::ion::Value;
use ledgerstone_journal::Committed;

use super::run::is_definition;
use super::{Prepared, Response, Session, TransactionStatus, Work};
use crate::ast::Statement;
use crate::database::TOKEN_BYTES_MAX;
use crate::error::{QueryError, SqlState};
use crate::transaction::Transaction;

impl Session {
    /// The token of the next transaction; empty for none.
    pub fn set_client_token(&mut self, token: &str) -> Result<(), QueryError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(QueryError::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("a client token has at most {TOKEN_BYTES_MAX} bytes, not {}", token.len()),
            ));
        }
        self.info.settings.set_fixed("ledgerstone.client_token", token);
        Ok(())
    }

    /// Begins an explicit transaction.
    pub fn begin_block(&mut self, read_only: bool, token: &str) -> Result<(), QueryError> {
        if !matches!(self.work, Work::Idle) {
            return Err(QueryError::new(
                SqlState::ACTIVE_SQL_TRANSACTION,
                "there is already a transaction in progress",
            ));
        }
        // What ROLLBACK goes back to has no token.
        self.set_client_token("")?;
        self.take_commit();
        self.begin(read_only)?;
        self.set_client_token(token).inspect_err(|_| self.roll_back())
    }

    /// Begins an explicit transaction that has its id and its snapshot from now on.
    pub fn begin_at_once(&mut self) -> Result<Id, QueryError> {
        self.begin_block(false, "")?;
        let (tx, _) = self.take_tx()?;
        let id = tx.id();
        if let Some(open) = self.open() {
            open.tx = Some(tx);
        }
        Ok(id)
    }

    /// Runs a statement in the explicit transaction. One that fails has changed nothing, and the transaction goes on.
    pub async fn run_or_undo(&mut self, text: &str, parameters: &[Option<Value>]) -> Result<Response, QueryError> {
        let before = self.open().and_then(|open| open.tx.as_ref()).map(Transaction::savepoint);
        let outcome = match self.prepare(text, &[]).and_then(|prepared| prepared.in_a_transaction()) {
            Ok(prepared) => self.run(&prepared, parameters, true).await,
            Err(error) => Err(error),
        };
        if outcome.is_err()
            && let Some(before) = before
            && let Some(open) = self.open()
            && let Some(tx) = &mut open.tx
        {
            tx.rollback_to(before)?;
            open.failed = false;
        }
        outcome
    }

    /// Documents that the explicit transaction has read so far, each time anew, and documents that it has written.
    pub fn visited(&mut self) -> (u64, u64) {
        self.open().and_then(|open| open.tx.as_ref()).map_or((0, 0), Transaction::visited)
    }

    /// Commits the explicit transaction. `None`: it has written nothing. One that has failed is rolled back, which is an
    /// error here.
    pub async fn commit_block(&mut self) -> Result<Option<Committed>, QueryError> {
        self.fail_if_unfinished();
        match self.transaction_status() {
            TransactionStatus::Idle => return Err(no_transaction()),
            TransactionStatus::Failed => {
                self.roll_back();
                return Err(QueryError::new(
                    SqlState::FAILED_TRANSACTION,
                    "a statement of the transaction has failed, so it was rolled back",
                ));
            }
            TransactionStatus::InTransaction => {}
        }
        let outcome = self.commit_open().await;
        self.set_client_token("")?;
        outcome.map(|()| self.take_commit())
    }

    /// Rolls the explicit transaction back.
    pub fn roll_back_block(&mut self) -> Result<(), QueryError> {
        if self.transaction_status() == TransactionStatus::Idle {
            return Err(no_transaction());
        }
        self.roll_back();
        Ok(())
    }
}

/// What a statement is about, beside documents and definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    Data,
    /// It begins or ends a transaction.
    Transaction,
    /// It changes what later statements of the session find: settings, savepoints.
    Session,
}

impl Prepared {
    /// For doors where a statement may have no session, or whose transactions have calls of their own.
    pub fn concern(&self) -> Concern {
        match self.statements.first().map(|parsed| &parsed.statement) {
            Some(Statement::Begin { .. } | Statement::Commit { .. } | Statement::Rollback { .. }) => {
                Concern::Transaction
            }
            Some(
                Statement::Savepoint(_)
                | Statement::ReleaseSavepoint(_)
                | Statement::RollbackToSavepoint(_)
                | Statement::Set { .. }
                | Statement::SetTransaction { .. }
                | Statement::Reset { .. },
            ) => Concern::Session,
            _ => Concern::Data,
        }
    }

    /// Refuses what begins or ends transactions, changes the session, or is more than one transaction.
    fn in_a_transaction(self: Arc<Self>) -> Result<Arc<Self>, QueryError> {
        let Some(parsed) = self.statements.first() else { return Ok(self) };
        let belongs = parsed.statement.is_query_or_change()
            || matches!(parsed.statement, Statement::Exec { .. } | Statement::Explain { .. });
        if belongs || is_definition(&parsed.statement) {
            return Ok(self);
        }
        Err(QueryError::unsupported("this statement inside a transaction of this API")
            .hint("Transactions begin and end by commands of the API, and a session has no settings."))
    }

    /// The statement's text as it goes into the journal with its transaction; `None` for one that is no part of a
    /// transaction's body.
    pub fn logged_text(&self) -> Option<&str> {
        let parsed = self.statements.first()?;
        (parsed.statement.is_query_or_change() || is_definition(&parsed.statement))
            .then(|| self.text.get(parsed.text.start as usize..parsed.text.end as usize))?
    }
}

fn no_transaction() -> QueryError {
    QueryError::new(SqlState::NO_ACTIVE_TRANSACTION, "there is no transaction in progress")
}
