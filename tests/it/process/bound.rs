//! The bound of the end: whatever hangs, and however much at once, the process is gone within `grace`,
//! `cancel_grace`, 2 s for the last verdicts and 1 s for the rest; told twice, within 3 s.

use std::io::{PipeReader, PipeWriter, Write, pipe};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use legwork::sys::spawner;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::{PgPool, PgTransaction};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Configuration, Notebook, SLACK, becomes, ends, enqueue, shutdown::STUBBORN};
use crate::support::{self, Daemon, PATIENCE, Proxy};

/// `grace` and `cancel_grace` of a daemon that is held to [`BOUND`].
pub(crate) const GRACE: (&str, &str) = ("500ms", "500ms");
/// What P7 allows with it: 0.5 s, 0.5 s, 2 s and 1 s.
pub(crate) const BOUND: Duration = Duration::from_secs(4);
/// Between the signal and the daemon's learning of it, and between its end and the test's.
pub(crate) const SCHEDULING: Duration = Duration::from_millis(750);

/// Every statement that changes a job waits for this, claims and verdicts alike.
const THE_TABLE: &str = "LOCK TABLE legwork.job IN SHARE MODE";
/// Updates wait for this once they have chosen their rows: nothing keeps them from taking effect then.
const AN_UPDATE: &str = "SELECT pg_advisory_xact_lock(7)";
const UPDATES_WAIT: &str = "
    CREATE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END';
    GRANT EXECUTE ON FUNCTION public.wait() TO PUBLIC;
    CREATE TRIGGER waits BEFORE UPDATE ON legwork.job FOR EACH ROW EXECUTE FUNCTION public.wait()";

/// A job that a claim in flight is about to take: the claim waits for the test's lock.
struct InFlight {
    lock: PgTransaction<'static>,
    id: i64,
}

impl InFlight {
    /// The daemon runs already.
    async fn of(pool: &PgPool, kind: &str, lock_of: &'static str) -> Self {
        let execute = async |statement: &'static str| {
            sqlx::query(statement).execute(pool).await.expect("the test may");
        };
        execute("SELECT legwork.pause('default')").await;
        let id = enqueue(pool, kind).await;
        let mut lock = pool.begin().await.expect("a transaction");
        let taken = sqlx::query(lock_of).execute(&mut *lock).await;
        taken.expect("the lock is free");
        execute("SELECT legwork.resume('default')").await;
        support::eventually("a claim waits for the lock", async || {
            let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = \
                current_database() AND application_name = 'legwork claim' AND \
                wait_event_type = 'Lock' AND query LIKE '%SET holder%')";
            sqlx::query_scalar::<_, bool>(waits).fetch_one(pool).await.expect("an answer")
        })
        .await;
        Self { lock, id }
    }
}

/// Whether the log calls a job an orphan.
fn is_named(daemon: &Daemon, id: i64) -> bool {
    let events = daemon.events();
    let orphan = ["shutdown.orphans", "job.orphaned"];
    let lines = events.iter().filter(|line| orphan.iter().any(|event| line["event"] == **event));
    lines.filter_map(|line| line["job.ids"].as_str()).any(|ids| {
        let id = id.to_string();
        ids.split(',').any(|named| named == id)
    })
}

#[test]
fn a_claim_a_program_and_a_verdict_that_hang_share_one_bound() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("long", STUBBORN, "kill_grace = '30s'")];
        let url = db.url();
        let configuration = Configuration {
            grace: GRACE,
            statement_timeout: "30s",
            ..Configuration::of(&url, &kinds)
        };
        let mut daemon = Daemon::start(&configuration.text()).await;
        let running = enqueue(&pool, "long").await;
        let child = notebook.says("started").await;
        let claim = InFlight::of(&pool, "long", THE_TABLE).await;

        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(BOUND + SCHEDULING).await.code(), Some(1), "{}", daemon.printed());
        ends(&child).await;
        assert!(is_named(&daemon, running), "{}", daemon.printed());
        claim.lock.rollback().await.unwrap();
        pool.close().await;
    });
}

#[test]
fn a_second_term_ends_it_within_3_s_whatever_hangs() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("long", STUBBORN, "kill_grace = '30s'")];
        let url = db.url();
        let configuration =
            Configuration { statement_timeout: "30s", ..Configuration::of(&url, &kinds) };
        let mut daemon = Daemon::start(&configuration.text()).await;
        let running = enqueue(&pool, "long").await;
        let child = notebook.says("started").await;
        let claim = InFlight::of(&pool, "long", THE_TABLE).await;

        daemon.signal(Signal::SIGTERM);
        daemon.logged("shutdown.phase").await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(Duration::from_secs(3)).await.code(), Some(1));
        ends(&child).await;
        assert!(is_named(&daemon, running), "{}", daemon.printed());
        claim.lock.rollback().await.unwrap();
        pool.close().await;
    });
}

