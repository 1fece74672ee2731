//! Changing what becomes of one job, and pausing and resuming a queue.
//!
//! What may be done is decided by the database's functions under the row's lock; here their words become
//! statuses. Each can be sent again: a second time changes nothing more.

use super::{
    super::{
        problem::{Problem, Refusal},
        routes::AdminState,
    },
    asking::{Asking, Why},
    body::Said,
    decisions::{ForAWhile, end, for_queue},
    job,
    path::InPath,
    query::{Asked, Nothing},
    refusal_of_change, shown,
};
use crate::{
    job::JobId,
    postgres::operations::{self, Change, Connection, DELAY_MAX, OperationError},
};
use axum::{extract::State, response::Response};
use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// How long a job is put off.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Snooze)]
pub(in crate::admin) struct PutOff {
    /// How long from now: `90s`, `10m`, `2h30m`; at most ten years.
    #[serde(rename = "for")]
    time: String,
    /// Why, for the next person, and for the audit; at most 500 bytes.
    reason: Option<String>,
}

/// How a queue stands now.
#[derive(Serialize, ToSchema)]
pub(super) struct Switched {
    /// Which.
    queue: String,
    /// Whether it is paused.
    paused: bool,
    /// Whether it wasn't before.
    changed: bool,
}

/// Does it to one job, and says what became of it.
async fn change(
    state: &AdminState,
    id: &str,
    operation: impl for<'c> FnOnce(
        &'c mut Connection,
        JobId,
    ) -> BoxFuture<'c, Result<Vec<Change>, OperationError>>,
) -> Result<Response, Refusal> {
    let id = job(id)?;
    let changes = state.sessions.within(|c| operation(c, id)).await;
    let changes = changes.map_err(|error| refusal_of_change(&error))?;
    let change = changes.first().ok_or(Problem::NoSuchJob)?;
    match change.result.as_str() {
        "changed" => Err(Problem::Changed.into()),
        "not_found" => Err(Problem::NoSuchJob.into()),
        "already_finished" => {
            Err(Problem::WrongState.because(format!("job {} has finished already", id.0)))
        }
        _ => shown(change),
    }
}

/// Cancel: a waiting job ends at once, a running one is asked to stop
///
/// `result` is `cancelled` or, where a daemon runs the job, `requested`.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", operation_id = "cancel_job", tag = "jobs",
    params(("id" = i64, Path, description = "Its number.", minimum = 1, example = 4711),
        ("If-Match" = Option<String>, Header, description = "Only while the job has this ETag.")),
    request_body(content = Why, example = json!({ "reason": "ticket 812" })),
    responses((status = 200, description = "What became of it.", body = Change,
        example = json!({ "id": 4711, "result": "cancelled" }))))]
pub(in crate::admin) async fn cancel(
    State(state): State<AdminState>,
    InPath(id): InPath,
    Asked(Nothing {}): Asked<Nothing>,
    asking: Asking,
    Said(Why { reason }): Said<Why>,
) -> Result<Response, Refusal> {
    let asker = asking.because(reason)?;
    change(&state, &id, move |c, id| {
        async move { operations::cancel_jobs(c, &[id], &asker).await }.boxed()
    })
    .await
}

/// Run a finished job again with all its attempts, or a waiting one now
///
/// `result` is `retried`, `due_now` or, where there is nothing to do, `already_in_line`.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/retry", operation_id = "retry_job", tag = "jobs",
    params(("id" = i64, Path, description = "Its number.", minimum = 1, example = 4711),
        ("If-Match" = Option<String>, Header, description = "Only while the job has this ETag.")),
    request_body(content = Why, example = json!({ "reason": "ticket 812" })),
    responses((status = 200, description = "What became of it.", body = Change,
        example = json!({ "id": 4711, "result": "retried" }))))]
pub(in crate::admin) async fn retry(
    State(state): State<AdminState>,
    InPath(id): InPath,
    Asked(Nothing {}): Asked<Nothing>,
    asking: Asking,
    Said(Why { reason }): Said<Why>,
) -> Result<Response, Refusal> {
    let asker = asking.because(reason)?;
    change(&state, &id, move |c, id| {
        async move { operations::retry_jobs(c, &[id], &asker).await }.boxed()
    })
    .await
}

/// End a waiting job for good
///
/// `result` is `discarded`.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/discard", operation_id = "discard_job", tag = "jobs",
    params(("id" = i64, Path, description = "Its number.", minimum = 1, example = 4711),
        ("If-Match" = Option<String>, Header, description = "Only while the job has this ETag.")),
    request_body(content = Why, example = json!({ "reason": "ticket 812" })),
    responses((status = 200, description = "What became of it.", body = Change,
        example = json!({ "id": 4711, "result": "discarded" }))))]
