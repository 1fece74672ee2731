//! What a daemon does that can't start: wait for a database, or say what to do.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use legwork::postgres::migrate;
use nix::{sys::signal::Signal, unistd::Uid};
use rstest::rstest;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;

use super::{Configuration, MISSED_TICKS, SLACK, becomes, count, enqueue};
use crate::support::proxy::through;
use crate::support::{self, Daemon, Proxy};

/// A daemon that can't start says so within its connection timeout and a little.
const REFUSAL: Duration = Duration::from_secs(5);

fn noop() -> [String; 1] {
    ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()]
}

#[test]
fn a_database_that_is_away_is_told_of_once_and_waited_for() {
    support::run(async |db| {
        let pool = db.pool().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = through(&db.url(), listener.local_addr().unwrap());
        let kinds = noop();
        let mut daemon = Daemon::start(&Configuration::of(&url, &kinds).text()).await;
        for _attempt in 0..4 {
            drop(listener.accept().await.unwrap());
        }
        assert_eq!(daemon.count("database.lost"), 1, "{}", daemon.printed());
        let (status, reasons) = daemon.get("/health/ready").await;
        assert_eq!(status, 503);
        assert!(reasons.contains("the daemon is starting"), "{reasons}");

        let proxy = Proxy::on(listener, &db.url());
        daemon.logged("daemon.started").await;
        let id = enqueue(&pool, "noop").await;
        becomes(&pool, id, "completed").await;
        assert_eq!(daemon.count("database.lost"), 1, "{}", daemon.printed());
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0));
        drop(proxy);
        pool.close().await;
    });
}

#[test]
fn a_daemon_that_waits_for_its_database_lives_and_stops_cleanly_when_told() {
    support::run(async |_db| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let url = format!("postgres://nobody@{address}/nowhere?sslmode=disable");
        let mut daemon = Daemon::start(&Configuration::of(&url, &noop()).text()).await;
        drop(listener);
        daemon.logged("database.lost").await;
        let dies = async || daemon.get("/health/live").await.0 != 200;
        assert!(!support::holds_within(MISSED_TICKS, dies).await, "no database, and not live");

        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        assert_eq!(daemon.logged("daemon.stopped").await["clean"], true);
    });
}

#[rstest]
#[case::missing(0)]
#[case::older(1)]
fn a_schema_that_is_not_the_needed_one_ends_the_start_with_code_3(#[case] version: i64) {
    support::run(async |db| {
        migrate::down(&db.url(), version).await.expect("the schema can be taken back");
        let kinds = noop();
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        assert_eq!(daemon.exit(REFUSAL).await.code(), Some(3), "{}", daemon.printed());
        assert!(daemon.printed().contains("`legwork migrate up`"), "{}", daemon.printed());
    });
}

#[test]
fn no_database_url_ends_the_start_with_code_78_and_says_where_to_put_one() {
    support::run(async |_db| {
        let mut daemon = Daemon::start(&Configuration::of("", &noop()).text()).await;
        assert_eq!(daemon.exit(REFUSAL).await.code(), Some(78), "{}", daemon.printed());
        for place in ["[database]", "DATABASE_URL"] {
            assert!(daemon.printed().contains(place), "{place}: {}", daemon.printed());
        }
    });
}

/// What the daemon said last, where its whole output was JSON.
async fn refusal(configuration: &str) -> (Option<i32>, Vec<serde_json::Value>) {
    let mut daemon = Daemon::start(configuration).await;
    let code = daemon.exit(REFUSAL).await.code();
    let events = daemon.events();
    assert_eq!(events.len(), daemon.lines(), "something isn't JSON: {}", daemon.printed());
    (code, events.into_iter().filter(|line| line["event"] == "daemon.failed").collect())
}

