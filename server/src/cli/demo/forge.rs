//! The forger of the demonstration: someone with the operator's disk who writes a whole ledger again, with one document
//! changed, and signs it with a key of their own under the same name. The result has no inner contradiction.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ledgerstone_digest::block::{StatementInfo, StatementText};
use ledgerstone_digest::ion::Value;
use ledgerstone_digest::note::SigningKey;
use ledgerstone_digest::qldb::statement_digest;
use ledgerstone_journal::env::Clock;
use ledgerstone_journal::{
    CreateOptions, Data, Env, Ledger, NewRevision, OpenOptions, StoredBlock, StoredRevision, Transaction, Unjudged,
};

/// What is to have been otherwise.
pub struct Lie {
    /// The revision that is changed.
    pub position: u64,
    /// This text in its document, and in the statements of its transaction, …
    pub from: String,
    /// … becomes this one.
    pub to: String,
}

/// What the forger made.
pub struct Forged {
    pub blocks: u64,
    /// The key that the forged ledger names and is signed with.
    pub vkey: String,
}

/// Writes the ledger at `from`, which `key` opens, again at `to`, lying as told.
pub fn forge(
    from: &Path,
    key: SigningKey,
    to: &Path,
    lie: &Lie,
    progress: &mut dyn FnMut(u64),
) -> Result<Forged, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let source = Ledger::open(&Env::production(), from, manual(key)).map_err(|error| text(&error))?;
    let source = source.start(Box::new(Unjudged), Box::new(Unjudged));
    let origin = source.origin().to_owned();
    let prefix = origin.rsplit_once('/').map_or("", |(prefix, _)| prefix).to_owned();
    let clock = Arc::new(Replayed(AtomicI64::new(source.created_ms())));
    let env = Env { clock: clock.clone(), ..Env::production() };
    let mut seed = [0; 32];
    env.rng.fill(&mut seed);
    let forger = || SigningKey::from_seed(&origin, &seed).map_err(|error| text(&error));
    let vkey = forger()?.verifier().to_string();
    Ledger::create(&env, to, &CreateOptions::new(source.ledger_id(), &prefix, forger()?))
        .map_err(|error| text(&error))?;
    let target = Ledger::open(&env, to, manual(forger()?)).map_err(|error| text(&error))?;
    let target = target.start(Box::new(Unjudged), Box::new(Unjudged));
    let mut blocks = 0;
    for block in source.blocks(0) {
        let block = block.map_err(|error| text(&error))?;
        clock.0.store(block.time_ms, Ordering::SeqCst);
        let future = target.submit(again(&block, lie)?);
        target.drive();
        future.wait().map_err(|error| text(&error))?;
        blocks += 1;
        progress(blocks);
    }

    target.close().map_err(|error| text(&error))?;
    source.close().map_err(|error| text(&error))?;
    Ok(Forged { blocks, vkey })
}

/// One block at a time, on this thread.
fn manual(key: SigningKey) -> OpenOptions {
    OpenOptions { threads: false, ..OpenOptions::new(key) }
}

/// The transaction that makes this block again.
fn again(block: &StoredBlock, lie: &Lie) -> Result<Transaction, String> {
    let hit = (block.first_position..block.position).contains(&lie.position);
    let revisions = block.revisions.iter().map(|revision| revision_again(revision, lie)).collect::<Result<_, _>>()?;
    let statements = &block.info.statements;
    Ok(Transaction {
        id: block.tx_id,
        statements: statements.iter().map(|s| if hit { statement_again(s, lie) } else { s.clone() }).collect(),
        revisions,
        origin: block.origin.clone(),
        rotation: None,
        imported: None,
        redaction: block.redaction.clone(),
        payload: Box::new(()),
    })
}

fn revision_again(revision: &StoredRevision, lie: &Lie) -> Result<NewRevision, String> {
    if revision.redacted {
        return Err(format!("the revision at {} is redacted; this forger does not do those", revision.position));
    }
    let data = match &revision.data {
        Some(data) if revision.position == lie.position => Some(Arc::new(changed(data, lie))),
        data => data.clone(),
    };
    Ok(NewRevision {
        table_id: revision.table_id,
        document_id: revision.document_id,
        version: revision.version,
        supersedes: revision.supersedes,
        data: data.map(Data::Value),
        data_hash: None,
        salt: None,
        listed: revision.listed.clone(),
    })
}

fn statement_again(statement: &StatementInfo, lie: &Lie) -> StatementInfo {
    match &statement.text {
        StatementText::Text(text) if text.contains(&lie.from) => {
            let text = text.replace(&lie.from, &lie.to);
            let digest = statement_digest(&text, &[]);
            StatementInfo { text: StatementText::Text(text.into()), digest, ..statement.clone() }
        }
        _ => statement.clone(),
    }
}

/// The value with every text that equals what is denied replaced. Documents are as deep as the server lets them be.
fn changed(value: &Value, lie: &Lie) -> Value {
    match value {
        Value::String(text) if **text == *lie.from => Value::string(lie.to.as_str()),
        Value::Struct(fields) => {
            let mut fields = fields.clone();
            fields.fields.iter_mut().for_each(|(_, value)| *value = changed(value, lie));
            Value::Struct(fields)
        }
        Value::List(items) => Value::List(items.iter().map(|item| changed(item, lie)).collect()),
        other => other.clone(),
    }
}

/// The time of the block that is being written again.
struct Replayed(AtomicI64);

impl Clock for Replayed {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn boottime_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}
