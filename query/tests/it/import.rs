//! A journal export becomes a new ledger: the same blocks and hashes, the same answers, and it goes on from there.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledgerstone_digest::Hash;
use ledgerstone_digest::block::{StatementText, native_time};
use ledgerstone_digest::ion::{Limits, Value, encode, ion_hash, parse, to_text};
use ledgerstone_digest::qldb::{
    DeletionForm, JournalBlock, JournalRevision, ShownContent, ShownRevision, block_hash, dot2, entries_hash, merkle,
    statement_digest,
};
use ledgerstone_digest::rotation::KeyChain;
use ledgerstone_journal::qldb::retired::RetiredLedger;
use ledgerstone_journal::qldb::source::{Directory, JournalExport, ObjectSource, SourceError};
use ledgerstone_journal::recovery::genesis_of;
use ledgerstone_journal::verify::{Compared, VerifyOptions, verify_directory};
use ledgerstone_journal::{Env, VerifyReport};
use ledgerstone_query::database::{Database, Limits as DatabaseLimits, MemoryLimits};
use ledgerstone_query::import::{ImportError, ImportOptions, ImportReport, SavedDigest, TreeShape, import};
use ledgerstone_query::instance::{Instance, InstanceOptions};
use ledgerstone_query::session::{Dialect, Session};
use ledgerstone_query::work::WorkLimits;

use crate::support::{clerk, open_instance, session, told};

pub const TARGET: &str = "brought";

/// Rows, leaves and checkpoint verify without the ledger.
#[cfg(feature = "analytics")]
fn blocks_and_deletions_in_parquet(database: &Database, out: &Path) -> (u64, u64) {
    use ledgerstone_query::export::{ExportOptions, VerifyExportOptions, export, verify_export};
    export(database, out, &ExportOptions::default(), &mut |_| true).unwrap();
    let keys = KeyChain::new(database.ledger().vkey());
    let found = verify_export(out, &VerifyExportOptions { keys, kept: None }, &mut |_| ()).unwrap();
    (found.blocks, found.deleted)
}

pub fn instance_options(dir: &Path) -> InstanceOptions {
    InstanceOptions {
        env: Env::production(),
        data: dir.join("data"),
        keys: dir.join("keys"),
        origin_prefix: "ledger.test".into(),
        limits: DatabaseLimits::default(),
        memory: MemoryLimits::default(),
        work: WorkLimits::default(),
    }
}

pub fn import_from(dir: &Path, export: &Path, digest: Option<SavedDigest>) -> Result<ImportReport, ImportError> {
    let source = Directory(export.to_path_buf());
    let options = ImportOptions { name: TARGET, digest, progress: &mut |_| () };
    import(&instance_options(dir), &JournalExport::open(&source)?, options)
}

pub fn session_on(instance: &Arc<Instance>, dialect: Dialect) -> Session {
    Session::new(instance.clone(), TARGET, clerk(dialect)).unwrap()
}

/// Every block's struct.
pub fn blocks_of(database: &Database) -> Vec<Value> {
    let count = database.ledger().last_block().unwrap().map_or(0, |last| last + 1);
    (0..count).map(|number| database.ledger().journal_block(number).unwrap().to_value()).collect()
}

/// Writes an export of a few blocks an object, as Ion text and Ion binary by turns.
pub fn write_export(dir: &Path, blocks: &[Value]) {
    for (n, chunk) in blocks.chunks(7).enumerate() {
        let (first, last) = (n * 7, n * 7 + chunk.len() - 1);
        let folder = dir.join(format!("2026/11/28/{n:02}"));
        std::fs::create_dir_all(&folder).unwrap();
        let bytes = match n % 2 {
            0 => chunk.iter().map(to_text).collect::<Vec<_>>().join("\n").into_bytes(),
            _ => chunk.iter().flat_map(encode).collect(),
        };
        std::fs::write(folder.join(format!("JdxjkR9bSYB5jMHWcI464T.{first}-{last}.ion")), bytes).unwrap();
    }
}

pub fn verified(dir: &Path) -> VerifyReport {
    let report = verify_directory(&Env::production(), dir, VerifyOptions::default());
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    report
}

