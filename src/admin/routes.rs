//! What the port answers.

use super::{health, hosts::Hosts, openapi, problem::Problem, request, tasks};
use crate::{
    supervise::Supervisor,
    telemetry::{build, health::Health, metrics::Metrics},
    worker::Running,
};
use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::header,
    middleware::{self, Next},
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
    /// Whose tasks are shown.
    pub supervisor: Supervisor,
    /// The jobs that run.
    pub attempts: Arc<Running>,
}

/// Routes that probes and scrapes ask all day; they leave no access line.
pub(super) const QUIET: [&str; 6] =
    ["/health/live", "/health/ready", "/health/startup", "/livez", "/readyz", "/metrics"];

/// Every route there is. What `openapi` says of them is held to this table.
pub(super) fn routes() -> [(&'static str, MethodRouter<AdminState>); 10] {
    [
        ("/health/live", get(health::live)),
        ("/health/ready", get(health::ready)),
        ("/health/startup", get(health::startup)),
        ("/livez", get(health::live)),
        ("/readyz", get(health::ready)),
        ("/metrics", get(metrics)),
        ("/version", get(version)),
        ("/openapi.json", get(openapi)),
        ("/debug/tasks", of_the_machine_itself(get(tasks::tasks))),
        ("/debug/pprof/goroutine", of_the_machine_itself(get(tasks::goroutine))),
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

async fn metrics(State(state): State<AdminState>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, state.metrics.render()).into_response()
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

fn of_the_machine_itself(route: MethodRouter<AdminState>) -> MethodRouter<AdminState> {
    route.layer(middleware::from_fn(
        async |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request, next: Next| {
            if peer.ip().to_canonical().is_loopback() {
                return next.run(request).await;
            }
            Problem::NotFound.into_response()
        },
    ))
}

fn told_to_the_machine_itself(peer: SocketAddr, body: &Value) -> Response {
    if !peer.ip().to_canonical().is_loopback() {
        return Problem::NotFound.into_response();
    }
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
