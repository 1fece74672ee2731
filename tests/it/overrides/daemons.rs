//! What is decided holds for every daemon, at once or within three heartbeats, and ends by itself.

use std::time::Duration;

use legwork::heartbeat::LeaseKeeper;
use legwork::postgres::{Identity, Load, PostgresLease};
use serde_json::json;
use sqlx::PgPool;

use crate::process::reload::reload;
use crate::process::{Configuration, Notebook, SLACK, becomes, enqueue};
use crate::support::{self, Daemon, TestDb, pooled};

/// A heartbeat that no test waits for.
const RARE: (Duration, Duration) = (Duration::from_mins(3), Duration::from_mins(1));
const OFTEN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(500));
const NOOP: &str = "[[kind]]\nname = 'noop'\nhandler = 'noop'\n";

fn file(url: &str, lease: (Duration, Duration), sections: &str) -> String {
    let queue = "[[queue]]\nname = 'default'\nconcurrency = 4\n";
    let kinds = [queue.to_owned(), sections.to_owned()];
    Configuration { lease, ..Configuration::of(url, &kinds) }.text()
}

async fn fleet(db: &TestDb, lease: (Duration, Duration), sections: &str) -> [Daemon; 2] {
    let text = file(&db.url(), lease, sections);
    let daemons = [Daemon::start(&text).await, Daemon::start(&text).await];
    for daemon in &daemons {
        daemon.logged("daemon.started").await;
        if !text.contains("notify = false") {
            daemon.logged("listener.connected").await;
        }
    }
    daemons
}

async fn ask(pool: &PgPool, call: &str) -> String {
    let statement = format!("SELECT ({call})::text");
    sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_one(pool).await.expect("an answer")
}

async fn capacity(daemon: &Daemon) -> f64 {
    daemon.metric("legwork_channel_capacity", &["queue=\"default\""]).await
}

async fn has(daemon: &Daemon, slots: f64) {
    support::eventually(&format!("there are {slots} slots"), async || {
        (capacity(daemon).await - slots).abs() < f64::EPSILON
    })
    .await;
}

async fn stop_both(daemons: [Daemon; 2]) {
    for daemon in daemons {
        daemon.stop().await;
    }
}

#[test]
fn workers_that_an_override_brought_end_with_it() {
    support::run(async |db| {
        let pool = db.pool().await;
        let url = db.url();
        let sleep = "[[kind]]\nname = 'sleep'\nhandler = 'sleep'\n[[queue]]\nname = 'second'\nconcurrency = 2\n";
        let daemon = Daemon::start(&file(&url, RARE, sleep)).await;
        daemon.logged("listener.connected").await;
        let workers = async |state: &str| {
            let state = format!("state=\"{state}\"");
            daemon.metric("legwork_workers", &["queue=\"second\"", &state]).await
        };
        assert_eq!(ask(&pool, "legwork.override_queue('second', 5)").await, "true");
        let insert = "INSERT INTO legwork.job (queue, kind, payload) SELECT 'second', 'sleep', to_jsonb($1::float8) FROM generate_series(1, $2)";
        sqlx::query(insert).bind(600.0).bind(5).execute(&pool).await.expect("jobs are enqueued");
        support::eventually("five run", async || workers("busy").await > 4.5).await;
        // Three sleep when there are too many of them, and two run on until they are told to end.
        let cancel = "SELECT legwork.cancel(id) FROM legwork.jobs WHERE state = 'running' ORDER BY id LIMIT $1";
        sqlx::query(cancel).bind(3).execute(&pool).await.expect("jobs are cancelled");
        support::eventually("three are idle", async || workers("idle").await > 2.5).await;
        assert_eq!(ask(&pool, "legwork.reset_queue('second')").await, "true");
        support::eventually("they are gone", async || workers("idle").await < 0.5).await;
        assert!((workers("busy").await - 2.0).abs() < f64::EPSILON, "what runs goes on");
        let tasks = ["component=\"worker\""];
        support::eventually("so are their tasks", async || {
            daemon.metric("legwork_supervised_tasks", &tasks).await < 2.5
        })
        .await;
        // A worker is idle before its verdict is written: until then its job is among those that run.
        let left = "(SELECT count(*) FROM legwork.job)";
        support::eventually("two are left", async || ask(&pool, left).await == "2").await;
        // Those that are left go on to other jobs, and none was missed by the supervisor.
        sqlx::query(cancel).bind(2).execute(&pool).await.expect("jobs are cancelled");
        sqlx::query(insert).bind(0.0).bind(20).execute(&pool).await.expect("jobs are enqueued");
        support::eventually("all have run", async || ask(&pool, left).await == "0").await;
        assert_eq!((daemon.count("task.restarted"), daemon.count("task.failed")), (0, 0));
        daemon.stop().await;
        pool.close().await;
    });
}

