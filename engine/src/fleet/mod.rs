//! A fake fleet over real sockets: up to ten million nodes that beat, crash, get cut off, and say goodbye by a script.
//!
//! ```text
//!  script ──► population ──► drive ──── UDP ───► monitor
//!                 │ truth                           │ events
//!                 ▼                                 ▼
//!               verdicts ◄────────────────────── watch          was it right, and how fast?
//! ```
//!
//! The truth is known here because it is made here, so every verdict can be checked. Sending is one thread, watching
//! another; the comparison comes at the end. It measures a monitor, it doesn't stand in for one.

mod delay;
mod drive;
mod loss;
mod pace;
mod population;
mod quality;
mod random;
mod report;
mod roster;
mod script;
mod spec;
mod transit;
mod truth;
mod verdicts;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use systole_core::auth::MasterKey;
use systole_core::config::Settings;
use systole_core::{Instant, Liveness, Span};

pub use delay::Delay;
pub use drive::Done;
pub use loss::Loss;
pub use quality::{Observed, Quality, Rate, Times, WARM_UP, measure};
pub use random::Random;
pub use report::{Deeds, Late, Nodes, Points, Report, StoppedEarly, Verdicts, counted, thousands};
pub use roster::{NODES_MAX, Roster};
pub use script::{Act, Script, ScriptError, Step, Toll, While};
pub use spec::SpecError;
pub use truth::{Farewell, LastBeat, Silence, Truth, Why};
pub use verdicts::{Complaint, Findings, Terms, Verdict, Wrong, check};

use crate::client::Client;
use crate::clock::Clock;
use drive::{Drive, Rhythm};
use population::{Population, Way};
use report::Asked;
use watch::{Brief, Last, News, Watch};

/// A fleet to be run.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Where the heartbeats go, as it was asked for.
    pub to: String,
    /// Its addresses.
    pub addresses: Vec<SocketAddr>,
    /// Who the nodes are.
    pub roster: Roster,
    /// How often each beats; from [`INTERVAL_MIN`] to [`INTERVAL_MAX`].
    pub interval: Span,
    /// A node tells its name on its first two heartbeats and then on every so-manieth.
    pub introduce_every: u32,
    /// Which heartbeats get lost.
    pub loss: Loss,
    /// How long the others are on their way.
    pub delay: Delay,
    /// What is done, and when.
    pub script: Script,
    /// How long it runs; for ever if nothing is said.
    pub length: Option<Span>,
    /// Signs what the nodes say.
    pub key: Option<MasterKey>,
    /// Where the random choices come from.
    pub seed: u64,
    /// The monitor, if its verdicts are to be checked.
    pub events: Option<Client>,
}

/// What happens while a fleet runs.
#[derive(Debug)]
pub enum Happening<'a> {
    /// The script did something.
    Done(Done<'a>),
    /// The monitor said something.
    Verdicts(&'a [Verdict]),
    /// Some time has passed: every 100 ms or so.
    Progress(Progress),
}

/// How far a fleet is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Since the first heartbeat.
    pub elapsed: Span,
    /// Heartbeats sent.
    pub sent: u64,
    /// Nodes that beat and are heard.
    pub alive: u32,
    /// Nodes that were killed.
    pub dead: u32,
    /// Nodes that the monitor called failed or left.
    pub verdicts: u64,
}

/// The shortest interval: monitors count shorter ones as this.
pub const INTERVAL_MIN: Span = Span::from_millis(10);
/// The longest interval: monitors count longer ones as this.
pub const INTERVAL_MAX: Span = Span::from_secs(7 * 86_400);
/// What a verdict may be late beyond its bound: two processes wait for the same processors.
pub const SLACK: Span = Span::from_millis(10);

/// The last heartbeats of the last silent nodes are due after so long, and then there is a while to look.
const MARGIN: Span = Span::from_millis(1_500);
/// How often there is something to show.
const SHOW: Span = Span::from_millis(100);
/// No sleep is longer, so that a signal is noticed.
const NAP: Duration = Duration::from_millis(50);
/// The monitor has so long for its last answers.
const LAST_WORD: Span = Span::from_secs(30);

