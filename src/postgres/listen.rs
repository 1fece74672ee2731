//! LISTEN, on a connection of its own. What it hears are hints: payloads are ignored, since any role
//! can send them.

use super::{ConnectError, Connector, DbError};
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::time::Duration;
use tokio::{task::coop, time::timeout};

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Jobs may have come.
    Jobs,
    /// Somebody may have cancelled a running job.
    Cancel,
    /// An operator may have decided something.
    Control,
    /// The connection broke and is back: anything may have been missed.
    Reconnected,
    /// Nothing for a while; the connection answered a probe.
    Quiet,
}

/// Where jobs are announced.
const JOBS: &str = "legwork";
/// Where cancel requests are announced.
const CANCEL: &str = "legwork_cancel";
/// Where operators' decisions are announced.
const CONTROL: &str = "legwork_control";
/// A connection that has been silent for this long is probed: one whose server vanished says nothing.
const PROBE_AFTER: Duration = Duration::from_secs(10);
/// How long LISTEN and probes may take.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// The longest that [`Listener::connect`] or [`Listener::next`] may take.
pub const LISTEN_STEP_MAX: Duration = PROBE_AFTER.saturating_add(PROBE_LIMIT);

/// Hears notifications.
pub struct Listener {
    /// There until the drop.
    listening: Option<PgListener>,
    connector: Connector,
}

impl Listener {
    /// Connects and listens, where there is a server to listen to: a pooler that has come into its place
    /// since the daemon's start would take LISTEN and announce nothing.
    pub async fn connect(connector: &Connector) -> Result<Self, DbError> {
        if let Ok(looked) = timeout(PROBE_LIMIT, connector.refuse_pooler()).await {
            looked?;
        }
        let (options, place) = connector.to_server("listener")?;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(PROBE_LIMIT)
            // Without these the pool starts no task of its own beside the supervisor's: its one
            // connection is taken for good, so there is nothing to look after.
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options);
        let listening = async {
            let mut listening = PgListener::connect_with(&pool).await?;
            listening.ignore_pool_close_event(true);
            // It would connect again with no deadline of its own; `next` does it with one.
            listening.eager_reconnect(false);
            let mut listener = Self { listening: Some(listening), connector: connector.clone() };
            if let Some(listening) = &mut listener.listening {
                listening.listen_all([JOBS, CANCEL, CONTROL]).await?;
            }
            Ok::<_, sqlx::Error>(listener)
        };
        match timeout(PROBE_LIMIT, listening).await {
            Ok(Ok(listener)) => Ok(listener),
            Ok(Err(source)) => Err(DbError::Connect(ConnectError::refused(place, source))),
            Err(_) => Err(DbError::Deadline(PROBE_LIMIT)),
        }
    }

    /// Waits for the next notice. Dropping this future loses nothing but time.
    pub async fn next(&mut self) -> Result<Notice, DbError> {
        // What came together is there without waiting, and any role may send any number: whom a notice woke on this
        // thread would be kept from running until the last of them.
        coop::consume_budget().await;
        let Some(listening) = &mut self.listening else { return self.reconnect().await };
        match timeout(PROBE_AFTER, listening.try_recv()).await {
            Ok(Ok(Some(notice))) if notice.channel() == CANCEL => Ok(Notice::Cancel),
            Ok(Ok(Some(notice))) if notice.channel() == CONTROL => Ok(Notice::Control),
            Ok(Ok(Some(_))) => Ok(Notice::Jobs),
            Ok(Ok(None)) => self.reconnect().await,
            Ok(Err(error)) => Err(DbError::Statement(error)),
            Err(_) => probe(listening).await,
        }
    }

    async fn reconnect(&mut self) -> Result<Notice, DbError> {
        *self = Self::connect(&self.connector).await?;
        Ok(Notice::Reconnected)
    }
}

async fn probe(listening: &mut PgListener) -> Result<Notice, DbError> {
    let probe = sqlx::query(include_str!("sql/probe.sql")).execute(listening);
    match timeout(PROBE_LIMIT, probe).await {
        Ok(Ok(_)) => Ok(Notice::Quiet),
        Ok(Err(error)) => Err(DbError::Statement(error)),
        Err(_) => Err(DbError::Deadline(PROBE_LIMIT)),
    }
}

impl Drop for Listener {
    /// Closes the connection at once. sqlx's listener would say UNLISTEN first, in a task of its own
    /// that nothing ends: on a network that has gone silent that task and its socket stay until the
    /// kernel gives up, a quarter of an hour later. So the task is born on a runtime that never
    /// runs, and goes with it.
    fn drop(&mut self) {
        let listening = self.listening.take();
        if let Ok(still) = tokio::runtime::Builder::new_current_thread().build() {
            let inside = still.enter();
            drop(listening);
            drop(inside);
            still.shutdown_background();
        }
    }
}
