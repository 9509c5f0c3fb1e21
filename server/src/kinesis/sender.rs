//! The task of a stream: reads blocks, sends their records until Kinesis has taken them, and only then moves the stream's
//! place. What cannot be sent now is tried again, for ever.
//!
//! The place is kept about once a second and where a stream ends; after a kill some blocks are sent again. A block whose
//! records are not all taken is sent again from its beginning.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledgerstone_digest::qldb::stream::Control;
use ledgerstone_journal::env::Rng;
use ledgerstone_journal::{CommitError, Ledger, ReadError};
use ledgerstone_query::database::Database;
use ledgerstone_query::error::QueryError;
use ledgerstone_query::instance::Instance;
use tokio::sync::watch;

use super::put::{Kind, Kinesis, NotTaken, Putter, Refusal, Target, call_length};
use super::record::{self, Entry, RECORD_BYTES, RECORD_BYTES_MAX};
use super::state::{Cause, Config, Progress, Status};
use super::{Stream, Streams};
use crate::metrics::Metrics;

/// A piece holds the records of blocks until they have about so many bytes.
const PIECE_BYTES: usize = 1 << 20;
/// Blocks that are passed over, because of their time, in one piece.
const PASSED_OVER_MAX: u64 = 10_000;
/// What a revision adds to its block's summary, at least: its hash, and a document's id.
const SUMMARY_BYTES_MIN: usize = 36;
/// How often a stream that has sent everything looks for more.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How often the place is kept.
const KEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Waits before what was refused is tried again: the first, and the longest.
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Sends one stream.
pub struct Sender {
    stream: Arc<Stream>,
    database: Arc<Database>,
    instance: Arc<Instance>,
    metrics: Arc<Metrics>,
    rng: Arc<dyn Rng>,
    putter: Putter,
    /// Calls in a row that did not get everything through.
    failures: u32,
    /// When the place was kept, and whether it has moved since.
    kept: Instant,
    moved: bool,
}

/// What was read of a ledger from some block on.
#[derive(Debug, PartialEq)]
enum Piece {
    /// Records, perhaps none, and the block behind theirs.
    Blocks(Vec<Entry>, u64),
    /// There is nothing more yet.
    Nothing,
    /// There will never be more.
    End,
}

/// Why a piece cannot be read.
#[derive(Debug, thiserror::Error)]
enum PieceError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Closed(#[from] CommitError),
    #[error("the reading was not finished: {0}")]
    Unfinished(#[from] tokio::task::JoinError),
    #[error(
        "block {0} makes a record of more than 10 MiB, and no stream of Kinesis takes that; make a stream that begins behind \
         it, and read that block from journal-stream"
    )]
    TooLarge(u64),
    #[error("the stream has sent the blocks before block {next}, and the ledger ends before; was it restored?")]
    Beyond { next: u64 },
}

impl Sender {
    pub fn new(
        streams: &Streams,
        database: &Arc<Database>,
        stream: Arc<Stream>,
        kinesis: &Kinesis,
        target: Target,
    ) -> Sender {
        Sender {
            stream,
            database: Arc::clone(database),
            instance: Arc::clone(&streams.instance),
            metrics: Arc::clone(&streams.metrics),
            rng: Arc::clone(&streams.rng),
            putter: Putter::new(kinesis, target),
            failures: 0,
            kept: Instant::now(),
            moved: false,
        }
    }

    /// Sends until the stream ends, its ledger is dropped, or the server stops.
    pub async fn run(mut self, shutdown: &mut watch::Receiver<bool>) {
        let mut ended = self.stream.ended.subscribe();
        tokio::select! {
            biased;
            // What was cancelled has its place already.
            _ = ended.wait_for(|ended| *ended) => return,
            _ = shutdown.wait_for(|stop| *stop) => {}
            () = self.send_all() => {}
        }
        self.keep();
    }

    async fn send_all(&mut self) {
        let config = self.stream.config.clone();
        let control = |control| vec![record::control(&config.arn, &config.id.to_string(), control)];
        if !self.stream.progress().begun {
            if !self.deliver(record::pack(control(Control::Created), false)).await {
                return;
            }
            self.change(|progress| progress.begun = true);
        }
        while self.goes_on() {
            let seen = self.database.ledger().snapshot();
            match self.read(self.stream.progress().next_block).await {
                Ok(Piece::Blocks(entries, next)) => {
                    if !self.deliver(entries).await {
                        return;
                    }
                    self.stream.note(|progress| progress.next_block = next);
                    self.moved = true;
                    self.keep_in_time();
                }
                Ok(Piece::Nothing) => self.wait_for_more(seen).await,
                Ok(Piece::End) => {
                    if self.deliver(record::pack(control(Control::Completed), false)).await {
                        self.end(Status::Completed, None);
                    }
                    return;
                }
                Err(error @ (PieceError::TooLarge(_) | PieceError::Beyond { .. })) => {
                    return self.end(Status::Failed, Some(error.to_string()));
                }
                // The ledger is being dropped, or the server stops.
                Err(PieceError::Closed(_)) => return,
                Err(error) => {
                    self.impaired(None, error.to_string());
                    self.wait().await;
                }
            }
        }
    }

