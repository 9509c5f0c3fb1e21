//! The digest service: checkpoints, receipts, proofs and blocks. Nothing here has to be believed, so nothing is checked
//! here but that it exists and that the caller may have it; clients verify.

use std::sync::Arc;

use ledgerstone_digest::Id;
use ledgerstone_digest::note::VerifierKey;
use ledgerstone_journal::{Ledger, ReadError};
use ledgerstone_protocol::v1;
use ledgerstone_protocol::v1::digest_service_server::DigestService;
use ledgerstone_protocol::v1::get_receipt_request::Of;
use ledgerstone_query::catalogue::Table;
use ledgerstone_query::database::Database;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::instance::Instance;
use ledgerstone_query::permission::{Action, Resource};
use ledgerstone_query::transaction::{Transaction, View};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinError;
use tonic::{Request, Response, Status};

use super::caller::Gate;
use super::ledger::{blocking, name_or_main, unfinished};
use super::{block, status};
use crate::following::{self, Course, Following, Pieces};

/// The digest service.
pub struct Digest {
    pub instance: Arc<Instance>,
    pub gate: Arc<dyn Gate>,
    /// One permit for each stream of blocks.
    pub streams: Arc<Semaphore>,
    pub shutdown: watch::Receiver<bool>,
}

impl Digest {
    /// Reads from a ledger's journal, on a thread for it, for who has the permission that the ledger wants for that.
    async fn read<M, T: Send + 'static>(
        &self,
        request: &Request<M>,
        ledger: &str,
        action: Action,
        work: impl FnOnce(&Arc<Database>) -> Result<T, Status> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let user = self.gate.admit(request.metadata())?.user("")?;
        let instance = Arc::clone(&self.instance);
        let ledger = name_or_main(ledger).to_owned();
        if let Some(permit) = instance.permit(&ledger, &user).map_err(status::of_error)? {
            permit.check(action, Resource::Ledger).map_err(status::of_error)?;
        }
        let answer = blocking(move || work(&instance.ledger(&ledger).map_err(status::of_error)?)).await?;
        Ok(Response::new(answer))
    }
}

#[tonic::async_trait]
impl DigestService for Digest {
    async fn get_genesis(
        &self,
        request: Request<v1::GetGenesisRequest>,
    ) -> Result<Response<v1::GetGenesisResponse>, Status> {
        self.read(&request, &request.get_ref().ledger, Action::GetDigest, |database| {
            let ledger = database.ledger();
            Ok(v1::GetGenesisResponse {
                record: ledger.genesis_record().to_vec(),
                leaf: ledger.leaf(0).map_err(status::of_read)?,
                origin: ledger.origin().to_owned(),
                verifier_key: ledger.vkey().to_string(),
            })
        })
        .await
    }

    async fn get_checkpoint(
        &self,
        request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        self.read(&request, &request.get_ref().ledger, Action::GetDigest, |database| {
            let signed = database.ledger().checkpoint().map_err(of_checkpoint)?;
            Ok(v1::GetCheckpointResponse { note: signed.note.to_string() })
        })
        .await
    }

    async fn get_receipt(
        &self,
        request: Request<v1::GetReceiptRequest>,
    ) -> Result<Response<v1::GetReceiptResponse>, Status> {
        let of = request.get_ref().of.clone();
        let of = of.ok_or_else(|| Status::invalid_argument("say of what: a position, a revision or a block"))?;
        // As in SQL: all of a transaction is a block.
        let action = if matches!(of, Of::Block(_)) { Action::GetBlock } else { Action::GetRevision };
        self.read(&request, &request.get_ref().ledger, action, move |database| {
            let receipt = match of {
                Of::Position(position) => database.ledger().receipt(position),
                Of::Revision(name) => database.ledger().receipt(find_revision(database, &name)?),
                Of::Block(number) => database.ledger().transaction_receipt(number),
            };
            let receipt = receipt.map_err(status::of_receipt)?.encode_within_limit();
            let too_long = |problem| {
                let what = format!("the receipt cannot be given: {problem}; ask for those of its revisions one by one");
                Status::resource_exhausted(what)
            };
            Ok(v1::GetReceiptResponse { receipt: receipt.map_err(too_long)? })
        })
        .await
    }

    async fn get_consistency_proof(
        &self,
        request: Request<v1::GetConsistencyProofRequest>,
    ) -> Result<Response<v1::GetConsistencyProofResponse>, Status> {
        let (from, to) = (request.get_ref().from_size, request.get_ref().to_size);
        self.read(&request, &request.get_ref().ledger, Action::GetDigest, move |database| {
            let ledger = database.ledger();
            let (to, note) = match to {
                0 => {
                    let signed = ledger.checkpoint().map_err(of_checkpoint)?;
                    (signed.checkpoint.size, signed.note.to_string())
                }
                to => (to, String::new()),
            };
            let hashes = ledger.consistency(from, to).map_err(status::of_receipt)?;
            Ok(v1::GetConsistencyProofResponse { hashes: hashes.iter().map(|hash| hash.0.to_vec()).collect(), note })
        })
        .await
    }

