//! Errors as RFC 9457 shows them: `application/problem+json`, readable by people and programs. Below
//! `/debug/pprof/` they come as Go's own server has them, so that `go tool pprof` shows what is wrong.
//!
//! Each kind of error has a type of its own, which programs go by and which stays; the sentence is for people and
//! may say more of the case at hand.

mod of_go;

use of_go::Said;
pub(super) use of_go::{as_read_at, is_of_go};

use super::access::Role;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::{borrow::Cow, time::Duration};
use utoipa::ToSchema;

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
    /// The query has a parameter that the route doesn't.
    UnknownParameter,
    /// A parameter is there and can't be meant.
    InvalidParameter,
    /// A body has to be JSON, and to say so.
    NotJson,
    /// A body is there and can't be meant.
    InvalidBody,
    /// The body came too slowly.
    BodyTooSlow,
    /// The key was another request's.
    KeyReused,
    /// A request with this key is being answered.
    RequestUnderWay,
    /// As many streams of events as there may be.
    TooManyStreams,
    /// A member of a job breaks its column's rule.
    InvalidJob,
    /// Somebody's open transaction has the job's unique key.
    UniqueKeyHeld,
    /// The job isn't in a state in which that can be done.
    WrongState,
    /// The attempt that is called back is over.
    LeaseGone,
    /// It was ended because somebody cancelled the job.
    JobCancelled,
    /// Another verdict came before.
    AlreadyDecided,
    /// The attempt didn't take what was said in time.
    AttemptBusy,
    /// What the job is to leave is longer than its kind keeps.
    ResultTooLong,
    /// A call back that was meant for another daemon, or for this one before it was started anew.
    OtherDaemon,
    /// It isn't as the client has seen it.
    Changed,
    /// What is there has no version that could be named.
    NoVersion,
    /// There is no such job.
    NoSuchJob,
    /// Nobody knows that queue.
    NoSuchQueue,
    /// There is no such daemon.
    NoSuchDaemon,
    /// There is no such operation.
    NoSuchOperation,
    /// The daemon's file has no such schedule.
    NoSuchSchedule,
    /// The database doesn't answer, or not in time.
    DatabaseUnavailable,
    /// The database understood and said no.
    DatabaseRefused,
    /// Somebody else takes a profile.
    ProfileUnderWay,
    /// Somebody else takes an execution trace.
    TraceUnderWay,
    /// Allocations aren't sampled.
    HeapInactive,
    /// There are none here.
    NoProfiles,
    /// It couldn't be taken.
    ProfileFailed,
    /// The daemon is a part of a program that brought that itself.
    OfTheProgram,
    /// The configuration wasn't read again in time.
    NotReloaded,
    /// As many requests are answered as may be at once, and none was done in time.
    Overloaded,
    /// What takes its time is cut short by the end of the daemon.
    DaemonEnds,
}

/// What all types of problems begin with.
const TYPES: &str = "urn:legwork:problem:";

/// How long whoever was told that the database is away should wait.
const RETRY_AFTER_SECONDS: u16 = 5;
/// The same of a crowd, which is gone sooner.
const CROWD_PASSES_SECONDS: u16 = 1;

