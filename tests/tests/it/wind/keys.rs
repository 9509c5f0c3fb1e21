//! Rows: the key lost, swapped, unreadable as a key, or readable by others. The server refuses to start and names the
//! key's file; with the key put right, everything is there.

use std::fs::{Permissions, copy, rename, set_permissions};
use std::os::unix::fs::PermissionsExt as _;

use crate::wind::place::Place;

#[test]
fn a_lost_key_is_named_with_where_to_look_for_it() {
    let place = Place::new();
    let key = place.key();
    let away = place.path().join("away");
    rename(&key, &away).unwrap();
    place.refused(&[&format!("{} is missing", key.display()), "restore it from where keys are kept"]);
    rename(&away, &key).unwrap();
    place.holds();
}

#[test]
fn another_ledgers_key_is_named_with_both_keys() {
    let (place, other) = (Place::new(), Place::other());
    let keep = place.path().join("keep");
    copy(place.key(), &keep).unwrap();
    copy(other.key(), place.key()).unwrap();
    place.refused(&[
        &place.promised.vkey,
        &other.promised.vkey,
        "put the ledger's own key file back",
        &format!("The key was read from {}.", place.key().display()),
    ]);
    copy(&keep, place.key()).unwrap();
    place.holds();
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_command_that_helps() {
    let place = Place::new();
    for mode in [0o644, 0o640, 0o604] {
        set_permissions(place.key(), Permissions::from_mode(mode)).unwrap();
        place.refused(&[&format!("(mode {mode:04o}); run: chmod 600 {}", place.key().display())]);
    }
    set_permissions(place.key(), Permissions::from_mode(0o600)).unwrap();
    place.holds();
}

#[test]
fn a_damaged_key_is_named_and_its_text_is_not_shown() {
    let place = Place::new();
    let text = std::fs::read_to_string(place.key()).unwrap();
    let (start, _) = text.split_at(text.len() - 12);
    std::fs::write(place.key(), start).unwrap();
    let ended = place.refused(&[&format!("{} is not a signing key", place.key().display())]);
    // Four plus signs stand before the secret; base64 has plus signs of its own.
    let secret = start.splitn(5, '+').nth(4).unwrap();
    assert!(secret.len() > 20, "the test looks for too little");
    assert!(!ended.log.contains(secret), "the log shows the key");
    std::fs::write(place.key(), text).unwrap();
    place.holds();
}
