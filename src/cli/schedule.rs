//! `legwork schedule`: when schedules fire next, and the job of one now.

use super::{Context, moment::relative, place::schedule, reason, table::Table};
use crate::postgres::operations::ScheduleList;
use clap::Subcommand;
use serde::Serialize;

/// `legwork schedule …`
#[derive(Debug, Subcommand)]
pub(super) enum ScheduleCommand {
    /// List the schedules of the configuration with their next three instants
    List,
    /// Enqueue the job of a schedule now, by its overlap rule; its own instants stay as they are
    Run {
        /// The schedule
        name: String,
        /// Why, for the audit
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: Option<String>,
    },
}

/// What became of `schedule run`.
#[derive(Serialize)]
struct Enqueued {
    schedule: String,
    id: i64,
}

pub(super) async fn run(command: ScheduleCommand, context: &Context) -> anyhow::Result<()> {
    match command {
        ScheduleCommand::List => {
            let listed = context.place().await?.list_schedules(context).await?;
            context.output.show(&listed, table)
        }
        ScheduleCommand::Run { name, reason } => {
            if !context.remote.is_named() {
                schedule(&name, context)?;
            }
            let asker = Context::asker("schedule run", reason);
            let job = context.place().await?.run_schedule(&name, &asker, context).await?;
            let enqueued = Enqueued { schedule: name, id: job.0 };
            context.output.show_done(&enqueued, |enqueued| format!("enqueued job {}", enqueued.id));
            Ok(())
        }
    }
}

fn table(listed: &ScheduleList) -> String {
    if listed.schedules.is_empty() {
        return "no schedules: the configuration has no [[schedule]]".into();
    }
    let mut table = Table::new()
        .text("SCHEDULE", 24)
        .text("CRON", 20)
        .text("TIMEZONE", 20)
        .text("KIND", 20)
        .text("LAST", 10)
        .text("NEXT", 20);
    for row in &listed.schedules {
        let next = row.next.first().cloned().unwrap_or_default();
        table.row([
            row.name.clone(),
            row.cron.clone(),
            row.timezone.clone(),
            row.kind.clone(),
            row.last_fire.as_ref().map(|at| relative(at, &listed.now)).unwrap_or_default(),
            if row.active { next } else { "no daemon has it".into() },
        ]);
        for next in row.next.iter().skip(1).filter(|_| row.active) {
            let mut cells = [const { String::new() }; 6];
            cells[5].clone_from(next);
            table.row(cells);
        }
    }
    table.render()
}
