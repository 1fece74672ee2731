//! What has come over a socket, asked of the system itself.
//!
//! A runtime knows of it only once its driver has had a turn.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

/// Whether a read would give something now, or the end. Waits for nothing.
pub fn is_readable(socket: &impl AsFd) -> bool {
    let mut asked = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    poll(&mut asked, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, os::unix::net::UnixStream};

    #[test]
    fn what_has_come_and_the_end_can_be_read() {
        let (here, mut there) = UnixStream::pair().expect("a pair");
        assert!(!is_readable(&here));
        there.write_all(b"x").expect("there is room");
        assert!(is_readable(&here));
        let (ended, there) = UnixStream::pair().expect("a pair");
        drop(there);
        assert!(is_readable(&ended));
    }
}
