//! What the port answers.

use super::{
    access::{
        self, Access, Audience,
        Audience::{Caller, Everybody},
        Guard,
        Role::{self, Operator, Viewer},
    },
    api::{self, Configured, once},
    controls::Controls,
    cuts::Cuts,
    debug::{self, heap, pprof},
    health,
    hosts::Hosts,
    itself, not_taken,
    problem::Problem,
    request, tasks,
    turns::{self, Turns},
};
use crate::{
    executor::Callbacks,
    heartbeat::Leases,
    postgres::operations::Sessions,
    supervise::Supervisor,
    telemetry::{health::Health, metrics::Metrics, spans::Tracer},
    worker::Running,
};
use axum::{Router, http::Method, middleware, routing::MethodRouter};
use std::sync::{Arc, LazyLock, OnceLock};
use tokio::sync::{Notify, watch};
use utoipa::openapi::{
    RefOr,
    path::{Operation, Parameter, Paths},
    schema::Schema,
};
use utoipa_axum::{router::UtoipaMethodRouter, routes};

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
    /// By what it asks the database.
    pub sessions: Arc<Sessions>,
    /// What the daemon's file says.
    pub configured: watch::Receiver<Configured>,
    /// Told that an operation has begun.
    pub bulk: Arc<Notify>,
    /// Whose tasks are shown.
    pub supervisor: Supervisor,
    /// The jobs that run.
    pub attempts: Arc<Running>,
    /// Those of them that are called back.
    pub callbacks: Arc<Callbacks>,
    /// Who this daemon is for the database, once it began to register.
    pub leases: Arc<OnceLock<Leases>>,
    /// What makes spans of requests, where they go anywhere.
    pub tracer: Option<Arc<Tracer>>,
    /// What it can have the daemon do.
    pub controls: Controls,
}

/// Routes that probes and scrapes ask all day; `request` says less of them.
pub(super) const QUIET: [&str; 6] =
    ["/health/live", "/health/ready", "/health/startup", "/livez", "/readyz", "/metrics"];

/// One operation of the port: what it is, who may ask it, what may be wrong with that, and what answers.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: String,
    /// Who may ask it; `access` sees to that before the route is asked.
    pub(super) audience: Audience,
    /// What can go wrong besides what can with every route.
    pub(super) problems: &'static [Problem],
    /// What its macro says of it.
    pub(super) described: Operation,
    /// What that refers to.
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
    /// Whether it answers HEAD.
    pub(super) takes_head: bool,
    /// Whether it works for its answer, for as long as it is asked to.
    pub(super) measures: bool,
    answer: MethodRouter<AdminState>,
}

impl Route {
    /// What changes nothing; HEAD as well.
    fn reading(
        audience: impl Into<Audience>,
        described: UtoipaMethodRouter<AdminState>,
        problems: &'static [Problem],
    ) -> Self {
        Self { takes_head: true, ..Self::described(audience.into(), described, problems) }
    }

    /// What changes nothing, and works for its answer: of that not even the head can be had without the work, so HEAD
    /// isn't taken. Whoever tries a path by it would take a profile, and keep others from taking one.
    fn measuring(
        audience: impl Into<Audience>,
        described: UtoipaMethodRouter<AdminState>,
        problems: &'static [Problem],
    ) -> Self {
        let route = Self::described(audience.into(), described, problems);
        let answer = route.answer.route_layer(middleware::from_fn(debug::until_the_end));
        let answer = answer.head(not_taken::get_alone).fallback(not_taken::get_alone);
        Self { answer, measures: true, ..route }
    }

    /// What changes something.
    fn changing(
        audience: impl Into<Audience>,
        described: UtoipaMethodRouter<AdminState>,
        problems: &'static [Problem],
    ) -> Self {
        let mut route = Self::described(audience.into(), described, problems);
        if !route.has_versions() {
            route.answer =
                route.answer.route_layer(middleware::from_fn(not_taken::without_versions));
        }
        if route.refuses_keys() {
            route.answer = route.answer.route_layer(middleware::from_fn(not_taken::without_keys));
        }
        route
    }

    /// Whether it changes only what is still as somebody has seen it, where that is asked for.
    pub(super) fn has_versions(&self) -> bool {
        self.takes("If-Match")
    }

    /// Whether it is done once, as often as it is sent with one key.
    pub(super) fn has_keys(&self) -> bool {
        self.takes(once::NAME)
    }

