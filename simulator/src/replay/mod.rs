//! `systole-sim replay`: every detector on the same real heartbeats, through the product's own monitor.
//!
//! Who waits longer errs less, so detectors as they come out of the box can't be compared. Here each
//! is first tuned until crashes at random instants of the trace would take it as long to find, on
//! average, as they take the default detector; then their mistakes are counted. With `--detector`
//! those that are named are judged as they are set.
//!
//! A monitor is fed with the bytes that the trace's sender would have sent, at the instants at which
//! they arrived. All series of a trace are judged by the same settings, each by a monitor of its own.

mod play;
mod report;
mod tune;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::Args as ClapArgs;
use systole_core::config::{Config, Plan, Settings};
use systole_core::detector::Detector;
use systole_core::{Span, Wait};

use crate::cli::{Bar, interrupts};
use crate::report::VERSION;
use crate::run::Progress;
use crate::scenario::{INTERVAL_MAX, INTERVAL_MIN};
use crate::spec::LONGEST;
use crate::trace::{Series, Trace};
use play::{Played, Tape};
use tune::FAMILIES;

/// Replay real traces to detectors.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// CSV files, gzipped or not, or traces that come with the simulator: host-idle, host-starved,
    /// collector-overload, mobile-5g, lorawan
    #[arg(required = true, value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// Judge with this detector as it is set, such as chen:margin=2.25x; may be repeated [default:
    /// compare all of them at equal mean detection time]
    #[arg(long, value_name = "SPEC")]
    detector: Vec<Detector>,
    /// The mean detection time at which to compare [default: that of the default detector]
    #[arg(long, value_name = "SPAN", conflicts_with = "detector")]
    detect_mean: Option<Span>,
    /// How long a suspect may stay silent before it is failed: 3x (intervals) or 5s
    #[arg(long, value_name = "WAIT", default_value = "3x")]
    confirm: Wait,
    /// The interval that senders declare [default: the median of each series]
    #[arg(long, value_name = "SPAN")]
    interval: Option<Span>,
    /// Prints JSON instead of a table
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Prints CSV instead of a table: a line for each series and detector
    #[arg(long)]
    csv: bool,
}

/// Replays the traces and prints what came of it. Exit codes: 0 fine, 1 a trace can't be used, 2 usage.
///
/// # Errors
/// If the result can't be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let interrupted = interrupts().context("can't catch interrupts")?;
    // Nothing more can be done for somebody who doesn't read it.
    let _ = writeln!(io::stderr(), "{}", args.head());
    let faults = args.faults();
    if !faults.is_empty() {
        return Ok(complain(faults, 2));
    }
    let loaded = match args.load() {
        Ok(loaded) => loaded,
        Err(faults) => return Ok(complain(faults, 1)),
    };
    let faults = args.detector_faults(&loaded);
    if !faults.is_empty() {
        return Ok(complain(faults, 2));
    }
    let mut player = Player::new(args, &loaded, &interrupted);
    let traces: Vec<Replayed> = loaded.iter().filter_map(|loaded| player.replay(args, loaded)).collect();
    let complete = !player.stopped();
    player.bar.clear();
    let text = if args.json {
        report::json(args, &traces, complete)
    } else if args.csv {
        report::csv(&traces)
    } else {
        report::table(args, &traces, complete)
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever stopped reading has what he wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        written => written.map(|()| ExitCode::SUCCESS).context("can't write the result"),
    }
}

/// A trace that can be replayed.
struct Loaded {
    name: String,
    tapes: Vec<Tape>,
}

/// What came of one trace.
struct Replayed<'a> {
    trace: &'a Loaded,
    /// At which mean detection time the detectors are compared, in seconds; nothing if they are as they were set.
    target: Option<f64>,
    rows: Vec<Row>,
}

/// What one detector made of a trace.
struct Row {
    /// What its line in the table is called, and the parameter that was found.
    name: String,
    parameter: String,
    detector: Detector,
    /// Whether it finds crashes as fast as it was asked to.
    reached: bool,
    /// Of each series.
    series: Vec<Played>,
    /// Of all of them together.
    total: Played,
}

