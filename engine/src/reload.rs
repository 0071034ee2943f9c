//! Another configuration for a monitor that runs: all of it that can change, or nothing.
//!
//! ```text
//!   file ──read──► Setup ──what can't change stays──► files of [auth], [http] ──► every shard ──► door
//!            └── a fault anywhere: the former configuration stays in force, and the status says so
//! ```
//!
//! Sockets, threads and folders stay what they were at the start; each key of theirs that was
//! written anew is named. A shard takes its configuration between two rounds, and works it off while
//! heartbeats go on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{anyhow, bail};
use crossbeam::channel::bounded;

use crate::clock::{Clock, rfc3339};
use crate::config::Setup;
use crate::daemon::share_out;
use crate::http::{Door, Server};
use crate::key;
use crate::model::{ConfigLoads, RefusedLoad};
use crate::query::{Query, ShardHandle};

/// How long a shard may take to work off the change before and take the next.
const TAKE_WITHIN: Duration = Duration::from_secs(10);

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
    pub(crate) fn apply(&mut self, asked: &Setup, server: Option<&Server>) -> anyhow::Result<Vec<String>> {
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
        let answers = self.shards.iter().zip(configs).map(|(shard, config)| {
            let (reply, answer) = bounded(1);
            shard.ask(Query::Reconfigure(Box::new(config), keys.clone(), reply)).map(|()| (shard.shard, answer))
        });
        for (shard, answer) in answers.collect::<Result<Vec<_>, _>>()? {
            let former = answer.recv_timeout(TAKE_WITHIN);
            // The former configuration may be large; it is dropped here and not where heartbeats wait.
            drop(
                former
                    .map_err(|_| anyhow!("shard {shard} doesn't take it; it is stuck or stopping: see the log"))??,
            );
        }
        if let Some(server) = server {
            server.set_door(door);
        }
        self.setup = setup;
        self.loads.loaded(self.clock);
        Ok(kept)
    }

    /// Notes that what is in force stays so because of `error`.
    pub(crate) fn refuse(&self, error: String) {
        self.loads.refused(self.clock, error);
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
    let labels = |setup: &Setup| setup.plan.guard.as_ref().map(|guard| guard.labels.clone());
    if labels(in_force) != labels(asked) {
        setup.plan.guard.clone_from(&in_force.plan.guard);
        kept.push(stays("whether there is a guard, and which labels it guards,"));
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
}
