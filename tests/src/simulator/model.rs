//! The ledger as plainly as it can be said: what every table holds behind every block, and every revision there ever was.
//!
//! A transaction is evaluated on a copy of a state ([`Work`]); what it comes to is applied when its block is published,
//! on the state of the block before. So every answer can be held against the model twice: on the snapshot it was given
//! from, and, for what commits, in the order of the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::statement::{Change, Filter, Shape, Statement, View};

/// Lines of cells parted by `|`, then the command tag; or the code of an error.
pub type Answer = Result<Vec<String>, String>;

/// `k`, `n` and `s`.
pub type Fields = (i64, i64, Arc<str>);

/// Documents that a transaction makes before its block is known.
const PENDING: u64 = 1 << 40;

/// Everything that happened.
#[derive(Debug, Default)]
pub struct Model {
    /// The end of each block, ascending from the genesis, and what was so then.
    states: Vec<(u64, State)>,
    pub blocks: Vec<Block>,
    /// In the order of the journal.
    pub revisions: Vec<Revision>,
    next_table: u64,
    next_document: u64,
}

#[derive(Debug, Clone)]
pub struct Block {
    /// The snapshot behind it.
    pub end: u64,
    pub time_ms: i64,
}

#[derive(Debug, Clone, Default)]
pub struct State {
    pub tables: BTreeMap<Arc<str>, Arc<Table>>,
}

#[derive(Debug, Clone, Default)]
pub struct Table {
    pub id: u64,
    pub rows: BTreeMap<i64, Row>,
    pub unique: bool,
    pub indexes: BTreeSet<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub n: i64,
    pub s: Arc<str>,
    pub document: u64,
    pub version: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    pub table: u64,
    pub document: u64,
    pub version: u64,
    pub block: u64,
    /// `None`: the document was deleted.
    pub data: Option<Fields>,
    /// The block that says so.
    pub redacted: Option<u64>,
}

/// A transaction under way: a snapshot with its own changes.
#[derive(Debug, Clone)]
pub struct Work {
    pub snapshot: u64,
    base: State,
    pub state: State,
    touched: BTreeSet<(u64, u64)>,
    next: u64,
    pub defines: bool,
}

/// What a transaction comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// table, document, version, data; the order of a transaction's revisions is the ledger's own affair.
    pub revisions: Vec<(u64, u64, u64, Option<Fields>)>,
    pub defines: bool,
}

impl Effect {
    pub fn is_nothing(&self) -> bool {
        self.revisions.is_empty() && !self.defines
    }
}

impl Model {
    pub fn new() -> Model {
        Model { states: vec![(1, State::default())], ..Model::default() }
    }

    /// The snapshot of the newest block.
    pub fn end(&self) -> u64 {
        self.states.last().map_or(1, |(end, _)| *end)
    }

    pub fn newest(&self) -> &State {
        self.state_at(u64::MAX)
    }

    /// What is so at a snapshot.
    pub fn state_at(&self, snapshot: u64) -> &State {
        let after = self.states.partition_point(|(end, _)| *end <= snapshot);
        &self.states[after.saturating_sub(1)].1
    }

