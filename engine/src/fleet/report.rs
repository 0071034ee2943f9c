//! What a fleet did, and how well the monitor kept up: one record, for people as a table and for programs as JSON.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;
use systole_core::{Instant, Span};

use super::delay::Delay;
use super::drive::{Drive, Tally};
use super::loss::Loss;
use super::population::Census;
use super::quality::{Quality, Times};
use super::roster::Roster;
use super::verdicts::{Findings, Wrong};
use super::watch::Last;
use crate::clock;
use crate::profile::Whole;

/// Everything that can be said of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// Where the heartbeats went.
    pub to: String,
    /// How many nodes there were.
    pub nodes: u32,
    /// In how many groups.
    pub groups: usize,
    /// How often each beat.
    pub interval_ms: u64,
    /// Repeats the choices.
    pub seed: u64,
    /// Which heartbeats were to get lost, such as `0.01`.
    pub loss: String,
    /// How long the others were to be on their way, such as `exp:20ms`.
    pub delay: String,
    /// How long it ran.
    pub ran_ms: u64,
    /// Heartbeats sent.
    pub heartbeats_sent: u64,
    /// Per second, over the whole run.
    pub heartbeats_per_second: f64,
    /// Heartbeats lost on purpose.
    pub heartbeats_lost: u64,
    /// Heartbeats of nodes that were cut off.
    pub heartbeats_cut: u64,
    /// Heartbeats left out because this process stalled.
    pub heartbeats_skipped: u64,
    /// How late this process sent a heartbeat at the worst.
    pub behind_max_ms: f64,
    /// How late heartbeats left this process, compared with the plan, delays included: a sender's share in the lateness
    /// that the monitor sees.
    pub sent_late_ms: Late,
    /// How often nobody listened at the other end.
    pub refused: u64,
    /// Datagrams that the system wouldn't send.
    pub unsent: u64,
    /// Why it wouldn't, the last time.
    pub unsent_reason: Option<String>,
    /// What is missing since it was stopped before its end; nothing if it wasn't.
    pub stopped_early: Option<StoppedEarly>,
    /// What was done to the nodes.
    pub done: Deeds,
    /// The nodes at the end.
    pub truth: Nodes,
    /// How the monitor's verdicts compare; nothing without `--events`.
    pub verdicts: Option<Verdicts>,
}

/// What a run that was stopped before its end didn't come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StoppedEarly {
    /// Things that were to be done to the nodes.
    pub planned: usize,
    /// Of those, how many weren't.
    pub undone: usize,
    /// Silent nodes whose verdicts weren't due yet; nothing where verdicts weren't checked.
    pub pending: u64,
}

/// How many nodes something was done to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Deeds {
    /// Stopped without a word.
    pub killed: u64,
    /// Began a new life.
    pub restarted: u64,
    /// Were cut off for a while.
    pub partitioned: u64,
    /// Said goodbye.
    pub goodbyes: u64,
}

/// The nodes as they really are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Nodes {
    /// Beating and heard.
    pub alive: u32,
    /// Beating, and not heard.
    pub hidden: u32,
    /// Killed.
    pub dead: u32,
    /// Gone on purpose.
    pub left: u32,
}

