//! How often something is tried that is often in vain: each time it is, the pause before the next try is twice as long.

/// The longest pause: what is always in vain costs next to nothing.
pub const PAUSE_MAX: u32 = 1 << 10;

/// When to try. A pause is so many occasions that are let go by.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Occasions of this pause that are left.
    left: u32,
    /// The next pause, before its limit.
    next: u32,
    first: u32,
}

impl Backoff {
    /// The pause after the first try in vain.
    pub const fn starting_with(first: u32) -> Backoff {
        Backoff { left: 0, next: first, first }
    }

    /// At each occasion: whether to try.
    pub fn is_due(&mut self) -> bool {
        let due = self.left == 0;
        self.left = self.left.saturating_sub(1);
        due
    }

    pub fn was_in_vain(&mut self) {
        self.left = self.next.min(PAUSE_MAX);
        self.next = (self.next * 2).min(PAUSE_MAX * 2);
    }

    /// As if nothing had been in vain.
    pub fn forget(&mut self) {
        self.next = self.first;
    }

    /// As if it had been in vain once less.
    pub fn ease(&mut self) {
        self.next = (self.next / 2).max(self.first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pause after a try in vain.
    fn pause(backoff: &mut Backoff) -> u32 {
        backoff.was_in_vain();
        (0..).find(|_| backoff.is_due()).unwrap()
    }

    #[test]
    fn pauses_grow_to_the_longest_and_shrink_by_what_was_not_in_vain() {
        let mut backoff = Backoff::starting_with(2);
        assert!(backoff.is_due() && backoff.is_due());
        let pauses: Vec<u32> = (0..11).map(|_| pause(&mut backoff)).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024]);
        backoff.ease();
        assert_eq!(pause(&mut backoff), 1024);
        for _ in 0..2 {
            backoff.ease();
        }
        assert_eq!(pause(&mut backoff), 512);
        backoff.forget();
        backoff.ease();
        assert_eq!((pause(&mut backoff), pause(&mut backoff)), (2, 4));
    }
}
