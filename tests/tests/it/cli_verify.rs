//! `ledgerstone verify`, `export` and `doctor`: exit statuses and what they say, on files that a ledger handed out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cli_fixture::{Fixture, VEHICLES};

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_receipt_holds_with_the_key_and_what_is_expected() {
    let f = Fixture::new(1);
    let (table, document) = (f.table.to_string(), f.document.to_string());
    f.verify(&["receipt"]).says(0, &["✓ holds", "Tacoma", "Not proved", "latest version", &table, &document]);
    let all = ["receipt", "--table", &table, "--document", &document, "--version", "1", "--content", "content.ion"];
    f.verify(&all).says(0, &["It is about what you expect: table, document, version, content."]);
    let ran = f.verify(&["--json", "receipt"]);
    let found = json(&ran.out);
    assert_eq!((ran.status, found["exit_status"].as_u64()), (0, Some(0)));
    assert_eq!(found["checks"][0]["facts"]["document"], document);
    assert_eq!(found["checks"][0]["facts"]["version"], 1);
}

#[test]
fn an_option_that_nothing_is_compared_with_is_said() {
    let f = Fixture::new(15);
    let document = f.document.to_string();
    f.run(&["export", "--data", "data", "--keys", "keys", "out"]).says(0, &["✓ exported"]);
    f.verify(&["out", "--document", &document]).says(2, &["--document is not compared with anything", "✓ holds out"]);
    f.verify(&["data/main", "--version", "1", "--table", &document]).says(2, &["--table, --version are not compared"]);
    f.verify(&["receipt", "--leaf", "00"]).says(2, &["--leaf is not compared"]);
    // Something that is checked beside it looks at the option.
    f.verify(&["out", "receipt", "--document", &document]).says(0, &["✓ holds out", "about what you expect: document"]);
}

#[test]
fn a_receipt_that_was_cut_off_is_told_from_other_files() {
    let f = Fixture::new(16);
    let hex: String = f.read("receipt").iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = STANDARD.encode(f.read("receipt"));
    for length in [300, 301, 302, 303] {
        f.write("cut", format!("\\x{}", &hex[..length]));
        f.verify(&["cut"]).says(1, &["cut off", "fetch it again"]);
        f.write("cut", &base64[..length]);
        f.verify(&["cut"]).says(1, &["cut off", "fetch it again"]);
    }
}

#[test]
fn a_receipt_is_read_as_psql_prints_it() {
    let f = Fixture::new(2);
    let bytes = f.read("receipt");
    let base64 = STANDARD.encode(&bytes);
    let lines: Vec<&str> = (0..base64.len()).step_by(76).map(|at| &base64[at..base64.len().min(at + 76)]).collect();
    f.write("base64", lines.join("\n") + "\n");
    f.write("hex", format!("\\x{}\n", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()));
    f.verify(&["base64", "hex"]).says(0, &["✓ holds base64", "✓ holds hex"]);
}

#[test]
fn a_receipt_without_a_key_is_not_checked() {
    let f = Fixture::new(3);
    f.run(&["verify", "receipt"]).says(2, &["none was given", "from elsewhere", "ledgerstone_vkey()"]);
    f.run(&["verify", "early", "late"]).says(2, &["only to who knows the key"]);
    f.run(&["verify", "receipt", "--key", "nonsense"]).says(2, &["no verifier key"]);
    let id = f.key.name().rsplit_once('/').unwrap().1;
    f.run(&["verify", "receipt", "--key", &format!("keys/{id}.key")]).says(2, &["private key"]);
}

#[test]
fn a_receipt_of_something_else_does_not_hold() {
    let (f, other) = (Fixture::new(4), Fixture::new(5));
    let id = other.document.to_string();
    f.verify(&["receipt", "--document", &id]).says(1, &["DOES NOT HOLD", "document", &id]);
    f.verify(&["receipt", "--table", &id]).says(1, &["table"]);
    f.verify(&["receipt", "--version", "0"]).says(1, &["version"]);
    f.write("wrong.ion", "{n: 0, city: \"Seattle\", fine: 12.50}");
    f.verify(&["receipt", "--content", "wrong.ion"]).says(1, &["content is not what you expect"]);
    let foreign = other.key.verifier().to_string();
    f.run(&["verify", "receipt", "--key", &foreign]).says(1, &["checkpoint"]);
}

