//! One table scanned by columns: filters first, then only the columns that are needed of the rows that are left; the
//! aggregate in each thread, and the threads' groups put together in the end. Rows stand in the order of positions.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use arrow::array::UInt32Array;

use super::compute::{Batch, Evaluator, Input, Load, inputs_of};
use super::parallel;
use super::partial::{Cells, Partial};
use super::shape::{Aggregate, Function, Shape, Top, What};
use super::sorted::{Best, First};
use super::vector::Vector;
use super::{Group, Stop, memory_left};
use crate::bind::plan::{Access, Datum, DocPart, Ex, Node, SelectPlan, Source, TableSource};
use crate::exec::{Flow, Row, Run, bytes_of_row, doc_part, field};
use crate::transaction::{Doc, Transaction};

/// A query level that reads one table from its beginning to its end.
#[derive(Debug)]
pub(super) struct Level<'p> {
    /// As the statement names the table.
    pub label: &'p str,
    pub table: &'p TableSource,
    /// In the order in which the document executor asks them.
    pub filters: Vec<&'p Ex>,
    pub width: usize,
}

impl<'p> Level<'p> {
    pub fn of(select: &'p SelectPlan) -> Option<Level<'p>> {
        Level::of_node(select.from.as_ref()?, select.width, vec![&select.filter])
    }

    /// A source, and the filters that are asked behind its own.
    pub fn of_node(node: &'p Node, width: usize, behind: Vec<&'p [Ex]>) -> Option<Level<'p>> {
        let mut filters: Vec<&Ex> = Vec::new();
        let (mut node, mut outer) = (node, behind);
        while let Node::Filter { input, filter } = node {
            outer.push(filter);
            node = input;
        }
        let Node::Source(source) = node else { return None };
        let Source::Table(table) = &source.source else { return None };
        if source.input.is_some() || source.outer || !matches!(table.access, Access::Scan) {
            return None;
        }
        filters.extend(&source.filter);
        filters.extend(outer.into_iter().rev().flatten());
        Some(Level { label: &source.label, table, filters, width })
    }

    /// What its expressions read; `None`: more than columns hold.
    pub fn inputs<'e>(&self, more: impl IntoIterator<Item = &'e Ex>) -> Option<Vec<Input>> {
        let mut inputs = Vec::new();
        let mut fits = self.filters.iter().all(|ex| inputs_of(ex, self.table.slot, &mut inputs));
        for ex in more {
            fits &= inputs_of(ex, self.table.slot, &mut inputs);
        }
        fits.then_some(inputs)
    }
}

/// Where the rows of a scan come from: pieces in the order of positions, each read by one thread.
pub(super) trait Pieces: Sync {
    fn count(&self) -> usize;
    /// Reads a piece; `None`: by what is known of it, no row of it passes the filters. `stop` is looked at while it waits for
    /// memory.
    fn open<'s>(
        &'s self,
        piece: usize,
        inputs: &'s [Input],
        stop: &AtomicBool,
    ) -> Result<Option<Box<dyn Piece + 's>>, Stop>;
    /// Bytes of the file that a piece is in, if it is in one.
    fn bytes(&self, _piece: usize) -> u64 {
        0
    }
    /// The whole document of a row, of which [`PLACE_PARTS`] are known.
    fn document(&self, piece: usize, row: usize, parts: &[Datum]) -> Result<Doc, Stop>;
    /// Asked behind what was read: whether it may be given out.
    fn check(&self) -> Result<(), Stop> {
        Ok(())
    }
}

/// What has to be known of a row to find its document.
pub(super) const PLACE_PARTS: [DocPart; 2] = [DocPart::Position, DocPart::Successor];

/// Rows of a piece.
pub(super) trait Piece: Load {
    fn rows(&self) -> usize;
    fn as_load(&self) -> &dyn Load;
    /// The rows that the scan sees; `None`: all.
    fn visible(&self) -> Option<&UInt32Array> {
        None
    }
}

