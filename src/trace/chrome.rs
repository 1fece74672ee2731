//! Chrome's trace events, in JSON: what Perfetto and Catapult's viewer open.
//!
//! Three processes are shown, whose numbers are nobody's: the threads with what they polled and woke, the tasks
//! with where they waited, and the jobs with their phases. A wake-up is an arrow from the wake to the poll that
//! followed it; one of which only one end was seen is left out.

use super::{Event, Phase, Trace, jobs, tasks};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    io::{self, Write},
};

/// How many processes there are. Their numbers are no task's: Perfetto takes a row with its process' number for the main thread.
pub(crate) const PROCESSES: u64 = 3;
/// What polled.
const THREADS: u64 = 1;
/// What waited.
const TASKS: u64 = 2;
/// What was worked on.
const JOBS: u64 = 3;

/// One trace event. Times are microseconds.
#[derive(Debug, Default, Serialize)]
struct Line<'a> {
    name: &'a str,
    ph: &'static str,
    pid: u64,
    tid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id2: Option<Local>,
    /// The scope of an instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    /// What the end of an arrow belongs to: the slice round it.
    #[serde(skip_serializing_if = "Option::is_none")]
    bp: Option<&'static str>,
    #[serde(skip_serializing_if = "Value::is_null")]
    args: Value,
}

/// An id that is one of its process: what has a plain one stands apart from all processes.
#[derive(Debug, Clone, Serialize)]
struct Local {
    local: String,
}

/// Something that took time on a thread.
struct Slice<'t> {
    began: u64,
    ended: u64,
    event: &'t Event,
}

struct Page<'t, Out> {
    trace: &'t Trace,
    out: Out,
    is_first: bool,
}

impl Trace {
    /// Writes it down, with what else is known of the daemon.
    pub fn write(&self, out: impl Write, about: Value) -> io::Result<()> {
        let mut page = Page { trace: self, out, is_first: true };
        page.begin(about)?;
        let (names, waits) = tasks::waits(self);
        // Of all threads together: who wakes is mostly on another one than who is woken.
        let arrows = arrows(self);
        for (number, thread) in &self.threads {
            page.name("thread_name", (THREADS, *number), &thread.name)?;
            page.thread(*number, &thread.events, (&names, &arrows))?;
        }
        for (task, name) in &names {
            page.name("thread_name", (TASKS, *task), name)?;
        }
        waits.iter().try_for_each(|wait| page.wait(wait))?;
        jobs::courses(self).iter().try_for_each(|course| page.course(course))?;
        page.end()
    }
}

type Names = std::collections::BTreeMap<u64, std::sync::Arc<str>>;

/// The wake-ups of which both ends are shown.
fn arrows(trace: &Trace) -> HashSet<u64> {
    let shown = || trace.events().filter(|event| trace.shows(event));
    let wakes = shown().filter_map(|event| match event {
        Event::Wake { flow, began, .. } => Some((*flow, *began)),
        _ => None,
    });
    let wakes: HashMap<u64, u64> = wakes.collect();
    let seen = shown().filter_map(|event| match event {
        // What was woken by the end of a trace before is no arrow of this one.
        Event::Poll { flow, began, .. } => wakes.get(flow).filter(|at| *at <= began).map(|_| *flow),
        _ => None,
    });
    seen.collect()
}

