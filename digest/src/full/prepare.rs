//! What full verification computes of a block before it looks at the blocks before: metadata, commitments, leaves and
//! QLDB's hashes (docs/format.md, "Full verification").
//!
//! It is most of the work, and needs nothing but the block: other threads can do it ahead, revision by revision where a
//! block is large. Hashes of what stays the same from revision to revision are kept and not computed again.

use std::collections::HashMap;

use super::{Failure, FullBlock, FullData, FullRevision, RevisionKey};
use crate::block::{DocumentInfo, Metadata, OriginInfo, RedactionInfo, StatementInfo, StatementText};
use crate::hash::Hash;
use crate::id::Id;
use crate::ion::{Hasher, Value};
use crate::leaf::{Blind, BlockLeaf, RevisionContent, RevisionLeaf, RevisionPlace};
use crate::qldb::{self, Entries, ImportedBlock, ImportedRevision};
use crate::redaction::RedactionRecord;
use crate::repeated::RepeatedFields;
use crate::rotation::RotationRecord;
use crate::tree;
use crate::verifier::check_data;

/// A block without its revisions.
#[derive(Debug, Clone, Copy)]
pub struct Heading<'a> {
    /// The strand.
    pub strand: Id,
    /// The block's number.
    pub number: u64,
    /// The transaction.
    pub transaction_id: Id,
    /// The block's time.
    pub time_ms: i64,
    /// The block leaf's blind.
    pub blind: Blind,
    /// The position of its first leaf.
    pub first: u64,
    /// The statements of transactionInfo.
    pub statements: &'a [StatementInfo],
    /// IH(originInfo).
    pub origin_info_hash: Hash,
    /// redactionInfo.
    pub redaction_info: Option<&'a RedactionInfo>,
    /// The block hash, where it is stored.
    pub block_hash: Option<Hash>,
    /// What it has beside if it was imported. Then its revisions are imported ones.
    pub imported: Option<&'a ImportedBlock>,
}

/// How transactionInfo lists a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing<'a> {
    /// The table's name.
    pub table_name: &'a str,
    /// Indexes of statements.
    pub statements: &'a [u32],
}

/// A revision whose hashes were computed.
#[derive(Debug, Clone)]
pub struct PreparedRevision {
    /// Its leaf.
    pub leaf: RevisionLeaf,
    /// The hash of the leaf.
    pub leaf_hash: Hash,
    pub(super) position: u64,
    revision_hash: Hash,
    /// The hash of its field in transactionInfo's `documents`.
    listed: Option<Hash>,
    /// Only the hash of its data is there.
    pub(super) missing: bool,
    /// The position where the record of its redaction is said to stand; `None` if nothing is said.
    pub(super) record: Option<u64>,
    /// Nothing but its QLDB hash is known.
    pub(super) opaque: bool,
    /// What it says, in a table of the system that is read here.
    pub(super) says: Option<Box<Says>>,
}

/// What a revision of a table of the system says.
#[derive(Debug, Clone)]
pub(super) enum Says {
    /// A record of a redaction names this revision.
    Redacted(RevisionKey),
    /// The table with the document's id has this name.
    TableName(Box<str>),
    /// The ledger's key changes.
    Rotation(Box<RotationRecord>),
}

/// What a block's hashes are made of, gathered from its revisions in order.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    documents: Vec<Id>,
    hashes: Vec<Hash>,
    listed: Vec<Hash>,
    records: Vec<RevisionKey>,
}

/// Redactions that happened before the import are recorded in QLDB's way: by the redactionInfo of a block.
fn redacted_before(block: &Heading<'_>) -> Vec<RevisionKey> {
    let listed = block.redaction_info.filter(|_| block.imported.is_some()).map_or(&[][..], |info| &info.revisions);
    listed.iter().map(|r| (r.sequence_no, r.table_id, r.document_id, r.version)).collect()
}

/// A block whose hashes were computed, as far as they do not depend on the blocks before. Its revisions are beside it.
#[derive(Debug, Clone)]
pub struct PreparedBlock {
    pub(super) leaf: BlockLeaf,
    pub(super) blind: Blind,
    pub(super) entries: Entries,
    pub(super) block_hash: Option<Hash>,
    /// The revisions that an imported block says were redacted.
    pub(super) redacted: Vec<RevisionKey>,
    pub(super) statements: u64,
    pub(super) digests_not_recomputed: u64,
    pub(super) texts_redacted: u64,
}

