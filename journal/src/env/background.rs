//! Threads whose work may come late, and how they make way for those that answer somebody.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How long a thread works in the background before it offers its processor to others.
const BREATH_EVERY: Duration = Duration::from_micros(250);

/// When a thread last looked whether it has worked long enough, and its processor time when it last made way.
type Breath = (Instant, Duration);

thread_local! {
    /// Of a thread that works in the background.
    static BREATH: Cell<Option<Breath>> = const { Cell::new(None) };
    static HURRIES: RefCell<Option<Box<dyn Fn() -> bool>>> = const { RefCell::new(None) };
}

/// From here on [`breathe`] does something in this thread: its work may come late, unless it `hurries`, since somebody waits
/// for what it holds, or soon will for what it has not done. The closure is dropped when the thread ends, by which time other
/// thread-locals may be gone: it must not be the last to hold anything, so it holds what it asks weakly.
pub fn work_in_background(hurries: impl Fn() -> bool + 'static) {
    HURRIES.set(Some(Box::new(hurries)));
    BREATH.set(Some((Instant::now(), processor_time())));
}

/// Offers the processor to whoever waits for it, if this thread works in the background and has worked for a quarter of a
/// millisecond since it last did; true if it does. Left alone, the system's scheduler lets a thread that computes go on for
/// some milliseconds before one that has just been woken gets its turn: with two processors, every hundredth commit would wait
/// for that. Called between parts of long work, holding nothing that commits wait for.
pub fn breathe() -> bool {
    let Some((looked, last)) = BREATH.get() else { return false };
    if looked.elapsed() < BREATH_EVERY {
        return false;
    }
    let worked = processor_time();
    // It may have slept, or others may have had the processor.
    let due = worked.saturating_sub(last) >= BREATH_EVERY;
    let makes_way = due && !HURRIES.with_borrow(|hurries| hurries.as_ref().is_some_and(|hurries| hurries()));
    if makes_way {
        std::thread::yield_now();
    }
    BREATH.set(Some((Instant::now(), if due { worked } else { last })));
    makes_way
}

/// How many wait for what a thread in the background holds or does.
#[derive(Debug, Clone, Default)]
pub struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    /// Counts somebody while they wait.
    pub fn during<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.0.fetch_add(1, Ordering::Relaxed);
        let waited_for = wait();
        self.0.fetch_sub(1, Ordering::Relaxed);
        waited_for
    }

    /// Whether anybody waits.
    pub fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// Processor time that this thread has taken so far.
pub fn processor_time() -> Duration {
    time_of(ClockId::ThreadCPUTime)
}

/// Processor time that the other threads of this process have taken so far: whoever works in the background rests longer
/// while they have something to do.
pub fn processor_time_of_others() -> Duration {
    time_of(ClockId::ProcessCPUTime).saturating_sub(processor_time())
}

/// From here on this thread works when processors have nothing better to do: where others want them it gets about a tenth of
/// what each of those gets. There is no way back for a process without privileges, so this is for a thread of its own whose
/// work may come late. What must not come late needs another thread that takes over.
pub fn give_way() {
    // A tenth of the weight; the most, 19, would be a hundredth, and might never come to the end of something. Elsewhere than
    // on Linux this would be the priority of the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, 10) {
        tracing::debug!(%error, "a thread in the background keeps its priority");
    }
}

fn time_of(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether this thread makes way within so much work.
    fn makes_way_within(work: Duration) -> bool {
        let until = processor_time() + work;
        while processor_time() < until {
            if breathe() {
                return true;
            }
        }
        false
    }

    #[test]
    fn a_thread_in_the_background_makes_way_unless_somebody_waits_for_it() {
        let (short, long) = (4 * BREATH_EVERY, 1000 * BREATH_EVERY);
        let in_background = std::thread::spawn(move || {
            let before = makes_way_within(short);
            let waiting = Waiting::default();
            let asked = waiting.clone();
            work_in_background(move || asked.any());
            let at_leisure = makes_way_within(long);
            let in_a_hurry = waiting.during(|| makes_way_within(short));
            (before, at_leisure, in_a_hurry, makes_way_within(long))
        });
        assert_eq!(in_background.join().unwrap(), (false, true, false, true));
        assert!(!makes_way_within(short));
    }

    #[test]
    fn a_thread_that_slept_has_not_worked() {
        let in_background = std::thread::spawn(|| {
            work_in_background(|| false);
            std::thread::sleep(20 * BREATH_EVERY);
            breathe()
        });
        assert!(!in_background.join().unwrap());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_that_gives_way_does_so_alone() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        let in_thread = std::thread::spawn(move || {
            give_way();
            priority()
        });
        assert_eq!((in_thread.join().unwrap(), priority()), (before.max(10), before));
    }
}
