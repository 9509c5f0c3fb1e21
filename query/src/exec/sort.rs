//! ORDER BY: rows sorted in memory, and those that do not fit in sorted runs on the disk, merged at the end. Rows whose
//! keys are equal come out in the order they came in, either way.

use std::cmp::Ordering;
use std::collections::HashSet;

use ledgerstone_digest::ion::Value;

use super::query::RowSink;
use super::run::{Flow, Row, Run, bytes_of_row};
use crate::bind::plan::{Datum, SortKey};
use crate::error::{QueryError, Result};
use crate::index::Key;
use crate::work::{Cursor, Share, SpillFile, is_short, pack, unpack};

/// With a limit below this, rows beyond it are dropped on the way.
const NEEDED_FEW: usize = 100_000;
/// What is read of a run at a time.
const READ_BYTES: std::ops::RangeInclusive<usize> = 4 << 10..=256 << 10;
/// Runs merged at a time, as far as memory allows.
const FAN_IN: std::ops::RangeInclusive<usize> = 4..=256;

/// Sorts rows by their keys; with a limit it keeps only about twice as many as are needed.
pub(super) struct Sorter<'r, 'a> {
    run: &'r Run<'a>,
    order: &'r [SortKey],
    needed: Option<usize>,
    /// How many keys are DISTINCT ON's.
    on: usize,
    share: Share<'r>,
    rows: Vec<Sorted>,
    spilled: Option<Spilled>,
}

struct Sorted {
    keys: Vec<Datum>,
    row: Row,
    /// DISTINCT ON's key: of rows that have the same, the first one counts.
    on: Option<Key>,
}

/// Sorted runs, in the order in which their rows came.
struct Spilled {
    file: SpillFile,
    /// Where each begins and ends.
    runs: Vec<(u64, u64)>,
    /// Columns of a row, known from the first one.
    arity: usize,
    distinct: bool,
}

impl Sorted {
    fn bytes(&self) -> usize {
        bytes_of_row(&self.keys) + bytes_of_row(&self.row) + self.on.as_ref().map_or(0, |key| key.len() + 48)
    }
}

impl<'r, 'a> Sorter<'r, 'a> {
    pub fn new(run: &'r Run<'a>, order: &'r [SortKey], needed: Option<usize>) -> Self {
        Sorter { run, order, needed, on: 0, share: run.share(), rows: Vec::new(), spilled: None }
    }

    /// Of the rows that agree in what DISTINCT ON names, only the first comes out. What it names are the first keys.
    pub fn distinct_on(run: &'r Run<'a>, order: &'r [SortKey], on: usize) -> Self {
        Sorter { on, ..Sorter::new(run, order, None) }
    }

    pub fn push(&mut self, keys: Vec<Datum>, row: Row) -> Result<()> {
        self.push_with(keys, row, None)
    }

    pub fn push_with(&mut self, keys: Vec<Datum>, row: Row, on: Option<Key>) -> Result<()> {
        self.run.tick()?;
        let sorted = Sorted { keys, row, on };
        let bytes = sorted.bytes();
        if let Err(error) = self.share.charge_half(bytes) {
            if !is_short(&error) || self.rows.is_empty() {
                return Err(error);
            }
            self.spill()?;
            self.share.charge_half(bytes)?;
        }
        self.rows.push(sorted);
        if let Some(needed) = self.needed.filter(|needed| *needed < NEEDED_FEW)
            && self.rows.len() >= needed * 2 + 64
        {
            self.sort();
            let dropped: usize = self.rows.iter().skip(needed).map(Sorted::bytes).sum();
            self.rows.truncate(needed);
            self.share.release(dropped);
        }
        Ok(())
    }

    /// Hands all rows over in their order.
    pub fn drain(mut self, sink: RowSink<'_>) -> Result<()> {
        let (run, on) = (self.run, self.order.get(..self.on).unwrap_or(self.order));
        let share = run.share();
        let mut seen = HashSet::new();
        let mut before: Vec<Datum> = Vec::new();
        let mut hand_over = |sorted: Sorted| -> Result<Flow> {
            if let Some(key) = sorted.on {
                // Rows that agree in it agree in the first keys, so they stand together.
                if run.compare_keys(on, &before, &sorted.keys).is_ne() {
                    seen.clear();
                    share.release_all();
                }
                before = sorted.keys;
                if seen.contains(&key) {
                    return Ok(Flow::More);
                }
                share.charge(key.len() + 48)?;
                seen.insert(key);
            }
            sink(sorted.row)
        };
        if self.spilled.is_none() {
            self.sort();
            for sorted in self.rows {
                if hand_over(sorted)? == Flow::Stop {
                    break;
                }
            }
            return Ok(());
        }
        self.spill()?;
        let Some(spilled) = &mut self.spilled else { return Ok(()) };
        spilled.file.flush()?;
        merge(self.run, self.order, spilled, &mut hand_over)
    }

    fn sort(&mut self) {
        let (run, order) = (self.run, self.order);
        self.rows.sort_by(|a, b| run.compare_keys(order, &a.keys, &b.keys));
    }

