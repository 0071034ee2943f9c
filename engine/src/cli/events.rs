//! `systole events`: what was decided, and with `--follow` what is being decided.
//!
//! Without `--since` a page shows the latest events, as a log would; following starts with what
//! happens from now on. A stream that breaks off is taken up again where it ended, until whoever
//! follows has had enough.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use comfy_table::Cell;

use crate::cli::nodes::states;
use crate::cli::remote::{Remote, json, print};
use crate::cli::table::Look;
use crate::client::{Client, EventQuery, Followed};
use crate::model::{Event, EventPage, State};

const LIMIT: u64 = 100;

/// The most that the monitor puts on one page.
const PAGE: u64 = 10_000;

/// How long to wait before a broken stream is taken up again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Show changes of belief
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Those with a greater number, oldest first; otherwise the latest
    #[arg(long, value_name = "N")]
    since: Option<u64>,
    /// Stay and print them as they happen
    #[arg(long)]
    follow: bool,
    /// How many at most [default: 100; with --follow: no end]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Only changes to these states, with commas between them
    #[arg(long, value_delimiter = ',', value_parser = states())]
    to: Vec<State>,
    /// Only of this group
    #[arg(long)]
    group: Option<String>,
    /// Only of this node
    #[arg(long)]
    node: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Runs the command.
///
/// # Errors
/// The monitor can't be reached.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { since, follow, limit, to, group, node, remote } = args;
    let client = remote.client()?;
    let query = EventQuery { since, limit: None, to, group, node };
    print(|out, look| {
        if follow {
            return stay(out, &client, query, limit.unwrap_or(u64::MAX), remote.json);
        }
        let page = page(&client, query, limit.unwrap_or(LIMIT))?;
        if remote.json { json(out, &page) } else { table(out, look, &page) }
    })
}

fn page(client: &Client, query: EventQuery, limit: u64) -> anyhow::Result<EventPage> {
    let whole = query.to.is_empty() && query.group.is_none() && query.node.is_none();
    match query.since {
        Some(_) => oldest(client, query, limit),
        None if whole => {
            let since = client.status()?.events_last.saturating_sub(limit);
            let page = oldest(client, EventQuery { since: Some(since), ..query }, limit)?;
            // Nobody asked for those before.
            Ok(EventPage { missed: 0, ..page })
        }
        None => latest(client, query, limit),
    }
}

/// The first events after a number.
fn oldest(client: &Client, mut query: EventQuery, limit: u64) -> anyhow::Result<EventPage> {
    let mut whole = EventPage { events: Vec::new(), next: query.since.unwrap_or(0), missed: 0 };
    loop {
        let left = limit - (whole.events.len() as u64).min(limit);
        if left == 0 {
            return Ok(whole);
        }
        query.limit = Some(left.min(PAGE));
        query.since = Some(whole.next);
        let page = client.event_page(&query)?;
        let end = (page.events.len() as u64) < left.min(PAGE);
        whole.events.extend(page.events);
        whole.next = page.next;
        whole.missed += page.missed;
        if end {
            return Ok(whole);
        }
    }
}

/// The last events that pass a filter: there is no telling where they begin, so all are gone through.
fn latest(client: &Client, mut query: EventQuery, limit: u64) -> anyhow::Result<EventPage> {
    let mut kept = VecDeque::new();
    query.limit = Some(PAGE);
    query.since = Some(0);
    loop {
        let EventPage { events, next, .. } = client.event_page(&query)?;
        let end = (events.len() as u64) < PAGE;
        kept.extend(events);
        let surplus = kept.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
        kept.drain(..surplus);
        query.since = Some(next);
        if end {
            return Ok(EventPage { events: kept.into(), next, missed: 0 });
        }
    }
}

/// Prints events as they happen. Only a monitor that can't be reached at the start is an error.
fn stay(out: &mut dyn Write, client: &Client, mut query: EventQuery, limit: u64, json: bool) -> anyhow::Result<()> {
    let mut left = limit;
    if query.since.is_none() {
        // Known from the start, so that a stream that breaks off before its first event loses nothing.
        query.since = Some(client.status()?.events_last);
    }
    let mut follow = client.follow(&query)?;
    loop {
        if drain(out, &mut follow, &mut query, &mut left, json)?.is_break() {
            return Ok(());
        }
        writeln!(io::stderr(), "the stream of events broke off; trying {} again", client.url())?;
        follow = loop {
            thread::sleep(AGAIN_AFTER);
            if let Ok(follow) = client.follow(&query) {
                break follow;
            }
        };
    }
}

