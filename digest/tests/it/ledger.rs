//! A small ledger in memory, every input explicit: what receipts and full verification are tried on.

use std::sync::Arc;

use ledgerstone_digest::block::*;
use ledgerstone_digest::checkpoint::Checkpoint;
use ledgerstone_digest::full::*;
use ledgerstone_digest::ion::{self, Limits, Value};
use ledgerstone_digest::leaf::*;
use ledgerstone_digest::note::{self, KeyKind, Note, SigningKey};
use ledgerstone_digest::receipt::*;
use ledgerstone_digest::redaction::RedactionRecord;
use ledgerstone_digest::tree::{self, MemoryTree};
use ledgerstone_digest::{Hash, Id, qldb};

pub const TABLE: Id = Id([0x11; 16]);
pub const CAR: Id = Id([0x21; 16]);
pub const TRUCK: Id = Id([0x22; 16]);
const WITNESS_TIME_S: u64 = 1_700_000_000;

/// One revision as it is stored.
#[derive(Clone)]
pub struct Revision {
    pub table: Id,
    pub document: Id,
    pub version: u64,
    pub supersedes: Option<u64>,
    pub blind: Blind,
    pub position: u64,
    /// `None`: a deletion.
    pub data: Option<Value>,
    /// The data is kept above for its hash only.
    pub missing: bool,
}

/// One block as it is stored.
#[derive(Clone)]
pub struct Block {
    pub number: u64,
    pub transaction: Id,
    pub time_ms: i64,
    pub blind: Blind,
    pub revisions: Vec<Revision>,
    pub info: TransactionInfo,
    pub origin: OriginInfo,
    pub redaction: Option<RedactionInfo>,
}

/// Blocks, and the leaves that full verification derived from them.
#[derive(Clone)]
pub struct TestLedger {
    pub key: SigningKey,
    pub genesis: GenesisLeaf,
    pub record: Vec<u8>,
    pub blocks: Vec<Block>,
    pub leaves: Vec<Leaf>,
    pub openings: Vec<BlockOpening>,
    pub tree: MemoryTree,
}

pub fn ion_value(text: &str) -> Value {
    ion::parse(text, &Limits::DOCUMENT).unwrap()
}

pub fn witness() -> SigningKey {
    SigningKey::new("witness.example/w1", KeyKind::CosignatureV1, &[9; 32]).unwrap()
}

fn blind(ledger: Id, position: u64) -> Blind {
    let hash = Hash::sha256(&[b"blind", &ledger.0, &position.to_be_bytes()]);
    hash.0[..16].try_into().unwrap()
}

/// Changes made by a transaction: table, document, data (`None`: delete).
pub type Change = (Id, Id, Option<Value>);

impl TestLedger {
    pub fn new(id: u8) -> Self {
        let ledger_id = Id([id; 16]);
        let origin = format!("ledger.example/{ledger_id}");
        let key = SigningKey::from_seed(&origin, &[id; 32]).unwrap();
        let record = ion::encode(&ion_value(&format!("{{origin:\"{origin}\",logKey:\"{}\"}}", key.verifier())));
        let strand = Id([0xee; 16]);
        let record_hash = Hash::sha256(&[&record]);
        let genesis = GenesisLeaf { ledger_id, strand, created_ms: 1_700_000_000_000, record_hash };
        let mut tree = MemoryTree::new();
        tree.append(tree::leaf_hash(&genesis.encode()));
        let leaves = vec![Leaf::Genesis(genesis)];
        TestLedger { key, genesis, record, blocks: Vec::new(), leaves, openings: Vec::new(), tree }
    }

    /// A definition; two documents; an update; a deletion; a redaction of the first version; an update.
    pub fn example(id: u8) -> Self {
        let mut ledger = TestLedger::new(id);
        let car = |penalty: &str| Some(ion_value(&format!("{{VIN:\"1N4AL11D75C109151\",penalty:{penalty}}}")));
        ledger.commit(&[(Id::TABLES, TABLE, Some(ion_value("{name:\"car\"}")))], "CREATE TABLE car");
        let truck = Some(ion_value("{VIN:\"KM8SRDHF6EU074761\",owners:[\"a\",null.symbol]}"));
        ledger.commit(&[(TABLE, CAR, car("90.25")), (TABLE, TRUCK, truck)], "INSERT INTO car VALUES (?), (?)");
        ledger.commit(&[(TABLE, CAR, car("0.00"))], "UPDATE car SET penalty = 0.00");
        ledger.commit(&[(TABLE, TRUCK, None)], "DELETE FROM car WHERE VIN = ?");
        ledger.redact(1, 0);
        ledger.commit(&[(TABLE, CAR, car("1.5"))], "UPDATE car SET penalty = 1.5");
        ledger
    }

