//! `GET /v1/status`: the monitor on one page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::App;
use super::params::{NONE, Params};
use super::problem::Refused;
use crate::model::{Problem, Status};
use crate::show;

/// How the monitor and its nodes are doing.
#[utoipa::path(
    get,
    path = "/v1/status",
    operation_id = "status",
    tag = "monitor",
    responses(
        (status = 200, description = "The whole monitor on one page.", body = Status),
        (status = 400, description = "A parameter is wrong.", body = Problem),
        (status = 503, description = "A shard didn't answer in time.", body = Problem),
    ),
)]
pub(super) async fn status(State(app): State<Arc<App>>, params: Params) -> Result<Json<Status>, Refused> {
    params.finish(NONE)?;
    app.status().await.map(Json)
}

impl App {
    pub(super) async fn status(&self) -> Result<Status, Refused> {
        let reports = self.reports().await?;
        let state_dir = self.control.journal.state_dir();
        let status = show::status(&reports, self.uptime(), self.control.journal.last(), self.control.clock.read());
        Ok(Status { state_dir, config: self.control.loads.shown(), ..status })
    }
}
