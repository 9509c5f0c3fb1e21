//! A block as QLDB shows it: the Ion struct that GetBlock, journal exports and streams hand out.
//!
//! Fields and their meaning: "Journal contents in Amazon QLDB" in QLDB's developer guide. `originInfo` is ours and an
//! extra field; so is `statementHash` in place of a `statement` that was redacted.

use crate::Hash;
use crate::block::hash_value;
use crate::ion::{Int, Struct, Timestamp, Value};

/// A block, whoever wrote it. What is hashed is kept as the Ion values that were hashed.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalBlock {
    pub strand_id: String,
    pub sequence_no: u64,
    pub transaction_id: String,
    pub timestamp: Timestamp,
    pub block_hash: Hash,
    pub entries_hash: Hash,
    /// `None` in block 0.
    pub previous_block_hash: Option<Hash>,
    pub entries_hash_list: Vec<Hash>,
    /// QLDB's internal blocks have none.
    pub transaction_info: Option<Value>,
    pub redaction_info: Option<Value>,
    /// Ours; absent in blocks of QLDB's own.
    pub origin_info: Option<Value>,
    pub revisions: Vec<JournalRevision>,
}

/// A revision of a block.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalRevision {
    pub hash: Hash,
    /// `None`: nothing but the hash is known, as of QLDB's internal revisions.
    pub shown: Option<ShownRevision>,
}

/// What is shown of a revision beside its hash.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownRevision {
    pub metadata: Value,
    pub content: ShownContent,
}

/// The document, or what is left of it.
#[derive(Debug, Clone, PartialEq)]
pub enum ShownContent {
    Data(Value),
    /// Redacted: IH(data).
    DataHash(Hash),
    Deleted,
}

/// Where a block stands: `{strandId, sequenceNo}`.
pub fn block_address(strand_id: &str, sequence_no: u64) -> Value {
    structure([("strandId", Value::string(strand_id)), ("sequenceNo", Value::Int(Int::from(sequence_no)))])
}

impl JournalBlock {
    pub fn address(&self) -> Value {
        block_address(&self.strand_id, self.sequence_no)
    }

    /// The whole struct.
    pub fn to_value(&self) -> Value {
        let mut fields = vec![
            ("blockAddress", self.address()),
            ("transactionId", Value::string(self.transaction_id.as_str())),
            ("blockTimestamp", Value::Timestamp(self.timestamp.clone())),
            ("blockHash", hash_value(&self.block_hash)),
            ("entriesHash", hash_value(&self.entries_hash)),
        ];
        fields.extend(self.previous_block_hash.as_ref().map(|hash| ("previousBlockHash", hash_value(hash))));
        fields.push(("entriesHashList", Value::List(self.entries_hash_list.iter().map(hash_value).collect())));
        let parts = [
            ("transactionInfo", &self.transaction_info),
            ("redactionInfo", &self.redaction_info),
            ("originInfo", &self.origin_info),
        ];
        fields.extend(parts.into_iter().filter_map(|(name, part)| Some((name, part.clone()?))));
        if !self.revisions.is_empty() {
            let address = self.address();
            let revisions = self.revisions.iter().map(|revision| revision.value(&address)).collect();
            fields.push(("revisions", Value::List(revisions)));
        }
        structure(fields)
    }
}

impl JournalRevision {
    /// The document's id, if metadata is shown.
    pub fn document_id(&self) -> Option<&str> {
        match self.shown.as_ref()?.metadata.as_struct()?.get("id") {
            Some(Value::String(id)) => Some(id),
            _ => None,
        }
    }

    /// As it stands in a block, and as GetRevision hands it out: `{blockAddress, hash, data | dataHash, metadata}`, or
    /// `{hash}`.
    pub fn value(&self, address: &Value) -> Value {
        let hash = ("hash", hash_value(&self.hash));
        let Some(shown) = &self.shown else { return structure([hash]) };
        let content = match &shown.content {
            ShownContent::Data(data) => Some(("data", data.clone())),
            ShownContent::DataHash(hash) => Some(("dataHash", hash_value(hash))),
            ShownContent::Deleted => None,
        };
        let address = [("blockAddress", address.clone()), hash];
        structure(address.into_iter().chain(content).chain([("metadata", shown.metadata.clone())]))
    }
}

pub(super) fn structure<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Struct(Struct::from_fields(fields))
}
