//! What a daemon says that doesn't start, or ends with an error.
//!
//! It may be over before there is a log: no setting may be right, or no thread to be had. So these lines
//! are written at once, past the filter and the channel, in the form that all other lines have: whoever
//! reads the log as JSON must not meet text for people in it.

use super::{
    line::{Fields, Line, Style},
    style,
};
use crate::{config::Log, telemetry::events};
use std::io::{self, IsTerminal, Write};
use tracing::Level;

/// One reason why the daemon ends.
#[derive(Debug)]
pub struct LastWords {
    /// The error and its causes, in one sentence each.
    pub error: String,
    /// What sort of error it is, for programs.
    pub sort: &'static str,
    /// Where the mistake stands, if the configuration has one.
    pub place: Option<String>,
    /// What to do.
    pub help: Option<String>,
    /// The process's exit code.
    pub exit_code: u8,
}

impl LastWords {
    fn line(&self, instance: &str) -> String {
        let mut fields = Fields::default();
        fields.text("message", "the daemon ends with an error".into());
        fields.text("event", events::DAEMON_FAILED.into());
        fields.text("error.type", self.sort.into());
        fields.text("error.message", self.error.clone());
        fields.put("exit_code", self.exit_code.into());
        for (name, text) in [("config.place", &self.place), ("help", &self.help)] {
            if let Some(text) = text {
                fields.text(name, text.clone());
            }
        }
        Line::of(Level::ERROR, "legwork::cli", instance, fields).render(Style::Json)
    }
}

/// Writes them to standard output where the log's lines are JSON; says whether it did.
pub fn say_last(words: &[LastWords], settings: &Log, instance: &str) -> bool {
    let stdout = io::stdout();
    let Style::Json = style(settings.format, stdout.is_terminal()) else { return false };
    let lines: String = words.iter().map(|words| words.line(instance)).collect();
    let mut stdout = stdout.lock();
    stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush()).is_ok()
}
