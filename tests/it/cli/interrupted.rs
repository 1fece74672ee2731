//! Ctrl-C in the middle of a file of jobs, and a command that has no standard output.

use super::{command, finished, live_jobs};
use crate::support::{self, PATIENCE, TestDb};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rstest::rstest;
use std::process::Stdio;
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

/// Sessions in the middle of a COPY, on this database.
async fn copying(db: &TestDb) -> bool {
    let mut connection = db.connect().await;
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_stat_progress_copy WHERE datname = current_database()
            AND tuples_processed > 0)",
    )
    .fetch_one(&mut connection)
    .await
    .expect("progress can be read")
}

#[rstest]
#[case::ctrl_c(Signal::SIGINT)]
#[case::term(Signal::SIGTERM)]
fn a_file_that_is_interrupted_enqueues_nothing_and_says_so(#[case] signal: Signal) {
    support::run(async |db| {
        let mut command = command(&db.url(), &["enqueue", "--file", "-"]);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the binary runs");
        let mut input = child.stdin.take().expect("it reads");
        let jobs = "{\"kind\":\"bulk\"}\n".repeat(50_000);
        input.write_all(jobs.as_bytes()).await.expect("it reads all of it");
        support::eventually("the COPY is under way", async || copying(&db).await).await;

        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).expect("it runs");
        kill(Pid::from_raw(pid), signal).expect("it can be interrupted");
        let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends");
        let output = output.expect("it can be waited for");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said, "error: interrupted; nothing was enqueued\n");
        assert!(output.stdout.is_empty());
        support::eventually("the server has let go", async || !copying(&db).await).await;
        assert_eq!(live_jobs(&db).await, 0);
        drop(input);
    });
}

/// The job is what counts; and no result goes into a file or connection that took the number 1.
#[rstest]
#[case::one_job(&["enqueue", "k"])]
#[case::a_file(&["enqueue", "--file", "-"])]
fn a_command_without_standard_output_does_its_work_and_is_exit_code_0(#[case] arguments: &[&str]) {
    support::run(async |db| {
        let whole = command(&db.url(), arguments);
        let mut closed = Command::new("/bin/sh");
        closed.args(["-c", "exec \"$0\" \"$@\" >&-", env!("CARGO_BIN_EXE_legwork")]);
        closed.args(arguments).env_clear().kill_on_drop(true);
        closed.envs(whole.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
        closed.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ran = finished(closed, Some(b"{\"kind\":\"k\"}\n")).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        assert_eq!(live_jobs(&db).await, 1);
    });
}

/// What comes after the change is a look at how the queue stands, which may wait or fail.
#[rstest]
#[case::set(&["queue", "set", "mail", "--concurrency", "2"], "queue mail is overridden\n")]
#[case::unset(&["queue", "unset", "mail"], "queue mail had no override\n")]
fn what_was_decided_for_a_queue_is_said_before_the_queue_is_looked_at(
    #[case] arguments: &[&str],
    #[case] says: &str,
) {
    support::run(async |db| {
        let mut other = db.connect().await;
        sqlx::raw_sql("BEGIN; LOCK TABLE legwork.job").execute(&mut other).await.expect("a lock");
        let mut command = command(&db.url(), arguments);
        let mut child = command.stdin(Stdio::null()).spawn().expect("it runs");
        support::eventually("the look waits, or has done so as long as it may", async || {
            let waiting = support::who_waits_for("legwork.job");
            let waits = sqlx::query_scalar::<_, i32>(waiting).fetch_one(&mut other).await;
            waits.expect("locks can be read") != 0
                || child.try_wait().expect("it is ours").is_some()
        })
        .await;
        if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
            kill(Pid::from_raw(pid), Signal::SIGINT).expect("it can be interrupted");
        }
        let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends");
        let output = output.expect("it can be waited for");
        assert_eq!(String::from_utf8_lossy(&output.stdout), says);
        drop(other);
    });
}