    /// The snapshots of blocks between two, both included.
    pub fn snapshots(&self, from: u64, to: u64) -> impl Iterator<Item = u64> + '_ {
        let first = self.states.partition_point(|(end, _)| *end <= from).saturating_sub(1);
        self.states[first..].iter().map(|(end, _)| *end).take_while(move |end| *end <= to)
    }

    /// The snapshot behind the last block at or before a time.
    pub fn snapshot_at_time(&self, time_ms: i64) -> u64 {
        let after = self.blocks.partition_point(|block| block.time_ms <= time_ms);
        after.checked_sub(1).map_or(1, |at| self.blocks[at].end)
    }

    pub fn begin(&self, snapshot: u64) -> Work {
        let base = self.state_at(snapshot).clone();
        Work { snapshot, state: base.clone(), base, touched: BTreeSet::new(), next: PENDING, defines: false }
    }

    /// What a statement answers inside a transaction, and what it does there. An error changes nothing.
    pub fn evaluate(&self, work: &mut Work, statement: &Statement) -> Answer {
        let before = (work.state.clone(), work.touched.clone());
        let answer = self.answer(work, statement);
        if answer.is_err() {
            (work.state, work.touched) = before;
        }
        answer
    }

    /// Adds a block: what the transaction comes to, and what is so from now on. Documents and tables get their lasting
    /// numbers.
    pub fn publish(&mut self, work: Work, end: u64, time_ms: i64) {
        let block = self.blocks.len() as u64;
        self.blocks.push(Block { end, time_ms });
        let mut state = work.state.clone();
        let mut lasting = BTreeMap::new();
        let mut number = |pending: u64, next: &mut u64| {
            if pending < PENDING {
                return pending;
            }
            *lasting.entry(pending).or_insert_with(|| {
                *next += 1;
                *next
            })
        };
        for table in state.tables.values_mut() {
            let fresh = table.id >= PENDING || table.rows.values().any(|row| row.document >= PENDING);
            if fresh {
                let table = Arc::make_mut(table);
                table.id = number(table.id, &mut self.next_table);
                for row in table.rows.values_mut() {
                    row.document = number(row.document, &mut self.next_document);
                }
            }
        }
        for (table, document, version, data) in work.effect().revisions {
            let (table, document) = (number(table, &mut self.next_table), number(document, &mut self.next_document));
            if let Some((k, ..)) = &data
                && let Some(table) = state.tables.values_mut().find(|t| t.id == table)
                && let Some(row) = Arc::make_mut(table).rows.get_mut(k)
            {
                row.version = version;
            }
            self.revisions.push(Revision { table, document, version, block, data, redacted: None });
        }
        self.states.push((end, state));
    }

    /// Forgets every block behind this snapshot: the ledger has lost them, and was allowed to.
    pub fn cut(&mut self, snapshot: u64) {
        self.states.retain(|(end, _)| *end <= snapshot);
        self.blocks.retain(|block| block.end <= snapshot);
        let blocks = self.blocks.len() as u64;
        self.revisions.retain(|revision| revision.block < blocks);
        for revision in &mut self.revisions {
            revision.redacted = revision.redacted.filter(|block| *block < blocks);
        }
    }

    fn answer(&self, work: &mut Work, statement: &Statement) -> Answer {
        match statement {
            Statement::Select { table, filter, view, shape } => {
                let table = work.table(table)?.clone();
                let rows = match self.snapshot_of(*view, work.snapshot) {
                    None => selected(&table, filter),
                    Some(snapshot) => self.selected_at(snapshot, &table, filter),
                };
                Ok(shown(rows, *shape))
            }
            Statement::History { table } => {
                let id = work.table(table)?.id;
                Ok(self.history(id, work.snapshot))
            }
            Statement::Insert { table, rows } => work.insert(table, rows),
            Statement::Update { table, filter, change } => work.update(table, filter, change),
            Statement::Delete { table, filter } => work.delete(table, filter),
            Statement::CreateTable { table, unique } => work.create_table(table, *unique),
            Statement::DropTable { table } => work.drop_table(table),
            Statement::CreateIndex { index, table } => work.create_index(index, table),
            Statement::DropIndex { index } => work.drop_index(index),
            // What it answers is the ledger's ids; the world compares it.
            Statement::Redact { .. } => {
                work.defines = true;
                Ok(Vec::new())
            }
        }
    }

    /// The past that a statement asks for; `None`: what the transaction sees.
    fn snapshot_of(&self, view: View, snapshot: u64) -> Option<u64> {
        match view {
            View::Current => None,
            View::Block(block) => self.blocks.get(block as usize).map(|block| block.end.min(snapshot)),
            View::Time(ms) => Some(self.snapshot_at_time(ms).min(snapshot)),
        }
    }

    /// The rows of a table in the past. A redacted revision has no columns any more, so it meets no condition.
    fn selected_at(&self, snapshot: u64, table: &Table, filter: &Filter) -> Vec<Option<(i64, Row)>> {
        let then = self.state_at(snapshot).tables.values().find(|then| then.id == table.id);
        let Some(then) = then else { return Vec::new() };
        let mut rows = Vec::new();
        for (k, row) in then.rows.iter() {
            match self.is_redacted(table.id, row) {
                true if *filter == Filter::All => rows.push(None),
                false if filter.takes(*k, row) => rows.push(Some((*k, row.clone()))),
                _ => {}
            }
        }
        // Nothing comes last in order.
        rows.sort_by_key(|row| row.as_ref().map_or(i64::MAX, |(k, _)| *k));
        rows
    }

    fn is_redacted(&self, table: u64, row: &Row) -> bool {
        self.revisions
            .iter()
            .any(|r| r.redacted.is_some() && r.table == table && r.document == row.document && r.version == row.version)
    }

    fn history(&self, table: u64, snapshot: u64) -> Vec<String> {
        let blocks = self.blocks.partition_point(|block| block.end <= snapshot) as u64;
        let revisions = self.revisions.iter().filter(|r| r.table == table && r.block < blocks);
        let mut lines: Vec<String> = revisions
            .map(|r| {
                let cells = match (&r.data, r.redacted) {
                    (Some((k, n, s)), None) => format!("{k}|{n}|{s}"),
                    _ => "null|null|null".to_owned(),
                };
                let deleted = if r.data.is_none() { "t" } else { "f" };
                format!("{cells}|{}|{}|{deleted}", r.version, r.block)
            })
            .collect();
        lines.push(format!("SELECT {}", lines.len()));
        lines
    }
}