#[test]
fn every_mistake_of_the_configuration_is_a_line_of_the_log_where_that_is_json() {
    support::run(async |_db| {
        let (url, kinds) = ("postgres://u:hunter2@db.example/app?port=none", noop());
        let text = Configuration::of(url, &kinds).text();
        let (code, lines) =
            refusal(&text.replace("[log]", "[claim]\nbatch = 0\n[log]\nfilter = 'off'")).await;
        assert_eq!((code, lines.len()), (Some(78), 2), "{lines:?}");
        for (line, what) in lines.iter().zip(["parameter port isn't a number", "claim.batch: 0"]) {
            assert_eq!((&line["exit_code"], &line["level"]), (&78.into(), &"ERROR".into()));
            assert_eq!(line["error.type"], "configuration");
            assert!(
                line["error.message"].as_str().is_some_and(|said| said.contains(what)),
                "{line}"
            );
            assert!(
                line["config.place"].as_str().is_some_and(|at| at.contains(".toml:")),
                "{line}"
            );
            assert!(!line.to_string().contains("hunter2"), "{line}");
        }
    });
}

#[test]
fn a_daemon_that_its_database_refuses_says_so_in_one_line_of_the_log_and_what_to_do() {
    support::run(async |db| {
        let (url, kinds) = (db.url(), noop());
        let (code, none) = refusal(&Configuration::of("", &kinds).text()).await;
        assert_eq!((code, none.len()), (Some(78), 1), "{none:?}");
        migrate::down(&url, 0).await.expect("the schema can be taken back");
        let (code, lines) = refusal(&Configuration::of(&url, &kinds).text()).await;
        assert_eq!((code, lines.len()), (Some(3), 1), "{lines:?}");
        assert_eq!(
            (&lines[0]["error.type"], &lines[0]["exit_code"]),
            (&"schema".into(), &3.into())
        );
        let said = lines[0]["error.message"].as_str().expect("it says why");
        assert!(said.contains("`legwork migrate up`"), "{said}");
    });
}

#[test]
fn a_daemon_that_logs_for_people_refuses_in_text_on_standard_error() {
    support::run(async |_db| {
        let text = "[log]\nformat = 'pretty'\n[claim]\nbatch = 0\n";
        let mut daemon = Daemon::start(text).await;
        assert_eq!(daemon.exit(REFUSAL).await.code(), Some(78), "{}", daemon.printed());
        assert!(daemon.printed().starts_with("error: claim.batch: 0"), "{}", daemon.printed());
    });
}

#[test]
fn a_stop_timeout_shorter_than_a_whole_shutdown_is_refused() {
    support::run(async |db| {
        let (url, kinds) = (db.url(), noop());
        let enough = Configuration::of(&url, &kinds).text();
        // 20 s and 2 s of grace, and 3 s.
        let enough = enough.replace("[shutdown]\n", "[shutdown]\nstop_timeout = '25s'\n");
        let mut daemon = Daemon::start(&enough.replace("'25s'", "'24s'")).await;
        assert_eq!(daemon.exit(REFUSAL).await.code(), Some(78), "{}", daemon.printed());
        for figure in ["24s", "grace = 20s", "cancel_grace = 2s", "25s", "TimeoutStopSec"] {
            assert!(daemon.printed().contains(figure), "{figure}: {}", daemon.printed());
        }
        let mut daemon = Daemon::start(&enough).await;
        daemon.logged("daemon.started").await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
    });
}

#[test]
fn a_port_in_use_ends_the_start_with_code_78_and_is_named() {
    support::run(async |db| {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listen = taken.local_addr().unwrap().to_string();
        let (url, kinds) = (db.url(), noop());
        let configuration = Configuration { listen: &listen, ..Configuration::of(&url, &kinds) };
        let mut daemon = Daemon::start(&configuration.text()).await;
        assert_eq!(daemon.exit(REFUSAL).await.code(), Some(78), "{}", daemon.printed());
        let message = format!("admin.listen: {listen} is in use already");
        assert!(daemon.printed().contains(&message), "{}", daemon.printed());
    });
}