/// Once by notification, with a heartbeat that is far away; once by heartbeats, with nobody listening.
#[test]
fn a_decision_holds_for_the_fleet_and_ends_by_itself() {
    support::run(async |db| {
        let pool = db.pool().await;
        for (lease, claim) in [(RARE, ""), (OFTEN, "[claim]\nnotify = false\n")] {
            let daemons = fleet(&db, lease, &format!("{NOOP}{claim}")).await;
            for daemon in &daemons {
                has(daemon, 4.0).await;
            }
            let until = "clock_timestamp() + interval '5 s'";
            let call = format!("legwork.override_queue('default', 2, '100/s burst 5', {until})");
            assert_eq!(ask(&pool, &call).await, "true");
            for daemon in &daemons {
                has(daemon, 2.0).await;
                let keys = daemon.logged("queue.overridden").await["config.changed"].clone();
                let (of_slots, of_rate) =
                    ("[[queue]] \"default\".concurrency", "[[queue]] \"default\".rate_limit");
                assert_eq!(keys, format!("{of_slots}, {of_rate}"));
            }
            // A job passes by the limit that there is now, and none is lost on the way from group to group.
            let id = enqueue(&pool, "noop").await;
            becomes(&pool, id, "completed").await;
            for daemon in &daemons {
                has(daemon, 4.0).await;
            }
            support::eventually("nothing is left of it", async || {
                ask(&pool, "SELECT count(*) FROM legwork.override").await == "0"
            })
            .await;
            stop_both(daemons).await;
        }
        pool.close().await;
    });
}

