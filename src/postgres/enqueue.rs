//! Enqueues many jobs by one COPY: all of them or none.
//!
//! COPY costs the server half of what an INSERT of many rows does, needs no statement per batch, and
//! one statement is one transaction: whoever is told a number knows that exactly so many jobs exist.
//! Memory is one buffer, whatever the number of jobs.
//!
//! It checks nothing that the database's domains check, and it can't skip jobs whose unique key is
//! taken: COPY knows no ON CONFLICT.

mod defaults;
mod encode;
pub mod line;
pub mod lines;

pub use defaults::Defaults;
pub(in crate::postgres) use encode::interval_text;
pub use encode::row as encode_row;

use super::{
    operations::{Nature, is_forbidden, is_no_answer},
    producer::{BrokenRule, broken_in_database},
    roles,
};
use crate::job::{KindName, QueueName};
use sqlx::postgres::{PgConnection, PgCopyIn};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::timeout;

/// Encoded rows that are gathered before they are sent, in bytes. Above it a message costs no less
/// per row; one row of the largest payload is sent as it is.
const BUFFER_BYTES: usize = 64 * 1024;

/// How long the database may take no data, or take to commit. A checkpoint on a slow disk takes seconds.
const STALL_TIMEOUT: Duration = Duration::from_mins(1);

/// A job that doesn't exist yet. What is absent takes the database's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// What runs it.
    pub kind: KindName,
    /// Its input, as JSON text; absent is `{}`.
    pub payload: Option<String>,
    /// Where it waits; absent is `default`.
    pub queue: Option<QueueName>,
    /// Not before this moment; absent is now, by the database's clock.
    pub run_at: Option<OffsetDateTime>,
    /// −2 … 2, lower runs first; absent is 0.
    pub priority: Option<i16>,
    /// The job's own limit; absent is the kind's.
    pub max_attempts: Option<u16>,
    /// At most one unfinished job of a queue has it.
    pub unique_key: Option<String>,
    /// The job's own limit on an attempt; absent is the kind's.
    pub timeout: Option<Duration>,
    /// Discarded if it hasn't started by then.
    pub expires_at: Option<OffsetDateTime>,
    /// For people to filter by.
    pub tags: Vec<String>,
    /// A JSON object as text.
    pub metadata: Option<String>,
}

impl NewJob {
    /// A job of this kind with nothing but defaults.
    pub fn new(kind: KindName) -> Self {
        Self {
            kind,
            payload: None,
            queue: None,
            run_at: None,
            priority: None,
            max_attempts: None,
            unique_key: None,
            timeout: None,
            expires_at: None,
            tags: Vec::new(),
            metadata: None,
        }
    }
}

