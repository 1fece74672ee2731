//! Which descriptors a child inherits: those it was given by number, and no others.
//!
//! `std` opens everything close-on-exec, but a daemon also holds descriptors that it didn't open:
//! sockets handed over by systemd, whatever its own parent left open. A handler's program must see
//! none of them. What runs here runs between `fork` and `exec`: system calls only.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::Arc,
};

use nix::{errno::Errno, libc};

/// Descriptors that are marked one by one where the kernel has no `close_range` (before 5.11).
const MARKED_ONE_BY_ONE: RawFd = 65_536;

/// A descriptor that the child finds under a number of our choice.
#[derive(Clone, Debug)]
pub(super) struct Passed {
    descriptor: Arc<OwnedFd>,
    number: RawFd,
}

impl Passed {
    /// Prepares it, in the parent.
    ///
    /// `std` reports a failed `exec` over a pipe of its own, made at the lowest free numbers. If it
    /// got ours, the report would be overwritten and the failure look like a start. So the number
    /// is taken first, for as long as the process lives; most daemons have something there anyway.
    pub(super) fn new(number: RawFd, descriptor: OwnedFd) -> io::Result<Self> {
        let lowest = File::open("/dev/null")?;
        let lowest_above_2 = lowest.try_clone()?;
        for file in [lowest, lowest_above_2] {
            if file.as_raw_fd() == number {
                std::mem::forget(file);
            }
        }
        Ok(Self { descriptor: Arc::new(descriptor), number })
    }

    /// Puts it in its place, in the child.
    #[expect(unsafe_code, reason = "the target is a number, which safe wrappers can't express")]
    pub(super) fn place(&self) -> io::Result<()> {
        let from = self.descriptor.as_raw_fd();
        // SAFETY: both calls take plain numbers and touch no memory. The target is closed by
        // `dup2` if it was open, which is harmless here: in this child nothing but `exec` follows,
        // and `new` made sure that `std`'s own pipe has another number.
        let done = unsafe {
            if from == self.number {
                // dup2 onto itself would leave the close-on-exec mark in place.
                libc::fcntl(from, libc::F_SETFD, 0)
            } else {
                libc::dup2(from, self.number)
            }
        };
        Errno::result(done).map(drop).map_err(Into::into)
    }
}

/// Closes every descriptor, in a process that needs none.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "close_range has no safe wrapper")]
pub(super) fn close_all() {
    // SAFETY: three numbers. The caller is a fork that owns nothing and never execs: whatever in its
    // memory looks like an owner of a descriptor is the parent's.
    let done = unsafe {
        let last = libc::c_long::from(libc::c_int::MAX);
        libc::syscall(libc::SYS_close_range, libc::c_long::from(0), last, libc::c_long::from(0))
    };
    if done == 0 {
        return;
    }
    for descriptor in 0..MARKED_ONE_BY_ONE {
        // SAFETY: as above; one that isn't open answers EBADF, which is what we want.
        unsafe { libc::close(descriptor) };
    }
}

/// Marks every descriptor from `first` on to be closed by `exec`. Not closed at once: `std` still
/// needs its pipe to report a failed `exec`.
#[expect(unsafe_code, reason = "close_range has no safe wrapper")]
pub(super) fn close_from(first: RawFd) {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: three numbers; the kernel changes marks of this process's own descriptors.
        let done = unsafe {
            libc::syscall(
                libc::SYS_close_range,
                libc::c_long::from(first),
                libc::c_long::from(libc::c_int::MAX),
                libc::c_long::from(libc::CLOSE_RANGE_CLOEXEC),
            )
        };
        if done == 0 {
            return;
        }
    }
    for descriptor in first..MARKED_ONE_BY_ONE {
        // SAFETY: numbers again; one that isn't open answers EBADF, which is what we want.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}
