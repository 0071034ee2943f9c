//! What one heartbeat or goodbye says, whichever form it came in.
//!
//! A [`Message`] is a view into a datagram: it copies numbers and borrows texts. One that was
//! parsed keeps every limit of `docs/PROTOCOL.md`; one that was put together by a sender is
//! checked when it's emitted, so that nobody can send what nobody would accept.

use core::num::NonZeroU64;

use super::{Extras, value};
use crate::{Incarnation, NodeId, Reject, Seq, Span};

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// "I am here."
    Heartbeat,
    /// "I am leaving on purpose."
    Goodbye,
}

/// The sender's clock, in milliseconds since 1970-01-01 UTC. Never 0, which on the wire says "not told".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixMillis(NonZeroU64);

/// One heartbeat or goodbye.
///
/// Equal messages say the same thing, in whichever form and order they say it:
///
/// ```
/// use systole_core::wire::{Extras, Message, messages};
/// use systole_core::{Seq, Span};
///
/// let message = Message {
///     seq: Some(Seq::new(7)),
///     interval: Some(Span::from_secs(1)),
///     extras: Extras::pairs(&[("cpu", 0.7)], &[("zone", "eu-1")]),
///     ..Message::heartbeat("web-1")
/// };
/// let line = b"hb web-1 l.zone=eu-1 m.cpu=0.7 interval=1000ms seq=7";
/// assert_eq!(messages(line).next(), Some(Ok((message, &line[..]))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Message<'a> {
    /// Heartbeat or goodbye.
    pub kind: Kind,
    /// Who speaks.
    pub node: NodeId,
    /// Its name: always there in text, from time to time in binary. It hashes to `node`.
    pub name: Option<&'a str>,
    /// Which key made the tag; 0 for none. Always 0 in text.
    pub key: u8,
    /// Which life of the node; always there in binary.
    pub incarnation: Option<Incarnation>,
    /// The number of this message within that life; always there in binary.
    pub seq: Option<Seq>,
    /// When it was sent, by the sender's clock.
    pub sent: Option<UnixMillis>,
    /// How often the node means to beat; never zero. The binary form carries whole milliseconds.
    pub interval: Option<Span>,
    /// The group that it wants to be in.
    pub group: Option<&'a str>,
    /// How busy it is: 0 is idle, 1 is full. Finite and not negative.
    pub load: Option<f32>,
    /// The version of what it runs.
    pub version: Option<&'a str>,
    /// How long it means to be silent from now on; never zero. The binary form carries whole milliseconds.
    pub next: Option<Span>,
    /// Metrics and labels.
    pub extras: Extras<'a>,
}

impl UnixMillis {
    /// `millis` milliseconds after 1970 began; nothing for 0.
    pub const fn new(millis: u64) -> Option<Self> {
        match NonZeroU64::new(millis) {
            Some(millis) => Some(Self(millis)),
            None => None,
        }
    }

    /// Milliseconds since 1970 began.
    pub const fn millis(self) -> u64 {
        self.0.get()
    }
}

impl<'a> Message<'a> {
    /// A heartbeat of the node called `name` that says nothing else.
    pub fn heartbeat(name: &'a str) -> Self {
        Self { name: Some(name), ..Self::of(Kind::Heartbeat, NodeId::of(name)) }
    }

    /// A goodbye of the node called `name` that says nothing else.
    pub fn goodbye(name: &'a str) -> Self {
        Self { name: Some(name), ..Self::of(Kind::Goodbye, NodeId::of(name)) }
    }

    /// A message of `node`, whose name stays at home; only the binary form can carry it.
    pub const fn of(kind: Kind, node: NodeId) -> Self {
        Self {
            kind,
            node,
            name: None,
            key: 0,
            incarnation: None,
            seq: None,
            sent: None,
            interval: None,
            group: None,
            load: None,
            version: None,
            next: None,
            extras: Extras::NONE,
        }
    }

    /// Whether a receiver would accept this.
    ///
    /// # Errors
    /// The reason for which it would be refused. A message that was parsed has none.
    pub fn check(&self) -> Result<(), Reject> {
        self.name.map_or(Ok(()), |name| belongs(value::name(name.as_bytes())?, self.node))?;
        self.group.map_or(Ok(""), |group| value::name(group.as_bytes()))?;
        self.version.map_or(Ok(""), |version| value::text(version.as_bytes()))?;
        self.load.map_or(Ok(0.0), value::load)?;
        self.interval.map_or(Ok(Span::ZERO), value::span)?;
        self.next.map_or(Ok(Span::ZERO), value::span)?;
        self.extras.check()
    }
}

/// Whether a name that is one is the name of `node`.
pub(super) fn belongs(name: &str, node: NodeId) -> Result<(), Reject> {
    if NodeId::of(name) == node { Ok(()) } else { Err(Reject::NameMismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{emit_binary, emit_text};
    use alloc::vec::Vec;

    #[test]
    fn nothing_is_sent_that_nobody_would_accept() {
        let plain = Message::heartbeat("web-1");
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q"];
        let (metrics, labels) = (names.map(|name| (name, 1.0)), names.map(|name| (name, "x")));
        for (message, reason) in [
            (Message::heartbeat(""), Reject::BadName),
            (Message::heartbeat("web 1"), Reject::BadName),
            (Message { node: NodeId::of("web-2"), ..plain }, Reject::NameMismatch),
            (Message { group: Some("a\nhb b"), ..plain }, Reject::BadName),
            (Message { version: Some("1 load=9"), ..plain }, Reject::BadValue),
            (Message { load: Some(f32::NAN), ..plain }, Reject::BadValue),
            (Message { interval: Some(Span::ZERO), ..plain }, Reject::BadValue),
            (Message { next: Some(Span::ZERO), ..plain }, Reject::BadValue),
            (Message { extras: Extras::pairs(&[], &[("zone", "a"), ("zone", "b")]), ..plain }, Reject::BadValue),
            (Message { extras: Extras::pairs(&[("cpu", f64::INFINITY)], &[]), ..plain }, Reject::BadValue),
            (Message { extras: Extras::pairs(&[("c=u", 1.0)], &[]), ..plain }, Reject::BadValue),
            (Message { extras: Extras::pairs(&[], &[("zone", "")]), ..plain }, Reject::BadValue),
            (Message { extras: Extras::pairs(&metrics, &[]), ..plain }, Reject::BadValue),
            (Message { extras: Extras::pairs(&[], &labels), ..plain }, Reject::BadValue),
        ] {
            let mut out = Vec::from(b"before");
            assert_eq!(emit_text(&message, &mut out), Err(reason), "{message:?}");
            assert_eq!(emit_binary(&message, &mut out), Err(reason), "{message:?}");
            assert_eq!(out, b"before");
        }
    }
}
