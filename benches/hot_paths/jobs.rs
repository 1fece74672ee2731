//! The jobs that go down the paths, and what a daemon knows of their kind.

use legwork::{
    claimer::{ClaimRequest, Marks},
    completer::Settled,
    config::Environment,
    embedded::{Options, Postgres},
    job::{
        Backoff, ClaimedJob, Ending, JobError, JobId, KindName, KindPolicy, Lease, Outcome,
        QueueName, rule,
    },
    postgres::{decode_claimed_row, migrate},
    telemetry::metrics::JobMetrics,
};
use sqlx::{Connection as _, Executor as _, PgConnection, postgres::PgRow};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Jobs of one claim, one flush, one run.
pub(crate) const JOBS: u32 = 1000;

/// Whose jobs they are.
pub(crate) const HOLDER: i64 = 7;

pub(crate) fn queue() -> QueueName {
    QueueName::new("default").expect("a name")
}

pub(crate) fn kind() -> KindName {
    kinds()[3].clone()
}

/// One kind among several, as in most daemons.
pub(crate) fn kinds() -> Arc<[KindName]> {
    ["archive", "charge", "notify", "resize"]
        .map(|kind| KindName::new(kind).expect("a name"))
        .into()
}

pub(crate) fn policy() -> KindPolicy {
    KindPolicy {
        max_attempts: 20,
        backoff: Backoff::new(Duration::from_secs(2), 2.0, Duration::from_hours(1), 0.2)
            .expect("2 s is below an hour"),
        timeout: Duration::from_mins(5),
        max_rescues: 3,
        max_snoozes: None,
    }
}

/// A job with nothing but a payload.
pub(crate) fn job(id: u32) -> ClaimedJob {
    let lease = Lease { job: JobId(id.into()), token: 1, holder: HOLDER };
    ClaimedJob::new(lease, queue(), kind(), r#"{"width": 640}"#)
}

/// How an attempt failed.
pub(crate) fn failure() -> Outcome {
    Outcome::Retry { error: JobError::new("the server answered 503"), after: None }
}

/// The verdicts on as many jobs as a flush takes.
pub(crate) fn settled(outcome: impl Fn() -> Outcome, metrics: &Arc<JobMetrics>) -> Vec<Settled> {
    let policy = policy();
    let ran = |id| {
        let (job, ending) = (job(id), Ending::Decided(outcome()));
        let ruling = rule(ending, &job, &policy, 0.5);
        Settled::ran(&job, ruling, Duration::from_millis(3), Arc::clone(metrics))
    };
    (1..=JOBS).map(ran).collect()
}

/// A claim of as many jobs as there are.
pub(crate) fn request(most: u32) -> ClaimRequest {
    let probe = Marks::new(Instant::now()).probe(Instant::now());
    ClaimRequest {
        holder: HOLDER,
        queue: queue(),
        kinds: kinds(),
        probe,
        most,
        in_turn: false,
        halt: CancellationToken::new(),
    }
}

/// A full claim's rows, as Postgres sends them: of bare jobs, or of jobs with metadata and limits of
/// their own.
pub(crate) fn claimed(rich: bool) -> Vec<&'static PgRow> {
    static ROWS: OnceLock<Vec<PgRow>> = OnceLock::new();
    let (request, began) = (request(2 * JOBS), Instant::now());
    let is_rich = |row: &PgRow| {
        let job = decode_claimed_row(row, &request, began).expect("a claimed row");
        job.max_attempts.is_some()
    };
    let rows = ROWS.get_or_init(|| of_postgres(&request)).iter();
    let rows: Vec<_> = rows.filter(|row| is_rich(row) == rich).collect();
    assert_eq!(rows.len(), JOBS as usize, "the claim is a full one");
    rows
}

/// Fetched from a private Postgres that lives for that moment.
fn of_postgres(request: &ClaimRequest) -> Vec<PgRow> {
    let mut options = Options::default();
    options.search.splice(0..0, Environment::of_process().search_path());
    let postgres = Postgres::start(&options).expect("a private Postgres starts");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let rows = runtime.block_on(claim(&postgres.url("postgres"), request));
    postgres.stop().expect("it stops");
    rows.expect("jobs are claimed")
}

async fn claim(
    url: &str,
    request: &ClaimRequest,
) -> Result<Vec<PgRow>, Box<dyn std::error::Error>> {
    migrate::up(url).await?;
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(include_str!("jobs.sql")).await?;
    let rows = sqlx::query(include_str!("../../src/postgres/sql/claim.sql"))
        .bind(request.holder)
        .bind(request.queue.as_str())
        .bind(&request.probe.levels)
        .bind(&request.probe.marks)
        .bind(request.kinds.iter().map(KindName::as_str).collect::<Vec<_>>())
        .bind(i64::from(request.most))
        .bind(request.in_turn)
        .fetch_all(&mut connection)
        .await?;
    connection.close().await?;
    Ok(rows)
}
