//! What breaks, when, and which refusals that excuses.

use ledgerstone_journal::env::sim::{Fault, Noise};

use super::world::World;

/// Every fault that the seeds together have to meet.
pub const FAULTS: &[&str] = &[
    "fault: torn at bytes",
    "fault: torn at sectors",
    "fault: torn at pages",
    "fault: unsynced write lost",
    "fault: name lost",
    "fault: writes reordered",
    "fault: sync error",
    "fault: short read",
    "fault: short write",
    "fault: interrupted",
    "fault: disk full",
];

/// What may be refused at the moment.
#[derive(Debug, Clone, Default)]
pub struct Trouble {
    /// Reading may fail, or give what is not what was written.
    pub reading: bool,
    /// Writing may fail.
    pub writing: bool,
    pub full: bool,
    pub clock: bool,
    /// A sync failed, or a write: nothing is written until a restart.
    pub stopped: bool,
}

impl Trouble {
    /// Whether an error with this code has a reason.
    pub fn excuses(&self, code: &str) -> bool {
        match code {
            "58030" => self.reading || self.writing || self.full || self.stopped,
            "XX001" => self.reading,
            "08007" => self.writing || self.stopped || self.full,
            "57P03" => self.stopped || self.writing || self.full,
            "53100" => self.full,
            "55000" => self.clock,
            _ => false,
        }
    }
}

impl World {
    /// Decides what will break in this life.
    pub fn plan_life(&mut self, _steps: u64) {
        let noise = match self.rng.below(3) {
            0 => Noise { short_one_in: 3, interrupted_one_in: 5 },
            1 => Noise { short_one_in: 20, interrupted_one_in: 20 },
            _ => Noise::default(),
        };
        self.sim.disk.set_noise(noise);
    }

    /// Something breaks.
    pub fn break_something(&mut self) {
        match self.rng.below(4) {
            0 => {
                self.sim.disk.inject(Fault::Sync(".seg".to_owned()));
                self.trouble.stopped = true;
            }
            1 => {
                self.sim.disk.set_room(Some(self.rng.below(60_000)));
                self.trouble.full = true;
            }
            2 => self.sim.disk.set_room(None),
            _ => {
                self.sim.disk.inject(Fault::Sync("checkpoint".to_owned()));
                self.trouble.writing = true;
            }
        }
    }

    /// While the ledger is opened.
    pub fn disturb_opening(&mut self) {
        if self.chance(15) {
            self.sim.disk.stop_after(self.rng.below(30));
        }
    }

    /// What an operator does when the ledger refuses to open.
    pub fn repair(&mut self) {
        self.sim.disk.clear_faults();
        self.sim.disk.set_room(None);
        self.sim.disk.restore();
    }

    /// After a restart nothing is wrong any more, until something breaks again.
    pub fn end_of_trouble(&mut self) {
        self.sim.disk.clear_faults();
        self.sim.disk.set_room(None);
        self.trouble = Trouble::default();
    }

    /// Takes over what the disk has counted.
    pub fn note_disk(&mut self) {
        let counts = self.sim.disk.counts();
        for (what, times) in [
            ("fault: torn at bytes", counts.torn_bytes),
            ("fault: torn at sectors", counts.torn_sectors),
            ("fault: torn at pages", counts.torn_pages),
            ("fault: unsynced write lost", counts.unsynced_lost),
            ("fault: name lost", counts.names_lost),
            ("fault: writes reordered", counts.reordered),
            ("fault: sync error", counts.sync_errors),
            ("fault: short read", counts.short_reads),
            ("fault: short write", counts.short_writes),
            ("fault: interrupted", counts.interrupted),
            ("fault: disk full", counts.full),
            ("disk: crashes", counts.crashes),
            ("disk: crashes that tear something", counts.crashes_torn),
        ] {
            self.coverage.add(what, times);
        }
    }
}
