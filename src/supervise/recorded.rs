//! What the tasks tell the recorder while somebody takes an execution trace: their polls, who woke them and where
//! they wait. At any other time all of it is a look at one flag.

use super::{Supervisor, WaitPoint, Whereabouts, whereabouts::look};
use crate::{
    job::ClaimedJob,
    trace::{Known, Recorder, Recording, Subject, Trace, UnderWay, Woken},
};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Under which number a task is recorded, and by whom.
#[derive(Debug, Default)]
pub(super) struct Track {
    recorder: Arc<Recorder>,
    task: u64,
}

impl Track {
    /// That of a task that is started now.
    pub(super) fn of(recorder: &Arc<Recorder>, task: u64, name: &str) -> Self {
        if recorder.is_on() {
            recorder.started(task, name);
        }
        Self { recorder: Arc::clone(recorder), task }
    }

    pub(super) fn is_on(&self) -> bool {
        self.recorder.is_on()
    }

    /// The task waits there from now on.
    pub(super) fn waits(&self, place: WaitPoint, process: u32) {
        if self.is_on() {
            let place = (place != WaitPoint::Unnamed).then(|| place.as_str());
            self.recorder.place(self.task, place, process);
        }
    }
}

/// Polls a task, and sees what wakes it.
#[derive(Debug, Default)]
pub(super) struct Polled(Option<Woken>);

impl Polled {
    pub(super) fn by<Output>(
        &mut self,
        of: &Whereabouts,
        context: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Output,
    ) -> Output {
        let Track { recorder, task } = &of.track;
        if !recorder.is_on() {
            self.0 = None;
            return poll(context);
        }
        let own = context.waker();
        let woken = match self.0.take().filter(|woken| woken.is_round(own)) {
            Some(known) => self.0.insert(known),
            None => self.0.insert(Woken::of(recorder, *task, own)),
        };
        let (flow, began) = (woken.taken(), recorder.now());
        let done = poll(&mut Context::from_waker(woken.waker()));
        recorder.polled(*task, (flow, of.job()), began);
        done
    }
}

/// Whether somebody takes a trace of the task that calls this.
pub fn is_traced() -> bool {
    look(|here| here.track.is_on()).unwrap_or(false)
}

/// Tells the recorder, where somebody takes a trace of the task that calls this.
pub fn traced(tell: impl FnOnce(&Recorder)) {
    look(|here| {
        if here.track.is_on() {
            tell(&here.track.recorder);
        }
    });
}

/// Whatever is polled of `work` is polled for this job, which a trace shows.
pub fn polled_for<Work: Future>(job: &ClaimedJob, work: Work) -> PolledFor<'_, Work> {
    PolledFor { job, work }
}

pin_project! {
    /// See [`polled_for`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct PolledFor<'j, Work> {
        job: &'j ClaimedJob,
        #[pin]
        work: Work,
    }
}

impl<Work: Future> Future for PolledFor<'_, Work> {
    type Output = Work::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Work::Output> {
        let this = self.project();
        if !is_traced() {
            return this.work.poll(context);
        }
        let mut began = 0;
        traced(|trace| began = trace.now());
        let done = this.work.poll(context);
        traced(|trace| trace.attempt_polled(Subject::from(*this.job), began));
        done
    }
}

impl Supervisor {
    /// Takes a trace for so long; of the jobs that `running` tells, those since earlier run when it begins. Dropped
    /// before its end, nothing is recorded any more.
    pub async fn record(
        &self,
        length: Duration,
        running: impl FnOnce() -> Vec<(Instant, Subject)>,
    ) -> Result<Trace, UnderWay> {
        let recording: Recording = self.registry.recorder.start()?;
        let (tasks, running) = (self.known(), running());
        let since = recording.since();
        let running = running.into_iter().filter(|(began, _)| *began < since);
        let running = running.map(|(_, job)| job).collect();
        sleep(length).await;
        Ok(recording.end().of(tasks, running))
    }

    fn known(&self) -> Vec<Known> {
        let known = |task: &super::TaskInfo| Known {
            task: task.id(),
            name: task.name().into(),
            place: task.stay.map(|stay| stay.place.as_str()),
            process: task.stay.and_then(|stay| stay.pid).unwrap_or(0),
            waited_ms: task.stay.map_or(0, |stay| millis(stay.taken)),
        };
        self.tasks().iter().map(known).collect()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
