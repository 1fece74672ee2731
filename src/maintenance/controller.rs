//! What operators decide at run time, brought to this daemon: overrides of queues, pauses and their end, and what
//! the daemon itself is told to do.
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
    telemetry::{
        events,
        feed::{Feed, Occurrence},
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
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
    /// Told what becomes of queues.
    pub feed: Arc<Feed>,
}

/// Whether operators let a queue run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Running,
    Paused,
    Draining,
}

/// Brings decisions here.
pub struct Controller {
    upkeep: Arc<Upkeep>,
    leases: Leases,
    interval: Duration,
    told: Told,
    /// The queues as they were told of last; nobody else tells of them.
    queues: BTreeMap<QueueName, Standing>,
    obeyed: Option<Wanted>,
    /// When it asked last.
    asked: Instant,
}

impl Controller {
    /// Asks at least once an interval.
    pub fn new(upkeep: Arc<Upkeep>, leases: Leases, interval: Duration, told: Told) -> Self {
        let (queues, obeyed, asked) = (BTreeMap::new(), None, Instant::now());
        Self { upkeep, leases, interval, told, queues, obeyed, asked }
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
        self.tell_of_queues(served, &decided);
        self.tell(decided);
        // One whose end another daemon sees to at this moment is looked for again after a rest.
        Ok(next.max(CANCEL_REST))
    }

    fn tell(&mut self, decided: Decided) {
        let Decided { wanted, overrides, .. } = decided;
        self.told.overrides.send_if_modified(|held| {
            let differs = *held != overrides;
            if differs {
                *held = overrides;
            }
            differs
        });
        if wanted > self.obeyed
            && let Some(wanted) = wanted
        {
            self.obeyed = Some(wanted);
            (self.told.obey)(wanted);
        }
    }

    /// Tells each change once. A queue that this daemon didn't serve until now ran, as far as it knows.
    fn tell_of_queues(&mut self, served: &[QueueName], decided: &Decided) {
        let before = std::mem::take(&mut self.queues);
        for queue in served {
            let now = Standing::of(queue, decided);
            let before = before.get(queue).copied().unwrap_or(Standing::Running);
            self.queues.insert(queue.clone(), now);
            for &name in now.since(before) {
                self.told.feed.tell(|| Occurrence::Queue { queue: queue.clone(), name });
                log(name, queue);
            }
            if now == Standing::Running && before != now {
                // Its jobs lie before the marks of those who looked while it was paused.
                self.told.bell.ring_for_sweep();
            }
        }
    }
}

impl Standing {
    fn of(queue: &QueueName, decided: &Decided) -> Self {
        let among = |names: &[String]| names.iter().any(|name| name == queue.as_str());
        match (among(&decided.paused), among(&decided.draining)) {
            (false, _) => Self::Running,
            (true, false) => Self::Paused,
            (true, true) => Self::Draining,
        }
    }

    /// What there is to tell. A drain is a pause with a word, so whoever hears of pauses alone hears of it.
    fn since(self, before: Self) -> &'static [&'static str] {
        match (before, self) {
            (Self::Running, Self::Paused) => &[events::QUEUE_PAUSED],
            (Self::Running, Self::Draining) => &[events::QUEUE_PAUSED, events::QUEUE_DRAINING],
            (Self::Paused, Self::Draining) => &[events::QUEUE_DRAINING],
            (Self::Paused | Self::Draining, Self::Running) => &[events::QUEUE_RESUMED],
            // A drain that is a pause again was resumed and paused between two looks.
            (Self::Draining, Self::Paused) => &[events::QUEUE_RESUMED, events::QUEUE_PAUSED],
            (Self::Running, Self::Running)
            | (Self::Paused, Self::Paused)
            | (Self::Draining, Self::Draining) => &[],
        }
    }
}

fn log(name: &str, queue: &QueueName) {
    match name {
        events::QUEUE_PAUSED => {
            tracing::info!(event = events::QUEUE_PAUSED, job.queue = %queue, "a queue is paused");
        }
        events::QUEUE_DRAINING => {
            tracing::info!(event = events::QUEUE_DRAINING, job.queue = %queue, "a queue is being drained");
        }
        _ => {
            tracing::info!(event = events::QUEUE_RESUMED, job.queue = %queue, "a queue is resumed");
        }
    }
}
