//! Queries: set operations, selection, DISTINCT, ORDER BY and LIMIT. Rows are pushed to a sink, which may say
//! that it has enough.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use ledgerstone_digest::ion::Value;

use super::distinct::{Distinct, Seen};
use super::result::{Collector, ResultRows};
use super::run::{Env, Flow, Row, Run, Slot, Tuple, bytes_of_tuple};
use super::sort::Sorter;
use crate::ast::SetOp;
use crate::bind::plan::{Datum, DistinctPlan, Ex, QueryBody, QueryPlan, SelectPlan, SortExpr, SortKey};
use crate::bind::walk::is_same_for_every_row;
use crate::error::{QueryError, Result, SqlState};
use crate::function::table;
use crate::index::Key;
use crate::value::{cast, compare};

/// Takes result rows.
pub(crate) type RowSink<'s> = &'s mut dyn FnMut(Row) -> Result<Flow>;
/// Takes rows of a query level; it may look but must copy what it keeps.
pub(crate) type TupleSink<'s> = &'s mut dyn FnMut(&mut Tuple) -> Result<Flow>;

/// The select list. What is the same for every row is computed for two of them and copied for the others: statements that
/// come to one row are the most, and do not pay for looking.
struct Outputs<'p> {
    exs: &'p [Ex],
    rows: usize,
    /// For what is the same for every row, what it came to in the second.
    same: Vec<Option<Datum>>,
}

impl<'p> Outputs<'p> {
    fn new(exs: &'p [Ex]) -> Self {
        Outputs { exs, rows: 0, same: Vec::new() }
    }

    /// What an expression comes to in the next row, if that is known.
    fn known(&self, column: usize) -> Option<&Datum> {
        self.same.get(column)?.as_ref()
    }

    fn seen(&mut self, row: &[Datum]) {
        self.rows += 1;
        if self.rows == 2 {
            let same = |(ex, value): (&Ex, &Datum)| is_same_for_every_row(ex).then(|| value.clone());
            self.same = self.exs.iter().zip(row).map(same).collect();
        }
    }
}

