//! A problem in one case, and as it goes out.

use super::{Problem, of_go::Said, seconds};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// How a token is sent; a client takes the form that it has.
const CHALLENGES: [&str; 2] =
    [r#"Bearer realm="legwork""#, r#"Basic realm="legwork", charset="UTF-8""#];

/// How long whoever was told that the database is away should wait.
const RETRY_AFTER_SECONDS: u16 = 5;
/// The same of a crowd, which is gone sooner.
const CROWD_PASSES_SECONDS: u16 = 1;

impl Problem {
    /// Says more of it.
    pub(in crate::admin) fn because(self, detail: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { detail: detail.into(), ..Refusal::from(self) }
    }
}

/// A problem in one case.
#[derive(Debug)]
pub(in crate::admin) struct Refusal {
    problem: Problem,
    detail: Cow<'static, str>,
    parameter: Option<Box<str>>,
    nearest: Option<Box<str>>,
    line: Option<u64>,
    column: Option<usize>,
    hint: Option<Box<str>>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let detail = problem.detail();
        let (parameter, nearest, line, column, hint) = (None, None, None, None, None);
        Self { problem, detail, parameter, nearest, line, column, hint }
    }
}

impl Refusal {
    /// With the parameter that it is about, and the one that may have been meant.
    pub(in crate::admin) fn about(self, parameter: &str, nearest: Option<String>) -> Self {
        Self { parameter: Some(parameter.into()), nearest: nearest.map(String::into), ..self }
    }

    /// With the line of the body that it is about.
    pub(in crate::admin) fn in_line(self, line: u64) -> Self {
        let detail = format!("line {line}: {}", self.detail).into();
        Self { line: Some(line), detail, ..self }
    }

    /// With the place in that line, in bytes from 1.
    pub(in crate::admin) fn in_column(self, column: Option<usize>) -> Self {
        Self { column, ..self }
    }

    /// With what the database advises.
    pub(in crate::admin) fn advised(self, hint: Option<String>) -> Self {
        Self { hint: hint.map(String::into), ..self }
    }
}

/// A refusal of the port, as RFC 9457 has it.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(in crate::admin) struct Shown {
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
    /// The parameter that it is about, or the member of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parameter: Option<String>,
    /// The parameter that may have been meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    nearest: Option<String>,
    /// The line of a body of lines, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    line: Option<u64>,
    /// The place in that line, in bytes from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    column: Option<usize>,
    /// What to do about it, where the database said so: for people, in words of SQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    hint: Option<String>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        Refusal::from(self).into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { problem, detail, parameter, nearest, line, column, hint } = self;
        let status = problem.status();
        let title = status.canonical_reason().unwrap_or_default();
        let (kind, code) = (problem.uri(), status.as_u16());
        let said = detail.clone();
        let [parameter, nearest, hint] = [parameter, nearest, hint].map(|it| it.map(String::from));
        let body =
            Shown { kind, title, status: code, detail, parameter, nearest, line, column, hint };
        // A struct of texts and numbers has a form in JSON.
        let body = serde_json::to_string(&body).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, body).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            for challenge in CHALLENGES {
                headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        if let Problem::TooManyGuesses { wait } = problem {
            headers.insert(header::RETRY_AFTER, seconds(wait).into());
        } else if problem == Problem::Overloaded {
            headers.insert(header::RETRY_AFTER, CROWD_PASSES_SECONDS.into());
        } else if problem.passes() {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        }
        response.extensions_mut().insert(Said(said));
        response
    }
}
