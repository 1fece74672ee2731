//! The process between the daemon and a program: nothing that the program starts outlives it.
//!
//! The kernel kills a child when its parent ends, but not the child's own children, and one that makes
//! a session of its own is out of reach of every signal to a group. So a program is started by a
//! *guard*: a fork of the daemon that execs nothing, is given whatever its descendants leave behind
//! (`PR_SET_CHILD_SUBREAPER`), and ends only after all of them, with the program's own status. It is
//! told to end by [`END`], by the daemon or, when the daemon dies, by the kernel.
//!
//! It decides nothing. It can be killed like any process: by KILL, its program dies with it, by the
//! kernel, and what had escaped from the program's group lives on.
//!
//! A guard is the fork of a process with threads and never execs, so until its end it may do nothing
//! but plain system calls on values of its own: no allocation, no lock, no panic. Every function here
//! and in the files below keeps to that.

mod descendants;
mod memory;

use std::{ffi::CStr, io};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    libc,
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, killpg, signal},
        stat::Mode,
    },
    unistd::{ForkResult, Pid, fork, getpid, getppid, read, setsid},
};

use super::descriptors;

/// What tells a guard to kill all and to end.
pub(super) const END: Signal = Signal::SIGQUIT;

/// What is shown of a guard by `ps` and `top`.
const NAME: &CStr = c"job-guard";

/// Bytes of a file of `/proc` that are read at once.
const PART: usize = 1024;

/// Added to a signal's number, the exit code of who should have died by it: what shells say.
const DIED_BY: i32 = 128;

/// Puts a guard between the parent and what is to become the program. Called in the child, which is the
/// guard from then on; returns in the grandchild alone, with the guard's pid.
pub(super) fn stand_between(parent: Pid) -> io::Result<Pid> {
    // From the first line on, so that nothing is lost or kills the guard before it listens.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // Ignored, as some parents leave it, it would have the kernel reap the program unseen.
    set_default(Signal::SIGCHLD)?;
    prctl::set_pdeathsig(END)?;
    // A parent that died before the line above sends no signal any more.
    if getppid() != parent {
        return Err(Errno::ESRCH.into());
    }
    prctl::set_child_subreaper(true)?;
    // Out of reach of the terminal, and of signals to the groups of parent and program.
    setsid()?;
    let guard = getpid();
    match fork_again()? {
        ForkResult::Child => {
            mask.thread_set_mask()?;
            Ok(guard)
        }
        ForkResult::Parent { child } => watch(child),
    }
}

#[expect(unsafe_code, reason = "fork is unsafe in a process with threads")]
fn fork_again() -> nix::Result<ForkResult> {
    // SAFETY: this is the child of a fork by libc, which took libc's own locks before and freed them
    // after it, so that a second fork finds them free. Both sides keep to plain system calls: the
    // guard for ever, the program's until its exec.
    unsafe { fork() }
}

/// The guard's life.
fn watch(program: Pid) -> ! {
    // `spawn` waits until the last copy of its pipe is closed, the program's readers for theirs.
    descriptors::close_all();
    prctl::set_name(NAME).ok();
    memory::give_back();
    loop {
        match next_signal(&SigSet::all(), None) {
            Some(libc::SIGCHLD) if descendants::has_ended(program) => break,
            Some(libc::SIGTERM) => {
                // It fails when the group is gone, and then the program's end comes next.
                killpg(program, Signal::SIGTERM).ok();
            }
            Some(number) if number == END as i32 => break,
            _ => {}
        }
    }
    end_as(descendants::end_all(program))
}

/// Reads a file of `/proc`. Where there is none, there is nothing to be read.
fn each_byte(path: &CStr, mut call: impl FnMut(u8)) {
    let Ok(file) = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) else { return };
    let mut part = [0; PART];
    while let Ok(length @ 1..) = read(&file, &mut part) {
        part.iter().take(length).copied().for_each(&mut call);
    }
}

/// Waits for one of these signals, which are blocked. `None`: the time is up, or something woke it.
#[expect(unsafe_code, reason = "sigtimedwait has no safe wrapper")]
fn next_signal(signals: &SigSet, limit: Option<&libc::timespec>) -> Option<i32> {
    let limit = limit.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the set and, unless null, the limit live until the call returns; null asks for no
    // details of the signal.
    let number = unsafe { libc::sigtimedwait(signals.as_ref(), std::ptr::null_mut(), limit) };
    (number > 0).then_some(number)
}

/// Ends as the program did, so that who waits for the guard learns the truth.
#[expect(
    unsafe_code,
    reason = "_exit has no safe wrapper, and `exit` would run the daemon's handlers"
)]
fn end_as(status: Option<i32>) -> ! {
    // A program that couldn't be waited for has been killed, even if it isn't gone yet.
    let status = status.unwrap_or(libc::SIGKILL);
    let code = if libc::WIFSIGNALED(status) {
        let number = libc::WTERMSIG(status);
        die_by(number);
        DIED_BY + number
    } else {
        libc::WEXITSTATUS(status)
    };
    // SAFETY: it only ends this process.
    unsafe { libc::_exit(code) }
}

/// Returns where the signal doesn't kill.
#[expect(unsafe_code, reason = "nix knows no real-time signals")]
fn die_by(number: i32) {
    // The guard's memory is the daemon's, and no core of it may be left, on disk or with a collector.
    setrlimit(Resource::RLIMIT_CORE, 0, 0).ok();
    prctl::set_dumpable(false).ok();
    // SAFETY: numbers, and a set that lives on this stack. A default action is no code of ours.
    unsafe {
        libc::signal(number, libc::SIG_DFL);
        libc::kill(libc::getpid(), number);
        let mut only: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut only);
        libc::sigaddset(&raw mut only, number);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const only, std::ptr::null_mut());
    }
}

#[expect(unsafe_code, reason = "changing what a signal does is unsafe")]
fn set_default(which: Signal) -> nix::Result<()> {
    // SAFETY: the default action runs no code of ours.
    unsafe { signal(which, SigHandler::SigDfl) }.map(drop)
}

/// Asks a guard to kill everything that its program started, and to end.
pub(super) fn end(guard: Pid) {
    // It may have ended, which is as good. One that somebody stopped has to go on to hear of it.
    kill(guard, END).ok();
    kill(guard, Signal::SIGCONT).ok();
}
