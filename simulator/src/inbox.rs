//! The monitor's socket, and the times in which nobody reads it.
//!
//! ```text
//!   runs ────┤ stalled ├──── runs ────┤ down ├──── runs (a new monitor)
//!   reads     waits: the  drains,      lost
//!             buffer may  then judges
//!             overflow
//! ```
//! Only runs with [`Troubles`] have one; without, what arrives in a tick is read in that tick. A
//! socket that isn't drained at the end of a tick is [`More`](systole_core::Backlog::More) to the
//! monitor, as in the engine. When the realtime clock is set while something waits, its kernel time
//! is wrong by the step, and is cut to what can be true: not before the socket was last seen empty,
//! and not after now (docs/ARCHITECTURE.md, decision 7).
//!
//! Of what went wrong here the monitor is told before it judges, as the engine tells its own: of each
//! stall from its first millisecond to its last, of what the buffer had no room for, of steps of the clock.
//! Of what happened before it began, or arrived when it wasn't there, no monitor knows.

use std::collections::VecDeque;

use core::ops::Range;

use systole_core::{Instant, Span, Tick, Trouble};

use crate::judge::Arrival;
use crate::random::{Actor, Purpose, Stream};
use crate::scenario::{Pauses, Scenario, Stall, Troubles};

/// The receive buffer, and when it is read.
#[derive(Debug)]
pub(crate) struct Inbox {
    troubles: Troubles,
    waiting: VecDeque<Arrival>,
    /// Stalls that are known from the start.
    stalls: Vec<Range<Tick>>,
    random: Vec<Stalls>,
    /// From when until when there is no monitor, and whether the next one takes over what this
    /// one believed. Those that lie ahead, in order.
    restarts: VecDeque<(Range<Tick>, bool)>,
    down: bool,
    /// When the socket was last seen empty.
    seen: Instant,
    /// What it may still read in this tick, in thousandths of a datagram.
    credit: u64,
    /// Up to where stalls are in `confession`.
    noted: Tick,
    /// Datagrams that found no room since the monitor was last told.
    lost: u64,
    /// How many steps of the clock it was told of, of those in order.
    steps_told: usize,
    /// What there is to be told.
    confession: Vec<(Instant, Trouble)>,
}

/// Stalls that come at random, as far as anybody has looked.
#[derive(Debug)]
struct Stalls {
    pauses: Pauses,
    stream: Stream,
    known: VecDeque<Range<Tick>>,
    /// Where the last known one ends.
    end: Instant,
}

/// What the monitor does in a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Reads and judges.
    Runs,
    /// Nothing.
    Stalls,
    /// It has just ended, or isn't there.
    Down {
        /// Whether it ended in this tick.
        ended: bool,
    },
    /// It begins anew, and then runs.
    Starts {
        /// Whether it takes over what was believed before.
        snapshot: bool,
    },
}

impl Inbox {
    /// Nothing for a monitor without troubles.
    pub(crate) fn new(scenario: &Scenario) -> Option<Self> {
        let mut troubles = scenario.monitor.clone();
        if troubles.is_none() {
            return None;
        }
        let ticks = |at: Span, length: Span| {
            let from = Instant::ORIGIN + at;
            from.tick_up()..(from + length).tick_up()
        };
        let (mut stalls, mut random) = (Vec::new(), Vec::new());
        for (stall, number) in troubles.stalls.iter().zip(0..) {
            match *stall {
                Stall::Once { at, length } => stalls.push(ticks(at, length)),
                Stall::Random(pauses) => {
                    let actor = Actor { node: number, ..Actor::MONITOR };
                    let stream = Stream::new(scenario.seed, actor, Purpose::Stall);
                    random.push(Stalls { pauses, stream, known: VecDeque::new(), end: Instant::ORIGIN });
                }
            }
        }
        troubles.clock_steps.sort_by_key(|step| step.at);
        let restarts = troubles.restarts.iter().map(|restart| (ticks(restart.at, restart.down), restart.snapshot));
        Some(Self {
            restarts: restarts.collect(),
            troubles,
            waiting: VecDeque::new(),
            stalls,
            random,
            down: false,
            seen: Instant::ORIGIN,
            credit: 0,
            noted: Tick::from_count(0),
            lost: 0,
            steps_told: 0,
            confession: Vec::new(),
        })
    }

