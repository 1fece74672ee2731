//! Log lines of a job: from the producer's INSERT to the line and to the program's environment.

use nix::sys::signal::Signal;
use rstest::rstest;
use serde_json::Value;

use super::{Configuration, Notebook, SLACK, becomes, count, job};
use crate::support::{self, Daemon};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// Says what it was told, and fails.
const TELLS: &str =
    "echo \"$TRACEPARENT $TRACESTATE $LEGWORK_REQUEST_ID $LEGWORK_USER_ID\" >> notes\nexit 1";

/// The producer's session, and the columns that it writes.
const BY_METADATA: [&str; 1] =
    [r#"INSERT INTO legwork.job (kind, max_attempts, metadata) VALUES ('tells', 1, '{
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate": "vendor=1", "request_id": "r-1", "user_id": 42}')"#];
const BY_THE_SESSION: [&str; 3] = [
    "SET LOCAL legwork.traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'",
    "SET LOCAL legwork.request_id = 'r-1'",
    "INSERT INTO legwork.job (kind, max_attempts) VALUES ('tells', 1)",
];

#[rstest]
#[case::named_in_the_row(&BY_METADATA, "vendor=1 r-1 42")]
#[case::set_in_the_session(&BY_THE_SESSION, " r-1 ")]
fn the_producers_trace_and_request_are_in_every_line_and_in_the_environment(
    #[case] producer: &[&'static str],
    #[case] rest: &str,
) {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let (url, kinds) = (db.url(), [notebook.kind("tells", TELLS, "")]);
        let configuration = Configuration::of(&url, &kinds).text();
        let configuration = configuration
            .replace("format = 'json'", "format = 'json'\nfilter = 'info,legwork=debug'");
        let mut daemon = Daemon::start(&configuration).await;
        let mut session = pool.begin().await.unwrap();
        for statement in producer {
            sqlx::query(*statement).execute(&mut *session).await.expect("the producer may");
        }
        session.commit().await.unwrap();
        let id: i64 = {
            let found = sqlx::query_scalar("SELECT max(id) FROM legwork.jobs").fetch_one(&pool);
            found.await.unwrap()
        };
        becomes(&pool, id, "discarded").await;

        let told = notebook.says(&format!("00-{TRACE}-{SPAN}-01")).await;
        assert_eq!(told, rest.trim());
        for event in ["job.started", "job.failed", "job.finished", "job.discarded"] {
            let line = daemon.logged(event).await;
            for (field, value) in [
                ("trace_id", Value::from(TRACE)),
                ("span_id", SPAN.into()),
                ("trace_flags", "01".into()),
                ("request_id", "r-1".into()),
                ("job.id", id.into()),
                ("job.kind", "tells".into()),
                ("job.queue", "default".into()),
                ("job.attempt", 1.into()),
            ] {
                assert_eq!(line[field], value, "{field} of {line}");
            }
        }
        let failed = daemon.logged("job.failed").await;
        assert_eq!(
            (&failed["job.max_attempts"], &failed["error.type"]),
            (&1.into(), &"failed".into())
        );
        assert!(failed["error.message"].as_str().unwrap().starts_with("exit code 1"), "{failed}");
        assert_eq!(daemon.logged("job.discarded").await["reason"], "attempts_exhausted");
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

/// Takes a day of history away that the daemon makes again, whichever day it is then.
const LOSE_A_DAY: &str = "DO $$ DECLARE day date := (now() AT TIME ZONE 'UTC')::date + 20; BEGIN
    PERFORM legwork.make_partitions(day, day);
    EXECUTE format('DROP TABLE legwork.finished_%s', to_char(day, 'YYYYMMDD')); END $$";

#[test]
fn a_daemons_life_is_told_event_by_event() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let (url, kinds) = (db.url(), [notebook.kind("misconfigured", "exit 78", "")]);
        for statement in [LOSE_A_DAY, "SELECT legwork.pause('default')"] {
            sqlx::query(statement).execute(&pool).await.expect("the test may");
        }
        let mut daemon = Daemon::start(&Configuration::of(&url, &kinds).text()).await;
        assert_eq!(daemon.logged("queue.paused").await["job.queue"], "default");
        // More than the one where a day has begun since the schema was made.
        let made = daemon.logged("partition.made").await;
        assert!(made["partitions"].as_u64() >= Some(1), "{made}");
        let statements = [
            "INSERT INTO legwork.job (kind) VALUES ('misconfigured')",
            "SELECT legwork.resume('default')",
        ];
        for statement in statements {
            sqlx::query(statement).execute(&pool).await.expect("the test may");
        }
        let alert = daemon.logged("command.failed").await;
        assert_eq!((&alert["level"], &alert["exit.code"]), (&"ERROR".into(), &78.into()));
        assert_eq!(alert["job.kind"], "misconfigured");
        assert_eq!(daemon.logged("queue.resumed").await["job.queue"], "default");
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        assert_eq!(daemon.logged("signal.received").await["signal"], "TERM");
        for event in
            ["schema.checked", "database.connected", "listener.connected", "health.changed"]
        {
            assert!(daemon.count(event) > 0, "{event} in\n{}", daemon.printed());
        }
        let sessions =
            daemon.events().into_iter().filter(|line| line["event"] == "database.connected");
        let mut sessions: Vec<_> = sessions.map(|line| line["session"].to_string()).collect();
        sessions.sort();
        let expected = ["claim", "completer", "heartbeat", "maintenance", "survey"];
        assert_eq!(sessions, expected.map(|session| format!("\"{session}\"")));
        pool.close().await;
    });
}

