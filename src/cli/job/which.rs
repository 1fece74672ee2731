//! Which jobs a command changes: those that are named, or all that meet filters.

use super::{super::exit::Usage, filter::Filter, id, reason};
use crate::{
    job::JobId,
    postgres::operations::{IDS_MAX, JobFilter},
};
use clap::Args;
use std::collections::HashSet;

/// The arguments: all jobs that are named or, if one can't be changed, none; or what they have in common.
#[derive(Debug, Args)]
pub(in crate::cli) struct Which {
    /// The jobs
    #[arg(value_name = "ID", value_parser = id, conflicts_with = "Filter")]
    ids: Vec<JobId>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    filters: Filters,
}

/// What the jobs have in common; in place of naming them.
#[derive(Debug, Args)]
struct Filters {
    #[command(flatten)]
    filter: Filter,
    /// Every job there is, where no filter narrows them
    #[arg(long)]
    all: bool,
    /// Only count the jobs that would be changed; of filters, not of ids
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
        filters.refused_beside_ids()?;
        let named = ids.iter().map(|id| id.0).collect::<HashSet<_>>().len();
        if named > IDS_MAX {
            let most = format!("{named} jobs are named, and one command changes {IDS_MAX} at most");
            return Err(Usage(most));
        }
        Ok((Meant::Named(ids), reason))
    }
}

impl Filters {
    /// What is about filters and would have no effect on jobs that are named, of which one that promises to change nothing
    /// would break its promise. `--yes` is true of them: nobody is asked.
    fn refused_beside_ids(self) -> Result<(), Usage> {
        // A filter itself is refused by the parser.
        let Self { filter: _, all, dry_run, yes: _ } = self;
        let how = match (dry_run, all) {
            (true, _) => {
                "--dry-run counts the jobs that meet filters, and no job was changed: leave out the ids, or --dry-run; \
                 `legwork job show ID` tells how a job stands"
            }
            (false, true) => {
                "--all means every job, and ids name some: no job was changed; leave out --all, or the ids"
            }
            (false, false) => return Ok(()),
        };
        Err(Usage(how.into()))
    }

    fn wanted(self) -> Result<Wanted, Usage> {
        let Self { filter, all, dry_run, yes } = self;
        if !filter.narrows() && !all {
            let how = "name jobs by their ids, or all of some by filters such as --queue; --all means every job";
            return Err(Usage(how.into()));
        }
        let filter = filter.behind(None);
        Ok(Wanted { filter, all, dry_run, yes })
    }
}
