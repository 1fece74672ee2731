//! Whether the server still works on the migration that we wait for.
//!
//! A migration may rightly take hours, so its statements have no deadline, and the driver sets no TCP
//! keepalive: a server that vanished, or a network that forgot the connection, would leave the command
//! waiting for ever. So a second session asks the server every few seconds how the migrating one is.
//! What it sees ends the wait; it never ends the migration, whose state is then unknown to us.

use super::error::MigrateError;
use crate::postgres::{ConnectError, Connector};
use sqlx::PgConnection;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Longest that one look may take; shorter where `database.statement_timeout` is.
const LOOK_LIMIT: Duration = Duration::from_secs(10);
/// Looks that may fail before the server counts as unreachable: with the limit above, a minute. A
/// fail-over takes less, and its answer is that the migrating session is gone.
const LOOKS_LOST: u32 = 6;

/// The server's process that works for a session.
#[derive(Debug, Clone)]
pub(super) struct Backend {
    pid: i32,
    /// Absent where the session took a role that may not see its own.
    started: Option<String>,
}

/// Why waiting for a migration has no sense any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The server gives no answer at all, for this long.
    Server(Duration),
    /// The server has ended the session, and no word of that arrived.
    Session,
    /// The server waits for us and we for it: an answer or a question got lost.
    Answer,
}

/// What one look found.
enum Seen {
    Working,
    Waiting,
    Gone,
    /// The server answered, but not on this: no session is free, or it is starting.
    Something,
    Nothing,
}

impl Backend {
    /// That of this session.
    pub(super) async fn of(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let own = sqlx::query_as(include_str!("../sql/own_backend.sql"));
        let (pid, started) = own.fetch_one(connection).await?;
        Ok(Self { pid, started })
    }

    /// Does the work that this process is asked for, as long as it makes sense to wait for it.
    pub(super) async fn watched<T>(
        self,
        connector: &Connector,
        work: impl Future<Output = Result<T, MigrateError>>,
    ) -> Result<T, MigrateError> {
        tokio::select! {
            biased;
            done = work => done,
            lost = self.lost(connector) => Err(MigrateError::Lost(lost)),
        }
    }

    /// Ends when there is nothing left to wait for.
    async fn lost(&self, connector: &Connector) -> Lost {
        let look_limit = connector.statement_timeout().min(LOOK_LIMIT);
        let limit = look_limit * LOOKS_LOST;
        let (mut answered, mut was_gone) = (Instant::now(), false);
        loop {
            sleep(look_limit / 2).await;
            let seen = timeout(look_limit, self.look(connector, limit / 2)).await;
            match seen.unwrap_or(Seen::Nothing) {
                Seen::Nothing if answered.elapsed() >= limit => return Lost::Server(limit),
                Seen::Nothing => continue,
                Seen::Waiting => return Lost::Answer,
                // The word of its end may be under way; that says more than we could.
                Seen::Gone if was_gone => return Lost::Session,
                Seen::Gone => was_gone = true,
                Seen::Working | Seen::Something => was_gone = false,
            }
            answered = Instant::now();
        }
    }

    async fn look(&self, connector: &Connector, patience: Duration) -> Seen {
        let mut connection = match connector.connect("vigil").await {
            Ok(connection) => connection,
            Err(ConnectError::Refused { source: sqlx::Error::Database(_), .. }) => {
                return Seen::Something;
            }
            Err(ConnectError::ReadOnly { .. }) => return Seen::Something,
            Err(_) => return Seen::Nothing,
        };
        let asked = sqlx::query_scalar(include_str!("../sql/backend_waits.sql"))
            .bind(self.pid)
            .bind(&self.started)
            .bind(patience.as_secs_f64())
            .fetch_optional(&mut connection)
            .await;
        match asked {
            Ok(Some(true)) => Seen::Waiting,
            Ok(Some(false)) => Seen::Working,
            Ok(None) => Seen::Gone,
            Err(sqlx::Error::Database(_)) => Seen::Something,
            Err(_) => Seen::Nothing,
        }
    }
}
