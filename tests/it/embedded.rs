//! The private Postgres against the machine's own programs: what it leaves, how it dies, what its
//! errors say. Runs as root and as anybody else.

mod container;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use legwork::embedded::{Durability, EmbeddedError, Halt, Options, Postgres};
use legwork::sys::{ChildSetup, spawner};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{Connection, PgConnection};

use crate::support::{eventually, server::private_options};

/// Options for a cluster in a base of the test's own, where it can count what is left.
fn options_in(base: &Path) -> Options {
    Options { base: base.to_owned(), ..private_options() }
}

/// A short directory that every user can enter: the server may run as another one.
fn base() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let base = tempfile::tempdir_in("/var/tmp").expect("a directory");
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o1777)).expect("it is ours");
    base
}

/// What lies in a directory.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory that can be read");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// Whether a process has this pid. One that is dead but not reaped by init yet counts as gone.
fn runs(pid: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let exists = kill(Pid::from_raw(pid.cast_signed()), None).is_ok();
    exists && !state.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

/// Runs a test on a small runtime.
fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built").block_on(test)
}

/// Asks the server for one value.
async fn ask(url: &str, question: &'static str) -> String {
    let mut session = PgConnection::connect(url).await.expect("the server takes a session");
    let answer = sqlx::query_scalar(question).fetch_one(&mut session).await;
    session.close().await.expect("the session ends");
    answer.expect("the server answers")
}

#[test]
fn a_server_that_was_stopped_leaves_nothing() {
    let base = base();
    let postgres = Postgres::start(&options_in(base.path())).unwrap();
    let pid = postgres.pid().unwrap();
    assert!(runs(pid));
    assert_eq!(entries(base.path()), [postgres.directory()]);
    assert_eq!(block_on(ask(&postgres.url("postgres"), "SHOW server_encoding")), "UTF8");
    postgres.stop().unwrap();
    assert_eq!(entries(base.path()), [] as [PathBuf; 0]);
    assert!(!runs(pid));
}

#[test]
fn a_server_that_was_dropped_leaves_nothing() {
    let base = base();
    let postgres = Postgres::start(&options_in(base.path())).unwrap();
    let pid = postgres.pid().unwrap();
    drop(postgres);
    assert_eq!(entries(base.path()), [] as [PathBuf; 0]);
    assert!(!runs(pid));
}

#[test]
fn a_crashed_server_leaves_nothing_either() {
    let base = base();
    let mut postgres = Postgres::start(&options_in(base.path())).unwrap();
    let segment = fs::read_to_string(postgres.directory().join("data/postmaster.pid")).unwrap();
    let id: String = segment.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap().to_owned();
    let exists = || {
        let listed = fs::read_to_string("/proc/sysvipc/shm").unwrap();
        listed.lines().any(|line| line.split_whitespace().nth(1) == Some(&id))
    };
    assert!(exists());
    postgres.halt(Halt::Kill).unwrap();
    postgres.stop().unwrap();
    assert!(!exists(), "its shared memory is gone");
    assert_eq!(entries(base.path()), [] as [PathBuf; 0]);
}

#[rstest::rstest]
#[case::fast(Halt::Fast)]
#[case::immediate(Halt::Immediate)]
#[case::kill(Halt::Kill)]
fn what_was_committed_survives_a_restart(#[case] how: Halt) {
    let base = base();
    let durable = Options { durability: Durability::Durable, ..options_in(base.path()) };
    let mut postgres = Postgres::start(&durable).unwrap();
    let url = postgres.url("postgres");
    block_on(async {
        let mut session = PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("CREATE TABLE kept AS SELECT 'here' AS value")
            .execute(&mut session)
            .await
            .unwrap();
    });
    let before = postgres.pid();
    postgres.restart(how).unwrap();
    assert_ne!(postgres.pid(), before);
    assert_eq!(block_on(ask(&url, "SELECT value FROM kept")), "here");
    assert_eq!(block_on(ask(&url, "SHOW fsync")), "on");
}

#[test]
fn two_clusters_run_at_once() {
    let base = base();
    let one = Postgres::start(&options_in(base.path())).unwrap();
    let two = Postgres::start(&options_in(base.path())).unwrap();
    let system = "SELECT system_identifier::text FROM pg_control_system()";
    let ids = block_on(async {
        (ask(&one.url("postgres"), system).await, ask(&two.url("postgres"), system).await)
    });
    assert_ne!(ids.0, ids.1);
}

#[test]
fn the_callers_settings_win() {
    let base = base();
    let mut options = options_in(base.path());
    options.settings.push(("fsync".to_owned(), "on".to_owned()));
    let postgres = Postgres::start(&options).unwrap();
    assert_eq!(block_on(ask(&postgres.url("postgres"), "SHOW fsync")), "on");
}

#[test]
fn a_port_is_open_only_to_who_knows_the_password() {
    let base = base();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = Options { tcp_port: Some(free), ..options_in(base.path()) };
    let postgres = Postgres::start(&options).unwrap();
    let url = postgres.tcp_url("postgres").unwrap().expect("a port was asked for");
    block_on(async {
        assert_eq!(ask(&url, "SELECT current_user::text").await, "postgres");
        let guess = format!("postgres://postgres:guess@127.0.0.1:{free}/postgres");
        let refused = PgConnection::connect(&guess).await.unwrap_err().to_string();
        assert!(refused.contains("password authentication failed"), "{refused}");
    });
}

