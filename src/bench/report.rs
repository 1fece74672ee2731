//! One line of figures, with the fields that every queue in the comparison prints.
//!
//! Pure arithmetic: what was read before and after goes in, what is published comes out.

use super::{Bench, CLAIM_BATCH, CONCURRENCY, FLUSH_MAX_ROWS, HEARTBEAT, gauge::Reading};
use serde::Serialize;
use std::fmt;

/// What came of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    peer: &'static str,
    mode: &'static str,
    n: u64,
    config: Config,
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
    pub(super) rate: u64,
    pub(super) commit_to_start_ms: Spread,
    pub(super) call_to_start_ms: Spread,
    pub(super) insert_ms: Spread,
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
}

/// What a stretch of work cost; −1 where the server's CPU can't be read.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    wal_bytes_per_job: f64,
    pg_cpu_s: f64,
    worker_cpu_s: f64,
    pg_cpu_us_per_job: f64,
    worker_cpu_us_per_job: f64,
}

impl Cost {
    pub(super) fn between(before: &Reading, after: &Reading, jobs: u64) -> Self {
        let server = before.server_cpu.zip(after.server_cpu).map(|(before, after)| after - before);
        let own = after.own_cpu - before.own_cpu;
        let each = |seconds: f64| tenths(seconds * 1e6 / float(jobs));
        Self {
            wal_bytes_per_job: wal_per_job(before, after, jobs),
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
    p99: f64,
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
    pub(super) fn new(bench: &Bench, jobs: u64, figures: Figures) -> Self {
        let config = Config {
            version: env!("CARGO_PKG_VERSION"),
            concurrency: CONCURRENCY,
            claim_batch: CLAIM_BATCH,
            flush_max_rows: FLUSH_MAX_ROWS,
            heartbeat_ms: HEARTBEAT.as_millis(),
            history: bench.history,
        };
        Self { peer: "legwork", mode: bench.work.as_str(), n: jobs, config, figures }
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
                write!(f, "{single:.0} single inserts/s, {bulk:.0} rows/s by COPY")
            }
        }
    }
}

/// Jobs a second.
pub(super) fn rate(before: &Reading, after: &Reading, jobs: u64) -> f64 {
    tenths(float(jobs) / after.at.duration_since(before.at).as_secs_f64().max(1e-6))
}

pub(super) fn wal_per_job(before: &Reading, after: &Reading, jobs: u64) -> f64 {
    let bytes = after.wal_bytes.saturating_sub(before.wal_bytes);
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

#[expect(clippy::cast_precision_loss, reason = "figures are published to four digits")]
fn float(count: u64) -> f64 {
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
}
