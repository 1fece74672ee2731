//! The server process of a private Postgres: started, waited for, stopped.
//!
//! Ready means what `pg_ctl` means by it, the last line of `postmaster.pid`, so that no connection
//! and no SQL is needed to ask. Stopped means that the postmaster is reaped and none of its
//! backends is left: after a SIGKILL they need a moment to notice, and a new server would find
//! their shared memory in use.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

use super::account::Account;
use super::cluster::Cluster;
use super::{EmbeddedError, Halt};
use crate::sys::spawner;

/// The longest wait for a server to accept connections. It takes 0.15 s on an idle machine; crash
/// recovery and a busy CI machine take longer.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// The longest wait for a server to stop; after it the server is killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How often a file or a process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running postmaster.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
}

impl Server {
    /// Starts the server with these settings and waits until it accepts connections.
    pub(super) fn start(
        cluster: &Cluster,
        settings: &[(String, String)],
    ) -> Result<Self, EmbeddedError> {
        let program = cluster.binaries.program("postgres");
        let log_path = cluster.place.log();
        let log = File::options().create(true).append(true).open(&log_path);
        let log = log.map_err(EmbeddedError::files("open", &log_path))?;
        let errors = log.try_clone().map_err(EmbeddedError::files("open", &log_path))?;

        let mut command = Account::command(&program, cluster.place.path());
        command.arg("-D").arg(cluster.place.data());
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        // The postmaster takes SIGQUIT as an immediate shutdown: it ends its backends and goes.
        cluster.account.setup().death_signal(Signal::SIGQUIT).apply(&mut command);
        let child = spawner::spawn_blocking(command)
            .map_err(|source| EmbeddedError::Run { program, source })?;
        Ok(Self { child })
    }

    /// The postmaster's process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the server accepts connections.
    pub(super) fn wait_until_ready(&mut self, cluster: &Cluster) -> Result<(), EmbeddedError> {
        let began = Instant::now();
        while !says_ready(&cluster.place.data(), self.pid()) {
            let said = || cluster.last_logged();
            if let Some(status) = self.ended(cluster)? {
                return Err(EmbeddedError::Ended { status: status.to_string(), said: said() });
            }
            if began.elapsed() > READY_LIMIT {
                let seconds = READY_LIMIT.as_secs();
                return Err(EmbeddedError::Late { awaited: "get ready", seconds, said: said() });
            }
            sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Stops the server in this way and waits until nothing of it is left.
    pub(super) fn halt(mut self, how: Halt, cluster: &Cluster) -> Result<(), EmbeddedError> {
        // Read before the server removes what it is about.
        let data = cluster.place.data();
        let memory = shared_memory(&data);
        self.signal(how.signal());
        let mut killed = how == Halt::Kill;
        let began = Instant::now();
        while self.ended(cluster)?.is_none() {
            if !killed && began.elapsed() > STOP_LIMIT {
                killed = true;
                self.signal(Signal::SIGKILL);
            }
            sleep(LOOK_EVERY);
        }
        if killed {
            wait_for_backends(&data, cluster)?;
            remove_shared_memory(memory.as_deref(), cluster);
        }
        Ok(())
    }

    /// Sends a signal to the postmaster. It can't miss: the child isn't reaped yet.
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().cast_signed());
        if let Err(error) = kill(pid, signal) {
            tracing::warn!(%error, %signal, "signalling the private Postgres failed");
        }
    }

    /// How the postmaster ended, if it did.
    fn ended(&mut self, cluster: &Cluster) -> Result<Option<ExitStatus>, EmbeddedError> {
        let program = cluster.binaries.program("postgres");
        self.child.try_wait().map_err(|source| EmbeddedError::Run { program, source })
    }
}

/// Whether `postmaster.pid` is this server's and says that it accepts connections: line 1 is the
/// pid, line 8 the state.
fn says_ready(data: &Path, pid: u32) -> bool {
    let file = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let mut lines = file.lines();
    let is_this = lines.next().is_some_and(|line| line.trim() == pid.to_string());
    is_this && lines.nth(6).is_some_and(|line| line.trim() == "ready")
}

/// The id of the System V segment that guards the data directory: the second number of line 7.
fn shared_memory(data: &Path) -> Option<String> {
    let file = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    Some(file.lines().nth(6)?.split_whitespace().nth(1)?.to_owned())
}

/// Removes the segment that a killed server left. A server that starts on the same directory
/// would do so; a directory that is removed instead would leak it.
fn remove_shared_memory(id: Option<&str>, cluster: &Cluster) {
    let Some(id) = id else { return };
    let mut command = Account::command(Path::new("ipcrm"), cluster.place.path());
    command.args(["-m", id]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    cluster.account.setup().apply(&mut command);
    let removed = spawner::spawn_blocking(command).and_then(|mut child| child.wait());
    if let Err(error) = removed {
        tracing::warn!(%error, id, "a shared memory segment is left behind");
    }
}

/// Waits until no process works in the data directory any more.
fn wait_for_backends(data: &Path, cluster: &Cluster) -> Result<(), EmbeddedError> {
    let data = fs::canonicalize(data).map_err(EmbeddedError::files("find", data))?;
    let began = Instant::now();
    while is_worked_in(&data) {
        if began.elapsed() > STOP_LIMIT {
            let (seconds, said) = (STOP_LIMIT.as_secs(), cluster.last_logged());
            return Err(EmbeddedError::Late { awaited: "stop", seconds, said });
        }
        sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Whether a process has this working directory; all of Postgres's have theirs in the data
/// directory. Systems without /proc aren't asked: there the next start waits for the segment.
fn is_worked_in(data: &Path) -> bool {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| fs::read_link(entry.path().join("cwd")).ok())
        .any(|directory| directory == data)
}
