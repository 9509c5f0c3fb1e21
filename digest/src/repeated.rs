//! Hashes of what the revisions of a block have in common (docs/format.md, "QLDB's hashes"): a field that was hashed last
//! time with the same value is not hashed again. In a block of many revisions that is all fields but the document's id.

use crate::block::{DocumentInfo, Metadata};
use crate::ion::Hasher;
use crate::{Hash, Id};

/// What was hashed last.
#[derive(Debug, Default)]
pub struct RepeatedFields {
    version: Option<(u64, Hash)>,
    time: Option<(i64, Hash)>,
    transaction: Option<(Id, Hash)>,
    listing: Option<Listing>,
}

#[derive(Debug)]
struct Listing {
    table: Id,
    name: Box<str>,
    statements: Vec<u32>,
    hashes: [Hash; 3],
}

impl RepeatedFields {
    /// IH(metadata).
    pub fn metadata(&mut self, metadata: &Metadata, hasher: &mut Hasher) -> Hash {
        let version = kept(&mut self.version, metadata.version, || metadata.version_field(hasher));
        let time = kept(&mut self.time, metadata.tx_time_ms, || metadata.time_field(hasher));
        let transaction = kept(&mut self.transaction, metadata.tx_id, || metadata.transaction_field(hasher));
        metadata.ion_hash_of_fields(hasher, [version, time, transaction])
    }

    /// The hash of a document's field in transactionInfo's `documents`.
    pub fn listed(
        &mut self,
        document: Id,
        (table, table_name): (Id, &str),
        statements: &[u32],
        hasher: &mut Hasher,
    ) -> Hash {
        let known = |l: &&Listing| l.table == table && *l.name == *table_name && l.statements == statements;
        let hashes = match self.listing.as_ref().filter(known) {
            Some(listing) => listing.hashes,
            None => {
                let hashes = DocumentInfo::fields(table_name, &table, statements, hasher);
                self.listing =
                    Some(Listing { table, name: table_name.into(), statements: statements.to_vec(), hashes });
                hashes
            }
        };
        hasher.structure_field(&document.to_string(), |fields| {
            hashes.into_iter().for_each(|hash| fields.hashed_field(hash));
        })
    }
}

/// The hash of what was hashed last, or a new one.
fn kept<K: PartialEq>(known: &mut Option<(K, Hash)>, key: K, hash: impl FnOnce() -> Hash) -> Hash {
    match known {
        Some((last, hash)) if *last == key => *hash,
        _ => known.insert((key, hash())).1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{StatementInfo, StatementText, TransactionInfo};

    #[test]
    fn hashes_are_the_same_however_much_is_kept() {
        let (mut fields, mut hasher) = (RepeatedFields::default(), Hasher::new());
        let id = |n: u8| Id([n; 16]);
        let statement =
            StatementInfo { text: StatementText::Text("s".into()), start_time_ms: 5, digest: Hash([7; 32]) };
        let mut info = TransactionInfo { statements: vec![statement; 3], documents: Vec::new() };
        let mut listed = Vec::new();
        for n in 0..40_u8 {
            let metadata =
                Metadata { id: id(n), version: u64::from(n / 8), tx_time_ms: i64::from(n / 16), tx_id: id(n / 20) };
            assert_eq!(fields.metadata(&metadata, &mut hasher), metadata.ion_hash());
            let document = DocumentInfo {
                document_id: id(n),
                table_name: if n % 9 == 0 { "a" } else { "b" }.into(),
                table_id: id(n / 12),
                statements: vec![u32::from(n / 30), 2],
            };
            let table = (document.table_id, &*document.table_name);
            listed.push(fields.listed(document.document_id, table, &document.statements, &mut hasher));
            info.documents.push(document);
        }
        assert_eq!(TransactionInfo::ion_hash_of(&info.statements, &listed, &mut hasher), info.ion_hash());
    }
}
