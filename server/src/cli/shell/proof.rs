//! `\verify` in the shell: a document's receipt, fetched and checked here, against the key and the checkpoint that this
//! shell saw first.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledgerstone_digest::checkpoint::UnverifiedCheckpoint;
use ledgerstone_digest::note::VerifierKey;
use ledgerstone_digest::receipt::Receipt;
use tokio_postgres::Client;

use super::TABLES;
use crate::cli::report::Check;
use crate::cli::verify::{Kept, check_receipt, read_consistency_text};
use crate::cli::wire::{self, WireError};

/// What this shell believes: the key that it was given or met first, and the newest checkpoint that it has verified.
#[derive(Default)]
pub struct Pinned {
    key: Option<VerifierKey>,
    kept: Option<String>,
}

impl Pinned {
    /// A key from elsewhere, which is worth more than one that the server gives.
    pub fn of(key: Option<VerifierKey>) -> Pinned {
        Pinned { key, kept: None }
    }

    /// Checks the newest revision of a document, or the one of this version. `words`: the table (which may be left out
    /// before an id), the document by id or primary key, the version.
    pub async fn verify(&mut self, client: &Client, words: &[&str]) -> Result<Check, WireError> {
        let encoded = match words {
            [document] => found_in_some(client, document).await?,
            [table, document] => wire::value(client, &receipt_of(table, document, None)).await?,
            [table, document, version] => wire::value(client, &receipt_of(table, document, Some(version))).await?,
            _ => return Err(WireError::Server("\\verify [TABLE] DOCUMENT [VERSION]".to_owned())),
        };
        let encoded: String = encoded.chars().filter(|c| !c.is_whitespace()).collect();
        let bytes = STANDARD.decode(encoded).map_err(|error| WireError::Server(format!("the receipt: {error}")))?;
        let key = match &self.key {
            Some(key) => key.clone(),
            None => {
                let text = wire::value(client, "SELECT ledgerstone_vkey()").await?;
                let key = text.parse().map_err(|error| WireError::Server(format!("the server's key: {error}")))?;
                self.key.insert(key).clone()
            }
        };
        let note = Receipt::decode(&bytes).map(|receipt| receipt.checkpoint.to_string()).unwrap_or_default();
        let kept = self.kept.as_deref().and_then(|kept| Kept::seen_before(kept, &key));
        let consistency = match (&kept, size(&note)) {
            (Some(kept), Some(to)) if kept.size() != to => {
                let (from, to) = (kept.size().min(to), kept.size().max(to));
                let text = wire::value(client, &format!("SELECT ledgerstone_consistency({from}, {to})")).await?;
                read_consistency_text(&text)
            }
            _ => None,
        };
        let subject = words.join(" ");
        let check = check_receipt(Path::new(&subject), &bytes, key, kept, consistency);
        if check.holds() && size(&note) > self.kept.as_deref().and_then(size) {
            self.kept = Some(note);
        }
        Ok(check)
    }
}

fn size(note: &str) -> Option<u64> {
    UnverifiedCheckpoint::parse(note).ok().map(|checkpoint| checkpoint.unverified().size)
}

/// The receipt of a document that is named by its id alone.
async fn found_in_some(client: &Client, document: &str) -> Result<String, WireError> {
    let answers =
        wire::query(client, TABLES).await.map_err(|error| WireError::Server(wire::explain(&error, TABLES)))?;
    let tables = answers.into_iter().flat_map(|answer| answer.rows).filter_map(|row| row.into_iter().next().flatten());
    for table in tables {
        if let Ok(receipt) = wire::value(client, &receipt_of(&table, document, None)).await {
            return Ok(receipt);
        }
    }
    Err(WireError::Server(format!(
        "no table has a current document {document}; name the table: \\verify TABLE DOCUMENT"
    )))
}

fn receipt_of(table: &str, document: &str, version: Option<&str>) -> String {
    let quoted = |text: &str| format!("'{}'", text.trim_matches('"').replace('\'', "''"));
    let version = version.and_then(|version| version.parse::<u32>().ok()).map(|version| format!(", {version}"));
    let arguments = format!("{}, {}{}", quoted(table), quoted(document), version.unwrap_or_default());
    format!("SELECT encode(ledgerstone_receipt({arguments}), 'base64')")
}
