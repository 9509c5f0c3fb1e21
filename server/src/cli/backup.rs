//! `ledgerstone backup`: copies a ledger's journal as of a checkpoint that is signed now, from a running server or from a
//! stopped one's files, and verifies the copy (docs/operations.md, "Backups").

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ledgerstone_digest::note::VerifierKey;
use ledgerstone_digest::{Hash, Id};
use ledgerstone_journal::backup::{BackupError, Head, Held, Part, Received, Receiving};
use ledgerstone_journal::keys::keys_in;
use ledgerstone_journal::recovery::LOCK_FILE;
use ledgerstone_journal::segment::JOURNAL_DIR;
use ledgerstone_journal::{Env, VerifyOptions, verify_directory};
use ledgerstone_protocol::v1;
use ledgerstone_protocol::v1::backup_part::Part as Sent;
use ledgerstone_query::database::{Database, DatabaseOptions};

use super::report::{Check, conclude};
use super::service::{self, of_status};
use super::terminal::{Progress, Style, bytes, say, thousands};
use super::verify::{ledger_id, of_report};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A backup is the ledger as of a signed checkpoint, without its key: `ledgerstone verify DIR` reads it.\n\
    Into a directory that holds an earlier backup of the same ledger only what is new is copied.\n\n\
    Examples:\n  \
    ledgerstone backup /backups/main                            from the server at 127.0.0.1:7430\n  \
    ledgerstone backup /backups/hr --ledger hr --connect 127.0.0.1:9430\n  \
    ledgerstone backup /backups/main --data ledgerstone-data    while no server runs\n  \
    ledgerstone restore /backups/main --data new-data           a ledger of it again\n\n\
    Exit status: 0 the backup was made and verifies, 1 it does not verify, 2 it was not made."
)]
pub struct Backup {
    /// Where the server's HTTP port listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7430")]
    connect: String,
    /// Which ledger.
    #[arg(long, value_name = "NAME", default_value = "main")]
    ledger: String,
    /// Who to be, if the server asks; a password is taken from PGPASSWORD.
    #[arg(long, value_name = "NAME", default_value = "backup")]
    user: String,
    /// Read the files of a stopped server instead: where its ledgers are.
    #[arg(long, value_name = "DIR", conflicts_with = "connect")]
    data: Option<PathBuf>,
    /// Where the signing keys of a stopped server are.
    #[arg(long, value_name = "DIR", default_value = "ledgerstone-keys", requires = "data")]
    keys: PathBuf,
    /// Do not verify the copy.
    #[arg(long)]
    no_verify: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// The directory to write to: a new one, or that of an earlier backup.
    #[arg(value_name = "DIR")]
    out: PathBuf,
}

impl Backup {
    pub fn run(self) -> ExitCode {
        let received = match &self.data {
            Some(data) => self.of_files(data),
            None => self.of_server(),
        };
        match received {
            Ok(received) => self.done(&received),
            Err(what) => {
                eprintln!("ledgerstone backup: {what}");
                ExitCode::from(2)
            }
        }
    }

    /// From the files of a stopped server.
    fn of_files(&self, data: &Path) -> Result<Received, String> {
        let dir = data.join(&self.ledger);
        let id = ledger_id(&dir).ok_or_else(|| {
            format!("{}: the first segment of the journal cannot be read; is there such a ledger?", dir.display())
        })?;
        let options = DatabaseOptions::default();
        let keys = keys_in(&self.keys, id);
        let database = Database::open(&Env::production(), &dir, &self.ledger, keys, options).map_err(|error| {
            format!("{error}\nIf a server runs there, leave --data away: the backup is then taken from the server.")
        })?;
        let copy = || -> Result<Received, BackupError> {
            let mut receiving = Receiving::open(&Env::production(), &self.out)?;
            let held = receiving.held();
            let backup = database.ledger().backup(&held)?;
            receiving.head(backup.head())?;
            let mut bar = self.bar("copying");
            let (mut done, total) = (0, backup.bytes_to_send(&held));
            backup.send(&held, &mut |part| match part {
                Part::Segment { held, length, from } => receiving.segment(held, length, from),
                Part::Bytes(bytes) => {
                    done += bytes.len() as u64;
                    bar.at(done, total);
                    receiving.bytes(bytes)
                }
            })?;
            receiving.finish(backup.head().clone())
        };
        let received = copy().map_err(|error| error.to_string());
        database.close().map_err(|error| error.to_string()).and(received)
    }