#[test]
fn a_claim_in_flight_is_given_back_even_where_there_is_no_grace_at_all() {
    support::run(async |db| {
        let pool = db.pool().await;
        sqlx::raw_sql(UPDATES_WAIT).execute(&pool).await.expect("the test may");
        let notebook = Notebook::new();
        let kinds = [notebook.kind("long", STUBBORN, "kill_grace = '30s'")];
        let url = db.url();
        let configuration =
            Configuration { grace: ("0s", "0s"), ..Configuration::of(&url, &kinds) };
        let mut daemon = Daemon::start(&configuration.text()).await;
        daemon.logged("daemon.started").await;
        let claim = InFlight::of(&pool, "long", AN_UPDATE).await;

        daemon.signal(Signal::SIGTERM);
        daemon.logged("shutdown.phase").await;
        claim.lock.rollback().await.unwrap();
        assert_eq!(daemon.exit(SLACK + SLACK).await.code(), Some(0), "{}", daemon.printed());
        let back = becomes(&pool, claim.id, "available").await;
        assert_eq!((back.attempt, back.rescues), (0, 0));
        pool.close().await;
    });
}

#[test]
fn a_claim_that_is_left_in_flight_is_told_of_and_ends_with_code_1() {
    support::run(async |db| {
        let pool = db.pool().await;
        sqlx::raw_sql(UPDATES_WAIT).execute(&pool).await.expect("the test may");
        let notebook = Notebook::new();
        let kinds = [notebook.kind("long", STUBBORN, "kill_grace = '30s'")];
        let url = db.url();
        let configuration = Configuration {
            grace: ("0s", "0s"),
            statement_timeout: "30s",
            ..Configuration::of(&url, &kinds)
        };
        let mut daemon = Daemon::start(&configuration.text()).await;
        daemon.logged("daemon.started").await;
        let claim = InFlight::of(&pool, "long", AN_UPDATE).await;

        daemon.signal(Signal::SIGTERM);
        let code = daemon.exit(SLACK + SLACK).await.code();
        claim.lock.rollback().await.unwrap();
        let state = becomes(&pool, claim.id, "running").await;
        assert_eq!((code, state.attempt), (Some(1), 0), "{}", daemon.printed());
        assert_eq!(daemon.count("job.orphaned"), 1, "{}", daemon.printed());
        pool.close().await;
    });
}

/// A pipe that takes not one byte more.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().expect("a pipe");
    let set = |pipe: &PipeWriter, flags| fcntl(pipe, FcntlArg::F_SETFL(flags)).expect("a flag");
    set(&writer, OFlag::O_NONBLOCK);
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    while writer.write(b"\n").is_ok() {}
    set(&writer, OFlag::empty());
    (reader, writer)
}

/// Waits for a process to end.
async fn exit(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    timeout(limit, child.wait()).await.ok().map(|status| status.expect("it can be waited for"))
}

#[test]
fn outputs_that_nobody_reads_and_a_black_holed_database_do_not_move_the_end() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let proxy = Proxy::before(&db.url()).await;
        let kinds = [notebook.kind("long", STUBBORN, "kill_grace = '30s'")];
        let configuration =
            Configuration { grace: GRACE, ..Configuration::of(proxy.url(), &kinds) };
        std::fs::write(notebook.path("legwork.toml"), configuration.text()).unwrap();
        let (reader, writer) = full_pipe();
        let mut command = Command::new(env!("CARGO_BIN_EXE_legwork"));
        command.arg("--config").arg(notebook.path("legwork.toml")).arg("run");
        command.env_clear().env("PATH", "/usr/bin:/bin").kill_on_drop(true).stdin(Stdio::null());
        command.stdout(writer.try_clone().expect("a descriptor")).stderr(writer);
        let mut child = spawner::spawn(command).await.expect("the binary runs");
        enqueue(&pool, "long").await;
        let program = notebook.says("started").await;

        proxy.blackhole();
        let pid = child.id().expect("it isn't waited for yet").cast_signed();
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it can be signalled");
        let ended = exit(&mut child, BOUND + SCHEDULING).await;
        assert_eq!(ended.expect("it ends in time").code(), Some(1));
        ends(&program).await;
        drop(reader);
        pool.close().await;
    });
}

#[test]
fn systemd_is_told_how_much_longer_the_end_may_take() {
    support::run(async |db| {
        let url = db.url();
        let directory = tempfile::tempdir().expect("a directory");
        let (file, socket) =
            (directory.path().join("legwork.toml"), directory.path().join("notify"));
        std::fs::write(&file, Configuration::of(&url, &[]).text()).unwrap();
        let server = UnixDatagram::bind(&socket).expect("a socket");
        let mut command = Command::new("/usr/bin/env");
        command.arg(format!("NOTIFY_SOCKET={}", socket.display()));
        command.arg(env!("CARGO_BIN_EXE_legwork")).arg("--config").arg(&file).arg("run");
        let mut daemon = Daemon::start_command(command, directory).await;
        let heard = async || loop {
            let mut buffer = [0; 256];
            let length = timeout(PATIENCE, server.recv(&mut buffer)).await.expect("a notice");
            let notice = String::from_utf8_lossy(&buffer[..length.unwrap()]).into_owned();
            if notice != "WATCHDOG=1\n" {
                break notice;
            }
        };
        // It asks for time before it looks for its database.
        assert!(heard().await.starts_with("EXTEND_TIMEOUT_USEC="));
        assert_eq!(heard().await, "READY=1\n");

        daemon.signal(Signal::SIGTERM);
        let stopping = heard().await;
        let left = stopping.strip_prefix("STOPPING=1\nEXTEND_TIMEOUT_USEC=").expect("both");
        let left = Duration::from_micros(left.trim_end().parse().expect("a number"));
        // 20 s and 2 s of grace, 2 s and 1 s for the end.
        let bound = Duration::from_secs(25);
        assert!(left <= bound && left + SCHEDULING > bound, "{left:?}");
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
    });
}
