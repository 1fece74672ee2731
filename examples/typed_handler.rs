//! A handler in Rust: a payload of its own type, a result, and the ways to fail.
//!
//! Runs one attempt in place, without a database: `cargo run --example typed_handler`.

use legwork::{
    executor::{AttemptLimits, Context, HandlerError, Registry, StopOrder, TypedHandler, execute},
    job::{ClaimedJob, JobId, KindName, Lease, QueueName},
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Adds numbers up.
struct Sum;

impl TypedHandler for Sum {
    type Payload = Vec<i64>;
    type Result = i64;

    async fn handle(&self, numbers: Vec<i64>, context: &Context) -> Result<i64, HandlerError> {
        context.report_progress(format!("{} numbers", numbers.len()));
        let add = |sum: i64, number: &i64| sum.checked_add(*number);
        numbers.iter().try_fold(0, add).ok_or_else(|| HandlerError::discard("the sum is too large"))
    }
}

fn job(payload: &str) -> Result<ClaimedJob, Box<dyn std::error::Error>> {
    Ok(ClaimedJob {
        lease: Lease { job: JobId(1), token: 1, holder: 1 },
        seq: 1,
        priority: 0,
        charged: 0,
        rescues: 0,
        snoozes: 0,
        max_attempts: None,
        queue: QueueName::new("default")?,
        kind: KindName::new("sum")?,
        payload: payload.to_owned(),
        timeout: None,
        expired: false,
        waited: Duration::ZERO,
        metadata: None,
    })
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example shows what it did")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::default().with_typed(KindName::new("sum")?, Sum);
    let limits = AttemptLimits {
        timeout: Duration::from_secs(5),
        max_attempts: 3,
        grace_without_lease: Duration::from_secs(1),
    };
    for payload in ["[1, 2, 39]", "[9223372036854775807, 1]", r#"{"not": "numbers"}"#] {
        let context = Context::new(job(payload)?, limits, CancellationToken::new());
        let handler = registry.get("sum").ok_or("no such kind")?;
        let ending = execute(handler.as_ref(), &context, &StopOrder::default()).await;
        println!("{payload} → {ending:?}");
    }
    Ok(())
}
