//! Columns that only the daemon should write, written by somebody who may: outside the contract, and no
//! reason to stop, to panic, or to let others wait.

use std::sync::Arc;

use rstest::rstest;
use sqlx::{AssertSqlSafe, Executor, PgPool};
use tokio::sync::{Semaphore, mpsc};

use crate::pipeline::{
    AT_ONCE, Runner, completed, daemon, deciding, handling, history, insert, kind, name, settings,
    value,
};
use crate::support;

/// Where a job is; `gone` where it isn't any more.
async fn state(pool: &PgPool, id: i64) -> String {
    let state = sqlx::query_scalar("SELECT state FROM legwork.jobs WHERE id = $1");
    let state = state.bind(id).fetch_optional(pool).await.expect("Postgres answers");
    state.unwrap_or_else(|| "gone".to_owned())
}

/// What an owner may do to a row that runs, and what becomes of it.
#[rstest]
#[case::delete("DELETE FROM legwork.job WHERE id = $id", "gone")]
#[case::truncate("TRUNCATE legwork.job", "gone")]
#[case::take_it_away("UPDATE legwork.job SET holder = NULL WHERE id = $id", "completed")]
#[case::another_token("UPDATE legwork.job SET token = token + 1 WHERE id = $id", "running")]
#[case::another_kind("UPDATE legwork.job SET kind = 'nobodys' WHERE id = $id", "completed")]
#[case::another_payload("UPDATE legwork.job SET payload = '[1]' WHERE id = $id", "completed")]
#[case::another_queue("UPDATE legwork.job SET queue = 'elsewhere' WHERE id = $id", "completed")]
#[case::too_many_attempts("UPDATE legwork.job SET attempt = 32767 WHERE id = $id", "completed")]
#[case::negative_attempts("UPDATE legwork.job SET attempt = -32768 WHERE id = $id", "completed")]
#[case::the_future(
    "UPDATE legwork.job SET run_at = now() + interval '1 h' WHERE id = $id",
    "completed"
)]
#[case::the_past(
    "UPDATE legwork.job SET ready_at = '-infinity', created_at = 'infinity' WHERE id = $id",
    "completed"
)]
fn a_running_job_that_somebody_edits_stops_no_other(#[case] edit: &str, #[case] becomes: &str) {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = settings(&db);
        settings.kinds = vec![kind("edited", AT_ONCE), kind("other", AT_ONCE)];
        let gate = Arc::new(Semaphore::new(0));
        let opens = Arc::clone(&gate);
        let (starts, mut started) = mpsc::channel(10);
        let edited = handling(move |_| {
            let (gate, starts) = (Arc::clone(&gate), starts.clone());
            Box::pin(async move {
                starts.send(()).await.expect("the test listens");
                gate.acquire().await.expect("it isn't closed").forget();
                completed()
            })
        });
        let daemon = daemon(settings)
            .with_handler(name("edited"), edited)
            .with_handler(name("other"), deciding(|_| completed()));
        let id = insert(&pool, "edited").await;
        let runner = Runner::start(daemon);
        started.recv().await.expect("it starts");

        let edit = AssertSqlSafe(edit.replace("$id", &id.to_string()));
        sqlx::raw_sql(edit).execute(&pool).await.unwrap();
        opens.add_permits(2);
        support::eventually(&format!("the edited job is {becomes}"), async || {
            state(&pool, id).await == becomes
        })
        .await;
        for _ in 0..3 {
            let other = insert(&pool, "other").await;
            assert_eq!(history(&pool, other).await.outcome, "completed");
        }
        assert_eq!(state(&pool, id).await, becomes);
        runner.stop().await;
        pool.close().await;
    });
}

/// What an owner may preset, and what becomes of the job.
const PRESETS: &[(&str, &str, &str)] = &[
    ("token", "5", "completed"),
    ("token", "-5", "completed"),
    ("token", "9223372036854775807", "available"),
    ("attempt", "3", "completed"),
    ("attempt", "-1", "completed"),
    ("attempt", "32767", "discarded"),
    ("rescues", "32767", "discarded"),
    ("snoozes", "32767", "completed"),
    ("snoozes", "-32768", "completed"),
    ("holder", "4711", "completed"),
    ("cancel_requested", "true", "cancelled"),
    ("ready_at", "'infinity'", "completed"),
    ("ready_at", "'-infinity'", "completed"),
    ("created_at", "'-infinity'", "completed"),
    ("created_at", "'infinity'", "completed"),
];

#[test]
fn columns_that_the_owner_presets_cost_at_most_their_own_job() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut preset = Vec::new();
        for (column, value, becomes) in PRESETS {
            let insert = format!(
                "INSERT INTO legwork.job (kind, {column}) VALUES ('works', {value}) RETURNING id"
            );
            let id: i64 = sqlx::query_scalar(AssertSqlSafe(insert)).fetch_one(&pool).await.unwrap();
            preset.push((format!("{column} = {value}"), id, *becomes));
        }
        pool.execute("INSERT INTO legwork.job (kind) SELECT 'works' FROM generate_series(1, 100)")
            .await
            .unwrap();
        let mut settings = settings(&db);
        settings.kinds = vec![kind("works", AT_ONCE)];
        let works = deciding(|_| completed());
        let runner = Runner::start(daemon(settings).with_handler(name("works"), works));
        for (what, id, becomes) in &preset {
            support::eventually(&format!("the job with {what} is {becomes}"), async || {
                state(&pool, *id).await == *becomes
            })
            .await;
        }
        support::eventually("every plain job is completed", async || {
            let left = "SELECT count(*) FROM legwork.job";
            value::<i64>(&pool, left).await == 1
        })
        .await;
        runner.stop().await;
        pool.close().await;
    });
}
