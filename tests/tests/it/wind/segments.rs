//! Rows: a segment missing, swapped, renamed, doubled, of length zero or from another ledger; a stray file; rot. The
//! server refuses to start, says which file, and changes nothing; with the file put right, everything is there.

use std::fs::{copy, remove_file, rename};
use std::path::PathBuf;

use crate::harness::{Ended, Server, Setting, binary};
use crate::wind::place::{Place, flip};

const SEE: &str = "run `ledgerstone verify DIR` to see the extent, keep a copy of the directory, and restore the file from a \
                   backup";

/// What the message says of a segment.
fn at(place: &Place, number: u64, offset: u64, what: &str) -> String {
    format!("{}: offset {offset}: {what}", place.segment(number).display())
}

#[test]
fn a_missing_first_segment_is_named() {
    let place = Place::new();
    let away = place.path().join("away");
    rename(place.segment(0), &away).unwrap();
    place.refused(&[&at(&place, 0, 0, "the segment is missing"), SEE]);
    rename(&away, place.segment(0)).unwrap();
    place.holds();
}

#[test]
fn a_missing_last_segment_is_told_by_the_recorded_checkpoint() {
    let place = Place::new();
    remove_file(place.segment(1)).unwrap();
    let size = place.promised.notes.last().unwrap().lines().nth(1).unwrap().to_owned();
    place.refused(&[
        &place.ledger().display().to_string(),
        "the journal ends at position",
        &format!("a checkpoint of size {size} is recorded"),
        "restore it from a backup",
    ]);
}

#[test]
fn swapped_segments_are_named() {
    let place = Place::new();
    let away = place.path().join("away");
    let swap = || {
        rename(place.segment(0), &away).unwrap();
        rename(place.segment(1), place.segment(0)).unwrap();
        rename(&away, place.segment(1)).unwrap();
    };
    swap();
    place.refused(&[&at(&place, 0, 0, "the header says that this is segment 1"), SEE]);
    swap();
    place.holds();
}

#[test]
fn a_renamed_segment_is_named_with_what_to_do() {
    let place = Place::new();
    let other = place.journal().join("1.seg");
    rename(place.segment(1), &other).unwrap();
    let says = format!("{}: offset 0: this is not a file of the journal", other.display());
    place.refused(&[&says, "give a segment that was renamed its name again"]);
    rename(&other, place.segment(5)).unwrap();
    place.refused(&[&at(&place, 1, 0, "the segment is missing; segment 5 is there"), SEE]);
    rename(place.segment(5), place.segment(1)).unwrap();
    place.holds();
}

#[test]
fn a_doubled_segment_is_named() {
    let place = Place::new();
    copy(place.segment(1), place.segment(2)).unwrap();
    place.refused(&[&at(&place, 2, 0, "the header says that this is segment 1"), SEE]);
    remove_file(place.segment(2)).unwrap();
    place.holds();
}

#[test]
fn segments_without_bytes_or_cut_short_are_named() {
    for number in [0, 1] {
        let place = Place::new();
        std::fs::write(place.segment(number), b"").unwrap();
        place.refused(&[&at(&place, number, 0, "the file"), SEE]);
    }
    let place = Place::new();
    let file = std::fs::OpenOptions::new().write(true).open(place.segment(1)).unwrap();
    file.set_len(100_000).unwrap();
    place.refused(&[&at(&place, 1, 0, "the file has 100000 bytes, its header says"), SEE]);
}

#[test]
fn a_segment_of_another_ledger_is_named_with_both_ledgers() {
    let (place, other) = (Place::new(), Place::other());
    let id = |place: &Place| place.key().file_stem().unwrap().to_str().unwrap().to_owned();
    let keep = place.path().join("keep");
    copy(place.segment(1), &keep).unwrap();
    copy(other.segment(1), place.segment(1)).unwrap();
    let says = format!("the segment belongs to ledger {}, those before it to ledger {}", id(&other), id(&place));
    place.refused(&[&at(&place, 1, 0, &says), SEE]);
    rename(keep, place.segment(1)).unwrap();
    copy(other.segment(0), place.segment(0)).unwrap();
    // Whose ledger this is, is what the first segment says.
    let says = format!("{} says that it belongs to ledger {}", place.segment(0).display(), id(&other));
    place.refused(&[&says, &format!("{}.key is missing", id(&other))]);
}

