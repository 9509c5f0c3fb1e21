//! Exports that somebody made to deceive, or that no longer fit together: what does not hold is refused before anything is
//! written, and what holds is kept so that it verifies afterwards.

use std::path::Path;

use ledgerstone_digest::Hash;
use ledgerstone_digest::block::native_time;
use ledgerstone_digest::ion::{Limits, Struct, Symbol, Value, ion_hash, parse, to_text};
use ledgerstone_digest::qldb::{JournalBlock, JournalRevision, ShownContent, block_hash, dot2, entries_hash, merkle};
use ledgerstone_journal::Env;
use ledgerstone_journal::qldb::retired::RetiredLedger;
use ledgerstone_journal::qldb::source::{Directory, JournalExport, ObjectSource, SourceError};
use ledgerstone_query::import::{ImportError, ImportOptions, ImportReport, import};
use ledgerstone_query::instance::Instance;
use ledgerstone_query::session::{Dialect, Session};

use crate::import::{
    PERSON, Qldb, TARGET, TIME, blocks_of, busy_ledger, data, import_from, instance_options, qldb_ledger, refused,
    session_on, verified, write_export,
};
use crate::support::{session, told};

impl Qldb {
    /// Makes the hashes of all blocks from this one on again, as whoever forges one must.
    fn sign_again(&mut self, from: usize) {
        for at in from..self.blocks.len() {
            let previous = at.checked_sub(1).map(|before| self.blocks[before].block_hash);
            let block = &mut self.blocks[at];
            for revision in &mut block.revisions {
                let Some(shown) = &revision.shown else { continue };
                let metadata = ion_hash(&shown.metadata);
                match &shown.content {
                    ShownContent::Data(data) => revision.hash = dot2(metadata, ion_hash(data)),
                    ShownContent::DataHash(hash) => revision.hash = dot2(metadata, *hash),
                    ShownContent::Deleted => {}
                }
            }
            let root = merkle(&block.revisions.iter().map(|r| r.hash).collect::<Vec<_>>());
            let parts = [&block.transaction_info, &block.redaction_info, &block.origin_info];
            let parts = parts.into_iter().flatten().map(ion_hash);
            block.entries_hash_list = root.into_iter().chain(parts).collect();
            block.entries_hash = entries_hash(&block.entries_hash_list).unwrap();
            block.previous_block_hash = previous;
            block.block_hash = block_hash(block.entries_hash, previous);
        }
    }

    fn redaction(&self, block: u64, table: &str, document: &str, version: u64) -> Value {
        let text = format!(
            "{{revisions:[{{blockAddress:{{strandId:\"{}\",sequenceNo:{block}}},tableId:\"{table}\",\
             documentId:\"{document}\",version:{version}}}]}}",
            self.blocks[0].strand_id
        );
        parse(&text, &Limits::DOCUMENT).unwrap()
    }
}

/// A ledger of which version 0 of document 7 was redacted by block 6.
fn redacted_ledger(shown: bool, table: &str) -> Qldb {
    let mut qldb = qldb_ledger();
    qldb.block("EXEC REDACT_REVISION ?, ?, ?", ("Person", PERSON), TIME + 4000, &[]);
    let info = qldb.redaction(2, table, &Qldb::id(7), 0);
    qldb.blocks[6].redaction_info = Some(info);
    qldb.sign_again(0);
    if !shown {
        let content = &mut qldb.blocks[2].revisions[0].shown.as_mut().unwrap().content;
        let ShownContent::Data(value) = &*content else { panic!("no data") };
        *content = ShownContent::DataHash(ion_hash(value));
    }
    qldb
}

fn imported(dir: &Path, qldb: &Qldb) -> Result<ImportReport, ImportError> {
    write_export(&dir.join("export"), &qldb.values());
    import_from(dir, &dir.join("export"), None)
}

