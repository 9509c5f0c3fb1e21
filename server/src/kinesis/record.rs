//! A stream's records on their way to Kinesis: which partition each goes to, and how several become one (KPL's aggregated
//! records: "KPL aggregated record format" in the repository of the Amazon Kinesis Producer Library).
//!
//! Partition keys: QLDB's are not documented. Here a block's summary goes by its transaction's id and a revision by its
//! document's, so that a busy ledger uses all shards and a document's revisions meet in one. In an aggregated record all
//! records have the key of the first: consumers drop those whose key belongs to another shard than the whole.

use bytes::Bytes;
use ledgerstone_digest::ion::{Value, encode};
use ledgerstone_digest::qldb::JournalBlock;
use ledgerstone_digest::qldb::stream::{self, Control};
use md5::{Digest as _, Md5};
use prost::Message as _;

/// What Kinesis takes in one record, its partition key included, unless its stream is set to take more.
pub const RECORD_BYTES: usize = 1 << 20;
/// What a stream of Kinesis can be set to take.
pub const RECORD_BYTES_MAX: usize = 10 << 20;

/// Data of one aggregated record: the KPL's own default.
const AGGREGATE_BYTES: usize = 51_200;
const AGGREGATE_MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
/// Tags, lengths and index of a record among others, at most.
const AGGREGATE_OVERHEAD_BYTES: usize = 16;

/// A record of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub key: String,
    /// Ion binary.
    pub data: Vec<u8>,
    /// The block that it tells of.
    pub block: Option<u64>,
}

/// What Kinesis takes as one record: one of ours, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub data: Bytes,
    /// How many of ours.
    pub records: u64,
    /// The block of the first.
    pub block: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AggregatedRecord {
    #[prost(string, repeated, tag = "1")]
    partition_key_table: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    explicit_hash_key_table: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<AggregatedPart>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AggregatedPart {
    /// Written even if it is 0: readers of proto2 insist.
    #[prost(uint64, required, tag = "1")]
    partition_key_index: u64,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "vec", required, tag = "3")]
    data: Vec<u8>,
}

impl Record {
    /// Whether any stream of Kinesis could take it.
    pub fn can_be_sent(&self) -> bool {
        self.key.len() + self.data.len() <= RECORD_BYTES_MAX
    }
}

/// That a stream begins or ends.
pub fn control(arn: &str, stream_id: &str, control: Control) -> Record {
    Record { key: stream_id.to_owned(), data: encode(&stream::control(arn, control)), block: None }
}

/// The records of a block, in order.
pub fn of_block(arn: &str, block: &JournalBlock) -> Vec<Record> {
    let records = stream::of_block(arn, block);
    let record = |record: Value| {
        let document = member(&record, &["payload", "revision", "metadata", "id"]);
        let key = document.and_then(Value::as_text).unwrap_or(&block.transaction_id).to_owned();
        Record { key, data: encode(&record), block: Some(block.sequence_no) }
    };
    records.into_iter().map(record).collect()
}

/// What is sent for these records, in their order.
pub fn pack(records: Vec<Record>, aggregated: bool) -> Vec<Entry> {
    let mut entries = Vec::new();
    let (mut together, mut bytes) = (Vec::new(), 0);
    for record in records {
        let size = record.data.len() + AGGREGATE_OVERHEAD_BYTES;
        if !aggregated || bytes + size > AGGREGATE_BYTES {
            entries.extend(aggregate(std::mem::take(&mut together)));
            bytes = 0;
        }
        bytes += size;
        together.push(record);
    }
    entries.extend(aggregate(together));
    entries
}

/// One entry of all of these; a record by itself is sent as it is.
fn aggregate(mut records: Vec<Record>) -> Option<Entry> {
    let (count, block) = (records.len() as u64, records.first()?.block);
    if count == 1 {
        let Record { key, data, .. } = records.pop()?;
        return Some(Entry { key, data: data.into(), records: 1, block });
    }
    let key = records.first()?.key.clone();
    let part = |record: Record| AggregatedPart { data: record.data, ..AggregatedPart::default() };
    let message = AggregatedRecord {
        partition_key_table: vec![key.clone()],
        explicit_hash_key_table: Vec::new(),
        records: records.into_iter().map(part).collect(),
    }
    .encode_to_vec();
    let sum = Md5::digest(&message);
    let data = [&AGGREGATE_MAGIC[..], &message, &sum[..]].concat();
    Some(Entry { key, data: data.into(), records: count, block })
}

