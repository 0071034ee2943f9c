//! What carries a heartbeat: a datagram, or a connection that repeats what was lost.
//!
//! ```text
//!   sent      1    2    3    4    5    6    7
//!   datagram  1    .    .    4    5    6    7        2 and 3 are lost
//!   reliable  1                   2345 6    7        2 is repeated; what came meanwhile waits behind it
//! ```
//! Over a connection nothing is lost and everything may be late at once: silence for as long as the
//! oldest is missing, then the whole backlog. A lost segment is repeated after a timeout that doubles
//! each time (RFC 6298, section 5); what is sent meanwhile goes with the repetition, as it fits into
//! one segment. The timeout itself is a setting: from 200 ms (Linux) or a second (the RFC) on.
//! No acknowledgements are modelled; a connection that got nothing through 15 times is given up, and
//! with it what waited. A node that comes back opens another. What the old one had taken still arrives, as it does
//! where a process ends and its machine doesn't.

use core::fmt;
use core::str::FromStr;

use systole_core::{Instant, Span};

use crate::spec::{Parts, SpecError};

/// What carries heartbeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// One datagram each.
    #[default]
    Datagram,
    /// A connection that repeats what was lost.
    Reliable(Timeouts),
}

/// After how long a connection repeats what was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    rto: Span,
    rto_max: Span,
}

/// The connection of one node, and after it that of its next life.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reliable {
    /// Whose it is.
    life: u32,
    /// Until then something waits to be repeated.
    repeats: Instant,
    /// When that arrives, if it ever does.
    delivers: Option<Instant>,
    /// When the last one arrived: none arrives before it.
    last: Instant,
    /// Up to when the path has been asked, by whichever life.
    asked: Instant,
}

/// One attempt to get something through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it is made.
    pub at: Instant,
    /// What to ask the path about: the same, or if a connection that is no more has repeated something later than that,
    /// then. A path outlives connections and remembers, so what it is asked about never runs backwards.
    pub path: Instant,
}

impl Timeouts {
    /// Repeats after `rto`, then after twice as long each time, up to `rto_max`.
    ///
    /// # Errors
    /// The value that can't be, and its range.
    pub fn new(rto: Span, rto_max: Span) -> Result<Self, SpecError> {
        let out = |key, value: Span, range: String| {
            Err(SpecError(format!("reliable: {key} {} is out of range; {range}", value.compact())))
        };
        if rto < Span::from_millis(1) {
            return out("rto", rto, "at least 1ms".into());
        }
        if rto_max < rto {
            return out("rto-max", rto_max, format!("at least rto, which is {}", rto.compact()));
        }
        Ok(Self { rto, rto_max })
    }
}

impl Reliable {
    /// Carries a heartbeat that was sent in `life` at `now`, not before the one carried last, and says when it
    /// arrives; never, if the connection is given up before. `lost` and `delay` are asked about each attempt.
    pub fn carry(
        &mut self,
        timeouts: &Timeouts,
        life: u32,
        now: Instant,
        mut lost: impl FnMut(Attempt) -> bool,
        mut delay: impl FnMut(Attempt) -> Span,
    ) -> Option<Instant> {
        if life != self.life {
            *self = Self { life, asked: self.asked, ..Self::default() };
        }
        if now < self.repeats {
            return self.delivers;
        }
        let (mut sent, mut timeout) = (now, timeouts.rto);
        for attempt in 0..=REPETITIONS {
            self.asked = self.asked.max(sent);
            let made = Attempt { at: sent, path: self.asked };
            if !lost(made) {
                self.last = self.last.max(sent + delay(made));
                self.delivers = Some(self.last);
                self.repeats = sent;
                return self.delivers;
            }
            if attempt < REPETITIONS {
                sent = sent + timeout;
                timeout = (timeout * 2).min(timeouts.rto_max);
            }
        }
        self.delivers = None;
        // The last repetition is waited for like the others.
        self.repeats = sent + timeout;
        None
    }
}

impl FromStr for Transport {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        match text.split_once(':') {
            Some(("reliable", list)) => {
                let mut parts = Parts::read("reliable", list, USAGE)?;
                let (rto, rto_max) = (parts.span("rto")?, parts.span("rto-max")?);
                parts.done(())?;
                Timeouts::new(rto, rto_max).map(Self::Reliable)
            }
            None if text == "datagram" => Ok(Self::Datagram),
            Some(_) | None => Err(SpecError(format!("unknown transport {text:?}; write datagram or {USAGE}"))),
        }
    }
}

/// As it is read.
impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Datagram => f.write_str("datagram"),
            Self::Reliable(Timeouts { rto, rto_max }) => {
                write!(f, "reliable:rto={},rto-max={}", rto.compact(), rto_max.compact())
            }
        }
    }
}