#[test]
fn a_stray_file_in_the_journal_is_named_and_elsewhere_harms_nobody() {
    let place = Place::new();
    let stray = place.journal().join("notes.txt");
    std::fs::write(&stray, b"remember the milk").unwrap();
    let says = format!("{}: offset 0: this is not a file of the journal", stray.display());
    place.refused(&[&says, "move anything else out of the directory"]);
    remove_file(stray).unwrap();
    std::fs::write(place.ledger().join("notes.txt"), b"remember the milk").unwrap();
    std::fs::write(place.data().join("notes.txt"), b"remember the milk").unwrap();
    place.holds();
}

#[test]
fn a_directory_that_is_no_ledger_is_named_and_the_others_work() {
    let place = Place::new();
    std::fs::create_dir(place.data().join("empty")).unwrap();
    let server = place.start();
    let log = server.log_text();
    assert!(log.contains("there is no ledger here (journal is missing)"), "{log}");
    assert!(log.contains("Move the directory elsewhere"), "{log}");
    place.promised.check(&server);
    let health = server.get("/healthz").unwrap();
    assert!(health.starts_with("HTTP/1.1 503") && health.contains("empty"), "{health}");
    let error = server.client_error("empty");
    assert!(error.contains("there is no ledger here"), "{error}");
}

/// A byte of every kind of place: header, first batch, a batch before others, one in the middle of a body.
#[test]
fn rot_with_batches_behind_it_is_refused_and_never_cut() {
    let base = Place::new();
    let last = batches(&base.segment(1)).pop().unwrap();
    let first = batches(&base.segment(1))[0];
    assert!(first < last);
    for (number, offset) in
        [(0, 30), (0, 4096 + 200), (1, 30), (1, first + 20), (1, first + 5000), (1, last - 4096 + 7)]
    {
        let place = base.copy();
        flip(&place.segment(number), offset);
        let ended = place.refused(&[&format!("{}: offset ", place.segment(number).display()), SEE]);
        assert!(ended.log.contains("the journal is damaged"), "{}", ended.log);
        // The command it names finds the same, and says so with its exit status.
        let (status, out) = verify(&place);
        assert_eq!(status, 1, "{out}");
        assert!(out.contains(&place.segment(number).file_name().unwrap().to_string_lossy().into_owned()), "{out}");
        flip(&place.segment(number), offset);
        place.holds();
    }
}

/// The last batch is covered by the recorded checkpoint, so it may not be cut either.
#[test]
fn rot_in_the_last_batch_that_was_signed_for_is_refused() {
    let place = Place::new();
    let last = batches(&place.segment(1)).pop().unwrap();
    flip(&place.segment(1), last + 600);
    let Ended { log, .. } = place.refused(&[&place.ledger().display().to_string(), "restore it from a backup"]);
    assert!(log.contains("a checkpoint of size"), "{log}");
    flip(&place.segment(1), last + 600);
    place.holds();
}

/// Where batches begin: pages that begin with their magic.
fn batches(segment: &PathBuf) -> Vec<u64> {
    let bytes = std::fs::read(segment).unwrap();
    let magic = &bytes[4096..4100];
    let pages = bytes.chunks(4096).enumerate().skip(1);
    pages.filter(|(_, page)| page.starts_with(magic)).map(|(number, _)| number as u64 * 4096).collect()
}

fn verify(place: &Place) -> (i32, String) {
    let output = std::process::Command::new(binary()).arg("verify").arg(place.ledger()).output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_server_that_cannot_read_its_directory_says_whose_it_must_be() {
    let place = Place::new();
    let ended = Server::try_start(place.segment(0), place.keys(), Setting::default()).err().expect("refused");
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.log.contains(&place.segment(0).display().to_string()), "{}", ended.log);
    place.holds();
}
