//! The leaf hashes as the sequencer computed them, until they are compared with those of the bytes read back.

use std::collections::VecDeque;

use ledgerstone_digest::hash::Hash;

/// Hashes of leaves that are durable and were not derived again yet.
pub(super) struct Expected {
    /// The position of the first.
    pub from: u64,
    pub hashes: VecDeque<Hash>,
    /// Nothing will be signed any more, so nothing is kept.
    pub closed: bool,
    /// The last attempt to derive leaves failed, and the next one may: nobody waits for it.
    pub stuck: bool,
}

impl Expected {
    pub fn from(position: u64) -> Expected {
        Expected { from: position, hashes: VecDeque::new(), closed: false, stuck: false }
    }

    pub fn closed() -> Expected {
        Expected { closed: true, ..Expected::from(u64::MAX) }
    }

    /// The first position at which these hashes, from `from` on, are not those that were computed.
    pub fn differs(&self, from: u64, found: &[Hash]) -> Option<u64> {
        // What was durable before this process began was not computed here.
        let skip = self.from.saturating_sub(from);
        let known = usize::try_from(from.saturating_sub(self.from)).unwrap_or(usize::MAX);
        let mut computed = self.hashes.iter().skip(known);
        let rest = found.iter().zip(from..).skip(usize::try_from(skip).unwrap_or(usize::MAX));
        rest.filter(|(hash, _)| computed.next() != Some(hash)).map(|(_, position)| position).next()
    }

    pub fn forget_before(&mut self, position: u64) {
        let count = usize::try_from(position.saturating_sub(self.from)).unwrap_or(usize::MAX).min(self.hashes.len());
        self.hashes.drain(..count);
        self.from += count as u64;
    }
}
