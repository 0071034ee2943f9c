//! Measures a run while it runs: facts and verdicts come in, sums come out.
//!
//! A node is observed from [`WARM_UP`] intervals after its life was first heard of until that life
//! ends. What suspicions and failures meanwhile are called is the business of [`qos`](crate::qos).

use systole_core::{Instant, Liveness, Span};

use crate::estimate::BATCHES;
use crate::judge::Verdict;
use crate::qos::{Batch, NodeQos, Tally};
use crate::random::Actor;
use crate::scenario::{Group, Scenario};
use crate::slice::Slice;
use crate::truth::{Fact, Truth};

/// A life is observed from so many intervals after it was first heard of, or from a tenth of a life's mean
/// length if that is less: what a detector must learn first is not held against it.
pub const WARM_UP: u64 = 10;

/// Measures a run while it runs.
#[derive(Debug)]
pub(crate) struct Meter {
    records: Vec<Record>,
    groups: Vec<Shape>,
    tallies: Vec<Tally>,
    /// Whether anything may withhold a verdict.
    withholds: bool,
    /// The longest time that a verdict on a dead node was withheld.
    dead_longest: Span,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Of each group.
    pub(crate) groups: Vec<Tally>,
    /// Of each node.
    pub(crate) nodes: Vec<NodeQos>,
    /// The longest time that a verdict on a dead node was withheld.
    pub(crate) dead_longest: Span,
}

/// How a run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Everybody was judged.
    Done,
    /// It was cut off as it came to its end, and only those who died just before weren't judged.
    Cut,
    /// Somebody stopped it.
    Stopped,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    /// Which of the batches it belongs to, before its time is cut.
    row: u32,
    truth: Truth,
    belief: Liveness,
    /// Since when it is suspect or failed, if it is.
    since: Instant,
    /// From when on it is observed: set when a life is first heard of.
    open: Option<Instant>,
    /// Whether it crashed and the crash counts.
    awaited: bool,
    suspected: Option<Instant>,
    /// How much later it was suspected than by the settings alone.
    excused: Span,
    failed: Option<Instant>,
    qos: NodeQos,
}

/// How the nodes of one group are observed.
#[derive(Clone, Copy, Debug)]
struct Shape {
    warm_up: Span,
    confirm: Span,
    /// How long it can take at most from a crash to the failure, if nothing is withheld.
    found_within: Span,
    cuts: Cuts,
}

/// How a run is cut into batches: by node where there are enough, else each node's time as well.
#[derive(Clone, Copy, Debug)]
struct Cuts {
    per_node: usize,
    width: Span,
}

impl Meter {
    pub(crate) fn new(scenario: &Scenario, slice: &Slice) -> Self {
        let record = |actor: Actor| Record {
            row: actor.node % BATCHES as u32,
            truth: Truth::default(),
            belief: Liveness::Unseen,
            since: Instant::ORIGIN,
            open: None,
            awaited: false,
            suspected: None,
            excused: Span::ZERO,
            failed: None,
            qos: NodeQos { group: actor.group, ..NodeQos::default() },
        };
        Self {
            records: slice.actors().map(record).collect(),
            groups: scenario.groups.iter().map(Shape::new).collect(),
            tallies: scenario.groups.iter().map(Tally::of_group).collect(),
            withholds: scenario.gates.couple() || (scenario.gates.told && !scenario.monitor.is_none()),
            dead_longest: Span::ZERO,
        }
    }

    pub(crate) fn fact(&mut self, at: Instant, node: u32, fact: Fact) {
        let before = self.records[node as usize].truth;
        match before {
            Truth::Up(_) => self.close(node, at),
            Truth::Crashed(since) => self.conclude(node, since, at),
            Truth::Unborn | Truth::Left | Truth::Stopped => {}
        }
        let record = &mut self.records[node as usize];
        let warm_up = self.groups[record.qos.group as usize].warm_up;
        record.truth = before.after(fact, at);
        match fact {
            // Nobody noticed that it was away: the new life is heard of at once.
            Fact::Began => record.open = (record.belief == Liveness::Alive).then_some(at + warm_up),
            Fact::Crashed => {
                record.awaited = record.open.is_some();
                record.qos.crashes += u64::from(record.awaited);
                let stood = matches!(record.belief, Liveness::Suspect | Liveness::Failed);
                record.suspected = stood.then_some(at);
                record.failed = (record.belief == Liveness::Failed).then_some(at);
            }
            Fact::Left | Fact::Stopped => record.open = None,
        }
    }

