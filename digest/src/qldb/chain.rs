//! Exported blocks in a row: every hash computed again, every block following from the one before (docs/format.md, "QLDB's
//! hashes"). It is what can be known of QLDB's blocks, and no more: a digest kept from elsewhere says whether they are the
//! ones that were promised.
//!
//! Memory grows with the number of documents: their ids and newest versions.

use std::collections::{HashMap, HashSet};

use super::{
    DeletionForm, JournalBlock, JournalRevision, ShownContent, ShownRevision, dot2, entries_hash, merkle,
    statement_digest,
};
use crate::block::{BlockError, RedactionInfo, TransactionInfo};
use crate::ion::{Struct, Value, ion_hash};
use crate::verifier::check_data;
use crate::{Hash, Id};

/// What is wrong with a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("block {block}: {problem}")]
pub struct ChainError {
    pub block: u64,
    pub problem: String,
}

/// What was found in blocks that hold, and what could not be computed again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChainReport {
    pub blocks: u64,
    pub revisions: u64,
    /// Revisions of which only the hash is there.
    pub hash_only: u64,
    /// Revisions whose data was redacted.
    pub redacted: u64,
    /// Deletions whose hash is IH(metadata).
    pub deleted: u64,
    /// Deletions whose hash is IH(metadata) . IH(null).
    pub deleted_as_null: u64,
    /// Deletions whose hash is IH(metadata) . H of nothing.
    pub deleted_as_nothing: u64,
    /// Revisions whose version does not follow from the document's last one that is there.
    pub version_gaps: u64,
    pub statements: u64,
    /// Statements whose digest is not that of the text alone, or whose text was redacted.
    pub digests_not_recomputed: u64,
    /// Blocks without transactionInfo: what they changed need not be shown, and only their hashes say that they did something.
    pub without_statements: u64,
}

/// Revisions that a redactionInfo names although their data was shown: they were exported before they were redacted. Who
/// keeps the blocks has to leave that data out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenRedactions {
    /// Block, table, document and version, and the block that names them.
    named: HashMap<(u64, Id, Id, u64), u64>,
    seen: HashSet<(u64, Id, Id, u64)>,
}

impl OpenRedactions {
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// Whether the data of this revision has to be left out.
    pub fn names(&self, block: u64, table: Id, document: Id, version: u64) -> bool {
        self.named.contains_key(&(block, table, document, version))
    }

    /// A block that is read again, to see whether the revisions are there at all.
    pub fn see(&mut self, block: &JournalBlock) {
        if !self.named.keys().any(|(number, ..)| *number == block.sequence_no) {
            return;
        }
        let Ok(listed) = listed_documents(block) else { return };
        let shown = block.revisions.iter().filter_map(|revision| revision.shown.as_ref());
        for shown in shown.filter(|shown| !matches!(shown.content, ShownContent::Deleted)) {
            let Ok((id, version)) = shown.identity(&block.transaction_id) else { continue };
            let table = listed.get(id).copied().flatten().and_then(|table| table.parse().ok());
            if let (Some(table), Ok(document)) = (table, id.parse()) {
                self.seen.insert((block.sequence_no, table, document, version));
            }
        }
    }

    /// Every block was seen: a revision that is not there was named.
    pub fn check(&self) -> Result<(), ChainError> {
        let missing = self.named.iter().filter(|(key, _)| !self.seen.contains(key)).min_by_key(|(_, by)| **by);
        let Some(((block, table, document, version), by)) = missing else { return Ok(()) };
        let problem = format!(
            "redactionInfo names version {version} of document {document} of table {table} in block {block}, where no \
             such revision with data is shown"
        );
        Err(ChainError { block: *by, problem })
    }
}

/// Takes blocks from block 0 on.
#[derive(Debug, Clone, Default)]
pub struct ChainVerifier {
    strand: Option<String>,
    last: Option<Hash>,
    versions: HashMap<Box<str>, u64>,
    /// Block, table, document and version of data that is not there, until a redactionInfo lists it.
    missing: HashSet<(u64, Box<str>, Box<str>, u64)>,
    /// What redactionInfos have listed.
    redacted: HashSet<(u64, Id, Id, u64)>,
    open: OpenRedactions,
    /// Blocks of which a statement's text is not there, likewise.
    texts_missing: HashSet<u64>,
    report: ChainReport,
}

impl ChainVerifier {
    pub fn new() -> ChainVerifier {
        ChainVerifier::default()
    }

    /// What was found so far.
    pub fn report(&self) -> &ChainReport {
        &self.report
    }

    /// What redactionInfos named so far although its data was shown.
    pub fn open_redactions(&self) -> &OpenRedactions {
        &self.open
    }

    /// The next block. After an error the verifier is of no further use.
    pub fn block(&mut self, block: &JournalBlock) -> Result<(), ChainError> {
        self.follows(block)
            .and_then(|()| check_hashes(block))
            .and_then(|()| self.revisions(block))
            .and_then(|()| self.statements(block))
            .and_then(|()| self.redactions(block))
            .map_err(|problem| ChainError { block: block.sequence_no, problem })?;
        self.strand.get_or_insert_with(|| block.strand_id.clone());
        self.last = Some(block.block_hash);
        self.report.blocks += 1;
        Ok(())
    }