impl Work {
    /// What it comes to so far.
    pub fn effect(&self) -> Effect {
        let find = |state: &State, (table, document): (u64, u64)| {
            let table = state.tables.values().find(|t| t.id == table)?;
            let (k, row) = table.rows.iter().find(|(_, row)| row.document == document)?;
            Some((row.version, (*k, row.n, Arc::clone(&row.s))))
        };
        let mut effect = Effect { revisions: Vec::new(), defines: self.defines };
        for touched in &self.touched {
            let (before, after) = (find(&self.base, *touched), find(&self.state, *touched));
            let version = before.as_ref().map_or(0, |(version, _)| version + 1);
            let data = after.map(|(_, data)| data);
            if before.is_some() || data.is_some() {
                effect.revisions.push((touched.0, touched.1, version, data));
            }
        }
        effect
    }

    fn table(&self, name: &Arc<str>) -> Result<&Arc<Table>, String> {
        self.state.tables.get(name).ok_or_else(|| "42P01".to_owned())
    }

    fn change<T>(
        &mut self,
        name: &Arc<str>,
        change: impl FnOnce(&mut Table, &mut BTreeSet<(u64, u64)>) -> Result<T, String>,
    ) -> Result<T, String> {
        let table = self.state.tables.get_mut(name).ok_or_else(|| "42P01".to_owned())?;
        let table = Arc::make_mut(table);
        let changed = change(table, &mut self.touched)?;
        table.check()?;
        Ok(changed)
    }

    fn insert(&mut self, name: &Arc<str>, rows: &[(i64, i64, Arc<str>)]) -> Answer {
        let first = self.next;
        self.next += rows.len() as u64;
        self.change(name, |table, touched| {
            for (at, (k, n, s)) in rows.iter().enumerate() {
                let document = first + at as u64;
                let row = Row { n: *n, s: Arc::clone(s), document, version: 0 };
                if table.rows.insert(*k, row).is_some() {
                    return Err("23505".to_owned());
                }
                touched.insert((table.id, document));
            }
            Ok(vec![format!("INSERT 0 {}", rows.len())])
        })
    }

