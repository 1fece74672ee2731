//! What is counted on a job's way.

use crate::{
    jobs::{JOBS, kind, queue},
    measure::measure,
};
use divan::{Bencher, black_box};
use legwork::telemetry::metrics::{AttemptEnd, Metrics};
use std::time::Duration;

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
