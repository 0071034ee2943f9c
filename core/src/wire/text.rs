//! The form that bash can send: `hb web-1 group=web interval=1s load=0.42 m.cpu=0.7 l.zone=eu-1`.
//!
//! One line, one message. Words are separated by blanks, the first says what it is, the second who
//! speaks, and each of the others is `key=value`. A key that isn't known is skipped, so that new
//! senders can talk to old monitors; a key that is known and doesn't parse refuses the whole line,
//! because half a heartbeat is a bug that somebody wants to hear of. So does a key given twice.

use alloc::vec::Vec;
use core::fmt::{self, Write};

use super::extras::{Extra, Seen};
use super::{Extras, Kind, Message, UnixMillis, value};
use crate::{Incarnation, NodeId, Reject, Seq, Span};

/// Reads a line, with or without its newline.
pub(super) fn parse(line: &[u8]) -> Result<Message<'_>, Reject> {
    let line = core::str::from_utf8(line).map_err(|_| Reject::Malformed)?;
    let line = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
    // Among them a second newline: of two lines in one datagram neither may get lost unnoticed.
    // No early exit: it would keep the compiler from looking at 16 bytes at a time.
    if line.bytes().fold(false, |found, byte| found | byte.is_ascii_control()) {
        return Err(Reject::Malformed);
    }
    let mut words = Words(line);
    let kind = match words.next() {
        Some("hb") => Kind::Heartbeat,
        Some("bye") => Kind::Goodbye,
        Some(_) | None => return Err(Reject::Malformed),
    };
    let name = value::name(words.next().unwrap_or_default().as_bytes())?;
    let mut message = Message { name: Some(name), ..Message::of(kind, NodeId::of(name)) };
    let fields = words.0;
    let mut seen = Seen::default();
    for (key, text) in words.filter_map(pair) {
        match key {
            "seq" => value::once(&mut message.seq, Seq::new(whole(text)?))?,
            "inc" => value::once(&mut message.incarnation, Incarnation::new(whole(text)?))?,
            "group" => value::once(&mut message.group, value::name(text.as_bytes())?)?,
            "interval" => value::once(&mut message.interval, span(text)?)?,
            "ts" => value::once(&mut message.sent, UnixMillis::new(whole(text)?).ok_or(Reject::BadValue)?)?,
            "load" => value::once(&mut message.load, value::load(text.parse().map_err(|_| Reject::BadValue)?)?)?,
            "version" => value::once(&mut message.version, value::text(text.as_bytes())?)?,
            "next" => value::once(&mut message.next, span(text)?)?,
            // Whatever isn't a metric or label either is unknown, and skipped.
            _ => extra(key, text).map_or(Ok(()), |extra| seen.note(extra?))?,
        }
    }
    if !seen.is_empty() {
        message.extras = Extras::text(fields);
    }
    Ok(message)
}

/// Appends `message` to `out` as one line without a newline.
///
/// # Errors
/// If a receiver would refuse it, with the reason, or [`Reject::BadName`] without a name; `out` is
/// unchanged then.
pub fn emit_text(message: &Message<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
    message.check()?;
    let name = message.name.ok_or(Reject::BadName)?;
    write_line(message, name, &mut Line(out)).expect("a Vec takes every byte");
    Ok(())
}

fn write_line(message: &Message<'_>, name: &str, line: &mut Line<'_>) -> fmt::Result {
    let kind = match message.kind {
        Kind::Heartbeat => "hb",
        Kind::Goodbye => "bye",
    };
    write!(line, "{kind} {name}")?;
    line.field("inc", message.incarnation.map(Incarnation::number))?;
    line.field("seq", message.seq.map(Seq::number))?;
    line.field("ts", message.sent.map(UnixMillis::millis))?;
    line.field("interval", message.interval.map(Exact))?;
    line.field("group", message.group)?;
    line.field("load", message.load.map(Shortest))?;
    line.field("version", message.version)?;
    line.field("next", message.next.map(Exact))?;
    for (name, value) in message.extras.metrics() {
        write!(line, " m.{name}={}", Shortest(value))?;
    }
    for (name, text) in message.extras.labels() {
        write!(line, " l.{name}={text}")?;
    }
    Ok(())
}

