//! What the benchmark asks of a server: a database of its own, a preload, and counters.
//!
//! It exists because only this room speaks SQL. Nothing of it is shared with the daemon, whose
//! statements are what is measured, but the way in: COPY by the sink that `enqueue` uses, and the
//! plain INSERT of a producer.

use super::{
    Connector, DbError, Session,
    enqueue::{EnqueueError, EnqueueSink, NewJob, encode_row},
};
use crate::job::QueueName;
use futures::FutureExt;
use sqlx::{AssertSqlSafe, PgConnection};
use std::{collections::BTreeMap, ops::Range, time::Duration};

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

    /// Enqueues jobs like this one, numbered in their payloads, by one COPY.
    pub async fn preload(
        &self,
        like: &NewJob,
        numbers: Range<u64>,
        mut pushed: impl FnMut(u64),
    ) -> Result<u64, EnqueueError> {
        let mut connection = self.connect("bench preload").await?;
        let mut sink = EnqueueSink::begin(&mut connection).await?;
        let mut job = like.clone();
        for number in numbers {
            job.payload = Some(payload(number));
            sink.push(&job).await?;
            if sink.pushed() % REPORT_EVERY == 0 {
                pushed(sink.pushed());
            }
        }
        sink.finish().await
    }

    /// Copies as many such rows into the bare table. They are in COPY's form before `ready` is called.
    pub async fn copy_bare(
        &self,
        like: &NewJob,
        numbers: Range<u64>,
        ready: impl AsyncFnOnce(),
    ) -> Result<u64, EnqueueError> {
        let (mut rows, mut job) = (Vec::new(), like.clone());
        for number in numbers {
            job.payload = Some(payload(number));
            encode_row(&job, &mut rows);
        }
        let mut connection = self.connect("bench copy").await?;
        ready().await;
        let statement = include_str!("sql/bench_bare_copy.sql");
        let mut copy = connection.copy_in_raw(statement).await.map_err(EnqueueError::Begin)?;
        copy.send(rows).await.map_err(EnqueueError::Send)?;
        copy.finish().await.map_err(EnqueueError::Finish)
    }

    async fn connect(&self, role: &str) -> Result<PgConnection, EnqueueError> {
        let connected = self.connector.connect(role).await;
        connected.map_err(|error| EnqueueError::Begin(sqlx::Error::Configuration(error.into())))
    }

    /// Enqueues one job as a producer does.
    pub async fn insert(&mut self, number: u64) -> Result<(), DbError> {
        self.insert_by(include_str!("sql/bench_insert.sql"), number).await
    }

    /// Makes the table that has the columns and indexes of `legwork.job` and nothing else.
    pub async fn make_bare_table(&mut self) -> Result<(), DbError> {
        let make = sqlx::raw_sql(include_str!("sql/bench_bare_table.sql"));
        self.within(|c| make.execute(c).boxed()).await.map(drop)
    }

    /// The same INSERT into that table.
    pub async fn insert_bare(&mut self, number: u64) -> Result<(), DbError> {
        self.insert_by(include_str!("sql/bench_bare_insert.sql"), number).await
    }

    async fn insert_by(&mut self, statement: &'static str, number: u64) -> Result<(), DbError> {
        let insert = sqlx::query(statement).bind(payload(number));
        self.within(|c| insert.execute(c).boxed()).await.map(drop)
    }

    /// Forgets the daemons that have ended.
    pub async fn forget_daemons(&mut self) -> Result<(), DbError> {
        let forget = sqlx::raw_sql(include_str!("sql/bench_forget.sql"));
        self.within(|c| forget.execute(c).boxed()).await.map(drop)
    }

    /// Stops a queue.
    pub async fn pause(&mut self, queue: &QueueName) -> Result<(), DbError> {
        let pause = sqlx::query(include_str!("sql/bench_pause.sql")).bind(queue.to_string());
        self.within(|c| pause.execute(c).boxed()).await.map(drop)
    }

    /// Holds a snapshot for as long as this session lives: dead rows stay from now on.
    pub async fn pin(&mut self) -> Result<(), DbError> {
        let pin = sqlx::raw_sql(include_str!("sql/bench_pin.sql"));
        self.within(|c| pin.execute(c).boxed()).await.map(drop)
    }

    /// Dead rows of the tables that jobs pass through, as the server counts them.
    pub async fn dead_rows(&mut self) -> Result<i64, DbError> {
        let look = sqlx::query_scalar(include_str!("sql/bench_dead.sql"));
        self.within(|c| look.fetch_one(c).boxed()).await
    }

    /// Connections of daemons to this database.
    pub async fn connections(&mut self) -> Result<i64, DbError> {
        let look = sqlx::query_scalar(include_str!("sql/bench_connections.sql"));
        self.within(|c| look.fetch_one(c).boxed()).await
    }

    /// The settings of the server that figures depend on.
    pub async fn server_settings(&mut self) -> Result<BTreeMap<String, String>, DbError> {
        let look = sqlx::query_scalar::<_, String>(include_str!("sql/bench_server.sql"));
        let json = self.within(|c| look.fetch_one(c).boxed()).await?;
        Ok(serde_json::from_str(&json).unwrap_or_default())
    }

    /// Brings statistics up to date and the disk to rest.
    pub async fn settle(&mut self) -> Result<(), DbError> {
        self.analyse().await?;
        self.checkpoint().await
    }

    /// Brings statistics up to date.
    pub async fn analyse(&mut self) -> Result<(), DbError> {
        let vacuum = sqlx::raw_sql(include_str!("sql/bench_vacuum.sql"));
        self.within(|c| vacuum.execute(c).boxed()).await.map(drop)
    }

    /// Brings the disk to rest.
    pub async fn checkpoint(&mut self) -> Result<(), DbError> {
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
