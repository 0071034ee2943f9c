//! Keys and tags from outside: what a node sealed opens, and nothing else does, whatever is done to it.

mod common;

use common::{Log, ms, secs};
use proptest::prelude::*;
use systole_core::auth::{KeyId, KeyRing, MasterKey, Mode, NodeKey, Suite};
use systole_core::config::{Config, Plan};
use systole_core::wire::{Extras, HEADER, Message, emit_binary, messages};
use systole_core::{Backlog, Datagram, Incarnation, Instant, Liveness, Monitor, NodeId, Reject, Seq, Share, Span};

fn suites() -> impl Strategy<Value = Suite> {
    prop::sample::select(Suite::ALL.to_vec())
}

fn masters() -> impl Strategy<Value = MasterKey> {
    (suites(), 1..=u8::MAX, any::<[u8; 32]>()).prop_map(|(suite, id, bytes)| master(suite, id, &bytes))
}

fn master(suite: Suite, id: u8, bytes: &[u8; 32]) -> MasterKey {
    let id = KeyId::new(id).expect("not 0");
    MasterKey::new(id, suite, &bytes[..suite.key_length()]).expect("as long as it has to be")
}

/// What a node says: its name, its numbers, and whether it introduces itself.
#[derive(Clone, Debug)]
struct Said {
    name: String,
    incarnation: u64,
    seq: u64,
    introduces: bool,
    zone: Option<String>,
}

fn said() -> impl Strategy<Value = Said> {
    ("[a-z0-9-]{1,128}", any::<u64>(), any::<u64>(), any::<bool>(), prop::option::of("[!-~]{1,64}"))
        .prop_map(|(name, incarnation, seq, introduces, zone)| Said { name, incarnation, seq, introduces, zone })
}

