//! A ledger on disk with two segments, and what was promised about it: the transactions acknowledged, the checkpoints
//! handed out. Made once by a real server, then copied for every row.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::harness::{Ended, Server, Setting, verify_against};

/// Rows in the table, of 1,000 bytes: more than the first segment holds.
pub const ROWS: i64 = 2_000;

/// What clients were told.
#[derive(Clone, Default)]
pub struct Promised {
    /// Rows of `t` whose commit was acknowledged.
    pub rows: BTreeSet<i64>,
    /// Checkpoints, as notes.
    pub notes: Vec<String>,
    pub vkey: String,
}

/// A data directory and its keys.
pub struct Place {
    directory: TempDir,
    pub promised: Promised,
}

impl Place {
    /// A copy of the ledger that all rows begin with.
    pub fn new() -> Place {
        static BASE: OnceLock<Place> = OnceLock::new();
        BASE.get_or_init(Place::make).copy()
    }

    /// Another ledger than that of [`Place::new`].
    pub fn other() -> Place {
        static BASE: OnceLock<Place> = OnceLock::new();
        BASE.get_or_init(Place::make).copy()
    }

    fn make() -> Place {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut place = Place { directory, promised: Promised::default() };
        let mut server = place.start();
        place.promised = fill(&server);
        assert_eq!(server.stop().code(), Some(0));
        assert!(place.segment(1).is_file(), "one segment holds everything");
        place
    }

    pub fn copy(&self) -> Place {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // A segment is 64 MiB, most of it zeros.
        let mut copy = Command::new("cp");
        copy.args(["-a", "--sparse=always"]).args([self.data(), self.keys()]).arg(directory.path());
        assert!(copy.status().expect("cp runs").success());
        Place { directory, promised: self.promised.clone() }
    }

    pub fn start(&self) -> Server {
        Server::start_on(self.data(), self.keys())
    }

    pub fn start_in(&self, setting: Setting) -> Server {
        Server::start_in(self.data(), self.keys(), setting)
    }

    /// A server must not start here, and must have written nothing that matters.
    #[track_caller]
    pub fn refused(&self, says: &[&str]) -> Ended {
        let before = self.bytes();
        let ended = match Server::try_start(self.data(), self.keys(), Setting::default()) {
            Ok(_) => panic!("the server started"),
            Err(ended) => ended,
        };
        assert_eq!(ended.status.code(), Some(2), "{}", ended.log);
        let told = ended.log.lines().last().unwrap_or_default();
        assert!(told.starts_with("ledgerstone serve: "), "{}", ended.log);
        for text in says {
            assert!(told.contains(text), "it does not say {text:?}: {told}");
        }
        assert!(!ended.log.contains("panicked"), "{}", ended.log);
        assert!(
            self.bytes() == before,
            "a server that refuses to start has changed the journal, a checkpoint or a key"
        );
        ended
    }

    /// The journal, the checkpoint and the keys.
    fn bytes(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        for directory in [self.journal(), self.keys()] {
            let mut entries: Vec<PathBuf> =
                std::fs::read_dir(directory).expect("a directory").flatten().map(|entry| entry.path()).collect();
            entries.sort();
            files.extend(entries.into_iter().filter(|path| path.is_file()));
        }
        files.push(self.checkpoint());
        files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap_or_default())).collect()
    }

    /// Starts, checks that everything promised is there, writes one more row, stops, and verifies.
    #[track_caller]
    pub fn holds(&self) {
        let mut server = self.start();
        let mut promised = self.promised.clone();
        promised.check(&server);
        promised.insert(&server, 1_000_000);
        promised.hold_to_the_end(&mut server);
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub fn keys(&self) -> PathBuf {
        self.path().join("keys")
    }

    pub fn ledger(&self) -> PathBuf {
        self.data().join("main")
    }

    pub fn journal(&self) -> PathBuf {
        self.ledger().join("journal")
    }

    pub fn checkpoint(&self) -> PathBuf {
        self.ledger().join("checkpoint")
    }

    pub fn segment(&self, number: u64) -> PathBuf {
        segment_of(&self.data(), number)
    }

    /// The one file in the directory of keys that ends so.
    pub fn key(&self) -> PathBuf {
        let mut entries = std::fs::read_dir(self.keys()).expect("a directory").flatten().map(|entry| entry.path());
        entries.find(|path| path.extension().is_some_and(|e| e == "key")).expect("a key")
    }
}

/// A segment's file.
pub fn segment_of(data: &Path, number: u64) -> PathBuf {
    data.join(format!("main/journal/{number:020}.seg"))
}

/// Changes one byte of a file.
pub fn flip(path: &Path, offset: u64) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).expect("a file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("a byte");
    file.write_all_at(&[byte[0] ^ 0x40], offset).expect("a byte");
}

/// Makes the table with its rows and takes checkpoints on the way.
pub fn fill(server: &Server) -> Promised {
    let mut promised = Promised { vkey: server.psql_ok("SELECT ledgerstone_vkey()"), ..Promised::default() };
    server.psql_ok("CREATE TABLE t (n bigint PRIMARY KEY, s text)");
    for from in (0..ROWS).step_by(500) {
        server.psql_ok(&format!(
            "INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series({from}, {}) g",
            from + 499
        ));
        promised.rows.extend(from..from + 500);
        promised.checkpoint(server);
    }
    promised
}

impl Promised {
    /// Commits one row.
    #[track_caller]
    pub fn insert(&mut self, server: &Server, number: i64) {
        server.psql_ok(&format!("INSERT INTO t VALUES ({number}, 'one more')"));
        self.rows.insert(number);
    }

    /// Takes a checkpoint.
    pub fn checkpoint(&mut self, server: &Server) {
        self.notes.push(format!("{}\n", server.psql_ok("SELECT ledgerstone_digest()")));
    }

    /// Every acknowledged row is there.
    #[track_caller]
    pub fn check(&self, server: &Server) {
        let there: BTreeSet<i64> =
            server.psql_ok("SELECT n FROM t").lines().map(|line| line.parse().expect("a number")).collect();
        let lost: Vec<_> = self.rows.difference(&there).take(10).collect();
        assert!(lost.is_empty(), "lost: {lost:?} … of {}", self.rows.len());
    }

    /// Everything promised is there, and verifies once the server has stopped.
    #[track_caller]
    pub fn hold_to_the_end(&mut self, server: &mut Server) {
        self.check(server);
        self.checkpoint(server);
        assert_eq!(server.stop().code(), Some(0), "{}", server.log_text());
        self.verify(&server.data());
    }

    /// Every checkpoint handed out verifies against the directory of a stopped server.
    #[track_caller]
    pub fn verify(&self, data: &Path) {
        // The oldest and the newest ones; each is a full verification.
        let ends = self.notes.first().into_iter().chain(self.notes.iter().rev().take(2));
        for note in ends {
            let (status, said) = verify_against(&data.join("main"), note, &self.vkey);
            assert_eq!(status, 0, "{note}{said}");
        }
    }
}
