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
    io::{self, BufWriter, IntoInnerError, Write},
    sync::Arc,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::mpsc::{self, error::SendTimeoutError},
    task::spawn_blocking,
    time::Instant,
};
use utoipa::IntoParams;

/// What is asked for where nobody says; as with Go.
pub(super) const SECONDS: u64 = 1;
/// Longest trace.
const SECONDS_MAX: u64 = 60;
/// A piece of a trace on its way to the client.
const CHUNK_BYTES: usize = 64 * 1024;
/// Pieces that may wait for it.
const CHUNKS_MAX: usize = 4;
/// How long one piece may. Until its end nobody else gets a trace.
const CHUNK_WAIT: Duration = Duration::from_secs(30);

/// What may be wrong with a trace that is asked for.
pub(in crate::admin) const OF_A_TRACE: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::TraceUnderWay,
    Problem::DaemonEnds,
];

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
        Ok(Self { seconds: query.number("seconds", SECONDS_MAX)? })
    }
}

/// An execution trace: polls, wake-ups, waits and the phases of jobs
#[utoipa::path(get, path = "/debug/trace", operation_id = "trace", tag = "debug", params(OfTrace),
    responses((status = 200, description = "It, in Chrome's format: the first 262,144 events. `otherData.lost_events` says how many came behind them, `lost_from_ms` from when on.", body = Object, content_type = "application/json",
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
    responses((status = 200, description = "It, in Chrome's format: the first 262,144 events. `otherData.lost_events` says how many came behind them, `lost_from_ms` from when on.", body = Object, content_type = "application/json",
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
    Ok(streamed(move |out| written(&taken, out), takes_gzip(headers)))
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

/// Has it written in pieces, as fast as the client takes them, elsewhere than on the task that every connection is
/// served by. What is written goes with the client; where the writer breaks off, the connection does, so that nobody takes
/// the half for the whole.
fn streamed(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
    gzip: bool,
) -> Response {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let runtime = Handle::current();
    let writing = spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(CHUNK_BYTES, Chunks { sender, runtime });
        // It fails once nobody takes the pieces any more.
        if gzip {
            let packed = GzEncoder::new(&mut out, Compression::fast());
            let mut packed = BufWriter::with_capacity(CHUNK_BYTES, packed);
            write(&mut packed)?;
            packed.into_inner().map_err(IntoInnerError::into_error)?.finish()?;
        } else {
            write(&mut out)?;
        }
        out.flush()
    });
    let pieces = stream::unfold((receiver, Some(writing)), async |(mut receiver, mut writing)| {
        if let Some(piece) = receiver.recv().await {
            return Some((Ok(piece), (receiver, writing)));
        }
        // That was the last piece, if it was all.
        let ended = writing.take()?.await.unwrap_or_else(|broke| Err(io::Error::other(broke)));
        ended.err().map(|error| (Err::<Bytes, io::Error>(error), (receiver, writing)))
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

/// Passes on what is written, and waits while nobody takes it, though not for ever.
struct Chunks {
    sender: mpsc::Sender<Bytes>,
    runtime: Handle,
}

impl Chunks {
    async fn pass_on(&self, piece: Bytes) -> io::Result<()> {
        let sent = self.sender.send_timeout(piece, CHUNK_WAIT).await;
        sent.map_err(|error| match error {
            SendTimeoutError::Closed(_) => io::ErrorKind::BrokenPipe.into(),
            SendTimeoutError::Timeout(_) => io::ErrorKind::TimedOut.into(),
        })
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        self.runtime.block_on(self.pass_on(piece)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use std::panic::resume_unwind;

    const LENGTH: usize = 10 * CHUNK_BYTES;

    /// Length of the body that comes, if it comes to its end.
    async fn length(
        write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
        gzip: bool,
    ) -> Option<usize> {
        let body = to_bytes(streamed(write, gzip).into_body(), usize::MAX).await;
        body.ok().map(|body| body.len())
    }

    /// Lets time pass.
    async fn forever() {
        loop {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_more_holds_a_trace_for_a_while_only() {
        let (done, ended) = tokio::sync::oneshot::channel();
        let write = |out: &mut dyn Write| {
            let piece = vec![b' '; CHUNK_BYTES];
            let mut written = (0..10).map(|_| out.write_all(&piece));
            let written = written.find(Result::is_err).unwrap_or(Ok(()));
            done.send(written.as_ref().err().map(io::Error::kind)).expect("somebody waits");
            written
        };
        tokio::time::pause();
        let response = streamed(write, false);
        // What blocks a thread keeps the clock from going on by itself.
        let ended = tokio::select! {
            ended = ended => ended,
            () = forever() => unreachable!("it has no end"),
        };
        assert_eq!(ended, Ok(Some(io::ErrorKind::TimedOut)));
        assert!(to_bytes(response.into_body(), usize::MAX).await.is_err(), "half isn't the whole");
    }

    /// The document says how long: neither less, nor more.
    #[tokio::test(start_paused = true)]
    async fn each_piece_waits_for_as_long_as_the_one_before_it_and_no_longer() {
        let (sender, mut receiver) = mpsc::channel(1);
        let chunks = Chunks { sender, runtime: Handle::current() };
        let piece = || Bytes::from_static(b" ");
        chunks.pass_on(piece()).await.expect("there is room");
        let takes = async {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_secs(29)).await;
                receiver.recv().await.expect("a piece");
            }
        };
        let passes = async {
            for _ in 0..20 {
                chunks.pass_on(piece()).await.expect("somebody takes one all the time");
            }
        };
        tokio::join!(passes, takes);
        let began = Instant::now();
        let stuck = chunks.pass_on(piece()).await.expect_err("nobody takes it");
        assert_eq!(
            (stuck.kind(), began.elapsed()),
            (io::ErrorKind::TimedOut, Duration::from_secs(30))
        );
    }

    #[tokio::test]
    async fn a_body_whose_writer_breaks_off_has_no_end() {
        let all = |out: &mut dyn Write| out.write_all(&vec![b' '; LENGTH]);
        assert_eq!(length(all, false).await, Some(LENGTH));
        assert!(length(all, true).await.is_some_and(|packed| (1..LENGTH).contains(&packed)));
        for gzip in [false, true] {
            let fails = move |out: &mut dyn Write| -> io::Result<()> {
                all(out)?;
                Err(io::Error::other("half of it"))
            };
            assert_eq!(length(fails, gzip).await, None, "{gzip}");
            let panics = move |out: &mut dyn Write| -> io::Result<()> {
                all(out)?;
                resume_unwind(Box::new("half of it"))
            };
            assert_eq!(length(panics, gzip).await, None, "{gzip}");
        }
    }
}
