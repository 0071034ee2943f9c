//! `systole-sim` as a command: flags in, one run, a table or JSON out.
//!
//! What can't be run is refused before anything is printed but the seed, the version and the
//! parameters, each fault on a line of its own. Exit codes: 0 fine, 1 the run or its output went
//! wrong, 2 usage.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use systole_core::{Span, Wait};

use crate::latency::Delay;
use crate::lifetime::Lifetime;
use crate::loss::Loss;
use crate::report;
use crate::run::{Progress, run_on};
use crate::scenario::{
    ClockStep, DEFAULT_SEED, DetectorChoice, FlapText, Gates, Group, GuardText, Incident, Partition, Pauses, Phase,
    Reorder, Restart, Scenario, Stall, Troubles, Uplink,
};
use crate::transport::Transport;

/// Which interval, which timeout, and how sure are we: simulates heartbeats against the detectors
/// of systole, under virtual time.
#[derive(Debug, Parser)]
#[command(name = "systole-sim", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs one scenario and measures detection time against mistakes.
    Run(Box<Run>),
    /// Holds the simulator against what can be computed exactly; exit 1 beyond 4 sigma.
    Validate(crate::validate::Args),
    /// Replays real traces: every detector at equal mean detection time, or those named as they are set.
    Replay(crate::replay::Args),
    /// Shows which models of loss and delay give again what real traces show.
    Models(crate::models::Args),
    /// Runs every combination of a plan's settings on all cores, and draws what came out.
    Sweep(crate::sweep::Args),
    /// Finds the cheapest interval and timeout that meet a requirement; exit 1 if none do.
    Advise(Box<crate::advise::Args>),
}

#[derive(Debug, Args)]
struct Run {
    /// A scenario file, or the name of one that comes with the simulator: lan, wan, bursty, mobile,
    /// satellite, partition, pauses, restart_storm, late_monitor, stalled_monitor, overflow, zone_cut,
    /// scale_in. Without one the flags say everything
    #[arg(value_name = "SCENARIO", conflicts_with = "Flags")]
    scenario: Option<String>,
    #[command(flatten)]
    flags: Flags,
    /// Keys every random number; the same seed is the same run [default: 2328, or as the file says]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Threads to run on; the result doesn't depend on it [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    threads: Option<std::num::NonZeroU16>,
    /// Prints JSON instead of a table
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Prints CSV instead of a table: one row for each group, and one for all if there are several
    #[arg(long)]
    csv: bool,
}

