//! `systole run`: the monitor, from the first line of its configuration to the last signal.
//!
//! A flag outranks the file and the file outranks the defaults. What is asked for and can't be had
//! stops the start; what is had and may not be meant is said loudly. One SIGINT or SIGTERM ends it
//! in order, a second one at once; SIGHUP loads the configuration anew.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use crossbeam::channel::{Receiver, bounded, select, tick};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use tracing::{error, info, warn};

use super::log;
use crate::config::{self, Http, SHARDS_MAX, Setup, Size, Unusable};
use crate::daemon::{self, Daemon};
use crate::inherited::Inherited;
use crate::privileges;
use crate::pulse::Rounds;
use crate::service::Service;
use crate::udp;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The configuration; flags outrank it, and none is needed
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take heartbeats on this address; can be given more than once [default: 127.0.0.1:2328]
    #[arg(long, value_name = "ADDR", value_parser = config::address)]
    udp: Vec<SocketAddr>,
    /// Answer questions on this address, or "off" [default: 127.0.0.1:2329]
    #[arg(long, value_name = "ADDR|off")]
    http: Option<Http>,
    /// Keep events and beliefs in this folder, so that a restart forgets nothing; made if it isn't there
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Share the nodes among this many threads [default: half of the cores, at most 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(SHARDS_MAX)))]
    shards: Option<u32>,
    /// Listen beyond loopback though nobody has to show a key: whoever reaches the port is believed
    #[arg(long)]
    insecure: bool,
    /// What to log: error, warn, info, debug, trace, or a filter such as systole=debug
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
}

/// Runs the monitor until a signal ends it.
///
/// # Errors
/// A configuration with faults, an address that can't be had, or a thread that ended on its own.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its arguments")]
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    log::start(&args.log)?;
    let inherited = Inherited::from_environment()?;
    let setup = args.setup()?;
    let watched = Watched::start().context("can't watch for SIGINT, SIGTERM and SIGHUP")?;
    for warning in config::warnings(&setup) {
        warn!("{warning}");
    }
    let asked = setup.listen.receive_buffer;
    if !inherited.is_empty() {
        let s = if inherited.len() == 1 { "" } else { "s" };
        info!("{} socket{s} handed over by whoever started us", inherited.len());
    }
    let bound = daemon::bind(&setup, inherited)?;
    lay_down_privileges()?;
    let signals = watched.forward().context("the system won't start the thread for signals")?;
    let daemon = bound.start()?;
    announce(&daemon, asked);
    let service = Service::from_environment();
    service.ready(&status(&daemon));
    Running { args: &args, daemon, service }.until_told(&signals)
}

/// Whatever it took to bind, judging takes no privilege.
fn lay_down_privileges() -> anyhow::Result<()> {
    let had = privileges::lay_down().context("can't lay down the privileges of this process")?;
    if !had.is_empty() {
        info!("laid down for good, as everything is bound: {}", had.join(", "));
    }
    Ok(())
}

impl Args {
    /// The file if there is one, and the flags over it.
    fn setup(&self) -> anyhow::Result<Setup> {
        let mut setup = match &self.config {
            Some(path) => config::load(path, self.insecure)?,
            None => Setup::default(),
        };
        let listen = &mut setup.listen;
        listen.insecure |= self.insecure;
        if !self.udp.is_empty() {
            listen.udp.clone_from(&self.udp);
        }
        if let Some(Http(http)) = self.http {
            listen.http = http;
        }
        if let Some(shards) = self.shards {
            listen.shards = Some(shards as usize);
        }
        guard(&setup)?;
        setup.state_dir = self.state_dir.clone().or(setup.state_dir);
        Ok(setup)
    }
}

fn guard(setup: &Setup) -> anyhow::Result<()> {
    match setup.exposed().next() {
        Some(address) if !setup.listen.insecure => bail!(
            "{address} is open to other machines, and without a key or a token whoever reaches it is believed; use a \
             loopback address such as 127.0.0.1, enforce keys in [auth] and name tokens under [http], or add --insecure \
             if you trust that network"
        ),
        Some(_) | None => Ok(()),
    }
}

fn announce(daemon: &Daemon, asked: usize) {
    for address in daemon.udp_addrs() {
        info!("listening for heartbeats on udp {address}");
    }
    match daemon.http_addr() {
        Some(address) if daemon.speaks_tls() => info!("answering on https://{address}"),
        Some(address) => info!("answering on http://{address}"),
        None => info!("http is off"),
    }
    if let Some(restored) = daemon.restored() {
        info!("{restored}");
    }
    let granted = daemon.receive_buffer() / GRANTED_FOR_ASKED;
    let counted = match size(daemon.receive_buffer()) {
        kernel if kernel == size(granted) => String::new(),
        kernel => format!(" (the kernel and the status count {kernel})"),
    };
    let s = if daemon.shards() == 1 { "" } else { "s" };
    let holds = udp::capacity(daemon.receive_buffer());
    let lasts = udp::lasts(daemon.receive_buffer(), 1_000_000);
    info!(
        "{} shard{s}, receive buffers of {}{counted}: each holds {holds} heartbeats, {lasts} of a million a second",
        daemon.shards(),
        size(granted)
    );
    if granted < asked {
        warn!(
            "the kernel grants receive buffers of {}, asked for {}: a million heartbeats a second are lost after {lasts} \
             in which we are busy; raise net.core.rmem_max or grant CAP_NET_ADMIN",
            size(granted),
            size(asked)
        );
    }
}

