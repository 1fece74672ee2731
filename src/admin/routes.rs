//! What the port answers.

use super::{
    access::{
        self, Access, Audience,
        Audience::Everybody,
        Guard,
        Role::{Admin, Viewer},
    },
    health,
    hosts::Hosts,
    openapi,
    problem::Problem,
    request, tasks,
};
use crate::{
    supervise::Supervisor,
    telemetry::{build, health::Health, metrics::Metrics},
    worker::Running,
};
use axum::{
    Router,
    extract::State,
    handler::Handler,
    http::{Method, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// What the routes show.
#[derive(Debug, Clone)]
pub struct AdminState {
    /// Health and its reasons.
    pub health: Arc<Health>,
    /// What `/metrics` renders, and where requests are counted.
    pub metrics: Arc<Metrics>,
    /// The names it answers to.
    pub hosts: Hosts,
    /// Who may ask what.
    pub access: Access,
    /// Whose tasks are shown.
    pub supervisor: Supervisor,
    /// The jobs that run.
    pub attempts: Arc<Running>,
}

/// Routes that probes and scrapes ask all day; they leave no access line.
pub(super) const QUIET: [&str; 6] =
    ["/health/live", "/health/ready", "/health/startup", "/livez", "/readyz", "/metrics"];

/// One operation of the port.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// Who may ask it; `access` sees to that before the route is asked.
    pub(super) audience: Audience,
    answer: MethodRouter<AdminState>,
}

impl Route {
    /// What changes nothing; HEAD as well.
    fn reading<T: 'static>(
        path: &'static str,
        audience: impl Into<Audience>,
        answer: impl Handler<T, AdminState>,
    ) -> Self {
        Self::new((Method::GET, path), audience, get(answer))
    }

    pub(super) fn new(
        (method, path): (Method, &'static str),
        audience: impl Into<Audience>,
        answer: MethodRouter<AdminState>,
    ) -> Self {
        Self { method, path, audience: audience.into(), answer }
    }
}

/// Every route there is, and who may ask it. What `openapi` says of them is held to this table.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::reading("/health/live", Everybody, health::live),
        Route::reading("/health/ready", Everybody, health::ready),
        Route::reading("/health/startup", Everybody, health::startup),
        Route::reading("/livez", Everybody, health::live),
        Route::reading("/readyz", Everybody, health::ready),
        Route::reading("/metrics", Everybody, metrics),
        Route::reading("/version", Viewer, version),
        Route::reading("/openapi.json", Viewer, openapi),
        Route::reading("/debug/tasks", Admin, tasks::tasks),
        Route::reading("/debug/pprof/goroutine", Admin, tasks::goroutine),
    ]
}

pub(super) fn router(state: AdminState) -> Router {
    router_of(routes(), state)
}

/// These routes, each behind what is done for every request.
pub(super) fn router_of(routes: Vec<Route>, state: AdminState) -> Router {
    let guard = Guard::new(&state, &routes);
    let add = |router: Router<_>, route: Route| router.route(route.path, route.answer);
    let routes = routes
        .into_iter()
        .fold(Router::new(), add)
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .fallback(async || Problem::NotFound)
        .layer(middleware::from_fn_with_state(guard, access::guard))
        .layer(middleware::from_fn_with_state(state.clone(), request::observe))
        .with_state(state);
    // Outside, since the methods are put to the answer behind every layer.
    Router::new().fallback_service(routes).layer(middleware::map_response(without_methods))
}

/// Which methods a path takes is said to whoever asked it with another, and not to whoever was refused.
async fn without_methods(mut response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().remove(header::ALLOW);
    }
    response
}

async fn metrics(State(state): State<AdminState>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, state.metrics.render()).into_response()
}

/// Which version runs.
async fn version() -> Response {
    let version = json!({ "name": "legwork", "version": build::VERSION, "commit": build::COMMIT });
    in_json(&version)
}

/// What there is, as `OpenAPI` has it.
async fn openapi() -> Response {
    in_json(&openapi::document())
}

fn in_json(body: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
