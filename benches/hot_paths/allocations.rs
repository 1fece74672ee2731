//! Counts what the calling thread asks of the allocator.
//!
//! A count is the same on every machine and in every run, which no time is, and so can be held to a
//! number. Other threads aren't counted: a private Postgres or a heartbeat beside it adds nothing.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// What was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Allocations {
    /// How often. A block that grows in place is asked for once more.
    pub(crate) count: u64,
    /// How much; of one that grows, by how much.
    pub(crate) bytes: u64,
}

thread_local! {
    static SO_FAR: Cell<Allocations> = const { Cell::new(Allocations { count: 0, bytes: 0 }) };
}

impl Allocations {
    /// What `work` asks for.
    pub(crate) fn of<T>(work: impl FnOnce() -> T) -> (T, Self) {
        let before = SO_FAR.get();
        let done = work();
        let after = SO_FAR.get();
        let (count, bytes) = (after.count - before.count, after.bytes - before.bytes);
        (done, Self { count, bytes })
    }

    fn note(bytes: usize) {
        let Self { count, bytes: before } = SO_FAR.get();
        SO_FAR.set(Self { count: count + 1, bytes: before + bytes as u64 });
    }
}

/// The system's allocator, counted.
pub(crate) struct Counted;

// SAFETY: every call is handed to the system's allocator as it came; the count lies in a cell that
// allocates nothing and has no destructor.
#[expect(unsafe_code, reason = "an allocator can't be written without")]
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Allocations::note(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Allocations::note(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Allocations::note(size.saturating_sub(layout.size()));
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) }
    }
}
