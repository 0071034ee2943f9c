//! `GET /v1/groups`: what every shard knows of its groups, put together by name.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};

use super::App;
use super::params::{NONE, Params};
use super::problem::Refused;
use crate::model::{Group, Groups, Problem};
use crate::show;

/// The groups that are configured or have nodes, by name.
#[utoipa::path(
    get,
    path = "/v1/groups",
    operation_id = "groups",
    tag = "groups",
    responses(
        (status = 200, description = "All of them.", body = Groups),
        (status = 400, description = "A parameter is wrong.", body = Problem),
        (status = 503, description = "A shard didn't answer in time.", body = Problem),
    ),
)]
pub(super) async fn list(State(app): State<Arc<App>>, params: Params) -> Result<Json<Groups>, Refused> {
    params.finish(NONE)?;
    let reports = app.groups(None).await?;
    Ok(Json(Groups { groups: show::groups(reports, app.control.clock.read()) }))
}

/// One group.
#[utoipa::path(
    get,
    path = "/v1/groups/{group}",
    operation_id = "group",
    tag = "groups",
    params(("group" = String, Path, description = "Its name, percent-encoded.", example = "web")),
    responses(
        (status = 200, description = "Its nodes by state, its settings, how its heartbeats arrive.", body = Group),
        (status = 400, description = "The path isn't UTF-8, or a parameter is wrong.", body = Problem),
        (status = 404, description = "No such group.", body = Problem),
        (status = 503, description = "A shard didn't answer in time.", body = Problem),
    ),
)]
pub(super) async fn one(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    params: Params,
) -> Result<Json<Group>, Refused> {
    params.finish(NONE)?;
    let name = called(name)?;
    let group = show::groups(app.groups(Some(&name)).await?, app.control.clock.read())
        .into_iter()
        .find(|group| group.group == name);
    group.map(Json).ok_or_else(|| unknown(&name))
}

/// The name in the path of a group.
pub(super) fn called(name: Result<Path<String>, PathRejection>) -> Result<String, Refused> {
    let Path(name) = name.map_err(|error| Refused::bad(error.body_text(), "percent-encode the name as UTF-8"))?;
    Ok(name)
}

/// There is no such group.
pub(super) fn unknown(name: &str) -> Refused {
    let hint = "a group appears with its first node or in the configuration; GET /v1/groups lists them";
    Refused::unknown(format!("group {name} is unknown"), hint)
}
