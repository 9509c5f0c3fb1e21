//! What sessions borrow from tokio.

use std::sync::Arc;
use std::time::Duration;

use ledgerstone_query::session::{Pause, Runtime};

/// Long statements move other connections to another thread; conflicts wait for the commit that was in the way.
struct Tokio;

impl Runtime for Tokio {
    fn long(&self, work: &mut dyn FnMut()) {
        tokio::task::block_in_place(work);
        super::turns::blocked();
    }

    fn pause(&self, attempt: u32) -> Pause {
        Box::pin(async move {
            if attempt <= 2 {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(Duration::from_millis(u64::from(attempt.min(20)) / 2)).await;
            }
        })
    }
}

/// The runtime every session shares.
pub fn tokio() -> Arc<dyn Runtime> {
    static SHARED: std::sync::OnceLock<Arc<Tokio>> = std::sync::OnceLock::new();
    SHARED.get_or_init(|| Arc::new(Tokio)).clone()
}
