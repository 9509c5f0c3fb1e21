//! Random histories on the simulated disk against a model: what was acknowledged is there after every crash, in its
//! place, unchanged; what was not is there whole or not at all. One seed is one history: replay a failure with
//! `LEDGERSTONE_SEED=n cargo test -p ledgerstone-journal model`.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ledgerstone_digest::Id;
use ledgerstone_digest::tree::{Frontier, leaf_hash};
use ledgerstone_journal::env::SeededRng;
use ledgerstone_journal::env::sim::{Fault, Sim};
use ledgerstone_journal::pack::Packing;
use ledgerstone_journal::{CommitError, CreateOptions, Ledger, NewRevision, OpenError};

use crate::support::*;

const SEEDS: u64 = 100;
const LIVES: usize = 6;

/// What a transaction wrote: document, version, bytes of its text.
type Written = Vec<(u64, u64, Option<usize>)>;

#[derive(Default)]
struct Model {
    /// By block number.
    blocks: Vec<(Id, Written)>,
    /// Transactions whose outcome is unknown.
    unknown: HashMap<Id, Written>,
    /// By position.
    leaves: Vec<Vec<u8>>,
    /// By document: version and position of its newest revision.
    newest: HashMap<u64, (u64, u64)>,
    /// Sizes and roots of checkpoints that were handed out.
    checkpoints: Vec<(u64, ledgerstone_digest::Hash)>,
    next: u64,
    met: Met,
}

/// What the histories met: a test that meets nothing proves nothing.
#[derive(Default, Debug)]
struct Met {
    interrupted_openings: u64,
    torn_batches: u64,
    unknown: u64,
    unknown_and_there: u64,
    refused_for_space: u64,
    written_ahead: u64,
    segments_begun: u64,
    packed: u64,
}

