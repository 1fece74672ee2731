//! A dedicated connection that heals itself: every statement has a deadline, and a connection that
//! missed one, or failed in a way that leaves doubt, is closed rather than used again.
//!
//! A statement's future is dropped in the middle by its deadline, and by the supervisor where a loop has
//! stood still for far longer than any deadline; the connection goes with it. Each answer is a step of
//! the loop that asked, so that a loop may send as many statements as it likes.

use super::{ConnectError, Connector, watch::Reporter};
use crate::supervise;
use futures::future::BoxFuture;
use sqlx::PgConnection;
use std::{borrow::Cow, time::Duration};
use tokio::time::{Instant, timeout};

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

    /// What the metrics call it: SQLSTATE's class, `deadline`, or `io` for a connection that broke or
    /// couldn't be had.
    pub(super) fn class(&self) -> Cow<'static, str> {
        let error = match self {
            Self::Deadline(_) | Self::Connect(ConnectError::Deadline { .. }) => {
                return "deadline".into();
            }
            Self::Connect(ConnectError::Plaintext { .. } | ConnectError::Mistakes(_)) => {
                return "".into();
            }
            // As the server says it of a write.
            Self::Connect(ConnectError::ReadOnly { .. }) => return "25".into(),
            Self::Connect(ConnectError::NoTls { .. }) => return "io".into(),
            Self::Connect(
                ConnectError::Url(error) | ConnectError::Refused { source: error, .. },
            )
            | Self::Statement(error) => error,
        };
        match error {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                code.get(..2).unwrap_or_default().to_owned().into()
            }
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => "io".into(),
            // A row that isn't as we expect it, or a setting: none of them has a class.
            _ => "".into(),
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
    /// Told of each statement, where the session is one of a daemon's.
    reporter: Option<Reporter>,
}

impl Session {
    /// Connects at its first statement. `setup` is sent after each connect.
    pub fn new(connector: Connector, role: &'static str, setup: Option<&'static str>) -> Self {
        let reporter = connector.reporter(role);
        Self { connector, role, setup, connection: None, reporter }
    }

    /// Runs one statement under the deadline of `database.statement_timeout`. `operation` is the name
    /// of its file, by which metrics know it.
    pub async fn run<T>(
        &mut self,
        operation: &'static str,
        statement: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>,
    ) -> Result<T, DbError> {
        let limit = self.connector.statement_timeout();
        self.run_within(operation, limit, statement).await
    }

    /// Runs one statement under a deadline of its own.
    pub async fn run_within<T>(
        &mut self,
        operation: &'static str,
        limit: Duration,
        statement: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>,
    ) -> Result<T, DbError> {
        supervise::step();
        // Taken out for the time of the statement: whatever goes wrong, nobody finds it half used.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect(limit).await?,
        };
        let sent = Instant::now();
        let answer = match timeout(limit, statement(&mut connection)).await {
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
        };
        supervise::step();
        if let Some(reporter) = &mut self.reporter {
            let (error, kept) = (answer.as_ref().err(), self.connection.is_some());
            reporter.answered(operation, sent.elapsed(), error, kept);
        }
        answer
    }

    async fn connect(&mut self, limit: Duration) -> Result<PgConnection, DbError> {
        let began = Instant::now();
        let connected = self.try_connect(limit).await;
        supervise::step();
        if let Some(reporter) = &mut self.reporter {
            reporter.connected(began.elapsed(), connected.as_ref().err());
        }
        connected
    }

    async fn try_connect(&self, limit: Duration) -> Result<PgConnection, DbError> {
        let mut connection = self.connector.connect(self.role).await?;
        supervise::step();
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
