//! How long a job waits when little happens: from the INSERT's answer to the handler's first act.
//!
//! Producer and daemon share the process, and so one clock. One connection inserts at a fixed rate;
//! the first second is dropped.

use super::{
    Bed, BenchError, LIMIT, Progress, beside,
    gauge::Gauge,
    handler::Stamps,
    report::{Cost, Figures, Latency, Report, Spread, millis},
};
use crate::{daemon::Signals, postgres::BenchSession};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// Inserts a second.
const RATE: u64 = 100;
/// Until the daemon listens and the doorbell is on.
const SETTLE: Duration = Duration::from_millis(1500);
/// Between two looks for the last job.
const LOOK: Duration = Duration::from_millis(2);

/// When an insert was called and when it was answered.
type Call = (u64, u64);

pub(super) async fn measure(
    bed: &Bed<'_>,
    signals: &Signals,
    show: &impl Fn(Progress),
) -> Result<Report, BenchError> {
    let jobs = bed.bench.jobs + RATE;
    let stamps = Stamps::new(usize::try_from(jobs).unwrap_or(usize::MAX));
    let mut session = bed.session();
    let mut gauge = Gauge::new(bed.session()).await;
    let work = async {
        sleep(SETTLE).await;
        let before = gauge.read().await?;
        let calls = produce(&stamps, &mut session, jobs, show).await?;
        wait(&stamps, jobs).await?;
        Ok((calls, Cost::between(&before, &gauge.read().await?, jobs)))
    };
    let (calls, cost) = Box::pin(beside(bed.daemon(&stamps), signals, work)).await?;
    let warm = usize::try_from(RATE).unwrap_or(usize::MAX);
    let starts = || calls.iter().copied().zip(stamps.started()).skip(warm);
    let spread = |from: fn((Call, u64)) -> u64| Spread::of(starts().map(from).map(millis));
    let figures = Latency {
        rate: RATE,
        // Handled before the answer came is no wait.
        commit_to_start_ms: spread(|((_, answered), start)| start.saturating_sub(answered)),
        call_to_start_ms: spread(|((called, _), start)| start.saturating_sub(called)),
        insert_ms: spread(|((called, answered), _)| answered.saturating_sub(called)),
        cost,
    };
    Ok(Report::new(bed.bench, jobs, Figures::Latency(figures)))
}

/// Inserts at the rate. A late insert is followed at once by the next, so that the rate holds.
async fn produce(
    stamps: &Stamps,
    session: &mut BenchSession,
    jobs: u64,
    show: &impl Fn(Progress),
) -> Result<Vec<Call>, BenchError> {
    let mut calls = Vec::with_capacity(usize::try_from(jobs).unwrap_or(0));
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(RATE).unwrap_or(u32::MAX));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..jobs {
        ticks.tick().await;
        let called = stamps.now();
        session.insert(number).await?;
        calls.push((called, stamps.now()));
        show(Progress { doing: "inserting", done: number + 1, of: jobs });
    }
    Ok(calls)
}

async fn wait(stamps: &Stamps, jobs: u64) -> Result<(), BenchError> {
    let began = Instant::now();
    while stamps.handled() < jobs {
        if began.elapsed() > LIMIT {
            return Err(BenchError::Limit { done: stamps.handled(), of: jobs });
        }
        sleep(LOOK).await;
    }
    Ok(())
}
