//! The form for a million nodes: 52 bytes that say who, which life, which beat, when and how often.
//!
//! All numbers are little-endian, and nothing is aligned.
//!
//! ```text
//!   0  magic 0xF5 | version 1 | kind | key id | length u16 | flags u16 = 0
//!   8  node id, 16 bytes: the first half of SHA-256(name)
//!  24  incarnation u64
//!  32  seq u64
//!  40  sent u64, unix milliseconds; 0: not told
//!  48  interval u32, milliseconds; 0: not declared
//!  52  fields: type u8 | length u8 | value ...     and again, to the end or to the tag
//!      tag, 16 bytes, only if the key id isn't 0: the last of the message
//! ```
//! `length` counts everything from the magic to the tag. The tag is cut off here and verified by [`auth`](crate::auth).

use alloc::vec::Vec;

use super::extras::{Extra, Seen};
use super::message::belongs;
use super::{EXTRAS_MAX, Extras, Kind, Message, TEXT_MAX, UnixMillis, value};
use crate::{Incarnation, NAME_MAX, NodeId, Reject, Seq, Span};

/// The first byte of every binary message. UTF-8 text never contains it.
pub const MAGIC: u8 = 0xF5;
/// The version of the binary form, its second byte.
pub const VERSION: u8 = 1;
/// Where the node id begins. Its first four bytes, big-endian, choose the shard.
pub const NODE: usize = 8;
/// The length of a message without fields and tag, in bytes.
pub const HEADER: usize = 52;
/// The length of a tag, in bytes.
pub const TAG: usize = 16;

const VERSION_AT: usize = 1;
const KIND: usize = 2;
const KEY: usize = 3;
const LENGTH: usize = 4;
const FLAGS: usize = 6;
const INCARNATION: usize = 24;
const SEQ: usize = 32;
const SENT: usize = 40;
const INTERVAL: usize = 48;

const _: () = assert!(VERSION_AT == 1 && KIND == 2 && KEY == 3 && LENGTH == 4 && FLAGS == LENGTH + size_of::<u16>());
const _: () = assert!(NODE == FLAGS + size_of::<u16>() && INCARNATION == NODE + size_of::<NodeId>());
const _: () = assert!(SEQ == INCARNATION + size_of::<u64>() && SENT == SEQ + size_of::<u64>());
const _: () = assert!(INTERVAL == SENT + size_of::<u64>() && HEADER == INTERVAL + size_of::<u32>());

const HEARTBEAT: u8 = 1;
const GOODBYE: u8 = 2;

/// The types of fields. A new one takes a new number; a number never changes its meaning.
mod field {
    pub(super) const NAME: u8 = 1;
    pub(super) const GROUP: u8 = 2;
    pub(super) const LOAD: u8 = 3;
    pub(super) const VERSION: u8 = 4;
    pub(super) const NEXT: u8 = 5;
    pub(super) const METRIC: u8 = 6;
    pub(super) const LABEL: u8 = 7;
}

/// The longest value of a field: a label with its name and the length of that name.
const VALUE_MAX: usize = 1 + TEXT_MAX + TEXT_MAX;
const _: () = assert!(VALUE_MAX <= u8::MAX as usize && NAME_MAX <= VALUE_MAX && 1 + TEXT_MAX + 8 <= VALUE_MAX);
const _: () = assert!(HEADER + (5 + 2 * EXTRAS_MAX) * (2 + VALUE_MAX) + TAG <= u16::MAX as usize);

/// Cuts the first message off a datagram, by its magic, version and length alone.
pub(super) fn split(datagram: &[u8]) -> Result<(&[u8], &[u8]), Reject> {
    match datagram {
        [MAGIC, VERSION, _, _, low, high, ..] => {
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            // Enough for what every kind has, also one that isn't known yet.
            if length < NODE {
                Err(Reject::Malformed)
            } else {
                datagram.split_at_checked(length).ok_or(Reject::Truncated)
            }
        }
        [MAGIC, VERSION, ..] | [MAGIC] => Err(Reject::Truncated),
        [MAGIC, _, ..] => Err(Reject::UnknownVersion),
        [..] => Err(Reject::Malformed),
    }
}

/// The node of the first message, if there are bytes enough for one.
pub(super) fn first_node(datagram: &[u8]) -> Option<NodeId> {
    datagram.first_chunk::<HEADER>().map(|header| NodeId::from_bytes(get(header, NODE)))
}