fn content_of(qldb: &mut Qldb, block: usize, content: ShownContent) {
    qldb.blocks[block].revisions[0].shown.as_mut().unwrap().content = content;
    qldb.sign_again(block);
}

#[test]
fn a_document_that_could_pass_for_metadata_or_is_no_struct_is_refused() {
    for text in ["5", "null.struct", "[{a:1}]", "{id:\"x\",version:1,txTime:2019T,txId:\"y\"}"] {
        let mut qldb = qldb_ledger();
        content_of(&mut qldb, 3, data(text));
        let said = refused(&qldb);
        assert!(said.contains("block 3: revisions[0]"), "{text}: {said}");
    }
    // Metadata and data lie under one hash in either order: swapped, the document would be called by its own fields.
    let mut qldb = qldb_ledger();
    let tx = qldb.blocks[3].transaction_id.clone();
    let document = format!("{{id:\"{}\",version:1,txTime:2019-10-25T17:20:21.000Z,txId:\"{tx}\"}}", Qldb::id(7));
    content_of(&mut qldb, 3, data(&document));
    let shown = qldb.blocks[3].revisions[0].shown.as_mut().unwrap();
    let ShownContent::Data(document) = shown.content.clone() else { panic!("no data") };
    shown.content = ShownContent::Data(std::mem::replace(&mut shown.metadata, document));
    assert!(refused(&qldb).contains("block 3: revisions[0]"), "{}", refused(&qldb));
}

