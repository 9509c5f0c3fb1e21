//! The row index on disk held against the plain one in memory: random histories with indexes made, filled and dropped,
//! redactions, snapshots old and new, failing disks and crashes, and the index opened again at any state of its files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;
use ledgerstone_journal::Env;
use ledgerstone_journal::env::sim::Sim;
use ledgerstone_journal::env::{EntryKind, OpenMode, SeededRng, read_exact_at};
use ledgerstone_query::index::disk::{INDEX_DIR, IndexOptions};
use ledgerstone_query::index::{Before, DiskRows, Key, KeyRange, MemoryRows, NewRow, Rows};

const DIR: &str = "/ledger";
const LEDGER: Id = Id([9; 16]);

fn table(n: u64) -> Id {
    Id([1 + n as u8; 16])
}

/// What happened, as a journal would give it again.
#[derive(Debug, Clone)]
enum Event {
    Row { table: Id, id: Id, position: u64, supersedes: Option<u64>, deleted: bool, facts: [i64; 2] },
    MakeIndex { table: Id, index: Id, complete: bool },
    DropIndex { table: Id, index: Id },
    Redact { table: Id, id: Id, position: u64 },
    Token { token: String, block: u64 },
}

struct History {
    rng: SeededRng,
    sim: Option<Sim>,
    env: Env,
    options: IndexOptions,
    memory: MemoryRows,
    disk: DiskRows,
    /// By the end of the block they are in.
    events: Vec<(u64, Event)>,
    position: u64,
    /// The newest revision of each document: (position, deleted, facts).
    newest: BTreeMap<(Id, Id), (u64, bool, [i64; 2])>,
    facts: BTreeMap<u64, [i64; 2]>,
    positions: BTreeMap<(Id, Id), Vec<u64>>,
    redacted: BTreeSet<u64>,
    /// Index → table, where it covers from, and whether it has been filled.
    indexes: BTreeMap<Id, (Id, u64, bool)>,
    ids: u64,
}

fn leaf() -> Arc<dyn Fn(u64) -> Result<Hash, String> + Send + Sync> {
    Arc::new(|position| Ok(Hash::sha256(&[&position.to_be_bytes()])))
}

fn key_of(index: Id, facts: [i64; 2]) -> Key {
    let (number, text) = (Value::int(facts[0]), Value::string(format!("t{}", facts[1])));
    // Indexes of one value and of two.
    if index.0[1].is_multiple_of(2) { Key::one(&number) } else { Key::of([Some(&text), Some(&number)]) }
}

impl History {
    fn new(seed: u64) -> History {
        let rng = SeededRng::new(seed);
        let sim = rng.one_in(2).then(|| Sim::new(seed));
        let env = sim.as_ref().map_or_else(|| Env::memory(seed), Sim::env);
        env.storage.create_dir_all(Path::new(DIR)).unwrap();
        env.storage.sync_dir(Path::new("/")).unwrap();
        let options = IndexOptions {
            delta_revisions_max: 1 + rng.below(30) as usize,
            delta_bytes_max: 1 << 20,
            merge_runs: 2 + rng.below(3) as usize,
            cache_bytes_max: 40 << 10,
        };
        let (disk, dropped) = DiskRows::open(&env, Path::new(DIR), LEDGER, 1, options, leaf());
        assert_eq!(dropped, None);
        History {
            rng,
            sim,
            env,
            options,
            memory: MemoryRows::new(),
            disk,
            events: Vec::new(),
            position: 1,
            newest: BTreeMap::new(),
            facts: BTreeMap::new(),
            positions: BTreeMap::new(),
            redacted: BTreeSet::new(),
            indexes: BTreeMap::new(),
            ids: 0,
        }
    }

    fn keys(&self, table: Id, position: u64, only: &dyn Fn(Id) -> bool) -> Vec<(Id, Key)> {
        let facts = self.facts[&position];
        let of_table = self.indexes.iter().filter(|(index, (t, ..))| *t == table && only(**index));
        of_table.map(|(index, _)| (*index, key_of(*index, facts))).collect()
    }

