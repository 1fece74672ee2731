//! The harness itself: a helper that checks others has to be able to fail.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use nix::sys::signal::Signal;
use sqlx::Connection;

use crate::support::{self, Daemon, TestDb, leak};

/// Long enough for what holds to be seen, short enough for what doesn't.
const SHORT: Duration = Duration::from_millis(200);

/// How many databases have this name.
async fn databases_named(name: &str) -> i64 {
    let url = support::database::administrator_url().await;
    let mut session = sqlx::PgConnection::connect(&url).await.expect("the server is there");
    let found = sqlx::query_scalar("SELECT count(*) FROM pg_database WHERE datname = $1");
    let count = found.bind(name).fetch_one(&mut session).await;
    session.close().await.expect("the session ends");
    count.expect("databases can be counted")
}

#[test]
fn each_test_has_a_database_of_its_own_with_the_schema() {
    support::run(async |db| {
        let pool = db.pool().await;
        let tables = "SELECT count(*) FROM pg_class WHERE oid = to_regclass('legwork.job')";
        let count: i64 = sqlx::query_scalar(tables).fetch_one(&pool).await.unwrap();
        assert_eq!(count, 1, "the template is migrated");

        let other = TestDb::create().await;
        assert_ne!(other.name(), db.name());
        other.drop_database().await;
        pool.close().await;
    });
}

#[test]
fn the_database_goes_with_the_test_even_if_it_fails() {
    let mut name = String::new();
    let failed = catch_unwind(AssertUnwindSafe(|| {
        support::run(async |db| {
            db.name().clone_into(&mut name);
            assert_eq!(databases_named(&name).await, 1);
            panic!("a test that fails");
        });
    }));
    assert!(failed.is_err(), "the failure is passed on");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(runtime.block_on(databases_named(&name)), 0);
}

#[test]
fn a_session_that_is_left_open_is_seen() {
    support::run(async |db| {
        let session = db.connect().await;
        let left = leak::left_within(SHORT, &db).await;
        assert!(left.iter().any(|what| what.starts_with("session ")), "{left:?}");
        session.close().await.unwrap();
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the task that nobody owns is what is tested")]
fn a_task_that_is_left_running_is_seen() {
    support::run(async |db| {
        let task = tokio::spawn(std::future::pending::<()>());
        let left = leak::left_within(SHORT, &db).await;
        assert_eq!(left, ["1 tasks of its runtime"]);
        task.abort();
    });
}

#[test]
fn waiting_in_vain_names_what_was_waited_for() {
    support::run(async |_db| {
        assert!(!support::holds_within(SHORT, async || false).await);
        let mut looks = 0;
        support::eventually("the third look", async || {
            looks += 1;
            looks == 3
        })
        .await;
    });
}

/// What a daemon does that matters here: it logs, has a child, takes its time to stop on TERM.
const STAND_IN: &str = r#"
echo 'not a log line'
sleep 600 &
trap 'echo "{\"event\":\"shutdown.done\"}"; kill $!; exit 7' TERM
echo '{"event":"admin.listening","listen":"127.0.0.1:4711"}'
wait
"#;

#[test]
fn a_daemons_log_signals_holdings_and_end_are_seen() {
    support::run(async |_db| {
        let directory = tempfile::tempdir().unwrap();
        let mut command = tokio::process::Command::new("/bin/sh");
        command.args(["-c", STAND_IN]);
        let mut daemon = Daemon::start_command(command, directory).await;

        assert_eq!(daemon.admin().await, "127.0.0.1:4711".parse().unwrap());
        assert!(daemon.printed().contains("not a log line"));
        let cwd = std::fs::read_link(format!("/proc/{}/cwd", daemon.pid())).unwrap();
        assert_eq!(cwd, daemon.directory());
        let holds = daemon.holds();
        assert_eq!((holds.threads, holds.children), (1, 1), "{holds:?}");
        assert!(holds.descriptors >= 3, "{holds:?}");

        let mark = daemon.lines();
        daemon.signal(Signal::SIGTERM);
        daemon.logged_since(mark, "shutdown.done").await;
        assert_eq!(daemon.exit(support::PATIENCE).await.code(), Some(7));
    });
}