/// A ledger with everything that a block can hold, a redaction and a rotation of definitions among it.
pub fn busy_ledger(dir: &Path) -> Arc<Instance> {
    let instance = open_instance(dir).unwrap();
    let mut sql = session(&instance, Dialect::Sql);
    let texts = [
        "CREATE TABLE person (id text PRIMARY KEY, name text NOT NULL CHECK (name <> ''), age int)",
        "CREATE UNIQUE INDEX by_name ON person (name)",
        "INSERT INTO person VALUES ('p1', 'Ada', 36), ('p2', 'Grace', 85), ('p3', 'Edsger', 72)",
        "UPDATE person SET age = 37 WHERE id = 'p1'",
        "DELETE FROM person WHERE id = 'p3'",
        "INSERT INTO person VALUES ('p4', 'Barbara', 51)",
    ];
    texts.iter().for_each(|text| drop(told(&mut sql, text).unwrap()));
    let mut partiql = session(&instance, Dialect::PartiQl);
    let texts = [
        "CREATE TABLE Vehicle",
        "CREATE INDEX ON Vehicle (VIN)",
        "INSERT INTO Vehicle << {'VIN': 'A', 'n': 1.50, 'o': {'l': [1, null, `x::2019T`]}}, {'VIN': 'B', 'n': null.int} >>",
        "FROM Vehicle AS v WHERE v.VIN = 'B' SET v.n = 2",
        "CREATE TABLE Gone",
        "INSERT INTO Gone {'a': 1}",
        "DROP TABLE Gone",
    ];
    texts.iter().for_each(|text| drop(told(&mut partiql, text).unwrap()));
    for n in 0..40 {
        told(&mut partiql, &format!("INSERT INTO Vehicle {{'VIN': 'V{n}', 'n': {n}}}")).unwrap();
    }
    let place = "SELECT VALUE {'s': r.blockAddress.strandId, 'b': r.blockAddress.sequenceNo, 'd': r.metadata.id} FROM \
                 history(Vehicle) AS r WHERE r.data.VIN = 'B' AND r.metadata.version = 0";
    let found = told(&mut partiql, place).unwrap();
    let row = parse(&found[0], &Limits::DOCUMENT).unwrap();
    let text = |name: &str| match row.as_struct().and_then(|fields| fields.get(name)) {
        Some(Value::String(text)) => text.to_string(),
        Some(other) => to_text(other),
        None => panic!("{found:?}"),
    };
    let table = told(&mut partiql, "SELECT VALUE tableId FROM information_schema.user_tables WHERE name = 'Vehicle'");
    let table = table.unwrap()[0].trim_matches('"').to_owned();
    let redact = format!(
        "EXEC REDACT_REVISION `{{strandId:\"{}\",sequenceNo:{}}}`, '{table}', '{}'",
        text("s"),
        text("b"),
        text("d")
    );
    told(&mut partiql, &redact).unwrap();
    instance
}

const QUESTIONS: [&str; 7] = [
    "SELECT id, name, age FROM person ORDER BY id",
    "SELECT id, name, age, _ql_version FROM history(person) ORDER BY id, _ql_version",
    "SELECT count(*) FROM person AS OF BLOCK 2",
    "SELECT id FROM person WHERE name = 'Grace'",
    "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2",
    "SELECT indexname, indexdef FROM pg_indexes ORDER BY 1",
    "SELECT count(*) FROM \"Vehicle\"",
];

#[test]
fn a_ledger_comes_back_from_its_export_and_goes_on() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = busy_ledger(from.path());
    let old = first.ledger("main").unwrap();
    let (blocks, digest) = (blocks_of(&old), old.ledger().qldb_digest().unwrap());
    let export = to.path().join("export");
    write_export(&export, &blocks);

    let saved = SavedDigest { hash: digest.hash, tip: digest.tip };
    let report = import_from(to.path(), &export, Some(saved)).unwrap();
    assert_eq!((report.chain.blocks, report.is_ours), (blocks.len() as u64, true));
    assert_eq!((report.qldb_digest, report.digest_shape), (digest.hash, Some(TreeShape::Promoted)));
    assert_eq!((report.chain.redacted, report.chain.deleted, report.resumed_blocks), (1, 1, 0));
    assert!(!to.path().join("data/brought.importing").exists());

    let second = Instance::open(instance_options(to.path())).unwrap();
    let new = second.ledger(TARGET).unwrap();
    assert_eq!(blocks_of(&new), blocks, "the same Ion values");
    assert_eq!(new.ledger().strand(), old.ledger().strand());
    assert_ne!(new.ledger().ledger_id(), old.ledger().ledger_id());
    assert_eq!(new.ledger().qldb_digest().unwrap(), digest);
    let (mut before, mut after) = (session(&first, Dialect::Sql), session_on(&second, Dialect::Sql));
    for question in QUESTIONS {
        assert_eq!(told(&mut after, question).unwrap(), told(&mut before, question).unwrap(), "{question}");
    }

    // Constraints hold, documents go on, and the next block follows from the last imported one.
    let duplicate = told(&mut after, "INSERT INTO person VALUES ('p1', 'Alan', 41)").unwrap_err();
    assert_eq!(duplicate.code.as_str(), "23505");
    told(&mut after, "UPDATE person SET age = 38 WHERE id = 'p1'").unwrap();
    let number = blocks.len() as u64;
    let block = new.ledger().read_block(number).unwrap();
    assert_eq!(block.previous_block_hash, Some(old.ledger().read_block(number - 1).unwrap().block_hash));
    assert_eq!((block.revisions[0].version, block.imported.is_none()), (2, true));
    drop((before, after));
    new.close().unwrap();
    let verified = verified(&to.path().join("data").join(TARGET));
    assert_eq!((verified.imported_blocks, verified.blocks, verified.redacted), (number, number + 1, 1));
    assert_eq!(verified.compared, Compared::WithItself);
}

