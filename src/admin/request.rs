//! What happens round every request: its id, its limits, its figures, its span and its line in the log.
//!
//! The path never becomes a label, only the route's template; and an id that could break a log line
//! or a header isn't taken over but replaced.

use super::{
    access::Role,
    api,
    problem::{Problem, Refusal, as_read_at},
    routes::{AdminState, QUIET},
};
use crate::telemetry::{
    Origin, events, metrics,
    spans::{Asked, RequestSpan, Tracer},
};
use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Version, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use tracing::Instrument;

/// Most bytes of a request's body, where its route says nothing else.
pub(super) const BODY_MAX_BYTES: u64 = 64 * 1024;
/// Asked by any name in `Host`.
const ANY_NAME: &str = "/api/v1/callbacks/{token}";
/// Longest id that is taken over.
const ID_MAX_BYTES: usize = 128;
/// The label of requests that no route took.
const NO_ROUTE: &str = "other";
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A request's id, for whoever writes it down.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

/// Gives the request an id, refuses what asks for somebody else and large bodies, and counts the answer.
pub(super) async fn observe(
    State(AdminState { metrics, hosts, tracer, .. }): State<AdminState>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let seen = Seen::of(&request);
    let path = request.uri().path().to_owned();
    let id = request_id(request.headers());
    let text = id.to_str().unwrap_or_default().to_owned();
    request.extensions_mut().insert(RequestId(text));
    let body_max = body_max(&seen.route);
    let caller = caller(request.headers(), &id);
    let of = Arc::new(seen.span(&request, &caller, tracer.as_deref()));
    let span = scope(of.origin());
    let in_flight = metrics.http_in_flight(&seen.method, &seen.route);
    // Receivers call by whatever name leads here; no page knows the token that the path has.
    let by_any_name = seen.route == ANY_NAME;
    let mut let_in = false;
    let mut response = if !by_any_name && !hosts.know(&request, peer(&request)) {
        Problem::UnknownHost.into_response()
    } else if is_too_large(request.headers(), body_max) {
        too_large(body_max).into_response()
    } else {
        let_in = true;
        Arc::clone(&of).over(next.run(request)).instrument(span.clone()).await
    };
    response = as_read_at(&path, response);
    drop(in_flight);
    let (status, took) = (response.status().as_u16(), started.elapsed());
    metrics.http_answered(&seen.method, &seen.route, status, took);
    let (role, refusal) = (response.extensions().get(), response.extensions().get().copied());
    let told = if let_in && refusal.is_none() {
        of.answered(status);
        span
    } else {
        of.refused();
        // Its own span is nowhere to be found: the line names its caller's.
        scope(&caller)
    };
    told.in_scope(|| match refusal {
        Some(refusal) => seen.log_refused(status, refusal),
        None => seen.log(status, took, role.copied()),
    });
    let headers = response.headers_mut();
    headers.insert(&REQUEST_ID, id);
    // Whatever it is, a problem too: it is of this moment, and what it is called.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
    response
}

/// What is told of a request.
struct Seen {
    method: String,
    route: String,
    peer: Option<IpAddr>,
}

