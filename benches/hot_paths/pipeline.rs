//! The whole way of a job, by the loops that the daemon runs: claim decode, dispatch, attempt, verdict,
//! batch. Source and sink lie in memory; the heartbeat beats on a thread of its own.

use crate::{
    jobs::{JOBS, claimed, failure},
    measure::measure,
    rooms::{Rooms, runtime, soon},
    seams::{Ours, Source, Written},
};
use divan::Bencher;
use legwork::{
    claimer::Bell,
    completer::verdict_channel,
    executor::{Context, Handler, HandlerFuture},
    handlers::Noop,
    heartbeat::{self, LeaseTimes, Publisher, Reports},
    supervise::Supervisor,
};
use sqlx::postgres::PgRow;
use std::{sync::Arc, thread, time::Duration};
use tokio::runtime::Runtime;
use tokio_util::sync::{CancellationToken, DropGuard};

#[divan::bench]
fn completed(bencher: Bencher<'_, '_>) {
    drain(bencher, "pipeline::completed", (claimed(false), Arc::new(Noop)));
}

/// Jobs with metadata and limits of their own.
#[divan::bench]
fn completed_rich(bencher: Bencher<'_, '_>) {
    drain(bencher, "pipeline::completed_rich", (claimed(true), Arc::new(Noop)));
}

/// Jobs that fail and are tried again later, each with its failed attempt.
#[divan::bench]
fn retried(bencher: Bencher<'_, '_>) {
    drain(bencher, "pipeline::retried", (claimed(false), Arc::new(Failing)));
}

struct Failing;

impl Handler for Failing {
    fn run<'a>(&'a self, _context: &'a Context) -> HandlerFuture<'a> {
        Box::pin(std::future::ready(failure()))
    }
}

type Work = (Vec<&'static PgRow>, Arc<dyn Handler>);

fn drain(bencher: Bencher<'_, '_>, path: &'static str, work: Work) {
    let pipeline = Pipeline::of(work);
    measure(bencher, (path, JOBS), || (), |()| pipeline.drain());
}

struct Pipeline {
    runtime: Runtime,
    source: Arc<Source>,
    bell: Bell,
    written: Written,
    _heartbeat: DropGuard,
}

impl Pipeline {
    fn of((rows, handler): Work) -> Self {
        let (publisher, leases) = heartbeat::leases();
        let heartbeat = beat(publisher);
        let (runtime, source) = (runtime(), Arc::new(Source::of(rows)));
        let (bell, written) = (Bell::default(), Written::default());
        runtime.block_on(async {
            // Before there are timers: while it waits for another thread, the clock would run through them.
            leases.current().await;
            let (rooms, (verdicts, inbox)) = (Rooms::new(), verdict_channel());
            rooms.completer(written.clone(), inbox);
            let lane = rooms.dispatcher(&handler, Vec::new(), verdicts);
            rooms.claimer(&source, lane, &bell, leases);
        });
        Self { runtime, source, bell, written, _heartbeat: heartbeat }
    }

    /// Puts the jobs in line, and waits until the last of them is written.
    fn drain(&self) {
        self.source.fill();
        self.bell.ring();
        self.runtime.block_on(soon(self.written.reach(JOBS)));
    }
}

/// Renews the leases until what this gives is dropped.
fn beat(publisher: Publisher) -> DropGuard {
    let stop = CancellationToken::new();
    let reports = Reports {
        lost: Arc::new(|_| {}),
        back: Arc::new(|| {}),
        renewed: Arc::new(|| {}),
        pulse: Arc::default(),
        runtime: None,
        stop: stop.clone(),
        retire: Arc::default(),
    };
    let times = LeaseTimes { interval: Duration::from_secs(5), ttl: Duration::from_secs(30) };
    let notes = Supervisor::default().thread("heartbeat");
    thread::spawn(move || heartbeat::run((Ours, times), reports, publisher, notes));
    stop.drop_guard()
}