/// The monitor's verdicts against the truth.
#[derive(Clone, Debug, Serialize)]
pub struct Verdicts {
    /// Silences that had to be noticed.
    pub expected: u64,
    /// Silences that were.
    pub failed: u64,
    /// Silences at the end that weren't due yet.
    pub pending: u64,
    /// Had to be noticed and weren't.
    pub missed: u64,
    /// Noticed after the bound.
    pub late: u64,
    /// Noticed before the monitor's own deadline.
    pub early: u64,
    /// Failed without reason.
    #[serde(rename = "false")]
    pub false_failures: u64,
    /// Failed twice in one silence.
    pub twice: u64,
    /// Failed nodes that were heard again.
    pub returns: u64,
    /// Of those, how many didn't become alive.
    pub not_back: u64,
    /// Nodes that became alive though nothing of them was sent.
    pub ghosts: u64,
    /// Goodbyes that had to be noticed.
    pub goodbyes: u64,
    /// Goodbyes that were.
    pub left: u64,
    /// Goodbyes that weren't.
    pub not_left: u64,
    /// Left without a goodbye.
    pub left_falsely: u64,
    /// From when the last heartbeat was sent to "failed".
    pub detection_ms: Points,
    /// From the crash to "failed".
    pub since_crash_ms: Points,
    /// From the instant that the monitor waited for to "failed".
    pub lateness_ms: Points,
    /// Suspicions, as a simulation would count them.
    pub quality: Quality,
    /// The worst detection that the settings promise; nothing where they promise none.
    pub bound_ms: Option<u64>,
    /// What a verdict may be late besides.
    pub slack_ms: u64,
    /// By how much the slowest verdict stayed below its bound.
    pub to_bound_ms: Option<i64>,
    /// Events that may have mattered and were no longer kept.
    pub events_missed: u64,
    /// Datagrams that the kernel dropped at the monitor.
    pub datagrams_dropped: u64,
    /// Nodes that the monitor holds for alive.
    pub alive: u64,
    /// Nodes that it suspects.
    pub suspect: u64,
    /// Nodes that beat and that it holds neither for alive nor for anything that was complained of.
    pub alive_missing: u64,
    /// Nodes that it holds for alive beyond those that can be ours: others in the same groups.
    pub alive_others: u64,
    /// The first things that are wrong, in words.
    pub complaints: Vec<String>,
}

/// Points of a distribution, in milliseconds; zero where nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Points {
    /// Half are below.
    pub p50: f64,
    /// Nine in ten are below.
    pub p90: f64,
    /// 99 of 100 are below.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

/// A distribution of latenesses, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Late {
    /// How many.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation.
    pub sd: f64,
    /// Half are below.
    pub p50: f64,
    /// Nine in ten are below.
    pub p90: f64,
    /// 99 of 100 are below.
    pub p99: f64,
    /// 999 of 1,000 are below.
    pub p999: f64,
    /// The latest.
    pub max: f64,
}

impl Late {
    fn of(whole: &Whole) -> Self {
        let at = |quantile| ms(whole.late_at(quantile));
        let (mean, sd) = whole.late_mean_sd_ms();
        let (count, max) = (whole.recent(), ms(whole.late_max()));
        Self { count, mean, sd, p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max }
    }
}

/// What a run was asked to be.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Where the heartbeats go.
    pub(super) to: String,
    /// How often each node beats.
    pub(super) interval: Span,
    /// Where the choices come from.
    pub(super) seed: u64,
    /// Which heartbeats get lost.
    pub(super) loss: Loss,
    /// How long the others are on their way.
    pub(super) delay: Delay,
    /// What a verdict may be late.
    pub(super) slack: Span,
    /// How many acts there were to be.
    pub(super) planned: usize,
    /// How many there weren't.
    pub(super) undone: usize,
    /// Whether it came to its end.
    pub(super) whole: bool,
    /// How many nodes were heard when it ended.
    pub(super) heard: u64,
}

impl Report {
    /// Puts together what is known at the end.
    pub(super) fn new(
        asked: &Asked,
        drive: &Drive,
        done: Deeds,
        ran: Span,
        seen: Option<(&Last, &Findings, &Quality)>,
    ) -> Self {
        let Tally { sent, lost, cut, goodbyes: _, unsent } = drive.tally();
        let Census { reaching, hidden, dead, left } = drive.census();
        let verdicts = seen.map(|(last, findings, quality)| {
            let beating = u64::from(reaching) + u64::from(hidden);
            // The fleet beats on while the monitor counts; who was heard first in that time may be missing.
            let heard = asked.heard.min(u64::from(reaching));
            // A node with a few lost or late heartbeats in a row is suspected, and rightly so; who was failed falsely
            // has been complained of already.
            let clear = asked.loss == Loss::None && asked.delay == Delay::NONE;
            let suspects = if clear { 0 } else { last.suspect };
            let believed = last.alive + suspects + findings.count(Wrong::False);
            let alive = Alive {
                missing: heard.saturating_sub(believed),
                others: last.alive.saturating_sub(beating + findings.pending),
            };
            Verdicts::new(last, findings, quality, drive.roster(), asked.slack, alive)
        });
        let stopped_early = (!asked.whole).then(|| StoppedEarly {
            planned: asked.planned,
            undone: asked.undone,
            pending: verdicts.as_ref().map_or(0, |verdicts| verdicts.pending),
        });
        Self {
            ok: verdicts.as_ref().is_none_or(Verdicts::ok),
            to: asked.to.clone(),
            nodes: drive.roster().len(),
            groups: drive.roster().groups().len(),
            interval_ms: asked.interval.millis(),
            seed: asked.seed,
            loss: asked.loss.to_string(),
            delay: asked.delay.to_string(),
            ran_ms: ran.millis(),
            heartbeats_sent: sent,
            heartbeats_per_second: sent as f64 / ran.secs_f64().max(1e-3),
            heartbeats_lost: lost,
            heartbeats_cut: cut,
            heartbeats_skipped: drive.pace().skipped(),
            behind_max_ms: ms(drive.pace().behind()),
            sent_late_ms: Late::of(&drive.late()),
            refused: drive.refused(),
            unsent,
            unsent_reason: drive.error().map(ToString::to_string),
            stopped_early,
            done,
            truth: Nodes { alive: reaching, hidden, dead, left },
            verdicts,
        }
    }
}

