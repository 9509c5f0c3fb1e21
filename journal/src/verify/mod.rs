//! Full verification of a ledger's directory: every hash is derived again from the files (docs/format.md, "Full
//! verification"; docs/security.md says what that proves and what not).
//!
//! Alone it says "consistent with itself", which a directory that somebody rewrote and signed again is as well. With a
//! checkpoint and a verifier key that somebody else kept it says whether this is still that ledger. Nothing is
//! written.

mod audit;
mod damage;
mod keys;
mod level_files;
mod records;
mod report;
mod walk;
mod work;

use std::io;
use std::path::Path;

use ledgerstone_digest::checkpoint::{Checkpoint, UnverifiedCheckpoint};
use ledgerstone_digest::full::OpenRedaction;
use ledgerstone_digest::note::VerifierKey;
use ledgerstone_digest::rotation::KeyChain;
use ledgerstone_digest::verifier::{Refusal, TrustedKey};

pub use report::{Compared, Finding, Verdict, VerifyReport};

use crate::checkpoint::{CHECKPOINT_FILE, CHECKPOINT_MAGIC};
use crate::env::{Entry, EntryKind, Env, OpenMode, Storage};
use crate::recovery::lock_to_read;
use crate::redaction::{REDACTION_FILE, REDACTION_MAGIC, new_segment};
use crate::segment::{JOURNAL_DIR, NEXT_SEGMENT, segment_number, segment_path};
use crate::slots::{self, Slot, read_up_to};
use audit::{Audit, Audited};
use level_files::read_slots;
use records::Seeker;
use walk::Walk;
use work::Pool;

/// With what a directory is compared, and who hears about the progress.
#[derive(Default)]
pub struct VerifyOptions<'a> {
    /// A signed checkpoint that somebody else kept. It is believed only with [`VerifyOptions::vkey`].
    pub checkpoint: Option<String>,
    /// The ledger's verifier key, from outside the directory.
    pub vkey: Option<VerifierKey>,
    /// On how many threads; `None`: as many as there are processors. What is found does not depend on it.
    pub threads: Option<usize>,
    /// Called after each segment with the bytes read and the bytes there are.
    pub progress: Option<&'a mut dyn FnMut(u64, u64)>,
}

/// Verifies a ledger's directory. Never fails: what stands in its way is in the report.
pub fn verify_directory(env: &Env, dir: &Path, options: VerifyOptions<'_>) -> VerifyReport {
    let mut report = VerifyReport::new();
    let storage = &*env.storage;
    let VerifyOptions { checkpoint, vkey, threads, progress } = options;
    let Ok(_lock) = lock_to_read(storage, dir) else {
        report.unchecked(dir, None, "a server has this ledger open; stop it, or verify a copy");
        return report;
    };
    let kept = kept_checkpoint(dir, checkpoint.as_deref(), vkey.as_ref(), &mut report);
    let redaction = dir.join(REDACTION_FILE);
    if read_slots(storage, &redaction, REDACTION_MAGIC, &mut report).is_some() {
        report.unchecked(&redaction, Some(0), "a redaction is under way; start the server, which finishes it");
    }
    let recorded = recorded_checkpoints(storage, dir, &mut report);
    let segments = match segments(storage, dir, &mut report) {
        Some(segments) => segments,
        None => return report,
    };
    let largest = recorded.iter().map(|r| r.checkpoint.unverified().size).max().unwrap_or(0);
    let handovers = keys::handovers(storage, dir, &mut report);
    let sizes = recorded.iter().map(|r| r.checkpoint.unverified().size).chain(kept.iter().map(|c| c.size));
    let sizes = sizes.chain(handovers.iter().map(|handover| handover.from));
    let signed = sizes.clone().max().unwrap_or(0);
    let mut audit = Audit::new(storage, dir, sizes.collect(), &mut report);
    let audited = Pool::with(threads, |pool| {
        let mut walk = Walk::new(storage, dir, signed, pool);
        let whole = walk_segments(&mut walk, &mut audit, storage, dir, segments, progress, &mut report);
        let audited = audit.finish(whole, &mut report);
        if !audited.open.is_empty() {
            look_for_redacted(Walk::new(storage, dir, signed, pool), dir, segments, &audited.open, &mut report);
        }
        audited
    });
    let chain = keys::follow(dir, &handovers, &audited, largest, &mut report);
    compare_recorded(dir, &recorded, chain.as_ref(), &audited, &mut report);
    compare_kept(dir, kept.as_ref(), vkey.as_ref(), chain.as_ref(), &audited, &mut report);
    report
}

