//! Redaction: data and statement texts leave the files, every hash stays, and what was handed out before still holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ledgerstone_digest::Id;
use ledgerstone_digest::block::{RedactedRevision, RedactionInfo, StatementText};
use ledgerstone_digest::receipt::Receipt;
use ledgerstone_digest::redaction::RedactionRecord;
use ledgerstone_digest::tree::verify_consistency;
use ledgerstone_digest::verifier::{
    Expectation, Trust, Verdict as ReceiptVerdict, VerdictKind, verify, verify_transaction,
};
use ledgerstone_journal::env::sim::Sim;
use ledgerstone_journal::env::{EntryKind, OpenMode, Storage, read_file, write_all_at};
use ledgerstone_journal::verify::{Verdict, VerifyOptions, VerifyReport, verify_directory};
use ledgerstone_journal::{
    CommitError, Committed, Env, Ledger, NewRevision, OpenOptions, ReadError, RedactError, Transaction,
};

use crate::support::*;

/// Repeated in the documents that are redacted, and nowhere else.
pub const SECRET: &str = "q7-secret-q7";
const SECRET_STATEMENT: &str = "INSERT INTO t VALUES ('w9-literal-w9')";

fn small_segments() -> OpenOptions {
    let mut options = options();
    options.segment_bytes = 32 << 10;
    options.staged_above_bytes = 12 << 10;
    options
}

pub fn secret(n: u64) -> NewRevision {
    use ledgerstone_digest::ion::{Struct, Value};
    let data = Value::Struct(Struct::from_fields([
        ("number", Value::int(n as i64)),
        ("field-q7-secret-q7", Value::string(SECRET.repeat(20))),
    ]));
    NewRevision { data: Some(Arc::new(data).into()), ..first(n, 0) }
}

fn run(ledger: &Ledger, transaction: Transaction) -> Committed {
    let future = ledger.submit(transaction);
    ledger.drive();
    future.wait().unwrap()
}

/// Ordinary blocks around one with a secret in it. Returns the secret's block.
fn fill(ledger: &Ledger) -> Committed {
    for n in 1..5 {
        commit(ledger, n, 300).unwrap();
    }
    let mut secretive = transaction(10, vec![first(11, 20), secret(12), first(13, 20)]);
    secretive.statements[0].text = StatementText::Text(SECRET_STATEMENT.into());
    let committed = run(ledger, secretive);
    for n in 20..24 {
        commit(ledger, n, 300).unwrap();
    }
    committed
}

pub fn target(ledger: &Ledger, committed: &Committed, document: u64) -> RedactedRevision {
    RedactedRevision {
        strand: ledger.strand(),
        sequence_no: committed.block,
        table_id: TABLE,
        document_id: id(document),
        version: 0,
    }
}

pub fn redaction(n: u64, targets: &[RedactedRevision]) -> Transaction {
    let records = targets.iter().zip(0..).map(|(target, at)| {
        let record = RedactionRecord {
            block: target.sequence_no,
            table_id: target.table_id,
            document_id: target.document_id,
            version: target.version,
            user: "clerk".into(),
        };
        let data = Some(Arc::new(record.to_value()).into());
        NewRevision { table_id: Id::REDACTIONS, data, listed: None, ..first(n * 100 + at, 0) }
    });
    let mut transaction = transaction(n, records.collect());
    transaction.redaction = Some(RedactionInfo { revisions: targets.to_vec() });
    transaction
}

fn expect(document: u64) -> Expectation {
    Expectation {
        origin: key().name().to_owned(),
        table_id: TABLE,
        document_id: id(document),
        version: Some(0),
        content: None,
    }
}

fn judge(receipt: &Receipt, document: u64) -> ReceiptVerdict {
    let receipt = Receipt::decode(&receipt.encode()).unwrap();
    verify(&receipt, &Trust::in_key(key().verifier().clone()), &expect(document)).unwrap()
}

pub fn files_with(storage: &dyn Storage, path: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in storage.read_dir(path).unwrap() {
        let inner = path.join(&entry.name);
        if entry.kind == EntryKind::Directory {
            found.extend(files_with(storage, &inner, text));
        } else if read_file(storage, &inner, 1 << 30).unwrap().windows(text.len()).any(|w| w == text.as_bytes()) {
            found.push(inner);
        }
    }
    found
}

