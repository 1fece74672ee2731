//! Ctrl-C, and TERM, in the middle of a command that has something to take back or to say.
//!
//! The other commands send one statement, and the signal's own effect is right for them: it ends the
//! process at once. The daemon and its trials have `daemon::signals`.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// Does the work until a signal; then the work is dropped where it is, and the error is `interrupted`.
/// Once this has begun, the signals don't end the process by themselves any more.
pub(super) async fn unless_interrupted<T>(
    work: impl Future<Output = anyhow::Result<T>>,
    interrupted: impl Into<anyhow::Error>,
) -> anyhow::Result<T> {
    let mut int = signal(SignalKind::interrupt()).context("signals can't be caught")?;
    let mut term = signal(SignalKind::terminate()).context("signals can't be caught")?;
    tokio::select! {
        done = work => done,
        _ = int.recv() => Err(interrupted.into()),
        _ = term.recv() => Err(interrupted.into()),
    }
}