    async fn read(&self, from: u64) -> Result<Piece, PieceError> {
        let (ledger, config) = (Arc::clone(self.database.ledger()), self.stream.config.clone());
        let now_ms = self.database.now_ms();
        tokio::task::spawn_blocking(move || piece(&ledger, &config, from, now_ms)).await?
    }

    /// Sends until all of it was taken; false if that is not to be any more.
    async fn deliver(&mut self, mut entries: Vec<Entry>) -> bool {
        while !entries.is_empty() {
            if !self.goes_on() {
                return false;
            }
            let length = call_length(&entries);
            let call = entries.get(..length).unwrap_or_default();
            let all = match self.putter.put(call, self.database.now_ms()).await {
                Ok(answers) => {
                    let behind = entries.split_off(length);
                    entries = self.taken(entries, answers);
                    let all = entries.is_empty();
                    entries.extend(behind);
                    all
                }
                Err(refusal) => {
                    self.refused(refusal, call);
                    false
                }
            };
            if !all {
                self.metrics.kinesis_failures.one();
                self.wait().await;
            }
        }
        true
    }

    /// What of a call was not taken.
    fn taken(&mut self, call: Vec<Entry>, answers: Vec<Option<NotTaken>>) -> Vec<Entry> {
        let (mut left, mut taken, mut why) = (Vec::new(), 0, None);
        for (entry, answer) in call.into_iter().zip(answers) {
            match answer {
                None => taken += entry.records,
                Some(not_taken) => {
                    left.push(entry);
                    why = Some(not_taken);
                }
            }
        }
        self.metrics.kinesis_records.add(taken);
        if taken > 0 {
            self.failures = 0;
            self.recovered();
        } else if let Some(NotTaken { throttled: false, words }) = why {
            self.impaired(None, words);
        }
        left
    }

    fn refused(&mut self, refusal: Refusal, call: &[Entry]) {
        let Refusal { kind, words } = refusal;
        match kind {
            Kind::NoStream => self.impaired(Some(Cause::StreamNotFound), words),
            Kind::Denied => self.impaired(Some(Cause::PermissionRevoked), words),
            Kind::Unavailable => self.impaired(None, words),
            Kind::Throttled => tracing::debug!(stream = self.stream.config.name, words, "Kinesis asks for patience"),
            Kind::Invalid => {
                let large = call.first().filter(|entry| entry.bytes() > RECORD_BYTES);
                let about = large.map_or_else(String::new, |entry| {
                    let block = entry.block.map_or_else(String::new, |block| format!(" of block {block}"));
                    format!("; it is about one record{block} of {} bytes", entry.bytes())
                });
                self.impaired(None, format!("{words}{about}"));
            }
        }
    }

    /// Nothing gets through, and patience alone will not help.
    fn impaired(&mut self, cause: Option<Cause>, detail: String) {
        let progress = self.stream.progress();
        if progress.status == Status::Impaired && progress.cause == cause {
            return self.stream.note(|progress| progress.detail = Some(detail));
        }
        let (ledger, stream) = (self.database.name(), &self.stream.config.name);
        let cause_name = cause.map(Cause::name);
        tracing::warn!(%ledger, stream, cause = cause_name, detail, "a journal stream is impaired; it is tried again");
        self.change(|progress| progress.impair(cause, detail.clone()));
    }

    fn recovered(&mut self) {
        if self.stream.progress().status == Status::Impaired {
            tracing::info!(ledger = %self.database.name(), stream = self.stream.config.name, "a journal stream goes on");
            self.change(|progress| (progress.status, progress.cause, progress.detail) = (Status::Active, None, None));
        }
    }

    fn end(&mut self, status: Status, detail: Option<String>) {
        let (ledger, stream) = (self.database.name(), &self.stream.config.name);
        match &detail {
            None => tracing::info!(%ledger, stream, status = status.name(), "a journal stream has ended"),
            Some(detail) => {
                tracing::error!(%ledger, stream, status = status.name(), detail, "a journal stream has ended")
            }
        }
        let now_ms = self.database.now_ms();
        self.change(|progress| progress.end(status, detail.clone(), now_ms));
    }

    /// Changes what is kept of the stream. If that cannot be written it holds until the next start.
    fn change(&mut self, change: impl Fn(&mut Progress)) {
        let (instance, database, stream) = (&self.instance, &self.database, &self.stream);
        match tokio::task::block_in_place(|| stream.change(instance, database, &change)) {
            Ok(_) => (self.moved, self.kept) = (false, Instant::now()),
            Err(error) => {
                self.not_kept(&error);
                self.stream.note(change);
            }
        }
    }

