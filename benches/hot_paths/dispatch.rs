//! A claimed batch through the dispatcher's gate to the workers, and each job's attempt, which does
//! nothing, to its verdict.

use crate::{
    jobs::{JOBS, job},
    measure::measure,
    rate_limit::limiter,
    rooms::{Rooms, SLOTS, runtime, soon},
};
use divan::Bencher;
use legwork::{
    completer::verdict_channel,
    dispatcher::Limiter,
    executor::Handler,
    handlers::Noop,
    worker::{Assignment, Slots},
};
use std::{sync::Arc, time::Duration};
use tokio::time::advance;

#[divan::bench]
fn unlimited(bencher: Bencher<'_, '_>) {
    dispatch(bencher, "dispatch::unlimited", Vec::new());
}

/// Under two limits that hold nothing back: what asking costs.
#[divan::bench]
fn limited(bencher: Bencher<'_, '_>) {
    let limiters = ["1000000/s burst 1000000"; 2].map(|limit| Arc::new(limiter(limit)));
    dispatch(bencher, "dispatch::limited", limiters.into());
}

fn dispatch(bencher: Bencher<'_, '_>, path: &'static str, limiters: Vec<Arc<Limiter>>) {
    let (runtime, places) = (runtime(), Slots::new(SLOTS));
    let (verdicts, mut inbox) = verdict_channel();
    let handler: Arc<dyn Handler> = Arc::new(Noop);
    let lane = runtime.block_on(async { Rooms::new().dispatcher(&handler, limiters, verdicts) });
    let batch = || {
        runtime.block_on(async {
            // Lets a second's permits come.
            advance(Duration::from_secs(1)).await;
            let mut places = places.reserve(JOBS, false).await.expect("they are open");
            let assigned = |id| Some(Assignment { job: job(id), slot: places.take()? });
            (1..=JOBS).filter_map(assigned).collect::<Vec<_>>()
        })
    };
    let through = |batch: Vec<Assignment>| {
        runtime.block_on(soon(async {
            let (jobs, mut settled) = (batch.len(), Vec::with_capacity(batch.len()));
            lane.outbox.send(batch).await.expect("the dispatcher lives");
            while settled.len() < jobs {
                let more = inbox.recv_many(&mut settled, jobs).await;
                assert_ne!(more, 0, "the pool lives");
            }
            settled
        }))
    };
    measure(bencher, (path, JOBS), batch, through);
}
