//! Threads for analytics: as many as the machine has processors, shared by all statements of the process. The thread of
//! the statement always works on it; others join as far as there are some left, so that a crowd of statements makes no
//! crowd of threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Stop;

/// Threads that help now, over all statements.
static HELPING: AtomicUsize = AtomicUsize::new(0);

/// Does pieces of work numbered from 0, each thread with a state of its own, which `begin` makes on it. Returns the
/// states; the first failure ends the others' work as well, who are told of it by the flag.
pub(super) fn each<W, T: Send>(
    pieces: usize,
    begin: impl Fn() -> W + Sync,
    work: impl Fn(&mut W, usize, &AtomicBool) -> Result<(), Stop> + Sync,
    end: impl Fn(W) -> T + Sync,
) -> Result<Vec<T>, Stop> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let failure: Mutex<Option<Stop>> = Mutex::new(None);
    let run = || -> T {
        let mut state = begin();
        while !failed.load(Ordering::Acquire) {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= pieces {
                break;
            }
            if let Err(stop) = work(&mut state, piece, &failed) {
                // Before the others are told, whose own failures come of it.
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(stop);
                failed.store(true, Ordering::Release);
            }
        }
        end(state)
    };
    let helpers = Helpers::take(pieces.saturating_sub(1));
    let states = std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..helpers.0)
            .filter_map(|_| {
                let thread = std::thread::Builder::new().name("analytics".to_owned());
                // Without a thread the others do its work.
                thread.spawn_scoped(scope, run).ok()
            })
            .collect();
        let mut states = vec![run()];
        for thread in threads {
            match thread.join() {
                Ok(state) => states.push(state),
                Err(_) => {
                    failure
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .get_or_insert(Stop::Fallback("a thread of the scan panicked"));
                }
            }
        }
        states
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(stop) => Err(stop),
        None => Ok(states),
    }
}

/// How many threads may work on one statement.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Threads taken out of those that may help.
struct Helpers(usize);

impl Helpers {
    fn take(wanted: usize) -> Helpers {
        let most = threads();
        let wanted = wanted.min(most.saturating_sub(1));
        let mut taken = 0;
        let _ = HELPING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |helping| {
            taken = wanted.min(most.saturating_sub(helping));
            Some(helping + taken)
        });
        Helpers(taken)
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        HELPING.fetch_sub(self.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_done_once_and_a_failure_ends_the_work() {
        let sums = each(
            1000,
            || 0,
            |sum, piece, _| {
                *sum += piece;
                Ok(())
            },
            |sum| sum,
        )
        .unwrap();
        assert_eq!(sums.iter().sum::<usize>(), 1000 * 999 / 2);
        assert!(sums.len() <= threads());
        let work =
            |(): &mut (), piece, _: &AtomicBool| if piece == 10 { Err(Stop::Fallback("enough")) } else { Ok(()) };
        assert!(matches!(each(1000, || (), work, |()| ()), Err(Stop::Fallback("enough"))));
    }
}
