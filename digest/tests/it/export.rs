//! Exports: a row dropped, doubled, moved or edited is refused, and so is a leaf.

use std::convert::Infallible;
use std::sync::Arc;

use ledgerstone_digest::checkpoint::Checkpoint;
use ledgerstone_digest::export::*;
use ledgerstone_digest::ion::ion_hash;
use ledgerstone_digest::leaf::Leaf;
use ledgerstone_digest::receipt::Content;
use ledgerstone_digest::verifier::check_revision;
use ledgerstone_digest::{Hash, Id};

use crate::ledger::*;

/// Positions of the table's revisions in the example ledger: the deletion is at 8, the newest at 12.
const HISTORY: [u64; 5] = [3, 4, 6, 8, 12];
const RECORD: u64 = 10;

fn rows(ledger: &TestLedger, positions: &[u64]) -> Vec<ExportRow> {
    let row = |position: &u64| {
        let receipt = ledger.receipt(*position, 14);
        let opening = receipt.revisions[0].opening.clone().unwrap();
        ExportRow { position: *position, opening, stated: None, extra: () }
    };
    positions.iter().map(row).collect()
}

fn leaves(ledger: &TestLedger) -> Vec<Vec<u8>> {
    ledger.leaves.iter().map(Leaf::encode).collect()
}

fn run_with(
    ledger: &TestLedger,
    leaves: Vec<Vec<u8>>,
    tables: Vec<(Id, Scope, Vec<ExportRow>)>,
) -> Result<ExportReport, ExportFailure<Infallible>> {
    let tables =
        tables.into_iter().map(|(id, scope, rows)| ExportTable { id, scope, rows: Box::new(rows.into_iter().map(Ok)) });
    let checkpoint = ledger.checkpoint(14);
    let signed = Signed { checkpoint: &checkpoint, kept: None, record: &ledger.record };
    verify_export(&signed, leaves.into_iter().map(Ok), tables.collect(), &mut |_, _, _| Ok(()))
}

fn run(ledger: &TestLedger, scope: Scope, rows: Vec<ExportRow>) -> Result<ExportReport, ExportFailure<Infallible>> {
    run_with(ledger, leaves(ledger), vec![(TABLE, scope, rows)])
}

#[test]
fn whole_exports_hold() {
    let ledger = TestLedger::example(7);
    let report = run(&ledger, Scope::History, rows(&ledger, &HISTORY)).unwrap();
    assert_eq!((report.size, &*report.rows, report.redacted, report.withheld), (14, &[5][..], 0, 1));
    assert_eq!(report.genesis.origin, ledger.origin());
    assert_eq!(run(&ledger, Scope::Current, rows(&ledger, &[12])).unwrap().rows, [1]);
    assert_eq!(run(&ledger, Scope::Some, rows(&ledger, &[4, 8])).unwrap().rows, [2]);
    assert_eq!(run(&ledger, Scope::Some, Vec::new()).unwrap().rows, [0]);
    let tables = vec![
        (TABLE, Scope::History, rows(&ledger, &HISTORY)),
        (Id::REDACTIONS, Scope::History, rows(&ledger, &[RECORD])),
        (Id::TABLES, Scope::Current, rows(&ledger, &[1])),
    ];
    let report = run_with(&ledger, leaves(&ledger), tables).unwrap();
    assert_eq!((&*report.rows, report.redacted, report.withheld), (&[5, 1, 1][..], 1, 0));
}

#[test]
fn a_row_dropped_doubled_or_moved_is_refused() {
    let ledger = TestLedger::example(7);
    for at in 0..HISTORY.len() {
        let mut dropped = rows(&ledger, &HISTORY);
        dropped.remove(at);
        let failure = run(&ledger, Scope::History, dropped).unwrap_err();
        assert_eq!(failure, ExportFailure::RowMissing { table: TABLE, position: HISTORY[at] });
        let mut doubled = rows(&ledger, &HISTORY);
        doubled.insert(at, doubled[at].clone());
        let failure = run(&ledger, Scope::History, doubled).unwrap_err();
        assert!(matches!(failure, ExportFailure::RowStray { .. }), "{failure}");
        for other in 0..14 {
            let mut moved = rows(&ledger, &HISTORY);
            moved[at].position = other;
            assert_eq!(run(&ledger, Scope::History, moved).is_ok(), other == HISTORY[at], "{at} to {other}");
        }
        for other in at + 1..HISTORY.len() {
            let mut swapped = rows(&ledger, &HISTORY);
            swapped.swap(at, other);
            assert!(run(&ledger, Scope::History, swapped).is_err());
        }
    }
}

