//! `legwork queue set`, `unset` and `drain`: what is decided for a queue, for the whole fleet and for a time.

use super::{
    super::{
        Context,
        moment::exact,
        output::{plain, print},
        reason,
    },
    look,
};
use crate::{
    config::QueueOverride,
    job::{QueueName, RateLimit},
    postgres::{
        enqueue::line::delay,
        moment,
        operations::{DecidedSetting, End, Override, QueueDetail},
    },
};
use clap::ArgGroup;
use serde::Serialize;
use std::time::Duration;
use time::OffsetDateTime;

/// Until when, and why.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ForAWhile {
    /// For how long; without this and --until, until somebody ends it
    #[arg(long = "for", value_name = "TIME", value_parser = delay, conflicts_with = "until")]
    time: Option<Duration>,
    /// Until this moment, by the database's clock
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<OffsetDateTime>,
    /// Why, for the next person
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(super) reason: Option<String>,
}

impl ForAWhile {
    pub(super) fn end(&self) -> End {
        match (self.time, self.until) {
            (Some(time), _) => End::In(time),
            (None, Some(until)) => End::At(until),
            (None, None) => End::Never,
        }
    }
}

/// What `queue set` takes.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("settings").args(["concurrency", "rate_limit"]).required(true).multiple(true)))]
pub(in crate::cli) struct SetArguments {
    /// The queue
    name: QueueName,
    /// Jobs that each daemon runs at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: Option<u32>,
    /// Starts per time, of each daemon: 30/m burst 2
    #[arg(long, value_name = "LIMIT")]
    rate_limit: Option<RateLimit>,
    #[command(flatten)]
    held: ForAWhile,
}

/// What `queue unset` takes.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UnsetArguments {
    /// The queue
    name: QueueName,
    /// Of one setting alone
    #[arg(long, value_name = "NAME", value_parser = ["concurrency", "rate_limit"])]
    setting: Option<String>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
}

/// What `queue drain` takes.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DrainArguments {
    /// The queue
    name: QueueName,
    #[command(flatten)]
    held: ForAWhile,
}

/// What became of it.
#[derive(Serialize)]
struct Decided {
    queue: String,
    changed: bool,
}

pub(super) async fn set(arguments: SetArguments, context: &Context) -> anyhow::Result<()> {
    let SetArguments { name, concurrency, rate_limit, held } = arguments;
    let (end, decided) = (held.end(), QueueOverride { concurrency, rate_limit });
    let asker = Context::asker("queue set", held.reason);
    let mut place = context.place().await?;
    let changed = place.override_queue(&name, decided, end, &asker).await?;
    let done = if changed { " is overridden" } else { " was overridden so already" };
    say(&name, changed, done, context);
    tell_holding("", look(&mut place, &name).await, context);
    Ok(())
}

pub(super) async fn unset(arguments: UnsetArguments, context: &Context) -> anyhow::Result<()> {
    let UnsetArguments { name, setting, reason } = arguments;
    let asker = Context::asker("queue unset", reason);
    let mut place = context.place().await?;
    let changed = place.reset_queue(&name, setting.as_deref(), &asker).await?;
    let what = setting.map(|setting| setting.replace('_', " "));
    let done = match (changed, what) {
        (true, Some(what)) => format!(": its {what} goes by the daemons' files again"),
        (true, None) => {
            ": its concurrency and its rate limit go by the daemons' files again".into()
        }
        (false, Some(what)) => format!(" had no override of its {what}"),
        (false, None) => " had no override".into(),
    };
    say(&name, changed, &done, context);
    tell_holding("this still holds:\n", look(&mut place, &name).await, context);
    Ok(())
}

pub(super) async fn drain(arguments: DrainArguments, context: &Context) -> anyhow::Result<()> {
    let DrainArguments { name, held } = arguments;
    let end = held.end();
    let asker = Context::asker("queue drain", held.reason);
    let mut place = context.place().await?;
    let changed = place.drain_queue(&name, end, &asker).await?;
    say(&name, changed, if changed { " drains" } else { " was drained already" }, context);
    tell_end(look(&mut place, &name).await, context);
    Ok(())
}

/// Tells people when a pause or a drain ends by itself, where it does.
pub(super) fn tell_end(stands: Option<QueueDetail>, context: &Context) {
    let end = stands.and_then(|QueueDetail { now, settings, .. }| {
        let until = settings.overridden?.paused_until?;
        Some(format!("  until {}", plain(&exact(&until, &now))))
    });
    if let Some(end) = end.filter(|_| !context.output.for_programs()) {
        // It only tells more of what was done.
        print(&end).ok();
    }
}

/// Tells people what is decided for a queue, once what was done is told: the look that this comes from may take its time or fail.
fn tell_holding(beginning: &str, stands: Option<QueueDetail>, context: &Context) {
    let holds = holding(stands).filter(|_| !context.output.for_programs());
    if let Some(holds) = holds {
        // It only tells more of what was done.
        print(&format!("{beginning}{holds}")).ok();
    }
}

/// What is decided for a queue, a line each, with its end where it has one.
fn holding(stands: Option<QueueDetail>) -> Option<String> {
    let QueueDetail { now, settings, .. } = stands?;
    let Override { concurrency, rate_limit, .. } = settings.overridden?;
    let holds = [("concurrency", concurrency), ("rate limit", rate_limit)];
    let holds = holds.into_iter().filter_map(|(name, decided)| {
        let DecidedSetting { value, until, .. } = decided?;
        let until = until.map(|until| format!(" until {}", exact(&until, &now)));
        Some(plain(&format!("  {name} {value}{}", until.unwrap_or_default())) + "\n")
    });
    let holds: String = holds.collect();
    (!holds.is_empty()).then_some(holds)
}

fn say(queue: &QueueName, changed: bool, text: &str, context: &Context) {
    let decided = Decided { queue: queue.to_string(), changed };
    context.output.show_done(&decided, |decided| format!("queue {}{text}", decided.queue));
}
