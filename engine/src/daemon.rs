//! Puts the monitor together from its parts, starts it, and takes it apart again.
//!
//! ```text
//!   shard 0 ─┐                          ┌─ http (its own thread and runtime)
//!   shard 1 ─┼─ events ─► journal ──────┤
//!   shard n ─┘               │          └─ asks the shards, reads the journal
//!      ▲                     ▼
//!      └─ beliefs ────► state directory (two threads of its own)
//! ```
//!
//! The sockets of one address live and die together: closing one renumbers the others in the
//! kernel. So everything is bound before the first thread starts, and a fault leaves nothing behind; whoever
//! wants to lay down privileges does it between the two.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, anyhow, bail};
use crossbeam::channel::bounded;
use mio::{Poll, Waker};
use systole_core::auth::KeyRing;
use systole_core::config::{Config, Plan};
use systole_core::{Monitor, Share};

use crate::clock::{Clock, Reading};
use crate::config::Setup;
use crate::http::{self, Control, Door, Server};
use crate::inherited::Inherited;
use crate::key;
use crate::pulse::{Pulses, Rounds};
use crate::query::ShardHandle;
use crate::reload::{Loads, Reloading};
use crate::shard::{self, Council, Horizon, Outlet, Parts, Peer, RESERVE, WAKER};
use crate::store::{Journal, Keeping, Restored, State};
use crate::udp::{self, Options, Socket};

/// Events of each shard that may wait for the journal.
const EVENTS_QUEUE: usize = 32_768;

const _: () = assert!(EVENTS_QUEUE > 4 * RESERVE, "verdicts have most of the queue of events");

/// Messages that may wait for a shard that owns their nodes.
const INBOX: usize = 65_536;

/// Questions that may wait for a shard.
const QUERIES: usize = 256;

/// Shards at most: each has a bit in a word.
const SHARDS_MAX: usize = 64;

/// A monitor that listens and doesn't run yet: what comes waits in its sockets.
#[derive(Debug)]
pub struct Bound {
    setup: Setup,
    configs: Vec<Config>,
    keys: KeyRing,
    clock: Clock,
    unbound: Reading,
    groups: Vec<Vec<Socket>>,
    listener: Option<TcpListener>,
    door: Door,
}

/// A running monitor.
#[derive(Debug)]
pub struct Daemon {
    udp: Vec<SocketAddr>,
    receive_buffer: usize,
    shards: Vec<JoinHandle<io::Result<Monitor>>>,
    stop: Arc<AtomicBool>,
    journal: JoinHandle<()>,
    keeping: Option<Keeping>,
    restored: Option<Restored>,
    rounds: Rounds,
    reloading: Reloading,
    http: Option<Server>,
}

/// Starts the monitor that `setup` describes.
///
/// # Errors
/// An address that can't be listened on, or a setup that contradicts itself. Nothing runs then.
pub fn start(setup: &Setup) -> anyhow::Result<Daemon> {
    bind(setup, Inherited::none())?.start()
}

/// Opens everything that the monitor listens on, and what decides who is let in.
///
/// # Errors
/// An address that can't be listened on, inherited sockets that don't fit, a file that can't be used, or a setup
/// that contradicts itself. Nothing stays open.
pub fn bind(setup: &Setup, mut inherited: Inherited) -> anyhow::Result<Bound> {
    let shards = shard_count(inherited.shards(&setup.listen)?.or(setup.listen.shards))?;
    let configs = share_out(&setup.plan, shards)?;
    let keys = key::ring(setup.auth.mode, &setup.auth.keys)?;
    let clock = Clock::start();
    let unbound = clock.read();
    let options = Options { receive_buffer: setup.listen.receive_buffer, ..Options::default() };
    let mut groups = Vec::with_capacity(setup.listen.udp.len());
    for address in &setup.listen.udp {
        let open = inherited.take_udp(*address);
        groups.push(if open.is_empty() {
            udp::bind_group(*address, shards, &options)?
        } else {
            udp::adopt_group(open, &options)
                .with_context(|| format!("can't use the socket on {address} that was handed over"))?
        });
    }
    let door = Door::load(&setup.access)?;
    let listener = match inherited.take_http() {
        Some(listener) => Some(listener),
        None => setup.listen.http.map(listen_http).transpose()?,
    };
    Ok(Bound { setup: setup.clone(), configs, keys, clock, unbound, groups, listener, door })
}

