//! A journal of leaves and a ledger without blocks, for tests of the notary.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::note::SigningKey;
use ledgerstone_digest::rotation::KeyChain;
use ledgerstone_digest::tree::leaf_hash;

use super::{Leaves, Notary, Signers};
use crate::checkpoint::{CheckpointError, Recorded, create};
use crate::env::Env;

pub const DIR: &str = "/ledger";
pub const ORIGIN: &str = "ledger.example/x";

/// A journal of leaves `entry 0`, `entry 1` …, some of which read back wrong.
pub struct Entries {
    pub wrong: AtomicU64,
}

impl Leaves for Entries {
    fn leaf_hashes(&self, from: u64, to: u64, enough: u64, each: &mut dyn FnMut(Hash)) -> Result<(), String> {
        for position in from..to.min(from.saturating_add(enough)) {
            let flipped = position == self.wrong.load(Ordering::SeqCst);
            each(if flipped { Hash::ZERO } else { leaf(position) });
        }
        Ok(())
    }
}

pub fn leaf(position: u64) -> Hash {
    leaf_hash(format!("entry {position}").as_bytes())
}

pub fn hashes(range: std::ops::Range<u64>) -> Vec<Hash> {
    range.map(leaf).collect()
}

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[seed; 32]).unwrap()
}

pub fn journal() -> Arc<Entries> {
    Arc::new(Entries { wrong: AtomicU64::new(u64::MAX) })
}

pub fn new_ledger() -> Env {
    let env = Env::memory(1);
    env.storage.create_dir_all(Path::new(DIR)).unwrap();
    create(&*env.storage, Path::new(DIR), ORIGIN, leaf(0), &key(7)).unwrap();
    env
}

pub fn recorded(env: &Env) -> Result<Recorded, CheckpointError> {
    recorded_by(env, 7)
}

pub fn recorded_by(env: &Env, seed: u8) -> Result<Recorded, CheckpointError> {
    Recorded::read(&*env.storage, Path::new(DIR))?.verify(&KeyChain::new(key(seed).verifier().clone()))
}

pub fn signers() -> Signers {
    let (key, chain) = (key(7), KeyChain::new(key(7).verifier().clone()));
    Signers { keys: key.clone().into(), chain, key, notes: Vec::new(), due: None }
}

pub fn open<L: Leaves + 'static>(env: &Env, leaves: &Arc<L>, durable: u64) -> Result<Arc<Notary>, CheckpointError> {
    let leaves: Arc<dyn Leaves> = leaves.clone();
    Notary::open(env.storage.clone(), Path::new(DIR), leaves, recorded(env)?, signers(), durable)
}