fn check(env: &Env) -> VerifyReport {
    verify_directory(env, &dir(), VerifyOptions::default())
}

#[test]
fn data_and_text_go_and_everything_still_verifies() {
    let env = Env::memory(1);
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
    let committed = fill(&ledger);
    let position = committed.first_position + 1;
    let before = ledger.receipt(position).unwrap();
    let neighbour = ledger.read_revision(position + 1).unwrap().data;
    let checkpoint = ledger.checkpoint().unwrap().checkpoint;
    let leaves: Vec<_> = (0..ledger.snapshot()).map(|at| ledger.leaf(at).unwrap()).collect();
    assert_eq!(files_with(&*env.storage, &dir(), SECRET).len(), 1);

    let recorded = ledger.redact(redaction(30, &[target(&ledger, &committed, 12)])).unwrap();
    for gone in [SECRET, SECRET_STATEMENT, "w9-literal-w9", "field-q7"] {
        assert_eq!(files_with(&*env.storage, &dir(), gone), Vec::<PathBuf>::new(), "{gone}");
    }
    commit(&ledger, 40, 10).unwrap();
    for reopened in [false, true] {
        let ledger = match reopened {
            false => Arc::clone(&ledger),
            true => {
                ledger.close().unwrap();
                open(&env, &dir(), small_segments()).unwrap().0
            }
        };
        let revision = ledger.read_revision(position).unwrap();
        assert!(revision.redacted && revision.data.is_none());
        assert_eq!(revision.redaction_record, Some(recorded.first_position));
        assert_eq!(ledger.read_revision(position + 1).unwrap().data, neighbour);
        for (at, leaf) in leaves.iter().enumerate() {
            assert_eq!(&ledger.leaf(at as u64).unwrap(), leaf, "leaf {at}");
        }
        assert_eq!(judge(&before, 12).kind, VerdictKind::Verified, "a receipt from before");
        let verdict = judge(&ledger.receipt(position).unwrap(), 12);
        let VerdictKind::Redacted { record, .. } = verdict.kind else { panic!("{:?}", verdict.kind) };
        assert_eq!((record.document_id, &*record.user), (id(12), "clerk"));
        assert_eq!(verdict.data_hash, revision.data_hash);
        assert_eq!(judge(&ledger.receipt(position + 1).unwrap(), 13).kind, VerdictKind::Verified);
        let whole = ledger.transaction_receipt(committed.block).unwrap();
        verify_transaction(&whole, &Trust::in_key(key().verifier().clone()), key().name()).unwrap();
        let newest = ledger.checkpoint().unwrap().checkpoint;
        let proof = ledger.consistency(checkpoint.size, newest.size).unwrap();
        verify_consistency(checkpoint.size, newest.size, &checkpoint.root, &newest.root, &proof).unwrap();
    }
    drop(ledger);
    let report = check(&env);
    assert_eq!(report.findings, []);
    assert_eq!((report.redacted, report.digests_redacted), (1, 1));
}

#[test]
fn a_record_of_a_revision_that_never_was_does_not_hold() {
    type Change = fn(RedactedRevision) -> RedactedRevision;
    let changes: [(&str, Change, Verdict); 6] = [
        ("not carried out yet", |target| target, Verdict::CouldNotBeChecked),
        ("version", |target| RedactedRevision { version: 1, ..target }, Verdict::DoesNotHold),
        ("document", |target| RedactedRevision { document_id: id(99), ..target }, Verdict::DoesNotHold),
        ("table", |target| RedactedRevision { table_id: id(98), ..target }, Verdict::DoesNotHold),
        ("block", |target| RedactedRevision { sequence_no: target.sequence_no + 1, ..target }, Verdict::DoesNotHold),
        ("later block", |target| RedactedRevision { sequence_no: 1 << 40, ..target }, Verdict::DoesNotHold),
    ];
    for (name, change, verdict) in changes {
        let env = Env::memory(1);
        create(&env, &dir());
        let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
        let committed = fill(&ledger);
        // Past the checks that `redact` makes, as a server that lies would.
        let record = run(&ledger, redaction(30, &[change(target(&ledger, &committed, 12))]));
        ledger.close().unwrap();
        drop(ledger);
        let report = check(&env);
        assert_eq!(report.verdict(), verdict, "{name}: {:?}", report.findings);
        let told = report.findings.iter().any(|finding| {
            finding.what.contains(&format!("redaction at position {}", record.first_position))
                && finding.what.contains("no such revision")
        });
        assert_eq!(told, verdict == Verdict::DoesNotHold, "{name}: {:?}", report.findings);
    }
}