#[test]
fn what_was_imported_can_be_redacted_and_exported_again() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = busy_ledger(from.path());
    let blocks = blocks_of(&first.ledger("main").unwrap());
    write_export(&to.path().join("export"), &blocks);
    import_from(to.path(), &to.path().join("export"), None).unwrap();
    let second = Instance::open(instance_options(to.path())).unwrap();
    let database = second.ledger(TARGET).unwrap();
    let before = database.ledger().qldb_digest().unwrap();
    let mut sql = session_on(&second, Dialect::Sql);
    let place = "SELECT _ql_block, _ql_id FROM history(person) AS h WHERE id = 'p1' AND _ql_version = 0";
    let found = told(&mut sql, place).unwrap();
    let (block, document) = found[0].split_once('|').unwrap();
    let text = "SELECT VALUE tableId FROM information_schema.user_tables WHERE name = 'person'";
    let mut partiql = session_on(&second, Dialect::PartiQl);
    let table = told(&mut partiql, text).unwrap()[0].trim_matches('"').to_owned();
    let redact = format!(
        "EXEC REDACT_REVISION `{{strandId:\"{}\",sequenceNo:{block}}}`, '{table}', '{document}'",
        database.ledger().strand()
    );
    told(&mut partiql, &redact).unwrap();
    drop((sql, partiql));
    // The old digest still proves the revision.
    let number: u64 = block.parse().unwrap();
    let proof = database.ledger().qldb_revision(number, document.parse().unwrap(), Some(before.tip)).unwrap();
    assert!(to_text(&proof.value).contains("dataHash"));
    let again = blocks_of(&database);
    database.close().unwrap();
    let report = verified(&to.path().join("data").join(TARGET));
    assert_eq!(report.redacted, 2);

    let third = tempfile::tempdir().unwrap();
    write_export(&third.path().join("export"), &again);
    let report = import_from(third.path(), &third.path().join("export"), None).unwrap();
    assert_eq!((report.chain.redacted, report.chain.blocks), (2, again.len() as u64));
    let instance = Instance::open(instance_options(third.path())).unwrap();
    assert_eq!(blocks_of(&instance.ledger(TARGET).unwrap()), again);
}

const STRAND: &str = "JdxjkR9bSYB5jMHWcI464T";
pub const PERSON: &str = "7jbhLcBsCYvHIUk5kqKpnQ";

/// A journal as QLDB wrote it: four entries a block, two of which nobody knows, and internal revisions as hashes.
#[derive(Default)]
pub struct Qldb {
    pub blocks: Vec<JournalBlock>,
}

impl Qldb {
    pub fn id(n: usize) -> String {
        format!("{n:0>22}")
    }

