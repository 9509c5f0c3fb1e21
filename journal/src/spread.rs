//! Work on many items of one transaction, spread over the processors: hashing a million documents on one thread is most
//! of what a bulk load takes.

use std::mem::take;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Fewer items are not worth a thread.
pub(crate) const CHUNK_MIN: usize = 1024;
const THREADS_MAX: usize = 16;

/// What `work` makes of the items, in their order. It is given parts of them, on several threads if there are many.
pub(crate) fn spread<T: Sync, R: Send>(items: &[T], work: impl Fn(&[T]) -> Vec<R> + Sync) -> Vec<R> {
    spread_by(items, CHUNK_MIN, work)
}

/// As [`spread`], for items of which `chunk_min` are worth a thread.
pub(crate) fn spread_by<T: Sync, R: Send>(
    items: &[T],
    chunk_min: usize,
    work: impl Fn(&[T]) -> Vec<R> + Sync,
) -> Vec<R> {
    let parts = spread_ranges(items.len(), chunk_min, |part| work(items.get(part).unwrap_or_default()));
    join(parts)
}

/// What `work` makes of parts of `count` items, of which `chunk_min` are worth a thread; the parts in their order.
pub fn spread_ranges<R: Send>(count: usize, chunk_min: usize, work: impl Fn(Range<usize>) -> R + Sync) -> Vec<R> {
    in_parts(count, size_of_part(count, chunk_min), work)
}

/// What `work` makes of parts of `size`, each on a thread of its own.
fn in_parts<R: Send>(count: usize, size: usize, work: impl Fn(Range<usize>) -> R + Sync) -> Vec<R> {
    if size >= count {
        return vec![work(0..count)];
    }
    thread::scope(|scope| {
        let begin = |at: usize| {
            let (work, part) = (&work, at * size..count.min((at + 1) * size));
            // Without a thread it is done here.
            thread::Builder::new()
                .spawn_scoped(scope, {
                    let part = part.clone();
                    move || work(part)
                })
                .map_err(|_| part)
        };
        let begun: Vec<_> = (1..count.div_ceil(size)).map(begin).collect();
        let mut made = vec![work(0..size)];
        made.extend(begun.into_iter().map(|rest| match rest {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(part) => work(part),
        }));
        made
    })
}

/// As [`spread_ranges`] for items that are given away, with the number of a part's first.
pub fn spread_owned<T: Send, R: Send>(
    mut items: Vec<T>,
    chunk_min: usize,
    work: impl Fn(usize, Vec<T>) -> R + Sync,
) -> Vec<R> {
    let count = items.len();
    let size = size_of_part(count, chunk_min);
    let mut parts: Vec<Mutex<Vec<T>>> = Vec::new();
    for at in (1..count.div_ceil(size)).rev() {
        parts.push(Mutex::new(items.split_off(at * size)));
    }
    parts.push(Mutex::new(items));
    parts.reverse();
    in_parts(count, size, |part| {
        let given =
            parts.get(part.start / size).map(|given| take(&mut *given.lock().unwrap_or_else(PoisonError::into_inner)));
        work(part.start, given.unwrap_or_default())
    })
}

/// How many items each thread works on. Asked once for one piece of work: how many processors there are may change.
fn size_of_part(count: usize, chunk_min: usize) -> usize {
    let most = (count / chunk_min.max(1)).min(THREADS_MAX);
    let threads = if most < 2 { 1 } else { thread::available_parallelism().map_or(1, |n| n.get()).min(most) };
    count.div_ceil(threads).max(1)
}

/// The parts in one, without copying a single one.
fn join<R>(parts: Vec<Vec<R>>) -> Vec<R> {
    let mut parts = parts.into_iter();
    let mut all = parts.next().unwrap_or_default();
    parts.for_each(|part| all.extend(part));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_away_comes_once_with_its_number() {
        for count in [0, 1, 7, 8, 9, 1000] {
            let parts = spread_owned((0..count).collect::<Vec<usize>>(), 4, |first, part| {
                part.into_iter().zip(first..).collect::<Vec<_>>()
            });
            assert_eq!(parts.concat(), (0..count).map(|n| (n, n)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn order_is_kept_however_many_there_are() {
        for count in [0, 1, CHUNK_MIN, 2 * CHUNK_MIN - 1, 2 * CHUNK_MIN, 10 * CHUNK_MIN + 7] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(
                spread(&items, |part| part.iter().map(|n| n * 2).collect()),
                items.iter().map(|n| n * 2).collect::<Vec<_>>()
            );
        }
    }
}
