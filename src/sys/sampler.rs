//! Where the process spends its CPU time: a look at each thread whenever it has used so much of it.
//!
//! Each thread has a timer on its own CPU clock, whose signal interrupts that thread and no other. The
//! signal's handler writes down the registers, the label and a copy of the top of the stack, and nothing else:
//! it allocates nothing, locks nothing, follows no pointer and unwinds nothing. What called what is found out
//! from the copy, later, by an ordinary thread (`profile`). So the program may be interrupted anywhere, in the
//! allocator, while it unwinds or while it starts a thread, and the profiler can't make it fail.
//!
//! While nobody samples there are no timers and no signals. See ADR 0024.

mod ring;
mod thread;
mod timers;

pub use thread::{label, register};

use nix::{
    errno::Errno,
    libc,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    time::{ClockId, clock_gettime},
};
use ring::Ring;
use std::{
    sync::{
        Mutex, MutexGuard, OnceLock, TryLockError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use timers::Timers;

/// Most bytes of a stack that a sample holds. Beyond it lie the frames that each stack of a runtime begins
/// with: a release build's deepest ones take a quarter of it.
const STACK_MAX_BYTES: usize = 64 * 1024;
/// Samples between two collections: with one each ten milliseconds of 64 threads, more than there can be.
const SLOTS: usize = 64;

/// Where samples lie until they are collected. Made once and kept: a handler may come late.
static RING: OnceLock<Ring<Sample>> = OnceLock::new();
/// Which sampling goes on; 0 while none does. Handlers of an older one say nothing.
static SESSION: AtomicU32 = AtomicU32::new(0);
/// Whoever samples has it.
static TURN: Mutex<u32> = Mutex::new(0);

/// Why there is no sampling.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// One goes on already.
    #[error("somebody else takes a CPU profile of this process at the moment")]
    Busy,
    /// The signal is somebody else's.
    #[error("the program that embeds the daemon uses SIGPROF itself")]
    Taken,
    /// Not here.
    #[error("CPU profiles are taken on Linux with glibc, on x86-64 and aarch64")]
    Elsewhere,
    /// The system says no.
    #[error("the system gives no timers for it")]
    System(#[from] Errno),
}

/// What a thread did at one moment.
#[derive(Debug)]
pub struct Sample {
    session: u32,
    /// The kernel's number of the thread.
    pub thread: i32,
    /// What [`label`] said last.
    pub label: u32,
    /// CPU time of the thread since its sample before: what this one stands for.
    pub cpu: Duration,
    /// The instruction that was next.
    pub instruction: u64,
    /// Where the stack ended.
    pub stack_pointer: u64,
    /// Where its frame began, where code keeps that.
    pub frame_pointer: u64,
    /// Where it returns to, on machines that keep that in a register; else 0.
    pub link: u64,
    stack: Box<[u8]>,
    copied: usize,
}

impl Sample {
    fn empty() -> Self {
        Self {
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

    /// The word at an address of the stack, as it was.
    pub fn word(&self, address: u64) -> Option<u64> {
        let from = usize::try_from(address.checked_sub(self.stack_pointer)?).ok()?;
        let bytes = self.stack.get(..self.copied)?.get(from..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*bytes))
    }
}

/// A sampling, until it is dropped.
#[derive(Debug)]
pub struct Sampler {
    session: u32,
    timers: Timers,
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
        RING.get_or_init(|| Ring::new(SLOTS, Sample::empty));
        handle()?;
        *turn = turn.wrapping_add(1).max(1);
        let session = *turn;
        SESSION.store(session, Ordering::Release);
        let mut sampler = Self { session, timers: Timers::new(period), _turn: turn };
        sampler.timers.arm_all()?;
        Ok(sampler)
    }

    /// Shows what has come since, and finds threads that are new.
    pub fn collect(&mut self, mut show: impl FnMut(&Sample)) -> Result<(), Refused> {
        self.timers.arm_all()?;
        if let Some(ring) = RING.get() {
            ring.drain(|sample| {
                if sample.session == self.session {
                    show(sample);
                }
            });
        }
        Ok(())
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        SESSION.store(0, Ordering::Release);
        self.timers.disarm();
    }
}

/// Takes the signal. It stays ours: one that is on its way when the last timer goes would end the process.
#[expect(unsafe_code, reason = "a signal's handler may do hardly anything")]
fn handle() -> Result<(), Refused> {
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
