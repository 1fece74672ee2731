//! Jobs: pages of them, one with its history, and why one isn't running.

use super::{
    super::{
        access::Role,
        problem::{Problem, Refusal},
        routes::AdminState,
    },
    ask, job,
    path::InPath,
    query::{Asked, Nothing, Parameters, Query},
    shown,
    tags::{self, Known, Tagged},
    wrong,
};
use crate::{
    job::{JobId, State as JobState},
    postgres::operations::{
        self, Extent, Gate, JobDetail, JobFilter, JobPage, NotSince, OperationError, PAGE_MAX,
        Since,
    },
};
use axum::{Extension, extract::State, response::Response};
use futures::FutureExt;
use serde_json::json;
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Required, Type,
        path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle},
    },
};

/// Jobs on a page where nothing is said.
const PAGE_DEFAULT: u32 = 50;
/// Jobs that are looked at for a page: 7 to 32 ms, payloads compared or not.
const LOOKS_MAX: u32 = 20_000;
/// Places of the payload that one request compares.
pub(super) const PLACES_MAX: usize = 8;

/// Which jobs, and how much of them.
pub(in crate::admin) struct Wanted {
    filter: JobFilter,
    extent: Extent,
}

/// Written out, since a macro passes over the description of what isn't a text or a number.
impl IntoParams for Wanted {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let number = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
        let words = |words: &[&str]| text().enum_values(Some(words.to_vec()));
        let states = JobState::ALL.map(JobState::as_str);
        let places = ObjectBuilder::new()
            .property_names(Some(text().pattern(Some(r"^payload\..+$"))))
            .max_properties(Some(PLACES_MAX))
            .additional_properties(Some(text()));
        let limit = number().maximum(Some(PAGE_MAX)).default(Some(json!(PAGE_DEFAULT)));
        let mut parameters = [
            ("queue", "Only jobs of this queue.", text(), json!("default")),
            ("kind", "Only jobs of this kind.", text(), json!("send_email")),
            ("state", "Only jobs in this state.", words(&states), json!("discarded")),
            ("tag", "Only jobs with this tag.", text(), json!("nightly")),
            (
                "created_after",
                "Only jobs that were enqueued after this moment (RFC 3339), or less than this time ago: `90s`, `2h30m`, `7d`.",
                text(),
                json!("7d"),
            ),
            (
                "created_before",
                "Only jobs that were enqueued before this moment, or longer ago than this time.",
                text(),
                json!("2126-01-01T00:00:00Z"),
            ),
            (
                "payload",
                "Only jobs whose payload has this text at this place: `payload.user.id=42`, `payload.items.0=a`. Each member is a \
                 parameter of its own, with `payload.` before its keys. What stands there is compared as text. At most 8 places, \
                 all of which have to be met. Not for viewers.",
                places,
                json!({ "payload.to": "ann@example.com" }),
            ),
            (
                "include",
                "What else is shown of each job. With payloads a page ends after 4 MiB of them. Not for viewers.",
                words(&["payload"]),
                json!("payload"),
            ),
            (
                "after",
                "Continue behind this job: `next` of the page before.",
                number(),
                json!(9_000_000_000_000_000_i64),
            ),
            ("limit", "Most jobs on the page.", limit, json!(PAGE_DEFAULT)),
        ]
        .map(parameter);
        let payload = parameters.iter_mut().find(|parameter| parameter.name == "payload");
        if let Some(payload) = payload {
            (payload.style, payload.explode) = (Some(ParameterStyle::Form), Some(true));
        }
        parameters.into()
    }
}

fn parameter(
    (name, meaning, schema, example): (&str, &str, ObjectBuilder, serde_json::Value),
) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .description(Some(meaning))
        .required(Required::False)
        .schema(Some(schema.build()))
        .example(Some(example))
        .build()
}

impl Parameters for Wanted {
    const OPEN: Option<&'static str> = Some("payload");

