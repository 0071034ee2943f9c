//! Where chance comes from: one stream for each actor and purpose, all from one seed.
//!
//! ```text
//!  seed 7 ─┬─ node 0 ─┬─ loss   0.13 0.88 0.41 ...
//!          │          ├─ delay  0.70 0.02 0.95 ...
//!          ├─ node 1 ─┬─ loss   ...
//! ```
//! Whoever draws takes from his own stream only. So one more node, or one more draw for the delay,
//! disturbs no other number in the run, and two detectors can be held against each other under the
//! very same losses. The generator is SplitMix64, each stream with an increment of its own (Steele,
//! Lea, Flood, OOPSLA 2014): 16 bytes, no cipher. It is written out here because a seed must mean
//! the same run in every later version; that is also why nothing here calls the platform's `ln`.

use core::num::NonZeroU64;

/// What a number is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// When a node begins.
    Phase = 1,
    /// How far off its clock is.
    Drift = 2,
    /// How late a heartbeat leaves.
    Jitter = 3,
    /// When a sender pauses, and for how long.
    Pause = 4,
    /// Whether it sends twice.
    Twice = 5,
    /// When lives end.
    Crash = 6,
    /// Whether a datagram is lost.
    Loss = 7,
    /// How long it takes.
    Delay = 8,
    /// Whether the network makes a second one of it.
    Duplicate = 9,
    /// Who is cut off by a partition.
    Partition = 10,
    /// Who is hit by an incident.
    Incident = 11,
    /// Whether the network holds a datagram back.
    Reorder = 12,
    /// When the monitor stalls, and for how long.
    Stall = 13,
    /// How long lives and outages last.
    Lifetime = 14,
    /// From which state a rare event is looked for next, and with which chances.
    Split = 32,
}

/// Whose numbers they are: a node, by its place in its group, so that neither another node nor
/// another group before it changes what it draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Which group, from 0.
    pub group: u32,
    /// Which of its nodes, from 0.
    pub node: u32,
}

impl Actor {
    /// The monitor itself.
    pub const MONITOR: Self = Self { group: u32::MAX, node: u32::MAX };

    /// Node number `node` of group number `group`.
    pub const fn node(group: u32, node: u32) -> Self {
        Self { group, node }
    }

    const fn number(self) -> u64 {
        (self.group as u64) << 32 | self.node as u64
    }
}

/// A stream of random numbers that belongs to one actor and one purpose.
#[derive(Clone, Debug)]
pub struct Stream {
    state: u64,
    /// Odd, so that the state passes through all 2^64 values.
    increment: NonZeroU64,
}

impl Stream {
    /// The stream of `actor` for `purpose` under `seed`.
    pub fn new(seed: u64, actor: Actor, purpose: Purpose) -> Self {
        let key = mix(mix(mix(seed.wrapping_add(GOLDEN)) ^ actor.number()).wrapping_add(GOLDEN) ^ purpose as u64);
        Self { state: key, increment: odd(key.wrapping_add(GOLDEN)) }
    }

    /// A stream of its own for a part of the same actor, as the paper splits them.
    pub fn split(&mut self) -> Self {
        let state = self.bits();
        Self { state, increment: odd(self.bits()) }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(self.increment.get());
        mix(self.state)
    }

    /// From 0 to below 1, in steps of 2^-53.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * STEP
    }

    /// Above 0 to 1: what a logarithm can be taken of.
    pub fn positive(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 * STEP
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -libm::log(self.positive())
    }

    /// Normal with mean 0 and standard deviation 1 (Box and Muller 1958; the second number is dropped,
    /// so that every draw takes two steps of the stream).
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(2.0 * self.exponential());
        radius * libm::cos(core::f64::consts::TAU * self.unit())
    }
}

/// 64 bits in, 64 bits out, one to one: David Stafford's variant 13, as in SplitMix64.
pub fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// An odd increment whose bits change often enough to make a good stream (the paper's mixGamma).
fn odd(key: u64) -> NonZeroU64 {
    let bits = mix(key) | 1;
    let bits = if (bits ^ (bits >> 1)).count_ones() < 24 { bits ^ 0xAAAA_AAAA_AAAA_AAAA } else { bits };
    NonZeroU64::MIN | bits
}

/// 2^64 over the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const STEP: f64 = 1.0 / (1u64 << 53) as f64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mixer_is_that_of_splitmix64() {
        // The reference generator's first numbers for the seed 1234567.
        let numbers = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        let mut stream = Stream { state: 1_234_567, increment: NonZeroU64::MIN | GOLDEN };
        assert_eq!(numbers.map(|_| stream.bits()), numbers);
    }

    #[test]
    fn streams_of_other_seeds_actors_and_purposes_are_others() {
        let first = |seed, node, purpose| Stream::new(seed, Actor::node(0, node), purpose).bits();
        let mut all: Vec<u64> = (0..50)
            .flat_map(|seed| (0..50).map(move |actor| (seed, actor)))
            .flat_map(|(seed, actor)| [first(seed, actor, Purpose::Loss), first(seed, actor, Purpose::Delay)])
            .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 5_000);
    }

    #[test]
    fn a_split_stream_repeats_neither_its_parent_nor_its_sibling() {
        let mut parent = Stream::new(7, Actor::node(0, 0), Purpose::Loss);
        let (mut one, mut other) = (parent.split(), parent.split());
        let mut all: Vec<u64> = (0..1_000).flat_map(|_| [parent.bits(), one.bits(), other.bits()]).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 3_000);
    }

    #[test]
    fn neighbouring_streams_are_not_correlated() {
        const N: usize = 100_000;
        let mut one = Stream::new(7, Actor::node(0, 0), Purpose::Loss);
        let mut next = Stream::new(7, Actor::node(0, 1), Purpose::Loss);
        let product: f64 = (0..N).map(|_| (one.unit() - 0.5) * (next.unit() - 0.5) * 12.0).sum();
        let correlation = product / N as f64;
        assert!(correlation.abs() < 4.0 / libm::sqrt(N as f64), "{correlation}");
    }

    #[test]
    fn normal_numbers_have_mean_0_and_variance_1() {
        const N: usize = 100_000;
        let mut stream = Stream::new(7, Actor::node(0, 0), Purpose::Delay);
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..N {
            let number = stream.normal();
            sum += number;
            squares += number * number;
        }
        let n = N as f64;
        assert!((sum / n).abs() < 4.0 / libm::sqrt(n), "{sum}");
        assert!((squares / n - 1.0).abs() < 4.0 * libm::sqrt(2.0 / n), "{squares}");
    }
}
