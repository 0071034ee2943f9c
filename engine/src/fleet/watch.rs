//! Reads over the monitor's shoulder while the fleet runs: a thread that polls its events five times a second.
//!
//! ```text
//!  start        2 intervals                                finish   + SETTLE
//!   |  failed, left, |     failed, left, suspect, alive       |        |  counts, settings: News::Last
//!   |  suspect       |                                        |        |
//! ```
//!
//! A million first heartbeats are a million events that say nothing, so returns are asked for only from when on there
//! can be any. What it can't see it says: a verdict that was no longer kept makes the rest worthless. It judges nothing.

use std::collections::HashMap;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use systole_core::config::Settings;
use systole_core::{Called, Instant, Liveness, NodeId, Span};

use super::roster::Roster;
use super::verdicts::Verdict;
use crate::client::Client;
use crate::clock::Clock;
use crate::model::{Event, State};

/// What the thread has to say.
#[derive(Debug)]
pub(super) enum News {
    /// More verdicts, in order.
    Verdicts(Vec<Verdict>),
    /// The last look, after [`Watch::finish`].
    Last(Box<Last>),
    /// The monitor can't be asked any more.
    Lost(anyhow::Error),
}

/// What the monitor says at the end.
#[derive(Clone, Debug)]
pub(super) struct Last {
    /// Until when all verdicts are there, with the origin 1970.
    pub(super) end: Instant,
    /// The longest detection that each group's settings promise, at the fleet's interval.
    pub(super) bounds: Vec<Option<Span>>,
    /// Nodes of the fleet's groups that it holds for alive.
    pub(super) alive: u64,
    /// Nodes of the fleet's groups that it suspects.
    pub(super) suspect: u64,
    /// Datagrams that the kernel dropped since the start.
    pub(super) dropped: u64,
    /// Events that may have mattered and were no longer kept.
    pub(super) missed: u64,
    /// Whether it withheld verdicts because many nodes fell silent together.
    pub(super) held: bool,
}

/// A look at a running monitor.
#[derive(Debug)]
pub(super) struct Watch {
    news: Receiver<News>,
    finish: Sender<u64>,
    thread: JoinHandle<()>,
}

/// What the thread needs to know of the fleet.
#[derive(Clone, Debug)]
pub(super) struct Brief {
    /// Who the nodes are.
    pub(super) roster: Roster,
    /// How often each beats.
    pub(super) interval: Span,
    /// How long nearly all heartbeats are on their way at most.
    pub(super) reach: Span,
    /// When the first is sent, on the monotonic line.
    pub(super) start: Instant,
    /// When the script first does something.
    pub(super) first_act: Option<Instant>,
}

const POLL: Duration = Duration::from_millis(200);
/// What was decided so long ago can be read by now.
const SETTLE: Duration = Duration::from_millis(300);
/// A monitor that can't be asked for so long is lost.
const PATIENCE: Span = Span::from_secs(3);
/// Events per request, the most that there are.
const PAGE: usize = 10_000;
/// How often the counts are read again while they don't agree.
const RECOUNTS: u32 = 10;

impl Watch {
    /// Asks the monitor how it is, and follows its events from now on.
    ///
    /// # Errors
    /// If it can't be reached.
    pub(super) fn start(client: Client, brief: Brief, clock: Clock) -> anyhow::Result<Self> {
        let status = client.status().context("can't check verdicts (--events)")?;
        let (sender, news) = unbounded();
        let (finish, finished) = bounded(1);
        let mut look = Look {
            client,
            clock,
            since: status.events_last,
            missed: 0,
            unnamed: Vec::new(),
            dropped_before: status.datagrams_dropped_total,
            brief,
        };
        let thread = std::thread::Builder::new()
            .name("systole-watch".into())
            .spawn(move || look.follow(&sender, &finished))
            .context("can't start a thread")?;
        Ok(Self { news, finish, thread })
    }

    /// What there is to hear.
    pub(super) const fn news(&self) -> &Receiver<News> {
        &self.news
    }

