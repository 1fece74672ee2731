//! What each signal does. TSTP and USR1: what an operator asks of a daemon that goes on. And PROF, which nobody asks
//! anything by.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Configuration, Notebook, SLACK, becomes, enqueue, job};
use crate::support::{self, Daemon};

/// Says how far it is, and runs until it is allowed to end.
const PATIENT: &str = "echo '{\"progress\": \"half way\"}' >&3
echo started >> notes
while [ ! -e go ]; do sleep 0.02; done";

/// The signals that the table of the document has a row for, in its order.
fn documented() -> Vec<&'static str> {
    let document = include_str!("../../../docs/cli.md");
    let (_, table) = document.split_once("| signal | effect |\n|---|---|\n").expect("it has one");
    let rows = table.lines().map_while(|line| line.strip_prefix("| "));
    rows.flat_map(|row| row.split(" |").next().unwrap_or_default().split(", ")).collect()
}

#[test]
fn each_signal_of_the_documents_table_does_what_stands_there_and_nothing_else() {
    assert_eq!(documented(), ["TERM", "INT", "TSTP", "USR1", "PROF", "HUP"]);
    for (first, second) in [(Signal::SIGTERM, Signal::SIGINT), (Signal::SIGINT, Signal::SIGTERM)] {
        support::run(async |db| {
            let pool = db.pool().await;
            let notebook = Notebook::new();
            let kinds = [notebook.kind("patient", PATIENT, "")];
            let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
            daemon.logged("daemon.started").await;
            let id = enqueue(&pool, "patient").await;
            notebook.says("started").await;
            for (signal, event) in [
                (Signal::SIGPROF, None),
                (Signal::SIGUSR1, Some("job.listed")),
                (Signal::SIGHUP, Some("config.reloaded")),
                (Signal::SIGTSTP, Some("signal.received")),
                (first, Some("shutdown.phase")),
                (second, None),
            ] {
                let from = daemon.lines();
                daemon.signal(signal);
                if let Some(event) = event {
                    daemon.logged_since(from, event).await;
                }
            }
            assert_eq!(daemon.exit(SLACK + SLACK).await.code(), Some(1), "{}", daemon.printed());
            let lines = daemon.events();
            let marks = ["task.listed", "config.reloaded", "signal.received", "daemon.stopped"];
            let told = lines.iter().filter_map(|line| {
                let event = line["event"].as_str().filter(|event| marks.contains(event))?;
                Some(line["signal"].as_str().unwrap_or(event))
            });
            let mut told: Vec<_> = told.collect();
            told.dedup();
            let [first, second] = [first, second].map(|signal| &signal.as_str()["SIG".len()..]);
            let expected =
                ["task.listed", "HUP", "config.reloaded", "TSTP", first, second, "daemon.stopped"];
            assert_eq!(told, expected, "{}", daemon.printed());
            let stopped = daemon.logged("daemon.stopped").await;
            assert_eq!(stopped["cut_short"], 1, "the second one cuts the job short: {stopped}");
            assert_eq!(job(&pool, id).await.state, "available");
            pool.close().await;
        });
    }
}

#[test]
fn a_quiet_daemon_claims_nothing_more_and_finishes_what_it_has() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("patient", PATIENT, "")];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let running = enqueue(&pool, "patient").await;
        notebook.says("started").await;

        daemon.signal(Signal::SIGTSTP);
        assert_eq!(daemon.logged("signal.received").await["signal"], "TSTP");
        support::eventually("it isn't ready, and says why", async || {
            let (status, said) = daemon.get("/health/ready?verbose").await;
            status == 503 && said.contains("told to claim nothing more")
        })
        .await;
        let waiting = enqueue(&pool, "patient").await;
        let why = "SELECT blocking FROM legwork.why($1) WHERE gate = 'quiet'";
        support::eventually("why() says so with the next heartbeat", async || {
            let gate = sqlx::query_scalar(why).bind(waiting).fetch_optional(&pool).await;
            gate.expect("an answer") == Some(true)
        })
        .await;
        notebook.allow("go");
        becomes(&pool, running, "completed").await;
        assert_eq!(daemon.get("/health/live").await.0, 200);
        assert_eq!(job(&pool, waiting).await.state, "available");

        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        assert_eq!(job(&pool, waiting).await.state, "available");
        pool.close().await;
    });
}

