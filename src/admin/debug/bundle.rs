//! `/debug/bundle`: what a report of a fault is to have with it, in one archive.
//!
//! Each part is made by what shows it alone elsewhere, so that nothing is shown here that isn't there, and what is
//! blotted out there is here too. Each has a limit on its time and its bytes. One that can't be had is named, with the
//! reason, and costs the others nothing: a daemon that has lost its database is just what a bundle is asked of.

mod archive;
mod database;
mod parts;

use super::super::{
    api::query::{Asked, Parameters, Query},
    problem::{Problem, Refusal},
    routes::AdminState,
};
use archive::{Subject, packed};
use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::{sync::Semaphore, task::spawn_blocking};
use utoipa::IntoParams;

/// How long is profiled where nobody says.
const SECONDS: u64 = 10;
/// How long at most: as long as a trace.
const SECONDS_MAX: u64 = 60;

/// One is taken at a time: the process has one profiler, and memory for one.
static TURN: Semaphore = Semaphore::const_new(1);

/// What may be wrong with a bundle that is asked for.
pub(in crate::admin) const OF_A_BUNDLE: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::ProfileUnderWay,
    Problem::ProfileFailed,
    Problem::DaemonEnds,
];

/// What somebody asks for.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct OfBundle {
    /// How long the CPU profile and the trace in it last.
    #[param(minimum = 1, maximum = 60, default = 10, example = 5)]
    seconds: Option<u64>,
}

impl Parameters for OfBundle {
    fn read(query: &Query) -> Result<Self, Refusal> {
        Ok(Self { seconds: query.number("seconds", SECONDS_MAX)? })
    }
}

/// All that a report of a fault is to have with it
///
/// A `.tar.gz` with profiles, a trace, tasks, metrics, the configuration without its secrets, the last lines of the log,
/// and what the database shows of Legwork. Legwork puts no payload into it; errors are in it as handlers tell them. What
/// can't be had is named in its `README.txt` and `manifest.json`, with the reason.
#[utoipa::path(get, path = "/debug/bundle", operation_id = "bundle", tag = "debug", params(OfBundle),
    responses((status = 200, description = "It.", body = String, content_type = "application/gzip",
        example = "a gzipped tar")))]
pub(in crate::admin) async fn bundle(
    State(state): State<AdminState>,
    Asked(asked): Asked<OfBundle>,
) -> Result<Response, Refusal> {
    let Ok(turn) = TURN.try_acquire() else {
        return Err(Problem::ProfileUnderWay
            .because("somebody else takes a bundle of this process at the moment"));
    };
    let seconds = asked.seconds.unwrap_or(SECONDS);
    let (at, uptime_seconds) = (OffsetDateTime::now_utc(), uptime(&state).as_secs());
    let mut parts = parts::at_once(&state);
    let length = Duration::from_secs(seconds);
    let (lasting, (of_database, postgres)) =
        tokio::join!(parts::lasting(&state, length), database::parts(&state));
    parts.extend(lasting);
    parts.push(parts::logs(&state));
    parts.extend(of_database);
    let daemon = state.controls.name.clone();
    let subject = Subject { daemon, at, uptime_seconds, seconds, postgres };
    let name = subject.folder();
    let packing = spawn_blocking(move || {
        let packed = packed(&subject, parts);
        // Not before: whoever comes next mustn't need as much memory once more.
        drop(turn);
        packed
    });
    let packed = packing.await.map_err(|_| Problem::ProfileFailed)?;
    let packed = packed.map_err(|error| {
        Problem::ProfileFailed.because(format!("the bundle couldn't be packed: {error}"))
    })?;
    Ok(attached(&name, packed))
}

fn attached(name: &str, packed: Vec<u8>) -> Response {
    let about = [
        (header::CONTENT_TYPE, "application/gzip"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut response = (about, packed).into_response();
    let disposition = format!("attachment; filename=\"{name}.tar.gz\"");
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

/// Since its oldest task began, which is as old as the daemon but for milliseconds.
fn uptime(state: &AdminState) -> Duration {
    let tasks = state.supervisor.tasks();
    tasks.iter().map(|task| task.since.elapsed()).max().unwrap_or_default()
}
