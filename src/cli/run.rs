//! `legwork run`: the daemon, in this process.

use super::{Context, exit::Unclean};
use crate::{
    config::{self, Settings},
    daemon::{Daemon, Ended},
    sys::sampler,
    telemetry::logs,
};
use anyhow::Context as _;
use std::time::Duration;

/// What `run` takes.
#[derive(Debug, clap::Args)]
pub(super) struct RunArguments {
    /// End once nothing that this daemon serves is in line or runs
    #[arg(long)]
    once: bool,
}

/// Longest that the last log lines may take to be written.
const LOG_FLUSH: Duration = Duration::from_millis(500);

/// Runs the daemon until it is told to stop.
pub(super) fn run(arguments: &RunArguments, context: &Context) -> anyhow::Result<()> {
    let loaded = config::load(&context.source.clone().without_rust_handlers())?;
    loaded.settings.database_url()?;
    let logs = logs::init(&loaded.settings.log, &loaded.settings.daemon.name)?;
    logs::warn_of(&loaded.warnings);
    #[cfg(legwork_seeded_bugs)]
    crate::seeded::plant(context.source.environment().seeded_bug())?;
    let daemon = Daemon::new(loaded.settings.clone(), context.source.environment().clone())
        .with_log_losses(logs.losses())
        .reloaded_from(context.source.clone().without_rust_handlers(), &loaded, &logs);
    let daemon = if arguments.once { daemon.once() } else { daemon };
    let ended = live(daemon, &loaded.settings);
    let left = ended.as_ref().map_or(LOG_FLUSH, Ended::time_left);
    logs.flush(LOG_FLUSH.min(left));
    match ended? {
        ended if ended.is_clean() => Ok(()),
        ended => Err(Unclean(ended).into()),
    }
}

/// A runtime for the daemon.
pub(super) fn live(daemon: Daemon, settings: &Settings) -> anyhow::Result<Ended> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if settings.daemon.runtime_threads > 0 {
        builder.worker_threads(settings.daemon.runtime_threads);
    }
    sampler::register();
    builder.on_thread_start(sampler::register);
    let runtime = builder.enable_all().build().context("couldn't start the runtime")?;
    let ended = runtime.block_on(daemon.run());
    // A handler that blocks its thread must not keep the process: its lease runs out.
    runtime.shutdown_background();
    Ok(ended?)
}
