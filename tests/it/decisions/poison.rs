//! Test 8: a row that fails each batch statement delays no other row by more than one flush.
//!
//! The real completer and the real statements, with an ear between them: what is counted is
//! statements and their order, so a slow machine changes nothing.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use legwork::completer::{
    Back, Completer, Failure, Final, Links, OutcomeSink, Settled, SinkError, verdict_channel,
};
use legwork::config::{Complete, Retentions, Settings};
use legwork::job::{
    Cause, FailedAttempt, JobError, JobId, JobResult, Lease, QueueName, Retention, Verdict,
};
use legwork::postgres::{Held, PostgresOutcomes};
use legwork::telemetry::{health::Health, metrics::Metrics};
use rstest::rstest;
use sqlx::{AssertSqlSafe, PgPool};

use crate::pipeline::{faults::trigger, value};
use crate::support::{self, TestDb};

const HOLDER: i64 = 7;
/// Verdicts of one flush.
const FLUSH: usize = 100;
/// Halving a hundred down to one row and writing the other halves: twice the halvings, and the first.
const STATEMENTS_MAX: usize = 1 + 2 * 7;

/// A statement as the completer sent it.
#[derive(Debug)]
struct Sent {
    op: &'static str,
    jobs: BTreeSet<JobId>,
    written: bool,
}

/// Whether the answer to a statement that ends jobs is lost.
type Lost = Box<dyn Fn(&[Final]) -> bool + Send + Sync>;

/// The real sink, and what was sent through it.
struct Ear {
    sink: PostgresOutcomes,
    /// Of which ends the answer doesn't arrive in time.
    is_lost: Lost,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Ear {
    fn hear(&self, op: &'static str, jobs: BTreeSet<JobId>, written: bool) {
        self.sent.lock().expect("nobody panics with it").push(Sent { op, jobs, written });
    }
}

impl OutcomeSink for Ear {
    async fn record(&self, rows: &[Failure]) -> Result<(), SinkError> {
        let jobs = rows.iter().map(|row| row.settled.lease.job).collect();
        let done = self.sink.record(rows).await;
        self.hear("record", jobs, done.is_ok());
        done
    }

    async fn finish(&self, rows: &[Final]) -> Result<Vec<JobId>, SinkError> {
        let jobs = rows.iter().map(|row| row.settled.lease.job).collect();
        let done = if (self.is_lost)(rows) {
            Err(SinkError::Unavailable { sent: true, source: "no answer in time".into() })
        } else {
            self.sink.finish(rows).await
        };
        self.hear("finish", jobs, done.is_ok());
        done
    }

    async fn put_back(&self, rows: &[Back]) -> Result<Vec<JobId>, SinkError> {
        let jobs = rows.iter().map(|row| row.settled.lease.job).collect();
        let done = self.sink.put_back(rows).await;
        self.hear("back", jobs, done.is_ok());
        done
    }

    async fn release(&self, rows: &[Settled]) -> Result<Vec<JobId>, SinkError> {
        let jobs = rows.iter().map(|row| row.lease.job).collect();
        let done = self.sink.release(rows).await;
        self.hear("release", jobs, done.is_ok());
        done
    }

    async fn locked(&self, jobs: &[JobId]) -> Result<Vec<JobId>, SinkError> {
        self.sink.locked(jobs).await
    }

