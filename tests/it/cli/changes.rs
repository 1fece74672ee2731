//! Commands that change jobs do what they say, in the database.

use super::{arrange, legwork, legwork_fed, live_jobs};
use crate::support;
use serde_json::{Value, json};

#[test]
fn every_flag_of_enqueue_reaches_its_column() {
    support::run(async |db| {
        let arguments = [
            "enqueue",
            "charge",
            r#"{"amount": 1e2}"#,
            "--queue",
            "billing",
            "--run-at",
            "2030-01-31T08:00:00+02:00",
            "--priority",
            "-2",
            "--max-attempts",
            "7",
            "--unique-key",
            "invoice\t7",
            "--timeout",
            "90s",
            "--expires-at",
            "2031-01-31T08:00:00Z",
            "--tag",
            "a,b",
            "--tag",
            "{\"c\"}",
            "--metadata",
            r#"{"user_id": 1}"#,
            "--output",
            "json",
        ];
        let ran = legwork(&db, &arguments).await.done();
        assert_eq!(ran.json(), json!({"id": 1, "enqueued": true}));
        let shown = legwork(&db, &["job", "show", "1", "--output", "json"]).await.done().json();
        let expected = json!({
            "queue": "billing", "kind": "charge", "run_at": "2030-01-31T06:00:00.000000Z",
            "priority": -2, "max_attempts": 7, "unique_key": "invoice\t7", "timeout_seconds": 90.0,
            "expires_at": "2031-01-31T08:00:00.000000Z", "tags": ["a,b", "{\"c\"}"],
            "metadata": {"user_id": 1}, "payload": {"amount": 100}, "state": "scheduled",
        });
        for (key, value) in expected.as_object().expect("an object") {
            assert_eq!(&shown[key], value, "{key}");
        }
    });
}

#[test]
fn a_job_of_the_command_line_has_the_defaults_of_a_bare_insert() {
    support::run(async |db| {
        arrange(&db, "INSERT INTO legwork.job (kind) VALUES ('k')").await;
        legwork(&db, &["enqueue", "k"]).await.done();
        legwork_fed(&db, &["enqueue", "--file", "-"], b"{\"kind\":\"k\"}\n").await.done();
        let mut connection = db.connect().await;
        let alike: i64 = sqlx::query_scalar(
            "SELECT count(DISTINCT to_jsonb(j) - '{id,seq,run_at,ready_at,created_at}'::text[])
             FROM legwork.job j WHERE run_at = ready_at",
        )
        .fetch_one(&mut connection)
        .await
        .expect("jobs can be compared");
        assert_eq!((alike, live_jobs(&db).await), (1, 3));
    });
}

#[test]
fn a_delay_counts_from_the_databases_now() {
    support::run(async |db| {
        legwork(&db, &["enqueue", "k", "--delay", "10m"]).await.done();
        let mut connection = db.connect().await;
        let exact: bool = sqlx::query_scalar(
            "SELECT run_at = created_at + interval '10 minutes' AND run_at > ready_at FROM legwork.job",
        )
        .fetch_one(&mut connection)
        .await
        .expect("the job is there");
        assert!(exact);
    });
}

#[test]
fn a_unique_key_that_is_taken_is_no_failure_and_no_job() {
    support::run(async |db| {
        let arguments = ["enqueue", "k", "--unique-key", "x", "--output", "json"];
        assert_eq!(legwork(&db, &arguments).await.done().json()["enqueued"], json!(true));
        let again = legwork(&db, &arguments).await.done().json();
        assert_eq!(again, json!({"id": null, "enqueued": false}));
        assert_eq!(live_jobs(&db).await, 1);
    });
}

#[test]
fn payloads_come_from_standard_input_unchanged_however_deep() {
    support::run(async |db| {
        let deep = format!("{}\"x\"{}", "[".repeat(1000), "]".repeat(1000));
        legwork_fed(&db, &["enqueue", "k", "-"], deep.as_bytes()).await.done();
        let shown = legwork(&db, &["job", "show", "1"]).await.done();
        assert!(shown.stdout.contains(&deep), "{}", shown.stdout);
        let wrong = legwork_fed(&db, &["enqueue", "k", "-"], b"{nope").await;
        assert_eq!((wrong.code, live_jobs(&db).await), (1, 1), "{}", wrong.stderr);
        let too_deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let refused = legwork_fed(&db, &["enqueue", "k", "-"], too_deep.as_bytes()).await;
        assert_eq!((refused.code, live_jobs(&db).await), (1, 1), "{}", refused.stderr);
        assert!(refused.stderr.contains("stack depth limit exceeded"), "{}", refused.stderr);
        // The server's own advice is to raise a limit of its stack, for everybody and every statement.
        assert!(!refused.stderr.contains("max_stack_depth"), "{}", refused.stderr);
    });
}

fn results(json: &Value) -> Vec<(i64, String)> {
    let change = |one: &Value| {
        let result = one["result"].as_str().expect("a word").to_owned();
        (one["id"].as_i64().expect("a number"), result)
    };
    json.as_array().expect("a list").iter().map(change).collect()
}

