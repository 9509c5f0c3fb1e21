//! The analytic executor: DataFusion for what groups, removes duplicates, sorts or joins at size, with the answers of the
//! document executor to the last digit (DESIGN section 7, "Two executors, one meaning").
//!
//! Every scalar expression is computed by the document executor's evaluator while documents are decoded into typed Arrow
//! columns; DataFusion only gets a typed plan of operators over them. Whatever does not fit its column exactly, and any
//! error, sends the whole level back to the document executor before a row has come out: that one decides what the
//! statement means. Rows and groups come out in the document executor's order, too: each carries its row number.

mod column;
mod compute;
mod decode;
mod engine;
mod leaf;
mod memory;
mod parallel;
mod partial;
mod scan;
mod shape;
mod sorted;
mod stored;
mod vector;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::record_batch::RecordBatch;

use crate::bind::plan::{At, Datum, DistinctPlan, DocPart, Ex, GroupPlan, SelectPlan, SortExpr, ViewPlan};
use crate::catalogue::Table;
use crate::columns::ColumnView;
use crate::error::{QueryError, Result, SqlState};
use crate::exec::{Env, Flow, Row, Run, Slot, Tuple};
use crate::function::aggregate::Accumulator;
use crate::session::{SETTING_ANALYTIC_DOCUMENTS, SETTING_EXECUTOR, Settings};
use crate::transaction::{Transaction, View};
use crate::work::unpack;
use column::Reader;
use decode::{Batches, ColumnSource, Rows};
use shape::{Aggregate, Function, Shape, Top};

/// Query levels DataFusion has answered, and given back to the document executor, since the process began.
static ANSWERED: AtomicU64 = AtomicU64::new(0);
static GIVEN_BACK: AtomicU64 = AtomicU64::new(0);

/// How many query levels DataFusion has answered, and how many it has given back, since the process began.
pub fn counters() -> (u64, u64) {
    (ANSWERED.load(Ordering::Relaxed), GIVEN_BACK.load(Ordering::Relaxed))
}

/// Query levels that columns have answered.
static BY_COLUMNS: AtomicU64 = AtomicU64::new(0);

/// How many query levels columns have answered since the process began.
pub fn answered_by_columns() -> u64 {
    BY_COLUMNS.load(Ordering::Relaxed)
}

/// A group: its keys, and its aggregates finished.
pub(crate) type Group = (Vec<Datum>, Vec<Datum>);

/// Why DataFusion does not answer.
#[derive(Debug)]
enum Stop {
    /// The document executor is to answer.
    Fallback(&'static str),
    Error(QueryError),
}

impl Stop {
    fn engine(error: impl std::fmt::Display) -> Stop {
        tracing::debug!(%error, "DataFusion refused");
        Stop::Fallback("the engine refused")
    }
}

impl From<QueryError> for Stop {
    fn from(error: QueryError) -> Stop {
        Stop::Error(error)
    }
}

/// Which executor the session asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Auto { documents: usize },
    Document,
    DataFusion,
    Columns,
}

impl Mode {
    fn of(settings: &Settings) -> Mode {
        match settings.get(SETTING_EXECUTOR) {
            Some("document") => Mode::Document,
            Some("datafusion") => Mode::DataFusion,
            Some("columns") => Mode::Columns,
            _ => {
                let documents = settings.get(SETTING_ANALYTIC_DOCUMENTS).and_then(|text| text.parse().ok());
                Mode::Auto { documents: documents.unwrap_or(usize::MAX) }
            }
        }
    }

    fn allows(self, select: &SelectPlan, count: &dyn Fn(&Table) -> usize) -> bool {
        match self {
            Mode::Document => false,
            Mode::DataFusion | Mode::Columns => true,
            Mode::Auto { documents } => shape::scanned(select, count) >= documents.max(1),
        }
    }
}

/// The keys and the finished aggregates of every group, in the order of their first rows. `None`: the document executor
/// has to group.
pub(crate) fn group(run: &Run<'_>, select: &SelectPlan, group: &GroupPlan) -> Result<Option<Vec<Group>>> {
    if !chosen(run, select) {
        return Ok(None);
    }
    let Some(shape) = shape::group(select, group) else { return Ok(None) };
    if let Some(groups) = scanned_groups(run, select, &shape)? {
        return Ok(Some(groups));
    }
    attempt(run, || run_group(run, select, &shape))
}

