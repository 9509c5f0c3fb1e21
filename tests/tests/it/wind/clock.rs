//! Rows: the clock an hour back, ten years ahead, at 1970, before and while the server runs. Block times never
//! decrease: writes are refused with a named error, reads and proofs go on.
//!
//! The time is changed for one process, by a preloaded library that adds what a file says to `CLOCK_REALTIME`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::harness::Setting;
use crate::wind::place::Place;
use crate::wind::tools::has;

const HOUR: i64 = 3_600;
const TEN_YEARS: i64 = 3_653 * 24 * HOUR;

const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* CLOCK_REALTIME, plus the seconds in the file that LEDGERSTONE_TEST_CLOCK names. */
int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME) {
        const char *path = getenv("LEDGERSTONE_TEST_CLOCK");
        int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (file >= 0) {
            char text[32] = {0};
            if (read(file, text, sizeof text - 1) > 0) time->tv_sec += atoll(text);
            close(file);
        }
    }
    return result;
}
"#;

/// A clock that a test sets.
struct Shifted {
    file: PathBuf,
    library: PathBuf,
}

impl Shifted {
    fn new(row: &str, place: &Place) -> Option<Shifted> {
        static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
        if !has(row, "cc") {
            return None;
        }
        let (_, library) = BUILT.get_or_init(|| {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let (source, library) = (directory.path().join("clock.c"), directory.path().join("clock.so"));
            std::fs::write(&source, SHIM).expect("a file");
            let mut cc = Command::new("cc");
            cc.args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]).arg("-ldl");
            assert!(cc.status().expect("cc runs").success());
            (directory, library)
        });
        let shifted = Shifted { file: place.path().join("clock"), library: library.clone() };
        shifted.set(0);
        Some(shifted)
    }

    fn set(&self, seconds: i64) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, seconds.to_string()).expect("a file");
        std::fs::rename(new, &self.file).expect("a file");
    }

    fn setting(&self) -> Setting {
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let environment = vec![
            ("LD_PRELOAD".to_owned(), text(&self.library)),
            ("LEDGERSTONE_TEST_CLOCK".to_owned(), text(&self.file)),
        ];
        Setting { environment, ..Setting::default() }
    }
}

fn since_1970() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

#[test]
fn a_clock_that_stands_back_refuses_writes_until_it_is_right() {
    for back in [HOUR, since_1970()] {
        let place = Place::new();
        let Some(clock) = Shifted::new("the clock back", &place) else { return };
        let mut server = place.start_in(clock.setting());
        let mut promised = place.promised.clone();
        promised.insert(&server, 5_000);
        // While it runs, and when it starts.
        for _ in 0..2 {
            clock.set(-back);
            let refused = server.psql_error("INSERT INTO t VALUES (5001)");
            for text in
                ["55000", "the clock stands ", "ms behind the last block's time; set it right, then writes go on"]
            {
                assert!(refused.contains(text), "{text:?}: {refused}");
            }
            promised.check(&server);
            promised.checkpoint(&server);
            server.stop();
            server.restart();
        }
        // No restart is needed, whether or not somebody tried to write before.
        clock.set(0);
        promised.insert(&server, 5_002);
        promised.hold_to_the_end(&mut server);
    }
}

#[test]
fn a_clock_that_jumps_ahead_refuses_writes_until_a_restart_with_the_right_time() {
    let place = Place::new();
    let Some(clock) = Shifted::new("the clock ahead", &place) else { return };
    let mut server = place.start_in(clock.setting());
    let mut promised = place.promised.clone();
    promised.insert(&server, 5_000);
    for ahead in [HOUR, TEN_YEARS] {
        clock.set(ahead);
        let refused = server.psql_error("INSERT INTO t VALUES (5001)");
        for text in ["55000", "the clock jumped ", "set it right, then restart the server"] {
            assert!(refused.contains(text), "{text:?}: {refused}");
        }
        promised.check(&server);
        promised.checkpoint(&server);
        clock.set(0);
        server.stop();
        server.restart();
        promised.insert(&server, 6_000 + ahead);
    }
    promised.hold_to_the_end(&mut server);
}

#[test]
fn a_clock_ten_years_ahead_at_the_start_writes_nothing_before_somebody_says_it_is_right() {
    let place = Place::new();
    let Some(clock) = Shifted::new("the clock ahead at the start", &place) else { return };
    clock.set(TEN_YEARS);
    let mut server = place.start_in(clock.setting());
    let mut promised = place.promised.clone();
    for _ in 0..2 {
        let refused = server.psql_error("INSERT INTO t VALUES (5001)");
        for text in ["55000", "the clock stands 3653 days ahead of the last block's time", "doctor --accept-clock"] {
            assert!(refused.contains(text), "{text:?}: {refused}");
        }
        promised.check(&server);
        promised.checkpoint(&server);
    }
    // It was wrong: with the right time the server writes.
    clock.set(0);
    server.stop();
    server.restart();
    promised.insert(&server, 5_002);
    // It is right: ten years have passed.
    clock.set(TEN_YEARS);
    server.stop();
    server.restart();
    assert!(server.psql_error("INSERT INTO t VALUES (5003)").contains("the clock stands 3653 days"));
    server.psql_ok("SELECT ledgerstone_accept_clock()");
    promised.insert(&server, 5_003);
    promised.hold_to_the_end(&mut server);
}
