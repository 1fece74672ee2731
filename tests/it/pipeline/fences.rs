//! Token n, finishing after the same daemon has claimed the job again under n + 1.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use legwork::CancellationToken;
use legwork::claimer::{ClaimRequest, ClaimSource, LEVELS, Probe};
use legwork::completer::{Batch, OutcomeSink, Settled};
use legwork::config::Retentions;
use legwork::job::{
    Cause, ClaimedJob, DiscardReason, FailedAttempt, JobError, JobId, JobResult, QueueName,
    Retention, Verdict,
};
use legwork::postgres::{Connector, Held, PostgresClaims, PostgresOutcomes};
use rstest::rstest;
use sqlx::PgPool;
use tokio::time::timeout;

use super::{insert, name, value};
use crate::support::{self, TestDb};

pub(super) const HOLDER: i64 = 4711;

pub(super) fn connector(db: &TestDb) -> Connector {
    support::pooled::connector(&db.url())
}

/// Everything in line.
pub(super) fn request() -> ClaimRequest {
    ClaimRequest {
        holder: HOLDER,
        queue: QueueName::new("default").expect("a name"),
        kinds: [name("fenced")].into(),
        probe: Probe { levels: LEVELS.to_vec(), marks: vec![0; LEVELS.len()], is_sweep: true },
        most: 10,
        in_turn: false,
        halt: CancellationToken::new(),
    }
}

pub(super) async fn claim(claims: &PostgresClaims) -> ClaimedJob {
    let mut jobs = claims.claim(&request()).await.expect("it claims");
    assert_eq!(jobs.len(), 1);
    jobs.remove(0)
}

/// Where jobs are claimed and where they end, as one daemon has them.
fn rooms(db: &TestDb) -> (PostgresClaims, PostgresOutcomes) {
    let held = Arc::new(Held::default());
    let claims = PostgresClaims::new(connector(db), Arc::clone(&held));
    (claims, PostgresOutcomes::new(connector(db), held))
}

/// Makes the row of the daemon that holds what is claimed here.
pub(super) async fn register(pool: &PgPool) {
    let row = "INSERT INTO legwork.daemon (id, expires_at) VALUES ($1, now() + interval '1 h')";
    sqlx::query(row).bind(HOLDER).execute(pool).await.expect("Postgres answers");
}

/// A verdict as the completer gets it.
pub(super) fn settled(job: &ClaimedJob, verdict: Verdict) -> Settled {
    let failed = matches!(verdict, Verdict::Retry { .. });
    let failure = FailedAttempt { cause: Cause::Failed, error: JobError::new("late") };
    Settled {
        failure: failed.then_some(failure),
        charged: true,
        ..Settled::unstarted(job, verdict, None)
    }
}

/// Writes it and gives what changed.
async fn write(sink: &PostgresOutcomes, settled: Settled, kept: Retentions) -> Vec<JobId> {
    let retention = HashMap::from([(settled.queue.clone(), kept)]);
    let batch = Batch::sort([settled], &retention);
    let mut changed = Vec::new();
    for result in [
        sink.finish(&batch.finals).await,
        sink.put_back(&batch.backs).await,
        sink.release(&batch.releases).await,
    ] {
        changed.extend(result.expect("the statement is answered"));
    }
    changed
}