#[test]
fn a_changed_receipt_does_not_hold() {
    let f = Fixture::new(6);
    let bytes = f.read("receipt");
    for at in [9, 60, bytes.len() / 2, bytes.len() - 5] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        f.write("changed", &changed);
        f.verify(&["changed"]).says(1, &["DOES NOT HOLD"]);
    }
    f.write("cut", &bytes[..bytes.len() - 1]);
    f.verify(&["cut"]).says(1, &["cut off", "offset"]);
}

#[test]
fn a_transaction_receipt_shows_all_its_revisions() {
    let f = Fixture::new(7);
    let document = f.document.to_string();
    f.verify(&["transaction"]).says(0, &["a receipt of a transaction", "exactly these 3 revisions"]);
    f.verify(&["transaction", "--document", &document, "--version", "1"]).says(0, &["is among them"]);
    f.verify(&["transaction", "--document", &document, "--version", "7"]).says(1, &["no revision of this transaction"]);
}

#[test]
fn two_checkpoints_need_the_proof_between_them() {
    let f = Fixture::new(8);
    f.verify(&["early", "late", "--consistency", "consistency"]).says(0, &["One history is behind both"]);
    f.verify(&["late", "early", "consistency"]).says(0, &["One history is behind both"]);
    f.verify(&["early", "late"]).says(2, &["ledgerstone_consistency"]);
    let proof = f.text("consistency");
    let mut lines: Vec<&str> = proof.lines().collect();
    lines.swap(0, 1);
    f.write("swapped", lines.join("\n"));
    f.verify(&["early", "late", "--consistency", "swapped"]).says(1, &["does not lead from"]);
    f.verify(&["late", "late"]).says(0, &["again: same size, same root"]);
    f.write("empty", String::new());
    f.verify(&["early", "late", "--consistency", "empty"]).says(2, &["it is empty"]);
}

#[test]
fn a_fork_is_seen_against_the_kept_checkpoint() {
    let f = Fixture::new(9);
    let size = f.sizes.1;
    let forked = ledgerstone_digest::checkpoint::Checkpoint {
        origin: f.key.name().to_owned(),
        size,
        root: ledgerstone_digest::Hash::sha256(&[b"another"]),
    };
    f.write("fork", forked.sign(&f.key).unwrap());
    f.verify(&["late", "fork"]).says(1, &["two histories"]);
    f.verify(&["receipt", "--checkpoint", "fork"]).says(1, &["two histories"]);
    f.verify(&["receipt", "--checkpoint", "late"]).says(0, &["the one history"]);
    f.verify(&["receipt", "--checkpoint", "early"]).says(2, &["without the consistency proof"]);
    f.verify(&["receipt", "--checkpoint", "early", "--consistency", "consistency"]).says(0, &["the one history"]);
    f.verify(&["data", "--checkpoint", "fork"]).says(1, &["the ledger was rewritten"]);
    f.run(&["verify", "data", "--checkpoint", "late"]).says(2, &["--key"]);
}

#[test]
fn a_proof_file_needs_its_leaf() {
    let f = Fixture::new(10);
    f.verify(&["proof"]).says(2, &["does not hold the leaf", "ledgerstone_leaf"]);
    f.verify(&["proof", "--leaf", "leaf"]).says(0, &["stands at position", &f.document.to_string()]);
    let digits: String = f.read("leaf").iter().map(|byte| format!("{byte:02x}")).collect();
    f.verify(&["proof", "--leaf", &format!("\\x{digits}")]).says(0, &[]);
    f.verify(&["proof", "--leaf", &digits.replacen("01", "02", 1)]).says(1, &["DOES NOT HOLD"]);
    f.verify(&["proof", "--leaf", "leaf", "--version", "0"]).says(1, &["version 1, not 0"]);
}

