//! `systole fleet`: a load and failure generator, and with `--events` the judge of a monitor's verdicts.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use systole_core::auth::MasterKey;
use systole_core::{NAME_MAX, Span, is_name};

use crate::cli::remote::Trust;
use crate::cli::usage::Usage;
use crate::client::Client;
use crate::fleet::{
    Act, Delay, Fleet, Happening, INTERVAL_MAX, INTERVAL_MIN, Loss, NODES_MAX, Progress, Random, Roster, Script, Toll,
    While, counted, length_needed, thousands,
};
use crate::key::{self, Key};
use crate::sender;

/// Play a whole fleet: load for a monitor, and failures for it to find
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where the monitor listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:2328")]
    to: String,
    /// How many nodes, up to 10,000,000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_MAX)))]
    nodes: u32,
    /// How often each beats
    #[arg(long, value_name = "D", default_value = "1s", value_parser = interval)]
    interval: Span,
    /// The group of all nodes
    #[arg(long, default_value = "fleet")]
    group: String,
    /// Spread them over so many groups, called GROUP-0 and so on
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    groups: Option<u32>,
    /// What the nodes' names begin with; a number follows
    #[arg(long, default_value = "node-")]
    prefix: String,
    /// So many living nodes stop for good, without a word
    #[arg(long, value_name = "N@T")]
    kill: Vec<Toll>,
    /// This share of the living nodes isn't heard from T to T
    #[arg(long, value_name = "FRACTION@T..T")]
    partition: Vec<While>,
    /// Which heartbeats get lost: none, a probability such as 0.01, or gilbert:p=0.01,burst=5
    #[arg(long, value_name = "SPEC", default_value = "none", allow_hyphen_values = true)]
    loss: Loss,
    /// How long the others are on their way, so that they arrive late and may overtake each other: const:20ms,
    /// uniform:10ms..30ms, exp:20ms, or lognormal:median=20ms,sigma=0.5
    #[arg(long, value_name = "SPEC", default_value = "const:0ms", allow_hyphen_values = true)]
    delay: Delay,
    /// So many nodes begin a new life: those that were killed first, then living ones
    #[arg(long, value_name = "N@T")]
    restart: Vec<Toll>,
    /// So many nodes say goodbye and stop
    #[arg(long, value_name = "N@T")]
    goodbye: Vec<Toll>,
    /// The monitor's HTTP address: check every verdict against what was done
    #[arg(long, value_name = "URL")]
    events: Option<String>,
    #[command(flatten)]
    trust: Trust,
    /// How long to run [default: until Ctrl-C; with --events, until the last verdict is due]
    #[arg(long = "for", value_name = "D")]
    length: Option<Span>,
    /// Sign with the master key in this file, for each node with its own
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Repeats the random choices of another run
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// A node tells its name on its first two heartbeats and then on every so-manieth
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    name_every: u32,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  systole fleet --nodes 100000 --interval 10s                            10,000 heartbeats a second
  systole fleet --nodes 5000 --kill 20@10s --events http://127.0.0.1:2329
                                                                         is every death found, and no other?
  systole fleet --nodes 5000 --partition 0.3@10s..30s --loss 0.01 --for 60s
  systole fleet --nodes 5000 --loss gilbert:p=0.01,burst=5 --delay exp:20ms   a network as systole-sim has it";

/// Runs the command.
///
/// # Errors
/// Arguments that contradict each other, nobody listening, or a monitor that can't be asked.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its arguments")]
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let fleet = args.fleet()?;
    if let Some(warning) = too_short(&fleet) {
        eprintln!("systole: {warning}");
    }
    let stop = stop_on_signals()?;
    let mut show = Show::new(fleet.length, Plain::EveryTenSeconds);
    let outcome = fleet.run(&stop, &mut |happening| show.happening(happening));
    show.end();
    let report = outcome?;
    let text = if args.json { serde_json::to_string_pretty(&report)? + "\n" } else { report.to_string() };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The key of a whole fleet.
pub(super) fn master_key(file: &Path) -> anyhow::Result<MasterKey> {
    match key::read(file)? {
        Key::Master(key) => Ok(key),
        Key::Node(of, _) => Err(Usage(format!(
            "--key-file {}: this is the key of {of} alone, and a fleet needs a master key; `systole key new` makes one",
            file.display()
        ))
        .into()),
    }
}

