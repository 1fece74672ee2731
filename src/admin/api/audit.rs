//! What people changed.

use super::{
    super::{problem::Refusal, routes::AdminState},
    ask,
    jobs::since,
    query::{Asked, Parameters, Query},
    shown,
};
use crate::postgres::operations::{self, NOTES_MAX, NoteFilter, NotePage};
use axum::{extract::State, response::Response};
use futures::FutureExt;
use utoipa::IntoParams;

/// Notes on a page where nothing is said.
const PAGE_DEFAULT: u32 = 50;

/// Which notes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct Wanted {
    /// Only what was done so: `cancel`, `retry`, `discard`, `snooze`, `pause`, `resume`, `run`, and others.
    #[param(example = "discard")]
    action: Option<String>,
    /// Only what was done to this: `job/4711`, `queue/default`, `schedule/nightly`, `operation/12`, `daemon/4711`.
    #[param(example = "job/4711")]
    target: Option<String>,
    /// Only what this one did.
    #[param(example = "ann")]
    actor: Option<String>,
    /// Only what was done after this moment (RFC 3339), or less than this time ago: `90s`, `2h30m`, `7d`.
    #[param(value_type = Option<String>, example = "7d")]
    since: Option<operations::Since>,
    /// Continue behind this note: `next` of the page before.
    #[param(minimum = 1, example = 9_000_000_000_000_000_i64)]
    after: Option<i64>,
    /// Most notes on the page.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 50, example = 50)]
    limit: u32,
}

impl Parameters for Wanted {
    fn read(query: &Query) -> Result<Self, Refusal> {
        let text = |name| query.text(name).map(str::to_owned);
        Ok(Self {
            action: text("action"),
            target: text("target"),
            actor: text("actor"),
            since: query.with("since", since)?,
            after: query.number("after", i64::MAX)?,
            limit: query.number("limit", NOTES_MAX)?.unwrap_or(PAGE_DEFAULT),
        })
    }
}

/// What people changed, newest first: who, what, why
///
/// Kept for 90 days. A page begins behind a note and may be short, even empty, where few notes meet the filters: as
/// long as it has `next`, there may be more.
#[utoipa::path(get, path = "/api/v1/audit", operation_id = "list_audit", tag = "audit", params(Wanted),
    responses((status = 200, description = "A page.", body = NotePage, example = json!({
        "now": "2026-03-01T12:00:00.000000Z",
        "notes": [{ "id": 812, "at": "2026-03-01T11:58:00.000000Z", "actor": "operator, token 3fa9c1d2",
            "login": "legwork_daemon", "action": "discard", "target": "job/4711", "reason": "ticket 812",
            "request_id": "req-1",
            "detail": { "result": "discarded", "queue": "default", "kind": "send_email" } }],
        "next": 812,
    }))))]
pub(in crate::admin) async fn list(
    State(state): State<AdminState>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Response, Refusal> {
    let Wanted { action, target, actor, since, after, limit } = wanted;
    let filter = NoteFilter { action, target, actor, since, after };
    let page = ask(&state, move |c| {
        async move { operations::list_notes(c, &filter, limit).await }.boxed()
    });
    shown(&page.await?)
}
