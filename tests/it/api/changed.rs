//! What changes one job or one queue: what becomes of it, and what forbids it.

use serde_json::json;
use sqlx::PgConnection;

use super::{daemon, found, get, post, post_as};
use crate::statements::{end, execute, value};
use crate::support::{self, Daemon, TestDb};

/// 1 and 2 wait, 3 is scheduled, 4 is discarded, 5 runs, 6 and 7 are finished, and 8 has 7's key.
const JOBS: &str = "INSERT INTO legwork.job (kind, payload, run_at, unique_key) VALUES
    ('waits', '{}', now(), null), ('waits', '{}', now(), null),
    ('waits', '{}', now() + interval '1 h', null), ('waits', '{}', now(), null),
    ('sleep', '{\"seconds\": 600}', now(), null), ('waits', '{}', now(), null), ('waits', '{}', now(), 'k');
    SELECT legwork.discard(4), legwork.cancel(6), legwork.cancel(7);
    INSERT INTO legwork.job (kind, unique_key) VALUES ('waits', 'k')";

/// Of which the fifth runs.
async fn with_jobs(db: &TestDb) -> (PgConnection, Daemon) {
    let mut session = db.connect().await;
    execute(&mut session, JOBS).await;
    let daemon = daemon(&db.url(), "").await;
    support::eventually("job 5 runs", async || {
        found(&daemon, "/api/v1/jobs/5").await["state"] == "running"
    })
    .await;
    (session, daemon)
}

