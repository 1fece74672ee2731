//! `/debug/pprof/heap` and `allocs`: what is kept in memory, what was allocated, and what some time added.

use super::{
    super::{
        access::Actor,
        api::query::{Asked, Nothing, Parameters, Query},
        problem::{Problem, Refusal},
        routes::AdminState,
    },
    pprof::{Format, TEXT, asked_at, level, written},
};
use crate::{
    config::HeapProfiling,
    profile::heap::{self, HeapError, View},
    sys::heap::{Refused, unsampled},
    telemetry::events,
};
use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use std::{error::Error, time::Duration};
use tokio::task::spawn_blocking;
use utoipa::IntoParams;

/// What may be wrong with a profile that is asked for.
pub(in crate::admin) const OF_A_HEAP_PROFILE: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::HeapInactive,
    Problem::ProfileUnderWay,
    Problem::NoProfiles,
    Problem::ProfileFailed,
    Problem::DaemonEnds,
];

/// What may be wrong with switching it.
pub(in crate::admin) const OF_ITS_SWITCH: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::HeapInactive,
    Problem::NoProfiles,
    Problem::ProfileFailed,
];

/// What somebody asks for.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct HeapProfile {
    /// What so many seconds added and took away; else all since the sampling began.
    #[param(minimum = 1, maximum = 120, example = 5)]
    seconds: Option<u64>,
    /// How it is written down; `pprof` where nothing is said.
    #[param(inline, example = "svg")]
    format: Option<Format>,
    /// 1 or 2: as text, for people.
    #[param(minimum = 0, maximum = 2, default = 0, example = 1)]
    debug: Option<u8>,
    /// Taken as Go's programs take it, and of no effect: there is no garbage to collect first.
    #[param(example = "1")]
    #[expect(dead_code, reason = "it is taken, and changes nothing")]
    gc: Option<String>,
}

impl Parameters for HeapProfile {
    fn read(query: &Query) -> Result<Self, Refusal> {
        let asked = Self {
            seconds: query.number("seconds", heap::SECONDS_MAX)?,
            format: query.parsed("format")?,
            debug: query.with("debug", level)?,
            gc: query.text("gc").map(str::to_owned),
        };
        let rest = asked.seconds.is_some() || asked.format.is_some();
        if asked.is_text() && rest {
            let why = "debug: it doesn't go with seconds or format";
            return Err(Problem::InvalidParameter.because(why).about("debug", None));
        }
        Ok(asked)
    }
}

impl HeapProfile {
    fn is_text(&self) -> bool {
        self.debug.is_some_and(|level| level > 0)
    }
}

/// What is kept in memory, by who allocated it
#[utoipa::path(get, path = "/debug/pprof/heap", operation_id = "pprof_heap", tag = "debug", params(HeapProfile),
    responses((status = 200, description = "It.", content(
        (String = "application/octet-stream", example = "gzipped protobuf"),
        (String = "image/svg+xml", example = "<svg></svg>"),
        (String = "text/plain", example = "main;keep 67108864"),
        (Object = "application/json", example = json!({ "profiles": [] }))))))]
pub(in crate::admin) async fn heap(
    State(state): State<AdminState>,
    headers: HeaderMap,
    Asked(asked): Asked<HeapProfile>,
) -> Result<Response, Refusal> {
    taken(&state, &headers, &asked, ("heap", View::Kept)).await
}

/// What was allocated since the sampling began, freed since or not
#[utoipa::path(get, path = "/debug/pprof/allocs", operation_id = "pprof_allocs", tag = "debug", params(HeapProfile),
    responses((status = 200, description = "It.", content(
        (String = "application/octet-stream", example = "gzipped protobuf"),
        (String = "image/svg+xml", example = "<svg></svg>"),
        (String = "text/plain", example = "main;keep 67108864"),
        (Object = "application/json", example = json!({ "profiles": [] }))))))]
pub(in crate::admin) async fn allocs(
    State(state): State<AdminState>,
    headers: HeaderMap,
    Asked(asked): Asked<HeapProfile>,
) -> Result<Response, Refusal> {
    taken(&state, &headers, &asked, ("allocs", View::Allocated)).await
}