    pub(crate) fn verdict(&mut self, verdict: &Verdict) {
        let Verdict { at, node, from: _, to, blame, withheld } = *verdict;
        self.note_suspected(node, at);
        let record = &mut self.records[node as usize];
        let warm_up = self.groups[record.qos.group as usize].warm_up;
        record.belief = to;
        record.since = at;
        record.excused = withheld;
        match record.truth {
            Truth::Up(_) => match (record.open, to) {
                (None, Liveness::Alive) => record.open = Some(at + warm_up),
                (Some(open), Liveness::Suspect) if at >= open => {
                    record.qos.mistakes += 1;
                    self.batch(node, at).mistakes += 1;
                    self.tally(node).mistakes.count(blame);
                }
                (Some(open), Liveness::Failed) if at >= open => {
                    record.qos.false_failures += 1;
                    self.batch(node, at).failures += 1;
                    self.tally(node).failures.count(blame);
                }
                (_, Liveness::Unseen | Liveness::Alive | Liveness::Suspect | Liveness::Failed | Liveness::Left) => {}
            },
            Truth::Crashed(_) => match to {
                Liveness::Suspect => record.suspected = Some(at),
                Liveness::Failed => {
                    record.failed = Some(at);
                    self.dead_longest = self.dead_longest.max(withheld);
                }
                Liveness::Alive => (record.suspected, record.failed) = (None, None),
                Liveness::Unseen | Liveness::Left => {}
            },
            Truth::Unborn | Truth::Left | Truth::Stopped => {}
        }
    }

    /// The monitor began anew at `at` and believes nothing any more. What it had found is found.
    pub(crate) fn forgotten(&mut self, at: Instant) {
        for node in 0..self.records.len() as u32 {
            self.note_suspected(node, at);
            self.records[node as usize].belief = Liveness::Unseen;
        }
    }

    /// What was measured, when the run has come to `now`.
    pub(crate) fn finish(mut self, now: Instant, ended: Ended) -> Measured {
        for node in 0..self.records.len() as u32 {
            let record = &mut self.records[node as usize];
            let found_within = self.groups[record.qos.group as usize].found_within;
            match record.truth {
                Truth::Up(_) => self.close(node, now),
                // Whether it would have been found is not known.
                Truth::Crashed(since)
                    if ended == Ended::Stopped || (ended == Ended::Cut && since + found_within >= now) =>
                {
                    record.qos.crashes -= u64::from(record.awaited);
                }
                Truth::Crashed(since) => self.conclude(node, since, now),
                Truth::Unborn | Truth::Left | Truth::Stopped => {}
            }
        }
        for record in &self.records {
            let tally = &mut self.tallies[record.qos.group as usize];
            tally.crashes += record.qos.crashes;
            tally.missed += record.qos.missed;
        }
        Measured {
            groups: self.tallies,
            nodes: self.records.iter().map(|record| record.qos).collect(),
            dead_longest: self.dead_longest,
        }
    }

    /// Ends the observation of a life at `at`.
    fn close(&mut self, node: u32, at: Instant) {
        self.note_suspected(node, at);
        let Some(open) = self.records[node as usize].open.filter(|open| *open < at) else { return };
        let record = &mut self.records[node as usize];
        record.qos.up = record.qos.up + at.since(open);
        self.spread(node, open, at, |batch| &mut batch.up);
    }

    /// Books the time until `at` as suspected if it was, within what is observed.
    fn note_suspected(&mut self, node: u32, at: Instant) {
        let record = &mut self.records[node as usize];
        let (Truth::Up(_), Some(open)) = (record.truth, record.open) else { return };
        let from = record.since.max(open);
        if matches!(record.belief, Liveness::Suspect | Liveness::Failed) && from < at {
            record.qos.suspected = record.qos.suspected + at.since(from);
            self.spread(node, from, at, |batch| &mut batch.suspected);
        }
    }

    /// A crash is over at `now`: the node is back, or the run is.
    fn conclude(&mut self, node: u32, crashed: Instant, now: Instant) {
        let record = &mut self.records[node as usize];
        if self.withholds && record.belief == Liveness::Suspect {
            // It was never failed: what was withheld is known by when it was due.
            let confirm = self.groups[record.qos.group as usize].confirm;
            self.dead_longest = self.dead_longest.max((now + record.excused).since(record.since + confirm));
        }
        if !core::mem::take(&mut record.awaited) {
            return;
        }
        let (suspected, failed) = (record.suspected, record.failed);
        record.qos.missed += u64::from(suspected.is_none());
        let tally = self.tally(node);
        if let Some(at) = suspected {
            tally.suspected_after.note(at.since(crashed));
        }
        if let Some(at) = failed {
            tally.failed_after.note(at.since(crashed));
        }
    }