/// Computes hashes, block after block with the same memory.
#[derive(Debug, Default)]
pub struct Preparer {
    hasher: Hasher,
    known: Known,
}

/// What was hashed last, and its hash. Each is used again only for exactly the same.
#[derive(Debug, Default)]
struct Known {
    fields: RepeatedFields,
    origin: Option<(OriginInfo, Hash)>,
    text: Option<(Box<str>, TextHashes)>,
}

/// Of a statement's text.
#[derive(Debug, Clone, Copy)]
struct TextHashes {
    /// Of the field `statement`.
    field: Hash,
    /// The digest of a statement without parameters.
    digest: Hash,
}

impl PreparedRevision {
    /// What is stored says where the record of its redaction stands: 0 if it was redacted before it was imported.
    pub fn with_record(self, position: u64) -> PreparedRevision {
        PreparedRevision { record: Some(position), ..self }
    }
}

impl PreparedRevision {
    /// An imported revision of which only QLDB's hash is known.
    fn opaque(leaf: RevisionLeaf, revision_hash: Hash, position: u64) -> PreparedRevision {
        PreparedRevision {
            leaf,
            leaf_hash: tree::leaf_hash(&leaf.encode()),
            position,
            revision_hash,
            listed: None,
            missing: false,
            record: None,
            opaque: true,
            says: None,
        }
    }
}

impl Gathered {
    /// The next revision.
    pub fn push(&mut self, revision: &PreparedRevision) {
        if !revision.opaque {
            self.documents.push(revision.leaf.document_id);
        }
        self.hashes.push(revision.revision_hash);
        self.listed.extend(revision.listed);
        if let Some(Says::Redacted(key)) = revision.says.as_deref() {
            self.records.push(*key);
        }
    }
}

impl Preparer {
    /// The hasher, for values that are hashed beside.
    pub fn hasher(&mut self) -> &mut Hasher {
        &mut self.hasher
    }

    /// IH(originInfo).
    pub fn origin_info(&mut self, origin: &OriginInfo) -> Hash {
        match &self.known.origin {
            Some((known, hash)) if known == origin => *hash,
            _ => {
                let hash = origin.ion_hash_with(&mut self.hasher);
                self.known.origin = Some((origin.clone(), hash));
                hash
            }
        }
    }

    /// A whole block. `first` is the position of its first leaf.
    pub fn whole(
        &mut self,
        block: &FullBlock<'_>,
        first: u64,
    ) -> Result<(Vec<PreparedRevision>, PreparedBlock), Failure> {
        let heading = Heading {
            strand: block.strand,
            number: block.number,
            transaction_id: block.transaction_id,
            time_ms: block.time_ms,
            blind: block.blind,
            first,
            statements: &block.transaction_info.statements,
            origin_info_hash: block.origin_info_hash,
            redaction_info: block.redaction_info,
            block_hash: block.block_hash,
            imported: block.imported,
        };
        let position = first.saturating_add(block.revisions.len() as u64);
        let listings = listings(block).map_err(|text| Failure::Block { number: block.number, position, text })?;
        let (mut revisions, mut gathered) = (Vec::with_capacity(block.revisions.len()), Gathered::default());
        for (revision, position) in block.revisions.iter().zip(first..) {
            let listing = listings.get(&revision.document_id).filter(|listed| listed.table_id == revision.table_id);
            let listing = listing.map(|d| Listing { table_name: &d.table_name, statements: &d.statements });
            let prepared = self.revision(&heading, revision, listing, position)?;
            gathered.push(&prepared);
            revisions.push(prepared);
        }
        let prepared = self.block(&heading, &mut gathered)?;
        if gathered.listed.len() != listings.len() {
            let text = "transactionInfo lists a document that the block does not change".to_owned();
            return Err(Failure::Block { number: block.number, position, text });
        }
        Ok((revisions, prepared))
    }

