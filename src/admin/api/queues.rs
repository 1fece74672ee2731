//! Queues: which there are, and how one stands.

use super::{
    super::{
        problem::{Problem, Refusal},
        routes::AdminState,
    },
    ask,
    path::InPath,
    query::{Asked, Nothing, Parameters, Query},
    queue, shown,
    tags::{self, Known, Tagged},
};
use crate::{
    job::QueueName,
    postgres::operations::{self, QUEUES_MAX, QueueDetail, QueueList},
};
use axum::{extract::State, response::Response};
use futures::FutureExt;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::IntoParams;

/// Which page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct Page {
    /// Continue behind this queue: `next` of the page before.
    #[param(value_type = Option<String>, example = "default")]
    after: Option<QueueName>,
    /// Most queues on the page.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 500, example = 100)]
    limit: Option<u32>,
}

impl Parameters for Page {
    fn read(query: &Query) -> Result<Self, Refusal> {
        Ok(Self { after: query.parsed("after")?, limit: query.number("limit", QUEUES_MAX)? })
    }
}

/// The queues that have jobs in line, are paused or overridden, or are served by a live daemon
///
/// By name, in pages of 500 at most.
#[utoipa::path(get, path = "/api/v1/queues", operation_id = "list_queues", tag = "queues",
    params(Page),
    responses((status = 200, description = "A page.", body = QueueList, example = json!({
        "now": "2026-03-01T12:00:00.000000Z",
        "queues": [{ "name": "default", "paused": true, "state": "draining", "paused_at": "2026-03-01T11:00:00.000000Z",
            "paused_until": "2026-03-01T13:00:00.000000Z", "reason": "the mail provider is down",
            "concurrency": { "value": "5", "reason": "the provider is slow", "until": "2026-03-01T13:00:00.000000Z",
                "set_at": "2026-03-01T11:55:00.000000Z" }, "rate_limit": null, "in_line": 1250, "daemons": 2 }],
        "next": null,
    }))))]
pub(in crate::admin) async fn list(
    State(state): State<AdminState>,
    Asked(Page { after, limit }): Asked<Page>,
) -> Result<Response, Refusal> {
    let limit = limit.unwrap_or(QUEUES_MAX);
    let page = ask(&state, move |c| {
        async move { operations::list_queues_after(c, after.as_ref(), limit).await }.boxed()
    });
    shown(&page.await?)
}

/// How a queue stands: depth, age, pause, and which settings hold
#[utoipa::path(get, path = "/api/v1/queues/{queue}", operation_id = "show_queue", tag = "queues",
    params(("queue" = String, Path, description = "Its name.", example = "default"),
        ("If-None-Match" = Option<String>, Header, description = "An ETag that the client has.")),
    responses((status = 304, description = "Nothing is new since then."),
        (status = 200, description = "It.", body = QueueDetail,
        headers(("ETag" = String, description = "What is shown, for If-None-Match and If-Match.")), example = json!({
        "now": "2026-03-01T12:00:00.000000Z", "name": "default", "paused": false, "state": "running",
        "depth": { "available": 1250, "running": 20, "scheduled": 3, "retryable": 1 },
        "oldest_age_seconds": 12.5,
        "settings": {
            "file": { "concurrency": 10, "rate_limit": "100/s burst 20",
                "retention_seconds": { "completed": 604_800.0, "cancelled": 604_800.0, "discarded": 2_592_000.0 } },
            "override": { "paused": false, "paused_at": null, "paused_until": null, "reason": null,
                "concurrency": { "value": "5", "reason": "the provider is slow", "until": "2026-03-01T13:00:00.000000Z",
                    "set_at": "2026-03-01T11:55:00.000000Z" }, "rate_limit": null },
            "effective": { "paused": false, "slots": 10, "concurrency": 5, "rate_limit": "100/s burst 20",
                "retention_seconds": { "completed": 604_800.0, "cancelled": 604_800.0, "discarded": 2_592_000.0 } },
        },
        "daemons": [{ "id": "-4611686018427387904", "name": "a", "state": "live", "slots": 10, "rate": "100/s", "burst": 20,
            "in_use": 10, "waiting": 0 }],
    }))))]
pub(in crate::admin) async fn show(
    State(state): State<AdminState>,
    InPath(name): InPath,
    Asked(Nothing {}): Asked<Nothing>,
    known: Known,
) -> Result<Response, Refusal> {
    let name = queue(&name)?;
    let settings = state.configured.borrow().queues.iter().find(|of| of.name == name).cloned();
    let found = ask(&state, move |c| {
        async move { operations::show_queue(c, &name, settings.as_ref()).await }.boxed()
    })
    .await?;
    let found = found.ok_or(Problem::NoSuchQueue)?;
    tags::shown(&known, found)
}

impl Tagged for QueueDetail {
    fn version(&self) -> &str {
        &self.version
    }

    fn hold_still(&mut self) {
        // When the oldest job was due stays, for how long it has been is more each time.
        let due = due_at(&self.now, self.oldest_age_seconds.take());
        self.now = due.unwrap_or_default();
    }
}

fn due_at(now: &str, age_seconds: Option<f64>) -> Option<String> {
    let now = OffsetDateTime::parse(now, &Rfc3339).ok()?;
    let due = now.checked_sub(Duration::seconds_f64(age_seconds?))?;
    // To the nearest microsecond, as Postgres has both, whatever the age lost as a float.
    let due = due.checked_add(Duration::nanoseconds(500))?.truncate_to_microsecond();
    due.format(&Rfc3339).ok()
}
