//! Schedules: when a recurring job is due, by pure rules.
//!
//! It knows cron patterns, time zones and their shifts, and what is to be made of instants that passed
//! while nobody looked. It has no clock: every function is given the moment that it is asked about,
//! which is the database's. It enqueues nothing; `maintenance` does, and each instant once by a guarded
//! statement.

mod cron;
mod due;
mod moment;
mod rule;
#[cfg(test)]
mod tests;
mod zone;

pub use cron::CronError;
pub use due::{CATCH_UP_MAX, CatchUp, Due, MISSED_COUNTED, ON_TIME_SECONDS};
pub use moment::Moment;
pub use rule::{Rule, RuleError};
pub use zone::{UnknownZone, Zone};

/// Whether an instant enqueues while the job of the instant before is unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// It passes.
    Skip,
    /// It does.
    Allow,
}
