//! `ledgerstone rotate-key`: another signing key for a ledger, of a running server or of a stopped one's files
//! (docs/operations.md, "Keys").

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ledgerstone_digest::note::VerifierKey;
use ledgerstone_journal::Env;
use ledgerstone_journal::keyring::old_key_file;
use ledgerstone_journal::keys::keys_in;
use ledgerstone_protocol::v1;
use ledgerstone_query::database::{Database, DatabaseOptions};
use ledgerstone_query::error::QueryError;

use super::service::{self, of_status};
use super::terminal::{Style, say, thousands};
use super::verify::ledger_id;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The old key signs one last checkpoint, together with the new key; from then on the new key signs alone.\n\
    Who holds the old verifier key follows with the proof of that, and needs to trust nobody else for it:\n  \
    ledgerstone verify receipt --key OLD --rotation PROOF\n\n\
    Examples:\n  \
    ledgerstone rotate-key --proof 2031.rotation                   the server at 127.0.0.1:7430\n  \
    ledgerstone rotate-key --ledger hr --connect 127.0.0.1:9430\n  \
    ledgerstone rotate-key --data ledgerstone-data                 while no server runs\n\n\
    A rotation does not undo what somebody can sign who has stolen the old key: sizes up to the one where the keys\n\
    change. See docs/operations.md.\n\n\
    Exit status: 0 the new key signs, 2 it does not: what is printed says how far it came."
)]
pub struct RotateKey {
    /// Where the server's HTTP port listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7430")]
    connect: String,
    /// Which ledger.
    #[arg(long, value_name = "NAME", default_value = "main")]
    ledger: String,
    /// Who to be; the ledger records it. A password is taken from PGPASSWORD.
    #[arg(long, value_name = "NAME", default_value = "admin")]
    user: String,
    /// Use the files of a stopped server instead: where its ledgers are.
    #[arg(long, value_name = "DIR", conflicts_with = "connect")]
    data: Option<PathBuf>,
    /// Where the signing keys of a stopped server are.
    #[arg(long, value_name = "DIR", default_value = "ledgerstone-keys", requires = "data")]
    keys: PathBuf,
    /// Write the proof that lets holders of the old key follow to this new file.
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What came of it.
struct Outcome {
    old: String,
    new: String,
    from: u64,
    block: u64,
    receipt: Vec<u8>,
    /// Why the key files have not taken their names.
    left: String,
}

impl RotateKey {
    pub fn run(self) -> ExitCode {
        // Before anything is done that cannot be taken back.
        let proof = self.proof.as_deref().map(|path| (path, fs::File::create_new(path)));
        if let Some((path, Err(error))) = &proof {
            let what = match error.kind() {
                io::ErrorKind::AlreadyExists => "there is such a file, which is not overwritten: give another name",
                io::ErrorKind::NotFound => "there is no such directory: make it first, or give another",
                _ => &error.to_string(),
            };
            return refuse(&format!("--proof {}: {what}; nothing was rotated", path.display()));
        }
        let rotated = match &self.data {
            Some(data) => self.of_files(data),
            None => self.of_server(),
        };
        let outcome = match rotated {
            Ok(outcome) => outcome,
            Err(what) => {
                if let Some((path, Ok(_))) = proof {
                    // It is empty, and ours.
                    let _ = fs::remove_file(path);
                }
                return refuse(&what);
            }
        };
        let kept = match proof {
            Some((path, Ok(mut file))) => {
                let written = file.write_all(&outcome.receipt).and_then(|()| file.sync_all());
                written.map_err(|error| format!("the proof could not be written to {}: {error}", path.display()))
            }
            _ => Ok(()),
        };
        self.done(&outcome);
        match kept {
            Ok(()) => ExitCode::SUCCESS,
            Err(what) => {
                refuse(&format!("{what}\nThe key is rotated; SQL has the proof: SELECT ledgerstone_rotation(N)"))
            }
        }
    }

