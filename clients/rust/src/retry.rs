//! How often and after which pause something is tried again.

use std::time::Duration;

use crate::error::{Error, Result};

/// Bounded attempts with pauses that double, each drawn at random up to its bound ("full jitter"), so that clients which
/// met in one conflict do not meet again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all; at least one is made.
    pub attempts_max: u32,
    /// The bound of the first pause.
    pub pause_first: Duration,
    /// The bound of any pause.
    pub pause_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy { attempts_max: 20, pause_first: Duration::from_millis(4), pause_max: Duration::from_secs(1) }
    }
}

impl RetryPolicy {
    /// No second attempt.
    pub const ONCE: RetryPolicy =
        RetryPolicy { attempts_max: 1, pause_first: Duration::ZERO, pause_max: Duration::ZERO };

    /// The bound of the pause after this many failed attempts, from 1.
    pub fn pause_bound(&self, failed: u32) -> Duration {
        let doubled = 1u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX);
        self.pause_first.saturating_mul(doubled).min(self.pause_max)
    }

    pub(crate) async fn pause(&self, failed: u32) {
        let bound = self.pause_bound(failed).as_micros();
        let drawn = (u128::from(u64::from_be_bytes(random())) * bound) >> 64;
        tokio::time::sleep(Duration::from_micros(u64::try_from(drawn).unwrap_or(u64::MAX))).await;
    }
}

/// Asks again when the connection turns out to be lost, as it does after a restart of the server: for questions, which
/// may be asked twice.
pub(crate) async fn asked<T, Fut>(mut question: impl FnMut() -> Fut) -> Result<T>
where
    Fut: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
{
    let policy = RetryPolicy { attempts_max: 4, ..RetryPolicy::default() };
    let mut failed = 0;
    loop {
        match question().await.map_err(Error::from) {
            Err(Error::Unavailable(_)) if failed + 1 < policy.attempts_max => {
                failed += 1;
                policy.pause(failed).await;
            }
            other => return other.map(tonic::Response::into_inner),
        }
    }
}

/// Random bytes. Without a source of randomness they are zeros, which costs only the jitter; a client token is refused
/// then ([`client_token`]).
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        bytes = [0; N];
    }
    bytes
}

/// A fresh client token; `None` if the system has no randomness to make it unique.
pub(crate) fn client_token() -> Option<String> {
    let bytes: [u8; 16] = random();
    (bytes != [0; 16]).then(|| ledgerstone_digest::Id(bytes).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.pause_bound(1), Duration::from_millis(4));
        assert_eq!(policy.pause_bound(2), Duration::from_millis(8));
        assert_eq!(policy.pause_bound(9), Duration::from_secs(1));
        assert_eq!(policy.pause_bound(u32::MAX), Duration::from_secs(1));
        assert_eq!(RetryPolicy::ONCE.pause_bound(3), Duration::ZERO);
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(client_token(), client_token());
    }
}
