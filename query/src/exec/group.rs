//! GROUP BY: groups in the order of their first rows; a row comes to one group of every grouping set. Rows of groups that do
//! not fit in memory go to the disk, with what they bring to each aggregate, and are gone through again when the others are
//! done, as often as it takes.

use std::collections::HashMap;

use ledgerstone_digest::ion::Value;

use super::distinct::READ_BYTES;
use super::query::{TupleSink, row_key};
use super::run::{Env, Flow, Run, Slot, Tuple, bytes_of_row};
use crate::bind::plan::{AggregateCall, Datum, GroupPlan, SelectPlan, SortExpr, SortKey};
use crate::error::{QueryError, Result};
use crate::function::aggregate::Accumulator;
use crate::index::Key;
use crate::work::{Share, SpillFile, is_short, pack, unpack};

/// One aggregate of one group; with ORDER BY, the rows wait until they can be sorted.
pub(crate) struct AggregateCell {
    accumulator: Accumulator,
    ordered: Option<Waiting>,
}

/// Sort keys, and per row the keys' values and the arguments.
type Waiting = (Vec<SortKey>, Vec<(Vec<Datum>, Vec<Datum>)>);

/// Takes a group: the number of its grouping set, its keys, and its aggregates finished.
type EmitGroup<'e> = &'e mut dyn FnMut(usize, Vec<Datum>, Vec<Datum>) -> Result<Flow>;

/// What a row brings to an aggregate.
#[derive(Clone)]
struct Brought {
    arguments: Vec<Datum>,
    /// What the aggregate's own ORDER BY sorts it by.
    keys: Vec<Datum>,
}

/// The groups in memory, and the rows of others. Where there are several grouping sets, the number of a group's set is one
/// more of its keys, the last one.
struct Groups<'r, 'a> {
    run: &'r Run<'a>,
    plan: &'r GroupPlan,
    share: Share<'r>,
    by_key: HashMap<Key, usize>,
    rows: Vec<(Vec<Datum>, Vec<AggregateCell>)>,
    later: Option<SpillFile>,
}

