//! The Ion struct of a block, as GetBlock and journal exports hand it out, read back ("Journal contents in Amazon QLDB" in
//! QLDB's developer guide). Nothing is compared with a hash here: that is [`super::chain`]'s part.
//!
//! A field that is not known, or comes twice, is refused: whoever keeps the block could not give it back.

use super::{JournalBlock, JournalRevision, ShownContent, ShownRevision};
use crate::block::{BlockError, Fields, read_hash, refuse};
use crate::ion::Value;

/// Hashes in an entriesHashList, and revisions in a block. QLDB's own had about four and a few hundred.
const ITEMS_MAX: usize = 1 << 24;

impl JournalBlock {
    /// The block that [`JournalBlock::to_value`] makes this value of.
    pub fn from_value(value: &Value) -> Result<JournalBlock, BlockError> {
        let mut fields = Fields::of(value, "block")?;
        let address = fields.take("blockAddress")?;
        let (strand_id, sequence_no) = read_address(address)?;
        let mut revisions = Vec::new();
        if let Some(listed) = fields.optional("revisions")? {
            for (i, revision) in list(listed, "revisions")?.iter().enumerate() {
                revisions.push(read_revision(revision, address, &format!("revisions[{i}]"))?);
            }
        }
        let mut entries_hash_list = Vec::new();
        for (i, hash) in list(fields.take("entriesHashList")?, "entriesHashList")?.iter().enumerate() {
            entries_hash_list.push(read_hash(hash, &format!("entriesHashList[{i}]"))?);
        }
        let timestamp = match fields.take("blockTimestamp")? {
            Value::Timestamp(timestamp) => timestamp.clone(),
            _ => return Err(refuse("blockTimestamp", "is not a timestamp")),
        };
        let previous = fields.optional("previousBlockHash")?.filter(|value| !value.is_null());
        let block = JournalBlock {
            strand_id,
            sequence_no,
            transaction_id: fields.text("transactionId")?.to_string(),
            timestamp,
            block_hash: fields.hash("blockHash")?,
            entries_hash: fields.hash("entriesHash")?,
            previous_block_hash: previous.map(|value| read_hash(value, "previousBlockHash")).transpose()?,
            entries_hash_list,
            transaction_info: part(&mut fields, "transactionInfo")?,
            redaction_info: part(&mut fields, "redactionInfo")?,
            origin_info: part(&mut fields, "originInfo")?,
            revisions,
        };
        fields.no_others()?;
        Ok(block)
    }
}

impl ShownRevision {
    /// The document's id and its version; the metadata is exactly `{id, version, txTime, txId}`, the transaction being the
    /// block's.
    pub fn identity(&self, transaction_id: &str) -> Result<(&str, u64), BlockError> {
        let mut fields = Fields::of(&self.metadata, "metadata")?;
        let Value::String(id) = fields.take("id")? else { return Err(refuse("metadata.id", "is not a string")) };
        let version = fields.uint("version")?;
        if !matches!(fields.take("txTime")?, Value::Timestamp(_)) {
            return Err(refuse("metadata.txTime", "is not a timestamp"));
        }
        if *fields.text("txId")? != *transaction_id {
            return Err(refuse("metadata.txId", "is not the block's transaction"));
        }
        fields.no_others()?;
        Ok((id, version))
    }
}

fn read_revision(value: &Value, block: &Value, place: &str) -> Result<JournalRevision, BlockError> {
    let mut fields = Fields::of(value, place)?;
    let hash = fields.hash("hash")?;
    let address = fields.optional("blockAddress")?;
    let (data, data_hash) = (fields.optional("data")?, fields.optional("dataHash")?);
    let metadata = fields.optional("metadata")?;
    fields.no_others()?;
    let Some(metadata) = metadata else {
        return match (address, data, data_hash) {
            (None, None, None) => Ok(JournalRevision { hash, shown: None }),
            _ => Err(refuse(place, "has no metadata, but more than a hash")),
        };
    };
    match address {
        Some(address) if address == block => {}
        Some(_) => return Err(refuse(place, "names another block's address")),
        None => return Err(refuse(place, "has no blockAddress")),
    }
    let content = match (data, data_hash) {
        (Some(_), Some(_)) => return Err(refuse(place, "has both data and dataHash")),
        (Some(data), None) => ShownContent::Data(data.clone()),
        (None, Some(hash)) => ShownContent::DataHash(read_hash(hash, &format!("{place}.dataHash"))?),
        (None, None) => ShownContent::Deleted,
    };
    Ok(JournalRevision { hash, shown: Some(ShownRevision { metadata: metadata.clone(), content }) })
}

/// QLDB's ids are kept as the texts they are, even those that are none of ours.
fn read_address(value: &Value) -> Result<(String, u64), BlockError> {
    let mut fields = Fields::of(value, "blockAddress")?;
    let address = (fields.text("strandId")?.to_string(), fields.uint("sequenceNo")?);
    fields.no_others()?;
    Ok(address)
}

/// A struct that may be absent, kept as the value that is hashed.
fn part(fields: &mut Fields<'_>, name: &str) -> Result<Option<Value>, BlockError> {
    match fields.optional(name)? {
        None => Ok(None),
        Some(value @ Value::Struct(_)) => Ok(Some(value.clone())),
        Some(_) => Err(refuse(name, "is not a struct")),
    }
}

fn list<'a>(value: &'a Value, place: &str) -> Result<&'a [Value], BlockError> {
    match value {
        Value::List(items) if items.len() <= ITEMS_MAX => Ok(items),
        Value::List(_) => Err(refuse(place, &format!("has more than {ITEMS_MAX} items"))),
        _ => Err(refuse(place, "is not a list")),
    }
}
