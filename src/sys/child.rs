//! What a child process is given between `fork` and `exec`.
//!
//! One builder for everything that Legwork starts (command handlers, the private Postgres), so
//! that the delicate order is written down once: `std` changes groups, gid and uid first, and only
//! then runs our part. `PDEATHSIG` has to come after them, because the kernel clears it whenever
//! the credentials change.
//!
//! It starts nothing itself. A child with a death signal must be started through
//! [`spawner`](super::spawner): the signal follows the *thread* that forked, not the process.

use std::ffi::CString;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Pid, Uid, getpid, getppid, setsid};

use super::descriptors::Passed;
#[cfg(target_os = "linux")]
use super::guard;
use super::image::Image;
use super::report::{LastSteps, Report};

/// The first descriptor behind a child's standard streams.
const FIRST_OF_NO_USE: RawFd = 3;

/// Which process group a child belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Group {
    /// The parent's: a Ctrl-C in the terminal reaches the child as well.
    #[default]
    Inherited,
    /// A group of its own, in the parent's session.
    Own,
    /// A session, and thereby a group, of its own; on Linux behind a guard.
    GuardedSession,
}

/// How a child process is set up before its program starts. The default changes nothing.
#[derive(Clone, Debug, Default)]
pub struct ChildSetup {
    group: Group,
    death_signal: Option<Signal>,
    user: Option<(Uid, Gid)>,
    limits: Vec<(Resource, u64)>,
    no_new_privileges: bool,
    mask: Option<Mode>,
    signals_unblocked: bool,
    passed: Vec<Passed>,
    close_from: Option<RawFd>,
    directory: Option<CString>,
    report: Option<Report>,
}

impl ChildSetup {
    /// A child that is set up like its parent.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts the child at the head of its own process group, so that a signal to the group reaches
    /// it and its descendants, and a Ctrl-C meant for the parent doesn't.
    #[must_use]
    pub fn own_process_group(mut self) -> Self {
        self.group = Group::Own;
        self
    }

    /// Puts the child at the head of its own session: as [`own_process_group`], without a
    /// controlling terminal. On Linux the process that is started is then a [`guard`](super::guard),
    /// and the program its child, which ignores no signal. The later call of the two wins.
    ///
    /// [`own_process_group`]: Self::own_process_group
    #[must_use]
    pub(super) fn guarded_session(mut self) -> Self {
        self.group = Group::GuardedSession;
        self
    }

    /// Has the kernel send `signal` to the child when the thread that forked it ends. Linux only;
    /// other systems have nothing like it, and there the setting is without effect.
    #[must_use]
    pub fn death_signal(mut self, signal: Signal) -> Self {
        self.death_signal = Some(signal);
        self
    }

    /// Runs the child as this user and group, without supplementary groups. Needs root.
    #[must_use]
    pub fn user(mut self, uid: Uid, gid: Gid) -> Self {
        self.user = Some((uid, gid));
        self
    }

    /// Sets a resource limit, soft and hard, in the resource's own unit (`setrlimit(2)`).
    #[must_use]
    pub fn limit(mut self, resource: Resource, amount: u64) -> Self {
        self.limits.push((resource, amount));
        self
    }

    /// Forbids the child and its descendants to gain privileges by a setuid program. Linux only.
    #[must_use]
    pub fn no_new_privileges(mut self) -> Self {
        self.no_new_privileges = true;
        self
    }

    /// Takes these permissions from every file that the child makes.
    #[must_use]
    pub fn umask(mut self, mask: Mode) -> Self {
        self.mask = Some(mask);
        self
    }

    /// Lets every signal reach the child, whatever its parent's thread blocks: a mask is inherited.
    #[must_use]
    pub fn unblock_signals(mut self) -> Self {
        self.signals_unblocked = true;
        self
    }

    /// Has the child find `descriptor` open under `number`, which is above those of its standard
    /// streams. Give the last number in [`close_descriptors_from`](Self::close_descriptors_from)
    /// above all of these.
    pub fn pass(mut self, number: RawFd, descriptor: OwnedFd) -> io::Result<Self> {
        self.passed.push(Passed::new(number, descriptor)?);
        Ok(self)
    }

