//! What keeps a queue healthy beside the jobs' own way: promotion, rescue, cancel requests, history's
//! partitions, counts, and the doorbell.
//!
//! Each is a loop with the same skeleton: a round, a pause, the next round; a failed round is said
//! once and the next one comes. Any number of daemons may run each of them at once.

mod bulk;
mod canary;
mod controller;
mod doorbell;
mod ender;
mod listener;
mod promoter;
mod pruner;
mod rescuer;
mod rounds;
mod scheduler;
mod stats;

pub use bulk::Bulk;
pub use canary::Canary;
pub use controller::{Controller, Obey, Told};
pub use doorbell::Doorbell;
pub use ender::end_abandoned;
pub use listener::{Ears, listen};
pub use promoter::{DueMark, Promoter};
pub use pruner::Pruner;
pub use rescuer::Rescuer;
pub use rounds::{CANCEL_REST, cancel_requested, expire};
pub use scheduler::Scheduler;
pub use stats::Stats;

use crate::{
    postgres::DbError,
    supervise::{self, WaitPoint, at},
    telemetry::events,
};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;

/// How a round went that didn't fail.
#[derive(Debug, PartialEq, Eq)]
pub struct Rested {
    /// The pause after it.
    pub pause: Duration,
    /// Whether it asked nothing of the database: then it doesn't show that rounds succeed again.
    pub idle: bool,
}

impl Rested {
    const fn idle(pause: Duration) -> Self {
        Self { pause, idle: true }
    }
}

impl From<Duration> for Rested {
    fn from(pause: Duration) -> Self {
        Self { pause, idle: false }
    }
}

/// Longest pause after a failed round.
const FAILURE_PAUSE: Duration = Duration::from_secs(2);

/// Runs rounds until told to stop, never dropping one in the middle. A round says how long the pause
/// after it is.
pub async fn every<Round, Work, Done>(name: &'static str, stop: CancellationToken, round: Round)
where
    Round: FnMut() -> Work,
    Work: Future<Output = Result<Done, DbError>>,
    Done: Into<Rested>,
{
    rounds((name, &Notify::new()), stop, round, spread).await;
}

/// The same for rounds that come when they are due and not about then, or at once when they are woken.
pub async fn punctually<Round, Work, Done>(
    name: &'static str,
    stop: CancellationToken,
    woken: Arc<Notify>,
    round: Round,
) where
    Round: FnMut() -> Work,
    Work: Future<Output = Result<Done, DbError>>,
    Done: Into<Rested>,
{
    rounds((name, &woken), stop, round, |pause| pause).await;
}

/// Any number of daemons that began at once don't go on at once.
fn spread(pause: Duration) -> Duration {
    pause.mul_f64(0.9 + fastrand::f64() / 5.0)
}

async fn rounds<Round, Work, Done>(
    (name, woken): (&'static str, &Notify),
    stop: CancellationToken,
    mut round: Round,
    paused: impl Fn(Duration) -> Duration,
) where
    Round: FnMut() -> Work,
    Work: Future<Output = Result<Done, DbError>>,
    Done: Into<Rested>,
{
    let mut failing = false;
    while !stop.is_cancelled() {
        let (pause, place) = match round().await {
            Ok(done) => {
                let Rested { pause, idle } = done.into();
                if !idle && std::mem::take(&mut failing) {
                    tracing::info!(
                        event = events::MAINTENANCE_RECOVERED,
                        task = name,
                        "rounds succeed again"
                    );
                }
                (paused(pause), WaitPoint::RoundPause)
            }
            Err(error) => {
                supervise::failed(&error);
                if !std::mem::replace(&mut failing, true) {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(
                        event = events::MAINTENANCE_FAILED,
                        task = name,
                        error,
                        "a round failed and is tried again until it works"
                    );
                }
                (spread(FAILURE_PAUSE), WaitPoint::RetryPause)
            }
        };
        // Told to stop or not, the loop looks at the token next.
        let rest = stop.run_until_cancelled(timeout(pause, woken.notified()));
        at(place, supervise::waiting(rest)).await;
    }
}
