//! What must hold for any bytes at all: the one check that tests and fuzz target share.
//!
//! A datagram is read without a panic; every message in it stands on its own; written again it
//! says the same; and written twice it's the same bytes, so there is one canonical way to say it.

use alloc::vec::Vec;

use super::{MAGIC, Message, emit_binary, emit_text, messages};
use crate::Reject;

/// Reads `data` as a datagram and holds every message in it to the promises of this module.
///
/// # Panics
/// If one is broken.
pub fn check(data: &[u8]) {
    let mut taken = 0;
    for (message, bytes) in messages(data).flatten() {
        taken += bytes.len();
        assert_eq!(only(bytes), message, "a message's bytes are a datagram of their own");
        if bytes.first() == Some(&MAGIC) {
            canonical(&message, emit_binary);
            if message.name.is_some() {
                same_in(&message, emit_text);
            }
        } else {
            canonical(&message, emit_text);
            same_in(&message, emit_binary);
        }
    }
    assert!(taken <= data.len(), "no byte belongs to two messages");
    assert!(messages(data).count() <= data.len() + 1, "every message takes at least a byte");
}

type Emit = fn(&Message<'_>, &mut Vec<u8>) -> Result<(), Reject>;

/// Written in its own form, a message says the same, and there's only one way to write it.
fn canonical(message: &Message<'_>, emit: Emit) {
    let once = emitted(message, emit);
    assert_eq!(only(&once), *message, "what is written reads back");
    assert_eq!(emitted(&only(&once), emit), once, "one way to write it");
}

/// Written in the other form, a message says the same but for what that form rounds or lacks.
fn same_in(message: &Message<'_>, emit: Emit) {
    let bytes = emitted(message, emit);
    let other = only(&bytes);
    let Message { kind, node, name, key, incarnation, seq, sent, interval, group, load, version, next, extras } = other;
    assert_eq!(
        Message { kind, node, name, sent, group, load, version, extras, ..*message },
        *message,
        "both forms say the same"
    );
    // Text has no key; binary says 0 for an incarnation or seq that isn't told, and whole milliseconds.
    assert!(key == message.key || key == 0);
    assert_eq!(incarnation.unwrap_or_default(), message.incarnation.unwrap_or_default());
    assert_eq!(seq.unwrap_or_default(), message.seq.unwrap_or_default());
    assert_eq!((interval.is_some(), next.is_some()), (message.interval.is_some(), message.next.is_some()));
}

fn emitted(message: &Message<'_>, emit: Emit) -> Vec<u8> {
    let mut out = Vec::new();
    emit(message, &mut out).expect("a message that was parsed can be written");
    out
}

fn only(datagram: &[u8]) -> Message<'_> {
    let mut all = messages(datagram);
    let (message, bytes) = all.next().expect("one message").expect("a sound message");
    assert_eq!(bytes, datagram, "and nothing else");
    assert!(all.next().is_none(), "only one message");
    message
}
