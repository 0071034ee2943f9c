//! What one heartbeat costs from its bytes to its deadline: `Monitor::turn` with batches of 64 over
//! fleets whose records fit the cache, and over fleets whose records don't.
//!
//! `cargo bench -p systole-benches --bench ingest`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use systole_core::auth::{KeyId, KeyRing, MasterKey, Mode, Suite};
use systole_core::wire::{Message, emit_binary, emit_text};
use systole_core::{Backlog, Datagram, Incarnation, Instant, Monitor, Reject, Seq, Span};

const BATCH: usize = 64;

/// A heartbeat of a node without its name, as most are.
fn binary(node: usize, seq: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    with_message(node, seq, |message| emit_binary(message, &mut bytes)).expect("it can be sent");
    bytes
}

/// The same with a tag.
fn sealed(node: usize, seq: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    with_message(node, seq, |message| master().seal(message, &mut bytes)).expect("it can be sent");
    bytes
}

fn with_message<R>(node: usize, seq: u64, then: impl FnOnce(&Message<'_>) -> R) -> R {
    let name = format!("node-{node}");
    then(&Message {
        name: (seq == 1).then_some(&*name),
        incarnation: Some(Incarnation::new(1)),
        seq: Some(Seq::new(seq)),
        interval: Some(Span::from_secs(10)),
        load: Some(0.5),
        ..Message::heartbeat(&name)
    })
}

fn master() -> MasterKey {
    MasterKey::new(KeyId::new(1).expect("not 0"), Suite::SipHash, &[7; 16]).expect("as long")
}

/// A line without a number is newer than the last: the same bytes may come again and again.
fn text(node: usize, _: u64) -> Vec<u8> {
    let name = format!("node-{node}");
    let message = Message { interval: Some(Span::from_secs(10)), ..Message::heartbeat(&name) };
    let mut bytes = Vec::new();
    emit_text(&message, &mut bytes).expect("it can be sent");
    bytes
}

/// Every node once from place `from` on, in an order that no cache can guess: steps of a number that shares no factor.
fn shuffled(nodes: usize, from: usize) -> impl Iterator<Item = usize> {
    const STEP: usize = 7_368_787;
    (from..nodes).map(move |i| i * STEP % nodes)
}

struct Fleet {
    monitor: Monitor,
    beats: Vec<Vec<u8>>,
    now: Instant,
    seq: u64,
}

impl Fleet {
    fn new(nodes: usize, beat: fn(usize, u64) -> Vec<u8>, mode: Mode) -> Self {
        let mut monitor = Monitor::new(Default::default(), Instant::ORIGIN);
        let mut keys = KeyRing::new(mode);
        keys.add(master()).expect("the first");
        monitor.set_keys(keys);
        let mut fleet = Self { monitor, beats: Vec::new(), now: Instant::ORIGIN, seq: 1 };
        fleet.beats = shuffled(nodes, 0).map(|node| beat(node, 1)).collect();
        for batch in 0..nodes.div_ceil(BATCH) {
            fleet.turn(batch);
        }
        fleet.beats = shuffled(nodes, 0).map(|node| beat(node, 2)).collect();
        fleet
    }

    /// Hands in one batch, and lets as much time pass as 10 s divided by all batches.
    fn turn(&mut self, batch: usize) {
        let all = self.beats.len().div_ceil(BATCH);
        let mut datagrams = [Datagram::new(&[], self.now); BATCH];
        let beats = self.beats[batch % all * BATCH..].iter().take(BATCH);
        let count = beats.zip(&mut datagrams).map(|(bytes, slot)| slot.bytes = bytes).count();
        black_box(self.monitor.turn(self.now, &datagrams[..count], Backlog::Drained, &mut ()));
        self.now = self.now + Span::from_nanos(10_000_000_000 / all as u64);
    }

    /// Gives the binary heartbeats of one batch their next number, outside of what is measured.
    fn renumber(&mut self, batch: usize, reseal: bool) {
        let nodes = self.beats.len();
        let all = nodes.div_ceil(BATCH);
        if batch.is_multiple_of(all) {
            self.seq += 1;
        }
        let first = batch % all * BATCH;
        for (bytes, node) in self.beats[first..].iter_mut().zip(shuffled(nodes, first)).take(BATCH) {
            if reseal {
                *bytes = sealed(node, self.seq);
            } else {
                bytes[32..40].copy_from_slice(&self.seq.to_le_bytes());
            }
        }
    }
}

fn ingest(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (nodes, mode) in
        [(10_000, Mode::Off), (1_000_000, Mode::Off), (10_000, Mode::Enforce), (1_000_000, Mode::Enforce)]
    {
        let reseal = mode == Mode::Enforce;
        let (form, beat) = if reseal { ("sealed", sealed as fn(usize, u64) -> _) } else { ("binary", binary as _) };
        let mut fleet = Fleet::new(nodes, beat, mode);
        let mut batch = 0;
        group.bench_function(BenchmarkId::new(form, nodes), |bencher| {
            bencher.iter_custom(|turns| {
                let mut spent = std::time::Duration::ZERO;
                for _ in 0..turns {
                    fleet.renumber(batch, reseal);
                    let start = std::time::Instant::now();
                    fleet.turn(batch);
                    spent += start.elapsed();
                    batch += 1;
                }
                spent
            });
        });
        let refused = Reject::ALL.map(|reason| fleet.monitor.counters().rejected(reason));
        assert_eq!(refused.iter().sum::<u64>(), 0, "every heartbeat counted");
    }
    let mut fleet = Fleet::new(10_000, text, Mode::Off);
    let mut batch = 0;
    group.bench_function(BenchmarkId::new("text", 10_000), |bencher| {
        bencher.iter(|| {
            fleet.turn(batch);
            batch += 1;
        });
    });
    group.finish();
}

criterion_group!(benches, ingest);
criterion_main!(benches);