/// How often a segment is repeated before the connection is given up: Linux's `tcp_retries2`.
const REPETITIONS: u32 = 15;
const USAGE: &str = "reliable:rto=200ms,rto-max=60s";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{Loss, Lossy};
    use crate::random::{Actor, Purpose, Stream};

    fn at(millis: u64) -> Instant {
        Instant::ORIGIN + Span::from_millis(millis)
    }

    fn timeouts(text: &str) -> Timeouts {
        match text.parse() {
            Ok(Transport::Reliable(timeouts)) => timeouts,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// Sends every second through an outage, with a delay of 10 ms.
    fn through(outage: core::ops::Range<u64>, beats: u64) -> Vec<Option<Instant>> {
        let (mut connection, timeouts) = (Reliable::default(), timeouts("reliable:rto=200ms,rto-max=60s"));
        let lost = |attempt: Attempt| (at(outage.start)..at(outage.end)).contains(&attempt.at);
        let delay = |_: Attempt| Span::from_millis(10);
        (0..beats).map(|beat| connection.carry(&timeouts, 1, at(beat * 1_000), lost, delay)).collect()
    }

    #[test]
    fn an_outage_is_silence_and_then_the_whole_backlog_at_once() {
        // 2 is repeated 0.2, 0.6, 1.4, 3.0 and 6.2 s after it was sent.
        let arrivals = through(1_500..6_000, 10);
        let expected = [10, 1_010, 8_210, 8_210, 8_210, 8_210, 8_210, 8_210, 8_210, 9_010];
        assert_eq!(arrivals, expected.map(|millis| Some(at(millis))));
    }

    #[test]
    fn nothing_is_lost_and_nothing_overtakes() {
        let (mut connection, timeouts) = (Reliable::default(), timeouts("reliable:rto=200ms,rto-max=60s"));
        let loss = Loss::Independent(0.5);
        let mut losses = Lossy::new(&loss, Stream::new(7, Actor::node(0, 0), Purpose::Loss), Span::from_secs(1));
        let mut delays = Stream::new(7, Actor::node(0, 0), Purpose::Delay);
        let (mut last, mut asked) = (Instant::ORIGIN, Instant::ORIGIN);
        for beat in 0..10_000 {
            let now = at(beat * 1_000);
            // Every hundred heartbeats a new life, which knows nothing of what the last one waits for.
            let life = 1 + (beat / 100) as u32;
            if beat % 100 == 0 {
                last = now;
            }
            let lost = |attempt: Attempt| {
                assert!(attempt.path >= asked, "the path is asked about the past");
                assert!(attempt.at >= now && attempt.path >= attempt.at);
                asked = attempt.path;
                losses.loses(&loss, attempt.path)
            };
            let delay = |_: Attempt| Span::from_nanos((5e9 * delays.unit()) as u64);
            let arrival = connection.carry(&timeouts, life, now, lost, delay).expect("one in 65,536 is given up");
            assert!(arrival >= last && arrival >= now, "heartbeat {beat}");
            last = arrival;
        }
    }

    #[test]
    fn a_node_that_comes_back_does_not_wait_for_what_its_last_life_was_waiting_for() {
        let (mut connection, timeouts) = (Reliable::default(), timeouts("reliable:rto=200ms,rto-max=60s"));
        let lost = |attempt: Attempt| attempt.at < at(60_000);
        let delay = |_: Attempt| Span::from_millis(10);
        // Repeated at 0.2, 0.6, ... 51.0 and 102.2 s.
        assert_eq!(connection.carry(&timeouts, 1, at(0), lost, delay), Some(at(102_210)));
        assert_eq!(connection.carry(&timeouts, 1, at(61_000), lost, delay), Some(at(102_210)));
        assert_eq!(connection.carry(&timeouts, 2, at(62_000), lost, delay), Some(at(62_010)));
    }

    #[test]
    fn a_connection_that_gets_nothing_through_is_given_up_and_begins_anew() {
        let arrivals = through(0..600_000, 700);
        // 0.2, 0.6, ... 102.2 s, then every minute: the last repetition is at 462.2 s, and waited for until 522.2 s.
        let lost = arrivals.iter().take_while(|arrival| arrival.is_none()).count();
        assert_eq!(lost, 523);
        // The next one's repetitions come 51 s and 102.2 s later, of which only that one gets through.
        assert_eq!(arrivals[523], Some(at(625_210)));
        assert!(arrivals[523..].iter().all(Option::is_some));
    }

    #[test]
    fn a_transport_reads_back_as_it_was_written_and_what_can_not_be_is_refused() {
        for text in ["datagram", "reliable:rto=200ms,rto-max=1m"] {
            assert_eq!(text.parse::<Transport>().map(|transport| transport.to_string()), Ok(text.to_string()));
        }
        for (text, said) in [
            ("tcp", "unknown transport \"tcp\"; write datagram or reliable:rto=200ms,rto-max=60s"),
            ("reliable:rto=0ms,rto-max=60s", "reliable: rto 0ms is out of range; at least 1ms"),
            ("reliable:rto=2s,rto-max=1s", "reliable: rto-max 1s is out of range; at least rto, which is 2s"),
            ("reliable:rto=2s", "reliable: rto-max is missing; write reliable:rto=200ms,rto-max=60s"),
        ] {
            assert_eq!(text.parse::<Transport>().map_err(|error| error.to_string()), Err(said.to_string()));
        }
    }
}
