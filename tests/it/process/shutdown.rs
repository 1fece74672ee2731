//! TERM, idle and busy, once and twice, with and without a database.

use std::time::Duration;

use nix::sys::signal::Signal;
use rstest::rstest;
use tokio::time::Instant;

use super::bound::{BOUND, GRACE, SCHEDULING};
use super::{Configuration, MISSED_TICKS, Notebook, SLACK, becomes, count, ends, enqueue, job};
use crate::support::{self, Daemon, Proxy, http};

/// A job that runs until it is allowed to end.
const PATIENT: &str = "echo started $$ >> notes
while [ ! -e go ]; do sleep 0.02; done
echo ended >> notes";

/// A job that runs for ever and stops when it is told to.
const ENDLESS: &str = "echo started $$ >> notes
while :; do sleep 0.05; done";

/// A job that runs for ever and doesn't care what it is told.
pub(super) const STUBBORN: &str = "trap '' TERM
echo started $$ >> notes
while :; do sleep 0.05; done";

#[test]
fn an_idle_daemon_ends_at_once_with_code_0() {
    support::run(async |db| {
        let notebook = Notebook::new();
        let kinds = [notebook.kind("work", PATIENT, "")];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        daemon.logged("daemon.started").await;

        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        daemon.logged("daemon.stopped").await;
    });
}

const DRAIN: &str = "POST /api/v1/shutdown HTTP/1.0\r\nHost: localhost\r\n\
    Content-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"mode\": \"drain\"}";

#[test]
fn a_drain_that_is_told_in_every_way_there_is_cuts_no_job_short() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("patient", PATIENT, "")];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let id = enqueue(&pool, "patient").await;
        notebook.says("started").await;

        let tell = "SELECT legwork.tell_daemon(id, 'drain') FROM legwork.daemon";
        sqlx::query(tell).execute(&pool).await.expect("it is told");
        daemon.logged("shutdown.phase").await;
        let at = daemon.admin().await;
        for _ in 0..2 {
            let answer = http::ask(at, DRAIN).await;
            assert_eq!((answer.status, answer.text().contains("\"drain\"")), (200, true));
        }
        daemon.signal(Signal::SIGTERM);
        support::eventually("it has the first signal", async || {
            daemon.events().iter().any(|event| event["signal"] == "TERM")
        })
        .await;
        assert_eq!(http::ask(at, DRAIN).await.status, 200);
        let waits_no_more =
            || daemon.events().iter().any(|event| event["phase"] == "wait for running jobs");
        assert!(!support::holds_within(MISSED_TICKS, async || waits_no_more()).await);

        notebook.allow("go");
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        assert_eq!(job(&pool, id).await.state, "completed");
        assert_eq!(daemon.logged("daemon.stopped").await["cut_short"], 0);
        assert_eq!(daemon.count("signal.received"), 2, "what changes nothing is no news");
        pool.close().await;
    });
}

const NOW: &str = "POST /api/v1/shutdown HTTP/1.0\r\nHost: localhost\r\n\
    Content-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"mode\": \"now\"}";

#[test]
fn an_idle_daemon_that_is_told_to_stop_at_once_leaves_nothing_and_ends_with_code_0() {
    support::run(async |db| {
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        support::eventually("no claim is on its way", async || {
            daemon.get("/debug/tasks").await.1.contains("claim.call")
        })
        .await;
        let answer = http::ask(daemon.admin().await, NOW).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        assert_eq!(daemon.count("daemon.failed"), 0, "{}", daemon.printed());
    });
}

#[test]
fn a_running_job_finishes_within_the_grace_and_unstarted_jobs_are_given_back_uncharged() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        // A limited job is claimed, and waits in the daemon for its turn, an hour from now.
        let kinds = [
            notebook.kind("patient", PATIENT, ""),
            "[[kind]]\nname = 'limited'\nhandler = 'noop'\nrate_limit = '1/h'\n".to_owned(),
        ];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let running = enqueue(&pool, "patient").await;
        notebook.says("started").await;
        let unstarted = enqueue(&pool, "limited").await;
        becomes(&pool, unstarted, "running").await;

        daemon.signal(Signal::SIGTERM);
        daemon.phase("release unstarted").await;
        let given_back = becomes(&pool, unstarted, "available").await;
        assert_eq!((given_back.attempt, given_back.rescues), (0, 0));
        assert_eq!(job(&pool, running).await.state, "running", "it has its grace");
        let dies = async || daemon.get("/health/live").await.0 != 200;
        assert!(!support::holds_within(MISSED_TICKS, dies).await, "it drains, and isn't live");

        notebook.allow("go");
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        assert_eq!(job(&pool, running).await.state, "completed");
        assert_eq!(notebook.lines().last().map(String::as_str), Some("ended"));
        pool.close().await;
    });
}