impl Run<'_> {
    /// Pushes the query's rows; at most `most` of them are wanted.
    pub fn query(
        &self,
        query: &QueryPlan,
        outer: Option<&Env<'_>>,
        most: Option<usize>,
        sink: RowSink<'_>,
    ) -> Result<()> {
        let env = Env { row: &[], outer };
        let limit = self.row_count(query.limit.as_ref(), &env, "LIMIT", SqlState::INVALID_ROW_COUNT_IN_LIMIT)?;
        let offset = self.row_count(query.offset.as_ref(), &env, "OFFSET", SqlState::INVALID_ROW_COUNT_IN_OFFSET)?;
        if limit == Some(0) || most == Some(0) {
            return Ok(());
        }
        if let (Some(ties), Some(limit)) = (&query.ties, limit) {
            return self.query_with_ties((query, ties.as_slice()), outer, (limit, offset.unwrap_or(0), most), sink);
        }
        let mut skip = offset.unwrap_or(0);
        let limit = match (limit, most) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let needed = limit.map(|l| l.saturating_add(skip));
        let mut left = limit.unwrap_or(usize::MAX);
        self.body(&query.body, outer, needed, &mut |mut row| {
            if skip > 0 {
                skip -= 1;
                return Ok(Flow::More);
            }
            left -= 1;
            if query.ties.is_some() {
                row.truncate(query.arity);
            }
            let flow = sink(row)?;
            Ok(if left == 0 { Flow::Stop } else { flow })
        })
    }

    /// As many rows as LIMIT says, and those behind them that are sorted like the last one.
    fn query_with_ties(
        &self,
        (query, ties): (&QueryPlan, &[SortKey]),
        outer: Option<&Env<'_>>,
        (limit, offset, most): (usize, usize, Option<usize>),
        sink: RowSink<'_>,
    ) -> Result<()> {
        let (mut skip, mut left, mut wanted) = (offset, limit, most.unwrap_or(usize::MAX));
        let mut last: Vec<Datum> = Vec::new();
        self.body(&query.body, outer, None, &mut |mut row| {
            if skip > 0 {
                skip -= 1;
                return Ok(Flow::More);
            }
            if left <= 1 {
                let computed = ties.iter().any(|key| matches!(key.expr, SortExpr::Expr(_)));
                let slots: Tuple = row.iter().filter(|_| computed).cloned().map(Slot::from).collect();
                let keys = self.sort_keys(ties, &row, &Env { row: &slots, outer })?;
                if left == 0 && self.compare_keys(ties, &last, &keys).is_ne() {
                    return Ok(Flow::Stop);
                }
                last = keys;
            }
            left = left.saturating_sub(1);
            wanted -= 1;
            row.truncate(query.arity);
            let flow = sink(row)?;
            Ok(if wanted == 0 { Flow::Stop } else { flow })
        })
    }

    /// All rows of a query.
    pub fn query_rows(&self, query: &QueryPlan, outer: Option<&Env<'_>>) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        self.query(query, outer, None, &mut |row| {
            self.charge_row(&row)?;
            rows.push(row);
            Ok(Flow::More)
        })?;
        Ok(rows)
    }

    /// All rows of a query, to be gone through as often as need be.
    pub fn spooled(&self, query: &QueryPlan, outer: Option<&Env<'_>>) -> Result<ResultRows> {
        let mut rows = Collector::of_run(self);
        self.query(query, outer, None, &mut |row| {
            rows.push(row)?;
            Ok(Flow::More)
        })?;
        if self.known.outlives_runs { rows.finish() } else { rows.finish_kept() }
    }

    fn row_count(&self, ex: Option<&Ex>, env: &Env<'_>, clause: &str, code: SqlState) -> Result<Option<usize>> {
        let Some(ex) = ex else { return Ok(None) };
        match self.eval(ex, env)? {
            None | Some(Value::Null(_)) => Ok(None),
            Some(value) => match value.as_i64() {
                Some(n) if n >= 0 => Ok(Some(usize::try_from(n).unwrap_or(usize::MAX))),
                Some(_) => Err(QueryError::new(code, format!("{clause} must not be negative"))),
                None => Err(QueryError::new(code, format!("{clause} must be an integer"))),
            },
        }
    }

    fn body(&self, body: &QueryBody, outer: Option<&Env<'_>>, needed: Option<usize>, sink: RowSink<'_>) -> Result<()> {
        match body {
            QueryBody::Select(select) => self.select(select, outer, needed, sink),
            QueryBody::Values { rows, order } => {
                let env = Env { row: &[], outer };
                self.sorted(order, outer, needed, sink, &mut |out| {
                    for row in rows {
                        let row: Result<Row> = row.iter().map(|e| self.eval(e, &env)).collect();
                        if out(row?)? == Flow::Stop {
                            break;
                        }
                    }
                    Ok(())
                })
            }
            QueryBody::Nested { query, order } => {
                self.sorted(order, outer, needed, sink, &mut |out| self.query(query, outer, None, out))
            }
            QueryBody::Set { op, all, left, right, left_casts, right_casts, order } => {
                self.sorted(order, outer, needed, sink, &mut |out| {
                    let sides = (&**left, left_casts.as_deref(), &**right, right_casts.as_deref());
                    self.set_operation(*op, *all, sides, outer, out)
                })
            }
        }
    }

    /// Passes rows on as they are, or sorted by keys over their own columns.
    fn sorted(
        &self,
        order: &[SortKey],
        outer: Option<&Env<'_>>,
        needed: Option<usize>,
        sink: RowSink<'_>,
        source: &mut dyn FnMut(RowSink<'_>) -> Result<()>,
    ) -> Result<()> {
        if order.is_empty() {
            return source(sink);
        }
        let mut sorter = Sorter::new(self, order, needed);
        source(&mut |row| {
            let slots: Tuple = row.iter().cloned().map(Slot::from).collect();
            let keys = self.sort_keys(order, &row, &Env { row: &slots, outer })?;
            sorter.push(keys, row)?;
            Ok(Flow::More)
        })?;
        sorter.drain(sink)
    }

    fn set_operation(
        &self,
        op: SetOp,
        all: bool,
        (left, left_casts, right, right_casts): (&QueryPlan, Option<&[Ex]>, &QueryPlan, Option<&[Ex]>),
        outer: Option<&Env<'_>>,
        sink: RowSink<'_>,
    ) -> Result<()> {
        if op == SetOp::Union {
            let mut flow = Flow::More;
            let mut distinct = Distinct::new(self);
            let mut arity = 0;
            for (query, casts) in [(left, left_casts), (right, right_casts)] {
                if flow == Flow::Stop {
                    break;
                }
                self.query(query, outer, None, &mut |row| {
                    self.tick()?;
                    let row = self.cast_row(row, casts, outer)?;
                    arity = row.len();
                    match if all { Seen::First } else { distinct.see(row_key(&row))? } {
                        Seen::Before => return Ok(Flow::More),
                        Seen::Later => distinct.put_off(row)?,
                        Seen::First => flow = sink(row)?,
                    }
                    Ok(flow)
                })?;
            }
            return if flow == Flow::Stop { Ok(()) } else { distinct.settle(arity, arity, sink) };
        }
        let share = self.share();
        let mut seen: HashSet<Key> = HashSet::new();
        let mut once = |key: Key| -> Result<bool> {
            if seen.contains(&key) {
                return Ok(false);
            }
            share.charge(key.len() + 64)?;
            Ok(seen.insert(key))
        };
        let mut counts: HashMap<Key, usize> = HashMap::new();
        self.query(right, outer, None, &mut |row| {
            self.tick()?;
            let key = row_key(&self.cast_row(row, right_casts, outer)?);
            share.charge(key.len() + 64)?;
            *counts.entry(key).or_default() += 1;
            Ok(Flow::More)
        })?;
        self.query(left, outer, None, &mut |row| {
            self.tick()?;
            let row = self.cast_row(row, left_casts, outer)?;
            let key = row_key(&row);
            let count = counts.get_mut(&key);
            let keep = match (op, all, count) {
                (SetOp::Intersect, true, Some(n)) if *n > 0 => {
                    *n -= 1;
                    true
                }
                (SetOp::Intersect, false, Some(_)) => once(key)?,
                (SetOp::Except, true, Some(n)) if *n > 0 => {
                    *n -= 1;
                    false
                }
                (SetOp::Except, true, _) => true,
                (SetOp::Except, false, None) => once(key)?,
                _ => false,
            };
            if keep { sink(row) } else { Ok(Flow::More) }
        })
    }

    /// A row as other types. A cast reads no slot but its own column's, whose value is not needed afterwards.
    fn cast_row(&self, row: Row, casts: Option<&[Ex]>, outer: Option<&Env<'_>>) -> Result<Row> {
        let Some(casts) = casts else { return Ok(row) };
        let mut slots: Tuple = row.into_iter().map(Slot::from).collect();
        let own = |ex: &Ex, column| matches!(ex, Ex::Slot(at) if at.depth == 0 && at.slot == column);
        let mut cast_one = |(ex, column): (&Ex, u32)| match ex {
            ex if own(ex, column) => Ok(taken(&mut slots, column)),
            Ex::Cast { expr, from, to, explicit } if own(expr, column) => {
                cast::cast(taken(&mut slots, column), from.as_ref(), to, *explicit, self.call.now_micros())
            }
            ex => self.eval(ex, &Env { row: &slots, outer }),
        };
        casts.iter().zip(0..).map(&mut cast_one).collect()
    }

    fn select(
        &self,
        select: &SelectPlan,
        outer: Option<&Env<'_>>,
        needed: Option<usize>,
        sink: RowSink<'_>,
    ) -> Result<()> {
        let sorts = !select.order.is_empty() && !select.ordered;
        #[cfg(feature = "analytics")]
        if outer.is_none()
            && select.group.is_none()
            && (sorts || matches!(select.distinct, DistinctPlan::Yes))
            // Keys of distinct rows are taken from the rows.
            && !(matches!(select.distinct, DistinctPlan::Yes)
                && select.order.iter().any(|key| matches!(key.expr, SortExpr::Expr(_))))
            && let Some(rows) = crate::analytics::rows(self, select, needed)?
        {
            // Distinct rows come in their first order and are sorted like any others; sorted ones are ready.
            if sorts && matches!(select.distinct, DistinctPlan::Yes) {
                let mut sorter = Sorter::new(self, &select.order, needed);
                for row in rows {
                    let keys = self.sort_keys(&select.order, &row, &Env { row: &[], outer })?;
                    sorter.push(keys, row)?;
                }
                return sorter.drain(sink);
            }
            for row in rows {
                if sink(row)? == Flow::Stop {
                    break;
                }
            }
            return Ok(());
        }
        let on = if let DistinctPlan::On(keys) = &select.distinct { Some(keys.len()) } else { None };
        let mut distinct = Distinct::new(self);
        let mut sorter = sorts.then(|| match on {
            // The first row of the sorted ones is kept, so nothing may be cut before.
            Some(on) => Sorter::distinct_on(self, &select.order, on),
            None => Sorter::new(self, &select.order, needed),
        });
        let mut flow = Flow::More;
        let mut outputs = Outputs::new(&select.output);
        let mut take = |row: Row, (key, mut values): (Option<Key>, Row), keys: Vec<Datum>| -> Result<Flow> {
            match (&mut sorter, key) {
                (Some(sorter), Some(key)) if on.is_some() => sorter.push_with(keys, row, Some(key))?,
                (sorter, key) => match (key.map_or(Ok(Seen::First), |key| distinct.see(key))?, sorter) {
                    (Seen::Before, _) => {}
                    (Seen::First, Some(sorter)) => sorter.push(keys, row)?,
                    (Seen::First, None) => flow = sink(row)?,
                    (Seen::Later, _) => {
                        values.extend(row);
                        values.extend(keys);
                        distinct.put_off(values)?;
                    }
                },
            }
            Ok(flow)
        };
        #[cfg(feature = "analytics")]
        let streamed = outer.is_none()
            && select.group.is_none()
            && crate::analytics::stream(self, select, needed.is_some(), &mut |row, keys| {
                let key = matches!(select.distinct, DistinctPlan::Yes).then(|| row_key(&row));
                take(row, (key, Vec::new()), keys)
            })?;
        #[cfg(not(feature = "analytics"))]
        let streamed = false;
        if !streamed {
            let mut emit = |tuple: &mut Tuple| -> Result<Flow> {
                let env = Env { row: tuple, outer };
                let Some(row) = self.output_row(&mut outputs, &env)? else { return Ok(Flow::More) };
                let key = self.distinct_key(select, &row, &env)?;
                let keys = if sorts { self.sort_keys(&select.order, &row, &env)? } else { Vec::new() };
                take(row, key, keys)
            };
            self.level(select, outer, &mut |tuple| self.expand(select, outer, tuple, &mut emit))?;
        }
        if flow == Flow::More {
            self.settle(select, distinct, &mut sorter, sink)?;
        }
        match sorter {
            Some(sorter) => sorter.drain(sink),
            None => Ok(()),
        }
    }

    /// Rows that DISTINCT put off: what is distinct, if that is not the row itself; the row; what it is sorted by.
    fn settle(
        &self,
        select: &SelectPlan,
        distinct: Distinct<'_, '_>,
        sorter: &mut Option<Sorter<'_, '_>>,
        sink: RowSink<'_>,
    ) -> Result<()> {
        let (arity, keys) = (select.output.len(), if sorter.is_some() { select.order.len() } else { 0 });
        let on = if let DistinctPlan::On(on) = &select.distinct { on.len() } else { 0 };
        let key_count = if on > 0 { on } else { arity };
        distinct.settle(on + arity + keys, key_count, &mut |mut values| {
            let mut row = values.split_off(on.min(values.len()));
            let keys = row.split_off(arity.min(row.len()));
            match sorter {
                Some(sorter) => sorter.push(keys, row).map(|()| Flow::More),
                None => sink(row),
            }
        })
    }

    /// `None`: PartiQL's SELECT VALUE of a missing value adds nothing.
    fn output_row(&self, outputs: &mut Outputs<'_>, env: &Env<'_>) -> Result<Option<Row>> {
        let mut row: Row = Vec::with_capacity(outputs.exs.len());
        for (column, ex) in outputs.exs.iter().enumerate() {
            row.push(match outputs.known(column) {
                Some(value) => value.clone(),
                None => self.eval(ex, env)?,
            });
        }
        outputs.seen(&row);
        let nothing = self.partiql && row.len() == 1 && row.first().is_some_and(Option::is_none);
        Ok((!nothing).then_some(row))
    }

    /// What must be distinct, if anything, and its values if they are not the row's.
    fn distinct_key(&self, select: &SelectPlan, row: &Row, env: &Env<'_>) -> Result<(Option<Key>, Vec<Datum>)> {
        Ok(match &select.distinct {
            DistinctPlan::No => (None, Vec::new()),
            DistinctPlan::Yes => (Some(row_key(row)), Vec::new()),
            DistinctPlan::On(keys) => {
                let keys: Result<Vec<Datum>> = keys.iter().map(|key| self.eval(key, env)).collect();
                let keys = keys?;
                (Some(row_key(&keys)), keys)
            }
        })
    }

    /// Set-returning functions of the select list: rows as long as any of them has some.
    fn expand(
        &self,
        select: &SelectPlan,
        outer: Option<&Env<'_>>,
        tuple: &mut Tuple,
        sink: TupleSink<'_>,
    ) -> Result<Flow> {
        if select.series.is_empty() {
            return sink(tuple);
        }
        let mut series = Vec::new();
        for (call, slot) in &select.series {
            let env = Env { row: tuple, outer };
            let arguments: Result<Vec<Datum>> = call.arguments.iter().map(|a| self.eval(a, &env)).collect();
            series.push((table::rows(call.function, arguments?, &self.call)?, *slot as usize));
        }
        loop {
            self.tick()?;
            let mut some = false;
            for (rows, slot) in &mut series {
                let value = match rows.next().transpose()? {
                    Some(row) => {
                        some = true;
                        row.into_iter().next().flatten()
                    }
                    None => None,
                };
                if let Some(place) = tuple.get_mut(*slot) {
                    *place = Slot::from(value);
                }
            }
            if !some {
                return Ok(Flow::More);
            }
            if sink(tuple)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
    }

    /// FROM, WHERE, GROUP BY, HAVING and windows.
    fn level(&self, select: &SelectPlan, outer: Option<&Env<'_>>, sink: TupleSink<'_>) -> Result<()> {
        if select.windows.is_empty() {
            return self.grouped(select, outer, sink);
        }
        let share = self.share();
        let mut rows: Vec<Tuple> = Vec::new();
        self.grouped(select, outer, &mut |tuple| {
            share.charge(bytes_of_tuple(tuple))?;
            rows.push(tuple.clone());
            Ok(Flow::More)
        })?;
        for window in &select.windows {
            self.window(window, outer, &mut rows)?;
        }
        for mut row in rows {
            if sink(&mut row)? == Flow::Stop {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn filtered(&self, select: &SelectPlan, outer: Option<&Env<'_>>, sink: TupleSink<'_>) -> Result<()> {
        #[cfg(feature = "analytics")]
        if outer.is_none() && crate::analytics::documents(self, select, sink)? {
            return Ok(());
        }
        let mut passes = |tuple: &mut Tuple| -> Result<Flow> {
            if self.passes(&select.filter, &Env { row: tuple, outer })? { sink(tuple) } else { Ok(Flow::More) }
        };
        match &select.from {
            Some(node) => self.level_rows(node, select.width, outer, &mut passes).map(|_| ()),
            None => passes(&mut vec![Slot::Empty; select.width]).map(|_| ()),
        }
    }

    fn sort_keys(&self, order: &[SortKey], row: &Row, env: &Env<'_>) -> Result<Vec<Datum>> {
        order
            .iter()
            .map(|key| match &key.expr {
                SortExpr::Output(i) => Ok(row.get(*i).cloned().flatten()),
                SortExpr::Expr(e) => self.eval(e, env),
            })
            .collect()
    }

    pub(crate) fn compare_keys(&self, order: &[SortKey], a: &[Datum], b: &[Datum]) -> Ordering {
        for (key, (a, b)) in order.iter().zip(a.iter().zip(b)) {
            let ordering = match (self.is_absent(a), self.is_absent(b)) {
                (true, true) => Ordering::Equal,
                (true, false) if key.nulls_first => Ordering::Less,
                (true, false) => Ordering::Greater,
                (false, true) if key.nulls_first => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => {
                    let ordering = compare::compare_data(a.as_ref(), b.as_ref());
                    if key.descending { ordering.reverse() } else { ordering }
                }
            };
            if ordering.is_ne() {
                return ordering;
            }
        }
        Ordering::Equal
    }
}

/// The key of all columns of a row.
pub(crate) fn row_key(row: &[Datum]) -> Key {
    Key::of(row.iter().map(|d| d.as_ref()))
}

/// The value of a slot that is not looked at again.
fn taken(slots: &mut Tuple, column: u32) -> Datum {
    match slots.get_mut(column as usize).map(std::mem::take) {
        Some(Slot::Value(value)) => Some(value),
        _ => None,
    }
}
