//! What a claim costs as jobs pile up: beside few waiting jobs, beside jobs of the future, jobs that
//! nobody serves and jobs of a paused queue, and with all of them waiting in line.
//!
//! Each stage handles the same number of jobs, which come while it does, so that what waits stays as much. What is
//! added at each stage stays, so the last has everything beside it.

use super::{
    Bed, BenchError, Progress, beside,
    gauge::Gauge,
    handler::Stamps,
    job, or_stopped,
    report::{Backlog, Claims, Cost, Figures, Report, Stage, rate, ratio},
    wait::handled,
};
use crate::{
    daemon::Signals,
    job::{KindName, QueueName},
    postgres::enqueue::NewJob,
};
use std::time::Duration;
use time::OffsetDateTime;

/// Jobs that wait at most while few wait.
const FEW: u64 = 10_000;
/// Of the jobs that wait in line at last, each stage handles one part in so many, and as many are beside.
const PARTS: u64 = 10;
/// When the jobs of the future are due.
const FUTURE: Duration = Duration::from_hours(24);

pub(super) async fn measure(
    bed: &Bed<'_>,
    signals: &Signals,
    show: &impl Fn(Progress),
) -> Result<Report, BenchError> {
    let part = (bed.bench.jobs / PARTS).max(1);
    let mut stages = Vec::new();
    for (name, beside) in besides() {
        or_stopped(signals, bed.fill(beside.as_ref(), part, show)).await?;
        stages.push(Box::pin(fed(bed, signals, show, (name, part))).await?);
    }
    or_stopped(signals, bed.fill(Some(&job()), bed.bench.jobs, show)).await?;
    stages.push(Box::pin(fed(bed, signals, show, ("many", part))).await?);
    let first = stages.first().map_or(0.0, |stage| stage.claims.ms.p99);
    for stage in &mut stages {
        stage.claim_p99_to_first = ratio(stage.claims.ms.p99, first);
    }
    let figures = Backlog { handled: part, few: FEW.min(part), stages };
    bed.report(bed.bench.jobs, Figures::Backlog(figures)).await
}

/// What piles up beside few waiting jobs, stage by stage.
fn besides() -> [(&'static str, Option<NewJob>); 4] {
    let future = NewJob { run_at: Some(OffsetDateTime::now_utc() + FUTURE), ..job() };
    let unserved = NewJob::new(KindName::new("unserved").expect("a name"));
    let paused = NewJob { queue: Some(paused()), ..job() };
    [
        ("few", None),
        ("beside_scheduled", Some(future)),
        ("beside_unserved", Some(unserved)),
        ("beside_paused", Some(paused)),
    ]
}

/// The queue that is served and paused.
pub(super) fn paused() -> QueueName {
    QueueName::new("paused").expect("a name")
}

impl Bed<'_> {
    /// Adds what piles up, and lets the server take note of it. The checkpoint comes before: what piled up is then
    /// dirty already, as while it keeps coming, and no claim is the first since one to write to its pages.
    async fn fill(
        &self,
        like: Option<&NewJob>,
        jobs: u64,
        show: &impl Fn(Progress),
    ) -> Result<(), BenchError> {
        let mut session = self.session();
        session.pause(&paused()).await?;
        session.checkpoint().await?;
        if let Some(like) = like {
            let copied = |done| show(Progress { doing: "piling up", done, of: jobs });
            session.preload(like, 0..jobs, copied).await?;
        }
        Ok(session.analyse().await?)
    }
}

/// Handles `jobs`, and as many come meanwhile: half of [`FEW`] whenever half are done. So what differs between stages
/// is what waits, and not what else the machine does.
async fn fed(
    bed: &Bed<'_>,
    signals: &Signals,
    show: &impl Fn(Progress),
    (name, jobs): (&'static str, u64),
) -> Result<Stage, BenchError> {
    let (stamps, mut gauge) = (Stamps::new(0), Gauge::new(bed.session()).await);
    let daemon = bed.daemon(&stamps);
    let metrics = daemon.metrics();
    metrics.claims.keep();
    let work = async {
        let before = gauge.read().await?;
        let done = |done| show(Progress { doing: name, done, of: jobs });
        let mut pushed = 0;
        while pushed < jobs {
            let until = (pushed + FEW / 2).min(jobs);
            bed.session().preload(&job(), pushed..until, |_| ()).await?;
            handled(&stamps, until.saturating_sub(FEW / 2), done).await?;
            pushed = until;
        }
        handled(&stamps, jobs, done).await?;
        let after = gauge.read().await?;
        Ok(Stage {
            name,
            jobs_per_s: rate(&before, &after, jobs),
            claim_p99_to_first: 1.0,
            claims: Claims::of(&metrics.claims.take()),
            dead_rows: 0,
            cost: Cost::between(&before, &after, jobs),
        })
    };
    let stage = Box::pin(beside(vec![daemon], signals, work)).await?;
    Ok(Stage { dead_rows: bed.dead_rows().await?, ..stage })
}