    /// A revision at its position. `listing` is what transactionInfo says of it: there for the tables of users, and for
    /// no others.
    pub fn revision(
        &mut self,
        block: &Heading<'_>,
        revision: &FullRevision<'_>,
        listing: Option<Listing<'_>>,
        position: u64,
    ) -> Result<PreparedRevision, Failure> {
        let fail = |text: String| Failure::Revision {
            block: block.number,
            position,
            document: revision.document_id,
            version: revision.version,
            text,
        };
        match (block.imported.is_some(), &revision.imported) {
            (true, Some(ImportedRevision { opaque: Some(hash), .. })) => {
                let leaf = RevisionLeaf::opaque(block.number, &revision.blind, hash);
                return Ok(PreparedRevision::opaque(leaf, *hash, position));
            }
            (true, Some(_)) | (false, None) => {}
            _ => return Err(fail("imported and native revisions in one block".into())),
        }
        // What was recorded and rotated in another ledger means nothing for this one.
        let is_record = revision.table_id == Id::REDACTIONS && revision.imported.is_none();
        let is_rotation = revision.table_id == Id::KEYS && revision.imported.is_none();
        let mut says = None;
        let data_hash = match &revision.data {
            FullData::Value(value) => {
                check_data(value).map_err(|problem| fail(problem.to_string()))?;
                if is_record {
                    let Some(read) = RedactionRecord::from_value(value) else {
                        return Err(fail("it is in the table of redactions and is no record".into()));
                    };
                    let key = (read.block, read.table_id, read.document_id, read.version);
                    says = Some(Box::new(Says::Redacted(key)));
                } else if is_rotation {
                    let Some(read) = RotationRecord::from_value(value) else {
                        return Err(fail("it is in the table of keys and is no record of a rotation".into()));
                    };
                    says = Some(Box::new(Says::Rotation(Box::new(read))));
                } else if revision.table_id == Id::TABLES {
                    let name = value.as_struct().and_then(|fields| fields.get("name")).and_then(Value::as_text);
                    says = name.map(|name| Box::new(Says::TableName(name.into())));
                }
                Some(self.hasher.value(value))
            }
            FullData::Hashed(_) | FullData::Missing(_) if is_record => {
                return Err(fail("a record of a redaction must be shown".into()));
            }
            FullData::Hashed(_) | FullData::Missing(_) | FullData::Deleted if is_rotation => {
                return Err(fail("the record of a rotation must be shown, and stays".into()));
            }
            FullData::Hashed(hash) | FullData::Missing(hash) => Some(*hash),
            FullData::Deleted => None,
        };
        let metadata_hash = self.metadata(block, revision);
        let place = RevisionPlace {
            table_id: revision.table_id,
            document_id: revision.document_id,
            version: revision.version,
            block: block.number,
            supersedes: revision.supersedes,
        };
        let content = RevisionContent { blind: revision.blind, metadata_hash, data_hash };
        let (leaf, revision_hash) = place.leaf_and_hash(&content, revision.imported.as_ref());
        let listed = self.listed(block, revision, listing).map_err(fail)?;
        Ok(PreparedRevision {
            leaf,
            leaf_hash: tree::leaf_hash(&leaf.encode()),
            position,
            revision_hash,
            listed,
            missing: matches!(revision.data, FullData::Missing(_)),
            record: None,
            opaque: false,
            says,
        })
    }

    /// The block of these revisions, all of them in order. What was gathered is of no further use then.
    pub fn block(&mut self, block: &Heading<'_>, gathered: &mut Gathered) -> Result<PreparedBlock, Failure> {
        let position = block.first.saturating_add(gathered.hashes.len() as u64);
        let fail = |text: String| Failure::Block { number: block.number, position, text };
        if let Some(document) = changed_twice(&mut gathered.documents) {
            return Err(fail(format!("document {document} is changed twice")));
        }
        if block.imported.is_none() {
            check_redaction_info(block, &mut gathered.records).map_err(fail)?;
        }
        let mut texts_redacted = 0;
        let mut digests_not_recomputed = 0;
        let mut text_fields = Vec::with_capacity(block.statements.len());
        for statement in block.statements {
            match &statement.text {
                StatementText::Redacted(hash) => {
                    texts_redacted += 1;
                    text_fields.push(*hash);
                }
                StatementText::Text(text) => {
                    let hashes = self.text(text);
                    digests_not_recomputed += u64::from(hashes.digest != statement.digest);
                    text_fields.push(hashes.field);
                }
            }
        }
        let info_hash = self.hasher.structure(|fields| {
            fields.struct_list_field(
                "statements",
                block.statements.iter().zip(&text_fields),
                |fields, (info, text)| {
                    fields.hashed_field(*text);
                    info.write_beside_text(fields);
                },
            );
            if !gathered.listed.is_empty() {
                fields.struct_field("documents", |documents| {
                    gathered.listed.iter().for_each(|hash| documents.hashed_field(*hash));
                });
            }
        });
        let redaction_hash = block.redaction_info.map(RedactionInfo::ion_hash);
        let entries = Entries::of(block.imported, &gathered.hashes, info_hash, block.origin_info_hash, redaction_hash)
            .map_err(|part| fail(format!("entriesHashList does not hold the hash of {part}")))?;
        let leaf = BlockLeaf {
            imported: block.imported.is_some(),
            strand: block.strand,
            block: block.number,
            transaction_id: block.transaction_id,
            time_ms: block.time_ms,
            first: block.first,
            revisions: u32::try_from(gathered.hashes.len()).map_err(|_| fail("too many revisions".into()))?,
            commitment: Hash::ZERO,
        };
        Ok(PreparedBlock {
            leaf,
            blind: block.blind,
            entries,
            block_hash: block.block_hash,
            redacted: redacted_before(block),
            statements: block.statements.len() as u64,
            digests_not_recomputed,
            texts_redacted,
        })
    }