#[test]
fn a_job_is_cancelled_retried_discarded_and_put_off() {
    support::run(async |db| {
        let (mut session, daemon) = with_jobs(&db).await;
        for (change, body, result, state) in [
            ("1/cancel", "", "cancelled", "cancelled"),
            ("5/cancel", "{}", "requested", ""),
            ("2/discard", "{}", "discarded", "discarded"),
            ("3/retry", "{}", "due_now", "available"),
            ("3/retry", "{}", "already_in_line", "available"),
            ("4/retry", "{}", "retried", "available"),
            ("4/snooze", "{\"for\": \"2h\"}", "", "scheduled"),
        ] {
            let answer = post(&daemon, &format!("/api/v1/jobs/{change}"), body).await;
            assert_eq!(answer.status, 200, "{change}: {}", answer.body);
            let (id, _) = change.split_once('/').expect("an id and a change");
            assert_eq!(answer.json()["id"].to_string(), id);
            if !result.is_empty() {
                assert_eq!(answer.json()["result"], result, "{change}");
            }
            if !state.is_empty() {
                let query = format!("SELECT state FROM legwork.jobs WHERE id = {id}");
                assert_eq!(value(&mut session, &query).await, state, "{change}");
            }
        }
        let due = "SELECT run_at BETWEEN now() + interval '119 min' AND now() + interval '2 h' FROM legwork.job WHERE id = 4";
        assert_eq!(value(&mut session, due).await, "t");
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn what_a_job_s_state_forbids_is_a_conflict_and_no_job_is_not_found() {
    support::run(async |db| {
        let (mut session, daemon) = with_jobs(&db).await;
        for (change, status, problem, said) in [
            (
                "5/retry",
                409,
                "wrong-state",
                "\"hint\":\"Wait for its end, or SELECT legwork.cancel(5) first.\"",
            ),
            ("5/discard", 409, "wrong-state", "is running"),
            ("5/snooze", 409, "wrong-state", "is running"),
            ("6/cancel", 409, "wrong-state", "finished already"),
            ("6/discard", 409, "wrong-state", "finished already"),
            ("6/snooze", 409, "wrong-state", "has finished and can't be snoozed"),
            ("7/retry", 409, "wrong-state", "unique key 'k'"),
            ("4711/cancel", 404, "no-such-job", ""),
            ("4711/retry", 404, "no-such-job", "no job 4711"),
            ("4711/discard", 404, "no-such-job", ""),
            ("4711/snooze", 404, "no-such-job", ""),
            ("x/cancel", 400, "invalid-parameter", "above 0"),
        ] {
            let body = if change.ends_with("snooze") { "{\"for\": \"1m\"}" } else { "{}" };
            let answer = post(&daemon, &format!("/api/v1/jobs/{change}"), body).await;
            assert_eq!((answer.status, answer.problem()), (status, problem.to_owned()), "{change}");
            assert!(answer.body.contains(said), "{change}: {}", answer.body);
        }
        execute(&mut session, "SELECT legwork.cancel(5)").await;
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn a_queue_is_paused_for_a_reason_and_resumed() {
    support::run(async |db| {
        let daemon = daemon(&db.url(), "").await;
        for (change, body, expected) in [
            ("pause", "{\"reason\": \"an incident\"}", (true, true, json!("an incident"))),
            ("pause", "", (true, false, json!("an incident"))),
            ("pause", "{\"reason\": \"another\"}", (true, false, json!("another"))),
            ("resume", "{}", (false, true, json!(null))),
            ("resume", "{}", (false, false, json!(null))),
        ] {
            let answer = post(&daemon, &format!("/api/v1/queues/mail/{change}"), body).await;
            assert_eq!(answer.status, 200, "{change}: {}", answer.body);
            let (paused, changed, reason) = expected;
            let told = json!({ "queue": "mail", "paused": paused, "changed": changed });
            assert_eq!(answer.json(), told, "{change} {body}");
            let queue = found(&daemon, "/api/v1/queues/mail").await;
            assert_eq!(queue["paused"], paused);
            assert_eq!(queue["settings"]["override"]["reason"], reason, "{change} {body}");
        }
        daemon.stop().await;
    });
}

/// A page in a browser can send forms and plain text without asking first.
#[test]
fn what_changes_something_has_to_be_json_that_says_what_it_means() {
    support::run(async |db| {
        let daemon = daemon(&db.url(), "").await;
        let pause = "/api/v1/queues/mail/pause";
        let packed = "application/json\r\nContent-Encoding: gzip";
        for kind in
            ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", packed]
        {
            let answer = post_as(&daemon, pause, kind, "{}").await;
            assert_eq!((answer.status, answer.problem()), (415, "not-json".to_owned()), "{kind}");
        }
        for (path, body, said) in [
            (pause, "{", "EOF"),
            (pause, "[]", "invalid type: sequence, expected an object, {…}"),
            (pause, "[\"1h\", null, null]", "expected an object"),
            (pause, "{} {}", "trailing characters"),
            (
                "/api/v1/jobs/bulk",
                "{\"action\": \"cancel\", \"filter\": [\"mail\"]}",
                "expected an object",
            ),
            (pause, "{\"reasn\": \"x\"}", "unknown field `reasn`"),
            (pause, "{\"reasn\": \"x\"}", "\"parameter\":\"reasn\",\"nearest\":\"reason\""),
            (pause, "{\"reason\": \"\"}", "from 1 to 500 bytes"),
            ("/api/v1/jobs/1/snooze", "{}", "missing field `for`"),
            ("/api/v1/jobs/1/snooze", "{\"for\": \"soon\"}", "2h30m"),
            ("/api/v1/jobs/1/snooze", "{\"for\": \"11years\"}", "ten years"),
            ("/api/v1/jobs/1/cancel", "{\"all\": true}", "unknown field `all`"),
            (pause, "{\"extra\": 5}", "\"parameter\":\"extra\"}"),
            (pause, "{\"reason\": 5}", "\"parameter\":\"reason\""),
            (pause, "{\"reason\": \"a\", \"reason\": \"b\"}", "\"parameter\":\"reason\""),
            ("/api/v1/jobs/bulk", "{\"action\": \"nuke\"}", "\"parameter\":\"action\"}"),
            (
                "/api/v1/jobs/bulk",
                "{\"action\": \"cancle\"}",
                "\"parameter\":\"action\",\"nearest\":\"cancel\"",
            ),
            (
                "/api/v1/jobs/bulk",
                "{\"action\": \"cancel\", \"filter\": {\"queue\": 5}}",
                "\"parameter\":\"queue\"",
            ),
            (
                "/api/v1/jobs/bulk",
                "{\"action\": \"cancel\", \"filter\": {\"queu\": 5}}",
                "\"parameter\":\"queu\",\"nearest\":\"queue\"",
            ),
        ] {
            let answer = post(&daemon, path, body).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (400, "invalid-body".to_owned()),
                "{body}"
            );
            assert!(answer.body.contains(said), "{body}: {}", answer.body);
        }
        let answer = post_as(&daemon, pause, "application/json; charset=utf-8", "{}").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        daemon.stop().await;
    });
}

#[test]
fn a_name_that_a_client_may_take_for_a_place_is_refused() {
    support::run(async |db| {
        let daemon = daemon(&db.url(), "").await;
        for name in ["..", ".", "%2e%2E", "%2e"] {
            for path in [format!("queues/{name}/pause"), format!("schedules/{name}/run")] {
                let answer = post(&daemon, &format!("/api/v1/{path}"), "{}").await;
                assert_eq!(
                    (answer.status, answer.problem()),
                    (400, "invalid-parameter".into()),
                    "{path}"
                );
                assert!(answer.body.contains("\"parameter\":"), "{}", answer.body);
            }
            let answer = get(&daemon, &format!("/api/v1/queues/{name}")).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (400, "invalid-parameter".into()),
                "{name}"
            );
        }
        // Three dots are a name.
        assert_eq!(post(&daemon, "/api/v1/queues/.../pause", "{}").await.status, 200);
        daemon.stop().await;
    });
}