async fn taken(
    state: &AdminState,
    headers: &HeaderMap,
    asked: &HeapProfile,
    (name, view): (&'static str, View),
) -> Result<Response, Refusal> {
    let over = asked.seconds.map(Duration::from_secs);
    let taken = heap::take(view, over).await;
    let taken = taken.map_err(|error| refusal(&error, state, headers))?;
    if asked.is_text() {
        let text = spawn_blocking(move || unsampled(|| taken.heap_text())).await;
        return Ok(text_of(text.map_err(|_| Problem::ProfileFailed)?));
    }
    let name = if over.is_some() { format!("{name}-delta") } else { name.to_owned() };
    let format = asked.format.unwrap_or_default();
    let written = spawn_blocking(move || unsampled(|| written(&taken, &name, format))).await;
    let written = written.map_err(|_| Problem::ProfileFailed)?;
    written.map_err(|error| {
        Problem::ProfileFailed.because(format!("the profile couldn't be written: {error}"))
    })
}

/// Sample allocations from now on
#[utoipa::path(post, path = "/debug/pprof/heap/activate", operation_id = "pprof_heap_activate", tag = "debug",
    request_body(content = Option<String>, content_type = "text/plain", example = ""),
    responses((status = 200, description = "They are.", body = String, content_type = "text/plain",
        example = "heap profiling is active\n")))]
pub(in crate::admin) async fn activate(
    State(state): State<AdminState>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Response, Refusal> {
    if state.configured.borrow().heap == HeapProfiling::Off {
        // First, whether it could be at all.
        heap::is_active().map_err(|error| refusal(&error.into(), &state, &headers))?;
        return Err(Problem::HeapInactive.because(SWITCHED_OFF));
    }
    switched(heap::activate, &state, &headers).await?;
    note(&actor, true);
    Ok(text_of(
        "heap profiling is active: /debug/pprof/heap shows what is allocated from now on\n".into(),
    ))
}

/// Sample allocations no longer, and forget what was sampled
#[utoipa::path(post, path = "/debug/pprof/heap/deactivate", operation_id = "pprof_heap_deactivate", tag = "debug",
    request_body(content = Option<String>, content_type = "text/plain", example = ""),
    responses((status = 200, description = "They aren't.", body = String, content_type = "text/plain",
        example = "heap profiling is armed\n")))]
pub(in crate::admin) async fn deactivate(
    State(state): State<AdminState>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Response, Refusal> {
    switched(heap::deactivate, &state, &headers).await?;
    note(&actor, false);
    Ok(text_of("heap profiling is armed: nothing is sampled, and what was is forgotten\n".into()))
}

/// Elsewhere than on the task that every connection is served by: jemalloc lets nobody in while it writes a profile.
async fn switched(
    switch: fn() -> Result<(), Refused>,
    state: &AdminState,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    let switched = spawn_blocking(switch).await.map_err(|_| Problem::ProfileFailed)?;
    switched.map_err(|error| refusal(&error.into(), state, headers))
}

/// In the log and not in the audit, which lies in the database: memory is looked at when that may be away.
fn note(Actor(actor): &Actor, active: bool) {
    tracing::info!(
        event = events::HEAP_SWITCHED,
        actor,
        heap.active = active,
        "Heap profiling was switched {}",
        if active { "on" } else { "off" }
    );
}

const SWITCHED_OFF: &str = "profiling.heap is \"off\": set it to \"armed\" or \"on\" and have the configuration \
    read again (HUP); nothing is restarted";

fn text_of(text: String) -> Response {
    ([(header::CONTENT_TYPE, TEXT), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], text)
        .into_response()
}

fn refusal(error: &HeapError, state: &AdminState, headers: &HeaderMap) -> Refusal {
    let problem = match error {
        HeapError::Inactive if state.configured.borrow().heap == HeapProfiling::Off => {
            return Problem::HeapInactive.because(SWITCHED_OFF);
        }
        HeapError::Inactive => {
            return Problem::HeapInactive.because(how_to_activate(state, headers));
        }
        HeapError::Busy => Problem::ProfileUnderWay,
        HeapError::Forgotten => return Problem::ProfileUnderWay.because(error.to_string()),
        HeapError::Refused(Refused::Elsewhere | Refused::Unarmed) => Problem::NoProfiles,
        HeapError::Refused(Refused::System(_) | Refused::File(_) | Refused::Unwritten)
        | HeapError::Dump(_)
        | HeapError::Unmapped(_)
        | HeapError::Broke(_) => Problem::ProfileFailed,
    };
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    problem.because(format!("{error}{cause}"))
}

/// The command, as it can be typed by whoever asked.
fn how_to_activate(state: &AdminState, headers: &HeaderMap) -> String {
    let host = asked_at(headers);
    let (file, token) = if state.access.needs_token() {
        (" --token-file FILE", " -H \"Authorization: Bearer $TOKEN\"")
    } else {
        ("", "")
    };
    format!(
        "heap profiling isn't active: switch it on, and ask again once the daemon has worked for a while:\n\n    \
         legwork profile heap --activate --url http://{host}{file}\n\nor, where that isn't at hand:\n\n    \
         curl -X POST{token} http://{host}/debug/pprof/heap/activate\n"
    )
}
