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
use std::time::{Duration, Instant};

use anyhow::bail;
use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};
use systole_core::NotReconfigured;
use systole_core::auth::KeyRing;
use systole_core::config::Config;
use tracing::warn;

use crate::clock::{Clock, rfc3339};
use crate::config::Setup;
use crate::daemon::share_out;
use crate::http::{Door, Server};
use crate::key;
use crate::model::{ConfigLoads, RefusedLoad};
use crate::proposal::{Decision, Proposal, Vote};
use crate::query::{Query, ShardHandle};

/// How long the shards may take to work off the change before.
const TAKE_WITHIN: Duration = Duration::from_secs(10);

/// How long to leave a shard alone whose queue of questions is full.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// How often whoever waits for us is heard.
const LOOK: Duration = Duration::from_millis(100);

/// What a shard judged by before, or why it goes on doing so.
type Former = Result<Config, NotReconfigured>;

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
        let until = Instant::now() + TAKE_WITHIN;
        let ready = self.propose(configs, keys, &decision, until, meanwhile);
        let formers = ready.inspect_err(|_| {
            decision.abort();
            self.shards.iter().for_each(ShardHandle::wake);
        })?;
        decision.commit();
        self.shards.iter().for_each(ShardHandle::wake);
        for (shard, former) in self.shards.iter().zip(formers) {
            match wait_for(&former, Instant::now() + TAKE_WITHIN, meanwhile) {
                // The former configuration may be large; it is dropped here and not where heartbeats wait.
                Some(former) => drop(former?),
                None => warn!("shard {} was ready for the new configuration and hasn't taken it yet", shard.shard),
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
        until: Instant,
        meanwhile: &mut dyn FnMut() -> bool,
    ) -> anyhow::Result<Vec<Receiver<Former>>> {
        let (mut votes, mut formers) = (Vec::new(), Vec::new());
        for (shard, config) in self.shards.iter().zip(configs) {
            let ((vote, voted), (former, taken)) = (bounded(1), bounded(1));
            let (config, keys, decision) = (Box::new(config), keys.clone(), decision.clone());
            let mut query = Query::Reconfigure(Box::new(Proposal { config, keys, decision, vote: Some(vote), former }));
            while let Err(error) = shard.queries.try_send(query) {
                if error.is_disconnected() || Instant::now() > until || !meanwhile() {
                    bail!("shard {} can't be asked; it is overwhelmed or stopping: see the log", shard.shard);
                }
                std::thread::sleep(ASK_AGAIN);
                query = error.into_inner();
            }
            shard.wake();
            votes.push(voted);
            formers.push(taken);
        }
        for (shard, vote) in self.shards.iter().zip(votes) {
            match wait_for(&vote, until, meanwhile) {
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

/// What comes, unless it is too late or `meanwhile` says to give up.
fn wait_for<T>(from: &Receiver<T>, until: Instant, meanwhile: &mut dyn FnMut() -> bool) -> Option<T> {
    loop {
        match from.recv_timeout(LOOK) {
            Ok(it) => return Some(it),
            Err(RecvTimeoutError::Timeout) if Instant::now() < until && meanwhile() => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
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
        let off = read("[guard]\nenabled = false\n").unwrap();
        let (setup, kept) = what_can_change(&Setup::default(), &off);
        assert!(setup.plan.guard.is_some() && kept[0].starts_with("whether there is a guard stays"), "{kept:?}");
    }
}
