//! Changing what becomes of one job, and pausing and resuming a queue.
//!
//! What may be done is decided by the database's functions under the row's lock; here their words become
//! statuses. Each can be sent again: a second time changes nothing more.

use super::{
    super::{
        problem::{Problem, Refusal},
        routes::AdminState,
    },
    body::Said,
    job,
    query::{Asked, Nothing},
    queue, refusal_of_change, shown,
};
use crate::{
    job::JobId,
    postgres::operations::{self, Change, Connection, DELAY_MAX, OperationError, REASON_MAX_BYTES},
};
use axum::{
    extract::{Path, State},
    response::Response,
};
use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// Nothing more has to be said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Plain {}

/// How long a job is put off.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Snooze)]
pub(in crate::admin) struct PutOff {
    /// How long from now: `90s`, `10m`, `2h30m`; at most ten years.
    #[serde(rename = "for")]
    #[schema(
        pattern = "^([1-9][0-9]{0,7}s|[1-9][0-9]{0,5}m|[1-9][0-9]{0,3}h|[1-9][0-9]{0,2}d){1,3}$"
    )]
    time: String,
}

/// Why a queue is paused.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Pause)]
pub(in crate::admin) struct Why {
    /// For the next person; at most 500 bytes.
    #[schema(min_length = 1)]
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
    params(("id" = i64, Path, description = "Its number.", minimum = 1, example = 4711)),
    request_body(content = Plain, example = json!({})),
    responses((status = 200, description = "What became of it.", body = Change,
        example = json!({ "id": 4711, "result": "cancelled" }))))]
pub(in crate::admin) async fn cancel(
    State(state): State<AdminState>,
    Path(id): Path<String>,
    Asked(Nothing {}): Asked<Nothing>,
    Said(Plain {}): Said<Plain>,
) -> Result<Response, Refusal> {
    change(&state, &id, |c, id| async move { operations::cancel_jobs(c, &[id]).await }.boxed())
        .await
}

/// Run a finished job again with all its attempts, or a waiting one now
///
/// `result` is `retried`, `due_now` or, where there is nothing to do, `already_in_line`.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/retry", operation_id = "retry_job", tag = "jobs",
    params(("id" = i64, Path, description = "Its number.", minimum = 1, example = 4711)),
    request_body(content = Plain, example = json!({})),
    responses((status = 200, description = "What became of it.", body = Change,
        example = json!({ "id": 4711, "result": "retried" }))))]
pub(in crate::admin) async fn retry(
    State(state): State<AdminState>,
    Path(id): Path<String>,
    Asked(Nothing {}): Asked<Nothing>,
    Said(Plain {}): Said<Plain>,
) -> Result<Response, Refusal> {
    change(&state, &id, |c, id| async move { operations::retry_jobs(c, &[id]).await }.boxed()).await
}

/// End a waiting job for good
///
/// `result` is `discarded`.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/discard", operation_id = "discard_job", tag = "jobs",
    params(("id" = i64, Path, description = "Its number.", minimum = 1, example = 4711)),
    request_body(content = Plain, example = json!({})),
    responses((status = 200, description = "What became of it.", body = Change,
        example = json!({ "id": 4711, "result": "discarded" }))))]
pub(in crate::admin) async fn discard(
    State(state): State<AdminState>,
    Path(id): Path<String>,
    Asked(Nothing {}): Asked<Nothing>,
    Said(Plain {}): Said<Plain>,
) -> Result<Response, Refusal> {
    change(&state, &id, |c, id| async move { operations::discard_jobs(c, &[id]).await }.boxed())
        .await
}

/// Put a waiting job off; no attempt is counted
///
/// `result` is the moment at which it is due.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/snooze", operation_id = "snooze_job", tag = "jobs",
    params(("id" = i64, Path, description = "Its number.", minimum = 1, example = 4711)),
    request_body(content = PutOff, example = json!({ "for": "10m" })),
    responses((status = 200, description = "What became of it.", body = Change,
        example = json!({ "id": 4711, "result": "2026-03-01T12:10:00.000000Z" }))))]
pub(in crate::admin) async fn snooze(
    State(state): State<AdminState>,
    Path(id): Path<String>,
    Asked(Nothing {}): Asked<Nothing>,
    Said(PutOff { time }): Said<PutOff>,
) -> Result<Response, Refusal> {
    let delay = delay(&time)?;
    change(&state, &id, move |c, id| {
        async move { operations::snooze_jobs(c, &[id], delay).await }.boxed()
    })
    .await
}

fn delay(text: &str) -> Result<Duration, Refusal> {
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
/// A reason that is given of a queue that is paused already replaces the one it has.
#[utoipa::path(post, path = "/api/v1/queues/{queue}/pause", operation_id = "pause_queue", tag = "queues",
    params(("queue" = String, Path, description = "Its name.", example = "default")),
    request_body(content = Why, example = json!({ "reason": "the mail provider is down" })),
    responses((status = 200, description = "How it stands.", body = Switched,
        example = json!({ "queue": "default", "paused": true, "changed": true }))))]
pub(in crate::admin) async fn pause(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    Asked(Nothing {}): Asked<Nothing>,
    Said(Why { reason }): Said<Why>,
) -> Result<Response, Refusal> {
    let name = queue(&name)?;
    if let Some(length) = reason.as_ref().map(String::len)
        && !(1..=REASON_MAX_BYTES).contains(&length)
    {
        let why = format!("reason: from 1 to {REASON_MAX_BYTES} bytes, or none");
        return Err(Problem::InvalidBody.because(why).about("reason", None));
    }
    let queue = name.to_string();
    let changed = super::ask(&state, move |c| {
        async move { operations::pause_queue(c, &name, reason.as_deref()).await }.boxed()
    });
    let changed = changed.await?;
    shown(&Switched { queue, paused: true, changed })
}

/// Let a paused queue run again
#[utoipa::path(post, path = "/api/v1/queues/{queue}/resume", operation_id = "resume_queue", tag = "queues",
    params(("queue" = String, Path, description = "Its name.", example = "default")),
    request_body(content = Plain, example = json!({})),
    responses((status = 200, description = "How it stands.", body = Switched,
        example = json!({ "queue": "default", "paused": false, "changed": true }))))]
pub(in crate::admin) async fn resume(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    Asked(Nothing {}): Asked<Nothing>,
    Said(Plain {}): Said<Plain>,
) -> Result<Response, Refusal> {
    let name = queue(&name)?;
    let queue = name.to_string();
    let changed = super::ask(&state, move |c| {
        async move { operations::resume_queue(c, &name).await }.boxed()
    });
    let changed = changed.await?;
    shown(&Switched { queue, paused: false, changed })
}
