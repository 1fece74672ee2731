//! A CPU profile: on what each thread spent its time, for so many seconds.

use super::{
    Frame, Label, Profile, Stack, ValueType, aside,
    modules::{self, Module},
    symbols,
    unwind::Unwinder,
};
use crate::sys::sampler::{self, Refused, Sample, Sampler};
use std::{
    collections::{BTreeSet, HashMap},
    fs, io, thread,
    time::Duration,
};
use tokio::{
    sync::{Semaphore, oneshot},
    time::Instant,
};

/// What is asked for where nobody says.
pub const SECONDS: u64 = 30;
/// Longest profile.
pub const SECONDS_MAX: u64 = 120;
/// Samples for each second of CPU time, where nobody says: as often as the kernel's clock can serve, and no multiple
/// of anything that the daemon does.
pub const HERTZ: u32 = 99;
/// Most of them that a profile over the port has: one costs 3 % of a busy daemon's CPU at most, and at twice this that
/// doesn't hold any more (ADR 0024).
pub const HERTZ_MAX: u32 = 100;

const SAMPLES: ValueType = ValueType { name: "samples", unit: "count" };
const CPU: ValueType = ValueType { name: "cpu", unit: "nanoseconds" };

/// One is taken at a time, until it is named: stacks and symbols are as much memory as samples are.
static TURN: Semaphore = Semaphore::const_new(1);

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// No sampling.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No thread that could take it.
    #[error("the system gives no thread for it")]
    Thread(#[source] io::Error),
    /// Nothing says whose code is where.
    #[error("the code of this process can't be listed")]
    Unmapped(#[source] io::Error),
    /// It broke.
    #[error("the profiler broke off")]
    Broke,
}

/// Takes a profile of the whole process. It ends early where nobody waits for it any more.
pub async fn take(length: Duration, hertz: u32) -> Result<Profile, ProfileError> {
    keeping(move |is_unwanted| record(length, hertz, is_unwanted)).await?
}

/// Does it on a thread of its own, which is told whether anybody still waits for it, and keeps the turn until it is done, also
/// where nobody does.
pub(super) async fn keeping<T: Send + 'static>(
    work: impl FnOnce(&dyn Fn() -> bool) -> T + Send + 'static,
) -> Result<T, ProfileError> {
    let turn = TURN.try_acquire().map_err(|_| Refused::Busy)?;
    let (answer, answered) = oneshot::channel();
    let taking = move || {
        let done = aside(|| work(&|| answer.is_closed()));
        // Before the answer: whoever has it may ask again.
        drop(turn);
        // Nobody waits for it any more.
        answer.send(done).ok();
    };
    thread::Builder::new().name("profiler".into()).spawn(taking).map_err(ProfileError::Thread)?;
    answered.await.map_err(|_| ProfileError::Broke)
}

fn record(
    length: Duration,
    hertz: u32,
    is_unwanted: &dyn Fn() -> bool,
) -> Result<Profile, ProfileError> {
    sampler::register();
    let period = Duration::from_secs(1) / hertz;
    let modules = modules::loaded().map_err(ProfileError::Unmapped)?;
    let mut recording = Recording::new(period, &modules);
    let mut sampler = Sampler::start(period)?;
    let began = Instant::now();
    while began.elapsed() < length && !is_unwanted() {
        thread::sleep(sampler.every().min(length.saturating_sub(began.elapsed())));
        sampler.collect(|sample, cpu| recording.add(sample, cpu))?;
    }
    let duration = began.elapsed();
    drop(sampler);
    if is_unwanted() {
        return Err(ProfileError::Broke);
    }
    Ok(recording.into_profile(modules, duration))
}

/// Stacks as they come.
struct Recording {
    period: Duration,
    unwinder: Unwinder,
    threads: Threads,
    stacks: HashMap<Key, (i64, Duration)>,
}

/// Samples of one stack are counted together.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    frames: Vec<u64>,
    label: u32,
    thread: String,
}

impl Recording {
    fn new(period: Duration, modules: &[Module]) -> Self {
        let (threads, stacks) = (Threads::default(), HashMap::new());
        Self { period, unwinder: Unwinder::of(modules), threads, stacks }
    }

    fn add(&mut self, sample: &Sample, cpu: Duration) {
        // Its first sample has none before it.
        let thread = self.threads.named(sample.thread, cpu.is_zero(), name);
        let key = Key { frames: self.unwinder.frames(sample), label: sample.label, thread };
        // The first stands for a period.
        let cpu = if cpu.is_zero() { self.period } else { cpu };
        let (count, time) = self.stacks.entry(key).or_default();
        *count += 1;
        *time += cpu;
    }

    fn into_profile(self, modules: Vec<Module>, duration: Duration) -> Profile {
        let addresses: BTreeSet<u64> =
            self.stacks.keys().flat_map(|key| key.frames.iter().copied()).collect();
        let nanoseconds = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let stack = |(key, (count, time)): (Key, (i64, Duration))| {
            let mut labels = vec![("thread", key.thread)];
            if let Some((kind, queue)) = Label::names(key.label) {
                labels.extend([("kind", kind), ("queue", queue)]);
            }
            let frames = key.frames.into_iter().map(Frame::Code).collect();
            Stack { frames, labels, values: vec![count, nanoseconds(time)] }
        };
        Profile {
            values: vec![SAMPLES, CPU],
            main: 1,
            by_kind: true,
            nothing: "[nothing ran]",
            period: (CPU, nanoseconds(self.period)),
            duration,
            stacks: self.stacks.into_iter().map(stack).collect(),
            places: symbols::look_up(modules, &addresses),
        }
    }
}

/// What threads are called, by their numbers.
#[derive(Debug, Default)]
struct Threads(HashMap<i32, String>);

impl Threads {
    /// A name that can't be read, as while the process has no descriptor left, is asked for again. A thread's first sample is that
    /// of a new one: another had its number before, maybe.
    fn named(
        &mut self,
        thread: i32,
        is_first: bool,
        name: impl FnOnce(i32) -> io::Result<String>,
    ) -> String {
        if let Some(known) = self.0.get(&thread).filter(|_| !is_first) {
            return known.clone();
        }
        let Ok(name) = name(thread) else {
            self.0.remove(&thread);
            return String::new();
        };
        self.0.insert(thread, name.clone());
        name
    }
}

/// A thread's name, as the kernel has it.
fn name(thread: i32) -> io::Result<String> {
    let name = fs::read_to_string(format!("/proc/self/task/{thread}/comm"))?;
    Ok(name.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn a_name_that_cant_be_read_is_asked_for_again_and_a_new_threads_anew() {
        let mut threads = Threads::default();
        let mut named = |is_first, name: Result<&str, Errno>| {
            threads.named(7, is_first, |_| Ok(name.map_err(io::Error::from)?.to_owned()))
        };
        assert_eq!(named(true, Err(Errno::EMFILE)), "");
        assert_eq!(named(false, Ok("worker")), "worker");
        assert_eq!(named(false, Err(Errno::EMFILE)), "worker");
        assert_eq!(named(true, Ok("another")), "another");
        assert_eq!(named(true, Err(Errno::EMFILE)), "", "nobody knows whose number it is now");
    }
}
