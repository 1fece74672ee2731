//! What jobs have in common, as `job list` shows them and as the commands that change many take them.

use super::{delay, state};
use crate::{
    job::{JobId, KindName, QueueName, State},
    postgres::operations::{JobFilter, Since},
};
use clap::Args;
use std::time::Duration;

/// Filters; what isn't given doesn't narrow.
#[derive(Debug, Args)]
pub(in crate::cli) struct Filter {
    /// Only jobs of this queue
    #[arg(long)]
    queue: Option<QueueName>,
    /// Only jobs of this kind
    #[arg(long)]
    kind: Option<KindName>,
    /// Only jobs in this state
    #[arg(long, value_parser = state, value_name = "STATE",
        help = "Only jobs in this state: scheduled, available, running, retryable, completed, \
                cancelled or discarded")]
    state: Option<State>,
    /// Only jobs with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only jobs with this text at this place of the payload, such as user.id=42; may be given again
    #[arg(long, value_parser = place, value_name = "PATH=TEXT")]
    payload: Vec<(String, String)>,
    /// Only jobs that were enqueued longer ago than this, such as 7d
    #[arg(long, value_parser = delay, value_name = "TIME")]
    older_than: Option<Duration>,
    /// Only jobs that were enqueued less than this ago
    #[arg(long, value_parser = delay, value_name = "TIME")]
    newer_than: Option<Duration>,
}

impl Filter {
    /// As operations take it, behind this job.
    pub(super) fn behind(self, after: Option<JobId>) -> JobFilter {
        let Self { queue, kind, state, tag, payload, older_than, newer_than } = self;
        let (created_before, created_after) =
            (older_than.map(Since::Ago), newer_than.map(Since::Ago));
        JobFilter { queue, kind, state, tag, created_after, created_before, payload, after }
    }

    /// Whether it leaves any job out.
    pub(super) fn narrows(&self) -> bool {
        let Self { queue, kind, state, tag, payload, older_than, newer_than } = self;
        queue.is_some()
            || kind.is_some()
            || state.is_some()
            || tag.is_some()
            || !payload.is_empty()
            || older_than.is_some()
            || newer_than.is_some()
    }
}

fn place(text: &str) -> Result<(String, String), String> {
    let (place, is) = text.split_once('=').ok_or("write it as user.id=42")?;
    if place.is_empty() { Err("say which place".into()) } else { Ok((place.into(), is.into())) }
}
