//! What the port answers.

use super::{health, hosts::Hosts, openapi, problem::Problem, request};
use crate::telemetry::{
    build,
    health::Health,
    metrics::{Format, Metrics},
};
use axum::{
    Router,
    extract::{ConnectInfo, State},
    http::{HeaderMap, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc};

/// What the routes show.
#[derive(Debug, Clone)]
pub struct AdminState {
    /// Health and its reasons.
    pub health: Arc<Health>,
    /// What `/metrics` renders, and where requests are counted.
    pub metrics: Arc<Metrics>,
    /// The names it answers to.
    pub hosts: Hosts,
}

/// Routes that probes and scrapes ask all day; they leave no access line.
pub(super) const QUIET: [&str; 6] =
    ["/health/live", "/health/ready", "/health/startup", "/livez", "/readyz", "/metrics"];

/// Every route there is. What `openapi` says of them is held to this table.
pub(super) fn routes() -> [(&'static str, MethodRouter<AdminState>); 8] {
    [
        ("/health/live", get(health::live)),
        ("/health/ready", get(health::ready)),
        ("/health/startup", get(health::startup)),
        ("/livez", get(health::live)),
        ("/readyz", get(health::ready)),
        ("/metrics", get(metrics)),
        ("/version", get(version)),
        ("/openapi.json", get(openapi)),
    ]
}

pub(super) fn router(state: AdminState) -> Router {
    let counted = middleware::from_fn_with_state(state.clone(), request::observe);
    let add = |router: Router<_>, (path, answer)| router.route(path, answer);
    routes()
        .into_iter()
        .fold(Router::new(), add)
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .fallback(async || Problem::NotFound)
        .layer(counted)
        .with_state(state)
}

async fn metrics(State(state): State<AdminState>, headers: HeaderMap) -> Response {
    let accept: Vec<_> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::asked_for(&accept.join(","));
    let kind = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, "Accept")];
    (kind, state.metrics.render_as(format)).into_response()
}

/// Which version runs. For others than the machine itself only health and metrics exist.
async fn version(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Response {
    let version = json!({ "name": "legwork", "version": build::VERSION, "commit": build::COMMIT });
    told_to_the_machine_itself(peer, &version)
}

/// What there is, as `OpenAPI` has it; for nobody else either.
async fn openapi(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Response {
    told_to_the_machine_itself(peer, &openapi::document())
}

fn told_to_the_machine_itself(peer: SocketAddr, body: &Value) -> Response {
    if !peer.ip().to_canonical().is_loopback() {
        return Problem::NotFound.into_response();
    }
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
