//! The tree for people: a line a task, and one for its job. Workers without one are only counted.

use super::{Component, Picture, Shown, left};
use crate::worker::RunningJob;
use std::{
    fmt::{self, Write},
    time::Duration,
};

pub(super) fn of(picture: &Picture, limit: usize) -> String {
    let mut text = String::new();
    let written = picture.components.iter().try_for_each(|of| component(&mut text, of, limit));
    let alive = picture.alive;
    let (tokio, ours, other) = (alive.tokio, alive.registered, alive.unregistered());
    let written = written.and_then(|()| {
        writeln!(text, "tokio: {tokio} tasks alive, {ours} registered, {other} unregistered")
    });
    debug_assert!(written.is_ok(), "writing to a String can't fail");
    text
}

fn component(text: &mut String, of: &Component, limit: usize) -> fmt::Result {
    write!(text, "{}: {}", of.name, of.tasks.len())?;
    if of.tasks.len() > 1 {
        let crowds = of
            .crowds()
            .into_iter()
            .map(|(place, crowd)| format!("{} {place} (up to {})", crowd.tasks, Age(crowd.oldest)));
        write!(text, " = {}", crowds.collect::<Vec<_>>().join(", "))?;
    }
    writeln!(text)?;
    let speaks = |shown: &&Shown| {
        shown.job.is_some() || shown.place() != "worker.idle" || shown.task.last_error.is_some()
    };
    let mut listed = 0;
    for shown in of.tasks.iter().filter(speaks).take(limit) {
        listed += 1;
        task(text, shown)?;
    }
    match of.tasks.iter().filter(speaks).count() - listed {
        0 => {}
        more => writeln!(text, "  … and {more} more")?,
    }
    writeln!(text)
}

fn task(text: &mut String, shown: &Shown) -> fmt::Result {
    let Shown { task, job } = shown;
    let (name, place, age) = (task.name(), shown.place(), task.since.elapsed());
    write!(text, "  {name:<32} {place:<18} {:>8}", Age(shown.taken()).to_string())?;
    if let Some(pid) = task.stay.and_then(|stay| stay.pid) {
        write!(text, "  pid {pid}")?;
    }
    write!(text, "  {}, age {}", task.state.as_str(), Age(age))?;
    if let Some(ago) = task.last_run {
        write!(text, ", ran {} ago", Age(ago))?;
    }
    if let Some(late) = task.late {
        write!(text, ", LATE: one step for {}", Age(late))?;
    }
    if task.restarts > 0 {
        write!(text, ", {} restarts", task.restarts)?;
    }
    writeln!(text)?;
    if let Some(error) = &task.last_error {
        writeln!(text, "      last error, {} ago: {}", Age(error.ago()), one_line(&error.text))?;
    }
    job.as_deref().map_or(Ok(()), |job| of_job(text, job))
}

fn of_job(text: &mut String, job: &RunningJob) -> fmt::Result {
    let (id, kind, queue) = (job.lease.job, &job.kind, &job.queue);
    write!(text, "      job {id} {kind} in {queue}, runs for {}", Age(job.since.elapsed()))?;
    if let Some((number, deadline)) = job.attempt() {
        write!(text, ", attempt {number}, {:.1} s left", left(deadline))?;
    }
    writeln!(text, "{}", if job.token.is_cancelled() { ", told to stop" } else { "" })
}

/// What an error says can't look like a line of ours.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A time with the two units that matter.
struct Age(Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..60 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            60..3600 => write!(f, "{} m {} s", seconds / 60, seconds % 60),
            3600..86_400 => write!(f, "{} h {} m", seconds / 3600, seconds / 60 % 60),
            _ => write!(f, "{} d {} h", seconds / 86_400, seconds / 3600 % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(50, "0.1 s")]
    #[case(59_900, "59.9 s")]
    #[case(61_000, "1 m 1 s")]
    #[case(7_380_000, "2 h 3 m")]
    #[case(180_000_000, "2 d 2 h")]
    fn an_age_has_the_units_that_matter(#[case] millis: u64, #[case] shown: &str) {
        assert_eq!(Age(Duration::from_millis(millis)).to_string(), shown);
    }
}
