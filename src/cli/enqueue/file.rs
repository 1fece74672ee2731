//! A file of jobs into one COPY.
//!
//! Standard input can't be read twice, so lines are checked as they stream into one statement: the first
//! wrong line ends it, nothing is enqueued, and the rest is read only to name further mistakes.

use super::super::{Context, exit::Unsure, interrupt::unless_interrupted, output::say};
use crate::postgres::{
    enqueue::{
        Defaults, EnqueueError, EnqueueSink, line,
        lines::{LINE_MAX_BYTES, Lines, Read},
    },
    operations::{Limit, OperationError},
};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::{fmt::Write as _, fs::Metadata, path::Path};
use tokio::{
    fs::File,
    io::{AsyncRead, BufReader},
};

/// Wrong lines that are named; further ones aren't looked for.
const MISTAKES_MAX: usize = 20;

/// How much is read at once, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// Lines between two looks at the clock by the progress bar.
const LINES_PER_TICK: u64 = 1024;

/// Lines that can't be jobs; so nothing was enqueued.
#[derive(Debug, thiserror::Error)]
#[error("nothing was enqueued, because of {count} wrong {lines}{listed}",
    count = .0.len(), lines = if .0.len() == 1 { "line" } else { "lines" }, listed = listed(.0))]
struct WrongLines(Vec<(u64, String)>);

fn listed(mistakes: &[(u64, String)]) -> String {
    let mut text = String::new();
    for (line, why) in mistakes {
        write!(text, "\n  line {line}: {why}").ok();
    }
    if mistakes.len() == MISTAKES_MAX {
        write!(text, "\n  and perhaps more: reading stopped there").ok();
    }
    text
}

/// Ctrl-C before the end of the COPY.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; nothing was enqueued")]
struct Interrupted;

/// How many there are now.
#[derive(Serialize)]
struct Count {
    enqueued: u64,
}

pub(super) async fn enqueue(path: &Path, context: &Context) -> anyhow::Result<()> {
    let (input, length): (Box<dyn AsyncRead + Unpin>, Option<u64>) = if path.as_os_str() == "-" {
        (Box::new(tokio::io::stdin()), None)
    } else {
        let opened = File::open(path).await;
        let file = opened.with_context(|| format!("couldn't open {}", path.display()))?;
        let about = file.metadata().await.ok().filter(Metadata::is_file);
        (Box::new(file), about.map(|about| about.len()))
    };
    let lines = Lines::new(BufReader::with_capacity(READ_BYTES, input));
    let bar = bar(length);
    let done = stream(lines, context, &bar).await;
    bar.finish_and_clear();
    context.output.show_done(&Count { enqueued: done? }, |count| match count.enqueued {
        1 => "enqueued 1 job".into(),
        jobs => format!("enqueued {jobs} jobs"),
    });
    Ok(())
}

/// One COPY of all lines. A signal while they are sent leaves it unfinished, which its connection's end
/// undoes; once the end is sent, its answer is waited for, so that nobody is told the wrong thing.
async fn stream<R: AsyncRead + Unpin>(
    lines: Lines<BufReader<R>>,
    context: &Context,
    bar: &ProgressBar,
) -> anyhow::Result<u64> {
    let mut session = context.connect(Limit::Bulk).await?;
    let defaults =
        session.within(async |c| Defaults::ask(c).await.map_err(OperationError::Enqueue));
    let defaults = defaults.await?;
    let mut sink = Some(EnqueueSink::begin(session.connection()).await?);
    let sent = send(lines, (&mut sink, &defaults), bar);
    let mistakes = unless_interrupted(sent, Interrupted).await?;
    match sink {
        Some(sink) if mistakes.is_empty() => {
            sink.finish().await.map_err(in_lines).map_err(Unsure::or)
        }
        _ => Err(WrongLines(mistakes).into()),
    }
}

/// Sends every line; stops sending at the first mistake and goes on reading for others.
async fn send<R: AsyncRead + Unpin>(
    mut lines: Lines<BufReader<R>>,
    (sink, defaults): (&mut Option<EnqueueSink<'_>>, &Defaults),
    bar: &ProgressBar,
) -> anyhow::Result<Vec<(u64, String)>> {
    let mut mistakes = Vec::new();
    let mut empty = None;
    while mistakes.len() < MISTAKES_MAX {
        let read = lines.next().await.context("couldn't read the jobs")?;
        let parsed = match read {
            Read::End => break,
            // Rows are counted by the database and lines by us; without gaps the two are one.
            Read::Empty => {
                empty = empty.or(Some(lines.number()));
                continue;
            }
            Read::TooLong => Err(format!("is longer than {LINE_MAX_BYTES} bytes")),
            Read::Line(text) => line::parse(text).map_err(|mistakes| mistakes.to_string()),
        };
        if let Some(number) = empty.take() {
            mistakes.push((number, "is empty".to_owned()));
        }
        match (parsed, sink.as_mut()) {
            (Ok((job, delay)), Some(sink)) if mistakes.is_empty() => {
                sink.push(&defaults.given_to(job, delay)).await?;
            }
            (Ok(_), _) => {}
            (Err(why), _) => mistakes.push((lines.number(), why)),
        }
        if !mistakes.is_empty()
            && let Some(sink) = sink.take()
        {
            // At once, so that the database holds nothing open while the rest is read.
            sink.abort("a line was wrong").await?;
        }
        if lines.number().is_multiple_of(LINES_PER_TICK) {
            bar.set_position(lines.bytes());
        }
    }
    mistakes.truncate(MISTAKES_MAX);
    Ok(mistakes)
}

/// A row that only the database could refuse, by its line.
fn in_lines(error: EnqueueError) -> anyhow::Error {
    match error {
        EnqueueError::Refused { row, .. } => anyhow::Error::new(error)
            .context(format!("nothing was enqueued, because of line {row}")),
        other => other.into(),
    }
}

/// On standard error where that is a terminal, else invisible.
fn bar(length: Option<u64>) -> ProgressBar {
    let template = match length {
        Some(_) => "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        None => "{spinner} {bytes} {bytes_per_sec}",
    };
    let style = ProgressStyle::with_template(template);
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    match style {
        Ok(style) => bar.with_style(style),
        Err(error) => {
            say(&format!("warning: no progress is shown: {error}"));
            ProgressBar::hidden()
        }
    }
}