/// Whether columns may answer, and what they scan.
fn columns<'p>(run: &Run<'_>, select: &'p SelectPlan) -> Option<scan::Level<'p>> {
    if run.partiql {
        return None;
    }
    // Nearly all levels are out by their shape alone.
    scan::Level::of(select)?;
    level_by_columns(select, run.tx, Mode::of(&run.call.session.settings))
}

fn level_by_columns<'p>(select: &'p SelectPlan, tx: &Transaction, mode: Mode) -> Option<scan::Level<'p>> {
    if tx.is_on_pending() {
        return None;
    }
    let level = scan::Level::of(select)?;
    let table = level.table.table.id;
    let chosen = match mode {
        Mode::Columns => true,
        Mode::Auto { documents } => {
            let own = matches!(level.table.view, ViewPlan::Current) && tx.has_written(table);
            !own && tx.database().document_count(table) >= documents.max(1)
        }
        Mode::Document | Mode::DataFusion => false,
    };
    chosen.then_some(level)
}

/// The rows of a level's table: from the column store or, if the transaction has changed it, from its documents.
fn pieces<'r>(
    run: &Run<'r>,
    level: &scan::Level<'_>,
    inputs: &[compute::Input],
) -> Result<Box<dyn scan::Pieces + 'r>, Stop> {
    let env = Env { row: &[], outer: None };
    let table = &level.table.table;
    let view = match &level.table.view {
        ViewPlan::History { from, to } => {
            let (from, to) = run.interval((from.as_ref(), to.as_ref()), &env)?;
            let (from, to) = run.tx.history_between(table, None, from, to)?;
            ColumnView::History { from, to }
        }
        view => match run.view(view, table.id, &env)? {
            None => return Err(Stop::Fallback("no rows")),
            Some(View::Current) if run.tx.has_written(table.id) => {
                let docs = run.tx.scan(table, View::Current)?;
                return Ok(Box::new(scan::Documents::of(docs, run)?));
            }
            Some(View::Current) => {
                run.tx.note_table_read(table.id);
                ColumnView::Current
            }
            Some(View::AsOf(at)) => ColumnView::AsOf(at),
        },
    };
    Ok(Box::new(stored::Stored::open(run, level, view, inputs)?))
}

fn by_columns<T>(run: &Run<'_>, work: impl FnOnce() -> Result<(T, usize), Stop>) -> Result<Option<T>> {
    let answer = attempt(run, work)?;
    if answer.is_some() {
        BY_COLUMNS.fetch_add(1, Ordering::Relaxed);
    }
    Ok(answer)
}

/// The groups of a level that only scans one table.
fn scanned_groups(run: &Run<'_>, select: &SelectPlan, shape: &Shape<'_>) -> Result<Option<Vec<Group>>> {
    let Some(level) = columns(run, select) else { return Ok(None) };
    let Some(inputs) = level.inputs(scan::expressions(shape)) else { return Ok(None) };
    by_columns(run, || scan::group(run, &level, shape, &*pieces(run, &level, &inputs)?, &inputs))
}

/// The distinct rows of such a level, or the first of its sorted ones.
fn scanned_rows(
    run: &Run<'_>,
    select: &SelectPlan,
    shape: &Shape<'_>,
    most: Option<usize>,
) -> Result<Option<Vec<Row>>> {
    let Some(level) = columns(run, select) else { return Ok(None) };
    let Some(inputs) = level.inputs(scan::expressions(shape)) else { return Ok(None) };
    match (&shape.top, most) {
        (Top::Distinct { .. }, _) => {
            let groups = by_columns(run, || scan::group(run, &level, shape, &*pieces(run, &level, &inputs)?, &inputs))?;
            Ok(groups.map(|groups| groups.into_iter().map(|(keys, _)| keys).collect()))
        }
        (Top::Sort { .. }, Some(most)) if most <= sorted::ROWS_MAX => {
            let first = sorted::First { select, most };
            by_columns(run, || scan::first(run, &level, &first, &*pieces(run, &level, &inputs)?, &inputs))
        }
        _ => Ok(None),
    }
}

/// Hands over the rows of a level that neither groups nor has windows, in the order of positions, each with what it is to
/// be sorted by. `false`: the document executor has to, and nothing was handed over.
pub(crate) fn stream(
    run: &Run<'_>,
    select: &SelectPlan,
    limited: bool,
    sink: &mut dyn FnMut(Row, Vec<Datum>) -> Result<Flow>,
) -> Result<bool> {
    let Some(level) = columns(run, select) else { return Ok(false) };
    let Some((outputs, inputs)) = streams(select, &level, limited) else { return Ok(false) };
    let sorts = !select.order.is_empty() && !select.ordered;
    if limited && !sorts && !is_cheap(run) {
        return Ok(false);
    }
    streamed(run, &level, &outputs, &inputs, &mut |_, made, row| {
        let mut values: Row = made.vectors.iter().map(|vector| vector.value(row)).collect();
        let keys = values.split_off(select.output.len().min(values.len()));
        sink(values, keys)
    })
}

