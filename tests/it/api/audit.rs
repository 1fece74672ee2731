//! What is changed over HTTP is noted, with who asked, why and by which request, and the notes are shown.

use serde_json::{Value, json};

use super::{ask, daemon, found, post, send};
use crate::statements::{end, execute};
use crate::support;

fn notes(page: &Value) -> Vec<String> {
    let notes = page["notes"].as_array().expect("a page has notes");
    let text = |note: &Value| {
        let part = |name: &str| note[name].as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", part("action"), part("target"), part("reason"))
    };
    notes.iter().map(text).collect()
}

#[test]
fn each_change_is_noted_with_who_asked_why_and_by_which_request() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind) SELECT 'waits' FROM generate_series(1, 4)",
        )
        .await;
        let daemon = daemon(&db.url(), "").await;
        for (path, body) in [
            ("jobs/1/snooze", r#"{"for": "1h", "reason": "later"}"#),
            ("jobs/1/retry", r#"{"reason": "sooner"}"#),
            ("jobs/2/discard", r#"{"reason": "spam"}"#),
            ("queues/default/pause", r#"{"reason": "an incident"}"#),
            ("queues/default/resume", r#"{"reason": "it is over"}"#),
            ("jobs/3/cancel", ""),
            // Changes nothing.
            ("jobs/3/cancel", r#"{"reason": "twice"}"#),
        ] {
            post(&daemon, &format!("/api/v1/{path}"), body).await;
        }
        let body = r#"{"reason": "mine"}"#;
        let request = format!(
            "POST /api/v1/jobs/4/cancel HTTP/1.0\r\nHost: localhost\r\nX-Request-ID: req-1\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(send(daemon.admin().await, &request).await.status, 200);

        let page = found(&daemon, "/api/v1/audit").await;
        let expected = [
            "cancel job/4 mine",
            "cancel job/3 -",
            "resume queue/default it is over",
            "pause queue/default an incident",
            "discard job/2 spam",
            "retry job/1 sooner",
            "snooze job/1 later",
        ];
        assert_eq!(notes(&page), expected);
        let first = &page["notes"][0];
        assert_eq!(first["actor"], "admin, on the daemon's machine");
        assert_eq!(first["request_id"], "req-1");
        let detail = json!({ "result": "cancelled", "queue": "default", "kind": "waits" });
        assert_eq!(first["detail"], detail);
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn notes_are_paged_and_filtered() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "SELECT legwork.pause('a'), legwork.pause('b'), legwork.resume('a'), legwork.resume('b');
             BEGIN; SELECT legwork.asked_by('ann', NULL, NULL), legwork.pause('a'); COMMIT;
             UPDATE legwork.audit SET at = now() - interval '2 h' WHERE id <= 2",
        )
        .await;
        let daemon = daemon(&db.url(), "").await;
        let (mut seen, mut path) = (Vec::new(), "/api/v1/audit?limit=2".to_owned());
        loop {
            let page = found(&daemon, &path).await;
            seen.extend(notes(&page));
            let Some(next) = page["next"].as_i64() else { break };
            path = format!("/api/v1/audit?limit=2&after={next}");
        }
        let all = [
            "pause queue/a -",
            "resume queue/b -",
            "resume queue/a -",
            "pause queue/b -",
            "pause queue/a -",
        ];
        assert_eq!(seen, all);
        for (filter, expected) in [
            ("action=pause", &[0, 3, 4][..]),
            ("target=queue/b", &[1, 3]),
            ("actor=ann", &[0]),
            ("since=1h", &[0, 1, 2]),
            ("action=pause&target=queue/a&since=1h", &[0]),
            ("action=discard", &[]),
        ] {
            let page = found(&daemon, &format!("/api/v1/audit?{filter}")).await;
            let expected: Vec<_> = expected.iter().map(|at| all[*at]).collect();
            assert_eq!(notes(&page), expected, "{filter}");
        }
        for wrong in ["limit=0", "limit=1001", "since=soon", "after=x", "acton=pause"] {
            let answer = ask(daemon.admin().await, "GET", &format!("/api/v1/audit?{wrong}")).await;
            assert_eq!(answer.status, 400, "{wrong}");
        }
        daemon.stop().await;
        end(session).await;
    });
}
