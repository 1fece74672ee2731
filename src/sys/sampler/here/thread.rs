//! What a thread's samples need to know of it: the label of what it does, and where its stack lies.

use nix::libc;
use std::{
    mem::MaybeUninit,
    sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

/// Written by the thread, read by the handler that interrupts it: atomic for the compiler's sake.
struct Thread {
    label: AtomicU32,
    /// The stack's bounds; both 0 until somebody has asked for them.
    low: AtomicUsize,
    high: AtomicUsize,
    /// The sampling of the last sample, and what CPU time the thread had then, in nanoseconds.
    session: AtomicU32,
    used: AtomicU64,
}

thread_local! {
    // Constant and without a destructor: a signal's handler reads it without anything being set up.
    static THREAD: Thread = const {
        Thread {
            label: AtomicU32::new(0),
            low: AtomicUsize::new(0),
            high: AtomicUsize::new(0),
            session: AtomicU32::new(0),
            used: AtomicU64::new(0),
        }
    };
}

/// What this thread does from now on; gives what it did before.
pub fn label(label: u32) -> u32 {
    THREAD.with(|thread| {
        if thread.high.load(Relaxed) == 0 {
            find_stack(thread);
        }
        let before = thread.label.load(Relaxed);
        thread.label.store(label, Relaxed);
        before
    })
}

/// Finds out where this thread's stack lies. Samples of a thread that never did say what it runs, and not what
/// called that.
pub fn register() {
    THREAD.with(find_stack);
}

#[expect(unsafe_code, reason = "pthread_getattr_np has no safe wrapper")]
fn find_stack(thread: &Thread) {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut low, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the first call fills the attributes of this very thread, the second reads what it filled, and
    // the third frees that.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return;
        }
        libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut size);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
    }
    thread.low.store(low.addr(), Relaxed);
    thread.high.store(low.addr().saturating_add(size), Relaxed);
}

/// To be called by the handler: what the thread does, and how much CPU time it has used since its sample before.
/// The first sample of a sampling stands for nothing before it; the collector knows what a period is.
pub(super) fn seen(session: u32, used: Duration) -> (u32, Duration) {
    let used = u64::try_from(used.as_nanos()).unwrap_or(u64::MAX);
    THREAD.with(|thread| {
        let before = thread.used.load(Relaxed);
        let is_first = thread.session.load(Relaxed) != session;
        thread.session.store(session, Relaxed);
        thread.used.store(used, Relaxed);
        let since = if is_first { 0 } else { used.saturating_sub(before) };
        (thread.label.load(Relaxed), Duration::from_nanos(since))
    })
}

/// Copies the stack from its end on, as far as there is room; gives how many bytes.
#[expect(unsafe_code, reason = "the stack of an interrupted function belongs to nobody")]
pub(super) fn copy_stack(from: u64, room: &mut [u8]) -> usize {
    let (low, high) = THREAD.with(|thread| (thread.low.load(Relaxed), thread.high.load(Relaxed)));
    let from = usize::try_from(from).unwrap_or(0);
    if !(low..high).contains(&from) {
        // On a stack of its own, or never registered: nothing says how far may be read.
        return 0;
    }
    let bytes = (high - from).min(room.len());
    // SAFETY: from the stack pointer to the stack's high end everything is mapped, and this thread, whose stack it
    // is, does nothing but run this handler. The room is somewhere else and large enough.
    unsafe {
        let stack = std::ptr::with_exposed_provenance::<u8>(from);
        std::ptr::copy_nonoverlapping(stack, room.as_mut_ptr(), bytes);
    }
    bytes
}