    pub fn origin(&self) -> &str {
        self.key.name()
    }

    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    fn newest(&self, table: Id, document: Id) -> Option<&Revision> {
        let mut revisions = self.blocks.iter().flat_map(|block| &block.revisions);
        revisions.rfind(|r| r.table == table && r.document == document)
    }

    pub fn commit(&mut self, changes: &[Change], statement: &str) {
        self.commit_with(changes, statement, None);
    }

    pub fn commit_with(&mut self, changes: &[Change], statement: &str, redaction: Option<RedactionInfo>) {
        let (number, first, ledger) = (self.blocks.len() as u64, self.size(), self.genesis.ledger_id);
        let time_ms = 1_700_000_001_000 + number as i64;
        let mut revisions = Vec::new();
        let mut documents = Vec::new();
        for ((table, document, data), position) in changes.iter().zip(first..) {
            let before = self.newest(*table, *document);
            revisions.push(Revision {
                table: *table,
                document: *document,
                version: before.map_or(0, |before| before.version + 1),
                supersedes: before.map(|before| before.position),
                blind: blind(ledger, position),
                position,
                data: data.clone(),
                missing: false,
            });
            if !table.is_system() {
                let (document_id, table_id) = (*document, *table);
                documents.push(DocumentInfo { document_id, table_name: "car".into(), table_id, statements: vec![0] });
            }
        }
        let parameters = if statement.contains('?') { vec![Value::int(7)] } else { Vec::new() };
        let digest = qldb::statement_digest(statement, &parameters);
        let text = StatementText::Text(statement.into());
        let transaction = Id(Hash::sha256(&[b"tx", &number.to_be_bytes()]).0[..16].try_into().unwrap());
        let block = Block {
            number,
            transaction,
            time_ms,
            blind: blind(ledger, first + changes.len() as u64),
            revisions,
            info: TransactionInfo {
                statements: vec![StatementInfo { text, start_time_ms: time_ms, digest }],
                documents,
            },
            origin: OriginInfo { user: "clerk".into(), door: "postgres".into(), client_token: None, signature: None },
            redaction,
        };
        self.blocks.push(block);
        self.derive();
    }

    /// Redacts a revision: its data and its transaction's texts go, a record comes.
    fn redact(&mut self, block: usize, index: usize) {
        let redacted = self.blocks[block].revisions[index].clone();
        let (number, strand) = (self.blocks[block].number, self.genesis.strand);
        let (table_id, document_id, version) = (redacted.table, redacted.document, redacted.version);
        let record = RedactionRecord { block: number, table_id, document_id, version, user: "officer".into() };
        let listed = RedactedRevision { strand, sequence_no: number, table_id, document_id, version };
        let info = RedactionInfo { revisions: vec![listed] };
        let change = (Id::REDACTIONS, Id([0x33; 16]), Some(record.to_value()));
        self.commit_with(&[change], "EXEC REDACT_REVISION ?, ?, ?", Some(info));
        self.blocks[block].revisions[index].missing = true;
        self.blocks[block].info = self.blocks[block].info.redacted();
    }

    /// Leaves and openings of the newest block.
    fn derive(&mut self) {
        let mut verifier = FullVerifier::new(Vec::new());
        verifier.genesis(&self.genesis, &self.record).unwrap();
        for (number, block) in self.blocks.iter().enumerate() {
            let derived = feed(&mut verifier, block, |_| {}).unwrap();
            if number == self.openings.len() {
                derived.leaves.iter().for_each(|leaf| self.tree.append(tree::leaf_hash(&leaf.encode())));
                self.leaves.extend(derived.leaves);
                self.openings.push(derived.opening);
            }
        }
    }

    pub fn checkpoint(&self, size: u64) -> Checkpoint {
        Checkpoint { origin: self.origin().to_owned(), size, root: tree::root_at(size, &self.tree).unwrap() }
    }

    /// Signed, cosigned by the witness, and signed by somebody whom nobody knows.
    pub fn note(&self, size: u64) -> String {
        let mut note = Note::parse(&self.checkpoint(size).sign(&self.key).unwrap()).unwrap();
        note.add_signature_line(&note::cosign(note.unverified_text(), &witness(), WITNESS_TIME_S).unwrap()).unwrap();
        let stranger = SigningKey::from_seed("stranger.example", &[3; 32]).unwrap();
        let foreign = Note::parse(&note::sign(note.unverified_text(), &[&stranger]).unwrap()).unwrap();
        note.add_signature_line(&foreign.signatures()[0].to_string()).unwrap();
        note.to_string()
    }

    fn block_of(&self, position: u64) -> &Block {
        let holds = |block: &&Block| block.revisions.iter().any(|revision| revision.position == position);
        self.blocks.iter().find(holds).unwrap()
    }

