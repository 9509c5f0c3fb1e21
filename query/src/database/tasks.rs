//! Work that goes on beside the sessions: an index being filled, a redaction being carried out.
//!
//! Each is a future. It runs in a thread of its own; or, in a database that is opened without threads, in steps that
//! whoever opened it takes one by one, so that a test decides what happens between them.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::transaction::block_on;

/// A piece of work, to its end.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs tasks.
pub(crate) enum Tasks {
    Threads,
    /// Those not ended yet; the first is stepped next.
    Steps(Mutex<VecDeque<Task>>),
}

impl Tasks {
    pub fn new(threads: bool) -> Tasks {
        if threads { Tasks::Threads } else { Tasks::Steps(Mutex::default()) }
    }

    /// Begins a task; the error is the system's that gave no thread.
    pub fn begin(&self, name: &str, task: Task) -> std::io::Result<()> {
        match self {
            Tasks::Threads => std::thread::Builder::new().name(name.to_owned()).spawn(move || block_on(task)).map(drop),
            Tasks::Steps(tasks) => {
                lock(tasks).push_back(task);
                Ok(())
            }
        }
    }

    /// Takes a step of the oldest task and puts it behind the others. False if there is none.
    pub fn step(&self) -> bool {
        let Tasks::Steps(tasks) = self else { return false };
        let Some(mut task) = lock(tasks).pop_front() else { return false };
        // The lock is free meanwhile: a task may begin another.
        if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            lock(tasks).push_back(task);
        }
        true
    }

    /// Forgets what has not ended. Tasks hold the database that holds them.
    pub fn clear(&self) {
        if let Tasks::Steps(tasks) = self {
            let forgotten = std::mem::take(&mut *lock(tasks));
            drop(forgotten);
        }
    }
}

/// Lets others go on before the task does.
#[derive(Default)]
pub(crate) struct Break(bool);

impl Future for Break {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

fn lock(tasks: &Mutex<VecDeque<Task>>) -> MutexGuard<'_, VecDeque<Task>> {
    tasks.lock().unwrap_or_else(PoisonError::into_inner)
}