/// The document executor may find the few rows that are wanted early, unless columns are there already.
fn is_cheap(run: &Run<'_>) -> bool {
    Mode::of(&run.call.session.settings) == Mode::Columns || run.tx.database().columns().position() > 1
}

/// What a level that only streams computes and reads; `None`: it does more, or the document executor is as good.
fn streams<'p>(
    select: &'p SelectPlan,
    level: &scan::Level<'_>,
    limited: bool,
) -> Option<(Vec<&'p Ex>, Vec<compute::Input>)> {
    let plain = select.having.is_none() && select.windows.is_empty() && select.series.is_empty();
    if !plain || select.output.is_empty() || matches!(select.distinct, DistinctPlan::On(_)) {
        return None;
    }
    if limited && level.filters.is_empty() && (select.order.is_empty() || select.ordered) {
        return None;
    }
    let mut outputs: Vec<&Ex> = select.output.iter().collect();
    if !select.ordered {
        outputs.extend(select.order.iter().filter_map(|key| match &key.expr {
            SortExpr::Expr(ex) => Some(ex),
            SortExpr::Output(at) => select.output.get(*at),
        }));
    }
    let inputs = level.inputs(outputs.iter().copied())?;
    Some((outputs, inputs))
}

/// Hands over the documents that pass the filters of a level, which alone are computed by columns.
pub(crate) fn documents(
    run: &Run<'_>,
    select: &SelectPlan,
    sink: &mut dyn FnMut(&mut Tuple) -> Result<Flow>,
) -> Result<bool> {
    let Some(level) = columns(run, select) else { return Ok(false) };
    if level.filters.is_empty() || !is_cheap(run) && select.group.is_none() && select.windows.is_empty() {
        return Ok(false);
    }
    let slot = level.table.slot;
    let place = |part: DocPart| Ex::Doc { at: At { depth: 0, slot }, part };
    let places: Vec<Ex> = scan::PLACE_PARTS.iter().map(|part| place(*part)).collect();
    let Some(inputs) = level.inputs(&places) else { return Ok(false) };
    let outputs: Vec<&Ex> = places.iter().collect();
    let mut tuple: Tuple = vec![Slot::Empty; select.width];
    streamed(run, &level, &outputs, &inputs, &mut |pieces, made, row| {
        let parts: Vec<Datum> = made.vectors.iter().map(|vector| vector.value(row)).collect();
        let at = made.chosen.as_ref().map_or(row, |chosen| chosen.value(row) as usize);
        let doc = match pieces.document(made.piece, at, &parts) {
            Ok(doc) => doc,
            Err(Stop::Error(error)) => return Err(error),
            Err(Stop::Fallback(why)) => return Err(QueryError::internal(why)),
        };
        if let Some(place) = tuple.get_mut(slot as usize) {
            *place = Slot::Doc(Arc::new(doc));
        }
        sink(&mut tuple)
    })
}

