//! Schedules of the daemon's file: how far they are, and the job of one now.

use super::{
    super::{
        problem::{Problem, Refusal},
        routes::AdminState,
    },
    ask,
    asking::{Asking, Why},
    body::Said,
    enqueue, once,
    path::InPath,
    query::{Asked, Nothing},
    refusal, shown,
};
use crate::{
    postgres::operations::{self, Answer, OperationError, Ran, ScheduleList},
    telemetry::spans::{self, Sending},
};
use axum::{extract::State, response::Response};
use futures::FutureExt;
use serde::Serialize;
use utoipa::ToSchema;

/// The job of a schedule, enqueued by hand.
#[derive(Serialize, ToSchema)]
#[schema(as = ScheduleRun)]
pub(super) struct Enqueued {
    /// Of which.
    schedule: String,
    /// The job's number.
    id: i64,
}

/// The schedules of this daemon's file, with the next three instants of each
#[utoipa::path(get, path = "/api/v1/schedules", operation_id = "list_schedules", tag = "schedules",
    responses((status = 200, description = "They.", body = ScheduleList, example = json!({
        "now": "2026-03-01T12:00:00Z",
        "schedules": [{ "name": "nightly", "cron": "0 3 * * *", "timezone": "Europe/Berlin", "kind": "report",
            "queue": "default", "active": true, "last_fire": "2026-03-01T02:00:00Z", "last_job": 4711,
            "next": ["2026-03-02T02:00:00Z", "2026-03-03T02:00:00Z", "2026-03-04T02:00:00Z"] }],
    }))))]
pub(in crate::admin) async fn list(
    State(state): State<AdminState>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Response, Refusal> {
    let schedules = state.configured.borrow().schedules.clone();
    shown(
        &ask(&state, move |c| {
            async move { operations::list_schedules(c, &schedules).await }.boxed()
        })
        .await?,
    )
}

/// Enqueue the job of a schedule now
///
/// With kind, queue and payload as this daemon's file has them; the schedule's own instants stay as they are. Where its
/// `overlap` is `skip` and the job before is unfinished, nothing is enqueued and the answer is 409.
#[utoipa::path(post, path = "/api/v1/schedules/{name}/run", operation_id = "run_schedule", tag = "schedules",
    params(("name" = String, Path, description = "Its name.", example = "nightly")),
    request_body(content = Why, example = json!({ "reason": "ticket 812" })),
    responses((status = 201, description = "It is enqueued.", body = Enqueued,
        headers(("Location" = String, description = "Where the job is.")),
        example = json!({ "schedule": "nightly", "id": 4711 }))))]
pub(in crate::admin) async fn run(
    State(state): State<AdminState>,
    InPath(name): InPath,
    Asked(Nothing {}): Asked<Nothing>,
    asking: Asking,
    Said(Why { reason }): Said<Why>,
) -> Result<Response, Refusal> {
    let asker = asking.because(reason)?;
    let named =
        state.configured.borrow().schedules.iter().find(|of| of.name.as_str() == name).cloned();
    let schedule = named.ok_or(Problem::NoSuchSchedule)?;
    let queue = schedule.queue.clone();
    let sending = spans::sending(&queue);
    let own = operations::metadata_of(&schedule);
    let metadata = sending.metadata(Some(&own)).unwrap_or(own);
    let ran = state.sessions.within(move |c| {
        async move { operations::run_schedule(c, &schedule, &metadata, &asker).await }.boxed()
    });
    let ran = ran.await;
    end(&sending, &ran);
    match ran.map_err(|error| refusal(&error))? {
        Ran::Enqueued(job) => {
            state.metrics.enqueued_over_http(queue.as_str(), 1);
            Ok(once::shown(&answer(name, job.0)))
        }
        Ran::Overlapped(job) => Err(Problem::WrongState.because(format!(
            "job {} of schedule {name} is unfinished, and its overlap is \"skip\"",
            job.0
        ))),
        Ran::Busy => Err(Problem::WrongState
            .because(format!("schedule {name} fires again and again now: ask in a moment"))),
    }
}

/// What became of the sending, for its span.
fn end(sending: &Sending, ran: &Result<Ran, OperationError>) {
    match ran {
        Ok(Ran::Enqueued(job)) => sending.sent(*job),
        Ok(Ran::Overlapped(_) | Ran::Busy) => sending.forget(),
        Err(error) => sending.failed(error.sqlstate().as_deref().unwrap_or("no_answer")),
    }
}

fn answer(schedule: String, id: i64) -> Answer {
    // A text and a number have a form in JSON.
    let body = serde_json::to_string(&Enqueued { schedule, id }).unwrap_or_default();
    Answer { status: 201, location: Some(format!("{}/{id}", enqueue::PATH)), body }
}
