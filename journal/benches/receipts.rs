//! How fast receipts are made from a ledger's files and verified without them, and how large they are.
//!
//! `cargo bench -p ledgerstone-journal --bench receipts` prints it for a tree of a million leaves, made of transactions of
//! one row; `LEDGERSTONE_BENCH_LEAVES=n` for another size.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledgerstone_digest::block::{OriginInfo, StatementInfo, StatementText};
use ledgerstone_digest::ion::{Struct, Value};
use ledgerstone_digest::note::SigningKey;
use ledgerstone_digest::receipt::Receipt;
use ledgerstone_digest::verifier::{Expectation, Trust, verify, verify_signatures};
use ledgerstone_digest::{Hash, Id};
use ledgerstone_journal::recovery::origin_of;
use ledgerstone_journal::{CreateOptions, Env, Ledger, Listed, NewRevision, OpenOptions, Transaction, Unjudged};

const LEDGER: Id = Id([1; 16]);
const TABLE: Id = Id([2; 16]);
/// Transactions under way while the ledger is filled.
const IN_FLIGHT: usize = 512;
const ROUNDS: u64 = 2_000;

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo test --benches` runs benches as well, to see that they work: a small tree is enough for that.
    let default = if std::env::args().any(|argument| argument == "--bench") { 1_000_000 } else { 1_000 };
    let leaves = match std::env::var("LEDGERSTONE_BENCH_LEAVES") {
        Ok(leaves) => leaves.parse()?,
        Err(_) => default,
    };
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("main");
    let key = || SigningKey::from_seed(&origin_of("ledger.example", LEDGER), &[7; 32]);
    let env = Env::production();
    Ledger::create(&env, &dir, &CreateOptions::new(LEDGER, "ledger.example", key()?))?;
    let ledger = Ledger::open(&env, &dir, OpenOptions::new(key()?))?.start(Box::new(Unjudged), Box::new(Unjudged));
    let mut pending = VecDeque::new();
    // A leaf for the row and one for its block, and the genesis.
    for n in 0..leaves / 2 {
        pending.push_back(ledger.submit(insert(n)));
        if pending.len() >= IN_FLIGHT
            && let Some(oldest) = pending.pop_front()
        {
            oldest.wait()?;
        }
    }
    for future in pending {
        future.wait()?;
    }
    measure(&ledger, key()?)?;
    ledger.close()?;
    Ok(())
}

fn measure(ledger: &Ledger, key: SigningKey) -> Result<(), Box<dyn Error>> {
    let size = ledger.checkpoint()?.checkpoint.size;
    let trust = Trust::in_key(key.verifier().clone());
    let mut bytes_all: Vec<usize> = Vec::new();
    let [mut made, mut read, mut signature, mut verified] = [const { Vec::new() }; 4];
    for round in 0..ROUNDS {
        // Rows stand at odd positions; a large odd step visits them all over the tree.
        let number = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (size / 2);
        let position = 1 + 2 * number;
        let receipt = timed(&mut made, || ledger.receipt(position))?;
        let bytes = receipt.encode();
        let receipt = timed(&mut read, || Receipt::decode(&bytes))?;
        let expectation = Expectation {
            origin: key.name().to_owned(),
            table_id: TABLE,
            document_id: document(number),
            version: Some(0),
            content: None,
        };
        timed(&mut signature, || verify_signatures(&receipt.checkpoint, &trust, key.name()))?;
        timed(&mut verified, || verify(&receipt, &trust, &expectation))?;
        bytes_all.push(bytes.len());
    }
    bytes_all.sort_unstable();
    // Medians: another process' turn in between is not the receipt's.
    let each = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    };
    let (signature, verified) = (each(signature), each(verified));
    println!("{size} leaves, {ROUNDS} receipts at positions all over the tree, each:");
    println!("  made      {:>10.1?}", each(made));
    println!("  read      {:>10.1?}", each(read));
    println!("  verified  {:>10.1?} beside the signature's {signature:.1?}", verified.saturating_sub(signature));
    println!("  bytes     {:>10} typical, {} at most", bytes_all[bytes_all.len() / 2], bytes_all[bytes_all.len() - 1]);
    Ok(())
}

fn timed<T>(times: &mut Vec<Duration>, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = std::hint::black_box(work());
    times.push(start.elapsed());
    done
}

fn document(n: u64) -> Id {
    Id(((7u128 << 64) | u128::from(n)).to_be_bytes())
}

fn insert(n: u64) -> Transaction {
    let data = Value::Struct(Struct::from_fields([
        ("vin", Value::string(format!("V{n:016}"))),
        ("plate", Value::string(format!("LP{n}"))),
        ("year", Value::int(2011)),
    ]));
    let text = StatementText::Text("INSERT INTO car VALUES ($1, $2, $3)".into());
    Transaction {
        id: Id(((8u128 << 64) | u128::from(n)).to_be_bytes()),
        statements: vec![StatementInfo { text, start_time_ms: 5, digest: Hash([3; 32]) }],
        revisions: vec![NewRevision {
            table_id: TABLE,
            document_id: document(n),
            version: 0,
            supersedes: None,
            data: Some(Arc::new(data).into()),
            data_hash: None,
            salt: None,
            listed: Some(Listed { table_name: "car".into(), statements: [0].into() }),
        }],
        origin: OriginInfo { user: "clerk".into(), door: "embedded".into(), client_token: None, signature: None },
        redaction: None,
        rotation: None,
        imported: None,
        payload: Box::new(()),
    }
}
