//! Where there is no sampling: another system, another C library, another processor.

use super::{Refused, Sample};
use std::time::Duration;

/// A sampling; there is none.
#[derive(Debug)]
pub struct Sampler(std::convert::Infallible);

impl Sampler {
    /// Says why not.
    pub fn start(_: Duration) -> Result<Self, Refused> {
        Err(Refused::Elsewhere)
    }

    /// Never.
    pub fn every(&self) -> Duration {
        match self.0 {}
    }

    /// Shows nothing.
    pub fn collect(&mut self, _: impl FnMut(&Sample, Duration)) -> Result<(), Refused> {
        match self.0 {}
    }
}

/// The signal is left as it is.
pub fn take_signal() -> Result<(), Refused> {
    Err(Refused::Elsewhere)
}

/// Nobody asks what a thread does.
pub fn label(_: u32) -> u32 {
    0
}

/// Nobody asks where its stack lies.
pub fn register() {}
