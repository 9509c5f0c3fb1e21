//! Full verification over the wire: every block of a ledger re-derived here, up to a checkpoint.

use ledgerstone_digest::Hash;
use ledgerstone_digest::block::{RedactionInfo, TransactionInfo};
use ledgerstone_digest::full::{FullBlock, FullData, FullReport, FullRevision, FullVerifier, Sought};
use ledgerstone_digest::ion::{self, Limits, Struct, Value};
use ledgerstone_digest::leaf::{Blind, BlockLeaf, GenesisLeaf, RevisionLeaf};
use ledgerstone_digest::note::VerifierKey;
use ledgerstone_digest::qldb::{ImportedBlock, ImportedRevision, JournalBlock};
use ledgerstone_digest::rotation::KeyChain;
use ledgerstone_protocol::v1;
use tonic::Streaming;

use crate::connection::{MESSAGE_BYTES_MAX, hash};
use crate::error::{Error, Result};
use crate::retry::asked;
use crate::verifier::Verifier;

/// A block holds many documents: deeper by its own levels, and larger.
const BLOCK_LIMITS: Limits = Limits { bytes_max: MESSAGE_BYTES_MAX, depth_max: 192, values_max: 256 << 20 };

/// A block as the server gives it; nothing of it is verified yet.
#[derive(Debug, Clone, PartialEq)]
pub struct ServedBlock {
    /// Its number.
    pub number: u64,
    /// The position of its first revision.
    pub first_position: u64,
    /// The position of its leaf.
    pub block_position: u64,
    /// QLDB's block struct.
    pub block: Value,
    /// Who did it, through which protocol: what QLDB's struct has no place for.
    /// A block of QLDB's own has none.
    pub origin_info: Option<Value>,
    /// The entries of the tree: revisions, then the block.
    pub leaves: Vec<Vec<u8>>,
    /// The blinding bytes of those leaves.
    pub blinds: Vec<Blind>,
}

/// Blocks as they arrive.
#[derive(Debug)]
pub struct BlockStream(Streaming<v1::GetBlockResponse>);

impl BlockStream {
    /// The next block; `None` at the end, which a stream that follows the ledger does not have.
    pub async fn next(&mut self) -> Result<Option<ServedBlock>> {
        self.0.message().await?.map(ServedBlock::read).transpose()
    }
}

impl Verifier {
    /// One block, not verified.
    pub async fn block(&self, number: u64) -> Result<ServedBlock> {
        let request = v1::GetBlockRequest { ledger: self.ledger().to_owned(), number };
        ServedBlock::read(
            asked(|| {
                let (mut service, request) = (self.client().digest_service(), request.clone());
                async move { service.get_block(request).await }
            })
            .await?,
        )
    }

    /// The blocks from the one that holds this position on; with `follow` the stream goes on as they are committed.
    pub async fn blocks(&self, from_position: u64, follow: bool) -> Result<BlockStream> {
        let request = v1::StreamBlocksRequest { ledger: self.ledger().to_owned(), from_position, follow };
        Ok(BlockStream(self.client().digest_service().stream_blocks(request).await?.into_inner()))
    }

    /// Verifies the whole ledger up to its newest checkpoint, to which the pin moves: the genesis, and every block
    /// re-derived from its values, compared with the leaves served and with the signed root.
    ///
    /// Only this shows that nothing was left out or rewritten; it reads the whole ledger.
    pub async fn audit(&mut self) -> Result<FullReport> {
        let head = self.refresh().await?;
        let genesis = self.genesis().await?;
        let leaf = GenesisLeaf::decode(&genesis.leaf).map_err(|e| failed(format!("the genesis leaf: {e}")))?;
        let mut verifier = FullVerifier::new(vec![head.clone()]);
        let facts = verifier.genesis(&leaf, &genesis.record).map_err(failed)?;
        if head.size > 1 {
            let mut blocks = self.blocks(1, false).await?;
            while verifier.frontier().size() < head.size {
                let block =
                    blocks.next().await?.ok_or_else(|| failed("the blocks end before the checkpoint".to_owned()))?;
                take(&mut verifier, &block)?;
            }
        }
        self.expect_keys(&facts.log_key, verifier.keys())?;
        let report = verifier.finish().map_err(failed)?;
        if report.size != head.size || report.root != Some(head.root) {
            return Err(failed(format!("the blocks end at {} leaves, the checkpoint has {}", report.size, head.size)));
        }
        self.look_for_redacted(&report).await?;
        Ok(report)
    }

