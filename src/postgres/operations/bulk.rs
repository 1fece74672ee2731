//! One change of many jobs: everything that meets a filter, in batches.
//!
//! An operation is a row that says how far it is; each batch is one statement and one transaction, which moves the
//! row on. So it outlives whoever began it, and no batch is done twice (ADR 0030). What is decided about a job is
//! decided by the database's functions, under the row's lock.

use super::{Asker, Connection, JobFilter, OperationError, Since, traced::traced};
use crate::{postgres::moment::timestamp_text, telemetry::feed};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, time::Duration};
use utoipa::ToSchema;

/// Longest page, in operations.
pub const OPERATIONS_MAX: u32 = 1000;
/// Operations that are looked at for a page.
const LOOKS_MAX: i64 = 20_000;

/// What is done to each job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// End waiting jobs, ask the handlers of running ones to stop.
    Cancel,
    /// Run finished jobs again, and waiting ones now.
    Retry,
    /// End waiting jobs for good.
    Discard,
    /// Put waiting jobs off.
    Snooze,
}

impl Action {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Discard => "discard",
            Self::Snooze => "snooze",
        }
    }
}

/// What is to be done, to which jobs.
#[derive(Debug, Clone)]
pub struct Bulk {
    /// What.
    pub action: Action,
    /// To which; `after` has no meaning here.
    pub filter: JobFilter,
    /// For how long a job is put off.
    pub delay: Option<Duration>,
    /// That it is about every job, where the filter narrows nothing.
    pub everything: bool,
}

/// What an operation would be about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trial {
    /// Jobs that meet the filter: as many as were counted.
    #[schema(minimum = 0, maximum = 10000)]
    pub matched: i64,
    /// Whether there may be more of them: counting ends at 10,000, or after 100,000 that were looked at.
    pub more: bool,
    /// The newest of them, at most ten.
    pub sample: Vec<i64>,
}

/// How an operation stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Operation)]
pub struct BulkOperation {
    /// Its number.
    pub id: i64,
    /// What it does to each job.
    pub action: Action,
    /// Which jobs, with moments in place of ages; what is compared in payloads isn't shown to viewers.
    #[schema(value_type = Object)]
    pub filter: Value,
    /// For how long jobs are put off, in seconds.
    pub for_seconds: Option<f64>,
    /// How it stands.
    pub state: OperationState,
    /// When it began.
    #[schema(format = DateTime)]
    pub begun_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Jobs below this id are still to be looked at.
    pub position: i64,
    /// Jobs that have been looked at.
    pub looked_at: i64,
    /// Jobs that have been changed.
    pub changed: i64,
    /// Jobs that met the filter and couldn't be changed, by reason.
    pub refused: BTreeMap<String, i64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// One page, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OperationPage {
    /// The database's time, to which ages refer.
    #[schema(format = DateTime)]
    pub now: String,
    /// The operations.
    pub operations: Vec<BulkOperation>,
    /// Where the next page starts (`after`); null on the last one.
    #[serde(default)]
    pub next: Option<i64>,
}

/// Whether an operation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// It does.
    Running,
    /// All that there was when it began has been looked at.
    Done,
    /// Somebody ended it.
    Cancelled,
    /// The database refused a batch, and would again.
    Failed,
}

impl OperationState {
    /// Every one.
    const ALL: [Self; 4] = [Self::Running, Self::Done, Self::Cancelled, Self::Failed];