/// A note found in one slot of the file `checkpoint`.
struct Recorded {
    offset: u64,
    checkpoint: UnverifiedCheckpoint,
}

fn kept_checkpoint(
    dir: &Path,
    note: Option<&str>,
    vkey: Option<&VerifierKey>,
    report: &mut VerifyReport,
) -> Option<Checkpoint> {
    let note = note?;
    let Some(vkey) = vkey else {
        report.unchecked(dir, None, "a checkpoint was given without the verifier key that it must be signed with");
        return None;
    };
    match UnverifiedCheckpoint::parse(note).and_then(|checkpoint| checkpoint.verify(vkey)) {
        Ok(checkpoint) => {
            report.compared = Compared::WithCheckpoint { size: checkpoint.size, root: checkpoint.root };
            Some(checkpoint)
        }
        Err(error) => {
            report.unchecked(dir, None, format!("the given checkpoint cannot be used: {error}"));
            None
        }
    }
}

fn recorded_checkpoints(storage: &dyn Storage, dir: &Path, report: &mut VerifyReport) -> Vec<Recorded> {
    let path = dir.join(CHECKPOINT_FILE);
    let Some(slots) = read_slots(storage, &path, CHECKPOINT_MAGIC, report) else {
        let what = "the checkpoint file is missing; it is not derived from the journal: restore it from a backup";
        report.broken(&path, None, None, what);
        return Vec::new();
    };
    let mut recorded = Vec::new();
    for (which, slot) in slots.iter().enumerate() {
        let Slot::Valid { payload, .. } = slot else { continue };
        let offset = (which * slots::SLOT_BYTES) as u64;
        let note = std::str::from_utf8(payload).ok().map(UnverifiedCheckpoint::parse);
        match note {
            Some(Ok(checkpoint)) => recorded.push(Recorded { offset, checkpoint }),
            Some(Err(error)) => report.broken(&path, Some(offset), None, error.to_string()),
            None => report.broken(&path, Some(offset), None, "the recorded checkpoint is not text"),
        }
    }
    recorded
}

/// The numbers of the segments: 0, 1, 2 … without a gap. Anything else in the directory is reported.
fn segments(storage: &dyn Storage, dir: &Path, report: &mut VerifyReport) -> Option<u64> {
    let path = dir.join(JOURNAL_DIR);
    let entries = match storage.read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            report.unchecked(&path, None, "there is no ledger here");
            return None;
        }
        Err(error) => {
            report.unchecked(&path, None, error.to_string());
            return None;
        }
    };
    let mut next = 0;
    for Entry { name, kind } in entries {
        match segment_number(&name) {
            Some(number) if kind == EntryKind::File && number == next => next += 1,
            Some(number) if kind == EntryKind::File => {
                let what = format!("segment {next} is missing, segment {number} is there; restore it from a backup");
                report.broken(&path, None, None, what);
                return Some(next);
            }
            _ if name == NEXT_SEGMENT => prepared(storage, &path.join(name), report),
            _ if new_segment(&name).is_some() => {
                let what = "a segment was being written anew when the server ended; its next start sees to it";
                report.unchecked(&path.join(&name), None, what);
            }
            _ => report.unchecked(&path.join(&name), None, "this does not belong to a journal; it was not looked at"),
        }
    }
    if next == 0 {
        report.broken(&path, None, None, "there is no segment");
        return None;
    }
    Some(next)
}

/// A segment that was prepared ahead holds nothing yet.
fn prepared(storage: &dyn Storage, path: &Path, report: &mut VerifyReport) {
    let mut find = || -> io::Result<Option<u64>> {
        let file = storage.open(path, OpenMode::Read)?;
        let mut buffer = vec![0; 1 << 20];
        let mut offset = 0;
        loop {
            let read = read_up_to(&*file, &mut buffer, offset)?;
            report.bytes += read as u64;
            match buffer[..read].iter().position(|byte| *byte != 0) {
                Some(at) => return Ok(Some(offset + at as u64)),
                None if read < buffer.len() => return Ok(None),
                None => offset += read as u64,
            }
        }
    };
    match find() {
        Ok(None) => {}
        Ok(Some(offset)) => {
            let what = "the prepared segment is not all zeros; nothing in it is used, and the next start removes it";
            report.unchecked(path, Some(offset), what);
        }
        Err(error) => report.unchecked(path, None, error.to_string()),
    }
}