/// The groups of a level, and the bytes they take.
pub(super) fn group(
    run: &Run<'_>,
    level: &Level<'_>,
    shape: &Shape<'_>,
    pieces: &dyn Pieces,
    inputs: &[Input],
) -> Result<(Vec<Group>, usize), Stop> {
    let (keys, aggregates) = match &shape.top {
        Top::Group { keys, aggregates } => (keys, aggregates.as_slice()),
        Top::Distinct { keys } => (keys, &[][..]),
        Top::Sort { .. } => return Err(Stop::Fallback("not a group")),
    };
    let plan = Plan::new(shape, keys, aggregates)?;
    let effort = Effort::default();
    let threads = Threads { run, level, pieces, inputs, most: memory_left(run), effort: &effort };
    let parts = threads.each(
        0..pieces.count(),
        || Partial::new(plan.keys.len(), plan.aggregates.iter().map(|a| Cells::new(a.function)).collect()),
        |worker, piece, batch| plan.take_in(worker, piece, batch),
        |partial| partial.bytes(),
    )?;
    let mut parts = parts.into_iter();
    let mut all = parts.next().ok_or(Stop::Fallback("no thread scanned"))?;
    for part in parts {
        run.check_cancelled()?;
        all.absorb(part)?;
    }
    let bytes = all.bytes();
    let kinds: Vec<_> = plan.aggregates.iter().map(|a| a.kind).collect();
    let groups = all.finish(&kinds)?;
    effort.tell(run, level, &format!("{} groups of {bytes} bytes", groups.len()));
    Ok((groups, bytes))
}

/// What is computed of each row of a group.
struct Plan<'p> {
    keys: Vec<&'p Ex>,
    aggregates: Vec<Argument<'p>>,
}

struct Argument<'p> {
    kind: &'p crate::function::aggregate::AggregateKind,
    function: Function,
    ex: Option<&'p Ex>,
    filter: Option<&'p Ex>,
}

/// Everything that a shape computes of a row.
pub(super) fn expressions<'p>(shape: &Shape<'p>) -> Vec<&'p Ex> {
    let mut all: Vec<&Ex> = Vec::new();
    for column in &shape.columns {
        match &column.what {
            What::Ex(ex) => all.push(ex),
            What::Filtered { ex, filter } => all.extend(ex.iter().copied().chain([*filter])),
            What::Rows(outputs) => all.extend(outputs.iter().map(|(_, ex)| *ex)),
            What::Output(_) => {}
        }
    }
    all
}

impl<'p> Plan<'p> {
    fn new(shape: &'p Shape<'p>, keys: &[usize], aggregates: &'p [Aggregate<'p>]) -> Result<Plan<'p>, Stop> {
        let what = |column: usize| shape.columns.get(column).map(|c| &c.what).ok_or(Stop::Fallback("no such column"));
        let mut plan = Plan { keys: Vec::new(), aggregates: Vec::new() };
        for key in keys {
            match what(*key)? {
                What::Ex(ex) => plan.keys.push(ex),
                _ => return Err(Stop::Fallback("a key of another kind")),
            }
        }
        for aggregate in aggregates {
            let (ex, filter) = match aggregate.column.map(what).transpose()? {
                None => (None, None),
                Some(What::Ex(ex)) => (Some(*ex), None),
                Some(What::Filtered { ex, filter }) => (*ex, Some(*filter)),
                Some(_) => return Err(Stop::Fallback("an argument of another kind")),
            };
            plan.aggregates.push(Argument { kind: aggregate.kind, function: aggregate.function, ex, filter });
        }
        Ok(plan)
    }

    fn take_in(&self, worker: &mut Worker<'_, Partial>, piece: usize, batch: &Batch<'_>) -> Result<(), Stop> {
        let evaluator = &worker.evaluator;
        let keys: Result<Vec<Vector>, Stop> = self.keys.iter().map(|key| evaluator.eval(key, batch)).collect();
        let groups = worker.state.groups_of(&keys?, batch.rows, |row| place_of(piece, batch, row))?;
        for (n, aggregate) in self.aggregates.iter().enumerate() {
            let Some(filter) = aggregate.filter else {
                let values = aggregate.ex.map(|ex| evaluator.eval(ex, batch)).transpose()?;
                worker.state.add(n, &groups, values.as_ref())?;
                continue;
            };
            let holds = evaluator.holding(filter, batch)?;
            let some: Vec<u32> = holds.values().iter().filter_map(|r| groups.get(*r as usize).copied()).collect();
            let values = aggregate.ex.map(|ex| evaluator.eval(ex, &batch.select(&holds)?)).transpose()?;
            worker.state.add(n, &some, values.as_ref())?;
        }
        Ok(())
    }
}