/// Prints what comes until the stream ends, or until enough has come.
fn drain(
    out: &mut dyn Write,
    follow: impl Iterator<Item = anyhow::Result<Followed>>,
    query: &mut EventQuery,
    left: &mut u64,
    json: bool,
) -> anyhow::Result<ControlFlow<()>> {
    if *left == 0 {
        return Ok(ControlFlow::Break(()));
    }
    for followed in follow {
        match followed {
            Ok(Followed::Event(event)) => {
                query.since = Some(event.seq);
                if json {
                    writeln!(out, "{}", serde_json::to_string(&event)?)?;
                } else {
                    line(out, &event)?;
                }
                out.flush()?;
                *left -= 1;
                if *left == 0 {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(Followed::Missed(missed)) => missed_note(missed)?,
            Err(_) => break,
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn table(out: &mut dyn Write, look: Look, page: &EventPage) -> anyhow::Result<()> {
    if page.missed > 0 {
        missed_note(page.missed)?;
    }
    let rows = page.events.iter().map(|event| {
        vec![
            Cell::new(event.seq),
            Cell::new(&event.at),
            Cell::new(whom(event)),
            event.from.filter(|_| event.is_change()).map_or_else(|| Cell::new(""), Cell::new),
            event.to.filter(|_| event.is_change()).map_or_else(|| Cell::new(&event.cause), |to| look.state(to)),
            Cell::new(&event.reason),
        ]
    });
    Ok(writeln!(out, "{}", look.table(&[">SEQ", "AT", "NODE", "FROM", "TO", "REASON"], rows))?)
}

fn line(out: &mut dyn Write, event: &Event) -> io::Result<()> {
    let (seq, at, whom, reason) = (event.seq, &event.at, whom(event), &event.reason);
    match (event.from, event.to) {
        (Some(from), Some(to)) if event.is_change() => {
            writeln!(out, "{seq:>8}  {at}  {whom}  {from} -> {to}  {reason}")
        }
        (_, _) => writeln!(out, "{seq:>8}  {at}  {whom}  {}  {reason}", event.cause),
    }
}

/// The node that an event is about, or the nodes, or the monitor itself.
fn whom(event: &Event) -> &str {
    event.node.as_deref().or(event.scope.as_deref()).unwrap_or("(monitor)")
}

fn missed_note(missed: u64) -> io::Result<()> {
    writeln!(io::stderr(), "{missed} events are no longer kept and are missing here")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64) -> Event {
        Event {
            seq,
            at: "2026-11-23T12:03:07.412Z".into(),
            node: Some("web-1".into()),
            group: Some("web".into()),
            scope: None,
            from: Some(State::Suspect),
            to: Some(State::Failed),
            cause: "confirmed".into(),
            reason: "failed at 12:03:07.412".into(),
            evidence: None,
        }
    }

    #[test]
    fn a_followed_event_is_one_line_of_json_and_is_resumed_after() {
        let follow = [3, 4, 5].map(|seq| Ok(Followed::Event(Box::new(event(seq)))));
        let (mut out, mut query, mut left) = (Vec::new(), EventQuery::default(), 2);
        let end = drain(&mut out, follow.into_iter(), &mut query, &mut left, true).unwrap();
        let text = String::from_utf8(out).unwrap();
        let events: Vec<Event> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((events, end), (vec![event(3), event(4)], ControlFlow::Break(())));
        assert_eq!(query.since, Some(4));
    }

    #[test]
    fn a_stream_that_ends_is_not_the_end_of_following() {
        let follow = [Ok(Followed::Missed(7)), Err(anyhow::anyhow!("broke off"))];
        let end = drain(&mut Vec::new(), follow.into_iter(), &mut EventQuery::default(), &mut 9, false).unwrap();
        assert_eq!(end, ControlFlow::Continue(()));
    }

    #[test]
    fn a_page_is_a_table_for_people() {
        let mut out = Vec::new();
        table(&mut out, Look::PLAIN, &EventPage { events: vec![event(3)], next: 3, missed: 0 }).unwrap();
        let text = String::from_utf8(out).unwrap();
        let words: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(words.join(" "), "3 2026-11-23T12:03:07.412Z web-1 suspect failed failed at 12:03:07.412");
    }
}
