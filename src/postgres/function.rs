//! Attempts of sql kinds: a function's effects and its job's completion in one transaction.
//!
//! Each attempt has a connection of its own, which is closed after it: nothing of one attempt is there
//! for the next. The fence comes last, so that nobody waits for the job's row while the function runs.
//! Until COMMIT is sent an attempt may be given up at any moment, since nothing of it is kept then; what
//! was sent and not answered is looked up by the lease. What an error means for the job is decided by
//! the handler (ADR 0014).

mod aside;
mod backend;
mod fenced;

pub use aside::Abandoned;

use super::{Connector, DbError, Held, Refusal, Session, settle};
use crate::{
    config::{FunctionName, Kept},
    job::{Lease, QueueName, Written},
    supervise::{WaitPoint, at, at_process},
};
use aside::Committed;
use backend::Backend;
use fenced::End;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, Semaphore, mpsc, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Longest that an attempt waits for a connection to be free: what may not start within five seconds
/// goes back, as with a rate limit.
const PLACE_WAIT_MAX: Duration = Duration::from_secs(5);

/// Longest that an answer to COMMIT is waited for once the attempt is to stop.
const COMMIT_GRACE: Duration = Duration::from_secs(3);

/// Longest that it is then asked what became of the job.
const LOOK_GRACE: Duration = Duration::from_millis(1500);

/// How long an attempt takes to stop at most, whatever the server does: what stands in the database has
/// been asked for by then, or isn't known.
pub const STOP_GRACE: Duration = Duration::from_secs(5);

const _: () = assert!(COMMIT_GRACE.as_millis() + LOOK_GRACE.as_millis() < STOP_GRACE.as_millis());

/// One attempt's call.
#[derive(Debug)]
pub struct Call<'a> {
    /// What is called.
    pub function: &'a FunctionName,
    /// Under which role; none is the daemon's own.
    pub role: Option<&'a str>,
    /// The attempt's lease.
    pub lease: Lease,
    /// Decides how long history keeps the job.
    pub queue: &'a QueueName,
    /// JSON text, handed on as it is.
    pub payload: &'a str,
    /// Settings for the function to read, by their names.
    pub told: Vec<(&'static str, String)>,
    /// When the attempt began.
    pub began: Instant,
    /// When its time is up.
    pub deadline: Instant,
}

/// Why an attempt has no end of its own. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It was told to stop; the server has been told as well.
    #[error("the attempt was told to stop")]
    Stopped,
    /// No connection fell free in time.
    #[error("all database.sql_connections are taken")]
    NoPlace,
    /// There is no connection to be had, and nothing was called.
    #[error("there is no connection for the attempt")]
    NoConnection(#[source] DbError),
    /// The function, or what is around it, was refused.
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
    /// The job's row is still there and still ours, but can't be ended.
    #[error(
        "the function or a trigger keeps its job from being completed: the lease is held, and its row \
         in legwork.job can't be deleted"
    )]
    Kept,
    /// The connection broke.
    #[error("the connection was lost, and nothing that the attempt did was kept")]
    Lost(#[source] DbError),
}

impl CallError {
    /// What the server said, where it refused something.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.sqlstate),
            Self::Stopped | Self::NoPlace | Self::NoConnection(_) | Self::Kept | Self::Lost(_) => {
                None
            }
        }
    }

    /// How spans call it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stopped => "stopped",
            Self::NoPlace => "no_place",
            Self::NoConnection(_) => "no_connection",
            Self::Refused(refusal) => &refusal.sqlstate,
            Self::Kept => "kept",
            Self::Lost(_) => "lost",
        }
    }
}

/// Calls functions. One for a daemon.
pub struct Functions {
    connector: Connector,
    held: Arc<Held>,
    /// Looked up by each attempt: a reload may have changed it.
    kept: watch::Receiver<Kept>,
    /// One for each connection. An attempt's goes back when the server is rid of it.
    places: Arc<Semaphore>,
    abandoned: mpsc::Sender<Abandoned>,
    /// Locked by the one task that runs; behind a lock so that a restarted task finds it again.
    inbox: Mutex<mpsc::Receiver<Abandoned>>,
    aside: Mutex<Session>,
}

impl Functions {
    /// Connects with each call, at most `connections` at a time.
    pub fn new(
        connector: &Connector,
        held: Arc<Held>,
        connections: u32,
        kept: watch::Receiver<Kept>,
    ) -> Self {
        let connections = connections as usize;
        let (abandoned, inbox) = mpsc::channel(connections);
        // Used now and then: one that is down would make the daemon unready until it is needed again.
        let connector = connector.clone().unwatched();
        let setup = Some(include_str!("sql/aside_session.sql"));
        Self {
            aside: Mutex::new(Session::new(connector.clone(), "sql-aside", setup)),
            connector,
            held,
            kept,
            places: Arc::new(Semaphore::new(connections)),
            abandoned,
            inbox: Mutex::new(inbox),
        }
    }

