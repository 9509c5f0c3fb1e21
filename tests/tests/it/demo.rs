//! The README's first command, and what an auditor makes of the folder it leaves: the true ledger, one with a byte of a
//! batch changed, and one rewritten as a whole and signed again with another key.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::binary;

#[test]
fn the_demonstration_holds_and_its_forgeries_are_caught() {
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("demo");
    let shown = run(&["demo", "--vehicles", "20", "--keep", text(&kept)]);
    assert_eq!(shown.status.code(), Some(0), "{}", both(&shown));

    let of = |name: &str| kept.join(name);
    let auditor = [("--key", of("auditor/vkey")), ("--checkpoint", of("auditor/checkpoint"))];
    let verify = |what: &Path, with: &[(&str, PathBuf)]| {
        let mut arguments = vec!["verify", text(what)];
        with.iter().for_each(|(option, file)| arguments.extend([option, text(file)]));
        let output = run(&arguments);
        (output.status.code(), both(&output))
    };
    let says = |found: (Option<i32>, String), status: i32, words: &[&str]| {
        assert_eq!(found.0, Some(status), "{}", found.1);
        let flat = found.1.split_whitespace().collect::<Vec<_>>().join(" ");
        words.iter().for_each(|word| assert!(flat.contains(word), "{word:?} is missing:\n{}", found.1));
    };
    says(verify(&of("data"), &auditor), 0, &["are those of the checkpoint you kept"]);
    says(verify(&of("auditor/receipt"), &auditor), 0, &["✓ holds"]);
    says(verify(&of("export"), &auditor), 0, &["✓ holds"]);
    says(verify(&of("tampered"), &[]), 1, &["DOES NOT HOLD", ".seg", "offset", "block"]);

    // Rewritten, chained and signed again: nothing in it contradicts anything else in it.
    says(verify(&of("forged"), &[]), 0, &["consistent with itself", "signs it again passes this"]);
    says(verify(&of("forged"), &auditor), 1, &["the ledger was rewritten", "this is not the ledger you know"]);
    // With the forger's own key nothing can be said of a checkpoint that another key has signed.
    let json = run(&["verify", text(&of("forged")), "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let forger = directory.path().join("forger");
    std::fs::write(&forger, json["checks"][0]["facts"]["key"].as_str().unwrap()).unwrap();
    let with_forger = [("--key", forger.clone()), ("--checkpoint", of("auditor/checkpoint"))];
    says(verify(&of("forged"), &with_forger), 2, &["the checkpoint you kept", "is not signed by key"]);
    says(verify(&of("auditor/receipt"), &[("--key", forger)]), 1, &["DOES NOT HOLD"]);
}

fn run(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).output().unwrap()
}

fn both(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
