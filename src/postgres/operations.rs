//! What operators and producers do to jobs and queues, besides a plain INSERT.
//!
//! The command line and the HTTP API call the same functions, so that both know the same things by the
//! same names. Each is one statement, whatever the number of rows; moments come as text that the
//! database wrote, because a row may hold one that no client type can.
//!
//! Nothing here decides policy: what may be cancelled or retried is decided by the SQL functions,
//! under the row's lock.

mod change;
mod enqueue;
mod error;
mod jobs;
mod lease;
mod nature;
mod queues;
mod schedules;
mod session;

pub use change::{Change, IDS_MAX, cancel_jobs, discard_jobs, retry_jobs, snooze_jobs};
pub use enqueue::enqueue_job;
pub(in crate::postgres) use enqueue::insert;
pub use error::OperationError;
pub use jobs::{
    ATTEMPTS_MAX, Attempt, Gate, JobDetail, JobFilter, JobPage, JobSummary, PAGE_MAX, explain_job,
    list_jobs, show_job, show_public_job,
};
pub use lease::assert_lease;
pub use nature::{Nature, Said, is_forbidden, nature, said};
pub use queues::{QUEUES_MAX, QueueList, QueueRow, list_queues, pause_queue, resume_queue};
pub use schedules::{Ran, look_at_schedules, run_schedule};
pub use session::{Connection, Frame, Limit, open};
