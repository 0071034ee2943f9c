//! `systole groups`: nodes by state and how their heartbeats arrive, a line a group.

use std::io::Write;
use std::process::ExitCode;

use comfy_table::Cell;
use systole_core::{Liveness, Span};

use crate::cli::remote::{Remote, json, print};
use crate::cli::table::{Look, or_dash};
use crate::model::Group;

/// Show the groups
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    remote: Remote,
}

/// Runs the command.
///
/// # Errors
/// The monitor can't be reached.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { remote } = args;
    let groups = remote.client()?.groups()?;
    print(|out, look| if remote.json { json(out, &groups) } else { table(out, look, &groups.groups) })
}

fn table(out: &mut dyn Write, look: Look, groups: &[Group]) -> anyhow::Result<()> {
    let states = Liveness::ALL.map(|state| format!(">{}", state.name().to_uppercase()));
    let mut titles = vec!["GROUP"];
    titles.extend(states.iter().map(String::as_str));
    titles.extend([">LOSS", ">LATE P99", "DETECTOR", "CONFIRM", ">BOUND", "HOLD"]);
    Ok(writeln!(out, "{}", look.table(&titles, groups.iter().map(row)))?)
}

fn row(group: &Group) -> Vec<Cell> {
    let settings = &group.settings;
    let counts = Liveness::ALL.map(|state| group.nodes.get(state).to_string());
    let rest = [
        format!("{:.2} %", group.loss * 100.0),
        format!("{:.1} ms", group.lateness_ms.p99),
        settings.detector.clone(),
        settings.confirm.clone(),
        or_dash(settings.detection_bound_ms.map(|bound| bound_text(bound, settings.detection_bound_interval_ms))),
        or_dash(group.hold.as_ref()),
    ];
    [group.group.clone()].into_iter().chain(counts).chain(rest).map(Cell::new).collect()
}

/// A bound means nothing without the interval that it holds for.
fn bound_text(bound_ms: u64, interval_ms: u64) -> String {
    format!("{} at {}", Span::from_millis(bound_ms), Span::from_millis(interval_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Counts, GroupSettings, Percentiles};

    #[test]
    fn a_group_is_a_line() {
        let group = Group {
            group: "edge".into(),
            configured: true,
            nodes: Counts { alive: 12, failed: 3, ..Counts::default() },
            settings: GroupSettings {
                detector: "chen:margin=2.25x".into(),
                confirm: "3x".into(),
                interval_ms: None,
                grace_ms: 60_000,
                detection_bound_ms: Some(7_375),
                detection_bound_interval_ms: 1_000,
            },
            heartbeats_in_rhythm_total: 99,
            lost_total: 1,
            loss: 0.01,
            lateness_ms: Percentiles { p99: 1.5, ..Percentiles::default() },
            withheld: std::collections::BTreeMap::new(),
            hold: None,
        };
        let mut out = Vec::new();
        table(&mut out, Look::PLAIN, &[group]).unwrap();
        let text = String::from_utf8(out).unwrap();
        let words: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(words.join(" "), "edge 0 12 0 3 0 1.00 % 1.5 ms chen:margin=2.25x 3x 7.375 s at 1 s -");
    }
}
