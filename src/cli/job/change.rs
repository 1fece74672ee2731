//! `legwork job cancel`, `retry`, `discard`, `snooze`: one statement for all the jobs that are named.

use super::super::{Context, exit::Missing, table::Table};
use crate::{
    job::JobId,
    postgres::operations::{self, Change, Limit},
};
use std::time::Duration;

pub(super) async fn cancel(ids: &[JobId], context: &Context) -> anyhow::Result<()> {
    let mut session = context.connect(Limit::Statement).await?;
    let changes = session.within(async |c| operations::cancel_jobs(c, ids).await).await?;
    say(&changes, context);
    // The others were cancelled; a name that fits nothing is still an error of whoever named it.
    let missing: Vec<i64> =
        changes.iter().filter(|change| change.result == "not_found").map(|c| c.id).collect();
    if missing.is_empty() { Ok(()) } else { Err(Missing(missing).into()) }
}

pub(super) async fn retry(ids: &[JobId], context: &Context) -> anyhow::Result<()> {
    let mut session = context.connect(Limit::Statement).await?;
    let changes = session.within(async |c| operations::retry_jobs(c, ids).await).await?;
    say(&changes, context);
    Ok(())
}

pub(super) async fn discard(ids: &[JobId], context: &Context) -> anyhow::Result<()> {
    let mut session = context.connect(Limit::Statement).await?;
    let changes = session.within(async |c| operations::discard_jobs(c, ids).await).await?;
    say(&changes, context);
    Ok(())
}

pub(super) async fn snooze(
    ids: &[JobId],
    delay: Duration,
    context: &Context,
) -> anyhow::Result<()> {
    let mut session = context.connect(Limit::Statement).await?;
    let changes = session.within(async |c| operations::snooze_jobs(c, ids, delay).await).await?;
    say(&changes, context);
    Ok(())
}

fn say(changes: &[Change], context: &Context) {
    context.output.show_done(&changes, |changes| {
        let mut table = Table::new().number("ID").text("RESULT", 80);
        for change in *changes {
            table.row([change.id.to_string(), words(&change.result)]);
        }
        table.render()
    });
}

/// The functions' words as a sentence; what isn't one of them is the moment of a snooze.
fn words(result: &str) -> String {
    match result {
        "cancelled" | "retried" | "discarded" => result.to_owned(),
        "requested" => "running: its handler was asked to stop".into(),
        "already_finished" => "had finished already".into(),
        "not_found" => "there is no such job".into(),
        "due_now" => "was waiting, and is due now".into(),
        "already_in_line" => "is in line already".into(),
        due => format!("snoozed until {due}"),
    }
}