    /// The one that is written so.
    pub fn named(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|state| state.as_str() == text);
        named.ok_or_else(|| format!("one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => feed::RUNNING,
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// Counts what it would be about, and changes nothing.
pub async fn try_bulk(connection: &mut Connection, bulk: &Bulk) -> Result<Trial, OperationError> {
    let statement = sqlx::query_scalar(include_str!("../sql/try_bulk.sql"))
        .persistent(false)
        .bind(bulk.action.as_str())
        .bind(filter(&bulk.filter).to_string())
        .bind(bulk.delay.map(interval))
        .bind(bulk.everything)
        .fetch_one(connection);
    let json: String =
        traced("SELECT legwork.try_bulk", statement).await.map_err(OperationError::TryBulk)?;
    serde_json::from_str(&json).map_err(OperationError::Decode)
}

/// Begins it. `holder` is who means to do the batches; a daemon does where that is nobody, or after 15 seconds in which
/// nobody did one.
pub async fn begin_bulk(
    connection: &mut Connection,
    bulk: &Bulk,
    holder: Option<i64>,
    asker: &Asker,
) -> Result<BulkOperation, OperationError> {
    let statement = sqlx::query_scalar(include_str!("../sql/begin_bulk.sql"))
        .persistent(false)
        .bind(bulk.action.as_str())
        .bind(filter(&bulk.filter).to_string())
        .bind(bulk.delay.map(interval))
        .bind(bulk.everything)
        .bind(holder);
    let statement = asker.asks(statement).fetch_one(connection);
    let json: String =
        traced("SELECT legwork.begin_bulk", statement).await.map_err(OperationError::BeginBulk)?;
    serde_json::from_str(&json).map_err(OperationError::Decode)
}

/// Does the next batch; nothing of one that has ended.
pub async fn step_bulk(
    connection: &mut Connection,
    id: i64,
    holder: i64,
) -> Result<BulkOperation, OperationError> {
    let json: String = sqlx::query_scalar(include_str!("../sql/step_bulk.sql"))
        .persistent(false)
        .bind(id)
        .bind(holder)
        .fetch_one(connection)
        .await
        .map_err(OperationError::StepBulk)?;
    serde_json::from_str(&json).map_err(OperationError::Decode)
}

/// How one stands, if there is such an operation.
pub async fn show_operation(
    connection: &mut Connection,
    id: i64,
) -> Result<Option<BulkOperation>, OperationError> {
    let statement = sqlx::query_scalar(include_str!("../sql/show_operation.sql"))
        .persistent(false)
        .bind(id)
        .fetch_optional(connection);
    let json: Option<String> = traced("SELECT legwork.operation", statement)
        .await
        .map_err(OperationError::ShowOperation)?;
    json.map(|json| serde_json::from_str(&json)).transpose().map_err(OperationError::Decode)
}

/// One page of them, of at most so many, newest first, behind this one.
pub async fn list_operations(
    connection: &mut Connection,
    state: Option<OperationState>,
    after: Option<i64>,
    limit: u32,
) -> Result<OperationPage, OperationError> {
    let statement = sqlx::query_scalar(include_str!("../sql/list_operations.sql"))
        .persistent(false)
        .bind(state.map(OperationState::as_str))
        .bind(after.unwrap_or(i64::MAX))
        .bind(i64::from(limit.clamp(1, OPERATIONS_MAX)))
        .bind(LOOKS_MAX)
        .fetch_one(connection);
    let json: String = traced("SELECT legwork.operation", statement)
        .await
        .map_err(OperationError::ListOperations)?;
    serde_json::from_str(&json).map_err(OperationError::Decode)
}

/// Ends one after the batch that is under way. What is done stays done; of one that has ended, nothing.
pub async fn cancel_bulk(
    connection: &mut Connection,
    id: i64,
    asker: &Asker,
) -> Result<BulkOperation, OperationError> {
    let statement =
        sqlx::query_scalar(include_str!("../sql/cancel_bulk.sql")).persistent(false).bind(id);
    let statement = asker.asks(statement).fetch_one(connection);
    let json: String = traced("SELECT legwork.cancel_bulk", statement)
        .await
        .map_err(OperationError::CancelBulk)?;
    serde_json::from_str(&json).map_err(OperationError::Decode)
}

fn interval(time: Duration) -> String {
    format!("{} microseconds", time.as_micros())
}

/// As the database's functions take it.
fn filter(filter: &JobFilter) -> Value {
    let JobFilter { queue, kind, state, tag, created_after, created_before, payload, after: _ } =
        filter;
    let mut members = Map::new();
    let texts = [
        ("queue", queue.as_ref().map(ToString::to_string)),
        ("kind", kind.as_ref().map(ToString::to_string)),
        ("state", state.map(|state| state.as_str().to_owned())),
        ("tag", tag.clone()),
    ];
    members.extend(texts.into_iter().filter_map(|(name, text)| Some((name.into(), text?.into()))));
    for (name, since) in [("created_after", created_after), ("created_before", created_before)] {
        match since {
            None => {}
            Some(Since::Moment(at)) => {
                members.insert(name.to_owned(), timestamp_text(*at).into());
            }
            Some(Since::Ago(time)) => {
                members.insert(format!("{name}_ago"), json!(time.as_secs_f64()));
            }
        }
    }
    if !payload.is_empty() {
        let places = payload.iter().map(|(at, is)| (at.clone(), is.clone().into()));
        members.insert("payload".into(), Value::Object(places.collect()));
    }
    Value::Object(members)
}
