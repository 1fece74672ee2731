//! `legwork bench`: figures of the daemon on this server.

use super::{
    Context,
    output::{self, Format},
};
use crate::{
    bench::{Bench, BenchError, Progress, Report, Work},
    config::Database,
    daemon::{Caught, Signals, TrialError},
    postgres::Connector,
};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// Whether finished jobs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum History {
    /// As long as the defaults say
    On,
    /// Not at all
    Off,
}

/// Jobs of a run.
const JOBS: std::ops::RangeInclusive<u64> = 1..=100_000_000;

/// How many jobs, and what becomes of them.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Load {
    /// How many jobs
    #[arg(long, default_value_t = 300_000, value_name = "N", value_parser = clap::value_parser!(u64).range(JOBS))]
    jobs: u64,
    /// Whether finished jobs go into history
    #[arg(long, value_enum, default_value_t = History::On)]
    history: History,
}

/// How many jobs where figures settle late.
const MANY: &str = "1000000";

/// `legwork bench …`. It needs a role that may create a database; one is made and dropped again.
#[derive(Debug, clap::Subcommand)]
pub(super) enum BenchCommand {
    /// Work off a backlog: jobs a second, and what each costs
    Drain(Load),
    /// Insert jobs at a fixed rate: how long each waits
    Latency {
        /// How many jobs are inserted
        #[arg(long, default_value_t = 2000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        jobs: u64,
        /// Inserts a second
        #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rate: u32,
        /// Whether finished jobs go into history
        #[arg(long, value_enum, default_value_t = History::On)]
        history: History,
    },
    /// Insert with four callers, by COPY, and beside a daemon; the last two into a bare table as well
    Enqueue {
        /// How many jobs come by COPY
        #[arg(long, default_value_t = 300_000, value_name = "N", value_parser = clap::value_parser!(u64).range(JOBS))]
        jobs: u64,
        /// Numbers of clients that insert beside a daemon
        #[arg(long, default_values_t = [4, 16, 32], value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=500))]
        clients: Vec<u16>,
        /// How long each number of clients inserts into either table
        #[arg(long, default_value_t = 5, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=600))]
        seconds: u64,
        /// Whether jobs that the daemon finishes meanwhile go into history
        #[arg(long, value_enum, default_value_t = History::Off)]
        history: History,
    },
    /// Churn jobs through, in ten slices, while an idle transaction holds its snapshot
    #[command(mut_arg("jobs", |jobs| jobs.default_value(MANY)))]
    Pinned(Load),
    /// Claim beside few waiting jobs, beside jobs that can't run, and beside all of them in line
    #[command(mut_arg("jobs", |jobs| jobs.default_value(MANY)))]
    Backlog(Load),
    /// Work off the same backlog with one daemon, two, four …
    Fleet {
        #[command(flatten)]
        load: Load,
        /// The most daemons
        #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
        daemons: u32,
    },
}

impl BenchCommand {
    /// What is measured, with how many jobs, and whether they are kept.
    fn work(&self) -> (Work, u64, History) {
        match self {
            Self::Drain(load) => (Work::Drain, load.jobs, load.history),
            Self::Latency { jobs, rate, history } => {
                (Work::Latency { rate: *rate }, *jobs, *history)
            }
            Self::Enqueue { jobs, clients, seconds, history } => {
                let each = Duration::from_secs(*seconds);
                (Work::Enqueue { clients: clients.clone(), each }, *jobs, *history)
            }
            Self::Pinned(load) => (Work::Pinned, load.jobs, load.history),
            Self::Backlog(load) => (Work::Backlog, load.jobs, load.history),
            Self::Fleet { load, daemons } => {
                (Work::Fleet { daemons: *daemons }, load.jobs, load.history)
            }
        }
    }
}

/// Measures, and prints one line.
pub(super) fn run(command: &BenchCommand, context: &Context) -> anyhow::Result<()> {
    let (work, jobs, history) = command.work();
    let bench = Bench {
        work,
        jobs,
        history: history == History::On,
        database: past_the_pooler(context.database()?)?,
        environment: context.source.environment().clone(),
    };
    let (report, dropped) = measure(&bench)?;
    match context.output.format {
        Format::Json => output::print(&serde_json::to_string(&report)?)?,
        Format::Text => output::print(&report.to_string())?,
    }
    Ok(dropped?)
}

/// It makes a database of its own, of which a pooler knows nothing.
fn past_the_pooler(database: Database) -> anyhow::Result<Database> {
    if let Some(url) = &database.url {
        let connector = Connector::new(url, &database);
        let reached = connector.and_then(|connector| connector.needs_server("bench"));
        reached.map_err(TrialError::Connect)?;
    }
    Ok(database.past_the_pooler())
}

fn measure(bench: &Bench) -> anyhow::Result<(Report, Result<(), BenchError>)> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("couldn't start the runtime")?;
    runtime.block_on(async {
        let signals = Signals::default();
        let caught = Caught::install().context("signals can't be caught")?.stopped_by_hangup();
        let bar = bar();
        let show = |progress: Progress| {
            bar.set_length(progress.of.max(progress.done));
            bar.set_position(progress.done);
            bar.set_message(progress.doing);
        };
        let report = tokio::select! {
            report = bench.run(&signals, &show) => report,
            () = signals.clone().follow(caught) => unreachable!("signals are followed for ever"),
        };
        bar.finish_and_clear();
        report.map_err(|error| match error {
            // The step that failed is what exit codes go by.
            BenchError::Trial(error) => error.into(),
            BenchError::NoDatabase(error) => error.into(),
            error => error.into(),
        })
    })
}

/// On standard error, and only where that is a terminal.
fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {per_sec}");
    let bar = ProgressBar::new(0);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
