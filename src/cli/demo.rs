//! `legwork demo`: everything embedded, sample jobs, and what becomes of them.

use super::{
    Context,
    output::{self, Format},
};
use crate::{
    daemon::{Caught, Signals},
    demo::{Demo, DemoError, Summary},
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
    let terminal = std::io::stderr().is_terminal();
    std::panic::set_hook(Box::new(move |panic| {
        // Over the line that changes, which is drawn again below.
        let start = if terminal { "\r\x1b[2K" } else { "" };
        output::say(&format!("{start}a handler panicked: {panic}"));
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("couldn't start the runtime")?;
    let summary = runtime.block_on(async {
        let signals = Signals::default();
        let caught = Caught::install().context("signals can't be caught")?;
        let mut screen = Screen::new();
        let shown = demo.run(once, signals.clone(), |f| screen.draw(&f.to_string()));
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
        "enqueuing sample jobs: plain ones, programs, one that is flaky, one that panics, one that",
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

/// Standard error: one line that changes in a terminal, a line for each frame elsewhere.
struct Screen {
    terminal: bool,
    last: String,
}

impl Screen {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last: String::new() }
    }

    fn draw(&mut self, line: &str) {
        let mut stderr = std::io::stderr().lock();
        // Where nobody watches, drawing may fail.
        if self.terminal {
            write!(stderr, "\r\x1b[2K{line}").and_then(|()| stderr.flush()).ok();
        } else if line.split_once('s').map(|(_, rest)| rest) != Some(self.last.as_str()) {
            writeln!(stderr, "{line}").ok();
        }
        line.split_once('s').map_or("", |(_, rest)| rest).clone_into(&mut self.last);
    }

    fn leave(&self) {
        if self.terminal {
            output::say("");
        }
    }
}