    /// Divides a time among the cuts that it lies in.
    fn spread(&mut self, node: u32, mut from: Instant, to: Instant, field: fn(&mut Batch) -> &mut u128) {
        let cuts = self.groups[self.records[node as usize].qos.group as usize].cuts;
        while from < to {
            let end = cuts.end(from).min(to);
            *field(self.batch(node, from)) += u128::from(end.since(from).nanos());
            from = end;
        }
    }

    fn batch(&mut self, node: u32, at: Instant) -> &mut Batch {
        let Record { row, qos: NodeQos { group, .. }, .. } = self.records[node as usize];
        let cuts = self.groups[group as usize].cuts;
        &mut self.tallies[group as usize].batches[row as usize * cuts.per_node + cuts.of(at)]
    }

    fn tally(&mut self, node: u32) -> &mut Tally {
        &mut self.tallies[self.records[node as usize].qos.group as usize]
    }
}

impl Shape {
    fn new(group: &Group) -> Self {
        let nodes = u64::from(group.nodes);
        let per_node = (BATCHES / group.nodes as usize).max(1);
        let (beats, planned) = (group.heartbeats / nodes, group.crashes.div_ceil(nodes));
        // What comes by chance counts as on average; a float cast saturates.
        let lives = planned + libm::ceil(group.deaths()) as u64 + 1;
        let away = Span::from_nanos((group.away_s() * 1e9) as u64);
        let length = group.interval * beats + group.downtime() * planned + away;
        Self {
            confirm: group.confirm.of(group.interval),
            found_within: group.found_within(),
            warm_up: group.interval * WARM_UP.min(beats / lives / 10),
            cuts: Cuts { per_node, width: Span::from_nanos((length.nanos() / per_node as u64).max(1)) },
        }
    }
}

impl Cuts {
    /// Which part of a node's time this is in; the last one has no end.
    fn of(self, at: Instant) -> usize {
        ((at.nanos() / self.width.nanos()) as usize).min(self.per_node - 1)
    }

