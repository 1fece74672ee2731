//! Any number of jobs in one transaction: by COPY, with their ids, and with what is answered to a request that has a key.
//!
//! Each batch has a session of its own, which goes with it: whatever becomes of one, nothing of it is left on a session
//! that somebody else gets. What is dropped is rolled back by the server, which finds its client gone.

use super::{
    Answer, Connection, Frame, Limit, OperationError, Request, Turn, keep_answer, once, open,
    take_turn, traced::Getting,
};
use crate::{
    config::Database,
    postgres::enqueue::{Defaults, EnqueueError, EnqueueSink, NewJob},
    telemetry::spans::{self, CallSpan},
};
use sqlx::Connection as _;
use std::time::Duration;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

/// Most batches at once.
pub const BATCHES_MAX: usize = 2;
/// Most ids that are told one by one.
pub const BATCH_IDS_MAX: i64 = 100;
/// How long a session may take to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The place of a batch.
#[derive(Debug)]
pub struct BatchPlace {
    pub(super) _permit: OwnedSemaphorePermit,
}

/// A batch, begun.
#[derive(Debug)]
pub struct Batch {
    connection: Connection,
    frame: Frame,
    _place: BatchPlace,
}

/// Jobs on their way.
pub struct Sending<'b> {
    sink: EnqueueSink<'b>,
    defaults: Defaults,
    behind: i64,
    span: Option<CallSpan>,
}

/// Jobs that are there once the batch is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// How many.
    pub jobs: u64,
    /// The id of the first line's.
    pub first: Option<i64>,
    /// That of the last line's.
    pub last: Option<i64>,
    /// All, in the order of the lines, where there are few.
    pub ids: Option<Vec<i64>>,
}

impl Batch {
    pub(super) async fn begin(
        database: &Database,
        place: BatchPlace,
    ) -> Result<Self, OperationError> {
        let frame = Frame::whole(once::PROTECTS, database, Limit::Batch)?;
        let mut getting = Getting::begin();
        getting.takes_time();
        let opened = async {
            let mut connection = open(database, Limit::Batch).await?;
            frame.begin(&mut connection).await?;
            Ok(connection)
        };
        let connection = getting.got(opened.await)?;
        Ok(Self { connection, frame, _place: place })
    }

    /// Looks at the key of the request.
    pub async fn turn(&mut self, key: &str) -> Result<Turn, OperationError> {
        take_turn(&mut self.connection, key).await
    }

    /// Begins to send jobs.
    pub async fn send(&mut self) -> Result<Sending<'_>, BatchError> {
        let connection = &mut self.connection;
        let behind = sqlx::query_scalar(include_str!("../sql/last_job_id.sql")).persistent(false);
        let behind = behind.fetch_one(&mut *connection).await.map_err(OperationError::Enqueue)?;
        let defaults = Defaults::ask(connection).await.map_err(OperationError::Enqueue)?;
        let span = spans::statement("COPY legwork.job");
        let sink = EnqueueSink::begin(connection).await;
        told(span.as_ref().filter(|_| sink.is_err()), &sink);
        Ok(Sending { sink: sink?, defaults, behind, span })
    }

    /// Which those are that were sent behind this id.
    pub async fn sent(&mut self, (jobs, behind): (u64, i64)) -> Result<Sent, OperationError> {
        let ids = sqlx::query_as(include_str!("../sql/batch_ids.sql"));
        let ids = ids.bind(behind).bind(BATCH_IDS_MAX).persistent(false);
        let ids = ids.fetch_one(&mut self.connection).await.map_err(OperationError::Enqueue)?;
        let (first, last, ids) = ids;
        Ok(Sent { jobs, first, last, ids })
    }

    /// Keeps what is answered.
    pub async fn keep(&mut self, request: &Request, answer: &Answer) -> Result<(), OperationError> {
        keep_answer(&mut self.connection, request, answer).await
    }

    /// From now on they exist.
    pub async fn commit(mut self) -> Result<(), OperationError> {
        self.frame.end(&mut self.connection, true).await?;
        self.close().await;
        Ok(())
    }

    /// None of them ever did.
    pub async fn give_up(mut self) {
        let rolled_back = self.frame.end(&mut self.connection, false);
        if let Ok(Ok(())) = timeout(CLOSE_TIMEOUT, rolled_back).await {
            self.close().await;
        }
    }

    async fn close(self) {
        timeout(CLOSE_TIMEOUT, self.connection.close()).await.ok();
    }
}

impl Sending<'_> {
    /// One job; waits while the database takes no more.
    pub async fn push(&mut self, job: NewJob, delay: Option<Duration>) -> Result<(), EnqueueError> {
        let pushed = self.sink.push(&self.defaults.given_to(job, delay)).await;
        told(self.span.as_ref().filter(|_| pushed.is_err()), &pushed);
        pushed
    }

    /// That was the last one: how many there are, and the id behind which they are.
    pub async fn end(self) -> Result<(u64, i64), EnqueueError> {
        let finished = self.sink.finish().await;
        told(self.span.as_ref(), &finished);
        Ok((finished?, self.behind))
    }

    /// Takes all of them back.
    pub async fn take_back(self) -> Result<(), EnqueueError> {
        let aborted = self.sink.abort("a line of the batch can't be a job").await;
        if let Some(span) = &self.span {
            span.returned(None, Some("taken_back"));
        }
        aborted
    }
}

/// How the COPY ended, to its span.
fn told<T>(span: Option<&CallSpan>, done: &Result<T, EnqueueError>) {
    let Some(span) = span else { return };
    let error = done.as_ref().err();
    let sqlstate = error.and_then(EnqueueError::sqlstate);
    let sqlstate = sqlstate.as_deref();
    span.returned(sqlstate, error.map(|_| sqlstate.unwrap_or("no_answer")));
}

/// Why a batch wasn't enqueued.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// Something beside the rows.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// The rows.
    #[error(transparent)]
    Rows(#[from] EnqueueError),
}
