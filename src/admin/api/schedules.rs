//! Schedules of the daemon's file, and how far they are.

use super::{
    super::{problem::Refusal, routes::AdminState},
    ask,
    query::{Asked, Nothing},
    shown,
};
use crate::postgres::operations::{self, ScheduleList};
use axum::{extract::State, response::Response};
use futures::FutureExt;

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
