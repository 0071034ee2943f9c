//! `systole-sim sweep`: every combination of settings under every seed, and which one to take.
//!
//! ```text
//!   plan.toml ─► settings x seeds ─► all cores ─► results.jsonl ─► results.csv
//!                      │ on file already?             │
//!                      └────────── skipped ◄──────────┴─► findings ─► report.html
//! ```
//! Data first, then pictures of it. A sweep that was interrupted goes on where it was: what is on
//! file is not run again. Seeds come from the plan and are the same for every setting, on purpose:
//! the same seed is the same network, whatever judges it.

mod execute;
mod finding;
mod page;
mod plan;
mod pool;
mod record;
mod requirement;
mod store;
mod strip;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::interrupts;
use crate::picture::Strip;
use crate::report::VERSION;
use crate::scenario::Scenario;

use execute::{Progress, execute};
use finding::{Finding, findings};
use page::About;
use plan::Plan;
use pool::Pooled;
use record::Record;
use store::Store;

/// Runs every combination of a plan's settings on all cores, and draws what came out.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plan, in TOML: a scenario, axes, seeds and what is asked for
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Where results and report go [default: `out` in the plan, or sweep-PLAN]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How many runs at once [default: one for each core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
    /// Prints the findings as JSON instead of sentences
    #[arg(long)]
    json: bool,
}

/// One run of a sweep.
struct Cell {
    key: String,
    scenario: Scenario,
}

/// Carries the plan out, or lists everything that is wrong with it.
///
/// # Errors
/// If a file can't be read or written, or the folder holds something else than results.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let interrupted = interrupts().context("can't catch interrupts")?;
    let shown = args.plan.display();
    let text = fs::read_to_string(&args.plan).with_context(|| format!("can't read {shown}"))?;
    let mut stderr = io::stderr();
    let plan = match Plan::read(&text) {
        Ok(plan) => plan,
        Err(faults) => {
            for fault in faults {
                let _ = writeln!(stderr, "systole-sim: {shown}:{fault}");
            }
            return Ok(ExitCode::from(2));
        }
    };
    let name = args.plan.file_stem().map_or("plan".into(), |stem| stem.to_string_lossy().into_owned());
    let out = args.out.clone().or(plan.out.clone()).unwrap_or_else(|| format!("sweep-{name}").into());
    let cells = cells(&plan);
    let mut store = Store::open(&out)?;
    let missing: Vec<Scenario> =
        cells.iter().filter(|cell| store.get(&cell.key).is_none()).map(|cell| cell.scenario.clone()).collect();
    let _ = writeln!(stderr, "{}", head(&plan, &name, &out, cells.len() - missing.len()));
    let threads = args.threads.map_or_else(cores, NonZero::get);
    let mut bar = Bar::new(&missing);
    let ran = execute(&missing, threads, &interrupted, |progress| bar.show(progress), |record| store.add(record));
    bar.clear();
    ran?;
    let summary = write_all(&plan, &name, args, &out, &cells, &store)?;
    let said = if args.json { serde_json::to_string_pretty(&summary.json)? + "\n" } else { summary.text };
    match io::stdout().write_all(said.as_bytes()) {
        // Whoever stopped reading has what he wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        written => written.map(|()| ExitCode::SUCCESS).context("can't write the findings"),
    }
}

/// Every setting under every seed, in the order of the plan.
fn cells(plan: &Plan) -> Vec<Cell> {
    let seeded = plan
        .settings
        .iter()
        .flat_map(|setting| plan.seeds.iter().map(|seed| setting.scenario.clone().with_seed(*seed)));
    seeded.map(|scenario| Cell { key: record::key(&scenario), scenario }).collect()
}

/// What will be run, before anything can fail: one line.
fn head(plan: &Plan, name: &str, out: &Path, on_file: usize) -> String {
    let axes: Vec<String> = plan.axes.iter().map(|axis| axis.dial.clone()).collect();
    format!(
        "systole-sim {VERSION}: plan={name} settings={} axes={} seeds={} runs={} on_file={on_file} out={}",
        plan.settings.len(),
        axes.join(","),
        plan.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(","),
        plan.cells(),
        out.display()
    )
}

/// What is said at the end, in both forms.
struct Summary {
    text: String,
    json: Value,
}

