//! `legwork audit`: what people changed, who, and why.

use super::{Context, moment::relative, table::Table};
use crate::postgres::operations::{NOTES_MAX, NotSince, NoteFilter, NotePage, Since};
use clap::{Args, Subcommand};

/// `legwork audit …`
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// List what people changed, newest first; notes are kept for 90 days
    List(ListArguments),
}

/// `legwork audit list`
#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// Only what was done so: cancel, retry, discard, snooze, pause, resume, run, and others
    #[arg(long, value_name = "WORD")]
    action: Option<String>,
    /// Only what was done to this: job/4711, queue/default, schedule/nightly, operation/12
    #[arg(long, value_name = "KIND/NAME")]
    target: Option<String>,
    /// Only what this one did, as the list shows it
    #[arg(long, value_name = "TEXT")]
    actor: Option<String>,
    /// Only what was done after this moment, such as 2030-01-31T08:00:00Z, or less than this ago, such as 7d
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// Most notes on the page
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(NOTES_MAX)))]
    limit: u32,
    /// Continue behind this note: the last one of the page before
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    after: Option<i64>,
}

fn since(text: &str) -> Result<Since, String> {
    text.parse().map_err(|why: NotSince| format!("write {why}"))
}

pub(super) async fn run(command: AuditCommand, context: &Context) -> anyhow::Result<()> {
    let AuditCommand::List(ListArguments { action, target, actor, since, limit, after }) = command;
    let filter = NoteFilter { action, target, actor, since, after };
    let page = context.place().await?.list_notes(&filter, limit).await?;
    context.output.show_page(&page, page.next, table)
}

fn table(page: &NotePage) -> String {
    if page.notes.is_empty() {
        return "no notes".into();
    }
    // Names that are asked for by what stands here.
    let mut table = Table::new()
        .uncut()
        .number("ID")
        .text("WHEN", 8)
        .text("ACTOR", 40)
        .text("ACTION", 12)
        .text("TARGET", 40)
        .text("REASON", 60);
    for note in &page.notes {
        table.row([
            note.id.to_string(),
            relative(&note.at, &page.now),
            note.actor.clone(),
            note.action.clone(),
            note.target.clone(),
            note.reason.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}
