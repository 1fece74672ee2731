//! One line of figures, with the fields that every queue in the comparison prints.
//!
//! Pure arithmetic: what was read before and after goes in, what is published comes out.

use super::{
    Bench, CLAIM_BATCH, CONCURRENCY, FLUSH_MAX_ROWS, HEARTBEAT, ServerSettings,
    gauge::{Reading, peak_memory},
};
use crate::telemetry::metrics::ClaimTime;
use serde::Serialize;
use std::{fmt, time::Duration};

/// What came of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    peer: &'static str,
    mode: &'static str,
    n: u64,
    config: Config,
    server: ServerSettings,
    /// Of this process, producer included.
    peak_memory_bytes: u64,
    /// At the end, when all daemons have left.
    dead_rows: i64,
    #[serde(flatten)]
    figures: Figures,
}

/// What the daemon was told.
#[derive(Debug, Serialize)]
struct Config {
    version: &'static str,
    concurrency: u32,
    claim_batch: u32,
    flush_max_rows: usize,
    heartbeat_ms: u128,
    history: bool,
}

/// The figures of each work.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Figures {
    Drain(Drain),
    Latency(Latency),
    Enqueue(Enqueue),
    Pinned(Pinned),
    Backlog(Backlog),
    Fleet(Fleet),
}

#[derive(Debug, Serialize)]
pub(super) struct Drain {
    pub(super) wall_s: f64,
    pub(super) jobs_per_s: f64,
    pub(super) start_to_first_ms: f64,
    pub(super) handled_twice: i64,
    pub(super) preload_rows_per_s: f64,
    pub(super) preload_wal_per_job: f64,
    #[serde(flatten)]
    pub(super) cost: Cost,
}

#[derive(Debug, Serialize)]
pub(super) struct Latency {
    pub(super) rate: u32,
    pub(super) commit_to_start_ms: Spread,
    pub(super) call_to_start_ms: Spread,
    pub(super) insert_ms: Spread,
    /// The same INSERTs into a bare table, with no daemon.
    pub(super) bare: Cost,
    /// Of Postgres, above the bare INSERT's; −1 where the server's CPU can't be read.
    pub(super) pg_cpu_us_above_bare: f64,
    #[serde(flatten)]
    pub(super) cost: Cost,
}

#[derive(Debug, Serialize)]
pub(super) struct Enqueue {
    pub(super) conns: usize,
    pub(super) single_per_s: f64,
    pub(super) single: Cost,
    pub(super) bulk_rows_per_s: f64,
    pub(super) bulk: Cost,
    pub(super) bare_bulk_rows_per_s: f64,
    pub(super) bulk_to_bare: f64,
    /// With a daemon that handles what comes.
    pub(super) beside_daemon: Vec<Inserts>,
}

/// Single INSERTs into `legwork.job` and into a table of its columns and indexes, in turns.
#[derive(Debug, Serialize)]
pub(super) struct Inserts {
    pub(super) clients: u16,
    pub(super) per_s: f64,
    pub(super) bare_per_s: f64,
    pub(super) to_bare: f64,
    /// Of the turns of `legwork.job`, with what handling the jobs costs meanwhile.
    #[serde(flatten)]
    pub(super) cost: Cost,
    /// Of the turns of the other.
    pub(super) bare: Cost,
}

#[derive(Debug, Serialize)]
pub(super) struct Pinned {
    pub(super) last_to_first_rate: f64,
    pub(super) last_to_first_claim_p99: f64,
    pub(super) handled_twice: i64,
    pub(super) slices: Vec<Slice>,
}

/// A part of a churn.
#[derive(Debug, Serialize)]
pub(super) struct Slice {
    pub(super) jobs_per_s: f64,
    pub(super) claims: Claims,
    /// Of which the server has been told by then.
    pub(super) dead_rows: i64,
    #[serde(flatten)]
    pub(super) cost: Cost,
}

#[derive(Debug, Serialize)]
pub(super) struct Backlog {
    /// Jobs that each stage handles.
    pub(super) handled: u64,
    /// Jobs that wait at most in the stages before the last.
    pub(super) few: u64,
    pub(super) stages: Vec<Stage>,
}

/// What waits meanwhile, and what claims cost.
#[derive(Debug, Serialize)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) jobs_per_s: f64,
    pub(super) claim_p99_to_first: f64,
    pub(super) claims: Claims,
    pub(super) dead_rows: i64,
    /// The COPY of what comes meanwhile is in it.
    #[serde(flatten)]
    pub(super) cost: Cost,
}

#[derive(Debug, Serialize)]
pub(super) struct Fleet {
    pub(super) crews: Vec<Crew>,
}

