//! A session for operations: opened within a limit, bounded in every statement.
//!
//! Operators' commands are short and rare, so each opens one connection and drops it; a pool would be
//! more than they need. The admin port keeps its own for a while (`sessions`). Where there is only a pooler, each operation is a transaction with its limits.

use super::OperationError;
use crate::{
    config::Database,
    postgres::{Connector, connect::local_settings, link, transaction},
};
use sqlx::postgres::PgConnection;
use std::time::Duration;
use tokio::time::timeout;

/// What operations work on.
pub type Connection = PgConnection;

/// How long a statement waits for a lock. Operations touch single rows, whose locks are held for
/// milliseconds; who waits longer is better told so.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// The same of a request: while it waits, one of few sessions is nobody else's.
const REQUEST_LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a statement may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// As long as the configuration says.
    Statement,
    /// As long as the input lasts: for one COPY of any length.
    Bulk,
    /// As long as a request may take.
    Request,
    /// As long as a batch of jobs may.
    Batch,
}

/// Longest time of a batch's statements, each of which ends by itself long before. A COPY that waits for its client isn't ended by
/// it: there the network's signs of life tell the server that the client is gone.
const BATCH_LIMIT: Duration = Duration::from_mins(3);

/// Longest time of a request's statement: whoever waits for an answer over HTTP has given up by then.
pub(super) const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// What looks into the server itself can't write, and is ended before anybody waits behind it.
const LOOKING: &str = "SET TRANSACTION READ ONLY;\nSET LOCAL statement_timeout = '3s';\nSET LOCAL lock_timeout = '1s';\n";

impl Limit {
    fn of(self, database: &Database) -> Duration {
        match self {
            Self::Statement => database.statement_timeout,
            Self::Bulk => Duration::ZERO,
            Self::Request => database.statement_timeout.min(REQUEST_LIMIT),
            Self::Batch => BATCH_LIMIT,
        }
    }

    /// How long of that may be spent waiting for a lock.
    fn lock(self) -> Duration {
        match self {
            Self::Statement | Self::Bulk | Self::Batch => LOCK_TIMEOUT,
            Self::Request => REQUEST_LOCK_TIMEOUT,
        }
    }

    /// Settings for the planner. Whoever has an answer within seconds has it whatever the statistics say: pages go by
    /// their index, of which they read a bounded part.
    fn setup(self) -> &'static str {
        match self {
            Self::Statement | Self::Bulk => "",
            Self::Request => include_str!("../sql/indexed_session.sql"),
            Self::Batch => concat!(
                include_str!("../sql/indexed_session.sql"),
                include_str!("../sql/watched_session.sql")
            ),
        }
    }

    /// What its sessions are called.
    fn role(self) -> &'static str {
        match self {
            Self::Statement | Self::Bulk => "cli",
            Self::Request | Self::Batch => "admin",
        }
    }
}

/// Opens a session.
pub async fn open(database: &Database, limit: Limit) -> Result<Connection, OperationError> {
    let url = database.url.as_ref().ok_or(OperationError::NoAddress)?;
    let connector = Connector::new(url, database)?;
    let mut connection = connector.connect_somewhere(limit.role()).await?;
    if !connector.reaches_server() {
        return Ok(connection);
    }
    let limiting = async {
        sqlx::raw_sql(limit.setup()).execute(&mut connection).await?;
        sqlx::query(include_str!("../sql/limit_session.sql"))
            .bind(format!("{}ms", limit.of(database).as_millis()))
            .bind(format!("{}ms", limit.lock().as_millis()))
            .persistent(false)
            .execute(&mut connection)
            .await
    };
    let limit = database.connect_timeout;
    let limited = timeout(limit, limiting).await;
    limited.map_err(|_| OperationError::Silent { limit })?.map_err(OperationError::Limit)?;
    Ok(connection)
}

/// What is round each operation on a connection of [`open`].
#[derive(Debug)]
pub struct Frame {
    /// Settings of a transaction, where there is one: where there is only a pooler, or where several statements are to
    /// be whole.
    pooled: Option<String>,
    /// What is true for others because these are one transaction.
    protects: Option<&'static str>,
}

impl Frame {
    /// As these settings ask for it.
    pub fn of(database: &Database, limit: Limit) -> Result<Self, OperationError> {
        let url = database.url.as_ref().ok_or(OperationError::NoAddress)?;
        let connector = Connector::new(url, database)?;
        let lock = format!("SET lock_timeout = {};", limit.lock().as_millis());
        let settings =
            || local_settings(limit.of(database)) + &link::local(&[limit.setup(), &lock]);
        Ok(Self { pooled: (!connector.reaches_server()).then(settings), protects: None })
    }

    /// One that is a transaction in any case, whose statements take effect together. `protects` is as
    /// `transaction::Whole` has it.
    pub(super) fn whole(
        protects: &'static str,
        database: &Database,
        limit: Limit,
    ) -> Result<Self, OperationError> {
        let Self { pooled, .. } = Self::of(database, limit)?;
        Ok(Self { pooled: Some(pooled.unwrap_or_default()), protects: Some(protects) })
    }

    /// One that is a transaction in any case, in which nothing can be written.
    pub(super) fn looking(database: &Database) -> Result<Self, OperationError> {
        let Self { pooled, .. } = Self::of(database, Limit::Request)?;
        let protects = "what is set and prepared to look at plans is taken away on the session that it was set on";
        Ok(Self { pooled: Some(pooled.unwrap_or_default() + LOOKING), protects: Some(protects) })
    }

    /// Does one.
    pub async fn within<T, E: From<OperationError>>(
        &self,
        connection: &mut Connection,
        operation: impl AsyncFnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.begin(connection).await?;
        let done = operation(connection).await;
        self.end(connection, done.is_ok()).await?;
        done
    }

    pub(super) async fn begin(&self, connection: &mut Connection) -> Result<(), OperationError> {
        let Some(settings) = &self.pooled else { return Ok(()) };
        if let Some(protects) = self.protects {
            tracing::debug!(protects, "a transaction begins");
        }
        transaction::begin_with(connection, settings).await.map_err(OperationError::Limit)
    }

    pub(super) async fn end(
        &self,
        connection: &mut Connection,
        well: bool,
    ) -> Result<(), OperationError> {
        if self.pooled.is_none() {
            return Ok(());
        }
        // Of what is rolled back nothing stays, whether or not the server still hears of it.
        let failed = if well { OperationError::Commit } else { OperationError::Limit };
        transaction::end_as(connection, well).await.map_err(failed)
    }
}
