//! The same as Go's tools ask for it: tasks are what goroutines are there, and where one waits is its stack.
//!
//! Without `debug` it is a profile for `go tool pprof`; `debug=1` counts alike ones, `debug=2` has a stanza a
//! task.

use super::{Crowd, PLAIN, Picture, Shown, answer};
use crate::{
    admin::{
        api::query::{Asked, Parameters, Query},
        debug::pprof::level,
        problem::{Problem, Refusal},
        routes::AdminState,
    },
    profile::{Frame, Places, Profile, Stack, ValueType},
};
use axum::{extract::State, response::Response};
use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    time::Duration,
};
use utoipa::IntoParams;

/// What is counted.
const TASKS: ValueType = ValueType { name: "tasks", unit: "count" };

/// Tasks that can't be told apart: stack, innermost first, and labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Alike {
    place: String,
    component: String,
    /// Of the job that it runs.
    kind: Option<String>,
    queue: Option<String>,
}

/// Tasks of a runtime that nobody registered; nobody knows where they wait.
const UNREGISTERED: &str = "unregistered";

/// Every group, the largest first.
fn groups(picture: &Picture) -> Vec<(Alike, Crowd)> {
    let mut groups = BTreeMap::<_, Crowd>::new();
    for (component, shown) in picture.tasks() {
        let job = shown.job.as_ref();
        let alike = Alike {
            place: shown.place().to_owned(),
            component: component.name.clone(),
            kind: job.map(|job| job.kind.to_string()),
            queue: job.map(|job| job.queue.to_string()),
        };
        let crowd = groups.entry(alike).or_default();
        crowd.tasks += 1;
        crowd.oldest = crowd.oldest.max(shown.taken());
    }
    let unregistered = picture.alive.unregistered();
    if unregistered > 0 {
        let (place, component) = ("unnamed".to_owned(), UNREGISTERED.to_owned());
        let crowd = Crowd { tasks: unregistered, oldest: Duration::ZERO };
        groups.insert(Alike { place, component, kind: None, queue: None }, crowd);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, crowd)| std::cmp::Reverse(crowd.tasks));
    groups
}

/// In which form they are asked for.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct OfGoroutines {
    /// 0 is a profile; 1 counts alike tasks, 2 has a stanza for each.
    #[param(minimum = 0, maximum = 2, default = 0, example = 1)]
    debug: Option<u8>,
}

impl Parameters for OfGoroutines {
    fn read(query: &Query) -> Result<Self, Refusal> {
        Ok(Self { debug: query.with("debug", level)? })
    }
}

/// The same as a profile of tasks
#[utoipa::path(get, path = "/debug/pprof/goroutine", operation_id = "goroutine", tag = "debug", params(OfGoroutines),
    responses((status = 200, description = "It, for `go tool pprof`; with debug as text.", content(
        (String = "application/octet-stream", example = "gzipped protobuf"),
        (String = "text/plain", example = "goroutine profile: total 0\n")))))]
pub(in crate::admin) async fn goroutine(
    State(state): State<AdminState>,
    Asked(asked): Asked<OfGoroutines>,
) -> Result<Response, Refusal> {
    let picture = Picture::of(&state);
    let mut text = String::new();
    let written = match asked.debug {
        None | Some(0) => return file(&groups(&picture)),
        Some(1) => counts(&mut text, &groups(&picture)),
        Some(2..) => stanzas(&mut text, &picture),
    };
    debug_assert!(written.is_ok(), "writing to a String can't fail");
    Ok(answer(PLAIN, text))
}

