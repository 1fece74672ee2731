//! The job of a schedule, enqueued by a request as `legwork schedule run` does it.

use serde_json::json;

use super::{Answer, daemon, found, post, post_as, send};
use crate::statements::{end, execute, value};
use crate::support::{self, Daemon};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Of a kind that nobody serves, so that jobs wait, and of a day that doesn't come.
fn schedule(name: &str, rest: &str) -> String {
    format!("[[schedule]]\nname = '{name}'\ncron = '0 0 1 1 *'\nkind = 'waits'\n{rest}\n")
}

async fn run(daemon: &Daemon, name: &str, body: &str) -> Answer {
    post(daemon, &format!("/api/v1/schedules/{name}/run"), body).await
}

#[test]
fn a_schedule_s_job_is_enqueued_as_the_file_has_it_and_noted_with_who_asked() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let rest = "queue = 'reports'\npriority = -1\npayload = { by = 'hand' }";
        // The daemon's role has the rights.
        let daemon = daemon(&db.url_as("legwork_daemon"), &schedule("yearly", rest)).await;
        let body = r#"{"reason": "ticket 812"}"#;
        let request = format!(
            "POST /api/v1/schedules/yearly/run HTTP/1.0\r\nHost: localhost\r\nX-Request-ID: req-1\r\n\
             traceparent: {TRACE}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = send(daemon.admin().await, &request).await;
        assert_eq!((answer.status, answer.json()), (201, json!({"schedule": "yearly", "id": 1})));
        assert_eq!(answer.header("location"), Some("/api/v1/jobs/1"));

        let job = found(&daemon, "/api/v1/jobs/1").await;
        let metadata = json!({"schedule": "yearly", "request_id": "req-1", "traceparent": TRACE});
        assert_eq!(job["metadata"], metadata);
        for (member, expected) in [
            ("kind", json!("waits")),
            ("queue", json!("reports")),
            ("priority", json!(-1)),
            ("payload", json!({"by": "hand"})),
        ] {
            assert_eq!(job[member], expected, "{member}");
        }
        let page = found(&daemon, "/api/v1/audit?action=run&target=schedule/yearly").await;
        let note = &page["notes"][0];
        assert_eq!(note["actor"], "admin, on the daemon's machine");
        assert_eq!((&note["reason"], &note["request_id"]), (&json!("ticket 812"), &json!("req-1")));
        assert_eq!(note["detail"], json!({"job": 1, "queue": "reports", "kind": "waits"}));

        assert_eq!(
            daemon.metric("legwork_jobs_enqueued_total", &["via=\"http\""]).await.to_string(),
            "1"
        );
        let untouched = "SELECT last_fire IS NULL AND last_job = 1 FROM legwork.schedule";
        assert_eq!(value(&mut session, untouched).await, "t");
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn the_overlap_rule_holds_and_what_is_refused_enqueues_nothing() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let schedules = schedule("yearly", "") + &schedule("often", "overlap = 'allow'");
        let daemon = daemon(&db.url(), &schedules).await;
        for (name, body, status, problem, said) in [
            ("yearly", "", 201, "", ""),
            ("yearly", "{}", 409, "wrong-state", "job 1 of schedule yearly is unfinished"),
            ("often", "", 201, "", ""),
            ("often", "", 201, "", ""),
            ("monthly", "", 404, "no-such-schedule", "no such [[schedule]]"),
            ("yearly%00", "", 404, "no-such-schedule", ""),
            ("often", "{\"reason\": \"\"}", 400, "invalid-body", "from 1 to 500 bytes"),
            ("often", "{\"payload\": {}}", 400, "invalid-body", "unknown field `payload`"),
            ("often?payload=1", "", 400, "unknown-parameter", ""),
        ] {
            let asked = match name.split_once('?') {
                Some((name, query)) => {
                    post(&daemon, &format!("/api/v1/schedules/{name}/run?{query}"), body).await
                }
                None => run(&daemon, name, body).await,
            };
            assert_eq!(asked.status, status, "{name} {body}: {}", asked.body);
            if !problem.is_empty() {
                assert_eq!(asked.problem(), problem, "{name} {body}");
            }
            assert!(asked.body.contains(said), "{name} {body}: {}", asked.body);
        }
        let path = "/api/v1/schedules/often/run";
        let plain = post_as(&daemon, path, "text/plain", "{}").await;
        assert_eq!((plain.status, plain.problem()), (415, "not-json".to_owned()));
        let jobs = "SELECT string_agg(metadata ->> 'schedule', ' ' ORDER BY id) FROM legwork.job";
        assert_eq!(value(&mut session, jobs).await, "yearly often often");
        let notes = "SELECT count(*) FROM legwork.audit WHERE action = 'run'";
        assert_eq!(value(&mut session, notes).await, "3");

        execute(&mut session, "SELECT legwork.discard(1)").await;
        assert_eq!(run(&daemon, "yearly", "").await.json()["id"], 4);
        daemon.stop().await;
        end(session).await;
    });
}
