//! Holding what the ledger says against the model: published blocks when they appear, answers when they arrive, and
//! everything after a restart.

use std::sync::Arc;

use ledgerstone_digest::Id;
use ledgerstone_digest::ion::Value;
use ledgerstone_journal::{Committed, StoredBlock};
use ledgerstone_query::error::QueryError;

use super::client::{Call, Client, Open, Published, Submitted};
use super::model::{Answer, Effect};
use super::statement::{Filter, Shape, Statement, View};
use super::world::World;

impl World {
    /// Takes what has been published into the model.
    pub fn settle(&mut self) {
        while self.model.end() < self.snapshot() {
            let number = self.model.blocks.len() as u64;
            let ledger = self.database().ledger().clone();
            let block = self.sim.disk.quietly(|| ledger.read_block(number));
            let block = block.unwrap_or_else(|error| panic!("published block {number} cannot be read: {error}"));
            assert!(block.position < ledger.snapshot(), "half of block {number} is published");
            self.take_in(&block);
        }
    }

    /// The ledger was opened with fewer blocks than were published. Allowed only if the medium has lost something, and
    /// no checkpoint that was recorded covers it (CONTRACT section 8).
    pub fn shorter(&mut self, end: u64) {
        let promised = self.promises.checkpoints.iter().map(|(c, _)| c.size).max().unwrap_or(0).max(self.recorded);
        assert!(
            self.journal_damaged && promised <= end,
            "published blocks are missing: the ledger ends at {end}, it ended at {}; a checkpoint of {promised} leaves is \
             recorded; damaged: {}",
            self.model.end(),
            self.journal_damaged
        );
        self.journal_damaged = false;
        self.tell(|_| format!("exempt: the ledger ends at {end}"));
        self.coverage.met("exempt: lost, and covered by no checkpoint");
        self.model.cut(end);
        let blocks = self.model.blocks.len() as u64;
        for (_, first) in &mut self.retries {
            *first = first.filter(|(block, _)| *block < blocks);
        }
        self.history.is_void = true;
        self.sim.disk.accept_damage();
    }

    /// A block: who made it, what it should come to, and whether that is what it says.
    fn take_in(&mut self, block: &StoredBlock) {
        let user = block.origin.user.to_string();
        let at = self.clients.iter().position(|client| client.user == user);
        let submitted = match at {
            Some(at) => self.clients[at].submitted(),
            None => self.lost.remove(&user),
        };
        let mut work = self.model.begin(self.model.end());
        let mut answer = Ok(Vec::new());
        if let Some(submitted) = &submitted {
            for (statement, said) in &submitted.statements {
                answer = self.model.evaluate(&mut work, statement);
                if let Some(said) = said.as_ref().filter(|_| !statement.is_of_the_past()) {
                    assert_eq!(
                        shown(statement, said),
                        shown(statement, &answer),
                        "block {}, {user}: {statement} was answered so, but where its transaction stands in the journal \
                         it answers otherwise",
                        block.number
                    );
                }
                if matches!(statement, Statement::Insert { rows, .. } if rows.len() > 30) {
                    self.coverage.met("action: large staged transaction");
                }
                if let Statement::Redact { revision, .. } = statement {
                    self.model.revisions[*revision].redacted = Some(block.number);
                    self.coverage.met("action: redaction");
                }
            }
        } else {
            assert!(
                is_of_system(block) || is_rotation(block),
                "block {} of {user:?}: nobody submitted it",
                block.number
            );
        }
        self.tell(|_| format!("block {} of {user:?} ends at {}", block.number, block.position + 1));
        self.compare_block(block, &work.effect());
        self.model.publish(work, block.position + 1, block.time_ms);
        let published = Published { block: block.number, position: block.position, answer };
        match (at, submitted) {
            (Some(at), Some(_)) => {
                let client = &mut self.clients[at];
                assert!(client.published.is_none(), "{user} has committed twice");
                client.published = Some(published);
            }
            (None, Some(submitted)) => {
                self.coverage.met("answer: unknown, and it was there");
                self.history.resolved(&user, Some(block.number));
                if submitted.token.is_some() {
                    self.retries.push((submitted, Some((published.block, published.position))));
                }
            }
            _ if is_rotation(block) => {}
            _ => self.coverage.met("action: index build"),
        }
    }

