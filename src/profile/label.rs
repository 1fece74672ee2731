//! Whose work it is that a thread does: the kind and the queue of a job.

use crate::{
    job::{KindName, QueueName},
    sys::sampler,
};
use pin_project_lite::pin_project;
use std::{
    collections::HashMap,
    pin::Pin,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

/// Kinds and queues that have a label, for as long as the process lives: as many as were ever configured.
static LABELS: LazyLock<Mutex<Labels>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Labels {
    of: Vec<(KindName, QueueName)>,
    /// Where each stands. A daemon may have a quarter of a million, and asks for all of them at its start.
    places: HashMap<(KindName, QueueName), u32>,
}

/// A kind and a queue, as one number that a thread can carry. 0 is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(u32);

impl Label {
    /// That of the jobs of a kind in a queue.
    pub fn of(kind: &KindName, queue: &QueueName) -> Self {
        let Labels { of, places } = &mut *labels();
        let label = places.entry((kind.clone(), queue.clone())).or_insert_with_key(|new| {
            of.push(new.clone());
            u32::try_from(of.len()).unwrap_or(0)
        });
        Self(*label)
    }

    /// Whose work this thread does now.
    pub fn current() -> Self {
        let label = sampler::label(0);
        sampler::label(label);
        Self(label)
    }

    /// What is done in the future is theirs, its end included, whenever it is polled and on whatever thread.
    pub fn over<Work: Future>(self, work: Work) -> Labelled<Work> {
        Labelled { label: self, work: Some(work) }
    }

    /// The kind and the queue of a thread's label.
    pub(super) fn names(label: u32) -> Option<(String, String)> {
        let place = usize::try_from(label).ok()?.checked_sub(1)?;
        labels().of.get(place).map(|(kind, queue)| (kind.to_string(), queue.to_string()))
    }
}

pin_project! {
    /// See [`Label::over`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Labelled<Work> {
        label: Label,
        // There until it has ended.
        #[pin]
        work: Option<Work>,
    }

    impl<Work> PinnedDrop for Labelled<Work> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _theirs = Theirs(sampler::label(this.label.0));
            this.work.set(None);
        }
    }
}

impl<Work: Future> Future for Labelled<Work> {
    type Output = Work::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Work::Output> {
        let mut this = self.project();
        let _theirs = Theirs(sampler::label(this.label.0));
        let work = this.work.as_mut().as_pin_mut().expect("nobody polls what has ended");
        let done = work.poll(context);
        if done.is_ready() {
            this.work.set(None);
        }
        done
    }
}

/// Puts the label back that there was before, also when a handler panics.
struct Theirs(u32);

impl Drop for Theirs {
    fn drop(&mut self) {
        sampler::label(self.0);
    }
}

fn labels() -> MutexGuard<'static, Labels> {
    LABELS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::{
        panic::AssertUnwindSafe,
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering::Relaxed},
        },
    };

    fn label(kind: &str) -> Label {
        let kind = KindName::new(kind).expect("a name");
        Label::of(&kind, &QueueName::new("labelled").expect("a name"))
    }

    fn now() -> u32 {
        Label::current().0
    }

    #[test]
    fn a_kind_of_a_queue_has_one_label() {
        assert_eq!(label("one"), label("one"));
        assert_ne!(label("one"), label("other"));
        assert_eq!(Label::names(label("one").0), Some(("one".into(), "labelled".into())));
        assert_eq!(Label::names(0), None);
    }

    #[tokio::test]
    async fn a_label_is_there_while_its_work_is_polled_and_no_longer() {
        let (outer, inner) = (label("outer"), label("inner"));
        let nested = async {
            let within = inner.over(async { now() }).await;
            tokio::task::yield_now().await;
            (within, now())
        };
        assert_eq!(outer.over(nested).await, (inner.0, outer.0));
        assert_eq!(now(), 0);
        let broken = AssertUnwindSafe(outer.over(async { panic!("on purpose") }));
        assert!(broken.catch_unwind().await.is_err());
        assert_eq!(now(), 0);
    }

    /// Notes the label under which it is dropped.
    struct Last(Arc<AtomicU32>);

    impl Drop for Last {
        fn drop(&mut self) {
            self.0.store(now(), Relaxed);
        }
    }

    #[tokio::test]
    async fn what_the_end_of_the_work_takes_is_theirs_too() {
        let (label, last) = (label("ends"), Arc::new(AtomicU32::new(0)));
        let held = || Last(Arc::clone(&last));
        let (done, given_up) = (held(), held());
        label.over(async move { drop(done) }).await;
        assert_eq!(last.swap(0, Relaxed), label.0, "at its end");
        let mut work = Box::pin(label.over(async move {
            let _held = given_up;
            std::future::pending::<()>().await;
        }));
        assert!(work.as_mut().now_or_never().is_none());
        drop(work);
        assert_eq!(last.load(Relaxed), label.0, "and where it is given up");
        assert_eq!(now(), 0);
    }
}