/// Reads one message that [`split`] has cut off.
pub(super) fn parse(one: &[u8]) -> Result<Message<'_>, Reject> {
    let kind = match one[KIND] {
        HEARTBEAT => Kind::Heartbeat,
        GOODBYE => Kind::Goodbye,
        _ => return Err(Reject::UnknownKind),
    };
    let (header, rest) = one.split_first_chunk::<HEADER>().ok_or(Reject::Malformed)?;
    let key = header[KEY];
    let fields = if key == 0 { rest } else { rest.split_last_chunk::<TAG>().ok_or(Reject::Malformed)?.0 };
    let mut message = Message {
        key,
        incarnation: Some(Incarnation::new(u64::from_le_bytes(get(header, INCARNATION)))),
        seq: Some(Seq::new(u64::from_le_bytes(get(header, SEQ)))),
        sent: UnixMillis::new(u64::from_le_bytes(get(header, SENT))),
        interval: Some(millis(get(header, INTERVAL))).filter(|span| !span.is_zero()),
        ..Message::of(kind, NodeId::from_bytes(get(header, NODE)))
    };
    if !fields.is_empty() {
        parse_fields(fields, &mut message)?;
    }
    Ok(message)
}

fn parse_fields<'a>(fields: &'a [u8], message: &mut Message<'a>) -> Result<(), Reject> {
    let mut seen = Seen::default();
    let mut walk = Fields(fields);
    for (kind, bytes) in walk.by_ref() {
        match kind {
            field::NAME => {
                let name = value::name(bytes)?;
                belongs(name, message.node)?;
                value::once(&mut message.name, name)?;
            }
            field::GROUP => value::once(&mut message.group, value::name(bytes)?)?,
            field::LOAD => value::once(&mut message.load, value::load(f32::from_le_bytes(exactly(bytes)?))?)?,
            field::VERSION => value::once(&mut message.version, value::text(bytes)?)?,
            field::NEXT => value::once(&mut message.next, value::span(millis(exactly(bytes)?))?)?,
            // Whatever isn't a metric or label either is unknown, and skipped.
            _ => extra(kind, bytes).map_or(Ok(()), |extra| seen.note(extra?))?,
        }
    }
    if !walk.0.is_empty() {
        return Err(Reject::Malformed);
    }
    if !seen.is_empty() {
        message.extras = Extras::binary(fields);
    }
    Ok(())
}

/// Appends `message` to `out`, after any that are there already.
///
/// An incarnation or seq that is missing is written as 0. Spans are rounded up to whole
/// milliseconds, and 49.7 days stand for anything longer. With a key id, the tag is left zero for [`NodeKey::seal`](crate::auth::NodeKey::seal) to make.
///
/// # Errors
/// If a receiver would refuse it, with the reason; `out` is unchanged then.
pub fn emit_binary(message: &Message<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
    message.check()?;
    let start = out.len();
    out.extend_from_slice(&header(message));
    if let Some(name) = message.name {
        put_field(out, field::NAME, &[name.as_bytes()]);
    }
    if let Some(group) = message.group {
        put_field(out, field::GROUP, &[group.as_bytes()]);
    }
    if let Some(load) = message.load {
        put_field(out, field::LOAD, &[&load.to_le_bytes()]);
    }
    if let Some(version) = message.version {
        put_field(out, field::VERSION, &[version.as_bytes()]);
    }
    if let Some(next) = message.next {
        put_field(out, field::NEXT, &[&millis_up(next).to_le_bytes()]);
    }
    for (name, value) in message.extras.metrics() {
        put_field(out, field::METRIC, &[&[name.len() as u8], name.as_bytes(), &value.to_le_bytes()]);
    }
    for (name, text) in message.extras.labels() {
        put_field(out, field::LABEL, &[&[name.len() as u8], name.as_bytes(), text.as_bytes()]);
    }
    if message.key != 0 {
        out.extend_from_slice(&[0; TAG]);
    }
    let length = (out.len() - start) as u16;
    out[start + LENGTH..][..size_of::<u16>()].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// The first 52 bytes, all but the length.
fn header(message: &Message<'_>) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = MAGIC;
    header[VERSION_AT] = VERSION;
    header[KIND] = match message.kind {
        Kind::Heartbeat => HEARTBEAT,
        Kind::Goodbye => GOODBYE,
    };
    header[KEY] = message.key;
    put(&mut header, NODE, message.node.bytes());
    put(&mut header, INCARNATION, &message.incarnation.map_or(0, Incarnation::number).to_le_bytes());
    put(&mut header, SEQ, &message.seq.map_or(0, Seq::number).to_le_bytes());
    put(&mut header, SENT, &message.sent.map_or(0, UnixMillis::millis).to_le_bytes());
    put(&mut header, INTERVAL, &message.interval.map_or(0, millis_up).to_le_bytes());
    header
}

/// The metrics and labels among fields that were checked.
pub(super) fn extras(fields: &[u8]) -> impl Iterator<Item = Extra<'_>> {
    Fields(fields).filter_map(|(kind, bytes)| extra(kind, bytes)?.ok())
}

