//! What happens next: a ring of 8,192 milliseconds, and everything later in a tree.
//!
//! ```text
//!   tick    0 1 2 3 4 5 6 ...              8191 │ far: 8,192 and later, by tick
//!   events  · ■ · · ■ ■ ·  one vector each   ·  │
//!   filled  0 1 0 0 1 1 0  "is there anything"  │   and one bit more for each 64 of these
//! ```
//! An event belongs to the tick in which a deadline at its instant would have passed: tick 5 is
//! what happens after 4 ms and until 5 ms, 5 ms included. A tick is taken out whole and in no
//! order; whoever takes it sorts. That costs a few nanoseconds an event where a heap of a hundred
//! thousand costs a hundred, and a vector that was emptied is the next one to be filled.

use std::collections::BTreeMap;

use systole_core::{Instant, Tick};

const RING: u64 = 8_192;
const WORD: u64 = u64::BITS as u64;
const WORDS: usize = (RING / WORD) as usize;
const _: () = assert!(WORDS == u128::BITS as usize, "one bit for each word of bits");

/// Events by the millisecond in which they happen.
#[derive(Debug)]
pub(crate) struct Calendar<T> {
    /// The ring holds this tick and the `RING - 1` after it.
    from: u64,
    ring: Vec<Vec<T>>,
    filled: [u64; WORDS],
    filled_words: u128,
    far: BTreeMap<u64, Vec<T>>,
    spare: Vec<Vec<T>>,
}

impl<T> Calendar<T> {
    pub(crate) fn new() -> Self {
        let ring = (0..RING).map(|_| Vec::new()).collect();
        Self { from: 0, ring, filled: [0; WORDS], filled_words: 0, far: BTreeMap::new(), spare: Vec::new() }
    }

    /// Notes something that happens at `at`; not before the tick that was taken last.
    pub(crate) fn push(&mut self, at: Instant, event: T) {
        let tick = at.tick_up().count();
        assert!(tick >= self.from, "{at:?} is over: the calendar has come to tick {}", self.from);
        if tick - self.from >= RING {
            self.far.entry(tick).or_default().push(event);
            return;
        }
        let slot = (tick % RING) as usize;
        let events = &mut self.ring[slot];
        if events.capacity() == 0 {
            *events = self.spare.pop().unwrap_or_default();
        }
        events.push(event);
        let word = slot / WORD as usize;
        self.filled[word] |= 1 << (slot as u64 % WORD);
        self.filled_words |= 1 << word;
    }

    /// The first tick in which anything happens.
    pub(crate) fn next(&self) -> Option<Tick> {
        let near = self.next_near();
        let far = self.far.keys().next().copied();
        near.into_iter().chain(far).min().map(Tick::from_count)
    }

    /// Takes everything that happens in `tick`, which must not be later than the next one.
    pub(crate) fn take(&mut self, tick: Tick) -> Vec<T> {
        let tick = tick.count();
        self.from = self.from.max(tick);
        let slot = (tick % RING) as usize;
        let word = slot / WORD as usize;
        self.filled[word] &= !(1 << (slot as u64 % WORD));
        if self.filled[word] == 0 {
            self.filled_words &= !(1 << word);
        }
        let mut events = core::mem::take(&mut self.ring[slot]);
        if let Some(far) = self.far.first_entry().filter(|entry| *entry.key() == tick) {
            events.append(&mut far.remove());
        }
        events
    }

    /// Gives a taken vector back, so that its memory is used again.
    pub(crate) fn give_back(&mut self, mut events: Vec<T>) {
        events.clear();
        if events.capacity() > 0 {
            self.spare.push(events);
        }
    }

    /// The first filled slot, looking once around the ring.
    fn next_near(&self) -> Option<u64> {
        let start = self.from % RING;
        let (word, bit) = ((start / WORD) as u32, start % WORD);
        let from_start = self.filled[word as usize] & (u64::MAX << bit);
        let (word, bits) = if from_start != 0 {
            (word, from_start)
        } else {
            // Turned so that the word after the start's comes first, and the start's own last.
            let turned = self.filled_words.rotate_right(word + 1);
            if turned == 0 {
                return None;
            }
            let word = (word + 1 + turned.trailing_zeros()) % u128::BITS;
            (word, self.filled[word as usize])
        };
        let slot = u64::from(word) * WORD + u64::from(bits.trailing_zeros());
        Some(self.from + (slot + RING - start) % RING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Actor, Purpose, Stream};

    fn at(millis: u64) -> Instant {
        Tick::from_count(millis).instant()
    }

    #[test]
    fn a_tick_is_what_happens_until_it_and_after_the_one_before() {
        let mut calendar = Calendar::new();
        for nanos in [4_000_000, 4_000_001, 5_000_000, 5_000_001] {
            calendar.push(Instant::from_nanos(nanos), nanos);
        }
        assert_eq!(calendar.next(), Some(Tick::from_count(4)));
        assert_eq!(calendar.take(Tick::from_count(4)), [4_000_000]);
        assert_eq!(calendar.take(Tick::from_count(5)), [4_000_001, 5_000_000]);
        assert_eq!(calendar.take(Tick::from_count(6)), [5_000_001]);
        assert_eq!(calendar.next(), None);
    }

    #[test]
    fn it_gives_what_a_sorted_map_gives() {
        let mut stream = Stream::new(7, Actor::node(0, 0), Purpose::Phase);
        let (mut calendar, mut map) = (Calendar::new(), BTreeMap::<u64, Vec<u64>>::new());
        let mut now = 0;
        for event in 0..50_000 {
            let range = [1, 100, 8_191, 8_192, 8_193, 100_000][(stream.bits() % 6) as usize];
            let tick = now + stream.bits() % (range + 1);
            calendar.push(at(tick), event);
            map.entry(tick).or_default().push(event);
            if stream.chance(0.5) {
                let (expected, mut events) = map.pop_first().expect("something was pushed");
                assert_eq!(calendar.next(), Some(Tick::from_count(expected)));
                let mut taken = calendar.take(Tick::from_count(expected));
                taken.sort_unstable();
                events.sort_unstable();
                assert_eq!(taken, events);
                calendar.give_back(taken);
                now = expected;
            }
        }
    }
}
