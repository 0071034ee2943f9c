//! `systole node NODE`: all that is known of one node, and why it is believed to be so.

use std::io::{self, Write};
use std::process::ExitCode;

use comfy_table::Cell;
use systole_core::Called;

use crate::cli::remote::{Remote, json, print};
use crate::cli::table::{Look, or_dash};
use crate::model::Node;

/// Show one node
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Its name, or # and its id
    #[arg(value_parser = called)]
    node: String,
    #[command(flatten)]
    remote: Remote,
}

/// Runs the command. A node that is unknown is exit code 1.
///
/// # Errors
/// The monitor can't be reached, or no node can be called so.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { node: name, remote } = args;
    let client = remote.client()?;
    let Some(node) = client.node(&name)? else {
        let url = client.url();
        writeln!(
            io::stderr(),
            "node {name} is unknown to the monitor at {url}; `systole nodes --prefix` finds the known ones"
        )?;
        return Ok(ExitCode::FAILURE);
    };
    print(|out, look| if remote.json { json(out, &node) } else { table(out, look, &node) })
}

/// What a node can be called.
fn called(text: &str) -> Result<String, String> {
    match Called::id_of(text) {
        Some(_) => Ok(text.to_owned()),
        None => {
            Err("a name has 1 to 128 characters out of A-Z a-z 0-9 . _ : / @ -, and an id is # and 32 hexadecimal \
                     digits"
                .to_owned())
        }
    }
}

fn table(out: &mut dyn Write, look: Look, node: &Node) -> anyhow::Result<()> {
    let declared = if node.interval_declared { "declared" } else { "not declared" };
    let pairs = |pairs: Vec<String>| if pairs.is_empty() { "-".to_owned() } else { pairs.join(" ") };
    let rows = [
        ("node", Cell::new(&node.node)),
        ("state", look.state(node.state)),
        ("reason", Cell::new(&node.reason)),
        ("group", Cell::new(&node.group)),
        ("since", Cell::new(&node.since)),
        ("last arrival", Cell::new(or_dash(node.last_arrival.as_ref()))),
        ("deadline", Cell::new(or_dash(node.deadline.as_ref()))),
        ("interval", Cell::new(format!("{} ms, {declared}", node.interval_ms))),
        ("incarnation", Cell::new(format!("{}, heartbeat {}", node.incarnation, node.seq))),
        ("load", Cell::new(or_dash(node.load))),
        ("version", Cell::new(or_dash(node.version.as_ref()))),
        ("labels", Cell::new(pairs(node.labels.iter().map(|(name, text)| format!("{name}={text}")).collect()))),
        ("metrics", Cell::new(pairs(node.metrics.iter().map(|(name, value)| format!("{name}={value}")).collect()))),
        ("muted until", Cell::new(or_dash(node.muted_until.as_ref()))),
        ("flapping", Cell::new(if node.flapping { "yes" } else { "no" })),
        ("held", Cell::new(or_dash(node.held.as_ref()))),
    ];
    Ok(writeln!(out, "{}", look.rows(&["", ""], rows.map(|(name, value)| vec![look.bold(name), value])))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::State;

    #[test]
    fn everything_known_of_a_node_has_its_line() {
        let node = Node {
            node: "eu/web-1".into(),
            group: "web".into(),
            state: State::Failed,
            since: "2026-11-23T12:03:07.412Z".into(),
            incarnation: 7,
            seq: 41,
            last_arrival: None,
            deadline: None,
            interval_ms: 1_000,
            interval_declared: false,
            load: Some(0.5),
            version: None,
            labels: [("zone".into(), "a".into()), ("rack".into(), "1".into())].into(),
            metrics: [("cpu".into(), 0.25)].into(),
            muted_until: None,
            flapping: false,
            conflict: false,
            held: None,
            reason: "failed at 12:03:07.412: for the test".into(),
        };
        let mut out = Vec::new();
        table(&mut out, Look::PLAIN, &node).unwrap();
        let text = String::from_utf8(out).unwrap();
        for (name, value) in [
            ("node", "eu/web-1"),
            ("state", "failed"),
            ("reason", "failed at 12:03:07.412: for the test"),
            ("interval", "1000 ms, not declared"),
            ("labels", "rack=1 zone=a"),
            ("metrics", "cpu=0.25"),
            ("version", "-"),
        ] {
            let found = text.lines().any(|line| line.starts_with(name) && line.ends_with(value));
            assert!(found, "{name} {value} in\n{text}");
        }
    }
}