impl Bound {
    /// Starts to judge what comes.
    ///
    /// # Errors
    /// The system won't have it.
    pub fn start(self) -> anyhow::Result<Daemon> {
        let Self { setup, configs, keys, clock, unbound, groups, listener, door } = self;
        let shards = configs.len();
        let udp = groups.iter().filter_map(|group| group.first()).map(Socket::local_addr).collect();
        let receive_buffer = groups.iter().flatten().map(Socket::receive_buffer).min().unwrap_or(0);
        let (events, events_out) = bounded(EVENTS_QUEUE * (shards + 1));
        let stop = Arc::new(AtomicBool::new(false));
        let polls: Vec<Poll> = (0..shards).map(|_| Poll::new()).collect::<Result<_, _>>()?;
        let wakers = polls.iter().map(|poll| Waker::new(poll.registry(), WAKER).map(Arc::new));
        let wakers: Vec<Arc<Waker>> = wakers.collect::<Result<_, _>>()?;
        let horizon = Arc::new(Horizon::new(wakers.iter().cloned()));
        let (inboxes, inboxes_out): (Vec<_>, Vec<_>) = (0..shards).map(|_| bounded(INBOX)).unzip();
        let peers: Arc<[Peer]> =
            inboxes.into_iter().zip(&wakers).map(|(inbox, waker)| Peer { inbox, waker: Arc::clone(waker) }).collect();
        let (queries, queries_out): (Vec<_>, Vec<_>) = (0..shards).map(|_| bounded(QUERIES)).unzip();
        let handles = (0..).zip(queries).zip(&wakers);
        let handles = handles.map(|((shard, queries), waker)| ShardHandle { shard, queries, waker: Arc::clone(waker) });
        let handles: Vec<ShardHandle> = handles.collect();
        let loads = Loads::default();
        loads.loaded(clock);
        let mut monitors: Vec<Monitor> = configs.into_iter().map(|config| Monitor::new(config, clock.now())).collect();
        // What arrives while the former life is read waits in the sockets.
        let mut state = setup.state_dir.as_deref().map(|dir| State::open(dir, &setup, clock)).transpose()?;
        let restored = state.as_mut().map(|state| state.restore(&mut monitors));

        // From here on threads run; what can fail for reasons outside has been done.
        let (keeping, journal, writer) = match state {
            Some(state) => {
                let (keeping, journal, writer) = state.keep(handles.clone())?;
                (Some(keeping), journal, writer)
            }
            None => {
                let (journal, writer) = Journal::new(setup.events.keep);
                (None, journal, writer)
            }
        };
        let control = Control { shards: handles.clone(), journal, clock, started: clock.now(), loads: loads.clone() };
        let mut pulses = Pulses::default();
        let lost = Arc::new(AtomicU64::new(0));
        let mut sockets_of = transpose(groups, shards);
        let mut running = Vec::with_capacity(shards);
        let ends = polls.into_iter().zip(inboxes_out).zip(queries_out).zip(monitors).zip(Council::seats(shards));
        for (index, ((((poll, inbox), queries), mut monitor), council)) in (0u32..).zip(ends) {
            let share = monitor.config().plan().share;
            monitor.set_keys(keys.clone());
            let name = format!("systole-shard-{index}");
            let parts = Parts {
                shard: index,
                monitor,
                sockets: sockets_of.remove(0),
                poll,
                outlet: Outlet::new(index, share, events.clone(), Arc::clone(&peers), Arc::clone(&lost), unbound),
                inbox,
                queries,
                horizon: Arc::clone(&horizon),
                council,
                clock,
                unbound,
                pulse: pulses.add(&name),
                stop: Arc::clone(&stop),
            };
            running.push(spawn(&name, move || shard::run(parts))?);
        }
        drop(events);
        let pulse = pulses.add(JOURNAL);
        let journal = spawn(JOURNAL, move || writer.keep(&events_out, &pulse))?;
        let http = listener.map(|listener| http::start(listener, control, &setup.access, door));
        let reloading = Reloading { setup, shards: handles, clock, loads };
        let mut daemon = Daemon {
            udp,
            receive_buffer,
            shards: running,
            stop,
            journal,
            keeping,
            restored,
            rounds: Rounds::new(pulses, wakers),
            reloading,
            http: None,
        };
        match http.transpose() {
            Ok(server) => daemon.http = server,
            Err(error) => {
                daemon.stop()?;
                return Err(error).context("the system won't start the HTTP interface");
            }
        }
        Ok(daemon)
    }
}

impl Daemon {
    /// The addresses that heartbeats are taken on.
    pub fn udp_addrs(&self) -> &[SocketAddr] {
        &self.udp
    }

