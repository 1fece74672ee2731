//! What a stretch of work cost: time, WAL, and CPU of the server and of this process.
//!
//! The server's CPU is read from `/proc`, so it needs the server on this machine and a role that may
//! read `postmaster.pid`; elsewhere it is absent. Ticks are 10 ms, so only totals mean anything.

use super::BenchError;
use crate::postgres::BenchSession;
use std::fs;
use tokio::time::Instant;

/// Ticks a second in `/proc`: fixed for programs, whatever the kernel's own frequency is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads the counters.
pub(super) struct Gauge {
    session: BenchSession,
    postmaster: Option<u32>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) at: Instant,
    pub(super) wal_bytes: i64,
    /// Seconds.
    pub(super) server_cpu: Option<f64>,
    /// Seconds.
    pub(super) own_cpu: f64,
}

impl Gauge {
    /// Uses this session for its questions.
    pub(super) async fn new(mut session: BenchSession) -> Self {
        let postmaster = session.postmaster().await.filter(|pid| is_postgres(*pid));
        Self { session, postmaster }
    }

    /// The counters now.
    pub(super) async fn read(&mut self) -> Result<Reading, BenchError> {
        let wal_bytes = self.session.wal_bytes().await?;
        let (at, server_cpu) = (Instant::now(), self.postmaster.map(family_cpu));
        Ok(Reading { at, wal_bytes, server_cpu, own_cpu: own_cpu() })
    }

    /// Dead rows, as far as the server has been told of them: a session tells at its end, and each second or so
    /// while it works.
    pub(super) async fn dead_rows(&mut self) -> Result<i64, BenchError> {
        Ok(self.session.dead_rows().await?)
    }
}

/// The most memory that this process has had so far, in bytes; 0 where the system doesn't say.
pub(super) fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// CPU of this process.
fn own_cpu() -> f64 {
    let line = fs::read_to_string("/proc/self/stat").ok();
    line.and_then(|line| Stat::of(&line)).map_or(0.0, |stat| stat.own)
}

/// The process id in a server's file may be another machine's or another container's.
fn is_postgres(pid: u32) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.starts_with("postgres") || name.starts_with("postmaster")
}

/// CPU of the postmaster, of its living children and of those that have ended.
fn family_cpu(postmaster: u32) -> f64 {
    let stat = |pid: u32| Stat::of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?);
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children: f64 =
        pids.filter_map(stat).filter(|child| child.parent == postmaster).map(|c| c.own).sum();
    children + stat(postmaster).map_or(0.0, |parent| parent.own + parent.reaped)
}

/// What one line of `/proc/PID/stat` says.
#[derive(Debug, PartialEq)]
struct Stat {
    parent: u32,
    /// Seconds of this process.
    own: f64,
    /// Seconds of children that have ended.
    reaped: f64,
}

impl Stat {
    /// The name, in parentheses, may contain anything: what follows the last one counts.
    fn of(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line[line.rfind(')')? + 1..].split_whitespace().collect();
        let seconds = |at: usize| Some(fields.get(at)?.parse::<f64>().ok()? / TICKS_PER_SECOND);
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: seconds(11)? + seconds(12)?,
            reaped: seconds(13)? + seconds(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Stat;

    #[test]
    fn cpu_is_read_past_a_name_with_parentheses() {
        let line = "7 (a) b) (c) S 3 7 7 0 -1 4194304 1 2 3 4 150 50 20 5 20 0 1 0 99 0 0";
        assert_eq!(Stat::of(line), Some(Stat { parent: 3, own: 2.0, reaped: 0.25 }));
        assert_eq!(Stat::of("7 (cut off"), None);
    }
}