fn walk_segments(
    walk: &mut Walk<'_>,
    audit: &mut Audit<'_>,
    storage: &dyn Storage,
    dir: &Path,
    segments: u64,
    mut progress: Option<&mut dyn FnMut(u64, u64)>,
    report: &mut VerifyReport,
) -> bool {
    let length = |number| {
        let open = storage.open(&segment_path(dir, number), OpenMode::Read);
        open.and_then(|file| file.len()).unwrap_or(0)
    };
    let total = if progress.is_some() { (0..segments).map(length).sum() } else { 0 };
    for number in 0..segments {
        if walk.segment(number, number + 1 == segments, audit, report).is_err() {
            return false;
        }
        if let Some(progress) = &mut progress {
            progress(report.bytes, total);
        }
    }
    true
}

/// Walks once more, for the revisions that records of redactions name. The journal held on the first walk.
fn look_for_redacted(mut walk: Walk<'_>, dir: &Path, segments: u64, open: &[OpenRedaction], report: &mut VerifyReport) {
    let mut seeker = Seeker::new(open);
    let mut again = VerifyReport::new();
    let held =
        (0..segments).all(|number| walk.segment(number, number + 1 == segments, &mut seeker, &mut again).is_ok());
    let journal = dir.join(JOURNAL_DIR);
    if held {
        seeker.finish(&journal, open.len(), report);
    } else {
        report.unchecked(&journal, None, "the journal changed while it was verified; verify it again");
    }
}

/// The recorded checkpoints must be signed by a key that may sign their size, over roots that the journal gives.
fn compare_recorded(
    dir: &Path,
    recorded: &[Recorded],
    chain: Option<&KeyChain>,
    audited: &Audited,
    report: &mut VerifyReport,
) {
    let path = dir.join(CHECKPOINT_FILE);
    let Some(chain) = chain else { return };
    for Recorded { offset, checkpoint } in recorded {
        match chain.verify(&checkpoint.to_string()) {
            Ok(checkpoint) => {
                report.checkpoint_size = report.checkpoint_size.max(Some(checkpoint.size));
                let what = audited.compare(&checkpoint);
                if let Some(what) = what {
                    report.broken(&path, Some(*offset), None, format!("the recorded checkpoint: {what}"));
                }
            }
            Err(error) => {
                report.broken(&path, Some(*offset), None, format!("the recorded checkpoint: {error}"));
            }
        }
    }
}

/// What somebody else kept decides.
fn compare_kept(
    dir: &Path,
    kept: Option<&Checkpoint>,
    vkey: Option<&VerifierKey>,
    chain: Option<&KeyChain>,
    audited: &Audited,
    report: &mut VerifyReport,
) {
    let mut range = None;
    if let (Some(given), Some(chain), Some(own)) = (vkey, chain, &audited.vkey) {
        range = chain.of(given);
        if range.is_none() {
            let what = match chain.current() {
                current if current == own => format!("the genesis names the key {own}, you hold {given}"),
                current => {
                    format!("the genesis names the key {own}, which was followed to {current}; you hold {given}")
                }
            };
            report.broken(dir, None, None, format!("{what}: this is not the ledger you know"));
        }
    }
    let Some(kept) = kept else { return };
    if let Some(TrustedKey { key, size_min, size_max }) = range
        && !(*size_min..=*size_max).contains(&kept.size)
    {
        let (size, vkey) = (kept.size, key.to_string());
        let beyond = Refusal::OutOfRange { size, vkey, size_min: *size_min, size_max: *size_max };
        report.broken(dir, None, None, format!("the checkpoint you hold: {beyond}"));
    }
    if let Some(what) = audited.compare(kept) {
        report.broken(dir, None, None, format!("the checkpoint you hold: {what}"));
    }
}
