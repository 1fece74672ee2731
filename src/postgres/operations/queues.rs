//! Looking at queues, pausing and resuming them.
//!
//! A queue exists where somebody names it, so the list is gathered from jobs, rows and daemons; a queue
//! whose jobs nobody serves is the one that people look for.

use super::{Asker, Connection, DaemonState, End, OperationError, traced::traced};
use crate::{
    config::QueueSettings,
    job::{QueueName, Retention},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Most queues of a page.
pub const QUEUES_MAX: u32 = 500;

/// Longest reason of a pause, in bytes; it stands in every listing.
pub const REASON_MAX_BYTES: usize = 500;

/// A page of the known queues.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct QueueList {
    /// The database's time, to which ages refer.
    pub now: String,
    /// The queues, by name.
    pub queues: Vec<QueueRow>,
    /// Where the next page starts (`after`); absent on the last one.
    #[serde(default)]
    pub next: Option<String>,
}

/// One queue.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct QueueRow {
    /// Its name.
    pub name: String,
    /// Whether claiming from it is stopped.
    pub paused: bool,
    /// Whether jobs of it are claimed and run.
    pub state: QueueState,
    /// Since when it is paused.
    pub paused_at: Option<String>,
    /// Until when, by the database's clock; absent where somebody has to resume it.
    pub paused_until: Option<String>,
    /// Why it is paused.
    pub reason: Option<String>,
    /// How many of its jobs run at once, per daemon, where that was decided at run time.
    pub concurrency: Option<DecidedSetting>,
    /// Starts per time, per daemon, where that was.
    pub rate_limit: Option<DecidedSetting>,
    /// Jobs in line, counted to 10,000 and no further.
    pub in_line: i64,
    /// Live daemons that serve it.
    pub daemons: i64,
}

/// How one queue stands.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct QueueDetail {
    /// The database's time, to which ages refer.
    #[schema(format = DateTime)]
    pub now: String,
    /// Its name.
    pub name: String,
    /// Whether claiming from it is stopped.
    pub paused: bool,
    /// Whether jobs of it are claimed and run.
    pub state: QueueState,
    /// Its unfinished jobs.
    pub depth: Depth,
    /// How long ago the job was due that has been in line for longest; absent where none is.
    pub oldest_age_seconds: Option<f64>,
    /// What holds for it, and whence.
    pub settings: QueueSettingsFrom,
    /// The live daemons that serve it, at most 1,000.
    pub daemons: Vec<DaemonShare>,
    /// The version of what can be changed.
    #[serde(skip)]
    pub version: String,
}

/// How a queue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum QueueState {
    /// Its jobs are claimed.
    Running,
    /// They aren't; what runs goes on.
    Paused,
    /// The same, somebody waits until nothing runs any more, and something does, or not every daemon has said otherwise.
    Draining,
    /// The same, and nothing runs any more.
    Drained,
}

/// Unfinished jobs by their state. Counts end at 10,000; those of what waits at 10,000 of all queues together,
/// so that beside a backlog larger than that of another queue they may be too low.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Depth {
    /// In line.
    pub available: i64,
    /// Slots in use, as the daemons said at their last heartbeat.
    pub running: i64,
    /// Waiting for their time.
    pub scheduled: i64,
    /// Waiting for their backoff.
    pub retryable: i64,
}

/// A queue's settings from each place that has a say.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct QueueSettingsFrom {
    /// What stands in the file of the daemon that answers; absent where it doesn't serve the queue.
    #[serde(default)]
    pub file: Option<FileSettings>,
    /// What was decided at run time, for all daemons; absent where nothing was.
    #[serde(rename = "override")]
    pub overridden: Option<Override>,
    /// What holds.
    pub effective: Effective,
}

