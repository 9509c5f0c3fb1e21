//! Where rows come from: tables through their indexes, history, lists, functions, subqueries; and joins between them.

use std::collections::HashMap;
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Timestamp, Value};

use super::query::{TupleSink, row_key};
use super::run::{Env, Flow, Row, Run, Slot, Tuple, bytes_of_tuple};
use crate::ast::JoinKind;
use crate::bind::plan::{
    Access, Datum, Ex, HashJoin, LoopJoin, Node, Source, SourceNode, TableCall, TableSource, ViewPlan,
};
use crate::catalogue::Index;
use crate::error::{QueryError, Result, SqlState};
use crate::function::table;
use crate::index::Key;
use crate::transaction::{Doc, Docs, View};
use crate::value::datetime;

impl Run<'_> {
    /// Pushes the rows of a level's FROM. Where that is one source, read once by the level, its rows are handed on as they are
    /// made, and none is made that nobody asks for; others are kept for whoever reads them again.
    pub fn level_rows(&self, node: &Node, width: usize, outer: Option<&Env<'_>>, sink: TupleSink<'_>) -> Result<Flow> {
        self.node_rows(node, width, outer, outer.is_none() && !self.repeats.get(), sink)
    }

    /// Pushes the node's rows.
    pub fn node(&self, node: &Node, width: usize, outer: Option<&Env<'_>>, sink: TupleSink<'_>) -> Result<Flow> {
        self.node_rows(node, width, outer, false, sink)
    }

    fn node_rows(
        &self,
        node: &Node,
        width: usize,
        outer: Option<&Env<'_>>,
        read_once: bool,
        sink: TupleSink<'_>,
    ) -> Result<Flow> {
        match node {
            Node::Source(source) => match &source.input {
                None => self.joined_source(source, &mut vec![Slot::Empty; width], outer, read_once, sink),
                Some(input) => {
                    self.node(input, width, outer, &mut |tuple| self.joined_source(source, tuple, outer, false, sink))
                }
            },
            Node::Filter { input, filter } => self.node_rows(input, width, outer, read_once, &mut |tuple| {
                if self.passes(filter, &Env { row: tuple, outer })? { sink(tuple) } else { Ok(Flow::More) }
            }),
            Node::Hash(join) => self.hash_join(join, width, outer, sink),
            Node::Loop(join) => self.loop_join(join, width, outer, sink),
        }
    }

    /// The rows of a source beside one row of its input.
    fn joined_source(
        &self,
        node: &SourceNode,
        tuple: &mut Tuple,
        outer: Option<&Env<'_>>,
        read_once: bool,
        sink: TupleSink<'_>,
    ) -> Result<Flow> {
        let mut matched = false;
        let flow = self.source(&node.source, tuple, outer, read_once, &mut |tuple| {
            self.tick()?;
            if !self.passes(&node.filter, &Env { row: tuple, outer })? {
                return Ok(Flow::More);
            }
            matched = true;
            sink(tuple)
        })?;
        if node.outer && !matched {
            for slot in slots_of(&node.source) {
                set(tuple, slot, Slot::Empty);
            }
            return sink(tuple);
        }
        Ok(flow)
    }

    fn source(
        &self,
        source: &Source,
        tuple: &mut Tuple,
        outer: Option<&Env<'_>>,
        read_once: bool,
        sink: TupleSink<'_>,
    ) -> Result<Flow> {
        match source {
            Source::Table(table) => self.table(table, tuple, outer, sink),
            Source::Query { query, first, cache: Some(_) } if read_once => {
                let mut flow = Flow::More;
                self.query(query, outer, None, &mut |row| {
                    place(tuple, *first, row);
                    flow = sink(tuple)?;
                    Ok(flow)
                })?;
                Ok(flow)
            }
            Source::Query { query, first, cache } => {
                if let Some(id) = cache {
                    let rows = match self.known.sources.get(*id) {
                        Some(rows) => rows,
                        None => {
                            let rows = Rc::new(self.spooled(query, outer)?);
                            self.known.sources.set(*id, rows.clone());
                            rows
                        }
                    };
                    return rows.each(&mut |row| {
                        place(tuple, *first, row);
                        sink(tuple)
                    });
                }
                let mut flow = Flow::More;
                let snapshot = tuple.clone();
                let env = Env { row: &snapshot, outer };
                self.query(query, Some(&env), None, &mut |row| {
                    place(tuple, *first, row);
                    flow = sink(tuple)?;
                    Ok(flow)
                })?;
                Ok(flow)
            }
            Source::Cte { id, first, up, .. } => {
                let outside = (1..*up).fold(outer, |env, _| env.and_then(|env| env.outer));
                self.each_of_cte(*id, outside, read_once, &mut |row| {
                    place(tuple, *first, row);
                    sink(tuple)
                })
            }
            Source::Virtual { table, first } => {
                let rows = table.rows(self.tx, self.call.session)?;
                push_rows(rows, tuple, *first, sink)
            }
            Source::Changes(changes) => {
                let snapshot = tuple.clone();
                self.changes(changes, &Env { row: &snapshot, outer }, &mut |row| {
                    self.tick()?;
                    place(tuple, changes.first, row);
                    sink(tuple)
                })
            }
            Source::Function { calls, first, ordinality } => {
                self.functions(calls, *first, *ordinality, tuple, outer, sink)
            }
            Source::Collection { expr, slot, at } => {
                let value = self.eval(expr, &Env { row: tuple, outer })?;
                let (items, is_list) = match value {
                    None => return Ok(Flow::More),
                    Some(Value::List(items) | Value::Sexp(items)) => (items, true),
                    // PartiQL: anything else is ranged over once.
                    Some(other) => (vec![other], false),
                };
                for (i, item) in items.into_iter().enumerate() {
                    set(tuple, *slot, Slot::Value(item));
                    if let Some(at) = at {
                        set(tuple, *at, if is_list { Slot::Value(Value::int(i as i64)) } else { Slot::Empty });
                    }
                    if sink(tuple)? == Flow::Stop {
                        return Ok(Flow::Stop);
                    }
                }
                Ok(Flow::More)
            }
            Source::Unpivot { expr, slot, at } => {
                let value = self.eval(expr, &Env { row: tuple, outer })?;
                let fields = match value {
                    None => return Ok(Flow::More),
                    Some(Value::Struct(s)) => s.fields,
                    Some(other) => vec![("_1".into(), other)],
                };
                for (name, value) in fields {
                    set(tuple, *slot, Slot::Value(value));
                    if let Some(at) = at {
                        set(tuple, *at, Slot::Value(Value::string(name.text().unwrap_or("$0"))));
                    }
                    if sink(tuple)? == Flow::Stop {
                        return Ok(Flow::Stop);
                    }
                }
                Ok(Flow::More)
            }
        }
    }

    fn functions(
        &self,
        calls: &[TableCall],
        first: u32,
        ordinality: Option<u32>,
        tuple: &mut Tuple,
        outer: Option<&Env<'_>>,
        sink: TupleSink<'_>,
    ) -> Result<Flow> {
        let mut running = Vec::new();
        for call in calls {
            let env = Env { row: tuple, outer };
            let arguments: Result<Vec<Datum>> = call.arguments.iter().map(|a| self.eval(a, &env)).collect();
            running.push((table::rows(call.function, arguments?, &self.call)?, call.arity));
        }
        let mut number = 0;
        loop {
            let mut some = false;
            let mut row: Row = Vec::new();
            for (rows, arity) in &mut running {
                match rows.next().transpose()? {
                    Some(values) => {
                        some = true;
                        row.extend(values);
                    }
                    None => row.extend(std::iter::repeat_n(None, *arity)),
                }
            }
            if !some {
                return Ok(Flow::More);
            }
            number += 1;
            place(tuple, first, row);
            if let Some(slot) = ordinality {
                set(tuple, slot, Slot::Value(Value::int(number)));
            }
            if sink(tuple)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
    }

    // Tables

    fn table(
        &self,
        source: &TableSource,
        tuple: &mut Tuple,
        outer: Option<&Env<'_>>,
        sink: TupleSink<'_>,
    ) -> Result<Flow> {
        let slot = source.slot;
        let mut push = |tuple: &mut Tuple, doc: Arc<Doc>| -> Result<Flow> {
            set(tuple, slot, Slot::Doc(doc));
            sink(tuple)
        };
        if let ViewPlan::History { from, to } = &source.view {
            return self.history(source, (from.as_ref(), to.as_ref()), tuple, outer, &mut push);
        }
        let env = Env { row: tuple, outer };
        let Some(view) = self.view(&source.view, source.table.id, &env)? else { return Ok(Flow::More) };
        let table = &source.table;
        match &source.access {
            Access::Scan => push_docs(self.tx.scan(table, view)?, tuple, &mut push),
            Access::Ids(ids) => {
                for id in self.document_ids(ids, tuple, outer)? {
                    if let Some(doc) = self.tx.get(table, id, view)?
                        && push(tuple, doc)? == Flow::Stop
                    {
                        return Ok(Flow::Stop);
                    }
                }
                Ok(Flow::More)
            }
            Access::IdList(list) => {
                for id in self.id_list(list, tuple, outer)? {
                    if let Some(doc) = self.tx.get(table, id, view)?
                        && push(tuple, doc)? == Flow::Stop
                    {
                        return Ok(Flow::Stop);
                    }
                }
                Ok(Flow::More)
            }
            Access::Index { index, keys } => {
                if !usable(index, view, self.tx.snapshot()) {
                    return push_docs(self.tx.scan(table, view)?, tuple, &mut push);
                }
                for key in self.index_keys(keys, tuple, outer)? {
                    for doc in self.tx.lookup(table, index, &key, view)? {
                        if push(tuple, doc)? == Flow::Stop {
                            return Ok(Flow::Stop);
                        }
                    }
                }
                Ok(Flow::More)
            }
            Access::Range { index, prefix, low, high, descending } => {
                if !usable(index, view, self.tx.snapshot()) {
                    return push_docs(self.tx.scan(table, view)?, tuple, &mut push);
                }
                let env = Env { row: tuple, outer };
                let prefix: Result<Vec<Datum>> = prefix.iter().map(|e| self.eval(e, &env)).collect();
                let prefix = prefix?;
                if prefix.iter().any(|d| self.is_absent(d)) {
                    return Ok(Flow::More);
                }
                let bound = |end: &Option<(Ex, bool)>| -> Result<Option<Bound<Key>>> {
                    let Some((ex, inclusive)) = end else {
                        let all = if prefix.is_empty() { Bound::Unbounded } else { Bound::Included(row_key(&prefix)) };
                        return Ok(Some(all));
                    };
                    let value = self.eval(ex, &env)?;
                    if self.is_absent(&value) {
                        return Ok(None);
                    }
                    let parts = prefix.iter().map(|d| d.as_ref()).chain([value.as_ref()]);
                    let key = Key::of(parts);
                    Ok(Some(if *inclusive { Bound::Included(key) } else { Bound::Excluded(key) }))
                };
                let (Some(low), Some(high)) = (bound(low)?, bound(high)?) else { return Ok(Flow::More) };
                push_docs(self.tx.range(table, index, low, high, *descending, view)?, tuple, &mut push)
            }
        }
    }

    /// The view of a table that is no history; `None`: it is AS OF no time, so there are no rows.
    pub(crate) fn view(&self, view: &ViewPlan, table: Id, env: &Env<'_>) -> Result<Option<View>> {
        Ok(Some(match view {
            ViewPlan::History { .. } => return Err(QueryError::internal("a history has no single view")),
            ViewPlan::Current => View::Current,
            ViewPlan::AsOfTime(at) => match millis(self.eval(at, env)?.as_ref())? {
                Some(ms) => {
                    let at = self.tx.position_at_time(ms)?;
                    // Of a time since the transaction began what it sees is what is current; the past is read unnoted.
                    if at == self.tx.snapshot() && ms >= self.tx.started_ms() {
                        self.tx.note_table_read(table);
                    }
                    View::AsOf(at)
                }
                None => return Ok(None),
            },
            ViewPlan::AsOfBlock(at) => {
                let at = self.eval(at, env)?;
                let Some(block) = at.as_ref().and_then(Value::as_i64).and_then(|b| u64::try_from(b).ok()) else {
                    return Err(QueryError::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        "AS OF BLOCK needs a block number, 0 or more",
                    ));
                };
                View::AsOf(self.tx.position_at_block(block)?)
            }
        }))
    }

    /// The ends of a history in milliseconds, as far as it has some.
    pub(crate) fn interval(
        &self,
        (from, to): (Option<&Ex>, Option<&Ex>),
        env: &Env<'_>,
    ) -> Result<(Option<i64>, Option<i64>)> {
        let time = |ex: Option<&Ex>| match ex {
            Some(ex) => millis(self.eval(ex, env)?.as_ref()),
            None => Ok(None),
        };
        Ok((time(from)?, time(to)?))
    }

    fn history(
        &self,
        source: &TableSource,
        (from, to): (Option<&Ex>, Option<&Ex>),
        tuple: &mut Tuple,
        outer: Option<&Env<'_>>,
        push: &mut dyn FnMut(&mut Tuple, Arc<Doc>) -> Result<Flow>,
    ) -> Result<Flow> {
        let (from, to) = self.interval((from, to), &Env { row: tuple, outer })?;
        let ids = match &source.access {
            Access::Scan => return push_docs(self.tx.history(&source.table, None, from, to)?, tuple, push),
            Access::Ids(ids) => self.document_ids(ids, tuple, outer)?,
            Access::IdList(list) => self.id_list(list, tuple, outer)?,
            Access::Index { index, keys } => {
                let mut ids: Vec<Id> = Vec::new();
                for key in self.index_keys(keys, tuple, outer)? {
                    match self.tx.documents_ever(&source.table, index, &key)? {
                        Some(found) => ids.extend(found),
                        None => return push_docs(self.tx.history(&source.table, None, from, to)?, tuple, push),
                    }
                }
                ids.sort_unstable();
                ids.dedup();
                ids
            }
            // Not chosen for history by the binder.
            Access::Range { .. } => return Err(QueryError::internal("history through an index range")),
        };
        for id in ids {
            let docs = self.tx.history(&source.table, Some(id), from, to)?;
            if push_docs(docs, tuple, push)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::More)
    }

    fn document_ids(&self, ids: &[Ex], tuple: &Tuple, outer: Option<&Env<'_>>) -> Result<Vec<Id>> {
        let env = Env { row: tuple, outer };
        let mut out: Vec<Id> = Vec::with_capacity(ids.len());
        for ex in ids {
            // What is not an id is nobody's id.
            if let Some(id) = self.eval(ex, &env)?.as_ref().and_then(document_id)
                && !out.contains(&id)
            {
                out.push(id);
            }
        }
        Ok(out)
    }

    fn id_list(&self, list: &Ex, tuple: &Tuple, outer: Option<&Env<'_>>) -> Result<Vec<Id>> {
        let items = match self.eval(list, &Env { row: tuple, outer })? {
            Some(Value::List(items) | Value::Sexp(items)) => items,
            _ => return Ok(Vec::new()),
        };
        let mut ids: Vec<Id> = items.iter().filter_map(document_id).collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Every combination of the key parts; a NULL part equals nothing.
    fn index_keys(&self, parts: &[Vec<Ex>], tuple: &Tuple, outer: Option<&Env<'_>>) -> Result<Vec<Key>> {
        let env = Env { row: tuple, outer };
        if let [part] = parts
            && let [only] = part.as_slice()
        {
            let value = self.eval(only, &env)?;
            return Ok(if self.is_absent(&value) { Vec::new() } else { vec![Key::of([value.as_ref()])] });
        }
        let mut rows: Vec<Row> = vec![Vec::new()];
        for part in parts {
            let mut values: Vec<Datum> = Vec::new();
            for ex in part {
                let value = self.eval(ex, &env)?;
                if !self.is_absent(&value) {
                    values.push(value);
                }
            }
            rows = rows
                .iter()
                .flat_map(|row| {
                    values.iter().map(move |v| {
                        let mut longer = row.clone();
                        longer.push(v.clone());
                        longer
                    })
                })
                .collect();
        }
        let mut keys: Vec<Key> = rows.iter().map(|r| row_key(r)).collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    // Joins

    fn hash_join(&self, join: &HashJoin, width: usize, outer: Option<&Env<'_>>, sink: TupleSink<'_>) -> Result<Flow> {
        let share = self.share();
        let mut built: Vec<Vec<Slot>> = Vec::new();
        let mut by_key: HashMap<Key, Vec<usize>> = HashMap::new();
        let full = join.kind == JoinKind::Full;
        self.node(&join.right, width, outer, &mut |tuple| {
            let key = self.join_key(&join.right_keys, tuple, outer)?;
            if key.is_none() && !full {
                return Ok(Flow::More);
            }
            let kept = take(tuple, &join.right_slots);
            share.charge(bytes_of_tuple(&kept))?;
            if let Some(key) = key {
                share.charge(key.len() + 48)?;
                by_key.entry(key).or_default().push(built.len());
            }
            built.push(kept);
            Ok(Flow::More)
        })?;
        let mut matched = vec![false; if full { built.len() } else { 0 }];
        let keeps_left = matches!(join.kind, JoinKind::Left | JoinKind::Full);
        let flow = self.node(&join.left, width, outer, &mut |tuple| {
            let mut any = false;
            if let Some(key) = self.join_key(&join.left_keys, tuple, outer)? {
                for at in by_key.get(&key).map(Vec::as_slice).unwrap_or_default() {
                    self.tick()?;
                    let Some(right) = built.get(*at) else { continue };
                    put(tuple, &join.right_slots, right);
                    if !self.passes(&join.residual, &Env { row: tuple, outer })? {
                        continue;
                    }
                    any = true;
                    if let Some(m) = matched.get_mut(*at) {
                        *m = true;
                    }
                    if sink(tuple)? == Flow::Stop {
                        return Ok(Flow::Stop);
                    }
                }
            }
            if any || !keeps_left {
                return Ok(Flow::More);
            }
            clear(tuple, &join.right_slots);
            sink(tuple)
        })?;
        if flow == Flow::Stop || !full {
            return Ok(flow);
        }
        self.unmatched(&built, &matched, &join.right_slots, width, sink)
    }

    fn loop_join(&self, join: &LoopJoin, width: usize, outer: Option<&Env<'_>>, sink: TupleSink<'_>) -> Result<Flow> {
        let share = self.share();
        let mut built: Vec<Vec<Slot>> = Vec::new();
        self.node(&join.right, width, outer, &mut |tuple| {
            let kept = take(tuple, &join.right_slots);
            share.charge(bytes_of_tuple(&kept))?;
            built.push(kept);
            Ok(Flow::More)
        })?;
        let full = join.kind == JoinKind::Full;
        let mut matched = vec![false; if full { built.len() } else { 0 }];
        let keeps_left = matches!(join.kind, JoinKind::Left | JoinKind::Full);
        let flow = self.node(&join.left, width, outer, &mut |tuple| {
            let mut any = false;
            for (at, right) in built.iter().enumerate() {
                self.tick()?;
                put(tuple, &join.right_slots, right);
                if !self.passes(&join.condition, &Env { row: tuple, outer })? {
                    continue;
                }
                any = true;
                if let Some(m) = matched.get_mut(at) {
                    *m = true;
                }
                if sink(tuple)? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
            if any || !keeps_left {
                return Ok(Flow::More);
            }
            clear(tuple, &join.right_slots);
            sink(tuple)
        })?;
        if flow == Flow::Stop || !full {
            return Ok(flow);
        }
        self.unmatched(&built, &matched, &join.right_slots, width, sink)
    }

    /// FULL JOIN: right rows nobody took.
    fn unmatched(
        &self,
        built: &[Vec<Slot>],
        matched: &[bool],
        slots: &[u32],
        width: usize,
        sink: TupleSink<'_>,
    ) -> Result<Flow> {
        for (right, _) in built.iter().zip(matched).filter(|(_, m)| !**m) {
            let mut tuple: Tuple = vec![Slot::Empty; width];
            put(&mut tuple, slots, right);
            if sink(&mut tuple)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::More)
    }

    /// `None` if a part is NULL: it equals nothing.
    fn join_key(&self, keys: &[Ex], tuple: &Tuple, outer: Option<&Env<'_>>) -> Result<Option<Key>> {
        let env = Env { row: tuple, outer };
        let mut values: Row = Vec::with_capacity(keys.len());
        for key in keys {
            let value = self.eval(key, &env)?;
            if self.is_absent(&value) {
                return Ok(None);
            }
            values.push(value);
        }
        Ok(Some(row_key(&values)))
    }
}

/// Whether an index may answer for this view; before its start only a scan is exact.
fn usable(index: &Index, view: View, snapshot: u64) -> bool {
    match view {
        View::Current => index.from_position <= snapshot,
        View::AsOf(position) => index.covers(position),
    }
}

/// Slots a source writes.
pub(crate) fn slots_of(source: &Source) -> Vec<u32> {
    let range = |first: u32, n: usize| (first..first + n as u32).collect::<Vec<_>>();
    match source {
        Source::Table(t) => vec![t.slot],
        Source::Query { query, first, .. } => range(*first, query.arity),
        Source::Cte { first, arity, .. } => range(*first, *arity),
        Source::Virtual { table, first } => range(*first, table.columns().len()),
        Source::Changes(changes) => range(changes.first, changes.arity),
        Source::Function { calls, first, ordinality } => {
            let mut slots = range(*first, calls.iter().map(|c| c.arity).sum());
            slots.extend(ordinality);
            slots
        }
        Source::Collection { slot, at, .. } | Source::Unpivot { slot, at, .. } => {
            std::iter::once(*slot).chain(*at).collect()
        }
    }
}

fn push_docs(
    docs: Docs,
    tuple: &mut Tuple,
    push: &mut dyn FnMut(&mut Tuple, Arc<Doc>) -> Result<Flow>,
) -> Result<Flow> {
    for doc in docs {
        if push(tuple, doc?)? == Flow::Stop {
            return Ok(Flow::Stop);
        }
    }
    Ok(Flow::More)
}

fn push_rows(rows: impl IntoIterator<Item = Row>, tuple: &mut Tuple, first: u32, sink: TupleSink<'_>) -> Result<Flow> {
    for row in rows {
        place(tuple, first, row);
        if sink(tuple)? == Flow::Stop {
            return Ok(Flow::Stop);
        }
    }
    Ok(Flow::More)
}

fn set(tuple: &mut Tuple, slot: u32, value: Slot) {
    if let Some(place) = tuple.get_mut(slot as usize) {
        *place = value;
    }
}

fn place(tuple: &mut Tuple, first: u32, row: Row) {
    for (i, value) in row.into_iter().enumerate() {
        set(tuple, first + i as u32, Slot::from(value));
    }
}

fn take(tuple: &Tuple, slots: &[u32]) -> Vec<Slot> {
    slots.iter().map(|s| tuple.get(*s as usize).cloned().unwrap_or_default()).collect()
}

fn put(tuple: &mut Tuple, slots: &[u32], values: &[Slot]) {
    for (slot, value) in slots.iter().zip(values) {
        set(tuple, *slot, value.clone());
    }
}

fn clear(tuple: &mut Tuple, slots: &[u32]) {
    for slot in slots {
        set(tuple, *slot, Slot::Empty);
    }
}

pub(super) fn document_id(value: &Value) -> Option<Id> {
    value.unannotated().as_text()?.parse().ok()
}

/// Milliseconds of a timestamp value; the interval functions of QLDB take nothing else.
fn millis(value: Option<&Value>) -> Result<Option<i64>> {
    match value {
        None | Some(Value::Null(_)) => Ok(None),
        Some(Value::Timestamp(t)) => Ok(Some(millis_of(t))),
        Some(other) => Err(QueryError::new(
            SqlState::DATATYPE_MISMATCH,
            format!("a timestamp is needed, not {}", crate::value::ion_type_name(other)),
        )),
    }
}

fn millis_of(t: &Timestamp) -> i64 {
    datetime::to_micros(t).div_euclid(1000)
}
