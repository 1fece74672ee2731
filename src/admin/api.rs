//! `/api/v1`: what people and programs look at and change, over HTTP.
//!
//! A handler reads its request, calls one operation of `postgres::operations`, which the command line calls
//! too, and shows what came; it decides nothing. What every one of them does alike stands here. Each has a session for
//! the time of its operation and no longer.

mod asking;
pub(super) mod audit;
pub(super) mod batch;
pub(super) mod body;
pub(super) mod bulk;
pub(super) mod callbacks;
pub(super) mod changes;
pub(super) mod daemon;
pub(super) mod daemons;
pub(super) mod decisions;
pub(super) mod enqueue;
pub(super) mod events;
pub(super) mod jobs;
mod noted;
pub(super) mod once;
pub(super) mod operations;
mod origin;
mod path;
pub(super) mod query;
pub(super) mod queues;
pub(super) mod schedules;
pub(super) mod stats;
pub(super) mod tags;

use super::{
    problem::{Problem, Refusal},
    routes::AdminState,
};
use crate::{
    config::{HeapProfiling, QueueSettings, ScheduleSettings},
    job::{JobId, QueueName},
    postgres::operations::{Connection, Nature, OperationError, Said, is_forbidden, said},
};
use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use futures::future::BoxFuture;
use serde::Serialize;

/// What may be wrong with whatever is asked of the database.
pub(super) const OF_THE_DATABASE: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::DatabaseUnavailable,
    Problem::DatabaseRefused,
];

/// What may be wrong with a query, where nothing else can be.
pub(super) const OF_A_QUERY: &[Problem] = &[Problem::UnknownParameter, Problem::InvalidParameter];

/// The same where a queue is named in the path.
pub(super) const OF_A_QUEUE: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::NoSuchQueue,
    Problem::DatabaseUnavailable,
    Problem::DatabaseRefused,
];

/// The same where a job is.
pub(super) const OF_A_JOB: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::NoSuchJob,
    Problem::DatabaseUnavailable,
    Problem::DatabaseRefused,
];

/// The same where a job is changed.
pub(super) const OF_A_CHANGE: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::InvalidBody,
    Problem::NotJson,
    Problem::NoSuchJob,
    Problem::WrongState,
    Problem::Changed,
    Problem::DatabaseUnavailable,
    Problem::DatabaseRefused,
];

/// The same of a stream of events.
pub(super) const OF_EVENTS: &[Problem] =
    &[Problem::UnknownParameter, Problem::InvalidParameter, Problem::TooManyStreams];

/// The same where jobs are enqueued.
pub(super) const OF_A_JOB_TO_BE: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::InvalidBody,
    Problem::InvalidJob,
    Problem::UniqueKeyHeld,
    Problem::KeyReused,
    Problem::RequestUnderWay,
    Problem::NotJson,
    Problem::DatabaseUnavailable,
    Problem::DatabaseRefused,
];

/// The same of many.
pub(super) const OF_JOBS_TO_BE: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::InvalidBody,
    Problem::InvalidJob,
    Problem::KeyReused,
    Problem::RequestUnderWay,
    Problem::NotJson,
    Problem::DatabaseUnavailable,
    Problem::DatabaseRefused,
];

/// The same where a schedule's job is enqueued.
pub(super) const OF_A_RUN: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::InvalidBody,
    Problem::NotJson,
    Problem::NoSuchSchedule,
    Problem::WrongState,
    Problem::DatabaseUnavailable,
    Problem::DatabaseRefused,
];

/// The same where a queue is. None has to be known: a pause may come before the first job.
pub(super) const OF_A_SWITCH: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::InvalidBody,
    Problem::NotJson,
    Problem::Changed,
    Problem::DatabaseUnavailable,
    Problem::DatabaseRefused,
];

/// The same where many jobs are.
pub(super) const OF_A_BULK: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::InvalidBody,
    Problem::NotJson,
    Problem::DatabaseUnavailable,
    Problem::DatabaseRefused,
];

/// The same where an operation is named in the path.
pub(super) const OF_AN_OPERATION: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::NoSuchOperation,
    Problem::DatabaseUnavailable,
    Problem::DatabaseRefused,
];

/// The same where it is ended.
pub(super) const OF_AN_END: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::InvalidBody,
    Problem::NotJson,
    Problem::NoSuchOperation,
    Problem::DatabaseUnavailable,
    Problem::DatabaseRefused,
];

/// What the daemon's file says of what the API shows.
#[derive(Debug, Clone, Default)]
pub struct Configured {
    /// Its queues.
    pub queues: Vec<QueueSettings>,
    /// Its schedules.
    pub schedules: Vec<ScheduleSettings>,
    /// Whether allocations may be sampled.
    pub heap: HeapProfiling,
}

