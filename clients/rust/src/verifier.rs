//! Verification of what a server says, here and not there: receipts under checkpoints of one history.

use std::collections::HashMap;
use std::path::PathBuf;

use ledgerstone_digest::checkpoint::{Checkpoint, UnverifiedCheckpoint};
use ledgerstone_digest::ion::Value;
use ledgerstone_digest::note::VerifierKey;
use ledgerstone_digest::receipt::Receipt;
use ledgerstone_digest::verifier::{self as offline, Expectation, Head, Refusal, TransactionVerdict, Trust, Verdict};
use ledgerstone_digest::{Hash, Id};
use ledgerstone_protocol::v1;
use ledgerstone_protocol::v1::get_receipt_request::Of;

use crate::connection::{Client, Commit, hash};
use crate::error::{Error, Result};
use crate::pin::PinnedCheckpoint;
use crate::retry::asked;

/// A table by name or id. Leaves hold ids: a name is resolved with a receipt of the catalogue's revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableRef {
    /// Its name.
    Name(String),
    /// Its id.
    Id(Id),
}

impl From<&str> for TableRef {
    fn from(name: &str) -> Self {
        TableRef::Name(name.to_owned())
    }
}

impl From<Id> for TableRef {
    fn from(id: Id) -> Self {
        TableRef::Id(id)
    }
}

/// The genesis of a ledger as the server gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenesisRecord {
    /// The bytes that the leaf at position 0 names by their hash.
    pub record: Vec<u8>,
    /// The leaf.
    pub leaf: Vec<u8>,
    /// The origin.
    pub origin: String,
    /// The key.
    pub verifier_key: String,
}

/// Verifies what one ledger's server says against a pinned checkpoint.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use ledgerstone_client::{Client, PinnedCheckpoint, Verifier};
///
/// let client = Client::connect("http://127.0.0.1:7430").await?;
/// let vkey = std::fs::read_to_string("main.vkey")?; // from the ledger's owner, not from the server
/// let pin = PinnedCheckpoint::with_file(vkey.trim().parse()?, "main.pin")?;
/// let mut verifier = Verifier::new(client, "main", pin);
/// let verdict = verifier.get_verified("person", "0AWbYdCS5mQBzZdKkpWwZ1".parse()?).await?;
/// println!("version {}: {:?}", verdict.version, verdict.data);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Verifier {
    client: Client,
    ledger: String,
    pin: PinnedCheckpoint,
    tables: HashMap<String, Id>,
}

impl Verifier {
    /// Verifies a ledger against a key and what is pinned.
    pub fn new(client: Client, ledger: &str, pin: PinnedCheckpoint) -> Self {
        Verifier { client, ledger: ledger.to_owned(), pin, tables: HashMap::new() }
    }

    /// Trusts the key that the server names now, and pins its newest checkpoint. From then on the server cannot show
    /// another history, but whether this was the right ledger nobody has checked: prefer a key from its owner.
    /// If the file is there already, its key is the one that is trusted.
    pub async fn trust_on_first_use(client: Client, ledger: &str, path: Option<PathBuf>) -> Result<Self> {
        let pin = match path {
            Some(path) if path.exists() => PinnedCheckpoint::open(path)?,
            path => {
                let genesis = fetch_genesis(&client, ledger).await?;
                let key: VerifierKey =
                    genesis.verifier_key.parse().map_err(|e| Error::answer(format!("the verifier key: {e}")))?;
                match path {
                    Some(path) => PinnedCheckpoint::with_file(key, path)?,
                    None => PinnedCheckpoint::new(key),
                }
            }
        };
        let mut verifier = Verifier::new(client, ledger, pin);
        verifier.refresh().await?;
        Ok(verifier)
    }

    /// The key and the newest verified checkpoint.
    pub fn pin(&self) -> &PinnedCheckpoint {
        &self.pin
    }

    /// Gives the pin back.
    pub fn into_pin(self) -> PinnedCheckpoint {
        self.pin
    }

    /// The ledger's name on the server.
    pub fn ledger(&self) -> &str {
        &self.ledger
    }

    /// The connection.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Asks for the newest checkpoint and moves the pin there.
    pub async fn refresh(&mut self) -> Result<Checkpoint> {
        let request = v1::GetCheckpointRequest { ledger: self.ledger.clone() };
        let note = asked(|| {
            let (mut service, request) = (self.client.digest_service(), request.clone());
            async move { service.get_checkpoint(request).await }
        })
        .await?
        .note;
        let shown = self.check(&note).await?.checkpoint;
        if let Some(pinned) = self.pin.checkpoint()
            && shown.size < pinned.size
        {
            return Err(Error::RolledBack { pinned: pinned.size, size: shown.size, note });
        }
        let proof = self.proof_with_pinned(shown.size).await?;
        self.pin.advance(&note, &proof)
    }

    /// The genesis as the server gives it. [`Verifier::audit`] checks it.
    pub async fn genesis(&self) -> Result<GenesisRecord> {
        fetch_genesis(&self.client, &self.ledger).await
    }

