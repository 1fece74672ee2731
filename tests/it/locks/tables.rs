//! A whole table that somebody holds: statements end on the server too, and nothing piles up there.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use rstest::rstest;
use sqlx::PgPool;

use super::{Locker, PATIENT};
use crate::pipeline::{drained, value};
use crate::process::{Configuration, Notebook, SLACK, count, enqueue_many};
use crate::statements::{end, rows};
use crate::support::{self, Daemon, PATIENCE};

/// Sessions of a daemon (docs/concurrency.md).
const SESSIONS: i64 = 6;

/// The daemon's backends.
async fn backends(pool: &PgPool) -> i64 {
    let ours = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'legwork %'";
    value(pool, ours).await
}

#[rstest]
#[case::of_jobs("job", "finish")]
#[case::of_history("finished", "finish")]
#[case::of_daemons("daemon", "daemon_re")]
fn a_table_that_somebody_locks_leaves_no_backend_behind(
    #[case] table: &'static str,
    #[case] operation: &'static str,
) {
    support::run(async move |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("patient", PATIENT, "")];
        let url = db.url();
        let configuration =
            Configuration { statement_timeout: "1s", ..Configuration::of(&url, &kinds) };
        let mut daemon = Daemon::start(&configuration.text()).await;
        enqueue_many(&pool, "patient", 8).await;
        support::eventually("they run", async || {
            value::<i64>(&pool, "SELECT count(*) FROM legwork.job WHERE holder IS NOT NULL").await
                == 8
        })
        .await;

        let locker =
            Locker::holds(&db, &format!("LOCK TABLE legwork.{table} IN ACCESS EXCLUSIVE MODE"))
                .await;
        notebook.allow("go");
        // Its begin: a daemon renews its row or registers another.
        let failing = format!("operation=\"{operation}");
        let mut most = 0;
        support::eventually("several deadlines have passed", async || {
            most = most.max(backends(&pool).await);
            daemon.metric("legwork_db_errors_total", &[&failing]).await >= 5.0
        })
        .await;
        // A lease that runs out closes a connection earlier than the server ends its statement.
        assert!(most <= SESSIONS + 1, "{most} backends");
        locker.lets_go().await;

        drained(&pool).await;
        assert_eq!(count(&pool, "patient", "completed").await, 8);
        let mut session = db.connect().await;
        let broken = rows(&mut session, "SELECT * FROM legwork.invariants()").await;
        end(session).await;
        assert_eq!(broken, [""; 0]);
        support::eventually("the daemon is ready", async || {
            daemon.get("/health/ready").await.0 == 200
        })
        .await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(PATIENCE + SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

#[test]
fn a_daemon_that_cannot_look_at_its_schema_leaves_no_backend_behind_and_starts_once_it_can() {
    support::run(async |db| {
        let pool = db.pool().await;
        let url = db.url();
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let configuration =
            Configuration { statement_timeout: "300ms", ..Configuration::of(&url, &kinds) };
        let lock = "LOCK TABLE legwork.migration IN ACCESS EXCLUSIVE MODE";
        let locker = Locker::holds(&db, lock).await;
        let mut daemon = Daemon::start(&configuration.text()).await;
        let (mut most, mut seen) = (0, BTreeSet::new());
        support::eventually("it has looked several times", async || {
            let looks = "SELECT pid FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'legwork start'";
            let pids: Vec<i32> = sqlx::query_scalar(looks).fetch_all(&pool).await.unwrap();
            most = most.max(pids.len());
            seen.extend(pids);
            seen.len() >= 5
        })
        .await;
        assert!(most <= 2, "{most} backends at once, of {}", seen.len());
        locker.lets_go().await;
        daemon.logged("daemon.started").await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}
