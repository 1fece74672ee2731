//! What goes wrong, what it is called, and the exit code that scripts branch on.

use super::{Ran, arrange, command, finished, legwork, legwork_fed};
use crate::support::{self, PATIENCE};
use legwork::postgres::migrate::EXPECTED_VERSION;
use rstest::rstest;
use sqlx::Connection as _;
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::{Instant, timeout},
};

#[rstest]
#[case::no_command(&[])]
#[case::no_such_command(&["jobs"])]
#[case::no_such_flag(&["job", "list", "--stat", "running"])]
#[case::no_kind(&["enqueue"])]
#[case::kind_out_of_the_pattern(&["enqueue", "a b"])]
#[case::payload_that_is_not_json(&["enqueue", "k", "{nope"])]
#[case::metadata_that_is_no_object(&["enqueue", "k", "--metadata", "[]"])]
#[case::priority(&["enqueue", "k", "--priority", "3"])]
#[case::attempts(&["enqueue", "k", "--max-attempts", "0"])]
#[case::moment(&["enqueue", "k", "--run-at", "infinity"])]
#[case::two_times(&["enqueue", "k", "--run-at", "2030-01-31T08:00:00Z", "--delay", "1m"])]
#[case::kind_and_file(&["enqueue", "k", "--file", "x"])]
#[case::column_and_file(&["enqueue", "--file", "x", "--queue", "q"])]
#[case::no_state(&["job", "list", "--state", "failed"])]
#[case::page(&["job", "list", "--limit", "1001"])]
#[case::no_id(&["job", "cancel"])]
#[case::id_zero(&["job", "show", "0"])]
#[case::snooze_without_a_time(&["job", "snooze", "1"])]
#[case::snooze_by_nothing(&["job", "snooze", "1", "--for", "0s"])]
#[case::reason(&["queue", "pause", "q", "--reason", ""])]
#[case::down_without_a_version(&["migrate", "down"])]
#[case::health_by_tls(&["healthcheck", "--url", "https://127.0.0.1"])]
#[tokio::test]
async fn a_command_line_that_cannot_be_meant_is_exit_code_2(#[case] arguments: &[&str]) {
    // Nothing listens there: usage is refused before anything is connected to.
    let ran = finished(command("postgres://127.0.0.1:1/x", arguments), None).await;
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stdout.is_empty() && !ran.stderr.is_empty());
}

/// A URL that can't be meant where it stands, each with a secret in it.
const SECRETS: [&str; 9] = [
    "http://x:hunter2@127.0.0.1:1",
    "https://x:hunter2@127.0.0.1:1",
    "x:hunter2@127.0.0.1:1",
    "http://hunter2@127.0.0.1:1",
    "http://x:hunter2@127.0.0.1:1/api",
    "http://x:hunt/hunter2@127.0.0.1:1",
    "http://x:hunter2@127.0.0.1:none",
    "http://x:hunter2:127.0.0.1:1",
    "postgres://u:hunter2@127.0.0.1:1/x?port=none",
];

#[tokio::test]
async fn no_secret_of_a_url_is_shown_wherever_it_was_typed() {
    let url = ["--url", "--ulr", "--database-url"];
    for secret in SECRETS {
        for command_line in
            [&["queue", "list"][..], &["healthcheck"], &["profile", "tasks"], &["run"]]
        {
            let beside = url.iter().map(|option| [command_line, &[*option, secret]].concat());
            let joined = url.map(|option| format!("{option}={secret}"));
            let joined = joined.iter().map(|word| [command_line, &[word.as_str()]].concat());
            for words in beside.chain(joined) {
                let ran = finished(command("", &words), None).await;
                let said = format!("{}{}", ran.stdout, ran.stderr);
                assert!(ran.code != 0 && !said.contains("hunter2"), "{words:?}: {said}");
            }
        }
    }
    // Where no option stands before it, only an @ tells that there is one.
    for secret in SECRETS.iter().filter(|secret| secret.contains('@')) {
        for before in [&[][..], &["job", "list"], &["job", "show"], &["queue", "pause"]] {
            let ran = finished(command("", &[before, &[secret]].concat()), None).await;
            assert_eq!(ran.code, 2, "{}", ran.stderr);
            let told = ran.stderr.contains('…') && !ran.stderr.contains("hunter2");
            assert!(told, "{before:?} {secret}: {}", ran.stderr);
        }
    }
    let wrong = ["queue", "list", "--url", "https://x:hunter2@127.0.0.1:1"];
    let ran = finished(command("", &wrong), None).await;
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let told = ["invalid value for '--url <URL>'", "http://x:TOKEN@HOST:PORT"];
    assert!(told.iter().all(|told| ran.stderr.contains(told)), "{}", ran.stderr);
}