impl Problem {
    /// Its status, its name and what is said where there is no more to say.
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn parts(self) -> (StatusCode, &'static str, Cow<'static, str>) {
        match self {
            Self::NotFound => {
                (StatusCode::NOT_FOUND, "not-found", "there is nothing at this path".into())
            }
            Self::UnknownHost => (
                StatusCode::MISDIRECTED_REQUEST,
                "unknown-host",
                "the daemon doesn't go by the name in Host: ask by its address, or list the name in admin.allow_hosts".into(),
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "this path doesn't take that method".into(),
            ),
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "the body is larger than this route takes: 65536 bytes where nothing else is said".into(),
            ),
            Self::NoToken => (
                StatusCode::UNAUTHORIZED,
                "no-token",
                "this needs a token: as Authorization: Bearer TOKEN, or as the password, http://x:TOKEN@host/…".into(),
            ),
            Self::WrongToken => (
                StatusCode::UNAUTHORIZED,
                "wrong-token",
                "the token isn't one of the daemon's".into(),
            ),
            Self::TooManyGuesses { wait } => (
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-guesses",
                format!(
                    "this address sent too many wrong tokens: the next one is looked at in {} s",
                    seconds(wait)
                )
                .into(),
            ),
            Self::RoleTooSmall { needed, role } => (
                StatusCode::FORBIDDEN,
                "role-too-small",
                format!("this needs the role {}, the token's is {}", needed.as_str(), role.as_str())
                    .into(),
            ),
            Self::ForeignPage => (
                StatusCode::FORBIDDEN,
                "foreign-page",
                "a page of another origin asks, by its Origin or Sec-Fetch-Site: ask from here, or by a program".into(),
            ),
            Self::UnknownParameter => {
                (StatusCode::BAD_REQUEST, "unknown-parameter", "there is no such parameter".into())
            }
            Self::InvalidParameter => {
                (StatusCode::BAD_REQUEST, "invalid-parameter", "a parameter can't be read".into())
            }
            Self::NotJson => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not-json",
                "what changes something is asked with Content-Type: application/json".into(),
            ),
            Self::InvalidBody => {
                (StatusCode::BAD_REQUEST, "invalid-body", "the body can't be read".into())
            }
            Self::BodyTooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "body-too-slow",
                "the body came too slowly, and nothing of it was done".into(),
            ),
            Self::KeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "key-reused",
                "another request was answered under this Idempotency-Key: each has a key of its own".into(),
            ),
            Self::RequestUnderWay => (
                StatusCode::CONFLICT,
                "request-under-way",
                "a request with this Idempotency-Key is being answered: send it again in a moment".into(),
            ),
            Self::TooManyStreams => (
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-streams",
                "this daemon has as many streams of events as it takes".into(),
            ),
            Self::InvalidJob => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid-job",
                "a member of the job breaks the rule of its column".into(),
            ),
            Self::UniqueKeyHeld => (
                StatusCode::CONFLICT,
                "unique-key-held",
                "a transaction that isn't over has this unique key, such as a batch that is being sent: send it again in a moment".into(),
            ),
            Self::WrongState => (
                StatusCode::CONFLICT,
                "wrong-state",
                "it isn't in a state in which that can be done".into(),
            ),
            Self::LeaseGone => (
                StatusCode::GONE,
                "lease-gone",
                "the attempt is over: it was decided, or out of time, or the job was given back; nothing was changed, stop working on it".into(),
            ),
            Self::JobCancelled => (
                StatusCode::GONE,
                "job-cancelled",
                "the job was cancelled; nothing was changed, stop working on it".into(),
            ),
            Self::AlreadyDecided => (
                StatusCode::CONFLICT,
                "already-decided",
                "another verdict about this attempt was taken before".into(),
            ),
            Self::AttemptBusy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "attempt-busy",
                "the attempt didn't answer in time: say it again".into(),
            ),
            Self::ResultTooLong => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "result-too-long",
                "the result is longer than the kind's max_result; nothing was changed, say it with a shorter one".into(),
            ),
            Self::OtherDaemon => (
                StatusCode::MISDIRECTED_REQUEST,
                "other-daemon",
                "this process didn't make that URL: it is of another daemon, or of this one before a restart, and then the job has been given back".into(),
            ),
            Self::Changed => (
                StatusCode::PRECONDITION_FAILED,
                "changed",
                "it isn't what If-Match names any more: look at it again".into(),
            ),
            Self::NoVersion => (
                StatusCode::PRECONDITION_FAILED,
                "no-version",
                "nothing here has a version that If-Match could name: leave it out".into(),
            ),
            Self::NoSuchJob => (
                StatusCode::NOT_FOUND,
                "no-such-job",
                "there is no such job, unfinished or in history".into(),
            ),
            Self::NoSuchQueue => (
                StatusCode::NOT_FOUND,
                "no-such-queue",
                "no job, no daemon and no operator has named that queue".into(),
            ),
            Self::NoSuchDaemon => (
                StatusCode::NOT_FOUND,
                "no-such-daemon",
                "no daemon of that id has run within the last hour".into(),
            ),
            Self::NoSuchOperation => (
                StatusCode::NOT_FOUND,
                "no-such-operation",
                "there is no such operation; they are kept for 90 days after their end".into(),
            ),
            Self::NoSuchSchedule => (
                StatusCode::NOT_FOUND,
                "no-such-schedule",
                "the file of the daemon that answers has no such [[schedule]]".into(),
            ),
            Self::DatabaseUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "database-unavailable",
                "the database doesn't answer".into(),
            ),
            Self::DatabaseRefused => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "database-refused",
                "the database refused the statement".into(),
            ),
            Self::ProfileUnderWay => (
                StatusCode::CONFLICT,
                "profile-under-way",
                "somebody else takes a CPU profile of this process at the moment".into(),
            ),
            Self::TraceUnderWay => (
                StatusCode::CONFLICT,
                "trace-under-way",
                "somebody else takes an execution trace of this daemon at the moment".into(),
            ),
            Self::HeapInactive => (
                StatusCode::PRECONDITION_FAILED,
                "heap-inactive",
                "heap profiling isn't active: POST /debug/pprof/heap/activate switches it on".into(),
            ),
            Self::NoProfiles => (
                StatusCode::NOT_IMPLEMENTED,
                "no-profiles",
                "CPU profiles are taken on Linux with glibc, on x86-64 and aarch64".into(),
            ),
            Self::ProfileFailed => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "profile-failed",
                "the profile couldn't be taken".into(),
            ),
            Self::OfTheProgram => (
                StatusCode::CONFLICT,
                "of-the-program",
                "the daemon is a part of a program that brought its settings and its log itself: they can't be had here".into(),
            ),
            Self::NotReloaded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "not-reloaded",
                "the configuration wasn't read again within 10 s: the daemon starts, and waits for its database, say".into(),
            ),
            Self::Overloaded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "64 requests are being answered, and within a second none was done: nothing of this one was, send it again in a moment".into(),
            ),
            Self::DaemonEnds => (
                StatusCode::SERVICE_UNAVAILABLE,
                "daemon-ends",
                "the daemon ends, before this was complete: ask for less of it, or once it is started again".into(),
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
    pub(super) fn detail(self) -> Cow<'static, str> {
        self.parts().2
    }

    /// Whether it says when to come again.
    pub(super) fn passes(self) -> bool {
        matches!(
            self,
            Self::DatabaseUnavailable
                | Self::AttemptBusy
                | Self::NotReloaded
                | Self::TooManyGuesses { .. }
                | Self::RequestUnderWay
                | Self::ProfileUnderWay
                | Self::TraceUnderWay
                | Self::UniqueKeyHeld
                | Self::TooManyStreams
                | Self::Overloaded
                | Self::DaemonEnds
        )
    }

    /// Says more of it.
    pub(super) fn because(self, detail: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { detail: detail.into(), ..Refusal::from(self) }
    }
}

