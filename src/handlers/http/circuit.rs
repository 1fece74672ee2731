//! A kind's circuit: whether a request may leave, and what becomes of a job whose request may not.
//!
//! The rule is in [`breaker`] and knows no clock; here it meets the daemon's, its log and its figures.

mod breaker;

use crate::{
    config::CircuitSettings,
    handlers::shortage,
    job::Outcome,
    telemetry::{
        events,
        metrics::{CircuitState, HttpHandlerMetrics},
    },
};
use breaker::{Admission, Breaker, Change};
pub(super) use breaker::{Sign, Ticket};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Shared by all attempts of a kind.
#[derive(Debug)]
pub(super) struct Circuit {
    breaker: Mutex<Breaker>,
    settings: CircuitSettings,
    target: String,
}

impl Circuit {
    pub(super) fn new(settings: CircuitSettings, target: String) -> Self {
        Self { breaker: Mutex::new(Breaker::new(settings)), settings, target }
    }

    /// Leave for one request, to be given back by [`settled`](Self::settled); or what becomes of the job.
    pub(super) fn enter(&self, metrics: &HttpHandlerMetrics) -> Result<Ticket, Outcome> {
        let mut breaker = self.breaker();
        let admission = breaker.admit(Instant::now());
        metrics.circuit(state(&breaker));
        match admission {
            Admission::Go(ticket) => Ok(ticket),
            // Spread, so that those that were parked together don't come back together.
            Admission::Wait(rest) => {
                let spread = self.settings.open_for.mul_f64(fastrand::f64() / 2.0);
                Err(Outcome::Park { delay: rest + spread })
            }
            Admission::Full => Err(Outcome::Park { delay: shortage::a_moment() }),
        }
    }

    /// The request is over, and this is what it says of the receiver.
    pub(super) fn settled(&self, ticket: Ticket, sign: Sign, metrics: &HttpHandlerMetrics) {
        let mut breaker = self.breaker();
        let change = breaker.settle(ticket, sign, Instant::now());
        metrics.circuit(state(&breaker));
        drop(breaker);
        match change {
            Some(Change::Opened) => tracing::warn!(
                event = events::CIRCUIT_OPENED,
                receiver = self.target,
                failures = self.settings.failures,
                open_seconds = self.settings.open_for.as_secs_f64(),
                "the receiver fails again and again: its jobs are parked, uncharged, and one request at a time \
                 sees whether it is well again",
            ),
            Some(Change::Closed) => tracing::info!(
                event = events::CIRCUIT_CLOSED,
                receiver = self.target,
                "the receiver is well again",
            ),
            None => {}
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // Nothing in it can panic half-way.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn state(breaker: &Breaker) -> CircuitState {
    if breaker.is_open() {
        CircuitState::Open
    } else if breaker.is_closed() {
        CircuitState::Closed
    } else {
        CircuitState::Half
    }
}
