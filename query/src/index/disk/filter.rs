//! What a run does not hold, in memory: a Bloom filter whose bits for one item lie in one 64-byte line, so that asking
//! costs one cache miss. It may say "perhaps" of what is not there, in about one case of a hundred, and never "no" of
//! what is.

/// Bits for each item.
const BITS_PER_ITEM: u64 = 10;
/// Bits set for an item.
const PROBES: u32 = 6;
const LINE_WORDS: usize = 8;
const LINE_BYTES: usize = LINE_WORDS * 8;

/// A filter of hashes.
pub struct Filter {
    lines: Vec<[u64; LINE_WORDS]>,
}

impl Filter {
    /// An empty filter for this many items.
    pub fn new(items: u64) -> Filter {
        let lines = (items * BITS_PER_ITEM).div_ceil(LINE_BYTES as u64 * 8).max(1);
        Filter { lines: vec![[0; LINE_WORDS]; lines as usize] }
    }

    pub fn add(&mut self, hash: u64) {
        let at = self.line(hash);
        let Some(line) = self.lines.get_mut(at) else { return };
        for bit in bits(hash) {
            line[bit / 64] |= 1 << (bit % 64);
        }
    }

    /// False: it was never added.
    pub fn may_hold(&self, hash: u64) -> bool {
        let Some(line) = self.lines.get(self.line(hash)) else { return true };
        bits(hash).all(|bit| line[bit / 64] & (1 << (bit % 64)) != 0)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.lines.iter().flatten().flat_map(|word| word.to_le_bytes()).collect()
    }

    pub fn from_bytes(bytes: &[u8]) -> Filter {
        let words = |line: &[u8; LINE_BYTES]| {
            let mut words = [0; LINE_WORDS];
            words.iter_mut().zip(line.as_chunks::<8>().0).for_each(|(to, from)| *to = u64::from_le_bytes(*from));
            words
        };
        Filter { lines: bytes.as_chunks::<LINE_BYTES>().0.iter().map(words).collect() }
    }

    fn line(&self, hash: u64) -> usize {
        (((hash >> 32) * self.lines.len() as u64) >> 32) as usize
    }
}

fn bits(hash: u64) -> impl Iterator<Item = usize> {
    let spread = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    (0..PROBES).map(move |n| ((spread >> (n * 9 + 1)) & 511) as usize)
}

#[cfg(test)]
mod tests {
    use super::super::checksum::hash64;
    use super::*;

    #[test]
    fn what_was_added_is_found_and_little_else() {
        let mut filter = Filter::new(10_000);
        let hash = |n: u64| hash64(0, &n.to_be_bytes());
        (0..10_000).for_each(|n| filter.add(hash(n)));
        let filter = Filter::from_bytes(&filter.to_bytes());
        assert!((0..10_000).all(|n| filter.may_hold(hash(n))));
        let wrong = (10_000..110_000).filter(|n| filter.may_hold(hash(*n))).count();
        assert!(wrong < 3_000, "{wrong} of 100,000");
    }

    #[test]
    fn a_filter_of_nothing_rules_out_everything() {
        assert!(!Filter::new(0).may_hold(hash64(0, b"x")));
        // One that was lost rules out nothing.
        assert!(Filter::from_bytes(&[]).may_hold(7));
    }
}