    /// The end: what is not there was redacted.
    pub fn finish(self) -> Result<ChainReport, ChainError> {
        let data = self.missing.iter().min_by_key(|(block, ..)| *block);
        if let Some((block, _, document, _)) = data {
            let problem = format!("the data of document {document} is not there, and no redactionInfo lists it");
            return Err(ChainError { block: *block, problem });
        }
        match self.texts_missing.iter().min() {
            Some(&block) => {
                let problem = "a statement's text is not there, and no redactionInfo lists a revision of the block";
                Err(ChainError { block, problem: problem.to_owned() })
            }
            None => Ok(self.report),
        }
    }

    fn redactions(&mut self, block: &JournalBlock) -> Result<(), String> {
        let Some(info) = &block.redaction_info else { return Ok(()) };
        let info = RedactionInfo::from_value(info).map_err(|error| error.to_string())?;
        for (i, named) in info.revisions.iter().enumerate() {
            let refuse = |problem: &str| Err(format!("redactionInfo.revisions[{i}] {problem}"));
            if named.strand.to_string() != block.strand_id || named.sequence_no > block.sequence_no {
                return refuse("names a block that does not stand before this one");
            }
            if named.table_id.is_system() {
                return refuse("names a table of the system, whose revisions stay");
            }
            self.texts_missing.remove(&named.sequence_no);
            let key = (named.sequence_no, named.table_id, named.document_id, named.version);
            let (table, document) = (named.table_id.to_string(), named.document_id.to_string());
            let was_missing = self.missing.remove(&(key.0, table.into(), document.into(), key.3));
            if self.redacted.insert(key) && !was_missing {
                self.open.named.insert(key, block.sequence_no);
            }
        }
        Ok(())
    }

    fn follows(&self, block: &JournalBlock) -> Result<(), String> {
        let expected = self.report.blocks;
        if block.sequence_no != expected {
            return Err(match expected {
                0 => "the export does not start at block 0; export the whole journal".to_owned(),
                _ => format!("block {expected} should stand here"),
            });
        }
        if self.strand.as_ref().is_some_and(|strand| *strand != block.strand_id) {
            return Err(format!("its strand is {:?}, the blocks before are of another", block.strand_id));
        }
        match (self.last, block.previous_block_hash) {
            (last, previous) if last == previous => Ok(()),
            (Some(last), _) => Err(format!("previousBlockHash is not {last}, the hash of the block before")),
            (None, _) => Err("block 0 has a previousBlockHash".to_owned()),
        }
    }

    fn revisions(&mut self, block: &JournalBlock) -> Result<(), String> {
        let listed = listed_documents(block)?;
        let mut shown = HashSet::new();
        for (i, revision) in block.revisions.iter().enumerate() {
            let at = |problem: String| format!("revisions[{i}]: {problem}");
            self.report.revisions += 1;
            let Some(seen) = &revision.shown else {
                self.report.hash_only += 1;
                continue;
            };
            let deletion = check_revision(revision).map_err(at)?;
            self.count(seen, deletion);
            let (id, version) = seen.identity(&block.transaction_id).map_err(|error| at(error.to_string()))?;
            if !shown.insert(id) {
                return Err(at(format!("document {id} for the second time")));
            }
            let expected = match self.versions.get(id) {
                Some(last) if version <= *last => {
                    return Err(at(format!("version {version} of document {id} stands behind version {last}")));
                }
                last => last.map_or(0, |last| last + 1),
            };
            if matches!(seen.content, ShownContent::DataHash(_)) {
                // No redactionInfo names a table that is not known.
                let table = listed.get(id).copied().flatten().unwrap_or_default();
                self.missing.insert((block.sequence_no, table.into(), id.into(), version));
            }
            self.report.version_gaps += u64::from(version != expected);
            self.versions.insert(id.into(), version);
        }
        // The list of hashes may hold revisions behind one hash: what a statement changed has to be shown.
        for document in listed.keys() {
            if !shown.contains(document) {
                return Err(format!("transactionInfo lists document {document}, but no revision of it is shown"));
            }
        }
        Ok(())
    }

    fn count(&mut self, shown: &ShownRevision, deletion: Option<DeletionForm>) {
        self.report.redacted += u64::from(matches!(shown.content, ShownContent::DataHash(_)));
        match deletion {
            None => {}
            Some(DeletionForm::Metadata) => self.report.deleted += 1,
            Some(DeletionForm::Null) => self.report.deleted_as_null += 1,
            Some(DeletionForm::Nothing) => self.report.deleted_as_nothing += 1,
        }
    }

