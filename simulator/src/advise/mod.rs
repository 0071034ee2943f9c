//! Which interval, which timeout? The cheapest that do, and why.
//!
//! ```text
//!   detect within 15 s ─┐
//!   1 false failure/week ├─► intervals, longest first ─► splitting ─► verified ─► neighbours, lines to paste
//!   1,000,000 nodes ─────┘     detector fitted to each    (rare)       again
//!   a network ───────────┘
//! ```
//! The cheapest is the longest interval, since that is the fewest heartbeats. "Detect within" is from the
//! crash to `failed` at worst: the delay of the last heartbeat, the detector's longest patience, the
//! time to confirm, and a tick. "False failures" are those of the whole fleet, and the upper end of the
//! estimate's interval has to be below what is allowed.

mod advice;
mod cheapest;
mod measured;
mod network;
mod remote;
mod report;
mod runs;
mod search;
mod settings;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;
use indicatif::{ProgressBar, ProgressStyle};
use systole_core::Span;
use systole_core::detector::Detector;

use crate::frequency::Frequency;
use crate::latency::Delay;
use crate::loss::Loss;
use crate::presets::{PRESETS, Preset};
use crate::scenario::DEFAULT_SEED;

use cheapest::{Asked, candidates, cheapest_first};
use serde_json::json;

pub use advice::{Advice, Bracket, Care, Neighbour, Pains, Unachievable, advise};
pub use network::Network;
pub use search::{Demand, Tried, Verdict};
pub use settings::Settings;

/// Find the cheapest interval and timeout that meet a requirement.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// From a crash to `failed`, at worst
    #[arg(long, value_name = "SPAN")]
    detect_within: Span,
    /// How many nodes may be failed though they are up, in the whole fleet: 1/week, 0.1/day
    #[arg(long, value_name = "N/TIME", allow_hyphen_values = true)]
    false_failures: Frequency,
    /// How many nodes there are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=NODES_MAX))]
    nodes: u64,
    /// How many heartbeats all nodes together may send: 500k/s
    #[arg(long, value_name = "N/TIME", allow_hyphen_values = true)]
    max_rate: Option<Frequency>,
    /// lan, wan, bursty, mobile, satellite, or a trace: a CSV file, gzipped or not, or the name of a
    /// shipped one [default: wan, unless both --loss and --delay are given]
    #[arg(long, value_name = "NAME|FILE")]
    network: Option<String>,
    /// What a running monitor has measured of its own traffic: http://host:2329, or with /GROUP
    #[arg(long, value_name = "URL", conflicts_with = "network")]
    from: Option<String>,
    /// Which group of that monitor, if it has several
    #[arg(long, value_name = "NAME", requires = "from")]
    group: Option<String>,
    /// What is lost, instead of what the network loses: as for `run`
    #[arg(long, value_name = "SPEC", allow_hyphen_values = true)]
    loss: Option<Loss>,
    /// How long the others take, instead of what they take there: as for `run`
    #[arg(long, value_name = "SPEC", allow_hyphen_values = true)]
    delay: Option<Delay>,
    /// The interval at which bursts of losses last as many heartbeats as the model says; at any other
    /// they then last as many seconds [default: of a trace or a monitor its own, if it is no longer
    /// than the detection time; else none: a burst is as many heartbeats at every interval]
    #[arg(long, value_name = "SPAN")]
    measured_every: Option<Span>,
    /// fixed, missed, chen, two-window, phi or bertier; its patience is what is looked for, what
    /// else is given stays: chen:gain=0.1 [default: chen or fixed, whichever needs fewer heartbeats]
    #[arg(long, value_name = "SPEC")]
    detector: Option<Detector>,
    /// A rough answer
    #[arg(long)]
    quick: bool,
    /// Verifies the answer ten times as long
    #[arg(long, conflicts_with = "quick")]
    thorough: bool,
    /// Keys every random number; the same seed is the same answer
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEED)]
    seed: u64,
    /// Prints JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Answers the question; exit code 1 if the requirement can't be met, 2 if it can't be asked.
