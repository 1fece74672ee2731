//! Passes jobs to whichever worker is free, with one wake-up on its way at a time.
//!
//! A batch of 500 jobs that complete at once costs one wake-up, not 500: whoever takes a job and
//! sees more waiting summons one further worker, and only once the one summoned before has
//! arrived. Handlers that wait still bring the pool to its full width, one step at a time. No
//! runtime is needed, so loom can try every order of events (`make loom`); ADR 0011 has the
//! alternatives and their costs.

#[cfg(legwork_loom)]
use loom::sync::{Mutex, MutexGuard};
#[cfg(not(legwork_loom))]
use std::sync::{Mutex, MutexGuard};
use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::PoisonError,
    task::{Context, Poll, Waker},
};

/// What whoever put in or took out a job has to do for the next worker to come.
#[must_use = "a worker that should start has to be started, or jobs lie with nobody to take them"]
#[derive(Debug, PartialEq, Eq)]
pub enum Summons {
    /// Nothing: nobody is needed, or somebody is on the way.
    Nobody,
    /// Nothing: one that slept was woken just now.
    Woken,
    /// Start one more worker; it counts as on the way.
    StartWorker,
}

/// Who and what is there at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Workers that were started and haven't ended.
    pub workers: usize,
    /// Those of them that wait for a job.
    pub idle: usize,
    /// Jobs that wait for a worker.
    pub jobs: usize,
}

/// The hand-off of one queue. Invariant: no job lies inside while a worker could take it and none
/// is on the way.
#[derive(Debug)]
pub struct Handoff<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    jobs: VecDeque<T>,
    /// Asleep, the latest last: it is woken first, since its caches are warm.
    sleepers: Vec<(u64, Waker)>,
    /// A worker was summoned and hasn't looked yet.
    on_the_way: bool,
    workers: u32,
    most_workers: u32,
    next_ticket: u64,
    closed: bool,
}

impl<T> State<T> {
    /// Chooses who comes for the jobs that lie here.
    fn summon(&mut self) -> (Summons, Option<Waker>) {
        if self.jobs.is_empty() || self.on_the_way {
            return (Summons::Nobody, None);
        }
        if let Some((_, waker)) = self.sleepers.pop() {
            self.on_the_way = true;
            return (Summons::Woken, Some(waker));
        }
        if self.workers < self.most_workers {
            self.workers += 1;
            self.on_the_way = true;
            return (Summons::StartWorker, None);
        }
        (Summons::Nobody, None)
    }
}

impl<T> Handoff<T> {
    /// An empty one for at most `most_workers` workers.
    pub fn new(most_workers: u32) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            sleepers: Vec::new(),
            on_the_way: false,
            workers: 0,
            most_workers,
            next_ticket: 0,
            closed: false,
        };
        Self { state: Mutex::new(state) }
    }

    /// Puts jobs in. Each must hold a slot, which is what bounds this.
    pub fn put(&self, jobs: impl IntoIterator<Item = T>) -> Summons {
        let mut state = self.lock();
        state.jobs.extend(jobs);
        Self::finish(state)
    }

    /// Takes the next job; `None` once it is closed and empty, or there is no job and there are too many
    /// workers: then the worker has to end. One that was started by a summons says so at its first take.
    pub fn take(&self, summoned: bool) -> Take<'_, T> {
        Take { handoff: self, ticket: None, summoned }
    }

    /// From now on there are so many workers at most. Those that are too many end once there is no job for
    /// them: what bounds the jobs that run is their slots.
    pub fn resize(&self, most_workers: u32) -> Summons {
        let mut state = self.lock();
        state.most_workers = most_workers;
        let too_many = state.workers.saturating_sub(most_workers) as usize;
        // They stay on the list, so that none takes this for a summons. Who has slept longest goes.
        let woken = state.sleepers.iter().take(too_many).map(|(_, waker)| waker.clone());
        let woken: Vec<_> = woken.collect();
        let summons = Self::finish(state);
        woken.into_iter().for_each(Waker::wake);
        summons
    }

    /// Who and what is there now.
    pub fn census(&self) -> Census {
        let state = self.lock();
        let workers = state.workers as usize;
        Census { workers, idle: state.sleepers.len(), jobs: state.jobs.len() }
    }

    /// Takes everything out, to be released.
    pub fn drain(&self) -> Vec<T> {
        self.lock().jobs.drain(..).collect()
    }

    /// Nothing more will come: workers end once it is empty.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let sleepers = std::mem::take(&mut state.sleepers);
        drop(state);
        for (_, waker) in sleepers {
            waker.wake();
        }
    }

    /// Summons whoever is needed, outside the lock.
    fn finish(mut state: MutexGuard<'_, State<T>>) -> Summons {
        let (summons, waker) = state.summon();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        summons
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker's wait for its next job.
#[derive(Debug)]
pub struct Take<'a, T> {
    handoff: &'a Handoff<T>,
    /// Under which it sleeps, if it does.
    ticket: Option<u64>,
    /// Whether it is the one on the way.
    summoned: bool,
}

impl<T> Take<'_, T> {
    /// Learns whether it was woken: a sleeper that is off the list was summoned (or all were, by
    /// closing).
    fn arrive(&mut self, state: &mut State<T>) {
        if let Some(ticket) = self.ticket.take() {
            let asleep = state.sleepers.iter().position(|(id, _)| *id == ticket);
            match asleep {
                Some(place) => drop(state.sleepers.swap_remove(place)),
                None => self.summoned |= !state.closed,
            }
        }
        if std::mem::take(&mut self.summoned) {
            state.on_the_way = false;
        }
    }
}

impl<T> Future for Take<'_, T> {
    type Output = Option<(T, Summons)>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let handoff = self.handoff;
        let mut state = handoff.lock();
        self.arrive(&mut state);
        if let Some(job) = state.jobs.pop_front() {
            return Poll::Ready(Some((job, Handoff::finish(state))));
        }
        if state.closed || state.workers > state.most_workers {
            state.workers -= 1;
            return Poll::Ready(None);
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.sleepers.push((ticket, context.waker().clone()));
        self.ticket = Some(ticket);
        Poll::Pending
    }
}

impl<T> Drop for Take<'_, T> {
    /// A worker that goes away while it waits mustn't take a summons with it.
    fn drop(&mut self) {
        if self.ticket.is_none() && !self.summoned {
            return;
        }
        let handoff = self.handoff;
        let mut state = handoff.lock();
        self.arrive(&mut state);
        // Only a sleeper can be summoned from here; a new worker can't be started by a drop, and
        // none is needed: the workers that are awake look again before they sleep.
        if Handoff::finish(state) == Summons::StartWorker {
            let mut state = handoff.lock();
            state.workers -= 1;
            state.on_the_way = false;
        }
    }
}

#[cfg(test)]
mod tests;
