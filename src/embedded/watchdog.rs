//! A small process that outlives a killed owner just long enough to clean up after it.
//!
//! A test run ends without running destructors, and `kill -9` runs nothing at all. On Linux the
//! death signal stops the server then, but its directory would stay, and other systems have no
//! death signal. So a shell waits for the end of its input, which comes when the owner ends in
//! whatever way, stops the server if it still runs and removes the directory.
//!
//! What even this misses (a power cut, a killed watchdog) is found by the sweep at the next start.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};

use super::EmbeddedError;
use super::account::Account;
use crate::sys::spawner;

/// Each line of its input is the server's pid, or nothing while there is no server. Ten seconds
/// bound the wait where nobody reaps the server and its pid stays.
const SCRIPT: &str = r#"
while read -r line; do pid=$line; done
if [ -n "$pid" ]; then
  kill -QUIT "$pid" 2>/dev/null
  tries=0
  while kill -0 "$pid" 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
fi
rm -rf -- "$1"
"#;

/// The watchdog of one directory. Dropping it without [`end`](Self::end) lets it act.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// Starts watching over a directory in which no server runs yet.
    pub(super) fn start(directory: &Path, account: Account) -> Result<Self, EmbeddedError> {
        let program = Path::new("/bin/sh");
        let mut command = Account::command(program, Path::new("/"));
        command.args(["-c", SCRIPT, "legwork-pg-watchdog"]).arg(directory);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        account.setup().apply(&mut command);
        let shell = spawner::spawn_blocking(command)
            .map_err(|source| EmbeddedError::Run { program: program.to_owned(), source })?;
        Ok(Self { shell })
    }

    /// Tells it which server to stop, or that there is none now.
    pub(super) fn watch(&mut self, server: Option<u32>) {
        let line = server.map_or_else(|| "\n".to_owned(), |pid| format!("{pid}\n"));
        let told = self.shell.stdin.as_mut().map(|input| input.write_all(line.as_bytes()));
        if let Some(Err(error)) = told {
            // Not fatal: only the cleaning after a crash of ours is lost, until the next sweep.
            tracing::warn!(%error, "the watchdog of the private Postgres has ended");
        }
    }

    /// Ends it, after its directory has been removed.
    pub(super) fn end(&mut self) {
        drop(self.shell.stdin.take());
        if let Err(error) = self.shell.wait() {
            tracing::warn!(%error, "waiting for the watchdog of the private Postgres failed");
        }
    }
}
