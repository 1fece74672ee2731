//! A few places that interrupted threads write to and one collector reads, without a lock.
//!
//! A writer is a signal's handler: it may neither wait nor spin, since the thread that it would wait for may be
//! the one that it interrupted. So it takes the first place that is free, or none. Which place a sample lies in
//! says nothing; a busy place is passed by whoever finds it so. Loom tries every order of events (`make loom`).

#[cfg(legwork_loom)]
use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicU8, Ordering},
};
#[cfg(not(legwork_loom))]
use std::sync::atomic::{AtomicU8, Ordering};

/// Anybody may take it who writes.
const FREE: u8 = 0;
/// Whoever made it so may write to it, and nobody else may look.
const WRITTEN_TO: u8 = 1;
/// The collector may read it, and nobody may write.
const FULL: u8 = 2;

pub(super) struct Ring<T> {
    places: Box<[Place<T>]>,
}

struct Place<T> {
    state: AtomicU8,
    value: UnsafeCell<T>,
}

#[expect(
    unsafe_code,
    reason = "the state says who may touch the value, which the compiler can't see"
)]
// SAFETY: a value is touched by the one who took its place from FREE to WRITTEN_TO, until he makes it FULL, and
// from then on by the collector, until he makes it FREE; the stores release what the loads acquire.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    pub(super) fn new(places: usize, mut value: impl FnMut() -> T) -> Self {
        let place = |_| Place { state: AtomicU8::new(FREE), value: UnsafeCell::new(value()) };
        Self { places: (0..places).map(place).collect() }
    }

    /// Writes where there is room; `false` where there is none.
    #[expect(unsafe_code, reason = "see Sync")]
    pub(super) fn put(&self, write: impl FnOnce(&mut T)) -> bool {
        let take = |place: &&Place<T>| {
            let taken = place.state.compare_exchange(
                FREE,
                WRITTEN_TO,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            taken.is_ok()
        };
        let Some(place) = self.places.iter().find(take) else { return false };
        place.value.with_mut(|value| {
            // SAFETY: nobody else touches a place that is WRITTEN_TO.
            write(unsafe { &mut *value });
        });
        place.state.store(FULL, Ordering::Release);
        true
    }

    /// Reads what is there, and makes room. One collector at a time.
    #[expect(unsafe_code, reason = "see Sync")]
    pub(super) fn drain(&self, mut read: impl FnMut(&T)) {
        for place in &self.places {
            if place.state.load(Ordering::Acquire) == FULL {
                place.value.with(|value| {
                    // SAFETY: nobody writes to a place that is FULL, and there is one collector.
                    read(unsafe { &*value });
                });
                place.state.store(FREE, Ordering::Release);
            }
        }
    }
}

/// As loom's, whose closures tell it of each access.
#[cfg(not(legwork_loom))]
struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(legwork_loom))]
impl<T> UnsafeCell<T> {
    fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}

#[cfg(all(test, not(legwork_loom)))]
mod tests {
    use super::Ring;
    use std::{
        sync::Arc,
        thread::{self, JoinHandle},
    };

    /// What `ThreadSanitizer` watches (`make tsan`): here it has real threads, where loom has every order of few.
    #[test]
    fn what_many_write_while_one_reads_is_whole_and_none_is_lost() {
        const WRITERS: usize = 4;
        const EACH: usize = 5_000;
        let ring = Arc::new(Ring::new(3, || [0; 4]));
        let writers = [(); WRITERS].map(|()| {
            let ring = Arc::clone(&ring);
            thread::spawn(move || {
                for number in 0..EACH {
                    while !ring.put(|value| *value = [number; 4]) {
                        thread::yield_now();
                    }
                }
            })
        });
        let mut read = 0;
        let mut collect = || {
            ring.drain(|value| {
                assert!(value.iter().all(|part| *part == value[0]), "{value:?}");
                read += 1;
            });
        };
        while !writers.iter().all(JoinHandle::is_finished) {
            collect();
        }
        for writer in writers {
            writer.join().expect("no panic");
        }
        collect();
        assert_eq!(read, WRITERS * EACH);
    }

    #[test]
    fn what_is_full_takes_no_more_until_it_is_read() {
        let ring = Ring::new(2, || 0);
        let put = |number| ring.put(|value| *value = number);
        assert_eq!([put(1), put(2), put(3)], [true, true, false]);
        let mut read = Vec::new();
        ring.drain(|value| read.push(*value));
        assert_eq!(read, [1, 2]);
        assert!(put(4));
        ring.drain(|value| read.push(*value));
        assert_eq!(read, [1, 2, 4]);
    }
}

#[cfg(all(test, legwork_loom))]
mod loom_models {
    use super::Ring;
    use loom::{sync::Arc, thread};

    /// Two threads are interrupted while a third collects: each sample that was written down is read whole and
    /// once, and those that found no room are the only ones that are missing.
    fn each_is_read_whole_and_once(places: usize, full: u8) {
        loom::model(move || {
            let ring = Arc::new(Ring::new(places, || [0_u8; 2]));
            for number in 0..full {
                assert!(ring.put(|value| *value = [number; 2]));
            }
            let writers = [11, 12].map(|number| {
                let ring = Arc::clone(&ring);
                thread::spawn(move || ring.put(|value| *value = [number; 2]))
            });
            let mut read = Vec::new();
            ring.drain(|value| read.push(*value));
            let written = writers.map(|writer| writer.join().expect("no panic"));
            ring.drain(|value| read.push(*value));
            assert!(read.iter().all(|value| value[0] == value[1]), "{read:?}");
            let taken = written.iter().filter(|written| **written).count() + usize::from(full);
            assert_eq!(read.len(), taken, "{read:?}");
            read.sort_unstable();
            read.dedup();
            assert_eq!(read.len(), taken, "{read:?}");
        });
    }

    #[test]
    fn loom_every_sample_is_read_whole_and_once() {
        each_is_read_whole_and_once(1, 0);
    }

    #[test]
    fn loom_a_place_that_is_taken_or_full_is_passed_by() {
        each_is_read_whole_and_once(2, 1);
    }
}
