//! The daemon as process 1, as in a container: orphans, signals, exit codes. In a process namespace
//! of its own, which needs root or the right to make user namespaces.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rstest::rstest;
use tokio::process::Command;

use super::{Configuration, Notebook, SLACK, becomes, enqueue};
use crate::support::{self, Daemon};

/// A program that leaves others behind in sessions of their own and kills its guard, which would have
/// ended them. They outlive both, and somebody has to wait for them.
const LEAVES_ORPHANS: &str = "for n in 1 2 3; do
  setsid sh -c \"touch away$n; while [ ! -e go ]; do sleep 0.02; done; echo orphan >> notes\" &
done
until [ -e away1 ] && [ -e away2 ] && [ -e away3 ]; do sleep 0.02; done
kill -KILL $PPID";

/// `unshare`, which runs a program as process 1, if this machine allows it.
fn as_process_1() -> Option<Vec<&'static str>> {
    let alone = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];
    [alone.to_vec(), [&alone[..], &["--user", "--map-root-user"]].concat()].into_iter().find(
        |words| {
            let mut tried = std::process::Command::new(words[0]);
            tried.args(&words[1..]).arg("true").stderr(std::process::Stdio::null());
            tried.status().is_ok_and(|status| status.success())
        },
    )
}

/// Starts `legwork run` as process 1.
async fn start(words: &[&str], configuration: &str) -> Daemon {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("legwork.toml");
    std::fs::write(&file, configuration).expect("the configuration can be written");
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(env!("CARGO_BIN_EXE_legwork"));
    command.arg("--config").arg(&file).arg("run");
    Daemon::start_command(command, directory).await
}

/// The children of a process, each with its state: `Z` is a zombie.
fn children(of: Pid) -> Vec<(Pid, char)> {
    let stat = |entry: std::fs::DirEntry| {
        let text = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (pid, rest) = (text.split(' ').next()?.parse().ok()?, text.rsplit_once(") ")?.1);
        let mut fields = rest.split(' ');
        let (state, parent) = (fields.next()?.chars().next()?, fields.next()?.parse().ok()?);
        (Pid::from_raw(parent) == of).then_some((Pid::from_raw(pid), state))
    };
    std::fs::read_dir("/proc")
        .expect("processes can be listed")
        .flatten()
        .filter_map(stat)
        .collect()
}

#[rstest]
#[case::drains(Signal::SIGTERM, Some(0))]
#[case::is_killed(Signal::SIGKILL, Some(137))]
fn process_1_leaves_no_zombie_passes_signals_on_and_ends_as_the_daemon_did(
    #[case] signal: Signal,
    #[case] code: Option<i32>,
) {
    let Some(words) = as_process_1() else { return };
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("leaves", LEAVES_ORPHANS, "max_attempts = 1")];
        let mut unshare = start(&words, &Configuration::of(&db.url(), &kinds).text()).await;
        unshare.logged("daemon.started").await;
        let first = children(unshare.pid())[0].0;
        let daemon = children(first)[0].0;

        let id = enqueue(&pool, "leaves").await;
        becomes(&pool, id, "discarded").await;
        support::eventually("process 1 has the orphans", async || children(first).len() == 4).await;
        notebook.allow("go");
        support::eventually("orphans that ended are waited for", async || {
            children(first).iter().map(|child| child.0).eq([daemon])
        })
        .await;
        assert!(children(daemon).is_empty());
        let orphans = notebook.lines().iter().filter(|line| line.starts_with("orphan")).count();
        assert_eq!(orphans, 3);

        // KILL can't be passed on: that one is for the daemon itself.
        kill(if code == Some(0) { first } else { daemon }, signal).unwrap();
        assert_eq!(unshare.exit(SLACK).await.code(), code, "{}", unshare.printed());
        pool.close().await;
    });
}
