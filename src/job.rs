//! The domain: what a job is, what can become of it, and who may say so.
//!
//! Everything here is pure: values in, values out. It knows no database, no clock and no task,
//! so that each rule can be read, tested and modelled without starting anything.

mod action;
mod backoff;
mod claimed;
mod name;
mod outcome;
mod policy;
mod rate;
mod retention;
mod state;
mod variable;
mod verdict;

pub use action::{ACTION_DELAY_MAX, Action};
pub use backoff::{Backoff, BackoffError};
pub use claimed::{ClaimedJob, JobId, Lease, Place, Received};
pub(crate) use name::NAME_PATTERN;
pub use name::{KindName, NameError, QueueName, ScheduleName};
pub(crate) use outcome::is_storable_json;
pub use outcome::{DiscardReason, Ending, JobError, JobResult, Outcome, Written};
pub use policy::{KindPolicy, refuse_before_running};
pub use rate::{RateLimit, RateLimitError};
pub use retention::{RETENTION_MAX, Retention};
pub use state::{State, Transition};
pub use variable::JobVariable;
pub use verdict::{Cause, FailedAttempt, Ruling, Verdict, rule};
