//! `systole demo`: the first thing that anyone sees.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use comfy_table::Cell;
use systole_core::{Liveness, Span};

use super::fleet::{Plain, Show, master_key, stop_on_signals};
use super::table::Look;
use super::usage::Usage;
use crate::demo::{Deed, Demo};
use crate::fleet::{NODES_MAX, Random, Report, Verdicts, thousands};

/// Watch a monitor find failures in a fake fleet, on this machine
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_MAX)))]
    nodes: u32,
    /// How long to run; a shorter run has a shorter heartbeat interval
    #[arg(long = "for", value_name = "D", default_value = "60s")]
    length: Span,
    /// Sign with the master key in this file, and let the monitor believe nobody else
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Repeats the random choices of another run
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Print only the report, as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If there is too little time or too few nodes to show anything, or the monitor can't be started.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { nodes, length, key_file, seed, json } = args;
    let mut demo = Demo::new(nodes, length, seed.unwrap_or_else(Random::any_seed)).map_err(Usage::of)?;
    if let Some(file) = key_file {
        demo = demo.signed(master_key(&file)?, file);
    }
    let stop = stop_on_signals()?;
    let show = std::cell::RefCell::new(Show::new(Some(demo.length()), Plain::Silent));
    let say = |line: &str| {
        if !json {
            show.borrow().say(line);
        }
    };
    let outcome = demo.run(
        &stop,
        |http| {
            say(&format!(
                "A monitor and {} nodes in {} racks, on this machine, over UDP. Each node beats every {}.\n\
                 A dead node is to be called failed within {} of its last heartbeat; a living one never.\n\
                 Look inside while it runs: http://{http}/  or  systole status --http http://{http}\n",
                thousands(u64::from(demo.nodes())),
                demo.racks(),
                demo.interval(),
                demo.bound(),
            ));
            say(&format!("{:>6.1} s  all begin to beat", 0.0));
        },
        say,
        |happening| show.borrow_mut().happening(happening),
    );
    show.borrow().end();
    let (report, deeds) = outcome?;
    let text = if json { serde_json::to_string_pretty(&report)? + "\n" } else { summary(&report, &deeds) };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn summary(report: &Report, deeds: &[Deed]) -> String {
    let mut text = format!("\n{}\n\n", deeds_table(report, deeds));
    if let Some(verdicts) = &report.verdicts {
        text += &format!("{}\n\n", speed_table(verdicts));
        text += &format!(
            "{} heartbeats sent, {} datagrams dropped, {} false failures.\n",
            thousands(report.heartbeats_sent),
            thousands(verdicts.datagrams_dropped),
            thousands(verdicts.false_failures)
        );
        if report.behind_max_ms >= 100.0 {
            text += &format!(
                "The fleet itself was {:.0} ms behind at the worst: this machine is busy.\n",
                report.behind_max_ms
            );
        }
        if let Some(early) = &report.stopped_early {
            text += &format!("Stopped early: {early}.\n");
        }
        if verdicts.ok() && report.stopped_early.is_some() {
            text += "Of what was due by then, nothing is wrong or missing; the rest was not put to the test.\n";
        } else if verdicts.ok() {
            text += "Every death was found in time, and nobody else was accused.\n";
        } else {
            text += &format!("{} (seed {}):\n", verdicts.sentence(), report.seed);
            verdicts.complaints.iter().take(10).for_each(|complaint| text += &format!("  {complaint}\n"));
        }
    }
    text
}

fn deeds_table(report: &Report, deeds: &[Deed]) -> String {
    let cells = |what: &str, nodes: u64, noticed: String| {
        vec![Cell::new(what), Cell::new(thousands(nodes)), Cell::new(noticed)]
    };
    let deeds = deeds.iter().map(|deed| {
        let noticed = match deed.expected {
            Some(state) => {
                let so_far = if report.stopped_early.is_some() && deed.noticed < deed.nodes { " so far" } else { "" };
                format!("{} {}{so_far}", thousands(deed.noticed as u64), word(state))
            }
            None => "nothing, as it should be".to_owned(),
        };
        cells(&deed.what, deed.nodes as u64, noticed)
    });
    let end = report.verdicts.iter().map(|verdicts| {
        cells(
            "nodes that beat at the end",
            u64::from(report.truth.alive),
            format!("{} alive", thousands(verdicts.alive)),
        )
    });
    Look::of_stdout().table(&["WHAT WAS DONE", ">NODES", "WHAT WAS NOTICED"], deeds.chain(end).collect::<Vec<_>>())
}

fn speed_table(verdicts: &Verdicts) -> String {
    let promised = verdicts.bound_ms.map_or_else(
        || "no bound".to_owned(),
        |bound| format!("{} (+ {} ms for scheduling)", Span::from_millis(bound), verdicts.slack_ms),
    );
    let rows = [
        ("from the last heartbeat to \"failed\"", verdicts.detection_ms, promised),
        ("from the death to \"failed\"", verdicts.since_crash_ms, String::new()),
        ("from the end of the wait to \"failed\"", verdicts.lateness_ms, String::new()),
    ];
    let rows = rows.map(|(what, points, promised)| {
        let measured = |millis| if verdicts.failed > 0 { duration(millis) } else { "-".to_owned() };
        let [half, ninety, most, all] = [points.p50, points.p90, points.p99, points.max].map(measured);
        [what.to_owned(), half, ninety, most, all, promised].map(Cell::new).into()
    });
    Look::of_stdout().table(&["HOW FAST", ">HALF", ">90 %", ">99 %", ">ALL", "PROMISED"], rows)
}

/// Times come in whole milliseconds.
fn duration(millis: f64) -> String {
    match millis {
        1_000.0.. => format!("{:.2} s", millis / 1_000.0),
        1.0.. => format!("{millis:.0} ms"),
        _ => "< 1 ms".to_owned(),
    }
}

const fn word(state: Liveness) -> &'static str {
    match state {
        Liveness::Alive => "alive again",
        Liveness::Failed => "failed",
        Liveness::Left => "left",
        Liveness::Suspect => "suspect",
        Liveness::Unseen => "unseen",
    }
}
