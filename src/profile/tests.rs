//! Profiles of this very process, whose threads do known things.

mod falls;
#[cfg(target_os = "linux")]
mod replaced;

use super::{Frame, Label, Profile, Stack, cpu};
use crate::{
    job::{KindName, QueueName},
    sys::sampler,
};
use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

/// There is one sampler in a process.
static TURN: Mutex<()> = Mutex::const_new(());

/// Twice what the port gives: more samples in as short a time.
const HERTZ: u32 = 200;

/// In the name of what every worker's thread runs, however names are mangled.
const ROOT: &str = "Workers";

/// Threads that work until they are dropped, each of them under its name.
struct Workers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    fn start(names: &[&str], work: impl Fn() + Send + Clone + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = names.iter().map(|name| {
            let (stop, work) = (Arc::clone(&stop), work.clone());
            let run = move || {
                sampler::register();
                while !stop.load(Ordering::Relaxed) {
                    work();
                }
            };
            thread::Builder::new().name((*name).to_owned()).spawn(run).expect("a thread")
        });
        let threads = threads.collect();
        Self { stop, threads }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    }
}

/// The turn, and a profile that is taken meanwhile.
async fn taken(millis: u64) -> (MutexGuard<'static, ()>, Profile) {
    let turn = TURN.lock().await;
    (turn, take(Duration::from_millis(millis)).await)
}

/// A profile, once the sampler's own test lets go of it.
async fn take(length: Duration) -> Profile {
    loop {
        match cpu::take(length, HERTZ).await {
            Err(cpu::ProfileError::Refused(sampler::Refused::Busy)) => {
                tokio::task::yield_now().await;
            }
            taken => return taken.expect("a profile"),
        }
    }
}

fn has_label(stack: &Stack, name: &str, text: &str) -> bool {
    stack.labels.iter().any(|(label, found)| *label == name && found == text)
}

/// CPU time of these stacks.
fn cpu_of<'a>(stacks: impl Iterator<Item = &'a Stack>) -> f64 {
    let nanoseconds: i64 = stacks.map(|stack| stack.values[1]).sum();
    Duration::from_nanos(nanoseconds.unsigned_abs()).as_secs_f64()
}

#[inline(never)]
fn outer_work(room: &mut [u64]) {
    inner_work(room);
    black_box(&room);
}

#[inline(never)]
fn inner_work(room: &mut [u64]) {
    // In libc, which keeps no frame pointers.
    let (from, to) = room.split_at_mut(room.len() / 2);
    for _ in 0..64 {
        to.copy_from_slice(black_box(from));
    }
}

#[tokio::test]
async fn what_runs_in_libc_is_seen_with_all_that_called_it() {
    let work = || {
        let mut room = vec![1; 1 << 14];
        (0..50).for_each(|_| outer_work(&mut room));
    };
    let workers = Workers::start(&["copies"], work);
    let place =
        |names: &[&str], function: &str| names.iter().position(|name| name.contains(function));
    let is_whole = |names: &[&str]| {
        let [root, outer, inner] =
            [ROOT, "tests::outer_work", "tests::inner_work"].map(|function| place(names, function));
        root.is_some() && root < outer && outer < inner
    };
    let in_libc = |names: &[&str]| {
        let innermost = names.last().copied().unwrap_or_default();
        innermost.contains("mem") || innermost.contains("libc")
    };
    let _turn = TURN.lock().await;
    let (mut whole, mut copying, mut all) = (0.0, 0.0, 0.0);
    let mut folded = String::new();
    let began = Instant::now();
    while all < LEAST_CPU {
        assert!(began.elapsed() < PATIENCE, "{all} s of it seen: {folded}");
        let profile = take(Duration::from_millis(600)).await;
        let own = || profile.stacks.iter().filter(|stack| has_label(stack, "thread", "copies"));
        let of = |is: &dyn Fn(&[&str]) -> bool| cpu_of(own().filter(|it| is(&profile.names(it))));
        whole += of(&is_whole);
        copying += of(&in_libc);
        all += cpu_of(own());
        folded += &profile.folded();
    }
    workers.stop();
    assert!(whole / all > 0.9, "{whole} of {all}: {folded}");
    assert!(copying / all > 0.5, "{copying} of {all}: {folded}");
}

