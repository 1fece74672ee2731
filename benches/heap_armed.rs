//! What an allocation and its release cost with jemalloc's heap profiles off, armed, as the daemon begins, and active
//! (ADR 0028): processes in turns, since it is decided at a process's beginning.
//!
//! It says nothing of a daemon as a whole, where a half of a per cent drowns: that is `scripts/heap-cost.sh`.

#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

/// With the daemon's own options: what is `armed` here is what is armed there.
#[cfg(target_os = "linux")]
#[path = "../src/sys/allocator.rs"]
mod allocator;

use legwork::sys::heap;
use nix::time::{ClockId, clock_gettime};
use std::{
    env,
    error::Error,
    hint::black_box,
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

/// By what the daemon's options are overridden, and what is asked of jemalloc then.
const SIDES: [(&str, &str); 3] =
    [("off", "prof:false"), ("armed", ""), ("active", "prof_active:true")];
/// Of each side.
const TURNS: usize = 15;
const THREADS: u32 = 2;
/// What each thread allocates and releases, one for one.
const PAIRS: u32 = 8_000_000;
/// What it keeps meanwhile.
const KEPT: usize = 4096;
/// What a no-op job allocates in all, and what it costs: so many times a pair, of so many nanoseconds (ADR 0028).
const OF_A_JOB: (f64, f64) = (11.2, 2400.0);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    #[cfg(target_os = "linux")]
    allocator::tell();
    if let Some(side) = env::args().nth(1).filter(|side| SIDES.iter().any(|(name, _)| side == name))
    {
        assert_eq!(side, begun(), "jemalloc has begun otherwise than it was told");
        println!("{}", measured());
        return Ok(ExitCode::SUCCESS);
    }
    let mut figures = [const { Vec::new() }; SIDES.len()];
    for _ in 0..TURNS {
        for (figures, (side, options)) in figures.iter_mut().zip(SIDES) {
            let mut turn = Command::new(env::current_exe()?);
            let turn = turn.arg(side).env("_RJEM_MALLOC_CONF", options).output()?;
            let said = String::from_utf8(turn.stdout)?;
            let figure = said.trim().parse::<f64>();
            figures.push(figure.map_err(|_| String::from_utf8_lossy(&turn.stderr).into_owned())?);
        }
    }
    show(&figures);
    Ok(ExitCode::SUCCESS)
}

/// The side that this process is.
fn begun() -> &'static str {
    match heap::is_active() {
        Ok(false) => "armed",
        Ok(true) => "active",
        Err(_) => "off",
    }
}

/// Nanoseconds of CPU for one allocation and its release, with what chooses them.
fn measured() -> f64 {
    let threads = (0..THREADS).map(|seed| thread::spawn(move || allocates(seed)));
    let threads = threads.collect::<Vec<_>>();
    let used = threads.into_iter().map(|thread| thread.join().expect("no panic"));
    used.sum::<Duration>().as_secs_f64() * 1e9 / f64::from(PAIRS) / f64::from(THREADS)
}

fn allocates(seed: u32) -> Duration {
    let mut random = fastrand::Rng::with_seed(seed.into());
    let mut kept: Vec<Vec<u8>> = (0..KEPT).map(|_| Vec::new()).collect();
    let now = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Into::into);
    let began: Duration = now();
    for _ in 0..PAIRS {
        let place = random.usize(..KEPT);
        kept[place] = black_box(Vec::with_capacity(random.usize(32..=2048)));
    }
    now().saturating_sub(began)
}

/// The least, the median and the most.
fn spread(figures: impl IntoIterator<Item = f64>) -> [f64; 3] {
    let mut sorted = figures.into_iter().collect::<Vec<_>>();
    sorted.sort_by(f64::total_cmp);
    [sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1]]
}

/// What each side took, and how much of what the first one did in the same turn: a machine whose speed changes from
/// one turn to the next changes that little.
fn show(figures: &[Vec<f64>; SIDES.len()]) {
    let off = &figures[0];
    for ((side, _), figures) in SIDES.into_iter().zip(figures) {
        let [least, median, most] = spread(figures.iter().copied());
        let [low, ratio, high] = spread(figures.iter().zip(off).map(|(figure, off)| figure / off));
        let [_, more, _] = spread(figures.iter().zip(off).map(|(figure, off)| figure - off));
        let of_a_job = more * OF_A_JOB.0;
        let share = of_a_job / OF_A_JOB.1 * 100.0;
        println!(
            "{side:<7} {median:.2} ns an allocation ({least:.2}–{most:.2}), {ratio:.3} of off ({low:.3}–{high:.3}); a \
             no-op job {of_a_job:+.0} ns, {share:+.1} %"
        );
    }
}
