//! As whom the private Postgres runs, and how its programs are started as that user.
//!
//! initdb and postgres both refuse to run as root, and containers and CI machines usually are
//! root. Then an unprivileged account takes over: `postgres` where the package made it, else
//! `nobody`. Everybody else runs Postgres as themselves.

use std::path::Path;
use std::process::Command;

use nix::unistd::{Gid, Uid, User};

use super::EmbeddedError;
use crate::sys::ChildSetup;

/// The accounts that take over from root, the better one first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// The user that owns the cluster and runs its programs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    uid: Uid,
    gid: Gid,
    /// Whether this process is root and has to give that up for its children.
    dropped: bool,
}

impl Account {
    /// The account for a cluster of this process.
    pub(super) fn choose() -> Result<Self, EmbeddedError> {
        if !Uid::effective().is_root() {
            let (uid, gid) = (Uid::effective(), Gid::effective());
            return Ok(Self { uid, gid, dropped: false });
        }
        let known = UNPRIVILEGED.iter().find_map(|name| User::from_name(name).ok().flatten());
        let user = known.filter(|user| !user.uid.is_root()).ok_or(EmbeddedError::FindUser)?;
        Ok(Self { uid: user.uid, gid: user.gid, dropped: true })
    }

    /// The account's number.
    pub(super) fn uid(self) -> Uid {
        self.uid
    }

    /// Gives a file or directory to this account.
    pub(super) fn own(self, path: &Path) -> std::io::Result<()> {
        if self.dropped {
            std::os::unix::fs::chown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw()))?;
        }
        Ok(())
    }

    /// A setup for children that run as this account, in a process group of their own: the Ctrl-C
    /// that drains the daemon must not stop the Postgres which the drain needs.
    pub(super) fn setup(self) -> ChildSetup {
        let setup = ChildSetup::new().own_process_group();
        if self.dropped { setup.user(self.uid, self.gid) } else { setup }
    }

    /// A command with an environment that doesn't depend on the caller's: a `PGDATA` or a locale
    /// of theirs must not reach the private cluster. `home` is a directory the account may enter.
    pub(super) fn command(program: &Path, home: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C");
        command.current_dir(home);
        command
    }
}
