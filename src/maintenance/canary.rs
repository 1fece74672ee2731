//! Sends a job that does nothing down the whole way, now and then: INSERT, wake-up, claim, worker, commit.
//!
//! Each part has figures of its own, and all of them can be well while nothing arrives. Who completes a canary, this
//! daemon or another, tells when it did and how long it took (`telemetry/metrics/canary`); here it is only enqueued.
//! Of a queue there is one at a time in all daemons together, so a way that is blocked holds one job and no more.

use super::Rested;
use crate::{
    heartbeat::Leases,
    job::QueueName,
    postgres::{DbError, Upkeep},
    telemetry::metrics::Metrics,
};
use metrics::Counter;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How soon it looks again whether the daemon is registered, and so claims.
const UNREGISTERED_PAUSE: Duration = Duration::from_millis(100);

/// What sends canaries through one queue.
pub struct Canary {
    queue: QueueName,
    interval: Duration,
    leases: Leases,
    /// Cancelled when this daemon claims nothing more.
    quiet: CancellationToken,
    sent: Counter,
}

impl Canary {
    /// Through this queue, so often, until nothing more is claimed here.
    pub fn new(
        (queue, interval): (QueueName, Duration),
        (leases, quiet): (Leases, CancellationToken),
        metrics: &Metrics,
    ) -> Self {
        let sent = metrics.canary(&queue);
        Self { queue, interval, leases, quiet, sent }
    }

    /// Sends one, where these are served and none is on its way.
    pub async fn round(&self, upkeep: &Upkeep, served: &[QueueName]) -> Result<Rested, DbError> {
        if self.leases.now().is_none() {
            return Ok(Rested::idle(UNREGISTERED_PAUSE));
        }
        // Nobody here would claim it, and where no other daemon serves the queue nobody at all.
        if self.quiet.is_cancelled() {
            return Ok(Rested::idle(self.interval));
        }
        // After a reload the queue may be nobody's.
        if !served.contains(&self.queue) {
            return Ok(Rested::idle(self.interval));
        }
        if upkeep.send_canary(&self.queue).await? {
            self.sent.increment(1);
        }
        Ok(self.interval.into())
    }
}
