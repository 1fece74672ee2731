//! Figures and signs of life are true: held against what the rows, the kernel and the clock say.

use nix::sys::signal::Signal;
use sqlx::postgres::PgPool;
use tokio::net::UnixDatagram;
use tokio::process::Command;
use tokio::time::timeout;

use super::{Configuration, Notebook, SLACK, becomes, count, enqueue, enqueue_many};
use crate::support::{self, Daemon};

const WAIT: &str = "legwork_job_queue_wait_seconds";

/// Waits until so many attempts have started, and gives how long their jobs had been due in all.
async fn waited(daemon: &Daemon, attempts: u32) -> f64 {
    support::eventually(&format!("{attempts} attempts have started"), async || {
        let started = daemon.metric(&format!("{WAIT}_count"), &[]).await;
        started >= f64::from(attempts)
    })
    .await;
    assert_eq!(
        daemon.metric(&format!("{WAIT}_count"), &[]).await.to_string(),
        attempts.to_string()
    );
    daemon.metric(&format!("{WAIT}_sum"), &[]).await
}

#[test]
fn a_wait_lasts_until_the_rate_limit_lets_its_attempt_start() {
    support::run(async |db| {
        let pool = db.pool().await;
        let kinds =
            ["[[kind]]\nname = 'limited'\nhandler = 'noop'\nrate_limit = '10/s'\n".to_owned()];
        let daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        daemon.logged("daemon.started").await;
        enqueue_many(&pool, "limited", 16).await;
        let waited = waited(&daemon, 16).await;
        // One each 100 ms: 0 + 0.1 + … + 1.5; a tenth for the clocks of two processes.
        assert!(waited >= 12.0 * 0.9, "{waited} s");
        let in_the_limiter = daemon.metric("legwork_rate_limit_wait_seconds_sum", &[]).await;
        assert!(in_the_limiter > 1.0, "most of it is spent there: {in_the_limiter} s");
        drop(daemon);
        pool.close().await;
    });
}

/// Runs this as one job's INSERT.
async fn insert(pool: &PgPool, kind: &str, run_at: &str, created_at: &str) {
    let statement = "INSERT INTO legwork.job (kind, run_at, created_at)
        VALUES ($1, now() + $2::text::interval, now() + $3::text::interval)";
    let inserted = sqlx::query(statement).bind(kind).bind(run_at).bind(created_at);
    inserted.execute(pool).await.expect("a job can be enqueued");
}

#[test]
fn a_wait_begins_when_its_job_is_both_there_and_due() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [
            "[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned(),
            notebook.kind(
                "fails",
                "exit 1",
                "max_attempts = 2\nbackoff = { base = '1s', max = '1s' }",
            ),
        ];
        // Due late, due long before it came, tried again: each is an hour old one way or the other.
        insert(&pool, "noop", "1 s", "-1 hour").await;
        insert(&pool, "noop", "-1 hour", "0 s").await;
        insert(&pool, "fails", "0 s", "-1 hour").await;
        insert(&pool, "noop", "-100 s", "-1 hour").await;
        let daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let waited = waited(&daemon, 5).await;
        assert!((100.0..1800.0).contains(&waited), "{waited} s");
        drop(daemon);
        pool.close().await;
    });
}

#[test]
fn the_age_of_the_oldest_running_job_is_not_that_of_a_younger_one() {
    const AGE: &str = "legwork_job_oldest_running_age_seconds";
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let waits =
            |go: &str| format!("echo {go} >> notes\nwhile [ ! -e {go} ]; do sleep 0.02; done");
        let kinds = [
            notebook.kind("older", &waits("go-older"), ""),
            notebook.kind("younger", &waits("go-younger"), ""),
        ];
        let daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let older = enqueue(&pool, "older").await;
        support::eventually("it has run for two seconds", async || {
            daemon.metric(AGE, &[]).await >= 2.0
        })
        .await;
        let alone = daemon.metric(AGE, &[]).await;
        let younger = enqueue(&pool, "younger").await;
        notebook.says("go-younger").await;
        let both = daemon.metric(AGE, &[]).await;
        assert!(both >= alone, "{both} s beside a younger one, {alone} s before");
        notebook.allow("go-older");
        becomes(&pool, older, "completed").await;
        notebook.allow("go-younger");
        becomes(&pool, younger, "completed").await;
        support::eventually("nothing is old", async || daemon.metric(AGE, &[]).await <= 0.0).await;
        drop(daemon);
        pool.close().await;
    });
}

