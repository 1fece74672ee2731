//! Sees who wakes a task, while a trace is taken: a waker round the task's own.
//!
//! One is made at a task's first poll in a trace and kept for the others. Whoever holds it beyond the trace wakes
//! the task all the same.

use super::Recorder;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Wake, Waker},
};

/// A task's own waker, and the one round it.
#[derive(Debug)]
pub struct Woken {
    own: Waker,
    seen: Arc<Seen>,
    waker: Waker,
}

#[derive(Debug)]
struct Seen {
    own: Waker,
    task: u64,
    recorder: Arc<Recorder>,
    /// The wake-up that no poll has followed yet, 0 where there is none. It stands alone.
    flow: AtomicU64,
}

impl Woken {
    /// That of a task.
    pub fn of(recorder: &Arc<Recorder>, task: u64, own: &Waker) -> Self {
        let recorder = Arc::clone(recorder);
        let seen = Arc::new(Seen { own: own.clone(), task, recorder, flow: AtomicU64::new(0) });
        Self { own: own.clone(), waker: Arc::clone(&seen).into(), seen }
    }

    /// Whether it is round this one.
    pub fn is_round(&self, own: &Waker) -> bool {
        self.own.will_wake(own)
    }

    /// What the task is polled with.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// The wake-up that led to the poll that now begins; 0 where nobody saw one.
    pub fn taken(&self) -> u64 {
        self.seen.flow.swap(0, Relaxed)
    }
}

impl Wake for Seen {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // One that was woken already is only woken again.
        if !self.recorder.is_on() || self.flow.load(Relaxed) != 0 {
            return self.own.wake_by_ref();
        }
        let (flow, began) = (self.recorder.flow(), self.recorder.now());
        // Before the task can be polled by it.
        self.flow.store(flow, Relaxed);
        self.own.wake_by_ref();
        self.recorder.woke(self.task, flow, began);
    }
}
