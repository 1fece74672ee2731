//! Entity tags: what a client has seen isn't sent again, and a change that was meant for something else isn't made.

use super::{Answer, daemon, get, send};
use crate::statements::{end, execute, value};
use crate::support::{self, Daemon};

const MAIL: &str = "/api/v1/queues/mail";

async fn with(daemon: &Daemon, request: &str, header: &str) -> Answer {
    with_body(daemon, request, header, "").await
}

/// With a body, where a request is of those that have one.
async fn with_body(daemon: &Daemon, request: &str, header: &str, body: &str) -> Answer {
    let body = if request.starts_with("PATCH") { body } else { "" };
    let kind = format!("Content-Type: application/json\r\nContent-Length: {}", body.len());
    let head = format!("{request} HTTP/1.0\r\nHost: localhost\r\n{header}\r\n{kind}\r\n\r\n{body}");
    send(daemon.admin().await, &head).await
}

async fn tag(daemon: &Daemon, path: &str) -> String {
    let answer = get(daemon, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.header("etag").expect("it has a tag").to_owned()
}

#[test]
fn what_a_client_has_seen_is_not_sent_again_until_something_is_new() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind) VALUES ('waits'); SELECT legwork.pause('default')",
        )
        .await;
        let daemon = daemon(&db.url(), "").await;
        for path in ["/api/v1/jobs/1", "/api/v1/queues/mail", "/openapi.json"] {
            execute(&mut session, "SELECT legwork.pause('mail')").await;
            let seen = tag(&daemon, path).await;
            for header in [seen.clone(), format!("\"other\", W/{seen}"), "*".to_owned()] {
                let answer =
                    with(&daemon, &format!("GET {path}"), &format!("If-None-Match: {header}"))
                        .await;
                assert_eq!((answer.status, &*answer.body), (304, ""), "{path} {header}");
                assert_eq!(answer.header("etag"), Some(&*seen), "{path}");
            }
            let answer = with(&daemon, &format!("GET {path}"), "If-None-Match: \"other\"").await;
            assert_eq!(answer.status, 200, "{path}");
        }
        for (path, change) in [
            ("/api/v1/jobs/1", "SELECT legwork.snooze(1, '1 h')"),
            ("/api/v1/jobs/1", "SELECT legwork.cancel(1)"),
            ("/api/v1/queues/mail", "SELECT legwork.resume('mail')"),
            (
                "/api/v1/queues/mail",
                "INSERT INTO legwork.job (kind, queue) VALUES ('waits', 'mail')",
            ),
        ] {
            let seen = tag(&daemon, path).await;
            execute(&mut session, change).await;
            let answer =
                with(&daemon, &format!("GET {path}"), &format!("If-None-Match: {seen}")).await;
            assert_eq!(answer.status, 200, "{change}");
        }
        daemon.stop().await;
        end(session).await;
    });
}