#[tokio::test]
async fn who_decides_nothing_for_a_queue_is_told_what_can_be_decided() {
    let set = ["queue", "set", "mail", "--reason", "slow"];
    let ran = finished(command("postgres://127.0.0.1:1/x", &set), None).await;
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let required = ran.stderr.split("Usage:").next().expect("a text");
    assert!(required.contains("--concurrency <N>|--rate-limit <LIMIT>"), "{}", ran.stderr);
    let both = ["queue", "set", "mail", "--concurrency", "1", "--rate-limit", "1/s"];
    for setting in [&both[..], &both[..5], &[&both[..3], &both[5..]].concat()] {
        let ran = finished(command("postgres://127.0.0.1:1/x", setting), None).await;
        assert_eq!(ran.code, 69, "it can be meant: {}", ran.stderr);
    }
}

#[test]
fn whoever_tells_a_daemon_that_is_not_there_is_told_the_command_that_lists_them() {
    support::run(async |db| {
        arrange(
            &db,
            "INSERT INTO legwork.daemon (id, expires_at, died_at) VALUES (7, now(), now())",
        )
        .await;
        for word in ["quiet", "drain", "shutdown"] {
            for (id, why) in [("12", "there is no daemon 12"), ("7", "daemon 7 has ended at ")] {
                let ran = legwork(&db, &["daemon", word, id]).await;
                assert_eq!(ran.code, 1, "{}", ran.stderr);
                let told = [why, "help: `legwork daemon list` tells the ids"];
                assert!(told.iter().all(|told| ran.stderr.contains(told)), "{}", ran.stderr);
                assert!(!ran.stderr.contains("SELECT"), "{}", ran.stderr);
            }
        }
    });
}

#[tokio::test]
async fn more_jobs_than_one_statement_changes_are_exit_code_2() {
    let ids: Vec<String> = (1..=1001).map(|id: u32| id.to_string()).collect();
    for verb in ["cancel", "retry", "discard"] {
        let arguments: Vec<&str> =
            ["job", verb].into_iter().chain(ids.iter().map(String::as_str)).collect();
        let ran = finished(command("postgres://127.0.0.1:1/x", &arguments), None).await;
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains("1001 jobs are named"), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn the_check_warns_of_a_missing_database_and_refuses_what_run_would_refuse() {
    let ran = finished(command("", &["config", "check"]), None).await.done();
    let warned = ran.stderr.contains("warning: no database is configured");
    assert!(warned && ran.stderr.contains("`legwork run` refuses"), "{}", ran.stderr);
    assert_eq!(finished(command("", &["run"]), None).await.code, 78);
    for arguments in [&["config", "check"][..], &["run"]] {
        let mut command = command("postgres://db.example/x", arguments);
        command.env("PGSSLMODE", "disable");
        let ran = finished(command, None).await;
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, 78, "{said}");
        assert!(said.contains("plain text"), "{said}");
    }
}

#[tokio::test]
async fn help_and_version_are_exit_code_0() {
    for flag in ["--help", "--version"] {
        let ran = finished(command("", &[flag]), None).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    }
}

/// An unreachable database with a password in its address.
async fn unreachable(url: &str) -> (Ran, Duration) {
    let mut command = command(url, &["job", "list"]);
    command.env("LEGWORK_DATABASE__CONNECT_TIMEOUT", "2s");
    let began = Instant::now();
    let ran = finished(command, None).await;
    assert_eq!(ran.code, 69, "{}", ran.stderr);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!said.contains("hunter2"), "{said}");
    assert!(said.contains("error: ") && said.contains("help: "), "{said}");
    (ran, began.elapsed())
}

#[tokio::test]
async fn a_database_that_is_not_there_is_exit_code_69_and_its_password_is_not_shown() {
    let (ran, _) = unreachable("postgres://app:hunter2@127.0.0.1:1/app").await;
    assert!(ran.stderr.contains("postgres://app:…@127.0.0.1:1/app"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_database_that_says_nothing_is_exit_code_69_in_bounded_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let silent = async {
        // Held, so that the connection stays open and silent.
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await);
        }
    };
    let url = format!("postgres://app:hunter2@127.0.0.1:{port}/app");
    let (_, took) = tokio::select! {
        ended = unreachable(&url) => ended,
        () = silent => unreachable!("it accepts for ever"),
    };
    assert!(took < Duration::from_secs(10), "took {took:?}");
}

