//! Programs behind their guards: how they end, what they hold, and what is left of them.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::Stdio,
};

use nix::sys::signal::kill;
use rstest::rstest;
use tempfile::TempDir;
use tokio::time::Instant;

use super::*;

/// So long is a fact waited for before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A shell in a directory of its own, by which all that it starts is found again.
struct Shell {
    directory: TempDir,
    group: ProcessGroup,
}

impl Shell {
    async fn start(script: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).current_dir(&directory);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let group = ProcessGroup::start(command, ChildSetup::new()).await.expect("sh runs");
        Self { directory, group }
    }

    async fn status(mut self) -> ExitStatus {
        timeout(PATIENCE, self.group.ended()).await.expect("it ends").expect("it is seen");
        self.group.reap().expect("it is waited for")
    }

    /// The first line that it prints; what came with it is lost.
    fn line(&mut self) -> String {
        let stdout = self.group.leader().expect("it runs").stdout.as_mut().expect("a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("UTF-8");
        line.trim_end().to_owned()
    }

    fn inhabitants(&self) -> usize {
        count_inside(self.directory.path())
    }

    async fn is_deserted(&self) -> bool {
        let until = Instant::now() + PATIENCE;
        while self.inhabitants() > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.inhabitants() == 0
    }
}

/// Processes in a directory. A zombie is in none.
fn count_inside(directory: &Path) -> usize {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let places = processes.filter_map(|it| fs::read_link(it.path().join("cwd")).ok());
    places.filter(|place| place == directory).count()
}

/// Leaves one process in the group and one in a session of its own, both deaf to TERM, and says so.
const LEAVES_TWO: &str = "trap '' TERM; sleep 100 &
setsid sh -c 'echo there; exec sleep 100' & ";

#[rstest]
#[case::success("exit 0", 0)]
#[case::a_code("exit 7", 7 << 8)]
#[case::the_highest_code("exit 255", 255 << 8)]
#[case::term("kill -TERM $$", 15)]
#[case::kill("kill -KILL $$", 9)]
#[case::the_signal_that_ends_guards("kill -QUIT $$", 3)]
#[case::a_signal_that_guards_wait_for("kill -ALRM $$", 14)]
#[case::a_dump_of_core_that_is_none("ulimit -c 0; kill -SEGV $$", 11)]
#[case::another("ulimit -c 0; kill -ABRT $$", 6)]
#[case::a_real_time_signal("kill -40 $$", 40)]
#[case::the_highest_signal("kill -64 $$", 64)]
#[tokio::test]
async fn the_programs_end_arrives_unchanged(#[case] script: &str, #[case] raw: i32) {
    assert_eq!(Shell::start(script).await.status().await, ExitStatus::from_raw(raw));
}

#[expect(unsafe_code, reason = "changing what a signal does is unsafe")]
#[tokio::test]
async fn a_program_is_not_deaf_to_what_the_daemon_ignores() {
    use nix::sys::signal::{SigHandler, Signal, signal};

    // SAFETY: no code of ours runs then. Nobody here has a use for this signal.
    unsafe { signal(Signal::SIGUSR2, SigHandler::SigIgn) }.expect("it may be ignored");
    let status = Shell::start("kill -USR2 $$").await.status().await;
    assert_eq!(status.signal(), Some(Signal::SIGUSR2 as i32));
}

