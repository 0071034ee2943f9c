//! `/healthz` and `/readyz`, for whoever starts, restarts or routes to the monitor.
//!
//! Alive means that this thread answers; restart the monitor when it doesn't. Ready means that
//! every shard answers too, and that none is so far behind its sockets that verdicts wait for it.

use std::sync::Arc;

use axum::extract::State;
use systole_core::Span;

use super::App;
use super::problem::Refused;
use crate::model::Problem;

/// Whether the monitor lives.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "healthz",
    tag = "monitor",
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain")),
)]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Whether every shard receives, judges and answers.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "monitor",
    responses(
        (status = 200, description = "All of them do.", body = String, content_type = "text/plain"),
        (status = 503, description = "A shard didn't answer in time, or is behind with its sockets.", body = Problem),
    ),
)]
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, Refused> {
    let reports = app.reports().await?;
    let behind = reports.iter().map(|report| report.behind).max().unwrap_or(Span::ZERO);
    if behind > BEHIND_MAX {
        return Err(Refused::unavailable(
            format!(
                "the monitor is {behind} behind with its sockets, and nobody is declared silent until it has caught up"
            ),
            "more arrives than it can take in: send less often, give it more shards, or look for a flood",
        ));
    }
    Ok("ready\n")
}

/// Further behind than this a monitor isn't ready: verdicts are late by as much.
const BEHIND_MAX: Span = Span::from_secs(1);
