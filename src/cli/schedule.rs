//! `legwork schedule`: when schedules fire next, and the job of one now.

use super::{
    Context,
    exit::{NotNow, Usage},
    moment::relative,
    reason,
    table::Table,
};
use crate::{
    config::{self, ScheduleSettings},
    postgres::operations::{self, Connection, Limit, Ran, ScheduleList},
};
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
    let schedules = config::load(&context.source)?.settings.schedules;
    match command {
        ScheduleCommand::List => list(&schedules, context).await,
        ScheduleCommand::Run { name, reason } => {
            let named = schedules.iter().find(|schedule| schedule.name.as_str() == name);
            let missing = || Usage(format!("the configuration has no [[schedule]] {name:?}"));
            enqueue(named.ok_or_else(missing)?, reason, context).await
        }
    }
}

async fn list(schedules: &[ScheduleSettings], context: &Context) -> anyhow::Result<()> {
    let mut session = context.connect(Limit::Statement).await?;
    let listed = session.within(async |c| operations::list_schedules(c, schedules).await).await?;
    context.output.show(&listed, table)
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

async fn enqueue(
    schedule: &ScheduleSettings,
    reason: Option<String>,
    context: &Context,
) -> anyhow::Result<()> {
    let asker = Context::asker("schedule run", reason);
    let mut session = context.connect(Limit::Statement).await?;
    let metadata = operations::metadata_of(schedule);
    let run =
        async |c: &mut Connection| operations::run_schedule(c, schedule, &metadata, &asker).await;
    let ran = session.within(run).await?;
    let name = &schedule.name;
    match ran {
        Ran::Enqueued(job) => {
            let enqueued = Enqueued { schedule: name.to_string(), id: job.0 };
            context.output.show_done(&enqueued, |enqueued| format!("enqueued job {}", enqueued.id));
            Ok(())
        }
        Ran::Overlapped(job) => Err(NotNow(format!(
            "not enqueued: job {} of schedule {name} is unfinished, and its overlap is \"skip\"",
            job.0
        ))
        .into()),
        Ran::Busy => {
            Err(NotNow(format!("not enqueued: schedule {name} fires again and again now")).into())
        }
    }
}