    pub fn block_position(&self, block: &Block) -> u64 {
        let is_it = |leaf: &Leaf| matches!(leaf, Leaf::Block(leaf) if leaf.block == block.number);
        self.leaves.iter().position(is_it).unwrap() as u64
    }

    pub fn block_leaf(&self, position: u64) -> BlockLeaf {
        let Leaf::Block(leaf) = &self.leaves[position as usize] else { panic!("no block leaf at {position}") };
        *leaf
    }

    fn revision_part(&self, block: &Block, revision: &Revision) -> ReceiptRevision {
        let Leaf::Revision(leaf) = &self.leaves[revision.position as usize] else { panic!("no revision leaf") };
        let metadata = Metadata {
            id: revision.document,
            version: revision.version,
            tx_time_ms: block.time_ms,
            tx_id: block.transaction,
        }
        .to_value();
        let content = match &revision.data {
            None => Content::Deleted { metadata },
            Some(data) if revision.missing => Content::DataHash { metadata, data_hash: ion::ion_hash(data) },
            Some(data) => Content::Data { metadata, data: Arc::new(data.clone()) },
        };
        let opening = Some(RevisionOpening { blind: revision.blind, content });
        ReceiptRevision { position: revision.position, leaf: *leaf, opening }
    }

    /// The receipt of one revision in the tree of `size` leaves.
    pub fn receipt(&self, position: u64, size: u64) -> Receipt {
        let block = self.block_of(position);
        let revision = block.revisions.iter().find(|r| r.position == position).unwrap();
        self.receipt_of(block, &[revision], size)
    }

    pub fn transaction_receipt(&self, block: usize, size: u64) -> Receipt {
        let block = &self.blocks[block];
        let mut receipt = self.receipt_of(block, &block.revisions.iter().collect::<Vec<_>>(), size);
        receipt.block_opening = Some(OpenedBlock {
            blind: block.blind,
            opening: self.openings[block.number as usize].clone(),
            transaction_info: Some(block.info.to_value()),
            origin_info: Some(block.origin.to_value()),
            redaction_info: block.redaction.as_ref().map(RedactionInfo::to_value),
        });
        receipt
    }

    fn receipt_of(&self, block: &Block, revisions: &[&Revision], size: u64) -> Receipt {
        let block_position = self.block_position(block);
        let mut positions: Vec<u64> = revisions.iter().map(|revision| revision.position).collect();
        positions.push(block_position);
        Receipt {
            revisions: revisions.iter().map(|revision| self.revision_part(block, revision)).collect(),
            block_leaf: self.block_leaf(block_position),
            block_position,
            block_opening: None,
            proof: tree::inclusion_proof(size, &positions, &self.tree).unwrap(),
            redactions: revisions.iter().filter(|r| r.missing).filter_map(|r| self.record_of(r, size)).collect(),
            checkpoint: self.note(size),
        }
    }

    fn record_of(&self, redacted: &Revision, size: u64) -> Option<RedactionPart> {
        let is_it = |revision: &&Revision| {
            let record = revision.data.as_ref().and_then(RedactionRecord::from_value);
            revision.table == Id::REDACTIONS
                && record.is_some_and(|r| (r.document_id, r.version) == (redacted.document, redacted.version))
        };
        let block = self.blocks.iter().find(|block| block.revisions.iter().any(|r| is_it(&r)))?;
        let revision = block.revisions.iter().find(is_it)?;
        let block_position = self.block_position(block);
        Some(RedactionPart {
            revision: self.revision_part(block, revision),
            block_leaf: self.block_leaf(block_position),
            block_position,
            proof: tree::inclusion_proof(size, &[revision.position, block_position], &self.tree).unwrap(),
        })
    }
}

/// Gives a block to full verification, perhaps changed.
pub fn feed(
    verifier: &mut FullVerifier,
    block: &Block,
    change: impl FnOnce(&mut FullBlock<'_>),
) -> Result<DerivedBlock, Failure> {
    let revisions: Vec<FullRevision<'_>> = block
        .revisions
        .iter()
        .map(|revision| FullRevision {
            table_id: revision.table,
            document_id: revision.document,
            version: revision.version,
            supersedes: revision.supersedes,
            blind: revision.blind,
            data: match &revision.data {
                None => FullData::Deleted,
                Some(data) if revision.missing => FullData::Missing(ion::ion_hash(data)),
                Some(data) => FullData::Value(data),
            },
            imported: None,
        })
        .collect();
    let mut full = FullBlock {
        strand: Id([0xee; 16]),
        number: block.number,
        transaction_id: block.transaction,
        time_ms: block.time_ms,
        blind: block.blind,
        revisions: &revisions,
        transaction_info: &block.info,
        origin_info_hash: block.origin.ion_hash(),
        redaction_info: block.redaction.as_ref(),
        block_hash: None,
        imported: None,
    };
    change(&mut full);
    verifier.block(&full)
}
