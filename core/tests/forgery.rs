//! Ten million packets from somebody who has heard everything, stolen one key and lacks the others.
//!
//! They are forged, flipped, replayed and spoken for others, and come between the heartbeats of a fleet
//! that beats on. None is believed: every heartbeat that counts was sent by its node, nobody appears,
//! nobody leaves, nobody is suspected.

mod common;

use std::fmt::Write;

use common::Log;
use systole_core::auth::{KeyId, KeyRing, MasterKey, Mode, NodeKey, Suite};
use systole_core::event::Cause;
use systole_core::wire::{Kind, Message, TAG, emit_binary};
use systole_core::{Backlog, Datagram, Incarnation, Instant, Liveness, Monitor, NodeId, Reject, Seq, Span};

/// The nodes of the fleet. The last one's key was stolen.
const NODES: usize = 64;

/// Packets of the attacker in each second.
const PACKETS: u64 = 1_000;

/// A generator that is good enough to be unpredictable to the monitor (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

fn name(node: usize) -> String {
    format!("node-{node}")
}

fn message(kind: Kind, name: &str, incarnation: u64, seq: u64) -> Message<'_> {
    Message {
        name: Some(name).filter(|_| seq.is_multiple_of(2)),
        incarnation: Some(Incarnation::new(incarnation)),
        seq: Some(Seq::new(seq)),
        interval: Some(Span::from_secs(1)),
        ..Message::of(kind, NodeId::of(name))
    }
}

/// What the attacker knows: each heartbeat that was ever sent, the next one of each node, which it holds
/// back and spoils, and a stolen key.
struct Attacker {
    random: Random,
    heard: Vec<Vec<u8>>,
    next: Vec<Vec<u8>>,
    stolen: NodeKey,
}

impl Attacker {
    fn packet(&mut self, out: &mut Vec<u8>) {
        let victim = self.random.below(NODES - 1);
        let name = name(victim);
        let kind = if self.random.below(4) == 0 { Kind::Goodbye } else { Kind::Heartbeat };
        match self.random.below(6) {
            0 => self.forge(&message(kind, &name, 2, 8), out),
            1 => self.flip(victim, out),
            2 => out.extend_from_slice(&self.heard[self.random.below(self.heard.len())]),
            3 => {
                // Its own tag over the victim's words: the key is genuine, and not the victim's.
                let id = self.stolen.id();
                let lie = NodeKey::new(id, self.stolen.suite(), NodeId::of(&name), &self.stolen.secret());
                lie.expect("as long").seal(&message(kind, &name, 2, 8), out).expect("it can be sent");
            }
            4 => {
                let nobody = format!("nobody-{}", self.random.next());
                self.forge(&message(Kind::Heartbeat, &nobody, 1, 2), out);
            }
            _ => {
                let word = if kind == Kind::Goodbye { "bye" } else { "hb" };
                let mut line = String::new();
                write!(line, "{word} {name} inc=9 seq=9").expect("a String takes everything");
                out.extend_from_slice(line.as_bytes());
            }
        }
    }

    /// With a known key id, an unknown one or none, and a tag out of thin air.
    fn forge(&mut self, message: &Message<'_>, out: &mut Vec<u8>) {
        let key = [1, 1, 1, 2, 9, 0][self.random.below(6)];
        emit_binary(&Message { key, ..*message }, out).expect("it can be sent");
        if key != 0 {
            let at = out.len() - TAG;
            let tag = [self.random.next(), self.random.next()].map(u64::to_le_bytes);
            out[at..].copy_from_slice(tag.as_flattened());
        }
    }

    /// What would be believed, but for one bit.
    fn flip(&mut self, victim: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.next[victim]);
        let bit = self.random.below(out.len() * 8);
        out[bit / 8] ^= 1 << (bit % 8);
    }
}

