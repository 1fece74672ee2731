//! An execution trace: what ran on which thread, what woke it, where it waited, and how far each job was.
//!
//! Whoever polls a task, notes where it waits or brings a job further tells the [`Recorder`], which forgets it unless
//! somebody takes a trace: then it is kept, so many events and no more, and written down as Chrome's trace events,
//! which Perfetto reads (`chrome`). It starts no task and has no clock of its own beside the one that tests can pause.

mod chrome;
mod event;
mod jobs;
mod recorder;
mod tasks;
mod waker;

pub(crate) use chrome::PROCESSES;
pub use event::{Phase, Subject};
pub use recorder::{EVENTS_MAX, Recorder, Recording, UnderWay};
pub use tasks::Known;
pub use waker::Woken;

use event::Event;
use recorder::Thread;

/// What was recorded.
#[derive(Debug)]
pub struct Trace {
    /// From when to when, in the recorder's nanoseconds.
    span: (u64, u64),
    /// Events that found no place, and when the first of them was.
    lost: u64,
    lost_from: u64,
    threads: Vec<(u64, Thread)>,
    /// The tasks that were there.
    tasks: Vec<Known>,
    /// The jobs whose handlers ran when it began.
    running: Vec<Subject>,
    /// Nobody else takes one while this is kept.
    _turn: recorder::Turn,
}

impl Trace {
    /// Until when it can be said what went on: its end, or the first event that found no place.
    fn seen_until(&self) -> u64 {
        self.span.1.min(self.lost_from)
    }

    /// With the tasks whose names are known, and the jobs whose handlers ran when it began.
    #[must_use]
    pub fn of(self, tasks: Vec<Known>, running: Vec<Subject>) -> Self {
        Self { tasks, running, ..self }
    }

    fn events(&self) -> impl Iterator<Item = &Event> {
        self.threads.iter().flat_map(|(_, thread)| &thread.events)
    }

    /// Whether it is of this trace: what was over before is told late by one who saw the trace before it.
    fn shows(&self, event: &Event) -> bool {
        event.ended() >= self.span.0
    }

    /// A moment of the recorder in microseconds from the beginning of the trace, and not beyond its end. In eighths of
    /// one, which a double has exactly: so an inner slice never ends a rounding error after its outer one.
    #[expect(clippy::cast_precision_loss, reason = "a minute is far below 2^52 eighths")]
    fn micros(&self, at: u64) -> f64 {
        let (began, ended) = self.span;
        (at.clamp(began, ended).saturating_sub(began) / 125) as f64 / 8.0
    }
}

#[cfg(test)]
mod tests;
