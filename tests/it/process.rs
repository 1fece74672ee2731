//! The daemon as a process: signals, deaths, outages and probes, against the real binary.
//!
//! What a job did is read from a [`Notebook`], a file that programs append to, and what became of
//! it from `legwork.jobs`: never from what the daemon says of itself. Leases are short here, so
//! that a test can wait for one to run out.

pub(crate) mod bound;
mod death;
#[cfg(target_os = "linux")]
mod escapes;
mod failure;
mod figures;
#[cfg(target_os = "linux")]
mod init;
mod lease;
mod lines;
mod metrics;
mod outage;
mod payloads;
mod probes;
pub(crate) mod reload;
#[cfg(target_os = "linux")]
mod shortage;
mod shutdown;
mod signals;
mod start;
mod waits;

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::Pid;
use sqlx::postgres::PgPool;
use tempfile::TempDir;

use crate::support;

/// The lease of [`Configuration`]'s default.
pub(crate) const TTL: Duration = Duration::from_secs(2);
/// Its heartbeat.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// What a process on a busy machine may be late by.
pub(crate) const SLACK: Duration = Duration::from_secs(3);
/// Longer than a main loop may be silent before probes take the daemon for hung: three ticks of 1 s.
const MISSED_TICKS: Duration = Duration::from_secs(5);

/// A configuration file, with what tests say differently.
pub(crate) struct Configuration<'a> {
    pub(crate) url: &'a str,
    /// `lease_ttl` and `heartbeat_interval`.
    pub(crate) lease: (Duration, Duration),
    /// `grace` and `cancel_grace`.
    pub(crate) grace: (&'a str, &'a str),
    pub(crate) statement_timeout: &'a str,
    pub(crate) listen: &'a str,
    /// `[[kind]]`s.
    pub(crate) kinds: &'a [String],
}

impl<'a> Configuration<'a> {
    pub(crate) fn of(url: &'a str, kinds: &'a [String]) -> Self {
        Self {
            url,
            lease: (TTL, HEARTBEAT),
            grace: ("20s", "2s"),
            statement_timeout: "2s",
            listen: "127.0.0.1:0",
            kinds,
        }
    }

    pub(crate) fn text(&self) -> String {
        let database = match (self.url, self.statement_timeout) {
            ("", _) => String::new(),
            (url, limit) => format!(
                "[database]\nurl = '{url}'\nconnect_timeout = '1s'\nstatement_timeout = '{limit}'\n"
            ),
        };
        let (ttl, heartbeat) = (self.lease.0.as_millis(), self.lease.1.as_millis());
        let (grace, cancel_grace) = self.grace;
        let text = format!(
            "{database}[daemon]\nlease_ttl = '{ttl}ms'\nheartbeat_interval = '{heartbeat}ms'\n\
             [shutdown]\ngrace = '{grace}'\ncancel_grace = '{cancel_grace}'\n\
             [admin]\nlisten = '{listen}'\n[log]\nformat = 'json'\n{kinds}",
            listen = self.listen,
            kinds = self.kinds.concat(),
        );
        support::pooled::file(&text)
    }
}

/// A directory in which programs run and a file in it, `notes`, to which they append lines.
pub(crate) struct Notebook {
    directory: TempDir,
}

impl Notebook {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory can be made") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A kind that runs this script, with further keys for its section.
    pub(crate) fn kind(&self, name: &str, script: &str, keys: &str) -> String {
        let (file, cwd) = (self.path(name), self.directory.path());
        std::fs::write(&file, script).expect("a script can be written");
        format!(
            "[[kind]]\nname = '{name}'\nhandler = 'command'\n\
             command = ['/bin/sh', '{}']\ncwd = '{}'\n{keys}\n",
            file.display(),
            cwd.display()
        )
    }

    /// The lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("notes")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for a line that starts so and gives the rest of it.
    pub(crate) async fn says(&self, start: &str) -> String {
        let mut rest = None;
        support::eventually(&format!("the notebook says {start:?}"), async || {
            let lines = self.lines();
            rest = lines.iter().find_map(|line| line.strip_prefix(start).map(str::to_owned));
            rest.is_some()
        })
        .await;
        rest.expect("the line was found").trim().to_owned()
    }

    /// The processes that work in its directory, which is where every program starts.
    #[cfg(target_os = "linux")]
    fn inhabitants(&self) -> Vec<String> {
        let processes = std::fs::read_dir("/proc").expect("processes can be listed").flatten();
        let works_here = |process: &std::fs::DirEntry| {
            let place = std::fs::read_link(process.path().join("cwd"));
            place.is_ok_and(|place| place == self.directory.path())
        };
        processes
            .filter(works_here)
            .map(|process| process.file_name().to_string_lossy().into_owned())
            .collect()
    }

    /// Makes a file that scripts wait for.
    pub(crate) fn allow(&self, name: &str) {
        std::fs::write(self.path(name), "").expect("a file can be made");
    }
}

/// What is known of a job.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) state: String,
    pub(crate) attempt: i16,
    pub(crate) rescues: i16,
    pub(crate) reason: Option<String>,
}

/// Enqueues a job.
pub(crate) async fn enqueue(pool: &PgPool, kind: &str) -> i64 {
    let statement = "INSERT INTO legwork.job (kind) VALUES ($1) RETURNING id";
    let inserted = sqlx::query_scalar(statement).bind(kind).fetch_one(pool).await;
    inserted.expect("a job can be enqueued")
}

/// Enqueues many.
pub(crate) async fn enqueue_many(pool: &PgPool, kind: &str, count: i32) {
    let statement = "INSERT INTO legwork.job (kind) SELECT $1 FROM generate_series(1, $2)";
    let inserted = sqlx::query(statement).bind(kind).bind(count).execute(pool).await;
    inserted.expect("jobs can be enqueued");
}

/// Looks a job up; there is exactly one of an id, unfinished or finished.
pub(crate) async fn job(pool: &PgPool, id: i64) -> Job {
    let statement = "SELECT state, attempt, rescues, reason FROM legwork.jobs WHERE id = $1";
    let found = sqlx::query_as::<_, (String, i16, i16, Option<String>)>(statement).bind(id);
    let mut found = found.fetch_all(pool).await.expect("jobs can be read");
    assert_eq!(found.len(), 1, "job {id} is there once: {found:?}");
    let (state, attempt, rescues, reason) = found.remove(0);
    Job { state, attempt, rescues, reason }
}

/// Waits until a job is in this state.
pub(crate) async fn becomes(pool: &PgPool, id: i64, state: &str) -> Job {
    support::eventually(&format!("job {id} is {state}"), async || {
        job(pool, id).await.state == state
    })
    .await;
    job(pool, id).await
}

/// How many jobs of a kind are in this state.
pub(crate) async fn count(pool: &PgPool, kind: &str, state: &str) -> i64 {
    let statement = "SELECT count(*) FROM legwork.jobs WHERE kind = $1 AND state = $2";
    let counted = sqlx::query_scalar(statement).bind(kind).bind(state).fetch_one(pool).await;
    counted.expect("jobs can be counted")
}

/// Whether a process runs. One that has ended and that nobody has waited for doesn't.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    let state = stat.ok().and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned()));
    state.is_some_and(|state| !state.starts_with(['Z', 'X']))
}

/// Waits until a process has ended.
async fn ends(pid: &str) {
    assert_ne!(pid.parse(), Ok(0), "a pid was noted");
    support::eventually(&format!("process {pid} has ended"), async || !lives(pid)).await;
}

/// Whether a daemon's process is the one it was.
fn is_running(pid: Pid) -> bool {
    lives(&pid.to_string())
}