/// So many daemons.
#[derive(Debug, Serialize)]
pub(super) struct Crew {
    pub(super) daemons: u32,
    pub(super) jobs_per_s: f64,
    pub(super) rate_to_first: f64,
    pub(super) connections_per_daemon: f64,
    pub(super) handled_twice: i64,
    pub(super) dead_rows: i64,
    #[serde(flatten)]
    pub(super) cost: Cost,
}

/// Claims that brought jobs.
#[derive(Debug, Serialize)]
pub(super) struct Claims {
    pub(super) jobs_per_claim: f64,
    pub(super) ms: Spread,
}

impl Claims {
    pub(super) fn of(claims: &[ClaimTime]) -> Self {
        let full = || claims.iter().filter(|claim| claim.jobs > 0);
        let jobs: usize = full().map(|claim| claim.jobs).sum();
        let ms = Spread::of(full().map(|claim| claim.took.as_secs_f64() * 1e3));
        Self { jobs_per_claim: tenths(ratio(float(jobs as u64), float(ms.n as u64))), ms }
    }
}

/// What a stretch of work cost; −1 where the server's CPU can't be read.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    wal_bytes_per_job: f64,
    pg_cpu_s: f64,
    worker_cpu_s: f64,
    pub(super) pg_cpu_us_per_job: f64,
    worker_cpu_us_per_job: f64,
}

impl Cost {
    pub(super) fn between(before: &Reading, after: &Reading, jobs: u64) -> Self {
        Self::over(&[(*before, *after)], jobs)
    }

    /// Of several stretches together, which had so many jobs in all.
    pub(super) fn over(stretches: &[(Reading, Reading)], jobs: u64) -> Self {
        let server =
            |(before, after): &(Reading, Reading)| Some(after.server_cpu? - before.server_cpu?);
        let server: Option<f64> = stretches.iter().map(server).sum();
        let own: f64 = stretches.iter().map(|(before, after)| after.own_cpu - before.own_cpu).sum();
        let each = |seconds: f64| tenths(seconds * 1e6 / float(jobs));
        Self {
            wal_bytes_per_job: wal_per_job(stretches, jobs),
            pg_cpu_s: server.map_or(-1.0, thousandths),
            worker_cpu_s: thousandths(own),
            pg_cpu_us_per_job: server.map_or(-1.0, each),
            worker_cpu_us_per_job: each(own),
        }
    }
}

/// Where values lie.
#[derive(Debug, Serialize)]
pub(super) struct Spread {
    p50: f64,
    p95: f64,
    pub(super) p99: f64,
    max: f64,
    n: usize,
}

impl Spread {
    /// Of milliseconds.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().saturating_sub(1);
        let at = |percent: usize| {
            let place = (last * percent + 50) / 100;
            values.get(place).copied().map_or(0.0, thousandths)
        };
        Self { p50: at(50), p95: at(95), p99: at(99), max: at(100), n: values.len() }
    }
}

impl Report {
    pub(super) fn new(
        bench: &Bench,
        server: ServerSettings,
        (jobs, dead_rows): (u64, i64),
        figures: Figures,
    ) -> Self {
        let config = Config {
            version: env!("CARGO_PKG_VERSION"),
            concurrency: CONCURRENCY,
            claim_batch: CLAIM_BATCH,
            flush_max_rows: FLUSH_MAX_ROWS,
            heartbeat_ms: HEARTBEAT.as_millis(),
            history: bench.history,
        };
        Self {
            peer: "legwork",
            mode: bench.work.as_str(),
            n: jobs,
            config,
            server,
            peak_memory_bytes: peak_memory(),
            dead_rows,
            figures,
        }
    }
}

