//! Errors as RFC 9457 shows them: `application/problem+json`, readable by people and programs.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

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
}

impl Problem {
    fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "there is nothing at this path"),
            Self::UnknownHost => (
                StatusCode::MISDIRECTED_REQUEST,
                "the daemon doesn't go by the name in Host: ask by its address, or list the name in admin.allow_hosts",
            ),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "this path doesn't take that method")
            }
            Self::BodyTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 65536 bytes")
            }
        }
    }
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
        (status, kind, body.to_string()).into_response()
    }
}
