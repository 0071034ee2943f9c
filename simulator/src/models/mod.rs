//! Which model shows what real traces show: fitted to each, drawn from again, held against it.
//!
//! ```text
//!                         real    Gilbert           Fritchman
//!   longest run             26          5 (4 to 8) !     13 (5 to 41)      ! outside 90 %
//! ```
//! Each model that was fitted generates as many heartbeats as the trace has, with many seeds; of each statistic
//! the median and the middle 90 % of the seeds are shown. A real value outside of that is marked: the model can't
//! do this. One in ten may be outside by chance.

mod published;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args as ClapArgs;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use systole_core::{Instant, Span};

use crate::fit::{self, DelayStatistics, Fitted, LossStatistics};
use crate::latency::{Delay, Delays};
use crate::loss::{Loss, Lossy};
use crate::random::{Actor, Purpose, Stream};
use crate::scenario::DEFAULT_SEED;
use crate::trace::Trace;

/// Fit every model to traces, and show which statistics of them each gives again.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// Traces: files, or names of those that come with the simulator [default: all of those, and
    /// published figures of traces that don't]
    #[arg(value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// How many times each model is drawn from
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(20..=10_000))]
    seeds: u32,
    /// Write the result as JSON
    #[arg(long)]
    json: bool,
}

/// Fits, generates, compares and prints.
///
/// # Errors
/// A trace that can't be read, or a result that can't be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let traces = if args.traces.is_empty() {
        Trace::shipped_names().into_iter().filter_map(Trace::shipped).collect()
    } else {
        let read = |path: &PathBuf| Trace::read(path).with_context(|| path.display().to_string());
        args.traces.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?
    };
    let version = env!("CARGO_PKG_VERSION");
    eprintln!("systole-sim {version}: models against traces, seeds {DEFAULT_SEED} to {}", last_seed(args.seeds));
    // Draws nothing where standard error is no terminal.
    let bar = ProgressBar::new(traces.len() as u64 + 1);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} traces, {eta} to go") {
        bar.set_style(style);
    }
    let mut comparisons = Vec::new();
    for trace in &traces {
        comparisons.extend(compare(trace, args.seeds));
        bar.inc(1);
    }
    if args.traces.is_empty() {
        comparisons.extend(published::comparisons(args.seeds));
    }
    bar.finish_and_clear();
    let text = if args.json {
        serde_json::to_string_pretty(&Report { version, seed: DEFAULT_SEED, seeds: args.seeds, comparisons })? + "\n"
    } else {
        comparisons.iter().map(Comparison::table).collect::<Vec<_>>().join("\n")
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever stopped reading has what he wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        written => written.map(|()| ExitCode::SUCCESS).context("can't write the result"),
    }
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    seed: u64,
    seeds: u32,
    comparisons: Vec<Comparison>,
}

/// One trace and the models of its losses, or of its delays.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// What the trace is, how much of it there is.
    pub title: String,
    /// Of what: `loss` or `delay`.
    pub of: &'static str,
    /// What is known of the trace, by the names of the statistics.
    pub real: Vec<(String, f64)>,
    /// What each model makes of it.
    pub models: Vec<Generated>,
}

/// What a model generates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Generated {
    /// The model, as the flags take it; long histograms are cut.
    pub model: String,
    /// Schwarz's criterion, where the model was fitted by likelihood.
    pub bic: Option<f64>,
    /// How it came by its parameters.
    pub reason: String,
    /// For each statistic of the trace, in that order, what the model has.
    pub statistics: Vec<Spread>,
}

/// A statistic over many seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// 5 % of the seeds are below.
    pub low: f64,
    /// Half of them are.
    pub median: f64,
    /// 95 % are.
    pub high: f64,
    /// Whether the real value is between low and high.
    pub inside: bool,
}

