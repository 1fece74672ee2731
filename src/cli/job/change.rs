//! `legwork job cancel`, `retry`, `discard`, `snooze`: one statement for all the jobs that are named; for filters there
//! is `bulk`.

use super::{
    super::{Context, exit::Missing, table::Table},
    bulk,
    which::{Meant, Which},
};
use crate::postgres::operations::{Action, Change};
use std::time::Duration;

pub(super) async fn change(
    (action, delay): (Action, Option<Duration>),
    which: Which,
    context: &Context,
) -> anyhow::Result<()> {
    let (meant, reason) = which.meant()?;
    let asker = Context::asker(&format!("job {}", action.as_str()), reason);
    let ids = match meant {
        Meant::Named(ids) => ids,
        Meant::Filtered(wanted) => {
            return bulk::change((action, delay), *wanted, &asker, context).await;
        }
    };
    let (changes, ended) = context.place().await?.change_jobs((action, delay), &ids, &asker).await;
    // The others were cancelled; a name that fits nothing is still an error of whoever named it.
    let missing: Vec<i64> =
        changes.iter().filter(|change| change.result == "not_found").map(|c| c.id).collect();
    if missing.len() < changes.len() {
        say(&changes, context);
    }
    ended?;
    if missing.is_empty() { Ok(()) } else { Err(Missing(missing).into()) }
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
