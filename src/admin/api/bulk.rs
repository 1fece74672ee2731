//! Changing many jobs at once: begin an operation, see how far it is, end it.
//!
//! The work is done by a task of the daemon (`maintenance::go_on`); a request only says what is wanted.

use super::{
    super::{
        problem::{Problem, Refusal},
        routes::AdminState,
    },
    asking::Asking,
    body::{Said, object},
    changes::delay,
    jobs::{PLACES_MAX, since, state as job_state},
    of_member,
    query::{Asked, Nothing},
    refusal, refusal_unchanged, shown,
};
use crate::{
    job::{KindName, QueueName},
    postgres::operations::{
        self, Action, Bulk, BulkOperation, JobFilter, OperationError, Trial, said,
    },
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Longest text of a filter, in bytes, as in a query.
const TEXT_MAX_BYTES: usize = 1024;

/// Which jobs, by what the list of jobs is filtered by; what is absent doesn't narrow.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = JobFilter)]
pub(in crate::admin) struct Filter {
    /// Only jobs of this queue.
    queue: Option<String>,
    /// Only jobs of this kind.
    kind: Option<String>,
    /// Only jobs in this state.
    state: Option<String>,
    /// Only jobs with this tag.
    tag: Option<String>,
    /// Only jobs that were enqueued after this moment, or less than this time ago: `90s`, `2h30m`, `7d`.
    created_after: Option<String>,
    /// Only jobs that were enqueued before this moment, or longer ago than this time.
    created_before: Option<String>,
    /// Only jobs whose payload has these texts at these places: `{"user.id": "42"}`; at most 8.
    #[serde(default)]
    payload: BTreeMap<String, String>,
}

/// What is to be done to which jobs.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Bulk)]
pub(in crate::admin) struct Wanted {
    /// What. Cancel, discard and snooze are about unfinished jobs; retry is about all but completed ones, which have to
    /// be named by `state`.
    action: Action,
    /// To which.
    #[serde(default, deserialize_with = "object")]
    filter: Filter,
    /// How long jobs are put off, for snooze: `90s`, `10m`, `2h30m`; at most ten years.
    #[serde(rename = "for")]
    time: Option<String>,
    /// Why, for the next person, and for the audit; at most 500 bytes.
    reason: Option<String>,
    /// Only count which jobs it would be about.
    #[serde(default)]
    dry_run: bool,
    /// That every job is meant, where the filter narrows nothing.
    #[serde(default)]
    all: bool,
}

/// What a dry run found.
#[derive(Serialize, ToSchema)]
pub(super) struct DryRun {
    /// That nothing was changed.
    dry_run: bool,
    #[serde(flatten)]
    trial: Trial,
}

fn wrong(member: &str, why: &str) -> Refusal {
    Problem::InvalidBody.because(format!("{member}: {why}")).about(member, None)
}

impl Filter {
    fn read(self) -> Result<JobFilter, Refusal> {
        let Self { queue, kind, state, tag, created_after, created_before, payload } = self;
        let texts = [&queue, &kind, &state, &tag, &created_after, &created_before];
        let places = payload.iter().flat_map(|(at, is)| [at, is]);
        for text in texts.into_iter().flatten().chain(places) {
            if text.len() > TEXT_MAX_BYTES || text.contains('\0') {
                return Err(wrong("filter", "texts have at most 1024 bytes and no NUL"));
            }
        }
        if payload.len() > PLACES_MAX {
            return Err(wrong("payload", &format!("at most {PLACES_MAX} places")));
        }
        let name = |member, error: &dyn std::fmt::Display| wrong(member, &error.to_string());
        Ok(JobFilter {
            queue: queue
                .map(|text| QueueName::new(&text))
                .transpose()
                .map_err(|why| name("queue", &why))?,
            kind: kind
                .map(|text| KindName::new(&text))
                .transpose()
                .map_err(|why| name("kind", &why))?,
            state: read(state, "state", job_state)?,
            tag,
            created_after: read(created_after, "created_after", since)?,
            created_before: read(created_before, "created_before", since)?,
            payload: payload.into_iter().collect(),
            after: None,
        })
    }
}

fn read<T>(
    text: Option<String>,
    member: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, Refusal> {
    text.map(|text| read(&text).map_err(|why| wrong(member, &why))).transpose()
}

/// What an error means to whoever asked for an operation, or for the end of one.
pub(super) fn refusal_of_bulk(error: &OperationError) -> Refusal {
    told_of_bulk(error).unwrap_or_else(|| refusal(error))
}

/// What the database itself has against an operation.
fn told_of_bulk(error: &OperationError) -> Option<Refusal> {
    let refusal =
        match (error.sqlstate().as_deref(), std::error::Error::source(error).and_then(said)) {
            // invalid_parameter_value; moments and times that the database can't reckon with
            (Some("22023" | "22007" | "22008"), Some(said)) => of_member(said),
            // no_data_found
            (Some("P0002"), Some(said)) => {
                Problem::NoSuchOperation.because(said.message).advised(said.hint)
            }
            _ => return None,
        };
    Some(refusal)
}

/// Cancel, retry, discard or snooze every job that meets a filter
///
/// Begins an operation on the jobs that there are now, and answers with where to see how far it is. A daemon does it in
/// batches; it goes on where its daemon ends. With `dry_run` nothing is begun and the jobs are counted.
#[utoipa::path(post, path = "/api/v1/jobs/bulk", operation_id = "change_jobs", tag = "jobs",
    request_body(content = Wanted, example = json!({ "action": "retry", "reason": "the provider is back",
        "filter": { "queue": "mail", "state": "discarded", "created_after": "24h" } })),
    responses(
        (status = 200, description = "How many jobs it would be about; nothing was changed.", body = DryRun,
            example = json!({ "dry_run": true, "matched": 10000, "more": true, "sample": [4711, 4710] })),
        (status = 202, description = "It goes on.", body = BulkOperation,
            headers(("Location" = String, description = "Where to see how far it is.")),
            example = json!({ "id": 12, "action": "retry",
                "filter": { "queue": "mail", "state": "discarded", "created_after": "2026-02-28T12:00:00+00:00" },
                "for_seconds": null, "state": "running", "begun_at": "2026-03-01T12:00:00.000000Z", "ended_at": null,
                "position": 4712, "looked_at": 0, "changed": 0, "refused": {}, "error": null }))))]
pub(in crate::admin) async fn begin(
    State(state): State<AdminState>,
    Asked(Nothing {}): Asked<Nothing>,
    asking: Asking,
    Said(wanted): Said<Wanted>,
) -> Result<Response, Refusal> {
    let Wanted { action, filter, time, reason, dry_run, all } = wanted;
    let asker = asking.because(reason)?;
    let delay = time.map(|time| delay(&time)).transpose()?;
    let bulk = Bulk { action, filter: filter.read()?, delay, everything: all };
    if dry_run {
        let trial = state
            .sessions
            .within(move |c| async move { operations::try_bulk(c, &bulk).await }.boxed());
        let trial = trial
            .await
            .map_err(|error| told_of_bulk(&error).unwrap_or_else(|| refusal_unchanged(&error)))?;
        return shown(&DryRun { dry_run, trial });
    }
    let begun = state.sessions.within(move |c| {
        async move { operations::begin_bulk(c, &bulk, None, &asker).await }.boxed()
    });
    let begun = begun.await.map_err(|error| refusal_of_bulk(&error))?;
    state.bulk.notify_one();
    let place = [(header::LOCATION, format!("/api/v1/operations/{}", begun.id))];
    Ok((StatusCode::ACCEPTED, place, shown(&begun)?).into_response())
}