#[test]
fn a_job_that_is_discarded_before_it_runs_is_told_of() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("exhausted", "exit 1", "")];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let insert = "INSERT INTO legwork.job (kind, attempt, max_attempts, metadata) VALUES
            ('exhausted', 2, 2, '{\"request_id\": \"r-7\"}') RETURNING id";
        let id: i64 = sqlx::query_scalar(insert).fetch_one(&pool).await.unwrap();
        let line = daemon.logged("job.discarded").await;
        assert_eq!((&line["job.id"], &line["reason"]), (&id.into(), &"attempts_exhausted".into()));
        assert_eq!(line["request_id"], "r-7");
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0));
        pool.close().await;
    });
}

/// More failures in a moment than the log shows of one place.
const STORM: i64 = 60;

#[test]
fn failures_that_the_log_left_out_are_counted_before_the_process_ends() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("fails", "exit 1", "")];
        let insert = "INSERT INTO legwork.job (kind, max_attempts)
            SELECT 'fails', 1 FROM generate_series(1, $1)";
        sqlx::query(insert).bind(STORM).execute(&pool).await.expect("the test may");
        let text = Configuration::of(&db.url(), &kinds).text();
        let mut daemon = Daemon::start_with(&text, &["run", "--once"]).await;
        assert_eq!(daemon.exit(support::PATIENCE).await.code(), Some(0), "{}", daemon.printed());
        for event in ["job.failed", "job.discarded"] {
            let lines = daemon.events();
            let told = lines.iter().filter(|line| line["event"] == event).count();
            let about = lines
                .iter()
                .filter(|line| [&line["event"], &line["log.event"]].contains(&&event.into()));
            let left_out: i64 = about.filter_map(|line| line["log.suppressed"].as_i64()).sum();
            assert_eq!(i64::try_from(told).unwrap() + left_out, STORM, "{event}: {lines:#?}");
        }
        pool.close().await;
    });
}

#[test]
fn a_program_may_call_legwork_itself() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let script = format!("{} enqueue child >> output 2>&1", env!("CARGO_BIN_EXE_legwork"));
        let keys = format!("env = {{ DATABASE_URL = '{}' }}\nmax_attempts = 1", db.url());
        let kinds = [notebook.kind("parent", &script, &keys)];
        let _daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let insert = "INSERT INTO legwork.job (kind, metadata) VALUES
            ('parent', '{\"request_id\": \"r-9\", \"user_id\": 7}') RETURNING id";
        let id: i64 = sqlx::query_scalar(insert).fetch_one(&pool).await.unwrap();
        support::eventually("the parent has ended", async || {
            !matches!(job(&pool, id).await.state.as_str(), "available" | "running")
        })
        .await;
        let output = std::fs::read_to_string(notebook.path("output")).unwrap_or_default();
        assert_eq!(job(&pool, id).await.state, "completed", "{output}");
        assert_eq!(count(&pool, "child", "available").await, 1, "{output}");
        pool.close().await;
    });
}
