//! A problem as Go's own server has errors, below the path at which its tools ask.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::Response,
};
use std::borrow::Cow;

/// Where Go's tools ask.
const OF_GO: &str = "/debug/pprof";
/// Says that an error's text is meant for who reads the tool's output.
const GO_PPROF: HeaderName = HeaderName::from_static("x-go-pprof");

/// What a problem's answer says for people, for whoever writes it down in another form.
#[derive(Clone)]
pub(super) struct Said(pub(super) Cow<'static, str>);

/// Whether Go's tools ask there.
pub(in crate::admin) fn is_of_go(path: &str) -> bool {
    path.strip_prefix(OF_GO).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A problem in the form that is read at this path; any other answer as it is.
pub(in crate::admin) fn as_read_at(path: &str, response: Response) -> Response {
    let said = response.extensions().get::<Said>().filter(|_| is_of_go(path)).cloned();
    let Some(Said(said)) = said else { return response };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    parts.headers.insert(header::CONTENT_TYPE, text);
    parts.headers.insert(GO_PPROF, HeaderValue::from_static("1"));
    Response::from_parts(parts, Body::from(format!("{said}\n")))
}
