//! What a URL asks for has its effect, for commands and daemons, and what is said where nobody answers.

use super::{Ran, command, finished};
use crate::process::{Configuration, SLACK};
use crate::support::{self, Daemon, TestDb};
use nix::sys::signal::Signal;
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::Connection as _;
use std::process::Stdio;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// The database's URL with these parameters besides its own.
fn with(url: &str, parameters: &str) -> String {
    let sign = if url.contains('?') { '&' } else { '?' };
    format!("{url}{sign}{parameters}")
}

async fn is_known_as(db: &TestDb, names: &[&str]) {
    let mut connection = db.connect().await;
    let known = "SELECT count(DISTINCT application_name) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = ANY($1)";
    support::eventually(&format!("sessions are called {names:?}"), async || {
        let found = sqlx::query_scalar::<_, i64>(known).bind(names).fetch_one(&mut connection);
        found.await.expect("sessions can be listed") == i64::try_from(names.len()).unwrap_or(-1)
    })
    .await;
    connection.close().await.expect("it closes");
}

#[test]
fn sessions_are_known_by_their_role_and_by_the_name_in_the_url() {
    support::run(async |db| {
        let url = with(&db.url(), "application_name=billing%20eu");
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let mut daemon = Daemon::start(&Configuration::of(&url, &kinds).text()).await;
        daemon.logged("daemon.started").await;
        let mut enqueue = command(&url, &["enqueue", "--file", "-"]);
        let mut enqueue = enqueue.stdin(Stdio::piped()).spawn().expect("it runs");
        // It connects when it has something to send.
        let mut stdin = enqueue.stdin.take().expect("it is piped");
        stdin.write_all(b"{\"kind\": \"k\"}\n").await.expect("it reads");
        let roles = ["claim", "heartbeat", "listener", "cli"];
        let names = roles.map(|role| format!("legwork {role} (billing eu)"));
        is_known_as(&db, &names.each_ref().map(String::as_str)).await;
        drop(stdin);
        assert!(enqueue.wait().await.expect("it ends").success());
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
    });
}

#[test]
fn a_url_that_names_no_user_means_the_one_that_runs_the_command() {
    support::run(async |db| {
        let url = db.url();
        // A server in a container asks for a password, of a user that it knows.
        let Some((before, named)) = url.split_once("&user=") else { return };
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
        let user = user.expect("whoever runs the tests has a name").name;
        let mut administrator = db.connect().await;
        // The server's own user may be the same.
        let made = format!("CREATE ROLE \"{user}\" LOGIN SUPERUSER");
        let made = sqlx::raw_sql(sqlx::AssertSqlSafe(made)).execute(&mut administrator).await;
        let rest = named.split_once('&').map_or(String::new(), |(_, rest)| format!("&{rest}"));
        let url = format!("{before}{rest}");
        finished(command(&url, &["job", "list"]), None).await.done();
        let mut other = command(&url, &["job", "list"]);
        other.env("PGUSER", "nobody_of_that_name");
        let refused = finished(other, None).await;
        assert!(refused.stderr.contains("nobody_of_that_name"), "{}", refused.stderr);
        if made.is_ok() {
            let gone = format!("DROP ROLE \"{user}\"");
            let gone = sqlx::raw_sql(sqlx::AssertSqlSafe(gone)).execute(&mut administrator).await;
            gone.expect("it owns nothing");
        }
        administrator.close().await.expect("it closes");
    });
}

#[test]
fn a_url_that_asks_for_a_server_to_write_to_is_served_by_no_other() {
    support::run(async |db| {
        let mut administrator = db.connect().await;
        let set = |to: &str| {
            format!("ALTER DATABASE {} SET default_transaction_read_only = {to}", db.name())
        };
        let off = format!("SET default_transaction_read_only = off; {}", set("off"));
        let set = sqlx::raw_sql(sqlx::AssertSqlSafe(set("on")));
        set.execute(&mut administrator).await.expect("it is set");
        for (asked, code) in [("any", 0), ("read-write", 75), ("primary", 75)] {
            let url = with(&db.url(), &format!("target_session_attrs={asked}"));
            let ran = finished(command(&url, &["job", "list"]), None).await;
            assert_eq!(ran.code, code, "{asked}: {}", ran.stderr);
            assert_eq!(ran.stderr.contains("is read-only, and target_session"), code == 75);
        }
        let url = with(&db.url(), "target_session_attrs=read-write");
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let mut daemon = Daemon::start(&Configuration::of(&url, &kinds).text()).await;
        let lost = daemon.logged("database.lost").await;
        assert!(lost["error.message"].to_string().contains("is read-only"), "{lost}");
        let off = sqlx::raw_sql(sqlx::AssertSqlSafe(off));
        off.execute(&mut administrator).await.expect("it is set back");
        daemon.logged("daemon.started").await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        administrator.close().await.expect("it closes");
    });
}

