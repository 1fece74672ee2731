//! LISTEN, on a connection of its own. What it hears are hints: payloads are ignored, since any role
//! can send them.

use super::{ConnectError, Connector, DbError};
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::time::Duration;
use tokio::time::timeout;

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Jobs may have come.
    Jobs,
    /// Somebody may have cancelled a running job.
    Cancel,
    /// The connection broke and is back: anything may have been missed.
    Reconnected,
    /// Nothing for a while; the connection answered a probe.
    Quiet,
}

/// Where jobs are announced.
const JOBS: &str = "legwork";
/// Where cancel requests are announced.
const CANCEL: &str = "legwork_cancel";
/// A connection that has been silent for this long is probed: one whose server vanished says nothing.
const PROBE_AFTER: Duration = Duration::from_secs(10);
/// How long LISTEN and probes may take.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// Hears notifications.
pub struct Listener(PgListener);

impl Listener {
    /// Connects and listens.
    pub async fn connect(connector: &Connector) -> Result<Self, DbError> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(PROBE_LIMIT)
            // Without these the pool starts no task of its own beside the supervisor's: its one
            // connection is taken for good, so there is nothing to look after.
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(connector.options("listener"));
        let listening = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.ignore_pool_close_event(true);
            listener.listen_all([JOBS, CANCEL]).await?;
            Ok::<_, sqlx::Error>(listener)
        };
        match timeout(PROBE_LIMIT, listening).await {
            Ok(Ok(listener)) => Ok(Self(listener)),
            Ok(Err(source)) => {
                let place = connector.place().to_owned();
                Err(DbError::Connect(ConnectError::Refused { place, source }))
            }
            Err(_) => Err(DbError::Deadline(PROBE_LIMIT)),
        }
    }

    /// Waits for the next notice. Dropping this future loses nothing but time.
    pub async fn next(&mut self) -> Result<Notice, DbError> {
        match timeout(PROBE_AFTER, self.0.try_recv()).await {
            Ok(Ok(Some(notice))) if notice.channel() == CANCEL => Ok(Notice::Cancel),
            Ok(Ok(Some(_))) => Ok(Notice::Jobs),
            Ok(Ok(None)) => Ok(Notice::Reconnected),
            Ok(Err(error)) => Err(DbError::Statement(error)),
            Err(_) => self.probe().await,
        }
    }

    async fn probe(&mut self) -> Result<Notice, DbError> {
        let probe = sqlx::query(include_str!("sql/probe.sql")).execute(&mut self.0);
        match timeout(PROBE_LIMIT, probe).await {
            Ok(Ok(_)) => Ok(Notice::Quiet),
            Ok(Err(error)) => Err(DbError::Statement(error)),
            Err(_) => Err(DbError::Deadline(PROBE_LIMIT)),
        }
    }
}