    /// From a running server.
    fn of_server(&self) -> Result<Received, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| error.to_string())?.block_on(self.receive())
    }

    async fn receive(&self) -> Result<Received, String> {
        let stopped = "give --data DIR if the server is stopped";
        let mut service = service::connect(&self.connect, &self.user, stopped).await?;
        let is_new = !self.out.exists();
        let received = self.received_from(&mut service).await;
        if received.is_err() && is_new {
            forget_if_empty(&self.out);
        }
        received
    }

    async fn received_from(&self, service: &mut service::Service) -> Result<Received, String> {
        let mut receiving = Receiving::open(&Env::production(), &self.out).map_err(text)?;
        let held = receiving.held().iter().map(segment_message).collect();
        let request = v1::BackupRequest { ledger: self.ledger.clone(), held };
        let mut parts = service.backup(request).await.map_err(of_status)?.into_inner();
        let mut bar = self.bar("copying");
        let (mut head, mut done, mut total) = (None, 0, 0);
        while let Some(part) = parts.message().await.map_err(of_status)? {
            match (part.part, &head) {
                (Some(Sent::Head(message)), None) => {
                    total = message.bytes;
                    let read = read_head(message)?;
                    receiving.head(&read).map_err(text)?;
                    head = Some(read);
                }
                (Some(Sent::Segment(start)), Some(_)) => {
                    let held =
                        start.segment.as_ref().and_then(read_segment).ok_or("a segment without a name was sent")?;
                    receiving.segment(held, start.length, start.from).map_err(text)?;
                }
                (Some(Sent::Bytes(bytes)), Some(_)) => {
                    receiving.bytes(&bytes).map_err(text)?;
                    done += bytes.len() as u64;
                    bar.at(done, total);
                }
                (Some(Sent::Done(_)), Some(head)) => return receiving.finish(head.clone()).map_err(text),
                _ => return Err("the server sent something that is not a backup".to_owned()),
            }
        }
        Err("the server stopped in the middle; the earlier backup, if there was one, is untouched: run this again"
            .into())
    }

    fn done(&self, received: &Received) -> ExitCode {
        let head = &received.head;
        let check = if self.no_verify { None } else { Some(self.verified(head)) };
        let status = check.as_ref().map_or(0, |check| check.outcome.exit_status());
        if self.json {
            let object = serde_json::json!({
                "directory": self.out, "ledger": head.ledger.to_string(), "origin": head.origin, "size": head.size,
                "segments": head.segments, "segments_written": received.segments_written, "bytes": received.bytes,
                "verified": check.as_ref().map(|_| status == 0),
            });
            say!("{object}");
            return ExitCode::from(status);
        }
        if let Some(check) = check.filter(|_| status != 0) {
            return conclude(&[check], false);
        }
        let style = Style::stdout();
        say!("{} {}", style.green("✓"), style.bold(&format!("{} is a backup of {}", self.out.display(), head.origin)));
        say!();
        say!("  leaves      {}", thousands(head.size));
        say!(
            "  copied      {} in {} of {} segments",
            bytes(received.bytes),
            thousands(received.segments_written),
            thousands(head.segments)
        );
        say!("  verified    {}", if self.no_verify { "no" } else { "yes: consistent with itself and its checkpoint" });
        say!("\nThe signing key is not in it: keep {}.key elsewhere as well.", head.ledger);
        ExitCode::SUCCESS
    }

    fn verified(&self, head: &Head) -> Check {
        let mut bar = self.bar("verifying");
        let mut progress = |done: u64, total: u64| bar.at(done, total);
        let vkey: Option<VerifierKey> = head.vkey.parse().ok();
        let options = VerifyOptions {
            checkpoint: Some(head.note.clone()),
            vkey,
            progress: Some(&mut progress),
            ..VerifyOptions::default()
        };
        of_report(&self.out, &verify_directory(&Env::production(), &self.out, options))
    }

    fn bar(&self, doing: &str) -> Progress {
        let bar = Progress::new(doing, "bytes");
        if self.json { bar.quiet() } else { bar }
    }
}

/// Removes what was made for a backup of which nothing has come: a directory that is no backup would be taken for one.
fn forget_if_empty(dir: &Path) {
    if fs::remove_dir(dir.join(JOURNAL_DIR)).is_ok() && fs::remove_file(dir.join(LOCK_FILE)).is_ok() {
        // Whatever else is in it stays, and it with that.
        let _ = fs::remove_dir(dir);
    }
}

fn text(error: BackupError) -> String {
    error.to_string()
}

fn segment_message(held: &Held) -> v1::BackupSegment {
    v1::BackupSegment { number: held.number, header_hash: held.header_hash.0.to_vec(), used_bytes: held.used_bytes }
}

fn read_segment(segment: &v1::BackupSegment) -> Option<Held> {
    let header_hash = Hash::from_slice(&segment.header_hash)?;
    Some(Held { number: segment.number, header_hash, used_bytes: segment.used_bytes })
}

fn read_head(head: v1::BackupHead) -> Result<Head, String> {
    let ledger: Id = head.ledger_id.parse().map_err(|error| format!("the server sent no ledger id: {error}"))?;
    Ok(Head {
        ledger,
        origin: head.origin,
        vkey: head.verifier_key,
        size: head.size,
        note: head.note,
        segments: head.segments,
        rotations: head.rotations.into_iter().map(|rotation| (rotation.size, rotation.note)).collect(),
    })
}
