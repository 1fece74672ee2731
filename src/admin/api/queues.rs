//! Queues: which there are, and how one stands.

use super::{
    super::{
        problem::{Problem, Refusal},
        routes::AdminState,
    },
    ask,
    query::{Asked, Nothing},
    queue, shown,
    tags::{self, Known},
};
use crate::postgres::operations::{self, QueueDetail, QueueList};
use axum::{
    extract::{Path, State},
    response::Response,
};
use futures::FutureExt;

/// The queues that jobs, daemons or operators have named
///
/// At most 500, by name.
#[utoipa::path(get, path = "/api/v1/queues", operation_id = "list_queues", tag = "queues",
    responses((status = 200, description = "They.", body = QueueList, example = json!({
        "now": "2026-03-01T12:00:00.000000Z",
        "queues": [{ "name": "default", "paused": true, "state": "draining", "paused_at": "2026-03-01T11:00:00.000000Z",
            "paused_until": "2026-03-01T13:00:00.000000Z", "reason": "the mail provider is down",
            "concurrency": { "value": "5", "reason": "the provider is slow", "until": "2026-03-01T13:00:00.000000Z",
                "set_at": "2026-03-01T11:55:00.000000Z" }, "rate_limit": null, "in_line": 1250, "daemons": 2 }],
    }))))]
pub(in crate::admin) async fn list(
    State(state): State<AdminState>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Response, Refusal> {
    shown(&ask(&state, |c| operations::list_queues(c).boxed()).await?)
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
        "daemons": [{ "id": "-4611686018427387904", "name": "a", "slots": 10, "rate": "100/s", "burst": 20,
            "in_use": 10, "waiting": 0 }],
    }))))]
pub(in crate::admin) async fn show(
    State(state): State<AdminState>,
    Path(name): Path<String>,
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
    tags::shown(&known, &found.version, &found)
}
