//! The command handler against real programs: what they are given, what their ends mean, and that
//! nothing of them is left.

use legwork::{
    config::CommandSettings,
    executor::{AttemptLimits, Context, Handler, Stop, StopOrder, execute},
    handlers::Command,
    job::{
        Backoff, ClaimedJob, Ending, JobError, JobId, JobResult, KindName, Lease, Outcome,
        QueueName,
    },
};
use rstest::rstest;
use std::{fs, io::Write, path::Path, process::Stdio, time::Duration};
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A program in a directory of its own, in which it runs.
struct Program {
    directory: TempDir,
    settings: CommandSettings,
}

impl Program {
    fn new(script: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("program");
        install(&path, script);
        let settings = CommandSettings {
            command: vec![path.to_str().expect("UTF-8").to_owned()],
            env: Vec::new(),
            cwd: Some(directory.path().to_owned()),
            kill_grace: Duration::from_millis(200),
            max_output: 64 * 1024,
        };
        Self { directory, settings }
    }

    fn handler(&self) -> Command {
        let (base, max) = (Duration::from_secs(2), Duration::from_hours(1));
        Command::new(self.settings.clone(), Backoff::new(base, 2.0, max, 0.0).expect("legal"))
    }

    async fn run(&self, payload: &str) -> Ending {
        execute(&self.handler(), &context(payload, LONG), &StopOrder::default()).await
    }

    async fn outcome(&self, payload: &str) -> Outcome {
        match self.run(payload).await {
            Ending::Decided(outcome) => outcome,
            other => panic!("not decided: {other:?}"),
        }
    }

    fn left(&self, file: &str) -> Vec<u8> {
        fs::read(self.directory.path().join(file)).expect("the program wrote this file")
    }
}

/// Written by another process: a descriptor of ours that is open for writing would be inherited by
/// whatever another test forks just then, and the program be "busy".
fn install(path: &Path, script: &str) {
    install_as_is(path, &format!("#!/bin/sh\n{script}\n"));
}

fn install_as_is(path: &Path, content: &str) {
    let mut install = std::process::Command::new("install")
        .args(["-m", "755", "/dev/stdin"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("install runs");
    let mut stdin = install.stdin.take().expect("a pipe");
    write!(stdin, "{content}").expect("it reads");
    drop(stdin);
    assert!(install.wait().expect("it ends").success());
}

const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(100);
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn context(payload: &str, timeout: Duration) -> Context {
    stoppable(payload, timeout, CancellationToken::new())
}

fn stoppable(payload: &str, timeout: Duration, token: CancellationToken) -> Context {
    let job = ClaimedJob {
        charged: 2,
        metadata: Some(format!(r#"{{"traceparent":"{TRACE}","request_id":"r-1"}}"#)),
        ..ClaimedJob::new(
            Lease { job: JobId(42), token: 7, holder: 1 },
            QueueName::new("mail").expect("a name"),
            KindName::new("send").expect("a name"),
            payload,
        )
    };
    Context::new(job, AttemptLimits { timeout, max_attempts: 3, grace_without_lease: SHORT }, token)
}

fn error_of(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Retry { error, .. } | Outcome::Discard { error, .. } => error.as_str(),
        other => panic!("no error in {other:?}"),
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Complete { .. } => "complete",
        Outcome::Retry { .. } => "retry",
        Outcome::Discard { reason, .. } => reason.as_str(),
        Outcome::Snooze { .. } => "snooze",
        Outcome::Park { .. } => "park",
        Outcome::Cancel => "cancel",
        Outcome::Written { .. } => "written",
    }
}

/// Processes of which this one is the parent, zombies included.
fn children() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc").flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Whether a process runs; one that was killed may take a moment to go, and a zombie is gone.
async fn is_gone(pid: &str) -> bool {
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) if !stat.contains(") Z ") => tokio::task::yield_now().await,
            _ => return true,
        }
    }
    false
}

