//! A monitor and its fleet in one process, over real UDP, with a power cut in the middle: does it notice, and nothing else?
//!
//! ```text
//!   0 %                                                     100 % of the time for acts
//!   | all beat   | some restart | a rack dies | more die | one leaves | some come back |   + time for the verdicts
//! ```
//!
//! The fleet knows what was done, so the table at the end is not a claim but a comparison. The shorter it runs, the
//! shorter the heartbeat interval, and with it everything else.

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, ensure};
use systole_core::auth::{MasterKey, Mode};
use systole_core::config::{GuardSettings, Plan, Settings};
use systole_core::{Instant, Liveness, Span};

use crate::client::Client;
use crate::config::{Auth, Events, Listen, Setup};
use crate::daemon;
use crate::fleet::{
    Act, Delay, Done, Fleet, Happening, Loss, Random, Report, Roster, Script, Verdict, length_needed, thousands,
};
use crate::key::Entry;

/// A demonstration, ready to be run.
#[derive(Clone, Debug)]
pub struct Demo {
    roster: Roster,
    interval: Span,
    length: Span,
    seed: u64,
    script: Script,
    key: Option<(MasterKey, Entry)>,
}

/// The fewest nodes that there is something to show with.
pub const NODES_MIN: u32 = 200;
/// The shortest demonstration: below this the intervals would be shorter than a busy machine's hiccups.
pub const LENGTH_MIN: Span = Span::from_secs(10);
/// How many nodes there are in a rack.
const RACK: u32 = 100;
/// How many racks there are at most; larger fleets have larger ones.
const RACKS_MAX: u32 = 1_000;

impl Demo {
    /// `nodes` nodes for about `length`.
    ///
    /// # Errors
    /// If that is too few or too short to show anything, with what isn't.
    pub fn new(nodes: u32, length: Span, seed: u64) -> anyhow::Result<Self> {
        ensure!(
            nodes >= NODES_MIN,
            "{nodes} nodes are too few for racks that die as a whole; use --nodes {NODES_MIN} or more"
        );
        ensure!(
            length >= LENGTH_MIN,
            "{length} is too short: a death takes some seven heartbeat intervals to be told from bad luck; use --for {} or more",
            LENGTH_MIN.compact()
        );
        // A second between heartbeats, if there is time for forty of them.
        let interval = Span::from_millis((length.millis() / 40 / 10 * 10).min(1_000));
        let racks = nodes.div_ceil(RACK).min(RACKS_MAX);
        let width = (racks - 1).to_string().len().max(2);
        let roster = Roster::new(nodes, "node-", (0..racks).map(|rack| format!("rack-{rack:0width$}")).collect());
        let script = script(&roster, interval, length, &mut Random::new(seed));
        Ok(Self { roster, interval, length, seed, script, key: None })
    }

    /// Lets the nodes sign with this key, which was read from `file`, and the monitor believe nobody else.
    #[must_use]
    pub fn signed(self, key: MasterKey, file: PathBuf) -> Self {
        let entry = Entry { id: key.id(), suite: key.suite(), file };
        Self { key: Some((key, entry)), ..self }
    }

    /// How many nodes there are.
    pub const fn nodes(&self) -> u32 {
        self.roster.len()
    }

    /// How many racks there are.
    pub fn racks(&self) -> usize {
        self.roster.groups().len()
    }

    /// How often each node beats.
    pub const fn interval(&self) -> Span {
        self.interval
    }

    /// How long it runs.
    pub const fn length(&self) -> Span {
        self.length
    }

    /// Within what time after its last heartbeat a dead node is to be called failed.
    pub fn bound(&self) -> Span {
        Settings::default().detection_bound(self.interval).unwrap_or(Span::MAX)
    }

