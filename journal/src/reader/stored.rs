//! From frames to what the reader gives back, and from that to its hashes.

use std::sync::Arc;

use ledgerstone_digest::ion::{Struct, Value, encode, ion_hash};
use ledgerstone_digest::{Hash, Id};

use crate::derive::{BlockDeriver, BlockFacts, BlockHasher, DerivedBlock, RevisionFacts, transaction_info};
use crate::dictionary::Texts;
use crate::frame::{BlockHead, Content, Contents, Group, Opening, RevisionFrame};
use crate::stored::{StoredBlock, StoredRevision};
use crate::transaction::SALT_FIELD;
use crate::wire::WireError;

/// A revision of which the block's head is known.
pub(crate) fn stored_revision(
    revision: &RevisionFrame<'_>,
    head: &BlockHead,
    position: u64,
    texts: &Texts,
    contents: &mut Contents<'_>,
) -> Result<StoredRevision, WireError> {
    stored_in_group(revision, (&head.opening(), head.group_of(revision)?), position, texts, contents)
}

/// The same where no more of the head is known than a revision needs.
pub(crate) fn stored_in_group(
    revision: &RevisionFrame<'_>,
    (block, group): (&Opening, &Group),
    position: u64,
    texts: &Texts,
    contents: &mut Contents<'_>,
) -> Result<StoredRevision, WireError> {
    let (data, data_hash) = match (&revision.content, contents) {
        (Content::Redacted { data_hash, .. }, _) => (None, Some(*data_hash)),
        (_, Contents::Values) => (revision.data(texts)?.map(Arc::new), None),
        (_, Contents::Hashes(hasher)) => (None, revision.hash_data(texts, hasher)?),
        (_, Contents::Known(known)) => match known(position) {
            Some(data) => {
                debug_assert!(is_known(revision, texts, &data), "position {position} holds another document");
                (Some(data), None)
            }
            None => (revision.data(texts)?.map(Arc::new), None),
        },
    };
    Ok(StoredRevision {
        position,
        table_id: group.table_id,
        document_id: revision.document_id,
        version: revision.version,
        supersedes: revision.supersedes,
        block: block.number,
        block_position: block.position,
        tx_id: block.tx_id,
        time_ms: block.time_ms,
        deleted: revision.content == Content::Deleted,
        redacted: matches!(revision.content, Content::Redacted { .. }),
        data,
        data_hash,
        redaction_record: match revision.content {
            Content::Redacted { record, .. } => Some(record).filter(|record| *record > 0),
            _ => None,
        },
        blind: revision.blind,
        listed: group.listed.clone(),
        imported: revision.imported,
    })
}

pub(crate) fn stored_block(
    head: BlockHead,
    revisions: Vec<StoredRevision>,
    strand: Id,
    previous_block_hash: Option<Hash>,
) -> StoredBlock {
    let info =
        transaction_info(&head.statements, revisions.iter().map(|r| (r.document_id, r.table_id, r.listed.as_ref())));
    StoredBlock {
        number: head.number,
        first_position: head.first_position(),
        position: head.position,
        strand,
        tx_id: head.tx_id,
        time_ms: head.time_ms,
        blind: head.blind,
        info,
        origin: head.origin,
        redaction: head.redaction,
        revisions,
        block_hash: head.block_hash,
        previous_block_hash,
        previous_leaf: head.previous_leaf,
        imported: head.imported.map(|imported| imported.block),
    }
}

pub(crate) fn revision_facts(revision: &StoredRevision) -> RevisionFacts {
    RevisionFacts {
        table_id: revision.table_id,
        document_id: revision.document_id,
        version: revision.version,
        supersedes: revision.supersedes,
        blind: revision.blind,
        data_hash: revision.data_hash.or_else(|| revision.data.as_ref().map(|data| ion_hash(data))),
        imported: revision.imported,
    }
}

/// The hashes of a block that was read; or what part of it an imported block's list of entries does not hold.
pub(crate) fn derive(block: &StoredBlock, hasher: &mut BlockHasher) -> Result<DerivedBlock, &'static str> {
    let facts = BlockFacts {
        strand: block.strand,
        number: block.number,
        tx_id: block.tx_id,
        time_ms: block.time_ms,
        first_position: block.first_position,
        blind: block.blind,
        previous_block_hash: block.previous_block_hash,
        previous_leaf: block.previous_leaf,
    };
    let mut deriver = BlockDeriver::new(facts, hasher);
    deriver.revisions(&block.revisions.iter().map(revision_facts).collect::<Vec<_>>());
    deriver.finish(&block.info, &block.origin, block.redaction.as_ref(), block.imported.as_ref())
}

/// What is at hand is what is stored, the salt aside.
fn is_known(revision: &RevisionFrame<'_>, texts: &Texts, known: &Value) -> bool {
    let unsalted = |value: &Value| match value {
        Value::Struct(s) => {
            let fields = s.fields.iter().filter(|(name, _)| name.text() != Some(SALT_FIELD)).cloned().collect();
            encode(&Value::Struct(Struct { fields }))
        }
        other => encode(other),
    };
    revision.data(texts).is_ok_and(|stored| stored.is_some_and(|stored| unsalted(&stored) == unsalted(known)))
}