/// Runs a stream. Once a row was handed over there is no way back to the document executor.
fn streamed(
    run: &Run<'_>,
    level: &scan::Level<'_>,
    outputs: &[&Ex],
    inputs: &[compute::Input],
    sink: &mut dyn FnMut(&dyn scan::Pieces, &scan::Made, usize) -> Result<Flow>,
) -> Result<bool> {
    let mut begun = false;
    let outcome = pieces(run, level, inputs).and_then(|pieces| {
        scan::stream(run, level, outputs, &*pieces, inputs, &mut |made| {
            for row in 0..made.rows {
                run.tick()?;
                begun = true;
                if sink(&*pieces, made, row)? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
            Ok(Flow::More)
        })
    });
    match outcome {
        Ok(()) => {
            ANSWERED.fetch_add(1, Ordering::Relaxed);
            BY_COLUMNS.fetch_add(1, Ordering::Relaxed);
            Ok(true)
        }
        Err(Stop::Error(error)) if begun => Err(error),
        Err(Stop::Fallback(why)) if begun => Err(QueryError::internal(format!("the scan by columns has ended: {why}"))
            .hint("SET ledgerstone.executor = document runs the statement without columns.")),
        Err(stop) => {
            run.check_cancelled()?;
            tracing::debug!(?stop, "the document executor answers instead");
            GIVEN_BACK.fetch_add(1, Ordering::Relaxed);
            Ok(false)
        }
    }
}

/// The level's rows without duplicates, in the order they first came, or sorted with `most` of them. `None`: the document
/// executor has to.
pub(crate) fn rows(run: &Run<'_>, select: &SelectPlan, most: Option<usize>) -> Result<Option<Vec<Row>>> {
    if !chosen(run, select) {
        return Ok(None);
    }
    let Some(shape) = shape::rows(select) else { return Ok(None) };
    if let Some(rows) = scanned_rows(run, select, &shape, most)? {
        return Ok(Some(rows));
    }
    if columns(run, select).is_some() && matches!(shape.top, Top::Sort { .. }) {
        // They are streamed into the document executor's sort, which can put them on the disk.
        return Ok(None);
    }
    if !worth(Mode::of(&run.call.session.settings), most.is_some()) {
        return Ok(None);
    }
    attempt(run, || run_rows(run, select, &shape, most))
}

/// What EXPLAIN says of a level: which executor has a part in it, and which part. `None`: it stays with the document executor.
pub(crate) fn describe(
    select: &SelectPlan,
    limited: bool,
    partiql: bool,
    tx: &Transaction,
    settings: &Settings,
) -> Option<(&'static str, String)> {
    let mode = Mode::of(settings);
    if partiql || !mode.allows(select, &|t| tx.database().document_count(t.id)) {
        return None;
    }
    if let Some(text) = describe_columns(select, limited, tx, mode) {
        return Some(("columns", text));
    }
    let shape = match &select.group {
        Some(group) => shape::group(select, group)?,
        None if worth(mode, limited) => shape::rows(select)?,
        None => return None,
    };
    let operator = match &shape.top {
        Top::Group { .. } => "groups",
        Top::Distinct { .. } => "removes duplicates of",
        Top::Sort { .. } => "sorts",
    };
    let join = if shape.leaves.len() > 1 { "hash joins of " } else { "" };
    Some(("datafusion", format!("DataFusion {operator} {join}{}", shape::leaf_labels(&shape, select).join(", "))))
}

/// The part that columns would take over of a level.
fn describe_columns(select: &SelectPlan, limited: bool, tx: &Transaction, mode: Mode) -> Option<String> {
    let level = level_by_columns(select, tx, mode)?;
    let shape = match &select.group {
        Some(group) => shape::group(select, group),
        None => shape::rows(select),
    };
    let of = format!("{} ({} filters)", level.label, level.filters.len());
    if let Some(shape) = &shape
        && level.inputs(scan::expressions(shape)).is_some()
    {
        match (&shape.top, limited) {
            (Top::Group { .. }, _) => return Some(format!("Columns group {of}")),
            (Top::Distinct { .. }, _) => return Some(format!("Columns remove duplicates of {of}")),
            (Top::Sort { .. }, true) => return Some(format!("Columns find the first of {of}")),
            (Top::Sort { .. }, false) => {}
        }
    }
    if select.group.is_none() && streams(select, &level, limited).is_some() {
        return Some(format!("Columns scan {of}"));
    }
    (!level.filters.is_empty() && level.inputs([]).is_some()).then(|| format!("Columns filter {of}"))
}

/// Under a limit the document executor stops early, or keeps only the first rows.
fn worth(mode: Mode, limited: bool) -> bool {
    matches!(mode, Mode::DataFusion | Mode::Columns) || !limited
}

fn chosen(run: &Run<'_>, select: &SelectPlan) -> bool {
    // MISSING and NULL are two things in PartiQL, and one in a column.
    !run.partiql && Mode::of(&run.call.session.settings).allows(select, &|t| run.tx.database().document_count(t.id))
}

/// Runs it; on anything but an answer or a cancel, the memory is given back and the document executor takes over. An
/// answer comes with the bytes that it takes itself.
fn attempt<T>(run: &Run<'_>, work: impl FnOnce() -> Result<(T, usize), Stop>) -> Result<Option<T>> {
    let before = run.memory_used();
    let outcome = work();
    run.release_to(before);
    match outcome {
        Ok((answer, bytes)) => {
            run.charge(bytes)?;
            ANSWERED.fetch_add(1, Ordering::Relaxed);
            Ok(Some(answer))
        }
        Err(Stop::Error(error)) if error.code == SqlState::QUERY_CANCELED || error.code == SqlState::SHUTDOWN => {
            Err(error)
        }
        Err(stop) => {
            run.check_cancelled()?;
            tracing::debug!(?stop, "the document executor answers instead");
            GIVEN_BACK.fetch_add(1, Ordering::Relaxed);
            Ok(None)
        }
    }
}

/// Decodes every leaf.
fn leaves(run: &Run<'_>, select: &SelectPlan, shape: &Shape<'_>) -> Result<Vec<Batches>, Stop> {
    let rows = Rows { run, select, shape };
    let scans = leaf::Scans { run, select, shape };
    let by_columns = matches!(Mode::of(&run.call.session.settings), Mode::Columns | Mode::Auto { .. });
    let mut leaves: Vec<Batches> = Vec::new();
    for leaf in 0..shape.leaves.len() {
        let before = run.memory_used();
        let scanned = if by_columns { scans.batches(leaf) } else { Err(Stop::Fallback("by rows")) };
        leaves.push(match scanned {
            Ok(batches) => {
                BY_COLUMNS.fetch_add(1, Ordering::Relaxed);
                batches
            }
            // Where the columns are short of something the rows may not be, and an error is the document executor's.
            Err(_) => {
                run.check_cancelled()?;
                run.release_to(before);
                rows.batches(leaf)?
            }
        });
    }
    let most = (1_usize << engine::row_bits(leaves.len())) - 1;
    if leaves.iter().any(|leaf| leaf.rows >= most) {
        return Err(Stop::Fallback("too many rows to number"));
    }
    Ok(leaves)
}

fn memory_left(run: &Run<'_>) -> usize {
    run.memory.limit().saturating_sub(run.memory_used())
}

fn run_group(run: &Run<'_>, select: &SelectPlan, shape: &Shape<'_>) -> Result<(Vec<Group>, usize), Stop> {
    let Top::Group { keys, aggregates } = &shape.top else { return Err(Stop::Fallback("not a group")) };
    let mut leaves = leaves(run, select, shape)?;
    let cancel = &run.call.session.cancel;
    let input = engine::joins(&shape.joins, &mut leaves, cancel)?;
    let plan = engine::group(input, keys, aggregates, &leaves)?;
    let batches = engine::run(&plan, run.memory.pool(), memory_left(run), run.call.session.trace.as_deref())?;
    let readers = readers(&leaves);
    let before = run.memory_used();
    let mut groups: Vec<(i64, Vec<Datum>, Vec<Datum>)> = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            run.tick()?;
            let mut at = 0;
            let mut key_values = Vec::with_capacity(keys.len());
            for key in keys {
                key_values.push(value(batch, at, row, reader(&readers, *key)?)?);
                at += 1;
            }
            let mut finished = Vec::with_capacity(aggregates.len());
            for aggregate in aggregates {
                let (datum, width) = finish(aggregate, batch, at, row, &readers)?;
                finished.push(datum);
                at += width;
            }
            run.charge_row(&key_values)?;
            run.charge_row(&finished)?;
            groups.push((number(batch, at, row)?.unwrap_or_default(), key_values, finished));
        }
    }
    groups.sort_by_key(|(first, _, _)| *first);
    let bytes = run.memory_used() - before;
    Ok((groups.into_iter().map(|(_, keys, aggregates)| (keys, aggregates)).collect(), bytes))
}

