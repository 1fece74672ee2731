//! How fast a backlog is worked off, from the daemon's start to the last row's end.
//!
//! The clock stops when the table is empty, not when the last handler ran: what counts is what is
//! durable.

use super::{
    Bed, BenchError, Progress, beside,
    gauge::Gauge,
    handler::Stamps,
    job, or_stopped,
    report::{Cost, Drain, Figures, Report, millis, rate, tenths, thousandths, wal_per_job},
    wait,
};
use crate::{daemon::Signals, postgres::BenchSession};

pub(super) async fn measure(
    bed: &Bed<'_>,
    signals: &Signals,
    show: &impl Fn(Progress),
) -> Result<Report, BenchError> {
    let jobs = bed.bench.jobs;
    let mut session = bed.session();
    let mut gauge = Gauge::new(bed.session()).await;
    let empty = gauge.read().await?;
    let pushed = |done| show(Progress { doing: "preloading", done, of: jobs });
    let preload = async { Ok(session.preload(&job(), 0..jobs, pushed).await?) };
    or_stopped(signals, preload).await?;
    let loaded = gauge.read().await?;
    or_stopped(signals, async { Ok(session.settle().await?) }).await?;

    let stamps = Stamps::new(0);
    let before = gauge.read().await?;
    let started = stamps.now();
    let drained = async {
        drained(&stamps, &mut session, jobs, show).await?;
        gauge.read().await
    };
    let after = beside(vec![bed.daemon(&stamps)], signals, drained).await?;
    let figures = Drain {
        wall_s: thousandths(after.at.duration_since(before.at).as_secs_f64()),
        jobs_per_s: rate(&before, &after, jobs),
        start_to_first_ms: tenths(millis(stamps.first().saturating_sub(started))),
        handled_twice: stamps.handled().cast_signed().saturating_sub_unsigned(jobs),
        preload_rows_per_s: rate(&empty, &loaded, jobs),
        preload_wal_per_job: wal_per_job(&[(empty, loaded)], jobs),
        cost: Cost::between(&before, &after, jobs),
    };
    bed.report(jobs, Figures::Drain(figures)).await
}

/// Until every job was handled, then until the table is empty.
pub(super) async fn drained(
    stamps: &Stamps,
    session: &mut BenchSession,
    jobs: u64,
    show: &impl Fn(Progress),
) -> Result<(), BenchError> {
    wait::handled(stamps, jobs, |done| show(Progress { doing: "draining", done, of: jobs }))
        .await?;
    wait::gone(session, jobs).await
}
