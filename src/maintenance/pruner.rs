//! Looks after history: its next days are there, those that are past are dropped, and who cancels without a
//! daemon knows how long a queue's jobs are kept.
//!
//! Every look asks whether today's and tomorrow's partitions are there, since readiness says so; the rest
//! is done once an hour. A day that is missing is made at once, and the completer makes one too when it
//! meets none: what is told here is that nobody can.

use crate::{
    config::Kept,
    postgres::{DbError, Upkeep},
    telemetry::{events, health::Check},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// How often it is looked whether history's next days are there.
const LOOK_PAUSE: Duration = Duration::from_secs(15);
/// How often history is looked after; days are made 35 ahead, so a day of outage costs nothing.
const PRUNE_PAUSE: Duration = Duration::from_hours(1);
/// Notes of the audit that are deleted at once; a statement of them takes milliseconds.
const NOTES_AT_ONCE: i32 = 1000;
/// Answers to requests that one statement deletes.
const REQUESTS_AT_ONCE: u64 = 1000;
/// Days of history that are made ahead.
const DAYS_AHEAD: i32 = 35;

/// What is kept, and when it was last pruned.
pub struct Pruner {
    upkeep: Arc<Upkeep>,
    check: Check,
    /// A reload may change it: then it is told anew.
    kept: watch::Receiver<Kept>,
    next_prune: Instant,
}

impl Pruner {
    /// Its first round prunes. `check` fails while jobs that end today or tomorrow have no partition.
    pub fn new(upkeep: Arc<Upkeep>, check: Check, kept: watch::Receiver<Kept>) -> Self {
        Self { upkeep, check, kept, next_prune: Instant::now() }
    }

    /// One round; gives the pause until the next.
    pub async fn round(&mut self) -> Result<Duration, DbError> {
        let changed = self.kept.has_changed().unwrap_or(false);
        let kept = self.kept.borrow_and_update().clone();
        if changed {
            self.next_prune = Instant::now();
        }
        self.look_after_days(&kept).await?;
        if Instant::now() >= self.next_prune {
            self.prune().await?;
            for (queue, retention) in &kept {
                self.upkeep.publish(queue, *retention).await?;
            }
            self.next_prune = Instant::now() + PRUNE_PAUSE;
        }
        Ok(LOOK_PAUSE)
    }

    /// Where nothing is missing, nothing is locked or waited for.
    async fn look_after_days(&self, kept: &Kept) -> Result<(), DbError> {
        let kept = kept.values().flat_map(|kept| [kept.completed, kept.cancelled, kept.discarded]);
        let days: Vec<i32> =
            kept.filter_map(|kept| kept.days()).flat_map(|days| [days, days + 1]).collect();
        let missing = self.upkeep.missing_days(&days).await?;
        if let Some(first) = missing.first() {
            if let Err(error) = self.upkeep.make_days(&days).await {
                self.check.failing(format!("history's {first} is missing and can't be made"));
                return Err(error);
            }
            say_made(missing.len());
        }
        self.check.ok();
        Ok(())
    }

    /// Makes history's next days and drops those that are past; forgets daemons that died long ago, what
    /// people changed three months ago, and the answers to requests of the day before.
    async fn prune(&self) -> Result<(), DbError> {
        let made = self.upkeep.make_partitions(DAYS_AHEAD).await?;
        if let Some(made) = usize::try_from(made).ok().filter(|made| *made > 0) {
            say_made(made);
        }
        self.upkeep.forget().await?;
        while self.upkeep.prune_audit(NOTES_AT_ONCE).await? == NOTES_AT_ONCE {}
        while self.upkeep.forget_requests(REQUESTS_AT_ONCE).await? == REQUESTS_AT_ONCE {}
        for name in self.upkeep.droppable_partitions().await? {
            match self.upkeep.drop_partition(name.clone()).await {
                Ok(()) => tracing::info!(
                    event = events::PARTITION_DROPPED,
                    partition = name,
                    "a day of history was dropped"
                ),
                // Somebody reads it: the lock is tried for again in the next round.
                Err(error) if error.sqlstate().as_deref() == Some("55P03") => {}
                // Whatever keeps this day (somebody's view on it, say) keeps no other.
                Err(error) if error.sqlstate().is_some() => say_kept(&name, &error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn say_kept(partition: &str, error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(
        event = events::PARTITION_KEPT,
        partition,
        error,
        "a day of history that is past can't be dropped, and is tried again in an hour"
    );
}

fn say_made(partitions: usize) {
    tracing::info!(event = events::PARTITION_MADE, partitions, "days of history were made");
}
