//! Queries: set operations, selection, grouping, DISTINCT, ORDER BY and LIMIT. Rows are pushed to a sink, which may say
//! that it has enough.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use ledgerstone_digest::ion::Value;

use super::run::{Env, Flow, RECURSION_ROWS_MAX, Row, Run, Slot, Tuple};
use crate::ast::SetOp;
use crate::bind::plan::{
    AggregateCall, Cte, Datum, DistinctPlan, Ex, GroupPlan, QueryBody, QueryPlan, SelectPlan, SortExpr, SortKey,
};
use crate::error::{QueryError, Result, SqlState};
use crate::function::aggregate::Accumulator;
use crate::function::table;
use crate::index::Key;
use crate::value::compare;

/// Takes result rows.
pub(crate) type RowSink<'s> = &'s mut dyn FnMut(Row) -> Result<Flow>;
/// Takes rows of a query level; it may look but must copy what it keeps.
pub(crate) type TupleSink<'s> = &'s mut dyn FnMut(&mut Tuple) -> Result<Flow>;

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
        let limit = match (limit, most) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if limit == Some(0) {
            return Ok(());
        }
        let mut skip = offset.unwrap_or(0);
        let needed = limit.map(|l| l.saturating_add(skip));
        let mut left = limit.unwrap_or(usize::MAX);
        self.body(&query.body, outer, needed, &mut |row| {
            if skip > 0 {
                skip -= 1;
                return Ok(Flow::More);
            }
            left -= 1;
            let flow = sink(row)?;
            Ok(if left == 0 { Flow::Stop } else { flow })
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
        let mut seen: HashSet<Key> = HashSet::new();
        if op == SetOp::Union {
            let mut flow = Flow::More;
            for (query, casts) in [(left, left_casts), (right, right_casts)] {
                if flow == Flow::Stop {
                    break;
                }
                self.query(query, outer, None, &mut |row| {
                    self.tick()?;
                    let row = self.cast_row(row, casts, outer)?;
                    if !all {
                        let key = row_key(&row);
                        self.charge(key.len() + 64)?;
                        if !seen.insert(key) {
                            return Ok(Flow::More);
                        }
                    }
                    flow = sink(row)?;
                    Ok(flow)
                })?;
            }
            return Ok(());
        }
        let mut counts: HashMap<Key, usize> = HashMap::new();
        self.query(right, outer, None, &mut |row| {
            self.tick()?;
            let key = row_key(&self.cast_row(row, right_casts, outer)?);
            self.charge(key.len() + 64)?;
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
                (SetOp::Intersect, false, Some(_)) => seen.insert(key),
                (SetOp::Except, true, Some(n)) if *n > 0 => {
                    *n -= 1;
                    false
                }
                (SetOp::Except, true, _) => true,
                (SetOp::Except, false, None) => seen.insert(key),
                _ => false,
            };
            if keep { sink(row) } else { Ok(Flow::More) }
        })
    }

    fn cast_row(&self, row: Row, casts: Option<&[Ex]>, outer: Option<&Env<'_>>) -> Result<Row> {
        let Some(casts) = casts else { return Ok(row) };
        let slots: Tuple = row.into_iter().map(Slot::from).collect();
        casts.iter().map(|c| self.eval(c, &Env { row: &slots, outer })).collect()
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
        let mut seen: HashSet<Key> = HashSet::new();
        let mut sorter = sorts.then(|| {
            // DISTINCT ON keeps the first row of the sorted ones, so nothing may be cut before.
            let cut = if matches!(select.distinct, DistinctPlan::On(_)) { None } else { needed };
            Sorter::new(self, &select.order, cut)
        });
        let mut emit = |tuple: &mut Tuple| -> Result<Flow> {
            let env = Env { row: tuple, outer };
            let mut row: Row = Vec::with_capacity(select.output.len());
            for ex in &select.output {
                row.push(self.eval(ex, &env)?);
            }
            // PartiQL: SELECT VALUE of a missing value adds nothing.
            if self.partiql && select.output.len() == 1 && row.first().is_some_and(Option::is_none) {
                return Ok(Flow::More);
            }
            let on = match &select.distinct {
                DistinctPlan::No => None,
                DistinctPlan::Yes => Some(row_key(&row)),
                DistinctPlan::On(keys) => {
                    let keys: Result<Vec<Datum>> = keys.iter().map(|k| self.eval(k, &env)).collect();
                    Some(row_key(&keys?))
                }
            };
            match (&mut sorter, on) {
                (Some(sorter), Some(key)) if matches!(select.distinct, DistinctPlan::On(_)) => {
                    let keys = self.sort_keys(&select.order, &row, &env)?;
                    sorter.push_with(keys, row, Some(key))?;
                    Ok(Flow::More)
                }
                (sorter, on) => {
                    if let Some(key) = on {
                        self.charge(key.len() + 64)?;
                        if !seen.insert(key) {
                            return Ok(Flow::More);
                        }
                    }
                    match sorter {
                        Some(sorter) => {
                            let keys = self.sort_keys(&select.order, &row, &env)?;
                            sorter.push(keys, row)?;
                            Ok(Flow::More)
                        }
                        None => sink(row),
                    }
                }
            }
        };
        self.level(select, outer, &mut |tuple| self.expand(select, outer, tuple, &mut emit))?;
        match sorter {
            Some(sorter) => sorter.drain(sink),
            None => Ok(()),
        }
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
        let mut rows: Vec<Tuple> = Vec::new();
        self.grouped(select, outer, &mut |tuple| {
            self.charge_tuple(tuple)?;
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

    fn grouped(&self, select: &SelectPlan, outer: Option<&Env<'_>>, sink: TupleSink<'_>) -> Result<()> {
        let having = |tuple: &mut Tuple, sink: TupleSink<'_>| -> Result<Flow> {
            match &select.having {
                Some(h) if !Self::is_true(&self.eval(h, &Env { row: tuple, outer })?) => Ok(Flow::More),
                _ => sink(tuple),
            }
        };
        let Some(group) = &select.group else {
            return self.filtered(select, outer, &mut |tuple| having(tuple, sink));
        };
        let slots = || group.keys.iter().map(|(_, s)| *s).chain(group.aggregates.iter().map(|(_, s)| *s));
        #[cfg(feature = "analytics")]
        if outer.is_none()
            && let Some(groups) = crate::analytics::group(self, select, group)?
        {
            for (keys, aggregates) in groups {
                self.tick()?;
                let mut tuple: Tuple = vec![Slot::Empty; select.width];
                for (slot, value) in slots().zip(keys.into_iter().chain(aggregates)) {
                    if let Some(place) = tuple.get_mut(slot as usize) {
                        *place = Slot::from(value);
                    }
                }
                if having(&mut tuple, sink)? == Flow::Stop {
                    break;
                }
            }
            return Ok(());
        }
        let mut groups = Groups::default();
        if group.keys.is_empty() {
            groups.add(Key::of([]), Vec::new(), group);
        }
        self.filtered(select, outer, &mut |tuple| {
            let env = Env { row: tuple, outer };
            let keys: Result<Vec<Datum>> = group.keys.iter().map(|(k, _)| self.eval(k, &env)).collect();
            let keys = keys?;
            let key = row_key(&keys);
            let at = match groups.find(&key) {
                Some(at) => at,
                None => {
                    self.charge(key.len() + 256 * (group.aggregates.len() + 1))?;
                    groups.add(key, keys, group)
                }
            };
            for (i, (call, _)) in group.aggregates.iter().enumerate() {
                self.accumulate(call, groups.cell(at, i)?, &env)?;
            }
            Ok(Flow::More)
        })?;
        for (keys, cells) in groups.rows {
            self.tick()?;
            let mut tuple: Tuple = vec![Slot::Empty; select.width];
            let values = keys.into_iter().map(Ok).chain(cells.into_iter().map(|c| self.finish(c)));
            for (slot, value) in slots().zip(values) {
                if let Some(place) = tuple.get_mut(slot as usize) {
                    *place = Slot::from(value?);
                }
            }
            if having(&mut tuple, sink)? == Flow::Stop {
                break;
            }
        }
        Ok(())
    }

    /// One row into one aggregate.
    pub(super) fn accumulate(&self, call: &AggregateCall, cell: &mut AggregateCell, env: &Env<'_>) -> Result<()> {
        if let Some(filter) = &call.filter
            && !Self::is_true(&self.eval(filter, env)?)
        {
            return Ok(());
        }
        let arguments: Result<Vec<Datum>> = call.arguments.iter().map(|a| self.eval(a, env)).collect();
        let arguments = arguments?;
        if cell.accumulator.grows() {
            self.charge_row(&arguments)?;
        }
        match &mut cell.ordered {
            None => cell.accumulator.add(arguments, self.partiql),
            Some((keys, rows)) => {
                let sort: Result<Vec<Datum>> = keys
                    .iter()
                    .map(|k| match &k.expr {
                        SortExpr::Expr(e) => self.eval(e, env),
                        SortExpr::Output(i) => Ok(arguments.get(*i).cloned().flatten()),
                    })
                    .collect();
                rows.push((sort?, arguments));
                Ok(())
            }
        }
    }

    pub(super) fn finish(&self, cell: AggregateCell) -> Result<Datum> {
        let AggregateCell { mut accumulator, ordered } = cell;
        if let Some((keys, mut rows)) = ordered {
            rows.sort_by(|a, b| self.compare_keys(&keys, &a.0, &b.0));
            for (_, arguments) in rows {
                accumulator.add(arguments, self.partiql)?;
            }
        }
        Ok(accumulator.finish()?.or_else(|| self.null()))
    }

    pub(crate) fn filtered(&self, select: &SelectPlan, outer: Option<&Env<'_>>, sink: TupleSink<'_>) -> Result<()> {
        let mut passes = |tuple: &mut Tuple| -> Result<Flow> {
            if self.passes(&select.filter, &Env { row: tuple, outer })? { sink(tuple) } else { Ok(Flow::More) }
        };
        match &select.from {
            Some(node) => self.node(node, select.width, outer, &mut passes).map(|_| ()),
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

    pub(super) fn compare_keys(&self, order: &[SortKey], a: &[Datum], b: &[Datum]) -> Ordering {
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

    /// A CTE's rows, computed on first use.
    pub(super) fn cte(&self, id: usize) -> Result<Rc<Vec<Row>>> {
        if let Some(rows) = self.cte_rows(id) {
            return Ok(rows);
        }
        let cte = self.plan.ctes.get(id).ok_or_else(|| QueryError::internal("unknown WITH query"))?;
        let rows = match &cte.step {
            None => self.query_rows(&cte.query, None)?,
            Some(step) => self.recursive(id, cte, step)?,
        };
        let rows = Rc::new(rows);
        self.set_cte(id, rows.clone());
        Ok(rows)
    }

    fn recursive(&self, id: usize, cte: &Cte, step: &QueryPlan) -> Result<Vec<Row>> {
        let mut seen: HashSet<Key> = HashSet::new();
        let mut fresh = |row: &Row| cte.all || seen.insert(row_key(row));
        let mut all: Vec<Row> = Vec::new();
        let mut working: Vec<Row> = self.query_rows(&cte.query, None)?.into_iter().filter(|r| fresh(r)).collect();
        while !working.is_empty() {
            self.check_cancelled()?;
            if all.len() + working.len() > RECURSION_ROWS_MAX {
                return Err(QueryError::new(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    format!("WITH RECURSIVE \"{}\" makes more than {RECURSION_ROWS_MAX} rows", cte.name),
                ));
            }
            let shared = Rc::new(working);
            self.set_cte(id, shared.clone());
            working = self.query_rows(step, None)?.into_iter().filter(|r| fresh(r)).collect();
            all.extend(shared.iter().cloned());
        }
        Ok(all)
    }
}

/// The key of all columns of a row.
pub(crate) fn row_key(row: &[Datum]) -> Key {
    Key::of(row.iter().map(|d| d.as_ref()))
}

/// One aggregate of one group; with ORDER BY, the rows wait until they can be sorted.
pub(crate) struct AggregateCell {
    accumulator: Accumulator,
    ordered: Option<Waiting>,
}

/// Sort keys, and per row the keys' values and the arguments.
type Waiting = (Vec<SortKey>, Vec<(Vec<Datum>, Vec<Datum>)>);

impl AggregateCell {
    pub fn new(call: &AggregateCall) -> Self {
        AggregateCell {
            accumulator: Accumulator::new(&call.kind, call.distinct),
            ordered: (!call.order.is_empty()).then(|| (call.order.clone(), Vec::new())),
        }
    }
}

#[derive(Default)]
struct Groups {
    by_key: HashMap<Key, usize>,
    rows: Vec<(Vec<Datum>, Vec<AggregateCell>)>,
}

impl Groups {
    fn find(&self, key: &Key) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    fn add(&mut self, key: Key, keys: Vec<Datum>, plan: &GroupPlan) -> usize {
        let at = self.rows.len();
        self.by_key.insert(key, at);
        self.rows.push((keys, plan.aggregates.iter().map(|(call, _)| AggregateCell::new(call)).collect()));
        at
    }

    fn cell(&mut self, at: usize, aggregate: usize) -> Result<&mut AggregateCell> {
        self.rows
            .get_mut(at)
            .and_then(|(_, cells)| cells.get_mut(aggregate))
            .ok_or_else(|| QueryError::internal("no such group"))
    }
}

/// Sorts rows by their keys; with a limit it keeps only about twice as many as are needed.
struct Sorter<'r, 'a> {
    run: &'r Run<'a>,
    order: &'r [SortKey],
    needed: Option<usize>,
    rows: Vec<Sorted>,
}

struct Sorted {
    keys: Vec<Datum>,
    row: Row,
    /// DISTINCT ON's key.
    on: Option<Key>,
}

impl<'r, 'a> Sorter<'r, 'a> {
    fn new(run: &'r Run<'a>, order: &'r [SortKey], needed: Option<usize>) -> Self {
        Sorter { run, order, needed, rows: Vec::new() }
    }

    fn push(&mut self, keys: Vec<Datum>, row: Row) -> Result<()> {
        self.push_with(keys, row, None)
    }

    fn push_with(&mut self, keys: Vec<Datum>, row: Row, on: Option<Key>) -> Result<()> {
        self.run.tick()?;
        match self.needed {
            Some(needed) if needed < 100_000 => {
                self.rows.push(Sorted { keys, row, on });
                if self.rows.len() >= needed * 2 + 64 {
                    self.sort();
                    self.rows.truncate(needed);
                }
            }
            _ => {
                self.run.charge_row(&row)?;
                self.run.charge_row(&keys)?;
                self.rows.push(Sorted { keys, row, on });
            }
        }
        Ok(())
    }

    fn sort(&mut self) {
        let (run, order) = (self.run, self.order);
        self.rows.sort_by(|a, b| run.compare_keys(order, &a.keys, &b.keys));
    }

    fn drain(mut self, sink: RowSink<'_>) -> Result<()> {
        self.sort();
        let mut seen = HashSet::new();
        for sorted in self.rows {
            if let Some(key) = sorted.on
                && !seen.insert(key)
            {
                continue;
            }
            if sink(sorted.row)? == Flow::Stop {
                break;
            }
        }
        Ok(())
    }
}

impl Run<'_> {
    /// The aggregate so far, leaving it able to take more.
    pub(super) fn finish_ref(&self, cell: &AggregateCell) -> Result<Datum> {
        Ok(cell.accumulator.finish()?.or_else(|| self.null()))
    }
}
