//! `GET /v1/openapi.json`: this interface, for programs that write programs.

use axum::Json;
use utoipa::OpenApi;

use super::{events, groups, health, holds, metrics, nodes, page, profile, status, stream};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Systole",
        description = "Who of a large fleet is alive, suspect, failed or gone, and why. Times are RFC 3339 with \
                       milliseconds, durations whole milliseconds. Errors are `{\"error\", \"hint\"}`.",
    ),
    paths(
        page::index,
        status::status,
        groups::list,
        groups::one,
        profile::profile,
        holds::list,
        holds::dead,
        holds::longer,
        nodes::list,
        nodes::one,
        events::list,
        stream::stream,
        metrics::metrics,
        health::live,
        health::ready,
        document,
    ),
    tags(
        (name = "nodes", description = "What is believed of each node, and why."),
        (name = "groups", description = "Nodes that share settings."),
        (name = "holds", description = "Failures that are withheld because many nodes fell silent together."),
        (name = "events", description = "Changes of belief and what else is worth telling, numbered without a gap."),
        (name = "monitor", description = "The monitor itself."),
    ),
)]
struct Document;

/// This document.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    operation_id = "openapi",
    tag = "monitor",
    responses((status = 200, description = "The OpenAPI description of this interface.", body = Object)),
)]
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_described_and_every_description_is_a_route() {
        let routes: BTreeSet<String> = super::super::routes().into_iter().map(|(path, _)| path.to_owned()).collect();
        let described: BTreeSet<String> = Document::openapi().paths.paths.into_keys().collect();
        assert_eq!(routes, described);
    }

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let paths = Document::openapi().paths.paths;
        let names: Vec<String> = paths
            .values()
            .map(|path| path.get.as_ref().or(path.post.as_ref()).and_then(|it| it.operation_id.clone()).unwrap())
            .collect();
        assert_eq!((names.iter().collect::<BTreeSet<_>>().len(), names.len()), (names.len(), paths.len()), "{names:?}");
    }
}
