//! Checks a proof file of one leaf (`c2sp.org/tlog-proof@v1`): the form that stock tools read.

use std::path::Path;

use ledgerstone_digest::leaf::Leaf;
use ledgerstone_digest::tlog_proof::{TlogProof, TlogProofError};
use ledgerstone_digest::verifier::verify_head;

use super::receipt::refused;
use super::{Given, key_advice, time_text};
use crate::cli::report::{Check, Finding, Outcome};

pub fn check(path: &Path, text: &str, given: &Given) -> Check {
    let mut check = Check::new(path, "a proof file of one leaf");
    let proof = match TlogProof::parse(text) {
        Ok(proof) => proof,
        Err(error) => return check.broken(error.to_string()),
    };
    let Some(key) = &given.key else {
        return check
            .unchecked("a proof says something only to who knows the ledger's key; none was given")
            .advice(key_advice(proof.checkpoint.lines().next()));
    };
    let Some(entry) = &given.leaf else {
        return check
            .unchecked("the file proves that a leaf stands at a position, but does not hold the leaf")
            .advice(format!(
                "Give it as --leaf FILE, or in hexadecimal. SQL shows it:\n  psql -h HOST -p PORT LEDGER -At -c \"SELECT ledgerstone_leaf({})\"",
                proof.index
            ));
    };
    let head = match verify_head(&proof.checkpoint, &given.trust(key), key.name()) {
        Ok(head) => head,
        Err(refusal) => return refused(check, &refusal),
    };
    check.fact("ledger", head.checkpoint.origin.clone());
    check.fact("size", head.checkpoint.size);
    check.fact("root", head.checkpoint.root.to_string());
    check.fact("position", proof.index);
    match proof.verify_path(entry, &head.checkpoint) {
        Ok(()) => check.proved(format!("A leaf with exactly these bytes stands at position {}.", proof.index)),
        Err(TlogProofError::Path(problem)) => {
            let finding =
                Finding::of(Outcome::Broken, format!("the leaf is not in the tree at this position: {problem}"));
            check.finding(Finding { position: Some(proof.index), ..finding });
            return check;
        }
        Err(error) => return check.broken(error.to_string()),
    }
    match Leaf::decode(entry) {
        Ok(leaf) => leaf_facts(&mut check, &leaf, given),
        Err(error) => check.finding(Finding::of(Outcome::Broken, format!("the bytes are not a leaf: {error}"))),
    }
    if let Some(kept) = &given.kept {
        check.proved(format!("It is of the one history that your checkpoint of size {} is of.", kept.checkpoint.size));
    }
    check.not_proved("What the revision says: a leaf holds a commitment to it; a receipt opens that.");
    check
}

fn leaf_facts(check: &mut Check, leaf: &Leaf, given: &Given) {
    let expected = given.table.is_some() || given.document.is_some() || given.version.is_some();
    if expected && !matches!(leaf, Leaf::Revision(_)) {
        let text = "the leaf is not a revision, so it is not of the table, document or version that you expect";
        check.finding(Finding::of(Outcome::Broken, text));
    }
    if given.content.is_some() {
        let text = "a leaf does not show content, so it cannot be compared with what you expect; a receipt shows it";
        check.finding(Finding::of(Outcome::Unchecked, text));
    }
    match leaf {
        Leaf::Genesis(genesis) => {
            check.fact("leaf", "genesis");
            check.fact("created", time_text(genesis.created_ms));
        }
        Leaf::Revision(revision) => {
            check.fact("leaf", if revision.deleted { "deletion" } else { "revision" });
            check.fact("table", revision.table_id.to_string());
            check.fact("document", revision.document_id.to_string());
            check.fact("version", revision.version);
            check.fact("block", revision.block);
            let mut compare = |what: &str, expected: Option<String>, found: String| {
                if expected.as_ref().is_some_and(|expected| *expected != found) {
                    let expected = expected.unwrap_or_default();
                    let text = format!("the leaf is about {what} {found}, not {expected}");
                    check.finding(Finding::of(Outcome::Broken, text));
                }
            };
            compare("table", given.table.map(|id| id.to_string()), revision.table_id.to_string());
            compare("document", given.document.map(|id| id.to_string()), revision.document_id.to_string());
            compare("version", given.version.map(|n| n.to_string()), revision.version.to_string());
        }
        Leaf::Block(block) => {
            check.fact("leaf", "block");
            check.fact("block", block.block);
            check.fact("transaction", block.transaction_id.to_string());
            check.fact("time", time_text(block.time_ms));
        }
        Leaf::Other { kind, .. } => check.fact("leaf", format!("of the unknown kind {kind}")),
    }
}
