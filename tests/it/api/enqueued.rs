//! Jobs that are enqueued by a request: what of it arrives in the row, and what is refused by which member.

use serde_json::{Value, json};

use super::{Answer, daemon, found, post, post_as, send};
use crate::statements::{end, execute, value};
use crate::support::{self, Daemon};

const JOBS: &str = "/api/v1/jobs";

/// Enqueues by a request with these lines in its head.
async fn with_head(daemon: &Daemon, lines: &str, body: &str) -> Answer {
    let head = format!(
        "POST {JOBS} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{lines}\r\n{body}",
        body.len()
    );
    send(daemon.admin().await, &head).await
}

#[test]
fn every_member_arrives_in_its_column_and_the_answer_says_where_the_job_is() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        let body = json!({
            "kind": "waits", "payload": [1, {"a": null}], "queue": "mail", "delay": "2h", "priority": -1,
            "max_attempts": 7, "unique_key": "u", "timeout": "90s", "expires_at": "2150-01-01T00:00:00Z",
            "tags": ["a", "b\"c"], "metadata": { "user_id": 7 },
        });
        let answer = post(&daemon, JOBS, &body.to_string()).await;
        assert_eq!((answer.status, answer.json()), (201, json!({"id": 1, "enqueued": true})));
        assert_eq!(answer.header("location"), Some("/api/v1/jobs/1"));
        let row = "SELECT concat_ws('|', kind, payload, queue, run_at BETWEEN now() + interval '119 min' AND
                now() + interval '2 h', priority, max_attempts, unique_key, timeout, expires_at AT TIME ZONE 'UTC',
                tags, metadata->>'user_id') FROM legwork.job WHERE id = 1";
        let expected =
            "waits|[1, {\"a\": null}]|mail|t|-1|7|u|00:01:30|2150-01-01 00:00:00|{a,\"b\\\"c\"}|7";
        assert_eq!(value(&mut session, row).await, expected);
        assert_eq!(found(&daemon, "/api/v1/jobs/1").await["kind"], "waits");

        let least = post(&daemon, JOBS, " {\n \"kind\": \"waits\"\n} ").await;
        assert_eq!((least.status, least.json()["id"].as_i64()), (201, Some(2)), "{}", least.body);
        let row = "SELECT concat_ws('|', payload, queue, run_at <= ready_at, priority) FROM legwork.job WHERE id = 2";
        assert_eq!(value(&mut session, row).await, "{}|default|t|0");
        // Queues of which nothing is told otherwise are one.
        for (queue, jobs) in [("default", 1.0), ("other", 1.0)] {
            let series = format!("{{queue=\"{queue}\",via=\"http\"}}");
            let series = format!("legwork_jobs_enqueued_total{series}");
            let page = daemon.get("/metrics").await.1;
            assert!(page.contains(&format!("{series} {jobs}\n")), "{page}");
        }
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn the_trace_and_the_id_of_the_request_follow_the_job_unless_it_has_its_own() {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const OWN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        let head = format!("X-Request-ID: req-7\r\ntraceparent: {TRACE}\r\ntracestate: a=b\r\n");
        let twice = format!("X-Request-ID: r\r\ntraceparent: {TRACE}\r\ntraceparent: {OWN}\r\n");
        let parts = format!(
            "X-Request-ID: r\r\ntracestate: a=b\r\ntraceparent: {TRACE}\r\ntracestate: c=d\r\n"
        );
        let own = json!({"kind": "waits", "metadata": {"traceparent": OWN, "request_id": "mine", "n": 1.50}});
        for (head, body, expected) in [
            (
                &*head,
                r#"{"kind": "waits"}"#,
                json!({"traceparent": TRACE, "tracestate": "a=b", "request_id": "req-7"}),
            ),
            (&head, &own.to_string(), json!({"traceparent": OWN, "request_id": "mine", "n": 1.50})),
            (
                "X-Request-ID: r\r\ntraceparent: no\r\n",
                r#"{"kind": "waits"}"#,
                json!({"request_id": "r"}),
            ),
            // As W3C has it, and as the request's own span and lines go by it: two are none, and a state comes in parts.
            (&twice, r#"{"kind": "waits"}"#, json!({"request_id": "r"})),
            (
                &parts,
                r#"{"kind": "waits"}"#,
                json!({"traceparent": TRACE, "tracestate": "a=b,c=d", "request_id": "r"}),
            ),
        ] {
            let answer = with_head(&daemon, head, body).await;
            assert_eq!(answer.status, 201, "{}", answer.body);
            let row =
                format!("SELECT metadata FROM legwork.job WHERE id = {}", answer.json()["id"]);
            let metadata: Value =
                serde_json::from_str(&value(&mut session, &row).await).expect("it is JSON");
            assert_eq!(metadata, expected, "{body}");
        }
        let answer = post(&daemon, JOBS, r#"{"kind": "waits"}"#).await;
        let row = format!(
            "SELECT metadata->>'request_id' FROM legwork.job WHERE id = {}",
            answer.json()["id"]
        );
        assert_eq!(Some(&*value(&mut session, &row).await), answer.header("x-request-id"));
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn a_taken_unique_key_is_answered_with_the_job_that_has_it() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        let body = r#"{"kind": "waits", "unique_key": "k", "queue": "mail"}"#;
        let first = post(&daemon, JOBS, body).await;
        assert_eq!((first.status, first.json()), (201, json!({"id": 1, "enqueued": true})));
        let second = post(&daemon, JOBS, body).await;
        assert_eq!((second.status, second.json()), (200, json!({"id": 1, "enqueued": false})));
        let elsewhere = post(&daemon, JOBS, r#"{"kind": "waits", "unique_key": "k"}"#).await;
        assert_eq!(elsewhere.status, 201, "another queue has its own keys: {}", elsewhere.body);
        execute(&mut session, "SELECT legwork.cancel(1)").await;
        let again = post(&daemon, JOBS, body).await;
        assert_eq!(again.status, 201, "the job that had it has finished: {}", again.body);
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn a_unique_key_that_an_open_transaction_holds_is_waited_for_shortly_and_told() {
    const HELD: &str = r#"{"kind": "waits", "unique_key": "k", "queue": "mail"}"#;
    support::run(async |db| {
        let mut session = db.connect().await;
        let mut holder = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        execute(
            &mut holder,
            "BEGIN; INSERT INTO legwork.job (kind, unique_key, queue) VALUES ('waits', 'k', 'mail')",
        )
        .await;
        for head in ["", "Idempotency-Key: a-key\r\n"] {
            let answer = with_head(&daemon, head, HELD).await;
            let told = (answer.status, answer.problem());
            assert_eq!(told, (409, "unique-key-held".to_owned()), "{}", answer.body);
            assert_eq!(answer.header("retry-after"), Some("5"));
            assert_eq!(answer.json()["parameter"], "unique_key");
        }
        for other in [r#"{"kind": "waits"}"#, r#"{"kind": "waits", "unique_key": "k"}"#] {
            let answer = post(&daemon, JOBS, other).await;
            assert_eq!(answer.status, 201, "it has another key: {}", answer.body);
        }
        execute(&mut holder, "ROLLBACK").await;
        let answer = with_head(&daemon, "Idempotency-Key: a-key\r\n", HELD).await;
        assert_eq!(answer.status, 201, "what was refused did nothing: {}", answer.body);
        let jobs = "SELECT count(*) FROM legwork.job WHERE unique_key = 'k' AND queue = 'mail'";
        assert_eq!(value(&mut session, jobs).await, "1");
        daemon.stop().await;
        end(session).await;
        end(holder).await;
    });
}

/// Of each what is said, and of which member.
#[test]
fn what_no_job_can_be_is_refused_by_the_member_and_the_rule_of_its_column() {
    let long = "k".repeat(513);
    let large = "x".repeat(1 << 20);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        for (member, given, said) in [
            ("kind", "\"a b\"", "kind_is_1_to_128_of_letters_digits_dot_colon_dash_underscore"),
            ("kind", "7", "invalid type"),
            ("queue", "\"\"", "queue_is_1_to_128_of_letters_digits_dot_colon_dash_underscore"),
            ("priority", "3", "priority_is_minus_2_to_2"),
            ("priority", "99999", "priority_is_minus_2_to_2"),
            ("max_attempts", "0", "max_attempts_is_1_to_1000"),
            ("unique_key", "\"\"", "unique_key_is_1_to_512_bytes"),
            ("unique_key", &format!("\"{long}\""), "unique_key_is_1_to_512_bytes"),
            ("unique_key", "\"a\\u0000\"", "NUL"),
            ("run_at", "\"1999-12-31T00:00:00Z\"", "run_at_is_between_2000_and_2200"),
            ("run_at", "\"tomorrow\"", "RFC 3339"),
            ("delay", "\"soon\"", "2h30m"),
            ("timeout", "\"31d\"", "timeout_is_above_0_and_at_most_30_days"),
            ("timeout", "\"0s\"", "above 0"),
            ("expires_at", "\"2200-01-01T00:00:00Z\"", "expires_at_is_between_2000_and_2200"),
            (
                "tags",
                &format!("[\"{long}{long}{long}{long}{long}{long}{long}{long}\"]"),
                "tags_are_at_most_4_kib_rendered",
            ),
            ("tags", "[[\"a\"]]", "invalid type"),
            ("metadata", "[]", "metadata_is_an_object_of_at_most_16_kib_rendered"),
            (
                "metadata",
                &format!("{{\"a\": \"{}\"}}", "x".repeat(1 << 14)),
                "metadata_is_an_object_of_at_most_16_kib_rendered",
            ),
            ("payload", &format!("\"{large}\""), "payload_is_at_most_1_mib_rendered"),
            ("payload", "\"\\ud800\"", "surrogate"),
            ("payload", "1e999999", "overflows numeric format"),
            ("payload", &deep, "stack depth limit"),
        ] {
            let body = match member {
                "kind" => format!("{{\"kind\": {given}}}"),
                member => format!("{{\"kind\": \"waits\", \"{member}\": {given}}}"),
            };
            let answer = post(&daemon, JOBS, &body).await;
            let told = (answer.status, answer.problem());
            assert_eq!(told, (422, "invalid-job".to_owned()), "{member} {}", answer.body);
            assert!(answer.body.contains(said), "{member} {said}: {}", answer.body);
            assert!(!answer.body.contains("max_stack_depth"), "{}", answer.body);
            let named = answer.json()["parameter"].as_str().unwrap_or_default().to_owned();
            assert_eq!(named, member, "{}", answer.body);
        }
        assert_eq!(value(&mut session, "SELECT count(*) FROM legwork.job").await, "0");
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn what_is_no_job_at_all_is_refused_before_the_database_is_asked() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        for (body, said) in [
            ("", "\"the body has to be a whole JSON object"),
            ("{}", "missing field `kind`"),
            ("{\"kind\": \"waits\"", "ends before its object does"),
            ("[\"waits\"]", "\"the body has to be a whole JSON object"),
            ("{\"kind\": \"waits\", \"holder\": 1}", "unknown field `holder`"),
            (
                "{\"kind\": \"waits\", \"prioriti\": 1}",
                "\"parameter\":\"prioriti\",\"nearest\":\"priority\"",
            ),
            ("{\"kind\": \"waits\", \"kind\": \"waits\"}", "duplicate field `kind`"),
        ] {
            let answer = post(&daemon, JOBS, body).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (400, "invalid-body".to_owned()),
                "{body}"
            );
            assert!(answer.body.contains(said), "{body}: {}", answer.body);
        }
        let answer = post_as(&daemon, JOBS, "text/plain", r#"{"kind": "waits"}"#).await;
        assert_eq!((answer.status, answer.problem()), (415, "not-json".to_owned()));
        let packed = "application/json\r\nContent-Encoding: gzip";
        let answer = post_as(&daemon, JOBS, packed, r#"{"kind": "waits"}"#).await;
        assert_eq!((answer.status, answer.problem()), (415, "not-json".to_owned()));
        let packed = format!(
            "POST {JOBS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: gzip, chunked\r\n\r\n11\r\n{{\"kind\": \"waits\"}}\r\n0\r\n\r\n"
        );
        let answer = send(daemon.admin().await, &packed).await;
        assert_eq!((answer.status, answer.problem()), (415, "not-json".to_owned()));
        let plain = "application/json\r\nContent-Encoding: identity";
        let answer = post_as(&daemon, JOBS, plain, "{").await;
        assert_eq!((answer.status, answer.problem()), (400, "invalid-body".to_owned()));
        // Before it is sent.
        let head = format!(
            "POST {JOBS} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: 8388609\r\n\r\n"
        );
        let beyond = send(daemon.admin().await, &head).await;
        assert_eq!((beyond.status, beyond.problem()), (413, "body-too-large".to_owned()));
        assert!(beyond.body.contains("8388608"), "{}", beyond.body);
        assert_eq!(value(&mut session, "SELECT count(*) FROM legwork.job").await, "0");
        daemon.stop().await;
        end(session).await;
    });
}