impl fmt::Display for Report {
    /// The figures that people look for first; the rest is in the JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cost = |f: &mut fmt::Formatter<'_>, cost: &Cost| {
            let (server, own) = (cost.pg_cpu_us_per_job, cost.worker_cpu_us_per_job);
            write!(f, "{server} µs of Postgres and {own} µs of the daemon a job")
        };
        match &self.figures {
            Figures::Drain(drain) => {
                write!(f, "{:.0} jobs/s over {} jobs; ", drain.jobs_per_s, self.n)?;
                cost(f, &drain.cost)
            }
            Figures::Latency(latency) => {
                let Spread { p50, p95, p99, max, .. } = latency.commit_to_start_ms;
                write!(f, "commit to start: p50 {p50} ms, p95 {p95} ms, p99 {p99} ms, max {max} ms")
            }
            Figures::Enqueue(enqueue) => {
                let (single, bulk) = (enqueue.single_per_s, enqueue.bulk_rows_per_s);
                write!(f, "{single:.0} single inserts/s, {bulk:.0} rows/s by COPY")?;
                enqueue.beside_daemon.iter().try_for_each(|inserts| {
                    let Inserts { clients, per_s, to_bare, .. } = inserts;
                    write!(f, "\n{clients:>4} clients beside a daemon: {per_s:.0} inserts/s, ")?;
                    write!(f, "{to_bare:.2} of a bare table's")
                })
            }
            Figures::Pinned(pinned) => {
                writeln!(f, "  slice     jobs/s  claim p50 ms  p99 ms  dead rows")?;
                for (number, slice) in (1..).zip(&pinned.slices) {
                    let Spread { p50, p99, .. } = slice.claims.ms;
                    let (rate, dead) = (slice.jobs_per_s, slice.dead_rows);
                    writeln!(f, "{number:>7} {rate:>10.0} {p50:>13} {p99:>7} {dead:>10}")?;
                }
                let (rate, claim) = (pinned.last_to_first_rate, pinned.last_to_first_claim_p99);
                write!(f, "the last to the first: {rate:.2} of the rate, {claim:.2} of claims' p99")
            }
            Figures::Backlog(backlog) => {
                write!(f, "what waits        claim p50 ms  p99 ms  to the first")?;
                backlog.stages.iter().try_for_each(|stage| {
                    let Spread { p50, p99, .. } = stage.claims.ms;
                    let (name, ratio) = (stage.name, stage.claim_p99_to_first);
                    write!(f, "\n{name:<17} {p50:>12} {p99:>7} {ratio:>13.2}")
                })
            }
            Figures::Fleet(fleet) => {
                write!(f, "daemons     jobs/s  to one  connections each")?;
                fleet.crews.iter().try_for_each(|crew| {
                    let Crew { daemons, jobs_per_s, rate_to_first, .. } = crew;
                    let connections = crew.connections_per_daemon;
                    write!(
                        f,
                        "\n{daemons:>7} {jobs_per_s:>10.0} {rate_to_first:>7.2} {connections:>17}"
                    )
                })
            }
        }
    }
}

/// Jobs a second.
pub(super) fn rate(before: &Reading, after: &Reading, jobs: u64) -> f64 {
    rate_over(&[(*before, *after)], jobs)
}

/// Jobs a second, in several stretches together.
pub(super) fn rate_over(stretches: &[(Reading, Reading)], jobs: u64) -> f64 {
    let took: Duration =
        stretches.iter().map(|(before, after)| after.at.duration_since(before.at)).sum();
    tenths(float(jobs) / took.as_secs_f64().max(1e-6))
}

pub(super) fn wal_per_job(stretches: &[(Reading, Reading)], jobs: u64) -> f64 {
    let bytes: i64 = stretches
        .iter()
        .map(|(before, after)| after.wal_bytes.saturating_sub(before.wal_bytes))
        .sum();
    tenths(float(bytes.unsigned_abs()) / float(jobs))
}

/// Microseconds as milliseconds.
pub(super) fn millis(micros: u64) -> f64 {
    float(micros) / 1e3
}

pub(super) fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

pub(super) fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Of one figure to another; 0 where there is no other.
pub(super) fn ratio(figure: f64, other: f64) -> f64 {
    if other > 0.0 { (figure / other * 1000.0).round() / 1000.0 } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "figures are published to four digits")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let spread = Spread::of((0..=100).rev().map(f64::from));
        assert_eq!((spread.p50, spread.p95, spread.p99, spread.max), (50.0, 95.0, 99.0, 100.0));
        assert_eq!(Spread::of(std::iter::empty()).n, 0);
    }

    #[tokio::test]
    async fn a_server_whose_cpu_cannot_be_read_says_minus_one() {
        let at = tokio::time::Instant::now();
        let reading = Reading { at, wal_bytes: 0, server_cpu: None, own_cpu: 1.0 };
        let after = Reading { wal_bytes: 5000, own_cpu: 1.5, ..reading };
        let cost = Cost::between(&reading, &after, 10);
        assert_eq!((cost.pg_cpu_us_per_job, cost.worker_cpu_us_per_job), (-1.0, 50_000.0));
        assert!((cost.wal_bytes_per_job - 500.0).abs() < f64::EPSILON);
    }

    #[tokio::test]
    async fn stretches_are_added_up_without_what_lies_between() {
        let start = tokio::time::Instant::now();
        let reading = |seconds: u32, wal_bytes| Reading {
            at: start + Duration::from_secs(seconds.into()),
            wal_bytes,
            server_cpu: Some(f64::from(seconds)),
            own_cpu: f64::from(seconds) / 2.0,
        };
        let stretches = [(reading(0, 0), reading(1, 100)), (reading(5, 900), reading(8, 1200))];
        let cost = Cost::over(&stretches, 4);
        assert_eq!((cost.pg_cpu_s, cost.worker_cpu_s), (4.0, 2.0));
        assert_eq!((cost.wal_bytes_per_job, rate_over(&stretches, 4)), (100.0, 1.0));
    }
}