#[derive(Debug, Args)]
struct Flags {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 1)]
    nodes: u32,
    /// How often each of them beats
    #[arg(long, value_name = "SPAN", default_value = "1s")]
    interval: Span,
    /// fixed:timeout=1.5s, missed:k=3, chen:margin=2.25x, two-window, phi:threshold=8, bertier,
    /// or nfd-s:delta=1s, which exists in the simulator only
    #[arg(long, value_name = "SPEC", default_value = "chen")]
    detector: DetectorChoice,
    /// How long a suspect may stay silent before it is failed: 3x (intervals) or 5s
    #[arg(long, value_name = "WAIT", default_value = "3x")]
    confirm: Wait,
    /// none, a probability such as 0.01, gilbert:p=0.01,burst=5[,bad=0.8,good=0.001],
    /// fading:p=0.32,sigma=1,memory=50, fritchman:p=0.0062,runs=47x1|2x3.5|1x26,
    /// periodic:every=15s,length=1s,loss=0.05,else=0.001[,phase=3s|random], trace:FILE[,by=time|row],
    /// or a sum of them: 0.001+periodic:...
    #[arg(long, value_name = "SPEC", default_value = "none", allow_hyphen_values = true)]
    loss: Loss,
    /// const:20ms, uniform:10ms..30ms, exp:20ms, normal:mean=20ms,sd=5ms,
    /// lognormal:median=20ms,sigma=0.5, gamma:mean=20ms,shape=2, weibull:scale=20ms,shape=0.8,
    /// pareto:min=10ms,shape=2.5, all but gamma with ,lag1=0.7 at the end, histogram:12x0.5ms|300x1ms,
    /// regimes:exp:20ms@6h|exp:200ms@1h or trace:FILE[,by=time|row]
    #[arg(long, value_name = "SPEC", default_value = "const:0ms")]
    delay: Delay,
    /// The length of the run: heartbeats sent by all nodes together [default: 1000000, or 100 for
    /// each node if that is more]
    #[arg(long, value_name = "N")]
    heartbeats: Option<u64>,
    /// How many crashes to spread over the run [default: one in 1,000 heartbeats]
    #[arg(long, value_name = "N")]
    crashes: Option<u64>,
    /// The share of those that says goodbye instead, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_hyphen_values = true)]
    goodbyes: f64,
    /// How long a crashed node stays down [default: as long as finding it can take, and two intervals]
    #[arg(long, value_name = "SPAN")]
    down: Option<Span>,
    /// Each heartbeat leaves up to this share of an interval late, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_hyphen_values = true)]
    jitter: f64,
    /// Each node's clock runs up to this much too fast or too slow, 0 to 0.5
    #[arg(long, value_name = "RATE", default_value_t = 0.0, allow_hyphen_values = true)]
    drift: f64,
    /// When the nodes begin: each at a random point of the first interval, or all at once
    #[arg(long, value_enum, default_value_t = Start::Spread)]
    phase: Start,
    /// Senders stop now and then, on average: every=10m,length=2s
    #[arg(long, value_name = "SPEC")]
    pauses: Option<Pauses>,
    /// With this probability a sender sends a heartbeat twice, 0 to 1
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_hyphen_values = true)]
    twice: f64,
    /// With this probability the network delivers a heartbeat twice, 0 to 1
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_hyphen_values = true)]
    duplicates: f64,
    /// Nothing that this share of the nodes sends arrives meanwhile: 0.3@60s..90s, or 0.3@60s..90s,exact=yes
    /// for exactly so many; may be repeated
    #[arg(long, value_name = "SPEC")]
    partition: Vec<Partition>,
    /// How long a life lasts before it ends in a crash, on top of --crashes: exp:30d,
    /// weibull:mean=30d,shape=0.45, lognormal:median=30d,sigma=1.5 or gamma:mean=30d,shape=0.5
    #[arg(long, value_name = "SPEC")]
    lifetime: Option<Lifetime>,
    /// How long such a node stays down, as --lifetime [default: as --down]
    #[arg(long, value_name = "SPEC")]
    outage: Option<Lifetime>,
    /// datagram, or reliable:rto=200ms,rto-max=60s: a connection that repeats what was lost
    #[arg(long, value_name = "SPEC", default_value = "datagram")]
    transport: Transport,
    /// So many of the nodes use the ids of others: two senders, one id
    #[arg(long, value_name = "N", default_value_t = 0)]
    clones: u32,
    /// This share of the nodes crashes at one instant: 0.2@5m,down=30s, or leaves: 0.2@5m,goodbye=yes; may be
    /// repeated
    #[arg(long, value_name = "SPEC")]
    incident: Vec<Incident>,
    /// Some heartbeats are held back, so that later ones overtake them: p=0.01,by=50ms
    #[arg(long, value_name = "SPEC")]
    reorder: Option<Reorder>,
    /// All nodes share a line of so many datagrams a second: rate=1000,queue=200
    #[arg(long, value_name = "SPEC")]
    uplink: Option<Uplink>,
    /// The monitor does nothing for a while: 3s@60s, or at random every=10m,length=2s; may be repeated
    #[arg(long, value_name = "SPEC")]
    stall: Vec<Stall>,
    /// How many datagrams wait in the monitor's receive buffer at most [default: any number]
    #[arg(long, value_name = "N")]
    buffer: Option<u32>,
    /// How many datagrams a second the monitor can take in [default: any number]
    #[arg(long, value_name = "N")]
    capacity: Option<u32>,
    /// The monitor ends and begins anew: 60s,down=2s,snapshot=yes; may be repeated
    #[arg(long, value_name = "SPEC")]
    restart: Vec<Restart>,
    /// Somebody sets the monitor's clock: +1h@60s or -1h@60s; may be repeated
    #[arg(long, value_name = "SPEC", allow_hyphen_values = true)]
    clock_step: Vec<ClockStep>,
    /// Whether the monitor is told of its stalls, drops and clock steps, as the engine tells its own, so that it
    /// excuses silences for them
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    gates: bool,
    /// Withholds verdicts while many nodes are silent together; settings that differ from the product's:
    /// --guard=longest=2m,rate=10/s
    #[arg(long, value_name = "SPEC", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    guard: Option<GuardText>,
    /// Keeps quiet who goes to and fro; settings that differ from the product's: --flapping=half_life=1m
    #[arg(long, value_name = "SPEC", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    flapping: Option<FlapText>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Start {
    Spread,
    LockStep,
}

/// The command as it was called. Returns its exit code.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(asked) => run(&asked),
        Command::Validate(args) => crate::validate::run(args),
        Command::Replay(args) => crate::replay::run(&args),
        Command::Models(args) => crate::models::run(&args),
        Command::Sweep(args) => crate::sweep::run(&args),
        Command::Advise(args) => crate::advise::run(&args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            // Nothing more can be done for somebody who doesn't read it.
            let _ = writeln!(io::stderr(), "systole-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(asked: &Run) -> anyhow::Result<ExitCode> {
    // First of all, so that an interrupt finds it in place as soon as anything has been printed.
    let interrupted = interrupts();
    let mut stderr = io::stderr();
    let Some(scenario) = asked.scenario(&mut stderr) else { return Ok(ExitCode::from(2)) };
    let _ = writeln!(stderr, "{}", report::head(&scenario));
    let faults = scenario.check();
    if !faults.is_empty() {
        for fault in faults {
            let _ = writeln!(stderr, "systole-sim: {fault}");
        }
        return Ok(ExitCode::from(2));
    }
    let interrupted = interrupted.context("can't catch interrupts")?;
    let mut bar = Bar::new(scenario.heartbeats());
    let threads = asked
        .threads
        .map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), |threads| threads.get().into());
    let outcome = run_on(&scenario, threads, |progress| {
        bar.show(progress);
        !interrupted.load(Ordering::Relaxed)
    });
    bar.clear();
    let text = match (asked.json, asked.csv) {
        (true, _) => serde_json::to_string_pretty(&report::json(&scenario, &outcome))? + "\n",
        (false, true) => report::csv(&scenario, &outcome),
        (false, false) => report::table(&scenario, &outcome),
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever stopped reading has what he wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        written => written.map(|()| ExitCode::SUCCESS).context("can't write the result"),
    }
}