    /// The lowest descriptor that isn't the program's, where it is passed any. Of a program that is started
    /// by [`ProcessGroup`](super::ProcessGroup); others get whatever `std` leaves open.
    #[must_use]
    pub fn close_descriptors_from(mut self, first: RawFd) -> Self {
        self.close_from = Some(first);
        self
    }

    /// The child's directory, for a program that is started by [`ProcessGroup`](super::ProcessGroup):
    /// nobody else waits for a file system that hangs.
    pub fn directory(mut self, directory: &Path) -> io::Result<Self> {
        self.directory = Some(CString::new(directory.as_os_str().as_bytes())?);
        Ok(self)
    }

    /// Has the kernel alone start the program, and a failure to do so told here: whoever starts the
    /// child goes on before. The program is found by its path and not by `PATH`, has the variables that
    /// the command sets and no others, and never comes through `/bin/sh`, to which `std` hands a file that
    /// is neither binary nor script. It inherits no descriptor but its streams and those that it was
    /// passed. Set words and variables before [`apply`](Self::apply).
    #[must_use]
    pub(super) fn report_to(mut self, report: Report) -> Self {
        self.report = Some(report);
        self
    }

    /// Writes this setup into a command. Call it once per command: the steps add up.
    pub fn apply(mut self, command: &mut std::process::Command) {
        if let Some((uid, gid)) = self.user {
            command.gid(gid.as_raw()).uid(uid.as_raw());
        }
        if self.group == Group::Own {
            command.process_group(0);
        }
        if self.needs_a_step_before_exec() {
            let parent = getpid();
            if let Some(report) = self.report.take() {
                let (close_from, directory) =
                    (self.close_from.take().unwrap_or(FIRST_OF_NO_USE), self.directory.take());
                let last = LastSteps { report, close_from, directory, image: Image::of(command) };
                return before_exec(command, move || {
                    self.run(parent)?;
                    last.take()
                });
            }
            before_exec(command, move || self.run(parent));
        }
    }

    /// As [`apply`](Self::apply), for a command of tokio's.
    pub fn apply_tokio(self, command: &mut tokio::process::Command) {
        self.apply(command.as_std_mut());
    }

    /// Whether a step is left that `std` can't do: without one, `std` may use `posix_spawn`.
    fn needs_a_step_before_exec(&self) -> bool {
        self.group == Group::GuardedSession
            || self.death_signal.is_some()
            || self.no_new_privileges
            || !self.limits.is_empty()
            || self.mask.is_some()
            || self.signals_unblocked
            || !self.passed.is_empty()
    }