fn size(bytes: usize) -> Size {
    Size::from_bytes(bytes as u64)
}

/// One line for whoever looks at the service.
fn status(daemon: &Daemon) -> String {
    let udp: Vec<String> = daemon.udp_addrs().iter().map(ToString::to_string).collect();
    let scheme = if daemon.speaks_tls() { "https" } else { "http" };
    let http = daemon.http_addr().map_or_else(|| "http off".to_owned(), |address| format!("{scheme}://{address}"));
    format!("taking heartbeats on udp {}, {http}", udp.join(", "))
}

/// A monitor, and whoever has a say in how it goes on.
struct Running<'a> {
    args: &'a Args,
    daemon: Daemon,
    service: Service,
}

/// Tells whoever started us from time to time that we are alive.
struct Vigil {
    service: Service,
    every: Duration,
    ticks: Receiver<Instant>,
    /// Looks in a row at which some thread had made no round.
    standing: u32,
}

impl Running<'_> {
    /// Goes on until a signal comes or the monitor breaks.
    fn until_told(mut self, signals: &Receiver<Told>) -> anyhow::Result<ExitCode> {
        let mut vigil = Vigil::of(self.service);
        let mut meanwhile = None;
        let whole = loop {
            let told = meanwhile.take().or_else(|| {
                select! {
                    recv(signals) -> told => Some(told.unwrap_or(Told::Stop)),
                    recv(vigil.ticks) -> _ => None,
                }
            });
            match told {
                Some(Told::Reload) => meanwhile = self.reload(&mut vigil, signals),
                Some(Told::Stop) => break true,
                None if self.daemon.is_whole() => vigil.look(self.daemon.rounds()),
                None => break false,
            }
        };
        info!("stopping; a second signal ends it at once");
        self.service.stopping();
        self.daemon.stop()?;
        if !whole {
            bail!("a thread of the monitor ended on its own; that is a bug, please report it with the log");
        }
        info!("stopped");
        Ok(ExitCode::SUCCESS)
    }

    /// Puts in force what the file says now; if anything is wrong with it, nothing. Says what it was told meanwhile: to
    /// stop, which ends it, or to reload once more, as the file may have changed since it was read.
    fn reload(&mut self, vigil: &mut Vigil, signals: &Receiver<Told>) -> Option<Told> {
        self.service.reloading();
        let mut told = None;
        let meanwhile = |rounds: &mut Rounds| {
            if vigil.ticks.try_recv().is_ok() {
                vigil.look(rounds);
            }
            while told != Some(Told::Stop) {
                let Ok(next) = signals.try_recv() else { return true };
                told = Some(next);
            }
            false
        };
        match self.args.setup() {
            Ok(setup) => match self.daemon.reload(&setup, meanwhile) {
                Ok(kept) => {
                    config::warnings(&setup).into_iter().chain(kept).for_each(|warning| warn!("{warning}"));
                    info!("the configuration was loaded anew");
                }
                Err(error) => error!("the configuration wasn't loaded, the former one stays in force: {error:#}"),
            },
            Err(error) => {
                let faults: Vec<String> = match error.downcast_ref::<Unusable>() {
                    Some(Unusable::Faulty { path, faults }) => {
                        faults.iter().map(|fault| format!("{}:{fault}", path.display())).collect()
                    }
                    Some(Unusable::Unread { .. }) | None => vec![format!("{error:#}")],
                };
                faults.iter().for_each(|fault| error!("{fault}"));
                error!("the configuration wasn't loaded, the former one stays in force");
                self.daemon.reload_refused(faults.into_iter().next().unwrap_or_default());
            }
        }
        self.service.ready(&status(&self.daemon));
        told
    }
}

impl Vigil {
    fn of(service: Service) -> Self {
        // Twice within the time in which we must be heard of, and once more for a machine that is busy.
        let every = service.watchdog().map_or(LOOK, |within| (within / 3).min(LOOK));
        Self { service, every, ticks: tick(every), standing: 0 }
    }