/// By what a service manager hands over, at a machine of nobody, of this protocol or the other.
#[test]
fn a_port_that_cannot_be_had_ends_the_start_with_code_78_and_names_the_key() {
    support::run(async |db| {
        let (url, kinds) = (db.url(), noop());
        for (listen, said) in [
            ("fd:3", "admin.listen: \"fd:3\""),
            ("203.0.113.1:9464", "admin.listen: can't listen on 203.0.113.1:9464"),
            ("[2001:db8::1]:9464", "admin.listen: can't listen on [2001:db8::1]:9464"),
        ] {
            let configuration = Configuration { listen, ..Configuration::of(&url, &kinds) };
            let mut daemon = Daemon::start(&configuration.text()).await;
            assert_eq!(daemon.exit(REFUSAL).await.code(), Some(78), "{}", daemon.printed());
            let printed = daemon.printed().replace("\\\"", "\"");
            assert!(printed.contains(said), "{listen}: {printed}");
        }
    });
}

/// As `nobody` where this is root, by a copy that `nobody` may run wherever the repository lies.
#[tokio::test]
async fn a_privileged_port_ends_the_start_with_code_78_of_whom_has_no_right_to_it() {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first = first.ok().and_then(|first| first.trim().parse::<u16>().ok()).unwrap_or(1024);
    let Some(port) = first.checked_sub(1).filter(|port| *port > 0) else {
        // Every port is anybody's here, as in many containers.
        return;
    };
    let place = tempfile::tempdir().expect("a directory");
    let (program, file) = (place.path().join("legwork"), place.path().join("legwork.toml"));
    std::fs::copy(env!("CARGO_BIN_EXE_legwork"), &program).expect("a copy");
    let listen = format!("127.0.0.1:{port}");
    let kinds = noop();
    let text = Configuration { listen: &listen, ..Configuration::of("postgres:///x", &kinds) };
    std::fs::write(&file, text.text()).expect("written");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.path(), open).expect("ours");
    let mut command = Command::new(&program);
    command.arg("run").arg("--config").arg(&file).env_clear().current_dir("/");
    if Uid::effective().is_root() {
        command.uid(65_534).gid(65_534);
    }
    let ran = timeout(support::PATIENCE, command.output()).await.expect("it ends").expect("it ran");
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert_eq!(ran.status.code(), Some(78), "{said}");
    let refused = format!("admin.listen: can't listen on {listen}: Permission denied");
    assert!(said.contains(&refused), "{said}");
}

#[test]
fn a_daemon_that_runs_once_drains_what_it_can_and_ends_with_code_0() {
    support::run(async |db| {
        let pool = db.pool().await;
        let arranged = "
            INSERT INTO legwork.job (kind, queue, run_at)
            SELECT 'noop', q, now() + d FROM unnest('{default,halted}'::text[]) q,
                unnest('{0 s,1 h}'::interval[]) d, generate_series(1, 50);
            INSERT INTO legwork.job (kind, queue) VALUES
                ('strange', 'default'), ('strange', 'halted'), ('noop', 'elsewhere'),
                ('strange', 'default'), ('strange', 'elsewhere');
            SELECT legwork.pause('halted', 'nobody knows for how long')";
        sqlx::raw_sql(arranged).execute(&pool).await.unwrap();
        let kinds =
            [noop()[0].clone(), "[[queue]]\nname = 'default'\n[[queue]]\nname = 'halted'\n".into()];
        let url = db.url();
        let text = Configuration::of(&url, &kinds).text();
        let mut daemon = Daemon::start_with(&text, &["run", "--once"]).await;
        assert_eq!(daemon.exit(support::PATIENCE).await.code(), Some(0), "{}", daemon.printed());
        let drained = daemon.logged("daemon.drained").await;
        assert_eq!((&drained["paused_jobs"], &drained["unserved_jobs"]), (&50.into(), &5.into()));
        assert_eq!(drained["level"], "WARN", "{drained}");
        assert_eq!(count(&pool, "noop", "completed").await, 50);
        let waiting =
            (count(&pool, "noop", "available").await, count(&pool, "noop", "scheduled").await);
        assert_eq!(
            waiting,
            (51, 100),
            "of the paused queue and of one that is not served; for later"
        );
        pool.close().await;
    });
}