#[rstest]
#[case::complete(Verdict::Complete { result: None })]
#[case::cancel(Verdict::Cancel)]
#[case::discard(Verdict::Discard { reason: DiscardReason::PermanentError })]
#[case::retry(Verdict::Retry { delay: Duration::ZERO })]
#[case::snooze(Verdict::Snooze { delay: Duration::from_mins(1) })]
#[case::release(Verdict::Release)]
fn a_verdict_under_an_older_token_changes_nothing(#[case] verdict: Verdict) {
    const ALL: &str = "SELECT jsonb_build_array((SELECT jsonb_agg(j) FROM legwork.job j),
        (SELECT jsonb_agg(f) FROM legwork.finished f))::text";
    support::run(async move |db| {
        let pool = db.pool().await;
        register(&pool).await;
        insert(&pool, "fenced").await;
        let (claims, sink) = rooms(&db);
        let none = Retention::None;
        let forgetful = Retentions { completed: none, cancelled: none, discarded: none };

        let before = claim(&claims).await;
        let released = settled(&before, Verdict::Release);
        assert_eq!(write(&sink, released, forgetful).await, [before.lease.job]);
        let now = claim(&claims).await;
        assert_eq!(now.lease.token, before.lease.token + 1);
        let row: String = value(&pool, ALL).await;
        for kept in [forgetful, Retentions::default()] {
            let late = settled(&before, verdict.clone());
            assert_eq!(write(&sink, late, kept).await, []);
            assert_eq!(value::<String>(&pool, ALL).await, row);
        }
        // The same from somebody else, with the right token.
        let mut stranger = settled(&now, verdict.clone());
        stranger.lease.holder += 1;
        assert_eq!(write(&sink, stranger, forgetful).await, []);
        assert_eq!(value::<String>(&pool, ALL).await, row);

        let timely = settled(&now, verdict);
        assert_eq!(write(&sink, timely, Retentions::default()).await, [now.lease.job]);
        assert_ne!(value::<String>(&pool, ALL).await, row);
        drop((claims, sink));
        pool.close().await;
    });
}

/// Verdicts as the completer gets them, written in one flush.
async fn finish(sink: &PostgresOutcomes, settled: Vec<Settled>, kept: Retentions) -> Vec<JobId> {
    let retention = HashMap::from([(settled[0].queue.clone(), kept)]);
    let batch = Batch::sort(settled, &retention);
    let mut changed = sink.finish(&batch.finals).await.expect("the statement is answered");
    changed.sort_unstable();
    changed
}

fn completed(result: Option<&str>) -> Verdict {
    Verdict::Complete { result: result.and_then(|result| JobResult::new(result.into())) }
}

/// Nothing is kept, all end alike, each ends in its own way: a statement each.
fn ways_to_end() -> [(Retentions, Verdict); 3] {
    let none = Retention::None;
    let forgetful = Retentions { completed: none, cancelled: none, discarded: none };
    let kept = Retentions::default();
    [(forgetful, completed(None)), (kept, completed(None)), (kept, completed(Some("1")))]
}