    fn update(&mut self, name: &Arc<str>, filter: &Filter, change: &Change) -> Answer {
        self.change(name, |table, touched| {
            let keys: Vec<i64> = table.rows.iter().filter(|(k, r)| filter.takes(**k, r)).map(|(k, _)| *k).collect();
            for k in &keys {
                let Some(mut row) = table.rows.remove(k) else { continue };
                let mut key = *k;
                match change {
                    Change::SetNumber(n) => row.n = *n,
                    Change::AddNumber(n) => row.n += n,
                    Change::SetText(s) => row.s = Arc::clone(s),
                    Change::Append(s) => row.s = format!("{}{s}", row.s).into(),
                    Change::SetKey(new) => key = *new,
                }
                touched.insert((table.id, row.document));
                if table.rows.insert(key, row).is_some() {
                    return Err("23505".to_owned());
                }
            }
            Ok(vec![format!("UPDATE {}", keys.len())])
        })
    }

    fn delete(&mut self, name: &Arc<str>, filter: &Filter) -> Answer {
        self.change(name, |table, touched| {
            let before = table.rows.len();
            let id = table.id;
            table.rows.retain(|k, row| {
                let takes = filter.takes(*k, row);
                if takes {
                    touched.insert((id, row.document));
                }
                !takes
            });
            Ok(vec![format!("DELETE {}", before - table.rows.len())])
        })
    }

    fn create_table(&mut self, name: &Arc<str>, unique: bool) -> Answer {
        if self.state.tables.contains_key(name) {
            return Err("42P07".to_owned());
        }
        self.next += 1;
        let table = Table { id: self.next, unique, ..Table::default() };
        self.state.tables.insert(Arc::clone(name), Arc::new(table));
        self.defines = true;
        Ok(vec!["CREATE TABLE".to_owned()])
    }

    fn drop_table(&mut self, name: &Arc<str>) -> Answer {
        self.state.tables.remove(name).ok_or_else(|| "42P01".to_owned())?;
        self.defines = true;
        Ok(vec!["DROP TABLE".to_owned()])
    }

    fn create_index(&mut self, index: &Arc<str>, name: &Arc<str>) -> Answer {
        self.table(name)?;
        if self.state.tables.values().any(|table| table.indexes.contains(index)) {
            return Err("42P07".to_owned());
        }
        let table = self.state.tables.get_mut(name).ok_or_else(|| "42P01".to_owned())?;
        Arc::make_mut(table).indexes.insert(Arc::clone(index));
        self.defines = true;
        Ok(vec!["CREATE INDEX".to_owned()])
    }

    fn drop_index(&mut self, index: &Arc<str>) -> Answer {
        let found = self.state.tables.values_mut().find(|table| table.indexes.contains(index));
        let table = found.ok_or_else(|| "42704".to_owned())?;
        Arc::make_mut(table).indexes.remove(index);
        self.defines = true;
        Ok(vec!["DROP INDEX".to_owned()])
    }
}

impl Table {
    /// Every unique text is there once.
    fn check(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        match self.unique && !self.rows.values().all(|row| seen.insert(&row.s)) {
            true => Err("23505".to_owned()),
            false => Ok(()),
        }
    }
}

impl Filter {
    pub fn takes(&self, k: i64, row: &Row) -> bool {
        match self {
            Filter::All => true,
            Filter::Key { k: wanted, .. } => k == *wanted,
            Filter::Number { n, .. } => row.n == *n,
            Filter::Numbers { low, high, .. } => (*low..=*high).contains(&row.n),
            Filter::Text { s, .. } => row.s == *s,
        }
    }
}

fn selected(table: &Table, filter: &Filter) -> Vec<Option<(i64, Row)>> {
    let taken = table.rows.iter().filter(|(k, row)| filter.takes(**k, row));
    taken.map(|(k, row)| Some((*k, row.clone()))).collect()
}

fn shown(rows: Vec<Option<(i64, Row)>>, shape: Shape) -> Vec<String> {
    match shape {
        Shape::Rows => {
            let mut lines: Vec<String> = rows
                .iter()
                .map(|row| match row {
                    Some((k, row)) => format!("{k}|{}|{}", row.n, row.s),
                    None => "null|null|null".to_owned(),
                })
                .collect();
            lines.push(format!("SELECT {}", lines.len()));
            lines
        }
        Shape::Sum => {
            let sum: i64 = rows.iter().flatten().map(|(_, row)| row.n).sum();
            vec![format!("{}|{sum}", rows.len()), "SELECT 1".to_owned()]
        }
    }
}
