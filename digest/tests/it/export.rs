//! Exports: a row dropped, doubled, moved or edited is refused, and so is a leaf.

use std::convert::Infallible;
use std::sync::Arc;

use ledgerstone_digest::export::*;
use ledgerstone_digest::leaf::Leaf;
use ledgerstone_digest::receipt::Content;
use ledgerstone_digest::{Hash, Id};

use crate::ledger::*;

/// Positions of the table's revisions in the example ledger: the deletion is at 8, the newest at 12.
const HISTORY: [u64; 5] = [3, 4, 6, 8, 12];
const RECORD: u64 = 10;

fn rows(ledger: &TestLedger, positions: &[u64]) -> Vec<ExportRow> {
    let row = |position: &u64| {
        let receipt = ledger.receipt(*position, 14);
        ExportRow { position: *position, opening: receipt.revisions[0].opening.clone().unwrap() }
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
    verify_export(&ledger.checkpoint(14), &ledger.record, leaves.into_iter().map(Ok), tables.collect())
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
    let no_tables = || Vec::<ExportTable<'_, Infallible>>::new();
    let entries = || leaves(&ledger).into_iter().map(Ok);
    assert!(verify_export(&other.checkpoint(14), &ledger.record, entries(), no_tables()).is_err());
    assert!(verify_export(&ledger.checkpoint(14), &other.record, entries(), no_tables()).is_err());
    let mut renamed = ledger.checkpoint(14);
    renamed.origin = other.origin().to_owned();
    assert!(matches!(verify_export(&renamed, &ledger.record, entries(), no_tables()), Err(ExportFailure::Genesis(_))));
    let mut root = ledger.checkpoint(14);
    root.root = Hash::ZERO;
    assert!(matches!(verify_export(&root, &ledger.record, entries(), no_tables()), Err(ExportFailure::Root { .. })));
}
