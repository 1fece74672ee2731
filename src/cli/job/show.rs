//! `legwork job show` and `job why`: one job, all of it.

use super::super::{
    Context,
    exit::{NoSuchJob, commanded},
    moment::{exact, relative},
    output::plain_lines,
    table::{Table, sheet},
};
use crate::{
    job::JobId,
    postgres::operations::{Attempt, Gate, JobDetail},
};

pub(super) async fn show(id: JobId, context: &Context) -> anyhow::Result<()> {
    let found = context.place().await?.show_job(id).await?;
    context.output.show(&found, text)
}

pub(super) async fn why(id: JobId, context: &Context) -> anyhow::Result<()> {
    let gates = context.place().await?.explain_job(id).await?;
    context.output.show(&gates, |gates| gates.iter().map(line).collect())?;
    let missing = gates.iter().any(|gate| gate.gate == "exists" && gate.blocking);
    if missing { Err(NoSuchJob(id).into()) } else { Ok(()) }
}

fn line(gate: &Gate) -> String {
    let mark = if gate.blocking { "blocked" } else { "passes" };
    // What ends it is a call of SQL, behind a reason that is anybody's.
    let end =
        ["; legwork.retry(", "; legwork.resume("].iter().find_map(|call| gate.detail.rfind(call));
    let (detail, end) = gate.detail.split_at(end.unwrap_or(gate.detail.len()));
    let end = if matches!(&*gate.gate, "finished" | "pause") { commanded(end) } else { end.into() };
    format!("{mark:<7}  {:<10}  {}{}\n", gate.gate, plain_lines(detail), plain_lines(&end))
}

fn text(job: &JobDetail) -> String {
    let at = |moment: &Option<String>| moment.as_ref().map(|at| exact(at, &job.now));
    // Known where its own daemon is asked.
    let running = job.running_attempt.as_ref();
    let some = |count: i16| (count != 0).then(|| count.to_string());
    let tags: Vec<&str> = job.tags.iter().flatten().map(String::as_str).collect();
    let attempts = match job.max_attempts {
        Some(most) => format!("{} of {most}", job.attempt),
        None => job.attempt.to_string(),
    };
    let facts = sheet([
        ("id", Some(job.id.to_string())),
        ("state", Some(job.state.clone())),
        ("queue", Some(job.queue.clone())),
        ("kind", Some(job.kind.clone())),
        ("priority", Some(job.priority.to_string())),
        ("attempts", Some(attempts)),
        ("rescues", some(job.rescues)),
        ("snoozes", some(job.snoozes)),
        ("created", at(&job.created_at)),
        ("run at", at(&job.run_at)),
        ("expires", at(&job.expires_at)),
        ("finished", at(&job.finished_at)),
        ("took", job.duration_ms.map(|ms| format!("{ms} ms"))),
        ("reason", job.reason.clone()),
        ("cancel", job.cancel_requested.then(|| "requested".into())),
        ("timeout", job.timeout_seconds.map(|seconds| format!("{seconds} s"))),
        ("daemon", job.daemon.clone()),
        ("began", at(&running.map(|attempt| attempt.started_at.clone()))),
        ("runs for", running.map(|attempt| format!("{:.1} s", attempt.running_seconds))),
        ("unique key", job.unique_key.clone()),
        ("tags", (!tags.is_empty()).then(|| tags.join(", "))),
        ("metadata", job.metadata.as_ref().map(|json| json.get().to_owned())),
        ("payload", job.payload.as_ref().map(|json| json.get().to_owned())),
        ("result", job.result.as_ref().map(|json| json.get().to_owned())),
        ("hidden", (!job.hidden.is_empty()).then(|| hidden(&job.hidden))),
    ]);
    match job.failed_attempts.as_slice() {
        [] => facts,
        failed => format!("{facts}\n{}", failures(failed, &job.now)),
    }
}

fn hidden(keys: &[String]) -> String {
    format!("{}: not for this role to read", keys.join(", ").replace('_', " "))
}

/// What the other columns leave of 100 characters.
const ERROR_WIDTH: usize = 50;

/// One line an attempt, and the whole of the last error below, which is what people came for.
fn failures(failed: &[Attempt], now: &str) -> String {
    let mut table = Table::new()
        .number("ATTEMPT")
        .text("FAILED", 12)
        .number("TOOK")
        .text("CAUSE", 16)
        .text("ERROR", ERROR_WIDTH);
    for attempt in failed {
        table.row([
            attempt.attempt.to_string(),
            attempt.failed_at.as_ref().map(|at| relative(at, now)).unwrap_or_default(),
            attempt.duration_ms.map(|ms| format!("{ms} ms")).unwrap_or_default(),
            attempt.cause.clone(),
            first_line(attempt.error.as_deref().unwrap_or_default()),
        ]);
    }
    let last = failed.last().and_then(|attempt| attempt.error.as_deref()).unwrap_or_default();
    let cut = last.contains('\n') || last.chars().count() > ERROR_WIDTH;
    if cut {
        return format!("{}\nlast error\n{}\n", table.render(), plain_lines(last.trim_end()));
    }
    table.render()
}

fn first_line(error: &str) -> String {
    error.lines().next().unwrap_or_default().to_owned()
}
