//! Everybody whom the PostgreSQL port serves at the same time: how many messages have come, and whether all that is done is read.
//!
//! One count of messages orders what happens on all connections, roughly: nothing here needs more than a hint.

use std::sync::atomic::{AtomicU64, Ordering};

/// For so many messages after a commit the crowd does not count as one that only reads.
const QUIET_MESSAGES: u64 = 1_000;

/// All connections of the port.
pub struct Crowd {
    messages: AtomicU64,
    /// How many messages there had been when a commit was noticed last.
    last_commit: AtomicU64,
    workers: u32,
}

impl Crowd {
    /// On so many threads that serve clients.
    pub fn on_workers(workers: usize) -> Crowd {
        let workers = u32::try_from(workers).unwrap_or(u32::MAX);
        Crowd { messages: AtomicU64::new(0), last_commit: AtomicU64::new(0), workers }
    }

    pub fn workers(&self) -> u32 {
        self.workers
    }

    /// A message has come: how many had come before.
    pub fn message(&self) -> u64 {
        self.messages.fetch_add(1, Ordering::Relaxed)
    }

    pub fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Somebody has committed.
    pub fn committed(&self) {
        self.last_commit.fetch_max(self.messages(), Ordering::Relaxed);
    }

    /// Whether nobody has committed for many messages.
    pub fn only_reads(&self) -> bool {
        self.messages().saturating_sub(self.last_commit.load(Ordering::Relaxed)) > QUIET_MESSAGES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_only_reads_when_nobody_has_committed_for_many_messages() {
        let crowd = Crowd::on_workers(2);
        let messages = |count: u64| (0..count).for_each(|_| _ = crowd.message());
        assert!(!crowd.only_reads());
        messages(QUIET_MESSAGES);
        assert!(!crowd.only_reads());
        messages(1);
        assert!(crowd.only_reads());
        crowd.committed();
        messages(QUIET_MESSAGES);
        assert!(!crowd.only_reads());
        messages(1);
        assert!(crowd.only_reads());
    }
}