    /// Runs monitor and fleet. `began` is told where the monitor can be looked at, `say` gets a line whenever something
    /// was done or noticed, and `progress` all the rest.
    ///
    /// # Errors
    /// If the monitor can't be started, or not be asked.
    pub fn run(
        &self,
        stop: &Arc<AtomicBool>,
        began: impl FnOnce(SocketAddr),
        mut say: impl FnMut(&str),
        mut progress: impl FnMut(&Happening<'_>),
    ) -> anyhow::Result<(Report, Vec<Deed>)> {
        let monitor = daemon::start(&self.setup()).context("can't start the monitor")?;
        let http = monitor.http_addr().context("the monitor's HTTP interface is off")?;
        let udp = *monitor.udp_addrs().first().context("the monitor listens nowhere")?;
        began(http);
        let fleet = Fleet {
            to: udp.to_string(),
            addresses: vec![udp],
            roster: self.roster.clone(),
            interval: self.interval,
            introduce_every: 16,
            loss: Loss::None,
            delay: Delay::NONE,
            script: self.script.clone(),
            length: Some(self.length),
            key: self.key.as_ref().map(|(key, _)| key.clone()),
            seed: self.seed,
            events: Some(Client::new(&format!("http://{http}"))?),
        };
        let mut story = Chronicle { roster: &self.roster, deeds: Vec::new() };
        let outcome = fleet.run(stop, &mut |happening| {
            match happening {
                Happening::Done(done) => story.done(done, &mut say),
                Happening::Verdicts(verdicts) => story.verdicts(verdicts, &mut say),
                Happening::Progress(_) => {}
            }
            progress(happening);
        });
        let stopped = monitor.stop();
        let report = outcome?;
        stopped.context("can't stop the monitor")?;
        Ok((report, story.deeds))
    }

    fn setup(&self) -> Setup {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = Listen { udp: vec![any], http: Some(any), ..Listen::default() };
        // Every node may come, be suspected, fail and come back, and nothing of it is lost.
        let events = Events { keep: 4 * self.roster.len() as usize + 100_000, ..Events::default() };
        let enforced = |(_, entry): &(_, Entry)| Auth { mode: Mode::Enforce, keys: vec![entry.clone()] };
        let auth = self.key.as_ref().map(enforced).unwrap_or_default();
        // A rack that dies is held like any group that falls silent as one; there isn't time for ten minutes of that.
        let guard = Some(GuardSettings { longest: held(self.interval), rate: 1e6, ..GuardSettings::default() });
        let usual = Setup::default();
        Setup { listen, auth, events, plan: Plan { guard, ..usual.plan }, ..usual }
    }
}

/// For how long the deaths of a rack are withheld.
fn held(interval: Span) -> Span {
    interval * 3
}

/// What is done when: all of it early enough for its verdicts.
fn script(roster: &Roster, interval: Span, length: Span, random: &mut Random) -> Script {
    let mut probe = Script::default();
    probe.add(Span::ZERO, Act::Kill(1));
    let tail = length_needed(&probe, interval).expect("there is an act");
    let at = |share: f32| (length - tail).scale(share);
    let some = |share: u32, least: u32| (roster.len() / share).max(least);
    let mut script = Script::default();
    script.add(at(0.10), Act::Bounce(some(100, 2)));
    script.add(at(0.25), Act::KillGroup(random.below(roster.groups().len() as u64) as usize));
    script.add(at(0.40), Act::Kill(some(500, 3)));
    script.add(at(0.50), Act::Goodbye(1));
    script.add(at(0.99), Act::Restart(some(1_000, 2)));
    script
}

/// Something that was done, and what the monitor made of it.
#[derive(Clone, Debug)]
pub struct Deed {
    /// What was done, in words.
    pub what: String,
    /// To how many nodes.
    pub nodes: usize,
    /// What there is to be noticed; nothing if it is to go unnoticed.
    pub expected: Option<Liveness>,
    /// For how many nodes it was.
    pub noticed: usize,
    /// When, on the wall clock.
    wall: Instant,
    /// When, counted from the first heartbeat.
    at: Span,
    /// Whom it was done to, and who hasn't been noticed yet.
    waiting: HashSet<u32>,
}

/// Tells what happens while it happens.
struct Chronicle<'a> {
    roster: &'a Roster,
    deeds: Vec<Deed>,
}

