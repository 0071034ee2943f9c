//! `GET /v1/holds`, and what somebody who knows better says of one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use systole_core::Span;
use systole_core::guard::{Order, ScopeName};

use super::App;
use super::params::{NONE, Params, wrong_value};
use super::problem::Refused;
use crate::model::{Holds, Problem};
use crate::show;

/// What is withheld because many nodes fell silent together.
#[utoipa::path(
    get,
    path = "/v1/holds",
    operation_id = "holds",
    tag = "holds",
    responses(
        (status = 200, description = "Each with its numbers and a sentence.", body = Holds),
        (status = 400, description = "A parameter is wrong.", body = Problem),
        (status = 503, description = "A shard didn't answer in time.", body = Problem),
    ),
)]
pub(super) async fn list(State(app): State<Arc<App>>, params: Params) -> Result<Json<Holds>, Refused> {
    params.finish(NONE)?;
    app.holds().await
}

/// "They are dead": the failures that are withheld are given at once.
#[utoipa::path(
    post,
    path = "/v1/holds/dead",
    operation_id = "hold_dead",
    tag = "holds",
    params(("scope" = String, Query, description = "Which hold: `fleet`, `group NAME`, `label NAME=TEXT`.", example = "group web")),
    responses(
        (status = 200, description = "What is held now.", body = Holds),
        (status = 400, description = "A parameter is wrong.", body = Problem),
        (status = 404, description = "There is no such hold.", body = Problem),
        (status = 503, description = "A shard didn't answer in time.", body = Problem),
    ),
)]
pub(super) async fn dead(State(app): State<Arc<App>>, mut params: Params) -> Result<Json<Holds>, Refused> {
    let scope = scope(&mut params)?;
    params.finish("scope")?;
    app.obey(&scope, Order::Dead).await
}

/// "Wait longer": the failures are withheld for this much longer than was meant.
#[utoipa::path(
    post,
    path = "/v1/holds/longer",
    operation_id = "hold_longer",
    tag = "holds",
    params(
        ("scope" = String, Query, description = "Which hold: `fleet`, `group NAME`, `label NAME=TEXT`.", example = "group web"),
        ("for" = String, Query, description = "How much longer.", example = "30m"),
    ),
    responses(
        (status = 200, description = "What is held now.", body = Holds),
        (status = 400, description = "A parameter is wrong.", body = Problem),
        (status = 404, description = "There is no such hold.", body = Problem),
        (status = 503, description = "A shard didn't answer in time.", body = Problem),
    ),
)]
pub(super) async fn longer(State(app): State<Arc<App>>, mut params: Params) -> Result<Json<Holds>, Refused> {
    let scope = scope(&mut params)?;
    let text = params.one("for")?.ok_or_else(|| Refused::bad("for is missing", "say how much longer: for=30m"))?;
    params.finish("scope, for")?;
    let span: Span = text.parse().map_err(|_| wrong_value("for", &text, "a duration such as 30m"))?;
    app.obey(&scope, Order::Longer(span)).await
}

fn scope(params: &mut Params) -> Result<String, Refused> {
    let hint = "name the hold as GET /v1/holds does: scope=group%20web";
    let text = params.one("scope")?.ok_or_else(|| Refused::bad("scope is missing", hint))?;
    match ScopeName::parse(&text) {
        Some(_) => Ok(text),
        None => Err(wrong_value("scope", &text, "fleet, group NAME or label NAME=TEXT")),
    }
}

impl App {
    async fn holds(&self) -> Result<Json<Holds>, Refused> {
        let reports = self.reports().await?;
        Ok(Json(Holds { holds: show::holds(&reports, self.control.clock.read()) }))
    }

    async fn obey(&self, scope: &str, order: Order) -> Result<Json<Holds>, Refused> {
        if self.order(scope, order).await? {
            return self.holds().await;
        }
        let hint = "GET /v1/holds lists what is held; a hold ends by itself when enough nodes return";
        Err(Refused::unknown(format!("there is no hold of {scope}"), hint))
    }
}
