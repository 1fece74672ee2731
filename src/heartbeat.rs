//! Keeps this daemon's leases alive, and fences the daemon when it can't.
//!
//! Liveness belongs to the process: one row, renewed here, is the lease of every job that we hold.
//! The heartbeat has its own thread, runtime and connection, so that handlers which block every
//! other thread can't make it late. It counts from the instant at which a renewal was *sent*: once
//! that plus ttl minus margin has passed unconfirmed, another daemon may soon take our jobs, so
//! every handler is told to stop before it can.

mod leases;

pub use leases::{Leases, Publisher};

use crate::{
    config,
    supervise::{self, Thread, WaitPoint, at},
    telemetry::events,
};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// Why a heartbeat failed.
#[derive(Debug, thiserror::Error)]
#[error("renewing the leases failed")]
pub struct KeeperError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Where leases are kept. Each call is one statement on a connection that nobody else uses.
pub trait LeaseKeeper: Send + 'static {
    /// Makes the row of a new boot id.
    fn register(&mut self, boot: i64) -> impl Future<Output = Result<(), KeeperError>>;
    /// Renews it; `false` when it was declared dead or is gone.
    fn renew(&mut self, boot: i64) -> impl Future<Output = Result<bool, KeeperError>>;
    /// Ends it: whatever is still held may be taken at once.
    fn retire(&mut self, boot: i64) -> impl Future<Output = Result<(), KeeperError>>;
}

/// The times of a lease.
#[derive(Debug, Clone, Copy)]
pub struct LeaseTimes {
    /// Between two renewals.
    pub interval: Duration,
    /// From a renewal to the lease's end.
    pub ttl: Duration,
}

impl LeaseTimes {
    /// From the settings.
    pub fn new(settings: &config::Daemon) -> Self {
        Self { interval: settings.heartbeat_interval, ttl: settings.lease_ttl }
    }

    /// How long before the lease's end we stop our handlers, and how long after it others wait
    /// before they take the jobs. The first is the longest that a handler may take to stop, whatever
    /// grace it asks for; the second is room for the kill itself and for clocks that drift.
    pub fn margin(&self) -> Duration {
        self.ttl / config::Daemon::MARGINS_PER_LEASE
    }

    /// How long after a renewal was sent its lease counts for us.
    fn own_limit(&self) -> Duration {
        self.ttl.saturating_sub(self.margin())
    }
}

/// What the heartbeat tells of.
pub struct Reports {
    /// Called with the boot id whose leases are lost; runs on the heartbeat's own thread.
    pub lost: Arc<dyn Fn(i64) + Send + Sync>,
    /// Called once it is registered anew after that.
    pub back: Arc<dyn Fn() + Send + Sync>,
    /// Called after each registration and renewal.
    pub renewed: Arc<dyn Fn() + Send + Sync>,
    /// Notified several times a second, for a task of the daemon's runtime to wait on.
    pub pulse: Arc<Notify>,
    /// The runtime that is kept awake, where there is one.
    pub runtime: Option<Handle>,
    /// Cancelled when the heartbeat ends: the last thing that the daemon does with its leases.
    pub stop: CancellationToken,
    /// Whether the row is ended then, or left to expire.
    pub retire: Arc<AtomicBool>,
}

/// Between two wakes of the daemon's runtime: what a handler that blocks its thread can cost others.
const PULSE: Duration = Duration::from_millis(250);
/// Pause after a failed registration or renewal.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Runs the heartbeat until it is told to stop. Blocks its thread.
pub fn run(
    (keeper, times): (impl LeaseKeeper, LeaseTimes),
    reports: Reports,
    publisher: Publisher,
    notes: Thread,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let pulse = pulse(Arc::clone(&reports.pulse), reports.runtime.clone());
    let beat = notes.over(Heartbeat { keeper, times, reports, publisher }.beat());
    runtime.block_on(async {
        tokio::select! {
            () = beat => {}
            () = pulse => unreachable!("the pulse has no end"),
        }
    });
    Ok(())
}