    async fn get_tlog_proof(
        &self,
        request: Request<v1::GetTlogProofRequest>,
    ) -> Result<Response<v1::GetTlogProofResponse>, Status> {
        let position = request.get_ref().position;
        self.read(&request, &request.get_ref().ledger, Action::GetDigest, move |database| {
            let proof = database.ledger().proof_file(position).map_err(status::of_receipt)?;
            Ok(v1::GetTlogProofResponse { proof: proof.to_text() })
        })
        .await
    }

    async fn get_rotations(
        &self,
        request: Request<v1::GetRotationsRequest>,
    ) -> Result<Response<v1::GetRotationsResponse>, Status> {
        let from = request.get_ref().from_key.clone();
        let from: Option<VerifierKey> = match from.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|error| Status::invalid_argument(format!("from_key: {error}")))?),
        };
        self.read(&request, &request.get_ref().ledger, Action::GetDigest, move |database| {
            let ledger = database.ledger();
            // The key first: rotations that come in between are then left out, not the key they lead to.
            let verifier_key = ledger.vkey().to_string();
            let receipts = ledger.rotations(from.as_ref()).map_err(status::of_receipt)?;
            Ok(v1::GetRotationsResponse { receipts, verifier_key })
        })
        .await
    }

    async fn get_block(&self, request: Request<v1::GetBlockRequest>) -> Result<Response<v1::GetBlockResponse>, Status> {
        let number = request.get_ref().number;
        self.read(&request, &request.get_ref().ledger, Action::GetBlock, move |database| {
            let stored = database.ledger().read_block(number).map_err(status::of_read)?;
            block::message(database.ledger(), &stored).map_err(status::of_read)
        })
        .await
    }

    type StreamBlocksStream = Following<v1::GetBlockResponse, Status>;

    async fn stream_blocks(
        &self,
        request: Request<v1::StreamBlocksRequest>,
    ) -> Result<Response<Self::StreamBlocksStream>, Status> {
        let permit = Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted("as many streams of blocks are open as allowed: close some, or try later")
        })?;
        let (from_position, follow) = (request.get_ref().from_position, request.get_ref().follow);
        let ledger = self
            .read(&request, &request.get_ref().ledger, Action::GetBlock, |database| Ok(Arc::clone(database.ledger())))
            .await?
            .into_inner();
        // Position 0 is the genesis, which is not a block.
        let course = Course { from: from_position.max(1), follow, shutdown: self.shutdown.clone() };
        Ok(Response::new(following::follow(LedgerBlocks(ledger), course, permit)))
    }
}

/// The blocks of a ledger, by position.
struct LedgerBlocks(Arc<Ledger>);

impl Pieces for LedgerBlocks {
    type Piece = v1::GetBlockResponse;
    type Error = Status;

    fn next(&self, from: u64) -> Result<Option<(v1::GetBlockResponse, u64)>, Status> {
        let block = next_block(&self.0, from).map_err(status::of_read)?;
        Ok(block.map(|message| {
            let next = message.block_position + 1;
            (message, next)
        }))
    }

    fn unfinished(error: JoinError) -> Status {
        unfinished(error)
    }

    fn stopping() -> Option<Status> {
        Some(Status::unavailable("the server is stopping"))
    }
}

/// The block that holds a position; `None` if there is none yet.
fn next_block(ledger: &Ledger, position: u64) -> Result<Option<v1::GetBlockResponse>, ReadError> {
    if position >= ledger.snapshot() {
        return Ok(None);
    }
    let Some(stored) = ledger.block_at(position)? else { return Ok(None) };
    block::message(ledger, &stored).map(Some)
}

/// The position of a revision by table, document and version; the newest one, deletions included, without a version.
fn find_revision(database: &Arc<Database>, name: &v1::RevisionName) -> Result<u64, Status> {
    let document: Id =
        name.document_id.parse().map_err(|error| Status::invalid_argument(format!("the document id: {error}")))?;
    let tx = Transaction::begin(database, true);
    let find = || -> Result<u64, QueryError> {
        let table = find_table(&tx, &name.table)?;
        if let Some(current) = tx.get(&table, document, View::Current)?
            && name.version.is_none_or(|version| version == current.version)
        {
            return Ok(current.position);
        }
        let mut newest = None;
        for revision in tx.history(&table, Some(document), None, None)? {
            let revision = revision?;
            match name.version {
                Some(version) if revision.version == version => return Ok(revision.position),
                Some(_) => {}
                None => newest = newest.max(Some((revision.version, revision.position))),
            }
        }
        newest.map(|(_, position)| position).ok_or_else(|| {
            let what = match name.version {
                Some(version) => format!("version {version} of document {document}"),
                None => format!("document {document}"),
            };
            QueryError::new(SqlState::UNDEFINED_OBJECT, format!("table {} has no {what}", table.name))
        })
    };
    find().map_err(status::of_error)
}

/// A table by name, or by id: dropped tables and system tables too.
fn find_table(tx: &Transaction, name: &str) -> Result<Arc<Table>, QueryError> {
    if let Some(table) = tx.table(name)? {
        return Ok(table);
    }
    let by_id = match name.parse::<Id>() {
        Ok(id) => tx.table_by_id(id)?,
        Err(_) => None,
    };
    by_id.ok_or_else(|| QueryError::new(SqlState::UNDEFINED_TABLE, format!("table \"{name}\" does not exist")))
}

fn of_checkpoint(error: ledgerstone_journal::checkpoint::CheckpointError) -> Status {
    Status::internal(error.to_string())
}
