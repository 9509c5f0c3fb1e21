//! A backup as a stream: read on a thread of its own, as fast as the client takes it.

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use ledgerstone_digest::Hash;
use ledgerstone_journal::Ledger;
use ledgerstone_journal::backup::{BackupError, Held, Part};
use ledgerstone_protocol::v1;
use ledgerstone_protocol::v1::backup_part::Part as Sent;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tonic::Status;

/// Parts of up to 1 MiB that wait for a slow client.
const PARTS_WAITING: usize = 4;
/// A client that takes nothing for this long has gone: redactions wait for it.
const TAKE_TIMEOUT: Duration = Duration::from_secs(60);
/// Segments that a client may say it has.
pub const HELD_MAX: usize = 1 << 20;

/// The parts as they are read.
pub struct Parts(Receiver<Result<v1::BackupPart, Status>>);

/// Begins to send a ledger's backup.
pub fn start(ledger: Arc<Ledger>, held: &[v1::BackupSegment]) -> Result<Parts, Status> {
    if held.len() > HELD_MAX {
        return Err(Status::invalid_argument(format!("at most {HELD_MAX} segments can be held")));
    }
    let held: Option<Vec<Held>> = held
        .iter()
        .map(|s| {
            let header_hash = Hash::from_slice(&s.header_hash)?;
            Some(Held { number: s.number, header_hash, used_bytes: s.used_bytes })
        })
        .collect();
    let held = held.ok_or_else(|| Status::invalid_argument("a header hash has 32 bytes"))?;
    let (sender, parts) = channel(PARTS_WAITING);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = send(&ledger, &held, &runtime, &sender)
            && !matches!(error, BackupError::GivenUp)
        {
            tracing::warn!(%error, "a backup was not finished");
            // A client that has gone hears nothing.
            let _ = sender.blocking_send(Err(Status::internal(error.to_string())));
        }
    });
    Ok(Parts(parts))
}

fn send(
    ledger: &Ledger,
    held: &[Held],
    runtime: &Handle,
    sender: &Sender<Result<v1::BackupPart, Status>>,
) -> Result<(), BackupError> {
    let give = |part: Sent| -> Result<(), BackupError> {
        let sending = tokio::time::timeout(TAKE_TIMEOUT, sender.send(Ok(v1::BackupPart { part: Some(part) })));
        match runtime.block_on(sending) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(BackupError::GivenUp),
        }
    };
    let backup = ledger.backup(held)?;
    let head = backup.head();
    give(Sent::Head(v1::BackupHead {
        ledger_id: head.ledger.to_string(),
        origin: head.origin.clone(),
        verifier_key: head.vkey.clone(),
        size: head.size,
        note: head.note.clone(),
        segments: head.segments,
        bytes: backup.bytes_to_send(held),
        rotations: head.rotations.iter().map(rotation_message).collect(),
    }))?;
    backup.send(held, &mut |part| {
        give(match part {
            Part::Segment { held, length, from } => Sent::Segment(v1::BackupSegmentStart {
                segment: Some(v1::BackupSegment {
                    number: held.number,
                    header_hash: held.header_hash.0.to_vec(),
                    used_bytes: held.used_bytes,
                }),
                length,
                from,
            }),
            Part::Bytes(bytes) => Sent::Bytes(bytes.to_vec()),
        })
    })?;
    give(Sent::Done(v1::BackupDone {}))
}

fn rotation_message((size, note): &(u64, String)) -> v1::BackupRotation {
    v1::BackupRotation { size: *size, note: note.clone() }
}

impl Stream for Parts {
    type Item = Result<v1::BackupPart, Status>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}