impl Args {
    fn fleet(&self) -> anyhow::Result<Fleet> {
        let script = self.script()?;
        let needed = length_needed(&script, self.interval).filter(|_| self.events.is_some());
        let needed = needed.map(|length| length + self.delay.reach());
        let length = self.length.or(needed);
        if let (Some(length), Some(last)) = (length, script.last()) {
            ensure!(
                last < length,
                Usage(format!(
                    "something is to happen after {last}, yet the run ends after {length}; lengthen it (--for)"
                ))
            );
        }
        let wrong = |error: anyhow::Error| match error.downcast::<Usage>() {
            Ok(usage) => Usage(format!("--events: {usage}")).into(),
            Err(other) => other,
        };
        let client = |url: &String| self.trust.client(url).map_err(wrong);
        let events: Option<Client> = self.events.as_ref().map(client).transpose()?;
        let roster = self.roster()?;
        Ok(Fleet {
            to: self.to.clone(),
            addresses: sender::resolve(&self.to).map_err(Usage::if_no_address)?,
            roster,
            interval: self.interval,
            introduce_every: self.name_every,
            loss: self.loss,
            delay: self.delay,
            script,
            length,
            key: self.key_file.as_deref().map(master_key).transpose()?,
            seed: self.seed.unwrap_or_else(Random::any_seed),
            events,
        })
    }

    fn roster(&self) -> Result<Roster, Usage> {
        let groups = match self.groups {
            None => vec![self.group.clone()],
            Some(count) => {
                if count > self.nodes {
                    return Err(Usage(format!(
                        "{} can't be spread over {count} groups; lower --groups",
                        counted(u64::from(self.nodes), "node")
                    )));
                }
                (0..count).map(|group| format!("{}-{group}", self.group)).collect()
            }
        };
        if let Some(group) = groups.iter().find(|group| !is_name(group.as_bytes())) {
            return Err(Usage(format!("{group:?} can't name a group; 1 to {NAME_MAX} of A-Z a-z 0-9 . _ : / @ -")));
        }
        let roster = Roster::new(self.nodes, self.prefix.clone(), groups);
        let longest = roster.name(self.nodes - 1);
        if !is_name(longest.as_bytes()) {
            return Err(Usage(format!(
                "{longest:?} can't name a node; --prefix takes A-Z a-z 0-9 . _ : / @ - and names have {NAME_MAX} bytes \
                 at most"
            )));
        }
        Ok(roster)
    }

    fn script(&self) -> Result<Script, Usage> {
        let mut script = Script::default();
        // Goodbyes and restarts first: among those who die at the same instant there is nobody to ask any more.
        for (tolls, option, act) in [
            (&self.goodbye, "--goodbye", Act::Goodbye as fn(u32) -> Act),
            (&self.restart, "--restart", Act::Restart),
            (&self.kill, "--kill", Act::Kill),
        ] {
            for toll in tolls {
                let Toll { nodes, at } = *toll;
                if nodes > self.nodes {
                    return Err(Usage(format!(
                        "{option} {nodes}@{} is about more nodes than the {} there are",
                        at.compact(),
                        self.nodes
                    )));
                }
                script.add(at, act(nodes));
            }
        }
        self.partition.iter().for_each(|partition| script.add_partition(partition));
        Ok(script)
    }
}

/// What will be missing from the report, if anything.
fn too_short(fleet: &Fleet) -> Option<String> {
    let needed = length_needed(&fleet.script, fleet.interval).filter(|_| fleet.events.is_some())?;
    let needed = needed + fleet.delay.reach();
    let length = fleet.length.filter(|length| *length < needed)?;
    Some(format!(
        "the run ends after {length}, before all verdicts on its last act are due; --for {} checks them too",
        Span::from_millis(needed.millis().next_multiple_of(1_000)).compact()
    ))
}

/// Raised by the first Ctrl-C; the second ends the process.
pub(crate) fn stop_on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .context("can't catch signals")?;
    }
    Ok(stop)
}

/// How far it is: one moving line on a terminal, a plain one now and then elsewhere.
pub(crate) struct Show {
    plain: Plain,
    bar: Option<ProgressBar>,
    length: Option<Span>,
    told: Span,
}

/// What is shown where there is no terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    EveryTenSeconds,
    Silent,
}

