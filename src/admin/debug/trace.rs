//! `/debug/trace`, and the same where Go's programs have theirs: an execution trace for Perfetto.

use super::super::{
    api::query::{Asked, Parameters, Query},
    problem::{Problem, Refusal},
    routes::AdminState,
};
use crate::{
    telemetry::build,
    trace::{Subject, Trace, UnderWay},
    worker::Running,
};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use futures::stream;
use serde_json::json;
use std::{
    io::{self, BufWriter, Write},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::mpsc, task::spawn_blocking, time::Instant};
use utoipa::IntoParams;

/// What is asked for where nobody says; as with Go.
pub(super) const SECONDS: u64 = 1;
/// Longest trace.
const SECONDS_MAX: u64 = 60;
/// A piece of a trace on its way to the client.
const CHUNK_BYTES: usize = 64 * 1024;
/// Pieces that may wait for it.
const CHUNKS_MAX: usize = 4;

/// What may be wrong with a trace that is asked for.
pub(in crate::admin) const OF_A_TRACE: &[Problem] =
    &[Problem::UnknownParameter, Problem::InvalidParameter, Problem::TraceUnderWay];

/// What somebody asks for.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct OfTrace {
    /// How long.
    #[param(minimum = 1, maximum = 60, default = 1, example = 5)]
    seconds: Option<u64>,
}

impl Parameters for OfTrace {
    fn read(query: &Query) -> Result<Self, Refusal> {
        let seconds = query.with("seconds", |text| {
            let seconds = text.parse().ok().filter(|seconds| (1..=SECONDS_MAX).contains(seconds));
            seconds.ok_or_else(|| format!("it has to be 1 to {SECONDS_MAX}"))
        })?;
        Ok(Self { seconds })
    }
}

/// An execution trace: polls, wake-ups, waits and the phases of jobs
#[utoipa::path(get, path = "/debug/trace", operation_id = "trace", tag = "debug", params(OfTrace),
    responses((status = 200, description = "It, in Chrome's format.", body = Object, content_type = "application/json",
        example = json!({ "displayTimeUnit": "ms", "otherData": { "lost_events": 0 }, "traceEvents": [] }))))]
pub(in crate::admin) async fn trace(
    state: State<AdminState>,
    headers: HeaderMap,
    asked: Asked<OfTrace>,
) -> Result<Response, Refusal> {
    answered(state, &headers, asked).await
}

/// The same where Go's programs have theirs
#[utoipa::path(get, path = "/debug/pprof/trace", operation_id = "pprof_trace", tag = "debug", params(OfTrace),
    responses((status = 200, description = "It, in Chrome's format.", body = Object, content_type = "application/json",
        example = json!({ "displayTimeUnit": "ms", "otherData": { "lost_events": 0 }, "traceEvents": [] }))))]
pub(in crate::admin) async fn pprof_trace(
    state: State<AdminState>,
    headers: HeaderMap,
    asked: Asked<OfTrace>,
) -> Result<Response, Refusal> {
    answered(state, &headers, asked).await
}

async fn answered(
    State(state): State<AdminState>,
    headers: &HeaderMap,
    Asked(asked): Asked<OfTrace>,
) -> Result<Response, Refusal> {
    let length = Duration::from_secs(asked.seconds.unwrap_or(SECONDS));
    let taken = take(&state, length).await.map_err(|_| Problem::TraceUnderWay)?;
    Ok(streamed(taken, takes_gzip(headers)))
}

/// Takes one for so long. Dropped before, it is over.
pub(super) async fn take(state: &AdminState, length: Duration) -> Result<Trace, UnderWay> {
    state.supervisor.record(length, || running(&state.attempts)).await
}

/// The jobs whose handlers run, and since when.
fn running(attempts: &Arc<Running>) -> Vec<(Instant, Subject)> {
    let subject = |job: Arc<crate::worker::RunningJob>| {
        let attempt = job.attempt().map_or(0, |(number, _)| number);
        let (kind, queue) = (Some(job.kind.clone()), job.queue.clone());
        let subject = Subject { job: job.lease.job, token: job.lease.token, attempt, kind, queue };
        (job.since, subject)
    };
    attempts.list().into_iter().map(subject).collect()
}

/// Writes a trace down.
pub(super) fn written(trace: &Trace, out: impl Write) -> io::Result<()> {
    let about =
        json!({ "version": build::VERSION, "commit": build::COMMIT, "pid": std::process::id() });
    trace.write(out, about)
}

/// Whether the client unpacks what is packed.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let is_gzip = |coding: &str| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(weight.trim(), "q=0" | "q=0.0")
    };
    accepted.is_some_and(|accepted| accepted.split(',').any(is_gzip))
}

/// Writes it in pieces, as fast as the client takes them, elsewhere than on the task that every connection is
/// served by. The trace goes with the client.
fn streamed(trace: Trace, gzip: bool) -> Response {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let writing = move || {
        let out = BufWriter::with_capacity(CHUNK_BYTES, Chunks(sender));
        // It fails once nobody takes the pieces any more.
        if gzip {
            let packed = GzEncoder::new(out, Compression::fast());
            written(&trace, BufWriter::with_capacity(CHUNK_BYTES, packed)).ok();
        } else {
            written(&trace, out).ok();
        }
    };
    drop(spawn_blocking(writing));
    let pieces = stream::unfold(receiver, async |mut receiver| {
        let piece = receiver.recv().await?;
        Some((Ok::<Bytes, io::Error>(piece), receiver))
    });
    let about = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"trace.json\""),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept-Encoding"),
    ];
    let mut response = (about, Body::from_stream(pieces)).into_response();
    if gzip {
        let packed = HeaderValue::from_static("gzip");
        response.headers_mut().insert(header::CONTENT_ENCODING, packed);
    }
    response
}

/// Passes on what is written, and waits while nobody takes it.
struct Chunks(mpsc::Sender<Bytes>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Bytes::copy_from_slice(bytes));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
