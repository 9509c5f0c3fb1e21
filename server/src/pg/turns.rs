//! How connections take turns that read, on processors which they share with their clients and with each other.
//!
//! While many clients do nothing but read, an answer waits until whoever else has arrived has been answered too, so that several
//! leave one after the other; and a worker of the runtime that has answered reads offers its processor before it sleeps, to the
//! clients that have just been woken: when it has its turn again, most of their next messages are there already. Answers to
//! commits and soon after them, inside of transactions, and to statements that blocked their thread go out at once. Where the
//! system shares processors out to groups of processes (a service, a container), the offer is to the other threads of the group
//! first. `docs/architecture.md` ("Where the time goes") has the figures.

use std::cell::Cell;
use std::sync::Mutex;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::backoff::Backoff;

/// Clients of a loopback take less than this to send their next messages. Whoever takes longer computes, and would do so to the
/// end of a slice each time; the server's own work in the background gives way about as often.
const SHORT: Duration = Duration::from_micros(250);
/// After an offer that took long so many are not made.
const PAUSE_MIN: u32 = 2;

thread_local! {
    /// What this thread has answered since it last slept, of clients of the PostgreSQL port that are not alone.
    static READS: Cell<Reads> = const { Cell::new(Reads::None) };
    /// A statement has blocked this thread since it was asked last.
    static BLOCKED: Cell<bool> = const { Cell::new(false) };
}

/// Of all threads: the one that serves clients is another after a statement that blocked.
static OFFERS: Mutex<Backoff> = Mutex::new(Backoff::starting_with(PAUSE_MIN));

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    None,
    Only,
    AmongOthers,
}

/// Lets other tasks that are ready go first: those that this thread has, unless another thread comes to take this one.
pub async fn after_others() {
    let mut waited = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        // `yield_now` would look for new messages first.
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A statement that may take long has blocked this thread: other tasks have gone to another one meanwhile, and whatever this
/// one puts off waits in a queue that is looked at rarely.
pub fn blocked() {
    BLOCKED.set(true);
}

/// Whether that was so since the last time this was asked.
pub fn has_blocked() -> bool {
    BLOCKED.take()
}

/// An answer is about to be sent by this thread: to a read that could wait, or to something else.
pub fn answers(read: bool) {
    let so_far = READS.get();
    READS.set(if read && so_far != Reads::AmongOthers { Reads::Only } else { Reads::AmongOthers });
}

/// To be called by each worker of the runtime before it sleeps.
pub fn before_sleep() {
    if READS.replace(Reads::None) == Reads::Only {
        offer(&OFFERS, || {
            let begun = Instant::now();
            std::thread::yield_now();
            begun.elapsed()
        });
    }
}

/// Gives the processor away for as long as `give` says, unless that was long of late. Whoever else is deciding that decides for
/// this thread too.
fn offer(offers: &Mutex<Backoff>, give: impl FnOnce() -> Duration) {
    if !offers.try_lock().is_ok_and(|mut offers| offers.is_due()) {
        return;
    }
    let given = give();
    if let Ok(mut offers) = offers.try_lock() {
        if given < SHORT { offers.ease() } else { offers.was_in_vain() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::backoff::PAUSE_MAX;
    use super::*;

    #[tokio::test]
    async fn others_that_are_ready_go_first_and_once() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let turn = async |order: Arc<Mutex<Vec<char>>>, name: char| {
            order.lock().unwrap().push(name);
            after_others().await;
            order.lock().unwrap().push(name.to_ascii_uppercase());
        };
        let tasks = ['a', 'b', 'c'].map(|name| tokio::spawn(turn(Arc::clone(&order), name)));
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ['a', 'b', 'c', 'A', 'B', 'C']);
    }

    #[test]
    fn offers_that_others_take_for_long_are_made_rarely() {
        let offers = Mutex::new(Backoff::starting_with(PAUSE_MIN));
        let made = |times: u32, given: Duration| {
            let mut made = 0;
            for _ in 0..times {
                offer(&offers, || {
                    made += 1;
                    given
                });
            }
            made
        };
        assert_eq!(made(100, SHORT / 2), 100);
        assert!(made(100 * PAUSE_MAX, SHORT) <= 110);
        // Nobody computes any more: the pause that is left, and then every time.
        made(PAUSE_MAX + 10, SHORT / 2);
        assert_eq!(made(100, SHORT / 2), 100);
    }

    #[test]
    fn a_thread_offers_its_processor_after_reads_alone() {
        let after = |all: &[bool]| {
            all.iter().for_each(|read| answers(*read));
            READS.replace(Reads::None)
        };
        assert_eq!(after(&[]), Reads::None);
        assert_eq!(after(&[true, true]), Reads::Only);
        assert_eq!(after(&[true, false, true]), Reads::AmongOthers);
        assert_eq!(after(&[false]), Reads::AmongOthers);
    }
}
