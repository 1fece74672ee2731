//! Tokens that are of one lease and of one process, and words that count exactly where they are answered so.

use super::*;
use crate::{
    executor::{AttemptLimits, Handler, HandlerFuture, StopOrder, Stopped, execute},
    job::{ClaimedJob, Ending, KindName, QueueName},
};
use futures::{FutureExt, poll};
use std::pin::pin;
use tokio_util::sync::CancellationToken;

/// Longest result of each, in bytes.
const MAX_RESULT: usize = 4;

const LEASE: Lease = Lease { job: JobId(42), token: 7, holder: -3 };

impl Stopped for StopOrder {
    fn reason(&self) -> Option<Stop> {
        self.reason()
    }

    fn decide(&self) -> bool {
        self.decide()
    }
}

fn context(token: &CancellationToken, stop: &Arc<StopOrder>) -> Context {
    let (queue, kind) = (QueueName::new("q").unwrap(), KindName::new("k").unwrap());
    let job = ClaimedJob::new(LEASE, queue, kind, "{}");
    let minute = Duration::from_mins(1);
    let limits = AttemptLimits { timeout: minute, max_attempts: 1, grace_without_lease: minute };
    Context::new(job, limits, token.clone()).stopped_by(Arc::clone(stop) as Arc<dyn Stopped>)
}

/// An attempt that nobody stops.
fn unstopped() -> Context {
    context(&CancellationToken::new(), &Arc::default())
}

fn verdict(action: Action, error: &str) -> Word {
    let error = JobError::new(error);
    Word::Decides(Box::new(Decision { action, result: None, error, after: None }))
}

/// Says a word while the attempt listens, and gives what both have of it.
async fn said(
    callbacks: &Callbacks,
    door: &mut Door,
    word: Word,
) -> (Result<Heard, Unheard>, Option<Decision>) {
    tokio::join!(callbacks.say(LEASE, word), door.hear())
}

#[test]
fn a_token_is_of_one_lease_and_one_process() {
    let (callbacks, other) = (Callbacks::default(), Callbacks::default());
    let token = callbacks.token(LEASE);
    assert_eq!(callbacks.lease(&token), Ok(LEASE));
    assert_eq!(other.lease(&token), Err(Forged), "another process, or this one started anew");
    let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut forged = bytes.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(callbacks.lease(&URL_SAFE_NO_PAD.encode(forged)), Err(Forged), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert_eq!(callbacks.lease(&URL_SAFE_NO_PAD.encode(&bytes[..length])), Err(Forged));
    }
    for text in ["", "*", "{token}", &format!("{token}A"), &"A".repeat(16_000)] {
        assert_eq!(callbacks.lease(text), Err(Forged), "{text}");
    }
}

#[tokio::test]
async fn a_verdict_ends_the_attempt_and_is_answered_the_same_again_and_no_other_is() {
    let callbacks = Arc::<Callbacks>::default();
    let mut door = callbacks.open(&unstopped(), MAX_RESULT);
    let (heard, nothing) = said(&callbacks, &mut door, Word::Heartbeat).await;
    assert!(matches!(heard, Ok(Heard::Waiting(left)) if left > Duration::ZERO), "{heard:?}");
    assert_eq!(nothing, None);
    let (heard, decision) = said(&callbacks, &mut door, verdict(Action::Retry, "e")).await;
    assert_eq!(heard, Ok(Heard::Taken));
    assert_eq!(decision.unwrap().action, Action::Retry);
    drop(door);
    assert_eq!(callbacks.say(LEASE, verdict(Action::Retry, "e")).await, Ok(Heard::Taken));
    for other in [verdict(Action::Retry, "f"), verdict(Action::Complete, "e")] {
        assert_eq!(callbacks.say(LEASE, other).await, Err(Unheard::Decided));
    }
    assert_eq!(callbacks.say(LEASE, Word::Heartbeat).await, Err(Unheard::Gone));
    let next = Lease { token: LEASE.token + 1, ..LEASE };
    assert_eq!(callbacks.say(next, verdict(Action::Retry, "e")).await, Err(Unheard::Gone));
    // Another's verdict that is too late changes nothing for this one.
    callbacks.lost(next);
    assert_eq!(callbacks.say(LEASE, verdict(Action::Retry, "e")).await, Ok(Heard::Taken));
    callbacks.lost(LEASE);
    assert_eq!(callbacks.say(LEASE, verdict(Action::Retry, "e")).await, Err(Unheard::Gone));
}

#[tokio::test]
async fn an_attempt_that_was_told_to_stop_takes_nothing_and_says_whether_it_was_cancelled() {
    for (why, expected) in [
        (Stop::Cancelled, Unheard::Cancelled),
        (Stop::Shutdown, Unheard::Gone),
        (Stop::LeaseLost, Unheard::Gone),
    ] {
        let callbacks = Arc::<Callbacks>::default();
        let (token, stop) = (CancellationToken::new(), Arc::new(StopOrder::default()));
        let mut door = callbacks.open(&context(&token, &stop), MAX_RESULT);
        let call = || callbacks.say(LEASE, verdict(Action::Complete, ""));
        let (mut first, mut second) = (pin!(call()), pin!(call()));
        assert!(poll!(&mut first).is_pending(), "it was said before the stop");
        stop.give(why);
        assert_eq!(door.heard(), None, "the order is given, and its token isn't cancelled yet");
        assert_eq!(first.await, Err(expected));
        assert!(poll!(&mut second).is_pending(), "nor has the attempt ended");
        token.cancel();
        assert_eq!(door.heard(), None);
        assert_eq!(second.await, Err(expected));
        drop(door);
        let late = callbacks.say(LEASE, verdict(Action::Complete, "")).await;
        assert_eq!(late, Err(expected), "{why:?}");
    }
}

