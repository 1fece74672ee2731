//! The sessions of the admin port: few, opened when somebody asks, closed when nobody does any more.
//!
//! They are nobody else's, so that a person who asks much takes no session from the jobs' way, and a daemon that
//! nobody asks holds none. A request waits for one for a bounded time, and for its answer. A client may go while its
//! statement runs, and the server works on: such a session is [attended](Sessions::tend) to until the server is
//! done with it, and its place stays taken meanwhile, so that clients who come and go have no more statements under way
//! than there are places.

use super::{
    BATCHES_MAX, Batch, BatchPlace, Connection, Frame, Limit, OperationError, once, open,
    session::REQUEST_LIMIT, traced::Getting,
};
use crate::{config::Database, postgres::session::leaves_the_session_usable};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use sqlx::Connection as _;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout},
};

/// Most sessions at once: a dashboard and a person beside it. What they ask takes milliseconds.
pub const SESSIONS_MAX: usize = 2;
/// How long a daemon keeps a session though nobody asks.
pub const IDLE_MAX: Duration = Duration::from_mins(1);
/// How long a request waits for a session.
const PLACE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a session that lay idle may take to show that it is still one.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// How much longer than the server's limit an answer may take: what the network needs.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);
/// How long a session may take to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// SQLSTATE of a change on a session that takes none.
const READ_ONLY: &str = "25006";

/// What requests ask the database by.
pub struct Sessions {
    database: Database,
    idle_max: Duration,
    places: Arc<Semaphore>,
    batches: Arc<Semaphore>,
    kept: Mutex<Kept>,
    /// Told when something is kept.
    changed: Notify,
}

#[derive(Default)]
struct Kept {
    /// Ready for the next request, with the moment at which each was put here; the newest is last.
    idle: Vec<(Connection, Instant)>,
    /// Left in the middle of something.
    left: Vec<(Connection, OwnedSemaphorePermit)>,
}

/// One session while a request has it.
struct Lent<'s> {
    sessions: &'s Sessions,
    connection: Option<Connection>,
    place: Option<OwnedSemaphorePermit>,
}

impl Sessions {
    /// Of this database, each kept for so long though nobody asks; none is opened.
    pub fn new(database: Database, idle_max: Duration) -> Self {
        let (kept, changed) = (Mutex::default(), Notify::new());
        let places = Arc::new(Semaphore::new(SESSIONS_MAX));
        let batches = Arc::new(Semaphore::new(BATCHES_MAX));
        Self { database, idle_max, places, batches, kept, changed }
    }

    /// Does one operation.
    pub async fn within<T>(
        &self,
        operation: impl for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, OperationError>>,
    ) -> Result<T, OperationError> {
        self.framed(&Frame::of(&self.database, Limit::Request)?, operation).await
    }

    /// Does one of several statements, all of which take effect or none: a request that is to be done once.
    pub async fn once<T>(
        &self,
        operation: impl for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, OperationError>>,
    ) -> Result<T, OperationError> {
        let frame = Frame::whole(once::PROTECTS, &self.database, Limit::Request)?;
        self.framed(&frame, operation).await
    }

    /// Looks at something of the server's own, which can't be changed by it.
    pub async fn look<T>(
        &self,
        operation: impl for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, OperationError>>,
    ) -> Result<T, OperationError> {
        self.framed(&Frame::looking(&self.database)?, operation).await
    }

    /// A place for a batch, where one is free.
    pub fn batch_place(&self) -> Result<BatchPlace, OperationError> {
        let place = Arc::clone(&self.batches).try_acquire_owned();
        let place = place.map(|permit| BatchPlace { _permit: permit });
        let busy = |_| OperationError::Busy { of: "places for batches", most: BATCHES_MAX };
        Getting::begin().got(place.map_err(busy))
    }

    /// Begins a batch, on a session of its own.
    pub async fn batch(&self, place: BatchPlace) -> Result<Batch, OperationError> {
        Batch::begin(&self.database, place).await
    }

