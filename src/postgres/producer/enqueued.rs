//! What is enqueued, as a test of a producer looks at it.

use crate::{
    job::JobId,
    postgres::operations::{Connection, OperationError},
};
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

/// An unfinished job, as its producer wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnqueuedJob {
    /// Its number.
    pub id: JobId,
    /// The queue that it waits in.
    pub queue: String,
    /// −2 … 2, lower runs first.
    pub priority: i16,
    /// Its input, as JSON text.
    pub payload: String,
    /// Not before this moment.
    pub run_at: OffsetDateTime,
    /// Its own limit; absent is the kind's.
    pub max_attempts: Option<i16>,
    /// At most one unfinished job of the queue has it.
    pub unique_key: Option<String>,
    /// Words to filter by.
    pub tags: Vec<String>,
    /// An object as JSON text.
    pub metadata: Option<String>,
}

impl EnqueuedJob {
    /// Its input in the type that its handler takes.
    pub fn payload<P: DeserializeOwned>(&self) -> Result<P, serde_json::Error> {
        serde_json::from_str(&self.payload)
    }
}

type Row = (
    i64,
    String,
    i16,
    String,
    OffsetDateTime,
    Option<i16>,
    Option<String>,
    Option<Vec<String>>,
    Option<String>,
);

/// The unfinished jobs of a kind behind this one, in the order of their numbers, a thousand at most.
pub async fn enqueued(
    connection: &mut Connection,
    kind: &str,
    after: JobId,
) -> Result<Vec<EnqueuedJob>, OperationError> {
    let rows = sqlx::query_as::<_, Row>(include_str!("../sql/enqueued.sql"))
        .bind(kind)
        .bind(after.0)
        .fetch_all(connection)
        .await
        .map_err(OperationError::ListJobs)?;
    let job = |row: Row| EnqueuedJob {
        id: JobId(row.0),
        queue: row.1,
        priority: row.2,
        payload: row.3,
        run_at: row.4,
        max_attempts: row.5,
        unique_key: row.6,
        tags: row.7.unwrap_or_default(),
        metadata: row.8,
    };
    Ok(rows.into_iter().map(job).collect())
}

/// The kinds of unfinished jobs, a hundred at most.
pub async fn enqueued_kinds(connection: &mut Connection) -> Result<Vec<String>, OperationError> {
    sqlx::query_scalar(include_str!("../sql/enqueued_kinds.sql"))
        .fetch_all(connection)
        .await
        .map_err(OperationError::ListJobs)
}