    /// Runs one attempt, until `stop` is cancelled.
    pub async fn call(
        &self,
        call: &Call<'_>,
        stop: &CancellationToken,
    ) -> Result<Written, CallError> {
        let backend = stop.run_until_cancelled(self.connect(call.deadline)).await;
        let mut backend = backend.ok_or(CallError::Stopped)??;
        let (days, limit) = (self.days(call), self.connector.statement_timeout());
        let process = backend.process_id();
        let run = fenced::run(&mut backend, call, days, (stop, limit));
        let mut end = at_process(WaitPoint::SqlFunction, process, run).await;
        if let End::Refused(error) = &end
            && settle::is_without_a_partition(error)
        {
            // A day of history that is missing is made; nothing was kept of the first try.
            let making = settle::make_days(&mut *backend, days.into_iter().collect());
            let made = at(WaitPoint::AsideQuery, stop.run_until_cancelled(making)).await;
            made.ok_or(CallError::Stopped)?.map_err(failed)?;
            let run = fenced::run(&mut backend, call, days, (stop, limit));
            end = at_process(WaitPoint::SqlFunction, process, run).await;
        }
        match end {
            End::Committed => {
                self.settled(call.lease);
                backend.close().await;
                Ok(Written::Completed)
            }
            End::Late => {
                backend.close().await;
                self.late(call.lease, stop).await
            }
            End::Refused(error) => {
                backend.close().await;
                Err(failed(error))
            }
            End::Stopped => Err(CallError::Stopped),
            End::Lost(error) => Err(CallError::Lost(DbError::Statement(error))),
            End::InDoubt(error) => {
                drop(backend);
                self.resolve((call.lease, days.is_some()), stop, error).await
            }
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<Backend, CallError> {
        // An attempt that can't begin is put off, and hasn't run out of time.
        let left = deadline.saturating_duration_since(Instant::now());
        let place = Arc::clone(&self.places).acquire_owned();
        let place = at(WaitPoint::SqlPlace, timeout(PLACE_WAIT_MAX.min(left / 2), place)).await;
        let Ok(Ok(place)) = place else { return Err(CallError::NoPlace) };
        let connection = at(WaitPoint::Connect, self.connector.connect("sql")).await;
        let connection = connection.map_err(|error| CallError::NoConnection(error.into()))?;
        let limit = self.connector.statement_timeout();
        let backend = Backend::new(connection, place, self.abandoned.clone());
        match at(WaitPoint::Connect, timeout(limit, backend)).await {
            Ok(Ok(backend)) => Ok(backend),
            Ok(Err(error)) => Err(CallError::NoConnection(DbError::Statement(error))),
            Err(_) => Err(CallError::NoConnection(DbError::Deadline(limit))),
        }
    }

    /// A COMMIT that was sent and not answered: the job's row tells what came of it.
    async fn resolve(
        &self,
        (lease, is_kept): (Lease, bool),
        stop: &CancellationToken,
        error: DbError,
    ) -> Result<Written, CallError> {
        match self.look(lease, is_kept, stop).await {
            Some(Committed::Yes) => {
                self.settled(lease);
                Ok(Written::Completed)
            }
            Some(Committed::No) => Err(CallError::Lost(error)),
            Some(Committed::NotOurs) => {
                self.settled(lease);
                Ok(Written::Late)
            }
            None => Ok(Written::Unknown),
        }
    }

    /// The fence found no row of ours: the lease is gone, or what the function did, or a trigger, took the
    /// row away or keeps it there. Then nobody else ends the job.
    async fn late(&self, lease: Lease, stop: &CancellationToken) -> Result<Written, CallError> {
        match self.look(lease, true, stop).await {
            Some(Committed::No) => Err(CallError::Kept),
            Some(Committed::Yes | Committed::NotOurs) => {
                self.settled(lease);
                Ok(Written::Late)
            }
            None => Ok(Written::Unknown),
        }
    }

    /// What became of an end that is in doubt; nothing where it can't be known in time.
    async fn look(
        &self,
        lease: Lease,
        is_kept: bool,
        stop: &CancellationToken,
    ) -> Option<Committed> {
        let looked = async {
            tokio::select! {
                biased;
                found = self.look_up(lease, is_kept) => found,
                () = given_up(stop, LOOK_GRACE) => None,
            }
        };
        at(WaitPoint::SqlDoubt, looked).await
    }

    /// How long history keeps the job, if at all.
    fn days(&self, call: &Call<'_>) -> Option<i32> {
        self.kept.borrow().get(call.queue).copied().unwrap_or_default().completed.days()
    }

    fn settled(&self, lease: Lease) {
        self.held.settled(&[lease.job.0], &[lease.token]);
    }
}

/// Waits until the attempt was told to stop this long ago.
async fn given_up(stop: &CancellationToken, grace: Duration) {
    stop.cancelled().await;
    sleep(grace).await;
}

/// What the server said, or that it said nothing.
fn failed(error: sqlx::Error) -> CallError {
    match Refusal::of(&error) {
        Some(refusal) => CallError::Refused(Box::new(refusal)),
        None => CallError::Lost(DbError::Statement(error)),
    }
}
