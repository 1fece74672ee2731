//! `legwork demo`: everything embedded, sample jobs, and what becomes of them.

use super::{
    Context,
    output::{self, Format},
};
use crate::{
    daemon::{Caught, Signals},
    demo::{Demo, DemoError, Frame, Summary},
};
use anyhow::Context as _;
use std::{
    fmt::Write as _,
    io::{IsTerminal, Write as _},
};

/// What `demo` takes.
#[derive(Debug, clap::Args)]
pub(super) struct DemoArguments {
    /// End when every sample has ended, as the demo does where nobody watches (standard error is no
    /// terminal); the exit code says whether each sample ended as it should
    #[arg(long)]
    once: bool,
}

/// Runs the demo.
pub(super) fn run(arguments: &DemoArguments, context: &Context) -> anyhow::Result<()> {
    // Somebody who watches may go on watching; a script must come to an end.
    let once = arguments.once || !std::io::stderr().is_terminal();
    let mut demo = Demo::prepare(context.source.environment().clone(), output::say)?;
    introduce(&demo);
    // A sample panics on purpose: one line says so, a backtrace would frighten.
    let dumb = context.source.environment().text("TERM").is_none_or(|term| term == "dumb");
    let live = std::io::stderr().is_terminal() && !dumb;
    std::panic::set_hook(Box::new(move |panic| {
        // Over the line that changes, which is drawn again below.
        let start = if live { "\r\x1b[2K" } else { "" };
        output::say(&format!("{start}a handler panicked: {panic}"));
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("couldn't start the runtime")?;
    let summary = runtime.block_on(async {
        let signals = Signals::default();
        let caught = Caught::install().context("signals can't be caught")?;
        let mut screen = Screen::new(live);
        let shown = demo.run(once, signals.clone(), |frame| screen.draw(frame));
        let summary = tokio::select! {
            summary = shown => summary,
            () = signals.follow(caught) => unreachable!("signals are followed for ever"),
        };
        screen.leave();
        summary.map_err(|error| match error {
            // The step that failed is what exit codes go by.
            DemoError::Trial(error) => anyhow::Error::from(error),
            error => error.into(),
        })
    })?;
    show(&summary, context)?;
    match summary.wrong.len() {
        0 => Ok(()),
        wrong if once => Err(DemoError::Wrong(wrong).into()),
        _ => Ok(()),
    }
}

fn introduce(demo: &Demo) {
    output::say(
        "enqueuing sample jobs: plain ones, programs, webhooks, one that is flaky, one that panics, one that",
    );
    output::say(
        "is too slow, one to be cancelled, one in two seconds, and one that nobody serves\n",
    );
    output::say("where to look meanwhile:");
    // Shown, never sent.
    output::say(&format!(
        "  {} -c 'SELECT id, kind, state, attempt, reason FROM legwork.jobs'",
        demo.psql()
    ));
    if let Some(admin) = demo.admin() {
        output::say(&format!(
            "  curl http://{admin}/health/ready?verbose   curl http://{admin}/metrics"
        ));
    }
    output::say("");
}

fn show(summary: &Summary, context: &Context) -> anyhow::Result<()> {
    if context.output.format == Format::Json {
        return output::print(&serde_json::to_string(summary)?);
    }
    let mut text = format!("\n{} jobs in {:.1} s:\n", summary.enqueued, millis(summary) / 1000.0);
    for (state, count) in &summary.by_outcome {
        writeln!(text, "  {count:>5} {state}")?;
    }
    for wrong in &summary.wrong {
        writeln!(text, "  wrong: {wrong}")?;
    }
    output::print(&text)
}

#[expect(clippy::cast_precision_loss, reason = "a duration that people read")]
fn millis(summary: &Summary) -> f64 {
    summary.duration_ms as f64
}

/// Standard error: one line that changes in a terminal, a line for each change elsewhere.
struct Screen {
    /// The last line is drawn over: not into a pipe, nor where the terminal can't (`TERM=dumb`).
    live: bool,
    last: String,
}

impl Screen {
    fn new(live: bool) -> Self {
        Self { live, last: String::new() }
    }

    fn draw(&mut self, frame: &Frame) {
        let mut stderr = std::io::stderr().lock();
        // Where nobody watches, drawing may fail.
        if self.live {
            let columns = columns();
            // The last column stays free: a character there makes some terminals begin a new line.
            let line = frame.fitted(columns.saturating_sub(1));
            let over = over(self.last.chars().count(), columns);
            write!(stderr, "{over}{line}").and_then(|()| stderr.flush()).ok();
            self.last = line;
            return;
        }
        let line = frame.to_string();
        let (_, rest) = line.split_once('s').unwrap_or_default();
        if rest != self.last {
            writeln!(stderr, "{line}").ok();
        }
        rest.clone_into(&mut self.last);
    }

    fn leave(&self) {
        if self.live {
            output::say("");
        }
    }
}

/// Columns of a terminal that doesn't say.
const USUAL_COLUMNS: usize = 80;

/// How wide the terminal is now; it may change while somebody watches.
fn columns() -> usize {
    let size = terminal_size::terminal_size_of(std::io::stderr());
    size.map_or(USUAL_COLUMNS, |(width, _)| usize::from(width.0)).max(1)
}

/// What clears a line of so many characters. A terminal that has become narrower has broken it.
fn over(characters: usize, columns: usize) -> String {
    match characters.saturating_sub(1) / columns {
        0 => "\r\x1b[2K".into(),
        broken => format!("\r\x1b[{broken}A\x1b[J"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::nothing(0, 80, "\r\x1b[2K")]
    #[case::as_wide_as_it_was(79, 80, "\r\x1b[2K")]
    #[case::full(80, 80, "\r\x1b[2K")]
    #[case::broken_once(79, 60, "\r\x1b[1A\x1b[J")]
    #[case::broken_twice(119, 50, "\r\x1b[2A\x1b[J")]
    fn a_line_is_cleared_with_all_that_a_narrower_terminal_made_of_it(
        #[case] characters: usize,
        #[case] columns: usize,
        #[case] cleared: &str,
    ) {
        assert_eq!(over(characters, columns), cleared);
    }
}
