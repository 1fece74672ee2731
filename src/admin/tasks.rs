//! `/debug/tasks` and `/debug/pprof/goroutine`: what every task and running job waits for, and since when.
//!
//! A picture is put together from copies of two lists, each taken in a moment; what the tasks note of
//! themselves is read while they go on. So neighbouring lines may be of neighbouring moments, and nobody
//! waits for whoever looks. How much is listed is bounded, what is counted isn't. Payloads never appear.

mod goroutine;
mod json;
mod shape;
mod text;

pub(super) use goroutine::{__path_goroutine, goroutine};

use super::{
    api::query::{Asked, Parameters, Query},
    problem::Refusal,
    routes::AdminState,
};
use crate::{
    supervise::{Alive, TaskInfo},
    worker::RunningJob,
};
use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use std::{
    collections::{BTreeMap, HashMap},
    str::FromStr,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

/// Tasks of one component that are listed unless somebody asks for more or fewer: those with the oldest jobs
/// first, then the oldest.
const LISTED: usize = 1000;
/// Most that anybody gets, a few megabytes.
const LISTED_MAX: usize = 10_000;

pub(super) const PLAIN: &str = "text/plain; charset=utf-8";

/// What runs.
struct Picture {
    alive: Alive,
    /// The one with the oldest task first.
    components: Vec<Component>,
}

/// Tasks that do the same.
struct Component {
    name: String,
    /// Whoever has a job first, the oldest job first; then the oldest.
    tasks: Vec<Shown>,
}

/// One task, with what it runs.
struct Shown {
    task: TaskInfo,
    job: Option<Arc<RunningJob>>,
}

/// How many wait where, and for how long the longest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Crowd {
    tasks: usize,
    oldest: Duration,
}

impl Picture {
    fn of(state: &AdminState) -> Self {
        let jobs = state.attempts.list();
        let mut jobs: HashMap<_, _> = jobs.into_iter().map(|job| (job.lease.job, job)).collect();
        let mut components: Vec<Component> = Vec::new();
        let mut known = HashMap::new();
        for task in state.supervisor.tasks() {
            let at = *known.entry(task.component().to_owned()).or_insert_with(|| {
                let name = task.component().to_owned();
                components.push(Component { name, tasks: Vec::new() });
                components.len() - 1
            });
            let job = task.job.and_then(|job| jobs.remove(&job));
            components[at].tasks.push(Shown { task, job });
        }
        for component in &mut components {
            component.tasks.sort_by_key(|shown| {
                let job = shown.job.as_ref().map(|job| job.since);
                (job.is_none(), job.unwrap_or(shown.task.since), shown.task.id())
            });
        }
        Self { alive: state.supervisor.alive(), components }
    }

    fn tasks(&self) -> impl Iterator<Item = (&Component, &Shown)> {
        self.components.iter().flat_map(|of| of.tasks.iter().map(move |shown| (of, shown)))
    }
}

impl Component {
    /// How many wait where.
    fn crowds(&self) -> BTreeMap<&'static str, Crowd> {
        let mut crowds = BTreeMap::<_, Crowd>::new();
        for shown in &self.tasks {
            let crowd = crowds.entry(shown.place()).or_default();
            crowd.tasks += 1;
            crowd.oldest = crowd.oldest.max(shown.taken());
        }
        crowds
    }

    fn restarts(&self) -> u32 {
        self.tasks.iter().map(|shown| shown.task.restarts).sum()
    }
}

impl Shown {
    /// Where it waits; where it hasn't told, what it does.
    fn place(&self) -> &'static str {
        let state = self.task.state.as_str();
        self.task.stay.map_or(state, |stay| stay.place.as_str())
    }

    /// For how long it has been there.
    fn taken(&self) -> Duration {
        let polled = || self.task.last_run.unwrap_or_else(|| self.task.since.elapsed());
        self.task.stay.map_or_else(polled, |stay| stay.taken)
    }
}

/// In seconds, to the millisecond.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}

/// How much time is left until then; below 0 what has passed since.
fn left(until: Instant) -> f64 {
    let now = Instant::now();
    match until.checked_duration_since(now) {
        Some(left) => seconds(left),
        None => -seconds(now - until),
    }
}

/// In which form the tree comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
enum Form {
    /// For programs.
    Json,
    /// For people.
    Text,
}

impl FromStr for Form {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("it has to be json or text"),
        }
    }
}

/// What of the tree is asked for.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfTasks {
    /// The form; without it what Accept asks for, else JSON.
    #[param(inline, example = "text")]
    format: Option<Form>,
    /// Most tasks that are listed of each component; counts are of all.
    #[param(minimum = 0, maximum = 10_000, default = 1000, example = 100)]
    limit: Option<usize>,
}

impl Parameters for OfTasks {
    fn read(query: &Query) -> Result<Self, Refusal> {
        let limit = query.with("limit", |text| {
            let limit = text.parse().ok().filter(|limit| *limit <= LISTED_MAX);
            limit.ok_or_else(|| format!("it has to be 0 to {LISTED_MAX}"))
        })?;
        Ok(Self { format: query.parsed("format")?, limit })
    }
}

impl OfTasks {
    fn wants_text(&self, headers: &HeaderMap) -> bool {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let accepts_text = accept.is_some_and(|accept| {
            accept.contains("text/plain") && !accept.contains("application/json")
        });
        self.format.map_or(accepts_text, |form| form == Form::Text)
    }
}

/// What each task and running job waits for
#[utoipa::path(get, path = "/debug/tasks", operation_id = "tasks", tag = "debug", params(OfTasks),
    responses((status = 200, description = "The tree.", content(
        (inline(shape::Tree) = "application/json", example = json!({ "tokio": { "alive": 0, "registered": 0, "unregistered": 0 }, "components": [] })),
        (String = "text/plain", example = "worker 2\n")))))]
pub(super) async fn tasks(
    State(state): State<AdminState>,
    headers: HeaderMap,
    Asked(asked): Asked<OfTasks>,
) -> Response {
    let limit = asked.limit.unwrap_or(LISTED);
    let picture = Picture::of(&state);
    if asked.wants_text(&headers) {
        answer(PLAIN, text::of(&picture, limit))
    } else {
        answer("application/json", json::of(&picture, limit))
    }
}

/// The tree for people, for who shows it elsewhere.
pub(super) fn in_text(state: &AdminState) -> String {
    text::of(&Picture::of(state), LISTED)
}

/// The tree for programs.
pub(super) fn in_json(state: &AdminState) -> Vec<u8> {
    json::of(&Picture::of(state), LISTED)
}

fn answer(kind: &'static str, body: impl Into<axum::body::Body>) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")];
    (headers, body.into()).into_response()
}
