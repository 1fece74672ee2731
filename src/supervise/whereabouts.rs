//! Where a task waits and since when, as the task itself notes it.
//!
//! Noting costs two stores, and a read of a clock that lies in memory; no lock, no allocation. It is done
//! only by a future that isn't ready at once: who needn't wait pays a look at its own task. [`at`] speaks of
//! the task in which it is polled, through a task-local, so that a session that several tasks share notes
//! who waits without a handle. Outside of a supervised task it does nothing.
//!
//! A reader sees each value whole, and two of them perhaps from two moments: it is told where a task waits,
//! and decides nothing by it.

use super::{
    Registry, WaitPoint,
    recorded::{Polled, Track},
};
use crate::{job::JobId, sys::coarse_millis};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

tokio::task_local! {
    static HERE: Arc<Whereabouts>;
}

/// Longest error that is remembered, in bytes.
const ERROR_MAX_BYTES: usize = 512;

/// One task's notes.
#[derive(Debug)]
pub struct Whereabouts {
    /// The place and since when, see [`word`]: one value, so that both are of one moment.
    place: AtomicU64,
    /// What tells one such place from another: a process.
    detail: AtomicU64,
    /// When its last poll began, in coarse milliseconds, times two; one more as long as it goes on. 0 before
    /// the first.
    polled: AtomicU64,
    /// The job that it runs, 0 for none.
    job: AtomicI64,
    last_error: Mutex<Option<LastError>>,
    /// Who is told as well, while somebody takes a trace.
    pub(super) track: Track,
    /// Where its task is listed.
    pub(super) registry: Weak<Registry>,
}

/// Where somebody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay {
    /// For what.
    pub place: WaitPoint,
    /// For how long already.
    pub taken: Duration,
    /// The process that is waited for, where it is one.
    pub pid: Option<u32>,
}

/// What went wrong last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// In words.
    pub text: String,
    at: u64,
}

impl LastError {
    /// How long ago.
    pub fn ago(&self) -> Duration {
        since(self.at)
    }
}

/// Eight bits of place, the rest is since when.
fn word(place: WaitPoint, since: u64) -> u64 {
    (since << 8) | place as u64
}

fn since(millis: u64) -> Duration {
    Duration::from_millis(coarse_millis().saturating_sub(millis))
}

impl Default for Whereabouts {
    fn default() -> Self {
        Self::on(Track::default(), Weak::new())
    }
}

impl Whereabouts {
    pub(super) fn on(track: Track, registry: Weak<Registry>) -> Self {
        Self {
            place: AtomicU64::new(word(WaitPoint::Unnamed, coarse_millis())),
            detail: AtomicU64::new(0),
            polled: AtomicU64::new(0),
            job: AtomicI64::new(0),
            last_error: Mutex::default(),
            track,
            registry,
        }
    }

    /// Where it waits, if it has told.
    pub fn stay(&self) -> Option<Stay> {
        let word = self.place.load(Relaxed);
        let place = *WaitPoint::ALL.get(usize::try_from(word & 0xff).ok()?)?;
        let pid = u32::try_from(self.detail.load(Relaxed)).ok().filter(|pid| *pid != 0);
        let stay = Stay { place, taken: since(word >> 8), pid };
        (place != WaitPoint::Unnamed).then_some(stay)
    }

    /// How long ago its last poll began, and whether that goes on; nothing before the first.
    pub fn polled(&self) -> Option<(Duration, bool)> {
        let polled = self.polled.load(Relaxed);
        (polled != 0).then(|| (since(polled >> 1), polled & 1 == 1))
    }

    /// The job that it runs.
    pub fn job(&self) -> Option<JobId> {
        Some(JobId(self.job.load(Relaxed))).filter(|job| job.0 != 0)
    }

    /// It runs this job from now on, or none.
    pub fn runs(&self, job: Option<JobId>) {
        self.job.store(job.map_or(0, |job| job.0), Relaxed);
    }

    /// What went wrong last.
    pub fn last_error(&self) -> Option<LastError> {
        self.error().clone()
    }

    pub(super) fn failed(&self, text: &str) {
        let text = text[..text.floor_char_boundary(ERROR_MAX_BYTES)].to_owned();
        *self.error() = Some(LastError { text, at: coarse_millis() });
    }

    fn error(&self) -> MutexGuard<'_, Option<LastError>> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a task whose notes these are.
    pub(super) fn over<Life: Future>(
        self: &Arc<Self>,
        life: Life,
    ) -> impl Future<Output = Life::Output> + use<Life> {
        let life = HERE.scope(Arc::clone(self), life);
        Followed { of: Arc::clone(self), polled: Polled::default(), life }
    }
}