#[test]
fn data_can_be_kept_and_is_used_by_one_owner_at_a_time() {
    let base = base();
    let data = base.path().join("kept");
    let options = Options { keep_data_in: Some(data.clone()), ..options_in(base.path()) };
    let system = "SELECT system_identifier::text FROM pg_control_system()";

    let first = Postgres::start(&options).unwrap();
    let before = block_on(ask(&first.url("postgres"), system));
    let refused = Postgres::start(&options).unwrap_err();
    assert!(matches!(refused, EmbeddedError::InUse { .. }), "{refused}");
    first.stop().unwrap();
    assert_eq!(entries(base.path()), [data]);

    let second = Postgres::start(&options).unwrap();
    assert_eq!(block_on(ask(&second.url("postgres"), system)), before);
}

#[test]
fn a_server_that_cannot_start_says_what_it_logged() {
    let base = base();
    let mut options = options_in(base.path());
    options.settings.push(("no_such_setting".to_owned(), "1".to_owned()));
    let error = Postgres::start(&options).unwrap_err().to_string();
    assert!(error.contains("unrecognized configuration parameter"), "{error}");
    assert_eq!(entries(base.path()), [] as [PathBuf; 0]);
}

#[test]
fn without_programs_the_error_says_how_to_install_them() {
    let nowhere = tempfile::tempdir().unwrap();
    let options = Options { search: vec![nowhere.path().to_owned()], ..Options::default() };
    let error = Postgres::start(&options).unwrap_err().to_string();
    assert!(error.starts_with("no Postgres server programs were found"), "{error}");
    let managers = ["/usr/bin/apt-get", "/usr/bin/dnf", "/sbin/apk", "/opt/homebrew/bin/brew"];
    if managers.iter().any(|manager| Path::new(manager).exists()) {
        assert!(error.contains("This installs it: "), "{error}");
    }
}

#[test]
fn a_socket_that_could_not_be_addressed_is_refused() {
    let long = base().path().join("a".repeat(90));
    let error = Postgres::start(&options_in(&long)).unwrap_err();
    assert!(matches!(error, EmbeddedError::PlaceSocket { limit: 107, .. }), "{error}");
}

/// The variable that makes this test binary an owner of a server, see [`an_owner`].
const OWNER_OF: &str = "LEGWORK_TEST_OWNER_OF";

/// Not a test of its own: the process that [`start_owner`] runs. It starts a server in the
/// directory it is told, says so and waits for its end. Without the variable it has nothing to do.
#[test]
#[expect(clippy::disallowed_methods, reason = "how a test process tells another what it is")]
fn an_owner() {
    let Ok(base) = std::env::var(OWNER_OF) else { return };
    let postgres = Postgres::start(&options_in(Path::new(&base))).unwrap();
    println!("\nserver={}", postgres.pid().unwrap());
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// Another process that owns a server in this base, and the server's pid.
fn start_owner(base: &Path) -> (std::process::Child, u32) {
    start_process("embedded::an_owner", OWNER_OF, base)
}

/// A process of this binary that runs one test, with a variable set, and the pid that it prints.
fn start_process(test: &str, variable: &str, value: &Path) -> (std::process::Child, u32) {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", test, "--nocapture"]).env(variable, value);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    ChildSetup::new().death_signal(Signal::SIGKILL).apply(&mut command);
    let mut owner = spawner::spawn_blocking(command).expect("this binary runs");
    let mut reader = BufReader::new(owner.stdout.take().expect("a pipe"));
    let mut lines = reader.by_ref().lines();
    let pid = lines.find_map(|line| line.ok()?.strip_prefix("server=")?.parse().ok());
    // Put back: the owner prints once more when it ends.
    owner.stdout = Some(reader.into_inner());
    (owner, pid.expect("the owner says which server it started"))
}

/// The pids of the shells that watch over a directory in this base.
fn watchdogs(base: &Path) -> Vec<i32> {
    let of_base = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("legwork-pg-watchdog") && line.contains(&*base.to_string_lossy())
    };
    let names = entries(Path::new("/proc")).into_iter();
    let pids = names.filter_map(|path| path.file_name()?.to_str()?.parse().ok());
    pids.filter(of_base).collect()
}

#[test]
fn when_the_owner_is_killed_nothing_is_left() {
    let base = base();
    let (mut owner, server) = start_owner(base.path());
    owner.kill().unwrap();
    owner.wait().unwrap();
    block_on(async {
        eventually("the server is gone", async || !runs(server)).await;
        eventually("its directory is gone", async || entries(base.path()).is_empty()).await;
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_everybody_left_behind_is_removed_at_the_next_start() {
    let base = base();
    let (mut owner, server) = start_owner(base.path());
    for watchdog in watchdogs(base.path()) {
        kill(Pid::from_raw(watchdog), Signal::SIGKILL).unwrap();
    }
    owner.kill().unwrap();
    owner.wait().unwrap();
    // Here it is the death signal alone that stops the server.
    block_on(eventually("the server is gone", async || !runs(server)));
    let stale = entries(base.path());
    assert_eq!(stale.len(), 1, "without its watchdog the directory stays");

    let next = Postgres::start(&options_in(base.path())).unwrap();
    assert_eq!(entries(base.path()), [next.directory()]);
}

#[test]
fn a_running_owner_is_left_alone_by_the_next_start() {
    let base = base();
    let (mut owner, server) = start_owner(base.path());
    let next = Postgres::start(&options_in(base.path())).unwrap();
    assert_eq!(entries(base.path()).len(), 2);
    assert!(runs(server));
    drop(next);
    drop(owner.stdin.take());
    assert!(owner.wait().unwrap().success());
}
