//! Chaos: real daemons are killed, stopped and cut off, and an oracle says whether a promise broke.
//!
//! What happened is written down by those who know it at first hand: producers what they were told
//! at COMMIT, handlers that they started and ended, the driver what it did to whom, and a trigger
//! of the test's own each change of a row. The daemon is never asked. From that record alone, the
//! [`history`], the checker decides. `docs/chaos.md` explains the rules.

mod checker;
mod history;
