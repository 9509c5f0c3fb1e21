//! Rows: tree files, offset files and the checkpoint edited, emptied or removed. What is derived is made again or named
//! by `doctor`; the recorded checkpoint is not derived, so the server refuses to start without it.

use std::path::PathBuf;
use std::process::Command;

use crate::harness::binary;
use crate::wind::place::{Place, flip};

fn files(dir: PathBuf) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Every derived file of the ledger, by directory and name.
fn derived(place: &Place) -> Vec<(&'static str, String)> {
    let named = |dir: &'static str| {
        let files = files(place.ledger().join(dir)).into_iter();
        files.map(move |path| (dir, path.file_name().unwrap().to_string_lossy().into_owned()))
    };
    named("tree").chain(named("offsets")).collect()
}

fn doctor(place: &Place, more: &[&str]) -> (i32, String) {
    let mut command = Command::new(binary());
    command.args(["doctor", "--data"]).arg(place.data()).arg("--keys").arg(place.keys()).args(more);
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn an_edited_derived_file_is_named_by_doctor_and_rebuilt_from_the_journal() {
    for (dir, name) in derived(&Place::new()) {
        let place = Place::new();
        let path = place.ledger().join(dir).join(&name);
        let length = std::fs::metadata(&path).unwrap().len();
        if length < 80 {
            continue;
        }
        flip(&path, 70);
        let (status, said) = doctor(&place, &[]);
        // A hash that is wrong is damage; what a crash may have torn just as well could not be checked.
        let expected = if dir == "tree" && name != "state" { 1 } else { 2 };
        assert_eq!(status, expected, "{}: {said}", path.display());
        assert!(said.contains(&path.display().to_string()), "{said}");
        assert!(said.contains("doctor --rebuild"), "{said}");
        let (status, said) = doctor(&place, &["--rebuild"]);
        assert_eq!(status, 0, "{said}");
        place.holds();
    }
}

#[test]
fn a_server_on_edited_derived_files_gives_correct_answers_or_a_named_refusal() {
    for (dir, name) in derived(&Place::new()) {
        let place = Place::new();
        let path = place.ledger().join(dir).join(&name);
        let length = std::fs::metadata(&path).unwrap().len();
        if length < 80 {
            continue;
        }
        flip(&path, 70);
        let mut server = place.start();
        place.promised.check(&server);
        let asked = server.psql("SELECT ledgerstone_receipt('t', '7'); SELECT ledgerstone_receipt('t', '1500')");
        let said = String::from_utf8_lossy(&asked.stderr).into_owned();
        assert!(said.is_empty() || said.contains("doctor") || said.contains("verify"), "{}: {said}", path.display());
        assert_eq!(server.stop().code(), Some(0), "{}", server.log_text());
    }
}

#[test]
fn derived_files_emptied_or_removed_lose_nothing() {
    let place = Place::new();
    derived(&place).iter().for_each(|(dir, name)| std::fs::write(place.ledger().join(dir).join(name), b"").unwrap());
    place.holds();
    let place = Place::new();
    std::fs::remove_dir_all(place.ledger().join("tree")).unwrap();
    std::fs::remove_dir_all(place.ledger().join("offsets")).unwrap();
    place.holds();
}

#[test]
fn a_checkpoint_file_that_is_missing_empty_or_edited_is_named() {
    let place = Place::new();
    let path = place.checkpoint();
    let whole = std::fs::read(&path).unwrap();
    let name = path.display().to_string();
    std::fs::remove_file(&path).unwrap();
    place.refused(&[&format!("{name} is missing"), "restore it from the backup that has the newest one"]);
    std::fs::write(&path, b"").unwrap();
    place.refused(&[&name, "neither slot holds a whole value", "offset 0", "restore the file from a backup"]);
    std::fs::write(&path, &whole).unwrap();
    flip(&path, 100);
    flip(&path, 4196);
    place.refused(&[&name, "offset 4096", "its checksum does not match", "restore the file from a backup"]);
    // The checkpoint of another ledger is signed by another key.
    std::fs::copy(Place::other().checkpoint(), &path).unwrap();
    place.refused(&[&name, "the recorded checkpoint does not verify"]);
    std::fs::write(&path, &whole).unwrap();
    place.holds();
}

#[test]
fn one_torn_slot_leaves_the_checkpoint_before_it() {
    for offset in [100, 4196] {
        let place = Place::new();
        flip(&place.checkpoint(), offset);
        place.holds();
    }
}
