//! `GET /v1/groups/{group}/profile`: what the simulator needs to know of a network that it is to advise on.
//!
//! Lateness and losses every shard keeps ready. The interval nobody counts on the path of a heartbeat,
//! so a sample of nodes is asked for theirs: [`SAMPLE`] on each shard, looked for two seconds at most.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use systole_core::{Liveness, Span};
use tokio::time::Instant;

use super::App;
use super::groups::{called, unknown};
use super::params::{NONE, Params};
use super::problem::Refused;
use crate::model::{Problem, Profile};
use crate::query::{Filter, Unavailable};
use crate::show;

/// How many nodes are asked for their interval on each shard.
const SAMPLE: usize = 256;

/// How long they are looked for.
const SAMPLE_WITHIN: Duration = Duration::from_secs(2);

/// How a group's heartbeats arrive.
#[utoipa::path(
    get,
    path = "/v1/groups/{group}/profile",
    operation_id = "profile",
    tag = "groups",
    params(("group" = String, Path, description = "Its name, percent-encoded.", example = "web")),
    responses(
        (status = 200, description = "The distribution of lateness, and of losses in a row.", body = Profile),
        (status = 400, description = "The path isn't UTF-8, or a parameter is wrong.", body = Problem),
        (status = 404, description = "No such group.", body = Problem),
        (status = 503, description = "A shard didn't answer in time.", body = Problem),
    ),
)]
pub(super) async fn profile(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    params: Params,
) -> Result<Json<Profile>, Refused> {
    params.finish(NONE)?;
    let name = called(name)?;
    let reports = app.groups(Some(&name)).await?;
    let interval = interval(&app, &name).await?;
    show::profile(&name, reports, interval).map(Json).ok_or_else(|| unknown(&name))
}

/// The median of the intervals in force at nodes of the group that are heard, of an even number the
/// shorter; none if none is.
async fn interval(app: &App, name: &str) -> Result<Option<Span>, Unavailable> {
    let _turn = app.walks.acquire().await;
    let states = vec![Liveness::Alive, Liveness::Suspect];
    let filter = Arc::new(Filter { group: Some(name.to_owned()), states, ..Filter::default() });
    let until = Instant::now() + SAMPLE_WITHIN;
    let mut intervals = Vec::new();
    for shard in 0..app.control.shards.len() {
        let (mut from, mut wanted) = (Some(0), SAMPLE);
        while let Some(place) = from.filter(|_| wanted > 0 && Instant::now() < until) {
            let slice = app.slice(shard, place, wanted, &filter).await?;
            wanted -= slice.rows.len();
            intervals.extend(slice.rows.iter().map(|row| row.evidence.interval));
            from = slice.next;
        }
    }
    intervals.sort_unstable();
    Ok(intervals.get(intervals.len().saturating_sub(1) / 2).copied())
}