/// The data, then what follows from it, then the pictures.
fn write_all(
    plan: &Plan,
    name: &str,
    args: &Args,
    out: &Path,
    cells: &[Cell],
    store: &Store,
) -> anyhow::Result<Summary> {
    store.arrange(cells.iter().map(|cell| cell.key.as_str()))?;
    let records: Vec<Option<&Record>> = cells.iter().map(|cell| store.get(&cell.key)).collect();
    let known: Vec<&Record> = records.iter().flatten().copied().collect();
    if let Some(first) = plan.settings.first() {
        store::write(&out.join("results.csv"), &record::csv(&first.scenario, known.iter().copied()))?;
    }
    let pooled = records.chunks(plan.seeds.len()).map(|runs| {
        let runs: Vec<&Record> = runs.iter().flatten().copied().collect();
        (!runs.is_empty()).then(|| Pooled::of(&runs))
    });
    let findings = findings(plan, pooled.collect());
    let strips = strips(&findings, &out.join("strip.csv"))?;
    let command = command(args, out);
    let about = About { name, command, runs: known.len() };
    let report = out.join("report.html");
    store::write(&report, &page::page(plan, &findings, &strips, &about).html())?;
    Ok(summary(plan, &findings, &about, out))
}

/// One run of each choice, watched; where nothing was asked for, of the first setting.
fn strips(findings: &[Finding<'_>], path: &Path) -> anyhow::Result<Vec<Option<Strip>>> {
    let mut rows = vec![strip::Counts::head()];
    let mut strips = Vec::new();
    for (n, finding) in findings.iter().enumerate() {
        let (scenario, about) = strip::scene(finding.results[finding.choice.unwrap_or(0)].setting);
        // A longer downtime than the scene has room for, say: then there is no picture.
        if !scenario.check().is_empty() {
            strips.push(None);
            continue;
        }
        let counts = strip::counts(&scenario);
        rows.extend(counts.rows(&finding.heading().unwrap_or_default()));
        strips.push(Some(counts.strip(format!("strip-{n}"), "Belief against truth in a partition".into(), about)));
    }
    store::write(path, &record::table(rows))?;
    Ok(strips)
}

/// The command that makes all of it again.
fn command(args: &Args, out: &Path) -> String {
    format!("systole-sim sweep {} --out {}", args.plan.display(), out.display())
}

fn summary(plan: &Plan, findings: &[Finding<'_>], about: &About<'_>, out: &Path) -> Summary {
    let complete = about.runs == plan.cells();
    let mut text = String::new();
    if !complete {
        text +=
            &format!("stopped after {} of {} runs; the same command goes on from there\n", about.runs, plan.cells());
    }
    let mut choices = Vec::new();
    for finding in findings {
        let choice = finding.choice.map(|place| &finding.results[place]);
        let verdict =
            choice.zip(plan.requirement.as_ref()).map(|(choice, asked)| choice.verdict(asked, finding.results.len()));
        if let Some(heading) = finding.heading() {
            text += &format!("with {heading}:\n");
        }
        for sentence in verdict.iter().flatten() {
            text += &format!("{sentence}\n");
        }
        let conditions: serde_json::Map<String, Value> =
            finding.conditions.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        choices.push(json!({
            "conditions": conditions,
            "settings": finding.results.len(),
            "standing": choice.and_then(|choice| choice.standing).map(|standing| format!("{standing:?}").to_lowercase()),
            "choice": choice.map(|choice| {
                let group = choice.setting.group();
                json!({
                    "name": choice.name(),
                    "interval": group.interval.compact().to_string(),
                    "detector": group.detector.to_string(),
                    "confirm": group.confirm.to_string(),
                    "failure_time_s": choice.time_s,
                    "false_failures_per_fleet_day": choice.per_day,
                })
            }),
            "reason": verdict,
        }));
    }
    let files =
        ["report.html", "results.csv", "results.jsonl", "strip.csv"].map(|file| out.join(file).display().to_string());
    text += &format!("{}\n", files.join("\n"));
    let json = json!({
        "version": VERSION,
        "plan": about.name,
        "seeds": plan.seeds,
        "settings": plan.settings.len(),
        "runs": about.runs,
        "of": plan.cells(),
        "complete": complete,
        "findings": choices,
        "files": files,
        "command": about.command,
    });
    Summary { text, json }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// How far it is and how long it takes, on a terminal, once it takes longer than two seconds.
struct Bar {
    bar: Option<ProgressBar>,
    started: Instant,
    runs: usize,
    heartbeats: u64,
}

impl Bar {
    fn new(missing: &[Scenario]) -> Self {
        let heartbeats = missing.iter().map(Scenario::heartbeats).sum();
        Self { bar: None, started: Instant::now(), runs: missing.len(), heartbeats }
    }

    fn show(&mut self, progress: Progress) {
        if self.bar.is_none() && self.started.elapsed() > Duration::from_secs(2) && io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:30} {percent}% of {len} heartbeats, {msg}, {eta} left")
                .expect("the template is one");
            let bar = ProgressBar::new(self.heartbeats).with_style(style).with_elapsed(self.started.elapsed());
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(progress.heartbeats);
            bar.set_message(format!("{} of {} runs", progress.runs, self.runs));
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
