//! Legwork: background jobs as rows of Postgres. *Insert a row; Legwork does the rest.*
//!
//! This crate is the daemon of the binary `legwork` as a library: handlers are Rust types or functions
//! with payloads of their own type, jobs are enqueued inside the application's own transaction, and what
//! has been enqueued can be tested.
//!
//! # Quick start
//!
//! The schema is made once, by `legwork migrate up` or [`migrate::up`].
//!
//! ```no_run
//! use legwork::{Context, Daemon, HandlerError, Job, QueueOptions};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Receipt {
//!     order: i64,
//! }
//!
//! // What runs the jobs of kind `send_receipt`. Any error with `?` is tried again, with backoff.
//! async fn send_receipt(receipt: Receipt, context: Context) -> Result<(), HandlerError> {
//!     context.report_progress(format!("order {}", receipt.order));
//!     Ok(())
//! }
//!
//! // Enqueues it with the payment: both are there after COMMIT, and neither after a rollback.
//! async fn pay(pool: &sqlx::PgPool, order: i64) -> Result<(), Box<dyn std::error::Error>> {
//!     let mut transaction = pool.begin().await?;
//!     sqlx::query("UPDATE orders SET paid = true WHERE id = $1")
//!         .bind(order)
//!         .execute(&mut *transaction)
//!         .await?;
//!     let job = Job::new("send_receipt").payload(&Receipt { order }).queue("mail");
//!     legwork::enqueue(&mut transaction, &job).await?;
//!     transaction.commit().await?;
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let daemon = Daemon::builder()
//!         .database_url("postgres://app@localhost/app")
//!         .queue("mail", QueueOptions::concurrency(10))
//!         .handler("send_receipt", send_receipt)
//!         .build()?;
//!     // Until TERM or INT; what runs is finished or given back.
//!     let ended = daemon.run().await?;
//!     assert!(ended.is_clean());
//!     Ok(())
//! }
//! ```
//!
//! # A handler tried without a database
//!
//! ```
//! use legwork::{Context, HandlerError, testing};
//!
//! async fn greet(name: String, context: Context) -> Result<String, HandlerError> {
//!     if name.is_empty() {
//!         return Err(HandlerError::discard("nobody to greet"));
//!     }
//!     Ok(format!("Hello {name}, at attempt {}", context.attempt()))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let ran = testing::attempt(greet, "Ada").attempt(2).run().await;
//! ran.assert_result(&"Hello Ada, at attempt 2".to_owned());
//!
//! let ran = testing::attempt(greet, "").run().await;
//! assert_eq!(ran.assert_discarded().as_str(), "nobody to greet");
//! # }
//! ```
//!
//! # What is public
//!
//! The items on this page, with the modules [`config`], [`embedded`], [`migrate`], [`operations`],
//! [`schedule`] and [`testing`]. Every other module is the daemon's inside: it is reachable because the binary and the tests
//! are programs of their own, is hidden here, and may change with any release. The version of sqlx whose
//! connections [`enqueue`] takes is [`sqlx`].
//!
//! Logs go to whatever `tracing` subscriber the program has; the library installs none.

#[doc(inline)]
pub use daemon::{
    Daemon, DaemonBuilder, Ended, KindOptions, QueueOptions, StartError, TracingOptions,
};
#[doc(inline)]
pub use executor::{Context, Handler, HandlerError, HandlerFuture, IntoHandler, TypedHandler};
#[doc(inline)]
pub use job::{
    Backoff, ClaimedJob, DiscardReason, Ending, JobError, JobId, JobResult, KindName, Lease,
    Outcome, QueueName, Retention,
};
#[doc(inline)]
pub use postgres::operations::assert_lease;
#[doc(inline)]
pub use postgres::producer::{
    BrokenRule, EnqueueError, Enqueued, Job, OnConflict, enqueue, enqueue_many,
};
#[doc(no_inline)]
pub use postgres::sqlx;
#[doc(inline)]
pub use postgres::{migrate, operations};
#[doc(no_inline)]
pub use tokio_util::sync::CancellationToken;

// Layer 0: the domain. Pure: no tokio, no sqlx, no clock.
#[doc(hidden)]
pub mod job;
pub mod schedule;

// Layer 1: what every room may name.
pub mod config;
mod outbound;
#[doc(hidden)]
pub mod profile;
#[cfg(legwork_seeded_bugs)]
pub mod seeded;
#[doc(hidden)]
pub mod supervise;
#[doc(hidden)]
pub mod sys;
#[doc(hidden)]
pub mod telemetry;
#[doc(hidden)]
pub mod trace;

// Layer 2: the pipeline, in the order in which a job passes through it.
#[doc(hidden)]
pub mod claimer;
#[doc(hidden)]
pub mod completer;
#[doc(hidden)]
pub mod dispatcher;
#[doc(hidden)]
pub mod executor;
#[doc(hidden)]
pub mod heartbeat;
#[doc(hidden)]
pub mod worker;

// Layer 3: the outside world.
#[doc(hidden)]
pub mod admin;
pub mod embedded;
#[doc(hidden)]
pub mod handlers;
#[doc(hidden)]
pub mod maintenance;
#[doc(hidden)]
pub mod postgres;

// Layer 4: wiring.
#[doc(hidden)]
pub mod bench;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod daemon;
#[doc(hidden)]
pub mod demo;
pub mod testing;
