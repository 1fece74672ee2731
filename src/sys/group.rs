//! A child program with its process group, that is always killed as a whole and always reaped.
//!
//! Two things go wrong with a bare child. Its descendants live on when it ends or is killed, and
//! run outside every lease. And whoever stops waiting for it (a future that is dropped) leaves a
//! zombie. So the group is signalled as one, its rest is killed *before* its leader is reaped (a
//! zombie keeps the group's number from being given to strangers), and dropping the value hands
//! the child to the spawner's thread.
//!
//! A descendant that made a session of its own is out of the group's reach; `orphans` finds it.

use std::{
    io,
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use super::{
    ChildSetup,
    orphans::{self, Marks},
    spawner,
};

/// The net under SIGCHLD, which somebody else's handler might swallow.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A running child at the head of its own session and group.
#[derive(Debug)]
pub struct ProcessGroup {
    leader: Option<Child>,
    id: Pid,
    marks: Marks,
}

impl ProcessGroup {
    /// Starts the command from the spawner's thread.
    pub async fn start(mut command: Command, setup: ChildSetup) -> io::Result<Self> {
        setup.own_session().apply(&mut command);
        spawner::on_the_thread(move || command.spawn().and_then(Self::of)).await?
    }

    fn of(leader: Child) -> io::Result<Self> {
        let id = i32::try_from(leader.id()).map_err(io::Error::other)?;
        orphans::enter(leader.id());
        Ok(Self { leader: Some(leader), id: Pid::from_raw(id), marks: Marks::new() })
    }

    /// Entries of its environment by which its descendants are known, wherever they went.
    #[must_use]
    pub fn marked(mut self, marks: Vec<String>) -> Self {
        self.marks = marks;
        self
    }

    /// The leader, for its pipes.
    pub fn leader(&mut self) -> Option<&mut Child> {
        self.leader.as_mut()
    }

    /// Returns once the leader has ended; it isn't reaped by that.
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

    /// Sends a signal to the whole group.
    pub fn signal(&self, signal: Signal) {
        // The group may be gone already, and that is what the sender is after.
        killpg(self.id, signal).ok();
    }

    /// Kills what is left of the group and returns how its leader ended. Waits for the leader:
    /// call it after [`ended`](Self::ended).
    pub fn reap(mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::SIGKILL);
        spawner::sweep(std::mem::take(&mut self.marks));
        match self.leader.take() {
            Some(mut leader) => orphans::leave(leader.id(), || (leader.wait(), true)),
            None => Err(nix::errno::Errno::ECHILD.into()),
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(leader) = self.leader.take() {
            self.signal(Signal::SIGKILL);
            spawner::sweep(std::mem::take(&mut self.marks));
            spawner::reap(leader);
        }
    }
}
