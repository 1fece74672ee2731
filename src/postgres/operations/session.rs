//! A session for operations: opened within a limit, bounded in every statement.
//!
//! Operators' commands are short and rare, so each opens one connection and drops it; a pool would be
//! more than they need.

use super::OperationError;
use crate::{config::Database, postgres::Connector};
use sqlx::postgres::PgConnection;
use std::time::Duration;
use tokio::time::timeout;

/// What operations work on.
pub type Connection = PgConnection;

/// How long a statement waits for a lock. Operations touch single rows, whose locks are held for
/// milliseconds; who waits longer is better told so.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a statement may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// As long as the configuration says.
    Statement,
    /// As long as the input lasts: for one COPY of any length.
    Bulk,
}

/// Opens a session.
pub async fn open(database: &Database, limit: Limit) -> Result<Connection, OperationError> {
    let url = database.url.as_ref().ok_or(OperationError::NoAddress)?;
    let mut connection = Connector::new(url, database)?.connect("cli").await?;
    let statement = match limit {
        Limit::Statement => database.statement_timeout,
        Limit::Bulk => Duration::ZERO,
    };
    let limiting = sqlx::query(include_str!("../sql/limit_session.sql"))
        .bind(format!("{}ms", statement.as_millis()))
        .bind(format!("{}ms", LOCK_TIMEOUT.as_millis()))
        .execute(&mut connection);
    let limit = database.connect_timeout;
    let limited = timeout(limit, limiting).await;
    limited.map_err(|_| OperationError::Silent { limit })?.map_err(OperationError::Limit)?;
    Ok(connection)
}
