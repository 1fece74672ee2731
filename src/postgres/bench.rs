//! What the benchmark asks of a server: a database of its own, a preload, and counters.
//!
//! It exists because only this room speaks SQL. Nothing of it is shared with the daemon, whose
//! statements are what is measured, but the way in: COPY by the sink that `enqueue` uses, and the
//! plain INSERT of a producer.

use super::{
    Connector, DbError, Session,
    enqueue::{EnqueueError, EnqueueSink, NewJob},
};
use crate::job::KindName;
use futures::FutureExt;
use sqlx::AssertSqlSafe;
use std::{ops::Range, time::Duration};

/// Longest that one statement of a benchmark may take: VACUUM and CHECKPOINT after a large preload.
const STATEMENT_LIMIT: Duration = Duration::from_mins(5);

/// Rows between two words about how far a preload is.
const REPORT_EVERY: u64 = 1024;

/// A session of the benchmark's own.
pub struct BenchSession {
    connector: Connector,
    session: Session,
}

impl BenchSession {
    /// Connects at its first statement.
    pub fn new(connector: Connector) -> Self {
        let session = Session::new(connector.clone(), "bench", None);
        Self { connector, session }
    }

    /// Makes an empty database.
    pub async fn create_database(&mut self, name: &str) -> Result<(), DbError> {
        self.about_database(include_str!("sql/bench_create_database.sql"), name).await
    }

    /// Drops it, whoever is connected.
    pub async fn drop_database(&mut self, name: &str) -> Result<(), DbError> {
        self.about_database(include_str!("sql/bench_drop_database.sql"), name).await
    }

    /// Neither statement takes parameters, so the server makes their text first, and quotes the name.
    async fn about_database(&mut self, wording: &'static str, name: &str) -> Result<(), DbError> {
        let worded = sqlx::query_scalar::<_, String>(wording).bind(name.to_owned());
        let statement = self.within(|c| worded.fetch_one(c).boxed()).await?;
        let statement = sqlx::raw_sql(AssertSqlSafe(statement));
        self.within(|c| statement.execute(c).boxed()).await.map(drop)
    }

    /// Enqueues jobs numbered in their payloads by one COPY.
    pub async fn preload(
        &self,
        kind: &KindName,
        numbers: Range<u64>,
        mut pushed: impl FnMut(u64),
    ) -> Result<u64, EnqueueError> {
        let mut connection = self
            .connector
            .connect("bench preload")
            .await
            .map_err(|error| EnqueueError::Begin(sqlx::Error::Configuration(error.into())))?;
        let mut sink = EnqueueSink::begin(&mut connection).await?;
        let mut job = NewJob::new(kind.clone());
        for number in numbers {
            job.payload = Some(payload(number));
            sink.push(&job).await?;
            if sink.pushed() % REPORT_EVERY == 0 {
                pushed(sink.pushed());
            }
        }
        sink.finish().await
    }

    /// Enqueues one job as a producer does.
    pub async fn insert(&mut self, number: u64) -> Result<(), DbError> {
        let insert = sqlx::query(include_str!("sql/bench_insert.sql")).bind(payload(number));
        self.within(|c| insert.execute(c).boxed()).await.map(drop)
    }

    /// Brings statistics up to date and the disk to rest.
    pub async fn settle(&mut self) -> Result<(), DbError> {
        let vacuum = sqlx::raw_sql(include_str!("sql/bench_vacuum.sql"));
        self.within(|c| vacuum.execute(c).boxed()).await?;
        let checkpoint = sqlx::raw_sql(include_str!("sql/bench_checkpoint.sql"));
        self.within(|c| checkpoint.execute(c).boxed()).await.map(drop)
    }

    /// Whether no job is unfinished.
    pub async fn is_empty(&mut self) -> Result<bool, DbError> {
        let look = sqlx::query_scalar(include_str!("sql/bench_is_empty.sql"));
        self.within(|c| look.fetch_one(c).boxed()).await
    }

    /// Bytes of WAL that the cluster has written.
    pub async fn wal_bytes(&mut self) -> Result<i64, DbError> {
        let look = sqlx::query_scalar(include_str!("sql/bench_wal.sql"));
        self.within(|c| look.fetch_one(c).boxed()).await
    }

    /// The server's first process, where we may know it.
    pub async fn postmaster(&mut self) -> Option<u32> {
        let look = sqlx::query_scalar::<_, i32>(include_str!("sql/bench_postmaster.sql"));
        let pid = self.within(|c| look.fetch_one(c).boxed()).await.ok()?;
        u32::try_from(pid).ok()
    }

    async fn within<T>(
        &mut self,
        statement: impl for<'c> FnOnce(
            &'c mut super::link::Link,
        )
            -> futures::future::BoxFuture<'c, Result<T, sqlx::Error>>,
    ) -> Result<T, DbError> {
        self.session.run_within("bench", STATEMENT_LIMIT, statement).await
    }
}

/// The payload of a numbered job.
fn payload(number: u64) -> String {
    format!("{{\"seq\":{number}}}")
}
