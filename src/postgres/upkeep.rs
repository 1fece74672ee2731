//! The statements of maintenance: promotion, rescue, cancel requests, partitions, counts. None of them
//! is on a job's way; each has a deadline all the same.
//!
//! They share two sessions, since what is short and walks an index mustn't wait for what scans, counts
//! or waits for a table's lock: a job is promoted and cancelled on time while a rescue reads millions of
//! rows.

mod expiry;
mod rescue;
mod schedule;

pub use schedule::{Hold, LEFT_FOR, Looked, ScheduleRow, Step, Stepped};

use super::{Connector, DbError, Session, apart, migrate::SchemaCheck};
use crate::{
    config::Retentions,
    job::{JobId, KindName, QueueName},
    supervise::{self, WaitPoint, at},
};
use futures::FutureExt;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// Rescue scans the table: 0.11 s per million rows, so this is enough for a hundred million.
pub(super) const SCAN_LIMIT: Duration = Duration::from_secs(30);

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

/// When the next waiting job is due.
#[derive(Debug, Clone, Copy)]
pub struct NextDue {
    /// When it was asked.
    pub asked_at: RunTime,
    /// How long it is from then; none where nothing waits.
    pub wait: Option<Duration>,
}

/// How much waits in a queue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueueCount {
    /// Jobs in line; 10,000 stands for that many or more.
    pub available: i64,
    /// Those of them whose kind nobody asked about.
    pub unserved: i64,
    /// How long the one that is due for longest has waited, of those counted, in seconds.
    pub oldest_seconds: f64,
    /// Whether it is paused.
    pub paused: bool,
}

/// How many jobs of a queue wait for their time, of the 10,000 over all queues that are due next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingCount {
    /// Which queue.
    pub queue: String,
    /// Whether they have failed before, and wait for their backoff.
    pub retryable: bool,
    /// How many.
    pub jobs: i64,
}

/// Maintenance's sessions.
pub struct Upkeep {
    /// For what is short: the line's end and the doorbell, promotion, expiry, cancel requests, deaths.
    brief: Mutex<Session>,
    /// For what takes its time: rescue, unknown holders, counts, history's days.
    survey: Mutex<Session>,
}

impl Upkeep {
    /// Connects at the first statement.
    pub fn new(connector: Connector) -> Self {
        let setup = Some(include_str!("sql/indexed_session.sql"));
        let brief = Session::new(connector.clone(), "maintenance", setup);
        let survey = Session::new(connector, "survey", setup);
        Self { brief: Mutex::new(brief), survey: Mutex::new(survey) }
    }

    // Whoever waits for his turn stands still by right: it is the one before him whose step must end.

