//! `legwork enqueue --file`: all of a file or none of it.

use super::{command, finished, legwork, legwork_fed, live_jobs};
use crate::support;
use serde_json::json;
use std::io::Write as _;
use tempfile::NamedTempFile;

const LINES: usize = 100_000;

/// A file of so many jobs, with these lines in place of some.
fn file(replaced: &[(usize, &str)]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file can be made");
    let text: Vec<String> = (1..=LINES)
        .map(|number| match replaced.iter().find(|(at, _)| *at == number) {
            Some((_, line)) => (*line).to_owned(),
            None => format!(r#"{{"kind":"bulk","payload":{{"n":{number}}},"tags":["t"]}}"#),
        })
        .collect();
    file.write_all(text.join("\n").as_bytes()).expect("it can be written");
    file
}

#[test]
fn a_hundred_thousand_jobs_arrive_each_with_its_payload() {
    support::run(async |db| {
        let file = file(&[]);
        let path = file.path().to_str().expect("a plain path");
        let ran = legwork(&db, &["enqueue", "--file", path, "--output", "json"]).await.done();
        assert_eq!(ran.json(), json!({"enqueued": LINES}));
        let mut connection = db.connect().await;
        let (jobs, sum): (i64, i64) = sqlx::query_as(
            "SELECT count(DISTINCT (payload->>'n')::bigint), sum((payload->>'n')::bigint)::bigint
             FROM legwork.job WHERE kind = 'bulk' AND tags = '{t}' AND run_at = ready_at",
        )
        .fetch_one(&mut connection)
        .await
        .expect("jobs can be counted");
        assert_eq!((jobs, sum), (100_000, 5_000_050_000));
    });
}

#[test]
fn a_wrong_line_leaves_nothing_and_is_named() {
    // What is found here, and what only the database can see.
    for (line, says) in [
        (r#"{"kind":"a b"}"#, "line 70001: kind: ' ' can't stand in a name"),
        (r#"{"kind":"k","payload":1e200000}"#, "line 70001"),
        (r#"{"kind":"k","expires_at":"2300-01-01T00:00:00Z"}"#, "line 70001"),
    ] {
        support::run(async |db| {
            let file = file(&[(70_001, line)]);
            let path = file.path().to_str().expect("a plain path");
            let ran = legwork(&db, &["enqueue", "--file", path]).await;
            assert_eq!((ran.code, live_jobs(&db).await), (1, 0), "{line}: {}", ran.stderr);
            assert!(ran.stderr.contains(says), "{line}: {}", ran.stderr);
        });
    }
}

#[test]
fn several_wrong_lines_are_named_together_up_to_a_limit() {
    support::run(async |db| {
        let input = "{\"kind\":\"k\"}\nnope\n{\"kind\":\"k\"}\n{\"kind\":\"k\",\"qeue\":1}\n";
        let ran = legwork_fed(&db, &["enqueue", "--file", "-"], input.as_bytes()).await;
        assert_eq!((ran.code, live_jobs(&db).await), (1, 0));
        assert!(ran.stderr.contains("2 wrong lines"), "{}", ran.stderr);
        assert!(ran.stderr.contains("line 2: ") && ran.stderr.contains("line 4: unknown field"));
        let ran =
            legwork_fed(&db, &["enqueue", "--file", "-"], "nope\n".repeat(1000).as_bytes()).await;
        assert_eq!(ran.stderr.matches("\n  line ").count(), 20, "{}", ran.stderr);
    });
}

#[test]
fn a_key_that_is_taken_refuses_the_whole_file_and_names_the_line() {
    support::run(async |db| {
        legwork(&db, &["enqueue", "k", "--unique-key", "x"]).await.done();
        let input = b"{\"kind\":\"k\"}\n{\"kind\":\"k\",\"unique_key\":\"x\"}\n";
        let ran = legwork_fed(&db, &["enqueue", "--file", "-"], input).await;
        assert_eq!((ran.code, live_jobs(&db).await), (1, 1));
        assert!(
            ran.stderr.contains("line 2") && ran.stderr.contains("job_unique"),
            "{}",
            ran.stderr
        );
    });
}

#[test]
fn hostile_payloads_arrive_as_they_were_written() {
    support::run(async |db| {
        let payloads = [
            json!("a\tb\nc\rd\\.\\N\\\\"),
            json!("\\."),
            json!({"'; DROP TABLE legwork.job; --": "$$", "\u{202e}": "\u{1b}[2J"}),
            json!(null),
            json!("\u{10ffff} \u{7f} ünïcode"),
        ];
        let line = |payload| json!({"kind": "k", "payload": payload}).to_string();
        let lines = payloads.iter().map(line).collect::<Vec<_>>().join("\n");
        legwork_fed(&db, &["enqueue", "--file", "-"], lines.as_bytes()).await.done();
        let mut connection = db.connect().await;
        let stored: Vec<serde_json::Value> =
            sqlx::query_scalar("SELECT payload::jsonb FROM legwork.job ORDER BY id")
                .fetch_all(&mut connection)
                .await
                .expect("payloads can be read");
        assert_eq!(stored, payloads);
    });
}

#[test]
fn an_empty_input_enqueues_nothing_and_empty_lines_may_end_it() {
    support::run(async |db| {
        let count = async |input: &[u8]| {
            let ran =
                legwork_fed(&db, &["enqueue", "--file", "-", "--output", "json"], input).await;
            (ran.code, ran.stderr.contains("line 2: is empty"))
        };
        assert_eq!(count(b"").await, (0, false));
        assert_eq!(count(b"{\"kind\":\"k\"}\r\n\n  \n").await, (0, false));
        assert_eq!(count(b"{\"kind\":\"k\"}\n\n{\"kind\":\"k\"}").await, (1, true));
        assert_eq!(live_jobs(&db).await, 1);
    });
}

#[test]
fn a_role_that_may_only_enqueue_can_use_the_command() {
    support::run(async |db| {
        let url = format!(
            "{}{}options=-crole%3Dlegwork_enqueue",
            db.url(),
            if db.url().contains('?') { "&" } else { "?" }
        );
        let fed = b"{\"kind\":\"k\",\"tags\":[\"t\"]}\n";
        let bulk = finished(command(&url, &["enqueue", "--file", "-"]), Some(fed)).await;
        let one = finished(command(&url, &["enqueue", "k", "{}", "--unique-key", "x"]), None).await;
        assert_eq!((bulk.code, one.code), (0, 0), "{}{}", bulk.stderr, one.stderr);
        assert_eq!(live_jobs(&db).await, 2);
    });
}