    /// Asks for the last look. The fleet goes on beating until it comes; `alive` of its nodes are heard.
    pub(super) fn finish(&self, alive: u64) {
        // A thread that has ended has told why.
        let _ = self.finish.try_send(alive);
    }

    /// Waits for the thread, which has said its last word.
    pub(super) fn join(self) {
        drop(self.finish);
        let _ = self.thread.join();
    }
}

struct Look {
    client: Client,
    clock: Clock,
    brief: Brief,
    since: u64,
    missed: u64,
    /// Verdicts on nodes whose names haven't reached the monitor.
    unnamed: Vec<(NodeId, Verdict)>,
    dropped_before: u64,
}

impl Look {
    fn follow(&mut self, news: &Sender<News>, finished: &Receiver<u64>) {
        // A question may take as long to fail as the monitor was stopped: what counts is how long none succeeds since.
        let mut failing: Option<Instant> = None;
        loop {
            let answer = self.poll(news);
            let now = self.clock.now();
            match answer {
                Ok(()) => failing = None,
                Err(error) if now.since(*failing.get_or_insert(now)) > PATIENCE => {
                    let _ =
                        news.send(News::Lost(error.context("the monitor was lost while its verdicts were followed")));
                    return;
                }
                Err(_) => {}
            }
            match finished.recv_timeout(POLL) {
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(alive) => {
                    let last = self.last(alive, news).map_or_else(News::Lost, |last| News::Last(Box::new(last)));
                    let _ = news.send(last);
                    return;
                }
            }
        }
    }

    /// Reads on until there is nothing new.
    fn poll(&mut self, news: &Sender<News>) -> anyhow::Result<()> {
        let returns = self.brief.start + self.brief.interval * 2;
        let matters = self.brief.first_act.map_or(returns, |act| act.min(returns));
        loop {
            let now = self.clock.now();
            let to = [State::Failed, State::Left, State::Suspect, State::Alive];
            let to = if now < returns { &to[..3] } else { &to[..] };
            let page = self.client.events(self.since, PAGE, to)?;
            if now >= matters {
                self.missed += page.missed;
            }
            let verdicts: Vec<Verdict> =
                page.events.iter().filter_map(|event| self.verdict(event).transpose()).collect::<Result<_, _>>()?;
            if !verdicts.is_empty() {
                let _ = news.send(News::Verdicts(verdicts));
            }
            if page.next <= self.since {
                return Ok(());
            }
            self.since = page.next;
        }
    }

    /// What an event says of one of our nodes; nothing if it is about another.
    fn verdict(&mut self, event: &Event) -> anyhow::Result<Option<Verdict>> {
        let (Some(name), Some(to)) = (&event.node, event.to.filter(|_| event.is_change())) else { return Ok(None) };
        if event.from == Some(State::Unseen) {
            return Ok(None);
        }
        let at = instant(&event.at)?;
        let due = match &event.evidence {
            // Put off or withheld: only the monitor knows until when.
            Some(evidence) if evidence.excused_ms > 0 || evidence.held_ms > 0 => {
                Some(at - Span::from_millis_f32(evidence.monitor_lag_ms as f32))
            }
            Some(evidence) if to == State::Failed => {
                Some(instant(&evidence.deadline)? + Span::from_millis(evidence.confirm_ms))
            }
            Some(evidence) if to == State::Suspect => Some(instant(&evidence.deadline)?),
            Some(_) | None => None,
        };
        let put_off = event.evidence.as_ref().map_or(0, |evidence| evidence.excused_ms + evidence.held_ms);
        let put_off = Span::from_millis(put_off);
        let verdict = Verdict { event: event.seq, node: 0, at, to: Liveness::from(to), due, put_off };
        if name.starts_with('#') {
            self.unnamed.extend(Called::id_of(name).map(|id| (id, verdict)));
            return Ok(None);
        }
        Ok(self.brief.roster.find(name).map(|node| Verdict { node, ..verdict }))
    }

