//! The files of one private Postgres: made by initdb, swept away when their owner is dead.
//!
//! Access is by file permissions. The socket lies in a directory that only its owner may enter,
//! so connections through it are trusted; over TCP, where every user of the machine could knock,
//! a random password is required. The superuser could run programs, so this matters even for a
//! throwaway cluster.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Output, Stdio};

use super::EmbeddedError;
use super::account::Account;
use super::binaries::Binaries;
use super::place::Place;
use crate::sys::spawner;

/// The name of the superuser, on every machine the same.
pub(super) const SUPERUSER: &str = "postgres";

/// initdb's locales, the better first: macOS knows no `C.UTF-8`.
const LOCALES: [&str; 2] = ["C.UTF-8", "C"];

/// Within the data directory: the password that TCP connections need.
const PASSWORD: &str = "legwork.password";

/// The most of a program's last words that an error repeats, in bytes.
const LAST_WORDS: usize = 2048;

/// How long `pg_ctl` may wait for a stale server to stop, in seconds.
const STALE_STOP_SECONDS: &str = "10";

/// What initdb and the server have in common.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) binaries: Binaries,
    pub(super) account: Account,
    pub(super) place: Place,
}

impl Cluster {
    /// Makes the data directory, unless it holds a cluster already.
    pub(super) fn initialise(&self) -> Result<(), EmbeddedError> {
        if self.place.data().join("PG_VERSION").exists() {
            return Ok(());
        }
        let password = self.write_password()?;
        let mut output = self.initdb(LOCALES[0], &password)?;
        if !output.status.success() {
            output = self.initdb(LOCALES[1], &password)?;
        }
        if !output.status.success() {
            let said = last_words(&output.stderr);
            return Err(EmbeddedError::Initdb { status: output.status.to_string(), said });
        }
        let kept = self.place.data().join(PASSWORD);
        fs::copy(&password, &kept)
            .and_then(|_| self.account.own(&kept))
            .map_err(EmbeddedError::files("write", &kept))
    }

    /// Runs initdb with this locale, as the account.
    fn initdb(&self, locale: &str, password: &Path) -> Result<Output, EmbeddedError> {
        let program = self.binaries.program("initdb");
        let mut command = Account::command(&program, self.place.path());
        command.args(["--no-sync", "--no-instructions", "--encoding=UTF8", "--auth-local=trust"]);
        command.args(["--auth-host=scram-sha-256", "--username", SUPERUSER]);
        command.arg(format!("--locale={locale}")).arg("--pwfile").arg(password);
        command.arg("-D").arg(self.place.data());
        self.account.setup().apply(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        spawner::spawn_blocking(command)
            .and_then(std::process::Child::wait_with_output)
            .map_err(|source| EmbeddedError::Run { program, source })
    }

    /// A file with a new password, for initdb.
    fn write_password(&self) -> Result<std::path::PathBuf, EmbeddedError> {
        let path = self.place.path().join("password");
        let write = || {
            let mut random = [0; 16];
            File::open("/dev/urandom")?.read_exact(&mut random)?;
            fs::write(&path, format!("{:032x}\n", u128::from_ne_bytes(random)))?;
            self.account.own(&path)
        };
        write().map_err(EmbeddedError::files("write", &path))?;
        Ok(path)
    }

    /// The superuser's password over TCP.
    pub(super) fn password(&self) -> Result<String, EmbeddedError> {
        let path = self.place.data().join(PASSWORD);
        let kept = fs::read_to_string(&path).map_err(EmbeddedError::files("read", &path))?;
        Ok(kept.trim().to_owned())
    }

    /// The end of the server's log.
    pub(super) fn last_logged(&self) -> String {
        fs::read(self.place.log()).map(|log| last_words(&log)).unwrap_or_default()
    }
}

/// Stops what dead owners left running and removes what they left lying.
///
/// A directory that can't be cleaned is left alone and logged: it is no reason not to start.
pub(super) fn sweep(base: &Path, account: Account, binaries: &Binaries) {
    for place in Place::stale(base, account) {
        let swept = stop_stale(&place, account, binaries).and_then(|()| place.remove());
        match swept {
            Ok(()) => tracing::info!(path = %place.path().display(), "stale cluster removed"),
            Err(error) => tracing::warn!(
                path = %place.path().display(),
                error = &error as &dyn std::error::Error,
                "stale cluster left alone"
            ),
        }
    }
}

/// Stops the server of a stale directory, if one answers there. `pg_ctl` runs as the account,
/// so whatever pid it finds in a file, it can't stop anybody else's process.
fn stop_stale(place: &Place, account: Account, binaries: &Binaries) -> Result<(), EmbeddedError> {
    if !is_served(place.path()) {
        return Ok(());
    }
    let program = binaries.program("pg_ctl");
    let mut command = Account::command(&program, place.path());
    command.args(["stop", "-w", "-m", "immediate", "-t", STALE_STOP_SECONDS, "-D"]);
    command.arg(place.data()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    account.setup().apply(&mut command);
    let stopped = spawner::spawn_blocking(command).and_then(|mut child| child.wait());
    stopped.map_err(|source| EmbeddedError::Run { program, source })?;
    if is_served(place.path()) {
        let seconds = STALE_STOP_SECONDS.parse().unwrap_or_default();
        return Err(EmbeddedError::Late { awaited: "stop", seconds, said: String::new() });
    }
    Ok(())
}

/// Whether a server accepts connections on a socket in this directory.
fn is_served(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut sockets = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(".s.PGSQL.") && !name.ends_with(".lock")
    });
    sockets.any(|socket| UnixStream::connect(socket.path()).is_ok())
}

/// The last bytes of an output, from the start of a line.
pub(super) fn last_words(output: &[u8]) -> String {
    let from = output.len().saturating_sub(LAST_WORDS);
    let text = String::from_utf8_lossy(&output[from..]);
    let cut = if from == 0 { 0 } else { text.find('\n').map_or(0, |end| end + 1) };
    text[cut..].trim().to_owned()
}
