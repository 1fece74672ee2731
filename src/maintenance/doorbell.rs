//! Whether producers ring: a mode, not a nap.
//!
//! A NOTIFY serialises commits (19 k inserts a second fall to 5 k), so producers ring only while jobs
//! come slowly. All daemons read the same sequence, so an idle daemon of a busy fleet doesn't make
//! producers ring for everybody. The same reading is what the low-water marks go by.

use crate::{
    claimer::Hints,
    postgres::{DbError, Upkeep},
    supervise::{WaitPoint, at},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// Below so many inserts a second producers ring.
const RING_BELOW: f64 = 500.0;
/// Above so many they stop; the gap keeps the mode from flapping.
const SILENCE_ABOVE: f64 = 1000.0;
/// Above so many jobs are said to come.
const JOBS_COME: f64 = 1.0;
/// How long one extension lasts: two rounds and more, so that a slow one doesn't end it.
const EXTENSION: Duration = Duration::from_secs(20);
/// Between two readings while little happens: many rings don't wait for it.
const IDLE_PAUSE: Duration = Duration::from_secs(8);
/// Least time between two readings: as between one that many rings asked for and the next, which tells how fast they
/// come.
const BURST_PAUSE: Duration = Duration::from_millis(50);
/// Between two readings while jobs come.
const BUSY_PAUSE: Duration = Duration::from_millis(250);

/// Reads how far the line reaches, and switches the mode.
pub struct Doorbell {
    upkeep: Arc<Upkeep>,
    horizon: Arc<AtomicI64>,
    /// Told whether producers ring; nothing where they aren't to.
    hints: Option<Arc<Hints>>,
    last: Option<(i64, Instant)>,
    ringing: bool,
}

impl Doorbell {
    /// Without hints (`claim.notify` is off) it only reads.
    pub fn new(upkeep: Arc<Upkeep>, horizon: Arc<AtomicI64>, hints: Option<Arc<Hints>>) -> Self {
        Self { upkeep, horizon, hints, last: None, ringing: true }
    }

    /// One reading; says when the next is due.
    pub async fn round(&mut self) -> Result<Duration, DbError> {
        // Any role can ring: however many do, readings aren't a storm, and a rate isn't told from a few rows.
        if let Some((_, last)) = self.last {
            at(WaitPoint::RoundPause, sleep_until(last + BURST_PAUSE)).await;
        }
        let now = Instant::now();
        let many = self.hints.as_ref().is_some_and(|hints| hints.take_many());
        let reached = if self.hints.is_some() && self.ringing {
            let extended = self.upkeep.extend_doorbell(EXTENSION).await;
            self.tell(extended.is_ok());
            extended?
        } else {
            self.upkeep.horizon().await?
        };
        self.horizon.fetch_max(reached, Ordering::AcqRel);
        let rate = self.rate(reached, now);
        self.last = Some((reached, now));
        let (ringing, pause) = judge(self.ringing, rate, many);
        let silenced = self.ringing && !ringing;
        self.ringing = ringing;
        if silenced {
            self.tell(false);
            if self.hints.is_some() {
                self.upkeep.silence_doorbell().await?;
            }
        }
        Ok(pause)
    }

    fn tell(&self, ringing: bool) {
        if let Some(hints) = &self.hints {
            hints.ringing.store(ringing, Ordering::Release);
        }
    }

    fn rate(&self, reached: i64, now: Instant) -> f64 {
        let Some((before, at)) = self.last else { return 0.0 };
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
        let moved = reached.saturating_sub(before) as f64;
        moved / now.duration_since(at).as_secs_f64().max(0.001)
    }
}

/// Whether producers are to ring from now on, by whether they do, how many jobs come a second and whether many rang;
/// and how long until the next reading, which asks them to.
fn judge(ringing: bool, rate: f64, many: bool) -> (bool, Duration) {
    let rings = rate <= SILENCE_ABOVE && (ringing || rate < RING_BELOW);
    let pause = if many && rings {
        // Since a reading that may be seconds old the rate is a mean: the burst may have just begun.
        BURST_PAUSE
    } else if rings != ringing || rate > JOBS_COME {
        // After a burst they ring from the next reading on.
        BUSY_PAUSE
    } else {
        IDLE_PAUSE
    };
    (rings, pause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::nothing_comes((true, 0.0, false), (true, IDLE_PAUSE))]
    #[case::some_come((true, 100.0, false), (true, BUSY_PAUSE))]
    #[case::between_the_figures_it_stays_on((true, 750.0, false), (true, BUSY_PAUSE))]
    #[case::and_it_stays_off((false, 750.0, false), (false, BUSY_PAUSE))]
    #[case::a_burst((true, 5000.0, false), (false, BUSY_PAUSE))]
    #[case::it_goes_on((false, 5000.0, false), (false, BUSY_PAUSE))]
    #[case::it_is_over_and_they_ring_soon((false, 0.0, false), (true, BUSY_PAUSE))]
    #[case::many_rang_and_the_mean_is_small((true, 40.0, true), (true, BURST_PAUSE))]
    #[case::many_rang_in_a_burst((true, 5000.0, true), (false, BUSY_PAUSE))]
    fn producers_ring_while_jobs_come_slowly(
        #[case] (ringing, rate, many): (bool, f64, bool),
        #[case] expected: (bool, Duration),
    ) {
        assert_eq!(judge(ringing, rate, many), expected);
    }
}
