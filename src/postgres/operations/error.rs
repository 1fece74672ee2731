//! Why an operation failed: which one, and what the database said.

use super::{Nature, is_forbidden, nature::is_no_answer};
use crate::postgres::{
    ConnectError,
    producer::{BrokenRule, broken_in_database},
    roles,
};
use std::time::Duration;

/// An operation that failed. Display names the operation; the source has the cause.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The configuration names no database.
    #[error("no database is configured")]
    NoAddress,
    /// No session could be had.
    #[error("couldn't connect to the database")]
    Connect(#[from] ConnectError),
    /// The server took the connection and said nothing more.
    #[error("the database didn't answer within {limit:?} of connecting")]
    Silent {
        /// How long was waited (`database.connect_timeout`).
        limit: Duration,
    },
    /// The server was asked and said nothing: what it was asked for may be done.
    #[error("the database didn't answer within {limit:?} of being asked")]
    Unanswered {
        /// How long was waited.
        limit: Duration,
    },
    /// The session's limits couldn't be set.
    #[error("couldn't limit the session's statements")]
    Limit(#[source] sqlx::Error),
    /// What was done may not be committed.
    #[error("couldn't commit")]
    Commit(#[source] sqlx::Error),
    /// The job wasn't enqueued.
    #[error("couldn't enqueue the job")]
    Enqueue(#[source] sqlx::Error),
    /// What is known of a request's key couldn't be looked up or kept.
    #[error("couldn't look at the request's key")]
    Once(#[source] sqlx::Error),
    /// Which job has a unique key couldn't be looked up.
    #[error("couldn't find the job that has the unique key")]
    FindUnique(#[source] sqlx::Error),
    /// Others with the same unique key came and finished each time.
    #[error("unfinished jobs with this unique key come and go: none was enqueued")]
    Elusive,
    /// The attempt has lost its lease, or that couldn't be looked at.
    #[error("couldn't show that the attempt still owns its job")]
    AssertLease(#[source] sqlx::Error),
    /// Jobs couldn't be listed.
    #[error("couldn't list jobs")]
    ListJobs(#[source] sqlx::Error),
    /// Nor by what is in their payloads.
    #[error("couldn't list jobs by their payloads")]
    ListPayloads(#[source] sqlx::Error),
    /// A job couldn't be read.
    #[error("couldn't read the job")]
    ShowJob(#[source] sqlx::Error),
    /// Why a job waits couldn't be found out.
    #[error("couldn't find out why the job isn't running")]
    ExplainJob(#[source] sqlx::Error),
    /// None of the jobs was cancelled.
    #[error("couldn't cancel{}", untouched(.0))]
    CancelJobs(#[source] sqlx::Error),
    /// None of the jobs was retried.
    #[error("couldn't retry{}", untouched(.0))]
    RetryJobs(#[source] sqlx::Error),
    /// None of the jobs was discarded.
    #[error("couldn't discard{}", untouched(.0))]
    DiscardJobs(#[source] sqlx::Error),
    /// None of the jobs was put off.
    #[error("couldn't snooze{}", untouched(.0))]
    SnoozeJobs(#[source] sqlx::Error),
    /// More ids than one statement takes.
    #[error("{given} jobs were named and one operation takes {most}")]
    TooManyJobs {
        /// How many were named.
        given: usize,
        /// How many may be.
        most: usize,
    },
    /// Queues couldn't be listed.
    #[error("couldn't list queues")]
    ListQueues(#[source] sqlx::Error),
    /// A queue couldn't be looked at.
    #[error("couldn't look at the queue")]
    ShowQueue(#[source] sqlx::Error),
    /// Daemons couldn't be listed.
    #[error("couldn't list the daemons")]
    ListDaemons(#[source] sqlx::Error),
    /// All sessions that there may be were in use for too long.
    #[error("all {most} {of} of the admin port are in use")]
    Busy {
        /// Of what.
        of: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// The queue wasn't paused.
    #[error("couldn't pause the queue")]
    PauseQueue(#[source] sqlx::Error),
    /// The queue wasn't resumed.
    #[error("couldn't resume the queue")]
    ResumeQueue(#[source] sqlx::Error),
    /// Nothing was decided for the queue.
    #[error("couldn't override the queue's settings")]
    OverrideQueue(#[source] sqlx::Error),
    /// What was decided for the queue stays.
    #[error("couldn't take the queue's overrides away")]
    ResetQueue(#[source] sqlx::Error),
    /// The daemon wasn't told.
    #[error("couldn't tell the daemon")]
    TellDaemon(#[source] sqlx::Error),
    /// What was done couldn't be noted.
    #[error("couldn't note what was done")]
    Note(#[source] sqlx::Error),
    /// How far schedules are couldn't be read.
    #[error("couldn't read how far the schedules are")]
    LookAtSchedules(#[source] sqlx::Error),
    /// The schedule's job wasn't enqueued.
    #[error("couldn't enqueue the schedule's job")]
    RunSchedule(#[source] sqlx::Error),
    /// The jobs that an operation would be about couldn't be counted.
    #[error("couldn't count the jobs")]
    TryBulk(#[source] sqlx::Error),
    /// The operation wasn't begun.
    #[error("couldn't begin the operation{}", untouched(.0))]
    BeginBulk(#[source] sqlx::Error),
    /// A batch of an operation wasn't done.
    #[error("couldn't go on with the operation; what was done stays done")]
    StepBulk(#[source] sqlx::Error),
    /// An operation couldn't be read.
    #[error("couldn't read the operation")]
    ShowOperation(#[source] sqlx::Error),
    /// The operations couldn't be listed.
    #[error("couldn't list the operations")]
    ListOperations(#[source] sqlx::Error),
    /// The operation wasn't ended.
    #[error("couldn't end the operation")]
    CancelBulk(#[source] sqlx::Error),
    /// Notes couldn't be listed.
    #[error("couldn't list what people changed")]
    ListNotes(#[source] sqlx::Error),
    /// What the server knows of itself couldn't be read.
    #[error("couldn't look into the server")]
    LookIntoServer(#[source] sqlx::Error),
    /// It isn't as whoever asked has seen it, and was left alone.
    #[error("it was changed meanwhile")]
    Changed,
    /// The database answered in a shape that this release doesn't know.
    #[error("couldn't read the database's answer")]
    Decode(#[source] serde_json::Error),
}

/// What is promised of a statement that failed, unless nobody said what became of it.
fn untouched(error: &sqlx::Error) -> &'static str {
    if is_no_answer(error) { "" } else { "; no job was changed" }
}

impl OperationError {
    /// What kind of failure it is, for whoever branches.
    pub fn nature(&self) -> Nature {
        match self {
            Self::NoAddress => Nature::Address,
            Self::Connect(error) => Nature::of_connect(error),
            Self::Silent { .. } | Self::Unanswered { .. } => Nature::Unreachable,
            Self::Busy { .. } | Self::Elusive => Nature::Temporary,
            Self::TooManyJobs { .. } | Self::Changed | Self::Decode(_) => Nature::Refused,
            other => other.database().map_or(Nature::Refused, Nature::of),
        }
    }

    /// Whether what was asked for may have been done all the same: it was sent, and whether the server did it isn't known.
    pub fn may_be_done(&self) -> bool {
        match self {
            Self::Unanswered { .. } => true,
            // Before anything was sent, or within a transaction that is gone.
            Self::Limit(_) => false,
            other => other.database().is_some_and(is_no_answer),
        }
    }

    /// The role whose rights the session lacks, where that is why the operation failed.
    pub fn missing_role(&self) -> Option<&'static str> {
        let refused = self.database().filter(|error| is_forbidden(*error));
        refused.map(|_| match self {
            Self::Enqueue(_) | Self::AssertLease(_) => roles::ENQUEUE,
            Self::ListJobs(_)
            | Self::ShowJob(_)
            | Self::ExplainJob(_)
            | Self::ListQueues(_)
            | Self::ShowQueue(_)
            | Self::LookIntoServer(_)
            | Self::ListDaemons(_)
            | Self::ListNotes(_)
            | Self::LookAtSchedules(_) => roles::READ,
            Self::ListPayloads(_)
            | Self::ShowOperation(_)
            | Self::ListOperations(_)
            | Self::RunSchedule(_)
            | Self::Note(_) => roles::DAEMON,
            _ => roles::OPERATOR,
        })
    }

    /// The rule of a producer's column that was broken, where that is why.
    pub fn broken_rule(&self) -> Option<BrokenRule> {
        broken_in_database(self.database()?)
    }

    /// SQLSTATE, where the database gave one.
    pub fn sqlstate(&self) -> Option<String> {
        let error = self.database()?.as_database_error()?;
        error.code().map(Into::into)
    }

    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Limit(source)
            | Self::Commit(source)
            | Self::Enqueue(source)
            | Self::FindUnique(source)
            | Self::Once(source)
            | Self::AssertLease(source)
            | Self::ListJobs(source)
            | Self::ListPayloads(source)
            | Self::ShowJob(source)
            | Self::ExplainJob(source)
            | Self::CancelJobs(source)
            | Self::RetryJobs(source)
            | Self::DiscardJobs(source)
            | Self::SnoozeJobs(source)
            | Self::ListQueues(source)
            | Self::ShowQueue(source)
            | Self::ListDaemons(source)
            | Self::ListNotes(source)
            | Self::LookIntoServer(source)
            | Self::TryBulk(source)
            | Self::BeginBulk(source)
            | Self::StepBulk(source)
            | Self::ShowOperation(source)
            | Self::ListOperations(source)
            | Self::CancelBulk(source)
            | Self::PauseQueue(source)
            | Self::ResumeQueue(source)
            | Self::OverrideQueue(source)
            | Self::ResetQueue(source)
            | Self::TellDaemon(source)
            | Self::Note(source)
            | Self::LookAtSchedules(source)
            | Self::RunSchedule(source) => Some(source),
            Self::NoAddress
            | Self::Connect(_)
            | Self::Silent { .. }
            | Self::Unanswered { .. }
            | Self::Busy { .. }
            | Self::Elusive
            | Self::TooManyJobs { .. }
            | Self::Changed
            | Self::Decode(_) => None,
        }
    }
}
