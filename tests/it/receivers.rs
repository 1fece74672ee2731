//! The http handler against real receivers: what a request carries, what answers mean, and what hostile
//! receivers can't do.

mod answers;
mod callbacks;
mod circuit;
mod egress;
mod hostile;
mod journey;
mod keys;
mod requests;
mod shared;
mod tls;

use legwork::{
    config::{Egress, HttpSettings},
    executor::{AttemptLimits, Context, StopOrder, execute},
    handlers::Http,
    job::{ClaimedJob, Ending, JobId, KindName, Lease, Outcome, QueueName},
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(200);
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Requests to a URL on this machine.
fn settings(url: &str) -> HttpSettings {
    HttpSettings {
        egress: Egress::allowing(["127.0.0.1", "localhost"]).expect("hosts"),
        ..HttpSettings::new(url.parse().expect("a URL"))
    }
}

fn context(payload: &str, timeout: Duration, token: CancellationToken) -> Context {
    let from = format!(r#"{{"traceparent":"{TRACE}","tracestate":"v=1","request_id":"r-1"}}"#);
    context_from(from, payload, timeout, token)
}

/// Of a job whose metadata says this.
fn context_from(
    metadata: String,
    payload: &str,
    timeout: Duration,
    token: CancellationToken,
) -> Context {
    let job = ClaimedJob {
        charged: 2,
        metadata: Some(metadata),
        ..ClaimedJob::new(
            Lease { job: JobId(42), token: 7, holder: 1 },
            QueueName::new("mail").expect("a name"),
            KindName::new("send").expect("a name"),
            payload,
        )
    };
    Context::new(job, AttemptLimits { timeout, max_attempts: 3, grace_without_lease: SHORT }, token)
}

async fn attempt(handler: &Http, payload: &str) -> Outcome {
    let context = context(payload, LONG, CancellationToken::new());
    match execute(handler, &context, &StopOrder::default()).await {
        Ending::Decided(outcome) => outcome,
        other => panic!("not decided: {other:?}"),
    }
}

/// One attempt at a URL.
async fn sent(settings: HttpSettings) -> Outcome {
    attempt(&Http::new(settings), "{}").await
}

/// The verdict's word, and the result where there is one.
fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Complete { result: None } => "complete".into(),
        Outcome::Complete { result: Some(json) } => format!("complete {}", json.as_str()),
        Outcome::Retry { after, .. } => {
            after.map_or("retry".into(), |after| format!("retry {after:?}"))
        }
        Outcome::Discard { reason, .. } => reason.as_str().into(),
        Outcome::Snooze { delay } => {
            delay.map_or("snooze".into(), |delay| format!("snooze {delay:?}"))
        }
        Outcome::Park { delay } => format!("park {delay:?}"),
        Outcome::Cancel => "cancel".into(),
        Outcome::Written { .. } => unreachable!("of functions alone"),
    }
}

/// The error of a failed attempt.
fn error(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Retry { error, .. } | Outcome::Discard { error, .. } => error.as_str(),
        other => panic!("no error in {other:?}"),
    }
}