/// Seconds of CPU, twenty samples or so, of what has the fewest. A busy machine leaves a thread few samples a second, and of
/// few a ratio says nothing.
const LEAST_CPU: f64 = 0.2;
/// How long it may take to see that much, on the busiest machine.
const PATIENCE: Duration = Duration::from_mins(2);

#[tokio::test]
async fn cpu_time_is_told_apart_by_kind() {
    let label = |kind: &str| {
        let queue = QueueName::new("told").expect("a name");
        Label::of(&KindName::new(kind).expect("a name"), &queue)
    };
    let (much, little) = (label("much"), label("little"));
    let spin = |rounds: u32| async move {
        for _ in 0..rounds {
            black_box((0..2000_u64).fold(0, u64::wrapping_add));
        }
    };
    let workers = Workers::start(&["labelled"], move || {
        futures::executor::block_on(async {
            much.over(spin(4)).await;
            little.over(spin(1)).await;
        });
    });
    let turn = TURN.lock().await;
    let (mut more, mut less) = (0.0, 0.0);
    let began = Instant::now();
    while less < LEAST_CPU {
        assert!(began.elapsed() < PATIENCE, "{less} s of it seen, and {more}");
        let profile = take(Duration::from_secs(1)).await;
        let own = |kind| profile.stacks.iter().filter(move |stack| has_label(stack, "kind", kind));
        more += cpu_of(own("much"));
        less += cpu_of(own("little"));
        assert!(more < 10.0 * LEAST_CPU, "{more} and {less}: {}", profile.folded());
    }
    drop(turn);
    workers.stop();
    assert!((2.0..8.0).contains(&(more / less)), "{more} and {less}");
}

#[tokio::test]
async fn threads_that_allocate_unwind_and_start_others_are_interrupted_anywhere() {
    let workers = Workers::start(&["storm", "storm", "storm"], || {
        for size in 1..64 {
            drop(black_box(vec![1_u8; size * 97]));
        }
        falls::falls_and_is_caught();
        // Seldom: it takes a hundred times as long as all the rest.
        if fastrand::u8(..64) == 0 {
            falls::falls_aloud_and_is_caught();
        }
        let other = thread::spawn(|| drop(black_box(vec![1; 1 << 12])));
        other.join().expect("no panic");
    });
    let began = Instant::now();
    let (mut seen, mut enough) = ((0.0, 0.0), 0);
    while enough < 2 || began.elapsed() < soak() {
        // A turn for each profile: where this goes on for minutes, others are to have theirs in between.
        let (turn, profile) = taken(1000).await;
        let own = || profile.stacks.iter().filter(|stack| has_label(stack, "thread", "storm"));
        let is_whole = |stack: &&Stack| profile.names(stack).iter().any(|name| name.contains(ROOT));
        seen = (seen.0 + cpu_of(own().filter(is_whole)), seen.1 + cpu_of(own()));
        drop(turn);
        assert!(began.elapsed() < soak() + PATIENCE, "{} s of it seen", seen.1);
        if seen.1 < LEAST_CPU {
            continue;
        }
        let (whole, all) = std::mem::take(&mut seen);
        assert!(whole / all > 0.9, "{whole} of {all}: {}", profile.folded());
        enough += 1;
    }
    workers.stop();
}

/// How long the storm lasts, of which the compiler is told: a minute in `.ci/run`, three in `make profiler-soak`.
fn soak() -> Duration {
    let seconds = option_env!("LEGWORK_PROFILER_SOAK").map(|text| text.parse().expect("seconds"));
    Duration::from_secs(seconds.unwrap_or(2))
}

#[tokio::test]
async fn one_profile_is_taken_at_a_time_and_ends_with_whoever_wanted_it() {
    let _turn = TURN.lock().await;
    let first = take(Duration::from_mins(2));
    let second = async {
        // Until the first has begun.
        loop {
            match cpu::take(Duration::from_millis(1), cpu::HERTZ).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(refused) => return refused,
            }
        }
    };
    let refused = tokio::select! {
        _ = first => panic!("it takes two minutes"),
        refused = second => refused,
    };
    let busy = cpu::ProfileError::Refused(sampler::Refused::Busy);
    assert_eq!(refused.to_string(), busy.to_string());
    // The first is dropped; its thread sees that in a moment.
    while cpu::take(Duration::from_millis(1), cpu::HERTZ).await.is_err() {
        tokio::task::yield_now().await;
    }
}