    fn of_files(&self, data: &Path) -> Result<Outcome, String> {
        let dir = data.join(&self.ledger);
        let id = ledger_id(&dir).ok_or_else(|| {
            format!("{}: the first segment of the journal cannot be read; is there such a ledger?", dir.display())
        })?;
        let (keys, options) = (keys_in(&self.keys, id), DatabaseOptions::default());
        let database = Database::open(&Env::production(), &dir, &self.ledger, keys, options).map_err(|error| {
            format!("{}\nIf a server runs there, leave --data away: it then rotates the key itself.", told(&error))
        })?;
        let rotated = database.rotate_key(&self.user, "command line").map_err(|error| told(&error));
        let rotated = rotated.and_then(|rotated| {
            let receipts = database.ledger().rotations(Some(&rotated.record.old)).map_err(|error| error.to_string())?;
            Ok(Outcome {
                old: rotated.record.old.to_string(),
                new: rotated.record.new.to_string(),
                from: rotated.record.from,
                block: rotated.committed.block,
                receipt: receipts.into_iter().next().unwrap_or_default(),
                left: rotated.unsettled.unwrap_or_default(),
            })
        });
        database.close().map_err(|error| told(&error)).and(rotated)
    }

    fn of_server(&self) -> Result<Outcome, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| error.to_string())?.block_on(async {
            let stopped = "give --data DIR if the server is stopped";
            let mut service = service::connect(&self.connect, &self.user, stopped).await?;
            let request = v1::RotateKeyRequest { ledger: self.ledger.clone(), user: self.user.clone() };
            let answer = service.rotate_key(request).await.map_err(of_status)?.into_inner();
            Ok(Outcome {
                old: answer.old_key,
                new: answer.new_key,
                from: answer.from_size,
                block: answer.commit.map_or(0, |commit| commit.block),
                receipt: answer.receipt,
                left: answer.left,
            })
        })
    }

    fn done(&self, outcome: &Outcome) {
        let Outcome { old, new, from, block, left, .. } = outcome;
        let file = old_file(old);
        if self.json {
            let object = serde_json::json!({
                "ledger": self.ledger, "old_key": old, "new_key": new, "from_size": from, "block": block,
                "old_key_file": file, "proof": self.proof, "left": left,
            });
            say!("{object:#}");
            return;
        }
        let style = Style::stdout();
        say!("{} {}", style.green("✓"), style.bold(&format!("the signing key of {} was rotated", self.ledger)));
        say!();
        say!("  old key     {old}");
        say!("              signs sizes up to {}, and no other any more", thousands(*from));
        say!("  new key     {new}");
        say!("              signs sizes from {} on", thousands(*from));
        say!("  recorded    in block {}", thousands(*block));
        if let Some(proof) = &self.proof {
            say!("  proof       {}", proof.display());
        }
        if !left.is_empty() {
            say!("  left        {left}; the next start tries again");
        }
        say!("\nGive auditors the new verifier key, or the proof to those who hold the old one.");
        say!("Back up the ledger now, and the new key elsewhere: without it nothing more can be signed.");
        say!("The old key is kept as {file} in the directory of keys. Destroy it as soon as no backup from before");
        say!("this rotation will be restored to be written to; nothing else needs it.");
    }
}

/// The name that the old key's file has now.
fn old_file(vkey: &str) -> String {
    let parsed: Option<VerifierKey> = vkey.parse().ok();
    let named = parsed.and_then(|key| {
        let ledger = ledgerstone_digest::checkpoint::ledger_id_of(key.name())?;
        Some(old_key_file(ledger, &key))
    });
    named.unwrap_or_else(|| "….old.key".to_owned())
}

fn told(error: &QueryError) -> String {
    match &error.hint {
        Some(hint) => format!("{error}\n{hint}"),
        None => error.to_string(),
    }
}

fn refuse(what: &str) -> ExitCode {
    eprintln!("ledgerstone rotate-key: {what}");
    ExitCode::from(2)
}
