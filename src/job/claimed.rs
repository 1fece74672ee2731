//! A claimed job, as the daemon holds it between claim and verdict.
//!
//! Timestamps that producers wrote aren't here: one `run_at = 'infinity'` must not be able to
//! break the decoding of a whole batch. What the daemon needs of them comes as plain numbers that
//! the database computed.

use super::{KindName, QueueName};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// The number of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub i64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The right to finish one attempt of one job: every write that ends it must show all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Which job.
    pub job: JobId,
    /// Goes up by one at each claim and never down.
    pub token: i64,
    /// The boot id of the daemon that claimed it.
    pub holder: i64,
}

/// Where the database keeps a row: a hint that saves looking for it by its number. Whoever goes by it checks
/// the lease all the same, since the row may have moved, and another may lie there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Page of the table.
    pub block: u32,
    /// Line of the page.
    pub line: u16,
}

/// The span of a claim that is told of, so that attempts can point to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its trace.
    pub trace: u128,
    /// Itself.
    pub span: u64,
}

/// One job between its claim and its verdict.
#[derive(Debug, Clone)]
pub struct ClaimedJob {
    /// What proves that the attempt is ours.
    pub lease: Lease,
    /// Where its row lay then, where it was claimed from a database.
    pub place: Option<Place>,
    /// Place in line; the lowest runs first within a priority.
    pub seq: i64,
    /// −2 … 2, lower runs first.
    pub priority: i16,
    /// Charged executions that ended before this one.
    pub charged: u16,
    /// How often the job was returned after its daemon died.
    pub rescues: u16,
    /// How often it was snoozed.
    pub snoozes: u16,
    /// The row's own limit; the kind's applies where it is absent.
    pub max_attempts: Option<u16>,
    /// Where it waited.
    pub queue: QueueName,
    /// What runs it.
    pub kind: KindName,
    /// Its input, JSON text as Postgres renders it.
    pub payload: String,
    /// The row's own limit on an attempt.
    pub timeout: Option<Duration>,
    /// Whether `expires_at` had passed when it was claimed.
    pub expired: bool,
    /// How much time was left until then, where the row has an `expires_at`.
    pub expires_in: Option<Duration>,
    /// Whether somebody wanted it stopped before it was claimed: under an attempt that was interrupted,
    /// or while it waited for a rate limit.
    pub cancel_requested: bool,
    /// How long it had been due when its claim began.
    pub waited: Duration,
    /// How long ago it was enqueued when its claim began.
    pub enqueued_for: Duration,
    /// When that was, on our clock, where it was claimed from a database.
    pub claim_began: Option<Instant>,
    /// `metadata` as JSON text, where the row has any.
    pub metadata: Option<String>,
    /// The span of its claim, shared by all that it took; absent where nobody is told of that.
    pub received: Option<Arc<Received>>,
}

impl ClaimedJob {
    /// A job at its first attempt that has nothing but what every job has: for trying a handler without
    /// a database.
    pub fn new(lease: Lease, queue: QueueName, kind: KindName, payload: impl Into<String>) -> Self {
        Self {
            lease,
            place: None,
            seq: lease.job.0,
            priority: 0,
            charged: 0,
            rescues: 0,
            snoozes: 0,
            max_attempts: None,
            queue,
            kind,
            payload: payload.into(),
            timeout: None,
            expired: false,
            expires_in: None,
            cancel_requested: false,
            waited: Duration::ZERO,
            enqueued_for: Duration::ZERO,
            claim_began: None,
            metadata: None,
            received: None,
        }
    }

    /// How long it has been due by now: in line, and since its claim began.
    pub fn due_for(&self) -> Duration {
        self.waited.saturating_add(self.claimed_for())
    }

    /// How long ago it was enqueued.
    pub fn age(&self) -> Duration {
        self.enqueued_for.saturating_add(self.claimed_for())
    }

    fn claimed_for(&self) -> Duration {
        self.claim_began.map_or(Duration::ZERO, |began| began.elapsed())
    }

    /// The number of the attempt that is about to run, from 1.
    pub fn attempt(&self) -> u16 {
        self.charged.saturating_add(1)
    }
}
