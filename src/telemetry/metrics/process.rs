//! The process as Prometheus' client libraries show it, read from `/proc` and rusage at the scrape.
//!
//! A figure that the system doesn't give (another system, `ProcSubset`) is left out, never made up.

use super::{catalogue as c, registry::Registry};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use std::{
    fs,
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

/// Shows what is known now.
pub(super) fn show(registry: &Registry) {
    let figures = [
        (&c::PROCESS_CPU, cpu_seconds()),
        (&c::PROCESS_MEMORY, resident_bytes()),
        (&c::PROCESS_OPEN_FDS, open_fds()),
        (&c::PROCESS_MAX_FDS, max_fds()),
        (&c::PROCESS_START, started()),
    ];
    for (metric, figure) in figures {
        registry.figure(metric, figure);
    }
}

fn cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let times = [usage.user_time(), usage.system_time()];
    #[expect(clippy::cast_precision_loss, reason = "CPU seconds are far below 2^52")]
    let seconds = times.map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6);
    Some(seconds.iter().sum())
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024.0)
}

fn open_fds() -> Option<f64> {
    // Reading the directory opens one descriptor, which is gone when the line is seen.
    let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(open).ok().map(f64::from)
}

fn max_fds() -> Option<f64> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "a limit above 2^52 means none")]
    Some(soft as f64)
}

/// When the first metrics of the process were made: within milliseconds of its start. The kernel's
/// own figure needs `/proc/stat`, which a hardened unit hides.
fn started() -> Option<f64> {
    static STARTED: OnceLock<Option<f64>> = OnceLock::new();
    *STARTED.get_or_init(now)
}

/// The time of day, in seconds since 1970.
pub(super) fn now() -> Option<f64> {
    #[expect(clippy::disallowed_methods, reason = "shown to people and decides nothing")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64())
}

/// Remembers the start; the first call counts.
pub(super) fn remember_start() {
    started();
}
