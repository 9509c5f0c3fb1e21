//! What auditors read: notes, tlog proofs, receipts and their verifier.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use ledgerstone_digest::Hash;
use ledgerstone_digest::checkpoint::UnverifiedCheckpoint;
use ledgerstone_digest::ion::{self, Value};
use ledgerstone_digest::note::{Note, VerifierKey};
use ledgerstone_digest::receipt::Receipt;
use ledgerstone_digest::rotation::KeyChain;
use ledgerstone_digest::tlog_proof::TlogProof;
use ledgerstone_digest::verifier::{
    BlockStatement, Expectation, Trust, Verdict, VerdictKind, verify, verify_transaction,
};

/// The key that signed everything in the corpus.
static KEY: LazyLock<VerifierKey> = LazyLock::new(|| {
    let path = super::corpus_folder().join("../vkey");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.trim().parse().expect("a verifier key")
});

/// The checkpoints that it signed, as far as the corpus has them.
static SIGNED: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let notes = super::corpus("note").into_iter().filter_map(|(_, bytes)| String::from_utf8(bytes).ok());
    let receipts = super::corpus("receipt").into_iter().filter_map(|(_, bytes)| Receipt::decode(&bytes).ok());
    let proofs = super::corpus("tlog_proof").into_iter().filter_map(|(_, bytes)| String::from_utf8(bytes).ok());
    let proofs = proofs.filter_map(|text| TlogProof::parse(&text).ok()).map(|proof| proof.checkpoint);
    let all = notes.chain(receipts.map(|receipt| receipt.checkpoint)).chain(proofs);
    all.filter_map(|note| Note::parse(&note).ok()).map(|note| note.unverified_text().to_owned()).collect()
});

/// What the untouched receipts of the corpus prove.
static PROVED: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let receipts = super::corpus("receipt").into_iter().filter_map(|(_, bytes)| Receipt::decode(&bytes).ok());
    let proved: BTreeSet<String> = receipts.flat_map(|receipt| verdicts(&receipt)).collect();
    assert!(!proved.is_empty(), "the receipts of the corpus verify");
    proved
});

/// The keys that the untouched receipts of the corpus hand over to.
static FOLLOWED: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let receipts = super::corpus("receipt").into_iter().filter_map(|(_, bytes)| Receipt::decode(&bytes).ok());
    let followed: BTreeSet<String> = receipts.filter_map(|receipt| followed(&receipt)).collect();
    assert!(!followed.is_empty(), "no receipt of the corpus rotates the key");
    followed
});

/// Whatever is read is written as it was; whatever the key vouches for, it has signed.
pub fn note(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(note) = Note::parse(text) {
        if note.verify(&KEY).is_ok_and(|by_it| by_it) {
            assert!(SIGNED.contains(note.unverified_text()), "forged: {text}");
        }
        let _ = note.verify_cosignature(&KEY);
    }
    if let Ok(checkpoint) = UnverifiedCheckpoint::parse(text)
        && checkpoint.verify(&KEY).is_ok()
    {
        assert!(SIGNED.iter().any(|signed| text.starts_with(signed.as_str())), "forged: {text}");
    }
    if let Ok(key) = text.trim().parse::<VerifierKey>() {
        assert_eq!(key.to_string().parse().as_ref(), Ok(&key), "a key comes back");
    }
}

/// A proof has one form, and verifies only what it is about.
pub fn tlog_proof(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(proof) = TlogProof::parse(text) else { return };
    assert_eq!(TlogProof::parse(&proof.to_text()).as_ref(), Ok(&proof));
    for entry in [&b"no leaf of this ledger"[..], b""] {
        assert!(proof.verify(entry, &KEY).is_err());
    }
}

/// A receipt has one encoding, and is verified only for what was proved by the untouched ones.
pub fn receipt(bytes: &[u8]) {
    let Ok(receipt) = Receipt::decode(bytes) else { return };
    let again = Receipt::decode(&receipt.encode()).expect("what is encoded is decoded");
    assert_eq!(again, receipt);
    for verdict in verdicts(&receipt) {
        assert!(PROVED.contains(&verdict), "proved, and was never so: {verdict}");
    }
    if let Some(key) = followed(&receipt) {
        assert!(FOLLOWED.contains(&key), "took over, and never did: {key}");
    }
}

/// The key that a receipt makes whoever holds the first one trust.
fn followed(receipt: &Receipt) -> Option<String> {
    let mut chain = KeyChain::new(KEY.clone());
    chain.follow(receipt).is_ok().then(|| chain.current().to_string())
}

/// Everything that a receipt is verified for, fact by fact.
fn verdicts(receipt: &Receipt) -> Vec<String> {
    let trust = Trust::in_key(KEY.clone());
    let origin = KEY.name().to_owned();
    let mut proved = Vec::new();
    for revision in &receipt.revisions {
        let leaf = &revision.leaf;
        let expectation = Expectation {
            origin: origin.clone(),
            table_id: leaf.table_id,
            document_id: leaf.document_id,
            version: None,
            content: None,
        };
        if let Ok(verdict) = verify(receipt, &trust, &expectation) {
            revision_facts(&verdict, &mut proved);
        }
    }
    if let Ok(verdict) = verify_transaction(receipt, &trust, &origin) {
        block_facts(&verdict.block, &mut proved);
        proved.push(format!("{:?}", verdict.checkpoint));
        for revision in &verdict.revisions {
            let at = revision.position;
            proved.push(format!("{at} {:?}", revision.leaf));
            content_facts(at, revision.kind.as_ref(), revision.data_hash, revision.data.as_deref(), &mut proved);
        }
    }
    proved
}

fn revision_facts(verdict: &Verdict, proved: &mut Vec<String>) {
    let at = verdict.position;
    let (table, document) = (verdict.table_id, verdict.document_id);
    proved.push(format!("{at} {table} {document} {} {:?}", verdict.version, verdict.supersedes));
    proved.push(format!("{:?}", verdict.checkpoint));
    content_facts(at, Some(&verdict.kind), verdict.data_hash, verdict.data.as_deref(), proved);
    block_facts(&verdict.block, proved);
}

/// What is not shown is no lie: a receipt may be made to show less.
fn content_facts(
    at: u64,
    kind: Option<&VerdictKind>,
    hash: Option<Hash>,
    data: Option<&Value>,
    proved: &mut Vec<String>,
) {
    match kind {
        Some(VerdictKind::Deleted) => proved.push(format!("{at} is deleted")),
        Some(VerdictKind::Redacted { record, position, .. }) => proved.push(format!("{at} {record:?} {position}")),
        Some(VerdictKind::Verified | VerdictKind::Withheld) | None => {}
    }
    proved.extend(hash.map(|hash| format!("{at} data hash {hash}")));
    proved.extend(data.map(|data| format!("{at} data {}", ion::ion_hash(data))));
}

fn block_facts(block: &BlockStatement, proved: &mut Vec<String>) {
    let number = block.number;
    let (strand, position, id) = (block.strand, block.position, block.transaction_id);
    proved.push(format!("block {number} {strand} {position} {id} {} {}", block.time_ms, block.revisions));
    let infos = [
        ("transaction", &block.transaction_info),
        ("origin", &block.origin_info),
        ("redaction", &block.redaction_info),
    ];
    for (name, info) in infos {
        proved.extend(info.as_ref().map(|info| format!("block {number} {name} {}", ion::ion_hash(info))));
    }
    proved.extend(block.block_hash.map(|hash| format!("block {number} hash {hash}")));
}