#[rstest]
#[case::success(0, "complete")]
#[case::failure(1, "retry")]
#[case::usage(64, "permanent_error")]
#[case::bad_data(65, "invalid_payload")]
#[case::unavailable(69, "retry")]
#[case::try_later(75, "snooze")]
#[case::no_permission(77, "permanent_error")]
#[case::bad_configuration(78, "permanent_error")]
#[case::of_docker(125, "retry")]
#[case::of_a_shell_not_executable(126, "retry")]
#[case::of_a_shell_not_found(127, "retry")]
#[case::highest(255, "retry")]
#[tokio::test]
async fn an_exit_code_decides(#[case] code: i32, #[case] expected: &str) {
    let outcome = Program::new(&format!("echo trouble >&2; exit {code}")).outcome("{}").await;
    assert_eq!(word(&outcome), expected);
    if !matches!(code, 0 | 75) {
        assert_eq!(error_of(&outcome), format!("exit code {code}\ntrouble"));
    }
}

#[tokio::test]
async fn a_program_that_is_unavailable_waits_twice_its_backoff() {
    let outcome = Program::new("exit 69").outcome("{}").await;
    assert!(
        matches!(outcome, Outcome::Retry { after: Some(after), .. } if after.as_secs() == 16),
        "attempt 3 of base 2 s: twice 8 s, not {outcome:?}"
    );
}