/// How long a fleet has to run until the verdicts on the last act are in, at a monitor's default settings and where
/// heartbeats arrive at once; nothing without an act.
pub fn length_needed(script: &Script, interval: Span) -> Option<Span> {
    let bound = Settings::default().detection_bound(interval).unwrap_or(interval * 10);
    // The last heartbeat was up to an interval ago; who comes back has up to another to be heard.
    script.last().map(|last| last + bound + interval + SLACK + MARGIN)
}

impl Fleet {
    /// Runs it to its end, or until `stop`, and tells `watcher` what happens.
    ///
    /// # Errors
    /// If nothing can be sent, nobody listens, or the monitor whose verdicts are to be checked can't be asked.
    pub fn run(&self, stop: &Arc<AtomicBool>, watcher: &mut dyn FnMut(&Happening<'_>)) -> anyhow::Result<Report> {
        let clock = Clock::start();
        // Everything is ready by then.
        let start = clock.now() + Span::from_millis(50);
        let mut random = Random::new(self.seed);
        let way = Way { loss: self.loss, delayed: self.delay != Delay::NONE };
        let population = Population::new(self.roster.len(), way, Random::new(random.bits()));
        let rhythm = Rhythm {
            interval: self.interval,
            introduce_every: self.introduce_every,
            delay: self.delay,
            delays: Random::new(random.bits()),
            key: self.key.clone(),
        };
        let watch = self.events.clone().map(|client| Watch::start(client, self.brief(start), clock)).transpose()?;
        let drive = Drive::new(&self.addresses, self.roster.clone(), population, &rhythm, &self.script, clock, start)?;
        let mut run =
            Run { fleet: self, clock, start, drive, watch, done: Deeds::default(), verdicts: vec![], last: None };
        let whole = run.beat(stop, watcher)?;
        run.look_back(whole, watcher)
    }

    fn brief(&self, start: Instant) -> Brief {
        Brief {
            roster: self.roster.clone(),
            interval: self.interval,
            reach: self.delay.reach(),
            start,
            first_act: self.script.steps().first().map(|step| start + step.at),
        }
    }
}

/// A fleet under way.
struct Run<'a> {
    fleet: &'a Fleet,
    clock: Clock,
    start: Instant,
    drive: Drive,
    watch: Option<Watch>,
    done: Deeds,
    verdicts: Vec<Verdict>,
    last: Option<Last>,
}

