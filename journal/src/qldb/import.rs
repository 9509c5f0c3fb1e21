//! Blocks of an exported QLDB ledger as transactions that make them again (docs/format.md, "Imported blocks").
//!
//! The blocks have passed [`ChainVerifier`](ledgerstone_digest::qldb::chain::ChainVerifier); what is refused here holds,
//! but could not be kept: it has a form in which it would not come out again as it went in.

use std::collections::HashMap;
use std::sync::Arc;

use ledgerstone_digest::Id;
use ledgerstone_digest::block::{DocumentInfo, Metadata, OriginInfo, RedactionInfo, TransactionInfo, native_time};
use ledgerstone_digest::ion::{Limits, Value, check, ion_hash};
use ledgerstone_digest::qldb::chain::{ChainError, OpenRedactions};
use ledgerstone_digest::qldb::{ImportedBlock, ImportedRevision, JournalBlock, JournalRevision, ShownContent};
use ledgerstone_digest::redaction::RedactionRecord;
use ledgerstone_digest::rotation::RotationRecord;

use crate::encoded::Data;
use crate::transaction::{ImportedContent, ImportedTransaction, Listed, NewRevision, Transaction};

/// The system table that a revision of our own exports belongs to, by what its data says; `None` if it is of none. The
/// tables of definitions are known to whoever keeps the catalogue.
pub type OfSystem<'a> = &'a dyn Fn(&Value) -> Option<Id>;

/// Takes blocks in order and gives the transactions that make them again.
///
/// Memory grows with the number of documents.
pub struct BlockImporter<'a> {
    of_system: OfSystem<'a>,
    next_position: u64,
    newest: HashMap<Id, Newest>,
    redacted: OpenRedactions,
    /// Revisions whose data was left out since a later block says that it was redacted.
    pub left_out: u64,
}

/// The newest revision of a document.
struct Newest {
    table: Id,
    position: u64,
    deleted: bool,
}

