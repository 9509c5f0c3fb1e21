//! What was handed out and has to hold for ever: checkpoints, each consistent with every other, and receipts.

use ledgerstone_digest::checkpoint::Checkpoint;
use ledgerstone_digest::note::VerifierKey;
use ledgerstone_digest::receipt::Receipt;
use ledgerstone_digest::rotation::KeyChain;
use ledgerstone_digest::tree::verify_consistency;
use ledgerstone_digest::verifier::{Expectation, VerdictKind, verify};
use ledgerstone_journal::checkpoint::Signed;
use ledgerstone_journal::verify::{Finding, Verdict, VerifyOptions, verify_directory};

use super::world::World;

/// Kept by somebody outside.
pub struct Promises {
    pub checkpoints: Vec<(Checkpoint, String)>,
    receipts: Vec<(Vec<u8>, Expectation)>,
    /// Whom they trust: the key that they were given once, and those it was rotated to, along the proofs of that.
    chain: KeyChain,
}

impl Promises {
    pub fn new(key: VerifierKey) -> Promises {
        Promises { checkpoints: Vec::new(), receipts: Vec::new(), chain: KeyChain::new(key) }
    }

    /// How many keys there have been.
    pub fn keys(&self) -> usize {
        self.chain.keys().count()
    }

    /// The key that may have signed a note, and has.
    pub fn signer(&self, note: &str) -> VerifierKey {
        self.chain.signer(note).cloned().unwrap_or_else(|| panic!("nobody has signed {note}"))
    }
}

impl World {
    /// Asks for a checkpoint, checks its signature and keeps it.
    pub fn ask_checkpoint(&mut self) {
        let durable = self.snapshot();
        match self.database().ledger().checkpoint() {
            Ok(signed) => {
                self.keep(&signed);
                assert!(signed.checkpoint.size >= durable, "a checkpoint behind what is published");
                self.coverage.met("action: checkpoint");
            }
            Err(error) => {
                let excused = self.trouble.of_disk();
                assert!(excused || self.sim.disk.is_stopped(), "no checkpoint: {error}");
            }
        }
    }

    /// Follows what the ledger proves of its keys. False if the disk keeps it from that.
    pub fn follow_rotations(&mut self) -> bool {
        let ledger = self.database().ledger().clone();
        let from = self.promises.chain.current().clone();
        let receipts = match self.sim.disk.quietly(|| ledger.rotations(Some(&from))) {
            Ok(receipts) => receipts,
            Err(error) => {
                assert!(self.trouble.of_disk() || self.sim.disk.is_stopped(), "no proof of a rotation: {error}");
                return false;
            }
        };
        for bytes in receipts {
            let receipt = Receipt::decode(&bytes).unwrap_or_else(|e| panic!("a rotation: {e}"));
            self.promises.chain.follow(&receipt).unwrap_or_else(|e| panic!("a rotation: {e}"));
        }
        true
    }

    fn keep(&mut self, signed: &Signed) {
        if !self.follow_rotations() {
            return;
        }
        let checkpoint = self.promises.chain.verify(&signed.note).unwrap_or_else(|e| panic!("a signature: {e}"));
        if self.promises.signer(&signed.note) != *World::key().verifier() {
            self.coverage.met("action: checkpoint signed by a later key");
        }
        let known = self.promises.checkpoints.iter().find(|(known, _)| known.size == checkpoint.size);
        match known {
            Some((known, _)) => assert_eq!(known.root, checkpoint.root, "two roots at {} leaves", known.size),
            None => self.promises.checkpoints.push((checkpoint, signed.note.to_string())),
        }
    }

    /// Asks for the receipt of some revision, and keeps it.
    pub fn ask_receipt(&mut self) {
        let blocks = self.model.blocks.len() as u64;
        if blocks == 0 {
            return;
        }
        let number = self.rng.below(blocks);
        let ledger = self.database().ledger().clone();
        let block = self.sim.disk.quietly(|| ledger.read_block(number));
        let block = block.unwrap_or_else(|error| panic!("block {number} cannot be read: {error}"));
        let at = self.rng.below(block.revisions.len() as u64) as usize;
        let Some(revision) = block.revisions.get(at) else { return };
        let receipt = match ledger.receipt(revision.position) {
            Ok(receipt) => receipt,
            Err(error) => {
                let excused = self.trouble.of_disk();
                assert!(excused || self.sim.disk.is_stopped(), "no receipt: {error}");
                return;
            }
        };
        let expectation = Expectation {
            origin: ledger.origin().to_owned(),
            table_id: revision.table_id,
            document_id: revision.document_id,
            version: Some(revision.version),
            content: None,
        };
        let signed = ledger.newest_checkpoint();
        self.keep(&signed);
        self.promises.receipts.push((receipt.encode(), expectation));
        self.coverage.met("action: receipt");
    }

