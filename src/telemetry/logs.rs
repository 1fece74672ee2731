//! Log lines: one event, one line, on standard output.
//!
//! JSON for machines in a fixed order of fields, or text for people. Lines go through a bounded
//! channel to a thread of their own, so that a full disk or a reader that stopped costs lines,
//! which are counted, and never work. Storms are cut short per call site. It decides neither levels
//! nor messages, and the rooms never hand it a payload.

mod filter;
mod last_words;
mod layer;
mod line;
mod recent;
mod scope;
mod throttle;
mod writer;

pub use filter::{Filter, Level};
pub use last_words::{LastWords, say_last};
pub use recent::Recent;
pub use scope::JobScope;
pub use writer::{Losses, Writer};

use super::events;
use crate::config::{Log, LogFormat};
use filter::read;
use layer::{Lines, Voice};
use line::Style;
use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
    time::Duration,
};
use tracing::Subscriber;
use tracing_subscriber::{Layer, layer::SubscriberExt, reload};

/// Why logging couldn't be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// `log.filter` isn't in the filter's syntax.
    #[error("log.filter can't be read")]
    ParseFilter(#[from] tracing_subscriber::filter::ParseError),
    /// The system gave no thread.
    #[error("the thread that writes log lines can't be started")]
    StartWriter(#[source] io::Error),
    /// Whoever wrote lines by the filter is gone.
    #[error("the log's filter can't be changed any more")]
    ChangeFilter(#[from] reload::Error),
    /// The process logs already.
    #[error("logging is set up already")]
    AlreadySet(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// A running log. Flush it as the last step of the shutdown.
#[derive(Debug)]
pub struct Logs {
    writer: Writer,
    filter: Filter,
    style: Style,
}

/// The driver's target for what Postgres says beside its answers, `RAISE NOTICE` in a function or a
/// trigger, say: as much as those like, and perhaps of payloads. It appears where it is asked for by name.
const NOTICES: &str = "sqlx::postgres::notice";

/// The target of what the configuration is warned of.
const WARNINGS: &str = "legwork::config";

/// Says what may be meant otherwise than the configuration has it.
pub fn warn_of(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!(target: WARNINGS, event = events::CONFIG_WARNED, "{warning}");
    }
}

impl Logs {
    /// What was lost so far, for the metrics.
    pub fn losses(&self) -> Arc<Losses> {
        self.writer.losses()
    }

    /// By which `log.filter` is changed while the process runs.
    pub fn filter(&self) -> Filter {
        self.filter.clone()
    }

    /// The last lines, for whoever asks what happened just now.
    pub fn recent(&self) -> Recent {
        Recent::new(self.writer.recent(), matches!(self.style, Style::Json))
    }

    /// Waits until every line so far is written, and how many were left out, at most `deadline`. Says
    /// whether it was.
    pub fn flush(&self, deadline: Duration) -> bool {
        self.writer.flush(deadline)
    }
}

/// Starts logging for the process: to standard output, as `[log]` says. `instance` is
/// the daemon's name.
pub fn init(settings: &Log, instance: &str) -> Result<Logs, LogsError> {
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    let style = style(settings.format, terminal);
    let voice = Voice::new(style, instance);
    let writer = start(stdout, &voice).map_err(LogsError::StartWriter)?;
    let (subscriber, filter) = subscriber(&settings.filter, voice, writer.clone())?;
    tracing::subscriber::set_global_default(subscriber)?;
    log_panics();
    Ok(Logs { writer, filter, style })
}

fn style(format: LogFormat, terminal: bool) -> Style {
    match format {
        LogFormat::Json => Style::Json,
        LogFormat::Auto if !terminal => Style::Json,
        LogFormat::Auto | LogFormat::Pretty => Style::Pretty { colour: terminal },
    }
}

/// A thread that writes lines, and counts of those that were left out.
fn start(output: impl Write + Send + 'static, voice: &Arc<Voice>) -> io::Result<Writer> {
    let voice = Arc::clone(voice);
    Writer::start(output, move |due| voice.tell_left_out(due))
}

fn subscriber(
    filter: &str,
    voice: Arc<Voice>,
    writer: Writer,
) -> Result<(impl Subscriber + Send + Sync + use<>, Filter), LogsError> {
    let (layer, handle) = reload::Layer::new(read(filter)?);
    let lines = Lines::new(voice, writer);
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(layer));
    Ok((subscriber, Filter::new(handle, filter)))
}

/// A panic becomes a line like any other instead of several on standard error, which nobody reads
/// and which can block.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("a value that isn't text");
        let location = panic.location().map(ToString::to_string);
        tracing::error!(
            event = super::events::PROCESS_PANICKED,
            error.message = text,
            error.stack = location.as_deref(),
            thread.name = std::thread::current().name(),
            "A thread panicked"
        );
    }));
}

#[cfg(test)]
mod tests;