/// Where a row of a batch stands among all rows of the scan.
pub(super) fn place_of(piece: usize, batch: &Batch<'_>, row: usize) -> u64 {
    let row = batch.chosen().map_or(row, |chosen| chosen.value(row) as usize);
    ((piece as u64) << 32) | row as u64
}

/// The first rows of a sorted level, and the bytes they take.
pub(super) fn first(
    run: &Run<'_>,
    level: &Level<'_>,
    first: &First<'_>,
    pieces: &dyn Pieces,
    inputs: &[Input],
) -> Result<(Vec<Row>, usize), Stop> {
    let effort = Effort::default();
    let threads = Threads { run, level, pieces, inputs, most: memory_left(run), effort: &effort };
    let all = threads.each(
        0..pieces.count(),
        Best::default,
        |worker, piece, batch| first.take_in(worker, piece, batch),
        Best::bytes,
    )?;
    let rows = first.finish(run, all);
    let bytes = rows.iter().map(|row| bytes_of_row(row)).sum();
    effort.tell(run, level, &format!("the first {} rows by {} keys", rows.len(), first.select.order.len()));
    Ok((rows, bytes))
}

/// Hands the vectors of some expressions over, piece by piece in order, for the rows that pass the filters. Some pieces
/// are worked on ahead of the one that is being taken, more of them as the scan goes on.
pub(super) fn stream(
    run: &Run<'_>,
    level: &Level<'_>,
    outputs: &[&Ex],
    pieces: &dyn Pieces,
    inputs: &[Input],
    sink: &mut dyn FnMut(&Made) -> Result<Flow, Stop>,
) -> Result<(), Stop> {
    let effort = Effort::default();
    let done = streamed(run, level, outputs, (pieces, inputs), &effort, sink);
    effort.tell(run, level, &format!("{} expressions", outputs.len()));
    done
}

fn streamed(
    run: &Run<'_>,
    level: &Level<'_>,
    outputs: &[&Ex],
    (pieces, inputs): (&dyn Pieces, &[Input]),
    effort: &Effort,
    sink: &mut dyn FnMut(&Made) -> Result<Flow, Stop>,
) -> Result<(), Stop> {
    let (mut next, mut ahead, mut ahead_max) = (0, 1, 2 * parallel::threads());
    while next < pieces.count() {
        let end = (next + ahead).min(pieces.count());
        effort.held.store(0, Ordering::Relaxed);
        let threads = Threads { run, level, pieces, inputs, most: memory_left(run), effort };
        let made = threads.each(
            next..end,
            Vec::new,
            |worker: &mut Worker<'_, Vec<Made>>, piece, batch| {
                worker.state.push(Made::of(&worker.evaluator, outputs, piece, batch)?);
                Ok(())
            },
            |made| made.iter().map(Made::bytes).sum(),
        );
        match made {
            Ok(made) => {
                let mut made: Vec<Made> = made.into_iter().flatten().collect();
                made.sort_by_key(|made| made.piece);
                for made in made {
                    if sink(&made)? == Flow::Stop {
                        return Ok(());
                    }
                }
                (next, ahead) = (end, (ahead * 2).min(ahead_max));
            }
            // An error counts when its row's turn comes, if it comes; and one piece needs less memory than several.
            Err(_) if end - next > 1 => (ahead, ahead_max) = (1, (end - next) / 2),
            Err(_) => {
                if by_slices(run, level, outputs, (pieces, inputs), next, sink)? == Flow::Stop {
                    return Ok(());
                }
                next = end;
            }
        }
    }
    Ok(())
}

