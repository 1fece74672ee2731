//! What the port says of the daemon and of itself: its metrics, its version, the document, and that there is nothing.

use super::{
    api::tags::{self, Known},
    debug::pprof,
    openapi,
    problem::{Problem, Refusal},
    routes::{AdminState, routes},
};
use crate::telemetry::{build, metrics::Format};
use axum::{
    extract::State,
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::sync::LazyLock;
use utoipa::ToSchema;

/// Everything, for Prometheus
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "daemon",
    responses((status = 200, description = "The page.", content(
        (String = "text/plain", example = "legwork_draining 0\n"),
        (String = "application/openmetrics-text", example = "legwork_draining 0\n# EOF\n")))))]
pub(super) async fn metrics(State(state): State<AdminState>, headers: HeaderMap) -> Response {
    let accept: Vec<_> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::asked_for(&accept.join(","));
    let kind = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, "Accept")];
    (kind, state.metrics.scraped(format).await).into_response()
}

/// What runs.
#[derive(Serialize, ToSchema)]
#[schema(as = Version)]
pub(super) struct Build {
    /// Whose port it is.
    #[schema(pattern = "^legwork$")]
    name: &'static str,
    /// Which version.
    version: &'static str,
    /// Of which source.
    commit: &'static str,
}

/// Which version runs
#[utoipa::path(get, path = "/version", operation_id = "version", tag = "daemon",
    responses((status = 200, description = "It.", body = Build,
        example = json!({ "name": "legwork", "version": "0.1.0", "commit": "4af7b04" }))))]
pub(super) async fn version() -> Response {
    in_json(&Build { name: "legwork", version: build::VERSION, commit: build::COMMIT })
}

/// This document
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "daemon",
    params(("If-None-Match" = Option<String>, Header, description = "An ETag that the client has.")),
    responses((status = 304, description = "It is still that."),
        (status = 200, description = "It.", body = Object,
        headers(("ETag" = String, description = "It, for If-None-Match.")), example = json!({ "openapi": "3.1.0" }))))]
pub(super) async fn openapi(known: Known) -> Response {
    // Made once: it takes longer than any answer may that all connections wait for.
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi::document(routes()).to_string());
    tags::document(&known, DOCUMENT.clone())
}

fn in_json(body: &impl Serialize) -> Response {
    // Structs of texts, and a document that was JSON before, have a form in it.
    let body = serde_json::to_string(body).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// What isn't there. Of Go's profiles that a daemon hasn't it is said why, and at the doors where people knock first,
/// which rooms there are.
pub(super) async fn missing(uri: Uri) -> Response {
    let doors = match uri.path().trim_end_matches('/') {
        "" | "/api" | "/api/v1" | "/debug" | "/health" => Some(
            "there is nothing at this path itself: /openapi.json describes every path of this port, among them \
             /health/ready, /metrics, /api/v1/queues, /debug/tasks and /debug/pprof/",
        ),
        _ => None,
    };
    let refusal: Refusal = match pprof::instead_of(uri.path()).or(doors) {
        Some(why) => Problem::NotFound.because(why),
        None => Problem::NotFound.into(),
    };
    refusal.into_response()
}