    /// The address of the HTTP interface, if it is on.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(Server::addr)
    }

    /// Whether questions are asked over TLS.
    pub fn speaks_tls(&self) -> bool {
        self.http.as_ref().is_some_and(Server::speaks_tls)
    }

    /// How many shards there are.
    pub const fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The smallest receive buffer that the kernel granted, in bytes.
    pub const fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// What it believed again from the start; nothing without a state directory.
    pub const fn restored(&self) -> Option<&Restored> {
        self.restored.as_ref()
    }

    /// Whether every thread that should run still does.
    pub fn is_whole(&self) -> bool {
        let keeping = self.keeping.as_ref().is_none_or(Keeping::is_whole);
        keeping && !self.journal.is_finished() && self.shards.iter().all(|shard| !shard.is_finished())
    }

    /// Puts another setup in force, and says what of it needs a new start. That waits for the shards, up to ten seconds
    /// until all can take it, and calls `meanwhile` several times in each; if that says false, it is given up.
    ///
    /// # Errors
    /// Something of it can't be used, or it was given up: then everything stays as it was, and the status says so.
    pub fn reload(
        &mut self,
        setup: &Setup,
        mut meanwhile: impl FnMut(&mut Rounds) -> bool,
    ) -> anyhow::Result<Vec<String>> {
        let Self { reloading, http, rounds, .. } = self;
        let kept = reloading.apply(setup, http.as_ref(), &mut || meanwhile(rounds));
        if let Err(error) = &kept {
            self.reload_refused(format!("{error:#}"));
        }
        kept
    }

    /// Notes for the status why another setup can't be put in force.
    pub fn reload_refused(&self, error: String) {
        self.reloading.refuse(error);
    }

    /// Whether all threads still go round.
    pub const fn rounds(&mut self) -> &mut Rounds {
        &mut self.rounds
    }

    /// Ends all threads and closes all sockets. Returns when nothing is left.
    ///
    /// # Errors
    /// A thread had ended before its time.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.keeping.iter_mut().for_each(Keeping::begin_end);
        if let Some(server) = self.http {
            server.stop();
        }
        self.stop.store(true, Ordering::Relaxed);
        self.rounds.wake();
        let mut monitors = Vec::with_capacity(self.shards.len());
        for (index, shard) in self.shards.into_iter().enumerate() {
            let ended = shard.join().map_err(|_| anyhow!("shard {index} panicked; that is a bug, please report it"))?;
            monitors.push(ended.with_context(|| format!("shard {index} can't wait for its sockets"))?);
        }
        self.journal.join().map_err(|_| anyhow!("the journal panicked; that is a bug, please report it"))?;
        self.keeping.map_or(Ok(()), |keeping| keeping.end(&monitors))
    }
}

/// Half of the cores if nobody says otherwise: the kernel needs the other half to deliver.
fn shard_count(wanted: Option<usize>) -> anyhow::Result<usize> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let shards = wanted.unwrap_or_else(|| (cores / 2).clamp(1, 8));
    if !(1..=SHARDS_MAX).contains(&shards) {
        bail!("{shards} shards is out of range; choose 1 to {SHARDS_MAX}, about one for each core");
    }
    Ok(shards)
}

/// One configuration for each shard: the same but for its share of the nodes.
pub(crate) fn share_out(plan: &Plan, shards: usize) -> anyhow::Result<Vec<Config>> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| anyhow!("no random numbers to be had from the system: {error}"))?;
    let [low, high] = [&key[..8], &key[8..]].map(|half| half.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    let count = u32::try_from(shards).expect("shards were counted");
    let listed = plan.groups.iter().map(|rule| rule.nodes.len()).sum::<usize>();
    let shares = (0..count).filter_map(|index| Share::new(index, count));
    let configs = shares.map(|share| {
        let mut plan = Plan { share, hash_key: (low, high), ..plan.clone() };
        let listed = u32::try_from(listed).unwrap_or(u32::MAX);
        plan.limits.max_nodes = share_max(plan.limits.max_nodes, count).max(listed.min(plan.limits.max_nodes));
        if let Some(guard) = &mut plan.guard {
            guard.rate /= count as f32;
        }
        plan.limits.new_nodes = plan.limits.new_nodes.map(|new| new.shared_by(count));
        Config::new(plan)
    });
    configs.collect::<Result<_, _>>().map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow!("the configuration contradicts itself: {}", faults.join("; "))
    })
}

/// How many of at most `max` nodes one of `count` shards may have to hold. A hash doesn't deal them
/// out evenly: beyond six standard deviations above the mean lies one shard in a thousand million.
fn share_max(max: u32, count: u32) -> u32 {
    let mean = max.div_ceil(count);
    if count == 1 { max } else { mean.saturating_add(6 * mean.isqrt() + 16).min(max) }
}

fn listen_http(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| {
        format!("can't listen on HTTP address {address}; stop the process that has it or choose another with --http")
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// From one list of sockets for each address to one list for each shard.
fn transpose(groups: Vec<Vec<Socket>>, shards: usize) -> Vec<Vec<Socket>> {
    let mut sockets_of: Vec<Vec<Socket>> = (0..shards).map(|_| Vec::new()).collect();
    for group in groups {
        for (shard, socket) in group.into_iter().enumerate() {
            sockets_of[shard].push(socket);
        }
    }
    sockets_of
}

/// The name of the thread that keeps events.
const JOURNAL: &str = "systole-journal";

fn spawn<T: Send + 'static>(name: &str, body: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<JoinHandle<T>> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.with_context(|| format!("the system won't start the thread {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_fleet_has_a_place_in_every_shard() {
        for (max, count) in [(1_000, 8), (1_000_000, 2), (50, 7), (1, 64), (u32::MAX, 3)] {
            let share = Share::new(0, count).expect("a share");
            let mut held = vec![0; count as usize];
            for node in 0..max.min(100_000) {
                held[share.owner(systole_core::NodeId::of(&format!("node-{node}"))) as usize] += 1;
            }
            let most = held.into_iter().max().unwrap_or(0);
            assert!(most <= share_max(max, count), "{most} of {max} on one of {count}");
            assert!(share_max(max, count) <= max);
        }
    }
}
