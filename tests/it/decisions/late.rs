//! Test 2: a transaction is held open while 20,000 other jobs are claimed, commits, and its job runs
//! within the sweep bound.
//!
//! By then every low-water mark is far beyond the job's place in line, so no claim but a sweep's
//! looks there: without sweeps it waits for ever.

use std::time::Duration;

use legwork::config::{HandlerSettings, KindSettings};
use legwork::job::Retention;
use sqlx::Connection;

use crate::pipeline::{Runner, daemon, drained, name, settings};
use crate::support::{self, PATIENCE};

/// The longest that two sweeps are apart.
const SWEEP_MAX: Duration = Duration::from_secs(30);

#[test]
fn a_job_that_commits_behind_twenty_thousand_claimed_ones_runs_within_the_sweep_bound() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut late = db.connect().await;
        let mut transaction = late.begin().await.unwrap();
        let insert = "INSERT INTO legwork.job (kind) VALUES ('noop') RETURNING id";
        let id: i64 = sqlx::query_scalar(insert).fetch_one(&mut *transaction).await.unwrap();
        let mut settings = settings(&db);
        settings.kinds = vec![KindSettings::new(name("noop"), HandlerSettings::Noop)];
        settings.queues[0].concurrency = 500;
        settings.queues[0].retention.completed = Retention::None;
        let runner = Runner::start(daemon(settings));
        let others = "INSERT INTO legwork.job (kind) SELECT 'noop' FROM generate_series(1, 20000)";
        sqlx::query(others).execute(&pool).await.unwrap();
        drained(&pool).await;
        transaction.commit().await.unwrap();
        // The bound, and what a busy machine may be late by: without sweeps it would never run.
        let found = support::holds_within(SWEEP_MAX + PATIENCE, async || {
            let left = "SELECT NOT EXISTS (SELECT FROM legwork.job WHERE id = $1)";
            sqlx::query_scalar(left).bind(id).fetch_one(&pool).await.unwrap()
        })
        .await;
        assert!(found, "no sweep found the job");
        runner.stop().await;
        late.close().await.unwrap();
        pool.close().await;
    });
}