#[test]
fn a_document_too_deep_to_be_read_again_is_refused_and_the_deepest_is_kept() {
    let limits = Limits { depth_max: 300, ..Limits::DOCUMENT };
    let nested = |depth: usize| {
        let text = format!("{{a:{}1{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        ShownContent::Data(parse(&text, &limits).unwrap())
    };
    let mut qldb = qldb_ledger();
    content_of(&mut qldb, 3, nested(262));
    assert!(refused(&qldb).contains("block 3: revisions[0]"), "{}", refused(&qldb));
    for depth in [200, 255, 256, 257] {
        let dir = tempfile::tempdir().unwrap();
        let mut qldb = qldb_ledger();
        content_of(&mut qldb, 3, nested(depth));
        match imported(dir.path(), &qldb) {
            Ok(_) => assert_eq!(verified(&dir.path().join("data").join(TARGET)).imported_blocks, 6, "{depth}"),
            Err(error) => assert!(depth > 256 && error.to_string().contains("block 3"), "{depth}: {error}"),
        }
    }
}

#[test]
fn a_redaction_info_of_another_table_or_of_no_revision_is_refused() {
    let another = "0000000000000000000099";
    assert!(refused(&redacted_ledger(false, another)).contains("block 2"));
    assert!(refused(&redacted_ledger(true, another)).contains("block 6: redactionInfo"));
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(imported(dir.path(), &redacted_ledger(false, PERSON)).unwrap().chain.redacted, 1);
    let report = verified(&dir.path().join("data").join(TARGET));
    assert_eq!(report.redacted, 1);
    // Asked for twice before QLDB carried it out.
    let dir = tempfile::tempdir().unwrap();
    let mut twice = redacted_ledger(true, PERSON);
    twice.block("EXEC REDACT_REVISION ?, ?, ?", ("Person", PERSON), TIME + 5000, &[]);
    twice.blocks[7].redaction_info = twice.blocks[6].redaction_info.clone();
    twice.sign_again(7);
    assert_eq!(imported(dir.path(), &twice).unwrap().left_out, 1);
    assert_eq!(verified(&dir.path().join("data").join(TARGET)).redacted, 1);
}

#[test]
fn data_that_was_redacted_after_it_was_exported_is_not_brought_back() {
    let dir = tempfile::tempdir().unwrap();
    let qldb = redacted_ledger(true, PERSON);
    let report = imported(dir.path(), &qldb).unwrap();
    assert_eq!((report.chain.redacted, report.left_out), (0, 1));
    let directory = dir.path().join("data").join(TARGET);
    let found = verified(&directory);
    assert_eq!(found.redacted, 1);
    let instance = Instance::open(instance_options(dir.path())).unwrap();
    let mut s = session_on(&instance, Dialect::PartiQl);
    let text = "SELECT VALUE h.data FROM history(Person) AS h WHERE h.metadata.version = 0 AND h.data IS NOT MISSING";
    let rows = told(&mut s, text).unwrap();
    assert!(!rows.iter().any(|row| row.contains("\"Raul\"")), "{rows:?}");
    let value = instance.ledger(TARGET).unwrap().ledger().journal_block(2).unwrap().to_value();
    assert!(to_text(&value).contains("dataHash"));
    assert_eq!(value.as_struct().unwrap().get("blockHash"), qldb.values()[2].as_struct().unwrap().get("blockHash"));
}

/// Two exports laid together, with a block in both.
fn doubled(second: &Qldb) -> Result<ImportReport, ImportError> {
    let dir = tempfile::tempdir().unwrap();
    write_export(&dir.path().join("export"), &qldb_ledger().values());
    let last = second.values().pop().unwrap();
    std::fs::write(dir.path().join("export/JdxjkR9bSYB5jMHWcI464T.5-5.ion"), to_text(&last)).unwrap();
    import_from(dir.path(), &dir.path().join("export"), None)
}

#[test]
fn a_block_that_two_objects_tell_differently_is_refused() {
    assert_eq!(doubled(&qldb_ledger()).unwrap().repeated, 1);
    let mut other = qldb_ledger();
    other.blocks.pop();
    other.block("CREATE TABLE Another", ("Person", PERSON), TIME + 3000, &[]);
    let said = doubled(&other).unwrap_err().to_string();
    assert!(said.contains("block 5") && said.contains("other content"), "{said}");
    // The same hash over other content is no better.
    let mut other = qldb_ledger();
    let info = to_text(other.blocks[5].transaction_info.as_ref().unwrap()).replace("Empty", "Full");
    other.blocks[5].transaction_info = Some(parse(&info, &Limits::DOCUMENT).unwrap());
    let said = doubled(&other).unwrap_err().to_string();
    assert!(said.contains("block 5"), "{said}");
}

#[test]
fn a_block_whose_time_has_not_come_is_refused() {
    let mut qldb = qldb_ledger();
    qldb.blocks[4].timestamp = native_time(253_402_300_799_999);
    let said = refused(&qldb);
    assert!(said.contains("block 4") && said.contains("9999-12-31"), "{said}");
    // Times before 1970 are no harm.
    let dir = tempfile::tempdir().unwrap();
    let mut qldb = qldb_ledger();
    for block in &mut qldb.blocks {
        block.timestamp = native_time(-62_135_596_800_000);
    }
    imported(dir.path(), &qldb).unwrap();
    let instance = Instance::open(instance_options(dir.path())).unwrap();
    let mut s = session_on(&instance, Dialect::PartiQl);
    told(&mut s, "UPDATE Person AS p SET p.Name = 'Raul' WHERE p.GovId = 'G1'").unwrap();
    assert_eq!(instance.ledger(TARGET).unwrap().ledger().journal_block(0).unwrap().timestamp, qldb.blocks[0].timestamp);
}

#[test]
fn a_version_that_leaves_no_room_for_the_next_is_refused() {
    for version in [u64::MAX, 1 << 63, i64::MAX as u64] {
        let mut qldb = qldb_ledger();
        let shown = qldb.blocks[3].revisions[0].shown.as_mut().unwrap();
        let text = to_text(&shown.metadata).replace("version:1,", &format!("version:{version},"));
        assert!(text.contains(&version.to_string()), "{text}");
        shown.metadata = parse(&text, &Limits::DOCUMENT).unwrap();
        qldb.sign_again(3);
        assert!(refused(&qldb).contains("block 3: revisions[0]"), "{}", refused(&qldb));
    }
}

#[test]
fn blocks_that_show_no_statements_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut qldb = qldb_ledger();
    // The hashes hold: of what the block did only its list of entries is left.
    qldb.blocks[5].transaction_info = None;
    qldb.blocks[5].revisions.clear();
    let report = imported(dir.path(), &qldb).unwrap();
    assert_eq!(report.chain.without_statements, 1);
    assert_eq!(verified(&dir.path().join("data").join(TARGET)).imported_blocks, 6);
}