/// Asks the database.
async fn ask<T>(
    state: &AdminState,
    operation: impl for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, OperationError>>,
) -> Result<T, Refusal> {
    state.sessions.within(operation).await.map_err(|error| refusal_unchanged(&error))
}

/// What came, as JSON that nobody keeps.
fn shown(body: &impl Serialize) -> Result<Response, Refusal> {
    let body = serde_json::to_string(body)
        .map_err(|_| Problem::DatabaseRefused.because("the answer can't be written as JSON"))?;
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

/// What an error means to whoever asked for a change.
fn refusal(error: &OperationError) -> Refusal {
    if error.may_be_done() {
        return Problem::OutcomeUnknown.into();
    }
    refusal_unchanged(error)
}

/// What an error means to whoever asked, where nothing was changed. The database's own words are for those who may ask
/// it; where it is and why it can't be had isn't said here but in the log.
fn refusal_unchanged(error: &OperationError) -> Refusal {
    if matches!(error, OperationError::Changed) {
        return Problem::Changed.into();
    }
    match error.nature() {
        Nature::Unreachable | Nature::Address => Problem::DatabaseUnavailable.into(),
        Nature::Temporary => Problem::DatabaseUnavailable.because(told(error)).advised(hint(error)),
        Nature::Refused if is_forbidden(error) => Problem::DatabaseRefused
            .because(told(error) + "; the daemon's role lacks that right")
            .advised(hint(error)),
        Nature::Refused => Problem::DatabaseRefused.because(told(error)).advised(hint(error)),
    }
}

/// What the database advises.
pub(super) fn hint(error: &OperationError) -> Option<String> {
    std::error::Error::source(error).and_then(said)?.hint
}

/// A problem in the database's words.
fn in_its_words(problem: Problem, error: &OperationError) -> Refusal {
    match std::error::Error::source(error).and_then(said) {
        Some(Said { message, hint, .. }) => problem.because(message).advised(hint),
        None => problem.into(),
    }
}

/// What failed, and what the database said of it.
pub(super) fn told(error: &OperationError) -> String {
    match std::error::Error::source(error).and_then(said) {
        Some(said) => format!("{error}: {}", said.message),
        None => error.to_string(),
    }
}

/// The same of a change: the functions of the database say by SQLSTATE what forbids it.
fn refusal_of_change(error: &OperationError) -> Refusal {
    let problem = match error.sqlstate().as_deref() {
        // object_not_in_prerequisite_state; unique_violation, where an unfinished job has the key of one that is retried
        Some("55000" | "23505") => Problem::WrongState,
        // no_data_found
        Some("P0002") => Problem::NoSuchJob,
        _ => return refusal(error),
    };
    in_its_words(problem, error)
}

/// The same of a decision: the functions of the database say by SQLSTATE what can't be meant.
fn refusal_of_decision(error: &OperationError) -> Refusal {
    let problem = match error.sqlstate().as_deref() {
        // null_value_not_allowed, invalid_parameter_value
        Some("22004" | "22023") => {
            return match std::error::Error::source(error).and_then(said) {
                Some(said) => of_member(said),
                None => Problem::InvalidBody.into(),
            };
        }
        // object_not_in_prerequisite_state
        Some("55000") => Problem::WrongState,
        // no_data_found
        Some("P0002") => Problem::NoSuchDaemon,
        _ => return refusal(error),
    };
    in_its_words(problem, error)
}

/// What a function of the database can't take, with the member of the body that it named.
fn of_member(said: Said) -> Refusal {
    let refusal = Problem::InvalidBody.because(said.message).advised(said.hint);
    match said.member.as_deref() {
        // As the functions call what people write otherwise here.
        Some("delay") => refusal.about("for", None),
        Some("everything") => refusal.about("all", None),
        Some(member) => refusal.about(member, None),
        None => refusal,
    }
}

/// A job's number in a path.
fn job(text: &str) -> Result<JobId, Refusal> {
    let id = text.parse().ok().filter(|id| *id > 0).map(JobId);
    id.ok_or_else(|| wrong("id", "a job's id is a number above 0"))
}

/// A queue's name in a path.
fn queue(text: &str) -> Result<QueueName, Refusal> {
    QueueName::new(text).map_err(|error| wrong("queue", &error.to_string()))
}

/// Refuses a parameter.
fn wrong(parameter: &str, why: &str) -> Refusal {
    Problem::InvalidParameter.because(format!("{parameter}: {why}")).about(parameter, None)
}
