//! The background scrubber finds rot in a sealed segment, and in the notes of the key's rotations, while the server runs, names
//! file and offset, and stops nobody.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Server, Setting, binary};
use crate::wind::place::{Place, flip};

fn metric(server: &Server, name: &str) -> u64 {
    let page = server.get("/metrics").expect("an answer");
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {page}")).parse().expect("a number")
}

#[track_caller]
fn wait_for(server: &Server, what: &str, reached: impl Fn() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}: {}", server.log_text());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn rot_in_a_sealed_segment_is_found_while_the_server_runs() {
    let place = Place::new();
    let arguments = ["--limit", "scrub_pause_seconds=1"].map(str::to_owned).to_vec();
    let mut server = place.start_in(Setting { arguments, ..Setting::default() });
    wait_for(&server, "a pass", || metric(&server, "ledgerstone_scrub_passes_total") > 0);
    // The first segment has 1 MiB and is sealed; nothing is wrong with it yet.
    assert!(metric(&server, "ledgerstone_scrub_bytes_total") >= 1 << 20);
    assert_eq!(metric(&server, "ledgerstone_scrub_damage_total"), 0);
    flip(&place.segment(0), 4096 + 90);
    wait_for(&server, "damage", || metric(&server, "ledgerstone_scrub_damage_total") > 0);
    let log = server.log_text();
    let name = place.segment(0).display().to_string();
    assert!(log.contains("the scrubber found damage") && log.contains(&format!("{name}: offset ")), "{log}");
    assert!(log.contains("restore the file from a backup"), "{log}");
    let mut promised = place.promised.clone();
    promised.insert(&server, 5_000);
    flip(&place.segment(0), 4096 + 90);
    promised.check(&server);
    assert_eq!(server.stop().code(), Some(0), "{}", server.log_text());
    promised.verify(&place.data());
}

#[test]
fn a_note_of_the_keys_rotation_that_rots_or_is_gone_is_found_while_the_server_runs() {
    let place = Place::new();
    let mut rotate = Command::new(binary());
    rotate.arg("rotate-key").arg("--data").arg(place.data()).arg("--keys").arg(place.keys());
    assert!(rotate.output().unwrap().status.success());
    let arguments = ["--limit", "scrub_pause_seconds=1"].map(str::to_owned).to_vec();
    let mut server = place.start_in(Setting { arguments, ..Setting::default() });
    wait_for(&server, "a pass", || metric(&server, "ledgerstone_scrub_passes_total") > 0);
    assert_eq!(metric(&server, "ledgerstone_scrub_damage_total"), 0, "{}", server.log_text());
    let mut notes = std::fs::read_dir(place.ledger().join("rotations")).unwrap().flatten().map(|entry| entry.path());
    let note = notes.next().unwrap();
    let whole = std::fs::read(&note).unwrap();
    flip(&note, whole.len() as u64 - 20);
    wait_for(&server, "damage", || metric(&server, "ledgerstone_scrub_damage_total") > 0);
    let log = server.log_text();
    let name = note.display().to_string();
    assert!(log.contains("the scrubber found damage in the notes of the key's rotations"), "{log}");
    assert!(log.contains(&format!("{name}: offset 0: the note does not hand over")), "{log}");
    std::fs::remove_file(&note).unwrap();
    wait_for(&server, "the loss", || server.log_text().contains("the note of the key's rotation is missing"));
    std::fs::write(&note, whole).unwrap();
    let found = metric(&server, "ledgerstone_scrub_damage_total");
    let passes = metric(&server, "ledgerstone_scrub_passes_total");
    wait_for(&server, "two passes", || metric(&server, "ledgerstone_scrub_passes_total") > passes + 1);
    assert!(metric(&server, "ledgerstone_scrub_damage_total") <= found + 1);
    place.promised.check(&server);
    assert_eq!(server.stop().code(), Some(0), "{}", server.log_text());
}