#[test]
fn a_database_of_another_name_is_exit_code_69() {
    support::run(async |db| {
        let url = db.url().replace(db.name(), "legwork_no_such_database");
        let ran = finished(command(&url, &["job", "list"]), None).await;
        assert_eq!(ran.code, 69, "{}", ran.stderr);
        assert!(ran.stderr.contains("does not exist"), "{}", ran.stderr);
        assert!(ran.stderr.contains("help: create the database"), "{}", ran.stderr);
    });
}

#[test]
fn a_server_that_is_read_only_is_exit_code_75_whatever_was_asked_of_it() {
    support::run(async |db| {
        let set = format!("ALTER DATABASE {} SET default_transaction_read_only = on", db.name());
        let mut connection = db.connect().await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut connection).await.expect("it is set");
        connection.close().await.expect("it closes");
        let commands = [
            &["enqueue", "k"][..],
            &["enqueue", "--file", "-"],
            &["queue", "pause", "q"],
            &["migrate", "up"],
        ];
        for arguments in commands {
            let ran = legwork_fed(&db, arguments, b"{\"kind\": \"k\"}\n").await;
            assert_eq!(ran.code, 75, "{arguments:?}: {}", ran.stderr);
            assert!(ran.stderr.contains("help: the server is read-only"), "{}", ran.stderr);
        }
        assert_eq!(legwork(&db, &["job", "list"]).await.code, 0, "it can be looked at");
    });
}

#[tokio::test]
async fn a_kind_of_somebody_elses_code_is_refused_by_the_check_and_not_only_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("legwork.toml");
    let kind = |name| format!("[[kind]]\nname = '{name}'\nhandler = 'rust'\n");
    std::fs::write(&file, format!("{}{}", kind("ours"), kind("theirs"))).expect("a file");
    let file = file.to_str().expect("UTF-8");
    for arguments in [&["--config", file, "config", "check"][..], &["--config", file, "run"]] {
        let ran = finished(command("postgres://127.0.0.1:1/x", arguments), None).await;
        assert_eq!(ran.code, 78, "{}", ran.stderr);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        let places = ["legwork.toml:3", "legwork.toml:6"];
        assert!(places.iter().all(|place| said.contains(place)), "{said}");
        assert_eq!(said.matches("registers no handler").count(), 2, "{said}");
    }
}

#[rstest]
#[case::no_database("", &[])]
#[case::no_url("nonsense", &[])]
#[case::unreadable("postgres:///x?port=none", &[])]
#[case::unknown_key("postgres:///x", &[("LEGWORK_CLAIM__BACTH", "7")])]
#[case::no_file("postgres:///x", &[("LEGWORK_CONFIG", "/nowhere/legwork.toml")])]
#[tokio::test]
async fn bad_configuration_is_exit_code_78(#[case] url: &str, #[case] variables: &[(&str, &str)]) {
    let commands = [
        &["job", "list"][..],
        &["migrate", "up"],
        &["enqueue", "k"],
        &["run"],
        &["bench", "drain"],
    ];
    for arguments in commands {
        let mut command = command(url, arguments);
        command.envs(variables.iter().copied());
        let ran = finished(command, None).await;
        assert_eq!(ran.code, 78, "{arguments:?}: {}", ran.stderr);
        // A daemon's log is JSON here, and its refusal a line of that.
        match arguments {
            ["run"] => assert_eq!(ran.json()["event"], "daemon.failed"),
            _ => assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr),
        }
    }
}

#[test]
fn a_schema_that_this_binary_cannot_work_with_is_exit_code_3_and_names_the_way_out() {
    support::run(async |db| {
        let says = async |what: &str| {
            for arguments in [&["job", "list"][..], &["enqueue", "k"], &["queue", "list"]] {
                let ran = legwork(&db, arguments).await;
                assert_eq!(ran.code, 3, "{arguments:?}: {}", ran.stderr);
                assert!(ran.stderr.contains(what), "{}", ran.stderr);
            }
        };
        legwork(&db, &["migrate", "down", "--to", "3"]).await.done();
        says("legwork migrate up").await;
        legwork(&db, &["migrate", "down", "--to", "0"]).await.done();
        says("no legwork schema: run `legwork migrate up`").await;
        legwork(&db, &["migrate", "up"]).await.done();
        arrange(
            &db,
            "INSERT INTO legwork.migration (version, description, success, checksum, execution_time)
             VALUES (999, 'of the future', true, '', 0)",
        )
        .await;
        says("version 999").await;
        says(&format!("legwork migrate down --to {EXPECTED_VERSION}")).await;
    });
}

