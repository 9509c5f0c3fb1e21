//! What a session needs of the program it runs in. The query engine knows no async runtime, so the server lends it two
//! services.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A future without borrowed parts.
pub type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Lent by whoever runs sessions.
pub trait Runtime: Send + Sync {
    /// Runs work that may take long, so that other sessions go on meanwhile.
    fn long(&self, work: &mut dyn FnMut());

    /// Waits a moment before a statement that met a conflict is run again.
    fn pause(&self, attempt: u32) -> Pause;
}

/// For tests and programs with a thread per session: work is done in place.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inline;

impl Runtime for Inline {
    fn long(&self, work: &mut dyn FnMut()) {
        work();
    }

    fn pause(&self, attempt: u32) -> Pause {
        std::thread::sleep(Duration::from_millis(u64::from(attempt.min(10))));
        Box::pin(std::future::ready(()))
    }
}