#[test]
fn what_cannot_be_redacted_is_refused_and_nothing_changes() {
    let env = Env::memory(1);
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
    let committed = fill(&ledger);
    let good = target(&ledger, &committed, 12);
    let snapshot = ledger.snapshot();
    let wrong = [
        RedactedRevision { version: 1, ..good },
        RedactedRevision { document_id: id(99), ..good },
        RedactedRevision { table_id: Id::TABLES, ..good },
        RedactedRevision { sequence_no: 1000, ..good },
        RedactedRevision { strand: id(5), ..good },
    ];
    for target in wrong {
        assert!(matches!(ledger.redact(redaction(30, &[target])), Err(RedactError::Refused(_))), "{target:?}");
    }
    assert!(matches!(ledger.redact(redaction(30, &[good, good])), Err(RedactError::Refused(_))));
    let mut unlisted = redaction(30, &[good]);
    unlisted.redaction = None;
    assert!(matches!(ledger.redact(unlisted), Err(RedactError::Refused(_))));
    let mut unrecorded = redaction(30, &[good]);
    unrecorded.revisions = vec![first(50, 1)];
    assert!(matches!(ledger.redact(unrecorded), Err(RedactError::Refused(_))));
    assert_eq!(ledger.snapshot(), snapshot);
    ledger.redact(redaction(31, &[good])).unwrap();
    let again = ledger.redact(redaction(32, &[good]));
    assert!(matches!(again, Err(RedactError::Refused(what)) if what.contains("already")));
    drop(ledger);
    assert_eq!(check(&env).verdict(), Verdict::Holds);
}

#[test]
fn revisions_written_ahead_are_redacted_in_their_segments() {
    let env = Env::memory(1);
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
    commit(&ledger, 1, 10).unwrap();
    let mut many: Vec<_> = (100..220).map(|n| first(n, 40_000)).collect();
    many.insert(5, secret(12));
    many.insert(110, secret(13));
    let committed = run(&ledger, transaction(10, many));
    commit(&ledger, 2, 10).unwrap();
    assert!(files_with(&*env.storage, &dir(), SECRET).len() > 1, "they stand in several segments");
    let targets = [12, 13].map(|n| target(&ledger, &committed, n));
    ledger.redact(redaction(30, &targets)).unwrap();
    assert_eq!(files_with(&*env.storage, &dir(), SECRET), Vec::<PathBuf>::new());
    for (at, document) in [(5, 12), (110, 13)] {
        let verdict = judge(&ledger.receipt(committed.first_position + at).unwrap(), document);
        assert!(matches!(verdict.kind, VerdictKind::Redacted { .. }));
    }
    assert!(ledger.read_revision(committed.first_position + 30).unwrap().data.is_some());
    drop(ledger);
    let report = check(&env);
    assert_eq!((report.findings, report.redacted), (vec![], 2));
}

/// Documents of a load that is written ahead, one with a secret among them.
fn load(secretive: u64, others: u64) -> Vec<NewRevision> {
    let mut many: Vec<_> = (1..=others).map(|n| first(secretive * 1000 + n, 40_000)).collect();
    many.insert(20, secret(secretive));
    many
}

