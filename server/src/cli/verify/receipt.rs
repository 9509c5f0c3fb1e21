//! Checks a receipt against the reader's key, kept checkpoint and expectation, and says what follows from it.

use std::path::Path;

use ledgerstone_digest::checkpoint::{CheckpointError, UnverifiedCheckpoint};
use ledgerstone_digest::ion::{Struct, Value, ion_hash, to_text, to_text_pretty};
use ledgerstone_digest::note::VerifierKey;
use ledgerstone_digest::receipt::{Receipt, ReceiptProblem};
use ledgerstone_digest::rotation::KeyChain;
use ledgerstone_digest::verifier::{
    BlockStatement, Expectation, ShownRevision, TransactionVerdict, Unauthenticated, Verdict, VerdictKind, verify,
    verify_transaction,
};
use ledgerstone_digest::{Hash, Id, checkpoint::Checkpoint, verifier::Refusal};
use ledgerstone_query::catalogue::SALT_FIELD;

use super::{Given, key_advice, time_text};
use crate::cli::report::{Check, Finding, Outcome};

/// Lines of a document that people are shown.
const DATA_LINES_MAX: usize = 30;
/// Revisions of a transaction that people are shown.
const REVISIONS_SHOWN_MAX: usize = 20;

pub fn check(path: &Path, bytes: &[u8], given: &Given) -> Check {
    let check = Check::new(path, "a receipt");
    let receipt = match Receipt::decode(bytes) {
        Ok(receipt) => receipt,
        Err(error) => {
            let mut check = check;
            let what = error.problem.to_string();
            check.finding(Finding { offset: Some(error.offset as u64), ..Finding::of(Outcome::Broken, what) });
            return check.advice(match error.problem {
                ReceiptProblem::Short => "If the file was not written to its end, fetch it again, with psql -At.",
                _ => "A receipt is bytes: from psql take encode(ledgerstone_receipt(…), 'base64') with -At.",
            });
        }
    };
    let Some(key) = &given.key else {
        let origin = UnverifiedCheckpoint::parse(&receipt.checkpoint).ok().map(|c| c.unverified().origin.clone());
        return check
            .unchecked("a receipt proves something only to who knows the ledger's key; none was given")
            .advice(key_advice(origin.as_deref()));
    };
    match receipt.revisions.as_slice() {
        [revision] if revision.opening.is_some() => {
            let leaf = &revision.leaf;
            let expectation = Expectation {
                origin: key.name().to_owned(),
                table_id: given.table.unwrap_or(leaf.table_id),
                document_id: given.document.unwrap_or(leaf.document_id),
                version: given.version,
                content: None,
            };
            match verify(&receipt, &given.trust(key), &expectation) {
                Ok(verdict) => revision_check(Check::new(path, "a receipt of one revision"), &verdict, key, given),
                Err(refusal) => refused(check, &refusal),
            }
        }
        _ => match verify_transaction(&receipt, &given.trust(key), key.name()) {
            Ok(verdict) => transaction_check(Check::new(path, "a receipt of a transaction"), &verdict, key, given),
            Err(refusal) => refused(check, &refusal),
        },
    }
}

/// What a refusal means: a link that is broken, or one that the reader has not brought.
pub fn refused(mut check: Check, refusal: &Refusal) -> Check {
    match refusal {
        Refusal::ConsistencyMissing { pinned, size } => {
            let (from, to) = (pinned.min(size), pinned.max(size));
            check
                .unchecked(format!(
                    "it is under the checkpoint of size {size}, the one you kept has size {pinned}: without the \
                     consistency proof between them they could be of two histories"
                ))
                .advice(format!(
                    "Ask the server for it, and give it as --consistency FILE:\n  \
                     psql -h HOST -p PORT LEDGER -At -c \"SELECT ledgerstone_consistency({from}, {to})\" > FILE"
                ))
        }
        Refusal::Binding { position, problem } => {
            let finding = Finding::of(Outcome::Broken, problem.to_string());
            check.finding(Finding { position: Some(*position), ..finding });
            check
        }
        other => advise(check.broken(other.to_string()), other),
    }
}

/// What helps if another key has signed than the one that is trusted.
pub fn advise(check: Check, refusal: &Refusal) -> Check {
    match refusal {
        Refusal::Checkpoint(CheckpointError::NotSigned { .. }) => check.advice(
            "If the ledger's key was rotated: with the key from before it, give the proof as --rotation FILE, which the server \
             has:\n  psql -h HOST -p PORT LEDGER -At -c \"SELECT encode(ledgerstone_rotation(0), 'base64')\" > FILE\n\
             With the key that came after what you check, give the one of that time instead.",
        ),
        _ => check,
    }
}