    /// A block. `time_ms` is the block's; its transaction began 391 ms before.
    pub fn block(&mut self, text: &str, table: (&str, &str), time_ms: i64, changes: &[(&str, u64, ShownContent)]) {
        let number = self.blocks.len();
        let tx = Qldb::id(number + 1000);
        let mut revisions: Vec<JournalRevision> = changes
            .iter()
            .map(|(id, version, content)| {
                let time = to_text(&Value::Timestamp(native_time(time_ms - 391)));
                let text = format!("{{id:\"{id}\",version:{version},txTime:{time},txId:\"{tx}\"}}");
                let metadata = parse(&text, &Limits::DOCUMENT).unwrap();
                let hash = match content {
                    ShownContent::Data(data) => dot2(ion_hash(&metadata), ion_hash(data)),
                    ShownContent::DataHash(hash) => dot2(ion_hash(&metadata), *hash),
                    ShownContent::Deleted => DeletionForm::Null.hash(ion_hash(&metadata)),
                };
                JournalRevision { hash, shown: Some(ShownRevision { metadata, content: content.clone() }) }
            })
            .collect();
        if changes.is_empty() {
            let hash = Hash::sha256(&[b"internal", tx.as_bytes()]);
            revisions.push(JournalRevision { hash, shown: None });
        }
        let documents = changes.iter().fold(String::new(), |all, (id, _, _)| {
            format!("{all}'{id}':{{tableName:\"{}\",tableId:\"{}\",statements:[0]}},", table.0, table.1)
        });
        let documents = if changes.is_empty() { String::new() } else { format!(",documents:{{{documents}}}") };
        let start = to_text(&Value::Timestamp(native_time(time_ms - 380)));
        let digest = to_text(&Value::blob(statement_digest(text, &[]).0.as_slice()));
        let quoted = to_text(&Value::string(text));
        let info =
            format!("{{statements:[{{statement:{quoted},startTime:{start},statementDigest:{digest}}}]{documents}}}");
        let info = parse(&info, &Limits::DOCUMENT).unwrap();
        let root = merkle(&revisions.iter().map(|r| r.hash).collect::<Vec<_>>()).unwrap();
        let unknown = |n: u8| Hash::sha256(&[&[n], tx.as_bytes()]);
        let list = vec![unknown(0), root, unknown(2), ion_hash(&info)];
        let previous = self.blocks.last().map(|block| block.block_hash);
        let entries = entries_hash(&list).unwrap();
        self.blocks.push(JournalBlock {
            strand_id: STRAND.to_owned(),
            sequence_no: number as u64,
            transaction_id: tx,
            timestamp: native_time(time_ms),
            block_hash: block_hash(entries, previous),
            entries_hash: entries,
            previous_block_hash: previous,
            entries_hash_list: list,
            transaction_info: Some(info),
            redaction_info: None,
            origin_info: None,
            revisions,
        });
    }

    pub fn values(&self) -> Vec<Value> {
        self.blocks.iter().map(JournalBlock::to_value).collect()
    }
}

pub fn data(text: &str) -> ShownContent {
    ShownContent::Data(parse(text, &Limits::DOCUMENT).unwrap())
}

/// 2019-10-25: years before any import.
pub const TIME: i64 = 1_572_024_021_009;

pub fn qldb_ledger() -> Qldb {
    let mut qldb = Qldb::default();
    let person = ("Person", PERSON);
    qldb.block("CREATE TABLE Person", person, TIME, &[]);
    qldb.block("CREATE INDEX ON Person (GovId)", person, TIME + 10, &[]);
    let (a, b) = (Qldb::id(7), Qldb::id(8));
    qldb.block(
        "INSERT INTO Person ?",
        person,
        TIME + 1000,
        &[(&a, 0, data("{GovId:\"G1\",Name:\"Raul\"}")), (&b, 0, data("{GovId:\"G2\",Name:\"Brent\",n:1.50}"))],
    );
    // The clock of one of QLDB's machines stood back.
    qldb.block("UPDATE Person SET Name = ?", person, TIME + 900, &[(&a, 1, data("{GovId:\"G1\",Name:\"Raúl\"}"))]);
    qldb.block("DELETE FROM Person", person, TIME + 2000, &[(&b, 1, ShownContent::Deleted)]);
    qldb.block("CREATE TABLE Empty", person, TIME + 3000, &[]);
    qldb
}

