//! What a program is told about its attempt by its environment: the names.

/// A variable of Legwork's own. Whoever reads `LEGWORK_…` as configuration lets these through: a program
/// may call `legwork` itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobVariable {
    /// Which job.
    JobId,
    /// Its kind.
    Kind,
    /// Its queue.
    Queue,
    /// Which attempt, from 1.
    Attempt,
    /// How many there may be.
    MaxAttempts,
    /// Whether a failure now is the last.
    FinalAttempt,
    /// When the attempt's time is up.
    Deadline,
    /// The fence.
    LeaseToken,
    /// Where more can be said than by an exit code.
    ResultFd,
    /// The request that the job comes from.
    RequestId,
    /// The user that the job comes from.
    UserId,
}

impl JobVariable {
    /// Each of them. One that isn't listed here is neither set nor let through.
    pub const ALL: [Self; 11] = [
        Self::JobId,
        Self::Kind,
        Self::Queue,
        Self::Attempt,
        Self::MaxAttempts,
        Self::FinalAttempt,
        Self::Deadline,
        Self::LeaseToken,
        Self::ResultFd,
        Self::RequestId,
        Self::UserId,
    ];

    /// As the environment has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::JobId => "LEGWORK_JOB_ID",
            Self::Kind => "LEGWORK_KIND",
            Self::Queue => "LEGWORK_QUEUE",
            Self::Attempt => "LEGWORK_ATTEMPT",
            Self::MaxAttempts => "LEGWORK_MAX_ATTEMPTS",
            Self::FinalAttempt => "LEGWORK_FINAL_ATTEMPT",
            Self::Deadline => "LEGWORK_DEADLINE",
            Self::LeaseToken => "LEGWORK_LEASE_TOKEN",
            Self::ResultFd => "LEGWORK_RESULT_FD",
            Self::RequestId => "LEGWORK_REQUEST_ID",
            Self::UserId => "LEGWORK_USER_ID",
        }
    }
}
