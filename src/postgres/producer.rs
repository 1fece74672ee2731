//! For programs that enqueue: jobs that are built, checked and inserted on the caller's own connection,
//! in whatever transaction that is in.
//!
//! What can be checked without the database is checked before anything is sent, since a statement that
//! fails costs the caller its whole transaction. The database's domains stay the judge; what they
//! refuse comes back by the same names of column and rule.

mod enqueued;
mod error;
mod job;
mod rules;

pub use enqueued::{EnqueuedJob, enqueued, enqueued_kinds};
pub use error::EnqueueError;
pub use job::{Job, OnConflict};
pub(in crate::postgres) use rules::broken_in_database;
pub(crate) use rules::rule_of;
pub use rules::{BrokenRule, rule_names};

use super::{
    enqueue::{Defaults, EnqueueSink, NewJob},
    operations::{Connection, insert},
};
use crate::job::JobId;
use std::time::Duration;

/// What became of a job that was to be enqueued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It exists, once the transaction commits.
    New(JobId),
    /// An unfinished job of its queue has its unique key, so nothing was inserted.
    Duplicate,
}

impl Enqueued {
    /// The new job's id.
    pub fn id(self) -> Option<JobId> {
        match self {
            Self::New(id) => Some(id),
            Self::Duplicate => None,
        }
    }
}

/// Enqueues one job on this connection, or in this transaction: it exists once that commits, and after a
/// rollback it never did.
///
/// ```no_run
/// # #[derive(serde::Serialize)] struct Receipt { order: i64 }
/// # async fn pay(pool: &sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// use legwork::Job;
///
/// let mut transaction = pool.begin().await?;
/// sqlx::query("UPDATE orders SET paid = true WHERE id = 42").execute(&mut *transaction).await?;
/// let job = Job::new("send_receipt").payload(&Receipt { order: 42 }).queue("mail");
/// let id = legwork::enqueue(&mut transaction, &job).await?.id();
/// transaction.commit().await?;
/// # Ok(())
/// # }
/// ```
///
/// After [`EnqueueError::Invalid`] and [`EnqueueError::Taken`] the transaction is as it was; after any
/// other error Postgres lets it only be rolled back.
pub async fn enqueue(connection: &mut Connection, job: &Job) -> Result<Enqueued, EnqueueError> {
    let (row, delay) = job.row().map_err(|broken| EnqueueError::Invalid { job: 1, broken })?;
    let id = insert(connection, &row, delay, true).await;
    let id = id.map_err(|source| EnqueueError::of_database(None, source))?;
    match (id, job.conflict()) {
        (Some(id), _) => Ok(Enqueued::New(id)),
        (None, OnConflict::Skip) => Ok(Enqueued::Duplicate),
        (None, OnConflict::Fail) => Err(EnqueueError::Taken {
            queue: row.queue.map_or_else(|| "default".to_owned(), |queue| queue.to_string()),
            unique_key: row.unique_key.unwrap_or_default(),
        }),
    }
}

/// Enqueues any number of jobs by one COPY on this connection, all of them or none, and says how many.
///
/// It costs the server about half of what the same jobs cost as INSERTs. COPY gives no ids back and can't
/// pass over a unique key that is taken, so each job with a key has to say [`OnConflict::Fail`]; where ids
/// or skipping are needed, use [`enqueue`] for each.
///
/// ```no_run
/// # async fn invite(pool: &sqlx::PgPool, users: &[i64]) -> Result<(), Box<dyn std::error::Error>> {
/// use legwork::Job;
///
/// let jobs: Vec<Job> = users.iter().map(|user| Job::new("invite").payload(user)).collect();
/// let mut transaction = pool.begin().await?;
/// let count = legwork::enqueue_many(&mut transaction, &jobs).await?;
/// transaction.commit().await?;
/// # Ok(())
/// # }
/// ```
///
/// Every job is checked before the first one is sent. Where this future is dropped before its end, the
/// connection is left in the middle of the COPY: close it.
pub async fn enqueue_many(connection: &mut Connection, jobs: &[Job]) -> Result<u64, EnqueueError> {
    let rows = rows_for_copy(jobs)?;
    if rows.is_empty() {
        return Ok(0);
    }
    let defaults = Defaults::ask(connection).await;
    let defaults = defaults.map_err(|source| EnqueueError::of_database(None, source))?;
    let mut sink = EnqueueSink::begin(connection).await.map_err(EnqueueError::of_copy)?;
    for (row, delay) in rows {
        sink.push(&defaults.given_to(row, delay)).await.map_err(EnqueueError::of_copy)?;
    }
    sink.finish().await.map_err(EnqueueError::of_copy)
}

/// The rows, or what is wrong with the first job that can't be one.
fn rows_for_copy(jobs: &[Job]) -> Result<Vec<(NewJob, Option<Duration>)>, EnqueueError> {
    let row = |(index, job): (usize, &Job)| {
        let invalid = |broken| EnqueueError::Invalid { job: index + 1, broken };
        let row = job.row().map_err(invalid)?;
        match (&row.0.unique_key, job.conflict()) {
            (Some(_), OnConflict::Skip) => Err(invalid(vec![rules::copy_skips_nothing()])),
            _ => Ok(row),
        }
    };
    jobs.iter().enumerate().map(row).collect()
}
