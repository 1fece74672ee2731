//! How the rate holds as daemons are added: the same drain by one daemon, by two, by four.
//!
//! The daemons share this process, so its CPU is that of all; their identities, connections, heartbeats
//! and completers are each one's own.

use super::{
    Bed, BenchError, Progress, beside, drain,
    gauge::Gauge,
    handler::Stamps,
    job, or_stopped,
    report::{Cost, Crew, Figures, Fleet, Report, float, rate, ratio, tenths},
    wait,
};
use crate::daemon::Signals;
use std::iter::successors;

pub(super) async fn measure(
    bed: &Bed<'_>,
    signals: &Signals,
    show: &impl Fn(Progress),
    daemons: u32,
) -> Result<Report, BenchError> {
    let mut crews = Vec::new();
    for daemons in sizes(daemons) {
        let crew = Box::pin(one(bed, signals, show, daemons)).await?;
        crews.push(crew);
    }
    let first = crews.first().map_or(0.0, |crew| crew.jobs_per_s);
    for crew in &mut crews {
        crew.rate_to_first = ratio(crew.jobs_per_s, first);
    }
    bed.report(bed.bench.jobs, Figures::Fleet(Fleet { crews })).await
}

/// 1, 2, 4 … and at last as many as were asked for.
fn sizes(most: u32) -> impl Iterator<Item = u32> {
    successors(Some(1_u32), |size| size.checked_mul(2))
        .take_while(move |size| *size < most)
        .chain([most])
}

/// The drain by so many daemons.
async fn one(
    bed: &Bed<'_>,
    signals: &Signals,
    show: &impl Fn(Progress),
    daemons: u32,
) -> Result<Crew, BenchError> {
    let jobs = bed.bench.jobs;
    let (mut session, mut gauge) = (bed.session(), Gauge::new(bed.session()).await);
    let loading = async {
        let copied = |done| show(Progress { doing: "preloading", done, of: jobs });
        // Daemons of the crew before are dead, and each new one would look for jobs of theirs.
        session.forget_daemons().await?;
        session.preload(&job(), 0..jobs, copied).await?;
        Ok(session.settle().await?)
    };
    or_stopped(signals, loading).await?;
    let stamps = Stamps::new(0);
    let before = gauge.read().await?;
    let mut connections = 0;
    let drained = async {
        // Half way, each is at work.
        wait::handled(&stamps, jobs / 2, |_| ()).await?;
        connections = session.connections().await?;
        drain::drained(&stamps, &mut session, jobs, show).await?;
        gauge.read().await
    };
    let crew = (0..daemons).map(|_| bed.daemon(&stamps)).collect();
    let after = beside(crew, signals, drained).await?;
    Ok(Crew {
        daemons,
        jobs_per_s: rate(&before, &after, jobs),
        rate_to_first: 1.0,
        connections_per_daemon: tenths(float(connections.unsigned_abs()) / f64::from(daemons)),
        handled_twice: stamps.handled().cast_signed().saturating_sub_unsigned(jobs),
        dead_rows: bed.dead_rows().await?,
        cost: Cost::between(&before, &after, jobs),
    })
}

#[cfg(test)]
mod tests {
    use super::sizes;
    use rstest::rstest;

    #[rstest]
    #[case::one(1, &[1])]
    #[case::two(2, &[1, 2])]
    #[case::between(6, &[1, 2, 4, 6])]
    #[case::eight(8, &[1, 2, 4, 8])]
    fn a_fleet_grows_by_doubling(#[case] most: u32, #[case] expected: &[u32]) {
        assert_eq!(sizes(most).collect::<Vec<_>>(), expected);
    }
}