    fn keep_in_time(&mut self) {
        if self.kept.elapsed() >= KEEP_INTERVAL {
            self.keep();
        }
    }

    fn keep(&mut self) {
        if !self.moved {
            return;
        }
        let (instance, database, stream) = (&self.instance, &self.database, &self.stream);
        if let Err(error) = tokio::task::block_in_place(|| stream.keep(instance, database)) {
            self.not_kept(&error);
        }
        (self.moved, self.kept) = (false, Instant::now());
    }

    fn not_kept(&self, error: &QueryError) {
        if self.instance.is_open(&self.database) {
            let (ledger, stream) = (self.database.name(), &self.stream.config.name);
            tracing::warn!(%ledger, stream, %error, "a journal stream's place is not kept; a restart sends more again");
        }
    }

    /// Until there may be more to send.
    async fn wait_for_more(&mut self, seen: u64) {
        let end_ms = self.stream.config.end_ms;
        while self.database.ledger().snapshot() == seen && self.goes_on() {
            self.keep_in_time();
            tokio::time::sleep(LOOK_INTERVAL).await;
            if end_ms.is_some_and(|end_ms| end_ms <= self.database.now_ms()) {
                return;
            }
        }
    }

    /// Longer after each failure in a row, and never as long as others wait.
    async fn wait(&mut self) {
        self.keep_in_time();
        let longest = WAIT_MAX.min(WAIT_MIN.saturating_mul(1 << self.failures.min(16)));
        self.failures = self.failures.saturating_add(1);
        let [random, ..] = self.rng.bytes16();
        tokio::time::sleep(longest / 2 + longest.mul_f64(f64::from(random) / 512.0)).await;
    }

    fn goes_on(&self) -> bool {
        !*self.stream.ended.borrow() && self.instance.is_open(&self.database)
    }
}