#[rstest]
#[case::snooze_in_words(75, r#""10m""#, 600)]
#[case::snooze_in_seconds(75, "90", 90)]
#[case::retry(1, r#""1h 30m""#, 5400)]
#[case::unavailable(69, "5", 5)]
#[tokio::test]
async fn a_program_says_when_to_run_again(
    #[case] code: i32,
    #[case] said: &str,
    #[case] seconds: u64,
) {
    let script = format!("echo '{{\"retry_after\": {said}}}' >&3; exit {code}");
    let expected = Some(Duration::from_secs(seconds));
    match Program::new(&script).outcome("{}").await {
        Outcome::Snooze { delay } => assert_eq!(delay, expected),
        Outcome::Retry { after, .. } => assert_eq!(after, expected),
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case::plain(r#"{"a": 1}"#)]
#[case::injection(r#"{"a": "; rm -rf / $(reboot) `reboot` --flag ' \" \n %s"}"#)]
#[case::no_object("null")]
#[tokio::test]
async fn the_payload_is_on_standard_input_byte_for_byte(#[case] payload: &str) {
    let program = Program::new("cat > stdin; cat /proc/$$/cmdline > argv");
    assert_eq!(word(&program.outcome(payload).await), "complete");
    assert_eq!(program.left("stdin"), payload.as_bytes());
    let argv = format!("/bin/sh\0{}\0", program.settings.command[0]);
    assert_eq!(program.left("argv"), argv.as_bytes());
}

#[tokio::test]
async fn arguments_are_the_files_words_unchanged() {
    let mut program = Program::new(r#"printf '%s\n' "$@" > arguments"#);
    program.settings.command.extend(["--a b".to_owned(), "$HOME;*".to_owned(), String::new()]);
    program.outcome("{}").await;
    assert_eq!(program.left("arguments"), b"--a b\n$HOME;*\n\n");
}

#[tokio::test]
async fn the_environment_is_legworks_and_the_files_and_nothing_else() {
    let mut program = Program::new("cat /proc/$$/environ > environ");
    program.settings.env = vec![
        ("MODE".to_owned(), "a b;$c".to_owned()),
        ("LEGWORK_JOB_ID".to_owned(), "forged".to_owned()),
    ];
    program.outcome("{}").await;
    let text = String::from_utf8(program.left("environ")).expect("UTF-8");
    let mut found: Vec<_> = text.split_terminator('\0').collect();
    found.sort_unstable();
    let position = found.iter().position(|it| it.starts_with("LEGWORK_DEADLINE="));
    let deadline = found.remove(position.expect("a deadline"));
    assert!(deadline.starts_with("LEGWORK_DEADLINE=20") && deadline.ends_with('Z'), "{deadline}");
    assert_eq!(
        found,
        [
            "LEGWORK_ATTEMPT=3",
            "LEGWORK_FINAL_ATTEMPT=true",
            "LEGWORK_JOB_ID=42",
            "LEGWORK_KIND=send",
            "LEGWORK_LEASE_TOKEN=7",
            "LEGWORK_MAX_ATTEMPTS=3",
            "LEGWORK_QUEUE=mail",
            "LEGWORK_REQUEST_ID=r-1",
            "LEGWORK_RESULT_FD=3",
            "MODE=a b;$c",
            &format!("TRACEPARENT={TRACE}"),
        ]
    );
}

#[tokio::test]
async fn a_program_has_four_descriptors_and_private_files() {
    // 10 and above: where the shell keeps its script and what it redirected.
    let script = "for n in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && list=\"$list $n\"; done
        echo $list > list; umask > mask";
    let program = Program::new(script);
    program.outcome("{}").await;
    assert_eq!(program.left("list"), b"0 1 2 3\n");
    assert_eq!(program.left("mask"), b"0077\n");
}

#[rstest]
#[case::printed(r#"echo '{"a":1}'"#, Some(r#"{"a":1}"#))]
#[case::said(r#"echo '{"result":{"b":2}}' >&3"#, Some(r#"{"b":2}"#))]
#[case::said_wins(r#"echo 1; echo '{"result":2}' >&3"#, Some("2"))]
#[case::the_last_word_counts(r#"printf '{"result":1}\n{"result":2}' >&3"#, Some("2"))]
#[case::nonsense_is_ignored(r#"printf 'no\n[]\n{"x":1}\n{"result":3}\n' >&3"#, Some("3"))]
#[case::not_json("echo done", None)]
#[case::nothing("true", None)]
#[case::too_deep("head -c 5000 /dev/zero | tr '\\0' '['", None)]
#[case::too_deep_said(
    r#"(printf '{"result":'; head -c 5000 /dev/zero | tr '\0' '['; echo) >&3"#,
    None
)]
#[tokio::test]
async fn a_result_is_printed_or_said(#[case] script: &str, #[case] expected: Option<&str>) {
    let Outcome::Complete { result } = Program::new(script).outcome("{}").await else {
        panic!("not completed");
    };
    assert_eq!(result.as_ref().map(JobResult::as_str), expected);
}

#[tokio::test]
async fn progress_is_passed_on() {
    let program = Program::new(r#"echo '{"progress":"half way"}' >&3"#);
    let context = context("{}", LONG);
    execute(&program.handler(), &context, &StopOrder::default()).await;
    assert_eq!(context.progress().borrow().as_deref(), Some("half way"));
}

#[tokio::test]
async fn a_payload_that_nobody_reads_holds_nothing_up() {
    let payload = format!("\"{}\"", "x".repeat(1 << 20));
    assert_eq!(word(&Program::new("exec 0<&-; exit 0").outcome(&payload).await), "complete");
    assert_eq!(word(&Program::new("exit 0").outcome(&payload).await), "complete");
}

#[tokio::test]
async fn an_output_bomb_is_cut_in_the_middle() {
    let script = "echo first >&2; head -c 100000000 /dev/zero >&2; echo last >&2; exit 1";
    let outcome = Program::new(script).outcome("{}").await;
    let error = error_of(&outcome);
    assert!(error.len() <= 8192 && error.starts_with("exit code 1\nfirst"));
    assert!(error.ends_with("last"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_runaway_descendant_that_keeps_the_pipes_open_ends_with_its_program() {
    let program = Program::new(
        "setsid sh -c 'echo $$ > pid.new; mv pid.new pid; exec sleep 100' &\n\
        while ! [ -e pid ]; do :; done; echo 5",
    );
    assert_eq!(word(&program.outcome("{}").await), "complete");
    let pid = String::from_utf8(program.left("pid")).expect("UTF-8");
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "it outlived its attempt");
}

/// The program's guard is killed before it could end the runaway, which keeps the pipes.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_runaway_descendant_that_outlives_the_guard_holds_nothing_up() {
    let program = Program::new(
        "setsid sh -c 'echo $$ > pid.new; mv pid.new pid; exec sleep 60' &\n\
        while ! [ -e pid ]; do :; done; kill -KILL $PPID; exec sleep 60",
    );
    let started = Instant::now();
    let outcome = program.outcome("{}").await;
    assert_eq!(error_of(&outcome), "killed by signal 9 (SIGKILL)");
    assert!(started.elapsed() < Duration::from_secs(30));
    let pid = String::from_utf8(program.left("pid")).expect("UTF-8");
    let runaway = nix::unistd::Pid::from_raw(pid.trim().parse().expect("a number"));
    nix::sys::signal::kill(runaway, nix::sys::signal::Signal::SIGKILL).expect("it had escaped");
}

#[tokio::test]
async fn a_descendant_in_the_group_ends_with_its_program() {
    let program = Program::new("(sleep 60 & echo $! > pid)");
    assert_eq!(word(&program.outcome("{}").await), "complete");
    let pid = String::from_utf8(program.left("pid")).expect("UTF-8");
    assert!(is_gone(pid.trim()).await, "it outlived its attempt");
}

#[rstest]
#[case::by_kill("kill -KILL $$", "killed by signal 9 (SIGKILL)")]
#[case::by_segv("kill -SEGV $$", "killed by signal 11 (SIGSEGV)")]
#[case::by_quit_which_also_ends_guards("kill -QUIT $$", "killed by signal 3 (SIGQUIT)")]
#[case::by_a_real_time_signal("kill -40 $$", "killed by signal 40")]
#[tokio::test]
async fn a_killed_program_is_tried_again(#[case] script: &str, #[case] error: &str) {
    let outcome = Program::new(script).outcome("{}").await;
    assert_eq!((word(&outcome), error_of(&outcome)), ("retry", error));
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_named_and_tried_again() {
    let mut program = Program::new("");
    for path in ["/nowhere/at-all", "/etc/passwd"] {
        program.settings.command = vec![path.to_owned()];
        let outcome = program.outcome("{}").await;
        assert_eq!(word(&outcome), "retry");
        assert!(error_of(&outcome).starts_with(&format!("can't start {path} in /")), "{outcome:?}");
    }
}

#[rstest]
#[case::emptied("")]
#[case::a_script_without_its_first_line("exit 0\n")]
#[tokio::test]
async fn a_file_that_only_a_shell_would_run_is_not_run(#[case] content: &str) {
    let mut program = Program::new("");
    let path = program.directory.path().join("no-program");
    install_as_is(&path, content);
    program.settings.command = vec![path.to_str().expect("UTF-8").to_owned()];
    let outcome = program.outcome("{}").await;
    assert_eq!(word(&outcome), "retry");
    assert!(error_of(&outcome).contains("Exec format error"), "{outcome:?}");
}

/// Ignores TERM; its descendant too. Says so by a file before it waits.
const STUBBORN: &str = "trap '' TERM; sleep 60 & echo $! > pid.new; mv pid.new pid; wait; wait";

async fn stopped(script: &str, why: Stop) -> (Ending, Program) {
    stopped_program(Program::new(script), why).await
}

async fn stopped_program(program: Program, why: Stop) -> (Ending, Program) {
    let (token, stop) = (CancellationToken::new(), StopOrder::default());
    let context = stoppable("{}", LONG, token.clone());
    let handler = program.handler();
    let pid = program.directory.path().join("pid");
    let stopping = async {
        while !pid.exists() {
            tokio::task::yield_now().await;
        }
        stop.give(why);
        token.cancel();
    };
    let (ending, ()) = tokio::join!(execute(&handler, &context, &stop), stopping);
    (ending, program)
}

#[rstest]
#[case::cancelled(Stop::Cancelled, Ending::Cancelled)]
#[case::shutdown(Stop::Shutdown, Ending::Interrupted)]
#[case::lease_lost(Stop::LeaseLost, Ending::Interrupted)]
#[tokio::test]
async fn a_program_that_ignores_term_is_killed_with_its_group(
    #[case] why: Stop,
    #[case] expected: Ending,
) {
    let (ending, program) = stopped(STUBBORN, why).await;
    assert_eq!(ending, expected);
    let pid = String::from_utf8(program.left("pid")).expect("UTF-8");
    assert!(is_gone(pid.trim()).await, "its descendant lives");
}

#[tokio::test]
async fn a_program_gets_term_first_and_its_exit_code_no_longer_counts() {
    let script = "trap 'echo told > told; exit 0' TERM; : > pid; while :; do :; done";
    let (ending, program) = stopped(script, Stop::Cancelled).await;
    assert_eq!(ending, Ending::Cancelled);
    assert_eq!(program.left("told"), b"told\n");
}

#[tokio::test]
async fn a_program_that_takes_too_long_times_out() {
    let limit = Duration::from_millis(300);
    let program = Program::new("echo waiting for the relay >&2; exec sleep 60");
    let ending = execute(&program.handler(), &context("{}", limit), &StopOrder::default()).await;
    let told = JobError::new("killed by signal 15 (SIGTERM)\nwaiting for the relay");
    assert_eq!(ending, Ending::TimedOut { limit, told: Some(told) });
}

#[tokio::test]
async fn a_program_that_ignores_term_is_gone_soon_after_its_lease_whatever_its_grace() {
    let mut program = Program::new(STUBBORN);
    program.settings.kill_grace = LONG;
    let started = Instant::now();
    let (ending, program) = stopped_program(program, Stop::LeaseLost).await;
    assert_eq!(ending, Ending::Interrupted);
    let pid = String::from_utf8(program.left("pid")).expect("UTF-8");
    assert!(is_gone(pid.trim()).await, "its descendant lives");
    assert!(started.elapsed() < LONG, "it had its whole grace");
}

#[tokio::test]
async fn a_dropped_attempt_kills_its_program() {
    let program = Program::new(STUBBORN);
    let (handler, context) = (program.handler(), context("{}", LONG));
    let pid = program.directory.path().join("pid");
    tokio::select! {
        outcome = handler.run(&context) => panic!("it ended: {outcome:?}"),
        () = async { while !pid.exists() { tokio::task::yield_now().await } } => {}
    }
    let pid = String::from_utf8(program.left("pid")).expect("UTF-8");
    assert!(is_gone(pid.trim()).await);
}

/// In a process of its own, because other tests have children and descriptors at the same time.
#[test]
fn two_hundred_runs_leave_no_zombie_and_no_descriptor() {
    let mut again = std::process::Command::new(std::env::current_exe().expect("this test"));
    let inner = again
        .args(["--exact", "command::runs_leave_nothing", "--nocapture", "--test-threads=1"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&inner.stdout);
    assert!(inner.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn runs_leave_nothing() {
    // Beside other tests this one only counts when it is alone, as the test above runs it.
    let alone = std::env::args().any(|argument| argument == "--exact");
    let program = Program::new("exit 0");
    program.outcome("{}").await;
    let descriptors = || fs::read_dir("/proc/self/fd").expect("/proc").count();
    let before = descriptors();
    for run in 0..if alone { 200 } else { 1 } {
        if run % 10 == 0 {
            let context = context("{}", LONG);
            drop(tokio::time::timeout(Duration::ZERO, program.handler().run(&context)).await);
        }
        assert_eq!(word(&program.outcome("{}").await), "complete");
    }
    let until = Instant::now() + Duration::from_secs(10);
    while alone && !children().is_empty() && Instant::now() < until {
        tokio::task::yield_now().await;
    }
    assert!(!alone || children().is_empty(), "left: {:?}", children());
    assert!(!alone || descriptors() <= before, "{before} descriptors became {}", descriptors());
}
