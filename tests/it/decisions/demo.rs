//! Test 9: the demo's summary is computed from `legwork.jobs` after the daemon has stopped, and one
//! sample's wrong outcome makes the exit code 1.
//!
//! A trigger turns one sample's outcome round at the very moment at which the daemon ends its row:
//! a summary that was computed before, or from anything but the rows, wouldn't know.
//!
//! Beside it, what the live page shows: every row and not the first thousands, the rate at which jobs
//! finish, and the port that it has.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::support::{self, Daemon, PATIENCE, http};

const TURN_ROUND: &str = "
    CREATE FUNCTION public.turn_round() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        UPDATE legwork.finished SET outcome = 'discarded' WHERE tags @> '{flaky}';
        RETURN NULL;
    END $$;
    CREATE TRIGGER turn_round AFTER UPDATE ON legwork.daemon FOR EACH ROW
    WHEN (NEW.died_at IS NOT NULL) EXECUTE FUNCTION public.turn_round()";

/// More jobs than one page of rows would hold, finished at one moment.
const FINISHED: usize = 25_000;
const FINISH_MANY: &str = "
    INSERT INTO legwork.finished
        (id, token, run_at, created_at, drop_after, outcome, priority, attempt, queue, kind, payload)
    SELECT 1000000 + n, 1, now(), now(), (now() AT TIME ZONE 'UTC')::date + 1, 'completed', 0, 1,
        'default', 'noop', '{}'
    FROM generate_series(1, 25000) n";

/// A demo that ends by itself and prints its summary as JSON.
async fn demo() -> Daemon {
    demo_with("--once", &[]).await
}

/// The same with these variables.
async fn demo_with(flag: &str, variables: &[(&str, &str)]) -> Daemon {
    let mut command = Command::new(env!("CARGO_BIN_EXE_legwork"));
    command.envs(variables.iter().copied());
    command.args(["--output", "json", "demo", flag]);
    Daemon::start_command(command, tempfile::tempdir().expect("a directory")).await
}

/// Waits for the address that the demo shows, and for its schema; runs these statements there once
/// they can be.
async fn meddle(demo: &Daemon, statements: &'static str) {
    let mut url = None;
    support::eventually("the demo says where its database is", async || {
        let printed = demo.printed();
        let psql = printed.lines().find(|line| line.contains(" -c 'SELECT id"));
        url = psql.and_then(|line| line.split('\'').nth(1)).map(str::to_owned);
        url.is_some()
    })
    .await;
    let mut session = PgConnection::connect(&url.expect("it was found"))
        .await
        .expect("the demo's Postgres can be reached");
    support::eventually("the demo's schema is there", async || {
        // Until the schema is made the statements fail as a whole.
        let made = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut session).await;
        made.is_ok()
    })
    .await;
    session.close().await.expect("the session ends");
}

/// The summary of a demo that has to end with this code.
async fn summary(demo: &mut Daemon, code: i32) -> Value {
    // The demo's own limit is a minute.
    assert_eq!(demo.exit(PATIENCE * 4).await.code(), Some(code), "{}", demo.printed());
    let summary = demo.events().into_iter().find(|line| line["wrong"].is_array());
    summary.unwrap_or_else(|| panic!("no summary in {}", demo.printed()))
}

/// What each line of the live page says: how many jobs are over, and how many were a second.
fn pages(printed: &str) -> Vec<(usize, f64)> {
    let page = |line: &str| {
        let (states, rest) = line.split_once("  | ")?;
        let count = |state: &str| {
            let (_, count) = states.split_once(&format!("  {state} "))?;
            count.split(' ').next()?.parse::<usize>().ok()
        };
        let over = count("completed")? + count("cancelled")? + count("discarded")?;
        Some((over, rest.split_once("/s ")?.0.parse().ok()?))
    };
    printed.lines().filter_map(page).collect()
}