#[test]
fn a_block_that_claims_to_be_ours_hides_no_table() {
    let dir = tempfile::tempdir().unwrap();
    let mut qldb = qldb_ledger();
    let text = "{user:\"eve\",door:\"sql\"}";
    qldb.blocks[5].origin_info = Some(parse(text, &Limits::DOCUMENT).unwrap());
    qldb.sign_again(5);
    imported(dir.path(), &qldb).unwrap();
    let instance = Instance::open(instance_options(dir.path())).unwrap();
    let mut s = session_on(&instance, Dialect::PartiQl);
    let rows = told(&mut s, "SELECT VALUE p.Name FROM Person AS p").unwrap();
    assert_eq!(rows[0], "\"Raúl\"");
}

#[test]
fn tables_with_names_that_nobody_could_give_are_imported_all_the_same() {
    let long = "x".repeat(5000);
    for name in ["", "a\"b", "_ql_tables", "information_schema", "pg_class", "\u{0}", "\u{202e}", &long] {
        let dir = tempfile::tempdir().unwrap();
        let mut qldb = Qldb::default();
        qldb.block("CREATE TABLE Person", ("Person", PERSON), TIME, &[]);
        qldb.block("INSERT INTO Person ?", ("Person", PERSON), TIME + 1, &[(&Qldb::id(7), 0, data("{a:1}"))]);
        for block in &mut qldb.blocks {
            // The name goes in as a value, whatever it holds.
            if let Some(Value::Struct(Struct { fields })) = &mut block.transaction_info {
                for (field, value) in fields {
                    if field.text() == Some("documents") {
                        rename(value, name);
                    }
                }
            }
        }
        qldb.sign_again(0);
        let said = imported(dir.path(), &qldb);
        assert!(said.is_ok(), "{name:?}: {}", said.unwrap_err());
        assert_eq!(verified(&dir.path().join("data").join(TARGET)).imported_blocks, 2);
    }
}

fn rename(documents: &mut Value, name: &str) {
    let Value::Struct(Struct { fields }) = documents else { panic!("no struct") };
    for (_, document) in fields {
        let Value::Struct(Struct { fields }) = document else { panic!("no struct") };
        for (field, value) in fields {
            if *field == Symbol::from("tableName") {
                *value = Value::string(name);
            }
        }
    }
}

/// A directory in which another import of the same name is made while it is read for the second time.
struct Disturbed<'a> {
    directory: Directory,
    meanwhile: &'a dyn Fn(),
    reads: std::cell::Cell<usize>,
}

impl ObjectSource for Disturbed<'_> {
    fn list(&self) -> Result<Vec<(String, u64)>, SourceError> {
        self.directory.list()
    }

    fn read(&self, key: &str) -> Result<Vec<u8>, SourceError> {
        self.reads.set(self.reads.get() + 1);
        if self.reads.get() == 2 {
            (self.meanwhile)();
        }
        self.directory.read(key)
    }
}

