//! Programs of others that judge what the admin port serves, since ours and its tests could be wrong together: Go's
//! pprof, Prometheus' promtool, and a fuzzer of API descriptions.
//!
//! A machine that has one on its `PATH` has its verdict; elsewhere the test says in a line that it wasn't judged.
//! `LEGWORK_TEST_JUDGES=1`, as `.ci/run` has it once it has installed them all, fails instead.

use std::io::Write;
use std::process::Stdio;

use tokio::process::Command;
use tokio::time::Instant;

use super::{LOOK_EVERY, PATIENCE, server::environment};

/// The command of a judge, which reads nothing and ends with the test; nothing where it isn't at hand.
pub(crate) fn judge(program: &str) -> Option<Command> {
    let path = environment("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|directory| directory.join(program).is_file()) {
        let wanted = environment("LEGWORK_TEST_JUDGES").as_deref() == Some("1");
        assert!(
            !wanted,
            "LEGWORK_TEST_JUDGES=1, and there is no {program}: make judges installs it"
        );
        // Past the capture of output: a passing run is to say it as well.
        let line = format!("there is no {program}: it judges nothing here\n");
        std::io::stderr().write_all(line.as_bytes()).ok();
        return None;
    }
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Some(command)
}

/// What `go tool pprof` prints with these arguments, and what it says besides; nothing where there is no Go.
pub(crate) async fn go_pprof(arguments: &[&str]) -> Option<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let began = Instant::now();
    loop {
        let mut command = judge("go")?;
        command.args(["tool", "pprof"]).args(arguments);
        // It keeps what it fetched, and looks for binaries, in the home directory.
        command.env("HOME", directory.path()).env("PPROF_TMPDIR", directory.path());
        let ran = command.output().await.expect("go runs");
        let (printed, said) =
            (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        if ran.status.success() {
            return Some(format!("{printed}{said}"));
        }
        // It gives a daemon a few seconds for the names, which a debug build beside other tests may not meet; that one
        // goes on with them for a while, and takes no second profile meanwhile.
        let slow =
            ["timeout awaiting response headers", "at the moment"].map(|why| said.contains(why));
        assert!(slow.contains(&true) && began.elapsed() < 3 * PATIENCE, "{said}");
        // Between two tries: Go tells nobody when the daemon is done with the names.
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
