//! What is to be made of instants that have come: which of them enqueue, and which were missed.

use super::{Moment, Rule};

/// Most missed instants that `catch_up = "all"` makes up for, the latest ones.
pub const CATCH_UP_MAX: usize = 100;
/// An instant that is no older isn't missed, whatever `catch_up` says: a daemon that is restarted over
/// it still fires.
pub const ON_TIME_SECONDS: i64 = 60;
/// Missed instants are counted up to this.
pub const MISSED_COUNTED: usize = 1000;

/// What becomes of instants that passed while no daemon ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    /// They are gone.
    None,
    /// The last one fires.
    Last,
    /// Each fires, at most [`CATCH_UP_MAX`].
    All,
}

/// Instants that have come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Those that fire, in order.
    pub fire: Vec<Moment>,
    /// How many others there are before them, counted to [`MISSED_COUNTED`].
    pub missed: usize,
    /// The last of all: everything until then is dealt with.
    pub last: Moment,
}

impl Rule {
    /// What is due now, where everything until `done` was dealt with. A `done` that is ahead of now has
    /// nothing due: a clock that was set back fires nothing again.
    pub fn due(&self, catch_up: CatchUp, done: Moment, now: Moment) -> Option<Due> {
        let last = self.last_until(done, now)?;
        let most = match catch_up {
            CatchUp::None if now.0 - last.0 > ON_TIME_SECONDS => 0,
            CatchUp::None | CatchUp::Last => 1,
            CatchUp::All => CATCH_UP_MAX,
        };
        let backwards = |at: &Moment| self.last_until(done, Moment(at.0 - 1));
        let mut fire: Vec<Moment> =
            std::iter::successors(Some(last), backwards).take(most).collect();
        fire.reverse();
        let first = fire.first().copied().unwrap_or(Moment(last.0 + 1));
        let missed = self.next(done, MISSED_COUNTED).iter().filter(|at| **at < first).count();
        Some(Due { fire, missed, last })
    }
}
