//! One session of the API: a transaction at a time, its statements, the pages of their values, and the digest that driver and
//! server each compute over the transaction's id and statements.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledgerstone_digest::ion::{Struct, Value, encode, ion_hash};
use ledgerstone_digest::qldb::{dot2, statement_digest};
use ledgerstone_digest::{Hash, Id};
use ledgerstone_journal::env::Rng;
use ledgerstone_query::bind::plan::ResultColumn;
use ledgerstone_query::error::QueryError;
use ledgerstone_query::session::{Response, RowStream, Session};

use super::failure::Failure;
use super::wire::{self, Figures, Page, SessionCommand};

/// Values in a page.
const PAGE_VALUES: usize = 200;
/// About this many bytes of values in a page; one value may be larger.
const PAGE_BYTES: usize = 1 << 20;
/// Statements of one transaction whose values have not all been fetched.
const CURSORS_MAX: usize = 1_000;
/// The column of a statement whose rows are values and not lists of columns.
const VALUE: &str = "_1";

/// A session and what is open in it.
pub struct Conversation {
    session: Session,
    rng: Arc<dyn Rng>,
    open: Option<Open>,
}

/// An open transaction.
struct Open {
    id: Id,
    began: Instant,
    /// Over its id and the statements so far, those that failed included.
    digest: Hash,
    cursors: HashMap<String, Cursor>,
    /// Documents read and changes made, as far as the client has been told.
    told: (u64, u64),
}

/// Values of a statement that have not been fetched.
struct Cursor {
    columns: Arc<[ResultColumn]>,
    rows: RowStream,
    next: VecDeque<Value>,
}

impl Conversation {
    pub fn new(session: Session, rng: Arc<dyn Rng>) -> Conversation {
        Conversation { session, rng, open: None }
    }

    /// The open transaction and how long it has been.
    pub fn transaction(&self, now: Instant) -> Option<(Id, Duration)> {
        self.open.as_ref().map(|open| (open.id, now.saturating_duration_since(open.began)))
    }

    /// Runs a command; the answer's body.
    pub async fn run(&mut self, command: SessionCommand) -> Result<String, Failure> {
        let begun = Instant::now();
        match command {
            SessionCommand::StartTransaction => {
                let id = self.start()?;
                Ok(wire::transaction_started(&id.to_string(), self.figures(begun)))
            }
            SessionCommand::Execute { transaction, statement, parameters } => {
                self.check(&transaction)?;
                let page = self.execute(&statement, &parameters).await?;
                Ok(wire::executed(&page, self.figures(begun)))
            }
            SessionCommand::FetchPage { transaction, token } => {
                self.check(&transaction)?;
                let page = self.fetch(&token)?;
                Ok(wire::page_fetched(&page, self.figures(begun)))
            }
            SessionCommand::Commit { transaction, digest } => {
                self.check(&transaction)?;
                let figures = self.figures(begun);
                self.commit(&digest).await?;
                let milliseconds = begun.elapsed().as_millis() as u64;
                Ok(wire::committed(&transaction, &digest, Figures { milliseconds, ..figures }))
            }
            SessionCommand::Abort => {
                self.roll_back();
                Ok(wire::aborted(self.figures(begun)))
            }
            SessionCommand::EndSession => {
                self.roll_back();
                Ok(wire::session_ended(self.figures(begun)))
            }
        }
    }

    fn start(&mut self) -> Result<Id, Failure> {
        if let Some(open) = &self.open {
            return Err(Failure::bad_request(format!(
                "transaction {} is open in this session; commit or abort it first",
                open.id
            )));
        }
        let id = self.session.begin_at_once()?;
        let digest = ion_hash(&Value::string(id.to_string()));
        self.open = Some(Open { id, began: Instant::now(), digest, cursors: HashMap::new(), told: (0, 0) });
        Ok(id)
    }

    fn check(&self, transaction: &str) -> Result<(), Failure> {
        match &self.open {
            Some(open) if open.id.to_string() == transaction => Ok(()),
            Some(_) => Err(Failure::bad_request(format!("transaction {transaction} is not open in this session"))),
            None => Err(Failure::bad_request(format!("transaction {transaction} is not open"))),
        }
    }

