//! What the daemon knows of itself, each part as the route says it that shows it alone.

use super::{super::trace, archive::PART_MAX_BYTES};
use crate::{
    admin::{api::daemon, routes::AdminState, tasks},
    profile::{
        cpu,
        heap::{self, HeapError, View},
    },
    sys::heap::unsampled,
    telemetry::{causes, logs::Recent},
};
use flate2::{Compression, write::GzEncoder};
use std::{
    io::{self, BufWriter, Write},
    time::Duration,
};
use tokio::{task::spawn_blocking, time::timeout};

/// How much longer than it lasts a profile may take: its functions are looked up.
const FINISH_WITHIN: Duration = Duration::from_secs(20);
/// Bytes of a trace that are packed at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// A file of the bundle.
#[derive(Debug)]
pub(super) struct Part {
    /// What it is called, below the bundle's folder.
    pub(super) file: &'static str,
    /// What it is, and what opens it.
    pub(super) about: &'static str,
    pub(super) content: Content,
}

/// What is in it, or why it isn't there.
pub(super) type Content = Result<Vec<u8>, String>;

/// What is known at once.
pub(super) fn at_once(state: &AdminState) -> Vec<Part> {
    let config = daemon::holding(state).map_err(|problem| problem.detail().into_owned());
    let config = config
        .and_then(|config| serde_json::to_vec_pretty(&config).map_err(|error| error.to_string()));
    vec![
        Part {
            file: "config.json",
            about: "The configuration that holds, each value with where it comes from; secrets are blotted out.",
            content: config,
        },
        Part {
            file: "metrics.txt",
            about: "The metrics when the bundle was asked for, in Prometheus' text format.",
            content: Ok(state.metrics.render().into_bytes()),
        },
        Part {
            file: "tasks.txt",
            about: "Each task and running job: where it waits, and since when.",
            content: Ok(tasks::in_text(state).into_bytes()),
        },
        Part {
            file: "tasks.json",
            about: "The same for programs.",
            content: Ok(tasks::in_json(state)),
        },
    ]
}

/// What takes its time, of the same seconds; then what is kept in memory, so that its taking isn't in the CPU profile.
pub(super) async fn lasting(state: &AdminState, length: Duration) -> Vec<Part> {
    let limit = length + FINISH_WITHIN;
    let (cpu, trace) =
        tokio::join!(within(limit, cpu(length)), within(limit, traced(state, length)));
    let heap = within(FINISH_WITHIN, heap()).await;
    vec![
        Part {
            file: "cpu.pb.gz",
            about: "Where the CPU's time went, by function, kind and queue: go tool pprof -http :8080 cpu.pb.gz",
            content: cpu,
        },
        Part {
            file: "heap.pb.gz",
            about: "What is kept in memory, by who asked for it: go tool pprof -top heap.pb.gz",
            content: heap,
        },
        Part {
            file: "trace.json.gz",
            about: "What happened when, in the same seconds: open it, packed as it is, in https://ui.perfetto.dev",
            content: trace,
        },
    ]
}

/// What was logged last.
pub(super) fn logs(state: &AdminState) -> Part {
    let recent = state.controls.recent.as_ref();
    let is_json = recent.is_none_or(Recent::is_json);
    let content = recent.map(Recent::lines);
    Part {
        file: if is_json { "logs.jsonl" } else { "logs.txt" },
        about: "The last lines of the log, 256 KiB at most, until the end of the profile.",
        content: content
            .ok_or_else(|| "the program that the daemon is a part of has a log of its own".into()),
    }
}

/// Gives it up after a while.
async fn within(limit: Duration, part: impl Future<Output = Content>) -> Content {
    let content = timeout(limit, part).await;
    content.unwrap_or_else(|_| Err(format!("it took more than {} s", limit.as_secs())))
}

async fn cpu(length: Duration) -> Content {
    let taken = cpu::take(length, cpu::HERTZ).await.map_err(|error| causes::told(&error))?;
    aside(move || taken.pprof()).await
}

async fn heap() -> Content {
    let taken = heap::take(View::Kept, None).await.map_err(|error| match error {
        HeapError::Inactive => {
            format!("{error}: POST /debug/pprof/heap/activate switches that on, for a later bundle")
        }
        error => causes::told(&error),
    })?;
    aside(move || taken.pprof()).await
}

async fn traced(state: &AdminState, length: Duration) -> Content {
    let taken = trace::take(state, length).await;
    let taken = taken.map_err(|_| "somebody else took an execution trace".to_owned())?;
    aside(move || {
        let packed = GzEncoder::new(Bounded::default(), Compression::fast());
        let mut out = BufWriter::with_capacity(CHUNK_BYTES, packed);
        trace::written(&taken, &mut out)?;
        let packed = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(packed.finish()?.0)
    })
    .await
}

/// Elsewhere than on the task that every connection is served by.
async fn aside(work: impl FnOnce() -> io::Result<Vec<u8>> + Send + 'static) -> Content {
    let done =
        spawn_blocking(|| unsampled(work)).await.map_err(|_| "the writing broke off".to_owned())?;
    done.map_err(|error| format!("it couldn't be written: {error}"))
}

/// Takes as much as a part may have.
#[derive(Debug, Default)]
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > PART_MAX_BYTES {
            return Err(io::Error::other("it is longer than there is room for"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_ends_at_the_room_that_there_is() {
        let mut room = Bounded::default();
        room.write_all(&vec![0; PART_MAX_BYTES]).expect("it is for that");
        assert!(room.write(&[0]).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_given_up() {
        let never = within(Duration::from_secs(20), std::future::pending()).await;
        assert_eq!(never, Err("it took more than 20 s".to_owned()));
    }
}
