//! What a daemon may lack to start one more attempt: its own trouble, for which no job is charged.

use crate::job::Outcome;
use nix::errno::Errno;
use std::{error::Error, io, time::Duration};

/// How long a job is put off at least; up to half of it comes on top, so that those that were put off
/// together don't come back together. Programs that run give back meanwhile what they hold.
const PAUSE: Duration = Duration::from_secs(1);

/// What there is none left of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortage {
    /// Descriptors of the daemon.
    Descriptors,
    /// Open files of the machine.
    Files,
    /// Processes.
    Processes,
    /// Memory.
    Memory,
    /// Local ports towards one receiver.
    Ports,
}

impl Shortage {
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        match Errno::from_raw(error.raw_os_error()?) {
            Errno::EMFILE => Some(Self::Descriptors),
            Errno::ENFILE => Some(Self::Files),
            Errno::EAGAIN => Some(Self::Processes),
            Errno::ENOMEM | Errno::ENOBUFS => Some(Self::Memory),
            Errno::EADDRNOTAVAIL => Some(Self::Ports),
            _ => None,
        }
    }

    /// What helps, besides a smaller `concurrency`.
    const fn remedy(self) -> &'static str {
        match self {
            Self::Descriptors => "descriptors: raise LimitNOFILE= (ulimit -n)",
            Self::Files => "open files on the machine: raise fs.file-max",
            Self::Processes => "processes: raise TasksMax= or LimitNPROC= (pids.max, ulimit -u)",
            Self::Memory => "memory: raise MemoryMax=, or give the machine more",
            Self::Ports => "local ports: widen net.ipv4.ip_local_port_range",
        }
    }

    /// Puts the job off, uncharged. The line is cut short by the log where it repeats too fast.
    pub(super) fn put_off(self, event: &'static str, said: &(dyn Error + 'static)) -> Outcome {
        tracing::error!(
            event,
            error = said,
            "nothing was started and the job is put off, uncharged; the daemon has too few {}, \
             or lower the concurrency",
            self.remedy(),
        );
        soon()
    }
}

/// Put off for a moment, uncharged.
pub(super) fn soon() -> Outcome {
    Outcome::Snooze { delay: Some(a_moment()) }
}

/// A second or so.
pub(super) fn a_moment() -> Duration {
    PAUSE + PAUSE.mul_f64(fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::descriptors(Errno::EMFILE, Some(Shortage::Descriptors))]
    #[case::files(Errno::ENFILE, Some(Shortage::Files))]
    #[case::processes(Errno::EAGAIN, Some(Shortage::Processes))]
    #[case::memory(Errno::ENOMEM, Some(Shortage::Memory))]
    #[case::buffers(Errno::ENOBUFS, Some(Shortage::Memory))]
    #[case::ports(Errno::EADDRNOTAVAIL, Some(Shortage::Ports))]
    #[case::a_missing_file(Errno::ENOENT, None)]
    #[case::no_program(Errno::ENOEXEC, None)]
    #[case::too_many_words(Errno::E2BIG, None)]
    fn only_what_the_daemon_lacks_is_a_shortage(
        #[case] errno: Errno,
        #[case] expected: Option<Shortage>,
    ) {
        assert_eq!(Shortage::of(&errno.into()), expected);
    }
}
