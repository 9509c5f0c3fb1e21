//! Checks signed checkpoints: that the key signed them, and that one history stands behind two of them.

use std::path::{Path, PathBuf};

use ledgerstone_digest::Hash;
use ledgerstone_digest::checkpoint::Checkpoint;
use ledgerstone_digest::note::VerifierKey;
use ledgerstone_digest::verifier::{Refusal, Trust, verify_head, verify_signatures};

use super::receipt::refused;
use super::{Given, key_advice};
use crate::cli::report::Check;

/// One check for each checkpoint; from the second on, and from the first if one was kept, also against the one before.
pub fn check(notes: &[(PathBuf, String)], proof: Option<&[Hash]>, given: &Given) -> Vec<Check> {
    let Some(key) = &given.key else {
        let (path, note) = match notes.first() {
            Some((path, note)) => (path.as_path(), note.as_str()),
            None => (Path::new(""), ""),
        };
        let origin = note.lines().next();
        let check = Check::new(path, "a checkpoint").unchecked("a checkpoint says something only to who knows the key");
        return vec![check.advice(key_advice(origin))];
    };
    let mut checks = Vec::new();
    let mut before: Option<(String, Checkpoint)> =
        given.kept.as_ref().map(|kept| (kept.path.display().to_string(), kept.checkpoint.clone()));
    for (path, note) in notes {
        let trust = Trust {
            pinned: before.as_ref().map(|(_, checkpoint)| checkpoint.clone()),
            consistency: proof.map(<[Hash]>::to_vec),
            ..given.trust(key)
        };
        let (check, read) = one(path, note, &trust, before.as_ref().map(|(name, _)| name.as_str()), key);
        before = read.map(|checkpoint| (path.display().to_string(), checkpoint)).or(before);
        checks.push(check);
    }
    checks
}

/// A checkpoint, and what it states if its signature holds.
fn one(path: &Path, note: &str, trust: &Trust, before: Option<&str>, key: &VerifierKey) -> (Check, Option<Checkpoint>) {
    let mut check = Check::new(path, "a checkpoint");
    let head = match verify_signatures(note, trust, key.name()) {
        Ok(head) => head,
        Err(refusal) => return (refused(check, &refusal), None),
    };
    check.fact("ledger", head.checkpoint.origin.clone());
    check.fact("size", head.checkpoint.size);
    check.fact("root", head.checkpoint.root.to_string());
    check.proved("The ledger's key signed this size and root.");
    let Some((pinned, before)) = trust.pinned.as_ref().zip(before) else {
        check.not_proved(
            "That it belongs to the history you know: give a second checkpoint, and --consistency FILE between the two.",
        );
        return (check, Some(head.checkpoint));
    };
    match verify_head(note, trust, key.name()) {
        Ok(_) if pinned.size == head.checkpoint.size => {
            check.proved(format!("It is the checkpoint of {before} again: same size, same root."));
        }
        Ok(_) => {
            let (older, newer) = if pinned.size < head.checkpoint.size { (before, "this") } else { ("this", before) };
            check.proved(format!(
                "One history is behind both: the tree of {newer} begins with the tree of {older}; nothing was changed or \
                 taken away between sizes {} and {}.",
                pinned.size.min(head.checkpoint.size),
                pinned.size.max(head.checkpoint.size)
            ));
        }
        Err(Refusal::Consistency(problem)) => {
            check = check.broken(format!("the consistency proof does not lead from {before} to this: {problem}"));
            check = check.advice("Either the proof is of other sizes, or the ledger shows two histories.");
        }
        Err(refusal) => check = refused(check, &refusal),
    }
    (check, Some(head.checkpoint))
}