impl Run<'_> {
    /// Until the end, or the stop. Says whether it was the end: a fleet that runs for ever has none but the stop.
    fn beat(&mut self, stop: &AtomicBool, watcher: &mut dyn FnMut(&Happening<'_>)) -> anyhow::Result<bool> {
        let end = self.fleet.length.map(|length| self.start + length);
        let mut shown = self.start;
        loop {
            let next = self.turn(watcher)?;
            let now = self.clock.now();
            if end.is_some_and(|end| now >= end) {
                return Ok(true);
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(end.is_none());
            }
            if now.since(shown) >= SHOW {
                shown = now;
                watcher(&Happening::Progress(self.progress(now)));
                self.check_heard(now)?;
            }
            self.sleep(now, next);
        }
    }

    /// The monitor's last word, while the fleet goes on beating, and what came of it all.
    fn look_back(mut self, whole: bool, watcher: &mut dyn FnMut(&Happening<'_>)) -> anyhow::Result<Report> {
        let now = self.clock.now();
        let undone = self.drive.drop_the_rest();
        let heard = u64::from(self.drive.census().reaching);
        let give_up = now + LAST_WORD;
        if let Some(watch) = &self.watch {
            watch.finish(heard);
        }
        while self.watch.is_some() && self.last.is_none() {
            let next = self.turn(watcher)?;
            let now = self.clock.now();
            anyhow::ensure!(
                now < give_up,
                "the monitor gave no answer within {LAST_WORD} at the end; is it overloaded?"
            );
            self.sleep(now, next);
        }
        let ran = self.clock.now().since(self.start);
        if let Some(watch) = self.watch.take() {
            watch.join();
        }
        let roster = &self.fleet.roster;
        let reading = self.clock.read();
        let start = Instant::from_nanos(reading.unix_nanos) - reading.now.since(self.start);
        let observed = Observed { nodes: roster.len(), interval: self.fleet.interval, start };
        let found = self.last.as_ref().map(|last| {
            let terms = Terms { bounds: &last.bounds, slack: SLACK, end: last.end, held: last.held };
            let (truth, group_of) = (self.drive.truth(), |node| roster.group_of(node));
            let findings = check(truth, &self.verdicts, group_of, &terms);
            (last, findings, measure(&observed, truth, &self.verdicts, group_of, &terms))
        });
        let asked = Asked {
            to: self.fleet.to.clone(),
            interval: self.fleet.interval,
            seed: self.fleet.seed,
            loss: self.fleet.loss,
            delay: self.fleet.delay,
            slack: SLACK,
            planned: self.fleet.script.steps().len(),
            undone,
            whole: whole && undone == 0,
            heard,
        };
        Ok(Report::new(
            &asked,
            &self.drive,
            self.done,
            ran,
            found.as_ref().map(|(last, findings, quality)| (*last, findings, quality)),
        ))
    }

    /// Sends what is due, hears what there is to hear, and returns when to come again.
    fn turn(&mut self, watcher: &mut dyn FnMut(&Happening<'_>)) -> anyhow::Result<Instant> {
        let done = &mut self.done;
        let next = self.drive.turn(&mut |act| {
            count(done, &act);
            watcher(&Happening::Done(act));
        });
        for news in self.watch.iter().flat_map(|watch| watch.news().try_iter()) {
            match news {
                News::Verdicts(verdicts) => {
                    watcher(&Happening::Verdicts(&verdicts));
                    self.verdicts.extend(verdicts);
                }
                News::Last(last) => self.last = Some(*last),
                News::Lost(error) => return Err(error),
            }
        }
        Ok(next)
    }

    /// A wrong address is told at once, and not after an hour. Who goes away later may come back.
    fn check_heard(&self, now: Instant) -> anyhow::Result<()> {
        let starting = now.since(self.start) < Span::from_secs(1);
        if starting && self.drive.refused() > 0 {
            anyhow::bail!(
                "nobody listens at {}; is `systole run` running? Say where with --to HOST:PORT",
                self.fleet.to
            );
        }
        Ok(())
    }

    fn progress(&self, now: Instant) -> Progress {
        let census = self.drive.census();
        let counted = |verdict: &&Verdict| matches!(verdict.to, Liveness::Failed | Liveness::Left);
        Progress {
            elapsed: now.since(self.start),
            sent: self.drive.tally().sent,
            alive: census.reaching,
            dead: census.dead,
            verdicts: self.verdicts.iter().filter(counted).count() as u64,
        }
    }

    /// Until `next`, rounded up to the millisecond: what is due within one goes out together.
    fn sleep(&self, now: Instant, next: Instant) {
        let wake = next.tick_up().instant();
        if wake > now {
            std::thread::sleep(Duration::from_nanos(wake.since(now).nanos()).min(NAP));
        }
    }
}

fn count(done: &mut Deeds, act: &Done<'_>) {
    let nodes = act.nodes.len() as u64;
    match act.act {
        Act::Kill(_) | Act::KillGroup(_) => done.killed += nodes,
        Act::Restart(_) | Act::Bounce(_) => done.restarted += nodes,
        Act::Goodbye(_) => done.goodbyes += nodes,
        Act::Cut { .. } => done.partitioned += nodes,
        Act::Heal { .. } => {}
    }
}