    /// Every record of a redaction names a revision, even where its data is still there.
    async fn look_for_redacted(&mut self, report: &FullReport) -> Result<()> {
        let mut sought = Sought::default();
        report.redactions_open.iter().for_each(|record| sought.record(*record));
        if sought.is_empty() {
            return Ok(());
        }
        let mut blocks = self.blocks(1, false).await?;
        while let Some(block) = blocks.next().await? {
            block.revision_leaves()?.iter().for_each(|leaf| sought.see(leaf));
            if sought.is_empty() || block.block_position + 1 >= report.size {
                break;
            }
        }
        match sought.missing().first() {
            Some(record) => Err(failed(record)),
            None => Ok(()),
        }
    }

    /// The keys that are trusted here must be those of the ledger, and the checkpoint signed by one that may.
    fn expect_keys(&self, genesis: &VerifierKey, of_ledger: Option<&KeyChain>) -> Result<()> {
        let of_ledger = of_ledger.ok_or_else(|| failed("the genesis is missing"))?;
        let trusted = self.pin().keys();
        if trusted.keys().any(|trusted| of_ledger.of(&trusted.key).is_none()) {
            return Err(Error::Mismatch {
                what: "the key in the genesis",
                expected: trusted.current().to_string(),
                found: genesis.to_string(),
            });
        }
        match self.pin().note().map(|note| of_ledger.verify(note)) {
            Some(Err(refusal)) => Err(failed(refusal)),
            _ => Ok(()),
        }
    }
}

impl ServedBlock {
    fn read(block: v1::GetBlockResponse) -> Result<Self> {
        let blind =
            |bytes: Vec<u8>| <Blind>::try_from(bytes.as_slice()).map_err(|_| Error::answer("a blind is not 16 bytes"));
        Ok(ServedBlock {
            number: block.number,
            first_position: block.first_position,
            block_position: block.block_position,
            block: ion::decode(&block.block, &BLOCK_LIMITS)?,
            origin_info: match block.origin_info.as_slice() {
                [] => None,
                bytes => Some(ion::decode(bytes, &BLOCK_LIMITS)?),
            },
            leaves: block.leaves,
            blinds: block.blinds.into_iter().map(blind).collect::<Result<_>>()?,
        })
    }

    /// Its leaf.
    pub fn block_leaf(&self) -> Result<BlockLeaf> {
        let bytes = self.leaves.last().ok_or_else(|| Error::answer("a block without leaves"))?;
        BlockLeaf::decode(bytes).map_err(|e| Error::answer(format!("the block leaf: {e}")))
    }

    /// The leaves of its revisions.
    pub fn revision_leaves(&self) -> Result<Vec<RevisionLeaf>> {
        let (_, leaves) = self.leaves.split_last().ok_or_else(|| Error::answer("a block without leaves"))?;
        let read =
            |bytes: &Vec<u8>| RevisionLeaf::decode(bytes).map_err(|e| Error::answer(format!("a revision leaf: {e}")));
        leaves.iter().map(read).collect()
    }
}

