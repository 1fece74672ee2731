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

/// Descriptors that are closed one by one where the kernel has no `close_range` (before 5.9).
const CLOSED_ONE_BY_ONE: RawFd = 65_536;

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
pub(super) fn close_all() {
    close_between(0, RawFd::MAX);
}

/// Closes every descriptor from `first` on but one.
pub(super) fn close_all_but(kept: RawFd, first: RawFd) {
    close_between(first, kept - 1);
    close_between(kept + 1, RawFd::MAX);
}

/// Closes these at once, first and last included.
#[expect(unsafe_code, reason = "close_range has no safe wrapper")]
fn close_between(first: RawFd, last: RawFd) {
    if first > last {
        return;
    }
    #[cfg(target_os = "linux")]
    {
        let [first, last] = [first, last].map(libc::c_long::from);
        // SAFETY: three numbers. The caller is a fork that never goes back to its parent's code: whatever
        // in its memory looks like an owner of a descriptor is the parent's.
        if unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::c_long::from(0)) } == 0
        {
            return;
        }
    }
    for descriptor in first..=last.min(CLOSED_ONE_BY_ONE) {
        // SAFETY: as above; one that isn't open answers EBADF, which is what we want.
        unsafe { libc::close(descriptor) };
    }
}
