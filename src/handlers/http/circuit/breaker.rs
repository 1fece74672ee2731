//! When a receiver is left alone, and how it gets its requests back. Pure: whoever asks says how late it is.

use crate::config::CircuitSettings;
use std::time::Duration;
use tokio::time::Instant;

/// What the end of a request says of its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Sign {
    /// It works.
    Well,
    /// It doesn't.
    Ill,
    /// It didn't answer in the time that the job had, which may have been less than it needs.
    Late,
    /// Nothing: the request wasn't sent, or we broke it off.
    Silent,
}

/// Whether a request may leave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Yes.
    Go(Ticket),
    /// Not for so long.
    Wait(Duration),
    /// Soon: as many as may be are under way.
    Full,
}

/// Leave for one request.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Ticket {
    /// Under which state it was given; what began under another says nothing any more.
    era: u64,
}

/// What people should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The receiver is left alone from now on.
    Opened,
    /// It gets everything again.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        /// In a row.
        failed: u32,
    },
    Open {
        until: Instant,
    },
    /// It may have one request more under way than it has answered well.
    Half {
        under_way: u32,
        succeeded: u32,
    },
}

/// The rule.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: CircuitSettings,
    state: State,
    era: u64,
}

impl Breaker {
    pub(super) fn new(settings: CircuitSettings) -> Self {
        Self { settings, state: State::Closed { failed: 0 }, era: 0 }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        match &mut self.state {
            State::Closed { .. } => {}
            State::Open { until } if now < *until => return Admission::Wait(*until - now),
            State::Open { .. } => self.enter(State::Half { under_way: 1, succeeded: 0 }),
            State::Half { under_way, succeeded } if *under_way <= *succeeded => *under_way += 1,
            // Nobody knows yet: as long as if it had failed.
            State::Half { succeeded: 0, .. } => return Admission::Wait(self.settings.open_for),
            State::Half { .. } => return Admission::Full,
        }
        Admission::Go(Ticket { era: self.era })
    }

    pub(super) fn settle(
        &mut self,
        Ticket { era }: Ticket,
        sign: Sign,
        now: Instant,
    ) -> Option<Change> {
        if era != self.era || self.settings.failures == 0 {
            return None;
        }
        let (most, open) =
            (self.settings.failures, State::Open { until: now + self.settings.open_for });
        match (&mut self.state, sign) {
            (State::Closed { failed }, Sign::Well) => *failed = 0,
            (State::Closed { failed }, Sign::Ill) => {
                *failed += 1;
                if *failed >= most {
                    self.enter(open);
                    return Some(Change::Opened);
                }
            }
            // A trial without an answer shows nobody that the receiver is well.
            (State::Half { .. }, Sign::Ill | Sign::Late) => self.enter(open),
            (State::Half { under_way, succeeded }, Sign::Well) => {
                *under_way -= 1;
                *succeeded += 1;
                if *succeeded >= most {
                    self.enter(State::Closed { failed: 0 });
                    return Some(Change::Closed);
                }
            }
            (State::Half { under_way, .. }, Sign::Silent) => *under_way -= 1,
            (State::Closed { .. }, Sign::Silent | Sign::Late) | (State::Open { .. }, _) => {}
        }
        None
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }
}

#[cfg(test)]
mod tests;