/// User and system time of a process, in seconds.
#[cfg(target_os = "linux")]
fn cpu(daemon: &Daemon) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid()));
    let stat = stat.expect("the daemon lives");
    let (_, fields) = stat.rsplit_once(") ").expect("the name is in parentheses");
    let fields: Vec<&str> = fields.split(' ').collect();
    let seconds = |at: usize| fields[at].parse::<f64>().expect("ticks are a number") / 100.0;
    (seconds(11), seconds(12))
}

#[test]
#[cfg(target_os = "linux")]
fn the_process_uses_the_cpu_that_the_kernel_counts() {
    /// Either time is cut off to ticks of 10 ms where we read it.
    const CUT_OFF: f64 = 0.02;
    support::run(async |db| {
        let pool = db.pool().await;
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        enqueue_many(&pool, "noop", 2000).await;
        support::eventually("all have run", async || {
            count(&pool, "noop", "completed").await == 2000
        })
        .await;
        support::eventually(
            "it has worked for long enough to tell one from the other",
            async || {
                daemon.get("/metrics").await;
                let (user, _) = cpu(&daemon);
                user >= 10.0 * CUT_OFF
            },
        )
        .await;
        let sum = |(user, system)| user + system;
        let before = sum(cpu(&daemon));
        let told = daemon.metric("process_cpu_seconds_total", &[]).await;
        let after = sum(cpu(&daemon)) + CUT_OFF;
        assert!((before..=after).contains(&told), "{told} s is not within {before}..={after}");
        drop(daemon);
        pool.close().await;
    });
}

/// Waits for this notice, and gives those that came before it.
async fn hears(manager: &UnixDatagram, notice: &str) -> Vec<String> {
    let mut before = Vec::new();
    let heard = async {
        loop {
            let mut buffer = [0; 256];
            let length = manager.recv(&mut buffer).await.expect("the socket is ours");
            let heard = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if heard.lines().any(|line| line == notice) {
                return;
            }
            before.push(heard);
        }
    };
    let heard = timeout(support::PATIENCE, heard).await;
    assert!(heard.is_ok(), "no {notice} after {before:?}");
    before
}

/// Starts `legwork run` under somebody who listens, as systemd does.
async fn managed(configuration: &str) -> (UnixDatagram, Daemon) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let manager =
        UnixDatagram::bind(directory.path().join("notify")).expect("a socket can be made");
    std::fs::write(directory.path().join("legwork.toml"), configuration)
        .expect("it can be written");
    let mut command = Command::new("/usr/bin/env");
    command.arg(format!("NOTIFY_SOCKET={}", directory.path().join("notify").display()));
    command.arg("WATCHDOG_USEC=400000").arg(env!("CARGO_BIN_EXE_legwork"));
    command.args(["--config", "legwork.toml", "run"]);
    (manager, Daemon::start_command(command, directory).await)
}

#[test]
fn a_service_manager_hears_again_and_again_that_a_daemon_waits_for_its_database() {
    support::run(async |_db| {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("postgres://u@{}/d?sslmode=disable", nobody.local_addr().unwrap());
        drop(nobody);
        let (manager, mut daemon) = managed(&Configuration::of(&url, &[]).text()).await;

        // Of 1 s for the connection and 2 s for the answer the longer, and twice the longest pause.
        for _ in 0..3 {
            hears(&manager, "EXTEND_TIMEOUT_USEC=14000000").await;
        }
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
    });
}

/// The first try alone may take longer than `TimeoutStartSec`.
#[test]
fn a_service_manager_hears_it_before_the_first_try_is_over() {
    support::run(async |_db| {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("postgres://u@{}/d?sslmode=disable", silent.local_addr().unwrap());
        let configuration = Configuration::of(&url, &[]).text();
        let long = configuration.replace("connect_timeout = '1s'", "connect_timeout = '10m'");
        let (manager, mut daemon) = managed(&long).await;

        hears(&manager, "EXTEND_TIMEOUT_USEC=1210000000").await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
    });
}

#[test]
fn a_service_manager_hears_that_the_daemon_lives_until_it_stops() {
    support::run(async |db| {
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let (manager, mut daemon) = managed(&Configuration::of(&db.url(), &kinds).text()).await;

        hears(&manager, "READY=1").await;
        for _ in 0..3 {
            hears(&manager, "WATCHDOG=1").await;
        }
        daemon.signal(Signal::SIGTERM);
        hears(&manager, "STOPPING=1").await;
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
    });
}
