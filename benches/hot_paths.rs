//! The steps that every job passes in the daemon: claimed rows, marks, verdicts, batches, COPY rows.
//!
//! They exist so that an allocation or a slow path that creeps in is seen before it is felt; the
//! allocations of each are counted beside its time. No step waits for a database while it is measured;
//! a claim's rows are fetched once, from a private Postgres that lives for that moment. What the
//! daemon does as a whole is measured by `legwork bench`, not here.

#![allow(missing_docs, reason = "a benchmark has no readers of its documentation")]

use divan::{AllocProfiler, Bencher, black_box, counter::ItemsCount};
use legwork::{
    claimer::{ClaimRequest, LEVELS, Marks},
    completer::{Batch, Settled},
    config::{Environment, Retentions},
    embedded::{Options, Postgres},
    job::{
        Backoff, ClaimedJob, Ending, JobError, JobId, KindName, KindPolicy, Lease, Outcome,
        QueueName, Retention, Verdict, rule,
    },
    postgres::{
        decode_claimed_row,
        enqueue::{NewJob, encode_row},
        migrate,
    },
};
use sqlx::{Connection as _, Executor as _, PgConnection, postgres::PgRow};
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};
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
    let lease = Lease { job: JobId(id), token: 1, holder: 7 };
    ClaimedJob::new(lease, queue(), kind(), r#"{"width": 640}"#)
}

fn policy() -> KindPolicy {
    KindPolicy {
        max_attempts: 20,
        backoff: Backoff::new(Duration::from_secs(2), 2.0, Duration::from_hours(1), 0.2)
            .expect("2 s is below an hour"),
        timeout: Duration::from_mins(5),
        max_rescues: 3,
        max_snoozes: None,
    }
}

/// A claim of a full batch, one kind among several.
fn request() -> ClaimRequest {
    let kinds = ["archive", "charge", "notify", "resize"];
    let names = kinds.iter().map(|name| KindName::new(name).expect("a name")).collect::<Vec<_>>();
    ClaimRequest {
        holder: 7,
        queue: queue(),
        kinds: Arc::from(names),
        probe: Marks::new(Instant::now()).probe(Instant::now()),
        most: BATCH,
        in_turn: false,
    }
}

/// The rows of such a claim, as Postgres sends them: fetched once, by whoever needs them first.
fn claimed_rows() -> &'static [PgRow] {
    static ROWS: OnceLock<Vec<PgRow>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let mut options = Options::default();
        options.search.splice(0..0, Environment::of_process().search_path());
        let postgres = Postgres::start(&options).expect("a private Postgres starts");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let rows = runtime.block_on(claim(&postgres.url("postgres"))).expect("jobs are claimed");
        postgres.stop().expect("it stops");
        rows
    })
}

async fn claim(url: &str) -> Result<Vec<PgRow>, Box<dyn std::error::Error>> {
    migrate::up(url).await?;
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(include_str!("hot_paths/jobs.sql")).await?;
    let ClaimRequest { holder, queue, kinds, probe, most, in_turn } = request();
    let rows = sqlx::query(include_str!("../src/postgres/sql/claim.sql"))
        .bind(holder)
        .bind(queue.as_str())
        .bind(probe.levels)
        .bind(probe.marks)
        .bind(kinds.iter().map(KindName::as_str).collect::<Vec<_>>())
        .bind(i64::from(most))
        .bind(in_turn)
        .fetch_all(&mut connection)
        .await?;
    assert_eq!(rows.len(), BATCH as usize, "the claim is a full one");
    connection.close().await?;
    Ok(rows)
}

/// Rows of a claim as jobs; bare ones, or with metadata and limits of their own.
#[divan::bench(args = [false, true])]
fn claim_decode(bencher: Bencher<'_, '_>, rich: bool) {
    let (request, began) = (request(), Instant::now());
    let is_rich = |row: &&PgRow| {
        decode_claimed_row(row, &request, began).is_ok_and(|job| job.max_attempts.is_some()) == rich
    };
    let rows: Vec<&PgRow> = claimed_rows().iter().filter(is_rich).collect();
    bencher.counter(ItemsCount::new(rows.len())).bench_local(|| {
        let decode = |row: &&PgRow| {
            decode_claimed_row(black_box(row), &request, began).expect("a claimed row")
        };
        rows.iter().map(decode).collect::<Vec<_>>()
    });
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
        let error = JobError::new("the server answered 503");
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
