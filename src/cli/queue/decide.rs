//! `legwork queue set`, `unset` and `drain`: what is decided for a queue, for the whole fleet and for a time.

use super::super::{Context, reason};
use crate::{
    config::QueueOverride,
    job::{QueueName, RateLimit},
    postgres::{
        enqueue::line::{delay, moment},
        operations::End,
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
    let changed = context.place().await?.override_queue(&name, decided, end, &asker).await?;
    say(&name, changed, ("is overridden", "was overridden so already"), context);
    Ok(())
}

pub(super) async fn unset(arguments: UnsetArguments, context: &Context) -> anyhow::Result<()> {
    let UnsetArguments { name, setting, reason } = arguments;
    let asker = Context::asker("queue unset", reason);
    let changed = context.place().await?.reset_queue(&name, setting.as_deref(), &asker).await?;
    say(&name, changed, ("goes by the daemons' files again", "had no override"), context);
    Ok(())
}

pub(super) async fn drain(arguments: DrainArguments, context: &Context) -> anyhow::Result<()> {
    let DrainArguments { name, held } = arguments;
    let end = held.end();
    let asker = Context::asker("queue drain", held.reason);
    let changed = context.place().await?.drain_queue(&name, end, &asker).await?;
    say(&name, changed, ("drains", "was drained already"), context);
    Ok(())
}

fn say(queue: &QueueName, changed: bool, (done, was): (&str, &str), context: &Context) {
    let decided = Decided { queue: queue.to_string(), changed };
    context.output.show_done(&decided, |decided| {
        format!("queue {} {}", decided.queue, if decided.changed { done } else { was })
    });
}