/// Whole ones, so that whoever waits for them has waited long enough.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// A problem in one case.
#[derive(Debug)]
pub(super) struct Refusal {
    problem: Problem,
    detail: Cow<'static, str>,
    parameter: Option<String>,
    nearest: Option<String>,
    line: Option<u64>,
    column: Option<usize>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let detail = problem.detail();
        Self { problem, detail, parameter: None, nearest: None, line: None, column: None }
    }
}

impl Refusal {
    /// With the parameter that it is about, and the one that may have been meant.
    pub(super) fn about(self, parameter: &str, nearest: Option<String>) -> Self {
        Self { parameter: Some(parameter.to_owned()), nearest, ..self }
    }

    /// With the line of the body that it is about.
    pub(super) fn in_line(self, line: u64) -> Self {
        let detail = format!("line {line}: {}", self.detail).into();
        Self { line: Some(line), detail, ..self }
    }

    /// With the place in that line, in bytes from 1.
    pub(super) fn in_column(self, column: Option<usize>) -> Self {
        Self { column, ..self }
    }
}

/// A refusal of the port, as RFC 9457 has it.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Shown {
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
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        Refusal::from(self).into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { problem, detail, parameter, nearest, line, column } = self;
        let status = problem.status();
        let title = status.canonical_reason().unwrap_or_default();
        let (kind, code) = (problem.uri(), status.as_u16());
        let said = detail.clone();
        let body = Shown { kind, title, status: code, detail, parameter, nearest, line, column };
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