impl Chronicle<'_> {
    fn done(&mut self, done: &Done<'_>, say: &mut impl FnMut(&str)) {
        let nodes = done.nodes.len();
        let one = || done.nodes.first().map_or_else(String::new, |node| self.roster.name(*node));
        let (what, comment, expected) = match done.act {
            Act::Bounce(_) => {
                (format!("{nodes} nodes restart between two heartbeats"), "nobody should be missed", None)
            }
            Act::KillGroup(group) => {
                let rack = &self.roster.groups()[group];
                let comment = "is it the rack, or the way to it? withheld as one event at first";
                (format!("{rack} loses power, all its {nodes} nodes"), comment, Some(Liveness::Failed))
            }
            Act::Kill(_) => {
                let racks: BTreeSet<usize> = done.nodes.iter().map(|node| self.roster.group_of(*node)).collect();
                (format!("{nodes} nodes die, in {} racks", racks.len()), "", Some(Liveness::Failed))
            }
            Act::Goodbye(_) => {
                (format!("{} says goodbye", one()), "leaving on purpose is no failure", Some(Liveness::Left))
            }
            Act::Restart(_) => (format!("{nodes} of the dead come back"), "", Some(Liveness::Alive)),
            Act::Cut { .. } | Act::Heal { .. } => return,
        };
        let colon = if comment.is_empty() { "" } else { ": " };
        say(&format!("{}  {what}{colon}{comment}", seconds(done.at)));
        let waiting = done.nodes.iter().copied().collect();
        self.deeds.push(Deed { what, nodes, expected, noticed: 0, wall: done.wall, at: done.at, waiting });
    }

    fn verdicts(&mut self, verdicts: &[Verdict], say: &mut impl FnMut(&str)) {
        for verdict in verdicts {
            let fits = |deed: &&mut Deed| deed.expected == Some(verdict.to) && deed.waiting.contains(&verdict.node);
            if let Some(deed) = self.deeds.iter_mut().find(fits) {
                deed.waiting.remove(&verdict.node);
                deed.noticed += 1;
                if deed.waiting.is_empty() {
                    deed.tell(verdict.at, say);
                }
            }
        }
    }
}

impl Deed {
    fn tell(&self, last: Instant, say: &mut impl FnMut(&str)) {
        let after = last.since(self.wall);
        let all =
            if self.nodes == 1 { "it is".to_owned() } else { format!("all {} are", thousands(self.nodes as u64)) };
        let became = match self.expected {
            Some(Liveness::Failed) => "failed",
            Some(Liveness::Left) => "left",
            Some(Liveness::Alive) => "alive again",
            Some(Liveness::Suspect | Liveness::Unseen) | None => return,
        };
        say(&format!("{}    -> {all} {became}, {:.2} s later", seconds(self.at + after), after.secs_f64()));
    }
}

fn seconds(span: Span) -> String {
    format!("{:>6.1} s", span.secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_in_time_for_its_verdict_whatever_the_length() {
        for secs in [10, 15, 20, 40, 60, 600] {
            for nodes in [NODES_MIN, 10_000, 1_000_000] {
                let demo = Demo::new(nodes, Span::from_secs(secs), 7).unwrap();
                let needed = length_needed(&demo.script, demo.interval).unwrap();
                assert!(needed <= demo.length, "{nodes} nodes, {secs} s: {needed}");
                let times: Vec<Span> = demo.script.steps().iter().map(|step| step.at).collect();
                let heard_first = demo.interval * 2;
                assert!(times[0] > heard_first, "everybody is known before anything happens");
                // Those who come back were failed before, by then.
                let died = times[2];
                assert!(died + demo.bound() + demo.interval < times[4], "{nodes} nodes, {secs} s: {times:?}");
                let rack = times[1] + demo.bound() + held(demo.interval) + demo.interval;
                assert!(rack < times[4], "{nodes} nodes, {secs} s: {times:?}");
            }
        }
    }

    #[test]
    fn the_interval_follows_the_length_up_to_a_second() {
        let interval = |secs| Demo::new(10_000, Span::from_secs(secs), 1).unwrap().interval();
        assert_eq!((interval(10), interval(15)), (Span::from_millis(250), Span::from_millis(370)));
        assert_eq!((interval(60), interval(600)), (Span::from_secs(1), Span::from_secs(1)));
    }

    #[test]
    fn what_would_show_nothing_is_refused_with_the_reason() {
        assert!(Demo::new(199, Span::from_secs(60), 1).unwrap_err().to_string().contains("--nodes 200"));
        assert!(Demo::new(10_000, Span::from_secs(9), 1).unwrap_err().to_string().contains("--for 10s"));
    }
}
