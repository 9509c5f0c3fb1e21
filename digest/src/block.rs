//! What a block says beside its revisions: metadata, transactionInfo, originInfo, redactionInfo, as Ion values and
//! as hashes (docs/format.md, "QLDB's hashes" and "Redaction").
//!
//! The `from_value` parsers are for the verifier: they accept exactly what a native block holds, so that nothing
//! that is shown can differ from what is hashed.

use std::sync::Arc;

use crate::ion::{FieldWriter, Fraction, Hasher, Int, Precision, Struct, Symbol, Timestamp, Value};
use crate::qldb::block_address;
use crate::{Hash, Id};

/// A revision's metadata: exactly `{id, version, txTime, txId}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    pub id: Id,
    pub version: u64,
    pub tx_time_ms: i64,
    pub tx_id: Id,
}

/// A statement's text, or what stays of it after a redaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementText {
    Text(Arc<str>),
    /// `statementHash`: the hash of the field `statement` that stood here, `H(s(symbol "statement") ‖ s(text))`.
    Redacted(Hash),
}

/// One statement of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementInfo {
    pub text: StatementText,
    pub start_time_ms: i64,
    pub digest: Hash,
}

/// One document that a transaction changed in a user table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentInfo {
    pub document_id: Id,
    pub table_name: Arc<str>,
    pub table_id: Id,
    /// Indexes into the transaction's statements.
    pub statements: Vec<u32>,
}

/// `transactionInfo`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransactionInfo {
    pub statements: Vec<StatementInfo>,
    /// Left out of the struct if empty.
    pub documents: Vec<DocumentInfo>,
}

/// `originInfo`: who did it, through which protocol, and the token that makes a retry idempotent. It is an open
/// struct: hash the value that was stored, not what is left of it here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OriginInfo {
    pub user: Arc<str>,
    pub door: Arc<str>,
    pub client_token: Option<Arc<str>>,
    pub signature: Option<Vec<u8>>,
}

/// One revision that a transaction redacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedactedRevision {
    pub strand: Id,
    pub sequence_no: u64,
    pub table_id: Id,
    pub document_id: Id,
    pub version: u64,
}

/// `redactionInfo`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedactionInfo {
    pub revisions: Vec<RedactedRevision>,
}

/// Why a value is not the struct that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct BlockError {
    /// The path of the field, such as `transactionInfo.statements[2].startTime`.
    pub place: String,
    pub problem: String,
}

/// The timestamp of a native time: three fraction digits, offset `Z`. A time outside the years 1 to 9999, which no
/// clock that a ledger accepts shows, becomes the nearest one inside.
pub fn native_time(ms: i64) -> Timestamp {
    let nearest = |_| Timestamp {
        year: if ms < 0 { 1 } else { 9999 },
        month: 1,
        day: 1,
        hour: 0,
        minute: 0,
        second: 0,
        fraction: Fraction::new(0, 3),
        precision: Precision::Second,
        offset_minutes: Some(0),
    };
    Timestamp::from_epoch_ms(ms).unwrap_or_else(nearest)
}

/// The hash of the struct field `statement`: what stays of a text after a redaction.
pub fn statement_field_hash(text: &str) -> Hash {
    statement_field_hash_with(&mut Hasher::new(), text)
}

/// The same with a kept hasher.
pub fn statement_field_hash_with(hasher: &mut Hasher, text: &str) -> Hash {
    hasher.string_field("statement", text)
}

impl Metadata {
    pub fn to_value(&self) -> Value {
        structure([
            ("id", id_value(&self.id)),
            ("version", Value::Int(Int::from(self.version))),
            ("txTime", Value::Timestamp(native_time(self.tx_time_ms))),
            ("txId", id_value(&self.tx_id)),
        ])
    }

    pub fn from_value(value: &Value) -> Result<Self, BlockError> {
        let mut fields = Fields::of(value, "metadata")?;
        let metadata = Metadata {
            id: fields.id("id")?,
            version: fields.uint("version")?,
            tx_time_ms: fields.time("txTime")?,
            tx_id: fields.id("txId")?,
        };
        fields.no_others()?;
        Ok(metadata)
    }

    pub fn ion_hash(&self) -> Hash {
        self.ion_hash_with(&mut Hasher::new())
    }

