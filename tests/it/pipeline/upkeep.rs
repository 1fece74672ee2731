//! Promotion and rescue on rows that a mark or a death could leave behind.

use std::time::Duration;

use legwork::config::{HandlerSettings, KindSettings};
use sqlx::{Connection, PgPool};

use super::deaths::upkeep;
use super::{Runner, daemon, drained, name, settings, value};
use crate::support::{self, TestDb};

fn noop(db: &TestDb) -> Runner {
    let mut settings = settings(db);
    settings.kinds = vec![KindSettings::new(name("noop"), HandlerSettings::Noop)];
    Runner::start(daemon(settings))
}

async fn outcomes(pool: &PgPool, kind: &str) -> Vec<(String, i16, i16)> {
    let query = "SELECT outcome::text, attempt, rescues FROM legwork.finished WHERE kind = $1";
    sqlx::query_as(query).bind(kind).fetch_all(pool).await.expect("Postgres answers")
}

#[test]
fn jobs_whose_holder_nobody_knows_are_back_in_line_when_a_daemon_starts() {
    support::run(async |db| {
        let pool = db.pool().await;
        let leftover = "INSERT INTO legwork.job (kind) VALUES ('noop'), ('noop')";
        sqlx::query(leftover).execute(&pool).await.unwrap();
        // As after a restore: held, by a daemon of which there is no row.
        let held = "UPDATE legwork.job SET holder = 4711, token = 3";
        sqlx::query(held).execute(&pool).await.unwrap();
        let runner = noop(&db);
        drained(&pool).await;
        // Two charged executions: the lost one, as for each rescue, and the one that completed.
        let rescued = ("completed".to_owned(), 2, 1);
        assert_eq!(outcomes(&pool, "noop").await, [rescued.clone(), rescued]);
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_scheduled_job_that_commits_behind_the_promoters_mark_runs_with_the_next_sweep() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut late = db.connect().await;
        let mut transaction = late.begin().await.unwrap();
        // Waiting, as its insert saw it; long due, as the promoter's mark sees it.
        let due = "INSERT INTO legwork.job (kind, run_at, ready_at)
            VALUES ('noop', now() - interval '1 h', now() - interval '2 h')";
        sqlx::query(due).execute(&mut *transaction).await.unwrap();
        let runner = noop(&db);
        let other =
            "INSERT INTO legwork.job (kind, run_at) VALUES ('noop', now() + interval '1 s')";
        sqlx::query(other).execute(&pool).await.unwrap();
        drained(&pool).await;
        assert_eq!(outcomes(&pool, "noop").await.len(), 1, "the mark has moved");
        transaction.commit().await.unwrap();
        drained(&pool).await;
        assert_eq!(outcomes(&pool, "noop").await.len(), 2);
        runner.stop().await;
        late.close().await.unwrap();
        pool.close().await;
    });
}

#[test]
fn nothing_expires_before_its_daemon_is_registered() {
    support::run(async |db| {
        let pool = db.pool().await;
        let expired = "INSERT INTO legwork.job (kind, expires_at) VALUES ('noop', '2001-01-01')";
        sqlx::query(expired).execute(&pool).await.unwrap();
        let (_publisher, leases) = legwork::heartbeat::leases();
        let pause = legwork::maintenance::expire(&upkeep(db.url()), &leases).await.unwrap();
        assert!(pause > Duration::ZERO, "it is asked again");
        let left: i64 = value(&pool, "SELECT count(*) FROM legwork.job").await;
        assert_eq!(left, 1, "its own kinds would seem to be nobody's");
        let runner = noop(&db);
        drained(&pool).await;
        let reason: String = value(&pool, "SELECT reason FROM legwork.finished").await;
        assert_eq!(reason, "expired");
        runner.stop().await;
        pool.close().await;
    });
}
