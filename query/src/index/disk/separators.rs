//! What separates a run's blocks from each other, in memory: every key of a block is at or behind its separator, every key
//! before it is below.
//!
//! A run of many millions of entries has hundreds of thousands of blocks. A search by halves through all of their
//! separators would fetch a dozen lines that no cache holds; so every [`STEP`]th separator stands once more in a level
//! above, until a level is short, and a search goes down through [`STEP`] neighbours a level, as in a B-tree.

use std::ops::Range;

/// So many separators are under one of the level above.
const STEP: usize = 32;

/// The separators of a run's blocks, in order.
pub struct Separators {
    /// All of them first, then ever fewer.
    levels: Vec<Level>,
}

#[derive(Default)]
struct Level {
    bytes: Vec<u8>,
    /// End of each in `bytes`.
    ends: Vec<u32>,
}

impl Separators {
    /// From one behind the other; `None` if they do not ascend.
    pub fn new<'s>(separators: impl Iterator<Item = &'s [u8]>) -> Option<Separators> {
        let mut all = Level::default();
        for separator in separators {
            let ascends = all.ends.len().checked_sub(1).is_none_or(|last| all.get(last) < separator);
            if !ascends {
                return None;
            }
            all.push(separator)?;
        }
        let mut levels = vec![all];
        while let Some(below) = levels.last().filter(|below| below.ends.len() > STEP) {
            let mut level = Level::default();
            for at in (0..below.ends.len()).step_by(STEP) {
                level.push(below.get(at))?;
            }
            levels.push(level);
        }
        Some(Separators { levels })
    }

    /// The separator of a block; empty if there is no such block.
    pub fn get(&self, block: usize) -> &[u8] {
        self.levels.first().map_or(&[], |all| all.get(block))
    }

    /// The block that a key is in, if it is in any.
    pub fn block_of(&self, key: &[u8]) -> Option<usize> {
        let mut under = 0..usize::MAX;
        for level in self.levels.iter().rev() {
            let at = level.last_at_or_below(under, key)?;
            under = at * STEP..(at + 1) * STEP;
        }
        Some(under.start / STEP)
    }
}

impl Level {
    /// `None`: longer than can be said.
    fn push(&mut self, separator: &[u8]) -> Option<()> {
        self.bytes.extend_from_slice(separator);
        self.ends.push(u32::try_from(self.bytes.len()).ok()?);
        Some(())
    }

    fn get(&self, n: usize) -> &[u8] {
        let end = |n: usize| self.ends.get(n).map_or(0, |end| *end as usize);
        let start = n.checked_sub(1).map_or(0, end);
        self.bytes.get(start..end(n)).unwrap_or_default()
    }

    fn last_at_or_below(&self, among: Range<usize>, key: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (among.start, among.end.min(self.ends.len()));
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle) <= key {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low.checked_sub(1).filter(|at| *at >= among.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(keys: &[Vec<u8>]) -> Option<Separators> {
        Separators::new(keys.iter().map(Vec::as_slice))
    }

    #[test]
    fn a_key_is_in_the_last_block_that_begins_at_or_before_it() {
        for count in [0, 1, 2, 31, 32, 33, 1023, 1024, 1025, 5000] {
            // Two apart, so that there are keys between them; some have a separator that is a beginning of the next one.
            let keys: Vec<Vec<u8>> = (0..count)
                .map(|n: u32| {
                    let bytes = (2 * n + 1).to_be_bytes();
                    if n.is_multiple_of(3) { bytes.to_vec() } else { [&bytes[..], &[7; 3]].concat() }
                })
                .collect();
            let separators = of(&keys).unwrap();
            for n in 0..2 * count + 3 {
                for key in [n.to_be_bytes().to_vec(), [&n.to_be_bytes()[..], &[9]].concat()] {
                    let expected = keys.partition_point(|separator| *separator <= key).checked_sub(1);
                    assert_eq!(separators.block_of(&key), expected, "{count} blocks, {key:?}");
                }
            }
            assert_eq!(separators.block_of(&[]), None);
            for (n, key) in keys.iter().enumerate() {
                assert_eq!(separators.get(n), key);
            }
            assert!(separators.get(keys.len()).is_empty());
        }
    }

    #[test]
    fn separators_that_do_not_ascend_are_refused() {
        assert!(of(&[vec![1], vec![1]]).is_none() && of(&[vec![2], vec![1]]).is_none());
        assert!(of(&[vec![], vec![1]]).is_some());
    }
}
