//! On Linux with glibc: timers, the signal's handler, and where samples lie until they are collected.

mod ring;
mod thread;
mod timers;

pub use thread::{label, register};

use super::{Refused, Sample};
use nix::{
    errno::Errno,
    libc,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    time::{ClockId, clock_gettime},
};
use ring::Ring;
use std::{
    num::NonZero,
    sync::{
        Mutex, MutexGuard, OnceLock, TryLockError,
        atomic::{AtomicU32, Ordering},
    },
    thread::available_parallelism,
    time::Duration,
};
use timers::Timers;
use tokio::time::Instant;

/// Most bytes of a stack that a sample holds. Beyond it lie the frames that each stack of a runtime begins with.
const STACK_MAX_BYTES: usize = 64 * 1024;
/// Most samples between two collections.
const SLOTS: usize = 64;
/// Longest time between two collections: threads that begin are found as late as that.
const COLLECT_AT_LEAST_EVERY: Duration = Duration::from_millis(50);
/// Shortest: each costs the collector a look at every thread.
const COLLECT_AT_MOST_EVERY: Duration = Duration::from_millis(10);

/// Where samples lie until they are collected. Made once and kept: a handler may come late.
static RING: OnceLock<Ring<Sample>> = OnceLock::new();
/// Which sampling goes on; 0 while none does. Handlers of an older one say nothing.
static SESSION: AtomicU32 = AtomicU32::new(0);
/// Whoever samples has it.
static TURN: Mutex<u32> = Mutex::new(0);

fn empty() -> Sample {
    Sample {
        session: 0,
        thread: 0,
        label: 0,
        cpu: Duration::ZERO,
        instruction: 0,
        stack_pointer: 0,
        frame_pointer: 0,
        link: 0,
        // From the system as it is, zero: what no sample ever needs takes no memory.
        stack: vec![0; STACK_MAX_BYTES].into_boxed_slice(),
        copied: 0,
    }
}

/// How long samples may lie, so that the ring is half full at most where every core of up to 32 is busy.
fn collect_every(period: Duration, cores: NonZero<usize>) -> Duration {
    let places = u32::try_from(SLOTS / cores).unwrap_or(u32::MAX);
    (period * places / 2).clamp(COLLECT_AT_MOST_EVERY, COLLECT_AT_LEAST_EVERY)
}

/// A sampling, until it is dropped.
#[derive(Debug)]
pub struct Sampler {
    session: u32,
    timers: Timers,
    every: Duration,
    looks: Looks,
    _turn: MutexGuard<'static, u32>,
}

impl Sampler {
    /// Begins, with a sample whenever a thread has used so much CPU time. Threads that begin later are
    /// found at the next collection.
    pub fn start(period: Duration) -> Result<Self, Refused> {
        let mut turn = match TURN.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Refused::Busy),
        };
        RING.get_or_init(|| Ring::new(SLOTS, empty));
        take_signal()?;
        *turn = turn.wrapping_add(1).max(1);
        let session = *turn;
        SESSION.store(session, Ordering::Release);
        let every = collect_every(period, available_parallelism().unwrap_or(NonZero::<usize>::MIN));
        let (timers, looks) = (Timers::new(period), Looks::new(period, every, Instant::now()));
        let mut sampler = Self { session, timers, every, looks, _turn: turn };
        sampler.timers.start()?;
        Ok(sampler)
    }

    /// How often to collect.
    pub fn every(&self) -> Duration {
        self.every
    }

    /// Shows what has come since, each with the CPU time that it stands for, and finds threads that are new. A thread's
    /// first sample has none before it, and stands for zero here.
    pub fn collect(&mut self, mut show: impl FnMut(&Sample, Duration)) -> Result<(), Refused> {
        self.timers.arm_new()?;
        let most = self.looks.most(Instant::now());
        if let Some(ring) = RING.get() {
            ring.drain(|sample| {
                if sample.session == self.session {
                    show(sample, sample.cpu.min(most));
                }
            });
        }
        Ok(())
    }
}