    fn last(&mut self, alive: u64, news: &Sender<News>) -> anyhow::Result<Last> {
        let end = Instant::from_nanos(self.clock.read().unix_nanos);
        std::thread::sleep(SETTLE);
        self.poll(news)?;
        let found = self.name_the_unnamed();
        if !found.is_empty() {
            let _ = news.send(News::Verdicts(found));
        }
        let mut last = self.counts(end)?;
        for _ in 0..RECOUNTS {
            if last.alive == alive {
                break;
            }
            std::thread::sleep(POLL / 2);
            last = self.counts(end)?;
        }
        Ok(last)
    }

    fn counts(&self, end: Instant) -> anyhow::Result<Last> {
        let status = self.client.status()?;
        let groups = self.client.groups()?.groups;
        let mut last = Last {
            end,
            bounds: Vec::new(),
            alive: 0,
            suspect: 0,
            dropped: status.datagrams_dropped_total.saturating_sub(self.dropped_before),
            missed: self.missed,
            held: !status.holds.is_empty(),
        };
        let all_have_beaten = self.brief.start + self.brief.interval + self.brief.reach + PATIENCE;
        for name in self.brief.roster.groups() {
            let Some(group) = groups.iter().find(|group| group.group == *name) else {
                if self.clock.now() < all_have_beaten {
                    last.bounds.push(None);
                    continue;
                }
                bail!(
                    "the monitor has no group {name:?}: its heartbeats don't arrive there, or its configuration puts \
                     them into another group; give --group the name of that one"
                );
            };
            last.alive += group.nodes.alive;
            last.suspect += group.nodes.suspect;
            let settings = Settings {
                detector: group
                    .settings
                    .detector
                    .parse()
                    .with_context(|| unreadable(name, &group.settings.detector))?,
                confirm: group.settings.confirm.parse().with_context(|| unreadable(name, &group.settings.confirm))?,
                ..Settings::default()
            };
            last.bounds.push(settings.detection_bound(self.brief.interval));
        }
        Ok(last)
    }

    /// Verdicts on nodes by their ids: all names are hashed once, to find whose they are.
    fn name_the_unnamed(&mut self) -> Vec<Verdict> {
        let mut by_id: HashMap<NodeId, Vec<Verdict>> = HashMap::new();
        for (id, verdict) in self.unnamed.drain(..) {
            by_id.entry(id).or_default().push(verdict);
        }
        if by_id.is_empty() {
            return Vec::new();
        }
        let mut name = String::new();
        let mut found = Vec::new();
        for node in 0..self.brief.roster.len() {
            self.brief.roster.write_name(node, &mut name);
            let verdicts = by_id.remove(&NodeId::of(&name)).unwrap_or_default();
            found.extend(verdicts.into_iter().map(|verdict| Verdict { node, ..verdict }));
        }
        found
    }
}

fn unreadable(group: &str, setting: &str) -> String {
    format!("this version doesn't know the setting {setting:?} of group {group:?}; use a monitor of the same version")
}

/// RFC 3339, as an instant with the origin 1970.
fn instant(text: &str) -> anyhow::Result<Instant> {
    let time: jiff::Timestamp = text.parse().with_context(|| format!("the monitor says {text:?} for a time"))?;
    Ok(Instant::from_nanos(u64::try_from(time.as_nanosecond()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_millisecond() {
        assert_eq!(instant("2023-11-14T22:13:20.007Z").unwrap(), Instant::from_nanos(1_700_000_000_007_000_000));
        assert!(instant("yesterday").is_err());
    }

    #[test]
    fn a_monitor_that_is_not_there_is_an_error_that_names_the_url() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("http://{free}");
        let brief = Brief {
            roster: Roster::new(1, "node-", vec!["fleet".into()]),
            interval: Span::from_secs(1),
            reach: Span::ZERO,
            start: Instant::ORIGIN,
            first_act: None,
        };
        let error = format!("{:#}", Watch::start(Client::new(&url).unwrap(), brief, Clock::start()).unwrap_err());
        assert!(error.contains(&url) && error.contains("systole run"), "{error}");
    }
}
