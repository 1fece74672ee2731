//! Rust handlers of the demo: each shows one thing that can happen to a job.

use crate::{
    daemon::Daemon,
    executor::{Context, HandlerError, TypedHandler},
};
use serde_json::{Value, json};
use std::time::Duration;

/// Fails at its first attempt.
struct Flaky;

impl TypedHandler for Flaky {
    type Payload = Value;
    type Result = Value;

    async fn handle(&self, _: Value, context: &Context) -> Result<Value, HandlerError> {
        match context.attempt() {
            1 => Err(HandlerError::retry("the first attempt fails, to show a retry")),
            attempt => Ok(json!({ "succeeded_at_attempt": attempt })),
        }
    }
}

/// Panics, always.
struct Panics;

impl TypedHandler for Panics {
    type Payload = Value;
    type Result = ();

    async fn handle(&self, _: Value, _: &Context) -> Result<(), HandlerError> {
        panic!("a handler with a bug, to show that it takes nothing along")
    }
}

/// Isn't ready at first, and says so.
struct NotYet;

impl TypedHandler for NotYet {
    type Payload = Value;
    type Result = ();

    async fn handle(&self, _: Value, context: &Context) -> Result<(), HandlerError> {
        match context.job().snoozes {
            0 => Err(HandlerError::Snooze(Duration::from_secs(1))),
            _ => Ok(()),
        }
    }
}

/// Takes a payload that the sample doesn't have.
struct Picky;

#[derive(serde::Deserialize)]
struct Order {
    /// Decoding it is the whole point.
    #[expect(dead_code, reason = "the sample has no such number, so it never gets here")]
    order_id: u64,
}

impl TypedHandler for Picky {
    type Payload = Order;
    type Result = ();

    async fn handle(&self, _: Order, _: &Context) -> Result<(), HandlerError> {
        Ok(())
    }
}

/// Registers them.
pub(super) fn add_to(daemon: Daemon) -> Daemon {
    let name = super::samples::kind;
    daemon
        .with_typed_handler(name("flaky"), Flaky)
        .with_typed_handler(name("panics"), Panics)
        .with_typed_handler(name("not_yet"), NotYet)
        .with_typed_handler(name("picky"), Picky)
}