#[test]
fn nothing_acknowledged_is_lost_or_changed_on_a_failing_disk() {
    let seeds = match std::env::var("LEDGERSTONE_SEED") {
        Ok(seed) => vec![seed.parse().expect("LEDGERSTONE_SEED is a number")],
        Err(_) => (0..SEEDS).collect::<Vec<u64>>(),
    };
    let mut model = Model::default();
    for seed in &seeds {
        let met = std::mem::take(&mut model.met);
        model = Model { met, ..Model::default() };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| history(*seed, &mut model))) {
            eprintln!("failed with LEDGERSTONE_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
    let Met { interrupted_openings: a, torn_batches: b, unknown: c, unknown_and_there: d, .. } = model.met;
    let Met { refused_for_space: e, written_ahead: f, segments_begun: g, packed: h, .. } = model.met;
    assert!(seeds.len() == 1 || [a, b, c, d, e, f, g, h].iter().all(|n| *n > 10), "{:?}", model.met);
}

fn history(seed: u64, model: &mut Model) {
    let sim = Sim::new(seed);
    let env = sim.env();
    let rng = SeededRng::new(seed.wrapping_mul(77) + 1);
    env.storage.create_dir_all(&dir()).unwrap();
    env.storage.remove_dir_all(&dir()).unwrap();
    env.storage.sync_dir("/data".as_ref()).unwrap();
    env.storage.sync_dir("/".as_ref()).unwrap();
    create_through_crashes(&sim, &rng);
    for life in 0..LIVES {
        let mut options = options();
        options.segment_bytes = 32 << 10;
        options.staged_above_bytes = 12 << 10;
        if rng.one_in(4) {
            sim.disk.stop_after(rng.below(30));
        }
        let ledger = match Ledger::open(&env, &dir(), options) {
            Ok(recovered) => {
                model.met.torn_batches += u64::from(recovered.cut.is_some());
                recovered.start(Box::new(Hooks::default()), Box::new(Hooks::default()))
            }
            Err(error) => {
                model.met.interrupted_openings += 1;
                // Only the machine may be the reason: an opening that was interrupted can be repeated.
                assert!(error.to_string().contains("simulated machine"), "life {life}: {error}");
                sim.disk.crash();
                continue;
            }
        };
        if !model.compare(&ledger) {
            drop(ledger);
            sim.disk.crash();
            continue;
        }
        live(&sim, &rng, &ledger, model);
        end(&sim, &rng, ledger, model);
    }
    sim.disk.crash();
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    assert!(model.compare(&ledger));
    let segments = env.storage.read_dir(&dir().join("journal")).unwrap().len() as u64;
    model.met.segments_begun += segments - 1;
}

fn create_through_crashes(sim: &Sim, rng: &SeededRng) {
    let env = sim.env();
    for _ in 0..3 {
        if rng.one_in(2) {
            sim.disk.stop_after(rng.below(25));
        }
        let mut options = CreateOptions::new(LEDGER, "ledger.example", key());
        options.first_segment_bytes = 16 << 10;
        let created = Ledger::create(&env, &dir(), &options);
        sim.disk.crash();
        if created.is_ok() || env.storage.exists(&dir()) {
            return;
        }
    }
    create_sized(&env, &dir(), 16 << 10);
}

/// Some transactions, with failures between.
fn live(sim: &Sim, rng: &SeededRng, ledger: &Ledger, model: &mut Model) {
    for _ in 0..rng.below(12) {
        match rng.below(14) {
            0 => sim.disk.inject(Fault::Sync(".seg".to_owned())),
            1 => sim.disk.inject(Fault::Write(".seg".to_owned())),
            2 => sim.disk.set_room(Some(rng.below(20_000))),
            3 => sim.disk.set_room(None),
            4 => sim.disk.stop_after(rng.below(12)),
            5 => {
                if let Ok(signed) = ledger.checkpoint() {
                    model.checkpoints.push((signed.checkpoint.size, signed.checkpoint.root));
                }
            }
            6 => {
                let number = rng.below(ledger.sealed_segments() + 1);
                model.met.packed += u64::from(matches!(ledger.pack(number), Ok(Packing::Packed { .. })));
            }
            _ => {}
        }
        let mut waiting = Vec::new();
        for _ in 0..1 + rng.below(4) {
            let (transaction, written) = model.transaction(rng, waiting.is_empty());
            waiting.push((transaction.id, written, ledger.submit(transaction)));
        }
        ledger.drive();
        for (id, written, future) in waiting {
            match future.wait() {
                Ok(committed) => {
                    assert_eq!(committed.block, model.blocks.len() as u64);
                    for (i, (document, version, _)) in written.iter().enumerate() {
                        model.newest.insert(*document, (*version, committed.first_position + i as u64));
                    }
                    let bytes: usize = written.iter().filter_map(|(_, _, size)| *size).sum();
                    model.met.written_ahead += u64::from(bytes > 12 << 10);
                    model.blocks.push((id, written));
                }
                Err(CommitError::OutcomeUnknown { .. }) => {
                    model.met.unknown += 1;
                    model.unknown.insert(id, written);
                }
                Err(CommitError::NoSpace { .. }) => model.met.refused_for_space += 1,
                Err(CommitError::Stopped { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
    for position in model.leaves.len() as u64..ledger.snapshot() {
        match ledger.leaf(position) {
            Ok(leaf) => model.leaves.push(leaf),
            Err(_) => return,
        }
    }
}

fn end(sim: &Sim, rng: &SeededRng, ledger: std::sync::Arc<Ledger>, model: &mut Model) {
    match rng.below(3) {
        0 => {
            drop(ledger);
            sim.disk.crash();
        }
        1 => {
            sim.disk.crash();
            drop(ledger);
        }
        _ => {
            if ledger.close().is_ok() {
                let signed = ledger.newest_checkpoint().checkpoint;
                model.checkpoints.push((signed.size, signed.root));
            }
            drop(ledger);
            if rng.one_in(2) {
                sim.disk.crash();
            } else {
                sim.disk.kill();
                sim.disk.set_room(None);
                sim.disk.clear_faults();
            }
        }
    }
}

impl Model {
    /// A transaction of new documents and, if nothing else of the round is pending, of new revisions of old ones.
    fn transaction(&mut self, rng: &SeededRng, may_update: bool) -> (ledgerstone_journal::Transaction, Written) {
        let (mut revisions, mut written) = (Vec::new(), Vec::new());
        let count = if rng.one_in(12) { 40 } else { 1 + rng.below(3) };
        for _ in 0..count {
            self.next += 1;
            let size = if rng.one_in(10) { 9_000 } else { rng.below(1500) as usize };
            revisions.push(first(self.next, size));
            written.push((self.next, 0, Some(size)));
        }
        let document = rng.below(self.next);
        if let Some((version, position)) = self.newest.get(&document).copied().filter(|_| may_update) {
            let size = (!rng.one_in(3)).then_some(17);
            let data = size.map(|size| support_document(document, size).into());
            let version = version + 1;
            revisions.push(NewRevision { version, supersedes: Some(position), data, ..first(document, 0) });
            written.push((document, version, size));
        }
        self.next += 1;
        (transaction(self.next, revisions), written)
    }

    /// Compares a ledger that was opened with the model, and takes over what was unknown and turned out to be there.
    /// False if the machine stopped meanwhile.
    fn compare(&mut self, ledger: &Ledger) -> bool {
        let mut number = 0;
        for block in ledger.blocks(0) {
            let Ok(block) = block else { return false };
            if number == self.blocks.len() {
                let written = self.unknown.remove(&block.tx_id).expect("a block that nobody submitted");
                self.blocks.push((block.tx_id, written));
                self.met.unknown_and_there += 1;
            }
            let (id, written) = &self.blocks[number];
            assert_eq!((block.tx_id, block.revisions.len()), (*id, written.len()), "block {number}");
            for (revision, (document, version, size)) in block.revisions.iter().zip(written) {
                assert_eq!((revision.document_id, revision.version), (id_of(*document), *version));
                assert_eq!(revision.data, size.map(|size| support_document(*document, size)));
                self.newest.insert(*document, (*version, revision.position));
            }
            number += 1;
        }
        assert_eq!(number, self.blocks.len(), "acknowledged blocks are missing");
        self.unknown.clear();
        let mut tree = Frontier::default();
        for position in 0..ledger.snapshot() {
            let Ok(leaf) = ledger.leaf(position) else { return false };
            match self.leaves.get(position as usize) {
                Some(before) => assert_eq!(*before, leaf, "leaf {position} changed"),
                None => self.leaves.push(leaf.clone()),
            }
            tree.append(leaf_hash(&leaf));
            for (size, root) in &self.checkpoints {
                assert!(*size != tree.size() || *root == tree.root(), "the checkpoint of size {size} no longer holds");
            }
        }
        assert!(self.checkpoints.iter().all(|(size, _)| *size <= ledger.snapshot()));
        true
    }
}

fn id_of(document: u64) -> Id {
    id(document)
}

fn support_document(n: u64, size: usize) -> std::sync::Arc<ledgerstone_digest::ion::Value> {
    document(n, size)
}

#[test]
fn a_damaged_recorded_checkpoint_is_refused() {
    let sim = Sim::new(3);
    create(&sim.env(), &dir());
    sim.disk.flip(&dir().join("checkpoint"), 30, 1);
    sim.disk.flip(&dir().join("checkpoint"), 4096 + 30, 1);
    assert!(matches!(open(&sim.env(), &dir(), options()), Err(OpenError::Checkpoint(_))));
}
