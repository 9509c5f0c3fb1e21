//! Open sessions of a door whose clients have no connection of their own: found by an unguessable id, limited in number, and
//! ended by a sweep. What a session is, and how long it lives, each door says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use ledgerstone_digest::Id;
use ledgerstone_journal::env::Rng;
use tokio::sync::watch;

/// Open sessions by their ids.
pub struct Sessions<E> {
    most: usize,
    rng: Arc<dyn Rng>,
    open: Mutex<HashMap<Id, Arc<E>>>,
}

/// So many are open, as many as are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full(pub usize);

/// What a sweep does, now and then, and when the server stops.
pub trait Sweep: Send + Sync {
    fn pause(&self) -> Duration;

    /// Ends what has lived too long.
    fn sweep(&self, now: Instant);

    fn close_all(&self);
}

impl<E> Sessions<E> {
    pub fn new(most: usize, rng: Arc<dyn Rng>) -> Sessions<E> {
        Sessions { most, rng, open: Mutex::default() }
    }

    /// Refuses before a session is made that there would be no room for.
    pub fn check_room(&self) -> Result<(), Full> {
        room(&self.lock(), self.most)
    }

    /// Takes a session in and gives its id.
    pub fn add(&self, entry: E) -> Result<Id, Full> {
        let mut open = self.lock();
        room(&open, self.most)?;
        let id = loop {
            let id = Id(self.rng.bytes16());
            if !open.contains_key(&id) {
                break id;
            }
        };
        open.insert(id, Arc::new(entry));
        Ok(id)
    }

    /// What `see` makes of a session, which is not ended meanwhile.
    pub fn with<T>(&self, id: Id, see: impl FnOnce(&Arc<E>) -> Option<T>) -> Option<T> {
        self.lock().get(&id).and_then(see)
    }

    /// Takes a session out if `may` says so.
    pub fn remove_if(&self, id: Id, may: impl FnOnce(&E) -> bool) -> Option<Arc<E>> {
        let mut open = self.lock();
        if !may(open.get(&id)?) {
            return None;
        }
        open.remove(&id)
    }

    /// Ends what is not to be kept; gives how many.
    pub fn retain(&self, keep: impl Fn(&E) -> bool) -> usize {
        let mut open = self.lock();
        let before = open.len();
        open.retain(|_, entry| keep(entry));
        before - open.len()
    }

    pub fn all(&self) -> Vec<(Id, Arc<E>)> {
        self.lock().iter().map(|(id, entry)| (*id, Arc::clone(entry))).collect()
    }

    /// Takes all of them out.
    pub fn drain(&self) -> Vec<Arc<E>> {
        self.lock().drain().map(|(_, entry)| entry).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Arc<E>>> {
        lock(&self.open)
    }
}

/// Sweeps until the server stops, then closes everything.
pub async fn sweep<R: Sweep>(registry: Weak<R>, mut shutdown: watch::Receiver<bool>) {
    loop {
        let Some(pause) = registry.upgrade().map(|registry| registry.pause()) else { return };
        let stopped = tokio::select! {
            () = tokio::time::sleep(pause) => false,
            _ = shutdown.wait_for(|stop| *stop) => true,
        };
        let Some(registry) = registry.upgrade() else { return };
        if stopped {
            return registry.close_all();
        }
        registry.sweep(Instant::now());
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn room<E>(open: &HashMap<Id, Arc<E>>, most: usize) -> Result<(), Full> {
    if open.len() < most { Ok(()) } else { Err(Full(open.len())) }
}