/// Longer than a task that ends again and again is started again: five times, after pauses of 3.1 s in all.
const RESTARTS: Duration = Duration::from_secs(5);

#[test]
fn a_quiet_daemon_stays_up_with_every_task_it_has_and_sends_no_canary() {
    // What else is started where it is asked for: a claim group of its own, and what enqueues by itself.
    const REST: &str = "[[kind]]\nname = 'limited'\nhandler = 'noop'\nrate_limit = '1/h'\n\
        [[schedule]]\nname = 'yearly'\ncron = '0 0 1 1 *'\nkind = 'limited'\n\
        [canary]\nenabled = true\ninterval = '1s'\n";
    const SEVERAL_INTERVALS: Duration = Duration::from_secs(4);
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("patient", PATIENT, ""), REST.to_owned()];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        support::eventually("canaries arrive", async || {
            daemon.metric("legwork_canary_roundtrip_seconds_count", &[]).await > 0.0
        })
        .await;
        let running = enqueue(&pool, "patient").await;
        notebook.says("started").await;

        daemon.signal(Signal::SIGTSTP);
        daemon.logged("signal.received").await;
        // A reload begins and ends claim groups also while nothing is claimed.
        daemon.signal(Signal::SIGHUP);
        daemon.logged("config.reloaded").await;
        let breaks = async || {
            daemon.count("task.restarted") + daemon.count("task.failed") > 0
                || daemon.get("/health/live").await.0 != 200
        };
        assert!(!support::holds_within(RESTARTS, breaks).await, "{}", daemon.printed());
        // One that was in line when the daemon was told would keep others from being sent.
        let statement = "DELETE FROM legwork.job WHERE kind = 'legwork.canary'";
        sqlx::query(statement).execute(&pool).await.expect("the test may");
        let sent = async || {
            let there = "SELECT EXISTS (SELECT FROM legwork.jobs WHERE kind = 'legwork.canary')";
            sqlx::query_scalar::<_, bool>(there).fetch_one(&pool).await.expect("an answer")
        };
        assert!(!support::holds_within(SEVERAL_INTERVALS, sent).await, "nobody here claims it");

        assert_eq!(job(&pool, running).await.state, "running");
        notebook.allow("go");
        becomes(&pool, running, "completed").await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

#[test]
fn a_daemon_that_is_asked_lists_its_tasks_and_running_jobs_and_goes_on() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("patient", PATIENT, "")];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let id = enqueue(&pool, "patient").await;
        notebook.says("started").await;

        support::eventually("a list tells of the progress", async || {
            let from = daemon.lines();
            daemon.signal(Signal::SIGUSR1);
            let listed = daemon.logged_since(from, "job.listed").await;
            assert_eq!((&listed["job.id"], &listed["job.kind"]), (&id.into(), &"patient".into()));
            listed["progress"] == "half way" && listed["waits_at"] == "child"
        })
        .await;
        let tasks: Vec<_> =
            daemon.events().into_iter().filter(|line| line["event"] == "task.listed").collect();
        let waits =
            |line: &serde_json::Value| line["task"] == "completer" && line["waits_at"].is_string();
        assert!(tasks.iter().any(waits), "{tasks:?}");

        notebook.allow("go");
        becomes(&pool, id, "completed").await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0));
        pool.close().await;
    });
}

#[test]
fn the_profilers_signal_from_outside_does_nothing_to_a_daemon_that_was_never_profiled() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        // What a program makes of the signal is its own affair: it isn't started without it.
        let kinds = [notebook.kind("dies", "kill -PROF $$; sleep 0.1; exit 0", "max_attempts = 1")];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        daemon.logged("daemon.started").await;
        for _ in 0..3 {
            daemon.signal(Signal::SIGPROF);
        }
        let id = enqueue(&pool, "dies").await;
        becomes(&pool, id, "discarded").await;
        daemon.signal(Signal::SIGPROF);
        assert_eq!(daemon.get("/health/live").await.0, 200);
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}