pub(in crate::admin) async fn discard(
    State(state): State<AdminState>,
    InPath(id): InPath,
    Asked(Nothing {}): Asked<Nothing>,
    asking: Asking,
    Said(Why { reason }): Said<Why>,
) -> Result<Response, Refusal> {
    let asker = asking.because(reason)?;
    change(&state, &id, move |c, id| {
        async move { operations::discard_jobs(c, &[id], &asker).await }.boxed()
    })
    .await
}

/// Put a waiting job off; no attempt is counted
///
/// `result` is the moment at which it is due.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/snooze", operation_id = "snooze_job", tag = "jobs",
    params(("id" = i64, Path, description = "Its number.", minimum = 1, example = 4711),
        ("If-Match" = Option<String>, Header, description = "Only while the job has this ETag.")),
    request_body(content = PutOff, example = json!({ "for": "10m", "reason": "ticket 812" })),
    responses((status = 200, description = "What became of it.", body = Change,
        example = json!({ "id": 4711, "result": "2026-03-01T12:10:00.000000Z" }))))]
pub(in crate::admin) async fn snooze(
    State(state): State<AdminState>,
    InPath(id): InPath,
    Asked(Nothing {}): Asked<Nothing>,
    asking: Asking,
    Said(PutOff { time, reason }): Said<PutOff>,
) -> Result<Response, Refusal> {
    let (delay, asker) = (delay(&time)?, asking.because(reason)?);
    change(&state, &id, move |c, id| {
        async move { operations::snooze_jobs(c, &[id], delay, &asker).await }.boxed()
    })
    .await
}

pub(super) fn delay(text: &str) -> Result<Duration, Refusal> {
    let wrong = |why: &str| Problem::InvalidBody.because(format!("for: {why}")).about("for", None);
    match humantime::parse_duration(text) {
        Err(_) => Err(wrong("write it as 90s, 10m or 2h30m")),
        Ok(Duration::ZERO) => Err(wrong("it has to be above 0")),
        Ok(time) if time > DELAY_MAX => Err(wrong("at most ten years")),
        Ok(time) => Ok(time),
    }
}

/// Stop every daemon from claiming from a queue; what runs goes on
///
/// Until `until`, for `for`, or until somebody resumes it. A reason or an end that is given of a queue that is paused
/// already replaces the one it has.
#[utoipa::path(post, path = "/api/v1/queues/{queue}/pause", operation_id = "pause_queue", tag = "queues",
    params(("queue" = String, Path, description = "Its name.", example = "default"),
        ("If-Match" = Option<String>, Header, description = "Only while nothing has been decided for it since this ETag.")),
    request_body(content = ForAWhile, example = json!({ "reason": "the mail provider is down", "for": "1h" })),
    responses((status = 200, description = "How it stands.", body = Switched,
        example = json!({ "queue": "default", "paused": true, "changed": true }))))]
pub(in crate::admin) async fn pause(
    State(state): State<AdminState>,
    InPath(name): InPath,
    Asked(Nothing {}): Asked<Nothing>,
    asking: Asking,
    Said(ForAWhile { time, until, reason }): Said<ForAWhile>,
) -> Result<Response, Refusal> {
    let end = end(time.as_deref(), until.as_deref())?;
    let done = for_queue(&state, &name, (asking, reason), move |c, name, asker| {
        async move { operations::pause_queue(c, &name, end, &asker).await }.boxed()
    });
    let (queue, changed) = done.await?;
    shown(&Switched { queue, paused: true, changed })
}

/// Let a paused queue run again
#[utoipa::path(post, path = "/api/v1/queues/{queue}/resume", operation_id = "resume_queue", tag = "queues",
    params(("queue" = String, Path, description = "Its name.", example = "default"),
        ("If-Match" = Option<String>, Header, description = "Only while nothing has been decided for it since this ETag.")),
    request_body(content = Why, example = json!({ "reason": "the provider is back" })),
    responses((status = 200, description = "How it stands.", body = Switched,
        example = json!({ "queue": "default", "paused": false, "changed": true }))))]
pub(in crate::admin) async fn resume(
    State(state): State<AdminState>,
    InPath(name): InPath,
    Asked(Nothing {}): Asked<Nothing>,
    asking: Asking,
    Said(Why { reason }): Said<Why>,
) -> Result<Response, Refusal> {
    let done = for_queue(&state, &name, (asking, reason), |c, name, asker| {
        async move { operations::resume_queue(c, &name, &asker).await }.boxed()
    });
    let (queue, changed) = done.await?;
    shown(&Switched { queue, paused: false, changed })
}