impl Args {
    /// What will be done, before anything can fail: one line.
    fn head(&self) -> String {
        let list = |each: Vec<String>, none: &str| if each.is_empty() { none.to_string() } else { each.join(" ") };
        let traces = list(self.traces.iter().map(|path| path.display().to_string()).collect(), "none");
        let detectors = list(self.detector.iter().map(Detector::to_string).collect(), "all");
        let interval = self.interval.map_or("inferred".into(), |interval| interval.compact().to_string());
        let mean = self.detect_mean.map_or("default".into(), |mean| mean.compact().to_string());
        let confirm = self.confirm;
        format!(
            "systole-sim {VERSION}: trace={traces} detector={detectors} detect-mean={mean} confirm={confirm} interval={interval}"
        )
    }

    /// What is wrong with the flags alone.
    fn faults(&self) -> Vec<String> {
        let confirm = self.confirm.of(self.interval.unwrap_or(Span::from_millis(10)));
        let long = (confirm > LONGEST).then(|| format!("confirm {} is out of range; at most 365d", confirm.compact()));
        self.interval.and_then(interval_fault).into_iter().chain(long).collect()
    }

    /// All traces, or what is wrong with any of them.
    fn load(&self) -> Result<Vec<Loaded>, Vec<String>> {
        let (mut loaded, mut faults) = (Vec::new(), Vec::new());
        for path in &self.traces {
            let trace = match Trace::read(path) {
                Ok(trace) => trace,
                Err(error) => {
                    faults.push(error.to_string());
                    continue;
                }
            };
            let mut tapes = Vec::new();
            for series in &trace.series {
                match self.tape(series) {
                    Ok(tape) => tapes.push(tape),
                    Err(fault) => faults.push(format!("trace {}, series {}: {fault}", trace.name, series.name)),
                }
            }
            if !tapes.is_empty() && tapes.iter().all(|tape| tape.up().is_zero()) {
                faults.push(format!(
                    "trace {}: no two heartbeats of one life arrived, so there is no time to judge",
                    trace.name
                ));
            }
            loaded.push(Loaded { name: trace.name, tapes });
        }
        if faults.is_empty() { Ok(loaded) } else { Err(faults) }
    }

    fn tape(&self, series: &Series) -> Result<Tape, String> {
        let interval = match self.interval {
            Some(interval) => interval,
            None => {
                let median = series.interval().ok_or("it has no two heartbeats that show their interval")?;
                // As a heartbeat declares it.
                let nearest = Span::from_millis((median + Span::from_nanos(500_000)).millis());
                interval_fault(nearest).map_or(Ok(nearest), |fault| Err(format!("its {fault}")))
            }
            .map_err(|fault| format!("{fault}; say --interval"))?,
        };
        Ok(Tape::new(series, interval))
    }

    /// What is wrong with the detectors for the intervals of the traces.
    fn detector_faults(&self, loaded: &[Loaded]) -> Vec<String> {
        let mut faults = Vec::new();
        let mut intervals: Vec<Span> =
            loaded.iter().flat_map(|loaded| loaded.tapes.iter().map(|tape| tape.interval)).collect();
        intervals.sort_unstable();
        intervals.dedup();
        for detector in &self.detector {
            // With one of the intervals, or the message would be said for each.
            let found = intervals.iter().find_map(|interval| config(*detector, self.confirm, *interval).err());
            faults.extend(found.into_iter().flatten());
        }
        faults
    }
}

/// Plays, shows how far it is, and can be stopped.
struct Player<'a> {
    confirm: Wait,
    interrupted: &'a AtomicBool,
    bar: Bar,
    progress: Progress,
}

