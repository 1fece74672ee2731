//! Every route of the table has what every route is to have: an id, figures, a span in its caller's trace, a line in
//! the log, errors of one shape, and an entry in the document with all that belongs to one.

use super::{described::allowed, *};
use crate::{
    admin::problem::is_of_go,
    telemetry::{events, spans::Tracer},
};
use axum::{
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request},
};
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::SpanData;
use serde_json::Value;
use std::{
    fmt::Write,
    sync::{Mutex, PoisonError},
};
use tower::ServiceExt;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// What was logged, each line as its fields, and the ids of spans that were opened.
#[derive(Default)]
struct Heard {
    lines: Mutex<Vec<String>>,
    spans: Mutex<Vec<String>>,
}

/// The fields of a line or a span as `name=value`.
#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).expect("a String grows");
    }
}

struct Ear(Arc<Heard>);

impl Subscriber for Ear {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let mut spans = self.0.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.push(format!("{} {}", attributes.metadata().name(), fields.0));
        span::Id::from_u64(spans.len() as u64)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(format!("{} ", event.metadata().level()));
        event.record(&mut fields);
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).push(fields.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

async fn asked(state: &AdminState, method: &str, path: &str, id: &str) -> axum::response::Response {
    let request = Request::builder().method(method).uri(path).header("x-request-id", id);
    let request = request.header("traceparent", format!("00-{TRACE}-{CALLER}-01"));
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4000))));
    routes::router(state.clone()).oneshot(request).await.unwrap()
}

#[tokio::test]
async fn every_route_has_an_id_figures_a_span_a_line_and_errors_of_one_shape() {
    let (tracer, mut spans_sent) = Tracer::into_a_channel();
    let state = AdminState { tracer: Some(tracer), ..state() };
    let heard = Arc::new(Heard::default());
    // With one subscriber alone, a span that another test opens first, heard by nobody there, would never be heard here.
    let _another = tracing::Dispatch::new(Ear(Arc::default()));
    let _hearing = tracing::subscriber::set_default(Ear(Arc::clone(&heard)));
    for route in routes::routes() {
        let (method, path) = (route.method.as_str(), &route.path);
        let id = format!("id-of{}", path.replace(['/', '{', '}', ':'], "-"));
        let response = asked(&state, method, &allowed(&state, path), &id).await;
        let status = response.status().as_u16();
        assert_eq!(response.headers()["x-request-id"], id.as_str(), "{path}");
        if status >= 400 && is_of_go(path) {
            assert_eq!(response.headers()["x-go-pprof"], "1", "{path}");
        } else if status >= 400 && !routes::QUIET.contains(&path.as_str()) {
            assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
            let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
            let problem: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["status"], status, "{path}");
            assert!(
                problem["type"].as_str().unwrap().starts_with("urn:legwork:problem:"),
                "{path}"
            );
        }
        let labels = format!("{{method=\"{method}\",path=\"{path}\",status=\"{status}\"}} 1\n");
        let counted = format!("legwork_http_requests_total{labels}");
        let labels = format!("{{method=\"{method}\",path=\"{path}\"}} 1\n");
        let timed = format!("legwork_http_request_duration_seconds_count{labels}");
        let page = state.metrics.render();
        for series in [counted, timed] {
            assert!(page.contains(&series), "{series}");
        }

        let sent = spans_sent.try_recv().unwrap_or_else(|_| panic!("{path} has no span"));
        let own = is_of_route(&sent, (method, path), status);

        let span = format!("request_id=\"{id}\"");
        let spans = heard.spans.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(
            spans.iter().any(|one| one.starts_with("request ")
                && one.contains(&span)
                && one.contains(&own)),
            "{path}"
        );
        let lines = heard.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of_it = |line: &&String| {
            line.contains(events::ADMIN_REQUEST)
                && line.contains(&format!("http.route=\"{path}\""))
                && line.contains(&format!("http.request.method=\"{method}\""))
        };
        let lines = lines.iter().filter(is_of_it).count();
        assert_eq!(lines, 1, "{path}");
    }
}