    async fn brief(&self) -> MutexGuard<'_, Session> {
        at(WaitPoint::SessionTurn, supervise::waiting(self.brief.lock())).await
    }

    async fn survey(&self) -> MutexGuard<'_, Session> {
        at(WaitPoint::SessionTurn, supervise::waiting(self.survey.lock())).await
    }

    /// How far the line reaches.
    pub async fn horizon(&self) -> Result<i64, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/horizon.sql"));
        self.brief().await.run("horizon", |c| statement.fetch_one(c).boxed()).await
    }

    /// How far the line reaches, and producers ring for `time` from now.
    pub async fn extend_doorbell(&self, time: Duration) -> Result<i64, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/doorbell_extend.sql"));
        let statement = statement.bind(time.as_secs_f64());
        self.brief().await.run("doorbell_extend", |c| statement.fetch_one(c).boxed()).await
    }

    /// Enqueues a queue's canary, unless one is on its way or the queue is paused; says whether it did.
    pub async fn send_canary(&self, queue: &QueueName) -> Result<bool, DbError> {
        let statement = sqlx::query_scalar::<_, i64>(include_str!("sql/canary.sql"));
        let statement = statement.bind(queue.to_string()).bind(KindName::CANARY);
        let sent =
            self.brief().await.run("canary", |c| statement.fetch_optional(c).boxed()).await?;
        Ok(sent.is_some())
    }

    /// Producers stop ringing.
    pub async fn silence_doorbell(&self) -> Result<(), DbError> {
        let statement = sqlx::query(include_str!("sql/doorbell_silence.sql"));
        self.brief().await.run("doorbell_silence", |c| statement.execute(c).boxed()).await.map(drop)
    }

    /// Puts due jobs in line, at most [`PROMOTED_AT_ONCE`], looking from `mark` on.
    pub async fn promote(&self, mark: RunTime) -> Result<Promoted, DbError> {
        let statement = sqlx::query_as(include_str!("sql/promote.sql")).bind(mark.0);
        let (rows, last, asked_at): (i64, Option<f64>, f64) =
            self.brief().await.run("promote", |c| statement.fetch_one(c).boxed()).await?;
        let rows = u64::try_from(rows).unwrap_or(0);
        Ok(Promoted { rows, last: last.map(RunTime), asked_at: RunTime(asked_at) })
    }

    /// Puts every due job in line, looking from `mark` on, but those that the database refuses; gives
    /// how many. For when [`promote`](Self::promote) was refused.
    pub async fn promote_apart(&self, mark: RunTime) -> Result<u64, DbError> {
        let (mut promoted, mut left) = (0, 0);
        loop {
            // For one page at a time: others have their turn, however many the database refuses.
            let session = &mut *self.brief().await;
            let due = sqlx::query_scalar(include_str!("sql/due.sql")).bind(mark.0).bind(left);
            let jobs: Vec<i64> = session.run("due", |c| due.fetch_all(c).boxed()).await?;
            if jobs.is_empty() {
                return Ok(promoted);
            }
            let looked_at = jobs.len();
            let statement = |jobs| sqlx::query(include_str!("sql/promote_these.sql")).bind(jobs);
            let parted =
                apart::all_but_the_refused(session, "promote_these", jobs, statement).await?;
            promoted += parted.changed;
            left += parted.left_of(looked_at);
        }
    }

    /// When the next waiting job is due, of those from `mark` on.
    pub async fn next_due(&self, mark: RunTime) -> Result<NextDue, DbError> {
        let statement = sqlx::query_as(include_str!("sql/next_due.sql")).bind(mark.0);
        let (asked_at, next): (f64, Option<f64>) =
            self.brief().await.run("next_due", |c| statement.fetch_one(c).boxed()).await?;
        let pause = |s: f64| Duration::try_from_secs_f64(s.max(0.0)).unwrap_or(Duration::MAX);
        Ok(NextDue { asked_at: RunTime(asked_at), wait: next.map(pause) })
    }

    /// Declares daemons dead whose lease ran out. Gives these (`true`) and all that died within the
    /// last hour.
    pub async fn declare_dead(&self, margin: Duration) -> Result<Vec<(i64, bool)>, DbError> {
        let statement = sqlx::query_as(include_str!("sql/declare_dead.sql"));
        let statement = statement.bind(margin.as_secs_f64());
        self.brief().await.run("declare_dead", |c| statement.fetch_all(c).boxed()).await
    }

    /// Holders of jobs that no daemon's row stands for.
    pub async fn unknown_holders(&self) -> Result<Vec<i64>, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/unknown_holders.sql"));
        let mut session = self.survey().await;
        session.run_within("unknown_holders", SCAN_LIMIT, |c| statement.fetch_all(c).boxed()).await
    }

    /// Deletes answers to requests that are a day old, so many at most; says how many those were.
    pub async fn forget_requests(&self, most: u64) -> Result<u64, DbError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let statement = sqlx::query(include_str!("sql/forget_requests.sql")).bind(most);
        let mut session = self.survey().await;
        let done = session.run("forget_requests", |c| statement.execute(c).boxed()).await?;
        Ok(done.rows_affected())
    }

    /// Forgets daemons that died long ago.
    pub async fn forget(&self) -> Result<(), DbError> {
        let statement = sqlx::query(include_str!("sql/forget_daemons.sql"));
        self.survey().await.run("forget_daemons", |c| statement.execute(c).boxed()).await.map(drop)
    }

    /// Deletes the oldest notes of what people changed that are past their time, at most so many; gives how
    /// many.
    pub async fn prune_audit(&self, most: i32) -> Result<i32, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/prune_audit.sql")).bind(most);
        self.survey().await.run("prune_audit", |c| statement.fetch_one(c).boxed()).await
    }

    /// Running jobs of `holder` that somebody wants stopped.
    pub async fn cancel_requests(&self, holder: i64) -> Result<Vec<(JobId, i64)>, DbError> {
        let statement = sqlx::query_as(include_str!("sql/cancel_requests.sql")).bind(holder);
        let rows: Vec<(i64, i64)> =
            self.brief().await.run("cancel_requests", |c| statement.fetch_all(c).boxed()).await?;
        Ok(rows.into_iter().map(|(id, token)| (JobId(id), token)).collect())
    }

    /// Tells the database how long a queue's history is kept.
    pub async fn publish(&self, queue: &QueueName, kept: Retentions) -> Result<(), DbError> {
        let statement = sqlx::query(include_str!("sql/publish_queue.sql"))
            .bind(queue.as_str().to_owned())
            .bind(kept.completed.days().unwrap_or(0))
            .bind(kept.cancelled.days().unwrap_or(0))
            .bind(kept.discarded.days().unwrap_or(0));
        self.survey().await.run("publish_queue", |c| statement.execute(c).boxed()).await.map(drop)
    }

    /// Makes history's next days; gives how many partitions were missing.
    pub async fn make_partitions(&self, days: i32) -> Result<i32, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/make_partitions.sql")).bind(days);
        self.survey().await.run("make_partitions", |c| statement.fetch_one(c).boxed()).await
    }

    /// Partitions of history that aren't there, of those for jobs that are kept for so many days from
    /// today on.
    pub async fn missing_days(&self, days: &[i32]) -> Result<Vec<String>, DbError> {
        let statement =
            sqlx::query_scalar(include_str!("sql/missing_days.sql")).bind(days.to_vec());
        self.survey().await.run("missing_days", |c| statement.fetch_all(c).boxed()).await
    }

    /// Makes history's partitions for jobs that are kept for so many days from today on.
    pub async fn make_days(&self, days: &[i32]) -> Result<(), DbError> {
        let statement = sqlx::query(include_str!("sql/make_days.sql")).bind(days.to_vec());
        self.survey().await.run("make_days", |c| statement.execute(c).boxed()).await.map(drop)
    }

    /// History's days that are past.
    pub async fn droppable_partitions(&self) -> Result<Vec<String>, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/droppable_partitions.sql"));
        self.survey().await.run("droppable_partitions", |c| statement.fetch_all(c).boxed()).await
    }

    /// Drops one of them.
    pub async fn drop_partition(&self, name: String) -> Result<(), DbError> {
        let statement = sqlx::query(include_str!("sql/drop_partition.sql")).bind(name);
        self.survey().await.run("drop_partition", |c| statement.execute(c).boxed()).await.map(drop)
    }

    /// How much waits in each of these queues, in their order, and how much of it is of other kinds.
    pub async fn count(
        &self,
        queues: Vec<String>,
        kinds: Vec<String>,
    ) -> Result<Vec<QueueCount>, DbError> {
        let statement =
            sqlx::query_as(include_str!("sql/queue_counts.sql")).bind(queues).bind(kinds);
        let mut session = self.survey().await;
        let rows: Vec<(i64, i64, f64, bool)> =
            session.run("queue_counts", |c| statement.fetch_all(c).boxed()).await?;
        let count = |(available, unserved, oldest_seconds, paused)| QueueCount {
            available,
            unserved,
            oldest_seconds,
            paused,
        };
        Ok(rows.into_iter().map(count).collect())
    }

    /// How much waits for its time.
    pub async fn waiting(&self) -> Result<Vec<WaitingCount>, DbError> {
        let statement = sqlx::query_as(include_str!("sql/waiting_counts.sql"));
        let mut session = self.survey().await;
        let rows: Vec<(String, bool, i64)> =
            session.run("waiting_counts", |c| statement.fetch_all(c).boxed()).await?;
        let count = |(queue, retryable, jobs)| WaitingCount { queue, retryable, jobs };
        Ok(rows.into_iter().map(count).collect())
    }

    /// How much is in line in other queues than these.
    pub async fn outside(&self, queues: &[String]) -> Result<i64, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/unserved_counts.sql"));
        let statement = statement.bind(queues.to_vec());
        self.survey().await.run("unserved_counts", |c| statement.fetch_one(c).boxed()).await
    }

    /// Where the schema stands, as a daemon of this binary sees it while it runs.
    pub async fn schema(&self) -> Result<SchemaCheck, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/schema_version.sql"));
        let found =
            self.survey().await.run("schema_version", |c| statement.fetch_one(c).boxed()).await;
        match found {
            Ok(version) => Ok(SchemaCheck::of(version)),
            Err(error) if is_missing(&error) => Ok(SchemaCheck::Missing),
            Err(error) => Err(error),
        }
    }

    /// Whether nothing of these kinds is in line or runs.
    pub async fn nothing_left(&self, queue: &QueueName, kinds: &[String]) -> Result<bool, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/nothing_left.sql"));
        let statement = statement.bind(queue.as_str().to_owned()).bind(kinds.to_vec());
        self.survey().await.run("nothing_left", |c| statement.fetch_one(c).boxed()).await
    }
}

/// Whether there is no such table, or no such schema.
fn is_missing(error: &DbError) -> bool {
    error.sqlstate().is_some_and(|code| code == "42P01" || code == "3F000")
}
