//! What an operator does beside the clients: derived files are deleted, backups are taken and restored.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledgerstone_journal::backup::{BackupError, Part, Received, Receiving, confirm, restore};
use ledgerstone_journal::pack::Packing;
use ledgerstone_journal::verify::{Verdict, VerifyOptions, verify_directory};
use ledgerstone_query::database::Database;

use super::client::{Call, Client};
use super::statement::{Filter, Shape, Statement, View};
use super::world::World;

impl World {
    fn backup_dir() -> &'static Path {
        Path::new("/backups/main")
    }

    /// Deletes what can be made again.
    pub fn delete_derived(&mut self) {
        let storage = Arc::clone(&self.env.storage);
        for name in ["index", "tree", "offsets", "blocks", "columns"] {
            let path = Self::path(name);
            if self.rng.one_in(2) && storage.exists(&path) {
                let deleted = storage.remove_dir_all(&path).and_then(|()| storage.sync_dir(Self::dir()));
                deleted.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                self.coverage.met("action: derived files deleted");
            }
        }
    }

    /// Rotates the signing key, often with a power failure in the middle of it.
    pub fn rotate_key(&mut self) {
        if self.slow_for > 0 {
            return;
        }
        match self.rng.below(16) {
            0 => self.sim.disk.stop_after(self.rng.below(60)),
            1..=3 => self.sim.disk.stop_after_writes(self.rng.below(16)),
            _ => {}
        }
        let outcome = self.database().rotate_key("operator", "simulator");
        self.settle();
        if self.sim.disk.is_stopped() {
            self.coverage.met("action: crash while the key is rotated");
            self.rotating = Some(self.promises.keys());
        } else {
            self.sim.disk.keep_running();
        }
        match outcome {
            Ok(rotated) => {
                self.tell(|_| format!("the key is rotated at size {}", rotated.record.from));
                self.coverage.met("action: key rotated");
                // The new key has taken over: what is signed from here on is held against that.
                self.follow_rotations();
            }
            Err(error) => {
                self.refused("rotating the key", &error);
                if error.code.as_str() == "08007" {
                    self.trouble.stopped = true;
                }
            }
        }
    }

    /// Packs a full segment, now and then with a power failure in the middle of it.
    pub fn pack_segment(&mut self) {
        if self.slow_for > 0 {
            return;
        }
        let ledger = Arc::clone(self.database().ledger());
        let Some(last) = ledger.sealed_segments().checked_sub(1) else { return };
        let number = self.rng.below(last + 1);
        if self.rng.one_in(8) {
            self.sim.disk.stop_after(self.rng.below(20));
        }
        let packed = ledger.pack(number);
        if !self.sim.disk.is_stopped() {
            self.sim.disk.keep_running();
        }
        match packed {
            Ok(Packing::Packed { .. }) => {
                self.tell(|_| format!("segment {number} is packed"));
                self.coverage.met("action: segment packed");
            }
            Ok(Packing::Left) => {}
            Err(error) => {
                let excused = self.trouble.of_disk() || self.sim.disk.is_stopped();
                assert!(excused, "segment {number} is not packed: {error}");
            }
        }
    }

    /// Takes a backup, or goes on with the last one.
    pub fn take_backup(&mut self) {
        // Continued from one that was made of damage, it is none the better; and a redaction that a fault has kept from
        // being carried out is refused by name when the backup is verified.
        self.backup_sound &= !self.trouble.of_disk();
        match self.back_up() {
            Ok(received) => {
                self.tell(|_| format!("a backup of {} leaves", received.head.size));
                self.backup = Some(received.head.size);
                self.coverage.met("action: backup");
            }
            Err(error) => {
                // What is there is completed by the next one.
                self.backup = None;
                let excused = self.trouble.of_disk() || self.sim.disk.is_stopped();
                assert!(excused, "no backup: {error}");
            }
        }
    }

    fn back_up(&self) -> Result<Received, BackupError> {
        let mut receiving = Receiving::open(&self.env, Self::backup_dir())?;
        let held = receiving.held();
        let backup = self.database().ledger().backup(&held)?;
        receiving.head(backup.head())?;
        backup.send(&held, &mut |part| match part {
            Part::Segment { held, length, from } => receiving.segment(held, length, from),
            Part::Bytes(bytes) => receiving.bytes(bytes),
        })?;
        receiving.finish(backup.head().clone())
    }

    /// Restores the last backup beside the ledger, and compares what is in it with what was so then.
    pub fn restore_backup(&mut self) {
        let Some(size) = self.backup.filter(|size| *size <= self.model.end()) else { return };
        let number = self.fresh();
        let target = PathBuf::from(format!("/data/restored{number}"));
        let vkey = World::key().verifier().clone();
        let options = VerifyOptions { vkey: Some(vkey), ..VerifyOptions::default() };
        let report = verify_directory(&self.env, Self::backup_dir(), options);
        let restored = match report.verdict() {
            Verdict::Holds => restore(&self.env, Self::backup_dir(), &target, false, &mut |_, _| ()),
            _ => {
                let excused = !self.backup_sound || self.trouble.of_disk() || self.sim.disk.is_stopped();
                assert!(excused, "a backup: {:#?}", report.findings);
                return;
            }
        };
        if let Err(error) = restored {
            assert!(self.trouble.of_disk() || self.sim.disk.is_stopped(), "no restore: {error}");
            return;
        }
        // Somebody kept a checkpoint from before the backup, or one from after it, which has to be refused.
        let older = self.promises.checkpoints.iter().filter(|(c, _)| c.size <= size).max_by_key(|(c, _)| c.size);
        let newer = self.promises.checkpoints.iter().find(|(c, _)| c.size > size);
        if let Some((_, note)) = newer {
            let report = confirm(&self.env, &target, note.clone(), self.promises.signer(note), None);
            assert!(
                !matches!(&report, Ok(r) if r.verdict() == Verdict::Holds),
                "an older backup was taken for the newest"
            );
        }
        let confirmed = older.is_some_and(|(_, note)| {
            let report = confirm(&self.env, &target, note.clone(), self.promises.signer(note), None);
            matches!(&report, Ok(report) if report.verdict() == Verdict::Holds)
        });
        self.compare_restored(&target, size, confirmed);
        let removed = self.env.storage.remove_dir_all(&target);
        assert!(removed.is_ok() || self.sim.disk.is_stopped());
    }

    fn compare_restored(&mut self, target: &Path, size: u64, confirmed: bool) {
        let opened = Database::open(&self.env, target, "restored", self.keys(), Self::options());
        let database = match opened {
            Ok(database) => database,
            Err(error) => return self.refused("opening what was restored", &error),
        };
        assert_eq!(database.snapshot(), size, "what was restored is not what was backed up");
        self.clients_made += 1;
        let mut client = Client::new(&database, self.clients_made);
        let mut work = self.model.begin(size);
        let tables: Vec<_> = work.state.tables.keys().cloned().collect();
        for table in tables {
            let statement = Statement::Select { table, filter: Filter::All, view: View::Current, shape: Shape::Rows };
            client.ask(Call::Alone { statement: statement.clone(), token: None }, (0, 0));
            let Some((said, _)) = client.poll() else { panic!("{statement} waits") };
            match said {
                Ok(lines) => assert_eq!(Ok(lines), self.model.evaluate(&mut work, &statement), "restored: {statement}"),
                Err(error) => self.refused("what was restored", &error),
            }
        }
        if !confirmed {
            let statement = Statement::CreateTable { table: "refused".into(), unique: false };
            client.ask(Call::Alone { statement, token: None }, (0, 0));
            let code = client.poll().and_then(|(said, _)| said.err()).map(|error| error.code.as_str());
            assert_eq!(code, Some("25006"), "what was restored is written to before a checkpoint was compared");
        }
        self.coverage.met("action: restore");
    }
}
