//! How many rows a statement takes and how long it waits for them: `[claim]` and `[complete]`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use legwork::completer::{
    Back, Completer, Failure, Final, Links, OutcomeSink, Settled, SinkError, verdict_channel,
};
use legwork::config::{Complete, Settings};
use legwork::job::{JobId, Lease, QueueName, Verdict};
use legwork::telemetry::{health::Health, metrics::Metrics};
use sqlx::postgres::PgPool;
use tokio::{sync::watch, time::sleep};

use crate::pipeline::{Runner, daemon, kind, queue, settings};
use crate::support::{self, TestDb};

/// Remembers how many rows each statement had.
#[derive(Clone, Default)]
struct Sizes(Arc<Mutex<Vec<usize>>>);

impl OutcomeSink for Sizes {
    async fn record(&self, _rows: &[Failure]) -> Result<(), SinkError> {
        Ok(())
    }

    async fn finish(&self, _rows: &[Final]) -> Result<Vec<JobId>, SinkError> {
        Ok(Vec::new())
    }

    async fn put_back(&self, _rows: &[Back]) -> Result<Vec<JobId>, SinkError> {
        Ok(Vec::new())
    }

    async fn release(&self, rows: &[Settled]) -> Result<Vec<JobId>, SinkError> {
        self.0.lock().expect("nobody panics with it").push(rows.len());
        Ok(rows.iter().map(|row| row.lease.job).collect())
    }

    async fn locked(&self, _jobs: &[JobId]) -> Result<Vec<JobId>, SinkError> {
        Ok(Vec::new())
    }

    async fn taken(&self, _leases: &[Lease]) -> Result<Vec<JobId>, SinkError> {
        Ok(Vec::new())
    }
}

fn settled(number: i64) -> Settled {
    Settled {
        lease: Lease { job: JobId(number), token: 1, holder: 1 },
        place: None,
        queue: QueueName::new("default").expect("a name"),
        kind: None,
        origin: None,
        span: None,
        verdict: Verdict::Release,
        failure: None,
        attempt: 1,
        charged: false,
        took: Some(Duration::ZERO),
        metrics: None,
        keeps: None,
    }
}

/// Verdicts with these pauses before them; gives how many each statement wrote. Time is paused.
async fn flushed(limits: Complete, pauses: &[u64]) -> Vec<usize> {
    let (verdicts, inbox) = verdict_channel();
    let links = Links {
        metrics: Arc::new(Metrics::new(&Settings::default().metrics)),
        check: Health::new(Duration::from_secs(1)).check("flush"),
        came_back: Arc::new(|| {}),
        is_ours: Arc::new(|_| true),
        late: Arc::new(|_| {}),
    };
    let sizes = Sizes::default();
    let completer =
        Completer::new(sizes.clone(), inbox, (limits, watch::Sender::default().subscribe()), links);
    let settle = async move {
        for (number, pause) in (1..).zip(pauses) {
            // Paused time, which jumps: this is the case's arrangement.
            sleep(Duration::from_secs(*pause)).await;
            verdicts.settle(settled(number), ()).await;
        }
    };
    tokio::join!(Arc::new(completer).run(), settle);
    std::mem::take(&mut *sizes.0.lock().expect("nobody panics with it"))
}