#[tokio::test]
async fn the_urls_connect_timeout_bounds_the_wait_unless_the_configuration_says_another() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let url = format!("postgres://u@{address}/x?connect_timeout=1");
    for arguments in [&["job", "list"][..], &["migrate", "status"]] {
        let ran = finished(command(&url, arguments), None).await;
        assert_eq!(ran.code, 69, "{}", ran.stderr);
        assert!(ran.stderr.contains("didn't answer within 1s"), "{}", ran.stderr);
    }
    let mut ours = command(&url, &["job", "list"]);
    ours.env("LEGWORK_DATABASE__CONNECT_TIMEOUT", "150ms");
    let ran = finished(ours, None).await;
    assert!(ran.stderr.contains("didn't answer within 150ms"), "{}", ran.stderr);
}

#[rstest]
#[case::nothing("")]
#[case::half_of_one("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{")]
#[tokio::test]
async fn a_change_that_nobody_answered_for_may_have_been_made(#[case] answer: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    for (words, is_unsure) in [(&["queue", "pause", "x"][..], true), (&["queue", "list"], false)] {
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("somebody asks");
            let length = stream.read(&mut [0; 1024]).await.expect("a request");
            assert!(length > 0);
            stream.write_all(answer.as_bytes()).await.expect("it takes the answer");
        };
        let arguments = [words, &["--url", &url]].concat();
        let (ran, ()) = tokio::join!(finished(command("", &arguments), None), serve);
        // What may be repeated as it is has a code of its own.
        assert!(!is_unsure || ran.code == 1, "{}: {}", ran.code, ran.stderr);
        assert_ne!(ran.code, 0);
        let is_told = ran.stderr.contains("may have been made, though nobody said so: look before");
        assert_eq!(is_told, is_unsure, "{}", ran.stderr);
    }
}

/// What becomes of a command at a server that gives these answers, one a request.
pub(super) async fn answered(words: &[&str], answers: &[&str]) -> Ran {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let serve = async {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("somebody asks");
            let length = stream.read(&mut [0; 1024]).await.expect("a request");
            assert!(length > 0);
            stream.write_all(answer.as_bytes()).await.expect("it takes the answer");
        }
    };
    let arguments = [words, &["--url", &url]].concat();
    let (ran, ()) = tokio::join!(finished(command("", &arguments), None), serve);
    ran
}

/// What a command prints of a server that gives these answers.
async fn printed_of(words: &[&str], answers: &[Value]) -> String {
    let whole = answers.iter().map(|answer| format!("HTTP/1.1 200 OK\r\n\r\n{answer}"));
    let whole: Vec<_> = whole.collect();
    let whole: Vec<_> = whole.iter().map(String::as_str).collect();
    let ran = answered(words, &whole).await.done();
    ran.stdout + &ran.stderr
}

#[tokio::test]
async fn nothing_that_a_server_says_reaches_the_terminal_as_a_command() {
    let list = json!({ "now": "2026-03-01T12:00:00Z", "queues": [], "next": "q\u{1b}[2J" });
    let printed = printed_of(&["queue", "list"], &[list]).await;
    assert!(printed.contains("add --after q\\u{1b}[2J\n"), "{printed:?}");

    let [kept, none] = [json!({}), Value::Null];
    let decided = json!({ "value": "5\u{1b}[2J", "until": "soon\u{1b}[2J", "set_at": "now" });
    let detail = json!({ "now": "2026-03-01T12:00:00Z", "name": "q", "paused": false, "state": "running",
        "depth": { "available": 1, "running": 0, "scheduled": 0, "retryable": 0 }, "daemons": [],
        "settings": { "override": { "paused": false, "concurrency": decided, "rate_limit": none },
            "effective": { "paused": false, "retention_seconds": kept } } });
    let answers = [json!({ "queue": "q", "changed": true }), detail];
    let printed = printed_of(&["queue", "set", "q", "--concurrency", "5"], &answers).await;
    assert!(printed.contains("concurrency 5\\u{1b}[2J until soon\\u{1b}[2J"), "{printed:?}");
    assert!(!printed.contains('\u{1b}'), "{printed:?}");
}
