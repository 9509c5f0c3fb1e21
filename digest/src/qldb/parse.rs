//! The Ion struct of a block, as GetBlock and journal exports hand it out, read back ("Journal contents in Amazon QLDB" in
//! QLDB's developer guide). Nothing is compared with a hash here: that is [`super::chain`]'s part.
//!
//! A field that is not known, or comes twice, is refused: whoever keeps the block could not give it back.

use super::{JournalBlock, JournalRevision, ShownContent, ShownRevision};
use crate::Hash;
use crate::block::BlockError;
use crate::ion::{Int, Struct, Value};

/// Hashes in an entriesHashList, and revisions in a block. QLDB's own had about four and a few hundred.
const ITEMS_MAX: usize = 1 << 24;

impl JournalBlock {
    /// The block that [`JournalBlock::to_value`] makes this value of.
    pub fn from_value(value: &Value) -> Result<JournalBlock, BlockError> {
        let mut fields = Taken::of(value, "block")?;
        let address = fields.need("blockAddress")?;
        let (strand_id, sequence_no) = read_address(address, "blockAddress")?;
        let mut revisions = Vec::new();
        if let Some(listed) = fields.take("revisions") {
            for (i, revision) in list(listed, "revisions")?.iter().enumerate() {
                revisions.push(read_revision(revision, address, &format!("revisions[{i}]"))?);
            }
        }
        let mut entries_hash_list = Vec::new();
        for (i, hash) in list(fields.need("entriesHashList")?, "entriesHashList")?.iter().enumerate() {
            entries_hash_list.push(read_hash(hash, &format!("entriesHashList[{i}]"))?);
        }
        let timestamp = match fields.need("blockTimestamp")? {
            Value::Timestamp(timestamp) => timestamp.clone(),
            _ => return Err(refuse("blockTimestamp", "is not a timestamp")),
        };
        let previous = fields.take("previousBlockHash").filter(|value| !value.is_null());
        let block = JournalBlock {
            strand_id,
            sequence_no,
            transaction_id: text(fields.need("transactionId")?, "transactionId")?.to_owned(),
            timestamp,
            block_hash: read_hash(fields.need("blockHash")?, "blockHash")?,
            entries_hash: read_hash(fields.need("entriesHash")?, "entriesHash")?,
            previous_block_hash: previous.map(|value| read_hash(value, "previousBlockHash")).transpose()?,
            entries_hash_list,
            transaction_info: fields.part("transactionInfo")?,
            redaction_info: fields.part("redactionInfo")?,
            origin_info: fields.part("originInfo")?,
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
        let mut fields = Taken::of(&self.metadata, "metadata")?;
        let id = text(fields.need("id")?, "metadata.id")?;
        let version = uint(fields.need("version")?, "metadata.version")?;
        if !matches!(fields.need("txTime")?, Value::Timestamp(_)) {
            return Err(refuse("metadata.txTime", "is not a timestamp"));
        }
        if text(fields.need("txId")?, "metadata.txId")? != transaction_id {
            return Err(refuse("metadata.txId", "is not the block's transaction"));
        }
        fields.no_others()?;
        Ok((id, version))
    }
}

fn read_revision(value: &Value, block: &Value, place: &str) -> Result<JournalRevision, BlockError> {
    let mut fields = Taken::of(value, place)?;
    let hash = read_hash(fields.need("hash")?, &format!("{place}.hash"))?;
    let address = fields.take("blockAddress");
    let (data, data_hash) = (fields.take("data"), fields.take("dataHash"));
    let metadata = fields.take("metadata");
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

fn read_address(value: &Value, place: &str) -> Result<(String, u64), BlockError> {
    let mut fields = Taken::of(value, place)?;
    let strand = text(fields.need("strandId")?, &format!("{place}.strandId"))?.to_owned();
    let number = uint(fields.need("sequenceNo")?, &format!("{place}.sequenceNo"))?;
    fields.no_others()?;
    Ok((strand, number))
}

/// The fields of a struct that have not been taken yet.
struct Taken<'a> {
    place: &'a str,
    left: Vec<(Option<&'a str>, &'a Value)>,
}

impl<'a> Taken<'a> {
    fn of(value: &'a Value, place: &'a str) -> Result<Self, BlockError> {
        match value {
            Value::Struct(Struct { fields }) => {
                Ok(Taken { place, left: fields.iter().map(|(name, value)| (name.text(), value)).collect() })
            }
            _ => Err(refuse(place, "is not a struct")),
        }
    }

    fn take(&mut self, name: &str) -> Option<&'a Value> {
        let at = self.left.iter().position(|(found, _)| *found == Some(name))?;
        Some(self.left.remove(at).1)
    }

    fn need(&mut self, name: &str) -> Result<&'a Value, BlockError> {
        self.take(name).ok_or_else(|| refuse(self.place, &format!("has no field {name}")))
    }

    /// A struct that may be absent, kept as the value that is hashed.
    fn part(&mut self, name: &str) -> Result<Option<Value>, BlockError> {
        match self.take(name) {
            None => Ok(None),
            Some(value @ Value::Struct(_)) => Ok(Some(value.clone())),
            Some(_) => Err(refuse(name, "is not a struct")),
        }
    }

    fn no_others(&self) -> Result<(), BlockError> {
        match self.left.first() {
            None => Ok(()),
            Some((name, _)) => {
                let problem = format!("has the field {:?}, unknown or for the second time", name.unwrap_or("$0"));
                Err(refuse(self.place, &problem))
            }
        }
    }
}

fn list<'a>(value: &'a Value, place: &str) -> Result<&'a [Value], BlockError> {
    match value {
        Value::List(items) if items.len() <= ITEMS_MAX => Ok(items),
        Value::List(_) => Err(refuse(place, &format!("has more than {ITEMS_MAX} items"))),
        _ => Err(refuse(place, "is not a list")),
    }
}

fn text<'a>(value: &'a Value, place: &str) -> Result<&'a str, BlockError> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(refuse(place, "is not a string")),
    }
}

fn uint(value: &Value, place: &str) -> Result<u64, BlockError> {
    let number = if let Value::Int(number) = value { Int::to_u64(number) } else { None };
    number.ok_or_else(|| refuse(place, "is not an integer from 0 to 2^64 − 1"))
}

fn read_hash(value: &Value, place: &str) -> Result<Hash, BlockError> {
    let hash = if let Value::Blob(bytes) = value { Hash::from_slice(bytes) } else { None };
    hash.ok_or_else(|| refuse(place, "is not a blob of 32 bytes"))
}

fn refuse(place: &str, problem: &str) -> BlockError {
    BlockError { place: place.to_owned(), problem: problem.to_owned() }
}
