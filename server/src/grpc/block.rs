//! A block as a message: QLDB's block struct, and beside it what Ledgerstone's tree needs to derive it again.

use ledgerstone_digest::block::native_time;
use ledgerstone_digest::ion::{self, Hasher, Int, Struct, Value};
use ledgerstone_digest::qldb::Entries;
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
        let (leaf, hash) = revision.leaf(&mut hasher);
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
    fields.push(("metadata", revision.metadata().to_value()));
    Value::Struct(Struct::from_fields(fields))
}

fn address(strand: Id, number: u64) -> Value {
    let number = Value::Int(Int::from(number));
    Value::Struct(Struct::from_fields([("strandId", Value::string(strand.to_string())), ("sequenceNo", number)]))
}

fn hash_value(hash: &Hash) -> Value {
    Value::blob(hash.0.to_vec())
}