    /// A block of one to four revisions, and perhaps something else.
    fn block(&mut self) {
        let mut events = Vec::new();
        let mut seen = BTreeSet::new();
        for _ in 0..=self.rng.below(4) {
            let of_table = table(self.rng.below(2));
            let documents: Vec<Id> = self
                .newest
                .iter()
                .filter(|((t, _), (_, deleted, _))| *t == of_table && !deleted)
                .map(|((_, i), _)| *i)
                .collect();
            let facts = [self.rng.below(5) as i64, self.rng.below(3) as i64];
            let new = documents.len() < 3 || self.rng.one_in(4);
            let id = if new {
                self.ids += 1;
                // Some ids do not ascend, and some are as high as can be.
                let high = if self.rng.one_in(5) { self.rng.below(1 << 30) << 33 | 0xff << 56 } else { 0 };
                Id((u128::from(high) << 64 | u128::from(self.ids)).to_be_bytes())
            } else {
                documents[self.rng.below(documents.len() as u64) as usize]
            };
            if !seen.insert((of_table, id)) {
                continue;
            }
            let before = self.newest.get(&(of_table, id)).copied();
            let deleted = before.is_some() && self.rng.one_in(8);
            let facts = before.filter(|_| self.rng.one_in(2)).map_or(facts, |(.., same)| same);
            let position = self.position;
            self.position += 1;
            self.newest.insert((of_table, id), (position, deleted, facts));
            self.facts.insert(position, facts);
            self.positions.entry((of_table, id)).or_default().push(position);
            let supersedes = before.map(|(at, ..)| at);
            events.push(Event::Row { table: of_table, id, position, supersedes, deleted, facts });
        }
        self.position += 1;
        if self.rng.one_in(3) {
            events.push(Event::Token { token: format!("token {}", self.rng.below(1000)), block: self.position });
        }
        for event in events {
            self.happen(event);
        }
        self.end_block();
    }

    fn end_block(&mut self) {
        self.disk.taken_in(self.position);
        if self.disk.is_full() {
            self.disk.freeze(b"notes".to_vec());
        }
    }

    fn happen(&mut self, event: Event) {
        match &event {
            Event::Row { table, id, position, supersedes, deleted, facts } => {
                let keys = if *deleted { Vec::new() } else { self.keys(*table, *position, &|_| true) };
                let old = supersedes.map(|at| self.keys(*table, at, &|_| true)).unwrap_or_default();
                let row = |before| NewRow {
                    table: *table,
                    id: *id,
                    position: *position,
                    deleted: *deleted,
                    keys: &keys,
                    before,
                };
                self.memory.add(&row(Before::Nothing)).unwrap();
                let changed: Vec<_> = old
                    .iter()
                    .filter(|(index, old)| *deleted || key_of(*index, *facts) != *old)
                    .map(|(index, old)| (*index, Some(old)))
                    .collect();
                let before = if supersedes.is_some() { Before::Other(changed) } else { Before::Nothing };
                self.disk.add(&row(before)).unwrap();
            }
            Event::MakeIndex { table, index, complete } => {
                self.memory.add_index(*table, *index, *complete);
                self.disk.add_index(*table, *index, *complete);
                let from = if *complete { 0 } else { self.position };
                self.indexes.insert(*index, (*table, from, *complete));
            }
            Event::DropIndex { table, index } => {
                self.memory.drop_index(*table, *index);
                self.disk.drop_index(*table, *index);
                self.indexes.remove(index);
            }
            Event::Redact { table, id, position } => {
                let keys = self.keys(*table, *position, &|_| true);
                let known = self.rng.one_in(2).then_some(&keys[..]);
                self.memory.forget_keys(*table, *id, *position, None).unwrap();
                self.disk.forget_keys(*table, *id, *position, known).unwrap();
                self.redacted.insert(*position);
            }
            Event::Token { token, block } => {
                self.memory.add_token(token, *block);
                self.disk.add_token(token, *block);
            }
        }
        self.events.push((self.position, event));
    }