    /// The child's side: system calls only, in an order that can't undo itself.
    fn run(&self, parent: Pid) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        let parent = match self.group {
            Group::GuardedSession => guard::stand_between(parent)?,
            Group::Inherited | Group::Own => parent,
        };
        if self.group == Group::GuardedSession {
            setsid()?;
            ignore_no_signal();
        }
        for (resource, amount) in &self.limits {
            setrlimit(*resource, *amount, *amount)?;
        }
        if let Some(mask) = self.mask {
            umask(mask);
        }
        if self.signals_unblocked {
            SigSet::empty().thread_set_mask()?;
        }
        self.passed.iter().try_for_each(Passed::place)?;
        #[cfg(target_os = "linux")]
        if self.no_new_privileges {
            nix::sys::prctl::set_no_new_privs()?;
        }
        #[cfg(target_os = "linux")]
        if let Some(signal) = self.death_signal {
            nix::sys::prctl::set_pdeathsig(signal)?;
            // A parent that died before the line above sends no signal any more.
            if getppid() != parent {
                return Err(nix::errno::Errno::ESRCH.into());
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _unused_elsewhere = (parent, getppid);
        Ok(())
    }
}

/// What a parent ignores stays ignored over `exec`. A daemon that a shell put in the background (`legwork run &` in
/// a script) has INT and QUIT ignored, and a program must not be deaf to them because of how its daemon was started.
#[expect(unsafe_code, reason = "changing what a signal does is unsafe")]
fn ignore_no_signal() {
    for which in Signal::iterator() {
        // SAFETY: the default action runs no code of ours. The two that can't be changed are refused, and as they
        // should be already.
        unsafe { signal(which, SigHandler::SigDfl) }.ok();
    }
}

/// Registers `step` to run in the child, between `fork` and `exec`.
#[expect(unsafe_code, reason = "pre_exec is unsafe, and there is no other place for these calls")]
fn before_exec(
    command: &mut std::process::Command,
    step: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: after the fork of a process with threads, only async-signal-safe functions may run.
    // The only callers pass `ChildSetup::run` and `LastSteps::take`, which make plain system calls (setsid,
    // setrlimit, umask, sigprocmask, sigaction, dup2, fcntl, close_range, prctl, getppid, chdir, execve) on values that
    // exist already: they take no lock, allocate nothing, and their errors are bare numbers. The guard,
    // which may be forked here and never returns, keeps to the same.
    unsafe {
        command.pre_exec(step);
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use rstest::rstest;

    use super::*;

    /// What a shell, set up like this, says about itself.
    fn told_by_a_shell(setup: ChildSetup, script: &str) -> String {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        setup.apply(&mut command);
        let output = command.output().expect("sh runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }

    const GROUP: &str = "ps -o pgid= -p $$";
    const PID_IS_GROUP: &str = "test $(ps -o pgid= -p $$) = $$ && echo own || echo inherited";
    const PID_IS_SESSION: &str = "test $(ps -o sid= -p $$) = $$ && echo own || echo inherited";

    #[rstest]
    #[case::unchanged(ChildSetup::new(), PID_IS_GROUP, "inherited")]
    #[case::group(ChildSetup::new().own_process_group(), PID_IS_GROUP, "own")]
    #[case::group_in_the_session(ChildSetup::new().own_process_group(), PID_IS_SESSION, "inherited")]
    #[case::session(ChildSetup::new().guarded_session(), PID_IS_SESSION, "own")]
    #[case::the_later_of_the_two(
        ChildSetup::new().guarded_session().own_process_group(),
        PID_IS_SESSION,
        "inherited"
    )]
    #[case::limit(ChildSetup::new().limit(Resource::RLIMIT_NOFILE, 64), "ulimit -n", "64")]
    #[case::umask(ChildSetup::new().umask(Mode::from_bits_truncate(0o77)), "umask", "0077")]
    fn a_child_is_set_up_as_asked(
        #[case] setup: ChildSetup,
        #[case] script: &str,
        #[case] expected: &str,
    ) {
        assert_eq!(told_by_a_shell(setup, script), expected);
    }

    #[test]
    fn a_failed_exec_is_reported_even_where_number_3_was_free() {
        let (_reader, writer) = io::pipe().expect("a pipe");
        let mut command = Command::new("/nowhere/at-all");
        ChildSetup::new().pass(3, writer.into()).expect("taken").apply(&mut command);
        let refused = command.spawn().expect_err("there is no such file");
        assert_eq!(refused.kind(), io::ErrorKind::NotFound);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn privileges_cannot_be_gained_again() {
        let setup = ChildSetup::new().no_new_privileges();
        assert_eq!(told_by_a_shell(setup, "grep NoNewPrivs /proc/self/status | cut -f2"), "1");
    }

    #[test]
    fn root_can_give_its_privileges_up() {
        if !Uid::effective().is_root() {
            return;
        }
        let setup = ChildSetup::new().user(Uid::from_raw(65534), Gid::from_raw(65534));
        assert_eq!(told_by_a_shell(setup, "echo $(id -u) $(id -G)"), "65534 65534");
    }

    #[test]
    fn a_tokio_command_is_set_up_alike() {
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", GROUP]).stdout(Stdio::piped());
        ChildSetup::new().own_process_group().apply_tokio(&mut command);
        let child = command.as_std_mut().spawn().expect("sh runs");
        let id = child.id().to_string();
        let output = child.wait_with_output().expect("sh ends");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), id);
    }
}
