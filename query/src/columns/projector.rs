//! The thread that turns what was committed into columns and what is in memory into files, beside everything else: it asks
//! now and then how much there is, so that a commit has nothing to tell it, and rests longer than it works.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ledgerstone_journal::env::{Waiting, processor_time, processor_time_of_others, work_in_background};

use super::ColumnError;
use super::store::ColumnStore;

/// Between two looks at how much there is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After a failure.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Revisions read while a scan has to wait.
const STEP_REVISIONS: u64 = 2048;
/// So many times what begins its work is far behind: it makes way for nobody.
const FAR_BEHIND: u64 = 16;
/// It rests so many times as long as it worked while other threads work too,
const REST: u32 = 4;
/// and a part of that if they take less than one of so many parts of a processor.
const REST_ALONE: u32 = 4;
const ALONE: u32 = 20;

/// The thread, until it is dropped.
pub(crate) struct Projector {
    stop: Arc<(Mutex<bool>, Condvar)>,
    /// Who waits for what the thread holds.
    waiting: Waiting,
    thread: Option<JoinHandle<()>>,
}

impl Projector {
    pub fn start(store: Arc<ColumnStore>) -> std::io::Result<Projector> {
        let stop: Arc<(Mutex<bool>, Condvar)> = Arc::default();
        let (for_thread, waiting) = (stop.clone(), store.waiting.clone());
        let thread = std::thread::Builder::new().name("columns".to_owned()).spawn(move || {
            let of_store = Arc::downgrade(&store);
            work_in_background(move || {
                of_store.upgrade().is_some_and(|store| store.waiting.any() || store.is_far_behind())
            });
            // A redaction may have been carried out by the start.
            store.purge(&|| *for_thread.0.lock().unwrap_or_else(PoisonError::into_inner));
            let mut wait = LOOK_EVERY;
            while !rested(&for_thread, wait) {
                wait = match store.project(&for_thread) {
                    Ok(()) => LOOK_EVERY,
                    Err(error) => {
                        tracing::warn!(%error, "columns cannot be written; it is tried again");
                        RETRY_AFTER
                    }
                };
            }
        })?;
        Ok(Projector { stop, waiting, thread: Some(thread) })
    }
}

impl Drop for Projector {
    fn drop(&mut self) {
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take()
            && self.waiting.during(|| thread.join()).is_err()
        {
            tracing::error!("the thread of the columns ended in a panic");
        }
    }
}

impl ColumnStore {
    /// Positions of the journal that have not been read.
    fn behind(&self) -> u64 {
        self.origin.end().saturating_sub(self.position())
    }

    fn is_far_behind(&self) -> bool {
        self.behind() > self.options.project_above_positions.saturating_mul(FAR_BEHIND)
    }

    /// Reads what there is of the journal if that is much, and writes files if much is in memory.
    fn project(&self, stop: &(Mutex<bool>, Condvar)) -> Result<(), ColumnError> {
        let most = self.options.project_above_positions;
        if self.behind() >= most {
            let (mut round, mut others) = (Instant::now(), processor_time_of_others());
            loop {
                let began = processor_time();
                let more = match self.step(STEP_REVISIONS) {
                    Err(ColumnError::Memory { .. }) => self.flush()?,
                    other => other?,
                };
                if self.counts().0 as u64 >= most {
                    self.flush()?;
                }
                // Not what others were given meanwhile.
                let worked = processor_time().saturating_sub(began);
                let taken = processor_time_of_others();
                let alone = taken.saturating_sub(others) < round.elapsed() / ALONE;
                (round, others) = (Instant::now(), taken);
                if rested(stop, if alone { worked / REST_ALONE } else { worked * REST }) || !more {
                    break;
                }
            }
        }
        if self.counts().0 as u64 >= most {
            self.flush()?;
        }
        Ok(())
    }
}

/// Waits; true if it is to end.
fn rested((stopped, told): &(Mutex<bool>, Condvar), time: Duration) -> bool {
    let until = Instant::now() + time;
    let mut stop = stopped.lock().unwrap_or_else(PoisonError::into_inner);
    while !*stop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        stop = told.wait_timeout(stop, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    *stop
}
