//! The tree for programs. Its fields are described in `openapi` and docs/tasks.md.

use super::{Component, Picture, Shown, left, seconds};
use crate::{supervise::ExitPolicy, worker::RunningJob};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Tree<'p> {
    tokio: Tokio,
    components: Vec<OfComponent<'p>>,
}

/// The leak signal.
#[derive(Serialize)]
struct Tokio {
    alive: usize,
    registered: usize,
    unregistered: usize,
}

#[derive(Serialize)]
struct OfComponent<'p> {
    name: &'p str,
    tasks: usize,
    restarts: u32,
    waits: BTreeMap<&'static str, OfCrowd>,
    listed: Vec<OfTask<'p>>,
}

#[derive(Serialize)]
struct OfCrowd {
    tasks: usize,
    oldest_seconds: f64,
}

#[derive(Serialize)]
struct OfTask<'p> {
    id: u64,
    name: &'p str,
    policy: &'static str,
    age_seconds: f64,
    state: &'static str,
    restarts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_run_seconds_ago: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits: Option<OfStay>,
    #[serde(skip_serializing_if = "Option::is_none")]
    late_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<OfError<'p>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<OfJob<'p>>,
}

#[derive(Serialize)]
struct OfStay {
    at: &'static str,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
}

#[derive(Serialize)]
struct OfError<'p> {
    text: &'p str,
    seconds_ago: f64,
}

#[derive(Serialize)]
struct OfJob<'p> {
    id: i64,
    kind: &'p str,
    queue: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u16>,
    age_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_left: Option<f64>,
    stopping: bool,
}

pub(super) fn of(picture: &Picture, limit: usize) -> Vec<u8> {
    let alive = picture.alive;
    let tokio = Tokio {
        alive: alive.tokio,
        registered: alive.registered,
        unregistered: alive.unregistered(),
    };
    let components = picture.components.iter().map(|of| component(of, limit)).collect();
    serde_json::to_vec(&Tree { tokio, components }).expect("plain values have a form in JSON")
}

fn component(of: &Component, limit: usize) -> OfComponent<'_> {
    let crowds = of.crowds().into_iter().map(|(place, crowd)| {
        (place, OfCrowd { tasks: crowd.tasks, oldest_seconds: seconds(crowd.oldest) })
    });
    OfComponent {
        name: &of.name,
        tasks: of.tasks.len(),
        restarts: of.restarts(),
        waits: crowds.collect(),
        listed: of.tasks.iter().take(limit).map(task).collect(),
    }
}

fn task(Shown { task, job }: &Shown) -> OfTask<'_> {
    OfTask {
        id: task.id(),
        name: task.name(),
        policy: task.policy().map_or("thread", ExitPolicy::as_str),
        age_seconds: seconds(task.since.elapsed()),
        state: task.state.as_str(),
        restarts: task.restarts,
        last_run_seconds_ago: task.last_run.map(seconds),
        waits: task.stay.map(|stay| OfStay {
            at: stay.place.as_str(),
            seconds: seconds(stay.taken),
            pid: stay.pid,
        }),
        late_seconds: task.late.map(seconds),
        last_error: task
            .last_error
            .as_ref()
            .map(|error| OfError { text: &error.text, seconds_ago: seconds(error.ago()) }),
        job: job.as_deref().map(of_job),
    }
}

fn of_job(job: &RunningJob) -> OfJob<'_> {
    let attempt = job.attempt();
    OfJob {
        id: job.lease.job.0,
        kind: job.kind.as_str(),
        queue: job.queue.as_str(),
        attempt: attempt.map(|(number, _)| number),
        age_seconds: seconds(job.since.elapsed()),
        seconds_left: attempt.map(|(_, deadline)| left(deadline)),
        stopping: job.token.is_cancelled(),
    }
}
