//! `/healthz` and `/readyz`, for whoever starts, restarts or routes to the monitor.
//!
//! Alive means that this thread answers; restart the monitor when it doesn't. Ready means that
//! every shard answers too, between its heartbeats.

use std::sync::Arc;

use axum::extract::State;

use super::App;
use super::problem::Refused;
use crate::model::Problem;

/// Whether the monitor lives.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "monitor",
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain")),
)]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Whether every shard receives and answers.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "monitor",
    responses(
        (status = 200, description = "All of them do.", body = String, content_type = "text/plain"),
        (status = 503, description = "A shard didn't answer in time.", body = Problem),
    ),
)]
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, Refused> {
    app.reports().await?;
    Ok("ready\n")
}
