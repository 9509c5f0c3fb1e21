//! What happens next: which client asks what, who goes on, what is handed out, what the operator does.

use std::sync::Arc;

use ledgerstone_journal::Step;

use super::client::{Call, Open};
use super::model::Table;
use super::statement::{Change, Filter, Shape, Statement, View};
use super::world::World;

/// Every action that the seeds together have to meet.
pub const ACTIONS: &[&str] = &[
    "action: table made",
    "action: table dropped",
    "action: index made",
    "action: index dropped",
    "action: index build",
    "action: large staged transaction",
    "action: segment roll",
    "action: segment packed",
    "action: index written",
    "action: columns written",
    "action: columns compared",
    "action: columns found damaged",
    "action: columns compared with the journal",
    "action: columns made again",
    "action: transaction committed",
    "action: conflict",
    "action: statement run again on pending state",
    "action: rollback",
    "action: savepoint",
    "action: checkpoint",
    "action: receipt",
    "action: redaction",
    "action: key rotated",
    "action: crash while the key is rotated",
    "action: rotation finished after a crash",
    "action: rotation that a crash has undone",
    "action: checkpoint signed by a later key",
    "action: clean restart",
    "action: kill",
    "action: crash",
    "action: crash while opening",
    "action: crash while a ledger is made",
    "action: everything compared",
    "action: verify",
    "action: derived files deleted",
    "action: file restored",
    "action: doctor",
    "action: backup",
    "action: restore",
    "answer: committed",
    "answer: a named refusal",
    "answer: unknown, and it was there",
    "answer: repetition under a token",
];

/// Keys of rows, and numbers in them, are few, so that clients meet.
const KEYS: u64 = 12;
const NUMBERS: u64 = 8;
/// Lists and accounts are fixed.
pub const LISTS: i64 = 3;
pub const ACCOUNTS: i64 = 5;
pub const BALANCE: i64 = 100;
/// A row of a large transaction.
const LARGE_TEXT_BYTES: usize = 400;

impl World {
    /// The tables that there always are.
    pub fn define(&mut self) {
        let name = |text: &str| -> Arc<str> { text.into() };
        let rows = |count: i64, n: i64| (0..count).map(|k| (k, n, "".into())).collect::<Vec<_>>();
        for statement in [
            Statement::CreateTable { table: name("items"), unique: false },
            Statement::CreateTable { table: name("names"), unique: true },
            Statement::CreateTable { table: name("bulk"), unique: false },
            Statement::CreateTable { table: name("lists"), unique: false },
            Statement::CreateTable { table: name("accounts"), unique: false },
            Statement::Insert { table: name("lists"), rows: rows(LISTS, 0) },
            Statement::Insert { table: name("accounts"), rows: rows(ACCOUNTS, BALANCE) },
        ] {
            self.ask(0, Call::Alone { statement, token: None });
            self.calm();
        }
    }

    /// One step.
    pub fn act(&mut self) {
        match self.rng.below(100) {
            0..=44 => self.client_acts(),
            45..=59 => self.step_ledger(Step::Sequence),
            60..=74 => self.step_ledger(Step::HandOver),
            75..=88 if self.slow_for > 0 => self.sim.clock.advance_ms(self.rng.below(3_000) as i64),
            75..=88 => self.step_ledger(Step::Write),
            89..=91 => drop(self.database().step()),
            92..=93 => self.ask_checkpoint(),
            94..=95 => self.ask_receipt(),
            96 if self.rng.one_in(4) => self.take_backup(),
            97 if self.rng.one_in(8) => self.restore_backup(),
            98 if self.rng.one_in(3) => self.rotate_key(),
            99 if self.rng.one_in(2) => self.pack_segment(),
            99 => self.use_columns(),
            _ => self.sim.clock.advance_ms(self.rng.below(40) as i64),
        }
    }

    fn step_ledger(&mut self, step: Step) {
        self.database().ledger().step(step);
    }

    fn client_acts(&mut self) {
        let at = self.rng.below(self.clients.len() as u64) as usize;
        if !self.clients[at].is_idle() {
            return self.poll(at);
        }
        let Some(open) = &mut self.clients[at].open else { return self.begin_something(at) };
        let call = if open.failed {
            match open.mark.is_some() && self.rng.one_in(2) {
                true => Call::RollbackTo,
                false => Call::Rollback,
            }
        } else if let Some(statement) = open.left.pop() {
            match self.rng.below(12) {
                0 if !open.whole => {
                    open.left.push(statement);
                    Call::Savepoint
                }
                1 if open.mark.is_some() => Call::RollbackTo,
                _ => Call::Inside(statement),
            }
        } else if self.rng.one_in(8) {
            Call::Rollback
        } else {
            Call::Commit
        };
        self.ask(at, call);
    }

