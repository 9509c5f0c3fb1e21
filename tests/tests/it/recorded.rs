//! Everything but journal, checkpoint and keys is derived: without it the server gives the same answers, byte for byte.

use std::path::Path;

use crate::harness::Server;

/// A registry with every kind of change in its past.
const PAST: &str = "
    CREATE TABLE person (id text PRIMARY KEY, name text NOT NULL, born date, balance numeric(12,2) NOT NULL DEFAULT 0);
    CREATE TABLE title (vin text PRIMARY KEY, owner jsonb NOT NULL, state char(2) NOT NULL, fine numeric(12,2) NOT NULL);
    CREATE INDEX title_state ON title (state);
    INSERT INTO person SELECT 'P' || g, 'Name ' || (g % 7), date '1970-01-01' + g::int, g * 1.25
        FROM generate_series(1, 60) AS g;
    INSERT INTO title SELECT 'V' || g, jsonb_build_object('PrimaryOwner', jsonb_build_object('PersonId', 'P' || g)),
        CASE WHEN g % 3 = 0 THEN 'CA' WHEN g % 3 = 1 THEN 'NY' ELSE 'TX' END, g * 0.37 FROM generate_series(1, 60) AS g;
    UPDATE title SET fine = fine + 10, state = 'WA' WHERE vin = 'V7';
    UPDATE title SET owner = jsonb_build_object('PrimaryOwner', jsonb_build_object('PersonId', 'P9')) WHERE fine < 5;
    DELETE FROM person WHERE id IN ('P3', 'P4');
    INSERT INTO person VALUES ('P3', 'Back again', NULL, 12345678.90);
    BEGIN; UPDATE person SET balance = balance - 1 WHERE id = 'P10'; UPDATE person SET balance = balance + 1 WHERE id = 'P11';
    COMMIT;
    ALTER TABLE person ADD COLUMN note text;
    UPDATE person SET note = 'π ≠ 3' WHERE balance > 70;
    DROP INDEX title_state;
    CREATE INDEX person_name ON person (name);
    DELETE FROM title WHERE state = 'TX' AND fine > 15;
    SET ledgerstone.dialect = partiql;
    CREATE TABLE loose;
    INSERT INTO loose << {'a': 1, 'b': [1, 2.50, 'x']}, {'a': `2020-01-01T`, 'c': {'d': null}} >>;
    UPDATE loose SET e = 5 WHERE a = 1;
    SET ledgerstone.dialect = sql;
";

/// At least 200 queries: now and then, by key, by index and by scan, history, metadata, catalogue and proofs.
fn queries(blocks: u64) -> Vec<String> {
    let mut all: Vec<String> = [
        "SELECT * FROM person ORDER BY id",
        "SELECT * FROM title ORDER BY vin",
        "SELECT state, count(*), sum(fine), avg(fine), min(vin), max(owner::text) FROM title GROUP BY state ORDER BY 1",
        "SELECT p.name, t.vin FROM person AS p JOIN title AS t ON t.owner->'PrimaryOwner'->>'PersonId' = p.id ORDER BY 2, 1",
        "SELECT p.id, t.vin FROM person AS p LEFT JOIN title AS t ON t.vin = 'V' || substr(p.id, 2) ORDER BY 1, 2",
        "SELECT name, rank() OVER (PARTITION BY name ORDER BY balance DESC, id) FROM person ORDER BY 1, 2",
        "WITH rich AS (SELECT * FROM person WHERE balance > 30) SELECT count(*), sum(balance) FROM rich",
        "SELECT id FROM person EXCEPT SELECT 'P' || substr(vin, 2) FROM title ORDER BY 1",
        "SELECT _ql_block, _ql_version, _ql_txtime, vin, fine FROM history(title) AS h ORDER BY vin, _ql_version",
        "SELECT _ql_block, _ql_txid, _ql_version, id, name, balance, note FROM history(person) AS h ORDER BY id, _ql_version",
        "SELECT * FROM history(loose) AS h ORDER BY _ql_block, _ql_id",
        "SELECT * FROM _ql_committed_person ORDER BY 1",
        "SELECT * FROM information_schema.user_tables ORDER BY 1",
        "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns ORDER BY 1, ordinal_position",
        "SELECT ledgerstone_vkey()",
        "SELECT ledgerstone_digest()",
        "SELECT ledgerstone_origin()",
        "SELECT ledgerstone_consistency(5, 20)",
        "SELECT ledgerstone_tlog_proof(3)",
    ]
    .map(str::to_owned)
    .into();
    for block in 0..blocks {
        for table in ["person", "title", "loose"] {
            all.push(format!("SELECT * FROM {table} AS OF BLOCK {block} ORDER BY 1"));
        }
        all.push(format!("SELECT id, balance FROM person AS OF BLOCK {block} WHERE name = 'Name 3' ORDER BY 1"));
        all.push(format!("SELECT count(*), sum(fine) FROM title AS OF BLOCK {block} WHERE state = 'CA'"));
        all.push(format!("SELECT ledgerstone_transaction_receipt({block})"));
    }
    for n in 1..=40 {
        all.push(format!("SELECT * FROM person WHERE id = 'P{n}'"));
        all.push(format!("SELECT _ql_version, fine, owner FROM history(title) AS h WHERE vin = 'V{n}' ORDER BY 1"));
        all.push(format!("SELECT ledgerstone_leaf({n})"));
        all.push(format!("SELECT ledgerstone_receipt('person', 'P{n}')"));
    }
    all
}

fn derived(ledger: &Path) -> Vec<std::path::PathBuf> {
    let all = std::fs::read_dir(ledger).expect("the ledger's directory").map(|entry| entry.expect("an entry").path());
    all.filter(|path| !["journal", "checkpoint"].iter().any(|kept| path.ends_with(kept))).collect()
}

fn answers(server: &Server, queries: &[String]) -> Vec<Vec<u8>> {
    let run = |query: &String| {
        let output = server.psql(&format!("{query};"));
        // An error is an answer too, as long as it stays the same.
        [output.stdout, b"\n--\n".to_vec(), output.stderr].concat()
    };
    queries.iter().map(run).collect()
}

#[test]
fn deleting_every_derived_file_changes_no_answer() {
    let mut server = Server::start();
    server.psql_ok(PAST);
    let blocks: u64 =
        server.psql_ok("SELECT max(_ql_block) + 1 FROM history(loose) AS h").parse().expect("a number of blocks");
    let queries = queries(blocks);
    assert!(queries.len() >= 200, "{} queries", queries.len());
    let before = answers(&server, &queries);
    let failed = before.iter().filter(|answer| answer.windows(5).any(|w| w == b"ERROR")).count();
    assert!(failed * 4 < queries.len(), "{failed} of {} queries fail", queries.len());
    for in_order in [true, false] {
        if in_order {
            assert!(server.stop().success());
        } else {
            server.kill();
        }
        let files = derived(&server.data().join("main"));
        assert!(!files.is_empty(), "something is derived");
        for path in files {
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.expect("it can be removed");
        }
        server.restart();
        for ((query, before), after) in queries.iter().zip(&before).zip(answers(&server, &queries)) {
            let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(&after));
            assert_eq!(before, after, "{query}");
        }
    }
}
