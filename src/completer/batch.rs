//! Sorts verdicts into the statements that write them. Pure.

use super::Settled;
use crate::{
    config::{Kept, Retentions},
    job::{DiscardReason, KindName, Verdict},
};
use std::time::Duration;

/// A job that is over.
#[derive(Debug, Clone)]
pub struct Final {
    /// The verdict it came from.
    pub settled: Settled,
    /// Days that history keeps it; `None` keeps nothing.
    pub days: Option<i32>,
}

impl Final {
    /// The word in `finished.outcome`.
    pub fn outcome(&self) -> &'static str {
        match self.settled.verdict {
            Verdict::Cancel => "cancelled",
            Verdict::Discard { .. } => "discarded",
            Verdict::Complete { .. }
            | Verdict::Retry { .. }
            | Verdict::Snooze { .. }
            | Verdict::Park { .. }
            | Verdict::Release
            | Verdict::Written
            | Verdict::Late => "completed",
        }
    }

    /// The word in `finished.reason`.
    pub fn reason(&self) -> Option<&'static str> {
        match &self.settled.verdict {
            Verdict::Discard { reason } => Some(DiscardReason::as_str(*reason)),
            Verdict::Cancel => Some("cancel_requested"),
            Verdict::Complete { .. }
            | Verdict::Retry { .. }
            | Verdict::Snooze { .. }
            | Verdict::Park { .. }
            | Verdict::Release
            | Verdict::Written
            | Verdict::Late => None,
        }
    }

    /// The same end, leaving nothing behind.
    pub(super) fn without_result(&self) -> Self {
        let settled =
            Settled { verdict: Verdict::Complete { result: None }, ..self.settled.clone() };
        Self { settled, days: self.days }
    }

    /// What the job leaves behind.
    pub fn result(&self) -> Option<&str> {
        self.settled.result()
    }
}

/// Which statement writes a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Final,
    Back,
    Release,
    /// None: there is nothing left to write.
    Nothing,
}

impl Part {
    pub(super) fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Complete { .. } | Verdict::Cancel | Verdict::Discard { .. } => Self::Final,
            Verdict::Retry { .. } | Verdict::Snooze { .. } | Verdict::Park { .. } => Self::Back,
            Verdict::Release => Self::Release,
            Verdict::Written | Verdict::Late => Self::Nothing,
        }
    }
}

/// A job that waits again.
#[derive(Debug, Clone)]
pub struct Back {
    /// The verdict it came from.
    pub settled: Settled,
    /// How long it waits, in seconds.
    pub delay_seconds: f64,
    /// Whether this was a snooze.
    pub snoozed: bool,
}

impl Back {
    /// A job that is over and can't be written down so.
    pub(super) fn of_refused(row: &Final, delay: Duration) -> Self {
        let settled = Settled { verdict: Verdict::Retry { delay }, ..row.settled.clone() };
        Self { settled, delay_seconds: delay.as_secs_f64(), snoozed: false }
    }
}

/// The record of a failed attempt.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The verdict it belongs to.
    pub settled: Settled,
    /// Days that history keeps it.
    pub days: i32,
}

/// What a statement writes one row for.
pub(super) trait Row {
    /// The verdict that it came from.
    fn settled(&self) -> &Settled;
    /// How long the texts are that it carries.
    fn bytes(&self) -> usize {
        0
    }
}

impl Row for Final {
    fn settled(&self) -> &Settled {
        &self.settled
    }

    fn bytes(&self) -> usize {
        self.result().map_or(0, str::len)
    }
}

impl Row for Back {
    fn settled(&self) -> &Settled {
        &self.settled
    }
}

impl Row for Failure {
    fn settled(&self) -> &Settled {
        &self.settled
    }

    fn bytes(&self) -> usize {
        self.settled.failure.as_ref().map_or(0, |failed| failed.error.as_str().len())
    }
}

impl Row for Settled {
    fn settled(&self) -> &Settled {
        self
    }
}

