//! How an attempt can end, on paused time.

use super::*;
use crate::{
    executor::{AttemptLimits, HandlerError, HandlerFuture, Registry, StopOrder, TypedHandler},
    job::{ClaimedJob, DiscardReason, JobId, JobResult, KindName, Lease, QueueName, Written},
};
use rstest::rstest;
use std::{future::pending, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(5);
const SHORT_GRACE: Duration = Duration::from_secs(2);

fn context(payload: &str) -> Context {
    let job = ClaimedJob::new(
        Lease { job: JobId(1), token: 1, holder: 1 },
        QueueName::new("q").expect("a name"),
        KindName::new("k").expect("a name"),
        payload,
    );
    let limits =
        AttemptLimits { timeout: LIMIT, max_attempts: 3, grace_without_lease: SHORT_GRACE };
    Context::new(job, limits, CancellationToken::new())
}

/// What a handler does after it was told to stop.
#[derive(Clone)]
enum Told {
    Ignores,
    PanicsWhenDropped,
    Decides(Outcome),
    Panics,
}

/// Something that a handler holds while it waits.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("while dropped");
    }
}

impl Handler for Told {
    fn run<'a>(&'a self, context: &'a Context) -> HandlerFuture<'a> {
        Box::pin(async move {
            context.cancellation().cancelled().await;
            match self {
                Self::Ignores => pending().await,
                Self::PanicsWhenDropped => {
                    let _bomb = Bomb;
                    pending().await
                }
                Self::Decides(outcome) => outcome.clone(),
                Self::Panics => panic!("while stopping"),
            }
        })
    }

    fn stop_grace(&self) -> Duration {
        GRACE
    }
}

async fn stopped(handler: &Told, why: Stop) -> Ending {
    let (context, stop) = (context("{}"), StopOrder::default());
    stop.give(why);
    context.cancellation().cancel();
    execute(handler, &context, &stop).await
}

fn complete() -> Outcome {
    Outcome::Complete { result: JobResult::new("1".into()) }
}

fn retry() -> Outcome {
    Outcome::Retry { error: JobError::new("broke off"), after: None }
}

fn discard() -> Outcome {
    let (reason, error) = (DiscardReason::PermanentError, JobError::new("no"));
    Outcome::Discard { reason, error }
}

