//! Where there is no sampling: another system, another C library, another processor.

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
}

/// What a thread did at one moment.
#[derive(Debug)]
pub struct Sample {
    /// The kernel's number of the thread.
    pub thread: i32,
    /// What [`label`] said last.
    pub label: u32,
    /// CPU time that it stands for.
    pub cpu: Duration,
    /// The instruction that was next.
    pub instruction: u64,
    /// Where the stack ended.
    pub stack_pointer: u64,
    /// Where its frame began.
    pub frame_pointer: u64,
    /// Where it returns to.
    pub link: u64,
}

impl Sample {
    /// The word at an address of the stack.
    pub fn word(&self, _: u64) -> Option<u64> {
        None
    }
}

/// A sampling; there is none.
#[derive(Debug)]
pub struct Sampler(std::convert::Infallible);

impl Sampler {
    /// Says why not.
    pub fn start(_: Duration) -> Result<Self, Refused> {
        Err(Refused::Elsewhere)
    }

    /// Shows nothing.
    pub fn collect(&mut self, _: impl FnMut(&Sample)) -> Result<(), Refused> {
        match self.0 {}
    }
}

/// Nobody asks what a thread does.
pub fn label(_: u32) -> u32 {
    0
}

/// Nobody asks where its stack lies.
pub fn register() {}
