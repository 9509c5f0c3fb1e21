//! Hostile values through every door: each comes back as it was, from every view, after a crash, out of an export and a
//! receipt; or it is refused with the right SQLSTATE by a limit that the message names, and the connection goes on.

mod ion_doors;
mod ion_values;
mod limits;
mod raw;
mod sql_doors;
mod sql_values;

use std::collections::BTreeMap;
use std::process::Command;

use ledgerstone_client::Verifier;
use ledgerstone_client::digest::ion::{self, Limits, Value};

use crate::grpc_sessions::connect;
use crate::harness::{Server, binary};
use ion_doors::{DOORS, Door, Doors, Key, refusal};
use ion_values::{Case, Expect};
use sql_doors::SQL_DOORS;
use sql_values::Becomes;

/// Every failure of a run, so that one does not hide the others.
#[derive(Default)]
struct Failures(Vec<String>);

impl Failures {
    fn note(&mut self, what: String) {
        self.0.push(what.chars().take(400).collect());
    }

    fn end(self) {
        assert!(self.0.is_empty(), "{} failures:\n{}", self.0.len(), self.0.join("\n"));
    }
}

#[tokio::test]
async fn ion_values_come_back_as_they_were_or_are_refused_by_a_named_limit() {
    let mut server = Server::start();
    let mut doors = Doors::open(&server).await;
    for table in ["d", "e"] {
        doors.ask(&format!("CREATE TABLE {table}"), Vec::new()).await.unwrap();
    }
    let cases = ion_values::cases();
    let mut failures = Failures::default();
    let mut stored: BTreeMap<Key, Value> = BTreeMap::new();
    for case in &cases {
        for door in DOORS.into_iter().filter(|door| door.takes(case)) {
            put(&mut doors, door, case, &mut stored, &mut failures).await;
        }
    }
    type_into_the_shell(&server, &cases, &mut stored, &mut failures);
    views(&mut doors, &cases, &stored, &mut failures, "before the crash").await;
    doors.ask("INSERT INTO e SELECT * FROM d", Vec::new()).await.unwrap();
    compare(&stored, &doors.current("e").await, "copied by INSERT … SELECT", &mut failures);
    let mut verifier = Verifier::trust_on_first_use(connect(&server).await, "main", None).await.unwrap();
    server.kill();
    server.restart();
    let mut doors = Doors::open(&server).await;
    views(&mut doors, &cases, &stored, &mut failures, "after the crash").await;
    compare(&stored, &doors.current("e").await, "the copy after the crash", &mut failures);
    compare(&stored, &receipts(&mut verifier).await, "in receipts", &mut failures);
    export_and_verify(&mut server, &mut failures);
    failures.end();
}

#[tokio::test]
async fn sql_values_come_back_as_postgresql_writes_them_or_are_refused_by_a_named_limit() {
    let mut server = Server::start();
    let client = server.client().await;
    let mut session = crate::grpc_sessions::session(&server).await;
    let cases = sql_values::cases();
    let mut tables: BTreeMap<&str, String> = BTreeMap::new();
    for case in &cases {
        let number = tables.len();
        tables.entry(case.ty).or_insert_with(|| format!("v{number}"));
    }
    for (ty, table) in &tables {
        for table in [table, &format!("{table}_copy")] {
            let columns = format!("door text, name text, v {ty}, PRIMARY KEY (door, name)");
            client.batch_execute(&format!("CREATE TABLE {table} ({columns})")).await.unwrap();
        }
    }
    let mut failures = Failures::default();
    let mut stored: BTreeMap<&str, BTreeMap<(String, String), String>> = BTreeMap::new();
    for case in &cases {
        let table = &tables[case.ty];
        for door in SQL_DOORS.into_iter().filter(|door| door.takes(case)) {
            let context = format!("{} {} through {door:?}", case.ty, case.name);
            match (sql_doors::put(&client, door, table, case).await, &case.becomes) {
                (Ok(()), Becomes::Text(text)) => {
                    let key = (case.name.clone(), format!("{door:?}"));
                    stored.entry(case.ty).or_default().insert(key, text.clone());
                }
                (Ok(()), Becomes::Refused(..)) => failures.note(format!("{context}: accepted")),
                (Err(refusal), Becomes::Text(_)) => failures.note(format!("{context}: {refusal:?}")),
                (Err(refusal), Becomes::Refused(state, names)) => {
                    if refusal.state != *state || !refusal.message.contains(names) {
                        failures.note(format!("{context}: {refusal:?}, expected {state} with {names:?}"));
                    }
                }
            }
            if client.simple_query("SELECT 1").await.is_err() {
                failures.note(format!("{context}: a connection does not go on"));
            }
        }
    }
    for (ty, table) in &tables {
        let rows = stored.entry(ty).or_default();
        for (door, copied) in [
            (
                "Binary",
                sql_doors::copy_in_binary(&client, table).await.map_err(|error| format!("{:?}", refusal(&error))),
            ),
            ("Grpc", sql_doors::copy_over_grpc(&mut session, table).await.map_err(|error| format!("{error:?}"))),
        ] {
            let sent = rows.iter().filter(|((_, door), _)| door == "Text");
            let sent: Vec<_> = sent.map(|((n, _), v)| ((n.clone(), door.to_owned()), v.clone())).collect();
            rows.extend(sent);
            copied.unwrap_or_else(|refusal| failures.note(format!("{ty} through {door}: {refusal}")));
        }
        if let Err(error) = client.batch_execute(&format!("INSERT INTO {table}_copy SELECT * FROM {table}")).await {
            failures.note(format!("INSERT … SELECT of {ty}: {error} {:?}", error.as_db_error()));
        }
    }
    sql_views(&client, &tables, &stored, "before the crash", &mut failures).await;
    server.kill();
    server.restart();
    let client = server.client().await;
    sql_views(&client, &tables, &stored, "after the crash", &mut failures).await;
    drop(client);
    export_and_verify(&mut server, &mut failures);
    failures.end();
}

