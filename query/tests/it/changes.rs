//! `diff` and `changes`: what happened to a table between two moments, named by blocks, times or digests.

use crate::support::{Memory, told};

/// A table whose documents come, change and go, and the digests taken on the way.
fn story() -> (Memory, Vec<String>) {
    let memory = Memory::new(3);
    let mut s = memory.session();
    let mut digests = Vec::new();
    for step in [
        "CREATE TABLE t (k int PRIMARY KEY, v text)",
        "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')",
        "UPDATE t SET v = 'B' WHERE k = 2",
        "DELETE FROM t WHERE k = 3",
        "INSERT INTO t VALUES (4, 'd')",
        "UPDATE t SET v = 'D' WHERE k = 4",
        "INSERT INTO t VALUES (5, 'e')",
        "DELETE FROM t WHERE k = 5",
        "UPDATE t SET v = 'BB' WHERE k = 2",
    ] {
        told(&mut s, step).unwrap();
        digests.push(memory.database.ledger().checkpoint().unwrap().note.to_string());
    }
    (memory, digests)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[test]
fn a_report_between_two_digests_says_what_became_of_each_document() {
    let (memory, digests) = story();
    let mut s = memory.session();
    let report = |from: &str, to: &str| {
        format!(
            "SELECT operation, \"old\".k, \"old\".v, \"new\".v, old_version, new_version, revisions, user_name \
             FROM diff(t, {from}, {to})"
        )
    };
    let all = told(&mut s, &report(&quoted(&digests[1]), &quoted(&digests[8]))).unwrap();
    let expected = [
        r#"update|2|"b"|"BB"|0|2|2|clerk"#,
        r#"delete|3|"c"|null|0|null|1|clerk"#,
        r#"insert|null|null|"D"|null|1|2|clerk"#,
    ];
    assert_eq!(all[..3], expected);
    assert_eq!(all[3], "SELECT 3", "what came and went is no difference");
    assert_eq!(told(&mut s, &report(&quoted(&digests[1]), "NULL")).unwrap(), all, "to now");
    // As shells hand texts on: without the last newline, or with one more.
    let (from, to) = (digests[1].trim_end(), format!("{}\n", digests[8]));
    assert_eq!(told(&mut s, &report(&quoted(from), &quoted(&to))).unwrap(), all);
    // The same by blocks: a digest covers the blocks before its size.
    let last = told(&mut s, "SELECT max(_ql_block) FROM history(t)").unwrap()[0].parse::<i64>().unwrap();
    assert_eq!(told(&mut s, &report(&(last - 7).to_string(), &last.to_string())).unwrap(), all);
    assert_eq!(told(&mut s, &report(&last.to_string(), &last.to_string())).unwrap(), ["SELECT 0"]);
}

#[test]
fn every_change_is_told_with_who_made_it_and_where_it_stands() {
    let (memory, digests) = story();
    let mut s = memory.session();
    let text = format!(
        "SELECT operation, \"old\".v, \"new\".v, version, user_name, door FROM changes(t, {}, {})",
        quoted(&digests[1]),
        quoted(&digests[5])
    );
    let expected = [
        r#"update|"b"|"B"|1|clerk|embedded"#,
        r#"delete|"c"|null|1|clerk|embedded"#,
        r#"insert|null|"d"|0|clerk|embedded"#,
        r#"update|"d"|"D"|1|clerk|embedded"#,
        "SELECT 4",
    ];
    assert_eq!(told(&mut s, &text).unwrap(), expected);
    // It agrees with the history, revision by revision, and can be joined and filtered like any table.
    let both = "SELECT count(*), count(h._ql_position) FROM changes(t, NULL) c \
                LEFT JOIN history(t) h ON c.position = h._ql_position AND c.id = h._ql_id AND c.block = h._ql_block";
    assert_eq!(told(&mut s, both).unwrap(), ["10|10", "SELECT 1"]);
    let by_time = "SELECT count(*) FROM changes(t, '1970-01-02', NULL) WHERE operation = 'delete'";
    assert_eq!(told(&mut s, by_time).unwrap(), ["2", "SELECT 1"]);
    let mut p = memory.session_of(ledgerstone_query::session::Dialect::PartiQl);
    let found = told(&mut p, "SELECT c.operation FROM diff(t, 0) AS c WHERE c.operation = 'update'").unwrap();
    assert_eq!(found, ["SELECT 0"], "all of them were made since block 0");
}

#[test]
fn a_digest_of_another_ledger_or_history_is_refused() {
    let (memory, digests) = story();
    let mut s = memory.session();
    let refused =
        |s: &mut _, from: &str| told(s, &format!("SELECT * FROM diff(t, {})", quoted(from))).unwrap_err().message;
    let foreign = digests[1].replacen("ledger.test", "ledger.else", 1);
    assert!(refused(&mut s, &foreign).contains("the digest is of the ledger"), "{}", refused(&mut s, &foreign));
    let lines: Vec<&str> = digests[1].lines().collect();
    let other = digests[1].replacen(lines[2], digests[2].lines().nth(2).unwrap(), 1);
    assert!(refused(&mut s, &other).contains("not this ledger's"), "{}", refused(&mut s, &other));
    assert!(refused(&mut s, "one\ntwo").contains("no digest"));
    let backwards = told(&mut s, "SELECT * FROM diff(t, 5, 2)").unwrap_err();
    assert!(backwards.message.contains("ends before it begins"), "{backwards}");
}
