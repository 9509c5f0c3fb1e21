//! Work on many items of one transaction, spread over the processors: hashing a million documents on one thread is most
//! of what a bulk load takes.

use std::thread;

/// Fewer items are not worth a thread.
const CHUNK_MIN: usize = 1024;
const THREADS_MAX: usize = 16;

/// Whether it is worth spreading them.
pub(crate) fn are_many<T>(items: &[T]) -> bool {
    items.len() >= 2 * CHUNK_MIN
}

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
    let most = (items.len() / chunk_min.max(1)).min(THREADS_MAX);
    let threads = if most < 2 { 1 } else { thread::available_parallelism().map_or(1, |n| n.get()).min(most) };
    if threads == 1 {
        return work(items);
    }
    let mut chunks = items.chunks(items.len().div_ceil(threads));
    thread::scope(|scope| {
        let first = chunks.next().unwrap_or_default();
        let begin = |chunk| {
            let work = &work;
            // Without a thread it is done here.
            thread::Builder::new().spawn_scoped(scope, move || work(chunk)).map_err(|_| chunk)
        };
        let begun: Vec<_> = chunks.map(begin).collect();
        let mut made = work(first);
        for rest in begun {
            made.extend(match rest {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(chunk) => work(chunk),
            });
        }
        made
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
