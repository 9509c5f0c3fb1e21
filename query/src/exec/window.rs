//! Window functions over partitions in memory: frames in ROWS, RANGE and GROUPS (PostgreSQL's documentation, 4.2.8).

use ledgerstone_digest::ion::Value;

use super::group::AggregateCell;
use super::query::row_key;
use super::run::{Env, Run, Slot, Tuple, bytes_of_row};
use crate::ast::{BinaryOp, FrameUnit};
use crate::bind::plan::{
    AggregateCall, Arithmetic, BoundPlan, Comparison, Datum, Ex, FramePlan, SortExpr, WindowCall, WindowPlan,
};
use crate::error::{QueryError, Result, SqlState};
use crate::exec::arithmetic;
use crate::function::window::WindowKind;
use crate::value::compare;
use crate::value::datetime::Interval;

/// A partition: indexes of rows in window order, with what the frames need of each.
struct Partition<'r> {
    rows: &'r [usize],
    keys: &'r [Vec<Datum>],
    /// First row of each row's peer group, and one past its last; positions in the partition.
    peers: Vec<(usize, usize)>,
    /// Number of each row's peer group.
    groups: Vec<usize>,
}

impl Run<'_> {
    /// Computes a window's calls into their slots, for all rows.
    pub(super) fn window(&self, window: &WindowPlan, outer: Option<&Env<'_>>, rows: &mut [Tuple]) -> Result<()> {
        let share = self.share();
        let mut order: Vec<(Vec<Datum>, Vec<Datum>, usize)> = Vec::with_capacity(rows.len());
        for (i, row) in rows.iter().enumerate() {
            self.tick()?;
            let env = Env { row, outer };
            let partition: Result<Vec<Datum>> = window.partition.iter().map(|e| self.eval(e, &env)).collect();
            let keys: Result<Vec<Datum>> = window
                .order
                .iter()
                .map(|k| match &k.expr {
                    SortExpr::Expr(e) => self.eval(e, &env),
                    SortExpr::Output(_) => Err(QueryError::internal("a window ordered by an output column")),
                })
                .collect();
            let (partition, keys) = (partition?, keys?);
            share.charge(48 + bytes_of_row(&partition) + bytes_of_row(&keys))?;
            order.push((partition, keys, i));
        }
        let partition_of = |p: &[Datum]| row_key(p);
        order.sort_by_cached_key(|(p, _, _)| partition_of(p));
        let mut start = 0;
        while start < order.len() {
            let key = order.get(start).map(|o| partition_of(&o.0));
            let length = order.iter().skip(start).take_while(|o| Some(partition_of(&o.0)) == key).count();
            let Some(part) = order.get_mut(start..start + length) else { break };
            part.sort_by(|a, b| self.compare_keys(&window.order, &a.1, &b.1));
            let indexes: Vec<usize> = part.iter().map(|o| o.2).collect();
            let keys: Vec<Vec<Datum>> = part.iter_mut().map(|o| std::mem::take(&mut o.1)).collect();
            let partition = self.partition(window, &indexes, &keys);
            for (call, slot) in &window.calls {
                let values = self.window_call(window, call, &partition, outer, rows)?;
                for (index, value) in partition.rows.iter().zip(values) {
                    if let Some(place) = rows.get_mut(*index).and_then(|r| r.get_mut(*slot as usize)) {
                        *place = Slot::from(value);
                    }
                }
            }
            start += length;
        }
        Ok(())
    }

    fn partition<'r>(&self, window: &WindowPlan, rows: &'r [usize], keys: &'r [Vec<Datum>]) -> Partition<'r> {
        let same = |a: usize, b: usize| match (keys.get(a), keys.get(b)) {
            (Some(a), Some(b)) => self.compare_keys(&window.order, a, b).is_eq(),
            _ => false,
        };
        let mut peers = vec![(0, 0); rows.len()];
        let mut groups = vec![0; rows.len()];
        let (mut start, mut group) = (0, 0);
        while start < rows.len() {
            let mut end = start + 1;
            while end < rows.len() && same(start, end) {
                end += 1;
            }
            for (peer, number) in peers.iter_mut().zip(groups.iter_mut()).take(end).skip(start) {
                *peer = (start, end);
                *number = group;
            }
            start = end;
            group += 1;
        }
        Partition { rows, keys, peers, groups }
    }

    fn window_call(
        &self,
        window: &WindowPlan,
        call: &WindowCall,
        partition: &Partition<'_>,
        outer: Option<&Env<'_>>,
        rows: &[Tuple],
    ) -> Result<Vec<Datum>> {
        let n = partition.rows.len();
        let argument = |position: usize, which: usize| -> Result<Datum> {
            let row = partition.rows.get(position).and_then(|i| rows.get(*i));
            match (row, call.arguments.get(which)) {
                (Some(row), Some(ex)) => self.eval(ex, &Env { row, outer }),
                _ => Ok(None),
            }
        };
        let peer = |i: usize| partition.peers.get(i).copied().unwrap_or((i, i + 1));
        let mut out = Vec::with_capacity(n);
        match &call.kind {
            WindowKind::Aggregate(kind) => return self.framed_aggregate(window, call, kind, partition, outer, rows),
            WindowKind::RowNumber => out.extend((1..=n).map(int)),
            WindowKind::Rank => out.extend((0..n).map(|i| int(peer(i).0 + 1))),
            WindowKind::DenseRank => out.extend(partition.groups.iter().map(|g| int(g + 1))),
            WindowKind::PercentRank => out.extend(
                (0..n).map(|i| Some(Value::Float(if n < 2 { 0.0 } else { peer(i).0 as f64 / (n - 1) as f64 }))),
            ),
            WindowKind::CumeDist => out.extend((0..n).map(|i| Some(Value::Float(peer(i).1 as f64 / n as f64)))),
            WindowKind::Ntile => {
                let Some(buckets) = argument(0, 0)?.and_then(|v| v.as_i64()) else { return Ok(vec![None; n]) };
                let buckets = usize::try_from(buckets)
                    .ok()
                    .filter(|b| *b > 0)
                    .ok_or_else(|| QueryError::new(SqlState("22014"), "argument of ntile must be greater than zero"))?;
                let (size, larger) = (n / buckets, n % buckets);
                out.extend((0..n).map(|i| {
                    let bucket = match i < (size + 1) * larger {
                        true => i / (size + 1),
                        false => larger + (i - (size + 1) * larger) / size.max(1),
                    };
                    int(bucket + 1)
                }));
            }
            WindowKind::Lag | WindowKind::Lead => {
                for i in 0..n {
                    let by = match call.arguments.len() {
                        1 => Some(1),
                        _ => argument(i, 1)?.and_then(|v| v.as_i64()),
                    };
                    let Some(by) = by else {
                        out.push(None);
                        continue;
                    };
                    let by = if call.kind == WindowKind::Lag { by.saturating_neg() } else { by };
                    let at = usize::try_from((i as i64).saturating_add(by)).ok().filter(|at| *at < n);
                    out.push(match at {
                        Some(at) => argument(at, 0)?,
                        None => argument(i, 2)?,
                    });
                }
            }
            WindowKind::FirstValue | WindowKind::LastValue | WindowKind::NthValue => {
                for i in 0..n {
                    let (start, end) = self.frame(window, partition, i, outer, rows)?;
                    let at = match call.kind {
                        WindowKind::FirstValue => Some(start),
                        WindowKind::LastValue => end.checked_sub(1),
                        _ => match argument(i, 1)?.and_then(|v| v.as_i64()) {
                            Some(nth) if nth < 1 => {
                                return Err(QueryError::new(
                                    SqlState("22016"),
                                    "argument of nth_value must be greater than zero",
                                ));
                            }
                            Some(nth) => Some(start.saturating_add(nth as usize - 1)),
                            None => None,
                        },
                    };
                    out.push(match at.filter(|at| (start..end).contains(at)) {
                        Some(at) => argument(at, 0)?,
                        None => None,
                    });
                }
            }
        }
        Ok(out)
    }

    fn framed_aggregate(
        &self,
        window: &WindowPlan,
        call: &WindowCall,
        kind: &crate::function::aggregate::AggregateKind,
        partition: &Partition<'_>,
        outer: Option<&Env<'_>>,
        rows: &[Tuple],
    ) -> Result<Vec<Datum>> {
        let aggregate = AggregateCall {
            kind: kind.clone(),
            arguments: call.arguments.clone(),
            distinct: false,
            order: Vec::new(),
            filter: call.filter.clone(),
        };
        let share = self.share();
        let add = |cell: &mut AggregateCell, position: usize| -> Result<()> {
            self.tick()?;
            match partition.rows.get(position).and_then(|i| rows.get(*i)) {
                Some(row) => self.accumulate(&aggregate, cell, &Env { row, outer }, &share),
                None => Ok(()),
            }
        };
        let mut out: Vec<Datum> = Vec::with_capacity(partition.rows.len());
        let mut before: Option<((usize, usize), Datum)> = None;
        // A frame that only grows at its end is carried on; any other is computed from its rows.
        let mut carried: Option<(usize, usize, AggregateCell)> = None;
        for i in 0..partition.rows.len() {
            let (start, end) = self.frame(window, partition, i, outer, rows)?;
            if let Some((frame, value)) = &before
                && *frame == (start, end)
            {
                out.push(value.clone());
                continue;
            }
            let (from, mut cell) = match carried.take() {
                Some((s, e, cell)) if s == start && e <= end => (e, cell),
                _ => (start, AggregateCell::new(&aggregate)),
            };
            for position in from..end {
                add(&mut cell, position)?;
            }
            let value = self.finish_ref(&cell)?;
            carried = Some((start, end.max(start), cell));
            before = Some(((start, end), value.clone()));
            out.push(value);
        }
        Ok(out)
    }

    /// The frame of a row: positions in the partition, end excluded.
    fn frame(
        &self,
        window: &WindowPlan,
        partition: &Partition<'_>,
        i: usize,
        outer: Option<&Env<'_>>,
        rows: &[Tuple],
    ) -> Result<(usize, usize)> {
        self.tick()?;
        let frame = &window.frame;
        let n = partition.rows.len();
        let (peer_start, peer_end) = partition.peers.get(i).copied().unwrap_or((i, i + 1));
        let row = partition.rows.get(i).and_then(|r| rows.get(*r)).map(Vec::as_slice).unwrap_or_default();
        let env = Env { row, outer };
        let distance = |ex: &Ex, is_start: bool| self.distance(ex, &env, is_start);
        let group = partition.groups.get(i).copied().unwrap_or_default();
        let group_start = |g: usize| partition.groups.partition_point(|x| *x < g);
        let edge = |bound: &BoundPlan, is_start: bool| -> Result<usize> {
            Ok(match (bound, frame.unit) {
                (BoundPlan::UnboundedPreceding, _) => 0,
                (BoundPlan::UnboundedFollowing, _) => n,
                (BoundPlan::CurrentRow, FrameUnit::Rows) => {
                    if is_start {
                        i
                    } else {
                        i + 1
                    }
                }
                (BoundPlan::CurrentRow, _) => {
                    if is_start {
                        peer_start
                    } else {
                        peer_end
                    }
                }
                (BoundPlan::Preceding(d), FrameUnit::Rows) => {
                    let d = distance(d, is_start)?;
                    if is_start { i.saturating_sub(d) } else { (i + 1).saturating_sub(d) }
                }
                (BoundPlan::Following(d), FrameUnit::Rows) => {
                    i.saturating_add(distance(d, is_start)?).saturating_add(usize::from(!is_start)).min(n)
                }
                (BoundPlan::Preceding(d), FrameUnit::Groups) => {
                    let d = distance(d, is_start)?;
                    match (is_start, group.checked_sub(d)) {
                        (true, g) => group_start(g.unwrap_or(0)),
                        (false, Some(g)) => group_start(g + 1),
                        (false, None) => 0,
                    }
                }
                (BoundPlan::Following(d), FrameUnit::Groups) => {
                    let g = group.saturating_add(distance(d, is_start)?);
                    group_start(if is_start { g } else { g.saturating_add(1) })
                }
                (BoundPlan::Preceding(d), FrameUnit::Range) => {
                    self.range_edge(window, partition, i, self.offset(d, &env, is_start)?, (true, is_start))?
                }
                (BoundPlan::Following(d), FrameUnit::Range) => {
                    self.range_edge(window, partition, i, self.offset(d, &env, is_start)?, (false, is_start))?
                }
            })
        };
        let (start, end) = (edge(&frame.start, true)?, edge(&frame.end, false)?);
        Ok((start.min(n), end.max(start).min(n)))
    }

    fn offset(&self, ex: &Ex, env: &Env<'_>, is_start: bool) -> Result<Value> {
        let end = if is_start { "starting" } else { "ending" };
        let null = || QueryError::new(SqlState("22004"), format!("frame {end} offset must not be null"));
        self.eval(ex, env)?.ok_or_else(null)
    }

    /// An offset of rows or groups.
    fn distance(&self, ex: &Ex, env: &Env<'_>, is_start: bool) -> Result<usize> {
        let end = if is_start { "starting" } else { "ending" };
        let negative = || QueryError::new(SqlState("22013"), format!("frame {end} offset must not be negative"));
        let distance = self.offset(ex, env, is_start)?.as_i64().filter(|d| *d >= 0).ok_or_else(negative)?;
        Ok(usize::try_from(distance).unwrap_or(usize::MAX))
    }

    /// RANGE with an offset: the first position not before (or past) the value that far from the row's.
    fn range_edge(
        &self,
        window: &WindowPlan,
        partition: &Partition<'_>,
        i: usize,
        by: Value,
        (preceding, is_start): (bool, bool),
    ) -> Result<usize> {
        let key = |p: usize| partition.keys.get(p).and_then(|k| k.first()).and_then(Option::as_ref);
        let (Some(order), Some(value)) = (window.order.first(), key(i)) else {
            // A NULL's frame is its peers.
            let (start, end) = partition.peers.get(i).copied().unwrap_or((i, i + 1));
            return Ok(if is_start { start } else { end });
        };
        if is_negative(&by) {
            return Err(QueryError::new(SqlState("22013"), "invalid preceding or following size in window function"));
        }
        let op = if preceding != order.descending { BinaryOp::Subtract } else { BinaryOp::Add };
        let kind = match value {
            Value::Timestamp(t) => Arithmetic::TimestampInterval { zoned: t.offset_minutes.is_some() },
            _ if Interval::from_value(value).is_some() => Arithmetic::Interval,
            _ => Arithmetic::Dynamic { partiql: false },
        };
        let limit = arithmetic::apply(op, kind, Some(value.clone()), Some(by))?;
        let op = match (order.descending, is_start) {
            (false, true) => Comparison::Lt,
            (false, false) => Comparison::LtEq,
            (true, true) => Comparison::Gt,
            (true, false) => Comparison::GtEq,
        };
        // Rows are in order, so those before the edge are a prefix; nulls lie outside.
        let before = |p: usize| match key(p) {
            None => order.nulls_first,
            some => Self::is_true(&self.compare(op, some, limit.as_ref(), true)),
        };
        let (mut low, mut high) = (0, partition.rows.len());
        while low < high {
            let middle = low.midpoint(high);
            if before(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

/// Whether a distance points the other way, or is none.
fn is_negative(distance: &Value) -> bool {
    match distance {
        Value::Float(f) => f.is_nan() || *f < 0.0,
        _ => match Interval::from_value(distance) {
            // As PostgreSQL compares them: a month is 30 days.
            Some(i) => {
                let days = i64::from(i.months) * 30 + i64::from(i.days);
                i128::from(days) * 86_400_000_000 + i128::from(i.micros) < 0
            }
            None => compare::compare(distance, &Value::int(0)).is_lt(),
        },
    }
}

/// The frame PostgreSQL assumes: RANGE from the start to the current row's peers.
pub(crate) fn default_frame() -> FramePlan {
    FramePlan { unit: FrameUnit::Range, start: BoundPlan::UnboundedPreceding, end: BoundPlan::CurrentRow }
}

fn int(i: usize) -> Datum {
    Some(Value::int(i as i64))
}
