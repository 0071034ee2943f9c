//! How many lately? A window in eight pieces, the oldest of which is forgotten as a new one begins.

use crate::{Instant, Span};

const PIECES: usize = 8;

/// A count over a trailing window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recent {
    pieces: [u32; PIECES],
    start: Instant,
}

impl Recent {
    pub(super) const fn new(now: Instant) -> Self {
        Self { pieces: [0; PIECES], start: now }
    }

    pub(super) fn add(&mut self, now: Instant, window: Span) {
        self.roll(now, window);
        self.pieces[0] += 1;
    }

    /// The count as of `now`: of the last window, or up to an eighth of it less.
    pub(super) fn sum(&self, now: Instant, window: Span) -> u32 {
        let mut copy = *self;
        copy.roll(now, window);
        copy.pieces.iter().sum()
    }

    fn roll(&mut self, now: Instant, window: Span) {
        let piece = (window.nanos() / PIECES as u64).max(1);
        let passed = now.since(self.start).nanos() / piece;
        let gone = passed.min(PIECES as u64) as usize;
        if gone > 0 {
            self.pieces.rotate_right(gone);
            self.pieces[..gone].fill(0);
            self.start = self.start + Span::from_nanos(piece * passed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_further_back_than_the_window_is_forgotten() {
        let window = Span::from_secs(80);
        let at = |secs| Instant::ORIGIN + Span::from_secs(secs);
        let mut recent = Recent::new(at(0));
        (0..40).for_each(|second| recent.add(at(second), window));
        assert_eq!(recent.sum(at(40), window), 40);
        assert_eq!(recent.sum(at(79), window), 40);
        assert_eq!(recent.sum(at(80), window), 30);
        assert_eq!(recent.sum(at(100), window), 10);
        assert_eq!(recent.sum(at(110), window), 0);
        recent.add(at(100_000), window);
        assert_eq!(recent.sum(at(100_001), window), 1);
    }
}
