//! GetDigest, GetBlock and GetRevision: what QLDB's own verifiers check.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledgerstone_digest::Id;
use ledgerstone_digest::ion::Value;
use ledgerstone_digest::qldb::block_address;
use ledgerstone_journal::{Ledger, QldbError, QldbProof, ReadError};
use ledgerstone_query::permission::Action;
use serde_json::json;

use super::wire::{self, Address, GetBlock, GetRevision, IonText};
use super::{Call, Failure};

impl Call<'_> {
    pub fn digest(&self, name: &str) -> Result<String, Failure> {
        self.permit(name, Action::GetDigest)?;
        let ledger = self.ledger(name)?;
        let digest = ledger.qldb_digest().map_err(|error| failure(name, error))?;
        let tip = block_address(&digest.strand.to_string(), digest.tip);
        let hash = STANDARD.encode(digest.hash.0);
        Ok(json!({ "Digest": hash, "DigestTipAddress": wire::ion_text(&tip) }).to_string())
    }

    pub fn block(&self, name: &str) -> Result<String, Failure> {
        self.permit(name, Action::GetBlock)?;
        let request: GetBlock = wire::read(self.body)?;
        let ledger = self.ledger(name)?;
        let address = address(&ledger, request.block_address, "BlockAddress")?;
        let tip = tip(&ledger, request.digest_tip_address)?;
        let block = ledger.qldb_block(address.sequence_no, tip).map_err(|error| failure(name, error))?;
        Ok(proved("Block", block))
    }

    pub fn revision(&self, name: &str) -> Result<String, Failure> {
        self.permit(name, Action::GetRevision)?;
        let request: GetRevision = wire::read(self.body)?;
        let ledger = self.ledger(name)?;
        let address = address(&ledger, request.block_address, "BlockAddress")?;
        let text = wire::required(request.document_id, "DocumentId")?;
        let not_an_id = || Failure::invalid_parameter("DocumentId", "DocumentId is not an id of 22 characters");
        let document: Id = text.parse().map_err(|_| not_an_id())?;
        let tip = tip(&ledger, request.digest_tip_address)?;
        let revision = ledger.qldb_revision(address.sequence_no, document, tip);
        Ok(proved("Revision", revision.map_err(|error| failure(name, error))?))
    }
}

fn address(ledger: &Ledger, given: Option<IonText>, name: &'static str) -> Result<Address, Failure> {
    let address = wire::required(given, name)?.address(name)?;
    if address.strand != ledger.strand() {
        let what = format!("{name} names strand {}; this ledger's strand is {}", address.strand, ledger.strand());
        return Err(Failure::invalid_parameter(name, what));
    }
    Ok(address)
}

fn tip(ledger: &Ledger, given: Option<IonText>) -> Result<Option<u64>, Failure> {
    let given = given.map(|given| address(ledger, Some(given), "DigestTipAddress"));
    Ok(given.transpose()?.map(|address| address.sequence_no))
}

fn proved(what: &str, shown: QldbProof) -> String {
    let mut answer = json!({ what: wire::ion_text(&shown.value) });
    if let Some(proof) = shown.proof {
        let hashes = proof.iter().map(|hash| Value::blob(hash.0.as_slice())).collect();
        answer["Proof"] = wire::ion_text(&Value::List(hashes));
    }
    answer.to_string()
}

fn failure(ledger: &str, error: QldbError) -> Failure {
    let message = error.to_string();
    match error {
        QldbError::Empty => Failure::precondition_not_met("Ledger", ledger, message),
        QldbError::Read(ReadError::Beyond { .. }) => Failure::invalid_parameter("BlockAddress", message),
        QldbError::NoRevision { .. } => Failure::invalid_parameter("DocumentId", message),
        QldbError::BehindTip { .. } => Failure::invalid_parameter("DigestTipAddress", message),
        QldbError::Closed => Failure::unavailable(message),
        _ => Failure::internal(message),
    }
}
