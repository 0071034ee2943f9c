//! Another configuration for a monitor that runs: all of it that can change, or nothing.
//!
//! ```text
//!   file ──read──► Setup ──what can't change stays──► files of [auth], [http] ──► every shard ──► door
//!            └── a fault anywhere: the former configuration stays in force, and the status says so
//! ```
//!
//! Sockets, threads and folders stay what they were at the start; each key of theirs that was
//! written anew is named. Shards take their configurations when all are ready (`proposal.rs`), each
//! between two rounds, and work them off while heartbeats go on.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};
use systole_core::NotReconfigured;
use systole_core::auth::KeyRing;
use systole_core::config::Config;
use tracing::{error, warn};

use crate::clock::{Clock, rfc3339};
use crate::config::Setup;
use crate::daemon::share_out;
use crate::http::{Door, Server};
use crate::key;
use crate::model::{ConfigLoads, RefusedLoad};
use crate::proposal::{Decision, Proposal, Vote};
use crate::query::{Query, ShardHandle};

/// How long the shards may take until all are ready, and then until all have taken what they were ready for.
const TAKE_WITHIN: Duration = Duration::from_secs(10);

/// How long to leave a shard alone whose queue of questions is full.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// How often whoever waits for us is heard.
const LOOK: Duration = Duration::from_millis(100);

/// What a shard judged by before, or why it goes on doing so.
type Former = Result<Config, NotReconfigured>;

/// What is waited for, and for how long.
struct Patience<'m> {
    until: Instant,
    /// Does what can't wait. Says false to give up.
    meanwhile: &'m mut dyn FnMut() -> bool,
}

/// Whoever waits for us is to end.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the monitor was told to stop meanwhile")]
struct Stopped;

/// When the configuration was loaded, and why it wasn't the last time, for whoever asks.
#[derive(Clone, Debug, Default)]
pub struct Loads(Arc<Mutex<ConfigLoads>>);

/// What it takes to change a running monitor.
#[derive(Debug)]
pub(crate) struct Reloading {
    /// What is in force.
    pub(crate) setup: Setup,
    pub(crate) shards: Vec<ShardHandle>,
    pub(crate) clock: Clock,
    pub(crate) loads: Loads,
}

impl Loads {
    /// As [`crate::model::Status`] has it.
    pub fn shown(&self) -> ConfigLoads {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A configuration is in force from now on.
    pub(crate) fn loaded(&self, clock: Clock) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ConfigLoads { loaded_at: now(clock), refused: None };
    }

    fn refused(&self, clock: Clock, error: String) {
        let mut loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loads.refused = Some(RefusedLoad { at: now(clock), error });
    }
}

impl Reloading {
    /// Puts in force what can be of `asked`, and says what stays as it was.
    /// While it waits it calls `meanwhile` several times a second, and gives up if that says so.
    pub(crate) fn apply(
        &mut self,
        asked: &Setup,
        server: Option<&Server>,
        meanwhile: &mut dyn FnMut() -> bool,
    ) -> anyhow::Result<Vec<String>> {
        let (setup, kept) = what_can_change(&self.setup, asked);
        if let Some(address) = setup.exposed().next().filter(|_| !setup.listen.insecure) {
            bail!(
                "{address} is open to other machines and nothing would be asked of them any more; \
                 what is listened on changes only with a new start, so name tokens under [http] until then"
            );
        }
        let door = Door::load(&setup.access)?;
        let keys = key::ring(setup.auth.mode, &setup.auth.keys)?;
        let configs = share_out(&setup.plan, self.shards.len())?;
        self.put_in_force(configs, &keys, meanwhile)?;
        if let Some(server) = server {
            server.set_door(door);
        }
        self.setup = setup;
        self.loads.loaded(self.clock);
        Ok(kept)
    }

    /// Has every shard judge by its configuration, or none.
    fn put_in_force(
        &self,
        configs: Vec<Config>,
        keys: &KeyRing,
        meanwhile: &mut dyn FnMut() -> bool,
    ) -> anyhow::Result<()> {
        let decision = Decision::default();
        let mut patience = Patience { until: Instant::now() + TAKE_WITHIN, meanwhile };
        let formers = self.propose(configs, keys, &decision, &mut patience);
        match &formers {
            Ok(_) => decision.commit(),
            Err(_) => decision.abort(),
        }
        self.shards.iter().for_each(ShardHandle::wake);
        patience.until = Instant::now() + TAKE_WITHIN;
        for (shard, former) in self.shards.iter().zip(formers?) {
            // From here on every shard takes it, at the latest when it goes round again.
            match patience.wait_for(&former) {
                // The former configuration may be large; it is dropped here and not where heartbeats wait.
                Ok(Some(Ok(former))) => drop(former),
                Ok(Some(Err(error))) => {
                    error!("shard {} was ready for the new configuration and refused it: {error}", shard.shard);
                }
                Ok(None) => warn!("shard {} takes the new configuration once it goes round again", shard.shard),
                Err(Stopped) => break,
            }
        }
        Ok(())
    }