    fn begin_something(&mut self, at: usize) {
        if let Some((submitted, first)) = self.retries.pop() {
            return self.retry(at, submitted, first);
        }
        if self.chance(60) {
            let statement = self.statement();
            let token = (statement.writes() && self.chance(25)).then(|| format!("token{}", self.fresh()));
            self.note_statement(&statement);
            return self.ask(at, Call::Alone { statement, token });
        }
        let kind = self.rng.below(4);
        let mut left = match kind {
            0 => self.transfer(),
            1 => (0..1 + self.rng.below(3)).map(|_| self.list_statement()).collect(),
            _ => (0..1 + self.rng.below(4)).map(|_| self.plain_statement()).collect(),
        };
        left.reverse();
        self.clients[at].open = Some(Open { left, whole: kind == 0, began: self.step, ..Open::default() });
        self.ask(at, Call::Begin);
    }

    fn note_statement(&mut self, statement: &Statement) {
        match statement {
            Statement::CreateTable { .. } => self.coverage.met("action: table made"),
            Statement::DropTable { .. } => self.coverage.met("action: table dropped"),
            Statement::CreateIndex { .. } => self.coverage.met("action: index made"),
            Statement::DropIndex { .. } => self.coverage.met("action: index dropped"),
            _ => {}
        }
    }

    /// Any statement that may stand alone.
    fn statement(&mut self) -> Statement {
        match self.rng.below(100) {
            0..=3 => self.definition(),
            4..=7 => self.large_statement(),
            8..=10 => self.redact().unwrap_or_else(|| self.plain_statement()),
            11..=30 => self.list_statement(),
            31..=38 => sum_of_accounts(),
            _ => self.plain_statement(),
        }
    }

    fn definition(&mut self) -> Statement {
        let table: Arc<str> = ["extra", "other"][self.rng.below(2) as usize].into();
        let index: Arc<str> = ["by_n", "by_number"][self.rng.below(2) as usize].into();
        match self.rng.below(6) {
            0 => Statement::CreateTable { table, unique: self.rng.one_in(2) },
            1 => Statement::DropTable { table },
            2 | 3 => Statement::CreateIndex { index, table: self.table() },
            4 => Statement::CreateIndex { index, table: "items".into() },
            _ => Statement::DropIndex { index },
        }
    }

    fn table(&self) -> Arc<str> {
        ["items", "items", "items", "names", "names", "extra", "other"][self.rng.below(7) as usize].into()
    }

    /// Many rows at once, or none of them any more.
    fn large_statement(&mut self) -> Statement {
        let table: Arc<str> = "bulk".into();
        let many = self.model.newest().tables.get(&table).is_some_and(|table| table.rows.len() > 50);
        if many || self.rng.one_in(4) {
            return Statement::Delete { table, filter: Filter::All };
        }
        let rows = (0..20 + self.rng.below(30)).map(|_| {
            let k = self.fresh() as i64;
            (k, k % NUMBERS as i64, format!("{k:x>LARGE_TEXT_BYTES$}").into())
        });
        Statement::Insert { table, rows: rows.collect() }
    }

    /// A read or write of few rows.
    fn plain_statement(&mut self) -> Statement {
        let table = self.table();
        let (k, n) = (self.rng.below(KEYS) as i64, self.rng.below(NUMBERS) as i64);
        let s: Arc<str> = format!("s{}", self.rng.below(KEYS)).into();
        match self.rng.below(20) {
            0..=4 => Statement::Insert { table, rows: vec![(k, n, s)] },
            5..=7 => Statement::Update { table, filter: self.filter(), change: Change::SetNumber(n) },
            8 => Statement::Update { table, filter: self.filter(), change: Change::AddNumber(1) },
            9 => {
                let filter = Filter::Key { k, scanned: self.rng.one_in(4) };
                let change = if self.rng.one_in(2) { Change::SetText(s) } else { Change::SetKey(n) };
                Statement::Update { table, filter, change }
            }
            10 | 11 => Statement::Delete { table, filter: self.filter() },
            12 => Statement::History { table },
            13 | 14 => Statement::Select { table, filter: self.filter(), view: self.past(), shape: Shape::Rows },
            15 => Statement::Select { table, filter: self.filter(), view: View::Current, shape: Shape::Sum },
            _ => Statement::Select { table, filter: self.filter(), view: View::Current, shape: Shape::Rows },
        }
    }

