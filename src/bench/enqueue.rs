//! How fast jobs come in: single inserts by several callers, one COPY, and single inserts beside a daemon.
//!
//! The last two also go into a bare table, which has the columns, defaults and indexes of `legwork.job` and no
//! trigger. Beside the daemon,
//! which handles what comes, the two take turns, so that a machine that becomes slower does so for both.

use super::{
    Bed, BenchError, Progress, SETTLE, beside,
    gauge::{Gauge, Reading},
    handler::Stamps,
    job, or_stopped,
    report::{Cost, Enqueue, Figures, Inserts, Report, float, rate, rate_over, ratio, tenths},
};
use crate::{daemon::Signals, postgres::BenchSession};
use futures::future::try_join_all;
use std::{cell::Cell, time::Duration};
use tokio::time::{Instant, sleep};

/// Callers that insert at the same time while no daemon runs.
const CALLERS: u16 = 4;
/// Turns of the two tables.
const TURNS: u32 = 4;

pub(super) async fn measure(
    bed: &Bed<'_>,
    signals: &Signals,
    show: &impl Fn(Progress),
    (clients, each): (&[u16], Duration),
) -> Result<Report, BenchError> {
    let jobs = bed.bench.jobs;
    let mut gauge = Gauge::new(bed.session()).await;
    let next = Cell::new(0);
    let alone = async {
        bed.session().make_bare_table().await?;
        let inserts = Callers { bed, next: &next, show };
        let insert = async |s: &mut BenchSession, n| Ok(s.insert(n).await?);
        let (before, middle) = inserts.for_a_while(&mut gauge, CALLERS, each, insert).await?;
        let singles = next.get();
        let pushed = |done| show(Progress { doing: "copying", done, of: jobs });
        bed.session().preload(&job(), singles..singles + jobs, pushed).await?;
        let after = gauge.read().await?;
        let bare = bare_copy(bed, jobs).await?;
        Ok((before, middle, after, singles, bare))
    };
    let (before, middle, after, singles, bare) = or_stopped(signals, alone).await?;
    let bulk_rows_per_s = rate(&middle, &after, jobs);
    let figures = Enqueue {
        conns: CALLERS.into(),
        single_per_s: rate(&before, &middle, singles),
        single: Cost::between(&before, &middle, singles),
        bulk_rows_per_s,
        bulk: Cost::between(&middle, &after, jobs),
        bare_bulk_rows_per_s: bare,
        bulk_to_bare: ratio(bulk_rows_per_s, bare),
        beside_daemon: beside_daemon(bed, signals, show, (clients, each)).await?,
    };
    bed.report(jobs, Figures::Enqueue(figures)).await
}

/// Rows a second of a COPY into the bare table.
async fn bare_copy(bed: &Bed<'_>, jobs: u64) -> Result<f64, BenchError> {
    let began = Cell::new(Instant::now());
    let ready = async || began.set(Instant::now());
    bed.session().copy_bare(&job(), 0..jobs, ready).await?;
    Ok(tenths(float(jobs) / began.get().elapsed().as_secs_f64().max(1e-6)))
}

async fn beside_daemon(
    bed: &Bed<'_>,
    signals: &Signals,
    show: &impl Fn(Progress),
    (clients, each): (&[u16], Duration),
) -> Result<Vec<Inserts>, BenchError> {
    let stamps = Stamps::new(0);
    let (jobs, bare) = (Cell::new(0), Cell::new(0));
    let mut gauge = Gauge::new(bed.session()).await;
    let work = async {
        sleep(SETTLE).await;
        let (into_jobs, into_bare) =
            (Callers { bed, next: &jobs, show }, Callers { bed, next: &bare, show });
        let mut all = Vec::new();
        for &clients in clients {
            let (mut turns, mut bare_turns) = (Vec::new(), Vec::new());
            let (before, before_bare) = (jobs.get(), bare.get());
            for _ in 0..TURNS {
                let each = each / TURNS;
                let insert = async |s: &mut BenchSession, n| Ok(s.insert_bare(n).await?);
                bare_turns.push(into_bare.for_a_while(&mut gauge, clients, each, insert).await?);
                let insert = async |s: &mut BenchSession, n| Ok(s.insert(n).await?);
                turns.push(into_jobs.for_a_while(&mut gauge, clients, each, insert).await?);
            }
            let (count, bare_count) = (jobs.get() - before, bare.get() - before_bare);
            let (per_s, bare_per_s) =
                (rate_over(&turns, count), rate_over(&bare_turns, bare_count));
            all.push(Inserts {
                clients,
                per_s,
                bare_per_s,
                to_bare: ratio(per_s, bare_per_s),
                cost: Cost::over(&turns, count),
                bare: Cost::over(&bare_turns, bare_count),
            });
        }
        Ok(all)
    };
    Box::pin(beside(vec![bed.daemon(&stamps)], signals, work)).await
}

/// Clients that insert one by one, each as fast as it is answered.
struct Callers<'b, S> {
    bed: &'b Bed<'b>,
    /// The next job's number, and how many there were.
    next: &'b Cell<u64>,
    show: &'b S,
}

impl<S: Fn(Progress)> Callers<'_, S> {
    /// Reads the counters before the first insert, when all are connected, and after the last answer.
    async fn for_a_while(
        &self,
        gauge: &mut Gauge,
        clients: u16,
        each: Duration,
        insert: impl AsyncFn(&mut BenchSession, u64) -> Result<(), BenchError>,
    ) -> Result<(Reading, Reading), BenchError> {
        let mut sessions: Vec<_> = (0..clients).map(|_| self.bed.session()).collect();
        try_join_all(sessions.iter_mut().map(BenchSession::wal_bytes)).await?;
        let before = gauge.read().await?;
        let began = Instant::now();
        let client = async |session: &mut BenchSession| {
            while began.elapsed() < each {
                let number = self.next.replace(self.next.get() + 1);
                insert(session, number).await?;
                (self.show)(Progress { doing: "inserting one by one", done: number, of: 0 });
            }
            Ok::<_, BenchError>(())
        };
        try_join_all(sessions.iter_mut().map(&client)).await?;
        Ok((before, gauge.read().await?))
    }
}