/// Wakes the daemon's runtime from outside, again and again.
///
/// A runtime whose other threads sleep wakes none of them for a single task. If that task then
/// blocks its thread, as a handler may, nobody looks at the sockets and timers any more, and the
/// whole daemon stands still although threads are free. A wake from another thread reaches one.
async fn pulse(pulse: Arc<Notify>, runtime: Option<Handle>) {
    loop {
        sleep(PULSE).await;
        pulse.notify_one();
        // The task of the pulse may itself lie behind a handler that blocks its thread, and then a notify wakes
        // nobody. A new task does: the thread that takes it looks for what lies elsewhere as well.
        if let Some(runtime) = &runtime {
            drop(runtime.spawn(async {}));
        }
    }
}

/// Makes the two ends of the leases.
pub fn leases() -> (Publisher, Leases) {
    leases::channel()
}

struct Heartbeat<K> {
    keeper: K,
    times: LeaseTimes,
    reports: Reports,
    publisher: Publisher,
}

impl<K: LeaseKeeper> Heartbeat<K> {
    /// One boot id after another, until told to stop.
    async fn beat(mut self) {
        let stop = self.reports.stop.clone();
        let mut lost = false;
        while !stop.is_cancelled() {
            let Some((boot, sent)) = self.register().await else { return };
            // Before anything is claimed by it, so that who listens hears it first.
            if lost {
                tracing::info!(
                    event = events::DAEMON_REGISTERED,
                    daemon.id = boot,
                    "this daemon has a lease again"
                );
                (self.reports.back)();
            }
            self.publisher.publish(Some(boot));
            (self.reports.renewed)();
            let kept = self.keep(boot, sent).await;
            self.publisher.publish(None);
            if kept {
                if self.reports.retire.load(Ordering::Acquire) {
                    self.retire(boot).await;
                }
                return;
            }
            tracing::error!(
                event = events::DAEMON_LOST,
                daemon.id = boot,
                "this daemon's leases could not be renewed in time; its handlers are stopped and it registers anew"
            );
            (self.reports.lost)(boot);
            lost = true;
        }
    }

    /// Registers under a fresh id, however long that takes.
    async fn register(&mut self) -> Option<(i64, Instant)> {
        let mut said = false;
        loop {
            // Never 0 and never negative, so that it reads well in logs.
            let boot = fastrand::i64(1..=i64::MAX);
            let sent = Instant::now();
            match timeout_at(sent + self.times.own_limit(), self.keeper.register(boot)).await {
                Ok(Ok(())) => return Some((boot, sent)),
                Ok(Err(error)) if !said => {
                    supervise::failed(&error);
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(
                        event = events::HEARTBEAT_FAILED,
                        error,
                        "can't register with the database; trying until it works"
                    );
                    said = true;
                }
                Ok(Err(_)) | Err(_) => {}
            }
            at(WaitPoint::RetryPause, self.reports.stop.run_until_cancelled(sleep(RETRY_PAUSE)))
                .await?;
        }
    }

    /// Renews until told to stop (`true`) or until the lease is lost (`false`).
    async fn keep(&mut self, boot: i64, registered: Instant) -> bool {
        let (mut confirmed, mut said) = (registered, false);
        let mut next = confirmed + self.times.interval;
        loop {
            let stop = self.reports.stop.clone();
            let pause = stop.run_until_cancelled(sleep_until(next));
            if at(WaitPoint::RoundPause, pause).await.is_none() {
                return true;
            }
            let limit = confirmed + self.times.own_limit();
            let sent = Instant::now();
            match timeout_at(limit, self.keeper.renew(boot)).await {
                Ok(Ok(true)) => {
                    (confirmed, said) = (sent, false);
                    next = sent + self.times.interval;
                    (self.reports.renewed)();
                }
                Ok(Ok(false)) | Err(_) => return false,
                Ok(Err(error)) => {
                    supervise::failed(&error);
                    if !std::mem::replace(&mut said, true) {
                        let error: &dyn std::error::Error = &error;
                        tracing::warn!(
                            event = events::HEARTBEAT_FAILED,
                            error,
                            "a renewal failed and is tried again until the lease is lost"
                        );
                    }
                    next = Instant::now() + RETRY_PAUSE;
                    if next >= limit {
                        sleep_until(limit).await;
                        return false;
                    }
                }
            }
        }
    }

    async fn retire(&mut self, boot: i64) {
        let until = Instant::now() + Duration::from_secs(1);
        // If this fails the row simply expires.
        if !matches!(timeout_at(until, self.keeper.retire(boot)).await, Ok(Ok(()))) {
            tracing::debug!(daemon.id = boot, "the daemon's row is left to expire");
        }
    }
}

#[cfg(test)]
mod tests;
