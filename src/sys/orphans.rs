//! Processes that a program of ours left behind: killed where they outlive its attempt, and buried.
//!
//! A process that makes a session of its own isn't in its program's group any more and survives the
//! group's end. Whatever survives its parent is given to process 1, which in a container is often us,
//! and a parent that doesn't wait collects zombies. So the daemon asks the kernel to be given what
//! its programs leave (on Linux), recognises by their environment those whose attempt is over, kills
//! them, and waits for everything that ends and that nobody here waits for.
//!
//! It's for a process that starts programs by [`ProcessGroup`](super::ProcessGroup) alone: any other
//! child would be taken for a stranger. A program that changes its own environment escapes.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Leaders of groups. Invariant: a pid is in it from its fork (no burial can come in between, both are
/// the spawner thread's) until it is waited for, which happens under the lock.
static KNOWN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
static ADOPTING: AtomicBool = AtomicBool::new(false);

/// Entries of an environment, such as `LEGWORK_JOB_ID=7`, which together mark one attempt.
pub(super) type Marks = Vec<String>;

/// From now on what programs leave behind becomes ours.
pub fn adopt() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    ADOPTING.store(cfg!(target_os = "linux"), Ordering::Release);
    Ok(())
}

pub(super) fn is_adopting() -> bool {
    ADOPTING.load(Ordering::Acquire)
}

/// A leader was forked. Called on the spawner's thread.
pub(super) fn enter(leader: u32) {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(leader);
}

/// Waits for a leader that has ended; `wait` says whether it had.
pub(super) fn leave<T>(leader: u32, wait: impl FnOnce() -> (T, bool)) -> T {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let (value, gone) = wait();
    if gone {
        known.remove(&leader);
    }
    value
}

/// Kills what bears one of these marks, and waits for every stranger that has ended. Called on the
/// spawner's thread: nobody else waits for strangers, so their pids are theirs until then.
#[cfg(target_os = "linux")]
pub(super) fn look_after(marked: &[Marks]) {
    use nix::{
        sys::{
            signal::{Signal, kill},
            wait::{Id, WaitPidFlag, waitid},
        },
        unistd::Pid,
    };

    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    for child in children().filter(|child| !known.contains(child)) {
        let Ok(pid) = i32::try_from(child).map(Pid::from_raw) else { continue };
        if marked.iter().any(|marks| bears(child, marks)) {
            // It may have ended by itself meanwhile, which is as good.
            kill(pid, Signal::SIGKILL).ok();
        }
        // One that still runs is looked at again.
        waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG).ok();
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn look_after(_marked: &[Marks]) {}

/// Every child of this process, whichever thread forked or was given it.
#[cfg(target_os = "linux")]
fn children() -> impl Iterator<Item = u32> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let pids = |list: String| -> Vec<u32> {
        list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    };
    lists.flat_map(pids)
}

/// Whether a process was started with all of these in its environment.
#[cfg(target_os = "linux")]
fn bears(pid: u32, marks: &[String]) -> bool {
    let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { return false };
    let entries: BTreeSet<&[u8]> = environment.split(|byte| *byte == 0).collect();
    !marks.is_empty() && marks.iter().all(|mark| entries.contains(mark.as_bytes()))
}
