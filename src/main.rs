//! The life of the process: read the environment and the command line once, do what they say, end
//! with an exit code that means something. Process 1 of a container has a child do it.
//!
//! Nothing else ends the process, and nothing is decided here; `cli` is where commands live.

#[cfg(target_os = "linux")]
#[path = "sys/allocator.rs"]
mod allocator;

use legwork::{cli, config::Environment};
use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if let Some(code) = legwork::sys::init::run_as_child_of_process_1(std::env::args_os()) {
        return code.into();
    }
    #[cfg(target_os = "linux")]
    allocator::tell();
    cli::main(std::env::args_os(), Environment::of_process())
}
