//! Any answer but a good one: what is wrong with the value, and the way out.

use axum::Json;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::model::Problem;
use crate::query::Unavailable;

/// A refusal with its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    status: StatusCode,
    problem: Problem,
}

impl Refused {
    pub(super) fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, problem: Problem { error: error.into(), hint: hint.into() } }
    }

    /// The question makes no sense (400).
    pub(super) fn bad(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, hint)
    }

    /// What is asked about doesn't exist (404).
    pub(super) fn unknown(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, hint)
    }

    /// It would have been possible at another time (503).
    pub(super) fn unavailable(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error, hint)
    }
}

impl From<Unavailable> for Refused {
    fn from(unavailable: Unavailable) -> Self {
        let hint = match unavailable {
            Unavailable::Busy(_) => "heartbeats come first; ask again later and less often",
            Unavailable::Silent(_) => {
                "heartbeats come first; if it stays so, the monitor is stopping or stuck: see its log"
            }
        };
        Self::unavailable(unavailable.to_string(), hint)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(self.problem)).into_response()
    }
}

/// Answers for every path that isn't one.
pub(super) async fn unknown_path(uri: Uri) -> Refused {
    Refused::unknown(
        format!("there is nothing at {}", uri.path()),
        "GET /v1/openapi.json lists what there is; ids are percent-encoded in paths (/ is %2F)",
    )
}

/// Answers for every method that a path doesn't take.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> Refused {
    Refused::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} isn't possible at {}", uri.path()),
        "the Allow header says what is",
    )
}