#[test]
fn a_load_that_was_killed_leaves_nothing_of_what_is_redacted_later() {
    let mut left = 0;
    // Segments with one staged frame each, and one that holds those of both loads.
    for (segment_bytes, others, step) in [(32 << 10, 60, 11), (12 << 20, 120, 1)] {
        for stop in (0..).step_by(step) {
            let sim = Sim::new(stop);
            let env = sim.env();
            create_sized(&env, &dir(), 16 << 10);
            let options = || OpenOptions { segment_bytes, ..small_segments() };
            let (ledger, _) = open(&env, &dir(), options()).unwrap();
            commit(&ledger, 1, 12_000).unwrap();
            sim.disk.stop_after_writes(stop);
            let before = ledger.snapshot();
            drop(ledger.submit(transaction(9, load(12, others))));
            ledger.drive();
            drop(ledger);
            sim.disk.kill();

            let (ledger, _) = open(&env, &dir(), options()).unwrap();
            if ledger.snapshot() > before {
                break;
            }
            left += files_with(&*env.storage, &dir(), SECRET).len();
            let committed = run(&ledger, transaction(10, load(12, others)));
            commit(&ledger, 2, 10).unwrap();
            ledger.redact(redaction(30, &[target(&ledger, &committed, 12)])).unwrap();
            assert_eq!(files_with(&*env.storage, &dir(), SECRET), Vec::<PathBuf>::new(), "stop {stop}");
            for position in committed.first_position..committed.block_position {
                let revision = ledger.read_revision(position).unwrap();
                assert_eq!(revision.data.is_none(), revision.document_id == id(12));
            }
            ledger.close().unwrap();
            drop(ledger);
            let report = check(&env);
            assert_eq!((report.findings, report.redacted), (vec![], 1), "stop {stop}");
            drop(open(&env, &dir(), options()).unwrap());
        }
    }
    assert!(left > 4, "{left} loads left something behind");
}

#[test]
fn a_load_that_found_no_room_leaves_nothing_of_what_is_redacted_later() {
    let sim = Sim::new(3);
    let env = sim.env();
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
    let committed = run(&ledger, transaction(8, vec![secret(12)]));
    // Two more loads of the same, with a block between them; the last redaction has only what came since the first.
    for (round, redacted) in [(1, committed), (2, run(&ledger, transaction(10, vec![secret(13)])))] {
        for n in [0, 1] {
            sim.disk.set_room(Some(6 << 20));
            let refused = ledger.submit(transaction(round * 100 + n, load(14, 120)));
            ledger.drive();
            assert!(matches!(refused.wait(), Err(CommitError::NoSpace { .. })));
            sim.disk.set_room(None);
            commit(&ledger, round * 10 + n, 10).unwrap();
        }
        assert!(files_with(&*env.storage, &dir(), SECRET).len() > 2, "something was written ahead");
        let document = 11 + round;
        ledger.redact(redaction(round * 100 + 9, &[target(&ledger, &redacted, document)])).unwrap();
        if round == 2 {
            assert_eq!(files_with(&*env.storage, &dir(), SECRET), Vec::<PathBuf>::new());
        }
    }
    drop(ledger);
    let report = check(&env);
    assert_eq!((report.findings, report.redacted), (vec![], 2));
}

#[test]
fn a_load_under_way_is_not_taken_for_one_that_was_given_up() {
    let env = Env::memory(1);
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), OpenOptions { threads: true, ..small_segments() }).unwrap();
    let placed: Vec<_> =
        (0..12).map(|n| ledger.submit(transaction(n + 10, vec![secret(n + 500)])).wait().unwrap()).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..6 {
                let loaded = ledger.submit(transaction(n + 50, load(n + 700, 60))).wait().unwrap();
                let at = |position| ledger.read_revision(position).unwrap();
                assert!((loaded.first_position..loaded.block_position).all(|position| at(position).data.is_some()));
            }
        });
        for (n, committed) in (0..).zip(&placed) {
            ledger.redact(redaction(n + 100, &[target(&ledger, committed, n + 500)])).unwrap();
        }
    });
    ledger.close().unwrap();
    drop(ledger);
    let report = check(&env);
    assert_eq!((report.findings, report.redacted), (vec![], 12));
}