#[test]
fn a_row_that_is_locked_is_exit_code_75() {
    support::run(async |db| {
        arrange(&db, "INSERT INTO legwork.job (kind) VALUES ('k')").await;
        let mut other = db.connect().await;
        let lock = "BEGIN; SELECT FROM legwork.job FOR UPDATE";
        sqlx::raw_sql(lock).execute(&mut other).await.expect("the row can be locked");
        let ran = legwork(&db, &["job", "cancel", "1"]).await;
        assert_eq!(ran.code, 75, "{}", ran.stderr);
        assert!(ran.stderr.contains("lock timeout"), "{}", ran.stderr);
    });
}

/// Others were changed: the command isn't one that did nothing.
#[test]
fn of_many_that_meet_a_filter_one_that_is_locked_is_exit_code_1() {
    support::run(async |db| {
        arrange(&db, "INSERT INTO legwork.job (kind) VALUES ('k'), ('k')").await;
        let mut other = db.connect().await;
        let lock = "BEGIN; SELECT FROM legwork.job WHERE id = 1 FOR UPDATE";
        sqlx::raw_sql(lock).execute(&mut other).await.expect("the row can be locked");
        let cancel = ["job", "cancel", "--kind", "k", "--yes"];
        let ran = legwork(&db, &cancel).await;
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stdout.contains("cancel of 1 job\n"), "{}", ran.stdout);
        assert!(ran.stderr.contains("was left alone, 1 job:"), "{}", ran.stderr);
        let ran = legwork(&db, &cancel).await;
        assert_eq!(ran.code, 75, "where nothing was changed: {}", ran.stderr);
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("the lock goes");
        assert_eq!(legwork(&db, &cancel).await.code, 0);
        assert_eq!(legwork(&db, &cancel).await.code, 0, "nothing is left to be about");
    });
}

#[tokio::test]
async fn a_file_that_is_not_there_is_exit_code_1() {
    let ran = finished(command("postgres:///x", &["enqueue", "--file", "/nowhere"]), None).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("couldn't open /nowhere"), "{}", ran.stderr);
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    support::run(async |db| {
        // More than a pipe holds.
        arrange(
            &db,
            "INSERT INTO legwork.job (kind) SELECT repeat('k', 100) FROM generate_series(1, 1000)",
        )
        .await;
        for arguments in [&["job", "list", "--limit", "1000"][..], &["config", "default"]] {
            let mut command = command(&db.url(), arguments);
            let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
            drop(child.stdout.take());
            let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends");
            let output = output.expect("it can be waited for");
            assert_eq!(output.status.code(), Some(0), "{arguments:?}");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!said.contains("error") && !said.contains("panicked"), "{said}");
        }
    });
}

#[test]
fn what_was_done_is_not_called_a_failure_because_nobody_can_read_of_it() {
    support::run(async |db| {
        let file = b"{\"kind\": \"k\"}\n{\"kind\": \"k\"}\n";
        let cases: [(&[&str], &str); 4] = [
            (&["enqueue", "k"], "enqueued job 1"),
            (&["--output", "json", "enqueue", "--file", "-"], "enqueued 2 jobs"),
            (&["queue", "pause", "q"], "queue q is paused"),
            (&["job", "cancel", "1"], "cancelled"),
        ];
        for (arguments, done) in cases {
            let mut command = command(&db.url(), arguments);
            let full = std::fs::File::options().write(true).open("/dev/full").expect("it is there");
            let ran = finished(
                {
                    command.stdout(full);
                    command
                },
                Some(file),
            )
            .await;
            assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
            assert!(ran.stderr.contains("No space left"), "{}", ran.stderr);
            assert!(ran.stderr.contains(done), "{}", ran.stderr);
        }
        assert_eq!(super::live_jobs(&db).await, 2);
        // What only tells something has failed if it can't.
        let mut list = command(&db.url(), &["job", "list"]);
        let full = std::fs::File::options().write(true).open("/dev/full").expect("it is there");
        list.stdout(full);
        assert_eq!(finished(list, None).await.code, 1);
    });
}

#[test]
fn an_exit_code_that_answers_is_the_same_where_nobody_reads_the_rest() {
    support::run(async |db| {
        legwork(&db, &["migrate", "down", "--to", "3"]).await.done();
        let mut command = command(&db.url(), &["migrate", "status"]);
        let mut child = command.spawn().expect("the binary runs");
        drop(child.stdout.take());
        let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends");
        assert_eq!(output.expect("it can be waited for").status.code(), Some(3));
    });
}