/// One sample a group: its component, with the point where it waits on top.
fn file(groups: &[(Alike, Crowd)]) -> Result<Response, Refusal> {
    let stack = |(alike, crowd): &(Alike, Crowd)| {
        let labels = [("kind", &alike.kind), ("queue", &alike.queue)];
        let labels = labels.into_iter().filter_map(|(name, text)| Some((name, text.clone()?)));
        Stack {
            frames: [&alike.place, &alike.component].map(|name| Frame::Named(name.clone())).into(),
            labels: labels.collect(),
            values: vec![i64::try_from(crowd.tasks).unwrap_or(i64::MAX)],
        }
    };
    let profile = Profile {
        values: vec![TASKS],
        main: 0,
        by_kind: true,
        nothing: "[no tasks]",
        period: (TASKS, 1),
        duration: Duration::ZERO,
        stacks: groups.iter().map(stack).collect(),
        places: Places::default(),
    };
    let file =
        profile.pprof().map_err(|error| Problem::ProfileFailed.because(error.to_string()))?;
    Ok(answer("application/octet-stream", file))
}

fn counts(text: &mut String, groups: &[(Alike, Crowd)]) -> fmt::Result {
    let total: usize = groups.iter().map(|(_, crowd)| crowd.tasks).sum();
    writeln!(text, "goroutine profile: total {total}")?;
    for (Alike { place, component, kind, queue }, crowd) in groups {
        writeln!(text, "{} @ {component} {place}", crowd.tasks)?;
        if let (Some(kind), Some(queue)) = (kind, queue) {
            writeln!(text, "# labels: {{\"kind\":\"{kind}\", \"queue\":\"{queue}\"}}")?;
        }
        writeln!(text, "#\t{place}\tup to {:.1} s", crowd.oldest.as_secs_f64())?;
        writeln!(text, "#\t{component}\n")?;
    }
    Ok(())
}

/// As a Go program has it when it panics, at most as many as are ever listed.
fn stanzas(text: &mut String, picture: &Picture) -> fmt::Result {
    for (component, shown) in picture.tasks().take(super::LISTED_MAX) {
        stanza(text, &component.name, shown)?;
    }
    match picture.alive.unregistered() {
        0 => Ok(()),
        more => writeln!(text, "{more} tasks are {UNREGISTERED}"),
    }
}

fn stanza(text: &mut String, component: &str, shown: &Shown) -> fmt::Result {
    let (task, place) = (&shown.task, shown.place());
    write!(text, "goroutine {} [{place}", task.id())?;
    match shown.taken().as_secs() / 60 {
        0 => {}
        minutes => write!(text, ", {minutes} minutes")?,
    }
    writeln!(text, "]:\n{place}()\n\t{:.3} s", shown.taken().as_secs_f64())?;
    if let Some(job) = &shown.job {
        let attempt = job.attempt().map_or(0, |(number, _)| number);
        let (id, kind, queue) = (job.lease.job, &job.kind, &job.queue);
        writeln!(text, "{kind}(job={id}, queue={queue}, attempt={attempt})")?;
        writeln!(text, "\t{:.3} s", job.since.elapsed().as_secs_f64())?;
    }
    writeln!(text, "{component}({})\n\t{:.3} s\n", task.name(), task.since.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::{super::Component, *};
    use crate::supervise::{ExitPolicy, Supervisor, WaitPoint, at};

    #[tokio::test]
    async fn for_how_long_a_task_waits_is_told_in_minutes_as_go_does_and_of_alike_ones_the_longest()
    {
        let supervisor = Supervisor::default();
        supervisor
            .spawn("pulse", ExitPolicy::Restart, || at(WaitPoint::Sleep, std::future::pending()));
        tokio::task::yield_now().await;
        for (waits, said) in [(59, "[sleep]:"), (125, "[sleep, 2 minutes]:")] {
            let mut shown = Shown { task: supervisor.tasks().remove(0), job: None };
            shown.task.stay.as_mut().unwrap().taken = Duration::from_secs(waits);
            let components = vec![Component { name: "pulse".into(), tasks: vec![shown] }];
            let (mut text, of) = (String::new(), Picture { alive: supervisor.alive(), components });
            stanzas(&mut text, &of).and_then(|()| counts(&mut text, &groups(&of))).unwrap();
            assert!(text.contains(said) && text.contains(&format!("up to {waits}.0 s")), "{text}");
        }
    }
}