#[tokio::test]
async fn a_guard_leaves_no_core_where_its_program_may() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    // The guard's own limit, which is ours until it sets it.
    let (_, most) = getrlimit(Resource::RLIMIT_CORE).expect("a limit");
    setrlimit(Resource::RLIMIT_CORE, most, most).expect("it may rise so far");
    let status = Shell::start("ulimit -c unlimited; kill -SEGV $$").await.status().await;
    assert_eq!((status.signal(), status.core_dumped()), (Some(11), false));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error() {
    let refused = ProcessGroup::start(Command::new("/nowhere/at-all"), ChildSetup::new()).await;
    assert_eq!(refused.expect_err("there is no such file").kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_setup_that_fails_behind_the_guard_is_an_error() {
    let setup = ChildSetup::new().limit(nix::sys::resource::Resource::RLIMIT_NOFILE, u64::MAX);
    let refused = ProcessGroup::start(Command::new("/bin/true"), setup).await;
    assert_eq!(refused.expect_err("no such limit").kind(), io::ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn a_guard_holds_no_descriptor_and_no_pipe_open() {
    let mut shell = Shell::start("exec 1>&-; read -r line; exit 3").await;
    // The end of the stream, while the program runs.
    assert_eq!(shell.line(), "");
    // One it has for a moment, in which it reads what memory it has to give back.
    let held = format!("/proc/{}/fd", shell.group.id);
    let mut left = usize::MAX;
    for _ in 0..1000 {
        left = fs::read_dir(&held).expect("the guard runs").count();
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(left, 0);
    let stdin = shell.group.leader().expect("it runs").stdin.take().expect("a pipe");
    { stdin }.write_all(b"line\n").expect("the program reads");
    assert_eq!(shell.status().await.code(), Some(3));
}

#[tokio::test]
async fn a_guard_is_neither_in_the_group_of_its_program_nor_in_ours() {
    let mut shell = Shell::start("echo $$; read -r line").await;
    let program = Pid::from_raw(shell.line().parse().expect("a pid"));
    let groups = [Some(program), Some(shell.group.id), None].map(nix::unistd::getpgid);
    let ours = nix::unistd::getpgrp();
    assert_eq!(groups, [Ok(program), Ok(shell.group.id), Ok(ours)]);
    let name = fs::read_to_string(format!("/proc/{}/comm", shell.group.id)).expect("it runs");
    assert_eq!(name, "job-guard\n");
}

#[tokio::test]
async fn a_programs_end_is_the_end_of_all_that_it_started() {
    let mut shell = Shell::start(&format!("{LEAVES_TWO} read -r line; exit 5")).await;
    assert_eq!(shell.line(), "there");
    shell.group.leader().expect("it runs").stdin = None;
    shell.group.ended().await.expect("it is seen");
    // No waiting: who sees the end may rely on it.
    assert_eq!(shell.inhabitants(), 0);
    assert_eq!(shell.status().await.code(), Some(5));
}

#[tokio::test]
async fn a_crowd_that_left_one_by_one_is_ended_too() {
    let script = "for n in 1 2 3 4 5 6 7 8 9; do setsid setsid setsid sh -c \
        'sleep 100 & setsid sh -c \"setsid sleep 100 & setsid sleep 100\" & wait' & done
        setsid sh -c 'n=0; while [ $n -lt 200 ]; do setsid sleep 100 & n=$((n + 1)); done' & \
        sleep 0.2";
    let mut shell = Shell::start(script).await;
    shell.group.ended().await.expect("it is seen");
    assert_eq!(shell.inhabitants(), 0);
}

#[tokio::test]
async fn term_is_passed_on_to_the_group() {
    let mut shell = Shell::start("trap 'exit 4' TERM; echo there; while :; do :; done").await;
    assert_eq!(shell.line(), "there");
    shell.group.terminate();
    assert_eq!(shell.status().await.code(), Some(4));
}

#[tokio::test]
async fn who_ignores_term_is_killed_with_all_that_it_started() {
    let mut shell = Shell::start(&format!("{LEAVES_TWO} wait; wait")).await;
    assert_eq!(shell.line(), "there");
    shell.group.terminate();
    shell.group.kill();
    shell.group.ended().await.expect("it is seen");
    assert_eq!(shell.inhabitants(), 0);
    assert_eq!(shell.status().await.signal(), Some(9));
}

#[tokio::test]
async fn a_guard_that_is_stopped_hears_of_the_end() {
    let mut shell = Shell::start(&format!("{LEAVES_TWO} kill -STOP $PPID; wait; wait")).await;
    assert_eq!(shell.line(), "there");
    let stat = format!("/proc/{}/stat", shell.group.id);
    while !fs::read_to_string(&stat).expect("it runs").contains(") T ") {
        tokio::task::yield_now().await;
    }
    shell.group.kill();
    assert_eq!(shell.status().await.signal(), Some(9));
}

#[tokio::test]
async fn a_guard_that_is_killed_takes_its_program_along() {
    let mut shell = Shell::start("echo there; exec sleep 100").await;
    assert_eq!(shell.line(), "there");
    kill(shell.group.id, Signal::SIGKILL).expect("it runs");
    shell.group.ended().await.expect("it is seen");
    assert!(shell.is_deserted().await);
}

#[tokio::test]
async fn a_group_that_nobody_waits_for_is_killed_and_reaped() {
    let mut shell = Shell::start(&format!("{LEAVES_TWO} wait; wait")).await;
    assert_eq!(shell.line(), "there");
    let Shell { directory, group } = shell;
    let guard = Path::new("/proc").join(group.id.to_string());
    let until = Instant::now() + PATIENCE;
    drop(group);
    while guard.exists() && Instant::now() < until {
        tokio::task::yield_now().await;
    }
    assert!(!guard.exists(), "a zombie is left");
    drop(directory);
}

#[tokio::test]
async fn a_guard_keeps_nothing_of_our_memory() {
    const MIB: usize = 1 << 20;
    let mut ours = vec![1_u8; 64 * MIB];
    let shell = Shell::start("exec sleep 100").await;
    // What is written to now would be the guard's alone.
    ours.fill(2);
    let status = format!("/proc/{}/status", shell.group.id);
    let until = Instant::now() + PATIENCE;
    let mut held = usize::MAX;
    while held > 16 * MIB && Instant::now() < until {
        let text = fs::read_to_string(&status).expect("the guard runs");
        let anonymous = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = anonymous.and_then(|rest| rest.trim().strip_suffix(" kB")).expect("a number");
        held = kib.parse::<usize>().expect("a number") * 1024;
    }
    assert!(held <= 16 * MIB, "it holds {held} bytes");
    assert_eq!(ours.last(), Some(&2));
}

/// Traced, a process that was killed is its tracer's to wait for first, which has no time for it.
#[expect(unsafe_code, reason = "nix has ptrace only as a feature that nothing else needs")]
fn trace(pid: Pid) -> bool {
    let none = std::ptr::null_mut::<nix::libc::c_void>();
    // SAFETY: numbers alone; the process is one that this test started.
    unsafe { nix::libc::ptrace(nix::libc::PTRACE_SEIZE, pid.as_raw(), none, none) == 0 }
}

#[tokio::test]
async fn a_guard_does_not_wait_for_ever_for_what_it_killed() {
    let mut shell = Shell::start("sleep 100 & echo $!; read -r line; exit 5").await;
    let slow = Pid::from_raw(shell.line().parse().expect("a pid"));
    if !trace(slow) {
        return;
    }
    shell.group.leader().expect("it runs").stdin = None;
    assert_eq!(shell.status().await.code(), Some(5));
    nix::sys::wait::waitpid(slow, None).expect("it was killed and is still there");
}

#[tokio::test]
async fn a_program_has_the_descriptors_it_was_given_and_no_others() {
    use std::io::Read;

    let (mut reader, writer) = io::pipe().expect("a pipe");
    // Without its close-on-exec mark, as systemd hands sockets over.
    let stray = nix::unistd::dup(&reader).expect("a descriptor to leak");
    let setup = ChildSetup::new().pass(3, writer.into()).expect("number 3 can be taken");
    // Asked one by one, and not in a `$(…)`: a listing would open the directory and count itself, a
    // substitution would open a pipe.
    let script = "n=0; while [ $n -lt 1024 ]; do
        if [ -e /proc/$$/fd/$n ]; then echo $n >&3; fi; n=$((n + 1)); done";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    let setup = setup.close_descriptors_from(4);
    let mut group = ProcessGroup::start(command, setup).await.expect("sh runs");
    group.ended().await.expect("it is seen");
    drop(stray);
    let mut listed = String::new();
    reader.read_to_string(&mut listed).expect("it ends, so no copy of the writer is left");
    assert_eq!(listed, "0\n1\n2\n3\n");
}

/// A program that whoever starts it waits for, as on a file system that hangs: until the file is dropped.
#[expect(unsafe_code, reason = "nix has no leases")]
fn hung_program(directory: &Path) -> Option<(std::path::PathBuf, fs::File)> {
    const SET_SIGNAL: i32 = 10;
    let path = directory.join("hung");
    fs::copy("/bin/true", &path).expect("a copy");
    let file = fs::File::open(&path).expect("it is ours");
    let number = std::os::fd::AsRawFd::as_raw_fd(&file);
    // SAFETY: numbers alone. The signal, which says that somebody waits, is one that nobody dies by.
    let leased = unsafe {
        nix::libc::fcntl(number, SET_SIGNAL, Signal::SIGURG as i32) == 0
            && nix::libc::fcntl(number, nix::libc::F_SETLEASE, nix::libc::F_WRLCK) == 0
    };
    leased.then_some((path, file))
}

#[tokio::test]
async fn a_program_that_hangs_as_it_starts_holds_up_no_other_and_goes_with_its_caller() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some((path, lease)) = hung_program(directory.path()) else { return };
    let start = || {
        let setup = ChildSetup::new().directory(directory.path()).expect("a name");
        ProcessGroup::start(Command::new(&path), setup)
    };
    let mut given_up = Box::pin(start());
    let mut waited_for = Box::pin(start());
    let inside = || count_inside(directory.path());
    let until = Instant::now() + PATIENCE;
    while inside() < 2 && Instant::now() < until {
        let pause = tokio::time::sleep(Duration::from_millis(5));
        tokio::select! {
            biased;
            _ = &mut given_up => panic!("it hangs"),
            _ = &mut waited_for => panic!("it hangs"),
            () = pause => {}
        }
    }
    assert_eq!(inside(), 2);
    let other = timeout(PATIENCE, Shell::start("exit 5")).await.expect("it isn't held up");
    assert_eq!(other.status().await.code(), Some(5));

    drop(given_up);
    while inside() > 1 && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(inside(), 1);
    drop(lease);
    let mut group = waited_for.await.expect("it starts");
    group.ended().await.expect("it is seen");
    assert_eq!(group.reap().expect("it is waited for").code(), Some(0));
}