    fn statements(&mut self, block: &JournalBlock) -> Result<(), String> {
        self.report.without_statements += u64::from(block.transaction_info.is_none());
        let Some(info) = block.transaction_info.as_ref().and_then(Value::as_struct) else { return Ok(()) };
        let Some(Value::List(statements)) = info.get("statements") else { return Ok(()) };
        for statement in statements {
            self.report.statements += 1;
            let fields = statement.as_struct();
            let text = fields.and_then(|f| f.get("statement")).and_then(Value::as_text);
            let digest = fields.and_then(|f| f.get("statementDigest"));
            let same = matches!((text, digest), (Some(text), Some(Value::Blob(digest)))
                if statement_digest(text, &[]).0[..] == digest[..]);
            self.report.digests_not_recomputed += u64::from(!same);
            if text.is_none() {
                self.texts_missing.insert(block.sequence_no);
            }
        }
        Ok(())
    }
}

/// IH(transactionInfo); a text that was redacted counts with the hash that stays of its field.
pub fn transaction_info_hash(info: &Value) -> Result<Hash, BlockError> {
    let Some(Value::List(statements)) = info.as_struct().and_then(|fields| fields.get("statements")) else {
        return Ok(ion_hash(info));
    };
    let redacted = |s: &Value| s.as_struct().is_some_and(|fields| fields.get("statementHash").is_some());
    match statements.iter().any(redacted) {
        true => Ok(TransactionInfo::from_value(info)?.ion_hash()),
        false => Ok(ion_hash(info)),
    }
}

/// What can be seen of a block that stands alone: that its own hashes hold.
pub fn check_block(block: &JournalBlock) -> Result<(), ChainError> {
    let revisions = block.revisions.iter().enumerate();
    let mut revisions =
        revisions.map(|(i, r)| check_revision(r).map(drop).map_err(|problem| format!("revisions[{i}]: {problem}")));
    let checked = check_hashes(block).and_then(|()| revisions.try_for_each(|checked| checked));
    checked.map_err(|problem| ChainError { block: block.sequence_no, problem })
}

/// The revision has its hash; of a deletion it says in which form.
fn check_revision(revision: &JournalRevision) -> Result<Option<DeletionForm>, String> {
    let Some(shown) = &revision.shown else { return Ok(None) };
    let metadata = ion_hash(&shown.metadata);
    let data = match &shown.content {
        ShownContent::Data(data) => {
            // The hash is the same with metadata and data in each other's place.
            check_data(data).map_err(|error| error.to_string())?;
            Some(ion_hash(data))
        }
        ShownContent::DataHash(hash) => Some(*hash),
        ShownContent::Deleted => None,
    };
    let wrong = || "metadata and data do not have this hash".to_owned();
    match data {
        Some(data) if dot2(metadata, data) == revision.hash => Ok(None),
        Some(_) => Err(wrong()),
        // QLDB's rule for deletions was never published.
        None => DeletionForm::of(metadata, revision.hash).map(Some).ok_or_else(wrong),
    }
}

fn check_hashes(block: &JournalBlock) -> Result<(), String> {
    if super::block_hash(block.entries_hash, block.previous_block_hash) != block.block_hash {
        return Err("blockHash is not that of entriesHash and previousBlockHash".to_owned());
    }
    if entries_hash(&block.entries_hash_list) != Some(block.entries_hash) {
        return Err("entriesHash is not that of entriesHashList".to_owned());
    }
    let listed = |name: &str, hash: Hash| match block.entries_hash_list.contains(&hash) {
        true => Ok(()),
        false => Err(format!("entriesHashList does not hold the hash of {name}")),
    };
    let hashes: Vec<Hash> = block.revisions.iter().map(|revision| revision.hash).collect();
    merkle(&hashes).map_or(Ok(()), |root| listed("the revisions", root))?;
    if let Some(info) = &block.transaction_info {
        listed("transactionInfo", transaction_info_hash(info).map_err(|error| error.to_string())?)?;
    }
    block.redaction_info.as_ref().map_or(Ok(()), |info| listed("redactionInfo", ion_hash(info)))?;
    block.origin_info.as_ref().map_or(Ok(()), |info| listed("originInfo", ion_hash(info)))
}

/// The ids of the documents that transactionInfo says were changed, and of their tables.
fn listed_documents(block: &JournalBlock) -> Result<HashMap<&str, Option<&str>>, String> {
    let info = block.transaction_info.as_ref().and_then(Value::as_struct);
    match info.and_then(|info| info.get("documents")) {
        None => Ok(HashMap::new()),
        Some(Value::Struct(Struct { fields })) => {
            let mut listed = HashMap::with_capacity(fields.len());
            for (name, document) in fields {
                let name = name.text().ok_or("transactionInfo.documents has a name without text")?;
                let table = document.as_struct().and_then(|fields| fields.get("tableId")).and_then(Value::as_text);
                if listed.insert(name, table).is_some() {
                    return Err(format!("transactionInfo lists document {name} twice"));
                }
            }
            Ok(listed)
        }
        Some(_) => Err("transactionInfo.documents is not a struct".to_owned()),
    }
}
