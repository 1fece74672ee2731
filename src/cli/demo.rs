//! `legwork demo`: everything embedded, sample jobs, and what becomes of them.

use super::{
    Context,
    output::{self, Format},
};
use crate::{
    daemon::{Caught, Signals},
    demo::{Demo, DemoError, Frame, Page, Summary},
    sys::sampler,
};
use anyhow::Context as _;
use std::{
    fmt::Write as _,
    io::{IsTerminal, Write as _},
    sync::{Arc, Mutex, PoisonError},
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
    introduce(&demo, once);
    // A sample panics on purpose: one line says so, a backtrace would frighten.
    let dumb = context.source.environment().text("TERM").is_none_or(|term| term == "dumb");
    let live = std::io::stderr().is_terminal() && !dumb;
    let screen = Arc::new(Mutex::new(Screen::new(live)));
    let hooked = Arc::clone(&screen);
    std::panic::set_hook(Box::new(move |panic| {
        let mut screen = hooked.lock().unwrap_or_else(PoisonError::into_inner);
        screen.say(&format!("a handler panicked: {panic}"));
    }));
    let screen = || screen.lock().unwrap_or_else(PoisonError::into_inner);
    sampler::register();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .on_thread_start(sampler::register)
        .enable_all()
        .build()
        .context("couldn't start the runtime")?;
    let summary = runtime.block_on(async {
        let signals = Signals::default();
        let caught = Caught::install().context("signals can't be caught")?.stopped_by_hangup();
        let shown = demo.run(once, signals.clone(), |frame| screen().draw(frame));
        let summary = tokio::select! {
            summary = shown => summary,
            () = signals.follow(caught) => unreachable!("signals are followed for ever"),
        };
        screen().leave();
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

fn introduce(demo: &Demo, once: bool) {
    output::say(
        "enqueuing sample jobs: plain ones, programs, webhooks, functions of the database, one that is flaky,",
    );
    output::say(
        "one that panics, one that is too slow, one to be cancelled, one in two seconds, one that nobody\n\
         serves, one each second by a schedule, and more all the while\n",
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
    if !once {
        output::say("Ctrl-C ends it, and tells what became of the jobs");
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

/// Standard error: a page that changes in a terminal, a line for each change elsewhere.
struct Screen {
    /// What was drawn is drawn over: not into a pipe, nor where the terminal can't (`TERM=dumb`).
    live: bool,
    page: Page,
    /// The characters of each line that stands there.
    drawn: Vec<usize>,
    last: String,
}

impl Screen {
    fn new(live: bool) -> Self {
        Self { live, page: Page::default(), drawn: Vec::new(), last: String::new() }
    }

    fn draw(&mut self, frame: &Frame) {
        let mut stderr = std::io::stderr().lock();
        // Where nobody watches, drawing may fail.
        if self.live {
            let (columns, rows) = size();
            let lines = self.page.lines(frame, columns, rows);
            let over = over(&self.drawn, columns);
            write!(stderr, "{over}{}", lines.join("\r\n")).and_then(|()| stderr.flush()).ok();
            self.drawn = lines.iter().map(|line| line.chars().count()).collect();
            return;
        }
        let line = frame.to_string();
        let (_, rest) = line.split_once('s').unwrap_or_default();
        if rest != self.last {
            writeln!(stderr, "{line}").ok();
        }
        rest.clone_into(&mut self.last);
    }

    /// Something else than a frame, in the place of the page, which is drawn again below it.
    fn say(&mut self, text: &str) {
        let over = if self.live { over(&self.drawn, size().0) } else { String::new() };
        self.drawn.clear();
        output::say(&format!("{over}{text}"));
    }

    fn leave(&self) {
        if self.live {
            output::say("");
        }
    }
}

/// Columns and rows of a terminal that doesn't say.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// How wide and high the terminal is now; it may change while somebody watches.
fn size() -> (usize, usize) {
    let size = terminal_size::terminal_size_of(std::io::stderr());
    let (columns, rows) =
        size.map_or(USUAL_SIZE, |(width, height)| (usize::from(width.0), usize::from(height.0)));
    (columns.max(1), rows)
}

/// What clears lines of so many characters, the cursor being in the last. A terminal that has become narrower
/// has broken them.
fn over(drawn: &[usize], columns: usize) -> String {
    let rows: usize = drawn.iter().map(|line| line.saturating_sub(1) / columns + 1).sum();
    match rows.saturating_sub(1) {
        0 => "\r\x1b[J".into(),
        above => format!("\r\x1b[{above}A\x1b[J"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::nothing(&[], 80, "\r\x1b[J")]
    #[case::an_empty_line(&[0], 80, "\r\x1b[J")]
    #[case::as_wide_as_it_was(&[79], 80, "\r\x1b[J")]
    #[case::full(&[80], 80, "\r\x1b[J")]
    #[case::broken_once(&[79], 60, "\r\x1b[1A\x1b[J")]
    #[case::broken_twice(&[119], 50, "\r\x1b[2A\x1b[J")]
    #[case::a_page(&[79, 0, 30], 80, "\r\x1b[2A\x1b[J")]
    #[case::a_page_that_was_broken(&[79, 0, 30], 60, "\r\x1b[3A\x1b[J")]
    fn a_page_is_cleared_with_all_that_a_narrower_terminal_made_of_it(
        #[case] drawn: &[usize],
        #[case] columns: usize,
        #[case] cleared: &str,
    ) {
        assert_eq!(over(drawn, columns), cleared);
    }
}
