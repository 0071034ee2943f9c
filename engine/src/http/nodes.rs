//! Nodes, a page at a time: never everything at once, whoever asks.
//!
//! A page is gathered from slices of 2,048 places, one question after the other, so that a shard
//! never works long for a reader and its heartbeats come in between. Four such walks go on at once;
//! further readers wait their turn. Without an order a page ends when it is full or when its time is
//! up. With one, all nodes have to be looked at before the first is known, so there it must be
//! done in time.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use systole_core::wire::EXTRAS_MAX;
use systole_core::{Called, Liveness};
use tokio::time::Instant;

use super::App;
use super::cursor::Cursor;
use super::order::{First, Order, Place};
use super::params::{NONE, Params, wrong_value};
use super::problem::Refused;
use crate::model::{Node, NodePage, Problem};
use crate::query::{Filter, Row};
use crate::store::{Journal, Record, What};
use crate::{reason, show};

const LIMIT: usize = 100;
const LIMIT_MAX: u64 = 1_000;

/// How long one page may take.
const PAGE_WITHIN: Duration = Duration::from_secs(10);

/// How many rows a shard copies for one question when all of them have to be seen.
const ROWS: usize = 512;

const PARAMETERS: &str = "group, state, prefix, label, sort, limit, cursor";

/// A page that somebody asks for.
#[derive(Clone, Debug)]
struct Wanted {
    filter: Arc<Filter>,
    limit: usize,
    from: From,
}

/// Where the page begins, in which order.
#[derive(Clone, Debug)]
enum From {
    Place { shard: usize, place: usize },
    Behind(Order, Option<Place>),
}

/// Nodes that pass all filters.
#[utoipa::path(
    get,
    path = "/v1/nodes",
    operation_id = "nodes",
    tag = "nodes",
    params(
        ("group" = Option<String>, Query, description = "Only of this group."),
        (
            "state" = Option<String>,
            Query,
            description = "Only in these states: a list with commas.",
            example = "suspect,failed",
        ),
        ("prefix" = Option<String>, Query, description = "Only with a name that starts so."),
        ("label" = Option<Vec<String>>, Query, description = "Only with this label, as `name=text`; repeatable."),
        (
            "sort" = Option<String>,
            Query,
            description = "`name`, `load`, `last_arrival`, `since` or `loss`; `-` before it for the greatest first.",
        ),
        ("limit" = Option<u64>, Query, description = "The most nodes on a page.", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before; all else as for that."),
    ),
    responses(
        (
            status = 200,
            description = "A page. It may be shorter than the limit, even empty, while there is a next one.",
            body = NodePage,
        ),
        (status = 400, description = "A parameter is wrong.", body = Problem),
        (status = 503, description = "A shard didn't answer in time.", body = Problem),
    ),
)]
pub(super) async fn list(State(app): State<Arc<App>>, params: Params) -> Result<Json<NodePage>, Refused> {
    let wanted = Wanted::take(params, app.control.shards.len())?;
    let _turn = app.walks.acquire().await;
    let (rows, next) = match wanted.from {
        From::Place { shard, place } => walk(&app, &wanted.filter, wanted.limit, shard, place).await?,
        From::Behind(order, after) => sort(&app, &wanted.filter, wanted.limit, order, after).await?,
    };
    let reading = app.control.clock.read();
    let nodes = rows.iter().map(|row| show::node(row, reading)).collect();
    Ok(Json(NodePage { nodes, next: next.map(|cursor| cursor.to_string()) }))
}

/// One node.
#[utoipa::path(
    get,
    path = "/v1/nodes/{node}",
    operation_id = "node",
    tag = "nodes",
    params(("node" = String, Path, description = "Its name, or `#` and its id; percent-encoded.", example = "web-1")),
    responses(
        (status = 200, description = "What is believed of it, and why.", body = Node),
        (status = 400, description = "No node can be called so, or a parameter is wrong.", body = Problem),
        (status = 404, description = "No such node.", body = Problem),
        (status = 503, description = "Its shard didn't answer in time.", body = Problem),
    ),
)]
pub(super) async fn one(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    params: Params,
) -> Result<Json<Node>, Refused> {
    params.finish(NONE)?;
    let Path(name) = name.map_err(|error| Refused::bad(error.body_text(), "percent-encode the id as UTF-8"))?;
    let id = Called::id_of(&name).ok_or_else(|| {
        let hint = "a node's id is 1 to 128 bytes of A-Z a-z 0-9 . _ : / @ -, or # and 32 hexadecimal digits";
        Refused::bad(format!("no node can be called {name:?}"), hint)
    })?;
    let row = app.node(id).await?.ok_or_else(|| {
        let hint = "a node appears with its first heartbeat; GET /v1/nodes?prefix=... finds the known ones";
        Refused::unknown(format!("node {name} is unknown"), hint)
    })?;
    let mut node = show::node(&row, app.control.clock.read());
    if row.liveness == Liveness::Failed
        && let Some(verdict) = verdict(&app.control.journal, &row).await
    {
        node.reason = reason::event_reason(&verdict);
    }
    Ok(Json(node))
}

