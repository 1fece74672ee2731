//! `legwork schedule`: when schedules fire next, and the job of one now.

use super::{
    Context,
    exit::{NotNow, Usage},
    moment::relative,
    table::Table,
};
use crate::{
    config::{self, ScheduleSettings},
    postgres::{
        Hold,
        operations::{self, Limit, Ran},
    },
    schedule::Moment,
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
    },
}

/// Instants that are shown of each.
const SHOWN: usize = 3;

/// What `schedule list` prints.
#[derive(Serialize)]
struct Listed {
    now: String,
    schedules: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    cron: String,
    timezone: String,
    kind: String,
    queue: String,
    /// Whether a daemon has this schedule with this rule.
    active: bool,
    last_fire: Option<String>,
    last_job: Option<i64>,
    next: Vec<String>,
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
        ScheduleCommand::Run { name } => {
            let named = schedules.iter().find(|schedule| schedule.name.as_str() == name);
            let missing = || Usage(format!("the configuration has no [[schedule]] {name:?}"));
            enqueue(named.ok_or_else(missing)?, context).await
        }
    }
}

async fn list(schedules: &[ScheduleSettings], context: &Context) -> anyhow::Result<()> {
    let names: Vec<_> = schedules.iter().map(|schedule| schedule.name.to_string()).collect();
    let mut session = context.connect(Limit::Statement).await?;
    let looked = session.within(async |c| operations::look_at_schedules(c, &names).await).await?;
    let now = Moment::of(looked.now);
    let row = |schedule: &ScheduleSettings| {
        let known = looked.rows.iter().find(|row| row.name == schedule.name.as_str());
        let active = known.filter(|row| row.rule == schedule.rule.text() && row.hold != Hold::Free);
        // Where its row is ahead of the clock, it waits for that.
        let from = active.map_or(now, |row| row.done_until.max(now));
        Row {
            name: schedule.name.to_string(),
            cron: schedule.rule.cron().to_owned(),
            timezone: schedule.rule.zone().name().to_owned(),
            kind: schedule.kind.to_string(),
            queue: schedule.queue.to_string(),
            active: active.is_some(),
            last_fire: known.and_then(|row| row.last_fire).map(|at| at.to_string()),
            last_job: known.and_then(|row| row.last_job),
            next: schedule.rule.next(from, SHOWN).iter().map(Moment::to_string).collect(),
        }
    };
    let listed = Listed { now: now.to_string(), schedules: schedules.iter().map(row).collect() };
    context.output.show(&listed, table)
}

fn table(listed: &Listed) -> String {
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

async fn enqueue(schedule: &ScheduleSettings, context: &Context) -> anyhow::Result<()> {
    let mut session = context.connect(Limit::Statement).await?;
    let ran = session.within(async |c| operations::run_schedule(c, schedule).await).await?;
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
