//! `legwork daemon`: look at the daemons of the database, and tell one to be quiet, to drain or to end.
//!
//! They are told by the database, so that this reaches a daemon wherever it runs, and whether or not its port is open.

use super::{Context, moment::relative, reason, table::Table};
use crate::postgres::{Wanted, operations::DaemonList};
use clap::Subcommand;
use serde::Serialize;

/// `legwork daemon …`
#[derive(Debug, Subcommand)]
pub(super) enum DaemonCommand {
    /// List the daemons of the database; those that have ended stay for an hour
    List,
    /// Have a daemon claim nothing more; what it runs goes on, and it stays up
    Quiet(Word),
    /// Have a daemon end as TERM has it: what runs may finish within shutdown.grace
    Drain(Word),
    /// Have a daemon end at once, as a second TERM has it
    Shutdown(Word),
}

/// Which daemon, and why.
#[derive(Debug, clap::Args)]
pub(super) struct Word {
    /// The daemon, as `legwork daemon list` numbers it
    #[arg(value_parser = id, allow_negative_numbers = true)]
    id: i64,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
}

/// What became of it.
#[derive(Serialize)]
struct Told {
    id: String,
    wanted: &'static str,
    changed: bool,
}

fn id(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| "a daemon's id is a number, as `legwork daemon list` has it".into())
}

pub(super) async fn run(command: DaemonCommand, context: &Context) -> anyhow::Result<()> {
    match command {
        DaemonCommand::List => {
            let list = context.place().await?.list_daemons().await?;
            context.output.show(&list, table)
        }
        DaemonCommand::Quiet(word) => tell(word, Wanted::Quiet, context).await,
        DaemonCommand::Drain(word) => tell(word, Wanted::Drain, context).await,
        DaemonCommand::Shutdown(word) => tell(word, Wanted::Shutdown, context).await,
    }
}

async fn tell(Word { id, reason }: Word, wanted: Wanted, context: &Context) -> anyhow::Result<()> {
    let asker = Context::asker(&format!("daemon {}", wanted.as_str()), reason);
    let changed = context.place().await?.tell_daemon(id, wanted, &asker).await?;
    let told = Told { id: id.to_string(), wanted: wanted.as_str(), changed };
    context.output.show_done(&told, |Told { id, wanted, changed }| {
        if *changed {
            format!("daemon {id} is told: {wanted}")
        } else {
            format!("daemon {id} was told that, or more, already")
        }
    });
    Ok(())
}

fn table(list: &DaemonList) -> String {
    if list.daemons.is_empty() {
        return "no daemon has run within the last hour".into();
    }
    let mut table = Table::new()
        .text("ID", 20)
        .text("NAME", 20)
        .text("HOST", 16)
        .text("STATE", 8)
        .text("TOLD", 8)
        .text("STARTED", 10)
        .text("ENDED", 10)
        .number("RUNNING");
    for daemon in &list.daemons {
        table.row([
            daemon.id.clone(),
            daemon.name.clone().unwrap_or_default(),
            daemon.hostname.clone().unwrap_or_default(),
            daemon.state.as_str().to_owned(),
            daemon.wanted.clone().unwrap_or_default(),
            relative(&daemon.started_at, &list.now),
            daemon.died_at.as_ref().map(|at| relative(at, &list.now)).unwrap_or_default(),
            daemon.running.to_string(),
        ]);
    }
    if list.omitted > 0 {
        return format!("{}\nand {} more, which aren't shown\n", table.render(), list.omitted);
    }
    table.render()
}