/// The verdicts of one flush, by statement.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Records of failed attempts.
    pub failures: Vec<Failure>,
    /// Over.
    pub finals: Vec<Final>,
    /// Waiting again.
    pub backs: Vec<Back>,
    /// Given back as they were.
    pub releases: Vec<Settled>,
    /// Written already, or not to be written: only told of.
    pub written: Vec<Settled>,
}

impl Batch {
    /// Sorts; nothing is lost and nothing doubled.
    pub fn sort(verdicts: impl IntoIterator<Item = Settled>, retention: &Kept) -> Self {
        let mut batch = Self::default();
        for settled in verdicts {
            let kept = retention.get(&settled.queue).copied().unwrap_or_default();
            // What a canary tells is told by then.
            let is_canary = settled.kind.as_ref().is_some_and(KindName::is_canary);
            let kept = if is_canary { Retentions::NOTHING } else { kept };
            // A failed attempt is kept as long as a discarded job: it is what people look for then.
            if let (Some(_), Some(days)) = (&settled.failure, kept.discarded.days()) {
                batch.failures.push(Failure { settled: settled.clone(), days });
            }
            match settled.verdict {
                Verdict::Complete { .. } => {
                    batch.finals.push(Final { days: kept.completed.days(), settled });
                }
                Verdict::Cancel => {
                    batch.finals.push(Final { days: kept.cancelled.days(), settled });
                }
                Verdict::Discard { .. } => {
                    batch.finals.push(Final { days: kept.discarded.days(), settled });
                }
                Verdict::Retry { delay } | Verdict::Snooze { delay } | Verdict::Park { delay } => {
                    let snoozed = matches!(settled.verdict, Verdict::Snooze { .. });
                    let delay_seconds = delay.as_secs_f64();
                    batch.backs.push(Back { settled, delay_seconds, snoozed });
                }
                Verdict::Release => batch.releases.push(settled),
                Verdict::Written | Verdict::Late => batch.written.push(settled),
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Cause, FailedAttempt, JobError, JobId, Lease, QueueName};
    use proptest::prelude::*;
    use std::time::Duration;

    fn settled(id: i64, verdict: Verdict, failed: bool) -> Settled {
        let error = JobError::new("no");
        Settled {
            lease: Lease { job: JobId(id), token: 1, holder: 1 },
            place: None,
            queue: QueueName::new("default").expect("a name"),
            kind: None,
            origin: None,
            span: None,
            verdict,
            failure: failed.then_some(FailedAttempt { cause: Cause::Failed, error }),
            attempt: 1,
            charged: failed,
            took: None,
            metrics: None,
            keeps: None,
        }
    }

    fn any_verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            Just(Verdict::Complete { result: None }),
            Just(Verdict::Cancel),
            Just(Verdict::Discard { reason: DiscardReason::Expired }),
            Just(Verdict::Retry { delay: Duration::from_secs(1) }),
            Just(Verdict::Snooze { delay: Duration::from_secs(1) }),
            Just(Verdict::Park { delay: Duration::from_secs(1) }),
            Just(Verdict::Release),
            Just(Verdict::Written),
            Just(Verdict::Late),
        ]
    }

    proptest! {
        #[test]
        fn every_verdict_lands_in_exactly_one_statement_and_every_failure_is_recorded(
            verdicts in proptest::collection::vec((any_verdict(), any::<bool>()), 0..200),
        ) {
            let failures = verdicts.iter().filter(|(_, failed)| *failed).count();
            let all: Vec<_> = (0i64..)
                .zip(&verdicts)
                .map(|(id, (verdict, failed))| settled(id, verdict.clone(), *failed))
                .collect();
            let batch = Batch::sort(all, &Kept::new());
            let mut ids: Vec<i64> = batch.finals.iter().map(|f| f.settled.lease.job.0)
                .chain(batch.backs.iter().map(|b| b.settled.lease.job.0))
                .chain(batch.releases.iter().map(|r| r.lease.job.0))
                .chain(batch.written.iter().map(|w| w.lease.job.0))
                .collect();
            ids.sort_unstable();
            prop_assert_eq!(ids, (0i64..).take(verdicts.len()).collect::<Vec<_>>());
            prop_assert_eq!(batch.failures.len(), failures);
        }
    }
}