    /// The newest revision of a document, verified: in the ledger, of this table and document, with this content.
    /// That no newer one exists is the server's claim; receipts cannot show it.
    pub async fn get_verified(&mut self, table: impl Into<TableRef>, document: Id) -> Result<Verdict> {
        self.get_revision(table.into(), document, None).await
    }

    /// One version of a document, verified.
    pub async fn get_verified_version(
        &mut self,
        table: impl Into<TableRef>,
        document: Id,
        version: u64,
    ) -> Result<Verdict> {
        self.get_revision(table.into(), document, Some(version)).await
    }

    /// The id of the table with this name: named by the server, then shown with a receipt of the catalogue's revision
    /// that gives the table its name. That it has not been renamed since is the server's claim.
    pub async fn table_id(&mut self, name: &str) -> Result<Id> {
        if let Some(id) = self.tables.get(name) {
            return Ok(*id);
        }
        let tables = self.client.tables(&self.ledger).await?;
        let table = tables.iter().find(|table| table.active && table.name == name).ok_or_else(|| Error::Server {
            code: tonic::Code::NotFound,
            message: format!("ledger \"{}\" has no table \"{name}\"", self.ledger),
        })?;
        let verdict = self.get_revision(TableRef::Id(Id::TABLES), table.id, None).await?;
        let data = verdict.data.as_deref().and_then(Value::as_struct);
        let shown = data.and_then(|data| data.get("name")).and_then(Value::as_text);
        if shown != Some(name) {
            let found = shown.map_or_else(|| "a table without a name".to_owned(), |shown| format!("\"{shown}\""));
            return Err(Error::Mismatch { what: "the table's name", expected: format!("\"{name}\""), found });
        }
        self.tables.insert(name.to_owned(), table.id);
        Ok(table.id)
    }

    /// The receipt of one position, as bytes to keep; not verified.
    pub async fn fetch_receipt(&self, position: u64) -> Result<Vec<u8>> {
        self.fetch(Of::Position(position)).await
    }

    /// The receipt of a whole transaction, as bytes to keep; not verified.
    pub async fn fetch_transaction_receipt(&self, block: u64) -> Result<Vec<u8>> {
        self.fetch(Of::Block(block)).await
    }

    /// A `c2sp.org/tlog-proof@v1` file of the leaf at one position, for stock tools; not verified.
    pub async fn fetch_tlog_proof(&self, position: u64) -> Result<String> {
        let request = v1::GetTlogProofRequest { ledger: self.ledger.clone(), position };
        Ok(asked(|| {
            let (mut service, request) = (self.client.digest_service(), request.clone());
            async move { service.get_tlog_proof(request).await }
        })
        .await?
        .proof)
    }

    /// Verifies a receipt of one revision, fetched now or kept from before, against what is expected. A consistency
    /// proof with the pinned checkpoint is fetched if the receipt is under another one; the pin moves if it is newer.
    pub async fn verify_receipt(&mut self, receipt: &[u8], expectation: &Expectation) -> Result<Verdict> {
        let receipt = Receipt::decode(receipt)?;
        let (trust, proof) = self.trust(&receipt.checkpoint).await?;
        let refused = |refusal: Refusal| not_proved(refusal, &receipt);
        let verdict = offline::verify(&receipt, &trust, expectation).map_err(refused)?;
        self.pin.advance(&receipt.checkpoint, &proof)?;
        Ok(verdict)
    }

    /// Verifies a receipt of a whole transaction.
    pub async fn verify_transaction_receipt(&mut self, receipt: &[u8]) -> Result<TransactionVerdict> {
        let receipt = Receipt::decode(receipt)?;
        let (trust, proof) = self.trust(&receipt.checkpoint).await?;
        let verdict =
            offline::verify_transaction(&receipt, &trust, self.pin.origin()).map_err(|r| not_proved(r, &receipt))?;
        self.pin.advance(&receipt.checkpoint, &proof)?;
        Ok(verdict)
    }

    /// Holds the server to its answer to a commit: the block is in the ledger where it was promised to be, with that
    /// transaction, that time and that many revisions.
    pub async fn verify_commit(&mut self, commit: &Commit) -> Result<TransactionVerdict> {
        let receipt = self.fetch_transaction_receipt(commit.block).await?;
        let verdict = self.verify_transaction_receipt(&receipt).await?;
        let block = &verdict.block;
        let first = block.position.checked_sub(u64::from(block.revisions));
        let found = (block.transaction_id, block.strand, block.number, block.position, first, block.time_ms);
        let promised = (
            commit.transaction_id,
            commit.strand,
            commit.block,
            commit.block_position,
            Some(commit.first_position),
            commit.time_ms,
        );
        if found != promised || block.revisions != commit.revisions {
            return Err(Error::Mismatch {
                what: "the commit",
                expected: format!("{commit:?}"),
                found: format!("{block:?}"),
            });
        }
        Ok(verdict)
    }

