//! What operators and producers do to jobs and queues, besides a plain INSERT.
//!
//! The command line and the HTTP API call the same functions, so that both know the same things by the
//! same names. Each is one statement, whatever the number of rows; moments come as text that the
//! database wrote, because a row may hold one that no client type can.
//!
//! Nothing here decides policy: what may be cancelled or retried is decided by the SQL functions,
//! under the row's lock.

mod asker;
mod audit;
mod batch;
mod bulk;
mod change;
mod daemons;
mod decisions;
mod diagnosis;
mod enqueue;
mod error;
mod jobs;
mod lease;
mod list;
mod nature;
mod once;
mod queues;
mod schedules;
mod session;
mod sessions;
mod traced;

pub use asker::{ACTOR_MAX_BYTES, Asker};
pub use audit::{NOTES_MAX, Note, NoteFilter, NotePage, list_notes};
pub use batch::{BATCH_IDS_MAX, BATCHES_MAX, Batch, BatchError, BatchPlace, Sending, Sent};
pub use bulk::{
    Action, Bulk, BulkOperation, OPERATIONS_MAX, OperationPage, OperationState, Trial, begin_bulk,
    cancel_bulk, list_operations, show_operation, step_bulk, try_bulk,
};
pub use change::{Change, DELAY_MAX, IDS_MAX, cancel_jobs, discard_jobs, retry_jobs, snooze_jobs};
pub use daemons::{DaemonList, DaemonRow, DaemonState, list_daemons};
pub use decisions::{End, drain_queue, note, override_queue, reset_queue, tell_daemon};
pub use diagnosis::{server_plans, server_sessions, server_settings, server_tables};
pub(in crate::postgres) use enqueue::insert;
pub use enqueue::{Placed, enqueue_job, enqueue_or_find};
pub use error::OperationError;
pub use jobs::{ATTEMPTS_MAX, Attempt, Gate, JobDetail, explain_job, show_job, show_public_job};
pub use lease::assert_lease;
pub use list::{Extent, JobFilter, JobPage, JobSummary, NotSince, PAGE_MAX, Since, list_jobs};
pub(in crate::postgres) use nature::is_no_answer;
pub use nature::{Nature, Said, is_forbidden, nature, said};
pub use once::{Answer, Once, Request, Turn, enqueue_once, keep_answer, take_turn};
pub use queues::{
    DaemonShare, DecidedSetting, Depth, Effective, FileSettings, Override, QUEUES_MAX, QueueDetail,
    QueueList, QueueRow, QueueSettingsFrom, QueueState, REASON_MAX_BYTES, RetentionSeconds,
    list_queues, list_queues_after, may_look_at_queues, pause_queue, resume_queue, show_queue,
};
pub use schedules::{
    Ran, ScheduleList, ScheduleState, list_schedules, look_at_schedules, metadata_of, run_schedule,
};
pub use session::{Connection, Frame, Limit, open};
pub use sessions::{IDLE_MAX, SESSIONS_MAX, Sessions};
