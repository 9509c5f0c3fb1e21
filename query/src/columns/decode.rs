//! Much of a journal decoded by several threads: each takes a run of positions and makes pieces of it, and who takes in what
//! they made does so in the order of positions. What the threads have made and nobody has taken yet is bounded.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ledgerstone_digest::id::Id;
use ledgerstone_digest::redaction::RedactionRecord;
use ledgerstone_journal::StoredRevision;

use super::ColumnError;
use super::origin::{Origin, has_columns, record_of};
use super::piece::{Piece, PieceBuilder};

/// Positions of a run, unless their documents are large.
const RUN_POSITIONS: u64 = 16 << 10;
/// And at least.
const RUN_POSITIONS_MIN: u64 = 64;
/// What it takes to note what a revision supersedes.
const SUPERSEDED_BYTES: usize = 16;

/// A run of positions, decoded.
pub struct Decoded {
    /// Everything before this position is in.
    pub to: u64,
    /// By table, in one order.
    pub tables: BTreeMap<Id, DecodedTable>,
    /// Records of redactions, with their positions.
    pub redactions: Vec<(u64, RedactionRecord)>,
}

/// What a run has of one table.
#[derive(Default)]
pub struct DecodedTable {
    pub pieces: Vec<Piece>,
    /// Positions that were superseded, with their successors.
    pub superseded: Vec<(u64, u64)>,
}

/// How to decode.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    pub threads: usize,
    /// Memory for everything that is decoded and not taken yet.
    pub bytes_max: usize,
    pub piece_rows: usize,
    pub piece_bytes: usize,
}

/// Decodes everything from `from` on to before `to`; `take` is handed the runs in order, on this thread, and its error ends
/// the work.
pub fn decode(
    origin: &dyn Origin,
    from: u64,
    to: u64,
    effort: Effort,
    take: &mut dyn FnMut(Decoded) -> Result<(), ColumnError>,
) -> Result<(), ColumnError> {
    let (mut next, mut run) = (from, RUN_POSITIONS);
    while next < to {
        let shared = Shared { origin, from: next, to, run, effort, line: Mutex::default(), changed: Condvar::new() };
        next = shared.work(take)?;
        // Its documents are so large that a run has ended early: what was decoded behind it is decoded again.
        run = (run / 4).max(RUN_POSITIONS_MIN);
    }
    Ok(())
}

struct Shared<'a> {
    origin: &'a dyn Origin,
    from: u64,
    to: u64,
    /// Positions of each run.
    run: u64,
    effort: Effort,
    line: Mutex<Line>,
    changed: Condvar,
}

#[derive(Default)]
struct Line {
    /// The number of the next run that nobody works on.
    begun: u64,
    taken: u64,
    done: BTreeMap<u64, Result<Decoded, ColumnError>>,
    over: bool,
}