    /// Ledger, table and document, for [`Verifier::verify_receipt`]. Set `version` and `content` to expect those too.
    pub fn expect(&self, table_id: Id, document_id: Id) -> Expectation {
        Expectation { origin: self.pin.origin().to_owned(), table_id, document_id, version: None, content: None }
    }

    async fn get_revision(&mut self, table: TableRef, document: Id, version: Option<u64>) -> Result<Verdict> {
        let table_id = match table {
            TableRef::Id(id) => id,
            // Boxed: resolving a name asks for a revision of the catalogue, by id.
            TableRef::Name(name) => Box::pin(self.table_id(&name)).await?,
        };
        let name = v1::RevisionName { table: table_id.to_string(), document_id: document.to_string(), version };
        let receipt = self.fetch(Of::Revision(name)).await?;
        let expectation = Expectation { version, ..self.expect(table_id, document) };
        self.verify_receipt(&receipt, &expectation).await
    }

    async fn fetch(&self, of: Of) -> Result<Vec<u8>> {
        let request = v1::GetReceiptRequest { ledger: self.ledger.clone(), of: Some(of) };
        Ok(asked(|| {
            let (mut service, request) = (self.client.digest_service(), request.clone());
            async move { service.get_receipt(request).await }
        })
        .await?
        .receipt)
    }

    /// What to verify a receipt under this checkpoint with, and the proof that joins it to the pinned one.
    async fn trust(&mut self, note: &str) -> Result<(Trust, Vec<Hash>)> {
        let size = self.check(note).await?.checkpoint.size;
        let proof = self.proof_with_pinned(size).await?;
        let pinned = self.pin.checkpoint().cloned();
        let consistency = pinned.as_ref().filter(|pinned| pinned.size != size).map(|_| proof.clone());
        Ok((Trust { pinned, consistency, ..self.pin.keys().trust() }, proof))
    }

    /// Checks key and form of a signed checkpoint. If a key has signed that is not known here, the trusted one may have been
    /// rotated: then the server has to prove that, and the pin follows.
    async fn check(&mut self, note: &str) -> Result<Head> {
        match self.pin.check(note) {
            Err(error) if error.is_unknown_key() => match self.follow_rotations().await? {
                0 => Err(error),
                _ => self.pin.check(note),
            },
            outcome => outcome,
        }
    }

    /// Asks how the key came to be the one it is now, and follows as far as each key has signed. Gives how many rotations
    /// were followed. Called when need be; calling it is never wrong.
    pub async fn follow_rotations(&mut self) -> Result<usize> {
        let request = v1::GetRotationsRequest { ledger: self.ledger.clone(), from_key: self.pin.key().to_string() };
        let answer = asked(|| {
            let (mut service, request) = (self.client.digest_service(), request.clone());
            async move { service.get_rotations(request).await }
        })
        .await?;
        for bytes in &answer.receipts {
            let receipt = Receipt::decode(bytes)?;
            let size = UnverifiedCheckpoint::parse(&receipt.checkpoint)
                .map_err(|error| not_proved(error.into(), &receipt))?
                .unverified()
                .size;
            let proof = self.proof_with_pinned(size).await?;
            self.pin.follow(bytes, &proof)?;
        }
        Ok(answer.receipts.len())
    }

    /// The consistency proof between the pinned size and another one; empty if there is nothing to prove.
    async fn proof_with_pinned(&self, size: u64) -> Result<Vec<Hash>> {
        let Some(pinned) = self.pin.checkpoint() else { return Ok(Vec::new()) };
        let (from, to) = (pinned.size.min(size), pinned.size.max(size));
        if from == to {
            return Ok(Vec::new());
        }
        let request = v1::GetConsistencyProofRequest { ledger: self.ledger.clone(), from_size: from, to_size: to };
        let answer = asked(|| {
            let (mut service, request) = (self.client.digest_service(), request.clone());
            async move { service.get_consistency_proof(request).await }
        });
        match answer.await {
            Ok(answer) => answer.hashes.iter().map(|bytes| hash(bytes)).collect(),
            Err(error @ Error::Unavailable(_)) => Err(error),
            Err(error) => Err(Error::NoConsistency { from, to, source: Box::new(error) }),
        }
    }
}

async fn fetch_genesis(client: &Client, ledger: &str) -> Result<GenesisRecord> {
    let request = v1::GetGenesisRequest { ledger: ledger.to_owned() };
    let v1::GetGenesisResponse { record, leaf, origin, verifier_key } = asked(|| {
        let (mut service, request) = (client.digest_service(), request.clone());
        async move { service.get_genesis(request).await }
    })
    .await?;
    Ok(GenesisRecord { record, leaf, origin, verifier_key })
}

fn not_proved(refusal: Refusal, receipt: &Receipt) -> Error {
    Error::NotProved { refusal: Box::new(refusal), note: receipt.checkpoint.clone() }
}
