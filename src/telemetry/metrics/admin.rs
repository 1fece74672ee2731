//! Handles for whom the admin port refuses and whom it cuts.

use super::{Metrics, catalogue as c};
use metrics::Counter;

/// Why somebody is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A token is needed, and none came.
    NoToken,
    /// A token came that is none.
    WrongToken,
    /// It isn't looked at: too many wrong ones came from there.
    TooManyGuesses,
    /// The token's role is too small.
    Role,
    /// A page of another origin asks.
    ForeignPage,
    /// There is no token, and it isn't the machine itself that asks.
    Elsewhere,
}

impl Refusal {
    const ALL: [Self; 6] = [
        Self::NoToken,
        Self::WrongToken,
        Self::TooManyGuesses,
        Self::Role,
        Self::ForeignPage,
        Self::Elsewhere,
    ];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::WrongToken => "wrong_token",
            Self::TooManyGuesses => "too_many_guesses",
            Self::Role => "role",
            Self::ForeignPage => "foreign_page",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// A counter for each reason, there from the start, so that the first of a kind is a rise.
#[derive(Debug, Clone)]
pub struct RefusalMetrics([Counter; Refusal::ALL.len()]);

impl RefusalMetrics {
    /// A request was refused.
    pub fn refused(&self, refusal: Refusal) {
        self.0[refusal as usize].increment(1);
    }
}

/// Why a connection is cut, or a request isn't waited for any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// No complete head came in time.
    HeadSlow,
    /// The head is larger than one may be, or has too many headers.
    HeadTooLarge,
    /// It isn't HTTP.
    HeadInvalid,
    /// The body didn't come in time.
    BodySlow,
    /// The request's turn didn't come in time.
    Overloaded,
    /// Another client needed the place.
    Displaced,
    /// It lasted longer than any may.
    TooOld,
}

impl Cut {
    const ALL: [Self; 7] = [
        Self::HeadSlow,
        Self::HeadTooLarge,
        Self::HeadInvalid,
        Self::BodySlow,
        Self::Overloaded,
        Self::Displaced,
        Self::TooOld,
    ];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HeadSlow => "head_slow",
            Self::HeadTooLarge => "head_too_large",
            Self::HeadInvalid => "head_invalid",
            Self::BodySlow => "body_slow",
            Self::Overloaded => "overloaded",
            Self::Displaced => "displaced",
            Self::TooOld => "too_old",
        }
    }
}

/// A counter for each reason, there from the start.
#[derive(Debug, Clone)]
pub struct CutMetrics([Counter; Cut::ALL.len()]);

impl CutMetrics {
    /// A connection was cut.
    pub fn cut(&self, reason: Cut) {
        self.0[reason as usize].increment(1);
    }
}

impl Metrics {
    /// Whom the admin port cuts.
    pub fn admin_cuts(&self) -> CutMetrics {
        CutMetrics(Cut::ALL.map(|reason| self.registry.counter(&c::ADMIN_CUT, &[reason.as_str()])))
    }

    /// Whom the admin port refuses.
    pub fn admin_refusals(&self) -> RefusalMetrics {
        RefusalMetrics(
            Refusal::ALL
                .map(|refusal| self.registry.counter(&c::ADMIN_REFUSED, &[refusal.as_str()])),
        )
    }
}