impl Wanted {
    fn take(mut params: Params, shards: usize) -> Result<Self, Refused> {
        let filter = Filter {
            group: params.one("group")?,
            states: params.states("state")?,
            prefix: params.one("prefix")?,
            labels: labels(&params.all("label"))?,
        };
        let order = params.one("sort")?;
        let order = order.map(|text| Order::from_name(&text).ok_or_else(|| wrong_value("sort", &text, Order::NAMES)));
        let limit = params.number("limit", 1..=LIMIT_MAX)?.map_or(LIMIT, |limit| limit as usize);
        let from = start(params.one("cursor")?, order.transpose()?, shards)?;
        params.finish(PARAMETERS)?;
        Ok(Self { filter: Arc::new(filter), limit, from })
    }
}

/// Every label is looked for on every node, on the shards' time; so no more than a node can have.
fn labels(given: &[String]) -> Result<Vec<(String, String)>, Refused> {
    if given.len() > EXTRAS_MAX {
        let error = format!("label is given {} times", given.len());
        return Err(Refused::bad(error, format!("a node has at most {EXTRAS_MAX} labels")));
    }
    let pair = |label: &String| {
        let (name, text) = label.split_once('=').ok_or_else(|| wrong_value("label", label, "name=text"))?;
        Ok((name.to_owned(), text.to_owned()))
    };
    given.iter().map(pair).collect()
}

fn start(cursor: Option<String>, order: Option<Order>, shards: usize) -> Result<From, Refused> {
    let Some(text) = cursor else {
        return Ok(order.map_or(From::Place { shard: 0, place: 0 }, |order| From::Behind(order, None)));
    };
    match (Cursor::from_text(&text), order) {
        (Some(Cursor::At { shard, place }), None) if shard < shards => Ok(From::Place { shard, place }),
        (Some(Cursor::Behind(was, place)), Some(order)) if was == order => Ok(From::Behind(order, Some(place))),
        _ => Err(wrong_value("cursor", &text, "the next of a page before, asked for with the same sort")),
    }
}

/// On from a place, until the page is full, the time is up, or everything was looked at.
async fn walk(
    app: &App,
    filter: &Arc<Filter>,
    limit: usize,
    mut shard: usize,
    mut place: usize,
) -> Result<(Vec<Row>, Option<Cursor>), Refused> {
    let until = Instant::now() + PAGE_WITHIN;
    let mut rows = Vec::new();
    while shard < app.control.shards.len() {
        if rows.len() >= limit || Instant::now() >= until {
            return Ok((rows, Some(Cursor::At { shard, place })));
        }
        let slice = app.slice(shard, place, limit - rows.len(), filter).await?;
        rows.extend(slice.rows);
        (shard, place) = slice.next.map_or((shard + 1, 0), |next| (shard, next));
    }
    Ok((rows, None))
}

/// The first in an order behind a place, of all that pass the filter.
async fn sort(
    app: &App,
    filter: &Arc<Filter>,
    limit: usize,
    order: Order,
    after: Option<Place>,
) -> Result<(Vec<Row>, Option<Cursor>), Refused> {
    let until = Instant::now() + PAGE_WITHIN;
    // One more than asked for shows whether there is another page.
    let mut first = First::new(order, after, limit + 1);
    for shard in 0..app.control.shards.len() {
        let mut from = Some(0);
        while let Some(place) = from {
            if Instant::now() >= until {
                let error = format!("sorting by {order} took longer than {} s", PAGE_WITHIN.as_secs());
                return Err(Refused::unavailable(
                    error,
                    "narrow it down by group, state, prefix or label, or leave sort out",
                ));
            }
            let slice = app.slice(shard, place, ROWS, filter).await?;
            slice.rows.into_iter().for_each(|row| first.offer(row));
            from = slice.next;
        }
    }
    let (rows, next) = first.page(limit);
    Ok((rows, next.map(|place| Cursor::Behind(order, place))))
}

/// The event by which a failed node was failed, if it is still kept. It knows what the node's row
/// doesn't: how well the monitor itself was at that moment.
async fn verdict(journal: &Journal, row: &Row) -> Option<Record> {
    let last_heartbeat = (row.evidence.incarnation.number(), row.evidence.seq.number());
    let wanted = |record: &Record| {
        let What::Changed { node, to: Liveness::Failed, proof, .. } = &record.what else { return false };
        **node == *row.node && (proof.incarnation, proof.seq) == last_heartbeat
    };
    let (mut since, mut latest) = (0, None);
    while since < journal.last() {
        let page = journal.page(since, usize::MAX, wanted);
        since = page.next;
        latest = page.records.into_iter().next_back().or(latest);
        tokio::task::yield_now().await;
    }
    latest
}
