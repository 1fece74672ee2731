//! Errors as RFC 9457 shows them: `application/problem+json`, readable by people and programs. Below
//! `/debug/pprof/` they come as Go's own server has them, so that `go tool pprof` shows what is wrong.
//!
//! Each kind of error has a type of its own, which programs go by and which stays; the sentence is for people and
//! may say more of the case at hand.

mod of_go;
mod refusal;

pub(super) use of_go::{as_read_at, is_of_go};
pub(super) use refusal::{Refusal, Shown};

use super::access::Role;
use axum::http::StatusCode;
use std::{borrow::Cow, time::Duration};

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
    /// It isn't known again by a key that it has.
    KeyNotTaken,
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
    /// A change was sent to the database, and no answer came.
    OutcomeUnknown,
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
                "a page of another origin asks, by its Origin or Sec-Fetch-Site, or leads to what is measured: ask from here, or by a program".into(),
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
            Self::KeyNotTaken => (
                StatusCode::BAD_REQUEST,
                "key-not-taken",
                "Idempotency-Key is taken by POST /api/v1/jobs and POST /api/v1/jobs:batch alone: leave it out".into(),
            ),
            Self::NoSuchJob => (
                StatusCode::NOT_FOUND,
                "no-such-job",
                "there is no such job, unfinished or in history".into(),
            ),
            Self::NoSuchQueue => (
                StatusCode::NOT_FOUND,
                "no-such-queue",
                "no unfinished job, no daemon and no operator has named that queue".into(),
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
            Self::OutcomeUnknown => (
                StatusCode::SERVICE_UNAVAILABLE,
                "outcome-unknown",
                "the database didn't answer, and the change may have been made: look before you ask for it again, or ask with the \
                 same Idempotency-Key or If-Match, where the path takes one".into(),
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
                "the configuration wasn't read again within 60 s, and will be: the daemon starts, and waits for its database, say; what comes of it stands in the audit as reload, in the log, and in GET /api/v1/config".into(),
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
}

/// Whole ones, so that whoever waits for them has waited long enough.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