    async fn taken(&self, leases: &[Lease]) -> Result<Vec<JobId>, SinkError> {
        self.sink.taken(leases).await
    }
}

/// Jobs that the daemon holds, two flushes of them.
async fn held(pool: &PgPool) -> Vec<JobId> {
    let register = "INSERT INTO legwork.daemon (id, expires_at) VALUES (7, now() + interval '1 h')";
    sqlx::query(register).execute(pool).await.expect("Postgres answers");
    let insert = "INSERT INTO legwork.job (kind, holder, token)
        SELECT 'k', 7, 1 FROM generate_series(1, $1) RETURNING id";
    let insert =
        sqlx::query_scalar(insert).bind(i64::try_from(2 * FLUSH).expect("a flush has a length"));
    let ids: Vec<i64> = insert.fetch_all(pool).await.expect("Postgres answers");
    ids.into_iter().map(JobId).collect()
}

fn settled(job: JobId, verdict: &Verdict) -> Settled {
    let failed = matches!(verdict, Verdict::Retry { .. });
    let failure = FailedAttempt { cause: Cause::Failed, error: JobError::new("no") };
    Settled {
        lease: Lease { job, token: 1, holder: HOLDER },
        place: None,
        queue: QueueName::new("default").expect("a name"),
        kind: None,
        origin: None,
        span: None,
        verdict: verdict.clone(),
        failure: failed.then_some(failure),
        attempt: 1,
        charged: true,
        took: Some(Duration::ZERO),
        metrics: None,
        keeps: None,
    }
}

/// Lets a completer of its own write all of these, a hundred a flush; gives what it sent.
async fn complete(db: &TestDb, jobs: &[JobId], verdict: &Verdict) -> Vec<Sent> {
    complete_where(db, jobs, verdict, Box::new(|_| false)).await
}

/// The same where some answers don't arrive in time.
async fn complete_where(
    db: &TestDb,
    jobs: &[JobId],
    verdict: &Verdict,
    is_lost: Lost,
) -> Vec<Sent> {
    let settings = Settings::default();
    let connector = support::pooled::connector(&db.url());
    let sent = Arc::new(Mutex::new(Vec::new()));
    let held = Arc::new(Held::default());
    let sink = PostgresOutcomes::new(connector, held);
    let ear = Ear { sink, is_lost, sent: Arc::clone(&sent) };
    let (verdicts, inbox) = verdict_channel();
    for job in jobs {
        verdicts.settle(settled(*job, verdict), ()).await;
    }
    drop(verdicts);
    let one_day = Retention::For(Duration::from_hours(24));
    let kept = Retentions { completed: one_day, cancelled: one_day, discarded: one_day };
    let queue = QueueName::new("default").expect("a name");
    let links = Links {
        metrics: Arc::new(Metrics::new(&settings.metrics)),
        check: Health::new(Duration::from_secs(1)).check("flush"),
        came_back: Arc::new(|| {}),
        is_ours: Arc::new(|_| true),
        late: Arc::new(|_| {}),
    };
    // A flush is full before its time is up.
    let limits = Complete { flush_interval: Duration::from_mins(1), flush_max_rows: FLUSH };
    let completer = Completer::new(
        ear,
        inbox,
        (limits, tokio::sync::watch::Sender::new([(queue, kept)].into()).subscribe()),
        links,
    );
    let run = tokio::time::timeout(support::PATIENCE, Arc::new(completer).run());
    run.await.expect("all that can be written is written in the end");
    std::mem::take(&mut *sent.lock().expect("nobody panics with it"))
}

#[rstest]
#[case::complete("finish", Verdict::Complete { result: None }, trigger("finished", "INSERT", "NEW.id = 37"))]
#[case::retry("back", Verdict::Retry { delay: Duration::ZERO }, trigger("job", "UPDATE", "NEW.id = 37"))]
#[case::error("record", Verdict::Retry { delay: Duration::ZERO }, trigger("failed_attempt", "INSERT", "NEW.job_id = 37"))]
#[case::release("release", Verdict::Release, trigger("job", "UPDATE", "NEW.id = 37"))]
fn a_row_that_fails_every_statement_delays_no_other_by_more_than_its_flush(
    #[case] op: &'static str,
    #[case] verdict: Verdict,
    #[case] poison: String,
) {
    support::run(async move |db| {
        let pool = db.pool().await;
        let jobs = held(&pool).await;
        sqlx::raw_sql(AssertSqlSafe(poison)).execute(&pool).await.unwrap();
        let sent = complete(&db, &jobs, &verdict).await;
        let sent: Vec<_> = sent.iter().filter(|sent| sent.op == op).collect();
        let poisoned = JobId(37);
        let next: BTreeSet<_> = jobs[FLUSH..].iter().copied().collect();
        let of_next = sent.iter().position(|sent| !sent.jobs.is_disjoint(&next));
        let of_next = of_next.expect("the next flush came");
        let (first, later) = sent.split_at(of_next);

        let written = first.iter().filter(|sent| sent.written).flat_map(|sent| &sent.jobs);
        let written: BTreeSet<_> = written.copied().collect();
        let mut others: BTreeSet<_> = jobs[..FLUSH].iter().copied().collect();
        assert!(others.remove(&poisoned));
        assert_eq!(written, others, "all others are written before the next flush begins");
        assert!(first.len() <= STATEMENTS_MAX, "{} statements", first.len());
        let [later] = later else { panic!("the next flush is one statement: {later:?}") };
        assert!(later.written && later.jobs == next, "and the poison is in it no more");
        pool.close().await;
    });
}

/// How many rows each statement had, and whether it was answered.
fn sizes(sent: &[Sent]) -> Vec<(usize, bool)> {
    sent.iter().map(|sent| (sent.jobs.len(), sent.written)).collect()
}

#[test]
fn a_flush_that_is_too_much_for_its_time_is_written_in_smaller_parts() {
    support::run(async |db| {
        let pool = db.pool().await;
        let jobs = held(&pool).await;
        let verdict = Verdict::Complete { result: None };
        let lost = Box::new(|rows: &[Final]| rows.len() > 30);
        let sent = complete_where(&db, &jobs[..FLUSH], &verdict, lost).await;
        let twice = [(100, false), (100, false), (50, false), (50, false)];
        assert_eq!(sizes(&sent), [&twice[..], &[(25, true); 4]].concat());
        pool.close().await;
    });
}

#[test]
fn a_row_that_is_never_answered_for_delays_no_other_by_more_than_its_flush() {
    support::run(async |db| {
        let pool = db.pool().await;
        let jobs = held(&pool).await;
        let (poisoned, times) = (JobId(37), AtomicUsize::new(0));
        let lost = move |rows: &[Final]| {
            // Twice, down to the row itself, and when it is tried alone later.
            let has_it = rows.iter().any(|row| row.settled.lease.job == poisoned);
            has_it && times.fetch_add(1, Relaxed) < 1 + 8 + 1
        };
        let verdict = Verdict::Complete { result: None };
        let sent = complete_where(&db, &jobs, &verdict, Box::new(lost)).await;
        let next: BTreeSet<_> = jobs[FLUSH..].iter().copied().collect();
        let of_next = sent.iter().position(|sent| sent.jobs == next).expect("it is one statement");
        assert!(of_next <= STATEMENTS_MAX + 1, "{of_next} statements before it");
        let written = sent[..of_next].iter().filter(|sent| sent.written);
        let written: usize = written.map(|sent| sent.jobs.len()).sum();
        assert_eq!(written, FLUSH - 1, "all others are written before the next flush begins");
        let end = sent.last().expect("there were some");
        assert!(end.written && end.jobs == [poisoned].into(), "and the row itself in the end");
        pool.close().await;
    });
}

#[test]
fn results_go_by_eight_megabytes_a_statement() {
    support::run(async |db| {
        let pool = db.pool().await;
        let jobs = held(&pool).await;
        let result = JobResult::new(format!("\"{}\"", "x".repeat(256 * 1024 - 2)));
        let verdict = Verdict::Complete { result };
        let sent = complete(&db, &jobs[..FLUSH], &verdict).await;
        assert_eq!(sizes(&sent), [(32, true), (32, true), (32, true), (4, true)]);
        let kept = "SELECT count(*) FROM legwork.finished WHERE length(result::text) = 262144";
        assert_eq!(value::<i64>(&pool, kept).await, 100);
        pool.close().await;
    });
}

const DROP_TOMORROW: &str = "DO $$ BEGIN EXECUTE format('DROP TABLE legwork.finished_%s',
    to_char((now() AT TIME ZONE 'UTC')::date + 1, 'YYYYMMDD')); END $$";

