//! The directory of one private Postgres: its socket, its log and, unless the caller keeps the
//! data elsewhere, its data.
//!
//! It lies under a base that every user can traverse (`/var/tmp`: the user `postgres` can't enter
//! `/root`), with a name short enough for a socket address. Its owner holds a lock on the
//! directory for as long as it lives. The kernel drops the lock when the owner dies, so a
//! directory whose lock can be had is stale: no pid is compared, none can be reused.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::EmbeddedError;
use super::account::Account;

/// How the directories are named, so that they are found again.
const PREFIX: &str = "legwork-pg-";

/// The longest path in a `sockaddr_un`: 108 bytes, one of them the final zero.
const SOCKET_PATH_LIMIT: usize = 107;

/// Names tried before giving up: a name is only lost to a sweep that runs in the same instant.
const ATTEMPTS: u32 = 16;

/// A directory that this process owns, locked.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Held, never read: closing it gives the lock back.
    _lock: File,
}

impl Place {
    /// Makes a new directory under `base` for a server whose socket ends in `port`.
    pub(super) fn create(base: &Path, account: Account, port: u16) -> Result<Self, EmbeddedError> {
        let mut tried = 0;
        loop {
            let path = base.join(format!("{PREFIX}{:012x}", fastrand::u64(..) >> 16));
            fits_a_socket(&path, port)?;
            tried += 1;
            match Self::try_create(&path, account) {
                Ok(Some(place)) => return Ok(place),
                Ok(None) if tried < ATTEMPTS => {}
                Ok(None) => {
                    let lost = std::io::Error::other("each new directory was swept away");
                    return Err(EmbeddedError::files("lock", path)(lost));
                }
                Err(source) => return Err(EmbeddedError::files("create", path)(source)),
            }
        }
    }

    /// Makes and locks one directory; `None` if a sweep of another process was faster.
    fn try_create(path: &Path, account: Account) -> std::io::Result<Option<Self>> {
        DirBuilder::new().mode(0o700).create(path)?;
        let lock = File::open(path)?;
        match lock.try_lock() {
            // A sweep that had the lock before us has removed what we opened.
            Ok(()) if is_still_at(&lock, path) => {}
            Ok(()) | Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        account.own(path)?;
        Ok(Some(Self { path: path.to_owned(), _lock: lock }))
    }

    /// The directories under `base` of owners that are dead. Each is locked by us from here on.
    pub(super) fn stale(base: &Path, account: Account) -> Vec<Self> {
        let entries = fs::read_dir(base).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
            .filter_map(|entry| Self::take_over(entry.path(), account))
            .collect()
    }

    /// Locks a directory of this account, if its owner is dead. Others' directories aren't ours to
    /// clean, and a link could lead anywhere.
    fn take_over(path: PathBuf, account: Account) -> Option<Self> {
        let found = fs::symlink_metadata(&path).ok()?;
        // Root makes a directory before giving it away, so what it left half made is root's.
        let ours = [account.uid().as_raw(), nix::unistd::Uid::effective().as_raw()];
        if !found.is_dir() || !ours.contains(&found.uid()) {
            return None;
        }
        let lock = File::open(&path).ok()?;
        lock.try_lock().ok()?;
        Some(Self { path, _lock: lock })
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the data lies if the caller doesn't keep it elsewhere.
    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Makes the data directory a link to one that is kept.
    pub(super) fn link_data(&self, kept: &Path) -> Result<(), EmbeddedError> {
        kept.canonicalize()
            .and_then(|kept| std::os::unix::fs::symlink(kept, self.data()))
            .map_err(EmbeddedError::files("link to", kept))
    }

    /// The server's log.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("server.log")
    }

    /// Removes the directory with all that is in it.
    pub(super) fn remove(&self) -> Result<(), EmbeddedError> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(EmbeddedError::files("remove", &self.path)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Whether an open directory is the one that has this path now.
fn is_still_at(open: &File, path: &Path) -> bool {
    let inodes = open.metadata().ok().zip(fs::symlink_metadata(path).ok());
    inodes.is_some_and(|(held, found)| (held.dev(), held.ino()) == (found.dev(), found.ino()))
}

/// Refuses a directory whose socket couldn't be addressed.
fn fits_a_socket(directory: &Path, port: u16) -> Result<(), EmbeddedError> {
    let path = directory.join(format!(".s.PGSQL.{port}"));
    let length = path.as_os_str().len();
    if length > SOCKET_PATH_LIMIT {
        return Err(EmbeddedError::PlaceSocket { path, length, limit: SOCKET_PATH_LIMIT });
    }
    Ok(())
}