/// The records of some blocks from this one on.
fn piece(ledger: &Ledger, config: &Config, from: u64, now_ms: i64) -> Result<Piece, PieceError> {
    let behind = |last: Option<u64>| last.map_or(0, |last| last + 1);
    let mut end = behind(ledger.last_block()?);
    if from > end {
        return Err(PieceError::Beyond { next: from });
    }
    if from == end {
        let Some(end_ms) = config.end_ms.filter(|end_ms| *end_ms <= now_ms) else { return Ok(Piece::Nothing) };
        ledger.settle(end_ms - 1)?;
        end = behind(ledger.last_block()?);
        if from == end {
            return Ok(Piece::End);
        }
    }
    let (mut records, mut bytes, mut next, mut passed_over) = (Vec::new(), 0, from, 0);
    while next < end && bytes < PIECE_BYTES && passed_over < PASSED_OVER_MAX {
        let outline = ledger.block_outline(next)?;
        // Times of imported blocks need not be in order, so that none tells of those behind it.
        if outline.time_ms < config.start_ms || config.end_ms.is_some_and(|end_ms| outline.time_ms >= end_ms) {
            (next, passed_over) = (next + 1, passed_over + 1);
            continue;
        }
        let of_block = match outline.revisions as usize > RECORD_BYTES_MAX / SUMMARY_BYTES_MIN {
            true => None,
            false => Some(record::of_block(&config.arn, &ledger.journal_block(next)?)),
        };
        let Some(of_block) = of_block.filter(|of_block| of_block.iter().all(record::Record::can_be_sent)) else {
            // What stands before it is sent first.
            if records.is_empty() {
                return Err(PieceError::TooLarge(next));
            }
            break;
        };
        bytes += of_block.iter().map(|record| record.data.len()).sum::<usize>();
        records.extend(of_block);
        next += 1;
    }
    Ok(Piece::Blocks(record::pack(records, config.aggregated), next))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ledgerstone_digest::Id;
    use ledgerstone_digest::note::SigningKey;
    use ledgerstone_journal::Env;
    use ledgerstone_journal::env::ManualClock;
    use ledgerstone_query::database::DatabaseOptions;
    use ledgerstone_query::session::{Dialect, Door, Inline, Session, SessionOptions};

    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    /// A ledger in memory, and the clock of its blocks.
    struct Memory {
        database: Arc<Database>,
        clock: Arc<ManualClock>,
        session: Session,
    }

    impl Memory {
        /// Block 0 makes a table.
        async fn new() -> Memory {
            let clock = Arc::new(ManualClock::new(ManualClock::START_MS));
            let env = Env { clock: clock.clone(), ..Env::memory(1) };
            let (dir, id) = (Path::new("/data/main"), Id([9; 16]));
            let key = || SigningKey::from_seed(&format!("test/{id}"), &[7; 32]).unwrap();
            Database::create(&env, dir, id, "test", key()).unwrap();
            let database = Database::open(&env, dir, "main", key(), DatabaseOptions::default()).unwrap();
            let options = SessionOptions::new(Door::Embedded, "clerk", Dialect::PartiQl, Arc::new(Inline));
            let session = Session::over(database.clone(), options);
            let mut memory = Memory { database, clock, session };
            memory.run("CREATE TABLE t").await;
            memory
        }

        /// A block of its own.
        async fn run(&mut self, statement: &str) {
            for answer in self.session.execute(statement).await.unwrap() {
                drop(answer);
            }
        }

        /// Statements an hour apart.
        async fn hours(&mut self, statements: &[String]) {
            for statement in statements {
                self.clock.advance_ms(HOUR_MS);
                self.run(statement).await;
            }
        }

        fn piece(&self, start_ms: i64, end_ms: Option<i64>, from: u64) -> Result<Piece, PieceError> {
            let config = Config {
                id: Id([1; 16]),
                ledger: self.database.ledger().ledger_id(),
                name: "s".to_owned(),
                arn: "arn".to_owned(),
                kinesis_arn: "arn".to_owned(),
                aggregated: false,
                role_arn: "arn".to_owned(),
                created_ms: 0,
                start_ms,
                end_ms,
            };
            piece(self.database.ledger(), &config, from, self.database.now_ms())
        }
    }

    /// The blocks of a piece, each once, and where the next one begins.
    fn blocks(piece: Piece) -> (Vec<u64>, u64) {
        let Piece::Blocks(entries, next) = piece else { panic!("{piece:?}") };
        let mut blocks: Vec<u64> = entries.iter().filter_map(|entry| entry.block).collect();
        blocks.dedup();
        (blocks, next)
    }

    fn insert(bytes: usize) -> String {
        format!("INSERT INTO t {{'text': '{}'}}", "x".repeat(bytes))
    }

    #[tokio::test]
    async fn blocks_are_chosen_by_their_times_and_an_end_waits_for_the_last_of_them() {
        let mut memory = Memory::new().await;
        memory.hours(&[insert(1), insert(1), insert(1)]).await;
        let ledger = Arc::clone(memory.database.ledger());
        let time = |block: u64| ledger.block_outline(block).unwrap().time_ms;
        let taken = |start, end, from| blocks(memory.piece(start, end, from).unwrap());
        assert_eq!(taken(0, None, 0), (vec![0, 1, 2, 3], 4));
        assert_eq!(taken(0, None, 2), (vec![2, 3], 4));
        assert_eq!(taken(time(1), None, 0), (vec![1, 2, 3], 4));
        assert_eq!(taken(time(1) + 1, Some(time(3)), 0), (vec![2], 4));
        assert_eq!(taken(time(3) + 1, None, 0), (vec![], 4), "passed over, and not looked at again");
        assert_eq!(memory.piece(0, None, 4).unwrap(), Piece::Nothing);
        let end = memory.database.now_ms() + HOUR_MS;
        assert_eq!(memory.piece(0, Some(end), 4).unwrap(), Piece::Nothing, "the end has not come yet");
        memory.clock.advance_ms(HOUR_MS);
        assert_eq!(memory.piece(0, Some(end), 4).unwrap(), Piece::End);
        // What is committed after that has a later time, though the clock was set back.
        memory.clock.set_wall_ms(end - 500);
        memory.run(&insert(1)).await;
        assert!(ledger.block_outline(4).unwrap().time_ms >= end);
        assert!(matches!(memory.piece(0, None, 6), Err(PieceError::Beyond { next: 6 })));
    }

    #[tokio::test]
    async fn a_piece_is_bounded_and_what_cannot_be_sent_is_named_and_not_passed_over() {
        let mut memory = Memory::new().await;
        // A literal is in the summary too.
        let (half, large) = (PIECE_BYTES / 4, "UPDATE t SET text = text || text || text || text || text WHERE n = 4");
        let fourth = insert(3 << 20).replace('{', "{'n': 4, ");
        memory.hours(&[insert(half), insert(half), insert(half), fourth, large.to_owned(), insert(1)]).await;
        assert_eq!(blocks(memory.piece(0, None, 0).unwrap()), (vec![0, 1, 2], 3));
        assert_eq!(blocks(memory.piece(0, None, 3).unwrap()), (vec![3, 4], 5), "what stands before it is sent");
        let error = memory.piece(0, None, 5).unwrap_err();
        assert!(matches!(error, PieceError::TooLarge(5)) && error.to_string().contains("block 5 "), "{error}");
        assert_eq!(blocks(memory.piece(0, None, 6).unwrap()), (vec![6], 7));
    }
}
