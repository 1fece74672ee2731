//! Flags whose effect no other test sees.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::cli::{command, finished, legwork};
use crate::statements::{end, execute, value};
use crate::support::{self, Daemon, PATIENCE};

const NOOP: &str = "[admin]\nlisten = 'off'\n[log]\nformat = 'json'\n\
                    [[kind]]\nname = 'noop'\nhandler = 'noop'\n";

#[test]
fn run_once_ends_when_the_line_is_empty_and_run_alone_does_not() {
    support::run(async |db| {
        let configuration = format!("[database]\nurl = '{}'\n{NOOP}", db.url());
        let mut lasting = Daemon::start_with(&configuration, &["run"]).await;
        lasting.logged("daemon.started").await;
        legwork(&db, &["enqueue", "noop"]).await.done();
        let mut once = Daemon::start_with(&configuration, &["run", "--once"]).await;
        assert_eq!(once.exit(PATIENCE).await.code(), Some(0), "{}", once.printed());
        let left = legwork(&db, &["job", "list", "--output", "json"]).await.done().json();
        assert_eq!(left["jobs"][0]["state"], "completed");
        assert_eq!(lasting.count("daemon.stopped"), 0, "the other goes on");
        lasting.signal(Signal::SIGTERM);
        assert_eq!(lasting.exit(PATIENCE).await.code(), Some(0));
    });
}

#[test]
fn job_list_shows_what_its_filters_say() {
    support::run(async |db| {
        let jobs = [
            &["enqueue", "one", "--queue", "a", "--tag", "x"][..],
            &["enqueue", "two", "--queue", "b", "--delay", "10m"],
            &["enqueue", "one", "--queue", "b", "--tag", "y"],
        ];
        for job in jobs {
            legwork(&db, job).await.done();
        }
        let mut session = db.connect().await;
        let old = "INSERT INTO legwork.job (kind, payload, created_at) OVERRIDING SYSTEM VALUE
            VALUES ('old', '{\"user\": {\"id\": 42}, \"to\": \"ann\"}', now() - interval '2 d')";
        execute(&mut session, old).await;
        end(session).await;
        for (filter, expected) in [
            (&[][..], vec![4, 3, 2, 1]),
            (&["--queue", "b"], vec![3, 2]),
            (&["--kind", "one"], vec![3, 1]),
            (&["--state", "scheduled"], vec![2]),
            (&["--tag", "x"], vec![1]),
            (&["--payload", "user.id=42"], vec![4]),
            (&["--payload", "user.id=42", "--payload", "to=ann"], vec![4]),
            (&["--payload", "user.id=42", "--payload", "to=bob"], vec![]),
            (&["--older-than", "1d"], vec![4]),
            (&["--newer-than", "1d"], vec![3, 2, 1]),
            (&["--limit", "1"], vec![4]),
            (&["--after", "3"], vec![2, 1]),
        ] {
            let arguments = [&["job", "list", "--output", "json"], filter].concat();
            let page = legwork(&db, &arguments).await.done().json();
            let ids = page["jobs"].as_array().expect("a list").iter().map(|job| &job["id"]);
            let ids: Vec<i64> = ids.filter_map(Value::as_i64).collect();
            assert_eq!(ids, expected, "{filter:?}");
        }
    });
}

#[test]
fn queue_pause_keeps_its_reason_for_the_next_person() {
    support::run(async |db| {
        legwork(&db, &["queue", "pause", "mail", "--reason", "month's end"]).await.done();
        let queues = legwork(&db, &["queue", "list", "--output", "json"]).await.done().json();
        assert_eq!(queues["queues"][0]["reason"], "month's end");
    });
}

#[test]
fn queue_resume_leaves_its_reason_in_the_audit() {
    support::run(async |db| {
        legwork(&db, &["queue", "pause", "mail"]).await.done();
        legwork(&db, &["queue", "resume", "mail", "--reason", "month's begin"]).await.done();
        let mut session = db.connect().await;
        let noted = "SELECT reason FROM legwork.audit WHERE action = 'resume'";
        assert_eq!(value(&mut session, noted).await, "month's begin");
        end(session).await;
    });
}

#[test]
fn config_and_database_url_and_output_hold_for_every_command() {
    support::run(async |db| {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("other.toml");
        std::fs::write(&file, "[claim]\nbatch = 7\n").expect("it can be written");
        let file = file.display().to_string();
        let arguments = ["--config", &file, "--output", "json", "config", "show"];
        let shown = legwork(&db, &arguments).await.done().json();
        let batch =
            shown.as_array().expect("a list").iter().find(|one| one["key"] == "claim.batch");
        assert_eq!(batch.expect("it is there")["value"], "7");
        let nowhere = command("postgres://127.0.0.1:1/x", &["job", "list"]);
        assert_eq!(finished(nowhere, None).await.code, 69);
        let url = db.url();
        let arguments = ["--database-url", url.as_str(), "job", "list"];
        let here = command("postgres://127.0.0.1:1/x", &arguments);
        assert_eq!(finished(here, None).await.code, 0);
    });
}