/// Why jobs weren't enqueued. Whichever it is, none of them was, except where the commit's answer was
/// lost.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    /// COPY was refused before the first row.
    #[error("couldn't begin to enqueue")]
    Begin(#[source] sqlx::Error),
    /// The connection broke while rows were sent.
    #[error("couldn't send jobs to the database")]
    Send(#[source] sqlx::Error),
    /// The database refused a row.
    #[error("the database refused job {row} of this batch, so none was enqueued")]
    Refused {
        /// Counted from 1.
        row: u64,
        /// The rule that it broke.
        #[source]
        source: sqlx::Error,
    },
    /// The end of the COPY failed in another way.
    #[error("couldn't finish enqueueing; if the connection broke, the jobs may exist")]
    Finish(#[source] sqlx::Error),
    /// The database took nothing more.
    #[error("the database took no data for {} s; nothing was enqueued unless it comes back", limit.as_secs())]
    Stalled {
        /// How long was waited.
        limit: Duration,
    },
    /// The end was sent, and the database didn't answer.
    #[error("the database didn't answer within {} s of the last job", limit.as_secs())]
    Unanswered {
        /// How long was waited.
        limit: Duration,
    },
    /// Giving up failed: the connection must not be used again.
    #[error("couldn't take back the jobs that were sent")]
    Abort(#[source] sqlx::Error),
}

const STALLED: EnqueueError = EnqueueError::Stalled { limit: STALL_TIMEOUT };

impl EnqueueError {
    /// Whether the jobs may be there all the same: the end was sent, and nobody said what became of it.
    pub fn may_be_done(&self) -> bool {
        match self {
            Self::Finish(error) => is_no_answer(error),
            Self::Unanswered { .. } => true,
            _ => false,
        }
    }

    /// The role whose rights the session lacks, where that is why nothing was enqueued.
    pub fn missing_role(&self) -> Option<&'static str> {
        is_forbidden(self).then_some(roles::ENQUEUE)
    }

    /// The rule of a column that was broken, where that is why.
    pub fn broken_rule(&self) -> Option<BrokenRule> {
        match self {
            Self::Refused { source, .. } | Self::Finish(source) => broken_in_database(source),
            _ => None,
        }
    }

    /// SQLSTATE, where the database gave one.
    pub fn sqlstate(&self) -> Option<String> {
        let cause = std::error::Error::source(self)?.downcast_ref::<sqlx::Error>()?;
        cause.as_database_error()?.code().map(Into::into)
    }

    /// What kind of failure it is, for whoever branches.
    pub fn nature(&self) -> Nature {
        match self {
            Self::Begin(source)
            | Self::Send(source)
            | Self::Refused { source, .. }
            | Self::Finish(source)
            | Self::Abort(source) => Nature::of(source),
            Self::Stalled { .. } | Self::Unanswered { .. } => Nature::Unreachable,
        }
    }
}

/// A COPY under way. Dropped without [`finish`](Self::finish), or in the middle of it, it enqueues
/// all or nothing; its connection may be left in the COPY and refuse what comes next, so it goes, too.
#[must_use = "nothing is enqueued until `finish`"]
pub struct EnqueueSink<'c> {
    copy: PgCopyIn<&'c mut PgConnection>,
    buffer: Vec<u8>,
    pushed: u64,
}

impl<'c> EnqueueSink<'c> {
    /// Begins.
    pub async fn begin(connection: &'c mut PgConnection) -> Result<Self, EnqueueError> {
        let statement = include_str!("sql/copy_jobs.sql");
        let begun = timeout(STALL_TIMEOUT, connection.copy_in_raw(statement)).await;
        let copy = begun.map_err(|_| STALLED)?.map_err(EnqueueError::Begin)?;
        Ok(Self { copy, buffer: Vec::with_capacity(2 * BUFFER_BYTES), pushed: 0 })
    }

    /// Adds one job.
    pub async fn push(&mut self, job: &NewJob) -> Result<(), EnqueueError> {
        encode::row(job, &mut self.buffer);
        self.pushed += 1;
        if self.buffer.len() >= BUFFER_BYTES {
            self.send().await?;
        }
        Ok(())
    }

    /// How many jobs were added.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Commits and returns how many jobs exist now because of it.
    pub async fn finish(mut self) -> Result<u64, EnqueueError> {
        self.send().await?;
        let finished = timeout(STALL_TIMEOUT, self.copy.finish()).await;
        let unanswered = |_| EnqueueError::Unanswered { limit: STALL_TIMEOUT };
        finished.map_err(unanswered)?.map_err(refused)
    }

    /// Gives up: no job of this sink exists.
    pub async fn abort(self, why: &str) -> Result<(), EnqueueError> {
        match timeout(STALL_TIMEOUT, self.copy.abort(why)).await.map_err(|_| STALLED)? {
            // Where the server had refused a row already, that is an abort too.
            Ok(()) | Err(sqlx::Error::Database(_)) => Ok(()),
            Err(error) => Err(EnqueueError::Abort(error)),
        }
    }

    async fn send(&mut self) -> Result<(), EnqueueError> {
        let sent = timeout(STALL_TIMEOUT, self.copy.send(self.buffer.as_slice())).await;
        sent.map_err(|_| STALLED)?.map_err(EnqueueError::Send)?;
        self.buffer.clear();
        Ok(())
    }
}

/// Postgres names the row of a COPY in the error's context: `COPY job, line 7, column payload: …`.
fn refused(error: sqlx::Error) -> EnqueueError {
    let context = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>())
        .and_then(|error| error.r#where());
    match context.and_then(row_of) {
        Some(row) => EnqueueError::Refused { row, source: error },
        None => EnqueueError::Finish(error),
    }
}

fn row_of(context: &str) -> Option<u64> {
    let (_, rest) = context.split_once("COPY job, line ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::row_of;
    use rstest::rstest;

    #[rstest]
    #[case::a_rule("COPY job, line 7, column payload: \"{\"", Some(7))]
    #[case::a_unique_key("COPY job, line 70001", Some(70_001))]
    #[case::inside_a_function("SQL function \"x\"\nCOPY job, line 3: \"…\"", Some(3))]
    #[case::something_else("PL/pgSQL function ring() line 3 at IF", None)]
    fn the_row_is_read_from_the_context(#[case] context: &str, #[case] row: Option<u64>) {
        assert_eq!(row_of(context), row);
    }
}