impl Shared<'_> {
    /// Up to the end, or behind the first run that ended early; where that is.
    fn work(&self, take: &mut dyn FnMut(Decoded) -> Result<(), ColumnError>) -> Result<u64, ColumnError> {
        let stopped = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..self.effort.threads {
                let thread = std::thread::Builder::new().name("columns".to_owned());
                // Without a thread the others do its work.
                let _ = thread.spawn_scoped(scope, || self.decode_runs(&stopped));
            }
            let taken = self.take_all(take);
            stopped.store(true, Ordering::Relaxed);
            self.lock().over = true;
            self.changed.notify_all();
            taken
        })
    }

    fn take_all(&self, take: &mut dyn FnMut(Decoded) -> Result<(), ColumnError>) -> Result<u64, ColumnError> {
        let runs = (self.to - self.from).div_ceil(self.run);
        for number in 0..runs {
            let decoded = self.next(number)?;
            let (reached, end) = (decoded.to, self.end_of(number));
            take(decoded)?;
            if reached < end {
                return Ok(reached);
            }
        }
        Ok(self.to)
    }

    /// Waits for a run; decodes it if no thread does.
    fn next(&self, number: u64) -> Result<Decoded, ColumnError> {
        let mut line = self.lock();
        loop {
            if let Some(done) = line.done.remove(&number) {
                line.taken = number + 1;
                self.changed.notify_all();
                return done;
            }
            if line.begun == number {
                line.begun += 1;
                drop(line);
                let done = self.decode_run(number, &AtomicBool::new(false));
                self.lock().taken = number + 1;
                self.changed.notify_all();
                return done;
            }
            line = self.changed.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn decode_runs(&self, stopped: &AtomicBool) {
        let runs = (self.to - self.from).div_ceil(self.run);
        loop {
            let mut line = self.lock();
            while !line.over && line.begun < runs && line.begun > line.taken + self.effort.threads as u64 {
                line = self.changed.wait(line).unwrap_or_else(PoisonError::into_inner);
            }
            if line.over || line.begun >= runs {
                return;
            }
            let number = line.begun;
            line.begun += 1;
            drop(line);
            // A panic must not leave who takes this waiting.
            let run = std::panic::AssertUnwindSafe(|| self.decode_run(number, stopped));
            let done = std::panic::catch_unwind(run)
                .unwrap_or_else(|_| Err(ColumnError::Internal("a thread that decodes panicked".to_owned())));
            self.lock().done.insert(number, done);
            self.changed.notify_all();
        }
    }

    fn end_of(&self, number: u64) -> u64 {
        (self.from + (number + 1) * self.run).min(self.to)
    }

    fn decode_run(&self, number: u64, stopped: &AtomicBool) -> Result<Decoded, ColumnError> {
        let (from, to) = (self.from + number * self.run, self.end_of(number));
        let mut run = Run { tables: BTreeMap::new(), redactions: Vec::new(), bytes: 0, effort: self.effort };
        // Those waiting, those being decoded, and the one that is being taken.
        let most = self.effort.bytes_max / (2 * self.effort.threads + 2);
        let mut reached = None;
        let read = self.origin.revisions_between(from, to, &mut |revision| {
            if stopped.load(Ordering::Relaxed) {
                return Err(ColumnError::Stopped);
            }
            let position = revision.position;
            run.push(self.origin, &revision)?;
            if run.bytes > most {
                reached = Some(position + 1);
                return Err(ColumnError::Memory { limit: most });
            }
            Ok(())
        });
        match read {
            Ok(()) => {}
            Err(ColumnError::Memory { .. }) if reached.is_some() => {}
            Err(error) => return Err(error),
        }
        run.finish(reached.unwrap_or(to))
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run while it is decoded.
struct Run {
    tables: BTreeMap<Id, (PieceBuilder, DecodedTable)>,
    redactions: Vec<(u64, RedactionRecord)>,
    /// About what all of it takes.
    bytes: usize,
    effort: Effort,
}

impl Run {
    fn push(&mut self, origin: &dyn Origin, revision: &StoredRevision) -> Result<(), ColumnError> {
        self.redactions.extend(record_of(revision).map(|record| (revision.position, record)));
        if !has_columns(revision) {
            return Ok(());
        }
        let (open, table) =
            self.tables.entry(revision.table_id).or_insert_with(|| (PieceBuilder::new(), DecodedTable::default()));
        table.superseded.extend(revision.supersedes.map(|before| (before, revision.position)));
        let before = open.bytes();
        open.push(revision, origin.is_redacted(revision.position))?;
        self.bytes += open.bytes().saturating_sub(before) + SUPERSEDED_BYTES;
        if open.is_full(self.effort.piece_rows, self.effort.piece_bytes) {
            let open_bytes = open.bytes();
            let piece = std::mem::replace(open, PieceBuilder::new()).finish()?;
            self.bytes = self.bytes.saturating_sub(open_bytes) + piece.bytes;
            table.pieces.push(piece);
        }
        Ok(())
    }

    fn finish(self, to: u64) -> Result<Decoded, ColumnError> {
        let mut tables = BTreeMap::new();
        for (id, (open, mut table)) in self.tables {
            if open.rows() > 0 {
                table.pieces.push(open.finish()?);
            }
            tables.insert(id, table);
        }
        Ok(Decoded { to, tables, redactions: self.redactions })
    }
}
