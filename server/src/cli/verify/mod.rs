//! `ledgerstone verify`: checks what a ledger handed out, or what lies on a disk, without a server and without believing
//! anything but the key, the checkpoint and the expectation that the reader brings (docs/security.md).
//!
//! | module | what it checks |
//! |---|---|
//! | `input` | what a path is |
//! | `receipt` | a receipt of a revision or of a transaction |
//! | `proof_file` | a leaf with its audit path (`c2sp.org/tlog-proof@v1`) |
//! | `checkpoints` | checkpoints, and that one ledger stands behind two of them |
//! | `directory` | a ledger's directory, or a server's with several |
//! | `export` | a Parquet export |
//! | `journal_export` | a journal export in QLDB's format |
//! | `unused` | options that nothing of it looks at |

mod checkpoints;
mod directory;
mod export;
mod input;
mod journal_export;
mod proof_file;
mod receipt;
mod unused;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ledgerstone_digest::checkpoint::{Checkpoint, CheckpointError};
use ledgerstone_digest::ion::{self, Limits, Value};
use ledgerstone_digest::note::VerifierKey;
use ledgerstone_digest::receipt::Receipt;
use ledgerstone_digest::rotation::KeyChain;
use ledgerstone_digest::verifier::{Refusal, Trust, WitnessPolicy};
use ledgerstone_digest::{Hash, Id};

use super::report::{Check, conclude};
pub use directory::{is_derived, ledger_id, of_report, way_out};
use input::Input;
pub use input::{hashes as read_consistency_text, read_note};

/// The longest file that can be expected content.
const CONTENT_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, Clone, clap::Args)]
#[command(
    disable_version_flag = true,
    after_help = "Exit status: 0 everything holds, 1 something does not hold, 2 something could not be checked.\n\n\
    A receipt proves something only with a key that you have from elsewhere. A directory alone can only be consistent\n\
    with itself; with a checkpoint that was kept elsewhere it is compared with what was promised then.\n\n\
    After the ledger's key was rotated, who holds the old one brings the proof of that:\n  \
    ledgerstone verify receipt --key OLD --rotation PROOF"
)]
pub struct Verify {
    /// A receipt, a proof file, checkpoints, a ledger's or server's data directory, a Parquet export, or a journal export
    /// in QLDB's format.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// The ledger's verifier key, or a file with it. Have it from elsewhere, never from what is checked.
    #[arg(long, value_name = "VKEY|FILE")]
    key: Option<String>,
    /// The proof that the key was rotated, for who holds the old one: as often as it was rotated since, in order, or a
    /// directory with all of them.
    #[arg(long = "rotation", value_name = "FILE|DIR", requires = "key")]
    rotations: Vec<PathBuf>,
    /// A checkpoint that was kept elsewhere.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The consistency proof between two checkpoints: one hash on each line.
    #[arg(long, value_name = "FILE")]
    consistency: Option<PathBuf>,
    /// The table that a receipt should be about, by its id.
    #[arg(long, value_name = "ID")]
    table: Option<Id>,
    /// The document that a receipt should be about, by its id.
    #[arg(long, value_name = "ID")]
    document: Option<Id>,
    /// The version that a receipt should be about.
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// The content that a receipt should show, as Ion text.
    #[arg(long, value_name = "FILE")]
    content: Option<PathBuf>,
    /// The leaf that a proof file is about: a file, or hexadecimal digits.
    #[arg(long, value_name = "FILE|HEX")]
    leaf: Option<String>,
    /// The key of a witness who must have cosigned, or a file with it; as often as needed.
    #[arg(long = "witness", value_name = "VKEY|FILE")]
    witnesses: Vec<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What the reader brings, read and, where it is signed, checked.
struct Given {
    key: Option<VerifierKey>,
    /// That key and those it was rotated to, as far as the reader has proofs.
    chain: Option<KeyChain>,
    kept: Option<Kept>,
    consistency: Option<Vec<Hash>>,
    table: Option<Id>,
    document: Option<Id>,
    version: Option<u64>,
    content: Option<Value>,
    leaf: Option<Vec<u8>>,
    witnesses: WitnessPolicy,
    json: bool,
}

/// A checkpoint that was kept elsewhere, signed by the given key or one that it was rotated to.
pub struct Kept {
    path: PathBuf,
    note: String,
    checkpoint: Checkpoint,
}

impl Kept {
    /// One that this process has verified before.
    pub fn seen_before(note: &str, key: &VerifierKey) -> Option<Kept> {
        let checkpoint = KeyChain::new(key.clone()).verify(note).ok()?;
        Some(Kept { path: PathBuf::from("seen before"), note: note.to_owned(), checkpoint })
    }

    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }
}

/// Checks a receipt that was just fetched.
pub fn check_receipt(
    subject: &Path,
    bytes: &[u8],
    key: VerifierKey,
    kept: Option<Kept>,
    consistency: Option<Vec<Hash>>,
) -> Check {
    let given = Given {
        chain: Some(KeyChain::new(key.clone())),
        key: Some(key),
        kept,
        consistency,
        table: None,
        document: None,
        version: None,
        content: None,
        leaf: None,
        witnesses: WitnessPolicy { required: 0, witnesses: Vec::new() },
        json: false,
    };
    receipt::check(subject, bytes, &given)
}