    fn definition(&mut self) {
        self.position += 2;
        let live: Vec<Id> = self.indexes.keys().copied().collect();
        if live.len() > 3 || (!live.is_empty() && self.rng.one_in(3)) {
            let index = live[self.rng.below(live.len() as u64) as usize];
            let (table, ..) = self.indexes[&index];
            self.happen(Event::DropIndex { table, index });
        } else {
            self.ids += 1;
            let index = Id([7, self.ids as u8, (self.ids >> 8) as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
            let table = table(self.rng.below(2));
            let empty = !self.newest.keys().any(|(t, _)| *t == table);
            self.happen(Event::MakeIndex { table, index, complete: empty });
        }
        self.end_block();
    }

    /// Fills an index that has been made on a table with documents.
    fn fill(&mut self) {
        let Some((index, (table, from, _))) =
            self.indexes.iter().find(|(_, (.., filled))| !filled).map(|(i, f)| (*i, *f))
        else {
            return;
        };
        for id in self.memory.all_documents(table, None, usize::MAX).unwrap() {
            let positions = self.memory.revisions(table, id, from).unwrap();
            let Some(position) = positions.last().copied().filter(|p| !self.is_deletion(*p)) else { continue };
            if self.redacted.contains(&position) {
                continue;
            }
            let key = key_of(index, self.facts[&position]);
            let one = self.memory.backfill(table, index, id, from, position, &key).unwrap();
            let other = self.disk.backfill(table, index, id, from, position, &key).unwrap();
            // Which of several others is told does not matter.
            assert_eq!(one.is_some(), other.is_some());
        }
        self.disk.set_complete(index);
        self.indexes.insert(index, (table, from, true));
    }

    fn is_deletion(&self, position: u64) -> bool {
        self.events.iter().any(|(_, e)| matches!(e, Event::Row { position: p, deleted: true, .. } if *p == position))
    }

    fn redact(&mut self) {
        let candidates: Vec<(Id, Id, u64)> = self
            .positions
            .iter()
            .flat_map(|((table, id), at)| at.iter().rev().skip(1).map(|at| (*table, *id, *at)))
            .filter(|(_, _, at)| !self.redacted.contains(at))
            .collect();
        if candidates.is_empty() {
            return;
        }
        let (table, id, position) = candidates[self.rng.below(candidates.len() as u64) as usize];
        self.position += 2;
        self.happen(Event::Redact { table, id, position });
        self.end_block();
        if self.rng.one_in(2) {
            let _ = self.disk.purge(&|| self.disk.freeze(Vec::new()));
        }
    }

    /// Opens the index again, whatever its files are like, and replays what they do not know.
    fn reopen(&mut self) {
        match &self.sim {
            Some(sim) => {
                if self.rng.one_in(2) {
                    sim.disk.crash();
                } else {
                    sim.disk.set_room(None);
                }
            }
            None if self.rng.one_in(4) => drop(self.damage()),
            None => {}
        }
        let (disk, _) = DiskRows::open(&self.env, Path::new(DIR), LEDGER, self.position, self.options, leaf());
        self.disk = disk;
        let from = self.disk.position();
        for (end, event) in self.events.clone() {
            if end <= from {
                continue;
            }
            match &event {
                Event::Row { table, id, position, supersedes, deleted, .. } => {
                    // What the definitions up to here said.
                    let known = |index: Id| self.known_at(index, end);
                    // Data that has been redacted since is not there any more.
                    let gone = *deleted || self.redacted.contains(position);
                    let keys = if gone { Vec::new() } else { self.all_keys(*table, *position, &known) };
                    let ask = || {
                        let before = supersedes.filter(|at| !self.redacted.contains(at));
                        Ok(before.map(|at| self.all_keys(*table, at, &known)))
                    };
                    let before = if supersedes.is_some() { Before::Ask(&ask) } else { Before::Nothing };
                    let row =
                        NewRow { table: *table, id: *id, position: *position, deleted: *deleted, keys: &keys, before };
                    self.disk.add(&row).unwrap();
                }
                Event::MakeIndex { table, index, complete } => self.disk.add_index(*table, *index, *complete),
                Event::DropIndex { table, index } => self.disk.drop_index(*table, *index),
                Event::Redact { table, id, position } => self.disk.forget_keys(*table, *id, *position, None).unwrap(),
                Event::Token { token, block } => self.disk.add_token(token, *block),
            }
            self.disk.taken_in(end);
        }
        for (index, (table, from, filled)) in self.indexes.clone() {
            if filled && !self.disk.is_complete(index) {
                for id in self.disk.all_documents(table, None, usize::MAX).unwrap() {
                    let positions = self.disk.revisions(table, id, from).unwrap();
                    let Some(position) = positions.last().copied().filter(|p| !self.is_deletion(*p)) else { continue };
                    if !self.redacted.contains(&position) {
                        let key = key_of(index, self.facts[&position]);
                        self.disk.backfill(table, index, id, from, position, &key).unwrap();
                    }
                }
                self.disk.set_complete(index);
            }
        }
    }

    fn known_at(&self, index: Id, end: u64) -> bool {
        let made =
            self.events.iter().any(|(e, v)| *e <= end && matches!(v, Event::MakeIndex { index: i, .. } if *i == index));
        made && !self
            .events
            .iter()
            .any(|(e, v)| *e <= end && matches!(v, Event::DropIndex { index: i, .. } if *i == index))
    }

    /// Keys in all indexes that there have ever been and that are `known`.
    fn all_keys(&self, table: Id, position: u64, known: &dyn Fn(Id) -> bool) -> Vec<(Id, Key)> {
        let made = self.events.iter().filter_map(|(_, event)| match event {
            Event::MakeIndex { table: t, index, .. } if *t == table => Some(*index),
            _ => None,
        });
        made.filter(|index| known(*index)).map(|index| (index, key_of(index, self.facts[&position]))).collect()
    }

    /// Changes a byte of a file of the index.
    fn damage(&self) -> Option<()> {
        let dir = Path::new(DIR).join(INDEX_DIR);
        let files = self.env.storage.read_dir(&dir).ok()?;
        let file = files.get(self.rng.below(files.len() as u64) as usize).filter(|f| f.kind == EntryKind::File)?;
        let file = self.env.storage.open(&dir.join(&file.name), OpenMode::Write).ok()?;
        // At the end, so that opening finds it: blocks are found out when they are read.
        let at = file.len().ok()?.checked_sub(1 + self.rng.below(30))?;
        let mut byte = [0];
        read_exact_at(&*file, &mut byte, at).ok()?;
        file.write_at(&[byte[0] ^ 1], at).ok()?;
        Some(())
    }

    fn compare(&self, context: &str) {
        let at = if self.rng.one_in(3) { self.position } else { self.rng.below(self.position + 1) };
        let context = format!("{context}, at {at} of {}", self.position);
        for n in 0..2 {
            let table = table(n);
            assert_eq!(self.memory.count(table), self.disk.count(table), "count {context}");
            let all = self.memory.all_documents(table, None, usize::MAX).unwrap();
            let after = all.get(self.rng.below(all.len() as u64 + 1) as usize).copied();
            let few = self.rng.below(7) as usize;
            assert_eq!(
                self.memory.all_documents(table, after, few),
                self.disk.all_documents(table, after, few),
                "{context}"
            );
            for count in [few, 1000] {
                let expected = self.memory.documents(table, after, at, count);
                assert_eq!(
                    self.disk.documents(table, after, at, count),
                    expected,
                    "documents after {after:?} {context}"
                );
            }
            for id in all.iter().chain([&Id([0x55; 16])]).filter(|_| self.rng.one_in(4)) {
                assert_eq!(self.memory.document(table, *id, at), self.disk.document(table, *id, at), "{context}");
                assert_eq!(self.memory.revisions(table, *id, at), self.disk.revisions(table, *id, at), "{context}");
            }
        }
        for (index, (table, from, filled)) in &self.indexes {
            let at = at.max(*from);
            if *filled {
                self.compare_index(*table, *index, at, &context);
            }
        }
        for n in 0..20 {
            let token = format!("token {}", n * 50);
            assert_eq!(self.memory.token(&token), self.disk.token(&token), "{token} {context}");
        }
    }

    fn compare_index(&self, table: Id, index: Id, at: u64, context: &str) {
        let facts = |rng: &SeededRng| [rng.below(6) as i64 - 1, rng.below(4) as i64];
        for _ in 0..2 {
            let key = key_of(index, facts(&self.rng));
            // Both values of a key, or the first.
            let part = Key::one(&Value::string(format!("t{}", self.rng.below(4))));
            for key in [&key, &part] {
                let expected = self.memory.lookup(table, index, key, at);
                assert_eq!(self.disk.lookup(table, index, key, at), expected, "lookup {key:?} {context}");
                let first = expected.map(|found| found.first().map(|found| (found.id, found.position)));
                assert_eq!(self.disk.only(table, index, key, at), first, "only {key:?} {context}");
                let expected = self.memory.ever(table, index, key, at);
                assert_eq!(self.disk.ever(table, index, key, at), expected, "ever {key:?} {context}");
            }
            let holders = self.memory.holders(table, index, &key).unwrap();
            assert_eq!(self.disk.holders(table, index, &key).unwrap(), holders, "holders {key:?} {context}");
        }
        let (a, b) = (key_of(index, facts(&self.rng)), key_of(index, facts(&self.rng)));
        let high = (!self.rng.one_in(4)).then(|| a.clone().max(b.clone()));
        let mut range = KeyRange { low: a.min(b), high, descending: self.rng.one_in(2), after: None };
        let batch = 1 + self.rng.below(5) as usize;
        loop {
            let expected = self.memory.range(table, index, &range, at, batch).unwrap();
            let found = self.disk.range(table, index, &range, at, batch).unwrap();
            assert_eq!(found, expected, "{range:?} by {batch} {context}");
            let Some(last) = found.last() else { break };
            range.after = Some((last.key.clone(), last.id));
        }
    }

    fn step(&mut self) {
        match self.rng.below(40) {
            0 | 1 => self.definition(),
            2..5 => self.fill(),
            5 | 6 => self.redact(),
            7 => self.reopen(),
            8 => self.disk.freeze(Vec::new()),
            9 => drop(self.disk.tend(&|| self.rng.one_in(2))),
            10 => {
                if let Some(sim) = &self.sim {
                    match self.rng.below(3) {
                        0 => sim.disk.stop_after(self.rng.below(40)),
                        _ => sim.disk.set_room(Some(self.rng.below(30_000))),
                    }
                }
            }
            _ => self.block(),
        }
    }
}

fn seeds() -> std::ops::Range<u64> {
    match std::env::var("LEDGERSTONE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None if std::env::var_os("LEDGERSTONE_TEST_LONG").is_some() => 0..3000,
        None => 0..80,
    }
}

#[test]
fn the_index_on_disk_answers_as_the_one_in_memory() {
    for seed in seeds() {
        println!("LEDGERSTONE_SEED={seed}");
        let mut history = History::new(seed);
        for step in 0..200 {
            history.step();
            if step % 5 == 0 {
                history.compare(&format!("seed {seed} step {step}"));
            }
        }
        history.reopen();
        history.compare(&format!("seed {seed} at the end"));
    }
}