    /// Everything handed out still holds: every receipt by itself, every pair of checkpoints by a proof.
    pub fn check_promises(&mut self) {
        let trust = self.promises.chain.trust();
        for (_, note) in &self.promises.checkpoints {
            self.promises.chain.verify(note).unwrap_or_else(|e| panic!("a checkpoint: {e}"));
        }
        for (bytes, expectation) in &self.promises.receipts {
            let receipt = Receipt::decode(bytes).unwrap_or_else(|e| panic!("a receipt: {e}"));
            let verdict = verify(&receipt, &trust, expectation).unwrap_or_else(|e| panic!("a receipt: {e}"));
            assert!(verdict.kind != VerdictKind::Withheld, "data was withheld");
        }
        let ledger = self.database().ledger().clone();
        let end = ledger.snapshot();
        // Of the two slots one may have been damaged: what is signed again is what was signed before.
        let newest = match self.sim.disk.quietly(|| ledger.checkpoint()) {
            Ok(signed) => signed.checkpoint.size,
            Err(error) => {
                assert!(self.trouble.of_disk() || self.sim.disk.is_stopped(), "no checkpoint: {error}");
                ledger.newest_checkpoint().checkpoint.size
            }
        };
        self.note_rotation();
        let mut kept: Vec<&Checkpoint> = self.promises.checkpoints.iter().map(|(checkpoint, _)| checkpoint).collect();
        kept.sort_by_key(|checkpoint| checkpoint.size);
        for pair in kept.windows(2) {
            let [older, newer] = pair else { continue };
            assert!(newer.size <= end, "a checkpoint of {} leaves; the ledger has {end}", newer.size);
            if newer.size > newest {
                continue;
            }
            let proof = self.sim.disk.quietly(|| ledger.consistency(older.size, newer.size));
            let proof = proof.unwrap_or_else(|e| panic!("no consistency proof {}..{}: {e}", older.size, newer.size));
            verify_consistency(older.size, newer.size, &older.root, &newer.root, &proof)
                .unwrap_or_else(|e| panic!("{} is not consistent with {}: {e}", newer.size, older.size));
        }
    }

    /// What has come of a rotation that the last power failure interrupted. A checkpoint has been asked for since.
    fn note_rotation(&mut self) {
        if self.follow_rotations()
            && let Some(before) = self.rotating.take()
        {
            self.coverage.met(match self.promises.keys() > before {
                true => "action: rotation finished after a crash",
                false => "action: rotation that a crash has undone",
            });
        }
    }

    /// Full verification of the directory against the newest checkpoint that was handed out.
    pub fn verify(&mut self) {
        let newest = self.promises.checkpoints.iter().max_by_key(|(checkpoint, _)| checkpoint.size);
        let options = VerifyOptions {
            checkpoint: newest.map(|(_, note)| note.clone()),
            vkey: Some(newest.map_or_else(|| World::key().verifier().clone(), |(_, note)| self.promises.signer(note))),
            ..VerifyOptions::default()
        };
        self.sim.disk.set_noise(Default::default());
        let rebuilt = ledgerstone_journal::rebuild_derived(&self.env, World::dir(), &mut |_, _| ());
        rebuilt.unwrap_or_else(|error| panic!("doctor: {error}"));
        self.coverage.met("action: doctor");
        let report = verify_directory(&self.env, World::dir(), options);
        // Of the two slots one may be torn since a crash; that is said, and the other one is what counts.
        let torn_slot = |finding: &Finding| {
            finding.verdict == Verdict::CouldNotBeChecked && finding.path == World::path("checkpoint")
        };
        assert!(report.findings.iter().all(torn_slot), "{:#?}", report.findings);
        assert!(report.verdict() != Verdict::DoesNotHold);
        assert_eq!(report.rotations as usize + 1, self.promises.keys(), "the keys of the directory");
        self.coverage.met("action: verify");
    }
}
