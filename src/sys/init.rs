//! What the first process of a container owes the others, so that the daemon needn't be it.
//!
//! A signal that process 1 has no handler for doesn't reach it, so that a TERM in its first milliseconds
//! is lost, and a Ctrl-C for `migrate` or `enqueue`. And it must wait for every orphan, or its zombie
//! stays for as long as the container: guards wait for those that programs leave, but when a daemon
//! or a guard is killed, its own children are nobody's. So process 1 starts the same program once more, passes
//! signals on and waits for everybody; it ends as that child did.
//!
//! It does nothing where somebody else is process 1 (`docker run --init`, systemd, a shared process
//! namespace), and it starts nothing again: whether a daemon is restarted is its keeper's business.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

use super::ChildSetup;

/// This program, whatever has become of its file since.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Added to a signal's number, the exit code of who died by it: what shells and engines say.
const DIED_BY: i32 = 128;

/// Not passed on: the process's own faults, and those that no process can take.
const OWN: [Signal; 8] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGKILL,
    Signal::SIGSTOP,
];

/// Runs this program with these arguments as a child, if this is process 1, and says its exit code.
/// `None` means that nothing was started and the caller is the program. Call it before any thread
/// is started: they would take signals that are meant to be passed on.
pub fn run_as_child_of_process_1(arguments: impl IntoIterator<Item = OsString>) -> Option<u8> {
    if getpid() != Pid::from_raw(1) {
        return None;
    }
    let mut arguments = arguments.into_iter();
    let mut command = Command::new(THIS_PROGRAM);
    command.arg0(arguments.next()?).args(arguments);
    // A container without /proc, or one that may have one process only: better without than not.
    let (child, arrivals) = start(&mut command).ok()?;
    let code = keep(child, &arrivals).unwrap_or(1);
    Some(u8::try_from(code).unwrap_or(u8::MAX))
}

/// Starts the child, which every signal reaches; here they arrive one by one from now on.
fn start(command: &mut Command) -> io::Result<(Pid, SignalFd)> {
    let signals: SigSet = Signal::iterator().filter(|signal| !OWN.contains(signal)).collect();
    signals.thread_block()?;
    ChildSetup::new().unblock_signals().apply(command);
    let started = SignalFd::new(&signals)
        .map_err(io::Error::from)
        .and_then(|arrivals| Ok((command.spawn()?, arrivals)));
    match started {
        Ok((child, arrivals)) => Ok((Pid::from_raw(child.id().cast_signed()), arrivals)),
        Err(error) => {
            signals.thread_unblock()?;
            Err(error)
        }
    }
}

/// Passes signals on and waits for orphans until the child has ended; its exit code.
fn keep(child: Pid, arrivals: &SignalFd) -> io::Result<i32> {
    loop {
        let arrived = match arrivals.read_signal() {
            Ok(Some(arrived)) => arrived,
            Ok(None) | Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let signal = i32::try_from(arrived.ssi_signo).ok().map(Signal::try_from);
        match signal {
            Some(Ok(Signal::SIGCHLD)) => {
                if let Some(code) = wait_for_whoever_ended(child) {
                    return Ok(code);
                }
            }
            // A terminal's Ctrl-C reaches the whole group, the child included: twice would mean
            // "now".
            Some(Ok(signal)) if arrived.ssi_code != libc::SI_KERNEL => {
                // It fails when the child has just ended, which is what comes next.
                kill(child, signal).ok();
            }
            _ => {}
        }
    }
}

/// Waits for all that have ended, orphans too; the exit code of `child` if it is among them.
fn wait_for_whoever_ended(child: Pid) -> Option<i32> {
    let mut code = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, exit)) if pid == child => code = Some(exit),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                code = Some(DIED_BY + signal as i32);
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return code,
            Ok(_) | Err(_) => {}
        }
    }
}
