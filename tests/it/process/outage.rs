//! The database goes and comes back; the daemon stays.

use legwork::embedded::{Halt, Postgres};
use legwork::postgres::migrate;
use nix::sys::signal::Signal;
use rstest::rstest;
use sqlx::postgres::{PgPool, PgPoolOptions};

use super::{Configuration, Notebook, SLACK, count, enqueue, enqueue_many, is_running};
use crate::support::{self, Daemon, PATIENCE, Proxy, server};

/// Runs until it is allowed to end.
const PATIENT: &str = "echo started >> notes
while [ ! -e go ]; do sleep 0.02; done";

const CANARY: &str = "\n[canary]\nenabled = true\ninterval = '1s'\n";
const ROUNDTRIPS: &str = "legwork_canary_roundtrip_seconds_count";

/// Two kinds: one that takes no time, one that runs until it is allowed to end.
fn kinds(notebook: &Notebook) -> [String; 2] {
    [
        notebook.kind("patient", PATIENT, ""),
        "[[kind]]\nname = 'quick'\nhandler = 'noop'\n".to_owned(),
    ]
}

/// Waits until as many jobs of each kind are completed, and none is left.
async fn all_done(pool: &PgPool, patient: i64, quick: i64) {
    support::eventually("every job is completed", async || {
        count(pool, "patient", "completed").await == patient
            && count(pool, "quick", "completed").await == quick
    })
    .await;
    let left = "SELECT count(*) FROM legwork.job WHERE kind <> 'legwork.canary'";
    let left = sqlx::query_scalar(left).fetch_one(pool).await;
    assert_eq!(left.unwrap_or(-1_i64), 0, "no job is left");
}

/// A server and nobody else's, with the schema.
async fn private() -> Postgres {
    let started = tokio::task::spawn_blocking(|| Postgres::start(&server::private_options()));
    let postgres =
        started.await.expect("starting doesn't panic").expect("a private Postgres starts");
    migrate::up(&postgres.url("postgres")).await.expect("the schema can be made");
    postgres
}

async fn restart(mut postgres: Postgres, how: Halt) -> Postgres {
    let restarted = tokio::task::spawn_blocking(move || postgres.restart(how).map(|()| postgres));
    restarted.await.expect("restarting doesn't panic").expect("the server restarts")
}

async fn pool_of(url: &str) -> PgPool {
    let options = PgPoolOptions::new().max_connections(2).acquire_timeout(PATIENCE);
    options.connect(url).await.expect("the server can be reached")
}

#[rstest]
#[case::fast(Halt::Fast)]
#[case::immediate(Halt::Immediate)]
fn a_restart_of_postgres_loses_nothing_and_needs_no_restart_of_the_daemon(#[case] how: Halt) {
    support::run(async |_db| {
        let postgres = private().await;
        let url = postgres.url("postgres");
        let notebook = Notebook::new();
        let kinds = kinds(&notebook);
        let text = Configuration::of(&url, &kinds).text() + CANARY;
        let mut daemon = Daemon::start(&text).await;
        let pool = pool_of(&url).await;
        enqueue(&pool, "patient").await;
        notebook.says("started").await;
        enqueue_many(&pool, "quick", 200).await;
        pool.close().await;
        let came_through = async || daemon.metric(ROUNDTRIPS, &[]).await;
        support::eventually("a canary came through", async || came_through().await >= 1.0).await;

        let postgres = restart(postgres, how).await;
        notebook.allow("go");
        let pool = pool_of(&url).await;
        enqueue_many(&pool, "quick", 50).await;
        all_done(&pool, 1, 250).await;
        support::eventually("the daemon is ready", async || {
            daemon.get("/health/ready").await.0 == 200
        })
        .await;
        // Whatever became of the one that was on its way, the next ones come through.
        let since = came_through().await + 1.5;
        support::eventually("canaries come through", async || came_through().await > since).await;
        assert!(is_running(daemon.pid()));
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
        tokio::task::spawn_blocking(move || postgres.stop()).await.unwrap().unwrap();
    });
}

#[test]
fn sessions_that_are_terminated_again_and_again_lose_nothing() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = kinds(&notebook);
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        enqueue(&pool, "patient").await;
        notebook.says("started").await;

        for round in 1..=5 {
            enqueue_many(&pool, "quick", 100).await;
            let statement = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))
                FROM pg_stat_activity
                WHERE datname = current_database() AND application_name LIKE 'legwork %'";
            let ended: i64 = sqlx::query_scalar(statement).fetch_one(&pool).await.unwrap();
            assert!(round > 1 || ended >= 4, "the daemon's sessions were ended: {ended}");
            enqueue_many(&pool, "quick", 1).await;
            support::eventually("the jobs of this round are completed", async || {
                count(&pool, "quick", "completed").await == round * 101
            })
            .await;
        }
        notebook.allow("go");
        all_done(&pool, 1, 505).await;
        assert!(is_running(daemon.pid()));
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

#[test]
fn connections_that_are_reset_lose_nothing() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let proxy = Proxy::before(&db.url()).await;
        let kinds = kinds(&notebook);
        let mut daemon = Daemon::start(&Configuration::of(proxy.url(), &kinds).text()).await;
        enqueue(&pool, "patient").await;
        notebook.says("started").await;

        for round in 1..=5 {
            enqueue_many(&pool, "quick", 100).await;
            proxy.reset();
            support::eventually("the jobs of this round are completed", async || {
                count(&pool, "quick", "completed").await == round * 100
            })
            .await;
        }
        notebook.allow("go");
        all_done(&pool, 1, 500).await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}