#[test]
fn a_current_view_has_exactly_the_newest_rows() {
    let ledger = TestLedger::example(7);
    let fails = |positions: &[u64]| run(&ledger, Scope::Current, rows(&ledger, positions)).unwrap_err();
    assert_eq!(fails(&[]), ExportFailure::RowMissing { table: TABLE, position: 12 });
    for positions in [&[6, 12][..], &[8, 12], &[4, 12], &[6]] {
        assert!(matches!(fails(positions), ExportFailure::RowStray { .. }), "{positions:?}");
    }
}

#[test]
fn a_row_edited_is_refused() {
    let ledger = TestLedger::example(7);
    let mut edited = rows(&ledger, &HISTORY);
    let Content::Data { data, .. } = &mut edited[2].opening.content else { panic!() };
    *data = Arc::new(ion_value("{VIN:\"1N4AL11D75C109151\",penalty:0.0}"));
    assert!(matches!(run(&ledger, Scope::History, edited), Err(ExportFailure::Row { position: 6, .. })));
    let mut exchanged = rows(&ledger, &HISTORY);
    let (first, second) = (exchanged[1].opening.clone(), exchanged[2].opening.clone());
    (exchanged[1].opening, exchanged[2].opening) = (second, first);
    assert!(matches!(run(&ledger, Scope::History, exchanged), Err(ExportFailure::Row { position: 4, .. })));
    let mut blind = rows(&ledger, &HISTORY);
    blind[4].opening.blind[0] ^= 1;
    assert!(matches!(run(&ledger, Scope::History, blind), Err(ExportFailure::Row { position: 12, .. })));
}

#[test]
fn other_leaves_than_the_checkpoints_are_refused() {
    let ledger = TestLedger::example(7);
    for at in 0..14 {
        let mut changed = leaves(&ledger);
        *changed[at].last_mut().unwrap() ^= 1;
        assert!(run_with(&ledger, changed, Vec::new()).is_err(), "{at} changed");
        let mut dropped = leaves(&ledger);
        dropped.remove(at);
        assert!(run_with(&ledger, dropped, Vec::new()).is_err(), "{at} dropped");
    }
    let mut shorter = leaves(&ledger);
    shorter.truncate(12);
    assert_eq!(run_with(&ledger, shorter, Vec::new()), Err(ExportFailure::Size { expected: 14, found: 12 }));
    let mut longer = leaves(&ledger);
    longer.push(vec![3, 0]);
    assert_eq!(run_with(&ledger, longer, Vec::new()), Err(ExportFailure::Size { expected: 14, found: 15 }));
    let table = || (TABLE, Scope::Some, Vec::new());
    let twice = run_with(&ledger, leaves(&ledger), vec![table(), table()]);
    assert_eq!(twice, Err(ExportFailure::TableTwice(TABLE)));
}

#[test]
fn an_export_of_another_ledger_is_refused() {
    let (ledger, other) = (TestLedger::example(7), TestLedger::example(8));
    let run = |checkpoint: &Checkpoint, kept: Option<&Checkpoint>, record: &[u8]| {
        let signed = Signed { checkpoint, kept, record };
        let no_tables = Vec::<ExportTable<'_, Infallible>>::new();
        verify_export(&signed, leaves(&ledger).into_iter().map(Ok), no_tables, &mut |_, _, _| Ok(()))
    };
    let good = ledger.checkpoint(14);
    assert!(run(&other.checkpoint(14), None, &ledger.record).is_err());
    assert!(run(&good, None, &other.record).is_err());
    let renamed = Checkpoint { origin: other.origin().to_owned(), ..good.clone() };
    assert!(matches!(run(&renamed, None, &ledger.record), Err(ExportFailure::Genesis(_))));
    assert!(matches!(run(&good, Some(&renamed), &ledger.record), Err(ExportFailure::Genesis(_))));
    let root = Checkpoint { root: Hash::ZERO, ..good.clone() };
    assert!(matches!(run(&root, None, &ledger.record), Err(ExportFailure::Root { .. })));
}