#[test]
fn a_ledger_as_qldb_wrote_it_is_imported_with_its_times_ids_and_hashes() {
    let dir = tempfile::tempdir().unwrap();
    let qldb = qldb_ledger();
    write_export(&dir.path().join("export"), &qldb.values());
    let report = import_from(dir.path(), &dir.path().join("export"), None).unwrap();
    assert_eq!((report.chain.hash_only, report.chain.deleted_as_null, report.tables), (3, 1, 2));
    assert_eq!((report.is_ours, report.indexes, report.chain.digests_not_recomputed), (false, 1, 0));

    let instance = Instance::open(instance_options(dir.path())).unwrap();
    let database = instance.ledger(TARGET).unwrap();
    assert_eq!(blocks_of(&database)[..6], qldb.values());
    let mut s = session_on(&instance, Dialect::PartiQl);
    let ask = |s: &mut Session, text: &str| {
        let mut rows = told(s, text).unwrap_or_else(|error| panic!("{text}: {error}"));
        rows.pop();
        rows
    };
    assert_eq!(ask(&mut s, "SELECT VALUE p.Name FROM Person AS p WHERE p.GovId = 'G1'"), ["\"Raúl\""]);
    let versions = "SELECT VALUE [h.metadata.version, h.metadata.txTime, h.data.Name] FROM history(Person) AS h BY d \
                    WHERE d = '0000000000000000000007'";
    let found = ask(&mut s, versions);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("2019-10-25T17:20:21.618Z"), "{found:?}");
    let committed = ask(&mut s, "SELECT VALUE c.metadata.txId FROM _ql_committed_Person AS c");
    assert_eq!(committed, ["\"0000000000000000001003\""]);
    assert_eq!(ask(&mut s, "SELECT VALUE name FROM information_schema.user_tables").len(), 2);
    let mut sql = session_on(&instance, Dialect::Sql);
    let at = told(&mut sql, "SELECT \"Name\" FROM \"Person\" AS OF BLOCK 2 ORDER BY 1").unwrap();
    assert_eq!(at, ["\"Brent\"", "\"Raul\"", "SELECT 2"]);
    // By time: a block is seen from the latest time before it on.
    let between = "SELECT count(*) FROM \"Person\" AS OF TIMESTAMP '2019-10-25T17:20:21.950Z'";
    assert_eq!(told(&mut sql, between).unwrap()[0], "0");

    // It goes on.
    ask(&mut s, "UPDATE Person AS p SET p.Name = 'Raul' WHERE p.GovId = 'G1'");
    ask(&mut s, "INSERT INTO Empty {'a': 1}");
    // Behind the blocks of the catalogue and of the index that was built.
    let next = database.ledger().read_block(8).unwrap();
    assert_eq!((next.revisions[0].version, next.imported.is_none()), (2, true));

    // Receipts say that the revision was imported.
    let position = database.ledger().read_block(2).unwrap().first_position;
    let receipt = database.ledger().receipt(position).unwrap();
    assert!(receipt.block_leaf.imported && receipt.revisions[0].leaf.imported);
    let opaque = database.ledger().receipt(database.ledger().read_block(0).unwrap().first_position).unwrap();
    assert!(opaque.revisions[0].leaf.opaque);
    assert!(matches!(
        opaque.revisions[0].opening.as_ref().unwrap().content,
        ledgerstone_digest::receipt::Content::Opaque { .. }
    ));
    drop((s, sql));
    #[cfg(feature = "analytics")]
    assert_eq!(blocks_and_deletions_in_parquet(&database, &dir.path().join("parquet")), (10, 1));
    database.close().unwrap();
    let report = verified(&dir.path().join("data").join(TARGET));
    assert_eq!((report.imported_blocks, report.opaque, report.blocks), (6, 3, 10));
}