/// Gives a served block to the verifier and compares the leaves that it derives with those that were served.
fn take(verifier: &mut FullVerifier, served: &ServedBlock) -> Result<()> {
    let at = |what: String| failed(format!("block {}: {what}", served.number));
    let leaf = served.block_leaf()?;
    let leaves = served.revision_leaves()?;
    let fields = served.block.as_struct().ok_or_else(|| at("it is not a struct".to_owned()))?;
    let imported = if leaf.imported { Some(read_imported(served).map_err(at)?) } else { None };
    let info = match field(fields, "transactionInfo") {
        Some(info) => TransactionInfo::from_value(info).map_err(|e| at(e.to_string()))?,
        None if imported.is_some() => TransactionInfo::default(),
        None => return Err(at("it has no transactionInfo".to_owned())),
    };
    let redaction = field(fields, "redactionInfo").map(RedactionInfo::from_value).transpose();
    let redaction = redaction.map_err(|e| at(e.to_string()))?;
    let shown = match field(fields, "revisions") {
        Some(Value::List(revisions)) => revisions.as_slice(),
        None => &[],
        Some(_) => return Err(at("its revisions are not a list".to_owned())),
    };
    if shown.len() != leaves.len() || served.blinds.len() != served.leaves.len() {
        return Err(at(format!(
            "it has {} revisions, {} leaves and {} blinds",
            shown.len(),
            served.leaves.len(),
            served.blinds.len()
        )));
    }
    let mut revisions = Vec::with_capacity(leaves.len());
    for (i, ((leaf, blind), shown)) in leaves.iter().zip(&served.blinds).zip(shown).enumerate() {
        let imported = imported.as_ref().and_then(|(_, revisions)| revisions.get(i).copied());
        revisions.push(FullRevision {
            table_id: leaf.table_id,
            document_id: leaf.document_id,
            version: leaf.version,
            supersedes: leaf.supersedes,
            blind: *blind,
            data: match leaf.opaque {
                true => FullData::Deleted,
                false => shown_data(shown, leaf.deleted).map_err(at)?,
            },
            imported,
        });
    }
    let block_hash = match field(fields, "blockHash") {
        Some(Value::Blob(bytes)) => Some(hash(bytes)?),
        _ => return Err(at("it has no block hash".to_owned())),
    };
    let block = FullBlock {
        strand: leaf.strand,
        number: served.number,
        transaction_id: leaf.transaction_id,
        time_ms: leaf.time_ms,
        blind: served.blinds.last().copied().unwrap_or_default(),
        revisions: &revisions,
        transaction_info: &info,
        origin_info_hash: match &served.origin_info {
            Some(info) => ion::ion_hash(info),
            None if imported.is_some() => Hash::ZERO,
            None => return Err(at("it has no originInfo".to_owned())),
        },
        redaction_info: redaction.as_ref(),
        block_hash,
        imported: imported.as_ref().map(|(block, _)| block),
    };
    let derived = verifier.block(&block).map_err(failed)?;
    let derived: Vec<Vec<u8>> = derived.leaves.iter().map(|leaf| leaf.encode()).collect();
    if derived != served.leaves {
        return Err(at("the leaves served do not follow from its values".to_owned()));
    }
    Ok(())
}

/// What an imported block and its revisions have beside.
fn read_imported(served: &ServedBlock) -> Result<(ImportedBlock, Vec<ImportedRevision>), String> {
    let mut block = JournalBlock::from_value(&served.block).map_err(|error| error.to_string())?;
    block.origin_info.clone_from(&served.origin_info);
    let revisions = block.revisions.iter().map(|revision| ImportedRevision::of(revision).map(|(imported, _)| imported));
    let revisions = revisions.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    Ok((ImportedBlock::of(&block), revisions))
}

fn shown_data(revision: &Value, deleted: bool) -> Result<FullData<'_>, String> {
    let fields = revision.as_struct().ok_or("a revision is not a struct")?;
    match (field(fields, "data"), field(fields, "dataHash"), deleted) {
        (Some(data), None, false) => Ok(FullData::Value(data)),
        (None, Some(Value::Blob(bytes)), false) => {
            Hash::from_slice(bytes).map(FullData::Missing).ok_or_else(|| "a data hash is not 32 bytes".to_owned())
        }
        (None, None, true) => Ok(FullData::Deleted),
        _ => Err("a revision shows neither data nor what is left of it".to_owned()),
    }
}

fn field<'a>(fields: &'a Struct, name: &str) -> Option<&'a Value> {
    fields.get(name)
}

fn failed(what: impl ToString) -> Error {
    Error::Audit(what.to_string())
}
