//! The command line as its users have it: the real binary, a real database, exit codes and text.
//!
//! What a command prints is golden, with moments and ages blotted out; what it means is asserted.

mod audited;
mod bench;
mod changes;
mod errors;
mod file;
mod filtered;
mod globals;
mod goldens;
mod healthcheck;
mod interrupted;
mod itself;
mod over_http;
mod paging;
mod plaintext;
mod printed;
mod profiled;
pub(crate) mod reference;
mod slow;
mod traced;
mod unsure;
mod urls;

use crate::support::{PATIENCE, TestDb, pooled};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Stdio};
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

/// What a command left behind.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in {}\n{}", self.stdout, self.stderr))
    }

    /// For a command that a test only needs done.
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self
    }
}

/// Writes a file that is the owner's alone; says where it is.
fn kept(directory: &Path, name: &str, text: &str) -> String {
    let file = directory.join(name);
    fs::write(&file, text).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("ours");
    file.to_str().expect("UTF-8").to_owned()
}

/// The same of a role's token, in a file of the role's name.
fn kept_token(directory: &Path, role: &str) -> String {
    kept(directory, role, &format!("{role}-0123456789abcdef0123456789abcdef\n"))
}

/// What names a daemon, and the token of a role that is kept there.
fn named(
    [option, url]: [&str; 2],
    token_option: &str,
    (directory, role): (&Path, &str),
) -> Vec<String> {
    let token = directory.join(role);
    [option, url, token_option, token.to_str().expect("UTF-8")].map(str::to_owned).into()
}

/// `legwork` on this database, and nothing else in its environment.
pub(crate) fn command(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_legwork"));
    command.args(arguments).env_clear().current_dir("/");
    command.envs(std::env::vars_os().filter(|(name, _)| name == "LLVM_PROFILE_FILE"));
    command.envs(pooled::variables(url, arguments));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

pub(crate) async fn finished(mut command: Command, input: Option<&[u8]>) -> Ran {
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().expect("the binary runs");
    let stdin = child.stdin.take();
    let write = async {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // A command that has found a mistake may stop reading.
            stdin.write_all(input).await.ok();
        }
    };
    let both = async { tokio::join!(write, child.wait_with_output()).1 };
    let output = timeout(PATIENCE, both).await.expect("it ends").expect("it can be waited for");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it speaks UTF-8");
    Ran {
        code: output.status.code().expect("it wasn't killed"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Runs `legwork` on the test's database.
pub(crate) async fn legwork(db: &TestDb, arguments: &[&str]) -> Ran {
    finished(command(&db.url(), arguments), None).await
}

/// Runs it with this on standard input.
pub(crate) async fn legwork_fed(db: &TestDb, arguments: &[&str], input: &[u8]) -> Ran {
    finished(command(&db.url(), arguments), Some(input)).await
}

/// How many jobs are unfinished.
async fn live_jobs(db: &TestDb) -> i64 {
    let mut connection = db.connect().await;
    sqlx::query_scalar("SELECT count(*) FROM legwork.job")
        .fetch_one(&mut connection)
        .await
        .expect("jobs can be counted")
}

/// Runs statements that a test arranges its jobs with.
async fn arrange(db: &TestDb, sql: &'static str) {
    let mut connection = db.connect().await;
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("the test's jobs can be arranged");
}