/// The result of an aggregate, by our own rules for its type, and how many columns it took.
fn finish(
    aggregate: &Aggregate<'_>,
    batch: &RecordBatch,
    at: usize,
    row: usize,
    readers: &[(usize, Reader)],
) -> Result<(Datum, usize), Stop> {
    let counted = |at: usize| -> Result<u64, Stop> {
        let count = number(batch, at, row)?.unwrap_or_default();
        u64::try_from(count).map_err(|_| Stop::Fallback("a negative count"))
    };
    let column = |at: usize| -> Result<Datum, Stop> {
        match aggregate.column {
            Some(c) => value(batch, at, row, reader(readers, c)?),
            None => Err(Stop::Fallback("an aggregate without its column")),
        }
    };
    let (count, best, width) = match aggregate.function {
        Function::Count | Function::CountDistinct => (counted(at)?, None, 1),
        Function::Average => (counted(at + 1)?, column(at)?, 2),
        Function::Sum | Function::Min | Function::Max | Function::And | Function::Or => (1, column(at)?, 1),
    };
    Ok((Accumulator::resumed(aggregate.kind, count, best)?.finish()?, width))
}

fn run_rows(
    run: &Run<'_>,
    select: &SelectPlan,
    shape: &Shape<'_>,
    most: Option<usize>,
) -> Result<(Vec<Row>, usize), Stop> {
    let mut leaves = leaves(run, select, shape)?;
    let before = run.memory_used();
    let rows = made_rows(run, shape, most, &mut leaves)?;
    Ok((rows, run.memory_used() - before))
}

