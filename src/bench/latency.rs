//! How long a job waits when little happens: from the INSERT's answer to the handler's first act.
//!
//! Producer and daemon share the process, and so one clock. Connections insert at a fixed rate, one for
//! each 250 a second; the first second is dropped. The same INSERTs go into a bare table before, with no daemon,
//! so that what the queue costs the server can be told from what any INSERT does.

use super::{
    Bed, BenchError, Progress, SETTLE, beside,
    gauge::Gauge,
    handler::Stamps,
    or_stopped,
    report::{Cost, Figures, Latency, Report, Spread, millis, tenths},
    wait,
};
use crate::{daemon::Signals, postgres::BenchSession};
use futures::future::try_join_all;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

/// Inserts a second that one connection makes at most.
const RATE_EACH: u32 = 250;
/// How long the bare table is inserted into.
const BARE: Duration = Duration::from_secs(10);

/// When an insert was called and when it was answered.
type Call = (u64, u64);

pub(super) async fn measure(
    bed: &Bed<'_>,
    signals: &Signals,
    show: &impl Fn(Progress),
    rate: u32,
) -> Result<Report, BenchError> {
    let jobs = bed.bench.jobs + u64::from(rate);
    let stamps = Stamps::new(usize::try_from(jobs).unwrap_or(usize::MAX));
    let mut gauge = Gauge::new(bed.session()).await;
    let bare = or_stopped(signals, bare(bed, &mut gauge, rate, show)).await?;
    let producers = Producers { bed, rate, show };
    let work = async {
        sleep(SETTLE).await;
        let before = gauge.read().await?;
        let insert = async |session: &mut BenchSession, number| {
            let called = stamps.now();
            session.insert(number).await?;
            Ok((called, stamps.now()))
        };
        let calls = producers.insert(jobs, insert).await?;
        wait::handled(&stamps, jobs, |_| ()).await?;
        Ok((calls, Cost::between(&before, &gauge.read().await?, jobs)))
    };
    let daemon = vec![bed.daemon(&stamps)];
    let (calls, cost) = Box::pin(beside(daemon, signals, work)).await?;
    let warm = usize::try_from(rate).unwrap_or(usize::MAX);
    let starts = || calls.iter().copied().zip(stamps.started()).skip(warm);
    let spread = |from: fn((Call, u64)) -> u64| Spread::of(starts().map(from).map(millis));
    let above = cost.pg_cpu_us_per_job - bare.pg_cpu_us_per_job;
    let figures = Latency {
        rate,
        // Handled before the answer came is no wait.
        commit_to_start_ms: spread(|((_, answered), start)| start.saturating_sub(answered)),
        call_to_start_ms: spread(|((called, _), start)| start.saturating_sub(called)),
        insert_ms: spread(|((called, answered), _)| answered.saturating_sub(called)),
        pg_cpu_us_above_bare: if cost.pg_cpu_us_per_job < 0.0 { -1.0 } else { tenths(above) },
        bare,
        cost,
    };
    bed.report(jobs, Figures::Latency(figures)).await
}

/// What the INSERTs cost by themselves.
async fn bare(
    bed: &Bed<'_>,
    gauge: &mut Gauge,
    rate: u32,
    show: &impl Fn(Progress),
) -> Result<Cost, BenchError> {
    bed.session().make_bare_table().await?;
    let jobs = (u64::from(rate) * BARE.as_secs()).min(bed.bench.jobs);
    let before = gauge.read().await?;
    let insert = async |session: &mut BenchSession, number| Ok(session.insert_bare(number).await?);
    Producers { bed, rate, show }.insert(jobs, insert).await?;
    Ok(Cost::between(&before, &gauge.read().await?, jobs))
}

/// Connections that insert at one rate together.
struct Producers<'b, S> {
    bed: &'b Bed<'b>,
    rate: u32,
    show: &'b S,
}

impl<S: Fn(Progress)> Producers<'_, S> {
    /// Inserts so many jobs; gives what came of each, by its number. A late insert is followed at once by
    /// the next, so that the rate holds.
    async fn insert<T>(
        &self,
        jobs: u64,
        one: impl AsyncFn(&mut BenchSession, u64) -> Result<T, BenchError>,
    ) -> Result<Vec<T>, BenchError> {
        let producers = self.rate.div_ceil(RATE_EACH);
        let pause = Duration::from_secs(1) / self.rate;
        let began = Instant::now();
        let producer = async |first: u32| {
            let mut session = self.bed.session();
            let mut ticks = interval_at(began + pause * first, pause * producers);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut made = Vec::new();
            for number in (u64::from(first)..jobs).step_by(producers as usize) {
                ticks.tick().await;
                made.push((number, one(&mut session, number).await?));
                (self.show)(Progress { doing: "inserting", done: number + 1, of: jobs });
            }
            Ok::<_, BenchError>(made)
        };
        let made = try_join_all((0..producers).map(&producer)).await?;
        let mut made: Vec<_> = made.into_iter().flatten().collect();
        made.sort_by_key(|(number, _)| *number);
        Ok(made.into_iter().map(|(_, made)| made).collect())
    }
}
