//! Trap 10: wake-ups that anybody can forge, and a bulk write that the database may refuse.
//!
//! Any role may NOTIFY, and a NOTIFY takes a lock of the whole database at commit. So a wake-up is a
//! hint: a storm of them makes no storm of statements, and without any of them every job still runs.
//! COPY is refused where a table has row-level security; what goes by COPY has another way.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use futures::future::join_all;
use legwork::config::DatabaseUrl;
use legwork::job::{JobError, Outcome};
use legwork::postgres::{Listener, Notice};
use nix::sys::signal::Signal;
use sqlx::{Connection, Executor, PgPool};
use tokio::time::{Instant, timeout};

use crate::cli;
use crate::pipeline::{
    AT_ONCE, Runner, completed, daemon, deciding, history, insert, kind, name, settings, value,
};
use crate::process::{Configuration, Notebook, SLACK, becomes, enqueue};
use crate::support::{self, Daemon, PATIENCE, TestDb};

/// How long the storm blows.
const STORM: Duration = Duration::from_secs(4);
/// What a storm may cost: fifty looks that were saved up and fifty a second, and half as many again for
/// polls and a machine that is slow to count.
const LOOKS: f64 = 1.5 * (50.0 + 4.0 * 50.0);

/// Notifies as fast as Postgres lets it, from sessions that may do nothing else; how often it did.
async fn storm(db: &TestDb, notify: &'static str) -> u64 {
    let forge = async || {
        let mut session = db.connect().await;
        let role = "SET ROLE legwork_read; SET synchronous_commit = off";
        session.execute(sqlx::raw_sql(role)).await.expect("the role can be taken on");
        let began = Instant::now();
        let mut sent = 0;
        while began.elapsed() < STORM {
            session.execute(notify).await.expect("any role may notify");
            sent += 1;
        }
        session.close().await.expect("the session ends");
        sent
    };
    join_all((0..4).map(|_| forge())).await.into_iter().sum()
}

/// A daemon that hears who rings.
async fn listening(db: &TestDb) -> Daemon {
    let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
    let daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
    support::eventually("the listener listens", async || {
        daemon.metric("legwork_listener_connected", &[]).await > 0.5
    })
    .await;
    daemon
}

/// How many claims the daemon has sent.
async fn claims(daemon: &Daemon) -> f64 {
    daemon.metric("legwork_poll_duration_seconds_count", &[]).await
}

#[test]
fn trap_10_a_storm_of_forged_notifications_is_no_storm_of_claims_and_jobs_still_run() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut daemon = listening(&db).await;
        let before = claims(&daemon).await;
        let job = async {
            let id = enqueue(&pool, "noop").await;
            becomes(&pool, id, "completed").await;
        };
        let (sent, ran) = tokio::join!(storm(&db, "NOTIFY legwork"), timeout(STORM, job));
        let looks = claims(&daemon).await - before;
        assert!(ran.is_ok(), "a job waited for longer than the storm");
        assert!(sent > 2000, "{sent} notifications are no storm");
        assert!(looks < LOOKS, "{sent} notifications made {looks} claims, {LOOKS} are allowed");
        let woken = daemon.metric("legwork_notify_wakeups_total", &["source=\"notify\""]).await;
        assert!(woken > 10.0, "the storm wasn't heard: {woken}");
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

/// How often daemons have asked producers to ring.
async fn asked_to_ring(daemon: &Daemon) -> f64 {
    let asked = "operation=\"doorbell_extend\"";
    daemon.metric("legwork_db_operation_duration_seconds_count", &[asked]).await
}

