//! The command line: what can be said, with the help that people read.
//!
//! It only parses; what a command does lives in the module of its name. A flag that can't be parsed
//! ends with exit code 2 before anything is connected to.

#![expect(
    clippy::doc_markdown,
    reason = "help texts are doc comments, and show backticks as they are"
)]

use super::{
    audit, bench, completions,
    config::ConfigCommand,
    daemon, demo, enqueue, healthcheck, job, log_level, man, migrate, operation,
    output::Format,
    place::{Placed, Remote},
    profile, queue, run, schedule,
};
use crate::telemetry::build;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// How `legwork` is called.
#[derive(Debug, Parser)]
#[command(
    name = "legwork",
    version,
    long_version = build::LONG_VERSION,
    about = "A background-job daemon for Postgres: insert a row, Legwork does the rest.",
    after_help = "Exit codes: 0 ok · 1 failed · 2 usage · 3 not ready, or a schema that this binary \
                  can't work with · 69 database unreachable · 75 try again · 78 bad configuration",
    max_term_width = 100
)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What may stand before every command; `globals` refuses what would have no effect on it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options (refused where they have no effect)")]
pub(super) struct Global {
    /// The configuration file [default: ./legwork.toml, then /etc/legwork/legwork.toml, if there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Where the database is. Every user of this machine can read a password given here (ps shows
    /// it): prefer the variable DATABASE_URL, or database.url_file in the configuration
    #[arg(long, global = true, value_name = "URL")]
    pub(super) database_url: Option<String>,
    /// How results are printed; the shapes of json are kept from release to release
    /// [default: text]
    #[arg(long, global = true, value_enum, value_name = "FORM")]
    pub(super) output: Option<Format>,
}

/// The commands. `cli::dispatch` is the other place that names them all.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the daemon
    Run(run::RunArguments),
    /// See it work: a private Postgres, sample jobs, a daemon, nothing to set up
    Demo(demo::DemoArguments),
    /// Measure the daemon against your server, in a database that it makes and drops
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Bring the schema up or down, or say where it stands
    #[command(subcommand)]
    Migrate(migrate::MigrateCommand),
    /// Enqueue one job, or a file of them
    Enqueue(Box<enqueue::EnqueueArguments>),
    /// Look at jobs and change what becomes of them
    Job(Placed<job::JobCommand>),
    /// Look at a change of many jobs at once, and end it before its time
    Operation(Placed<operation::OperationCommand>),
    /// Look at queues, pause and resume them, and decide their settings
    Queue(Placed<queue::QueueCommand>),
    /// Look at the daemons of the database, and tell one to be quiet, to drain or to end
    Daemon(Placed<daemon::DaemonCommand>),
    /// Look at schedules, and enqueue the job of one now
    Schedule(Placed<schedule::ScheduleCommand>),
    /// Look at what people changed, who, and why
    Audit(Placed<audit::AuditCommand>),
    /// Ask a running daemon whether it is well (exit code 0) or not (3)
    Healthcheck(healthcheck::HealthcheckArguments),
    /// Fetch a profile of a running daemon: CPU, heap, tasks, a trace, or all of it as a bundle
    #[command(subcommand)]
    Profile(profile::ProfileCommand),
    /// Look at which lines a running daemon logs, and have it log others for a while
    #[command(subcommand)]
    LogLevel(log_level::LogLevelCommand),
    /// Check or show the configuration, or have a running daemon read it again
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a script that has a shell complete legwork's commands and options
    Completions(completions::CompletionsArguments),
    /// Print the manual page, or write one for each command into a directory
    Man(man::ManArguments),
}

impl Command {
    /// The daemon that is to be asked in the database's place, where one is named.
    pub(super) fn remote(&self) -> Remote {
        let (Self::Job(Placed { remote, .. })
        | Self::Operation(Placed { remote, .. })
        | Self::Queue(Placed { remote, .. })
        | Self::Daemon(Placed { remote, .. })
        | Self::Schedule(Placed { remote, .. })
        | Self::Audit(Placed { remote, .. })) = self
        else {
            return Remote::default();
        };
        remote.clone()
    }

    /// What the commands that may ask a daemon are called.
    pub(super) fn group(&self) -> &'static str {
        match self {
            Self::Job(_) => "job",
            Self::Operation(_) => "operation",
            Self::Queue(_) => "queue",
            Self::Daemon(_) => "daemon",
            Self::Schedule(_) => "schedule",
            Self::Audit(_) => "audit",
            _ => "",
        }
    }
}