#[test]
fn jobs_are_cancelled_retried_snoozed_and_discarded() {
    support::run(async |db| {
        arrange(&db, "INSERT INTO legwork.job (kind) SELECT 'k' FROM generate_series(1, 3)").await;
        let words = async |arguments: &[&str]| {
            let ran = legwork(&db, &[arguments, &["--output", "json"]].concat()).await;
            (ran.code, results(&ran.json()))
        };
        let one = |id: i64, word: &str| vec![(id, word.to_owned())];
        assert_eq!(words(&["job", "cancel", "1"]).await, (0, one(1, "cancelled")));
        assert_eq!(words(&["job", "cancel", "1"]).await, (0, one(1, "already_finished")));
        assert_eq!(words(&["job", "retry", "1"]).await, (0, one(1, "retried")));
        assert_eq!(words(&["job", "retry", "1"]).await, (0, one(1, "already_in_line")));
        let (code, snoozed) = words(&["job", "snooze", "1", "--for", "10m"]).await;
        assert!(code == 0 && snoozed[0].1.ends_with('Z'), "{snoozed:?}");
        assert_eq!(words(&["job", "retry", "1"]).await, (0, one(1, "due_now")));
        assert_eq!(words(&["job", "discard", "2"]).await, (0, one(2, "discarded")));
        let (code, some) = words(&["job", "cancel", "77", "3", "3"]).await;
        assert_eq!((code, some), (1, vec![(3, "cancelled".into()), (77, "not_found".into())]));
    });
}

#[test]
fn a_command_that_changed_no_job_prints_its_error_alone_in_either_form() {
    support::run(async |db| {
        arrange(&db, "INSERT INTO legwork.job (kind, holder, token) VALUES ('k', 1, 1)").await;
        for (command, said) in [
            (&["cancel", "77"][..], "no such job: 77"),
            (&["cancel", "77", "78"], "no such job: 77, 78"),
            (&["retry", "1"], "job 1 is running"),
            (&["retry", "77"], "77"),
            (&["discard", "1"], "job 1 is running"),
            (&["snooze", "77", "--for", "1h"], "77"),
        ] {
            for form in ["json", "text"] {
                let words = [&["job"], command, &["--output", form]].concat();
                let ran = legwork(&db, &words).await;
                assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{words:?}");
                assert!(ran.stderr.contains(said), "{words:?}: {}", ran.stderr);
            }
        }
    });
}

#[test]
fn one_job_that_cannot_be_retried_leaves_all_as_they_were() {
    support::run(async |db| {
        arrange(
            &db,
            "INSERT INTO legwork.job (kind, holder, token) VALUES ('k', null, 0), ('k', 1, 1)",
        )
        .await;
        legwork(&db, &["job", "cancel", "1"]).await.done();
        let ran = legwork(&db, &["job", "retry", "1", "2"]).await;
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains("job 2 is running"), "{}", ran.stderr);
        let help = "help: Wait for its end, or `legwork job cancel 2` first.";
        assert!(ran.stderr.contains(help), "{}", ran.stderr);
        let ran = legwork(&db, &["job", "snooze", "1", "--for", "1h"]).await;
        assert!(ran.stderr.contains("help: `legwork job retry 1` makes it run"), "{}", ran.stderr);
        let why = legwork(&db, &["job", "why", "1"]).await.done().stdout;
        assert!(why.contains("; `legwork job retry 1` runs it again\n"), "{why}");
        let shown = legwork(&db, &["job", "show", "1", "--output", "json"]).await.done().json();
        assert_eq!(shown["state"], json!("cancelled"));
    });
}

#[test]
fn nothing_in_a_row_reaches_the_terminal_as_a_command() {
    support::run(async |db| {
        arrange(
            &db,
            r"INSERT INTO legwork.job (kind, unique_key, tags, payload)
                VALUES ('k', E'\x1b[2J', ARRAY[E'\x1b]0;owned\x07'], '{}');
              INSERT INTO legwork.failed_attempt (job_id, token, drop_after, attempt, cause, error)
                VALUES (1, 1, current_date + 1, 1, 'failed', E'a\n\x1b[31mred\r\u202eevil');
              SELECT legwork.pause('default', E'\x1b[2J')",
        )
        .await;
        for arguments in
            [&["job", "show", "1"][..], &["job", "list"], &["queue", "list"], &["job", "why", "1"]]
        {
            let ran = legwork(&db, arguments).await.done();
            let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!ran.stdout.contains(acts), "{arguments:?}: {:?}", ran.stdout);
        }
    });
}

#[test]
fn a_pause_that_ends_by_itself_says_when() {
    support::run(async |db| {
        for word in ["pause", "drain"] {
            let words = ["queue", word, "mail", "--for", "1h"];
            let told = legwork(&db, &words).await.done().stdout;
            let end = told.lines().nth(1).unwrap_or_default();
            assert!(end.starts_with("  until 2") && end.contains(" (in "), "{told}");
            let told = legwork(&db, &words[..3]).await.done().stdout;
            assert_eq!(told.lines().count(), 1, "{told}");
        }
        arrange(&db, "INSERT INTO legwork.job (kind, queue) VALUES ('k', 'mail')").await;
        let why = legwork(&db, &["job", "why", "1"]).await.done().stdout;
        assert!(why.contains("; `legwork queue resume mail` lets it run\n"), "{why}");
    });
}