    fn filter(&mut self) -> Filter {
        let scanned = self.rng.one_in(3);
        let (low, high) = (self.rng.below(NUMBERS) as i64, self.rng.below(NUMBERS) as i64);
        match self.rng.below(10) {
            0 => Filter::All,
            1..=4 => Filter::Key { k: self.rng.below(KEYS) as i64, scanned },
            5 | 6 => Filter::Number { n: low, scanned },
            7 | 8 => Filter::Numbers { low, high, scanned },
            _ => Filter::Text { s: format!("s{}", self.rng.below(KEYS)).into(), scanned },
        }
    }

    fn past(&mut self) -> View {
        let Some(block) = self.rng.below(self.model.blocks.len() as u64 + 1).checked_sub(1) else {
            return View::Current;
        };
        match self.rng.below(3) {
            0 => View::Time(self.model.blocks[block as usize].time_ms),
            _ => View::Block(block),
        }
    }

    /// Appends to a list, or reads one. Elements are never appended twice.
    fn list_statement(&mut self) -> Statement {
        let table: Arc<str> = "lists".into();
        let filter = Filter::Key { k: self.rng.below(LISTS as u64) as i64, scanned: self.rng.one_in(5) };
        match self.rng.one_in(2) {
            true => {
                let change = Change::Append(format!(",{}", self.fresh()).into());
                Statement::Update { table, filter, change }
            }
            false => Statement::Select { table, filter, view: View::Current, shape: Shape::Rows },
        }
    }

    /// From one account to another; both are read first.
    fn transfer(&mut self) -> Vec<Statement> {
        let from = self.rng.below(ACCOUNTS as u64) as i64;
        let to = (from + 1 + self.rng.below(ACCOUNTS as u64 - 1) as i64) % ACCOUNTS;
        let amount = 1 + self.rng.below(20) as i64;
        let table: Arc<str> = "accounts".into();
        let key = |k| Filter::Key { k, scanned: false };
        let read =
            |k| Statement::Select { table: table.clone(), filter: key(k), view: View::Current, shape: Shape::Rows };
        let change = |k, by| Statement::Update { table: table.clone(), filter: key(k), change: Change::AddNumber(by) };
        vec![read(from), read(to), change(from, -amount), change(to, amount)]
    }

    /// Some revision that is not current any more.
    fn redact(&mut self) -> Option<Statement> {
        let current = |table: &Table, document: u64, version: u64| {
            table.rows.values().any(|row| row.document == document && row.version == version)
        };
        let newest = self.model.newest();
        let old: Vec<usize> = (0..self.model.revisions.len())
            .filter(|at| {
                let revision = &self.model.revisions[*at];
                let table = newest.tables.values().find(|table| table.id == revision.table);
                let table = table.filter(|t| !current(t, revision.document, revision.version));
                revision.data.is_some() && revision.redacted.is_none() && table.is_some()
            })
            .collect();
        let revision = *old.get(self.rng.below(old.len() as u64) as usize)?;
        let wanted = self.model.revisions[revision].clone();
        let ledger = self.database().ledger().clone();
        let block = self.sim.disk.quietly(|| ledger.read_block(wanted.block)).ok()?;
        let found = block.revisions.iter().find(|found| {
            let k = found.data.as_ref().and_then(|data| data.as_struct()?.get("k")?.as_i64());
            found.version == wanted.version && k == wanted.data.as_ref().map(|(k, ..)| *k)
        })?;
        Some(Statement::Redact {
            revision,
            strand: block.strand.to_string(),
            block: block.number,
            table_id: found.table_id.to_string(),
            document_id: found.document_id.to_string(),
        })
    }

    /// Asks again what had a token.
    fn retry(&mut self, at: usize, submitted: super::client::Submitted, first: Option<(u64, u64)>) {
        let Some((statement, _)) = submitted.statements.first() else { return };
        self.clients[at].repeats = first;
        self.ask(at, Call::Alone { statement: statement.clone(), token: submitted.token });
    }
}

fn sum_of_accounts() -> Statement {
    Statement::Select { table: "accounts".into(), filter: Filter::All, view: View::Current, shape: Shape::Sum }
}