impl Show {
    pub(crate) fn new(length: Option<Span>, plain: Plain) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = length.map_or_else(ProgressBar::new_spinner, |length| ProgressBar::new(length.millis()));
            let style = if length.is_some() { "{bar:24} {msg}" } else { "{spinner} {msg}" };
            bar.set_style(ProgressStyle::with_template(style).expect("the template is sound"));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { plain, bar, length, told: Span::ZERO }
    }

    pub(crate) fn happening(&mut self, happening: &Happening<'_>) {
        match happening {
            Happening::Progress(progress) => self.progress(progress),
            Happening::Done(_) | Happening::Verdicts(_) => {}
        }
    }

    /// Says something above the moving line.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn progress(&mut self, progress: &Progress) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(progress.elapsed.millis());
                bar.set_message(self.line(progress));
            }
            None if self.plain == Plain::EveryTenSeconds && progress.elapsed - self.told >= Span::from_secs(10) => {
                self.told = progress.elapsed;
                eprintln!("{}", self.line(progress));
            }
            None => {}
        }
    }

    fn line(&self, progress: &Progress) -> String {
        let Progress { elapsed, sent, alive, dead, verdicts } = *progress;
        let of = self.length.map_or(String::new(), |length| format!(" of {:.0} s", length.secs_f64()));
        format!(
            "{:.0} s{of}: {} sent, {} a second, {} alive, {} killed, {} verdicts",
            elapsed.secs_f64(),
            thousands(sent),
            thousands((sent as f64 / elapsed.secs_f64().max(0.1)) as u64),
            thousands(u64::from(alive)),
            thousands(u64::from(dead)),
            thousands(verdicts)
        )
    }
}

fn interval(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|error| format!("{error}"))?;
    if span < INTERVAL_MIN {
        return Err(format!("this interval is too short; {INTERVAL_MIN} is the shortest that a monitor takes"));
    }
    if span > INTERVAL_MAX {
        return Err(format!(
            "this interval is too long; {} is the longest that a monitor takes",
            INTERVAL_MAX.compact()
        ));
    }
    if !span.nanos().is_multiple_of(1_000_000) {
        return Err(format!(
            "an interval of {span} isn't in whole milliseconds, and those are what a heartbeat can declare"
        ));
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn fleet(line: &str) -> Result<Fleet, String> {
        let line =
            Line::try_parse_from(format!("fleet {line}").split_whitespace()).map_err(|error| error.to_string())?;
        line.args.fleet().map_err(|error| error.to_string())
    }

    #[test]
    fn a_run_is_as_long_as_its_last_verdict_takes_unless_it_is_told_otherwise() {
        assert_eq!(fleet("--nodes 10").unwrap().length, None);
        assert_eq!(fleet("--nodes 10 --kill 1@5s").unwrap().length, None);
        let checked = fleet("--nodes 10 --kill 1@5s --events http://h:1").unwrap();
        let length = checked.length.unwrap();
        assert!(length > Span::from_secs(5 + 7) && length < Span::from_secs(5 + 12), "{length}");
        assert_eq!(too_short(&checked), None);
        let short = fleet("--nodes 10 --kill 1@5s --events http://h:1 --for 8s").unwrap();
        assert!(too_short(&short).unwrap().contains("--for 1"));
    }

    #[test]
    fn the_same_instant_first_asks_and_then_kills() {
        let fleet = fleet("--nodes 10 --kill 2@5s --goodbye 1@5s --restart 1@5s").unwrap();
        let acts: Vec<_> = fleet.script.steps().iter().map(|step| step.act).collect();
        assert_eq!(acts, [Act::Goodbye(1), Act::Restart(1), Act::Kill(2)]);
    }

    #[test]
    fn groups_are_numbered() {
        let fleet = fleet("--nodes 10 --groups 3 --group g").unwrap();
        assert_eq!(fleet.roster.groups(), ["g-0", "g-1", "g-2"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_way_out() {
        for (line, said) in [
            ("--nodes 0", "1..=10000000"),
            ("--nodes 10000001", "1..=10000000"),
            ("--nodes 10 --interval 0s", "too short; 10 ms"),
            ("--nodes 10 --interval 1ns", "too short; 10 ms is the shortest"),
            ("--nodes 10 --interval 8d", "too long; 7d is the longest"),
            ("--nodes 10 --interval 10.5ms", "whole milliseconds"),
            ("--nodes 10 --events nowhere", "http://HOST:PORT"),
            ("--nodes 10 --loss 1", "below 1"),
            ("--nodes 10 --loss -0.1", "between 0 and 1"),
            ("--nodes 10 --loss gilbert:p=0.01", "burst is missing"),
            ("--nodes 10 --delay 20ms", "const:20ms"),
            ("--nodes 10 --delay uniform:3ms..1ms", "runs backwards"),
            ("--nodes 10 --kill 11@1s", "more nodes than the 10 there are"),
            ("--nodes 10 --kill 1@9s --for 9s", "lengthen it"),
            ("--nodes 10 --groups 11", "lower --groups"),
            ("--nodes 10 --group a,b", "can't name a group"),
            ("--nodes 10 --prefix a,b", "can't name a node"),
            ("--nodes 10 --to localhost", "HOST:PORT"),
            ("--nodes 10 --partition 2@1s..2s", "between 0 and 1"),
        ] {
            let error = fleet(line).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
