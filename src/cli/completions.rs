//! `legwork completions`: what a shell needs to complete commands, options and their values.

use super::{args::Arguments, output::print};
use clap::CommandFactory as _;
use clap_complete::Shell;

/// What `completions` takes.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArguments {
    /// For which shell
    shell: Shell,
}

/// Prints the script; where it goes differs from system to system, so whoever installs it says.
pub(super) fn run(arguments: &CompletionsArguments) -> anyhow::Result<()> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "legwork", &mut script);
    print(&String::from_utf8(script)?)
}