/// A queue in a daemon's file.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FileSettings {
    /// Jobs that the daemon runs at once from it.
    pub concurrency: u32,
    /// Starts per time, per daemon, as the file has it: `30/m burst 2`.
    pub rate_limit: Option<String>,
    /// How long its finished jobs are kept.
    pub retention_seconds: RetentionSeconds,
}

impl From<&QueueSettings> for FileSettings {
    fn from(settings: &QueueSettings) -> Self {
        let seconds = |retention| match retention {
            Retention::None => Some(0.0),
            Retention::For(time) => Some(time.as_secs_f64()),
        };
        Self {
            concurrency: settings.concurrency,
            rate_limit: settings.rate_limit.map(|limit| limit.to_string()),
            retention_seconds: RetentionSeconds {
                completed: seconds(settings.retention.completed),
                cancelled: seconds(settings.retention.cancelled),
                discarded: seconds(settings.retention.discarded),
            },
        }
    }
}

/// How long finished jobs are kept, by how they ended; 0 keeps none, absent is not published.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RetentionSeconds {
    /// Of completed jobs.
    pub completed: Option<f64>,
    /// Of cancelled ones.
    pub cancelled: Option<f64>,
    /// Of discarded ones.
    pub discarded: Option<f64>,
}

/// What operators have decided for a queue.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Override {
    /// That nothing is claimed from it.
    pub paused: bool,
    /// Since when.
    pub paused_at: Option<String>,
    /// Until when, by the database's clock; absent where somebody has to resume it.
    pub paused_until: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// How many of its jobs run at once, per daemon.
    pub concurrency: Option<DecidedSetting>,
    /// Starts per time, per daemon.
    pub rate_limit: Option<DecidedSetting>,
}

/// A setting that operators decided, whatever the daemons' files say.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DecidedSetting {
    /// As the file has it: `5`, `30/m burst 2`.
    pub value: String,
    /// Why.
    pub reason: Option<String>,
    /// Until when, by the database's clock; absent where somebody has to take it away.
    pub until: Option<String>,
    /// Since when.
    pub set_at: String,
}

/// What holds for a queue, over all daemons.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Effective {
    /// Whether claiming from it is stopped.
    pub paused: bool,
    /// Jobs that run at once at most, over the live daemons.
    pub slots: Option<i64>,
    /// Jobs that the daemon that answers runs at once; absent where it doesn't serve the queue and nothing was decided.
    #[serde(default)]
    pub concurrency: Option<u32>,
    /// Starts per time, of the same.
    #[serde(default)]
    pub rate_limit: Option<String>,
    /// How long finished jobs are kept, as a daemon published it.
    pub retention_seconds: RetentionSeconds,
}

/// What a daemon does for a queue, by its own account at its last heartbeat.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DaemonShare {
    /// Its boot id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Whether it claims jobs of the queue: `live`, or `quiet`.
    #[serde(default)]
    #[schema(required)]
    pub state: DaemonState,
    /// Jobs that it runs at once.
    pub slots: Option<i64>,
    /// Starts per time.
    pub rate: Option<String>,
    /// Starts at once.
    pub burst: Option<i64>,
    /// Slots in use.
    pub in_use: Option<i64>,
    /// Claimed jobs that wait for a rate limit.
    pub waiting: Option<i64>,
}

/// Whether the session's role may look at queues. Who may change them need not, and to try would leave an error in the
/// server's log.
pub async fn may_look_at_queues(connection: &mut Connection) -> Result<bool, OperationError> {
    let asked = sqlx::query_scalar(include_str!("../sql/may_look_at_queues.sql"));
    let asked = asked.persistent(false).fetch_one(connection);
    traced("SELECT legwork.queue", asked).await.map_err(OperationError::ShowQueue)
}