    pub fn ion_hash_with(&self, hasher: &mut Hasher) -> Hash {
        hasher.structure(|fields| {
            id_field(fields, "id", &self.id);
            fields.field("version", &Value::Int(Int::from(self.version)));
            fields.field("txTime", &Value::Timestamp(native_time(self.tx_time_ms)));
            id_field(fields, "txId", &self.tx_id);
        })
    }
}

/// Fields hashed apart, for who hashes many metadata that have some of them in common.
impl Metadata {
    pub(crate) fn version_field(&self, hasher: &mut Hasher) -> Hash {
        hasher.field("version", &Value::Int(Int::from(self.version)))
    }

    pub(crate) fn time_field(&self, hasher: &mut Hasher) -> Hash {
        hasher.field("txTime", &Value::Timestamp(native_time(self.tx_time_ms)))
    }

    pub(crate) fn transaction_field(&self, hasher: &mut Hasher) -> Hash {
        hasher.string_field("txId", &self.tx_id.to_string())
    }

    /// IH(metadata), of which all fields but the id were hashed.
    pub(crate) fn ion_hash_of_fields(&self, hasher: &mut Hasher, others: [Hash; 3]) -> Hash {
        hasher.structure(|fields| {
            id_field(fields, "id", &self.id);
            others.into_iter().for_each(|hash| fields.hashed_field(hash));
        })
    }
}

impl StatementText {
    /// The text if it was not redacted.
    pub fn text(&self) -> Option<&str> {
        match self {
            StatementText::Text(text) => Some(text),
            StatementText::Redacted(_) => None,
        }
    }

    /// The text without what it says: its hash stays the same in the struct around it.
    pub fn redacted(&self) -> StatementText {
        match self {
            StatementText::Text(text) => StatementText::Redacted(statement_field_hash(text)),
            StatementText::Redacted(hash) => StatementText::Redacted(*hash),
        }
    }
}

impl StatementInfo {
    fn to_value(&self) -> Value {
        let text = match &self.text {
            StatementText::Text(text) => ("statement", Value::string(text.clone())),
            StatementText::Redacted(hash) => ("statementHash", hash_value(hash)),
        };
        let start = Value::Timestamp(native_time(self.start_time_ms));
        structure([text, ("startTime", start), ("statementDigest", hash_value(&self.digest))])
    }

    fn from_value(value: &Value, place: &str) -> Result<Self, BlockError> {
        let mut fields = Fields::of(value, place)?;
        let text = if fields.has("statementHash") {
            StatementText::Redacted(fields.hash("statementHash")?)
        } else {
            StatementText::Text(fields.text("statement")?)
        };
        let info =
            StatementInfo { text, start_time_ms: fields.time("startTime")?, digest: fields.hash("statementDigest")? };
        fields.no_others()?;
        Ok(info)
    }

    fn write(&self, fields: &mut FieldWriter<'_>) {
        match &self.text {
            StatementText::Text(text) => fields.string_field("statement", text),
            StatementText::Redacted(hash) => fields.hashed_field(*hash),
        }
        self.write_beside_text(fields);
    }

    pub(crate) fn start_field(&self, hasher: &mut Hasher) -> Hash {
        hasher.field("startTime", &Value::Timestamp(native_time(self.start_time_ms)))
    }

    /// All fields but the text's.
    pub(crate) fn write_beside_text(&self, fields: &mut FieldWriter<'_>) {
        fields.field("startTime", &Value::Timestamp(native_time(self.start_time_ms)));
        fields.blob_field("statementDigest", &self.digest.0);
    }
}

impl DocumentInfo {
    fn to_value(&self) -> Value {
        let statements = self.statements.iter().map(|i| Value::int(i64::from(*i))).collect();
        structure([
            ("tableName", Value::string(self.table_name.clone())),
            ("tableId", id_value(&self.table_id)),
            ("statements", Value::List(statements)),
        ])
    }