#[test]
fn an_import_of_the_same_name_waits_for_the_one_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (qldb_ledger(), redacted_ledger(false, PERSON));
    write_export(&dir.path().join("first"), &first.values());
    write_export(&dir.path().join("second"), &second.values());
    let meanwhile = || {
        let said = import_from(dir.path(), &dir.path().join("second"), None).unwrap_err().to_string();
        assert!(said.contains("another import"), "{said}");
    };
    let source =
        Disturbed { directory: Directory(dir.path().join("first")), meanwhile: &meanwhile, reads: Default::default() };
    let options = ImportOptions { name: TARGET, digest: None, progress: &mut |_| () };
    let report = import(&instance_options(dir.path()), &JournalExport::open(&source).unwrap(), options).unwrap();
    assert_eq!((report.chain.blocks, source.reads.get()), (6, 2));
    let left: Vec<_> = std::fs::read_dir(dir.path().join("data")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, [TARGET]);
}

#[test]
fn a_link_to_an_object_is_read_as_the_object() {
    let dir = tempfile::tempdir().unwrap();
    let export = dir.path().join("export");
    write_export(&dir.path().join("elsewhere"), &qldb_ledger().values());
    std::fs::create_dir(&export).unwrap();
    let object = "2026/11/28/00/JdxjkR9bSYB5jMHWcI464T.0-5.ion";
    std::os::unix::fs::symlink(
        dir.path().join("elsewhere").join(object),
        export.join("JdxjkR9bSYB5jMHWcI464T.0-5.ion"),
    )
    .unwrap();
    assert_eq!(import_from(dir.path(), &export, None).unwrap().chain.blocks, 6);
}

#[test]
fn a_block_may_lie_about_no_hash_in_its_list_of_revisions() {
    // Siblings behind one hash, a revision twice, two in the other order, one left out.
    let changes: [fn(&mut JournalBlock); 5] = [
        |b| {
            let hash = merkle(&[b.revisions[0].hash, b.revisions[1].hash]).unwrap();
            b.revisions = vec![JournalRevision { hash, shown: None }];
        },
        |b| b.revisions.push(b.revisions[1].clone()),
        |b| b.revisions.truncate(1),
        |b| b.revisions[1] = b.revisions[0].clone(),
        |b| b.revisions.clear(),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut qldb = qldb_ledger();
        change(&mut qldb.blocks[2]);
        assert!(refused(&qldb).contains("block 2"), "{n}: {}", refused(&qldb));
    }
    let mut qldb = qldb_ledger();
    qldb.blocks[2].block_hash = Hash::ZERO;
    assert!(refused(&qldb).contains("block 2"));
}