#[test]
fn a_decision_holds_from_a_daemon_s_start_on_and_over_reloads() {
    support::run(async |db| {
        let pool = db.pool().await;
        ask(&pool, "legwork.override_queue('default', 1)").await;
        let text = file(&db.url(), OFTEN, NOOP);
        let daemon = Daemon::start(&text).await;
        daemon.logged("daemon.started").await;
        assert!((capacity(&daemon).await - 1.0).abs() < f64::EPSILON, "from the first claim on");
        let wider = text.replace("concurrency = 4", "concurrency = 6");
        reload(&daemon, &wider, "config.reloaded").await;
        assert!((capacity(&daemon).await - 1.0).abs() < f64::EPSILON, "the file doesn't win");
        assert_eq!(ask(&pool, "legwork.reset_queue('default')").await, "true");
        has(&daemon, 6.0).await;
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_pause_ends_by_the_database_s_clock_and_what_waited_runs() {
    support::run(async |db| {
        let pool = db.pool().await;
        let daemons = fleet(&db, RARE, NOOP).await;
        ask(&pool, "legwork.pause('default', 'a while', clock_timestamp() + interval '3 s')").await;
        let until = ask(&pool, "SELECT paused_until FROM legwork.queue").await;
        let id = enqueue(&pool, "noop").await;
        becomes(&pool, id, "completed").await;
        let after = format!(
            "SELECT finished_at >= '{until}'::timestamptz FROM legwork.finished WHERE id = {id}"
        );
        assert_eq!(ask(&pool, &after).await, "true", "it waited for the end of the pause");
        assert_eq!(ask(&pool, "SELECT paused FROM legwork.queue").await, "false");
        assert_eq!(ask(&pool, "SELECT count(*) FROM legwork.audit").await, "1", "the pause's note");
        stop_both(daemons).await;
        pool.close().await;
    });
}

/// A kind whose job runs until it is allowed to end.
fn patient(notebook: &Notebook) -> String {
    let script = "echo started >> notes\nwhile [ ! -e go ]; do sleep 0.02; done";
    notebook.kind("patient", script, "")
}

async fn shown(daemon: &Daemon, path: &str) -> serde_json::Value {
    let (status, body) = daemon.get(path).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn a_queue_that_drains_says_what_remains_and_when_nothing_does() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kind = patient(&notebook);
        let daemons = fleet(&db, OFTEN, &kind).await;
        let id = enqueue(&pool, "patient").await;
        notebook.says("started").await;
        assert_eq!(shown(&daemons[0], "/api/v1/queues/default").await["state"], "running");
        ask(&pool, "legwork.drain('default', 'a move')").await;
        let waiting = enqueue(&pool, "patient").await;
        support::eventually("it is told what runs", async || {
            let queue = shown(&daemons[1], "/api/v1/queues/default").await;
            queue["state"] == "draining" && queue["depth"]["running"] == 1
        })
        .await;
        notebook.allow("go");
        becomes(&pool, id, "completed").await;
        support::eventually("nothing runs any more", async || {
            shown(&daemons[1], "/api/v1/queues/default").await["state"] == "drained"
        })
        .await;
        assert_eq!(becomes(&pool, waiting, "available").await.attempt, 0);
        ask(&pool, "legwork.resume('default')").await;
        becomes(&pool, waiting, "completed").await;
        assert_eq!(shown(&daemons[0], "/api/v1/queues/default").await["state"], "running");
        stop_both(daemons).await;
        pool.close().await;
    });
}

#[test]
fn what_holds_for_a_queue_is_shown_beside_the_file() {
    support::run(async |db| {
        let pool = db.pool().await;
        let text = file(&db.url(), OFTEN, NOOP);
        let daemon = Daemon::start(&text).await;
        daemon.logged("daemon.started").await;
        ask(&pool, "legwork.override_queue('default', 2, until => now() + interval '1 h', reason => 'slow')")
            .await;
        let queue = shown(&daemon, "/api/v1/queues/default").await;
        let settings = &queue["settings"];
        assert_eq!(settings["file"]["concurrency"], 4);
        let decided = &settings["override"]["concurrency"];
        assert_eq!(
            (&decided["value"], &decided["reason"]),
            (&json!("2"), &json!("slow")),
            "{queue}"
        );
        assert!(decided["until"].is_string() && settings["override"]["rate_limit"].is_null());
        let effective = &settings["effective"];
        assert_eq!(
            (&effective["concurrency"], &effective["rate_limit"]),
            (&json!(2), &json!(null))
        );
        // Known by a decision alone.
        ask(&pool, "legwork.override_queue('unheard-of', rate_limit => '5/h')").await;
        let queue = shown(&daemon, "/api/v1/queues/unheard-of").await;
        assert_eq!(queue["settings"]["effective"]["rate_limit"], "5/h");
        daemon.stop().await;
        pool.close().await;
    });
}

/// The id of the daemon of this name.
async fn id_of(pool: &PgPool, name: &str) -> String {
    let id = format!("SELECT id FROM legwork.daemon WHERE name = '{name}' AND died_at IS NULL");
    ask(pool, &id).await
}

fn named(text: &str, name: &str) -> String {
    text.replace("[daemon]\n", &format!("[daemon]\nname = '{name}'\n"))
}

#[test]
fn one_daemon_is_told_to_be_quiet_to_drain_and_to_end_at_once_and_the_other_works() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kind = patient(&notebook);
        let text = file(&db.url(), OFTEN, &format!("{NOOP}{kind}"));
        let mut told = Daemon::start(&named(&text, "told")).await;
        told.logged("daemon.started").await;
        let running = enqueue(&pool, "patient").await;
        notebook.says("started").await;
        let other = Daemon::start(&named(&text, "other")).await;
        other.logged("daemon.started").await;
        let id = id_of(&pool, "told").await;

        let tell = |what: &str| format!("legwork.tell_daemon({id}, '{what}')");
        assert_eq!(ask(&pool, &tell("quiet")).await, "true");
        assert_eq!(ask(&pool, &tell("quiet")).await, "false");
        support::eventually("it claims nothing more", async || {
            let listed = shown(&other, "/api/v1/daemons").await;
            let rows = listed["daemons"].as_array().expect("daemons").clone();
            rows.iter().any(|row| {
                row["name"] == "told" && row["state"] == "quiet" && row["wanted"] == "quiet"
            }) && rows.iter().any(|row| row["name"] == "other" && row["state"] == "live")
        })
        .await;
        let job = enqueue(&pool, "noop").await;
        becomes(&pool, job, "completed").await;

        assert_eq!(ask(&pool, &tell("drain")).await, "true");
        told.logged("shutdown.phase").await;
        assert_eq!(ask(&pool, &tell("quiet")).await, "false", "it is told more and never less");
        // Its job runs on for as long as it may; now it may not.
        assert_eq!(becomes(&pool, running, "running").await.attempt, 0);
        assert_eq!(ask(&pool, &tell("shutdown")).await, "true");
        told.exit(SLACK * 3).await;
        notebook.allow("go");
        becomes(&pool, running, "completed").await;
        let past = format!("legwork.tell_daemon({id}, 'drain')");
        let refused =
            sqlx::query(sqlx::AssertSqlSafe(format!("SELECT {past}"))).execute(&pool).await;
        assert!(refused.expect_err("it has ended").to_string().contains("has ended"));
        let noted =
            ask(&pool, "SELECT string_agg(action, ' ' ORDER BY id) FROM legwork.audit").await;
        assert_eq!(noted, "quiet drain shutdown");
        other.stop().await;
        pool.close().await;
    });
}

