//! Rows: two servers on one directory; a cloned directory; an old state of the directory put back.

use std::process::Command;

use crate::harness::{Server, Setting, binary, verify_against};
use crate::wind::place::Place;

#[test]
fn a_second_server_on_one_directory_is_refused_and_the_first_goes_on() {
    let place = Place::new();
    let mut first = place.start();
    let ended = Server::try_start(place.data(), place.keys(), Setting::default()).err().expect("refused");
    assert_eq!(ended.status.code(), Some(2));
    let says = format!("{}: another process has this ledger open; stop it first", place.ledger().display());
    assert!(ended.log.contains(&says), "{}", ended.log);
    let mut promised = place.promised.clone();
    promised.insert(&first, 5_000);
    promised.check(&first);
    first.kill();
    // A killed server leaves no lock behind.
    let second = place.start();
    promised.check(&second);
}

/// Nothing in the files can tell the original from the clone: only a checkpoint that somebody kept can.
#[test]
fn a_cloned_directory_that_goes_its_own_way_is_told_by_a_kept_checkpoint() {
    let place = Place::new();
    let clone = place.copy();
    let (mut ours, mut theirs) = (place.start(), clone.start());
    let (mut promised, mut other) = (place.promised.clone(), clone.promised.clone());
    for number in 0..3 {
        promised.insert(&ours, 10_000 + number);
        other.insert(&theirs, 20_000 + number);
    }
    promised.checkpoint(&ours);
    other.checkpoint(&theirs);
    assert_eq!((ours.stop().code(), theirs.stop().code()), (Some(0), Some(0)));
    // Each is whole by itself, and what was handed out before the two parted holds for both.
    promised.verify(&place.data());
    other.verify(&clone.data());
    let (status, said) = against(&clone, promised.notes.last().unwrap());
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("the checkpoint you hold"), "{said}");
}

#[test]
fn an_old_directory_put_back_is_told_by_a_kept_checkpoint() {
    let place = Place::new();
    let old = place.copy();
    let mut server = place.start();
    let mut promised = place.promised.clone();
    promised.insert(&server, 5_000);
    promised.checkpoint(&server);
    assert_eq!(server.stop().code(), Some(0));
    let newest = promised.notes.last().unwrap();
    let (status, said) = against(&old, newest);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("the checkpoint you hold"), "{said}");
    // With only the journal put back, the recorded checkpoint tells.
    std::fs::copy(place.checkpoint(), old.checkpoint()).unwrap();
    old.refused(&["the journal ends at position", "acknowledged transactions are missing", "restore it from a backup"]);
}

#[test]
fn a_restored_backup_reads_only_until_a_checkpoint_vouches_for_it() {
    let place = Place::new();
    let backup = place.path().join("backup");
    let run = |arguments: &[&std::ffi::OsStr]| {
        let output = Command::new(binary()).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code().unwrap_or(-1), text)
    };
    let (data, keys) = (place.data(), place.keys());
    let from = ["--data".as_ref(), data.as_os_str(), "--keys".as_ref(), keys.as_os_str()];
    let (status, said) = run(&[&["backup".as_ref(), backup.as_os_str()][..], &from[..]].concat());
    assert_eq!(status, 0, "{said}");
    let mut server = place.start();
    let mut promised = place.promised.clone();
    promised.insert(&server, 5_000);
    promised.checkpoint(&server);
    assert_eq!(server.stop().code(), Some(0));
    let restored = place.path().join("restored");
    let base = [
        "restore".as_ref(),
        backup.as_os_str(),
        "--data".as_ref(),
        restored.as_ref(),
        "--keys".as_ref(),
        keys.as_ref(),
    ];
    let (kept, vkey) = (place.path().join("kept"), place.path().join("vkey"));
    std::fs::write(&kept, promised.notes.last().unwrap()).unwrap();
    std::fs::write(&vkey, &promised.vkey).unwrap();
    let checked = ["--checkpoint".as_ref(), kept.as_os_str(), "--key".as_ref(), vkey.as_ref()];
    let (status, said) = run(&[&base[..], &checked[..]].concat());
    assert_ne!(status, 0, "a backup older than the kept checkpoint was taken for the ledger: {said}");
    let (status, said) = run(&base);
    assert_eq!(status, 0, "{said}");
    let server = Server::start_on(&restored, &keys);
    place.promised.check(&server);
    let refused = server.psql_error("INSERT INTO t VALUES (6000)");
    assert!(refused.contains("25006") && refused.contains("ledgerstone restore --confirm"), "{refused}");
}

/// What a kept checkpoint says of a directory.
fn against(place: &Place, note: &str) -> (i32, String) {
    verify_against(&place.ledger(), note, &place.promised.vkey)
}
