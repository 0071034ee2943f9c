//! Heartbeats as bytes: a line that a person can type, and 52 bytes that a million nodes can afford.
//!
//! Both forms share one UDP port and are told apart by their first byte: [`MAGIC`] never begins
//! UTF-8 text. Both parse into the same [`Message`], which borrows from the datagram; nothing here
//! allocates while reading, and no bytes, however chosen, make it panic. What it refuses, it
//! refuses with a reason. It neither knows which nodes exist nor verifies tags: that a message
//! parsed says what it claims, not that it's true. `docs/PROTOCOL.md` is the specification.

mod binary;
mod check;
mod extras;
mod message;
mod text;
mod value;

pub use binary::{HEADER, MAGIC, NODE, TAG, VERSION, emit_binary};
pub use check::check;
pub use extras::Extras;
pub use message::{Kind, Message, UnixMillis};
pub use text::emit_text;
pub use value::{EXTRAS_MAX, TEXT_MAX};

use crate::{NodeId, Reject};

/// The longest datagram that a receiver has to take, in bytes. A longer one is refused as truncated.
pub const DATAGRAM_MAX: usize = 2048;

/// The longest datagram that a sender should send, in bytes: it passes every common link in one piece.
pub const DATAGRAM_ADVISED: usize = 1400;

/// The messages of one datagram, in order.
///
/// Each comes with its own bytes, which are a complete datagram by themselves, so that they can be
/// handed to another shard. After a refused message the iterator goes on with the next one if the
/// length of the refused one could be trusted, and ends if not.
#[derive(Clone, Debug)]
pub struct Messages<'a>(Form<'a>);

/// What is still to be read.
#[derive(Clone, Debug)]
enum Form<'a> {
    Text(Option<&'a [u8]>),
    Binary(&'a [u8]),
}

/// Splits a datagram into its messages: a line of text is one, the binary form is one or more back
/// to back. An empty datagram is one malformed message.
pub fn messages(datagram: &[u8]) -> Messages<'_> {
    Messages(match datagram.first() {
        Some(&MAGIC) => Form::Binary(datagram),
        Some(_) | None => Form::Text(Some(datagram)),
    })
}

/// The node that a binary datagram begins with, read before anything else of it is checked; nothing
/// for text. For looking ahead into the table: the datagram may still be refused, and only its
/// first message is about this node.
pub fn first_node(datagram: &[u8]) -> Option<NodeId> {
    match datagram.first() {
        Some(&MAGIC) => binary::first_node(datagram),
        Some(_) | None => None,
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<(Message<'a>, &'a [u8]), Reject>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Form::Text(line) => {
                let line = line.take()?;
                Some(text::parse(line).map(|message| (message, line)))
            }
            Form::Binary([]) => None,
            Form::Binary(rest) => Some(next_binary(rest)),
        }
    }
}

/// Takes one message off `rest`; all of it if there's no telling where the next one begins.
fn next_binary<'a>(rest: &mut &'a [u8]) -> Result<(Message<'a>, &'a [u8]), Reject> {
    let here = core::mem::take(rest);
    let (one, after) = binary::split(here)?;
    let message = binary::parse(one);
    if message != Err(Reject::Malformed) {
        *rest = after;
    }
    message.map(|message| (message, one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn binary(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        emit_binary(&Message::heartbeat(name), &mut bytes).expect("a plain heartbeat can be written");
        bytes
    }

    fn outcomes(datagram: &[u8]) -> Vec<Result<Option<&str>, Reject>> {
        messages(datagram).map(|message| message.map(|(message, _)| message.name)).collect()
    }

    #[test]
    fn the_first_byte_tells_the_forms_apart() {
        assert!(core::str::from_utf8(&[MAGIC]).is_err() && core::str::from_utf8(&[MAGIC, 0x80, 0x80, 0x80]).is_err());
        assert_eq!(outcomes(b"hb a"), [Ok(Some("a"))]);
        assert_eq!(outcomes(&binary("a")), [Ok(Some("a"))]);
        assert_eq!(outcomes(b""), [Err(Reject::Malformed)]);
    }

    #[test]
    fn a_refused_message_of_sound_length_does_not_spoil_the_next() {
        let mut datagram = [binary("a"), binary("b"), binary("c")].concat();
        let second = binary("a").len();
        datagram[second + NODE] ^= 1;
        assert_eq!(outcomes(&datagram), [Ok(Some("a")), Err(Reject::NameMismatch), Ok(Some("c"))]);
        datagram[second + 2] = 77;
        assert_eq!(outcomes(&datagram), [Ok(Some("a")), Err(Reject::UnknownKind), Ok(Some("c"))]);
    }

    #[test]
    fn after_an_unsound_length_nothing_more_is_read() {
        let (first, second) = (binary("a"), binary("b"));
        for (byte, value, reason) in [
            (0, b'h', Reject::Malformed),   // no magic
            (1, 2, Reject::UnknownVersion), // its length may mean something else
            (4, 255, Reject::Truncated),    // longer than the datagram
            (4, 51, Reject::Malformed),     // shorter than a header
            (53, 200, Reject::Malformed),   // a field longer than the message
        ] {
            let mut broken = second.clone();
            broken[byte] = value;
            assert_eq!(outcomes(&[first.clone(), broken, second.clone()].concat()), [Ok(Some("a")), Err(reason)]);
        }
    }

    #[test]
    fn looking_ahead_sees_the_node_of_the_first_binary_message() {
        assert_eq!(first_node(&[binary("a"), binary("b")].concat()), Some(NodeId::of("a")));
        assert_eq!(first_node(&binary("a")[..HEADER - 1]), None);
        assert_eq!(first_node("hb a".repeat(20).as_bytes()), None);
        assert_eq!(first_node(b""), None);
    }

    #[test]
    fn each_message_comes_with_its_own_bytes() {
        let parts = [binary("a"), binary("bcd"), binary("e")];
        let datagram = parts.concat();
        let slices: Vec<&[u8]> = messages(&datagram).map(|message| message.expect("sound").1).collect();
        assert_eq!(slices, vec![&parts[0][..], &parts[1], &parts[2]]);
    }
}
