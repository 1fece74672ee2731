//! Enqueues one job, as a producer's INSERT would.
//!
//! Many at once go through `postgres::enqueue`, by COPY; this one can pass over a job whose unique key
//! is taken, which COPY can't.

use super::{Connection, OperationError, traced::traced};
use crate::{
    job::{JobId, QueueName},
    postgres::{
        enqueue::{NewJob, interval_text},
        moment::timestamp_text,
    },
};
use std::time::Duration;

/// How often a job with a unique key is tried for while others with that key come and finish.
const LOOKS_MAX: usize = 3;

/// Enqueues the job, `delay` from now unless it has a `run_at` of its own. `None`: an unfinished job of
/// its queue has its unique key, and nothing was enqueued.
///
/// For the command line, whose jobs are checked already; a program calls
/// [`legwork::enqueue`](crate::enqueue).
#[doc(hidden)]
pub async fn enqueue_job(
    connection: &mut Connection,
    job: &NewJob,
    delay: Option<Duration>,
) -> Result<Option<JobId>, OperationError> {
    insert(connection, job, delay, false).await.map_err(OperationError::Enqueue)
}

/// Where a job is that was to be enqueued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// It was enqueued.
    New(JobId),
    /// An unfinished job of its queue has its unique key: this one.
    Existing(JobId),
}

/// Enqueues the job as [`enqueue_job`] does, or finds the unfinished one that has its unique key.
pub async fn enqueue_or_find(
    connection: &mut Connection,
    job: &NewJob,
    delay: Option<Duration>,
) -> Result<Placed, OperationError> {
    for _ in 0..LOOKS_MAX {
        if let Some(id) = enqueue_job(connection, job, delay).await? {
            return Ok(Placed::New(id));
        }
        // It may have finished since; then there is room for this one.
        let id: Option<i64> = sqlx::query_scalar(include_str!("../sql/find_unique.sql"))
            .bind(job.queue.as_ref().map_or("default", QueueName::as_str))
            .bind(job.unique_key.as_deref())
            .persistent(false)
            .fetch_optional(&mut *connection)
            .await
            .map_err(OperationError::FindUnique)?;
        if let Some(id) = id {
            return Ok(Placed::Existing(JobId(id)));
        }
    }
    Err(OperationError::Elusive)
}

/// The statement; `kept`, where the session may keep it prepared.
pub(in crate::postgres) async fn insert(
    connection: &mut Connection,
    job: &NewJob,
    delay: Option<Duration>,
    kept: bool,
) -> Result<Option<JobId>, sqlx::Error> {
    let statement = sqlx::query_scalar(include_str!("../sql/enqueue_job.sql"))
        .bind(job.kind.as_str())
        .bind(job.payload.as_deref())
        .bind(job.queue.as_ref().map(QueueName::as_str))
        .bind(job.run_at.map(timestamp_text))
        .bind(delay.map(interval_text))
        .bind(job.priority)
        .bind(job.max_attempts.map(|limit| i16::try_from(limit).unwrap_or(i16::MAX)))
        .bind(job.unique_key.as_deref())
        .bind(job.timeout.map(interval_text))
        .bind(job.expires_at.map(timestamp_text))
        .bind((!job.tags.is_empty()).then_some(job.tags.as_slice()))
        .bind(job.metadata.as_deref())
        .persistent(kept)
        .fetch_optional(connection);
    let id: Option<i64> = traced("INSERT legwork.job", statement).await?;
    Ok(id.map(JobId))
}
