//! A test's database worked off by a real daemon in this process, and what each attempt decided.

use crate::{
    config::Shutdown,
    daemon::{Daemon, Ended, StartError},
    executor::{Context, Handler, HandlerFuture},
    job::{JobId, KindName, Outcome, QueueName},
    postgres::DbError,
    telemetry::causes,
};
use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How long [`drain`] may take, to its very end.
pub const DRAIN_MAX: Duration = Duration::from_mins(1);

/// What a drain that is overdue leaves its handlers, in place of the daemon's own times: they have been
/// given all that the test has.
const SHUTDOWN: Shutdown = Shutdown {
    grace: Duration::from_secs(1),
    cancel_grace: Duration::from_secs(1),
    stop_timeout: None,
};

/// Attempts that are recorded; further ones are counted.
pub const RECORDED_MAX: usize = 10_000;

/// One attempt that a drain ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainedAttempt {
    /// Of which job.
    pub job: JobId,
    /// Its kind.
    pub kind: KindName,
    /// Its queue.
    pub queue: QueueName,
    /// Which attempt, from 1.
    pub attempt: u16,
    /// Its payload, as JSON text.
    pub payload: String,
    /// What its handler decided; nothing where it panicked or was dropped at its deadline.
    pub outcome: Option<Outcome>,
}

/// What a drain did.
#[derive(Debug, Clone)]
pub struct Drained {
    /// The attempts in the order in which they ended, [`RECORDED_MAX`] at most.
    pub attempts: Vec<DrainedAttempt>,
    /// How many there were beyond those.
    pub more: usize,
    /// How the daemon ended.
    pub ended: Ended,
}

impl Drained {
    /// The attempts of one kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a DrainedAttempt> {
        self.attempts.iter().filter(move |attempt| attempt.kind.as_str() == kind)
    }
}

/// Why a drain came to no end.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The daemon didn't start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// There was still something to do.
    #[error("the queue wasn't empty within {limit:?}; {attempts} attempts had ended")]
    Overdue {
        /// The whole time that it had.
        limit: Duration,
        /// How many had ended.
        attempts: usize,
    },
    /// The database never answered.
    #[error("the database couldn't be reached within {limit:?}: {}", causes::told(.error))]
    Unreached {
        /// The whole time that it had.
        limit: Duration,
        /// Why the last try failed.
        error: DbError,
    },
}

/// Runs this daemon until nothing of what it serves is in line or runs, and says what its handlers decided.
///
/// It is the real daemon on the real database, so it sees what is committed, and jobs that its handlers
/// enqueue are worked off as well. What is for later stays: retries wait for their backoff. It takes
/// [`DRAIN_MAX`] at most, whatever hangs; [`drain_within`] takes another bound.
///
/// ```no_run
/// # async fn refund(_: u64, _: legwork::Context) -> Result<(), legwork::HandlerError> { Ok(()) }
/// # async fn test(url: &str) -> Result<(), Box<dyn std::error::Error>> {
/// use legwork::{Daemon, testing};
///
/// let daemon = Daemon::builder().database_url(url).handler("refund", refund).build()?;
/// let drained = testing::drain(daemon).await?;
/// assert_eq!(drained.of_kind("refund").count(), 1);
/// # Ok(())
/// # }
/// ```
pub async fn drain(daemon: Daemon) -> Result<Drained, DrainError> {
    drain_within(daemon, DRAIN_MAX).await
}

/// [`drain`] with a bound of one's own. The last five seconds are for handlers that are told to stop, and
/// for the end of the daemon.
pub async fn drain_within(daemon: Daemon, limit: Duration) -> Result<Drained, DrainError> {
    let record = Record::default();
    let recorded = record.clone();
    let daemon = daemon
        .once()
        .with_shutdown(SHUTDOWN)
        .with_each_handler(move |inner| Arc::new(Recorded { inner, record: recorded.clone() }));
    let wait = daemon.wait();
    let overdue = CancellationToken::new();
    let watch = async {
        sleep(limit.saturating_sub(SHUTDOWN.bound())).await;
        overdue.cancel();
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = daemon.run_until(overdue.clone()) => ended?,
        () = watch => unreachable!("the watch has no end"),
    };
    let Ending { attempts, more } = record.taken();
    if overdue.is_cancelled() {
        let attempts = attempts.len() + more;
        return Err(match wait.reason() {
            Some(error) => DrainError::Unreached { limit, error },
            None => DrainError::Overdue { limit, attempts },
        });
    }
    Ok(Drained { attempts, more, ended })
}

/// The attempts that have ended so far.
#[derive(Debug, Default)]
struct Ending {
    attempts: Vec<DrainedAttempt>,
    more: usize,
}

#[derive(Debug, Clone, Default)]
struct Record(Arc<Mutex<Ending>>);

impl Record {
    fn add(&self, attempt: DrainedAttempt) {
        let mut ending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ending.attempts.len() < RECORDED_MAX {
            ending.attempts.push(attempt);
        } else {
            ending.more += 1;
        }
    }

    fn taken(&self) -> Ending {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A handler whose attempts are recorded.
struct Recorded {
    inner: Arc<dyn Handler>,
    record: Record,
}

/// Records its attempt however that ends: a panic or a deadline drops it.
struct Running<'r> {
    attempt: Option<DrainedAttempt>,
    record: &'r Record,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            self.record.add(attempt);
        }
    }
}

impl Handler for Recorded {
    fn run<'a>(&'a self, context: &'a Context) -> HandlerFuture<'a> {
        let job = context.job();
        let attempt = DrainedAttempt {
            job: job.lease.job,
            kind: job.kind.clone(),
            queue: job.queue.clone(),
            attempt: context.attempt(),
            payload: job.payload.clone(),
            outcome: None,
        };
        let mut running = Running { attempt: Some(attempt), record: &self.record };
        Box::pin(async move {
            let outcome = self.inner.run(context).await;
            if let Some(attempt) = &mut running.attempt {
                attempt.outcome = Some(outcome.clone());
            }
            outcome
        })
    }

    fn stop_grace(&self) -> Duration {
        self.inner.stop_grace()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    /// Time that nobody works in passes at once.
    #[tokio::test(start_paused = true)]
    async fn a_database_that_is_away_is_named_within_the_bound_with_the_last_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("postgres:///app?user=app&host={}", directory.path().display());
        let work = async |(): (), _: Context| Ok::<_, crate::HandlerError>(());
        let daemon = Daemon::builder().database_url(url).handler("work", work).build();
        let begun = Instant::now();
        let error = drain(daemon.expect("it is right")).await.expect_err("there is no server");
        assert!(begun.elapsed() <= DRAIN_MAX, "{:?}", begun.elapsed());
        assert!(matches!(error, DrainError::Unreached { .. }), "{error:?}");
        let said = error.to_string();
        assert!(said.starts_with("the database couldn't be reached within 60s"), "{said}");
        assert!(said.contains("No such file or directory"), "with its cause: {said}");
    }
}
