//! Looking at the daemons that serve this database.
//!
//! What is said of each is what it said itself at its last heartbeat, so that asking costs a row a daemon
//! and reads no job.

use super::{Connection, OperationError, traced::traced};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Most daemons that are listed, those that work first.
const DAEMONS_MAX: i64 = 1000;

/// The daemons that have a row.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DaemonList {
    /// The database's time, to which ages refer.
    #[schema(format = DateTime)]
    pub now: String,
    /// The daemons, at most 1,000: live ones, then quiet, overdue and gone ones, of each those that started last first.
    pub daemons: Vec<DaemonRow>,
    /// How many more there are, which aren't shown.
    #[serde(default)]
    pub omitted: i64,
}

/// One daemon, from one start to its end.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DaemonRow {
    /// Its boot id, new at every start. Text, since it has 64 bits and JSON's numbers often 53.
    pub id: String,
    /// Its name in the configuration.
    pub name: Option<String>,
    /// Of its binary.
    pub version: Option<String>,
    /// Where it runs.
    pub hostname: Option<String>,
    /// How it is.
    pub state: DaemonState,
    /// What it was told by the database: `quiet`, `drain` or `shutdown`.
    pub wanted: Option<String>,
    /// When it registered.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// Since its last heartbeat.
    pub heartbeat_age_seconds: f64,
    /// Alive until then unless it renews.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// When it ended, or was found dead.
    pub died_at: Option<String>,
    /// Slots in use at its last heartbeat, over all its queues; none of one that has gone.
    pub running: i64,
    /// Queues that it serves.
    pub queues: Vec<String>,
    /// Kinds that it serves.
    pub kinds: Vec<String>,
}

/// How a daemon is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DaemonState)]
pub enum DaemonState {
    /// It works.
    #[default]
    Live,
    /// It claims nothing more, and what runs goes on.
    Quiet,
    /// Its lease has run out, and nobody has declared it dead yet.
    Overdue,
    /// It has ended; its row stays for an hour.
    Gone,
}

impl DaemonState {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Quiet => "quiet",
            Self::Overdue => "overdue",
            Self::Gone => "gone",
        }
    }
}

/// Lists the daemons that run, and those that ended within the last hour.
pub async fn list_daemons(connection: &mut Connection) -> Result<DaemonList, OperationError> {
    let list = sqlx::query_scalar(include_str!("../sql/list_daemons.sql"));
    let list = list.persistent(false).bind(DAEMONS_MAX).fetch_one(connection);
    let json: String =
        traced("SELECT legwork.daemon", list).await.map_err(OperationError::ListDaemons)?;
    serde_json::from_str(&json).map_err(OperationError::Decode)
}
