//! What several stories need: a sink that remembers, and a way to let time pass.
#![allow(dead_code, reason = "each test binary uses its part")]

use systole_core::config::Config;
use systole_core::event::{Cause, Note, Sink, Transition};
use systole_core::{Backlog, Datagram, Instant, Liveness, Monitor, NodeId, NodeIx, Span};

/// A transition as a test compares it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) at: Instant,
    pub(crate) node: String,
    pub(crate) from: Liveness,
    pub(crate) to: Liveness,
    pub(crate) cause: Cause,
}

/// Remembers everything.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) told: Vec<Told>,
    /// When, what, and about whom.
    pub(crate) notes: Vec<(Instant, &'static str, String)>,
    pub(crate) foreign: Vec<Vec<u8>>,
    pub(crate) room: usize,
}

impl Default for Log {
    fn default() -> Self {
        Self { told: Vec::new(), notes: Vec::new(), foreign: Vec::new(), room: usize::MAX }
    }
}

impl Told {
    pub(crate) fn new(at: Instant, node: &str, from: Liveness, to: Liveness, cause: Cause) -> Self {
        Self { at, node: node.to_owned(), from, to, cause }
    }
}

impl Sink for Log {
    fn transition(&mut self, transition: &Transition<'_>) {
        let Transition { at, called, from, to, cause, .. } = *transition;
        assert_ne!(from, to, "a transition changes something");
        self.told.push(Told { at, node: called.to_string(), from, to, cause });
    }

    fn note(&mut self, note: &Note<'_>) {
        let (at, whom) = match *note {
            Note::Hold { at, scope, .. } => (at, scope.to_string()),
            Note::Node { at, called, .. } => (at, called.to_string()),
            Note::Overload { at, reason, .. } => (at, reason.name().to_owned()),
        };
        self.notes.push((at, note.name(), whom));
    }

    fn foreign(&mut self, _: NodeId, message: &Datagram<'_>) {
        self.foreign.push(message.bytes.to_vec());
    }

    fn room(&self) -> usize {
        self.room
    }
}

/// Turns the monitor whenever it asks to be turned, until `end`.
pub(crate) fn turn_until(monitor: &mut Monitor, end: Instant, log: &mut Log) {
    let mut now = Instant::ORIGIN;
    while let Some(wake) = monitor.poll_timeout().filter(|wake| *wake <= end) {
        now = now.max(wake);
        monitor.turn(now, &[], Backlog::Drained, log);
    }
    monitor.turn(end, &[], Backlog::Drained, log);
}

/// A new monitor that has taken over everything that `former` believes.
pub(crate) fn restarted(former: &Monitor, config: Config, now: Instant) -> Monitor {
    let mut monitor = Monitor::new(config, now);
    for belief in (0..former.places()).filter_map(|place| former.belief(NodeIx::new(place))) {
        let ix = monitor.take_over(&belief, now).expect("the configuration is the same");
        assert_eq!(monitor.find(&belief.id), Some(ix));
    }
    monitor
}

pub(crate) fn ms(millis: u64) -> Span {
    Span::from_millis(millis)
}

pub(crate) fn secs(secs: u64) -> Span {
    Span::from_secs(secs)
}