    /// What the monitor does in this tick; ticks are asked for in order, some of them left out.
    pub(crate) fn doing(&mut self, tick: Tick) -> Doing {
        if let Some((times, snapshot)) = self.restarts.front().cloned().filter(|(times, _)| times.start <= tick) {
            if tick >= times.end {
                self.restarts.pop_front();
                self.down = false;
                self.begin(tick);
                return Doing::Starts { snapshot };
            }
            let ended = !core::mem::replace(&mut self.down, true);
            return Doing::Down { ended };
        }
        if self.awake(tick) != tick {
            return Doing::Stalls;
        }
        self.note_stalls(tick);
        self.random.iter_mut().for_each(|stalls| stalls.forget_before(tick));
        Doing::Runs
    }

    /// What the monitor has to be told before it judges at `tick`; the socket is empty by then. It stays until the
    /// next call.
    pub(crate) fn confess(&mut self, tick: Tick) -> &[(Instant, Trouble)] {
        // That none was lost is told too: it limits when the next ones were. Nothing is lost by a buffer without end.
        if self.troubles.buffer.is_some() {
            self.confession.push((tick.instant(), Trouble::Drops(core::mem::take(&mut self.lost))));
        }
        while let Some(step) = self.troubles.clock_steps.get(self.steps_told) {
            let at = (Instant::ORIGIN + step.at).tick_up();
            if at > tick {
                break;
            }
            self.steps_told += 1;
            // Less is what any clock is off by, and isn't noticed.
            if step.by > STEP_MIN {
                self.confession.push((at.instant(), Trouble::ClockStep));
            }
        }
        // Told in the order in which it happened, or rather was over.
        self.confession.sort_by_key(|(at, _)| *at);
        &self.confession
    }

    /// It has been told.
    pub(crate) fn absolve(&mut self) {
        self.confession.clear();
    }

    /// A new monitor, with a socket of its own.
    fn begin(&mut self, tick: Tick) {
        self.noted = tick;
        self.lost = 0;
        self.confession.clear();
        let before = |at: Span| (Instant::ORIGIN + at).tick_up() <= tick;
        self.steps_told = self.troubles.clock_steps.partition_point(|step| before(step.at));
    }

    /// Notes the stalls that were over by `tick`, in which it runs. Such as follow each other are one.
    fn note_stalls(&mut self, tick: Tick) {
        while let Some(start) = self.stall_between(self.noted, tick) {
            let end = self.awake(start);
            self.confession.push((end.instant(), Trouble::Stall(end.instant().since(start.instant()))));
            self.noted = end;
        }
        self.noted = tick;
    }

    /// The first tick from `from` on and before `until` that is in a stall. Those known reach up to `until`.
    fn stall_between(&self, from: Tick, until: Tick) -> Option<Tick> {
        let random = self.random.iter().flat_map(|stalls| &stalls.known);
        let stalls = self.stalls.iter().chain(random);
        stalls.filter(|times| times.end > from && times.start < until).map(|times| times.start.max(from)).min()
    }

    /// The tick after `now` in which something is to be done here, though nothing arrives.
    pub(crate) fn next(&mut self, now: Tick) -> Option<Tick> {
        let restart = self.restarts.front().map(|(times, _)| if self.down { times.end } else { times.start });
        let restart = restart.map(|tick| tick.max(after(now)));
        let read = (!self.waiting.is_empty()).then(|| self.awake(after(now)));
        restart.into_iter().chain(read).min()
    }

