//! One attempt from start to ending.

use super::{Context, Handler, Stop};
use crate::job::{Ending, JobError, Outcome};
use futures::FutureExt;
use std::{any::Any, future::Future, panic::AssertUnwindSafe, sync::OnceLock};
use tokio::time::{Instant, timeout_at};

/// Runs the handler until it decides, panics, is told to stop or runs out of time.
///
/// `stop` says why the context's token was cancelled; it is read only after that.
pub async fn execute(handler: &dyn Handler, context: &Context, stop: &OnceLock<Stop>) -> Ending {
    let handled = AssertUnwindSafe(async { handler.run(context).await }).catch_unwind();
    let mut handled = std::pin::pin!(handled);
    let ended = timeout_at(context.deadline(), async {
        tokio::select! {
            // The handler first: a result that is there counts, even if a stop came as well.
            biased;
            result = &mut handled => Some(result),
            () = context.cancellation().cancelled() => None,
        }
    });
    match ended.await {
        Ok(Some(result)) => decided(result, stop.get().copied()),
        Ok(None) => stopped(handler, handled, stop.get().copied()).await,
        Err(_) => overdue(handler, handled, context).await,
    }
}

type Caught = Result<Outcome, Box<dyn Any + Send>>;

/// What a handler says after it was told to stop counts if it is final. Anything else is how it
/// stopped: an error of its own work breaking off must not burn an attempt, nor may it bring a
/// cancelled job back.
fn decided(result: Caught, stop: Option<Stop>) -> Ending {
    let unfinished = |outcome: &Outcome| match outcome {
        Outcome::Cancel | Outcome::Retry { .. } | Outcome::Snooze { .. } => true,
        Outcome::Complete { .. } | Outcome::Discard { .. } => false,
    };
    match (result, stop) {
        (Ok(outcome), Some(stop)) if unfinished(&outcome) => broken_off(stop),
        (Ok(outcome), _) => Ending::Decided(outcome),
        (Err(panic), _) => Ending::Panicked(panic_text(panic.as_ref())),
    }
}

fn broken_off(stop: Stop) -> Ending {
    match stop {
        Stop::Cancelled => Ending::Cancelled,
        Stop::Shutdown | Stop::LeaseLost => Ending::Interrupted,
    }
}

/// Gives a handler that was told to stop its grace, then drops it.
async fn stopped(
    handler: &dyn Handler,
    handled: impl Future<Output = Caught>,
    stop: Option<Stop>,
) -> Ending {
    let until = Instant::now() + handler.stop_grace();
    match timeout_at(until, handled).await {
        Ok(result) => decided(result, stop),
        Err(_) => broken_off(stop.unwrap_or(Stop::Cancelled)),
    }
}

/// Tells a handler whose time is up to stop, so that it can end what it started.
async fn overdue(
    handler: &dyn Handler,
    handled: impl Future<Output = Caught>,
    context: &Context,
) -> Ending {
    context.cancellation().cancel();
    // What it says in its grace no longer counts: the attempt has timed out.
    drop(timeout_at(Instant::now() + handler.stop_grace(), handled).await);
    Ending::TimedOut { limit: context.timeout() }
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