    fn end(self, at: Instant) -> Instant {
        let cut = self.of(at);
        if cut + 1 == self.per_node {
            Instant::from_nanos(u64::MAX)
        } else {
            Instant::ORIGIN + self.width * (cut as u64 + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fate::Blame;
    use crate::qos::Qos;
    use crate::scenario::Gates;
    use Liveness::{Alive, Failed, Suspect, Unseen};

    fn at(secs: f64) -> Instant {
        Instant::from_nanos((secs * 1e9) as u64)
    }

    /// One node, observed from 10 s on: 1,000 heartbeats, one each second.
    fn meter() -> Meter {
        let scenario = Scenario::from(Group { heartbeats: 1_000, crashes: 1, ..Group::default() });
        let mut meter = Meter::new(&scenario, &Slice::new(&scenario, 0..1));
        meter.fact(at(0.0), 0, Fact::Began);
        believe(&mut meter, 0.0, Unseen, Alive);
        meter
    }

    fn believe(meter: &mut Meter, secs: f64, from: Liveness, to: Liveness) {
        let blame = Some(Blame::Loss);
        meter.verdict(&Verdict { at: at(secs), node: 0, from, to, blame, withheld: Span::ZERO });
    }

    fn finish(meter: Meter, secs: f64, stopped: bool) -> (Qos, Vec<NodeQos>) {
        let ended = if stopped { Ended::Stopped } else { Ended::Done };
        let Measured { groups, nodes, .. } = meter.finish(at(secs), ended);
        (groups[0].qos(), nodes)
    }

    fn close_to(value: Option<f64>, expected: f64) -> bool {
        value.is_some_and(|value| (value - expected).abs() < 1e-9)
    }

    #[test]
    fn mistakes_are_measured_from_the_warm_up_until_the_crash() {
        let mut meter = meter();
        // Before the warm-up is over: no mistake, and only what reaches beyond it counts.
        believe(&mut meter, 9.0, Alive, Suspect);
        believe(&mut meter, 10.5, Suspect, Alive);
        believe(&mut meter, 100.0, Alive, Suspect);
        believe(&mut meter, 102.0, Suspect, Failed);
        believe(&mut meter, 103.0, Failed, Alive);
        meter.fact(at(510.0), 0, Fact::Crashed);
        believe(&mut meter, 512.25, Alive, Suspect);
        believe(&mut meter, 515.25, Suspect, Failed);
        let (qos, nodes) = finish(meter, 600.0, false);
        assert_eq!((qos.mistakes_by_cause.loss, qos.false_failures_by_cause.loss), (1, 1));
        assert_eq!((qos.mistakes, qos.false_failures, qos.crashes, qos.missed), (1, 1, 1, 0));
        assert_eq!((nodes[0].up, nodes[0].suspected), (Span::from_secs(500), Span::from_millis(3_500)));
        assert!(close_to(qos.query_accuracy.value, 1.0 - 3.5 / 500.0));
        assert!(close_to(qos.mistake_recurrence_s.value, 500.0));
        assert!(close_to(qos.mistake_duration_s.value, 3.5));
        assert!(close_to(qos.detection_time_s.max, 2.25) && close_to(qos.failure_time_s.mean, 5.25));
    }

    #[test]
    fn a_suspicion_that_a_late_heartbeat_refutes_has_not_found_the_crash() {
        let mut meter = meter();
        believe(&mut meter, 99.0, Alive, Suspect);
        meter.fact(at(100.0), 0, Fact::Crashed);
        believe(&mut meter, 101.0, Suspect, Alive);
        believe(&mut meter, 104.0, Alive, Suspect);
        let (qos, _) = finish(meter, 200.0, false);
        assert!(close_to(qos.detection_time_s.max, 4.0));
    }

    #[test]
    fn a_suspicion_that_stood_already_took_no_time_and_none_at_all_is_a_miss() {
        let mut stood = meter();
        believe(&mut stood, 99.0, Alive, Suspect);
        stood.fact(at(100.0), 0, Fact::Crashed);
        let (qos, _) = finish(stood, 200.0, false);
        assert_eq!((qos.detection_time_s.max, qos.missed), (Some(0.0), 0));
        let mut missed = meter();
        missed.fact(at(100.0), 0, Fact::Crashed);
        missed.fact(at(101.0), 0, Fact::Began);
        let (qos, _) = finish(missed, 200.0, false);
        assert_eq!((qos.crashes, qos.missed, qos.detection_time_s.count), (1, 1, 0));
    }

    #[test]
    fn a_run_that_was_stopped_does_not_judge_what_was_still_open() {
        let mut meter = meter();
        meter.fact(at(100.0), 0, Fact::Crashed);
        let (qos, _) = finish(meter, 100.5, true);
        assert_eq!((qos.crashes, qos.missed), (0, 0));
    }

    #[test]
    fn a_run_that_was_cut_off_judges_those_who_died_early_enough() {
        for (crashed, expected) in [(100.0, (1, 1)), (195.0, (0, 0))] {
            let mut meter = meter();
            meter.fact(at(crashed), 0, Fact::Crashed);
            believe(&mut meter, crashed + 3.0, Alive, Suspect);
            let Measured { groups, .. } = meter.finish(at(200.0), Ended::Cut);
            let qos = groups[0].qos();
            assert_eq!((qos.crashes, qos.detection_time_s.count), expected, "{crashed}");
        }
    }

    #[test]
    fn the_longest_wait_of_the_dead_is_known_by_the_verdict_or_by_who_came_back_before_it() {
        let group = Group { heartbeats: 1_000, ..Group::default() };
        let gates = Gates { guard: Some(Default::default()), ..Gates::default() };
        let scenario = Scenario { gates, ..group.into() };
        let run = |failed: Option<f64>| {
            let mut meter = Meter::new(&scenario, &Slice::new(&scenario, 0..1));
            meter.fact(at(0.0), 0, Fact::Began);
            believe(&mut meter, 0.0, Unseen, Alive);
            meter.fact(at(100.0), 0, Fact::Crashed);
            let verdict = |secs: f64, from, to, withheld: f64| Verdict {
                at: at(secs),
                node: 0,
                from,
                to,
                blame: None,
                withheld: Span::from_millis((withheld * 1e3) as u64),
            };
            // Suspected 2 s later than by the settings; due 3 s after it should have been.
            meter.verdict(&verdict(105.0, Alive, Suspect, 2.0));
            if let Some(failed) = failed {
                meter.verdict(&verdict(failed, Suspect, Failed, failed - 106.0));
            }
            meter.fact(at(200.0), 0, Fact::Began);
            meter.finish(at(300.0), Ended::Done).dead_longest
        };
        assert_eq!((run(Some(136.0)), run(None)), (Span::from_secs(30), Span::from_secs(94)));
    }

    #[test]
    fn a_monitor_that_begins_anew_has_forgotten_whom_it_suspected_and_keeps_what_it_found() {
        let mut meter = meter();
        believe(&mut meter, 100.0, Alive, Suspect);
        meter.forgotten(at(103.0));
        believe(&mut meter, 104.0, Unseen, Alive);
        meter.fact(at(200.0), 0, Fact::Crashed);
        believe(&mut meter, 202.0, Alive, Suspect);
        meter.forgotten(at(203.0));
        let (qos, nodes) = finish(meter, 300.0, false);
        assert_eq!((nodes[0].suspected, qos.missed), (Span::from_secs(3), 0));
        assert!(close_to(qos.detection_time_s.max, 2.0));
    }

    #[test]
    fn the_warm_up_is_short_where_lives_are_whatever_ends_them() {
        let warm_up = |group: &Group| Shape::new(group).warm_up.secs_f64();
        let plain = Group { heartbeats: 1_000, ..Group::default() };
        assert!((warm_up(&plain) - 10.0).abs() < 1e-9);
        let incident = || "0.9@100s".parse().expect("an incident");
        for group in [
            Group { crashes: 19, ..plain.clone() },
            Group { lifetime: "exp:53s".parse().ok(), ..plain.clone() },
            Group { incidents: (0..21).map(|_| incident()).collect(), ..plain.clone() },
        ] {
            assert!((warm_up(&group) - 5.0).abs() < 1e-9, "{}", warm_up(&group));
        }
    }

    #[test]
    fn a_run_is_cut_into_equal_parts_however_much_of_it_nodes_are_away() {
        let plain = Group { heartbeats: 50_000, ..Group::default() };
        let law = |law: &str| law.parse().ok();
        for group in [
            plain.clone(),
            Group { crashes: 500, down: Some(Span::from_secs(30)), ..plain.clone() },
            Group { lifetime: law("exp:100s"), outage: law("gamma:mean=200s,shape=0.5"), ..plain.clone() },
            Group { lifetime: law("weibull:mean=500s,shape=0.45"), down: Some(Span::from_secs(90)), ..plain.clone() },
            Group { incidents: vec!["1@1h,down=1d".parse().expect("an incident")], ..plain.clone() },
            Group { pauses: "every=100s,length=60s".parse().ok(), ..plain.clone() },
        ] {
            let cuts = Shape::new(&group).cuts;
            let expected = cuts.width.secs_f64() * cuts.per_node as f64;
            let span = crate::run::run(&group.clone().into(), |_| {}).span_s;
            assert!((0.9..1.1).contains(&(span / expected)), "{:?}: {span} s, {expected} s", group.parameters());
        }
    }

    #[test]
    fn what_was_measured_apart_adds_up_to_what_was_measured_together() {
        let scenario = Scenario::from(Group { nodes: 4, heartbeats: 4_000, crashes: 4, ..Group::default() });
        let tell = |meter: &mut Meter, node: u32, name: u32| {
            let at = |secs: f64| at(secs + 0.1 * f64::from(name));
            let mut believe = |secs: f64, from, to| {
                meter.verdict(&Verdict {
                    at: at(secs),
                    node,
                    from,
                    to,
                    blame: Some(Blame::Burst),
                    withheld: Span::ZERO,
                });
            };
            believe(0.0, Unseen, Alive);
            believe(100.0, Alive, Suspect);
            believe(103.0, Suspect, Alive);
        };
        let measure = |places: core::ops::Range<u32>| {
            let mut meter = Meter::new(&scenario, &Slice::new(&scenario, places.clone()));
            for (node, name) in (0..).zip(places) {
                meter.fact(at(0.0), node, Fact::Began);
                tell(&mut meter, node, name);
                meter.fact(at(900.0 + f64::from(name)), node, Fact::Crashed);
            }
            meter.finish(at(2_000.0), Ended::Done).groups.remove(0)
        };
        let mut apart = measure(2..4);
        apart.add_part(&measure(0..1));
        apart.add_part(&measure(1..2));
        assert_eq!(apart.qos(), measure(0..4).qos());
        let alone = apart.qos();
        assert_eq!(Tally::together(&[apart]), alone);
    }
}
