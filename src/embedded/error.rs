//! What can go wrong with a private Postgres, in words that say what to do.
//!
//! Whoever meets these errors ran a demo or a test on a machine we know nothing about, so each one
//! carries the evidence: where was looked, what the program printed, which command installs it.

use std::io;
use std::path::PathBuf;

/// Why a private Postgres couldn't be started, stopped or started again.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// There are no server programs, or only too old ones.
    #[error("{found}, but a private Postgres needs version {minimum} or newer. {install}")]
    FindBinaries {
        /// What there is: nothing, or the newest version and its directory.
        found: String,
        /// The oldest major version that will do.
        minimum: u16,
        /// The sentence with the command that installs it here.
        install: String,
    },
    /// There is no program that speaks to a Docker engine.
    #[error("there is no `docker` on the PATH")]
    FindDocker,
    /// The Docker engine isn't there, or can't do what it was asked.
    #[error("{said}")]
    Docker {
        /// The end of what `docker` printed.
        said: String,
    },
    /// Postgres refuses to run as root, and there is no other user to run it as.
    #[error("Postgres refuses to run as root, and there is neither a user postgres nor nobody")]
    FindUser,
    /// The path of the socket would be longer than the system allows.
    #[error("the socket {path} has a path of {length} bytes; at most {limit} are possible")]
    PlaceSocket {
        /// The socket's path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// The longest path that fits into a socket address.
        limit: usize,
    },
    /// Another process that lives uses this data directory.
    #[error("the data directory {path} is in use by another process")]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// A file or directory of the cluster couldn't be made, read or removed.
    #[error("{operation} {path}")]
    Files {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// One of Postgres's programs couldn't be run at all.
    #[error("run {program}")]
    Run {
        /// The program.
        program: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// initdb ran and failed.
    #[error("initdb failed with {status}: {said}")]
    Initdb {
        /// Its exit status.
        status: String,
        /// The end of what it printed.
        said: String,
    },
    /// The server ended instead of becoming ready.
    #[error("the private Postgres ended with {status} before it was ready: {said}")]
    Ended {
        /// Its exit status.
        status: String,
        /// The end of its log.
        said: String,
    },
    /// The server didn't get ready, or didn't stop, within the bound.
    #[error("the private Postgres didn't {awaited} within {seconds} s: {said}")]
    Late {
        /// What was waited for.
        awaited: &'static str,
        /// For how long.
        seconds: u64,
        /// The end of its log.
        said: String,
    },
}

impl EmbeddedError {
    /// For `map_err`: a failed operation on a path.
    pub(super) fn files(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Files { operation, path, source }
    }
}
