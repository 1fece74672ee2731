//! One attempt's connection, which is never left behind with work on it.
//!
//! A connection that is closed stops nothing on the server: a function goes on until it is done and only
//! then finds nobody to answer. So whoever drops one that isn't closed in order, in the middle of
//! whatever it is, hands the server's process on to be ended.

use super::Abandoned;
use sqlx::{Connection as _, PgConnection};
use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};

/// How long a good-bye may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// A connection, its server's process, and its place among the daemon's.
pub(super) struct Backend {
    connection: Option<PgConnection>,
    process: Option<(i32, i64)>,
    place: Option<OwnedSemaphorePermit>,
    abandoned: mpsc::Sender<Abandoned>,
}

impl Backend {
    /// Prepares a fresh connection for an attempt.
    pub(super) async fn new(
        mut connection: PgConnection,
        place: OwnedSemaphorePermit,
        abandoned: mpsc::Sender<Abandoned>,
    ) -> Result<Self, sqlx::Error> {
        let own = sqlx::query_as(include_str!("../sql/attempt_backend.sql"));
        let process = own.fetch_one(&mut connection).await?;
        let settings = include_str!("../sql/function_session.sql");
        sqlx::raw_sql(settings).execute(&mut connection).await?;
        let noticing = sqlx::query(include_str!("../sql/notice_lost_clients.sql"));
        // Where the server can't, the attempt's limit ends what a dead daemon has left.
        noticing.execute(&mut connection).await.ok();
        Ok(Self {
            connection: Some(connection),
            process: Some(process),
            place: Some(place),
            abandoned,
        })
    }

    /// The server's process, by its number.
    pub(super) fn process_id(&self) -> u32 {
        self.process.and_then(|(pid, _)| u32::try_from(pid).ok()).unwrap_or(0)
    }

    /// Says good-bye: the server works on nothing for it.
    pub(super) async fn close(mut self) {
        self.process = None;
        if let Some(connection) = self.connection.take() {
            // Where it fails, the socket is closed and the server, which is idle, sees that at once.
            timeout(CLOSE_LIMIT, connection.close()).await.ok();
        }
    }
}

impl Deref for Backend {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("only `close` takes it, and consumes the rest")
    }
}

impl DerefMut for Backend {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("only `close` takes it, and consumes the rest")
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let (Some((pid, started)), Some(place)) = (self.process, self.place.take()) {
            // There is room for as many as there are places, and this one's goes along.
            self.abandoned.try_send(Abandoned { pid, started, place }).ok();
        }
    }
}
