//! A child program with all that it starts, which is always killed as a whole and always reaped.
//!
//! Two things go wrong with a bare child. Its descendants live on when it ends or is killed, and
//! run outside every lease. And whoever stops waiting for it (a future that is dropped) leaves a
//! zombie. So on Linux the program has a [`guard`](super::guard), which is what is signalled and
//! waited for here and which ends only after every descendant; and dropping the value hands it to the
//! spawner's thread.
//!
//! Elsewhere there is the process group alone, whose rest is killed before its leader is reaped (a
//! zombie keeps the group's number from being given to strangers). A descendant that made a session of
//! its own is out of its reach, and nothing ends with the daemon.

use std::{
    io,
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::Pid};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use super::{ChildSetup, report, spawner};

/// The net under SIGCHLD, which somebody else's handler might swallow.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A running program at the head of its own session and group.
#[derive(Debug)]
pub struct ProcessGroup {
    /// The guard; the program itself where there are no guards.
    leader: Option<Child>,
    id: Pid,
}

impl ProcessGroup {
    /// Starts the command from the spawner's thread, with the variables that it sets and no others. It
    /// and all that it starts die with this process. Where its file or directory hangs, only this waits.
    pub async fn start(mut command: Command, setup: ChildSetup) -> io::Result<Self> {
        let (outcome, report) = report::pipe()?;
        let setup = setup.guarded_session().death_signal(Signal::SIGKILL).report_to(report);
        setup.apply(&mut command);
        let group = spawner::on_the_thread(move || command.spawn().and_then(Self::of)).await??;
        outcome.begun().await?;
        Ok(group)
    }

    fn of(leader: Child) -> io::Result<Self> {
        let id = i32::try_from(leader.id()).map_err(io::Error::other)?;
        Ok(Self { leader: Some(leader), id: Pid::from_raw(id) })
    }

    /// The number of the process that stands for all of them: the guard's; the program's own where there are
    /// no guards.
    pub fn process_id(&self) -> u32 {
        self.id.as_raw().unsigned_abs()
    }

    /// The child that was started, for its pipes.
    pub fn leader(&mut self) -> Option<&mut Child> {
        self.leader.as_mut()
    }

    /// Returns once the program has ended, and on Linux everything that it started; it isn't reaped by
    /// that.
    pub async fn ended(&mut self) -> io::Result<()> {
        let mut deaths = signal(SignalKind::child())?;
        while !self.has_ended()? {
            drop(timeout(LOOK_AGAIN, deaths.recv()).await);
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn has_ended(&mut self) -> io::Result<bool> {
        use nix::{
            errno::Errno,
            sys::wait::{Id, WaitPidFlag, WaitStatus, waitid},
        };

        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(self.id), look) {
            Ok(WaitStatus::StillAlive) => Ok(false),
            // EINVAL: ended by a real-time signal, for which nix has no name.
            Ok(_) | Err(Errno::EINVAL) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Without a look that doesn't reap, the group's rest is killed a moment after its leader went.
    #[cfg(not(target_os = "linux"))]
    fn has_ended(&mut self) -> io::Result<bool> {
        match &mut self.leader {
            Some(leader) => leader.try_wait().map(|status| status.is_some()),
            None => Ok(true),
        }
    }

    /// Asks the program's group to end, by TERM.
    pub fn terminate(&self) {
        // Here as below: who is gone already is what the sender is after. The guard passes it on.
        #[cfg(target_os = "linux")]
        nix::sys::signal::kill(self.id, Signal::SIGTERM).ok();
        #[cfg(not(target_os = "linux"))]
        nix::sys::signal::killpg(self.id, Signal::SIGTERM).ok();
    }

    /// Kills the program's group, and on Linux whoever escaped from it.
    pub fn kill(&self) {
        #[cfg(target_os = "linux")]
        super::guard::end(self.id);
        #[cfg(not(target_os = "linux"))]
        nix::sys::signal::killpg(self.id, Signal::SIGKILL).ok();
    }

    /// Kills what is left and returns how the program ended. Waits for it: call it after
    /// [`ended`](Self::ended).
    pub fn reap(mut self) -> io::Result<ExitStatus> {
        self.kill();
        match self.leader.take() {
            Some(mut leader) => leader.wait(),
            None => Err(nix::errno::Errno::ECHILD.into()),
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(leader) = self.leader.take() {
            self.kill();
            spawner::reap(leader);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