impl<'a> BlockImporter<'a> {
    pub fn new(of_system: OfSystem<'a>) -> BlockImporter<'a> {
        BlockImporter::leaving_out(of_system, OpenRedactions::default())
    }

    /// The same, without the data of these revisions.
    pub fn leaving_out(of_system: OfSystem<'a>, redacted: OpenRedactions) -> BlockImporter<'a> {
        BlockImporter { of_system, next_position: 1, newest: HashMap::new(), redacted, left_out: 0 }
    }

    /// The transaction of the next block.
    pub fn transaction(&mut self, block: &JournalBlock) -> Result<Transaction, ChainError> {
        self.make(block).map_err(|problem| ChainError { block: block.sequence_no, problem })
    }

    fn make(&mut self, block: &JournalBlock) -> Result<Transaction, String> {
        if block.timestamp != native_time(block.timestamp.epoch_ms()) {
            return Err("its blockTimestamp is not in milliseconds with offset Z".to_owned());
        }
        let info = block.transaction_info.as_ref().map(TransactionInfo::from_value).transpose();
        let mut info = info.map_err(|error| error.to_string())?.unwrap_or_default();
        let redaction = block.redaction_info.as_ref().map(RedactionInfo::from_value).transpose();
        let origin = block.origin_info.as_ref().map(read_origin).transpose()?;
        let listed: HashMap<Id, &DocumentInfo> = info.documents.iter().map(|d| (d.document_id, d)).collect();
        let (mut revisions, mut contents) = (Vec::new(), Vec::new());
        let left_out = self.left_out;
        for (i, revision) in block.revisions.iter().enumerate() {
            let (new, content) = self
                .revision(block.sequence_no, revision, &listed, origin.is_some())
                .map_err(|problem| format!("revisions[{i}]: {problem}"))?;
            revisions.push(new);
            contents.push(content);
            self.next_position += 1;
        }
        self.next_position += 1;
        // A redaction of ours takes the texts with it; QLDB's left them.
        if self.left_out > left_out && origin.is_some() {
            info = info.redacted();
        }
        Ok(Transaction {
            id: parse_id(&block.transaction_id, "transactionId")?,
            statements: info.statements,
            revisions,
            origin: origin.unwrap_or_default(),
            redaction: redaction.map_err(|error| error.to_string())?,
            rotation: None,
            imported: Some(Box::new(ImportedTransaction {
                number: block.sequence_no,
                time_ms: block.timestamp.epoch_ms(),
                block_hash: block.block_hash,
                block: ImportedBlock::of(block),
                revisions: contents,
            })),
            payload: Box::new(()),
        })
    }

    fn revision(
        &mut self,
        block: u64,
        revision: &JournalRevision,
        listed: &HashMap<Id, &DocumentInfo>,
        is_ours: bool,
    ) -> Result<(NewRevision, ImportedContent), String> {
        let (imported, metadata) = ImportedRevision::of(revision).map_err(|error| error.to_string())?;
        let (Some(metadata), Some(shown)) = (metadata, &revision.shown) else {
            return Ok((opaque(), ImportedContent { revision: imported, redacted: None }));
        };
        let (data, redacted) = match &shown.content {
            ShownContent::Data(data) => {
                check(data, &Limits::STORED).map_err(|error| format!("its data: {error}"))?;
                (Some(data), None)
            }
            ShownContent::DataHash(hash) => (None, Some(*hash)),
            ShownContent::Deleted => (None, None),
        };
        // Clients count in 64 bits with a sign, and the next version needs a number too.
        if metadata.version >= i64::MAX as u64 {
            return Err(format!("version {} is too high to go on from", metadata.version));
        }
        let listed = listed.get(&metadata.id).copied();
        let table_id = self.table(&metadata, listed, data, is_ours)?;
        let deleted = matches!(shown.content, ShownContent::Deleted);
        let newest = Newest { table: table_id, position: self.next_position, deleted };
        let supersedes = match self.newest.insert(metadata.id, newest) {
            Some(before) if before.deleted => {
                return Err(format!("document {} was deleted before", metadata.id));
            }
            before => before.map(|before| before.position),
        };
        let (data, redacted) = match data {
            Some(data) if self.redacted.names(block, table_id, metadata.id, metadata.version) => {
                self.left_out += 1;
                (None, Some(ion_hash(data)))
            }
            data => (data, redacted),
        };
        let new = NewRevision {
            table_id,
            document_id: metadata.id,
            version: metadata.version,
            supersedes,
            data: data.map(|data| Data::Value(Arc::new(data.clone()))),
            data_hash: None,
            salt: None,
            listed: listed
                .map(|d| Listed { table_name: Arc::clone(&d.table_name), statements: d.statements.as_slice().into() }),
        };
        Ok((new, ImportedContent { revision: imported, redacted }))
    }

    /// The table of a revision: as transactionInfo lists it. Only our own exports have revisions that are not listed.
    fn table(
        &self,
        metadata: &Metadata,
        listed: Option<&DocumentInfo>,
        data: Option<&Value>,
        is_ours: bool,
    ) -> Result<Id, String> {
        let before = self.newest.get(&metadata.id).map(|newest| newest.table);
        let found = match listed {
            Some(listed) if listed.table_id.is_system() || listed.table_id == Id::ZERO => {
                return Err(format!("table {} cannot have documents of users", listed.table_id));
            }
            Some(listed) => Some(listed.table_id),
            None if is_ours => before.or_else(|| data.and_then(|data| self.system_table(data))),
            None => None,
        };
        match (found, before) {
            (None, _) => Err(format!("transactionInfo does not list document {}", metadata.id)),
            (Some(found), Some(before)) if found != before => {
                Err(format!("document {} is of table {found}, but was of table {before}", metadata.id))
            }
            (Some(found), _) => Ok(found),
        }
    }

    fn system_table(&self, data: &Value) -> Option<Id> {
        if RedactionRecord::from_value(data).is_some() {
            return Some(Id::REDACTIONS);
        }
        if RotationRecord::from_value(data).is_some() {
            return Some(Id::KEYS);
        }
        (self.of_system)(data)
    }
}

/// An internal revision of QLDB's, of which only the hash was exported.
fn opaque() -> NewRevision {
    NewRevision {
        table_id: Id::ZERO,
        document_id: Id::ZERO,
        version: 0,
        supersedes: None,
        data: None,
        data_hash: None,
        salt: None,
        listed: None,
    }
}

/// originInfo is an open struct, and what is not known here would be lost.
fn read_origin(value: &Value) -> Result<OriginInfo, String> {
    let origin = OriginInfo::from_value(value).map_err(|error| error.to_string())?;
    match value.as_struct().map(|fields| fields.fields.len()) == origin.to_value().as_struct().map(|f| f.fields.len()) {
        true => Ok(origin),
        false => Err("originInfo has a field that is not known here".to_owned()),
    }
}

fn parse_id(text: &str, place: &str) -> Result<Id, String> {
    text.parse().map_err(|error| format!("{place}: {error}"))
}

/// The strand that exported blocks name.
pub fn strand_of(block: &JournalBlock) -> Result<Id, ChainError> {
    let strand = parse_id(&block.strand_id, "blockAddress.strandId");
    strand.map_err(|problem| ChainError { block: block.sequence_no, problem })
}
