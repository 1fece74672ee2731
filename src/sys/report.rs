//! How a child says that it couldn't become its program, to a parent that doesn't wait for it.
//!
//! `std` has the parent wait, on the thread that forks, until the child has entered its directory and
//! become the program. On a file system that hangs, that is for as long as it hangs, and no other program
//! could be started meanwhile. Such a child closes what it has of its parent's, `std`'s own pipe
//! included, and tells of a failure here; the end of the stream says that the program runs.

use std::{
    ffi::CString,
    io::{self, PipeReader},
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::Arc,
};

use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
    unistd::{chdir, write},
};
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver};

use super::{descriptors, image::Image};

/// Numbers below are the program's.
const LOWEST: RawFd = 16;

/// The child's end. It closes as the program begins.
#[derive(Clone, Debug)]
pub(super) struct Report(Arc<OwnedFd>);

/// The parent's end.
#[derive(Debug)]
pub(super) struct Outcome(PipeReader);

/// Makes the two ends.
pub(super) fn pipe() -> io::Result<(Outcome, Report)> {
    let (reader, writer) = io::pipe()?;
    let number = fcntl(&writer, FcntlArg::F_DUPFD_CLOEXEC(LOWEST))?;
    Ok((Outcome(reader), Report(Arc::new(owned(number)))))
}

#[expect(unsafe_code, reason = "fcntl gives a number")]
fn owned(number: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made it, and nobody else knows of it.
    unsafe { std::os::fd::FromRawFd::from_raw_fd(number) }
}

impl Outcome {
    /// Waits until the program runs; or why it doesn't. A child that is killed before counts as begun.
    pub(super) async fn begun(self) -> io::Result<()> {
        let mut errno = [0; size_of::<i32>()];
        match Receiver::from_owned_fd(self.0.into())?.read_exact(&mut errno).await {
            Ok(_) => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))),
            Err(_) => Ok(()),
        }
    }
}

/// The last steps of a child.
#[derive(Debug)]
pub(super) struct LastSteps {
    pub(super) report: Report,
    /// The lowest descriptor that isn't the program's.
    pub(super) close_from: RawFd,
    pub(super) directory: Option<CString>,
    pub(super) image: Image,
}

impl LastSteps {
    /// Becomes the program or ends. System calls only.
    #[expect(unsafe_code, reason = "_exit has no safe wrapper")]
    pub(super) fn take(&self) -> ! {
        descriptors::close_all_but(self.report.0.as_raw_fd(), self.close_from);
        let entered = self.directory.as_deref().map_or(Ok(()), chdir);
        let errno = match entered {
            Ok(()) => self.image.exec().raw_os_error().unwrap_or(libc::EIO),
            Err(error) => error as i32,
        };
        // A parent that has gone away meanwhile wants no answer.
        write(&self.report.0, &errno.to_ne_bytes()).ok();
        // SAFETY: it only ends this process, which must never return to its parent's code.
        unsafe { libc::_exit(1) }
    }
}
