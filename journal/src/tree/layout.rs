//! Where the tree's hashes stand on disk: pure arithmetic, no files.
//!
//! Every fourth level of the RFC 9162 tree is stored, as a file of 32-byte hashes in order: file `00` holds the leaf
//! hashes, `04` the roots of complete subtrees of 16 leaves, `08` those of 256, and so on. A hash's offset is 32 times
//! its index. Levels between are computed from at most 8 stored hashes. The cost is 34.2 bytes a leaf, and the levels
//! 0, 8, 16 … are exactly the tiles of `c2sp.org/tlog-tiles`.

use std::path::{Path, PathBuf};

/// Bytes of one hash.
pub const HASH_BYTES: u64 = 32;
/// One level in this many is stored.
pub const LEVEL_STEP: u8 = 4;
/// Hashes of one stored level under one hash of the next.
pub const FAN_OUT: u64 = 1 << LEVEL_STEP;
/// The number of stored levels that positions below 2^63 can fill.
pub const STORED_LEVELS_MAX: usize = 16;

/// How many hashes the stored level `stored` (tree level `4 * stored`) holds at a tree size.
pub fn count_at(stored: usize, size: u64) -> u64 {
    size.checked_shr(stored as u32 * LEVEL_STEP as u32).unwrap_or(0)
}

/// How many levels have at least one hash at a tree size.
pub fn stored_levels(size: u64) -> usize {
    (0..STORED_LEVELS_MAX).take_while(|stored| count_at(*stored, size) > 0).count()
}

/// The file of a stored level: its tree level as two digits.
pub fn level_path(tree_dir: &Path, stored: usize) -> PathBuf {
    tree_dir.join(level_name(stored))
}

/// The file name of a stored level.
pub fn level_name(stored: usize) -> String {
    format!("{:02}", stored * LEVEL_STEP as usize)
}

/// The stored hashes under a subtree: stored level, first index, and how many (1, 2, 4 or 8). `None` where positions
/// cannot reach.
pub fn stored_under(level: u8, index: u64) -> Option<(usize, u64, u64)> {
    let stored = (level / LEVEL_STEP) as usize;
    let width = 1u64 << (level % LEVEL_STEP);
    if stored >= STORED_LEVELS_MAX {
        return None;
    }
    Some((stored, index.checked_mul(width)?, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_complete_subtrees() {
        assert_eq!(count_at(0, 70_000), 70_000);
        assert_eq!(count_at(1, 70_000), 4_375);
        assert_eq!(count_at(2, 70_000), 273);
        assert_eq!(count_at(4, 70_000), 1);
        assert_eq!(count_at(5, 70_000), 0);
        assert_eq!(stored_levels(0), 0);
        assert_eq!(stored_levels(15), 1);
        assert_eq!(stored_levels(16), 2);
        assert_eq!(stored_levels((1 << 63) - 1), 16);
    }

    #[test]
    fn a_subtree_is_made_of_at_most_eight_stored_hashes() {
        assert_eq!(stored_under(0, 7), Some((0, 7, 1)));
        assert_eq!(stored_under(3, 5), Some((0, 40, 8)));
        assert_eq!(stored_under(4, 5), Some((1, 5, 1)));
        assert_eq!(stored_under(6, 5), Some((1, 20, 4)));
        assert_eq!(stored_under(64, 0), None);
        assert_eq!(stored_under(3, u64::MAX), None);
    }
}
