//! `legwork enqueue`: one job from arguments, or a file of them.
//!
//! One job is an INSERT like any producer's, and passes over a unique key that is taken, so that a
//! script may repeat itself. A file is one COPY: all of its jobs or none.

#![expect(
    clippy::doc_markdown,
    reason = "help texts are doc comments, and show backticks as they are"
)]

mod file;
mod traced;

use super::{Context, exit::Usage};
use crate::{
    job::{KindName, QueueName},
    postgres::{
        enqueue::{
            NewJob,
            line::{self, delay},
        },
        moment,
        operations::{self, Limit},
    },
};
use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use std::{path::PathBuf, time::Duration};
use time::OffsetDateTime;
use tokio::io::AsyncReadExt as _;
use traced::Traced;

/// The largest payload that is read from standard input, in bytes. The database allows 1 MiB as it
/// renders it, which drops spaces; this leaves room for those.
const PAYLOAD_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// `legwork enqueue`
#[derive(Debug, Args)]
#[command(
    override_usage = "legwork enqueue [OPTIONS] KIND [JSON|-]\n       legwork enqueue --file FILE"
)]
pub(super) struct EnqueueArguments {
    /// What runs the job
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    kind: Option<KindName>,
    /// Its payload, any JSON; - reads it from standard input [default: {}]
    #[arg(value_name = "JSON|-", conflicts_with = "file", allow_hyphen_values = true)]
    payload: Option<String>,
    /// Enqueue every line of a file (- is standard input): one JSON object each, with the keys kind,
    /// payload, queue, run_at or delay, priority, max_attempts, unique_key, timeout, expires_at, tags,
    /// metadata. All of them or, if one is wrong, none
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    columns: Columns,
}

/// The row's other columns.
#[derive(Debug, Args)]
#[group(conflicts_with = "file", multiple = true)]
struct Columns {
    /// The queue it waits in [default: default]
    #[arg(long)]
    queue: Option<QueueName>,
    /// Not before this moment, such as 2030-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    run_at: Option<OffsetDateTime>,
    /// Not before this long from now, such as 10m
    #[arg(long, value_name = "TIME", value_parser = delay, conflicts_with = "run_at")]
    delay: Option<Duration>,
    /// From -2 to 2; lower runs first [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true,
        value_parser = clap::value_parser!(i16).range(-2..=2))]
    priority: Option<i16>,
    /// Attempts that it has, from 1 to 1000 [default: the kind's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    max_attempts: Option<u16>,
    /// At most one unfinished job of a queue has this key; a second one isn't enqueued
    #[arg(long, value_name = "KEY")]
    unique_key: Option<String>,
    /// How long an attempt may take, such as 30s [default: the kind's]
    #[arg(long, value_name = "TIME", value_parser = delay)]
    timeout: Option<Duration>,
    /// Discard it if it hasn't started by this moment
    #[arg(long, value_name = "TIME", value_parser = moment)]
    expires_at: Option<OffsetDateTime>,
    /// A word to filter by; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// A JSON object; traceparent, request_id and user_id in it follow the job into logs
    #[arg(long, value_name = "JSON", value_parser = object)]
    metadata: Option<String>,
}

fn object(text: &str) -> Result<String, String> {
    line::object(text).map(str::to_owned)
}

/// What became of one job.
#[derive(Serialize)]
struct Enqueued {
    id: Option<i64>,
    enqueued: bool,
}

pub(super) async fn run(arguments: EnqueueArguments, context: &Context) -> anyhow::Result<()> {
    match arguments.file {
        Some(path) => file::enqueue(&path, context).await,
        None => one(arguments, context).await,
    }
}

async fn one(arguments: EnqueueArguments, context: &Context) -> anyhow::Result<()> {
    let EnqueueArguments { kind, payload, columns, .. } = arguments;
    let kind = kind.ok_or_else(|| Usage("a job needs a kind".into()))?;
    let delay = columns.delay;
    let queue = columns.queue.clone().unwrap_or_default();
    let traced = Traced::begin(context, &queue)?;
    let job = NewJob {
        payload: payload_text(payload).await?,
        queue: columns.queue,
        run_at: columns.run_at,
        priority: columns.priority,
        max_attempts: columns.max_attempts,
        unique_key: columns.unique_key,
        timeout: columns.timeout,
        expires_at: columns.expires_at,
        tags: columns.tags,
        metadata: traced.metadata(columns.metadata.as_deref()),
        ..NewJob::new(kind)
    };
    let insert = async {
        let mut session = context.connect(Limit::Statement).await?;
        session.change(async |c| operations::enqueue_job(c, &job, delay).await).await
    };
    let done = insert.await;
    traced.end(&done).await;
    let id = done?;
    let enqueued = Enqueued { id: id.map(|id| id.0), enqueued: id.is_some() };
    context.output.show_done(&enqueued, |enqueued| match enqueued.id {
        Some(id) => format!("enqueued job {id}"),
        None => "not enqueued: an unfinished job of the queue has this unique key".into(),
    });
    Ok(())
}

/// The payload as JSON text: from the argument, or from standard input where that is `-`.
async fn payload_text(argument: Option<String>) -> anyhow::Result<Option<String>> {
    let Some(text) = argument else { return Ok(None) };
    if text != "-" {
        let wrong = |why| Usage(format!("the payload isn't JSON: {why}"));
        return Ok(Some(line::json(&text).map_err(wrong)?.to_owned()));
    }
    let mut text = String::new();
    let mut stdin = tokio::io::stdin().take(PAYLOAD_MAX_BYTES + 1);
    stdin
        .read_to_string(&mut text)
        .await
        .context("couldn't read the payload from standard input")?;
    if text.len() as u64 > PAYLOAD_MAX_BYTES {
        bail!("the payload on standard input is longer than {PAYLOAD_MAX_BYTES} bytes");
    }
    match line::json(&text) {
        Ok(json) => Ok(Some(json.to_owned())),
        Err(why) => bail!("the payload on standard input isn't JSON: {why}"),
    }
}
