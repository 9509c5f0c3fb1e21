//! Rotation of the signing key with the real binary: by the command on a stopped server's files and on a running server,
//! killed in the middle, and followed by everybody who holds the old key.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ledgerstone_client::digest::note::VerifierKey;
use ledgerstone_client::digest::receipt::Receipt;
use ledgerstone_client::digest::rotation::KeyChain;
use ledgerstone_client::{Error, PinnedCheckpoint, Verifier};
use ledgerstone_journal::env::SeededRng;

use crate::cli_fixture::{Fixture, copy_directory};
use crate::grpc_sessions::{accounts, connect, session as open};
use crate::harness::{Server, Setting, binary};
use crate::wind::clients::Writers;
use crate::wind::place::Promised;
use crate::wind::tools;

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn checkpoint_of(fixture: &Fixture, name: &str) {
    let server = Server::start_on(fixture.path("data"), fixture.path("keys"));
    // The size where a key changes is signed by both: one block more, and only the new one signs.
    server.psql_ok("CREATE TABLE more (a int)");
    fixture.write(name, server.psql_ok("SELECT ledgerstone_digest()"));
}

#[test]
fn holders_of_the_old_key_follow_by_the_proof_and_holders_of_the_new_one_need_none() {
    let f = Fixture::new(41);
    let ran = f.run(&["rotate-key", "--data", "data", "--keys", "keys", "--proof", "first.rotation", "--json"]);
    ran.says(0, &[]);
    let first = json(&ran.out);
    let (old, new) = (first["old_key"].as_str().unwrap(), first["new_key"].as_str().unwrap());
    assert_eq!(old, f.text("vkey"));
    f.write("new.vkey", new);
    assert!(f.path("keys").join(first["old_key_file"].as_str().unwrap()).exists());
    assert_eq!(
        f.read(&format!("keys/{}.vkey", old.split('+').next().unwrap().rsplit('/').next().unwrap())).len(),
        new.len() + 1
    );
    // A proof is never written over something.
    f.run(&["rotate-key", "--data", "data", "--keys", "keys", "--proof", "first.rotation"])
        .says(2, &["nothing was rotated"]);
    f.run(&["rotate-key", "--data", "data", "--keys", "keys", "--proof", "second.rotation"])
        .says(0, &["was rotated", "Destroy it"]);
    checkpoint_of(&f, "newest");

    let server = Server::start_on(f.path("data"), f.path("keys"));
    let take = |what: &str| server.psql_ok(&format!("SELECT encode({what}, 'base64')"));
    f.write("later", take(&format!("ledgerstone_receipt_at({})", f.position)));
    f.write("later.proof", server.psql_ok(&format!("SELECT ledgerstone_tlog_proof('vehicle', '{}')", f.document)));
    let position = server.psql_ok(&format!("SELECT ledgerstone_position('vehicle', '{}')", f.document));
    f.write("later.leaf", server.psql_ok(&format!("SELECT ledgerstone_leaf({})", position.trim())));
    f.write("served.rotation", take("ledgerstone_rotation(0)"));
    let current = server.psql_ok("SELECT ledgerstone_vkey()");
    f.write("current.vkey", &current);
    drop(server);

    let both = ["--rotation", "first.rotation", "--rotation", "second.rotation"];
    let with = |what: &[&str], more: &[&str]| f.run(&[&["verify"], what, more].concat());
    // What was handed out before holds as it did.
    f.verify(&["receipt", "transaction", "early"]).says(0, &[]);
    with(&["receipt", "early", "newest", "--key", "vkey"], &both[..2]).says(1, &["not signed by key"]);
    // What is signed by the third key: with it, or along both rotations.
    for what in [&["later"][..], &["newest"], &["later.proof", "--leaf", "later.leaf"]] {
        with(what, &["--key", "current.vkey"]).says(0, &["✓"]);
        with(what, &[&["--key", "vkey"], &both[..]].concat()).says(0, &["✓"]);
        with(what, &["--key", "vkey"]).says(1, &["not signed by key", "--rotation FILE"]);
        with(what, &["--key", "new.vkey", "--rotation", "second.rotation"]).says(0, &["✓"]);
        with(what, &["--key", "new.vkey", "--rotation", "first.rotation"]).says(1, &["is in force"]);
        with(what, &["--key", "vkey", "--rotation", "second.rotation"]).says(1, &[]);
    }
    with(&["later", "--key", "vkey", "--rotation", "served.rotation"], &both[2..]).says(0, &["rotated to"]);
    with(&["later", "--key", "vkey", "--rotation", "receipt"], &[]).says(1, &["table"]);
    with(&["later", "--key", "vkey", "--rotation", "vkey"], &[]).says(2, &[]);

    // The directory shows by itself how its keys followed each other.
    for key in ["vkey", "new.vkey", "current.vkey"] {
        with(&["data/main", "--key", key], &[]).says(0, &["consistent with itself"]);
    }
    with(&["data/main", "--key", "vkey", "--checkpoint", "early"], &[]).says(0, &["checkpoint you kept"]);
    with(&["data/main", "--key", "current.vkey", "--checkpoint", "newest"], &[]).says(0, &["checkpoint you kept"]);
    with(&["data/main", "--key", "vkey", "--checkpoint", "newest"], &both).says(0, &["checkpoint you kept"]);
    with(&["data/main", "--key", "vkey", "--checkpoint", "newest"], &[]).says(2, &["not signed by key"]);
    let stranger = Fixture::new(42);
    f.write("stranger.vkey", stranger.text("vkey"));
    with(&["data/main", "--key", "stranger.vkey"], &[]).says(1, &["this is not the ledger you know"]);

    // What an operator does with it.
    let place = ["--data", "data", "--keys", "keys"];
    f.run(&[&["doctor"], &place[..]].concat()).says(0, &["2 of the key, each signed by the key before"]);
    f.run(&[&["doctor", "--rebuild"], &place[..]].concat()).says(0, &[]);
    f.run(&[&["backup", "copy"], &place[..]].concat()).says(0, &["consistent with itself"]);
    with(&["copy", "--key", "vkey", "--checkpoint", "early"], &[]).says(0, &["checkpoint you kept"]);
    let restore = ["restore", "copy", "--data", "restored", "--keys", "keys"];
    f.run(&[&restore[..], &["--checkpoint", "newest", "--key", "current.vkey"]].concat())
        .says(0, &["can be written to"]);
    let restored = Server::start_on(f.path("restored"), f.path("keys"));
    assert_eq!(restored.psql_ok("SELECT ledgerstone_vkey()"), current);
    drop(restored);

    // An export has the proofs; a copy of one with a proof taken away has not.
    f.run(&["export", "--data", "data", "--keys", "keys", "out"]).says(0, &[]);
    for key in ["vkey", "new.vkey", "current.vkey"] {
        with(&["out", "--key", key], &[]).says(0, &["none is missing"]);
    }
    with(&["out", "--key", "vkey", "--checkpoint", "newest"], &both).says(0, &["checkpoint of size"]);
    let proofs: Vec<_> =
        std::fs::read_dir(f.path("out/rotations")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(proofs.len(), 2);
    for key in ["vkey", "new.vkey"] {
        with(&["later", "--key", key, "--rotation", "out/rotations"], &[]).says(0, &["rotated to"]);
    }
    std::fs::remove_file(&proofs[0]).unwrap();
    assert_ne!(with(&["out", "--key", "vkey"], &[]).status, 0);
}

#[test]
fn a_rotation_killed_at_any_moment_is_finished_or_never_happened() {
    let rng = SeededRng::new(ledgerstone_tests::seed("the moments of the kills"));
    let f = Fixture::new(43);
    let arguments = ["rotate-key", "--data", "data", "--keys", "keys"];
    let root = f.path("data").parent().unwrap().to_owned();
    // How long one takes, on a copy, says between which moments to kill.
    let copy = tempfile::tempdir().unwrap();
    for name in ["data", "keys"] {
        copy_directory(&f.path(name), &copy.path().join(name));
    }
    let begun = Instant::now();
    assert!(Command::new(binary()).args(arguments).current_dir(copy.path()).output().unwrap().status.success());
    let whole_us = begun.elapsed().as_micros() as u64;
    let rounds: usize = if std::env::var_os("LEDGERSTONE_TEST_LONG").is_some() { 100 } else { 15 };
    let (mut killed, mut keys) = (0, vec![f.text("vkey")]);
    for round in 0..rounds {
        let mut child = Command::new(binary())
            .args(arguments)
            .current_dir(&root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(rng.below(whole_us + whole_us / 8)));
        let _ = child.kill();
        killed += u32::from(!child.wait().unwrap().success());
        // Whatever it left, a server starts, and holders of any earlier key follow.
        let server = Server::start_on(f.path("data"), f.path("keys"));
        all_follow(&server, &mut keys, round);
        drop(server);
        f.verify(&["data/main", "--checkpoint", "late"]).says(0, &["checkpoint you kept"]);
    }
    assert!(killed > 0, "none was killed in {rounds} rounds");
    println!("{killed} of {rounds} were killed, {} rotations happened", keys.len() - 1);
}

/// Whoever holds one of the keys that were in force follows to the one that is now, and its checkpoints verify. Adds that one
/// to them; gives a checkpoint.
#[track_caller]
fn all_follow(server: &Server, keys: &mut Vec<String>, round: usize) -> String {
    let note = format!("{}\n", server.psql_ok("SELECT ledgerstone_digest()").trim_end());
    let current = server.psql_ok("SELECT ledgerstone_vkey()").trim().to_owned();
    let rotations = (0..).map_while(|number| {
        let output = server.psql(&format!("SELECT encode(ledgerstone_rotation({number}), 'hex')"));
        let text = String::from_utf8(output.stdout).unwrap();
        output.status.success().then(|| hex(text.trim())).filter(|bytes| !bytes.is_empty())
    });
    let rotations: Vec<Vec<u8>> = rotations.collect();
    for first in keys.iter() {
        let mut chain = KeyChain::new(first.parse().unwrap());
        for receipt in &rotations {
            let _ = chain.follow(&Receipt::decode(receipt).unwrap());
        }
        assert_eq!(chain.current().to_string(), current, "round {round}");
        chain.verify(&note).unwrap_or_else(|refusal| panic!("round {round}: {refusal}"));
    }
    if keys.last() != Some(&current) {
        keys.push(current);
    }
    note
}

/// Every sync and every new name takes a while, so that a rotation is long enough to be hit inside.
fn slow_disk() -> Setting {
    const CALLS: &str = "fdatasync,fsync,renameat";
    if !tools::has("a rotation on a slow disk", "strace") {
        return Setting::default();
    }
    let tried = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    if !tried.is_ok_and(|status| status.success()) {
        tools::skipped("a rotation on a slow disk", "tracing is forbidden here");
        return Setting::default();
    }
    let (trace, inject) = (format!("trace={CALLS}"), format!("inject={CALLS}:delay_enter=20000"));
    let wrapper = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    Setting { wrapper: wrapper.map(str::to_owned).to_vec(), ..Setting::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_inside_a_rotation_finishes_it_or_never_began_and_loses_no_commit() {
    let rng = SeededRng::new(ledgerstone_tests::seed("the moments of the kills"));
    let mut server = Server::start();
    server.psql_ok("CREATE TABLE t (n bigint PRIMARY KEY, s text)");
    let mut promised = Promised { vkey: server.psql_ok("SELECT ledgerstone_vkey()"), ..Promised::default() };
    let mut keys = vec![promised.vkey.clone()];
    assert_eq!(server.stop().code(), Some(0));
    // How long one takes on such a disk, with writers beside it.
    let (slow, mut whole_us) = (slow_disk(), 0);
    let rounds = if std::env::var_os("LEDGERSTONE_TEST_LONG").is_some() { 100 } else { 12 };
    let (mut unanswered, mut moments) = (0, BTreeSet::new());
    for round in 0..=rounds {
        server.restart_in(slow.clone());
        let writers = Writers::start(server.postgres, 4, round as i64 * 10_000_000);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut child = Command::new(binary())
            .args(["rotate-key", "--user", "ada", "--connect", &server.http.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        if round == 0 {
            assert!(child.wait().unwrap().success());
            whole_us = began.elapsed().as_micros() as u64;
        } else {
            tokio::time::sleep(Duration::from_micros(rng.below(whole_us + whole_us / 10))).await;
        }
        // How far it has come, told by what is on the disk.
        moments.insert(files_of(&server));
        server.kill();
        unanswered += u32::from(!child.wait().unwrap().success());
        let told = tokio::time::timeout(Duration::from_secs(120), writers.stop()).await.unwrap();
        server.restart_in(Setting::default());
        promised.rows.extend(&told.rows);
        promised.check(&server);
        promised.notes.push(all_follow(&server, &mut keys, round));
        promised.insert(&server, round as i64 * 10_000_000 + 9_999_999);
        assert_eq!(server.stop().code(), Some(0), "{}", server.log_text());
    }
    promised.vkey = keys.last().unwrap().clone();
    let shown = Command::new(binary()).arg("verify").arg(server.data().join("main")).args(["--key", &keys[0]]).output();
    assert!(shown.unwrap().status.success());
    println!("{unanswered} of {rounds} rotations were not answered, {} keys took over", keys.len() - 1);
    assert!(unanswered > 0, "none was killed in {rounds} rounds");
    assert!(slow.wrapper.is_empty() || moments.len() > 3, "all were killed at one moment: {moments:?}");
}

/// How many keys are new, in force and old, and how many notes there are.
fn files_of(server: &Server) -> [usize; 3] {
    let names = |directory: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let keys = names(&server.keys());
    let ending = |end: &str| keys.iter().filter(|name| name.ends_with(end)).count();
    [ending(".new.key"), ending(".old.key"), names(&server.data().join("main/rotations")).len()]
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).filter_map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

fn rotate(server: &Server) -> serde_json::Value {
    let output = Command::new(binary())
        .args(["rotate-key", "--json", "--user", "ada", "--connect", &server.http.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    json(&String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_client_follows_a_rotation_of_a_running_server_and_never_goes_back() {
    let mut server = Server::start();
    let mut session = open(&server).await;
    accounts(&mut session, &[("a", 1)]).await;
    let directory = tempfile::tempdir().unwrap();
    let (path, before) = (directory.path().join("main.pin"), directory.path().join("before"));
    let first: VerifierKey = server.psql_ok("SELECT ledgerstone_vkey()").trim().parse().unwrap();
    let pin = PinnedCheckpoint::with_file(first.clone(), &path).unwrap();
    let mut verifier = Verifier::new(connect(&server).await, "main", pin);
    let early = verifier.refresh().await.unwrap();
    let kept_receipt = verifier.fetch_receipt(1).await.unwrap();
    assert!(server.stop().success());
    copy_directory(&server.data(), &before);
    server.restart();

    let mut session = open(&server).await;
    rotate(&server);
    let rotated = rotate(&server);
    session.run("INSERT INTO account VALUES ('b', 2)", &[]).await.unwrap();
    let mut verifier = Verifier::new(connect(&server).await, "main", PinnedCheckpoint::open(&path).unwrap());
    let newest = verifier.refresh().await.unwrap();
    assert!(newest.size > rotated["from_size"].as_u64().unwrap() && newest.size > early.size);
    assert_eq!(verifier.pin().key().to_string(), rotated["new_key"]);
    assert_eq!(verifier.audit().await.unwrap().rotations.len(), 2);
    let table = verifier.table_id("account").await.unwrap();
    let receipt = verifier.fetch_receipt(newest.size - 2).await.unwrap();
    let shown = Receipt::decode(&receipt).unwrap().revisions[0].leaf.document_id;
    let expected = verifier.expect(table, shown);
    verifier.verify_receipt(&receipt, &expected).await.unwrap();
    let of_first = Receipt::decode(&kept_receipt).unwrap().revisions[0].leaf;
    let expected = verifier.expect(of_first.table_id, of_first.document_id);
    verifier.verify_receipt(&kept_receipt, &expected).await.unwrap();

    // The file keeps the keys with their proofs; either key opens it, a stranger's does not.
    let current = verifier.pin().key().clone();
    for key in [&first, &current] {
        assert_eq!(PinnedCheckpoint::with_file(key.clone(), &path).unwrap().key(), &current);
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, note) = text.split_once("\n\n").unwrap();
    let lines: Vec<&str> = head.lines().collect();
    assert_eq!(lines.len(), 3);
    for without in 1..3 {
        let fewer: Vec<&str> = lines.iter().enumerate().filter(|(n, _)| *n != without).map(|(_, line)| *line).collect();
        std::fs::write(&path, format!("{}\n\n{note}", fewer.join("\n"))).unwrap();
        assert!(PinnedCheckpoint::open(&path).is_err(), "without line {without}");
    }
    std::fs::write(&path, &text).unwrap();

    // Set back to before the rotation, with the old key: a client that has followed does not go back.
    assert!(server.stop().success());
    std::fs::remove_dir_all(server.data()).unwrap();
    copy_directory(&before, &server.data());
    server.restart();
    let mut session = open(&server).await;
    for n in 0..20 {
        session.run(&format!("INSERT INTO account VALUES ('c{n}', 3)"), &[]).await.unwrap();
    }
    let mut verifier = Verifier::new(connect(&server).await, "main", PinnedCheckpoint::open(&path).unwrap());
    let refused = verifier.refresh().await.unwrap_err();
    assert!(matches!(refused, Error::NotProved { .. }), "{refused}");
    assert_eq!((verifier.pin().key(), verifier.pin().checkpoint().unwrap().size), (&current, newest.size));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_seen_the_old_key_sign_beyond_its_end_does_not_follow() {
    let mut server = Server::start();
    let mut session = open(&server).await;
    accounts(&mut session, &[("a", 1)]).await;
    let directory = tempfile::tempdir().unwrap();
    let before = directory.path().join("before");
    let first: VerifierKey = server.psql_ok("SELECT ledgerstone_vkey()").trim().parse().unwrap();
    assert!(server.stop().success());
    copy_directory(&server.data(), &before);
    server.restart();
    let mut session = open(&server).await;
    for n in 0..10 {
        session.run(&format!("INSERT INTO account VALUES ('c{n}', 3)"), &[]).await.unwrap();
    }
    let mut verifier = Verifier::new(connect(&server).await, "main", PinnedCheckpoint::new(first));
    let pinned = verifier.refresh().await.unwrap();
    // Another history of the same ledger, in which the old key ended before the size that this client has pinned.
    assert!(server.stop().success());
    std::fs::remove_dir_all(server.data()).unwrap();
    copy_directory(&before, &server.data());
    server.restart();
    let rotated = rotate(&server);
    assert!(rotated["from_size"].as_u64().unwrap() < pinned.size);
    let mut session = open(&server).await;
    for n in 0..20 {
        session.run(&format!("INSERT INTO account VALUES ('d{n}', 3)"), &[]).await.unwrap();
    }
    let mut verifier = Verifier::new(connect(&server).await, "main", verifier.into_pin());
    let refused = verifier.refresh().await.unwrap_err().to_string();
    assert!(refused.contains("may sign sizes 1 to"), "{refused}");
    assert_eq!(verifier.pin().checkpoint(), Some(&pinned));
}

#[test]
fn a_running_server_rotates_while_others_write_and_a_kill_right_after_loses_nothing() {
    let mut server = Server::start();
    server.psql_ok("CREATE TABLE t (id bigint PRIMARY KEY)");
    let first = server.psql_ok("SELECT ledgerstone_vkey()").trim().to_owned();
    let kept = server.psql_ok("SELECT ledgerstone_digest()");
    for n in 0..3 {
        let rotated = rotate(&server);
        server.psql_ok(&format!("INSERT INTO t VALUES ({n})"));
        assert!(server.log_text().contains("the signing key was rotated"), "{}", server.log_text());
        assert!(!server.log_text().contains("PRIVATE"));
        server.kill();
        server.restart();
        assert_eq!(server.psql_ok("SELECT ledgerstone_vkey()").trim(), rotated["new_key"].as_str().unwrap());
    }
    assert_eq!(server.psql_ok("SELECT count(*) FROM t").trim(), "3");
    server.stop();
    let (status, said) = crate::harness::verify_against(&server.data().join("main"), &kept, &first);
    assert_eq!(status, 0, "{said}");
    let not_there = Command::new(binary()).args(["rotate-key", "--connect", "127.0.0.1:1"]).output().unwrap();
    assert_eq!(not_there.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&not_there.stderr).contains("no server answers"));
    assert!(Path::new(&server.keys()).read_dir().unwrap().count() >= 5);
}
