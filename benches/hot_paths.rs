//! The steps that every job passes and that need no database: marks, verdicts, batches, COPY rows.
//!
//! They exist so that an allocation or a slow path that creeps in is seen before it is felt; the
//! allocations of each are counted beside its time. What the daemon does as a whole is measured by
//! `legwork bench`, not here.

#![allow(missing_docs, reason = "a benchmark has no readers of its documentation")]

use divan::{AllocProfiler, Bencher, black_box, counter::ItemsCount};
use legwork::{
    claimer::{LEVELS, Marks},
    completer::{Batch, Settled},
    config::Retentions,
    job::{
        Backoff, ClaimedJob, Ending, JobError, JobId, KindName, KindPolicy, Lease, Outcome,
        QueueName, Retention, Verdict, rule,
    },
    postgres::enqueue::{NewJob, encode_row},
};
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// Jobs of one claim and of one flush.
const BATCH: u32 = 1000;

fn main() {
    divan::main();
}

fn queue() -> QueueName {
    QueueName::new("default").expect("a name")
}

fn kind() -> KindName {
    KindName::new("resize").expect("a name")
}

fn job(id: i64) -> ClaimedJob {
    ClaimedJob {
        lease: Lease { job: JobId(id), token: 1, holder: 7 },
        seq: id,
        priority: 0,
        charged: 0,
        rescues: 0,
        snoozes: 0,
        max_attempts: None,
        queue: queue(),
        kind: kind(),
        payload: r#"{"width": 640}"#.into(),
        timeout: None,
        expired: false,
        waited: Duration::ZERO,
        metadata: None,
    }
}

fn policy() -> KindPolicy {
    KindPolicy {
        max_attempts: 20,
        backoff: Backoff::new(Duration::from_secs(2), 2.0, Duration::from_secs(3600), 0.2)
            .expect("2 s is below an hour"),
        timeout: Duration::from_secs(300),
        max_rescues: 3,
        max_snoozes: 100,
    }
}

/// Where a claim looks.
#[divan::bench]
fn marks_probe(bencher: Bencher<'_, '_>) {
    let now = Instant::now();
    let marks = Marks::new(now);
    bencher.bench_local(|| marks.probe(black_box(now)));
}

/// What a full claim teaches, with every level in use.
#[divan::bench]
fn marks_learn(bencher: Bencher<'_, '_>) {
    let now = Instant::now();
    let mut marks = Marks::new(now);
    let probe = marks.probe(now);
    let rows: Vec<(i16, i64)> = LEVELS.iter().copied().cycle().zip(0..i64::from(BATCH)).collect();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        marks.learn(&probe, black_box(&rows).iter().copied(), true, i64::from(BATCH));
    });
}

/// The verdict on a job that was done.
#[divan::bench]
fn rule_complete(bencher: Bencher<'_, '_>) {
    let (job, policy) = (job(1), policy());
    let done = || Ending::Decided(Outcome::Complete { result: None });
    bencher.with_inputs(done).bench_values(|ending| rule(ending, &job, &policy, 0.5));
}

/// The verdict on a job that failed, with its backoff.
#[divan::bench]
fn rule_retry(bencher: Bencher<'_, '_>) {
    let (job, policy) = (job(1), policy());
    let failed = || {
        let error = JobError::new("the server answered 503".to_owned());
        Ending::Decided(Outcome::Retry { error, after: None })
    };
    bencher.with_inputs(failed).bench_values(|ending| rule(ending, &job, &policy, 0.5));
}

/// One flush of finished jobs, with history and without.
#[divan::bench(args = [true, false])]
fn batch_sort(bencher: Bencher<'_, '_>, history: bool) {
    let none = Retentions {
        completed: Retention::None,
        cancelled: Retention::None,
        discarded: Retention::None,
    };
    let kept = if history { Retentions::default() } else { none };
    let retention = HashMap::from([(queue(), kept)]);
    let settled = |id| Settled::unstarted(&job(id), Verdict::Complete { result: None }, None);
    let verdicts = || (0..i64::from(BATCH)).map(settled).collect::<Vec<_>>();
    bencher
        .counter(ItemsCount::new(BATCH))
        .with_inputs(verdicts)
        .bench_values(|verdicts| Batch::sort(verdicts, &retention));
}

/// One row on its way into COPY.
#[divan::bench]
fn copy_row(bencher: Bencher<'_, '_>) {
    let mut new = NewJob::new(kind());
    new.payload = Some(r#"{"seq":123456,"path":"a\\b"}"#.into());
    let mut buffer = Vec::with_capacity(64 * 1024);
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        buffer.clear();
        encode_row(black_box(&new), &mut buffer);
    });
}
