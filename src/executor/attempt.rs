//! One attempt from start to ending.

use super::{Context, Handler, Stop, StopOrder};
use crate::job::{Ending, JobError, Outcome};
use futures::FutureExt;
use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
};
use tokio::time::{sleep, timeout, timeout_at};

/// Runs the handler until it decides, panics, is told to stop or runs out of time.
///
/// `stop` says why the context's token was cancelled; it is read only after that.
pub async fn execute(handler: &dyn Handler, context: &Context, stop: &StopOrder) -> Ending {
    let mut work = match catch_unwind(AssertUnwindSafe(|| handler.run(context))) {
        Ok(work) => work,
        Err(panic) => return decided(Err(panic), stop.reason()),
    };
    let ending = watched((handler, context, stop), work.as_mut()).await;
    // What a handler holds while it waits may panic as it goes: its attempt is over and has its verdict.
    // The panic hook tells of it.
    catch_unwind(AssertUnwindSafe(|| drop(work))).ok();
    ending
}

async fn watched(
    (handler, context, stop): (&dyn Handler, &Context, &StopOrder),
    work: Pin<&mut (impl Future<Output = Outcome> + ?Sized)>,
) -> Ending {
    let mut work = std::pin::pin!(AssertUnwindSafe(work).catch_unwind());
    let ended = timeout_at(context.deadline(), async {
        tokio::select! {
            // The handler first: a result that is there counts, even if a stop came as well.
            biased;
            result = &mut work => Some(result),
            () = context.cancellation().cancelled() => None,
        }
    });
    match ended.await {
        Ok(Some(result)) => decided(result, stop.reason()),
        Ok(None) => match in_grace((handler, context, stop), work).await {
            Some(result) => decided(result, stop.reason()),
            None => broken_off(stop.reason().unwrap_or(Stop::Cancelled)),
        },
        Err(_) => {
            // So that it can end what it started.
            context.cancellation().cancel();
            match in_grace((handler, context, stop), work).await {
                // It was over in time, or is undone: what stands in the database counts.
                Some(Ok(outcome @ Outcome::Written(_))) => Ending::Decided(outcome),
                said => {
                    Ending::TimedOut { limit: context.timeout(), told: said.and_then(last_words) }
                }
            }
        }
    }
}

type Caught = Result<Outcome, Box<dyn Any + Send>>;

/// What a handler says after it was told to stop counts if it is final. Anything else is how it
/// stopped: an error of its own work breaking off must not burn an attempt, nor may it bring a
/// cancelled job back.
fn decided(result: Caught, stop: Option<Stop>) -> Ending {
    let unfinished = |outcome: &Outcome| match outcome {
        Outcome::Cancel | Outcome::Retry { .. } | Outcome::Snooze { .. } | Outcome::Park { .. } => {
            true
        }
        Outcome::Complete { .. } | Outcome::Discard { .. } | Outcome::Written(_) => false,
    };
    match (result, stop) {
        (Ok(outcome), Some(stop)) if unfinished(&outcome) => broken_off(stop),
        (Ok(outcome), _) => Ending::Decided(outcome),
        // Told to break off, it broke: that is the interruption's doing and no attempt's.
        (Err(_), Some(stop @ (Stop::Shutdown | Stop::LeaseLost))) => broken_off(stop),
        (Err(panic), _) => Ending::Panicked(panic_text(panic.as_ref())),
    }
}

fn broken_off(stop: Stop) -> Ending {
    match stop {
        Stop::Cancelled => Ending::Cancelled,
        Stop::Shutdown | Stop::LeaseLost => Ending::Interrupted,
    }
}

/// What a handler that was told to stop says within its grace; then it is dropped. Without the lease
/// the grace is short, however the stop began: another daemon may soon start the job.
async fn in_grace(
    (handler, context, stop): (&dyn Handler, &Context, &StopOrder),
    work: Pin<&mut impl Future<Output = Caught>>,
) -> Option<Caught> {
    let unleased = async {
        stop.lease_lost().await;
        sleep(context.grace_without_lease()).await;
    };
    tokio::select! {
        biased;
        said = timeout(handler.stop_grace(), work) => said.ok(),
        () = unleased => None,
    }
}

/// What a handler whose time was up says no longer counts, but its error tells why it took so long.
fn last_words(said: Caught) -> Option<JobError> {
    match said.ok()? {
        Outcome::Retry { error, .. } | Outcome::Discard { error, .. } => Some(error),
        Outcome::Complete { .. }
        | Outcome::Snooze { .. }
        | Outcome::Park { .. }
        | Outcome::Cancel
        | Outcome::Written(_) => None,
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> JobError {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the handler panicked with a value that isn't text".to_owned());
    JobError::new(format!("panic: {text}"))
}

#[cfg(test)]
mod tests;
