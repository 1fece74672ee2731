//! An attempt that has to stop: the server stops working for it, and nothing of it is kept.

use std::time::Duration;

use rstest::rstest;
use sqlx::PgPool;

use super::{
    Gate, attempts_on_the_server, calls, database, deaf, effects, enqueue, function, nothing_works,
    with,
};
use crate::pipeline::{Runner, daemon, history, value};
use crate::support;

async fn cancel(pool: &PgPool, id: i64) -> String {
    let asked = sqlx::query_scalar("SELECT legwork.cancel($1)").bind(id).fetch_one(pool).await;
    asked.expect("a job can be cancelled")
}

#[rstest]
#[case::in_the_function("function")]
#[case::in_what_it_put_off("put off")]
fn a_cancel_ends_the_work_on_the_server_and_undoes_it(#[case] step: &'static str) {
    support::run(async move |db| {
        let pool = database(&db, &deaf()).await;
        let mut gate = Gate::at(&db, step).await;
        let runner = Runner::start(daemon(with(&db, vec![calls("works", "deaf", None)])));
        let id = enqueue(&pool, "works", "{}").await;
        gate.reached().await;
        assert_eq!(cancel(&pool, id).await, "requested");
        assert_eq!(history(&pool, id).await.outcome, "cancelled");
        // The gate is still closed: nothing but being ended lets the server's process go.
        nothing_works(&pool).await;
        assert_eq!(effects(&pool, id).await, 0);
        gate.open().await;
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_cancel_that_comes_while_a_function_runs_waits_for_nothing() {
    support::run(async |db| {
        let pool = database(&db, "").await;
        let mut gate = Gate::at(&db, "function").await;
        let runner = Runner::start(daemon(with(&db, vec![calls("works", "work", None)])));
        let id = enqueue(&pool, "works", "{}").await;
        gate.reached().await;
        let locked =
            sqlx::query("SELECT FROM legwork.job WHERE id = $1 FOR UPDATE NOWAIT").bind(id);
        locked.fetch_one(&pool).await.expect("the running job's row isn't locked");
        gate.open().await;
        assert_eq!(history(&pool, id).await.outcome, "completed");
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_function_that_takes_too_long_is_ended_and_its_attempt_has_timed_out() {
    support::run(async |db| {
        let pool = database(&db, &deaf()).await;
        let mut gate = Gate::at(&db, "function").await;
        let mut kind = calls("works", "deaf", None);
        kind.policy.timeout = Duration::from_secs(1);
        kind.policy.max_attempts = 1;
        let runner = Runner::start(daemon(with(&db, vec![kind])));
        let id = enqueue(&pool, "works", "{}").await;
        gate.reached().await;
        let end = history(&pool, id).await;
        assert_eq!(end.reason.as_deref(), Some("attempts_exhausted"));
        assert!(end.failures[0].starts_with("1 timed_out: "), "{end:?}");
        nothing_works(&pool).await;
        assert_eq!(effects(&pool, id).await, 0);
        gate.open().await;
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn the_server_knows_the_attempts_limit_and_the_numbers_of_its_job() {
    support::run(async |db| {
        let body = "RETURN jsonb_build_array(extract(epoch FROM current_setting('statement_timeout')::interval),
            current_setting('legwork.kind'), current_setting('legwork.queue'),
            current_setting('legwork.max_attempts'), current_setting('legwork.lease_token'));";
        let pool = database(&db, &function("knows", body)).await;
        let mut kind = calls("knows", "knows", None);
        kind.policy.timeout = Duration::from_secs(100);
        kind.policy.max_attempts = 7;
        let runner = Runner::start(daemon(with(&db, vec![kind])));
        let id = enqueue(&pool, "knows", "{}").await;
        history(&pool, id).await;
        let knew = "SELECT (result ->> 0)::float8 BETWEEN 60 AND 100.5
            AND result - 0 = '[\"knows\", \"default\", \"7\", \"1\"]' FROM legwork.finished";
        assert!(value::<bool>(&pool, knew).await);
        runner.stop().await;
        pool.close().await;
    });
}

#[rstest]
#[case::in_the_function("function")]
#[case::in_what_it_put_off("put off")]
#[case::in_the_fence("fence")]
fn a_shutdown_ends_the_work_on_the_server_and_gives_the_job_back_uncharged(
    #[case] step: &'static str,
) {
    support::run(async move |db| {
        let pool = database(&db, &deaf()).await;
        let mut gate = Gate::at(&db, step).await;
        let mut settings = with(&db, vec![calls("works", "deaf", None)]);
        settings.shutdown.grace = Duration::ZERO;
        let runner = Runner::start(daemon(settings));
        let id = enqueue(&pool, "works", "{}").await;
        gate.reached().await;
        runner.stop().await;
        nothing_works(&pool).await;
        let back = "SELECT holder IS NULL AND attempt = 0 FROM legwork.job";
        assert!(value::<bool>(&pool, back).await);
        assert_eq!(effects(&pool, id).await, 0);
        gate.open().await;
        pool.close().await;
    });
}

#[test]
fn no_more_attempts_than_sql_connections_are_on_the_server_and_the_others_are_put_off() {
    support::run(async |db| {
        let pool = database(&db, "").await;
        let mut gate = Gate::at(&db, "function").await;
        let mut settings = with(&db, vec![calls("works", "work", None)]);
        settings.database.sql_connections = 2;
        let runner = Runner::start(daemon(settings));
        for _ in 0..4 {
            enqueue(&pool, "works", "{}").await;
        }
        gate.reached().await;
        support::eventually("two were put off, uncharged", async || {
            let put_off = "SELECT count(*) FROM legwork.job WHERE snoozes > 0 AND attempt = 0";
            value::<i64>(&pool, put_off).await == 2
        })
        .await;
        assert_eq!(attempts_on_the_server(&pool).await, 2);
        gate.open().await;
        crate::pipeline::drained(&pool).await;
        assert_eq!(value::<i64>(&pool, "SELECT count(*) FROM app.effect").await, 4);
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn an_attempt_whose_lease_is_gone_at_the_fence_is_rolled_back() {
    support::run(async |db| {
        let pool = database(&db, "").await;
        let mut gate = Gate::at(&db, "function").await;
        let daemon = daemon(with(&db, vec![calls("works", "work", None)]));
        let metrics = daemon.metrics();
        let runner = Runner::start(daemon);
        let id = enqueue(&pool, "works", "{}").await;
        gate.reached().await;
        // Somebody else claims it, as after a rescue; a holder without a row would be rescued in turn.
        let other =
            "INSERT INTO legwork.daemon (id, expires_at) VALUES (5, now() + interval '1 h')";
        sqlx::query(other).execute(&pool).await.unwrap();
        let taken = "UPDATE legwork.job SET token = token + 1, holder = 5 WHERE id = $1";
        sqlx::query(taken).bind(id).execute(&pool).await.unwrap();
        gate.open().await;
        nothing_works(&pool).await;
        assert_eq!(effects(&pool, id).await, 0);
        support::eventually("the late result is counted", async || {
            let text = metrics.render();
            text.lines().any(|line| {
                line.starts_with("legwork_late_results_total{op=\"sql\",reason=\"lease_lost\"}")
                    && line.ends_with(" 1")
            })
        })
        .await;
        let theirs = "SELECT holder = 5 AND token = 2 AND attempt = 0 FROM legwork.job";
        assert!(value::<bool>(&pool, theirs).await);
        runner.stop().await;
        pool.close().await;
    });
}