/// Rows of a piece that is gone through bit by bit.
const SLICE_ROWS: usize = 1024;

/// The same with one piece that was too large, or in which something fails: a few rows at a time, and where that fails one
/// by one, so that the rows before the one that fails are handed over.
fn by_slices(
    run: &Run<'_>,
    level: &Level<'_>,
    outputs: &[&Ex],
    (pieces, inputs): (&dyn Pieces, &[Input]),
    piece: usize,
    sink: &mut dyn FnMut(&Made) -> Result<Flow, Stop>,
) -> Result<Flow, Stop> {
    let stopped = AtomicBool::new(false);
    let Some(opened) = pieces.open(piece, inputs, &stopped)? else { return Ok(Flow::More) };
    let evaluator = Evaluator { run, table: level.table.table.id, slot: level.table.slot, width: level.width };
    let whole = Batch::new(opened.rows(), inputs, opened.as_load());
    let whole = match opened.visible() {
        Some(visible) => whole.select(visible)?,
        None => whole,
    };
    let make = |rows: Range<usize>| -> Result<Made, Stop> {
        let rows: UInt32Array = rows.map(|row| row as u32).collect::<Vec<u32>>().into();
        let batch = evaluator.passing(&level.filters, whole.select(&rows)?)?;
        let made = Made::of(&evaluator, outputs, piece, &batch)?;
        pieces.check().map(|()| made)
    };
    for first in (0..whole.rows).step_by(SLICE_ROWS) {
        run.check_cancelled()?;
        let slice = first..(first + SLICE_ROWS).min(whole.rows);
        match make(slice.clone()) {
            Ok(made) if sink(&made)? == Flow::Stop => return Ok(Flow::Stop),
            Ok(_) => {}
            Err(_) => {
                for row in slice {
                    if sink(&make(row..row + 1)?)? == Flow::Stop {
                        return Ok(Flow::Stop);
                    }
                }
            }
        }
    }
    Ok(Flow::More)
}

/// What became of a piece: so many of its rows have passed, these of all, with these values.
pub(super) struct Made {
    pub piece: usize,
    pub rows: usize,
    pub chosen: Option<UInt32Array>,
    pub vectors: Vec<Vector>,
}

impl Made {
    fn of(evaluator: &Evaluator<'_, '_>, outputs: &[&Ex], piece: usize, batch: &Batch<'_>) -> Result<Made, Stop> {
        let vectors: Result<Vec<Vector>, Stop> = outputs.iter().map(|output| evaluator.eval(output, batch)).collect();
        Ok(Made { piece, rows: batch.rows, chosen: batch.chosen().cloned(), vectors: vectors? })
    }

    fn bytes(&self) -> usize {
        self.vectors.iter().map(Vector::bytes).sum()
    }
}

/// What the threads of a scan share.
struct Threads<'t, 'a> {
    run: &'t Run<'a>,
    level: &'t Level<'t>,
    pieces: &'t dyn Pieces,
    inputs: &'t [Input],
    /// Bytes that their states may take together.
    most: usize,
    effort: &'t Effort,
}

/// What a scan has cost so far, over all threads.
#[derive(Debug, Default)]
struct Effort {
    held: AtomicUsize,
    pieces: AtomicUsize,
    pruned: AtomicUsize,
    /// Of the files of those that were pruned, and of the others.
    pruned_bytes: AtomicU64,
    file_bytes: AtomicU64,
    rows: AtomicUsize,
    passed: AtomicUsize,
    bytes: AtomicUsize,
    filter_ns: AtomicU64,
    compute_ns: AtomicU64,
    threads: AtomicUsize,
}