/// The metrics and labels among the words of a line that was checked.
pub(super) fn extras(fields: &str) -> impl Iterator<Item = Extra<'_>> {
    Words(fields).filter_map(pair).filter_map(|(key, text)| extra(key, text)?.ok())
}

/// `m.NAME=number` or `l.NAME=text`; nothing for every other key.
fn extra<'a>(key: &'a str, text: &'a str) -> Option<Result<Extra<'a>, Reject>> {
    match key.as_bytes() {
        [b'm', b'.', name @ ..] => Some(metric(name, text)),
        [b'l', b'.', name @ ..] => Some(label(name, text)),
        _ => None,
    }
}

fn metric<'a>(name: &'a [u8], text: &str) -> Result<Extra<'a>, Reject> {
    let number = text.parse().map_err(|_| Reject::BadValue)?;
    Ok(Extra::Metric(value::key(name)?, value::metric(number)?))
}

fn label<'a>(name: &'a [u8], text: &'a str) -> Result<Extra<'a>, Reject> {
    Ok(Extra::Label(value::key(name)?, value::text(text.as_bytes())?))
}

/// The key and the value of a word; a word without `=` says nothing that we know.
fn pair(word: &str) -> Option<(&str, &str)> {
    let at = word.bytes().position(|byte| byte == b'=')?;
    Some((&word[..at], &word[at + 1..]))
}

fn span(text: &str) -> Result<Span, Reject> {
    value::span(text.parse().map_err(|_| Reject::BadValue)?)
}

/// Digits and nothing else; `parse` alone would let a `+` pass.
fn whole(text: &str) -> Result<u64, Reject> {
    if text.starts_with('+') {
        return Err(Reject::BadValue);
    }
    text.parse().map_err(|_| Reject::BadValue)
}

/// The words of a line: what stands between blanks.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let start = self.0.bytes().position(|byte| byte != b' ')?;
        let rest = &self.0[start..];
        let end = rest.bytes().position(|byte| byte == b' ').unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.0 = rest;
        Some(word)
    }
}

/// A line being written.
struct Line<'a>(&'a mut Vec<u8>);

impl Line<'_> {
    fn field(&mut self, key: &str, value: Option<impl fmt::Display>) -> fmt::Result {
        match value {
            Some(value) => write!(self, " {key}={value}"),
            None => Ok(()),
        }
    }
}

impl Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// A span to the nanosecond, in the largest unit up to a second that needs no decimals.
struct Exact(Span);

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
        let nanos = self.0.nanos();
        let (unit, name) = UNITS.into_iter().find(|(unit, _)| nanos.is_multiple_of(*unit)).unwrap_or((1, "ns"));
        write!(f, "{}{name}", nanos / unit)
    }
}

/// A number in the fewest digits that read back as the same; with an exponent where it would
/// otherwise be a row of zeros.
struct Shortest<F>(F);

