//! The daemons: real processes of the real binary, what is done to them, and how they end.
//!
//! Each process has a name of its own, `d2.3` for the third of the second daemon, which its
//! programs, the faults and its end share. It is asked nothing; its log is kept for people.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::process::Command;
use tokio::time::{Instant, sleep, sleep_until};

use super::history::{Event, Verb};
use super::journal::Journal;
use super::plan::{Fault, Harm};
use crate::process::bound::SCHEDULING;
use crate::support::{Daemon, PATIENCE};

/// The lease. A daemon that stands still is taken over from within about 2.8 s, and one that a busy
/// machine holds up for a second still has it.
const LEASE_TTL: Duration = Duration::from_secs(2);
const HEARTBEAT: Duration = Duration::from_millis(400);
/// Less than the slowest jobs take, so that some are interrupted.
const GRACE: Duration = Duration::from_secs(1);
const CANCEL_GRACE: Duration = Duration::from_secs(1);
/// Jobs at once in each daemon.
const CONCURRENCY: u32 = 10;
/// What P7 adds to the graces: 2 s for the last verdicts, 1 s for the rest.
const REST: Duration = Duration::from_secs(3);

/// What all daemons of a run share.
#[derive(Debug)]
pub(crate) struct Ground<'a> {
    /// The run's directory.
    pub dir: PathBuf,
    pub url: &'a str,
    pub journal: &'a Journal,
    /// The binary.
    pub program: PathBuf,
    /// The bug that it has been told to have, if it was built to have one.
    pub bug: Option<&'static str>,
}

/// A daemon and the processes that were it, one after the other.
pub(crate) struct Member<'a> {
    ground: &'a Ground<'a>,
    number: usize,
    generation: u32,
    process: Option<Daemon>,
}

impl<'a> Member<'a> {
    /// A daemon that doesn't run yet.
    pub(crate) fn new(ground: &'a Ground<'a>, number: usize) -> Self {
        Self { ground, number, generation: 0, process: None }
    }

    /// The name of its process.
    fn name(&self) -> String {
        format!("d{}.{}", self.number, self.generation)
    }

    /// Starts its next process.
    pub(crate) async fn start(&mut self) {
        self.generation += 1;
        let (ground, name) = (self.ground, self.name());
        let directory = tempfile::tempdir().expect("a directory can be made");
        let file = directory.path().join("legwork.toml");
        std::fs::write(&file, self.configuration()).expect("the configuration can be written");
        // `env` gives way to the daemon: it is the same process.
        let mut command = Command::new("/usr/bin/env");
        if let Some(bug) = ground.bug {
            command.arg(format!("SEEDED_BUG={bug}"));
        }
        command.arg(&ground.program).arg("--config").arg(&file).arg("run");
        ground.journal.fault(Verb::Start, Some(&name));
        self.process = Some(Daemon::start_command(command, directory).await);
    }

    /// Waits until it works.
    pub(crate) async fn is_up(&self) {
        self.process.as_ref().expect("it runs").logged("daemon.started").await;
    }

    /// Suffers these faults, each at its time, and is there again afterwards.
    pub(crate) async fn suffer(&mut self, faults: &[Fault], began: Instant) {
        for fault in faults {
            // The plan's times are the workload.
            sleep_until(began + Duration::from_millis(fault.at_ms)).await;
            match fault.verb {
                Harm::Kill => self.end(Verb::Sigkill, Signal::SIGKILL).await,
                Harm::Term => self.told_to_stop().await,
                Harm::Stop => self.signal(Verb::Sigstop, Signal::SIGSTOP),
            }
            // How long it is away is the fault itself, and nothing tells of its end.
            sleep(Duration::from_millis(fault.for_ms)).await;
            match fault.verb {
                Harm::Kill | Harm::Term => self.start().await,
                Harm::Stop => self.signal(Verb::Sigcont, Signal::SIGCONT),
            }
        }
    }

    /// Tells it to stop, for the last time.
    pub(crate) async fn quiesce(&mut self) {
        self.told_to_stop().await;
    }

    /// TERM, once there is somebody to hear it: until its first line it is a process that knows of no
    /// signals yet, has touched nothing, and dies as any other would.
    async fn told_to_stop(&mut self) {
        self.process.as_ref().expect("it runs").logged("health.changed").await;
        self.end(Verb::Sigterm, Signal::SIGTERM).await;
    }

    fn signal(&self, verb: Verb, signal: Signal) {
        self.ground.journal.fault(verb, Some(&self.name()));
        self.process.as_ref().expect("it runs").signal(signal);
    }

    /// Ends its process by a signal and says how that went.
    async fn end(&mut self, verb: Verb, signal: Signal) {
        self.signal(verb, signal);
        let (asked, name) = (Instant::now(), self.name());
        let bound = GRACE + CANCEL_GRACE + REST + SCHEDULING;
        let mut process = self.process.take().expect("it runs");
        // The bound is the checker's to judge; what never ends fails here.
        let status = process.exit(bound + PATIENCE).await;
        let log = self.ground.dir.join(format!("{name}.log"));
        std::fs::write(log, process.printed()).expect("a log can be written");
        self.ground.journal.note(&Event::Exit {
            daemon: name,
            boot: None,
            code: status.code(),
            took_ms: milliseconds(asked.elapsed()),
            bound_ms: milliseconds(bound),
        });
    }

    fn configuration(&self) -> String {
        let Ground { dir, url, journal, .. } = self.ground;
        let (name, script) = (self.name(), dir.join("handler.sh"));
        let mut text = format!(
            "[database]\nurl = '{url}'\nconnect_timeout = '1s'\nstatement_timeout = '2s'\n\
             [daemon]\nname = '{name}'\nlease_ttl = '{}ms'\nheartbeat_interval = '{}ms'\n\
             [shutdown]\ngrace = '{}ms'\ncancel_grace = '{}ms'\n\
             [claim]\npoll_interval = '100ms'\n\
             [retry]\nmax_rescues = 20\n[retry.backoff]\nbase = '100ms'\nmax = '400ms'\n\
             [admin]\nlisten = 'off'\n[log]\nformat = 'json'\n\
             [[queue]]\nname = 'default'\nconcurrency = {CONCURRENCY}\n",
            LEASE_TTL.as_millis(),
            HEARTBEAT.as_millis(),
            GRACE.as_millis(),
            CANCEL_GRACE.as_millis(),
        );
        // Limited jobs wait in the daemon, claimed and unstarted.
        for (kind, keys) in [("work", ""), ("limited", "rate_limit = '20/s burst 2'\n")] {
            write!(
                text,
                "[[kind]]\nname = '{kind}'\nhandler = 'command'\n\
                 command = ['/bin/sh', '{}']\nkill_grace = '300ms'\n\
                 env = {{ CHAOS_DAEMON = '{name}', CHAOS_EVENTS = '{}' }}\n{keys}",
                script.display(),
                journal.path().display(),
            )
            .expect("a String grows");
        }
        text
    }
}

/// For the journal.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