#[test]
fn the_kept_checkpoint_is_of_a_boundary_of_these_leaves() {
    let ledger = TestLedger::example(7);
    let run = |kept: Checkpoint| {
        let checkpoint = ledger.checkpoint(14);
        let signed = Signed { checkpoint: &checkpoint, kept: Some(&kept), record: &ledger.record };
        let no_tables = Vec::<ExportTable<'_, Infallible>>::new();
        verify_export(&signed, leaves(&ledger).into_iter().map(Ok), no_tables, &mut |_, _, _| Ok(()))
    };
    for size in 1..=14 {
        let boundary = matches!(size, 1 | 3 | 6 | 8 | 10 | 12 | 14);
        let found = run(ledger.checkpoint(size));
        assert_eq!(found.is_ok(), boundary, "size {size}");
        if !boundary {
            assert_eq!(found, Err(ExportFailure::KeptInside { size }));
        }
        let forked = Checkpoint { root: Hash::ZERO, ..ledger.checkpoint(size) };
        assert!(run(forked).is_err(), "size {size}");
    }
    let newer = Checkpoint { size: 15, ..ledger.checkpoint(14) };
    assert_eq!(run(newer), Err(ExportFailure::KeptBeyond { size: 15, found: 14 }));
}

#[test]
fn what_a_row_states_beside_its_opening_is_compared() {
    let ledger = TestLedger::example(7);
    let Leaf::Revision(leaf) = &ledger.leaves[6] else { panic!("a revision stands at 6") };
    let block = ledger.block_leaf(7);
    let (_, revision_hash) = check_revision(leaf, &block, &rows(&ledger, &[6])[0].opening).unwrap();
    let good = Stated {
        document_id: leaf.document_id,
        version: leaf.version,
        supersedes: leaf.supersedes,
        deleted: false,
        block: leaf.block,
        strand: block.strand,
        transaction_id: block.transaction_id,
        time_ms: block.time_ms,
        revision_hash,
    };
    let with = |stated: Stated| {
        let mut all = rows(&ledger, &HISTORY);
        all[2].stated = Some(stated);
        run(&ledger, Scope::History, all)
    };
    with(good).unwrap();
    let wrong = [
        Stated { document_id: TABLE, ..good },
        Stated { version: 2, ..good },
        Stated { supersedes: None, ..good },
        Stated { deleted: true, ..good },
        Stated { block: 3, ..good },
        Stated { strand: TABLE, ..good },
        Stated { transaction_id: TABLE, ..good },
        Stated { time_ms: good.time_ms + 1, ..good },
        Stated { revision_hash: Hash::ZERO, ..good },
    ];
    for stated in wrong {
        let failure = with(stated).unwrap_err();
        assert!(matches!(failure, ExportFailure::Column { position: 6, .. }), "{stated:?}: {failure}");
    }
}

#[test]
fn missing_data_is_withheld_unless_a_later_record_names_its_block() {
    let ledger = TestLedger::example(7);
    let mut withheld = rows(&ledger, &HISTORY);
    let Content::Data { metadata, data } = withheld[2].opening.content.clone() else { panic!() };
    withheld[2].opening.content = Content::DataHash { metadata, data_hash: ion_hash(&data) };
    let tables = vec![(TABLE, Scope::History, withheld), (Id::REDACTIONS, Scope::History, rows(&ledger, &[RECORD]))];
    let failure = run_with(&ledger, leaves(&ledger), tables).unwrap_err();
    assert_eq!(failure, ExportFailure::Withheld { table: TABLE, position: 6 });
}

#[test]
fn the_caller_is_told_of_each_row_in_order() {
    let ledger = TestLedger::example(7);
    let mut told = Vec::new();
    let checkpoint = ledger.checkpoint(14);
    let signed = Signed { checkpoint: &checkpoint, kept: None, record: &ledger.record };
    let table = |id, positions: &[u64]| {
        let rows = rows(&ledger, positions).into_iter().map(Ok::<_, &str>);
        ExportTable { id, scope: Scope::History, rows: Box::new(rows) }
    };
    let tables = vec![table(TABLE, &HISTORY), table(Id::REDACTIONS, &[RECORD])];
    let report = verify_export(&signed, leaves(&ledger).into_iter().map(Ok), tables, &mut |number, leaf, row| {
        told.push((number, leaf.version, row.position));
        Ok(())
    });
    assert_eq!(report.unwrap().blocks, 6);
    assert_eq!(told, [(0, 0, 3), (0, 0, 4), (0, 1, 6), (0, 1, 8), (1, 0, 10), (0, 2, 12)]);
    let tables = vec![table(TABLE, &HISTORY)];
    let stopped = verify_export(&signed, leaves(&ledger).into_iter().map(Ok), tables, &mut |_, _, _| Err("enough"));
    assert_eq!(stopped, Err(ExportFailure::Read("enough")));
}