    fn from_value(name: &Symbol, value: &Value, statements: usize, place: &str) -> Result<Self, BlockError> {
        let place = format!("{place}.{}", name.text().unwrap_or("$0"));
        let document_id = parse_id(name.text().unwrap_or(""), &place)?;
        let mut fields = Fields::of(value, &place)?;
        let mut indexes = Vec::new();
        for index in fields.list("statements")? {
            match index.as_i64().and_then(|i| u32::try_from(i).ok()) {
                Some(i) if (i as usize) < statements => indexes.push(i),
                _ => return Err(refuse(&place, "names a statement that is not there")),
            }
        }
        let info = DocumentInfo {
            document_id,
            table_name: fields.text("tableName")?,
            table_id: fields.id("tableId")?,
            statements: indexes,
        };
        fields.no_others()?;
        Ok(info)
    }
}

impl DocumentInfo {
    /// The hashes of the fields, which documents of one table often have in common.
    pub(crate) fn fields(table_name: &str, table_id: &Id, statements: &[u32], hasher: &mut Hasher) -> [Hash; 3] {
        let statements = statements.iter().map(|i| Value::int(i64::from(*i))).collect();
        [
            hasher.string_field("tableName", table_name),
            hasher.string_field("tableId", &table_id.to_string()),
            hasher.field("statements", &Value::List(statements)),
        ]
    }

    fn write(&self, fields: &mut FieldWriter<'_>) {
        let statements = self.statements.iter().map(|i| Value::int(i64::from(*i))).collect();
        fields.string_field("tableName", &self.table_name);
        id_field(fields, "tableId", &self.table_id);
        fields.field("statements", &Value::List(statements));
    }
}

impl TransactionInfo {
    pub fn to_value(&self) -> Value {
        let statements = Value::List(self.statements.iter().map(StatementInfo::to_value).collect());
        let mut fields = vec![(Symbol::from("statements"), statements)];
        if !self.documents.is_empty() {
            let documents = self.documents.iter().map(|d| (Symbol::new(d.document_id.to_string()), d.to_value()));
            fields.push((Symbol::from("documents"), Value::Struct(Struct { fields: documents.collect() })));
        }
        Value::Struct(Struct { fields })
    }

    pub fn from_value(value: &Value) -> Result<Self, BlockError> {
        let mut fields = Fields::of(value, "transactionInfo")?;
        let mut statements = Vec::new();
        for (i, statement) in fields.list("statements")?.iter().enumerate() {
            statements.push(StatementInfo::from_value(statement, &format!("transactionInfo.statements[{i}]"))?);
        }
        let mut documents = Vec::new();
        if fields.has("documents") {
            let place = "transactionInfo.documents";
            let Some(Struct { fields: listed }) = fields.take("documents")?.as_struct() else {
                return Err(refuse(place, "is not a struct"));
            };
            if listed.is_empty() {
                return Err(refuse(place, "is empty; it is left out instead"));
            }
            for (name, document) in listed {
                documents.push(DocumentInfo::from_value(name, document, statements.len(), place)?);
            }
            refuse_repeated(&documents, place)?;
        }
        fields.no_others()?;
        Ok(TransactionInfo { statements, documents })
    }

    /// `IH(transactionInfo)`; redacted statements count with the hash of the field that stood there, so that the
    /// hash is the one from before the redaction.
    pub fn ion_hash(&self) -> Hash {
        self.ion_hash_with(&mut Hasher::new())
    }

    /// `IH(transactionInfo)` from the hashes of each statement's text and start as fields, and of the fields of its
    /// `documents`.
    pub(crate) fn ion_hash_of_fields(
        statements: &[StatementInfo],
        hashes: &[(Hash, Hash)],
        documents: &[Hash],
        hasher: &mut Hasher,
    ) -> Hash {
        hasher.structure(|fields| {
            let statements = statements.iter().zip(hashes);
            fields.struct_list_field("statements", statements, |fields, (statement, (text, start))| {
                fields.hashed_field(*text);
                fields.hashed_field(*start);
                fields.blob_field("statementDigest", &statement.digest.0);
            });
            if !documents.is_empty() {
                fields.struct_field("documents", |fields| {
                    documents.iter().for_each(|hash| fields.hashed_field(*hash));
                });
            }
        })
    }

    pub fn ion_hash_with(&self, hasher: &mut Hasher) -> Hash {
        hasher.structure(|fields| {
            fields.struct_list_field("statements", &self.statements, |fields, statement| statement.write(fields));
            if !self.documents.is_empty() {
                fields.struct_field("documents", |documents| {
                    for document in &self.documents {
                        documents.struct_field(&document.document_id.to_string(), |fields| document.write(fields));
                    }
                });
            }
        })
    }

