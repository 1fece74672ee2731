//! `legwork log-level`: which lines a running daemon logs, and others for a while.

use super::{
    Context,
    output::say,
    place::{LogLevel, Port},
    port::Whom,
    reason,
    table::sheet,
};
use crate::postgres::enqueue::line::delay;
use clap::Subcommand;
use std::time::Duration;

/// `legwork log-level …`
#[derive(Debug, Subcommand)]
pub(super) enum LogLevelCommand {
    /// Show by which filter a daemon logs, and until when
    Show {
        #[command(flatten)]
        whom: Whom,
    },
    /// Have a daemon log by another filter for a while; then it goes by log.filter again
    Set {
        /// Which lines, as `log.filter` has it: `debug`, or `info,legwork::claimer=debug`
        filter: String,
        /// For how long, 1 s to 24 h [default: 10m]
        #[arg(long = "for", value_name = "TIME", value_parser = delay)]
        time: Option<Duration>,
        /// Why, for the audit
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: Option<String>,
        #[command(flatten)]
        whom: Whom,
    },
    /// Have a daemon log by log.filter again, before the time of another filter is over
    Reset {
        /// Why, for the audit
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: Option<String>,
        #[command(flatten)]
        whom: Whom,
    },
}

impl LogLevelCommand {
    /// Whether it has to look up where to ask.
    pub(super) fn reads_configuration(&self) -> bool {
        let (Self::Show { whom } | Self::Set { whom, .. } | Self::Reset { whom, .. }) = self;
        whom.is_configured()
    }
}

pub(super) async fn run(command: LogLevelCommand, context: &Context) -> anyhow::Result<()> {
    match command {
        LogLevelCommand::Show { whom } => {
            let level = Port::of(&whom, context)?.log_level().await?;
            warn(&level);
            context.output.show(&level, shown)
        }
        LogLevelCommand::Set { filter, time, reason, whom } => {
            let port = Port::of(&whom, context)?;
            let level = port.change_log_level(&filter, time, reason.as_ref()).await?;
            warn(&level);
            context.output.show_done(&level, shown);
            Ok(())
        }
        LogLevelCommand::Reset { reason, whom } => {
            let level = Port::of(&whom, context)?.reset_log_level(reason.as_ref()).await?;
            warn(&level);
            context.output.show_done(&level, shown);
            Ok(())
        }
    }
}

fn warn(level: &LogLevel) {
    for warning in &level.warnings {
        say(&format!("warning: {}", super::output::plain(warning)));
    }
}

/// What holds and, where that was asked for, since when and until when, and what does then.
fn shown(level: &LogLevel) -> String {
    let LogLevel { filter, configured, since, until, .. } = level;
    sheet([
        ("filter", Some(filter.clone())),
        ("since", since.clone()),
        ("until", until.clone()),
        ("then", since.is_some().then(|| configured.clone())),
    ])
}
