//! Fuzz targets: every parser that strangers reach, and the verifier. A target takes bytes and gives nothing; what must
//! hold is asserted inside, so that whoever drives it has only to look for a panic.
//!
//! Two drive them. `fuzz/` does with libFuzzer, for hours, outside of the workspace since it needs a nightly toolchain. The
//! test `fuzzing` does in every run with [`smoke`]: the kept corpus in `fuzz/corpus`, and seeded changes of it.

mod blocks;
mod changes;
mod grpc;
mod proofs;
mod statements;
mod values;
mod wire;

use std::path::PathBuf;

pub use blocks::{imported, unnoticed};
pub use changes::Random;
pub use grpc::REQUESTS;

/// What is fuzzed: its name, which is its folder in the corpus, and what is done with the bytes.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// How many changes of the corpus a test run tries; slow targets try fewer.
    pub share: usize,
}

const fn target(name: &'static str, run: fn(&[u8]), share: usize) -> Target {
    Target { name, run, share }
}

/// Every target. `fuzz/fuzz_targets` has a file for each.
pub const TARGETS: &[Target] = &[
    target("ion_text", values::ion_text, 20000),
    target("ion_binary", values::ion_binary, 20000),
    target("json", values::json, 4000),
    target("index_keys", values::index_keys, 8000),
    target("sql", statements::sql, 4000),
    target("partiql", statements::partiql, 8000),
    target("copy", statements::copy, 8000),
    target("note", proofs::note, 10000),
    target("tlog_proof", proofs::tlog_proof, 8000),
    target("receipt", proofs::receipt, 6000),
    target("frames", ledgerstone_journal::fuzzing::frames, 20000),
    target("segment", ledgerstone_journal::fuzzing::segment, 3000),
    target("checkpoint_slots", ledgerstone_journal::fuzzing::checkpoint_slots, 2000),
    target("index_run", ledgerstone_query::fuzzing::index_run, 1500),
    target("index_block", ledgerstone_query::fuzzing::index_block, 20000),
    target("index_manifest", ledgerstone_query::fuzzing::index_manifest, 8000),
    target("postgres_messages", wire::postgres_messages, 20000),
    target("postgres_startup", wire::postgres_startup, 10000),
    target("journal_blocks", blocks::journal_blocks, 300),
    target("grpc_requests", grpc::grpc_requests, 20000),
];

/// Runs one target by its name, for a driver that has no list.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("no fuzz target is called {name}")).run)(bytes);
}

/// Runs a target over its corpus and over `factor` times its share of seeded changes. Says how many inputs that were.
pub fn smoke(target: &Target, seed: u64, factor: usize) -> usize {
    let corpus = corpus(target.name);
    assert!(!corpus.is_empty(), "{} has no corpus", target.name);
    for (name, bytes) in &corpus {
        running(target, &format!("fuzz/corpus/{}/{name}", target.name), bytes);
    }
    let name = target.name.bytes().fold(0, |hash: u64, b| hash.wrapping_mul(31) + u64::from(b));
    let mut random = Random::new(seed ^ name);
    let changes = target.share * factor;
    for change in 0..changes {
        let mut bytes = corpus[random.below(corpus.len())].1.clone();
        let other = &corpus[random.below(corpus.len())].1;
        for _ in 0..1 + random.below(3) {
            random.change(&mut bytes, other);
        }
        running(target, &format!("seed {seed}, change {change}"), &bytes);
    }
    corpus.len() + changes
}

/// Changes an input as [`smoke`] does, for what is no target of its own.
pub fn change(bytes: &mut Vec<u8>, seed: u64) {
    let other = bytes.clone();
    Random::new(seed).change(bytes, &other);
}

/// The kept inputs of a target, by name.
pub fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = corpus_folder().join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, std::fs::read(&path).expect("a file of the corpus"))
    };
    let mut corpus: Vec<_> = entries.map(read).collect();
    corpus.sort();
    corpus
}

pub fn corpus_folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus"))
}

/// Runs it; a panic says which input it was and how to keep it.
fn running(target: &Target, what: &str, bytes: &[u8]) {
    let outcome = std::panic::catch_unwind(|| (target.run)(bytes));
    if let Err(panic) = outcome {
        let path = std::env::temp_dir().join(format!("ledgerstone-fuzz-{}", target.name));
        let kept = std::fs::write(&path, bytes).map_or_else(|e| e.to_string(), |()| path.display().to_string());
        eprintln!("{} fails on {what}; the input is in {kept}", target.name);
        std::panic::resume_unwind(panic);
    }
}