/// A server that answers one request with this, or says nothing where that is nothing.
async fn asked(answer: &str, arguments: &[&str]) -> (Ran, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let serve = async {
        let (mut stream, _) = listener.accept().await.expect("somebody asks");
        let mut request = vec![0; 1024];
        let length = stream.read(&mut request).await.expect("a request");
        if answer.is_empty() {
            std::future::pending::<()>().await;
        }
        stream.write_all(answer.as_bytes()).await.expect("an answer");
        String::from_utf8_lossy(&request[..length]).into_owned()
    };
    let arguments = [&["healthcheck", "--url", &url], arguments].concat();
    let asking = finished(command("", &arguments), None);
    tokio::pin!(asking);
    tokio::select! {
        ran = &mut asking => (ran, String::new()),
        request = serve => (asking.await, request),
    }
}

#[rstest]
#[case::daemon(&["daemon", "quiet", "abc"], "a daemon's id is a number")]
#[case::daemon_beyond(&["daemon", "quiet", "99999999999999999999"], "a daemon's id is a number")]
#[case::operation(&["operation", "show", "x"], "an operation's id is a number above 0")]
#[case::operation_zero(&["operation", "cancel", "0"], "an operation's id is a number above 0")]
#[case::operation_beyond(&["operation", "show", "99999999999999999999"], "an operation's id is a number above 0")]
#[case::time(&["job", "list", "--older-than", "1x"], "': write it as 90s, 10m, 2h30m or 7d\n")]
#[tokio::test]
async fn what_a_good_one_is_is_said_of_a_bad_one(#[case] arguments: &[&str], #[case] said: &str) {
    let ran = finished(command("postgres://127.0.0.1:1/x", arguments), None).await;
    assert!(ran.code == 2 && ran.stderr.contains(said), "{}", ran.stderr);
}

#[tokio::test]
async fn healthcheck_asks_the_route_and_means_its_answer() {
    let (well, request) = asked("HTTP/1.1 200 OK\r\n\r\nok\n", &[]).await;
    assert_eq!((well.code, well.stdout.as_str()), (0, "ok\n"));
    assert!(request.starts_with("GET /health/live HTTP/1.0\r\nHost: 127.0.0.1:"), "{request}");
    let ill = "HTTP/1.1 503 Service Unavailable\r\n\r\nno heartbeat\u{1b}[2J\n";
    let (ill, request) = asked(ill, &["--ready"]).await;
    assert_eq!((ill.code, ill.stdout.as_str()), (3, "no heartbeat\\u{1b}[2J\n"));
    assert!(request.starts_with("GET /health/ready "), "{request}");
    assert!(ill.stderr.contains("/health/ready answered 503"), "{}", ill.stderr);
    for (body, said) in [
        ("<html>\n<p>not here", "/health/live answered 404: (a page of markup)\n"),
        ("no such page\nat all\n", "/health/live answered 404: no such page\n"),
    ] {
        let (other, _) = asked(&format!("HTTP/1.1 404 Not Found\r\n\r\n{body}"), &[]).await;
        assert_eq!((other.code, other.stdout.as_str()), (3, ""));
        assert_eq!(other.stderr, format!("error: {said}"));
    }
    assert_eq!(asked("SSH-2.0-OpenSSH\r\n", &[]).await.0.code, 3);
    let nobody = finished(command("", &["healthcheck", "--url", "http://127.0.0.1:1"]), None).await;
    assert_eq!(nobody.code, 3, "{}", nobody.stderr);
}

#[tokio::test]
async fn healthcheck_gives_up_on_a_daemon_that_says_nothing() {
    let (silent, _) = asked("", &[]).await;
    assert_eq!(silent.code, 3, "{}", silent.stderr);
    assert!(silent.stderr.contains("within 5 s"), "{}", silent.stderr);
}

#[test]
fn to_ask_why_of_a_job_that_is_not_there_is_answered_and_is_exit_code_1() {
    support::run(async |db| {
        let ran = legwork(&db, &["job", "why", "7"]).await;
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stdout.contains("no job 7"), "{}", ran.stdout);
        assert!(ran.stderr.starts_with("error: there is no job 7"), "{}", ran.stderr);
    });
}

#[tokio::test]
async fn who_enqueues_without_a_kind_is_told_of_both_ways() {
    let ran = finished(command("", &["enqueue"]), None).await;
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("enqueue [OPTIONS] KIND [JSON|-]"), "{}", ran.stderr);
    assert!(ran.stderr.contains("legwork enqueue --file FILE"), "{}", ran.stderr);
}
