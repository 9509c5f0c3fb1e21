//! A ledger on disk, made without a server, and everything that it hands out, as files for `ledgerstone verify`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ledgerstone_digest::ion::{Limits, parse};
use ledgerstone_digest::note::SigningKey;
use ledgerstone_digest::{Hash, Id};
use ledgerstone_journal::Env;
use ledgerstone_journal::keys::{KeyDirectory, read_key};
use ledgerstone_journal::recovery::origin_of;
use ledgerstone_query::catalogue::ddl;
use ledgerstone_query::database::{Database, DatabaseOptions};
use ledgerstone_query::session::{Dialect, SessionInfo};
use ledgerstone_query::transaction::{Transaction, View};
use tempfile::TempDir;

/// Documents of the table.
pub const VEHICLES: u64 = 40;

/// The files of one ledger.
pub struct Fixture {
    directory: TempDir,
    pub key: SigningKey,
    pub table: Id,
    pub document: Id,
    /// The position of version 1 of that document.
    pub position: u64,
    /// The sizes of the checkpoints `early` and `late`.
    pub sizes: (u64, u64),
}

/// What the command printed and how it ended.
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Fixture {
    /// `seed` makes the ledger's id and key, so that two fixtures are two ledgers.
    pub fn new(seed: u8) -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let (data, keys) = (directory.path().join("data"), directory.path().join("keys"));
        std::fs::create_dir(&data).unwrap();
        let env = Env::production();
        let id = Id([seed; 16]);
        let key =
            KeyDirectory::open(&keys, &data).unwrap().create(id, &origin_of("ledger.test", id), &*env.rng).unwrap();
        let again = || read_key(&keys.join(format!("{id}.key"))).unwrap();
        Database::create(&env, &data.join("main"), id, "ledger.test", again()).unwrap();
        let database = Database::open(&env, &data.join("main"), "main", again(), DatabaseOptions::default()).unwrap();
        let mut fixture = Fixture { directory, key, table: Id::ZERO, document: Id::ZERO, position: 0, sizes: (0, 0) };
        fixture.fill(&database);
        fixture.write("vkey", fixture.key.verifier().to_string());
        database.close().unwrap();
        fixture
    }

    /// Opens the ledger and closes it, as a server does that nobody asks anything.
    pub fn open_and_close(&self) {
        let id = self.key.name().rsplit('/').next().unwrap();
        let key = read_key(&self.path("keys").join(format!("{id}.key"))).unwrap();
        let open = Database::open(&Env::production(), &self.path("data/main"), "main", key, DatabaseOptions::default());
        open.unwrap().close().unwrap();
    }

    fn fill(&mut self, database: &Arc<Database>) {
        let text = "CREATE TABLE vehicle";
        let parsed = ledgerstone_query::partiql::parse(text).unwrap();
        run(database, |tx| {
            ddl::apply(tx, &parsed[0].statement, Dialect::PartiQl, &SessionInfo::embedded("main", Dialect::PartiQl))
                .map(drop)
                .unwrap()
        });
        for n in 0..VEHICLES {
            run(database, |tx| {
                tx.begin_statement("INSERT INTO vehicle ?", &[]).unwrap();
                let table = tx.table("vehicle").unwrap().unwrap();
                tx.insert(&table, document(n, "Seattle")).unwrap();
            });
        }
        self.sizes.0 = self.checkpoint(database, "early");
        run(database, |tx| {
            tx.begin_statement("UPDATE vehicle SET city = 'Tacoma'", &[]).unwrap();
            let table = tx.table("vehicle").unwrap().unwrap();
            let documents: Vec<_> = tx.scan(&table, View::Current).unwrap().collect::<Result<_, _>>().unwrap();
            for found in documents.iter().take(3) {
                let n =
                    found.data.as_ref().and_then(|d| d.as_struct()).and_then(|s| s.get("n")).and_then(|n| n.as_i64());
                tx.replace(&table, found, document(n.unwrap() as u64, "Tacoma")).unwrap();
            }
            (self.table, self.document) = (table.id, documents[0].id);
        });
        self.sizes.1 = self.checkpoint(database, "late");
        let ledger = database.ledger();
        self.position = self.sizes.1 - 4;
        let receipt = ledger.receipt(self.position).unwrap();
        self.write("receipt", receipt.encode());
        let block = ledger.last_block().unwrap().unwrap();
        self.write("transaction", ledger.transaction_receipt(block).unwrap().encode());
        let hashes: Vec<Hash> = ledger.consistency(self.sizes.0, self.sizes.1).unwrap();
        self.write("consistency", hashes.iter().map(|hash| format!("{hash}\n")).collect::<String>());
        self.write("proof", ledger.proof_file(self.position).unwrap().to_text());
        self.write("leaf", ledger.leaf(self.position).unwrap());
        let block_leaf = self.sizes.1 - 1;
        self.write("block-proof", ledger.proof_file(block_leaf).unwrap().to_text());
        self.write("block-leaf", ledger.leaf(block_leaf).unwrap());
        let shown = &receipt.revisions[0].leaf;
        assert_eq!((shown.document_id, shown.version), (self.document, 1));
        self.write("content.ion", "{n: 0, city: \"Tacoma\", fine: 12.50}");
    }

    fn checkpoint(&self, database: &Database, name: &str) -> u64 {
        let signed = database.ledger().checkpoint().unwrap();
        self.write(name, signed.note.as_bytes());
        signed.checkpoint.size
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// Runs the binary in the fixture's directory.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let output =
            Command::new(crate::harness::binary()).args(arguments).current_dir(self.directory.path()).output().unwrap();
        Ran {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// `verify` with the ledger's key.
    pub fn verify(&self, arguments: &[&str]) -> Ran {
        let mut all = vec!["verify", "--key", "vkey"];
        all.extend_from_slice(arguments);
        self.run(&all)
    }

    /// A copy of the ledger's directory.
    pub fn copy(&self, name: &str) -> PathBuf {
        let to = self.path(name);
        copy_directory(&self.path("data/main"), &to);
        to
    }
}

impl Ran {
    /// Checks the exit status and that these texts were printed.
    #[track_caller]
    pub fn says(&self, status: i32, texts: &[&str]) {
        assert_eq!(self.status, status, "{}\n{}", self.out, self.err);
        for text in texts {
            let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                flat(&self.out).contains(&flat(text)) || self.err.contains(text),
                "{text:?}\n{}{}",
                self.out,
                self.err
            );
        }
    }
}

fn run<T>(database: &Arc<Database>, work: impl FnOnce(&mut Transaction) -> T) -> T {
    let mut tx = Transaction::begin(database, false);
    let result = work(&mut tx);
    tx.commit_blocking().unwrap();
    result
}

fn document(n: u64, city: &str) -> ledgerstone_digest::ion::Value {
    parse(&format!("{{n: {n}, city: \"{city}\", fine: 12.50}}"), &Limits::DOCUMENT).unwrap()
}

pub fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_directory(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}
