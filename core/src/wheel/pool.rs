//! Chains of block numbers, cut into chunks of 256 bytes from one pool.
//!
//! ```text
//! | next | len | 62 numbers of blocks |     4 + 4 + 248 bytes, four cache lines
//! ```
//!
//! A list that is linked entry by entry waits for memory at every step: emptying a full slot held
//! the caller for 325 ms where chunks took 20. Only the first chunk of a chain is ever partly
//! full, so the pool stays within a few percent of its entries.

use core::mem;

use crate::steady::Steady;

/// Entries per chunk: what fits into 256 bytes.
pub(super) const ENTRIES: usize = 62;

/// A chain, by the number of its first chunk. Not `Clone`: with two owners it would be freed twice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chain(u32);

/// All chunks, those in chains and those that are free.
pub(super) struct Pool {
    chunks: Steady<Chunk, 64>,
    /// The first chunk that was never handed out.
    fresh: u32,
    free: Chain,
    entries: usize,
}

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Chunk {
    next: u32,
    len: u32,
    entries: [u32; ENTRIES],
}

/// Up to 62 entries, out of their chain.
#[derive(Clone, Copy)]
pub(super) struct Batch {
    len: u32,
    entries: [u32; ENTRIES],
}

const _: () = assert!(size_of::<Chunk>() == 256, "a chunk is four cache lines");

const NONE: u32 = u32::MAX;

impl Chain {
    /// A chain without entries.
    pub(super) const EMPTY: Self = Self(NONE);

    /// Whether it has no entries.
    pub(super) const fn is_empty(&self) -> bool {
        self.0 == NONE
    }
}

impl Batch {
    /// No entries.
    pub(super) const EMPTY: Self = Self { len: 0, entries: [0; ENTRIES] };

    /// The entries.
    pub(super) fn entries(&self) -> &[u32] {
        &self.entries[..self.len as usize]
    }

    /// Takes an entry.
    pub(super) const fn pop(&mut self) -> Option<u32> {
        match self.len.checked_sub(1) {
            Some(len) => {
                self.len = len;
                Some(self.entries[len as usize])
            }
            None => None,
        }
    }
}

impl Pool {
    /// A pool without chunks.
    pub(super) const fn new() -> Self {
        Self { chunks: Steady::new(), fresh: 0, free: Chain::EMPTY, entries: 0 }
    }

    /// Entries in all chains.
    pub(super) const fn entries(&self) -> usize {
        self.entries
    }

    /// Adds `block` to a chain.
    pub(super) fn push(&mut self, chain: &mut Chain, block: u32) {
        if chain.is_empty() || self.chunks[chain.0 as usize].len as usize == ENTRIES {
            let next = chain.0;
            *chain = self.take_free();
            let chunk = &mut self.chunks[chain.0 as usize];
            (chunk.next, chunk.len) = (next, 0);
        }
        let chunk = &mut self.chunks[chain.0 as usize];
        chunk.entries[chunk.len as usize] = block;
        chunk.len += 1;
        self.entries += 1;
    }

    /// Takes the first chunk of a chain: the batch of entries that were added last.
    pub(super) fn take_batch(&mut self, chain: &mut Chain) -> Option<Batch> {
        if chain.is_empty() {
            return None;
        }
        let chunk = &mut self.chunks[chain.0 as usize];
        let batch = Batch { len: chunk.len, entries: chunk.entries };
        let emptied = mem::replace(&mut chain.0, chunk.next);
        chunk.next = mem::replace(&mut self.free.0, emptied);
        self.entries -= batch.len as usize;
        Some(batch)
    }

    /// Forgets all chains at once; every chunk is fresh again. Chains that are still held are void.
    pub(super) const fn clear(&mut self) {
        (self.fresh, self.free, self.entries) = (0, Chain::EMPTY, 0);
    }

    /// The entries of a chain, in the order in which they would be popped.
    pub(super) fn iter(&self, chain: &Chain) -> impl Iterator<Item = u32> {
        self.links(chain).flat_map(|chunk| chunk.entries[..chunk.len as usize].iter().rev().copied())
    }

    /// How many chunks hold a chain.
    pub(super) fn chunks_of(&self, chain: &Chain) -> usize {
        self.links(chain).count()
    }

    /// How many chunks are in no chain.
    pub(super) fn chunks_free(&self) -> usize {
        self.chunks_of(&self.free) + self.chunks.len() - self.fresh as usize
    }

    /// How many chunks there are.
    pub(super) const fn chunks(&self) -> usize {
        self.chunks.len()
    }

    fn links(&self, chain: &Chain) -> impl Iterator<Item = &Chunk> {
        let chunk = |number: u32| (number != NONE).then(|| &self.chunks[number as usize]);
        core::iter::successors(chunk(chain.0), move |link| chunk(link.next))
    }

    fn take_free(&mut self) -> Chain {
        if self.free.is_empty() {
            let fresh = self.fresh;
            self.fresh += 1;
            self.chunks.grow(self.fresh as usize, &Chunk { next: NONE, len: 0, entries: [0; ENTRIES] });
            return Chain(fresh);
        }
        let chunk = self.free.0;
        self.free.0 = self.chunks[chunk as usize].next;
        Chain(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_chain_gives_back_what_was_put_in() {
        let (mut pool, mut chain) = (Pool::new(), Chain::EMPTY);
        for block in 0..1_000 {
            pool.push(&mut chain, block);
        }
        let seen: Vec<_> = pool.iter(&chain).collect();

        let popped: Vec<_> = core::iter::from_fn(|| pool.take_batch(&mut chain))
            .flat_map(|mut batch| core::iter::from_fn(move || batch.pop()))
            .collect();

        assert_eq!(popped, seen);
        assert_eq!(popped, (0..1_000).rev().collect::<Vec<_>>());
        assert!(chain.is_empty() && pool.entries() == 0);
    }

    #[test]
    fn chunks_are_used_again() {
        let (mut pool, mut one, mut other) = (Pool::new(), Chain::EMPTY, Chain::EMPTY);
        for round in 0..100 {
            for block in 0..200 {
                pool.push(if block % 2 == 0 { &mut one } else { &mut other }, round + block);
            }
            while pool.take_batch(&mut one).is_some() || pool.take_batch(&mut other).is_some() {}
        }
        assert_eq!(pool.fresh, 4, "100 entries in either of two chains, 62 per chunk");
        assert_eq!(pool.chunks_free(), pool.chunks());
    }
}