    /// IH(metadata).
    fn metadata(&mut self, block: &Heading<'_>, revision: &FullRevision<'_>) -> Hash {
        let metadata = Metadata {
            id: revision.document_id,
            version: revision.version,
            tx_time_ms: revision.imported.map_or(block.time_ms, |imported| imported.tx_time_ms),
            tx_id: block.transaction_id,
        };
        self.known.fields.metadata(&metadata, &mut self.hasher)
    }

    /// The hash of the document's field in transactionInfo's `documents`.
    fn listed(
        &mut self,
        block: &Heading<'_>,
        revision: &FullRevision<'_>,
        listing: Option<Listing<'_>>,
    ) -> Result<Option<Hash>, String> {
        let listing = match (listing, revision.table_id.is_system()) {
            (Some(listing), false) => listing,
            (None, true) => return Ok(None),
            (Some(_), true) => return Err("transactionInfo lists a document of a table of the system".into()),
            (None, false) => return Err("transactionInfo does not list the document".into()),
        };
        if listing.statements.iter().any(|index| *index as usize >= block.statements.len()) {
            return Err("transactionInfo names a statement that is not there".into());
        }
        let table = (revision.table_id, listing.table_name);
        let fields = &mut self.known.fields;
        Ok(Some(fields.listed(revision.document_id, table, listing.statements, &mut self.hasher)))
    }

    fn text(&mut self, text: &str) -> TextHashes {
        match &self.known.text {
            Some((known, hashes)) if **known == *text => *hashes,
            _ => {
                let field = crate::block::statement_field_hash_with(&mut self.hasher, text);
                let digest = qldb::statement_digest_with(&mut self.hasher, text, &[]);
                let hashes = TextHashes { field, digest };
                self.known.text = Some((text.into(), hashes));
                hashes
            }
        }
    }
}

/// What transactionInfo lists, by document.
fn listings<'a>(block: &FullBlock<'a>) -> Result<HashMap<Id, &'a DocumentInfo>, String> {
    let documents = &block.transaction_info.documents;
    let mut listings = HashMap::with_capacity(documents.len());
    for document in documents {
        if listings.insert(document.document_id, document).is_some() {
            return Err(format!("transactionInfo lists document {} twice", document.document_id));
        }
    }
    Ok(listings)
}

/// A document that more than one of a block's revisions is of.
fn changed_twice(documents: &mut [Id]) -> Option<Id> {
    documents.sort_unstable();
    documents.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// redactionInfo lists each record of a redaction that is in the block, and nothing else.
fn check_redaction_info(block: &Heading<'_>, recorded: &mut [RevisionKey]) -> Result<(), String> {
    let listed = block.redaction_info.map_or(&[][..], |info| &info.revisions);
    let mut keys: Vec<RevisionKey> =
        listed.iter().map(|r| (r.sequence_no, r.table_id, r.document_id, r.version)).collect();
    recorded.sort_unstable();
    keys.sort_unstable();
    if keys != *recorded || listed.iter().any(|r| r.strand != block.strand) {
        return Err("redactionInfo does not list exactly the redactions that the block records".into());
    }
    Ok(())
}