#[test]
fn after_an_import_that_lacks_versions_a_redaction_hides_the_revision_that_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let mut qldb = Qldb::default();
    let (person, a, b) = (("Person", PERSON), Qldb::id(7), Qldb::id(8));
    qldb.block("CREATE TABLE Person", person, TIME, &[]);
    qldb.block("CREATE INDEX ON Person (GovId)", person, TIME + 10, &[]);
    for (n, [of_a, of_b]) in [[0, 4], [2, 7], [3, 8]].into_iter().enumerate() {
        let row = |id: &str, version| data(&format!("{{GovId:\"{id}\",Name:\"{id}{version}\",Kept:1}}"));
        let changes = [(&*a, of_a, row("A", of_a)), (&*b, of_b, row("B", of_b))];
        qldb.block("UPDATE Person", person, TIME + 1000 * (n as i64 + 1), &changes);
    }
    write_export(&dir.path().join("export"), &qldb.values());
    let report = import_from(dir.path(), &dir.path().join("export"), None).unwrap();
    assert_eq!(report.chain.version_gaps, 3);

    let ask = |instance: &Arc<Instance>, text: &str| -> Vec<String> {
        let mut rows = told(&mut session_on(instance, Dialect::PartiQl), text).unwrap();
        rows.pop();
        rows.into_iter().map(|row| row.replace(['"', ' '], "")).collect()
    };
    let history = "SELECT VALUE [h.metadata.version, h.data.Name] FROM history(Person) AS h";
    let count = "SELECT VALUE COUNT(h.data.Name) FROM history(Person) AS h WHERE h.data.Kept = 1";
    let instance = Instance::open(instance_options(dir.path())).unwrap();
    assert_eq!(ask(&instance, count), ["6"]);
    let strand = instance.ledger(TARGET).unwrap().ledger().strand();
    for (id, block) in [(&a, 3), (&b, 2)] {
        let redact = format!("EXEC REDACT_REVISION `{{strandId:\"{strand}\",sequenceNo:{block}}}`, '{PERSON}', '{id}'");
        ask(&instance, &redact);
    }
    assert_eq!(ask(&instance, history), ["[0,A0]", "[2]", "[3,A3]", "[4]", "[7,B7]", "[8,B8]"]);
    assert_eq!(ask(&instance, count), ["4"]);
    ask(&instance, "UPDATE Person AS p SET p.Name = 'A4' WHERE p.GovId = 'A'");
    let now = "SELECT VALUE [p.GovId, p.Name, p.Kept] FROM Person AS p WHERE p.GovId = 'A'";
    assert_eq!(ask(&instance, now), ["[A,A4,1]"]);
    drop(instance);
    // The same once everything was derived again.
    std::fs::remove_dir_all(dir.path().join("data").join(TARGET).join("index")).unwrap();
    let instance = Instance::open(instance_options(dir.path())).unwrap();
    assert_eq!(ask(&instance, history), ["[0,A0]", "[2]", "[3,A3]", "[4,A4]", "[4]", "[7,B7]", "[8,B8]"]);
    assert_eq!(ask(&instance, count), ["5"]);
    instance.ledger(TARGET).unwrap().close().unwrap();
    assert_eq!(verified(&dir.path().join("data").join(TARGET)).redacted, 2);
}

#[test]
fn a_document_of_which_only_its_deletion_was_imported_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut qldb = Qldb::default();
    let (person, ghost, real) = (("Person", PERSON), Qldb::id(1), Qldb::id(9));
    qldb.block("CREATE TABLE Person", person, TIME, &[]);
    qldb.block("DELETE FROM Person", person, TIME + 1000, &[(&ghost, 3, ShownContent::Deleted)]);
    qldb.block("INSERT INTO Person ?", person, TIME + 2000, &[(&real, 0, data("{GovId:\"G1\"}"))]);
    write_export(&dir.path().join("export"), &qldb.values());
    import_from(dir.path(), &dir.path().join("export"), None).unwrap();
    let instance = Instance::open(instance_options(dir.path())).unwrap();
    let mut sql = session_on(&instance, Dialect::Sql);
    assert_eq!(told(&mut sql, "SELECT count(*) FROM \"Person\"").unwrap()[0], "1");
    // An index made now is of a table that has documents.
    told(&mut sql, "CREATE INDEX by_gov ON \"Person\" (\"GovId\")").unwrap();
    assert_eq!(told(&mut sql, "SELECT count(*) FROM \"Person\" WHERE \"GovId\" = 'G1'").unwrap()[0], "1");
}

pub fn refused(qldb: &Qldb) -> String {
    let dir = tempfile::tempdir().unwrap();
    write_export(&dir.path().join("export"), &qldb.values());
    let error = import_from(dir.path(), &dir.path().join("export"), None).unwrap_err();
    assert!(!dir.path().join("data").join(TARGET).exists(), "nothing is left behind");
    assert!(!dir.path().join("data/brought.importing").exists());
    error.to_string()
}

