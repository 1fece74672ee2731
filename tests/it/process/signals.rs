//! TSTP and USR1: what an operator asks of a daemon that goes on.

use nix::sys::signal::Signal;

use super::{Configuration, Notebook, SLACK, becomes, enqueue, job};
use crate::support::{self, Daemon};

/// Says how far it is, and runs until it is allowed to end.
const PATIENT: &str = "echo '{\"progress\": \"half way\"}' >&3
echo started >> notes
while [ ! -e go ]; do sleep 0.02; done";

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
