//! The statements of maintenance, on one session of its own: promotion, rescue, cancel requests,
//! partitions, counts. None of them is on a job's way; each has a deadline all the same.

use super::{Connector, DbError, Session};
use crate::{
    config::Retentions,
    job::{JobId, QueueName},
};
use futures::FutureExt;
use std::time::Duration;
use tokio::sync::Mutex;

/// Rescue scans the table: 0.11 s per million rows, so this is enough for a hundred million.
const SCAN_LIMIT: Duration = Duration::from_secs(30);

/// Jobs that [`Upkeep::promote`] puts in line at once.
pub const PROMOTED_AT_ONCE: u64 = 1000;

/// An instant by the database's clock, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct RunTime(pub f64);

/// What a promotion did.
#[derive(Debug, Clone, Copy)]
pub struct Promoted {
    /// How many jobs were put in line.
    pub rows: u64,
    /// The latest `run_at` among them.
    pub last: Option<RunTime>,
    /// When it looked.
    pub asked_at: RunTime,
}

/// How much waits in a queue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueueCount {
    /// Jobs in line; 10,000 stands for that many or more.
    pub available: i64,
    /// How long the one that is due for longest has waited, of those counted, in seconds.
    pub oldest_seconds: f64,
    /// Whether it is paused.
    pub paused: bool,
}

/// Maintenance's session.
pub struct Upkeep {
    session: Mutex<Session>,
}

impl Upkeep {
    /// Connects at the first statement.
    pub fn new(connector: Connector) -> Self {
        let setup = include_str!("sql/indexed_session.sql");
        Self { session: Mutex::new(Session::new(connector, "maintenance", Some(setup))) }
    }

