//! Work on a ledger's files that may come late: packing and scrubbing.

use std::panic::resume_unwind;
use std::thread;

use ledgerstone_journal::env::{give_way, work_in_background};
use tokio::task::{JoinHandle, spawn_blocking};

/// Does work on a thread of its own, which gets the processor when nobody else wants it (about a tenth of what others get
/// otherwise) unless it is `urgent`, and makes way for others between parts of it in any case. A thread that gives way cannot take
/// that back, so it is not one that others are given work on later; one of those waits for it, and the runtime for that one.
pub fn late<T: Send + 'static>(urgent: bool, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    spawn_blocking(move || {
        let own = thread::Builder::new().name("upkeep".to_owned());
        thread::scope(|scope| {
            let spawned = own.spawn_scoped(scope, move || {
                if !urgent {
                    give_way();
                }
                work_in_background(|| false);
                work()
            });
            match spawned.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(done)) => done,
                Ok(Err(panic)) => resume_unwind(panic),
                Err(error) => panic!("no thread can be started: {error}"),
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_done_late_is_done_and_a_panic_is_told() {
        let name = || thread::current().name().map(str::to_owned);
        assert_eq!(late(false, name).await.unwrap().as_deref(), Some("upkeep"));
        let told = late(true, || -> () { panic!("no") }).await;
        assert!(told.unwrap_err().is_panic());
    }
}
