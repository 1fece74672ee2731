//! Where the process spends its CPU time: a look at each thread whenever it has used so much of it.
//!
//! Each thread has a timer on its own CPU clock, whose signal interrupts that thread and no other. The
//! signal's handler writes down the registers, the label and a copy of the top of the stack, and nothing else:
//! it allocates nothing, locks nothing, follows no pointer and unwinds nothing. What called what is found out
//! from the copy, later, by an ordinary thread (`profile`). So the program may be interrupted anywhere, in the
//! allocator, while it unwinds or while it starts a thread, and the profiler can't make it fail.
//!
//! While nobody samples there are no timers and no signals. See ADR 0024.

#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod here;
#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
#[path = "sampler/elsewhere.rs"]
mod here;

pub use here::{Sampler, label, register, take_signal};

use std::time::Duration;

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
    /// Nothing says which threads there are.
    #[error("the threads of this process can't be listed")]
    Unlisted(#[source] std::io::Error),
    /// Its timers are more than the user may have.
    #[error(
        "the system gives no timers for it: each takes a place among the user's waiting signals, of which \
         RLIMIT_SIGPENDING (`ulimit -i`) allows no more"
    )]
    NoRoom(#[source] nix::errno::Errno),
    /// The system says no.
    #[error("the system gives no timers for it")]
    System(#[from] nix::errno::Errno),
}

/// What a thread did at one moment.
#[derive(Debug)]
pub struct Sample {
    session: u32,
    /// The kernel's number of the thread.
    pub thread: i32,
    /// What [`label`] said last.
    pub label: u32,
    /// CPU time of the thread since its sample before; zero in its first. What of it the sample stands for is said
    /// beside it ([`Sampler::collect`]).
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
    /// The word at an address of the stack, as it was.
    pub fn word(&self, address: u64) -> Option<u64> {
        let from = usize::try_from(address.checked_sub(self.stack_pointer)?).ok()?;
        let bytes = self.stack.get(..self.copied)?.get(from..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*bytes))
    }
}
