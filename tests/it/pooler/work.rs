//! Jobs, leases, schedules and functions through it.

use std::time::Duration;

use legwork::job::{JobError, Outcome};
use nix::sys::signal::Signal;

use super::{nothing_is_left_in_sessions, run};
use crate::pipeline::{
    Runner, completed, daemon, deciding, drained, history, insert, kind, name, settings,
};
use crate::statements::{execute, value};
use crate::support::{Daemon, PATIENCE, eventually};

#[rstest::rstest]
#[case::with_a_way_past_it(true)]
#[case::alone(false)]
fn jobs_run_retry_and_end_through_a_pooler_and_leave_nothing_in_its_sessions(#[case] direct: bool) {
    run(async |db, bouncer| {
        let mut settings = settings(db);
        bouncer.database(db, direct, &mut settings.database);
        settings.kinds = vec![kind("good", Duration::ZERO), kind("bad", Duration::from_millis(1))];
        settings.kinds[1].policy.max_attempts = 3;
        let failing =
            deciding(|_| Outcome::Retry { error: JobError::new("no\tway\\"), after: None });
        let daemon = daemon(settings)
            .with_handler(name("good"), deciding(|_| completed()))
            .with_handler(name("bad"), failing);
        let runner = Runner::start(daemon);
        let pool = db.pool().await;
        let bad = insert(&pool, "bad").await;
        let many = "INSERT INTO legwork.job (kind) SELECT 'good' FROM generate_series(1, 2000)";
        sqlx::query(many).execute(&pool).await.expect("jobs are taken");
        drained(&pool).await;
        let ended = history(&pool, bad).await;
        assert_eq!((ended.outcome.as_str(), ended.failures.len()), ("discarded", 3), "{ended:?}");
        assert!(ended.failures[0].ends_with("no\tway\\"), "{ended:?}");
        let shown = "SELECT count(*) FROM legwork.finished WHERE outcome = 'completed'";
        let count: i64 = sqlx::query_scalar(shown).fetch_one(&pool).await.expect("it answers");
        assert_eq!(count, 2000);
        // As the page on configuration says: one for each role, whatever the concurrency.
        let held = if direct { 3 } else { 5 };
        eventually("it holds one for each role", async || bouncer.clients().await == held).await;
        nothing_is_left_in_sessions(&bouncer).await;
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn with_a_way_past_it_claims_heartbeats_and_wake_ups_go_there_and_the_rest_through_it() {
    run(async |db, bouncer| {
        let text = format!(
            "{}[admin]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'json'\n\
             [[kind]]\nname = 'quick'\nhandler = 'noop'\n",
            bouncer.section(db, true)
        );
        let mut daemon = Daemon::start(&text).await;
        daemon.logged("listener.connected").await;
        let mut session = db.connect().await;
        execute(&mut session, "INSERT INTO legwork.job (kind) VALUES ('quick')").await;
        eventually("it has run", async || {
            value(&mut session, "SELECT count(*) FROM legwork.finished").await == "1"
        })
        .await;
        // Of a session of one's own the name stays; those of the pool have who used them last, and the
        // settings of nobody.
        let own = "SELECT string_agg(application_name, ' ' ORDER BY application_name)
            FROM pg_stat_activity WHERE datname = current_database() AND application_name IN
            ('legwork claim', 'legwork heartbeat', 'legwork listener')";
        assert_eq!(
            value(&mut session, own).await,
            "legwork claim legwork heartbeat legwork listener"
        );
        let pid = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
            AND application_name = 'legwork claim'";
        let before = value(&mut session, pid).await;
        drop(bouncer);
        eventually("the rest has lost its sessions", async || daemon.count("database.lost") > 0)
            .await;
        assert_eq!(value(&mut session, pid).await, before, "claims have nothing to do with it");
        let alive = "SELECT count(*) FROM legwork.daemon WHERE died_at IS NULL
            AND renewed_at > now() - interval '10 seconds'";
        assert_eq!(value(&mut session, alive).await, "1");
        assert_eq!(daemon.count("listener.lost"), 0);
        daemon.signal(Signal::SIGKILL);
        daemon.exit(PATIENCE).await;
        drop(session);
    });
}

#[test]
fn alone_it_polls_says_so_keeps_its_leases_and_fires_its_schedules() {
    run(async |db, bouncer| {
        let text = format!(
            "{}[daemon]\nlease_ttl = '2s'\nheartbeat_interval = '300ms'\n\
             [admin]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'json'\n\
             [[kind]]\nname = 'quick'\nhandler = 'noop'\n\
             [[kind]]\nname = 'slow'\nhandler = 'sleep'\n\
             [[schedule]]\nname = 'tick'\ncron = '* * * * * *'\nkind = 'quick'\noverlap = 'allow'\n",
            bouncer.section(db, false)
        );
        let mut daemon = Daemon::start(&text).await;
        daemon.logged("listener.none").await;
        let mut session = db.connect().await;
        // Longer than a lease lasts.
        let slow = "INSERT INTO legwork.job (kind, payload) VALUES ('slow', '{\"seconds\": 5}')";
        execute(&mut session, slow).await;
        eventually("it has slept", async || {
            let slept = "SELECT count(*) FROM legwork.finished WHERE kind = 'slow'
                AND outcome = 'completed' AND attempt = 1";
            value(&mut session, slept).await == "1"
        })
        .await;
        eventually("the schedule has fired three times", async || {
            let fired = "SELECT count(*) >= 3 FROM legwork.jobs
                WHERE metadata ->> 'schedule' = 'tick'";
            value(&mut session, fired).await == "t"
        })
        .await;
        let (status, said) = daemon.get("/health/ready").await;
        assert_eq!(status, 200, "polling is no reason to be unready: {said}");
        assert!(said.contains("[!]listener: there is only a pooler"), "{said}");
        assert_eq!(daemon.count("listener.connected"), 0);
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.exit(PATIENCE).await.success());
        drop(session);
    });
}

#[test]
fn a_dead_daemon_s_jobs_are_rescued_through_a_pooler() {
    run(async |db, bouncer| {
        let text = format!(
            "{}[daemon]\nlease_ttl = '1s'\nheartbeat_interval = '200ms'\n\
             [admin]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'json'\n\
             [[kind]]\nname = 'slow'\nhandler = 'sleep'\n",
            bouncer.section(db, false)
        );
        let mut dies = Daemon::start(&text).await;
        let mut session = db.connect().await;
        let slow = "INSERT INTO legwork.job (kind, payload) VALUES ('slow', '{\"seconds\": 3}')";
        execute(&mut session, slow).await;
        eventually("it runs", async || {
            let runs = "SELECT count(*) FROM legwork.job WHERE holder IS NOT NULL";
            value(&mut session, runs).await == "1"
        })
        .await;
        dies.signal(Signal::SIGKILL);
        dies.exit(PATIENCE).await;
        let mut rescues = Daemon::start(&text).await;
        eventually("it was rescued and has run", async || {
            let ended =
                "SELECT count(*) FROM legwork.jobs WHERE state = 'completed' AND rescues = 1";
            value(&mut session, ended).await == "1"
        })
        .await;
        rescues.signal(Signal::SIGTERM);
        assert!(rescues.exit(PATIENCE).await.success());
        drop(session);
    });
}

#[test]
fn functions_are_called_past_the_pooler() {
    run(async |db, bouncer| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "CREATE FUNCTION public.twice(payload jsonb) RETURNS jsonb LANGUAGE sql
             AS 'SELECT to_jsonb(2 * (payload #>> ''{}'')::int)'",
        )
        .await;
        let text = format!(
            "{}[admin]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'json'\n\
             [[kind]]\nname = 'twice'\nhandler = 'sql'\nfunction = 'public.twice'\n",
            bouncer.section(db, true)
        );
        let mut daemon = Daemon::start(&text).await;
        let insert = "INSERT INTO legwork.job (kind, payload) VALUES ('twice', '21')";
        execute(&mut session, insert).await;
        eventually("it was called", async || {
            let ended = "SELECT count(*) FROM legwork.finished WHERE result = '42'";
            value(&mut session, ended).await == "1"
        })
        .await;
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.exit(PATIENCE).await.success());
        drop(session);
    });
}
