//! `ledgerstone import` as its user runs it: an export in, a ledger out that a server serves and an auditor believes;
//! killed at any moment, it goes on.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ledgerstone_client::Verifier;
use ledgerstone_digest::ion::{Value, encode};
use ledgerstone_journal::Env;
use ledgerstone_journal::keys::keys_in;
use ledgerstone_journal::recovery::genesis_of;
use ledgerstone_query::database::{Database, DatabaseOptions};
use ledgerstone_query::session::{Dialect, Door, Inline, Session, SessionOptions};
use serde_json::Value as Json;

use crate::grpc_sessions::connect;
use crate::harness::{Server, Setting, binary};

const BLOCKS_AN_OBJECT: usize = 100;

/// A place with a ledger, its export and room for the new one.
struct Place {
    directory: tempfile::TempDir,
    blocks: Vec<Value>,
}

impl Place {
    /// With a ledger of so many documents, each inserted by a transaction and some changed and deleted.
    fn new(documents: usize) -> Place {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start_on(directory.path().join("old"), directory.path().join("old-keys"));
        drop(server);
        let database = open(&directory.path().join("old/main"), &directory.path().join("old-keys"));
        let options = SessionOptions::new(Door::Embedded, "clerk", Dialect::PartiQl, Arc::new(Inline));
        let mut session = Session::over(database.clone(), options);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut run = |text: &str| drop(runtime.block_on(session.execute(text)).unwrap());
        run("CREATE TABLE Vehicle");
        run("CREATE INDEX ON Vehicle (VIN)");
        for n in 0..documents {
            run(&format!("INSERT INTO Vehicle {{'VIN': 'V{n}', 'Owners': {{'Primary': 'P{n}'}}, 'n': {n}.50}}"));
            if n % 10 == 3 {
                run(&format!("UPDATE Vehicle AS v SET v.Owners.\"Primary\" = 'Q{n}' WHERE v.VIN = 'V{n}'"));
            }
            if n % 50 == 7 {
                run(&format!("DELETE FROM Vehicle AS v WHERE v.VIN = 'V{n}'"));
            }
        }
        drop(session);
        let blocks = blocks_of(&database);
        database.close().unwrap();
        let place = Place { directory, blocks };
        place.export();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn export(&self) {
        std::fs::create_dir(self.path("export")).unwrap();
        for (n, chunk) in self.blocks.chunks(BLOCKS_AN_OBJECT).enumerate() {
            let (first, last) = (n * BLOCKS_AN_OBJECT, n * BLOCKS_AN_OBJECT + chunk.len() - 1);
            let bytes: Vec<u8> = chunk.iter().flat_map(encode).collect();
            std::fs::write(self.path("export").join(format!("strand.{first}-{last}.ion")), bytes).unwrap();
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.args(["import", "qldb-export", "--ledger", "vehicles", "--json", "--data"]);
        command.arg(self.path("data")).arg("--keys").arg(self.path("keys")).arg(self.path("export"));
        command
    }

    fn import(&self) -> (i32, Json, String) {
        let output = self.command().output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or_default(), said)
    }
}

fn open(ledger: &Path, keys: &Path) -> Arc<Database> {
    let (id, _, _) = genesis_of(&Env::production(), ledger).unwrap();
    Database::open(&Env::production(), ledger, "main", keys_in(keys, id), DatabaseOptions::default()).unwrap()
}

fn blocks_of(database: &Database) -> Vec<Value> {
    let last = database.ledger().last_block().unwrap().unwrap();
    (0..=last).map(|number| database.ledger().journal_block(number).unwrap().to_value()).collect()
}

#[test]
fn an_imported_ledger_is_served_and_an_auditor_re_derives_all_of_it() {
    let place = Place::new(60);
    let (status, report, said) = place.import();
    assert_eq!(status, 0, "{said}");
    assert_eq!(report["blocks"].as_u64(), Some(place.blocks.len() as u64));
    assert_eq!((report["tables"].as_u64(), report["indexes"].as_u64()), (Some(1), Some(1)));

    let server = Server::start_on(place.path("data"), place.path("keys"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = server.client_of("vehicles").await.unwrap();
        let row = client.query_one("SELECT count(*) FROM \"Vehicle\"", &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 58);
        client.batch_execute("UPDATE \"Vehicle\" SET n = 0 WHERE \"VIN\" = 'V1'").await.unwrap();
        let mut verifier = Verifier::trust_on_first_use(connect(&server).await, "vehicles", None).await.unwrap();
        let audit = verifier.audit().await.unwrap();
        assert_eq!((audit.imported_blocks, audit.opaque, audit.deleted), (place.blocks.len() as u64, 0, 2));
        assert_eq!(audit.blocks, audit.imported_blocks + 1);
    });
    drop(server);

    let output = Command::new(binary()).arg("verify").arg(place.path("data/vehicles")).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("imported from QLDB"), "{shown}");
    // The name is taken now.
    let (status, _, said) = place.import();
    assert_eq!(status, 2);
    assert!(said.contains("already exists"), "{said}");
}

#[test]
fn an_import_that_is_killed_leaves_no_half_ledger_and_goes_on_when_started_again() {
    let place = Place::new(400);
    let mut resumed = 0;
    for attempt in 1..40u64 {
        let mut child = place.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(30 * attempt));
        let ended = child.try_wait().unwrap();
        let _ = child.kill();
        child.wait().unwrap();
        match ended {
            Some(status) => {
                assert!(status.success());
                break;
            }
            None => assert!(!place.path("data/vehicles").exists() || attempt > 1),
        }
        if place.path("data/vehicles").exists() {
            break;
        }
        resumed += u64::from(place.path("data/vehicles.importing").exists());
    }
    if !place.path("data/vehicles").exists() {
        let (status, _, said) = place.import();
        assert_eq!(status, 0, "{said}");
    }
    println!("killed {resumed} times with blocks written");
    let database = open(&place.path("data/vehicles"), &place.path("keys"));
    assert_eq!(blocks_of(&database), place.blocks);
    database.close().unwrap();
}

/// What an operator sees and does whose key is gone.
#[test]
fn a_ledger_whose_key_is_lost_is_refused_with_the_command_that_goes_on_with_it() {
    let place = Place::new(40);
    std::fs::remove_dir_all(place.path("old-keys")).unwrap();
    let ended = Server::try_start(place.path("old"), place.path("old-keys"), Setting::default()).err().unwrap();
    assert!(ended.log.contains("ledgerstone import ledger --help"), "{}", ended.log);

    let continue_it = || {
        let mut command = Command::new(binary());
        command.args(["import", "ledger", "--ledger", "vehicles", "--data"]).arg(place.path("data"));
        let output = command.arg("--keys").arg(place.path("keys")).arg(place.path("old/main")).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (status, said) = continue_it();
    assert!(status == 0 && said.contains("goes on where the old ledger ended"), "{said}");
    let server = Server::start_on(place.path("data"), place.path("keys"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = server.client_of("vehicles").await.unwrap();
        client.batch_execute("UPDATE \"Vehicle\" SET n = 0 WHERE \"VIN\" = 'V1'").await.unwrap();
        let row = client.query_one("SELECT count(*) FROM history(\"Vehicle\")", &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 40 + 4 + 1 + 1);
    });
    drop(server);
    // Of a ledger that does not hold nothing is made.
    let segment = place.path("old/main/journal/00000000000000000000.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(3).rposition(|window| window == b"V39").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    std::fs::remove_dir_all(place.path("data")).unwrap();
    let (status, said) = continue_it();
    assert!(status != 0 && !place.path("data/vehicles").exists(), "{said}");
}
