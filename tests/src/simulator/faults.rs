//! What breaks, when, and which refusals that excuses.

use std::path::PathBuf;

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
    "fault: read error",
    "fault: write error",
    "fault: bad sector",
    "fault: bit flipped in transit",
    "fault: bit flipped at rest",
    "fault: misdirected write",
    "fault: write that never arrives",
    "fault: file cut",
    "fault: tail of zeros",
    "fault: slow disk",
    "fault: clock set back",
    "fault: clock set ahead",
    "fault: process paused",
    "fault: old column files",
    "exempt: lost, and covered by no checkpoint",
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
            "08007" | "57P03" => self.writing || self.stopped || self.full || self.reading,
            "53100" => self.full,
            // Writes are refused, and times that were lie in the future.
            "55000" | "22023" => self.clock,
            _ => false,
        }
    }

    /// Whether something is wrong with the disk.
    pub fn of_disk(&self) -> bool {
        self.reading || self.writing || self.full || self.stopped
    }
}

/// Damage that a restart has to find, or to be spared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Flip,
    Cut,
    Zeros,
    BadSector,
}

impl World {
    /// Decides what will break in this life.
    pub fn plan_life(&mut self) {
        let noise = match self.rng.below(3) {
            0 => Noise { short_one_in: 3, interrupted_one_in: 5 },
            1 => Noise { short_one_in: 20, interrupted_one_in: 20 },
            _ => Noise::default(),
        };
        self.sim.disk.set_noise(noise);
        // Most lives meet a fault or two, some none, so that much is done in between.
        self.breaks_in = if self.rng.one_in(4) { None } else { Some(self.rng.below(80)) };
        self.slow_for = 0;
    }

    /// Counts down to the next fault.
    pub fn maybe_break(&mut self) {
        self.slow_for = self.slow_for.saturating_sub(1);
        match &mut self.breaks_in {
            Some(0) => {
                self.breaks_in = Some(20 + self.rng.below(100));
                self.break_something();
            }
            Some(left) => *left -= 1,
            None => {}
        }
    }

    fn break_something(&mut self) {
        let journal_or = |other: &str, journal: bool| if journal { ".seg".to_owned() } else { other.to_owned() };
        let derived = if self.rng.one_in(2) { "index/" } else { "columns/" };
        let part = self.part();
        match self.rng.below(26) {
            0..=2 => {
                self.inject(Fault::Sync(part));
                self.trouble.stopped = true;
            }
            3 | 4 => {
                self.inject(Fault::Write(part));
                self.trouble.stopped = true;
            }
            5 | 6 => {
                self.sim.disk.set_room(Some(self.rng.below(60_000)));
                self.trouble.full = true;
            }
            7 | 8 => {
                self.inject(Fault::Read(part));
                self.trouble.reading = true;
            }
            9 | 10 => {
                self.inject(Fault::Flip(part));
                self.trouble.reading = true;
            }
            11 | 12 => {
                self.inject(Fault::Lose(journal_or(derived, self.rng.below(4) > 0)));
                self.trouble.reading = true;
            }
            13 | 14 => {
                self.inject(Fault::Misdirect(journal_or(derived, self.rng.below(4) > 0)));
                self.trouble.reading = true;
            }
            15 | 16 => self.damage(),
            17 | 18 => {
                self.slow_for = 20 + self.rng.below(40);
                self.coverage.met("fault: slow disk");
            }
            19 | 20 => {
                let pause_ms = 1_000 + self.rng.below(3_600_000) as i64;
                self.tell(|_| format!("nothing happens for {pause_ms} ms"));
                self.sim.clock.advance_ms(pause_ms);
                self.coverage.met("fault: process paused");
            }
            21..=23 => self.step_clock(),
            _ => {
                self.sim.disk.set_room(None);
                self.set_clock_right();
            }
        }
    }

    fn inject(&mut self, fault: Fault) {
        self.tell(|_| format!("to come: {fault:?}"));
        self.sim.disk.inject(fault);
    }

    /// A part of the names of some files.
    fn part(&self) -> String {
        let parts = ["index/", "tree/", "columns/", "checkpoint", "rotations/", ".seg", ".seg", ".seg", ".seg"];
        parts[self.rng.below(parts.len() as u64) as usize].to_owned()
    }

    /// Somebody sets the wall clock.
    fn step_clock(&mut self) {
        let by_ms: i64 = match self.rng.below(7) {
            0 => -500,
            1 => -3_000,
            2 => -3_600_000,
            3 => 30_000,
            4 => 120_000,
            5 => 3_600_000,
            _ => 10 * 365 * 86_400_000,
        };
        self.tell(|_| format!("the clock is set by {by_ms} ms"));
        self.clock_off_ms += by_ms;
        self.sim.clock.set_wall_ms(self.wall_ms() + by_ms);
        self.trouble.clock = true;
        self.coverage.met(if by_ms < 0 { "fault: clock set back" } else { "fault: clock set ahead" });
    }

