//! Enqueues one job, for those who can reach the port and not the database.
//!
//! The row stays the contract: its members are the producer's columns, and its rules are those of the table. Who
//! writes to the database as well enqueues there, in the same transaction.

use super::{
    super::{
        problem::{Problem, Refusal},
        routes::AdminState,
    },
    body::{JSON, is_of, not_so, plain, read_up_to},
    hint,
    once::{Key, Print, before, shown},
    origin::Source,
    query::{Asked, Nothing},
    refusal, told,
};
use crate::{
    postgres::{
        enqueue::{
            NewJob,
            line::{self, Mistakes},
            lines::LINE_MAX_BYTES,
        },
        operations::{self, Answer, Once, OperationError, Placed, Request as Keyed},
        producer::rule_of,
    },
    telemetry::spans::Sending,
};
use axum::{
    extract::{Request, State},
    response::Response,
};
use futures::FutureExt;
use serde::Serialize;
use utoipa::ToSchema;

/// Where it is.
pub(in crate::admin) const PATH: &str = "/api/v1/jobs";
/// SQLSTATE of a statement that waited for a lock for as long as it may. A row that is inserted waits for nothing but
/// who inserts another with its key, as long as nobody changes the table itself.
const NO_LOCK: &str = "55P03";
/// SQLSTATE of a number in JSON that Postgres doesn't hold.
const NUMBER_TOO_LONG: &str = "22003";
/// SQLSTATE of JSON that is nested too deep.
const TOO_DEEP: &str = "54001";
/// Most bytes of a job: the largest payload written with escapes and spaces, and some.
pub(in crate::admin) const BODY_MAX_BYTES: u64 = LINE_MAX_BYTES as u64;

/// A job to be. What is absent or null takes the column's default.
#[derive(ToSchema)]
#[schema(as = NewJob)]
#[expect(dead_code, reason = "it describes what `line::parse` reads")]
pub(in crate::admin) struct Described {
    /// What runs it: 1 to 128 of letters, digits, `_ . : -`.
    kind: String,
    /// Its input: any JSON, at most 1 MiB as Postgres renders it; `{}` where none is given.
    payload: Option<serde_json::Value>,
    /// Where it waits; `default` where nothing is said.
    queue: Option<String>,
    /// Not before this moment, such as `2030-01-31T08:00:00Z`.
    run_at: Option<String>,
    /// Not before this long from now, by the database's clock, such as `10m`; in the place of `run_at`.
    delay: Option<String>,
    /// Lower runs first.
    #[schema(minimum = -2, maximum = 2)]
    priority: Option<i16>,
    /// Attempts that it has; absent, the kind's.
    #[schema(minimum = 1, maximum = 1000)]
    max_attempts: Option<u16>,
    /// At most one unfinished job of a queue has it: 1 to 512 bytes.
    unique_key: Option<String>,
    /// How long an attempt may take, such as `30s`; absent, as long as the kind says.
    timeout: Option<String>,
    /// Discarded if it hasn't started by then.
    expires_at: Option<String>,
    /// Words to filter by; together at most 4 KiB.
    tags: Option<Vec<String>>,
    /// An object of at most 16 KiB. `traceparent` and `request_id` are the request's where they aren't given.
    #[schema(value_type = Option<Object>)]
    metadata: Option<serde_json::Value>,
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Enqueued {
    /// Its number; where it wasn't enqueued, that of the unfinished job that has its unique key.
    id: i64,
    /// Whether it was.
    enqueued: bool,
}

/// Enqueue one job
///
/// Where an unfinished job of the queue has the unique key, nothing is enqueued and the answer is 200 with that job's
/// id.
#[utoipa::path(post, path = "/api/v1/jobs", operation_id = "enqueue_job", tag = "jobs",
    params(("Idempotency-Key" = Option<String>, Header, example = "8e03978e-40d5-43dd-bc93-6894a57f9324",
        description = "Another request with this key within a day does nothing and gets the same answer.")),
    request_body(content = Described, example = json!({
        "kind": "send_email", "payload": { "to": "ann@example.com" }, "delay": "10m", "unique_key": "welcome-ann" })),
    responses(
        (status = 201, description = "It is enqueued.", body = Enqueued,
            headers(("Location" = String, description = "Where the job is."),
                ("Idempotency-Replayed" = String, description = "true: it was answered before.")),
            example = json!({ "id": 4711, "enqueued": true })),
        (status = 200, description = "There is one with this unique key.", body = Enqueued,
            headers(("Idempotency-Replayed" = String, description = "true: it was answered before.")),
            example = json!({ "id": 4711, "enqueued": false }))))]
