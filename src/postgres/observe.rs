//! What the demo asks of its own database.

use super::{
    Connector, DbError, Session,
    enqueue::{EnqueueError, EnqueueSink, NewJob},
};
use futures::FutureExt;
use tokio::sync::Mutex;

/// One row of the people's view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedJob {
    /// Which.
    pub id: i64,
    /// Where it stands.
    pub state: String,
    /// Its lane.
    pub queue: String,
    /// What runs it.
    pub kind: String,
    /// Charged attempts.
    pub attempt: i16,
    /// Its tags.
    pub tags: Vec<String>,
}

/// How many jobs of one state are in one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedCount {
    /// Where they stand.
    pub state: String,
    /// Their lane.
    pub queue: String,
    /// How many.
    pub jobs: usize,
    /// Charged attempts of all of them.
    pub attempts: i64,
}

/// Looks at a database's jobs, on a session of its own.
pub struct Observer {
    connector: Connector,
    session: Mutex<Session>,
}

impl Observer {
    /// Connects at the first question.
    pub fn new(connector: Connector) -> Self {
        let session = Mutex::new(Session::new(connector.clone(), "observer", None));
        Self { connector, session }
    }

    /// All jobs, counted; those in other queues than these as of one queue.
    pub async fn counts(&self, queues: &[String]) -> Result<Vec<ObservedCount>, DbError> {
        type Row = (String, String, i64, i64);
        let statement = sqlx::query_as::<_, Row>(include_str!("sql/observe_counts.sql"));
        let statement = statement.bind(queues.to_vec());
        let mut session = self.session.lock().await;
        let rows = session.run("observe_counts", |c| statement.fetch_all(c).boxed()).await?;
        let count = |(state, queue, jobs, attempts)| {
            let jobs = usize::try_from(jobs).unwrap_or(0);
            ObservedCount { state, queue, jobs, attempts }
        };
        Ok(rows.into_iter().map(count).collect())
    }

    /// What runs: kind and id.
    pub async fn running(&self) -> Result<Vec<(String, i64)>, DbError> {
        let statement = sqlx::query_as(include_str!("sql/observe_running.sql"));
        let mut session = self.session.lock().await;
        session.run("observe_running", |c| statement.fetch_all(c).boxed()).await
    }

    /// The ids of unfinished jobs that have one of these tags.
    pub async fn tagged(&self, tags: Vec<String>) -> Result<Vec<i64>, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/observe_tagged.sql")).bind(tags);
        let mut session = self.session.lock().await;
        session.run("observe_tagged", |c| statement.fetch_all(c).boxed()).await
    }

    /// The first job of a kind, if there is one by now.
    pub async fn first(&self, kind: &str) -> Result<Option<i64>, DbError> {
        let statement = sqlx::query_scalar(include_str!("sql/observe_first.sql"));
        let statement = statement.bind(kind.to_owned());
        let mut session = self.session.lock().await;
        session.run("observe_first", |c| statement.fetch_optional(c).boxed()).await
    }

    /// Makes the function that the demo's sql jobs call.
    pub async fn make_function(&self) -> Result<(), DbError> {
        let statement = sqlx::query(include_str!("sql/observe_function.sql"));
        let mut session = self.session.lock().await;
        session.run("observe_function", |c| statement.execute(c).boxed()).await.map(drop)
    }

    /// These jobs, finished or not.
    pub async fn jobs(&self, ids: &[i64]) -> Result<Vec<ObservedJob>, DbError> {
        type Row = (i64, String, String, String, i16, Vec<String>);
        let statement = sqlx::query_as::<_, Row>(include_str!("sql/observe_jobs.sql"));
        let statement = statement.bind(ids.to_vec());
        let mut session = self.session.lock().await;
        let rows = session.run("observe_jobs", |c| statement.fetch_all(c).boxed()).await?;
        let job = |(id, state, queue, kind, attempt, tags)| ObservedJob {
            id,
            state,
            queue,
            kind,
            attempt,
            tags,
        };
        Ok(rows.into_iter().map(job).collect())
    }

    /// Cancels a job.
    pub async fn cancel(&self, job: i64) -> Result<(), DbError> {
        let statement = sqlx::query(include_str!("sql/cancel_job.sql")).bind(job);
        self.session
            .lock()
            .await
            .run("cancel_job", |c| statement.execute(c).boxed())
            .await
            .map(drop)
    }

    /// Enqueues jobs by COPY.
    pub async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<u64, EnqueueError> {
        let mut connection = self
            .connector
            .connect("enqueue")
            .await
            .map_err(|error| EnqueueError::Begin(sqlx::Error::Configuration(error.into())))?;
        let mut sink = EnqueueSink::begin(&mut connection).await?;
        for job in &jobs {
            sink.push(job).await?;
        }
        sink.finish().await
    }
}