impl Verify {
    pub fn run(self) -> ExitCode {
        let json = self.json;
        match Given::read(&self) {
            Ok(given) => conclude(&check_all(&self, &given), json),
            Err(check) => conclude(&[*check], json),
        }
    }
}

/// Checks every path. Checkpoints are checked together: what matters is whether they are of one history.
fn check_all(options: &Verify, given: &Given) -> Vec<Check> {
    let read: Vec<_> = options.paths.iter().map(|path| (path.as_path(), input::read(path))).collect();
    let inputs: Vec<_> = read.iter().filter_map(|(path, read)| Some((*path, read.as_ref().ok()?))).collect();
    let mut checks = Vec::from_iter(unused::check(&inputs, options));
    let mut notes = Vec::new();
    let mut proof = given.consistency.clone();
    for (path, input) in read {
        match input {
            Ok(Input::Receipt(bytes)) => checks.push(receipt::check(path, &bytes, given)),
            Ok(Input::ProofFile(text)) => checks.push(proof_file::check(path, &text, given)),
            Ok(Input::Checkpoint(note)) => notes.push((path.to_owned(), note)),
            Ok(Input::Consistency(hashes)) => proof = Some(hashes),
            Ok(Input::Ledger) => checks.push(directory::check(path, given)),
            Ok(Input::Server(ledgers)) => checks.extend(directory::check_all(path, &ledgers, given)),
            Ok(Input::Export) => checks.push(export::check(path, given)),
            Ok(Input::JournalExport) => checks.push(journal_export::check(path, given)),
            Err(what) => checks.push(Check::new(path, "unknown").unchecked(what)),
        }
    }
    if !notes.is_empty() {
        checks.extend(checkpoints::check(&notes, proof.as_deref(), given));
    } else if checks.is_empty() {
        let path = options.paths.first().map_or(Path::new(""), PathBuf::as_path);
        let what = "a consistency proof alone says nothing: give the two checkpoints that it is between as well";
        checks.push(Check::new(path, "a consistency proof").unchecked(what));
    }
    checks
}

impl Given {
    fn read(arguments: &Verify) -> Result<Given, Box<Check>> {
        let key = arguments.key.as_deref().map(|text| read_key(text, "--key")).transpose()?;
        let chain = key.as_ref().map(|key| read_rotations(key, &arguments.rotations)).transpose()?;
        let kept = arguments.checkpoint.as_deref().map(|path| read_kept(path, chain.as_ref())).transpose()?;
        let consistency = arguments.consistency.as_deref().map(|path| {
            input::read_consistency(path)
                .map_err(|what| Box::new(Check::new(path, "the consistency proof you gave").unchecked(what)))
        });
        let mut witnesses: Vec<VerifierKey> = Vec::new();
        for text in &arguments.witnesses {
            let key = read_key(text, "--witness")?;
            // One that is named twice is one witness still.
            if !witnesses.iter().any(|known| known.public() == key.public()) {
                witnesses.push(key);
            }
        }
        Ok(Given {
            key,
            chain,
            kept,
            consistency: consistency.transpose()?,
            table: arguments.table,
            document: arguments.document,
            version: arguments.version,
            content: arguments.content.as_deref().map(read_content).transpose()?,
            leaf: arguments.leaf.as_deref().map(read_leaf).transpose()?,
            witnesses: WitnessPolicy { required: witnesses.len(), witnesses },
            json: arguments.json,
        })
    }

    /// The key to compare a directory with: the one that has signed the kept checkpoint, if there is one. The directory
    /// itself shows how its keys followed each other.
    fn directory_key(&self) -> Option<VerifierKey> {
        let signer = self.chain.as_ref().zip(self.kept.as_ref()).and_then(|(chain, kept)| chain.signer(&kept.note));
        signer.or(self.key.as_ref()).cloned()
    }

    /// Trust in this key, the witnesses and the kept checkpoint.
    fn trust(&self, key: &VerifierKey) -> Trust {
        Trust {
            witnesses: self.witnesses.clone(),
            pinned: self.kept.as_ref().map(|kept| kept.checkpoint.clone()),
            consistency: self.consistency.clone(),
            ..self.chain.as_ref().map_or_else(|| Trust::in_key(key.clone()), KeyChain::trust)
        }
    }
}

/// A key as text, or a file that holds one.
fn read_key(text: &str, option: &str) -> Result<VerifierKey, Box<Check>> {
    let refuse =
        |what: String| Box::new(Check::new(Path::new(text), "the key you gave").unchecked(format!("{option}: {what}")));
    read_vkey(text).map_err(refuse)
}

/// A verifier key as text, or a file that holds one; or why it is none.
pub fn read_vkey(text: &str) -> Result<VerifierKey, String> {
    if let Ok(key) = text.trim().parse() {
        return Ok(key);
    }
    let bytes = input::read_limited(Path::new(text), 4096)
        .map_err(|what| format!("it is no verifier key (name+id+base64), and as a file it {what}"))?;
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("PRIVATE+KEY") {
        return Err(
            "this file holds the private key; give the verifier key, which stands in the .vkey file beside it".into()
        );
    }
    text.trim().parse().map_err(|error| format!("the file holds no verifier key: {error}"))
}

