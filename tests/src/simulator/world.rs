//! One run: a machine made of a seed, a ledger on its disk, clients, and the model that every answer is held against.
//!
//! The world takes one step after another in one thread: a client asks or goes on, the sequencer or the writer takes a
//! step, something breaks. Whatever is published is taken into the model at once (`settle`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledgerstone_digest::Id;
use ledgerstone_digest::note::SigningKey;
use ledgerstone_journal::env::SeededRng;
use ledgerstone_journal::env::sim::Sim;
use ledgerstone_journal::keyring::{KeyRing, StoredKeys};
use ledgerstone_journal::{Env, Keys, Step};
use ledgerstone_query::database::{Database, DatabaseOptions};
use ledgerstone_query::error::QueryError;
use ledgerstone_query::index::disk::IndexOptions;

use super::client::{Client, Submitted};
use super::columns::Kept;
use super::coverage::Coverage;
use super::faults::Trouble;
use super::history::History;
use super::model::Model;
use super::promises::Promises;

/// How often the machine or the process ends in one run.
const LIVES: u64 = 6;
/// Clients at a time.
const CLIENTS: u64 = 4;
/// Origins begin with it.
const PREFIX: &str = "ledger.example";

/// Everything about one run.
pub struct World {
    pub sim: Sim,
    pub env: Env,
    /// Decides what happens; the disk and the ledger have random numbers of their own.
    pub rng: SeededRng,
    pub database: Option<Arc<Database>>,
    pub clients: Vec<Client>,
    pub model: Model,
    /// By user: what was submitted and never answered, so that it may be there after the next start.
    pub lost: BTreeMap<String, Submitted>,
    /// Statements with a token whose outcome the client does not know: asked again.
    pub retries: Vec<(Submitted, Option<(u64, u64)>)>,
    pub trouble: Trouble,
    pub promises: Promises,
    /// The machine stopped while the key was rotated, when so many keys were known.
    pub rotating: Option<usize>,
    pub history: History,
    pub coverage: Coverage,
    pub step: u64,
    pub clients_made: u64,
    pub next: u64,
    /// Nothing breaks any more.
    pub at_peace: bool,
    /// Steps until the next fault.
    pub breaks_in: Option<u64>,
    /// Steps in which the disk gets nothing done.
    pub slow_for: u64,
    /// How far the wall clock is from the right time.
    pub clock_off_ms: i64,
    /// The size of the recorded checkpoint, as far as anybody was told.
    pub recorded: u64,
    /// A file of the journal was not what it should be when it was opened.
    pub journal_damaged: bool,
    /// The leaves of the last backup, if it came to its end.
    pub backup: Option<u64>,
    /// What it was made of could be read as it was written.
    pub backup_sound: bool,
    /// Files of columns as they were once.
    pub kept_columns: Kept,
    /// Tell on the standard error what happens (`LEDGERSTONE_TELL`).
    tells: bool,
}

impl World {
    pub fn new(seed: u64) -> World {
        let sim = Sim::new(seed);
        let env = sim.env();
        World {
            env,
            sim,
            rng: SeededRng::new(seed.wrapping_mul(0x9e37_79b9) ^ 0x0005_1b0d),
            database: None,
            clients: Vec::new(),
            model: Model::new(),
            lost: BTreeMap::new(),
            retries: Vec::new(),
            trouble: Trouble::default(),
            promises: Promises::new(Self::key().verifier().clone()),
            rotating: None,
            history: History::default(),
            coverage: Coverage::default(),
            step: 0,
            clients_made: 0,
            next: 1,
            at_peace: false,
            breaks_in: None,
            slow_for: 0,
            clock_off_ms: 0,
            recorded: 1,
            journal_damaged: false,
            backup: None,
            backup_sound: true,
            kept_columns: Kept::new(),
            tells: std::env::var_os("LEDGERSTONE_TELL").is_some(),
        }
    }

    /// The whole run. Panics where the ledger is wrong.
    pub fn run(&mut self) {
        self.create();
        self.at_peace = true;
        self.open();
        self.define();
        self.at_peace = false;
        for _ in 0..LIVES {
            self.live();
            self.end_life();
            self.open();
            self.check_everything();
        }
        self.finish();
    }