#[test]
fn a_proof_file_of_a_block_leaf_is_not_of_an_expected_document() {
    let f = Fixture::new(16);
    f.verify(&["block-proof", "--leaf", "block-leaf"]).says(0, &["stands at position"]);
    for expected in ["--document", "--table"] {
        let id = f.document.to_string();
        f.verify(&["block-proof", "--leaf", "block-leaf", expected, &id]).says(1, &["is not a revision"]);
    }
    f.verify(&["block-proof", "--leaf", "block-leaf", "--version", "1"]).says(1, &["is not a revision"]);
    f.verify(&["proof", "--leaf", "leaf", "--content", "content.ion"]).says(2, &["does not show content"]);
}

#[test]
fn a_directory_alone_is_consistent_with_itself() {
    let f = Fixture::new(11);
    f.run(&["verify", "data/main"]).says(0, &["consistent with itself", "signs it again passes this"]);
    f.run(&["verify", "data"]).says(0, &["consistent with itself"]);
    f.verify(&["data", "--checkpoint", "early"])
        .says(0, &["those of the checkpoint you kept", "continue that history"]);
}

#[test]
fn a_flipped_byte_is_named_with_file_and_offset() {
    let f = Fixture::new(12);
    let copy = f.copy("copy");
    let segment = std::fs::read_dir(copy.join("journal")).unwrap().flatten().map(|e| e.path()).min().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let needle = b"Tacoma";
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    bytes[at] ^= 0x20;
    std::fs::write(&segment, &bytes).unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap();
    let said = f.run(&["verify", "copy"]);
    said.says(1, &["DOES NOT HOLD", name, "offset", "ledgerstone restore BACKUP"]);
    assert!(!said.out.contains("run `ledgerstone verify"), "{}", said.out);
    f.run(&["doctor", "copy", "--keys", "keys"]).says(1, &[name, "ledgerstone restore BACKUP"]);
    let found = json(&f.run(&["verify", "copy", "--json"]).out);
    let finding = &found["checks"][0]["findings"][0];
    assert!(finding["offset"].is_u64() && finding["file"].as_str().unwrap().ends_with(name), "{finding}");
}

#[test]
fn what_is_derived_and_damaged_leads_to_doctor_and_another_ledger_to_its_own_key() {
    let f = Fixture::new(21);
    let copy = f.copy("copy");
    let level = copy.join("tree/00");
    let mut bytes = std::fs::read(&level).unwrap();
    bytes[5] ^= 1;
    std::fs::write(&level, &bytes).unwrap();
    f.run(&["verify", "copy"]).says(1, &["ledgerstone doctor --rebuild copy"]);
    let other = Fixture::new(22);
    std::fs::rename(other.path("data/main"), f.path("data/other")).unwrap();
    let own = "verify this one by itself, with its own --checkpoint and --key";
    f.verify(&["data"]).says(0, &["names the key you gave", own]);
    let said = f.verify(&["data/main", "data/other"]);
    said.says(1, &["this is not the ledger you know", "verify this one by itself, with the key and the checkpoint"]);
    assert!(!said.out.contains("restore BACKUP"), "{}", said.out);
    f.verify(&["copy", "--document", "0123456789012345678901"]).says(1, &["fetch its receipt"]);
}

