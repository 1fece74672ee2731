//! `legwork job`: look at jobs, and change what becomes of them.
//!
//! Listings are pages by id, newest first, so that a page costs the same wherever it starts; the text
//! form ends with the command for the next one.

mod bulk;
mod change;
mod filter;
mod show;
mod which;

pub(super) use self::bulk::{GoesOn, Locked, left_alone};
use self::{filter::Filter, which::Which};
use super::{Context, moment::relative, reason, table::Table};
use crate::{
    job::{JobId, State},
    postgres::{
        enqueue::line::delay,
        operations::{Action, JobPage, JobSummary, PAGE_MAX},
    },
};
use clap::{Args, Subcommand};
use std::time::Duration;

/// `legwork job …`
#[derive(Debug, Subcommand)]
pub(super) enum JobCommand {
    /// List jobs, newest first
    List(ListArguments),
    /// Show everything about a job: payload, result and its failed attempts
    Show {
        /// The job
        #[arg(value_parser = id)]
        id: JobId,
    },
    /// Say, gate by gate, why a job isn't running
    Why {
        /// The job
        #[arg(value_parser = id)]
        id: JobId,
    },
    /// Cancel: a waiting job ends at once, a running one is asked to stop
    Cancel(Which),
    /// Run finished jobs again with all their attempts, and waiting ones now
    Retry(Which),
    /// End waiting jobs for good, as discarded
    Discard(Which),
    /// Put waiting jobs off; no attempt is counted
    Snooze {
        #[command(flatten)]
        which: Which,
        /// How long from now, such as 10m or 2h
        #[arg(long = "for", value_name = "TIME", value_parser = delay)]
        delay: Duration,
    },
}

/// `legwork job list`
#[derive(Debug, Args)]
pub(super) struct ListArguments {
    #[command(flatten)]
    filter: Filter,
    /// Most jobs on the page
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(PAGE_MAX)))]
    limit: u32,
    /// Continue behind this job: the last one of the page before
    #[arg(long, value_name = "ID", value_parser = id)]
    after: Option<JobId>,
}

pub(super) fn id(text: &str) -> Result<JobId, String> {
    match text.parse() {
        Ok(id) if id > 0 => Ok(JobId(id)),
        _ => Err("a job's id is a number above 0".into()),
    }
}

fn state(text: &str) -> Result<State, String> {
    let words = || State::ALL.map(State::as_str).join(", ");
    let found = State::ALL.into_iter().find(|state| state.as_str() == text);
    found.ok_or_else(|| format!("the states are {}", words()))
}

pub(super) async fn run(command: JobCommand, context: &Context) -> anyhow::Result<()> {
    match command {
        JobCommand::List(arguments) => list(arguments, context).await,
        JobCommand::Show { id } => show::show(id, context).await,
        JobCommand::Why { id } => show::why(id, context).await,
        JobCommand::Cancel(which) => change::change((Action::Cancel, None), which, context).await,
        JobCommand::Retry(which) => change::change((Action::Retry, None), which, context).await,
        JobCommand::Discard(which) => change::change((Action::Discard, None), which, context).await,
        JobCommand::Snooze { which, delay } => {
            change::change((Action::Snooze, Some(delay)), which, context).await
        }
    }
}

async fn list(arguments: ListArguments, context: &Context) -> anyhow::Result<()> {
    let ListArguments { filter, limit, after } = arguments;
    let filter = filter.behind(after);
    let page = context.place().await?.list_jobs(&filter, limit).await?;
    context.output.show_page(&page, page.next, table)
}

fn table(page: &JobPage) -> String {
    if page.jobs.is_empty() {
        return "no jobs".into();
    }
    let mut table = Table::new()
        .number("ID")
        .text("STATE", 9)
        .text("QUEUE", 32)
        .text("KIND", 40)
        .number("PRI")
        .number("ATT")
        .text("WHEN", 18)
        .text("REASON", 40);
    for job in &page.jobs {
        let attempts = match job.max_attempts {
            Some(most) => format!("{}/{most}", job.attempt),
            None => job.attempt.to_string(),
        };
        table.row([
            job.id.to_string(),
            job.state.clone(),
            job.queue.clone(),
            job.kind.clone(),
            job.priority.to_string(),
            attempts,
            when(job, &page.now),
            job.reason.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}

/// The moment that matters in this state.
fn when(job: &JobSummary, now: &str) -> String {
    let (word, moment) = match (&job.finished_at, job.state.as_str()) {
        (Some(at), _) => ("ended", Some(at)),
        (None, "running") => ("", None),
        (None, _) => ("due", job.run_at.as_ref()),
    };
    moment.map(|at| format!("{word} {}", relative(at, now))).unwrap_or_default()
}