impl Seen {
    fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let route = route.unwrap_or(NO_ROUTE).to_owned();
        Self { method: request.method().to_string(), route, peer: peer(request) }
    }

    /// Probes and scrapes.
    fn is_quiet(&self) -> bool {
        QUIET.contains(&self.route.as_str())
    }

    /// Its place in its caller's trace, if it has one, and its span, where spans are made: of probes and scrapes where their
    /// caller samples, and is this machine. Strangers may ask them, and would fill the queue that the spans of jobs need.
    fn span(&self, request: &Request, caller: &Origin, tracer: Option<&Tracer>) -> RequestSpan {
        let is_here = self.peer.is_some_and(|peer| peer.to_canonical().is_loopback());
        let is_sampled = caller.trace.is_some_and(|trace| trace.flags & 1 == 1);
        let is_wanted = !self.is_quiet() || (is_here && is_sampled);
        let Some(tracer) = tracer.filter(|_| is_wanted) else {
            return RequestSpan::none(caller.clone());
        };
        let in_header = || request.headers().get(header::HOST)?.to_str().ok()?.parse().ok();
        let authority: Option<Authority> = request.uri().authority().cloned().or_else(in_header);
        let asked = Asked {
            method: &self.method,
            route: Some(self.route.as_str()).filter(|route| *route != NO_ROUTE),
            // Of a call back the path has the token, which is a secret.
            path: if self.route == ANY_NAME { ANY_NAME } else { request.uri().path() },
            host: authority.as_ref().map(|it| (it.host(), it.port_u16())),
            client: self.peer,
            version: if request.version() == Version::HTTP_10 { "1.0" } else { "1.1" },
        };
        tracer.request(&asked, caller)
    }

    /// As a warning, of which no crowd can have more written than a few.
    fn log_refused(&self, status: u16, refusal: metrics::Refusal) {
        tracing::warn!(
            event = events::ADMIN_REFUSED,
            client.address = self.peer.map(|peer| tracing::field::display(peer.to_canonical())),
            http.request.method = self.method,
            http.route = self.route,
            http.response.status_code = status,
            reason = refusal.as_str(),
            "The admin port refused a request because of who asked"
        );
    }

    /// Probes and scrapes at `debug`, unless something was wrong with one; 503 is what a probe is for.
    fn log(&self, status: u16, took: Duration, role: Option<Role>) {
        macro_rules! say {
            ($level:ident) => {
                tracing::$level!(
                    event = events::ADMIN_REQUEST,
                    client.address =
                        self.peer.map(|peer| tracing::field::display(peer.to_canonical())),
                    duration_ms = took.as_secs_f64() * 1e3,
                    http.request.method = self.method,
                    http.route = self.route,
                    http.response.status_code = status,
                    role = role.map(Role::as_str),
                    "The admin port answered a request"
                )
            };
        }
        if self.is_quiet() && (status < 400 || status == 503) {
            say!(debug);
        } else {
            say!(info);
        }
    }
}

/// What every line that is logged meanwhile says.
fn scope(origin: &Origin) -> tracing::Span {
    let trace = origin.trace;
    tracing::info_span!(
        "request",
        request_id = origin.request_id,
        trace_id = trace.map(|trace| tracing::field::display(trace.trace_id)),
        span_id = trace.map(|trace| tracing::field::display(trace.span_id)),
        trace_flags = trace.map(|trace| format!("{:02x}", trace.flags)),
    )
}

/// Whoever asks, by what its request says of its trace: for its span, its lines in the log and the jobs that it enqueues.
fn caller(headers: &HeaderMap, id: &HeaderValue) -> Origin {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    // Two of them are none, as W3C has it; a tracestate may come in parts.
    let mut parents = headers.get_all("traceparent").iter();
    let parent = parents.next().filter(|_| parents.next().is_none()).and_then(text);
    let states: Vec<_> = headers.get_all("tracestate").iter().filter_map(text).collect();
    let state = (!states.is_empty()).then(|| states.join(","));
    Origin::of_request(parent, state, text(id))
}

/// The client's id where it is harmless, else one of our own.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let harmless = |id: &&HeaderValue| {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
        (1..=ID_MAX_BYTES).contains(&id.len()) && id.as_bytes().iter().all(allowed)
    };
    let own = || {
        let text = format!("{:032x}", fastrand::u128(..));
        HeaderValue::try_from(text).expect("hex digits may stand in a header")
    };
    headers.get(&REQUEST_ID).filter(harmless).cloned().unwrap_or_else(own)
}

/// The address at the other end.
pub(super) fn peer(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip())
}

/// Most bytes of a body there, in bytes.
pub(super) fn body_max(route: &str) -> u64 {
    match route {
        api::enqueue::PATH => api::enqueue::BODY_MAX_BYTES,
        api::batch::PATH => api::batch::BODY_MAX_BYTES,
        api::daemon::VALIDATE => api::daemon::VALIDATE_MAX_BYTES,
        _ => BODY_MAX_BYTES,
    }
}

/// What is said of a body of more.
pub(super) fn too_large(most: u64) -> Refusal {
    Problem::BodyTooLarge.because(format!("the body is larger than {most} bytes"))
}

/// Only what a client announces is seen here. What it sends without announcing it is read by routes that take a body, up
/// to the same limit, and by others never: the connection is closed after the answer.
fn is_too_large(headers: &HeaderMap, most: u64) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|text| text.parse().ok()).is_some_and(|bytes: u64| bytes > most)
}