    fn read(query: &Query) -> Result<Self, Refusal> {
        if query.text("payload").is_some() {
            return Err(wrong("payload", "say which place of it: payload.user.id=42"));
        }
        let payload: Vec<_> =
            query.below("payload").map(|(at, is)| (at.to_owned(), is.to_owned())).collect();
        if payload.len() > PLACES_MAX {
            return Err(wrong("payload", &format!("at most {PLACES_MAX} places")));
        }
        let filter = JobFilter {
            queue: query.parsed("queue")?,
            kind: query.parsed("kind")?,
            state: query.with("state", state)?,
            tag: query.text("tag").map(str::to_owned),
            created_after: query.with("created_after", since)?,
            created_before: query.with("created_before", since)?,
            payload,
            after: query.with("after", after)?,
        };
        let extent = Extent {
            jobs: query.number("limit", PAGE_MAX)?.unwrap_or(PAGE_DEFAULT),
            looks: LOOKS_MAX,
            payloads: query.with("include", include)?.is_some(),
        };
        Ok(Self { filter, extent })
    }
}

pub(super) fn state(text: &str) -> Result<JobState, String> {
    let found = JobState::ALL.into_iter().find(|state| state.as_str() == text);
    found
        .ok_or_else(|| format!("the states are {}", JobState::ALL.map(JobState::as_str).join(", ")))
}

pub(super) fn since(text: &str) -> Result<Since, String> {
    text.parse().map_err(|why: NotSince| why.to_string())
}

fn include(text: &str) -> Result<(), String> {
    if text == "payload" { Ok(()) } else { Err("there is \"payload\" to include".into()) }
}

fn after(text: &str) -> Result<JobId, String> {
    let id = text.parse().ok().filter(|id| *id > 0).map(JobId);
    id.ok_or_else(|| "the `next` of the page before, a number above 0".into())
}

/// Jobs, newest first: unfinished ones and those in history
///
/// A page begins behind a job and costs the same wherever it is. It may be short, even empty, where few jobs meet the
/// filters: as long as it has `next`, there may be more.
#[utoipa::path(get, path = "/api/v1/jobs", operation_id = "list_jobs", tag = "jobs", params(Wanted),
    responses((status = 200, description = "A page.", body = JobPage, example = json!({
        "now": "2026-03-01T12:00:00.000000Z",
        "jobs": [{ "id": 4711, "state": "retryable", "queue": "default", "kind": "send_email", "priority": 0,
            "attempt": 2, "max_attempts": null, "run_at": "2026-03-01T12:01:00.000000Z",
            "created_at": "2026-03-01T11:58:00.000000Z", "finished_at": null, "reason": null, "tags": ["nightly"] }],
        "next": 4711,
    }))))]
pub(in crate::admin) async fn list(
    State(state): State<AdminState>,
    Extension(role): Extension<Role>,
    Asked(Wanted { filter, extent }): Asked<Wanted>,
) -> Result<Response, Refusal> {
    // To compare what is in a payload is to find out what is in it.
    if (extent.payloads || !filter.payload.is_empty()) && !sees_payloads(role) {
        return Err(Problem::RoleTooSmall { needed: Role::Operator, role }.into());
    }
    shown(
        &ask(&state, move |c| {
            async move { operations::list_jobs(c, &filter, extent).await }.boxed()
        })
        .await?,
    )
}

