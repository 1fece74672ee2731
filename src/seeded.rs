//! Bugs that a daemon can be told to have, so that the chaos test can show that it would see them.
//!
//! A checker that never fails shows nothing. Each of these is a mistake that a queue on Postgres has
//! really made, as small as it can be; where one bites, a line under the cfg names it. The whole room
//! exists only under `--cfg legwork_seeded_bugs`, which `make chaos` sets for a binary of its own:
//! no ordinary build has it, and in one that has it no bug is there until `SEEDED_BUG` names it.

use std::sync::OnceLock;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Jobs are finished by their id, whoever holds them now: `postgres/settle`.
    FinishWithoutToken,
    /// A dead daemon's jobs are listed first and put back later, whoever holds them by then:
    /// `postgres/upkeep`.
    RescueByStaleList,
    /// A release lowers the token, so that the next claim gives it out again: `postgres/settle`.
    ReleaseLowersToken,
    /// A verdict counts as written although its statement failed: `completer/flush`.
    AckBeforeCommit,
    /// The verdicts that wait when the daemon is told to stop are forgotten, and nobody counts them:
    /// `daemon/shutdown`.
    BufferDroppedOnTerm,
}

/// By what name `SEEDED_BUG` calls each.
const NAMES: [(&str, Bug); 5] = [
    ("finish_without_token", Bug::FinishWithoutToken),
    ("rescue_by_stale_list", Bug::RescueByStaleList),
    ("release_lowers_token", Bug::ReleaseLowersToken),
    ("ack_before_commit", Bug::AckBeforeCommit),
    ("buffer_dropped_on_term", Bug::BufferDroppedOnTerm),
];

/// No such bug.
#[derive(Debug, thiserror::Error)]
#[error("SEEDED_BUG={0:?} is no bug that this build can have")]
pub struct UnknownBug(String);

/// The one that this process has. A process that is made to be wrong may have a global.
static PLANTED: OnceLock<Bug> = OnceLock::new();

/// Gives this process a bug; none where none is named.
pub fn plant(name: Option<&str>) -> Result<(), UnknownBug> {
    let Some(name) = name else { return Ok(()) };
    let named = NAMES.iter().find(|(known, _)| *known == name);
    let (_, bug) = named.ok_or_else(|| UnknownBug(name.into()))?;
    tracing::error!(bug = name, "this daemon is built to have a bug, and has it");
    PLANTED.get_or_init(|| *bug);
    Ok(())
}

/// Whether this process has it.
pub fn has(bug: Bug) -> bool {
    PLANTED.get() == Some(&bug)
}