/// Whether the controller waits for longer than it does between two looks that it is notified of.
async fn rests(daemon: &Daemon) -> bool {
    let listed = shown(daemon, "/debug/tasks").await;
    let components = listed["components"].as_array().expect("components").iter();
    let mut tasks = components.flat_map(|all| all["listed"].as_array().expect("tasks"));
    let controller = tasks.find(|task| task["name"] == "controller").expect("it is there");
    let waits = &controller["waits"];
    waits["at"] == "round.pause" && waits["seconds"].as_f64() > Some(0.5)
}

/// Between two looks of its own it would be told too late: it listens while it drains.
#[test]
fn a_daemon_that_drains_hears_at_once_that_it_is_to_end_now() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let text = file(&db.url(), RARE, &patient(&notebook));
        let mut told = Daemon::start(&named(&text, "told")).await;
        told.logged("daemon.started").await;
        let running = enqueue(&pool, "patient").await;
        notebook.says("started").await;
        let id = id_of(&pool, "told").await;
        let tell = |what: &str| format!("legwork.tell_daemon({id}, '{what}')");
        assert_eq!(ask(&pool, &tell("drain")).await, "true");
        told.phase("release unstarted").await;
        // What it was notified of by then is done with.
        support::eventually("it rests until its next look", async || rests(&told).await).await;
        assert_eq!(ask(&pool, &tell("shutdown")).await, "true");
        told.exit(support::PATIENCE).await;
        // What it said of it is in its log by then.
        assert_eq!(told.count("signal.received"), 2, "{}", told.printed());
        notebook.allow("go");
        assert_eq!(becomes(&pool, running, "available").await.attempt, 0);
        pool.close().await;
    });
}

/// Whoever told it while it was frozen was answered that it is told.
#[test]
fn a_daemon_that_registers_anew_is_told_what_its_row_before_was_and_another_is_not() {
    support::run(async |db| {
        let pool = db.pool().await;
        let connector = pooled::connector_of(&pooled::database(&db.url()));
        let load = tokio::sync::watch::Sender::new(Load::default()).subscribe();
        let keeper = |name: &str| {
            let who = Identity { name: name.into(), hostname: "here".into() };
            PostgresLease::new(connector.clone(), who, load.clone(), Duration::from_secs(30))
        };
        let (mut frozen, mut other) = (keeper("frozen"), keeper("other"));
        frozen.register(11).await.expect("a row");
        assert_eq!(ask(&pool, "legwork.tell_daemon(11, 'drain')").await, "true");
        sqlx::query("UPDATE legwork.daemon SET died_at = clock_timestamp()")
            .execute(&pool)
            .await
            .expect("it can be declared dead");
        frozen.register(12).await.expect("a row");
        other.register(13).await.expect("a row");
        let told = "SELECT string_agg(id || ' ' || coalesce(wanted, 'nothing'), ', ' ORDER BY id) FROM legwork.daemon";
        assert_eq!(ask(&pool, told).await, "11 drain, 12 drain, 13 nothing");
        pool.close().await;
    });
}