impl Said {
    fn with<R>(&self, then: impl FnOnce(&Message<'_>) -> R) -> R {
        let labels: Vec<(&str, &str)> = self.zone.iter().map(|zone| ("zone", zone.as_str())).collect();
        then(&Message {
            name: self.introduces.then_some(&self.name),
            incarnation: Some(Incarnation::new(self.incarnation)),
            seq: Some(Seq::new(self.seq)),
            extras: Extras::pairs(&[], &labels),
            ..Message::heartbeat(&self.name)
        })
    }

    fn sealed(&self, key: &MasterKey) -> Vec<u8> {
        let mut out = Vec::new();
        self.with(|message| key.seal(message, &mut out)).expect("it can be sent");
        out
    }
}

fn ring(mode: Mode, keys: &[&MasterKey]) -> KeyRing {
    let mut ring = KeyRing::new(mode);
    keys.iter().for_each(|key| ring.add((*key).clone()).expect("its own id and secret"));
    ring
}

/// What a ring that enforces makes of each message of a datagram.
fn outcomes(keys: &[&MasterKey], datagram: &[u8]) -> Vec<Result<(), Reject>> {
    let mut ring = ring(Mode::Enforce, keys);
    messages(datagram).map(|item| item.and_then(|(message, bytes)| ring.open(&message, bytes).map(drop))).collect()
}

proptest! {
    #[test]
    fn what_was_sealed_opens_and_says_the_same(said in said(), key in masters()) {
        let bytes = said.sealed(&key);
        let (message, whole) = messages(&bytes).next().expect("one").expect("sound");
        let mut ring = ring(Mode::Enforce, &[&key]);
        let opened = ring.open(&message, whole).expect("it was sealed");
        said.with(|said| assert_eq!(*opened, Message { key: key.id().number(), ..*said }));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused(said in said(), key in masters(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut bytes = said.sealed(&key);
        *at.get_mut(&mut bytes) ^= 1 << bit;
        let outcomes = outcomes(&[&key], &bytes);
        prop_assert!(!outcomes.is_empty() && outcomes.iter().all(Result::is_err), "{:?}", outcomes);
    }

    #[test]
    fn a_piece_is_refused(said in said(), key in masters(), end in any::<prop::sample::Index>(), mended: bool) {
        let whole = said.sealed(&key);
        let mut piece = whole[..end.index(whole.len())].to_vec();
        if mended && piece.len() >= HEADER {
            let length = piece.len() as u16;
            piece[4..6].copy_from_slice(&length.to_le_bytes());
        }
        let outcomes = outcomes(&[&key], &piece);
        prop_assert!(!outcomes.is_empty() && outcomes.iter().all(Result::is_err), "{:?}", outcomes);
    }

    #[test]
    fn a_stolen_key_does_not_speak_for_another_node(said in said(), thief in "[a-z]{1,20}", key in masters()) {
        prop_assume!(thief != said.name);
        let stolen = key.node(NodeId::of(&thief));
        // The thief takes its key for the victim's.
        let lie = NodeKey::new(key.id(), key.suite(), NodeId::of(&said.name), &stolen.secret()).expect("as long");
        let mut bytes = Vec::new();
        said.with(|message| lie.seal(message, &mut bytes)).expect("it can be sent");
        prop_assert_eq!(outcomes(&[&key], &bytes), [Err(Reject::BadTag)]);
    }

    #[test]
    fn a_suite_does_not_open_what_the_other_sealed(said in said(), id in 1..=u8::MAX, bytes: [u8; 32]) {
        let [quick, known] = Suite::ALL.map(|suite| master(suite, id, &bytes));
        prop_assert_eq!(outcomes(&[&quick], &said.sealed(&known)), [Err(Reject::BadTag)]);
        prop_assert_eq!(outcomes(&[&known], &said.sealed(&quick)), [Err(Reject::BadTag)]);
    }

    #[test]
    fn each_message_of_a_datagram_has_its_own_seal(all in prop::collection::vec((said(), any::<bool>()), 1..6), key in masters()) {
        let mut datagram = Vec::new();
        for (said, signed) in &all {
            said.with(|message| if *signed { key.seal(message, &mut datagram) } else { emit_binary(message, &mut datagram) })
                .expect("it can be sent");
        }
        let expected: Vec<_> = all.iter().map(|(_, signed)| if *signed { Ok(()) } else { Err(Reject::Unsigned) }).collect();
        prop_assert_eq!(outcomes(&[&key], &datagram), expected);
    }
}

fn beat(name: &str, seq: u64) -> Said {
    Said { name: name.into(), incarnation: 1, seq, introduces: true, zone: None }
}

fn hear(monitor: &mut Monitor, at: Span, bytes: &[u8], log: &mut Log) {
    let at = Instant::ORIGIN + at;
    monitor.turn(at, &[Datagram::new(bytes, at)], Backlog::Drained, log);
}

#[test]
fn what_does_not_open_reaches_neither_the_table_nor_a_window() {
    let key = master(Suite::SipHash, 1, &[7; 32]);
    let wrong = master(Suite::SipHash, 1, &[8; 32]);
    let mut monitor = Monitor::new(Config::default(), Instant::ORIGIN);
    monitor.set_keys(ring(Mode::Enforce, &[&key]));
    let mut log = Log::default();
    for (bytes, reason) in [
        (beat("web-1", 1).sealed(&wrong), Reject::BadTag),
        (beat("web-1", 1).sealed(&master(Suite::SipHash, 2, &[7; 32])), Reject::UnknownKey),
        (b"hb web-1 seq=1".to_vec(), Reject::Unsigned),
        (b"bye web-1".to_vec(), Reject::Unsigned),
    ] {
        let before = monitor.counters().rejected(reason);
        hear(&mut monitor, secs(1), &bytes, &mut log);
        assert_eq!(monitor.counters().rejected(reason), before + 1);
    }
    assert_eq!((monitor.len(), monitor.places(), log.told.len()), (0, 0, 0));

    hear(&mut monitor, secs(2), &beat("web-1", 5).sealed(&key), &mut log);
    // One that would close the window for every heartbeat to come.
    hear(&mut monitor, secs(2), &beat("web-1", u64::MAX).sealed(&wrong), &mut log);
    hear(&mut monitor, secs(3), &beat("web-1", 6).sealed(&key), &mut log);
    assert_eq!((monitor.counters().heartbeats, monitor.counters().rejected(Reject::NotNewer)), (2, 0));
    hear(&mut monitor, secs(3), &beat("web-1", 6).sealed(&key), &mut log);
    assert_eq!(monitor.counters().rejected(Reject::NotNewer), 1, "a replayed one is good and old");
    let accepted: Vec<u64> = monitor.keys().uses().map(|one| one.accepted).collect();
    assert_eq!(accepted, [2], "and doesn't make its key look as if it were in use");
}

#[test]
fn keys_change_without_a_node_noticing() {
    let (old, new) = (master(Suite::SipHash, 1, &[1; 32]), master(Suite::Hmac, 2, &[2; 32]));
    let mut monitor = Monitor::new(Config::default(), Instant::ORIGIN);
    let mut log = Log::default();
    let mut seq = 0;
    for (keys, mode, sender) in [
        (vec![], Mode::Off, None),
        (vec![&old], Mode::Permissive, None),
        (vec![&old], Mode::Permissive, Some(&old)),
        (vec![&old], Mode::Enforce, Some(&old)),
        (vec![&old, &new], Mode::Enforce, Some(&old)),
        (vec![&old, &new], Mode::Enforce, Some(&new)),
        (vec![&new], Mode::Enforce, Some(&new)),
    ] {
        monitor.set_keys(ring(mode, &keys));
        for _ in 0..5 {
            seq += 1;
            let said = beat("web-1", seq);
            let mut bytes = Vec::new();
            match sender {
                Some(key) => said.with(|message| key.seal(message, &mut bytes)),
                None => said.with(|message| emit_binary(message, &mut bytes)),
            }
            .expect("it can be sent");
            hear(&mut monitor, secs(seq), &bytes, &mut log);
        }
    }
    assert_eq!((monitor.counters().heartbeats, log.told.len()), (seq, 1), "one first heartbeat, and no suspicion");
    assert_eq!(monitor.keys().uses().map(|one| one.accepted).collect::<Vec<_>>(), [10]);
    assert_eq!(monitor.keys().waived(Reject::Unsigned), 5);
    hear(&mut monitor, secs(seq + 1), &beat("web-1", seq + 1).sealed(&old), &mut log);
    assert_eq!(monitor.counters().rejected(Reject::UnknownKey), 1);
    assert_eq!(
        monitor.node(monitor.find(&NodeId::of("web-1")).expect("known")).expect("there").liveness,
        Liveness::Alive
    );
}

#[test]
fn a_message_of_another_share_is_opened_by_its_owner_and_only_there() {
    let key = master(Suite::SipHash, 1, &[7; 32]);
    let mut monitors: Vec<Monitor> = (0..2)
        .map(|index| {
            let share = Share::new(index, 2).expect("a share");
            let mut monitor =
                Monitor::new(Config::new(Plan { share, ..Plan::default() }).expect("sound"), Instant::ORIGIN);
            monitor.set_keys(ring(Mode::Enforce, &[&key]));
            monitor
        })
        .collect();
    let owner = Share::new(0, 2).expect("a share").owner(NodeId::of("web-1")) as usize;
    let mut log = Log::default();

    let other = &mut monitors[1 - owner];
    let forged = beat("web-1", 1).sealed(&master(Suite::SipHash, 1, &[8; 32]));
    for bytes in [&beat("web-1", 1).sealed(&key)[..], &forged, b"hb web-1"] {
        hear(other, ms(1), bytes, &mut log);
    }
    assert_eq!((other.counters().foreign, other.counters().rejected(Reject::Unsigned), other.len()), (2, 1, 0));

    for bytes in std::mem::take(&mut log.foreign) {
        hear(&mut monitors[owner], ms(2), &bytes, &mut log);
    }
    let counters = monitors[owner].counters();
    assert_eq!((counters.heartbeats, counters.rejected(Reject::BadTag)), (1, 1));
}
