//! `legwork job cancel|retry|discard|snooze` of all jobs that meet filters: an operation, as the API begins them, whose
//! batches this command does itself; over a daemon's API the daemon does them.
//!
//! Where it dies, a daemon does the rest; where it is interrupted, it ends the operation.

use super::{
    super::{
        Context,
        exit::{Code, Usage},
        interrupt::unless_interrupted,
        output::say,
        place::Place,
        table::Table,
    },
    which::Wanted,
};
use crate::postgres::operations::{Action, Asker, Bulk, BulkOperation, OperationState, Trial};
use anyhow::{Context as _, anyhow};
use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    time::Duration,
};
use tokio::time::sleep;

/// Jobs that are counted beforehand, at most.
const COUNTED_MAX: i64 = 10_000;

/// The rest between two batches: claims and completions go before people's clearing up.
const BATCH_PAUSE: Duration = Duration::from_millis(50);
/// The rest between two looks, where a daemon does the batches.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

pub(super) async fn change(
    (action, delay): (Action, Option<Duration>),
    wanted: Wanted,
    asker: &Asker,
    context: &Context,
) -> anyhow::Result<()> {
    let Wanted { filter, all, dry_run, yes } = wanted;
    let bulk = Bulk { action, filter, delay, everything: all };
    let mut place = context.place().await?;
    if dry_run {
        let trial = place.try_bulk(&bulk).await?;
        return context.output.show(&trial, |trial| tried(action, trial));
    }
    if !yes && !is_meant(&mut place, &bulk).await? {
        say("nothing was changed");
        return Ok(());
    }
    let holder = place.holder();
    let begun = place.begin_bulk(&bulk, holder, asker).await?;
    let ended = unless_interrupted(step(&mut place, begun.clone(), holder), Interrupted).await;
    let ended = match ended {
        Err(error) if error.is::<Interrupted>() => {
            drop(place);
            let ending = async { context.place().await?.cancel_bulk(begun.id, asker).await };
            ending.await.context(GoesOn(begun.id))?
        }
        ended => ended.context(GoesOn(begun.id))?,
    };
    context.output.show_done(&ended, told);
    match ended.state {
        OperationState::Cancelled => {
            Err(anyhow!("operation {} was ended before its time", ended.id))
        }
        OperationState::Failed => {
            let why = ended.error.unwrap_or_default();
            Err(anyhow!("operation {} failed: {why}", ended.id))
        }
        OperationState::Running | OperationState::Done => held(&ended),
    }
}

/// What was in somebody's transaction wasn't changed for that alone. Whatever else is left alone can't be changed.
fn held(operation: &BulkOperation) -> anyhow::Result<()> {
    let left = operation.refused.get("locked").copied().unwrap_or_default();
    let changed = operation.changed;
    if left == 0 { Ok(()) } else { Err(Locked { left, changed }.into()) }
}

/// Jobs that met the filter and were locked.
#[derive(Debug, thiserror::Error)]
#[error(
    "what somebody's transaction holds was left alone, {}: the same command again takes it, and what has come since",
    jobs(*left)
)]
pub(in crate::cli) struct Locked {
    left: i64,
    changed: i64,
}

impl Locked {
    /// After 75 nothing was changed.
    pub(in crate::cli) fn code(&self) -> Code {
        if self.changed > 0 { Code::Failed } else { Code::TryAgain }
    }
}

/// What whoever sees an error has to know: that there is an error stops nothing, and that the same command again would
/// begin another operation.
#[derive(Debug, thiserror::Error)]
#[error(
    "operation {0} goes on without this command, a daemon does the rest; legwork operation cancel {0} ends it"
)]
pub(in crate::cli) struct GoesOn(i64);

impl GoesOn {
    pub(in crate::cli) fn help(&self) -> String {
        let Self(operation) = self;
        format!(
            "`legwork operation show {operation}` tells how far it is; the same command again would begin another operation"
        )
    }
}

/// A signal came while batches were done.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Interrupted;

async fn step(
    place: &mut Place,
    mut operation: BulkOperation,
    holder: Option<i64>,
) -> anyhow::Result<BulkOperation> {
    let watched = io::stderr().is_terminal();
    while operation.state == OperationState::Running {
        operation = place.step_bulk(operation.id, holder).await?;
        if watched {
            let BulkOperation { looked_at, changed, .. } = operation;
            // Where nobody can be told, the work goes on.
            write!(io::stderr(), "\r{changed} changed, {looked_at} looked at").ok();
        }
        if operation.state == OperationState::Running {
            sleep(if holder.is_some() { BATCH_PAUSE } else { LOOK_PAUSE }).await;
        }
    }
    if watched {
        say("");
    }
    Ok(operation)
}

/// Asks whoever sits there. Where nobody does, it has to be said.
async fn is_meant(place: &mut Place, bulk: &Bulk) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let how = "changing all jobs that meet filters takes --yes where nobody can be asked; --dry-run counts them";
        return Err(Usage(how.into()).into());
    }
    let trial = place.try_bulk(bulk).await?;
    say(tried(bulk.action, &trial).trim_end());
    write!(io::stderr(), "Go on? [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn tried(action: Action, trial: &Trial) -> String {
    let Trial { matched, more, sample } = trial;
    // Counting ends at many, or long before where few of those that were looked at are meant.
    let or_more = match (*more, *matched < COUNTED_MAX) {
        (false, _) => "",
        (true, false) => " or more",
        (true, true) => {
            " of the newest 100,000, and perhaps of older ones, which weren't looked at"
        }
    };
    let newest: Vec<_> = sample.iter().map(ToString::to_string).collect();
    let which = match newest.as_slice() {
        [] => String::new(),
        [one] => format!(": {one}"),
        newest => format!("; the newest are {}", newest.join(", ")),
    };
    format!("{} would be about {}{or_more}{which}\n", action.as_str(), jobs(*matched))
}

fn jobs(count: i64) -> String {
    if count == 1 { "1 job".into() } else { format!("{count} jobs") }
}

fn told(operation: &BulkOperation) -> String {
    let BulkOperation { id, action, changed, .. } = operation;
    let left = left_alone(operation).unwrap_or_default();
    format!("operation {id}: {} of {}\n{left}", action.as_str(), jobs(*changed))
}

/// The jobs that met the filter and weren't changed, by reason; nothing where there are none.
pub(in crate::cli) fn left_alone(operation: &BulkOperation) -> Option<String> {
    if operation.refused.is_empty() {
        return None;
    }
    let mut table = Table::new().text("LEFT AS THEY WERE", 30).number("JOBS");
    for (reason, jobs) in &operation.refused {
        table.row([reason.replace('_', " "), jobs.to_string()]);
    }
    Some(table.render())
}
