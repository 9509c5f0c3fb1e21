//! Hashes of what the revisions of a block have in common, and blocks with those before them (docs/format.md, "QLDB's
//! hashes"): a field that was hashed last time with the same value is not hashed again. In a block of many revisions that is
//! all fields but the document's id; of blocks written by applications it is the texts of statements and who wrote them.

use std::sync::Arc;

use crate::block::{DocumentInfo, Metadata, OriginInfo, StatementInfo, StatementText, TransactionInfo};
use crate::ion::Hasher;
use crate::{Hash, Id};

/// So many texts of statements are kept, of at most so many bytes.
const TEXTS: usize = 16;
const TEXT_BYTES_MAX: usize = 16 << 10;

/// What was hashed last.
#[derive(Debug, Default)]
pub struct RepeatedFields {
    version: Option<(u64, Hash)>,
    time: Option<(i64, Hash)>,
    start_time: Option<(i64, Hash)>,
    transaction: Option<(Id, Hash)>,
    listing: Option<Listing>,
    origin: Option<(OriginInfo, Hash)>,
    /// Texts of statements, and which of them goes next.
    texts: Vec<(Arc<str>, Hash)>,
    next_text: usize,
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

    /// `IH(transactionInfo)` from the hashes of the fields of its `documents` ([`RepeatedFields::listed`]).
    pub fn transaction_info(&mut self, statements: &[StatementInfo], documents: &[Hash], hasher: &mut Hasher) -> Hash {
        let known = |statement: &StatementInfo| {
            let start = statement.start_time_ms;
            (self.text(statement, hasher), kept(&mut self.start_time, start, || statement.start_field(hasher)))
        };
        let hashes: Vec<(Hash, Hash)> = statements.iter().map(known).collect();
        TransactionInfo::ion_hash_of_fields(statements, &hashes, documents, hasher)
    }

    /// The hash of a statement's text as a field.
    fn text(&mut self, statement: &StatementInfo, hasher: &mut Hasher) -> Hash {
        let text = match &statement.text {
            StatementText::Text(text) => text,
            StatementText::Redacted(hash) => return *hash,
        };
        if let Some((_, hash)) = self.texts.iter().find(|(known, _)| Arc::ptr_eq(known, text) || **known == **text) {
            return *hash;
        }
        let hash = hasher.string_field("statement", text);
        if text.len() <= TEXT_BYTES_MAX {
            match self.texts.get_mut(self.next_text) {
                Some(place) => *place = (Arc::clone(text), hash),
                None => self.texts.push((Arc::clone(text), hash)),
            }
            self.next_text = (self.next_text + 1) % TEXTS;
        }
        hash
    }

    /// IH(originInfo).
    pub fn origin(&mut self, origin: &OriginInfo, hasher: &mut Hasher) -> Hash {
        match &self.origin {
            Some((last, hash)) if last == origin => *hash,
            _ => self.origin.insert((origin.clone(), origin.ion_hash_with(hasher))).1,
        }
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
        assert_eq!(fields.transaction_info(&info.statements, &listed, &mut hasher), info.ion_hash());
    }

    #[test]
    fn texts_and_origins_are_the_same_however_many_were_before() {
        let (mut fields, mut hasher) = (RepeatedFields::default(), Hasher::new());
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        for n in 0..200_i64 {
            let text = |which: i64| match which % 7 {
                0 => StatementText::Redacted(Hash([3; 32])),
                1 => StatementText::Text(long.as_str().into()),
                _ => StatementText::Text(format!("select {}", which % 41).into()),
            };
            let statement = |which: i64| StatementInfo {
                text: text(which),
                start_time_ms: which / 3,
                digest: Hash([which as u8; 32]),
            };
            let statements: Vec<_> = (0..n % 4).map(|at| statement(n * n + at)).collect();
            let info = TransactionInfo { statements, documents: Vec::new() };
            assert_eq!(fields.transaction_info(&info.statements, &[], &mut hasher), info.ion_hash());
            let origin = OriginInfo {
                user: if n % 5 == 0 { "a" } else { "b" }.into(),
                door: if n % 3 == 0 { "c" } else { "d" }.into(),
                client_token: (n % 2 == 0).then(|| "t".into()),
                signature: None,
            };
            assert_eq!(fields.origin(&origin, &mut hasher), origin.ion_hash());
        }
        assert_eq!(fields.texts.len(), TEXTS);
    }
}
