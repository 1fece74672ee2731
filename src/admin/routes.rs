//! What the port answers.

use super::{health, problem::Problem, request};
use crate::telemetry::{build, health::Health, metrics::Metrics};
use axum::{
    Router,
    extract::{ConnectInfo, State},
    http::header,
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use std::{net::SocketAddr, sync::Arc};

/// What the routes show.
#[derive(Debug, Clone)]
pub struct AdminState {
    /// Health and its reasons.
    pub health: Arc<Health>,
    /// What `/metrics` renders, and where requests are counted.
    pub metrics: Arc<Metrics>,
}

/// Routes that probes and scrapes ask all day; they leave no access line.
pub(super) const QUIET: [&str; 6] =
    ["/health/live", "/health/ready", "/health/startup", "/livez", "/readyz", "/metrics"];

pub(super) fn router(state: AdminState) -> Router {
    let counted = middleware::from_fn_with_state(Arc::clone(&state.metrics), request::observe);
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/health/startup", get(health::startup))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .fallback(async || Problem::NotFound)
        .layer(counted)
        .with_state(state)
}

async fn metrics(State(state): State<AdminState>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, state.metrics.render()).into_response()
}

/// Which version runs. For others than the machine itself only health and metrics exist.
async fn version(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Response {
    if !peer.ip().to_canonical().is_loopback() {
        return Problem::NotFound.into_response();
    }
    let body = json!({ "name": "legwork", "version": build::VERSION, "commit": build::COMMIT });
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
