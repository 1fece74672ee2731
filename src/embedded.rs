//! A private Postgres from the programs that the system has already: for the demo, for tests and
//! for anybody who wants to look at Legwork before they have a database for it.
//!
//! Why: two commands shall be enough to see it work, and a test of a queue is worth little
//! without the real server. The cluster lies in a directory of its own, listens on a Unix socket
//! there, runs as an unprivileged user even when we are root, and dies with its owner: stopped and
//! removed by [`Postgres::stop`], by `Drop`, by the kernel and a watchdog when the owner is
//! killed, and by the next start when all of these were.
//!
//! Where the system has no such programs, a [`Container`] serves the demo instead.
//!
//! It installs nothing and holds no SQL; whoever needs a schema connects to [`Postgres::url`].
//! `docs/adr/0006-embedded-postgres.md` has the alternatives.

mod account;
mod binaries;
mod cluster;
mod container;
mod error;
mod place;
mod server;
mod watchdog;

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use self::account::Account;
use self::binaries::Binaries;
use self::cluster::{Cluster, SUPERUSER};
pub use self::container::{Container, IMAGE};
pub use self::error::EmbeddedError;
use self::place::Place;
use self::server::Server;
use self::watchdog::Watchdog;

/// The port in the socket's name where none is asked for.
const DEFAULT_PORT: u16 = 5432;

/// What becomes of the data when the machine loses power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Nothing is synced: fast, and lost with the machine. For data that goes with the cluster.
    #[default]
    Throwaway,
    /// Postgres's own defaults: what is committed survives.
    Durable,
}

/// How a server is made to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Sessions are ended, a checkpoint is written.
    Fast,
    /// Processes are ended at once; the next start recovers from the log.
    Immediate,
    /// `kill -9` of the postmaster: what a crash looks like.
    Kill,
}

impl Halt {
    /// The signal that means this to the postmaster.
    fn signal(self) -> Signal {
        match self {
            Self::Fast => Signal::SIGINT,
            Self::Immediate => Signal::SIGQUIT,
            Self::Kill => Signal::SIGKILL,
        }
    }
}

/// How to start a private Postgres. The default is a throwaway cluster on a Unix socket.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directories to look for Postgres's programs in. The caller may put its `$PATH` before the
    /// default, which is where packages put them.
    pub search: Vec<PathBuf>,
    /// Whether commits are to survive the machine.
    pub durability: Durability,
    /// Server settings, stronger than our own.
    pub settings: Vec<(String, String)>,
    /// A port on 127.0.0.1, behind a random password, beside the socket.
    pub tcp_port: Option<u16>,
    /// A data directory to keep, made if it isn't there. Without it the data goes with the server.
    pub keep_data_in: Option<PathBuf>,
    /// Where the directory of the server is made: short, and open to every user.
    pub base: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            search: binaries::usual_places(),
            durability: Durability::default(),
            settings: Vec::new(),
            tcp_port: None,
            keep_data_in: None,
            base: PathBuf::from("/var/tmp"),
        }
    }
}

/// A private Postgres that belongs to this process. Everything here blocks: from async code, use
/// a blocking thread.
#[derive(Debug)]
pub struct Postgres {
    cluster: Cluster,
    /// The lock on a data directory that is kept.
    _data_lock: Option<File>,
    settings: Vec<(String, String)>,
    durability: Durability,
    tcp_port: Option<u16>,
    watchdog: Watchdog,
    server: Option<Server>,
    gone: bool,
}

impl Postgres {
    /// Makes a cluster, unless the data of one is kept, and starts it: about 0.9 s, of which
    /// initdb takes 0.7.
    pub fn start(options: &Options) -> Result<Self, EmbeddedError> {
        let binaries = Binaries::find(&options.search)?;
        let account = Account::choose()?;
        cluster::sweep(&options.base, account, &binaries);

        let data_lock = options.keep_data_in.as_deref().map(|data| lock_data(data, account));
        let data_lock = data_lock.transpose()?;
        let port = options.tcp_port.unwrap_or(DEFAULT_PORT);
        let place = Place::create(&options.base, account, port)?;
        let mut postgres = Self {
            settings: settings(options, place.path(), port),
            durability: options.durability,
            tcp_port: options.tcp_port,
            watchdog: Watchdog::start(place.path(), account)?,
            cluster: Cluster { binaries, account, place },
            _data_lock: data_lock,
            server: None,
            gone: false,
        };
        if let Some(data) = &options.keep_data_in {
            postgres.cluster.place.link_data(data)?;
        }
        postgres.cluster.initialise()?;
        postgres.resume()?;
        Ok(postgres)
    }

