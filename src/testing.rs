//! For tests of programs that use Legwork: one attempt in place, a queue worked off, and whether a job
//! was enqueued.
//!
//! It is always there: it has no dependency of its own, and what a program doesn't call isn't linked.
//! Nothing here stands in for the database. An attempt in place needs none; everything else looks at the
//! real one.
//!
//! ```
//! use legwork::{Context, HandlerError, TypedHandler, testing};
//!
//! struct Sum;
//!
//! impl TypedHandler for Sum {
//!     type Payload = Vec<i64>;
//!     type Result = i64;
//!
//!     async fn handle(&self, numbers: Vec<i64>, context: &Context) -> Result<i64, HandlerError> {
//!         context.report_progress(format!("{} numbers", numbers.len()));
//!         let add = |sum: i64, number: &i64| sum.checked_add(*number);
//!         numbers.iter().try_fold(0, add).ok_or_else(|| HandlerError::discard("too large"))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let ran = testing::attempt(Sum, &[1, 2, 39]).run().await;
//! ran.assert_result(&42);
//! assert_eq!(ran.progress(), Some("3 numbers"));
//!
//! let ran = testing::attempt(Sum, &[i64::MAX, 1]).run().await;
//! assert_eq!(ran.assert_discarded().as_str(), "too large");
//! # }
//! ```

mod attempt;
mod drain;
mod enqueued;

pub use crate::postgres::producer::EnqueuedJob;
pub use attempt::{Attempt, Ran, attempt};
pub use drain::{
    DRAIN_MAX, DrainError, Drained, DrainedAttempt, RECORDED_MAX, drain, drain_within,
};
pub use enqueued::{assert_enqueued, assert_not_enqueued, enqueued};
