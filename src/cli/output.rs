//! Where results go: text or JSON on standard output.
//!
//! A reader that went away (`legwork job list | head`) is no failure of ours: the command ends
//! quietly. What came from a row is never written to a terminal as it is, because a payload or an
//! error text may hold control sequences.

use serde::Serialize;
use std::{
    fmt::{Display, Write as _},
    io::{self, Write as _},
    sync::mpsc::sync_channel,
    thread,
    time::Duration,
};

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Nobody reads our output any more.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub(super) struct Closed;

/// Standard output, in the form that was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) format: Format,
}

impl Output {
    /// Whether a program reads it.
    pub(super) fn for_programs(self) -> bool {
        matches!(self.format, Format::Json)
    }

    /// Prints the value as JSON, or what `text` makes of it.
    pub(super) fn show<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        match self.format {
            Format::Text => print(&text(value)),
            Format::Json => print(&serde_json::to_string_pretty(value)?),
        }
    }

    /// The same for a page of a list, and to people where the next one begins.
    pub(super) fn show_page<T: Serialize>(
        self,
        page: &T,
        next: Option<impl Display>,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        self.show(page, text)?;
        if let (Some(next), Format::Text) = (next, self.format) {
            let next = plain(&next.to_string());
            say(&format!("There may be more: add --after {next}"));
        }
        Ok(())
    }
}

impl Output {
    /// The same for what a command has changed, which has its effect whether or not anybody can read
    /// of it: a failure here would have a script do it again. Where it can't be written, it is said to
    /// whoever watches.
    pub(super) fn show_done<T: Serialize>(self, value: &T, text: impl Fn(&T) -> String) {
        if let Err(error) = self.show(value, &text) {
            let why = error.root_cause();
            say(&format!(
                "warning: standard output can't be written to ({why}); this was done:\n{}",
                text(value).trim_end()
            ));
        }
    }
}

/// Writes text that is printed in either form, such as a configuration file.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    written([text.as_bytes(), newline.as_bytes()])
}

/// Writes bytes as they are, such as a profile.
pub(super) fn write(bytes: &[u8]) -> anyhow::Result<()> {
    written([bytes])
}

fn written<const N: usize>(parts: [&[u8]; N]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = parts.iter().try_for_each(|part| stdout.write_all(part));
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        Err(error) => Err(anyhow::Error::new(error).context("couldn't write to standard output")),
        Ok(()) => Ok(()),
    }
}

/// Says something to whoever watches. Where standard error is gone there is nobody to tell.
pub(super) fn say(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// The same, from a thread of its own, so that a reader who doesn't read holds the process up for no
/// longer than this.
pub(super) fn within(limit: Duration, say_it: impl FnOnce() + Send + 'static) {
    let (done, said) = sync_channel(1);
    let say_it = move || {
        say_it();
        // Whoever asked may have stopped waiting.
        done.try_send(()).ok();
    };
    if thread::Builder::new().name("last-words".into()).spawn(say_it).is_ok() {
        said.recv_timeout(limit).ok();
    }
}

/// The text with control characters made visible, so that no row can drive the terminal.
pub(super) fn plain(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same for text of several lines.
pub(super) fn plain_lines(text: &str) -> String {
    escaped(text, |c| c == '\n')
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> String {
    // Bidirectional overrides can make a terminal show what isn't there, though they are no controls.
    let acts = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut plain, c| {
        if acts(c) && !keep(c) {
            write!(plain, "{}", c.escape_default()).ok();
        } else {
            plain.push(c);
        }
        plain
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_row_reaches_the_terminal_as_a_command() {
        assert_eq!(plain("\u{1b}[2Jhi\r\n\u{9b}1m\u{202e}"), r"\u{1b}[2Jhi\r\n\u{9b}1m\u{202e}");
        assert_eq!(plain_lines("a\n\tb"), "a\n\\tb");
        assert_eq!(plain("grüße 日本"), "grüße 日本");
    }
}
