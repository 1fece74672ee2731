//! Whatever is cut off at whatever step, the effect of a completed job is there exactly once.

use std::time::Duration;

use legwork::config::DatabaseUrl;
use nix::sys::signal::Signal;
use rstest::rstest;
use sqlx::{Connection as _, PgConnection, PgPool};

use super::{Gate, calls, database, effects, enqueue, nothing_works, with};
use crate::pipeline::{Runner, daemon, drained, history, value};
use crate::process::{Configuration, SLACK, becomes};
use crate::statements::{end, execute};
use crate::support::database::administrator_url;
use crate::support::{self, Daemon, Proxy};

/// The kind in the real binary's file.
fn kinds() -> [String; 1] {
    ["[[kind]]\nname = 'works'\nhandler = 'sql'\nfunction = 'app.work'\nbackoff.base = '50ms'\n"
        .to_owned()]
}

async fn terminate(pool: &PgPool, pid: i32) {
    let ended = sqlx::query_scalar::<_, bool>("SELECT pg_terminate_backend($1)").bind(pid);
    assert!(ended.fetch_one(pool).await.expect("a process can be ended"));
}

/// The job is completed, and its effect and its history are there once.
async fn is_there_once(pool: &PgPool, id: i64) {
    assert_eq!(history(pool, id).await.outcome, "completed");
    drained(pool).await;
    assert_eq!(effects(pool, id).await, 1);
    let rows: i64 = value(pool, "SELECT count(*) FROM legwork.finished").await;
    assert_eq!(rows, 1);
}

#[rstest]
#[case::in_the_function("function")]
#[case::in_what_it_put_off("put off")]
#[case::in_the_fence("fence")]
#[case::in_the_commit("commit")]
fn a_backend_that_is_killed_costs_an_attempt_and_no_effect(#[case] step: &'static str) {
    support::run(async move |db| {
        let pool = database(&db, "").await;
        let mut gate = Gate::at(&db, step).await;
        let runner = Runner::start(daemon(with(&db, vec![calls("works", "work", None)])));
        let id = enqueue(&pool, "works", "{}").await;
        let pid = gate.reached().await;
        terminate(&pool, pid).await;
        support::eventually("the attempt has failed", async || {
            value::<i64>(&pool, "SELECT count(*) FROM legwork.failed_attempt").await == 1
        })
        .await;
        assert_eq!(effects(&pool, id).await, 0);
        gate.open().await;
        is_there_once(&pool, id).await;
        let end = history(&pool, id).await;
        assert_eq!(end.attempt, 2);
        assert!(end.failures[0].contains("the connection was lost"), "{end:?}");
        runner.stop().await;
        pool.close().await;
    });
}

#[rstest]
#[case::before_begin("")]
#[case::in_the_function("function")]
#[case::in_what_it_put_off("put off")]
#[case::in_the_fence("fence")]
#[case::in_the_commit("commit")]
fn a_daemon_that_is_killed_leaves_no_work_behind_and_the_effect_is_there_once(
    #[case] step: &'static str,
) {
    support::run(async move |db| {
        let pool = database(&db, "").await;
        let (proxy, kinds) = (Proxy::before(&db.url()).await, kinds());
        if step.is_empty() {
            // Of a transaction that says nothing more than that.
            proxy.swallow("BEGIN\0");
        }
        let mut gate = Gate::at(&db, if step.is_empty() { "function" } else { step }).await;
        let mut killed = Daemon::start(&Configuration::of(proxy.url(), &kinds).text()).await;
        killed.logged("daemon.started").await;
        let id = enqueue(&pool, "works", "{}").await;
        if step.is_empty() {
            support::eventually("BEGIN was sent", async || proxy.has_swallowed()).await;
        } else {
            gate.reached().await;
        }
        killed.signal(Signal::SIGKILL);
        killed.exit(SLACK).await;
        // The gate is closed: the server sees by itself that nobody is there any more.
        nothing_works(&pool).await;
        assert_eq!(effects(&pool, id).await, 0);
        gate.open().await;
        let mut next = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        is_there_once(&pool, id).await;
        let job = becomes(&pool, id, "completed").await;
        assert_eq!((job.attempt, job.rescues), (2, 1));
        next.signal(Signal::SIGTERM);
        assert_eq!(next.exit(SLACK).await.code(), Some(0), "{}", next.printed());
        pool.close().await;
    });
}

#[test]
fn a_function_that_no_connection_is_had_for_is_put_off_uncharged_and_told_of() {
    support::run(async |db| {
        let pool = database(&db, "").await;
        let configuration = Configuration::of(&db.url(), &kinds()).text();
        let daemon = Daemon::start(&configuration).await;
        daemon.logged("daemon.started").await;
        let id = enqueue(&pool, "works", "{}").await;
        assert_eq!(history(&pool, id).await.outcome, "completed");
        // Whoever has a connection goes on; no attempt gets a new one.
        let mut elsewhere = PgConnection::connect(&administrator_url().await).await.unwrap();
        let allow = |yes: bool| format!("ALTER DATABASE {} ALLOW_CONNECTIONS {yes}", db.name());
        execute(&mut elsewhere, &allow(false)).await;
        let id = enqueue(&pool, "works", "{}").await;
        let told = daemon.logged("function.failed").await;
        assert_eq!(told["level"], "ERROR");
        let message = told["message"].as_str().expect("a sentence");
        assert!(message.contains("no connection for a function"), "{told}");
        let error = told["error.message"].as_str().expect("why");
        assert!(error.contains("not currently accepting connections"), "{told}");
        execute(&mut elsewhere, &allow(true)).await;
        let ended = history(&pool, id).await;
        assert_eq!((ended.outcome.as_str(), ended.attempt), ("completed", 1), "{ended:?}");
        assert_eq!((ended.failures.len(), effects(&pool, id).await), (0, 1), "{ended:?}");
        assert!(ended.snoozes >= 1, "{ended:?}");
        daemon.stop().await;
        end(elsewhere).await;
        pool.close().await;
    });
}

