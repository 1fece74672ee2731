//! How the rate holds while a snapshot is held: an idle transaction from before the first job, and
//! jobs churned through in slices.
//!
//! Each slice comes by one COPY while the daemon runs, so all of it is there at once. Its clock runs from
//! the commit to the last handler: looking whether the table is empty would mean to read every dead row
//! of the run, which is what is measured. That it is empty is looked at once, at the end.

use super::{
    Bed, BenchError, Progress, SETTLE, beside,
    gauge::Gauge,
    handler::Stamps,
    job, or_stopped,
    report::{Claims, Cost, Figures, Pinned, Report, Slice, rate, ratio},
    wait,
};
use crate::daemon::Signals;
use tokio::time::sleep;

/// Parts of a run; the last is compared with the first.
const SLICES: u64 = 10;

pub(super) async fn measure(
    bed: &Bed<'_>,
    signals: &Signals,
    show: &impl Fn(Progress),
) -> Result<Report, BenchError> {
    let jobs = bed.bench.jobs;
    let mut gauge = Gauge::new(bed.session()).await;
    let mut pin = bed.session();
    or_stopped(signals, async { Ok(pin.pin().await?) }).await?;
    let stamps = Stamps::new(0);
    let daemon = bed.daemon(&stamps);
    let metrics = daemon.metrics();
    metrics.claims.keep();
    let work = async {
        // Or the first slice would have the daemon's start in it, and the last look the better for it.
        sleep(SETTLE).await;
        let mut slices = Vec::new();
        let mut pushed = 0;
        for slice in 1..=SLICES {
            let until = jobs * slice / SLICES;
            let copied = |done| show(Progress { doing: "copying", done: pushed + done, of: jobs });
            bed.session().preload(&job(), pushed..until, copied).await?;
            let before = gauge.read().await?;
            let drained = |done| show(Progress { doing: "draining", done, of: jobs });
            wait::handled(&stamps, until, drained).await?;
            let after = gauge.read().await?;
            slices.push(Slice {
                jobs_per_s: rate(&before, &after, until - pushed),
                claims: Claims::of(&metrics.claims.take()),
                dead_rows: gauge.dead_rows().await?,
                cost: Cost::between(&before, &after, until - pushed),
            });
            pushed = until;
        }
        wait::gone(&mut bed.session(), jobs).await?;
        Ok(slices)
    };
    let slices = Box::pin(beside(vec![daemon], signals, work)).await?;
    let ends = slices.first().zip(slices.last());
    let of = |figure: fn(&Slice) -> f64| {
        ends.map_or(0.0, |(first, last)| ratio(figure(last), figure(first)))
    };
    let figures = Pinned {
        last_to_first_rate: of(|slice| slice.jobs_per_s),
        last_to_first_claim_p99: of(|slice| slice.claims.ms.p99),
        handled_twice: stamps.handled().cast_signed().saturating_sub_unsigned(jobs),
        slices,
    };
    let report = bed.report(jobs, Figures::Pinned(figures)).await;
    drop(pin);
    report
}