/// Those that nothing is wrong with are for who looks.
#[tokio::test]
async fn probes_and_scrapes_are_told_at_debug_and_what_is_wrong_with_one_as_any_other() {
    let state = state();
    let heard = Arc::new(Heard::default());
    let _another = tracing::Dispatch::new(Ear(Arc::default()));
    let _hearing = tracing::subscriber::set_default(Ear(Arc::clone(&heard)));
    let mut expected = Vec::new();
    for path in routes::QUIET {
        for (method, level) in [("GET", "DEBUG"), ("DELETE", "INFO")] {
            let status = asked(&state, method, path, "id").await.status().as_u16();
            assert_eq!(status == 405, method == "DELETE", "{path}");
            expected.push(level.to_owned());
        }
    }
    let lines = heard.lines.lock().unwrap_or_else(PoisonError::into_inner);
    let of_requests = lines.iter().filter(|line| line.contains(events::ADMIN_REQUEST));
    let levels: Vec<_> = of_requests.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(levels, expected);
}

/// Holds a span to what its route is to have; gives what log lines say of it.
fn is_of_route(span: &SpanData, (method, path): (&str, &str), status: u16) -> String {
    assert_eq!((&*span.name, &span.span_kind), (&*format!("{method} {path}"), &SpanKind::Server));
    assert_eq!(span.parent_span_id.to_string(), CALLER, "{path}");
    let says = |key: &str| {
        let found = span.attributes.iter().find(|it| it.key.as_str() == key);
        found.unwrap_or_else(|| panic!("{path}: no {key}")).value.to_string()
    };
    assert_eq!((says("http.route"), says("http.request.method")), (path.into(), method.into()));
    assert_eq!(says("http.response.status_code"), status.to_string(), "{path}");
    format!("trace_id={TRACE} span_id={} trace_flags=\"01\"", span.span_context.span_id())
}

#[test]
fn every_route_has_an_entry_with_problems_security_role_and_example() {
    let document = openapi::document(routes::routes());
    for route in routes::routes() {
        let (method, path) = (route.method.as_str().to_lowercase(), &route.path);
        let operation = &document["paths"][path][&method];
        assert!(operation["operationId"].is_string(), "{path} has no entry");
        assert!(operation["summary"].is_string() && operation["tags"].is_array(), "{path}");
        assert!(operation["security"].is_array(), "{path}");
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses {
            let contents = response["content"].as_object();
            assert!(
                contents.is_some() || ["301", "304"].contains(&&**status),
                "{path} {status} has no content"
            );
            for (kind, content) in contents.into_iter().flatten() {
                assert!(!content["example"].is_null(), "{path} {status} {kind} has no example");
                let is_problem = kind == "application/problem+json";
                let types = content["schema"]["properties"]["type"]["enum"].as_array();
                assert_eq!(
                    types.is_some_and(|types| !types.is_empty()),
                    is_problem,
                    "{path} {status}"
                );
            }
        }
        for problem in route.problems.iter().filter(|_| !is_of_go(path)) {
            let status = problem.status().as_u16().to_string();
            let types = &responses[&status]["content"]["application/problem+json"]["schema"];
            let types = types["properties"]["type"]["enum"].as_array().unwrap();
            assert!(types.contains(&problem.uri().into()), "{path} lacks {problem:?}");
        }
        let form = match &**path {
            path if is_of_go(path) => "text/plain",
            path if path.ends_with(":batch") => "application/x-ndjson",
            _ => "application/json",
        };
        let body = &operation["requestBody"]["content"][form];
        let takes_one = !operation["requestBody"].is_null();
        assert_eq!(!body["example"].is_null(), takes_one, "{path}: a body has an example");
        // What ends something may take a reason.
        assert!(
            route.method == "DELETE" || takes_one == (route.method != "GET"),
            "{method} {path}"
        );
        let parameters = operation["parameters"].as_array().unwrap();
        for parameter in parameters.iter().filter(|parameter| parameter["in"] == "path") {
            assert!(!parameter["example"].is_null(), "{path}: {parameter}");
        }
    }
}

#[test]
fn every_operation_of_the_api_stands_in_its_page() {
    let page = include_str!("../../../docs/api.md");
    for route in routes::routes().iter().filter(|route| route.path.starts_with("/api/")) {
        let named = format!("| `{} {}`", route.method, route.path);
        assert!(page.contains(&named), "docs/api.md lacks {named}");
    }
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    let is_row = |line: &&str| methods.iter().any(|of| line.starts_with(&format!("| `{of} /api/")));
    let rows = page.lines().filter(is_row);
    let routes = routes::routes().iter().filter(|route| route.path.starts_with("/api/"));
    assert_eq!(rows.count(), routes.count(), "docs/api.md has an operation that there isn't");
}