/// A metric or a label; nothing for every other field.
fn extra(kind: u8, bytes: &[u8]) -> Option<Result<Extra<'_>, Reject>> {
    match kind {
        field::METRIC => Some(metric(bytes)),
        field::LABEL => Some(label(bytes)),
        _ => None,
    }
}

fn metric(bytes: &[u8]) -> Result<Extra<'_>, Reject> {
    let (name, number) = named(bytes)?;
    Ok(Extra::Metric(name, value::metric(f64::from_le_bytes(exactly(number)?))?))
}

fn label(bytes: &[u8]) -> Result<Extra<'_>, Reject> {
    let (name, text) = named(bytes)?;
    Ok(Extra::Label(name, value::text(text)?))
}

/// The name that a metric or label begins with, and what follows it.
fn named(bytes: &[u8]) -> Result<(&str, &[u8]), Reject> {
    let (length, rest) = bytes.split_first().ok_or(Reject::BadValue)?;
    let (name, rest) = rest.split_at_checked(usize::from(*length)).ok_or(Reject::BadValue)?;
    Ok((value::key(name)?, rest))
}

/// Fields one by one: type and value. Stops, with bytes left over, at one that doesn't fit.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [kind, length, rest @ ..] = self.0 else { return None };
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        self.0 = rest;
        Some((*kind, value))
    }
}

fn put_field(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&[kind, length as u8]);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

fn get<const N: usize>(header: &[u8; HEADER], at: usize) -> [u8; N] {
    core::array::from_fn(|i| header[at + i])
}

fn put(header: &mut [u8; HEADER], at: usize, bytes: &[u8]) {
    header[at..at + bytes.len()].copy_from_slice(bytes);
}

fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Reject> {
    bytes.try_into().map_err(|_| Reject::BadValue)
}

fn millis(bytes: [u8; 4]) -> Span {
    Span::from_millis(u64::from(u32::from_le_bytes(bytes)))
}

