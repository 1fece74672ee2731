//! Which step of a job's life a change of its row was: the table of transitions, by their effects.
//!
//! What a statement meant is recognised from the row before and after, never from who sent it. Each
//! step has effects that no other has: a rescue counts itself, a retry charges the attempt and puts
//! the job to wait, a release leaves everything as it was. What fits none is forbidden. So is what
//! only operators do to a waiting job besides cancelling it, for there are none in a run: a result
//! that came too late and was written all the same looks just like that.

use crate::chaos::history::{Op, State, Transition};

use State::{Available, Retryable, Running, Scheduled};

/// A step that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// A producer's INSERT.
    Insert,
    /// Taken out of history and into line, its token carried on.
    Redrive,
    /// Waiting, and in line now.
    Promote,
    /// Taken by a daemon under the next token.
    Claim,
    /// Somebody asked the holder to stop.
    AskCancel,
    /// Given back: failed, charged.
    Retry,
    /// Given back: put off, not charged.
    Snooze,
    /// Given back as it was.
    Release,
    /// Taken from a holder that was declared dead.
    Rescue,
    /// Out of the live table, by its holder.
    Finish,
    /// Out of the live table while it waited.
    FinishWaiting,
    /// Into history.
    Keep,
}

impl Move {
    /// Whether a lease ends by it.
    pub(super) fn ends_lease(self) -> bool {
        matches!(self, Self::Retry | Self::Snooze | Self::Release | Self::Rescue | Self::Finish)
    }
}

/// Says what happened to a row that was last seen as `before`, or why it mustn't have.
pub(super) fn classify(
    before: Option<&Transition>,
    now: &Transition,
) -> Result<Move, &'static str> {
    match (now.op, before) {
        (Op::Insert, None) => inserted(now),
        (Op::Insert, Some(before)) => redriven(before, now),
        (_, None) => Err("changed before it was inserted"),
        (Op::Finished, Some(before)) => kept(before, now),
        (Op::Update | Op::Delete, Some(before)) if !follows(before, now) => {
            Err("doesn't follow from what the row was before")
        }
        (Op::Delete, Some(before)) => removed(before, now),
        (Op::Update, Some(before)) => updated(before, now),
    }
}

fn inserted(now: &Transition) -> Result<Move, &'static str> {
    match now {
        Transition { token, .. } if *token != 0 => Err("inserted with a token"),
        Transition { holder: Some(_), .. } => Err("inserted with a holder"),
        Transition { attempt, .. } if *attempt != 0 => Err("inserted with an attempt behind it"),
        _ => Ok(Move::Insert),
    }
}

fn redriven(before: &Transition, now: &Transition) -> Result<Move, &'static str> {
    if before.op != Op::Finished {
        Err("inserted a second time")
    } else if now.token != before.token {
        Err("redriven without carrying its token on")
    } else if now.to != Some(Available) || now.attempt != 0 {
        Err("redriven, but not into line as a new job")
    } else {
        Ok(Move::Redrive)
    }
}

fn kept(before: &Transition, now: &Transition) -> Result<Move, &'static str> {
    if before.op != Op::Delete {
        Err("in history without having left the live table")
    } else if before.from != Some(Running) && now.to != Some(State::Cancelled) {
        Err("finished by a result while nobody held it")
    } else if now.token != before.token {
        Err("in history under another token than it had")
    } else if !(0..=1).contains(&(now.attempt - before.attempt)) {
        Err("in history with another number of attempts than it had")
    } else {
        Ok(Move::Keep)
    }
}

/// Whether the row before this change is the row after the one before.
fn follows(before: &Transition, now: &Transition) -> bool {
    now.token_before == Some(before.token)
        && now.holder_before == before.holder
        && now.from == before.to
}

fn removed(before: &Transition, now: &Transition) -> Result<Move, &'static str> {
    if now.token != before.token {
        Err("removed with another token than it had")
    } else if now.from == Some(Running) {
        Ok(Move::Finish)
    } else {
        Ok(Move::FinishWaiting)
    }
}

fn updated(before: &Transition, now: &Transition) -> Result<Move, &'static str> {
    match (before.holder, now.holder) {
        (None, None) => waited(before, now),
        (None, Some(_)) => claimed(before, now),
        (Some(_), None) => given_back(before, now),
        (Some(old), Some(new)) if old != new => Err("handed from one holder to another"),
        (Some(_), Some(_)) if (now.token, charges(before, now)) != (before.token, (0, 0, 0)) => {
            Err("changed under its holder")
        }
        (Some(_), Some(_)) => Ok(Move::AskCancel),
    }
}

fn waited(before: &Transition, now: &Transition) -> Result<Move, &'static str> {
    let promoted = matches!(before.to, Some(Scheduled | Retryable)) && now.to == Some(Available);
    if now.token != before.token {
        Err("took another token while it waited")
    } else if charges(before, now) != (0, 0, 0) {
        Err("was charged or put off while it waited")
    } else if promoted {
        Ok(Move::Promote)
    } else {
        Err("given back while nobody held it")
    }
}

fn claimed(before: &Transition, now: &Transition) -> Result<Move, &'static str> {
    if before.to != Some(Available) {
        Err("claimed though it wasn't in line")
    } else if now.token != before.token + 1 {
        Err("claimed without taking the next token")
    } else if charges(before, now) != (0, 0, 0) {
        Err("charged by a claim")
    } else {
        Ok(Move::Claim)
    }
}

fn given_back(before: &Transition, now: &Transition) -> Result<Move, &'static str> {
    if now.token < before.token {
        return Err("its token was lowered");
    } else if now.token != before.token {
        return Err("its token changed as it was given back");
    }
    let in_line = now.to == Some(Available);
    match charges(before, now) {
        (1, 1, 0) if now.holder_died == Some(false) => Err("rescued from a daemon that lives"),
        (1, 1, 0) if in_line => Ok(Move::Rescue),
        (0, 0, 0) if in_line => Ok(Move::Release),
        (1, 0, 0) => Ok(Move::Retry),
        (0, 0, 1) => Ok(Move::Snooze),
        _ => Err("given back in a way that no statement has"),
    }
}

/// What a change added to attempt, rescues and snoozes.
fn charges(before: &Transition, now: &Transition) -> (i64, i64, i64) {
    (now.attempt - before.attempt, now.rescues - before.rescues, now.snoozes - before.snoozes)
}