#[test]
fn a_wrong_outcome_that_only_the_rows_know_of_makes_the_demo_fail() {
    support::run(async |_db| {
        let mut demo = demo().await;
        meddle(&demo, TURN_ROUND).await;
        let summary = summary(&mut demo, 1).await;
        let wrong = summary["wrong"].as_array().expect("a list");
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        let wrong = wrong[0].as_str().expect("a sentence");
        assert!(wrong.starts_with("\"flaky\" should be completed"), "{wrong}");
    });
}

#[test]
fn the_demo_counts_every_row_and_shows_how_many_jobs_finish_a_second() {
    support::run(async |_db| {
        let mut demo = demo().await;
        // A first page without them, so that the second shows a rate.
        let draws = async || !pages(&demo.printed()).is_empty();
        support::eventually("the demo has drawn its page", draws).await;
        meddle(&demo, FINISH_MANY).await;
        let summary = summary(&mut demo, 0).await;
        // Besides the schedule's, one each second.
        let samples = 37;
        let enqueued = summary["enqueued"].as_u64().expect("a number");
        assert!(enqueued > (FINISHED + samples) as u64, "{summary}");
        let outcomes = summary["by_outcome"].as_object().expect("a table");
        assert_eq!(outcomes.values().filter_map(Value::as_u64).sum::<u64>(), enqueued, "{summary}");
        assert!(summary["attempts"].as_u64() > Some(FINISHED as u64), "{summary}");

        let pages = pages(&demo.printed());
        let mut jumps = 0;
        for pair in pages.windows(2) {
            let ((before, _), (after, rate)) = (pair[0], pair[1]);
            if after == before {
                assert!(rate < 0.5, "nothing finished: {pages:?}");
            } else if after - before >= FINISHED {
                jumps += 1;
                assert!(rate > 100.0, "thousands finished between two looks: {pages:?}");
            }
        }
        assert_eq!(jumps, 1, "{pages:?}");
    });
}

#[test]
fn two_demos_at_once_have_a_port_each_and_show_which() {
    support::run(async |_db| {
        let mut demos = Vec::new();
        let mut ports = BTreeSet::new();
        // Both are begun before either is waited for: the first ends by itself, and then its port is free again.
        for demo in [demo().await, demo().await] {
            let mut shown = None;
            support::eventually("the demo shows its port", async || {
                let printed = demo.printed();
                let place = printed.split_once("curl http://").map(|(_, rest)| rest.to_owned());
                shown = place.and_then(|rest| rest.split('/').next()?.parse().ok());
                shown.is_some()
            })
            .await;
            let shown: SocketAddr = shown.expect("it was found");
            // Nobody can come between what it shows and what its daemon serves.
            let taken = TcpListener::bind(shown).await;
            assert!(taken.is_err(), "{shown} is the demo's");
            demos.push((demo, shown));
        }
        for (demo, shown) in &demos {
            let works = async || !pages(&demo.printed()).is_empty();
            support::eventually("the demo has drawn its page", works).await;
            assert_eq!(http::get(*shown, "/health/live").await.0, 200, "{}", demo.printed());
            ports.insert(shown.port());
        }
        assert_eq!(ports.len(), 2, "{ports:?}");
        for (demo, _) in &mut demos {
            summary(demo, 0).await;
        }
    });
}

#[test]
fn a_demo_whose_terminal_is_closed_ends_with_its_postgres() {
    support::run(async |_db| {
        let mut demo = demo().await;
        // Seconds before its samples have ended.
        meddle(&demo, "SELECT").await;
        demo.signal(Signal::SIGHUP);
        let summary = summary(&mut demo, 1).await;
        assert_ne!(summary["wrong"], serde_json::json!([]), "{summary}");
        let printed = demo.printed();
        let psql = printed.lines().find(|line| line.contains(" -c 'SELECT id")).expect("shown");
        let url = psql.split('\'').nth(1).expect("an address");
        assert!(PgConnection::connect(url).await.is_err(), "{url} is gone");
    });
}

#[test]
fn a_demo_asks_its_own_postgres_for_no_tls_whatever_the_environment_says_of_others() {
    support::run(async |_db| {
        let mut demo = demo_with("--once", &[("PGSSLMODE", "verify-full")]).await;
        summary(&mut demo, 0).await;
    });
}