fn made_rows(run: &Run<'_>, shape: &Shape<'_>, most: Option<usize>, leaves: &mut [Batches]) -> Result<Vec<Row>, Stop> {
    let cancel = &run.call.session.cancel;
    let input = engine::joins(&shape.joins, leaves, cancel)?;
    match &shape.top {
        Top::Group { .. } => Err(Stop::Fallback("not rows")),
        Top::Distinct { keys } => {
            let plan = engine::group(input, keys, &[], leaves)?;
            let readers = readers(leaves);
            let mut rows: Vec<(i64, Row)> = Vec::new();
            for batch in &engine::run(&plan, run.memory.pool(), memory_left(run), run.call.session.trace.as_deref())? {
                for row in 0..batch.num_rows() {
                    run.tick()?;
                    let mut out = Vec::with_capacity(keys.len());
                    for (at, key) in keys.iter().enumerate() {
                        out.push(value(batch, at, row, reader(&readers, *key)?)?);
                    }
                    run.charge_row(&out)?;
                    rows.push((number(batch, keys.len(), row)?.unwrap_or_default(), out));
                }
            }
            rows.sort_by_key(|(first, _)| *first);
            Ok(rows.into_iter().map(|(_, row)| row).collect())
        }
        Top::Sort { keys, rows, arity } => {
            let plan = engine::sort(input, keys, leaves.len(), most)?;
            let batches = engine::run(&plan, run.memory.pool(), memory_left(run), run.call.session.trace.as_deref())?;
            carried(run, shape, rows, *arity, &batches)
        }
    }
}

/// Output rows out of the columns that carried them.
fn carried(
    run: &Run<'_>,
    shape: &Shape<'_>,
    columns: &[usize],
    arity: usize,
    batches: &[RecordBatch],
) -> Result<Vec<Row>, Stop> {
    let mut places = Vec::new();
    for column in columns {
        let Some(shape::What::Rows(outputs)) = shape.columns.get(*column).map(|want| &want.what) else {
            return Err(Stop::Fallback("no such column"));
        };
        let outputs: Vec<usize> = outputs.iter().map(|(i, _)| *i).collect();
        places.push((decode::column_name(*column), outputs));
    }
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            run.tick()?;
            let mut out: Row = vec![None; arity];
            for (name, outputs) in &places {
                let array = batch.column_by_name(name).ok_or(Stop::Fallback("a column is gone"))?;
                let bytes = array.as_any().downcast_ref::<arrow::array::BinaryArray>();
                let bytes = bytes.ok_or(Stop::Fallback("a column changed its type"))?;
                if bytes.is_valid(row) {
                    let values = unpack(bytes.value(row), outputs.len()).map_err(Stop::engine)?;
                    for (place, value) in outputs.iter().zip(values) {
                        if let Some(out) = out.get_mut(*place) {
                            *out = value;
                        }
                    }
                }
            }
            run.charge_row(&out)?;
            rows.push(out);
        }
    }
    Ok(rows)
}

fn readers(leaves: &[Batches]) -> Vec<(usize, Reader)> {
    leaves.iter().flat_map(|leaf| leaf.readers.iter().copied()).collect()
}

fn reader(readers: &[(usize, Reader)], column: usize) -> Result<Reader, Stop> {
    readers.iter().find(|(c, _)| *c == column).map(|(_, r)| *r).ok_or(Stop::Fallback("no such column"))
}

fn array(batch: &RecordBatch, at: usize) -> Result<&ArrayRef, Stop> {
    batch.columns().get(at).ok_or(Stop::Fallback("a column is gone"))
}

fn value(batch: &RecordBatch, at: usize, row: usize, reader: Reader) -> Result<Datum, Stop> {
    reader.value(array(batch, at)?, row).map_err(Stop::engine)
}

fn number(batch: &RecordBatch, at: usize, row: usize) -> Result<Option<i64>, Stop> {
    let array = array(batch, at)?.as_any().downcast_ref::<Int64Array>();
    let array = array.ok_or(Stop::Fallback("a column changed its type"))?;
    Ok((row < array.len() && array.is_valid(row)).then(|| array.value(row)))
}
