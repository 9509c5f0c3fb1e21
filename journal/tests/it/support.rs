//! A small ledger to test with: documents with a counter, hooks that remember what they saw.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use ledgerstone_digest::block::{OriginInfo, StatementInfo, StatementText};
use ledgerstone_digest::ion::{Struct, Value};
use ledgerstone_digest::note::SigningKey;
use ledgerstone_digest::{Hash, Id};
use ledgerstone_journal::recovery::origin_of;
use ledgerstone_journal::{
    BlockEnds, CommitError, Committed, CreateOptions, Env, Ledger, Listed, NewRevision, OpenError, OpenOptions,
    Publish, PublishedBlock, Recovered, Sequence, Transaction,
};

pub const LEDGER: Id = Id([1; 16]);
pub const TABLE: Id = Id([2; 16]);

pub fn key() -> SigningKey {
    SigningKey::from_seed(&origin_of("ledger.example", LEDGER), &[7; 32]).unwrap()
}

pub fn dir() -> PathBuf {
    PathBuf::from("/data/main")
}

pub fn create(env: &Env, dir: &Path) {
    create_sized(env, dir, 64 << 10);
}

pub fn create_sized(env: &Env, dir: &Path, first_segment_bytes: u64) {
    if let Some(parent) = dir.parent() {
        env.storage.create_dir_all(parent).unwrap();
    }
    let mut options = CreateOptions::new(LEDGER, "ledger.example", key());
    options.first_segment_bytes = first_segment_bytes;
    Ledger::create(env, dir, &options).unwrap();
}

/// Options for a ledger without threads and with small segments.
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new(key());
    options.threads = false;
    options.segment_bytes = 64 << 10;
    options
}

#[derive(Default)]
pub struct Seen {
    pub sequenced: Vec<Committed>,
    pub published: Vec<Committed>,
    /// Whose thread published each.
    pub publishers: Vec<ThreadId>,
    pub dropped: usize,
}

/// Both hooks; accepts everything.
#[derive(Clone, Default)]
pub struct Hooks(pub Arc<Mutex<Seen>>);

impl Sequence for Hooks {
    fn validate(&mut self, _: &mut Transaction) -> Result<(), CommitError> {
        Ok(())
    }

    fn sequenced(&mut self, _: &Transaction, committed: &Committed) {
        self.0.lock().unwrap().sequenced.push(*committed);
    }

    fn dropped(&mut self) {
        self.0.lock().unwrap().dropped += 1;
    }
}

impl Publish for Hooks {
    fn publish(&mut self, block: PublishedBlock, _: &dyn BlockEnds) {
        let mut seen = self.0.lock().unwrap();
        seen.published.push(block.committed);
        seen.publishers.push(std::thread::current().id());
    }
}

pub fn open(env: &Env, dir: &Path, options: OpenOptions) -> Result<(Arc<Ledger>, Hooks), OpenError> {
    let hooks = Hooks::default();
    let recovered: Recovered = Ledger::open(env, dir, options)?;
    Ok((recovered.start(Box::new(hooks.clone()), Box::new(hooks.clone())), hooks))
}

pub fn document(n: u64, size: usize) -> Arc<Value> {
    Arc::new(Value::Struct(Struct::from_fields([
        ("number", Value::int(n as i64)),
        ("text", Value::string("x".repeat(size))),
    ])))
}

pub fn id(n: u64) -> Id {
    let mut bytes = [9; 16];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    Id(bytes)
}

pub fn first(n: u64, size: usize) -> NewRevision {
    NewRevision {
        table_id: TABLE,
        document_id: id(n),
        version: 0,
        supersedes: None,
        data: Some(document(n, size).into()),
        data_hash: None,
        salt: None,
        listed: Some(Listed { table_name: "t".into(), statements: [0].into() }),
    }
}

pub fn transaction(n: u64, revisions: Vec<NewRevision>) -> Transaction {
    let text: Arc<str> = "INSERT INTO t VALUES (?)".into();
    Transaction {
        id: id(n | 1 << 63),
        statements: vec![StatementInfo { text: StatementText::Text(text), start_time_ms: 5, digest: Hash([3; 32]) }],
        revisions,
        origin: OriginInfo { user: "clerk".into(), door: "embedded".into(), client_token: None, signature: None },
        redaction: None,
        rotation: None,
        imported: None,
        payload: Box::new(()),
    }
}

/// Commits one transaction of one new document.
pub fn commit(ledger: &Ledger, n: u64, size: usize) -> Result<Committed, CommitError> {
    let future = ledger.submit(transaction(n, vec![first(n, size)]));
    ledger.drive();
    future.wait()
}
