//! `GET /v1/events`: events by their numbers, a page at a time.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::App;
use super::params::{EventFilter, Params};
use super::problem::Refused;
use crate::model::{EventPage, Problem};
use crate::show;
use crate::store::Journal;

const LIMIT: usize = 100;
const LIMIT_MAX: u64 = 10_000;

const PARAMETERS: &str = "since, limit, to, group, node";

/// Events after a number, oldest first.
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "events",
    tag = "events",
    params(
        (
            "since" = Option<u64>,
            Query,
            description = "Only those with a greater number. 0 if not given, and if it is greater than the latest: then \
                           it is a number from another life of the monitor.",
        ),
        ("limit" = Option<u64>, Query, description = "The most events on a page.", minimum = 1, maximum = 10000),
        (
            "to" = Option<String>,
            Query,
            description = "Only changes to these states: a list with commas.",
            example = "failed,left",
        ),
        ("group" = Option<String>, Query, description = "Only of this group."),
        ("node" = Option<String>, Query, description = "Only of this node."),
    ),
    responses(
        (status = 200, description = "A page. Go on with its `next`, whether or not it has events.", body = EventPage),
        (status = 400, description = "A parameter is wrong.", body = Problem),
    ),
)]
pub(super) async fn list(State(app): State<Arc<App>>, mut params: Params) -> Result<Json<EventPage>, Refused> {
    let since = params.number("since", 0..=u64::MAX)?.unwrap_or(0);
    let limit = params.number("limit", 1..=LIMIT_MAX)?.map_or(LIMIT, |limit| limit as usize);
    let filter = EventFilter::take(&mut params)?;
    params.finish(PARAMETERS)?;
    Ok(Json(page(&app.control.journal, since, limit, &filter).await))
}

/// Puts a page together from as many looks at the journal as it takes, on the disk and then in memory, with room
/// for others between them.
async fn page(journal: &Journal, since: u64, limit: usize, filter: &EventFilter) -> EventPage {
    let mut whole = EventPage { events: Vec::new(), next: since, missed: 0 };
    loop {
        let room = limit - whole.events.len();
        let old = filter.clone();
        match journal.older(whole.next, room, move |event| old.wants_old(event)).await {
            Some(older) => {
                whole.events.extend(older.events);
                (whole.next, whole.missed) = (older.next, whole.missed + older.missed);
            }
            None => {
                let page = journal.page(whole.next, room, |record| filter.wants(record));
                whole.events.extend(page.records.iter().map(show::event));
                (whole.next, whole.missed) = (page.next, whole.missed + page.missed);
            }
        }
        if whole.events.len() >= limit || whole.next >= journal.last() {
            return whole;
        }
        tokio::task::yield_now().await;
    }
}
