//! Errors as RFC 9457 shows them: `application/problem+json`, readable by people and programs.
//!
//! Each kind of error has a type of its own, which programs go by and which stays; the sentence is for people and
//! may say more of the case at hand.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// What went wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Problem {
    /// No such route.
    NotFound,
    /// It was meant for somebody else.
    UnknownHost,
    /// The route has other methods.
    MethodNotAllowed,
    /// The body is larger than the limit.
    BodyTooLarge,
    /// The query has a parameter that the route doesn't.
    UnknownParameter,
    /// A parameter is there and can't be meant.
    InvalidParameter,
    /// A body has to be JSON, and to say so.
    NotJson,
    /// A body is there and can't be meant.
    InvalidBody,
    /// The job isn't in a state in which that can be done.
    WrongState,
    /// There is no such job.
    NoSuchJob,
    /// Nobody knows that queue.
    NoSuchQueue,
    /// The database doesn't answer, or not in time.
    DatabaseUnavailable,
    /// The database understood and said no.
    DatabaseRefused,
}

/// What all types of problems begin with.
const TYPES: &str = "urn:legwork:problem:";

/// How long whoever was told that the database is away should wait.
const RETRY_AFTER_SECONDS: u16 = 5;

impl Problem {
    /// Its status, its name and what is said where there is no more to say.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "there is nothing at this path"),
            Self::UnknownHost => (
                StatusCode::MISDIRECTED_REQUEST,
                "unknown-host",
                "the daemon doesn't go by the name in Host: ask by its address, or list the name in admin.allow_hosts",
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "this path doesn't take that method",
            ),
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "the body is larger than 65536 bytes",
            ),
            Self::UnknownParameter => {
                (StatusCode::BAD_REQUEST, "unknown-parameter", "there is no such parameter")
            }
            Self::InvalidParameter => {
                (StatusCode::BAD_REQUEST, "invalid-parameter", "a parameter can't be read")
            }
            Self::NotJson => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not-json",
                "what changes something is asked with Content-Type: application/json",
            ),
            Self::InvalidBody => {
                (StatusCode::BAD_REQUEST, "invalid-body", "the body can't be read")
            }
            Self::WrongState => (
                StatusCode::CONFLICT,
                "wrong-state",
                "the job isn't in a state in which that can be done",
            ),
            Self::NoSuchJob => (
                StatusCode::NOT_FOUND,
                "no-such-job",
                "there is no such job, unfinished or in history",
            ),
            Self::NoSuchQueue => (
                StatusCode::NOT_FOUND,
                "no-such-queue",
                "no job, no daemon and no operator has named that queue",
            ),
            Self::DatabaseUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "database-unavailable",
                "the database doesn't answer",
            ),
            Self::DatabaseRefused => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "database-refused",
                "the database refused the statement",
            ),
        }
    }

    /// Its status.
    pub(super) fn status(self) -> StatusCode {
        self.parts().0
    }

    /// Its type: what programs go by.
    pub(super) fn uri(self) -> String {
        format!("{TYPES}{}", self.parts().1)
    }

    /// What is said where there is no more to say.
    pub(super) fn detail(self) -> &'static str {
        self.parts().2
    }

    /// Whether it says when to come again.
    pub(super) fn passes(self) -> bool {
        self == Self::DatabaseUnavailable
    }

    /// Says more of it.
    pub(super) fn because(self, detail: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { detail: detail.into(), ..Refusal::from(self) }
    }
}

/// A problem in one case.
#[derive(Debug)]
pub(super) struct Refusal {
    problem: Problem,
    detail: Cow<'static, str>,
    parameter: Option<String>,
    nearest: Option<String>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let detail = problem.parts().2.into();
        Self { problem, detail, parameter: None, nearest: None }
    }
}

impl Refusal {
    /// With the parameter that it is about, and the one that may have been meant.
    pub(super) fn about(self, parameter: &str, nearest: Option<String>) -> Self {
        Self { parameter: Some(parameter.to_owned()), nearest, ..self }
    }
}

/// A refusal of the port, as RFC 9457 has it.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Body {
    /// What sort of problem it is: stays the same, and is no address.
    #[serde(rename = "type")]
    kind: String,
    /// The status in words.
    title: &'static str,
    /// The status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong, for people.
    detail: Cow<'static, str>,
    /// The parameter that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parameter: Option<String>,
    /// The parameter that may have been meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    nearest: Option<String>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        Refusal::from(self).into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { problem, detail, parameter, nearest } = self;
        let status = problem.status();
        let title = status.canonical_reason().unwrap_or_default();
        let (kind, code) = (problem.uri(), status.as_u16());
        let body = Body { kind, title, status: code, detail, parameter, nearest };
        // A struct of texts and numbers has a form in JSON.
        let body = serde_json::to_string(&body).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, body).into_response();
        if problem.passes() {
            let after = HeaderValue::from(RETRY_AFTER_SECONDS);
            response.headers_mut().insert(header::RETRY_AFTER, after);
        }
        response
    }
}