fn revision_check(mut check: Check, verdict: &Verdict, key: &VerifierKey, given: &Given) -> Check {
    head_facts(&mut check, key, given, &verdict.checkpoint);
    check.fact("table", verdict.table_id.to_string());
    check.fact("document", verdict.document_id.to_string());
    let before = match verdict.supersedes {
        Some(position) => format!("it supersedes position {position}"),
        None => "the first".to_owned(),
    };
    check.fact_as("version", verdict.version, format!("{} ({before})", verdict.version));
    check.fact("position", verdict.position);
    block_facts(&mut check, &verdict.block);
    content_facts(&mut check, &verdict.kind, verdict.data_hash, verdict.data.as_deref());
    let what = shown(&verdict.kind);
    check.proved(format!(
        "{what} stand in the ledger that signs with this key, at position {}, as version {} of this document of this \
         table, in this transaction.",
        verdict.position, verdict.version
    ));
    expected_content(&mut check, verdict.data.as_deref(), verdict.data_hash, given);
    let compared: Vec<&str> = [
        given.table.map(|_| "table"),
        given.document.map(|_| "document"),
        given.version.map(|_| "version"),
        given.content.as_ref().filter(|_| check.outcome == Outcome::Holds).map(|_| "content"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !compared.is_empty() {
        check.proved(format!("It is about what you expect: {}.", compared.join(", ")));
    }
    if verdict.imported {
        check.not_proved(
            "Anything from before the import: it existed then; earlier times are vouched for only by a QLDB digest.",
        );
    }
    if given.table.is_none() || given.document.is_none() {
        check.not_proved(
            "That this is the document you mean: compare table and document above, or give --table and --document.",
        );
    }
    check.not_proved(
        "That it is the latest version of the document (that needs all leaves: an export or the directory).",
    );
    common_limits(&mut check, given, verdict.witnessed, &verdict.unauthenticated);
    check
}

fn transaction_check(mut check: Check, verdict: &TransactionVerdict, key: &VerifierKey, given: &Given) -> Check {
    head_facts(&mut check, key, given, &verdict.checkpoint);
    block_facts(&mut check, &verdict.block);
    let texts: Vec<String> = verdict.revisions.iter().map(revision_text).collect();
    let mut shown = texts.iter().take(REVISIONS_SHOWN_MAX).cloned().collect::<Vec<_>>().join("\n");
    if texts.len() > REVISIONS_SHOWN_MAX {
        shown.push_str(&format!("\n… and {} more", texts.len() - REVISIONS_SHOWN_MAX));
    }
    check.fact_as("revisions", texts, shown);
    if let Some(info) = &verdict.block.transaction_info {
        check.fact_as("transaction", to_text(info), cut(&to_text_pretty(info)));
    }
    if let Some(info) = &verdict.block.origin_info {
        check.fact("by", to_text(info));
    }
    check.proved(format!(
        "This transaction made exactly these {} revisions and no other, in the ledger that signs with this key.",
        verdict.block.revisions
    ));
    expected_revision(&mut check, verdict, given);
    common_limits(&mut check, given, verdict.witnessed, &verdict.unauthenticated);
    check
}

fn revision_text(revision: &ShownRevision) -> String {
    let leaf = &revision.leaf;
    let data = match (&revision.kind, &revision.data) {
        (_, Some(data)) => to_text(data),
        (Some(VerdictKind::Deleted), _) => "deleted".to_owned(),
        (Some(VerdictKind::Redacted { .. }), _) => "redacted".to_owned(),
        (Some(_), None) => "withheld".to_owned(),
        (None, None) => "not shown".to_owned(),
    };
    let head = format!(
        "position {}: table {}, document {}, version {}: ",
        revision.position, leaf.table_id, leaf.document_id, leaf.version
    );
    head + &data.chars().take(200).collect::<String>()
}

/// A transaction's receipt has to contain the revision that is expected, if one is.
fn expected_revision(check: &mut Check, verdict: &TransactionVerdict, given: &Given) {
    let any = given.table.is_some() || given.document.is_some() || given.version.is_some() || given.content.is_some();
    if !any {
        return;
    }
    let fits = |wanted: Option<Id>, found: Id| wanted.is_none_or(|wanted| wanted == found);
    let mut fitting = verdict.revisions.iter().filter(|revision| {
        let leaf = &revision.leaf;
        fits(given.table, leaf.table_id)
            && fits(given.document, leaf.document_id)
            && given.version.is_none_or(|version| version == leaf.version)
    });
    let first = fitting.next();
    // Of several the one with the content that is expected, if there is one.
    let is_expected =
        |revision: &&ShownRevision| content_problem(revision.data.as_deref(), revision.data_hash, given).is_none();
    let found = first.filter(is_expected).or_else(|| fitting.find(is_expected)).or(first);
    match found {
        Some(revision) => {
            expected_content(check, revision.data.as_deref(), revision.data_hash, given);
            if check.outcome == Outcome::Holds {
                check.proved(format!("The revision you expect is among them, at position {}.", revision.position));
            }
        }
        None => check.finding(Finding::of(
            Outcome::Broken,
            "no revision of this transaction is of the table, document and version that you expect",
        )),
    }
}

/// Compares the content with what is expected. The salt that SQL tables add is not expected by anybody.
fn expected_content(check: &mut Check, data: Option<&Value>, data_hash: Option<Hash>, given: &Given) {
    if let Some(problem) = content_problem(data, data_hash, given) {
        check.finding(problem);
    }
}

fn content_problem(data: Option<&Value>, data_hash: Option<Hash>, given: &Given) -> Option<Finding> {
    let expected = given.content.as_ref()?;
    let wanted = ion_hash(expected);
    if data_hash == Some(wanted) {
        return None;
    }
    let Some(data) = data else {
        let what = match data_hash {
            Some(_) => {
                "the data is not shown, and its hash is not that of the content you expect; data with a salt cannot be \
                 compared by hash"
            }
            None => "this revision is a deletion: it has no content",
        };
        let outcome = if data_hash.is_some() { Outcome::Unchecked } else { Outcome::Broken };
        return Some(Finding::of(outcome, what));
    };
    let unsalted = |value: &Value| match value.as_struct() {
        Some(fields) => {
            let rest = fields.fields.iter().filter(|(name, _)| name.text() != Some(SALT_FIELD)).cloned();
            Value::Struct(Struct { fields: rest.collect() })
        }
        None => value.clone(),
    };
    (ion_hash(&unsalted(data)) != wanted).then(|| {
        let what = format!("its content is not what you expect, which is {}", to_text(expected));
        Finding::of(Outcome::Broken, what)
    })
}

fn shown(kind: &VerdictKind) -> &'static str {
    match kind {
        VerdictKind::Verified => "This metadata and this data",
        VerdictKind::Withheld => "This metadata, and data with this hash,",
        VerdictKind::Redacted { .. } => "This metadata, and data with this hash that was redacted since,",
        VerdictKind::Deleted => "This metadata, and the deletion of the document,",
    }
}

fn head_facts(check: &mut Check, key: &VerifierKey, given: &Given, checkpoint: &Checkpoint) {
    check.fact("ledger", checkpoint.origin.clone());
    check.fact("key", key.to_string());
    if let Some(current) = given.chain.as_ref().map(KeyChain::current).filter(|current| *current != key) {
        check.fact("rotated to", current.to_string());
    }
    check.fact_as(
        "checkpoint",
        serde_json::json!({ "size": checkpoint.size, "root": checkpoint.root.to_string() }),
        format!("size {}, root {}", checkpoint.size, checkpoint.root),
    );
}

fn block_facts(check: &mut Check, block: &BlockStatement) {
    let value = serde_json::json!({
        "strand": block.strand.to_string(),
        "number": block.number,
        "position": block.position,
        "transaction_id": block.transaction_id.to_string(),
        "time": time_text(block.time_ms),
        "revisions": block.revisions,
    });
    let text = format!(
        "{} of transaction {}, {} (the server's clock)",
        block.number,
        block.transaction_id,
        time_text(block.time_ms)
    );
    check.fact_as("block", value, text);
}

fn content_facts(check: &mut Check, kind: &VerdictKind, data_hash: Option<Hash>, data: Option<&Value>) {
    let verdict = match kind {
        VerdictKind::Verified => "verified",
        VerdictKind::Withheld => "withheld",
        VerdictKind::Redacted { .. } => "redacted",
        VerdictKind::Deleted => "deleted",
    };
    check.fact("verdict", verdict);
    if let VerdictKind::Redacted { record, position, time_ms } = kind {
        let text = format!(
            "by {}, {}, recorded at position {position}:\nversion {} of document {} in table {}, which block {} wrote",
            to_text(&Value::string(record.user.clone())),
            time_text(*time_ms),
            record.version,
            record.document_id,
            record.table_id,
            record.block
        );
        check.fact_as("redaction", serde_json::json!({ "position": position, "time": time_text(*time_ms) }), text);
    }
    match (data, data_hash) {
        (Some(data), _) => check.fact_as("data", to_text(data), cut(&to_text_pretty(data))),
        (None, Some(hash)) => check.fact("data hash", hash.to_string()),
        (None, None) => {}
    }
}

/// What every receipt leaves open.
fn common_limits(check: &mut Check, given: &Given, witnessed: bool, unauthenticated: &[Unauthenticated]) {
    match &given.kept {
        Some(kept) => check.proved(format!(
            "It is of the one history that your checkpoint of size {} ({}) is of.",
            kept.checkpoint.size,
            kept.path.display()
        )),
        None if !witnessed => check.not_proved(
            "That everyone is shown the same ledger: compare with a checkpoint kept elsewhere (--checkpoint).",
        ),
        None => {}
    }
    if witnessed {
        check.proved(format!("{} witness(es) of yours have cosigned the checkpoint.", given.witnesses.required));
    }
    check.not_proved("When it happened: the time is the server's claim.");
    for part in unauthenticated {
        match part {
            Unauthenticated::Signature { name } => {
                check.not_proved(format!("The signature line of {name}: you gave no key for it."));
            }
        }
    }
}

fn cut(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= DATA_LINES_MAX {
        return text.to_owned();
    }
    let shown = lines.get(..DATA_LINES_MAX).unwrap_or_default().join("\n");
    format!("{shown}\n… {} more lines; --json has all", lines.len() - DATA_LINES_MAX)
}