impl Generated {
    /// Draws with so many seeds, and holds each statistic against the real one. `draw` gives them in that order.
    fn new(
        model: String,
        bic: Option<f64>,
        reason: String,
        real: &[(String, f64)],
        seeds: u32,
        draw: impl Fn(u64) -> Vec<f64>,
    ) -> Self {
        let all: Vec<Vec<f64>> = (DEFAULT_SEED..=last_seed(seeds)).map(draw).collect();
        let spread = |(at, (_, real)): (usize, &(String, f64))| {
            let mut values: Vec<f64> = all.iter().map(|statistics| statistics[at]).collect();
            values.sort_by(f64::total_cmp);
            let quantile = |share: f64| values[(share * (values.len() - 1) as f64 + 0.5) as usize];
            let (low, high) = (quantile(0.05), quantile(0.95));
            Spread { low, median: quantile(0.5), high, inside: (low..=high).contains(real) }
        };
        let statistics = real.iter().enumerate().map(spread).collect();
        Self { model, bic, reason, statistics }
    }
}

impl Spread {
    fn cell(&self) -> String {
        let range = format!("({} to {})", short(self.low), short(self.high));
        let mark = if self.inside { "" } else { " !" };
        format!("{:>10} {:<22}", short(self.median), range + mark)
    }
}

impl Comparison {
    fn table(&self) -> String {
        let mut text = format!("{}: {}\n", self.title, self.of);
        for (letter, model) in ('A'..).zip(&self.models) {
            let bic = model.bic.map_or(String::new(), |bic| format!("  BIC {bic:.0}"));
            let _ = writeln!(text, "  {letter}  {}{bic}\n     {}", model.model, model.reason);
        }
        let width = self.real.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let letters: Vec<char> = ('A'..).take(self.models.len()).collect();
        for (models, letters) in self.models.chunks(ABREAST).zip(letters.chunks(ABREAST)) {
            let heads = letters.iter().map(|letter| format!("{letter:>10}{:23}", "")).collect::<String>();
            let _ = write!(text, "  {:<width$}{:>10}{}", "", "real", heads.trim_end());
            for (at, (name, real)) in self.real.iter().enumerate() {
                let cells = models.iter().map(|model| model.statistics[at].cell()).collect::<String>();
                let _ = write!(text, "\n  {name:<width$}{:>10}{}", short(*real), cells.trim_end());
            }
            text.push('\n');
        }
        text
    }
}

/// The losses of a trace, if it has any, and its delays.
fn compare(trace: &Trace, seeds: u32) -> Vec<Comparison> {
    let losses: Vec<bool> = trace.series.iter().flat_map(crate::trace::Series::losses).collect();
    let beats = trace.series.iter().flat_map(crate::trace::Series::delays);
    let delays: Vec<Span> = beats.filter_map(|(_, delay)| delay.map(fit::thousandths)).collect();
    let interval = trace.series.iter().find_map(crate::trace::Series::interval).unwrap_or(Span::from_secs(1));
    let series = if trace.series.len() > 1 { format!(" in {} series", trace.series.len()) } else { String::new() };
    let title = format!("{}, {} heartbeats{series} every {}", trace.name, losses.len(), interval.compact());
    let mut comparisons = Vec::new();
    if losses.contains(&true) {
        let mut fitted = fit::loss(&losses);
        fitted.truncate(MODELS);
        comparisons.push(of_losses(title.clone(), LossStatistics::of(&losses), &fitted, interval, seeds));
    }
    if let Some(statistics) = DelayStatistics::of(&delays) {
        comparisons.push(of_delays(title, statistics, &chosen(&delays, interval), interval, seeds));
    }
    comparisons
}

/// The histogram, and the best by likelihood, of which at least one has no correlation.
fn chosen(delays: &[Span], interval: Span) -> Vec<Fitted<Delay>> {
    let fitted = fit::delay(delays, interval);
    let plain = fitted.iter().find(|fit| !matches!(fit.model, Delay::Correlated(_) | Delay::Regimes(_))).cloned();
    let mut chosen: Vec<Fitted<Delay>> = fitted.into_iter().take(MODELS - 2).collect();
    chosen.extend(plain.filter(|plain| !chosen.contains(plain)));
    chosen.extend(fit::histogram(delays).map(|model| Fitted {
        model,
        log_likelihood: f64::NAN,
        parameters: 0,
        bic: f64::NAN,
        reason: "every delay as it was, in another order but for the correlation".into(),
    }));
    chosen
}