/// A parameter of the gRPC service may be any Ion value; a column holds values of its type only, as PostgreSQL clients
/// would be shown another value otherwise, or none at all.
#[tokio::test]
async fn a_typed_column_takes_no_ion_value_that_it_cannot_show() {
    let server = Server::start();
    let client = server.client().await;
    let mut session = crate::grpc_sessions::session(&server).await;
    let mut failures = Failures::default();
    for (number, (ty, text, becomes)) in sql_values::ION.iter().enumerate() {
        let value = ion::parse(text, &Limits::DOCUMENT).unwrap();
        let table = format!("t{number}");
        client.batch_execute(&format!("CREATE TABLE {table} (id int PRIMARY KEY, v {ty})")).await.unwrap();
        let outcome = session.run(&format!("INSERT INTO {table} VALUES (1, $1)"), std::slice::from_ref(&value)).await;
        match (outcome, becomes) {
            (Ok(_), Ok(shown)) => {
                let row = session.execute(&format!("SELECT v FROM {table}"), &[]).await.unwrap().only().await.unwrap();
                let found = client.query_one(&format!("SELECT v::text FROM {table}"), &[]).await.unwrap();
                let found: Option<String> = found.get(0);
                if *row.get("v").unwrap_or(&Value::NULL) != value && !value.is_null() {
                    failures.note(format!("{ty} {text}: {row:?} came back"));
                }
                if found.as_deref().unwrap_or("NULL") != *shown {
                    failures.note(format!("{ty} {text}: shown as {found:?}, not {shown}"));
                }
            }
            (Err(error), Err(state)) if error.sqlstate() == Some(state) => {}
            (outcome, becomes) => failures.note(format!("{ty} {text}: {outcome:?}, expected {becomes:?}")),
        }
    }
    failures.end();
}

/// Current view, history and the copies, in every table.
async fn sql_views(
    client: &tokio_postgres::Client,
    tables: &BTreeMap<&str, String>,
    stored: &BTreeMap<&str, BTreeMap<(String, String), String>>,
    when: &str,
    failures: &mut Failures,
) {
    for (ty, table) in tables {
        for query in [
            format!("SELECT door, name, v FROM {table}"),
            format!("SELECT h.door, h.name, h.v FROM history({table}) AS h"),
            format!("SELECT door, name, v FROM {table}_copy"),
        ] {
            let found = match sql_doors::texts(client, &query).await {
                Ok(found) => found,
                Err(refusal) => {
                    failures.note(format!("{ty}: {query}: {refusal:?}, {when}"));
                    continue;
                }
            };
            for (key, text) in &stored[ty] {
                if found.get(key) != Some(text) {
                    failures.note(format!("{ty} {key:?}: {:?} in place of {text:?}: {query}, {when}", found.get(key)));
                }
            }
            if found.len() != stored[ty].len() {
                failures.note(format!("{} rows in place of {}: {query}", found.len(), stored[ty].len()));
            }
        }
    }
}

