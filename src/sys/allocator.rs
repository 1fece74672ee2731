//! The binary's allocator and how it begins. `main` has this file by its path, the library doesn't: whoever embeds
//! that has chosen an allocator.

use legwork::sys::heap;
use tikv_jemalloc_sys::mallctl;
use tikv_jemallocator::Jemalloc;

/// What is allocated by one thread is freed by another here, claimer to worker to completer, which the system's
/// allocator is slow at.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Heap profiles are armed and sample nothing until somebody switches them on, which can't be made good later: that
/// they may be is decided with the first allocation, before there are a configuration and a `main`. One sample for
/// 512 KiB that are allocated, and what was freed is counted as well (ADR 0028).
// SAFETY: jemalloc reads a pointer to a C string under this name, and a reference to an array is one.
#[expect(unsafe_code, reason = "jemalloc asks for this very name")]
#[unsafe(export_name = "_rjem_malloc_conf")]
static OPTIONS: &[u8; 62] = b"prof:true,prof_active:false,prof_accum:true,lg_prof_sample:19\0";

/// Has the library ask this allocator for its figures and its heap profiles.
#[expect(unsafe_code, reason = "only who sets the allocator knows that it is this one")]
pub(crate) fn tell() {
    // SAFETY: it is jemalloc's, and jemalloc is the global allocator.
    unsafe { heap::allocated_by(mallctl) };
}
