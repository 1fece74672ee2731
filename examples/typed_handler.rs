//! A handler in Rust: a payload of its own type, a result, and the ways to fail.
//!
//! Runs one attempt in place, without a database: `cargo run --example typed_handler`.

use legwork::{Context, HandlerError, TypedHandler, testing};
use serde_json::json;

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

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example shows what it did")]
async fn main() {
    for payload in [json!([1, 2, 39]), json!([i64::MAX, 1]), json!({"not": "numbers"})] {
        let ran = testing::attempt(Sum, &payload).run().await;
        println!("{payload} → {:?}", ran.ending());
    }
}
