//! The seven states that people see, and every transition that is legal.
//!
//! State is derived, never stored (ADR 0001). This table is the one place that knows which moves
//! exist; the statements in `postgres/sql` and the diagram in `docs/sql.md` are tested against it.

use std::fmt;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Due in the future, never attempted.
    Scheduled,
    /// In line.
    Available,
    /// A daemon holds its lease.
    Running,
    /// Waiting for its backoff or snooze.
    Retryable,
    /// Done.
    Completed,
    /// Stopped on request.
    Cancelled,
    /// Will not run again.
    Discarded,
}

/// A move that some statement makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transition {
    /// A waiting job became due and takes a fresh place in line.
    Promote,
    /// A daemon takes a lease.
    Claim,
    /// The handler succeeded.
    Complete,
    /// Failed; the attempt is charged.
    Retry,
    /// Put off; the attempt isn't charged.
    Snooze,
    /// Will not run again.
    Discard,
    /// Stopped on request.
    Cancel,
    /// Given back unstarted or interrupted.
    Release,
    /// Returned after its daemon died.
    Rescue,
    /// Taken up again by an operator.
    Redrive,
}

use State::{Available, Cancelled, Completed, Discarded, Retryable, Running, Scheduled};
use Transition::{
    Cancel, Claim, Complete, Discard, Promote, Redrive, Release, Rescue, Retry, Snooze,
};

impl State {
    /// All seven, in the order of a job's life.
    pub const ALL: [Self; 7] =
        [Scheduled, Available, Running, Retryable, Completed, Cancelled, Discarded];

    /// The word that people see.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheduled => "scheduled",
            Available => "available",
            Running => "running",
            Retryable => "retryable",
            Completed => "completed",
            Cancelled => "cancelled",
            Discarded => "discarded",
        }
    }

    /// Whether the job is over.
    pub fn is_final(self) -> bool {
        matches!(self, Completed | Cancelled | Discarded)
    }

    /// Where `transition` leads from here; nothing where it is forbidden.
    pub fn after(self, transition: Transition) -> &'static [State] {
        match (self, transition) {
            (Scheduled | Retryable, Promote | Redrive)
            | (Running, Release | Rescue)
            | (Completed | Cancelled | Discarded, Redrive) => &[Available],
            (Available, Claim) => &[Running],
            (Running, Complete) => &[Completed],
            // A delay of nothing puts the job back in line at once.
            (Running, Retry) => &[Retryable, Available],
            // A job that never failed waits as scheduled.
            (Running | Available | Scheduled | Retryable, Snooze) => {
                &[Scheduled, Retryable, Available]
            }
            (Running | Available | Scheduled | Retryable, Discard) => &[Discarded],
            (Running | Available | Scheduled | Retryable, Cancel) => &[Cancelled],
            _ => &[],
        }
    }
}

impl Transition {
    /// Every move there is.
    pub const ALL: [Self; 10] =
        [Promote, Claim, Complete, Retry, Snooze, Discard, Cancel, Release, Rescue, Redrive];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_job_can_only_be_redriven() {
        for state in State::ALL.into_iter().filter(|s| s.is_final()) {
            for transition in Transition::ALL {
                let legal = !state.after(transition).is_empty();
                assert_eq!(legal, transition == Redrive, "{state} by {transition:?}");
            }
        }
    }

    #[test]
    fn only_a_claim_leads_to_running_and_only_from_the_line() {
        for state in State::ALL {
            for transition in Transition::ALL {
                let runs = state.after(transition).contains(&Running);
                assert_eq!(runs, (state, transition) == (Available, Claim));
            }
        }
    }

    #[test]
    fn every_state_that_is_not_final_has_a_way_to_a_final_one() {
        for state in State::ALL.into_iter().filter(|s| !s.is_final()) {
            assert!(!state.after(Cancel).is_empty(), "{state} can be cancelled");
        }
    }
}