impl Effort {
    /// One line per operator, for EXPLAIN ANALYZE.
    fn tell(&self, run: &Run<'_>, level: &Level<'_>, outcome: &str) {
        let Some(trace) = &run.call.session.trace else { return };
        let ms = |ns: &AtomicU64| ns.load(Ordering::Relaxed) as f64 / 1e6;
        let number = |n: &AtomicUsize| n.load(Ordering::Relaxed);
        let pruned_bytes = self.pruned_bytes.load(Ordering::Relaxed);
        trace.note(format!("Computed {outcome}: {:.3} ms of all threads", ms(&self.compute_ns)));
        trace.note(format!(
            "  Filtered by {} conditions: {} rows passed, {:.3} ms of all threads with reading",
            level.filters.len(),
            number(&self.passed),
            ms(&self.filter_ns)
        ));
        trace.note(format!(
            "    Scanned {} by columns: {} rows in {} segments, {} pruned, {} of {} bytes in files pruned, {} bytes in memory, \
             {} threads",
            level.table.table.name,
            number(&self.rows),
            number(&self.pieces),
            number(&self.pruned),
            pruned_bytes,
            pruned_bytes + self.file_bytes.load(Ordering::Relaxed),
            number(&self.bytes),
            number(&self.threads)
        ));
    }
}

/// One thread of a scan.
pub(super) struct Worker<'r, T> {
    pub evaluator: Evaluator<'r, 'r>,
    pub state: T,
}

impl Threads<'_, '_> {
    /// Goes through pieces. Every thread has a run of its own: what an expression remembers is not shared.
    fn each<T: Send>(
        &self,
        some: Range<usize>,
        begin: impl Fn() -> T + Sync,
        take_in: impl Fn(&mut Worker<'_, T>, usize, &Batch<'_>) -> Result<(), Stop> + Sync,
        bytes: impl Fn(&T) -> usize + Sync,
    ) -> Result<Vec<T>, Stop> {
        let (plan, tx, params, session) = (self.run.plan, self.run.tx, self.run.params, self.run.call.session);
        let (table, slot, width) = (self.level.table.table.id, self.level.table.slot, self.level.width);
        let filters = &self.level.filters;
        let (pieces, inputs, most, effort) = (self.pieces, self.inputs, self.most, self.effort);
        parallel::each(
            some.len(),
            || (Run::new(plan, tx, params, session), Some(begin()), 0_usize),
            |(run, state, before), piece, failed| {
                run.check_cancelled()?;
                let piece = some.start + piece;
                let Some(opened) = pieces.open(piece, inputs, failed)? else {
                    effort.pruned.fetch_add(1, Ordering::Relaxed);
                    effort.pruned_bytes.fetch_add(pieces.bytes(piece), Ordering::Relaxed);
                    return Ok(());
                };
                let began = Instant::now();
                let evaluator = Evaluator { run, table, slot, width };
                let batch = Batch::new(opened.rows(), inputs, opened.as_load());
                effort.pieces.fetch_add(1, Ordering::Relaxed);
                effort.file_bytes.fetch_add(pieces.bytes(piece), Ordering::Relaxed);
                effort.rows.fetch_add(batch.rows, Ordering::Relaxed);
                let batch = match opened.visible() {
                    Some(visible) => batch.select(visible)?,
                    None => batch,
                };
                let batch = evaluator.passing(filters, batch)?;
                let filtered = Instant::now();
                effort.passed.fetch_add(batch.rows, Ordering::Relaxed);
                effort.filter_ns.fetch_add((filtered - began).as_nanos() as u64, Ordering::Relaxed);
                if batch.rows == 0 {
                    return Ok(());
                }
                let mut worker = Worker { evaluator, state: state.take().ok_or(Stop::Fallback("no state"))? };
                take_in(&mut worker, piece, &batch)?;
                effort.compute_ns.fetch_add(filtered.elapsed().as_nanos() as u64, Ordering::Relaxed);
                effort.bytes.fetch_add(batch.bytes(), Ordering::Relaxed);
                let now = bytes(&worker.state);
                *state = Some(worker.state);
                let all =
                    effort.held.fetch_add(now.saturating_sub(*before), Ordering::Relaxed) + now.saturating_sub(*before);
                if all > most {
                    return Err(Stop::Fallback("the groups need more memory than the statement has"));
                }
                run.charge(now.saturating_sub(*before))?;
                *before = now.max(*before);
                Ok(())
            },
            |(_, state, _)| state,
        )
        .and_then(|states| pieces.check().map(|()| states))
        .map(|states| {
            effort.threads.fetch_max(states.len(), Ordering::Relaxed);
            states.into_iter().flatten().collect()
        })
    }
}