#[test]
fn a_job_whose_row_has_moved_is_found_and_what_lies_in_its_place_is_left_alone() {
    support::run(async |db| {
        let pool = db.pool().await;
        register(&pool).await;
        let (claims, sink) = rooms(&db);
        for (kept, verdict) in ways_to_end() {
            for _ in 0..4 {
                insert(&pool, "fenced").await;
            }
            let jobs = claims.claim(&request()).await.expect("it claims");
            assert!(jobs.iter().all(|job| job.place.is_some()), "{jobs:?}");
            let [there, moved, misled, other] = &jobs[..] else { panic!("{} jobs", jobs.len()) };
            let id = moved.lease.job.0;
            let r#move = "UPDATE legwork.job SET tags = '{moved}' WHERE id = $1";
            sqlx::query(r#move).bind(id).execute(&pool).await.unwrap();
            let mut misled = settled(misled, verdict.clone());
            misled.place = other.place;
            let mut moved = settled(moved, verdict.clone());
            moved.took = Some(Duration::from_millis(7));
            misled.took = Some(Duration::from_millis(9));

            let batch = vec![settled(there, verdict), moved, misled];
            let ours: Vec<_> = batch.iter().map(|settled| settled.lease.job).collect();
            let is_kept = kept.completed != Retention::None;
            assert_eq!(finish(&sink, batch.clone(), kept).await, ours);
            let left: Vec<i64> = value(&pool, "SELECT array_agg(id) FROM legwork.job").await;
            assert_eq!(left, [other.lease.job.0]);
            assert_eq!(finish(&sink, batch, kept).await, [], "a second time is too late");
            let took = "SELECT array_agg(duration_ms ORDER BY id) FROM legwork.finished";
            let took: Option<Vec<Option<i32>>> = value(&pool, took).await;
            let kept = is_kept.then(|| vec![None, Some(7), Some(9)]);
            assert_eq!(took, kept, "how long it ran goes the same way");

            sqlx::query("DELETE FROM legwork.job").execute(&pool).await.unwrap();
            sqlx::query("DELETE FROM legwork.finished").execute(&pool).await.unwrap();
        }
        drop((claims, sink));
        pool.close().await;
    });
}

#[test]
fn jobs_that_end_together_leave_each_its_own_end_in_history() {
    const ENDS: &str =
        "SELECT string_agg(concat_ws(' ', outcome, attempt, reason, result, duration_ms || ' ms'), ', ' ORDER BY id)
        FROM legwork.finished";
    support::run(async |db| {
        let pool = db.pool().await;
        register(&pool).await;
        let (claims, sink) = rooms(&db);
        let discard = || Verdict::Discard { reason: DiscardReason::PermanentError };
        let mixed = [completed(None), discard(), completed(Some("7"))];
        let alike = [discard(), discard(), discard()];
        for (verdicts, ends) in [
            (mixed, "completed 1, discarded 1 permanent_error 5 ms, completed 1 7 10 ms"),
            (
                alike,
                "discarded 1 permanent_error, discarded 1 permanent_error 5 ms, discarded 1 permanent_error 10 ms",
            ),
        ] {
            for _ in &verdicts {
                insert(&pool, "fenced").await;
            }
            let jobs = claims.claim(&request()).await.expect("it claims");
            let mut settled: Vec<_> =
                jobs.iter().zip(verdicts).map(|(job, verdict)| settled(job, verdict)).collect();
            // The first was decided while it waited.
            settled[1].took = Some(Duration::from_micros(5_900));
            settled[2].took = Some(Duration::from_millis(10));
            finish(&sink, settled, Retentions::default()).await;
            assert_eq!(value::<String>(&pool, ENDS).await, ends);
            sqlx::query("DELETE FROM legwork.finished").execute(&pool).await.unwrap();
        }
        drop((claims, sink));
        pool.close().await;
    });
}

#[test]
fn a_claim_that_takes_turns_gives_way_to_another_of_its_queue_and_to_no_other() {
    const TURN: &str = "SELECT pg_advisory_xact_lock(hashtext('legwork.claim'), hashtext($1))";
    support::run(async |db| {
        let pool = db.pool().await;
        register(&pool).await;
        insert(&pool, "fenced").await;
        let claims = PostgresClaims::new(connector(&db), Arc::new(Held::default()));
        let in_turn = ClaimRequest { in_turn: true, ..request() };

        let mut other = pool.begin().await.unwrap();
        sqlx::query(TURN).bind("default").execute(&mut *other).await.unwrap();
        assert!(claims.claim(&in_turn).await.expect("it is answered").is_empty());
        other.rollback().await.unwrap();
        let mut other = pool.begin().await.unwrap();
        sqlx::query(TURN).bind("elsewhere").execute(&mut *other).await.unwrap();
        assert_eq!(claims.claim(&in_turn).await.expect("it is answered").len(), 1);
        insert(&pool, "fenced").await;
        sqlx::query(TURN).bind("default").execute(&mut *other).await.unwrap();
        assert_eq!(claims.claim(&request()).await.expect("it is answered").len(), 1);
        other.rollback().await.unwrap();
        drop(claims);
        pool.close().await;
    });
}

/// Of a thousand claimers that stand in line at the end, none may be in doubt of what it never asked.
#[test]
fn a_claim_that_waits_for_its_turn_when_nothing_more_is_to_be_claimed_is_not_sent() {
    support::run(async |db| {
        let pool = db.pool().await;
        register(&pool).await;
        insert(&pool, "fenced").await;
        let claims = PostgresClaims::new(connector(&db), Arc::new(Held::default()));
        let (first, second) = (request(), request());
        // It has the session from its first poll on, and does nothing with it until the next.
        let mut first = pin!(claims.claim(&first));
        assert!(futures::poll!(first.as_mut()).is_pending());
        let mut waits = pin!(claims.claim(&second));
        assert!(futures::poll!(waits.as_mut()).is_pending());
        second.halt.cancel();
        let none = timeout(support::PATIENCE, waits).await.expect("it leaves");
        assert!(none.expect("nothing was asked").is_empty());
        assert_eq!(first.await.expect("it is answered").len(), 1);
        pool.close().await;
    });
}
