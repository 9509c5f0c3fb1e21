//! DataFusion's part: a physical plan over decoded batches, built operator by operator (no text, no optimizer), run on a
//! thread of its own with a memory limit. It polls the statement's cancel flag with every batch it takes in.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use arrow::compute::SortOptions;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::{JoinType, NullEquality, ScalarValue};
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::functions_aggregate::{bool_and_or, count, min_max, sum};
use datafusion::logical_expr::{AggregateUDF, Operator};
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::{binary, case, col, is_null, lit};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, common};
use datafusion::prelude::SessionConfig;

use super::Stop;
use super::decode::{Batches, column_name, row_name};
use super::memory::EngineMemory;
use super::shape::{Aggregate, Function, Joins, SortColumn};
use crate::ast::JoinKind;
use crate::session::{Cancel, Trace};
use crate::work::Pool;

pub(super) type Operation = Arc<dyn ExecutionPlan>;

/// The name of the column of a group's first row.
pub(super) const FIRST: &str = "first";

/// The joined leaves.
pub(super) fn joins(joins: &Joins, leaves: &mut [Batches], cancel: &Cancel) -> Result<Operation, Stop> {
    settle_keys(joins, leaves)?;
    Ok(tree(joins, leaves, cancel).map_err(Stop::engine)?.0)
}

/// Both sides of a join key get one type; which types differ is only known now.
fn settle_keys(joins: &Joins, leaves: &mut [Batches]) -> Result<(), Stop> {
    let Joins::Hash { left, right, keys, .. } = joins else { return Ok(()) };
    settle_keys(left, leaves)?;
    settle_keys(right, leaves)?;
    for (l, r) in keys {
        let find = |column: usize, leaves: &[Batches]| {
            leaves.iter().position(|b| b.data_type(column).is_some()).ok_or(Stop::Fallback("no such column"))
        };
        let (at_l, at_r) = (find(*l, leaves)?, find(*r, leaves)?);
        let types = leaves.get(at_l).and_then(|b| b.data_type(*l)).zip(leaves.get(at_r).and_then(|b| b.data_type(*r)));
        let Some((left, right)) = types.map(|(l, r)| (l.clone(), r.clone())) else { continue };
        if left == right {
            continue;
        }
        match (leaves.get_mut(at_l), *l) {
            (Some(leaf), column) if leaf.nulls.contains(&column) => leaf.retype(column, &right)?,
            _ => match leaves.get_mut(at_r) {
                Some(leaf) if leaf.nulls.contains(r) => leaf.retype(*r, &left)?,
                _ => return Err(Stop::Fallback("join keys of different types")),
            },
        }
    }
    Ok(())
}

/// A subtree and how many rows its largest leaf has.
fn tree(joins: &Joins, leaves: &[Batches], cancel: &Cancel) -> EngineResult<(Operation, usize)> {
    let (kind, left, right, keys) = match joins {
        Joins::Leaf(i) => {
            let leaf = leaves.get(*i).ok_or_else(|| DataFusionError::Internal("no such source".to_owned()))?;
            return Ok((scan(leaf, cancel)?, leaf.rows));
        }
        Joins::Hash { kind, left, right, keys } => (kind, left, right, keys),
    };
    let (left, left_rows) = tree(left, leaves, cancel)?;
    let (right, right_rows) = tree(right, leaves, cancel)?;
    let mut on = Vec::with_capacity(keys.len());
    for (l, r) in keys {
        on.push((column(*l, &left)?, column(*r, &right)?));
    }
    let join_type = match kind {
        JoinKind::Inner | JoinKind::Cross => JoinType::Inner,
        JoinKind::Left => JoinType::Left,
        JoinKind::Right => JoinType::Right,
        JoinKind::Full => JoinType::Full,
    };
    // The engine builds its table from the left side: the smaller one goes there.
    let (left, right, on, join_type) = match left_rows <= right_rows {
        true => (left, right, on, join_type),
        false => (right, left, on.into_iter().map(|(l, r)| (r, l)).collect(), join_type.swap()),
    };
    let mode = PartitionMode::CollectLeft;
    let nulls = NullEquality::NullEqualsNothing;
    let join = HashJoinExec::try_new(left, right, on, None, &join_type, None, mode, nulls, false)?;
    Ok((Arc::new(join), left_rows.max(right_rows)))
}