#[test]
fn an_export_that_is_damaged_forged_or_not_complete_is_refused_and_the_block_is_named() {
    let mut qldb = qldb_ledger();
    qldb.blocks.remove(0);
    assert!(refused(&qldb).contains("does not start at block 0"), "{}", refused(&qldb));
    let mut qldb = qldb_ledger();
    qldb.blocks.remove(3);
    assert!(refused(&qldb).contains("block 4: block 3 should stand here"), "{}", refused(&qldb));
    let mut qldb = qldb_ledger();
    qldb.blocks[2].revisions[0].shown.as_mut().unwrap().content = data("{GovId:\"G1\",Name:\"Eve\"}");
    assert!(refused(&qldb).contains("block 2: revisions[0]"), "{}", refused(&qldb));
    // Behind one hash of the list there may be a revision that is not shown.
    let mut qldb = qldb_ledger();
    let hash = qldb.blocks[3].revisions[0].hash;
    qldb.blocks[3].revisions = vec![JournalRevision { hash, shown: None }];
    assert!(refused(&qldb).contains("block 3: transactionInfo lists document"), "{}", refused(&qldb));
    // Data that nobody says was redacted.
    let mut qldb = qldb_ledger();
    let shown = qldb.blocks[3].revisions[0].shown.as_mut().unwrap();
    let ShownContent::Data(value) = &shown.content else { panic!("no data") };
    shown.content = ShownContent::DataHash(ion_hash(value));
    assert!(refused(&qldb).contains("no redactionInfo lists it"), "{}", refused(&qldb));
}

#[test]
fn manifests_must_be_kept_and_json_cannot_be_imported() {
    let dir = tempfile::tempdir().unwrap();
    let export = dir.path().join("export");
    write_export(&export, &qldb_ledger().values());
    let said = |export: &PathBuf| import_from(dir.path(), export, None).unwrap_err().to_string();
    std::fs::write(export.join("8UyXulxccYLAsbN1aon7e4.started.manifest"), "{ledgerName:\"l\"}").unwrap();
    assert!(said(&export).contains("never completed"), "{}", said(&export));
    let completed = export.join(format!("8UyXulxccYLAsbN1aon7e4.{STRAND}.completed.manifest"));
    std::fs::write(&completed, format!("{{keys:[\"p/2019/10/25/17/{STRAND}.0-6.ion\"]}}")).unwrap();
    assert!(said(&export).contains("0-6.ion, which is not there"), "{}", said(&export));
    std::fs::write(&completed, format!("{{keys:[\"p/2019/10/25/17/{STRAND}.0-5.ion\"]}}")).unwrap();
    std::fs::write(export.join("more.json"), "{}").unwrap();
    assert!(said(&export).contains("more.json: blocks in JSON cannot be hashed again"), "{}", said(&export));
    std::fs::remove_file(export.join("more.json")).unwrap();
    import_from(dir.path(), &export, None).unwrap();
    assert!(said(&export).contains("already exists"), "{}", said(&export));
}

#[test]
fn a_digest_that_does_not_come_out_stops_the_import_and_calls_nobody_a_forger() {
    let dir = tempfile::tempdir().unwrap();
    let export = dir.path().join("export");
    let qldb = qldb_ledger();
    write_export(&export, &qldb.values());
    let wrong = SavedDigest { hash: Hash::sha256(&[b"another"]), tip: 4 };
    let said = import_from(dir.path(), &export, Some(wrong)).unwrap_err().to_string();
    assert!(said.contains("could not be checked") && !said.contains("forged"), "{said}");
    let beyond = SavedDigest { tip: 6, ..wrong };
    assert!(import_from(dir.path(), &export, Some(beyond)).unwrap_err().to_string().contains("ends with block 5"));
    let hashes: Vec<Hash> = qldb.blocks[..5].iter().map(|block| block.block_hash).collect();
    let right = SavedDigest { hash: merkle(&hashes).unwrap(), tip: 4 };
    assert!(import_from(dir.path(), &export, Some(right)).unwrap().digest_shape.is_some());
}

/// A directory that cannot be read any more after so many objects.
struct Failing {
    directory: Directory,
    left: Cell<usize>,
}

impl ObjectSource for Failing {
    fn list(&self) -> Result<Vec<(String, u64)>, SourceError> {
        self.directory.list()
    }

    fn read(&self, key: &str) -> Result<Vec<u8>, SourceError> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => return Err(SourceError { place: key.to_owned(), problem: "gone".to_owned() }),
        }
        self.directory.read(key)
    }
}