    /// Says that we are alive, unless a thread stands still: then whoever started us may start us anew.
    fn look(&mut self, rounds: &mut Rounds) {
        let standing = rounds.standing();
        if standing.is_empty() {
            self.standing = 0;
            return self.service.alive();
        }
        self.standing += 1;
        // A tenth of a second on a busy machine is nothing to speak of.
        let since = self.every * self.standing;
        if since >= LOOK && since - self.every < LOOK {
            error!("{} stands still; as long as it does, no watchdog is told that we are alive", standing.join(", "));
        }
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Reload,
    Stop,
}

/// Signals that don't end us any more, and wait to be read.
struct Watched(Signals);

impl Watched {
    /// Watches from now on. The second signal to stop is what it would be without us.
    fn start() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag down and raises it.
            flag::register_conditional_default(signal, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Signals::new([SIGHUP, SIGINT, SIGTERM]).map(Self)
    }

    /// Passes on what comes, from a thread of its own. Of several wishes to reload that wait one is enough.
    fn forward(mut self) -> io::Result<Receiver<Told>> {
        let (sender, receiver) = bounded(2);
        let forward = move || {
            for signal in self.0.forever() {
                if signal == SIGHUP {
                    // The last place is kept for the wish to stop.
                    if sender.is_empty() {
                        let _ = sender.try_send(Told::Reload);
                    }
                    continue;
                }
                // Nobody is there to be told only if the monitor has ended anyway.
                let _ = sender.send(Told::Stop);
                return;
            }
        };
        thread::Builder::new().name("systole-signals".into()).spawn(forward)?;
        Ok(receiver)
    }
}

/// How often to look whether all threads still run.
const LOOK: Duration = Duration::from_secs(1);

/// Linux tells twice what it was asked for, as it counts its own headers too.
const GRANTED_FOR_ASKED: usize = if cfg!(target_os = "linux") { 2 } else { 1 };

const EXAMPLES: &str = "\
Examples:
  systole run                                     on this machine, with no configuration
  systole run --config systole.toml               see `systole check` for its faults
  systole run --udp 0.0.0.0:2328 --insecure       for a network that is trusted
  systole run --state-dir /var/lib/systole        what is known outlives a restart
  systole run --udp 127.0.0.1:0 --http off        on any free port, and silent

SIGINT or SIGTERM ends it in order; a second one at once. SIGHUP loads the configuration anew.";

#[cfg(test)]
mod tests {
    use std::io::Write;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        args: Args,
    }

    fn setup(flags: &[&str]) -> anyhow::Result<Setup> {
        Alone::try_parse_from([&["run"], flags].concat()).expect("flags").args.setup()
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    #[test]
    fn without_a_flag_it_is_the_default() {
        assert_eq!(setup(&[]).expect("a setup"), Setup::default());
    }

    #[test]
    fn flags_outrank_the_file() {
        let file = file("[listen]\nudp = \"127.0.0.1:1\"\nhttp = \"127.0.0.1:2\"\nshards = 2\n[events]\nkeep = 7\n");
        let path = file.path().to_str().expect("a path");
        let flags = ["--config", path, "--udp", "127.0.0.1:3", "--udp", "[::1]:4", "--http", "off", "--shards", "5"];
        let setup = setup(&flags).expect("a setup");
        let udp = ["127.0.0.1:3", "[::1]:4"].map(|text| text.parse().expect(text));
        assert_eq!(setup.listen.udp, udp);
        assert_eq!((setup.listen.http, setup.listen.shards, setup.events.keep), (None, Some(5), 7));
    }

    #[test]
    fn an_open_address_needs_someone_who_takes_it_on() {
        let refused = setup(&["--udp", "0.0.0.0:2328"]).expect_err("open").to_string();
        assert!(refused.contains("0.0.0.0:2328") && refused.contains("--insecure"), "{refused}");
        assert!(setup(&["--http", "[::]:0"]).is_err());
        assert!(setup(&["--udp", "0.0.0.0:2328", "--insecure"]).is_ok());
        let open = file("[listen]\nudp = \"0.0.0.0:1\"\n");
        let path = open.path().to_str().expect("a path");
        assert!(setup(&["--config", path]).is_err());
        assert!(setup(&["--config", path, "--insecure"]).expect("taken on").listen.insecure);
    }

    #[test]
    fn the_state_directory_of_the_flag_outranks_that_of_the_file() {
        let file = file("state_dir = \"/var/lib/systole\"\n");
        let path = file.path().to_str().expect("a path");
        let dir = |flags: &[&str]| setup(flags).expect("a setup").state_dir.expect("a directory");
        assert_eq!(dir(&["--config", path]), PathBuf::from("/var/lib/systole"));
        assert_eq!(dir(&["--config", path, "--state-dir", "/elsewhere"]), PathBuf::from("/elsewhere"));
    }

    #[test]
    fn every_fault_of_the_file_is_in_the_error() {
        let file = file("shards = 1\n[listen]\nudp = 5\n");
        let path = file.path().to_str().expect("a path");
        let error = setup(&["--config", path]).expect_err("faults").to_string();
        assert!(error.contains(&format!("{path}:1:1: ")) && error.contains(&format!("{path}:3:7: ")), "{error}");
    }
}