    /// The operator sets the clock right; never before the last block, which would only be waited for.
    pub fn set_clock_right(&mut self) {
        let last = self.model.blocks.last().map_or(i64::MIN, |block| block.time_ms);
        if self.clock_off_ms == 0 && self.wall_ms() > last {
            return;
        }
        let right = (self.wall_ms() - self.clock_off_ms).max(last + 1);
        self.tell(|_| "the clock is set right".to_owned());
        self.sim.clock.set_wall_ms(right);
        self.clock_off_ms = 0;
        if let Some(database) = &self.database {
            database.ledger().accept_clock();
        }
    }

    fn wall_ms(&self) -> i64 {
        use ledgerstone_journal::env::Clock;
        self.sim.clock.now_ms()
    }

    /// The medium loses something.
    pub fn damage(&mut self) {
        let Some(path) = self.some_file() else { return };
        // What the journal has lost is found by the checkpoint that covers it: a medium that damages both at once hides it, and
        // the one the checkpoint had before is all there is to go by (CONTRACT section 8).
        let lost = |(path, _): &(PathBuf, _)| path.starts_with(Self::path("journal"));
        if path == Self::path("checkpoint") && self.sim.disk.damage().iter().any(lost) {
            return;
        }
        let used = self.sim.disk.used_bytes(&path);
        if used == 0 {
            return;
        }
        let damages = [Damage::Flip, Damage::Flip, Damage::Cut, Damage::Zeros, Damage::BadSector];
        let damage = damages[self.rng.below(damages.len() as u64) as usize];
        // The end is where the newest data is.
        let offset = match self.rng.one_in(2) {
            true => used - 1 - self.rng.below(used.min(6_000)),
            false => self.rng.below(used),
        };
        self.tell(|_| format!("{damage:?} of {} at {offset} of {used}", path.display()));
        match damage {
            Damage::Flip => self.sim.disk.flip(&path, offset, 1 << self.rng.below(8)),
            Damage::Cut => self.sim.disk.truncate(&path, offset),
            Damage::Zeros => self.sim.disk.zero_from(&path, offset),
            Damage::BadSector => self.sim.disk.spoil_sector(&path, offset),
        }
        self.trouble.reading = true;
    }

    /// A file of the ledger, more often one of the journal.
    fn some_file(&mut self) -> Option<PathBuf> {
        let kinds = ["journal", "journal", "journal", "index", "tree", "columns", "offsets", "rotations", ""];
        let kind = kinds[self.rng.below(kinds.len() as u64) as usize];
        if kind.is_empty() {
            return Some(Self::path("checkpoint"));
        }
        let entries = self.env.storage.read_dir(&Self::path(kind)).ok().filter(|entries| !entries.is_empty())?;
        let at = self.rng.below(entries.len() as u64) as usize;
        entries.get(at).map(|entry| Self::path(kind).join(&entry.name))
    }

    /// While the ledger is opened.
    pub fn disturb_opening(&mut self) {
        if self.chance(15) {
            match self.rng.one_in(8) {
                true => self.sim.disk.stop_after(self.rng.below(30)),
                false => self.sim.disk.stop_after_writes(self.rng.below(12)),
            }
        } else if self.chance(12) {
            self.damage();
        }
    }

    /// What an operator does when the ledger refuses to open.
    pub fn repair(&mut self) {
        self.sim.disk.clear_faults();
        self.sim.disk.set_room(None);
        if self.sim.disk.restore() {
            self.coverage.met("action: file restored");
        }
        self.trouble.reading = false;
        self.journal_damaged = false;
    }

    /// After a restart nothing is wrong any more but what lasts.
    pub fn end_of_trouble(&mut self) {
        self.sim.disk.clear_faults();
        self.sim.disk.set_room(None);
        if self.rng.one_in(2) || self.at_peace {
            self.set_clock_right();
        }
        let last = self.model.blocks.last().map_or(i64::MIN, |block| block.time_ms);
        let clock = self.clock_off_ms != 0 || self.wall_ms() < last;
        self.trouble = Trouble { reading: !self.sim.disk.damage().is_empty(), clock, ..Trouble::default() };
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
            ("fault: read error", counts.read_errors),
            ("fault: write error", counts.write_errors),
            ("fault: bad sector", counts.bad_sectors_read),
            ("fault: bit flipped in transit", counts.flips_in_transit),
            ("fault: bit flipped at rest", counts.flips_at_rest),
            ("fault: misdirected write", counts.misdirected),
            ("fault: write that never arrives", counts.lost_writes),
            ("fault: file cut", counts.truncated),
            ("fault: tail of zeros", counts.zeroed),
            ("disk: crashes", counts.crashes),
            ("disk: crashes that tear something", counts.crashes_torn),
        ] {
            self.coverage.add(what, times);
        }
    }
}