    pub fn dir() -> &'static Path {
        Path::new("/data/main")
    }

    /// The key that the ledger was made with.
    pub fn key() -> SigningKey {
        let origin = format!("{PREFIX}/{}", Self::id());
        SigningKey::from_seed(&origin, &[7; 32]).unwrap_or_else(|error| panic!("a key: {error}"))
    }

    /// The keys of the ledger, on the same disk.
    pub fn keys(&self) -> Keys {
        Keys::new(self.ring())
    }

    fn ring(&self) -> KeyRing<StoredKeys> {
        KeyRing::new(StoredKeys { storage: self.env.storage.clone(), dir: "/keys".into() }, Self::id())
    }

    pub fn id() -> Id {
        Id([9; 16])
    }

    /// Small segments, a small index that is written and merged all the time, and no threads.
    pub fn options() -> DatabaseOptions {
        DatabaseOptions {
            cache_bytes_max: 64 << 10,
            segment_bytes: 64 << 10,
            staged_above_bytes: 12 << 10,
            index_build_documents: 3,
            threads: false,
            columns: Self::column_options(),
            index: IndexOptions { delta_revisions_max: 12, merge_runs: 3, ..IndexOptions::default() },
            ..DatabaseOptions::default()
        }
    }

    pub fn database(&self) -> &Arc<Database> {
        self.database.as_ref().unwrap_or_else(|| panic!("the ledger is not open"))
    }

    pub fn snapshot(&self) -> u64 {
        self.database.as_ref().map_or(0, |database| database.snapshot())
    }

    /// Tells what happens, if somebody wants to know.
    pub fn tell(&self, what: impl FnOnce(&World) -> String) {
        if self.tells {
            eprintln!("{:5} {}", self.step, what(self));
        }
    }

    /// A number never given before.
    pub fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn chance(&self, percent: u64) -> bool {
        self.rng.below(100) < percent
    }

    fn create(&mut self) {
        let storage = &self.env.storage;
        let prepared = storage
            .create_dir_all(Path::new("/data"))
            .and_then(|()| storage.create_dir_all(Path::new("/keys")))
            .and_then(|()| storage.sync_dir(Path::new("/")));
        prepared.unwrap_or_else(|error| panic!("a directory: {error}"));
        self.ring().create(&Self::key()).unwrap_or_else(|error| panic!("a key: {error}"));
        for _ in 0..3 {
            match self.rng.below(6) {
                // Most of the writes are those that fill the first segment with zeros.
                0 => self.sim.disk.stop_after(self.rng.below(100)),
                1 => self.sim.disk.stop_after_writes(self.rng.below(80)),
                _ => {}
            }
            let made = Database::create(&self.env, Self::dir(), Self::id(), PREFIX, Self::key());
            let stopped = self.sim.disk.is_stopped();
            if stopped {
                self.coverage.met("action: crash while a ledger is made");
                self.sim.disk.crash();
            }
            match made {
                Ok(()) => break,
                Err(error) => assert!(stopped, "a ledger cannot be made: {error}"),
            }
            // The name is given last: what has it is whole.
            if self.env.storage.exists(Self::dir()) {
                break;
            }
        }
        self.sim.disk.clear_faults();
        if !self.env.storage.exists(Self::dir()) {
            Database::create(&self.env, Self::dir(), Self::id(), PREFIX, Self::key())
                .unwrap_or_else(|error| panic!("a ledger cannot be made: {error}"));
        }
    }

    /// Opens the ledger, through refusals and crashes, as an operator would.
    fn open(&mut self) {
        for attempt in 0.. {
            assert!(attempt < 12, "the ledger does not open any more");
            // The last attempts are left alone.
            if attempt < 4 && !self.at_peace {
                self.disturb_opening();
            }
            let damage = self.sim.disk.damage();
            self.journal_damaged |= damage.iter().any(|(path, _)| path.starts_with(Self::path("journal")));
            match Database::open(&self.env, Self::dir(), "main", self.keys(), Self::options()) {
                Ok(database) => {
                    self.database = Some(database);
                    if self.sim.disk.is_stopped() {
                        self.coverage.met("action: crash while opening");
                        self.power_off();
                        continue;
                    }
                    self.tell(|world| format!("the ledger is open at {}", world.snapshot()));
                    self.opened();
                    return;
                }
                Err(error) if self.sim.disk.is_stopped() => {
                    self.refused("opening", &error);
                    self.coverage.met("action: crash while opening");
                    self.sim.disk.crash();
                }
                Err(error) => {
                    self.refused("opening", &error);
                    self.sim.disk.kill();
                    self.repair();
                }
            }
        }
    }

    /// The ledger is open: what is in it that nobody has said so, and what is not any more.
    fn opened(&mut self) {
        let end = self.snapshot();
        if end < self.model.end() {
            self.shorter(end);
        }
        self.settle();
        if self.clock_off_ms == 0 {
            self.set_clock_right();
        }
        // What has not turned up by now never will.
        for (user, submitted) in std::mem::take(&mut self.lost) {
            self.history.resolved(&user, None);
            if submitted.token.is_some() {
                self.retries.push((submitted, None));
            }
        }
        for _ in 0..CLIENTS {
            self.add_client();
        }
    }

    pub fn add_client(&mut self) {
        self.clients_made += 1;
        let client = Client::new(self.database(), self.clients_made);
        self.clients.push(client);
    }

    fn live(&mut self) {
        let steps = 60 + self.rng.below(120);
        self.plan_life();
        for _ in 0..steps {
            self.step += 1;
            self.maybe_break();
            self.act();
            self.settle();
            if self.sim.disk.is_stopped() {
                return;
            }
        }
    }

    /// Lets everything that was begun come to its end.
    pub fn calm(&mut self) {
        for _ in 0..400 {
            if self.clients.iter().all(Client::is_idle) || self.sim.disk.is_stopped() {
                return;
            }
            self.step += 1;
            self.work();
            for at in 0..self.clients.len() {
                self.poll(at);
            }
        }
        let stuck: Vec<_> = self.clients.iter().filter(|c| !c.is_idle()).map(|c| &c.call).collect();
        panic!("nothing answers any more: {stuck:?}");
    }

    /// Every step of the ledger once.
    pub fn work(&mut self) {
        let database = Arc::clone(self.database());
        for step in [Step::Sequence, Step::HandOver, Step::Write] {
            database.ledger().step(step);
            self.settle();
        }
        database.step();
        self.settle();
    }

    /// A clean restart, a killed process, a crash.
    fn end_life(&mut self) {
        let how = self.rng.below(10);
        if how < 3 && !self.sim.disk.is_stopped() {
            self.calm();
            if !self.sim.disk.is_stopped() {
                self.close();
            }
        }
        if how < 5 && !self.sim.disk.is_stopped() {
            self.coverage.met(if how < 3 { "action: clean restart" } else { "action: kill" });
            self.sim.disk.stop();
            self.leave();
            self.sim.disk.kill();
            self.end_of_trouble();
        } else {
            self.crash_in_flight();
            self.power_off();
        }
        if self.chance(20) {
            self.delete_derived();
        }
        self.age_columns();
    }

    fn close(&mut self) {
        let closed = self.database().close();
        self.settle();
        if let Err(error) = &closed {
            self.refused("closing", error);
        }
    }

    /// Goes on until the machine stops with something in flight.
    fn crash_in_flight(&mut self) {
        if self.sim.disk.is_stopped() {
            return;
        }
        self.slow_for = 0;
        self.sim.disk.stop_after_writes(self.rng.below(8));
        for _ in 0..150 {
            self.step += 1;
            self.act();
            self.settle();
            if self.sim.disk.is_stopped() {
                return;
            }
        }
    }

    /// The machine stops, and starts again.
    fn power_off(&mut self) {
        self.sim.disk.stop();
        self.leave();
        self.sim.disk.crash();
        self.tell(|_| "the machine crashes".to_owned());
        self.coverage.met("action: crash");
        self.end_of_trouble();
    }

    /// The process is gone. What was on its way may be there or not.
    fn leave(&mut self) {
        for client in std::mem::take(&mut self.clients) {
            let Some(submitted) = client.submitted() else { continue };
            self.history.unanswered(&client.user, &submitted.said(), submitted.began);
            match &client.published {
                Some(published) => {
                    self.history.resolved(&client.user, Some(published.block));
                    if submitted.token.is_some() {
                        self.retries.push((submitted, Some((published.block, published.position))));
                    }
                }
                // After an unknown outcome nothing is written any more, so what came first may be there, and only that.
                None => drop(self.lost.entry(client.user).or_insert(submitted)),
            }
        }
        if let Some(database) = self.database.take() {
            self.recorded = self.recorded.max(database.ledger().newest_checkpoint().checkpoint.size);
            self.coverage.add("action: statement run again on pending state", database.run_again_count());
        }
    }

    /// An error that somebody was told: allowed only if there is a reason for it.
    pub fn refused(&mut self, what: &str, error: &QueryError) {
        let code = error.code.as_str();
        if !self.sim.disk.is_stopped() {
            let why = self.trouble.excuses(code);
            assert!(why, "{what}: refused without a reason: {code} {error}\nTrouble: {:?}", self.trouble);
        }
        self.tell(|_| format!("{what}: {error}"));
        self.coverage.met("answer: a named refusal");
    }

    /// What the ledger's files say about what has happened.
    fn note_files(&mut self) {
        let names = |name: &str| {
            let entries = self.env.storage.read_dir(&Self::path(name)).unwrap_or_default();
            entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>()
        };
        let (segments, index) = (names("journal"), names("index"));
        if segments.iter().filter(|name| name.ends_with(".seg")).count() > 1 {
            self.coverage.met("action: segment roll");
        }
        if index.iter().any(|name| name == "manifest") {
            self.coverage.met("action: index written");
        }
    }

    fn finish(&mut self) {
        self.at_peace = true;
        self.sim.disk.keep_running();
        if !self.sim.disk.is_stopped() {
            self.calm();
        }
        if self.sim.disk.is_stopped() {
            self.power_off();
        } else {
            self.sim.disk.stop();
            self.leave();
            self.sim.disk.kill();
        }
        self.repair();
        self.open();
        self.end_of_trouble();
        self.check_everything();
        self.restore_backup();
        self.calm();
        let closed = self.database().close();
        closed.unwrap_or_else(|error| panic!("closing: {error}"));
        self.leave();
        self.note_files();
        self.verify();
        self.check_column_files();
        self.history.check();
        self.note_disk();
    }

    /// The path of a file or directory of the ledger.
    pub fn path(name: &str) -> PathBuf {
        Self::dir().join(name)
    }
}