fn nothing_is_believed_without_its_key(suite: Suite, seconds: u64) {
    let id = |number| KeyId::new(number).expect("not 0");
    let bytes: [u8; 32] = std::array::from_fn(|i| i as u8);
    let master = MasterKey::new(id(1), suite, &bytes[..suite.key_length()]).expect("as long");
    let mut keys = KeyRing::new(Mode::Enforce);
    keys.add(master.clone()).expect("the first");
    // The previous key is still accepted; nobody has it any more.
    keys.add(MasterKey::new(id(2), suite, &[9; 32][..suite.key_length()]).expect("as long")).expect("another");
    let mut monitor = Monitor::new(Default::default(), Instant::ORIGIN);
    monitor.set_keys(keys);

    let sealed = |node: usize, seq: u64| {
        let mut out = Vec::new();
        master.seal(&message(Kind::Heartbeat, &name(node), 1, seq), &mut out).expect("it can be sent");
        out
    };
    let next = |seq| (0..NODES).map(|node| sealed(node, seq)).collect();
    let stolen = master.node(NodeId::of(&name(NODES - 1)));
    let mut attacker = Attacker { random: Random(1), heard: vec![], next: next(1), stolen };
    let mut log = Log::default();
    let mut packets: Vec<Vec<u8>> = vec![Vec::new(); NODES];
    for second in 0..seconds {
        let start = Instant::ORIGIN + Span::from_secs(second);
        let genuine = std::mem::replace(&mut attacker.next, next(second + 2));
        hear(&mut monitor, start, &genuine, &mut log);
        if attacker.heard.len() < NODES * 100 {
            attacker.heard.extend(genuine);
        }
        for batch in 0..PACKETS.div_ceil(NODES as u64) {
            for packet in &mut packets {
                packet.clear();
                attacker.packet(packet);
            }
            hear(&mut monitor, start + Span::from_millis(1 + batch * 30), &packets, &mut log);
        }
        if second == 0 {
            assert_eq!(log.told.len(), NODES, "everybody is heard for the first time");
        }
    }

    let counters = monitor.counters();
    assert_eq!((counters.heartbeats, counters.goodbyes), (seconds * NODES as u64, 0));
    assert_eq!((monitor.len(), monitor.places()), (NODES, NODES));
    assert!(log.told.len() == NODES && log.told.iter().all(|told| told.cause == Cause::FirstHeartbeat));
    assert_eq!(monitor.groups()[0].count(Liveness::Alive) as usize, NODES);
    let refused = Reject::ALL.map(|reason| counters.rejected(reason));
    let sent = seconds * PACKETS.div_ceil(NODES as u64) * NODES as u64;
    assert!(refused.iter().sum::<u64>() >= sent, "{refused:?} of {sent}");
    for reason in [Reject::Unsigned, Reject::UnknownKey, Reject::BadTag, Reject::NotNewer, Reject::Malformed] {
        assert!(counters.rejected(reason) > 0, "{reason}");
    }
    let accepted: Vec<u64> = monitor.keys().uses().map(|one| one.accepted).collect();
    assert_eq!(accepted, [counters.heartbeats, 0]);
}

fn hear(monitor: &mut Monitor, at: Instant, packets: &[Vec<u8>], log: &mut Log) {
    let datagram = |bytes| Datagram::new(bytes, at);
    let batch: Vec<Datagram<'_>> = packets.iter().map(|bytes| datagram(bytes)).collect();
    monitor.turn(at, &batch, Backlog::Drained, log);
}

/// A hundred thousand packets; five million if `SYSTOLE_LONG` is set, so that both suites are ten.
fn seconds() -> u64 {
    if std::env::var_os("SYSTOLE_LONG").is_some() { 5_000 } else { 100 }
}

#[test]
fn a_flood_of_lies_is_not_believed_where_tags_are_siphash() {
    nothing_is_believed_without_its_key(Suite::SipHash, seconds());
}

#[test]
fn a_flood_of_lies_is_not_believed_where_tags_are_hmac() {
    nothing_is_believed_without_its_key(Suite::Hmac, seconds());
}
