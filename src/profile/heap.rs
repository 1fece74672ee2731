//! A heap profile: what is kept in memory and by whom, and what was allocated since the sampling began.
//!
//! jemalloc samples one allocation in so many bytes; what it writes down is read (`dump`), made up for by the odds
//! of a sample, and named by the code that asked for the memory rather than by the allocator (`callers`). See ADR 0028.

mod callers;
mod dump;

use super::{Frame, Profile, Stack, ValueType, aside, modules, symbols};
use crate::sys::heap;
use dump::{Counts, Dump, DumpError};
use std::{
    collections::{BTreeSet, HashMap},
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::{JoinError, spawn_blocking},
    time::{Instant, sleep},
};

/// Longest time over which a difference is taken.
pub const SECONDS_MAX: u64 = 120;

/// As Go's programs name and order them.
const VALUES: [ValueType; 4] = [
    ValueType { name: "alloc_objects", unit: "count" },
    ValueType { name: "alloc_space", unit: "bytes" },
    ValueType { name: "inuse_objects", unit: "count" },
    ValueType { name: "inuse_space", unit: "bytes" },
];
const SPACE: ValueType = ValueType { name: "space", unit: "bytes" };

/// One is taken at a time.
static TURN: Semaphore = Semaphore::const_new(1);
/// How often what was sampled has been thrown away: a difference across that means nothing.
static FORGOTTEN: AtomicU64 = AtomicU64::new(0);

/// What of it is meant where one figure alone is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// What is kept.
    Kept,
    /// What was allocated, freed since or not.
    Allocated,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum HeapError {
    /// Nothing is sampled.
    #[error("allocations aren't sampled at the moment")]
    Inactive,
    /// What was sampled at the beginning isn't there any more.
    #[error("what was sampled was thrown away meanwhile, by deactivate: ask again")]
    Forgotten,
    /// One is being taken.
    #[error("somebody else takes a heap profile of this process at the moment")]
    Busy,
    /// Not by this allocator.
    #[error(transparent)]
    Refused(#[from] heap::Refused),
    /// It can't be read.
    #[error("what jemalloc wrote can't be read")]
    Dump(#[from] DumpError),
    /// Nothing says whose code is where.
    #[error("the code of this process can't be listed")]
    Unmapped(#[source] io::Error),
    /// It broke.
    #[error("the profiler broke off")]
    Broke(#[from] JoinError),
}

/// Whether allocations are sampled.
pub fn is_active() -> Result<bool, heap::Refused> {
    heap::is_active()
}

/// Samples allocations from now on. What is there already isn't known.
pub fn activate() -> Result<(), heap::Refused> {
    heap::set_active(true)
}

/// Samples no more; what was sampled until now is in no profile any more, though jemalloc keeps its memory.
pub fn deactivate() -> Result<(), heap::Refused> {
    heap::set_active(false)?;
    FORGOTTEN.fetch_add(1, Ordering::Relaxed);
    heap::forget()
}

/// What was sampled until now; over some time, what that time added and took away.
pub async fn take(view: View, over: Option<Duration>) -> Result<Profile, HeapError> {
    // First, whether it could be at all: who can have none isn't told to try later.
    heap::armed()?;
    let mut turn = TURN.try_acquire().map_err(|_| HeapError::Busy)?;
    let forgotten = FORGOTTEN.load(Ordering::Relaxed);
    let began = Instant::now();
    let mut before = None;
    if let Some(length) = over {
        let (first, own) = keeping(turn, now).await?;
        (before, turn) = (Some(first?), own);
        sleep(length).await;
    }
    let (after, turn) = keeping(turn, now).await?;
    let after = after?;
    if FORGOTTEN.load(Ordering::Relaxed) != forgotten {
        return Err(if heap::is_active()? { HeapError::Forgotten } else { HeapError::Inactive });
    }
    let duration = over.map_or(Duration::ZERO, |_| began.elapsed());
    let (profile, _turn) =
        keeping(turn, move || profile(view, before.as_ref(), &after, duration)).await?;
    profile
}

/// Does it elsewhere, and keeps the turn until it is done, also where nobody waits for it any more.
async fn keeping<T: Send + 'static>(
    turn: SemaphorePermit<'static>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<(T, SemaphorePermit<'static>), JoinError> {
    spawn_blocking(move || (aside(work), turn)).await
}

fn now() -> Result<Dump, HeapError> {
    if !heap::is_active()? {
        return Err(HeapError::Inactive);
    }
    Ok(dump::read(heap::dump()?)?)
}

fn profile(
    view: View,
    before: Option<&Dump>,
    after: &Dump,
    duration: Duration,
) -> Result<Profile, HeapError> {
    let period = i64::try_from(after.interval).unwrap_or(i64::MAX);
    let mut stacks: HashMap<Vec<u64>, Counts> = after.estimated().collect();
    for (frames, counts) in before.into_iter().flat_map(Dump::estimated) {
        let left = stacks.entry(frames).or_default();
        *left = left.without(counts);
    }
    stacks.retain(|_, counts| *counts != Counts::default());
    let addresses: BTreeSet<u64> = stacks.keys().flatten().copied().collect();
    let places = symbols::look_up(modules::loaded().map_err(HeapError::Unmapped)?, &addresses);
    let stack = |(frames, counts): (Vec<u64>, Counts)| Stack {
        frames: frames.into_iter().map(Frame::Code).collect(),
        labels: Vec::new(),
        values: counts.values().to_vec(),
    };
    let mut profile = Profile {
        values: VALUES.to_vec(),
        main: match view {
            View::Kept => 3,
            View::Allocated => 1,
        },
        by_kind: false,
        nothing: nothing(view, before.is_some()),
        period: (SPACE, period),
        duration,
        stacks: stacks.into_iter().map(stack).collect(),
        places,
    };
    callers::leave_out_the_allocator(&mut profile);
    Ok(profile)
}

/// Of what: all that is known is of the allocations that were sampled.
fn nothing(view: View, is_difference: bool) -> &'static str {
    match (view, is_difference) {
        (View::Kept, false) => "[nothing that was sampled is kept]",
        (View::Kept, true) => "[nothing that was sampled came to be kept]",
        (View::Allocated, _) => "[no allocation was sampled]",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_nothing_says_of_what_there_is_nothing() {
        let over = Duration::from_secs(1);
        for (view, before, said) in [
            (View::Kept, None, "[nothing that was sampled is kept]"),
            (View::Kept, Some(Dump::default()), "[nothing that was sampled came to be kept]"),
            (View::Allocated, None, "[no allocation was sampled]"),
            (View::Allocated, Some(Dump::default()), "[no allocation was sampled]"),
        ] {
            let profile =
                profile(view, before.as_ref(), &Dump::default(), over).expect("a profile");
            let picture = profile.flamegraph("heap").expect("a picture");
            let picture = String::from_utf8(picture).expect("text");
            let says = picture.contains(&format!("no samples: {said}<"));
            assert!(says && !picture.contains("nothing ran"), "{picture}");
            assert!(!picture.contains("1 bytes") && !picture.contains("100.00%"), "{picture}");
        }
    }

    #[tokio::test]
    async fn who_can_have_no_profile_is_told_so_and_not_that_another_takes_one() {
        let _turn = TURN.acquire().await.unwrap();
        let refused = take(View::Kept, None).await.unwrap_err();
        assert!(matches!(refused, HeapError::Refused(heap::Refused::Elsewhere)), "{refused}");
    }
}