impl Entry {
    /// As Kinesis counts it.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.data.len()
    }
}

fn member<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.as_struct()?.get(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u64, bytes: usize) -> Record {
        Record { key: format!("key {n}"), data: vec![n as u8; bytes], block: Some(n) }
    }

    /// A number of protobuf, and what follows it.
    fn varint(bytes: &[u8]) -> (u64, &[u8]) {
        let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
        let number = bytes[..=end].iter().rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f));
        (number, &bytes[end + 1..])
    }

    /// The bytes of a field that has a length, and what follows it.
    fn field(tag: u8, bytes: &[u8]) -> (&[u8], &[u8]) {
        assert_eq!(bytes[0], tag << 3 | 2);
        let (length, rest) = varint(&bytes[1..]);
        rest.split_at(usize::try_from(length).unwrap())
    }

    /// Taken apart by the letter of the format.
    fn apart(data: &[u8]) -> (String, Vec<Vec<u8>>) {
        assert_eq!(data[..4], [0xf3, 0x89, 0x9a, 0xc2]);
        let (message, sum) = data[4..].split_at(data.len() - 20);
        assert_eq!(Md5::digest(message)[..], *sum);
        let (key, mut rest) = field(1, message);
        let mut records = Vec::new();
        while !rest.is_empty() {
            let (part, more) = field(3, rest);
            assert_eq!(part[..2], [1 << 3, 0], "the index of the key is there, though it is 0");
            let (data, end) = field(3, &part[2..]);
            assert!(end.is_empty());
            records.push(data.to_vec());
            rest = more;
        }
        (String::from_utf8(key.to_vec()).unwrap(), records)
    }

    #[test]
    fn records_are_aggregated_as_consumers_take_them_apart() {
        let records: Vec<Record> = (0..300).map(|n| record(n, 1 + n as usize)).collect();
        let entries = pack(records.clone(), true);
        assert_eq!(entries.len(), 1);
        let (key, parts) = apart(&entries[0].data);
        assert_eq!((entries[0].key.as_str(), entries[0].records, entries[0].block), ("key 0", 300, Some(0)));
        assert_eq!(key, "key 0");
        assert_eq!(parts, records.into_iter().map(|record| record.data).collect::<Vec<_>>());
    }

    #[test]
    fn an_aggregated_record_has_a_bound_and_nothing_is_lost_at_it() {
        let sizes = [20_000, 20_000, 20_000, 60_000, 1, 51_184, 51_185, 5, 5];
        let records: Vec<Record> = (0..).zip(sizes).map(|(n, bytes)| record(n, bytes)).collect();
        let entries = pack(records, true);
        let shape: Vec<(u64, Option<u64>)> = entries.iter().map(|entry| (entry.records, entry.block)).collect();
        let one = |block| (1, Some(block));
        assert_eq!(shape, [(2, Some(0)), one(2), one(3), one(4), one(5), one(6), (2, Some(7))]);
        assert!(entries.iter().all(|entry| entry.records == 1 || entry.bytes() < AGGREGATE_BYTES + 200));
        assert_eq!(entries[2].data, vec![3; 60_000], "by itself as it is");
    }

    #[test]
    fn without_aggregation_each_record_is_one_under_its_own_key() {
        let entries = pack(vec![record(1, 3), record(2, 0)], false);
        let entry = |n: u64, data: &'static [u8]| Entry {
            key: format!("key {n}"),
            data: Bytes::from_static(data),
            records: 1,
            block: Some(n),
        };
        assert_eq!(entries, [entry(1, &[1, 1, 1]), entry(2, &[])]);
    }
}
