//! Declares daemons dead whose lease ran out, and puts their jobs back in line.
//!
//! Finding what a dead daemon held reads the whole table, so it is done twice for each death and not
//! each time somebody looks: when it is noticed, and a lease later, since a claim of that daemon
//! which was in flight may have committed after the first time. What even that misses is an
//! invariant's business (`legwork.invariants`).

use crate::{
    claimer::Bell,
    heartbeat::LeaseTimes,
    postgres::{DbError, Upkeep},
    telemetry::{events, metrics::Metrics},
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The rescuer's loop, round by round.
pub struct Rescuer {
    upkeep: Arc<Upkeep>,
    times: LeaseTimes,
    bell: Bell,
    metrics: Arc<Metrics>,
    /// What was done for each daemon that died within the last hour; the database's list bounds it.
    deaths: HashMap<i64, Death>,
}

#[derive(Debug, Clone, Copy)]
struct Death {
    noticed: Instant,
    searches: u32,
}

impl Death {
    fn is_due(&self, now: Instant, ttl: Duration) -> bool {
        match self.searches {
            0 => true,
            1 => now >= self.noticed + ttl,
            _ => false,
        }
    }
}

impl Rescuer {
    /// A rescuer that has seen nobody die yet.
    pub fn new(upkeep: Arc<Upkeep>, times: LeaseTimes, links: (Bell, Arc<Metrics>)) -> Self {
        let (bell, metrics) = links;
        Self { upkeep, times, bell, metrics, deaths: HashMap::new() }
    }

    /// One round; says when the next is due.
    pub async fn round(&mut self) -> Result<Duration, DbError> {
        let dead = self.upkeep.declare_dead(self.times.margin()).await?;
        self.deaths.retain(|id, _| dead.iter().any(|(dead, _)| dead == id));
        let now = Instant::now();
        for (id, newly) in dead {
            let new = Death { noticed: now, searches: 0 };
            let death = *self.deaths.entry(id).or_insert(new);
            if death.is_due(now, self.times.ttl) {
                self.search(id, newly).await?;
                self.deaths.insert(id, Death { searches: death.searches + 1, ..death });
            }
        }
        Ok(self.times.interval)
    }

    async fn search(&self, dead: i64, newly: bool) -> Result<(), DbError> {
        let mut rescued = 0;
        loop {
            let batch = self.upkeep.rescue(dead).await?;
            rescued += batch;
            if batch == 0 {
                break;
            }
        }
        if rescued > 0 {
            self.metrics.daemon.rescues.increment(rescued);
            self.bell.ring_for_sweep();
        }
        if rescued > 0 || newly {
            tracing::warn!(
                event = events::JOB_RESCUED,
                daemon.id = dead,
                jobs = rescued,
                "a daemon died; its jobs are back in line"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_table_is_searched_when_a_death_is_noticed_and_once_more_a_lease_later() {
        let (noticed, ttl) = (Instant::now(), Duration::from_secs(30));
        let due = |searches, after| {
            Death { noticed, searches }.is_due(noticed + Duration::from_secs(after), ttl)
        };
        assert!(due(0, 0) && !due(1, 29) && due(1, 30) && !due(2, 3599));
    }
}
