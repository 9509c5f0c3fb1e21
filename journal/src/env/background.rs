//! Threads whose work may come late, and how they make way for those that answer somebody.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// How long a thread works in the background before it offers its processor to others.
const BREATH_EVERY: Duration = Duration::from_micros(250);

thread_local! {
    /// When this thread last did so, if it works in the background.
    static BREATHED: Cell<Option<Instant>> = const { Cell::new(None) };
    static HURRIES: RefCell<Option<Box<dyn Fn() -> bool>>> = const { RefCell::new(None) };
}

/// From here on [`breathe`] does something in this thread: its work may come late, unless it `hurries`, since somebody waits
/// for what it holds, or soon will for what it has not done.
pub fn work_in_background(hurries: impl Fn() -> bool + 'static) {
    HURRIES.set(Some(Box::new(hurries)));
    BREATHED.set(Some(Instant::now()));
}

/// Offers the processor to whoever waits for it, if this thread works in the background and has not done so for a quarter of a
/// millisecond; true if it did. Left alone, the system's scheduler lets a thread that computes go on for some milliseconds
/// before one that has just been woken gets its turn: with two processors, every hundredth commit would wait for that. Called
/// between parts of long work.
pub fn breathe() -> bool {
    let Some(breathed) = BREATHED.get() else { return false };
    if breathed.elapsed() < BREATH_EVERY {
        return false;
    }
    let hurries = HURRIES.with_borrow(|hurries| hurries.as_ref().is_some_and(|hurries| hurries()));
    if !hurries {
        std::thread::yield_now();
        BREATHED.set(Some(Instant::now()));
    }
    !hurries
}

/// Processor time that the other threads of this process have taken so far: whoever works in the background rests longer
/// while they have something to do.
pub fn processor_time_of_others() -> Duration {
    let of = |clock| {
        let time = rustix::time::clock_gettime(clock);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
    };
    of(rustix::time::ClockId::ProcessCPUTime).saturating_sub(of(rustix::time::ClockId::ThreadCPUTime))
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Whether this thread offers its processor within so much work.
    fn breathes() -> bool {
        let until = Instant::now() + 4 * BREATH_EVERY;
        while Instant::now() < until {
            if breathe() {
                return true;
            }
        }
        false
    }

    #[test]
    fn a_thread_in_the_background_makes_way_unless_somebody_waits_for_it() {
        let in_background = std::thread::spawn(|| {
            let before = breathes();
            let hurries = Arc::new(AtomicBool::new(false));
            let asked = Arc::clone(&hurries);
            work_in_background(move || asked.load(Ordering::Relaxed));
            let at_leisure = breathes();
            hurries.store(true, Ordering::Relaxed);
            let in_a_hurry = breathes();
            hurries.store(false, Ordering::Relaxed);
            (before, at_leisure, in_a_hurry, breathes())
        });
        assert_eq!(in_background.join().unwrap(), (false, true, false, true));
        assert!(!breathes());
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