/// Sends one value through one door and judges the answer.
async fn put(doors: &mut Doors, door: Door, case: &Case, stored: &mut BTreeMap<Key, Value>, failures: &mut Failures) {
    let context = format!("{} through {door:?}", case.name);
    match (doors.put(door, case).await, case.expect) {
        (Ok(()), Expect::Same) => drop(stored.insert((case.name.clone(), door.name()), case.meant())),
        (Ok(()), Expect::Refused { .. }) => failures.note(format!("{context}: accepted")),
        (Err(refusal), Expect::Same) => failures.note(format!("{context}: {refusal:?}")),
        (Err(refusal), Expect::Refused { literal, binary, names }) => {
            let mut state = if door.is_literal() { literal } else { binary };
            // No statement that long is read at all.
            let long = door.is_literal() && refusal.message.contains("statement text");
            if long {
                state = "54000";
            }
            if refusal.state != state || !(long || refusal.message.to_lowercase().contains(&names.to_lowercase())) {
                failures.note(format!("{context}: {refusal:?}, expected {state} with {names:?}"));
            }
        }
    }
    if !doors.are_alive().await {
        failures.note(format!("{context}: a connection does not go on"));
    }
}

fn type_into_the_shell(server: &Server, cases: &[Case], stored: &mut BTreeMap<Key, Value>, failures: &mut Failures) {
    let fits = |case: &&Case| case.expect == Expect::Same && case.text.len() < 1_000 && !case.text.contains('\n');
    let typed: Vec<&Case> = cases.iter().filter(fits).collect();
    let said = ion_doors::type_in(server, &typed);
    if said.contains("ERROR") {
        failures.note(format!("the shell says {said}"));
    }
    stored.extend(typed.iter().map(|case| ((case.name.clone(), "Shell".to_owned()), case.meant())));
}

/// Current view, history, and what PostgreSQL clients read.
async fn views(doors: &mut Doors, cases: &[Case], stored: &BTreeMap<Key, Value>, failures: &mut Failures, when: &str) {
    compare(stored, &doors.current("d").await, &format!("current view, {when}"), failures);
    compare(stored, &doors.history().await, &format!("history, {when}"), failures);
    compare(stored, &doors.over_pg().await, &format!("Ion text over the PostgreSQL port, {when}"), failures);
    let shown = doors.as_json().await;
    for (case, json) in cases.iter().filter_map(|case| Some((case, case.json.as_ref()?))) {
        for (name, door) in stored.keys().filter(|(name, _)| *name == case.name) {
            let whole = format!("{{\"n\": \"{name}\", \"door\": \"{door}\", \"v\": {json}}}");
            if !shown.contains(&whole) {
                let start = format!("{{\"n\": \"{name}\", \"door\": \"{door}\"");
                let found = shown.iter().find(|document| document.starts_with(&start));
                failures.note(format!("{name} through {door} is shown as {found:?}, not {json}, {when}"));
            }
        }
    }
}

fn compare(expected: &BTreeMap<Key, Value>, found: &BTreeMap<Key, Value>, place: &str, failures: &mut Failures) {
    for (key, value) in expected {
        match found.get(key) {
            None => failures.note(format!("{key:?} is missing: {place}")),
            Some(other) if other != value => {
                failures.note(format!("{key:?}: {place}: {other:?} in place of {value:?}"));
            }
            Some(_) => {}
        }
    }
    for key in found.keys().filter(|key| !expected.contains_key(*key)) {
        failures.note(format!("{key:?} should not be there: {place}"));
    }
}

/// What the receipts of all transactions show of the documents, each verified.
async fn receipts(verifier: &mut Verifier) -> BTreeMap<Key, Value> {
    let blocks = verifier.client().describe_ledger("main").await.unwrap().blocks;
    let mut found = BTreeMap::new();
    for block in 0..blocks {
        let receipt = verifier.fetch_transaction_receipt(block).await.unwrap();
        let verdict = verifier.verify_transaction_receipt(&receipt).await.unwrap();
        let documents = verdict.revisions.iter().filter_map(|revision| revision.data.as_deref());
        let ours = documents.filter(|data| data.as_struct().is_some_and(|fields| fields.get("door").is_some()));
        found.extend(ion_doors::by_key(ours));
    }
    found
}

/// The history of every table out of the stopped server, and the whole ledger, both verified.
fn export_and_verify(server: &mut Server, failures: &mut Failures) {
    let vkey = server.psql_ok("SHOW ledgerstone.vkey");
    assert!(server.stop().success());
    let directory = tempfile::tempdir().unwrap();
    let [data, keys, export] = [server.data(), server.keys(), directory.path().join("export")];
    let [data, keys, export] = [data, keys, export].map(|path| path.display().to_string());
    for arguments in [
        &["export", "--data", &data, "--keys", &keys, &export][..],
        &["verify", &export, "--key", &vkey],
        &["verify", &format!("{data}/main"), "--key", &vkey],
    ] {
        let output = Command::new(binary()).args(arguments).output().unwrap();
        if !output.status.success() {
            let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            failures.note(format!("{arguments:?}: {}", said.concat()));
        }
    }
}
