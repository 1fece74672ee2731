//! The real binary, as a process of its own.
//!
//! Whatever belongs to a process (signals, exit codes, descriptors, threads, children) can only be
//! tested on one that the test has for itself. Log lines are captured from stdout as JSON and
//! waited for by their `event`; what isn't JSON and all of stderr is kept for the message of a
//! test that fails.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use legwork::sys::{ChildSetup, spawner};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{PATIENCE, http, pooled};

/// A running daemon. Dropping it kills it.
pub(crate) struct Daemon {
    child: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
    /// The configuration file's directory, there for as long as the daemon.
    directory: TempDir,
}

/// What a daemon has printed so far.
#[derive(Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    /// Counts the lines, so that a reader of them can wait for the next.
    count: watch::Sender<usize>,
}

impl Daemon {
    /// Starts `legwork run` with this configuration file. `database.url`, `admin.listen` on a free
    /// port and JSON logs are the caller's to write down, so that a test shows what it runs.
    pub(crate) async fn start(configuration: &str) -> Self {
        Self::start_with(configuration, &["run"]).await
    }

    /// Starts `legwork` with these arguments, and a `--config` before them.
    pub(crate) async fn start_with(configuration: &str, arguments: &[&str]) -> Self {
        Self::start_under(configuration, arguments, &[]).await
    }

    /// The same under these variables.
    pub(crate) async fn start_under(
        configuration: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let file = directory.path().join("legwork.toml");
        std::fs::write(&file, pooled::file(configuration))
            .expect("the configuration can be written");
        // The address of a server in a container holds a password, and others may not read that.
        let own = Permissions::from_mode(0o600);
        std::fs::set_permissions(&file, own).expect("the file is ours");
        let mut command = Command::new(env!("CARGO_BIN_EXE_legwork"));
        command.arg("--config").arg(&file).args(arguments).envs(variables.iter().copied());
        Self::start_command(command, directory).await
    }