impl Verdicts {
    fn new(last: &Last, findings: &Findings, quality: &Quality, roster: &Roster, slack: Span, alive: Alive) -> Self {
        let count = |wrong| findings.count(wrong);
        let mut complaints: Vec<String> = Vec::new();
        if last.missed > 0 {
            complaints.push(format!(
                "{} events were no longer kept when they were asked for, so the verdicts can't be checked; \
                 raise `keep` in [events] of the monitor's configuration",
                last.missed
            ));
        }
        if alive.missing > 0 {
            complaints.push(format!(
                "{} fewer alive than there are: the monitor holds {} for alive and {} for suspect",
                counted(alive.missing, "node"),
                last.alive,
                last.suspect
            ));
        }
        complaints.extend(findings.complaints.iter().map(|complaint| {
            let event = complaint.event.map_or(String::new(), |event| format!(" (event {event})"));
            format!("{} {} at {}{event}", roster.name(complaint.node), complaint.wrong.sentence(), time(complaint.at))
        }));
        Self {
            expected: findings.expected,
            failed: findings.failed,
            pending: findings.pending,
            missed: count(Wrong::Missed),
            late: count(Wrong::Late),
            early: count(Wrong::Early),
            false_failures: count(Wrong::False),
            twice: count(Wrong::Twice),
            returns: findings.returns,
            not_back: count(Wrong::NotBack),
            ghosts: count(Wrong::Ghost),
            goodbyes: findings.goodbyes,
            left: findings.left,
            not_left: count(Wrong::NotLeft),
            left_falsely: count(Wrong::LeftFalsely),
            detection_ms: Points::of(&findings.detection),
            since_crash_ms: Points::of(&findings.since_crash),
            lateness_ms: Points::of(&findings.lateness),
            quality: quality.clone(),
            bound_ms: last.bounds.iter().flatten().max().map(|bound| bound.nanos().div_ceil(1_000_000)),
            slack_ms: slack.millis(),
            to_bound_ms: findings.to_bound_ms,
            events_missed: last.missed,
            datagrams_dropped: last.dropped,
            alive: last.alive,
            suspect: last.suspect,
            alive_missing: alive.missing,
            alive_others: alive.others,
            complaints,
        }
    }

    /// Whether nothing is wrong.
    pub const fn ok(&self) -> bool {
        self.complaints.is_empty()
    }

    /// How many verdicts were wrong or missing.
    pub const fn wrong(&self) -> u64 {
        self.missed
            + self.late
            + self.early
            + self.false_failures
            + self.twice
            + self.not_back
            + self.ghosts
            + self.not_left
            + self.left_falsely
            + self.alive_missing
    }

    /// What isn't right, in a few words; only for what isn't.
    pub fn sentence(&self) -> String {
        let lost = (self.events_missed > 0).then(|| format!("{} UNREADABLE", counted(self.events_missed, "event")));
        let wrong = (self.wrong() > 0).then(|| format!("{} WRONG OR MISSING", thousands(self.wrong())));
        let alive = (self.alive_missing > 0)
            .then(|| format!("among them {} not held for alive", counted(self.alive_missing, "living node")));
        [lost, wrong, alive].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// How the monitor's count of living nodes differs from what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Alive {
    missing: u64,
    others: u64,
}

impl Points {
    fn of(microseconds: &Histogram<u64>) -> Self {
        let at = |quantile| microseconds.value_at_quantile(quantile) as f64 / 1_000.0;
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: microseconds.max() as f64 / 1_000.0 }
    }

