//! `legwork queue`: look at queues, pause and resume them, and decide their settings.

mod decide;
mod show;

use super::{Context, moment::relative, output::say, place::Place, reason, table::Table};
use crate::{
    job::QueueName,
    postgres::operations::{DecidedSetting, Depth, QueueDetail, QueueList, QueueRow, QueueState},
};
use clap::Subcommand;
use serde::Serialize;

/// `legwork queue …`
#[derive(Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// List the queues that have jobs in line, are paused or overridden, or are served by a live daemon
    List {
        /// Continue behind this queue: the last one of the page before
        #[arg(long, value_name = "QUEUE")]
        after: Option<QueueName>,
    },
    /// Show how a queue stands: its jobs, which settings hold and whence, and who serves it
    Show {
        /// The queue
        name: QueueName,
    },
    /// Stop every daemon from claiming from a queue; what runs goes on
    Pause {
        /// The queue
        name: QueueName,
        #[command(flatten)]
        held: decide::ForAWhile,
    },
    /// Decide a queue's concurrency or rate limit for all daemons, before what their files say
    Set(decide::SetArguments),
    /// Take away what was decided for a queue: what the daemons' files say holds again
    Unset(decide::UnsetArguments),
    /// Stop every daemon from claiming from a queue so that nothing of it runs any more
    Drain(decide::DrainArguments),
    /// Let a paused queue run again
    Resume {
        /// The queue
        name: QueueName,
        /// Why, for the audit
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: Option<String>,
    },
}

/// How a queue stands after `pause` or `resume`.
#[derive(Serialize)]
struct Switched {
    queue: String,
    paused: bool,
    changed: bool,
}

pub(super) async fn run(command: QueueCommand, context: &Context) -> anyhow::Result<()> {
    match command {
        QueueCommand::Set(arguments) => decide::set(arguments, context).await?,
        QueueCommand::Unset(arguments) => decide::unset(arguments, context).await?,
        QueueCommand::Drain(arguments) => decide::drain(arguments, context).await?,
        QueueCommand::List { after } => {
            let list = context.place().await?.list_queues(after.as_ref()).await?;
            context.output.show_page(&list, list.next.as_ref(), |list| {
                if after.is_some() && list.queues.is_empty() {
                    "no more queues".into()
                } else {
                    table(list)
                }
            })?;
        }
        QueueCommand::Show { name } => show::show(&name, context).await?,
        QueueCommand::Pause { name, held } => {
            let end = held.end();
            let asker = Context::asker("queue pause", held.reason);
            let mut place = context.place().await?;
            let changed = place.pause_queue(&name, end, &asker).await?;
            let shown = Switched { queue: name.to_string(), paused: true, changed };
            switched(
                &shown,
                if asker.reason.is_some() { "; the reason is replaced" } else { "" },
                context,
            );
            decide::tell_end(look(&mut place, &name).await, context);
        }
        QueueCommand::Resume { name, reason } => {
            let asker = Context::asker("queue resume", reason);
            let mut place = context.place().await?;
            let changed = place.resume_queue(&name, &asker).await?;
            switched(&Switched { queue: name.to_string(), paused: false, changed }, "", context);
            look(&mut place, &name).await;
        }
    }
    Ok(())
}

/// How a queue stands that was changed; where nobody has to do with it, its name may be a mistake, which is said. That it
/// can't be looked at is no failure: the change is done, and whoever may make it need not have the rights to look.
async fn look(place: &mut Place, queue: &QueueName) -> Option<QueueDetail> {
    if !place.may_look_at_queues().await.ok()? {
        return None;
    }
    let stands = place.find_queue(queue, None).await.ok()?;
    let is_idle = |stands: &QueueDetail| {
        let Depth { available, running, scheduled, retryable } = stands.depth;
        stands.daemons.is_empty() && [available, running, scheduled, retryable] == [0; 4]
    };
    if stands.as_ref().is_none_or(is_idle) {
        say(&format!(
            "warning: no daemon serves queue {queue}, and no unfinished job of it was found; is the name right?"
        ));
    }
    stands
}

/// Says how it stands; `besides` is what a call that changed no state did all the same.
fn switched(switched: &Switched, besides: &str, context: &Context) {
    context.output.show_done(switched, |switched| {
        let Switched { queue, paused, changed } = switched;
        let state = if *paused { "paused" } else { "running" };
        if *changed {
            format!("queue {queue} is {state}")
        } else {
            format!("queue {queue} was {state} already{besides}")
        }
    });
}

/// A line a queue, and one more for each further thing that was decided for it.
fn table(list: &QueueList) -> String {
    if list.queues.is_empty() {
        return "no queues yet: a queue appears with its first job or daemon".into();
    }
    let mut table = Table::new()
        .text("QUEUE", 40)
        .number("IN LINE")
        .number("DAEMONS")
        .text("DECIDED", 40)
        .text("SINCE", 8)
        .text("UNTIL", 8)
        .text("REASON", 40);
    for queue in &list.queues {
        let mut decided = decided(queue, &list.now).into_iter();
        let first = decided.next().unwrap_or_default();
        let about = [queue.name.clone(), counted(queue.in_line), queue.daemons.to_string()];
        table.row(about.into_iter().chain(first));
        for more in decided {
            table.row([const { String::new() }; 3].into_iter().chain(more));
        }
    }
    table.render()
}

/// What operators decided for a queue, each with its beginning, its end and its reason.
fn decided(queue: &QueueRow, now: &str) -> Vec<[String; 4]> {
    let at = |moment: Option<&String>| moment.map(|at| relative(at, now)).unwrap_or_default();
    let why = |reason: &Option<String>| reason.clone().unwrap_or_default();
    let state = (queue.state != QueueState::Running).then(|| word(queue.state));
    let (since, until) = (at(queue.paused_at.as_ref()), at(queue.paused_until.as_ref()));
    let state = state.map(|state| [state.to_owned(), since, until, why(&queue.reason)]);
    let settings = [("concurrency", &queue.concurrency), ("rate limit", &queue.rate_limit)];
    let settings = settings.into_iter().filter_map(|(name, setting)| {
        let DecidedSetting { value, reason, until, set_at } = setting.as_ref()?;
        Some([format!("{name} {value}"), at(Some(set_at)), at(until.as_ref()), why(reason)])
    });
    state.into_iter().chain(settings).collect()
}

fn word(state: QueueState) -> &'static str {
    match state {
        QueueState::Running => "running",
        QueueState::Paused => "paused",
        QueueState::Draining => "draining",
        QueueState::Drained => "drained",
    }
}

/// The count stops at 10,000, and says so.
fn counted(jobs: i64) -> String {
    const COUNTED_TO: i64 = 10_000;
    if jobs >= COUNTED_TO { format!("{COUNTED_TO}+") } else { jobs.to_string() }
}