/// When the collector looked, and so how much one sample can stand for.
#[derive(Debug)]
struct Looks {
    period: Duration,
    every: Duration,
    /// The last but one, and the last.
    before: [Instant; 2],
}

impl Looks {
    fn new(period: Duration, every: Duration, now: Instant) -> Self {
        Self { period, every, before: [now; 2] }
    }

    /// Looks. A thread that finds no place for its samples finds one after the next look: its next sample stands for
    /// what it has used since, which is no more than the time since the look before the last, and the kernel may be late by
    /// some periods. A thread that has used more since its sample before had no timer meanwhile. Nobody knows where it
    /// was then: what it used is in no sample rather than in the one that comes next.
    fn most(&mut self, now: Instant) -> Duration {
        let [before, last] = self.before;
        self.before = [last, now];
        now.duration_since(before).max(self.every * 2) + self.period * 2
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        SESSION.store(0, Ordering::Release);
        self.timers.disarm();
    }
}

/// Takes the signal, unless it is somebody else's. It stays ours: one that is on its way when the last timer goes would
/// end the process, and so would one from outside. Nothing comes of that but a look at a number; programs that are
/// started have the signal as they always do, which they wouldn't if it were ignored.
#[expect(unsafe_code, reason = "a signal's handler may do hardly anything")]
pub fn take_signal() -> Result<(), Refused> {
    static HANDLED: Mutex<bool> = Mutex::new(false);
    let mut handled = HANDLED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if *handled {
        return Ok(());
    }
    // On the signal stack where the thread has one: then even an overflowing stack has room for it.
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_RESTART | SaFlags::SA_ONSTACK;
    let ours = SigAction::new(SigHandler::SigAction(on_tick), flags, SigSet::empty());
    // SAFETY: `on_tick` makes async-signal-safe calls only: `clock_gettime`, `gettid`, atomics, and thread-local
    // values without a destructor or a lazy start.
    let before = unsafe { sigaction(Signal::SIGPROF, &ours) }?;
    if !matches!(before.handler(), SigHandler::SigDfl) {
        // SAFETY: it is what was there before.
        unsafe { sigaction(Signal::SIGPROF, &before) }?;
        return Err(Refused::Taken);
    }
    *handled = true;
    Ok(())
}

/// Runs on the thread whose time has come, between any two of its instructions.
extern "C" fn on_tick(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let before = Errno::last_raw();
    let session = SESSION.load(Ordering::Acquire);
    if session != 0
        && !context.is_null()
        && let Some(ring) = RING.get()
    {
        ring.put(|sample| write_down(sample, session, context.cast()));
    }
    Errno::set_raw(before);
}

#[expect(unsafe_code, reason = "the context is a raw pointer")]
fn write_down(sample: &mut Sample, session: u32, context: *const libc::ucontext_t) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO the context that it interrupted, for as long as the
    // handler runs.
    let machine = unsafe { &(*context).uc_mcontext };
    let [instruction, stack_pointer, frame_pointer, link] = registers(machine);
    sample.session = session;
    // SAFETY: it only asks.
    sample.thread = unsafe { libc::gettid() };
    sample.instruction = instruction;
    sample.stack_pointer = stack_pointer;
    sample.frame_pointer = frame_pointer;
    sample.link = link;
    let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Into::into);
    (sample.label, sample.cpu) = thread::seen(session, used);
    sample.copied = thread::copy_stack(stack_pointer, &mut sample.stack);
}

#[cfg(target_arch = "x86_64")]
fn registers(machine: &libc::mcontext_t) -> [u64; 4] {
    let [rip, rsp, rbp] = [libc::REG_RIP, libc::REG_RSP, libc::REG_RBP]
        .map(|number| machine.gregs[number.unsigned_abs() as usize].cast_unsigned());
    [rip, rsp, rbp, 0]
}

#[cfg(target_arch = "aarch64")]
fn registers(machine: &libc::mcontext_t) -> [u64; 4] {
    [machine.pc, machine.sp, machine.regs[29], machine.regs[30]]
}

#[cfg(test)]
mod tests;