    /// The first tick from `tick` on in which the monitor that runs now does so. Nothing if it ends
    /// before, or isn't there.
    pub(crate) fn first_running(&mut self, tick: Tick) -> Option<Tick> {
        let awake = self.awake(tick);
        let ends = self.restarts.front().map(|(times, _)| times.start);
        (!self.down && ends.is_none_or(|ends| awake < ends)).then_some(awake)
    }

    /// The first tick from `tick` on in which the monitor isn't stalled.
    fn awake(&mut self, mut tick: Tick) -> Tick {
        loop {
            let within = |times: &&Range<Tick>| times.contains(&tick);
            let end = self.stalls.iter().find(within).map(|times| times.end);
            let end = end.or_else(|| self.random.iter_mut().find_map(|stalls| stalls.end_of(tick)));
            match end {
                Some(end) => tick = end,
                None => return tick,
            }
        }
    }

    /// Puts what arrived into the buffer; calls `lost` for each that finds it full.
    pub(crate) fn put(&mut self, arrivals: &[Arrival], mut lost: impl FnMut(&Arrival)) {
        let room = self.troubles.buffer.map_or(usize::MAX, |buffer| buffer as usize);
        for arrival in arrivals {
            if self.waiting.len() < room {
                self.waiting.push_back(*arrival);
            } else {
                self.lost += 1;
                lost(arrival);
            }
        }
    }

    /// Empties the buffer without reading it: the monitor has ended.
    pub(crate) fn lose(&mut self) -> impl Iterator<Item = Arrival> {
        self.waiting.drain(..)
    }

    /// Reads what waits and what has `arrived` just now, as far as the monitor's capacity goes;
    /// says whether that was everything. A buffer that is read as fast as it fills never overflows.
    pub(crate) fn read(
        &mut self,
        tick: Tick,
        arrived: &[Arrival],
        batch: &mut Vec<Arrival>,
        lost: impl FnMut(&Arrival),
    ) -> bool {
        batch.clear();
        match self.troubles.capacity {
            None => {
                batch.extend(self.waiting.drain(..));
                batch.extend_from_slice(arrived);
            }
            Some(capacity) => {
                self.put(arrived, lost);
                // Never a whole datagram is left over from before, so nothing is saved up.
                self.credit += u64::from(capacity);
                let most = (self.credit / 1_000) as usize;
                let read = most.min(self.waiting.len());
                batch.extend(self.waiting.drain(..read));
                self.credit =
                    if self.waiting.is_empty() { self.credit % 1_000 } else { self.credit - read as u64 * 1_000 };
            }
        }
        let now = tick.instant();
        for arrival in batch.iter_mut() {
            arrival.at = self.stamp(arrival.at, now);
        }
        let drained = self.waiting.is_empty();
        if drained {
            self.seen = now;
        }
        drained
    }

    /// When a datagram that is read `now` seems to have arrived.
    fn stamp(&self, at: Instant, now: Instant) -> Instant {
        let mut stamp = at;
        for step in &self.troubles.clock_steps {
            let when = Instant::ORIGIN + step.at;
            if at < when && when <= now {
                // Its age is the clock now less the clock then: too much by a step forward.
                let shifted = if step.forward {
                    stamp.since(Instant::ORIGIN + step.by)
                } else {
                    stamp.since(Instant::ORIGIN) + step.by
                };
                stamp = (Instant::ORIGIN + shifted).max(self.seen).min(now);
            }
        }
        stamp
    }
}

impl Stalls {
    /// Nobody asks for a tick before this one any more.
    fn forget_before(&mut self, tick: Tick) {
        while self.known.front().is_some_and(|times| times.end <= tick) {
            self.known.pop_front();
        }
    }

    /// The end of the stall that `tick` falls into, if it does.
    fn end_of(&mut self, tick: Tick) -> Option<Tick> {
        while self.end.tick_up() <= tick {
            let part = |span: Span, times: f64| Span::from_nanos((span.nanos() as f64 * times) as u64);
            let from = self.end + part(self.pauses.every, self.stream.exponential());
            // At least a tick, so that the search comes to an end.
            let length = part(self.pauses.length, self.stream.exponential()).max(Span::from_millis(1));
            self.end = from + length;
            self.known.push_back(from.tick_up()..self.end.tick_up());
        }
        self.known.iter().find(|times| times.contains(&tick)).map(|times| times.end)
    }
}

