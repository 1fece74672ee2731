//! A timer for each thread of the process, on the thread's own CPU clock.
//!
//! A timer of the whole process would be served by whichever thread runs when the kernel looks, and a thread that
//! runs in short bursts would hardly ever be seen.

use super::Refused;
use nix::{
    errno::Errno,
    sys::{
        signal::{SigEvent, SigevNotify, Signal},
        timer::{Expiration, Timer, TimerSetTimeFlags},
    },
    time::ClockId,
    unistd::Pid,
};
use std::{collections::HashMap, fmt, fs, io, path::Path, time::Duration};

/// A folder for each thread of this process.
const THREADS: &str = "/proc/self/task";

/// In a clock's number: that of one thread, counted by the scheduler.
const SCHEDULED_TIME_OF_THREAD: i32 = 6;

pub(super) struct Timers {
    period: Duration,
    /// By the kernel's number of the thread.
    armed: HashMap<i32, Timer>,
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("armed", &self.armed.len()).finish_non_exhaustive()
    }
}

impl Timers {
    pub(super) fn new(period: Duration) -> Self {
        Self { period, armed: HashMap::new() }
    }

    /// Gives a timer to each thread, at the start of a sampling.
    pub(super) fn start(&mut self) -> Result<(), Refused> {
        self.arm(&threads(Path::new(THREADS)).map_err(Refused::Unlisted)?)
    }

    /// Gives a timer to each thread that has none, and forgets those that have ended. Where nothing says which there are,
    /// as while the process has no descriptor left, those that have one keep it: the next look finds the others.
    pub(super) fn arm_new(&mut self) -> Result<(), Refused> {
        self.arm_listed(threads(Path::new(THREADS)))
    }

    fn arm_listed(&mut self, listed: io::Result<Vec<i32>>) -> Result<(), Refused> {
        listed.map_or(Ok(()), |threads| self.arm(&threads))
    }

    fn arm(&mut self, threads: &[i32]) -> Result<(), Refused> {
        self.armed.retain(|thread, timer| threads.contains(thread) && is_of_the_living(timer));
        for &thread in threads {
            if self.armed.contains_key(&thread) {
                continue;
            }
            match arm(thread, self.period) {
                Ok(timer) => drop(self.armed.insert(thread, timer)),
                // It has ended since.
                Err(Errno::EINVAL | Errno::ESRCH) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        Ok(())
    }

    pub(super) fn disarm(&mut self) {
        self.armed.clear();
    }
}

/// All of them or an error: a list that breaks off would take the others' timers away.
fn threads(folder: &Path) -> io::Result<Vec<i32>> {
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    fs::read_dir(folder)?.filter_map(|entry| entry.map(number).transpose()).collect()
}

/// A timer takes a place among the signals that may wait for the user, and `EAGAIN` is how the kernel says that there is none.
fn refused(error: Errno) -> Refused {
    match error {
        Errno::EAGAIN => Refused::NoRoom(error),
        error => Refused::System(error),
    }
}

/// Whether a timer's thread is still there. Its number may be a new thread's by now, and the timer stays the old one's: of
/// that the kernel says that it is set to nothing, where those that go on have a period.
fn is_of_the_living(timer: &Timer) -> bool {
    matches!(timer.get(), Ok(Some(_)))
}

/// That on which a thread's CPU time is read.
pub(super) fn clock(thread: i32) -> ClockId {
    ClockId::from_raw((!thread << 3) | SCHEDULED_TIME_OF_THREAD)
}

fn arm(thread: i32, period: Duration) -> Result<Timer, Errno> {
    let notify = SigevNotify::SigevThreadId {
        signal: Signal::SIGPROF,
        thread_id: Pid::from_raw(thread).as_raw(),
        si_value: 0,
    };
    let mut timer = Timer::new(clock(thread), SigEvent::new(notify))?;
    // Anywhere within the first period, or a thread that never runs for a whole one would never be seen.
    let first = period.mul_f64(fastrand::f64()).max(Duration::from_nanos(1));
    let ticks = Expiration::IntervalDelayed(first.into(), period.into());
    timer.set(ticks, TimerSetTimeFlags::empty())?;
    Ok(timer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_hours(1);

    #[test]
    fn timers_stay_where_nothing_says_which_threads_there_are() {
        let this = nix::unistd::gettid().as_raw();
        let mut timers = Timers::new(PERIOD);
        timers.arm(&[this]).expect("a timer");
        timers.arm_listed(Err(Errno::EMFILE.into())).expect("it is looked again");
        assert!(timers.armed.contains_key(&this));
        timers.arm_listed(Ok(Vec::new())).expect("nothing to arm");
        assert!(timers.armed.is_empty(), "a thread that ended has none");
    }

    /// Whose number a new thread has at once, where the kernel gives it.
    #[test]
    fn the_timer_of_a_thread_that_ended_is_not_the_next_ones_that_has_its_number() {
        let mut timers = Timers::new(PERIOD);
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let ended = std::thread::spawn(move || {
            tell.send(nix::unistd::gettid().as_raw()).expect("somebody listens");
            ends.recv().ok();
        });
        let thread = told.recv().expect("a thread");
        timers.arm(&[thread]).expect("a timer");
        timers.arm(&[thread]).expect("it has one");
        assert!(timers.armed.contains_key(&thread), "who lives keeps it");
        drop(end);
        ended.join().expect("no panic");
        // Its end is told some moments before it is gone.
        while threads(Path::new(THREADS)).expect("a list").contains(&thread) {
            std::thread::yield_now();
        }
        // As the list is where a new one has the number: here it can have no timer, for there is none.
        timers.arm(&[thread]).expect("none is needed");
        assert!(timers.armed.is_empty(), "it would have the timer of the dead");
    }

    #[test]
    fn threads_that_cant_be_listed_are_an_error_and_not_none() {
        let this = nix::unistd::gettid().as_raw();
        assert!(threads(Path::new(THREADS)).expect("a list").contains(&this));
        let gone = threads(Path::new("/proc/self/no-such-folder"));
        assert_eq!(gone.expect_err("no list").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn who_has_no_room_for_timers_reads_which_limit_it_is() {
        assert!(refused(Errno::EAGAIN).to_string().contains("RLIMIT_SIGPENDING (`ulimit -i`)"));
        assert!(matches!(refused(Errno::EPERM), Refused::System(Errno::EPERM)));
    }
}
