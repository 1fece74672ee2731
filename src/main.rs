//! The life of the process: read the environment and the command line once, do what they say, end
//! with an exit code that means something.
//!
//! Nothing else ends the process, and nothing is decided here; `cli` is where commands live.

use legwork::{cli, config::Environment};
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(std::env::args_os(), Environment::of_process())
}