    /// Asks every shard whether it could. If all can, gives back where their former configurations come.
    fn propose(
        &self,
        configs: Vec<Config>,
        keys: &KeyRing,
        decision: &Decision,
        patience: &mut Patience<'_>,
    ) -> anyhow::Result<Vec<Receiver<Former>>> {
        let (mut votes, mut formers) = (Vec::new(), Vec::new());
        for (shard, config) in self.shards.iter().zip(configs) {
            let ((vote, voted), (former, taken)) = (bounded(1), bounded(1));
            let (config, keys, decision) = (Box::new(config), keys.clone(), decision.clone());
            let mut query = Query::Reconfigure(Box::new(Proposal { config, keys, decision, vote: Some(vote), former }));
            while let Err(error) = shard.queries.try_send(query) {
                if error.is_disconnected() || !patience.lasts()? {
                    bail!("shard {} can't be asked; it is overwhelmed or stopping: see the log", shard.shard);
                }
                thread::sleep(ASK_AGAIN);
                query = error.into_inner();
            }
            shard.wake();
            votes.push(voted);
            formers.push(taken);
        }
        for (shard, vote) in self.shards.iter().zip(votes) {
            match patience.wait_for(&vote)? {
                Some(Vote::Ready) => {}
                Some(Vote::NoRoom) => bail!(
                    "shard {} can't tell apart as many groups as there would be with those that nodes have declared; \
                     name fewer, or start the monitor anew",
                    shard.shard
                ),
                None => {
                    bail!("shard {} isn't done with the change before, or stuck, or stopping: see the log", shard.shard)
                }
            }
        }
        Ok(formers)
    }

    /// Notes that what is in force stays so because of `error`.
    pub(crate) fn refuse(&self, error: String) {
        self.loads.refused(self.clock, error);
    }
}