#[rstest]
#[case::stops_when_told(ENDLESS)]
#[case::ignores_term(STUBBORN)]
fn a_job_longer_than_the_grace_is_interrupted_uncharged_and_back_in_line(#[case] script: &str) {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("long", script, "kill_grace = '300ms'")];
        let url = db.url();
        let configuration =
            Configuration { grace: ("500ms", "2s"), ..Configuration::of(&url, &kinds) };
        let mut daemon = Daemon::start(&configuration.text()).await;
        let id = enqueue(&pool, "long").await;
        let child = notebook.says("started").await;

        daemon.signal(Signal::SIGTERM);
        let bound = Duration::from_millis(500 + 2000) + SLACK;
        assert_eq!(daemon.exit(bound).await.code(), Some(0), "{}", daemon.printed());
        ends(&child).await;
        let back = job(&pool, id).await;
        assert_eq!((&*back.state, back.attempt, back.rescues), ("available", 0, 0));
        pool.close().await;
    });
}

#[rstest]
#[case::while_jobs_have_their_grace("release unstarted", ("30s", "30s"))]
#[case::while_they_are_told_to_stop("wait for running jobs", ("200ms", "30s"))]
fn a_second_term_ends_the_daemon_within_3_s_with_code_1(
    #[case] after: &str,
    #[case] grace: (&'static str, &'static str),
) {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("long", STUBBORN, "kill_grace = '30s'")];
        let url = db.url();
        let configuration = Configuration { grace, ..Configuration::of(&url, &kinds) };
        let mut daemon = Daemon::start(&configuration.text()).await;
        let id = enqueue(&pool, "long").await;
        let child = notebook.says("started").await;

        daemon.signal(Signal::SIGTERM);
        daemon.phase(after).await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(Duration::from_secs(3)).await.code(), Some(1));
        ends(&child).await;
        assert_eq!(job(&pool, id).await.attempt, 0, "nothing is charged");
        let stopped = daemon.logged("daemon.stopped").await;
        assert_eq!(stopped["cut_short"], 1);
        pool.close().await;
    });
}

#[test]
fn a_black_holed_database_and_a_stubborn_program_delay_the_end_by_a_bound_only() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let proxy = Proxy::before(&db.url()).await;
        let kinds = [notebook.kind("long", STUBBORN, "kill_grace = '30s'")];
        // The default lease and statement timeout: neither may be what ends the waiting.
        let configuration = Configuration {
            lease: (Duration::from_secs(30), Duration::from_secs(5)),
            grace: GRACE,
            statement_timeout: "10s",
            ..Configuration::of(proxy.url(), &kinds)
        };
        let mut daemon = Daemon::start(&configuration.text()).await;
        let id = enqueue(&pool, "long").await;
        let child = notebook.says("started").await;

        proxy.blackhole();
        daemon.signal(Signal::SIGTERM);
        let asked = Instant::now();
        assert_eq!(daemon.exit(BOUND + SCHEDULING).await.code(), Some(1));
        ends(&child).await;
        let ids = id.to_string();
        let named = daemon.events().into_iter().any(|line| {
            let orphan = ["shutdown.orphans", "job.orphaned"].iter().any(|e| line["event"] == **e);
            orphan && line["job.ids"] == ids
        });
        assert!(named, "job {id} isn't named after {:?}:\n{}", asked.elapsed(), daemon.printed());
        pool.close().await;
    });
}

#[test]
fn a_job_whose_verdict_hangs_in_the_database_is_named_at_the_end() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("patient", PATIENT, "")];
        let url = db.url();
        let configuration = Configuration {
            statement_timeout: "30s",
            grace: GRACE,
            ..Configuration::of(&url, &kinds)
        };
        let mut daemon = Daemon::start(&configuration.text()).await;
        let id = enqueue(&pool, "patient").await;
        notebook.says("started").await;
        let mut locked = pool.begin().await.unwrap();
        let lock = sqlx::query("SELECT FROM legwork.job WHERE id = $1 FOR UPDATE").bind(id);
        lock.execute(&mut *locked).await.unwrap();

        notebook.allow("go");
        support::eventually("the verdict waits for the lock", async || {
            let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = \
                current_database() AND application_name = 'legwork completer' AND \
                wait_event_type = 'Lock')";
            sqlx::query_scalar::<_, bool>(waiting).fetch_one(&pool).await.unwrap()
        })
        .await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(BOUND + SCHEDULING).await.code(), Some(1), "{}", daemon.printed());
        let ids = id.to_string();
        assert_eq!(daemon.logged("job.orphaned").await["job.ids"], ids);
        assert_eq!(daemon.logged("daemon.stopped").await["orphans"], 1);
        locked.rollback().await.unwrap();
        pool.close().await;
    });
}

#[test]
fn hup_ends_nothing() {
    support::run(async |db| {
        let pool = db.pool().await;
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        daemon.logged("daemon.started").await;

        daemon.signal(Signal::SIGHUP);
        let line = daemon.logged("signal.received").await;
        assert_eq!(line["signal"], "HUP");
        let id = enqueue(&pool, "noop").await;
        becomes(&pool, id, "completed").await;
        assert_eq!(count(&pool, "noop", "completed").await, 1);

        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0));
        pool.close().await;
    });
}
