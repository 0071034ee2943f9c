//! `GET /v1/status`: the monitor on one page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::App;
use super::problem::Refused;
use crate::model::{Problem, Status};
use crate::show;

/// How the monitor and its nodes are doing.
#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "monitor",
    responses(
        (status = 200, description = "The whole monitor on one page.", body = Status),
        (status = 503, description = "A shard didn't answer in time.", body = Problem),
    ),
)]
pub(super) async fn status(State(app): State<Arc<App>>) -> Result<Json<Status>, Refused> {
    app.status().await.map(Json)
}

impl App {
    pub(super) async fn status(&self) -> Result<Status, Refused> {
        let reports = self.reports().await?;
        Ok(show::status(&reports, self.uptime(), self.control.journal.last()))
    }
}
