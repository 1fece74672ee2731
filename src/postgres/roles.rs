//! The roles by which rights are given out, and whether a session may run jobs.
//!
//! It exists so that whoever connects as the wrong role is told which one is missing, at once and by name,
//! instead of meeting "permission denied" at the first statement that needs it. What each role may do
//! is decided by `apply_grants()` in the migrations, and by Postgres; nothing is permitted here.

use super::DbError;
use sqlx::postgres::PgConnection;

/// Given to producers.
pub const ENQUEUE: &str = "legwork_enqueue";
/// Given to people and dashboards.
pub const READ: &str = "legwork_read";
/// Given to those who cancel, retry and pause.
pub const OPERATOR: &str = "legwork_operator";
/// The daemon's own.
pub const DAEMON: &str = "legwork_daemon";
/// Brings the schema up and down.
pub const MIGRATOR: &str = "legwork_migrator";

/// Whether the session's role may run jobs: by [`DAEMON`], or because it owns everything.
///
/// The schema has to be there.
pub async fn may_run_jobs(connection: &mut PgConnection) -> Result<bool, DbError> {
    let asked = sqlx::query_scalar(include_str!("sql/may_run_jobs.sql"));
    asked.persistent(false).fetch_one(connection).await.map_err(DbError::Statement)
}