    fn of_seconds(times: &Times) -> Option<Self> {
        let ms = |seconds: Option<f64>| seconds.map(|seconds| seconds * 1e3);
        Some(Self { p50: ms(times.p50)?, p90: ms(times.p90)?, p99: ms(times.p99)?, max: ms(times.max)? })
    }
}

/// Seconds where they are long, milliseconds where they are short.
impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name, digits) = if self.max >= 1_000.0 { (1_000.0, "s", 2) } else { (1.0, "ms", 1) };
        let [p50, p90, p99, max] = [self.p50, self.p90, self.p99, self.max].map(|point| point / unit);
        write!(f, "p50 {p50:.digits$}  p90 {p90:.digits$}  p99 {p99:.digits$}  max {max:.digits$} {name}")
    }
}

/// For people: only what there is to say.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, groups, to, seed, .. } = self;
        let interval = Span::from_millis(self.interval_ms);
        let nodes = counted(u64::from(*nodes), "node");
        let groups = if *groups == 1 { String::new() } else { format!(" in {groups} groups") };
        writeln!(f, "{nodes}{groups}, a heartbeat every {interval}, to {to} (seed {seed})")?;
        writeln!(
            f,
            "sent       {} in {:.1} s, {} a second",
            counted(self.heartbeats_sent, "heartbeat"),
            self.ran_ms as f64 / 1e3,
            thousands(self.heartbeats_per_second as u64)
        )?;
        let Deeds { killed, restarted, partitioned, goodbyes } = self.done;
        writeln!(
            f,
            "done       {} killed, {} restarted, {} cut off, {} said goodbye",
            thousands(killed),
            thousands(restarted),
            thousands(partitioned),
            thousands(goodbyes)
        )?;
        if self.heartbeats_lost > 0 {
            writeln!(f, "lost       {}, on purpose", counted(self.heartbeats_lost, "heartbeat"))?;
        }
        if let Some(early) = &self.stopped_early {
            writeln!(f, "stopped    early: {early}")?;
        }
        if self.behind_max_ms >= 50.0 || self.heartbeats_skipped > 0 {
            writeln!(
                f,
                "stalled    this generator was {:.0} ms behind at the worst and left out {} heartbeats: give it more \
                 processor, or fewer nodes",
                self.behind_max_ms,
                thousands(self.heartbeats_skipped)
            )?;
        }
        if self.refused > 0 {
            writeln!(f, "refused    {} times nobody listened at {to}", thousands(self.refused))?;
        }
        if self.unsent > 0 {
            let reason = self.unsent_reason.as_deref().unwrap_or_default();
            writeln!(f, "unsent     {} datagrams: {reason}", thousands(self.unsent))?;
        }
        match &self.verdicts {
            Some(verdicts) => verdicts.fmt(f),
            None => Ok(()),
        }
    }
}