    async fn framed<T>(
        &self,
        frame: &Frame,
        operation: impl for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, OperationError>>,
    ) -> Result<T, OperationError> {
        let mut getting = Getting::begin();
        let lent = self.lend(&mut getting).await;
        let mut lent = lent.or_else(|error| getting.got(Err(error)))?;
        let limit = REQUEST_LIMIT + ANSWER_MARGIN;
        let Some(connection) = lent.connection.as_mut() else {
            return Err(OperationError::Silent { limit });
        };
        let framed = async {
            // Behind a pooler it waits here for a session of the server, which is told where it gets none.
            getting.got(frame.begin(connection).await)?;
            let done = operation(connection).await;
            frame.end(connection, done.is_ok()).await?;
            done
        };
        match timeout(limit, framed).await {
            Ok(Ok(value)) => {
                lent.put_back();
                Ok(value)
            }
            Ok(Err(error)) => {
                // What the database refused leaves its session as it was, unless it goes, or takes no writes in this one;
                // of anything else nothing is known.
                let sqlstate = error.sqlstate();
                if sqlstate.as_deref().is_some_and(leaves_the_session_usable) {
                    lent.put_back();
                } else {
                    drop(lent.connection.take());
                }
                if sqlstate.as_deref() == Some(READ_ONLY) {
                    // The others were opened when this one was.
                    self.kept().idle.clear();
                }
                Err(error)
            }
            Err(_) => {
                drop(lent.connection.take());
                getting.got(Err(OperationError::Unanswered { limit }))
            }
        }
    }

    async fn lend(&self, getting: &mut Getting) -> Result<Lent<'_>, OperationError> {
        let at_once = Arc::clone(&self.places).try_acquire_owned().ok();
        let place = if let Some(place) = at_once {
            place
        } else {
            getting.takes_time();
            self.awaited_place().await?
        };
        let mut lent = Lent { sessions: self, connection: None, place: Some(place) };
        while let Some(mut connection) = self.newest() {
            // A server may have gone since, or a fail-over come.
            if let Ok(Ok(())) = timeout(PING_TIMEOUT, connection.ping()).await {
                lent.connection = Some(connection);
                return Ok(lent);
            }
        }
        getting.takes_time();
        lent.connection = Some(open(&self.database, Limit::Request).await?);
        Ok(lent)
    }

    async fn awaited_place(&self) -> Result<OwnedSemaphorePermit, OperationError> {
        let place = timeout(PLACE_TIMEOUT, Arc::clone(&self.places).acquire_owned()).await;
        let busy = OperationError::Busy { of: "sessions", most: SESSIONS_MAX };
        place.ok().and_then(Result::ok).ok_or(busy)
    }

    fn newest(&self) -> Option<Connection> {
        self.kept().idle.pop().map(|(connection, _)| connection)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes what has been idle for too long, and looks after what was left in the middle of something. It has
    /// no end.
    pub async fn tend(&self) {
        let mut ends: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        loop {
            // Registered before the look, so that nothing that comes meanwhile is missed.
            let changed = self.changed.notified();
            let (gone, left, next) = self.due(Instant::now());
            ends.extend(gone.into_iter().map(|connection| close(connection).boxed()));
            ends.extend(left.into_iter().map(|(connection, place)| end(connection, place).boxed()));
            let idle = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                () = idle => {}
                Some(()) = ends.next() => {}
            }
        }
    }

    /// Closes what is idle, at the end of the port.
    pub async fn close(&self) {
        let idle = std::mem::take(&mut self.kept().idle);
        futures::future::join_all(idle.into_iter().map(|(connection, _)| close(connection))).await;
    }

    /// What is to be closed, what was left, and when the next one is due.
    fn due(
        &self,
        now: Instant,
    ) -> (Vec<Connection>, Vec<(Connection, OwnedSemaphorePermit)>, Option<Instant>) {
        let mut kept = self.kept();
        let due = kept.idle.iter().filter(|(_, since)| *since + self.idle_max <= now).count();
        let gone = kept.idle.drain(..due).map(|(connection, _)| connection).collect();
        let next = kept.idle.first().map(|(_, since)| *since + self.idle_max);
        (gone, std::mem::take(&mut kept.left), next)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.places.available_permits();
        f.debug_struct("Sessions").field("free", &free).finish_non_exhaustive()
    }
}

impl Lent<'_> {
    fn put_back(mut self) {
        if let Some(connection) = self.connection.take() {
            self.sessions.kept().idle.push((connection, Instant::now()));
        }
    }
}

impl Drop for Lent<'_> {
    /// Whoever asked has gone while the server works.
    fn drop(&mut self) {
        if let (Some(connection), Some(place)) = (self.connection.take(), self.place.take()) {
            self.sessions.kept().left.push((connection, place));
        }
        // Whether it was put back or left, somebody has to look at it.
        self.sessions.changed.notify_one();
    }
}

async fn close(connection: Connection) {
    timeout(CLOSE_TIMEOUT, connection.close()).await.ok();
}

/// Waits until the server is done with what a request left, within the limit that it knows, and closes the session,
/// whatever was begun on it.
async fn end(mut connection: Connection, place: OwnedSemaphorePermit) {
    let done = timeout(REQUEST_LIMIT + ANSWER_MARGIN, connection.ping()).await;
    if let Ok(Ok(())) = done {
        close(connection).await;
    }
    drop(place);
}
