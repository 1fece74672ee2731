//! The sampler on threads of this process.

use super::{
    COLLECT_AT_LEAST_EVERY, COLLECT_AT_MOST_EVERY, Looks, SLOTS, Sampler, collect_every, register,
    timers::clock,
};
use nix::time::clock_gettime;
use std::{
    hint::black_box,
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::channel,
    },
    thread,
    time::Duration,
};
use tokio::time::Instant;

#[test]
fn the_ring_is_half_full_at_most_where_every_core_is_busy() {
    let period = Duration::from_secs(1) / 100;
    let every = |cores| collect_every(period, NonZero::new(cores).expect("not zero"));
    assert_eq!(every(2), COLLECT_AT_LEAST_EVERY);
    for cores in [1, 2, 6, 7, 16, 32] {
        let come = every(cores).as_millis() * cores as u128 / period.as_millis();
        assert!(come <= SLOTS as u128 / 2, "{cores} cores: {come}");
    }
    // What finds no place then is in the thread's next sample.
    assert_eq!(every(1_000), COLLECT_AT_MOST_EVERY);
}

#[test]
fn samples_stand_for_the_time_that_a_thread_has_used() {
    let stop = Arc::new(AtomicBool::new(false));
    let (tell, told) = channel();
    let spinning = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            register();
            tell.send(nix::unistd::gettid().as_raw()).expect("somebody listens");
            while !stop.load(Ordering::Relaxed) {
                drop(black_box(vec![0; 100]));
            }
        })
    };
    let spinner = told.recv().expect("a thread");
    let used = || Duration::from(clock_gettime(clock(spinner)).expect("a clock"));
    let mut sampler = loop {
        // Profiles of other tests.
        match Sampler::start(Duration::from_millis(10)) {
            Ok(sampler) => break sampler,
            Err(_) => thread::yield_now(),
        }
    };
    let before = used();
    let mut seen = Duration::ZERO;
    while used().saturating_sub(before) < Duration::from_millis(600) {
        sampler
            .collect(|sample, cpu| {
                seen += if sample.thread == spinner { cpu } else { Duration::ZERO }
            })
            .expect("timers");
        thread::yield_now();
    }
    let used = used().saturating_sub(before);
    drop(sampler);
    stop.store(true, Ordering::Relaxed);
    spinning.join().expect("no panic");
    // Its first sample stands for nothing before it, and what follows its last is in none.
    let ratio = seen.as_secs_f64() / used.as_secs_f64();
    assert!((0.85..1.01).contains(&ratio), "{seen:?} of {used:?}");
}

#[test]
fn a_sample_stands_for_no_more_than_the_time_between_looks_explains() {
    let [period, every] = [10, 50].map(Duration::from_millis);
    let start = Instant::now();
    let mut looks = Looks::new(period, every, start);
    let mut most = |millis| looks.most(start + Duration::from_millis(millis)).as_millis();
    assert_eq!(most(1), 120, "a look that comes early takes nothing away");
    assert_eq!(most(50), 120);
    assert_eq!(most(550), 569, "what found no place while nobody looked is in the next");
    assert_eq!(most(600), 570, "and in the one after it, where that found none either");
    assert_eq!(most(650), 120, "and no more once it is looked in time");
}