#[tokio::test(start_paused = true)]
async fn flush_interval_is_how_long_a_verdict_waits_for_others() {
    let limits =
        |seconds| Complete { flush_interval: Duration::from_secs(seconds), flush_max_rows: 100 };
    assert_eq!(flushed(limits(10), &[0, 5, 4]).await, [3]);
    assert_eq!(flushed(limits(1), &[0, 5, 4]).await, [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn flush_max_rows_is_how_many_verdicts_a_statement_writes() {
    let limits = |rows| Complete { flush_interval: Duration::from_secs(10), flush_max_rows: rows };
    assert_eq!(flushed(limits(2), &[0; 5]).await, [2, 2, 1]);
    assert_eq!(flushed(limits(100), &[0; 5]).await, [5]);
}

/// The most rows that one statement claimed: they have its transaction's number in common.
async fn most_at_once(pool: &PgPool) -> i64 {
    let most = "SELECT max(n) FROM (SELECT count(*) AS n FROM legwork.job
        WHERE holder IS NOT NULL GROUP BY xmin::text) c";
    sqlx::query_scalar(most).fetch_one(pool).await.expect("Postgres answers")
}

/// How many of 30 waiting jobs the first claims of a daemon with this `claim.batch` take at most.
async fn claimed_at_once(db: &TestDb, batch: u32) -> i64 {
    let pool = db.pool().await;
    let many = "INSERT INTO legwork.job (kind) SELECT 'held' FROM generate_series(1, 30)";
    sqlx::query(many).execute(&pool).await.expect("Postgres answers");
    let mut settings = settings(db);
    settings.claim.batch = batch;
    settings.queues = vec![queue("default")];
    settings.queues[0].concurrency = 100;
    settings.shutdown.grace = Duration::ZERO;
    settings.kinds = vec![kind("held", Duration::ZERO)];
    let held = crate::pipeline::handling(|context| {
        Box::pin(async {
            context.cancellation().cancelled().await;
            legwork::job::Outcome::Cancel
        })
    });
    let daemon = daemon(settings).with_handler(crate::pipeline::name("held"), held);
    let runner = Runner::start(daemon);
    support::eventually("all are claimed", async || {
        let left = "SELECT count(*) FROM legwork.job WHERE holder IS NULL";
        sqlx::query_scalar::<_, i64>(left).fetch_one(&pool).await.expect("Postgres answers") == 0
    })
    .await;
    let most = most_at_once(&pool).await;
    runner.stop().await;
    pool.close().await;
    most
}

#[test]
fn claim_batch_is_how_many_jobs_a_statement_claims() {
    support::run(async |db| {
        let other = TestDb::create().await;
        assert_eq!(claimed_at_once(&db, 4).await, 4, "claim.batch = 4");
        assert_eq!(claimed_at_once(&other, 500).await, 30, "claim.batch = 500");
        other.drop_database().await;
    });
}

/// When the daemon's claim session began its last claim, unless it claims just now.
async fn last_claim(pool: &PgPool) -> Option<f64> {
    let began = "SELECT extract(epoch FROM query_start)::float8 FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'legwork claim'
            AND state = 'idle' AND query LIKE '-- Which claim groups have%'";
    sqlx::query_scalar(began).fetch_optional(pool).await.expect("Postgres answers")
}

#[test]
fn poll_jitter_spreads_polls_and_without_it_none_comes_early() {
    const INTERVAL: f64 = 0.4;
    support::run(async |db| {
        let other = TestDb::create().await;
        let mut daemons = Vec::new();
        for (db, jitter) in [(&db, 0.9), (&other, 0.0)] {
            let mut settings = settings(db);
            settings.kinds = vec![kind("none", Duration::ZERO)];
            settings.claim.notify = false;
            settings.claim.poll_interval = Duration::from_secs_f64(INTERVAL);
            settings.claim.poll_jitter = jitter;
            let idle = crate::pipeline::deciding(|_| unreachable!("there is no job"));
            let daemon = daemon(settings).with_handler(crate::pipeline::name("none"), idle);
            daemons.push((db.pool().await, Runner::start(daemon)));
        }
        let (mut last, mut polls) = ([None; 2], [0; 2]);
        let (mut early, mut steady) = (false, 0);
        support::eventually("a spread poll came early, and steady ones came", async || {
            for (i, (pool, _)) in daemons.iter().enumerate() {
                let now = last_claim(pool).await;
                if let (Some(before), Some(now)) = (last[i], now)
                    && now > before
                {
                    polls[i] += 1;
                    // A daemon that has just started has more reasons to look than its interval.
                    if polls[i] <= 2 {
                        last[i] = Some(now);
                        continue;
                    }
                    // A look may miss a poll, which only makes a gap longer.
                    let gap: f64 = now - before;
                    if i == 0 {
                        early |= gap < 0.75 * INTERVAL;
                    } else {
                        // The server's clock and the daemon's needn't agree to the millisecond.
                        assert!(gap > 0.95 * INTERVAL, "{gap} s without poll_jitter");
                        steady += 1;
                    }
                }
                last[i] = now.or(last[i]);
            }
            early && steady >= 3
        })
        .await;
        for (pool, runner) in daemons {
            runner.stop().await;
            pool.close().await;
        }
        other.drop_database().await;
    });
}