pub(in crate::admin) async fn enqueue(
    State(state): State<AdminState>,
    Asked(Nothing {}): Asked<Nothing>,
    Key(key): Key,
    request: Request,
) -> Result<Response, Refusal> {
    plain(request.headers())?;
    if !is_of(JSON, request.headers()) {
        return Err(Problem::NotJson.into());
    }
    let body = read_up_to(BODY_MAX_BYTES, request).await?;
    let (job, delay) = line::parse(body.trim_ascii()).map_err(|wrong| of_one(&wrong))?;
    let (queue, given) = (job.queue.clone().unwrap_or_default(), Given::of(&job));
    let mut source = Source::of(&queue);
    let job = source.given_to(job);
    let once = match key {
        None => {
            let placed = state.sessions.within(move |c| {
                async move { operations::enqueue_or_find(c, &job, delay).await }.boxed()
            });
            placed.await.map(|placed| Once::Now(placed, answer(placed)))
        }
        Some(key) => {
            let request = Keyed { key, fingerprint: fingerprint(&body) };
            let once = state.sessions.once(move |c| {
                async move { operations::enqueue_once(c, (&job, delay), &request, answer).await }
                    .boxed()
            });
            once.await
        }
    };
    end(source.sending(), &once);
    match once.map_err(|error| of_database(&error, &given))? {
        Once::Now(placed, answer) => {
            if let Placed::New(_) = placed {
                state.metrics.enqueued_over_http(queue.as_str(), 1);
            }
            Ok(shown(&answer))
        }
        Once::Before(turn) => before(&turn, &fingerprint(&body)),
    }
}

/// That became of the sending.
fn end(sending: &Sending, once: &Result<Once, OperationError>) {
    match once {
        Ok(Once::Now(Placed::New(job), _)) => sending.sent(*job),
        Ok(Once::Now(Placed::Existing(_), _) | Once::Before(_)) => sending.forget(),
        Err(error) => sending.failed(error.sqlstate().as_deref().unwrap_or("no_answer")),
    }
}

fn fingerprint(body: &[u8]) -> Vec<u8> {
    let mut print = Print::of(PATH);
    print.add(body);
    print.end()
}

fn answer(placed: Placed) -> Answer {
    let (id, enqueued) = match placed {
        Placed::New(id) => (id.0, true),
        Placed::Existing(id) => (id.0, false),
    };
    // A number and a bool have a form in JSON.
    let body = serde_json::to_string(&Enqueued { id, enqueued }).unwrap_or_default();
    let location = enqueued.then(|| format!("{PATH}/{id}"));
    Answer { status: if enqueued { 201 } else { 200 }, location, body }
}

/// The same of a body that is one job, and may have several lines.
fn of_one(wrong: &Mistakes) -> Refusal {
    let said = wrong.to_string();
    match said.split_once(line::WHOLE) {
        Some((before, _)) => {
            let said = format!("{before}the body has to be a whole JSON object, {{\"kind\": …}}");
            Problem::InvalidBody.because(said)
        }
        None => of_mistakes(wrong),
    }
}

/// What is wrong with a job before the database is asked.
pub(super) fn of_mistakes(wrong: &Mistakes) -> Refusal {
    let Some(member) = wrong.0.iter().find_map(|mistake| mistake.member) else {
        return not_so(&wrong.to_string(), None);
    };
    let with_rule = wrong.0.iter().map(|mistake| match mistake.member.and_then(rule_of) {
        Some(rule) => format!("{mistake} ({rule})"),
        None => mistake.to_string(),
    });
    let said = with_rule.collect::<Vec<_>>().join("; ");
    Problem::InvalidJob.because(said).about(member, None)
}

/// What the database refuses: by its rule where it is one of a column, or as a value that it can't hold; or because it
/// would have to wait to know whether the job's unique key is taken.
fn of_database(error: &OperationError, given: &Given) -> Refusal {
    let is_insert = matches!(error, OperationError::Enqueue(_));
    if given.has_key && is_insert && error.sqlstate().is_some_and(|code| code == NO_LOCK) {
        return Refusal::from(Problem::UniqueKeyHeld).about("unique_key", None);
    }
    if let Some(broken) = error.broken_rule() {
        return Problem::InvalidJob.because(broken.to_string()).about(broken.column, None);
    }
    match error.sqlstate().filter(|code| is_of_value(code)) {
        Some(code) => {
            let refusal = Problem::InvalidJob.because(told(error)).advised(hint(error));
            let is_of_payload = match code.as_str() {
                TOO_DEEP => given.is_payload_longer,
                NUMBER_TOO_LONG => given.is_payload_alone,
                // Somebody's own rule may be about any column.
                _ => false,
            };
            if is_of_payload { refusal.about("payload", None) } else { refusal }
        }
        None => refusal(error),
    }
}

/// What was given, as far as it tells which member the database's words are about where it names none.
struct Given {
    has_key: bool,
    /// There is no other JSON that it might be.
    is_payload_alone: bool,
    is_payload_longer: bool,
}

impl Given {
    fn of(job: &NewJob) -> Self {
        let bytes = |json: &Option<String>| json.as_ref().map_or(0, String::len);
        let (payload, metadata) = (bytes(&job.payload), bytes(&job.metadata));
        Self {
            has_key: job.unique_key.is_some(),
            is_payload_alone: payload > 0 && metadata == 0,
            is_payload_longer: payload > metadata,
        }
    }
}

/// `data_exception`, such as a number that is too long; `integrity_constraint_violation`, by somebody's own rule;
/// `program_limit_exceeded`, such as lists in lists in lists.
pub(super) fn is_of_value(sqlstate: &str) -> bool {
    ["22", "23", "54"].iter().any(|class| sqlstate.starts_with(class))
}
