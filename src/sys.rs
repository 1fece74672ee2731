//! What the operating system only offers through `unsafe`, behind functions that aren't.
//!
//! A child process must die with the daemon, drop its privileges and keep out of the terminal's
//! process group. The calls for that have to run between `fork` and `exec`, and `pre_exec` is
//! unsafe because hardly anything may run there. This is the one audited room that may opt out of
//! `unsafe_code`; each block says why it is sound.
//!
//! So must a look at what each thread does at the moment: it happens in a signal's handler, where nothing may be
//! allocated, locked or waited for. And so must jemalloc be asked what it knows of the heap.
//!
//! It decides nothing: who is started, as whom and when it is stopped is the caller's business.

pub mod account;
mod child;
mod clock;
mod descriptors;
mod group;
#[cfg(target_os = "linux")]
mod guard;
pub mod heap;
mod image;
#[cfg(target_os = "linux")]
pub mod init;
#[cfg(all(test, target_os = "linux"))]
pub mod library;
mod readable;
mod report;
pub mod sampler;
pub mod spawner;
mod thread;

pub use child::ChildSetup;
pub use clock::coarse_millis;
pub use group::ProcessGroup;
pub use readable::is_readable;
pub use thread::thread_number;
