//! The one file to which everybody in a run appends, and whose order is the run's clock.
//!
//! Linux appends under the inode's lock, so lines of several processes don't mix, and a line stands
//! behind every line whose write had returned before. That holds across processes without a clock
//! to compare, and without a server between that a fault could take away. Where the programs of
//! handlers write to it they do so by their shell's `>>`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::history::{EVENTS, Event, LINE_BYTES_MAX, Verb};

/// The file, open for appending.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Makes the file in the run's directory.
    pub(crate) fn create(dir: &Path) -> Self {
        let path = dir.join(EVENTS);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Self { file: file.expect("the journal can be made"), path }
    }

    /// Where it is, for programs.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends an event; it stands there when this returns.
    pub(crate) fn note(&self, event: &Event) {
        let mut line = serde_json::to_string(event).expect("an event can be written as JSON");
        line.push('\n');
        assert!(line.len() <= LINE_BYTES_MAX, "one append, one line: {line}");
        // Not `write_all`: what were written in two parts wouldn't be one line.
        let written = (&self.file).write(line.as_bytes()).expect("the journal can be written to");
        assert_eq!(written, line.len(), "the whole line was written at once");
    }

    /// Says what is about to be done, to this daemon or to all.
    pub(crate) fn fault(&self, verb: Verb, daemon: Option<&str>) {
        self.note(&Event::Fault { verb, daemon: daemon.map(str::to_owned), boot: None });
    }
}