    fn compare_block(&self, block: &StoredBlock, effect: &Effect) {
        let users = block.revisions.iter().filter(|revision| !revision.table_id.is_system());
        let mut found: Vec<_> = users.map(|r| (r.version, r.data.as_deref().map(fields))).collect();
        let mut expected: Vec<_> = effect
            .revisions
            .iter()
            .map(|(_, _, version, data)| (*version, data.as_ref().map(|(k, n, s)| (*k, *n, s.to_string()))))
            .collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "block {} has other revisions than its transaction made", block.number);
        let newest = self.model.blocks.last().map_or(i64::MIN, |block| block.time_ms);
        assert!(block.time_ms >= newest, "time goes back at block {}", block.number);
    }

    /// Lets a client go on, and judges its answer if there is one.
    pub fn poll(&mut self, at: usize) {
        let Some(client) = self.clients.get_mut(at).filter(|client| !client.is_idle()) else { return };
        let answer = client.poll();
        self.settle();
        if let Some((answer, committed)) = answer {
            self.tell(|world| {
                let said = answer.as_ref().map_err(ToString::to_string);
                format!("{} is told {said:?}; {committed:?}", world.clients[at].user)
            });
            self.answered(at, answer, committed);
        }
    }

    /// Sends something and lets it begin.
    pub fn ask(&mut self, at: usize, call: Call) {
        let asked = (self.step, self.snapshot());
        self.tell(|world| format!("{} asks at snapshot {}: {}", world.clients[at].user, asked.1, call.text()));
        self.clients[at].ask(call, asked);
        self.poll(at);
    }

    fn answered(&mut self, at: usize, answer: Result<Vec<String>, QueryError>, committed: Option<Committed>) {
        let client = &mut self.clients[at];
        let Some(call) = client.call.take() else { return };
        let published = client.published.take();
        match (&committed, &published) {
            (None, _) => {}
            (Some(committed), Some(published)) => {
                assert_eq!((committed.block, committed.block_position), (published.block, published.position));
            }
            // The repetition of what its token did before.
            (Some(_), None) if matches!(&call, Call::Alone { token: Some(_), .. }) => {}
            (Some(committed), None) => panic!("{} is acknowledged but not published", committed.block),
        }
        match call {
            Call::Alone { statement, token } => {
                self.answered_alone(at, &statement, token, answer, committed, published)
            }
            Call::Inside(statement) => self.answered_inside(at, statement, answer),
            Call::Begin => assert_eq!(answer.as_deref(), Ok(&["BEGIN".to_owned()][..])),
            Call::Savepoint => {
                assert_eq!(answer.as_deref(), Ok(&["SAVEPOINT".to_owned()][..]));
                if let Some(open) = &mut self.clients[at].open {
                    open.mark = Some((open.work.clone(), open.said.len()));
                }
            }
            Call::RollbackTo => self.answered_rollback_to(at, answer),
            Call::Rollback => {
                assert_eq!(answer.as_deref(), Ok(&["ROLLBACK".to_owned()][..]));
                self.clients[at].open = None;
                self.coverage.met("action: rollback");
            }
            Call::Commit => {
                let open = self.clients[at].open.take().unwrap_or_default();
                self.answered_commit(at, open, answer, committed, published);
            }
        }
    }

    fn answered_alone(
        &mut self,
        at: usize,
        statement: &Statement,
        token: Option<String>,
        answer: Result<Vec<String>, QueryError>,
        committed: Option<Committed>,
        published: Option<Published>,
    ) {
        let asked = self.clients[at].asked;
        let said: Answer = answer.clone().map_err(|error| error.code.as_str().to_owned());
        let block = published.as_ref().map(|p| p.block);
        // A repetition is no other transaction than the first.
        let repeats = published.is_none() && committed.is_some();
        if said.is_ok() && !repeats {
            self.history.answered(&[(statement, Some(&said))], (asked.0, self.step), block);
        }
        match (published, answer) {
            (Some(published), Ok(_)) => {
                if !matches!(statement, Statement::Redact { .. }) {
                    assert_eq!(shown(statement, &said), shown(statement, &published.answer), "{statement}");
                }
                self.coverage.met("answer: committed");
            }
            (Some(published), Err(error)) => {
                // What follows a commit may fail after it, and the answer says so.
                let goes_on = matches!(statement, Statement::CreateIndex { .. } | Statement::Redact { .. });
                assert!(goes_on, "{statement} is in block {}, but was refused: {error}", published.block);
                self.refused("after a commit", &error);
            }
            (None, Ok(_)) if committed.is_some() => {
                let first = self.clients[at].repeats.take();
                let address = committed.map(|committed| (committed.block, committed.block_position));
                assert_eq!(address, first, "{statement}: a repetition under a token got another block");
                self.coverage.met("answer: repetition under a token");
            }
            (None, outcome) => self.answered_without_block(at, statement, token, &said, outcome.err()),
        }
    }

    /// Nothing was committed: the answer has to be true of a snapshot between question and answer.
    fn answered_without_block(
        &mut self,
        at: usize,
        statement: &Statement,
        token: Option<String>,
        said: &Answer,
        error: Option<QueryError>,
    ) {
        if matches!(statement, Statement::Redact { .. }) && error.is_some() {
            // Redacted already, or current again; what it says is not modelled.
            return self.unknown_or_refused(at, statement, token, error);
        }
        let (_, asked) = self.clients[at].asked;
        let snapshots: Vec<u64> = self.model.snapshots(asked, u64::MAX).collect();
        let expected = snapshots.iter().map(|snapshot| {
            let mut work = self.model.begin(*snapshot);
            let answer = self.model.evaluate(&mut work, statement);
            (answer, work.effect().is_nothing())
        });
        let mut expected: Vec<_> = expected.collect();
        if expected
            .iter()
            .any(|(answer, nothing)| shown(statement, answer) == shown(statement, said) && (*nothing || said.is_err()))
        {
            return;
        }
        // A key may be taken by what is not durable yet, or never will be.
        if said == &Err("23505".to_owned()) && self.is_anything_pending(at) {
            self.coverage.met("answer: refused for what was pending");
            return;
        }
        if error.is_some() {
            return self.unknown_or_refused(at, statement, token, error);
        }
        expected.dedup();
        panic!("{statement}\nsays {said:?}\nexpected {expected:?}\nat a snapshot of {snapshots:?}");
    }

    fn is_anything_pending(&self, except: usize) -> bool {
        let mut others = self.clients.iter().enumerate().filter(|(at, _)| *at != except);
        others.any(|(_, client)| client.submitted().is_some()) || !self.lost.is_empty()
    }

    fn unknown_or_refused(
        &mut self,
        at: usize,
        statement: &Statement,
        token: Option<String>,
        error: Option<QueryError>,
    ) {
        let Some(error) = error else { return };
        let code = error.code.as_str();
        if code == "55000" && matches!(statement, Statement::Redact { .. }) {
            return;
        }
        self.refused(&statement.to_string(), &error);
        if code == "08007" {
            let submitted =
                Submitted { statements: vec![(statement.clone(), None)], token, began: self.clients[at].asked.0 };
            self.unknown(at, submitted);
        }
    }

    fn answered_inside(&mut self, at: usize, statement: Statement, answer: Result<Vec<String>, QueryError>) {
        let (_, snapshot) = self.clients[at].asked;
        let Some(mut open) = self.clients[at].open.take() else { return };
        let mut work = open.work.take().unwrap_or_else(|| self.model.begin(snapshot));
        let said: Answer = answer.clone().map_err(|error| error.code.as_str().to_owned());
        let before = work.clone();
        let expected = self.model.evaluate(&mut work, &statement);
        if shown(&statement, &said) == shown(&statement, &expected) {
            open.failed = said.is_err();
        } else if let Err(error) = answer {
            // A conflict may show before the commit.
            if error.code.as_str() != "40001" {
                self.refused(&statement.to_string(), &error);
            }
            work = before;
            open.failed = true;
        } else {
            panic!(
                "{statement}\nsays {said:?}\nexpected {expected:?}\nat snapshot {}, inside a transaction",
                work.snapshot
            );
        }
        if !open.failed {
            open.said.push((statement, said));
        }
        open.work = Some(work);
        self.clients[at].open = Some(open);
    }

    fn answered_rollback_to(&mut self, at: usize, answer: Result<Vec<String>, QueryError>) {
        assert_eq!(answer.as_deref(), Ok(&["ROLLBACK".to_owned()][..]));
        let Some(open) = &mut self.clients[at].open else { return };
        if let Some((work, said)) = open.mark.clone() {
            // Behind a mark at which nothing had been read, the snapshot is the one that was taken since.
            open.work = work.or_else(|| open.work.as_ref().map(|since| self.model.begin(since.snapshot)));
            open.said.truncate(said);
            open.failed = false;
            self.coverage.met("action: savepoint");
        }
    }

    fn answered_commit(
        &mut self,
        at: usize,
        open: Open,
        answer: Result<Vec<String>, QueryError>,
        committed: Option<Committed>,
        published: Option<Published>,
    ) {
        let user = self.clients[at].user.clone();
        let effect = open.work.as_ref().map(|work| work.effect()).unwrap_or_default();
        match answer {
            Ok(lines) => {
                assert_eq!(lines, ["COMMIT"]);
                assert_eq!(committed.is_some(), published.is_some(), "{user}: published, and not acknowledged");
                if published.is_none() {
                    assert!(effect.is_nothing(), "{user}: what was acknowledged made no block: {effect:?}");
                }
                let said: Vec<_> = open.said.iter().map(|(statement, said)| (statement, Some(said))).collect();
                self.history.answered(&said, (open.began, self.step), published.map(|published| published.block));
                self.coverage.met("action: transaction committed");
            }
            Err(error) => {
                assert!(published.is_none(), "{user}: published, and refused: {error}");
                match error.code.as_str() {
                    "40001" => self.coverage.met("action: conflict"),
                    "23505" => {}
                    "08007" => {
                        self.refused("COMMIT", &error);
                        let statements = open.said.into_iter().map(|(s, said)| (s, Some(said))).collect();
                        self.unknown(at, Submitted { statements, token: None, began: open.began });
                    }
                    _ => self.refused("COMMIT", &error),
                }
            }
        }
    }

    /// It may be there after the next start.
    fn unknown(&mut self, at: usize, submitted: Submitted) {
        let user = self.clients[at].user.clone();
        self.history.unanswered(&user, &submitted.said(), submitted.began);
        self.lost.entry(user).or_insert(submitted);
        self.trouble.stopped = true;
    }

    /// Everything that there is, after a restart: current rows by scan and by index, the past, history.
    pub fn check_everything(&mut self) {
        if self.sim.disk.is_stopped() || self.database.is_none() {
            return;
        }
        let noise = std::mem::take(&mut self.trouble.reading);
        self.check_promises();
        self.trouble.reading = noise;
        let at = self.clients.len();
        self.add_client();
        let tables: Vec<Arc<str>> = self.model.newest().tables.keys().cloned().collect();
        for table in tables {
            let select = |filter, view| Statement::Select { table: table.clone(), filter, view, shape: Shape::Rows };
            let mut statements = vec![select(Filter::All, View::Current), Statement::History { table: table.clone() }];
            for n in [self.rng.below(8) as i64, self.rng.below(8) as i64] {
                statements.push(select(Filter::Number { n, scanned: false }, View::Current));
                statements.push(select(Filter::Key { k: n, scanned: false }, View::Current));
            }
            if let Some(block) = self.rng.below(self.model.blocks.len() as u64 + 1).checked_sub(1) {
                statements.push(select(Filter::All, View::Block(block)));
                let n = self.rng.below(8) as i64;
                statements.push(select(Filter::Number { n, scanned: false }, View::Block(block)));
            }
            for statement in statements {
                if !self.clients[at].is_idle() || self.sim.disk.is_stopped() {
                    break;
                }
                self.ask(at, Call::Alone { statement, token: None });
            }
        }
        if self.clients.get(at).is_some_and(Client::is_idle) {
            self.clients.truncate(at);
        }
        self.compare_columns();
        self.coverage.met("action: everything compared");
    }
}

/// A block that the operator made.
fn is_rotation(block: &StoredBlock) -> bool {
    &*block.origin.user == "operator" && matches!(block.revisions.as_slice(), [only] if only.table_id == Id::KEYS)
}

/// A block that no client submitted: indexes that came online.
fn is_of_system(block: &StoredBlock) -> bool {
    block.origin.user.is_empty() && block.revisions.iter().all(|revision| revision.table_id.is_system())
}

fn fields(data: &Value) -> (i64, i64, String) {
    let field = |name: &str| data.as_struct().and_then(|s| s.get(name));
    let number = |name| field(name).and_then(Value::as_i64).unwrap_or(i64::MIN);
    (number("k"), number("n"), field("s").and_then(Value::as_text).unwrap_or("").to_owned())
}

/// An answer to be compared. The order of revisions inside a block is the ledger's own affair.
fn shown(statement: &Statement, answer: &Answer) -> Answer {
    let mut answer = answer.clone();
    if let (Statement::History { .. }, Ok(lines)) = (statement, &mut answer) {
        lines.sort();
    }
    answer
}