impl Run<'_> {
    /// FROM, WHERE, GROUP BY and HAVING.
    pub(super) fn grouped(&self, select: &SelectPlan, outer: Option<&Env<'_>>, sink: TupleSink<'_>) -> Result<()> {
        let having = |tuple: &mut Tuple, sink: TupleSink<'_>| -> Result<Flow> {
            match &select.having {
                Some(h) if !Self::is_true(&self.eval(h, &Env { row: tuple, outer })?) => Ok(Flow::More),
                _ => sink(tuple),
            }
        };
        let Some(group) = &select.group else {
            return self.filtered(select, outer, &mut |tuple| having(tuple, sink));
        };
        let mut emit = |set: usize, keys: Vec<Datum>, aggregates: Vec<Datum>| -> Result<Flow> {
            self.tick()?;
            let mut tuple: Tuple = vec![Slot::Empty; select.width];
            let mut place = |slot: u32, value: Datum| {
                if let Some(place) = tuple.get_mut(slot as usize) {
                    *place = Slot::from(value);
                }
            };
            let slots = group.keys.iter().map(|(_, s)| *s).chain(group.aggregates.iter().map(|(_, s)| *s));
            for (slot, value) in slots.zip(keys.into_iter().chain(aggregates)) {
                place(slot, value);
            }
            for (at, (_, slot)) in group.groupings.iter().enumerate() {
                place(*slot, Some(Value::int(group.grouping(at, set))));
            }
            having(&mut tuple, sink)
        };
        #[cfg(feature = "analytics")]
        if outer.is_none()
            && let Some(groups) = crate::analytics::group(self, select, group)?
        {
            for (keys, aggregates) in groups {
                if emit(0, keys, aggregates)? == Flow::Stop {
                    break;
                }
            }
            return Ok(());
        }
        let mut groups = Groups::new(self, group)?;
        self.filtered(select, outer, &mut |tuple| {
            let env = Env { row: tuple, outer };
            let keys: Result<Vec<Datum>> = group.keys.iter().map(|(k, _)| self.eval(k, &env)).collect();
            if group.has_sets() {
                let brought = group.aggregates.iter().map(|(call, _)| self.brought(call, &env));
                groups.take_into_sets(&keys?, &brought.collect::<Result<Vec<_>>>()?)?;
            } else {
                groups.take_in(keys?, &mut |_, call| self.brought(call, &env))?;
            }
            Ok(Flow::More)
        })?;
        groups.finish(&mut emit)
    }

    /// One row into one aggregate.
    pub(super) fn accumulate(
        &self,
        call: &AggregateCall,
        cell: &mut AggregateCell,
        env: &Env<'_>,
        share: &Share<'_>,
    ) -> Result<()> {
        match self.brought(call, env)? {
            Some(brought) => self.add(cell, brought, share),
            None => Ok(()),
        }
    }

    /// The aggregate so far, leaving it able to take more.
    pub(super) fn finish_ref(&self, cell: &AggregateCell) -> Result<Datum> {
        Ok(cell.accumulator.finish()?.or_else(|| self.null()))
    }

    /// `None` if the aggregate's filter leaves the row out.
    fn brought(&self, call: &AggregateCall, env: &Env<'_>) -> Result<Option<Brought>> {
        if let Some(filter) = &call.filter
            && !Self::is_true(&self.eval(filter, env)?)
        {
            return Ok(None);
        }
        let arguments: Result<Vec<Datum>> = call.arguments.iter().map(|a| self.eval(a, env)).collect();
        let arguments = arguments?;
        let key = |key: &SortKey| match &key.expr {
            SortExpr::Expr(e) => self.eval(e, env),
            SortExpr::Output(i) => Ok(arguments.get(*i).cloned().flatten()),
        };
        let keys: Result<Vec<Datum>> = call.order.iter().map(key).collect();
        Ok(Some(Brought { keys: keys?, arguments }))
    }

    fn add(&self, cell: &mut AggregateCell, brought: Brought, share: &Share<'_>) -> Result<()> {
        let Brought { arguments, keys } = brought;
        if cell.accumulator.grows() || cell.ordered.is_some() {
            share.charge(bytes_of_row(&arguments) + bytes_of_row(&keys))?;
        }
        match &mut cell.ordered {
            None => cell.accumulator.add(arguments, self.partiql),
            Some((_, rows)) => {
                rows.push((keys, arguments));
                Ok(())
            }
        }
    }

    fn finish(&self, cell: AggregateCell) -> Result<Datum> {
        let AggregateCell { mut accumulator, ordered } = cell;
        if let Some((keys, mut rows)) = ordered {
            rows.sort_by(|a, b| self.compare_keys(&keys, &a.0, &b.0));
            for (_, arguments) in rows {
                accumulator.add(arguments, self.partiql)?;
            }
        }
        Ok(accumulator.finish()?.or_else(|| self.null()))
    }
}

impl AggregateCell {
    pub fn new(call: &AggregateCall) -> Self {
        AggregateCell {
            accumulator: Accumulator::new(&call.kind, call.distinct),
            ordered: (!call.order.is_empty()).then(|| (call.order.clone(), Vec::new())),
        }
    }
}

impl<'r, 'a> Groups<'r, 'a> {
    fn new(run: &'r Run<'a>, plan: &'r GroupPlan) -> Result<Self> {
        let share = run.share();
        let mut groups = Groups { run, plan, share, by_key: HashMap::new(), rows: Vec::new(), later: None };
        // A set without keys has one group, even of no rows.
        for (at, _) in plan.sets.iter().enumerate().filter(|(_, set)| set.is_empty()) {
            let keys = groups.keys_in(at, &[]);
            let key = row_key(&keys);
            groups.share.charge(groups.bytes_of(&key, &keys))?;
            groups.make(key, keys);
        }
        Ok(groups)
    }

    /// The keys of a row's group in a set: those that the set lacks are NULL.
    fn keys_in(&self, at: usize, keys: &[Datum]) -> Vec<Datum> {
        let Some(set) = self.plan.sets.get(at).filter(|_| self.plan.has_sets()) else { return keys.to_vec() };
        let own = |key: usize| keys.get(key).filter(|_| set.contains(key)).cloned().flatten();
        let number = Some(Value::int(at as i64));
        (0..self.plan.keys.len()).map(own).chain([number]).collect()
    }

    fn bytes_of(&self, key: &Key, keys: &[Datum]) -> usize {
        key.len() + bytes_of_row(keys) + 256 * (self.plan.aggregates.len() + 1)
    }

