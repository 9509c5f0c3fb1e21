//! A block as a message: QLDB's block struct, and beside it what Ledgerstone's tree needs to derive it again.

use ledgerstone_digest::block::{Metadata, native_time};
use ledgerstone_digest::ion::{self, Hasher, Int, Struct, Value};
use ledgerstone_digest::leaf::{RevisionLeaf, deleted_commitment, revision_commitment};
use ledgerstone_digest::qldb::{Entries, revision_hash};
use ledgerstone_digest::{Hash, Id};
use ledgerstone_journal::{Ledger, ReadError, StoredBlock, StoredRevision};
use ledgerstone_protocol::v1;

/// Reads a block and makes its message. Its own leaf comes from the journal, which has compared it with what it derived.
pub fn message(ledger: &Ledger, block: &StoredBlock) -> Result<v1::GetBlockResponse, ReadError> {
    let mut hasher = Hasher::new();
    let mut hashes = Vec::with_capacity(block.revisions.len());
    let mut leaves = Vec::with_capacity(block.revisions.len() + 1);
    let mut revisions = Vec::with_capacity(block.revisions.len());
    for revision in &block.revisions {
        let (leaf, hash) = derive(block, revision, &mut hasher);
        revisions.push(revision_value(block, revision, hash));
        leaves.push(leaf.encode().to_vec());
        hashes.push(hash);
    }
    leaves.push(ledger.leaf(block.position)?);
    let redaction = block.redaction.as_ref().map(|redaction| redaction.ion_hash());
    let entries = Entries::native(&hashes, block.info.ion_hash(), block.origin.ion_hash(), redaction);
    let blinds = block.revisions.iter().map(|revision| revision.blind).chain([block.blind]);
    Ok(v1::GetBlockResponse {
        number: block.number,
        first_position: block.first_position,
        block_position: block.position,
        block: ion::encode(&block_value(block, &entries, revisions)),
        leaves,
        blinds: blinds.map(|blind| blind.to_vec()).collect(),
        origin_info: ion::encode(&block.origin.to_value()),
    })
}

/// A revision's leaf and QLDB's hash of it.
fn derive(block: &StoredBlock, revision: &StoredRevision, hasher: &mut Hasher) -> (RevisionLeaf, Hash) {
    let metadata = metadata(revision).ion_hash_with(hasher);
    let data = revision.data.as_deref().map(|data| hasher.value(data)).or(revision.data_hash);
    let leaf = RevisionLeaf {
        deleted: revision.deleted,
        opaque: false,
        imported: false,
        table_id: revision.table_id,
        document_id: revision.document_id,
        version: revision.version,
        block: block.number,
        supersedes: revision.supersedes,
        commitment: match &data {
            Some(data) => revision_commitment(&revision.blind, &metadata, data),
            None => deleted_commitment(&revision.blind, &metadata),
        },
    };
    (leaf, revision_hash(metadata, data))
}

fn block_value(block: &StoredBlock, entries: &Entries, revisions: Vec<Value>) -> Value {
    let mut fields = vec![
        ("blockAddress", address(block.strand, block.number)),
        ("transactionId", Value::string(block.tx_id.to_string())),
        ("blockTimestamp", Value::Timestamp(native_time(block.time_ms))),
        ("blockHash", hash_value(&block.block_hash)),
        ("entriesHash", hash_value(&entries.hash())),
    ];
    if let Some(previous) = &block.previous_block_hash {
        fields.push(("previousBlockHash", hash_value(previous)));
    }
    fields.push(("entriesHashList", Value::List(entries.list.iter().map(hash_value).collect())));
    fields.push(("transactionInfo", block.info.to_value()));
    if let Some(redaction) = &block.redaction {
        fields.push(("redactionInfo", redaction.to_value()));
    }
    fields.push(("revisions", Value::List(revisions)));
    Value::Struct(Struct::from_fields(fields))
}

fn revision_value(block: &StoredBlock, revision: &StoredRevision, hash: Hash) -> Value {
    let mut fields = vec![("blockAddress", address(block.strand, block.number)), ("hash", hash_value(&hash))];
    match (&revision.data, &revision.data_hash) {
        (Some(data), _) => fields.push(("data", (**data).clone())),
        (None, Some(data_hash)) => fields.push(("dataHash", hash_value(data_hash))),
        (None, None) => {}
    }
    fields.push(("metadata", metadata(revision).to_value()));
    Value::Struct(Struct::from_fields(fields))
}

fn metadata(revision: &StoredRevision) -> Metadata {
    Metadata {
        id: revision.document_id,
        version: revision.version,
        tx_time_ms: revision.time_ms,
        tx_id: revision.tx_id,
    }
}

fn address(strand: Id, number: u64) -> Value {
    let number = Value::Int(Int::from(number));
    Value::Struct(Struct::from_fields([("strandId", Value::string(strand.to_string())), ("sequenceNo", number)]))
}

fn hash_value(hash: &Hash) -> Value {
    Value::blob(hash.0.to_vec())
}
