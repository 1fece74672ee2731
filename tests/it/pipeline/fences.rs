//! Token n, finishing after the same daemon has claimed the job again under n + 1.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use legwork::claimer::{ClaimRequest, ClaimSource, LEVELS, Probe};
use legwork::completer::{Batch, OutcomeSink, Settled};
use legwork::config::Retentions;
use legwork::job::{
    Cause, ClaimedJob, DiscardReason, FailedAttempt, JobError, JobId, QueueName, Retention, Verdict,
};
use legwork::postgres::{Connector, Held, PostgresClaims, PostgresOutcomes};
use rstest::rstest;
use sqlx::PgPool;

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
    }
}

pub(super) async fn claim(claims: &PostgresClaims) -> ClaimedJob {
    let mut jobs = claims.claim(&request()).await.expect("it claims");
    assert_eq!(jobs.len(), 1);
    jobs.remove(0)
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
        let held = Arc::new(Held::default());
        let claims = PostgresClaims::new(connector(&db), Arc::clone(&held));
        let sink = PostgresOutcomes::new(connector(&db), held);
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