    fn make(&mut self, key: Key, keys: Vec<Datum>) -> usize {
        let at = self.rows.len();
        self.by_key.insert(key, at);
        self.rows.push((keys, self.plan.aggregates.iter().map(|(call, _)| AggregateCell::new(call)).collect()));
        at
    }

    /// One row into its group of every set.
    fn take_into_sets(&mut self, keys: &[Datum], brought: &[Option<Brought>]) -> Result<()> {
        for at in 0..self.plan.sets.len() {
            self.run.tick()?;
            self.take_in(self.keys_in(at, keys), &mut |call, _| Ok(brought.get(call).cloned().flatten()))?;
        }
        Ok(())
    }

    /// One row into one group: its keys, and what the row brings to each aggregate.
    fn take_in(
        &mut self,
        keys: Vec<Datum>,
        brought: &mut dyn FnMut(usize, &AggregateCall) -> Result<Option<Brought>>,
    ) -> Result<()> {
        let key = row_key(&keys);
        let (known, plan) = (self.by_key.get(&key).copied(), self.plan);
        let at = match known {
            Some(at) => at,
            None if self.later.is_none() && self.has_room(&key, &keys)? => self.make(key, keys),
            None => {
                let mut values = keys;
                for (i, (call, _)) in plan.aggregates.iter().enumerate() {
                    let brought = brought(i, call)?;
                    values.push(brought.is_some().then_some(Value::Bool(true)));
                    let (arguments, keys) = brought.map_or_else(Default::default, |b| (b.arguments, b.keys));
                    let width = values.len() + call.arguments.len();
                    values.extend(arguments);
                    values.resize(width, None);
                    values.extend(keys);
                    values.resize(width + call.order.len(), None);
                }
                return match &mut self.later {
                    Some(file) => file.push(&pack(values)),
                    None => Err(QueryError::internal("a group was put off for no reason")),
                };
            }
        };
        for (i, (call, _)) in plan.aggregates.iter().enumerate() {
            let Some(brought) = brought(i, call)? else { continue };
            let cell = self.rows.get_mut(at).and_then(|(_, cells)| cells.get_mut(i));
            let cell = cell.ok_or_else(|| QueryError::internal("no such group"))?;
            self.run.add(cell, brought, &self.share)?;
        }
        Ok(())
    }

    /// Room for another group. Without, it and all further ones are put off.
    fn has_room(&mut self, key: &Key, keys: &[Datum]) -> Result<bool> {
        match self.share.charge_half(self.bytes_of(key, keys)) {
            Ok(()) => Ok(true),
            Err(error) if is_short(&error) && !self.rows.is_empty() => {
                self.later = Some(self.run.spill_file()?);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Hands all groups over, those that were put off last.
    fn finish(mut self, emit: EmitGroup<'_>) -> Result<()> {
        let key_count = self.plan.keys.len() + usize::from(self.plan.has_sets());
        loop {
            let later = self.later.take();
            self.by_key.clear();
            for (mut keys, cells) in std::mem::take(&mut self.rows) {
                let number = if self.plan.has_sets() { keys.pop().flatten() } else { None };
                let set = number.and_then(|n| n.as_i64()).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
                let aggregates: Result<Vec<Datum>> = cells.into_iter().map(|cell| self.run.finish(cell)).collect();
                if emit(set, keys, aggregates?)? == Flow::Stop {
                    return Ok(());
                }
            }
            self.share.release_all();
            let Some(mut file) = later else { return Ok(()) };
            file.flush()?;
            let plan = self.plan;
            let widths = plan.aggregates.iter().map(|(call, _)| 1 + call.arguments.len() + call.order.len());
            let count = key_count + widths.sum::<usize>();
            let mut cursor = file.records(0, file.end(), READ_BYTES);
            while let Some(record) = cursor.next(&file)? {
                self.run.tick()?;
                let mut values = unpack(record, count).map_err(QueryError::internal)?.into_iter();
                let keys: Vec<Datum> = values.by_ref().take(key_count).collect();
                self.take_in(keys, &mut |_, call| {
                    let there = values.next().flatten().is_some();
                    let arguments = values.by_ref().take(call.arguments.len()).collect();
                    let keys = values.by_ref().take(call.order.len()).collect();
                    Ok(there.then_some(Brought { arguments, keys }))
                })?;
            }
        }
    }
}
