//! `legwork bench`: what it measures did happen, and what it made is gone.

use super::legwork;
use crate::support::{self, TestDb};
use legwork::embedded::Postgres;
use serde_json::Value;

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
            assert!(
                cost(&figures)["jobs_per_s"].as_f64().is_some_and(|rate| rate > 0.0),
                "{figures}"
            );
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
        let arguments = ["bench", "latency", "--jobs", "50", "--rate", "40", "--output", "json"];
        let figures = legwork(&db, &arguments).await.done().json();
        assert_eq!(figures["commit_to_start_ms"]["n"], 50);
        assert_eq!((&figures["rate"], &figures["n"]), (&40.into(), &90.into()), "{figures}");
        assert!(cost(&figures["bare"])["wal_bytes_per_job"].as_f64() > Some(0.0), "{figures}");
        assert!(cost(&figures)["wal_bytes_per_job"].as_f64() > Some(0.0), "{figures}");
        let insert = figures["insert_ms"]["p50"].as_f64().expect("a number");
        let call = figures["call_to_start_ms"]["max"].as_f64().expect("a number");
        assert!(call > 0.0 && insert > 0.0, "{figures}");
    });
}

/// What every stretch of work tells of its cost.
fn cost(stretch: &Value) -> &Value {
    for field in ["wal_bytes_per_job", "pg_cpu_us_per_job", "worker_cpu_us_per_job"] {
        assert!(stretch[field].is_number(), "{field} in {stretch}");
    }
    stretch
}

/// The figures of a run.
async fn figures(db: &TestDb, arguments: &[&str]) -> Value {
    let arguments = [&["bench"], arguments, &["--output", "json"]].concat();
    let figures = legwork(db, &arguments).await.done().json();
    assert!(figures["dead_rows"].as_i64() > Some(0), "{figures}");
    figures
}

#[test]
fn a_churn_under_a_held_snapshot_is_told_slice_by_slice() {
    support::run(async |db| {
        let figures = figures(&db, &["pinned", "--jobs", "2000"]).await;
        let slices = figures["slices"].as_array().expect("slices");
        assert_eq!((slices.len(), &figures["n"]), (10, &2000.into()), "{figures}");
        assert_eq!(figures["handled_twice"], 0);
        // Each job is claimed, which leaves a dead row, and ends, which leaves another; none can be removed.
        assert!(figures["dead_rows"].as_i64() >= Some(4000), "{figures}");
        for slice in slices {
            assert!(slice["dead_rows"].is_number(), "{slice}");
            assert!(cost(slice)["jobs_per_s"].as_f64() > Some(0.0), "{slice}");
            assert!(slice["claims"]["ms"]["n"].as_u64() > Some(0), "{slice}");
        }
        assert!(figures["server"]["shared_buffers"].is_string(), "{figures}");
        assert!(figures["peak_memory_bytes"].as_u64() > Some(1 << 20), "{figures}");
    });
}

#[test]
fn claims_are_told_for_each_thing_that_piles_up() {
    support::run(async |db| {
        let figures = figures(&db, &["backlog", "--jobs", "2000"]).await;
        let stages = figures["stages"].as_array().expect("stages");
        let names: Vec<_> = stages.iter().map(|stage| stage["name"].as_str().unwrap()).collect();
        let expected = ["few", "beside_scheduled", "beside_unserved", "beside_paused", "many"];
        assert_eq!((names.as_slice(), &figures["handled"]), (&expected[..], &200.into()));
        for stage in stages {
            let claims = &stage["claims"];
            assert!(claims["ms"]["p99"].as_f64() > Some(0.0), "{stage}");
            assert!(stage["wal_bytes_per_job"].as_f64() > Some(0.0), "{stage}");
            assert!(cost(stage)["jobs_per_s"].as_f64() > Some(0.0), "{stage}");
            let jobs =
                claims["jobs_per_claim"].as_f64().unwrap() * claims["ms"]["n"].as_f64().unwrap();
            // Each stage claims what it handles; the last claims on until it is told to stop.
            assert!(jobs > 190.0, "{stage}");
        }
    });
}

#[test]
fn a_fleet_is_told_for_each_number_of_daemons() {
    support::run(async |db| {
        let figures = figures(&db, &["fleet", "--jobs", "3000", "--daemons", "3"]).await;
        let crews = figures["crews"].as_array().expect("crews");
        let sizes: Vec<_> = crews.iter().map(|crew| crew["daemons"].as_u64().unwrap()).collect();
        assert_eq!((sizes.as_slice(), &figures["n"]), (&[1, 2, 3][..], &3000.into()));
        for crew in crews {
            assert_eq!(crew["handled_twice"], 0, "{crew}");
            assert!(cost(crew)["jobs_per_s"].as_f64() > Some(0.0), "{crew}");
            assert!(crew["connections_per_daemon"].as_f64() >= Some(1.0), "{crew}");
        }
    });
}

#[test]
fn inserts_are_told_beside_a_bare_tables_for_each_number_of_clients() {
    // A server counts WAL for all of its databases: on this one nobody else writes.
    let cluster = Postgres::start(&support::server::private_options()).expect("a private Postgres");
    let url = cluster.url("postgres");
    support::run(async |db| {
        let mut clients = vec!["enqueue", "--jobs", "500", "--seconds", "1", "--clients", "1,3"];
        clients.extend(["--database-url", &url]);
        let figures = figures(&db, &clients).await;
        let beside = figures["beside_daemon"].as_array().expect("numbers of clients");
        let numbers: Vec<_> = beside.iter().map(|row| row["clients"].as_u64().unwrap()).collect();
        assert_eq!(numbers, [1, 3]);
        for row in beside {
            let rate = |name: &str| row[name].as_f64().expect("a rate");
            let ratio = rate("per_s") / rate("bare_per_s");
            assert!((rate("to_bare") - ratio).abs() < 0.01, "{row}");
            // A job's row has more to it than a bare one, and then it is handled.
            let wal = (
                cost(row)["wal_bytes_per_job"].as_f64(),
                cost(&row["bare"])["wal_bytes_per_job"].as_f64(),
            );
            assert!(wal.0 > wal.1 && wal.1 > Some(0.0), "{row}");
        }
        assert!(figures["bare_bulk_rows_per_s"].as_f64() > Some(0.0), "{figures}");
    });
}

#[test]
fn what_people_read_names_each_row() {
    support::run(async |db| {
        let works = [
            (["pinned", "--jobs", "100"], "the last to the first: "),
            (["backlog", "--jobs", "100"], "\nbeside_paused "),
            (["fleet", "--jobs", "100"], "\n      8 "),
        ];
        for (work, shown) in works {
            let arguments = [&["bench"], work.as_slice()].concat();
            let text = legwork(&db, &arguments).await.done().stdout;
            assert!(text.contains(shown), "{text}");
        }
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