impl fmt::Display for StoppedEarly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { planned, undone, pending } = *self;
        match undone {
            0 => f.write_str("all that was planned was done")?,
            _ => write!(f, "{undone} of the {} not done", counted(planned as u64, "planned thing"))?,
        }
        if pending > 0 {
            write!(f, ", {} not yet due", counted(pending, "verdict"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "failed     {} of {} silent nodes that were due{}",
            thousands(self.expected - self.missed.min(self.expected)),
            thousands(self.expected),
            if self.pending > 0 { format!(", {} not due yet", thousands(self.pending)) } else { String::new() }
        )?;
        if self.goodbyes > 0 {
            writeln!(
                f,
                "left       {} of {} that said goodbye",
                thousands(self.goodbyes - self.not_left),
                thousands(self.goodbyes)
            )?;
        }
        if self.returns > 0 {
            writeln!(
                f,
                "back       {} of {} that were heard again",
                thousands(self.returns - self.not_back),
                thousands(self.returns)
            )?;
        }
        if self.failed > 0 {
            writeln!(f, "T_D        {}, from the last heartbeat", self.detection_ms)?;
            writeln!(f, "           {}, from the crash", self.since_crash_ms)?;
            if let Some(suspected) = Points::of_seconds(&self.quality.detection_time_s) {
                writeln!(f, "           {suspected}, from the crash to the suspicion that lasted")?;
            }
            writeln!(f, "lateness   {}, after the instant waited for", self.lateness_ms)?;
        }
        match self.bound_ms {
            Some(bound) => writeln!(
                f,
                "bound      {} from the last heartbeat, and {} ms for scheduling",
                Span::from_millis(bound),
                self.slack_ms
            )?,
            None => writeln!(f, "bound      none: this detector promises none, so nothing can be late")?,
        }
        if self.datagrams_dropped > 0 {
            writeln!(f, "dropped    {} datagrams, by the kernel at the monitor", thousands(self.datagrams_dropped))?;
        }
        writeln!(f, "false      {} failures without reason", thousands(self.false_failures))?;
        if let (mistakes @ 1.., Some(rate)) = (self.quality.mistakes, self.quality.mistake_rate_per_s.value) {
            let mistakes = counted(mistakes, "suspicion");
            writeln!(f, "mistakes   {mistakes} of nodes that were up, {rate:.2e} per second and node")?;
        }
        if self.alive_others > 0 {
            writeln!(
                f,
                "others     {} more alive than ours in the same groups, and no fault",
                counted(self.alive_others, "node")
            )?;
        }
        if self.ok() {
            let due = if self.pending > 0 { " that was due" } else { "" };
            return writeln!(f, "verdict    every verdict{due} was right");
        }
        writeln!(f, "verdict    {}", self.sentence())?;
        const SHOWN: usize = 10;
        for complaint in self.complaints.iter().take(SHOWN) {
            writeln!(f, "  {complaint}")?;
        }
        match self.complaints.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "  and {more} more; --json has up to {}", super::verdicts::COMPLAINTS),
        }
    }
}

/// So many of something: "1 node", "2,000 nodes".
pub fn counted(number: u64, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {noun}{s}", thousands(number))
}

/// With a comma after every third digit.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn ms(span: Span) -> f64 {
    span.nanos() as f64 / 1e6
}

fn time(at: Instant) -> String {
    clock::rfc3339(at.nanos() / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::super::truth::Truth;
    use super::super::verdicts::{Terms, check};
    use super::*;

    /// What is said if the monitor counts so many alive, and so many really are.
    fn verdicts(counted: u64, alive: Alive) -> Verdicts {
        let end = Instant::from_nanos(1);
        let last = Last { end, bounds: vec![None], alive: counted, suspect: 0, dropped: 0, missed: 0, held: false };
        let terms = Terms { bounds: &last.bounds, slack: Span::ZERO, end, held: false };
        let findings = check(&Truth::default(), &[], |_| 0, &terms);
        Verdicts::new(
            &last,
            &findings,
            &Quality::default(),
            &Roster::new(9, "node-", vec!["a".into()]),
            Span::ZERO,
            alive,
        )
    }

    #[test]
    fn more_alive_than_ours_is_a_note_and_fewer_is_a_fault_that_is_counted() {
        let more = verdicts(12, Alive { missing: 0, others: 3 });
        assert_eq!((more.ok(), more.wrong()), (true, 0));
        assert!(more.to_string().contains("others     3 nodes more alive than ours"), "{more}");
        let fewer = verdicts(7, Alive { missing: 2, others: 0 });
        assert_eq!((fewer.ok(), fewer.wrong()), (false, 2));
        let said = "verdict    2 WRONG OR MISSING, among them 2 living nodes not held for alive";
        assert!(fewer.to_string().contains(said), "{fewer}");
    }

    #[test]
    fn what_a_run_did_not_come_to_is_said() {
        let early = |undone, pending| StoppedEarly { planned: 5, undone, pending }.to_string();
        assert_eq!(early(3, 100), "3 of the 5 planned things not done, 100 verdicts not yet due");
        assert_eq!(early(0, 1), "all that was planned was done, 1 verdict not yet due");
    }

    #[test]
    fn large_numbers_are_written_so_that_they_can_be_read() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(thousands(number), text);
        }
        assert_eq!((counted(1, "node"), counted(2_000, "node")), ("1 node".to_owned(), "2,000 nodes".to_owned()));
    }
}
