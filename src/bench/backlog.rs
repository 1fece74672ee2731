//! What a claim costs as jobs pile up: beside few waiting jobs, beside jobs of the future, jobs that
//! nobody serves and jobs of a paused queue, and with all of them waiting in line.
//!
//! Each stage handles the same number of jobs. The stages before the last are fed in small parts, so
//! that no more than a part waits; what is added at each stays, so the last has everything beside it.

use super::{
    Bed, BenchError, Progress, beside,
    handler::Stamps,
    job, or_stopped,
    report::{Backlog, Claims, Figures, Report, Stage, ratio},
    wait::handled,
};
use crate::{
    daemon::{Daemon, Signals},
    job::{KindName, QueueName},
    postgres::enqueue::NewJob,
};
use std::{sync::Arc, time::Duration};
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
        stages.push(Box::pin(few(bed, signals, show, (name, part))).await?);
    }
    or_stopped(signals, bed.fill(Some(&job()), bed.bench.jobs, show)).await?;
    stages.push(Box::pin(many(bed, signals, show, part)).await?);
    let first = stages.first().map_or(0.0, |stage| stage.claims.ms.p99);
    for stage in &mut stages {
        stage.claim_p99_to_first = ratio(stage.claims.ms.p99, first);
    }
    let figures = Backlog { handled: part, few: FEW.min(part), stages };
    Ok(bed.report(bed.bench.jobs, Figures::Backlog(figures)))
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
    /// Adds what piles up, and lets the server take note of it.
    async fn fill(
        &self,
        like: Option<&NewJob>,
        jobs: u64,
        show: &impl Fn(Progress),
    ) -> Result<(), BenchError> {
        let mut session = self.session();
        session.pause(&paused()).await?;
        if let Some(like) = like {
            let copied = |done| show(Progress { doing: "piling up", done, of: jobs });
            session.preload(like, 0..jobs, copied).await?;
        }
        Ok(session.settle().await?)
    }

    fn watched(&self) -> (Arc<Stamps>, Daemon) {
        let stamps = Stamps::new(0);
        let daemon = self.daemon(&stamps);
        daemon.metrics().claims.keep();
        (stamps, daemon)
    }
}

/// Handles `jobs` that come in parts.
async fn few(
    bed: &Bed<'_>,
    signals: &Signals,
    show: &impl Fn(Progress),
    (name, jobs): (&'static str, u64),
) -> Result<Stage, BenchError> {
    let (stamps, daemon) = bed.watched();
    let metrics = daemon.metrics();
    let work = async {
        let mut pushed = 0;
        while pushed < jobs {
            let until = (pushed + FEW).min(jobs);
            bed.session().preload(&job(), pushed..until, |_| ()).await?;
            handled(&stamps, until, |done| show(Progress { doing: name, done, of: jobs })).await?;
            pushed = until;
        }
        Ok(())
    };
    Box::pin(beside(vec![daemon], signals, work)).await?;
    Ok(Stage::new(name, Claims::of(&metrics.claims.take())))
}

/// Handles the first of all that wait.
async fn many(
    bed: &Bed<'_>,
    signals: &Signals,
    show: &impl Fn(Progress),
    jobs: u64,
) -> Result<Stage, BenchError> {
    let (stamps, daemon) = bed.watched();
    let metrics = daemon.metrics();
    let name = "many";
    let work = handled(&stamps, jobs, |done| show(Progress { doing: name, done, of: jobs }));
    Box::pin(beside(vec![daemon], signals, work)).await?;
    Ok(Stage::new(name, Claims::of(&metrics.claims.take())))
}