    /// Every text replaced by its hash.
    pub fn redacted(&self) -> TransactionInfo {
        let redact = |s: &StatementInfo| StatementInfo { text: s.text.redacted(), ..s.clone() };
        TransactionInfo { statements: self.statements.iter().map(redact).collect(), documents: self.documents.clone() }
    }

    /// Statements whose text was redacted; their digests cannot be recomputed.
    pub fn redacted_count(&self) -> usize {
        self.statements.iter().filter(|s| s.text.text().is_none()).count()
    }
}

impl OriginInfo {
    pub fn to_value(&self) -> Value {
        let mut fields = vec![
            (Symbol::from("user"), Value::string(self.user.clone())),
            (Symbol::from("door"), Value::string(self.door.clone())),
        ];
        if let Some(token) = &self.client_token {
            fields.push((Symbol::from("clientToken"), Value::string(token.clone())));
        }
        if let Some(signature) = &self.signature {
            fields.push((Symbol::from("signature"), Value::blob(signature.as_slice())));
        }
        Value::Struct(Struct { fields })
    }

    /// Fields that are not known here are left aside.
    pub fn from_value(value: &Value) -> Result<Self, BlockError> {
        let mut fields = Fields::of(value, "originInfo")?;
        let client_token = if fields.has("clientToken") { Some(fields.text("clientToken")?) } else { None };
        let signature = if fields.has("signature") { Some(fields.blob("signature")?.to_vec()) } else { None };
        Ok(OriginInfo { user: fields.text("user")?, door: fields.text("door")?, client_token, signature })
    }

    pub fn ion_hash(&self) -> Hash {
        self.ion_hash_with(&mut Hasher::new())
    }

    pub fn ion_hash_with(&self, hasher: &mut Hasher) -> Hash {
        hasher.structure(|fields| {
            fields.string_field("user", &self.user);
            fields.string_field("door", &self.door);
            if let Some(token) = &self.client_token {
                fields.string_field("clientToken", token);
            }
            if let Some(signature) = &self.signature {
                fields.blob_field("signature", signature);
            }
        })
    }
}

impl RedactionInfo {
    pub fn to_value(&self) -> Value {
        let revisions = self.revisions.iter().map(|r| {
            structure([
                ("blockAddress", block_address(&r.strand.to_string(), r.sequence_no)),
                ("tableId", id_value(&r.table_id)),
                ("documentId", id_value(&r.document_id)),
                ("version", Value::Int(Int::from(r.version))),
            ])
        });
        structure([("revisions", Value::List(revisions.collect()))])
    }

    pub fn from_value(value: &Value) -> Result<Self, BlockError> {
        let mut fields = Fields::of(value, "redactionInfo")?;
        let mut revisions = Vec::new();
        for (i, revision) in fields.list("revisions")?.iter().enumerate() {
            let place = format!("redactionInfo.revisions[{i}]");
            let mut fields = Fields::of(revision, &place)?;
            let mut address = Fields::of(fields.take("blockAddress")?, &format!("{place}.blockAddress"))?;
            revisions.push(RedactedRevision {
                strand: address.id("strandId")?,
                sequence_no: address.uint("sequenceNo")?,
                table_id: fields.id("tableId")?,
                document_id: fields.id("documentId")?,
                version: fields.uint("version")?,
            });
            address.no_others()?;
            fields.no_others()?;
        }
        fields.no_others()?;
        Ok(RedactionInfo { revisions })
    }

    pub fn ion_hash(&self) -> Hash {
        Hasher::new().value(&self.to_value())
    }
}

