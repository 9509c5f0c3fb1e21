//! Which keys a directory's checkpoints may be signed with: the genesis' key, and those it was rotated to as far as each
//! key before has signed that (docs/format.md, "Key rotation").

use std::path::Path;

use ledgerstone_digest::rotation::{KeyChain, hands_over};

use super::audit::Audited;
use super::report::VerifyReport;
use crate::env::Storage;
use crate::rotation::{ROTATIONS_DIR, note_path, notes, size_of_note};

/// A note from the directory's `rotations`; nobody has checked it.
pub(super) struct Handover {
    pub from: u64,
    note: std::sync::Arc<str>,
}

/// The notes that are there. Other files beside them are reported.
pub(super) fn handovers(storage: &dyn Storage, dir: &Path, report: &mut VerifyReport) -> Vec<Handover> {
    let folder = dir.join(ROTATIONS_DIR);
    for entry in storage.read_dir(&folder).unwrap_or_default() {
        // `.new`: a rotation was about to keep its note when the power failed.
        if size_of_note(&entry.name).is_none() && !entry.name.ends_with(".new") {
            let what = "this does not belong to the notes of rotations; it was not looked at";
            report.unchecked(&folder.join(&entry.name), None, what);
        }
    }
    match notes(storage, dir) {
        Ok(notes) => {
            report.bytes += notes.iter().map(|(_, note)| note.len() as u64).sum::<u64>();
            notes.into_iter().map(|(from, note)| Handover { from, note }).collect()
        }
        Err(error) => {
            report.unchecked(&error.path.clone(), None, error.to_string());
            Vec::new()
        }
    }
}

/// Follows the rotations of the journal from the genesis' key on, as far as each key has handed over to the next. What
/// else is there is reported. `signed` is the largest recorded size. `None`: there is no genesis to begin with.
pub(super) fn follow(
    dir: &Path,
    handovers: &[Handover],
    audited: &Audited,
    signed: u64,
    report: &mut VerifyReport,
) -> Option<KeyChain> {
    let mut chain = KeyChain::new(audited.vkey.clone()?);
    let mut lost = false;
    for (number, rotation) in audited.rotations.iter().enumerate() {
        let record = &rotation.record;
        let path = note_path(dir, record.from);
        let Some(handover) = handovers.iter().find(|handover| handover.from == record.from) else {
            // Only the last one may not be handed over yet, and then nothing is signed of its size or beyond.
            let last = number + 1 == audited.rotations.len() && handovers.iter().all(|other| other.from < record.from);
            let from = record.from;
            if last && signed < from {
                let what =
                    format!("the rotation of the key at size {from} is not handed over yet; the next start does it");
                report.unchecked(&path, None, what);
            } else {
                let what = format!(
                    "the note is missing with which the key handed over at size {from}, so nothing shows that it agreed; \
                     restore it from a backup"
                );
                report.broken(&path, None, Some(rotation.block), what);
            }
            lost = true;
            break;
        };
        let agreed = hands_over(&handover.note, record).map_err(|refusal| refusal.to_string());
        let agreed = agreed.and_then(|checkpoint| match audited.compare(&checkpoint) {
            None => Ok(()),
            Some(what) => Err(what),
        });
        if let Err(what) = agreed {
            let what = format!("the rotation of the key at size {} is not believed: {what}", record.from);
            report.broken(&path, Some(0), Some(rotation.block), what);
            lost = true;
            break;
        }
        // The record followed in the tree, so it follows here.
        if let Err(problem) = chain.rotate(record, record.from) {
            report.broken(&path, None, Some(rotation.block), problem.to_string());
            lost = true;
            break;
        }
        report.rotations += 1;
    }
    for stray in handovers {
        let in_journal = audited.rotations.iter().any(|rotation| rotation.record.from == stray.from);
        if !in_journal && !lost && audited.is_whole() {
            let what = "no block of the journal rotates the key at this size";
            report.broken(&note_path(dir, stray.from), Some(0), None, what);
        }
    }
    report.vkey = Some(chain.current().to_string());
    Some(chain)
}