/// Ends by what it hears, and is told to stop just when that was answered.
struct Called {
    callbacks: Arc<Callbacks>,
    stop: Arc<StopOrder>,
    why: Stop,
}

impl Handler for Called {
    fn run<'a>(&'a self, context: &'a Context) -> HandlerFuture<'a> {
        Box::pin(async move {
            let mut door = self.callbacks.open(context, MAX_RESULT);
            let decision = door.hear().await.expect("a verdict was said");
            self.stop.give(self.why);
            context.cancellation().cancel();
            decision.action.outcome(None, decision.error, None)
        })
    }
}

#[tokio::test]
async fn a_verdict_that_was_answered_is_how_the_attempt_ends_whatever_stop_comes_behind_it() {
    let error = JobError::new("e");
    for why in [Stop::Cancelled, Stop::Shutdown, Stop::LeaseLost] {
        for action in Action::ALL {
            let (callbacks, stop) = (Arc::<Callbacks>::default(), Arc::<StopOrder>::default());
            let context = context(&CancellationToken::new(), &stop);
            let called = Called { callbacks: Arc::clone(&callbacks), stop: Arc::clone(&stop), why };
            // The attempt listens from its first poll on, which comes before the call's.
            let (ending, heard) = tokio::join!(
                biased;
                execute(&called, &context, &stop),
                callbacks.say(LEASE, verdict(action, "e"))
            );
            assert_eq!(heard, Ok(Heard::Taken), "{why:?} {action:?}");
            assert_eq!(
                ending,
                Ending::Decided(action.outcome(None, error.clone(), None)),
                "{why:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_whose_time_is_up_takes_nothing() {
    let callbacks = Arc::<Callbacks>::default();
    let context = unstopped();
    let mut door = callbacks.open(&context, MAX_RESULT);
    tokio::time::sleep_until(context.deadline()).await;
    let (heard, decision) =
        tokio::join!(callbacks.say(LEASE, verdict(Action::Complete, "")), async {
            door.called().await;
            door.heard()
        });
    assert_eq!((heard, decision), (Err(Unheard::Gone), None));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_answered_is_told_to_come_again_and_then_hears_the_same() {
    let callbacks = Arc::<Callbacks>::default();
    let mut door = callbacks.open(&unstopped(), MAX_RESULT);
    assert_eq!(callbacks.say(LEASE, verdict(Action::Discard, "e")).await, Err(Unheard::Busy));
    assert_eq!(door.hear().await.unwrap().action, Action::Discard);
    assert_eq!(callbacks.say(LEASE, verdict(Action::Discard, "e")).await, Ok(Heard::Taken));
}

#[tokio::test]
async fn a_call_that_its_attempt_leaves_unread_is_not_left_waiting() {
    let callbacks = Arc::<Callbacks>::default();
    let door = callbacks.open(&unstopped(), MAX_RESULT);
    let mut call = pin!(callbacks.say(LEASE, verdict(Action::Complete, "")));
    assert!(poll!(&mut call).is_pending());
    drop(door);
    assert_eq!(call.now_or_never(), Some(Err(Unheard::Gone)));
    assert!(callbacks.lock().open.is_empty());
}

#[test]
fn how_attempts_ended_is_remembered_of_the_newest_alone() {
    let mut state = State::default();
    for job in 0..10_000 {
        state.remember(Lease { job: JobId(job), ..LEASE }, Ended::Cancelled);
    }
    assert_eq!(state.ended.len(), ENDED_MAX);
    assert_eq!(state.ended.back().map(|(lease, _)| lease.job), Some(JobId(9999)));
}

#[tokio::test]
async fn a_result_that_is_too_long_is_refused_and_the_attempt_waits_on() {
    let callbacks = Arc::<Callbacks>::default();
    let mut door = callbacks.open(&unstopped(), MAX_RESULT);
    let with = |result: &str| {
        let (result, error) = (JobResult::new(result.to_owned()), JobError::new("e"));
        Word::Decides(Box::new(Decision { action: Action::Complete, result, error, after: None }))
    };
    let refused = callbacks.say(LEASE, with("12345")).await;
    assert_eq!(refused, Err(Unheard::TooLong { max_result: MAX_RESULT }));
    assert_eq!(door.heard(), None, "nothing reached it");
    let (heard, decision) = said(&callbacks, &mut door, with("1234")).await;
    assert_eq!(heard, Ok(Heard::Taken));
    assert_eq!(decision.unwrap().result.unwrap().as_str(), "1234");
    assert_eq!(callbacks.say(LEASE, with("12345")).await, Err(Unheard::Decided));
}
