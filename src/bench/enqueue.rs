//! How fast jobs come in: single inserts by several callers, then one COPY. No daemon runs.

use super::{
    Bed, BenchError, Progress,
    gauge::Gauge,
    report::{Cost, Enqueue, Figures, Report, rate},
};
use crate::postgres::BenchSession;
use futures::future::try_join_all;
use std::{cell::Cell, time::Duration};
use tokio::time::Instant;

/// Callers that insert at the same time.
const CALLERS: usize = 4;
/// How long they do.
const SINGLES: Duration = Duration::from_secs(5);

pub(super) async fn measure(bed: &Bed<'_>, show: &impl Fn(Progress)) -> Result<Report, BenchError> {
    let jobs = bed.bench.jobs;
    let mut gauge = Gauge::new(bed.session()).await;
    let next = Cell::new(0);
    let mut callers: Vec<_> = (0..CALLERS).map(|_| bed.session()).collect();
    let before = gauge.read().await?;
    try_join_all(callers.iter_mut().map(|session| insert(session, &next, show))).await?;
    let middle = gauge.read().await?;
    let singles = next.get();
    let pushed = |done| show(Progress { doing: "copying", done, of: jobs });
    bed.session().preload(&bed.kind, singles..singles + jobs, pushed).await?;
    let after = gauge.read().await?;
    let figures = Enqueue {
        conns: CALLERS,
        single_per_s: rate(&before, &middle, singles),
        single: Cost::between(&before, &middle, singles),
        bulk_rows_per_s: rate(&middle, &after, jobs),
        bulk: Cost::between(&middle, &after, jobs),
    };
    Ok(Report::new(bed.bench, jobs, Figures::Enqueue(figures)))
}

/// One caller.
async fn insert(
    session: &mut BenchSession,
    next: &Cell<u64>,
    show: &impl Fn(Progress),
) -> Result<(), BenchError> {
    let until = Instant::now() + SINGLES;
    while Instant::now() < until {
        let number = next.replace(next.get() + 1);
        session.insert(number).await?;
        show(Progress { doing: "inserting one by one", done: number, of: 0 });
    }
    Ok(())
}
