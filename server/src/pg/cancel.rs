//! Cancel requests: which running session a process id and its secret stand for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ledgerstone_query::session::{Cancel, CancelReason};

/// Every open connection by process id.
#[derive(Debug, Default)]
pub struct Registry {
    next: AtomicI32,
    sessions: Mutex<HashMap<i32, Entry>>,
}

#[derive(Debug)]
struct Entry {
    secret: [u8; 4],
    cancel: Cancel,
}

/// A place in the registry; dropping it leaves.
#[derive(Debug)]
pub struct Registration {
    registry: Arc<Registry>,
    pub process_id: i32,
    pub secret: [u8; 4],
}

impl Registry {
    /// Enters a connection under a fresh process id.
    pub fn register(self: &Arc<Self>, cancel: Cancel, secret: [u8; 4]) -> Registration {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let process_id = loop {
            // From 1 upwards, and around again after the last positive number.
            let candidate = self.next.fetch_add(1, Ordering::Relaxed).wrapping_add(1) & i32::MAX;
            if candidate != 0 && !sessions.contains_key(&candidate) {
                break candidate;
            }
        };
        sessions.insert(process_id, Entry { secret, cancel });
        Registration { registry: Arc::clone(self), process_id, secret }
    }

    /// Cancels what the session is running, if the secret is right. The caller never learns whether it was.
    pub fn cancel(&self, process_id: i32, secret: [u8; 4]) {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = sessions.get(&process_id)
            && same(entry.secret, secret)
        {
            entry.cancel.cancel(CancelReason::Request);
        }
    }

    /// Cancels everything that runs, for a shutdown whose patience is over.
    pub fn cancel_all(&self) {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in sessions.values() {
            entry.cancel.cancel(CancelReason::Shutdown);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.process_id);
    }
}

/// Compares without stopping at the first difference.
fn same(left: [u8; 4], right: [u8; 4]) -> bool {
    left.iter().zip(right).fold(0, |difference, (left, right)| difference | (left ^ right)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_secret_cancels_and_leaving_forgets() {
        let registry = Arc::new(Registry::default());
        let cancel = Cancel::default();
        let registration = registry.register(cancel.clone(), [1, 2, 3, 4]);
        let process_id = registration.process_id;
        registry.cancel(process_id, [1, 2, 3, 5]);
        assert_eq!(cancel.reason(), None);
        registry.cancel(process_id, [1, 2, 3, 4]);
        assert_eq!(cancel.reason(), Some(CancelReason::Request));
        drop(registration);
        cancel.arm(0);
        registry.cancel(process_id, [1, 2, 3, 4]);
        assert_eq!(cancel.reason(), None);
    }
}