/// Where a chain of rotations begins.
const START: &str = "Rotations lead from the key that you give as --key to those after it: give the key from before the \
                     first of them, and all of them in order.";

/// The key and those it was rotated to, along the receipts in these files.
fn read_rotations(key: &VerifierKey, paths: &[PathBuf]) -> Result<KeyChain, Box<Check>> {
    let mut chain = KeyChain::new(key.clone());
    let refuse = |path: &Path, what: String| Box::new(Check::new(path, "the rotation you gave").unchecked(what));
    let mut files = Vec::new();
    for path in paths {
        match std::fs::read_dir(path) {
            Ok(entries) => {
                let mut inside: Vec<(PathBuf, bool)> = entries.flatten().map(|entry| (entry.path(), true)).collect();
                inside.sort();
                files.append(&mut inside);
            }
            Err(_) => files.push((path.clone(), false)),
        }
    }
    for (path, of_many) in &files {
        let bytes = match input::read(path) {
            Ok(Input::Receipt(bytes)) => bytes,
            Ok(_) => return Err(refuse(path, "it is not a receipt of a rotation".to_owned())),
            Err(what) => return Err(refuse(path, what)),
        };
        let receipt = Receipt::decode(&bytes).map_err(|error| refuse(path, error.to_string()))?;
        // A directory has all of them, also those from before the key that the reader holds.
        if *of_many && !chain.is_next(&receipt) {
            continue;
        }
        chain
            .follow(&receipt)
            .map_err(|refusal| Box::new(receipt::refused(Check::new(path, "a rotation"), &refusal).advice(START)))?;
    }
    Ok(chain)
}

fn read_kept(path: &Path, keys: Option<&KeyChain>) -> Result<Kept, Box<Check>> {
    let refuse = |what: String| Box::new(Check::new(path, "the checkpoint you kept").unchecked(what));
    let Some(keys) = keys else {
        let what = "a checkpoint is believed only with the key that must have signed it: give --key VKEY";
        return Err(refuse(what.to_owned()));
    };
    let note = input::read_note(path).map_err(refuse)?;
    let checkpoint = keys.verify(&note).map_err(|refusal| {
        if matches!(refusal, Refusal::OutOfRange { .. }) {
            return Box::new(Check::new(path, "the checkpoint you kept").broken(refusal.to_string()));
        }
        let check = *refuse(format!("it cannot be compared with: {refusal}"));
        Box::new(match refusal {
            // Rotations lead from a key to those after it, never back.
            Refusal::Checkpoint(CheckpointError::NotSigned { .. }) => check.advice(
                "If the ledger's key was rotated after this checkpoint was signed, give the key of that time as --key. What is \
                 newer is compared with it by the proof of the rotation, --rotation FILE; a directory brings that itself.",
            ),
            _ => check,
        })
    })?;
    Ok(Kept { path: path.to_owned(), note, checkpoint })
}

fn read_content(path: &Path) -> Result<Value, Box<Check>> {
    let refuse = |what: String| Box::new(Check::new(path, "the content you expect").unchecked(what));
    let bytes = input::read_limited(path, CONTENT_BYTES_MAX).map_err(refuse)?;
    let value = match std::str::from_utf8(&bytes) {
        Ok(text) => ion::parse(text, &Limits::DOCUMENT).map_err(|error| error.to_string()),
        Err(_) => ion::decode(&bytes, &Limits::DOCUMENT).map_err(|error| error.to_string()),
    };
    value.map_err(|error| refuse(format!("it is not one Ion value: {error}")))
}

fn read_leaf(text: &str) -> Result<Vec<u8>, Box<Check>> {
    let digits = |text: &str| {
        let text = text.trim();
        input::hex(text.strip_prefix("\\x").unwrap_or(text)).filter(|bytes| !bytes.is_empty())
    };
    if let Some(bytes) = digits(text) {
        return Ok(bytes);
    }
    let path = Path::new(text);
    let bytes = input::read_limited(path, 1 << 20)
        .map_err(|what| Box::new(Check::new(path, "the leaf you gave").unchecked(what)))?;
    Ok(std::str::from_utf8(&bytes).ok().and_then(digits).unwrap_or(bytes))
}

/// A time of the server's, as Ion writes it.
fn time_text(ms: i64) -> String {
    ion::to_text(&Value::Timestamp(ledgerstone_digest::block::native_time(ms)))
}

/// Where to get a key.
fn key_advice(origin: Option<&str>) -> String {
    let whose = origin.map_or_else(String::new, |origin| format!(" It calls itself {origin}.\n"));
    format!(
        "{}Give --key VKEY, or a file with it. Have the key from elsewhere than what is checked: from who runs the ledger, \
         once.\nThere it is in KEYS/<ledger id>.vkey, and SQL shows it: SELECT ledgerstone_vkey();",
        whose.trim_start()
    )
}
