//! Everybody whom the PostgreSQL port serves at the same time: how many they are, and whether all they do is read.
//!
//! One count of messages orders what happens on all connections, roughly: nothing here needs more than a hint.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// For so many messages after a commit the crowd does not count as one that only reads.
const QUIET_MESSAGES: u64 = 1_000;
/// From so many clients for each worker on there is mostly another one to answer.
const CLIENTS_PER_WORKER_MANY: usize = 4;

/// All connections of the port.
pub struct Crowd {
    messages: AtomicU64,
    /// How many messages there had been when somebody last committed.
    last_commit: AtomicU64,
    clients: AtomicUsize,
    clients_many: usize,
}

/// One connection in the crowd, until it is dropped.
pub struct Member(Arc<Crowd>);

impl Crowd {
    /// On so many threads that serve clients.
    pub fn on_workers(workers: usize) -> Crowd {
        Crowd {
            messages: AtomicU64::new(0),
            last_commit: AtomicU64::new(0),
            clients: AtomicUsize::new(0),
            clients_many: workers.saturating_mul(CLIENTS_PER_WORKER_MANY),
        }
    }

    pub fn join(self: &Arc<Crowd>) -> Member {
        self.clients.fetch_add(1, Ordering::Relaxed);
        Member(Arc::clone(self))
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
        self.last_commit.store(self.messages(), Ordering::Relaxed);
    }

    /// Whether many clients share each worker and nobody has committed for many messages.
    pub fn only_reads(&self) -> bool {
        self.clients.load(Ordering::Relaxed) >= self.clients_many
            && self.messages().saturating_sub(self.last_commit.load(Ordering::Relaxed)) > QUIET_MESSAGES
    }
}

impl std::ops::Deref for Member {
    type Target = Crowd;

    fn deref(&self) -> &Crowd {
        &self.0
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_only_reads_while_it_is_large_and_nobody_commits() {
        let crowd = Arc::new(Crowd::on_workers(2));
        let quiet = || (0..=QUIET_MESSAGES).for_each(|_| _ = crowd.message());
        let mut members: Vec<Member> = (1..2 * CLIENTS_PER_WORKER_MANY).map(|_| crowd.join()).collect();
        quiet();
        assert!(!crowd.only_reads());
        members.push(crowd.join());
        assert!(crowd.only_reads());
        crowd.committed();
        assert!(!crowd.only_reads());
        quiet();
        assert!(crowd.only_reads());
        members.pop();
        assert!(!crowd.only_reads());
    }
}