/// How a queue stands, if anybody knows it; what its file says of it is `file`.
pub async fn show_queue(
    connection: &mut Connection,
    queue: &QueueName,
    file: Option<&QueueSettings>,
) -> Result<Option<QueueDetail>, OperationError> {
    let show = sqlx::query_as(include_str!("../sql/show_queue.sql"));
    let show = show.persistent(false).bind(queue.as_str()).fetch_optional(connection);
    let row: Option<(String, String)> =
        traced("SELECT legwork.queue", show).await.map_err(OperationError::ShowQueue)?;
    let Some((json, version)) = row else { return Ok(None) };
    let mut queue: QueueDetail = serde_json::from_str(&json).map_err(OperationError::Decode)?;
    queue.version = version;
    queue.settings.with_file(file.map(FileSettings::from));
    Ok(Some(queue))
}

impl QueueSettingsFrom {
    /// What was decided goes before what the file says.
    fn with_file(&mut self, file: Option<FileSettings>) {
        let decided = self.overridden.as_ref();
        let concurrency =
            decided.and_then(|decided| decided.concurrency.as_ref()?.value.parse().ok());
        let rate_limit =
            decided.and_then(|decided| Some(decided.rate_limit.as_ref()?.value.clone()));
        let of_file = file.as_ref();
        self.effective.concurrency = concurrency.or(of_file.map(|file| file.concurrency));
        self.effective.rate_limit =
            rate_limit.or_else(|| of_file.and_then(|file| file.rate_limit.clone()));
        self.file = file;
    }
}

/// Lists the queues that anybody knows, the first [`QUEUES_MAX`] by name.
pub async fn list_queues(connection: &mut Connection) -> Result<QueueList, OperationError> {
    list_queues_after(connection, None, QUEUES_MAX).await
}

/// The same, so many at most, behind this one.
pub async fn list_queues_after(
    connection: &mut Connection,
    after: Option<&QueueName>,
    limit: u32,
) -> Result<QueueList, OperationError> {
    let list = sqlx::query_scalar(include_str!("../sql/list_queues.sql"));
    // No queue's name comes before the empty one.
    let after = after.map_or("", QueueName::as_str);
    let list = list.persistent(false).bind(i64::from(limit)).bind(after).fetch_one(connection);
    let json: String =
        traced("SELECT legwork.queue", list).await.map_err(OperationError::ListQueues)?;
    serde_json::from_str(&json).map_err(OperationError::Decode)
}

/// Stops claiming from a queue, for the asker's reason; true where it wasn't paused before.
pub async fn pause_queue(
    connection: &mut Connection,
    queue: &QueueName,
    end: End,
    asker: &Asker,
) -> Result<bool, OperationError> {
    let (until, seconds) = end.parts();
    let pause = sqlx::query_scalar(include_str!("../sql/pause_queue.sql"))
        .persistent(false)
        .bind(queue.as_str())
        .bind(asker.actor.as_deref())
        .bind(asker.reason.as_deref())
        .bind(asker.request_id.as_deref())
        .bind(asker.only_if.clone())
        .bind(until)
        .bind(seconds)
        .fetch_one(connection);
    let done = traced("SELECT legwork.pause", pause).await;
    done.map_err(OperationError::PauseQueue).and_then(unchanged)
}

/// Lets a queue run again; true where it was paused.
pub async fn resume_queue(
    connection: &mut Connection,
    queue: &QueueName,
    asker: &Asker,
) -> Result<bool, OperationError> {
    let resume = sqlx::query_scalar(include_str!("../sql/resume_queue.sql"))
        .persistent(false)
        .bind(queue.as_str())
        .bind(asker.actor.as_deref())
        .bind(asker.reason.as_deref())
        .bind(asker.request_id.as_deref())
        .bind(asker.only_if.clone())
        .fetch_one(connection);
    let done = traced("SELECT legwork.resume", resume).await;
    done.map_err(OperationError::ResumeQueue).and_then(unchanged)
}

/// What was done, unless the queue isn't as whoever asked has seen it.
pub(super) fn unchanged(done: Option<bool>) -> Result<bool, OperationError> {
    done.ok_or(OperationError::Changed)
}
