//! What is counted on a job's way, and the page that shows it.

use crate::{
    jobs::{JOBS, kind, queue},
    measure::{measure, measure_roughly},
};
use divan::{Bencher, black_box};
use legwork::{
    config,
    job::{KindName, QueueName},
    telemetry::metrics::{AttemptEnd, Metrics},
};
use std::time::Duration;

/// As many as a file may name, and more pairs than have lines of their own.
const QUEUES: usize = 256;
const KINDS: usize = 1024;
const PAIRS: usize = 1100;

/// All that is recorded of one job which is completed.
#[divan::bench]
fn of_a_job(bencher: Bencher<'_, '_>) {
    let metrics = Metrics::default();
    let (of_queue, of_job) = (metrics.queue(&queue()), metrics.job(&queue(), &kind()));
    let record = || {
        let seconds = black_box(0.001);
        let running = of_job.begins(|| Duration::ZERO);
        of_queue.queue_wait_seconds.record(seconds);
        of_job.ran(black_box(Duration::from_millis(1)), None);
        of_job.finished(AttemptEnd::Completed, 1);
        drop(running);
    };
    measure(bencher, ("metrics::of_a_job", JOBS), || (), |()| (0..JOBS).for_each(|_| record()));
}

/// All that is recorded of a batch of jobs, from its claim to its flush.
#[divan::bench]
fn of_a_batch(bencher: Bencher<'_, '_>) {
    let metrics = Metrics::default();
    let (of_queue, finish) = (metrics.queue(&queue()), metrics.flush("finish"));
    let took = Duration::from_millis(5);
    measure(
        bencher,
        ("metrics::of_a_batch", JOBS),
        || (),
        |()| {
            of_queue.poll.answered(JOBS as usize, black_box(took));
            of_queue.channel_send_wait_seconds.record(took.as_secs_f64());
            finish.flushed(JOBS as usize, took, true);
            metrics.daemon.flush_pending_rows.set(f64::from(JOBS));
        },
    );
}

/// The longest page that a file can make: all its queues and kinds, each kind a program that has a rate limit and has run.
#[divan::bench]
fn page(bencher: Bencher<'_, '_>) {
    let settings = config::Metrics { max_kinds: KINDS };
    let metrics = Metrics::new(&settings);
    let queue = |n: usize| QueueName::new(&format!("queue-{}", n % QUEUES)).expect("a name");
    let kind = |n: usize| KindName::new(&format!("kind-{}", n % KINDS)).expect("a name");
    let queues: Vec<_> = (0..QUEUES).map(|n| metrics.queue(&queue(n))).collect();
    let programs: Vec<_> = (0..KINDS).map(|n| metrics.command(&kind(n))).collect();
    let limiters: Vec<_> =
        (0..KINDS).map(|n| metrics.limiter(&format!("kind:{}", kind(n).as_str()))).collect();
    let pairs: Vec<_> = (0..PAIRS).map(|n| metrics.job(&queue(n), &kind(n))).collect();
    for pair in &pairs {
        drop(pair.begins(|| Duration::ZERO));
        pair.ran(Duration::from_millis(1), None);
        pair.finished(AttemptEnd::Completed, 1);
    }
    // A few of its allocations are a name of each descriptor that the process has open.
    measure_roughly(bencher, ("metrics::page", 1, 1000), || (), |()| metrics.render());
    drop((queues, programs, limiters, pairs));
}
