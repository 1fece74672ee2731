//! How long each loop may stay in one step: what its watchdog goes by.
//!
//! A limit is longer than every deadline in a step of that loop. A statement that waits for its answer
//! is dropped by its own deadline, with its connection; the watchdog mustn't come before it, and is for
//! what has no deadline or missed it.

use crate::{
    dispatcher::STAY_MAX,
    postgres::{Connector, LISTEN_STEP_MAX},
    telemetry::spans::EXPORT_MAX,
};
use std::time::Duration;

/// Beyond the longest deadline, for a machine that is busy; and more than any pause of a loop after a
/// failure, which is 5 s at most.
const SLACK: Duration = Duration::from_secs(6);

/// Of loops that wait for nothing but memory and short timers: `admin`, `metrics`, `pulse`, and the
/// dispatchers, which keep a job for [`STAY_MAX`].
pub(super) const OF_MEMORY: Duration = STAY_MAX.saturating_add(SLACK);
/// Of the listener, which probes a silent connection.
pub(super) const OF_LISTENER: Duration = LISTEN_STEP_MAX.saturating_add(SLACK);

/// Of the exporter, whose longest step is a request.
pub(super) const OF_EXPORTER: Duration = EXPORT_MAX.saturating_add(SLACK);

/// Of loops that send statements: each answer ends a step.
pub(super) fn of_statements(connector: &Connector) -> Duration {
    connector.step_max() + SLACK
}

/// Of loops that send statements which scan.
pub(super) fn of_survey(connector: &Connector) -> Duration {
    connector.survey_step_max() + SLACK
}