    /// Whether a request with such a key is told that it would be done again. Who calls back isn't ours, and an attempt
    /// ends once however often it is told to.
    pub(super) fn refuses_keys(&self) -> bool {
        !self.has_keys() && self.audience != Caller
    }

    fn takes(&self, header: &str) -> bool {
        let is_it = |of: &RefOr<Parameter>| matches!(of, RefOr::T(of) if of.name == header);
        self.described.parameters.iter().flatten().any(is_it)
    }

    fn described(
        audience: Audience,
        (schemas, paths, answer): UtoipaMethodRouter<AdminState>,
        problems: &'static [Problem],
    ) -> Self {
        let (method, path, described) = only(paths);
        let (takes_head, measures) = (false, false);
        Self { method, path, audience, problems, described, schemas, takes_head, measures, answer }
    }

    /// One of which nothing is said.
    #[cfg(test)]
    pub(super) fn new(
        (method, path): (Method, &'static str),
        audience: impl Into<Audience>,
        answer: MethodRouter<AdminState>,
    ) -> Self {
        let (audience, path) = (audience.into(), path.to_owned());
        let (problems, described, schemas) = (&[][..], Operation::new(), Vec::new());
        let (takes_head, measures) = (method == Method::GET, false);
        Self { method, path, audience, problems, described, schemas, takes_head, measures, answer }
    }
}

/// The one operation that `routes!` describes of one handler.
fn only(paths: Paths) -> (Method, String, Operation) {
    let (path, item) = paths.paths.into_iter().next().expect("a handler has a path");
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let operations = [item.get, item.post, item.put, item.patch, item.delete];
    let described = methods.into_iter().zip(operations);
    let mut described = described.filter_map(|(method, operation)| Some((method, operation?)));
    let (method, operation) = described.next().expect("a handler takes a method");
    (method, path, operation)
}

/// Every route there is, who may ask it, and what may be wrong with that. The document is made of this table.
pub(super) fn routes() -> &'static [Route] {
    static TABLE: LazyLock<Vec<Route>> = LazyLock::new(table);
    &TABLE
}

