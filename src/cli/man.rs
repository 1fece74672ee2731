//! `legwork man`: the manual pages, made of the same words as `--help`.

use super::{
    args::Arguments,
    output::{print, say},
};
use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use std::path::{Path, PathBuf};

/// What `man` takes.
#[derive(Debug, clap::Args)]
pub(super) struct ManArguments {
    /// Write legwork.1 and a page for each command into this directory instead
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(arguments: &ManArguments) -> anyhow::Result<()> {
    let command = Arguments::command();
    match &arguments.dir {
        None => print(&page(command)?),
        Some(directory) => write_all(command, directory),
    }
}

fn page(command: Command) -> anyhow::Result<String> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(String::from_utf8(page)?)
}

/// `legwork.1`, `legwork-run.1`, `legwork-job-list.1`, …
fn write_all(command: Command, directory: &Path) -> anyhow::Result<()> {
    let place = || format!("manual pages can't be written into {}", directory.display());
    std::fs::create_dir_all(directory).with_context(place)?;
    clap_mangen::generate_to(command, directory).with_context(place)?;
    say(&format!("wrote the manual pages into {}", directory.display()));
    Ok(())
}
