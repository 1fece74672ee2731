//! Errors as RFC 9457 shows them: `application/problem+json`, readable by people and programs. Below
//! `/debug/pprof/` they come as Go's own server has them, so that `go tool pprof` shows what is wrong.

use super::access::Role;
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use std::{borrow::Cow, time::Duration};

/// Where Go's tools ask.
const OF_GO: &str = "/debug/pprof";
/// Says that an error's text is meant for who reads the tool's output.
const GO_PPROF: HeaderName = HeaderName::from_static("x-go-pprof");
/// How a token is sent; a client takes the form that it has.
const CHALLENGES: [&str; 2] =
    [r#"Bearer realm="legwork""#, r#"Basic realm="legwork", charset="UTF-8""#];

/// What went wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// No such route.
    NotFound,
    /// It was meant for somebody else.
    UnknownHost,
    /// The route has other methods.
    MethodNotAllowed,
    /// The body is larger than the limit.
    BodyTooLarge,
    /// It needs a token, and none came.
    NoToken,
    /// A token came that is none.
    WrongToken,
    /// Too many of them came from there.
    TooManyGuesses { wait: Duration },
    /// The token's role is below what is needed.
    RoleTooSmall { needed: Role, role: Role },
    /// A page of another origin asks.
    ForeignPage,
}

impl Problem {
    fn parts(self) -> (StatusCode, Cow<'static, str>) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "there is nothing at this path".into()),
            Self::UnknownHost => (
                StatusCode::MISDIRECTED_REQUEST,
                "the daemon doesn't go by the name in Host: ask by its address, or list the name in admin.allow_hosts".into(),
            ),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "this path doesn't take that method".into())
            }
            Self::BodyTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 65536 bytes".into())
            }
            Self::NoToken => (
                StatusCode::UNAUTHORIZED,
                "this needs a token: as Authorization: Bearer TOKEN, or as the password, http://x:TOKEN@host/…".into(),
            ),
            Self::WrongToken => (StatusCode::UNAUTHORIZED, "the token isn't one of the daemon's".into()),
            Self::TooManyGuesses { wait } => (
                StatusCode::TOO_MANY_REQUESTS,
                format!(
                    "this address sent too many wrong tokens: the next one is looked at in {} s",
                    seconds(wait)
                )
                .into(),
            ),
            Self::RoleTooSmall { needed, role } => (
                StatusCode::FORBIDDEN,
                format!("this needs the role {}, the token's is {}", needed.as_str(), role.as_str())
                    .into(),
            ),
            Self::ForeignPage => (
                StatusCode::FORBIDDEN,
                "a page of another origin asks, by its Origin or Sec-Fetch-Site: ask from here, or by a program".into(),
            ),
        }
    }
}

/// Whole ones, so that whoever waits for them has waited long enough.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, detail) = self.parts();
        let body = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": detail,
        });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, body.to_string()).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            for challenge in CHALLENGES {
                headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        if let Self::TooManyGuesses { wait } = self {
            headers.insert(header::RETRY_AFTER, seconds(wait).into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Whether Go's tools ask there.
pub(super) fn is_of_go(path: &str) -> bool {
    path.strip_prefix(OF_GO).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A problem in the form that is read at this path; any other answer as it is.
pub(super) fn as_read_at(path: &str, response: Response) -> Response {
    let problem = response.extensions().get::<Problem>().filter(|_| is_of_go(path)).copied();
    let Some(problem) = problem else { return response };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    parts.headers.insert(header::CONTENT_TYPE, text);
    parts.headers.insert(GO_PPROF, HeaderValue::from_static("1"));
    Response::from_parts(parts, Body::from(format!("{}\n", problem.parts().1)))
}