impl Patience<'_> {
    fn lasts(&mut self) -> Result<bool, Stopped> {
        if (self.meanwhile)() { Ok(Instant::now() < self.until) } else { Err(Stopped) }
    }

    /// What comes, unless it is too late or nobody is left to send it.
    fn wait_for<T>(&mut self, from: &Receiver<T>) -> Result<Option<T>, Stopped> {
        loop {
            match from.recv_timeout(LOOK) {
                Ok(it) => return Ok(Some(it)),
                Err(RecvTimeoutError::Timeout) if self.lasts()? => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }
}

fn now(clock: Clock) -> String {
    let reading = clock.read();
    rfc3339(reading.unix_millis(reading.now))
}

/// `asked`, with everything as in `in_force` that can't change while a monitor runs, and the names of what that is.
fn what_can_change(in_force: &Setup, asked: &Setup) -> (Setup, Vec<String>) {
    let (mut setup, mut kept) = (asked.clone(), Vec::new());
    keep("udp under [listen]", &in_force.listen.udp, &mut setup.listen.udp, &mut kept);
    keep("http under [listen]", &in_force.listen.http, &mut setup.listen.http, &mut kept);
    keep("insecure under [listen]", &in_force.listen.insecure, &mut setup.listen.insecure, &mut kept);
    keep("shards under [listen]", &in_force.listen.shards, &mut setup.listen.shards, &mut kept);
    keep("receive_buffer under [listen]", &in_force.listen.receive_buffer, &mut setup.listen.receive_buffer, &mut kept);
    keep("connections under [http]", &in_force.access.connections, &mut setup.access.connections, &mut kept);
    keep(
        "connections_per_address under [http]",
        &in_force.access.connections_per_address,
        &mut setup.access.connections_per_address,
        &mut kept,
    );
    keep("keep under [events]", &in_force.events.keep, &mut setup.events.keep, &mut kept);
    keep("retain under [events]", &in_force.events.retain, &mut setup.events.retain, &mut kept);
    keep("retain_max under [events]", &in_force.events.retain_max, &mut setup.events.retain_max, &mut kept);
    keep("every under [snapshot]", &in_force.snapshot.every, &mut setup.snapshot.every, &mut kept);
    keep("state_dir", &in_force.state_dir, &mut setup.state_dir, &mut kept);
    match (&in_force.plan.guard, &mut setup.plan.guard) {
        (Some(in_force), Some(guard)) => {
            keep("labels under [guard]", &in_force.labels, &mut guard.labels, &mut kept);
        }
        (None, None) => {}
        (in_force, guard) => {
            guard.clone_from(in_force);
            kept.push(stays("whether there is a guard"));
        }
    }
    if in_force.plan.flapping.is_some() != asked.plan.flapping.is_some() {
        setup.plan.flapping = in_force.plan.flapping;
        kept.push(stays("whether flapping is looked for"));
    }
    (setup, kept)
}

fn keep<T: Clone + PartialEq>(what: &str, in_force: &T, asked: &mut T, kept: &mut Vec<String>) {
    if asked != in_force {
        asked.clone_from(in_force);
        kept.push(stays(what));
    }
}

fn stays(what: &str) -> String {
    format!("{what} stays as it was at the start; it changes when the monitor is started anew")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read;
    use crate::proposal::Pending;
    use systole_core::config::{Limits, Plan, Rule, Settings};
    use systole_core::{Backlog, Monitor, Span};

    #[test]
    fn what_can_change_changes_and_the_rest_is_named() {
        let in_force = Setup::default();
        let text = "state_dir = \"/x\"\n[listen]\nudp = \"127.0.0.1:1\"\nhttp = \"off\"\nshards = 3\nreceive_buffer = \
                    \"1MiB\"\n[http]\ntokens = \"t\"\nconnections = 7\n[events]\nkeep = 5\n[defaults]\ninterval = \"1s\"\n";
        let asked = read(text).unwrap();
        let (setup, kept) = what_can_change(&in_force, &asked);
        assert_eq!((&setup.listen, setup.events, &setup.state_dir), (&in_force.listen, in_force.events, &None));
        assert_eq!((setup.access.connections, setup.access.tokens), (256, Some("t".into())));
        assert_eq!(setup.plan, asked.plan);
        assert_eq!(kept.len(), 7, "{kept:#?}");
        assert!(kept[0].starts_with("udp under [listen] stays as it was"), "{kept:#?}");
        assert_eq!(what_can_change(&in_force, &in_force), (in_force.clone(), Vec::new()));
    }

    #[test]
    fn the_numbers_of_the_guard_change_though_its_labels_stay() {
        let asked = read("[guard]\nlabels = [\"rack\"]\nshare = 0.3\n").unwrap();
        let (setup, kept) = what_can_change(&Setup::default(), &asked);
        let guard = setup.plan.guard.expect("there is one");
        assert_eq!((guard.labels.len(), guard.share), (0, 0.3));
        assert!(matches!(&kept[..], [only] if only.starts_with("labels under [guard] stays as it was")), "{kept:?}");
        // A monitor sees it alike, whatever it is handed.
        let mut monitor = Monitor::new(Config::new(Setup::default().plan).unwrap(), now());
        monitor.reconfigure(Config::new(asked.plan).unwrap(), now()).unwrap();
        assert_eq!(monitor.config().plan().guard.as_ref(), Some(&guard));
        let off = read("[guard]\nenabled = false\n").unwrap();
        let (setup, kept) = what_can_change(&Setup::default(), &off);
        assert!(setup.plan.guard.is_some() && kept[0].starts_with("whether there is a guard stays"), "{kept:?}");
        let (setup, kept) = what_can_change(&off, &Setup::default());
        assert!(setup.plan.guard.is_none() && kept[0].starts_with("whether there is a guard stays"), "{kept:?}");
    }

    /// Two shards that are played by hand.
    struct Shards {
        reloading: Reloading,
        queues: Vec<Receiver<Query>>,
        monitors: Vec<Monitor>,
        waiting: Vec<Pending>,
        _polls: Vec<mio::Poll>,
    }

    const LONG: Span = Span::from_secs(77);

    fn config(interval_max: Span, group: Option<&str>) -> Config {
        let rule =
            |name: &str| Rule { name: name.into(), settings: Settings::default(), matches: vec![], nodes: vec![] };
        let limits = Limits { interval_max, ..Limits::default() };
        Config::new(Plan { limits, groups: group.map(rule).into_iter().collect(), ..Plan::default() }).unwrap()
    }

    fn now() -> systole_core::Instant {
        systole_core::Instant::from_nanos(1_000_000_000)
    }

    impl Shards {
        fn new() -> Self {
            let polls: Vec<_> = (0..2).map(|_| mio::Poll::new().unwrap()).collect();
            let (senders, queues): (Vec<_>, Vec<_>) = (0..2).map(|_| bounded(1)).unzip();
            let shards = (0..).zip(senders).zip(&polls).map(|((shard, queries), poll)| {
                let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
                ShardHandle { shard, queries, waker }
            });
            let reloading = Reloading {
                setup: Setup::default(),
                shards: shards.collect(),
                clock: Clock::start(),
                loads: Loads::default(),
            };
            let monitors = (0..2).map(|_| Monitor::new(config(Span::from_secs(60), None), now())).collect();
            Self { reloading, queues, monitors, waiting: vec![Pending::default(), Pending::default()], _polls: polls }
        }

        /// Puts a configuration in force while these shards go round and the others stand still, until there was
        /// nothing to wait for or `rounds` were waited.
        fn reload(&mut self, going: &[usize], mut rounds: u32) -> anyhow::Result<()> {
            let configs = vec![config(LONG, Some("new")); 2];
            let (monitors, waiting, queues) = (&mut self.monitors, &mut self.waiting, &self.queues);
            self.reloading.put_in_force(configs, &KeyRing::default(), &mut || {
                going.iter().for_each(|&shard| round(&mut monitors[shard], &mut waiting[shard], &queues[shard]));
                rounds -= 1;
                rounds > 0
            })
        }

        /// Has all shards go round, those that stood still as well.
        fn go_on(&mut self) {
            for ((monitor, waiting), queue) in self.monitors.iter_mut().zip(&mut self.waiting).zip(&self.queues) {
                round(monitor, waiting, queue);
            }
        }

        /// Which shards judge by the new configuration.
        fn taken(&self) -> Vec<bool> {
            let taken = |monitor: &Monitor| monitor.config().plan().limits.interval_max == LONG;
            self.monitors.iter().map(taken).collect()
        }
    }

    fn round(monitor: &mut Monitor, waiting: &mut Pending, queue: &Receiver<Query>) {
        if let Ok(Query::Reconfigure(proposal)) = queue.try_recv() {
            waiting.put(proposal, monitor, now());
        }
        waiting.proceed(monitor, now());
    }

    #[test]
    fn all_shards_take_it_when_all_are_ready() {
        let mut shards = Shards::new();
        shards.reload(&[0, 1], u32::MAX).unwrap();
        shards.go_on();
        assert_eq!(shards.taken(), [true, true]);
    }

    #[test]
    fn a_queue_that_is_full_for_a_moment_is_asked_again() {
        let mut shards = Shards::new();
        shards.reloading.shards[1].queries.try_send(Query::Groups(None, tokio::sync::oneshot::channel().0)).unwrap();
        shards.reload(&[0, 1], u32::MAX).unwrap();
        assert_eq!(shards.taken(), [true, true]);
    }

    #[test]
    fn a_shard_that_cannot_be_asked_keeps_all_from_changing() {
        let mut shards = Shards::new();
        shards.reloading.shards[1].queries.try_send(Query::Groups(None, tokio::sync::oneshot::channel().0)).unwrap();
        let error = shards.reload(&[0], 3).unwrap_err();
        assert!(error.to_string().contains("told to stop"), "{error}");
        shards.go_on();
        shards.go_on();
        assert_eq!(shards.taken(), [false, false]);
    }

    #[test]
    fn a_shard_that_looks_late_takes_nothing_and_nor_do_the_others() {
        let mut shards = Shards::new();
        shards.reload(&[0], 3).unwrap_err();
        shards.go_on();
        assert_eq!(shards.taken(), [false, false]);
        shards.reload(&[0, 1], u32::MAX).unwrap();
        assert_eq!(shards.taken(), [true, true]);
    }

    #[test]
    fn one_shard_without_room_keeps_all_from_changing() {
        let mut shards = Shards::new();
        // As many groups as can be told apart: those of this configuration and of the one before.
        let rule =
            |i| Rule { name: format!("g{i}").into(), settings: Settings::default(), matches: vec![], nodes: vec![] };
        let limits = Limits { max_groups: u16::MAX, ..Limits::default() };
        for groups in [0..40_000, 40_000..65_535] {
            let plan = Plan { limits, groups: groups.map(rule).collect(), ..Plan::default() };
            shards.monitors[1].reconfigure(Config::new(plan).unwrap(), now()).unwrap();
            while !shards.monitors[1].is_settled() {
                shards.monitors[1].turn(now(), &[], Backlog::Drained, &mut ());
            }
        }
        let error = shards.reload(&[0, 1], u32::MAX).unwrap_err();
        assert!(error.to_string().starts_with("shard 1 can't tell apart as many groups"), "{error}");
        shards.go_on();
        assert_eq!(shards.taken(), [false, false]);
    }
}