impl<F: fmt::Display + fmt::LowerExp + Copy + Into<f64>> fmt::Display for Shortest<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.into().abs();
        if size == 0.0 || (1e-5..1e16).contains(&size) { write!(f, "{}", self.0) } else { write!(f, "{:e}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;

    fn rejected(line: &str) -> Option<Reject> {
        parse(line.as_bytes()).err()
    }

    #[test]
    fn every_key_is_read() {
        let line = "hb web-1 seq=7 inc=3 group=web interval=1.5s ts=1700000000000 load=0.25 version=1.2.3 next=10m \
                    m.cpu=0.7 l.zone=eu-1\n";
        let expected = Message {
            incarnation: Some(Incarnation::new(3)),
            seq: Some(Seq::new(7)),
            sent: UnixMillis::new(1_700_000_000_000),
            interval: Some(Span::from_millis(1_500)),
            group: Some("web"),
            load: Some(0.25),
            version: Some("1.2.3"),
            next: Some(Span::from_secs(600)),
            extras: Extras::pairs(&[("cpu", 0.7)], &[("zone", "eu-1")]),
            ..Message::heartbeat("web-1")
        };
        assert_eq!(parse(line.as_bytes()), Ok(expected));
    }

    #[test]
    fn a_line_may_end_in_a_newline_and_have_blanks_to_spare() {
        for line in ["bye a", "bye a\n", "bye a\r\n", "  bye   a  ", "bye a \n"] {
            assert_eq!(parse(line.as_bytes()), Ok(Message::goodbye("a")), "{line:?}");
        }
    }

    #[test]
    fn what_is_neither_hb_nor_bye_is_malformed() {
        for line in ["", "\n", " ", "h", "HB a", "hbx a", "ping a", "hb\ta", "hb a\nhb b\n", "hb a\n\n", "hb a\0"] {
            assert_eq!(rejected(line), Some(Reject::Malformed), "{line:?}");
        }
        assert_eq!(parse(b"hb a x=\xff"), Err(Reject::Malformed));
    }

    #[test]
    fn a_node_or_group_needs_a_name_of_its_alphabet() {
        let long = format!("hb {}", "x".repeat(129));
        for line in ["hb", "hb ", "bye\n", "hb ä", "hb group=web", "hb a group=", "hb a group=x,y", &long] {
            assert_eq!(rejected(line), Some(Reject::BadName), "{line:?}");
        }
    }

    #[test]
    fn a_known_key_with_a_bad_value_refuses_the_line() {
        for field in [
            "seq=",
            "seq=-1",
            "seq=+1",
            "seq=1.0",
            "seq=18446744073709551616",
            "inc=x",
            "ts=1s",
            "ts=0",
            "next=0s",
            "interval=0s",
            "interval=5",
            "interval=-1s",
            "next=soon",
            "load=-1",
            "load=nan",
            "load=inf",
            "load=",
            "load=1e99",
            "version=",
            "m.=1",
            "m.a=",
            "m.a=nan",
            "m.a=1e999",
            "m.ä=1",
            "l.=x",
            "l.a=",
            "l.a=\u{202e}",
        ] {
            assert_eq!(rejected(&format!("hb a {field}")), Some(Reject::BadValue), "{field}");
            assert_eq!(rejected(&format!("hb a {field} seq=1 load=1 l.a=b")), Some(Reject::BadValue), "{field}");
        }
    }

    #[test]
    fn what_is_unknown_is_skipped() {
        for field in ["colour=red", "seq", "=", "=1", "x.cpu=nan", "Seq=x", "m=1", "m.cpu", "tag=ä", "a==b"] {
            assert_eq!(parse(format!("hb a {field}").as_bytes()), Ok(Message::heartbeat("a")), "{field}");
        }
    }

    #[test]
    fn a_key_given_twice_refuses_the_line() {
        for line in ["hb a seq=1 seq=1", "hb a load=1 m.x=1 load=2", "hb a m.x=1 m.y=1 m.x=2", "hb a l.x=a l.x=b"] {
            assert_eq!(rejected(line), Some(Reject::BadValue), "{line}");
        }
        assert_eq!(rejected("hb a m.x=1 l.x=1 x=1 x=2"), None);
    }

    #[test]
    fn sixteen_metrics_and_sixteen_labels_are_the_most() {
        let fields = |letter: char, count: u32| (0..count).fold(String::new(), |s, i| format!("{s} {letter}.k{i}=1"));
        let full = format!("hb a{}{}", fields('m', 16), fields('l', 16));
        let message = parse(full.as_bytes()).expect("sixteen are allowed");
        assert_eq!((message.extras.metrics().count(), message.extras.labels().count()), (16, 16));
        assert_eq!(rejected(&format!("hb a{}", fields('m', 17))), Some(Reject::BadValue));
        assert_eq!(rejected(&format!("hb a{}", fields('l', 17))), Some(Reject::BadValue));
    }

    #[test]
    fn numbers_and_spans_are_written_so_that_they_read_back() {
        for (number, text) in
            [(0.1, "0.1"), (0.0, "0"), (1e16, "1e16"), (1e300, "1e300"), (-2.5e-9, "-2.5e-9"), (5e-324, "5e-324")]
        {
            assert_eq!(format!("{}", Shortest(number)), text);
        }
        for (nanos, text) in [(1_500_000_000, "1500ms"), (7_000_000_000, "7s"), (1_500, "1500ns"), (0, "0s")] {
            assert_eq!(format!("{}", Exact(Span::from_nanos(nanos))), text);
        }
    }
}
