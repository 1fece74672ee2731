//! What happens round every request: its id, its limits, its figures and its line in the log.
//!
//! The path never becomes a label, only the route's template; and an id that could break a log line
//! or a header isn't taken over but replaced.

use super::{
    access::Role,
    problem::{Problem, as_read_at},
    routes::{AdminState, QUIET},
};
use crate::telemetry::{events, metrics::Refusal};
use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::time::Instant;
use tracing::Instrument;

/// Most bytes of a request's body.
pub(super) const BODY_MAX_BYTES: u64 = 64 * 1024;
/// Longest id that is taken over.
const ID_MAX_BYTES: usize = 128;
/// The label of requests that no route took.
const NO_ROUTE: &str = "other";
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request an id, refuses what asks for somebody else and large bodies, and counts the answer.
pub(super) async fn observe(
    State(AdminState { metrics, hosts, .. }): State<AdminState>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let seen = Seen::of(&request);
    let path = request.uri().path().to_owned();
    let id = request_id(request.headers());
    let text = id.to_str().unwrap_or_default();
    let span = tracing::info_span!("request", request_id = text);
    request.extensions_mut().insert(RequestId(text.to_owned()));
    let in_flight = metrics.http_in_flight(&seen.method, &seen.route);
    let mut response = if !hosts.know(&request, peer(&request)) {
        Problem::UnknownHost.into_response()
    } else if is_too_large(request.headers()) {
        Problem::BodyTooLarge.into_response()
    } else {
        next.run(request).instrument(span.clone()).await
    };
    response = as_read_at(&path, response);
    drop(in_flight);
    let (status, took) = (response.status().as_u16(), started.elapsed());
    metrics.http_answered(&seen.method, &seen.route, status, took);
    let (role, refusal) = (response.extensions().get(), response.extensions().get());
    span.in_scope(|| match refusal.copied() {
        Some(refusal) => seen.log_refused(status, refusal),
        None => seen.log(status, took, role.copied()),
    });
    response.headers_mut().insert(&REQUEST_ID, id);
    response
}

/// The request's id, for who notes what it changed.
#[derive(Clone)]
pub(super) struct RequestId(pub(super) String);

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

    /// As a warning, of which no crowd can have more written than a few.
    fn log_refused(&self, status: u16, refusal: Refusal) {
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

    fn log(&self, status: u16, took: Duration, role: Option<Role>) {
        if QUIET.contains(&self.route.as_str()) {
            return;
        }
        tracing::info!(
            event = events::ADMIN_REQUEST,
            client.address = self.peer.map(|peer| tracing::field::display(peer.to_canonical())),
            duration_ms = took.as_secs_f64() * 1e3,
            http.request.method = self.method,
            http.route = self.route,
            http.response.status_code = status,
            role = role.map(Role::as_str),
            "The admin port answered a request"
        );
    }
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

/// Only what a client announces is seen here. What it sends without announcing it is read by routes that take a body, up
/// to the same limit, and by others never: the connection is closed after the answer.
fn is_too_large(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|text| text.parse().ok()).is_some_and(|bytes: u64| bytes > BODY_MAX_BYTES)
}
