//! Waits, then completes: stands in for work in demos, benchmarks and drills.

use crate::{
    executor::{Context, Handler, HandlerFuture},
    job::{DiscardReason, JobError, Outcome},
    supervise::{WaitPoint, at},
};
use serde::Deserialize;
use std::time::Duration;
use tokio::time::sleep;

/// Waits as long as the payload says, `{"seconds": 1.5}` or `1.5`. Stops when it is told to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sleep;

impl Handler for Sleep {
    fn run<'a>(&'a self, context: &'a Context) -> HandlerFuture<'a> {
        Box::pin(async move {
            let Some(wait) = wait_of(&context.job().payload) else { return invalid() };
            let slept = async {
                tokio::select! {
                    biased;
                    () = context.cancellation().cancelled() => Outcome::Cancel,
                    () = sleep(wait) => Outcome::Complete { result: None },
                }
            };
            at(WaitPoint::Sleep, slept).await
        })
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Payload {
    Bare(f64),
    Named { seconds: f64 },
}

fn wait_of(payload: &str) -> Option<Duration> {
    let seconds = match serde_json::from_str(payload).ok()? {
        Payload::Bare(seconds) | Payload::Named { seconds } => seconds,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

fn invalid() -> Outcome {
    Outcome::Discard {
        reason: DiscardReason::InvalidPayload,
        error: JobError::new(r#"sleep takes {"seconds": n} or n, with n a number from 0"#),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::named(r#"{"seconds": 1.5}"#, Some(1500))]
    #[case::bare("2", Some(2000))]
    #[case::nothing(r#"{"seconds": 0}"#, Some(0))]
    #[case::more_than_asked_for(r#"{"seconds": 1, "note": "x"}"#, Some(1000))]
    #[case::absent("{}", None)]
    #[case::negative("-1", None)]
    #[case::text(r#""1""#, None)]
    #[case::beyond_any_clock("1e300", None)]
    #[case::beyond_f64("1e400", None)]
    fn a_payload_says_how_long(#[case] payload: &str, #[case] millis: Option<u64>) {
        assert_eq!(wait_of(payload), millis.map(Duration::from_millis));
    }
}
