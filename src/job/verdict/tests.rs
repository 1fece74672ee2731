//! The policy as a table: one row a case.

use super::*;
use crate::job::{Backoff, JobId, KindName, Lease, QueueName, refuse_before_running};
use rstest::rstest;

const S: Duration = Duration::from_secs(1);

fn job(charged: u16) -> ClaimedJob {
    let lease = Lease { job: JobId(1), token: 1, holder: 1 };
    let queue = QueueName::new("default").expect("a name");
    let kind = KindName::new("k").expect("a name");
    ClaimedJob { charged, ..ClaimedJob::new(lease, queue, kind, "{}") }
}

fn policy() -> KindPolicy {
    KindPolicy {
        max_attempts: 3,
        backoff: Backoff::new(2 * S, 2.0, 60 * S, 0.0).expect("a backoff"),
        timeout: 5 * S,
        max_rescues: 3,
        max_snoozes: Some(2),
    }
}

fn error() -> JobError {
    JobError::new("no")
}

#[rstest]
#[case::success(Ending::Decided(Outcome::Complete { result: None }), 0,
    Verdict::Complete { result: None })]
#[case::first_failure(Ending::Decided(Outcome::Retry { error: error(), after: None }), 0,
    Verdict::Retry { delay: 2 * S })]
#[case::second_failure(Ending::Decided(Outcome::Retry { error: error(), after: None }), 1,
    Verdict::Retry { delay: 4 * S })]
#[case::last_failure(Ending::Decided(Outcome::Retry { error: error(), after: None }), 2,
    Verdict::Discard { reason: DiscardReason::AttemptsExhausted })]
#[case::the_handler_knows_when(Ending::Decided(Outcome::Retry { error: error(), after: Some(9 * S) }), 0,
    Verdict::Retry { delay: 9 * S })]
#[case::an_absurd_delay_is_capped(Ending::Decided(Outcome::Snooze { delay: Some(Duration::MAX) }), 0,
    Verdict::Snooze { delay: DELAY_MAX })]
#[case::permanent(
    Ending::Decided(Outcome::Discard { reason: DiscardReason::PermanentError, error: error() }), 0,
    Verdict::Discard { reason: DiscardReason::PermanentError })]
#[case::panic(Ending::Panicked(error()), 0, Verdict::Retry { delay: 2 * S })]
#[case::last_panic(Ending::Panicked(error()), 2,
    Verdict::Discard { reason: DiscardReason::AttemptsExhausted })]
#[case::timeout(Ending::TimedOut { limit: S, told: None }, 0, Verdict::Retry { delay: 2 * S })]
#[case::cancelled(Ending::Cancelled, 2, Verdict::Cancel)]
#[case::interrupted_at_the_last_attempt(Ending::Interrupted, 2, Verdict::Release)]
#[case::written(Ending::Decided(Outcome::Written(Written::Completed)), 2, Verdict::Written)]
#[case::written_too_late(Ending::Decided(Outcome::Written(Written::Late)), 0, Verdict::Late)]
#[case::perhaps_written(Ending::Decided(Outcome::Written(Written::Unknown)), 2, Verdict::Release)]
#[case::refused(Ending::Refused(DiscardReason::Expired), 0,
    Verdict::Discard { reason: DiscardReason::Expired })]
fn an_ending_leads_to_a_verdict(
    #[case] ending: Ending,
    #[case] charged: u16,
    #[case] verdict: Verdict,
) {
    assert_eq!(rule(ending, &job(charged), &policy(), 0.5).verdict, verdict);
}

#[test]
fn a_failure_is_recorded_with_its_cause_and_an_interruption_is_not() {
    let cause = |ending| rule(ending, &job(0), &policy(), 0.5).failure.map(|f| f.cause);
    assert_eq!(cause(Ending::Panicked(error())), Some(Cause::Panicked));
    assert_eq!(cause(Ending::TimedOut { limit: S, told: None }), Some(Cause::TimedOut));
    assert_eq!(cause(Ending::Interrupted), None);
    assert_eq!(cause(Ending::Cancelled), None);
}

/// The verdict on a job that was put off so often before.
fn put_off(snoozes: u16, delay: Option<Duration>, policy: &KindPolicy) -> Verdict {
    let job = ClaimedJob { snoozes, ..job(0) };
    rule(Ending::Decided(Outcome::Snooze { delay }), &job, policy, 0.5).verdict
}

#[rstest]
#[case::first(0, 2)]
#[case::second(1, 4)]
#[case::fifth(4, 32)]
#[case::very_often(9999, 60)]
fn a_snooze_without_a_time_grows_by_the_backoff_and_never_ends(
    #[case] snoozes: u16,
    #[case] seconds: u32,
) {
    let policy = KindPolicy { max_snoozes: None, ..policy() };
    assert_eq!(put_off(snoozes, None, &policy), Verdict::Snooze { delay: S * seconds });
}

#[test]
fn a_snooze_of_nothing_takes_a_second_unless_the_backoff_begins_with_less() {
    assert_eq!(put_off(0, Some(Duration::ZERO), &policy()), Verdict::Snooze { delay: S });
    let backoff = Backoff::new(S / 20, 2.0, S, 0.0).expect("a backoff");
    let quick = KindPolicy { backoff, ..policy() };
    assert_eq!(put_off(0, Some(Duration::ZERO), &quick), Verdict::Snooze { delay: S / 20 });
}

#[test]
fn a_job_is_put_off_as_often_as_its_kind_allows() {
    let mut job = job(0);
    job.snoozes = 2;
    let ending = Ending::Decided(Outcome::Snooze { delay: Some(S) });
    let expected = Verdict::Discard { reason: DiscardReason::SnoozesExhausted };
    assert_eq!(rule(ending, &job, &policy(), 0.5).verdict, expected);
}

#[rstest]
#[case::fresh(0, 0, false, None)]
#[case::attempts(3, 0, false, Some(DiscardReason::AttemptsExhausted))]
#[case::third_rescue_still_runs(2, 3, false, None)]
#[case::fourth_rescue(2, 4, false, Some(DiscardReason::RescuesExhausted))]
#[case::expired(0, 0, true, Some(DiscardReason::Expired))]
fn the_gate_before_running(
    #[case] charged: u16,
    #[case] rescues: u16,
    #[case] expired: bool,
    #[case] refusal: Option<DiscardReason>,
) {
    let job = ClaimedJob { rescues, expired, ..job(charged) };
    assert_eq!(refuse_before_running(&job, &policy()), refusal);
}

#[test]
fn the_row_may_have_limits_of_its_own() {
    let job = ClaimedJob { max_attempts: Some(1), timeout: Some(S), ..job(0) };
    assert_eq!(policy().timeout_of(&job), S);
    let ending = Ending::Decided(Outcome::Retry { error: error(), after: None });
    let expected = Verdict::Discard { reason: DiscardReason::AttemptsExhausted };
    assert_eq!(rule(ending, &job, &policy(), 0.5).verdict, expected);
}

#[test]
fn a_job_that_is_parked_is_charged_nothing_however_often() {
    let parked = |delay| {
        let job = ClaimedJob { snoozes: 10_000, ..job(0) };
        rule(Ending::Decided(Outcome::Park { delay }), &job, &policy(), 0.5)
    };
    assert_eq!(parked(S * 7), Ruling { verdict: Verdict::Park { delay: S * 7 }, failure: None });
    assert_eq!(parked(Duration::ZERO).verdict, Verdict::Park { delay: S });
    assert_eq!(parked(Duration::MAX).verdict, Verdict::Park { delay: DELAY_MAX });
}