impl<'a> Player<'a> {
    fn new(args: &Args, loaded: &[Loaded], interrupted: &'a AtomicBool) -> Self {
        let heartbeats: usize = loaded.iter().flat_map(|l| &l.tapes).map(|tape| tape.arrivals.len()).sum();
        let plays = if args.detector.is_empty() { 1 + FAMILIES.len() * PLAYS } else { args.detector.len() };
        let of = (heartbeats * plays) as u64;
        Self { confirm: args.confirm, interrupted, bar: Bar::new(of), progress: Progress { sent: 0, of } }
    }

    /// What came of one trace: nothing if it was stopped before that, less than everything if meanwhile.
    fn replay<'t>(&mut self, args: &Args, trace: &'t Loaded) -> Option<Replayed<'t>> {
        if !args.detector.is_empty() {
            let rows = args
                .detector
                .iter()
                .map_while(|detector| self.row(trace, detector.to_string(), String::new(), *detector, None));
            return Some(Replayed { trace, target: None, rows: rows.collect() });
        }
        let target = match args.detect_mean {
            Some(mean) => mean.secs_f64(),
            None => self.mean(trace, Detector::default())?,
        };
        let rows = FAMILIES.iter().map_while(|family| {
            let tuned = family.tune(target, |detector| self.mean(trace, detector))?;
            self.row(trace, family.name.to_string(), family.parameter(&tuned), tuned, Some(target))
        });
        Some(Replayed { trace, target: Some(target), rows: rows.collect() })
    }

    fn row(
        &mut self,
        trace: &Loaded,
        name: String,
        parameter: String,
        detector: Detector,
        target: Option<f64>,
    ) -> Option<Row> {
        let series: Option<Vec<Played>> = trace.tapes.iter().map(|tape| self.play(tape, detector)).collect();
        let series = series?;
        let mut total = Played::default();
        series.iter().for_each(|played| total.add(played));
        let mean = total.detection_mean();
        let reached = target.zip(mean).is_none_or(|(target, mean)| (mean - target).abs() <= TOLERANCE * target);
        Some(Row { name, parameter, detector, reached, series, total })
    }

    /// The mean detection time over all series, in seconds; nothing if nobody may use such a detector.
    fn mean(&mut self, trace: &Loaded, detector: Detector) -> Option<f64> {
        let mut total = Played::default();
        for tape in &trace.tapes {
            total.add(&self.play(tape, detector)?);
        }
        total.detection_mean()
    }

    fn play(&mut self, tape: &Tape, detector: Detector) -> Option<Played> {
        if self.stopped() {
            return None;
        }
        self.progress.sent = (self.progress.sent + tape.arrivals.len() as u64).min(self.progress.of);
        self.bar.show(self.progress);
        Some(tape.play(config(detector, self.confirm, tape.interval).ok()?))
    }

    fn stopped(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

fn config(detector: Detector, confirm: Wait, interval: Span) -> Result<Config, Vec<String>> {
    let settings = Settings { detector, confirm, interval: Some(interval), ..Settings::default() };
    Config::new(Plan { default: settings, ..Plan::default() })
        .map_err(|faults| faults.into_iter().map(|fault| fault.message).collect())
}

/// What is wrong with an interval as one that heartbeats declare.
fn interval_fault(interval: Span) -> Option<String> {
    let shown = interval.compact();
    if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        return Some(format!("interval {shown} is out of range; between 10ms and 7d"));
    }
    let whole = interval.nanos().is_multiple_of(1_000_000);
    (!whole).then(|| format!("interval {shown} isn't in whole milliseconds, as a heartbeat declares it"))
}

fn complain(faults: impl IntoIterator<Item = String>, code: u8) -> ExitCode {
    for fault in faults {
        // Nothing more can be done for somebody who doesn't read it.
        let _ = writeln!(io::stderr(), "systole-sim: {fault}");
    }
    ExitCode::from(code)
}

/// How often a detector is played until it is tuned, about.
const PLAYS: usize = 26;
/// A mean detection time that is further off its target, as a share, isn't the same.
const TOLERANCE: f64 = 0.005;