#[test]
fn an_import_that_was_interrupted_goes_on_where_it_stopped() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = busy_ledger(from.path());
    let blocks = blocks_of(&first.ledger("main").unwrap());
    let export = to.path().join("export");
    write_export(&export, &blocks);
    let objects = blocks.len().div_ceil(7);
    let source = Failing { directory: Directory(export.clone()), left: Cell::new(objects + 4) };
    let options = ImportOptions { name: TARGET, digest: None, progress: &mut |_| () };
    let error = import(&instance_options(to.path()), &JournalExport::open(&source).unwrap(), options).unwrap_err();
    assert!(error.to_string().contains("gone"), "{error}");
    assert!(!to.path().join("data").join(TARGET).exists(), "half of it is no ledger");
    // An instance sees nothing of it, and opens.
    Instance::open(instance_options(to.path())).unwrap().close().unwrap();

    let report = import_from(to.path(), &export, None).unwrap();
    assert_eq!(report.resumed_blocks, 28);
    let second = Instance::open(instance_options(to.path())).unwrap();
    assert_eq!(blocks_of(&second.ledger(TARGET).unwrap()), blocks);

    // What was left of another export is not gone on with.
    let source = Failing { directory: Directory(export), left: Cell::new(objects + 4) };
    let options = ImportOptions { name: "other", digest: None, progress: &mut |_| () };
    import(&instance_options(to.path()), &JournalExport::open(&source).unwrap(), options).unwrap_err();
    write_export(&to.path().join("another"), &qldb_ledger().values());
    let source = Directory(to.path().join("another"));
    let options = ImportOptions { name: "other", digest: None, progress: &mut |_| () };
    let report = import(&instance_options(to.path()), &JournalExport::open(&source).unwrap(), options).unwrap();
    assert_eq!((report.resumed_blocks, report.chain.blocks), (0, 6));
}

#[test]
fn texts_that_were_redacted_before_stay_redacted() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = busy_ledger(from.path());
    let old = first.ledger("main").unwrap();
    let redacted = |database: &Database| {
        let count = database.ledger().last_block().unwrap().unwrap();
        let blocks = (0..=count).map(|n| database.ledger().read_block(n).unwrap());
        blocks.filter(|b| b.info.statements.iter().any(|s| matches!(s.text, StatementText::Redacted(_)))).count()
    };
    let expected = redacted(&old);
    assert_eq!(expected, 1);
    write_export(&to.path().join("export"), &blocks_of(&old));
    import_from(to.path(), &to.path().join("export"), None).unwrap();
    let second = Instance::open(instance_options(to.path())).unwrap();
    assert_eq!(redacted(&second.ledger(TARGET).unwrap()), expected);
}

#[test]
fn a_ledger_whose_key_is_lost_goes_on_as_a_new_one_that_names_its_last_checkpoint() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = busy_ledger(from.path());
    let old = first.ledger("main").unwrap();
    let (blocks, digest) = (blocks_of(&old), old.ledger().qldb_digest().unwrap());
    let directory = from.path().join("data/main");
    assert!(RetiredLedger::open(&Env::production(), &directory).is_err(), "somebody has it open");
    let answers: Vec<_> = {
        let mut s = session(&first, Dialect::Sql);
        QUESTIONS.iter().map(|question| told(&mut s, question).unwrap()).collect()
    };
    let (vkey, old_id) = (old.ledger().vkey(), old.ledger().ledger_id());
    drop(old);
    first.close().unwrap();
    drop(first);
    std::fs::remove_dir_all(from.path().join("keys")).unwrap();

    let retired = RetiredLedger::open(&Env::production(), &directory).unwrap();
    let options = ImportOptions { name: TARGET, digest: None, progress: &mut |_| () };
    let report = import(&instance_options(to.path()), &retired, options).unwrap();
    drop(retired);
    assert_eq!((report.chain.blocks, report.manifests, report.is_ours), (blocks.len() as u64, None, true));
    let second = Instance::open(instance_options(to.path())).unwrap();
    let new = second.ledger(TARGET).unwrap();
    assert_eq!(blocks_of(&new), blocks);
    assert_eq!(new.ledger().qldb_digest().unwrap(), digest);
    assert_ne!(new.ledger().ledger_id(), old_id);
    let mut s = session_on(&second, Dialect::Sql);
    for (question, answer) in QUESTIONS.iter().zip(answers) {
        assert_eq!(told(&mut s, question).unwrap(), answer, "{question}");
    }
    told(&mut s, "UPDATE person SET age = 38 WHERE id = 'p1'").unwrap();
    drop(s);
    // The genesis names the checkpoint that the lost key signed last, and that covers all there was.
    let (_, _, facts) = genesis_of(&Env::production(), &to.path().join("data").join(TARGET)).unwrap();
    let checkpoint = KeyChain::new(vkey).verify(&facts.continues.unwrap()).unwrap();
    assert_eq!(checkpoint.size, verified(&directory).leaves);
    new.close().unwrap();
    assert_eq!(verified(&to.path().join("data").join(TARGET)).imported_blocks, blocks.len() as u64);
}
