//! `systole nodes`: the nodes that pass all filters, page after page.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use comfy_table::Cell;
use systole_core::Liveness;

use crate::cli::remote::{Remote, print};
use crate::cli::table::{Look, or_dash};
use crate::client::{Client, NodeQuery};
use crate::model::{Node, NodePage, State};

/// The most that the monitor puts on one page.
const PAGE: u64 = 1_000;

const TITLES: [&str; 8] = ["NODE", "GROUP", "STATE", "SINCE", "LAST ARRIVAL", ">INTERVAL", ">LOAD", "VERSION"];

/// List nodes
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only of this group
    #[arg(long)]
    group: Option<String>,
    /// Only in these states, with commas between them
    #[arg(long, value_delimiter = ',', value_parser = states())]
    state: Vec<State>,
    /// Only with a name that starts so
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Only with this label; may be given several times
    #[arg(long, value_name = "K=V", value_parser = label)]
    label: Vec<String>,
    /// name, load, last_arrival, since or loss, with - before it for the greatest first [default: name, up to 1000 nodes]
    #[arg(long, allow_hyphen_values = true, hide_possible_values = true, value_parser = orders())]
    sort: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// All of them, however many there are
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Runs the command.
///
/// # Errors
/// The monitor can't be reached or refuses a filter.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { group, state, prefix, label, sort, limit, all, remote } = args;
    let client = remote.client()?;
    let most = if all { u64::MAX } else { limit };
    // For each sorted page the monitor goes through all nodes: fine once, and not a thousand times.
    let sort = sort.or_else(|| (most <= PAGE).then(|| "name".to_owned()));
    let query = NodeQuery { group, states: state, prefix, labels: label, sort, limit: None, cursor: None };
    print(|out, look| {
        let next = if remote.json { json(out, &client, query, most)? } else { table(out, look, &client, query, most)? };
        if next.is_some() && !remote.json {
            writeln!(io::stderr(), "there are more; --limit or --all shows them")?;
        }
        Ok(())
    })
}

/// The states as the command line takes them.
pub(crate) fn states() -> impl TypedValueParser<Value = State> {
    let names = PossibleValuesParser::new(Liveness::ALL.map(Liveness::name));
    names.try_map(|name| Liveness::from_name(&name).map(State::from).ok_or("not a state"))
}

/// The orders that the monitor knows, each both ways.
fn orders() -> PossibleValuesParser {
    PossibleValuesParser::new([
        "name",
        "-name",
        "load",
        "-load",
        "last_arrival",
        "-last_arrival",
        "since",
        "-since",
        "loss",
        "-loss",
    ])
}

fn label(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok(text.to_owned()),
        Some(_) | None => Err("a label is NAME=TEXT, such as zone=eu-1".to_owned()),
    }
}

fn table(
    out: &mut dyn Write,
    look: Look,
    client: &Client,
    query: NodeQuery,
    most: u64,
) -> anyhow::Result<Option<String>> {
    let mut first = true;
    let next = walk(client, query, most, |nodes| {
        let rows = nodes.iter().map(|node| row(look, node));
        // Titles stand over the first page alone; each page is as wide as it needs to be.
        let page = if first { look.table(&TITLES, rows) } else { look.rows(&TITLES, rows) };
        first = false;
        Ok(writeln!(out, "{page}")?)
    })?;
    if first {
        writeln!(out, "{}", look.table(&TITLES, []))?;
        writeln!(io::stderr(), "no node matches")?;
    }
    Ok(next)
}

/// The same as one page of the interface, written as it comes: all of a large fleet fits in no memory.
fn json(out: &mut dyn Write, client: &Client, query: NodeQuery, most: u64) -> anyhow::Result<Option<String>> {
    write!(out, "{{\"nodes\":[")?;
    let mut comma = "";
    let next = walk(client, query, most, |nodes| {
        for node in nodes {
            write!(out, "{comma}\n{}", serde_json::to_string(node)?)?;
            comma = ",";
        }
        Ok(())
    })?;
    writeln!(out, "\n],\"next\":{}}}", serde_json::to_string(&next)?)?;
    Ok(next)
}

/// Goes from page to page until there were `most` nodes or no more. Returns where to go on.
fn walk(
    client: &Client,
    mut query: NodeQuery,
    most: u64,
    mut page: impl FnMut(&[Node]) -> anyhow::Result<()>,
) -> anyhow::Result<Option<String>> {
    let mut left = most;
    while left > 0 {
        query.limit = Some(left.min(PAGE));
        let NodePage { nodes, next } = client.nodes(&query)?;
        left -= (nodes.len() as u64).min(left);
        if !nodes.is_empty() {
            page(&nodes)?;
        }
        query.cursor = next;
        if query.cursor.is_none() {
            break;
        }
    }
    Ok(query.cursor)
}

fn row(look: Look, node: &Node) -> Vec<Cell> {
    vec![
        Cell::new(&node.node),
        Cell::new(&node.group),
        look.state(node.state),
        Cell::new(&node.since),
        Cell::new(or_dash(node.last_arrival.as_ref())),
        Cell::new(format!("{} ms", node.interval_ms)),
        Cell::new(or_dash(node.load)),
        Cell::new(or_dash(node.version.as_ref())),
    ]
}
