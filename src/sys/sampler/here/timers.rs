//! A timer for each thread of the process, on the thread's own CPU clock.
//!
//! A timer of the whole process would be served by whichever thread runs when the kernel looks, and a thread that
//! runs in short bursts would hardly ever be seen.

use nix::{
    errno::Errno,
    sys::{
        signal::{SigEvent, SigevNotify, Signal},
        timer::{Expiration, Timer, TimerSetTimeFlags},
    },
    time::ClockId,
    unistd::Pid,
};
use std::{collections::HashMap, fmt, fs, time::Duration};

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

    /// Gives a timer to each thread that has none, and forgets those that have ended.
    pub(super) fn arm_all(&mut self) -> Result<(), Errno> {
        let threads: Vec<i32> = threads();
        self.armed.retain(|thread, _| threads.contains(thread));
        for thread in threads {
            if self.armed.contains_key(&thread) {
                continue;
            }
            match arm(thread, self.period) {
                Ok(timer) => drop(self.armed.insert(thread, timer)),
                // It has ended since.
                Err(Errno::EINVAL | Errno::ESRCH) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn disarm(&mut self) {
        self.armed.clear();
    }
}

fn threads() -> Vec<i32> {
    let listed = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    listed.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
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