fn of_losses(
    title: String,
    statistics: LossStatistics,
    fitted: &[Fitted<Loss>],
    interval: Span,
    seeds: u32,
) -> Comparison {
    let real = named(statistics.named());
    let generated = |fit: &Fitted<Loss>| {
        Generated::new(fit.model.to_string(), Some(fit.bic), fit.reason.clone(), &real, seeds, |seed| {
            let losses = losses(&fit.model, seed, statistics.heartbeats, interval);
            values(LossStatistics::of(&losses).named())
        })
    };
    let models = fitted.iter().map(generated).collect();
    Comparison { title, of: "loss", real, models }
}

fn of_delays(
    title: String,
    statistics: DelayStatistics,
    fitted: &[Fitted<Delay>],
    interval: Span,
    seeds: u32,
) -> Comparison {
    let real = named(statistics.named());
    let generated = |fit: &Fitted<Delay>| {
        let bic = fit.bic.is_finite().then_some(fit.bic);
        Generated::new(cut(fit.model.to_string()), bic, fit.reason.clone(), &real, seeds, |seed| {
            let mut path = Delays::new(&fit.model, Stream::new(seed, Actor::node(0, 0), Purpose::Delay), interval);
            let at = |beat| Instant::ORIGIN + interval * beat;
            let delays: Vec<Span> = (0..statistics.count).map(|beat| path.draw(&fit.model, at(beat))).collect();
            values(DelayStatistics::of(&delays).expect("there are as many as in the trace").named())
        })
    };
    let models = fitted.iter().map(generated).collect();
    Comparison { title, of: "delay", real, models }
}

/// What a node loses that sends every `interval`.
fn losses(model: &Loss, seed: u64, heartbeats: u64, interval: Span) -> Vec<bool> {
    let mut path = Lossy::new(model, Stream::new(seed, Actor::node(0, 0), Purpose::Loss), interval);
    (0..heartbeats).map(|beat| path.loses(model, Instant::ORIGIN + interval * beat)).collect()
}

fn named(statistics: Vec<(&'static str, f64)>) -> Vec<(String, f64)> {
    statistics.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

fn values(statistics: Vec<(&'static str, f64)>) -> Vec<f64> {
    statistics.into_iter().map(|(_, value)| value).collect()
}

/// A histogram may be longer than the table.
fn cut(text: String) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((at, _)) => format!("{}... ({} characters)", &text[..at], text.len()),
        None => text,
    }
}

/// Three significant digits, without an exponent, and no more than four decimals.
fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let whole = libm::floor(libm::log10(value.abs())) as i32;
    let decimals = (2 - whole).clamp(0, 4) as usize;
    let text = format!("{value:.decimals$}");
    let text = if text.starts_with("-0.0000") { "0.0000".to_string() } else { text };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

fn last_seed(seeds: u32) -> u64 {
    DEFAULT_SEED + u64::from(seeds) - 1
}

/// All there are of loss; of delay the best.
const MODELS: usize = 5;
/// As many as fit side by side.
const ABREAST: usize = 3;
const TEXT_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_inside_of_what_it_generates_itself_and_another_is_not() {
        let gilbert: Loss = "gilbert:p=0.1,burst=8".parse().expect("a loss");
        let second = Span::from_secs(1);
        let real = LossStatistics::of(&losses(&gilbert, 7, 20_000, second));
        let fitted = fit::loss(&losses(&gilbert, 7, 20_000, second));
        let comparison = of_losses("itself".into(), real, &fitted, second, 40);
        let inside = |name: &str| {
            let model = comparison.models.iter().find(|model| model.model.starts_with(name)).expect("it was fitted");
            model.statistics.iter().filter(|spread| spread.inside).count()
        };
        assert!(inside("gilbert:p=") >= 9, "{}", comparison.table());
        assert!(inside("0.") <= 5, "{}", comparison.table());
    }

    #[test]
    fn numbers_are_shown_with_three_digits() {
        let all = [0.0, 0.006_21, 12.0, 2_571.4, -0.0123, 0.5].map(short);
        assert_eq!(all, ["0", "0.0062", "12", "2571", "-0.0123", "0.5"]);
    }
}
