//! A dedicated connection that heals itself: every statement has a deadline, and a connection that
//! missed one, or failed in a way that leaves doubt, is closed rather than used again.
//!
//! A statement's future is never dropped in the middle by anybody else's decision: only the deadline
//! ends it, and the connection goes with it.

use super::{ConnectError, Connector};
use futures::future::BoxFuture;
use sqlx::PgConnection;
use std::time::Duration;
use tokio::time::timeout;

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// There was no connection to send it on.
    #[error("there is no connection to the database")]
    Connect(#[from] ConnectError),
    /// It didn't answer in time; the connection is closed.
    #[error("the database didn't answer within {0:?}")]
    Deadline(Duration),
    /// The database said no, or the connection broke.
    #[error("the database refused a statement")]
    Statement(#[source] sqlx::Error),
}

impl DbError {
    /// SQLSTATE, where the server gave one.
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Statement(sqlx::Error::Database(error)) => error.code().map(Into::into),
            Self::Statement(_) | Self::Connect(_) | Self::Deadline(_) => None,
        }
    }

    /// Whether the rows are to blame rather than the moment: bad data and broken constraints come
    /// back however often they are sent.
    pub fn blames_the_rows(&self) -> bool {
        self.sqlstate().is_some_and(|code| {
            matches!(&code[..2.min(code.len())], "22" | "23" | "42" | "54" | "P0" | "0A")
        })
    }
}

/// Whether a connection can be used again after this error: not if it broke, nor if the server is
/// going away or has become read-only under us.
fn keeps_connection(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    error
        .code()
        .is_some_and(|code| !matches!(&code[..2.min(code.len())], "08" | "25" | "57" | "XX"))
}

/// One role's connection.
pub struct Session {
    connector: Connector,
    role: &'static str,
    /// Settings that hold for the whole session.
    setup: Option<&'static str>,
    connection: Option<PgConnection>,
}

impl Session {
    /// Connects at its first statement. `setup` is sent after each connect.
    pub fn new(connector: Connector, role: &'static str, setup: Option<&'static str>) -> Self {
        Self { connector, role, setup, connection: None }
    }

    /// Runs one statement under the deadline of `database.statement_timeout`.
    pub async fn run<T>(
        &mut self,
        statement: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>,
    ) -> Result<T, DbError> {
        let limit = self.connector.statement_timeout();
        self.run_within(limit, statement).await
    }

    /// Runs one statement under a deadline of its own.
    pub async fn run_within<T>(
        &mut self,
        limit: Duration,
        statement: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>,
    ) -> Result<T, DbError> {
        // Taken out for the time of the statement: whatever goes wrong, nobody finds it half used.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect(limit).await?,
        };
        match timeout(limit, statement(&mut connection)).await {
            Ok(Ok(value)) => {
                self.connection = Some(connection);
                Ok(value)
            }
            Ok(Err(error)) => {
                if keeps_connection(&error) {
                    self.connection = Some(connection);
                }
                Err(DbError::Statement(error))
            }
            Err(_) => Err(DbError::Deadline(limit)),
        }
    }

    async fn connect(&self, limit: Duration) -> Result<PgConnection, DbError> {
        let mut connection = self.connector.connect(self.role).await?;
        if let Some(setup) = self.setup {
            match timeout(limit, sqlx::raw_sql(setup).execute(&mut connection)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(DbError::Statement(error)),
                Err(_) => return Err(DbError::Deadline(limit)),
            }
        }
        Ok(connection)
    }
}