#[test]
fn a_scan_under_way_goes_on_when_a_redaction_replaces_segments() {
    let env = Env::memory(1);
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
    let mut many: Vec<_> = (100..220).map(|n| first(n, 40_000)).collect();
    many.insert(60, secret(12));
    let committed = run(&ledger, transaction(10, many));
    commit(&ledger, 2, 10).unwrap();
    let mut seen = 0;
    let each = &mut |_| {
        seen += 1;
        if seen == 20 {
            ledger.redact(redaction(30, &[target(&ledger, &committed, 12)])).unwrap();
        }
        Ok::<(), ReadError>(())
    };
    ledger.revisions_between(committed.first_position, committed.block_position, &mut |_| None, each).unwrap();
    assert_eq!(seen, 121);
}

#[test]
fn readers_of_a_large_load_meet_no_damage_while_its_rows_are_redacted() {
    let env = Env::memory(1);
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
    let many = (0..30).flat_map(|n| [first(n + 100, 60_000), first(n + 200, 60_000), secret(n + 300)]).collect();
    let committed = run(&ledger, transaction(10, many));
    commit(&ledger, 2, 10).unwrap();
    let done = AtomicBool::new(false);
    let read_all = || {
        for position in committed.first_position..committed.block_position {
            ledger.read_revision(position).unwrap();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    read_all();
                }
            });
        }
        for n in 0..30 {
            ledger.redact(redaction(n + 40, &[target(&ledger, &committed, n + 300)])).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    read_all();
    assert_eq!(files_with(&*env.storage, &dir(), SECRET), Vec::<PathBuf>::new());
}

#[test]
fn a_redaction_longer_than_a_segment_leaves_no_gap_in_the_segments() {
    let env = Env::memory(1);
    create(&env, &dir());
    let mut options = small_segments();
    options.staged_above_bytes = 1 << 20;
    let (ledger, _) = open(&env, &dir(), options).unwrap();
    let committed = fill(&ledger);
    let mut long = redaction(30, &[target(&ledger, &committed, 12)]);
    long.statements[0].text = StatementText::Text("-- why\n".repeat(10_000).into());
    ledger.redact(long).unwrap();
    commit(&ledger, 40, 10).unwrap();
    ledger.close().unwrap();
    drop(ledger);
    assert_eq!(check(&env).findings, []);
    let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
    assert!(ledger.read_revision(committed.first_position + 1).unwrap().data.is_none());
}

#[test]
fn many_redactions_one_after_the_other() {
    let env = Env::memory(1);
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
    let placed: Vec<_> = (0..20).map(|n| run(&ledger, transaction(n + 10, vec![secret(n + 500)]))).collect();
    for (n, committed) in (0..).zip(&placed) {
        ledger.redact(redaction(n + 100, &[target(&ledger, committed, n + 500)])).unwrap();
    }
    assert_eq!(files_with(&*env.storage, &dir(), SECRET), Vec::<PathBuf>::new());
    drop(ledger);
    let report = check(&env);
    assert_eq!((report.findings, report.redacted), (vec![], 20));
}

#[test]
fn a_redaction_interrupted_anywhere_is_finished_or_never_happened() {
    let (mut finished, mut never) = (0, 0);
    for stop in 0.. {
        let sim = Sim::new(stop);
        let env = sim.env();
        create_sized(&env, &dir(), 16 << 10);
        env.storage.sync_dir("/data".as_ref()).unwrap();
        env.storage.sync_dir("/".as_ref()).unwrap();
        let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
        let committed = fill(&ledger);
        let kept = ledger.checkpoint().unwrap().checkpoint;
        let before = ledger.receipt(committed.first_position + 1).unwrap();
        let transaction = redaction(30, &[target(&ledger, &committed, 12)]);
        sim.disk.stop_after(stop);
        let done = ledger.redact(transaction).is_ok();
        drop(ledger);
        sim.disk.crash();

        let (ledger, _) = open(&env, &dir(), small_segments()).unwrap_or_else(|e| panic!("stop {stop}: {e}"));
        let revision = ledger.read_revision(committed.first_position + 1).unwrap();
        let newest = ledger.checkpoint().unwrap().checkpoint;
        let proof = ledger.consistency(kept.size, newest.size).unwrap();
        verify_consistency(kept.size, newest.size, &kept.root, &newest.root, &proof).unwrap();
        judge(&before, 12);
        let verdict = judge(&ledger.receipt(committed.first_position + 1).unwrap(), 12);
        assert!(revision.redacted || !done, "stop {stop}: what was acknowledged is gone");
        match revision.redacted {
            true => {
                finished += 1;
                assert!(matches!(verdict.kind, VerdictKind::Redacted { .. }));
                assert_eq!(files_with(&*env.storage, &dir(), SECRET), Vec::<PathBuf>::new(), "stop {stop}");
            }
            false => {
                never += 1;
                assert_eq!(verdict.kind, VerdictKind::Verified);
                ledger.redact(redaction(31, &[target(&ledger, &committed, 12)])).unwrap();
            }
        }
        commit(&ledger, 60, 10).unwrap();
        ledger.close().unwrap();
        drop(ledger);
        let report = check(&env);
        assert_eq!((report.findings, report.redacted), (vec![], 1), "stop {stop}");
        if done {
            break;
        }
    }
    assert!(finished > 5 && never > 2, "{finished} finished, {never} never happened");
}