fn scan(leaf: &Batches, cancel: &Cancel) -> EngineResult<Operation> {
    let part = Part { schema: leaf.schema.clone(), batches: leaf.batches.clone(), cancel: cancel.clone() };
    let parts: Vec<Arc<dyn PartitionStream>> = vec![Arc::new(part)];
    Ok(Arc::new(StreamingTableExec::try_new(leaf.schema.clone(), parts, None, [], false, None)?))
}

/// Groups by columns; the answer has the keys, then the aggregates' columns, then [`FIRST`].
pub(super) fn group(
    input: Operation,
    keys: &[usize],
    aggregates: &[Aggregate<'_>],
    leaves: &[Batches],
) -> Result<Operation, Stop> {
    group_by(input, keys, aggregates, leaves).map_err(Stop::engine)
}

fn group_by(
    input: Operation,
    keys: &[usize],
    aggregates: &[Aggregate<'_>],
    leaves: &[Batches],
) -> EngineResult<Operation> {
    let schema = input.schema();
    let by: EngineResult<Vec<_>> =
        keys.iter().enumerate().map(|(i, c)| Ok((column(*c, &input)?, format!("k{i}")))).collect();
    let first = first_row(leaves.len(), &schema)?;
    let mut calls = Vec::new();
    for aggregate in aggregates {
        let argument = match aggregate.column {
            Some(c) => column(c, &input)?,
            None => first.clone(),
        };
        for (function, distinct) in functions(aggregate.function) {
            let name = format!("a{}", calls.len());
            calls.push(call(function, vec![argument.clone()], distinct, name, &schema)?);
        }
    }
    calls.push(call(min_max::min_udaf(), vec![first], false, FIRST.to_owned(), &schema)?);
    let filters = vec![None; calls.len()];
    let by = PhysicalGroupBy::new_single(by?);
    Ok(Arc::new(AggregateExec::try_new(AggregateMode::Single, by, calls, filters, input.clone(), schema)?))
}

/// The engine's functions for one of ours, in the order of their columns.
fn functions(function: Function) -> Vec<(Arc<AggregateUDF>, bool)> {
    match function {
        Function::Count => vec![(count::count_udaf(), false)],
        Function::CountDistinct => vec![(count::count_udaf(), true)],
        Function::Sum => vec![(sum::sum_udaf(), false)],
        Function::Average => vec![(sum::sum_udaf(), false), (count::count_udaf(), false)],
        Function::Min => vec![(min_max::min_udaf(), false)],
        Function::Max => vec![(min_max::max_udaf(), false)],
        Function::And => vec![(bool_and_or::bool_and_udaf(), false)],
        Function::Or => vec![(bool_and_or::bool_or_udaf(), false)],
    }
}

fn call(
    function: Arc<AggregateUDF>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    distinct: bool,
    name: String,
    schema: &SchemaRef,
) -> EngineResult<Arc<AggregateFunctionExpr>> {
    let builder = AggregateExprBuilder::new(function, arguments).schema(schema.clone()).alias(name);
    Ok(Arc::new(builder.with_distinct(distinct).build()?))
}

/// Bits of a row number when so many leaves share a word.
pub(super) fn row_bits(leaves: usize) -> u32 {
    62 / leaves.max(1) as u32
}

/// One number in the order in which the document executor would come to the joined rows.
fn first_row(leaves: usize, schema: &SchemaRef) -> EngineResult<Arc<dyn PhysicalExpr>> {
    let mut all = col(&row_name(0), schema)?;
    if leaves == 1 {
        return Ok(all);
    }
    let bits = row_bits(leaves);
    for leaf in 0..leaves {
        let row = col(&row_name(leaf), schema)?;
        // Rows without partner come after those with one.
        let last = lit(ScalarValue::Int64(Some((1 << bits) - 1)));
        let row = case(None, vec![(is_null(row.clone())?, last)], Some(row))?;
        all = match leaf {
            0 => row,
            _ => {
                let shifted = binary(all, Operator::Multiply, lit(ScalarValue::Int64(Some(1 << bits))), schema)?;
                binary(shifted, Operator::Plus, row, schema)?
            }
        };
    }
    Ok(all)
}

/// Sorts by columns, equal rows in the order they came.
pub(super) fn sort(
    input: Operation,
    keys: &[SortColumn],
    leaves: usize,
    most: Option<usize>,
) -> Result<Operation, Stop> {
    sort_by(input, keys, leaves, most).map_err(Stop::engine)
}

fn sort_by(input: Operation, keys: &[SortColumn], leaves: usize, most: Option<usize>) -> EngineResult<Operation> {
    let mut order = Vec::new();
    for key in keys {
        let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
        order.push(PhysicalSortExpr::new(column(key.column, &input)?, options));
    }
    let last = SortOptions { descending: false, nulls_first: false };
    for leaf in 0..leaves {
        order.push(PhysicalSortExpr::new(col(&row_name(leaf), &input.schema())?, last));
    }
    let order = LexOrdering::new(order).ok_or_else(|| DataFusionError::Internal("no sort keys".to_owned()))?;
    Ok(Arc::new(SortExec::new(order, input).with_fetch(most)))
}

fn column(column: usize, input: &Operation) -> EngineResult<Arc<dyn PhysicalExpr>> {
    col(&column_name(column), &input.schema())
}

/// Runs a plan to its end. Its thread has no async runtime around it, so no operator hands work to the server's.
pub(super) fn run(
    plan: &Operation,
    pool: &Arc<Pool>,
    memory: usize,
    trace: Option<&Trace>,
) -> Result<Vec<RecordBatch>, Stop> {
    let outcome = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("analytics".to_owned());
        match thread.spawn_scoped(scope, || run_here(plan, EngineMemory::new(Arc::clone(pool), memory))) {
            Ok(handle) => handle.join().unwrap_or(Err(Stop::Fallback("the engine panicked"))),
            Err(_) => Err(Stop::Fallback("no thread for the engine")),
        }
    });
    if let (Some(trace), Ok(_)) = (trace, &outcome) {
        let told = DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(false).to_string();
        told.lines().for_each(|line| trace.note(line));
    }
    if let Err(Stop::Fallback(why)) = &outcome {
        tracing::debug!(why, "DataFusion gave up");
    }
    outcome
}

fn run_here(plan: &Operation, memory: EngineMemory) -> Result<Vec<RecordBatch>, Stop> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(memory))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()
        .map_err(Stop::engine)?;
    let config = SessionConfig::new().with_target_partitions(1);
    let context = TaskContext::default().with_session_config(config).with_runtime(runtime);
    let stream = plan.execute(0, Arc::new(context)).map_err(Stop::engine)?;
    block_on(common::collect(stream)).map_err(Stop::engine)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park_timeout(Duration::from_millis(50)),
        }
    }
}

/// The batches of a leaf as the engine's input.
#[derive(Debug)]
struct Part {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    cancel: Cancel,
}

impl PartitionStream for Part {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let cancel = self.cancel.clone();
        let batches = self.batches.clone().into_iter().map(move |batch| match cancel.reason() {
            None => Ok(batch),
            Some(_) => Err(DataFusionError::Execution("canceled".to_owned())),
        });
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::iter(batches)))
    }
}