    /// How far the line reaches.
    pub async fn horizon(&self) -> Result<i64, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/horizon.sql"));
        self.session.lock().await.run(|c| statement.fetch_one(c).boxed()).await
    }

    /// How far the line reaches, and producers ring for `time` from now.
    pub async fn extend_doorbell(&self, time: Duration) -> Result<i64, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/doorbell_extend.sql"));
        let statement = statement.bind(time.as_secs_f64());
        self.session.lock().await.run(|c| statement.fetch_one(c).boxed()).await
    }

    /// Producers stop ringing.
    pub async fn silence_doorbell(&self) -> Result<(), DbError> {
        let statement = sqlx::query(include_str!("sql/doorbell_silence.sql"));
        self.session.lock().await.run(|c| statement.execute(c).boxed()).await.map(drop)
    }

    /// Puts due jobs in line, at most [`PROMOTED_AT_ONCE`], looking from `mark` on.
    pub async fn promote(&self, mark: RunTime) -> Result<Promoted, DbError> {
        let statement = sqlx::query_as(include_str!("sql/promote.sql")).bind(mark.0);
        let (rows, last, asked_at): (i64, Option<f64>, f64) =
            self.session.lock().await.run(|c| statement.fetch_one(c).boxed()).await?;
        let rows = u64::try_from(rows).unwrap_or(0);
        Ok(Promoted { rows, last: last.map(RunTime), asked_at: RunTime(asked_at) })
    }

    /// How long until the next job is due, of those from `mark` on.
    pub async fn next_due(&self, mark: RunTime) -> Result<Option<Duration>, DbError> {
        let statement = sqlx::query_scalar::<_, f64>(include_str!("sql/next_due.sql")).bind(mark.0);
        let seconds =
            self.session.lock().await.run(|c| statement.fetch_optional(c).boxed()).await?;
        Ok(seconds.map(|s| Duration::try_from_secs_f64(s.max(0.0)).unwrap_or(Duration::MAX)))
    }

    /// Declares daemons dead whose lease ran out; gives their ids.
    pub async fn declare_dead(&self, margin: Duration) -> Result<Vec<i64>, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/declare_dead.sql"));
        let statement = statement.bind(margin.as_secs_f64());
        self.session.lock().await.run(|c| statement.fetch_all(c).boxed()).await
    }

    /// Daemons that died within the last hour.
    pub async fn dead(&self) -> Result<Vec<i64>, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/dead_daemons.sql"));
        self.session.lock().await.run(|c| statement.fetch_all(c).boxed()).await
    }

    /// Puts a batch of a dead daemon's jobs back in line; gives how many.
    pub async fn rescue(&self, dead: i64) -> Result<u64, DbError> {
        #[cfg(legwork_seeded_bugs)]
        if crate::seeded::has(crate::seeded::Bug::RescueByStaleList) {
            return self.rescue_by_stale_list(dead).await;
        }
        let statement = sqlx::query(include_str!("sql/rescue.sql")).bind(dead);
        let mut session = self.session.lock().await;
        let done = session.run_within(SCAN_LIMIT, |c| statement.execute(c).boxed()).await;
        done.map(|done| done.rows_affected())
    }

    /// A bug, see `seeded`.
    #[cfg(legwork_seeded_bugs)]
    async fn rescue_by_stale_list(&self, dead: i64) -> Result<u64, DbError> {
        const OTHERS_COME_FIRST: Duration = Duration::from_millis(300);
        let listed = sqlx::query_scalar(include_str!("sql/seeded_rescue_list.sql")).bind(dead);
        let listed: Vec<i64> =
            self.session.lock().await.run(|c| listed.fetch_all(c).boxed()).await?;
        tokio::time::sleep(OTHERS_COME_FIRST).await;
        let statement = sqlx::query(include_str!("sql/seeded_rescue.sql")).bind(listed);
        let done = self.session.lock().await.run(|c| statement.execute(c).boxed()).await;
        done.map(|done| done.rows_affected())
    }

    /// Holders of jobs that no daemon's row stands for.
    pub async fn unknown_holders(&self) -> Result<Vec<i64>, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/unknown_holders.sql"));
        let mut session = self.session.lock().await;
        session.run_within(SCAN_LIMIT, |c| statement.fetch_all(c).boxed()).await
    }

    /// Forgets daemons that died long ago.
    pub async fn forget(&self) -> Result<(), DbError> {
        let statement = sqlx::query(include_str!("sql/forget_daemons.sql"));
        self.session.lock().await.run(|c| statement.execute(c).boxed()).await.map(drop)
    }

    /// Running jobs of `holder` that somebody wants stopped.
    pub async fn cancel_requests(&self, holder: i64) -> Result<Vec<(JobId, i64)>, DbError> {
        let statement = sqlx::query_as(include_str!("sql/cancel_requests.sql")).bind(holder);
        let rows: Vec<(i64, i64)> =
            self.session.lock().await.run(|c| statement.fetch_all(c).boxed()).await?;
        Ok(rows.into_iter().map(|(id, token)| (JobId(id), token)).collect())
    }

    /// Tells the database how long a queue's history is kept.
    pub async fn publish(&self, queue: &QueueName, kept: Retentions) -> Result<(), DbError> {
        let statement = sqlx::query(include_str!("sql/publish_queue.sql"))
            .bind(queue.as_str().to_owned())
            .bind(kept.completed.days().unwrap_or(0))
            .bind(kept.cancelled.days().unwrap_or(0))
            .bind(kept.discarded.days().unwrap_or(0));
        self.session.lock().await.run(|c| statement.execute(c).boxed()).await.map(drop)
    }

    /// Makes history's next days.
    pub async fn make_partitions(&self, days: i32) -> Result<(), DbError> {
        let statement = sqlx::query(include_str!("sql/make_partitions.sql")).bind(days);
        self.session.lock().await.run(|c| statement.execute(c).boxed()).await.map(drop)
    }

    /// History's days that are past.
    pub async fn droppable_partitions(&self) -> Result<Vec<String>, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/droppable_partitions.sql"));
        self.session.lock().await.run(|c| statement.fetch_all(c).boxed()).await
    }

    /// Drops one of them.
    pub async fn drop_partition(&self, name: String) -> Result<(), DbError> {
        let statement = sqlx::query(include_str!("sql/drop_partition.sql")).bind(name);
        self.session.lock().await.run(|c| statement.execute(c).boxed()).await.map(drop)
    }

    /// How much waits in a queue.
    pub async fn count(&self, queue: &QueueName) -> Result<QueueCount, DbError> {
        let statement = sqlx::query_as(include_str!("sql/queue_counts.sql"));
        let statement = statement.bind(queue.as_str().to_owned());
        let (available, oldest_seconds, paused) =
            self.session.lock().await.run(|c| statement.fetch_one(c).boxed()).await?;
        Ok(QueueCount { available, oldest_seconds, paused })
    }

    /// Whether nothing of these kinds is in line or runs.
    pub async fn nothing_left(&self, queue: &QueueName, kinds: &[String]) -> Result<bool, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/nothing_left.sql"));
        let statement = statement.bind(queue.as_str().to_owned()).bind(kinds.to_vec());
        self.session.lock().await.run(|c| statement.fetch_one(c).boxed()).await
    }
}