/// The fields of a struct that must hold exactly the ones asked for.
pub(crate) struct Fields<'a> {
    place: String,
    fields: &'a [(Symbol, Value)],
    taken: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(value: &'a Value, place: &str) -> Result<Self, BlockError> {
        match value.as_struct() {
            Some(s) => Ok(Fields { place: place.to_owned(), fields: &s.fields, taken: 0 }),
            None => Err(refuse(place, "is not a struct")),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(n, _)| n.text() == Some(name))
    }

    pub(crate) fn take(&mut self, name: &str) -> Result<&'a Value, BlockError> {
        let mut found = self.fields.iter().filter(|(n, _)| n.text() == Some(name));
        match (found.next(), found.next()) {
            (Some((_, value)), None) => {
                self.taken += 1;
                Ok(value)
            }
            (None, _) => Err(self.refuse(name, "is missing")),
            _ => Err(self.refuse(name, "stands there twice")),
        }
    }

    /// One that may be absent.
    pub(crate) fn optional(&mut self, name: &str) -> Result<Option<&'a Value>, BlockError> {
        if self.has(name) { self.take(name).map(Some) } else { Ok(None) }
    }

    pub(crate) fn no_others(&self) -> Result<(), BlockError> {
        // Each field was taken once and no name stands twice, so more fields are other fields.
        if self.taken == self.fields.len() {
            return Ok(());
        }
        Err(refuse(&self.place, "has a field that does not belong there"))
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Arc<str>, BlockError> {
        match self.take(name)? {
            Value::String(text) => Ok(text.clone().into()),
            _ => Err(self.refuse(name, "is not a string")),
        }
    }

    fn id(&mut self, name: &str) -> Result<Id, BlockError> {
        let text = self.text(name)?;
        parse_id(&text, &format!("{}.{name}", self.place))
    }

    pub(crate) fn uint(&mut self, name: &str) -> Result<u64, BlockError> {
        match self.take(name)? {
            Value::Int(i) => i.to_u64().ok_or_else(|| self.refuse(name, "is out of range")),
            _ => Err(self.refuse(name, "is not an int")),
        }
    }

    pub(crate) fn time(&mut self, name: &str) -> Result<i64, BlockError> {
        match self.take(name)? {
            Value::Timestamp(t) if t.is_native() && t.validate().is_ok() => Ok(t.epoch_ms()),
            _ => Err(self.refuse(name, "is not a timestamp with exactly three fraction digits and offset Z")),
        }
    }

    fn blob(&mut self, name: &str) -> Result<&'a [u8], BlockError> {
        match self.take(name)? {
            Value::Blob(bytes) => Ok(bytes),
            _ => Err(self.refuse(name, "is not a blob")),
        }
    }

    pub(crate) fn hash(&mut self, name: &str) -> Result<Hash, BlockError> {
        let bytes = self.blob(name)?;
        Hash::from_slice(bytes).ok_or_else(|| self.refuse(name, "is not 32 bytes long"))
    }

    pub(crate) fn list(&mut self, name: &str) -> Result<&'a [Value], BlockError> {
        match self.take(name)? {
            Value::List(items) => Ok(items),
            _ => Err(self.refuse(name, "is not a list")),
        }
    }

    fn refuse(&self, name: &str, problem: &str) -> BlockError {
        refuse(&format!("{}.{name}", self.place), problem)
    }
}

pub(crate) fn refuse(place: &str, problem: &str) -> BlockError {
    BlockError { place: place.to_owned(), problem: problem.to_owned() }
}

fn refuse_repeated(documents: &[DocumentInfo], place: &str) -> Result<(), BlockError> {
    let mut ids: Vec<&Id> = documents.iter().map(|d| &d.document_id).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(refuse(place, "names a document twice"));
    }
    Ok(())
}

fn parse_id(text: &str, place: &str) -> Result<Id, BlockError> {
    text.parse().map_err(|_| refuse(place, "is not an id of 22 Base62 characters"))
}

fn structure<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Struct(Struct::from_fields(fields))
}

fn id_value(id: &Id) -> Value {
    Value::string(id.to_string())
}

fn id_field(fields: &mut FieldWriter<'_>, name: &str, id: &Id) {
    match std::str::from_utf8(&id.text_bytes()) {
        Ok(text) => fields.string_field(name, text),
        Err(_) => fields.string_field(name, &id.to_string()),
    }
}

/// A blob of 32 bytes.
pub(crate) fn read_hash(value: &Value, place: &str) -> Result<Hash, BlockError> {
    let hash = if let Value::Blob(bytes) = value { Hash::from_slice(bytes) } else { None };
    hash.ok_or_else(|| refuse(place, "is not a blob of 32 bytes"))
}

pub(crate) fn hash_value(hash: &Hash) -> Value {
    Value::blob(hash.0.as_slice())
}