/// Looks at the notes of the task that calls this, where it is a supervised one.
pub(super) fn look<Seen>(see: impl FnOnce(&Arc<Whereabouts>) -> Seen) -> Option<Seen> {
    HERE.try_with(see).ok()
}

/// The notes of the task that calls this, where it is a supervised one.
pub fn here() -> Option<Arc<Whereabouts>> {
    HERE.try_with(Arc::clone).ok()
}

/// Something went wrong in the task that calls this, and it goes on: the last such is shown with it.
pub fn failed(error: &(dyn std::error::Error + 'static)) {
    HERE.try_with(|here| here.failed(&crate::telemetry::causes::told(error))).ok();
}

/// As long as `work` isn't done, the task that polls it waits at this place.
///
/// One inside another is the one that shows. Of two that are polled side by side the later shows, and for a
/// moment perhaps the wrong one: put one round both.
pub fn at<Work: Future>(place: WaitPoint, work: Work) -> At<Work> {
    at_process(place, 0, work)
}

/// The same where the wait is for a process.
pub fn at_process<Work: Future>(place: WaitPoint, pid: u32, work: Work) -> At<Work> {
    At { place, pid, before: None, is_noted: false, work: Some(work) }
}

pin_project! {
    /// See [`at`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct At<Work> {
        place: WaitPoint,
        pid: u32,
        // What was noted when it was first polled.
        before: Option<(u64, u64)>,
        // Whether that has been replaced.
        is_noted: bool,
        // There until it is dropped.
        #[pin]
        work: Option<Work>,
    }

    impl<Work> PinnedDrop for At<Work> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // First what waits further in, or it would put back what is left here.
            this.work.set(None);
            leave(*this.before, this.is_noted);
        }
    }
}

impl<Work: Future> Future for At<Work> {
    type Output = Work::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Work::Output> {
        let this = self.project();
        let work = this.work.as_pin_mut().expect("it is there until it is dropped");
        if this.before.is_none() {
            let noted =
                |here: &Arc<Whereabouts>| (here.place.load(Relaxed), here.detail.load(Relaxed));
            *this.before = HERE.try_with(noted).ok();
        }
        let done = work.poll(context);
        match (&done, *this.before) {
            (Poll::Ready(_), before) => leave(before, this.is_noted),
            (Poll::Pending, Some(before)) if !*this.is_noted => {
                *this.is_noted = enter(*this.place, *this.pid, before);
            }
            (Poll::Pending, _) => {}
        }
        done
    }
}

/// Notes a place, unless somebody further in has noted his.
fn enter(place: WaitPoint, pid: u32, before: (u64, u64)) -> bool {
    let note = |here: &Arc<Whereabouts>| {
        // Nobody else writes these: the task is here.
        let is_free = here.place.load(Relaxed) == before.0;
        if is_free {
            here.detail.store(pid.into(), Relaxed);
            here.place.store(word(place, coarse_millis()), Relaxed);
            here.track.waits(place, pid);
        }
        is_free
    };
    HERE.try_with(note).unwrap_or(false)
}

/// Puts back what stood there, where it was replaced.
fn leave(before: Option<(u64, u64)>, is_noted: &mut bool) {
    if let (true, Some((place, detail))) = (std::mem::take(is_noted), before) {
        let restore = |here: &Arc<Whereabouts>| {
            here.place.store(place, Relaxed);
            here.detail.store(detail, Relaxed);
            if here.track.is_on() {
                let stay = here.stay();
                let process = stay.and_then(|stay| stay.pid).unwrap_or(0);
                here.track.waits(stay.map_or(WaitPoint::Unnamed, |stay| stay.place), process);
            }
        };
        HERE.try_with(restore).ok();
    }
}

pin_project! {
    /// Notes when it is polled.
    struct Followed<Life> {
        of: Arc<Whereabouts>,
        polled: Polled,
        #[pin]
        life: Life,
    }
}

impl<Life: Future> Future for Followed<Life> {
    type Output = Life::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Life::Output> {
        let this = self.project();
        let began = coarse_millis() << 1;
        this.of.polled.store(began | 1, Relaxed);
        let life = this.life;
        let done = this.polled.by(this.of, context, |context| life.poll(context));
        this.of.polled.store(began, Relaxed);
        done
    }
}

#[cfg(test)]
mod tests;