#[rustfmt::skip]
fn table() -> Vec<Route> {
    vec![
        Route::reading(Everybody, routes!(health::live), &[]),
        Route::reading(Everybody, routes!(health::ready), &[]),
        Route::reading(Everybody, routes!(health::startup), &[]),
        Route::reading(Everybody, routes!(health::livez), &[]),
        Route::reading(Everybody, routes!(health::readyz), &[]),
        Route::reading(Everybody, routes!(itself::metrics), &[]),
        Route::reading(Viewer, routes!(itself::version), &[]),
        Route::reading(Viewer, routes!(itself::openapi), &[]),
        Route::reading(Viewer, routes!(api::queues::list), api::OF_THE_DATABASE),
        Route::reading(Viewer, routes!(api::queues::show), api::OF_A_QUEUE),
        Route::reading(Viewer, routes!(api::jobs::list), api::OF_THE_DATABASE),
        Route::reading(Viewer, routes!(api::jobs::show), api::OF_A_JOB),
        Route::reading(Viewer, routes!(api::jobs::why), api::OF_A_JOB),
        Route::reading(Viewer, routes!(api::schedules::list), api::OF_THE_DATABASE),
        Route::reading(Viewer, routes!(api::daemons::list), api::OF_THE_DATABASE),
        Route::reading(Viewer, routes!(api::stats::scale), api::OF_THE_DATABASE),
        Route::reading(Viewer, routes!(api::events::listen), api::OF_EVENTS),
        Route::changing(Operator, routes!(api::enqueue::enqueue), api::OF_A_JOB_TO_BE),
        Route::changing(Operator, routes!(api::batch::enqueue), api::OF_JOBS_TO_BE),
        Route::reading(Viewer, routes!(api::audit::list), api::OF_THE_DATABASE),
        Route::changing(Operator, routes!(api::changes::cancel), api::OF_A_CHANGE),
        Route::changing(Operator, routes!(api::changes::retry), api::OF_A_CHANGE),
        Route::changing(Operator, routes!(api::changes::discard), api::OF_A_CHANGE),
        Route::changing(Operator, routes!(api::changes::snooze), api::OF_A_CHANGE),
        Route::changing(Operator, routes!(api::changes::pause), api::OF_A_SWITCH),
        Route::changing(Operator, routes!(api::changes::resume), api::OF_A_SWITCH),
        Route::changing(Caller, routes!(api::callbacks::call), api::callbacks::OF_A_CALL),
        Route::changing(Operator, routes!(api::bulk::begin), api::OF_A_BULK),
        Route::reading(Viewer, routes!(api::operations::list), api::OF_THE_DATABASE),
        Route::reading(Viewer, routes!(api::operations::show), api::OF_AN_OPERATION),
        Route::changing(Operator, routes!(api::operations::cancel), api::OF_AN_END),
        Route::changing(Operator, routes!(api::decisions::override_queue), api::decisions::OF_A_DECISION),
        Route::changing(Operator, routes!(api::decisions::reset), api::decisions::OF_A_DECISION),
        Route::changing(Operator, routes!(api::decisions::drain), api::OF_A_SWITCH),
        Route::changing(Operator, routes!(api::schedules::run), api::OF_A_RUN),
        Route::changing(Role::Admin, routes!(api::decisions::quiet), api::decisions::OF_A_WORD),
        Route::changing(Role::Admin, routes!(api::decisions::drain_daemon), api::decisions::OF_A_WORD),
        Route::changing(Role::Admin, routes!(api::decisions::shut_down), api::decisions::OF_A_WORD),
        Route::changing(Role::Admin, routes!(api::daemon::shutdown), api::daemon::OF_AN_END),
        Route::reading(Role::Admin, routes!(api::daemon::configuration), api::daemon::OF_THE_DAEMON),
        Route::changing(Role::Admin, routes!(api::daemon::reload), api::daemon::OF_A_RELOAD),
        Route::changing(Role::Admin, routes!(api::daemon::validate), api::daemon::OF_A_COMMAND),
        Route::reading(Role::Admin, routes!(api::daemon::log_level), api::daemon::OF_THE_DAEMON),
        Route::changing(Role::Admin, routes!(api::daemon::change_log_level), api::daemon::OF_A_COMMAND),
        Route::changing(Role::Admin, routes!(api::daemon::reset_log_level), api::daemon::OF_A_COMMAND),
        Route::reading(Role::Admin, routes!(pprof::moved), &[]),
        Route::reading(Role::Admin, routes!(pprof::index), api::OF_A_QUERY),
        Route::measuring(Role::Admin, routes!(pprof::profile), pprof::OF_A_PROFILE),
        Route::measuring(Role::Admin, routes!(heap::heap), heap::OF_A_HEAP_PROFILE),
        Route::measuring(Role::Admin, routes!(heap::allocs), heap::OF_A_HEAP_PROFILE),
        Route::changing(Role::Admin, routes!(heap::activate), heap::OF_ITS_SWITCH),
        Route::changing(Role::Admin, routes!(heap::deactivate), heap::OF_ITS_SWITCH),
        Route::reading(Role::Admin, routes!(pprof::cmdline), api::OF_A_QUERY),
        Route::reading(Role::Admin, routes!(pprof::symbol), &[Problem::InvalidParameter]),
        Route::changing(Role::Admin, routes!(pprof::symbols), api::OF_A_QUERY),
        Route::measuring(Role::Admin, routes!(debug::trace::pprof_trace), debug::trace::OF_A_TRACE),
        Route::measuring(Role::Admin, routes!(debug::trace::trace), debug::trace::OF_A_TRACE),
        Route::measuring(Role::Admin, routes!(debug::bundle::bundle), debug::bundle::OF_A_BUNDLE),
        Route::reading(Role::Admin, routes!(tasks::goroutine), api::OF_A_QUERY),
        Route::reading(Role::Admin, routes!(tasks::tasks), api::OF_A_QUERY),
    ]
}

pub(super) fn router(state: AdminState) -> Router {
    router_of(routes(), state)
}

/// These routes, each behind what is done for every request.
pub(super) fn router_of(routes: &[Route], state: AdminState) -> Router {
    let guard = Guard::new(&state, routes);
    let turns = Turns::of(routes, Cuts(state.metrics.admin_cuts()));
    let add = |router: Router<_>, route: &Route| router.route(&route.path, route.answer.clone());
    let routes = routes
        .iter()
        .fold(Router::new(), add)
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .fallback(itself::missing)
        // Inside of who may ask at all: those who may not wait for nobody's answer.
        .layer(middleware::from_fn_with_state(turns, turns::in_turn))
        .layer(middleware::from_fn(debug::until_the_last))
        .layer(middleware::from_fn_with_state(guard, access::guard))
        .layer(middleware::from_fn_with_state(state.clone(), request::observe))
        .with_state(state);
    // Outside, since the methods are put to the answer behind every layer.
    Router::new()
        .fallback_service(routes)
        .layer(middleware::map_response(not_taken::without_methods))
}
