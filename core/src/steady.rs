//! An array that grows without moving what it holds.
//!
//! A vector of 40 MB that doubles holds its caller for 25 ms while it copies, and for a moment
//! takes three times the memory. This one adds a segment at a time: growing costs the same at ten
//! nodes and at ten million. The price is one more load per access, from a list of segments that
//! stays in the first-level cache: 150 pointers for ten million deadlines.

use alloc::{boxed::Box, vec, vec::Vec};
use core::ops::{Index, IndexMut};

/// Values of one kind, in segments of `N`.
#[derive(Clone, Debug)]
pub(crate) struct Steady<T, const N: usize> {
    segments: Vec<Box<[T; N]>>,
}

impl<T: Clone, const N: usize> Steady<T, N> {
    /// No values, no memory.
    pub(crate) const fn new() -> Self {
        Self { segments: Vec::new() }
    }

    /// How many values there are: a multiple of `N`.
    pub(crate) const fn len(&self) -> usize {
        self.segments.len() * N
    }

    /// Makes it at least `len` values long, the new ones being `blank`. Never shrinks.
    pub(crate) fn grow(&mut self, len: usize, blank: &T) {
        while self.len() < len {
            let segment = vec![blank.clone(); N].into_boxed_slice().try_into().ok();
            self.segments.push(segment.expect("a slice of N values is an array of N values"));
        }
    }
}

impl<T, const N: usize> Index<usize> for Steady<T, N> {
    type Output = T;

    #[inline]
    fn index(&self, index: usize) -> &T {
        &self.segments[index / N][index % N]
    }
}

impl<T, const N: usize> IndexMut<usize> for Steady<T, N> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.segments[index / N][index % N]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_leaves_every_value_where_it_was() {
        let mut steady = Steady::<u32, 4>::new();
        steady.grow(3, &7);
        let first: *const u32 = &raw const steady[0];
        steady[2] = 9;

        steady.grow(3_999, &8);

        assert_eq!(first, &raw const steady[0]);
        assert_eq!((steady[0], steady[2], steady[4], steady[3_999]), (7, 9, 8, 8));
    }

    #[test]
    fn it_grows_by_whole_segments_and_never_shrinks() {
        let mut steady = Steady::<u32, 4>::new();
        for (asked, len) in [(0, 0), (1, 4), (9, 12), (2, 12)] {
            steady.grow(asked, &1);
            assert_eq!(steady.len(), len);
        }
    }
}
