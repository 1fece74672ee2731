//! Enqueues one job, as a producer's INSERT would.
//!
//! Many at once go through `postgres::enqueue`, by COPY; this one can pass over a job whose unique key
//! is taken, which COPY can't.

use super::{Connection, OperationError};
use crate::{
    job::{JobId, QueueName},
    postgres::enqueue::{NewJob, interval_text, timestamp_text},
};
use std::time::Duration;

/// Enqueues the job, `delay` from now unless it has a `run_at` of its own. `None`: an unfinished job of
/// its queue has its unique key, and nothing was enqueued.
///
/// The connection may be in a transaction of the caller's: then the job exists once that commits, and
/// after a rollback it never did. `examples/children.rs` enqueues so from inside a handler.
///
/// ```no_run
/// use legwork::{job::KindName, postgres::{enqueue::NewJob, operations::enqueue_job}};
/// # async fn pay(pool: &sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let mut transaction = pool.begin().await?;
/// sqlx::query("UPDATE orders SET paid = true WHERE id = 42").execute(&mut *transaction).await?;
/// let mut receipt = NewJob::new(KindName::new("send_receipt")?);
/// receipt.payload = Some(r#"{"order": 42}"#.into());
/// enqueue_job(&mut transaction, &receipt, None).await?;
/// transaction.commit().await?;
/// # Ok(())
/// # }
/// ```
pub async fn enqueue_job(
    connection: &mut Connection,
    job: &NewJob,
    delay: Option<Duration>,
) -> Result<Option<JobId>, OperationError> {
    let id: Option<i64> = sqlx::query_scalar(include_str!("../sql/enqueue_job.sql"))
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
        .fetch_optional(connection)
        .await
        .map_err(OperationError::Enqueue)?;
    Ok(id.map(JobId))
}
