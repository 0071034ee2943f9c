//! `systole status`: the monitor on one page.

use std::io::Write;
use std::process::ExitCode;

use comfy_table::Cell;
use systole_core::{Liveness, Span};

use crate::cli::remote::{Remote, json, print};
use crate::cli::table::Look;
use crate::model::{Auth, ConfigLoads, RefusedLoad, Shard, StateDir, Status};

/// Show how the monitor and its nodes are doing
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
    let status = remote.client()?.status()?;
    print(|out, look| if remote.json { json(out, &status) } else { table(out, look, &status) })
}

fn table(out: &mut dyn Write, look: Look, status: &Status) -> anyhow::Result<()> {
    let health = &status.health;
    let rejected: Vec<String> =
        status.rejected.iter().filter(|(_, n)| **n > 0).map(|(reason, n)| format!("{n} {reason}")).collect();
    let withheld: Vec<String> =
        status.withheld.iter().filter(|(_, n)| **n > 0).map(|(reason, n)| format!("{n} {reason}")).collect();
    let holds: Vec<String> = status
        .holds
        .iter()
        .map(|hold| format!("{} ({} of {} silent)", hold.scope, hold.silent, hold.expected))
        .collect();
    let nodes = Liveness::ALL.map(|state| format!("{} {}", status.nodes.get(state), state.name())).join(", ");
    let rows = [
        ("version", status.version.clone()),
        ("up", Span::from_secs(status.uptime_ms / 1_000).to_string()),
        ("nodes", nodes),
        ("heartbeats", format!("{} in all, {:.1} per second", status.heartbeats_total, status.heartbeats_per_second)),
        ("rejected", none_if_empty(&rejected)),
        ("auth", auth(&status.auth)),
        ("dropped", format!("{} datagrams, {} events", status.datagrams_dropped_total, health.events_dropped_total)),
        (
            "loop gap",
            format!(
                "{} ms at most, {} ms for one turn, {} ms behind now",
                health.loop_gap_max_ms, health.turn_max_ms, health.behind_ms
            ),
        ),
        ("clock steps", health.clock_steps_total.to_string()),
        ("configuration", configuration(status)),
        ("events", format!("up to number {}", status.events_last)),
        ("holds", none_if_empty(&holds)),
        ("withheld", none_if_empty(&withheld)),
        (
            "unwell",
            format!("{} of 8; {} nodes flapping, {} in conflict", health.score, status.flapping, status.conflicts),
        ),
        ("state", status.state_dir.as_ref().map_or_else(|| "nothing is kept over a restart".to_owned(), state)),
    ];
    writeln!(out, "{}\n", look.rows(&["", ""], rows.map(|(name, value)| vec![look.bold(name), Cell::new(value)])))?;
    let titles =
        ["SHARD", ">NODES", ">HEARTBEATS", ">DATAGRAMS", ">DROPPED", ">HANDED OVER", ">NOT HANDED OVER", ">BUFFER"];
    Ok(writeln!(out, "{}", look.table(&titles, status.shards.iter().map(shard)))?)
}

fn state(dir: &StateDir) -> String {
    let (failing, snapshot) = (dir.failing.as_deref(), dir.snapshot_failing.as_deref());
    let events = match failing {
        Some(why) => format!("EVENTS NOT WRITTEN beyond number {}: {why}", dir.events_last),
        None => format!("events up to {}", dir.events_last),
    };
    let snapshot = match (snapshot, &dir.snapshot_at) {
        (Some(why), _) => format!("NO NEW SNAPSHOT: {why}"),
        (None, Some(at)) => format!("snapshot of {at}"),
        (None, None) => "no snapshot yet".to_owned(),
    };
    let refused = if dir.refused.is_empty() { String::new() } else { format!("; refused {}", dir.refused.join(", ")) };
    format!("{}: {events}; {snapshot}{refused}", dir.dir)
}

/// The mode, and what there is to know before a stricter one, or before a key is taken away.
fn auth(auth: &Auth) -> String {
    let keys = auth.keys.iter().map(|key| format!("key {} ({}) {} accepted", key.id, key.suite, key.accepted_total));
    let waived = auth.waived.iter().filter(|(_, n)| **n > 0).map(|(reason, n)| format!("{n} {reason} waived"));
    std::iter::once(auth.mode.clone()).chain(keys).chain(waived).collect::<Vec<_>>().join(", ")
}

fn shard(shard: &Shard) -> Vec<Cell> {
    let numbers = [
        u64::from(shard.shard),
        shard.nodes,
        shard.heartbeats_total,
        shard.datagrams_total,
        shard.datagrams_dropped_total,
        shard.handed_over_total,
        shard.handover_dropped_total,
    ];
    let buffer = format!("{:.1} MiB", shard.receive_buffer as f64 / f64::from(1 << 20));
    numbers.into_iter().map(Cell::new).chain([Cell::new(buffer)]).collect()
}

fn configuration(status: &Status) -> String {
    let ConfigLoads { loaded_at, refused } = &status.config;
    match refused {
        None => format!("loaded {loaded_at}"),
        Some(RefusedLoad { at, error }) => format!("loaded {loaded_at}; A RELOAD WAS REFUSED {at}: {error}"),
    }
}

fn none_if_empty(list: &[String]) -> String {
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::model::AuthKey;
    use crate::show;

    #[test]
    fn the_table_has_the_numbers_and_leaves_out_reasons_that_never_occurred() {
        let mut status = show::status(&[], Span::from_secs(90), 17, Clock::start().read());
        status.nodes.failed = 3;
        status.rejected.insert("malformed".into(), 5);
        status.auth.mode = "permissive".into();
        status.auth.keys = vec![AuthKey { id: 1, suite: "siphash".into(), accepted_total: 7 }];
        status.auth.waived.insert("unsigned".into(), 2);
        let mut out = Vec::new();
        table(&mut out, Look::PLAIN, &status).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("3 failed") && text.contains("5 malformed") && text.contains("90 s"), "{text}");
        assert!(text.contains("permissive, key 1 (siphash) 7 accepted, 2 unsigned waived"), "{text}");
        assert!(!text.contains("bad_tag"), "{text}");
        assert!(!text.contains("not_newer") && text.contains("up to number 17"), "{text}");
    }
}