/// For how long a job runs, or how long ago one was due, is more each time, and no news.
#[test]
fn what_only_grows_older_is_not_new() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let jobs = "INSERT INTO legwork.job (kind, payload) VALUES ('sleep', '600'); SELECT legwork.pause('mail');
            INSERT INTO legwork.job (kind, queue, run_at) VALUES ('waits', 'mail', now() - interval '1 h')";
        execute(&mut session, jobs).await;
        let daemon = daemon(&db.url(), "").await;
        let begun = async || get(&daemon, "/api/v1/jobs/1").await.json()["running_attempt"].clone();
        support::eventually("it runs", async || begun().await.is_object()).await;
        let (first, second) = (begun().await, begun().await);
        assert_eq!(first["started_at"], second["started_at"]);
        assert!(first["running_seconds"].as_f64() < second["running_seconds"].as_f64(), "{second}");
        for path in ["/api/v1/jobs/1", MAIL] {
            let seen = tag(&daemon, path).await;
            let known = format!("If-None-Match: {seen}");
            let answer = with(&daemon, &format!("GET {path}"), &known).await;
            assert_eq!((answer.status, answer.header("etag")), (304, Some(&*seen)), "{path}");
        }
        // Another job is the oldest now, of as many.
        let seen = tag(&daemon, MAIL).await;
        let younger = "UPDATE legwork.job SET run_at = run_at + interval '30 min' WHERE id = 2";
        execute(&mut session, younger).await;
        let answer = with(&daemon, &format!("GET {MAIL}"), &format!("If-None-Match: {seen}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn a_change_that_was_meant_for_something_else_is_not_made() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind) SELECT 'waits' FROM generate_series(1, 2)",
        )
        .await;
        let daemon = daemon(&db.url(), "").await;
        let (job, queue) = ("/api/v1/jobs/1", "/api/v1/queues/mail");
        execute(&mut session, "SELECT legwork.pause('mail', 'first')").await;
        for (path, action, between) in [
            (job, "cancel", "SELECT legwork.snooze(1, '1 h')"),
            (job, "discard", "SELECT legwork.retry(1)"),
            (job, "retry", "SELECT legwork.retry(1)"),
            (queue, "resume", "SELECT legwork.pause('mail', 'another')"),
            (queue, "pause", "SELECT legwork.pause('mail')"),
        ] {
            let seen = tag(&daemon, path).await;
            execute(&mut session, between).await;
            let before = "SELECT (SELECT string_agg(state, ' ') FROM legwork.jobs) || (SELECT paused FROM legwork.queue WHERE name = 'mail')";
            let stood = value(&mut session, before).await;
            let answer =
                with(&daemon, &format!("POST {path}/{action}"), &format!("If-Match: {seen}")).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (412, "changed".into()),
                "{path} {action}"
            );
            assert_eq!(value(&mut session, before).await, stood, "{path} {action}");
            let seen = tag(&daemon, path).await;
            let answer = with(
                &daemon,
                &format!("POST {path}/{action}"),
                &format!("If-Match: \"no.t\", {seen}"),
            )
            .await;
            assert_eq!(answer.status, 200, "{path} {action}: {}", answer.body);
        }
        let weak = format!("If-Match: W/{}", tag(&daemon, "/api/v1/jobs/2").await);
        assert_eq!(with(&daemon, "POST /api/v1/jobs/2/cancel", &weak).await.status, 412);
        // What isn't there isn't what was seen, and that it isn't there says more.
        assert_eq!(
            with(&daemon, "POST /api/v1/jobs/9/cancel", "If-Match: \"a.b\"").await.status,
            404
        );
        assert_eq!(with(&daemon, "POST /api/v1/jobs/2/cancel", "If-Match: *").await.status, 200);
        daemon.stop().await;
        end(session).await;
    });
}

/// Whoever is before in the row's line has changed it, though nobody could see that when the request came.
#[test]
fn what_was_seen_is_compared_under_the_rows_lock() {
    support::run(async |db| {
        let (mut session, mut first) = (db.connect().await, db.connect().await);
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind) VALUES ('waits'); SELECT legwork.pause('mail')",
        )
        .await;
        let daemon = daemon(&db.url(), "").await;
        for (path, request, change) in [
            ("/api/v1/jobs/1", "POST /api/v1/jobs/1/cancel", "SELECT legwork.snooze(1, '1 h')"),
            (MAIL, "POST /api/v1/queues/mail/resume", "SELECT legwork.pause('mail', 'another')"),
            (MAIL, "POST /api/v1/queues/mail/drain", "SELECT legwork.pause('mail', 'a third')"),
            (MAIL, "PATCH /api/v1/queues/mail", "SELECT legwork.override_queue('mail', 5)"),
            (
                MAIL,
                "DELETE /api/v1/queues/mail/overrides",
                "SELECT legwork.override_queue('mail', 6)",
            ),
            (MAIL, "POST /api/v1/queues/mail/pause", "SELECT legwork.reset_queue('mail')"),
        ] {
            let seen = tag(&daemon, path).await;
            execute(&mut first, &format!("BEGIN; {change}")).await;
            let waits = async {
                support::eventually("the request waits for the row", async || {
                    let waiting = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND application_name LIKE 'legwork admin%'
                            AND wait_event_type = 'Lock'";
                    value(&mut session, waiting).await == "1"
                })
                .await;
                execute(&mut first, "COMMIT").await;
            };
            let header = format!("If-Match: {seen}");
            let answer = with_body(&daemon, request, &header, r#"{"concurrency": 2}"#);
            let ((), answer) = tokio::join!(waits, answer);
            assert_eq!((answer.status, answer.problem()), (412, "changed".into()), "{path}");
        }
        daemon.stop().await;
        end(first).await;
        end(session).await;
    });
}
