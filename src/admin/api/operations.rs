//! Operations, whoever began them: which there are, how far one is, and its end before its time.

use super::{
    super::{
        access::Role,
        problem::{Problem, Refusal},
        routes::AdminState,
    },
    ask,
    asking::{Asking, Why},
    body::Said,
    bulk::refusal_of_bulk,
    jobs::sees_payloads,
    path::InPath,
    query::{Asked, Nothing, Parameters, Query},
    shown,
};
use crate::postgres::operations::{
    self, Asker, BulkOperation, OPERATIONS_MAX, OperationPage, OperationState,
};
use axum::{Extension, extract::State, response::Response};
use futures::FutureExt;
use serde_json::Value;
use utoipa::IntoParams;

/// Operations on a page where nothing is said.
const PAGE_DEFAULT: u32 = 50;

/// Which operations.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct Wanted {
    /// Only those in this state.
    #[param(value_type = Option<OperationState>, example = "running")]
    state: Option<OperationState>,
    /// Continue behind this operation: `next` of the page before.
    #[param(minimum = 1, example = 12)]
    after: Option<i64>,
    /// Most operations on the page.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 50, example = 50)]
    limit: u32,
}

impl Parameters for Wanted {
    fn read(query: &Query) -> Result<Self, Refusal> {
        Ok(Self {
            state: query.with("state", OperationState::named)?,
            after: query.number("after", i64::MAX)?,
            limit: query.number("limit", OPERATIONS_MAX)?.unwrap_or(PAGE_DEFAULT),
        })
    }
}

/// Changes of many jobs, newest first: how far each is
///
/// Whoever began them: a request, a command or a statement. Kept for 90 days after their end. A page begins behind an
/// operation and may be short, even empty, where few are in the state: as long as it has `next`, there may be more.
#[utoipa::path(get, path = "/api/v1/operations", operation_id = "list_operations", tag = "jobs", params(Wanted),
    responses((status = 200, description = "A page.", body = OperationPage, example = json!({
        "now": "2026-03-01T12:00:05.000000Z",
        "operations": [{ "id": 12, "action": "retry", "filter": { "queue": "mail", "state": "discarded" },
            "for_seconds": null, "state": "running", "begun_at": "2026-03-01T12:00:00.000000Z",
            "ended_at": null, "position": 2500, "looked_at": 2211, "changed": 500, "refused": {}, "error": null }],
        "next": null,
    }))))]
pub(in crate::admin) async fn list(
    State(state): State<AdminState>,
    Extension(role): Extension<Role>,
    Asked(Wanted { state: standing, after, limit }): Asked<Wanted>,
) -> Result<Response, Refusal> {
    let page = ask(&state, move |c| {
        async move { operations::list_operations(c, standing, after, limit).await }.boxed()
    });
    let mut page = page.await?;
    page.operations.iter_mut().for_each(|operation| veil(role, operation));
    shown(&page)
}

/// How far an operation is
///
/// Kept for 90 days after its end.
#[utoipa::path(get, path = "/api/v1/operations/{id}", operation_id = "show_operation", tag = "jobs",
    params(("id" = i64, Path, description = "Its number.", minimum = 1, example = 12)),
    responses((status = 200, description = "It.", body = BulkOperation,
        example = json!({ "id": 12, "action": "retry", "filter": { "queue": "mail", "state": "discarded" },
            "for_seconds": null, "state": "done", "begun_at": "2026-03-01T12:00:00.000000Z",
            "ended_at": "2026-03-01T12:00:09.000000Z", "position": 1, "looked_at": 4711, "changed": 1208,
            "refused": { "unique_key_taken": 3 }, "error": null }))))]
pub(in crate::admin) async fn show(
    State(state): State<AdminState>,
    InPath(id): InPath,
    Extension(role): Extension<Role>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Response, Refusal> {
    let id = operation(&id)?;
    let found = ask(&state, move |c| operations::show_operation(c, id).boxed()).await?;
    shown_to(role, found.ok_or(Problem::NoSuchOperation)?)
}

/// End an operation after the batch that is under way
///
/// What is done stays done; an operation that has ended stays as it is.
#[utoipa::path(delete, path = "/api/v1/operations/{id}", operation_id = "cancel_operation", tag = "jobs",
    params(("id" = i64, Path, description = "Its number.", minimum = 1, example = 12)),
    request_body(content = Why, example = json!({ "reason": "the wrong queue" })),
    responses((status = 200, description = "How it stands.", body = BulkOperation,
        example = json!({ "id": 12, "action": "retry", "filter": { "queue": "mail", "state": "discarded" },
            "for_seconds": null, "state": "cancelled", "begun_at": "2026-03-01T12:00:00.000000Z",
            "ended_at": "2026-03-01T12:00:02.000000Z", "position": 2500, "looked_at": 2211, "changed": 500,
            "refused": {}, "error": null }))))]
pub(in crate::admin) async fn cancel(
    State(state): State<AdminState>,
    InPath(id): InPath,
    (Extension(role), asking): (Extension<Role>, Asking),
    Asked(Nothing {}): Asked<Nothing>,
    Said(Why { reason }): Said<Why>,
) -> Result<Response, Refusal> {
    let (id, asker): (i64, Asker) = (operation(&id)?, asking.because(reason)?);
    let ended = state
        .sessions
        .within(move |c| async move { operations::cancel_bulk(c, id, &asker).await }.boxed());
    shown_to(role, ended.await.map_err(|error| refusal_of_bulk(&error))?)
}

/// What is compared in payloads is what is in them.
fn veil(role: Role, operation: &mut BulkOperation) {
    if !sees_payloads(role)
        && let Some(places) = operation.filter.get_mut("payload").and_then(Value::as_object_mut)
    {
        places.values_mut().for_each(|text| *text = Value::Null);
    }
}

fn shown_to(role: Role, mut operation: BulkOperation) -> Result<Response, Refusal> {
    veil(role, &mut operation);
    shown(&operation)
}

/// An operation's number in a path.
fn operation(text: &str) -> Result<i64, Refusal> {
    let id = text.parse().ok().filter(|id| *id > 0);
    id.ok_or_else(|| super::wrong("id", "an operation's id is a number above 0"))
}
