//! What a guard does to the processes that are its own: looks, kills, waits for them.
//!
//! Killing one parent hands its children to the guard, so it goes round until nobody is left, within
//! a limit: a process in an uninterruptible wait ends when its wait does, and not before.

use std::time::Duration;

use nix::{
    libc,
    sys::signal::{SigSet, Signal, kill, killpg},
    unistd::{Pid, getpgid, getpid},
};

use super::{each_byte, next_signal};

/// How long a guard waits for those that it killed. Below `KILL_MARGIN` of the command handler, which
/// waits for the guard.
const GIVE_UP: Duration = Duration::from_millis(750);

/// Between two rounds when nobody ends: 10 ms.
const LOOK_AGAIN: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// The pids of the children of the thread that reads it; of a process with one thread, all of them.
const CHILDREN: &std::ffi::CStr = c"/proc/thread-self/children";

/// For `waitpid`.
const ANYBODY: libc::pid_t = -1;

/// Whether the program has ended. It isn't waited for by that, but everybody else who has ended is.
pub(super) fn has_ended(program: Pid) -> bool {
    loop {
        match who_ended() {
            Some(pid) if pid == program => return true,
            Some(pid) => drop(wait(pid.as_raw())),
            None => return false,
        }
    }
}

/// Kills the program and its descendants and waits for them; the program's status, if it could be
/// waited for.
#[expect(clippy::disallowed_methods, reason = "tokio's clock keeps its state in thread locals")]
pub(super) fn end_all(program: Pid) -> Option<i32> {
    // Before anybody waits for it: until then the number of its group can't be given to strangers.
    killpg(program, Signal::SIGKILL).ok();
    // It may not be in its group yet.
    kill(program, Signal::SIGKILL).ok();
    let until = std::time::Instant::now() + GIVE_UP;
    let mut death = SigSet::empty();
    death.add(Signal::SIGCHLD);
    let mut status = None;
    loop {
        match wait(ANYBODY) {
            Waited::Ended(pid, how) if pid == program => status = Some(how),
            Waited::Ended(..) => {}
            Waited::Nobody => return status,
            Waited::NotYet if std::time::Instant::now() > until => return status,
            Waited::NotYet => {
                each_child(kill_with_its_group);
                next_signal(&death, Some(&LOOK_AGAIN));
            }
        }
    }
}

/// A group dies at once, however fast it forks; one by one, its members could outrun their killer.
fn kill_with_its_group(child: Pid) {
    // Every group but the guard's own is of a session that the program or a descendant made, and has
    // no strangers in it. In the guard's own there may be the program, until it has made its session.
    match getpgid(Some(child)) {
        Ok(group) if group.as_raw() > 1 && group != getpid() => killpg(group, Signal::SIGKILL).ok(),
        _ => None,
    };
    kill(child, Signal::SIGKILL).ok();
}

/// Calls for each child that is listed. One may be missing that was handed over meanwhile.
fn each_child(mut call: impl FnMut(Pid)) {
    let mut pids = Pids::default();
    each_byte(CHILDREN, |byte| {
        if let Some(pid) = pids.push(byte) {
            call(pid);
        }
    });
}

/// Numbers, each with a blank behind it, that come in parts.
#[derive(Default)]
struct Pids {
    number: i32,
}

impl Pids {
    fn push(&mut self, byte: u8) -> Option<Pid> {
        if byte.is_ascii_digit() {
            self.number = self.number.wrapping_mul(10).wrapping_add(i32::from(byte - b'0'));
            return None;
        }
        let number = std::mem::take(&mut self.number);
        (number > 0).then(|| Pid::from_raw(number))
    }
}

/// A child that has ended, if there is one. It isn't waited for.
#[expect(unsafe_code, reason = "nix can't name the signal of everybody who has ended")]
fn who_ended() -> Option<Pid> {
    let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: zeroes are a siginfo_t, which lives until the call returns and is one of SIGCHLD, whose
    // pid may be read, or still zeroes.
    let pid = unsafe {
        let mut who: libc::siginfo_t = std::mem::zeroed();
        match libc::waitid(libc::P_ALL, 0, &raw mut who, look) {
            0 => who.si_pid(),
            _ => 0,
        }
    };
    (pid > 0).then(|| Pid::from_raw(pid))
}

enum Waited {
    /// A child, with its status as the kernel gives it.
    Ended(Pid, i32),
    NotYet,
    /// There is no child.
    Nobody,
}

#[expect(unsafe_code, reason = "nix can't tell the status of who died by a real-time signal")]
fn wait(whom: libc::pid_t) -> Waited {
    let mut status = 0;
    // SAFETY: the status lives until the call returns.
    match unsafe { libc::waitpid(whom, &raw mut status, libc::WNOHANG) } {
        0 => Waited::NotYet,
        pid @ 1.. => Waited::Ended(Pid::from_raw(pid), status),
        _ => Waited::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pids_are_read_across_the_ends_of_parts() {
        let mut pids = Pids::default();
        let parts = ["12 3", "45 ", "", "6", " "];
        let read = parts.iter().flat_map(|part| part.bytes()).filter_map(|byte| pids.push(byte));
        assert_eq!(read.map(Pid::as_raw).collect::<Vec<_>>(), [12, 345, 6]);
    }
}
