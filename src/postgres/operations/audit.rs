//! Pages of what people changed, newest first. A page begins behind a note, and what is looked at for it has a
//! bound, as with jobs: it may be short and have a next one all the same.

use super::{Connection, OperationError, list::Since, traced::traced};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// Longest page, in notes.
pub const NOTES_MAX: u32 = 1000;
/// Notes that are looked at for a page.
const LOOKS_MAX: i64 = 20_000;

/// Which notes; what is absent doesn't narrow.
#[derive(Debug, Clone, Default)]
pub struct NoteFilter {
    /// Of this action.
    pub action: Option<String>,
    /// About this.
    pub target: Option<String>,
    /// By whom.
    pub actor: Option<String>,
    /// Made after this.
    pub since: Option<Since>,
    /// Older than this one: the last id of the page before.
    pub after: Option<i64>,
}

/// One page, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct NotePage {
    /// The database's time, to which ages refer.
    #[schema(format = DateTime)]
    pub now: String,
    /// The notes.
    pub notes: Vec<Note>,
    /// Where the next page starts (`after`); absent on the last one.
    #[serde(default)]
    pub next: Option<i64>,
}

/// What one person changed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Note {
    /// Its number.
    pub id: i64,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// Who, as the session said: role and token of a request, account and command of a shell, else the login.
    pub actor: String,
    /// The session's login in the database, which it can't say otherwise.
    pub login: String,
    /// What was done.
    pub action: String,
    /// To what: `job/4711`, `queue/default`, `schedule/nightly`, `operation/12`, `daemon/4711`.
    pub target: String,
    /// Why.
    pub reason: Option<String>,
    /// By which request, as in the log.
    pub request_id: Option<String>,
    /// What became of it, and what it was.
    #[schema(value_type = Object)]
    pub detail: Box<RawValue>,
}

/// One page of notes, of at most so many.
pub async fn list_notes(
    connection: &mut Connection,
    filter: &NoteFilter,
    limit: u32,
) -> Result<NotePage, OperationError> {
    let (since, ago) = super::list::parts(filter.since);
    let statement = sqlx::query_scalar(include_str!("../sql/list_notes.sql"))
        .persistent(false)
        .bind(filter.action.as_deref())
        .bind(filter.target.as_deref())
        .bind(filter.actor.as_deref())
        .bind(since)
        .bind(ago)
        .bind(filter.after.unwrap_or(i64::MAX))
        .bind(i64::from(limit.clamp(1, NOTES_MAX)))
        .bind(LOOKS_MAX)
        .fetch_one(connection);
    let json: String =
        traced("SELECT legwork.audit", statement).await.map_err(OperationError::ListNotes)?;
    serde_json::from_str(&json).map_err(OperationError::Decode)
}