#[test]
fn a_dropped_partition_delays_its_flush_by_the_making_of_it() {
    support::run(async |db| {
        let pool = db.pool().await;
        let jobs = held(&pool).await;
        sqlx::raw_sql(DROP_TOMORROW).execute(&pool).await.unwrap();
        let sent = complete(&db, &jobs, &Verdict::Complete { result: None }).await;
        assert_eq!(sizes(&sent), [(FLUSH, false), (FLUSH, true), (FLUSH, true)]);
        pool.close().await;
    });
}

#[test]
fn a_day_that_cannot_be_made_for_a_while_sends_no_job_back() {
    support::run(async |db| {
        let pool = db.pool().await;
        let jobs = held(&pool).await;
        sqlx::raw_sql(DROP_TOMORROW).execute(&pool).await.unwrap();
        // As ANALYZE has it: rows may be written, but no day can be attached.
        let mut analyzed = pool.begin().await.unwrap();
        let lock = "LOCK TABLE legwork.finished IN SHARE UPDATE EXCLUSIVE MODE";
        sqlx::query(lock).execute(&mut *analyzed).await.unwrap();
        let verdict = Verdict::Complete { result: None };
        let lets_go = async {
            let waits = async || {
                let asked =
                    sqlx::query_scalar::<_, i32>(support::who_waits_for("legwork.finished"));
                asked.fetch_one(&pool).await.unwrap() != 0
            };
            support::eventually("somebody waits for that lock", &waits).await;
            support::eventually("nobody waits any more", async || !waits().await).await;
            analyzed.rollback().await.unwrap();
        };
        let (sent, ()) = tokio::join!(complete(&db, &jobs[..1], &verdict), lets_go);
        assert!(sent.iter().all(|sent| sent.op == "finish"), "{sent:?}");
        assert!(sent.len() > 1 && sent.last().is_some_and(|last| last.written), "{sent:?}");
        pool.close().await;
    });
}