#[test]
fn a_damaged_segment_is_not_replaced_by_what_can_be_read_of_it() {
    let sim = Sim::new(7);
    let env = sim.env();
    create_sized(&env, &dir(), 32 << 10);
    let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
    let committed = fill(&ledger);
    let segment = dir().join("journal/00000000000000000000.seg");
    // In the last batch before the redaction begins a new segment.
    sim.disk.flip(&segment, sim.disk.used_bytes(&segment) - 10, 1);
    let refused = ledger.redact(redaction(200, &[target(&ledger, &committed, 12)])).unwrap_err();
    assert!(matches!(refused, RedactError::Unfinished { .. }), "{refused}");
    drop(ledger);
    assert!(sim.disk.restore());
    let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
    assert!(ledger.blocks(0).all(|block| block.is_ok()));
    assert_eq!(files_with(&*env.storage, &dir(), SECRET), Vec::<PathBuf>::new(), "the start has finished it");
}

#[test]
fn data_goes_only_when_a_checkpoint_covers_the_record_of_it() {
    let sim = Sim::new(8);
    let env = sim.env();
    create_sized(&env, &dir(), 32 << 10);
    env.storage.sync_dir(Path::new("/")).unwrap();
    let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
    let committed = fill(&ledger);
    ledger.redact(redaction(200, &[target(&ledger, &committed, 12)])).unwrap();
    sim.disk.stop();
    drop(ledger);
    sim.disk.crash();
    // The disk has said that the record is durable, and has lost it.
    let journal = dir().join("journal");
    let segments = env.storage.read_dir(&journal).unwrap();
    let last = segments.iter().rfind(|entry| entry.name.ends_with(".seg")).unwrap();
    sim.disk.zero_from(&journal.join(&last.name), 4096);
    let refused = open(&env, &dir(), small_segments()).map(drop).unwrap_err();
    assert!(refused.to_string().contains("checkpoint"), "{refused}");
}

#[test]
fn an_opening_that_is_refused_has_cut_nothing() {
    let sim = Sim::new(9);
    let env = sim.env();
    create_sized(&env, &dir(), 32 << 10);
    let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
    for n in 1..40 {
        commit(&ledger, n, 1500).unwrap();
    }
    drop(ledger);
    let journal = dir().join("journal");
    let segments = env.storage.read_dir(&journal).unwrap();
    let mut segments = segments.iter().filter(|entry| entry.name.ends_with(".seg")).rev();
    let [last, earlier] = [(); 2].map(|()| journal.join(&segments.next().unwrap().name));
    // The last batch is torn; and an earlier segment is damaged, which is a reason to refuse.
    let end = sim.disk.used_bytes(&last);
    let file = env.storage.open(&last, OpenMode::Write).unwrap();
    write_all_at(&*file, &[7; 100], end.next_multiple_of(4096)).unwrap();
    file.sync_data().unwrap();
    sim.disk.flip(&earlier, sim.disk.used_bytes(&earlier) - 10, 1);
    env.storage.remove_dir_all(&dir().join("offsets")).unwrap();
    let before = read_file(&*env.storage, &last, 1 << 30).unwrap();
    assert!(open(&env, &dir(), small_segments()).is_err());
    assert!(read_file(&*env.storage, &last, 1 << 30).unwrap() == before, "something was written");
}