impl<Out: Write> Page<'_, Out> {
    fn begin(&mut self, mut about: Value) -> io::Result<()> {
        let (began, ended) = self.trace.span;
        about["duration_ms"] = (ended.saturating_sub(began) / 1_000_000).into();
        about["lost_events"] = self.trace.lost.into();
        if self.trace.lost > 0 {
            about["lost_from_ms"] = (self.trace.micros(self.trace.lost_from) / 1000.0).into();
        }
        write!(self.out, r#"{{"displayTimeUnit":"ms","otherData":{about},"traceEvents":["#)?;
        let shown = [(THREADS, "threads"), (TASKS, "tasks, and where they wait"), (JOBS, "jobs")];
        for (process, name) in shown {
            self.name("process_name", (process, 0), name)?;
            let args = json!({ "sort_index": process });
            let (name, ph) = ("process_sort_index", "M");
            self.line(&Line { name, ph, pid: process, args, ..Line::default() })?;
        }
        if self.trace.lost > 0 {
            let lost = format!("{} events are lost from here on", self.trace.lost);
            let (ts, s) = (Some(self.trace.micros(self.trace.lost_from)), Some("g"));
            self.line(&Line { name: &lost, ph: "i", pid: THREADS, ts, s, ..Line::default() })?;
        }
        Ok(())
    }

    fn name(&mut self, what: &str, (pid, tid): (u64, u64), name: &str) -> io::Result<()> {
        let args = json!({ "name": name });
        self.line(&Line { name: what, ph: "M", pid, tid, args, ..Line::default() })
    }

    /// What was polled and woken on a thread: in the order of its beginnings, the outer before the inner.
    fn thread(
        &mut self,
        tid: u64,
        events: &[Event],
        (names, arrows): (&Names, &HashSet<u64>),
    ) -> io::Result<()> {
        let slice = |event| match event {
            &(Event::Poll { began, ended, .. }
            | Event::Attempt { began, ended, .. }
            | Event::Wake { began, ended, .. }) => Some(Slice { began, ended, event }),
            _ => None,
        };
        let shown = events.iter().filter(|event| self.trace.shows(event));
        let mut slices: Vec<_> = shown.filter_map(slice).collect();
        // Of equal ones the outer was over later, so it stands behind.
        slices.reverse();
        slices.sort_by_key(|slice| (slice.began, Reverse(slice.ended)));
        for Slice { began, ended, event } in slices {
            let (ts, until) = (self.trace.micros(began), self.trace.micros(ended));
            let on = Line { ph: "X", pid: THREADS, tid, ts: Some(ts), ..Line::default() };
            let line = Line { dur: Some(until - ts), ..on };
            let title = |task| names.get(task).map_or("task", |name| &**name);
            match event {
                Event::Poll { task, job, flow, .. } => {
                    let args = json!({ "task": task, "job": job.map(|job| job.0) });
                    self.line(&Line { name: title(task), cat: Some("poll"), args, ..line })?;
                    self.arrow(("f", Some("e")), (tid, ts), *flow, arrows)?;
                }
                Event::Attempt { job, .. } => {
                    let args = about(job);
                    self.line(&Line { name: job.name(), cat: Some("attempt"), args, ..line })?;
                }
                Event::Wake { task, flow, .. } => {
                    let (name, args) = (format!("wake {}", title(task)), json!({ "task": task }));
                    self.line(&Line { name: &name, cat: Some("wake"), args, ..line })?;
                    self.arrow(("s", None), (tid, ts), *flow, arrows)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn arrow(
        &mut self,
        (ph, bp): (&'static str, Option<&'static str>),
        (tid, ts): (u64, f64),
        flow: u64,
        arrows: &HashSet<u64>,
    ) -> io::Result<()> {
        if !arrows.contains(&flow) {
            return Ok(());
        }
        let (ts, cat, id) = (Some(ts), Some("wake"), Some(flow.to_string()));
        self.line(&Line { name: "wake", ph, pid: THREADS, tid, ts, cat, id, bp, ..Line::default() })
    }

    fn wait(&mut self, wait: &tasks::Wait) -> io::Result<()> {
        let (ts, until) = (self.trace.micros(wait.began), self.trace.micros(wait.ended));
        let mut args = json!({});
        if wait.process != 0 {
            args["pid"] = wait.process.into();
        }
        if wait.before_ms != 0 {
            args["before_ms"] = wait.before_ms.into();
        }
        self.line(&Line {
            name: wait.place,
            ph: "X",
            pid: TASKS,
            tid: wait.task,
            ts: Some(ts),
            dur: Some(until - ts),
            cat: Some("wait"),
            args,
            ..Line::default()
        })
    }

    /// The phases of an attempt, within one that is called as its kind.
    fn course(&mut self, course: &jobs::Course<'_>) -> io::Result<()> {
        let jobs::Course { job, steps } = course;
        let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return Ok(()) };
        let ended = if last.phase == Phase::Flushed {
            last.at
        } else {
            self.trace.seen_until().max(last.at)
        };
        let id = Local { local: format!("{}.{}", job.job, job.token) };
        let line = |name, ph, at, args| {
            let (ts, cat, id2) = (Some(at), Some("job"), Some(id.clone()));
            Line { name, ph, pid: JOBS, tid: 1, ts, cat, id2, args, ..Line::default() }
        };
        let at = |at| self.trace.micros(at);
        let mut whole = about(job);
        if last.phase != Phase::Flushed {
            whole["goes_on"] = true.into();
        }
        let mut lines = vec![line(job.name(), "b", at(first.at), whole)];
        let ends = steps.iter().skip(1).map(|next| next.at).chain([ended]);
        for (step, until) in steps.iter().zip(ends) {
            let (name, mut args) = (step.phase.as_str(), about(job));
            if !step.outcome.is_empty() {
                args["outcome"] = step.outcome.into();
            }
            if step.before {
                args["began_before"] = true.into();
            }
            if step.phase == Phase::Flushed {
                lines.push(line(name, "n", at(step.at), args));
            } else {
                lines.push(line(name, "b", at(step.at), args));
                lines.push(line(name, "e", at(until), Value::Null));
            }
        }
        lines.push(line(job.name(), "e", at(ended), Value::Null));
        lines.iter().try_for_each(|line| self.line(line))
    }

    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        let before = if std::mem::take(&mut self.is_first) { "\n" } else { ",\n" };
        self.out.write_all(before.as_bytes())?;
        serde_json::to_writer(&mut self.out, line).map_err(io::Error::from)
    }

    fn end(mut self) -> io::Result<()> {
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()
    }
}

/// Which job it is.
fn about(job: &super::Subject) -> Value {
    let (id, queue, attempt) = (job.job.0, job.queue.as_str(), job.attempt);
    json!({ "job": id, "kind": job.name(), "queue": queue, "attempt": attempt })
}