/// Every file below a directory.
fn files_of(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_of(&path)),
            false => files.push((path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    files
}

#[test]
fn what_one_of_our_ledgers_redacted_after_an_export_is_nowhere_in_what_is_imported() {
    const CANARY: &str = "canary-a91f";
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = busy_ledger(from.path());
    let database = first.ledger("main").unwrap();
    let mut s = session(&first, Dialect::PartiQl);
    let run = |s: &mut Session, text: &str| told(s, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let document = run(&mut s, &format!("INSERT INTO Vehicle {{'VIN': '{CANARY}', 'n': 1}}"));
    let document = document[0].split('"').nth(3).unwrap().to_owned();
    run(&mut s, "UPDATE Vehicle AS v SET v.VIN = 'gone', v.n = 2 WHERE v.n = 1 AND v.VIN LIKE 'canary%'");
    let before = blocks_of(&database);
    let table = run(&mut s, "SELECT VALUE tableId FROM information_schema.user_tables WHERE name = 'Vehicle'");
    let (strand, block) = (database.ledger().strand(), before.len() - 2);
    let at = format!("`{{strandId:\"{strand}\",sequenceNo:{block}}}`");
    run(&mut s, &format!("EXEC REDACT_REVISION {at}, '{}', '{document}'", table[0].trim_matches('"')));
    let after = blocks_of(&database);
    let mixed: Vec<Value> = before.iter().chain(&after[before.len()..]).cloned().collect();
    assert!(mixed != after && mixed.iter().any(|block| to_text(block).contains(CANARY)));

    write_export(&to.path().join("export"), &mixed);
    let report = import_from(to.path(), &to.path().join("export"), None).unwrap();
    assert_eq!((report.left_out, report.chain.redacted), (1, 1));
    let second = Instance::open(instance_options(to.path())).unwrap();
    assert_eq!(blocks_of(&second.ledger(TARGET).unwrap()), after, "as they are since the redaction");
    second.close().unwrap();
    assert_eq!(verified(&to.path().join("data").join(TARGET)).redacted, 2);
    for (path, bytes) in files_of(&to.path().join("data")) {
        let found = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
        assert!(!found, "{} holds it", path.display());
    }
}

#[test]
fn a_ledger_that_was_imported_with_redactions_can_be_brought_on_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    imported(dir.path(), &redacted_ledger(true, PERSON)).unwrap();
    let instance = Instance::open(instance_options(dir.path())).unwrap();
    let mut s = session_on(&instance, Dialect::PartiQl);
    told(&mut s, "UPDATE Person AS p SET p.Name = 'Raul' WHERE p.GovId = 'G1'").unwrap();
    drop(s);
    let blocks = blocks_of(&instance.ledger(TARGET).unwrap());
    instance.close().unwrap();
    drop(instance);

    // As a retired ledger, and as an export of ours.
    let (second, third) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let retired = RetiredLedger::open(&Env::production(), &dir.path().join("data").join(TARGET)).unwrap();
    let options = ImportOptions { name: TARGET, digest: None, progress: &mut |_| () };
    let report = import(&instance_options(second.path()), &retired, options).unwrap();
    assert_eq!((report.is_ours, report.left_out, report.chain.redacted), (true, 0, 1));
    write_export(&third.path().join("export"), &blocks);
    import_from(third.path(), &third.path().join("export"), None).unwrap();
    for place in [second.path(), third.path()] {
        assert_eq!(verified(&place.join("data").join(TARGET)).redacted, 1);
        let instance = Instance::open(instance_options(place)).unwrap();
        assert_eq!(blocks_of(&instance.ledger(TARGET).unwrap()), blocks);
        let mut s = session_on(&instance, Dialect::PartiQl);
        assert_eq!(told(&mut s, "SELECT VALUE p.Name FROM Person AS p").unwrap()[0], "\"Raul\"");
    }
}

#[test]
fn statements_that_define_nothing_sound_do_not_stop_an_import_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut qldb = qldb_ledger();
    let (person, id) = (("Person", PERSON), Qldb::id(70));
    for (n, text) in [
        "CREATE INDEX ON Person (a + 1)",
        "CREATE INDEX ON Person (\"_ql_salt\")",
        "CREATE INDEX ON Nobody (a)",
        "CREATE TABLE \"_ql_tables\"",
        "DROP TABLE Person",
        "CREATE TABLE Person",
        "CREATE INDEX ON Person (GovId)",
    ]
    .into_iter()
    .enumerate()
    {
        qldb.block(text, person, TIME + 5000 + n as i64, &[]);
    }
    let other = ("Person", "0000000000000000000077");
    qldb.block("INSERT INTO Person ?", other, TIME + 6000, &[(&id, 0, data("{GovId:\"G9\"}"))]);
    qldb.block(&format!("UNDROP TABLE \"{PERSON}\""), person, TIME + 6001, &[]);
    let report = imported(dir.path(), &qldb).unwrap();
    assert!(report.definitions_unread >= 1, "{report:?}");
    let instance = Instance::open(instance_options(dir.path())).unwrap();
    let mut s = session_on(&instance, Dialect::PartiQl);
    for table in [PERSON, "0000000000000000000077"] {
        let rows = told(
            &mut s,
            &format!("SELECT VALUE tableId FROM information_schema.user_tables WHERE tableId = '{table}'"),
        );
        assert_eq!(rows.unwrap().len(), 2, "{table}");
    }
    instance.close().unwrap();
    assert_eq!(verified(&dir.path().join("data").join(TARGET)).imported_blocks, 15);
}
