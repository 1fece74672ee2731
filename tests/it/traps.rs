//! The ten traps that a queue on Postgres falls into with these crates, each with a test that is red
//! when its defence is taken away.
//!
//! | trap | where |
//! |---|---|
//! | 1 a cancelled `begin()` loses what the next borrower writes | [`cancelled`], [`migrating`] |
//! | 2 one legal row panics the claim loop | [`rows`] |
//! | 3 the textbook claim breaks its LIMIT | [`limits`] |
//! | 4 jsonb is a memory bomb, and deeper than parsers go | [`rows`] |
//! | 5 one bad row wedges its batch for ever | [`rows`] |
//! | 6 a connection on a silent network holds its place for a quarter of an hour | [`silence`] |
//! | 7 a heartbeat that shares threads starves | [`silence`], `process::lease` |
//! | 8 a rate without a burst starts everything at once | [`limits`] |
//! | 9 a slow client holds the admin port for ever | [`port`] |
//! | 10 NOTIFY can be forged, and COPY refused | [`hints`] |
//!
//! What a single room promises on its own is tested there; here it is whole daemons wherever a daemon
//! can show it. What rows may hold is in `hostile`.

mod cancelled;
mod hints;
mod limits;
mod migrating;
mod port;
mod rows;
mod silence;

use std::future::{Future, poll_fn};
use std::task::Poll;

/// Polls a future at most so often, then drops it where it waits; its output if it was ready by then.
async fn cancelled_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
