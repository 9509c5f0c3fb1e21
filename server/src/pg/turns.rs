//! How connections take turns that read, on processors which they share with their clients and with each other.
//!
//! An answer to a commit goes out at once. Answers to reads wait until whoever else has arrived has been answered too, so that
//! several leave one after the other; and a thread that has answered reads offers its processor before it sleeps, to the
//! clients that have just been woken: when it has its turn again, most of their next messages are there already.
//! `docs/architecture.md` ("Where the time goes") has the figures.

use std::cell::Cell;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Clients of a loopback take less than this to send their next messages. Whoever takes longer computes, and would do so to the
/// end of a slice each time.
const SHORT: Duration = Duration::from_millis(1);
/// After so many offers that took long, each twice as rare as the one before, next to none is made.
const PAUSE_DOUBLINGS_MAX: u32 = 10;

thread_local! {
    /// Whether this thread has answered reads since it last slept, and nothing else.
    static READS: Cell<Reads> = const { Cell::new(Reads::None) };
    static OFFERS: Cell<Offers> = const { Cell::new(Offers { doublings: 0, pause: 0 }) };
}

/// How often a thread offers its processor.
#[derive(Debug, Clone, Copy)]
struct Offers {
    /// Offers lately that took long, less those that did not.
    doublings: u32,
    /// So many times it is not done.
    pause: u32,
}

impl Offers {
    /// Whether it is time for one.
    fn is_due(&mut self) -> bool {
        let due = self.pause == 0;
        self.pause = self.pause.saturating_sub(1);
        due
    }

    fn took(&mut self, elapsed: Duration) {
        if elapsed < SHORT {
            self.doublings = self.doublings.saturating_sub(1);
        } else {
            self.doublings = (self.doublings + 1).min(PAUSE_DOUBLINGS_MAX);
            self.pause = 1 << self.doublings;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    None,
    Only,
    AmongOthers,
}

/// Lets the other tasks of this thread that are ready go first, once each.
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

/// An answer is about to be sent by this thread, to a read or to something else.
pub fn answers(read: bool) {
    let so_far = READS.get();
    READS.set(if read && so_far != Reads::AmongOthers { Reads::Only } else { Reads::AmongOthers });
}

/// To be called by each thread of the runtime before it sleeps.
pub fn before_sleep() {
    if READS.replace(Reads::None) != Reads::Only {
        return;
    }
    let mut offers = OFFERS.get();
    if offers.is_due() {
        let begun = Instant::now();
        std::thread::yield_now();
        offers.took(begun.elapsed());
    }
    OFFERS.set(offers);
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

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
        let made = |offers: &mut Offers, times: u32, took: Duration| {
            let mut made = 0;
            for _ in 0..times {
                if offers.is_due() {
                    made += 1;
                    offers.took(took);
                }
            }
            made
        };
        let mut offers = OFFERS.get();
        assert_eq!(made(&mut offers, 100, SHORT / 2), 100);
        let most = 1 << PAUSE_DOUBLINGS_MAX;
        assert!(made(&mut offers, 100 * most, SHORT) <= 110);
        // Nobody computes any more: the pause that is left, and then every time.
        made(&mut offers, most + PAUSE_DOUBLINGS_MAX, SHORT / 2);
        assert_eq!(made(&mut offers, 100, SHORT / 2), 100);
    }

    #[test]
    fn a_thread_offers_its_processor_after_reads_alone() {
        let after = |all: &[bool]| {
            all.iter().for_each(|read| answers(*read));
            let reads = READS.get();
            before_sleep();
            assert_eq!(READS.get(), Reads::None);
            reads
        };
        assert_eq!(after(&[]), Reads::None);
        assert_eq!(after(&[true, true]), Reads::Only);
        assert_eq!(after(&[true, false, true]), Reads::AmongOthers);
        assert_eq!(after(&[false]), Reads::AmongOthers);
    }
}
