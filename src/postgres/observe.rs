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

    /// Every job, up to 20,000.
    pub async fn jobs(&self) -> Result<Vec<ObservedJob>, DbError> {
        type Row = (i64, String, String, String, i16, Vec<String>);
        let statement = sqlx::query_as::<_, Row>(include_str!("sql/observe_jobs.sql"));
        let rows = self
            .session
            .lock()
            .await
            .run("observe_jobs", |c| statement.fetch_all(c).boxed())
            .await?;
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