/// Documents as pieces: a transaction's own writes, and tables that have no columns.
pub(super) struct Documents<'t> {
    pieces: Vec<Vec<Arc<Doc>>>,
    tx: &'t Transaction,
}

/// Documents of a piece.
const PIECE_DOCUMENTS: usize = 4096;

impl<'t> Documents<'t> {
    pub fn of(
        docs: impl IntoIterator<Item = crate::error::Result<Arc<Doc>>>,
        run: &Run<'t>,
    ) -> Result<Documents<'t>, Stop> {
        let mut pieces: Vec<Vec<Arc<Doc>>> = Vec::new();
        for doc in docs {
            let doc = doc?;
            run.tick()?;
            match pieces.last_mut() {
                Some(piece) if piece.len() < PIECE_DOCUMENTS => piece.push(doc),
                _ => pieces.push(vec![doc]),
            }
        }
        Ok(Documents { pieces, tx: run.tx })
    }
}

impl Pieces for Documents<'_> {
    fn count(&self) -> usize {
        self.pieces.len()
    }

    fn open<'s>(
        &'s self,
        piece: usize,
        inputs: &'s [Input],
        _: &AtomicBool,
    ) -> Result<Option<Box<dyn Piece + 's>>, Stop> {
        let Some(docs) = self.pieces.get(piece) else { return Ok(None) };
        Ok(Some(Box::new(DocumentPiece { docs, inputs, tx: self.tx })))
    }

    fn document(&self, piece: usize, row: usize, _: &[Datum]) -> Result<Doc, Stop> {
        let doc = self.pieces.get(piece).and_then(|docs| docs.get(row));
        doc.map(|doc| (**doc).clone()).ok_or(Stop::Fallback("no such document"))
    }
}

/// The documents of a piece.
struct DocumentPiece<'s> {
    docs: &'s [Arc<Doc>],
    inputs: &'s [Input],
    tx: &'s Transaction,
}

impl Load for DocumentPiece<'_> {
    fn load(&self, input: usize, rows: Option<&UInt32Array>) -> Result<Vector, Stop> {
        let input = self.inputs.get(input).ok_or(Stop::Fallback("no such input"))?;
        let of = |doc: &Arc<Doc>| part_of(doc, input, self.tx);
        let values: Result<Vec<Datum>, Stop> = match rows {
            None => self.docs.iter().map(of).collect(),
            Some(rows) => rows.values().iter().map(|r| self.docs.get(*r as usize).map_or(Ok(None), of)).collect(),
        };
        Ok(Vector::of(values?))
    }
}

impl Piece for DocumentPiece<'_> {
    fn rows(&self) -> usize {
        self.docs.len()
    }

    fn as_load(&self) -> &dyn Load {
        self
    }
}

pub(super) fn part_of(doc: &Doc, input: &Input, tx: &Transaction) -> Result<Datum, Stop> {
    match input {
        Input::Field { name, any_case } => {
            let value = doc.data.as_deref().and_then(|data| field(data, name, *any_case));
            Ok(value.filter(|v| !v.is_null()).cloned())
        }
        Input::Part(part) => Ok(doc_part(doc, *part, tx)?),
    }
}
