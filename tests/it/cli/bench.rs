//! `legwork bench`: what it measures did happen, and what it made is gone.

use super::legwork;
use crate::support::{self, TestDb};

async fn databases_left(db: &TestDb) -> i64 {
    let pool = db.pool().await;
    // The names of a run that another test has under way at the moment are its own business: they
    // go away too, so this is waited for.
    let count = "SELECT count(*) FROM pg_database WHERE datname LIKE 'legwork\\_bench\\_%'";
    let count = sqlx::query_scalar(count).fetch_one(&pool).await.expect("databases can be counted");
    pool.close().await;
    count
}

#[test]
fn a_drain_handles_every_job_once_and_leaves_no_database() {
    support::run(async |db| {
        for history in ["on", "off"] {
            let arguments =
                ["bench", "drain", "--jobs", "2000", "--history", history, "--output", "json"];
            let figures = legwork(&db, &arguments).await.done().json();
            assert_eq!(figures["peer"], "legwork");
            assert_eq!(figures["n"], 2000);
            assert_eq!(figures["handled_twice"], 0);
            assert_eq!(figures["config"]["history"], history == "on");
            assert!(figures["jobs_per_s"].as_f64().is_some_and(|rate| rate > 0.0), "{figures}");
        }
        support::eventually("every benchmark's database is gone", async || {
            databases_left(&db).await == 0
        })
        .await;
    });
}

#[test]
fn latency_is_told_for_every_job_after_the_first_second() {
    support::run(async |db| {
        let arguments = ["bench", "latency", "--jobs", "50", "--output", "json"];
        let figures = legwork(&db, &arguments).await.done().json();
        assert_eq!(figures["commit_to_start_ms"]["n"], 50);
        let insert = figures["insert_ms"]["p50"].as_f64().expect("a number");
        let call = figures["call_to_start_ms"]["max"].as_f64().expect("a number");
        assert!(call > 0.0 && insert > 0.0, "{figures}");
    });
}

#[test]
fn a_server_that_is_not_there_is_said_with_its_exit_code() {
    support::run(async |db| {
        let nowhere = "postgres://127.0.0.1:1/postgres";
        let ran = legwork(&db, &["bench", "drain", "--database-url", nowhere]).await;
        assert_eq!(ran.code, 69, "{}", ran.stderr);
    });
}