fn named(names: &[&str], labels: Vec<(&'static str, String)>, value: i64) -> Stack {
    let frames = names.iter().rev().map(|name| Frame::Named((*name).to_owned())).collect();
    Stack { frames, labels, values: vec![value] }
}

fn counted(by_kind: bool, stacks: Vec<Stack>) -> Profile {
    let count = super::ValueType { name: "tasks", unit: "count" };
    Profile {
        values: vec![count],
        main: 0,
        by_kind,
        nothing: "[no tasks]",
        period: (count, 1),
        duration: Duration::ZERO,
        stacks,
        places: super::Places::default(),
    }
}

#[tokio::test]
async fn the_turn_lasts_until_the_work_is_done_also_where_nobody_waits_for_it() {
    let _turn = TURN.lock().await;
    let (go, told) = std::sync::mpsc::channel::<()>();
    let (begins, begun) = std::sync::mpsc::channel();
    // As symbols are looked up, when the sampler is done.
    let mut first = Box::pin(cpu::keeping(move |_| {
        begins.send(()).expect("somebody asks");
        told.recv()
    }));
    assert!(futures::poll!(&mut first).is_pending());
    begun.recv().expect("it begins");
    let busy = async || {
        let second = cpu::take(Duration::from_millis(1), cpu::HERTZ).await;
        matches!(second, Err(cpu::ProfileError::Refused(sampler::Refused::Busy)))
    };
    assert!(busy().await, "it is under way");
    drop(first);
    assert!(busy().await, "it is under way, though nobody waits for it");
    go.send(()).expect("it waits for that");
    while busy().await {
        tokio::task::yield_now().await;
    }
}

#[test]
fn of_a_difference_is_drawn_what_was_added_and_the_name_says_what_is_missing() {
    const MISSING: &str = "delta, without what shrank";
    // One function at two places: of what the one added the other took away.
    let moved = || [named(&["main", "moved"], vec![], 5), named(&["main", "moved"], vec![], -5)];
    let grew = || [named(&["main", "grew"], vec![], 7), named(&["main", "grew"], vec![], -3)];
    let weights = |profile: &Profile| {
        let file = profile.speedscope("delta");
        let all = file["profiles"]
            .as_array()
            .expect("a list")
            .iter()
            .flat_map(|profile| profile["weights"].as_array().expect("a list").clone());
        (file["name"].clone(), all.collect::<Vec<_>>())
    };
    let picture = |profile: &Profile| {
        String::from_utf8(profile.flamegraph("delta").expect("a picture")).expect("text")
    };

    let whole = counted(false, moved().into_iter().chain(grew()).collect());
    assert_eq!(whole.folded(), "main;grew 4\n");
    assert_eq!(weights(&whole), ("delta".into(), vec![4.into()]));
    assert!(picture(&whole).contains(">delta<"), "nothing is missing");

    let shrank = named(&["main", "shrank"], vec![], -9);
    let part = counted(false, moved().into_iter().chain(grew()).chain([shrank]).collect());
    assert_eq!(part.folded(), "main;grew 4\n");
    assert_eq!(weights(&part), (MISSING.into(), vec![4.into()]));
    assert!(picture(&part).contains(MISSING) && !picture(&part).contains("shrank ("));
}

#[test]
fn what_is_no_code_is_shown_by_its_name() {
    let stack = named(&["outer", "in;ner"], vec![("kind", "mail".into())], 3);
    let profile = counted(true, vec![stack]);
    assert_eq!(profile.folded(), "mail;outer;in:ner 3\n");
    let picture = String::from_utf8(profile.flamegraph("tasks").expect("a picture"));
    assert!(picture.expect("text").contains("in:ner"));
    let file = profile.speedscope("tasks");
    assert_eq!(file["profiles"][0]["samples"], serde_json::json!([[0, 1]]));
}