/// By how much the engine's clock has to be set for it to notice.
const STEP_MIN: Span = Span::from_millis(1);

fn after(tick: Tick) -> Tick {
    Tick::from_count(tick.count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(troubles: Troubles) -> Inbox {
        Inbox::new(&Scenario { monitor: troubles, ..Scenario::default() }).expect("it has troubles")
    }

    fn tick(count: u64) -> Tick {
        Tick::from_count(count)
    }

    fn arrival(millis: u64) -> Arrival {
        Arrival { at: tick(millis).instant(), node: 0, life: 1, seq: millis, due: None }
    }

    fn read(inbox: &mut Inbox, at: u64, arrived: &[Arrival]) -> (Vec<u64>, bool) {
        let mut batch = Vec::new();
        let drained = inbox.read(tick(at), arrived, &mut batch, |_| {});
        (batch.iter().map(|arrival| arrival.at.nanos() / 1_000_000).collect(), drained)
    }

    #[test]
    fn a_monitor_without_troubles_has_no_inbox() {
        assert!(Inbox::new(&Scenario::default()).is_none());
    }

    #[test]
    fn a_stall_is_a_time_in_which_nothing_is_done() {
        let stalls = vec!["3s@60s".parse().expect("a stall"), "1s@63s".parse().expect("a stall")];
        let mut inbox = inbox(Troubles { stalls, ..Troubles::default() });
        assert_eq!(inbox.doing(tick(59_999)), Doing::Runs);
        assert_eq!(inbox.doing(tick(60_000)), Doing::Stalls);
        inbox.put(&[arrival(60_000)], |_| panic!("there is room"));
        assert_eq!(inbox.next(tick(60_000)), Some(tick(64_000)));
        assert_eq!(inbox.doing(tick(63_999)), Doing::Stalls);
        assert_eq!(inbox.doing(tick(64_000)), Doing::Runs);
        assert_eq!(read(&mut inbox, 64_000, &[]), (vec![60_000], true));
        assert_eq!(inbox.next(tick(64_000)), None);
    }

    #[test]
    fn a_buffer_that_is_not_read_overflows_and_one_that_is_does_not() {
        let mut inbox = inbox(Troubles { buffer: Some(2), ..Troubles::default() });
        let three = [arrival(1), arrival(2), arrival(3)];
        let mut lost = Vec::new();
        inbox.put(&three, |arrival| lost.push(arrival.seq));
        assert_eq!(lost, [3]);
        assert_eq!(read(&mut inbox, 9, &three), (vec![1, 2, 1, 2, 3], true));
    }

    #[test]
    fn a_monitor_reads_as_much_as_it_can_and_not_more() {
        let mut inbox = inbox(Troubles { capacity: Some(1_500), ..Troubles::default() });
        let four = [1, 2, 3, 4].map(arrival);
        assert_eq!(read(&mut inbox, 5, &four), (vec![1], false));
        assert_eq!(inbox.next(tick(5)), Some(tick(6)));
        assert_eq!(read(&mut inbox, 6, &[]), (vec![2, 3], false));
        assert_eq!(read(&mut inbox, 7, &[]), (vec![4], true));
    }

    #[test]
    fn a_restart_has_an_end_a_time_between_and_a_beginning() {
        let restarts = vec!["60s,down=2s,snapshot=yes".parse().expect("a restart")];
        let mut inbox = inbox(Troubles { restarts, ..Troubles::default() });
        assert_eq!(inbox.next(tick(0)), Some(tick(60_000)));
        assert_eq!(inbox.doing(tick(60_000)), Doing::Down { ended: true });
        assert_eq!(inbox.doing(tick(60_001)), Doing::Down { ended: false });
        assert_eq!(inbox.next(tick(60_001)), Some(tick(62_000)));
        assert_eq!(inbox.doing(tick(62_000)), Doing::Starts { snapshot: true });
        assert_eq!((inbox.doing(tick(62_001)), inbox.next(tick(62_001))), (Doing::Runs, None));
    }

    #[test]
    fn a_clock_that_is_set_can_not_date_a_datagram_before_the_socket_was_empty_nor_after_now() {
        for (step, expected) in [("+1h@61s", 50_000), ("-1h@61s", 64_000), ("-1s@61s", 61_500), ("+1h@70s", 60_500)] {
            let clock_steps = vec![step.parse().expect("a step")];
            let mut inbox = inbox(Troubles { clock_steps, ..Troubles::default() });
            assert_eq!(read(&mut inbox, 50_000, &[]), (vec![], true));
            inbox.put(&[arrival(60_500)], |_| {});
            assert_eq!(read(&mut inbox, 64_000, &[]), (vec![expected], true), "{step}");
        }
    }

    fn told(inbox: &mut Inbox, at: u64) -> Vec<(u64, Trouble)> {
        let told = inbox.confess(tick(at)).iter().map(|(at, trouble)| (at.nanos() / 1_000_000, *trouble)).collect();
        inbox.absolve();
        told
    }

    #[test]
    fn the_monitor_is_told_of_stalls_whole_and_once_however_late_it_looks() {
        let stalls = ["3s@60s", "2s@62s", "1s@70s", "10s@99s"].map(|text| text.parse().expect("a stall"));
        let restarts = vec!["98s,down=2s".parse().expect("a restart")];
        let mut inbox = inbox(Troubles { stalls: stalls.into(), restarts, ..Troubles::default() });
        assert_eq!((inbox.doing(tick(59_999)), told(&mut inbox, 59_999)), (Doing::Runs, vec![]));
        assert_eq!(inbox.doing(tick(61_000)), Doing::Stalls);
        assert_eq!(inbox.doing(tick(90_000)), Doing::Runs);
        let stall = |end: u64, secs| (end, Trouble::Stall(Span::from_secs(secs)));
        assert_eq!(told(&mut inbox, 90_000), [stall(64_000, 4), stall(71_000, 1)]);
        assert_eq!((inbox.doing(tick(90_001)), told(&mut inbox, 90_001)), (Doing::Runs, vec![]));
        // Of the last one the new monitor knows what it was there for.
        assert_eq!(inbox.doing(tick(98_000)), Doing::Down { ended: true });
        assert_eq!(inbox.doing(tick(100_000)), Doing::Starts { snapshot: false });
        assert_eq!((inbox.doing(tick(109_000)), told(&mut inbox, 109_000)), (Doing::Runs, vec![stall(109_000, 9)]));
    }

    #[test]
    fn it_is_told_of_drops_and_steps_when_it_has_read_everything() {
        let clock_steps = vec!["-1h@3s".parse().expect("a step"), "+1ms@2s".parse().expect("a step")];
        let mut inbox = inbox(Troubles { buffer: Some(2), clock_steps, ..Troubles::default() });
        inbox.put(&[arrival(1), arrival(2), arrival(3)], |_| {});
        let drops = |at: u64, datagrams| (at, Trouble::Drops(datagrams));
        assert_eq!(told(&mut inbox, 2_500), [drops(2_500, 1)]);
        assert_eq!(told(&mut inbox, 9_000), [(3_000, Trouble::ClockStep), drops(9_000, 0)]);
        assert_eq!(told(&mut inbox, 9_001), [drops(9_001, 0)]);
    }

    #[test]
    fn random_stalls_come_as_often_and_last_as_long_as_was_asked_for() {
        let stalls = vec!["every=900ms,length=100ms".parse().expect("stalls")];
        let mut inbox = inbox(Troubles { stalls, ..Troubles::default() });
        let stalled = (0..1_000_000).filter(|at| inbox.doing(tick(*at)) == Doing::Stalls).count();
        assert!((90_000..112_000).contains(&stalled), "{stalled}");
    }
}