    /// Puts the rows in memory on the disk as one run.
    fn spill(&mut self) -> Result<()> {
        self.sort();
        if let Some(needed) = self.needed {
            self.rows.truncate(needed);
        }
        let Some(first) = self.rows.first() else { return Ok(()) };
        if self.spilled.is_none() {
            let (arity, distinct) = (first.row.len(), first.on.is_some());
            self.spilled = Some(Spilled { file: self.run.spill_file()?, runs: Vec::new(), arity, distinct });
        }
        let Some(spilled) = &mut self.spilled else { return Ok(()) };
        let from = spilled.file.end();
        for sorted in self.rows.drain(..) {
            self.run.tick()?;
            spilled.file.push(&encode(sorted))?;
        }
        spilled.runs.push((from, spilled.file.end()));
        self.share.release_all();
        if spilled.runs.len() > fan_in(self.run) {
            self.merge_runs()?;
        }
        Ok(())
    }

    /// Makes one run of all of them, in another file, so that the number of runs stays small.
    fn merge_runs(&mut self) -> Result<()> {
        let Some(mut spilled) = self.spilled.take() else { return Ok(()) };
        spilled.file.flush()?;
        let mut file = self.run.spill_file()?;
        let mut left = self.needed.unwrap_or(usize::MAX);
        merge(self.run, self.order, &spilled, &mut |sorted| {
            file.push(&encode(sorted))?;
            left = left.saturating_sub(1);
            Ok(if left == 0 { Flow::Stop } else { Flow::More })
        })?;
        let runs = vec![(0, file.end())];
        self.spilled = Some(Spilled { file, runs, ..spilled });
        Ok(())
    }
}

/// Hands the rows of sorted runs over in their order; of equal ones those of the earlier run first.
fn merge(
    run: &Run<'_>,
    order: &[SortKey],
    spilled: &Spilled,
    sink: &mut dyn FnMut(Sorted) -> Result<Flow>,
) -> Result<()> {
    let bytes = (run.memory.limit() / 4 / spilled.runs.len().max(1)).clamp(*READ_BYTES.start(), *READ_BYTES.end());
    let mut sources: Vec<(Cursor, Option<Sorted>)> = Vec::with_capacity(spilled.runs.len());
    for (from, to) in &spilled.runs {
        let mut cursor = spilled.file.records(*from, *to, bytes);
        let first = read(&mut cursor, spilled, order)?;
        sources.push((cursor, first));
    }
    let before = |sources: &[(Cursor, Option<Sorted>)], a: usize, b: usize| {
        let keys = |at: usize| sources.get(at).and_then(|(_, row)| row.as_ref()).map(|row| row.keys.as_slice());
        match (keys(a), keys(b)) {
            (Some(x), Some(y)) => run.compare_keys(order, x, y).then(a.cmp(&b)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => a.cmp(&b),
        }
        .is_lt()
    };
    // A heap of sources, the one with the first row on top.
    let mut heap: Vec<usize> = (0..sources.len()).collect();
    for at in (0..heap.len() / 2).rev() {
        sink_down(&mut heap, at, |a, b| before(&sources, a, b));
    }
    while let Some(top) = heap.first().copied() {
        run.tick()?;
        let Some((cursor, next)) = sources.get_mut(top) else { break };
        let Some(sorted) = next.take() else { break };
        *next = read(cursor, spilled, order)?;
        sink_down(&mut heap, 0, |a, b| before(&sources, a, b));
        if sink(sorted)? == Flow::Stop {
            break;
        }
    }
    Ok(())
}

fn sink_down(heap: &mut [usize], mut at: usize, before: impl Fn(usize, usize) -> bool) {
    loop {
        let mut least = at;
        for child in [2 * at + 1, 2 * at + 2] {
            if let (Some(c), Some(l)) = (heap.get(child), heap.get(least))
                && before(*c, *l)
            {
                least = child;
            }
        }
        if least == at {
            return;
        }
        heap.swap(at, least);
        at = least;
    }
}

fn fan_in(run: &Run<'_>) -> usize {
    (run.memory.limit() / 4 / READ_BYTES.start()).clamp(*FAN_IN.start(), *FAN_IN.end())
}

fn encode(sorted: Sorted) -> Vec<u8> {
    let mut values = sorted.keys;
    values.extend(sorted.row);
    if let Some(key) = &sorted.on {
        values.push(Some(Value::blob(key.as_bytes().to_vec())));
    }
    pack(values)
}

fn read(cursor: &mut Cursor, spilled: &Spilled, order: &[SortKey]) -> Result<Option<Sorted>> {
    let Some(record) = cursor.next(&spilled.file)? else { return Ok(None) };
    let count = order.len() + spilled.arity + usize::from(spilled.distinct);
    let mut keys = unpack(record, count).map_err(QueryError::internal)?;
    let on = match if spilled.distinct { keys.pop().flatten() } else { None } {
        Some(Value::Blob(bytes)) => Some(Key::from_bytes(&bytes)),
        _ => None,
    };
    let row = keys.split_off(order.len().min(keys.len()));
    Ok(Some(Sorted { keys, row, on }))
}
