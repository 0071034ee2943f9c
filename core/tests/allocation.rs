//! The path of a heartbeat allocates nothing, counted by an allocator that counts.

use systole_core::auth::{KeyId, KeyRing, MasterKey, Mode, Suite};
use systole_core::config::Config;
use systole_core::wire::{Extras, Message, emit_binary, emit_text};
use systole_core::{Backlog, Datagram, Incarnation, Instant, Monitor, Seq, Span};

const NODES: u64 = 10_000;
const BATCH: usize = 64;

/// Heartbeats of all nodes, `round` seconds after the start, as bytes that are ready to be received.
struct Round(Vec<Vec<u8>>);

/// How a round is written.
#[derive(Clone, Copy)]
enum Form {
    Binary,
    Text,
    Sealed(Suite),
}

/// The key of the fleet, in a suite.
fn master(suite: Suite) -> MasterKey {
    MasterKey::new(KeyId::new(1).expect("not 0"), suite, &[7; 32][..suite.key_length()]).expect("as long")
}

impl Round {
    fn new(round: u64, form: Form) -> Self {
        let beats = (0..NODES).map(|node| {
            let name = format!("node-{node}");
            let (metrics, labels) = ([("cpu", round as f64), ("mem", 5.0)], [("zone", "eu-1")]);
            let message = Message {
                incarnation: Some(Incarnation::new(1)),
                seq: Some(Seq::new(round + 1)),
                interval: Some(Span::from_secs(1)),
                group: Some("fleet"),
                version: Some("1.2.3"),
                load: Some(0.5),
                extras: Extras::pairs(&metrics, &labels),
                ..Message::heartbeat(&name)
            };
            let mut bytes = Vec::new();
            let emitted = match form {
                Form::Binary => emit_binary(&message, &mut bytes),
                Form::Text => emit_text(&message, &mut bytes),
                Form::Sealed(suite) => master(suite).seal(&message, &mut bytes),
            };
            emitted.expect("it can be sent");
            bytes
        });
        Self(beats.collect())
    }

    /// Hands everything in, in batches, then lets a second pass in steps of 10 ms.
    fn play(&self, monitor: &mut Monitor, start: Instant) {
        for batch in self.0.chunks(BATCH) {
            let mut datagrams = [Datagram::new(&[], start); BATCH];
            for (slot, bytes) in datagrams.iter_mut().zip(batch) {
                slot.bytes = bytes;
            }
            monitor.turn(start, &datagrams[..batch.len()], Backlog::More, &mut ());
        }
        for step in 0..100 {
            monitor.turn(start + Span::from_millis(10) * step, &[], Backlog::Drained, &mut ());
        }
    }
}

fn steady_rounds_allocate_nothing(form: Form, rounds: u64) {
    let mut monitor = Monitor::new(Config::default(), Instant::ORIGIN);
    if let Form::Sealed(suite) = form {
        let mut keys = KeyRing::new(Mode::Enforce);
        keys.add(master(suite)).expect("the first");
        monitor.set_keys(keys);
    }
    let at = |round: u64| Instant::ORIGIN + Span::from_secs(round);
    // Everyone registers, and every deadline has moved a few times.
    for round in 0..10 {
        Round::new(round, form).play(&mut monitor, at(round));
    }
    for round in 10..rounds {
        let beats = Round::new(round, form);
        let counted = allocation_counter::measure(|| beats.play(&mut monitor, at(round)));
        assert_eq!(counted.count_total, 0, "round {round}: {counted:?}");
    }
    assert_eq!(monitor.counters().heartbeats, rounds * NODES);
}

#[test]
fn a_steady_million_of_binary_heartbeats_allocates_nothing() {
    steady_rounds_allocate_nothing(Form::Binary, 110);
}

#[test]
fn a_steady_million_of_text_heartbeats_allocates_nothing() {
    steady_rounds_allocate_nothing(Form::Text, 110);
}

#[test]
fn opening_allocates_nothing() {
    Suite::ALL.into_iter().for_each(|suite| steady_rounds_allocate_nothing(Form::Sealed(suite), 20));
}

#[test]
fn refusing_allocates_nothing() {
    let mut monitor = Monitor::new(Config::default(), Instant::ORIGIN);
    let bad: [&[u8]; 5] = [b"", b"hb", b"hb a load=x", &[0xF5; 100], &[0; 2048]];
    let counted = allocation_counter::measure(|| {
        for bytes in bad {
            let datagram = Datagram::new(bytes, Instant::ORIGIN);
            monitor.turn(Instant::ORIGIN, &[datagram], Backlog::Drained, &mut ());
        }
    });
    assert_eq!(counted.count_total, 0);
}
