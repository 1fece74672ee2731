//! The life of the process: read the environment and the command line once, do what they say, end
//! with an exit code that means something. Process 1 of a container has a child do it.
//!
//! Nothing else ends the process, and nothing is decided here; `cli` is where commands live.

use legwork::{cli, config::Environment};
use std::process::ExitCode;

/// What is allocated by one thread is freed by another here, claimer to worker to completer, which the system's
/// allocator is slow at. Whoever embeds the library has an allocator already: this is the binary's only.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if let Some(code) = legwork::sys::init::run_as_child_of_process_1(std::env::args_os()) {
        return code.into();
    }
    cli::main(std::env::args_os(), Environment::of_process())
}
