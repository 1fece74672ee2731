//! Declares daemons dead whose lease ran out, and puts their jobs back in line.
//!
//! There is no index on who holds a job: it would cost each job more than a scan costs each death. So
//! scans are counted: one when daemons are seen dead, for all of them, one later for claims of theirs that
//! were in flight at the first, one an hour for jobs whose holder nobody knows, and three for each who has jobs.

use crate::{
    claimer::Bell,
    heartbeat::LeaseTimes,
    job::QueueName,
    postgres::{DbError, Upkeep},
    telemetry::{events, metrics::Metrics},
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How often jobs are looked for whose holder has no row.
const UNKNOWN_PAUSE: Duration = Duration::from_hours(1);
/// How long after the start they are first looked for, and the spread of that. The look reads the whole table, and
/// daemons that begin together neither do so all at once nor while they take up their work.
const UNKNOWN_FIRST: Duration = Duration::from_secs(18);
const UNKNOWN_FIRST_SPREAD: Duration = Duration::from_secs(4);

/// The rescuer's state.
pub struct Rescuer {
    upkeep: Arc<Upkeep>,
    times: LeaseTimes,
    bell: Bell,
    metrics: Arc<Metrics>,
    looks: Looks,
    next_unknown: Instant,
}

impl Rescuer {
    /// Its first round looks at every daemon that died within the hour. `claim_limit` is how long a
    /// claim may be in flight.
    pub fn new(
        upkeep: Arc<Upkeep>,
        (times, claim_limit): (LeaseTimes, Duration),
        bell: Bell,
        metrics: Arc<Metrics>,
    ) -> Self {
        let looks = Looks { again_after: times.ttl + claim_limit, next: HashMap::new() };
        let next_unknown =
            Instant::now() + UNKNOWN_FIRST + UNKNOWN_FIRST_SPREAD.mul_f64(fastrand::f64());
        Self { upkeep, times, bell, metrics, looks, next_unknown }
    }

    /// One round; gives the pause until the next.
    pub async fn round(&mut self) -> Result<Duration, DbError> {
        let dead = self.upkeep.declare_dead(self.times.margin()).await?;
        let ids: Vec<_> = dead.iter().map(|(id, _)| *id).collect();
        let due = self.looks.due(&ids, Instant::now());
        let holders =
            if due.is_empty() { Vec::new() } else { self.upkeep.holders_among(&due).await? };
        for dead_id in due {
            let (jobs, found) = if holders.contains(&dead_id) {
                self.look_after(dead_id).await?
            } else {
                (0, Found::Nothing)
            };
            self.looks.looked(dead_id, found, Instant::now());
            if jobs > 0 || dead.contains(&(dead_id, true)) {
                say(dead_id, jobs, "a daemon died; its jobs are back in line");
            }
        }
        self.rescue_from_unknown().await?;
        let until_unknown = self.next_unknown.saturating_duration_since(Instant::now());
        Ok(self.times.interval.min(until_unknown))
    }

    /// Puts a holder's jobs back in line; gives how many, and what that look came to.
    async fn look_after(&self, dead: i64) -> Result<(usize, Found), DbError> {
        let jobs = self.rescue(dead).await?;
        // A row that somebody had locked was skipped: it is looked for again in the next round.
        let found = match (jobs > 0, self.upkeep.holds(dead).await?) {
            (_, true) => Found::Locked,
            (true, false) => Found::Some,
            (false, false) => Found::Nothing,
        };
        Ok((jobs, found))
    }

    /// Puts a holder's jobs back in line; gives how many.
    async fn rescue(&self, holder: i64) -> Result<usize, DbError> {
        let mut rescued = 0;
        loop {
            let (batch, is_last) = match self.upkeep.rescue(holder).await {
                Ok(batch) => (batch, false),
                // One row that can't be changed must not keep the others with a dead daemon.
                Err(error) if error.blames_the_rows() => {
                    (self.upkeep.rescue_apart(holder).await?, true)
                }
                Err(error) => return Err(error),
            };
            if batch.is_empty() {
                return Ok(rescued);
            }
            rescued += batch.len();
            self.bell.ring_for_sweep();
            // What the database takes for a queue's name, so do we.
            for queue in batch.iter().filter_map(|queue| QueueName::new(queue).ok()) {
                self.metrics.queue(&queue).rescues.increment(1);
            }
            if is_last {
                return Ok(rescued);
            }
        }
    }

    async fn rescue_from_unknown(&mut self) -> Result<(), DbError> {
        if Instant::now() < self.next_unknown {
            return Ok(());
        }
        for holder in self.upkeep.unknown_holders().await? {
            let jobs = self.rescue(holder).await?;
            say(
                holder,
                jobs,
                "jobs were held by a daemon that nobody knows; they are back in line",
            );
        }
        self.next_unknown = Instant::now() + UNKNOWN_PAUSE;
        Ok(())
    }
}

fn say(holder: i64, jobs: usize, message: &str) {
    tracing::warn!(event = events::JOB_RESCUED, daemon.id = holder, jobs, "{message}");
}

/// What a look at a dead daemon's jobs came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// It holds nothing.
    Nothing,
    /// It held jobs, and they are back in line.
    Some,
    /// It still holds a job that somebody has locked.
    Locked,
}