    async fn execute(&mut self, text: &str, parameters: &[Value]) -> Result<Page, Failure> {
        let Some(open) = &mut self.open else { return Err(Failure::bad_request("no transaction is open")) };
        open.digest = dot2(open.digest, statement_digest(text, parameters));
        if open.cursors.len() >= CURSORS_MAX {
            return Err(Failure::limit_exceeded(format!(
                "{CURSORS_MAX} statements of this transaction have values that were not fetched; fetch or abort"
            )));
        }
        let parameters: Vec<Option<Value>> = parameters.iter().cloned().map(Some).collect();
        let (columns, rows) = match self.session.run_or_undo(text, &parameters).await? {
            Response::Rows { columns, rows } => (columns, rows),
            Response::Done { .. } | Response::Empty => return Ok(Page::default()),
            Response::CopyIn(_) | Response::CopyOut(_) => {
                return Err(Failure::bad_request("COPY is for the PostgreSQL port"));
            }
        };
        self.page(Cursor { columns, rows, next: VecDeque::new() })
    }

    fn fetch(&mut self, token: &str) -> Result<Page, Failure> {
        let cursor = self.open.as_mut().and_then(|open| open.cursors.remove(token));
        let cursor = cursor
            .ok_or_else(|| Failure::bad_request("NextPageToken was used before, or is of another transaction"))?;
        self.page(cursor)
    }

    /// The next values and, if there are more, a token for them.
    fn page(&mut self, mut cursor: Cursor) -> Result<Page, Failure> {
        let (mut page, mut bytes) = (Page::default(), 0);
        while page.values.len() < PAGE_VALUES && bytes < PAGE_BYTES {
            let Some(value) = cursor.take()? else { return Ok(page) };
            let value = encode(&value);
            bytes += value.len();
            page.values.push(value);
        }
        if !cursor.is_at_the_end()? {
            let token = Id(self.rng.bytes16()).to_string();
            if let Some(open) = &mut self.open {
                open.cursors.insert(token.clone(), cursor);
            }
            page.next = Some(token);
        }
        Ok(page)
    }

    async fn commit(&mut self, theirs: &Hash) -> Result<(), Failure> {
        let Some(open) = self.open.take() else { return Err(Failure::bad_request("no transaction is open")) };
        if open.digest != *theirs {
            self.session.roll_back_block()?;
            return Err(Failure::bad_request(format!(
                "CommitDigest is not that of transaction {} and its statements; the transaction was aborted",
                open.id
            )));
        }
        // It ends the transaction, whatever becomes of it.
        self.session.commit_block().await?;
        Ok(())
    }

    fn roll_back(&mut self) {
        if self.open.take().is_some() {
            // It is open, so this cannot fail.
            let _ = self.session.roll_back_block();
        }
    }

    fn figures(&mut self, begun: Instant) -> Figures {
        let milliseconds = begun.elapsed().as_millis() as u64;
        let Some(open) = &mut self.open else { return Figures { milliseconds, ..Figures::default() } };
        let (reads, writes) = self.session.visited();
        let told = std::mem::replace(&mut open.told, (reads, writes));
        Figures { milliseconds, reads: reads.saturating_sub(told.0), writes: writes.saturating_sub(told.1) }
    }
}

impl Cursor {
    fn take(&mut self) -> Result<Option<Value>, QueryError> {
        self.fill()?;
        Ok(self.next.pop_front())
    }

    fn is_at_the_end(&mut self) -> Result<bool, QueryError> {
        self.fill()?;
        Ok(self.next.is_empty())
    }

    /// Making rows may take long: other sessions go on meanwhile.
    fn fill(&mut self) -> Result<(), QueryError> {
        while self.next.is_empty() {
            let Some(chunk) = tokio::task::block_in_place(|| self.rows.next_chunk())? else { break };
            let values = chunk.into_iter().map(|row| match &self.columns[..] {
                [column] if &*column.name == VALUE => row.into_iter().next().flatten().unwrap_or(Value::NULL),
                columns => {
                    let cells = row.into_iter().map(|cell| cell.unwrap_or(Value::NULL));
                    Value::Struct(Struct::from_fields(columns.iter().map(|column| &*column.name).zip(cells)))
                }
            });
            self.next.extend(values);
        }
        Ok(())
    }
}