/// How a COMMIT's answer gets lost.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// The connection is reset while the server commits.
    Reset,
    /// The answer doesn't arrive, and nobody is told.
    Silence,
}

#[rstest]
#[case::reset(Loss::Reset, true)]
#[case::reset_and_nothing_kept(Loss::Reset, false)]
#[case::silence(Loss::Silence, true)]
#[case::silence_and_nothing_kept(Loss::Silence, false)]
fn a_commit_that_is_not_answered_is_looked_up_and_never_repeated(
    #[case] loss: Loss,
    #[case] is_kept: bool,
) {
    support::run(async move |db| {
        let pool = database(&db, "").await;
        let proxy = Proxy::before(&db.url()).await;
        let mut gate = Gate::at(&db, "commit").await;
        let mut settings = with(&db, vec![calls("works", "work", None)]);
        settings.database.url = Some(DatabaseUrl::new(proxy.url()));
        support::pooled::lead(&mut settings.database);
        settings.database.statement_timeout = Duration::from_secs(3);
        if !is_kept {
            settings.queues[0].retention.completed = legwork::job::Retention::None;
        }
        let daemon = daemon(settings);
        let metrics = daemon.metrics();
        let runner = Runner::start(daemon);
        let id = enqueue(&pool, "works", "{}").await;
        gate.reached().await;
        match loss {
            Loss::Reset => proxy.reset(),
            Loss::Silence => proxy.mute(),
        }
        gate.open().await;
        drained(&pool).await;
        nothing_works(&pool).await;
        support::eventually("the daemon knows that the job is completed", async || {
            let text = metrics.render();
            text.lines().any(|line| {
                line.starts_with("legwork_jobs_finished_total")
                    && line.contains("outcome=\"completed\"")
                    && line.ends_with(" 1")
            })
        })
        .await;
        assert_eq!(effects(&pool, id).await, 1);
        let failed: i64 = value(&pool, "SELECT count(*) FROM legwork.failed_attempt").await;
        assert_eq!(failed, 0);
        runner.end().await;
        pool.close().await;
    });
}

#[test]
fn a_daemon_that_is_killed_after_the_commit_and_before_it_knows_repeats_nothing() {
    support::run(async |db| {
        let pool = database(&db, "").await;
        let (proxy, kinds) = (Proxy::before(&db.url()).await, kinds());
        let mut gate = Gate::at(&db, "commit").await;
        let mut killed = Daemon::start(&Configuration::of(proxy.url(), &kinds).text()).await;
        let id = enqueue(&pool, "works", "{}").await;
        gate.reached().await;
        proxy.mute();
        gate.open().await;
        history(&pool, id).await;
        killed.signal(Signal::SIGKILL);
        killed.exit(SLACK).await;
        let next = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let other = enqueue(&pool, "works", "{}").await;
        history(&pool, other).await;
        support::eventually("the dead daemon's leases were looked for", async || {
            let dead = "SELECT count(*) FROM legwork.daemon WHERE died_at IS NOT NULL";
            value::<i64>(&pool, dead).await == 1
        })
        .await;
        drained(&pool).await;
        assert_eq!((effects(&pool, id).await, effects(&pool, other).await), (1, 1));
        drop(next);
        pool.close().await;
    });
}

#[test]
fn a_daemon_that_is_stopped_leaves_the_attempts_end_to_the_server() {
    support::run(async |db| {
        let pool = database(&db, "").await;
        let mut gate = Gate::at(&db, "function").await;
        let kind = kinds()[0].clone() + "timeout = '1s'\nmax_attempts = 1\n";
        let daemon = Daemon::start(&Configuration::of(&db.url(), &[kind]).text()).await;
        daemon.logged("daemon.started").await;
        let id = enqueue(&pool, "works", "{}").await;
        gate.reached().await;
        daemon.signal(Signal::SIGSTOP);
        support::eventually("the server has ended the function", async || {
            let active = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND application_name = 'legwork sql' AND state = 'active'";
            value::<i64>(&pool, active).await == 0
        })
        .await;
        daemon.signal(Signal::SIGCONT);
        let end = history(&pool, id).await;
        assert_eq!(end.outcome, "discarded", "{end:?}");
        assert_eq!(effects(&pool, id).await, 0);
        gate.open().await;
        drop(daemon);
        pool.close().await;
    });
}

#[test]
fn a_daemon_that_is_cut_off_commits_nothing_while_another_does_its_job() {
    support::run(async |db| {
        let pool = database(&db, "").await;
        let (proxy, kinds) = (Proxy::before(&db.url()).await, kinds());
        let mut gate = Gate::at(&db, "function").await;
        let cut_off = Daemon::start(&Configuration::of(proxy.url(), &kinds).text()).await;
        cut_off.logged("daemon.started").await;
        let id = enqueue(&pool, "works", "{}").await;
        gate.reached().await;
        proxy.blackhole();
        let other = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        support::eventually("the other works on it as well", async || {
            let both = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND application_name = 'legwork sql' AND wait_event = 'advisory'";
            value::<i64>(&pool, both).await == 2
        })
        .await;
        gate.open().await;
        is_there_once(&pool, id).await;
        cut_off.logged("daemon.lost").await;
        proxy.heal();
        nothing_works(&pool).await;
        is_there_once(&pool, id).await;
        assert_eq!(history(&pool, id).await.attempt, 2);
        drop((cut_off, other));
        pool.close().await;
    });
}