    /// The address of a database, through the Unix socket.
    pub fn url(&self, database: &str) -> String {
        let directory = percent_encoded(&self.directory().to_string_lossy());
        let port = self.tcp_port.unwrap_or(DEFAULT_PORT);
        let database = percent_encoded(database);
        // Whatever PGSSLMODE says of other servers: this one has no TLS.
        format!(
            "postgres:///{database}?host={directory}&port={port}&user={SUPERUSER}&sslmode=disable"
        )
    }

    /// The address of a database over TCP, if a port was asked for.
    pub fn tcp_url(&self, database: &str) -> Result<Option<String>, EmbeddedError> {
        let Some(port) = self.tcp_port else { return Ok(None) };
        let password = self.cluster.password()?;
        let database = percent_encoded(database);
        Ok(Some(format!(
            "postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/{database}?sslmode=disable"
        )))
    }

    /// The directory with the socket.
    pub fn directory(&self) -> &Path {
        self.cluster.place.path()
    }

    /// The directory with the server's programs, and mostly `psql`.
    pub fn binaries(&self) -> &Path {
        self.cluster.binaries.directory()
    }

    /// The process id of the postmaster, while one runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Server::pid)
    }

    /// Stops the server and leaves its files, so that [`resume`](Self::resume) can start it again.
    pub fn halt(&mut self, how: Halt) -> Result<(), EmbeddedError> {
        let Some(server) = self.server.take() else { return Ok(()) };
        let halted = server.halt(how, &self.cluster);
        self.watchdog.watch(None);
        halted
    }

    /// Starts the server again after [`halt`](Self::halt).
    pub fn resume(&mut self) -> Result<(), EmbeddedError> {
        if self.server.is_some() {
            return Ok(());
        }
        let server = self.server.insert(Server::start(&self.cluster, &self.settings)?);
        self.watchdog.watch(Some(server.pid()));
        server.wait_until_ready(&self.cluster)
    }

    /// Stops the server in this way and starts it again.
    pub fn restart(&mut self, how: Halt) -> Result<(), EmbeddedError> {
        self.halt(how)?;
        self.resume()
    }

    /// Stops the server and removes its directory; data that is kept elsewhere stays.
    pub fn stop(mut self) -> Result<(), EmbeddedError> {
        self.clear_away()
    }

    /// What `stop` and `Drop` do.
    fn clear_away(&mut self) -> Result<(), EmbeddedError> {
        self.gone = true;
        let how = match self.durability {
            Durability::Throwaway => Halt::Immediate,
            Durability::Durable => Halt::Fast,
        };
        let halted = self.halt(how);
        let removed = self.cluster.place.remove();
        self.watchdog.end();
        halted.and(removed)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.gone {
            return;
        }
        if let Err(error) = self.clear_away() {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the private Postgres wasn't cleared away");
        }
    }
}

/// Makes a data directory that is kept, if it isn't there, and locks it against other owners.
fn lock_data(data: &Path, account: Account) -> Result<File, EmbeddedError> {
    if !data.exists() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data)
            .and_then(|()| account.own(data))
            .map_err(EmbeddedError::files("create", data))?;
    }
    let lock = File::open(data).map_err(EmbeddedError::files("open", data))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(EmbeddedError::InUse { path: data.to_owned() }),
        Err(TryLockError::Error(error)) => Err(EmbeddedError::files("lock", data)(error)),
    }
}

/// The settings of the server, in the order of their strength.
fn settings(options: &Options, directory: &Path, port: u16) -> Vec<(String, String)> {
    let listen = if options.tcp_port.is_some() { "127.0.0.1" } else { "" };
    let directory = directory.to_string_lossy();
    let port = port.to_string();
    let mut settings = vec![
        ("listen_addresses", listen),
        ("port", &port),
        ("unix_socket_directories", &directory),
        ("unix_socket_permissions", "0700"),
        // Shared memory in the cluster's own directory: removed with it, whatever happened.
        ("dynamic_shared_memory_type", "mmap"),
    ];
    if options.durability == Durability::Throwaway {
        settings.extend([("fsync", "off"), ("full_page_writes", "off")]);
    }
    let own = settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    own.chain(options.settings.iter().cloned()).collect()
}

/// Text as a part of a URL, where only plain characters and slashes stand for themselves.
fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").ok();
        }
        encoded
    })
}