/// Everything about a job, with its newest failed attempts
///
/// With the attempt that runs, where the daemon that answers is the one (`daemon`) that runs it.
///
/// For a viewer without payload, metadata, result and failed attempts, which `hidden` names then.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", operation_id = "show_job", tag = "jobs",
    params(("id" = i64, Path, description = "Its number.", minimum = 1, example = 4711),
        ("If-None-Match" = Option<String>, Header, description = "An ETag that the client has.")),
    responses((status = 304, description = "Nothing is new since then."),
        (status = 200, description = "It.", body = JobDetail,
        headers(("ETag" = String, description = "What is shown, for If-None-Match and If-Match.")), example = json!({
        "now": "2026-03-01T12:00:00.000000Z", "id": 4711, "state": "retryable", "queue": "default",
        "kind": "send_email", "priority": 0, "attempt": 1, "max_attempts": null, "rescues": 0, "snoozes": 0,
        "run_at": "2026-03-01T12:01:00.000000Z", "created_at": "2026-03-01T11:58:00.000000Z",
        "finished_at": null, "duration_ms": null, "expires_at": null, "timeout_seconds": null, "cancel_requested": false,
        "daemon": null, "unique_key": null, "tags": [], "metadata": { "request_id": "req-1" }, "reason": null,
        "payload": { "to": "ann@example.com" }, "result": null,
        "failed_attempts": [{ "attempt": 1, "failed_at": "2026-03-01T11:59:00.000000Z", "duration_ms": 120,
            "cause": "failed", "error": "503 Service Unavailable" }],
    }))))]
pub(in crate::admin) async fn show(
    State(state): State<AdminState>,
    InPath(id): InPath,
    Extension(role): Extension<Role>,
    Asked(Nothing {}): Asked<Nothing>,
    known: Known,
) -> Result<Response, Refusal> {
    let id = job(&id)?;
    let seen = match role {
        role if sees_payloads(role) => ask(&state, |c| whole(c, id).boxed()).await?,
        _ => Seen::Hidden,
    };
    let found = match seen {
        Seen::Whole(found) => *found,
        // An operation of its own: what was refused may have ended the transaction.
        Seen::Hidden => ask(&state, |c| operations::show_public_job(c, id).boxed()).await?,
    };
    let mut found = found.ok_or(Problem::NoSuchJob)?;
    if let Some(runs) = state.attempts.find(id, found.token)
        && let Some((attempt, _)) = runs.attempt()
    {
        found.runs(attempt, runs.since.elapsed(), &runs.started_at);
    }
    tags::shown(&known, found)
}

impl Tagged for JobDetail {
    fn version(&self) -> &str {
        &self.version
    }

    fn hold_still(&mut self) {
        self.now.clear();
        if let Some(runs) = &mut self.running_attempt {
            runs.running_seconds = 0.0;
        }
    }
}

/// A viewer looks at what there is, but for payloads and what may quote them.
pub(super) fn sees_payloads(role: Role) -> bool {
    role >= Role::Operator
}

/// What is seen of a job.
enum Seen {
    Whole(Box<Option<JobDetail>>),
    Hidden,
}

async fn whole(c: &mut operations::Connection, id: JobId) -> Result<Seen, OperationError> {
    match operations::show_job(c, id).await {
        Err(error) if operations::is_forbidden(&error) => Ok(Seen::Hidden),
        found => found.map(Box::new).map(Seen::Whole),
    }
}

/// Why a job isn't running: every gate between it and its handler
#[utoipa::path(get, path = "/api/v1/jobs/{id}/why", operation_id = "explain_job", tag = "jobs",
    params(("id" = i64, Path, description = "Its number.", minimum = 1, example = 4711)),
    responses((status = 200, description = "The gates, in the order in which they are passed.", body = Vec<Gate>,
        example = json!([
            { "gate": "exists", "blocking": false, "detail": "job 4711 of kind send_email in queue default" },
            { "gate": "pause", "blocking": true,
                "detail": "queue default is paused since 2026-03-01 11:00:00+00; legwork.resume('default') lets it run" },
        ]))))]
pub(in crate::admin) async fn why(
    State(state): State<AdminState>,
    InPath(id): InPath,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Response, Refusal> {
    let id = job(&id)?;
    let gates = ask(&state, |c| operations::explain_job(c, id).boxed()).await?;
    if gates.iter().any(|gate| gate.gate == "exists" && gate.blocking) {
        return Err(Problem::NoSuchJob.into());
    }
    shown(&gates)
}
