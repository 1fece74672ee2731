//! Changing what becomes of jobs: cancel, retry, discard, snooze.
//!
//! Each takes a list and is one statement, so it is all or none: an operator who named a wrong id finds
//! everything as it was. `cancel` refuses nothing and says of each job what it did.

use super::{Asker, Connection, OperationError, traced::traced};
use crate::job::JobId;
use serde::{Deserialize, Serialize};
use sqlx::{Postgres, postgres::PgArguments, query::QueryAs};
use std::time::Duration;
use utoipa::ToSchema;

/// Most jobs that one call takes. Each costs one row lock until the statement ends.
pub const IDS_MAX: usize = 1000;

/// Longest time a job can be put off: well within the years that `run_at` may lie in.
pub const DELAY_MAX: Duration = Duration::from_hours(10 * 365 * 24);

/// What became of one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// The job.
    pub id: i64,
    /// The SQL function's word for it; for `snooze`, when the job is due.
    pub result: String,
}

/// Cancels waiting jobs and asks the holders of running ones to stop.
pub async fn cancel_jobs(
    connection: &mut Connection,
    ids: &[JobId],
    asker: &Asker,
) -> Result<Vec<Change>, OperationError> {
    let ids = sorted(ids)?;
    let query = asked(include_str!("../sql/cancel_jobs.sql")).bind(ids);
    let rows = traced("SELECT legwork.cancel", by(query, asker).fetch_all(connection)).await;
    rows.map(changes).map_err(OperationError::CancelJobs)
}

/// Runs finished jobs again, and waiting ones now.
pub async fn retry_jobs(
    connection: &mut Connection,
    ids: &[JobId],
    asker: &Asker,
) -> Result<Vec<Change>, OperationError> {
    let ids = sorted(ids)?;
    let query = asked(include_str!("../sql/retry_jobs.sql")).bind(ids);
    let rows = traced("SELECT legwork.retry", by(query, asker).fetch_all(connection)).await;
    rows.map(changes).map_err(OperationError::RetryJobs)
}

/// Ends waiting jobs for good.
pub async fn discard_jobs(
    connection: &mut Connection,
    ids: &[JobId],
    asker: &Asker,
) -> Result<Vec<Change>, OperationError> {
    let ids = sorted(ids)?;
    let query = asked(include_str!("../sql/discard_jobs.sql")).bind(ids);
    let rows = traced("SELECT legwork.discard", by(query, asker).fetch_all(connection)).await;
    rows.map(changes).map_err(OperationError::DiscardJobs)
}

/// Puts waiting jobs off by this time from now.
pub async fn snooze_jobs(
    connection: &mut Connection,
    ids: &[JobId],
    delay: Duration,
    asker: &Asker,
) -> Result<Vec<Change>, OperationError> {
    let ids = sorted(ids)?;
    let query = asked(include_str!("../sql/snooze_jobs.sql"))
        .bind(ids)
        .bind(format!("{} microseconds", delay.as_micros()));
    let rows = traced("SELECT legwork.snooze", by(query, asker).fetch_all(connection)).await;
    rows.map(changes).map_err(OperationError::SnoozeJobs)
}

type Query<'q> = QueryAs<'q, Postgres, (i64, String), PgArguments>;

fn asked(statement: &'static str) -> Query<'static> {
    sqlx::query_as(statement).persistent(false)
}

/// With who asks, which every change takes last.
fn by<'q>(query: Query<'q>, asker: &Asker) -> Query<'q> {
    let Asker { actor, reason, request_id, only_if } = asker.clone();
    query.bind(actor).bind(reason).bind(request_id).bind(only_if)
}

/// In one order, so that two calls can't lock each other out, and each once.
fn sorted(ids: &[JobId]) -> Result<Vec<i64>, OperationError> {
    let mut ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    match ids.len() {
        given if given > IDS_MAX => Err(OperationError::TooManyJobs { given, most: IDS_MAX }),
        _ => Ok(ids),
    }
}

fn changes(rows: Vec<(i64, String)>) -> Vec<Change> {
    rows.into_iter().map(|(id, result)| Change { id, result }).collect()
}