#[rstest]
#[case::cancelled_and_stops(Told::Decides(Outcome::Cancel), Stop::Cancelled, Ending::Cancelled)]
#[case::cancelled_and_fails(Told::Decides(retry()), Stop::Cancelled, Ending::Cancelled)]
#[case::cancelled_but_done(Told::Decides(complete()), Stop::Cancelled, Ending::Decided(complete()))]
#[case::cancelled_but_hopeless(
    Told::Decides(discard()),
    Stop::Cancelled,
    Ending::Decided(discard())
)]
#[case::shutdown_and_fails(Told::Decides(retry()), Stop::Shutdown, Ending::Interrupted)]
#[case::shutdown_and_snoozes(
    Told::Decides(Outcome::Snooze { delay: None }), Stop::Shutdown, Ending::Interrupted
)]
#[case::lease_lost(Told::Decides(Outcome::Cancel), Stop::LeaseLost, Ending::Interrupted)]
#[case::ignores_cancel(Told::Ignores, Stop::Cancelled, Ending::Cancelled)]
#[case::ignores_shutdown(Told::Ignores, Stop::Shutdown, Ending::Interrupted)]
#[case::shutdown_and_panics(Told::Panics, Stop::Shutdown, Ending::Interrupted)]
#[case::lease_lost_and_panics(Told::Panics, Stop::LeaseLost, Ending::Interrupted)]
#[case::cancelled_and_panics(
    Told::Panics,
    Stop::Cancelled,
    Ending::Panicked(JobError::new("panic: while stopping"))
)]
#[tokio::test(start_paused = true)]
async fn a_stop_ends_an_attempt(#[case] told: Told, #[case] why: Stop, #[case] expected: Ending) {
    assert_eq!(stopped(&told, why).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_as_it_is_dropped_takes_no_verdict_along() {
    assert_eq!(stopped(&Told::PanicsWhenDropped, Stop::Cancelled).await, Ending::Cancelled);
    let overdue = context("{}");
    let ending = execute(&Told::PanicsWhenDropped, &overdue, &StopOrder::default()).await;
    assert_eq!(ending, Ending::TimedOut { limit: LIMIT, told: None });
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_ignores_its_stop_is_dropped_after_its_grace() {
    let start = Instant::now();
    stopped(&Told::Ignores, Stop::Shutdown).await;
    assert_eq!(start.elapsed().as_secs(), GRACE.as_secs());
}

#[rstest]
#[case::at_once(&[(0, Stop::LeaseLost)], SHORT_GRACE)]
#[case::while_it_was_stopping_already(&[(0, Stop::Cancelled), (1, Stop::LeaseLost)], Duration::from_secs(3))]
#[case::too_late_to_matter(&[(0, Stop::Cancelled), (4, Stop::LeaseLost)], GRACE)]
#[tokio::test(start_paused = true)]
async fn without_its_lease_a_handler_has_a_short_grace(
    #[case] orders: &[(u64, Stop)],
    #[case] lasts: Duration,
) {
    let (context, stop, start) = (context("{}"), StopOrder::default(), Instant::now());
    let give = async {
        for (at, why) in orders {
            tokio::time::sleep_until(start + Duration::from_secs(*at)).await;
            stop.give(*why);
            context.cancellation().cancel();
        }
    };
    tokio::join!(execute(&Told::Ignores, &context, &stop), give);
    assert_eq!(start.elapsed().as_secs(), lasts.as_secs());
}

#[rstest]
#[case::ignores(Told::Ignores, LIMIT + GRACE, None)]
#[case::too_late_to_count(Told::Decides(complete()), LIMIT, None)]
#[case::says_why(Told::Decides(retry()), LIMIT, Some(JobError::new("broke off")))]
#[tokio::test(start_paused = true)]
async fn an_overdue_attempt_times_out(
    #[case] handler: Told,
    #[case] lasts: Duration,
    #[case] told: Option<JobError>,
) {
    let start = Instant::now();
    let ending = execute(&handler, &context("{}"), &StopOrder::default()).await;
    assert_eq!(ending, Ending::TimedOut { limit: LIMIT, told });
    assert_eq!(start.elapsed().as_secs(), lasts.as_secs());
}

/// Decodes any JSON, then does as its payload says.
struct Typed;

impl TypedHandler for Typed {
    type Payload = serde_json::Value;
    type Result = serde_json::Value;

    async fn handle(
        &self,
        payload: Self::Payload,
        _context: &Context,
    ) -> Result<Self::Result, HandlerError> {
        match payload.as_str() {
            Some("panic") => panic!("on purpose"),
            Some("huge panic") => panic!("{}", "x".repeat(100_000_000)),
            Some("huge error") => Err(HandlerError::retry("x".repeat(100_000_000))),
            _ => Ok(payload),
        }
    }
}

async fn typed(payload: &str) -> Ending {
    let kind = KindName::new("k").expect("a name");
    let registry = Registry::default().with_typed(kind, Typed);
    let handler = registry.get("k").expect("registered");
    execute(handler.as_ref(), &context(payload), &StopOrder::default()).await
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_attempt_and_nothing_else() {
    assert_eq!(typed(r#""panic""#).await, Ending::Panicked(JobError::new("panic: on purpose")));
    assert_eq!(typed("1").await, Ending::Decided(complete()));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_100_mb_is_kept_short() {
    let (Ending::Panicked(panic), Ending::Decided(Outcome::Retry { error, .. })) =
        (typed(r#""huge panic""#).await, typed(r#""huge error""#).await)
    else {
        panic!("a panic and a retry");
    };
    assert!(panic.as_str().len() <= 8192 && error.as_str().len() <= 8192);
}

#[rstest]
#[case::not_json("{")]
#[case::deeper_than_any_stack(&("[".repeat(5000) + &"]".repeat(5000)))]
#[tokio::test(start_paused = true)]
async fn a_payload_that_does_not_decode_is_discarded(#[case] payload: &str) {
    let ending = typed(payload).await;
    let invalid = DiscardReason::InvalidPayload;
    assert!(
        matches!(&ending, Ending::Decided(Outcome::Discard { reason, .. }) if *reason == invalid),
        "{ending:?}"
    );
}

#[rstest]
#[case::committed(Written::Completed)]
#[case::rolled_back(Written::Late)]
#[case::in_doubt(Written::Unknown)]
#[tokio::test(start_paused = true)]
async fn what_stands_in_the_database_counts_at_the_deadline_and_after_any_stop(
    #[case] written: Written,
) {
    let handler = Told::Decides(Outcome::Written(written));
    let ending = Ending::Decided(Outcome::Written(written));
    assert_eq!(execute(&handler, &context("{}"), &StopOrder::default()).await, ending);
    for why in [Stop::Cancelled, Stop::Shutdown, Stop::LeaseLost] {
        assert_eq!(stopped(&handler, why).await, ending, "{why:?}");
    }
}