#[test]
fn an_export_holds_until_it_is_changed() {
    let f = Fixture::new(13);
    let export = ["export", "--data", "data", "--keys", "keys", "out"];
    f.run(&export).says(0, &["✓ exported", "vehicle", &(VEHICLES + 3).to_string()]);
    f.run(&export).says(2, &["exists already"]);
    f.verify(&["out"]).says(0, &["none is missing, none is added"]);
    f.verify(&["out", "--checkpoint", "early"]).says(0, &["the one history"]);
    f.run(&["verify", "out"]).says(2, &["--key"]);
    let current =
        f.run(&["export", "--data", "data", "--keys", "keys", "--current", "--table", "vehicle", "--json", "now"]);
    assert_eq!(json(&current.out)["rows"].as_u64(), Some(VEHICLES), "{}", current.err);
    f.verify(&["now"]).says(0, &["current at the checkpoint"]);
    f.run(&["export", "--data", "data", "--keys", "keys", "--table", "nothing", "none"])
        .says(2, &["--table nothing: there is no such table; there are vehicle"]);
    assert!(!f.path("none").exists());
    let parquet = find(&f.path("out"), "parquet");
    let mut bytes = std::fs::read(&parquet).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&parquet, bytes).unwrap();
    f.verify(&["out"]).says(1, &["DOES NOT HOLD"]);
}

#[test]
fn doctor_rebuilds_what_is_derived_and_nothing_else() {
    let f = Fixture::new(14);
    let doctor = ["doctor", "--data", "data", "--keys", "keys"];
    f.run(&doctor).says(0, &["✓ holds"]);
    let level = f.path("data/main/tree/00");
    let mut bytes = std::fs::read(&level).unwrap();
    bytes[5] ^= 1;
    std::fs::write(&level, &bytes).unwrap();
    let journal = std::fs::read_dir(f.path("data/main/journal")).unwrap().flatten().map(|e| e.path()).min().unwrap();
    let before = (std::fs::read(&journal).unwrap(), std::fs::read(f.path("data/main/checkpoint")).unwrap());
    f.run(&doctor).says(1, &["tree", "doctor --rebuild"]);
    let mut rebuild = doctor.to_vec();
    rebuild.push("--rebuild");
    f.run(&rebuild).says(0, &["made again from the journal"]);
    f.run(&doctor).says(0, &[]);
    assert!(before == (std::fs::read(&journal).unwrap(), std::fs::read(f.path("data/main/checkpoint")).unwrap()));
    // The row index is made again by the server.
    assert!(!f.path("data/main/index").exists());
    f.open_and_close();
    f.run(&doctor).says(0, &["The row index is whole"]);
    let index = std::fs::read_dir(f.path("data/main/index")).unwrap().flatten().map(|e| e.path());
    let run = index.filter(|path| path.extension().is_some_and(|e| e == "run")).min().unwrap();
    let mut bytes = std::fs::read(&run).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&run, &bytes).unwrap();
    f.run(&doctor).says(1, &["the row index is not what was written", ".run", "doctor --rebuild"]);
    f.run(&rebuild).says(0, &["made again from the journal"]);
    assert!(before.0 == std::fs::read(&journal).unwrap());
    let mut torn = before.0.clone();
    let at = torn.windows(6).position(|window| window == b"Tacoma").unwrap();
    torn[at] ^= 1;
    std::fs::write(&journal, &torn).unwrap();
    f.run(&rebuild).says(1, &["nothing was rebuilt"]);
    std::fs::remove_dir_all(f.path("keys")).unwrap();
    std::fs::write(&journal, &before.0).unwrap();
    f.run(&doctor).says(2, &["is missing"]);
}

#[test]
fn what_is_nothing_is_said_to_be_nothing() {
    let f = Fixture::new(15);
    f.write("empty", "");
    f.write("text", "hello");
    std::fs::create_dir(f.path("folder")).unwrap();
    for path in ["empty", "text", "folder", "absent"] {
        f.verify(&[path]).says(2, &["could not be checked", path]);
    }
    f.verify(&["receipt", "text"]).says(2, &["✓ holds", "could not be checked"]);
    f.run(&["verify"]).says(2, &["PATH"]);
    f.run(&["export", "--data", "nowhere", "out"]).says(2, &["nowhere"]);
}

fn find(dir: &std::path::Path, extension: &str) -> std::path::PathBuf {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && std::fs::read_dir(&path).unwrap().next().is_some() {
            let found = find(&path, extension);
            if found.is_file() {
                return found;
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            return path;
        }
    }
    dir.to_owned()
}
