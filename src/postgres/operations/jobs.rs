//! Looking at one job: all of it with its history, and why it isn't running.
//!
//! The shapes here are the documented JSON of the command line and the HTTP API: fields are added, not
//! renamed.

use super::{Connection, OperationError, traced::traced};
use crate::job::JobId;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::{sync::OnceLock, time::Duration};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

/// Failed attempts that `show` returns, the newest ones.
pub const ATTEMPTS_MAX: i64 = 100;

/// Everything about one job. JSON that producers and handlers wrote is carried as text, unparsed: it may
/// be nested deeper than a parser goes.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct JobDetail {
    /// The database's time, to which ages refer.
    pub now: String,
    /// Its number.
    pub id: i64,
    /// One of the seven states.
    #[schema(schema_with = super::list::states)]
    pub state: String,
    /// Where it waits or waited.
    pub queue: String,
    /// What runs it.
    pub kind: String,
    /// −2 … 2, lower runs first.
    pub priority: i16,
    /// Charged attempts that ended.
    pub attempt: i16,
    /// Its own limit; absent is the kind's.
    pub max_attempts: Option<i16>,
    /// How many daemons died with it in hand.
    pub rescues: i16,
    /// How often it was put off.
    pub snoozes: i16,
    /// Not before this moment.
    pub run_at: Option<String>,
    /// When it was enqueued.
    pub created_at: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
    /// How long the attempt that ended it ran, in milliseconds; absent where it ended without having started.
    pub duration_ms: Option<i32>,
    /// Discarded if not started by then.
    pub expires_at: Option<String>,
    /// Its own limit on an attempt, in seconds; absent is the kind's.
    pub timeout_seconds: Option<f64>,
    /// Whether its holder was asked to stop.
    pub cancel_requested: bool,
    /// The daemon that runs or finished it: its name, else its boot id.
    pub daemon: Option<String>,
    /// At most one unfinished job of a queue has it.
    pub unique_key: Option<String>,
    /// For people to filter by.
    pub tags: Vec<Option<String>>,
    /// What follows the work into logs and spans.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Box<RawValue>>,
    /// Why it was discarded or cancelled.
    pub reason: Option<String>,
    /// Its input; absent only where it is hidden.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = serde_json::Value)]
    pub payload: Option<Box<RawValue>>,
    /// What its handler returned.
    #[schema(value_type = serde_json::Value)]
    pub result: Option<Box<RawValue>>,
    /// The newest failed attempts, oldest of them first.
    pub failed_attempts: Vec<Attempt>,
    /// The attempt that runs; only where the daemon that answers runs it, since nobody else knows when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_attempt: Option<RunningAttempt>,
    /// The keys of this object that the session's role may not read, so that they say nothing here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<String>,
    /// The version of what can be changed.
    #[serde(skip)]
    pub version: String,
    /// Of its last claim.
    #[serde(skip)]
    pub token: i64,
}

/// An attempt that runs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RunningAttempt {
    /// Its number as the handler sees it, from 1.
    pub attempt: u16,
    /// When its handler was called, by the database's clock.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// For how long it has run.
    pub running_seconds: f64,
}

impl JobDetail {
    /// It runs here, in that attempt and for so long; since when is said once and for all.
    pub fn runs(&mut self, attempt: u16, since: Duration, said: &OnceLock<String>) {
        let Some(reckoned) = self.started(since) else { return };
        let started_at = said.get_or_init(|| reckoned).clone();
        let running_seconds = since.as_secs_f64();
        self.running_attempt = Some(RunningAttempt { attempt, started_at, running_seconds });
    }

    /// What has run for so long began after it was enqueued, though the answer with the database's time took a while.
    fn started(&self, since: Duration) -> Option<String> {
        let moment = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
        let started = moment(&self.now)?.checked_sub(since.try_into().ok()?)?;
        let enqueued = self.created_at.as_deref().and_then(moment);
        let started = enqueued.map_or(started, |enqueued| started.max(enqueued));
        started.truncate_to_microsecond().format(&Rfc3339).ok()
    }
}

/// `null` is a payload like any other; only an absent one is none.
pub(super) fn present<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(Some)
}

/// One failed attempt.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Its number as the handler saw it, from 1.
    pub attempt: i16,
    /// When it was recorded.
    pub failed_at: Option<String>,
    /// How long it ran, in milliseconds.
    pub duration_ms: Option<i64>,
    /// Machine-readable.
    pub cause: String,
    /// What was said.
    pub error: Option<String>,
}

/// One gate between a job and its handler.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Gate {
    /// Which.
    pub gate: String,
    /// Whether it keeps the job from running now.
    pub blocking: bool,
    /// How it stands.
    pub detail: String,
}

/// One job with its newest failed attempts, if there is such a job.
pub async fn show_job(
    connection: &mut Connection,
    id: JobId,
) -> Result<Option<JobDetail>, OperationError> {
    let whole = sqlx::query_as(include_str!("../sql/show_job.sql")).persistent(false);
    let whole = whole.bind(id.0).bind(ATTEMPTS_MAX).fetch_optional(connection);
    shown(traced("SELECT legwork.jobs", whole).await)
}

/// For a role that may not see what jobs are about: the rest, and what of it is
/// [`hidden`](JobDetail::hidden). An operation of its own, since what was refused can be the end of the
/// transaction that is round an operation.
pub async fn show_public_job(
    connection: &mut Connection,
    id: JobId,
) -> Result<Option<JobDetail>, OperationError> {
    let public = sqlx::query_as(include_str!("../sql/show_public_job.sql")).persistent(false);
    shown(traced("SELECT legwork.jobs", public.bind(id.0).fetch_optional(connection)).await)
}

fn shown(
    row: Result<Option<(String, String, i64)>, sqlx::Error>,
) -> Result<Option<JobDetail>, OperationError> {
    let Some((json, version, token)) = row.map_err(OperationError::ShowJob)? else {
        return Ok(None);
    };
    let job: JobDetail = serde_json::from_str(&json).map_err(OperationError::Decode)?;
    Ok(Some(JobDetail { version, token, ..job }))
}

/// Every gate between a job and its handler, in the order in which they are passed.
pub async fn explain_job(
    connection: &mut Connection,
    id: JobId,
) -> Result<Vec<Gate>, OperationError> {
    let gates = sqlx::query_as(include_str!("../sql/explain_job.sql"));
    let gates = gates.persistent(false).bind(id.0).fetch_all(connection);
    let rows: Vec<(String, bool, String)> =
        traced("SELECT legwork.why", gates).await.map_err(OperationError::ExplainJob)?;
    Ok(rows.into_iter().map(|(gate, blocking, detail)| Gate { gate, blocking, detail }).collect())
}
