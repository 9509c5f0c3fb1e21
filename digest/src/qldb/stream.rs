//! A journal stream's records: a block as one BLOCK_SUMMARY, and a REVISION_DETAILS for each revision of a user's table
//! ("Journal data streams from Amazon QLDB" in its developer guide).

use std::collections::HashMap;

use super::journal_block::{JournalBlock, JournalRevision, structure};
use crate::block::hash_value;
use crate::ion::{Struct, Value};

/// What a CONTROL record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The first record of a stream.
    Created,
    /// The last record of a stream that has an end.
    Completed,
}

/// A CONTROL record.
pub fn control(stream_arn: &str, control: Control) -> Value {
    let kind = match control {
        Control::Created => "CREATED",
        Control::Completed => "COMPLETED",
    };
    record(stream_arn, "CONTROL", structure([("controlRecordType", Value::string(kind))]))
}

/// The records of a block, in order.
pub fn of_block(stream_arn: &str, block: &JournalBlock) -> Vec<Value> {
    let tables = tables(block);
    let summaries = block.revisions.iter().map(|revision| {
        let id = table_of(&tables, revision).map(|(id, _)| ("documentId", Value::string(id)));
        structure([("hash", hash_value(&revision.hash))].into_iter().chain(id))
    });
    let Value::Struct(mut summary) = block.to_value() else { return Vec::new() };
    summary.fields.retain(|(name, _)| name.text() != Some("revisions"));
    if !block.revisions.is_empty() {
        summary.fields.push(("revisionSummaries".into(), Value::List(summaries.collect())));
    }
    let mut records = vec![record(stream_arn, "BLOCK_SUMMARY", Value::Struct(summary))];
    let address = block.address();
    for revision in &block.revisions {
        if let Some((_, table)) = table_of(&tables, revision) {
            let payload = [("tableInfo", table.clone()), ("revision", revision.value(&address))];
            records.push(record(stream_arn, "REVISION_DETAILS", structure(payload)));
        }
    }
    records
}

fn record(stream_arn: &str, kind: &str, payload: Value) -> Value {
    structure([("qldbStreamArn", Value::string(stream_arn)), ("recordType", Value::string(kind)), ("payload", payload)])
}

/// The document of a revision of a user's table, and its table.
fn table_of<'a>(tables: &'a HashMap<&str, Value>, revision: &'a JournalRevision) -> Option<(&'a str, &'a Value)> {
    let id = revision.document_id()?;
    Some((id, tables.get(id)?))
}

/// `tableInfo` of every document that transactionInfo lists: those of users' tables.
fn tables(block: &JournalBlock) -> HashMap<&str, Value> {
    let info = block.transaction_info.as_ref().and_then(Value::as_struct);
    let documents = info.and_then(|info| info.get("documents")).and_then(Value::as_struct);
    let listed = documents.into_iter().flat_map(|documents: &Struct| &documents.fields);
    listed
        .filter_map(|(id, document)| {
            let document = document.as_struct()?;
            let part = |name| document.get(name).cloned();
            let info = structure([("tableId", part("tableId")?), ("tableName", part("tableName")?)]);
            Some((id.text()?, info))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hash;
    use crate::ion::{Limits, parse, to_text};
    use crate::qldb::{ShownContent, ShownRevision};

    fn value(text: &str) -> Value {
        parse(text, &Limits::DOCUMENT).unwrap()
    }

    #[test]
    fn users_revisions_are_detailed_and_systems_are_summed_up() {
        let revision = |id: &str, content| JournalRevision {
            hash: Hash([3; 32]),
            shown: Some(ShownRevision { metadata: value(&format!("{{id:\"{id}\",version:0}}")), content }),
        };
        let block = JournalBlock {
            strand_id: "s".to_owned(),
            sequence_no: 7,
            transaction_id: "t".to_owned(),
            timestamp: crate::block::native_time(0),
            block_hash: Hash([1; 32]),
            entries_hash: Hash([2; 32]),
            previous_block_hash: None,
            entries_hash_list: Vec::new(),
            transaction_info: Some(value(
                "{statements:[],documents:{a:{tableName:\"T\",tableId:\"i\",statements:[0]}}}",
            )),
            redaction_info: None,
            origin_info: None,
            revisions: vec![
                revision("system", ShownContent::Data(value("{n:1}"))),
                revision("a", ShownContent::Data(value("{n:2}"))),
                JournalRevision { hash: Hash([4; 32]), shown: None },
            ],
        };
        let records = of_block("arn", &block);
        assert_eq!(records.len(), 2);
        let text = to_text(&records[0]);
        assert!(text.contains("recordType:\"BLOCK_SUMMARY\"") && !text.contains("revisions:"), "{text}");
        assert_eq!(text.matches("documentId").count(), 1, "{text}");
        let hash = to_text(&hash_value(&Hash([3; 32])));
        let expected = format!(
            "{{qldbStreamArn:\"arn\",recordType:\"REVISION_DETAILS\",payload:{{tableInfo:{{tableId:\"i\",tableName:\"T\"}},\
             revision:{{blockAddress:{{strandId:\"s\",sequenceNo:7}},hash:{hash},data:{{n:2}},metadata:{{id:\"a\",version:0}}}}}}}}"
        );
        assert_eq!(records[1], value(&expected));
        assert_eq!(
            control("arn", Control::Completed),
            value("{qldbStreamArn:\"arn\",recordType:\"CONTROL\",payload:{controlRecordType:\"COMPLETED\"}}")
        );
    }
}
