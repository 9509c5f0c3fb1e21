//! Client tokens: what makes a retry commit once (docs/format.md, `originInfo.clientToken`).
//!
//! The journal keeps a token with its block for ever; this map, rebuilt from the journal at opening, remembers the last
//! [`TOKENS_KEPT_MAX`] of them. A retry later than that is a new transaction.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use ledgerstone_journal::Committed;

/// Tokens remembered, newest first.
pub const TOKENS_KEPT_MAX: usize = 1_000_000;
/// The longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 200;

/// The tokens of published transactions.
#[derive(Default)]
pub struct Tokens(RwLock<Kept>);

#[derive(Default)]
struct Kept {
    commits: HashMap<Arc<str>, Committed>,
    order: VecDeque<Arc<str>>,
}

impl Tokens {
    pub fn contains(&self, token: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).commits.contains_key(token)
    }

    pub fn get(&self, token: &str) -> Option<Committed> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).commits.get(token).copied()
    }

    pub fn put(&self, token: Arc<str>, committed: Committed) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.commits.insert(token.clone(), committed).is_none() {
            kept.order.push_back(token);
        }
        if kept.order.len() > TOKENS_KEPT_MAX
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.commits.remove(&oldest);
        }
    }
}