#[test]
fn trap_10_many_rings_make_it_look_at_once_and_a_storm_of_forged_ones_not_all_the_time() {
    const STORM: &str = "SELECT pg_notify('legwork', i::text) FROM generate_series(1, 300000) i";
    // Half of what is between two looks that nobody asked for: such a one may fall into one storm, but not into two in
    // a row.
    const AT_ONCE: Duration = Duration::from_secs(4);
    const STORMS: u32 = 2;
    support::run(async |db| {
        let pool = db.pool().await;
        let mut daemon = listening(&db).await;
        for _ in 0..STORMS {
            let (before, began) = (asked_to_ring(&daemon).await, Instant::now());
            pool.execute(STORM).await.expect("any role may notify");
            // It rings as well, and so its ring comes after all of theirs.
            let id = enqueue(&pool, "noop").await;
            becomes(&pool, id, "completed").await;
            let looked_at_once = support::holds_within(AT_ONCE, async || {
                asked_to_ring(&daemon).await > before + 1.0
            })
            .await;
            let looks = asked_to_ring(&daemon).await - before;
            let most = 10.0 + 20.0 * began.elapsed().as_secs_f64();
            assert!(looks < most, "{looks} looks, {most} are allowed");
            assert!(looked_at_once, "many rings made it look no sooner: {looks} looks");
        }
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

#[test]
fn trap_10_who_hears_a_storm_lets_others_run_between_its_notices() {
    const NOTICES: u32 = 20_000;
    const STORM: &str = "SELECT pg_notify('legwork', i::text) FROM generate_series(1, 20000) i";
    // What arrived together is read without waiting: without a pause of its own the ear would be done in a few goes.
    const GOES: u32 = 100;
    support::run(async |db| {
        let pool = db.pool().await;
        let connector = support::pooled::connector_of(&settings(&db).database);
        let mut listener = Listener::connect(&connector).await.expect("it listens");
        pool.execute(STORM).await.expect("any role may notify");
        let mut goes = 0;
        let hearing = async {
            for _ in 0..NOTICES {
                assert_eq!(listener.next().await.expect("it hears"), Notice::Jobs);
            }
        };
        // A future that is polled goes on until it has to wait: how often it is, others get their turn.
        let mut hearing = pin!(hearing);
        poll_fn(|context| {
            goes += 1;
            hearing.as_mut().poll(context)
        })
        .await;
        assert!(goes > GOES, "{NOTICES} notices were heard in {goes} goes");
        pool.close().await;
    });
}

/// How often Postgres has walked the index that only the look for cancelled jobs walks.
async fn looks_for_cancelled(pool: &PgPool) -> i64 {
    value(
        pool,
        "SELECT coalesce(idx_scan, 0) FROM pg_stat_user_indexes WHERE indexrelname = 'job_cancel'",
    )
    .await
}

#[test]
fn trap_10_a_storm_of_forged_cancels_is_no_storm_of_statements_and_stops_nobody() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let script = "echo started >> notes; while [ ! -e go ]; do sleep 0.02; done";
        let kinds = [notebook.kind("patient", script, "")];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let id = enqueue(&pool, "patient").await;
        notebook.says("started").await;
        let before = looks_for_cancelled(&pool).await;
        let sent = storm(&db, "NOTIFY legwork_cancel, '1'").await;
        assert!(sent > 2000, "{sent} notifications are no storm");
        // A backend reports what it did a second later at the most, once it does something more.
        support::eventually("the looks are counted", async || {
            looks_for_cancelled(&pool).await > before + 10
        })
        .await;
        let looks = looks_for_cancelled(&pool).await - before;
        assert!(looks < 200, "{sent} notifications made {looks} looks");
        notebook.allow("go");
        becomes(&pool, id, "completed").await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

#[test]
fn trap_10_without_any_notification_every_job_runs_by_the_poll() {
    support::run(async |db| {
        let pool = db.pool().await;
        pool.execute("ALTER TABLE legwork.job DISABLE TRIGGER ring").await.unwrap();
        let mut settings = settings(&db);
        settings.kinds = vec![kind("works", AT_ONCE)];
        let works = deciding(|_| completed());
        let runner = Runner::start(daemon(settings).with_handler(name("works"), works));
        for _ in 0..10 {
            let id = insert(&pool, "works").await;
            assert_eq!(history(&pool, id).await.outcome, "completed");
        }
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn trap_10_a_table_that_refuses_copy_loses_no_record_of_what_failed() {
    support::run(async |db| {
        let pool = db.pool().await;
        pool.execute(sqlx::raw_sql(
            "ALTER TABLE legwork.failed_attempt ENABLE ROW LEVEL SECURITY;
             CREATE POLICY everything ON legwork.failed_attempt TO legwork_daemon USING (true)",
        ))
        .await
        .unwrap();
        let mut copying = db.connect().await;
        copying.execute("SET ROLE legwork_daemon").await.unwrap();
        let refused = copying.copy_in_raw("COPY legwork.failed_attempt (job_id) FROM STDIN").await;
        let refused = refused.err().expect("the trap is set: COPY is refused").to_string();
        assert!(refused.contains("row-level security"), "{refused}");
        copying.close().await.unwrap();

        let mut settings = settings(&db);
        settings.database.url = Some(DatabaseUrl::new(db.url_as("legwork_daemon")));
        support::pooled::lead(&mut settings.database);
        settings.kinds = vec![kind("fails", AT_ONCE)];
        let fails = deciding(|context| {
            if context.is_final_attempt() {
                return completed();
            }
            Outcome::Retry { error: JobError::new("not\tyet\n\\."), after: None }
        });
        let runner = Runner::start(daemon(settings).with_handler(name("fails"), fails));
        let jobs = "INSERT INTO legwork.job (kind, max_attempts)
            SELECT 'fails', 2 FROM generate_series(1, 50) RETURNING id";
        let ids: Vec<i64> = sqlx::query_scalar(jobs).fetch_all(&pool).await.unwrap();
        for id in ids {
            let found = history(&pool, id).await;
            assert_eq!((found.outcome.as_str(), found.attempt), ("completed", 2));
            assert_eq!(found.failures, ["1 failed: not\tyet\n\\."]);
        }
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn trap_10_a_file_of_jobs_that_copy_cannot_bring_is_refused_with_what_to_do() {
    support::run(async |db| {
        let mut session = db.connect().await;
        session.execute("ALTER TABLE legwork.job ENABLE ROW LEVEL SECURITY").await.unwrap();
        session.close().await.unwrap();
        let command = cli::command(&db.url_as("legwork_enqueue"), &["enqueue", "--file", "-"]);
        let ran = timeout(PATIENCE, cli::finished(command, Some(b"{\"kind\":\"k\"}\n"))).await;
        let ran = ran.expect("it ends");
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("row-level security"), "{}", ran.stderr);
        assert!(ran.stderr.contains("Use INSERT statements instead"), "{}", ran.stderr);
    });
}