/// Whole milliseconds, rounded up: an interval stays one, and a planned silence isn't cut short.
fn millis_up(span: Span) -> u32 {
    u32::try_from(span.nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A heartbeat of `a` with these fields.
    fn with_fields(fields: &[&[u8]]) -> Vec<u8> {
        let mut bytes = header(&Message::heartbeat("a")).to_vec();
        fields.iter().for_each(|field| bytes.extend_from_slice(field));
        let length = bytes.len() as u16;
        bytes[LENGTH..LENGTH + 2].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    fn rejected(field: &[u8]) -> Option<Reject> {
        parse(&with_fields(&[field])).err()
    }

    #[test]
    fn every_field_is_read() {
        let bytes = with_fields(&[
            b"\x01\x01a",
            b"\x02\x03web",
            b"\x03\x04\0\0\x80\x3e",
            b"\x04\x051.2.3",
            b"\x05\x04\xe8\x03\0\0",
            b"\x06\x0c\x03cpu\0\0\0\0\0\0\xe8\x3f",
            b"\x07\x09\x04zoneeu-1",
        ]);
        let expected = Message {
            incarnation: Some(Incarnation::new(0)),
            seq: Some(Seq::new(0)),
            group: Some("web"),
            load: Some(0.25),
            version: Some("1.2.3"),
            next: Some(Span::from_secs(1)),
            extras: Extras::pairs(&[("cpu", 0.75)], &[("zone", "eu-1")]),
            ..Message::heartbeat("a")
        };
        assert_eq!(parse(&bytes), Ok(expected));
    }

    #[test]
    fn a_known_field_of_the_wrong_length_or_value_refuses_the_message() {
        for field in [
            &b"\x03\x03\0\0\0"[..],               // a load of three bytes
            b"\x03\x08\0\0\0\0\0\0\0\0",          // a load of eight
            b"\x03\x04\0\0\x80\xbf",              // -1
            b"\x03\x04\0\0\xc0\x7f",              // not a number
            b"\x04\x00",                          // an empty version
            b"\x04\x03a b",                       // a blank
            b"\x05\x04\0\0\0\0",                  // a silence of no length
            b"\x05\x02\0\0",                      // a silence of two bytes
            b"\x06\x00",                          // a metric without a name
            b"\x06\x09\x00\0\0\0\0\0\0\0\0",      // with an empty one
            b"\x06\x05\x01x\0\0\0",               // with a short number
            b"\x06\x0a\x01x\0\0\0\0\0\0\xf0\x7f", // infinite
            b"\x06\x0a\x01=\0\0\0\0\0\0\0\0",     // a name outside the alphabet
            b"\x07\x03\x09xy",                    // a label shorter than its name
            b"\x07\x02\x01x",                     // without a text
            b"\x07\x03\x01x\x1b",                 // with an escape
        ] {
            assert_eq!(rejected(field), Some(Reject::BadValue), "{field:?}");
        }
        for field in [&b"\x01\x00"[..], b"\x01\x01 ", b"\x02\x00", b"\x02\x02a\n"] {
            assert_eq!(rejected(field), Some(Reject::BadName), "{field:?}");
        }
        assert_eq!(rejected(b"\x01\x01b"), Some(Reject::NameMismatch));
    }

    #[test]
    fn a_field_that_reaches_beyond_its_message_is_malformed() {
        for field in [&b"\x01"[..], b"\x09", b"\x01\x02a", b"\x09\xff"] {
            assert_eq!(rejected(field), Some(Reject::Malformed), "{field:?}");
        }
    }

    #[test]
    fn seventeen_metrics_or_labels_are_too_many() {
        let metrics = |count| (0..count).map(|i| [6, 10, 1, b'a' + i, 0, 0, 0, 0, 0, 0, 0, 0]).collect::<Vec<_>>();
        let labels = |count| (0..count).map(|i| [7, 3, 1, b'a' + i, b'x']).collect::<Vec<_>>();
        let read = with_fields(&[metrics(16).as_flattened(), labels(16).as_flattened()]);
        let count = |message: Message<'_>| (message.extras.metrics().count(), message.extras.labels().count());
        assert_eq!(parse(&read).map(count), Ok((16, 16)));
        assert_eq!(rejected(metrics(17).as_flattened()), Some(Reject::BadValue));
        assert_eq!(rejected(labels(17).as_flattened()), Some(Reject::BadValue));
    }

    #[test]
    fn a_field_given_twice_refuses_the_message() {
        for field in [
            &b"\x01\x01a"[..],
            b"\x02\x03web",
            b"\x03\x04\0\0\x80\x3e",
            b"\x04\x011",
            b"\x05\x04\xe8\x03\0\0",
            b"\x06\x0a\x01x\0\0\0\0\0\0\0\0",
            b"\x07\x03\x01xy",
        ] {
            assert_eq!(rejected(field), None);
            assert_eq!(rejected(&[field, field].concat()), Some(Reject::BadValue), "{field:?}");
        }
    }

    #[test]
    fn the_tag_is_cut_off_whatever_it_says() {
        let mut bytes = with_fields(&[b"\x03\x04\0\0\x80\x3e", &[0xff; TAG]]);
        bytes[KEY] = 3;
        assert_eq!(parse(&bytes).map(|message| (message.key, message.load)), Ok((3, Some(0.25))));
        let mut bytes = with_fields(&[&[0; TAG - 1]]);
        bytes[KEY] = 3;
        assert_eq!(parse(&bytes), Err(Reject::Malformed));
    }

    #[test]
    fn flags_are_ignored_and_zero_means_not_told() {
        let mut bytes = with_fields(&[]);
        bytes[FLAGS..FLAGS + 2].copy_from_slice(&[0xff; 2]);
        let message = parse(&bytes).expect("sound");
        assert_eq!((message.sent, message.interval), (None, None));
    }

    #[test]
    fn an_unknown_kind_needs_no_more_than_the_first_eight_bytes() {
        let datagram = [MAGIC, VERSION, 9, 0, 8, 0, 0, 0];
        assert_eq!(split(&datagram), Ok((&datagram[..], &[][..])));
        assert_eq!(parse(&datagram), Err(Reject::UnknownKind));
        assert_eq!(split(&[MAGIC, VERSION, 9, 0, 7, 0, 0, 0]), Err(Reject::Malformed));
    }
}
