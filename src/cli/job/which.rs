//! Which jobs a command changes: those that are named, or all that meet filters.

use super::{super::exit::Usage, delay, id, reason, state};
use crate::{
    job::{JobId, KindName, QueueName, State},
    postgres::operations::{IDS_MAX, JobFilter, Since},
};
use clap::Args;
use std::{collections::HashSet, time::Duration};

/// The arguments: all jobs that are named or, if one can't be changed, none; or what they have in common.
#[derive(Debug, Args)]
pub(in crate::cli) struct Which {
    /// The jobs
    #[arg(value_name = "ID", value_parser = id)]
    ids: Vec<JobId>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    filters: Filters,
}

/// What the jobs have in common; in place of naming them.
#[derive(Debug, Args)]
#[group(conflicts_with = "ids", multiple = true)]
struct Filters {
    /// All jobs of this queue
    #[arg(long)]
    queue: Option<QueueName>,
    /// All jobs of this kind
    #[arg(long)]
    kind: Option<KindName>,
    /// All jobs in this state
    #[arg(long, value_parser = state, value_name = "STATE")]
    state: Option<State>,
    /// All jobs with this tag
    #[arg(long)]
    tag: Option<String>,
    /// All jobs with this text at this place of the payload, such as user.id=42; may be given again
    #[arg(long, value_parser = place, value_name = "PATH=TEXT")]
    payload: Vec<(String, String)>,
    /// All jobs that were enqueued longer ago than this, such as 7d
    #[arg(long, value_parser = delay, value_name = "TIME")]
    older_than: Option<Duration>,
    /// All jobs that were enqueued less than this ago
    #[arg(long, value_parser = delay, value_name = "TIME")]
    newer_than: Option<Duration>,
    /// Every job there is, where no filter narrows them
    #[arg(long)]
    all: bool,
    /// Only count the jobs that would be changed
    #[arg(long)]
    dry_run: bool,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
}

/// Which jobs were meant.
pub(super) enum Meant {
    /// These.
    Named(Vec<JobId>),
    /// All that meet these.
    Filtered(Box<Wanted>),
}

/// Jobs by what they have in common.
pub(super) struct Wanted {
    pub(super) filter: JobFilter,
    pub(super) all: bool,
    pub(super) dry_run: bool,
    pub(super) yes: bool,
}

impl Which {
    /// What was meant, if anything was.
    pub(super) fn meant(self) -> Result<(Meant, Option<String>), Usage> {
        let Self { ids, reason, filters } = self;
        if ids.is_empty() {
            return Ok((Meant::Filtered(Box::new(filters.wanted()?)), reason));
        }
        let named = ids.iter().map(|id| id.0).collect::<HashSet<_>>().len();
        if named > IDS_MAX {
            let most = format!("{named} jobs are named, and one command changes {IDS_MAX} at most");
            return Err(Usage(most));
        }
        Ok((Meant::Named(ids), reason))
    }
}

impl Filters {
    fn wanted(self) -> Result<Wanted, Usage> {
        let Self { queue, kind, state, tag, payload, older_than, newer_than, all, dry_run, yes } =
            self;
        let narrows = queue.is_some()
            || kind.is_some()
            || state.is_some()
            || tag.is_some()
            || !payload.is_empty()
            || older_than.is_some()
            || newer_than.is_some();
        if !narrows && !all {
            let how = "name jobs by their ids, or all of some by filters such as --queue; --all means every job";
            return Err(Usage(how.into()));
        }
        let (created_before, created_after) =
            (older_than.map(Since::Ago), newer_than.map(Since::Ago));
        let after = None;
        let filter =
            JobFilter { queue, kind, state, tag, created_after, created_before, payload, after };
        Ok(Wanted { filter, all, dry_run, yes })
    }
}

fn place(text: &str) -> Result<(String, String), String> {
    let (place, is) = text.split_once('=').ok_or("write it as user.id=42")?;
    if place.is_empty() { Err("say which place".into()) } else { Ok((place.into(), is.into())) }
}