    /// Starts a program, the daemon or a stand-in for it, in this directory, under the variables that
    /// the command was given and no others.
    pub(crate) async fn start_command(mut command: Command, directory: TempDir) -> Self {
        command.current_dir(directory.path());
        let given = command.as_std().get_envs();
        let given = given.filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        let given: Vec<_> = given.collect();
        command.env_clear().env("PATH", "/usr/bin:/bin").envs(given).kill_on_drop(true);
        // Coverage of the daemon counts too: its profile goes where the test run's does.
        command.envs(std::env::vars_os().filter(|(name, _)| name == "LLVM_PROFILE_FILE"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ChildSetup::new()
            .own_process_group()
            .death_signal(Signal::SIGKILL)
            .apply_tokio(&mut command);
        let mut child = spawner::spawn(command).await.expect("the binary runs");

        let output = Arc::new(Output::default());
        let stdout = output.clone().keep(child.stdout.take().expect("stdout is a pipe"));
        let stderr = output.clone().keep(child.stderr.take().expect("stderr is a pipe"));
        Self { child, output, readers: vec![stdout, stderr], directory }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> Pid {
        let pid = self.child.id().expect("the daemon isn't waited for yet");
        Pid::from_raw(pid.cast_signed())
    }

    /// The directory in which it runs and which has its configuration file.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Sends a signal to the daemon alone: TERM, KILL, STOP, CONT, ….
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the daemon can be signalled");
    }

    /// Waits for the first log line with this event.
    pub(crate) async fn logged(&self, event: &str) -> Value {
        self.logged_since(0, event).await
    }

    /// Waits for the first log line with this event after the first `skip` lines of output.
    pub(crate) async fn logged_since(&self, skip: usize, event: &str) -> Value {
        self.line(skip, &format!("event {event}"), |line| line["event"] == event).await
    }

    /// Waits for the end of this phase of the shutdown.
    pub(crate) async fn phase(&self, name: &str) -> Value {
        let is_it = |line: &Value| line["event"] == "shutdown.phase" && line["phase"] == name;
        self.line(0, &format!("phase {name}"), is_it).await
    }

    /// How many log lines with this event there are.
    pub(crate) fn count(&self, event: &str) -> usize {
        self.events().iter().filter(|line| line["event"] == event).count()
    }

    /// Every log line so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        let lines = self.output.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for a log line.
    async fn line(&self, skip: usize, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut count = self.output.count.subscribe();
        let search = async {
            loop {
                count.borrow_and_update();
                if let Some(found) = self.find(skip, &is_it) {
                    return found;
                }
                if count.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let found = timeout(PATIENCE, search).await;
        found.unwrap_or_else(|_| panic!("no {what} in:\n{}", self.printed()))
    }

    /// The first such log line after so many lines of output.
    fn find(&self, skip: usize, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
        let lines = self.output.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events = lines.iter().skip(skip).filter_map(|line| serde_json::from_str(line).ok());
        events.find(is_it)
    }

    /// How many lines it has printed: a mark for [`logged_since`](Self::logged_since).
    pub(crate) fn lines(&self) -> usize {
        *self.output.count.borrow()
    }

    /// All that it has printed.
    pub(crate) fn printed(&self) -> String {
        self.output.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// The address of its admin port, from the log: `admin.listen = "127.0.0.1:0"` takes any port.
    pub(crate) async fn admin(&self) -> SocketAddr {
        let line = self.logged("admin.listening").await;
        let listen = line["listen"].as_str().expect("the event has the field listen");
        listen.parse().expect("the field listen is an address")
    }

    /// Asks the admin port.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        http::get(self.admin().await, path).await
    }

    /// The sum of a metric over the series that have all these labels, as `name="value"`.
    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let series = text.lines().filter_map(|line| line.rsplit_once(' '));
        let is_it = |series: &str| {
            let (named, labelled) = series.split_once('{').unwrap_or((series, ""));
            named == name && labels.iter().all(|label| labelled.contains(label))
        };
        series.filter(|(series, _)| is_it(series)).filter_map(|(_, v)| v.parse::<f64>().ok()).sum()
    }

    /// As an operator stops it, which ends well. One that is dropped is killed instead, and then writes down nothing of
    /// which lines it ran.
    pub(crate) async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        assert_eq!(self.exit(PATIENCE).await.code(), Some(0), "{}", self.printed());
    }

    /// Waits for the end of the process, at most this long, and for the rest of its output.
    pub(crate) async fn exit(&mut self, limit: Duration) -> ExitStatus {
        let ended = timeout(limit, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| {
            panic!("the daemon didn't end within {limit:?}; it printed:\n{}", self.printed())
        });
        for reader in self.readers.drain(..) {
            reader.await.expect("a reader of output ends");
        }
        status.expect("the daemon can be waited for")
    }

    /// What the process holds right now.
    #[cfg(target_os = "linux")]
    pub(crate) fn holds(&self) -> Holdings {
        Holdings::of(self.pid())
    }
}

impl Output {
    /// Collects lines until the end of the stream.
    #[expect(clippy::disallowed_methods, reason = "a test has no supervisor; `exit` awaits it")]
    fn keep(self: Arc<Self>, stream: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                self.count.send_modify(|count| *count += 1);
            }
        })
    }
}

/// What a process can leak, counted by the kernel.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// Open descriptors.
    pub(crate) descriptors: usize,
    /// Threads.
    pub(crate) threads: usize,
    /// Children, zombies too.
    pub(crate) children: usize,
}

#[cfg(target_os = "linux")]
impl Holdings {
    /// What this process holds right now.
    pub(crate) fn of(pid: Pid) -> Self {
        let count = |name: &str| {
            let entries = std::fs::read_dir(format!("/proc/{pid}/{name}"));
            entries.map(Iterator::count).unwrap_or_default()
        };
        let mut children = String::new();
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let of_this_thread = std::fs::read_to_string(task.path().join("children"));
            write!(children, " {}", of_this_thread.unwrap_or_default()).expect("a String grows");
        }
        let children = children.split_whitespace().count();
        Self { descriptors: count("fd"), threads: count("task"), children }
    }
}
