//! Daemons that die or stand still in the middle of a job, and others that take over.

use nix::sys::signal::Signal;
use tokio::time::Instant;

use super::{
    Configuration, HEARTBEAT, Notebook, SLACK, TTL, becomes, ends, enqueue, is_running, job,
};
use crate::support::{self, Daemon};

/// The first attempt waits until it is allowed to end; further ones end at once.
const FIRST_WAITS: &str = "echo started $LEGWORK_ATTEMPT $$ >> notes
if [ \"$LEGWORK_ATTEMPT\" = 1 ]; then while [ ! -e go ]; do sleep 0.02; done; fi
echo ended $LEGWORK_ATTEMPT >> notes";

#[test]
fn a_killed_daemons_job_is_rescued_in_bound_charged_once_and_its_program_died_with_it() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("work", FIRST_WAITS, "")];
        let configuration = Configuration::of(&db.url(), &kinds).text();
        let mut first = Daemon::start(&configuration).await;
        let id = enqueue(&pool, "work").await;
        let child = notebook.says("started 1 ").await;
        let second = Daemon::start(&configuration).await;
        second.logged("daemon.started").await;

        first.signal(Signal::SIGKILL);
        let killed = Instant::now();
        ends(&child).await;
        first.exit(SLACK).await;
        notebook.says("started 2 ").await;
        // The lease, the margin of a sixth, one scan that comes a tenth late.
        let bound = TTL + TTL / 6 + HEARTBEAT + HEARTBEAT / 10;
        assert!(killed.elapsed() <= bound + SLACK, "rescued after {:?}", killed.elapsed());

        let rescued = becomes(&pool, id, "completed").await;
        assert_eq!((rescued.attempt, rescued.rescues), (2, 1));
        let record = "SELECT format('%s %s', attempt, cause) FROM legwork.failed_attempt";
        let records: Vec<String> = sqlx::query_scalar(record).fetch_all(&pool).await.unwrap();
        assert_eq!(records, ["1 daemon_died"], "the death is in the job's history");
        assert!(!notebook.lines().contains(&"ended 1".to_owned()));
        support::eventually("the rescue is counted", async || {
            (second.metric("legwork_rescues_total", &[]).await - 1.0).abs() < f64::EPSILON
        })
        .await;
        drop(second);
        pool.close().await;
    });
}

#[test]
fn a_job_that_was_rescued_too_often_is_discarded_and_does_not_run_again() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("work", FIRST_WAITS, "max_rescues = 0")];
        let configuration = Configuration::of(&db.url(), &kinds).text();
        let mut first = Daemon::start(&configuration).await;
        let id = enqueue(&pool, "work").await;
        notebook.says("started 1 ").await;
        first.signal(Signal::SIGKILL);
        first.exit(SLACK).await;

        let second = Daemon::start(&configuration).await;
        let discarded = becomes(&pool, id, "discarded").await;
        assert_eq!(discarded.reason.as_deref(), Some("rescues_exhausted"));
        assert_eq!(discarded.rescues, 1);
        assert_eq!(notebook.lines().len(), 1, "{:?}", notebook.lines());
        drop(second);
        pool.close().await;
    });
}

#[test]
fn a_daemon_that_stood_still_beyond_its_lease_is_late_and_works_on() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("work", FIRST_WAITS, "")];
        let configuration = Configuration::of(&db.url(), &kinds).text();
        let first = Daemon::start(&configuration).await;
        let id = enqueue(&pool, "work").await;
        let child = notebook.says("started 1 ").await;
        first.signal(Signal::SIGSTOP);

        let mut second = Daemon::start(&configuration).await;
        let taken_over = becomes(&pool, id, "completed").await;
        assert_eq!((taken_over.attempt, taken_over.rescues), (2, 1));

        // Its program ends while nobody looks: a result that is there, and late.
        notebook.allow("go");
        ends(&child).await;
        first.signal(Signal::SIGCONT);
        support::eventually("the late result is counted", async || {
            first.metric("legwork_late_results_total", &[]).await >= 1.0
        })
        .await;
        first.logged("daemon.lost").await;
        assert_eq!(job(&pool, id).await, taken_over, "the late result changed nothing");
        let completed = second.metric("legwork_jobs_finished_total", &[r#"outcome="completed""#]);
        assert!((completed.await - 1.0).abs() < f64::EPSILON);
        let completed = first.metric("legwork_jobs_finished_total", &[r#"outcome="completed""#]);
        assert!(completed.await.abs() < f64::EPSILON, "a late result isn't a completion");

        second.signal(Signal::SIGTERM);
        assert_eq!(second.exit(SLACK).await.code(), Some(0));
        let next = enqueue(&pool, "work").await;
        becomes(&pool, next, "completed").await;
        assert!(is_running(first.pid()), "it never restarted");
        drop(first);
        pool.close().await;
    });
}