///
/// # Errors
/// If the answer can't be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let network = match args.network() {
        Ok(network) => network,
        Err(NoNetwork::Usage(fault)) => {
            let _ = writeln!(io::stderr(), "systole-sim: {fault}");
            return Ok(ExitCode::from(2));
        }
        Err(NoNetwork::Unknown(fault)) => anyhow::bail!(fault),
    };
    let demand = |kind| Demand {
        detect_within: args.detect_within,
        false_failures: args.false_failures,
        nodes: args.nodes,
        max_rate: args.max_rate,
        kind,
    };
    let pains = match (args.quick, args.thorough) {
        (true, _) => Pains::Quick,
        (false, false) => Pains::Usual,
        (false, true) => Pains::Thorough,
    };
    let care = Care { seed: args.seed, pains };
    let kinds = args.detector.map_or_else(|| candidates().to_vec(), |kind| vec![kind]);
    let demands: Vec<Demand> = kinds.into_iter().map(demand).collect();
    let _ = writeln!(io::stderr(), "{}", report::head(&demands, &network, care));
    let ask = |demand: Demand| {
        let bar = Bar::new();
        let answer = advise(&demand, &network, care, &|what, share| bar.show(what, share));
        bar.clear();
        Asked { demand, answer }
    };
    let asked = cheapest_first(demands.into_iter().map(ask).collect());
    let Asked { demand, answer } = &asked[0];
    let text = match (answer, args.json) {
        (Ok(advice), false) => report::advice(demand, &network, care, advice, cheapest::others(&asked)),
        (Err(refused), false) => report::unachievable(demand, &network, refused),
        (answer, true) => {
            let answer = answer.as_deref().map_err(|refused| &**refused);
            let mut value = report::json(demand, &network, care, answer);
            value["detectors_tried"] = asked
                .iter()
                .map(|asked| json!({"detector": asked.name(), "interval_s": asked.interval().map(Span::secs_f64)}))
                .collect();
            serde_json::to_string_pretty(&value)? + "\n"
        }
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever stopped reading has what he wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(if answer.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// As many as the product's monitor takes.
const NODES_MAX: u64 = 20_000_000;

/// Why there is no network to advise on.
enum NoNetwork {
    /// Nonsense was asked.
    Usage(String),
    /// It can't be had.
    Unknown(String),
}

impl Args {
    /// The network that is meant.
    fn network(&self) -> Result<Network, NoNetwork> {
        let own = self.loss.is_some() && self.delay.is_some();
        let mut network = match (&self.network, &self.from) {
            (None, None) if own => Network {
                name: "as given".into(),
                flags: String::new(),
                loss: Loss::None,
                rivals: Vec::new(),
                delay: Delay::Const(Span::ZERO),
                measured_every: None,
                notes: Vec::new(),
            },
            (None, None) => preset(&PRESETS[1]),
            (_, Some(address)) => {
                let profile = remote::profile(address, self.group.as_deref()).map_err(NoNetwork::Unknown)?;
                measured::from_profile(&profile, address, self.detect_within).map_err(NoNetwork::Unknown)?
            }
            (Some(name), None) => match Preset::find(name) {
                Some(known) => preset(known),
                None => {
                    measured::from_trace(name, self.detect_within).map_err(|why| NoNetwork::Unknown(named(&why)))?
                }
            },
        };
        if let Some(loss) = &self.loss {
            network.flags += &format!(" --loss {loss}");
            network.notes.push(format!("the loss is as given, {loss}"));
            network.loss = loss.clone();
            network.rivals.clear();
        }
        if let Some(delay) = &self.delay {
            network.flags += &format!(" --delay {delay}");
            network.notes.push(format!("the delay is as given, {delay}"));
            network.delay = delay.clone();
        }
        if let Some(every) = self.measured_every {
            if every.is_zero() {
                let fault = "measured-every 0s is no interval; give the one at which losses were counted";
                return Err(NoNetwork::Usage(fault.into()));
            }
            network.flags += &format!(" --measured-every {}", every.compact());
            network.measured_every = Some(every);
        }
        if network.loss == Loss::None {
            let fault = "loss none: no network loses nothing for ever, and where none is lost no timeout is too short; \
                         give what it loses at least, such as --loss 0.0001";
            return Err(NoNetwork::Usage(fault.into()));
        }
        let checked = network.loss.check().and_then(|()| network.delay.check());
        checked.map_err(|error| NoNetwork::Usage(error.to_string())).map(|()| network)
    }
}

/// A trace that isn't there may have been meant as one of ours.
fn named(why: &str) -> String {
    let names = PRESETS.map(|preset| preset.name).join(", ");
    format!("{why}; or choose one of {names}")
}

fn preset(preset: &Preset) -> Network {
    Network {
        name: preset.name.into(),
        flags: format!(" --network {}", preset.name),
        loss: preset.loss(),
        rivals: Vec::new(),
        delay: preset.delay(),
        measured_every: None,
        notes: vec![format!("{}: {}", preset.name, preset.source)],
    }
}

/// What is being done, on a terminal, once it takes longer than two seconds.
struct Bar {
    started: Instant,
    bar: Mutex<Option<ProgressBar>>,
}

impl Bar {
    fn new() -> Self {
        Self { started: Instant::now(), bar: Mutex::new(None) }
    }

    fn show(&self, what: &str, share: f64) {
        if self.started.elapsed() < Duration::from_secs(2) || !io::stderr().is_terminal() {
            return;
        }
        let Ok(mut bar) = self.bar.lock() else { return };
        let bar = bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{bar:30} {msg}, {eta} left").expect("the template is one");
            ProgressBar::new(STEPS).with_style(style)
        });
        if bar.message() != what {
            bar.reset();
            bar.set_message(what.to_string());
        }
        bar.set_position((share * STEPS as f64) as u64);
    }

    fn clear(self) {
        if let Ok(Some(bar)) = self.bar.into_inner() {
            bar.finish_and_clear();
        }
    }
}

const STEPS: u64 = 1_000;