/// Which dead daemons to look at when. Pure but for the instants it is given.
#[derive(Debug)]
struct Looks {
    again_after: Duration,
    /// None: nothing is left to look for.
    next: HashMap<i64, Option<Instant>>,
}

impl Looks {
    /// Those of `dead` to look at now; who isn't in it any more is forgotten.
    fn due(&mut self, dead: &[i64], now: Instant) -> Vec<i64> {
        self.next.retain(|id, _| dead.contains(id));
        let due = |id: &i64| self.next.get(id).is_none_or(|next| next.is_some_and(|at| at <= now));
        dead.iter().copied().filter(due).collect()
    }

    /// A look is over. The first is followed by another; so is one that found something after it.
    fn looked(&mut self, id: i64, found: Found, now: Instant) {
        let is_first = !self.next.contains_key(&id);
        let next = match found {
            Found::Locked => Some(now),
            Found::Some => Some(now + self.again_after),
            Found::Nothing => is_first.then_some(now + self.again_after),
        };
        self.next.insert(id, next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_death_costs_two_looks_and_one_more_for_each_that_finds_a_straggler() {
        let start = Instant::now();
        let mut looks = Looks { again_after: TTL, next: HashMap::new() };
        let dead = [7];
        assert_eq!(looks.due(&dead, start), [7], "at once");
        assert_eq!(looks.due(&dead, start), [7], "again, since the look failed");
        looks.looked(7, Found::Some, start);
        assert!(looks.due(&dead, start).is_empty());
        assert_eq!(looks.due(&dead, start + TTL), [7], "a lease later");
        looks.looked(7, Found::Some, start + TTL);
        assert_eq!(looks.due(&dead, start + 2 * TTL), [7], "it had found a straggler");
        looks.looked(7, Found::Nothing, start + 2 * TTL);
        assert!(looks.due(&dead, start + 100 * TTL).is_empty());
    }

    #[tokio::test]
    async fn a_job_that_somebody_has_locked_is_looked_for_in_each_round() {
        let start = Instant::now();
        let mut looks = Looks { again_after: TTL, next: HashMap::new() };
        looks.looked(7, Found::Locked, start);
        assert_eq!(looks.due(&[7], start), [7]);
        looks.looked(7, Found::Some, start);
        assert!(looks.due(&[7], start).is_empty());
        assert_eq!(looks.due(&[7], start + TTL), [7], "and once more");
    }

    #[tokio::test]
    async fn who_is_forgotten_by_the_database_is_forgotten_here() {
        let now = Instant::now();
        let mut looks = Looks { again_after: TTL, next: HashMap::new() };
        looks.looked(7, Found::Nothing, now);
        assert!(looks.due(&[], now).is_empty());
        assert!(looks.next.is_empty());
    }
}