impl Run {
    /// What is to be run; nothing if a file can't be, and then why has been said.
    fn scenario(&self, stderr: &mut impl Write) -> Option<Scenario> {
        let Some(name) = &self.scenario else { return Some(self.flags.scenario(self.seed.unwrap_or(DEFAULT_SEED))) };
        match read(name) {
            Ok(scenario) => Some(Scenario { seed: self.seed.unwrap_or(scenario.seed), ..scenario }),
            Err(faults) => {
                // Who made this, even if nothing comes of it.
                let _ = writeln!(stderr, "systole-sim {}", report::VERSION);
                for fault in faults {
                    let _ = writeln!(stderr, "systole-sim: {fault}");
                }
                None
            }
        }
    }
}

/// Reads the scenario in the file of that name, or the one that comes with the simulator.
///
/// # Errors
/// All that is wrong with it.
pub(crate) fn read(name: &str) -> Result<Scenario, Vec<String>> {
    let text = match (std::fs::read_to_string(name), Scenario::built_in(name)) {
        (Ok(text), _) => text,
        (Err(_), Some(text)) => text.into(),
        (Err(error), None) => {
            let known = Scenario::built_in_names().collect::<Vec<_>>().join(", ");
            return Err(vec![format!(
                "can't read the scenario {name}: {error}; these come with the simulator: {known}"
            )]);
        }
    };
    Scenario::read(&text).map_err(|faults| faults.iter().map(|fault| format!("{name}:{fault}")).collect())
}

impl Flags {
    fn scenario(&self, seed: u64) -> Scenario {
        let heartbeats = self.heartbeats.unwrap_or(1_000_000.max(u64::from(self.nodes) * 100));
        let group = Group {
            nodes: self.nodes,
            interval: self.interval,
            jitter: self.jitter,
            drift: self.drift,
            phase: match self.phase {
                Start::Spread => Phase::Spread,
                Start::LockStep => Phase::LockStep,
            },
            pauses: self.pauses,
            twice: self.twice,
            clones: self.clones,
            crashes: self.crashes.unwrap_or(heartbeats / 1_000),
            goodbyes: self.goodbyes,
            incidents: self.incident.clone(),
            lifetime: self.lifetime,
            outage: self.outage,
            down: self.down,
            loss: self.loss.clone(),
            delay: self.delay.clone(),
            transport: self.transport,
            duplicates: self.duplicates,
            reorder: self.reorder,
            partitions: self.partition.clone(),
            uplink: self.uplink,
            detector: self.detector,
            confirm: self.confirm,
            heartbeats,
            ..Group::default()
        };
        let monitor = Troubles {
            stalls: self.stall.clone(),
            buffer: self.buffer,
            capacity: self.capacity,
            restarts: self.restart.clone(),
            clock_steps: self.clock_step.clone(),
        };
        let gates = Gates {
            told: self.gates,
            guard: self.guard.clone().and_then(|text| text.0),
            flapping: self.flapping.clone().and_then(|text| text.0),
        };
        Scenario { seed, groups: vec![group], monitor, gates }
    }
}

/// Set by the first ctrl-C, which ends the run with what it has. The second one kills.
pub(crate) fn interrupts() -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&interrupted))?;
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    Ok(interrupted)
}

/// How far it is and how long it takes, on a terminal, once it takes longer than two seconds.
pub(crate) struct Bar {
    bar: Option<ProgressBar>,
    started: Instant,
    of: u64,
}

impl Bar {
    pub(crate) fn new(of: u64) -> Self {
        Self { bar: None, started: Instant::now(), of }
    }

    pub(crate) fn show(&mut self, progress: Progress) {
        if self.bar.is_none() && self.started.elapsed() > Duration::from_secs(2) && io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:30} {percent}% of {len} heartbeats, {eta} left")
                .expect("the template is one");
            self.bar = Some(ProgressBar::new(self.of).with_style(style).with_elapsed(self.started.elapsed()));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(progress.sent);
        }
    }

    pub(crate) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_left_out_mean_the_default_scenario() {
        let cli = Cli::parse_from(["systole-sim", "run", "--heartbeats=100000", "--crashes=0"]);
        let Command::Run(asked) = cli.command else { panic!("it was `run` that was asked for") };
        assert_eq!(asked.scenario(&mut io::sink()), Some(Scenario::default()));
    }
}
