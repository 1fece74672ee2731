//! Keeps what happens while somebody takes a trace, and nothing at any other time.
//!
//! Whoever might tell something looks at one flag first. Only when it is set a lock is taken, that of the thread's
//! shard, which hardly anybody else has: so there is nothing here that needs more than mutexes. Each shard has a
//! flag of its own under its lock; what comes late, after the trace was taken out of it, is forgotten.

use super::{Event, Phase, Subject, Trace};
use crate::{job::JobId, sys};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Relaxed, Release},
        },
    },
};
use tokio::time::Instant;

/// Most events of one trace: some 25 MB while it is taken. The first are kept, so that the trace is whole as far as
/// it goes; what comes later is counted.
pub const EVENTS_MAX: u64 = 1 << 18;
/// More than there are threads that poll, mostly: each then has a lock for itself.
const SHARDS: usize = 16;
/// Where no event was lost.
const NEVER: u64 = u64::MAX;

/// Records one trace at a time.
#[derive(Debug)]
pub struct Recorder {
    epoch: Instant,
    /// Whether anything is kept. It stands alone: who reads it late loses an event at the rim, or is turned away by
    /// the shard.
    is_on: AtomicBool,
    is_taken: AtomicBool,
    /// Events that asked for a place in this trace.
    asked: AtomicU64,
    /// When the first was lost.
    lost_from: AtomicU64,
    /// The number of the next wake-up.
    flows: AtomicU64,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    is_open: bool,
    threads: HashMap<u64, Thread>,
}

/// What happened on a thread, in the order in which it was over.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) name: String,
    pub(super) events: Vec<Event>,
}

impl Thread {
    fn this() -> Self {
        let name = std::thread::current().name().unwrap_or("unnamed").to_owned();
        Self { name, events: Vec::new() }
    }
}

/// Somebody else takes a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("somebody else takes an execution trace of this daemon at the moment")]
pub struct UnderWay;

/// A trace that is being taken; whoever drops it has none, and nothing is kept any more.
#[derive(Debug)]
pub struct Recording {
    turn: Turn,
    began: u64,
    since: Instant,
}

/// Whose turn it is, until the trace that was taken is gone: what is kept of one is kept of one at a time.
#[derive(Debug)]
pub(super) struct Turn(Arc<Recorder>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.stop();
        self.0.is_taken.store(false, Release);
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            is_on: AtomicBool::new(false),
            is_taken: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            lost_from: AtomicU64::new(NEVER),
            flows: AtomicU64::new(1),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Recorder {
    /// Begins a trace.
    pub fn start(self: &Arc<Self>) -> Result<Recording, UnderWay> {
        if self.is_taken.swap(true, AcqRel) {
            return Err(UnderWay);
        }
        self.asked.store(0, Relaxed);
        self.lost_from.store(NEVER, Relaxed);
        for shard in &self.shards {
            lock(shard).is_open = true;
        }
        let (turn, began, since) = (Turn(Arc::clone(self)), self.now(), Instant::now());
        self.is_on.store(true, Relaxed);
        Ok(Recording { turn, began, since })
    }

    /// Whether somebody takes a trace: the one look that everybody pays for.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    /// A job came to this phase; `outcome` says how, where there is more to say.
    pub fn phase(&self, phase: Phase, job: Subject, outcome: &'static str) {
        self.note(Event::Phase { job, phase, outcome, at: self.now() });
    }

    /// A task waits there from now on, for this process where it is one.
    pub fn place(&self, task: u64, place: Option<&'static str>, process: u32) {
        self.note(Event::Place { task, place, process, at: self.now() });
    }

    /// A task was started.
    pub fn started(&self, task: u64, name: &str) {
        self.note(Event::Started { task, name: name.into(), at: self.now() });
    }

    /// A task was polled from then until now, woken by that wake-up; it ran this job.
    pub fn polled(&self, task: u64, (flow, job): (u64, Option<JobId>), began: u64) {
        self.note(Event::Poll { task, job, flow, began, ended: self.now() });
    }

    /// An attempt was polled from then until now.
    pub fn attempt_polled(&self, job: Subject, began: u64) {
        self.note(Event::Attempt { job, began, ended: self.now() });
    }

    /// A task was woken, which took from then until now.
    pub(super) fn woke(&self, task: u64, flow: u64, began: u64) {
        self.note(Event::Wake { task, flow, began, ended: self.now() });
    }

    /// The number of a wake-up. 0 is none's.
    pub(super) fn flow(&self) -> u64 {
        self.flows.fetch_add(1, Relaxed)
    }

    /// Nanoseconds since the recorder was made.
    pub fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn note(&self, event: Event) {
        let thread = sys::thread_number();
        let place = usize::try_from(thread).unwrap_or(0) % SHARDS;
        let mut shard = lock(&self.shards[place]);
        if !shard.is_open {
            return;
        }
        if self.asked.fetch_add(1, Relaxed) >= EVENTS_MAX {
            self.lost_from.fetch_min(event.ended(), Relaxed);
            return;
        }
        shard.threads.entry(thread).or_insert_with(Thread::this).events.push(event);
    }

    /// Ends what goes on, and takes what was kept.
    fn stop(&self) -> Vec<(u64, Thread)> {
        self.is_on.store(false, Relaxed);
        let mut threads = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.is_open = false;
            threads.extend(std::mem::take(&mut shard.threads));
        }
        threads.sort_by_key(|(number, _)| *number);
        threads
    }
}

impl Recording {
    /// Since when.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Ends it.
    pub fn end(self) -> Trace {
        let recorder = &self.turn.0;
        let ended = recorder.now();
        let threads = recorder.stop();
        Trace {
            span: (self.began, ended),
            lost: recorder.asked.load(Relaxed).saturating_sub(EVENTS_MAX),
            lost_from: recorder.lost_from.load(Relaxed),
            threads,
            _turn: self.turn,
            tasks: Vec::new(),
            running: Vec::new(),
        }
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
