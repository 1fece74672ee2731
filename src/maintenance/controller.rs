//! What operators decide at run time, brought to this daemon: overrides of queues, the end of pauses, and what the
//! daemon itself is told to do.
//!
//! It reads what stands in the database once an interval, at once when it is notified, and when the next of it
//! ends: so whoever decided may be gone, and the database's clock alone says what is past. What the daemon makes of it is
//! `daemon`'s business.

use super::CANCEL_REST;
use crate::{
    claimer::Bell,
    config::Overrides,
    heartbeat::Leases,
    job::QueueName,
    postgres::{DbError, Decided, Upkeep, Wanted},
    supervise::{WaitPoint, at},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// What is done where a daemon is told something.
pub type Obey = Arc<dyn Fn(Wanted) + Send + Sync>;

/// Whom it tells.
pub struct Told {
    /// What holds for queues from now on.
    pub overrides: watch::Sender<Overrides>,
    /// Has the daemon do what it is told.
    pub obey: Obey,
    /// Rung when a queue runs again.
    pub bell: Bell,
}

/// Brings decisions here.
pub struct Controller {
    upkeep: Arc<Upkeep>,
    leases: Leases,
    interval: Duration,
    told: Told,
    paused: Vec<String>,
    obeyed: Option<Wanted>,
    /// When it asked last.
    asked: Instant,
}

impl Controller {
    /// Asks at least once an interval.
    pub fn new(upkeep: Arc<Upkeep>, leases: Leases, interval: Duration, told: Told) -> Self {
        let (paused, obeyed, asked) = (Vec::new(), None, Instant::now());
        Self { upkeep, leases, interval, told, paused, obeyed, asked }
    }

    /// One look, while these queues are served; gives how long the pause after it is.
    pub async fn round(&mut self, served: &[QueueName]) -> Result<Duration, DbError> {
        // Any role can notify, and a storm of notifications mustn't be a storm of statements.
        at(WaitPoint::RoundPause, sleep_until(self.asked + CANCEL_REST)).await;
        self.asked = Instant::now();
        let mut decided = self.upkeep.decided(self.leases.now(), served).await?;
        if decided.next.is_some_and(|next| next.is_zero()) {
            self.upkeep.end_overrides().await?;
            decided = self.upkeep.decided(self.leases.now(), served).await?;
        }
        let next = decided.next.unwrap_or(self.interval).min(self.interval);
        self.tell(decided);
        // One whose end another daemon sees to at this moment is looked for again after a rest.
        Ok(next.max(CANCEL_REST))
    }

    fn tell(&mut self, decided: Decided) {
        let Decided { wanted, paused, overrides, .. } = decided;
        self.told.overrides.send_if_modified(|held| {
            let differs = *held != overrides;
            if differs {
                *held = overrides;
            }
            differs
        });
        // Its jobs lie before the marks of those who looked while it was paused.
        if self.paused.iter().any(|queue| !paused.contains(queue)) {
            self.told.bell.ring_for_sweep();
        }
        self.paused = paused;
        if wanted > self.obeyed
            && let Some(wanted) = wanted
        {
            self.obeyed = Some(wanted);
            (self.told.obey)(wanted);
        }
    }
}
